/* The shell at its seams: what it parses, runs, answers and proposes. How it lives with faults is the
 * simulator's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/state_edit.h"
#include "tests/unit/shell_kit.h"

#define UUID    "00000000-0000-4000-8000-000000000001"
#define RUNS    "libvirt: ok\nvm " UUID " running web pid=12 lock=free\nend 1\n"
#define NOTHING "libvirt: ok\nend 0\n"

/* ----------------------------------------------------------------------------------------------- inventory
 */

static void inventory_states(void **state)
{
    static const struct {
        const char *word, *lock;
        enum obs_state obs;
    } rows[] = {{"running", "free", OBS_RUNNING},   {"paused", "free", OBS_PAUSED},
                {"incoming", "free", OBS_INCOMING}, {"absent", "free", OBS_ABSENT},
                {"unknown", "free", OBS_UNKNOWN},   {"starting", "free", OBS_UNKNOWN},
                {"stopping", "free", OBS_UNKNOWN},  {"saving", "free", OBS_UNKNOWN},
                {"crashed", "free", OBS_PAUSED},    {"running", "held", OBS_UNKNOWN},
                {"absent", "held", OBS_UNKNOWN}};
    char text[256];
    struct inventory inv;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "libvirt: ok\nvm " UUID " %s a%%20b pid=-1 lock=%s\nend 1\n",
                 rows[i].word, rows[i].lock);
        assert_int_equal(shell_inventory_parse(text, &inv, NULL), 0);
        assert_true(inv.reachable);
        assert_int_equal(shell_inventory_obs(&inv, UUID), rows[i].obs);
        assert_int_equal(shell_inventory_obs(&inv, "00000000-0000-4000-8000-000000000002"), OBS_ABSENT);
        shell_inventory_fini(&inv);
    }
}

static void inventory_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "end 0\n",
        "libvirt: ok\n",
        "libvirt: ok\nend 0",
        "libvirt: ok\nend 1\n",
        "libvirt: ok\nend 0\nend 0\n",
        "libvirt: maybe\nend 0\n",
        "libvirt: ok\nvm " UUID " running web pid=12 lock=free\n",
        "libvirt: ok\nvm " UUID " runs web pid=12 lock=free\nend 1\n",
        "libvirt: ok\nvm " UUID " running web pid=x lock=free\nend 1\n",
        "libvirt: ok\nvm " UUID " running web pid=12 lock=open\nend 1\n",
        "libvirt: ok\nvm " UUID " running web pid=12 lock=free more\nend 1\n",
        "libvirt: ok\nvm " UUID " running pid=12 lock=free\nend 1\n",
        "libvirt: ok\nvm 0000000-00000-4000-8000-000000000001 running web pid=12 lock=free\nend 1\n",
        "libvirt: ok\nvm " UUID " running web pid=12 lock=free\nvm " UUID
        " absent web pid=0 lock=free\nend 2\n",
        "libvirt: ok\nnoise\nend 0\n",
    };
    struct inventory inv;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(shell_inventory_parse(bad[i], &inv, NULL), RC_BAD_INPUT);
        assert_null(inv.vm);
    }
    assert_int_equal(shell_inventory_parse("libvirt: unreachable\nend 0\n", &inv, NULL), 0);
    assert_false(inv.reachable);
}

/* ------------------------------------------------------------------------------------------------ commands
 */

static void without_quorum_a_command_is_refused_with_the_reason(void **state)
{
    struct kit k;

    (void)state;
    kit_start(&k);
    assert_int_equal(kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "no_quorum", "stop", NULL), RC_NO_QUORUM);
    assert_non_null(strstr(k.answer_err.msg, "no quorum: "));
    kit_close(&k);
    kit_open(&k);
    shell_view(k.sh, 1, 1, false, 2);
    assert_int_equal(kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "no_quorum", "stop", NULL), RC_NO_QUORUM);
    kit_close(&k);
}

static void a_command_is_answered_by_its_own_entry(void **state)
{
    static char text[EVENT_TEXT_MAX];
    struct kit k;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    kit_open(&k);
    assert_int_equal(kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "starts_per_node", "9", NULL), 0);
    assert_int_equal(shell_state(k.sh)->opt.starts_per_node, 9);
    assert_int_equal(kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "nonsense", "9", NULL), RC_USAGE);
    assert_non_null(strstr(k.answer_err.msg, "nonsense"));
    assert_int_equal(kit_command(&k, EV_CMD_VM_START, "web", NULL, NULL), RC_NOT_FOUND);
    /* Not a command: facts are not for operators to state. */
    assert_int_equal(kit_command(&k, EV_NODE_LEFT, "", NULL, NULL), RC_USAGE);
    assert_int_equal(kit_command(&k, EV_CMD_VM_ADD, "web", text, "a", text + sizeof text - 4000, "b",
                                 text + sizeof text - 4000, "c", text + sizeof text - 4000, "d",
                                 text + sizeof text - 4000, NULL),
                     RC_BAD_INPUT);
    assert_non_null(strstr(k.answer_err.msg, "too long"));
    kit_close(&k);
}

/* ---------------------------------------------------------------------------------------------------- jobs
 */

static void add_vm(struct kit *k)
{
    kit_open(k);
    assert_int_equal(kit_command(k, EV_CMD_VOLUME_ADD, "v", NULL, "type", "directory", "source", "/s", NULL),
                     0);
    assert_string_equal(event_get(&kit_find(k, "start")->param, "source"), "/s");
    kit_end(k, kit_find(k, "start"), 0, "size_bytes: 10\nfree_bytes: 5\nsomething: else\n");
    assert_int_equal(state_volume(shell_state(k->sh), "v")->free_bytes, 5);
    assert_int_equal(kit_command(k, EV_CMD_VM_ADD, "web", "<domain/>", "uuid", UUID, "memory_mib", "64",
                                 "disk", "/var/lib/clusterd/volumes/v/d.img", "start", "1", NULL),
                     0);
    assert_int_not_equal(k->answer_op, 0);
    kit_end(k, kit_find(k, "inventory"), 0, NOTHING); /* C1: does it run here already? */
}

static enum obs_state claimed(const struct kit *k)
{
    const struct vm *vm = state_vm(shell_state(k->sh), "web");
    const struct claim *c = vm_claim(vm, 1);

    return c != NULL ? c->obs : OBS_ABSENT;
}

static void a_job_runs_once_and_its_state_line_counts(void **state)
{
    struct kit k;
    struct kit_run *r;

    (void)state;
    add_vm(&k);
    r = kit_find(&k, "start");
    assert_string_equal(r->agent, "VirtualMachine");
    assert_string_equal(event_get(&r->param, "uuid"), UUID);
    assert_string_equal(event_get(&r->param, "hypervisor"), "test:///");
    assert_string_equal(event_get(&r->param, "lock_dir"), "/l");
    assert_int_equal(event_get_u64(&r->param, "CRM_meta_timeout", 0), r->timeout_ms);
    kit_pass(&k, 1000);
    kit_end(&k, r, 0, "noise\nstate: absent\nstate: running\n");
    assert_int_equal(claimed(&k), OBS_RUNNING);
    kit_pass(&k, 2000);
    assert_null(kit_find(&k, "start"));
    kit_close(&k);
}

/* C3: what an agent that failed has left behind is seen by the inventory, which looks at its lock too. */
static void after_a_failure_the_inventory_decides(void **state)
{
    struct kit k;

    (void)state;
    add_vm(&k);
    kit_end(&k, kit_find(&k, "start"), 1, "state: absent\n");
    assert_int_equal(claimed(&k), OBS_UNKNOWN);
    kit_end(&k, kit_find(&k, "inventory"), 0, "libvirt: ok\nvm " UUID " absent web pid=0 lock=held\nend 1\n");
    assert_int_equal(claimed(&k), OBS_UNKNOWN);
    kit_pass(&k, 3000); /* the probe that follows */
    kit_end(&k, kit_find(&k, "inventory"), 0, RUNS);
    kit_end(&k, kit_find(&k, "inventory"), 0, RUNS);
    assert_int_equal(claimed(&k), OBS_RUNNING);
    kit_close(&k);
}

/* C7: the core hears of the lock, so it is not the VM's failure. */
static void a_lock_conflict_is_told(void **state)
{
    const struct vm *vm;
    struct kit k;

    (void)state;
    add_vm(&k);
    kit_end(&k, kit_find(&k, "start"), 1, "conflict: image-lock /d.img\n");
    kit_end(&k, kit_find(&k, "inventory"), 0, NOTHING);
    vm = state_vm(shell_state(k.sh), "web");
    assert_int_equal(vm->conflicts, 1);
    assert_int_equal(vm->tries, 0);
    kit_close(&k);
}

static void garbage_from_an_agent_is_no_state(void **state)
{
    struct kit k;

    (void)state;
    add_vm(&k);
    kit_end(&k, kit_find(&k, "start"), 0, "state: runnin\nstate:running\n state: running\n");
    assert_int_equal(claimed(&k), OBS_UNKNOWN);
    kit_end(&k, kit_find(&k, "inventory"), 0, "state: running\n");
    assert_int_equal(claimed(&k), OBS_UNKNOWN);
    kit_close(&k);
}

/* C3: an inventory that was taken while a job was at work proves nothing of that VM. */
static void an_inventory_during_a_job_frees_nothing(void **state)
{
    struct kit k;

    (void)state;
    add_vm(&k);
    shell_look(k.sh);
    kit_pass(&k, 1200);
    kit_end(&k, kit_find(&k, "inventory"), 0, NOTHING);
    assert_int_equal(vm_claim_set(state_vm(shell_state(k.sh), "web")), 1);
    shell_look(k.sh);
    kit_pass(&k, 1200); /* begun before its end … */
    kit_end(&k, kit_find(&k, "start"), 0, "state: running\n");
    kit_end(&k, kit_find(&k, "inventory"), 0, NOTHING); /* … and answered after it */
    assert_int_equal(claimed(&k), OBS_RUNNING);
    kit_close(&k);
}

/* ------------------------------------------------------------------------------------- quorum, and the end
 */

static void without_quorum_its_vms_end_in_time(void **state)
{
    struct kit k;
    struct kit_run *r;

    (void)state;
    add_vm(&k);
    kit_end(&k, kit_find(&k, "start"), 0, "state: running\n");
    assert_int_equal(kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "no_quorum_timeout_ms", "10000", NULL), 0);
    shell_view(k.sh, 1, 1, false, 2);
    for (unsigned i = 0; i < 48 && kit_find(&k, "inventory") != NULL; i++) {
        kit_end(&k, kit_find(&k, "inventory"), 0, RUNS);
    }
    kit_pass(&k, 4700);
    assert_null(kit_find(&k, "stop"));
    kit_pass(&k, 500); /* at one half */
    kit_end(&k, kit_find(&k, "inventory"), 0, RUNS);
    r = kit_find(&k, "stop");
    assert_null(event_get(&r->param, "force"));
    assert_in_range(r->timeout_ms, 1000, 3500);
    kit_pass(&k, 3700); /* at 0.85 nobody is waited for */
    assert_true(r->cancelled);
    r->over = true;
    assert_string_equal(event_get(&kit_find(&k, "stop")->param, "force"), "1");
    kit_close(&k);
}

/* S2: the journal is gone, and with it the state; what runs here still ends, within the time that was last
 * agreed. */
static void without_a_journal_its_vms_end_as_well(void **state)
{
    struct kit k;
    struct state *empty;

    (void)state;
    add_vm(&k);
    kit_end(&k, kit_find(&k, "start"), 0, "state: running\n");
    assert_int_equal(kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "no_quorum_timeout_ms", "10000", NULL), 0);
    k.fsync_fails = true;
    (void)kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "starts_per_node", "9", NULL);
    assert_int_equal(k.set_asides, 1);
    empty = state_new("c"); /* as when it is taken in again by a coordinator that it then loses */
    assert_non_null(empty);
    quorum_keep(k.sh, k.sh->st, empty);
    k.sh->st = empty;
    for (unsigned i = 0; i < 48 && kit_find(&k, "inventory") != NULL; i++) {
        kit_end(&k, kit_find(&k, "inventory"), 0, RUNS);
    }
    kit_pass(&k, 4600);
    assert_null(kit_find(&k, "stop"));
    kit_pass(&k, 600);
    kit_end(&k, kit_find(&k, "inventory"), 0, RUNS);
    assert_non_null(kit_find(&k, "stop"));
    kit_close(&k);
}

static void leaving_says_so_only_when_nothing_runs_here(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    shell_leave(k.sh);
    kit_pass(&k, 500);
    assert_true(shell_may_exit(k.sh));
    assert_int_equal(state_node(shell_state(k.sh), 1)->state, NODE_OFFLINE);
    kit_close(&k);
    add_vm(&k);
    shell_leave(k.sh);
    kit_pass(&k, 500);
    assert_false(shell_may_exit(k.sh)); /* an agent is at work */
    kit_end(&k, kit_find(&k, "start"), 0, "state: running\n");
    kit_pass(&k, 500);
    assert_true(shell_may_exit(k.sh));
    assert_int_equal(state_node(shell_state(k.sh), 1)->state, NODE_ONLINE);
    kit_close(&k);
}

/* N2: while a job for it is in flight the cluster does not believe it, and the host would be fenced. */
static void leaving_is_said_until_it_is_heard(void **state)
{
    struct job *j;
    struct kit k;

    (void)state;
    kit_open(&k);
    j = state_add_job(k.sh->st, 9999, JOB_VOLUME_START);
    assert_non_null(j);
    j->node = 1;
    j->session = 1; /* another daemon's: it is not begun here */
    shell_leave(k.sh);
    kit_pass(&k, 500);
    assert_false(shell_may_exit(k.sh));
    assert_int_equal(state_node(shell_state(k.sh), 1)->state, NODE_ONLINE);
    state_remove_job(k.sh->st, state_job(k.sh->st, 9999));
    kit_pass(&k, 500);
    assert_true(shell_may_exit(k.sh));
    assert_int_equal(state_node(shell_state(k.sh), 1)->state, NODE_OFFLINE);
    kit_close(&k);
}

static void a_failed_fsync_sets_the_store_aside(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    k.fsync_fails = true;
    (void)kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "starts_per_node", "9", NULL);
    assert_int_equal(k.set_asides, 1);
    assert_int_equal(k.answer_rc, 1); /* not acknowledged */
    kit_pass(&k, 12000);
    assert_int_equal(k.answer_rc, RC_TIMED_OUT);
    kit_close(&k);
}

/* A write that is told as failed may have stored the snapshot with which a node begins anew: it is read
 * again, and the state is that one, although the one before had applied more (the simulator's seed 703650).
 */
static void a_snapshot_stored_by_a_failed_write_is_taken(void **state)
{
    struct journal_load stored = {.incarnation = 21,
                                  .cluster = {.lo = 12},
                                  .promise = {.term = 1},
                                  .commit = 2,
                                  .mark = {.incarnation = 21, .cluster = {.lo = 12}, .term = 1, .index = 2},
                                  .fresh = {.incarnation = 13, .cluster = {.lo = 14}}};
    struct buf blob = BUF_INIT;
    struct state *other;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_true(k.sh->applied > 2);
    other = state_new("c");
    assert_non_null(other);
    other->opt.starts_per_node = 17;
    state_encode(other, &blob);
    state_free(other);
    stored.snapshot = (struct journal_snapshot){
        .index = 2, .term = 1, .size = blob.len, .members = *journal_members(k.sh->j)};
    stored.snapshot.members.v[0].incarnation = stored.incarnation;
    stored.prev.index = 2;
    stored.prev.term = 1;
    stored.blob = blob.data; /* the shell releases it */
    k.fsync_fails = true;
    (void)kit_command(&k, EV_CMD_OPTION_SET, "", NULL, "starts_per_node", "9", NULL);
    assert_int_equal(k.set_asides, 1);
    assert_true(k.sh->rebuild);
    k.reload = &stored;
    k.sh->reload_ms = k.now; /* as JOURNAL_RELOAD asks for it */
    kit_pass(&k, 100);
    assert_false(k.sh->failed);
    assert_false(k.sh->rebuild);
    assert_int_equal(k.sh->applied, 2);
    assert_int_equal(k.sh->st->opt.starts_per_node, 17);
    kit_close(&k);
}

/* ------------------------------------------------------------------------------------------- feature level
 */

/* A13: the level rises by itself; commands of a later one are refused before anything is proposed. */
static void the_level_rises_with_the_builds(void **state)
{
    struct kit k;
    uint64_t index;

    (void)state;
    kit_open(&k);
    assert_int_equal(shell_state(k.sh)->level, FEATURE_LEVEL);
    assert_int_equal(kit_command(&k, EV_CMD_DISARM, "", NULL, NULL), 0);
    kit_close(&k);
    assert_int_equal(kit_start_as(&k, 1, NULL, NULL), 0);
    kit_settle(&k);
    index = shell_state(k.sh)->index;
    assert_int_equal(shell_state(k.sh)->level, 1);
    assert_int_equal(kit_command(&k, EV_CMD_DISARM, "", NULL, NULL), RC_REFUSED);
    assert_non_null(strstr(k.answer_err.msg, "needs feature level 2"));
    assert_int_equal(shell_state(k.sh)->index, index); /* no older node has to read it */
    kit_close(&k);
}

/* A13: a build that knows less than the cluster has stops, says so, and touches nothing. */
static void an_older_build_stops_at_a_newer_entry(void **state)
{
    struct event e;
    struct kit k;
    uint64_t index;

    (void)state;
    assert_int_equal(kit_start_as(&k, 1, NULL, NULL), 0);
    kit_settle(&k);
    event_init(&e, EV_LEVEL);
    e.origin = 1;
    e.num = 2;
    assert_int_equal(journal_propose(k.sh, &e, &index), 0);
    kit_pass(&k, 100);
    assert_true(shell_may_exit(k.sh));
    assert_true(shell_outdated(k.sh));
    assert_int_equal(shell_state(k.sh)->level, 1);
    assert_int_equal(shell_state(k.sh)->index, index - 1);
    assert_int_equal(k.set_asides, 0);
    kit_close(&k);
}

/* What a node has stored that belongs to a cluster of n: a snapshot of a state of this level after entry 1.
 */
static struct journal_load stored(unsigned n, unsigned level)
{
    struct journal_load l = {.cluster = {12, 0}, .incarnation = 11, .promise = {.term = 1}};
    struct state *st = state_new("c");
    struct buf b = BUF_INIT;

    st->level = level;
    st->index = st->term = 1;
    state_encode(st, &b);
    state_free(st);
    l.snapshot = (struct journal_snapshot){.index = 1, .term = 1, .size = b.len, .members = {.n = n}};
    for (unsigned i = 0; i < n; i++) {
        l.snapshot.members.v[i] = (struct journal_member){i + 1, 11 + i, 1, JOURNAL_NODE};
    }
    l.prev.index = l.prev.term = 1;
    l.mark = (struct journal_mark){.incarnation = 11, .cluster = l.cluster, .term = 1, .index = 1};
    l.fresh.incarnation = l.fresh.cluster.lo = 99;
    l.blob = b.data; /* owned by it */
    return l;
}

/* The same at its start: what is stored is a snapshot of a later level, or has an entry of a newer format. */
static void an_older_build_does_not_start_on_a_newer_store(void **state)
{
    (void)state;
    for (int newer_entry = 0; newer_entry < 2; newer_entry++) {
        struct journal_load l = stored(1, FEATURE_LEVEL);
        struct err err = ERR_INIT;
        struct kit k;

        if (newer_entry) {
            l.entries = calloc(1, sizeof *l.entries);
            l.entries[0] = (struct journal_entry){.term = 1, .index = 2, .format = JOURNAL_FORMAT + 1};
            l.n_entries = 1;
        }
        assert_int_equal(kit_start_as(&k, newer_entry ? 0 : 1, &l, &err), RC_REFUSED);
        assert_non_null(strstr(err.hint, "newer version"));
        assert_int_equal(k.set_asides, 0);
    }
}

/* --------------------------------------------------------------------------------------------- digests (A14)
 */

/* Node `from` says that its state after entry 1 is ours, or another one. */
static void tell_digest(struct kit *k, uint32_t from, bool other)
{
    struct hash digest = state_digest(shell_state(k->sh));
    struct buf b = BUF_INIT;

    buf_u8(&b, SHELL_DIGEST);
    buf_u8(&b, SHELL_MESSAGE_FORMAT);
    buf_u64(&b, 1);
    buf_u64(&b, 1);
    buf_u64(&b, digest.lo + other);
    buf_u64(&b, digest.hi);
    shell_message(k->sh, from, b.data, b.len);
    buf_fini(&b);
}

static void digests_begin(struct kit *k, unsigned n)
{
    struct journal_load l = stored(n, FEATURE_LEVEL);
    struct event up;

    assert_int_equal(kit_start_as(k, 0, &l, NULL), 0);
    shell_view(k->sh, (UINT64_C(1) << n) - 1, (UINT64_C(1) << n) - 1, true, 2);
    event_init(&up, EV_NODE_UP); /* one of the entries at which all say what they hold */
    digest_applied(k->sh, &up);
}

static void the_odd_one_of_three_begins_anew(void **state)
{
    struct kit k;

    (void)state;
    digests_begin(&k, 3);
    tell_digest(&k, 2, false);
    tell_digest(&k, 3, true); /* the third is odd: we go on, and say so */
    assert_int_equal(k.set_asides, 0);
    assert_non_null(strstr(shell_alarm(k.sh), "node 3"));
    kit_close(&k);
    digests_begin(&k, 3);
    tell_digest(&k, 2, true);
    assert_int_equal(k.set_asides, 0); /* one against one: the third will tell */
    assert_false(k.sh->digest.disputed);
    tell_digest(&k, 3, true);
    assert_int_equal(k.set_asides, 1);        /* we are */
    assert_int_equal(k.sh->reload_ms, NEVER); /* nothing reaches the journal whose store is gone */
    assert_non_null(strstr(shell_alarm(k.sh), "majority"));
    assert_false(shell_may_exit(k.sh));
    kit_close(&k);
}

static void without_a_majority_nothing_is_decided(void **state)
{
    struct kit k;

    (void)state;
    digests_begin(&k, 2);
    tell_digest(&k, 2, true);
    assert_int_equal(k.set_asides, 0);
    assert_true(k.sh->digest.disputed);
    assert_non_null(strstr(shell_alarm(k.sh), "nothing is decided"));
    tell_digest(&k, 2, true);
    assert_true(k.sh->digest.disputed);
    kit_close(&k);
}

/* ------------------------------------------------------------------------------------------ observers (A15)
 */

static void say_as(struct kit *k, uint32_t from, enum event_kind kind, uint64_t seq)
{
    struct event e;
    struct buf one = BUF_INIT, b = BUF_INIT;

    event_init(&e, kind);
    e.origin = e.node = from;
    e.session = 70 + from;
    e.seq = seq;
    e.flags = EVF_COMPLETE;
    e.num = shell_state(k->sh)->term;
    e.index = shell_state(k->sh)->index;
    if (kind == EV_NODE_UP) {
        event_putf(&e, "name", "node%u", from);
        event_put(&e, "boot", "b2");
        event_putf(&e, "feature_level", "%d", FEATURE_LEVEL);
    }
    event_encode(&e, &one);
    buf_u8(&b, SHELL_PROPOSE);
    buf_u8(&b, SHELL_MESSAGE_FORMAT);
    buf_u32(&b, 1);
    buf_blob(&b, one.data, one.len);
    shell_message(k->sh, from, b.data, b.len);
    kit_pass(k, 50);
    event_fini(&e);
    buf_fini(&one);
    buf_fini(&b);
}

static void member_add(struct kit *k, uint32_t node)
{
    struct journal_event ev = {.type = JOURNAL_EV_MEMBER_ADD, .member = {node}};

    assert_int_equal(journal_feed(k->sh, &ev, NULL), 0);
    kit_pass(k, 50);
}

/* A9: whoever was removed may still talk. */
static void only_members_are_listened_to(void **state)
{
    struct kit k;

    (void)state;
    kit_open(&k);
    shell_view(k.sh, 3, 3, true, 2);
    say_as(&k, 2, EV_NODE_UP, 1);
    assert_null(state_node(shell_state(k.sh), 2));
    member_add(&k, 2);
    say_as(&k, 2, EV_NODE_UP, 1);
    assert_non_null(state_node(shell_state(k.sh), 2));
    kit_close(&k);
}

static void a_daemon_that_only_observes_is_not_fenced(void **state)
{
    const struct node *n;
    uint8_t text[8];
    size_t len = shell_observe_message(text);
    struct kit k;

    (void)state;
    kit_open(&k);
    shell_view(k.sh, 3, 3, true, 2);
    member_add(&k, 2);
    say_as(&k, 2, EV_NODE_UP, 1);
    say_as(&k, 2, EV_INVENTORY, 2);
    n = state_node(shell_state(k.sh), 2);
    assert_int_equal(n->state, NODE_ONLINE);
    /* It crashed and is back in the group, observing: nobody waits for it, nobody takes its host for lost. */
    for (unsigned s = 0; s < 2 * shell_state(k.sh)->opt.restart_grace_ms / 1000; s++) {
        shell_message(k.sh, 2, text, len);
        kit_pass(&k, 1000);
        assert_int_equal(n->state, NODE_GRACE);
    }
    /* It takes part again. */
    say_as(&k, 2, EV_NODE_UP, 3);
    say_as(&k, 2, EV_INVENTORY, 4);
    kit_pass(&k, 500);
    assert_int_equal(n->state, NODE_ONLINE);
    /* The same again, and now it falls silent while it observes: N2. */
    shell_message(k.sh, 2, text, len);
    kit_pass(&k, 500);
    assert_int_equal(n->state, NODE_GRACE);
    shell_view(k.sh, 1, 3, true, 3);
    kit_pass(&k, shell_state(k.sh)->opt.restart_grace_ms + 2000);
    assert_int_equal(n->state, NODE_UNCLEAN);
    kit_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inventory_states),
        cmocka_unit_test(inventory_refuses),
        cmocka_unit_test(without_quorum_a_command_is_refused_with_the_reason),
        cmocka_unit_test(a_command_is_answered_by_its_own_entry),
        cmocka_unit_test(a_job_runs_once_and_its_state_line_counts),
        cmocka_unit_test(after_a_failure_the_inventory_decides),
        cmocka_unit_test(a_lock_conflict_is_told),
        cmocka_unit_test(garbage_from_an_agent_is_no_state),
        cmocka_unit_test(an_inventory_during_a_job_frees_nothing),
        cmocka_unit_test(without_quorum_its_vms_end_in_time),
        cmocka_unit_test(without_a_journal_its_vms_end_as_well),
        cmocka_unit_test(leaving_says_so_only_when_nothing_runs_here),
        cmocka_unit_test(leaving_is_said_until_it_is_heard),
        cmocka_unit_test(a_failed_fsync_sets_the_store_aside),
        cmocka_unit_test(a_snapshot_stored_by_a_failed_write_is_taken),
        cmocka_unit_test(the_level_rises_with_the_builds),
        cmocka_unit_test(an_older_build_stops_at_a_newer_entry),
        cmocka_unit_test(an_older_build_does_not_start_on_a_newer_store),
        cmocka_unit_test(the_odd_one_of_three_begins_anew),
        cmocka_unit_test(without_a_majority_nothing_is_decided),
        cmocka_unit_test(only_members_are_listened_to),
        cmocka_unit_test(a_daemon_that_only_observes_is_not_fenced),
    };

    return cmocka_run_group_tests_name("shell", tests, NULL, NULL);
}
