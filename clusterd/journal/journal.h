/*
 * journal.h - the replicated journal: Raft as a pure step function.
 *
 * The rules are A1-A10 of the agreement document (Ongaro and Ousterhout, "In Search of an Understandable
 * Consensus Algorithm", 2014; Ongaro's thesis for membership and snapshots). The journal does no I/O and has
 * no clock, no globals, no log: everything it may know arrives in an event, everything it wants done leaves
 * as an action. Time is milliseconds of any monotonic clock of this node (CLOCK_BOOTTIME, so that a suspended
 * host knows how long it was away); clocks of different nodes are never compared.
 *
 * How the shell uses it:
 *
 *     j = journal_new(&config);
 *     journal_load(j, &stored);                  what the store holds (nothing at all is fine)
 *     journal_step(j, START, &out); carry out;   then, for ever: an event in, actions out, carried out in
 * order
 *
 * Everything that an action points to belongs to the journal and is valid until the next journal_step() or
 * journal_load(). Never call journal_step() from within the carrying out of an action whose siblings are
 * still to be carried out: queue the answer (for instance JOURNAL_EV_PERSISTED) and step after the last
 * action.
 *
 * Identity: a server in Raft's sense is (node, incarnation). The incarnation is a random number drawn when a
 * node's store is created; a node that loses its store comes back as another server, without a vote (A10).
 * The session is a random number drawn at each start of the daemon.
 */
#ifndef CLUSTERD_JOURNAL_JOURNAL_H
#define CLUSTERD_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"

#define JOURNAL_FORMAT       1           /* version of messages and of stored entries */
#define JOURNAL_NODES_MAX    128         /* members of one cluster (cpg's own limit) */
#define JOURNAL_PAYLOAD_MAX  (60 * 1024) /* bytes in one entry */
#define JOURNAL_MESSAGE_MAX  (64 * 1024) /* bytes in one message, header included */
#define JOURNAL_SNAPSHOT_MAX (256u << 20)
#define JOURNAL_TERM_MAX     (UINT64_C(1) << 62) /* larger numbers in a message are garbage */
/* No cluster elects so often, nor is forced (A16), that a node could miss so many terms: damage. */
#define JOURNAL_TERM_STEP_MAX (UINT64_C(1) << 40)
#define JOURNAL_TEXT_MAX      256
/* A forced quorum's term is so far above all that was heard of (A16). */
#define JOURNAL_FORCE_STEP (UINT64_C(1) << 20)

/* Messages of the journal have a first byte of 0-63; 64-255 belong to the shell, in the same cpg group. */
#define JOURNAL_MESSAGE_TYPES 64

struct journal;

/* ---------------------------------------------------------------------------------------- what is agreed on
 */

struct journal_uuid {
    uint64_t lo, hi; /* random; both zero: none (an empty journal) */
};

enum journal_kind {
    /* The first entry of each term (A2); payload: node id (u32) and session (u64) of its coordinator, then
     * its journal_config.open_data. */
    JOURNAL_OPEN = 1,
    JOURNAL_CONFIG, /* the members from here on (A9); payload: journal_members_encode() */
    JOURNAL_DATA,   /* a fact of the core; the journal does not look inside */
};

/*
 * One entry. chain = hash of the previous entry's chain and of this entry's other fields and payload, so
 * equal (term, index, chain) means equal history (A4, A5). The store keeps every field.
 */
struct journal_entry {
    uint64_t term, index; /* index counts from 1 */
    struct hash chain;
    uint8_t format;         /* JOURNAL_FORMAT of its author */
    uint8_t kind;           /* enum journal_kind */
    uint32_t len;           /* bytes, at most JOURNAL_PAYLOAD_MAX */
    const uint8_t *payload; /* borrowed; NULL when len is 0 */
};

/*
 * A member of the cluster as the journal counts it. votes is 1 for a voter and 0 for a member that is being
 * brought up to date before it may vote (A10). incarnation 0 stands for a member that was expected and has
 * not come yet; it has no vote. kind keeps the place of the disk witness (A12).
 */
enum journal_member_kind { JOURNAL_NODE = 1, JOURNAL_WITNESS };

struct journal_member {
    uint32_t node;        /* corosync's node id, never 0 */
    uint64_t incarnation; /* of its journal; 0: it has not come yet */
    uint8_t votes;        /* 0 or 1 */
    uint8_t kind;         /* enum journal_member_kind */
};

struct journal_members { /* sorted by node id, each once */
    uint64_t forced;     /* A16: the term in which an operator forced the quorum last; 0: never */
    size_t n;
    struct journal_member v[JOURNAL_NODES_MAX];
};

/* A vote that was given away (A3): in this term, to this candidate only. node 0: none was given in the term.
 */
struct journal_promise {
    uint64_t term;
    uint32_t node;
    uint64_t incarnation;
};

/*
 * The acknowledged mark (A10), kept in a *second* file beside the store: this incarnation has promised `term`
 * and acknowledged, in it, the entries up to `index`. A store that holds less at the next start was
 * shortened.
 */
struct journal_mark {
    uint64_t incarnation; /* 0: there is no mark */
    struct journal_uuid cluster;
    uint64_t term, index;
};

/* A snapshot's description. The blob, the core's state after entry `index`, is kept by the store. */
struct journal_snapshot {
    uint64_t index, term; /* index 0: the base of a cluster, no blob */
    struct hash chain;
    struct journal_members members; /* the committed set at `index` (A7) */
    uint64_t size;                  /* of the blob, bytes */
    struct hash digest;             /* of the blob: hash_bytes() from a zero seed */
};

/* ------------------------------------------------------------------------------------------- configuration
 */

struct journal_config {
    uint32_t node;             /* this node's corosync id, not 0 */
    uint64_t session;          /* random, one for each start of the daemon, not 0 */
    uint64_t seed;             /* for the randomised time-outs */
    uint32_t election_ms;      /* E: a coordinator that was not heard for so long is replaced; 0 → 400 */
    uint32_t heartbeat_ms;     /* H: a coordinator appends at least this often; 0 → 100 */
    uint32_t commit_ms;        /* N: a coordinator that cannot commit for so long resigns (A8); 0 → 2000 */
    uint32_t snapshot_entries; /* a snapshot is wanted after so many entries; 0 → 4096 */
    uint64_t snapshot_bytes;   /* … or so many bytes of payload; 0 → 16 MiB */
    uint32_t tail_entries;     /* entries kept before a snapshot, for members that lag a little; 0 → 512 */
    uint32_t
        message_bytes; /* entries are sent in messages of at most so much, but one; 0 → JOURNAL_MESSAGE_MAX */
    /* The configured nodes (corosync's nodelist): they serve the first creation only (A9). */
    uint32_t configured[JOURNAL_NODES_MAX];
    size_t n_configured;
    /* Goes into this node's OPEN entries; the journal does not look inside. Borrowed for the journal's life.
     */
    const void *open_data;
    size_t open_len;
};

/*
 * What the store holds at the start. A store that is new, was set aside or could not be read is all zeros,
 * but for `fresh` and the mark. Entries are contiguous, the first one follows `prev`, and together they reach
 * at least up to the snapshot's index (entries before it are the tail that was kept). journal_load() only
 * reads it; whoever filled it ends it with journal_load_fini().
 */
struct journal_load {
    struct journal_uuid cluster; /* zero: this node belongs to no cluster yet */
    uint64_t incarnation;        /* 0: new store; the journal takes fresh.incarnation */
    struct journal_promise promise;
    uint64_t commit; /* as last stored: a lower bound of the commit mark */
    struct journal_snapshot snapshot;
    struct {
        uint64_t index, term;
        struct hash chain;
    } prev;                        /* what the first entry follows */
    struct journal_entry *entries; /* owned, and so are their payloads (malloc) */
    size_t n_entries;
    struct journal_mark mark; /* of the second file; zeros when there is none */
    uint8_t *blob;            /* owned: the snapshot's, for the core; the journal does not look at it */
    /* A journal of this node was set aside at some time. While this node belongs to no cluster there is
     * something to be taken in by, or to be lost: no cluster is created by itself (A10: "present and empty").
     */
    bool lost;
    struct {
        uint64_t incarnation;        /* random, not 0; used when the store has none */
        struct journal_uuid cluster; /* random, not 0; used when this node creates the cluster */
    } fresh;
};

/* Releases what is owned and empties it. */
void journal_load_fini(struct journal_load *load);

/* NULL when memory runs out or the configuration is nonsense. */
struct journal *journal_new(const struct journal_config *config);
/* NULL is legal. */
void journal_free(struct journal *j);

/*
 * Gives the journal what the store holds: once after journal_new(), and again each time that JOURNAL_RELOAD
 * or JOURNAL_SET_ASIDE was carried out. What the journal had in memory is forgotten. Then step with
 * JOURNAL_EV_START. RC_NO_MEMORY (call it again or stop); RC_REFUSED: a newer version wrote entries of it, so
 * nothing was taken, and nothing may be done to it (A13); or 0: a store that contradicts itself or its mark
 * is no error here, the START that follows answers with JOURNAL_SET_ASIDE.
 */
int journal_load(struct journal *j, const struct journal_load *load);

/* --------------------------------------------------------------------------------------------------- events
 */

enum journal_event_type {
    JOURNAL_EV_START = 1,      /* after journal_load() */
    JOURNAL_EV_TICK,           /* the deadline of the last step has passed (earlier or later does no harm) */
    JOURNAL_EV_VIEW,           /* view: corosync's and cpg's word */
    JOURNAL_EV_MESSAGE,        /* message: one message of the group, one's own included */
    JOURNAL_EV_PERSISTED,      /* persisted: the answer to JOURNAL_PERSIST */
    JOURNAL_EV_PROPOSE,        /* propose: coordinator only */
    JOURNAL_EV_MEMBER_ADD,     /* member: `node add` - coordinator only */
    JOURNAL_EV_MEMBER_REMOVE,  /* member: `node remove` - coordinator only; the caller has checked its claims
                                */
    JOURNAL_EV_SNAPSHOT_TAKEN, /* taken: the store holds a snapshot, durably */
    JOURNAL_EV_SNAPSHOT_DATA,  /* data: the answer to JOURNAL_READ_SNAPSHOT */
    JOURNAL_EV_RESIGN, /* a planned hand-over: give the role up; another one is elected (A3, no exception) */
    JOURNAL_EV_CREATE, /* `cluster create`: first creation although configured nodes are absent */
    JOURNAL_EV_FORCE,  /* force: `quorum force`, on a survivor (A16) */
};

enum journal_persisted {
    JOURNAL_PERSIST_OK,     /* all of it is durable */
    JOURNAL_PERSIST_FAILED, /* refused (disk full, I/O error, …): none of it is stored, or one cannot know
                               (A4) */
    JOURNAL_FSYNC_FAILED, /* the kernel may show as clean what never reached the disk: the store is void (A4)
                           */
};

struct journal_event {
    enum journal_event_type type;
    uint64_t now_ms; /* set it in every event; a step back is taken as standing still */
    union {
        struct {
            const uint32_t *nodes; /* node ids in the cpg group (one daemon each), any order */
            size_t n;
            /* libquorum V1's word for this very ring; false while it has not spoken. It may stop us, never
             * allow us (A2): while it is false nothing is proposed and nobody stands, but a coordinator
             * stays. */
            bool quorate;
            uint64_t counter; /* of views, by the caller; display only */
        } view;
        struct {
            uint32_t from; /* cpg's word for the sender; a message that names another is dropped */
            const uint8_t *data;
            size_t len;
        } message;
        struct {
            uint64_t seq;
            enum journal_persisted result;
        } persisted;
        struct {
            const void *payload;
            size_t len; /* at most JOURNAL_PAYLOAD_MAX */
        } propose;
        struct {
            uint32_t node;
        } member;
        struct {
            const uint32_t *given; /* voters that are given up; none of them is in the view */
            size_t n;
            const void *payload; /* of the DATA entry that says so; may be empty */
            size_t len;
        } force;
        struct {
            uint64_t index; /* at most the commit mark */
            uint64_t size;
            struct hash digest;
        } taken;
        struct {
            uint64_t index, offset; /* as asked for; data NULL: it is not there any more */
            const uint8_t *data;
            size_t len;
        } data;
    };
};

/* -------------------------------------------------------------------------------------------------- actions
 */

enum journal_action_type {
    JOURNAL_SEND = 1,    /* send: multicast these bytes to the group, in order */
    JOURNAL_PERSIST,     /* persist: store, in one transaction; answer with JOURNAL_EV_PERSISTED */
    JOURNAL_COMMIT,      /* commit: entries up to this index are committed; apply them (journal_entry_at) */
    JOURNAL_COORDINATOR, /* role: this node won the term; nothing may be decided yet */
    JOURNAL_OPENED,      /* role: the term is open (A2), here at the coordinator or at a member */
    JOURNAL_RESIGNED,    /* role, text: this node is no longer the coordinator */
    JOURNAL_FOLLOWING,   /* role: this node follows role.node in role.term */
    JOURNAL_SEARCHING,   /* role, text: there is no coordinator (this node stopped following one, and why) */
    JOURNAL_CREATED,     /* role: this node now belongs to a cluster (first creation or entry) */
    JOURNAL_TAKE_SNAPSHOT, /* commit: a snapshot at (or after) this index would be welcome: EV_SNAPSHOT_TAKEN
                            */
    JOURNAL_READ_SNAPSHOT, /* read: a piece of the newest snapshot, answered with EV_SNAPSHOT_DATA */
    JOURNAL_RELOAD,    /* reload, text: close the store; after delay_ms open, read, journal_load(), START */
    JOURNAL_SET_ASIDE, /* text: move the store and the mark aside, journal_load() of nothing, START (A10) */
    JOURNAL_ALARM,     /* text: an operator must look. journal_status.stopped tells whether we went on */
};

/*
 * Everything in one transaction, durable when PERSIST_OK is answered; then the mark into its own file,
 * fsynced, before the answer as well, but after the transaction (a crash in between leaves a store that is
 * ahead of its mark, which is harmless). One PERSIST is under way at a time; the caller may carry it out at
 * once or later, in a thread. Order within the transaction: install, promise, truncate, entries, commit,
 * trim.
 */
struct journal_persist {
    uint64_t seq;
    uint64_t incarnation;           /* always: what the store's identity is */
    struct journal_uuid cluster;    /* always; zero while it belongs to none */
    struct journal_promise promise; /* always; often unchanged */
    const struct journal_snapshot
        *install;             /* else NULL: forget all entries and the old snapshot, store this one */
    const uint8_t *blob;      /* with install: its bytes (install->size); the core loads them */
    uint64_t truncate_from;   /* else 0: delete the entries from this index on */
    uint64_t first, last;     /* append these (journal_entry_at); first 0: none. No gaps (A4) */
    uint64_t commit;          /* always: the commit mark as known; never costs a write of its own */
    uint64_t trim_to;         /* entries up to this one are no longer needed; 0: none */
    struct journal_mark mark; /* always: for the second file */
};

struct journal_action {
    enum journal_action_type type;
    union {
        struct {
            const uint8_t *data;
            size_t len; /* at most JOURNAL_MESSAGE_MAX */
        } send;
        struct journal_persist persist;
        struct {
            uint64_t index;
        } commit;
        struct {
            uint32_t node; /* the coordinator */
            uint64_t term;
        } role;
        struct {
            uint64_t index, offset;
            size_t len;
        } read;
        struct {
            uint32_t delay_ms;
        } reload;
    };
    char text[JOURNAL_TEXT_MAX]; /* why; empty where the type says nothing of it */
};

struct journal_actions {
    const struct journal_action *v;
    size_t n;
    uint64_t deadline_ms; /* the next TICK is wanted then; UINT64_MAX: none */
    uint64_t term, index; /* of a proposal that was taken: where it stands if it commits */
};

/*
 * One event in, the actions out. 0, or negative:
 * - RC_NO_MEMORY: the journal's memory cannot be trusted to be complete any more: fail-stop (end the daemon).
 * - RC_USAGE: an event that makes no sense here (START without a load, PERSISTED for another seq, too long a
 *   payload, a snapshot of what is not committed). Nothing happened.
 * - RC_REFUSED: PROPOSE, MEMBER_*, RESIGN: this node is not the coordinator; MEMBER_*: those who are there
 * now could not commit it, or not go on afterwards; CREATE: there is a cluster.
 *   FORCE: there is a coordinator, this node has no vote, a survivor has a better log, one that is given up
 * is here, or there is nothing to be forced; RC_BUSY: a survivor has not been heard.
 * - RC_NO_QUORUM: PROPOSE, MEMBER_*: the term is not open (yet); CREATE: corosync has no quorum.
 * - RC_BUSY: PROPOSE: too much is under way; MEMBER_*: another change is not committed yet; CREATE: a node in
 * the view has not said yet what it has. Try again a little later.
 * - RC_NOT_FOUND: MEMBER_REMOVE: no such member. (MEMBER_ADD of a member is 0, and nothing happens.)
 * Except for RC_NO_MEMORY the actions are to be carried out in any case: the timers run before each event.
 */
int journal_step(struct journal *j, const struct journal_event *event, struct journal_actions *out);

/* -------------------------------------------------------------------------------------------------- looking
 */

/* The entry, NULL when it is not (or no longer) in memory. Borrowed until the next step. */
const struct journal_entry *journal_entry_at(const struct journal *j, uint64_t index);
/* True while this node knows the coordinator of an open term (A2), is in a quorate view, and heard it within
 * E. */
bool journal_is_open(const struct journal *j);
bool journal_is_coordinator(const struct journal *j);
/* When the coordinator was last heard, this node's clock (at the coordinator: the send time of the newest
 * append that a majority of votes has answered). 0: never. C2 and W1 build on it. */
uint64_t journal_heard_ms(const struct journal *j);
/* The newest commit mark that this node has heard of (as coordinator: has reached), though its entries may
 * not be here yet; it never falls within a term. Nothing is launched before all of it is applied (C2). */
uint64_t journal_heard_commit(const struct journal *j);
/*
 * Describes a snapshot at `index`: all but size and digest, which the caller adds before it stores
 * description and blob together, durably, and steps with EV_SNAPSHOT_TAKEN. False when there is nothing to
 * take: the index is not committed, or not beyond the snapshot that there is; then nothing may be stored. No
 * other step may come in between.
 */
bool journal_snapshot_describe(const struct journal *j, uint64_t index, struct journal_snapshot *snapshot);
/* The effective members: the last CONFIG in the log, committed or not (A9). Borrowed. */
const struct journal_members *journal_members(const struct journal *j);

/* They are committed: no change is under way. */
bool journal_members_settled(const struct journal *j);

/* The payload of a CONFIG entry, parsed; false for garbage. The core may want to look at it. */
bool journal_members_decode(struct journal_members *m, const void *data, size_t len);

enum journal_role {
    JOURNAL_WAITING,   /* for journal_load() and START, or for its first PERSIST */
    JOURNAL_EMPTY,     /* belongs to no cluster: first creation, or waits to be taken in */
    JOURNAL_SEARCH,    /* no coordinator known */
    JOURNAL_CANDIDATE, /* stands for election */
    JOURNAL_FOLLOWER,
    JOURNAL_LEADER,  /* the term's coordinator */
    JOURNAL_STOPPED, /* an alarm that only an operator can end (A7) */
};

struct journal_peer_status {
    struct journal_member member;
    bool present;   /* in the view */
    bool counted;   /* its daemon was heard within E under the incarnation that has the vote */
    uint64_t match; /* coordinator only: acknowledged up to here */
    bool lagging;   /* coordinator only: being fed entries or a snapshot */
    bool ahead;     /* its log is better than ours (A16: force there) */
};

struct journal_status {
    enum journal_role role;
    uint32_t node, coordinator; /* coordinator 0: unknown */
    struct journal_uuid cluster;
    uint64_t incarnation;
    uint64_t term, commit, last, snapshot; /* indices, but for the term */
    bool open, quorate, member, voter;
    unsigned votes, quorum, present_votes; /* all votes, those needed, those of members in the view */
    size_t n_peers;
    /* The members; of an empty journal the configured nodes, which have no vote yet. */
    struct journal_peer_status peers[JOURNAL_NODES_MAX];
    uint64_t dropped_garbage, dropped_foreign, dropped_old,
        dropped_newer; /* messages: unreadable, of another cluster, old term, newer format */
    bool missing; /* voters are missing for a majority: those of peers that have votes and do not count */
    unsigned counted_votes;
    /* Why there is no open term ("2 of 3 votes needed, have 1: nodes 2, 3 missing"), else empty. */
    char why[JOURNAL_TEXT_MAX];
    /* The alarm that stopped us, else empty. */
    char stopped[JOURNAL_TEXT_MAX];
};

void journal_status(const struct journal *j, struct journal_status *status);
const char *journal_role_name(enum journal_role role);

/* True when the bytes are a message of the journal's range (not a promise that they parse). */
bool journal_message_peek(const void *data, size_t len);

#endif
