/* The core's codecs, digests, options and walls, one by one; its decisions are in tests/scenarios. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/rc.h"
#include "core/core.h"
#include "core/state_edit.h"

#define UUID "00000000-0000-0000-0000-000000000001"

static uint64_t seqs[NODES_MAX + 1];

static struct applied put(struct state *s, struct event *e)
{
    struct applied out;

    core_apply(s, e, 1, s->index + 1, &out);
    event_fini(e);
    return out;
}

static struct applied fact(struct state *s, struct event *e, uint32_t node)
{
    e->origin = node;
    e->session = 100 + node;
    e->seq = ++seqs[node];
    return put(s, e);
}

/* Nothing. */
static void says_what_it_runs(struct state *s, uint32_t id)
{
    struct event e;

    event_init(&e, EV_INVENTORY);
    e.node = id;
    e.num = 1;
    e.index = s->index;
    e.flags = EVF_COMPLETE;
    assert_int_equal(fact(s, &e, id).rc, 0);
}

static void node_comes(struct state *s, uint32_t id, const char *boot)
{
    struct event e;

    event_init(&e, EV_NODE_UP);
    e.node = id;
    event_putf(&e, "name", "n%u", id);
    event_put(&e, "boot", boot);
    event_put(&e, "memory_mib", "4096");
    assert_int_equal(fact(s, &e, id).rc, 0);
    says_what_it_runs(s, id);
}

static struct applied job(struct state *s, enum job_kind kind, uint32_t node, uint32_t to)
{
    const struct vm *vm = state_vm(s, "web1");
    struct event e;

    if (vm->op == 0 && vm->job == 0) { /* a launch has an operation */
        event_init(&e, EV_OP_BEGIN);
        e.num = OP_START;
        snprintf(e.subject, sizeof e.subject, "web1");
        assert_int_equal(put(s, &e).rc, 0);
    }
    event_init(&e, EV_JOB);
    e.num = kind;
    e.node = node;
    e.to = to;
    e.id = vm->op;
    e.flags = kind == JOB_MIGRATE ? EVF_PAUSED : 0;
    snprintf(e.subject, sizeof e.subject, "web1");
    return put(s, &e);
}

static struct applied result(struct state *s, uint64_t id, uint32_t node, uint64_t num, enum obs_state obs)
{
    struct event e;

    event_init(&e, EV_JOB_RESULT);
    e.id = id;
    e.node = node;
    e.num = num;
    e.obs = obs;
    return fact(s, &e, node);
}

/* Three nodes, a volume, a fence device, a VM. */
static struct state *cluster(void)
{
    struct state *s = state_new("unit");
    struct event e;

    memset(seqs, 0, sizeof seqs);
    s->term = 1;
    node_comes(s, 1, "boot1");
    node_comes(s, 2, "boot2");
    node_comes(s, 3, "boot3");
    event_init(&e, EV_CMD_VOLUME_ADD);
    snprintf(e.subject, sizeof e.subject, "vol1");
    event_put(&e, "type", "directory");
    event_put(&e, "source", "/srv/vol1");
    assert_int_equal(fact(s, &e, 1).rc, 0);
    event_init(&e, EV_CMD_FENCE_ADD);
    snprintf(e.subject, sizeof e.subject, "ipmi2");
    event_put(&e, "agent", "fence_ipmilan");
    event_put(&e, "nodes", "2");
    event_put(&e, "param.ip", "10.0.0.2");
    assert_int_equal(fact(s, &e, 1).rc, 0);
    event_init(&e, EV_CMD_VM_ADD);
    snprintf(e.subject, sizeof e.subject, "web1");
    event_set_text(&e, "<domain/>");
    event_put(&e, "uuid", UUID);
    event_put(&e, "memory_mib", "512");
    event_put(&e, "disk", "/var/lib/clusterd/volumes/vol1/web1.img");
    event_put(&e, "network", "bridge:br0");
    assert_int_equal(fact(s, &e, 1).rc, 0);
    assert_int_equal(state_vm(s, "web1")->unseen, 7); /* C1: it may run there already */
    for (uint32_t id = 1; id <= 3; id++) {
        says_what_it_runs(s, id);
    }
    return s;
}

static void a_second_launch_is_refused_while_a_claim_is_elsewhere(void **unused)
{
    struct state *s = cluster();
    struct applied out;

    (void)unused;
    assert_int_equal(job(s, JOB_START, 1, 0).rc, 0);
    out = job(s, JOB_START, 2, 0);
    assert_int_equal(out.rc, RC_REFUSED);
    assert_int_equal(result(s, s->index - 1, 1, 1, OBS_UNKNOWN).rc, 0);
    out = job(s, JOB_START, 2, 0); /* S1: the job has ended, the claim has not */
    assert_int_equal(out.rc, RC_REFUSED);
    assert_non_null(strstr(out.err.msg, "S1"));
    state_free(s);
}

/* C7: tried again on the same node, to a bound, and neither counted against the VM nor against the node. */
static void a_lock_conflict_is_not_the_vms_failure(void **unused)
{
    struct state *s = cluster();
    struct vm *vm = state_vm(s, "web1");
    struct event e;
    unsigned tries = 0;

    (void)unused;
    s->level = 2;
    for (; vm->tries == 0 && tries < 100; tries++) {
        assert_int_equal(job(s, JOB_START, 1, 0).rc, 0);
        event_init(&e, EV_JOB_RESULT);
        e.id = vm->job;
        e.node = 1;
        e.num = 1;
        e.obs = OBS_ABSENT;
        event_put(&e, "conflict", "image-lock /x.img");
        assert_int_equal(fact(s, &e, 1).rc, 0);
        assert_int_equal(state_op(s, vm->op)->tried, vm->tries ? NODE_BIT(1) : 0);
        assert_true(vm->wait == (vm->tries == 0));
    }
    assert_int_equal(tries, 11);
    assert_int_equal(job(s, JOB_START, 1, 0).rc, 0);
    assert_int_equal(result(s, vm->job, 1, 0, OBS_RUNNING).rc, 0);
    assert_int_equal(vm->conflicts, 0);
    state_free(s);
}

static void a_saved_state_has_one_life(void **unused)
{
    struct state *s = cluster();
    struct vm *vm = state_vm(s, "web1");
    struct event e;

    (void)unused;
    assert_int_equal(job(s, JOB_START, 1, 0).rc, 0);
    assert_int_equal(result(s, s->index, 1, 0, OBS_RUNNING).rc, 0);
    assert_int_equal(job(s, JOB_SAVE, 1, 2).rc, 0);
    assert_int_equal(result(s, s->index, 1, 0, OBS_ABSENT).rc, 0);
    assert_int_not_equal(vm->saved.tag, 0);
    assert_int_equal(job(s, JOB_START, 2, 0).rc, RC_REFUSED); /* a cold start beside a usable state */
    assert_int_equal(job(s, JOB_RESTORE, 2, 0).rc, 0);
    assert_int_equal(result(s, s->index, 2, 0, OBS_PAUSED).rc, 0);
    assert_int_equal(job(s, JOB_RESUME, 2, 0).rc, RC_REFUSED); /* before "consumed" */
    event_init(&e, EV_CONSUME);
    snprintf(e.subject, sizeof e.subject, "web1");
    assert_int_equal(put(s, &e).rc, 0);
    assert_int_equal(job(s, JOB_RESUME, 2, 0).rc, 0);
    assert_int_equal(result(s, s->index, 2, 1, OBS_ABSENT).rc, 0); /* it died in the middle */
    assert_int_equal(job(s, JOB_RESTORE, 3, 0).rc, RC_REFUSED);    /* S7 */
    assert_int_equal(job(s, JOB_START, 3, 0).rc, RC_REFUSED);      /* C6: "void" first */
    event_init(&e, EV_VOID);
    snprintf(e.subject, sizeof e.subject, "web1");
    assert_int_equal(put(s, &e).rc, 0);
    assert_int_equal(job(s, JOB_START, 3, 0).rc, 0);
    state_free(s);
}

static void a_stale_inventory_frees_nothing(void **unused)
{
    struct state *s = cluster();
    struct vm *vm = state_vm(s, "web1");
    uint64_t before = s->index;
    struct event e;

    (void)unused;
    assert_int_equal(job(s, JOB_START, 1, 0).rc, 0);
    assert_int_equal(result(s, s->index, 1, 0, OBS_RUNNING).rc, 0);
    event_init(&e, EV_INVENTORY); /* C1: looked at before the start was decided */
    e.node = 1;
    e.num = 1;
    e.index = before;
    e.flags = EVF_COMPLETE;
    assert_int_equal(fact(s, &e, 1).rc, 0);
    assert_int_equal(vm->claims, 1);
    event_init(&e, EV_INVENTORY);
    e.node = 1;
    e.num = 1;
    e.index = s->index;
    e.flags = EVF_COMPLETE;
    assert_int_equal(fact(s, &e, 1).rc, 0);
    assert_int_equal(vm->claims, 0);
    state_free(s);
}

static struct applied lost(struct state *s, uint32_t node)
{
    struct event e;

    event_init(&e, EV_NODE_LOST);
    e.node = node;
    e.num = 1;
    e.id = 100 + node;
    return put(s, &e);
}

static void only_the_fence_of_this_loss_counts(void **unused)
{
    struct state *s = cluster();
    struct event e;
    uint64_t first;

    (void)unused;
    assert_int_equal(job(s, JOB_START, 2, 0).rc, 0);
    assert_int_equal(result(s, s->index, 2, 0, OBS_RUNNING).rc, 0);
    assert_int_equal(lost(s, 2).rc, 0);
    event_init(&e, EV_JOB);
    e.num = JOB_FENCE;
    e.node = 1;
    e.to = 2;
    e.index = s->node[2].loss;
    snprintf(e.subject, sizeof e.subject, "ipmi2");
    assert_int_equal(put(s, &e).rc, 0);
    first = s->index;
    event_init(&e, EV_NODE_UP); /* back with the same boot, then lost again */
    e.node = 2;
    event_put(&e, "name", "n2");
    event_put(&e, "boot", "boot2");
    assert_int_equal(fact(s, &e, 2).rc, 0);
    assert_int_equal(s->node[2].state, NODE_JOINING);
    assert_int_equal(lost(s, 2).rc, 0);
    assert_int_equal(result(s, first, 1, 0, OBS_UNKNOWN).rc, 0);
    assert_int_equal(s->node[2].state, NODE_UNCLEAN); /* N1 */
    assert_int_equal(state_vm(s, "web1")->claims, 1);
    state_free(s);
}

static void a_new_boot_proves_that_the_old_vms_are_gone(void **unused)
{
    struct state *s = cluster();
    struct event e;

    (void)unused;
    assert_int_equal(job(s, JOB_START, 2, 0).rc, 0);
    assert_int_equal(result(s, s->index, 2, 0, OBS_RUNNING).rc, 0);
    event_init(&e, EV_NODE_UP);
    e.node = 2;
    event_put(&e, "name", "n2");
    event_put(&e, "boot", "boot2b");
    assert_int_equal(fact(s, &e, 2).rc, 0);
    assert_int_equal(state_vm(s, "web1")->claims, 0);
    state_free(s);
}

static void requests_count_once_and_in_order(void **unused)
{
    struct state *s = cluster();
    struct applied out;
    struct event e;

    (void)unused;
    event_init(&e, EV_CMD_OPTION_SET);
    event_put(&e, "starts_per_node", "7");
    e.origin = 1;
    e.session = 101;
    e.seq = seqs[1] + 2;
    out = put(s, &e);
    assert_int_equal(out.rc, RC_BUSY); /* it overtook another */
    event_init(&e, EV_CMD_OPTION_SET);
    event_put(&e, "starts_per_node", "8");
    e.origin = 1;
    e.session = 101;
    e.seq = seqs[1];
    out = put(s, &e);
    assert_true(out.duplicate);
    assert_int_equal(s->opt.starts_per_node, 4);
    event_init(&e, EV_CMD_OPTION_SET);
    e.origin = 1;
    e.session = 999; /* an older daemon's */
    e.seq = 1;
    assert_int_equal(put(s, &e).rc, RC_BUSY);
    state_free(s);
}

static void events_survive_their_encoding(void **unused)
{
    struct buf b = BUF_INIT;
    struct event e, back;

    (void)unused;
    for (int k = EV_NONE + 1; k < EV_COUNT; k++) {
        event_init(&e, (enum event_kind)k);
        e.origin = 1;
        e.session = UINT64_MAX;
        e.seq = 3;
        e.time_ms = -4;
        e.flags = 5;
        e.node = 6;
        e.to = 7;
        e.id = 8;
        e.index = 9;
        e.num = 10;
        e.obs = OBS_PAUSED;
        snprintf(e.subject, sizeof e.subject, "subject");
        snprintf(e.by, sizeof e.by, "root@n1");
        snprintf(e.why, sizeof e.why, "because");
        event_set_text(&e, "text");
        event_put(&e, "key", "value");
        event_put(&e, "key2", "");
        buf_reset(&b);
        event_encode(&e, &b);
        assert_int_equal(event_decode(&back, b.data, b.len, NULL), 0);
        assert_int_equal(back.kind, k);
        assert_true(back.session == UINT64_MAX && back.seq == 3 && back.time_ms == -4 && back.flags == 5);
        assert_true(back.node == 6 && back.to == 7 && back.id == 8 && back.index == 9 && back.num == 10);
        assert_string_equal(back.subject, "subject");
        assert_string_equal(back.by, "root@n1");
        assert_string_equal(back.why, "because");
        assert_string_equal(back.text, "text");
        assert_string_equal(event_get(&back, "key2"), "");
        for (size_t len = 0; len < b.len; len++) { /* no shorter one passes */
            struct event cut;
            assert_int_equal(event_decode(&cut, b.data, len, NULL), RC_CORRUPT);
        }
        event_fini(&e);
        event_fini(&back);
    }
    buf_fini(&b);
}

static void bounds_of_events_are_kept(void **unused)
{
    char big[EVENT_VALUE_MAX + 2];
    struct event e;

    (void)unused;
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    event_init(&e, EV_CMD_VM_SET);
    assert_int_equal(event_put(&e, "key", big), RC_BAD_INPUT);
    for (int i = 0; i < EVENT_KV_MAX; i++) {
        assert_int_equal(event_put(&e, "k", "v"), 0);
    }
    assert_int_equal(event_put(&e, "k", "v"), RC_BAD_INPUT);
    event_fini(&e);
}

static bool skipped(size_t at, const size_t *skip, unsigned skips)
{
    for (unsigned i = 0; i < skips; i += 2) {
        if (at >= skip[i] && at < skip[i] + skip[i + 1]) {
            return true;
        }
    }
    return false;
}

/* Flips one bit in each byte that is not skipped, and expects another digest each time (S5, A14). */
static void flip_all(struct state *s, void *base, size_t size, const size_t *skip, unsigned skips,
                     const char *what)
{
    struct hash before = state_digest(s);
    uint8_t *p = base;

    for (size_t at = 0; at < size; at++) {
        bool same;

        if (skipped(at, skip, skips)) {
            continue;
        }
        p[at] ^= 1;
        same = hash_eq(before, state_digest(s));
        p[at] ^= 1;
        if (same) {
            fail_msg("the digest does not see byte %zu of %s", at, what);
        }
    }
}

/* What is no field's value is named: pointers and counts (FIELD), the NUL of a full string (END), and the
 * padding between two fields (GAP) or behind the last (TAIL). */
#define FIELD(type, field)     offsetof(type, field), sizeof(((type *)0)->field)
#define AFTER(type, field)     (offsetof(type, field) + sizeof(((type *)0)->field))
#define END(type, field)       AFTER(type, field) - 1, 1
#define GAP(type, field, next) AFTER(type, field), offsetof(type, next) - AFTER(type, field)
#define TAIL(type, field)      AFTER(type, field), sizeof(type) - AFTER(type, field)
#define FILL(array)            (memset((array), 'x', sizeof(array) - 1), (array)[sizeof(array) - 1] = '\0')
#define FLIP(s, object, type, ...)                                                                           \
    do {                                                                                                     \
        const size_t skip_[] = {__VA_ARGS__};                                                                \
        flip_all(s, object, sizeof(type), skip_, sizeof skip_ / sizeof skip_[0], #type);                     \
    } while (0)

static void the_digest_covers_every_field(void **unused)
{
    struct state *s = cluster();
    struct vm *vm = state_vm(s, "web1");
    struct volume *v = state_volume(s, "vol1");
    struct fence_device *f = state_fence(s, "ipmi2");
    struct op *o = state_add_op(s, 77, OP_LIVE);
    struct job *j = state_add_job(s, 78, JOB_MIGRATE);
    struct node *n = state_node(s, 2);
    struct rule *r = calloc(1, sizeof *r);

    (void)unused;
    s->level = FEATURE_LEVEL;
    r->kind = RULE_OWNERS;
    r->vm = calloc(1, sizeof(struct vm *));
    r->vm[r->vms++] = vm;
    assert_int_equal(state_add_rule(s, r), 0);
    vm->claims = CLAIMS_MAX;
    FILL(n->name), FILL(n->boot), FILL(n->error), FILL(n->address);
    FLIP(s, n, struct node, FIELD(struct node, id), END(struct node, name), GAP(struct node, mode, session),
         END(struct node, boot), END(struct node, error), GAP(struct node, error, op),
         END(struct node, address), TAIL(struct node, address));
    FILL(vm->name), FILL(vm->uuid), FILL(vm->saved.path), FILL(vm->error);
    FLIP(s, vm, struct vm, END(struct vm, name), END(struct vm, uuid), FIELD(struct vm, xml),
         GAP(struct vm, cpus, disks), FIELD(struct vm, disks), FIELD(struct vm, networks),
         FIELD(struct vm, disk), FIELD(struct vm, network), GAP(struct vm, networks, disk),
         GAP(struct vm, home, claim), GAP(struct vm, claim[0].node, claim[0].index),
         GAP(struct vm, claim[0].half, claim[0].brought), GAP(struct vm, claim[1].node, claim[1].index),
         GAP(struct vm, claim[1].half, claim[1].brought), GAP(struct vm, claim[2].node, claim[2].index),
         GAP(struct vm, claim[2].half, claim[2].brought), GAP(struct vm, claim[3].node, claim[3].index),
         GAP(struct vm, claim[3].half, claim[3].brought), FIELD(struct vm, claims),
         GAP(struct vm, claims, saved), END(struct vm, saved.path), GAP(struct vm, saved.path, op),
         GAP(struct vm, wait, tries), GAP(struct vm, restarts, restart_since_ms), END(struct vm, error),
         TAIL(struct vm, error));
    FILL(v->name), FILL(v->type), FILL(v->source), FILL(v->path), FILL(v->error);
    FLIP(s, v, struct volume, END(struct volume, name), END(struct volume, type), END(struct volume, source),
         END(struct volume, path), END(struct volume, error), offsetof(struct volume, proven),
         sizeof(node_set), GAP(struct volume, holding, refused), TAIL(struct volume, error));
    FILL(f->name), FILL(f->agent);
    FLIP(s, f, struct fence_device, END(struct fence_device, name), END(struct fence_device, agent),
         GAP(struct fence_device, level, param), FIELD(struct fence_device, param),
         FIELD(struct fence_device, params), TAIL(struct fence_device, params));
    FILL(o->subject), FILL(o->blocked), FILL(o->by), FILL(o->why), FILL(o->error);
    FLIP(s, o, struct op, END(struct op, subject), GAP(struct op, node, parent), GAP(struct op, phase, tried),
         END(struct op, blocked), GAP(struct op, cancel, started_ms), END(struct op, by), END(struct op, why),
         END(struct op, error));
    FILL(j->subject);
    FLIP(s, j, struct job, GAP(struct job, node, session), GAP(struct job, to, op),
         GAP(struct job, orphan, subject), END(struct job, subject), TAIL(struct job, subject));
    FILL(s->cluster), FILL(s->disarm.by);
    FLIP(s, s, struct state, END(struct state, cluster), GAP(struct state, level, term),
         GAP(struct state, startup, disarm), GAP(struct state, opt, node),
         GAP(struct state, disarm.ms, disarm.since_ms), END(struct state, disarm.by),
         FIELD(struct state, node), offsetof(struct state, vm),
         sizeof(struct state) - offsetof(struct state, vm));
    r->possible = 3;
    FLIP(s, r, struct rule, FIELD(struct rule, vm), FIELD(struct rule, vms), GAP(struct rule, kind, vm),
         GAP(struct rule, vms, possible));
    state_free(s);
}
/* A13: what announces less than the cluster has is no member of it. N4: no pause over a lost node. */
static void what_is_refused_by_level_and_pause(void **unused)
{
    struct state *s = cluster();
    struct node *n = state_node(s, 2);
    struct applied out;
    struct event e;

    (void)unused;
    s->level = FEATURE_LEVEL;
    event_init(&e, EV_NODE_UP);
    e.origin = e.node = 2;
    e.session = 4711;
    event_put(&e, "name", n->name);
    event_put(&e, "boot", n->boot);
    event_putf(&e, "feature_level", "%d", FEATURE_LEVEL - 1);
    core_apply(s, &e, s->term, 1000, &out);
    assert_int_equal(out.rc, RC_REFUSED);
    assert_int_not_equal(n->session, 4711);
    event_fini(&e);

    n->state = NODE_UNCLEAN;
    event_init(&e, EV_CMD_DISARM);
    e.origin = 1;
    e.session = state_node(s, 1)->session;
    e.seq = state_node(s, 1)->seq + 1;
    core_apply(s, &e, s->term, 1001, &out);
    assert_int_equal(out.rc, RC_REFUSED);
    assert_int_equal(s->disarm.index, 0);
    n->state = NODE_ONLINE;
    e.seq++;
    core_apply(s, &e, s->term, 1002, &out);
    assert_int_equal(out.rc, 0);
    assert_int_equal(s->disarm.index, 1002);
    state_free(s);
}

/* A13, S5: when the level rises, who has applied all entries and who was given a snapshot are the same. */
static void a_new_level_begins_alike_everywhere(void **unused)
{
    struct state *s = cluster(), *given;
    struct applied out;
    struct buf b = BUF_INIT;
    struct event e;

    (void)unused;
    s->level = 1;
    s->disarm.index = 5; /* nothing of level 1 says so */
    state_encode(s, &b);
    given = state_decode(b.data, b.len, NULL);
    buf_fini(&b);
    assert_non_null(given);
    event_init(&e, EV_LEVEL);
    e.num = 2;
    core_apply(s, &e, s->term, 1000, &out);
    assert_int_equal(out.rc, RC_REFUSED); /* a node knows less */
    core_apply(given, &e, s->term, 1000, &out);
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        s->node[id].feature_level = given->node[id].feature_level = 2;
    }
    core_apply(s, &e, s->term, 1001, &out);
    assert_int_equal(out.rc, 0);
    core_apply(given, &e, s->term, 1001, &out);
    assert_int_equal(s->level, 2);
    assert_true(hash_eq(state_digest(s), state_digest(given)));
    core_apply(s, &e, s->term, 1002, &out);
    assert_int_equal(out.rc, RC_REFUSED);
    state_free(given);
    state_free(s);
}

static void snapshots_survive_and_garbage_is_refused(void **unused)
{
    struct state *s = cluster(), *back;
    struct buf b = BUF_INIT;

    (void)unused;
    state_encode(s, &b);
    back = state_decode(b.data, b.len, NULL);
    assert_non_null(back);
    assert_true(hash_eq(state_digest(s), state_digest(back)));
    state_free(back);
    for (size_t len = 0; len < b.len; len += 7) {
        assert_null(state_decode(b.data, len, NULL));
    }
    buf_fini(&b);
    state_free(s);
}

static void options_say_what_they_take(void **unused)
{
    struct options o;
    struct err err;
    char text[32];
    unsigned n;
    const struct option_row *rows = option_rows(&n);

    (void)unused;
    options_init(&o);
    assert_int_equal(o.no_quorum_timeout_ms, 30000);
    assert_int_equal(options_set(&o, FEATURE_LEVEL, "quick_priority", "high", &err), 0);
    assert_int_equal(options_set(&o, FEATURE_LEVEL, "quick_priority", "higher", &err), RC_USAGE);
    assert_non_null(strstr(err.msg, "none|low|medium|high"));
    assert_int_equal(options_set(&o, FEATURE_LEVEL, "nonsense", "1", &err), RC_USAGE);
    assert_non_null(strstr(err.hint, "clusterctl option list"));
    assert_int_equal(options_set(&o, FEATURE_LEVEL, "migrations_per_node", "-1", &err), RC_USAGE);
    assert_int_equal(options_set(&o, FEATURE_LEVEL, "migrations_per_node", "99999999999", &err), RC_USAGE);
    for (unsigned i = 0; i < n; i++) { /* each default is a value that it takes itself */
        option_text(&rows[i], &o, text, sizeof text);
        assert_int_equal(options_set(&o, FEATURE_LEVEL, rows[i].key, text, &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_launch_is_refused_while_a_claim_is_elsewhere),
        cmocka_unit_test(a_lock_conflict_is_not_the_vms_failure),
        cmocka_unit_test(a_saved_state_has_one_life),
        cmocka_unit_test(a_stale_inventory_frees_nothing),
        cmocka_unit_test(only_the_fence_of_this_loss_counts),
        cmocka_unit_test(a_new_boot_proves_that_the_old_vms_are_gone),
        cmocka_unit_test(requests_count_once_and_in_order),
        cmocka_unit_test(events_survive_their_encoding),
        cmocka_unit_test(bounds_of_events_are_kept),
        cmocka_unit_test(the_digest_covers_every_field),
        cmocka_unit_test(what_is_refused_by_level_and_pause),
        cmocka_unit_test(a_new_level_begins_alike_everywhere),
        cmocka_unit_test(snapshots_survive_and_garbage_is_refused),
        cmocka_unit_test(options_say_what_they_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
