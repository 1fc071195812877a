// C++'s sized delete, with a size that is not the block's. Argument: the block's size.
#include "check.h"
#include <new>

static size_t asked() {
    if (case_argc < 1) FAIL("the argument is the block's size");
    return strtoul(case_argv[0], nullptr, 10);
}
static void *announce(void *address) {
    void *volatile hidden = address;
    say(1, "misused 0x%zx\n", (size_t)address);
    return hidden;
}

static void sized_delete_of_another_size() {
    void *block = ::operator new(asked());
    ::operator delete(announce(block), asked() / 2);
    say(1, "survived\n");
}
static void sized_delete_of_an_array_of_another_size() {
    void *block = ::operator new[](asked());
    ::operator delete[](announce(block), asked() * 2);
    say(1, "survived\n");
}
static void aligned_delete_of_another_size() {
    void *block = ::operator new(asked(), std::align_val_t(64));
    ::operator delete(announce(block), asked() * 2, std::align_val_t(64));
    say(1, "survived\n");
}
/* Sizes that are right, and look odd: none at all, and no multiple of the alignment. */
static void no_misuse() {
    ::operator delete(::operator new(0), (size_t)0);
    ::operator delete(::operator new(0, std::align_val_t(64)), (size_t)0, std::align_val_t(64));
    void *block = ::operator new(asked(), std::align_val_t(64));
    ::operator delete(announce(block), asked(), std::align_val_t(64));
    say(1, "survived\n");
}

#define CASE(name) {#name, name}
static const struct test_case CASES[] = {
    CASE(sized_delete_of_another_size),
    CASE(sized_delete_of_an_array_of_another_size),
    CASE(aligned_delete_of_another_size),
    CASE(no_misuse),
};
MAIN(CASES)
