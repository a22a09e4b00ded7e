#!/usr/bin/env bash
# Builds Patchloom and compares its methods by the embedded model: tables and contact sheets at twice and four times its size.
# Usage: deploy/compare.sh [--quick] [--folder DIR] [--methods LIST] [--scales LIST] [--steps N] [--workers N] [--keep]
#        deploy/compare.sh --shapes [--folder DIR]
# Writes DIR/compare-2x.png, .csv and .md, and the same for 4x; DIR is ./comparison by default. The pictures are all 24 things
# that the model can draw, each on a background; with --quick 4 of them. The defaults are 12 steps and one worker process with
# all cores, as in deploy/METHODS.md. --keep keeps every picture in DIR/pictures.
# --shapes does something else: it times one U-Net call of each kind that the methods make, with SD 1.5 at 512, 1024 and
# 2048 px and SDXL at 2048 px (random weights, 12 GB of memory, half an hour). It writes the times of whole pictures to
# DIR/shapes.txt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Each background comes four times.
prompts=(
    "a dog on a yellow background" "a cat on a blue background" "a fox on a green background" "a panda on a pink background"
    "a penguin on a purple background" "an owl on a white background" "a frog on a yellow background"
    "a butterfly on a blue background" "a tropical fish on a pink background" "a lion on a green background"
    "a turtle on a purple background" "a red apple on a blue background" "a strawberry on a white background"
    "a hamburger on a green background" "a birthday cake on a pink background" "a sunflower on a purple background"
    "a cactus on a yellow background" "a mushroom on a blue background" "a rocket on a white background"
    "a sailboat on a pink background" "a house on a green background" "a car on a yellow background"
    "a robot on a purple background" "a red heart on a white background"
)
quick_prompts=("${prompts[0]}" "${prompts[7]}" "${prompts[11]}" "${prompts[18]}")

folder="$PWD/comparison" methods=direct,hires,hidiffusion,cut,multidiffusion,auto scales=2,4 steps=12 workers=1
keep=no shapes=no comparing=() asked=()
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        sed -n '2,10s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --folder | --methods | --scales | --steps | --workers)
        [ $# -ge 2 ] || fail "$1 needs a value."
        case "$1" in
        --folder) folder=$2 ;;
        --methods) methods=$2 ;;
        --scales) scales=$2 ;;
        --steps) steps=$2 ;;
        --workers) workers=$2 ;;
        esac
        if [ "$1" != --folder ]; then comparing+=("$1"); fi
        shift
        ;;
    --quick | --keep)
        if [ "$1" = --quick ]; then asked=("${quick_prompts[@]}"); else keep=yes; fi
        comparing+=("$1")
        ;;
    --shapes) shapes=yes ;;
    *) fail "'$1' is no option; see '$(basename "$0") --help'." ;;
    esac
    shift
done
if [ "$shapes" = yes ] && [ "${#comparing[@]}" -gt 0 ]; then
    fail "${comparing[0]} belongs to the comparison of pictures: leave it out, or --shapes."
fi
if [ "${#asked[@]}" -eq 0 ]; then asked=("${prompts[@]}"); fi

mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] || fail "'$folder' is no folder that you can write to: name another by --folder."
require_build_folder
prepare_machine

# One line of the published comparison: architecture, size, methods, and further options of the bench.
bench() {
    "$bench_program" methods --family "$1" --size "$2" --steps 50 --methods "$3" "${@:4}" </dev/null | tee -a "$folder/shapes.txt"
}

if [ "$shapes" = yes ]; then
    step "building (the first time takes some minutes)"
    swift build --package-path "$root" -c release --product patchloom-bench </dev/null
    bench_program="$(swift build --package-path "$root" -c release --show-bin-path </dev/null)/patchloom-bench"
    : >"$folder/shapes.txt"
    bench sd15 512 direct,tome --tome-ratio 0.6 --repeats 4
    bench sd15 1024 direct,hidiffusion,todo,tome,hidiffusion+todo,cut,auto
    bench sd15 2048 direct,hidiffusion,todo,cut,auto
    bench sdxl 2048 direct,hidiffusion,cut,auto
    printf '\nThe figures are in %s.\n' "$folder/shapes.txt"
    exit 0
fi

step "building (the first time takes some minutes)"
# The command is its own program; its workers are patchloom.
for product in patchloom patchloom-compare; do
    swift build --package-path "$root" -c release --product "$product" </dev/null
done
program="$(swift build --package-path "$root" -c release --show-bin-path </dev/null)/patchloom"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
printf '%s\n' "${asked[@]}" >"$list"
options=(--methods "$methods" --steps "$steps" --cfg-scale 5 -s 3 --workers "$workers")
if [ "$keep" = yes ]; then options+=(--keep "$folder/pictures"); fi

start=$SECONDS
IFS=, read -r -a each_scale <<<"$scales"
for scale in "${each_scale[@]}"; do
    step "${#asked[@]} prompts at ${scale}x"
    "$program" compare --prompt-list "$list" --scale "$scale" "${options[@]}" -o "$folder/compare-${scale}x.png" </dev/null
done
for scale in "${each_scale[@]}"; do
    step "${scale}x"
    sed -n '/^| method /,/^$/p' "$folder/compare-${scale}x.md"
done
printf '\nThe sheets and tables are in %s (made in %s).\n' "$folder" "$(elapsed_since "$start")"
