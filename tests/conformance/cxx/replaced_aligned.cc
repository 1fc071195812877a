// A program that replaces the aligned forms alone, `operator new(size_t, align_val_t)` and
// `operator delete(void *, align_val_t)`, in an arena of its own, which no other heap may be
// given a block of. The default aligned forms must call them, the others must not.
#include "check.h"
#include "forms.h"
#include <vector>

using std::align_val_t;

namespace {
alignas(4096) char arena[8 << 20];
size_t used;
unsigned news, deletes;
bool is_own(void *block) { return block >= arena && block < arena + sizeof arena; }
} // namespace

void *operator new(size_t size, align_val_t at) {
    size_t alignment = size_t(at), from = (used + alignment - 1) & ~(alignment - 1);
    CHECK(from + size <= sizeof arena, "the test's arena of %zu bytes is used up", sizeof arena);
    used = from + size + 1;
    news++;
    return arena + from;
}

void operator delete(void *block, align_val_t) noexcept {
    CHECK(!block || is_own(block), "%p is none of the program's blocks", block);
    deletes += block != nullptr;
}

namespace {

void every_aligned_form_calls_the_replaced_ones() {
    for (unsigned form = 4; form < FORMS; form++)
        for (unsigned way = 0; way < WAYS; way++) {
            void *block = make(form, 700, 256);
            CHECK(is_own(block), "form %u gave %p", form, block);
            unsigned before = deletes;
            unmake(form, way, block, 700, 256);
            CHECK(deletes == before + 1, "form %u, way %u: %u calls", form, way,
                  deletes - before);
        }
    CHECK(news == 24, "%u calls by 24 forms", news);
}

void forms_without_alignment_call_neither() {
    for (unsigned form = 0; form < 4; form++)
        for (unsigned way = 0; way < WAYS; way++)
            for (size_t size : {size_t(1), size_t(700), size_t(100000)}) {
                void *block = make(form, size);
                CHECK(!is_own(block), "form %u gave %p", form, block);
                fill(block, size, way);
                CHECK_PATTERN(block, size, way);
                unmake(form, way, block, size);
            }
    CHECK(news == 0 && deletes == 0, "%u news, %u deletes", news, deletes);
}

void over_aligned_types_use_them() {
    struct alignas(128) Wide { char bytes[128]; };
    {
        std::vector<Wide> wide(10);
        wide.resize(100);
        for (Wide &one : wide) CHECK(is_own(&one) && uintptr_t(&one) % 128 == 0, "%p", (void *)&one);
        Wide *one = new Wide, *many = new Wide[3];
        CHECK(is_own(one) && is_own(many), "%p %p", (void *)one, (void *)many);
        delete one;
        delete[] many;
    }
    CHECK(news == 4 && deletes == 4, "%u news, %u deletes", news, deletes);
}

const test_case CASES[] = {
    {"every_aligned_form_calls_the_replaced_ones", every_aligned_form_calls_the_replaced_ones},
    {"forms_without_alignment_call_neither", forms_without_alignment_call_neither},
    {"over_aligned_types_use_them", over_aligned_types_use_them},
};

} // namespace
MAIN(CASES)
