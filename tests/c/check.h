/* What the C programs of the tests share: cases, checks, patterns.
 *
 *   PROGRAM            runs every case        PROGRAM CASE [ARGS]   runs one
 *   "ok CASE"          on stdout              "skip CASE: REASON"   on stdout, exit 0
 *   "failed: FILE:LINE: CONDITION: DETAIL"    on stderr, exit 1
 *
 * Nothing here allocates: output is formatted on the stack and goes straight to write(2), so
 * that the programs may report from constructors, signal handlers and exhausted processes. */
#ifndef CIDALLOC_TESTS_CHECK_H
#define CIDALLOC_TESTS_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void say(int fd, const char *format, ...) {
    char line[800];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 1) length = sizeof line - 1;
    if (length > 0 && write(fd, line, (size_t)length) < 0) _exit(3);
}

/* One write for the whole line: other threads may fail at the same time. */
static inline void failed(const char *file, int number, const char *condition,
                          const char *format, ...) {
    char detail[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    say(2, "failed: %s:%d: %s%s%s\n", file, number, condition, *condition ? ": " : "", detail);
    _exit(1);
}
#define FAIL(...) failed(__FILE__, __LINE__, "", __VA_ARGS__)

/* CHECK(condition, format, ...): the format tells the values that matter. */
#define CHECK(condition, ...)                                                      \
    do {                                                                           \
        if (!(condition)) failed(__FILE__, __LINE__, #condition, __VA_ARGS__);     \
    } while (0)

struct test_case {
    const char *name;
    void (*run)(void);
};

static const char *current_case;
static int case_skipped;
static int case_argc;
static char **case_argv;

#define SKIP(...)                             \
    do {                                      \
        say(1, "skip %s: ", current_case);    \
        say(1, __VA_ARGS__);                  \
        say(1, "\n");                         \
        case_skipped = 1;                     \
        return;                               \
    } while (0)

static inline void run_case(const struct test_case *c) {
    current_case = c->name;
    case_skipped = 0;
    c->run();
    if (!case_skipped) say(1, "ok %s\n", c->name);
}

static inline int run_cases(int argc, char **argv, const struct test_case *cases, size_t count) {
    size_t ran = 0;
    case_argc = argc > 2 ? argc - 2 : 0;
    case_argv = argv + 2;
    for (size_t i = 0; i < count; i++)
        if (argc < 2 || strcmp(argv[1], cases[i].name) == 0) run_case(&cases[i]), ran++;
    if (ran == 0) FAIL("no case named %s", argv[1]);
    return 0;
}
#define MAIN(cases) \
    int main(int argc, char **argv) { return run_cases(argc, argv, cases, COUNT(cases)); }

/* ---- who answers -------------------------------------------------------------------------- */

static inline int subject_is(const char *word) {
    const char *subject = getenv("SUBJECT_UNDER_TEST");
    return strcmp(subject ? subject : "libc", word) == 0;
}

/* The entry point, or NULL where the library under test has none of its own. From ours, a
 * missing one is a failure: libc's would then be given blocks that are not libc's. */
static inline void *entry(const char *name) {
    Dl_info own, whole;
    void *found = dlsym(RTLD_DEFAULT, name);
    if (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &whole)) FAIL("malloc is in no loaded object");
    if (found && dladdr(found, &own) && own.dli_fbase == whole.dli_fbase) {
        if (subject_is("ours") && !strstr(own.dli_fname, "libcidmalloc"))
            FAIL("%s comes from %s; the library is not preloaded", name, own.dli_fname);
        return found;
    }
    if (subject_is("ours"))
        FAIL("%s comes from %s, malloc from %s", name, found ? own.dli_fname : "nowhere",
             whole.dli_fname);
    return NULL;
}
#define NEED(name)                                                              \
    do {                                                                        \
        if (!entry(name)) SKIP("the library under test has no %s", name);       \
    } while (0)

/* ---- memory ------------------------------------------------------------------------------- */

/* Bytes that the process has in memory. */
static inline size_t resident(void) {
    char text[100];
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (length <= 0) FAIL("/proc/self/statm cannot be read: is /proc mounted?");
    close(file);
    text[length] = 0;
    char *end;
    strtoul(text, &end, 10);
    return strtoul(end, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- patterns ----------------------------------------------------------------------------- */

static inline uint64_t pattern_word(uint64_t seed, size_t i) {
    uint64_t x = (seed + i) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}
static inline void fill(void *block, size_t size, uint64_t seed) {
    unsigned char *bytes = (unsigned char *)block;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word = pattern_word(seed, i);
        memcpy(bytes + i, &word, 8);
    }
    for (; i < size; i++) bytes[i] = (unsigned char)pattern_word(seed, i);
}
/* The index of the first byte group that differs, or `size`. */
static inline size_t differs(const void *block, size_t size, uint64_t seed) {
    const unsigned char *bytes = (const unsigned char *)block;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word = pattern_word(seed, i);
        if (memcmp(bytes + i, &word, 8) != 0) return i;
    }
    for (; i < size; i++)
        if (bytes[i] != (unsigned char)pattern_word(seed, i)) return i;
    return size;
}
#define CHECK_PATTERN(block, size, seed)                                                    \
    do {                                                                                    \
        size_t size_ = (size), at_ = differs((block), size_, (seed));                       \
        if (at_ != size_)                                                                   \
            FAIL("content of the block %p of %zu bytes changed at byte %zu", (void *)(block), \
                 size_, at_);                                                               \
    } while (0)

/* A size between 1 and about 2^bits, small ones as likely as large ones. */
static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return *state = x;
}
static inline size_t random_size(uint64_t *state, unsigned bits) {
    uint64_t r = next_random(state);
    unsigned shift = (unsigned)(r % bits);
    return ((size_t)1 << shift) + (size_t)(next_random(state) & (((size_t)1 << shift) - 1));
}

#endif
