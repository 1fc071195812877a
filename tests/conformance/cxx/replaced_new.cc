// A program that replaces `operator new(size_t)` alone, over malloc. By the standard the default
// forms without alignment call it, and the default deletes give its blocks back.
#include "check.h"
#include "forms.h"

namespace {
unsigned calls;
bool refuses;
} // namespace

void *operator new(size_t size) {
    calls++;
    void *block = refuses ? nullptr : malloc(size ? size : 1);
    if (!block) throw std::bad_alloc();
    return block;
}

namespace {

void forms_without_alignment_call_the_replaced_new() {
    for (unsigned form = 0; form < 4; form++) {
        void *block = make(form, 40);
        CHECK(calls == form + 1, "%u calls by %u forms", calls, form + 1);
        unmake(form, form & 1, block, 40);
    }
    for (unsigned form = 4; form < FORMS; form++) unmake(form, 0, make(form, 40, 64), 40, 64);
    CHECK(calls == 4, "the aligned forms called it, too");
    refuses = true;
    void *none = make(3, 40);
    refuses = false;
    CHECK(none == nullptr, "%p from a new that threw", none);
}

void default_deletes_give_its_blocks_back() {
    for (unsigned way = 0; way < WAYS; way++) {
        size_t start = resident();
        for (unsigned round = 0; round < 4000; round++) {
            size_t size = round & 1 ? 50000 : 3000;
            void *block = make(way & 1, size);
            memset(block, 1, size);
            unmake(way & 1, way, block, size);
        }
        size_t end = resident();
        // 100 MiB went through.
        CHECK(end <= start + 16 * MIB, "way %u: %zu, then %zu resident", way, start, end);
    }
}

const test_case CASES[] = {
    {"forms_without_alignment_call_the_replaced_new",
     forms_without_alignment_call_the_replaced_new},
    {"default_deletes_give_its_blocks_back", default_deletes_give_its_blocks_back},
};

} // namespace
MAIN(CASES)
