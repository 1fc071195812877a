#!/bin/bash
# gcc and g++: compile and link a C++ program heavy on templates, at -O2 with debug information, and a C file; compared
# are the object files, the linked program and what the program prints (itself run under the library as well).
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command g++ g++; need_command gcc gcc; }

# The compiler proper, cc1plus, opens the source and waits for a writer: a moment to look at it.
maps() {
    mkfifo source.cpp
    "${UNDER[@]}" g++ -c -o source.o source.cpp &
    local driver=$! compiler
    exec 3>source.cpp
    read -r compiler _ <"/proc/$driver/task/$driver/children"
    maps_of_waiting "$compiler" cc1plus
    exec 3>&-
    wait $driver
}

run() {
    local flags=(-std=c++17 -O2 -g -Wall -frandom-seed=1)
    cp "$PAYLOADS/templates.cpp" "$PAYLOADS/threads.cpp" .
    under g++ "${flags[@]}" -c templates.cpp || die "g++ failed on templates.cpp"
    under g++ "${flags[@]}" -fno-inline -O1 -c threads.cpp || die "g++ failed on threads.cpp"
    # No build id: it would only repeat the comparison of the file.
    under g++ -Wl,--build-id=none -pthread -o program templates.o threads.o || die "the linker failed"
    under ./program >"$OUT/printed" || die "the program ended with status $?"
    sha256sum templates.o threads.o program >"$OUT/sums"
    nm -S program | sort >"$OUT/symbols"
}

program "$@"
