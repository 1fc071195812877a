// A program that brings its own malloc family, as one linked with another allocator does, while
// the library is preloaded. The program's comes first: new, delete and libc must all use it, and
// no block of it may reach the library. The names are those that glibc's manual wants replaced.
#include "check.h"
#include <atomic>
#include <new>
#include <string>
#include <thread>
#include <vector>

using std::align_val_t;
using std::nothrow;

namespace {

// Blocks are carved from the left and never reused: │ … size│block │ … size│block │ free →
alignas(4096) char arena[64 << 20];
std::atomic<size_t> used{0};
std::atomic<unsigned> mallocs{0}, frees{0};

bool is_own(const void *block) { return block >= arena && block < arena + sizeof arena; }
size_t &size_of(void *block) { return static_cast<size_t *>(block)[-1]; }

void *carve(size_t size, size_t alignment) {
    if (alignment < 16) alignment = 16;
    size_t room = size + alignment + 32;
    size_t from = used.fetch_add(room);
    if (size > sizeof arena || from + room > sizeof arena) {
        errno = ENOMEM;
        return nullptr;
    }
    size_t at = (from + 16 + alignment - 1) & ~(alignment - 1);
    size_of(arena + at) = size;
    mallocs++;
    return arena + at;
}

} // namespace

extern "C" {
void *malloc(size_t size) { return carve(size, 16); }
void free(void *block) {
    if (!block) return;
    CHECK(is_own(block), "%p is none of the program's blocks", block);
    frees++;
}
void *calloc(size_t count, size_t size) { return carve(count * size, 16); }
void *realloc(void *block, size_t size) {
    CHECK(!block || is_own(block), "%p is none of the program's blocks", block);
    void *moved = carve(size, 16);
    if (!moved || !block) return moved;
    size_t old = size_of(block);
    memcpy(moved, block, old < size ? old : size);
    frees++;
    return moved;
}
void *memalign(size_t alignment, size_t size) { return carve(size, alignment); }
void *aligned_alloc(size_t alignment, size_t size) { return carve(size, alignment); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    void *block = carve(size, alignment);
    if (!block) return ENOMEM;
    *out = block;
    return 0;
}
void *valloc(size_t size) { return carve(size, 4096); }
void *pvalloc(size_t size) { return carve((size + 4095) & ~size_t(4095), 4096); }
size_t malloc_usable_size(void *block) { return block ? size_of(block) : 0; }
}

namespace {

void every_default_new_and_delete_uses_the_programs_malloc() {
    align_val_t at{256};
    for (unsigned form = 0; form < 8; form++)
        for (unsigned way = 0; way < 6; way++) {
            void *block;
            switch (form) {
            case 0: block = ::operator new(100); break;
            case 1: block = ::operator new[](100); break;
            case 2: block = ::operator new(100, nothrow); break;
            case 3: block = ::operator new[](100, nothrow); break;
            case 4: block = ::operator new(100, at); break;
            case 5: block = ::operator new[](100, at); break;
            case 6: block = ::operator new(100, at, nothrow); break;
            default: block = ::operator new[](100, at, nothrow);
            }
            CHECK(is_own(block), "form %u gave %p", form, block);
            unsigned before = frees;
            switch (form < 4 ? way : way + 6) {
            case 0: ::operator delete(block); break;
            case 1: ::operator delete[](block); break;
            case 2: ::operator delete(block, size_t(100)); break;
            case 3: ::operator delete[](block, size_t(100)); break;
            case 4: ::operator delete(block, nothrow); break;
            case 5: ::operator delete[](block, nothrow); break;
            case 6: ::operator delete(block, at); break;
            case 7: ::operator delete[](block, at); break;
            case 8: ::operator delete(block, size_t(100), at); break;
            case 9: ::operator delete[](block, size_t(100), at); break;
            case 10: ::operator delete(block, at, nothrow); break;
            default: ::operator delete[](block, at, nothrow);
            }
            CHECK(frees == before + 1, "form %u, way %u: %u frees", form, way, frees - before);
        }
}

void libc_uses_the_programs_malloc() {
    char *copy = strdup("a string that is copied");
    CHECK(is_own(copy), "%p", (void *)copy);
    char *text = nullptr;
    int length = asprintf(&text, "%s and %d", copy, 42);
    CHECK(length == 30 && is_own(text), "%d %p", length, (void *)text);
    free(copy);
    free(text);
    char *line = nullptr;
    size_t room = 0;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != nullptr && getline(&line, &room, file) > 0, "no line");
    CHECK(is_own(line) && room <= malloc_usable_size(line), "%p of %zu", (void *)line, room);
    free(line);
    fclose(file);
    CHECK(mallocs >= 4 && frees >= 4, "%u mallocs, %u frees", unsigned(mallocs), unsigned(frees));
}

// Not among the names to replace: libc's goes on to the program's realloc.
void reallocarray_uses_the_programs_realloc() {
    char *block = static_cast<char *>(malloc(40));
    fill(block, 40, 1);
    block = static_cast<char *>(reallocarray(block, 10, 20));
    CHECK(is_own(block), "%p", (void *)block);
    CHECK_PATTERN(block, 40, 1);
    free(block);
    CHECK(reallocarray(nullptr, SIZE_MAX / 2, 3) == nullptr && errno == ENOMEM, "errno %d", errno);
}

void threads_and_containers_use_the_programs_malloc() {
    std::thread threads[4];
    for (auto &thread : threads)
        thread = std::thread([] {
            std::vector<std::string> words;
            for (unsigned i = 0; i < 300; i++) words.push_back(std::string(100, 'a' + i % 26));
            for (auto &word : words) CHECK(is_own(word.data()), "%p", (void *)word.data());
        });
    for (auto &thread : threads) thread.join();
    CHECK(frees >= 4 * 300, "%u frees", unsigned(frees));
}

const test_case CASES[] = {
    {"every_default_new_and_delete_uses_the_programs_malloc",
     every_default_new_and_delete_uses_the_programs_malloc},
    {"libc_uses_the_programs_malloc", libc_uses_the_programs_malloc},
    {"reallocarray_uses_the_programs_realloc", reallocarray_uses_the_programs_realloc},
    {"threads_and_containers_use_the_programs_malloc",
     threads_and_containers_use_the_programs_malloc},
};

} // namespace
MAIN(CASES)
