#!/usr/bin/env bash
# Times Patchloom and its peers (OpenVINO, diffusers on PyTorch) on the same cores in the same hour, and prints tables.
# Usage: deploy/bench.sh [--quick] [--suites LIST] [--families LIST] [--latents LIST] [--batches LIST] [--precisions LIST]
#                        [--threads N] [--runs N] [--rounds N] [--no-peers] [--python PYTHON] [--folder DIR] [--json FILE]
# The tables are Markdown. --json FILE keeps every result, a JSON line each, as deploy/BENCHES.md describes them; results that
# are there already count too. The defaults: suites unet,vae,memory (memory has start times too); families sd15,sdxl, and sd21
# too for memory; latents 64,128; batches 1,2,4 (more than 1 for the smallest latent of sd15 only); precisions f32,bf16 as the CPU
# has them; 2 threads; 3 runs in each of 2 rounds. In a round each program runs once, so the programs alternate. --quick is sd15
# at latent 64 with batch 1, in one round.
# The peers are installed into DIR/venv unless --python names a Python that has them (deploy/bench/requirements.txt); DIR is
# ./benches by default. --no-peers leaves them out, and with them the suite memory, whose models they make.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

suites=unet,vae,memory speed_families=sd15,sdxl memory_families=sd15,sd21,sdxl latents=64,128 batches=1,2,4 precisions=f32,bf16 threads=2 runs=3 rounds=2
peers=yes python="" folder="$PWD/benches" results=""
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        sed -n '2,11s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --suites | --families | --latents | --batches | --precisions | --threads | --runs | --rounds | --python | --folder | --json)
        [ $# -ge 2 ] || fail "$1 needs a value."
        case "$1" in
        --suites) suites=$2 ;;
        --families) speed_families=$2 memory_families=$2 ;;
        --latents) latents=$2 ;;
        --batches) batches=$2 ;;
        --precisions) precisions=$2 ;;
        --threads) threads=$2 ;;
        --runs) runs=$2 ;;
        --rounds) rounds=$2 ;;
        --python) python=$2 ;;
        --folder) folder=$2 ;;
        --json) results=$2 ;;
        esac
        shift
        ;;
    --quick) speed_families=sd15 memory_families=sd15 latents=64 batches=1 rounds=1 ;;
    --no-peers) peers=no ;;
    *) fail "'$1' is no option; see '$(basename "$0") --help'." ;;
    esac
    shift
done

# Refuses a list with a word that is not among those allowed.
require_words() {
    local option=$1 list=$2 word
    IFS=, read -r -a words <<<"$list"
    [ "${#words[@]}" -gt 0 ] || fail "$option needs a list, such as $3."
    for word in "${words[@]}"; do
        [[ ",$3," == *",$word,"* ]] || fail "$option knows ${3//,/, }, not '$word'."
    done
}
require_numbers() {
    local option=$1 number
    IFS=, read -r -a words <<<"$2"
    [ "${#words[@]}" -gt 0 ] || fail "$option needs a whole number."
    for number in "${words[@]}"; do
        [[ "$number" =~ ^[1-9][0-9]{0,3}$ ]] || fail "$option needs whole numbers from 1 to 9999, not '$number'."
    done
}
require_words --suites "$suites" unet,vae,memory
require_words --families "$speed_families" sd15,sd21,sdxl
require_words --precisions "$precisions" f32,bf16
for option in latents batches threads runs rounds; do require_numbers "--$option" "${!option}"; done

if [ "$suites" = memory ] && [ "$peers" = no ]; then fail "the suite memory needs the peers, which make its models."; fi

mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || fail "'$folder' is no folder that you can write to: name another by --folder."
folder=$(cd "$folder" && pwd)
if [ -z "$results" ]; then
    results="$folder/results.jsonl"
    rm -f "$results"
fi
touch "$results" 2>/dev/null || fail "'$results' cannot be written: name another file by --json."
require_build_folder
prepare_machine

step "building (the first time takes some minutes)"
for product in patchloom patchloom-bench; do
    swift build --package-path "$root" -c release --product "$product" </dev/null
done
bench="$(swift build --package-path "$root" -c release --show-bin-path </dev/null)/patchloom-bench"

if [ "$peers" = yes ] && [ -z "$python" ]; then
    step "installing the peers into $folder/venv"
    [ -x "$folder/venv/bin/python" ] || python3 -m venv "$folder/venv" || fail "python3 cannot make a virtual environment: 'apt-get install python3-venv'."
    "$folder/venv/bin/pip" install -q -r "$root/deploy/bench/requirements.txt" </dev/null
    python="$folder/venv/bin/python"
fi

# Settings for BLAS of this machine may slow the peers down. Ours does without them too.
clean=(env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE -u PATCHLOOM_PACKED_WEIGHTS)

# Runs a command whose output is one result, and keeps it. A program that fails costs its own figures only.
keep() {
    local title=$1 line
    shift
    if line=$("${clean[@]}" "$@" </dev/null 2>"$folder/errors.txt" | tail -n 1) && [ -n "$line" ]; then
        printf '%s\n' "$line" >>"$results"
        # The first median is the whole's; parts come behind it.
        if [[ "$line" =~ \"median\":\ ?([0-9.e+-]+) ]]; then printf '%-28s %.4f s\n' "$title" "${BASH_REMATCH[1]}"; fi
    else
        printf '%-28s failed: %s\n' "$title" "$(tail -n 1 "$folder/errors.txt")"
    fi
}

# The precisions that Patchloom has here.
available=()
IFS=, read -r -a asked <<<"$precisions"
for precision in "${asked[@]}"; do
    if "$bench" unet --family embedded --latent 8 --runs 1 --precision "$precision" </dev/null >/dev/null 2>"$folder/errors.txt"; then
        available+=("$precision")
    else
        printf '%s is left out: %s\n' "$precision" "$(tail -n 1 "$folder/errors.txt")"
    fi
done
[ "${#available[@]}" -gt 0 ] || fail "this CPU has none of the precisions $precisions."

# All programs on one network, round by round, then the operations of ours alone.
compare() {
    local suite=$1 family=$2 latent=$3 batch=$4 precision round
    local what=(--family "$family" --latent "$latent") sized=()
    if [ "$suite" = unet ]; then sized=(--batch "$batch"); fi
    step "$suite of $family, latent $latent, batch $batch"
    local model="$folder/openvino/model.xml"
    if [ "$peers" = yes ]; then
        rm -rf "$folder/openvino"
        mkdir -p "$folder/openvino"
        "${clean[@]}" "$python" "$root/deploy/bench/peer.py" convert "$suite" "${what[@]}" --batch "$batch" --cache "$model" \
            </dev/null >/dev/null 2>"$folder/errors.txt" \
            || printf 'OpenVINO cannot convert it: %s\n' "$(tail -n 1 "$folder/errors.txt")"
    fi
    for precision in "${available[@]}"; do
        local how=(--precision "$precision" --threads "$threads" --runs "$runs")
        for ((round = 1; round <= rounds; round++)); do
            keep "$precision, Patchloom" "$bench" "$suite" "${what[@]}" "${sized[@]}" "${how[@]}" --json
            if [ "$peers" = no ]; then continue; fi
            local peer=("$python" "$root/deploy/bench/peer.py")
            if [ -e "$model" ]; then
                keep "$precision, OpenVINO" "${peer[@]}" openvino "$suite" "${what[@]}" --batch "$batch" "${how[@]}" --cache "$model"
            fi
            keep "$precision, PyTorch" "${peer[@]}" pytorch "$suite" "${what[@]}" --batch "$batch" "${how[@]}"
        done
        keep "$precision, operations alone" "$bench" ops --network "$suite" "${what[@]}" --batch "$batch" "${how[@]}" --json
    done
    rm -rf "$folder/openvino"
}

start=$SECONDS
IFS=, read -r -a each_family <<<"$speed_families"
IFS=, read -r -a each_latent <<<"$latents"
IFS=, read -r -a each_batch <<<"$batches"
runs_suite() { [[ ",$suites," == *",$1,"* ]]; }
for family in "${each_family[@]}"; do
    runs_suite unet || break
    for latent in "${each_latent[@]}"; do
        for batch in "${each_batch[@]}"; do
            if [ "$batch" -gt 1 ] && { [ "$family" != sd15 ] || [ "$latent" != "${each_latent[0]}" ]; }; then continue; fi
            compare unet "$family" "$latent" "$batch"
        done
    done
done
for latent in "${each_latent[@]}"; do
    runs_suite vae || break
    compare vae sd15 "$latent" 1
done

# Memory and start, with full-size models of random weights in f16. Their packed weights stay out of the user's folder.
export PATCHLOOM_HOME="$folder/home"
declare -A native_side=([sd15]=512 [sd21]=768 [sdxl]=1024)
IFS=, read -r -a each_family <<<"$memory_families"
if runs_suite memory && [ "$peers" = yes ]; then
    for family in "${each_family[@]}"; do
        side=${native_side[$family]}
        step "memory and start of $family at ${side}x${side}"
        rm -rf "$folder/models/$family"
        "$python" "$root/deploy/fullsize.py" make "$family" "$folder" --storage f16 \
            --merges "$root/Sources/CEmbeddedModel/clip/merges.txt" </dev/null
        ln -sfn "$folder/models/$family" "$folder/$family"
        for precision in "${available[@]}"; do
            keep "$precision, 1 worker" "$bench" render --model "$folder/$family" --size "$side" --steps 2 --workers 1 \
                --threads-per-worker "$threads" --precision "$precision" --runs 1 --json
            # Views of the native size, one in each call, so that both workers compute.
            for workers in 1 2; do
                keep "$precision, views, $workers worker(s)" "$bench" render --model "$folder/$family" \
                    --size $((side + side / 4)) --steps 2 --method multidiffusion --group 1 --workers "$workers" \
                    --threads-per-worker $(((threads + 1) / 2)) --precision "$precision" --runs 1 --json
            done
            keep "$precision, start" "$bench" start --model "$folder/$family" --precision "$precision" --threads "$threads" \
                --runs 2 --json
        done
        rm -rf "$folder/models/$family" "$folder/$family" "$PATCHLOOM_HOME"
    done
fi

step "results"
"$bench" table "$results"
printf 'Every result is in %s (measured in %s).\n' "$results" "$(elapsed_since "$start")"
