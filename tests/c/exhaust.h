/* Taking all the memory there is, and giving it back. */
#ifndef CIDALLOC_TESTS_EXHAUST_H
#define CIDALLOC_TESTS_EXHAUST_H

#include "check.h"

struct block { struct block *next; size_t size; };

/* Blocks of `size` bytes until there is no more, filled; how many. */
static inline size_t take(struct block **list, size_t size) {
    size_t count = 0;
    for (;;) {
        errno = 0;
        struct block *block = malloc(size);
        if (block == NULL) break;
        block->next = *list, block->size = size, *list = block;
        fill(block + 1, size > 4096 ? 4096 - sizeof *block : size - sizeof *block, size);
        count++;
    }
    CHECK(errno == ENOMEM, "malloc(%zu) gave NULL and errno %d", size, errno);
    return count;
}
/* Looks at them, and frees them. */
static inline void give(struct block *list) {
    while (list) {
        struct block *next = list->next;
        size_t size = list->size > 4096 ? 4096 : list->size;
        CHECK_PATTERN(list + 1, size - sizeof *list, list->size);
        free(list);
        list = next;
    }
}

/* Every entry point refuses `size` bytes, and `old` stays as it is. */
static inline void refuse_all(size_t size, void *old, size_t old_size) {
    void *mark = &mark, *block = mark;
    fill(old, old_size, 99);
#define REFUSED(call)                                                           \
    do {                                                                        \
        errno = 0;                                                              \
        void *got_ = (call);                                                    \
        CHECK(got_ == NULL, "%s gave %p for %zu bytes", #call, got_, size);     \
        CHECK(errno == ENOMEM, "%s: errno %d", #call, errno);                   \
    } while (0)
    REFUSED(malloc(size));
    REFUSED(calloc(size, 1));
    REFUSED(calloc(size / 8, 8));
    REFUSED(realloc(NULL, size));
    REFUSED(realloc(old, size));
    REFUSED(memalign(256, size));
    REFUSED(aligned_alloc(256, size));
    REFUSED(valloc(size));
    if (entry("pvalloc")) REFUSED(pvalloc(size));
    if (entry("reallocarray")) REFUSED(reallocarray(old, size / 8, 8));
    int error = posix_memalign(&block, 4096, size);
    CHECK(error == ENOMEM && block == mark, "posix_memalign: %d, %p", error, block);
    CHECK_PATTERN(old, old_size, 99);
}

#endif
