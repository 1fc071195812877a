/* The end of memory as the kernel itself makes it, and its return.
 *
 *   data_limit_moves       RLIMIT_DATA at what the process has and a little more; then raised
 *   mappings_run_out       the program itself uses up all of vm.max_map_count; then gives it back
 *   memory_cgroup          a child in a cgroup: lives on what it frees, is killed if it exceeds
 *   commit_is_limited      vm.overcommit_memory=2, a third of what is left held by another process
 *   mappings_are_few       vm.max_map_count at what the process has and a little more
 *
 * The last two change the whole machine: only with the argument `own-machine`, as in the case
 * `on_a_machine_of_its_own` of a guest. Each says a line of docs/reliability.md. */
#include "exhaust.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RELIABILITY(fault, how, times, ...)                                             \
    do {                                                                                \
        say(1, "reliability\texhaustion\t%s\t%s\t%zu\t", (fault), (how), (size_t)(times)); \
        say(1, __VA_ARGS__);                                                            \
        say(1, "\n");                                                                   \
    } while (0)

static const size_t SIZES[] = {40, 700, 4000, 30000, 100 * KIB, MIB};

/* Whether the whole machine is this program's to change. */
static int is_own_machine(void) {
    return case_argc > 0 && strcmp(case_argv[0], "own-machine") == 0 && getuid() == 0;
}

/* ---- files of the kernel ------------------------------------------------------------------ */

static int write_file(const char *path, const char *format, ...) {
    char text[100];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t written = write(file, text, (size_t)length);
    int before = errno;
    close(file);
    errno = before;
    return written == length ? 0 : -1;
}
/* The number behind `key`, or at the file's beginning; 0 if there is none. */
static size_t number_in(const char *path, const char *key) {
    static char text[16384];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    text[length > 0 ? length : 0] = 0;
    const char *at = key ? strstr(text, key) : text;
    return at ? strtoul(at + (key ? strlen(key) : 0), NULL, 10) : 0;
}
static size_t mappings(void) {
    static char text[4096];
    size_t lines = 0;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; file >= 0 && (n = read(file, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++) lines += text[i] == '\n';
    if (file >= 0) close(file);
    return lines;
}

/* ---- a limit that refuses ----------------------------------------------------------------- */

/* Bytes in blocks of all sizes until each is refused; every entry point refuses, too. */
static size_t until_refused(struct block **list) {
    size_t bytes = 0;
    void *old = malloc(50);
    for (size_t i = COUNT(SIZES); i-- > 0;) bytes += take(list, SIZES[i]) * SIZES[i];
    if (old) refuse_all(256 * MIB, old, 50);
    free(old);
    return bytes;
}

static void data_limit_moves(void) {
    enum { ROUNDS = 5 };
    struct rlimit limit;
    struct block *list = NULL;
    size_t refused = 0;
    CHECK(getrlimit(RLIMIT_DATA, &limit) == 0, "no RLIMIT_DATA");
    rlim_t most = limit.rlim_cur;
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t has = number_in("/proc/self/status", "VmData:") * KIB;
        limit.rlim_cur = has + (8 + round * 8) * MIB;
        CHECK(setrlimit(RLIMIT_DATA, &limit) == 0, "setrlimit: errno %d", errno);
        size_t bytes = until_refused(&list);
        CHECK(bytes > MIB && bytes < GIB, "%zu bytes below the limit", bytes);
        limit.rlim_cur = most;
        CHECK(setrlimit(RLIMIT_DATA, &limit) == 0, "setrlimit: errno %d", errno);
        /* At once, while all that was taken before is still held. */
        void *block = malloc(32 * MIB);
        CHECK(block != NULL, "memory is back, and 32 MiB are refused");
        free(block);
        give(list), list = NULL;
        refused += COUNT(SIZES);
    }
    RELIABILITY("a limit on data, and its end", "RLIMIT_DATA, lowered and raised", ROUNDS,
                "refused with ENOMEM by every entry point, every block intact, at once all works");
}

/* ---- mappings ----------------------------------------------------------------------------- */

enum { WORKERS = 4 };
static pthread_barrier_t barrier;
static size_t given, nothing;

/* What a thread gets while no mapping can be made; it has a shard that is not there yet. */
static void *allocate(void *unused) {
    struct block *list = NULL;
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < 300; i++) {
        size_t size = SIZES[i % COUNT(SIZES)];
        errno = 77;
        struct block *block = malloc(size);
        if (block == NULL) {
            CHECK(errno == ENOMEM, "malloc(%zu): NULL and errno %d", size, errno);
            __atomic_fetch_add(&nothing, 1, __ATOMIC_RELAXED);
            continue;
        }
        block->next = list, block->size = size, list = block;
        fill(block + 1, (size > 4096 ? 4096 : size) - sizeof *block, size);
        __atomic_fetch_add(&given, 1, __ATOMIC_RELAXED);
    }
    pthread_barrier_wait(&barrier);
    give(list);
    return unused;
}

static void without_mappings(const char *how) {
    size_t limit = number_in("/proc/sys/vm/max_map_count", NULL);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = 0;
    if (limit == 0 || limit > 300000) SKIP("vm.max_map_count is %zu", limit);
    pthread_t threads[WORKERS];
    pthread_barrier_init(&barrier, NULL, WORKERS + 1);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate, NULL) == 0, "thread %zu", i);
    size_t length = 2 * limit * page;
    char *area = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED, "address space: errno %d", errno);
    while (used < limit && mprotect(area + 2 * used * page, page, PROT_READ) == 0) used++;
    CHECK(errno == ENOMEM, "%zu mappings were made, and then errno %d", used, errno);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    CHECK(munmap(area, length) == 0, "munmap: errno %d", errno);
    for (size_t i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        void *block = calloc(SIZES[i], 30);
        CHECK(block != NULL, "mappings are back, and %zu bytes are refused", SIZES[i] * 30);
        free(block);
    }
    RELIABILITY("no mapping left", how, given + nothing,
                "%zu mallocs gave a block, %zu NULL with ENOMEM; blocks intact, then all works",
                given, nothing);
}
static void mappings_run_out(void) {
    without_mappings("the program uses up vm.max_map_count; new threads allocate");
}

/* ---- cgroups ------------------------------------------------------------------------------ */

enum { LIMIT = 32, LIVE = 18 };
static char group[100];

static int set_in_group(const char *name, const char *format, size_t value) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return write_file(path, format, value);
}
/* A cgroup of its own with LIMIT MiB of memory and no swap: 0, or -1 with errno. */
static int make_group(void) {
    static const char *const roots[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
    if (is_own_machine()) {
        (void)mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL);
        (void)write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
    }
    for (size_t i = 0; i < COUNT(roots); i++) {
        snprintf(group, sizeof group, "%s/cidalloc-%d", roots[i], getpid());
        if (mkdir(group, 0755) != 0) continue;
        int made = set_in_group("memory.max", "%zu", LIMIT * MIB) == 0 ||
                   set_in_group("memory.limit_in_bytes", "%zu", LIMIT * MIB) == 0;
        if (made) {
            (void)set_in_group("memory.swap.max", "%zu", 0);
            (void)set_in_group("memory.memsw.limit_in_bytes", "%zu", LIMIT * MIB);
            return 0;
        }
        int before = errno;
        rmdir(group);
        errno = before;
    }
    return -1;
}
/* `live` MiB in blocks of `size` bytes, all written. */
static void fill_memory(size_t live, size_t size) {
    struct block *list = NULL;
    for (size_t n = live * MIB / size; n-- > 0;) {
        struct block *block = malloc(size);
        CHECK(block != NULL, "%zu bytes are refused", size);
        memset(block, 0x5a, size);
        block->next = list, block->size = size, list = block;
        fill(block + 1, (size > 4096 ? 4096 : size) - sizeof *block, size);
    }
    give(list);
}
/* The status of a child in the cgroup that fills `live` MiB at a time. */
static int child_in_group(size_t rounds, size_t live) {
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        if (set_in_group("cgroup.procs", "%zu", (size_t)getpid()) != 0) _exit(9);
        for (size_t round = 0; round < rounds; round++)
            for (size_t i = 0; i < COUNT(SIZES); i++)
                fill_memory(live, SIZES[(round % 2 ? COUNT(SIZES) - 1 - i : i)]);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "waitpid: errno %d", errno);
    return status;
}
static void memory_cgroup(void) {
    enum { ROUNDS = 2, KILLED = 2 };
    if (make_group() != 0) SKIP("no cgroup can be made here: errno %d", errno);
    void *kept = malloc(100 * KIB);
    CHECK(kept != NULL, "100 KiB");
    fill(kept, 100 * KIB, 5);
    int status = child_in_group(ROUNDS, LIVE);
    int exceeded[KILLED];
    for (size_t i = 0; i < KILLED; i++) exceeded[i] = child_in_group(1, 3 * LIMIT);
    rmdir(group);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 9)
        SKIP("no process can be put into a cgroup here");
    CHECK(status == 0, "status %#x with %d MiB live in %d MiB", status, LIVE, LIMIT);
    if (exceeded[0] == 0) SKIP("what exceeds a cgroup goes to swap here");
    for (size_t i = 0; i < KILLED; i++)
        CHECK(exceeded[i] == SIGKILL, "status %#x of a child with %d MiB in %d MiB", exceeded[i],
              3 * LIMIT, LIMIT);
    CHECK_PATTERN(kept, 100 * KIB, 5);
    free(kept);
    fill_memory(LIVE, 1000);
    RELIABILITY("a cgroup's memory", "memory.max of 32 MiB, swap off", ROUNDS * COUNT(SIZES),
                "%d MiB live, freed, again in another size: survives on what it freed; %d "
                "children that exceed are killed, their parent goes on", LIVE, KILLED);
}

/* ---- a machine of its own ----------------------------------------------------------------- */

#define NEED_OWN_MACHINE()                                                                \
    do {                                                                                  \
        if (!is_own_machine()) SKIP("it changes the whole machine: run it in a guest");   \
    } while (0)

/* Another process that holds `bytes` of what may be committed, until it is killed. */
static pid_t holder(size_t bytes) {
    int pipes[2];
    CHECK(pipe(pipes) == 0, "pipe: errno %d", errno);
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        void *held =
            mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char said = held == MAP_FAILED ? 'n' : 'y';
        if (write(pipes[1], &said, 1) == 1) pause();
        _exit(0);
    }
    char said = 0;
    CHECK(read(pipes[0], &said, 1) == 1 && said == 'y', "another process gets no %zu bytes", bytes);
    close(pipes[0]), close(pipes[1]);
    return child;
}

enum { LEFT = 192, HELD = 64 };

/* A process that began under the limit: address space reserved before it is not counted. */
static void under_a_commit_limit(void) {
    NEED_OWN_MACHINE();
    int status;
    pid_t other = holder(HELD * MIB);
    struct block *list = NULL, *more = NULL;
    size_t first = until_refused(&list);
    CHECK(first > 16 * MIB && first < LEFT * MIB, "%zu bytes at first", first);
    kill(other, SIGKILL);
    waitpid(other, &status, 0);
    size_t second = until_refused(&more);
    CHECK(second > HELD * MIB / 2, "%d MiB are back, and %zu bytes of them were given", HELD,
          second);
    give(list), give(more), list = NULL;
    size_t third = until_refused(&list);
    CHECK(third > (first + second) / 2, "%zu bytes, freed, then %zu", first + second, third);
    give(list), list = NULL;
    CHECK(write_file("/proc/sys/vm/overcommit_memory", "0") == 0, "sysctl: errno %d", errno);
    void *block = malloc(LEFT * 2 * MIB);
    CHECK(block != NULL, "without the limit");
    free(block);
    RELIABILITY("no memory to commit", "vm.overcommit_memory=2, another process holds 64 MiB", 3,
                "%zu MiB, then refused; %zu more when the other ended; all works without",
                first / MIB, second / MIB);
}

/* The status of this program's case `name` in a process of its own. */
static int run_anew(const char *name) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0, "fork: errno %d", errno);
    if (child == 0) {
        execl("/proc/self/exe", "limits", name, "own-machine", NULL);
        _exit(9);
    }
    CHECK(waitpid(child, &status, 0) == child, "waitpid: errno %d", errno);
    return status;
}

static void commit_is_limited(void) {
    NEED_OWN_MACHINE();
    size_t committed = number_in("/proc/meminfo", "Committed_AS:");
    CHECK(committed > 0, "/proc/meminfo says nothing of Committed_AS");
    CHECK(write_file("/proc/sys/vm/overcommit_kbytes", "%zu", committed + LEFT * KIB) == 0 &&
          write_file("/proc/sys/vm/overcommit_memory", "2") == 0,
          "sysctl: errno %d", errno);
    int status = run_anew("under_a_commit_limit");
    CHECK(write_file("/proc/sys/vm/overcommit_memory", "0") == 0, "sysctl: errno %d", errno);
    CHECK(status == 0, "status %#x", status);
}

static void mappings_are_few(void) {
    NEED_OWN_MACHINE();
    size_t has = mappings() + 40, before = number_in("/proc/sys/vm/max_map_count", NULL);
    CHECK(write_file("/proc/sys/vm/max_map_count", "%zu", has) == 0, "sysctl: errno %d", errno);
    without_mappings("vm.max_map_count at 40 more than the program has; new threads allocate");
    CHECK(write_file("/proc/sys/vm/max_map_count", "%zu", before) == 0, "sysctl: errno %d", errno);
}

/* Each in a process of its own, since limits outlive cases that fail. */
static void on_a_machine_of_its_own(void) {
    static const char *const cases[] = {"memory_cgroup", "commit_is_limited", "mappings_are_few"};
    NEED_OWN_MACHINE();
    for (size_t i = 0; i < COUNT(cases); i++) {
        int status = run_anew(cases[i]);
        CHECK(status == 0, "%s: status %#x", cases[i], status);
    }
}

static const struct test_case CASES[] = {
    {"data_limit_moves", data_limit_moves},
    {"mappings_run_out", mappings_run_out},
    {"memory_cgroup", memory_cgroup},
    {"commit_is_limited", commit_is_limited},
    {"mappings_are_few", mappings_are_few},
    {"under_a_commit_limit", under_a_commit_limit},
    {"on_a_machine_of_its_own", on_a_machine_of_its_own},
};
MAIN(CASES)
