# Read by dynamodb.sh and dynoxide.sh: source dynamodb-common.sh
# Both are one process, member 0. They say how it is installed (fetch) and started
# (spawn_server FOLDER PORT), and end with "obey" and their arguments.
# shellcheck shell=bash source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need python3 "Install Python 3.11 or newer."

parse() {
    port=''
    while (($# > 0)); do
        case $1 in
            --port) port=$2; shift ;;
            *) option "$1" || die "unknown option $1" ;;
        esac
        shift
    done
}

# option OPTION: takes one that not all have.
option() {
    return 1
}

member() {
    local folder=$1/n0 port
    [[ $2 == 0 && -f $folder/port ]] || die "$1 has no member $2"
    alive "$folder/pid" && return
    port=$(<"$folder/port")
    : >"$folder/log"
    spawn_server "$folder" "$port"
    wait_port "$folder/pid" "$folder/log" "$port"
}

start() {
    local dir=$1 options attempt port_file
    shift
    options=$*
    mkdir -p "$dir/n0"
    dir=$(cd "$dir" && pwd)
    port_file=$dir/n0/port
    if [[ -f $dir/options && $(<"$dir/options") != "$options" ]]; then
        die "$dir was started with other options: $(<"$dir/options")"
    fi
    echo "$options" >"$dir/options"

    # A free port may be taken before the server takes it.
    for attempt in 1 2 3; do
        [[ -f $port_file ]] || echo "${port:-$(free_ports 1)}" >"$port_file"
        if member "$dir" 0; then break; fi
        stop "$dir"
        [[ -z $port && $attempt != 3 ]] || die "the server does not start, see above"
        rm -f "$port_file"
    done
    # Any key will do; letters and digits.
    printf 'folder=%s\nports=%s\nurl=dynamodb://test:test@eu-central-1/?endpoint_url=http%%3A%%2F%%2F127.0.0.1%%3A%s\n' \
        "$dir" "$(<"$port_file")" "$(<"$port_file")"
}

# obey ARGUMENTS...: what the script was called with.
obey() {
    case ${1:-} in
        fetch) fetch ;;
        run) shift; parse "$@"; fetch; run "$@" ;;
        start) shift; parse "${@:2}"; fetch; start "$@" ;;
        member)
            # shellcheck disable=SC2046
            parse $(cat "${2:?DIR}/options")
            fetch
            member "$2" "${3:?NUMBER}"
            ;;
        stop) stop "${2:?DIR}" ;;
        *) sed -n '2,/^source/{/^#/p}' "$0" >&2; exit 2 ;;
    esac
}
