#!/bin/bash
# pigz with four threads: compress at three levels, decompress. -n leaves name and time out of the header; what remains
# depends on the input alone, not on how the threads ran.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command pigz pigz; need_command perl perl-base; }

maps() {
    mkfifo in
    "${UNDER[@]}" pigz -p 4 -c <in >/dev/null &
    local pid=$!
    exec 3>in
    maps_of_waiting $pid pigz
    exec 3>&-
    wait $pid
}

run() {
    local level
    perl "$PAYLOADS/text.pl" 2 40 >text
    for level in 1 6 9; do
        under pigz -n -p 4 -b 128 -$level -c text >text.$level.gz || die "pigz -$level failed"
        under pigz -p 4 -dc text.$level.gz | cmp - text || die "what pigz -$level decompressed is not what it compressed"
    done
    sha256sum text text.?.gz >"$OUT/sums"
}

program "$@"
