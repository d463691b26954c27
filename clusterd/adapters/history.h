/*
 * history.h - the audit trail's own database, so that it never costs an fsync where operations wait.
 *
 * history.db: SQLite, WAL, synchronous=NORMAL; rows wait in memory for at most a second. What a power cut
 * takes of it comes back when the journal is replayed from its snapshot: a row is known by (term, index) and
 * entered once. Before a snapshot is stored, history_sync() makes sure that nothing older can be lost.
 */
#ifndef CLUSTERD_ADAPTERS_HISTORY_H
#define CLUSTERD_ADAPTERS_HISTORY_H

#include "adapters/db.h"
#include "ports/ports.h"

#define HISTORY_DB          "history.db"
#define HISTORY_PENDING_MAX 64

struct history {
    char dir[PATH_MAX];
    struct db db;
    sqlite3_stmt *insert;
    struct history_row *pending; /* HISTORY_PENDING_MAX of them */
    unsigned pendings;
};

/* Opens; a damaged file is set aside and a new one begun (*note says so, else it is empty). On an error there
 * is nothing to close. */
int history_open(struct history *h, const char *dir, char note[PATH_MAX], struct err *err);
/* Sets a damaged trail (err says how), or one of a newer clusterd, aside and begins a new one: it is not the
 * journal. */
int history_renew(struct history *h, char note[PATH_MAX], struct err *err);
void history_close(struct history *h);
/* Enters a row among the waiting ones; writes them when they are many. */
int history_add(struct history *h, const struct history_row *row, struct err *err);
/* Writes what waits. On an error the rows stay, up to HISTORY_PENDING_MAX. */
int history_flush(struct history *h, struct err *err);
/* The same, and on the disk when it returns 0. */
int history_sync(struct history *h, struct err *err);
/* Drops what is older than max_days, and the oldest beyond max_mib. */
int history_trim(struct history *h, uint32_t max_days, uint32_t max_mib, int64_t now_ms, struct err *err);
int history_read(struct history *h, const struct history_filter *f,
                 void (*cb)(void *ctx, const struct history_row *row), void *ctx, struct err *err);

#endif
