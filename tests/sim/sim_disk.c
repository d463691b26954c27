/* What is on a host's disk: the store port. Whatever persist answered with 0 outlives every crash. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static void entries_drop(struct disk *d, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        free((void *)(uintptr_t)d->v[i].payload);
    }
}

static void disk_clear(struct disk *d)
{
    entries_drop(d, 0, d->n);
    free(d->v);
    free(d->blob);
    memset(d, 0, sizeof *d);
}

void disk_fini(struct disk *d)
{
    disk_clear(d);
}

static void *copy(const void *data, size_t len)
{
    void *p = malloc(len ? len : 1);

    if (len > 0) {
        memcpy(p, data, len);
    }
    return p;
}

static void disk_append(struct disk *d, const struct journal_entry *e)
{
    if (d->n == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 64;
        d->v = realloc(d->v, d->cap * sizeof *d->v);
    }
    if (e->index != d->prev_index + d->n + 1) {
        fail("A4: the journal stores entry %llu behind %llu", (unsigned long long)e->index,
             (unsigned long long)(d->prev_index + d->n));
        return;
    }
    d->v[d->n] = *e;
    d->v[d->n++].payload = copy(e->payload, e->len);
}

static void disk_truncate(struct disk *d, uint64_t from)
{
    size_t keep = from > d->prev_index ? from - d->prev_index - 1 : 0;

    if (keep < d->n) {
        entries_drop(d, keep, d->n);
        d->n = keep;
    }
}

static void disk_trim(struct disk *d, uint64_t to)
{
    size_t drop = to > d->prev_index ? to - d->prev_index : 0;

    if (drop == 0 || drop > d->n) {
        return;
    }
    d->prev_index = d->v[drop - 1].index;
    d->prev_term = d->v[drop - 1].term;
    d->prev_chain = d->v[drop - 1].chain;
    entries_drop(d, 0, drop);
    memmove(d->v, d->v + drop, (d->n - drop) * sizeof *d->v);
    d->n -= drop;
}

static void disk_transaction(struct disk *d, const struct journal *j, const struct journal_persist *p)
{
    if (p->install != NULL) {
        entries_drop(d, 0, d->n);
        d->n = 0;
        free(d->blob);
        d->snapshot = *p->install;
        d->blob = copy(p->blob, p->install->size);
        d->prev_index = p->install->index;
        d->prev_term = p->install->term;
        d->prev_chain = p->install->chain;
        sim.stats.installs++;
    }
    d->incarnation = p->incarnation;
    d->cluster = p->cluster;
    d->promise = p->promise;
    if (p->truncate_from != 0) {
        disk_truncate(d, p->truncate_from);
    }
    for (uint64_t i = p->first; i != 0 && i <= p->last; i++) {
        disk_append(d, journal_entry_at(j, i));
    }
    d->commit = p->commit;
    disk_trim(d, p->trim_to);
}

/* As adapters/store.c: an index that has only grown is written behind, within half a second. */
static void mark_flush(struct disk *d, bool now)
{
    if (d->mark_due_at != 0 && (now || sim.now >= d->mark_due_at)) {
        d->mark = d->mark_due;
        d->mark_due_at = 0;
    }
}

static void mark_note(struct disk *d, const struct journal_mark *m)
{
    bool grown = d->mark.incarnation == m->incarnation && d->mark.term == m->term &&
                 memcmp(&d->mark.cluster, &m->cluster, sizeof m->cluster) == 0 && m->index >= d->mark.index;

    mark_flush(d, false);
    if (!grown) {
        d->mark = *m;
        d->mark_due_at = 0;
        return;
    }
    d->mark_due = *m;
    d->mark_due_at = d->mark_due_at ? d->mark_due_at : sim.now + 500 * MS;
}

void disk_wipe(struct host *h)
{
    disk_clear(&h->disk);
    member_begins_anew(h);
}

/* The adapter sets aside what its checksums do not fit; a shortened journal and an old promise are the
 * journal's to notice, by the mark. */
void disk_tear(struct host *h)
{
    struct disk *d = &h->disk;
    uint64_t kind = draw(3);

    mark_flush(d, true);
    if (kind == 1 && d->mark.index > d->prev_index && d->mark.index <= d->prev_index + d->n) {
        disk_truncate(d, between(d->prev_index + 1, d->mark.index));
        sim.stats.tails_torn++;
    } else if (kind == 2 && d->promise.term > 1 && d->mark.term == d->promise.term) {
        d->promise.term--;
        sim.stats.tails_torn++;
    } else {
        disk_clear(d);
        d->lost = true;
    }
    trace("%s: its journal is damaged", h->name);
}

void disk_daemon_died(struct host *h)
{
    mark_flush(&h->disk, false);
    sim.stats.marks_lost += h->disk.mark_due_at != 0;
    h->disk.mark_due_at = 0;
}

/* The daemon waits for it in its only thread. */
static void slow(struct host *h)
{
    if (h->disk_slow_until > sim.now) {
        sim.stats.slow_fsyncs++;
        h->stall_us += chance(50) ? between(150 * MS, 3 * SECOND) : between(MS, 150 * MS);
    }
}

static int disk_persist(void *ctx, const struct journal *j, const struct journal_persist *p,
                        bool *fsync_failed, struct err *err)
{
    struct host *h = ctx;
    bool was_dying = h->dying, happens = daemon_effect(h);

    sim.stats.crashes_in_commit += h->dying && !was_dying;
    if (!happens) {
        return err_set(err, RC_IO, "dead");
    }
    slow(h);
    if (h->fsync_fails) {
        h->fsync_fails = false;
        sim.stats.fsync_failed++;
        *fsync_failed = true;
        return err_set(err, RC_IO, "simulated fsync failure");
    }
    if (h->disk_bad_until > sim.now) {
        sim.stats.write_failed++;
        if (chance(250)) { /* one cannot know */
            disk_transaction(&h->disk, j, p);
        }
        return err_set(err, RC_IO, "simulated disk full");
    }
    disk_transaction(&h->disk, j, p);
    raft_stored(h, p);
    if (daemon_effect(h)) {
        mark_note(&h->disk, &p->mark);
    }
    return 0;
}

static int disk_snapshot(void *ctx, const struct journal_snapshot *s, const uint8_t *blob, bool *fsync_failed,
                         struct err *err)
{
    struct host *h = ctx;

    (void)fsync_failed;
    if (!daemon_effect(h) || h->disk_bad_until > sim.now) {
        return err_set(err, RC_IO, "simulated disk full");
    }
    slow(h);
    sim.stats.snapshots++;
    free(h->disk.blob);
    h->disk.snapshot = *s;
    h->disk.blob = copy(blob, s->size);
    return 0;
}

static int disk_snapshot_read(void *ctx, uint64_t index, uint64_t offset, void *out, size_t len)
{
    const struct disk *d = &((struct host *)ctx)->disk;

    if (d->blob == NULL || d->snapshot.index != index || offset > d->snapshot.size ||
        len > d->snapshot.size - offset) {
        return RC_NOT_FOUND;
    }
    memcpy(out, d->blob + offset, len);
    return 0;
}

int disk_load(void *ctx, struct journal_load *out, struct err *err)
{
    struct disk *d = &((struct host *)ctx)->disk;

    (void)err;
    mark_flush(d, true); /* the same daemon has closed it */
    memset(out, 0, sizeof *out);
    out->cluster = d->cluster;
    out->incarnation = d->incarnation;
    out->promise = d->promise;
    out->commit = d->commit;
    out->snapshot = d->snapshot;
    out->blob = d->blob != NULL ? copy(d->blob, d->snapshot.size) : NULL;
    out->prev.index = d->prev_index;
    out->prev.term = d->prev_term;
    out->prev.chain = d->prev_chain;
    out->n_entries = d->n;
    out->entries = d->n > 0 ? copy(d->v, d->n * sizeof *d->v) : NULL;
    for (size_t i = 0; i < d->n; i++) {
        out->entries[i].payload = copy(d->v[i].payload, d->v[i].len);
    }
    out->mark = d->mark;
    out->lost = d->lost;
    out->fresh.incarnation = draw(UINT64_MAX) | 1;
    out->fresh.cluster.lo = draw(UINT64_MAX) | 1;
    out->fresh.cluster.hi = draw(UINT64_MAX) | 1;
    return 0;
}

static int disk_set_aside(void *ctx, const char *why, struct err *err)
{
    struct host *h = ctx;

    (void)err;
    trace("%s: journal set aside: %s", h->name, why);
    if (daemon_effect(h)) {
        sim.stats.set_asides++;
        disk_clear(&h->disk);
        h->disk.lost = true;
        member_begins_anew(h);
    }
    return 0;
}

static int disk_history_add(void *ctx, const struct history_row *row)
{
    if (daemon_effect(ctx) && row->index > sim.newest_index && !((struct host *)ctx)->old_line) {
        cover_row(row);
        if (strcmp(row->kind, event_key(EV_NODE_DOWN)) == 0 && strstr(row->text, "rejected") == NULL) {
            world_confirmed(ctx, row->node);
        }
    }
    return 0;
}

static int disk_history_trim(void *ctx, uint32_t max_days, uint32_t max_mib, int64_t now_ms)
{
    (void)ctx, (void)max_days, (void)max_mib, (void)now_ms;
    return 0;
}

static int disk_history_read(void *ctx, const struct history_filter *f,
                             void (*cb)(void *cb_ctx, const struct history_row *row), void *cb_ctx)
{
    (void)ctx, (void)f, (void)cb, (void)cb_ctx;
    return 0;
}

struct store_port disk_port(struct host *h)
{
    return (struct store_port){.ctx = h,
                               .persist = disk_persist,
                               .snapshot = disk_snapshot,
                               .snapshot_read = disk_snapshot_read,
                               .load = disk_load,
                               .set_aside = disk_set_aside,
                               .history_add = disk_history_add,
                               .history_trim = disk_history_trim,
                               .history_read = disk_history_read};
}
