/* Children that must end well, and in time: who makes one gives it an alarm. */
#ifndef CIDALLOC_TESTS_CHILDREN_H
#define CIDALLOC_TESTS_CHILDREN_H

#include "check.h"
#include <signal.h>
#include <sys/wait.h>

static inline void expect_success(pid_t child, const char *what, unsigned round) {
    int status = 0;
    pid_t got;
    do got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == child, "waitpid: errno %d", errno);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        FAIL("%s %u hung: a lock was held across fork?", what, round);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %u: status %#x", what, round, status);
}

#endif
