/* Agents and fence agents: from the runner's port through launch, lock, effect and answer to their end; and
 * the ways in which they fail. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* -------------------------------------------------------------------------------------------------- agents
 */

static bool holds_lock(const struct agent *a, int vm, int host)
{
    return acts[a->act].changes && a->vm == vm && a->host == host &&
           (a->phase == AP_BEGUN || a->phase == AP_ACTED || a->phase == AP_LEFT);
}

bool agent_locked(int vm, int host, const struct agent *but)
{
    for (const struct agent *a = sim.agents; a != NULL; a = a->next) {
        if (a != but && holds_lock(a, vm, host)) {
            return true;
        }
    }
    return false;
}

/* The daemon that launched it lives. */
static bool launcher_lives(const struct agent *a)
{
    return sim.hosts[a->host].session == a->session;
}

static void step(struct agent *a, uint64_t when)
{
    if (!a->killed && launcher_lives(a) && when > a->timeout_at) {
        when = a->timeout_at;
    }
    a->next_at = when > sim.now ? when : sim.now;
    at(a->next_at, ITEM_AGENT, a->host, a->uid, 0);
}

static void launch(struct agent *a)
{
    a->phase = AP_LAUNCHED;
    a->not_before = sim.now + sim.hosts[a->host].stall_us;
    a->timeout_at = a->not_before + a->timeout_ms * MS;
    step(a, a->not_before + between(500, 8 * MS));
}

/* The runner runs those with the same word one after the other. */
static bool must_wait(const struct agent *a)
{
    for (const struct agent *b = sim.agents; b != NULL && a->serial[0] != '\0'; b = b->next) {
        if (b != a && b->host == a->host && b->session == a->session && b->uid < a->uid && !b->killed &&
            strcmp(b->serial, a->serial) == 0) {
            return true;
        }
    }
    return false;
}

static void launch_next(int host)
{
    for (struct agent *a = sim.agents; a != NULL; a = a->next) {
        if (a->host == host && a->phase == AP_QUEUED && !must_wait(a)) {
            launch(a);
        }
    }
}

static void remove_agent(struct agent *a)
{
    struct agent **at_ = &sim.agents;

    while (*at_ != a) {
        at_ = &(*at_)->next;
    }
    *at_ = a->next;
    buf_fini(&a->out);
    free(a);
}

void agent_say(struct agent *a, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    buf_raw(&a->out, line, strlen(line));
}

void agent_failed(struct agent *a, const char *why)
{
    a->code = 1;
    snprintf(a->reason, sizeof a->reason, "%s", why);
}

/* Tells its daemon, if that is the one that launched it. The agent stays. */
static void report(struct agent *a, bool started, bool timed_out)
{
    struct host *h = &sim.hosts[a->host];
    struct run_result res = {.started = started, .timed_out = timed_out, .code = a->code};
    bool asked = a->asked;
    uint64_t id = a->id;
    int vm = a->vm;
    char *output;

    a->killed = true;
    if (!launcher_lives(a)) {
        return;
    }
    a->told = true;
    buf_u8(&a->out, 0);
    output = strdup((const char *)a->out.data);
    res.output = output;
    snprintf(res.reason, sizeof res.reason, "%s", a->reason);
    effect_told(a);
    if (daemon_enter(h)) {
        shell_run_done(h->sh, id, &res);
        daemon_left(h);
    }
    free(output);
    if (asked) {
        operator_together(h, vm);
    }
}

/* ----------------------------------------------------------------------------------------- an agent's steps
 */

/* Nobody kills it any more: it ends by its own deadline, and does or does not do what it was about. */
static void orphan(struct agent *a)
{
    a->phase = AP_LEFT;
    a->killed = true;
    sim.hosts[a->host].excused |= acts[a->act].changes;
    step(a, sim.now + between(100 * MS, 6 * SECOND));
}

static void hang(struct agent *a)
{
    sim.stats.agents_hung++;
    a->hangs = true;
    if (launcher_lives(a)) {
        step(a, a->timeout_at);
    } else {
        orphan(a);
    }
}

/* By a signal: its last words are lost, and its lock is free. */
static void die(struct agent *a)
{
    sim.stats.agents_died++;
    buf_reset(&a->out);
    a->code = 139;
    snprintf(a->reason, sizeof a->reason, "ended by signal 11");
}

/* Whoever launched it believes it until the next inventory. Only where nobody's disk depends on it: what must
 * not be believed (stopped, saved, moved) is the agents' own promise (C4), held by their tests. */
static void lie(struct agent *a)
{
    sim.stats.agents_lied++;
    a->acted = true;
    agent_say(a, "state: %s\n", a->act == ACT_RESTORE ? "paused" : "running");
}

static void begin(struct agent *a)
{
    if (acts[a->act].changes) {
        if (!launcher_lives(
                a)) { /* it looks, having its lock: whoever launched it is gone, so it does nothing */
            remove_agent(a);
            return;
        }
        if (agent_locked(a->vm, a->host, a)) {
            step(a, sim.now + 50 * MS);
            return;
        }
    }
    a->phase = AP_BEGUN;
    if (a->target_dies) {
        sim.stats.targets_died++;
        host_crash(&sim.hosts[a->target]);
    }
    if (a->fault == AF_FAIL_BEFORE) {
        sim.stats.agents_failed_before++;
        agent_failed(a, "simulated failure");
    } else if (a->fault == AF_DIE_BEFORE) {
        die(a);
    } else if (a->fault == AF_HANG_BEFORE) {
        hang(a);
        return;
    } else {
        step(a, sim.now + (a->act == ACT_MIGRATE ? between(10 * MS, 300 * MS) : a->effect_us));
        return;
    }
    a->phase = AP_ACTED;
    step(a, sim.now + a->done_us);
}

static void effect(struct agent *a)
{
    if (a->act == ACT_MIGRATE && sim.hosts[a->target].on && sim.hosts[a->target].paused) {
        step(a, sim.now + 100 * MS); /* the other end does not answer */
        return;
    }
    if (a->act == ACT_MIGRATE && !a->prepared && !sim.hosts[a->target].on && sim.now < a->timeout_at &&
        chance(950)) {
        step(a, sim.now +
                    between(200 * MS, SECOND)); /* TCP tries again: whoever boots there meanwhile answers */
        return;
    }
    if (a->act == ACT_MIGRATE && !a->prepared && world_migrate_begin(a)) {
        step(a, sim.now + a->effect_us);
        return;
    }
    if (a->act == ACT_TRY && world_lock_taken(a) != a->force && sim.now < a->wait_until) {
        step(a, sim.now + 20 * MS);
        return;
    }
    a->phase = AP_ACTED;
    if (a->fault == AF_LIE && a->act != ACT_OFF) {
        lie(a);
    } else {
        world_act(a);
    }
    if (a->fault == AF_DIE_AFTER) {
        die(a);
    } else if (a->fault == AF_FAIL_AFTER) {
        sim.stats.agents_failed_after++;
        agent_failed(a, "simulated failure, though it worked");
    } else if (a->fault == AF_GARBLED) {
        sim.stats.agents_garbled++;
        buf_reset(&a->out);
        agent_say(a, "\x01\xff%%s nonsense\nstate: \nvm vm vm\n");
    } else if (a->fault == AF_HANG_AFTER) {
        hang(a);
        return;
    }
    step(a, sim.now + a->done_us);
}

/* Its time is over, or somebody has had enough of it. What libvirt was told may go on without it. */
static void kill_agent(struct agent *a)
{
    bool timed_out = !a->cancelled, left = chaos() && chance(300);
    int host = a->host;
    uint64_t uid = a->uid;

    sim.stats.agents_killed++;
    a->code = 143;
    buf_reset(&a->out);
    snprintf(a->reason, sizeof a->reason, timed_out ? "timed out" : "cancelled");
    if (a->phase == AP_QUEUED || a->phase == AP_LAUNCHED) {
        left = false;
    } else if (left) {
        sim.stats.agents_left_behind++;
        a->phase = AP_LEFT;
        sim.hosts[host].excused |= acts[a->act].changes;
    } else {
        a->phase = AP_LAUNCHED; /* without its lock */
    }
    report(a, true, timed_out);
    for (a = sim.agents; a != NULL && a->uid != uid; a = a->next) {
    }
    if (a != NULL && left) {
        a->fault = AF_NONE;
        step(a, sim.now + between(10 * MS, 4 * SECOND));
    } else if (a != NULL) {
        if (a->act == ACT_MIGRATE && !a->acted && a->prepared) {
            at(sim.now + between(10 * MS, 2 * SECOND), ITEM_CLEAN, a->target, (uint64_t)a->vm, a->life);
        }
        remove_agent(a);
    }
    launch_next(host);
}

static void done(struct agent *a)
{
    int host = a->host;
    uint64_t uid = a->uid;

    a->phase = AP_LAUNCHED; /* its lock is free */
    report(a, true, false);
    for (a = sim.agents; a != NULL && a->uid != uid; a = a->next) {
    }
    if (a != NULL) { /* else its host died of the answer */
        remove_agent(a);
    }
    launch_next(host);
}

static void advance(struct agent *a)
{
    struct host *h = &sim.hosts[a->host];

    if (!a->killed && launcher_lives(a) && h->daemon_paused &&
        (a->phase == AP_ACTED || sim.now >= a->timeout_at)) {
        a->next_at = sim.now + 20 * MS; /* its daemon does not look */
        at(a->next_at, ITEM_AGENT, a->host, a->uid, 0);
        return;
    }
    if (!a->killed && launcher_lives(a) && sim.now >= a->timeout_at) {
        kill_agent(a);
        return;
    }
    switch (a->phase) {
    case AP_LAUNCHED:
        begin(a);
        break;
    case AP_BEGUN:
        effect(a);
        break;
    case AP_ACTED:
        done(a);
        break;
    case AP_LEFT:
        if (a->act == ACT_MIGRATE && !a->acted && !a->prepared && chance(600) && world_migrate_begin(a)) {
            step(a, sim.now + a->effect_us);
            return;
        }
        if (!a->acted && chance(600)) {
            world_act(a);
        }
        remove_agent(a);
        break;
    case AP_QUEUED:
        break;
    }
}

void agent_step(uint64_t uid)
{
    struct agent *a = sim.agents;

    while (a != NULL && a->uid != uid) {
        a = a->next;
    }
    if (a != NULL && a->next_at <= sim.now) {
        uint64_t rng = stream(STREAM_AGENT, a->number << 8 | ++a->steps), *before = stream_use(&rng);

        advance(a); /* it may be gone then */
        stream_use(before);
    }
}

/* With their host they end; what libvirt was told goes with it, but for a target's half of a migration. */
void agents_host_died(struct host *h)
{
    struct agent **at_ = &sim.agents;

    while (*at_ != NULL) {
        struct agent *a = *at_;

        if (a->host != h->id) {
            at_ = &a->next;
            continue;
        }
        if (a->act == ACT_MIGRATE && a->prepared && !a->acted && chance(800)) {
            at(sim.now + between(10 * MS, 2 * SECOND), ITEM_CLEAN, a->target, (uint64_t)a->vm, a->life);
        }
        *at_ = a->next;
        buf_fini(&a->out);
        free(a);
    }
}

void agents_daemon_died(struct host *h)
{
    struct agent **at_ = &sim.agents;

    while (*at_ != NULL) {
        struct agent *a = *at_;

        if (a->host == h->id && (a->phase == AP_QUEUED || a->not_before > sim.now)) {
            *at_ = a->next;
            buf_fini(&a->out);
            free(a);
            continue;
        }
        if (a->host == h->id && !a->killed) {
            sim.stats.agents_orphaned++;
            if (a->hangs) {
                orphan(a);
            }
        }
        at_ = &a->next;
    }
}

/* --------------------------------------------------------------------------------------------------- runner
 */

static const char *param(const struct run_spec *spec, const char *key)
{
    for (unsigned i = 0; i < spec->params; i++) {
        if (strcmp(spec->param[i].key, key) == 0) {
            return spec->param[i].value;
        }
    }
    return "";
}

static enum act act_find(const struct run_spec *spec)
{
    for (int i = 0; i < ACTS; i++) {
        if (strcmp(acts[i].action, spec->action) == 0 && strcmp(acts[i].agent, spec->agent) == 0) {
            return (enum act)i;
        }
    }
    fail("an agent that there is not: %s %s", spec->agent, spec->action);
    return ACTS;
}

static void draw_fault(struct agent *a, uint64_t number)
{
    bool may_lie = a->act == ACT_START || a->act == ACT_RESTORE || a->act == ACT_RESUME;

    /* Power off and status are both said to be what was asked for, and are not. Only in some seeds: S1 may be
     * broken by that lie alone, and all other seeds have to hold it without this excuse. */
    if (a->act == ACT_OFF && sim.lying_bmcs && chaos() && chance(500) && kept(STREAM_AGENT, number)) {
        a->fault = AF_LIE;
        return;
    }
    a->asked = chaos() && chance(20) && kept(STREAM_AGENT, number);
    a->target_dies = a->act == ACT_MIGRATE && chaos() && chance(150) && kept(STREAM_AGENT, number);
    if (!chaos() || !chance(sim.agent_fault_permille) || !kept(STREAM_AGENT, number)) {
        return;
    }
    a->fault = (enum agent_fault)between(AF_FAIL_BEFORE, may_lie ? AF_LIE : AF_DIE_AFTER);
    if (a->act == ACT_OFF || a->act == ACT_STATUS) {
        a->fault = chance(500) ? AF_FAIL_BEFORE : AF_FAIL_AFTER;
    }
    sim.hosts[a->host].excused |= a->act == ACT_STOP;
}

/* How long it will take. */
static void draw_times(struct agent *a, uint64_t hold_us)
{
    uint64_t late = a->timeout_ms > 300 ? (a->timeout_ms - 200) * MS : 50 * MS;

    a->effect_us = between(acts[a->act].low_ms, acts[a->act].high_ms) * MS;
    a->done_us = between(500, 5 * MS);
    if (a->act == ACT_HOLD) {
        a->effect_us = hold_us;
    } else if (a->act == ACT_STOP) {
        a->effect_us = a->force ? between(20, 120) * MS : a->effect_us;
        /* The guest does not listen: ended by force in time. */
        if ((!a->force && chance(200)) || a->effect_us + 100 * MS > a->timeout_ms * MS) {
            a->effect_us = late;
        }
    } else if (chaos() && chance(a->act == ACT_OFF ? 100 : 30)) {
        a->effect_us *= 10;
        sim.stats.agents_slow++;
        sim.stats.fences_slow += a->act == ACT_OFF;
    }
}

/* What its parameters say. */
static void read_params(struct agent *a, const struct run_spec *spec)
{
    const char *target = param(spec, a->act == ACT_MIGRATE ? "CRM_meta_migrate_target" : "host");

    a->force = strcmp(param(spec, "force"), "1") == 0;
    a->arrives_paused = strcmp(param(spec, "migrate_paused"), "1") == 0;
    a->tag = strtoull(param(spec, "tag"), NULL, 10);
    for (int i = 0; i < sim.vms && acts[a->act].changes; i++) {
        if (strcmp(sim.vm[i].uuid, param(spec, "uuid")) == 0) {
            a->vm = i;
            a->volume = sim.vm[i].volume;
        }
    }
    for (int i = 0; i < sim.n; i++) {
        if (strcmp(sim.hosts[i].name, target) == 0) {
            a->target = i;
        }
    }
    if (a->act >= ACT_MOUNT) {
        a->volume = (unsigned)strtoul(param(spec, "source") + strlen("/shared/"), NULL, 10);
    }
    if (a->act == ACT_HOLD || a->act == ACT_TRY) {
        a->tag = strtoull(param(spec, "proof") + strlen("image-"), NULL, 10);
        a->force = strcmp(param(spec, "want"), "refused") == 0;
    }
}

static int runner_run(void *ctx, const struct run_spec *spec)
{
    struct host *h = ctx;
    struct agent *a, **end = &sim.agents;
    enum act act = act_find(spec);
    uint64_t hold_us = strtoull(param(spec, "hold_ms"), NULL, 10) * MS;
    uint64_t number = ((uint64_t)h->id + 1) * 1000000 + ++h->launches;
    uint64_t rng = stream(STREAM_AGENT, number << 8), *before;

    if (act == ACTS || !daemon_effect(h)) {
        return RC_IO;
    }
    a = calloc(1, sizeof *a);
    a->uid = ++sim.uids;
    a->id = spec->id;
    a->host = h->id;
    a->session = h->session;
    a->act = act;
    a->vm = a->target = -1;
    a->timeout_ms = spec->timeout_ms;
    snprintf(a->serial, sizeof a->serial, "%s", spec->serial ? spec->serial : "");
    read_params(a, spec);
    a->number = number;
    before = stream_use(&rng);
    draw_times(a, hold_us);
    draw_fault(a, number);
    a->wait_until = sim.now + hold_us;
    effect_started(h, a);
    sim.stats.agents++;
    sim.stats.self_stops += act == ACT_STOP && !journal_is_open(h->sh->j);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = a;
    trace("%s: agent %s %s%s%s", h->name, spec->action, a->vm >= 0 ? sim.vm[a->vm].name : "",
          a->target >= 0 ? " -> " : "", a->target >= 0 ? sim.hosts[a->target].name : "");
    a->phase = AP_QUEUED;
    if (!must_wait(a)) {
        launch(a);
    }
    stream_use(before);
    return 0;
}

static void runner_cancel(void *ctx, uint64_t id)
{
    struct host *h = ctx;

    for (struct agent *a = sim.agents; a != NULL && daemon_effect(h); a = a->next) {
        if (a->host == h->id && a->session == h->session && a->id == id && !a->killed) {
            a->cancelled = true;
            a->timeout_at = sim.now;
            step(a, sim.now);
            return;
        }
    }
}

/* Fence agents of an earlier daemon; those of VMs are seen by their locks. */
static bool runner_fence_orphans(void *ctx)
{
    struct host *h = ctx;

    for (const struct agent *a = sim.agents; a != NULL; a = a->next) {
        if (a->host == h->id && a->act == ACT_OFF && a->session != h->session) {
            return true;
        }
    }
    return false;
}

struct runner_port agent_port(struct host *h)
{
    return (struct runner_port){h, runner_run, runner_cancel, runner_fence_orphans};
}
