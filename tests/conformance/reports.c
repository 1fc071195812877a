/* Reports and controls: mallinfo and its relatives, malloc_stats, malloc_info, mallopt,
 * malloc_trim. What they say must follow what happened; the words are the library's own. */
#include "check.h"
#include <sys/mman.h>

/* Like struct mallinfo2 of glibc 2.33, for older headers. */
struct report { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks,
                fordblks, keepcost; };

static size_t in_use(void) {
    struct report (*info)(void) = entry("mallinfo2");
    struct report report = info();
    return report.uordblks + report.hblkhd;
}

static void mallinfo2_follows_what_is_in_use(void) {
    NEED("mallinfo2");
    enum { BLOCKS = 4096 };
    static void *blocks[BLOCKS];
    size_t start = in_use();
    void *large = malloc(64 * MIB);
    CHECK(large != NULL, "64 MiB");
    size_t with_large = in_use();
    CHECK(with_large >= start + 64 * MIB, "%zu, then %zu with 64 MiB more", start, with_large);
    for (unsigned i = 0; i < BLOCKS; i++) CHECK((blocks[i] = malloc(4000)) != NULL, "block %u", i);
    size_t with_small = in_use();
    CHECK(with_small >= with_large + BLOCKS * 4000 * 9 / 10, "%zu, then %zu with %u bytes more",
          with_large, with_small, BLOCKS * 4000);
    free(large);
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i]);
    size_t end = in_use();
    CHECK(end <= start + 8 * MIB, "%zu at first, %zu with all given back", start, end);
}

static void mallinfo_is_mallinfo2_in_ints(void) {
    NEED("mallinfo");
    NEED("mallinfo2");
    void *block = malloc(10 * MIB);
    struct report (*info2)(void) = entry("mallinfo2");
    struct mallinfo (*info)(void) = entry("mallinfo");
    struct report wide = info2();
    struct mallinfo narrow = info();
    CHECK(narrow.uordblks == (int)wide.uordblks && narrow.hblkhd == (int)wide.hblkhd,
          "%d and %zu in use, %d and %zu mapped", narrow.uordblks, wide.uordblks, narrow.hblkhd,
          wide.hblkhd);
    CHECK(narrow.arena == (int)wide.arena, "%d and %zu", narrow.arena, wide.arena);
    free(block);
}

static void malloc_stats_writes_to_stderr_alone(void) {
    NEED("malloc_stats");
    void (*stats)(void) = entry("malloc_stats");
    int out = memfd_create("stdout", 0), err = memfd_create("stderr", 0);
    int old_out = dup(1), old_err = dup(2);
    CHECK(out >= 0 && err >= 0 && old_out >= 0 && old_err >= 0, "errno %d", errno);
    free(malloc(100));
    dup2(out, 1), dup2(err, 2);
    stats();
    fflush(stderr);
    dup2(old_out, 1), dup2(old_err, 2);
    CHECK(lseek(out, 0, SEEK_END) == 0, "it wrote to stdout");
    CHECK(lseek(err, 0, SEEK_END) > 10, "it wrote %ld bytes", (long)lseek(err, 0, SEEK_END));
}

static void malloc_info_writes_one_document(void) {
    NEED("malloc_info");
    static char text[1 << 20];
    int (*info)(int, FILE *) = entry("malloc_info");
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    CHECK(file != NULL, "errno %d", errno);
    CHECK(info(0, file) == 0, "malloc_info failed");
    fclose(file);
    CHECK(strncmp(text, "<malloc version=", 16) == 0, "it begins %.30s", text);
    char *end = strstr(text, "</malloc>");
    CHECK(end != NULL, "no </malloc>");
    CHECK(strspn(end + 9, "\n") == strlen(end + 9), "it goes on after </malloc>: %.30s", end + 9);
}

static void mallopt_takes_the_known_parameters(void) {
    NEED("mallopt");
    int (*set)(int, int) = entry("mallopt");
    static const int known[] = {M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX,
                                M_ARENA_MAX, M_ARENA_TEST};
    for (size_t i = 0; i < COUNT(known); i++) {
        int result = set(known[i], 1 << 20);
        CHECK(result == 1, "parameter %d: %d", known[i], result);
    }
    CHECK(set(M_PERTURB, 0) == 1, "M_PERTURB 0");
    int result = set(12345, 1);
    CHECK(result == 0 || result == 1, "an unknown parameter: %d", result);
    void *block = malloc(100);
    CHECK(block != NULL, "malloc after mallopt");
    free(block);
}

static void malloc_trim_returns_freed_memory(void) {
    NEED("malloc_trim");
    enum { BLOCKS = 50000 };
    static void *blocks[BLOCKS];
    int (*trim)(size_t) = entry("malloc_trim");
    size_t start = resident();
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(2000)) != NULL, "block %u", i);
        memset(blocks[i], 1, 2000);
    }
    size_t full = resident();
    CHECK(full >= start + 80 * MIB, "%zu, then %zu", start, full);
    for (unsigned i = 0; i < BLOCKS; i++) free(blocks[i]);
    int result = trim(0);
    CHECK(result == 0 || result == 1, "%d", result);
    size_t end = resident();
    CHECK(end <= start + 16 * MIB, "%zu at first, %zu full, %zu trimmed", start, full, end);
    unsigned char *block = calloc(1, 100000);
    for (unsigned i = 0; i < 100000; i++) CHECK(block[i] == 0, "byte %u after trim", i);
    free(block);
}

static const struct test_case CASES[] = {
    {"mallinfo2_follows_what_is_in_use", mallinfo2_follows_what_is_in_use},
    {"mallinfo_is_mallinfo2_in_ints", mallinfo_is_mallinfo2_in_ints},
    {"malloc_stats_writes_to_stderr_alone", malloc_stats_writes_to_stderr_alone},
    {"malloc_info_writes_one_document", malloc_info_writes_one_document},
    {"mallopt_takes_the_known_parameters", mallopt_takes_the_known_parameters},
    {"malloc_trim_returns_freed_memory", malloc_trim_returns_freed_memory},
};
MAIN(CASES)
