// A program that brings its own malloc family, as one linked with another allocator does, while
// the library is preloaded. The program's comes first: new, delete and what the library exports
// besides must use it, and no block of it may reach the library. The names are those that glibc's
// manual wants replaced. What libc itself calls is not tested: the loader binds that to the
// program, and nothing of the library takes part.
#include "check.h"
#include "forms.h"
#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace {

// Blocks are carved from the left and never reused: │ … size│block │ … size│block │ free →
alignas(4096) char arena[64 << 20];
std::atomic<size_t> used{0};
std::atomic<unsigned> frees{0};

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
    for (unsigned form = 0; form < FORMS; form++)
        for (unsigned way = 0; way < WAYS; way++) {
            void *block = make(form, 100, 256);
            CHECK(is_own(block), "form %u gave %p", form, block);
            unsigned before = frees;
            unmake(form, way, block, 100, 256);
            CHECK(frees == before + 1, "form %u, way %u: %u frees", form, way, frees - before);
        }
}

// Names that the program does not replace, and that the library has besides libc's: they must
// go on to the program's free.
void other_frees_use_the_programs_free() {
    auto plain = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    auto sized = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    auto aligned = (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    if (!subject_is("ours") && !(plain && sized && aligned))
        SKIP("not all of cfree, free_sized and free_aligned_sized are there");
    CHECK(plain && sized && aligned, "%d %d %d", !!plain, !!sized, !!aligned);
    unsigned before = frees;
    plain(malloc(40));
    CHECK(frees == before + 1, "cfree: %u frees", frees - before);
    sized(malloc(40), 40);
    CHECK(frees == before + 2, "free_sized: %u frees", frees - before);
    aligned(aligned_alloc(64, 128), 64, 128);
    CHECK(frees == before + 3, "free_aligned_sized: %u frees", frees - before);
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
    {"other_frees_use_the_programs_free", other_frees_use_the_programs_free},
    {"reallocarray_uses_the_programs_realloc", reallocarray_uses_the_programs_realloc},
    {"threads_and_containers_use_the_programs_malloc",
     threads_and_containers_use_the_programs_malloc},
};

} // namespace
MAIN(CASES)
