#!/bin/bash
# perl: hashes, regular expressions, sorting, string growth, fork, and interpreter threads (each clones all data).
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command perl perl; }

# shellcheck disable=SC2016  # perl's variables
maps() { under perl -e 'open my $maps, "<", "/proc/self/maps" or die $!; print <$maps>'; }

# perl orders its hashes by a random seed; the script sorts what it prints, and so may keep the seed as it is.
run() { under perl "$PAYLOADS/heap.pl" >"$OUT/answers" || die "perl ended with status $?"; }

program "$@"
