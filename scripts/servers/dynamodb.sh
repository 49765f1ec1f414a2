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
#   --large       more memory: for measurements
# shellcheck source-path=SCRIPTDIR source=dynamodb-common.sh
source "$(dirname "$0")/dynamodb-common.sh"
# shellcheck source=jars.sh
source "$PWD/scripts/servers/jars.sh"
self=$PWD/scripts/servers/dynamodb
disk=0 memory=512m shared=()

option() {
    case $1 in
        --disk) disk=1 ;;
        --shared) shared=(-sharedDb) ;;
        --large) memory=4g ;;
        *) return 1 ;;
    esac
}

fetch() {
    need_java "DynamoDB Local"
    fetch_jars "DynamoDB Local" "50 MB" "$self"
}

spawn_server() {
    local folder=$1 store=(-inMemory)
    if ((disk)); then store=(-dbPath "$folder/data"); fi
    mkdir -p "$folder/data" "$folder/tmp"
    # Its command line has the folder, by which alive knows it.
    spawn "$folder/pid" "$folder/log" "$java" -Xmx$memory -Djava.io.tmpdir="$folder/tmp" -Djava.library.path="$lib" \
        -cp "$lib/*" software.amazon.dynamodb.services.local.main.ServerRunner \
        -port "$2" "${store[@]}" "${shared[@]}" -disableTelemetry
}

if [[ ${1:-} == lock ]]; then lock_jars "DynamoDB Local" "$self"; else obey "$@"; fi
