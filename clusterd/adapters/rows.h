/*
 * rows.h - the tables of clusterd.db and the shape of their rows: statements, records, entries.
 *
 * Each row carries a checksum over all its columns, so that damage which SQLite's own check cannot see is
 * found.
 */
#ifndef CLUSTERD_ADAPTERS_ROWS_H
#define CLUSTERD_ADAPTERS_ROWS_H

#include "adapters/db.h"
#include "common/buf.h"
#include "journal/journal.h"

#define ROWS_FORMAT 1 /* of the file */

/* What is rewritten with every transaction. */
struct rows_meta {
    uint64_t incarnation;
    struct journal_uuid cluster;
    struct journal_promise promise;
    uint64_t commit;
    uint64_t prev_index, prev_term; /* what the first entry follows */
    struct hash prev_chain;
};

enum rows_stmt {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_RECORD_PUT,
    SQL_RECORD_GET,
    SQL_RECORD_COUNT,
    SQL_ENTRY_PUT,
    SQL_ENTRY_GET,
    SQL_ENTRY_ALL,
    SQL_ENTRY_CUT,
    SQL_ENTRY_TRIM,
    SQL_ENTRY_CLEAR,
    SQL_BLOB_PUT,
    SQL_BLOB_GET,
    SQL_BLOB_CLEAR,
    SQL_COUNT
};

struct rows {
    struct db db;
    sqlite3_stmt *stmt[SQL_COUNT]; /* compiled at their first use */
};

/* As db_open(). */
int rows_open(struct rows *rows, const char *path, struct err *err);
void rows_close(struct rows *rows);

/* A compiled statement, reset. NULL: *code, an extended SQLite code, says why. */
sqlite3_stmt *rows_get(struct rows *rows, enum rows_stmt which, int *code);
/* Runs a statement without rows, without or with its one parameter. 0 or an extended SQLite code. */
int rows_run(struct rows *rows, enum rows_stmt which);
int rows_run_index(struct rows *rows, enum rows_stmt which, uint64_t index);
/* A column's bytes, borrowed until the next step. SQLITE_OK or SQLITE_NOMEM. */
int rows_column_bytes(sqlite3_stmt *s, int column, const void **data, size_t *len);
/* A hash as it is stored. SQLITE_OK, SQLITE_NOMEM, or SQLITE_CORRUPT: these bytes are none. */
int rows_column_hash(sqlite3_stmt *s, int column, struct hash *out);

/* A record by its name. put: 0 or an extended SQLite code. get: 0 and a reader over it, valid until
 * rows_record_done(); RC_NOT_FOUND, RC_CORRUPT, … */
int rows_record_put(struct rows *rows, const char *name, const struct buf *b);
int rows_record_get(struct rows *rows, const char *name, struct rd *out, struct err *err);
/* Ends the read that rows_record_get() began: an open one would hold up checkpoints. */
void rows_record_done(struct rows *rows);

void rows_meta_encode(const struct rows_meta *m, struct buf *b);
bool rows_meta_decode(struct rows_meta *m, struct rd *r);
void rows_snapshot_encode(const struct journal_snapshot *s, struct buf *b);
bool rows_snapshot_decode(struct journal_snapshot *s, struct rd *r);

/* 0 or an extended SQLite code. */
int rows_entry_put(struct rows *rows, const struct journal_entry *e);
/* The row at which s (SQL_ENTRY_ALL) stands, its payload copied (owned by the caller); RC_CORRUPT,
 * RC_NO_MEMORY. */
int rows_entry_get(struct rows *rows, sqlite3_stmt *s, struct journal_entry *e, struct err *err);

#endif
