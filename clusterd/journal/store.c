/*
 * store.c - what is, and what is to be, on the disk.
 *
 * The state in memory runs ahead of the disk; one PERSIST at a time carries over all that has changed since
 * the last one (group commit). Nothing that a message promises is sent before it is durable: those who send
 * ask jstore_promised() and store.durable.
 */
#include "journal/internal.h"

#include <string.h>

bool jstore_promised(const struct journal *j)
{
    const struct journal_promise *a = &j->promise, *b = &j->store.promise;
    const struct journal_mark *mark = &j->store.mark;

    return a->term == b->term && a->node == b->node && a->incarnation == b->incarnation &&
           mark->incarnation == j->incarnation && mark->term == a->term;
}

void jstore_cut(struct journal *j, uint64_t from)
{
    struct jstore *s = &j->store;

    if (from > s->stored) {
        return; /* it was never handed over */
    }
    if (s->truncate_from == 0 || from < s->truncate_from) {
        s->truncate_from = from;
    }
    s->stored = from - 1;
    if (s->durable >= from && !MUTANT(durable_not_cut)) {
        s->durable = from - 1;
    }
    if (s->flying.last >= from && !MUTANT(flying_not_cut)) {
        s->flying.last = from - 1;
    }
}

void jstore_install(struct journal *j)
{
    struct jstore *s = &j->store;

    s->install = true;
    s->truncate_from = s->trim_to = 0;
    s->stored = j->snapshot.index;
    s->durable = s->flying.last = 0; /* nothing of the new log is on the disk */
}

/*
 * A10: what this incarnation has promised, and acknowledged in that term. Within a term it never shrinks:
 * what was matched in a term is not cut in it (A4, A5).
 */
static struct journal_mark store_mark(const struct journal *j)
{
    const struct journal_mark *old = &j->store.mark;
    struct journal_mark m = {j->incarnation, j->cluster, j->promise.term, 0};
    uint64_t last = jlog_last(&j->log);

    if (j->role == JOURNAL_LEADER && !MUTANT(mark_without_own)) {
        m.index = last;
    } else if (j->role == JOURNAL_FOLLOWER) {
        m.index = j->matched < last ? j->matched : last;
    }
    if (old->incarnation == m.incarnation && old->term == m.term && old->index > m.index &&
        !MUTANT(mark_shrinks)) {
        m.index = old->index;
    }
    return m;
}

static bool same_mark(const struct journal_mark *a, const struct journal_mark *b)
{
    return a->incarnation == b->incarnation && a->term == b->term && a->index == b->index &&
           journal_uuid_eq(a->cluster, b->cluster);
}

uint64_t jstore_marked(const struct journal *j)
{
    const struct journal_mark *m = &j->store.mark;

    return m->incarnation == j->incarnation && m->term == j->promise.term ? m->index : 0;
}

void jstore_flush(struct journal *j)
{
    struct jstore *s = &j->store;
    uint64_t last = jlog_last(&j->log);
    struct journal_mark mark = store_mark(j);
    struct journal_persist *p;
    struct journal_action *a;

    if (s->busy || (!s->identity && !s->install && s->truncate_from == 0 && s->stored == last &&
                    jstore_promised(j) && same_mark(&mark, &s->mark))) {
        return;
    }
    a = journal_act(j, JOURNAL_PERSIST);
    if (a == NULL) {
        return;
    }
    p = &a->persist;
    p->seq = ++s->seq;
    p->incarnation = j->incarnation;
    p->cluster = j->cluster;
    p->promise = j->promise;
    p->install = s->install ? &j->snapshot : NULL;
    p->blob = s->install ? j->blob.data : NULL;
    p->truncate_from = s->truncate_from;
    p->first = s->stored < last ? s->stored + 1 : 0;
    p->last = s->stored < last ? last : 0;
    p->commit = j->commit;
    p->trim_to = s->trim_to;
    p->mark = mark;
    s->flying.last = last;
    s->flying.promise = j->promise;
    s->flying.mark = p->mark;
    s->flying.install = s->install;
    s->stored = last;
    s->truncate_from = s->trim_to = 0;
    s->identity = s->install = false;
    s->busy = true;
}

/* A4: a failed write is fail-stop of the role; the store is read again before anything is answered. */
static void store_failed(struct journal *j, bool fsync)
{
    struct jstore *s = &j->store;
    unsigned shift = s->failures < 6 ? s->failures : 6;
    struct journal_action *a;

    if (j->role == JOURNAL_LEADER) {
        jrepl_resign(j, true, fsync ? "an fsync failed" : "a write failed");
    }
    j->role = JOURNAL_WAITING;
    s->failures++;
    if (fsync) {
        journal_say(j, JOURNAL_SET_ASIDE, "an fsync failed: the store is void");
        return;
    }
    a = journal_act(j, JOURNAL_RELOAD);
    if (a != NULL) {
        a->reload.delay_ms = 100U << shift;
        memcpy(a->text, "a write failed", sizeof "a write failed");
    }
}

int jstore_persisted(struct journal *j, uint64_t seq, enum journal_persisted result)
{
    struct jstore *s = &j->store;

    if (!s->busy || seq != s->seq) {
        return RC_USAGE;
    }
    s->busy = false;
    if (result != JOURNAL_PERSIST_OK &&
        !(result == JOURNAL_PERSIST_FAILED && MUTANT(disk_full_and_gone_on))) {
        store_failed(j, result == JOURNAL_FSYNC_FAILED && !MUTANT(fsync_read_again));
        return RC_OK;
    }
    s->failures = 0;
    if (s->flying.last > s->durable) {
        s->durable = s->flying.last;
    }
    s->promise = MUTANT(promise_taken_early) ? j->promise : s->flying.promise;
    s->mark = s->flying.mark;
    if (s->flying.install && !s->install) {
        buf_fini(&j->blob);
        if (j->commit < j->snapshot.index) {
            j->commit = j->snapshot.index; /* the core is there already: it was loaded with the blob */
        }
    }
    return RC_OK;
}
