#!/usr/bin/env bash
# Apache Cassandra 5.0, one node or a ring. Needs Java 17 or newer, and to fetch it
# Maven; as root on Debian and Ubuntu they are installed.
#
#   cassandra.sh run [OPTIONS]        until standard input ends
#   cassandra.sh start DIR [OPTIONS]  in the background; starts what is not running
#   cassandra.sh member DIR NUMBER    start one node again
#   cassandra.sh stop DIR
#   cassandra.sh fetch                install it into the cache
#   cassandra.sh lock                 write down the hashes after a change of its pom.xml
#
# run and start print name=value lines: folder, ports, url. OPTIONS:
#
#   --port P      P and the ports after it instead of free ones
#   --nodes N     N of them, which know each other; default 1
#   --auth        they ask for a user: cassandra, password cassandra, may do all
#   --tls         TLS only, and clients must show a certificate; in DIR/tls: ca.crt,
#                 client.pem and other-ca.crt (of another CA)
#   --fast        the schema is changed two to three times quicker, and lost when a node
#                 is killed
#   --large       more memory and the slower compiler: for measurements
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"
# shellcheck source=jars.sh
source "$PWD/scripts/servers/jars.sh"
self=$PWD/scripts/servers/cassandra
need python3 "Install Python 3.11 or newer."

parse() {
    port='' nodes=1 auth=0 tls=0 fast=0 large=0
    while (($# > 0)); do
        case $1 in
            --port) port=$2; shift ;;
            --nodes) nodes=$2; shift ;;
            --auth) auth=1 ;;
            --tls) tls=1 ;;
            --fast) fast=1 ;;
            --large) large=1 ;;
            *) die "unknown option $1" ;;
        esac
        shift
    done
}

fetch() {
    need_java Cassandra
    fetch_jars Cassandra "67 MB" "$self"
}

# settings DIR NUMBER PORTS...: of a node: native, storage, and storage with TLS,
# each of all nodes.
settings() {
    local dir=$1 number=$2 authenticator=AllowAllAuthenticator authorizer=AllowAllAuthorizer token rows=96MiB
    shift 2
    if ((large)); then rows=512MiB; fi
    if ((auth)); then authenticator=PasswordAuthenticator authorizer=CassandraAuthorizer; fi
    # Even tokens, one a node.
    token=$((-9223372036854775807 + number * 2 * (9223372036854775807 / nodes)))
    local ports=("$@")
    sed -e "s|SSL_STORAGE_PORT|${ports[2 * nodes + number]}|" \
        -e "s|STORAGE_PORT|${ports[nodes + number]}|" -e "s|NATIVE_PORT|${ports[number]}|" \
        -e "s|SEED_PORT|${ports[nodes]}|" -e "s|TOKEN|$token|" -e "s|FOLDER|$dir/n$number|" \
        -e "s|AUTHENTICATOR|$authenticator|" -e "s|AUTHORIZER|$authorizer|" \
        -e "s|MEMTABLES|$rows|" "$self/cassandra.yaml"
    ((!tls)) || cat <<YAML
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: "$dir/tls/server.pem"
  truststore: "$dir/tls/ca.crt"
YAML
}

# ports DIR: the ports, and the settings of each node, once.
ports() {
    local dir=$1 ports i
    [[ -f $dir/ports ]] && return
    if [[ -n $port ]]; then
        seq -s ' ' "$port" $((port + 3 * nodes - 1)) >"$dir/ports"
    else
        free_ports $((3 * nodes)) >"$dir/ports"
    fi
    read -ra ports <"$dir/ports"
    for ((i = 0; i < nodes; i++)); do
        mkdir -p "$dir/n$i/tmp"
        settings "$dir" "$i" "${ports[@]}" >"$dir/n$i/cassandra.yaml"
    done
}

member() {
    local folder=$1/n$2 ports opts package
    [[ -d $folder ]] || die "$1 has no member $2"
    alive "$folder/pid" && return
    read -ra ports <"$1/ports"
    opts=(
        -javaagent:"$(echo "$lib"/jamm-*.jar)"
        -Xms192m -Xss512k -XX:+UseSerialGC -XX:-UsePerfData
        -XX:MaxDirectMemorySize=256m -XX:+ExitOnOutOfMemoryError -Djdk.attach.allowAttachSelf=true
        -Djava.io.tmpdir="$folder/tmp" -Djna.tmpdir="$folder/tmp"
        -Dlogback.configurationFile="$self/logback.xml"
        -Dcassandra.config="file://$folder/cassandra.yaml" -Dcassandra.storagedir="$folder"
        -Dcassandra.ring_delay_ms=$((nodes > 1 ? 500 : 0)) -Dcassandra.skip_wait_for_gossip_to_settle=0
        -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.consistent.rangemovement=false
        # Given, it need not be measured, which takes a third of a start.
        -Dcassandra.memtable.row_overhead_size=180
    )
    for package in jdk.internal.misc jdk.internal.ref sun.nio.ch; do
        opts+=("--add-exports=java.base/$package=ALL-UNNAMED")
    done
    for package in java.io java.lang java.lang.module java.lang.reflect java.math java.net java.nio java.util \
        java.util.concurrent java.util.concurrent.atomic jdk.internal.loader jdk.internal.math \
        jdk.internal.module jdk.internal.ref jdk.internal.reflect jdk.internal.util.jar sun.nio.ch; do
        opts+=("--add-opens=java.base/$package=ALL-UNNAMED")
    done
    opts+=(--add-exports=java.sql/java.sql=ALL-UNNAMED --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED)
    # A test's node does not live long enough for more than the quick compiler.
    if ((large)); then opts+=(-Xmx2g); else opts+=(-Xmx768m -XX:TieredStopAtLevel=1); fi
    if ((fast)); then
        opts+=(-Dcassandra.test.flush_local_schema_changes=false -Dcassandra.unsafesystem=true)
    fi
    : >"$folder/log"
    spawn "$folder/pid" "$folder/log" "$java" "${opts[@]}" -cp "$lib/*" \
        org.apache.cassandra.service.CassandraDaemon
    wait_port "$folder/pid" "$folder/log" "${ports[$2]}"
}

start() {
    local dir=$1 options i attempt clients user=''
    shift
    options=$*
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    if [[ -f $dir/options && $(<"$dir/options") != "$options" ]]; then
        die "$dir was started with other options: $(<"$dir/options")"
    fi
    echo "$options" >"$dir/options"
    if ((tls)); then certificates "$dir/tls"; fi
    if ((auth)); then user='cassandra cassandra'; fi

    # A free port may be taken before the server takes it.
    for attempt in 1 2 3; do
        ports "$dir"
        for ((i = 0; i < nodes; i++)); do member "$dir" "$i" || break; done
        if ((i == nodes)); then break; fi
        end "$dir"
        [[ -z $port && $attempt != 3 ]] || die "Cassandra does not start, see above"
        rm -rf "$dir"/n? "$dir/ports"
    done
    read -ra clients <"$dir/ports"
    clients=("${clients[@]:0:nodes}")
    python3 scripts/servers/cassandra-ready.py "$user" "$( ((!tls)) || echo "$dir/tls")" "${clients[@]}"
    printf 'folder=%s\nports=%s\nurl=%s\n' "$dir" "${clients[*]}" "$(url "$dir" "${clients[@]}")"
}

# url DIR PORT...
url() {
    local dir=$1 user='' query="store.replication=$nodes" hosts
    shift
    if ((auth)); then user=cassandra:cassandra@; fi
    if ((tls)); then
        query+="&tls=true&tlsHostName=localhost&tlsCAFile=$dir/tls/ca.crt&tlsCertificateFile=$dir/tls/client.pem"
    fi
    printf -v hosts '127.0.0.1:%s,' "$@"
    echo "cassandra://$user${hosts%,}/?$query"
}

case ${1:-} in
    fetch) fetch ;;
    lock) lock_jars Cassandra "$self" ;;
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
