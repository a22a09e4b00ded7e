#!/usr/bin/env bash
# Looks for data races and wrong uses of memory: runs tests in builds with sanitizers, and ends at the first finding.
# Usage: deploy/sanitize.sh [thread|memory]    thread: ThreadSanitizer on sockets, runtime and cluster; memory: AddressSanitizer
#        and UndefinedBehaviorSanitizer on kernels, readers and messages; both without an argument.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

checks=(thread memory)
case "${1:-}" in
"") ;;
thread | memory) checks=("$1") ;;
-h | --help)
    sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*) fail "'$1' is no check; use thread, memory or nothing." ;;
esac

# Each build has a folder of its own: code with a sanitizer cannot be linked with code without it.
build_options() {
    printf '%s\n' --explicit-target-dependency-import-check error
    case "$1" in
    thread) printf '%s\n' --scratch-path .build-tsan --sanitize thread ;;
    # Swift checks its own arithmetic; undefined behaviour is looked for in the C code. Its runtime is in AddressSanitizer's.
    memory)
        # Each buffer of activations is a block of its own, so that it has an end that is watched.
        printf '%s\n' --scratch-path .build-asan --sanitize address -Xswiftc -DWATCHED_MEMORY \
            -Xcc -fsanitize=undefined -Xcc -fno-sanitize-recover=undefined
        ;;
    esac
}

tests_of() {
    case "$1" in
    thread) printf '%s' '^(RuntimeTests|ClusterTests|ZMQSocketsTests)[.]' ;;
    memory)
        printf '%s' '^(TensorCoreTests|ContentHashTests|StrictJSONTests|WeightsTests|TokenizingTests|PromptingTests'
        printf '%s' '|ImageFilesTests|ContactSheetsTests|FileSignaturesTests|ScratchFilesTests|SamplersTests|RequestsTests'
        printf '%s' '|MessagesTests|RenderingTests[.](Codec|Wire|Request)Tests)[./]'
        ;;
    esac
}

# Farms live by the clock, and the sanitizer makes them many times slower: one test at a time, or live peers would count as silent.
test_options() {
    # The test that is left out times 65,000 events of one thread; there is nothing to find.
    if [ "$1" = thread ]; then printf '%s\n' --no-parallel --skip '^ClusterTests[.]ScaleTests/theWork'; fi
    if [ "$1" = memory ]; then printf '%s\n' --skip '^TensorCoreTests[.]BufferPoolTests'; fi
    printf '%s\n' --filter "$(tests_of "$1")"
}

# The line with which a sanitizer begins a finding.
finding='(WARNING|ERROR): [A-Za-z]*Sanitizer|[A-Za-z]*Sanitizer: CHECK failed|runtime error: |Assertion failed: '

start=$SECONDS
prepare_machine
cd "$root"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

settle_threads
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:history_size=4"
# What Swift's runtime keeps for the life of the process is no leak of ours.
export ASAN_OPTIONS="detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1"
# The sanitizer writes the stack; Swift's own backtracer would stop every thread and wait for it.
export SWIFT_BACKTRACE="enable=no"

# The order that Swift's Mutex and libgomp make is invisible to ThreadSanitizer without this library; see there.
if [[ " ${checks[*]} " == *" thread "* ]]; then
    "$(dirname "$(readlink -f "$(command -v swift)")")/clang" -shared -fPIC -O1 -Wall -Wextra -Werror \
        -o "$logs/tsan-order.so" deploy/tsan-order.c || fail "deploy/tsan-order.c could not be compiled by the toolchain's clang; see above."
fi

for check in "${checks[@]}"; do
    mapfile -t options < <(build_options "$check")
    step "$check: build"
    swift build "${options[@]}" --build-tests </dev/null
    step "$check: tests"
    log="$logs/$check"
    preload=
    if [ "$check" = thread ]; then preload="$logs/tsan-order.so"; fi
    mapfile -t selection < <(test_options "$check")
    LD_PRELOAD="$preload" swift test "${options[@]}" --skip-build "${selection[@]}" </dev/null 2>&1 \
        | tee "$log" || true
    if found=$(grep -a -m 1 -E "$finding" "$log"); then fail "$check: $found"; fi
    closing=$(grep -aoE 'Test run with [0-9]+ tests?.*' "$log" | tail -n 1 || true)
    count=$(sed -nE 's/Test run with ([0-9]+) tests?.* passed.*/\1/p' <<<"$closing")
    if [ "${count:-0}" -eq 0 ]; then fail "$check: ${closing:-no test ran}."; fi
done

step "result"
printf 'clean, in %s\n' "$(elapsed_since "$start")"
