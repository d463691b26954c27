/*
 * decide.h - shared by the files that decide: decide.c (a round), decide_node.c (nodes and fences),
 * decide_drain.c (drains and failbacks), decide_volume.c (volumes and their locks), mobility.c (a VM),
 * decide_op.c (its operation), placement.c (which node) and explain.c (the same in words).
 */
#ifndef CLUSTERD_CORE_DECIDE_H
#define CLUSTERD_CORE_DECIDE_H

#include "common/mutant.h"
#include "core/core.h"
#include "core/placement.h"
#include "core/state_edit.h"

#define PROOF_NODES_MAX 16 /* image locks are proven between at most this many nodes (C5) */
#define DRAIN_TRIES     3  /* failed tries after which a drain names the VM as blocked */

/* Why a node was chosen. */
enum place_ground { GROUND_ASKED, GROUND_WAS, GROUND_PREFERRED, GROUND_ROOM, GROUND_ASIDE };

struct choice {
    uint32_t node; /* 0: none */
    enum place_ground ground;
    uint64_t free_mib; /* what was free there then */
    unsigned possible; /* of so many nodes */
};

/* VMs that are placed in this round, as one: one VM, or those that rules keep together. */
struct unit {
    struct vm **vm; /* borrowed from decide.member */
    unsigned vms;
    uint32_t priority, cpus;
    uint64_t mib;
    node_set nodes; /* possible ones, but for room and for other units */
    node_set preferred;
    uint32_t asked;
    bool ruled;    /* other units can be in its way by a rule */
    bool locked;   /* is being moved aside for */
    bool left_out; /* no place could be made */
    struct choice choice;
};
#define UNIT_NONE UINT32_MAX /* vm->unit: to be placed, and in no unit yet */

/* One round of deciding. The counters include what this round has decided already. */
struct decide {
    const struct state *s;
    const struct world *w;
    struct decisions *out;          /* NULL: only explain */
    bool all;                       /* looks at all, not only at what has changed */
    bool anew;                      /* places are given anew: also to those for whom there was none */
    bool noting;                    /* decide_note() is wanted though it does not only explain */
    node_set open;                  /* nodes that can take VMs: active, ready */
    struct usage used, total;       /* what is spoken for, what there is */
    uint32_t starts[NODES_MAX + 1]; /* starts in flight */
    uint32_t moves[NODES_MAX + 1];  /* migrations in flight, from or to */
    char note[TEXT_SIZE];           /* why the object at hand waits; empty when it does not */
    int rc;                         /* RC_NO_MEMORY once that has happened */

    /* placement.c: the VMs that got a place in this round, and the units in their order. */
    struct vm **placed, **member; /* owned */
    unsigned placed_n;
    struct unit *unit; /* owned */
    unsigned units, steps, steps_max;
    bool planned;
};

/* decide_fini() takes back what the round has written to the VMs. */
void decide_init(struct decide *d, const struct state *s, const struct world *w, struct decisions *out);
void decide_fini(struct decide *d);
/* A new decision, its why formatted; NULL when the round is full (or only explains, or is out of memory). */
struct event *decide_emit(struct decide *d, enum event_kind kind, const char *why, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends an operation; why is its error too, unless it is done. */
void decide_op_end(struct decide *d, const struct op *o, enum op_state st, const char *why);
void decide_note(struct decide *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ready to carry out jobs: there, and its inventory of this term is known (C3). */
bool decide_ready(const struct decide *d, uint32_t node);
/* N4: nothing is done by itself now; note says so. */
bool decide_paused(struct decide *d);
const char *decide_node_name(const struct decide *d, uint32_t node);
/* decide_emit() for one VM: a job on a node for its operation, if it has one; an operation that begins
 * (parent: the drain or failback that it serves, or 0); its new owner while it is off, for an operation; and
 * what needs its name only. */
struct event *decide_emit_job(struct decide *d, const struct vm *vm, enum job_kind kind, uint32_t node,
                              const char *why);
struct event *decide_emit_begin(struct decide *d, const struct vm *vm, enum op_kind kind, uint64_t parent,
                                uint32_t from, uint32_t to, const char *why);
void decide_emit_assign(struct decide *d, const struct vm *vm, uint32_t to, uint64_t op, const char *why);
void decide_emit_vm(struct decide *d, const struct vm *vm, enum event_kind kind, const char *why);

uint64_t name_hash(const char *name); /* apply.c */

/* decide.c: nothing could be done for the VM the last time, and nothing was given back since. */
bool decide_stuck(const struct decide *d, const struct vm *vm);

/* mobility.c */
void decide_vm(struct decide *d, const struct vm *vm);
/* The cluster starts it again by itself when it is gone. */
bool vm_comes_back(const struct vm *vm);

/* decide_op.c: the next step of a VM's operation. Its claims are clear. */
void decide_vm_op(struct decide *d, const struct vm *vm, const struct op *o);
/* Starts or restores it there when a start is free; its place is taken in any case. */
void decide_launch(struct decide *d, const struct vm *vm, uint32_t node, const char *why);
/* A VM that is off leaves a node, for its own move (o) or a drain (op). */
void decide_assign(struct decide *d, const struct vm *vm, const struct op *o, uint32_t avoid, uint32_t prefer,
                   uint64_t op);
/* A move to there or not at all: an operator said where to, or it goes home. */
bool op_to_there_only(const struct state *s, const struct op *o);

/* decide_drain.c: the drain or failback that a VM of this node is part of, or NULL. */
const struct op *decide_node_op(const struct decide *d, uint32_t node, enum op_kind kind);
/* How a VM is to leave its node in a drain; OP_NONE: it may not move. */
enum op_kind drain_kind(const struct decide *d, const struct vm *vm, const struct op *drain);
/* The VM's own next step in a drain; in a failback. */
void drain_vm(struct decide *d, const struct vm *vm, const struct op *drain);
void go_home(struct decide *d, const struct vm *vm, const struct op *resume);
/* Does the operation end? */
void decide_drain(struct decide *d, const struct op *o);
void decide_resume(struct decide *d, const struct op *o);

/* decide_volume.c: where it is to be mounted; the next step of the proof that its image locks hold. */
void decide_volume(struct decide *d, const struct volume *v);
void decide_locks(struct decide *d, const struct volume *v);
/* The nodes of a volume between which image locks are, or are still to be, proven (C5). */
node_set volume_provable(const struct decide *d, const struct volume *v);

/* decide_node.c: whether a node is lost, and fencing. */
void decide_node(struct decide *d, const struct node *n);
/* The next step of these operations, or their end: N3, a device's test, an operator's fence. */
void decide_confirm(struct decide *d, const struct op *o);
void decide_fence_test(struct decide *d, const struct op *o);
void decide_node_fence_op(struct decide *d, const struct op *o);

/* placement.c */
struct place {
    node_set avoid;  /* not these */
    node_set tried;  /* it failed there in this operation */
    node_set only;   /* none but these; 0: any */
    uint32_t prefer; /* when it fits */
    bool need_room;  /* memory is needed now (not for a VM that is off) */
};
/* mobility.c: the VM needs a place now; p says where it may be. */
bool decide_needs_place(const struct decide *d, const struct vm *vm, struct place *p);
/* Places all of these VMs that need it, together; once a round. */
void place_plan(struct decide *d, struct vm *const *vm, unsigned n);
/* Forgets what the round has placed. */
void place_forget(struct decide *d);
/* The VM goes there: its need counts for what is placed later in the round. */
void place_take(struct decide *d, const struct vm *vm, uint32_t node);
/* Nodes that can take VMs now, as far as the VM's disks and possible owners go. */
node_set place_reachable(const struct decide *d, const struct vm *vm);
/* Can the VM be there? why says so or why not, with the values. *soon: it may become possible by itself. */
bool place_fits(const struct decide *d, const struct vm *vm, uint32_t node, const struct place *p, bool *soon,
                char why[TEXT_SIZE]);
/* The best node, or 0; why explains the choice. *soon as above, for any node. */
uint32_t place_choose(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                      char why[TEXT_SIZE]);
/* The same, as the plan has it for a VM that is in it. */
uint32_t place_of(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                  char why[TEXT_SIZE]);

#endif
