# Functions that the scripts of this folder share: they prepare a machine for the build. Source this file, do not run it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The libraries that Patchloom links, and the packages that the Swift toolchain needs. A * stands for any version.
library_packages=(libzmq3-dev libopenblas-dev libpng-dev libjpeg62-turbo-dev libwebp-dev libdnnl-dev libssl-dev
    libfreetype-dev libfontconfig-dev pkg-config)
toolchain_packages=(git ca-certificates binutils libc6-dev 'libgcc-*-dev' 'libstdc++-*-dev' zlib1g-dev libcurl4 libxml2
    libsqlite3-0 libncurses6 libuuid1 tzdata)

swift_minimum=6.2

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

step() {
    printf '\n== %s\n' "$1"
}

package_installed() {
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# The packages that are not installed yet, one a line. `libgcc-*-dev` becomes the version of Debian 12.
missing_packages() {
    local package
    for package in "${library_packages[@]}" "${toolchain_packages[@]}"; do
        package_installed "$package" || printf '%s\n' "${package/-\*-/-12-}"
    done
}

# Threads of tests wait as in the programs, which set this themselves (WaitingPolicy.swift), and OpenBLAS starts no threads. Else
# tests that run at the same time spend most of their time in waiting loops.
settle_threads() {
    export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-2000}"
    export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
}

# Options of builds for tests, in a configuration, and in a folder other than the usual one. Without debugging information a build takes a tenth less time; a
# crash then names functions without lines. One process compiles a whole module: it checks the types once, and not two or three
# times, which takes a quarter off the debug build. The release tests see internals too, and a release build needs an option for
# this. The folder must be used for nothing else: builds with other options, such as those of developers and quickstart.sh, would
# rebuild it each time.
test_build_options() {
    printf '%s\n' -c "$1" --explicit-target-dependency-import-check error --scratch-path "${2:-.build-$1-tests}"
    printf -- '-Xswiftc\n%s\n' -gnone -whole-module-optimization -num-threads 1 -no-emit-module-separately-wmo
    if [ "$1" = release ]; then printf '%s\n' -Xswiftc -enable-testing; fi
}

# The groups of tests in a configuration, and their options. Tests that depend on the clock (sockets, processes) run apart from
# those that take all the processors. Programs are started as users have them, in release: the code that they run is tested in
# debug by the two other groups.
test_groups() {
    printf '%s\n' "unit and parity" "runtime"
    if [ "$1" = release ]; then printf '%s\n' "end to end"; fi
}
test_group_options() {
    case "$1" in
    "unit and parity") printf '%s\n' --skip '^RuntimeTests[.]' --skip '^EndToEndTests[.]' ;;
    "runtime") printf '%s\n' --filter '^RuntimeTests[.]' ;;
    "end to end") printf '%s\n' --filter '^EndToEndTests[.]' ;;
    esac
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs the missing packages. It calls apt only if one is missing, so a complete machine needs no network and no rights.
require_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        if pkg-config --exists libzmq openblas libpng16 libjpeg libwebpdemux libcrypto freetype2 fontconfig 2>/dev/null; then return; fi
        fail "this system has no apt; install the libraries ZeroMQ, OpenBLAS, libpng, libjpeg-turbo, libwebp, oneDNN 2.x or 3.x, OpenSSL, FreeType and fontconfig with their headers, and pkg-config (Debian calls them ${library_packages[*]})."
    fi
    local missing
    mapfile -t missing < <(missing_packages)
    if [ "${#missing[@]}" -eq 0 ]; then return; fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        fail "these packages are missing and need root: run 'apt-get install ${missing[*]}' as root, then this script again."
    fi
    step "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q \
        || fail "'apt-get update' failed; see above, and run this script again when the package sources answer."
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" \
        || fail "apt could not install '${missing[*]}'; where a system has no libdnnl-dev (oneDNN 2.x or 3.x, x86-64 and arm64 in Debian), it must be built from source."
}

# Prints the version of the Swift on the path, such as 6.3.1. Prints nothing if there is none or it does not start.
swift_version() {
    swift --version 2>/dev/null </dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1 || true
}

# Fails in one line if there is no Swift, or one that is too old.
require_swift() {
    # sudo shortens the path, so this also looks where toolchains usually are.
    PATH="$PATH:/opt/swift/usr/bin:/usr/local/swift/usr/bin:/usr/share/swift/usr/bin:${HOME:-/nonexistent}/.local/share/swiftly/bin"
    local found
    found=$(swift_version)
    if [ -z "$found" ] && command -v swift >/dev/null && [ "${1:-}" = may-lack-libraries ]; then return; fi
    if [ -z "$found" ] || [ "$(printf '%s\n%s\n' "$swift_minimum" "$found" | sort -V | head -n 1)" != "$swift_minimum" ]; then
        fail "Patchloom needs Swift $swift_minimum or newer (found: ${found:-none}); get it as https://www.swift.org/install/linux says; where curl is installed: 'curl -LO https://download.swift.org/swiftly/linux/swiftly-$(uname -m).tar.gz && tar xzf swiftly-$(uname -m).tar.gz && ./swiftly init'."
    fi
}

# Checks Swift first, so that nothing is installed on a machine that cannot build, and again once its libraries are there.
prepare_machine() {
    require_swift may-lack-libraries
    require_packages
    require_swift
}

# Fails in one line if the build cannot write where it must, before minutes are spent on it.
require_build_folder() {
    local build="$root/.build"
    if [ -e "$build" ]; then
        if [ ! -d "$build" ] || [ ! -w "$build" ] || [ ! -x "$build" ]; then
            fail "'$build' belongs to $(stat -c %U "$build") and $(id -un 2>/dev/null || id -u) cannot write to it: remove it, or run this script as $(stat -c %U "$build")."
        elif [ "$(id -u)" -ne 0 ] && [ ! -O "$build" ]; then
            fail "'$build' belongs to $(stat -c %U "$build"), and what that user built cannot be replaced: remove it, or run this script as $(stat -c %U "$build")."
        fi
    elif [ ! -w "$root" ]; then
        fail "'$root' is not writable, and the build needs a folder there: copy it to a place of your own."
    fi
}

# Seconds since the given value of $SECONDS, as minutes and seconds.
elapsed_since() {
    local seconds=$((SECONDS - $1))
    if [ "$seconds" -ge 60 ]; then printf '%d min %d s' $((seconds / 60)) $((seconds % 60)); else printf '%d s' "$seconds"; fi
}
