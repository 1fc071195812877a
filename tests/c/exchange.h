/* Threads that free what others made.
 *
 *   exchange   a new letter into a random box ──► what was there is read and freed
 *
 * A letter is written before it is in a box, so whoever finds one there may read it: a child of
 * fork, too, whatever the other threads of its parent were doing. */
#ifndef CIDALLOC_TESTS_EXCHANGE_H
#define CIDALLOC_TESTS_EXCHANGE_H

#include "check.h"

enum { BOXES = 256 };
struct letter { size_t size; uint64_t seed; };
static struct letter *boxes[BOXES];

static inline void discard(struct letter *letter) {
    if (letter) CHECK_PATTERN(letter + 1, letter->size, letter->seed);
    free(letter);
}
static inline void exchange(uint64_t state, unsigned rounds) {
    for (unsigned round = 0; round < rounds; round++) {
        size_t size = random_size(&state, round % 200 ? 11 : 19), whole = size + sizeof(struct letter);
        struct letter *letter = round % 5 == 0   ? memalign(128, whole)
                                : round % 5 == 1 ? calloc(1, whole)
                                : round % 5 == 2 ? realloc(malloc(8), whole)
                                                 : malloc(whole);
        CHECK(letter != NULL, "size %zu", whole);
        letter->size = size, letter->seed = state;
        fill(letter + 1, size, state);
        discard(__atomic_exchange_n(&boxes[next_random(&state) % BOXES], letter, __ATOMIC_ACQ_REL));
    }
}
static inline void empty_boxes(void) {
    for (unsigned i = 0; i < BOXES; i++)
        discard(__atomic_exchange_n(&boxes[i], NULL, __ATOMIC_ACQ_REL));
}

#endif
