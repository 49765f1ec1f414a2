# Read by the scripts beside this file: source scripts/lib.sh
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${CI:-} == true ]]; then
    export CARGO_INCREMENTAL=0
fi

# need PROGRAM HINT: stop early, with a next step, when a program is missing.
need() {
    if ! command -v "$1" >/dev/null; then
        echo "error: $1 is needed and was not found. $2" >&2
        exit 1
    fi
}

# step HEADING COMMAND...: a heading, the command, the time it took.
# A failure ends the script with the command's exit code.
step() {
    local code=0
    timed "$@" || code=$?
    ((code == 0)) || exit "$code"
}

# part HEADING COMMAND...: like step, but a failure is kept for finish, so that
# one run tells all there is to mend. A script that uses it ends with finish.
failed=()
part() {
    timed "$@" || failed+=("$1")
}

finish() {
    ((${#failed[@]} == 0)) && return
    echo >&2
    printf 'FAILED: %s\n' "${failed[@]}" >&2
    exit 1
}

timed() {
    local heading=$1 start=$SECONDS code=0
    shift
    echo
    echo "==> $heading"
    "$@" || code=$?
    if ((code != 0)); then
        echo "==> $heading: FAILED with exit code $code after $((SECONDS - start)) s" >&2
        return "$code"
    fi
    echo "==> $heading: ok, $((SECONDS - start)) s"
}

# with_servers COMMAND...: run it with a server of each kind for the tests, which
# stop when it has ended. integration-tests says which are taken.
with_servers() {
    local build=(cargo build --locked --quiet --package nodestore-integration-tests --bin with-servers)
    # What speaks to Docker is built where it is used.
    if [[ ${STORE_TEST_SERVERS:-} == container ]] || docker version >/dev/null 2>&1; then
        build+=(--features containers)
    fi
    # Not by cargo run: it sets variables that make a cargo inside build anew.
    "${build[@]}" && "${CARGO_TARGET_DIR:-target}/debug/with-servers" "$@"
}

# use_tools: put the pinned developer tools on PATH.
use_tools() {
    local tools
    need python3 "Install Python 3.11 or newer."
    tools=$(scripts/python-env --bin scripts/python/tools.txt)
    export PATH="$tools:$PATH"
}

need cargo "Install Rust with rustup; rust-toolchain.toml names the version."
