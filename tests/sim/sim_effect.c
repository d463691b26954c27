/*
 * The rules between the journal's word and the world, looked at from both sides: an effect follows a
 * committed decision, once (C2), for a node that has said what it runs (C3); an answer follows the commit
 * (S4); a live migration does not end its source (S6); a fence is for this loss, and for nobody who is back
 * (N1).
 */
#include <stdlib.h>
#include <string.h>

#include "journal/internal.h"
#include "sim.h"

/* A job that a shell has begun; and those that the entries of this very call have still to explain. */
struct started {
    uint64_t job;
    uint32_t node, to;
    bool vm;           /* it is about one */
    bool locked;       /* its agent met a lock (C7) */
    uint32_t target;   /* it asks after this node's power, … */
    uint64_t confirms; /* … for this operation (N3); 0: for none */
};

/* What a committed entry says of a node. */
enum word { WORD_NONE, WORD_UP, WORD_INVENTORY };
struct said {
    enum word word;
    bool rejected;
    uint32_t node;
    uint64_t term;
};

struct effects {
    struct started *started;
    size_t n_started, cap_started, explained;
    struct said *said; /* by index */
    size_t n_said;
    bool *committed; /* commands, by request; not those that were rejected */
    size_t n_committed;
    uint64_t *answered; /* of this call */
    size_t n_answered, cap_answered;
    bool
        unseen; /* an entry was trimmed in the very call in which it was applied: what it said is not known */
    struct {
        enum node_state state;
        uint64_t loss, lost_at, grace_at, session;
        uint64_t refuted;  /* the confirmation to which its BMC has said that it is on */
    } node[NODES_MAX + 1]; /* as the newest committed state has it */
};

void effect_init(void)
{
    sim.effects = calloc(1, sizeof *sim.effects);
}

void effect_fini(void)
{
    free(sim.effects->started);
    free(sim.effects->said);
    free(sim.effects->committed);
    free(sim.effects->answered);
    free(sim.effects);
}

/* Room for [at] in an array of n, with zeros in what is new. */
static void *room(void *v, size_t *n, size_t at, size_t size)
{
    size_t more = 2 * at + 64;

    if (at < *n) {
        return v;
    }
    v = realloc(v, more * size);
    memset((char *)v + *n * size, 0, (more - *n) * size);
    *n = more;
    return v;
}

/* ------------------------------------------------------------------------------------------------ the
 * journal */

static struct started *started_job(uint64_t job)
{
    struct effects *r = sim.effects;

    for (size_t i = r->n_started; i-- > 0;) {
        if (r->started[i].job == job) {
            return &r->started[i];
        }
    }
    return NULL;
}

void effect_rejected(uint64_t index)
{
    struct effects *r = sim.effects;

    r->said = room(r->said, &r->n_said, (size_t)index, sizeof *r->said);
    r->said[index].rejected = true;
}

/* C7: a lock is not the VM's failure, so whoever decides has to hear of it. */
static void check_conflict(const struct event *e)
{
    const struct started *s = e->kind == EV_JOB_RESULT ? started_job(e->id) : NULL;

    if (s != NULL && s->locked && event_get(e, "conflict") == NULL) {
        fail("C7: job %llu has met an image lock, and its result does not say so", (unsigned long long)e->id);
    }
}

/* N3: the answer to one who confirms that a node is down. */
static void note_power(const struct event *e, uint64_t index)
{
    const struct started *s = e->kind == EV_JOB_RESULT ? started_job(e->id) : NULL;

    if (s != NULL && s->confirms != 0 && e->num == 0 && !sim.effects->said[index].rejected) {
        sim.effects->node[s->target].refuted = s->confirms;
    }
}

void effect_entry(const struct journal_entry *entry)
{
    struct effects *r = sim.effects;
    const char *request;
    struct event e;

    if (entry->kind != JOURNAL_DATA || event_decode(&e, entry->payload, entry->len, NULL) != 0) {
        return;
    }
    r->said = room(r->said, &r->n_said, (size_t)entry->index, sizeof *r->said);
    r->said[entry->index].word = WORD_NONE;
    r->said[entry->index].node = e.node;
    r->said[entry->index].term = entry->term;
    if (e.kind == EV_NODE_UP && e.node <= NODES_MAX && r->node[e.node].session != e.session) {
        r->node[e.node].session = e.session;
        r->said[entry->index].word = WORD_UP;
    } else if (e.kind == EV_INVENTORY && (e.flags & EVF_COMPLETE) != 0 && e.num == entry->term) {
        r->said[entry->index].word = WORD_INVENTORY;
    }
    check_conflict(&e);
    note_power(&e, entry->index);
    request = strchr(e.by, '#');
    if (request != NULL) {
        size_t number = (size_t)strtoull(request + 1, NULL, 10);

        r->committed = room(r->committed, &r->n_committed, number, sizeof *r->committed);
        r->committed[number] = !r->said[entry->index].rejected;
    }
    event_fini(&e);
}

/* C3: in this term, since it came, and before the decision. */
static bool has_said(uint32_t node, uint64_t index, uint64_t term)
{
    const struct effects *r = sim.effects;

    for (uint64_t i = index; i-- > 1 && i < r->n_said;) {
        const struct said *s = &r->said[i];

        if (s->term != 0 && s->term < term) {
            return false;
        }
        if (s->node == node && s->word != WORD_NONE) {
            return s->word == WORD_INVENTORY;
        }
    }
    return false;
}

static void explain(const struct host *h, const struct started *s)
{
    uint64_t term = check_term(s->job);

    if (term == 0 && s->job > h->sh->applied) {
        fail("C2: %s carries out job %llu, which is not committed", h->name, (unsigned long long)s->job);
    } else if (s->vm && !sim.effects->unseen &&
               (!has_said(s->node, s->job, term) || (s->to && !has_said(s->to, s->job, term)))) {
        fail("C3: job %llu was decided before node %u or %u had said in its term what it runs",
             (unsigned long long)s->job, s->node, s->to);
    }
}

void effect_step(struct host *h)
{
    struct effects *r = sim.effects;

    for (; r->explained < r->n_started; r->explained++) {
        explain(h, &r->started[r->explained]);
    }
    for (size_t i = 0; i < r->n_answered; i++) {
        if (!r->unseen && (r->answered[i] >= r->n_committed || !r->committed[r->answered[i]])) {
            fail("S4: command %llu is answered as done, and it is not committed, or was rejected",
                 (unsigned long long)r->answered[i]);
        }
    }
    r->n_answered = 0;
}

void effect_cut(uint64_t index, const struct state *newest)
{
    struct effects *r = sim.effects;

    if (index + 1 < r->n_said) {
        memset(r->said + index + 1, 0, (r->n_said - index - 1) * sizeof *r->said);
    }
    r->n_started = r->explained = 0; /* jobs are named by indices, which are used again */
    for (int i = 0; i < sim.n; i++) {
        const struct node *n = state_node(newest, (uint32_t)i + 1);

        r->node[i + 1].state = n != NULL ? n->state : NODE_OFFLINE;
        r->node[i + 1].loss = n != NULL ? n->loss : 0;
        r->node[i + 1].session = n != NULL ? n->session : 0;
    }
}

void effect_unseen(void)
{
    sim.effects->unseen = true;
}

void effect_died(void)
{
    sim.effects->explained = sim.effects->n_started;
    sim.effects->n_answered = 0;
}

/* ------------------------------------------------------------------------------------------------- the shell
 */

void effect_answered(uint64_t request)
{
    struct effects *r = sim.effects;

    r->answered = room(r->answered, &r->cap_answered, r->n_answered, sizeof *r->answered);
    r->answered[r->n_answered++] = request;
}

/* What jobs_start() looks at, looked at once more. */
static void check_begun(const struct host *h, const struct job *j)
{
    const struct shell *sh = h->sh;
    const struct job *now = state_job(sh->st, j->id);
    const char *wrong = NULL;

    if (!sh->ring_quorate) {
        wrong = "A2: its corosync has no quorum";
    } else if (!journal_is_open(sh->j) || sh->applied < journal_heard_commit(sh->j)) {
        wrong = "C2: it is behind the newest mark, or in no open term";
    } else if (j->session != h->session) {
        wrong = "C2: it is another session's";
    } else if (now != NULL && now->orphan) {
        wrong = "N1: it was lost before the fence began";
    } else if (sh->leaving) {
        wrong = "N2: it was asked to end";
    } else if (sh->digest.disputed) {
        wrong = "A14: nobody knows whose state is right";
    }
    if (wrong != NULL) {
        fail("%s begins job %llu: %s", h->name, (unsigned long long)j->id, wrong);
    }
}

void effect_started(const struct host *h, struct agent *a)
{
    struct effects *r = sim.effects;
    const struct run *run = h->sh->runs;
    const struct op *o;
    const struct job *j;

    while (run != NULL && run->id != a->id) {
        run = run->next;
    }
    if (run == NULL || run->purpose != RUN_JOB) {
        return;
    }
    j = &run->job;
    for (size_t i = 0; i < r->n_started; i++) {
        if (r->started[i].job == j->id) {
            fail("C2: job %llu is carried out twice", (unsigned long long)j->id);
        }
    }
    check_begun(h, j);
    a->job = j->id;
    o = state_op(h->sh->st, j->op);
    a->moves = o != NULL && o->kind == OP_LIVE;
    r->started = room(r->started, &r->cap_started, r->n_started, sizeof *r->started);
    r->started[r->n_started++] = (struct started){.target = j->to,
                                                  .confirms = o != NULL && o->kind == OP_CONFIRM ? o->id : 0,
                                                  .job = j->id,
                                                  .node = j->node,
                                                  .to = j->kind == JOB_MIGRATE ? j->to : 0,
                                                  .vm = acts[a->act].changes};
}

/* --------------------------------------------------------------------------------------------------- the
 * world */

void effect_told(const struct agent *a)
{
    struct started *s = a->job != 0 ? started_job(a->job) : NULL;

    if (s != NULL) {
        s->locked = a->out.len > 1 && strstr((const char *)a->out.data, "conflict: ") != NULL;
    }
}

void effect_stops(const struct agent *a)
{
    /* A look that is older than what the other end said counts from level 2 on as none. */
    if (a->moves && a->job > sim.older_until && sim.vm[a->vm].q[a->host] == Q_RUNNING) {
        fail("S6: %s runs on %s, and is ended there by its live migration", sim.vm[a->vm].name,
             sim.hosts[a->host].name);
    }
}

void effect_power_off(const struct agent *a)
{
    struct host *t = &sim.hosts[a->target];

    t->off_at = sim.now;
    /* A BMC that does late what an agent asked of it that was ended since: nobody can know. */
    if (t->on && !a->told && sim.effects->node[t->id + 1].state == NODE_ONLINE &&
        sim.stats.fences_lied == 0) {
        fail("N1: %s is switched off, though it is online again", t->name);
    }
}

/* The operator's word was wrong, and nothing could tell: neither is it in the membership nor does the order
 * wait for its BMC. */
static bool nothing_tells(const struct host *t)
{
    for (int i = 0; i < sim.n; i++) {
        const struct host *h = &sim.hosts[i];

        if (h->sh != NULL && journal_is_coordinator(h->sh->j) &&
            (h->net.members & NODE_BIT(t->id + 1)) != 0 && sim.now - h->net.told_at > SECOND) {
            return false;
        }
    }
    return true;
}

/* N3: the word counts for nothing once something has said that the node lives. */
static void check_confirmed(const struct state *st, const struct node *n)
{
    for (unsigned i = 0; i < st->ops; i++) {
        const struct op *o = &st->op[i];

        if (o->kind == OP_CONFIRM && o->node == n->id && o->state == OPS_DONE &&
            o->id == sim.effects->node[n->id].refuted) {
            fail("N3: %s counts as down by operation %llu, to which its BMC said that it is on", n->name,
                 (unsigned long long)o->id);
        }
    }
}

/* It is not waited for any more. */
static void leaves(struct host *t, const struct node *n)
{
    if (n->fenced && t->on && t->off_at < sim.effects->node[n->id].lost_at && sim.stats.fences_lied == 0) {
        fail("N1: %s counts as fenced, and was not switched off since it was lost", t->name);
    }
    if (!n->fenced && (!t->on || nothing_tells(t))) {
        world_returned(t);
        if (t->on) {
            world_lied(t);
        }
    }
}

/* A15: it is there, and says that it does nothing: that is no reason to fence it. */
static void check_observer(const struct state *st, const struct host *t, const struct node *n)
{
    if (!t->observing || sim.now < t->observing_since + 2 * SECOND || n->state != NODE_UNCLEAN ||
        sim.effects->node[n->id].state == NODE_UNCLEAN || n->fence_wanted) {
        return;
    }
    for (int i = 0; i < sim.n; i++) {
        const struct host *h = &sim.hosts[i];

        if (h->sh != NULL && journal_is_coordinator(h->sh->j) && h->sh->term == st->term &&
            h->sh->observed_ms[n->id] != 0 &&
            host_clock_ms(h) < h->sh->observed_ms[n->id] + OBSERVED_MS / 2 &&
            (h->net.members & NODE_BIT(n->id)) != 0 && host_clock_ms(h) > h->sh->j->lead_ms + 1000 &&
            sim.now > h->net.told_at + 2 * SECOND) {
            fail("A15: %s only observes, and counts as lost", t->name);
        }
    }
}

/* The state knows this very boot of its host. */
static bool is_known(const struct state *st, int host)
{
    const struct node *n = state_node(st, (uint32_t)host + 1);

    return n != NULL && sim.hosts[host].on && strcmp(n->boot, sim.hosts[host].boot) == 0;
}

/* C5: what is proven of the locks between two nodes is true, for as long as neither has booted anew. */
static void check_proofs(const struct state *st)
{
    node_set known = 0;

    for (int i = 0; i < sim.n; i++) {
        known |= is_known(st, i) ? NODE_BIT(i + 1) : 0;
    }
    for (unsigned v = 0; v < st->volumes; v++) {
        const struct volume *volume = st->volume[v];
        unsigned number = (unsigned)strtoul(volume->name + strlen("vol"), NULL, 10);

        for (node_set as = known; as != 0; as &= as - 1) {
            int a = __builtin_ctzll(as);

            for (node_set bs = volume->proven[a + 1] & known; bs != 0; bs &= bs - 1) {
                int b = __builtin_ctzll(bs);

                if (!world_locks_hold(number, a, b)) {
                    fail("C5: image locks of %s count as proven between %s and %s, and do not hold",
                         volume->name, sim.hosts[a].name, sim.hosts[b].name);
                }
            }
        }
    }
}

/* N2: a node whose corosync is there gets its time to come back, whoever it is that takes it for lost. Its
 * coordinator's own word only: others may have seen another ring. */
static void check_grace(const struct host *h, const struct node *n)
{
    const struct journal_entry *lost = journal_entry_at(h->sh->j, n->loss);
    enum node_state was = sim.effects->node[n->id].state;
    uint64_t grace = h->sh->st->opt.restart_grace_ms * MS - 2 * MS; /* in whole ms of two clocks */

    if (n->state != NODE_UNCLEAN || n->fence_wanted || n->outcast || !journal_is_coordinator(h->sh->j) ||
        lost == NULL || lost->term != h->sh->term || (h->net.members & NODE_BIT(n->id)) == 0 ||
        sim.now - h->net.told_at < 3 * SECOND) {
        return;
    }
    if (was == NODE_ONLINE || was == NODE_JOINING ||
        (was == NODE_GRACE && sim.now - sim.effects->node[n->id].grace_at < grace)) {
        fail("N2: %s is unclean, though its corosync is there, and its time to come back is not over",
             n->name);
    }
}

void effect_state(const struct host *h)
{
    const struct state *st = h->sh->st;

    check_proofs(st);
    for (int i = 0; i < sim.n; i++) {
        const struct node *n = state_node(st, (uint32_t)i + 1);
        struct host *t = &sim.hosts[i];

        if (n == NULL) {
            sim.effects->node[i + 1].state = NODE_OFFLINE;
            continue;
        }
        check_observer(st, t, n);
        if (n->state == NODE_UNCLEAN && sim.effects->node[n->id].loss != n->loss) {
            sim.effects->node[n->id].lost_at = sim.now;
            sim.effects->node[n->id].loss = n->loss;
        }
        if (n->state == NODE_GRACE && sim.effects->node[n->id].state != NODE_GRACE) {
            sim.effects->node[n->id].grace_at = sim.now;
        }
        check_grace(h, n);
        if (n->state == NODE_OFFLINE && sim.effects->node[n->id].state == NODE_UNCLEAN) {
            check_confirmed(st, n);
            leaves(t, n);
        }
        sim.effects->node[n->id].state = n->state;
    }
}
