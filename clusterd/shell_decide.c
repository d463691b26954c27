#include <stdlib.h>
#include <string.h>

#include "shell_internal.h"

#define DECIDE_PAUSE_MS 200 /* after decisions that were all rejected: something else has to happen first */

/* --------------------------------------------------------------------------------------------- decisions */

/* Proposes what was decided; what the journal cannot take now is decided again later (level-triggered). */
static void put_decisions(struct shell *sh, struct decisions *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        struct event *e = &d->e[i];
        uint64_t index = 0;

        e->origin = sh->cfg.self;
        e->session = sh->cfg.session;
        e->seq = 0;
        e->time_ms = sh->p.clock.wall_ms(sh->p.clock.ctx);
        if (journal_propose(sh, e, &index) != 0) {
            sh->dirty = true;
            sh->decide_ms = sh->now + OUTGOING_RETRY_MS;
            break;
        }
        sh->decided = index;
    }
}

bool decide(struct shell *sh)
{
    struct decisions d = {NULL, 0, 0};
    struct world w;
    bool some = false;

    if (!shell_leads(sh) || !shell_current(sh) || !sh->dirty || sh->applied < sh->decided ||
        sh->now < sh->decide_ms || (sh->digest.disputed && !MUTANT(decide_in_a_dispute))) {
        return false;
    }
    sh->dirty = false;
    sh->rejected = sh->accepted = 0;
    shell_world(sh, &w);
    if (core_decide(sh->st, &w, &d) != 0) {
        shell_fail(sh, "out of memory"); /* its last word may lack a half: nothing of it is proposed */
    } else {
        some = d.n > 0;
        put_decisions(sh, &d);
    }
    decisions_fini(&d);
    return some;
}

void decide_applied(struct shell *sh, const struct event *e, const struct applied *a)
{
    if (e->seq != 0 || e->origin != sh->cfg.self || e->session != sh->cfg.session || e->kind == EV_OPEN) {
        return;
    }
    if (a->rc == 0) {
        sh->accepted++;
        sh->decide_ms = 0;
    } else {
        sh->rejected++;
        sh->decide_ms = sh->accepted == 0 ? sh->now + DECIDE_PAUSE_MS : sh->decide_ms;
    }
}

/* --------------------------------------------------------------------------------------------- deadlines */

static int watched_cmp(const void *a, const void *b)
{
    const struct watched *x = a, *y = b;

    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->id != y->id) {
        return x->id < y->id ? -1 : 1;
    }
    return x->n < y->n ? -1 : x->n > y->n;
}

struct collected {
    const struct shell *sh;
    struct watched *v;
    unsigned n, cap;
    bool failed;
};

static void collect(void *ctx, const struct deadline *d)
{
    struct collected *c = ctx;

    if (c->n == c->cap) {
        unsigned cap = c->cap ? 2 * c->cap : 16;
        struct watched *more = realloc(c->v, cap * sizeof *more);

        if (more == NULL) {
            c->failed = true;
            return;
        }
        c->v = more;
        c->cap = cap;
    }
    c->v[c->n++] =
        (struct watched){d->kind, d->id, d->n, c->sh->now + (MUTANT(deadlines_early) ? d->ms / 2 : d->ms)};
}

/* What the state waits for, with the times at which each was first seen in this term (W2). */
static void watch(struct shell *sh)
{
    struct collected c = {sh, NULL, 0, 0, false};
    bool same_term = sh->watched_term == sh->term;

    core_deadlines(sh->st, collect, &c);
    if (c.failed) {
        free(c.v);
        shell_fail(sh, "out of memory");
        return;
    }
    if (c.n > 0) {
        qsort(c.v, c.n, sizeof *c.v, watched_cmp);
    }
    for (unsigned i = 0; i < c.n && same_term && sh->watches > 0; i++) {
        const struct watched *old = bsearch(&c.v[i], sh->watched, sh->watches, sizeof *old, watched_cmp);

        if (old != NULL) {
            c.v[i].due_ms = old->due_ms;
        }
    }
    free(sh->watched);
    sh->watched = c.v;
    sh->watches = c.n;
    sh->watched_term = sh->term;
    sh->watched_index = sh->applied;
}

bool deadlines_propose(struct shell *sh)
{
    struct world world;
    bool some = false;

    if (!shell_leads(sh) || sh->digest.disputed) {
        return false;
    }
    if (sh->watched_term != sh->term || sh->watched_index != sh->applied) {
        watch(sh);
    }
    shell_world(sh, &world);
    for (unsigned i = 0; i < sh->watches && !sh->failed; i++) {
        struct watched *w = &sh->watched[i];
        struct event e;
        uint64_t index;

        if (sh->now < w->due_ms) {
            continue;
        }
        if (w->kind == DL_GRACE && (world.observing & NODE_BIT(w->id)) != 0 && !MUTANT(observer_fenced)) {
            w->due_ms = sh->now + 1000; /* A15: a crash loop must not reset the hosts */
            continue;
        }
        event_init(&e, EV_DEADLINE);
        e.num = w->kind;
        e.id = w->id;
        e.index = w->n;
        e.origin = sh->cfg.self;
        e.session = sh->cfg.session;
        e.time_ms = sh->p.clock.wall_ms(sh->p.clock.ctx);
        /* If the state still waits for it when this one has been applied, it is proposed again, not sooner.
         */
        w->due_ms = sh->now + (journal_propose(sh, &e, &index) == 0 ? 1000 : OUTGOING_RETRY_MS);
        event_fini(&e);
        some = true;
    }
    return some;
}

uint64_t deadlines_next_ms(const struct shell *sh)
{
    uint64_t next = NEVER;

    if (!shell_leads(sh) || sh->digest.disputed) {
        return NEVER;
    }
    for (unsigned i = 0; i < sh->watches; i++) {
        next = sh->watched[i].due_ms < next ? sh->watched[i].due_ms : next;
    }
    if (sh->dirty && sh->decide_ms > sh->now && sh->decide_ms < next) {
        next = sh->decide_ms;
    }
    return next;
}
