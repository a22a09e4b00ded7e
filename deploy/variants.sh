#!/usr/bin/env bash
# Runs the computing tests as an older processor would run them, and with another version of oneDNN. CI does not: test.sh does
# not need it.
# Usage: deploy/variants.sh [--all] [--onednn FOLDER] [SET ...]    SET: instruction sets as ONEDNN_MAX_CPU_ISA names them (SSE41,
#        AVX, AVX2, AVX512_CORE, AVX512_CORE_BF16), or "native"; all that this CPU has without an argument.
#        --all: all tests, those that start programs too; minutes for each set.
#        --onednn: the oneDNN with FOLDER/include/oneapi/dnnl and FOLDER/lib/libdnnl.so, in a build of its own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

sets=()
library=
groups=(computing)
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --all) mapfile -t groups < <(test_groups release) ;;
    --onednn)
        [ $# -gt 1 ] || fail "--onednn needs a folder."
        library=$(readlink -m "$2")
        shift
        ;;
    SSE41 | AVX | AVX2 | AVX512_CORE | AVX512_CORE_BF16 | native) sets+=("$1") ;;
    *) fail "'$1' is no instruction set; use SSE41, AVX, AVX2, AVX512_CORE, AVX512_CORE_BF16, native or nothing." ;;
    esac
    shift
done

# oneDNN takes the CPU's own set where the variable names a later one, and such a run would prove nothing.
has_set() {
    local flags
    flags=" $(sed -n 's/^flags[[:space:]]*: //p' /proc/cpuinfo | head -n 1) "
    case "$1" in
    SSE41) [[ "$flags" == *" sse4_1 "* ]] ;;
    AVX) [[ "$flags" == *" avx "* ]] ;;
    AVX2) [[ "$flags" == *" avx2 "* ]] ;;
    AVX512_CORE) [[ "$flags" == *" avx512bw "* ]] ;;
    AVX512_CORE_BF16) [[ "$flags" == *" avx512_bf16 "* ]] ;;
    native) true ;;
    esac
}

if [ "${#sets[@]}" -eq 0 ]; then
    for set in SSE41 AVX AVX2 AVX512_CORE AVX512_CORE_BF16 native; do
        if has_set "$set"; then sets+=("$set"); fi
    done
fi
for set in "${sets[@]}"; do
    has_set "$set" || fail "this CPU has no $set, so the tests would not run with it."
done

# Objects that were compiled with other headers must not meet this library, so they have a folder of their own.
mapfile -t options < <(test_build_options release ${library:+.build-onednn})
if [ -n "$library" ]; then
    [ -e "$library/include/oneapi/dnnl/dnnl.h" ] || fail "'$library/include/oneapi/dnnl/dnnl.h' is not there."
    [ -e "$library/lib/libdnnl.so" ] || fail "'$library/lib/libdnnl.so' is not there."
    options+=(-Xcc "-I$library/include" -Xswiftc "-L$library/lib" -Xlinker "-rpath=$library/lib")
fi

start=$SECONDS
settle_threads
prepare_machine
cd "$root"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

if [ -n "$library" ]; then
    # These name the system's folder, and so the system's oneDNN would be found first. The linker knows that folder anyway.
    mkdir "$logs/pkgconfig"
    for package in fontconfig freetype2; do
        sed 's/-L[^ ]*//' "$(pkg-config --variable=pcfiledir "$package")/$package.pc" >"$logs/pkgconfig/$package.pc"
    done
    export PKG_CONFIG_PATH="$logs/pkgconfig"
fi

step "build"
swift build "${options[@]}" --build-tests </dev/null
options_of_group() {
    if [ "$1" = computing ]; then
        printf '%s\n' --filter '^(TensorCoreTests|DiffusionModelsTests|AccelerationTests)[.]'
    else
        test_group_options "$1"
    fi
}
for set in "${sets[@]}"; do
    limit=(ONEDNN_MAX_CPU_ISA="$set")
    if [ "$set" = native ]; then limit=(-u ONEDNN_MAX_CPU_ISA); fi
    for group in "${groups[@]}"; do
        step "$set: $group tests"
        mapfile -t selection < <(options_of_group "$group")
        env "${limit[@]}" swift test "${options[@]}" --skip-build "${selection[@]}" </dev/null 2>&1 | tee "$logs/$set $group"
    done
done

step "result"
for set in "${sets[@]}"; do
    for group in "${groups[@]}"; do
        closing=$(grep -oE 'Test run with [0-9]+ tests?.*' "$logs/$set $group" | tail -n 1 || true)
        count=$(sed -nE 's/Test run with ([0-9]+) tests?.*/\1/p' <<<"$closing")
        if [ "${count:-0}" -eq 0 ]; then fail "$set, $group: no test ran."; fi
        printf '%-16s %-16s %s\n' "$set" "$group" "$closing"
    done
done
printf 'all passed, in %s\n' "$(elapsed_since "$start")"
