/* What the allocator says of itself, and of how much it lost.
 *
 *   live_bytes     what the program has, in whole classes: exact while nobody else allocates
 *   statistic      a number of the statistics by its key; -1 where there is no such line
 *   await_alone    until this process has one thread, for its last ones may be on their way out
 *   times          how often the case did what it is about: the harness reads it */
#ifndef CIDALLOC_TESTS_STATISTICS_H
#define CIDALLOC_TESTS_STATISTICS_H

#include "check.h"
#include <sys/mman.h>

static inline size_t live_bytes(void) {
    struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
}

static inline long statistic(const char *key) {
    static char text[1 << 16];
    int error = dup(2), file = memfd_create("statistics", MFD_CLOEXEC);
    CHECK(error >= 0 && file >= 0 && dup2(file, 2) == 2, "descriptors: errno %d", errno);
    malloc_stats();
    CHECK(dup2(error, 2) == 2, "descriptors: errno %d", errno);
    close(error);
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    close(file);
    text[length < 0 ? 0 : length] = 0;
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t n = strlen(key);
        if (strncmp(line, key, n) == 0 && line[n] == ' ') return strtol(line + n, NULL, 10);
    }
    return -1;
}

static inline unsigned thread_count(void) {
    char text[4000];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (length <= 0) FAIL("/proc/self/status cannot be read: is /proc mounted?");
    close(file);
    text[length] = 0;
    char *line = strstr(text, "Threads:");
    CHECK(line != NULL, "no line of threads");
    return (unsigned)strtoul(line + 8, NULL, 10);
}
static inline void await_alone(void) {
    while (thread_count() > 1) usleep(2000);
}

/* `count` of what the case is about were done. */
static inline void times(unsigned long count) { say(1, "times %lu\n", count); }

/* The number of times that the command line asks for. */
static inline unsigned wanted(unsigned otherwise) {
    return case_argc ? (unsigned)strtoul(case_argv[0], NULL, 10) : otherwise;
}

/* Whether no more is live than `before`, but for what libc keeps for itself. */
#define CHECK_LIVE(before, slack)                                                              \
    do {                                                                                       \
        size_t now_ = live_bytes(), before_ = (before);                                        \
        CHECK(now_ <= before_ + (slack), "%zu bytes are live, %zu were before: lost", now_, before_); \
    } while (0)

#endif
