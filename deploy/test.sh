#!/usr/bin/env bash
# Checks the format, builds without warnings and runs all tests, in debug and in release.
# Usage: deploy/test.sh [--quick]    --quick leaves the release build out.
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

start=$SECONDS
prepare_machine
cd "$root"

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

step "format"
swift format lint --strict --recursive Package.swift Sources Tests </dev/null
for script in deploy/*.sh .ci/run; do bash -n "$script"; done
printf 'clean\n'

# The release tests see internals too, which a release build is not made for unless told so; in a folder of its own, or it and the
# program that quickstart.sh builds would rebuild each other.
options_of() {
    printf '%s\n' -c "$1" --explicit-target-dependency-import-check error
    if [ "$1" = release ]; then printf '%s\n' -Xswiftc -enable-testing --scratch-path .build-release-tests; fi
}

for configuration in "${configurations[@]}"; do
    mapfile -t options < <(options_of "$configuration")
    step "$configuration: build (an undeclared import is an error)"
    swift build "${options[@]}" --build-tests </dev/null
    step "$configuration: tests"
    swift test "${options[@]}" --skip-build </dev/null 2>&1 | tee "$logs/$configuration"
done

step "result"
for configuration in "${configurations[@]}"; do
    # The runner's own closing lines. None means that nothing ran, which is a failure.
    printf '%s:\n' "$configuration"
    grep -E 'Test run with [0-9]+ tests' "$logs/$configuration" | sed 's/^/  /' || fail "$configuration: no test ran."
    grep -E 'Test run with 0 tests' "$logs/$configuration" && fail "$configuration: no test ran."
    skipped=$(grep -cE ' skipped' "$logs/$configuration" || true)
    printf '  %s skipped\n' "$skipped"
done
printf 'all passed in %s\n' "$(elapsed_since "$start")"
