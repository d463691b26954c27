/* The seed's character; the faults, and their end. */
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

static void blackout(void)
{
    sim.stats.blackouts++;
    trace("blackout");
    for (int i = 0; i < sim.n; i++) {
        sim.hosts[i].power = sim.hosts[i].power && chance(500);
        host_crash(&sim.hosts[i]);
    }
}

static void partition(void)
{
    unsigned parts = chance(800) ? 2 : 3;

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

void drive_fault(void)
{
    struct host *h = &sim.hosts[draw((uint64_t)sim.n)];
    uint64_t kind = draw(100);

    at(sim.now + 1 + draw(2 * sim.fault_mean_us), ITEM_FAULT, 0, 0, 0);
    if (!chaos()) {
        return;
    }
    if (kind < 16) {
        die(h, DEATH_HOST);
    } else if (kind < 30) {
        die(h, DEATH_DAEMON);
    } else if (kind < 32) {
        blackout();
    } else if (kind < 42) {
        host_pause(h, chance(500) ? between(10 * MS, SECOND) : between(SECOND, 10 * SECOND));
    } else if (kind < 52) {
        daemon_pause(h, chance(500) ? between(10 * MS, SECOND) : between(SECOND, 10 * SECOND));
    } else if (kind < 66) {
        partition();
    } else if (kind < 70) {
        h->cord = chance(500);
    } else if (kind < 74) {
        h->disk_bad_until = sim.now + between(10 * MS, 3 * SECOND);
    } else if (kind < 75) {
        h->fsync_fails = sim.n > 2 && !sim.store_lost; /* once: a majority that lost its memory stays dead */
        sim.store_lost = true;
    } else if (kind < 83) {
        libvirt_restart(h);
    } else if (kind < 92) {
        guest_end(h);
    } else if (kind < 94) {
        h->wall_offset_ms += (int64_t)between(0, 7200000) - 3600000;
        sim.stats.clock_jumps++;
    } else if (kind < 96) {
        sim.stats.corosync_deaths += h->corosync;
        host_corosync(h, false);
        at(sim.now + between(100 * MS, 6 * SECOND), ITEM_COROSYNC, h->id, h->powers, 0);
    } else {
        leave(h);
    }
}

/* Heals a quorate core; the rest stays off for good. From here on everything has to come right. */
void drive_liveness(void)
{
    /* A node that lost its journal may not have its vote back yet: then nobody else may be missing. */
    int off = sim.store_lost || chance(500) ? 0 : (int)draw((uint64_t)(sim.n - 1) / 2 + 1);

    trace("liveness: faults end, %d hosts stay off", off);
    sim.phase = PHASE_LIVENESS;
    sim.healed_at = sim.now;
    drive_heal(sim.partition);
    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[i];

        h->cord = h->fsync_fails = false;
        h->disk_bad_until = h->countdown = 0;
        host_resume(h);
        daemon_resume(h);
        host_corosync(h, true);
        h->libvirt = h->on;
    }
    for (int first = (int)draw((uint64_t)sim.n), i = 0; i < off; i++) {
        struct host *h = &sim.hosts[(first + i) % sim.n];

        h->broken = true;
        host_crash(h);
    }
}

void drive_init(void)
{
    static const uint64_t fault_means[] = {200 * MS, SECOND, 4 * SECOND};

    sim.n = chance(600) ? (int)between(3, 5) : (int)between(2, HOSTS_MAX);
    sim.vms = (int)between(1, chance(300) ? 30 : 8);
    sim.n = options.nodes > 0 ? options.nodes : sim.n;
    sim.vms = options.vms > 0 ? options.vms : sim.vms;
    sim.volumes = (int)between(1, 2);
    sim.chaos_us = between(8 * SECOND, 40 * SECOND);
    sim.fault_mean_us = fault_means[draw(3)];
    sim.operator_mean_us = chance(500) ? 300 * MS : 2 * SECOND;
    sim.agent_fault_permille = chance(400) ? 0 : (unsigned)between(5, 120);
    sim.early_faults = chance(150);
    sim.migration_apart = chance(500);
    sim.snapshot_entries = chance(500) ? 0 : (uint32_t)between(10, 200);
    for (int v = 0; v < sim.volumes; v++) {
        sim.volume_locks[v] = chance(400);
    }
    for (int i = 0; i < sim.n; i++) {
        host_init(&sim.hosts[i], i);
    }
    for (int i = 0; i < sim.vms; i++) {
        struct vm_world *w = &sim.vm[i];

        snprintf(w->name, sizeof w->name, "vm%d", i + 1);
        snprintf(w->uuid, sizeof w->uuid, "00000000-0000-4000-8000-%012x", (unsigned)i + 1);
        w->volume = (unsigned)draw((uint64_t)sim.volumes);
    }
}
