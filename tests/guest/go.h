/* What programs in guests have in common: to end with what failed, and to go to a CPU. */
#pragma once
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(2);
}

/* The node of the CPU, on which the thread is from then on. */
static inline int go_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
    unsigned node;
    if (syscall(SYS_getcpu, NULL, &node, NULL) != 0) die("getcpu");
    return (int)node;
}
