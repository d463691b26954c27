/* What must be true after every step, and in the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define ENTRIES_MAX 500 /* in a second; in a large cluster a few for each thing that there is */
#define CONVERGE_US                                                                                          \
    (300 * SECOND) /* L1 and L2's bound: the longest job's deadline and the longest pause fit in */

void check_init(void)
{
    sim.truth = NULL;
    sim.n_truth = 0;
    raft_init();
    effect_init();
}

void check_fini(void)
{
    free(sim.truth);
    raft_fini();
    effect_fini();
}

static struct truth *truth_at(uint64_t index)
{
    if (index >= sim.n_truth) {
        size_t n = (size_t)index + 256;

        sim.truth = realloc(sim.truth, n * sizeof *sim.truth);
        memset(sim.truth + sim.n_truth, 0, (n - sim.n_truth) * sizeof *sim.truth);
        sim.n_truth = n;
    }
    return &sim.truth[index];
}

/* Raft's state machine safety: an index is committed once, by everybody alike. */
static void check_entries(struct host *h)
{
    for (uint64_t i = h->checked + 1; i <= h->sh->applied; i++) {
        const struct journal_entry *e = journal_entry_at(h->sh->j, i);
        struct truth *t = truth_at(i);

        if (e == NULL) {
            if (t->term == 0) {
                effect_unseen();
            }
            continue; /* within its snapshot */
        }
        if (t->term == 0) {
            t->term = e->term;
            t->by_term = h->sh->term;
            t->chain = e->chain;
            sim.stats.applied++;
            effect_entry(e);
        } else if (t->term != e->term || !hash_eq(t->chain, e->chain)) {
            fail("state machine safety: %s has applied another entry %llu", h->name, (unsigned long long)i);
        }
    }
    h->checked = h->sh->applied;
}

bool check_committed(uint64_t index, const struct hash *chain)
{
    return truth_at(index)->term != 0 && hash_eq(truth_at(index)->chain, *chain);
}

uint64_t check_term(uint64_t index)
{
    return truth_at(index)->term;
}

/* S5. The digest is the dearest of the checks: of every fourth index (what differs once goes on to differ),
 * and of the last. */
static void check_digest(struct host *h)
{
    const struct state *st = h->sh->st;
    struct truth *t;
    struct hash digest;

    if (st->index == h->digested || st->index == 0 || (st->index % 4 != 0 && sim.phase != PHASE_DONE)) {
        return;
    }
    h->digested = st->index;
    t = truth_at(st->index);
    digest = state_digest(st);
    if (t->digest_term == 0) {
        t->digest_term = st->term;
        t->digest = digest;
    } else if (sim.flipped) { /* A14: which of them is right is for them to find out; check_same_state() */
        return;
    } else if (t->digest_term != st->term || !hash_eq(t->digest, digest)) {
        fail("S5: the state of %s after entry %llu is another one", h->name, (unsigned long long)st->index);
    }
}

/* S3: a VM whose host was lost runs elsewhere only after a fence, an operator's word, or the host's return.
 */
void check_started(int vm, int host)
{
    const struct vm_world *w = &sim.vm[vm];
    node_set lost = w->lost & ~NODE_BIT(host + 1);

    if (lost != 0 && !w->lied) {
        fail("S3: %s runs on %s though nobody knows yet that %s is off", w->name, sim.hosts[host].name,
             sim.hosts[__builtin_ctzll(lost)].name);
    }
}

/* C1, S1, S8: a QEMU exists only where the newest committed state says that one may. */
void check_qemu(int vm, int host)
{
    struct vm_world *w = &sim.vm[vm];
    int running = 0, open = 0;

    w->stray &= w->q[host] == Q_NONE ? ~NODE_BIT(host + 1) : ~w->claims;
    if (w->q[host] != Q_NONE && ((w->claims | w->stray | w->by_hand) & NODE_BIT(host + 1)) == 0 && !w->lied) {
        fail("C1: %s is %s on %s, which has no claim", w->name, q_name(w->q[host]), sim.hosts[host].name);
    }
    for (int i = 0; i < sim.n; i++) {
        running += w->q[i] == Q_RUNNING;
        open += w->q[i] == Q_RUNNING || (w->q[i] == Q_PAUSED && w->restored[i] != 0);
    }
    if (running > 1 && w->lied) {
        sim.stats.s1_by_lie++;
    } else if (open > 1 && running == 1 && !w->lied) {
        fail("S8: the image of %s is opened for writing by %d QEMUs", w->name, open);
    } else if (running > 1) {
        fail("S1: %s runs on %d hosts", w->name, running);
    }
}

/* A13: no level that some host's build has never known; and nobody goes on with one that his own does not. */
static void check_level(const struct host *h)
{
    unsigned level = h->sh->st->level;

    for (int i = 0; i < sim.n; i++) {
        if (level > sim.hosts[i].known && !sim.hosts[i].was_out) {
            fail("A13: the feature level is %u, and no build of %s ever knew more than %u", level,
                 sim.hosts[i].name, sim.hosts[i].known);
        }
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(h->sh->st, id);

        if (n != NULL && (n->state == NODE_ONLINE || n->state == NODE_JOINING) && n->feature_level < level) {
            fail("A13: %s takes part with feature level %u, and the cluster has %u", n->name,
                 n->feature_level, level);
        }
    }
    if (level > h->sh->cfg.feature_level) { /* of the daemon that runs, whatever is installed by now */
        fail("A13: the daemon of %s knows feature level %u, and it goes on with %u", h->name,
             h->sh->cfg.feature_level, level);
    }
}

/* N4: what nobody ordered since high availability was paused is not begun. */
static void check_paused(const struct state *st)
{
    for (uint32_t id = 1; id <= NODES_MAX && st->disarm.index == st->index; id++) {
        if (state_node(st, id) != NULL && state_node(st, id)->state == NODE_UNCLEAN) {
            fail("N4: high availability is paused although node%u is unclean", id);
        }
    }
    for (unsigned i = 0; st->disarm.index != 0 && i < st->jobs; i++) {
        bool ordered = false;

        for (unsigned k = 0; k < st->ops; k++) {
            ordered |= st->op[k].kind == OP_FENCE && st->op[k].node == st->job[i].to;
        }
        if (st->job[i].kind == JOB_FENCE && st->job[i].id > st->disarm.index && !ordered) {
            fail("N4: node%u is fenced while high availability is paused", st->job[i].to);
        }
    }
    for (unsigned i = 0; st->disarm.index != 0 && i < st->ops; i++) {
        if (st->op[i].recovery && st->op[i].kind == OP_START && st->op[i].id > st->disarm.index) {
            fail("N4: %s is recovered while high availability is paused", st->op[i].subject);
        }
    }
}

/* S7: what is saved and not consumed is discarded by an operator's explicit word only, or when the VM runs
 * without it. */
static void check_saved(const struct state *st, const struct vm *vm, struct vm_world *w)
{
    bool excused = w->lied || w->saved == 0;

    for (unsigned i = 0; vm != NULL && i < vm->claims; i++) {
        excused |= vm->claim[i].obs == OBS_RUNNING;
    }
    for (unsigned i = 0; i < st->ops && !excused; i++) {
        const struct op *o = &st->op[i];

        excused = o->kind == OP_STOP && (o->flags & EVF_FORCE) != 0 && o->id > w->saved &&
                  strcmp(o->subject, w->name) == 0;
    }
    if (!excused && (vm == NULL || vm->saved.tag != w->saved)) {
        fail("S7: what job %llu saved of %s is discarded, and nobody said so", (unsigned long long)w->saved,
             w->name);
    }
    w->saved = vm != NULL && !vm->saved.consumed ? vm->saved.tag : 0;
}

/* REQ-F7: what was started by hand is taken over, unless its node has left before it could say so. */
static void note_by_hand(const struct state *st, struct vm_world *w, node_set claims)
{
    w->by_hand &= ~claims;
    for (node_set left = w->by_hand; left != 0; left &= left - 1) {
        const struct node *n = state_node(st, (uint32_t)__builtin_ctzll(left) + 1);

        w->lied |= n == NULL || n->state == NODE_OFFLINE;
    }
}

static void check_claims(struct host *h)
{
    uint64_t before = sim.newest_index;

    if (h->sh->st->index <= sim.newest_index) {
        return;
    }
    sim.newest_index = h->sh->st->index;
    member_state(h->sh->st);
    effect_state(h);
    place_check(h, before);
    check_paused(h->sh->st);
    for (int i = 0; i < sim.vms; i++) {
        const struct vm *vm = state_vm(h->sh->st, sim.vm[i].name);
        node_set claims = vm != NULL ? vm_claim_set(vm) : 0;

        if ((claims & ~sim.members) != 0) {
            fail("C1: %s may run on node%d, which does not belong to the cluster any more", sim.vm[i].name,
                 __builtin_ctzll(claims & ~sim.members) + 1);
        }
        check_saved(h->sh->st, vm, &sim.vm[i]);
        sim.vm[i].known = vm != NULL;
        note_by_hand(h->sh->st, &sim.vm[i], claims);
        if (claims != sim.vm[i].claims) {
            sim.vm[i].claims = claims;
            for (int k = 0; k < sim.n; k++) {
                check_qemu(i, k);
            }
        }
    }
}

void check_cut(uint64_t index, const struct state *newest)
{
    if (index + 1 < sim.n_truth) {
        memset(sim.truth + index + 1, 0, (sim.n_truth - index - 1) * sizeof *sim.truth);
    }
    sim.newest_index = sim.quiet_index = newest->index;
    member_state(newest);
    for (int i = 0; i < sim.vms; i++) {
        struct vm_world *w = &sim.vm[i];
        const struct vm *vm = state_vm(newest, w->name);

        w->claims = vm != NULL ? vm_claim_set(vm) : 0;
        w->known = vm != NULL;
        w->saved = vm != NULL && !vm->saved.consumed ? vm->saved.tag : 0;
        for (int k = 0; k < sim.n; k++) { /* its inventory will tell of it */
            w->stray |= w->q[k] != Q_NONE ? NODE_BIT(k + 1) & ~w->claims : 0;
        }
    }
}

/* S7: the memory of a saved state runs once, and only on the disks that it belongs to. */
void check_resumed(int vm, int host)
{
    struct vm_world *w = &sim.vm[vm];
    uint64_t tag = w->restored[host];

    if (tag == 0) {
        return;
    }
    w->restored[host] = 0;
    if (w->lied) {
        return;
    }
    for (size_t i = 0; i < w->n_used; i++) {
        if (w->used[i] == tag) {
            fail("S7: %s runs a second time from the state that job %llu saved", w->name,
                 (unsigned long long)tag);
        }
    }
    if (w->restored_gen[host] != w->disk_gen) {
        fail("S7: %s runs from a saved state though its disks were written since", w->name);
    }
    w->used = realloc(w->used, (w->n_used + 1) * sizeof *w->used);
    w->used[w->n_used++] = tag;
}

/* C5, S6: what was paused goes on only if nobody has written its disks since, or its memory is older than
 * they. */
void check_memory(int vm, int host, bool was_paused)
{
    const struct vm_world *w = &sim.vm[vm];

    /* What marks such halves came with level 2: of what was decided before, it says nothing. */
    if (was_paused && !w->lied && (w->resumed_by == 0 || w->resumed_by > sim.older_until) &&
        w->memory_gen[host] != w->disk_gen) {
        fail("S6: %s goes on at %s though its disks were written since it was paused", w->name,
             sim.hosts[host].name);
    }
}

/* Some VM may run twice, and nobody could know. */
static bool anything_lied(void)
{
    bool lied = sim.stats.fences_lied > 0;

    for (int i = 0; i < sim.vms; i++) {
        lied = lied || sim.vm[i].lied;
    }
    return lied;
}

/* What the state itself says of S1 is true where a BMC has lied, and over when it has been mended. */
static void check_core(const struct host *h)
{
    const char *wrong = h->sh->broken ? core_check(h->sh->st) : NULL;

    if (h->sh->broken && (!anything_lied() || (wrong != NULL && strncmp(wrong, "S1", 2) != 0))) {
        fail("core_check: %s: %s", h->name, wrong ? wrong : "it was broken before");
    }
}

/* A coordinator that sees nothing to do has overlooked nothing: core_decide looks at what has changed alone.
 */
static void check_overlooked(struct host *h)
{
    struct decisions d = {NULL, 0, 0};
    struct world w;
    char text[512];

    if (!shell_leads(h->sh) || !shell_current(h->sh) || h->sh->dirty || h->sh->applied < h->sh->decided ||
        !journal_members_settled(h->sh->j) || sim.now % 8 != 0) {
        return;
    }
    if (core_check(h->sh->st) != NULL && !anything_lied() && !sim.flipped) {
        fail("core_check: %s: %s", h->name, core_check(h->sh->st));
    }
    shell_world(h->sh, &w);
    if (core_decide_all(h->sh->st, &w, &d) == 0 && d.n > 0) {
        core_describe(h->sh->st, &d.e[0], text, sizeof text);
        fail("%s overlooked a decision: %s", h->name, text);
    }
    decisions_fini(&d);
}

/* A16: where those who are left are heard, nobody rules who was given up. */
static void check_given_up(struct host *h)
{
    if (journal_is_coordinator(h->sh->j) && journal_is_open(h->sh->j)) {
        fail("A16: %s was given up, and leads an open term", h->name);
    }
}

/* A14: while nobody knows whose state is right nothing is decided. */
static void check_disputed(struct host *h)
{
    if (h->disputed && h->sh->digest.disputed && h->sh->decided > h->decided) {
        fail("A14: %s decides entry %llu, and nobody knows whose state is right", h->name,
             (unsigned long long)h->sh->decided);
    }
    h->disputed = h->sh->digest.disputed;
    h->decided = h->sh->decided;
}

/* S2: it is in an open term. Not now, but when a majority was heard: a coordinator may not know yet that it
 * has lost it. */
void check_heard(struct host *h)
{
    uint64_t heard;

    if (h->sh != NULL && journal_is_open(h->sh->j)) {
        heard = (journal_heard_ms(h->sh->j) - h->clock_base) * MS;
        h->open_at = heard > h->open_at ? heard : h->open_at;
        h->excused = false;
    }
}

void check_daemon(struct host *h)
{
    check_disputed(h);
    check_core(h);
    if (h->old_line && !member_joined_anew(h)) {
        check_given_up(h);
        return;
    }
    raft_step(h);
    check_overlooked(h);
    if (h->checked > h->sh->applied) { /* it set its journal aside */
        h->checked = h->digested = 0;
    }
    if (h->checked < h->sh->applied) {
        check_entries(h);
        check_level(h);
        check_digest(h);
        check_claims(h);
    }
    effect_step(h);
    check_heard(h);
}

/* N2: where it could say "empty, leaving" it has; what it began it has ended. */
void check_leaves(const struct host *h)
{
    const struct shell *sh = h->sh;
    const struct node *n = shell_self(sh);
    bool empty = sh->left_ms == 0; /* it may have been refused */

    if (!sh->leaving || !journal_is_open(sh->j) || sh->now >= sh->leave_ms || n == NULL ||
        (n->state != NODE_ONLINE && n->state != NODE_JOINING)) { /* nobody counts on it any more */
        return;
    }
    for (unsigned i = 0; i < sh->st->vms; i++) {
        empty = empty && vm_claim(sh->st->vm[i], n->id) == NULL;
    }
    if (empty || sh->runs != NULL) {
        fail("N2: the daemon of %s ends %s", h->name,
             empty ? "empty, and has not said so" : "though its agents are at work");
    }
}

/* S2's measuring starts again. */
void check_excuse(struct host *h)
{
    h->open_at = sim.now;
}

/* S2. */
static void check_ended(struct host *h)
{
    uint64_t bound;

    if (!h->on || h->sh == NULL || h->paused || h->daemon_paused) {
        check_excuse(h);
        return;
    }
    bound = quorum_state(h->sh)->opt.no_quorum_timeout_ms * MS;
    if (bound < h->bound) { /* its journal had begun anew, and has only now been told how long it may wait */
        check_excuse(h);
    }
    h->bound = bound;
    if (h->excused || sim.now <= h->open_at + bound) {
        return;
    }
    for (int vm = 0; vm < sim.vms; vm++) {
        if (h->disk.lost && state_vm(quorum_state(h->sh), sim.vm[vm].name) == NULL) {
            continue; /* with its journal it has lost what it knew of this VM; that takes a watchdog (W) */
        }
        /* What another node's migration or an earlier daemon's agent brings meanwhile has its own time. */
        if (sim.vm[vm].q[h->id] != Q_NONE && (sim.vm[vm].by_hand & NODE_BIT(h->id + 1)) == 0 &&
            sim.now - sim.vm[vm].came[h->id] > bound) {
            for (const struct agent *a = sim.agents; a != NULL; a = a->next) {
                if (a->host == h->id && a->vm == vm && (a->phase == AP_LEFT || a->session != h->session)) {
                    h->excused = true; /* somebody else's leftover is at work: only a watchdog could help */
                    return;
                }
            }
            fail("S2: %s is still %s on %s, %llu ms after its last word of an open term", sim.vm[vm].name,
                 q_name(sim.vm[vm].q[h->id]), h->name, (unsigned long long)((sim.now - h->open_at) / MS));
            return;
        }
    }
}

/* ------------------------------------------------------------------------------------------------- liveness
 */

/* The daemons that are there agree; NULL and why. */
static const struct state *agreed(char *why, size_t size)
{
    const struct state *st = NULL;

    for (int i = 0; i < sim.n; i++) {
        const struct host *h = &sim.hosts[i];

        if (!member_expected(h)) {
            continue;
        }
        if (h->sh == NULL || !journal_is_open(h->sh->j)) {
            snprintf(why, size, "%s is not in an open term", h->name);
            return NULL;
        }
        if (st != NULL && st->index != h->sh->st->index) {
            snprintf(why, size, "%s is at entry %llu, not %llu", h->name,
                     (unsigned long long)h->sh->st->index, (unsigned long long)st->index);
            return NULL;
        }
        st = h->sh->st;
    }
    return st;
}

static bool nodes_settled(const struct state *st, char *why, size_t size)
{
    unsigned level = FEATURE_LEVEL;

    for (int i = 0; i < sim.n; i++) {
        const struct node *n = state_node(st, (uint32_t)i + 1);
        enum node_state want = sim.hosts[i].broken ? NODE_OFFLINE : NODE_ONLINE;

        if ((sim.members & NODE_BIT(i + 1)) == 0) {
            continue;
        }
        if (n == NULL ? want == NODE_ONLINE : n->state != want || n->mode != MODE_ACTIVE) {
            snprintf(why, size, "%s is %s, %s", sim.hosts[i].name, n ? node_state_key(st, n) : "unknown",
                     n ? node_mode_key(n->mode) : "");
            return false;
        }
        level = n == NULL ? 0 : n->feature_level < level ? n->feature_level : level;
    }
    if (st->level < level) {
        snprintf(why, size, "A13: the feature level is %u, and all nodes know %u", st->level, level);
        return false;
    }
    return true;
}

/* L2. */
static bool nothing_left(const struct state *st, char *why, size_t size)
{
    for (unsigned i = 0; i < st->ops; i++) {
        if (st->op[i].state < OPS_DONE) {
            snprintf(why, size, "L2: operation %llu (%s %s) is %s", (unsigned long long)st->op[i].id,
                     op_kind_key(st->op[i].kind), st->op[i].subject, op_state_key(st->op[i].state));
            return false;
        }
    }
    if (st->jobs > 0) {
        snprintf(why, size, "L2: job %llu (%s %s on node %u) is in flight", (unsigned long long)st->job[0].id,
                 job_kind_key(st->job[0].kind), st->job[0].subject, st->job[0].node);
        return false;
    }
    return true;
}

/* L1, and what is known is true. */
static bool vm_settled(const struct state *st, int i, char *why, size_t size)
{
    struct vm *vm = state_vm(st, sim.vm[i].name);
    unsigned runs = 0;

    if (vm == NULL) {
        return true;
    }
    for (int k = 0; k < sim.n; k++) {
        enum q q = sim.vm[i].q[k];
        const struct claim *c = vm_claim(vm, (uint32_t)k + 1);
        enum obs_state obs = q == Q_RUNNING    ? OBS_RUNNING
                             : q == Q_PAUSED   ? OBS_PAUSED
                             : q == Q_INCOMING ? OBS_INCOMING
                                               : OBS_ABSENT;

        runs += q == Q_RUNNING;
        if ((c != NULL ? c->obs : OBS_ABSENT) != obs) {
            snprintf(why, size, "%s is %s on %s, and known as %s", vm->name, q_name(q), sim.hosts[k].name,
                     c ? obs_key(c->obs) : "absent");
            return false;
        }
    }
    if (sim.vm[i].lied && runs == 0) {
        return true; /* its saved state may not fit the disks any more that both its QEMUs have written */
    }
    if (vm->restarts > vm->set.restart_limit || vm->tries > vm->set.restart_limit ||
        (vm->wanted == WANT_RUNNING && vm->set.priority == PRIO_NONE)) {
        return true;
    }
    if ((vm->wanted == WANT_RUNNING) != (runs == 1) &&
        (vm->wanted != WANT_RUNNING || !place_excused(st, vm))) {
        snprintf(why, size, "L1: %s is wanted %s, and %s: %s", vm->name, vm_wanted_key(vm->wanted),
                 runs ? "runs" : "does not run", vm->error);
        return false;
    }
    return true;
}

bool check_same_state(char *why, size_t size)
{
    const struct host *first = NULL;

    for (int i = 0; i < sim.n && sim.flipped; i++) {
        const struct host *h = &sim.hosts[i];

        if (h->broken || h->sh == NULL) {
            continue;
        }
        if (first != NULL && !hash_eq(state_digest(first->sh->st), state_digest(h->sh->st))) {
            snprintf(why, size, "A14: the states of %s and %s differ", first->name, h->name);
            return false;
        }
        first = h;
    }
    return true;
}

bool check_converged(char *why, size_t size)
{
    const struct state *st = agreed(why, size);

    if (st == NULL || !member_settled(why, size) || !nodes_settled(st, why, size) ||
        !nothing_left(st, why, size)) {
        return false;
    }
    for (int i = 0; i < sim.vms; i++) {
        if (!vm_settled(st, i, why, size)) {
            return false;
        }
    }
    if (!check_same_state(why, size)) {
        return false;
    }
    if (st->index < sim.newest_index) { /* before they had settled, the rest may not have heard of it yet */
        fail("S4: entry %llu was applied once, and is gone", (unsigned long long)sim.newest_index);
    }
    return true;
}

/* Nothing may go round in circles: a decision that changes nothing is taken again at once. */
static void check_quiet(void)
{
    uint64_t things = 30 * (uint64_t)sim.n + 10 * (uint64_t)sim.vms;

    if (sim.now >= sim.quiet_at + SECOND) {
        if (sim.newest_index > sim.quiet_index + (things > ENTRIES_MAX ? things : ENTRIES_MAX)) {
            fail("a busy loop: %llu entries within a second",
                 (unsigned long long)(sim.newest_index - sim.quiet_index));
        }
        sim.quiet_at = sim.now;
        sim.quiet_index = sim.newest_index;
    }
}

/* A14: what flipped in one node has come to others as a snapshot, and no majority agrees any more: nothing is
 * decided until an operator has looked. That is where such a run ends. */
static bool no_majority(void)
{
    struct hash digest[HOSTS_MAX];
    char why[512];
    int hosts = 0, most = 0;

    if (!sim.flipped || sim.n0 < 3 || agreed(why, sizeof why) == NULL) { /* two: the operator looks */
        return false;
    }
    for (int i = 0; i < sim.n; i++) {
        if (member_expected(&sim.hosts[i])) {
            digest[hosts++] = state_digest(sim.hosts[i].sh->st);
        }
    }
    for (int i = 0; i < hosts; i++) {
        int same = 0;

        for (int k = 0; k < hosts; k++) {
            same += hash_eq(digest[i], digest[k]);
        }
        most = same > most ? same : most;
    }
    return 2 * most <= sim.n;
}

void check_look(void)
{
    char why[512];

    for (int i = 0; i < sim.n; i++) {
        check_ended(&sim.hosts[i]);
    }
    check_quiet();
    if (sim.phase != PHASE_LIVENESS) {
        return;
    }
    if (check_converged(why, sizeof why) || no_majority()) {
        sim.stats.converged_ms = (sim.now - sim.healed_at) / MS;
        sim.phase = PHASE_DONE;
        for (int i = 0; i < sim.n; i++) {
            if (member_expected(&sim.hosts[i])) {
                check_digest(&sim.hosts[i]);
            }
        }
    } else if (sim.now > sim.healed_at + CONVERGE_US) {
        fail("not settled %llu s after the last fault: %s", (unsigned long long)(CONVERGE_US / SECOND), why);
    }
}

void check_explain(void)
{
    struct buf b = BUF_INIT;
    struct world w;

    for (int i = 0; i < sim.n; i++) {
        if (sim.hosts[i].sh == NULL || !journal_is_coordinator(sim.hosts[i].sh->j)) {
            continue;
        }
        shell_world(sim.hosts[i].sh, &w);
        for (int v = 0; v < sim.vms; v++) {
            core_explain_vm(sim.hosts[i].sh->st, &w, sim.vm[v].name, &b);
        }
        for (int k = 0; k < sim.n; k++) {
            core_explain_node(sim.hosts[i].sh->st, &w, sim.hosts[k].name, &b);
        }
        printf("as %s sees it:\n%.*s", sim.hosts[i].name, (int)b.len, (const char *)b.data);
        buf_reset(&b);
    }
    buf_fini(&b);
}
