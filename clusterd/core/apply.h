/*
 * apply.h - shared by the files that fold events into the state. Each apply_* function checks all that can
 * make it fail before it changes anything.
 */
#ifndef CLUSTERD_CORE_APPLY_H
#define CLUSTERD_CORE_APPLY_H

#include "core/core.h"
#include "core/placement.h"
#include "core/state_edit.h"

struct apply {
    struct state *s;
    const struct event *e;
    uint64_t index;
    struct applied *out;
};

/* Rejects the event; returns rc. */
int reject(struct apply *a, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void advise(struct apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void alarm_raise(struct apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* apply.c */
/* The state is of that level from here on (A13). */
int level_raise(struct apply *a, unsigned level);

/* apply_node.c */
int apply_node_up(struct apply *a);
int apply_node_lost(struct apply *a);
int apply_node_left(struct apply *a);
int apply_inventory(struct apply *a);
/* The node is known to be down (fenced, or confirmed): nothing of it runs (C1, S3). */
void node_down(struct apply *a, struct node *n, bool fenced);
/* The node is lost from now on, which is a loss of its own: its jobs end, what it runs is not known. */
void node_lose(struct apply *a, struct node *n, enum node_state st);
/* Another node is there, or comes. */
bool node_has_others(const struct state *s, uint32_t node);
/* joining -> online once its inventory of this term is there and no fence agent acts against it (N1). */
void node_try_online(struct apply *a, struct node *n);

/* apply_job.c */
int apply_job(struct apply *a);
/* L2: what has no place for its memory can be neither saved nor moved by quick migration. */
int check_savable(struct apply *a, const struct vm *vm);
int apply_job_result(struct apply *a);
int apply_deadline(struct apply *a);
void volumes_remove(struct apply *a);

/* apply_op.c */
int apply_op_begin(struct apply *a);
int apply_op_end(struct apply *a);
int apply_consume(struct apply *a);
int apply_void(struct apply *a);
int apply_assign(struct apply *a);
int apply_node_drained(struct apply *a);
int apply_node_confirmed(struct apply *a);
void op_finish(struct apply *a, struct op *o, enum op_state st, const char *error);
/* The operation of that kind on the node, if one has not ended yet, ends like this. */
void op_end_of_node(struct apply *a, uint32_t node, enum op_kind kind, enum op_state st, const char *error);
struct op *op_new(struct apply *a, enum op_kind kind, const char *subject);

/* apply_command.c */
int apply_command(struct apply *a);
/* The node; NULL: rejected, there is none. */
struct node *the_node(struct apply *a, uint32_t id);

/* apply_vm.c */
int cmd_vm_add(struct apply *a);
int cmd_vm_remove(struct apply *a);
int cmd_vm_set(struct apply *a);
int cmd_vm_start(struct apply *a);
int cmd_vm_stop(struct apply *a);
int cmd_vm_reset(struct apply *a);
int cmd_vm_migrate(struct apply *a);

/* apply_volume.c */
int cmd_volume_add(struct apply *a);
int cmd_volume_remove(struct apply *a);

/* apply_fence.c */
int cmd_fence_add(struct apply *a);
int cmd_fence_remove(struct apply *a);
int cmd_fence_test(struct apply *a);
/* "1,2,3" -> a set; 0 when it is not a list of node ids. */
node_set nodes_parse(const char *text);

/* apply_rule.c */
int cmd_rule_add(struct apply *a);
int cmd_rule_remove(struct apply *a);

/* apply_member.c */
int cmd_node_add(struct apply *a);
int cmd_node_remove(struct apply *a);
int apply_node_added(struct apply *a);
int apply_node_removed(struct apply *a);
int apply_node_address(struct apply *a);
int apply_quorum_forced(struct apply *a);
int apply_node_given_up(struct apply *a);

/* C1: committed evidence of what there is of a VM where it has a claim. Absence takes the claim away, unless
 * a migration may still bring the VM there: then it stays until its source is known to have ended. Claims
 * move: pointers to them are stale afterwards. */
void claim_seen(struct apply *a, struct vm *vm, struct claim *c, enum obs_state obs);
/* Ends what was in flight for VMs on a node whose daemon or host is gone; the claims stay. */
void node_drop_jobs(struct apply *a, uint32_t node, bool orphan_fences);
/* What is known of VMs on a node is not known any more; the claims stay. */
void node_doubt_claims(struct apply *a, uint32_t node);
uint64_t name_hash(const char *name);

/* The only ways to change these states: along the rows of transition.h. */
void node_become(struct apply *a, struct node *n, enum node_state st);
void op_become(struct apply *a, struct op *o, enum op_state st);

#endif
