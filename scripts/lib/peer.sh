# shellcheck shell=bash disable=SC2034
# The command line of the scripts in scripts/peers/. Sourced after common.sh, never run.

peers_dir=$cache_dir/peers

# peer COMMAND [OPTIONS]: each script defines the functions `prepare`, `run_peer` and `settings`. Options are in
# variables of the same names. `tolerance` and `dead_letters` are empty unless a peer is to write dead letters.
peer() {
    local command=${1:-} option
    (($#)) && shift
    brokers='' mongodb='' topic='' group='' database='' collection='' batch='' tolerance='' dead_letters=''
    while (($#)); do
        case $1 in
            --brokers | --mongodb | --topic | --group | --database | --collection | --batch)
                [[ -n ${2:-} ]] || die "$1 needs a value"
                declare -g "${1#--}=$2"
                shift
                ;;
            --tolerance | --dead-letters)
                [[ -n ${2:-} ]] || die "$1 needs a value"
                option=${1#--}
                declare -g "${option//-/_}=$2"
                shift
                ;;
            *) die "unknown option \`$1\`; see scripts/peers/${0##*/} help" ;;
        esac
        shift
    done
    case $command in
        prepare) prepare ;;
        run)
            need brokers mongodb topic group database collection batch
            prepare
            run_peer
            ;;
        settings)
            need batch
            settings
            ;;
        # The comment at the top of the script.
        help | --help | -h) sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0" ;;
        *) die "the commands are prepare, run, settings and help" ;;
    esac
}

need() {
    local option
    for option in "$@"; do
        [[ -n ${!option} ]] || die "--$option is missing"
    done
    [[ $batch =~ ^[1-9][0-9]*$ ]] || die "--batch takes a number, not \`$batch\`"
}

# as_json: turns lines of `key=value` into one JSON object of strings.
as_json() {
    printf '{'
    sed -E 's/[\\"]/\\&/g; s/^([^=]*)=(.*)$/"\1": "\2"/; $!s/$/,/' | tr '\n' ' ' | sed 's/ $//'
    printf '}'
}
