/*
 * core.c - how fast the core alone is: 64 nodes, 8,000 VMs with rules; what it costs to apply facts, to
 * decide after one change, after the crash of a node, and from nothing; and how large the state is.
 *
 *   tests/bench/core [--facts N]        facts to apply (1000000)
 *
 * The state is built by applying what a cluster would: commands, jobs, results, inventories. Times are the
 * processor's, of the calls that are named; making the facts is not in them. Exit status 1 when a goal
 * is missed.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"
#include "core/state_edit.h"

#define NODES     64
#define VMS       8000
#define VMS_NODE  (VMS / NODES)
#define CRASHES   20
#define CHANGES   2000
#define GROUP     4    /* VMs of an apart rule */
#define INVENTORY 1000 /* facts between two inventories */

static struct state *s;
static struct world w;
static uint64_t term = 1, seqs[NODES + 1];
static double goals_missed;

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void goal(const char *what, double value, const char *unit, double max)
{
    printf("%-58s %9.2f %-3s  goal %g%s\n", what, value, unit, max, value <= max ? "" : "  MISSED");
    goals_missed += value > max;
}

/* ---- facts ---- */

static double applying; /* seconds in core_apply */
static uint64_t applied_facts;

static int put(struct event *e)
{
    struct applied out;
    double before;

    e->time_ms = (int64_t)s->index * 10;
    before = now_s();
    core_apply(s, e, term, s->index + 1, &out);
    applying += now_s() - before;
    applied_facts++;
    if (out.rc != 0) {
        fprintf(stderr, "rejected: %s %s: %s\n", event_key(e->kind), e->subject, out.err.msg);
        exit(2);
    }
    event_fini(e);
    return out.rc;
}

static void fact(struct event *e, uint32_t node)
{
    e->origin = node;
    e->session = 1;
    e->seq = ++seqs[node];
    (void)put(e);
}

static struct event make(enum event_kind kind, const char *subject)
{
    struct event e;

    event_init(&e, kind);
    text_copy(e.subject, sizeof e.subject, subject);
    return e;
}

static void inventory(uint32_t node)
{
    struct event e = make(EV_INVENTORY, "");
    unsigned n;
    struct vm *const *on = state_on(s, node, &n);

    e.node = node;
    e.num = term;
    e.index = s->index;
    e.flags = EVF_COMPLETE;
    for (unsigned i = 0; i < n; i++) {
        const struct claim *c = vm_claim(on[i], node);

        if (c != NULL) {
            (void)event_put(&e, on[i]->uuid, obs_key(c->obs));
        }
    }
    fact(&e, node);
}

static void node_up(uint32_t id)
{
    struct event e = make(EV_NODE_UP, "");

    e.node = id;
    (void)event_putf(&e, "name", "node%02u", id);
    (void)event_putf(&e, "boot", "boot-%u-%llu", id, (unsigned long long)s->index);
    (void)event_put(&e, "memory_mib",
                    "600000"); /* 125 VMs of 3 GiB and then some: one node's more fit elsewhere */
    (void)event_put(&e, "cpus", "64");
    (void)event_put(&e, "feature_level", "2");
    seqs[id] = 0;
    fact(&e, id);
}

static void result(const struct job *j, enum obs_state obs)
{
    struct event e = make(EV_JOB_RESULT, "");

    e.id = j->id;
    e.node = j->node;
    e.obs = obs;
    if (j->kind == JOB_LOCK_HOLD || j->kind == JOB_LOCK_TRY) {
        (void)event_put(&e, "lock", "held");
    }
    fact(&e, j->node);
}

/* Applies what was decided; how much it was. */
static unsigned take(struct decisions *d)
{
    unsigned n = d->n;

    for (unsigned i = 0; i < n; i++) {
        struct event e = d->e[i];

        memset(&d->e[i], 0, sizeof d->e[i]);
        (void)put(&e);
    }
    d->n = 0;
    decisions_fini(d);
    return n;
}

/* Decides, and applies it, until nothing is left to decide; the seconds of deciding. */
static double settle(unsigned *decided)
{
    double spent = 0;

    for (*decided = 0;;) {
        struct decisions d = {NULL, 0, 0};
        double before = now_s();

        if (core_decide(s, &w, &d) != 0) {
            exit(2);
        }
        spent += now_s() - before;
        if (d.n == 0) {
            decisions_fini(&d);
            return spent;
        }
        *decided += take(&d);
    }
}

static void jobs_end(enum obs_state obs)
{
    unsigned ignored;

    while (s->jobs > 0) {
        while (s->jobs > 0) {
            struct job j = s->job[s->jobs - 1];

            result(&j, j.kind == JOB_STOP ? OBS_ABSENT : obs);
        }
        (void)settle(&ignored);
    }
}

/* ---- the cluster ---- */

static void option(const char *key, const char *value)
{
    struct event e = make(EV_CMD_OPTION_SET, "");

    (void)event_put(&e, key, value);
    fact(&e, 1);
}

static void add_vm(unsigned i)
{
    static const char *const priorities[] = {"high", "medium", "low"};
    char name[32];
    struct event e;

    (void)snprintf(name, sizeof name, "vm%04u", i);
    e = make(EV_CMD_VM_ADD, name);
    (void)event_set_text(&e, "<domain/>"); /* the domain XML is counted apart */
    (void)event_putf(&e, "uuid", "00000000-0000-4000-8000-%012x", (i * 2654435761u) & 0xffffffff);
    (void)event_putf(&e, "memory_mib", "%u", 1024 + 512 * (i % 9));
    (void)event_putf(&e, "cpus", "%u", 1 + i % 4);
    (void)event_putf(&e, "disk", "/var/lib/clusterd/volumes/vol%u/%s.img", i % 4, name);
    (void)event_put(&e, "priority", priorities[i % 3]);
    fact(&e, 1);
}

/* Four VMs apart, and each fifth VM may only be on 32 of the nodes. */
static void add_rules(void)
{
    for (unsigned i = 0; i + GROUP <= VMS; i += GROUP) {
        struct event e = make(EV_CMD_RULE_ADD, "");

        (void)event_put(&e, "kind", "apart");
        for (unsigned k = 0; k < GROUP; k++) {
            (void)event_putf(&e, "vm", "vm%04u", i + k);
        }
        fact(&e, 1);
    }
    for (unsigned i = 0; i < VMS; i += 5) {
        struct event e = make(EV_CMD_RULE_ADD, "");
        char nodes[256] = "";

        for (unsigned id = 1 + i % 2; id <= NODES; id += 2) {
            size_t len = strlen(nodes);

            (void)snprintf(nodes + len, sizeof nodes - len, "%s%u", len ? "," : "", id);
        }
        (void)event_put(&e, "kind", "owners");
        (void)event_putf(&e, "vm", "vm%04u", i);
        (void)event_put(&e, "possible", nodes);
        fact(&e, 1);
    }
}

/* Nothing runs, and no node has said anything that is not said here. */
static void build(void)
{
    struct event e;
    unsigned ignored;

    s = state_new("bench");
    s->level = 2;
    e = make(EV_OPEN, "");
    e.origin = 1;
    e.num = term;
    (void)put(&e);
    for (uint32_t id = 1; id <= NODES; id++) {
        node_up(id);
        inventory(id);
        w.present |= NODE_BIT(id);
    }
    w.ring = w.members = w.present;
    w.self = 1;
    w.level = 2;
    for (unsigned v = 0; v < 4; v++) {
        char name[16];

        (void)snprintf(name, sizeof name, "vol%u", v);
        e = make(EV_CMD_VOLUME_ADD, name);
        (void)event_put(&e, "type", "directory");
        (void)event_putf(&e, "source", "/srv/%s", name);
        fact(&e, 1);
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        char name[16];

        (void)snprintf(name, sizeof name, "ipmi%u", id);
        e = make(EV_CMD_FENCE_ADD, name);
        (void)event_put(&e, "agent", "fence_ipmilan");
        (void)event_putf(&e, "nodes", "%u", id);
        fact(&e, 1);
    }
    option("starts_per_node", "256");
    (void)settle(&ignored);
    jobs_end(OBS_UNKNOWN);
    for (unsigned i = 0; i < VMS; i++) {
        add_vm(i);
    }
    add_rules();
    for (uint32_t id = 1; id <= NODES; id++) {
        inventory(id); /* C1: it does not run there already */
    }
}

/* ---- what is measured ---- */

static void want_all(void)
{
    for (unsigned i = 0; i < s->vms; i++) {
        s->vm[i]->wanted = WANT_RUNNING; /* as after a power cut: they ran, and no operation is under way */
    }
    state_account(s);
}

static void measure_from_nothing(void)
{
    unsigned decided;
    double spent;

    want_all();
    spent = settle(&decided);
    for (unsigned i = 0; i < s->vms; i++) {
        if (s->vm[i]->claims != 1) {
            fprintf(stderr, "VM %s has no place\n", s->vm[i]->name);
            exit(2);
        }
    }
    goal("decide from nothing: 8,000 VMs placed, all rounds", spent * 1e3, "ms", 250);
    printf("  (%u decisions)\n", decided);
    jobs_end(OBS_RUNNING);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* A guest ends by itself: its node's inventory says so, and the coordinator decides. */
static void measure_change(void)
{
    static double took[CHANGES];
    double sum = 0;

    for (unsigned i = 0; i < CHANGES; i++) {
        struct vm *vm = s->vm[(i * 37) % s->vms];
        struct event e = make(EV_INVENTORY, "");
        unsigned decided;

        e.node = vm->claim[0].node;
        e.index = s->index;
        (void)event_put(&e, vm->uuid, "absent");
        fact(&e, e.node);
        took[i] = settle(&decided); /* one call that decides, one that sees nothing */
        sum += took[i];
        if (decided != 2) {
            fprintf(stderr, "%u decisions about VM %s\n", decided, vm->name);
            exit(2);
        }
        jobs_end(OBS_RUNNING);
    }
    qsort(took, CHANGES, sizeof took[0], by_value);
    goal("decide after one VM's change, mean of 2,000", sum / CHANGES * 1e6, "us", 20);
    printf("  (median %.2f us, p99 %.2f us)\n", took[CHANGES / 2] * 1e6, took[CHANGES * 99 / 100] * 1e6);
}

static struct job *fence_job(void)
{
    for (unsigned i = 0; i < s->jobs; i++) {
        if (s->job[i].kind == JOB_FENCE) {
            return &s->job[i];
        }
    }
    return NULL;
}

/* From the confirmed fence to the last of the node's VMs decided. */
static void measure_crash(void)
{
    double worst = 0, sum = 0;
    unsigned vms = 0;

    for (unsigned i = 0; i < CRASHES; i++) {
        uint32_t id = 2 + i * 3 % (NODES - 1);
        unsigned ignored, on;
        struct job fence;
        double spent;

        w.present &= ~NODE_BIT(id);
        w.ring &= ~NODE_BIT(id);
        spent = settle(&ignored);
        fence = *fence_job();
        (void)state_on(s, id, &on);
        result(&fence, OBS_UNKNOWN);
        spent += settle(&ignored);
        vms += on;
        sum += spent;
        worst = spent > worst ? spent : worst;
        jobs_end(OBS_RUNNING);
        w.present |= NODE_BIT(id);
        w.ring |= NODE_BIT(id);
        node_up(id);
        inventory(id);
        (void)settle(&ignored);
        jobs_end(OBS_UNKNOWN);
    }
    printf("  (%u crashes, %u VMs of a node on average)\n", CRASHES, vms / CRASHES);
    goal("decide after the crash of one node, mean", sum / CRASHES * 1e3, "ms", 5);
    goal("decide after the crash of one node, worst", worst * 1e3, "ms", 5);
}

static void measure_apply(uint64_t facts)
{
    uint32_t node = 1;
    unsigned turn = 0;
    uint64_t next = INVENTORY;

    applying = 0;
    applied_facts = 0;
    /* A VM is stopped by an operator, started again; between, nodes say what they run. */
    while (applied_facts < facts) {
        struct vm *vm = s->vm[(turn++ * 7919) % s->vms];
        struct event e = make(vm->wanted == WANT_RUNNING ? EV_CMD_VM_STOP : EV_CMD_VM_START, vm->name);
        bool stop = vm->wanted == WANT_RUNNING;
        struct job j;

        fact(&e, 1);
        e = make(EV_JOB, vm->name);
        e.num = stop ? JOB_STOP : JOB_START;
        e.node = stop ? vm->claim[0].node : vm->owner;
        e.id = vm->op;
        (void)put(&e);
        j = *state_job(s, vm->job);
        result(&j, stop ? OBS_ABSENT : OBS_RUNNING);
        e = make(EV_OP_END, "");
        e.id = vm->op;
        e.num = OPS_DONE;
        (void)put(&e);
        if (applied_facts >= next) {
            next += INVENTORY;
            inventory(node = node % NODES + 1);
        }
    }
    goal("apply a fact, mean", applying / (double)applied_facts * 1e6, "us", 2);
    printf("  (%llu facts: stop, start, their jobs, results and ends; an inventory each %d)\n",
           (unsigned long long)applied_facts, INVENTORY);
}

static void measure_size(void)
{
    size_t xml = 0;

    for (unsigned i = 0; i < s->vms; i++) {
        xml += malloc_usable_size(s->vm[i]->xml);
    }
    goal("state in memory, domain XML apart", ((double)mallinfo2().uordblks - (double)xml) / (1 << 20), "MiB",
         64);
}

int main(int argc, char **argv)
{
    uint64_t facts = argc == 3 && strcmp(argv[1], "--facts") == 0 ? strtoull(argv[2], NULL, 10) : 1000000;
    const char *wrong;

    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30); /* so that mallinfo2 sees all of it */
    build();
    printf("%d nodes, %u VMs, %u rules, %d volumes\n", NODES, s->vms, s->rules, 4);
    measure_from_nothing();
    measure_change();
    measure_crash();
    measure_apply(facts);
    measure_size();
    wrong = core_check(s);
    if (wrong != NULL) {
        printf("the state is broken: %s\n", wrong);
    }
    state_free(s);
    return goals_missed > 0 || wrong != NULL;
}
