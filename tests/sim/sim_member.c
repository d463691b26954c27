/*
 * Who belongs to the cluster: nodes that are added and removed (A9), a first creation without all of them
 * (A10), and a majority that is gone for good, with the quorum forced by those that are left (A16).
 */
#include <stdio.h>
#include <string.h>

#include "journal/internal.h"
#include "sim.h"

#define SPARES_MAX 2

/* ---------------------------------------------------------------------------------------------------- hosts
 */

static bool belongs(const struct host *h)
{
    return (sim.members & NODE_BIT(h->id + 1)) != 0;
}

static unsigned count(node_set set)
{
    return (unsigned)__builtin_popcountll(set);
}

bool member_expected(const struct host *h)
{
    return belongs(h) && !h->broken;
}

unsigned member_votes(const struct host *h)
{
    unsigned n = 0;

    for (int i = 0; i < sim.n; i++) {
        n += sim.hosts[i].linked;
    }
    return h->expected != 0 ? h->expected : n;
}

/* Draws from the seed's character: how many hosts are spare, and what else is unusual. */
void member_draw(void)
{
    int room = HOSTS_MAX - sim.n;

    sim.n0 = sim.n;
    sim.grows = chance(250);
    sim.creates = chance(60) && sim.n0 >= 3 && !sim.early_faults;
    sim.forces = chance(150) && sim.n0 >= 2 && !sim.grows;
    sim.n += sim.grows ? (int)between(1, SPARES_MAX) : 0;
    sim.n = sim.n > sim.n0 + room ? sim.n0 + room : sim.n;
}

void member_init(void)
{
    int absent = sim.creates ? (int)between(1, (uint64_t)(sim.n0 - 1) / 2) : 0;

    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[i];

        h->spare = i >= sim.n0;
        h->linked = !h->spare;
        h->away = h->spare || i >= sim.n0 - absent;
        sim.members |= h->spare ? 0 : NODE_BIT(i + 1);
    }
    sim.come_at = between(10 * SECOND, 40 * SECOND);
}

/* The newest state. */
void member_state(const struct state *st)
{
    node_set now = 0;

    for (int i = 0; i < sim.n; i++) {
        const struct node *n = state_node(st, (uint32_t)i + 1);
        node_set bit = NODE_BIT(i + 1);

        sim.seen |= n != NULL ? bit : 0;
        sim.forced = sim.forced || (n != NULL && n->outcast && (sim.gone & bit) != 0);
        if (n != NULL || ((sim.seen & bit) == 0 && !sim.hosts[i].spare)) { /* it may not have come yet */
            now |= bit;
        } else {
            sim.hosts[i].was_out = true;
        }
    }
    sim.members = now;
}

/* ---- the port: corosync's list ---- */

/* As adapters/members.c: the coordinator soon has it loaded by every corosync of the ring, the others only
 * where it has not come to that. */
static void port_members(void *ctx, const struct member_node *node, unsigned nodes, bool lead)
{
    struct host *h = ctx;

    if (!daemon_effect(h)) {
        return;
    }
    h->list = 0;
    for (unsigned i = 0; i < nodes; i++) {
        h->list |= NODE_BIT(node[i].id);
    }
    trace("%s: corosync shall have the nodes %llx%s", h->name, (unsigned long long)h->list,
          lead ? ", at once" : "");
    at(sim.now + (lead ? 500 * MS : 2500 * MS), ITEM_LIST, h->id, h->session, 0);
}

void member_list(struct host *h)
{
    bool changed = false;

    if (!h->linked || !h->corosync) {
        return;
    }
    for (int i = 0; i < sim.n; i++) {
        bool listed = (h->list & NODE_BIT(i + 1)) != 0;

        changed = changed || listed != sim.hosts[i].linked;
        sim.hosts[i].linked = listed;
    }
    for (int i = 0; i < sim.n && changed; i++) { /* votequorum counts anew, whether the ring changes or not */
        sim.hosts[i].expected = 0;
        at(sim.now + between(MS, 50 * MS), ITEM_QUORUM, i, 0, 0);
    }
    if (changed) {
        trace("%s: corosync's list of nodes is %llx", h->name, (unsigned long long)h->list);
        net_changed();
    }
}

static void port_expect(void *ctx, unsigned votes)
{
    struct host *h = ctx;

    if (!daemon_effect(h)) {
        return;
    }
    for (int i = 0; i < sim.n; i++) {
        if (net_reaches(h, &sim.hosts[i])) {
            sim.hosts[i].expected = votes;
            at(sim.now + between(MS, 50 * MS), ITEM_QUORUM, i, 0, 0);
        }
    }
}

struct member_port member_port(struct host *h)
{
    return (struct member_port){h, port_members, port_expect};
}

/* ------------------------------------------------------------------------------------------ add and remove
 */

/* One that is drained or off, and can be spared; NULL: none. */
static const struct node *to_remove(const struct state *st)
{
    for (int first = (int)draw((uint64_t)sim.n), i = 0; i < sim.n; i++) {
        const struct node *n = state_node(st, (uint32_t)((first + i) % sim.n) + 1);

        if (n != NULL && (n->state == NODE_OFFLINE || n->mode == MODE_DRAINED)) {
            return n;
        }
    }
    return NULL;
}

static bool wish_add(struct event *e)
{
    for (int first = (int)draw((uint64_t)sim.n), i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[(first + i) % sim.n];

        if (belongs(h) || h->gone) {
            continue;
        }
        e->kind = EV_CMD_NODE_ADD;
        e->node = (uint32_t)h->id + 1;
        snprintf(e->subject, sizeof e->subject, "%s", h->name);
        event_putf(e, "address", "10.0.0.%d", h->id + 1);
        if (h->away) { /* he goes and switches it on, before or after */
            h->away = false;
            at(sim.now + between(0, 4 * SECOND), ITEM_POWER, h->id, h->powers, 0);
        }
        return true;
    }
    return false;
}

/* Draws a command about who belongs to the cluster; false: there is nothing to be asked. */
bool member_wish(struct event *e, const struct state *st)
{
    const struct node *n = to_remove(st);

    if (!sim.grows || sim.store_lost) { /* one that lost its journal may have no vote now */
        return false;
    }
    if (!(chance(500) && wish_add(e))) {
        if (n == NULL && chance(500)) {
            return false;
        }
        e->node = n != NULL ? n->id : (uint32_t)between(1, (uint64_t)sim.n);
        e->kind = n != NULL || chance(200) ? EV_CMD_NODE_REMOVE : EV_CMD_NODE_DRAIN;
    }
    sim.changes++;
    return true;
}

/* Who was removed is switched off after a while; who belongs, and is off because it once did not, comes. */
static void follow(void)
{
    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[i];

        if (h->gone || h->broken) {
            continue;
        }
        if (belongs(h) && h->away && (!sim.creates || sim.now > sim.come_at)) {
            h->away = false;
            at(sim.now, ITEM_POWER, i, h->powers, 0);
        } else if (!belongs(h) && h->on && !h->linked && chance(sim.phase == PHASE_LIVENESS ? 500 : 30)) {
            trace("%s: does not belong to the cluster: switched off", h->name);
            h->away = true;
            h->power = false;
            host_crash(h);
        }
    }
}

/* ---------------------------------------------------------------------------------------------- creation */

static bool can_be_asked(const struct host *h)
{
    return h->on && h->sh != NULL && !h->paused && !h->daemon_paused && !h->inside;
}

/* Somebody does not come: the operator says that the cluster begins without. At one node, since two could
 * draw a cluster each. */
static void create(void)
{
    struct host *h = &sim.hosts[0];
    struct err err = ERR_INIT;

    if (!sim.creates || sim.newest_index > 0 || sim.now < 5 * SECOND || !can_be_asked(h) || !chance(100) ||
        h->net.told_ring == 0) {
        return;
    }
    if (daemon_enter(h)) {
        int rc = shell_create(h->sh, &err);

        trace("%s: cluster create: %s%s%s", h->name, rc_key(rc), rc ? ": " : "", rc ? err.msg : "");
        sim.stats.creations += rc == 0;
        daemon_left(h);
    }
}

/* ---------------------------------------------------------------------------------------- forced quorum */

/* Fault: a majority of the voters burns down. */
void member_majority_gone(struct host *h)
{
    const struct journal_members *m = h->sh != NULL && !h->inside ? journal_members(h->sh->j) : NULL;
    unsigned left, votes;

    if (!sim.forces || sim.gone != 0 || sim.store_lost || sim.phase != PHASE_CHAOS || m == NULL ||
        !shell_current(h->sh) || !journal_members_settled(h->sh->j) || sim.mixed_builds) {
        return;
    }
    votes = jvoters_votes(m);
    if (votes < 2 || votes != count(sim.members)) {
        return;
    }
    left = votes > 2 ? (unsigned)between(1, (votes - 1) / 2) : 1;
    sim.store_lost = true; /* none of the journals that are left may be lost */
    for (int first = (int)draw((uint64_t)sim.n), i = 0; i < sim.n; i++) {
        struct host *t = &sim.hosts[(first + i) % sim.n];

        if (!belongs(t)) {
            continue;
        }
        if (left > 0) {
            left--;
            continue;
        }
        trace("%s: is gone for good", t->name);
        sim.gone |= NODE_BIT(t->id + 1);
        t->gone = t->away = true;
        t->power = false;
        host_crash(t);
    }
    sim.stats.majorities_gone++;
}

/* The operator, at one of those that are left. */
static void force(void)
{
    struct err err = ERR_INIT;

    for (int first = (int)draw((uint64_t)sim.n), i = 0; i < sim.n && sim.gone != 0 && !sim.forced; i++) {
        struct host *h = &sim.hosts[(first + i) % sim.n];

        if (belongs(h) && !h->gone && can_be_asked(h) && chance(100) && daemon_enter(h)) {
            int rc = shell_force(h->sh, sim.gone, "root", &err);

            trace("%s: quorum force: %s%s%s", h->name, rc_key(rc), rc ? ": " : "", rc ? err.msg : "");
            sim.stats.forces_asked += rc == 0;
            daemon_left(h);
            return;
        }
    }
}

/* Up to where its log is what was committed: all behind that was known to those who are gone alone. */
static uint64_t common_history(const struct host *h)
{
    const struct jlog *log = &h->sh->j->log;

    for (uint64_t i = jlog_last(log); i > h->sh->j->snapshot.index; i--) {
        const struct journal_entry *e = jlog_at(log, i);

        if (e != NULL && check_committed(i, &e->chain)) {
            return i;
        }
    }
    /* A lone survivor may have committed its forced term, and taken a snapshot of it, in this very call. */
    return h->sh->j->snapshot.term < h->sh->j->promise.term ? h->sh->j->snapshot.index : h->checked;
}

/*
 * A coordinator was elected by those who are left (A16). What only the majority knew is lost, and the
 * journal's indices are used again. Nobody who is left may have acted on any of it.
 */
static void begin_line(struct host *h)
{
    const struct state *newest = NULL;
    uint64_t cut = common_history(h);

    trace("%s: is the coordinator of a forced term; entries behind %llu are lost", h->name,
          (unsigned long long)cut);
    for (int i = 0; i < sim.n; i++) {
        struct host *s = &sim.hosts[i];

        s->old_line = s->gone;
        s->begins_anew = false;
        if (s->gone || s->sh == NULL) {
            continue;
        }
        if (s->checked > cut) {
            fail("A16: %s has applied entry %llu, and %s, who was elected, has not got it", s->name,
                 (unsigned long long)s->checked, h->name);
        }
        newest = newest == NULL || s->sh->st->index > newest->index ? s->sh->st : newest;
        s->digested = 0;
    }
    check_cut(cut, newest);
    effect_cut(cut, newest);
    for (int vm = 0; vm < sim.vms; vm++) {
        sim.vm[vm].n_used = 0; /* tags are indices */
    }
}

void member_elected(struct host *h, uint64_t term)
{
    if (sim.gone != 0 && term > sim.top_term + JOURNAL_FORCE_STEP / 2) {
        begin_line(h);
        sim.stats.quorums_forced++;
    }
    sim.top_term = term > sim.top_term ? term : sim.top_term;
}

/* Its journal is not that of the majority any more; its state is, until it has another one. */
void member_begins_anew(struct host *h)
{
    h->begins_anew = true;
}

bool member_joined_anew(struct host *h)
{
    if (!h->begins_anew || h->sh->rebuild) {
        return false;
    }
    h->old_line = h->begins_anew = false;
    return true;
}

/*
 * Those given up come back, or do not. One after the other, each when the one before has joined: together
 * they could be a majority by their own word (the manual says so), as they could where they do not hear those
 * who are left.
 */
static bool may_come_back(void)
{
    bool may = sim.forced && sim.phase == PHASE_LIVENESS;

    for (int i = 0; i < sim.n; i++) {
        const struct host *h = &sim.hosts[i];

        may = may && h->component == 0 && !(h->old_line && !h->gone && !h->broken);
    }
    return may;
}

static void come_back(void)
{
    for (int i = 0; i < sim.n && may_come_back(); i++) {
        struct host *h = &sim.hosts[i];

        if (!h->gone) {
            continue;
        }
        h->gone = false;
        if (chance(250)) {
            h->broken = true; /* it stays away */
            continue;
        }
        if (chance(300)) {
            trace("%s: its disk is wiped", h->name);
            disk_wipe(h);
        }
        sim.stats.gone_returned++;
        h->away = false;
        at(sim.now + between(0, 5 * SECOND), ITEM_POWER, i, h->powers, 0);
    }
}

void member_operator(void)
{
    create();
    force();
    come_back();
    follow();
}

/* The operator's work is done: nobody is still to come back. */
bool member_settled(char *why, size_t size)
{
    for (int i = 0; i < sim.n; i++) {
        const struct host *h = &sim.hosts[i];

        if (h->gone && !h->broken) {
            snprintf(why, size, "A16: %s",
                     sim.forced ? "not all have come back" : "the quorum is not forced");
            return false;
        }
        if (!belongs(h) && h->on) {
            snprintf(why, size, "A9: %s does not belong to the cluster, and is on", h->name);
            return false;
        }
    }
    return true;
}
