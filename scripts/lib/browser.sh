# shellcheck shell=bash
# Chromium and what tools/page-test needs. Sourced after common.sh, never run.

browser_path() {
    local name
    for name in chromium chromium-browser google-chrome; do
        ! has "$name" || { command -v "$name" && return; }
    done
}

# need_browser: installs Chromium and the packages of tools/page-test, and exports CHROMIUM. CHROMIUM may name
# another browser of the family.
need_browser() {
    local folder=$project_dir/tools/page-test missing=()
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    [[ -n ${CHROMIUM:-$(browser_path)} ]] || missing+=(chromium)
    if ((${#missing[@]})); then
        install_packages "${missing[@]}"
    fi
    export CHROMIUM=${CHROMIUM:-$(browser_path)}
    node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
        die "node is $(node --version), and tools/page-test needs 20 or newer"
    if ! cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed"; then
        run_logged "downloading playwright-core and axe-core (18 MB, once)" "$cache_dir/logs/npm.log" \
            npm ci --prefix "$folder"
        cp "$folder/package-lock.json" "$folder/node_modules/.installed"
    fi
}
