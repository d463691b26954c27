/*
 * internal.h - what the files of the journal share. Nobody else includes it.
 *
 * Who owns what: journal.c the step and the actions; load.c and store.c what was and what is (to be) on the
 * disk; log.c the entries; voters.c the members; election.c views, HELLO, STAND and VOTE; replication.c
 * APPEND and ACK; snapshot.c first creation and snapshots; message.c the bytes; status.c the looking.
 */
#ifndef CLUSTERD_JOURNAL_INTERNAL_H
#define CLUSTERD_JOURNAL_INTERNAL_H

#include "common/buf.h"
#include "common/mutant.h"
#include "common/rc.h"
#include "journal/journal.h"

/* ---------------------------------------------------------------------------------------------- log.c */

struct jlog {
    struct journal_entry *v; /* owned, payloads too; those in use are v[head] .. v[head + n - 1] */
    size_t head, n, cap;
    uint64_t prev_index, prev_term; /* what the first one follows */
    struct hash prev_chain;
};

void jlog_fini(struct jlog *l);
/* Empties the log; the next entry follows the given one. */
void jlog_reset(struct jlog *l, uint64_t index, uint64_t term, struct hash chain);
uint64_t jlog_last(const struct jlog *l);
uint64_t jlog_last_term(const struct jlog *l);
struct hash jlog_last_chain(const struct jlog *l);
/* NULL when it is not there. */
const struct journal_entry *jlog_at(const struct jlog *l, uint64_t index);
/* Term and chain of an entry or of `prev`; false when the index is outside. */
bool jlog_describe(const struct jlog *l, uint64_t index, uint64_t *term, struct hash *chain);
/* Copies e, payload included, to the end. Its index, and its chain, must fit. False: no memory. */
bool jlog_append(struct jlog *l, const struct journal_entry *e);
/* Drops the entries from `from` on. */
void jlog_cut(struct jlog *l, uint64_t from);
/* Drops the entries up to `to`, which must be there. */
void jlog_trim(struct jlog *l, uint64_t to);
/* Bytes of payload in the entries after + 1 … upto, as far as they are there. */
uint64_t jlog_bytes(const struct jlog *l, uint64_t after, uint64_t upto);
/* The chain of an entry that follows `previous`. */
struct hash jlog_chain(struct hash previous, const struct journal_entry *e);

/* ------------------------------------------------------------------------------------------ message.c */

enum jmsg_type {
    JMSG_HELLO = 1,
    JMSG_STAND,
    JMSG_VOTE,
    JMSG_APPEND,
    JMSG_ACK,
    JMSG_BOOTSTRAP,
    JMSG_SNAPSHOT,
    JMSG_SNAPSHOT_ACK,
    JMSG_RECALL,
};

/* Flags: knows no coordinator; would stand; its journal was set aside once, so nothing is created without a
 * word. */
enum { HELLO_SEARCHING = 1, HELLO_WILLING = 2, HELLO_LOST = 4 };

struct jmsg {
    enum jmsg_type type;
    bool newer; /* A13: a newer version wrote it, or an entry in it; it cannot be read here */
    struct journal_uuid cluster;
    uint32_t from, to;                   /* to 0: everybody */
    uint64_t incarnation, session, term; /* the sender's */
    uint64_t line;                       /* A16: the highest forced term that it knows to be committed */
    uint64_t held_term, held_index;      /* A10: what its store held when its session began */
    union {
        struct {
            uint64_t last_term, last_index;
            uint64_t configured; /* hash of the configured nodes */
            uint8_t flags;
        } hello;
        struct {
            uint64_t last_term, last_index;
        } stand;
        struct {
            uint64_t incarnation; /* of the candidate (`to`) */
            bool granted;
        } vote;
        struct {
            uint64_t prev_index, prev_term;
            struct hash prev_chain, last_chain; /* last_chain: of the last entry, prev's when there is none */
            uint64_t commit,
                stamp; /* stamp: the sender's clock, comes back in the answer; 0: none is wanted */
            unsigned n;
            struct rd entries; /* n entries, checked to be well-formed */
        } append;
        struct {
            uint64_t stamp;
            bool ok;
            uint64_t index; /* ok: durable and equal to the coordinator's up to here */
            uint64_t last, commit;
            struct hash last_chain,
                commit_chain; /* where the sender stands; not ok: to find the match (A5) */
        } ack;
        struct journal_members bootstrap;
        struct {
            uint64_t incarnation; /* of the addressee */
            struct journal_snapshot meta;
            uint64_t offset;
            const uint8_t *data;
            size_t len;
        } snapshot;
        struct {
            uint64_t index, offset; /* has so many bytes of the snapshot at index */
        } snapshot_ack;
        struct {
            uint64_t incarnation; /* of the addressee */
            uint64_t session;     /* of the message that is answered */
            uint64_t term, index; /* it acknowledged this in another session */
            bool gone;            /* its place was given to another incarnation, committed */
        } recall;
    };
};

/* Parses a message; false for anything that is not exactly one of ours. m borrows from data. */
bool jmsg_parse(struct jmsg *m, const void *data, size_t len);
/* The next entry of an APPEND: all but index and chain. The payload is borrowed. */
void jmsg_entry(struct rd *r, struct journal_entry *e);
/* Bytes that an entry takes in an APPEND; and those of an APPEND without entries. */
size_t jmsg_entry_size(const struct journal_entry *e);
#define JMSG_APPEND_SIZE 140
/* Writes a message but for the entries and data of APPEND and SNAPSHOT, which the caller adds (and, for
 * APPEND, their number is m->append.n). */
void jmsg_write(struct buf *b, const struct jmsg *m);
void jmsg_write_entry(struct buf *b, const struct journal_entry *e);

/* -------------------------------------------------------------------------------------------- journal */

/* Another node, as far as we have heard of it. All of this is hints: no safety rests on it. */
struct jpeer {
    uint32_t node;
    bool present; /* in the view */
    uint64_t session, incarnation;
    uint64_t hello_ms; /* when its last HELLO came; 0: none in this view */
    bool empty, searching, willing, lost;
    uint64_t last_term, last_index, configured;
    struct journal_mark acked; /* the most that it was heard to promise and acknowledge (A10), … */
    uint64_t acked_session;    /* … and in which session */
    uint64_t speaks, spoke;    /* the session of its last message, and the one before that */
    bool first;                /* that was the first message of its session, … */
    struct journal_mark once;  /* … and acknowledged this, not counted yet; incarnation 0: nothing */
    uint64_t recall_ms;        /* do not RECALL it again before */
    bool alarmed;              /* its committed history differs from ours: said once */
};

enum jfeed { FEED_LIVE, FEED_LOG, FEED_SNAPSHOT }; /* by multicast alone; by directed entries; by chunks */

/* A member as its coordinator or candidate counts it, for one term. */
struct jprogress {
    uint32_t node;
    uint64_t incarnation;
    bool granted;      /* candidate: it gave us its vote */
    uint64_t match;    /* durable there, equal to ours */
    uint64_t stamp_ms; /* send time of the newest append that it answered */
    enum jfeed feed;
    uint64_t next;     /* FEED_LOG: the first index to be sent */
    uint64_t fed_ms;   /* the last time that something was sent or moved */
    uint64_t snapshot; /* FEED_SNAPSHOT: its index */
    uint64_t offset;   /* … and how much the member has of it */
    bool reading;      /* … and a piece of it was asked of the store */
};

struct jstore {
    uint64_t seq;
    bool busy;                       /* a PERSIST is under way */
    bool identity;                   /* incarnation or cluster are to be stored */
    uint64_t stored, durable;        /* log prefixes: handed over; on the disk */
    uint64_t truncate_from, trim_to; /* 0: none */
    bool install;                    /* the snapshot in j->snapshot is to be stored, with j->blob */
    struct journal_promise promise;  /* on the disk */
    struct journal_mark mark;        /* on the disk */
    unsigned failures;               /* in a row */
    struct {
        uint64_t last; /* the log prefix that will be durable */
        struct journal_promise promise;
        struct journal_mark mark;
        bool install;
    } flying;
};

/*
 * What one message may say by mistake, and would then last: a well-formed one whose bytes were damaged on its
 * way. It counts once it was said twice; each of these is said again and again by who means it. A line is a
 * kind of its own (jforce_hear).
 */
enum jdoubt {
    JDOUBT_COORDINATOR, /* a second coordinator of the term */
    JDOUBT_HISTORY,     /* what no chain proves contradicts what is committed here */
    JDOUBT_BASE,        /* an empty node's first members */
    JDOUBT_RECALL,      /* this node's journal is to be set aside */
    JDOUBTS,
};

struct journal {
    struct journal_config config;
    uint64_t configured_hash, rng, now_ms;
    enum journal_role role;
    bool oom;
    bool loaded, starting;            /* journal_load was called; START waits for the identity to be stored */
    char bad_store[JOURNAL_TEXT_MAX]; /* found by journal_load: START answers with SET_ASIDE */
    char stopped[JOURNAL_TEXT_MAX];

    /* What is agreed on, as intended; store says what of it is on the disk. */
    struct journal_uuid cluster, fresh_cluster;
    uint64_t incarnation;
    struct journal_promise promise;
    struct jlog log;
    struct journal_snapshot snapshot;
    uint64_t commit, commit_heard; /* ours; the coordinator's as far as our log is known to equal its (A6) */
    struct {
        uint64_t term, last;
    } held; /* by the store when it was read: what was heard since proves nothing (A10) */
    struct journal_members members; /* effective: of the last CONFIG in the log, else the snapshot's (A9) */
    uint64_t members_index;         /* of that entry */
    struct jstore store;

    /* A16. line: of the committed set; above: the highest that was heard of (both 0: never forced). */
    uint64_t line, above, line_ms;
    uint64_t claimed,
        claimed_ms; /* a line above these that was heard of once (enum jdoubt says why); 0: none */
    struct {
        bool under_way; /* this node stands for it */
        struct journal_members members;
        struct buf payload; /* owned */
        uint64_t last;      /* coordinator: of the force's own entries; less is not counted (0: not forced) */
    } force;

    /* The view (A1), and who was heard. */
    uint32_t view[JOURNAL_NODES_MAX];
    size_t n_view;
    bool quorate;
    struct jpeer *peers; /* owned */
    size_t n_peers, cap_peers;

    /* Follower. */
    uint32_t coordinator; /* 0: unknown */
    uint64_t coordinator_session;
    uint64_t heard_ms, mark_heard; /* mark_heard: its commit mark, whatever we have of it */
    uint64_t matched; /* our log equals the coordinator's up to here, as its messages of this term proved */
    bool ack_due;     /* a message is to be answered, whatever is durable */
    uint64_t ack_stamp, answered; /* answered: acknowledged up to here */
    bool opened;                  /* OPENED was said for this term */
    struct {                      /* a snapshot that is being received */
        struct journal_uuid cluster;
        struct journal_snapshot meta; /* as the first piece said; index and size 0: none */
        unsigned pieces;              /* that said the same */
        struct buf data;
    } incoming;
    struct buf blob; /* being installed */

    /* Without a coordinator. */
    uint64_t hello_ms, fallback_ms; /* when the next HELLO is due; when the second best may stand */
    uint64_t hold_ms;               /* do not stand before (after a resignation, a failed write) */
    bool vote_due, stand_due, bootstrap_due;
    bool lost;    /* a journal of this node was set aside once */
    bool yielded; /* it gave its vote to another, who may win now */
    uint64_t vote_incarnation;
    uint64_t candidate_ms; /* give up then */

    /* Coordinator (and candidate: progress[].granted). */
    struct jprogress *progress; /* owned, JOURNAL_NODES_MAX */
    size_t n_progress;
    uint64_t sent;         /* multicast up to here */
    uint64_t announced;    /* the commit mark that was multicast last */
    uint64_t lead_ms;      /* since when */
    uint64_t heartbeat_ms; /* the next one is due */
    uint64_t commit_ms;    /* since when the oldest uncommitted entry waits */
    uint64_t open_index;   /* of this term's OPEN */
    bool members_due;      /* look whether the members need a change */
    bool foreign_alarmed;
    uint64_t snapshot_asked, bytes_since; /* TAKE_SNAPSHOT was said at; payload bytes since the snapshot */
    uint64_t waiting_bytes;               /* payload of what the coordinator has not committed yet */

    struct {
        uint64_t ms, value; /* ms 0: not said yet */
        uint32_t from;
    } doubt[JDOUBTS];

    uint64_t dropped_garbage, dropped_foreign, dropped_old, dropped_newer;
    uint32_t newer; /* node that speaks a newer format than this build knows (A13); 0: none was heard */

    struct journal_entry *scratch; /* owned: the entries of one APPEND */
    size_t cap_scratch;
    struct journal_action *actions; /* owned */
    size_t n_actions, cap_actions;
    struct buf sends; /* the bytes of all SENDs; the actions hold offsets until the step ends */
    uint64_t proposal_term, proposal_index;
};

/* journal.c */
struct journal_action *journal_act(struct journal *j, enum journal_action_type type);
void journal_say(struct journal *j, enum journal_action_type type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A7, or another proof that something lied: alarm, and never act again. */
void journal_stop(struct journal *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Starts a message of ours: to 0 is everybody. */
void journal_message_init(const struct journal *j, struct jmsg *m, enum jmsg_type type, uint32_t to);
/* jmsg_write into a SEND. For APPEND and SNAPSHOT the caller goes on writing to the returned buffer. */
struct buf *journal_send(struct journal *j, const struct jmsg *m);
/* A random number of milliseconds in [low, high). */
uint64_t journal_random_ms(struct journal *j, uint64_t low, uint64_t high);
struct jpeer *journal_peer(struct journal *j, uint32_t node); /* made when new; NULL: no memory */
const struct jpeer *journal_peer_find(const struct journal *j, uint32_t node); /* NULL: unknown */
bool journal_in_view(const struct journal *j, uint32_t node);
bool journal_is_empty(const struct journal *j);
bool journal_uuid_none(struct journal_uuid u);
/* It takes part: not waiting for its store, not stopped. */
bool journal_active(const struct journal *j);
bool journal_uuid_eq(struct journal_uuid a, struct journal_uuid b);
/* It was said before, a short while ago, with this value by `from`. */
bool journal_said_twice(struct journal *j, enum jdoubt what, uint32_t from, uint64_t value);
/* So long what was said once is remembered. */
uint64_t journal_doubt_ms(const struct journal *j);

/* store.c */
/* Emits a PERSIST if there is something to store and none is under way. */
void jstore_flush(struct journal *j);
int jstore_persisted(struct journal *j, uint64_t seq, enum journal_persisted result);
/* Something is to be deleted from the store's log. */
void jstore_cut(struct journal *j, uint64_t from);
/* j->snapshot and j->blob replace everything. */
void jstore_install(struct journal *j);
/* The promise of this term, and all that was changed before it, are on the disk, and in the mark. */
bool jstore_promised(const struct journal *j);
/* What the second file allows to acknowledge in this term (A10). */
uint64_t jstore_marked(const struct journal *j);

/* voters.c */
const struct journal_member *jvoters_find(const struct journal_members *m, uint32_t node);
unsigned jvoters_votes(const struct journal_members *m);
unsigned jvoters_majority(const struct journal_members *m);
/* This node's vote counts. */
bool jvoters_self(const struct journal *j);
/* It may stand: also when only an entry that is not committed takes its vote away. Without it that entry
 * could for ever be neither committed nor cut (Ongaro's thesis, 4.2.2). */
bool jvoters_may_stand(const struct journal *j);
void jvoters_encode(struct buf *b, const struct journal_members *m);
/* The members as of `index`, which is at least the snapshot's. Returns the index of their entry. */
uint64_t jvoters_at(const struct journal *j, uint64_t index, struct journal_members *m);
/* Recomputes the effective set after the log changed (A9). */
void jvoters_refresh(struct journal *j);
/* Coordinator: one change towards what is wanted, if one is due and allowed (A9, A10). */
void jvoters_drive(struct journal *j);
int jvoters_add(struct journal *j, uint32_t node);
int jvoters_remove(struct journal *j, uint32_t node);

/* election.c */
void jelect_view(struct journal *j, const struct journal_event *event);
void jelect_search(struct journal *j, const char *why);
/* A term above ours was seen. */
void jelect_adopt(struct journal *j, uint64_t term);
void jelect_hello(struct journal *j);
void jelect_on_hello(struct journal *j, const struct jmsg *m);
void jelect_on_stand(struct journal *j, const struct jmsg *m);
void jelect_on_vote(struct journal *j, const struct jmsg *m);
/* A message of this session. What the first message of a session acknowledges counts when the next one is not
 * of the session before: else its number was damaged, and the real session would be taken for one that has
 * lost it. */
void jelect_session(struct jpeer *p, uint64_t session);
/* A10: remembers what a node has promised (its message's term) and acknowledged in that term. */
void jelect_note(struct jpeer *p, const struct jmsg *m, uint64_t index);
/* A10: tells a node that its store held less than it had acknowledged (it judges by its own store), or that
 * its place is another's. True for the former: nothing that it says may count. */
bool jelect_recall(struct journal *j, const struct jmsg *m);
void jelect_on_recall(struct journal *j, const struct jmsg *m);
void jelect_timers(struct journal *j);
/* Sends what had to wait for the disk; counts one's own vote. */
void jelect_flush(struct journal *j);
uint64_t jelect_deadline(const struct journal *j);

void jelect_stand(struct journal *j, uint64_t term);
/* Its HELLO is of about now. p may be NULL. */
bool jelect_heard(const struct journal *j, const struct jpeer *p);
/* Its log against ours: > 0 better, 0 as good. */
int jelect_compare(const struct journal *j, const struct jpeer *p);

/* force.c */
int jforce_begin(struct journal *j, const struct journal_event *event);
/* Won: the set and its reason follow the OPEN. */
void jforce_lead(struct journal *j);
/* Who elects and counts at present. */
const struct journal_members *jforce_voters(const struct journal *j);
/* What our messages say. */
uint64_t jforce_line(const struct journal *j);
void jforce_committed(struct journal *j);
/* A quorum was forced that this node's set knows nothing of. */
bool jforce_superseded(const struct journal *j);
/* Learns of a higher line; false: the message is of a lower one, and nothing is to be done upon it but a
 * HELLO's hints. */
bool jforce_hear(struct journal *j, const struct jmsg *m);
/* The sender's history contradicts what is committed here from `index` on, where its entry is of `term`: true
 * when that is no alarm of A7. The quorum was forced without us, and the journal is given up; or it was
 * forced, and the sender does not say yet that this is committed: then nothing is done. */
bool jforce_lost(struct journal *j, const struct jmsg *m, uint64_t index, uint64_t term);

/* replication.c */
void jrepl_lead(struct journal *j);
/* Gives the role up. hold: let others stand first. */
void jrepl_resign(struct journal *j, bool hold, const char *why);
/* Something may be proposed: not too much waits for its commit. */
bool jrepl_has_room(const struct journal *j);
/* Appends an entry of ours. */
int jrepl_append(struct journal *j, enum journal_kind kind, const void *payload, size_t len);
void jrepl_heartbeat(struct journal *j, uint32_t to);
/* From now on this node follows the sender; false when that cannot be (and we stopped). */
bool jrepl_follow(struct journal *j, const struct jmsg *m);
/* C2: notes what the coordinator says is decided, though we may not have it yet. */
void jrepl_mark(struct journal *j, const struct jmsg *m);
void jrepl_on_append(struct journal *j, const struct jmsg *m);
void jrepl_on_ack(struct journal *j, const struct jmsg *m);
void jrepl_answer(struct journal *j, bool ok, uint64_t index, uint64_t stamp);
struct jprogress *jrepl_progress(struct journal *j, uint32_t node, uint64_t incarnation);
/* Members with this progress were heard within E. */
bool jrepl_live(const struct journal *j, const struct jprogress *p);
/* Brings j->progress in line with j->members. */
void jrepl_members_changed(struct journal *j);
uint64_t jrepl_quorum_ms(const struct journal *j);
void jrepl_timers(struct journal *j);
void jrepl_flush(struct journal *j);
uint64_t jrepl_deadline(const struct journal *j);

/* snapshot.c */
/* What entry 1 of a cluster is chained to; false: no memory. */
bool jsnap_base_chain(struct hash *chain, struct journal_uuid cluster, const struct journal_members *m);
/* First creation, when all is ready for it. */
void jsnap_consider_creation(struct journal *j);
int jsnap_create(struct journal *j);
void jsnap_send_bootstrap(struct journal *j, uint32_t to);
void jsnap_on_bootstrap(struct journal *j, const struct jmsg *m);
void jsnap_feed(struct journal *j, struct jprogress *p);
void jsnap_on_snapshot(struct journal *j, const struct jmsg *m);
void jsnap_on_ack(struct journal *j, const struct jmsg *m);
void jsnap_data(struct journal *j, const struct journal_event *event);
int jsnap_taken(struct journal *j, const struct journal_event *event);
/* Is it time for a snapshot, now that the commit mark has moved from `before`? */
void jsnap_consider(struct journal *j, uint64_t before);
void jsnap_flush(struct journal *j);

#endif
