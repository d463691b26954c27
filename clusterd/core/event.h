/*
 * event.h - facts: everything that the core may know arrives as one of these, time included.
 *
 * An event is the payload of a journal entry. One shape serves all kinds, so there is one codec, one fuzzer
 * and one line in the log; what a field means for a kind stands in EVENT_LIST. Who may propose what:
 *   D  decisions, by the term's coordinator alone (they come out of core_decide)
 *   F  facts of a node about itself, proposed by that node
 *   C  commands of an operator, proposed by the node that he asked
 * An event is applied by every node in the journal's order; what is impossible is rejected, by every node
 * alike, with a reason (core_apply).
 */
#ifndef CLUSTERD_CORE_EVENT_H
#define CLUSTERD_CORE_EVENT_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_SIZE       64          /* names of nodes, VMs, volumes, …, with their NUL */
#define TEXT_SIZE       384         /* a why, an error, with its NUL */
#define EVENT_TEXT_MAX  (48 * 1024) /* bytes of `text`: a domain XML, an agent's exit reason */
#define EVENT_KV_MAX    1024        /* pairs in one event */
#define EVENT_VALUE_MAX 4096        /* bytes of one value */
#define EVENT_FORMAT    1           /* version of the encoding */

/* What this build can do (A13). 1: the main job. 2: rules, capacity, disarm, node remove. */
#ifndef FEATURE_LEVEL
#define FEATURE_LEVEL 2
#endif

/* X(kind, key in the audit trail, who, feature level since which it exists: A13). New ones go to the end: a
 * kind's number is what stands in the journal. */
#define EVENT_LIST(X)                                                                                        \
    /* by the shell, out of the journal's OPEN entry: origin, session, num = term, kv boot */                \
    X(EV_OPEN, "term-open", 'D', 1)                                                                          \
    /* a daemon is there: node, session, kv name boot memory_mib cpus feature_level version;                 \
       after = the session that the state had of it (level 2) */                                             \
    X(EV_NODE_UP, "node-up", 'F', 1)                                                                         \
    /* node, id = its session; num: 0 = clusterd gone while corosync stays (N2), 1 = out of the membership   \
     */                                                                                                      \
    X(EV_NODE_LOST, "node-lost", 'D', 1)                                                                     \
    /* "empty, leaving" (N2): node */                                                                        \
    X(EV_NODE_LEFT, "node-left", 'F', 1)                                                                     \
    /* what runs on a node (C3): node, index = applied and acted upon up to here, num = term,                \
       flag complete: VMs that are not listed are absent; kv uuid = obs_state key */                         \
    X(EV_INVENTORY, "inventory", 'F', 1)                                                                     \
    /* id = job, node, num = 0 or an OCF/agent exit code, obs, text = exit reason, kv = what it printed */   \
    X(EV_JOB_RESULT, "job-result", 'F', 1)                                                                   \
    /* num = deadline kind, id, index as in struct deadline */                                               \
    X(EV_DEADLINE, "deadline", 'D', 1)                                                                       \
    /* start a job: num = job kind, node = executor, to, subject = VM, volume or fence device, id = op */    \
    X(EV_JOB, "job", 'D', 1)                                                                                 \
    /* begin an operation that nobody commanded: num = op kind, subject = VM, node = from, to, id = parent   \
     */                                                                                                      \
    X(EV_OP_BEGIN, "op-begin", 'D', 1)                                                                       \
    /* id = op, num = op state, text = error */                                                              \
    X(EV_OP_END, "op-end", 'D', 1)                                                                           \
    /* C6: subject = VM, its saved state is consumed: from now on it is never restored again */              \
    X(EV_CONSUME, "saved-state-consumed", 'D', 1)                                                            \
    /* C6: subject = VM, its saved state is void (a cold start follows) */                                   \
    X(EV_VOID, "saved-state-void", 'D', 1)                                                                   \
    /* subject = VM, to = its new owner; nothing runs */                                                     \
    X(EV_ASSIGN, "assign", 'D', 1)                                                                           \
    /* node is empty now: its mode becomes drained */                                                        \
    X(EV_NODE_DRAINED, "node-drained", 'D', 1)                                                               \
    /* N3: an operator's confirmation holds: node, id = its op */                                            \
    X(EV_NODE_DOWN, "node-confirmed-down", 'D', 1)                                                           \
    /* commands; subject is the object's name, kv the arguments as on the command line */                    \
    X(EV_CMD_OPTION_SET, "option-set", 'C', 1)               /* kv */                                        \
    X(EV_CMD_NODE_DRAIN, "node-drain", 'C', 1)               /* node; kv mode=live|quick, blocked=… */     \
    X(EV_CMD_NODE_RESUME, "node-resume", 'C', 1)             /* node; kv failback=now|no */                  \
    X(EV_CMD_NODE_FENCE, "node-fence", 'C', 1)               /* node */                                      \
    X(EV_CMD_NODE_CONFIRM_DOWN, "node-confirm-down", 'C', 1) /* node; flag force */                          \
    X(EV_CMD_VM_ADD, "vm-add", 'C', 1)         /* subject, text = domain XML, kv of vm_spec + settings */    \
    X(EV_CMD_VM_REMOVE, "vm-remove", 'C', 1)   /* subject */                                                 \
    X(EV_CMD_VM_SET, "vm-set", 'C', 1)         /* subject, kv */                                             \
    X(EV_CMD_VM_START, "vm-start", 'C', 1)     /* subject; to = node or 0 */                                 \
    X(EV_CMD_VM_STOP, "vm-stop", 'C', 1)       /* subject; flag force, flag save */                          \
    X(EV_CMD_VM_RESET, "vm-reset", 'C', 1)     /* subject */                                                 \
    X(EV_CMD_VM_MIGRATE, "vm-migrate", 'C', 1) /* subject; to = node or 0; kv mode=live|quick */             \
    X(EV_CMD_VOLUME_ADD, "volume-add", 'C', 1) /* subject; kv type source path */                            \
    X(EV_CMD_VOLUME_REMOVE, "volume-remove", 'C', 1) /* subject */                                           \
    X(EV_CMD_FENCE_ADD, "fence-add", 'C', 1)       /* subject; num = level; kv agent, nodes=1,2 , param.K */ \
    X(EV_CMD_FENCE_REMOVE, "fence-remove", 'C', 1) /* subject */                                             \
    X(EV_CMD_FENCE_TEST, "fence-test", 'C', 1)     /* subject */                                             \
    X(EV_CMD_OP_CANCEL, "op-cancel", 'C', 1)       /* id = op */                                             \
    /* A13: num = the feature level from here on; all members have reported that they can */                 \
    X(EV_LEVEL, "feature-level", 'D', 2)                                                                     \
    /* N4: high availability pauses; kv for_ms: it goes on by itself after that */                           \
    X(EV_CMD_DISARM, "disarm", 'C', 2)                                                                       \
    X(EV_CMD_ARM, "arm", 'C', 2)                                                                             \
    /* kv kind=apart|together|owners, vm…, possible=1,2, preferred=2; and id = rule */                     \
    X(EV_CMD_RULE_ADD, "rule-add", 'C', 2)                                                                   \
    X(EV_CMD_RULE_REMOVE, "rule-remove", 'C', 2)                                                             \
    X(EV_CMD_NODE_ADD, "node-add", 'C', 2)       /* subject = its name; node = its id; kv address */         \
    X(EV_CMD_NODE_REMOVE, "node-remove", 'C', 2) /* node */                                                  \
    /* the journal has it as a member, or has it no more (A9): node */                                       \
    X(EV_NODE_ADDED, "node-added", 'D', 2)                                                                   \
    X(EV_NODE_REMOVED, "node-removed", 'D', 2)                                                               \
    /* where corosync reaches it: node; kv address */                                                        \
    X(EV_NODE_ADDRESS, "node-address", 'F', 2)                                                               \
    /* A16: id = set of the nodes given up, index and num: up to which entry, and which time, was known */   \
    X(EV_QUORUM_FORCED, "quorum-forced", 'D', 2)                                                             \
    /* the operator's word of then, that it is down, is looked at: node */                                   \
    X(EV_NODE_GIVEN_UP, "node-given-up", 'D', 2)

/* What to do about a refusal that the cluster's level is the reason of. */
#define LEVEL_HINT "it rises by itself once every node runs a version that can"
/* Refuses a kind of event or an option (its name) of a later level than the cluster's. Returns RC_REFUSED. */
int refuse_level(struct err *err, const char *what, unsigned needed, unsigned has);
/* Refuses what a newer version wrote, which is no damage: the text says what it is. Returns RC_REFUSED. */
int refuse_newer(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum event_kind {
    EV_NONE = 0,
#define X(kind, key, who, level) kind,
    EVENT_LIST(X)
#undef X
        EV_COUNT
};

/* Flags of an event. */
#define EVF_COMPLETE 1u /* EV_INVENTORY: all that runs is listed */
#define EVF_FORCE    2u
#define EVF_SAVE     4u
#define EVF_PAUSED   8u  /* JOB_MIGRATE: the target arrives paused (C5) */
#define EVF_HELD     16u /* JOB_LOCK_TRY: the lock is held on node `to`, so it must be refused (C5) */

/* What is known of one VM on one node (C3). Only OBS_ABSENT frees a claim. */
enum obs_state {
    OBS_UNKNOWN = 0, /* libvirt does not answer, an agent is in flight, … */
    OBS_ABSENT,
    OBS_RUNNING,
    OBS_PAUSED,   /* its memory is there, its vCPUs stand still */
    OBS_INCOMING, /* the incoming half of a live migration: never adopted as running (C5) */
    OBS_COUNT
};
const char *obs_key(enum obs_state o);
enum obs_state obs_from_key(const char *key); /* OBS_UNKNOWN for anything else */

struct kv {
    char *key, *value; /* owned */
};

struct event {
    enum event_kind kind;
    uint32_t origin;  /* node that proposed it */
    uint64_t session; /* that node's daemon session */
    uint64_t
        seq; /* number of the request in that session, from 1; 0: the coordinator's own (never repeated) */
    int64_t time_ms; /* wall clock at the coordinator, for people and windows; no safety rests on it */
    uint32_t flags;
    uint32_t node, to;
    uint64_t id, index, num;
    enum obs_state obs;
    char subject[NAME_SIZE];
    char by[NAME_SIZE];  /* who asked ("root@node1"); empty for the cluster itself */
    char why[TEXT_SIZE]; /* decisions: the rule that fired and the values that it saw */
    char *text;          /* owned; NULL when empty */
    struct kv *kv;       /* owned */
    unsigned kvs;
};

void event_init(struct event *e, enum event_kind kind);
void event_fini(struct event *e);
/* Adds a pair (copied). Returns 0, or RC_BAD_INPUT past a bound, or RC_NO_MEMORY. */
int event_put(struct event *e, const char *key, const char *value);
int event_putf(struct event *e, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The value of a key, or NULL. */
const char *event_get(const struct event *e, const char *key);
/* The value as a number; dflt when absent or not a whole number. */
uint64_t event_get_u64(const struct event *e, const char *key, uint64_t dflt);
int event_set_text(struct event *e, const char *text);
/* Appends the encoding to b; decode is its inverse, total on garbage: RC_CORRUPT and *e initialised, empty;
 * RC_REFUSED for what a newer version wrote (A13). */
void event_encode(const struct event *e, struct buf *b);
int event_decode(struct event *e, const void *data, size_t len, struct err *err);
const char *event_key(enum event_kind k);
/* 'D', 'F', 'C', or 0 for a number outside the list. */
char event_who(enum event_kind k);
/* The feature level that the cluster must have before this kind is proposed (A13); 0 outside the list. */
unsigned event_level(enum event_kind k);

#endif
