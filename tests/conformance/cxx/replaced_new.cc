// A program that replaces `operator new(size_t)` alone, over malloc. By the standard the default
// forms without alignment call it, and the default deletes give its blocks back.
#include "check.h"
#include <new>

using std::align_val_t;
using std::nothrow;

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

size_t resident() {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm && fscanf(statm, "%*u %zu", &pages) == 1, "no /proc/self/statm");
    fclose(statm);
    return pages * size_t(sysconf(_SC_PAGESIZE));
}

void forms_without_alignment_call_the_replaced_new() {
    void *blocks[] = {::operator new(40), ::operator new[](40), ::operator new(40, nothrow),
                      ::operator new[](40, nothrow)};
    CHECK(calls == 4, "%u calls by four forms", calls);
    for (void *block : blocks) ::operator delete(block);
    void *aligned = ::operator new(40, align_val_t(64));
    CHECK(calls == 4, "the aligned form called it, too");
    ::operator delete(aligned, align_val_t(64));
    refuses = true;
    void *none = ::operator new[](40, nothrow);
    refuses = false;
    CHECK(none == nullptr, "%p from a new that threw", none);
}

void default_deletes_give_its_blocks_back() {
    for (unsigned way = 0; way < 6; way++) {
        size_t start = resident();
        for (unsigned round = 0; round < 4000; round++) {
            size_t size = round & 1 ? 50000 : 3000;
            void *block = way & 1 ? ::operator new[](size) : ::operator new(size);
            memset(block, 1, size);
            switch (way) {
            case 0: ::operator delete(block); break;
            case 1: ::operator delete[](block); break;
            case 2: ::operator delete(block, size); break;
            case 3: ::operator delete[](block, size); break;
            case 4: ::operator delete(block, nothrow); break;
            default: ::operator delete[](block, nothrow);
            }
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
