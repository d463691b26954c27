/*
 * bounded.h - work that may hang, done in a child so that the agent always ends in time.
 *
 * A hung libvirtd or storage path hangs whoever asks it. The agent proper therefore never asks: a child does,
 * and the agent waits for it up to the action's deadline, then says why and ends.
 */
#ifndef CLUSTERD_AGENTS_BOUNDED_H
#define CLUSTERD_AGENTS_BOUNDED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/buf.h"

enum bounded_late {
    BOUNDED_KILL, /* at the deadline the child is killed: what it does ends with it */
    /*
     * At the deadline the child is left behind, in a process group of its own. It
     * holds what it inherited (the VM's lock) until its call has returned, because a request that a hung
     * libvirtd has not read yet may still be carried out: C3, "an agent that outlived its clusterd is seen".
     */
    BOUNDED_LEAVE,
};

/*
 * The last thing to try while the child still hangs: called in the agent, ms before the deadline. It returns
 * OCF_SUCCESS, or another code when it has given the reason why the action will fail.
 */
struct bounded_last {
    int (*fn)(void);
    long ms;
};

/*
 * Runs fn in a child and returns what it returned (an OCF code). A SIGTERM to the agent, or the agent's
 * death, cancels: the child's bounded_cancelled() becomes true. `hangs` names what does not answer, for the
 * reason; `last` may be NULL.
 */
int bounded_run(int (*fn)(void), enum bounded_late late, const char *hangs, const struct bounded_last *last);
/* In such a child: true once somebody wants it to end. */
bool bounded_cancelled(void);
/*
 * Runs fn in a child for at most `ms` and collects its standard output. Returns fn's code (0 to 255), or -1
 * when it did not end in time or died; out then has what it had written. At most 4 MiB.
 */
int bounded_ask(int (*fn)(void), long ms, struct buf *out);

/* A pidfd (close-on-exec), or -1 with errno. */
int bounded_pidfd(pid_t pid);

#endif
