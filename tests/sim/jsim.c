/* One seed from its beginning to its end: drawing, the queue of what happens. */
#include "tests/sim/jsim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVENESS_MS 30000
#define EVENTS_MAX  3000000

struct sim sim;

/* ---------------------------------------------------------------------------------------- small things */

uint64_t draw(uint64_t below)
{
    sim.rng += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
    uint64_t z = sim.rng;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return below ? z % below : 0;
}

bool chance(unsigned permille)
{
    return draw(1000) < permille;
}

void trace(const char *fmt, ...)
{
    va_list ap;

    if (!sim.trace) {
        return;
    }
    printf("%8llu ", (unsigned long long)sim.now);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void fail(const char *fmt, ...)
{
    va_list ap;

    if (sim.failed) {
        return;
    }
    sim.failed = true;
    va_start(ap, fmt);
    (void)vsnprintf(sim.failure, sizeof sim.failure, fmt, ap);
    va_end(ap);
    trace("FAILED: %s", sim.failure);
}

void *grown(void *v, uint64_t *n, uint64_t needed, size_t size)
{
    uint64_t old = *n;

    if (needed < old) {
        return v;
    }
    *n = needed * 2 + 64;
    v = realloc(v, (size_t)*n * size);
    if (v == NULL) {
        abort();
    }
    memset((char *)v + old * size, 0, (size_t)(*n - old) * size);
    return v;
}

/* ------------------------------------------------------------------------------------------- the queue */

static bool before(const struct item *a, const struct item *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void push(struct item item)
{
    size_t i = sim.n_heap++;

    if (sim.n_heap > sim.cap_heap) {
        sim.cap_heap = sim.cap_heap ? sim.cap_heap * 2 : 256;
        sim.heap = realloc(sim.heap, sim.cap_heap * sizeof *sim.heap);
        if (sim.heap == NULL) {
            abort();
        }
    }
    item.order = ++sim.order;
    while (i > 0 && before(&item, &sim.heap[(i - 1) / 2])) {
        sim.heap[i] = sim.heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim.heap[i] = item;
}

/* Puts `item` where it belongs in the heap below place i. */
static void sift_down(size_t i, struct item item)
{
    for (;;) {
        size_t k = 2 * i + 1;

        if (k >= sim.n_heap) {
            break;
        }
        if (k + 1 < sim.n_heap && before(&sim.heap[k + 1], &sim.heap[k])) {
            k++;
        }
        if (!before(&sim.heap[k], &item)) {
            break;
        }
        sim.heap[i] = sim.heap[k];
        i = k;
    }
    sim.heap[i] = item;
}

void reorder(void)
{
    for (size_t i = sim.n_heap / 2; i > 0; i--) {
        sift_down(i - 1, sim.heap[i - 1]);
    }
}

static struct item pop(void)
{
    struct item top = sim.heap[0];

    sim.n_heap--;
    sift_down(0, sim.heap[sim.n_heap]);
    return top;
}

void push_node(struct node *n, enum item_type type, uint64_t delay)
{
    push((struct item){
        .at = sim.now + delay, .type = type, .node = (unsigned)(n - sim.nodes), .session = n->session});
}

/* ----------------------------------------------------------------------------------------------- a run */

/* True when the item belongs to a daemon that is gone. */
static bool stale(const struct node *n, const struct item *item)
{
    return !n->up || item->session != n->session;
}

static void handle(struct item *item)
{
    struct node *n = &sim.nodes[item->node];

    if (item->type == ITEM_CLIENT) {
        client_asks();
    } else if (item->type == ITEM_FAULT) {
        if (!sim.healed) {
            fault_any();
        }
    } else if (item->type == ITEM_DISASTER) {
        force_disaster();
    } else if (item->type == ITEM_OPERATOR) {
        operator_tries();
    } else if (item->type == ITEM_BLACKOUT) {
        if (!sim.healed) {
            fault_blackout();
        }
    } else if (item->type == ITEM_REUNITE) {
        force_reunite();
    } else if (item->type == ITEM_SIDES) {
        if (!sim.healed) {
            force_take_sides();
        }
    } else if (item->type == ITEM_CREATE) {
        operator_creates();
    } else if (item->type == ITEM_RETURN) {
        force_come_back(n);
    } else if (item->type == ITEM_RESTART) {
        if (!n->up && !n->gone) {
            node_boot(n);
        }
    } else if (item->type == ITEM_RESUME) {
        if (n->up && item->session == n->session) {
            node_resume(n);
        }
    } else if (n->paused && n->up) {
        /* It stays in the queue; a resumed daemon finds everything that came meanwhile, in order. */
        struct item later = *item;

        later.at = n->resume_at > sim.now ? n->resume_at : sim.now + 1;
        n->last_delivery = later.at > n->last_delivery ? later.at : n->last_delivery;
        push(later);
        return;
    } else if (!stale(n, item)) {
        node_item(n, item);
    }
    if (item->type == ITEM_DELIVER) {
        message_put(item->message);
    }
}

/* Of a stream of its own: the seeds without one are what they were. */
static void draw_disaster(void)
{
    uint64_t rng = sim.rng;

    sim.rng = ~sim.seed;
    if (chance(300)) {
        push((struct item){.at = 2000 + draw(SAFETY_MS - 4000), .type = ITEM_DISASTER});
    }
    sim.rng = rng;
}

/* So is this. The nodes come up on two sides, and each side has an operator who creates the cluster. */
static bool draw_split_creation(void)
{
    uint64_t rng = sim.rng;
    bool split;

    sim.rng = sim.seed ^ UINT64_C(0x5851f42d4c957f2d);
    split = chance(60);
    for (unsigned i = 0; split && i < sim.n; i++) {
        sim.nodes[i].component = (unsigned)draw(2);
    }
    if (split) {
        push((struct item){.at = 450 + draw(500), .type = ITEM_CREATE});
    }
    sim.rng = rng;
    return split;
}

static void begin(uint64_t seed)
{
    bool tracing = sim.trace, split;

    memset(&sim, 0, sizeof sim);
    sim.trace = tracing;
    sim.seed = sim.rng = seed;
    sim.n = (unsigned)(chance(600) ? 3 + draw(3) : 2 + draw(NODES_MAX - 1));
    sim.fault_every_ms = (unsigned)(100 + draw(chance(300) ? 300 : 1500));
    sim.client_every_ms = (unsigned)(5 + draw(60));
    sim.loss_permille = chance(200) ? (unsigned)draw(30) : 0;
    sim.write_ms_max = (unsigned)(chance(300) ? 0 : draw(30));
    sim.big_permille = chance(200) ? 30 : 0;
    sim.fragile_permille = 100;
    sim.away_ms = 6000;
    if (chance(300)) { /* a storm: coordinators die young, and are back soon */
        sim.fault_every_ms = (unsigned)(50 + draw(200));
        sim.fragile_permille = 500;
        sim.away_ms = 1500;
    }
    sim.member_permille = chance(300) ? 100 : 10;
    sim.message_bytes = chance(600) ? (uint32_t)(200 + draw(800)) : 0;
    draw_disaster();
    split = draw_split_creation();
    check_begin();
    trace("seed %llu: %u nodes", (unsigned long long)seed, sim.n);
    for (unsigned i = 0; i < sim.n; i++) {
        struct node *n = &sim.nodes[i];

        n->id = i + 1;
        n->clock_base = draw(100000);
        n->clock_ppm = chance(500) ? 1000000 : 950000 + draw(100000);
        push((struct item){.at = draw(300), .type = ITEM_RESTART, .node = i});
    }
    push((struct item){.at = 500, .type = ITEM_CLIENT});
    push((struct item){.at = (split ? 1000 : 500) + draw(3000), .type = ITEM_FAULT});
}

void run_end(void)
{
    while (sim.n_heap > 0) {
        struct item item = pop();

        if (item.type == ITEM_DELIVER) {
            message_put(item.message);
        }
    }
    for (unsigned i = 0; i < sim.n; i++) {
        journal_free(sim.nodes[i].j);
        write_fini(&sim.nodes[i].write);
        disk_fini(&sim.nodes[i].disk);
    }
    check_end();
    free(sim.heap);
    free(sim.truth.v);
    free(sim.lost.v);
}

static void run_until(uint64_t end_ms)
{
    while (!sim.failed && sim.n_heap > 0 && sim.heap[0].at <= end_ms) {
        struct item item = pop();

        sim.now = item.at > sim.now ? item.at : sim.now;
        handle(&item);
        if (sim.stats.events > EVENTS_MAX) {
            fail("livelock: too many events");
        }
    }
    sim.now = end_ms > sim.now ? end_ms : sim.now;
}

bool run_seed(uint64_t seed)
{
    char why[256] = "";
    uint64_t committed;

    begin(seed);
    run_until(SAFETY_MS);
    committed = sim.stats.committed;
    if (!sim.failed) {
        fault_heal();
    }
    for (uint64_t t = 500; !sim.failed && t <= LIVENESS_MS; t += 500) {
        run_until(SAFETY_MS + t);
        if (t > QUIET_MS && !sim.failed) {
            operator_creates(); /* journals that were set aside create none by themselves */
        }
        if (!sim.failed && sim.stats.committed > committed && check_converged(why, sizeof why)) {
            return true;
        }
    }
    if (!sim.failed) {
        fail("liveness: %s", why[0] ? why : "nothing new was committed");
    }
    return false;
}
