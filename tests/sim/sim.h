/*
 * sim.h - a cluster of simulated hosts that run the production shell, journal and core in a world of faults.
 * One seed draws everything; the same seed replays exactly.
 *
 *   sim.c        one seed from its beginning to its end: drawing, the event queue
 *   sim_range.c  options; many seeds, and what they covered
 *   sim_host.c   hosts and daemons: power, crashes between any two effects, pauses; the shell's ports
 *   sim_net.c    corosync: rings, ordered multicast, virtual synchrony, quorum notices
 *   sim_disk.c   what a host's disk holds: the store port
 *   sim_world.c  the truth: QEMU processes, memory files, disks, mounts, power; what agents do to it
 *   sim_agent.c  agents and fence agents: launch, lock, effect, answer, and how they fail
 *   sim_operator.c  the operator
 *   sim_member.c    … and what he wants of who belongs to the cluster
 *   sim_fault.c  the faults, and their end
 *   sim_check.c  what must be true after every step, and in the end;
 *   sim_raft.c   … of the journal's logs
 *   sim_effect.c  … of decisions, and of what is done about them
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "clusterd/shell_internal.h"

#define HOSTS_MAX    64
#define VMS_MAX      512
#define VOLUMES_MAX  4
#define RING_IDS_MAX 1024
#define SECOND       UINT64_C(1000000) /* simulated time is in microseconds */
#define MS           UINT64_C(1000)

/* How often what happened: printed, so that one sees what a run of seeds has covered. */
#define COUNTS(X)                                                                                            \
    X(placed)                                                                                                \
    X(placed_by_rule)                                                                                        \
    X(items)                                                                                                 \
    X(events)                                                                                                \
    X(applied)                                                                                               \
    X(elections)                                                                                             \
    X(messages)                                                                                              \
    X(commands)                                                                                              \
    X(commands_ok)                                                                                           \
    X(commands_refused)                                                                                      \
    X(commands_no_quorum)                                                                                    \
    X(agents)                                                                                                \
    X(starts)                                                                                                \
    X(stops)                                                                                                 \
    X(saves)                                                                                                 \
    X(restores)                                                                                              \
    X(resumes)                                                                                               \
    X(migrations)                                                                                            \
    X(fences)                                                                                                \
    X(self_stops)                                                                                            \
    X(disputes_ended)                                                                                        \
    X(forces_asked)                                                                                          \
    X(snapshots)                                                                                             \
    X(installs)                                                                                              \
    X(converged_ms)

/* Faults, and what only they bring about: one that 1,000 seeds never reach makes the run fail. */
#define FAULTS(X)                                                                                            \
    X(holes)                                                                                                 \
    X(holes_passed)                                                                                          \
    X(self_only)                                                                                             \
    X(late_views)                                                                                            \
    X(next_view)                                                                                             \
    X(late_quorum)                                                                                           \
    X(quorum_differs)                                                                                        \
    X(ring_repeats)                                                                                          \
    X(minority_messages)                                                                                     \
    X(storms)                                                                                                \
    X(storm_blows)                                                                                           \
    X(faults)                                                                                                \
    X(crashes)                                                                                               \
    X(crashes_in_step)                                                                                       \
    X(crashes_in_commit)                                                                                     \
    X(marks_lost)                                                                                            \
    X(daemon_kills)                                                                                          \
    X(blackouts)                                                                                             \
    X(aimed)                                                                                                 \
    X(targets_died)                                                                                          \
    X(host_pauses)                                                                                           \
    X(daemon_pauses)                                                                                         \
    X(partitions)                                                                                            \
    X(partitions_bmc)                                                                                        \
    X(write_failed)                                                                                          \
    X(fsync_failed)                                                                                          \
    X(slow_fsyncs)                                                                                           \
    X(state_flips)                                                                                           \
    X(set_asides)                                                                                            \
    X(stores_torn)                                                                                           \
    X(tails_torn)                                                                                            \
    X(crash_loops)                                                                                           \
    X(creations)                                                                                             \
    X(majorities_gone)                                                                                       \
    X(quorums_forced)                                                                                        \
    X(gone_returned)                                                                                         \
    X(corosync_deaths)                                                                                       \
    X(clock_jumps)                                                                                           \
    X(libvirt_restarts)                                                                                      \
    X(agents_failed_before)                                                                                  \
    X(agents_failed_after)                                                                                   \
    X(agents_hung)                                                                                           \
    X(agents_garbled)                                                                                        \
    X(agents_lied)                                                                                           \
    X(agents_died)                                                                                           \
    X(agents_killed)                                                                                         \
    X(agents_slow)                                                                                           \
    X(agents_left_behind)                                                                                    \
    X(agents_orphaned)                                                                                       \
    X(guests_ended)                                                                                          \
    X(locks_left)                                                                                            \
    X(mounts_changed)                                                                                        \
    X(started_by_hand)                                                                                       \
    X(lock_conflicts)                                                                                        \
    X(migrations_failed)                                                                                     \
    X(migrations_torn)                                                                                       \
    X(fences_failed)                                                                                         \
    X(fences_unreported)                                                                                     \
    X(fences_slow)                                                                                           \
    X(fences_void)                                                                                           \
    X(fences_lied)                                                                                           \
    X(s1_by_lie)                                                                                             \
    X(commands_timed_out)                                                                                    \
    X(leaves)                                                                                                \
    X(downgrades)                                                                                            \
    X(outdated)                                                                                              \
    X(upgrades)                                                                                              \
    X(levels_refused)                                                                                        \
    X(confirmed_down)                                                                                        \
    X(confirmed_blindly)                                                                                     \
    X(broken_off)                                                                                            \
    X(broken_daemons)                                                                                        \
    X(broken_corosyncs)                                                                                      \
    X(broken_networks)

#define STATS(X) COUNTS(X) FAULTS(X)

struct stats {
#define X(name) uint64_t name;
    STATS(X)
#undef X
};

/* Which rows of the transition tables were reached; those that sim_rules.inc does not know by name. */
#define COVER_RULES  400
#define COVER_OTHERS 400
#define COVER_KEY    200
struct cover {
    uint64_t reached[COVER_RULES];
    unsigned others, seeds[COVER_OTHERS]; /* seeds: in how many */
    char other[COVER_OTHERS][COVER_KEY];
};

/* ------------------------------------------------------------------------------------------------- events */

enum item_type {
    ITEM_NET,    /* the head of a host's queue is due */
    ITEM_QUORUM, /* a quorum notice reaches a host; a: ring, 0: whichever it is in */
    ITEM_REFORM, /* the membership protocol finds out who is there */
    ITEM_TICK,   /* a daemon's deadline */
    ITEM_AGENT,  /* an agent's next step; a: its uid */
    ITEM_CLEAN,  /* a target's libvirt ends an abandoned incoming half; a: VM, b: its life */
    ITEM_POWER,  /* a host is switched on; a: its power count */
    ITEM_DAEMON, /* a daemon is started; a: the host's power count */
    ITEM_RESUME, /* a paused host goes on */
    ITEM_RESUME_DAEMON,
    ITEM_LIBVIRT, /* libvirt is back */
    ITEM_COROSYNC,
    ITEM_FAULT,
    ITEM_OPERATOR,
    ITEM_BUILD,   /* another build is installed; a: the feature level that it knows (A13) */
    ITEM_HEAL,    /* a partition ends; a: its number */
    ITEM_STORM,   /* its next blow; a: its number as a partition, b: blows left */
    ITEM_OBSERVE, /* A15: a daemon that only observes says so; a: the host's power count */
    ITEM_LIST,    /* corosync's list of nodes is compared; a: the daemon's session */
    ITEM_LOOK,    /* checks that need time */
};

struct item {
    uint64_t at, order;
    enum item_type type;
    int host;
    uint64_t a, b;
};

/* -------------------------------------------------------------------------------------------------- network
 */

struct message {
    unsigned refs;
    uint32_t from;
    node_set to, seen, skipped; /* by whom */
    size_t len;
    uint8_t data[];
};

/* Something that a host is about to see, in this order: a message, or (m NULL) a change of the group. */
struct delivery {
    uint64_t at, seq;
    struct message *m; /* a reference */
    bool missing;      /* it was lost on the way; nothing behind it is delivered before that is settled */
    int sender;        /* host */
    uint64_t ring, id; /* its serial; what corosync calls it */
    node_set present, members;
};

struct ring {
    unsigned refs;            /* hosts that are in it */
    uint64_t serial, id, seq; /* id: what corosync calls it, which may repeat */
    node_set members;         /* hosts, bit by node id */
    bool broken;              /* somebody of it is silent: nothing more is ordered until it has formed anew */
};

struct net {
    struct delivery *queue; /* owned; queue[head] to queue[head + n - 1] */
    size_t head, n, cap;
    uint64_t last_due;
    uint64_t delivered, delivered_ring; /* the highest seq that its daemon has seen, and in which ring */
    uint64_t due_at;                    /* of the scheduled ITEM_NET; 0: none */
    struct ring *ring;                  /* NULL: corosync is not there */
    struct message **held;              /* sent while the ring is broken: goes out in the next one */
    size_t n_held, cap_held;
    struct message **stalled; /* sent after a write that its daemon still waits for */
    size_t n_stalled, cap_stalled;
    bool joined;                   /* its daemon is in the group */
    node_set present, members;     /* as last told to the daemon, */
    uint64_t told_at;              /* and when they changed */
    uint64_t told_ring, quorum_at; /* quorum_at: of the newest notice */
    bool quorate;
    uint64_t views;
};

/* --------------------------------------------------------------------------------------------------- hosts
 */

struct disk {
    struct journal_uuid cluster;
    uint64_t incarnation;
    struct journal_promise promise;
    uint64_t commit;
    struct journal_snapshot snapshot;
    uint8_t *blob; /* owned, with a NUL behind it for nobody: size may be 0 */
    uint64_t prev_index, prev_term;
    struct hash prev_chain;
    struct journal_entry *v; /* owned, payloads too */
    size_t n, cap;
    struct journal_mark mark, mark_due; /* on the disk; written behind, at mark_due_at */
    uint64_t mark_due_at;               /* 0: nothing waits */
    bool lost;                          /* it was set aside once */
};

enum death { DEATH_NONE, DEATH_DAEMON, DEATH_HOST };

struct host {
    int id; /* index; the node id is id + 1 */
    uint64_t rng, launches;
    char name[NAME_SIZE], boot[40];
    bool on, paused;
    uint64_t resume_at, daemon_resume_at; /* what would end the pause earlier is of one before */
    bool power;                           /* what its BMC says: a crashed host still has it */
    uint64_t powers;                      /* how often it was switched on */
    bool cord;                            /* its BMC does not answer */
    uint64_t off_at;                      /* the last time that its BMC switched it off */
    bool blind;                           /* it reaches no BMC, ever */
    bool bmc_dead;                        /* its BMC never answers; what cuts its power does */
    bool belied;                          /* it was said to be off by whomever, and is not */
    bool spared;                          /* it was said to be off, and is not: a lie that may break S1 */
    unsigned level, known;  /* A13: the feature level of its build; the highest that it ever had */
    bool broken;            /* stays off: the liveness phase does without it */
    bool spare, was_out;    /* it belongs only once it is added; it did not belong for a while */
    bool away;              /* nobody switches it on */
    bool gone;              /* A16: with the majority that is given up, until it may come back */
    bool begins_anew;       /* … until its daemon has a state of the others' */
    bool old_line;          /* its journal is that majority's */
    node_set list;          /* that its daemon wants corosync to have */
    bool linked;            /* it stands in corosync's list of nodes */
    unsigned expected;      /* votes that its corosync was told to expect; 0: those of the list */
    bool store_torn;        /* its disk is damaged: found out when the daemon starts */
    uint64_t observe_until; /* A15: its daemon only observes until then */
    bool observing;
    uint64_t observing_since;
    unsigned component; /* of the partition */
    struct net net;
    struct disk disk;
    uint64_t disk_bad_until;     /* writes fail */
    uint64_t disk_slow_until;    /* they take their time */
    uint64_t stall_us;           /* that its daemon waits for the disk in this very call */
    bool stalling;               /* it waits */
    uint64_t quorum_wrong_until; /* its votequorum counts wrongly */
    uint64_t ring_seq;           /* the highest that its corosync has stored */
    bool ring_torn;              /* that is lost at its next start */
    bool fsync_fails;            /* the next one */
    uint64_t clock_base;
    bool libvirt; /* answers */
    bool corosync;
    int64_t wall_offset_ms;
    bool mounted[VOLUMES_MAX + 1];
    bool local_locks; /* since its boot its image locks are its own: mounted otherwise than before */

    /* The daemon. */
    struct shell *sh;
    uint64_t session;
    bool daemon_paused, inside;
    uint64_t tick_at;
    unsigned countdown; /* effects until it dies; 0: not armed */
    enum death death;   /* what then dies; while `dying` its ports have no effect */
    bool dying;
    struct item *deferred; /* owned; what could not happen while it was paused */
    size_t n_deferred, cap_deferred;

    /* What the checks remember. */
    uint64_t bound;   /* after which its VMs have ended (S2) */
    uint64_t open_at; /* the last time at which it was seen in an open term, or excused (S2) */
    bool excused; /* an agent was made to fail in a way that only a watchdog could mend: until its next open
                     term S2 is not asked of it */
    uint64_t decided; /* the last decision that it took, */
    bool disputed;    /* and whether it knew of a dispute then (A14) */
    uint64_t checked; /* entries up to here were compared */
    uint64_t digested;
    uint64_t lead_term, lead_last; /* its log, as long as it leads */
    struct hash lead_chain;
};

/* --------------------------------------------------------------------------------------------------- world
 */

enum q { Q_NONE, Q_RUNNING, Q_PAUSED, Q_INCOMING };

struct vm_world {
    char name[NAME_SIZE], uuid[40];
    unsigned volume;
    enum q q[HOSTS_MAX];
    uint64_t life[HOSTS_MAX]; /* number of the QEMU process */
    uint64_t
        came[HOSTS_MAX]; /* when another host, or an agent whose daemon had ended, brought it; 0: neither */
    uint64_t resumed_by; /* the job whose agent resumes it at this moment; 0: none */
    uint64_t restored[HOSTS_MAX],
        restored_gen[HOSTS_MAX];    /* paused with this saved state's memory; tag 0: not */
    uint64_t memory_gen[HOSTS_MAX]; /* paused: disk_gen when its memory last ran */
    uint64_t disk_gen;              /* counts what may have been written */
    struct {
        uint64_t tag, gen; /* tag 0: no file */
    } file;
    uint64_t *used; /* owned; tags that ran (S7) */
    size_t n_used;
    node_set lost;         /* hosts that died with a QEMU of it, of which nobody has proven it yet (S3) */
    uint64_t locked_until; /* a dead host's image lock: the file server keeps it for a while (C7) */
    bool lied;       /* it ran on a host that was falsely reported to be off: from then on it may run twice */
    uint64_t saved;  /* of the newest state: the tag of what is saved and not consumed; 0: nothing */
    node_set claims; /* of the newest state that any node has applied */
    node_set stray;  /* A16: it came there by a decision that is lost, and no inventory has told of it yet */
    bool known;      /* that state has it */
    node_set by_hand; /* an operator started it there himself, and that state has no claim for it yet */
};

enum act {
    ACT_START,
    ACT_STOP,
    ACT_SAVE,
    ACT_RESTORE,
    ACT_RESUME,
    ACT_RESET,
    ACT_MIGRATE,
    ACT_INVENTORY,
    ACT_OFF,
    ACT_STATUS,
    ACT_MOUNT,
    ACT_UNMOUNT,
    ACT_HOLD,
    ACT_TRY,
    ACTS
};
enum agent_fault {
    AF_NONE,
    AF_FAIL_BEFORE,
    AF_FAIL_AFTER,
    AF_HANG_BEFORE,
    AF_HANG_AFTER,
    AF_GARBLED,
    AF_DIE_BEFORE,
    AF_DIE_AFTER,
    AF_LIE, /* says that it worked, and has done nothing */
    AGENT_FAULTS
};
enum agent_phase { AP_QUEUED, AP_LAUNCHED, AP_BEGUN, AP_ACTED, AP_LEFT };

struct agent {
    struct agent *next;
    uint64_t uid, id, job; /* id: the shell's; job: 0 when it runs for none */
    int host;
    uint64_t session;
    enum act act;
    enum agent_fault fault;
    enum agent_phase phase;
    int vm, target; /* -1: none */
    unsigned volume;
    bool force, arrives_paused, torn;
    bool target_dies; /* its target loses its power as it begins */
    bool asked;       /* an operator asks for something in the moment in which it ends */
    uint64_t tag, life;
    char serial[PATH_SIZE];
    uint64_t not_before; /* its daemon waits for the disk until then */
    uint64_t timeout_at, effect_us, done_us, next_at, wait_until;
    uint32_t timeout_ms;
    bool killed; /* the answer was given; what is left holds its lock */
    bool cancelled, acted, hangs, prepared;
    uint64_t number; /* of its stream: its host's, and which of that host's */
    uint8_t steps;
    bool told;  /* its daemon knows that it has ended */
    bool moves; /* its job is part of a live migration */
    int code;
    char reason[TEXT_SIZE];
    struct buf out;
};

/* What each action is, does, and takes. */
struct action {
    const char *agent, *action;
    uint64_t low_ms, high_ms;
    bool changes; /* it is about one VM, and holds its lock */
    void (*effect)(struct agent *a);
};
extern const struct action acts[ACTS];

/* ----------------------------------------------------------------------------------------------------- all
 */

enum phase { PHASE_SETUP, PHASE_CHAOS, PHASE_LIVENESS, PHASE_DONE };

struct truth {              /* what was committed, by index */
    uint64_t term, by_term; /* by_term: in which it was committed, or a later one */
    struct hash chain;
    uint64_t digest_term;
    struct hash digest;
};

struct sim {
    uint64_t seed, *rng, common, now, order;
    uint64_t lines; /* that a trace has */
    bool trace, failed;
    char failure[1024];
    enum phase phase;
    int n, vms, volumes; /* n: spare hosts included */
    int n0;              /* the first nodes */
    struct host hosts[HOSTS_MAX];
    struct vm_world vm[VMS_MAX];
    bool volume_locks[VOLUMES_MAX + 1]; /* image locks hold there */
    struct agent *agents;
    uint64_t uids;
    struct item *heap;
    size_t n_heap, cap_heap;
    struct stats stats;
    uint64_t applied[EV_COUNT], rejected[EV_COUNT]; /* how often, by kind */
    struct cover cover;
    uint64_t rings, partition;
    uint64_t ring_ids[RING_IDS_MAX]; /* that were used */
    size_t n_ring_ids;
    bool bmc_cut; /* a partition cuts the BMCs too */
    bool reform_due;

    /* The seed's character. */
    uint64_t chaos_us; /* how long the faults last */
    uint64_t fault_mean_us, operator_mean_us;
    unsigned agent_fault_permille, guest_end_permille, crash_weight;
    int flip;          /* the host where, when flipped */
    bool flipped;      /* A14: a field of one node's state was changed behind its back */
    bool mixed_builds; /* A13: some hosts begin with an older one */
    bool early_faults, migration_apart, store_lost, lying_bmcs;
    bool grows, creates, forces; /* nodes are added and removed; begins with fewer; loses its majority */
    bool mounts_differ;          /* a host may come back with local_locks */
    bool second_devices;         /* each node is reached by two fence devices */
    uint64_t host_memory_mib;    /* of each node; sometimes less than all VMs need */
    uint64_t older_until;        /* entries up to here are of level 1: no rules, no halves */
    uint32_t snapshot_entries;

    /* What was drawn and happened, in order: (stream, number); a run can be repeated without some of it. */
    uint64_t *happened;
    size_t n_happened, cap_happened;
    uint64_t faults, asks; /* numbers of the next ones */

    /* Who belongs. */
    node_set members, seen;     /* by the newest state; that it has ever had */
    node_set gone;              /* given up (A16) */
    bool forced;                /* that is committed */
    uint64_t come_at;           /* of those that were absent at the creation */
    uint64_t top_term, changes; /* changes: how many were asked for */

    /* The operator. */
    unsigned step; /* of the setup */
    uint64_t request, step_request, step_retry_at;
    bool step_waits;

    /* The checks. */
    struct raft *raft;       /* owned */
    struct effects *effects; /* owned */
    struct truth *truth;
    size_t n_truth;
    uint64_t newest_index;
    uint64_t healed_at, quiet_at, quiet_index;
};

extern struct sim sim;

/* Instead of what the seed draws; 0: as it draws. A seed replays only with the same. */
extern struct sim_options {
    int nodes, vms;
    uint64_t events;   /* the faults last for so many */
    uint64_t chaos_ms; /* … or for so long */
    bool keeps;        /* of faults, commands and agents' faults only those in keep happen */
    uint64_t *keep;    /* sorted; as in sim.happened */
    size_t n_keep;
    bool first_only; /* a range ends with its first failure (of each job) */
} options;

enum stream {
    STREAM_COMMON,
    STREAM_CHARACTER, /* what the seed is like */
    STREAM_HOST,
    STREAM_VM,
    STREAM_SETUP,
    STREAM_FAULT, /* from here on: what kept() can leave out */
    STREAM_COMMAND,
    STREAM_AGENT,
};

/* sim.c */
void run_seed(uint64_t seed, bool traced);
/* The first state of a stream of random numbers; and what draw() draws from until the next item (NULL: the
 * common one). Returns what it did before. */
uint64_t stream(enum stream what, uint64_t number);
uint64_t *stream_use(uint64_t *state);
/* Shall this fault, command or agent's fault happen? */
bool kept(enum stream what, uint64_t number);
uint64_t draw(uint64_t below);                 /* 0 when below is 0 */
uint64_t between(uint64_t low, uint64_t high); /* [low, high] */
bool chance(unsigned permille);
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The run has failed; the first word counts. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void at(uint64_t when, enum item_type type, int host, uint64_t a, uint64_t b);
/* Faults happen only while this is true. */
bool chaos(void);

/* sim_host.c */
void host_init(struct host *h, int id);
void host_fini(struct host *h);
void host_on(struct host *h);
void host_crash(struct host *h);
/* Another build is installed, its daemon begins anew with it (A13). */
void host_build(struct host *h, unsigned level);
void host_corosync(struct host *h, bool up);
void daemon_start(struct host *h);
void daemon_observe(struct host *h); /* A15: one more second of it */
void daemon_kill(struct host *h);
void host_pause(struct host *h, uint64_t us);
void host_resume(struct host *h);
void daemon_pause(struct host *h, uint64_t us);
void daemon_resume(struct host *h);
/* Around each call into the shell. */
bool daemon_enter(struct host *h);
void daemon_left(struct host *h);
/* One effect is about to happen; false: the daemon is dead, it does not. */
bool daemon_effect(struct host *h);
void host_tick(struct host *h);
uint64_t host_clock_ms(const struct host *h);
/* Puts what a paused host or daemon cannot do aside; false when it can. */
bool host_defers(struct host *h, const struct item *it);

/* sim_net.c */
void net_init(struct host *h);
void net_fini(struct host *h);
int net_send(struct host *h, const void *data, size_t len);
void net_join(struct host *h);
void net_leave(struct host *h); /* its daemon is gone */
void net_gone(struct host *h);  /* its corosync is gone */
void net_changed(void);         /* who reaches whom */
void net_reform(void);
void net_stall_ends(struct host *h);
void net_deliver(struct host *h);
void net_quorum(struct host *h, uint64_t ring);
bool net_reaches(const struct host *a, const struct host *b);

/* sim_disk.c */
void disk_fini(struct disk *d);
void disk_daemon_died(struct host *h); /* what it had not synced is lost */
void disk_wipe(struct host *h);
void disk_tear(struct host *h); /* some of it is lost or damaged, in a way that is noticed (A10) */
struct store_port disk_port(struct host *h);
int disk_load(void *ctx, struct journal_load *out, struct err *err);

/* sim_world.c */
void world_clean(struct host *h, int vm, uint64_t life);
void world_host_died(struct host *h);
void world_lied(struct host *t);           /* its VMs may run twice from now on */
void world_returned(const struct host *h); /* its loss is proven, or over (S3) */
void world_set(int vm, int host, enum q q);
/* `by` is the first to know that the operator's word on `node` holds. */
void world_confirmed(const struct host *by, const char *node);
void world_libvirt(struct host *h, bool up);
void world_fini(void);
/* An operator starts it, for a cluster that does not have it. */
void world_start_by_hand(int vm, int host);
void world_act(struct agent *a); /* its effect happens */
bool world_migrate_begin(struct agent *a);
/* C5: what one of the two locks there is refused to the other. */
bool world_locks_hold(unsigned volume, int a, int b);
bool world_lock_taken(const struct agent *a); /* C5's proof: somebody holds it */
const char *q_name(enum q q);

/* sim_agent.c */
struct runner_port agent_port(struct host *h);
void agent_step(uint64_t uid);
void agents_host_died(struct host *h);
void agents_daemon_died(struct host *h);
/* Another agent is at work on the VM there. */
bool agent_locked(int vm, int host, const struct agent *but);
void agent_say(struct agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void agent_failed(struct agent *a, const char *why);

/* sim_fault.c */
void drive_init(void);
void drive_fault(void);
void drive_heal(uint64_t number);
void drive_storm(uint64_t number, uint64_t left);
void drive_liveness(void);

/* sim_member.c */
void member_draw(void);
void member_init(void);
void member_state(const struct state *st);   /* the newest */
bool member_expected(const struct host *h);  /* it belongs, and is not broken */
unsigned member_votes(const struct host *h); /* that its corosync expects */
struct member_port member_port(struct host *h);
void member_list(struct host *h);
bool member_wish(struct event *e, const struct state *st);
void member_majority_gone(struct host *h);
void member_elected(struct host *h, uint64_t term);
bool member_joined_anew(struct host *h); /* now it has; false: not yet */
void member_begins_anew(struct host *h); /* its journal was set aside, or wiped */
void member_operator(void);
bool member_settled(char *why, size_t size);

/* sim_operator.c */
void drive_operator(void);
/* A command at h that meets the result of an agent that is about vm (-1: none) on its way to the journal. */
void operator_together(struct host *h, int vm);
void drive_answer(uint64_t request, int rc, const struct err *err, uint64_t op);

/* sim_check.c */
void check_init(void);
void check_fini(void);
uint64_t check_term(uint64_t index);                            /* of the committed entry; 0: there is none */
bool check_committed(uint64_t index, const struct hash *chain); /* this very entry was */
/* A16: what was committed behind this entry is lost; the newest state of those who are left. */
void check_cut(uint64_t index, const struct state *newest);
void check_heard(struct host *h);        /* within a call, too */
void check_daemon(struct host *h);       /* after each call into its shell */
void check_leaves(const struct host *h); /* its daemon ends in order */
void check_excuse(struct host *h); /* S2's measuring starts again: what happened is beyond a daemon's power */
void check_qemu(int vm, int host);
void check_started(int vm, int host);
void check_resumed(int vm, int host);
void check_memory(int vm, int host, bool was_paused);
void check_look(void);
/* A14: all who are there hold one state again. */
bool check_same_state(char *why, size_t size);
/* L1, L2. */
bool check_converged(char *why, size_t size);
/* Prints what the coordinators think of it. */
void check_explain(void);

/* sim_place.c */
void place_wish(struct event *e, const struct state *st);
/* Nothing was put where a rule or the memory forbids, by entries after this one. */
void place_check(struct host *h, uint64_t before);
/* No node may take the VM, and those that go with it. */
bool place_excused(const struct state *st, struct vm *vm);

/* sim_range.c */
void print_options(void); /* as the command line takes them */
bool write_all(int fd, const void *data, size_t len);
bool read_all(int fd, void *data, size_t len);

/* sim_shrink.c */
void shrink(uint64_t seed); /* prints the smallest run that it finds which fails in the same way */
bool parse_keep(const char *text);
void print_keep(void);

/* sim_cover.c */
void cover_row(const struct history_row *row); /* one entry, at its first being applied */
void cover_add(struct cover *sum, const struct cover *c);
/* Returns how many that have to be reached were not, or are not known. */
unsigned cover_print(const struct cover *c);

/* sim_effect.c */
void effect_init(void);
void effect_fini(void);
void effect_entry(const struct journal_entry *entry);        /* it is committed */
void effect_cut(uint64_t index, const struct state *newest); /* A16: what stood behind it is lost */
void effect_unseen(void);                                    /* so is one that is not there any more */
void effect_rejected(uint64_t index);                        /* … it will be, and is rejected */
void effect_started(const struct host *h, struct agent *a);
void effect_answered(uint64_t request);  /* as done */
void effect_step(struct host *h);        /* after each call into its shell */
void effect_died(void);                  /* … or when it has died in it */
void effect_state(const struct host *h); /* it has the newest state */
void effect_told(const struct agent *a); /* its daemon has what it said */
void effect_stops(const struct agent *a);
void effect_power_off(const struct agent *a);

/* sim_raft.c */
void raft_init(void);
void raft_fini(void);
void raft_stored(const struct host *h, const struct journal_persist *p); /* its disk has it */
void raft_step(struct host *h);                                          /* after each call into its shell */

#endif
