/*
 * load.c - what the store held at the start. A store that is not what a journal has written, or less than
 * this node has acknowledged, is never repaired: it is set aside, and the node comes back as another one
 * (A10).
 */
#include "journal/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void journal_load_fini(struct journal_load *load)
{
    for (size_t i = 0; i < load->n_entries; i++) {
        free((void *)(uintptr_t)load->entries[i].payload);
    }
    free(load->entries);
    free(load->blob);
    memset(load, 0, sizeof *load);
}

/* NULL when the stored log is what some journal has written, else what is wrong with it (A4). */
static const char *check_log(const struct journal_load *s)
{
    uint64_t index = s->prev.index, term = s->prev.term, last = index + s->n_entries;
    struct hash chain = s->prev.chain, at_snapshot = s->prev.chain;
    struct journal_members members;

    for (size_t i = 0; i < s->n_entries; i++) {
        const struct journal_entry *e = &s->entries[i];

        if (e->index != ++index || e->term < term || e->term == 0 || e->len > JOURNAL_PAYLOAD_MAX ||
            e->format != JOURNAL_FORMAT) {
            return "the stored log has a gap or an impossible entry";
        }
        term = e->term;
        chain = jlog_chain(chain, e);
        if (!hash_eq(chain, e->chain)) {
            return "the chain of the stored log is broken";
        }
        if (e->kind == JOURNAL_CONFIG && !journal_members_decode(&members, e->payload, e->len)) {
            return "a stored set of members cannot be read";
        }
        if (index == s->snapshot.index) {
            at_snapshot = chain;
        }
    }
    if (s->snapshot.index < s->prev.index || s->snapshot.index > last ||
        !hash_eq(at_snapshot, s->snapshot.chain)) {
        return "the stored log and the snapshot do not fit together";
    }
    return s->promise.term < term || s->commit > last ? "the stored log is shorter than it was" : NULL;
}

/* A10: does the store hold all that the mark says that it held? */
static const char *check_mark(const struct journal_load *s, const struct journal_mark *m)
{
    uint64_t last = s->prev.index + s->n_entries;
    bool bare = journal_uuid_none(s->cluster) && s->promise.term == 0; /* it has promised nothing yet */

    if (bare && m->incarnation != s->incarnation) {
        return NULL;
    }
    if (m->incarnation != s->incarnation) {
        return "the acknowledged mark is missing, or of another journal";
    }
    if (!journal_uuid_none(m->cluster) && !journal_uuid_eq(m->cluster, s->cluster)) {
        return "the stored journal is not of the cluster that it was of";
    }
    if (!MUTANT(tail_lost_unnoticed) &&
        (s->promise.term < m->term || (s->promise.term == m->term && last < m->index))) {
        return "the stored journal was shortened: it holds less than this node has acknowledged";
    }
    return NULL;
}

static const char *check_stored(const struct journal *j, const struct journal_load *s)
{
    const char *bad;

    if (s->incarnation == 0) {
        return s->mark.incarnation == 0 ? NULL
                                        : "the store is gone, and its acknowledged mark is still there";
    }
    if (!journal_uuid_none(s->cluster) && (jvoters_votes(&s->snapshot.members) == 0)) {
        return "the stored journal has no members";
    }
    if (journal_uuid_none(s->cluster) && (s->prev.index > 0 || s->n_entries > 0 || s->snapshot.index > 0 ||
                                          s->promise.term > 0 || s->commit > 0)) {
        return "the stored journal belongs to no cluster, and has entries";
    }
    bad = journal_uuid_none(s->cluster) ? NULL : check_log(s);
    if (bad == NULL) {
        bad = check_mark(s, &s->mark);
    }
    /* After a failed write, what this very session knows to have been on the disk counts as well (A4). */
    if (bad == NULL && j->store.mark.incarnation == s->incarnation) {
        bad = check_mark(s, &j->store.mark);
    }
    if (bad == NULL && j->incarnation == s->incarnation && journal_uuid_eq(j->cluster, s->cluster) &&
        j->commit > s->prev.index + s->n_entries) {
        bad = "the stored journal was shortened: committed entries are missing";
    }
    return bad;
}

static void forget(struct journal *j)
{
    uint64_t seq = j->store.seq;
    unsigned failures = j->store.failures;

    jlog_reset(&j->log, 0, 0, (struct hash){0, 0});
    buf_fini(&j->incoming.data);
    buf_fini(&j->blob);
    memset(&j->store, 0, sizeof j->store);
    memset(&j->snapshot, 0, sizeof j->snapshot);
    memset(&j->members, 0, sizeof j->members);
    memset(&j->promise, 0, sizeof j->promise);
    memset(&j->held, 0, sizeof j->held);
    buf_fini(&j->force.payload);
    memset(&j->force, 0, sizeof j->force);
    j->line = j->above = j->claimed = 0;
    memset(j->doubt, 0, sizeof j->doubt);
    j->store.seq = seq;
    j->store.failures = failures;
    j->cluster = (struct journal_uuid){0, 0};
    j->incoming.pieces = 0;
    j->commit = j->commit_heard = j->matched = j->answered = 0;
    j->members_index = j->snapshot_asked = j->bytes_since = 0;
    j->starting = j->yielded = false;
    j->vote_due = j->stand_due = j->bootstrap_due = j->ack_due = j->opened = false;
    j->bad_store[0] = j->stopped[0] = '\0';
    j->coordinator = 0;
    j->n_progress = 0;
}

static bool take_stored(struct journal *j, const struct journal_load *s)
{
    uint64_t commit = j->incarnation == s->incarnation ? j->commit : 0;

    forget(j);
    j->incarnation = s->incarnation;
    j->cluster = s->cluster;
    j->promise = s->promise;
    j->snapshot = s->snapshot;
    jlog_reset(&j->log, s->prev.index, s->prev.term, s->prev.chain);
    for (size_t i = 0; i < s->n_entries; i++) {
        if (!jlog_append(&j->log, &s->entries[i])) {
            return false;
        }
    }
    j->held.term = s->promise.term;
    j->held.last = jlog_last(&j->log);
    commit = s->commit > commit ? s->commit : commit;
    j->commit = s->snapshot.index > commit ? s->snapshot.index : commit;
    j->store.stored = j->store.durable = jlog_last(&j->log);
    j->store.promise = s->promise;
    j->store.mark = s->mark;
    jvoters_refresh(j);
    jforce_committed(j);
    return true;
}

int journal_load(struct journal *j, const struct journal_load *s)
{
    const char *bad = check_stored(j, s);

    for (size_t i = 0; i < s->n_entries; i++) {
        if (s->entries[i].format > JOURNAL_FORMAT) {
            return RC_REFUSED; /* A13: no damage */
        }
    }
    if (s->fresh.incarnation == 0 || journal_uuid_none(s->fresh.cluster)) {
        return RC_USAGE;
    }
    j->role = JOURNAL_WAITING;
    if (bad != NULL || s->incarnation == 0) {
        forget(j);
        j->incarnation = s->fresh.incarnation;
        j->store.identity = true;
    } else if (!take_stored(j, s)) {
        return RC_NO_MEMORY;
    }
    if (bad != NULL) {
        (void)snprintf(j->bad_store, sizeof j->bad_store, "%s", bad);
    }
    j->fresh_cluster = s->fresh.cluster;
    j->lost = s->lost;
    j->loaded = true;
    return RC_OK;
}
