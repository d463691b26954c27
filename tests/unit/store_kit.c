#include "tests/unit/store_kit.h"

#include "common/rc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a journal's memory, as far as the store looks into it ---- */

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

uint64_t rnd_state;

uint64_t rnd(uint64_t below)
{
    rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (rnd_state >> 33) % below;
}

void model_entry(struct model *m, uint64_t index, uint64_t term)
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

void model_fini(struct model *m)
{
    for (int i = 0; i < MODEL_MAX; i++) {
        free((void *)(uintptr_t)m->j.e[i].payload);
    }
    free(m->blob);
    free(m);
}

struct model *model_new(uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);

    rnd_state = seed;
    m->p.incarnation = 0xfedcba9876543210ULL + seed;
    m->p.cluster = (struct journal_uuid){7, 9};
    m->p.promise = (struct journal_promise){1, 2, 3};
    return m;
}

void model_base(struct model *m, uint64_t index, uint64_t term, struct hash chain)
{
    m->prev = index;
    m->prev_term = term;
    m->prev_chain = chain;
}

/* Draws the next transaction, in the order in which the store carries it out. */
void model_step(struct model *m, uint8_t **blob)
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

bool load_equals(const struct model *m, const struct journal_load *l)
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

bool mark_equals(const struct journal_mark *a, const struct journal_mark *b)
{
    return a->incarnation == b->incarnation && a->term == b->term && a->index == b->index;
}

/* ---- folders ---- */

char base[64];

void remove_tree(const char *path)
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

int setup(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof base, "%s/test_store.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(base) ? 0 : -1;
}

int teardown(void **state)
{
    (void)state;
    remove_tree(base);
    return 0;
}

void renew_base(void)
{
    remove_tree(base);
    assert_int_equal(mkdir(base, 0700), 0);
}

void sub(char out[PATH_MAX], const char *name)
{
    (void)snprintf(out, PATH_MAX, "%s/%s", base, name);
}

unsigned count_entries(const char *name)
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

uint8_t *slurp(const char *name, size_t *len)
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

void spill(const char *name, const uint8_t *data, size_t len)
{
    char path[PATH_MAX];
    int fd;

    sub(path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

char said[2000];

static void on_say(void *ctx, const char *text)
{
    (void)ctx;
    (void)snprintf(said, sizeof said, "%s", text);
}

struct store *open_store(struct store_port *port)
{
    struct store *st = store_new(base, on_say, NULL, NULL);

    assert_non_null(st);
    store_port(st, port);
    said[0] = '\0';
    return st;
}

struct store *start_store(struct store_port *port)
{
    struct store *st = open_store(port);
    struct journal_load l;

    load_well(port, &l);
    journal_load_fini(&l);
    return st;
}

void load_well(const struct store_port *port, struct journal_load *l)
{
    struct err err = ERR_INIT;

    if (port->load(port->ctx, l, &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

void persist_well(const struct store_port *port, const struct model *m)
{
    struct err err = ERR_INIT;
    bool fsync_failed;

    if (port->persist(port->ctx, &m->j, &m->p, &fsync_failed, &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

void assert_stored(const struct store_port *port, const struct model *m)
{
    struct journal_load l;

    load_well(port, &l);
    assert_true(load_equals(m, &l));
    journal_load_fini(&l);
}

bool persist_until_failure(const struct store_port *port, struct model *m, struct model **before, int most,
                           bool *fsync_failed, struct err *err)
{
    bool failed = false;
    uint8_t *blob;

    for (int i = 0; i < most && !failed; i++) {
        if (*before) {
            model_fini(*before);
        }
        *before = model_copy(m);
        model_step(m, &blob);
        failed = port->persist(port->ctx, &m->j, &m->p, fsync_failed, err) != 0;
    }
    return failed;
}

uint8_t *draw_blob(struct journal_snapshot *s)
{
    uint8_t *blob = malloc(s->size + 1);

    for (size_t i = 0; i < s->size; i++) {
        blob[i] = (uint8_t)rnd(256);
    }
    s->digest = hash_bytes((struct hash){0, 0}, blob, s->size);
    return blob;
}

struct model *model_copy(const struct model *m)
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
