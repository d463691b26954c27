/* The operator: sets the cluster up, then wants this and that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define STEP_WAIT (20 * SECOND)

/* A daemon that can be asked now, or NULL. */
static struct host *somebody(void)
{
    int first = (int)draw((uint64_t)sim.n);

    for (int i = 0; i < sim.n; i++) {
        struct host *h = &sim.hosts[(first + i) % sim.n];

        if (h->on && h->sh != NULL && !h->paused && !h->daemon_paused && !h->inside) {
            return h;
        }
    }
    return NULL;
}

static void ask(struct host *h, uint64_t request, struct event *e)
{
    snprintf(e->by, sizeof e->by, "root@%.20s#%llu", h->name, (unsigned long long)request);
    sim.stats.commands++;
    sim.stats.events++;
    trace("%s: command %llu: %s %s node %u to %u", h->name, (unsigned long long)request, event_key(e->kind),
          e->subject, e->node, e->to);
    if (daemon_enter(h)) {
        shell_command(h->sh, request, e);
        daemon_left(h);
    } else {
        event_fini(e);
    }
}

void drive_answer(uint64_t request, int rc, const struct err *err, uint64_t op)
{
    trace("answer %llu: %s%s%s, operation %llu", (unsigned long long)request, rc_key(rc), err ? ": " : "",
          err ? err->msg : "", (unsigned long long)op);
    sim.stats.commands_ok += rc == 0;
    if (rc == 0) {
        effect_answered(request);
    }
    sim.stats.commands_refused += rc == RC_REFUSED;
    sim.stats.levels_refused += rc == RC_REFUSED && strcmp(err->hint, LEVEL_HINT) == 0;
    sim.stats.commands_no_quorum += rc == RC_NO_QUORUM;
    sim.stats.commands_timed_out += rc == RC_TIMED_OUT;
    if (sim.step_waits && request == sim.step_request) {
        sim.step_waits = false;
        sim.step_retry_at = sim.now + 200 * MS;
        if (rc == 0 || rc == RC_REFUSED) { /* refused: an earlier try of it has happened */
            sim.step++;
            sim.step_retry_at = 0;
        }
    }
}

/* --------------------------------------------------------------------------------------------------- setup
 */

static void setup_options(struct event *e)
{
    e->kind = EV_CMD_OPTION_SET;
    event_put(e, "no_quorum_timeout_ms", chance(500) ? "5000" : "8000");
    event_put(e, "restart_grace_ms", "2000");
    event_put(e, "startup_grace_ms", "3000");
    event_put(e, "fence_timeout_ms", "4000");
    event_put(e, "monitor_interval_ms", "2000");
}

/* Fence devices that reach so many hosts. */
static int devices(int hosts)
{
    return sim.second_devices ? 2 * hosts : hosts;
}

static void setup_volume(struct event *e, int v)
{
    e->kind = EV_CMD_VOLUME_ADD;
    snprintf(e->subject, sizeof e->subject, "vol%d", v);
    event_put(e, "type", "directory");
    event_putf(e, "source", "/shared/%d", v);
}

/* The BMC of each of so many hosts, and what else may cut its power. */
static void setup_fence(struct event *e, int device, int hosts)
{
    int i = device % hosts;

    e->kind = EV_CMD_FENCE_ADD;
    e->num = (uint64_t)(device / hosts); /* its level */
    snprintf(e->subject, sizeof e->subject, "%s%d", device < hosts ? "bmc" : "pdu", i + 1);
    event_put(e, "agent", "fence_sim");
    event_putf(e, "nodes", "%d", i + 1);
    event_putf(e, "param.host", "node%d", i + 1);
}

static void setup_vm(struct event *e, int i)
{
    static const char *const priorities[] = {"high", "medium", "low", "none"};
    struct vm_world *w = &sim.vm[i];

    e->kind = EV_CMD_VM_ADD;
    snprintf(e->subject, sizeof e->subject, "%s", w->name);
    event_put(e, "uuid", w->uuid);
    event_putf(e, "memory_mib", "%u", (unsigned)between(256, 2048));
    event_put(e, "cpus", "1");
    event_putf(e, "disk", "/var/lib/clusterd/volumes/vol%u/%s.img", w->volume, w->name);
    event_put(e, "priority", priorities[chance(50) ? 3 : draw(3)]);
    event_put(e, "start", chance(850) ? "1" : "0");
    event_put(e, "start_timeout_ms", "4000");
    event_put(e, "stop_timeout_ms", "4000");
    event_put(e, "migrate_timeout_ms", "8000");
    event_put(e, "restart_limit", "1000");
    event_set_text(e, "<domain/>");
}

static void setup(void)
{
    int step = (int)sim.step, first_vm = 1 + sim.volumes + devices(sim.n0);
    struct host *h = somebody();
    uint64_t rng = stream(STREAM_SETUP, (uint64_t)step);
    struct event e;

    if (step == first_vm + sim.vms) {
        sim.phase = PHASE_CHAOS;
        trace("setup is done");
        return;
    }
    if (h == NULL || (sim.step_waits && sim.now < sim.step_retry_at) || sim.now < sim.step_retry_at) {
        return;
    }
    event_init(&e, EV_NONE);
    stream_use(&rng);
    if (step == 0) {
        setup_options(&e);
    } else if (step <= sim.volumes) {
        setup_volume(&e, step - 1);
    } else if (step < first_vm) {
        setup_fence(&e, step - 1 - sim.volumes, sim.n0);
    } else {
        setup_vm(&e, step - first_vm);
    }
    sim.step_waits = true;
    sim.step_request = ++sim.request;
    sim.step_retry_at = sim.now + STEP_WAIT;
    ask(h, sim.step_request, &e);
}

/* ------------------------------------------------------------------------------------------------ operator
 */

/* One that was removed comes back; it may run already (REQ-F7). */
static void op_add(struct event *e, const struct state *st, int vm)
{
    uint32_t node = (uint32_t)between(1, (uint64_t)sim.n);
    const struct node *n = state_node(st, node);

    if (chance(500) && n != NULL && n->state == NODE_ONLINE) {
        world_start_by_hand(vm, (int)node - 1);
    }
    setup_vm(e, vm);
}

static void op_vm(struct event *e, const struct state *st)
{
    static const char *const modes[] = {"live", "quick", "auto"};
    int vm = (int)draw((uint64_t)sim.vms);
    const struct vm *there = state_vm(st, sim.vm[vm].name);

    snprintf(e->subject, sizeof e->subject, "%s", sim.vm[vm].name);
    if (there == NULL && chance(500)) {
        op_add(e, st, vm);
    } else if (there != NULL && there->claims == 0 && there->op == 0 && chance(150)) {
        e->kind = EV_CMD_VM_REMOVE;
    } else if (chance(100) && st->ops > 0) {
        e->kind = EV_CMD_OP_CANCEL;
        e->id = st->op[draw(st->ops)].id;
    } else if (chance(300)) {
        e->kind = EV_CMD_VM_START;
        e->to = chance(300) ? (uint32_t)between(1, (uint64_t)sim.n) : 0;
    } else if (chance(250)) {
        e->kind = EV_CMD_VM_STOP;
        e->flags = chance(300) ? EVF_FORCE : chance(500) ? EVF_SAVE : 0;
    } else if (chance(30)) {
        e->kind = EV_CMD_VM_REMOVE;
    } else if (chance(80)) {
        e->kind = EV_CMD_VM_RESET;
    } else if (chance(150)) {
        e->kind = EV_CMD_VM_SET;
        event_put(e, chance(500) ? "priority" : "migration", "none");
        if (chance(800)) {
            free(e->kv[0].value);
            e->kv[0].value = strdup(strcmp(e->kv[0].key, "priority") == 0 ? "medium" : "auto");
        }
    } else {
        e->kind = EV_CMD_VM_MIGRATE;
        e->to = chance(500) ? (uint32_t)between(1, (uint64_t)sim.n) : 0;
        event_put(e, "mode", modes[draw(3)]);
    }
}

/* His word is true: he has pulled the plug. */
static bool op_confirm(struct event *e, const struct state *st)
{
    for (uint32_t id = 1; id <= (uint32_t)sim.n; id++) { /* N3: … or he has not looked */
        const struct node *n = state_node(st, id);

        if (n != NULL && n->state == NODE_UNCLEAN && chance(120)) {
            e->kind = EV_CMD_NODE_CONFIRM_DOWN;
            e->node = id;
            e->flags = chance(250) ? EVF_FORCE : 0;
            sim.stats.confirmed_blindly++;
            return true;
        }
    }
    for (int i = 0; i < sim.n; i++) {
        struct host *t = &sim.hosts[i];

        if (!t->on && chance(700)) {
            t->power = false;
            world_returned(t);
            e->kind = EV_CMD_NODE_CONFIRM_DOWN;
            e->node = (uint32_t)i + 1;
            e->flags = chance(500) ? EVF_FORCE : 0;
            sim.stats.confirmed_down++;
            return true;
        }
    }
    return false;
}

/* Things come and go: a volume without VMs, a fence device. */
static void op_device(struct event *e)
{
    if (chance(500)) {
        setup_volume(e, sim.volumes);
        e->kind = chance(500) ? EV_CMD_VOLUME_ADD : EV_CMD_VOLUME_REMOVE;
    } else {
        setup_fence(e, (int)e->node - 1, sim.n);
        e->kind = chance(400) ? EV_CMD_FENCE_REMOVE : EV_CMD_FENCE_ADD;
    }
}

static void op_node(struct event *e, const struct state *st)
{
    e->node = (uint32_t)between(1, (uint64_t)sim.n);
    if (chance(300) && op_confirm(e, st)) {
        return;
    }
    if (chance(100)) {
        e->kind = chance(600) ? EV_CMD_DISARM : EV_CMD_ARM; /* N4 */
        if (e->kind == EV_CMD_DISARM && chance(500)) {
            event_putf(e, "for_ms", "%u", (unsigned)between(100, 20000));
        }
    } else if (chance(150)) {
        op_device(e);
    } else if (chance(450)) {
        e->kind = EV_CMD_NODE_DRAIN;
        event_put(e, "mode", chance(500) ? "live" : "quick");
        event_put(e, "blocked", chance(300) ? "shutdown" : chance(500) ? "quick" : "wait");
    } else if (chance(850)) {
        e->kind = EV_CMD_NODE_RESUME;
        event_put(e, "failback", chance(600) ? "now" : "no");
    } else if (chance(500)) {
        e->kind = EV_CMD_FENCE_TEST;
        snprintf(e->subject, sizeof e->subject, "bmc%u", e->node);
    } else {
        e->kind = EV_CMD_NODE_FENCE;
    }
}

/* S7, A16: the majority that is gone had consumed it, or written the disks since: it fits them no more, and
 * only the operator may say that it is void. */
static bool discard(struct host *h, const struct state *st)
{
    for (int i = 0; i < sim.vms && sim.forced; i++) {
        const struct vm_world *w = &sim.vm[i];
        const struct vm *vm = state_vm(st, w->name);
        struct event e;

        if (vm == NULL || vm->saved.tag == 0 || vm->saved.consumed || vm->claims > 0 || vm->op != 0 ||
            (w->file.tag == vm->saved.tag && w->file.gen == w->disk_gen)) {
            continue;
        }
        event_init(&e, EV_CMD_VM_STOP);
        snprintf(e.subject, sizeof e.subject, "%s", w->name);
        e.flags = EVF_FORCE;
        ask(h, ++sim.request, &e);
        return true;
    }
    return false;
}

/* After the faults: nothing new, but the cluster is armed, what was left drained takes VMs again, and every
 * node can be fenced. */
static void tidy(struct host *h)
{
    const struct state *st = shell_state(h->sh);
    char why[128];
    struct event e;

    if (st->disarm.index != 0) {
        event_init(&e, EV_CMD_ARM);
        ask(h, ++sim.request, &e);
        return;
    }
    if (!check_same_state(why, sizeof why)) { /* entries go on, so that they compare what they hold */
        event_init(&e, EV_CMD_OPTION_SET);
        event_put(&e, "starts_per_node", "4");
        ask(h, ++sim.request, &e);
    }
    if (discard(h, st)) {
        return;
    }
    for (int i = 0; i < devices(sim.n); i++) {
        const struct node *n = state_node(st, (uint32_t)(i % sim.n) + 1);

        event_init(&e, EV_NONE);
        if (n == NULL) {
            continue;
        }
        if (n->mode != MODE_ACTIVE && !node_is_leaving(st, n)) {
            e.kind = EV_CMD_NODE_RESUME;
            e.node = n->id;
            event_put(&e, "failback", "no");
        } else {
            setup_fence(&e, i, sim.n);
            if (state_fence(st, e.subject) != NULL) {
                event_fini(&e);
                continue;
            }
        }
        ask(h, ++sim.request, &e);
        return;
    }
}

static void one_wish(struct host *h)
{
    struct event e;

    event_init(&e, EV_NONE);
    if (chance(sim.grows ? 120 : 0) && member_wish(&e, shell_state(h->sh))) {
        ; /* that is it */
    } else if (chance(60)) {
        place_wish(&e, shell_state(h->sh));
    } else if (chance(800)) {
        op_vm(&e, shell_state(h->sh));
    } else {
        op_node(&e, shell_state(h->sh));
    }
    ask(h, ++sim.request, &e);
}

/* Scripts and several operators ask for much at once: what was decided before the first of it is applied
 * after it. */
static void wish(struct host *h)
{
    for (uint64_t n = chance(150) ? between(2, 5) : 1; n > 0 && h != NULL; n--) {
        one_wish(h);
        h = somebody();
    }
}

void operator_together(struct host *h, int vm)
{
    struct event e;

    if (h->sh == NULL || h->inside || sim.phase != PHASE_CHAOS) {
        return;
    }
    if (chance(600)) {
        one_wish(h);
        return;
    }
    event_init(&e, EV_CMD_DISARM);
    if (vm >= 0 && chance(500)) {
        e.kind = chance(500) ? EV_CMD_VM_STOP : EV_CMD_VM_REMOVE;
        snprintf(e.subject, sizeof e.subject, "%s", sim.vm[vm].name);
    } else {
        event_putf(&e, "for_ms", "%u", (unsigned)between(100, 5000));
    }
    ask(h, ++sim.request, &e);
}

/* A14: without a majority an operator has to find out who is wrong. */
static void end_dispute(void)
{
    struct host *h = &sim.hosts[sim.flip];

    if (sim.flipped && sim.n0 == 2 && h->sh != NULL && h->sh->digest.disputed && chance(50)) {
        trace("%s: the operator begins its daemon anew", h->name);
        sim.stats.disputes_ended++;
        daemon_kill(h);
    }
}

void drive_operator(void)
{
    uint64_t number = sim.asks++, rng = stream(STREAM_COMMAND, number);
    struct host *h;

    stream_use(&rng);
    at(sim.now + 1 + draw(2 * (sim.phase == PHASE_CHAOS ? sim.operator_mean_us : 40 * MS)), ITEM_OPERATOR, 0,
       0, 0);
    end_dispute();
    member_operator();
    h = somebody();
    if (sim.phase == PHASE_SETUP) {
        setup();
    } else if (h != NULL && sim.phase == PHASE_LIVENESS) {
        if (chance(sim.flipped ? 300 : 20)) {
            tidy(h);
        }
    } else if (h != NULL && kept(STREAM_COMMAND, number)) {
        wish(h);
    }
    stream_use(NULL);
}
