#include "core/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "core/state_edit.h"

struct state *state_new(const char *cluster_name)
{
    struct state *s = calloc(1, sizeof *s);

    if (s != NULL) {
        s->level = 1;
        s->look_all = true;
        s->room = 1;
        text_copy(s->cluster, sizeof s->cluster, cluster_name);
        options_init(&s->opt);
    }
    return s;
}

void vm_free(struct vm *vm)
{
    if (vm != NULL) {
        free(vm->xml);
        free(vm->disk);
        free(vm->network);
        free(vm->rule);
        free(vm);
    }
}

void fence_free(struct fence_device *f)
{
    if (f == NULL) {
        return;
    }
    for (unsigned i = 0; i < f->params; i++) {
        free(f->param[i].key);
        free(f->param[i].value);
    }
    free(f->param);
    free(f);
}

void rule_free(struct rule *r)
{
    if (r != NULL) {
        free(r->vm);
        free(r);
    }
}

void state_free(struct state *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; i < s->rules; i++) {
        rule_free(s->rule[i]);
    }
    free(s->rule);
    free(s->touched);
    free(s->look);
    free(s->waiting);
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        free(s->on[id].vm);
    }
    for (unsigned i = 0; i < s->vms; i++) {
        vm_free(s->vm[i]);
    }
    for (unsigned i = 0; i < s->volumes; i++) {
        free(s->volume[i]);
    }
    for (unsigned i = 0; i < s->fences; i++) {
        fence_free(s->fence[i]);
    }
    free(s->vm);
    free(s->by_uuid);
    free(s->volume);
    free(s->fence);
    free(s->op_store);
    free(s->job);
    free(s);
}

void text_copy(char *out, size_t size, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (len >= size) {
        len = size - 1;
    }
    if (len > 0) {
        memcpy(out, text, len);
    }
    memset(out + len, 0, size - len);
}

void text_format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;

    memset(out, 0, size);
    va_start(ap, fmt);
    (void)vsnprintf(out, size, fmt, ap);
    va_end(ap);
}

/* ---- finding ---- */

/* Where name is or would stand among n objects sorted by the string at `offset`; *found says which. */
static unsigned position(void *const *objects, unsigned n, size_t offset, const char *name, bool *found)
{
    unsigned lo = 0, hi = n;

    *found = false;
    if (n > 0 && strcmp((const char *)objects[n - 1] + offset, name) < 0) {
        return n; /* lists are often filled in their order */
    }
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        int c = strcmp((const char *)objects[mid] + offset, name);

        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void *find(void *const *objects, unsigned n, size_t offset, const char *name)
{
    bool found;
    unsigned at = position(objects, n, offset, name, &found);

    return found ? objects[at] : NULL;
}

struct node *state_node(const struct state *s, uint32_t id)
{
    if (id == 0 || id > NODES_MAX || s->node[id].id == 0) {
        return NULL;
    }
    return (struct node *)(uintptr_t)&s->node[id];
}

struct node *state_node_by_name(const struct state *s, const char *name)
{
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        struct node *n = state_node(s, id);

        if (n != NULL && strcmp(n->name, name) == 0) {
            return n;
        }
    }
    return NULL;
}

bool node_is_leaving(const struct state *s, const struct node *n)
{
    const struct op *o = n->op != 0 ? state_op(s, n->op) : NULL;

    return o != NULL && o->kind == OP_NODE_REMOVE && o->state < OPS_DONE;
}

node_set state_leaving(const struct state *s)
{
    node_set leaving = 0;

    for (uint32_t id = 1; id <= NODES_MAX && s->node_ops > 0; id++) {
        leaving |= s->node[id].id != 0 && node_is_leaving(s, &s->node[id]) ? NODE_BIT(id) : 0;
    }
    return leaving;
}

struct vm *state_vm(const struct state *s, const char *name)
{
    return find((void *const *)s->vm, s->vms, offsetof(struct vm, name), name);
}

struct vm *state_vm_by_uuid(const struct state *s, const char *uuid)
{
    return find((void *const *)s->by_uuid, s->vms, offsetof(struct vm, uuid), uuid);
}

struct volume *state_volume(const struct state *s, const char *name)
{
    return find((void *const *)s->volume, s->volumes, offsetof(struct volume, name), name);
}

struct fence_device *state_fence(const struct state *s, const char *name)
{
    return find((void *const *)s->fence, s->fences, offsetof(struct fence_device, name), name);
}

struct op *state_op(const struct state *s, uint64_t id)
{
    unsigned lo = 0, hi = s->ops;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (s->op[mid].id == id) {
            return &s->op[mid];
        }
        if (s->op[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

struct job *state_job(const struct state *s, uint64_t id)
{
    unsigned lo = 0, hi = s->jobs; /* ids are indexes of entries, so they grow */

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (s->job[mid].id == id) {
            return &s->job[mid];
        }
        if (s->job[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

struct rule *state_rule(const struct state *s, uint64_t id)
{
    for (unsigned i = 0; i < s->rules; i++) {
        if (s->rule[i]->id == id) {
            return s->rule[i];
        }
    }
    return NULL;
}

bool volume_is_tried(const struct state *s, const struct volume *v)
{
    for (unsigned i = 0; i < s->jobs; i++) {
        if (s->job[i].kind == JOB_LOCK_TRY && strcmp(s->job[i].subject, v->name) == 0) {
            return true;
        }
    }
    return false;
}

struct claim *vm_claim(const struct vm *vm, uint32_t node)
{
    for (unsigned i = 0; i < vm->claims; i++) {
        if (vm->claim[i].node == node) {
            return (struct claim *)(uintptr_t)&vm->claim[i];
        }
    }
    return NULL;
}

node_set vm_claim_set(const struct vm *vm)
{
    node_set set = 0;

    for (unsigned i = 0; i < vm->claims; i++) {
        set |= NODE_BIT(vm->claim[i].node);
    }
    return set;
}

/* ---- editing ---- */

/* Makes room for one more in an array of pointers; it grows at powers of two. */
int list_reserve(void ***array, unsigned n)
{
    void **grown;

    if ((n & (n - 1)) != 0) {
        return 0;
    }
    grown = realloc(*array, (n ? 2 * n : 1) * sizeof *grown);
    if (grown == NULL) {
        return RC_NO_MEMORY;
    }
    *array = grown;
    return 0;
}

/* Inserts object into a sorted array of pointers. */
int list_insert(void ***array, unsigned n, size_t offset, void *object)
{
    bool found;
    unsigned at;

    if (list_reserve(array, n) != 0) {
        return RC_NO_MEMORY;
    }
    at = position(*array, n, offset, (const char *)object + offset, &found);
    memmove(*array + at + 1, *array + at, (n - at) * sizeof **array);
    (*array)[at] = object;
    return 0;
}

void list_drop(void **array, unsigned n, const void *object)
{
    for (unsigned i = 0; i < n; i++) {
        if (array[i] == object) {
            memmove(array + i, array + i + 1, (n - i - 1) * sizeof *array);
            return;
        }
    }
}

int state_add_vm(struct state *s, struct vm *vm)
{
    if (list_insert((void ***)(void *)&s->vm, s->vms, offsetof(struct vm, name), vm) != 0) {
        return RC_NO_MEMORY;
    }
    if (list_insert((void ***)(void *)&s->by_uuid, s->vms, offsetof(struct vm, uuid), vm) != 0) {
        list_drop((void **)s->vm, s->vms + 1, vm);
        return RC_NO_MEMORY;
    }
    s->vms++;
    return 0;
}

void state_remove_vm(struct state *s, struct vm *vm)
{
    list_drop((void **)s->vm, s->vms, vm);
    list_drop((void **)s->by_uuid, s->vms, vm);
    s->vms--;
    state_unrule_vm(s, vm);
    state_account_gone(s, vm);
    vm_free(vm);
}

/* ---- rules ---- */

int state_add_rule(struct state *s, struct rule *r)
{
    unsigned i;

    if (list_reserve((void ***)(void *)&s->rule, s->rules) != 0) {
        return RC_NO_MEMORY;
    }
    for (i = 0; i < r->vms; i++) {
        if (list_reserve((void ***)(void *)&r->vm[i]->rule, r->vm[i]->rules) != 0) {
            return RC_NO_MEMORY;
        }
    }
    for (i = 0; i < r->vms; i++) {
        r->vm[i]->rule[r->vm[i]->rules++] = r;
    }
    s->rule[s->rules++] = r; /* ids grow, so the end is its place */
    return 0;
}

void state_remove_rule(struct state *s, struct rule *r)
{
    for (unsigned i = 0; i < r->vms; i++) {
        list_drop((void **)r->vm[i]->rule, r->vm[i]->rules--, r);
    }
    list_drop((void **)s->rule, s->rules--, r);
    rule_free(r);
}

void state_unrule_vm(struct state *s, struct vm *vm)
{
    while (vm->rules > 0) {
        struct rule *r = vm->rule[vm->rules - 1];

        if (r->vms <= 2) {
            state_remove_rule(s, r);
            continue;
        }
        list_drop((void **)r->vm, r->vms--, vm);
        list_drop((void **)vm->rule, vm->rules--, r);
    }
}

int state_add_volume(struct state *s, struct volume *v)
{
    if (list_insert((void ***)(void *)&s->volume, s->volumes, offsetof(struct volume, name), v) != 0) {
        return RC_NO_MEMORY;
    }
    s->volumes++;
    return 0;
}

void state_remove_volume(struct state *s, struct volume *v)
{
    list_drop((void **)s->volume, s->volumes--, v);
    free(v);
}

int state_add_fence(struct state *s, struct fence_device *f)
{
    if (list_insert((void ***)(void *)&s->fence, s->fences, offsetof(struct fence_device, name), f) != 0) {
        return RC_NO_MEMORY;
    }
    s->fences++;
    return 0;
}

void state_remove_fence(struct state *s, struct fence_device *f)
{
    list_drop((void **)s->fence, s->fences--, f);
    fence_free(f);
}

/* Ended operations beyond OPS_KEPT leave, the oldest first: they stand at the front, or near to it. */
static void ops_trim(struct state *s)
{
    for (unsigned at = 0; s->ended > OPS_KEPT && at < s->ops;) {
        if (s->op[at].state < OPS_DONE) {
            at++;
            continue;
        }
        memmove(s->op + 1, s->op, at * sizeof *s->op); /* those before it that have not ended */
        s->op++;
        s->ops--;
        s->ended--;
    }
}

struct op *state_append_op(struct state *s, uint64_t id, enum op_kind kind)
{
    size_t gone = s->ops ? (size_t)(s->op - s->op_store) : 0; /* trimmed at the front */
    struct op *o;

    if (gone == 0) {
        s->op = s->op_store; /* none were left: from the front again */
    }
    if (gone + s->ops == s->ops_cap && gone > 0 && gone >= s->ops) {
        memcpy(s->op_store, s->op, s->ops * sizeof *s->op);
        s->op = s->op_store;
    } else if (gone + s->ops == s->ops_cap) {
        unsigned cap = s->ops_cap ? 2 * s->ops_cap : 16;
        struct op *grown = realloc(s->op_store, cap * sizeof *grown);

        if (grown == NULL) {
            return NULL;
        }
        s->op_store = grown;
        s->op = grown + gone;
        s->ops_cap = cap;
    }
    o = &s->op[s->ops++]; /* ids grow, so the end is its place */
    memset(o, 0, sizeof *o);
    o->id = id;
    o->kind = kind;
    s->node_ops += kind > OP_MOVE;
    return o;
}

struct op *state_add_op(struct state *s, uint64_t id, enum op_kind kind)
{
    ops_trim(s);
    return state_append_op(s, id, kind);
}

struct job *state_add_job(struct state *s, uint64_t id, enum job_kind kind)
{
    struct job *j;

    if (s->jobs == s->jobs_cap) {
        unsigned cap = s->jobs_cap ? 2 * s->jobs_cap : 16;
        struct job *grown = realloc(s->job, cap * sizeof *grown);

        if (grown == NULL) {
            return NULL;
        }
        s->job = grown;
        s->jobs_cap = cap;
    }
    j = &s->job[s->jobs++];
    memset(j, 0, sizeof *j);
    j->id = id;
    j->kind = kind;
    return j;
}

void state_remove_job(struct state *s, struct job *j)
{
    size_t at = (size_t)(j - s->job);

    memmove(j, j + 1, (s->jobs - at - 1) * sizeof *j);
    s->jobs--;
}

/* ---- derived ---- */

bool path_is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

const struct volume *vm_volume(const struct state *s, const char *disk)
{
    for (unsigned i = 0; i < s->volumes; i++) {
        if (path_is_below(disk, s->volume[i]->path)) {
            return s->volume[i];
        }
    }
    return NULL;
}

bool vm_savable(const struct state *s, const struct vm *vm)
{
    return vm->disks > 0 && vm_volume(s, vm->disk[0]) != NULL;
}

bool vm_locks_proven(const struct state *s, const struct vm *vm, uint32_t x, uint32_t y)
{
    for (unsigned i = 0; i < vm->disks; i++) {
        const struct volume *v = vm_volume(s, vm->disk[i]);

        if (!MUTANT(live_without_locks) &&
            (v == NULL || (v->proven[x] & NODE_BIT(y)) == 0 || (v->proven[y] & NODE_BIT(x)) == 0)) {
            return false;
        }
    }
    return vm->disks > 0;
}

/*
 * A node that joins under a fence agent (N1) may fence others meanwhile: when each waits for an agent of the
 * other's, or of one that is lost, somebody has to begin.
 */
bool node_may_fence(const struct state *s, uint32_t node, uint32_t target)
{
    const struct node *n = state_node(s, node);

    return n != NULL && node != target &&
           (n->state == NODE_ONLINE || (n->state == NODE_JOINING && n->inventory_term == s->term));
}

uint32_t vm_where(const struct state *s, const struct vm *vm)
{
    const struct job *j = vm->job ? state_job(s, vm->job) : NULL;

    if (j != NULL && j->kind == JOB_MIGRATE) {
        return j->node;
    }
    for (unsigned i = 0; i < vm->claims; i++) {
        if (vm->claim[i].obs == OBS_RUNNING) {
            return vm->claim[i].node;
        }
    }
    return vm->claims ? vm->claim[0].node : 0;
}
