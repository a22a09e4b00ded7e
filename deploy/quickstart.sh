#!/usr/bin/env bash
# Builds Patchloom and renders a first picture of 512x512: a coordinator cuts it up, two worker processes denoise it.
# Usage: deploy/quickstart.sh    writes patchloom-demo.png into the current folder. It needs no model: one is compiled in.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case "${1:-}" in
"") ;;
-h | --help)
    sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*) fail "'$1' is no option; this script takes none." ;;
esac

prompt="a red apple on a blue background"
picture="$PWD/patchloom-demo.png"

if [ ! -w . ] || { [ -e "$picture" ] && [ ! -w "$picture" ]; } || [ -d "$picture" ]; then
    fail "'$picture' cannot be written: run this script from a folder where you may write."
fi
require_build_folder
prepare_machine

step "building (the first time takes some minutes)"
start=$SECONDS
for product in patchloom patchloom-compare; do
    swift build --package-path "$root" -c release --product "$product" </dev/null
done
printf 'built in %s\n' "$(elapsed_since "$start")"

step "rendering \"$prompt\" at 512x512 with 2 workers"
program="$(swift build --package-path "$root" -c release --show-bin-path </dev/null)/patchloom"
start=$SECONDS
"$program" render -p "$prompt" -W 512 -H 512 --steps 25 --cfg-scale 5 -s 3 --workers 2 --timings -o "$picture" </dev/null
printf '\nThe picture is %s (rendered in %s).\n' "$picture" "$(elapsed_since "$start")"
