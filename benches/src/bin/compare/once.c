/* A process that allocates once and then shows its own memory: no stdio, no other
 * allocation, nothing but the C library and the allocator under measurement. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char buffer[4096];

static void show(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        if (write(1, buffer, (size_t)n) != n)
            _exit(2);
    close(fd);
}

int main(void) {
    char *volatile block = malloc(100);
    if (!block)
        return 1;
    block[0] = 1;
    show("/proc/self/smaps_rollup");
    show("/proc/self/status");
    show("/proc/self/maps");
    return 0;
}
