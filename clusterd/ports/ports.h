/*
 * ports.h - what the shell needs of the world, as tables of functions.
 *
 * The daemon fills them with adapters (corosync, SQLite, agents, …), the simulator with its own world; the
 * shell, the journal and the core are the same in both. All calls come from one thread and return soon;
 * what takes time answers later through a shell_* function (shell.h).
 */
#ifndef CLUSTERD_PORTS_PORTS_H
#define CLUSTERD_PORTS_PORTS_H

#include "common/err.h"
#include "core/event.h"
#include "journal/journal.h"

/* The cpg group: ordered multicast, our own messages come back to us too. */
struct message_port {
    void *ctx;
    /* Multicasts len bytes (at most 64 KiB), in order. RC_BUSY: flow control, try again later. */
    int (*send)(void *ctx, const void *data, size_t len);
};

/* One row of the audit trail. */
struct history_row {
    int64_t time_ms;
    uint64_t term, index, op;
    char kind[32];
    char node[NAME_SIZE], vm[NAME_SIZE];
    char text[512], why[TEXT_SIZE];
};
struct history_filter {
    uint64_t after_index;  /* rows with a greater index */
    uint64_t before_index; /* 0: any; rows with a smaller one */
    int64_t since_ms;      /* 0: any */
    const char *vm, *node; /* NULL: any */
    unsigned limit;        /* the newest `limit` rows of those, oldest first */
};

struct store_port {
    void *ctx;
    /* One transaction, then the mark in its own file; on the disk when it returns 0 (A4, A6). The entries
     * first..last are read from j (journal_entry_at). RC_IO: nothing of it may be relied upon; *fsync_failed
     * says that the store must be set aside (A4, A10). */
    int (*persist)(void *ctx, const struct journal *j, const struct journal_persist *p, bool *fsync_failed,
                   struct err *err);
    /* Stores a snapshot (JOURNAL_TAKE_SNAPSHOT: s->size bytes of blob, digest set) in place of the one
     * before; on the disk when it returns 0. Errors as for persist. */
    int (*snapshot)(void *ctx, const struct journal_snapshot *s, const uint8_t *blob, bool *fsync_failed,
                    struct err *err);
    /* Copies len bytes at offset of the stored snapshot at `index`. RC_NOT_FOUND: that snapshot is not there;
     * RC_CORRUPT: it is not what was stored: take a new one. */
    int (*snapshot_read)(void *ctx, uint64_t index, uint64_t offset, void *out, size_t len);
    /* Closes, opens again and reads everything back, at the start and after a failed write (A4). A store that
     * cannot be read is set aside and *out is that of a new one (A10); RC_IO or RC_REFUSED (a newer format):
     * the daemon cannot go on. End *out with journal_load_fini(). */
    int (*load)(void *ctx, struct journal_load *out, struct err *err);
    /* Sets the present store and its mark aside (renames them, never deletes them; A10). load() follows. */
    int (*set_aside)(void *ctx, const char *why, struct err *err);
    /* Adds a row; it becomes durable with some later persist or within a second. One entry of the journal is
     * one row: a row whose (term, index) is there already (a replay after a restart) is ignored. */
    int (*history_add)(void *ctx, const struct history_row *row);
    int (*history_trim)(void *ctx, uint32_t max_days, uint32_t max_mib, int64_t now_ms);
    int (*history_read)(void *ctx, const struct history_filter *f,
                        void (*cb)(void *cb_ctx, const struct history_row *row), void *cb_ctx);
};

/* A program to run: an OCF agent's action or a fence agent's. */
struct run_spec {
    uint64_t id;            /* unique in this process; the answer names it */
    bool fence;             /* a fence agent: parameters go to its standard input */
    const char *agent;      /* "VirtualMachine", "SharedVolume", or "fence_ipmilan" */
    const char *action;     /* "start", "migrate_to", …, "off", "status" */
    const char *serial;     /* programs with the same word run one after the other; NULL: at once */
    uint32_t timeout_ms;    /* then it is killed, and the result says so */
    const struct kv *param; /* borrowed during the call */
    unsigned params;
    const char *xml_uuid,
        *xml; /* when not NULL: written to a file first, whose path becomes OCF_RESKEY_config */
};
struct run_result {
    bool started; /* false: the program could not even be started (reason says why) */
    bool timed_out;
    int code;               /* its exit code */
    char reason[TEXT_SIZE]; /* the last ocf-exit-reason, or what else is known; word for word */
    const char *output;     /* its standard output, cut at 64 KiB, valid during the call */
};
struct runner_port {
    void *ctx;
    /* Starts it, or queues it when too many run; answers by shell_run_done, always later, never from inside.
     */
    int (*run)(void *ctx, const struct run_spec *spec);
    void (*cancel)(void *ctx, uint64_t id); /* kills it; its result still comes */
    /* Agents of an earlier daemon on this host that still live (they hold the lock that we hand down, C3). */
    bool (*fence_orphans)(void *ctx);
};

struct clock_port {
    void *ctx;
    uint64_t (*now_ms)(void *ctx); /* CLOCK_BOOTTIME: deadlines */
    int64_t (*wall_ms)(void *ctx); /* for people */
    uint64_t (*random)(void *ctx);
};

/* Answers to clients; also the daemon's log, so that the shell itself prints nothing. */
enum log_level { LOG_L_ERROR, LOG_L_WARNING, LOG_L_NOTICE, LOG_L_INFO, LOG_L_DEBUG };
struct client_port {
    void *ctx;
    /* The answer to a command (shell_command): its result, and the operation that it began (0: none). */
    void (*answer)(void *ctx, uint64_t request, int rc, const struct err *err, uint64_t op);
    void (*log)(void *ctx, enum log_level level, const char *text);
};

/* corosync's own list of the nodes, which is kept in step with the journal's members (A9). */
struct member_node {
    uint32_t id;
    const char *name, *address; /* empty: not known here, whoever lists it already keeps what it has */
};
struct member_port {
    void *ctx; /* NULL: there is nothing to be kept in step */
    /* These are the members now. lead: this node is the coordinator, which tells corosync first. */
    void (*members)(void *ctx, const struct member_node *node, unsigned nodes, bool lead);
    /* A16: after a forced quorum corosync is to expect so many votes, no longer those of its node list. */
    void (*expect)(void *ctx, unsigned votes);
};

struct ports {
    struct message_port msg;
    struct store_port store;
    struct runner_port run;
    struct clock_port clock;
    struct client_port client;
    struct member_port member;
};

#endif
