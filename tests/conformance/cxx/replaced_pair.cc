// A program that replaces `operator new(size_t)` and `operator delete(void *)`, with a header
// before each block: whoever gives such a block to another heap gives it the middle of a block.
#include "check.h"
#include "forms.h"
#include <sstream>
#include <string>
#include <thread>
#include <vector>

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
    for (unsigned way = 0; way < WAYS; way++)
        for (unsigned form = 0; form < 4; form++) {
            void *block = make(form, 100);
            unsigned before = deletes;
            unmake(form, way, block, 100);
            CHECK(deletes == before + 1, "way %u, form %u: %u calls", way, form,
                  deletes - before);
        }
    CHECK(news == deletes && news == 24, "%u news, %u deletes", news, deletes);
}

void aligned_forms_call_neither() {
    for (unsigned form = 4; form < FORMS; form++)
        for (unsigned way = 0; way < WAYS; way++) {
            void *block = make(form, 300, 128);
            CHECK(uintptr_t(block) % 128 == 0, "form %u gave %p", form, block);
            unmake(form, way, block, 300, 128);
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
