#!/bin/bash
# node: Buffers, JSON, typed arrays, compression on libuv's thread pool, worker_threads that pass memory to each other.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command node nodejs; }

maps() { under node -e 'process.stdout.write(require("fs").readFileSync("/proc/self/maps"))'; }

run() { under node --expose-gc "$PAYLOADS/buffers.js" >"$OUT/answers" || die "node ended with status $?"; }

program "$@"
