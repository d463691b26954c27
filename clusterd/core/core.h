/*
 * core.h - the decisions: facts in, decisions out, each with its why. Pure: no I/O, clock, globals, logging.
 *
 *   core_apply    folds one committed event into the state
 *   core_decide   looks at the state and at who is there, and answers with events to be proposed
 *   core_deadlines  says which times the state waits for; the shell measures them and proposes EV_DEADLINE
 *   core_explain_*  says in words what decide sees
 */
#ifndef CLUSTERD_CORE_CORE_H
#define CLUSTERD_CORE_CORE_H

#include "core/state.h"

/* What an event did. */
struct applied {
    int rc; /* 0; RC_REFUSED, RC_NOT_FOUND, RC_USAGE …: rejected, the state is unchanged but for index/time */
    struct err err;     /* why it was rejected */
    bool duplicate;     /* seen before (same session and seq); changed nothing */
    uint64_t op;        /* operation that the command began, or 0 */
    const char *broken; /* a state moved as no rule allows (transition.h): NULL, or what is wrong */
    bool alarm;         /* worth an operator's attention: err.msg says what, though rc may be 0 */
};

/* Folds e, the entry at (term, index), into s. Total and deterministic: what cannot be is rejected with a
 * reason. index must be s->index + 1 or greater. Never partially applied; but after RC_NO_MEMORY, which the
 * other nodes did not meet, the state is not to be used any more. */
void core_apply(struct state *s, const struct event *e, uint64_t term, uint64_t index, struct applied *out);

/* What the coordinator sees now and no entry says. */
struct world {
    uint32_t self;
    node_set present;   /* nodes whose clusterd is in the group */
    node_set ring;      /* nodes whose corosync is in the ring */
    node_set observing; /* nodes whose clusterd is there and does nothing, after crashes (A15); not present */
    node_set members;   /* of the journal, those expected and not come yet included (A9, A13) */
    unsigned level;     /* the highest feature level that this build knows (A13) */
};

struct decisions {
    struct event *e; /* owned */
    unsigned n, cap;
};
void decisions_fini(struct decisions *d);

/* Appends to out what should be proposed now; nothing when there is nothing to do. Level-triggered: call it
 * again only after all that it proposed has been applied. At most DECISIONS_MAX at a time (the rest comes
 * with the next call). Returns 0 or RC_NO_MEMORY. */
#define DECISIONS_MAX 256
int core_decide(struct state *s, const struct world *w, struct decisions *out);
/* The same without what core_decide remembers of the last time (in s, derived): it looks only at what facts
 * have touched since, at what it left unsettled, and at all when the term, the options, the nodes or w are
 * others. Whenever that yields nothing, this yields nothing. */
int core_decide_all(const struct state *s, const struct world *w, struct decisions *out);

/* What an executor may take beyond a job's own time, which the deadline of its end allows for (DL_JOB). */
#define AGENT_END_MS  5000  /* from an agent's time-out until it is given up: SIGTERM, SIGKILL, a last wait */
#define AGENT_LOOK_MS 20000 /* one look at what there is: an inventory */

enum deadline_kind {
    DL_GRACE = 1, /* id = node, n = loss: N2's restart_grace_ms */
    DL_FENCE,     /* id = node, n = tries: pause after a failed fence */
    DL_VM,        /* id = hash of the VM's name, n = vm->changed: pause before its next try */
    DL_VOLUME,    /* id = hash of the name ^ node, n = 0 */
    DL_JOB,       /* id = job, n = 0: its executor has not reported in time (L2) */
    DL_STARTUP,   /* id = term, n = 0 */
    DL_ARM        /* id = disarm.index, n = 0: N4's pause is over */
};
struct deadline {
    enum deadline_kind kind;
    uint64_t id, n;
    uint32_t ms; /* from the moment when the coordinator first saw it in its term (W2: no absolute times) */
};
const char *deadline_key(enum deadline_kind k); /* grace, fence, vm, …; static storage */
/* Calls cb for each time that the state waits for, in a fixed order. */
void core_deadlines(const struct state *s, void (*cb)(void *ctx, const struct deadline *d), void *ctx);

/* Text, several lines, for `clusterctl explain`. RC_NOT_FOUND when there is no such object. */
int core_explain_vm(const struct state *s, const struct world *w, const char *vm, struct buf *out);
int core_explain_node(const struct state *s, const struct world *w, const char *node, struct buf *out);
/* "apart a b": a rule in words. */
void core_describe_rule(const struct state *s, const struct rule *r, char *out, size_t size);

/* One line for the log and the audit trail. */
void core_describe(const struct state *s, const struct event *e, char *out, size_t size);

/* Checks S1's claim rule and the state's own consistency; NULL, or what is wrong (static storage). Run by the
 * simulator after each step and by the daemon after each apply. */
const char *core_check(const struct state *s);
/* The same of what the last core_apply touched. */
const char *core_check_touched(const struct state *s);

#endif
