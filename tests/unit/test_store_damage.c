/*
 * test_store_damage.c - damaged files of the store: as they were, or noticed; never something else (A10).
 */
#include "common/rc.h"
#include "adapters/history.h"
#include "tests/unit/store_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const db_files[] = {STORE_DB, STORE_DB "-wal", MARK_FILE};

struct saved_files {
    uint8_t *data[3];
    size_t len[3];
};

/* Without the zeros at the end of the log, which is reserved: nothing can happen to them. */
static void keep_files(struct saved_files *k)
{
    for (int i = 0; i < 3; i++) {
        k->data[i] = slurp(db_files[i], &k->len[i]);
    }
    while (k->len[1] > 0 && k->data[1][k->len[1] - 1] == 0) {
        k->len[1]--;
    }
}

static void restore_files(const struct saved_files *k)
{
    renew_base();
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

    if (rc == RC_REFUSED && strstr(err.msg, "format")) {
        store_free(
            st); /* a flip that makes another version of it: nothing is touched, and what to do is said */
        return;
    }
    if (rc) {
        fail_msg("%s: load answers %d: %s", what, rc, err.msg);
    }
    if (l.incarnation == 0 && l.n_entries == 0) {
        bool shows = l.mark.incarnation == m->p.incarnation; /* an emptied file beside its mark */

        if (!shows && (count_entries("aside") != 1 || !strstr(said, "set aside"))) {
            fail_msg("%s: the store is new, and nothing was set aside", what);
        }
    } else if (load_equals(m, &l)) {
        /* The mark may be the one before; or it was set aside for itself. */
        if (!mark_equals(&l.mark, &m->p.mark) && l.mark.index + 1 != m->p.mark.index &&
            !(l.mark.incarnation == 0 && strstr(said, "mark was set aside"))) {
            fail_msg("%s: the mark is another one, unnoticed", what);
        }
    } else {
        uint64_t last = l.prev.index + l.n_entries;

        if (!mark_equals(&l.mark, &m->p.mark) || (last >= l.mark.index && l.promise.term >= l.mark.term)) {
            fail_msg("%s: changed unnoticed (last %llu, mark %llu)", what, (unsigned long long)last,
                     (unsigned long long)l.mark.index);
        }
    }
    journal_load_fini(&l);
    store_free(st);
}

static void take_snapshot(struct model *m, const struct store_port *port)
{
    struct err err = ERR_INIT;
    bool fsync_failed;

    m->snap = (struct journal_snapshot){.index = 10, .term = 1, .chain = m->j.e[10].chain, .size = 15000};
    m->snap.members.n = 1;
    m->snap.members.v[0] = (struct journal_member){1, 2, 1, JOURNAL_NODE};
    m->blob = draw_blob(&m->snap);
    assert_int_equal(port->snapshot(port->ctx, &m->snap, m->blob, &fsync_failed, &err), 0);
}

/* A store with entries, a snapshot and a trimmed log, in its file or in its write-ahead log. Each step stores
 * an entry, so that every lost transaction is one that the mark knows. */
static struct model *damaged_model(struct saved_files *k, bool in_log)
{
    struct model *m = model_new(77);
    struct store_port port;
    struct store *st = start_store(&port);

    for (int i = 0; i < 40; i++) {
        m->p.first = m->p.last = ++m->last;
        model_entry(m, m->last, 1);
        m->p.trim_to = i == 30 ? 8 : 0;
        if (m->p.trim_to) {
            model_base(m, 8, 1, m->j.e[8].chain);
        }
        m->p.mark = (struct journal_mark){m->p.incarnation, m->p.cluster, 1, m->last};
        persist_well(&port, m);
        if (i == 20) {
            take_snapshot(m, &port);
        }
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

/* Every nth bit is flipped; FLIP_STEP in the environment says n, else it is so that 500 are. */
static size_t flip_step(size_t bits)
{
    const char *step = getenv("FLIP_STEP");

    return step ? strtoul(step, NULL, 10) : bits / 500 | 1;
}

static void flip(const struct model *m, struct saved_files *k, int file, size_t bit)
{
    char what[100];

    k->data[file][bit / 8] ^= (uint8_t)(1u << bit % 8);
    (void)snprintf(what, sizeof what, "bit %zu of byte %zu of %s flipped", bit % 8, bit / 8, db_files[file]);
    restore_files(k);
    check_damaged(m, what);
    k->data[file][bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* A record by another name is no record. */
static void flip_names(const struct model *m, struct saved_files *k)
{
    static const char *const names[] = {"meta", "snapshot"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const uint8_t *at = memmem(k->data[0], k->len[0], names[i], strlen(names[i]));

        assert_non_null(at);
        for (; at != NULL;
             at = memmem(at, k->len[0] - (size_t)(at - k->data[0]), names[i], strlen(names[i]))) {
            flip(m, k, 0, (size_t)(at - k->data[0]) * 8);
            at++;
        }
    }
}

/* The headers whole: the first of the file, of its first pages, of the log and its first frame. */
static void flipped_bits_are_noticed(void **state)
{
    (void)state;
    for (int file = 0; file < 3; file++) {
        struct saved_files k;
        struct model *m = damaged_model(&k, file == 1);
        size_t bits = k.len[file] * 8;

        for (size_t bit = 0; bit < 100 * 8; bit += 2) {
            flip(m, &k, file, bit);
        }
        for (size_t page = 1; page < 4 && (page + 1) * 4096 * 8 < bits; page++) {
            for (size_t bit = 0; bit < 16 * 8; bit += 3) {
                flip(m, &k, file, page * 4096 * 8 + bit);
            }
        }
        for (size_t bit = 0; bit < bits; bit += flip_step(bits)) {
            flip(m, &k, file, bit);
        }
        if (file == 0) {
            flip_names(m, &k);
        }
        drop_files(&k);
        model_fini(m);
        renew_base();
    }
}

/* A page of which half was written: the other half is from before, or zeros. */
static void torn_pages_are_noticed(void **state)
{
    struct saved_files k, old;
    struct model *m = damaged_model(&old, false);
    char what[100];

    (void)state;
    model_fini(m);
    renew_base();
    m = damaged_model(&k, false);
    for (size_t at = 2048; at + 2048 <= k.len[0]; at += 4096) {
        uint8_t half[2048];

        memcpy(half, k.data[0] + at, sizeof half);
        for (int zeros = 0; zeros < 2; zeros++) {
            /* The pages of the same life, moved on by one, stand for those of another time. */
            const uint8_t *from = old.data[0] + (at + 4096 + 2048 <= old.len[0] ? at + 4096 : 2048);

            (void)snprintf(what, sizeof what, "half a page at %zu torn (%s)", at, zeros ? "zeros" : "older");
            memcpy(k.data[0] + at, zeros ? (const uint8_t[2048]){0} : from, sizeof half);
            restore_files(&k);
            check_damaged(m, what);
        }
        memcpy(k.data[0] + at, half, sizeof half);
    }
    drop_files(&k);
    drop_files(&old);
    model_fini(m);
}

static void flip_in_log(const uint8_t *what, size_t len)
{
    char path[PATH_MAX];
    size_t size;
    uint8_t *data = slurp(STORE_DB "-wal", &size), *at = memmem(data, size, what, len), flipped;
    int fd;

    assert_non_null(at);
    flipped = *at ^ 4;
    sub(path, STORE_DB "-wal");
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &flipped, 1, at - data), 1);
    (void)close(fd);
    free(data);
}

/* More than SQLite keeps in memory: what went bad on the disk meanwhile is met when it is read for another
 * node, and is not handed on. */
static void a_snapshot_gone_bad_is_not_handed_on(void **state)
{
    struct journal_snapshot s = {.index = 1, .term = 1, .size = 2 << 20};
    struct model *m = model_new(6);
    struct store_port port;
    struct store *st = start_store(&port);
    struct err err = ERR_INIT;
    uint8_t *blob, piece[100];
    bool fsync_failed;

    (void)state;
    blob = draw_blob(&s);
    model_entry(m, 1, 1);
    m->p.first = m->p.last = 1;
    persist_well(&port, m);
    assert_int_equal(port.snapshot(port.ctx, &s, blob, &fsync_failed, &err), 0);
    assert_int_equal(port.snapshot_read(port.ctx, 1, 0, piece, sizeof piece), 0);
    flip_in_log(blob + 100000, 64);
    assert_int_equal(port.snapshot_read(port.ctx, 1, 0, piece, sizeof piece), RC_CORRUPT);
    /* Taken anew, it is good again. */
    s.index = 2;
    assert_int_equal(port.snapshot(port.ctx, &s, blob, &fsync_failed, &err), 0);
    assert_int_equal(port.snapshot_read(port.ctx, 2, 0, piece, sizeof piece), 0);
    assert_memory_equal(piece, blob, sizeof piece);
    store_free(st);
    model_fini(m);
    free(blob);
}

/* The file, its log, both, or the mark. */
static void lost_files_are_noticed(void **state)
{
    (void)state;
    for (int which = 1; which <= 4;
         which++) { /* with its mark nothing is left to notice it by: the peers do */
        struct saved_files k;
        struct model *m = damaged_model(&k, true);
        char what[100];

        for (int i = 0; i < 3; i++) {
            k.len[i] = which >> i & 1 ? 0 : k.len[i];
        }
        (void)snprintf(what, sizeof what, "lost files: %d", which);
        restore_files(&k);
        if (which == 4) { /* the mark alone: the journal misses it (journal/load.c) */
            struct store_port port;
            struct store *st = open_store(&port);
            struct journal_load l;

            load_well(&port, &l);
            assert_true(load_equals(m, &l) && l.mark.incarnation == 0);
            journal_load_fini(&l);
            store_free(st);
        } else {
            check_damaged(m, what);
        }
        drop_files(&k);
        model_fini(m);
        renew_base();
    }
}

static void truncation_is_noticed(void **state)
{
    (void)state;
    for (int in_log = 0; in_log < 2; in_log++) {
        struct saved_files k;
        struct model *m = damaged_model(&k, in_log);
        char what[100];

        for (int n = 0; n < 90; n++) {
            size_t len = k.len[in_log], unit = in_log ? 4096 + 24 : 4096;

            /* At a page's or a frame's end, one byte to its side, anywhere. */
            k.len[in_log] = n < 30 ? rnd(len / unit) * unit + (in_log ? 32 : 0) + (size_t)n % 3 : rnd(len);
            k.len[in_log] = n == 0 ? 0 : k.len[in_log];
            (void)snprintf(what, sizeof what, "%s cut to %zu", db_files[in_log], k.len[in_log]);
            restore_files(&k);
            check_damaged(m, what);
            k.len[in_log] = len;
        }
        drop_files(&k);
        model_fini(m);
        renew_base();
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
    load_well(&port, &l);
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
    load_well(&port, &l);
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
        renew_base();
    }
}

static void a_torn_mark_leaves_the_one_before(void **state)
{
    struct saved_files k;
    struct model *m = damaged_model(&k, true);
    struct store_port port;
    struct store *st;
    struct journal_load l;

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
        load_well(&port, &l);
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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(flipped_bits_are_noticed),  T(torn_pages_are_noticed),
        T(lost_files_are_noticed),    T(a_snapshot_gone_bad_is_not_handed_on),
        T(truncation_is_noticed),     T(garbage_is_set_aside),
        T(a_newer_format_is_refused), T(a_torn_mark_leaves_the_one_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
