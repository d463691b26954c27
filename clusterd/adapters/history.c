#include "adapters/history.h"

#include "common/rc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_TRIM_ROWS  5000 /* in one step */
#define HISTORY_TRIM_STEPS 20   /* in one call; the next call goes on */
#define HISTORY_LIMIT_MAX  100000

static const struct db_kind history_kind = {
    .application_id = 0x636c7568, /* "cluh" */
    .format = 1,
    .durable = false,
    .schema = "CREATE TABLE history (id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, term INTEGER NOT NULL,"
              " idx INTEGER NOT NULL, op INTEGER NOT NULL, kind TEXT NOT NULL, node TEXT NOT NULL, vm TEXT "
              "NOT NULL,"
              " text TEXT NOT NULL, why TEXT NOT NULL);"
              "CREATE UNIQUE INDEX history_entry ON history (idx, term) WHERE idx > 0;"
              "CREATE INDEX history_vm ON history (vm) WHERE vm <> '';"
              "CREATE INDEX history_node ON history (node) WHERE node <> ''",
};

static int open_file(struct history *h, struct err *err)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%.4000s/" HISTORY_DB, h->dir);
    return db_open(&h->db, &history_kind, path, err);
}

static void close_file(struct history *h)
{
    (void)sqlite3_finalize(h->insert);
    h->insert = NULL;
    db_close(&h->db);
}

int history_renew(struct history *h, char note[PATH_MAX], struct err *err)
{
    static const char *const files[] = {HISTORY_DB, HISTORY_DB "-wal"};
    struct err why = *err;
    char where[PATH_MAX];
    int rc;

    note[0] = '\0';
    close_file(h);
    rc = db_set_aside(h->dir, files, 2, why.msg, where, err);
    if (rc == 0) {
        (void)snprintf(note, PATH_MAX, "the audit trail was set aside in '%.3000s': %s", where, why.msg);
        rc = open_file(h, err);
    }
    return rc;
}

int history_open(struct history *h, const char *dir, char note[PATH_MAX], struct err *err)
{
    int rc;

    *h = (struct history){0};
    note[0] = '\0';
    (void)snprintf(h->dir, sizeof h->dir, "%s", dir);
    h->pending = calloc(HISTORY_PENDING_MAX, sizeof *h->pending);
    if (!h->pending) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    rc = open_file(h, err);
    if (rc == RC_CORRUPT) { /* a newer one is refused: it is whole (A13) */
        rc = history_renew(h, note, err);
    }
    if (rc) {
        history_close(h);
    }
    return rc;
}

void history_close(struct history *h)
{
    if (h->db.h) {
        (void)history_flush(h, NULL);
    }
    close_file(h);
    free(h->pending);
    h->pending = NULL;
}

static int insert(struct history *h, const struct history_row *row)
{
    int code = db_prepare(&h->db, &h->insert,
                          "INSERT OR IGNORE INTO history (time_ms, term, idx, op, kind, node, vm, text, why)"
                          " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");

    if (code != SQLITE_OK) {
        return code;
    }
    (void)sqlite3_bind_int64(h->insert, 1, row->time_ms);
    (void)sqlite3_bind_int64(h->insert, 2, (int64_t)row->term);
    (void)sqlite3_bind_int64(h->insert, 3, (int64_t)row->index);
    (void)sqlite3_bind_int64(h->insert, 4, (int64_t)row->op);
    (void)sqlite3_bind_text(h->insert, 5, row->kind, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(h->insert, 6, row->node, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(h->insert, 7, row->vm, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(h->insert, 8, row->text, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(h->insert, 9, row->why, -1, SQLITE_STATIC);
    return db_run(h->insert);
}

static int insert_all(struct history *h)
{
    int code = db_exec(&h->db, "BEGIN IMMEDIATE");

    for (unsigned i = 0; i < h->pendings && code == SQLITE_OK; i++) {
        code = insert(h, &h->pending[i]);
    }
    if (code == SQLITE_OK) {
        code = db_exec(&h->db, "COMMIT");
    }
    if (code != SQLITE_OK) {
        (void)db_exec(&h->db, "ROLLBACK");
    }
    return code;
}

int history_flush(struct history *h, struct err *err)
{
    int code;

    if (!h->pendings) {
        return 0;
    }
    code = insert_all(h);
    if (code != SQLITE_OK) {
        return db_fail(&h->db, code, "writing the audit trail", err);
    }
    h->pendings = 0;
    return 0;
}

int history_sync(struct history *h, struct err *err)
{
    int rc = history_flush(h, err), code;

    if (rc) {
        return rc;
    }
    code = sqlite3_wal_checkpoint_v2(h->db.h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return code == SQLITE_OK ? 0 : db_fail(&h->db, code, "writing the audit trail", err);
}

int history_add(struct history *h, const struct history_row *row, struct err *err)
{
    int rc = 0;

    if (h->pendings == HISTORY_PENDING_MAX) {
        rc = history_flush(h, err);
        if (rc) {
            return rc;
        }
    }
    h->pending[h->pendings++] = *row;
    return rc;
}

/* Bytes in use; free pages are used again before the file grows. */
static int used_bytes(struct history *h, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int code =
        sqlite3_prepare_v2(h->db.h,
                           "SELECT (c.page_count - f.freelist_count) * s.page_size FROM pragma_page_count c,"
                           " pragma_freelist_count f, pragma_page_size s",
                           -1, &stmt, NULL);

    *out = 0;
    if (code == SQLITE_OK) {
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            *out = sqlite3_column_int64(stmt, 0);
            code = SQLITE_OK;
        }
    }
    (void)sqlite3_finalize(stmt);
    return code;
}

/* Deletes, of the oldest rows, those before `before_ms`. */
static int delete_oldest(struct history *h, int64_t before_ms, int *deleted)
{
    char sql[256];
    int code;

    (void)snprintf(
        sql, sizeof sql,
        "DELETE FROM history WHERE id IN (SELECT id FROM history ORDER BY id LIMIT %d) AND time_ms < %lld",
        HISTORY_TRIM_ROWS, (long long)before_ms);
    code = db_exec(&h->db, sql);
    *deleted = code == SQLITE_OK ? sqlite3_changes(h->db.h) : 0;
    return code;
}

int history_trim(struct history *h, uint32_t max_days, uint32_t max_mib, int64_t now_ms, struct err *err)
{
    int64_t max_bytes = (int64_t)max_mib << 20, bytes = 0;
    int code = SQLITE_OK, deleted = HISTORY_TRIM_ROWS;

    for (int i = 0; i < HISTORY_TRIM_STEPS && code == SQLITE_OK && deleted == HISTORY_TRIM_ROWS; i++) {
        code = delete_oldest(h, now_ms - (int64_t)max_days * 86400000, &deleted);
    }
    deleted = 1;
    for (int i = 0; i < HISTORY_TRIM_STEPS && code == SQLITE_OK && deleted > 0; i++) {
        code = used_bytes(h, &bytes);
        if (code != SQLITE_OK || bytes <= max_bytes) {
            break;
        }
        code = delete_oldest(h, INT64_MAX, &deleted);
    }
    return code == SQLITE_OK ? 0 : db_fail(&h->db, code, "trimming the audit trail", err);
}

static void copy_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    (void)snprintf(out, size, "%s", text ? (const char *)text : "");
}

static void read_row(sqlite3_stmt *stmt, struct history_row *row)
{
    *row = (struct history_row){0};
    row->time_ms = sqlite3_column_int64(stmt, 0);
    row->term = (uint64_t)sqlite3_column_int64(stmt, 1);
    row->index = (uint64_t)sqlite3_column_int64(stmt, 2);
    row->op = (uint64_t)sqlite3_column_int64(stmt, 3);
    copy_text(stmt, 4, row->kind, sizeof row->kind);
    copy_text(stmt, 5, row->node, sizeof row->node);
    copy_text(stmt, 6, row->vm, sizeof row->vm);
    copy_text(stmt, 7, row->text, sizeof row->text);
    copy_text(stmt, 8, row->why, sizeof row->why);
}

/* The newest `limit` rows, oldest first. Conditions are added only where asked for, so that an index serves.
 */
static int prepare_read(struct history *h, const struct history_filter *f, sqlite3_stmt **stmt)
{
    char sql[512];
    int code;

    (void)snprintf(
        sql, sizeof sql,
        "SELECT * FROM (SELECT time_ms, term, idx, op, kind, node, vm, text, why, id FROM history %s"
        "%s%s%s%s ORDER BY id DESC LIMIT ?5) ORDER BY id",
        f->after_index ? "INDEXED BY history_entry WHERE idx > 0 AND idx > ?1" : "WHERE 1",
        f->before_index ? " AND idx > 0 AND idx < ?6" : "", f->since_ms ? " AND time_ms >= ?2" : "",
        f->vm ? " AND vm = ?3 AND vm <> ''" : "", f->node ? " AND node = ?4 AND node <> ''" : "");
    code = sqlite3_prepare_v2(h->db.h, sql, -1, stmt, NULL);
    if (code != SQLITE_OK) {
        return code;
    }
    (void)sqlite3_bind_int64(*stmt, 1, (int64_t)f->after_index);
    (void)sqlite3_bind_int64(*stmt, 2, f->since_ms);
    (void)sqlite3_bind_text(*stmt, 3, f->vm, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(*stmt, 4, f->node, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(*stmt, 5, f->limit < HISTORY_LIMIT_MAX ? f->limit : HISTORY_LIMIT_MAX);
    (void)sqlite3_bind_int64(*stmt, 6, (int64_t)f->before_index);
    return SQLITE_OK;
}

int history_read(struct history *h, const struct history_filter *f,
                 void (*cb)(void *ctx, const struct history_row *row), void *ctx, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    struct history_row row;
    int rc = history_flush(h, err), code;

    if (rc) {
        return rc;
    }
    code = prepare_read(h, f, &stmt);
    while (code == SQLITE_OK && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
        read_row(stmt, &row);
        cb(ctx, &row);
        code = SQLITE_OK;
    }
    (void)sqlite3_finalize(stmt);
    return code == SQLITE_DONE ? 0 : db_fail(&h->db, code, "reading the audit trail", err);
}
