/*
 * transition.h - what the state of a node and of an operation may become, and why: the tables that apply.c's
 * helpers are held to at each move. ARCHITECTURE.md's diagrams are made from these rows (tests/diagrams).
 */
#ifndef CLUSTERD_CORE_TRANSITION_H
#define CLUSTERD_CORE_TRANSITION_H

#include "core/state.h"

/* X(from, to, why) */
#define NODE_TRANSITIONS(X)                                                                                  \
    X(NODE_OFFLINE, NODE_JOINING, "its daemon announces itself")                                             \
    X(NODE_OFFLINE, NODE_GRACE, "A16: it was given up and is seen again")                                    \
    X(NODE_OFFLINE, NODE_UNCLEAN,                                                                            \
      "C5: a migration may have reached it after it was proven off; A16: given up, and back with that boot") \
    X(NODE_JOINING, NODE_ONLINE, "C3: it has said what it runs; N1: no fence agent acts against it")         \
    X(NODE_JOINING, NODE_OFFLINE, "N2: empty, leaving")                                                      \
    X(NODE_JOINING, NODE_GRACE, "N2: its clusterd is gone, its corosync is there")                           \
    X(NODE_JOINING, NODE_UNCLEAN, "N2: it is out of the membership; or an operator's fence; A16: given up")  \
    X(NODE_ONLINE, NODE_JOINING, "its daemon announces itself anew")                                         \
    X(NODE_ONLINE, NODE_OFFLINE, "N2: empty, leaving")                                                       \
    X(NODE_ONLINE, NODE_GRACE, "N2: its clusterd is gone, its corosync is there")                            \
    X(NODE_ONLINE, NODE_UNCLEAN, "N2: it is out of the membership; or an operator's fence; A16: given up")   \
    X(NODE_GRACE, NODE_JOINING, "its daemon is back")                                                        \
    X(NODE_GRACE, NODE_UNCLEAN,                                                                              \
      "N2: restart_grace_ms is over, its corosync is gone too; or an operator's fence; A16: given up")       \
    X(NODE_UNCLEAN, NODE_JOINING, "N1: it is back; a new boot proves that its old VMs are gone")             \
    X(NODE_UNCLEAN, NODE_OFFLINE, "S3: the fence of this very loss is confirmed; N3: an operator's word")

#define OP_TRANSITIONS(X)                                                                                    \
    X(OPS_QUEUED, OPS_RUNNING, "its first job is decided")                                                   \
    X(OPS_QUEUED, OPS_DONE, "what it wants is so already")                                                   \
    X(OPS_QUEUED, OPS_FAILED, "it cannot be, or the object is gone")                                         \
    X(OPS_QUEUED, OPS_CANCELLED, "by an operator, or with what it is part of")                               \
    X(OPS_RUNNING, OPS_DONE, "what it wants is so")                                                          \
    X(OPS_RUNNING, OPS_FAILED, "L2: its tries are used up, or it cannot be any more")                        \
    X(OPS_RUNNING, OPS_CANCELLED, "by an operator, once no job of it is in flight")

/* NULL, or what is wrong with the move (static storage). Staying is no move. */
const char *node_move_wrong(enum node_state from, enum node_state to);
const char *op_move_wrong(enum op_state from, enum op_state to);

#endif
