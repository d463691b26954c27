/* Hosts and their daemons: power, crashes between any two effects, pauses; the shell's ports. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static const char *const levels[] = {"error", "warning", "notice", "info", "debug"};

uint64_t host_clock_ms(const struct host *h)
{
    return h->clock_base + sim.now / MS;
}

/* --------------------------------------------------------------------------------------------------- ports
 */

bool daemon_effect(struct host *h)
{
    if (h->dying) {
        return false;
    }
    check_heard(h);
    if (h->countdown > 0 && --h->countdown == 0) {
        h->dying = true;
        sim.stats.crashes_in_step++;
        return chance(500); /* it dies before or after this one */
    }
    return true;
}

static int port_send(void *ctx, const void *data, size_t len)
{
    return daemon_effect(ctx) ? net_send(ctx, data, len) : 0;
}

static uint64_t port_now(void *ctx)
{
    return host_clock_ms(ctx);
}

static int64_t port_wall(void *ctx)
{
    const struct host *h = ctx;

    return (int64_t)(UINT64_C(1700000000000) + sim.now / MS) + h->wall_offset_ms;
}

static uint64_t port_random(void *ctx)
{
    (void)ctx;
    return draw(UINT64_MAX);
}

static void port_answer(void *ctx, uint64_t request, int rc, const struct err *err, uint64_t op)
{
    if (daemon_effect(ctx)) {
        drive_answer(request, rc, err, op);
    }
}

static void port_log(void *ctx, enum log_level level, const char *text)
{
    struct host *h = ctx;

    if (sim.trace && !h->dying) {
        trace("%s: %s: %s", h->name, levels[level], text);
    }
}

/* -------------------------------------------------------------------------------------------------- daemon
 */

static struct shell_config configuration(const struct host *h)
{
    struct shell_config c = {.self = (uint32_t)h->id + 1,
                             .session = h->session,
                             .memory_mib = sim.host_memory_mib,
                             .cpus = 16,
                             .configureds = (unsigned)sim.n0,
                             .hypervisor = "sim:///",
                             .migration_uri = "sim://%s/",
                             .volume_dir = "/v",
                             .agent_lock_dir = "/l",
                             .snapshot_entries = sim.snapshot_entries,
                             .feature_level = h->level};

    snprintf(c.name, sizeof c.name, "%s", h->name);
    snprintf(c.cluster, sizeof c.cluster, "sim");
    snprintf(c.boot, sizeof c.boot, "%s", h->boot);
    for (int i = 0; i < sim.n0; i++) {
        c.configured[i] = (uint32_t)i + 1;
    }
    if (h->spare) {
        c.configured[c.configureds++] = c.self;
    }
    if (sim.grows) {
        snprintf(c.address, sizeof c.address, "10.0.0.%d", h->id + 1);
    }
    return c;
}

/* False: there is none, but maybe later. */
static bool shell_begin(struct host *h)
{
    struct shell_config c = configuration(h);
    struct ports p = {.msg = {h, port_send},
                      .store = disk_port(h),
                      .run = agent_port(h),
                      .clock = {h, port_now, port_wall, port_random},
                      .client = {h, port_answer, port_log},
                      .member = member_port(h)};
    struct journal_load load;
    struct err err = ERR_INIT;

    disk_load(h, &load, &err);
    h->sh = shell_new(&c, &p, &load, &err);
    if (h->sh == NULL && err.rc == RC_REFUSED && h->level < FEATURE_LEVEL) {
        sim.stats.outdated++; /* A13: what is stored needs a newer build; it waits for that */
        at(sim.now + SECOND, ITEM_DAEMON, h->id, h->powers, 0);
    } else if (h->sh == NULL) {
        fail("%s: the daemon does not start: %s", h->name, err.msg);
    }
    return h->sh != NULL;
}

void daemon_start(struct host *h)
{
    if (!h->on || h->sh != NULL || h->paused || h->broken || h->observing) {
        return;
    }
    if (!h->corosync) {
        at(sim.now + 500 * MS, ITEM_DAEMON, h->id, h->powers, 0);
        return;
    }
    if (h->observe_until > sim.now) {
        trace("%s: daemon starts, and only observes", h->name);
        h->observing = true;
        h->observing_since = sim.now;
        net_join(h);
        daemon_observe(h);
        return;
    }
    if (h->store_torn) {
        h->store_torn = false;
        disk_tear(h);
    }
    h->session = draw(UINT64_MAX - 1) + 1;
    if (!shell_begin(h)) {
        return;
    }
    trace("%s: daemon starts", h->name);
    h->daemon_paused = false;
    h->checked = 0;
    h->lead_term = 0;
    world_returned(h);
    check_excuse(h);
    net_join(h);
    host_tick(h);
}

/* A15: it says that it does nothing, once in a second. */
void daemon_observe(struct host *h)
{
    uint8_t text[8];

    if (!h->observing) {
        return;
    }
    if (sim.now >= h->observe_until) {
        h->observing = false;
        net_leave(h);
        daemon_start(h);
        return;
    }
    (void)net_send(h, text, shell_observe_message(text));
    at(sim.now + SECOND, ITEM_OBSERVE, h->id, h->powers, 0);
}

/* The package is replaced, then the daemon is begun anew, as the packaging does: asked to end, or killed. */
void host_build(struct host *h, unsigned level)
{
    if (h->level == level || (level < h->level && !chaos())) {
        return; /* nobody goes back once the faults have ended */
    }
    sim.stats.upgrades += level > h->level;
    sim.stats.downgrades += level < h->level;
    trace("%s: a build of feature level %u is installed", h->name, level);
    h->level = level;
    h->known = level > h->known ? level : h->known;
    if (h->sh != NULL && (chance(500) || !daemon_enter(h))) {
        daemon_kill(h);
    } else if (h->sh != NULL) {
        shell_leave(h->sh);
        daemon_left(h);
    }
}

void daemon_kill(struct host *h)
{
    if (h->sh == NULL) {
        return;
    }
    trace("%s: daemon ends", h->name);
    shell_free(h->sh);
    h->sh = NULL;
    h->session = 0;
    h->countdown = 0;
    h->dying = h->daemon_paused = h->stalling = false;
    h->stall_us = 0;
    disk_daemon_died(h);
    agents_daemon_died(h);
    if (h->on) {
        net_leave(h);
        if (!h->broken) {
            at(sim.now + between(100 * MS, chance(200) && chaos() ? 8 * SECOND : SECOND), ITEM_DAEMON, h->id,
               h->powers, 0);
        }
    }
}

bool daemon_enter(struct host *h)
{
    if (h->sh == NULL || h->paused || h->daemon_paused || sim.failed) {
        return false;
    }
    h->inside = true;
    sim.stats.events++;
    return true;
}

/* It has waited for its disk: what it said after that has not been said yet. */
static void stall(struct host *h)
{
    uint64_t us = h->stall_us;

    if (us > 0) {
        h->stall_us = 0;
        h->stalling = h->daemon_paused = true;
        h->open_at += us;
        h->daemon_resume_at = sim.now + us;
        at(h->daemon_resume_at, ITEM_RESUME_DAEMON, h->id, h->session, 0);
    }
}

void daemon_left(struct host *h)
{
    h->inside = false;
    if (h->dying) {
        effect_died();
        if (h->death == DEATH_HOST) {
            host_crash(h);
        } else {
            sim.stats.daemon_kills++;
            daemon_kill(h);
        }
        return;
    }
    check_daemon(h);
    if (sim.failed) {
        return;
    }
    if (shell_outdated(h->sh) && h->sh->cfg.feature_level < FEATURE_LEVEL) {
        sim.stats.outdated++; /* A13: it met what needs a newer build */
        daemon_kill(h);
    } else if (h->sh->failed) {
        fail("%s: the daemon has given up", h->name);
    } else if (shell_may_exit(h->sh)) {
        check_leaves(h);
        daemon_kill(h);
    } else {
        host_tick(h);
        stall(h);
    }
}

void host_tick(struct host *h)
{
    uint64_t next = shell_next_ms(h->sh), when;

    if (next == NEVER) {
        return;
    }
    when = next > host_clock_ms(h) ? (next - h->clock_base) * MS : sim.now + 50;
    if (h->tick_at <= sim.now || when < h->tick_at) {
        h->tick_at = when;
        at(when, ITEM_TICK, h->id, 0, 0);
    }
}

/* --------------------------------------------------------------------------------------------------- pauses
 */

bool host_defers(struct host *h, const struct item *it)
{
    bool daemons = it->type == ITEM_TICK || it->type == ITEM_QUORUM;

    if (!h->paused && !(daemons && h->daemon_paused)) {
        return false;
    }
    if (h->n_deferred == h->cap_deferred) {
        h->cap_deferred = h->cap_deferred ? 2 * h->cap_deferred : 16;
        h->deferred = realloc(h->deferred, h->cap_deferred * sizeof *h->deferred);
    }
    h->deferred[h->n_deferred++] = *it;
    return true;
}

static void go_on(struct host *h)
{
    size_t n = h->n_deferred;

    h->n_deferred = 0;
    for (size_t i = 0; i < n; i++) {
        struct item it = h->deferred[i];

        at(sim.now, it.type, it.host, it.a, it.b);
    }
    h->tick_at = 0;
    h->net.due_at = 0;
    if (h->sh != NULL) {
        host_tick(h);
    }
}

void host_pause(struct host *h, uint64_t us)
{
    if (!h->on || h->paused) {
        return;
    }
    sim.stats.host_pauses++;
    trace("%s: host pauses for %llu ms", h->name, (unsigned long long)(us / MS));
    h->paused = true;
    h->resume_at = sim.now + us;
    at(h->resume_at, ITEM_RESUME, h->id, h->powers, 0);
    net_changed();
}

void host_resume(struct host *h)
{
    if (h->paused) {
        trace("%s: host goes on", h->name);
        h->paused = false;
        check_excuse(h);
        go_on(h);
        net_changed();
    }
}

void daemon_pause(struct host *h, uint64_t us)
{
    if (h->sh == NULL || h->daemon_paused) {
        return;
    }
    sim.stats.daemon_pauses++;
    trace("%s: daemon pauses for %llu ms", h->name, (unsigned long long)(us / MS));
    h->daemon_paused = true;
    h->daemon_resume_at = sim.now + us;
    at(h->daemon_resume_at, ITEM_RESUME_DAEMON, h->id, h->session, 0);
}

void daemon_resume(struct host *h)
{
    if (h->daemon_paused) {
        trace("%s: daemon goes on", h->name);
        h->daemon_paused = false;
        if (h->stalling) {
            h->stalling = false;
            net_stall_ends(h);
        } else {
            check_excuse(h);
        }
        go_on(h);
    }
}

/* ---------------------------------------------------------------------------------------------------- power
 */

/* corosync alone: its daemon sees an empty view, and joins again when it is back. */
void host_corosync(struct host *h, bool up)
{
    if (!h->on || h->corosync == up || (up && h->broken)) {
        return;
    }
    trace("%s: corosync %s", h->name, up ? "is back" : "dies");
    h->corosync = up;
    if (up) {
        if (h->sh != NULL || h->observing) {
            net_join(h);
        }
        net_changed();
        return;
    }
    net_gone(h);
    if (daemon_enter(h)) {
        shell_view(h->sh, 0, 0, false, ++h->net.views);
        daemon_left(h);
    }
}

void host_on(struct host *h)
{
    if (h->on || h->broken || h->away) {
        return;
    }
    h->on = h->power = h->libvirt = h->corosync = true;
    h->local_locks = sim.mounts_differ && chaos() && chance(300);
    sim.stats.mounts_changed += h->local_locks;
    h->powers++;
    snprintf(h->boot, sizeof h->boot, "boot-%d-%llu", h->id + 1, (unsigned long long)h->powers);
    trace("%s: host boots", h->name);
    /* libvirtd is there first, sometimes by far */
    at(sim.now + between(100 * MS, chaos() && chance(150) ? 15 * SECOND : 1500 * MS), ITEM_DAEMON, h->id,
       h->powers, 0);
    net_changed();
}

void host_crash(struct host *h)
{
    if (!h->on) {
        return;
    }
    sim.stats.crashes++;
    trace("%s: host dies", h->name);
    h->on = h->paused = h->spared = h->belied = h->observing = false;
    h->observe_until = h->expected = 0;
    h->ring_torn = h->ring_torn || (chaos() && chance(200));
    h->n_deferred = 0;
    daemon_kill(h);
    world_host_died(h);
    net_gone(h);
    if (!h->broken && !h->away) {
        at(sim.now + between(500 * MS, chaos() ? 12 * SECOND : 3 * SECOND), ITEM_POWER, h->id, h->powers, 0);
    }
}

void host_init(struct host *h, int id)
{
    memset(h, 0, sizeof *h);
    h->id = id;
    h->rng = stream(STREAM_HOST, (uint64_t)id);
    snprintf(h->name, sizeof h->name, "node%d", id + 1);
    h->clock_base = between(1000, 1000000);
    h->level = h->known = FEATURE_LEVEL;
    net_init(h);
}

void host_fini(struct host *h)
{
    shell_free(h->sh);
    net_fini(h);
    disk_fini(&h->disk);
    free(h->deferred);
}
