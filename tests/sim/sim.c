/* One seed from its beginning to its end: drawing, the event queue. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define ITEMS_MAX UINT64_C(50000000)
#define SETUP_US  (240 * SECOND)

struct sim sim;

/* ------------------------------------------------------------------------------------------------- drawing
 */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Each thing draws from a stream of its own, so that one that is left out moves the others little (the
 * shrinking builds on it). */
uint64_t stream(enum stream what, uint64_t number)
{
    return mix(mix(sim.seed + UINT64_C(0x9e3779b97f4a7c15)) + ((uint64_t)what << 56) + number);
}

uint64_t *stream_use(uint64_t *state)
{
    uint64_t *before = sim.rng;

    sim.rng = state != NULL ? state : &sim.common;
    return before;
}

static uint64_t next_random(void)
{
    return mix(*sim.rng += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t draw(uint64_t below)
{
    return below ? next_random() % below : 0;
}

uint64_t between(uint64_t low, uint64_t high)
{
    return low + draw(high - low + 1);
}

bool chance(unsigned permille)
{
    return draw(1000) < permille;
}

bool chaos(void)
{
    return sim.phase == PHASE_CHAOS ||
           (sim.phase == PHASE_SETUP && sim.early_faults && sim.now < 40 * SECOND);
}

void trace(const char *fmt, ...)
{
    va_list ap;

    sim.lines++;
    if (!sim.trace) {
        return;
    }
    printf("%8llu.%03llu  ", (unsigned long long)(sim.now / MS), (unsigned long long)(sim.now % MS));
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void fail(const char *fmt, ...)
{
    va_list ap;

    if (sim.failed) {
        return;
    }
    sim.failed = true;
    va_start(ap, fmt);
    vsnprintf(sim.failure, sizeof sim.failure, fmt, ap);
    va_end(ap);
    trace("FAILED: %s", sim.failure);
}

/* -------------------------------------------------------------------------------------------- leaving out
 */

static int keep_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Shall this one happen? Notes it, if so. */
bool kept(enum stream what, uint64_t number)
{
    uint64_t key = (uint64_t)what << 56 | number;

    if (options.keeps &&
        (options.n_keep == 0 || bsearch(&key, options.keep, options.n_keep, sizeof key, keep_cmp) == NULL)) {
        return false;
    }
    if (sim.n_happened == sim.cap_happened) {
        sim.cap_happened = sim.cap_happened ? 2 * sim.cap_happened : 256;
        sim.happened = realloc(sim.happened, sim.cap_happened * sizeof key);
    }
    sim.happened[sim.n_happened++] = key;
    return true;
}

/* --------------------------------------------------------------------------------------- the event queue */

static bool before(const struct item *a, const struct item *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void at(uint64_t when, enum item_type type, int host, uint64_t a, uint64_t b)
{
    struct item it = {when, ++sim.order, type, host, a, b};
    size_t i = sim.n_heap++;

    if (sim.n_heap > sim.cap_heap) {
        sim.cap_heap = sim.cap_heap ? 2 * sim.cap_heap : 1024;
        sim.heap = realloc(sim.heap, sim.cap_heap * sizeof *sim.heap);
    }
    for (; i > 0 && before(&it, &sim.heap[(i - 1) / 2]); i = (i - 1) / 2) {
        sim.heap[i] = sim.heap[(i - 1) / 2];
    }
    sim.heap[i] = it;
}

static struct item pop(void)
{
    struct item top = sim.heap[0], last = sim.heap[--sim.n_heap];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < sim.n_heap; i = child) {
        if (child + 1 < sim.n_heap && before(&sim.heap[child + 1], &sim.heap[child])) {
            child++;
        }
        if (!before(&sim.heap[child], &last)) {
            break;
        }
        sim.heap[i] = sim.heap[child];
    }
    sim.heap[i] = last;
    return top;
}

/* ------------------------------------------------------------------------------------------------- one seed
 */

static void tick(struct host *h)
{
    if (h->tick_at != sim.now) {
        return;
    }
    h->tick_at = 0;
    if (daemon_enter(h)) {
        shell_tick(h->sh);
        daemon_left(h);
    }
}

/* It is about a daemon, or a time of the host, that is over. */
static bool is_past(const struct host *h, const struct item *it)
{
    if (it->type == ITEM_LIST) {
        return it->a != h->session || !h->on;
    }
    if (it->type == ITEM_RESUME_DAEMON) {
        return it->a != h->session || sim.now < h->daemon_resume_at;
    }
    if (it->type == ITEM_RESUME && sim.now < h->resume_at) {
        return true;
    }
    return (it->type == ITEM_POWER || it->type == ITEM_DAEMON || it->type == ITEM_LIBVIRT ||
            it->type == ITEM_COROSYNC || it->type == ITEM_RESUME || it->type == ITEM_OBSERVE) &&
           it->a != h->powers;
}

/* It waits for a host, or a daemon, that is paused. */
static bool waits(struct host *h, const struct item *it)
{
    return (it->type == ITEM_QUORUM || it->type == ITEM_AGENT || it->type == ITEM_CLEAN ||
            it->type == ITEM_DAEMON || it->type == ITEM_OBSERVE || it->type == ITEM_LIST) &&
           host_defers(h, it);
}

static void look(void)
{
    check_look();
    at(sim.now + 50 * MS, ITEM_LOOK, 0, 0, 0);
}

/* clang-format off */
static void handle(const struct item *it)
{
    struct host *h = &sim.hosts[it->host];

    stream_use(&h->rng);
    if (is_past(h, it) || waits(h, it)) {
        return;
    }
    switch (it->type) {
    case ITEM_NET:           net_deliver(h); break;
    case ITEM_QUORUM:        net_quorum(h, it->a); break;
    case ITEM_REFORM:        net_reform(); break;
    case ITEM_TICK:          tick(h); break;
    case ITEM_AGENT:         agent_step(it->a); break;
    case ITEM_CLEAN:         world_clean(h, (int)it->a, it->b); break;
    case ITEM_POWER:         host_on(h); break;
    case ITEM_DAEMON:        daemon_start(h); break;
    case ITEM_RESUME:        host_resume(h); break;
    case ITEM_RESUME_DAEMON: daemon_resume(h); break;
    case ITEM_LIBVIRT:       world_libvirt(h, true); break;
    case ITEM_COROSYNC:      host_corosync(h, true); break;
    case ITEM_FAULT:         drive_fault(); break;
    case ITEM_OPERATOR:      drive_operator(); break;
    case ITEM_BUILD:         host_build(h, (unsigned)it->a); break;
    case ITEM_HEAL:          drive_heal(it->a); break;
    case ITEM_STORM:         drive_storm(it->a, it->b); break;
    case ITEM_OBSERVE:       daemon_observe(h); break;
    case ITEM_LIST:          member_list(h); break;
    case ITEM_LOOK:          look(); break;
    }
}
/* clang-format on */

void run_seed(uint64_t seed, bool traced)
{
    uint64_t chaos_from = 0, events_from = 0;

    memset(&sim, 0, sizeof sim);
    sim.seed = seed;
    sim.common = stream(STREAM_COMMON, 0);
    stream_use(NULL);
    sim.trace = traced;
    check_init();
    drive_init();
    trace("seed %llu: %d nodes, %d VMs", (unsigned long long)seed, sim.n0, sim.vms);
    for (int i = 0; i < sim.n; i++) {
        at(draw(500 * MS), ITEM_POWER, i, 0, 0);
    }
    at(SECOND, ITEM_OPERATOR, 0, 0, 0);
    at(2 * SECOND, ITEM_FAULT, 0, 0, 0);
    at(SECOND, ITEM_LOOK, 0, 0, 0);
    while (!sim.failed && sim.phase != PHASE_DONE) {
        struct item it = pop();

        sim.now = it.at;
        sim.stats.items++;
        handle(&it);
        if (sim.phase == PHASE_CHAOS && chaos_from == 0) {
            chaos_from = sim.now;
            events_from = sim.stats.events;
        } else if (sim.phase == PHASE_CHAOS &&
                   (options.events > 0 ? sim.stats.events >= events_from + options.events
                                       : sim.now > chaos_from + sim.chaos_us)) {
            drive_liveness();
        } else if (sim.phase == PHASE_SETUP && sim.now > SETUP_US) {
            fail("the cluster could not be set up: step %u", sim.step);
        } else if (sim.stats.items > ITEMS_MAX) {
            fail("it does not come to rest");
        }
    }
    if (sim.failed && traced) {
        check_explain();
    }
    for (int i = 0; i < sim.n; i++) {
        host_fini(&sim.hosts[i]);
    }
    world_fini();
    check_fini();
    free(sim.heap);
    sim.heap = NULL;
}
