#!/bin/bash
# sqlite3: 90,000 rows, indices, joins, a window function, deletes, vacuum, integrity check, in a file with a write-ahead
# log and with sorting in threads; then a dump read back.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command sqlite3 sqlite3; }

# shellcheck disable=SC2016  # the shell that sqlite3 starts is to see PPID
maps() { under sqlite3 :memory: '.shell cat /proc/$PPID/maps'; }

run() {
    under sqlite3 -bail -cmd 'PRAGMA journal_mode = WAL' -cmd 'PRAGMA threads = 2' data.db \
        <"$PAYLOADS/rows.sql" >"$OUT/answers" || die "sqlite3 failed: $(tail -n 1 "$OUT/answers")"
    grep -qx ok "$OUT/answers" || die "PRAGMA integrity_check did not say ok"
    under sqlite3 data.db .dump >dump.sql || die "the database could not be dumped"
    under sqlite3 -bail again.db <dump.sql || die "the dump could not be read back"
    under sqlite3 again.db .dump | cmp - dump.sql || die "the dump of the dump differs"
    sha256sum dump.sql data.db >"$OUT/sums"
}

program "$@"
