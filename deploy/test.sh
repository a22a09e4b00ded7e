#!/usr/bin/env bash
# Checks the format, builds without warnings, and runs all tests in release, and many of them in debug (see release_only_targets).
# Usage: deploy/test.sh [--all|--quick]    --all runs all tests in debug too, except those that start programs; --quick leaves
# the release build out, and the tests that start programs with it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

configurations=(debug release)
everything=false
case "${1:-}" in
"") ;;
--all) everything=true ;;
--quick)
    configurations=(debug)
    everything=true
    ;;
-h | --help)
    sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*) fail "'$1' is no option; use --all, --quick or nothing." ;;
esac

start=$SECONDS
settle_threads
prepare_machine
cd "$root"

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

step "format"
swift format lint --strict --parallel --recursive Package.swift Sources Tests </dev/null
for script in deploy/*.sh .ci/run; do bash -n "$script"; done
printf 'clean\n'

# Some tests run in release only, unless --all asks for them: half of the time is compiling. In debug RuntimeTests render
# small pictures of the embedded model by CutDiffusion. What runs in release only are tests of the other methods, models and files,
# of every setting and sampler, of kernels at many sizes, and of the repository's text. --all is for changes of the methods,
# networks, kernels and readers. Long tests are skipped. Modules of tests, the programs, and GoldenCases, which only they use, are not
# even compiled. With --all and --quick the programs are compiled, though no test starts them.
release_only_targets=(RenderingTests WeightsTests TensorCoreTests DiffusionModelsTests GoldenCasesTests RepositoryTests
    EndToEndTests GoldenCases goldencheck patchloom patchloom-bench patchloom-compare)
long_tests=(
    --skip '^ClusterTests[.]ScaleTests/theWork' --skip '^CommandSupportTests[.]OptionTests/everyOption'
    --skip '^RuntimeTests[.](LargeBarrierTests|WireForecastTests|LargePictureTests/(comeInPieces|aBrokenTransfer|aClientAsks))'
    --skip '^SamplersTests[.]SamplerPropertyTests/everyStepCount' --skip '^TokenizingTests[.]CLIPTokenizerTests/theHeapAgrees'
    --skip '^AccelerationTests[.]TokenTests/roundings' --skip '^ImageQualityTests[.]LabelledPictureTests/theScoreTells'
    --skip '^ImageQualityTests[.]RepetitionTests/everySizeAndEnlargement'
)

for configuration in "${configurations[@]}"; do
    mapfile -t options < <(test_build_options "$configuration")
    left_out=(EndToEndTests)
    release_only=()
    if [ "$configuration" = release ]; then
        left_out=()
    elif ! "$everything"; then
        left_out=("${release_only_targets[@]}")
        release_only=("${long_tests[@]}")
    fi
    # Package.swift reads it.
    PATCHLOOM_TARGETS_LEFT_OUT=$(IFS=, && printf '%s' "${left_out[*]}")
    export PATCHLOOM_TARGETS_LEFT_OUT
    step "$configuration: build (an undeclared import is an error)"
    swift build "${options[@]}" --build-tests </dev/null
    mapfile -t groups < <(test_groups "$configuration")
    for group in "${groups[@]}"; do
        mapfile -t selection < <(test_group_options "$group")
        step "$configuration: $group tests"
        swift test "${options[@]}" --skip-build "${selection[@]}" "${release_only[@]}" </dev/null 2>&1 | tee "$logs/$configuration $group"
    done
done

# The runner's own closing lines. A group in which nothing ran is a failure.
step "result"
total=0
for configuration in "${configurations[@]}"; do
    mapfile -t groups < <(test_groups "$configuration")
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
