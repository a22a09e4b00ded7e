#!/usr/bin/env bash
# Checks the format, builds without warnings, and runs all tests in release, and many of them in debug (see release_only_modules).
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

# Options for builds that are made once. Without debugging information a build takes a tenth less time; a crash then names
# functions without lines. One process compiles a whole module: it checks the types once, and not two or three times, which takes
# a quarter off the debug build. The release tests see internals too, and a release build needs an option for this. Both builds
# have folders of their own: with these options they and the programs that developers and quickstart.sh build would rebuild each
# other.
options_of() {
    printf '%s\n' -c "$1" --explicit-target-dependency-import-check error --scratch-path ".build-$1-tests"
    printf -- '-Xswiftc\n%s\n' -gnone -whole-module-optimization -num-threads 1 -no-emit-module-separately-wmo
    if [ "$1" = release ]; then printf '%s\n' -Xswiftc -enable-testing; fi
}

# Tests that depend on the clock (sockets, processes) run apart from those that take all the processors. Programs are started as
# users have them, in release: the code that they run is tested in debug by the two other groups.
#
# Some tests run in release only, unless --all asks for them: half of the time is compiling. In debug RuntimeTests render
# small pictures of the embedded model by CutDiffusion. What runs in release only are tests of the other methods, models and files,
# of every setting and sampler, of kernels at many sizes, and of the repository's text. --all is for changes of the methods,
# networks, kernels and readers. Left out are long tests, modules of tests, and the programs, which no test starts in debug: these
# are not compiled in debug then.
release_only_modules=(RenderingTests WeightsTests TensorCoreTests DiffusionModelsTests GoldenCasesTests RepositoryTests
    EndToEndTests GoldenCases goldencheck patchloom patchloom-bench patchloom-compare)
long_tests=(
    --skip '^ClusterTests[.]ScaleTests/theWork' --skip '^CommandSupportTests[.]OptionTests/everyOption'
    --skip '^RuntimeTests[.](LargeBarrierTests|WireForecastTests|LargePictureTests/(comeInPieces|aBrokenTransfer|aClientAsks))'
    --skip '^SamplersTests[.]SamplerPropertyTests/everyStepCount' --skip '^TokenizingTests[.]CLIPTokenizerTests/theHeapAgrees'
    --skip '^AccelerationTests[.]TokenTests/roundings' --skip '^ImageQualityTests[.]LabelledPictureTests/theScoreTells'
    --skip '^ImageQualityTests[.]RepetitionTests/everySizeAndEnlargement'
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
    left_out=(EndToEndTests)
    release_only=()
    if [ "$configuration" = release ]; then
        left_out=()
    elif ! "$everything"; then
        left_out=("${release_only_modules[@]}")
        release_only=("${long_tests[@]}")
    fi
    # Package.swift reads it.
    PATCHLOOM_TARGETS_LEFT_OUT=$(IFS=, && printf '%s' "${left_out[*]}")
    export PATCHLOOM_TARGETS_LEFT_OUT
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
