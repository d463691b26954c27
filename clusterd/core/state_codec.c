/*
 * state_codec.c - the state as bytes, for snapshots and digests. One function a structure serves both
 * directions, so that writing and reading cannot drift apart.
 *
 * A state is written as its feature level has it (A13), and the level is the format's number: what a later
 * level added stands behind `c->level >= N`. So a node of an older build reads what a newer one writes for as
 * long as the level is not raised, and the digests of both are the same.
 */
#include "core/state_edit.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 1000000u /* of any kind of object; more is damage */

/* Writes when w is set, else reads. */
struct codec {
    struct buf *w;
    struct rd *r;
    unsigned level;
};

static void c_u64(struct codec *c, uint64_t *v)
{
    if (c->w != NULL) {
        buf_u64(c->w, *v);
    } else {
        *v = rd_u64(c->r);
    }
}

static void c_i64(struct codec *c, int64_t *v)
{
    uint64_t u = (uint64_t)*v;

    c_u64(c, &u);
    *v = (int64_t)u;
}

static void c_u32(struct codec *c, uint32_t *v)
{
    if (c->w != NULL) {
        buf_u32(c->w, *v);
    } else {
        *v = rd_u32(c->r);
    }
}

static void c_bool(struct codec *c, bool *v)
{
    if (c->w != NULL) {
        buf_u8(c->w, *v);
    } else {
        unsigned u = rd_u8(c->r);
        c->r->bad |= u > 1;
        *v = u == 1;
    }
}

static unsigned c_range(struct codec *c, unsigned v, unsigned count)
{
    if (c->w != NULL) {
        buf_u32(c->w, v);
        return v;
    }
    v = rd_u32(c->r);
    if (v >= count) {
        c->r->bad = true;
        return 0;
    }
    return v;
}

#define C_ENUM(c, field, type, count) ((field) = (type)c_range((c), (unsigned)(field), (count)))

static void c_str(struct codec *c, char *s, size_t size)
{
    if (c->w != NULL) {
        buf_str(c->w, s);
    } else {
        memset(s, 0, size);
        rd_str(c->r, s, size);
    }
}

#define C_STR(c, array) c_str((c), (array), sizeof(array))

static void c_dup(struct codec *c, char **s, size_t max)
{
    if (c->w != NULL) {
        buf_str(c->w, *s);
    } else {
        *s = rd_strdup(c->r, max);
    }
}

static void c_node_id(struct codec *c, uint32_t *id)
{
    *id = c_range(c, *id, NODES_MAX + 1);
}

static void c_node(struct codec *c, struct node *n)
{
    C_STR(c, n->name);
    C_ENUM(c, n->state, enum node_state, NODE_STATES);
    C_ENUM(c, n->mode, enum node_mode, MODE_DRAINED + 1);
    c_u64(c, &n->session);
    c_u64(c, &n->seq);
    C_STR(c, n->boot);
    c_u64(c, &n->memory_mib);
    c_u32(c, &n->cpus);
    c_u32(c, &n->feature_level);
    c_u64(c, &n->inventory_term);
    c_u64(c, &n->loss);
    c_u32(c, &n->fence_tries);
    c_bool(c, &n->fence_wait);
    c_bool(c, &n->fence_wanted);
    c_bool(c, &n->fenced);
    C_STR(c, n->error);
    c_u64(c, &n->op);
    if (c->level >= 2) {
        c_u64(c, &n->given_up);
        c_bool(c, &n->outcast);
        C_STR(c, n->address);
    }
}

static void c_saved(struct codec *c, struct saved_state *s)
{
    c_u64(c, &s->tag);
    c_bool(c, &s->consumed);
    C_STR(c, s->path);
}

static void c_hash(struct codec *c, struct hash *h)
{
    c_u64(c, &h->lo);
    c_u64(c, &h->hi);
}

/* One that the level does not have yet keeps its default. */
static void c_option(struct codec *c, uint32_t *v, unsigned level)
{
    if (c->level >= level) {
        c_u32(c, v);
    }
}

static void c_settings(struct codec *c, struct vm_settings *set)
{
#define X(field, dflt, min, max, level, help) c_option(c, &set->field, level);
    VM_NUMBERS(X)
#undef X
#define X(field, dflt, choices, level, help) c_option(c, &set->field, level);
    VM_WORDS(X)
#undef X
    if (set->priority > PRIO_HIGH || set->migration > MIG_NONE) {
        if (c->r != NULL) {
            c->r->bad = true;
        }
    }
}

static void c_options(struct codec *c, struct options *o)
{
#define X(field, dflt, min, max, level, help) c_option(c, &o->field, level);
    OPTION_NUMBERS(X)
#undef X
#define X(field, dflt, choices, level, help) c_option(c, &o->field, level);
    OPTION_WORDS(X)
#undef X
}

/* Makes room for what is about to be read. */
static void *c_alloc(struct codec *c, size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (p == NULL) {
        c->r->bad = true;
    }
    return p;
}

static void c_vm_lists(struct codec *c, struct vm *vm)
{
    vm->disks = c_range(c, vm->disks, DISKS_MAX + 1);
    if (c->r != NULL) {
        vm->disk = c_alloc(c, vm->disks, sizeof *vm->disk);
    }
    for (unsigned i = 0; vm->disk != NULL && i < vm->disks; i++) {
        C_STR(c, vm->disk[i]);
    }
    vm->networks = c_range(c, vm->networks, NETWORKS_MAX + 1);
    if (c->r != NULL) {
        vm->network = c_alloc(c, vm->networks, sizeof *vm->network);
    }
    for (unsigned i = 0; vm->network != NULL && i < vm->networks; i++) {
        C_STR(c, vm->network[i]);
    }
}

static void c_vm(struct codec *c, struct vm *vm)
{
    C_STR(c, vm->name);
    C_STR(c, vm->uuid);
    c_dup(c, &vm->xml, EVENT_TEXT_MAX);
    c_hash(c, &vm->xml_hash);
    c_u64(c, &vm->memory_mib);
    c_u32(c, &vm->cpus);
    c_vm_lists(c, vm);
    c_settings(c, &vm->set);
    C_ENUM(c, vm->wanted, enum vm_wanted, WANT_PAUSED + 1);
    c_node_id(c, &vm->owner);
    c_node_id(c, &vm->home);
    vm->claims = c_range(c, vm->claims, CLAIMS_MAX + 1);
    for (unsigned i = 0; i < vm->claims; i++) {
        c_node_id(c, &vm->claim[i].node);
        c_u64(c, &vm->claim[i].index);
        C_ENUM(c, vm->claim[i].obs, enum obs_state, OBS_COUNT);
        c_node_id(c, &vm->claim[i].from);
        if (c->level >= 2) {
            c_bool(c, &vm->claim[i].half);
            c_u64(c, &vm->claim[i].brought);
        }
        if (c->r != NULL && vm->claim[i].node == 0) {
            c->r->bad = true;
        }
    }
    c_u64(c, &vm->unseen);
    c_saved(c, &vm->saved);
    c_u64(c, &vm->op);
    c_u64(c, &vm->job);
    c_bool(c, &vm->wait);
    c_u32(c, &vm->tries);
    c_u32(c, &vm->restarts);
    c_i64(c, &vm->restart_since_ms);
    c_u64(c, &vm->changed);
    C_STR(c, vm->error);
    if (c->level >= 2) {
        c_u32(c, &vm->conflicts);
        c_u32(c, &vm->looks);
    }
}

static void c_volume(struct codec *c, struct volume *v)
{
    C_STR(c, v->name);
    C_STR(c, v->type);
    C_STR(c, v->source);
    C_STR(c, v->path);
    c_u64(c, &v->online);
    c_u64(c, &v->busy);
    c_u64(c, &v->wait);
    for (unsigned i = 1; i <= NODES_MAX; i++) {
        c_u64(c, &v->proven[i]);
    }
    c_node_id(c, &v->prover);
    c_bool(c, &v->holding);
    c_u64(c, &v->refused);
    c_u64(c, &v->granted);
    c_u64(c, &v->unproven);
    c_u64(c, &v->size_bytes);
    c_u64(c, &v->free_bytes);
    c_bool(c, &v->removing);
    C_STR(c, v->error);
}

static void c_fence(struct codec *c, struct fence_device *f)
{
    C_STR(c, f->name);
    C_STR(c, f->agent);
    c_u64(c, &f->nodes);
    c_u32(c, &f->level);
    f->params = c_range(c, f->params, EVENT_KV_MAX + 1);
    if (c->r != NULL) {
        f->param = c_alloc(c, f->params, sizeof *f->param);
        if (f->param == NULL) {
            f->params = 0;
        }
    }
    for (unsigned i = 0; i < f->params; i++) {
        c_dup(c, &f->param[i].key, NAME_SIZE);
        c_dup(c, &f->param[i].value, EVENT_VALUE_MAX);
    }
}

static void c_op(struct codec *c, struct op *o)
{
    c_u64(c, &o->id);
    C_ENUM(c, o->kind, enum op_kind, OP_KINDS);
    C_ENUM(c, o->state, enum op_state, OPS_STATES);
    C_STR(c, o->subject);
    c_node_id(c, &o->from);
    c_node_id(c, &o->to);
    c_node_id(c, &o->node);
    c_u64(c, &o->parent);
    c_u32(c, &o->phase);
    c_u64(c, &o->tried);
    c_u32(c, &o->tries);
    c_u32(c, &o->flags);
    C_ENUM(c, o->mode, enum migration_mode, MIG_NONE + 1);
    C_STR(c, o->blocked);
    c_bool(c, &o->recovery);
    c_bool(c, &o->cancel);
    c_i64(c, &o->started_ms);
    c_i64(c, &o->ended_ms);
    C_STR(c, o->by);
    C_STR(c, o->why);
    C_STR(c, o->error);
}

static void c_job(struct codec *c, struct job *j)
{
    c_u64(c, &j->id);
    C_ENUM(c, j->kind, enum job_kind, JOB_KINDS);
    c_node_id(c, &j->node);
    c_u64(c, &j->session);
    c_node_id(c, &j->to);
    c_u64(c, &j->op);
    c_u64(c, &j->loss);
    c_u32(c, &j->flags);
    c_u32(c, &j->timeout_ms);
    c_bool(c, &j->orphan);
    C_STR(c, j->subject);
}

/* Its VMs stand there by name; the caller reads them. */
static void c_rule(struct codec *c, struct rule *r)
{
    c_u64(c, &r->id);
    C_ENUM(c, r->kind, enum rule_kind, RULE_KINDS);
    c_u64(c, &r->possible);
    c_u64(c, &r->preferred);
    r->vms = c_range(c, r->vms, RULE_VMS_MAX + 1);
}

static void c_head(struct codec *c, struct state *s)
{
    C_STR(c, s->cluster);
    c_u64(c, &s->term);
    c_u64(c, &s->index);
    c_i64(c, &s->time_ms);
    c_node_id(c, &s->coordinator);
    c_bool(c, &s->startup);
    if (c->level >= 2) {
        c_u64(c, &s->disarm.index);
        c_u32(c, &s->disarm.ms);
        c_i64(c, &s->disarm.since_ms);
        C_STR(c, s->disarm.by);
    }
    c_options(c, &s->opt);
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        bool there = s->node[id].id != 0;

        c_bool(c, &there);
        if (there) {
            s->node[id].id = id;
            c_node(c, &s->node[id]);
        }
    }
}

/* A digest needs the bytes only once: a state with its domain XMLs may be as long as 100 MB. */
static void digest_piece(struct buf *b, struct hash *digest)
{
    if (digest != NULL && !b->failed) { /* once failed it stays so, to the end */
        *digest = hash_bytes(*digest, b->data, b->len);
        buf_reset(b);
    }
}

/* Appends to b; with a digest b is only scratch space. */
static void encode(const struct state *s, struct buf *b, struct hash *digest)
{
    struct codec c = {b, NULL, s->level};
    struct state head = *s; /* the codec's functions take what they may write to */

    buf_u32(b, s->level);
    c_head(&c, &head);
    buf_u32(b, s->vms);
    for (unsigned i = 0; i < s->vms; i++) {
        c_vm(&c, s->vm[i]);
        digest_piece(b, digest);
    }
    buf_u32(b, s->volumes);
    for (unsigned i = 0; i < s->volumes; i++) {
        c_volume(&c, s->volume[i]);
    }
    buf_u32(b, s->fences);
    for (unsigned i = 0; i < s->fences; i++) {
        c_fence(&c, s->fence[i]);
    }
    buf_u32(b, s->ops);
    for (unsigned i = 0; i < s->ops; i++) {
        c_op(&c, &s->op[i]);
    }
    buf_u32(b, s->jobs);
    for (unsigned i = 0; i < s->jobs; i++) {
        c_job(&c, &s->job[i]);
    }
    if (c.level >= 2) {
        buf_u32(b, s->rules);
        for (unsigned i = 0; i < s->rules; i++) {
            c_rule(&c, s->rule[i]);
            for (unsigned k = 0; k < s->rule[i]->vms; k++) {
                buf_str(b, s->rule[i]->vm[k]->name);
            }
        }
    }
    digest_piece(b, digest);
}

void state_encode(const struct state *s, struct buf *b)
{
    encode(s, b, NULL);
}

static unsigned read_count(struct rd *r)
{
    unsigned n = rd_u32(r);

    if (n > COUNT_MAX) {
        r->bad = true;
        return 0;
    }
    return n;
}

static void read_vms(struct state *s, struct codec *c)
{
    unsigned n = read_count(c->r);

    for (unsigned i = 0; i < n && !c->r->bad; i++) {
        struct vm *vm = calloc(1, sizeof *vm);

        if (vm == NULL) {
            c->r->bad = true;
            return;
        }
        vm_settings_init(&vm->set); /* for what the level does not have */
        c_vm(c, vm);
        if (c->r->bad || state_vm(s, vm->name) != NULL || state_vm_by_uuid(s, vm->uuid) != NULL ||
            state_add_vm(s, vm) != 0) {
            vm_free(vm);
            c->r->bad = true;
        }
    }
}

static void read_volumes(struct state *s, struct codec *c)
{
    unsigned n = read_count(c->r);

    for (unsigned i = 0; i < n && !c->r->bad; i++) {
        struct volume *v = calloc(1, sizeof *v);

        if (v == NULL) {
            c->r->bad = true;
            return;
        }
        c_volume(c, v);
        if (c->r->bad || state_volume(s, v->name) != NULL || state_add_volume(s, v) != 0) {
            free(v);
            c->r->bad = true;
        }
    }
}

static void read_fences(struct state *s, struct codec *c)
{
    unsigned n = read_count(c->r);

    for (unsigned i = 0; i < n && !c->r->bad; i++) {
        struct fence_device *f = calloc(1, sizeof *f);

        if (f == NULL) {
            c->r->bad = true;
            return;
        }
        c_fence(c, f);
        if (c->r->bad || state_fence(s, f->name) != NULL || state_add_fence(s, f) != 0) {
            fence_free(f);
            c->r->bad = true;
        }
    }
}

static void read_ops_and_jobs(struct state *s, struct codec *c)
{
    unsigned n = read_count(c->r);

    for (unsigned i = 0; i < n && !c->r->bad; i++) {
        struct op read = {0}, *o;

        c_op(c, &read);
        o = c->r->bad || (s->ops > 0 && s->op[s->ops - 1].id >= read.id)
                ? NULL
                : state_append_op(s, read.id, read.kind);
        if (o == NULL) {
            c->r->bad = true;
        } else {
            *o = read;
        }
    }
    n = read_count(c->r);
    for (unsigned i = 0; i < n && !c->r->bad; i++) {
        struct job read = {0}, *j;

        c_job(c, &read);
        j = c->r->bad || (s->jobs > 0 && s->job[s->jobs - 1].id >= read.id)
                ? NULL
                : state_add_job(s, read.id, read.kind);
        if (j == NULL) {
            c->r->bad = true;
        } else {
            *j = read;
        }
    }
}

/* The VMs of a rule: known, sorted, none twice. */
static bool read_rule_vms(struct state *s, struct codec *c, struct rule *r)
{
    char name[NAME_SIZE], before[NAME_SIZE] = "";

    r->vm = calloc(r->vms ? r->vms : 1, sizeof(struct vm *));
    for (unsigned i = 0; i < r->vms && r->vm != NULL; i++) {
        C_STR(c, name);
        r->vm[i] = state_vm(s, name);
        if (c->r->bad || r->vm[i] == NULL || strcmp(before, name) >= 0) {
            return false;
        }
        memcpy(before, name, sizeof before);
    }
    return r->vm != NULL && (r->kind == RULE_OWNERS ? r->vms == 1 : r->vms >= 2);
}

static void read_rules(struct state *s, struct codec *c)
{
    unsigned n = c->level >= 2 ? read_count(c->r) : 0;

    for (unsigned i = 0; i < n && !c->r->bad; i++) {
        struct rule *r = calloc(1, sizeof *r);

        if (r == NULL) {
            c->r->bad = true;
            return;
        }
        c_rule(c, r);
        if (c->r->bad || (s->rules > 0 && s->rule[s->rules - 1]->id >= r->id) || !read_rule_vms(s, c, r) ||
            state_add_rule(s, r) != 0) {
            rule_free(r);
            c->r->bad = true;
        }
    }
}

struct state *state_decode(const void *data, size_t len, struct err *err)
{
    struct rd r;
    struct codec c = {NULL, &r, 0};
    struct state *s = state_new("");

    if (s == NULL) {
        (void)err_set(err, RC_NO_MEMORY, "out of memory");
        return NULL;
    }
    rd_init(&r, data, len);
    s->level = c.level = rd_u32(&r);
    if (!r.bad && s->level > FEATURE_LEVEL) {
        (void)refuse_newer(err, "the state is of feature level %u, and this clusterd knows %u", s->level,
                           FEATURE_LEVEL);
        state_free(s);
        return NULL;
    }
    r.bad = r.bad || s->level == 0;
    if (!r.bad) {
        c_head(&c, s);
        read_vms(s, &c);
        read_volumes(s, &c);
        read_fences(s, &c);
        read_ops_and_jobs(s, &c);
        read_rules(s, &c);
        state_account(s);
    }
    if (!rd_done(&r)) {
        state_free(s);
        (void)err_set(err, RC_CORRUPT, "a snapshot of %zu bytes is damaged", len);
        return NULL;
    }
    return s;
}

struct hash state_digest(const struct state *s)
{
    struct hash h = {0, 0};
    struct buf b = BUF_INIT;

    encode(s, &b, &h);
    if (b.failed) { /* the digest of a half would be another state's */
        h = (struct hash){0, 0};
    }
    buf_fini(&b);
    return h;
}
