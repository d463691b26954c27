/* Placement: rules come and go, and the cluster itself never puts a VM where a rule or the memory forbids. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "core/placement.h"

/* ---- the operator's rules ---- */

static void put_nodes(struct event *e, const char *key)
{
    uint32_t one = (uint32_t)between(1, (uint64_t)sim.n), other = (uint32_t)between(1, (uint64_t)sim.n);

    if (one == other) {
        event_putf(e, key, "%u", one);
    } else {
        event_putf(e, key, "%u,%u", one, other);
    }
}

void place_wish(struct event *e, const struct state *st)
{
    static const char *const kinds[] = {"apart", "together", "owners"};
    unsigned kind = (unsigned)draw(3);

    if (st->rules > 0 && chance(300)) {
        e->kind = EV_CMD_RULE_REMOVE;
        e->id = st->rule[draw(st->rules)]->id;
        return;
    }
    e->kind = EV_CMD_RULE_ADD;
    event_put(e, "kind", kinds[kind]);
    for (uint64_t n = kind == 2 ? 1 : between(2, 3); n > 0; n--) {
        event_putf(e, "vm", "%s", sim.vm[draw((uint64_t)sim.vms)].name);
    }
    if (kind == 2) {
        put_nodes(e, chance(700) ? "possible" : "preferred");
    }
}

/* ---- what must be true ---- */

/* It was put there by a decision, not found there. */
static bool by_decision(struct host *h, uint64_t index)
{
    const struct journal_entry *entry = journal_entry_at(h->sh->j, index);
    struct event e;
    bool job;

    if (entry == NULL || entry->kind != JOURNAL_DATA ||
        event_decode(&e, entry->payload, entry->len, NULL) != 0) {
        return false;
    }
    job = e.kind == EV_JOB;
    event_fini(&e);
    return job;
}

/* As it stands in the manual; what has come after the claim is left out. */
static bool rule_holds(const struct state *st, const struct rule *r, const struct vm *vm,
                       const struct claim *c)
{
    if (r->id > c->index) {
        return true;
    }
    if (r->kind == RULE_OWNERS) {
        return r->possible == 0 || (r->possible & NODE_BIT(c->node)) != 0;
    }
    for (unsigned i = 0; i < r->vms; i++) {
        const struct vm *other = r->vm[i];
        const struct claim *there = vm_claim(other, c->node);
        const struct op *o = state_op(st, other->op);

        if (other == vm) {
            continue;
        }
        if (r->kind == RULE_APART && there != NULL && there->index < c->index) {
            return false;
        }
        if (r->kind == RULE_TOGETHER && there == NULL && other->claims == 1 &&
            other->claim[0].index < c->index && other->changed < c->index &&
            (o == NULL ||
             (o->to != c->node && ((o->to != 0 && o->by[0] != '\0') || o->state != OPS_QUEUED)))) {
            return false; /* and it is not about to move as well, to where nobody has said */
        }
    }
    return true;
}

static uint64_t claimed_mib(const struct state *st, const struct claim *c)
{
    uint64_t mib = 0;

    for (unsigned i = 0; i < st->vms; i++) {
        const struct claim *one = vm_claim(st->vm[i], c->node);

        if (one != NULL && one->index <= c->index) {
            mib += st->vm[i]->memory_mib + st->opt.vm_overhead_mib;
        }
    }
    return mib;
}

void place_check(struct host *h, uint64_t before)
{
    const struct state *st = h->sh->st;

    if (st->level < 2) {
        sim.older_until = st->index;
        return;
    }
    before = before > sim.older_until ? before : sim.older_until;
    for (unsigned i = 0; i < st->vms; i++) {
        const struct vm *vm = st->vm[i];

        for (unsigned k = 0; k < vm->claims; k++) {
            const struct claim *c = &vm->claim[k];

            if (c->index <= before || !by_decision(h, c->index)) {
                continue;
            }
            sim.stats.placed++;
            sim.stats.placed_by_rule += vm->rules > 0;
            for (unsigned r = 0; r < vm->rules; r++) {
                if (!rule_holds(st, vm->rule[r], vm, c)) {
                    fail("placement: entry %llu puts %s on node %u against rule %llu",
                         (unsigned long long)c->index, vm->name, c->node,
                         (unsigned long long)vm->rule[r]->id);
                }
            }
            if (claimed_mib(st, c) > sim.host_memory_mib) {
                fail("placement: entry %llu puts %s on node %u, which has no memory left",
                     (unsigned long long)c->index, vm->name, c->node);
            }
        }
    }
}

/* L1 asks for enough capacity: there is none for a VM that no node may take, nor for those to go with it. */
bool place_excused(const struct state *st, struct vm *vm)
{
    struct vm *group[RULE_VMS_MAX];
    unsigned n = place_group(vm, group);
    uint64_t need = 0;
    bool excused = true;

    for (unsigned i = 0; i < n; i++) {
        need += group[i]->claims == 0 ? group[i]->memory_mib + st->opt.vm_overhead_mib : 0;
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *node = state_node(st, id);
        bool all = node != NULL && node->state == NODE_ONLINE && node->mode == MODE_ACTIVE;

        for (unsigned i = 0; i < n && all; i++) {
            all = group[i]->claims > 0 || place_barred(st, &st->used, group[i], id, NULL) == BAR_NONE;
        }
        all = all && node_memory_used_mib(st, id) + need <= node->memory_mib;
        excused = excused && !all;
    }
    return excused;
}
