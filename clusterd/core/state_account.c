/*
 * state_account.c - what is derived from the state: what is spoken for on each node, who is where, who waits,
 * and whom core_decide has to look at. It follows what an entry has touched.
 */
#include "core/state_edit.h"

#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

/* ---- what is spoken for ---- */

uint64_t node_memory_mib(const struct state *s, const struct node *n)
{
    return n->memory_mib > s->opt.memory_reserve_mib ? n->memory_mib - s->opt.memory_reserve_mib : 0;
}

uint32_t node_vcpus(const struct state *s, const struct node *n)
{
    uint64_t cpus = n->cpus > s->opt.cpu_reserve ? n->cpus - s->opt.cpu_reserve : 0;

    if (s->level < 2 || s->opt.cpu_overcommit_percent == 0) {
        return UINT32_MAX; /* A13: an older node would count otherwise */
    }
    cpus = cpus * s->opt.cpu_overcommit_percent / 100;
    return cpus < UINT32_MAX ? (uint32_t)cpus : UINT32_MAX;
}

uint64_t node_memory_used_mib(const struct state *s, uint32_t node)
{
    return s->used.mib[node];
}

/*
 * Where it is, and where it is bound: a quick migration's target is spoken for while the source still saves.
 * What waits for its turn has its place too: a whole set is placed before it is moved.
 */
static node_set spoken_for(const struct vm *vm, const struct op *o)
{
    node_set set = vm_claim_set(vm);

    if (o != NULL && o->to != 0 && (o->kind == OP_LIVE || o->kind == OP_QUICK || o->kind == OP_START) &&
        o->state < OPS_DONE) {
        set |= NODE_BIT(o->to);
    }
    return set;
}

static void spend(struct state *s, const struct vm *vm, bool back)
{
    for (node_set left = vm->spoken; left != 0; left &= left - 1) {
        unsigned id = (unsigned)__builtin_ctzll(left) + 1;

        s->used.mib[id] += back ? -vm->spoken_mib : vm->spoken_mib;
        s->used.cpus[id] += back ? -vm->spoken_cpus : vm->spoken_cpus;
    }
}

void state_account_gone(struct state *s, const struct vm *vm)
{
    spend(s, vm, true);
    s->touches = s->looks = s->waitings = 0;
    s->touched_all = s->on_all = true; /* all is derived anew when the entry has been applied */
}

static bool is_kept_together(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->rules; i++) {
        if (vm->rule[i]->kind == RULE_TOGETHER) {
            return true;
        }
    }
    return false;
}

void state_account_vm(struct state *s, struct vm *vm)
{
    const struct op *o = vm->op ? state_op(s, vm->op) : NULL;
    node_set before = vm->spoken;

    spend(s, vm, true);
    vm->spoken = spoken_for(vm, o);
    vm->spoken_mib = vm->memory_mib + s->opt.vm_overhead_mib;
    vm->spoken_cpus = vm->cpus;
    spend(s, vm, false);
    vm->queued = o != NULL && o->kind == OP_START && o->state == OPS_QUEUED && vm->claims == 0 ? o->to : 0;
    vm->stuck = 0;
    s->room += vm->planned; /* its place is taken now, or free again */
    vm->planned = false;
    /* Where it leaves there is room; where it comes, those that rules keep together with it may follow. */
    s->room += (before & ~vm->spoken) != 0 || (before != vm->spoken && vm->rules > 0);
    s->room +=
        is_kept_together(vm); /* whether it is to run as well, or not any more, is the others' matter too */
}

static void list_on(struct state *s, struct vm *vm)
{
    node_set on = vm_claim_set(vm) | vm->unseen;

    for (node_set left = on & ~vm->on; left != 0; left &= left - 1) {
        unsigned id = (unsigned)__builtin_ctzll(left) + 1;

        if (list_reserve((void ***)(void *)&s->on[id].vm, s->on[id].n) != 0) {
            s->on_all = true;
        } else {
            s->on[id].vm[s->on[id].n++] = vm;
        }
    }
    for (node_set left = vm->on & ~on; left != 0; left &= left - 1) {
        unsigned id = (unsigned)__builtin_ctzll(left) + 1;

        for (unsigned i = 0; i < s->on[id].n; i++) {
            if (s->on[id].vm[i] == vm) {
                s->on[id].vm[i] = s->on[id].vm[--s->on[id].n];
                break;
            }
        }
    }
    vm->on = on;
}

struct vm *const *state_on(const struct state *s, uint32_t node, unsigned *n)
{
    *n = s->on_all ? s->vms : s->on[node].n;
    return s->on_all ? s->vm : s->on[node].vm;
}

/* Keeps a VM's membership of a sorted list. Out of memory: false. */
static bool enlist(struct vm ***list, unsigned *n, struct vm *vm, bool *listed, bool wanted)
{
    if (wanted && !*listed) {
        if (list_insert((void ***)(void *)list, *n, offsetof(struct vm, name), vm) != 0) {
            return false;
        }
        ++*n;
    } else if (!wanted && *listed) {
        list_drop((void **)*list, (*n)--, vm);
    }
    *listed = wanted;
    return true;
}

void state_look_at(struct state *s, struct vm *vm, bool wanted)
{
    if (!enlist(&s->look, &s->looks, vm, &vm->looked_at, wanted)) {
        s->look_all = true;
    }
}

static void account_derived(struct state *s, struct vm *vm)
{
    state_account_vm(s, vm);
    list_on(s, vm);
    state_look_at(s, vm, !MUTANT(look_missed));
    if (!enlist(&s->waiting, &s->waitings, vm, &vm->waits, vm->wait)) {
        s->waiting_all = true;
    }
}

/* The lists are filled without sorting: s->vm is sorted. */
void state_account(struct state *s)
{
    s->waitings = s->looks = 0;
    s->waiting_all = s->on_all = false;
    s->look_all = true;
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        s->on[id].n = 0;
    }
    s->room++;
    for (unsigned i = 0; i < s->vms; i++) {
        struct vm *vm = s->vm[i];

        state_account_vm(s, vm);
        vm->on = 0;
        list_on(s, vm);
        vm->looked_at = vm->waits = false;
        if (vm->wait && !s->waiting_all) {
            if (list_reserve((void ***)(void *)&s->waiting, s->waitings) == 0) {
                s->waiting[s->waitings++] = vm;
                vm->waits = true;
            } else {
                s->waiting_all = true;
            }
        }
    }
    s->node_ops = s->ended = 0;
    for (unsigned i = 0; i < s->ops; i++) {
        s->ended += s->op[i].state >= OPS_DONE;
        s->node_ops += s->op[i].state < OPS_DONE && s->op[i].kind > OP_MOVE;
    }
}

bool state_accounts(const struct state *s)
{
    struct usage u = {{0}, {0}};
    unsigned ended = 0, node_ops = 0;

    for (unsigned i = 0; i < s->vms; i++) {
        const struct vm *vm = s->vm[i];

        if (vm->spoken != spoken_for(vm, vm->op ? state_op(s, vm->op) : NULL) ||
            (!s->on_all && vm->on != (vm_claim_set(vm) | vm->unseen)) ||
            (!s->waiting_all && vm->waits != vm->wait)) {
            return false;
        }
        for (node_set left = vm->spoken; left != 0; left &= left - 1) {
            u.mib[__builtin_ctzll(left) + 1] += vm->memory_mib + s->opt.vm_overhead_mib;
            u.cpus[__builtin_ctzll(left) + 1] += vm->cpus;
        }
    }
    for (unsigned i = 0; i < s->ops; i++) {
        ended += s->op[i].state >= OPS_DONE;
        node_ops += s->op[i].state < OPS_DONE && s->op[i].kind > OP_MOVE;
    }
    return ended == s->ended && node_ops == s->node_ops && memcmp(&u, &s->used, sizeof u) == 0;
}

void state_touch(struct state *s, struct vm *vm)
{
    if (vm != NULL && vm->touched == s->index) {
        return;
    }
    if (vm != NULL && s->touches < s->touched_cap) {
        vm->touched = s->index;
        s->touched[s->touches++] = vm;
        return;
    }
    if (vm != NULL) {
        unsigned cap = s->touched_cap ? 2 * s->touched_cap : 16;
        struct vm **grown = realloc(s->touched, cap * sizeof *grown);

        if (grown != NULL) {
            s->touched = grown;
            s->touched_cap = cap;
            state_touch(s, vm);
            return;
        }
    }
    s->touched_all = true;
}

void state_touch_begin(struct state *s)
{
    s->touches = 0;
    s->touched_all = false;
}

void state_touch_end(struct state *s)
{
    if (s->touched_all) {
        state_account(s);
    }
    for (unsigned i = 0; i < s->touches && !s->touched_all; i++) {
        account_derived(s, s->touched[i]);
    }
}
