#!/bin/bash
# xz with two threads: compress, decompress, list. Block boundaries are fixed, so the compressed bytes are too.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command xz xz-utils; need_command perl perl-base; }

maps() {
    mkfifo in
    "${UNDER[@]}" xz -T2 -c <in >/dev/null &
    local pid=$!
    exec 3>in
    maps_of_waiting $pid xz
    exec 3>&-
    wait $pid
}

run() {
    perl "$PAYLOADS/text.pl" 1 10 >text
    under xz -T2 -3 --block-size=1MiB -k text || die "xz could not compress"
    under xz -T2 -dc text.xz | cmp - text || die "what xz decompressed is not what it compressed"
    under xz -T1 -1 -c text | under xz -dc | cmp - text || die "xz -1 through a pipe lost bytes"
    under xz -t text.xz || die "xz -t finds its own file damaged"
    under xz --list --verbose text.xz >"$OUT/list"
    sha256sum text text.xz >"$OUT/sums"
}

program "$@"
