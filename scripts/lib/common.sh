# shellcheck shell=bash disable=SC2034
# What the scripts share: messages, system packages, the cache. Sourced, never run.

project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache_dir=${XDG_CACHE_HOME:-$HOME/.cache}/kafka-mongo-consumer

# Progress goes to standard error; standard output is for other programs.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# show_tail FILE: prints the end of a log, indented.
show_tail() {
    [[ -s $1 ]] || return 0
    printf -- '--- the end of %s:\n' "$1" >&2
    tail -n "${2:-20}" "$1" | sed 's/^/    /' >&2
}

# took WHAT SINCE: how long something has taken, by the value that SECONDS had before.
took() { say "$1 took $((SECONDS - $2)) s"; }

# run_logged WHAT LOG COMMAND...: runs a command that may take minutes, with its output in LOG. It reports every
# ten seconds that the command still runs, and at the end how long it took.
run_logged() {
    local what=$1 log=$2 started=$SECONDS pid seconds=0
    shift 2
    say "$what ..."
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 </dev/null 9>&- &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        seconds=$((seconds + 1))
        if ((seconds % 50 == 0)); then
            say "$what, $((seconds / 5)) s: $(tail -n 1 "$log" | cut -c 1-100)"
        fi
    done
    if ! wait "$pid"; then
        show_tail "$log"
        die "$what failed; all of its output: $log"
    fi
    took "$what" "$started"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a free port below the range of outgoing connections.
free_port() {
    local port
    while :; do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
        listens "$port" || break
    done
    echo "$port"
}

apt_is_current=

# install_packages PACKAGE...: installs with apt-get if that is possible, else ends with an error that names the
# packages. `a|b` means b where the distribution has no a.
install_packages() {
    local package packages=()
    if [[ $(id -u) != 0 ]] || ! has apt-get; then
        printf -v package ', %s' "${@//|/ or }"
        die "please install these system packages, named as on Debian and Ubuntu: ${package:2}"
    fi
    export DEBIAN_FRONTEND=noninteractive
    if [[ -z $apt_is_current ]]; then
        run_logged "refreshing the list of system packages" "$cache_dir/logs/apt-update.log" \
            apt-get -q -y update
        apt_is_current=yes
    fi
    for package in "$@"; do
        if apt-cache show "${package%%|*}" >/dev/null 2>&1; then
            packages+=("${package%%|*}")
        else
            packages+=("${package##*|}")
        fi
    done
    run_logged "installing system packages: ${packages[*]}" "$cache_dir/logs/apt-install.log" \
        apt-get -q -y install --no-install-recommends "${packages[@]}"
}

# install_once FOLDER FUNCTION: fills a folder of the cache completely or not at all, once for all checkouts.
install_once() {
    local folder=$1 fill=$2 temporary=$1.part
    [[ -d $folder ]] && return
    mkdir -p "$(dirname "$folder")"
    (
        flock -w 1200 8 || die "another download into $folder has been running for 20 minutes"
        [[ -d $folder ]] && exit
        rm -rf "$temporary"
        mkdir -p "$temporary"
        "$fill" "$temporary"
        mv "$temporary" "$folder"
    ) 8>"$folder.lock"
}

java_command() {
    if [[ -n ${JAVA_HOME:-} ]]; then
        echo "$JAVA_HOME/bin/java"
    else
        echo java
    fi
}

java_is_recent() {
    local version
    version=$("$(java_command)" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
    [[ -n $version ]] && ((version >= 17))
}

# need_rust: puts cargo on the PATH, and installs what is needed to compile the C libraries of crates.
need_rust() {
    if ! has cargo && [[ -x $HOME/.cargo/bin/cargo ]]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    has cargo || die "cargo is missing: install Rust 1.89 or newer, see https://rustup.rs"

    local missing=()
    { has cc && has c++; } || missing+=(gcc g++ libc6-dev)
    has make || missing+=(make)
    has cmake || missing+=(cmake)
    has pkg-config || missing+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
    if ((${#missing[@]})); then
        install_packages "${missing[@]}"
    fi
}

# tested_version: the version and the commit, for the record of a run.
tested_version() {
    local changes=''
    [[ -z $(git status --porcelain -- src tests Cargo.toml Cargo.lock) ]] || changes=' with changes'
    printf '%s (%s%s)\n' "$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)" \
        "$(git rev-parse --short=10 HEAD)" "$changes"
}

# need_commit VERSION: what is published must be committed.
need_commit() {
    [[ $1 != *changes* ]] || die "the record names a commit: commit what is changed in src/ and tests/ first"
}

# All scripts use one target folder, so that the C libraries are compiled once.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache_dir/target}
