/*
 * faults.c - faults by countdown: a small cluster lives a short life (world.h, script[]) in which the nth
 * call of a kind fails, for every n, until the whole life passes without reaching it. However it fails: no
 * crash, no leak (under the sanitizers), no broken invariant, the life goes on to its end, and after a
 * restart of all what was acknowledged is there.
 *
 *   faults [-v] [--sticky] KIND [FROM [TO [STEP]]]   n = FROM, then every STEP-th, up to TO
 *   faults --slice K/N                               of all that --all does every Nth, from the Kth on
 *   faults --all                                     every n to 2,000, then in strides of a fiftieth
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rc.h"
#include "tests/faults/fault.h"
#include "tests/faults/world.h"

#define LIFE_MS   900000 /* of the world's time: bounds of L1, L2 and of a node's return, many times over */
#define STICKY_MS 20000
#define EVERY     2000 /* every n up to here */
#define SETTINGS  12

void __lsan_do_leak_check(void) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

#define DOMAIN(name, nr)                                                                                     \
    "<domain type='kvm'><name>" name "</name><uuid>00000000-0000-4000-8000-00000000000" nr "</uuid>"         \
    "<memory unit='MiB'>512</memory><vcpu>1</vcpu><devices><disk type='file' device='disk'>"                 \
    "<driver name='qemu' type='raw' cache='none'/>"                                                          \
    "<source file='/var/lib/clusterd/volumes/vol1/" name ".img'/><target dev='vda' bus='virtio'/></disk>"    \
    "</devices></domain>"

static char base[64];
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
    return target != 0 && !hosts[target].powered && runs(s, "web1") && runs(s, "db1") && idle(s);
}
static bool back(const struct state *s)
{
    return all_online(s) && volume_there(s) && idle(s);
}
static bool restarted(const struct state *s)
{
    return target != 0 && back(s);
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
    const char *name;
    const char *ask;           /* a request; or */
    const char *(*make)(void); /* makes it; NULL: nothing is asked */
    bool (*done)(const struct state *s);
} script[] = {
    {"three nodes", NULL, NULL, all_online},
    {"volume", ASK("volume add", "\"volume\":\"vol1\",\"type\":\"directory\",\"source\":\"/srv/vol1\""), NULL,
     volume_there},
    {"fence 1", FENCE("1"), NULL, fence1_there},
    {"fence 2", FENCE("2"), NULL, fence2_there},
    {"fence 3", FENCE("3"), NULL, fence3_there},
    {"web1 added", ADD("web1", "1"), NULL, web_runs},
    {"db1 added", ADD("db1", "2"), NULL, db_runs},
    {"live migration", NULL, move_live, web_moved},
    {"quick migration", NULL, move_quick, db_moved},
    {"settings", NULL, set_option, all_set},
    {"status", ASK("status", ""), NULL, asked},
    {"vm show", ASK("vm show", "\"vm\":\"web1\",\"xml\":true"), NULL, asked},
    {"explain", ASK("explain vm", "\"vm\":\"web1\""), NULL, asked},
    {"plan", ASK("vm migrate plan", "\"vms\":[\"web1\"]"), NULL, asked},
    {"events", ASK("events", "\"limit\":20"), NULL, asked},
    {"quorum", ASK("quorum", ""), NULL, asked},
    {"power cut", NULL, cut_power, survived},
    {"rejoin", NULL, NULL, back},
    {"stop", ASK("vm stop", "\"vm\":\"web1\""), NULL, web_stopped},
    {"remove", ASK("vm remove", "\"vm\":\"web1\""), NULL, web_gone},
    {"restart of all", NULL, restart_all, restarted},
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
        for (uint32_t id = 1; id <= HOSTS; id++) { /* an operator switches on what was fenced */
            if (world_now >= hosts[id].off_ms + 3000 && !(step->done == survived && id == target)) {
                host_power(&hosts[id], true);
            }
        }
        world_pass(query ? 1 : 5);
    }
    world_blame("'%s' has not happened within %d s", step->name, LIFE_MS / 1000);
    return false;
}

/* A store is set aside only for what the kind of fault may do to it: never for want of memory (A10). */
static void check_asides(enum fault_kind kind)
{
    for (int i = 1; i <= HOSTS; i++) {
        if (host_asides(&hosts[i]) > 0 && (kind == FAULT_ALLOC || kind == FAULT_SQLITE_MEMORY ||
                                           kind == FAULT_SPAWN || kind == FAULT_FULL)) {
            world_blame("node%d: its store was set aside", i);
        }
    }
}

/* True when the nth call was reached. */
static bool life(enum fault_kind kind, unsigned long nth, bool sticky)
{
    bool fired;

    clear_ms = UINT64_MAX;
    settings = acknowledged = 0;
    world_begin(base);
    fault_arm(kind, nth, sticky);
    for (unsigned i = 0; i < sizeof script / sizeof script[0] && world_wrong() == NULL; i++) {
        if (play(&script[i], world_now + LIFE_MS) && world_verbose) {
            (void)printf("%8" PRIu64 " %s: done%s\n", world_now, script[i].name,
                         fault_fired() ? ", the fault has been" : "");
        }
    }
    if (world_wrong() == NULL) {
        const struct state *s = world_state();

        if (!fence1_there(s) || !fence2_there(s) || !fence3_there(s) || !db_runs(s) || !all_set(s)) {
            world_blame("what was acknowledged is not there at the end");
        }
    }
    check_asides(kind);
    fired = fault_fired();
    world_end();
    return fired;
}

static bool try_one(enum fault_kind kind, unsigned long nth, bool sticky, bool *fired)
{
    *fired = life(kind, nth, sticky);
    if (world_wrong() != NULL) {
        (void)printf("FAILED: %s %lu%s: %s\n  again: faults -v %s%s %lu\n", fault_key(kind), nth,
                     sticky ? " and all that follow" : "", world_wrong(), sticky ? "--sticky " : "",
                     fault_key(kind), nth);
        return false;
    }
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0) {
        (void)printf("FAILED: %s %lu%s: a leak\n", fault_key(kind), nth,
                     sticky ? " and all that follow" : "");
        return false;
    }
    return true;
}

static unsigned long next_of(unsigned long n)
{
    return n < EVERY ? n + 1 : n + n / 50;
}

/* All numbers up to the calls of a whole life. */
static bool all_of(enum fault_kind kind, bool sticky, unsigned slice, unsigned slices, unsigned long *seen)
{
    unsigned long calls, lives = 0;
    bool fired = false, good = try_one(kind, ULONG_MAX, false, &fired);

    calls = fault_calls();
    for (unsigned long n = 0; n < calls && good; n = next_of(n)) {
        if ((*seen)++ % slices == slice) {
            good = try_one(kind, n, sticky, &fired);
            lives++;
        }
    }
    (void)printf("%-14s%s %5lu lives, a whole one has %lu calls\n", fault_key(kind),
                 sticky ? "and on" : "once  ", lives, calls);
    (void)fflush(stdout);
    return good;
}

static bool all(unsigned slice, unsigned slices)
{
    unsigned long seen = 0;
    bool good = true;

    for (int kind = 0; kind < FAULT_KINDS && good; kind++) {
        good = all_of((enum fault_kind)kind, false, slice, slices, &seen) &&
               all_of((enum fault_kind)kind, true, slice, slices, &seen);
    }
    return good;
}

static int find_kind(const char *word)
{
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (strcmp(word, fault_key((enum fault_kind)kind)) == 0) {
            return kind;
        }
    }
    return -1;
}

static bool range(int kind, bool sticky, int argc, char **argv)
{
    unsigned long n = argc > 0 ? strtoul(argv[0], NULL, 10) : 0;
    unsigned long to = argc > 1 ? strtoul(argv[1], NULL, 10) : argc > 0 ? n : (unsigned long)-1;
    unsigned long step = argc > 2 ? strtoul(argv[2], NULL, 10) : 1, lives = 0;
    bool good = true, fired = true;

    for (; n <= to && good && fired; n += step ? step : 1) {
        good = try_one((enum fault_kind)kind, n, sticky, &fired);
        lives++;
    }
    (void)printf("%lu lives%s\n", lives, fired ? "" : "; the last one passed whole");
    return good;
}

int main(int argc, char **argv)
{
    bool sticky = false, good;
    int at = 1, kind;
    unsigned slice = 0, slices = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "-v") == 0) {
            world_verbose = true;
        } else if (strcmp(argv[at], "--sticky") == 0) {
            sticky = true;
        } else if (strcmp(argv[at], "--slice") == 0 && at + 1 < argc) {
            if (sscanf(argv[++at], "%u/%u", &slice, &slices) != 2 || slices == 0) {
                return 2;
            }
        } else if (strcmp(argv[at], "--all") != 0) {
            (void)fprintf(stderr,
                          "usage: faults [-v] [--sticky] KIND [FROM [TO [STEP]]] | --slice K/N | --all\n");
            return 2;
        }
    }
    (void)snprintf(base, sizeof base, "%s/faults.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fault_init();
#ifndef __SANITIZE_ADDRESS__
    (void)setrlimit(RLIMIT_AS, &(struct rlimit){1 << 30, 1 << 30}); /* what grows without end ends */
#endif
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 2;
    }
    if (at < argc) {
        kind = find_kind(argv[at]);
        good = kind >= 0 && range(kind, sticky, argc - at - 1, argv + at + 1);
    } else {
        good = all(slice % slices, slices);
    }
    (void)rmdir(base);
    return good ? 0 : 1;
}
