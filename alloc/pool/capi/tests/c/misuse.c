/* Misuse that ends the process, one case each; the caller looks at the line and the signal. */
#include "check.h"
#include "cidpool.h"

static struct cidpool *robust(void) {
    struct cidpool_attr *attr = cidpool_attr_create();
    if (cidpool_attr_set_robust(attr) != 0) FAIL("%s", strerror(errno));
    struct cidpool *pool = cidpool_create("misused", 64, attr);
    cidpool_attr_destroy(attr);
    if (pool == NULL) FAIL("%s", strerror(errno));
    return pool;
}

static void foreign(void) { cidpool_percpu_free(&errno); }
static void interior(void) { cidpool_percpu_free((char *)cidpool_percpu_malloc(robust()) + 8); }
static void wrong_stride(void) { cidpool_percpu_free(cidpool_percpu_malloc(robust()), 1 << 17); }
static void double_free(void) {
    void *item = cidpool_percpu_malloc(robust());
    cidpool_percpu_free(item);
    cidpool_percpu_free(item);
}
static void write_after_free(void) {
    struct cidpool *pool = robust();
    uint64_t *item = cidpool_percpu_malloc(pool);
    item[2] = 1;
    cidpool_percpu_free(item);
    item[2] = 2;
    for (int i = 0; i < 1 << 11; i++) cidpool_percpu_malloc(pool);
}
static void leak(void) {
    struct cidpool *pool = robust();
    cidpool_percpu_malloc(pool);
    cidpool_destroy(pool);
}

static const struct test_case cases[] = {
    {"foreign", foreign},         {"interior", interior},
    {"wrong_stride", wrong_stride}, {"double_free", double_free},
    {"write_after_free", write_after_free}, {"leak", leak},
};
MAIN(cases)
