/*
 * jsim.h - the journal alone in a world of faults: N journals, each with a disk, a clock and a small state
 * machine, on a network that behaves as corosync's cpg does. One seed draws everything.
 *
 * A run has a safety phase, in which everything fails that may fail, and a liveness phase: all is healed, and
 * within a bound there must be an open term, and everything that was committed on all nodes. Time is virtual.
 */
#ifndef TESTS_SIM_JSIM_H
#define TESTS_SIM_JSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "journal/journal.h"

#define NODES_MAX 9
#define SAFETY_MS 20000
#define QUIET_MS  5000 /* after the healing */

/* The replicated state machine: a hash over what was applied, and how much that was. */
struct core {
    uint64_t applied;
    struct hash state;
};

/* One write, as long as it is under way. Everything is copied when it is asked for. */
struct write {
    bool busy;
    uint64_t due;
    enum journal_persisted result;
    struct journal_persist p;
    struct journal_snapshot install;
    uint8_t *blob;
    struct journal_entry *entries;
    size_t n_entries;
};

struct disk {
    struct journal_load now; /* the store and, in now.mark, the second file */
    struct journal_load old; /* an earlier state of the store, for the fault `shortened` */
    bool has_old;
    uint64_t full_until, slow_until, hung_until; /* it refuses; takes its time; does not answer */
};

struct node {
    uint32_t id;
    bool up;                  /* its daemon runs */
    bool host_down;           /* its corosync does not */
    bool paused, host_paused; /* the daemon alone, or with its host */
    struct journal *j;
    uint64_t session;
    struct disk disk;
    struct write write;
    struct core core;
    uint64_t clock_base, clock_ppm; /* its clock: base + time × ppm / 1,000,000 */
    uint64_t tick_at, restart_at, resume_at, last_delivery;
    uint64_t fragile_until;             /* it may die between any two effects */
    unsigned component;                 /* of the partition */
    uint64_t view_counter, view_number; /* view_number: the newest announcement whose quorum it knows */
    /* What the checks remember. */
    uint64_t lead_term, lead_last, lead_commit, commit;
    struct hash lead_chain;
    uint64_t lead_since; /* by its own clock */
    struct {
        uint64_t term, stamp;
    } answered[NODES_MAX + 1]; /* the newest question of each coordinator that it has answered, by node id */
    bool waiting;
    uint64_t waiting_commit, waiting_since; /* A8: what it waits to commit, since when by its own clock */
    struct journal_mark
        owed;            /* what it has promised and acknowledged, by what it has sent and committed (A10) */
    bool aside_expected; /* its store was damaged: that must end in SET_ASIDE */
    bool fsync_pending;  /* so must its present write */
    /* A16 */
    bool gone;        /* its host is off for good, or until it returns when all thought so */
    bool given_up;    /* the operator has named it: it was off then */
    bool left_behind; /* its journal is of the time before the force: it shall be set aside */
    uint64_t given_incarnation;
};

enum item_type {
    ITEM_DELIVER,
    ITEM_TICK,
    ITEM_WRITTEN,
    ITEM_VIEW,
    ITEM_CLIENT,
    ITEM_FAULT,
    ITEM_RESTART,
    ITEM_RESUME,
    ITEM_RELOAD,
    ITEM_DATA,
    ITEM_SNAPSHOT,
    ITEM_DISASTER,
    ITEM_OPERATOR,
    ITEM_CREATE,
    ITEM_BLACKOUT,
    ITEM_SIDES,
    ITEM_REUNITE,
    ITEM_RETURN
};

struct message {
    unsigned refs;
    uint32_t from;
    size_t len;
    uint8_t data[];
};

struct item {
    uint64_t at, order;
    enum item_type type;
    unsigned node;    /* its place in sim.nodes */
    uint64_t session; /* of the daemon that it is for */
    union {
        struct message *message;
        struct {
            uint64_t number;
            bool quorum_known;
        } view;
        struct {
            uint64_t index, offset;
            size_t len;
        } data;
    };
};

/* How often what happened: printed, so that one sees what a run of seeds has covered. */
#define STATS(X)                                                                                             \
    X(events)                                                                                                \
    X(elections)                                                                                             \
    X(committed)                                                                                             \
    X(messages)                                                                                              \
    X(lost)                                                                                                  \
    X(crashes)                                                                                               \
    X(pauses)                                                                                                \
    X(partitions)                                                                                            \
    X(blackouts)                                                                                             \
    X(amnesia)                                                                                               \
    X(shortened)                                                                                             \
    X(write_failed)                                                                                          \
    X(fsync_failed)                                                                                          \
    X(hung)                                                                                                  \
    X(cut_short)                                                                                             \
    X(installs)                                                                                              \
    X(snapshots)                                                                                             \
    X(set_aside)                                                                                             \
    X(reloads)                                                                                               \
    X(resigned)                                                                                              \
    X(member_changes)                                                                                        \
    X(create_tries)                                                                                          \
    X(cuts)                                                                                                  \
    X(disasters)                                                                                             \
    X(force_tries)                                                                                           \
    X(forced) X(given_up) X(returned) X(returned_whole) X(word_broken) X(lost_committed) X(old_rulers)

struct stats {
#define X(name) uint64_t name;
    STATS(X)
#undef X
};

struct truth {        /* what was committed, by index */
    uint64_t by_term; /* of the coordinator that committed it */
    uint64_t term;
    struct hash chain, state;
    struct hash members; /* digest of the last CONFIG up to here */
};

struct history {
    struct truth *v;
    uint64_t n, cap;
};

struct sim {
    uint64_t seed, rng, now, order;
    bool trace, failed, healed;
    char failure[512];
    unsigned n;
    struct node nodes[NODES_MAX];
    struct item *heap;
    size_t n_heap, cap_heap;
    struct stats stats;
    uint64_t proposals, announcements;
    /* The seed's character. */
    unsigned fault_every_ms, client_every_ms, loss_permille, write_ms_max, big_permille, member_permille,
        fragile_permille, away_ms;
    uint32_t message_bytes;
    /* The checks. */
    struct history truth, lost; /* lost: what it was when the quorum was forced (A16) */
    uint64_t line;              /* term of the force; 0: none that is committed */
    unsigned returns_due;       /* so many of those given up are to come back */
    bool word_broken;           /* those given up come back together, a majority by their own word */
    bool sides_taken;           /* … and are cut off from the survivors */
    bool just_forced;           /* in this step */
    bool returns_planned;
    bool force_begun; /* an operator has given those up who are gone: they stay so */
    struct hash base_members;
    struct seen *seen; /* owned by jsim_raft.c */
};

extern struct sim sim;

/* jsim.c */
bool run_seed(uint64_t seed); /* true when nothing is wrong */
void run_end(void);
uint64_t draw(uint64_t below); /* 0 when below is 0 */
bool chance(unsigned permille);
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The run has failed; the first word counts. */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The array `v` of *n things, larger when it has no place for number `needed`; what is new is zeroed. */
void *grown(void *v, uint64_t *n, uint64_t needed, size_t size);
void push(struct item item);
void push_node(struct node *n, enum item_type type, uint64_t delay);
void reorder(void); /* items in the queue have other times, or are not there any more */

/* jsim_net.c */
/* To all daemons of the sender's ring. */
void net_multicast(struct node *from, const uint8_t *data, size_t len);
void net_announce_views(uint64_t delay);
void net_reform(uint64_t delay);
void net_deliver_view(struct node *n, bool quorum_known);
void message_put(struct message *m);

/* jsim_node.c */
uint64_t node_now(const struct node *n);
void node_boot(struct node *n);
void node_crash(struct node *n, bool host);
void node_lose_disk(struct node *n, const char *how);
void node_resume(struct node *n);
struct node *node_coordinator(void); /* one of those who think that they are it, or NULL */
void node_step(struct node *n, struct journal_event *ev);
void node_item(struct node *n, struct item *item); /* one that is for its daemon */

/* jsim_disk.c */
void disk_fini(struct disk *d);
void disk_wipe(struct disk *d, bool mark_too);
void disk_remember(struct disk *d); /* keeps a copy for disk_shorten() */
bool disk_shorten(struct disk *d,
                  const struct journal_mark *owed); /* the store, not the mark, falls back to the copy */
void disk_snapshot(struct disk *d, const struct journal_snapshot *s, const uint8_t *blob);
void write_begin(struct node *n, const struct journal_persist *p);
void write_apply(struct node *n, bool with_mark);
void write_fini(struct write *w);
uint64_t disk_last(const struct disk *d);
const struct journal_entry *disk_entry(const struct disk *d, uint64_t index);

/* jsim_client.c */
void client_asks(void);
void operator_creates(void);

/* jsim_fault.c */
void fault_any(void);
void fault_crash(struct node *n);
void fault_blackout(void);
void fault_heal(void);

/* jsim_force.c */
void force_disaster(void);
void force_give_up(const struct node *n, const struct journal_event *ev); /* n has taken the command */
void force_come_back(struct node *n);
void operator_tries(void);
bool force_is_heard(const struct node *n); /* by those given up */
void force_break_the_word(void);
void force_take_sides(void);
void force_reunite(void);
/* Those given up and the survivors must not hear each other yet. */
bool force_apart(void);

/* jsim_check.c */
/* After each step, with what it asked for. */
void check_step(struct node *n, const struct journal_actions *out);
/* Last, after the actions were carried out. */
void check_after(struct node *n);
void check_view(struct node *n, const struct journal_event *ev); /* after it was told of one */
/* Would the cluster still be able to go on if this node lost its disk? */
bool check_may_lose(const struct node *n);
/* After healing: is all as it should be? */
bool check_converged(char *why, size_t size);

/* jsim_raft.c */
void check_begin(void);
void check_end(void);
void check_entries(const struct node *n, uint64_t first, uint64_t last); /* it stores them */
void check_elected(struct node *n, uint64_t term);
void check_commits(struct node *n, uint64_t index);
void check_apply(struct node *n, uint64_t index); /* the core applies up to it */
/* The description of a snapshot that is about to be stored. */
void check_snapshot(const struct node *n, const struct journal_snapshot *s);
void check_install(struct node *n);
void check_written(struct node *n); /* a write is on the disk */
/* Its log has that very entry, or had it before it was trimmed. */
bool raft_holds(const struct node *n, uint64_t index, struct hash chain);
/* The place for whom that journal has voted for; node 0: nobody yet. */
struct journal_promise *raft_vote(uint64_t incarnation, uint64_t term);
struct hash members_digest(const struct journal_members *m);

/* jsim_message.c */
void check_send(struct node *n, const uint8_t *data, size_t len);
void check_heard(struct node *n, const struct journal_event *ev); /* after a message */
/* Its store has to hold that much from now on (A10). */
void check_owe(struct node *n, uint64_t incarnation, uint64_t term, uint64_t index);

/* jsim_line.c */
const struct history *line_history(const struct node *n);
bool line_pending(const struct node *n);
bool line_survivor_knows(const struct node *leader, uint64_t index);
void line_take_up(struct node *n);
void line_cut(const struct node *leader);
void check_given_up(const struct node *n);
/* If `back` came back with what it has: could those who know nothing of the force elect one of them (A16)? */
bool check_old_majority(const struct node *back);
/* All who go on have the set that was forced on their disks; known: and that it is committed. */
bool check_line_everywhere(bool known);

#endif
