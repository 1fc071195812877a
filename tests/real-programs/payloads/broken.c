/* The C library's malloc with one fault put in: what tests/real-programs/selftest preloads. FAULT is one of these. */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define HEALTHY 0
#define DIRTY_CALLOC 1  /* calloc does not clear */
#define SHORT_REALLOC 2 /* realloc copies all but the last eight bytes of what it moves */
#define SHARED_BLOCK 3  /* now and then the same block is given out twice */
#define HANG 4          /* malloc stops after a while */

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
size_t malloc_usable_size(void *);

static unsigned long calls;

void *malloc(size_t size) {
    static void *last;
    static size_t last_size;
    unsigned long call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (FAULT == HANG && call > 5000) pause();
    if (FAULT == SHARED_BLOCK && call % 1000 == 0 && last && size <= last_size) return last;
    void *block = __libc_malloc(size);
    if (FAULT == SHARED_BLOCK && call % 1000 > 900) last = block, last_size = size;
    return block;
}

void free(void *block) { __libc_free(block); }

void *calloc(size_t count, size_t size) {
    void *block = __libc_calloc(count, size);
    if (FAULT == DIRTY_CALLOC && block && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 16 == 0)
        memset(block, 0x5a, count * size);
    return block;
}

void *realloc(void *old, size_t size) {
    if (FAULT != SHORT_REALLOC || !old || size == 0) return __libc_realloc(old, size);
    size_t usable = malloc_usable_size(old), kept = usable < size ? usable : size;
    void *block = __libc_malloc(size);
    if (!block) return NULL;
    memcpy(block, old, kept > 64 ? kept - 8 : kept);
    if (kept > 64) memset((char *)block + kept - 8, 0x5a, 8);
    __libc_free(old);
    return block;
}
