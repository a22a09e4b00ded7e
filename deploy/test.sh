#!/usr/bin/env bash
# Checks the format, builds without warnings, and runs all tests in release, and most of them in debug (see long_tests).
# Usage: deploy/test.sh [--quick]    --quick leaves the release build out, and the tests that start programs with it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

configurations=(debug release)
case "${1:-}" in
"") ;;
--quick) configurations=(debug) ;;
-h | --help)
    sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*) fail "'$1' is no option; use --quick or nothing." ;;
esac

# Threads wait as in the programs, which set this themselves. With the default of libgomp, tests that run at the same time spend
# most of their time in waiting loops.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-2000}"

start=$SECONDS
prepare_machine
cd "$root"

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

step "format"
swift format lint --strict --recursive Package.swift Sources Tests </dev/null
for script in deploy/*.sh .ci/run; do bash -n "$script"; done
printf 'clean\n'

# The release tests see internals too. A release build needs an option for this. It has its own folder; otherwise it and the
# program that quickstart.sh builds would rebuild each other.
options_of() {
    printf '%s\n' -c "$1" --explicit-target-dependency-import-check error
    if [ "$1" = release ]; then printf '%s\n' -Xswiftc -enable-testing --scratch-path .build-release-tests; fi
}

# Tests that depend on the clock (sockets, processes) run apart from those that take all the processors. Programs are started as
# users have them, in release: the code that they run is tested in debug by the two other groups.
#
# Some tests run in release only. The code that they test runs in debug in other tests: whole pictures of recordings and of real
# files, and with LoRA files, packed weights, kept text keys and large patches; a worker's tasks in any order, plans with every
# sampler, latents in many tilings, many sizes of products and of attention (the kernels of both builds are the same), every
# option of a command line and of a stored model by itself, heads of 100 MB, barriers of 16,000 tasks, files of many pieces. The
# rules of this repository are about its text.
long_tests=(
    --skip '^RuntimeTests[.](LargeBarrierTests|LargePictureTests/(comeInPieces|aBrokenTransfer|aClientAsks))'
    --skip '^(GoldenCasesTests|RepositoryTests)[.]'
    --skip '^RenderingTests[.](RealFilesTests|RunnerGroupTests|SamplerScheduleTests|StateFreedomTests/anyOrder)'
    --skip '^RenderingTests[.]TiledDecodeTests/(noValueDiffers[(]|anyWorkerCanGoOn)'
    --skip '^RenderingTests[.](LoRARenderTests|PackedWeightsRenderTests|TextKeyShelfTests|BigPatchTests)'
    --skip '^TensorCoreTests[.](GroupedBitsTests|ProductBitsTests|PrecisionProductTests)'
    --skip '^TensorCoreTests[.](KernelTests|PrecisionTests)/attention(BitsAreStable|IsAsExact.*)?[(]'
    --skip '^DiffusionModelsTests[.](HiDiffusionTraceTests/sizes|TiledAutoencoderTests/(tilesDecode|bitsDoNot))'
    --skip '^CommandSupportTests[.]OptionTests/everyOption'
    --skip '^WeightsTests[.](SafetensorsHeaderTests/theHeadHas|ModelStoreTests/optionsMeanTheSame)'
)
groups_of() {
    printf '%s\n' "unit and parity" "runtime"
    if [ "$1" = release ]; then printf '%s\n' "end to end"; fi
}
group_options() {
    case "$1" in
    "unit and parity") printf '%s\n' --skip '^RuntimeTests[.]' --skip '^EndToEndTests[.]' "${release_only[@]}" ;;
    "runtime") printf '%s\n' --filter '^RuntimeTests[.]' "${release_only[@]}" ;;
    "end to end") printf '%s\n' --filter '^EndToEndTests[.]' ;;
    esac
}

for configuration in "${configurations[@]}"; do
    mapfile -t options < <(options_of "$configuration")
    release_only=()
    if [ "$configuration" = debug ] && [ "${#configurations[@]}" -gt 1 ]; then release_only=("${long_tests[@]}"); fi
    step "$configuration: build (an undeclared import is an error)"
    swift build "${options[@]}" --build-tests </dev/null
    mapfile -t groups < <(groups_of "$configuration")
    for group in "${groups[@]}"; do
        mapfile -t selection < <(group_options "$group")
        step "$configuration: $group tests"
        swift test "${options[@]}" --skip-build "${selection[@]}" </dev/null 2>&1 | tee "$logs/$configuration $group"
    done
done

# The runner's own closing lines. A group in which nothing ran is a failure.
step "result"
total=0
for configuration in "${configurations[@]}"; do
    mapfile -t groups < <(groups_of "$configuration")
    for group in "${groups[@]}"; do
        closing=$(grep -oE 'Test run with [0-9]+ tests?.*' "$logs/$configuration $group" | tail -n 1 || true)
        count=$(sed -nE 's/Test run with ([0-9]+) tests?.*/\1/p' <<<"$closing")
        if [ "${count:-0}" -eq 0 ]; then fail "$configuration, $group: no test ran."; fi
        skipped=$(grep -cE '^➜ Test .* skipped' "$logs/$configuration $group" || true)
        printf '%-8s %-16s %s (%s skipped)\n' "$configuration" "$group" "$closing" "$skipped"
        total=$((total + count))
    done
done
printf '%s tests ran, all passed, in %s\n' "$total" "$(elapsed_since "$start")"
