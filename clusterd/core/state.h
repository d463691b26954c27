/*
 * state.h - the fold of all committed facts; identical on every node that applied the same index (S5).
 *
 * Plain data. Only apply.c changes it; decide.c, explain.c and the views read it. Nodes are named by their
 * corosync node id, 1 to 64, so that sets of nodes are 64 bits. All arrays of objects are sorted by name.
 */
#ifndef CLUSTERD_CORE_STATE_H
#define CLUSTERD_CORE_STATE_H

#include "common/hash.h"
#include "core/event.h"
#include "core/options.h"

#define NODES_MAX     64
#define NODE_BIT(id)  (UINT64_C(1) << ((id)-1))
#define CLAIMS_MAX    4   /* two by rule (source, target); more only when surprises are found running */
#define OPS_KEPT      256 /* ended operations that stay visible */
#define DISKS_MAX     64
#define NETWORKS_MAX  32
#define PATH_SIZE     256
#define DISARM_MS_MAX (UINT32_C(30) * 86400000) /* N4; longer ones have no end of their own */
#define RULES_MAX     4096
#define RULE_VMS_MAX  256 /* VMs of one rule, and of VMs that rules keep together */
#define ADDRESS_SIZE  256 /* corosync's addresses of a node, with their NUL */

typedef uint64_t node_set;

enum node_state {
    NODE_OFFLINE, /* never seen, left cleanly, fenced, or confirmed down */
    NODE_JOINING, /* its daemon is there; its inventory is not, or a fence against it still runs (N1) */
    NODE_ONLINE,
    NODE_GRACE,   /* clusterd gone, corosync there: its VMs are held out of decisions for a while (N2) */
    NODE_UNCLEAN, /* lost; what it runs is unknown until it is fenced, confirmed down, or back (S3) */
    NODE_STATES
};
enum node_mode { MODE_ACTIVE, MODE_DRAINING, MODE_DRAINED };

struct node {
    uint32_t id; /* 0: this slot is free */
    char name[NAME_SIZE];
    enum node_state state;
    enum node_mode mode;
    uint64_t session;    /* of the daemon that is or was last there; 0: none */
    uint64_t seq;        /* highest request of that session that was applied */
    char boot[40];       /* boot id of the host */
    uint64_t memory_mib; /* what VMs may use */
    uint32_t cpus, feature_level;
    uint64_t inventory_term;    /* term of the last complete inventory of this session; 0: none */
    uint64_t loss;              /* id (index) of the running loss; 0: not lost */
    uint32_t fence_tries;       /* for that loss */
    bool fence_wait;            /* the pause after a failed try runs (deadline DL_FENCE) */
    bool fence_wanted;          /* an operator asked for it: it may not come back before that is done */
    bool fenced;                /* it is offline because a fence was confirmed */
    char error[TEXT_SIZE];      /* last failure of a fence, for status and explain */
    uint64_t op;                /* running drain, resume, add or remove, or 0 */
    uint64_t given_up;          /* A16: the loss for which the operator has said that it is down; 0: none */
    bool outcast;               /* A16: given up, and not yet back with another boot */
    char address[ADDRESS_SIZE]; /* corosync's, one for each link, with commas; empty: not told yet */
};

enum vm_wanted { WANT_STOPPED, WANT_RUNNING, WANT_SAVED, WANT_PAUSED };
enum priority { PRIO_NONE, PRIO_LOW, PRIO_MEDIUM, PRIO_HIGH };
enum live_arrival { ARRIVE_DIRECT, ARRIVE_PAUSED }; /* the option's choices */
enum migration_mode { MIG_AUTO, MIG_LIVE, MIG_QUICK, MIG_NONE };

/* C1: a QEMU of the VM may exist on this node. */
struct claim {
    uint32_t node;
    uint64_t index; /* entry that entered it */
    enum obs_state obs;
    uint32_t from; /* a migration from this node may still bring it here, whatever is seen here; 0: none */
    bool half;     /* C5: paused here, its memory may be older than the disks: never resumed */
    uint64_t
        brought; /* committed success of the migration that brought it; 0: none, or the node has spoken */
};

/* C6. */
struct saved_state {
    uint64_t tag;  /* id of the job that saved it; 0: there is none */
    bool consumed; /* a restored QEMU may have run since: never restore it again (S7) */
    char path[PATH_SIZE];
};

/* Where VMs may run. Hard: apart, together, possible owners. Soft: preferred owners. */
enum rule_kind { RULE_APART, RULE_TOGETHER, RULE_OWNERS, RULE_KINDS };

struct rule {
    uint64_t id; /* index of the entry that added it */
    enum rule_kind kind;
    struct vm **vm; /* owned array, sorted by name; of owners: one */
    unsigned vms;
    node_set possible, preferred; /* owners: 0: any node, none */
};

struct vm {
    char name[NAME_SIZE];
    char uuid[40];
    char *xml; /* owned; the domain XML as the operator gave it */
    struct hash xml_hash;
    uint64_t memory_mib;
    uint32_t cpus;
    unsigned disks, networks;
    char (*disk)[PATH_SIZE];    /* owned; absolute paths below a shared volume's path */
    char (*network)[NAME_SIZE]; /* owned; "network:NAME" or "bridge:NAME" */
    struct vm_settings set;     /* options.h */
    enum vm_wanted wanted;
    uint32_t owner; /* node that runs it or would start it; 0: not placed yet */
    uint32_t home;  /* node that a drain took it from; 0: none */
    struct claim claim[CLAIMS_MAX];
    unsigned claims;
    node_set unseen; /* C1: nodes that have not said yet, since it was added, whether it runs there already */
    struct saved_state saved;
    uint64_t op;        /* running operation or 0 */
    uint64_t job;       /* job in flight or 0 */
    bool wait;          /* the pause before a next try runs (deadline DL_VM) */
    uint32_t tries;     /* failed tries in a row; resets when it runs */
    uint32_t conflicts; /* C7: launches in a row that an image lock of somebody else refused */
    uint32_t looks;     /* probes in a row that could not tell; the next one waits longer */
    uint32_t restarts;  /* restarts within the window that began at restart_since_ms */
    int64_t restart_since_ms;
    uint64_t changed;      /* index of the last entry that touched it */
    char error[TEXT_SIZE]; /* last failure */

    /* Derived from the above and from the operation; neither written nor part of the digest. */
    struct rule **rule; /* owned array: the rules that name it, by id */
    unsigned rules;
    node_set spoken; /* nodes where its memory and CPUs are spoken for: its claims, and where it is bound */
    uint64_t spoken_mib; /* what it needs there */
    uint32_t spoken_cpus;
    uint64_t touched; /* the last entry that put it among s->touched */
    uint32_t queued;  /* node where its queued start has its place; 0: it has none */
    bool planned;     /* the last round kept a place for it, which nothing else has recorded yet */
    uint64_t stuck;   /* nothing could be done for it when s->room was this */
    bool looked_at;   /* in s->look */
    bool waits;       /* in s->waiting */
    node_set on;      /* in these s->on: has a claim there, or is unseen there */
    uint64_t told;    /* the last inventory that was asked about it */
    uint32_t plan;    /* where the round of decisions that runs will put it; 0: nothing (placement.c) */
    uint32_t unit;    /* its unit in that round, from 1; 0: it is not placed in it */
};

struct volume {
    char name[NAME_SIZE];
    char type[NAME_SIZE]; /* "directory" */
    char source[PATH_SIZE];
    char path[PATH_SIZE];
    node_set online;                 /* nodes where it is mounted and was written to in this session */
    node_set busy;                   /* nodes with a job for it in flight */
    node_set wait;                   /* nodes where the pause after a failure runs (deadline DL_VOLUME) */
    node_set proven[NODES_MAX + 1];  /* C5: bit b of [a]: image locks of a were seen to hold against b */
    uint32_t prover;                 /* C5: node whose lock the proof in progress is about; 0: none */
    bool holding;                    /* its lock-hold job is in flight */
    node_set refused, granted;       /* nodes that were refused while it held; that got the lock afterwards */
    node_set unproven;               /* nodes for which the proof failed: not tried again while they are up */
    uint64_t size_bytes, free_bytes; /* as last reported by a node */
    bool removing;
    char error[TEXT_SIZE];
};

struct fence_device {
    char name[NAME_SIZE];
    char agent[NAME_SIZE];
    node_set nodes;
    uint32_t level; /* lower ones are tried first */
    struct kv *param;
    unsigned params;
};

enum op_kind {
    OP_NONE,
    OP_START,
    OP_STOP,
    OP_SAVE,
    OP_RESET,
    OP_LIVE,
    OP_QUICK,
    OP_MOVE, /* of a VM */
    OP_DRAIN,
    OP_RESUME,
    OP_FENCE,
    OP_CONFIRM, /* of a node */
    OP_FENCE_TEST,
    OP_VOLUME_REMOVE,
    OP_NODE_ADD,
    OP_NODE_REMOVE,
    OP_KINDS
};
enum op_state { OPS_QUEUED, OPS_RUNNING, OPS_DONE, OPS_FAILED, OPS_CANCELLED, OPS_TIMED_OUT, OPS_STATES };

struct op {
    uint64_t id; /* index of the entry that began it */
    enum op_kind kind;
    enum op_state state;
    char subject[NAME_SIZE]; /* VM, fence device or volume; empty for a node's */
    uint32_t from, to;
    uint32_t node;   /* node operations: which */
    uint64_t parent; /* drain or resume that it serves, or 0 */
    uint32_t phase;  /* unused; part of the format */
    node_set tried;  /* nodes where it failed */
    uint32_t tries;
    uint32_t flags;               /* EVF_FORCE, EVF_SAVE */
    enum migration_mode mode;     /* as asked: auto, live, quick */
    char blocked[16];             /* drain: wait, quick, shutdown */
    bool recovery;                /* begun by the cluster after a loss or a crash */
    bool cancel;                  /* asked to end */
    int64_t started_ms, ended_ms; /* wall clock; ended 0 while it runs */
    char by[NAME_SIZE];
    char why[TEXT_SIZE], error[TEXT_SIZE];
};

enum job_kind {
    JOB_NONE,
    JOB_START,
    JOB_STOP,
    JOB_SAVE,
    JOB_RESTORE,
    JOB_RESUME,
    JOB_RESET,
    JOB_MIGRATE,      /* on the source */
    JOB_PROBE,        /* looks at one VM on one node and reports */
    JOB_FENCE,        /* off, confirmed by status (node = executor, to = target) */
    JOB_FENCE_STATUS, /* num: 0 on, 2 off */
    JOB_VOLUME_START,
    JOB_VOLUME_STOP,
    JOB_LOCK_HOLD,
    JOB_LOCK_TRY,
    JOB_KINDS
};

struct job {
    uint64_t id; /* index of its decision */
    enum job_kind kind;
    uint32_t node;    /* executor */
    uint64_t session; /* the executor's session when it was decided: only that one may start it (C2) */
    uint32_t to;      /* migration target, or the node to be fenced */
    uint64_t op, loss;
    uint32_t flags;
    uint32_t timeout_ms;
    bool orphan; /* its executor's daemon is gone, the agent may live (fence jobs: N1) */
    char subject[NAME_SIZE];
};

/* N4: high availability pauses: nothing is fenced, recovered or started again by itself. Level 2. */
struct disarm {
    uint64_t index; /* of the command; 0: it is armed */
    uint32_t ms;    /* after so long it is armed by itself; 0: only an operator does it */
    int64_t since_ms;
    char by[NAME_SIZE];
};

/* What is spoken for on each node. */
struct usage {
    uint64_t mib[NODES_MAX + 1];
    uint32_t cpus[NODES_MAX + 1];
};

struct state {
    char cluster[NAME_SIZE];
    unsigned level;       /* the feature level (A13): only what all members can is proposed */
    uint64_t term, index; /* of the last applied entry */
    int64_t time_ms;      /* its wall clock */
    uint32_t coordinator; /* node that opened the term */
    bool startup; /* the coordinator itself has just booted: absent nodes get time to come (DL_STARTUP) */
    struct disarm disarm;
    struct options opt;
    struct node node[NODES_MAX + 1]; /* by id; [0] unused */
    struct vm **vm;                  /* sorted by name */
    struct vm **by_uuid;             /* the same, sorted by uuid */
    unsigned vms, vms_cap;
    struct volume **volume;
    unsigned volumes;
    struct fence_device **fence;
    unsigned fences;
    struct op *op;       /* by id, running and the last OPS_KEPT ended ones */
    struct op *op_store; /* owned: what s->op points into */
    unsigned ops, ops_cap;
    struct job *job; /* in flight, by id */
    unsigned jobs, jobs_cap;
    struct rule **rule; /* by id */
    unsigned rules;
    /* Derived; neither written nor part of the digest. */
    struct usage used;
    struct vm **touched; /* VMs that the last applied entry may have changed … */
    unsigned touches, touched_cap;
    bool touched_all; /* … or all of them, and the nodes */
    struct vm **look; /* by name: VMs that core_decide has to look at … */
    unsigned looks;
    bool look_all;             /* … or all of them, and the nodes */
    bool look_nodes;           /* the nodes and volumes once more */
    uint64_t looked_term;      /* of the last look; another term looks at all … */
    unsigned char looked[128]; /* … and so does another struct world */
    uint64_t room;             /* grows when something was given back that a VM may wait for */
    struct vm **waiting;       /* by name: VMs with `wait` */
    unsigned waitings;
    bool waiting_all; /* the list is not whole: out of memory */
    struct {
        struct vm **vm;
        unsigned n;
    } on[NODES_MAX + 1];
    bool on_all;       /* the lists are not whole */
    unsigned node_ops; /* operations that have not ended and are no VM's */
    unsigned ended;    /* operations that have */
};

struct state *state_new(const char *cluster_name);
void state_free(struct state *s);

struct node *state_node(const struct state *s, uint32_t id); /* NULL when the slot is free */
struct node *state_node_by_name(const struct state *s, const char *name);
/* It is being removed: it gets nothing to do any more. */
bool node_is_leaving(const struct state *s, const struct node *n);
node_set state_leaving(const struct state *s); /* the nodes that are being removed */
struct vm *state_vm(const struct state *s, const char *name);
struct vm *state_vm_by_uuid(const struct state *s, const char *uuid);
struct volume *state_volume(const struct state *s, const char *name);
struct fence_device *state_fence(const struct state *s, const char *name);
struct op *state_op(const struct state *s, uint64_t id);
struct job *state_job(const struct state *s, uint64_t id);
struct rule *state_rule(const struct state *s, uint64_t id);
/* C5: the image locks of all its disks' volumes were seen to hold between these two nodes, both ways. */
bool vm_locks_proven(const struct state *s, const struct vm *vm, uint32_t x, uint32_t y);
/* C5: a try of its image locks is in flight somewhere; the next round of the proof waits for it. */
bool volume_is_tried(const struct state *s, const struct volume *v);
/* Its memory can be saved: beside its first disk, on the same volume. */
bool vm_savable(const struct state *s, const struct vm *vm);
struct claim *vm_claim(const struct vm *vm, uint32_t node); /* NULL: no claim there */
node_set vm_claim_set(const struct vm *vm);

/* A snapshot: encode appends, decode builds a new state (owned by the caller) or sets err (RC_CORRUPT). */
void state_encode(const struct state *s, struct buf *b);
struct state *state_decode(const void *data, size_t len, struct err *err);
/* The digest covers every field (S5, A14). Zeros: out of memory. */
struct hash state_digest(const struct state *s);

/* What people and programs see. `node` states add "fencing"; VM states are derived. All static storage. */
const char *node_state_key(const struct state *s, const struct node *n);
const char *node_mode_key(enum node_mode m);
const char *vm_state_key(const struct state *s, const struct vm *vm);
const char *vm_wanted_key(enum vm_wanted w);
const char *priority_key(enum priority p);
const char *
op_kind_key(enum op_kind k); /* start stop save reset live-migrate quick-migrate move drain resume fence … */
const char *op_state_key(enum op_state st);
const char *job_kind_key(enum job_kind k);
const char *rule_kind_key(enum rule_kind k);
/* May this node run a fence agent against that one? What it runs itself does not matter to a fence, so its
 * inventory is not waited for; one that still joins may begin only when it has spoken (N1). */
bool node_may_fence(const struct state *s, uint32_t node, uint32_t target);
/* The node that the VM runs on or moves from; 0 when none. */
uint32_t vm_where(const struct state *s, const struct vm *vm);
/* What VMs may use of a node, its reserve taken off; of CPUs in vCPUs, UINT32_MAX when they are not counted.
 * What is spoken for: VMs with a claim there or on their way there, memory with their overhead. */
uint64_t node_memory_mib(const struct state *s, const struct node *n);
uint32_t node_vcpus(const struct state *s, const struct node *n);
uint64_t node_memory_used_mib(const struct state *s, uint32_t node);

#endif
