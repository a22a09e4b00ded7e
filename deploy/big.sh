#!/usr/bin/env bash
# Renders very large pictures with the embedded model and two workers, and prints times and the most memory of each process.
# CI does not run it: 4096 takes minutes, 16384 many hours.
# Usage: deploy/big.sh [--folder FOLDER] [--steps N] [--precision P] [SIDE ...]    SIDE: pixels, 4096 without an argument.
#        The pictures stay in FOLDER (default: big-pictures in the current folder).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder="$PWD/big-pictures"
steps=10
precision=f32
sides=()
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --folder | --steps | --precision)
        [ $# -gt 1 ] || fail "$1 needs a value."
        printf -v "${1#--}" '%s' "$2"
        shift
        ;;
    *)
        [[ "$1" =~ ^[0-9]+$ ]] || fail "'$1' is no side in pixels; use numbers such as 4096."
        sides+=("$1")
        ;;
    esac
    shift
done
if [ "${#sides[@]}" -eq 0 ]; then sides=(4096); fi

require_build_folder
prepare_machine
step "building"
swift build --package-path "$root" -c release --product patchloom </dev/null
program="$(swift build --package-path "$root" -c release --show-bin-path </dev/null)/patchloom"
mkdir -p "$folder"

# The most memory that a process had so far, in KiB; nothing if it is gone.
peak_of() {
    sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$1/status" 2>/dev/null || true
}

# Runs a command and prints the most memory of it and of its children.
watch_memory() {
    "$@" </dev/null &
    local main=$! process peak code=0
    local -A peaks=()
    while kill -0 "$main" 2>/dev/null; do
        for process in "$main" $(pgrep -P "$main" || true); do
            peak=$(peak_of "$process")
            if [ -n "$peak" ]; then peaks[$process]=$peak; fi
        done
        sleep 0.5
    done
    wait "$main" || code=$?
    for process in "${!peaks[@]}"; do
        if [ "$process" = "$main" ]; then name=coordinator; else name=worker; fi
        printf '%-12s %6d MiB at most\n' "$name" "$((peaks[$process] / 1024))"
    done | sort
    return "$code"
}

for side in "${sides[@]}"; do
    step "${side}x${side} pixels, $steps steps, $precision"
    start=$SECONDS
    watch_memory "$program" render -p "a red apple on a blue background" -W "$side" -H "$side" --steps "$steps" -s 3 \
        --workers 2 --precision "$precision" --timings -o "$folder/apple-$side.png"
    printf '%s in %s\n' "$folder/apple-$side.png" "$(elapsed_since "$start")"
done
