# shellcheck shell=bash
# What every file in programs/ shares. A program file defines three functions and ends with `program "$@"`:
#
#   needs   calls need_command / need_file: what must be installed, and the Debian package it comes from
#   maps    prints /proc/PID/maps of a live process of the program, started through UNDER
#   run     does the work in the current folder (empty at start) and leaves in $OUT what must come out the same
#
# The runner calls each file twice, in the same folder, once on the C library's malloc and once with PRELOAD:
#
#   programs/NAME.sh needs                   one "PACKAGE" line per thing that is missing
#   programs/NAME.sh packages                every package the program could ask for
#   PRELOAD=LIB OUT=DIR programs/NAME.sh maps|run
#
# Only what goes through UNDER is preloaded, and its children; our own cat, sort and sed are not.

set -u

PAYLOADS=$(cd "$(dirname "${BASH_SOURCE[0]}")/payloads" && pwd)
# shellcheck disable=SC2034  # used by the program files
readonly PAYLOADS

# An array and not a function, so that `"${UNDER[@]}" server &` leaves the server's own pid in $!.
if [ -n "${PRELOAD:-}" ]; then
    UNDER=(env "LD_PRELOAD=$PRELOAD")
else
    UNDER=(env -u LD_PRELOAD)
fi

under() { "${UNDER[@]}" "$@"; }

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

NEEDS_MODE=missing

need_command() { # COMMAND PACKAGE
    if [ "$NEEDS_MODE" = all ] || ! command -v "$1" >/dev/null; then echo "$2"; fi
}

# Waits until the library is mapped in PID, or the time is up; then prints the maps. For a process that waits for us, so
# that it cannot be gone before it is looked at. The wait covers the moment between fork and the end of ld.so's work.
maps_of_waiting() { # PID COMMAND
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] && grep -q '/libc[.-]' "/proc/$1/maps"; then
            cat "/proc/$1/maps"
            return 0
        fi
        sleep 0.1
    done
    die "process $1 did not become $2 within 10 s"
}

program() { # needs|packages|maps|run
    case ${1:-} in
        needs) needs ;;
        packages)
            NEEDS_MODE=all
            needs
            ;;
        maps) maps ;;
        run) run ;;
        *) die "usage: ${0##*/} needs|packages|maps|run (started by tests/real-programs/run)" ;;
    esac
}
