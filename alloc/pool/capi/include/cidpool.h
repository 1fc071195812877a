/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/*
 * Memory pools and counters with one copy per concurrency id: libcidpool.
 *
 * A pool has items of one length, and of each item one copy for every cid on every NUMA node,
 * `stride` bytes apart. An item is known by the address of its copy 0; `cidpool_percpu_ptr` leads
 * to the others.
 *
 * A function that fails returns NULL or -1, and sets errno to what its comment lists; one that does
 * not leaves errno as it was. Who creates something destroys it. "MT-safe": any threads may call it
 * at the same time. "For signal handlers": a handler may call it, whatever it interrupted. A thread
 * that is to be cancelled is so after the function, not in it. Under "Safety" stands what the caller
 * promises.
 *
 * This file is generated from the sources of the library.
 */
#ifndef CIDPOOL_H
#define CIDPOOL_H

#include <stddef.h>
#include <stdint.h>

/* What an address in copy 0 is of which there are others: for the reader. */
#define __cidpool_percpu

/**
 * Copies begin as the range's image, of which a page is copied when a cid first writes to it: the
 * default, as in librseq. A range takes one mapping for each copy.
 */
#define CIDPOOL_POPULATE_COW_INIT 0

/**
 * Copies begin as zero, in one mapping for each range. The default of global pools.
 */
#define CIDPOOL_POPULATE_COW_ZERO 1

/**
 * A child of `fork` has the pool as it was, as its own. The default.
 */
#define CIDPOOL_FORK_COPIED 0

/**
 * A child has the same items, whose copies are as they were at first.
 */
#define CIDPOOL_FORK_WIPED 1

/**
 * A child has no items: allocating fails with `EPERM`, and touching an item ends it.
 */
#define CIDPOOL_FORK_UNUSABLE 2

/**
 * Copies are bound to their nodes as cidalloc's heap is: `CIDALLOC_NUMA`. The default.
 */
#define CIDPOOL_NUMA_AS_HEAP 0

/**
 * Copies are not bound: each page is on the node that first touches it.
 */
#define CIDPOOL_NUMA_NONE 1

/**
 * A copy is on its node, or, when that has no memory, on another one.
 */
#define CIDPOOL_NUMA_PREFERRED 2

/**
 * A copy is on its node, or the process is out of memory.
 */
#define CIDPOOL_NUMA_BIND 3

/**
 * The default stride, which `cidpool_percpu_ptr` and others take where they are given none.
 */
#define CIDPOOL_STRIDE (64 << 10)

/**
 * The most bytes that `cidpool_compare_copy_store` copies.
 */
#define CIDPOOL_COPY_MAX (64 << 10)

/**
 * What a pool is to be like.
 */
struct cidpool_attr;

/**
 * A counter.
 */
struct cidpool_counter;

/**
 * A pool.
 */
struct cidpool;

/**
 * A set of pools, each in the place of its length's power of two.
 */
struct cidpool_set;

/**
 * Is told of one copy: its address, and whose it is. Any value but 0 ends the iteration.
 */
typedef int (*cidpool_each_function)(void *data, void *copy, int node, int cid);

/**
 * What a pool has, at one time. What other threads do meanwhile may be in one number and not yet
 * in the next.
 */
struct cidpool_statistics {
    /**
     * Bytes of an item.
     */
    size_t item_len;
    /**
     * Bytes from a copy of an item to the next.
     */
    size_t stride;
    /**
     * Allocated items.
     */
    size_t items;
    /**
     * Free items that a cid has to itself.
     */
    size_t cached;
    /**
     * Items that there are in all ranges.
     */
    size_t capacity;
    /**
     * Ranges.
     */
    size_t ranges;
    /**
     * Ranges that there may be.
     */
    size_t ranges_max;
    /**
     * Copies of an item.
     */
    size_t copies;
    /**
     * Bytes of address space of all ranges.
     */
    size_t bytes_reserved;
    /**
     * Bytes that are resident on all nodes; `SIZE_MAX` where the kernel does not say.
     */
    size_t bytes_resident;
    /**
     * How often items were taken back from cids.
     */
    size_t steals;
    /**
     * Rows of copies that the kernel refused to bind to their node.
     */
    size_t unbound;
};

/**
 * What is resident of a pool's copies of one node.
 */
struct cidpool_resident {
    /**
     * Cids that have a page of their own in some range.
     */
    size_t copies;
    /**
     * Bytes of these pages.
     */
    size_t bytes;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes attributes: of a pool of 64 KiB per copy, one copy per cid, copy on write from an image
 * that is zero, not robust.
 *
 * Returns them; the caller destroys them by `cidpool_attr_destroy`.
 *
 * MT-safe. Not for signal handlers.
 */
struct cidpool_attr *cidpool_attr_create(void);

/**
 * Destroys `attr`; pools that were made with it stay. Null is no attributes, and fine.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * `attr` is of `cidpool_attr_create`, and not destroyed yet.
 */
void cidpool_attr_destroy(struct cidpool_attr *attr);

/**
 * One copy per cid, `stride` bytes apart: 0 for the default of 64 KiB. `max_nr_cpus` is 0, or the
 * number that `cidpool_max_nr_copies` returns: the pool is for all cids that there can be, always.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null, `max_nr_cpus` is another number, or `stride` is not a power of two
 *   (its size is looked at by `cidpool_create`);
 * - `ENOMEM`: the number of cids is not known, for the library cannot start now.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_percpu(struct cidpool_attr *attr, size_t stride, int max_nr_cpus);

/**
 * One copy for all: what is not per cid, from the same interface. `stride` is the length of a
 * range, 0 for the default of 64 KiB.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null, or `stride` is not a power of two.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_global(struct cidpool_attr *attr, size_t stride);

/**
 * The most ranges of the pool at a time: 4096 if not set.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null, or `max_nr_ranges` is 0.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_max_nr_ranges(struct cidpool_attr *attr, unsigned long max_nr_ranges);

/**
 * What copies hold at first: `CIDPOOL_POPULATE_COW_INIT` or `CIDPOOL_POPULATE_COW_ZERO`.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null, or `policy` is neither.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_populate_policy(struct cidpool_attr *attr, int policy);

/**
 * What fills the image of each new range: `len` bytes at `addr`, which are zero before; null for
 * nothing. `cpu` is always -1: there is one image for all copies. Any value but 0 says that it
 * could not; then the pool has no more items from then on (`ENOMEM`). It is called
 * with signals blocked, by whichever thread needs the range, and for different pools by several
 * threads at once: it must allow that. It must not allocate from this pool, nor from one whose own
 * function comes back to this one, nor fork. With
 * `CIDPOOL_POPULATE_COW_ZERO` there is no image, and `cidpool_create` fails.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`. Any thread may call `init_func` with `init_priv`, as long as
 * there is a pool with these attributes.
 */
int cidpool_attr_set_init(struct cidpool_attr *attr, int (*init_func)(void *data,
                                                                      void *addr,
                                                                      size_t len,
                                                                      int cpu), void *init_priv);

/**
 * The pool looks for misuse at every call: double free, writes after free, leaks when it is
 * destroyed. Each ends the process with one line on standard error.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_robust(struct cidpool_attr *attr);

/**
 * What a child of `fork` finds: `CIDPOOL_FORK_COPIED`, `CIDPOOL_FORK_WIPED` or
 * `CIDPOOL_FORK_UNUSABLE`.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null, or `policy` is none of them.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_fork(struct cidpool_attr *attr, int policy);

/**
 * How firmly copies are tied to their nodes: `CIDPOOL_NUMA_AS_HEAP`, `CIDPOOL_NUMA_NONE`,
 * `CIDPOOL_NUMA_PREFERRED` or `CIDPOOL_NUMA_BIND`. It is done before anything of a range is
 * written: there is nothing to move later.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `attr` is null, or `policy` is none of them.
 *
 * MT-safe for different attributes. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_attr_destroy`.
 */
int cidpool_attr_set_numa(struct cidpool_attr *attr, int policy);

/**
 * Makes a pool of items of `item_len` bytes, named `pool_name` (null: without a name) in messages,
 * statistics and `/proc/self/maps`, that is as `attr` says (null: as `cidpool_attr_create` does).
 * Items are at multiples of 8, or of the largest power of two that divides `item_len`. Memory
 * comes with the first item.
 *
 * Returns the pool; the caller destroys it by `cidpool_destroy`, or gives it to a set. Or null and
 * `errno`:
 * - `EINVAL`: `item_len` is 0 or above the stride; the stride is below a page, or above 2 GiB;
 *   items or copies are too many; the name is empty, above 64 bytes, or not of printable ASCII
 *   without any of `` \ ` $ [ ] ``; an initialiser for copies that begin as zero;
 * - `ENOMEM`, or whatever else the system says that refuses memory.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * `pool_name` is null or a string; `attr` is null or of `cidpool_attr_create`.
 */
struct cidpool *cidpool_create(const char *pool_name,
                               size_t item_len,
                               const struct cidpool_attr *attr);

/**
 * Destroys `pool` with all its items. What `cidpool_percpu_for_each` is at stays there until it is
 * done. In a robust pool items that are still allocated end the process with one line. Null is no
 * pool, and fine.
 *
 * Returns 0, or -1 and `errno`:
 * - `EBUSY`: the pool is in a set, with which it is destroyed.
 *
 * MT-safe for different pools. Not for signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, not destroyed yet, and nobody uses it or its items any
 * more.
 */
int cidpool_destroy(struct cidpool *pool);

/**
 * Gives back the ranges of `pool` of which every item is free. Interrupts all CPUs on which the
 * process runs.
 *
 * Returns how many; 0 for null.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet.
 */
size_t cidpool_trim(struct cidpool *pool);

/**
 * The pool that the item at `ptr` is of.
 *
 * Returns it, or null and `errno`:
 * - `EFAULT`: `ptr` is not where an item of a pool begins.
 *
 * MT-safe. For signal handlers.
 *
 * # Safety
 * Nobody destroys the pool meanwhile.
 */
struct cidpool *cidpool_of(const void *ptr);

/**
 * Allocates an item of `pool`: its copies hold what they hold at first, or what was left there.
 *
 * Returns its address in copy 0, which is for `cidpool_percpu_ptr` and the operations; who has it
 * frees it by `cidpool_percpu_free`. Or null and `errno`:
 * - `EINVAL`: `pool` is null;
 * - `ENOMEM`: all items are allocated and there may be no more ranges, the system refuses one, or
 *   its initialiser failed;
 * - `EPERM`: an ancestor process keeps the pool for itself.
 *
 * MT-safe, without a lock but when a range is added, or free items of other cids are collected. For
 * signal handlers, but at such a time.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet.
 */
void *cidpool_percpu_malloc(struct cidpool *pool);

/**
 * As `cidpool_percpu_malloc`; every copy of the item is zero. A copy that is so already is not
 * written.
 *
 * Returns, MT-safety, signal handlers: as there.
 *
 * # Safety
 * As there.
 */
void *cidpool_percpu_zmalloc(struct cidpool *pool);

/**
 * As `cidpool_percpu_malloc`; every copy of the item begins with the `init_len` bytes at
 * `init_ptr`, and is zero behind them.
 *
 * Returns as there; `EINVAL` also if `init_len` is above the item's length, or `init_ptr` null and
 * `init_len` not 0. MT-safety, signal handlers: as there.
 *
 * # Safety
 * As there; `init_len` bytes at `init_ptr` can be read.
 */
void *cidpool_percpu_malloc_init(struct cidpool *pool, const void *init_ptr, size_t init_len);

/**
 * Frees the item at `ptr`, of whatever pool it is; null is no item, and fine. `stride` is its
 * pool's. `cidpool_percpu_free` calls this, and knows the default stride.
 *
 * Returns nothing: what is no item, and what a pool sees to be free already, ends the process with
 * one line on standard error, and so does a wrong stride. `errno` stays as it was.
 *
 * MT-safe, without a lock. For signal handlers.
 *
 * # Safety
 * `ptr` is null or an item that is allocated, and that nobody uses any more.
 */
void cidpool_percpu_free_strided(void *ptr, size_t stride);

/**
 * Frees the item at `ptr` of `pool`, or says what is wrong with it.
 *
 * Returns 0, or -1 and `errno`:
 * - `EFAULT`: `ptr` is not in `pool`;
 * - `EINVAL`: `pool` or `ptr` is null, or `ptr` is not where an item begins;
 * - `EALREADY`: the item is free (a robust pool always sees that, others sometimes);
 * - `EPERM`: an ancestor process keeps the pool for itself.
 *
 * MT-safe, without a lock. For signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet; if `ptr` is an item that is
 * allocated, it is the caller's, and nobody uses it any more.
 */
int cidpool_percpu_try_free(struct cidpool *pool, void *ptr);

/**
 * Allocates `count` items of `pool` and writes their addresses to `items`: all of them, or none.
 *
 * Returns 0, or -1 and `errno` as `cidpool_percpu_malloc`; `EINVAL` also if `items` is null and
 * `count` is not 0.
 *
 * MT-safe, without a lock but when a range is added. Not for signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet; `items` has room for `count`.
 */
int cidpool_percpu_malloc_many(struct cidpool *pool, void **items, size_t count);

/**
 * Frees the `count` items at `items`, all of `pool`; null is no item, and fine. To free neighbours
 * together is cheaper than one after the other.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `pool` or `items` is null, and `count` is not 0.
 *
 * What is wrong with an item ends the process, as in `cidpool_percpu_free_strided`.
 *
 * MT-safe, without a lock. For signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet; each of the items is null or
 * allocated, once among them, and nobody uses it any more.
 */
int cidpool_percpu_free_many(struct cidpool *pool, void *const *items, size_t count);

/**
 * Makes a set without any pools.
 *
 * Returns it; the caller destroys it by `cidpool_set_destroy`.
 *
 * MT-safe. Not for signal handlers.
 */
struct cidpool_set *cidpool_set_create(void);

/**
 * Destroys `set`, and its pools as `cidpool_destroy` does. Null is no set, and fine.
 *
 * Returns 0.
 *
 * MT-safe for different sets. Not for signal handlers.
 *
 * # Safety
 * `set` is null or of `cidpool_set_create`, not destroyed yet, and nobody uses it, its pools or
 * their items any more.
 */
int cidpool_set_destroy(struct cidpool_set *set);

/**
 * Gives `pool` to `set`, with which it is destroyed. It may still be used by itself.
 *
 * Returns 0, or -1 and `errno`, and then the pool is still the caller's:
 * - `EINVAL`: `set` or `pool` is null, or the set's pools have another stride, or are (not)
 *   global;
 * - `EBUSY`: the set has a pool for this power of two, or the pool is in a set already.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * `set` is null or of `cidpool_set_create`, `pool` null or of `cidpool_create`; neither is
 * destroyed.
 */
int cidpool_set_add_pool(struct cidpool_set *set, struct cidpool *pool);

/**
 * Allocates an item of at least `len` bytes: of the pool with the shortest items that fit and that
 * is not full. As `cidpool_percpu_malloc`, and freed as what comes from there.
 *
 * Returns its address in copy 0, or null and `errno`:
 * - `EINVAL`: `set` is null;
 * - `ENOMEM`: no pool has items of that length, or all that have are full;
 * - `EPERM`: an ancestor process keeps the pool for itself.
 *
 * MT-safe, without a lock but when a range is added. For signal handlers, but at such a time.
 *
 * # Safety
 * `set` is null or of `cidpool_set_create`, and not destroyed yet.
 */
void *cidpool_set_percpu_malloc(struct cidpool_set *set, size_t len);

/**
 * As `cidpool_set_percpu_malloc`; every copy of the item is zero.
 *
 * # Safety
 * As there.
 */
void *cidpool_set_percpu_zmalloc(struct cidpool_set *set, size_t len);

/**
 * As `cidpool_set_percpu_malloc`; every copy of the item begins with the `len` bytes at
 * `init_ptr`, and is zero behind them.
 *
 * Returns as there; `EINVAL` also if `init_ptr` is null and `len` is not 0.
 *
 * # Safety
 * As there; `len` bytes at `init_ptr` can be read.
 */
void *cidpool_set_percpu_malloc_init(struct cidpool_set *set, const void *init_ptr, size_t len);

/**
 * How many copies an item of a pool per cid has: those of all cids that there can be, on all
 * nodes. Constant.
 *
 * Returns the number, or -1 and `errno`:
 * - `ENOMEM`: it is not known, for the library cannot start now.
 *
 * MT-safe. For signal handlers, but for the process's first call of the library.
 */
int cidpool_max_nr_copies(void);

/**
 * How many copies an item of `pool` has: as `cidpool_max_nr_copies`, or 1.
 *
 * Returns the number, or -1 and `errno`:
 * - `EINVAL`: `pool` is null.
 *
 * MT-safe. For signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet.
 */
int cidpool_get_max_nr_cpus(const struct cidpool *pool);

/**
 * Prepares the calling thread for the operations on the current copy. They do this by themselves
 * if need be: this is to learn whether they can be had at all. Where cids are emulated a thread
 * may still have none for the moment, while all others have one: then the operations say so.
 *
 * Returns 0, or -1 and `errno`:
 * - `EOPNOTSUPP`: the process has no cids, and will have none;
 * - `EAGAIN`: the system refuses the thread's registration;
 * - `ENOMEM`: the library cannot start now.
 *
 * MT-safe. For signal handlers, but for the process's first call of the library.
 */
int cidpool_register_current_thread(void);

/**
 * The copy that is the calling thread's now. It may be another one at once: operations find it by
 * themselves, and whoever takes a copy from here must make do with it being somebody else's. In a
 * signal handler above an operation it is there, also where operations would say `EAGAIN`.
 *
 * Returns the number, or -1 and `errno`:
 * - `EAGAIN`: the thread has no cid now: others have all of them, or it is at its end;
 * - `EOPNOTSUPP`, `ENOMEM`: as `cidpool_register_current_thread`.
 *
 * MT-safe. For signal handlers, but for the process's first call of the library.
 */
int cidpool_current_copy(void);

/**
 * Writes to `node` and `cid` (each may be null) whose the copy is that has number `copy`.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: there is no such copy;
 * - `ENOMEM`: the library cannot start now.
 *
 * MT-safe. For signal handlers, but for the process's first call of the library.
 *
 * # Safety
 * `node` and `cid` are null, or may be written.
 */
int cidpool_place_of(int copy, int *node, int *cid);

/**
 * The copy of the item at `ptr` that belongs to `cid` on `node`; in a global pool the only one.
 * Two nodes' copies of a cid are two: a cid that turns up on another node is at another copy
 * there.
 *
 * Returns its address, or null and `errno`:
 * - `EINVAL`: `pool` or `ptr` is null, or there can be no such place.
 *
 * MT-safe. For signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet; `ptr` is an allocated item of it.
 */
void *cidpool_percpu_ptr_at(const struct cidpool *pool, void *ptr, int node, int cid);

/**
 * Calls `each` with every copy of the item at `ptr`, in the order of their numbers: copies that no
 * cid wrote to hold what copies hold at first, and to read them costs no memory. As long as this
 * goes on no memory of any pool is unmapped, so that other threads may free the item, and destroy
 * the pool. What others do to the copies meanwhile is seen word by word: read them as atomics.
 *
 * Returns 0, or what `each` returned that was not 0, or -1 and `errno`:
 * - `EINVAL`: `pool`, `ptr` or `each` is null.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_percpu_ptr_at`, when it is called; `each` may be called so.
 */
int cidpool_percpu_for_each(const struct cidpool *pool,
                            void *ptr,
                            cidpool_each_function each,
                            void *data);

/**
 * Adds `count` to the word at `v`, modulo 2^64. For errors see `cidpool_compare_store_strided`.
 *
 * # Safety
 * `v` is a word of an allocated item's copy 0, in a pool per cid of that stride.
 */
int cidpool_add_strided(uint64_t *v, uint64_t count, size_t stride);

/**
 * Writes the word at `v` to `value`. For errors see `cidpool_compare_store_strided`.
 *
 * # Safety
 * As for `cidpool_add_strided`; `value` may be written.
 */
int cidpool_load_strided(const uint64_t *v, uint64_t *value, size_t stride);

/**
 * Stores `newv` at `v` if `expect` is there.
 *
 * Returns 0, or 1 if something else is there, or, as all operations, -1 and `errno`:
 * - `EINVAL`: `stride` is not a power of two;
 * - `EAGAIN`: the thread has no cid now: others have all of them, it is at its end, or in a signal
 *   handler above an operation;
 * - `EOPNOTSUPP`: the process has no cids, and will have none;
 * - `ENOMEM`: the library cannot start now.
 *
 * MT-safe. For signal handlers, but for the process's first call of the library.
 *
 * # Safety
 * As for `cidpool_add_strided`.
 */
int cidpool_compare_store_strided(uint64_t *v, uint64_t expect, uint64_t newv, size_t stride);

/**
 * Stores `newv` at `v` if `expect` is there, and `expect2` at `v2`. Returns 0, or 1 if not, or -1
 * as `cidpool_compare_store_strided`.
 *
 * # Safety
 * As for `cidpool_add_strided`, both.
 */
int cidpool_compare_two_store_strided(uint64_t *v,
                                      uint64_t expect,
                                      const uint64_t *v2,
                                      uint64_t expect2,
                                      uint64_t newv,
                                      size_t stride);

/**
 * If `expect` is at `v`, stores `newv2` at `v2`, and then `newv` at `v`, with release. Returns 0,
 * or 1 if not, or -1 as `cidpool_compare_store_strided`; `EINVAL` also if `v2` is `v`. Others may look
 * at `v2` only if they saw `newv`.
 *
 * # Safety
 * As for `cidpool_add_strided`, both.
 */
int cidpool_compare_store_store_strided(uint64_t *v,
                                        uint64_t expect,
                                        uint64_t newv,
                                        uint64_t *v2,
                                        uint64_t newv2,
                                        size_t stride);

/**
 * If `expect` is at `v`, copies `len` bytes from `from` to `to`, and then stores `newv` at `v`,
 * with release. Returns 0, or 1 if not, or -1 as `cidpool_compare_store_strided`; `EINVAL` also if
 * `len` is above `CIDPOOL_COPY_MAX`, or `v` lies in the bytes at `to`. Others may look at `to` only if
 * they saw `newv`.
 *
 * # Safety
 * As for `cidpool_add_strided`, `v` and the `len` bytes at `to`; those at `from`, which is an
 * ordinary address outside of the pool, can be read.
 */
int cidpool_compare_copy_store_strided(uint64_t *v,
                                       uint64_t expect,
                                       uint64_t newv,
                                       void *to,
                                       const void *from,
                                       size_t len,
                                       size_t stride);

/**
 * Puts `node` before the others of the list at `head`, which is zero when it is empty; the word
 * `offset` bytes into the node leads to the next one. Returns 0, or -1 as
 * `cidpool_compare_store_strided`.
 *
 * # Safety
 * As for `cidpool_add_strided`, the head; `node` is the caller's memory, in no list.
 */
int cidpool_list_push_strided(uint64_t *head, void *node, size_t offset, size_t stride);

/**
 * Takes the first node of the list at `head`, and writes its address to `node`. Returns 0, or 1 if
 * the list is empty, or -1 as `cidpool_compare_store_strided`.
 *
 * # Safety
 * As for `cidpool_list_push_strided`, whose nodes these are; `node` may be written.
 */
int cidpool_list_pop_strided(uint64_t *head, void **node, size_t offset, size_t stride);

/**
 * Takes all nodes of the list at `head`, and writes the address of the first to `first`, or null
 * if there is none. Returns 0, or -1 as `cidpool_compare_store_strided`.
 *
 * # Safety
 * As for `cidpool_list_pop_strided`.
 */
int cidpool_list_pop_all_strided(uint64_t *head, void **first, size_t stride);

/**
 * As `cidpool_compare_store_strided`, on the copy with number `copy` alone: for words that stand
 * for the copy, such as locks. Returns -1 also with
 * - `ESTALE`: another copy is current now, or the word has just changed;
 * - `EINVAL`: there is no such copy.
 *
 * # Safety
 * As for `cidpool_add_strided`.
 */
int cidpool_compare_store_on_strided(uint64_t *v,
                                     uint64_t expect,
                                     uint64_t newv,
                                     int copy,
                                     size_t stride);

/**
 * Writes what `pool` has to `statistics`. Asks the kernel for every page.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `pool` or `statistics` is null.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet; `statistics` may be written.
 */
int cidpool_get_statistics(const struct cidpool *pool, struct cidpool_statistics *statistics);

/**
 * Writes what is resident of `pool` to `nodes`, for the first `len` nodes.
 *
 * Returns how many nodes there are, or -1 and `errno`:
 * - `EINVAL`: `pool` is null, or `nodes` is and `len` is not 0;
 * - `EOPNOTSUPP`: the kernel does not say (there is no `/proc`), or the pool is an ancestor's.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * `pool` is null or of `cidpool_create`, and not destroyed yet; `nodes` has room for `len`.
 */
int cidpool_get_resident(const struct cidpool *pool, struct cidpool_resident *nodes, size_t len);

/**
 * Writes a text about every pool of the process to the file descriptor `fd`.
 *
 * MT-safe. Not for signal handlers.
 */
void cidpool_write_statistics(int fd);

/**
 * Makes a counter at 0.
 *
 * Returns it; the caller destroys it by `cidpool_counter_destroy`.
 *
 * MT-safe. Not for signal handlers.
 */
struct cidpool_counter *cidpool_counter_create(void);

/**
 * Destroys `counter`. Null is no counter, and fine.
 *
 * MT-safe for different counters. Not for signal handlers.
 *
 * # Safety
 * `counter` is null or of `cidpool_counter_create`, not destroyed yet, and nobody uses it any
 * more.
 */
void cidpool_counter_destroy(struct cidpool_counter *counter);

/**
 * Adds `count`, modulo 2^64: a negative number by its two's complement. Never fails, never waits.
 * `errno` stays as it was.
 *
 * MT-safe. For signal handlers, but for the second thread's first add, which may allocate:
 * `cidpool_counter_spread` does that ahead.
 *
 * # Safety
 * `counter` is of `cidpool_counter_create`, and not destroyed yet. Null ends the process: to look
 * would take as long as the add.
 */
void cidpool_counter_add(struct cidpool_counter *counter, uint64_t count);

/**
 * Gives `counter` its copies now, rather than when a second thread adds to it.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `counter` is null;
 * - `ENOMEM`: there is no memory, or no address space. Adding works all the same.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * `counter` is null or of `cidpool_counter_create`, and not destroyed yet.
 */
int cidpool_counter_spread(struct cidpool_counter *counter);

/**
 * The value: every add that happened before this call is in it, none that began after its end is;
 * of those that were under way meanwhile any may be.
 *
 * Returns it; 0 for null.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_counter_spread`.
 */
uint64_t cidpool_counter_sum(const struct cidpool_counter *counter);

/**
 * Writes the value at one instant of the call to `sum`. Interrupts all CPUs on which the process
 * runs.
 *
 * Returns 0, or -1 and `errno`:
 * - `EINVAL`: `counter` or `sum` is null;
 * - `EAGAIN`: the fence that this takes cannot be made: the kernel refuses it, or this is a signal
 *   handler above an add.
 *
 * MT-safe. Not for signal handlers.
 *
 * # Safety
 * As for `cidpool_counter_spread`; `sum` is null, or may be written.
 */
int cidpool_counter_sum_exact(const struct cidpool_counter *counter, uint64_t *sum);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


/*
 * The stride is the last argument of the macros below, and may be left out where it is the default.
 */
#define CIDPOOL_1ST_(a, ...) a
#define CIDPOOL_2ND_(a, b, ...) b
#define CIDPOOL_3RD_(a, b, c, ...) c
#define CIDPOOL_4TH_(a, b, c, d, ...) d
#define CIDPOOL_5TH_(a, b, c, d, e, ...) e
#define CIDPOOL_6TH_(a, b, c, d, e, f, ...) f
#define CIDPOOL_7TH_(a, b, c, d, e, f, g, ...) g
#define CIDPOOL_8TH_(a, b, c, d, e, f, g, h, ...) h

/* A word, whatever its type is: eight bytes. */
#define CIDPOOL_WORD_(v) \
    ((void)sizeof(char[sizeof(*(v)) == 8 ? 1 : -1]), (uint64_t *)(v))
#define CIDPOOL_VALUE_(x) ((uint64_t)(uintptr_t)(x))

/* cidpool_percpu_ptr(ptr, copy[, stride]): the copy of that number, of the same type. */
#define cidpool_percpu_ptr(...) \
    ((__typeof__(CIDPOOL_1ST_(__VA_ARGS__, 0)))((uintptr_t)CIDPOOL_1ST_(__VA_ARGS__, 0) + \
        (size_t)(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)) * \
            (size_t)CIDPOOL_3RD_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0)))

/* cidpool_percpu_free(ptr[, stride]) */
#define cidpool_percpu_free(...) \
    cidpool_percpu_free_strided( \
        CIDPOOL_1ST_(__VA_ARGS__, 0), CIDPOOL_2ND_(__VA_ARGS__, CIDPOOL_STRIDE, 0))

/* cidpool_add(v, count[, stride]) */
#define cidpool_add(...) \
    cidpool_add_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)), \
        CIDPOOL_3RD_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0))

/* cidpool_load(v, value[, stride]): `value` is a uint64_t *. */
#define cidpool_load(...) \
    cidpool_load_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_2ND_(__VA_ARGS__, 0, 0), \
        CIDPOOL_3RD_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0))

/* cidpool_compare_store(v, expect, newv[, stride]) */
#define cidpool_compare_store(...) \
    cidpool_compare_store_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0)), \
        CIDPOOL_4TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0))

/* cidpool_compare_store_on(v, expect, newv, copy[, stride]) */
#define cidpool_compare_store_on(...) \
    cidpool_compare_store_on_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0)), \
        CIDPOOL_4TH_(__VA_ARGS__, 0, 0, 0, 0), \
        CIDPOOL_5TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0, 0))

/* cidpool_compare_two_store(v, expect, v2, expect2, newv[, stride]) */
#define cidpool_compare_two_store(...) \
    cidpool_compare_two_store_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)), \
        CIDPOOL_WORD_(CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_4TH_(__VA_ARGS__, 0, 0, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_5TH_(__VA_ARGS__, 0, 0, 0, 0, 0)), \
        CIDPOOL_6TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0, 0, 0))

/* cidpool_compare_store_store(v, expect, newv, v2, newv2[, stride]) */
#define cidpool_compare_store_store(...) \
    cidpool_compare_store_store_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0)), \
        CIDPOOL_WORD_(CIDPOOL_4TH_(__VA_ARGS__, 0, 0, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_5TH_(__VA_ARGS__, 0, 0, 0, 0, 0)), \
        CIDPOOL_6TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0, 0, 0))

/* cidpool_compare_copy_store(v, expect, newv, to, from, len[, stride]) */
#define cidpool_compare_copy_store(...) \
    cidpool_compare_copy_store_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_2ND_(__VA_ARGS__, 0, 0)), \
        CIDPOOL_VALUE_(CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0)), \
        CIDPOOL_4TH_(__VA_ARGS__, 0, 0, 0, 0), CIDPOOL_5TH_(__VA_ARGS__, 0, 0, 0, 0, 0), \
        CIDPOOL_6TH_(__VA_ARGS__, 0, 0, 0, 0, 0, 0), \
        CIDPOOL_7TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0, 0, 0, 0))

/* cidpool_list_push(head, node, offset[, stride]) */
#define cidpool_list_push(...) \
    cidpool_list_push_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_2ND_(__VA_ARGS__, 0, 0), CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0), \
        CIDPOOL_4TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0))

/* cidpool_list_pop(head, node, offset[, stride]): `node` is a void **. */
#define cidpool_list_pop(...) \
    cidpool_list_pop_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_2ND_(__VA_ARGS__, 0, 0), CIDPOOL_3RD_(__VA_ARGS__, 0, 0, 0), \
        CIDPOOL_4TH_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0, 0))

/* cidpool_list_pop_all(head, first[, stride]): `first` is a void **. */
#define cidpool_list_pop_all(...) \
    cidpool_list_pop_all_strided(CIDPOOL_WORD_(CIDPOOL_1ST_(__VA_ARGS__, 0)), \
        CIDPOOL_2ND_(__VA_ARGS__, 0, 0), \
        CIDPOOL_3RD_(__VA_ARGS__, CIDPOOL_STRIDE, 0, 0))

/*
 * For programs that were written for librseq: its operations with its arguments. `v` and `v2` are
 * addresses in copy `cpu`, as cidpool_percpu_ptr says; the stride may follow. They return 0 when
 * it is done, 1 where the comparison says no, -1 where it is to be tried again (or there is no cid:
 * see errno).
 *
 * load_cbne_store is on copy `cpu` alone, as there. The others are on the copy that is current,
 * which may be another one than `cpu` by then: they compare what is there, and change what is
 * there. Memory orders are as strong as they get: each store is a release.
 */
#define CIDPOOL_MO_RELAXED 0
#define CIDPOOL_MO_RELEASE 1
#define CIDPOOL_PERCPU_CPU_ID 0
#define CIDPOOL_PERCPU_MM_CID 1

/* The copy that seems to be the thread's; 0 as long as it has none. */
static inline int cidpool_current_mm_cid(void)
{
    int copy = cidpool_current_copy();
    return copy < 0 ? 0 : copy;
}

/* What the macros below do, in functions: each argument is looked at once. */
static inline uint64_t *cidpool_copy_0_(uint64_t *v, int cpu, size_t stride)
{
    return (uint64_t *)((uintptr_t)v - (size_t)cpu * stride);
}
static inline int cidpool_add_at_(uint64_t *v, uint64_t count, int cpu, size_t stride)
{
    return cidpool_add_strided(cidpool_copy_0_(v, cpu, stride), count, stride);
}
static inline int cidpool_compare_store_at_(
    uint64_t *v, uint64_t expect, uint64_t newv, int cpu, size_t stride)
{
    v = cidpool_copy_0_(v, cpu, stride);
    return cidpool_compare_store_on_strided(v, expect, newv, cpu, stride);
}
static inline int cidpool_compare_store_store_at_(uint64_t *v, uint64_t expect, uint64_t *v2,
    uint64_t newv2, uint64_t newv, int cpu, size_t stride)
{
    v = cidpool_copy_0_(v, cpu, stride);
    v2 = cidpool_copy_0_(v2, cpu, stride);
    return cidpool_compare_store_store_strided(v, expect, newv, v2, newv2, stride);
}
static inline int cidpool_compare_two_store_at_(uint64_t *v, uint64_t expect, uint64_t *v2,
    uint64_t expect2, uint64_t newv, int cpu, size_t stride)
{
    v = cidpool_copy_0_(v, cpu, stride);
    v2 = cidpool_copy_0_(v2, cpu, stride);
    return cidpool_compare_two_store_strided(v, expect, v2, expect2, newv, stride);
}
static inline int cidpool_compare_copy_store_at_(uint64_t *v, uint64_t expect, void *to,
    const void *from, size_t len, uint64_t newv, int cpu, size_t stride)
{
    v = cidpool_copy_0_(v, cpu, stride);
    to = (void *)((uintptr_t)to - (size_t)cpu * stride);
    return cidpool_compare_copy_store_strided(v, expect, newv, to, from, len, stride);
}
static inline int cidpool_list_pop_at_(
    uint64_t *head, size_t offset, void **node, int cpu, size_t stride)
{
    return cidpool_list_pop_strided(cidpool_copy_0_(head, cpu, stride), node, offset, stride);
}

/* cpu[, stride] */
#define CIDPOOL_CPU_(...) \
    CIDPOOL_1ST_(__VA_ARGS__, 0), CIDPOOL_2ND_(__VA_ARGS__, CIDPOOL_STRIDE, 0)

/* cidpool_load_add_store__ptr(mo, mode, v, count, cpu[, stride]) */
#define cidpool_load_add_store__ptr(mo, mode, v, count, ...) \
    ((void)(mo), (void)(mode), \
        cidpool_add_at_(CIDPOOL_WORD_(v), CIDPOOL_VALUE_(count), CIDPOOL_CPU_(__VA_ARGS__)))

/* cidpool_load_cbne_store__ptr(mo, mode, v, expect, newv, cpu[, stride]) */
#define cidpool_load_cbne_store__ptr(mo, mode, v, expect, newv, ...) \
    ((void)(mo), (void)(mode), \
        cidpool_compare_store_at_(CIDPOOL_WORD_(v), CIDPOOL_VALUE_(expect), \
            CIDPOOL_VALUE_(newv), CIDPOOL_CPU_(__VA_ARGS__)))

/* cidpool_load_cbne_store_store__ptr(mo, mode, v, expect, v2, newv2, newv, cpu[, stride]) */
#define cidpool_load_cbne_store_store__ptr(mo, mode, v, expect, v2, newv2, newv, ...) \
    ((void)(mo), (void)(mode), \
        cidpool_compare_store_store_at_(CIDPOOL_WORD_(v), CIDPOOL_VALUE_(expect), \
            CIDPOOL_WORD_(v2), CIDPOOL_VALUE_(newv2), CIDPOOL_VALUE_(newv), \
            CIDPOOL_CPU_(__VA_ARGS__)))

/* cidpool_load_cbne_load_cbne_store__ptr(mo, mode, v, expect, v2, expect2, newv, cpu[, stride]) */
#define cidpool_load_cbne_load_cbne_store__ptr(mo, mode, v, expect, v2, expect2, newv, ...) \
    ((void)(mo), (void)(mode), \
        cidpool_compare_two_store_at_(CIDPOOL_WORD_(v), CIDPOOL_VALUE_(expect), \
            CIDPOOL_WORD_(v2), CIDPOOL_VALUE_(expect2), CIDPOOL_VALUE_(newv), \
            CIDPOOL_CPU_(__VA_ARGS__)))

/* cidpool_load_cbne_memcpy_store__ptr(mo, mode, v, expect, to, from, len, newv, cpu[, stride]) */
#define cidpool_load_cbne_memcpy_store__ptr(mo, mode, v, expect, to, from, len, newv, ...) \
    ((void)(mo), (void)(mode), \
        cidpool_compare_copy_store_at_(CIDPOOL_WORD_(v), CIDPOOL_VALUE_(expect), to, from, len, \
            CIDPOOL_VALUE_(newv), CIDPOOL_CPU_(__VA_ARGS__)))

/*
 * cidpool_load_cbeq_store_add_load_store__ptr(mo, mode, v, expectnot, voffp, load, cpu[, stride]):
 * takes the first node of a list; `expectnot` is what an empty list's head holds: 0.
 */
#define cidpool_load_cbeq_store_add_load_store__ptr(mo, mode, v, expectnot, voffp, load, ...) \
    ((void)(mo), (void)(mode), (void)sizeof(char[(expectnot) == 0 ? 1 : -1]), \
        cidpool_list_pop_at_(CIDPOOL_WORD_(v), (size_t)(voffp), (void **)(load), \
            CIDPOOL_CPU_(__VA_ARGS__)))

#endif /* CIDPOOL_H */
