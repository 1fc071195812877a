/* A malloc family that hands every 1,000th block out a second time and never frees. */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static _Alignas(4096) char arena[256 << 20];
static _Atomic size_t used, calls;
static _Atomic(void *) last;

void *malloc(size_t n) {
    if (atomic_fetch_add(&calls, 1) % 1000 == 999)
        return last;
    void *p = arena + atomic_fetch_add(&used, (n + 31) & ~(size_t)15) + 16;
    ((size_t *)p)[-1] = n;
    last = p;
    return p;
}
void free(void *p) { (void)p; }
void *calloc(size_t n, size_t m) { return malloc(n * m); }
void *realloc(void *old, size_t n) {
    void *p = malloc(n);
    if (old)
        memcpy(p, old, ((size_t *)old)[-1] < n ? ((size_t *)old)[-1] : n);
    return p;
}
int posix_memalign(void **p, size_t align, size_t n) {
    size_t at = (size_t)malloc(n + align);
    *p = (void *)((at + align - 1) & ~(align - 1));
    return 0;
}
