#!/usr/bin/env bash
# Amazon's DynamoDB Local 3.3. Its licence lets anybody run it and nobody pass it on,
# so each machine fetches it itself, pinned. Needs Java 17 or newer, and to fetch it
# Maven; as root on Debian and Ubuntu they are installed.
#
#   dynamodb.sh run [OPTIONS]        until standard input ends
#   dynamodb.sh start DIR [OPTIONS]  in the background, unless it runs
#   dynamodb.sh member DIR 0         start it again
#   dynamodb.sh stop DIR
#   dynamodb.sh fetch                install it into the cache
#   dynamodb.sh lock                 write down the hashes after a change of its pom.xml
#
# run and start print name=value lines: folder, ports, url. It listens on all
# addresses of the machine and takes every key and secret. OPTIONS:
#
#   --port P      P instead of a free port
#   --disk        tables outlive a restart
#   --shared      all access keys and regions see the same tables
# shellcheck source-path=SCRIPTDIR source=dynamodb-common.sh
source "$(dirname "$0")/dynamodb-common.sh"
self=$PWD/scripts/servers/dynamodb
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
disk=0 shared=()

option() {
    case $1 in
        --disk) disk=1 ;;
        --shared) shared=(-sharedDb) ;;
        *) return 1 ;;
    esac
}

# java_suits: whether there is one, new enough.
java_suits() {
    local version
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    ((${version:-0} >= 17))
}

# download FOLDER: with all it needs.
download() {
    command -v mvn >/dev/null || install_package maven || true
    need mvn "It fetches DynamoDB Local. On Debian and Ubuntu: apt-get install maven"
    mvn --quiet --batch-mode -Dstyle.color=never --file "$self/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$1" </dev/null >&2 ||
        die "Maven could not fetch DynamoDB Local. Is the package registry reachable?"
}

fetch() {
    local name
    if ! java_suits; then
        install_package default-jre-headless || true
        java_suits || die "DynamoDB Local needs Java 17 or newer. Install it (on Debian and Ubuntu: apt-get install" \
            "default-jre-headless) or name the folder of one in JAVA_HOME"
    fi
    name=$(cat "$self/pom.xml" "$self/sha256" | sha256sum)
    lib=$cache/servers/dynamodb-${name:0:16}
    [[ ! -f $lib/complete ]] || return 0
    mkdir -p "$cache/servers"
    (
        flock 7
        [[ ! -f $lib/complete ]] || exit 0
        echo "fetching DynamoDB Local, 50 MB" >&2
        rm -rf "$lib"
        mkdir "$lib"
        download "$lib"
        [[ $(cd "$lib" && sha256sum -- *) == "$(<"$self/sha256")" ]] || {
            (cd "$lib" && sha256sum --check --quiet "$self/sha256" >&2) || true
            die "what Maven fetched into $lib is not what $self/sha256 says"
        }
        touch "$lib/complete"
    ) 7>>"$cache/servers/dynamodb.lock"
}

lock() {
    local folder
    folder=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$folder'" EXIT
    download "$folder"
    (cd "$folder" && sha256sum -- *) >"$self/sha256"
}

spawn_server() {
    local folder=$1 store=(-inMemory)
    if ((disk)); then store=(-dbPath "$folder/data"); fi
    mkdir -p "$folder/data" "$folder/tmp"
    # Its command line has the folder, by which alive knows it.
    spawn "$folder/pid" "$folder/log" "$java" -Xmx512m -Djava.io.tmpdir="$folder/tmp" -Djava.library.path="$lib" \
        -cp "$lib/*" software.amazon.dynamodb.services.local.main.ServerRunner \
        -port "$2" "${store[@]}" "${shared[@]}" -disableTelemetry
}

if [[ ${1:-} == lock ]]; then lock; else obey "$@"; fi
