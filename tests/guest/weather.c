/* Runs a program while CPUs are taken off and put back, and while its cpuset changes.
 *
 *   weather PROGRAM [ARG…]          as root, in a guest
 *   weather cpuset PROGRAM [ARG…]   the cpuset alone, where a host lets its users make cgroups
 *
 *   this process   again and again: CPU n off, or on;  cpuset.cpus ◄── some of those that are on
 *   child          in a cgroup of its own: PROGRAM
 *
 * Ends as PROGRAM does, with all CPUs on; says how often what was changed. 77 where the host lets it do nothing of this.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CPUS_MAX = 64, NOTHING_TO_DO = 77 };
static char group[300];
static int cpus, is_off[CPUS_MAX];
static unsigned offs, ons, sets;

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t n = write(file, text, strlen(text));
    int error = errno;
    close(file);
    errno = error;
    return n < 0 ? -1 : 0;
}
static int put_in_group(const char *name, const char *text) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return put(path, text);
}
static unsigned random_below(unsigned n) {
    static unsigned long state = 88172645463325252;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (unsigned)(state % n);
}

/* A group whose cpuset can be set: in a guest ours to mount, on a host below the one that we are in. */
static int make_group(int in_guest) {
    char line[200] = "0::/\n", path[400];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file) && strncmp(line, "0::", 3) != 0) continue;
    if (file) fclose(file);
    if (strncmp(line, "0::", 3) != 0) return -1;
    line[strcspn(line, "\n")] = 0;
    if (in_guest) {
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
        put("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset");
    }
    snprintf(group, sizeof group, "/sys/fs/cgroup%s%sweather-%d", line + 3, strcmp(line + 3, "/") ? "/" : "", getpid());
    if (mkdir(group, 0755) != 0) return -1;
    snprintf(path, sizeof path, "%s/cpuset.cpus", group);
    if (access(path, W_OK) == 0) return 0;
    rmdir(group);
    return -1;
}

static void change_cpu(void) {
    int cpu = 1 + (int)random_below((unsigned)cpus - 1);
    char path[100];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", cpu);
    if (put(path, is_off[cpu] ? "1" : "0") != 0) return;
    is_off[cpu] ? ons++ : offs++;
    is_off[cpu] = !is_off[cpu];
}
/* At least CPU 0, which is always there. */
static void change_cpuset(void) {
    char list[400] = "0";
    for (int cpu = 1; cpu < cpus; cpu++)
        if (!is_off[cpu] && random_below(2)) sprintf(list + strlen(list), ",%d", cpu);
    if (put_in_group("cpuset.cpus", list) == 0) sets++;
}

int main(int argc, char **argv) {
    int cpuset_only = argc > 1 && strcmp(argv[1], "cpuset") == 0, status;
    if (argc < 2 + cpuset_only) {
        fprintf(stderr, "usage: weather [cpuset] PROGRAM [ARG...]\n");
        return 2;
    }
    int has_group = make_group(!cpuset_only) == 0;
    int has_cpus = !cpuset_only && access("/sys/devices/system/cpu/cpu1/online", W_OK) == 0;
    cpu_set_t own;
    sched_getaffinity(0, sizeof own, &own);
    cpus = CPU_COUNT(&own) < CPUS_MAX ? CPU_COUNT(&own) : CPUS_MAX;
    if ((!has_group && !has_cpus) || cpus < 2) {
        fprintf(stderr, "weather: no cgroup with a cpuset may be made here, and no CPU be taken off\n");
        return NOTHING_TO_DO;
    }
    pid_t child = fork();
    if (child < 0) return perror("fork"), 2;
    if (child == 0) {
        if (has_group && put_in_group("cgroup.procs", "0") != 0) perror("cgroup.procs"), _exit(2);
        execv(argv[1 + cpuset_only], argv + 1 + cpuset_only);
        perror(argv[1 + cpuset_only]);
        _exit(127);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (has_cpus) change_cpu();
        if (has_group) change_cpuset();
        usleep(20000);
    }
    for (int cpu = 1; cpu < cpus; cpu++) {
        char path[100];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online", cpu);
        if (is_off[cpu]) put(path, "1");
    }
    if (has_group) rmdir(group);
    printf("weather: %u CPUs taken off, %u put back, %u cpusets\n", offs, ons, sets);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
