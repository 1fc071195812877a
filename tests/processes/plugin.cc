/* A library to be loaded and unloaded: it allocates in constructors and frees in destructors.
 *
 *   of a global object, of functions so marked, and of objects of each thread that calls use() */
#include "check.h"
#include <memory>
#include <string>
#include <vector>

namespace {

struct Keeper {
    std::vector<std::unique_ptr<std::string>> kept;
    explicit Keeper(unsigned count) {
        for (unsigned i = 0; i < count; i++)
            kept.push_back(std::make_unique<std::string>(1 + i * 41 % 9000, char('a' + i % 26)));
    }
    ~Keeper() {
        for (unsigned i = 0; i < kept.size(); i++)
            if ((*kept[i])[kept[i]->size() / 2] != char('a' + i % 26)) FAIL("string %u changed", i);
        /* And allocates once more. */
        std::vector<int> more(5000, 1);
        if (more[4999] != 1) FAIL("a vector changed");
    }
};
Keeper global(300);
unsigned char *block;

__attribute__((constructor)) void construct() {
    block = static_cast<unsigned char *>(malloc(70000));
    if (!block) FAIL("70000 bytes in a constructor");
    fill(block, 70000, 7);
}
__attribute__((destructor)) void destruct() {
    CHECK_PATTERN(block, 70000, 7);
    free(block);
    free(calloc(3, 3000));
    if (getenv("PLUGIN_TELLS")) say(1, "late library done\n");
}

} // namespace

extern "C" unsigned use(unsigned count) {
    thread_local Keeper mine(50);
    Keeper now(count);
    return unsigned(mine.kept.size() + now.kept.size());
}
