#include <stdio.h>
#include <string.h>

#include "common/mutant.h"
#include "shell_internal.h"

/*
 * A14: nodes that have applied the same entry hold the same state (S5). Each says the digest of its own at
 * the same entries, and each judges for itself. Who differs from a majority of the votes does not act any
 * more: its journal, whose snapshot may be wrong as well, is set aside, and it takes the others' state. Where
 * no majority agrees nobody knows who is right: nothing is decided or started, VMs are left alone, an
 * operator has to look.
 *
 * Digests cost nothing at rest, and in a large cluster a thousandth of the work: they are made every
 * EVERY_SMALL entries while the state is small, else every EVERY_LARGE (a multiple, so that two nodes whose
 * states differ even in their size still meet), and whenever a daemon has announced itself.
 */
#define EVERY_SMALL 64
#define EVERY_LARGE 1024
#define LARGE_VMS   512
#define AGAIN_MS    2000 /* while they differ: somebody may have begun anew */

static bool is_point(const struct state *st, const struct event *e)
{
    return st->index % (st->vms < LARGE_VMS ? EVERY_SMALL : EVERY_LARGE) == 0 || e->kind == EV_NODE_UP;
}

static const struct digest_report *report_at(const struct shell *sh, uint32_t node, uint64_t term,
                                             uint64_t index)
{
    for (unsigned i = 0; i < DIGESTS_KEPT; i++) {
        const struct digest_report *r = &sh->digest.report[node][i];

        if (r->index == index && r->term == term && index != 0) {
            return r;
        }
    }
    return NULL;
}

static void keep(struct shell *sh, uint32_t node, const struct digest_report *r)
{
    if (report_at(sh, node, r->term, r->index) == NULL) {
        sh->digest.report[node][sh->digest.next[node]++ % DIGESTS_KEPT] = *r;
    }
}

/* Votes whose nodes hold this digest at that entry; *silent: votes of present nodes that have not said yet.
 */
static unsigned votes_for(const struct shell *sh, const struct digest_report *r, unsigned *silent)
{
    const struct journal_members *m = journal_members(sh->j);
    unsigned votes = 0;

    *silent = 0;
    for (size_t i = 0; i < m->n; i++) {
        uint32_t node = m->v[i].node;
        const struct digest_report *other;

        if (m->v[i].kind != JOURNAL_NODE || node > NODES_MAX) {
            continue;
        }
        other = report_at(sh, node, r->term, r->index);
        if (other == NULL) {
            *silent += (sh->world.present & NODE_BIT(node)) != 0 ? m->v[i].votes : 0;
        } else if (hash_eq(other->digest, r->digest)) {
            votes += m->v[i].votes;
        }
    }
    return votes;
}

static unsigned majority(const struct shell *sh)
{
    const struct journal_members *m = journal_members(sh->j);
    unsigned votes = 0;

    for (size_t i = 0; i < m->n; i++) {
        votes += m->v[i].votes;
    }
    return votes / 2 + 1;
}

static void say(struct shell *sh, const char *text)
{
    if (strcmp(sh->digest.why, text) != 0) {
        snprintf(sh->digest.why, sizeof sh->digest.why, "%s", text);
        shell_log(sh, LOG_L_ERROR, "alarm: %s", text);
    }
}

static void differs(struct shell *sh, const struct digest_report *own, uint32_t node,
                    const struct digest_report *other)
{
    unsigned silent, mine = votes_for(sh, own, &silent), theirs = votes_for(sh, other, &silent);
    unsigned most = mine > theirs ? mine : theirs;
    char text[JOURNAL_TEXT_MAX];

    if (theirs >= majority(sh) && !MUTANT(odd_goes_on)) {
        sh->digest.odd = true;
        snprintf(
            text, sizeof text,
            "A14: the state of this node after entry %llu is not that of the majority: it does not act, and "
            "takes theirs",
            (unsigned long long)own->index);
        say(sh, text);
    } else if (mine >= majority(sh)) {
        sh->digest.disputed = false;
        snprintf(
            text, sizeof text,
            "A14: the state of node %u after entry %llu is not that of the majority: it is to begin anew",
            node, (unsigned long long)own->index);
        say(sh, text);
    } else if (most + silent < majority(sh)) {
        sh->digest.disputed = true;
        snprintf(
            text, sizeof text,
            "A14: the states of this node and node %u after entry %llu differ, and no majority says which is "
            "right: nothing is decided, VMs are left alone",
            node, (unsigned long long)own->index);
        say(sh, text);
    }
}

/* What is known of one entry's state, after somebody has spoken of it. */
static void judge(struct shell *sh, uint64_t term, uint64_t index)
{
    const struct digest_report *own = report_at(sh, sh->cfg.self, term, index);
    unsigned silent;
    bool equal = true;

    if (own == NULL || sh->digest.odd || sh->rebuild) {
        return;
    }
    for (uint32_t node = 1; node <= NODES_MAX; node++) {
        const struct digest_report *other = report_at(sh, node, term, index);

        if (other != NULL && !hash_eq(other->digest, own->digest) && !MUTANT(digest_not_compared)) {
            equal = false;
            differs(sh, own, node, other);
        }
    }
    if (!equal || votes_for(sh, own, &silent) < majority(sh)) {
        return;
    }
    sh->digest.disputed = false;
    if (silent == 0 && sh->digest.why[0] != '\0') {
        shell_log(sh, LOG_L_NOTICE, "the states of the nodes are the same again");
        sh->digest.why[0] = '\0';
    }
}

static void tell(struct shell *sh)
{
    struct digest_report r = {sh->st->term, sh->st->index, state_digest(sh->st)};
    struct buf b = BUF_INIT;

    if (hash_eq(r.digest, (struct hash){0, 0})) {
        shell_fail(sh, "out of memory");
        return;
    }
    buf_u8(&b, SHELL_DIGEST);
    buf_u8(&b, SHELL_MESSAGE_FORMAT);
    buf_u64(&b, r.term);
    buf_u64(&b, r.index);
    buf_u64(&b, r.digest.lo);
    buf_u64(&b, r.digest.hi);
    if (!b.failed) {
        shell_send(sh, b.data, b.len);
    }
    buf_fini(&b);
    keep(sh, sh->cfg.self, &r);
    judge(sh, r.term, r.index);
}

void digest_applied(struct shell *sh, const struct event *e)
{
    if (sh->st->index > sh->replayed && is_point(sh->st, e)) {
        tell(sh);
    }
}

bool digest_message(struct shell *sh, uint32_t from, struct rd *r)
{
    struct digest_report report;

    report.term = rd_u64(r);
    report.index = rd_u64(r);
    report.digest.lo = rd_u64(r);
    report.digest.hi = rd_u64(r);
    if (!rd_done(r) || from < 1 || from > NODES_MAX) {
        return false;
    }
    if (from != sh->cfg.self) {
        keep(sh, from, &report);
        judge(sh, report.term, report.index);
    }
    return true;
}

void digest_forget(struct shell *sh)
{
    memset(sh->digest.report[sh->cfg.self], 0, sizeof sh->digest.report[0]);
}

void digest_consider(struct shell *sh)
{
    if (sh->digest.odd) {
        sh->digest.odd = sh->digest.disputed = false;
        journal_begin_anew(sh, sh->digest.why);
    }
    if (sh->digest.disputed && sh->now >= sh->digest.again_ms && !sh->rebuild) {
        sh->digest.again_ms = sh->now + AGAIN_MS;
        tell(sh);
    }
}

uint64_t digest_next_ms(const struct shell *sh)
{
    return sh->digest.disputed ? sh->digest.again_ms : NEVER;
}
