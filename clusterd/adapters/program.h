/*
 * program.h - one child process: started with posix_spawn, its output read within bounds, its end seen by a
 * pidfd.
 */
#ifndef CLUSTERD_ADAPTERS_PROGRAM_H
#define CLUSTERD_ADAPTERS_PROGRAM_H

#include "common/err.h"
#include "ports/ports.h"

#include <glib.h>

#define PROGRAM_REASON "ocf-exit-reason:"

struct program;

struct program_spec {
    char *path, *action; /* action NULL: no argument */
    GPtrArray *env;      /* of owned KEY=VALUE; begins with a plain environment */
    char *input;         /* standard input; NULL: empty */
    char *lock_path;     /* inherited open, with a shared flock; NULL: none */
};
void program_spec_init(struct program_spec *s);
void program_spec_fini(struct program_spec *s);

/* Starts it. line gets each line of its standard output that begins with "progress:" (such are not kept). end
 * comes once with gone = true when the process is reaped; before that, once with gone = false when it could
 * not be killed. Both are called from the main loop. NULL: err says why it could not be started. */
struct program *program_start(const struct program_spec *s, void (*line)(void *ctx, const char *line),
                              void (*end)(void *ctx, const struct run_result *res, bool gone), void *ctx,
                              struct err *err);
/* SIGTERM to its process group, then SIGKILL, then gives up (see runner.h). late: the result says timed_out.
 */
void program_end(struct program *p, bool late);
/* Forgets it; the process is left alone. NULL is legal. */
void program_free(struct program *p);

#endif
