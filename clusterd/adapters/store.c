#include "adapters/store.h"

#include "adapters/history.h"
#include "adapters/mark.h"
#include "adapters/rows.h"
#include "common/mutant.h"
#include "common/rc.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define STORE_ENTRIES_MAX 1000000 /* in one load; the journal snapshots long before */

struct store {
    char dir[PATH_MAX];
    struct rows rows;
    struct rows_meta meta; /* as stored */
    uint64_t last;         /* index of the last stored entry; meta.prev_index when there is none */
    uint64_t snapshot;     /* index of the stored snapshot's blob; 0: none */
    struct hash digest;    /* of that blob */
    struct mark mark;
    struct journal_mark mark_due; /* what the mark's file is to say soon */
    bool mark_waits;
    bool sync_lost; /* an fsync of the mark failed outside of a persist: the next persist says so (A4) */
    struct history history;
    bool history_open;
    void (*say)(void *ctx, const char *text);
    void (*pending)(void *ctx);
    void *ctx;
};

static void say(struct store *st, const char *text)
{
    if (st->say && text[0]) {
        st->say(st->ctx, text);
    }
}

/* ---- loading ---- */

static int load_meta(struct store *st, struct journal_load *out, int *found, struct err *err)
{
    struct rd r;
    int rc = rows_record_get(&st->rows, "meta", &r, err);

    st->meta = (struct rows_meta){0};
    if (rc == RC_NOT_FOUND) {
        return 0; /* new */
    }
    *found += rc == 0;
    if (rc == 0 && !rows_meta_decode(&st->meta, &r)) {
        rc = err_set(err, RC_CORRUPT, "'%s' is damaged: record 'meta' cannot be read", st->rows.db.path);
    }
    rows_record_done(&st->rows);
    out->incarnation = st->meta.incarnation;
    out->cluster = st->meta.cluster;
    out->promise = st->meta.promise;
    out->commit = st->meta.commit;
    out->prev.index = st->meta.prev_index;
    out->prev.term = st->meta.prev_term;
    out->prev.chain = st->meta.prev_chain;
    return rc;
}

static int load_blob(struct store *st, struct journal_load *out, struct err *err)
{
    int code;
    sqlite3_stmt *s = rows_get(&st->rows, SQL_BLOB_GET, &code);
    const void *data = NULL;
    size_t len = 0;
    bool found = false;

    if (s) {
        (void)sqlite3_bind_int64(s, 1, (int64_t)out->snapshot.index);
        code = sqlite3_step(s);
        found = code == SQLITE_ROW;
    }
    if (found) {
        code = rows_column_bytes(s, 0, &data, &len);
    }
    if (code != SQLITE_OK && code != SQLITE_DONE) {
        return db_fail(&st->rows.db, code, "reading", err);
    }
    if (!found || len != out->snapshot.size ||
        !hash_eq(hash_bytes((struct hash){0, 0}, data, out->snapshot.size), out->snapshot.digest)) {
        return err_set(err, RC_CORRUPT, "'%s' is damaged: the snapshot at %llu is not as it was stored",
                       st->rows.db.path, (unsigned long long)out->snapshot.index);
    }
    out->blob = malloc(out->snapshot.size + 1);
    if (!out->blob) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    if (data) {
        memcpy(out->blob, data, out->snapshot.size);
    }
    (void)sqlite3_reset(s); /* SQLite's copy goes now */
    st->snapshot = out->snapshot.index;
    st->digest = out->snapshot.digest;
    return 0;
}

static int load_snapshot(struct store *st, struct journal_load *out, int *found, struct err *err)
{
    struct rd r;
    int rc = rows_record_get(&st->rows, "snapshot", &r, err);

    st->snapshot = 0;
    if (rc == RC_NOT_FOUND) {
        return 0;
    }
    *found += rc == 0;
    if (rc == 0 && !rows_snapshot_decode(&out->snapshot, &r)) {
        rc = err_set(err, RC_CORRUPT, "'%s' is damaged: record 'snapshot' cannot be read", st->rows.db.path);
    }
    rows_record_done(&st->rows);
    return rc || !out->snapshot.index ? rc : load_blob(st, out, err);
}

/* Records have checksums, but a damaged name makes one look as if it had never been there. */
static int check_records(struct store *st, int found, struct err *err)
{
    int code, n = 0;
    sqlite3_stmt *s = rows_get(&st->rows, SQL_RECORD_COUNT, &code);

    if (s) {
        code = sqlite3_step(s);
        n = code == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;
        (void)sqlite3_reset(s);
    }
    if (code != SQLITE_ROW) {
        return db_fail(&st->rows.db, code, "reading", err);
    }
    return n == found || MUTANT(damaged_name_is_absent)
               ? 0
               : err_set(err, RC_CORRUPT, "'%s' is damaged: %d records, of which %d can be found",
                         st->rows.db.path, n, found);
}

static int append_entry(struct store *st, sqlite3_stmt *s, struct journal_load *out, size_t *cap,
                        struct err *err)
{
    int rc;

    if (out->n_entries == *cap) {
        size_t more = *cap ? *cap * 2 : 256;
        struct journal_entry *grown = reallocarray(out->entries, more, sizeof *grown);

        if (!grown) {
            return err_set(err, RC_NO_MEMORY, "out of memory");
        }
        out->entries = grown;
        *cap = more;
    }
    rc = rows_entry_get(&st->rows, s, &out->entries[out->n_entries], err);
    if (rc) {
        return rc;
    }
    if (out->entries[out->n_entries].index != st->last + 1 || out->n_entries >= STORE_ENTRIES_MAX) {
        rc = err_set(err, RC_CORRUPT, "'%s' is damaged: entry %llu follows entry %llu", st->rows.db.path,
                     (unsigned long long)out->entries[out->n_entries].index, (unsigned long long)st->last);
    }
    st->last = out->entries[out->n_entries++].index;
    return rc;
}

static int load_entries(struct store *st, struct journal_load *out, struct err *err)
{
    size_t cap = 0;
    int rc = 0, code;
    sqlite3_stmt *s = rows_get(&st->rows, SQL_ENTRY_ALL, &code);

    st->last = st->meta.prev_index;
    if (!s) {
        return db_fail(&st->rows.db, code, "reading", err);
    }
    while (rc == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
        rc = append_entry(st, s, out, &cap, err);
    }
    if (rc == 0 && code != SQLITE_DONE) {
        rc = db_fail(&st->rows.db, code, "reading", err);
    }
    (void)sqlite3_reset(s);
    return rc;
}

static void flush_mark(struct store *st)
{
    struct err err = ERR_INIT;
    bool fsync_failed = false;

    if (!st->mark_waits) {
        return;
    }
    st->mark_waits = false;
    if (mark_write(&st->mark, &st->mark_due, &fsync_failed, &err) != 0) {
        st->sync_lost = st->sync_lost || fsync_failed;
        say(st, err.msg);
    }
}

static void close_db(struct store *st)
{
    flush_mark(st);
    rows_close(&st->rows);
    mark_close(&st->mark);
}

static int open_db(struct store *st, struct err *err)
{
    char path[PATH_MAX];
    int rc;

    (void)snprintf(path, sizeof path, "%.4000s/" STORE_DB, st->dir);
    rc = rows_open(&st->rows, path, err);
    if (rc == 0) {
        rc = db_sync_dir(st->dir, err);
    }
    return rc;
}

/* A damaged mark beside a good store: the store is whole, only the proof of it is gone. */
static int open_mark(struct store *st, struct err *err)
{
    static const char *const files[] = {MARK_FILE};
    struct err why = ERR_INIT;
    char where[PATH_MAX], text[PATH_MAX];
    int rc = mark_open(&st->mark, st->dir, &why);

    if (rc == RC_CORRUPT) {
        rc = db_set_aside(st->dir, files, 1, why.msg, where, err);
        if (rc == 0) {
            (void)snprintf(text, sizeof text, "the acknowledged mark was set aside in '%.3000s': %s", where,
                           why.msg);
            say(st, text);
            rc = mark_open(&st->mark, st->dir, err);
        }
    } else if (rc) {
        *err = why;
    }
    return rc;
}

static int load_all(struct store *st, struct journal_load *out, struct err *err)
{
    int rc = open_db(st, err), found = 0;

    if (rc == 0) {
        rc = load_meta(st, out, &found, err);
    }
    if (rc == 0) {
        rc = load_snapshot(st, out, &found, err);
    }
    if (rc == 0) {
        rc = check_records(st, found, err);
    }
    if (rc == 0) {
        rc = load_entries(st, out, err);
    }
    if (rc == 0) {
        rc = open_mark(st, err);
    }
    if (rc == 0) {
        out->mark = st->mark.last;
    }
    return rc;
}

/* True when a journal of this node lies in aside/: nothing is created in its place without an operator (A10).
 */
static bool was_set_aside(const struct store *st)
{
    char pattern[PATH_MAX];
    glob_t g = {0};
    bool found;

    (void)snprintf(pattern, sizeof pattern, "%.4000s/aside/*/clusterd.*", st->dir);
    found = glob(pattern, GLOB_NOSORT, NULL, &g) == 0;
    globfree(&g);
    return found;
}

static int draw_fresh(struct journal_load *out, struct err *err)
{
    uint64_t r[3];

    do {
        if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r) {
            return err_set(err, RC_FAILED, "no random numbers: %s", strerror(errno));
        }
    } while (!r[0] || !(r[1] | r[2]));
    out->fresh.incarnation = r[0];
    out->fresh.cluster.lo = r[1];
    out->fresh.cluster.hi = r[2];
    return 0;
}

static int store_set_aside(void *ctx, const char *why, struct err *err)
{
    /* The database first: without it the rest means nothing, whenever we are interrupted. */
    static const char *const files[] = {STORE_DB, STORE_DB "-wal", STORE_DB "-journal", MARK_FILE};
    struct store *st = ctx;
    char where[PATH_MAX], text[PATH_MAX + 600];
    int rc;

    close_db(st);
    rc = db_set_aside(st->dir, files, sizeof files / sizeof files[0], why, where, err);
    if (rc == 0) {
        (void)snprintf(text, sizeof text, "the journal was set aside in '%s': %.500s", where, why);
        say(st, text);
    }
    return rc;
}

static int load_history(struct store *st, struct err *err)
{
    char note[PATH_MAX];
    int rc;

    if (st->history_open) {
        return 0;
    }
    rc = history_open(&st->history, st->dir, note, err);
    st->history_open = rc == 0;
    say(st, note);
    return rc;
}

static int store_load(void *ctx, struct journal_load *out, struct err *err)
{
    struct store *st = ctx;
    struct err why = ERR_INIT;
    int rc;

    *out = (struct journal_load){0};
    close_db(st);
    rc = load_history(st, &why);
    if (rc == 0) {
        rc = load_all(st, out, &why);
    }
    if (rc == RC_CORRUPT) {
        journal_load_fini(out);
        rc = store_set_aside(st, why.msg, &why);
        if (rc == 0) {
            rc = load_all(st, out, &why);
        }
    }
    if (rc == 0) {
        out->lost = was_set_aside(st);
        rc = draw_fresh(out, &why);
    }
    if (rc) {
        journal_load_fini(out);
        close_db(st);
        if (err) {
            *err = why;
        }
        return rc == RC_REFUSED || rc == RC_NO_MEMORY ? rc : RC_IO;
    }
    return 0;
}

/* ---- persisting ---- */

/* A transaction that is being made: what the store will be when it has been committed. */
struct change {
    struct rows_meta meta;
    uint64_t last, snapshot;
    struct hash digest;
};

static int do_snapshot(struct store *st, struct change *c, const struct journal_snapshot *s,
                       const uint8_t *blob)
{
    struct buf b = BUF_INIT;
    int code = rows_run(&st->rows, SQL_BLOB_CLEAR);
    sqlite3_stmt *put = code == SQLITE_OK && s->index ? rows_get(&st->rows, SQL_BLOB_PUT, &code) : NULL;

    if (put) {
        (void)sqlite3_bind_int64(put, 1, (int64_t)s->index);
        (void)sqlite3_bind_blob64(put, 2, s->size ? (const void *)blob : "", s->size, SQLITE_STATIC);
        code = db_run(put);
        (void)sqlite3_clear_bindings(put);
    }
    if (code == SQLITE_OK) {
        rows_snapshot_encode(s, &b);
        code = rows_record_put(&st->rows, "snapshot", &b);
        c->snapshot = s->index;
        c->digest = s->digest;
    }
    buf_fini(&b);
    return code;
}

static int do_install(struct store *st, struct change *c, const struct journal_persist *p)
{
    int code = rows_run(&st->rows, SQL_ENTRY_CLEAR);

    if (code != SQLITE_OK) {
        return code;
    }
    c->last = c->meta.prev_index = p->install->index;
    c->meta.prev_term = p->install->term;
    c->meta.prev_chain = p->install->chain;
    return do_snapshot(st, c, p->install, p->blob);
}

static int do_append(struct store *st, struct change *c, const struct journal *j,
                     const struct journal_persist *p)
{
    int code = SQLITE_OK;

    for (uint64_t i = p->first; i <= p->last && code == SQLITE_OK; i++) {
        const struct journal_entry *e = journal_entry_at(j, i);

        if (!e || (i != c->last + 1 && !MUTANT(gaps_stored))) {
            return SQLITE_MISUSE; /* A4: the store refuses gaps */
        }
        code = rows_entry_put(&st->rows, e);
        c->last = i;
    }
    return code;
}

static int do_trim(struct store *st, struct change *c, uint64_t to)
{
    int code;
    sqlite3_stmt *s = rows_get(&st->rows, SQL_ENTRY_GET, &code);

    if (!s) {
        return code;
    }
    (void)sqlite3_bind_int64(s, 1, (int64_t)to);
    code = sqlite3_step(s);
    if (code != SQLITE_ROW) {
        return code == SQLITE_DONE ? SQLITE_MISUSE : code;
    }
    c->meta.prev_index = to;
    c->meta.prev_term = (uint64_t)sqlite3_column_int64(s, 0);
    code = rows_column_hash(s, 1, &c->meta.prev_chain);
    (void)sqlite3_reset(s);
    return code != SQLITE_OK ? code : rows_run_index(&st->rows, SQL_ENTRY_TRIM, to);
}

static int do_persist(struct store *st, struct change *c, const struct journal *j,
                      const struct journal_persist *p)
{
    struct buf b = BUF_INIT;
    int code = SQLITE_OK;

    c->meta.incarnation = p->incarnation;
    c->meta.cluster = p->cluster;
    c->meta.promise = p->promise;
    c->meta.commit = p->commit;
    if (p->install) {
        code = do_install(st, c, p);
    }
    if (code == SQLITE_OK && p->truncate_from && p->truncate_from <= c->last) {
        code = p->truncate_from > c->meta.prev_index
                   ? rows_run_index(&st->rows, SQL_ENTRY_CUT, p->truncate_from)
                   : SQLITE_MISUSE;
        c->last = p->truncate_from - 1;
    }
    if (code == SQLITE_OK && p->first) {
        code = do_append(st, c, j, p);
    }
    if (code == SQLITE_OK && p->trim_to > c->meta.prev_index) {
        code = do_trim(st, c, p->trim_to);
    }
    if (code == SQLITE_OK) {
        rows_meta_encode(&c->meta, &b);
        code = rows_record_put(&st->rows, "meta", &b);
    }
    buf_fini(&b);
    return code;
}

/* Commits what was done, or takes it back. A failed commit leaves the store's view of itself in doubt: the
 * caller loads again (A4). */
static int finish(struct store *st, const struct change *c, int code, bool *fsync_failed, struct err *err)
{
    if (code == SQLITE_OK) {
        code = rows_run(&st->rows, SQL_COMMIT);
    }
    if (code != SQLITE_OK) {
        int rc;

        *fsync_failed = db_is_fsync(code);
        rc = code == SQLITE_MISUSE
                 ? err_set(err, RC_IO, "'%s': the entries to be stored do not follow those stored",
                           st->rows.db.path)
                 : db_fail(&st->rows.db, code, "writing", err);
        if (!sqlite3_get_autocommit(st->rows.db.h)) {
            (void)rows_run(&st->rows, SQL_ROLLBACK);
        }
        return rc == RC_CORRUPT ? RC_IO : rc;
    }
    st->meta = c->meta;
    st->last = c->last;
    st->snapshot = c->snapshot;
    st->digest = c->digest;
    /* Only a failed fsync matters here: what was committed is durable in the write-ahead log. */
    code = db_checkpoint(&st->rows.db);
    if (db_is_fsync(code) && !MUTANT(failed_checkpoint_ignored)) {
        *fsync_failed = true;
        return db_fail(&st->rows.db, code, "moving the log of", err);
    }
    return 0;
}

static int begin(struct store *st, struct change *c, struct err *err)
{
    if (!st->rows.db.h) {
        return err_set(err, RC_IO, "the journal's store is closed");
    }
    *c = (struct change){.meta = st->meta, .last = st->last, .snapshot = st->snapshot, .digest = st->digest};
    return 0;
}

/*
 * The mark is written after the transaction: a crash in between leaves a store ahead of its mark, which is
 * harmless (A10). A new promise is in it before anybody hears of it. An index that has only grown follows
 * within half a second: what a shortened store has lost is told by the peers as well, who remember what was
 * acknowledged to them, and a second fsync would stand in the way of every command.
 */
static int note_mark(struct store *st, const struct journal_mark *m, bool *fsync_failed, struct err *err)
{
    const struct journal_mark *last = &st->mark.last;
    bool grown = last->incarnation == m->incarnation && last->term == m->term &&
                 memcmp(&last->cluster, &m->cluster, sizeof m->cluster) == 0 && m->index >= last->index;

    if (!grown || !st->pending) {
        st->mark_waits = false;
        return mark_write(&st->mark, m, fsync_failed, err);
    }
    st->mark_due = *m;
    if (!st->mark_waits && m->index > last->index) {
        st->mark_waits = true;
        st->pending(st->ctx);
    }
    return 0;
}

static int store_persist(void *ctx, const struct journal *j, const struct journal_persist *p,
                         bool *fsync_failed, struct err *err)
{
    struct store *st = ctx;
    struct change c;
    int rc = begin(st, &c, err), code;

    *fsync_failed = false;
    if (rc == 0 && st->sync_lost) {
        st->sync_lost = false;
        *fsync_failed = true;
        rc = err_set(err, RC_IO, "an fsync of the acknowledged mark failed");
    }
    if (rc) {
        return rc;
    }
    code = rows_run(&st->rows, SQL_BEGIN);
    if (code == SQLITE_OK) {
        code = do_persist(st, &c, j, p);
    }
    rc = finish(st, &c, code, fsync_failed, err);
    return rc ? rc : note_mark(st, &p->mark, fsync_failed, err);
}

static int store_snapshot(void *ctx, const struct journal_snapshot *s, const uint8_t *blob,
                          bool *fsync_failed, struct err *err)
{
    struct store *st = ctx;
    struct change c;
    int rc = begin(st, &c, err), code;

    *fsync_failed = false;
    if (rc) {
        return rc;
    }
    (void)history_sync(&st->history, NULL); /* a trail that cannot be written must not stop the journal */
    code = rows_run(&st->rows, SQL_BEGIN);
    if (code == SQLITE_OK) {
        code = do_snapshot(st, &c, s, blob);
    }
    return finish(st, &c, code, fsync_failed, err);
}

/* Is the blob still what was stored? Asked once for each reader, at its beginning: whoever got it would find
 * out, and ask for it again for ever. */
static int check_blob(struct store *st)
{
    const void *data = NULL;
    size_t len = 0;
    int code;
    sqlite3_stmt *s = rows_get(&st->rows, SQL_BLOB_GET, &code);

    if (!s) {
        return code;
    }
    (void)sqlite3_bind_int64(s, 1, (int64_t)st->snapshot);
    code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        code = rows_column_bytes(s, 0, &data, &len);
    }
    if (code == SQLITE_DONE ||
        (code == SQLITE_OK && !hash_eq(hash_bytes((struct hash){0, 0}, data, len), st->digest))) {
        code = SQLITE_CORRUPT;
    }
    (void)sqlite3_reset(s); /* SQLite's copy goes now */
    return code;
}

static int store_snapshot_read(void *ctx, uint64_t index, uint64_t offset, void *out, size_t len)
{
    struct store *st = ctx;
    sqlite3_blob *b = NULL;
    int code;

    if (!st->rows.db.h || !index || index != st->snapshot) {
        return RC_NOT_FOUND;
    }
    code = sqlite3_blob_open(st->rows.db.h, "main", "blob", "data", (sqlite3_int64)index, 0, &b);
    if (code == SQLITE_OK) {
        uint64_t size = (uint64_t)sqlite3_blob_bytes(b);

        if (offset > size || len > size - offset) {
            code = SQLITE_RANGE;
        } else {
            code = offset == 0 && !MUTANT(bad_snapshot_handed_on) ? check_blob(st) : SQLITE_OK;
        }
        if (code == SQLITE_OK) {
            code = sqlite3_blob_read(b, out, (int)len, (int)offset);
        }
    }
    (void)sqlite3_blob_close(b);
    return code == SQLITE_OK      ? 0
           : code == SQLITE_RANGE ? RC_USAGE
                                  : db_fail(&st->rows.db, code, "reading", NULL);
}

/* ---- history ---- */

/* A trail that is damaged is begun anew; what waits enters that one. */
static int history_result(struct store *st, int rc, struct err *err)
{
    char text[PATH_MAX];

    if (rc == RC_CORRUPT) {
        rc = history_renew(&st->history, text, err);
        st->history_open = rc == 0;
        if (rc) {
            history_close(&st->history);
        }
        say(st, text);
    }
    if (rc) {
        (void)snprintf(text, sizeof text, "%s%s%s", err->msg, err->hint[0] ? "; " : "", err->hint);
        say(st, text);
    }
    return rc;
}

static int store_history_add(void *ctx, const struct history_row *row)
{
    struct store *st = ctx;
    struct err err = ERR_INIT;
    int rc;

    if (!st->history_open) {
        return RC_IO;
    }
    rc = history_result(st, history_add(&st->history, row, &err), &err);
    if (rc == 0 && st->history.pendings == 1 && st->pending) {
        st->pending(st->ctx);
    }
    return rc;
}

static int store_history_trim(void *ctx, uint32_t max_days, uint32_t max_mib, int64_t now_ms)
{
    struct store *st = ctx;
    struct err err = ERR_INIT;

    return !st->history_open
               ? RC_IO
               : history_result(st, history_trim(&st->history, max_days, max_mib, now_ms, &err), &err);
}

static int store_history_read(void *ctx, const struct history_filter *f,
                              void (*cb)(void *cb_ctx, const struct history_row *row), void *cb_ctx)
{
    struct store *st = ctx;
    struct err err = ERR_INIT;

    return !st->history_open ? RC_IO
                             : history_result(st, history_read(&st->history, f, cb, cb_ctx, &err), &err);
}

void store_flush(struct store *st)
{
    struct err err = ERR_INIT;

    flush_mark(st);
    if (st->history_open) {
        (void)history_result(st, history_flush(&st->history, &err), &err);
    }
}

/* ---- the whole ---- */

struct store *store_new(const char *dir, void (*say_fn)(void *ctx, const char *text),
                        void (*pending)(void *ctx), void *ctx)
{
    struct store *st = calloc(1, sizeof *st);

    if (st) {
        (void)snprintf(st->dir, sizeof st->dir, "%s", dir);
        st->mark.fd = -1;
        st->say = say_fn;
        st->pending = pending;
        st->ctx = ctx;
    }
    return st;
}

void store_free(struct store *st)
{
    if (!st) {
        return;
    }
    close_db(st);
    if (st->history_open) {
        history_close(&st->history);
    }
    free(st);
}

void store_port(struct store *st, struct store_port *out)
{
    *out = (struct store_port){
        .ctx = st,
        .persist = store_persist,
        .load = store_load,
        .set_aside = store_set_aside,
        .snapshot = store_snapshot,
        .snapshot_read = store_snapshot_read,
        .history_add = store_history_add,
        .history_trim = store_history_trim,
        .history_read = store_history_read,
    };
}
