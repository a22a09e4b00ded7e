#!/usr/bin/env bash
# Checks full-size models: random weights in the published configurations, one U-Net call against diffusers, one rendered step.
# Usage: deploy/fullsize.sh [--storage f16|f32] [--folder DIR] [--python PYTHON] [--exact] [--no-render] [sd15|sd21|sdxl ...]
# Needs 18 GB of memory for sdxl, 16 with --no-render, and 20 GB of disk. The peak memory of a process includes the weight files
# that it has mapped; the system can take these back. Everything goes into a temporary folder that is removed at the end, or
# into DIR, which keeps all but the weights. PYTHON must have torch, diffusers and transformers. Without PYTHON they are
# installed into the folder. --exact also computes the reference in f64, and allows eight times the reference's own rounding
# where that is above 5e-5.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The releases that made the reference results of the tests.
reference_packages=(torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 accelerate safetensors numpy)
# Free memory for the weights and one U-Net call, and for a rendered step: networks in f32 and the mapped files in f16.
declare -A memory_gb=([sd15]=8 [sd21]=8 [sdxl]=16) render_gb=([sd15]=10 [sd21]=11 [sdxl]=18) native_side=([sd15]=512 [sd21]=768 [sdxl]=1024)

storage=f16 folder="" python="" renders=yes exact=() families=()
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        sed -n '2,9s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --storage | --folder | --python)
        [ $# -ge 2 ] || fail "$1 needs a value."
        case "$1" in
        --storage) storage=$2 ;;
        --folder) folder=$2 ;;
        --python) python=$2 ;;
        esac
        shift
        ;;
    --exact) exact=(--exact) ;;
    --no-render) renders=no ;;
    sd15 | sd21 | sdxl) families+=("$1") ;;
    *) fail "'$1' is neither an option nor one of sd15, sd21 and sdxl." ;;
    esac
    shift
done
case "$storage" in f16 | f32) ;; *) fail "--storage must be f16 or f32, not '$storage'." ;; esac
if [ "${#families[@]}" -eq 0 ]; then families=(sd15 sd21 sdxl); fi

require_build_folder
prepare_machine
[ -x /usr/bin/time ] || fail "GNU time is missing: 'apt-get install time'."
merges="$root/Sources/CEmbeddedModel/clip/merges.txt"
[ -r "$merges" ] || fail "'$merges' is missing: check the repository out completely."

if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
else
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
fi

if [ -z "$python" ]; then
    step "installing ${reference_packages[*]}"
    [ -x "$folder/venv/bin/python" ] || python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q "${reference_packages[@]}" </dev/null
    python="$folder/venv/bin/python"
fi

step "building"
for product in goldencheck patchloom; do
    swift build --package-path "$root" -c release --product "$product" </dev/null
done
programs=$(swift build --package-path "$root" -c release --show-bin-path </dev/null)

# Runs a command. After the command's own output it prints the duration, and the peak memory of the largest of its processes.
measured() {
    local title=$1 result=0
    shift
    /usr/bin/time -o "$folder/measured" -f '%e %M' "$@" </dev/null || result=$?
    tail -n 1 "$folder/measured" \
        | awk -v title="$title" '{ printf "%s: %.0f s, at most %.2f GB in one process\n", title, $1, $2 / 1048576 }'
    return "$result"
}

for family in "${families[@]}"; do
    available=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
    needed=${memory_gb[$family]}
    remedy="end other programs"
    if [ "$renders" = yes ]; then
        needed=${render_gb[$family]}
        remedy+=", or leave the picture out by --no-render, which needs ${memory_gb[$family]} GB"
    fi
    if [ "$available" -lt "$needed" ]; then
        fail "$family needs $needed GB of free memory, mapped weight files among them, and $available GB are free: $remedy."
    fi
    rm -rf "$folder/models/$family" "$folder/cases/unet_forward/$family"

    step "$family: weights"
    "$python" "$root/deploy/fullsize.py" make "$family" "$folder" --storage "$storage" --merges "$merges" </dev/null

    step "$family: one U-Net call at native size"
    "$python" "$root/deploy/fullsize.py" forward "$family" "$folder" "${exact[@]}" </dev/null
    for backend in onednn openblas; do
        measured "$family, $backend" "$programs/goldencheck" "$folder/cases/unet_forward/$family" \
            --backend "$backend" --threads "$(nproc)"
    done

    if [ "$renders" = yes ]; then
        side=${native_side[$family]}
        step "$family: one step at ${side}x${side}"
        # Packed weights go into the folder too, and not into the user's store.
        PATCHLOOM_HOME="$folder/store" measured "$family, render" "$programs/patchloom" render -m "$folder/models/$family" -p "a red apple" -W "$side" \
            -H "$side" --steps 1 --workers 1 --timings --json -o "$folder/$family.png" >"$folder/$family.json"
        tail -n 1 "$folder/$family.json"
        "$python" "$root/deploy/fullsize.py" loading "$family" "$folder" </dev/null
    fi
    # Two families at once would need twice the disk.
    rm -rf "$folder/models/$family" "$folder/store"
done
step "all of ${families[*]} agree with diffusers"
