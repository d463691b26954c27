/*
 * decide.h - shared by the files that decide: decide.c (nodes, fences, volumes), mobility.c (VMs),
 * placement.c (which node) and explain.c (the same in words).
 */
#ifndef CLUSTERD_CORE_DECIDE_H
#define CLUSTERD_CORE_DECIDE_H

#include "core/core.h"
#include "core/state_edit.h"

#define PROOF_NODES_MAX 16 /* image locks are proven between at most this many nodes (C5) */
#define DRAIN_TRIES     3  /* failed tries after which a drain names the VM as blocked */

/* One round of deciding. The counters include what this round has decided already. */
struct decide {
    const struct state *s;
    const struct world *w;
    struct decisions *out;          /* NULL: only explain */
    uint64_t used[NODES_MAX + 1];   /* MiB that are spoken for */
    uint32_t starts[NODES_MAX + 1]; /* starts in flight */
    uint32_t moves[NODES_MAX + 1];  /* migrations in flight, from or to */
    char note[TEXT_SIZE];           /* why the object at hand waits; empty when it does not */
    int rc;                         /* RC_NO_MEMORY once that has happened */
};

void decide_init(struct decide *d, const struct state *s, const struct world *w, struct decisions *out);
/* A new decision, its why formatted; NULL when the round is full (or only explains, or is out of memory). */
struct event *decide_emit(struct decide *d, enum event_kind kind, const char *why, ...)
    __attribute__((format(printf, 3, 4)));
void decide_note(struct decide *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ready to carry out jobs: there, and its inventory of this term is known (C3). */
bool decide_ready(const struct decide *d, uint32_t node);
/* N4: nothing is done by itself now; note says so. */
bool decide_paused(struct decide *d);
const char *decide_node_name(const struct decide *d, uint32_t node);

uint64_t name_hash(const char *name); /* apply.c */

/* mobility.c */
void decide_vm(struct decide *d, const struct vm *vm);

/* A VM that keeps its node from being drained and will not leave it by itself; note says why. */
bool drain_blocked(struct decide *d, const struct vm *vm, const struct op *drain);

/* decide.c: the nodes of a volume between which image locks are, or are still to be, proven (C5). */
node_set volume_provable(const struct decide *d, const struct volume *v);
/* decide.c: whether a node is lost, and fencing. */
void decide_node(struct decide *d, const struct node *n);

/* placement.c */
struct place {
    node_set avoid;  /* not these */
    node_set tried;  /* it failed there in this operation */
    uint32_t prefer; /* when it fits */
    bool need_room;  /* memory is needed now (not for a VM that is off) */
};
/* Can the VM be there? why says so or why not, with the values. *soon: it may become possible by itself. */
bool place_fits(const struct decide *d, const struct vm *vm, uint32_t node, const struct place *p, bool *soon,
                char why[TEXT_SIZE]);
/* The best node, or 0; why explains the choice. *soon as above, for any node. */
uint32_t place_choose(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                      char why[TEXT_SIZE]);

#endif
