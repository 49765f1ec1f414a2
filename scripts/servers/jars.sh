# Read by the scripts of servers that run on Java, after common.sh: source jars.sh
# What FOLDER/pom.xml names is fetched by Maven and must be what FOLDER/sha256 says.
# shellcheck shell=bash

java=${JAVA_HOME:+$JAVA_HOME/bin/}java

# java_suits: whether there is one, new enough.
java_suits() {
    local version
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    ((${version:-0} >= 17))
}

# need_java SERVER: or install one.
need_java() {
    java_suits && return
    install_package default-jre-headless || true
    java_suits || die "$1 needs Java 17 or newer. Install it (on Debian and Ubuntu: apt-get install" \
        "default-jre-headless) or name the folder of one in JAVA_HOME"
}

# download SERVER FOLDER TARGET: with all it needs.
download() {
    command -v mvn >/dev/null || install_package maven || true
    need mvn "It fetches $1. On Debian and Ubuntu: apt-get install maven"
    mvn --quiet --batch-mode -Dstyle.color=never --file "$2/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$3" </dev/null >&2 ||
        die "Maven could not fetch $1. Is the package registry reachable?"
}

# fetch_jars SERVER SIZE FOLDER: into the cache, once. Says where in lib.
fetch_jars() {
    local name server=$1 self=$3
    name=$(cat "$self/pom.xml" "$self/sha256" | sha256sum)
    lib=$cache/servers/${self##*/}-${name:0:16}
    [[ ! -f $lib/complete ]] || return 0
    mkdir -p "$cache/servers"
    (
        flock 7
        [[ ! -f $lib/complete ]] || exit 0
        echo "fetching $server, $2" >&2
        rm -rf "$lib"
        mkdir "$lib"
        download "$server" "$self" "$lib"
        [[ $(cd "$lib" && sha256sum -- *) == "$(<"$self/sha256")" ]] || {
            (cd "$lib" && sha256sum --check --quiet "$self/sha256" >&2) || true
            die "what Maven fetched into $lib is not what $self/sha256 says"
        }
        touch "$lib/complete"
    ) 7>>"$cache/servers/${self##*/}.lock"
}

# lock_jars SERVER FOLDER: write down the hashes.
lock_jars() {
    local folder
    folder=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$folder'" EXIT
    download "$1" "$2" "$folder"
    (cd "$folder" && sha256sum -- *) >"$2/sha256"
}
