// A program that replaces `operator new(size_t)` and `operator delete(void *)`, with a header
// before each block: whoever gives such a block to another heap gives it the middle of a block.
#include "check.h"
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using std::align_val_t;
using std::nothrow;

namespace {
constexpr uint64_t LIVE = 0x6c69766521212121;
struct alignas(64) Header { uint64_t mark, size; };
unsigned news, deletes;
} // namespace

void *operator new(size_t size) {
    Header *header = static_cast<Header *>(malloc(sizeof(Header) + size));
    if (!header) throw std::bad_alloc();
    *header = {LIVE, size};
    __atomic_add_fetch(&news, 1, __ATOMIC_RELAXED);
    return header + 1;
}

void operator delete(void *block) noexcept {
    if (!block) return;
    Header *header = static_cast<Header *>(block) - 1;
    CHECK(header->mark == LIVE, "%p is none of the program's blocks", block);
    header->mark = 0;
    __atomic_add_fetch(&deletes, 1, __ATOMIC_RELAXED);
    free(header);
}

namespace {

void every_delete_without_alignment_calls_the_replaced_one() {
    struct { const char *name; void (*call)(void *); } ways[] = {
        {"delete", [](void *p) { ::operator delete(p); }},
        {"delete[]", [](void *p) { ::operator delete[](p); }},
        {"delete, sized", [](void *p) { ::operator delete(p, size_t(100)); }},
        {"delete[], sized", [](void *p) { ::operator delete[](p, size_t(100)); }},
        {"delete, nothrow", [](void *p) { ::operator delete(p, nothrow); }},
        {"delete[], nothrow", [](void *p) { ::operator delete[](p, nothrow); }},
    };
    for (auto &way : ways)
        for (unsigned form = 0; form < 4; form++) {
            void *block = form == 0   ? ::operator new(100)
                          : form == 1 ? ::operator new[](100)
                          : form == 2 ? ::operator new(100, nothrow)
                                      : ::operator new[](100, nothrow);
            unsigned before = deletes;
            way.call(block);
            CHECK(deletes == before + 1, "%s, form %u: %u calls", way.name, form,
                  deletes - before);
        }
    CHECK(news == deletes && news == 24, "%u news, %u deletes", news, deletes);
}

void aligned_forms_call_neither() {
    align_val_t at{128};
    for (unsigned way = 0; way < 6; way++) {
        void *block = way & 1 ? ::operator new[](300, at) : ::operator new(300, at);
        CHECK(uintptr_t(block) % 128 == 0, "%p", block);
        switch (way) {
        case 0: ::operator delete(block, at); break;
        case 1: ::operator delete[](block, at); break;
        case 2: ::operator delete(block, size_t(300), at); break;
        case 3: ::operator delete[](block, size_t(300), at); break;
        case 4: ::operator delete(block, at, nothrow); break;
        default: ::operator delete[](block, at, nothrow);
        }
    }
    CHECK(news == 0 && deletes == 0, "%u news, %u deletes", news, deletes);
}

void the_standard_library_uses_the_pair() {
    std::thread threads[4];
    for (auto &thread : threads)
        thread = std::thread([] {
            for (unsigned i = 0; i < 500; i++) {
                std::ostringstream out;
                out << std::string(200, 'x') << i;
                CHECK(out.str().size() > 200, "%zu", out.str().size());
                try {
                    throw std::vector<int>(100, int(i));
                } catch (const std::vector<int> &caught) {
                    CHECK(caught[99] == int(i), "%d", caught[99]);
                }
            }
        });
    for (auto &thread : threads) thread.join();
    CHECK(news >= 4 * 500 * 3 && news == deletes, "%u news, %u deletes", news, deletes);
}

const test_case CASES[] = {
    {"every_delete_without_alignment_calls_the_replaced_one",
     every_delete_without_alignment_calls_the_replaced_one},
    {"aligned_forms_call_neither", aligned_forms_call_neither},
    {"the_standard_library_uses_the_pair", the_standard_library_uses_the_pair},
};

} // namespace
MAIN(CASES)
