/* A disk: what a transaction has put there stays, what is under way may be lost by a crash. */
#include "tests/sim/jsim.h"

#include <stdlib.h>
#include <string.h>

static void *copy_bytes(const void *data, size_t len)
{
    void *p;

    if (len == 0) {
        return NULL;
    }
    p = malloc(len);
    if (p == NULL) {
        abort();
    }
    memcpy(p, data, len);
    return p;
}

static void copy_load(struct journal_load *to, const struct journal_load *from)
{
    journal_load_fini(to);
    *to = *from;
    to->blob = copy_bytes(from->blob, from->snapshot.size);
    to->entries = copy_bytes(from->entries, from->n_entries * sizeof *from->entries);
    for (size_t i = 0; i < from->n_entries; i++) {
        to->entries[i].payload = copy_bytes(from->entries[i].payload, from->entries[i].len);
    }
}

void disk_fini(struct disk *d)
{
    journal_load_fini(&d->now);
    journal_load_fini(&d->old);
    d->has_old = false;
}

void disk_wipe(struct disk *d, bool mark_too)
{
    struct journal_mark mark = d->now.mark;

    journal_load_fini(&d->now);
    if (!mark_too) {
        d->now.mark = mark;
    }
}

void disk_remember(struct disk *d)
{
    copy_load(&d->old, &d->now);
    d->has_old = true;
}

static bool is_less(const struct journal_load *s, const struct journal_mark *m)
{
    return m->incarnation == s->incarnation &&
           (s->promise.term < m->term ||
            (s->promise.term == m->term && s->prev.index + s->n_entries < m->index));
}

bool disk_shorten(struct disk *d, const struct journal_mark *owed)
{
    const struct journal_mark *m = &d->now.mark;
    struct journal_load old = {0};

    if (!d->has_old || d->old.incarnation != d->now.incarnation || m->incarnation != d->now.incarnation) {
        return false;
    }
    /* A store that is as good as its word lost nothing. */
    if (!is_less(&d->old, m) && !is_less(&d->old, owed)) {
        return false;
    }
    copy_load(&old, &d->old);
    old.mark = d->now.mark;
    journal_load_fini(&d->now);
    d->now = old;
    return true;
}

uint64_t disk_last(const struct disk *d)
{
    return d->now.prev.index + d->now.n_entries;
}

const struct journal_entry *disk_entry(const struct disk *d, uint64_t index)
{
    if (index <= d->now.prev.index || index > disk_last(d)) {
        return NULL;
    }
    return &d->now.entries[index - d->now.prev.index - 1];
}

static void cut(struct journal_load *s, uint64_t from)
{
    while (s->n_entries > 0 && s->prev.index + s->n_entries >= from) {
        free((void *)(uintptr_t)s->entries[--s->n_entries].payload);
    }
}

static void trim(struct journal_load *s, uint64_t to)
{
    size_t k = 0;

    while (k < s->n_entries && s->entries[k].index <= to) {
        s->prev.index = s->entries[k].index;
        s->prev.term = s->entries[k].term;
        s->prev.chain = s->entries[k].chain;
        free((void *)(uintptr_t)s->entries[k++].payload);
    }
    if (k > 0) {
        s->n_entries -= k;
        memmove(s->entries, s->entries + k, s->n_entries * sizeof *s->entries);
    }
}

void disk_snapshot(struct disk *d, const struct journal_snapshot *s, const uint8_t *blob)
{
    free(d->now.blob);
    d->now.blob = copy_bytes(blob, s->size);
    d->now.snapshot = *s;
}

void write_begin(struct node *n, const struct journal_persist *p)
{
    struct write *w = &n->write;

    if (w->busy) {
        fail("node %u: two writes at a time", n->id);
        return;
    }
    w->busy = true;
    w->p = *p;
    if (p->install) {
        w->install = *p->install;
        w->p.install = &w->install;
        w->blob = copy_bytes(p->blob, p->install->size);
    }
    w->n_entries = p->first ? (size_t)(p->last - p->first + 1) : 0;
    w->entries = w->n_entries ? calloc(w->n_entries, sizeof *w->entries) : NULL;
    for (size_t i = 0; i < w->n_entries; i++) {
        const struct journal_entry *e = journal_entry_at(n->j, p->first + i);

        if (e == NULL) {
            fail("node %u: entry %llu is to be stored and is not there", n->id,
                 (unsigned long long)(p->first + i));
            w->n_entries = i;
            return;
        }
        w->entries[i] = *e;
        w->entries[i].payload = copy_bytes(e->payload, e->len);
    }
}

static void install(struct journal_load *s, const struct write *w)
{
    cut(s, 0);
    s->n_entries = 0;
    free(s->blob);
    s->snapshot = w->install;
    s->blob = copy_bytes(w->blob, w->install.size);
    s->prev.index = w->install.index;
    s->prev.term = w->install.term;
    s->prev.chain = w->install.chain;
}

void write_apply(struct node *n, bool with_mark)
{
    struct journal_load *s = &n->disk.now;
    struct write *w = &n->write;
    uint64_t last;

    if (w->p.install) {
        install(s, w);
    }
    s->incarnation = w->p.incarnation;
    s->cluster = w->p.cluster;
    s->promise = w->p.promise;
    if (w->p.truncate_from) {
        if (disk_last(&n->disk) < w->p.truncate_from) {
            fail("node %u: nothing to truncate from %llu", n->id, (unsigned long long)w->p.truncate_from);
        }
        cut(s, w->p.truncate_from);
        sim.stats.cuts++;
    }
    last = disk_last(&n->disk);
    if (w->n_entries > 0 && w->entries[0].index != last + 1) {
        fail("node %u: a gap in the store: %llu follows %llu (A4)", n->id,
             (unsigned long long)w->entries[0].index, (unsigned long long)last);
        return;
    }
    if (w->n_entries > 0) {
        s->entries = realloc(s->entries, (s->n_entries + w->n_entries) * sizeof *s->entries);
        memcpy(s->entries + s->n_entries, w->entries, w->n_entries * sizeof *s->entries);
        s->n_entries += w->n_entries;
        w->n_entries = 0; /* the payloads have moved */
    }
    s->commit = w->p.commit;
    if (w->p.trim_to) {
        trim(s, w->p.trim_to);
    }
    if (with_mark) {
        s->mark = w->p.mark;
    }
}

void write_fini(struct write *w)
{
    for (size_t i = 0; i < w->n_entries; i++) {
        free((void *)(uintptr_t)w->entries[i].payload);
    }
    free(w->entries);
    free(w->blob);
    memset(w, 0, sizeof *w);
}
