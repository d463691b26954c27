/* apply_rule.c - rules of placement come and go; two that contradict each other are refused. */
#include "core/apply.h"

#include <stdlib.h>
#include <string.h>

static int bad_rule(struct apply *a, const struct rule *other, const char *what, const struct vm *x,
                    const struct vm *y)
{
    char text[160];

    core_describe_rule(a->s, other, text, sizeof text);
    (void)reject(a, RC_REFUSED, "rule %llu (%s) contradicts: it %s VMs '%s' and '%s'",
                 (unsigned long long)other->id, text, what, x->name, y->name);
    advise(a, "clusterctl rule remove %llu takes it away", (unsigned long long)other->id);
    return RC_REFUSED;
}

static bool names(const struct rule *r, const struct vm *vm)
{
    for (unsigned i = 0; i < r->vms; i++) {
        if (r->vm[i] == vm) {
            return true;
        }
    }
    return false;
}

/* VMs that this rule and those that there are keep together with its own; 0: too many. */
static unsigned whole_group(const struct rule *r, struct vm *out[RULE_VMS_MAX])
{
    struct vm *part[RULE_VMS_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < r->vms; i++) {
        unsigned parts = place_group(r->vm[i], part);

        for (unsigned k = 0; k < parts; k++) {
            unsigned have = 0;

            while (have < n && out[have] != part[k]) {
                have++;
            }
            if (have == n && n == RULE_VMS_MAX) {
                return 0;
            }
            if (have == n) {
                out[n++] = part[k];
            }
        }
    }
    return n;
}

/* The rule by which VM a possible owner is asked of, for naming it. */
static const struct rule *owners_of(const struct vm *vm)
{
    for (unsigned i = 0; i < vm->rules; i++) {
        if (vm->rule[i]->kind == RULE_OWNERS) {
            return vm->rule[i];
        }
    }
    return NULL;
}

/* Two of a group may not be apart, and its possible owners must have one in common. */
static int check_group(struct apply *a, struct vm **vm, unsigned n, const struct vm *mine, node_set possible)
{
    const struct rule *first = NULL;

    for (unsigned i = 0; i < n; i++) {
        const struct rule *o = owners_of(vm[i]);

        for (unsigned k = 0; k < vm[i]->rules; k++) {
            const struct rule *r = vm[i]->rule[k];

            for (unsigned m = i + 1; r->kind == RULE_APART && m < n; m++) {
                if (names(r, vm[m])) {
                    return bad_rule(a, r, "keeps apart", vm[i], vm[m]);
                }
            }
        }
        if (o == NULL || o->possible == 0 || vm[i] == mine) {
            continue;
        }
        possible &= o->possible;
        first = first ? first : o;
        if (possible == 0) {
            return bad_rule(a, o, "leaves no common node to", vm[i], mine ? mine : first->vm[0]);
        }
    }
    return 0;
}

static int check_together(struct apply *a, const struct rule *r)
{
    struct vm *group[RULE_VMS_MAX];
    unsigned n = whole_group(r, group);

    if (n == 0) {
        return reject(a, RC_REFUSED, "that would keep more than %d VMs together", RULE_VMS_MAX);
    }
    return check_group(a, group, n, NULL, ~(node_set)0);
}

static int check_apart(struct apply *a, const struct rule *r)
{
    struct vm *group[RULE_VMS_MAX];

    for (unsigned i = 0; i < r->vms; i++) {
        unsigned n = place_group(r->vm[i], group);
        node_set here = place_possible(r->vm[i]);

        for (unsigned k = 1; k < n; k++) {
            for (unsigned t = 0; names(r, group[k]) && t < group[k]->rules; t++) {
                if (group[k]->rule[t]->kind == RULE_TOGETHER) {
                    return bad_rule(a, group[k]->rule[t], "keeps together", r->vm[i], group[k]);
                }
            }
        }
        for (unsigned k = i + 1; k < r->vms; k++) {
            if (__builtin_popcountll(here | place_possible(r->vm[k])) == 1) {
                return bad_rule(a, owners_of(r->vm[i]), "leaves one and the same node to", r->vm[i],
                                r->vm[k]);
            }
        }
    }
    return 0;
}

static int check_owners(struct apply *a, const struct rule *r)
{
    const struct vm *vm = r->vm[0];
    struct vm *group[RULE_VMS_MAX];
    unsigned n = place_group(r->vm[0], group);

    if (owners_of(vm) != NULL) {
        (void)reject(a, RC_REFUSED, "VM '%s' has its owners by rule %llu already", vm->name,
                     (unsigned long long)owners_of(vm)->id);
        advise(a, "clusterctl rule remove %llu takes it away", (unsigned long long)owners_of(vm)->id);
        return RC_REFUSED;
    }
    if (r->possible != 0 && (r->preferred & ~r->possible) != 0) {
        return reject(a, RC_USAGE, "a preferred owner of VM '%s' is none of its possible ones", vm->name);
    }
    for (unsigned i = 0; r->possible != 0 && i < vm->rules; i++) {
        const struct rule *other = vm->rule[i];

        for (unsigned k = 0; other->kind == RULE_APART && k < other->vms; k++) {
            if (other->vm[k] != vm && __builtin_popcountll(r->possible | place_possible(other->vm[k])) == 1) {
                return bad_rule(a, other, "keeps apart", vm, other->vm[k]);
            }
        }
    }
    return r->possible != 0 ? check_group(a, group, n, vm, r->possible) : 0;
}

static int check_rule(struct apply *a, const struct rule *r)
{
    for (unsigned i = 0; i < a->s->rules; i++) {
        const struct rule *other = a->s->rule[i];

        if (other->kind == r->kind && other->vms == r->vms &&
            memcmp(other->vm, r->vm, r->vms * sizeof(struct vm *)) == 0 && r->kind != RULE_OWNERS) {
            return reject(a, RC_REFUSED, "that is rule %llu already", (unsigned long long)other->id);
        }
    }
    return r->kind == RULE_APART      ? check_apart(a, r)
           : r->kind == RULE_TOGETHER ? check_together(a, r)
                                      : check_owners(a, r);
}

static int by_name(const void *x, const void *y)
{
    return strcmp((*(struct vm *const *)x)->name, (*(struct vm *const *)y)->name);
}

/* Its VMs, sorted, each once. */
static int rule_vms(struct apply *a, struct rule *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < a->e->kvs; i++) {
        struct vm *vm;

        if (strcmp(a->e->kv[i].key, "vm") != 0) {
            continue;
        }
        vm = state_vm(a->s, a->e->kv[i].value);
        if (vm == NULL) {
            (void)reject(a, RC_NOT_FOUND, "there is no VM '%.63s'", a->e->kv[i].value);
            advise(a, "clusterctl vm list shows them");
            return RC_NOT_FOUND;
        }
        if (n == RULE_VMS_MAX) {
            return reject(a, RC_REFUSED, "a rule has at most %d VMs", RULE_VMS_MAX);
        }
        r->vm[n++] = vm;
    }
    qsort(r->vm, n, sizeof(struct vm *), by_name);
    for (unsigned i = 0; i < n; i++) {
        if (r->vms == 0 || r->vm[r->vms - 1] != r->vm[i]) {
            r->vm[r->vms++] = r->vm[i];
        }
    }
    if (r->kind == RULE_OWNERS ? r->vms != 1 || (r->possible | r->preferred) == 0 : r->vms < 2) {
        return reject(a, RC_USAGE, "%s",
                      r->kind == RULE_OWNERS
                          ? "owners are for one VM, and name nodes that are possible or preferred"
                          : "VMs are kept apart or together when there are at least two");
    }
    return 0;
}

/* The nodes under a key, which must be there; 0 without the key. */
static int rule_nodes(struct apply *a, const char *key, node_set *set)
{
    const char *text = event_get(a->e, key);
    node_set leaving;

    *set = nodes_parse(text);
    if (text != NULL && *set == 0) {
        return reject(a, RC_BAD_INPUT, "'%.100s' is no list of nodes", text);
    }
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if ((*set & NODE_BIT(id)) != 0 && state_node(a->s, id) == NULL) {
            return reject(a, RC_NOT_FOUND, "there is no node %u", id);
        }
    }
    leaving = *set & state_leaving(a->s);
    return leaving == 0 ? 0
                        : reject(a, RC_REFUSED, "node '%s' is being removed",
                                 a->s->node[__builtin_ctzll(leaving) + 1].name);
}

static int rule_fill(struct apply *a, struct rule *r)
{
    const char *kind = event_get(a->e, "kind");

    r->id = a->index;
    while (r->kind < RULE_KINDS && (kind == NULL || strcmp(kind, rule_kind_key(r->kind)) != 0)) {
        r->kind++;
    }
    if (r->kind == RULE_KINDS) {
        return reject(a, RC_USAGE, "'%.63s' is no kind of rule: it is apart, together or owners",
                      kind ? kind : "");
    }
    r->vm = calloc(RULE_VMS_MAX, sizeof(struct vm *));
    if (r->vm == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    if (rule_nodes(a, "possible", &r->possible) != 0 || rule_nodes(a, "preferred", &r->preferred) != 0 ||
        rule_vms(a, r) != 0) {
        return a->out->rc;
    }
    if (r->kind != RULE_OWNERS && (r->possible | r->preferred) != 0) {
        return reject(a, RC_USAGE, "only a rule of owners names nodes");
    }
    return 0;
}

int cmd_rule_add(struct apply *a)
{
    struct rule *r;

    if (a->s->rules == RULES_MAX) {
        return reject(a, RC_REFUSED, "there are %d rules already", RULES_MAX);
    }
    r = calloc(1, sizeof *r);
    if (r == NULL) {
        return reject(a, RC_NO_MEMORY, "out of memory");
    }
    if (rule_fill(a, r) == 0 && check_rule(a, r) == 0) {
        struct vm **fitted = realloc(r->vm, r->vms * sizeof(struct vm *)); /* most have two */

        r->vm = fitted ? fitted : r->vm;
        if (state_add_rule(a->s, r) == 0) {
            return 0;
        }
        (void)reject(a, RC_NO_MEMORY, "out of memory");
    }
    rule_free(r);
    return a->out->rc;
}

int cmd_rule_remove(struct apply *a)
{
    struct rule *r = state_rule(a->s, a->e->id);

    if (r == NULL) {
        (void)reject(a, RC_NOT_FOUND, "there is no rule %llu", (unsigned long long)a->e->id);
        advise(a, "clusterctl rule list shows them");
        return RC_NOT_FOUND;
    }
    state_remove_rule(a->s, r);
    return 0;
}
