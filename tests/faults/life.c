#include "tests/faults/life.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/rc.h"
#include "tests/faults/fault.h"
#include "tests/faults/world.h"

#define LIFE_MS   900000 /* of the world's time: bounds of L1, L2 and of a node's return, many times over */
#define STICKY_MS 20000
#define CREATE_MS 5000
#define OFF_MS    3000
#define CUT_MS    60000
#define SETTINGS  12

#define DOMAIN(name, nr)                                                                                     \
    "<domain type='kvm'><name>" name "</name><uuid>00000000-0000-4000-8000-00000000000" nr "</uuid>"         \
    "<memory unit='MiB'>512</memory><vcpu>1</vcpu><devices><disk type='file' device='disk'>"                 \
    "<driver name='qemu' type='raw' cache='none'/>"                                                          \
    "<source file='/var/lib/clusterd/volumes/vol1/" name ".img'/><target dev='vda' bus='virtio'/></disk>"    \
    "</devices></domain>"

static uint32_t target; /* of a move, or the host whose power is cut */
static unsigned settings, acknowledged;
static uint64_t clear_ms; /* what is sticky ends then */

/* ---- the script: what is asked for until it is so ---- */

static bool idle(const struct state *s)
{
    for (unsigned i = 0; i < s->ops; i++) {
        if (s->op[i].ended_ms == 0) {
            return false;
        }
    }
    return s->jobs == 0;
}

static bool all_online(const struct state *s)
{
    for (uint32_t id = 1; id <= HOSTS; id++) {
        const struct node *n = state_node(s, id);

        if (n == NULL || n->state != NODE_ONLINE || hosts[id].sh == NULL || n->session != hosts[id].session) {
            return false;
        }
    }
    return true;
}

static bool runs(const struct state *s, const char *name)
{
    const struct vm *vm = state_vm(s, name);
    const struct claim *c = vm != NULL && vm->claims == 1 ? &vm->claim[0] : NULL;

    return c != NULL && c->obs == OBS_RUNNING && vm->op == 0 && world_guest(name) == c->node;
}

static uint32_t where(const struct state *s, const char *name)
{
    const struct vm *vm = state_vm(s, name);

    return vm != NULL && vm->claims == 1 ? vm->claim[0].node : 0;
}

static bool volume_there(const struct state *s)
{
    const struct volume *v = state_volume(s, "vol1");

    return v != NULL && v->online == (NODE_BIT(1) | NODE_BIT(2) | NODE_BIT(3));
}

static bool fence1_there(const struct state *s)
{
    return state_fence(s, "bmc1") != NULL;
}
static bool fence2_there(const struct state *s)
{
    return state_fence(s, "bmc2") != NULL;
}
static bool fence3_there(const struct state *s)
{
    return state_fence(s, "bmc3") != NULL;
}
static bool web_runs(const struct state *s)
{
    return runs(s, "web1");
}
static bool db_runs(const struct state *s)
{
    return runs(s, "db1");
}
static bool web_moved(const struct state *s)
{
    return runs(s, "web1") && where(s, "web1") == target;
}
static bool db_moved(const struct state *s)
{
    return runs(s, "db1") && where(s, "db1") == target;
}
static bool all_set(const struct state *s)
{
    if (s->opt.history_max_days < 100 + acknowledged && acknowledged > 0) {
        world_blame("history_max_days %u was acknowledged, and is %u", 100 + acknowledged,
                    s->opt.history_max_days);
    }
    return s->opt.history_max_days == 100 + SETTINGS;
}
static bool asked(const struct state *s)
{
    (void)s;
    return world_answer == 0;
}
static bool survived(const struct state *s)
{
    return target != 0 && runs(s, "web1") && runs(s, "db1") && idle(s);
}
static bool back(const struct state *s)
{
    return all_online(s) && volume_there(s) && idle(s);
}
static bool restarted(const struct state *s)
{
    return target != 0 && back(s);
}
/* Each node's journal counts again: what comes next may take one away. */
static bool whole(const struct state *s)
{
    return back(s) && world_votes() == HOSTS;
}
static bool web_stopped(const struct state *s)
{
    return state_vm(s, "web1") == NULL || (where(s, "web1") == 0 && idle(s));
}
static bool web_gone(const struct state *s)
{
    return state_vm(s, "web1") == NULL;
}

static const char *move(const char *vm, const char *mode)
{
    static char text[200];
    const struct state *s = world_state();

    if (target == 0 && s != NULL) {
        target = where(s, vm) % HOSTS + 1;
    }
    (void)snprintf(text, sizeof text,
                   "{\"v\":1,\"command\":\"vm migrate\",\"args\":{\"vm\":\"%s\",\"to\":\"node%u\","
                   "\"mode\":\"%s\"}}",
                   vm, target, mode);
    return text;
}

static const char *move_live(void)
{
    return move("web1", "live");
}
static const char *move_quick(void)
{
    return move("db1", "quick");
}

static const char *set_option(void)
{
    static char text[200];
    const struct state *s = world_state();

    settings = s != NULL && s->opt.history_max_days > 100 ? s->opt.history_max_days - 100 : 0;
    settings++;
    (void)snprintf(text, sizeof text,
                   "{\"v\":1,\"command\":\"option set\",\"args\":{\"set\":{\"history_max_days\":\"%u\"}}}",
                   100 + settings);
    return text;
}

static const char *cut_power(void)
{
    const struct state *s = world_state();

    if (target == 0 && s != NULL && (target = where(s, "web1")) != 0) {
        host_power(&hosts[target], false);
    }
    return NULL;
}

static const char *restart_all(void)
{
    if (target == 0) {
        target = 1;
        for (int i = 1; i <= HOSTS; i++) {
            host_kill(&hosts[i], 300);
        }
    }
    return NULL;
}

#define ASK(command, args) "{\"v\":1,\"command\":\"" command "\",\"args\":{" args "}}"
#define FENCE(n)                                                                                             \
    ASK("fence add", "\"fence\":\"bmc" n "\",\"agent\":\"fence_test\",\"nodes\":[\"node" n                   \
                     "\"],\"set\":{\"host\":\"node" n "\"}")
#define ADD(name, nr) ASK("vm add", "\"xml\":\"" DOMAIN(name, nr) "\",\"start\":true")

static const struct step {
    enum life_part part;
    const char *name;
    const char *ask;           /* a request; or */
    const char *(*make)(void); /* makes it; NULL: nothing is asked */
    bool (*done)(const struct state *s);
} script[] = {
    {LIFE_BEGUN, "three nodes", NULL, NULL, all_online},
    {LIFE_BEGUN, "volume",
     ASK("volume add", "\"volume\":\"vol1\",\"type\":\"directory\",\"source\":\"/srv/vol1\""), NULL,
     volume_there},
    {LIFE_BEGUN, "fence 1", FENCE("1"), NULL, fence1_there},
    {LIFE_BEGUN, "fence 2", FENCE("2"), NULL, fence2_there},
    {LIFE_BEGUN, "fence 3", FENCE("3"), NULL, fence3_there},
    {LIFE_BEGUN, "web1 added", ADD("web1", "1"), NULL, web_runs},
    {LIFE_BEGUN, "db1 added", ADD("db1", "2"), NULL, db_runs},
    {LIFE_BEGUN, "live migration", NULL, move_live, web_moved},
    {LIFE_BEGUN, "quick migration", NULL, move_quick, db_moved},
    {LIFE_YOUNG, "settings", NULL, set_option, all_set},
    {LIFE_YOUNG, "status", ASK("status", ""), NULL, asked},
    {LIFE_YOUNG, "vm show", ASK("vm show", "\"vm\":\"web1\",\"xml\":true"), NULL, asked},
    {LIFE_YOUNG, "explain", ASK("explain vm", "\"vm\":\"web1\""), NULL, asked},
    {LIFE_YOUNG, "plan", ASK("vm migrate plan", "\"vms\":[\"web1\"]"), NULL, asked},
    {LIFE_YOUNG, "events", ASK("events", "\"limit\":20"), NULL, asked},
    {LIFE_YOUNG, "quorum", ASK("quorum", ""), NULL, asked},
    {LIFE_OLD, "three votes", NULL, NULL, whole},
    {LIFE_OLD, "power cut", NULL, cut_power, survived},
    {LIFE_OLD, "rejoin", NULL, NULL, back},
    {LIFE_OLD, "stop", ASK("vm stop", "\"vm\":\"web1\""), NULL, web_stopped},
    {LIFE_OLD, "remove", ASK("vm remove", "\"vm\":\"web1\""), NULL, web_gone},
    {LIFE_OLD, "restart of all", NULL, restart_all, restarted},
};

/* Asked again whenever there was an answer and it is not so yet; of another host each time. */
static bool play(const struct step *step, uint64_t deadline)
{
    uint64_t again = 0;
    uint32_t host = 1;
    bool query = step->done == asked;

    target = 0;
    world_answer = RC_FAILED;
    while (world_now < deadline && world_wrong() == NULL) {
        const struct state *s = world_state();

        if (fault_fired() && clear_ms == UINT64_MAX) {
            clear_ms = world_now + STICKY_MS;
        } else if (world_now >= clear_ms) {
            fault_clear();
        }
        if (s != NULL && step->done(s)) {
            return true;
        }
        if (s == NULL && step->part == LIFE_BEGUN && world_now >= again + CREATE_MS) {
            /* One of the empty stores was set aside: that wants an operator's word (A10). */
            world_ask(host, ASK("cluster create", ""));
            host = host % HOSTS + 1;
            again = world_now;
        }
        if (world_answer == 0 && step->make == set_option && settings > acknowledged) {
            acknowledged = settings;
        }
        if ((world_answer != WORLD_WAITS || world_now >= again + 20000) && world_now >= again && s != NULL) {
            const char *text = step->make != NULL ? step->make() : step->ask;

            if (text != NULL) {
                world_ask(host, text);
                host = host % HOSTS + 1;
            }
            again = world_now + (step->make == set_option ? 5 : 500);
        }
        /* An operator switches on what was fenced; what lost its power is left off for longer, but not for
         * ever: with a fault on another node at that very moment no majority has its journal until it is
         * back. */
        for (uint32_t id = 1; id <= HOSTS; id++) {
            if (world_now >= hosts[id].off_ms + (step->done == survived && id == target ? CUT_MS : OFF_MS)) {
                host_power(&hosts[id], true);
            }
        }
        world_pass(query ? 1 : 5);
    }
    world_blame("'%s' has not happened within %d s", step->name, LIFE_MS / 1000);
    return false;
}

void life_begin(const char *dir)
{
    clear_ms = UINT64_MAX;
    settings = acknowledged = 0;
    world_begin(dir);
}

void life_live(enum life_part from, enum life_part to)
{
    for (unsigned i = 0; i < sizeof script / sizeof script[0] && world_wrong() == NULL; i++) {
        if (script[i].part >= from && script[i].part <= to && play(&script[i], world_now + LIFE_MS) &&
            world_verbose) {
            (void)printf("%8" PRIu64 " %s: done%s\n", world_now, script[i].name,
                         fault_fired() ? ", the fault has been" : "");
        }
    }
}

void life_check(void)
{
    const struct state *s = world_state();

    if (world_wrong() == NULL && (s == NULL || !fence1_there(s) || !fence2_there(s) || !fence3_there(s) ||
                                  !db_runs(s) || !all_set(s))) {
        world_blame("what was acknowledged is not there at the end");
    }
}
