#!/usr/bin/env bash
# dynoxide, a DynamoDB server that knows vector indexes, as DynamoDB Local does
# not. Built once by cargo, from its pinned crate.
#
#   dynoxide.sh run [OPTIONS]        until standard input ends
#   dynoxide.sh start DIR [OPTIONS]  in the background, unless it runs
#   dynoxide.sh member DIR 0         start it again, empty
#   dynoxide.sh stop DIR
#   dynoxide.sh fetch                build it into the cache
#
# run and start print name=value lines: folder, ports, url. OPTIONS:
#
#   --port P      P instead of a free port
# shellcheck source-path=SCRIPTDIR source=dynamodb-common.sh
source "$(dirname "$0")/dynamodb-common.sh"
version=3.2.0

fetch() {
    local home=$cache/servers/dynoxide-$version start=$SECONDS
    program=$home/bin/dynoxide
    [[ ! -x $program ]] || return 0
    need cargo "Install Rust with rustup; rust-toolchain.toml names the version."
    mkdir -p "$cache/servers"
    (
        flock 7
        [[ ! -x $program ]] || exit 0
        echo "building dynoxide $version; this takes minutes, once on a machine" >&2
        trap 'rm -rf "$home/target"' EXIT
        # Without its other interfaces, and optimised less than its own profile asks.
        CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
            cargo install --quiet --locked --root "$home" --target-dir "$home/target" \
            --no-default-features --features native-sqlite,http-server,cli "dynoxide-rs@$version" >&2 ||
            die "cargo could not build dynoxide-rs $version. Is the package registry reachable?"
        echo "built dynoxide in $((SECONDS - start)) s" >&2
    ) 7>>"$cache/servers/dynoxide.lock" </dev/null
}

spawn_server() {
    local folder=$1
    # Its command line is to have the folder, by which alive knows it.
    ln -sf "$program" "$folder/dynoxide"
    spawn "$folder/pid" "$folder/log" "$folder/dynoxide" serve --port "$2"
}

obey "$@"
