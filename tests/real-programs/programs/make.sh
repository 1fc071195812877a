#!/bin/bash
# make -j2: a library of 40 generated C files, archived and linked; many short processes, two at a time.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command make make; need_command gcc gcc; }

# shellcheck disable=SC2016  # the shell that make starts is to see PPID
maps() {
    printf '$(info $(shell cat /proc/$$PPID/maps))\nall: ; @:\n' >Makefile
    # make joins the lines of what a shell printed with blanks; the runner looks for the library's name only.
    under make
}

run() {
    local i
    for ((i = 0; i < 40; i++)); do
        {
            echo '#include <stdio.h>'
            echo '#include <stdlib.h>'
            echo '#include <string.h>'
            echo "long f$i(long n) { char *p = malloc(n + $i), *q; memset(p, $i, n + $i); q = realloc(p, 3 * n + $i);"
            echo "  long s = 0; for (long k = 0; k < n + $i; k++) s += q[k]; free(q); return s; }"
        } >"f$i.c"
    done
    {
        echo '#include <stdio.h>'
        for ((i = 0; i < 40; i++)); do echo "long f$i(long);"; done
        echo 'int main(void) { long s = 0;'
        for ((i = 0; i < 40; i++)); do echo "  s += f$i($i * 1000 + 1);"; done
        printf '%s\n' '  printf("%ld\n", s); return 0; }'
    } >main.c
    cp "$PAYLOADS/many.mk" Makefile
    under make -s -j2 || die "make failed"
    under ./main >"$OUT/printed" || die "the program ended with status $?"
    under make -s -j2 -n >"$OUT/nothing-left-to-do"
    sha256sum -- *.o many.a main >"$OUT/sums"
}

program "$@"
