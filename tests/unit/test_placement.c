/* Placement: where greedy fails, and that no more could have been placed (against brute force). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/decide.h"
#include "core/state_edit.h"

/* A state made by hand: nodes that are ready, VMs that want to run. */
static struct state *cluster(unsigned nodes, uint64_t memory_mib)
{
    struct state *s = state_new("unit");

    s->level = FEATURE_LEVEL;
    s->term = 1;
    s->opt.vm_overhead_mib = 0;
    s->opt.starts_per_node = 256;
    for (uint32_t id = 1; id <= nodes; id++) {
        s->node[id] = (struct node){.id = id, .state = NODE_ONLINE, .inventory_term = 1, .session = id};
        s->node[id].memory_mib = memory_mib;
        s->node[id].cpus = 64;
        text_format(s->node[id].name, NAME_SIZE, "n%u", id);
    }
    return s;
}

static struct vm *vm_add(struct state *s, const char *name, uint64_t memory_mib, enum priority priority)
{
    struct vm *vm = calloc(1, sizeof *vm);

    text_format(vm->name, NAME_SIZE, "%s", name);
    text_format(vm->uuid, sizeof vm->uuid, "uuid-%s", name);
    vm->memory_mib = memory_mib;
    vm->cpus = 1;
    vm_settings_init(&vm->set);
    vm->set.priority = priority;
    vm->wanted = WANT_RUNNING;
    assert_int_equal(state_add_vm(s, vm), 0);
    return vm;
}

static void rule(struct state *s, enum rule_kind kind, struct vm *a, struct vm *b, node_set possible)
{
    struct rule *r = calloc(1, sizeof *r);

    r->id = s->rules + 1;
    r->kind = kind;
    r->vm = calloc(2, sizeof(struct vm *));
    r->vm[r->vms++] = a;
    if (b != NULL) {
        r->vm[r->vms++] = b;
    }
    r->possible = possible;
    assert_int_equal(state_add_rule(s, r), 0);
}

/* One round over all VMs; what it decides stands in vm->plan until decide_fini(). */
static void place(struct decide *d, struct state *s, struct decisions *out)
{
    static struct world w;

    w = (struct world){.self = 1, .present = ~(node_set)0, .ring = ~(node_set)0};
    state_account(s);
    decide_init(d, s, &w, out);
    place_plan(d, s->vm, s->vms);
    assert_int_equal(d->rc, 0);
}

static void what_greedy_leaves_out_finds_a_place(void **unused)
{
    struct state *s = cluster(2, 10);
    struct decisions out = {NULL, 0, 0};
    struct decide d;

    (void)unused;
    /* Largest first on the freer node: 6 | 5, then 4 joins 6, 3 joins 5, and 2 more fit: 6+4 | 5+3+2. With a
     * that may only be on n1, the largest takes its place first. */
    vm_add(s, "a", 5, PRIO_MEDIUM);
    vm_add(s, "b", 6, PRIO_MEDIUM);
    vm_add(s, "c", 5, PRIO_MEDIUM);
    vm_add(s, "d", 4, PRIO_MEDIUM);
    rule(s, RULE_OWNERS, state_vm(s, "a"), NULL, NODE_BIT(1));
    rule(s, RULE_OWNERS, state_vm(s, "c"), NULL, NODE_BIT(1));
    place(&d, s, &out);
    assert_int_equal(state_vm(s, "b")->plan, 2); /* greedy had put it on n1 */
    assert_int_equal(state_vm(s, "a")->plan, 1);
    assert_int_equal(state_vm(s, "c")->plan, 1);
    assert_int_equal(state_vm(s, "d")->plan, 2);
    decide_fini(&d);
    state_free(s);
}

static void a_chain_moves_aside_among_many(void **unused)
{
    struct state *s = cluster(3, 100);
    struct decisions out = {NULL, 0, 0};
    struct decide d;
    char name[16];

    (void)unused;
    /* More units than are tried exhaustively; two may only be on n1, which the larger ones fill first. */
    for (int i = 0; i < 18; i++) {
        snprintf(name, sizeof name, "big%02d", i);
        vm_add(s, name, 15, PRIO_MEDIUM);
    }
    rule(s, RULE_OWNERS, vm_add(s, "only1", 14, PRIO_MEDIUM), NULL, NODE_BIT(1));
    place(&d, s, &out);
    for (unsigned i = 0; i < s->vms; i++) {
        if (s->vm[i]->plan == 0) {
            /* 18 of 15 fill three nodes with 6 each (90 of 100): there is no room for 14 without one less. */
            assert_string_equal(s->vm[i]->name, "only1");
        }
    }
    decide_fini(&d);
    s->node[2].memory_mib = 105;
    place(&d, s, &out);
    assert_int_equal(state_vm(s, "only1")->plan, 1);
    for (unsigned i = 0; i < s->vms; i++) {
        assert_int_not_equal(s->vm[i]->plan, 0);
    }
    decide_fini(&d);
    state_free(s);
}

static void the_lowest_priority_stays_out(void **unused)
{
    struct state *s = cluster(2, 10);
    struct decisions out = {NULL, 0, 0};
    struct decide d;

    (void)unused;
    vm_add(s, "low", 9, PRIO_LOW);
    vm_add(s, "high", 3, PRIO_HIGH);
    vm_add(s, "medium", 8, PRIO_MEDIUM);
    place(&d, s, &out);
    assert_int_equal(state_vm(s, "low")->plan, 0);
    assert_int_not_equal(state_vm(s, "high")->plan, 0);
    assert_int_not_equal(state_vm(s, "medium")->plan, 0);
    decide_fini(&d);
    state_free(s);
}

/* ---- against brute force ---- */

#define BRUTE_VMS   7
#define BRUTE_NODES 4

struct brute {
    const struct state *s;
    const struct vm *vm[BRUTE_VMS];
    uint32_t at[BRUTE_VMS];
    unsigned n;
};

/* Written anew, of rules and room as they stand in the documentation. */
static bool right(const struct brute *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        uint64_t used = 0;

        for (unsigned k = 0; k < b->n; k++) {
            used += b->at[k] == b->at[i] ? b->vm[k]->memory_mib : 0;
        }
        if (used > b->s->node[b->at[i]].memory_mib) {
            return false;
        }
    }
    for (unsigned r = 0; r < b->s->rules; r++) {
        const struct rule *rule = b->s->rule[r];

        for (unsigned i = 0; i < b->n; i++) {
            if (rule->kind == RULE_OWNERS && rule->vm[0] == b->vm[i] &&
                (rule->possible & NODE_BIT(b->at[i])) == 0) {
                return false;
            }
            for (unsigned k = 0; k < b->n && rule->kind != RULE_OWNERS; k++) {
                bool pair = rule->vm[0] == b->vm[i] && rule->vm[1] == b->vm[k];

                if (pair && (b->at[i] == b->at[k]) != (rule->kind == RULE_TOGETHER)) {
                    return false;
                }
            }
        }
    }
    return true;
}

static bool feasible(struct brute *b, unsigned at)
{
    if (at == b->n) {
        return right(b);
    }
    for (uint32_t id = 1; b->s->node[id].id != 0; id++) {
        b->at[at] = id;
        if (feasible(b, at + 1)) {
            return true;
        }
    }
    return false;
}

static uint64_t random_state;

static unsigned draw(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % below;
}

static struct state *draw_cluster(void)
{
    struct state *s = cluster(2 + draw(BRUTE_NODES - 1), 8 + draw(8));
    unsigned n = 2 + draw(BRUTE_VMS - 1);
    char name[8];

    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "v%u", i);
        vm_add(s, name, 1 + draw(9), (enum priority)(PRIO_LOW + draw(3)));
    }
    for (unsigned i = draw(4); i > 0; i--) {
        struct vm *a = s->vm[draw(n)], *b = s->vm[draw(n)];
        enum rule_kind kind = (enum rule_kind)draw(RULE_KINDS);
        struct vm *group[RULE_VMS_MAX];
        bool near = false;

        for (unsigned k = place_group(a, group); k-- > 0;) {
            near |= group[k] == b;
        }
        if (kind == RULE_OWNERS && a->rules == 0) {
            rule(s, kind, a, NULL, 1 + draw(3));
        } else if (kind == RULE_APART && !near) {
            rule(s, kind, a, b, 0);
        } else if (kind == RULE_TOGETHER && a != b && a->rules == 0 && b->rules == 0) {
            rule(s, kind, a, b, 0);
        }
    }
    return s;
}

/* Unit after unit in the plan's order: it has a place exactly when brute force finds one for it and all
 * before it that have one. */
static void check_against_brute_force(const struct decide *d, const struct state *s)
{
    struct brute b = {.s = s};

    for (unsigned i = 0; i < d->units; i++) {
        const struct unit *u = &d->unit[i];
        unsigned before = b.n;
        bool found;

        for (unsigned k = 0; k < u->vms; k++) {
            b.vm[b.n++] = u->vm[k];
        }
        found = feasible(&b, 0);
        if (found != (u->choice.node != 0)) {
            fail_msg("unit %u (%s) has %s place, brute force says otherwise", i, u->vm[0]->name,
                     found ? "no" : "a");
        }
        b.n = found ? b.n : before;
    }
    b.n = 0;
    for (unsigned i = 0; i < s->vms; i++) {
        if (s->vm[i]->plan != 0) {
            b.at[b.n] = s->vm[i]->plan;
            b.vm[b.n++] = s->vm[i];
        }
    }
    assert_true(right(&b));
}

static void brute_force_finds_no_more(void **unused)
{
    (void)unused;
    for (unsigned seed = 1; seed <= 2000; seed++) {
        struct decisions out = {NULL, 0, 0};
        struct decide d;
        struct state *s;

        random_state = seed;
        s = draw_cluster();
        place(&d, s, &out);
        check_against_brute_force(&d, s);
        decide_fini(&d);
        state_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_greedy_leaves_out_finds_a_place),
        cmocka_unit_test(a_chain_moves_aside_among_many),
        cmocka_unit_test(the_lowest_priority_stays_out),
        cmocka_unit_test(brute_force_finds_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
