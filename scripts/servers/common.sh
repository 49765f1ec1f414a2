# Read by the scripts of the servers beside this file: source common.sh
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# As in scripts/python-env.
cache=${NODESTORE_CACHE_DIR:-}
if [[ -z $cache ]]; then
    cache=${XDG_CACHE_HOME:-}
    [[ $cache == /* ]] || cache=$HOME/.cache
    cache=$cache/nodestore
fi

die() {
    echo "error: $*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "$1 is needed and was not found. $2"
}

# install_package PACKAGE: as root on Debian and Ubuntu; fails anywhere else.
install_package() {
    ((EUID == 0)) && command -v apt-get >/dev/null || return
    mkdir -p "$cache/servers"
    (
        # apt-get refuses to run twice at a time.
        flock 7
        ! dpkg -s "$1" >/dev/null 2>&1 || exit 0
        echo "installing $1" >&2
        apt-get update -qq >&2 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1" >&2
    ) 7>>"$cache/servers/apt.lock" </dev/null
}

# need_libraries PROGRAM PACKAGE: the shared libraries of a server's program are
# there, or can be installed with the package.
need_libraries() {
    local missing
    missing=$(ldd "$1" | sed -n 's/^[[:space:]]*\(.*\) => not found.*/\1/p')
    [[ -n $missing ]] || return 0
    install_package "$2" && return
    die "this machine lacks what $1 needs: ${missing//$'\n'/, }. On Debian and Ubuntu: apt-get install $2"
}

# certificates FOLDER: a CA, the certificates of a server and two clients, and a CA
# that signed none, once.
certificates() {
    local folder=$1 name
    [[ ! -f $folder/complete ]] || return 0
    need openssl "Install OpenSSL's command."
    local request=(openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    mkdir -p "$folder"
    (
        cd "$folder"
        for name in ca other-ca; do
            "${request[@]}" -x509 -days 30 -subj "/CN=$name of a test" -keyout $name.key -out $name.crt \
                -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
        done
        # A client with the server's O would count as a member.
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >extensions
        for name in server client stranger; do
            "${request[@]}" -subj "/O=$name/CN=$name" -keyout $name.key -out $name.csr
            openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile extensions \
                -out $name.crt
            cat $name.crt $name.key >$name.pem
        done
    ) 2>"$folder/openssl.log" || die "openssl failed: $(cat "$folder/openssl.log")"
    touch "$folder/complete"
}

# free_ports COUNT: ports of 127.0.0.1 that nobody listens on.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))
PYTHON
}

# alive PIDFILE: whether the process runs. One that was killed is a zombie until
# its parent looks, and runs no more. The folder in its command line tells it
# from another process that got the same number later.
alive() {
    local pid state
    pid=$(cat "$1" 2>/dev/null) || return 1
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || return 1
    [[ -n $state && $state != [ZX] ]] || return 1
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$(dirname "$1")/"
}

# spawn PIDFILE LOG COMMAND...: start it in a session of its own, so that it
# outlives this script and no Ctrl-C reaches it.
spawn() {
    local pid_file=$1 log=$2
    shift 2
    setsid nohup "$@" >>"$log" 2>&1 </dev/null &
    echo $! >"$pid_file"
}

# wait_log PIDFILE LOG TEXT: until the log, from where it is now, has the text.
wait_log() {
    local seconds=60 i
    for ((i = 0; i < seconds * 20; i++)); do
        grep -qF "$3" "$2" 2>/dev/null && return
        alive "$1" || break
        sleep 0.05
    done
    tail -n 20 "$2" >&2 || true
    return 1
}

# listens PIDFILE PORT: whether this process, and no other, listens on the port.
listens() {
    local pid sockets
    pid=$(cat "$1")
    # Of a socket that listens: the port in hexadecimal, state 0A, its number.
    sockets=$(awk -v port=":$(printf %04X "$2")" '$4 == "0A" && substr($2, length($2) - 4) == port { print "socket:[" $10 "]" }' \
        "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null) || true
    [[ -n $sockets ]] && find "/proc/$pid/fd" -printf '%l\n' 2>/dev/null | grep -qF "$sockets"
}

# wait_port PIDFILE LOG PORT: until the process listens on it.
wait_port() {
    local seconds=60 i
    for ((i = 0; i < seconds * 20; i++)); do
        listens "$1" "$3" && return
        alive "$1" || break
        sleep 0.05
    done
    tail -n 20 "$2" >&2 || true
    return 1
}

# kill_all PIDFILE...: at once, with no time to save anything.
kill_all() {
    local file
    for file in "$@"; do
        if alive "$file"; then kill -KILL "$(cat "$file")"; fi
        rm -f "$file"
    done
}

# stop_all PIDFILE...: ask all of them to stop, wait, kill what is left.
stop_all() {
    local file i running
    for file in "$@"; do
        # A frozen process acts on nothing else; one that is not may be gone by then.
        if alive "$file"; then kill -TERM "$(cat "$file")" && kill -CONT "$(cat "$file")" 2>/dev/null || true; fi
    done
    for ((i = 0; i < 200; i++)); do
        running=0
        for file in "$@"; do if alive "$file"; then running=1; fi; done
        ((running)) || break
        sleep 0.05
    done
    kill_all "$@"
}

# each_pid COMMAND DIR: the command with the pid files of all members.
each_pid() {
    local files=("$2"/n?/pid)
    [[ ! -f ${files[0]} ]] || "$1" "${files[@]}"
}

# stop DIR: the server of the folder, in peace.
stop() {
    each_pid stop_all "$1"
}

# end DIR: at once; what it held is removed anyway.
end() {
    each_pid kill_all "$1"
}

# sweep: end what runs that were killed left behind.
sweep() {
    local folder
    for folder in "$cache"/servers/run-*/; do
        folder=${folder%/}
        [[ -d $folder ]] || continue
        (
            # A run that lives holds its lock.
            flock -n 9 || exit 0
            end "$folder"
            rm -rf "$folder" "$folder.lock"
        ) 9>>"$folder.lock"
    done
}

# run OPTIONS...: a server for one run of tests. "start DIR OPTIONS" of the script
# starts it and prints name=value lines; the line "ready" follows. When standard
# input ends, however the process at its other end came to its own, the server
# is ended and its folder removed.
run() {
    local folder lines
    mkdir -p "$cache/servers"
    # One at a time, or one sweeps away what another has not locked yet.
    exec 8>>"$cache/servers/lock"
    flock 8
    sweep 8>&-
    folder=$(mktemp -d "$cache/servers/run-XXXXXX")
    exec 9>>"$folder.lock"
    flock -n 9
    exec 8>&-
    trap '' INT HUP
    trap 'exit 143' TERM
    # shellcheck disable=SC2064
    trap "end '$folder' 9>&-; rm -rf '$folder' '$folder.lock'" EXIT
    lines=$(start "$folder" "$@" 9>&-)
    printf '%s\nready\n' "$lines"
    exec >&-
    cat >/dev/null
}
