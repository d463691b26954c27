/*
 * db.h - one SQLite file of ours: opening with all checks, error mapping, setting aside.
 *
 * SQLite's own documentation: "Write-Ahead Logging", "PRAGMA Statements", "Result and Error Codes".
 */
#ifndef CLUSTERD_ADAPTERS_DB_H
#define CLUSTERD_ADAPTERS_DB_H

#include "common/err.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_FORMAT_MAX 1000 /* a number beyond that is no version, but a flipped bit */

struct db_kind {
    uint32_t application_id;
    int format;         /* user_version; a file with a greater one is refused */
    bool durable;       /* every commit is fsynced, checkpoints are db_checkpoint's; else SQLite's own pace */
    const char *schema; /* for a new file */
};

struct db {
    sqlite3 *h; /* NULL: closed */
    const struct db_kind *kind;
    char path[PATH_MAX];
    int wal_pages; /* in the write-ahead log after the last commit */
};

/* Opens or creates. RC_CORRUPT: it cannot be read and should be set aside; RC_REFUSED: a newer format; RC_IO.
 */
int db_open(struct db *db, const struct db_kind *kind, const char *path, struct err *err);
/* Leaves the write-ahead log in place: the next opening recovers, whether or not this end was orderly. */
void db_close(struct db *db);
/* Runs SQL without results. 0 or an extended SQLite code. */
int db_exec(struct db *db, const char *sql);
/* Compiles once, into *stmt, then resets for the next use. 0 or an extended SQLite code. */
int db_prepare(struct db *db, sqlite3_stmt **stmt, const char *sql);
/* Steps a statement that has no rows, and resets it. 0 or an extended SQLite code. */
int db_run(sqlite3_stmt *stmt);
/* Sets err from an extended SQLite code: RC_CORRUPT, RC_NO_MEMORY or RC_IO. */
int db_fail(const struct db *db, int code, const char *what, struct err *err);
/* True for a failed fsync of a file or of its folder: what was written may be lost though it can be read. */
bool db_is_fsync(int code);
/* Moves the write-ahead log's pages into the file when there are many. 0 or an extended SQLite code. */
int db_checkpoint(struct db *db);

/* fsyncs a folder, so that its entries last. */
int db_sync_dir(const char *dir, struct err *err);
/* Moves the files dir/name[i] that exist into the new folder dir/aside/TIME, with a file `reason` (A10).
 * `where` gets that folder. Nothing is deleted. */
int db_set_aside(const char *dir, const char *const *name, size_t names, const char *why,
                 char where[PATH_MAX], struct err *err);

#endif
