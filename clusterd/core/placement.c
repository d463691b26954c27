/*
 * placement.c - which node: what rules one out, and which of the others is best (REQ-P1: with its reasons).
 *
 * All VMs that need a place in a round of decisions are placed together (place_plan): by priority, then the
 * largest first, each where it is best (preferred owner, where it was, most memory free, lowest id). VMs that
 * rules keep together are one unit. A unit that fits nowhere makes those placed before it in this round move
 * aside, within bounds: chains of up to CHAIN_MAX, each unit one step further; and where the round has at
 * most EXACT_UNITS units, every assignment of them. So who stays without a place is the last in that order.
 */
#include "core/placement.h"

#include "core/decide.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX   3
#define EXACT_UNITS 12
#define STEPS_UNIT  30000u  /* tries of a unit on a node, to make room for one unit: about 2 ms */
#define STEPS_ROUND 100000u /* and in one round */

/* ---- rules ---- */

unsigned place_group(struct vm *vm, struct vm *out[RULE_VMS_MAX])
{
    unsigned n = 1;

    out[0] = vm;
    for (unsigned at = 0; at < n; at++) {
        for (unsigned i = 0; i < out[at]->rules; i++) {
            const struct rule *r = out[at]->rule[i];

            for (unsigned k = 0; r->kind == RULE_TOGETHER && k < r->vms; k++) {
                unsigned have = 0;

                while (have < n && out[have] != r->vm[k]) {
                    have++;
                }
                if (have == n && n < RULE_VMS_MAX) {
                    out[n++] = r->vm[k];
                }
            }
        }
    }
    return n;
}

static bool has_rule(const struct vm *vm, enum rule_kind kind)
{
    for (unsigned i = 0; i < vm->rules; i++) {
        if (vm->rule[i]->kind == kind) {
            return true;
        }
    }
    return false;
}

node_set place_possible(const struct vm *vm)
{
    node_set set = ~(node_set)0;

    for (unsigned i = 0; i < vm->rules; i++) {
        if (vm->rule[i]->kind == RULE_OWNERS && vm->rule[i]->possible != 0) {
            set &= vm->rule[i]->possible;
        }
    }
    return set;
}

node_set place_preferred(const struct vm *vm)
{
    node_set set = 0;

    for (unsigned i = 0; i < vm->rules; i++) {
        set |= vm->rule[i]->preferred;
    }
    return set;
}

/* Where it is or may come: the plan of this round goes before what was reserved until now. */
static node_set occupied(const struct vm *vm)
{
    return (vm->unit != 0 ? vm_claim_set(vm) : vm->spoken) | (vm->plan != 0 ? NODE_BIT(vm->plan) : 0);
}

/* A move that has not begun, and may go elsewhere than where its place is: nobody said where to. */
static bool may_be_placed_anew(const struct state *s, const struct op *o)
{
    return (o->kind == OP_LIVE || o->kind == OP_QUICK) && o->state == OPS_QUEUED &&
           (o->to == 0 || (!op_to_there_only(s, o) && !MUTANT(place_is_kept)));
}

/* Where it will be when what is under way has ended; 0: that is open. Two that are placed anew together begin
 * one after the other: the place that the second has had until then must not bar the first. */
static node_set bound_for(const struct state *s, const struct vm *vm)
{
    const struct op *o = vm->op ? state_op(s, vm->op) : NULL;

    if (vm->plan != 0) {
        return NODE_BIT(vm->plan);
    }
    if (o != NULL && may_be_placed_anew(s, o)) {
        return 0;
    }
    if (vm->claims > 0 && o != NULL && o->to != 0 && (vm->spoken & NODE_BIT(o->to)) != 0) {
        return NODE_BIT(o->to);
    }
    return vm_claim_set(vm); /* one that only has its place may still get another */
}

/* Nodes where a VM is, or may come, that a rule keeps apart from this one. */
static node_set kept_apart(const struct vm *vm)
{
    node_set set = 0;

    for (unsigned i = 0; i < vm->rules; i++) {
        const struct rule *r = vm->rule[i];

        for (unsigned k = 0; r->kind == RULE_APART && k < r->vms; k++) {
            set |= r->vm[k] != vm ? occupied(r->vm[k]) : 0;
        }
    }
    return set;
}

/* The VM of an apart rule that is in the way on the node, or NULL. */
static const struct vm *in_the_way(const struct vm *vm, uint32_t node, const struct rule **rule)
{
    for (unsigned i = 0; i < vm->rules; i++) {
        const struct rule *r = vm->rule[i];

        for (unsigned k = 0; r->kind == RULE_APART && k < r->vms; k++) {
            if (r->vm[k] != vm && (occupied(r->vm[k]) & NODE_BIT(node)) != 0) {
                *rule = r;
                return r->vm[k];
            }
        }
    }
    return NULL;
}

/* The VM that is to be together with this one and is elsewhere, or NULL. Those of its unit go with it. */
static const struct vm *held_elsewhere(const struct state *s, const struct vm *vm, uint32_t node)
{
    struct vm *group[RULE_VMS_MAX];
    unsigned n;

    if (!has_rule(vm, RULE_TOGETHER)) {
        return NULL;
    }
    n = place_group((struct vm *)(uintptr_t)vm, group);
    for (unsigned i = 1; i < n; i++) {
        node_set bound = bound_for(s, group[i]);

        if ((vm->unit == 0 || group[i]->unit != vm->unit) && bound != 0 && (bound & NODE_BIT(node)) == 0) {
            return group[i];
        }
    }
    return NULL;
}

static bool rules_bar(const struct state *s, const struct vm *vm, uint32_t node, char *why)
{
    const struct rule *r = NULL;
    const struct vm *other;

    if (MUTANT(rules_ignored) || vm->rules == 0) {
        return false;
    }
    if ((place_possible(vm) & NODE_BIT(node)) == 0) {
        if (why != NULL) {
            text_format(why, TEXT_SIZE, "it is none of its possible owners (rule owners)");
        }
        return true;
    }
    other = in_the_way(vm, node, &r);
    if (other != NULL) {
        if (why != NULL) {
            text_format(why, TEXT_SIZE, "rule %llu keeps it apart from VM '%s', which is there",
                        (unsigned long long)r->id, other->name);
        }
        return true;
    }
    other = held_elsewhere(s, vm, node);
    if (other != NULL && why != NULL) {
        text_format(why, TEXT_SIZE, "a rule keeps it together with VM '%s', which is on another node",
                    other->name);
    }
    return other != NULL;
}

/* ---- room ---- */

static uint64_t free_mib(const struct decide *d, uint32_t node)
{
    return d->used.mib[node] < d->total.mib[node] ? d->total.mib[node] - d->used.mib[node] : 0;
}

static uint64_t need_mib(const struct state *s, const struct vm *vm)
{
    return vm->memory_mib + s->opt.vm_overhead_mib;
}

/* What is free for this VM: what is kept for it there is its own. */
static uint64_t own_free_mib(const struct state *s, const struct usage *u, const struct vm *vm, uint32_t node)
{
    uint64_t total = node_memory_mib(s, &s->node[node]), used = u->mib[node];

    used -= (occupied(vm) & NODE_BIT(node)) != 0 ? need_mib(s, vm) : 0;
    return used < total ? total - used : 0;
}

static uint32_t own_free_vcpus(const struct state *s, const struct usage *u, const struct vm *vm,
                               uint32_t node)
{
    uint32_t total = node_vcpus(s, &s->node[node]), used = u->cpus[node];

    used -= (occupied(vm) & NODE_BIT(node)) != 0 ? vm->cpus : 0;
    return total == UINT32_MAX ? total : used < total ? total - used : 0;
}

enum place_bar place_barred(const struct state *s, const struct usage *u, const struct vm *vm, uint32_t node,
                            char why[TEXT_SIZE])
{
    const struct node *n = &s->node[node];
    uint64_t need = need_mib(s, vm), mib = own_free_mib(s, u, vm, node);
    uint32_t cpus = own_free_vcpus(s, u, vm, node);

    if (rules_bar(s, vm, node, why)) {
        return BAR_RULE;
    }
    if (vm_claim(vm, node) != NULL) {
        return BAR_NONE; /* it is there */
    }
    if (mib < need && !MUTANT(room_ignored)) {
        if (why != NULL) {
            text_format(why, TEXT_SIZE,
                        "no room: needs %llu MiB (%llu and %u overhead), %llu of %llu are free",
                        (unsigned long long)need, (unsigned long long)vm->memory_mib, s->opt.vm_overhead_mib,
                        (unsigned long long)mib, (unsigned long long)node_memory_mib(s, n));
        }
        return BAR_ROOM;
    }
    if (cpus < vm->cpus) {
        if (why != NULL) {
            text_format(
                why, TEXT_SIZE,
                "no CPUs left: needs %u, %u of %u vCPUs are free (%u CPUs, cpu_overcommit_percent=%u)",
                vm->cpus, cpus, node_vcpus(s, n), n->cpus, s->opt.cpu_overcommit_percent);
        }
        return BAR_ROOM;
    }
    return BAR_NONE;
}

/* ---- one VM ---- */

static bool volumes_fit(const struct decide *d, const struct vm *vm, uint32_t node, bool *soon, char *why)
{
    for (unsigned i = 0; i < vm->disks; i++) {
        const struct volume *v = vm_volume(d->s, vm->disk[i]);

        if (v == NULL) {
            text_format(why, TEXT_SIZE, "disk '%s' is on no shared volume", vm->disk[i]);
            return false;
        }
        if ((v->online & NODE_BIT(node)) == 0) {
            *soon |= (v->wait & NODE_BIT(node)) == 0;
            text_format(why, TEXT_SIZE, "volume '%s' is not online there%s%s", v->name,
                        v->error[0] ? ": " : "", v->error);
            return false;
        }
    }
    return true;
}

bool place_fits(const struct decide *d, const struct vm *vm, uint32_t node, const struct place *p, bool *soon,
                char why[TEXT_SIZE])
{
    const struct node *n = &d->s->node[node];

    if ((p->avoid & NODE_BIT(node)) != 0) {
        text_format(why, TEXT_SIZE, "it is to leave that node");
        return false;
    }
    if (n->state != NODE_ONLINE || n->mode != MODE_ACTIVE) {
        *soon |= n->state == NODE_JOINING && n->mode == MODE_ACTIVE;
        text_format(why, TEXT_SIZE, "the node is %s",
                    n->state != NODE_ONLINE ? node_state_key(d->s, n) : node_mode_key(n->mode));
        return false;
    }
    if (!decide_ready(d, node)) {
        *soon = true;
        text_format(why, TEXT_SIZE, "its inventory of this term is not there yet");
        return false;
    }
    if ((p->tried & NODE_BIT(node)) != 0) {
        text_format(why, TEXT_SIZE, "it was tried there in this operation and failed");
        return false;
    }
    if (!volumes_fit(d, vm, node, soon, why)) {
        return false;
    }
    if (p->need_room && place_barred(d->s, &d->used, vm, node, why) != BAR_NONE) {
        return false;
    }
    text_format(why, TEXT_SIZE, "possible: %llu of %llu MiB are free",
                (unsigned long long)own_free_mib(d->s, &d->used, vm, node),
                (unsigned long long)node_memory_mib(d->s, n));
    return true;
}

static node_set with_its_disks(const struct decide *d, const struct vm *vm)
{
    node_set set = d->open;

    for (unsigned i = 0; i < vm->disks; i++) {
        const struct volume *v = vm_volume(d->s, vm->disk[i]);

        set &= v != NULL ? v->online : 0;
    }
    return set;
}

node_set place_reachable(const struct decide *d, const struct vm *vm)
{
    return with_its_disks(d, vm) & (MUTANT(rules_ignored) ? ~(node_set)0 : place_possible(vm));
}

/* Preferred owners before others; then where it was; then where most memory is free; then the lowest id. */
static uint32_t best_of(const struct decide *d, node_set nodes, node_set preferred, uint32_t was,
                        enum place_ground *ground)
{
    uint32_t best = 0;

    *ground = GROUND_ROOM;
    if ((nodes & preferred) != 0) {
        nodes &= preferred;
        *ground = GROUND_PREFERRED;
    }
    if (was != 0 && (nodes & NODE_BIT(was)) != 0) {
        *ground = *ground == GROUND_PREFERRED ? *ground : GROUND_WAS;
        return was;
    }
    for (node_set left = nodes; left != 0; left &= left - 1) {
        uint32_t id = (uint32_t)__builtin_ctzll(left) + 1;

        if (best == 0 || free_mib(d, id) > free_mib(d, best)) {
            best = id;
        }
    }
    return best;
}

static void say_choice(const struct decide *d, const struct choice *c, char why[TEXT_SIZE])
{
    const char *name = decide_node_name(d, c->node);

    switch (c->ground) {
    case GROUND_ASKED:
        text_format(why, TEXT_SIZE, "node '%s' was asked for and can take it", name);
        return;
    case GROUND_WAS:
        text_format(why, TEXT_SIZE, "node '%s' is where it was", name);
        return;
    case GROUND_PREFERRED:
        text_format(why, TEXT_SIZE, "node '%s' is a preferred owner", name);
        return;
    case GROUND_ROOM:
        text_format(why, TEXT_SIZE, "node '%s' has most memory free (%llu MiB) of %u possible", name,
                    (unsigned long long)c->free_mib, c->possible);
        return;
    case GROUND_ASIDE:
        text_format(why, TEXT_SIZE, "node '%s' can take it when all that need a place are placed together",
                    name);
        return;
    }
}

static void say_none(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                     char why[TEXT_SIZE])
{
    char reason[TEXT_SIZE], last[TEXT_SIZE] = "";
    bool open = false;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        bool is_open = (d->open & NODE_BIT(id)) != 0; /* why not there says more than that others are off */

        if (d->s->node[id].id == 0) {
            continue;
        }
        if (place_fits(d, vm, id, p, soon, reason) && vm->unit != 0) { /* for itself, but it is not alone */
            const struct unit *u = &d->unit[vm->unit - 1];

            text_format(reason, sizeof reason,
                        "no room: it and what rules keep with it need %llu MiB and %u vCPUs",
                        (unsigned long long)u->mib, u->cpus);
        }
        if (is_open >= open && (last[0] == '\0' || (p->avoid & NODE_BIT(id)) == 0)) {
            open = is_open;
            text_format(last, sizeof last, "node '%s': %s", d->s->node[id].name, reason);
        }
    }
    text_format(why, TEXT_SIZE, "no node can take it; %s", last);
}

uint32_t place_choose(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                      char why[TEXT_SIZE])
{
    struct choice c = {.ground = GROUND_ASKED};
    node_set nodes = with_its_disks(d, vm) & ~p->avoid & ~p->tried, fit = 0;

    for (node_set left = nodes; left != 0; left &= left - 1) {
        uint32_t id = (uint32_t)__builtin_ctzll(left) + 1;

        fit |= p->need_room && place_barred(d->s, &d->used, vm, id, NULL) == BAR_NONE ? NODE_BIT(id) : 0;
    }
    if (!p->need_room) { /* it is off: where it will start is seen then */
        fit = (nodes & place_possible(vm)) != 0 ? nodes & place_possible(vm) : nodes;
    }
    if (fit == 0) {
        say_none(d, vm, p, soon, why);
        return 0;
    }
    c.node = p->prefer;
    if (p->prefer == 0 || (fit & NODE_BIT(p->prefer)) == 0) {
        c.node = best_of(d, fit, place_preferred(vm), vm->owner, &c.ground);
    }
    c.free_mib = free_mib(d, c.node);
    c.possible = (unsigned)__builtin_popcountll(fit);
    say_choice(d, &c, why);
    return c.node;
}

void place_take(struct decide *d, const struct vm *vm, uint32_t node)
{
    struct vm *mine = (struct vm *)(uintptr_t)vm; /* its scratch is the round's */

    if ((occupied(vm) & NODE_BIT(node)) == 0 && d->placed != NULL) {
        d->used.mib[node] += need_mib(d->s, vm);
        d->used.cpus[node] += vm->cpus;
        if (vm->unit == 0 && vm->plan == 0) {
            d->placed[d->placed_n++] = mine;
        }
        mine->plan = node;
    }
}

/* ---- all that need a place, together ---- */

/* Nodes where another VM is in the unit's way by a rule. */
static node_set in_its_way(const struct unit *u)
{
    node_set set = 0;

    for (unsigned i = 0; u->ruled && i < u->vms; i++) {
        set |= kept_apart(u->vm[i]);
    }
    return set;
}

static bool has_room(const struct decide *d, const struct unit *u, uint32_t node)
{
    return MUTANT(room_ignored) || (d->used.mib[node] + u->mib <= d->total.mib[node] &&
                                    (uint64_t)d->used.cpus[node] + u->cpus <= d->total.cpus[node]);
}

static bool unit_fits(struct decide *d, const struct unit *u, uint32_t node)
{
    d->steps++;
    return (u->nodes & NODE_BIT(node)) != 0 && has_room(d, u, node) && (in_its_way(u) & NODE_BIT(node)) == 0;
}

static void unit_put(struct decide *d, struct unit *u, uint32_t node)
{
    d->used.mib[node] += u->mib;
    d->used.cpus[node] += u->cpus;
    u->choice.node = node;
    for (unsigned i = 0; i < u->vms; i++) {
        u->vm[i]->plan = node;
    }
}

static void unit_lift(struct decide *d, struct unit *u)
{
    d->used.mib[u->choice.node] -= u->mib;
    d->used.cpus[u->choice.node] -= u->cpus;
    u->choice.node = 0;
    for (unsigned i = 0; i < u->vms; i++) {
        u->vm[i]->plan = 0;
    }
}

static bool unit_choose(struct decide *d, struct unit *u)
{
    node_set fit = 0;
    uint32_t node;

    for (node_set left = u->nodes & ~in_its_way(u); left != 0; left &= left - 1) {
        uint32_t id = (uint32_t)__builtin_ctzll(left) + 1;

        fit |= has_room(d, u, id) ? NODE_BIT(id) : 0;
    }
    if (fit == 0) {
        return false;
    }
    if (u->asked != 0 && (fit & NODE_BIT(u->asked)) != 0) {
        node = u->asked;
        u->choice.ground = GROUND_ASKED;
    } else {
        node = best_of(d, fit, u->preferred, u->vm[0]->owner, &u->choice.ground);
    }
    u->choice.free_mib = free_mib(d, node);
    u->choice.possible = (unsigned)__builtin_popcountll(fit);
    unit_put(d, u, node);
    return true;
}

/* Moves one unit that this round put on a node aside, and the one that it displaces, up to `depth` of them.
 */
static bool make_room(struct decide *d, struct unit *u, unsigned before, unsigned depth)
{
    for (node_set left = u->nodes; left != 0; left &= left - 1) {
        uint32_t id = (uint32_t)__builtin_ctzll(left) + 1;

        if (unit_fits(d, u, id)) {
            unit_put(d, u, id);
            return true;
        }
    }
    for (unsigned i = 0; i < before && depth > 0 && d->steps < d->steps_max; i++) {
        struct unit *v = &d->unit[i];
        uint32_t node = v->choice.node;

        if (v == u || v->locked || node == 0 || (u->nodes & NODE_BIT(node)) == 0) {
            continue;
        }
        unit_lift(d, v);
        if (unit_fits(d, u, node)) {
            unit_put(d, u, node);
            u->locked = true;
            if (make_room(d, v, before, depth - 1)) {
                v->choice.ground = GROUND_ASIDE;
                u->locked = false;
                return true;
            }
            u->locked = false;
            unit_lift(d, u);
        }
        unit_put(d, v, node);
    }
    return false;
}

/* Every assignment of the first n units of which `u` is the last; those without a place stay without. */
static bool assign_all(struct decide *d, unsigned at, unsigned n)
{
    struct unit *u = &d->unit[at];

    if (at == n) {
        return true;
    }
    if (u->left_out) {
        return assign_all(d, at + 1, n);
    }
    for (node_set left = u->nodes; left != 0 && d->steps < d->steps_max; left &= left - 1) {
        uint32_t id = (uint32_t)__builtin_ctzll(left) + 1;

        if (unit_fits(d, u, id)) {
            unit_put(d, u, id);
            if (assign_all(d, at + 1, n)) {
                u->choice.ground = GROUND_ASIDE;
                return true;
            }
            unit_lift(d, u);
        }
    }
    return false;
}

static bool try_all(struct decide *d, unsigned n)
{
    uint32_t before[EXACT_UNITS];

    for (unsigned i = 0; i + 1 < n; i++) {
        before[i] = d->unit[i].choice.node;
        if (before[i] != 0) {
            unit_lift(d, &d->unit[i]);
        }
    }
    if (assign_all(d, 0, n)) {
        return true;
    }
    for (unsigned i = 0; i + 1 < n; i++) {
        if (before[i] != 0) {
            unit_put(d, &d->unit[i], before[i]);
        }
    }
    return false;
}

static void look_back(struct decide *d, unsigned at)
{
    struct unit *u = &d->unit[at];

    u->left_out = true;
    if (MUTANT(no_look_back) || d->steps >= STEPS_ROUND || u->nodes == 0) {
        return;
    }
    d->steps_max = d->steps + STEPS_UNIT;
    if (make_room(d, u, at, CHAIN_MAX)) {
        u->choice.ground = GROUND_ASIDE;
        u->left_out = false;
        return;
    }
    d->steps_max = d->steps + STEPS_UNIT;
    u->left_out = false;
    u->left_out = at >= EXACT_UNITS || !try_all(d, at + 1);
}

static int unit_cmp(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;

    if (x->priority != y->priority) {
        return x->priority > y->priority ? -1 : 1;
    }
    if (x->mib != y->mib) {
        return x->mib > y->mib ? -1 : 1;
    }
    if (x->cpus != y->cpus) {
        return x->cpus > y->cpus ? -1 : 1;
    }
    return strcmp(x->vm[0]->name, y->vm[0]->name);
}

/* Only where those that rules keep it together with are, or are bound for; they are not placed themselves. */
static node_set with_the_others(const struct decide *d, struct vm *vm)
{
    struct vm *group[RULE_VMS_MAX];
    unsigned n = place_group(vm, group);
    node_set set = ~(node_set)0;

    for (unsigned i = 1; i < n; i++) {
        node_set bound = group[i]->unit == 0 ? bound_for(d->s, group[i]) : 0;

        bound = group[i]->unit == 0 && bound == 0 ? group[i]->spoken : bound;

        set &= bound != 0 ? bound : ~(node_set)0;
    }
    return set;
}

static void unit_join(struct decide *d, struct unit *u, struct vm *vm)
{
    struct place p;

    (void)decide_needs_place(d, vm, &p);
    u->vm[u->vms++] = vm;
    u->priority = vm->set.priority > u->priority ? vm->set.priority : u->priority;
    u->mib += need_mib(d->s, vm);
    u->cpus += vm->cpus;
    u->nodes &= place_reachable(d, vm) & ~p.avoid & ~p.tried & (p.only != 0 ? p.only : ~(node_set)0);
    u->preferred |= place_preferred(vm);
    u->asked = p.prefer != 0 ? p.prefer : u->asked;
    u->ruled |= vm->rules > 0 && !MUTANT(rules_ignored);
    /* What was reserved for it until now is free: it is placed anew. */
    for (node_set left = vm->spoken & ~vm_claim_set(vm); left != 0; left &= left - 1) {
        uint32_t id = (uint32_t)__builtin_ctzll(left) + 1;

        d->used.mib[id] -= vm->spoken_mib;
        d->used.cpus[id] -= vm->spoken_cpus;
    }
}

/* Units out of d->placed, whose VMs have unit != 0. */
static void units_make(struct decide *d)
{
    struct vm *group[RULE_VMS_MAX];
    unsigned at = 0;

    for (unsigned i = 0; i < d->placed_n; i++) {
        struct vm *vm = d->placed[i];
        struct unit *u = &d->unit[d->units];
        unsigned n;

        if (vm->unit != UNIT_NONE) {
            continue; /* with one before it */
        }
        memset(u, 0, sizeof *u);
        u->vm = &d->member[at];
        u->nodes = ~(node_set)0;
        group[0] = vm;
        n = has_rule(vm, RULE_TOGETHER) ? place_group(vm, group) : 1;
        for (unsigned k = 0; k < n; k++) {
            if (group[k]->unit == UNIT_NONE) {
                group[k]->unit = d->units + 1;
                unit_join(d, u, group[k]);
            }
        }
        at += u->vms;
        d->units++;
        if (n > 1) {
            u->nodes &= MUTANT(rules_ignored) ? ~(node_set)0 : with_the_others(d, vm);
        }
    }
}

/* With it those that rules keep together with it, if they need a place too. */
static void to_be_placed(struct decide *d, struct vm *vm)
{
    struct vm *group[RULE_VMS_MAX] = {vm};
    unsigned n = has_rule(vm, RULE_TOGETHER) ? place_group(vm, group) : 1;
    struct place p;

    for (unsigned i = 0; i < n; i++) {
        if (i == 0 || (group[i]->unit == 0 && decide_needs_place(d, group[i], &p))) {
            group[i]->unit = UNIT_NONE;
            d->placed[d->placed_n++] = group[i];
        }
    }
}

void place_plan(struct decide *d, struct vm *const *vm, unsigned n)
{
    struct place p;
    unsigned first = d->placed_n;

    if (d->planned || d->rc != 0 || d->placed == NULL) {
        return;
    }
    d->planned = true;
    for (unsigned i = 0; i < n; i++) {
        if (vm[i]->unit == 0 && !decide_stuck(d, vm[i]) && decide_needs_place(d, vm[i], &p)) {
            to_be_placed(d, vm[i]);
        }
    }
    if (d->placed_n == first) {
        return;
    }
    d->member = malloc((d->placed_n - first) * sizeof(struct vm *));
    d->unit = malloc((d->placed_n - first) * sizeof *d->unit);
    if (d->member == NULL || d->unit == NULL) {
        d->rc = RC_NO_MEMORY;
        return;
    }
    units_make(d);
    qsort(d->unit, d->units, sizeof *d->unit, unit_cmp);
    for (unsigned i = 0; i < d->units; i++) {
        for (unsigned k = 0; k < d->unit[i].vms; k++) {
            d->unit[i].vm[k]->unit = i + 1;
        }
    }
    for (unsigned i = 0; i < d->units; i++) {
        if (!unit_choose(d, &d->unit[i])) {
            look_back(d, i);
        }
    }
}

void place_forget(struct decide *d)
{
    for (unsigned i = 0; i < d->placed_n; i++) {
        d->placed[i]->plan = d->placed[i]->unit = 0;
    }
    free(d->placed);
    free(d->member);
    free(d->unit);
    d->placed = NULL;
}

uint32_t place_of(const struct decide *d, const struct vm *vm, const struct place *p, bool *soon,
                  char why[TEXT_SIZE])
{
    if (vm->unit == 0 || vm->unit > d->units) {
        return place_choose(d, vm, p, soon, why);
    }
    if (vm->plan == 0) {
        say_none(d, vm, p, soon, why);
        return 0;
    }
    say_choice(d, &d->unit[vm->unit - 1].choice, why);
    return vm->plan;
}
