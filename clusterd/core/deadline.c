/* deadline.c - the times that the state waits for (W2, L2). */
#include "core/decide.h"

#define REPORT_MS 5000 /* a result's way into the journal: repeated, and through a change of coordinators */

const char *deadline_key(enum deadline_kind k)
{
    static const char *const keys[] = {
        [DL_GRACE] = "grace", [DL_FENCE] = "fence",     [DL_VM] = "vm",  [DL_VOLUME] = "volume",
        [DL_JOB] = "job",     [DL_STARTUP] = "startup", [DL_ARM] = "arm"};

    return (unsigned)k < sizeof keys / sizeof keys[0] && keys[k] != NULL ? keys[k] : "unknown";
}

static uint32_t backoff_ms(uint32_t first, uint32_t tries, uint32_t max)
{
    uint64_t ms = first;

    for (; tries > 1 && ms < max; tries--) {
        ms *= 2;
    }
    return ms < max ? (uint32_t)ms : max;
}

/* The pause before a VM's next try, or the next look at it where it could not be seen. */
static uint32_t vm_pause_ms(const struct vm *vm)
{
    return backoff_ms(2000, vm->looks != 0 ? vm->looks : vm->tries + vm->conflicts, 60000);
}

/*
 * How long the coordinator waits for a job's end: the agent's time, its end, what its executor looks at
 * afterwards, and the report. What it waited in the executor's queue is not in it: nobody should wait twice
 * as long for a node that is silent. A result after that is refused, and the VM looked at (C1).
 */
static uint32_t job_deadline_ms(const struct job *j)
{
    uint32_t ms = j->timeout_ms + AGENT_END_MS + REPORT_MS;

    if (j->kind == JOB_FENCE) {
        ms += j->timeout_ms + AGENT_END_MS; /* `status` after `off` */
    } else if (j->kind >= JOB_START && j->kind <= JOB_MIGRATE) {
        ms += AGENT_LOOK_MS + AGENT_END_MS;
    }
    return ms;
}

void core_deadlines(const struct state *s, void (*cb)(void *ctx, const struct deadline *d), void *ctx)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = &s->node[id];

        if (n->id != 0 && n->state == NODE_GRACE) {
            cb(ctx, &(struct deadline){DL_GRACE, id, n->loss, s->opt.restart_grace_ms});
        }
        if (n->id != 0 && n->fence_wait) {
            cb(ctx,
               &(struct deadline){DL_FENCE, id, n->fence_tries, backoff_ms(1000, n->fence_tries, 30000)});
        }
    }
    for (unsigned i = 0; i < s->vms; i++) {
        if (s->vm[i]->wait && !MUTANT(wait_for_ever)) {
            cb(ctx, &(struct deadline){DL_VM, name_hash(s->vm[i]->name), s->vm[i]->changed,
                                       vm_pause_ms(s->vm[i])});
        }
    }
    for (unsigned i = 0; i < s->volumes; i++) {
        for (uint32_t id = 1; id <= NODES_MAX && s->volume[i]->wait != 0; id++) {
            if ((s->volume[i]->wait & NODE_BIT(id)) != 0) {
                cb(ctx, &(struct deadline){DL_VOLUME, name_hash(s->volume[i]->name) ^ id, 0, 10000});
            }
        }
    }
    for (unsigned i = 0; i < s->jobs; i++) {
        if (!s->job[i].orphan) {
            cb(ctx, &(struct deadline){DL_JOB, s->job[i].id, 0, job_deadline_ms(&s->job[i])});
        }
    }
    if (s->startup) {
        cb(ctx, &(struct deadline){DL_STARTUP, s->term, 0, s->opt.startup_grace_ms});
    }
    if (s->disarm.index != 0 && s->disarm.ms != 0) {
        int64_t gone = s->time_ms - s->disarm.since_ms; /* so that a new coordinator does not begin anew */
        uint32_t left = gone <= 0 ? s->disarm.ms : gone >= s->disarm.ms ? 1 : s->disarm.ms - (uint32_t)gone;

        cb(ctx, &(struct deadline){DL_ARM, s->disarm.index, 0, left});
    }
}
