#!/bin/bash
# Python's own regression tests, two modules at a time, with PYTHONMALLOC=malloc so that every object is a malloc.
# Compared: the verdict on each single test, as in the JUnit report. Its times and the order in which the two workers
# finished are left out. A test that fails is not tried again: once is a failure.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

MODULES=(test_dict test_list test_set test_json test_re test_unicode test_bytes test_threading test_thread test_gc test_io
    test_pickle test_itertools test_fork1 test_subprocess test_ctypes test_array test_deque test_memoryview test_zlib
    test_functools test_generators)

has_tests() { "$1" -c 'import test.test_dict' 2>/dev/null; }

# Debian's python has its tests in a package of their own; a python built from source brings them along.
python_with_tests() {
    local candidate
    for candidate in /usr/bin/python3 python3; do
        if command -v $candidate >/dev/null && has_tests $candidate; then
            # A pyenv shim is a shell script: name the interpreter behind it.
            $candidate -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

needs() {
    [ "$NEEDS_MODE" = missing ] && python_with_tests >/dev/null && return
    need_command python3 python3
    local version
    version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) &&
        echo "libpython$version-testsuite"
}

maps() { under "$(python_with_tests)" -c 'print(open("/proc/self/maps").read())'; }

run() {
    local python
    python=$(python_with_tests)
    if ! PYTHONMALLOC=malloc PYTHONHASHSEED=0 under "$python" -m test -j2 --timeout 120 --junit-xml "$PWD/report.xml" \
        "${MODULES[@]}" >tests.log 2>&1; then
        cat tests.log
        die "python's tests failed: $(sed -n '/ tests\? failed:/,/^$/p' tests.log | tr -s ' \n' ' ')"
    fi
    "$python" "$PAYLOADS/junit.py" report.xml >"$OUT/verdicts" || die "the report could not be read"
}

program "$@"
