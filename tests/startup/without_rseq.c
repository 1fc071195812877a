/* without_rseq PROGRAM ARGS: execute PROGRAM with rseq(2) refused: ENOSYS as old kernels say,
 * or EPERM (REFUSE_RSEQ_WITH=EPERM) as container runtimes with an old profile say. */
#include "refuse.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const char *word = getenv("REFUSE_RSEQ_WITH");
    int error = word && strcmp(word, "EPERM") == 0 ? EPERM : ENOSYS;
    if (argc < 2) {
        fprintf(stderr, "usage: without_rseq PROGRAM [ARGS]\n");
        return 125;
    }
    if (refuse_calls((const int[]){SYS_rseq}, 1, error) != 0) {
        perror("without_rseq: seccomp");
        return 125;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
