#!/bin/bash
# redis-server under redis-benchmark on loopback, with two I/O threads and lazy freeing (one thread frees what another
# allocated). A known set of keys goes in while BGSAVE has forked; then its digest, the digest after a reload from disk,
# and that of the same keys in a second server that starts from the dump.
#
# What redis-benchmark leaves behind is not compared: its random keys are seeded by time and pid. Nor are INFO's memory
# figures: they are the allocator's own.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() {
    need_command redis-server redis-server
    need_command redis-benchmark redis-tools
    need_command redis-cli redis-tools
    need_command perl perl-base
}

SERVER='' PORT=''

# Debian links redis-server with jemalloc. Naming the C library first makes the run without PRELOAD one on its malloc;
# under PRELOAD the loader must prefer our malloc to jemalloc's, which `maps` asserts.
[ -n "${PRELOAD:-}" ] || UNDER=(env LD_PRELOAD=libc.so.6)

cli() { redis-cli -h 127.0.0.1 -p "$PORT" "$@"; }
info() { cli INFO "$1" | tr -d '\r' | sed -n "s/^$2://p"; }

# A port may be taken between the look and the bind; then the server ends at once and the next one is tried.
start() { # FOLDER
    local try tick
    mkdir -p "$1"
    for ((try = 0; try < 10; try++)); do
        PORT=$((20000 + RANDOM % 10000))
        if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then continue; fi
        "${UNDER[@]}" redis-server --bind 127.0.0.1 --port $PORT --dir "$PWD/$1" --save '' --appendonly no \
            --daemonize no --io-threads 2 --io-threads-do-reads yes --lazyfree-lazy-user-del yes \
            --enable-debug-command yes --logfile "" >>"$1.log" 2>&1 &
        SERVER=$!
        for ((tick = 0; tick < 100; tick++)); do
            # Loading a dump answers with an error first; only PONG from our own child will do.
            if [ "$(cli PING 2>/dev/null)" = PONG ] && [ "$(info server process_id)" = $SERVER ]; then return 0; fi
            kill -0 $SERVER 2>/dev/null || break
            sleep 0.1
        done
        kill $SERVER 2>/dev/null
        wait $SERVER
        grep -q 'Address already in use' "$1.log" || { tail -n 40 "$1.log"; die "redis-server did not start"; }
    done
    die "no free port in ten tries"
}

stop() { # FOLDER
    cli SHUTDOWN NOSAVE >/dev/null 2>&1
    wait $SERVER || { tail -n 60 "$1.log"; die "redis-server ended with status $? on SHUTDOWN"; }
}

digest() { # LABEL
    echo "$1 DBSIZE $(cli DBSIZE) DIGEST $(cli DEBUG DIGEST)" >>"$OUT/digests"
}

maps() {
    local symbol
    # LD_PRELOAD and LD_DEBUG both at once, for redis-server alone.
    env LD_DEBUG=bindings LD_BIND_NOW=1 "${UNDER[@]}" redis-server --version 2>bindings >/dev/null
    for symbol in malloc calloc realloc free; do
        grep "file [^ ]*redis-server \[0\] to .*\`$symbol'" bindings | grep -qF "${PRELOAD:-/libc.so.6} [0]" ||
            die "redis-server does not take $symbol from ${PRELOAD:-the C library}"
    done
    start first
    cat /proc/$SERVER/maps
    stop first
}

benchmark() { # REQUESTS CLIENTS PIPELINE TESTS
    under redis-benchmark -h 127.0.0.1 -p "$PORT" -n "$1" -c "$2" -P "$3" -r 20000 -d 300 -t "$4" -q --threads 2 \
        >>benchmark.log 2>&1 || { tail -n 5 benchmark.log; die "redis-benchmark failed"; }
}

run() {
    perl "$PAYLOADS/redis-keys.pl" 20000 >keys
    start first
    benchmark 100000 50 16 set,get,incr,lpush,rpop,sadd,hset,zadd
    benchmark 20000 20 1 set,get
    local commands
    commands=$(info stats total_commands_processed)
    [ "$commands" -ge 840000 ] || die "the server counted $commands commands, of 840000 or more sent"
    cli FLUSHALL ASYNC >/dev/null

    # The second half of the keys arrives while the child writes the dump; the delay per key holds the child open.
    head -n 60000 keys | cli --pipe >pipe.log || die "the first keys were not taken: $(tail -n 1 pipe.log)"
    cli CONFIG SET rdb-key-save-delay 20 >/dev/null
    cli BGSAVE >/dev/null
    [ "$(info persistence rdb_bgsave_in_progress)" = 1 ] || die "BGSAVE has not forked"
    tail -n +60001 keys | cli --pipe >>pipe.log || die "the second keys were not taken: $(tail -n 1 pipe.log)"
    cli CONFIG SET rdb-key-save-delay 0 >/dev/null
    local tick
    for ((tick = 0; tick < 600; tick++)); do
        [ "$(info persistence rdb_bgsave_in_progress)" = 0 ] && break
        sleep 0.1
    done
    echo "bgsave $(info persistence rdb_last_bgsave_status) of $(info persistence rdb_saves) saves" >"$OUT/bgsave"
    grep -h '^errors' pipe.log >"$OUT/replies"

    digest written
    cli DEBUG RELOAD >/dev/null
    digest reloaded
    cli GET s:19000 >"$OUT/string"
    cli ZRANGE z:7 0 -1 WITHSCORES >"$OUT/sorted-set"
    cli LRANGE l:11 0 -1 >"$OUT/list"
    cli HGETALL h:42 | paste - - | sort >"$OUT/hash"
    [ "$(cli SAVE)" = OK ] || die "SAVE failed"
    mkdir second && cp first/dump.rdb second/
    stop first

    start second
    digest restarted
    cli MEMORY PURGE >/dev/null
    cli FLUSHALL SYNC >/dev/null
    echo "flushed $(cli DBSIZE)" >>"$OUT/digests"
    stop second
    [ "$(cut -d' ' -f2- "$OUT/digests" | head -n 3 | sort -u | wc -l)" = 1 ] || { cat "$OUT/digests"; die "digests differ"; }
}

program "$@"
