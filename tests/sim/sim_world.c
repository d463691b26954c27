/* The truth: QEMU processes, memory files, disks, mounts, power; and what the agents' work does to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

const char *q_name(enum q q)
{
    static const char *const names[] = {"absent", "running", "paused", "incoming"};

    return names[q];
}

bool world_locks_hold(unsigned volume, int a, int b)
{
    return sim.volume_locks[volume] && !sim.hosts[a].local_locks && !sim.hosts[b].local_locks;
}

/* ---------------------------------------------------------------------------------------------------- QEMUs
 */

void world_set(int vm, int host, enum q q)
{
    struct vm_world *w = &sim.vm[vm];
    enum q old = w->q[host];

    if (q == old) {
        return;
    }
    trace("%s: QEMU of %s: %s -> %s", sim.hosts[host].name, w->name, q_name(old), q_name(q));
    if (old == Q_NONE) {
        w->life[host] = ++sim.uids;
        w->came[host] = q == Q_INCOMING ? sim.now : 0;
        w->restored[host] = 0;
    }
    w->q[host] = q;
    w->by_hand &= q == Q_NONE ? ~NODE_BIT(host + 1) : ~(node_set)0;
    if (q == Q_RUNNING) {
        if (old == Q_NONE || w->restored[host] != 0) {
            check_started(vm, host);
        }
        check_resumed(vm, host);
        check_memory(vm, host, old == Q_PAUSED);
        w->disk_gen++; /* from now on it writes */
    }
    if (old == Q_RUNNING) {
        w->disk_gen++;
    }
    if (q == Q_PAUSED) {
        w->memory_gen[host] = w->disk_gen;
    }
    check_qemu(vm, host);
}

/* Nobody needs to ask about this host any more: it was fenced, or he who pulled its plug has said so, or it
 * is back. */
void world_returned(const struct host *h)
{
    for (int vm = 0; vm < sim.vms; vm++) {
        sim.vm[vm].lost &= ~NODE_BIT(h->id + 1);
    }
}

void world_host_died(struct host *h)
{
    /* The switch of a live migration may have been done just before its source died. */
    for (struct agent *a = sim.agents; a != NULL; a = a->next) {
        if (a->host == h->id && a->act == ACT_MIGRATE && a->prepared && !a->acted && chance(250) &&
            sim.hosts[a->target].on && sim.vm[a->vm].q[a->target] == Q_INCOMING &&
            sim.vm[a->vm].life[a->target] == a->life) {
            sim.stats.migrations_torn++;
            sim.vm[a->vm].lost |= NODE_BIT(h->id + 1);
            world_set(a->vm, h->id, Q_NONE);
            world_set(a->vm, a->target, a->arrives_paused ? Q_PAUSED : Q_RUNNING);
        }
    }
    agents_host_died(h);
    for (int vm = 0; vm < sim.vms; vm++) {
        if (sim.vm[vm].q[h->id] != Q_NONE) {
            if (sim.vm[vm].q[h->id] == Q_RUNNING && world_locks_hold(sim.vm[vm].volume, h->id, h->id) &&
                chaos() && chance(150)) {
                sim.stats.locks_left++;
                sim.vm[vm].locked_until = sim.now + between(2 * SECOND, 20 * SECOND);
            }
            if (sim.vm[vm].known) { /* else it was the operator's own */
                sim.vm[vm].lost |= NODE_BIT(h->id + 1);
            }
            world_set(vm, h->id, Q_NONE);
        }
    }
    memset(h->mounted, 0, sizeof h->mounted);
}

void world_clean(struct host *h, int vm, uint64_t life)
{
    if (h->on && sim.vm[vm].q[h->id] == Q_INCOMING && sim.vm[vm].life[h->id] == life) {
        world_set(vm, h->id, Q_NONE);
    }
}

void world_libvirt(struct host *h, bool up)
{
    trace("%s: libvirt %s", h->name, up ? "is back" : "restarts");
    h->libvirt = up;
    check_excuse(h);
}

void world_fini(void)
{
    while (sim.agents != NULL) {
        struct agent *a = sim.agents;

        sim.agents = a->next;
        buf_fini(&a->out);
        free(a);
    }
    for (int i = 0; i < sim.vms; i++) {
        free(sim.vm[i].used);
    }
}

/* ------------------------------------------------------------------------------------------------ migration
 */

static bool target_ready(const struct agent *a)
{
    const struct host *s = &sim.hosts[a->host], *t = &sim.hosts[a->target];

    return t->on && !t->paused && t->libvirt && t->mounted[a->volume] &&
           (sim.migration_apart || s->component == t->component);
}

bool world_migrate_begin(struct agent *a)
{
    struct vm_world *w = &sim.vm[a->vm];

    if (w->q[a->host] != Q_RUNNING || !target_ready(a) || w->q[a->target] != Q_NONE) {
        return false; /* the switch says why */
    }
    world_set(a->vm, a->target, Q_INCOMING);
    a->life = w->life[a->target];
    a->prepared = true;
    return true;
}

/* The moment at which the VM changes sides; what libvirt makes of a lost last answer is C5's case. */
static void migrate_switch(struct agent *a)
{
    struct vm_world *w = &sim.vm[a->vm];

    if (!a->prepared) {
        agent_failed(a, "the target cannot take it");
        return;
    }

    if (w->q[a->host] != Q_RUNNING || !target_ready(a) || w->q[a->target] != Q_INCOMING ||
        w->life[a->target] != a->life) {
        sim.stats.migrations_failed++;
        agent_failed(a, "the migration broke off");
        if (chance(800)) {
            at(sim.now + between(10 * MS, 2 * SECOND), ITEM_CLEAN, a->target, (uint64_t)a->vm, a->life);
        }
        return;
    }
    if (chaos() && chance(20)) {
        sim.stats.migrations_torn++;
        agent_failed(a, "the target's last answer was lost");
        world_set(a->vm, a->host, Q_PAUSED);
        world_set(a->vm, a->target, a->arrives_paused ? Q_PAUSED : Q_RUNNING);
        if (a->arrives_paused || !world_locks_hold(a->volume, a->host, a->target)) {
            world_set(a->vm, a->host, Q_RUNNING); /* libvirt resumes the source */
        }
        return;
    }
    sim.stats.migrations++;
    world_set(a->vm, a->host, Q_NONE);
    world_set(a->vm, a->target, a->arrives_paused ? Q_PAUSED : Q_RUNNING);
}

/* -------------------------------------------------------------------------------------------------- effects
 */

/* C7: another has the image open, or a dead host's lock is still there. */
static bool image_locked(struct agent *a)
{
    const struct vm_world *w = &sim.vm[a->vm];
    bool open = false;

    if (sim.now >= w->locked_until || !world_locks_hold(a->volume, a->host, a->host)) {
        for (int i = 0; i < sim.n; i++) {
            open = open || (i != a->host && w->q[i] == Q_RUNNING && world_locks_hold(a->volume, a->host, i));
        }
        if (!open) {
            return false;
        }
    }
    sim.stats.lock_conflicts++;
    agent_say(a, "conflict: image-lock %s\n", w->name);
    agent_failed(a, "the image is locked");
    return true;
}

static void vm_start(struct agent *a)
{
    struct vm_world *w = &sim.vm[a->vm];

    if (w->q[a->host] != Q_NONE) {
        if (w->q[a->host] != Q_RUNNING) {
            agent_failed(a, "it is there, and does not run");
        }
    } else if (!sim.hosts[a->host].mounted[a->volume]) {
        agent_failed(a, "its disk is not there");
    } else if (!image_locked(a)) {
        sim.stats.starts++;
        world_set(a->vm, a->host, Q_RUNNING);
    }
}

static void vm_save(struct agent *a)
{
    struct vm_world *w = &sim.vm[a->vm];

    if (w->q[a->host] != Q_RUNNING && w->q[a->host] != Q_PAUSED) {
        agent_failed(a, "it does not run");
        return;
    }
    sim.stats.saves++;
    world_set(a->vm, a->host, Q_NONE);
    w->file.tag = a->tag;
    w->file.gen = w->disk_gen;
}

static void vm_restore(struct agent *a)
{
    struct vm_world *w = &sim.vm[a->vm];

    if (w->q[a->host] != Q_NONE || w->file.tag == 0 || w->file.tag != a->tag || w->file.gen != w->disk_gen ||
        !sim.hosts[a->host].mounted[a->volume]) {
        agent_failed(a, "the saved state does not fit");
        return;
    }
    sim.stats.restores++;
    world_set(a->vm, a->host, Q_PAUSED);
    w->restored[a->host] = w->file.tag;
    w->restored_gen[a->host] = w->file.gen;
}

static void vm_resume(struct agent *a)
{
    struct vm_world *w = &sim.vm[a->vm];

    if (w->q[a->host] == Q_PAUSED) {
        sim.stats.resumes++;
        w->resumed_by = a->job;
        world_set(a->vm, a->host, Q_RUNNING);
        w->resumed_by = 0;
    } else if (w->q[a->host] != Q_RUNNING) {
        agent_failed(a, "it is not there");
    }
}

static void vm_stop(struct agent *a)
{
    sim.stats.stops++;
    effect_stops(a);
    world_set(a->vm, a->host, Q_NONE);
}

static void vm_reset(struct agent *a)
{
    if (sim.vm[a->vm].q[a->host] != Q_RUNNING) {
        agent_failed(a, "it does not run");
    }
}

static void inventory(struct agent *a)
{
    unsigned n = 0;

    agent_say(a, "libvirt: %s\n", sim.hosts[a->host].libvirt ? "ok" : "unreachable");
    for (int vm = 0; vm < sim.vms; vm++) {
        struct vm_world *w = &sim.vm[vm];
        bool held = agent_locked(vm, a->host, a), there = w->q[a->host] != Q_NONE;

        if (there || held || (!sim.hosts[a->host].libvirt && there)) {
            agent_say(a, "vm %s %s %s pid=%d lock=%s\n", w->uuid,
                      !there || !sim.hosts[a->host].libvirt ? "unknown" : q_name(w->q[a->host]), w->name,
                      there ? vm + 100 : 0, held ? "held" : "free");
            n++;
        }
    }
    agent_say(a, "end %u\n", n);
}

static bool bmc_answers(const struct agent *a)
{
    const struct host *h = &sim.hosts[a->host], *t = &sim.hosts[a->target];

    return !h->blind && !t->cord && !(sim.bmc_cut && h->component != t->component) &&
           (strncmp(a->serial, "bmc", 3) != 0 || !t->bmc_dead);
}

/* Its VMs may run twice from now on: the fence is what S1 rests on. */
void world_lied(struct host *t)
{
    sim.stats.fences_lied++; /* or an operator */
    trace("%s: it is said to be off, and runs", t->name);
    t->belied = true;
    for (int vm = 0; vm < sim.vms; vm++) {
        sim.vm[vm].lied = sim.vm[vm].lied || (sim.vm[vm].claims & NODE_BIT(t->id + 1)) != 0;
    }
}

static void fence_off(struct agent *a)
{
    struct host *t = &sim.hosts[a->target];

    if (!bmc_answers(a)) {
        sim.stats.fences_failed++;
        agent_failed(a, "the BMC does not answer");
        return;
    }
    if (t->on && a->fault == AF_LIE && chaos()) {
        t->spared = true; /* its status says so, too */
        world_lied(t);
        return;
    }
    if (t->on && chaos() && chance(30)) { /* said to be done; only its status is believed (S3) */
        sim.stats.fences_void++;
        trace("%s: its BMC takes the order, and does not carry it out", t->name);
        return;
    }
    sim.stats.fences++;
    sim.stats.fences_unreported += a->fault == AF_FAIL_AFTER;
    trace("%s: power off by %s", t->name, sim.hosts[a->host].name);
    effect_power_off(a);
    t->power = false;
    host_crash(t);
}

/* The operator's word is believed where nothing says otherwise. Where it was not true, and nobody could have
 * known (N3), the consequences are his. */
void world_confirmed(const struct host *by, const char *node)
{
    for (int i = 0; i < sim.n; i++) {
        struct host *t = &sim.hosts[i];

        if (strcmp(t->name, node) != 0) {
            continue;
        }
        if (!t->on) {
            world_returned(t);
        } else if ((by->net.members & NODE_BIT(i + 1)) == 0) {
            world_lied(t);
        }
    }
}

static void fence_status(struct agent *a)
{
    struct host *t = &sim.hosts[a->target];

    a->code = !bmc_answers(a) ? 1 : t->power && !t->spared ? 0 : 2;
    if (a->code == 2 && t->on) {
        world_lied(t); /* still: of what it runs by now, too */
    }
    if (a->code == 2) {
        t->off_at = sim.now;
        world_returned(t);
    }
}

static void mount_volume(struct agent *a)
{
    sim.hosts[a->host].mounted[a->volume] = true;
    agent_say(a, "size_bytes: 1000000\nfree_bytes: 500000\n");
}

static void unmount_volume(struct agent *a)
{
    sim.hosts[a->host].mounted[a->volume] = false;
}

/* C5's proof: one holds the lock of a file for a while, others try to get it. */
bool world_lock_taken(const struct agent *a)
{
    for (const struct agent *b = sim.agents; b != NULL; b = b->next) {
        if (b != a && b->act == ACT_HOLD && b->phase == AP_BEGUN && b->volume == a->volume &&
            b->tag == a->tag && (b->host == a->host || world_locks_hold(a->volume, a->host, b->host))) {
            return true;
        }
    }
    return false;
}

static void lock_hold(struct agent *a)
{
    agent_say(a, "lock: held\n");
}

static void lock_try(struct agent *a)
{
    agent_say(a, "lock: %s\n", world_lock_taken(a) ? "refused" : "granted");
}

const struct action acts[ACTS] = {
    [ACT_START] = {"VirtualMachine", "start", 50, 400, true, vm_start},
    [ACT_STOP] = {"VirtualMachine", "stop", 100, 1500, true, vm_stop},
    [ACT_SAVE] = {"VirtualMachine", "save", 100, 1500, true, vm_save},
    [ACT_RESTORE] = {"VirtualMachine", "restore", 100, 1000, true, vm_restore},
    [ACT_RESUME] = {"VirtualMachine", "resume", 10, 60, true, vm_resume},
    [ACT_RESET] = {"VirtualMachine", "reset", 10, 60, true, vm_reset},
    [ACT_MIGRATE] = {"VirtualMachine", "migrate_to", 200, 3000, true, migrate_switch},
    [ACT_INVENTORY] = {"VirtualMachine", "inventory", 5, 40, false, inventory},
    [ACT_OFF] = {"fence_sim", "off", 100, 1500, false, fence_off},
    [ACT_STATUS] = {"fence_sim", "status", 30, 200, false, fence_status},
    [ACT_MOUNT] = {"SharedVolume", "start", 20, 200, false, mount_volume},
    [ACT_UNMOUNT] = {"SharedVolume", "stop", 20, 200, false, unmount_volume},
    [ACT_HOLD] = {"SharedVolume", "lock-hold", 10, 50, false, lock_hold},
    [ACT_TRY] = {"SharedVolume", "lock-try", 10, 50, false, lock_try},
};

void world_start_by_hand(int vm, int host)
{
    struct vm_world *w = &sim.vm[vm];
    const struct host *h = &sim.hosts[host];

    for (int i = 0; i < sim.n; i++) {
        if (w->q[i] != Q_NONE) {
            return;
        }
    }
    for (const struct agent *a = sim.agents; a != NULL; a = a->next) {
        if (a->vm == vm) {
            return; /* one that was left behind may still do something about it */
        }
    }
    if (h->on && !h->paused && h->libvirt && h->mounted[w->volume] && !w->known) {
        sim.stats.started_by_hand++;
        w->by_hand |= NODE_BIT(host + 1);
        w->lost = 0; /* he knows what he does */
        world_set(vm, host, Q_RUNNING);
    }
}

void world_act(struct agent *a)
{
    uint64_t life = a->vm >= 0 ? sim.vm[a->vm].life[a->host] : 0;

    a->acted = true;
    if (acts[a->act].changes && !sim.hosts[a->host].libvirt && a->act != ACT_STOP) {
        agent_failed(a, "libvirtd does not answer");
        return;
    }
    acts[a->act].effect(a);
    if (a->vm >= 0 && sim.vm[a->vm].life[a->host] != life && a->session != sim.hosts[a->host].session) {
        sim.vm[a->vm].came[a->host] = sim.now;
    }
    if (acts[a->act].changes && a->code == 0) {
        agent_say(a, "state: %s\n", q_name(sim.vm[a->vm].q[a->host]));
    }
}
