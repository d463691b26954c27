/*
 * runner.h - runs OCF agents and fence agents: a queue, deadlines, bounded output, progress.
 *
 * On posix_spawn and pidfds, not on libcrmservice, which was tried first (2.1.5): it keeps all that an agent
 * prints (an agent that printed without end cost 1 GB and stalled the loop for 1 s within 2 s), shows nothing
 * before the end (no progress), closes the lock that a fence agent should hold, and reports at most 128 bytes
 * of an exit reason.
 *
 * OCF agents (agent_dir/NAME ACTION): parameters as OCF_RESKEY_*. Fence agents (fence_dir/NAME): `action=…`
 * and parameters as lines on standard input; those of Pacemaker's own (pcmk_*, CRM_meta_*) are left out. The
 * environment is ours, not the daemon's; every program leads a process group of its own.
 *
 * Deadline: at timeout_ms SIGTERM to the group, 3 s later SIGKILL, 2 s later the result is given even though
 * the process still hangs in the kernel; its `serial` stays taken until it has ended (C4).
 *
 * Lock (N1): every fence agent inherits a shared flock on run_dir/fence/SESSION.lock; a later daemon sees by
 * it whether agents of an earlier one still live.
 */
#ifndef CLUSTERD_ADAPTERS_RUNNER_H
#define CLUSTERD_ADAPTERS_RUNNER_H

#include "common/err.h"
#include "ports/ports.h"

#define RUNNER_OUTPUT_MAX (64 * 1024)
#define RUNNER_PROGRESS   "progress:"

struct runner;

struct runner_config {
    const char *agent_dir, *fence_dir, *run_dir; /* borrowed; run_dir exists */
    uint64_t session;                            /* of this daemon */
    /* shell_run_done, shell_run_line: called from the GLib default context only */
    void (*done)(void *ctx, uint64_t id, const struct run_result *r);
    void (*line)(void *ctx, uint64_t id, const char *line);
    void *ctx;
};

/* NULL: err says why. */
struct runner *runner_new(const struct runner_config *c, struct err *err);
/* Programs that run are left alone (they end by themselves; C3 sees them). NULL is legal. */
void runner_free(struct runner *r);
void runner_port(struct runner *r, struct runner_port *out);

#endif
