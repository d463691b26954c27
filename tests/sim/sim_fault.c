/* The faults, and their end; the seed's character. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

/* -------------------------------------------------------------------------------------------------- faults
 */

static void die(struct host *h, enum death death)
{
    if (!h->on) {
        return;
    }
    if (h->sh != NULL && !h->daemon_paused && chance(700)) { /* between two of its next effects */
        h->countdown = (unsigned)between(1, 24);
        h->death = death;
    } else if (death == DEATH_HOST) {
        host_crash(h);
    } else {
        sim.stats.daemon_kills += h->sh != NULL;
        daemon_kill(h);
    }
}

static void blackout(struct host *h)
{
    (void)h;
    sim.stats.blackouts++;
    trace("blackout");
    for (int i = 0; i < sim.n; i++) {
        sim.hosts[i].power = sim.hosts[i].power && chance(500);
        host_crash(&sim.hosts[i]);
    }
}

static void partition(struct host *h)
{
    unsigned parts = chance(800) ? 2 : 3;

    (void)h;
    sim.stats.partitions++;
    sim.bmc_cut = chance(500);
    sim.stats.partitions_bmc += sim.bmc_cut;
    for (int i = 0; i < sim.n; i++) {
        sim.hosts[i].component = (unsigned)draw(parts);
        trace("%s: in part %u%s", sim.hosts[i].name, sim.hosts[i].component,
              sim.bmc_cut ? ", BMCs cut too" : "");
    }
    at(sim.now + (chance(500) ? between(50 * MS, 2 * SECOND) : between(2 * SECOND, 15 * SECOND)), ITEM_HEAL,
       0, ++sim.partition, 0);
    net_changed();
}

void drive_heal(uint64_t number)
{
    if (number != sim.partition) {
        return;
    }
    trace("the network is whole again");
    for (int i = 0; i < sim.n; i++) {
        sim.hosts[i].component = 0;
    }
    sim.bmc_cut = false;
    net_changed();
}

static void libvirt_restart(struct host *h)
{
    if (h->on && h->libvirt) {
        sim.stats.libvirt_restarts++;
        world_libvirt(h, false);
        at(sim.now + between(50 * MS, 4 * SECOND), ITEM_LIBVIRT, h->id, h->powers, 0);
    }
}

static void guest_end(struct host *h)
{
    for (int vm = 0, i = (int)draw((uint64_t)sim.vms); vm < sim.vms; vm++, i = (i + 1) % sim.vms) {
        if (sim.vm[i].q[h->id] == Q_RUNNING && !h->paused) {
            sim.stats.guests_ended++;
            world_set(i, h->id, Q_NONE);
            if (chance(800) && daemon_enter(h)) {
                shell_look(h->sh);
                daemon_left(h);
            }
            return;
        }
    }
}

static void leave(struct host *h)
{
    sim.stats.leaves++;
    trace("%s: its daemon is asked to end", h->name);
    if (daemon_enter(h)) {
        shell_leave(h->sh);
        daemon_left(h);
    }
}

static void host_dies(struct host *h)
{
    die(h, DEATH_HOST);
}

static void daemon_dies(struct host *h)
{
    die(h, DEATH_DAEMON);
}

/* For any time: mostly shorter than a time-out, sometimes longer than all of them. */
static uint64_t pause_us(void)
{
    return chance(500)   ? between(10 * MS, SECOND)
           : chance(950) ? between(SECOND, 10 * SECOND)
                         : between(10 * SECOND, 60 * SECOND);
}

static void host_freezes(struct host *h)
{
    host_pause(h, pause_us());
}

/* Its corosync goes on, so that nobody takes it for lost: sometimes for longer than its jobs may take. */
static void daemon_freezes(struct host *h)
{
    daemon_pause(h, chance(150) ? between(8 * SECOND, 40 * SECOND) : pause_us());
}

/* Joins and leaves of rings and of the group, faster than either settles. */
static void storm(struct host *h)
{
    (void)h;
    sim.stats.storms++;
    at(sim.now, ITEM_STORM, 0, ++sim.partition, between(5, 40));
}

void drive_storm(uint64_t number, uint64_t left)
{
    struct host *h = &sim.hosts[draw((uint64_t)sim.n)];
    uint64_t kind = draw(100);

    if (number != sim.partition) {
        return;
    }
    if (left == 0 || !chaos()) {
        drive_heal(number);
        return;
    }
    sim.stats.storm_blows++;
    if (kind < 60) {
        h->component ^= 1;
        trace("storm: %s: in part %u", h->name, h->component);
        net_changed();
    } else if (kind < 75) {
        sim.stats.daemon_kills += h->sh != NULL;
        daemon_kill(h);
    } else if (kind < 90 && h->corosync) {
        host_corosync(h, false);
        at(sim.now + between(20 * MS, 500 * MS), ITEM_COROSYNC, h->id, h->powers, 0);
    }
    at(sim.now + between(5 * MS, 200 * MS), ITEM_STORM, 0, number, left - 1);
}

/* votequorum counts otherwise here than at the others: nothing, or more than there are. */
static void quorum_differs(struct host *h)
{
    if (h->on && h->net.told_ring != 0) {
        uint64_t end = sim.now + between(100 * MS, 9 * SECOND);

        sim.stats.quorum_differs++;
        trace("%s: its quorum word is wrong for %llu ms", h->name,
              (unsigned long long)((end - sim.now) / MS));
        h->quorum_wrong_until = end;
        at(sim.now, ITEM_QUORUM, h->id, 0, 0);
        at(end, ITEM_QUORUM, h->id, 0, 0);
    }
}

static void bmc_unreachable(struct host *h)
{
    h->cord = chance(500);
}

static void disk_full(struct host *h)
{
    h->disk_bad_until = sim.now + between(10 * MS, chance(900) ? 3 * SECOND : 15 * SECOND);
}

static void disk_slow(struct host *h)
{
    h->disk_slow_until = sim.now + between(100 * MS, 10 * SECOND);
}

/* Once: a majority that lost its memory stays dead. And not before there is a cluster: a creation that is
 * cut short by it waits for the operator's word (A10). */
static bool may_lose_a_store(void)
{
    return sim.n0 > 2 && sim.changes == 0 && !sim.creates && !sim.store_lost && sim.newest_index > 0;
}

static void fsync_fails(struct host *h)
{
    h->fsync_fails = may_lose_a_store();
    sim.store_lost = sim.store_lost || h->fsync_fails;
}

static void clock_jumps(struct host *h)
{
    h->wall_offset_ms += (int64_t)between(0, 7200000) - 3600000;
    sim.stats.clock_jumps++;
}

static void corosync_dies(struct host *h)
{
    sim.stats.corosync_deaths += h->on && h->corosync;
    h->ring_torn = h->ring_torn || chance(500);
    host_corosync(h, false);
    at(sim.now + between(100 * MS, 6 * SECOND), ITEM_COROSYNC, h->id, h->powers, 0);
}

/*
 * A14: once, and only while a majority without it keeps its journals. Two nodes cannot tell who is right:
 * there an operator begins the wrong daemon anew, which helps as long as no snapshot was taken of the wrong
 * state.
 */
static void state_flips(struct host *h)
{
    struct state *st = h->sh != NULL && !h->inside ? h->sh->st : NULL;

    if ((sim.n0 < 3 && (sim.snapshot_entries != 0 || sim.phase != PHASE_CHAOS)) || sim.store_lost ||
        sim.changes > 0 || sim.creates || st == NULL || st->vms == 0 || st->node[h->id + 1].id == 0) {
        return;
    }
    sim.store_lost = sim.flipped = true;
    sim.flip = h->id;
    sim.stats.state_flips++;
    trace("%s: a field of its state flips", h->name);
    switch (draw(3)) {
    case 0:
        st->node[h->id + 1].memory_mib ^= 1;
        break;
    case 1:
        st->opt.history_max_days ^= 2;
        break;
    default:
        st->vm[draw(st->vms)]->restarts ^= 1;
    }
}

/* A15: it crashes again and again, so that its daemon only observes for a while. */
static void crash_loop(struct host *h)
{
    if (h->on && h->sh != NULL && sim.phase == PHASE_CHAOS) {
        sim.stats.crash_loops++;
        h->observe_until = sim.now + between(4 * SECOND, 20 * SECOND);
        daemon_kill(h);
    }
}

/* A10: once, as with fsyncs that fail. */
static void store_torn(struct host *h)
{
    if (!may_lose_a_store() || h->disk.incarnation == 0 || !h->on) {
        return;
    }
    sim.store_lost = h->store_torn = true;
    sim.stats.stores_torn++;
    chance(500) ? host_crash(h) : daemon_kill(h);
}

/* At one of the two ends of what an agent is about: where it hurts most. */
static void aimed(struct host *h)
{
    const struct agent *hit = NULL;
    unsigned n = 0;

    for (const struct agent *a = sim.agents; a != NULL; a = a->next) {
        if (acts[a->act].changes && !a->killed && a->phase != AP_QUEUED && draw(++n) == 0) {
            hit = a;
        }
    }
    if (hit == NULL) {
        return;
    }
    sim.stats.aimed++;
    h = &sim.hosts[hit->target >= 0 && chance(600) ? hit->target : hit->host];
    switch (draw(5)) {
    case 0:
    case 1:
        host_crash(h);
        break;
    case 2:
        daemon_dies(h);
        break;
    case 3:
        daemon_pause(h, between(8 * SECOND, 40 * SECOND)); /* longer than the agent may take */
        break;
    default:
        host_freezes(h);
        break;
    }
}

static const struct {
    unsigned weight;
    void (*happens)(struct host *h);
} faults[] = {{16, host_dies},      {14, daemon_dies},    {2, blackout},
              {10, host_freezes},   {10, daemon_freezes}, {14, partition},
              {3, storm},           {3, quorum_differs},  {4, bmc_unreachable},
              {4, disk_full},       {5, disk_slow},       {1, fsync_fails},
              {8, libvirt_restart}, {9, guest_end},       {2, clock_jumps},
              {3, corosync_dies},   {4, leave},           {3, state_flips},
              {2, store_torn},      {3, crash_loop},      {8, member_majority_gone},
              {12, aimed}};
#define KINDS (sizeof faults / sizeof faults[0])

static void fault(void)
{
    uint64_t all = 0, k;
    size_t i = 0;

    for (size_t f = 0; f < KINDS; f++) {
        all += faults[f].weight;
    }
    for (k = draw(all); k >= faults[i].weight; i++) {
        k -= faults[i].weight;
    }
    faults[i].happens(&sim.hosts[draw((uint64_t)sim.n)]);
}

void drive_fault(void)
{
    uint64_t number = sim.faults++, rng = stream(STREAM_FAULT, number);

    stream_use(&rng);
    at(sim.now + 1 + draw(2 * sim.fault_mean_us), ITEM_FAULT, 0, 0, 0);
    if (chaos() && kept(STREAM_FAULT, number)) {
        sim.stats.faults++;
        sim.stats.events++;
        fault();
    }
    stream_use(NULL);
}

/* ------------------------------------------------------------------------------------------------- liveness
 */

static void break_for_good(struct host *h)
{
    h->broken = true;
    switch (draw(5)) {
    case 0:
    case 1:
        sim.stats.broken_off++;
        host_crash(h);
        break;
    case 2:
        sim.stats.broken_daemons++;
        daemon_kill(h);
        break;
    case 3:
        sim.stats.broken_corosyncs++;
        host_corosync(h, false);
        break;
    default:
        sim.stats.broken_networks++;
        h->component = 1;
        net_changed();
        break;
    }
    trace("%s: broken for good", h->name);
}

/* Heals a quorate core; the rest stays broken for good. From here on everything has to come right. */
void drive_liveness(void)
{
    /* A node that lost its journal may not have its vote back yet: then nobody else may be missing. */
    int off = sim.store_lost || sim.changes > 0 || sim.creates || chance(500)
                  ? 0
                  : (int)draw((uint64_t)(sim.n0 - 1) / 2 + 1);

    trace("liveness: faults end, %d hosts stay broken", off);
    sim.phase = PHASE_LIVENESS;
    sim.healed_at = sim.now;
    drive_heal(sim.partition);
    sim.partition++; /* the end of one that was under way is past */
    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[i];

        h->cord = h->fsync_fails = false;
        h->disk_bad_until = h->disk_slow_until = h->countdown = 0;
        h->observe_until = 0;
        host_resume(h);
        daemon_resume(h);
        host_corosync(h, true);
        h->libvirt = h->on;
        if (h->quorum_wrong_until > sim.now) {
            h->quorum_wrong_until = 0;
            at(sim.now, ITEM_QUORUM, h->id, 0, 0);
        }
        if (h->belied) { /* somebody goes and looks */
            host_crash(h);
        }
        host_build(h, FEATURE_LEVEL);
    }
    for (int first = (int)draw((uint64_t)sim.n0), i = 0; i < off; i++) {
        break_for_good(&sim.hosts[(first + i) % sim.n0]);
    }
}

/* ---------------------------------------------------------------------------------------------- the seed's
 * character */

static void draw_character(void)
{
    static const uint64_t fault_means[] = {200 * MS, SECOND, 4 * SECOND};
    static const int volumes[] = {1, 1, 2, 2, 3, 4};

    sim.n = chance(600) ? (int)between(3, 5) : (int)between(2, 9);
    sim.vms = (int)between(1, chance(300) ? 30 : 8);
    sim.volumes = volumes[draw(6)];
    sim.chaos_us = between(8 * SECOND, 40 * SECOND);
    sim.fault_mean_us = fault_means[draw(3)];
    sim.operator_mean_us = chance(500) ? 300 * MS : 2 * SECOND;
    sim.agent_fault_permille = chance(400) ? 0 : (unsigned)between(5, 120);
    sim.early_faults = chance(150);
    sim.migration_apart = chance(500);
    sim.lying_bmcs = chance(100);
    sim.mixed_builds = chance(300);
    sim.second_devices = chance(300);
    sim.mounts_differ = chance(200);
    sim.snapshot_entries = chance(500) ? 0 : (uint32_t)between(10, 200);
    for (int v = 0; v < sim.volumes; v++) {
        sim.volume_locks[v] = chance(400);
    }
    sim.host_memory_mib = chance(250) ? between(4096, 16384) : 65536;
    sim.n = options.nodes > 0 ? options.nodes : sim.n;
    sim.vms = options.vms > 0 ? options.vms : sim.vms;
    sim.chaos_us = options.chaos_ms > 0 ? options.chaos_ms * MS : sim.chaos_us;
    member_draw();
}

/* A13: it begins with an older build, and gets the newer one in the course of the run; some then go back for
 * a while. */
static void draw_builds(struct host *h)
{
    uint64_t when = between(SECOND, 40 * SECOND);

    h->level = h->known = FEATURE_LEVEL - 1;
    at(when, ITEM_BUILD, h->id, FEATURE_LEVEL, 0);
    if (chance(300)) {
        when += between(SECOND, 15 * SECOND);
        at(when, ITEM_BUILD, h->id, FEATURE_LEVEL - 1, 0);
        at(when + between(SECOND, 8 * SECOND), ITEM_BUILD, h->id, FEATURE_LEVEL, 0);
    }
}

void drive_init(void)
{
    uint64_t rng = stream(STREAM_CHARACTER, 0), devices = stream(STREAM_CHARACTER, 1);

    stream_use(&rng);
    draw_character();
    for (int i = 0; i < sim.n; i++) {
        rng = stream(STREAM_HOST, (uint64_t)i);
        host_init(&sim.hosts[i], i);
        stream_use(&devices);
        sim.hosts[i].bmc_dead = sim.second_devices && chance(300);
        stream_use(&rng);
        if (sim.mixed_builds && chance(600)) { /* upgraded in the course of the run, one after the other */
            draw_builds(&sim.hosts[i]);
        }
    }
    stream_use(&devices);
    sim.hosts[draw((uint64_t)sim.n0)].blind = sim.n0 > 2 && chance(200);
    rng = stream(STREAM_SETUP, 1 << 20);
    member_init();
    for (int i = 0; i < sim.vms; i++) {
        struct vm_world *w = &sim.vm[i];

        rng = stream(STREAM_VM, (uint64_t)i);
        snprintf(w->name, sizeof w->name, "vm%d", i + 1);
        snprintf(w->uuid, sizeof w->uuid, "00000000-0000-4000-8000-%012x", (unsigned)i + 1);
        w->volume = (unsigned)draw((uint64_t)sim.volumes);
    }
    stream_use(NULL);
}
