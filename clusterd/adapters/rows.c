#include "adapters/rows.h"

#include "common/mutant.h"
#include "common/rc.h"

#include <stdlib.h>
#include <string.h>

static const struct db_kind rows_kind = {
    .application_id = 0x636c7564, /* "clud" */
    .format = ROWS_FORMAT,
    .durable = true,
    .schema =
        "CREATE TABLE record (name TEXT PRIMARY KEY, data BLOB NOT NULL, sum BLOB NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE entry (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, format INTEGER NOT NULL,"
        " kind INTEGER NOT NULL, chain BLOB NOT NULL, payload BLOB NOT NULL, sum BLOB NOT NULL);"
        "CREATE TABLE blob (idx INTEGER PRIMARY KEY, data BLOB NOT NULL)",
};

static const char *const rows_sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_RECORD_PUT] = "INSERT OR REPLACE INTO record (name, data, sum) VALUES (?1, ?2, ?3)",
    [SQL_RECORD_GET] = "SELECT data, sum FROM record WHERE name = ?1",
    [SQL_RECORD_COUNT] = "SELECT count(*) FROM record",
    [SQL_ENTRY_PUT] = ("INSERT INTO entry (idx, term, format, kind, chain, payload, sum) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
    [SQL_ENTRY_GET] = "SELECT term, chain FROM entry WHERE idx = ?1",
    [SQL_ENTRY_ALL] = "SELECT idx, term, format, kind, chain, payload, sum FROM entry ORDER BY idx",
    [SQL_ENTRY_CUT] = "DELETE FROM entry WHERE idx >= ?1",
    [SQL_ENTRY_TRIM] = "DELETE FROM entry WHERE idx <= ?1",
    [SQL_ENTRY_CLEAR] = "DELETE FROM entry",
    [SQL_BLOB_PUT] = "INSERT INTO blob (idx, data) VALUES (?1, ?2)",
    [SQL_BLOB_GET] = "SELECT data FROM blob WHERE idx = ?1",
    [SQL_BLOB_CLEAR] = "DELETE FROM blob",
};

int rows_open(struct rows *rows, const char *path, struct err *err)
{
    return db_open(&rows->db, &rows_kind, path, err);
}

void rows_close(struct rows *rows)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        (void)sqlite3_finalize(rows->stmt[i]);
        rows->stmt[i] = NULL;
    }
    db_close(&rows->db);
}

/* ---- statements ---- */

/* A compiled statement, reset. NULL: *code says why. */
sqlite3_stmt *rows_get(struct rows *rows, enum rows_stmt which, int *code)
{
    *code = db_prepare(&rows->db, &rows->stmt[which], rows_sql[which]);
    return *code == SQLITE_OK ? rows->stmt[which] : NULL;
}

int rows_run(struct rows *rows, enum rows_stmt which)
{
    int code;
    sqlite3_stmt *s = rows_get(rows, which, &code);

    return s ? db_run(s) : code;
}

int rows_run_index(struct rows *rows, enum rows_stmt which, uint64_t index)
{
    int code;
    sqlite3_stmt *s = rows_get(rows, which, &code);

    if (s) {
        (void)sqlite3_bind_int64(s, 1, (int64_t)index);
        code = db_run(s);
    }
    return code;
}

static void hash_bytes_le(struct hash h, uint8_t out[16])
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(h.lo >> (8 * i));
        out[8 + i] = (uint8_t)(h.hi >> (8 * i));
    }
}

int rows_column_bytes(sqlite3_stmt *s, int column, const void **data, size_t *len)
{
    *data = sqlite3_column_blob(s, column);
    *len = (size_t)sqlite3_column_bytes(s, column);
    /* Bytes that are nowhere: SQLite is out of memory ("Result Values From A Query"). That is not damage. */
    return *data || !*len ? SQLITE_OK : SQLITE_NOMEM;
}

int rows_column_hash(sqlite3_stmt *s, int column, struct hash *out)
{
    const void *data;
    size_t len;
    struct rd r;
    int code = rows_column_bytes(s, column, &data, &len);

    rd_init(&r, data, code == SQLITE_OK ? len : 0);
    out->lo = rd_u64(&r);
    out->hi = rd_u64(&r);
    return code == SQLITE_OK && !rd_done(&r) ? SQLITE_CORRUPT : code;
}

/* ---- records ---- */

static struct hash record_sum(const char *name, const void *data, size_t len)
{
    return hash_bytes(hash_bytes((struct hash){0, 0}, name, strlen(name)), data, len);
}

int rows_record_put(struct rows *rows, const char *name, const struct buf *b)
{
    uint8_t sum[16];
    int code;
    sqlite3_stmt *s;

    if (b->failed) {
        return SQLITE_NOMEM;
    }
    s = rows_get(rows, SQL_RECORD_PUT, &code);
    if (!s) {
        return code;
    }
    hash_bytes_le(record_sum(name, b->data, b->len), sum);
    (void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_blob64(s, 2, b->data, b->len, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 3, sum, sizeof sum, SQLITE_STATIC);
    return db_run(s);
}

/* 0 and a reader over the record, valid until the statement's next use; RC_NOT_FOUND, RC_CORRUPT, … */
int rows_record_get(struct rows *rows, const char *name, struct rd *out, struct err *err)
{
    struct hash sum;
    const void *data;
    size_t len;
    int code;
    sqlite3_stmt *s = rows_get(rows, SQL_RECORD_GET, &code);

    if (!s) {
        return db_fail(&rows->db, code, "reading", err);
    }
    (void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    code = sqlite3_step(s);
    if (code == SQLITE_DONE) {
        return RC_NOT_FOUND;
    }
    if (code != SQLITE_ROW) {
        return db_fail(&rows->db, code, "reading", err);
    }
    code = rows_column_bytes(s, 0, &data, &len);
    if (code == SQLITE_OK) {
        code = rows_column_hash(s, 1, &sum);
    }
    if (code == SQLITE_NOMEM) {
        return db_fail(&rows->db, code, "reading", err);
    }
    if (code != SQLITE_OK || (!hash_eq(sum, record_sum(name, data, len)) && !MUTANT(row_sums_ignored))) {
        return err_set(err, RC_CORRUPT, "'%s' is damaged: the checksum of record '%s' does not match",
                       rows->db.path, name);
    }
    rd_init(out, data, len);
    return 0;
}

/* Ends the read that rows_record_get() began: an open one would hold up checkpoints. */
void rows_record_done(struct rows *rows)
{
    (void)sqlite3_reset(rows->stmt[SQL_RECORD_GET]);
}

void rows_meta_encode(const struct rows_meta *m, struct buf *b)
{
    buf_u64(b, m->incarnation);
    buf_u64(b, m->cluster.lo);
    buf_u64(b, m->cluster.hi);
    buf_u64(b, m->promise.term);
    buf_u32(b, m->promise.node);
    buf_u64(b, m->promise.incarnation);
    buf_u64(b, m->commit);
    buf_u64(b, m->prev_index);
    buf_u64(b, m->prev_term);
    buf_u64(b, m->prev_chain.lo);
    buf_u64(b, m->prev_chain.hi);
}

bool rows_meta_decode(struct rows_meta *m, struct rd *r)
{
    m->incarnation = rd_u64(r);
    m->cluster.lo = rd_u64(r);
    m->cluster.hi = rd_u64(r);
    m->promise.term = rd_u64(r);
    m->promise.node = rd_u32(r);
    m->promise.incarnation = rd_u64(r);
    m->commit = rd_u64(r);
    m->prev_index = rd_u64(r);
    m->prev_term = rd_u64(r);
    m->prev_chain.lo = rd_u64(r);
    m->prev_chain.hi = rd_u64(r);
    return rd_done(r);
}

void rows_snapshot_encode(const struct journal_snapshot *s, struct buf *b)
{
    buf_u64(b, s->index);
    buf_u64(b, s->term);
    buf_u64(b, s->chain.lo);
    buf_u64(b, s->chain.hi);
    buf_u64(b, s->size);
    buf_u64(b, s->digest.lo);
    buf_u64(b, s->digest.hi);
    buf_u32(b, (uint32_t)s->members.n);
    for (size_t i = 0; i < s->members.n; i++) {
        buf_u32(b, s->members.v[i].node);
        buf_u64(b, s->members.v[i].incarnation);
        buf_u8(b, s->members.v[i].votes);
        buf_u8(b, s->members.v[i].kind);
    }
    if (s->members.forced != 0) { /* A16; without it the record is as it always was */
        buf_u64(b, s->members.forced);
    }
}

bool rows_snapshot_decode(struct journal_snapshot *s, struct rd *r)
{
    s->index = rd_u64(r);
    s->term = rd_u64(r);
    s->chain.lo = rd_u64(r);
    s->chain.hi = rd_u64(r);
    s->size = rd_u64(r);
    s->digest.lo = rd_u64(r);
    s->digest.hi = rd_u64(r);
    s->members.n = rd_u32(r);
    if (s->members.n > JOURNAL_NODES_MAX || s->size > JOURNAL_SNAPSHOT_MAX) {
        return false;
    }
    for (size_t i = 0; i < s->members.n; i++) {
        s->members.v[i].node = rd_u32(r);
        s->members.v[i].incarnation = rd_u64(r);
        s->members.v[i].votes = rd_u8(r);
        s->members.v[i].kind = rd_u8(r);
    }
    s->members.forced = rd_left(r) > 0 ? rd_u64(r) : 0;
    return rd_done(r);
}

/* ---- entries ---- */

/* The journal says "the store keeps every field": a new one is to be met here, not at the next start. */
_Static_assert(sizeof(void *) != 8 ||
                   (sizeof(struct journal_entry) == 48 && sizeof(struct journal_member) == 24 &&
                    sizeof(struct journal_promise) == 24),
               "the journal's records have changed: store what is new, and raise ROWS_FORMAT");

static struct hash entry_sum(const struct journal_entry *e)
{
    struct hash h = e->chain;
    uint64_t head[3] = {e->index, e->term, (uint64_t)e->format << 8 | e->kind};
    uint8_t le[24];

    for (int i = 0; i < 24; i++) {
        le[i] = (uint8_t)(head[i / 8] >> (8 * (i % 8)));
    }
    h = hash_bytes(h, le, sizeof le);
    return hash_bytes(h, e->payload, e->len);
}

int rows_entry_put(struct rows *rows, const struct journal_entry *e)
{
    uint8_t chain[16], sum[16];
    int code;
    sqlite3_stmt *s = rows_get(rows, SQL_ENTRY_PUT, &code);

    if (!s) {
        return code;
    }
    hash_bytes_le(e->chain, chain);
    hash_bytes_le(entry_sum(e), sum);
    (void)sqlite3_bind_int64(s, 1, (int64_t)e->index);
    (void)sqlite3_bind_int64(s, 2, (int64_t)e->term);
    (void)sqlite3_bind_int(s, 3, e->format);
    (void)sqlite3_bind_int(s, 4, e->kind);
    (void)sqlite3_bind_blob(s, 5, chain, sizeof chain, SQLITE_STATIC);
    /* An empty payload is an empty blob, not NULL. */
    (void)sqlite3_bind_blob64(s, 6, e->len ? (const void *)e->payload : "", e->len, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 7, sum, sizeof sum, SQLITE_STATIC);
    return db_run(s);
}

static int entry_damaged(const struct rows *rows, const struct journal_entry *e, struct err *err)
{
    return err_set(err, RC_CORRUPT, "'%s' is damaged: the checksum of entry %llu does not match",
                   rows->db.path, (unsigned long long)e->index);
}

/* One row, its payload copied (owned). */
int rows_entry_get(struct rows *rows, sqlite3_stmt *s, struct journal_entry *e, struct err *err)
{
    struct hash sum;
    const void *payload;
    uint8_t *copy = NULL;
    size_t len;
    int code = rows_column_bytes(s, 5, &payload, &len);

    *e = (struct journal_entry){
        .index = (uint64_t)sqlite3_column_int64(s, 0),
        .term = (uint64_t)sqlite3_column_int64(s, 1),
        .format = (uint8_t)sqlite3_column_int(s, 2),
        .kind = (uint8_t)sqlite3_column_int(s, 3),
        .len = (uint32_t)len,
        .payload = payload,
    };
    if (code == SQLITE_OK) {
        code = rows_column_hash(s, 4, &e->chain);
    }
    if (code == SQLITE_OK) {
        code = rows_column_hash(s, 6, &sum);
    }
    if (code == SQLITE_NOMEM) {
        return db_fail(&rows->db, code, "reading", err);
    }
    if (code != SQLITE_OK || len > JOURNAL_PAYLOAD_MAX ||
        (!hash_eq(sum, entry_sum(e)) && !MUTANT(row_sums_ignored))) {
        return entry_damaged(rows, e, err);
    }
    if (len) {
        copy = malloc(len);
        if (!copy) {
            return err_set(err, RC_NO_MEMORY, "out of memory");
        }
        memcpy(copy, payload, len);
    }
    e->payload = copy;
    return 0;
}
