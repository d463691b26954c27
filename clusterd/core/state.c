#include "core/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "core/state_edit.h"

static const char *const mode_keys[] = {"active", "draining", "drained"};
static const char *const wanted_keys[] = {"stopped", "running", "saved", "paused"};
static const char *const priority_keys[] = {"none", "low", "medium", "high"};
static const char *const op_kind_keys[OP_KINDS] = {
    "none",          "start",         "stop",     "save",       "reset", "live-migrate",
    "quick-migrate", "move",          "drain",    "resume",     "fence", "confirm-down",
    "fence-test",    "volume-remove", "node-add", "node-remove"};
static const char *const op_state_keys[OPS_STATES] = {"queued", "running",   "done",
                                                      "failed", "cancelled", "timed-out"};
static const char *const job_kind_keys[JOB_KINDS] = {
    "none",  "start", "stop",         "save",         "restore",     "resume",    "reset",   "migrate",
    "probe", "fence", "fence-status", "volume-start", "volume-stop", "lock-hold", "lock-try"};
static const char *const rule_kind_keys[RULE_KINDS] = {"apart", "together", "owners"};

const char *node_mode_key(enum node_mode m)
{
    return mode_keys[m];
}

const char *vm_wanted_key(enum vm_wanted w)
{
    return wanted_keys[w];
}

const char *priority_key(enum priority p)
{
    return priority_keys[p];
}

const char *op_kind_key(enum op_kind k)
{
    return op_kind_keys[k];
}

const char *op_state_key(enum op_state st)
{
    return op_state_keys[st];
}

const char *job_kind_key(enum job_kind k)
{
    return job_kind_keys[k];
}

const char *rule_kind_key(enum rule_kind k)
{
    return rule_kind_keys[k];
}

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
static int reserve(void ***array, unsigned n)
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
static int insert(void ***array, unsigned n, size_t offset, void *object)
{
    bool found;
    unsigned at;

    if (reserve(array, n) != 0) {
        return RC_NO_MEMORY;
    }
    at = position(*array, n, offset, (const char *)object + offset, &found);
    memmove(*array + at + 1, *array + at, (n - at) * sizeof **array);
    (*array)[at] = object;
    return 0;
}

static void drop(void **array, unsigned n, const void *object)
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
    if (insert((void ***)(void *)&s->vm, s->vms, offsetof(struct vm, name), vm) != 0) {
        return RC_NO_MEMORY;
    }
    if (insert((void ***)(void *)&s->by_uuid, s->vms, offsetof(struct vm, uuid), vm) != 0) {
        drop((void **)s->vm, s->vms + 1, vm);
        return RC_NO_MEMORY;
    }
    s->vms++;
    return 0;
}

static void spend(struct state *s, const struct vm *vm, bool back);

void state_remove_vm(struct state *s, struct vm *vm)
{
    drop((void **)s->vm, s->vms, vm);
    drop((void **)s->by_uuid, s->vms, vm);
    s->vms--;
    state_unrule_vm(s, vm);
    spend(s, vm, true);
    s->touches = s->looks = s->waitings = 0;
    s->touched_all = s->on_all = true; /* all is derived anew when the entry has been applied */
    vm_free(vm);
}

/* ---- rules ---- */

int state_add_rule(struct state *s, struct rule *r)
{
    unsigned i;

    if (reserve((void ***)(void *)&s->rule, s->rules) != 0) {
        return RC_NO_MEMORY;
    }
    for (i = 0; i < r->vms; i++) {
        if (reserve((void ***)(void *)&r->vm[i]->rule, r->vm[i]->rules) != 0) {
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
        drop((void **)r->vm[i]->rule, r->vm[i]->rules--, r);
    }
    drop((void **)s->rule, s->rules--, r);
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
        drop((void **)r->vm, r->vms--, vm);
        drop((void **)vm->rule, vm->rules--, r);
    }
}

int state_add_volume(struct state *s, struct volume *v)
{
    if (insert((void ***)(void *)&s->volume, s->volumes, offsetof(struct volume, name), v) != 0) {
        return RC_NO_MEMORY;
    }
    s->volumes++;
    return 0;
}

void state_remove_volume(struct state *s, struct volume *v)
{
    drop((void **)s->volume, s->volumes--, v);
    free(v);
}

int state_add_fence(struct state *s, struct fence_device *f)
{
    if (insert((void ***)(void *)&s->fence, s->fences, offsetof(struct fence_device, name), f) != 0) {
        return RC_NO_MEMORY;
    }
    s->fences++;
    return 0;
}

void state_remove_fence(struct state *s, struct fence_device *f)
{
    drop((void **)s->fence, s->fences--, f);
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

const char *node_state_key(const struct state *s, const struct node *n)
{
    static const char *const keys[NODE_STATES] = {"offline", "joining", "online", "daemon-lost", "unclean"};

    if (n->state == NODE_UNCLEAN) {
        for (unsigned i = 0; i < s->jobs; i++) {
            if (s->job[i].kind == JOB_FENCE && s->job[i].to == n->id) {
                return "fencing";
            }
        }
    }
    return keys[n->state];
}

/* While a job is in flight, the VM is what the job makes of it. */
static const char *vm_job_state(const struct state *s, const struct vm *vm)
{
    static const char *const keys[JOB_KINDS] = {[JOB_START] = "starting",
                                                [JOB_STOP] = "stopping",
                                                [JOB_SAVE] = "saving",
                                                [JOB_RESTORE] = "restoring",
                                                [JOB_MIGRATE] = "migrating"};
    const struct job *j = vm->job ? state_job(s, vm->job) : NULL;
    const struct op *o = vm->op ? state_op(s, vm->op) : NULL;

    if (j == NULL) {
        return NULL;
    }
    if (j->kind == JOB_RESUME) {
        return o != NULL && o->kind == OP_LIVE ? "migrating" : "restoring";
    }
    return keys[j->kind];
}

const char *vm_state_key(const struct state *s, const struct vm *vm)
{
    const char *key = vm_job_state(s, vm);
    bool paused = false, unknown = false, running = false;

    if (key != NULL) {
        return key;
    }
    for (unsigned i = 0; i < vm->claims; i++) {
        const struct node *n = state_node(s, vm->claim[i].node);
        bool known = n != NULL && n->state == NODE_ONLINE;

        running |= known && vm->claim[i].obs == OBS_RUNNING;
        paused |= known && (vm->claim[i].obs == OBS_PAUSED || vm->claim[i].obs == OBS_INCOMING);
        unknown |= !known || vm->claim[i].obs == OBS_UNKNOWN;
    }
    if (running) {
        return "running";
    }
    if (unknown) {
        return "unknown";
    }
    if (paused) {
        return "paused";
    }
    if (vm->saved.tag != 0 && !vm->saved.consumed) {
        return "saved";
    }
    return vm->wanted == WANT_RUNNING && vm->error[0] != '\0' && vm->op == 0 ? "failed" : "stopped";
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

        if (reserve((void ***)(void *)&s->on[id].vm, s->on[id].n) != 0) {
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
        if (insert((void ***)(void *)list, *n, offsetof(struct vm, name), vm) != 0) {
            return false;
        }
        ++*n;
    } else if (!wanted && *listed) {
        drop((void **)*list, (*n)--, vm);
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
            if (reserve((void ***)(void *)&s->waiting, s->waitings) == 0) {
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
