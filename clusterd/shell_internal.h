/*
 * shell_internal.h - what the files of the shell share. Nobody else includes it, but for the fuzzer of the
 * inventory's parser.
 *
 * Who owns what: shell.c the entry points and the loop; shell_journal.c the journal's actions, applying and
 * snapshots; shell_propose.c this node's proposals, and what the coordinator takes; shell_decide.c decisions
 * and deadlines; shell_members.c who belongs to the cluster; shell_digest.c A14; shell_jobs.c programs that
 * run for a job; shell_inventory.c C3; shell_quorum.c S2.
 */
#ifndef CLUSTERD_SHELL_INTERNAL_H
#define CLUSTERD_SHELL_INTERNAL_H

#include "common/mutant.h"
#include "common/rc.h"
#include "shell.h"

#define NEVER UINT64_MAX

/* Messages of the shell; the journal has 0 to 63. */
enum shell_message_type {
    SHELL_PROPOSE = 64, /* u8 format, u32 to (the coordinator), blob event */
    SHELL_PROGRESS,     /* u8 format, u64 op, u32 millionths */
    SHELL_DIGEST,       /* u8 format, u64 term, u64 index, hash of the state after that entry (A14) */
    SHELL_OBSERVE,      /* u8 format: this node's daemon only observes (A15) */
};
#define SHELL_MESSAGE_FORMAT 1
#define OBSERVED_MS          5000 /* an observer says so each second (main.c) */

#define QUEUE_MAX         256   /* this node's proposals that wait; beyond it commands are refused */
#define WINDOW            64    /* … of which so many are under way */
#define RESEND_MS         300   /* proposals are sent again when nothing came back for so long */
#define COMMAND_MS        10000 /* a command that was not committed by then is answered: timed out */
#define OUTGOING_MAX      1024  /* messages that wait for flow control */
#define OUTGOING_RETRY_MS 5
#define PROGRESS_MS       500 /* between two broadcasts of one operation's progress */
#define PROGRESS_MAX      64  /* operations whose progress is remembered */
#define INVENTORY_TOUCHES 32  /* more: the whole inventory says nothing certain */
#define LEFT_AGAIN_MS     200
#define LEAVE_MS          10000            /* an orderly end takes no longer */
#define TRIM_MS           (10 * 60 * 1000) /* history */

/* ------------------------------------------------------------------------------------- shell_propose.c */

/* A fact or command of this node that is not seen committed yet (A1). */
struct proposal {
    struct proposal *next;
    uint64_t seq;
    enum event_kind kind;
    uint64_t request, expires_ms; /* a command that waits for its answer; request 0: none */
    bool command;
    size_t len;
    uint8_t *data; /* owned; the encoded event */
};

/* What the coordinator has appended of a node's in this term, so that a repeat is not appended again. */
struct taken {
    uint64_t session, seq; /* session 0: as the state says */
};

/* ---------------------------------------------------------------------------------------- shell_jobs.c */

enum run_purpose {
    RUN_JOB,       /* the action itself */
    RUN_LOOK,      /* … and then a look at what became of the VM */
    RUN_STATUS,    /* … or of the fenced node's power */
    RUN_INVENTORY, /* C3 */
    RUN_SELF_STOP, /* S2 */
};

/* A program that runs for us. */
struct run {
    struct run *next;
    uint64_t id; /* of the runner */
    enum run_purpose purpose;
    bool force;     /* RUN_SELF_STOP */
    bool cancelled; /* its end was asked for */
    struct job job; /* a copy: the state may forget it meanwhile */
    char uuid[40];  /* of the VM that it is about; empty: none */
    int code;       /* of the action, when the purpose is not RUN_JOB any more */
    char reason[TEXT_SIZE];
    struct event result; /* what the action printed: kv of the coming EV_JOB_RESULT */
};

/* ----------------------------------------------------------------------------------- shell_inventory.c */

struct inventory_vm {
    char uuid[40];
    enum obs_state obs; /* locked ones are unknown already (C3) */
};
struct inventory {
    bool reachable; /* libvirt answers */
    unsigned n;
    struct inventory_vm *vm; /* owned; sorted by uuid */
};

/* Parses the output of the agents' `inventory`, which is untrusted. 0, RC_BAD_INPUT with the line, or
 * RC_NO_MEMORY; *out is empty unless 0. */
int shell_inventory_parse(const char *text, struct inventory *out, struct err *err);
void shell_inventory_fini(struct inventory *inv);
/* OBS_ABSENT when it is not listed. */
enum obs_state shell_inventory_obs(const struct inventory *inv, const char *uuid);

/* --------------------------------------------------------------------------------------------- the shell */

struct watched { /* a deadline that the state waits for (W2: measured from its first sight in this term) */
    enum deadline_kind kind;
    uint64_t id, n;
    uint64_t due_ms;
};

struct digest_report { /* A14: the state of a node after this entry */
    uint64_t term, index;
    struct hash digest;
};
#define DIGESTS_KEPT 4

struct shell {
    struct shell_config cfg;
    struct ports p;
    uint64_t now;  /* of this call */
    bool busy;     /* inside; a port that calls back is a programmer's error */
    bool failed;   /* fail-stop: nothing is done any more */
    bool outdated; /* … because what the cluster has agreed on needs a newer version (A13) */

    /* Membership. */
    struct world world;
    bool ring_quorate;
    uint64_t view;

    /* The journal and what it said. */
    struct journal *j;
    struct buf open_data;
    struct journal_event *todo; /* events for it that its own actions caused */
    unsigned todos, todos_cap;
    uint64_t journal_ms;         /* its deadline */
    uint64_t reload_ms;          /* the store is to be read again then; NEVER */
    bool store_void;             /* an fsync failed outside of a persist: the next one says so */
    char store_error[900];       /* of the last write, for people; empty: it went well */
    uint32_t coordinator;        /* 0: unknown */
    uint64_t term;               /* of that coordinator */
    struct journal_uuid cluster; /* that job_mark belongs to */

    /* The state. */
    struct state *st;
    uint64_t applied;   /* index of the last entry that is folded in, of any kind */
    uint64_t replayed;  /* the commit mark at the start: entries up to here were seen by an earlier daemon */
    bool rebuild;       /* the journal begins anew: so does the state, with its first entry */
    const char *broken; /* what core_check found, or a move that no rule allows: said once; NULL: nothing */

    /* Proposals. */
    struct proposal *queue, **queue_end;
    unsigned queued;
    uint64_t seq;                 /* the last one given */
    uint64_t sent_seq, sent_term; /* sent up to here, to the coordinator of this term */
    uint64_t sent_ms;             /* the last time that something was sent or acknowledged */
    uint64_t up_ms;               /* EV_NODE_UP is not proposed before */
    uint64_t up_after;            /* the session of ours that the one which waits names (N1) */
    bool announced;               /* the applied state has had this session */
    struct taken taken[NODES_MAX + 1];
    struct outgoing *out, **out_end; /* messages that wait for flow control */
    unsigned outs;
    uint64_t out_ms;
    uint64_t dropped; /* messages that made no sense */
    bool newer_said;  /* a message of a newer format was heard (A13) */

    /* The coordinator's. */
    bool dirty;         /* something changed since the last decision */
    uint64_t decided;   /* the last index that a decision got */
    uint64_t decide_ms; /* not before (after decisions that were all rejected) */
    unsigned rejected, accepted;
    struct watched *watched; /* sorted */
    unsigned watches, watches_cap;
    uint64_t watched_index, watched_term; /* the state that they were collected from */

    /* Programs. */
    struct run *runs;
    uint64_t run_id;
    uint64_t job_mark; /* jobs up to this id were started in this session: never again (C2) */

    /* Inventory (C3). */
    struct {
        bool running, again;
        uint64_t asked_ms; /* since when; 0: at once */
        uint64_t index, term, due_ms, last_ms;
        uint32_t pause_ms;
        unsigned touches; /* runs about VMs that ended while it looked, and the VMs of the first of them */
        char touched[INVENTORY_TOUCHES][40];
    } inv;

    /* S2. */
    struct {
        uint64_t heard_ms; /* the last moment at which an open term was heard */
        uint64_t look_ms;
        bool begun, forced;  /* the stages of the end */
        struct state *known; /* owned; what was known before the state went back to an older one, else NULL */
    } quorum;

    uint64_t observed_ms[NODES_MAX + 1]; /* A15: when that node's daemon last said that it only observes */

    /* A14. */
    struct {
        struct digest_report report[NODES_MAX + 1][DIGESTS_KEPT];
        unsigned next[NODES_MAX + 1];
        bool odd;      /* a majority holds another state: this node begins anew */
        bool disputed; /* nobody knows who is right: nothing is decided or started */
        uint64_t again_ms;
        char why[JOURNAL_TEXT_MAX]; /* for people; empty while all agree */
    } digest;

    struct {
        uint64_t op, ms;
        double fraction;
    } progress[PROGRESS_MAX];

    /* Members (A9). */
    uint64_t expect_ms;           /* corosync is not told before how many votes to expect */
    uint64_t waits_ms;            /* whom this node waits for is looked at again then, … */
    char waits[JOURNAL_TEXT_MAX]; /* … and was said so last */
    uint64_t members_ms;          /* no change is asked of the journal before */
    uint64_t removal_failed;      /* this operation's end was proposed in this term; 0: none */
    struct hash members_told;     /* of the list that the port was told last, … */
    uint64_t members_seen;        /* … which is as that entry left it; 0: look */

    bool leaving, may_exit;
    uint64_t leave_ms, left_ms, trim_ms; /* left_ms: "leaving" is not said again before; 0: not said */
};

/* shell.c */
void shell_log(struct shell *sh, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Nothing can be relied upon any more: says so and stops acting. */
void shell_fail(struct shell *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, for something that could not be read: err says why, and whether a newer version wrote it (A13).
 */
void shell_fail_read(struct shell *sh, const char *what, uint64_t index, const struct err *err);
/* An entry point begins, false: nothing is done any more; and ends: does everything that can be done now. */
bool shell_enter(struct shell *sh);
void shell_settle(struct shell *sh);
/* This node in the applied state, when its session is this daemon's; else NULL. */
const struct node *shell_self(const struct shell *sh);
/* C2's moment: the open term was heard within E and all that is known to be committed is applied. */
bool shell_current(const struct shell *sh);
/* This node is the coordinator, its term is open and applied. */
bool shell_leads(const struct shell *sh);

/* shell_journal.c */
/* One event into the journal; its actions are carried out, what they caused waits in todo. */
int journal_feed(struct shell *sh, struct journal_event *ev, struct journal_actions *out);
/* Feeds what waits. */
void journal_drain(struct shell *sh);
void journal_fini(struct shell *sh);
int journal_start(struct shell *sh, struct journal_load *load, struct err *err);
void journal_reload(struct shell *sh);
/* A14: what this node holds is wrong: it is set aside, and the state comes from the others (A10). */
void journal_begin_anew(struct shell *sh, const char *why);
/* Proposes an event: RC_BUSY and the like when the journal cannot take it now. *index: where it would stand.
 */
int journal_propose(struct shell *sh, const struct event *e, uint64_t *index);

/* shell_propose.c */
/* Gives e (borrowed) its number and queues it. request: 0, or the command's. */
int propose(struct shell *sh, struct event *e, uint64_t request);
bool propose_waits(const struct shell *sh, enum event_kind kind);
/* Sends what is due; announces this session when the state does not know it. True when something was done. */
bool propose_flush(struct shell *sh);
/* The coordinator's side. True when it was appended or was known already. */
bool propose_take(struct shell *sh, uint32_t from, const void *data, size_t len);
/* The entry e was applied: what was ours is answered. */
void propose_applied(struct shell *sh, const struct event *e, const struct applied *a);
uint64_t propose_next_ms(const struct shell *sh);
void propose_fini(struct shell *sh);
void shell_send(struct shell *sh, const void *data, size_t len);
void shell_send_flush(struct shell *sh);
void progress_note(struct shell *sh, uint64_t op, double fraction, bool tell);

/* shell_decide.c */
bool decide(struct shell *sh);
bool deadlines_propose(struct shell *sh);
uint64_t deadlines_next_ms(const struct shell *sh);
/* A decision of ours was applied. */
void decide_applied(struct shell *sh, const struct event *e, const struct applied *a);

/* shell_jobs.c */
void jobs_start(struct shell *sh);
/* Ends migrations that cannot come to anything any more. */
void jobs_cancel(struct shell *sh);
struct run *run_new(struct shell *sh, enum run_purpose purpose);
void run_free(struct shell *sh, struct run *r); /* takes it off the list */
struct run *run_of_vm(const struct shell *sh, const char *uuid);
/* A job of this session that the state knows, that runs here, or that brings the VM here: what an inventory
 * says of it proves nothing. */
bool jobs_touch(const struct shell *sh, const struct vm *vm);
/* A job that moves, starts or ends a VM is at work on this node. */
bool jobs_busy(const struct shell *sh);
void run_done(struct shell *sh, struct run *r, const struct run_result *res);
/* Adds a pair that must not be missing (an agent without `migrate_paused` would resume the VM, C5): out of
 * memory ends this daemon. */
void pair_put(struct shell *sh, struct event *e, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Runs the VirtualMachine agent as spec says; param (its kv) is released. */
int run_agent(struct shell *sh, struct run *r, struct run_spec *spec, struct event *param);
/* The same for one VM; r->uuid and r->id are set. */
int run_vm_agent(struct shell *sh, struct run *r, const struct vm *vm, const char *action,
                 uint32_t timeout_ms, struct event *param);
void runs_fini(struct shell *sh);

/* shell_inventory.c */
void inventory_consider(struct shell *sh);
void inventory_done(struct shell *sh, const struct run_result *res);
/* One is wanted before its interval has passed; at once when somebody waits for it, else soon. */
void inventory_ask(struct shell *sh, bool at_once);
void inventory_start(struct shell *sh);
uint64_t inventory_next_ms(const struct shell *sh);

/* shell_digest.c */
void digest_applied(struct shell *sh, const struct event *e);
/* False when it makes no sense. */
bool digest_message(struct shell *sh, uint32_t from, struct rd *r);
void digest_forget(struct shell *sh); /* this node's state is another one now */
void digest_consider(struct shell *sh);
uint64_t digest_next_ms(const struct shell *sh);
/* shell_members.c */
/* Coordinator: what the state wants of the members is asked of the journal. Everybody: corosync's list. */
void members_consider(struct shell *sh);
uint64_t members_next_ms(const struct shell *sh);
/* Why there is no open term, with the names of those who are missing. */
void members_why(const struct shell *sh, const struct journal_status *s, char *why, size_t size);
/* A9: only a member's proposals are taken. */
bool members_has(const struct shell *sh, uint32_t node);

/* shell_quorum.c */
void quorum_consider(struct shell *sh);
/* What an inventory found, while there is no quorum. inv NULL: nothing could be learnt. */
void quorum_inventory(struct shell *sh, const struct inventory *inv);
/*
 * The newest that this node has known of its VMs and of no_quorum_timeout_ms. A node whose journal was set
 * aside begins its state anew, but what runs on it is as it was.
 */
const struct state *quorum_state(const struct shell *sh);
/* The state is about to be replaced: takes over the old one, which is kept while the fresh one knows less. */
void quorum_keep(struct shell *sh, struct state *old, const struct state *fresh);
uint64_t quorum_next_ms(const struct shell *sh);
/* S2's end has begun here: no new launch. */
bool quorum_ending(const struct shell *sh);

#endif
