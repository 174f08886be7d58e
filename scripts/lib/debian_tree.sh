# shellcheck shell=bash
# Plain Debian trees to run programs in, as on a machine that has nothing else. Sourced, never run, after common.sh.
# They need root.

# fill_debian_tree FOLDER: a tree of this suite with these packages, for install_once.
fill_debian_tree() {
    has debootstrap || install_packages debootstrap
    # An older debootstrap doesn't know the name of a coming release yet.
    local mirror=${DEBIAN_MIRROR:-} script=/usr/share/debootstrap/scripts/$suite
    [[ -e $script ]] || script=/usr/share/debootstrap/scripts/sid
    # shellcheck disable=SC2016  # apt-get expands it.
    [[ -n $mirror ]] || mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sed -n 1p)
    run_logged "making a tree of Debian $suite (once)" "$cache_dir/logs/debootstrap.log" \
        debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev "$suite" "$1/tree" "$mirror" "$script"
}

# debian_tree SUITE: makes the tree once for all checkouts, and prints its path. What uses it takes a copy.
debian_tree() {
    local suite=$1 folder=$cache_dir/debian/$1
    [[ $(id -u) == 0 ]] || die "root is needed, for chroot and mounts"
    install_once "$folder" fill_debian_tree >&2
    echo "$folder/tree"
}

# copy_debian_tree SUITE FOLDER: a copy that reaches the registries as this machine does.
copy_debian_tree() {
    local tree
    tree=$(debian_tree "$1")
    mkdir -p "$2"
    cp -a --reflink=auto "$tree/." "$2"
    cp -r /usr/local/share/ca-certificates/. "$2/usr/local/share/ca-certificates"
    chroot "$2" update-ca-certificates >/dev/null 2>&1
    cp /etc/resolv.conf "$2/etc/resolv.conf"
}

# run_in_tree TREE COMMAND...: runs it with nothing of this machine's environment but what CARGO_ and proxy variables say
# about the network, and `variables`. When the command ends, so does everything that it has started, and what was mounted
# for it is gone. The Rust toolchain in `toolchain`, if set, is at /usr/local/rust.
run_in_tree() {
    local tree=$1 passed=() name
    shift
    while IFS= read -r name; do
        passed+=("$name=${!name}")
    done < <(compgen -e | grep -E '^CARGO_(HTTP|NET|REGIST|SOURCE)|_proxy$' || true)
    # shellcheck disable=SC2016  # The inner shell expands them.
    unshare --mount --propagation private --pid --fork --kill-child bash -euc '
        tree=$1 toolchain=$2
        shift 2
        mount --rbind /dev "$tree/dev"
        mount -t proc proc "$tree/proc"
        if [[ -n $toolchain ]]; then
            mkdir -p "$tree/usr/local/rust"
            mount --bind -o ro "$toolchain" "$tree/usr/local/rust"
        fi
        exec env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    ' _ "$tree" "${toolchain:-}" "${passed[@]}" "${variables[@]}" chroot "$tree" "$@"
}

# command_in_tree PROCESS: prints the process id of the command of a run_in_tree in the background. Its own child is
# `unshare`, which takes no signal, and that one's child is the command.
command_in_tree() { pgrep --parent "$(pgrep --parent "$1")"; }

# stop_in_tree PROCESS: kills the command of a run_in_tree in the background, and everything that it has started.
stop_in_tree() {
    local command
    if command=$(command_in_tree "$1"); then
        kill -KILL "$command" || true
    fi
    wait "$1" || true
}
