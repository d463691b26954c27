/*
 * test_store.c - the journal's store, its mark and the audit trail: what was acknowledged is there again, and
 * what is damaged, full or half written never looks like something else (A4, A6, A10).
 */
#include "adapters/db.h"
#include "adapters/history.h"
#include "adapters/mark.h"
#include "adapters/store.h"
#include "common/rc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a journal's memory, as far as the store looks into it ---- */

#define MODEL_MAX 2000

struct journal {
    struct journal_entry e[MODEL_MAX]; /* by index */
};

const struct journal_entry *journal_entry_at(const struct journal *j, uint64_t index)
{
    return index < MODEL_MAX && j->e[index].index ? &j->e[index] : NULL;
}

void journal_load_fini(struct journal_load *l)
{
    for (size_t i = 0; i < l->n_entries; i++) {
        free((void *)(uintptr_t)l->entries[i].payload);
    }
    free(l->entries);
    free(l->blob);
    memset(l, 0, sizeof *l);
}

/* ---- what should be stored ---- */

struct model {
    struct journal j;
    struct journal_persist p; /* the last one: incarnation, promise, commit, mark */
    uint64_t prev, last;
    uint64_t prev_term;
    struct hash prev_chain;
    struct journal_snapshot snap;
    uint8_t *blob;
};

static uint64_t rnd_state;

static uint64_t rnd(uint64_t below)
{
    rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (rnd_state >> 33) % below;
}

static void model_entry(struct model *m, uint64_t index, uint64_t term)
{
    struct journal_entry *e = &m->j.e[index];
    size_t len = rnd(4) == 0 ? 0 : rnd(20) == 0 ? 3000 + rnd(30000) : 1 + rnd(300);
    uint8_t *payload = malloc(len + 1);

    for (size_t i = 0; i < len; i++) {
        payload[i] = (uint8_t)rnd(256);
    }
    free((void *)(uintptr_t)e->payload);
    *e = (struct journal_entry){.index = index,
                                .term = term,
                                .format = (uint8_t)rnd(256),
                                .kind = (uint8_t)rnd(256),
                                .len = (uint32_t)len,
                                .payload = payload,
                                .chain = {rnd_state, index}};
}

static void model_fini(struct model *m)
{
    for (int i = 0; i < MODEL_MAX; i++) {
        free((void *)(uintptr_t)m->j.e[i].payload);
    }
    free(m->blob);
    free(m);
}

static struct model *model_new(uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);

    rnd_state = seed;
    m->p.incarnation = 0xfedcba9876543210ULL + seed;
    m->p.cluster = (struct journal_uuid){7, 9};
    m->p.promise = (struct journal_promise){1, 2, 3};
    return m;
}

static void model_base(struct model *m, uint64_t index, uint64_t term, struct hash chain)
{
    m->prev = index;
    m->prev_term = term;
    m->prev_chain = chain;
}

/* Draws the next transaction, in the order in which the store carries it out. */
static void model_step(struct model *m, uint8_t **blob)
{
    struct journal_persist *p = &m->p;

    p->seq++;
    p->install = NULL;
    p->blob = NULL;
    p->truncate_from = p->first = p->last = p->trim_to = 0;
    *blob = NULL;
    if (rnd(40) == 0) {
        m->snap.index = m->last + 1 + rnd(5);
        m->snap.term = p->promise.term;
        m->snap.chain = (struct hash){rnd_state, 1};
        m->snap.size = rnd(20000);
        m->snap.members.n = 1 + rnd(3);
        for (size_t i = 0; i < m->snap.members.n; i++) {
            m->snap.members.v[i] = (struct journal_member){(uint32_t)i + 1, rnd(1u << 30), 1, JOURNAL_NODE};
        }
        *blob = malloc(m->snap.size + 1);
        memset(*blob, (int)rnd(256), m->snap.size + 1);
        m->snap.digest = hash_bytes((struct hash){0, 0}, *blob, m->snap.size);
        p->install = &m->snap;
        p->blob = *blob;
        free(m->blob);
        m->blob = *blob;
        model_base(m, m->snap.index, m->snap.term, m->snap.chain);
        m->last = m->snap.index;
    }
    if (rnd(6) == 0 && m->last > m->prev) {
        p->truncate_from = m->prev + 1 + rnd(m->last - m->prev);
        m->last = p->truncate_from - 1;
        p->promise.term++;
    }
    if (rnd(8) != 0) {
        p->first = m->last + 1;
        p->last = m->last + 1 + rnd(4);
        for (uint64_t i = p->first; i <= p->last; i++) {
            model_entry(m, i, p->promise.term);
        }
        m->last = p->last;
    }
    p->commit = m->prev + rnd(m->last - m->prev + 1);
    if (rnd(10) == 0 && p->commit > m->prev) {
        p->trim_to = m->prev + 1 + rnd(p->commit - m->prev);
        model_base(m, p->trim_to, m->j.e[p->trim_to].term, m->j.e[p->trim_to].chain);
    }
    p->mark = (struct journal_mark){p->incarnation, p->cluster, p->promise.term, m->last};
}

static bool load_equals(const struct model *m, const struct journal_load *l)
{
    if (l->incarnation != m->p.incarnation || l->cluster.lo != 7 || l->cluster.hi != 9 ||
        l->promise.term != m->p.promise.term || l->promise.node != 2 || l->promise.incarnation != 3 ||
        l->commit != m->p.commit || l->prev.index != m->prev || l->prev.term != m->prev_term ||
        !hash_eq(l->prev.chain, m->prev_chain) || l->n_entries != m->last - m->prev ||
        l->snapshot.index != m->snap.index) {
        return false;
    }
    if (m->snap.index && (l->snapshot.term != m->snap.term || l->snapshot.size != m->snap.size ||
                          l->snapshot.members.n != m->snap.members.n ||
                          memcmp(l->snapshot.members.v, m->snap.members.v,
                                 l->snapshot.members.n * sizeof m->snap.members.v[0]) != 0 ||
                          memcmp(l->blob, m->blob, l->snapshot.size) != 0)) {
        return false;
    }
    for (size_t i = 0; i < l->n_entries; i++) {
        const struct journal_entry *a = &l->entries[i], *b = &m->j.e[m->prev + 1 + i];

        if (a->index != b->index || a->term != b->term || a->format != b->format || a->kind != b->kind ||
            a->len != b->len || !hash_eq(a->chain, b->chain) ||
            memcmp(a->payload ? a->payload : b->payload, b->payload, a->len) != 0) {
            return false;
        }
    }
    return true;
}

static bool mark_equals(const struct journal_mark *a, const struct journal_mark *b)
{
    return a->incarnation == b->incarnation && a->term == b->term && a->index == b->index;
}

/* ---- folders ---- */

static char base[64];

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        char sub[PATH_MAX];

        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            (void)snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
            if (unlink(sub) < 0) {
                remove_tree(sub);
            }
        }
    }
    if (d) {
        (void)closedir(d);
    }
    (void)rmdir(path);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof base, "/tmp/test_store.XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    remove_tree(base);
    return 0;
}

static void sub(char out[PATH_MAX], const char *name)
{
    (void)snprintf(out, PATH_MAX, "%s/%s", base, name);
}

static unsigned count_entries(const char *name)
{
    char path[PATH_MAX];
    unsigned n = 0;
    struct dirent *e;
    DIR *d;

    sub(path, name);
    d = opendir(path);
    while (d && (e = readdir(d))) {
        n += e->d_name[0] != '.';
    }
    if (d) {
        (void)closedir(d);
    }
    return n;
}

static uint8_t *slurp(const char *name, size_t *len)
{
    char path[PATH_MAX];
    struct stat sb;
    uint8_t *data;
    int fd;

    sub(path, name);
    fd = open(path, O_RDONLY);
    if (fd < 0) {
        *len = 0;
        return calloc(1, 1);
    }
    assert_int_equal(fstat(fd, &sb), 0);
    data = malloc((size_t)sb.st_size + 1);
    assert_int_equal(read(fd, data, (size_t)sb.st_size), sb.st_size);
    (void)close(fd);
    *len = (size_t)sb.st_size;
    return data;
}

static void spill(const char *name, const uint8_t *data, size_t len)
{
    char path[PATH_MAX];
    int fd;

    sub(path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

static char said[2000];

static void on_say(void *ctx, const char *text)
{
    (void)ctx;
    (void)snprintf(said, sizeof said, "%s", text);
}

static struct store *open_store(struct store_port *port)
{
    struct store *st = store_new(base, on_say, NULL, NULL);

    assert_non_null(st);
    store_port(st, port);
    said[0] = '\0';
    return st;
}

/* ---- the journal ---- */

static void reload_is_equal(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct model *m = model_new(seed);
        struct store_port port;
        struct store *st = open_store(&port);
        struct journal_load l;
        struct err err = ERR_INIT;
        bool fsync_failed;

        assert_int_equal(port.load(port.ctx, &l, &err), 0);
        assert_int_equal(l.incarnation, 0);
        assert_int_equal(l.n_entries, 0);
        assert_false(l.lost);
        assert_int_not_equal(l.fresh.incarnation, 0);
        for (int i = 0; i < 150; i++) {
            uint8_t *blob;

            model_step(m, &blob);
            assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
            if (i % 7 == 0) {
                journal_load_fini(&l);
                if (port.load(port.ctx, &l, &err)) {
                    fail_msg("%s", err.msg);
                }
                assert_true(load_equals(m, &l));
                assert_true(mark_equals(&l.mark, &m->p.mark));
            }
        }
        assert_string_equal(said, "");
        journal_load_fini(&l);
        store_free(st);
        model_fini(m);
        remove_tree(base);
        assert_int_equal(mkdir(base, 0700), 0);
    }
}

static void gaps_are_refused(void **state)
{
    struct model *m = model_new(5);
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed;

    (void)state;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    for (uint64_t i = 1; i < 9; i++) {
        model_entry(m, i, 1);
    }
    m->p.first = 1;
    m->p.last = 3;
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    m->p.first = 5;
    m->p.last = 6;
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), RC_IO);
    assert_non_null(strstr(err.msg, "do not follow"));
    m->p.first = 4;
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    store_free(st);
    model_fini(m);
}

static void snapshots_are_read_in_pieces(void **state)
{
    struct journal_snapshot s = {.index = 3, .term = 1, .size = 100000};
    struct model *m = model_new(8);
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    uint8_t *blob = malloc(s.size), piece[1000];
    bool fsync_failed;

    (void)state;
    for (size_t i = 0; i < s.size; i++) {
        blob[i] = (uint8_t)rnd(256);
    }
    s.digest = hash_bytes((struct hash){0, 0}, blob, s.size);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    assert_int_equal(port.snapshot_read(port.ctx, 3, 0, piece, 1), RC_NOT_FOUND);
    for (uint64_t i = 1; i < 5; i++) {
        model_entry(m, i, 1);
    }
    m->p.first = 1;
    m->p.last = 4;
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    assert_int_equal(port.snapshot(port.ctx, &s, blob, &fsync_failed, &err), 0);
    assert_int_equal(port.snapshot_read(port.ctx, 3, 99000, piece, 1000), 0);
    assert_memory_equal(piece, blob + 99000, 1000);
    assert_int_equal(port.snapshot_read(port.ctx, 3, 99001, piece, 1000), RC_USAGE);
    assert_int_equal(port.snapshot_read(port.ctx, 2, 0, piece, 1), RC_NOT_FOUND);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_int_equal(l.snapshot.index, 3);
    assert_int_equal(l.n_entries, 4); /* the tail stays until the journal trims it */
    assert_memory_equal(l.blob, blob, s.size);
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
    free(blob);
}

/* ---- damage ---- */

static const char *const db_files[] = {STORE_DB, STORE_DB "-wal", MARK_FILE};

struct saved_files {
    uint8_t *data[3];
    size_t len[3];
};

static void keep_files(struct saved_files *k)
{
    for (int i = 0; i < 3; i++) {
        k->data[i] = slurp(db_files[i], &k->len[i]);
    }
}

static void restore_files(const struct saved_files *k)
{
    remove_tree(base);
    assert_int_equal(mkdir(base, 0700), 0);
    for (int i = 0; i < 3; i++) {
        if (k->len[i]) {
            spill(db_files[i], k->data[i], k->len[i]);
        }
    }
}

static void drop_files(struct saved_files *k)
{
    for (int i = 0; i < 3; i++) {
        free(k->data[i]);
    }
}

/* After damage: as it was; or set aside, and new; or shortened, which the mark shows. Never anything else. */
static void check_damaged(const struct model *m, const char *what)
{
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    int rc = port.load(port.ctx, &l, &err);

    if (rc) {
        fail_msg("%s: load answers %d: %s", what, rc, err.msg);
    }
    if (l.incarnation == 0 && l.n_entries == 0) {
        bool shows = l.mark.incarnation == m->p.incarnation; /* an emptied file beside its mark */

        if (!shows && (count_entries("aside") != 1 || !strstr(said, "set aside"))) {
            fail_msg("%s: the store is new, and nothing was set aside", what);
        }
    } else if (!load_equals(m, &l)) {
        uint64_t last = l.prev.index + l.n_entries;

        if (!mark_equals(&l.mark, &m->p.mark) || (last >= l.mark.index && l.promise.term >= l.mark.term)) {
            fail_msg("%s: changed unnoticed (last %llu, mark %llu)", what, (unsigned long long)last,
                     (unsigned long long)l.mark.index);
        }
    }
    journal_load_fini(&l);
    store_free(st);
}

/* A store with something in its file and something in its write-ahead log. Each step stores an entry, so that
 * every lost transaction is one that the mark knows. */
static struct model *damaged_model(struct saved_files *k, bool in_log)
{
    struct model *m = model_new(77);
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed;

    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    for (int i = 0; i < 40; i++) {
        m->p.first = m->p.last = ++m->last;
        model_entry(m, m->last, 1);
        m->p.mark = (struct journal_mark){m->p.incarnation, m->p.cluster, 1, m->last};
        assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    }
    store_free(st);
    if (!in_log) {
        sqlite3 *h = NULL;
        char path[PATH_MAX];

        sub(path, STORE_DB);
        assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
        /* The connection must have read something, else there is nothing that it would move. */
        assert_int_equal(
            sqlite3_exec(h, "SELECT count(*) FROM entry; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
            SQLITE_OK);
        assert_int_equal(sqlite3_close(h), SQLITE_OK);
    }
    keep_files(k);
    assert_true(k->len[in_log] > 20000);
    return m;
}

static void flipped_bits_are_noticed(void **state)
{
    (void)state;
    for (int in_log = 0; in_log < 2; in_log++) {
        struct saved_files k;
        struct model *m = damaged_model(&k, in_log);
        char what[100];

        for (int n = 0; n < 400; n++) {
            int file = in_log;
            size_t at = rnd(k.len[file]);
            uint8_t old = k.data[file][at];

            k.data[file][at] ^= (uint8_t)(1u << rnd(8));
            (void)snprintf(what, sizeof what, "bit flipped at %zu of %s", at, db_files[file]);
            restore_files(&k);
            check_damaged(m, what);
            k.data[file][at] = old;
        }
        drop_files(&k);
        model_fini(m);
        remove_tree(base);
        assert_int_equal(mkdir(base, 0700), 0);
    }
}

static void truncation_is_noticed(void **state)
{
    (void)state;
    for (int in_log = 0; in_log < 2; in_log++) {
        struct saved_files k;
        struct model *m = damaged_model(&k, in_log);
        char what[100];

        for (int n = 0; n < 60; n++) {
            size_t len = k.len[in_log];

            k.len[in_log] = n == 0 ? 0 : rnd(len);
            (void)snprintf(what, sizeof what, "%s cut to %zu", db_files[in_log], k.len[in_log]);
            restore_files(&k);
            check_damaged(m, what);
            k.len[in_log] = len;
        }
        drop_files(&k);
        model_fini(m);
        remove_tree(base);
        assert_int_equal(mkdir(base, 0700), 0);
    }
}

static void garbage_is_set_aside(void **state)
{
    struct saved_files k;
    struct model *m = damaged_model(&k, false);
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;
    size_t len;
    char path[PATH_MAX];
    DIR *d;
    struct dirent *e;

    (void)state;
    memset(k.data[0], 'x', k.len[0]);
    restore_files(&k);
    st = open_store(&port);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_int_equal(l.incarnation, 0);
    assert_int_equal(l.mark.incarnation, 0); /* the mark went with its store */
    assert_true(l.lost);
    sub(path, "aside");
    d = opendir(path);
    while ((e = readdir(d)) && e->d_name[0] == '.') {
    }
    (void)snprintf(path, sizeof path, "aside/%s/" STORE_DB, e->d_name);
    free(slurp(path, &len));
    assert_int_equal(len, k.len[0]); /* all of it is still there */
    (void)snprintf(path, sizeof path, "aside/%s/reason", e->d_name);
    free(slurp(path, &len));
    assert_true(len > 20);
    (void)closedir(d);
    journal_load_fini(&l);
    /* set_aside by the journal's word: again a new store, and a second folder. */
    assert_int_equal(port.set_aside(port.ctx, "fsync failed", &err), 0);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_int_equal(l.incarnation, 0);
    assert_int_equal(count_entries("aside"), 2);
    journal_load_fini(&l);
    store_free(st);
    drop_files(&k);
    model_fini(m);
}

static void make_newer(const char *name)
{
    char path[PATH_MAX];
    sqlite3 *h = NULL;
    size_t len;
    uint8_t *data;

    if (strcmp(name, MARK_FILE) == 0) {
        data = slurp(name, &len);
        data[8] = data[4096 + 8] = 2; /* the format, in both slots */
        spill(name, data, len);
        free(data);
        return;
    }
    sub(path, name);
    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

/* A13: whichever file a newer version wrote: refused, said, nothing set aside, not a byte changed. */
static void a_newer_format_is_refused(void **state)
{
    static const char *const newer[] = {STORE_DB, HISTORY_DB, MARK_FILE};

    (void)state;
    for (size_t i = 0; i < sizeof newer / sizeof newer[0]; i++) {
        struct saved_files k;
        struct model *m = damaged_model(&k, false);
        struct store_port port;
        struct store *st;
        struct journal_load l;
        struct err err = ERR_INIT;
        uint8_t *before, *after;
        size_t len, len_after;

        make_newer(newer[i]);
        before = slurp(newer[i], &len);
        st = open_store(&port);
        assert_int_equal(port.load(port.ctx, &l, &err), RC_REFUSED);
        assert_non_null(strstr(err.msg, "format"));
        assert_non_null(strstr(err.hint, "newer"));
        assert_int_equal(count_entries("aside"), 0);
        store_free(st);
        after = slurp(newer[i], &len_after);
        assert_int_equal(len, len_after);
        assert_memory_equal(before, after, len);
        free(before);
        free(after);
        drop_files(&k);
        model_fini(m);
        remove_tree(base);
        assert_int_equal(mkdir(base, 0700), 0);
    }
}

static void a_torn_mark_leaves_the_one_before(void **state)
{
    struct saved_files k;
    struct model *m = damaged_model(&k, true);
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(k.len[2], 8192);
    for (int slot = 0; slot < 3; slot++) { /* 2: both */
        struct saved_files t = k;

        t.data[2] = malloc(8192);
        memcpy(t.data[2], k.data[2], 8192);
        for (int s = 0; s < 2; s++) {
            if (slot == s || slot == 2) {
                t.data[2][s * 4096 + 50] ^= 1;
            }
        }
        restore_files(&t);
        st = open_store(&port);
        assert_int_equal(port.load(port.ctx, &l, &err), 0);
        assert_true(load_equals(m, &l));
        if (slot == 2) {
            assert_int_equal(l.mark.incarnation, 0);
            assert_non_null(strstr(said, "mark was set aside"));
        } else {
            assert_in_range(l.mark.index, m->last - 1, m->last);
        }
        journal_load_fini(&l);
        store_free(st);
        free(t.data[2]);
    }
    drop_files(&k);
    model_fini(m);
}

/* ---- failing calls: a thin layer over SQLite's own file system, which fails the nth call ---- */

static sqlite3_vfs shim_vfs, *real_vfs;
static int shim_countdown = -1; /* of writes and syncs; 0: this one fails */
static bool shim_sync_only;
static int shim_code;

struct shim_file {
    sqlite3_file file;
    sqlite3_io_methods methods;
    sqlite3_file *real;
};

static bool shim_fails(bool sync)
{
    if (shim_countdown < 0 || (shim_sync_only && !sync) || (shim_code == SQLITE_FULL && sync)) {
        return false;
    }
    return shim_countdown-- == 0;
}

#define REAL(f) (((struct shim_file *)(void *)(f))->real)

static int shim_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    if (shim_fails(false)) {
        (void)REAL(f)->pMethods->xWrite(REAL(f), data, n / 2, at); /* torn */
        return shim_code ? shim_code : SQLITE_IOERR_WRITE;
    }
    return REAL(f)->pMethods->xWrite(REAL(f), data, n, at);
}
static int shim_sync(sqlite3_file *f, int flags)
{
    return shim_fails(true) ? SQLITE_IOERR_FSYNC : REAL(f)->pMethods->xSync(REAL(f), flags);
}
static int shim_close(sqlite3_file *f)
{
    return REAL(f)->pMethods->xClose(REAL(f));
}
static int shim_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), data, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return REAL(f)->pMethods->xTruncate(REAL(f), size);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size);
}
static int shim_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}
static int shim_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}
static int shim_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}
static int shim_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}
static int shim_device(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct shim_file *f = (struct shim_file *)(void *)file;
    int rc;

    (void)vfs;
    f->real = (sqlite3_file *)(void *)(f + 1);
    rc = real_vfs->xOpen(real_vfs, name, f->real, flags, out);
    f->methods = (sqlite3_io_methods){
        .iVersion = 1, /* no shared memory: our connections are exclusive */
        .xClose = shim_close,
        .xRead = shim_read,
        .xWrite = shim_write,
        .xTruncate = shim_truncate,
        .xSync = shim_sync,
        .xFileSize = shim_size,
        .xLock = shim_lock,
        .xUnlock = shim_unlock,
        .xCheckReservedLock = shim_reserved,
        .xFileControl = shim_control,
        .xSectorSize = shim_sector,
        .xDeviceCharacteristics = shim_device,
    };
    file->pMethods = rc == SQLITE_OK ? &f->methods : NULL;
    return rc;
}

static void shim_on(void)
{
    if (!real_vfs) {
        real_vfs = sqlite3_vfs_find(NULL);
        shim_vfs = *real_vfs;
        shim_vfs.zName = "shim";
        shim_vfs.pNext = NULL;
        shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
        shim_vfs.xOpen = shim_open;
    }
    assert_int_equal(sqlite3_vfs_register(&shim_vfs, 1), SQLITE_OK);
    shim_countdown = -1;
}

static void shim_off(void)
{
    shim_countdown = -1;
    assert_int_equal(sqlite3_vfs_unregister(&shim_vfs), SQLITE_OK);
    assert_int_equal(sqlite3_vfs_register(real_vfs, 1), SQLITE_OK);
}

static struct model *model_copy(const struct model *m)
{
    struct model *c = malloc(sizeof *c);

    *c = *m;
    for (int i = 0; i < MODEL_MAX; i++) {
        if (m->j.e[i].payload) {
            uint8_t *copy = malloc(m->j.e[i].len + 1);

            memcpy(copy, m->j.e[i].payload, m->j.e[i].len + 1);
            c->j.e[i].payload = copy;
        }
    }
    if (m->blob) {
        c->blob = malloc(m->snap.size + 1);
        memcpy(c->blob, m->blob, m->snap.size);
    }
    return c;
}

/* Runs a fixed list of transactions while the nth write or sync fails. Answers whether it was reached. */
static bool run_with_failure(int nth, bool sync_only, int code)
{
    struct model *m = model_new(31), *before = NULL;
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed = false, failed = false;
    uint8_t *blob;

    st = open_store(&port);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    shim_sync_only = sync_only;
    shim_code = code;
    shim_countdown = nth;
    for (int i = 0; i < 40 && !failed; i++) {
        if (before) {
            model_fini(before);
        }
        before = model_copy(m);
        model_step(m, &blob);
        failed = port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err) != 0;
    }
    shim_countdown = -1;
    if (failed) {
        assert_int_equal(err.rc, RC_IO);
        assert_true(err.msg[0] != '\0');
        assert_true(!sync_only || fsync_failed);
        assert_true(code != SQLITE_FULL || (!fsync_failed && err.hint[0] != '\0'));
    }
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_string_equal(said, "");
    /* What was acknowledged is there; what failed is there whole or not at all. */
    if (!load_equals(m, &l) && !(failed && (before->p.seq ? load_equals(before, &l) : l.incarnation == 0))) {
        fail_msg("call %d (only syncs: %d, code %d), transaction %llu: neither before nor after; %s", nth,
                 sync_only, code, (unsigned long long)m->p.seq, err.msg);
    }
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
    model_fini(before);
    remove_tree(base);
    assert_int_equal(mkdir(base, 0700), 0);
    return failed;
}

static void every_failed_write_is_clean(void **state)
{
    int n = 0;

    (void)state;
    shim_on();
    while (run_with_failure(n, false, SQLITE_IOERR_WRITE)) {
        n += 1 + n / 16;
    }
    assert_true(n > 40);
    for (n = 0; run_with_failure(n, false, SQLITE_FULL); n += 1 + n / 4) {
    }
    assert_true(n > 20);
    shim_off();
}

static void every_failed_fsync_is_told_apart(void **state)
{
    int n = 0;

    (void)state;
    shim_on();
    while (run_with_failure(n, true, 0)) {
        n++;
    }
    assert_true(n >= 40); /* at least one for each transaction */
    shim_off();
}

static off_t size_of(const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    sub(path, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* A commit stores no new length of a file: it would cost its fsync as much again. Over more than one
 * checkpoint. */
static void the_log_of_commits_does_not_grow(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    uint8_t *blob;
    bool fsync_failed;
    off_t before;

    (void)state;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    before = size_of(STORE_DB "-wal");
    assert_true(before > 1000 * 4096);
    for (int i = 0; i < 600; i++) {
        model_step(m, &blob);
        assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    }
    assert_int_equal(size_of(STORE_DB "-wal"), before);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_true(load_equals(m, &l));
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
}

static bool fsync_breaks;

/* Instead of libc's: the next one of the reserved log fails. SQLite calls fdatasync. */
int fsync(int fd)
{
    struct stat st;

    if (fsync_breaks && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 4 << 20) {
        fsync_breaks = false;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

/* A daemon that was killed leaves a log that may not be on the disk yet. When the fsync that finds that out
 * fails, the next start would see the pages as clean, and acknowledge them (A4). */
static void a_failed_fsync_at_the_start_voids_the_store(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    uint8_t *blob;
    char path[PATH_MAX];
    bool fsync_failed;

    (void)state;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    model_step(m, &blob);
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    store_free(st);
    sub(path, STORE_DB "-wal");
    assert_int_equal(truncate(path, 512 * 1024), 0); /* as it was before it was reserved */
    st = open_store(&port);
    fsync_breaks = true;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_false(fsync_breaks);
    assert_int_equal(l.incarnation, 0);
    assert_true(l.lost);
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
}

/* The same while the database is first created: whichever of its fsyncs fails, the file is not used. */
static void a_failed_fsync_of_the_creation_voids_the_store(void **state)
{
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;
    char path[PATH_MAX];
    int n = 0;
    bool reached;

    (void)state;
    shim_on();
    do {
        st = open_store(&port);
        assert_int_equal(port.load(port.ctx, &l, &err), 0); /* the trail's own files are made here */
        assert_false(l.lost);
        journal_load_fini(&l);
        sub(path, STORE_DB);
        assert_int_equal(unlink(path), 0);
        sub(path, STORE_DB "-wal");
        (void)unlink(path);
        shim_sync_only = true;
        shim_countdown = n++;
        assert_int_equal(port.load(port.ctx, &l, &err), 0);
        reached = shim_countdown < 0;
        shim_countdown = -1;
        assert_int_equal(l.incarnation, 0);
        assert_int_equal(l.lost, reached);
        journal_load_fini(&l);
        store_free(st);
        remove_tree(base);
        assert_int_equal(mkdir(base, 0700), 0);
    } while (reached);
    assert_true(n > 1);
    shim_off();
}

/* SQLite's own automatic checkpoint would swallow a failed fsync; ours does not. */
static void a_failed_checkpoint_is_told(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed = false, told = false;

    (void)state;
    shim_on();
    st = open_store(&port);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    for (int i = 0; i < 1000 && !told; i++) {
        m->p.first = m->p.last = ++m->last;
        free((void *)(uintptr_t)m->j.e[m->last].payload);
        m->j.e[m->last] =
            (struct journal_entry){.index = m->last, .term = 1, .kind = JOURNAL_DATA, .len = 20000};
        m->j.e[m->last].payload = calloc(1, 20000);
        shim_sync_only = true;
        shim_countdown = 1; /* the first sync, of the log, goes well; a second one is the checkpoint's */
        if (port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err)) {
            told = fsync_failed;
            break;
        }
    }
    assert_true(told);
    shim_off();
    store_free(st);
    model_fini(m);
}

/* A real disk that is full: a small tmpfs of our own. */
static void fill_disk(void)
{
    struct model *m = model_new(9), *before = NULL;
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed = false, failed = false;
    char path[PATH_MAX];
    uint8_t *blob;
    int fd;

    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("none", base, "tmpfs", 0, "size=600k"), 0);
    sub(path, "ballast");
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 200 * 1024), 0);
    (void)close(fd);
    st = open_store(&port);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    for (int i = 0; i < 400 && !failed; i++) {
        if (before) {
            model_fini(before);
        }
        before = model_copy(m);
        model_step(m, &blob);
        failed = port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err) != 0;
    }
    assert_true(failed);
    assert_int_equal(err.rc, RC_IO);
    assert_false(fsync_failed);
    assert_non_null(strstr(err.hint, "make room"));
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_true(load_equals(before, &l));
    journal_load_fini(&l);
    /* With room again it goes on. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), 0);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    assert_true(load_equals(m, &l));
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
    model_fini(before);
}

static void in_child(void (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    in_child(fill_disk);
}

/* ---- killed in the middle ---- */

static void write_for_ever(int out, uint64_t seed)
{
    struct model *m = model_new(seed);
    struct store_port port;
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed;

    (void)open_store(&port);
    if (port.load(port.ctx, &l, &err)) {
        _exit(1);
    }
    for (;;) {
        m->p.first = ++m->last;
        m->p.last = m->last = m->p.first + rnd(3);
        for (uint64_t i = m->p.first; i <= m->p.last; i++) {
            model_entry(m, i, 1);
        }
        m->p.mark = (struct journal_mark){m->p.incarnation, m->p.cluster, 1, m->last};
        while (m->last > MODEL_MAX - 10) {
            (void)pause();
        }
        if (port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err) ||
            write(out, &m->last, sizeof m->last) != sizeof m->last) {
            _exit(1);
        }
    }
}

static void a_kill_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct store_port port;
        struct store *st;
        struct journal_load l;
        struct err err = ERR_INIT;
        uint64_t acknowledged = 0, v;
        int fd[2], status;
        pid_t pid;

        assert_int_equal(pipe(fd), 0);
        pid = fork();
        if (pid == 0) {
            write_for_ever(fd[1], seed);
        }
        (void)close(fd[1]);
        rnd_state = seed * 7919;
        (void)usleep((useconds_t)(5000 + rnd(60000)));
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(fd[0], &v, sizeof v) == sizeof v) {
            acknowledged = v;
        }
        (void)close(fd[0]);
        st = open_store(&port);
        assert_int_equal(port.load(port.ctx, &l, &err), 0);
        assert_string_equal(said, "");
        assert_true(l.n_entries >= acknowledged);
        assert_true(l.n_entries >= l.mark.index);
        assert_true(l.mark.index >= acknowledged);
        journal_load_fini(&l);
        store_free(st);
        remove_tree(base);
        assert_int_equal(mkdir(base, 0700), 0);
    }
}

/* ---- the audit trail ---- */

static struct history_row row(uint64_t index, int64_t time_ms, const char *vm)
{
    struct history_row r = {.time_ms = time_ms, .term = 1, .index = index, .op = index};

    (void)snprintf(r.kind, sizeof r.kind, "vm-start");
    (void)snprintf(r.node, sizeof r.node, "node1");
    (void)snprintf(r.vm, sizeof r.vm, "%s", vm);
    (void)snprintf(r.text, sizeof r.text, "text %llu", (unsigned long long)index);
    return r;
}

struct seen {
    unsigned n;
    uint64_t first, last;
};

static void on_row(void *ctx, const struct history_row *r)
{
    struct seen *s = ctx;

    if (s->n++ == 0) {
        s->first = r->index;
    }
    assert_true(r->index >= s->last);
    s->last = r->index;
}

static struct seen look(const struct store_port *port, const struct history_filter *f)
{
    struct seen s = {0, 0, 0};

    assert_int_equal(port->history_read(port->ctx, f, on_row, &s), 0);
    return s;
}

static void the_trail_is_kept(void **state)
{
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    struct seen s;

    (void)state;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    for (uint64_t i = 1; i <= 1000; i++) {
        struct history_row r = row(i, (int64_t)i * 1000, i % 10 ? "" : "web1");

        assert_int_equal(port.history_add(port.ctx, &r), 0);
        if (i % 100 == 0) { /* a replay enters nothing twice */
            assert_int_equal(port.history_add(port.ctx, &r), 0);
        }
    }
    s = look(&port, &(struct history_filter){.limit = 5000});
    assert_int_equal(s.n, 1000);
    s = look(&port, &(struct history_filter){.limit = 10});
    assert_int_equal(s.first, 991);
    s = look(&port, &(struct history_filter){.limit = 5000, .after_index = 990});
    assert_int_equal(s.n, 10);
    s = look(&port, &(struct history_filter){.limit = 5000, .vm = "web1", .since_ms = 500000});
    assert_int_equal(s.n, 51);
    s = look(&port, &(struct history_filter){.limit = 5000, .node = "node2"});
    assert_int_equal(s.n, 0);
    store_free(st);
    st = open_store(&port);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    assert_int_equal(look(&port, &(struct history_filter){.limit = 5000}).n, 1000);
    assert_int_equal(port.history_trim(port.ctx, 1, 256, 86400000 + 600500), 0);
    s = look(&port, &(struct history_filter){.limit = 5000});
    assert_int_equal(s.first, 601);
    store_free(st);
}

static void the_trail_is_trimmed_by_size(void **state)
{
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    struct seen s;

    (void)state;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    for (uint64_t i = 1; i <= 15000; i++) {
        struct history_row r = row(i, 1, "web1");

        (void)memset(r.why, 'w', 200);
        assert_int_equal(port.history_add(port.ctx, &r), 0);
    }
    assert_int_equal(port.history_trim(port.ctx, 36500, 2, 2), 0);
    s = look(&port, &(struct history_filter){.limit = 50000});
    assert_in_range(s.n, 1000, 10000);
    assert_int_equal(s.last, 15000);
    store_free(st);
}

static void a_damaged_trail_is_begun_anew(void **state)
{
    struct store_port port;
    struct store *st = open_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    struct history_row r = row(1, 1, "web1");
    uint8_t junk[4096];

    (void)state;
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    assert_int_equal(port.history_add(port.ctx, &r), 0);
    store_free(st);
    memset(junk, 'x', sizeof junk);
    spill(HISTORY_DB, junk, sizeof junk);
    spill(HISTORY_DB "-wal", junk, 0);
    st = open_store(&port);
    assert_int_equal(port.load(port.ctx, &l, &err), 0);
    journal_load_fini(&l);
    assert_non_null(strstr(said, "trail was set aside"));
    assert_int_equal(port.history_add(port.ctx, &r), 0);
    assert_int_equal(look(&port, &(struct history_filter){.limit = 10}).n, 1);
    store_free(st);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(reload_is_equal),
        T(gaps_are_refused),
        T(snapshots_are_read_in_pieces),
        T(flipped_bits_are_noticed),
        T(truncation_is_noticed),
        T(garbage_is_set_aside),
        T(a_newer_format_is_refused),
        T(a_torn_mark_leaves_the_one_before),
        T(every_failed_write_is_clean),
        T(every_failed_fsync_is_told_apart),
        T(the_log_of_commits_does_not_grow),
        T(a_failed_fsync_at_the_start_voids_the_store),
        T(a_failed_fsync_of_the_creation_voids_the_store),
        T(a_failed_checkpoint_is_told),
        T(a_full_disk_is_told),
        T(a_kill_loses_nothing),
        T(the_trail_is_kept),
        T(the_trail_is_trimmed_by_size),
        T(a_damaged_trail_is_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
