#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shell_internal.h"

#define LOOK_MIN_MS 100 /* between two that something asked for */
#define LOOK_BUSY_MS                                                                                         \
    1000 /* while jobs of ours, whose results tell, are what happens: one that was asked for waits */
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 10000

/* ------------------------------------------------------------------------------------------------- parsing
 */

void shell_inventory_fini(struct inventory *inv)
{
    free(inv->vm);
    memset(inv, 0, sizeof *inv);
}

static int vm_cmp(const void *a, const void *b)
{
    return strcmp(((const struct inventory_vm *)a)->uuid, ((const struct inventory_vm *)b)->uuid);
}

enum obs_state shell_inventory_obs(const struct inventory *inv, const char *uuid)
{
    struct inventory_vm key;
    const struct inventory_vm *vm;

    snprintf(key.uuid, sizeof key.uuid, "%s", uuid);
    vm = inv->n > 0 ? bsearch(&key, inv->vm, inv->n, sizeof key, vm_cmp) : NULL;
    return vm != NULL ? vm->obs : OBS_ABSENT;
}

/* The next word of [*at, end), ended by a blank or the end; false when there is none. */
static bool word(const char **at, const char *end, const char **w, size_t *len)
{
    while (*at < end && **at == ' ') {
        (*at)++;
    }
    *w = *at;
    while (*at < end && **at != ' ') {
        (*at)++;
    }
    *len = (size_t)(*at - *w);
    return *len > 0;
}

static bool word_is(const char *w, size_t len, const char *what)
{
    return len == strlen(what) && memcmp(w, what, len) == 0;
}

static bool uuid_valid(const char *w, size_t len)
{
    if (len != 36) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? w[i] != '-' : !((w[i] >= '0' && w[i] <= '9') || (w[i] >= 'a' && w[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

/* Digits only, at most nine. */
static bool number(const char *w, size_t len, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (len > 9 || w[i] < '0' || w[i] > '9') {
            return false;
        }
        *out = *out * 10 + (unsigned)(w[i] - '0');
    }
    return len > 0;
}

/* The agents' words beyond our own. What is on its way to another state is unknown until it is there. */
static bool parse_state(const char *w, size_t len, enum obs_state *obs)
{
    static const char *const passing[] = {"unknown", "starting", "saving", "stopping"};

    for (int o = OBS_ABSENT; o < OBS_COUNT; o++) {
        if (word_is(w, len, obs_key((enum obs_state)o))) {
            *obs = (enum obs_state)o;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        if (word_is(w, len, passing[i])) {
            *obs = MUTANT(unknown_taken_as_absent) ? OBS_ABSENT : OBS_UNKNOWN;
            return true;
        }
    }
    *obs = OBS_PAUSED; /* a crashed guest whose QEMU was kept: its memory is there, nothing runs */
    return word_is(w, len, "crashed");
}

/* "UUID STATE NAME pid=PID lock=free|held" */
static bool parse_vm(const char *at, const char *end, struct inventory_vm *vm)
{
    const char *w;
    size_t len;
    unsigned pid;

    if (!word(&at, end, &w, &len) || !uuid_valid(w, len)) {
        return false;
    }
    memcpy(vm->uuid, w, len);
    memset(vm->uuid + len, 0, sizeof vm->uuid - len);
    if (!word(&at, end, &w, &len) || !parse_state(w, len, &vm->obs) || !word(&at, end, &w, &len)) {
        return false;
    }
    if (!word(&at, end, &w, &len) || len < 5 || memcmp(w, "pid=", 4) != 0) {
        return false;
    }
    w += 4, len -= 4;
    if (!number(*w == '-' ? w + 1 : w, *w == '-' ? len - 1 : len, &pid) || !word(&at, end, &w, &len) ||
        at != end) {
        return false;
    }
    if (word_is(w, len, "lock=held")) {
        vm->obs = MUTANT(orphan_taken_as_absent)
                      ? OBS_ABSENT
                      : OBS_UNKNOWN; /* C3: an agent that outlived its clusterd is at work on it */
        return true;
    }
    return word_is(w, len, "lock=free");
}

static bool starts(const char *line, const char *end, const char *with)
{
    size_t len = strlen(with);

    return (size_t)(end - line) >= len && memcmp(line, with, len) == 0;
}

static bool parse_line(struct inventory *inv, unsigned *cap, const char *line, const char *end, bool *ended)
{
    unsigned n;

    if (starts(line, end, "end ")) {
        *ended = true;
        return number(line + 4, (size_t)(end - line) - 4, &n) && n == inv->n;
    }
    if (!starts(line, end, "vm ") || inv->n >= EVENT_KV_MAX) {
        return false;
    }
    if (inv->n == *cap) {
        unsigned more = *cap ? 2 * *cap : 16;
        struct inventory_vm *vm = realloc(inv->vm, more * sizeof *vm);

        if (vm == NULL) {
            return false;
        }
        inv->vm = vm;
        *cap = more;
    }
    return parse_vm(line + 3, end, &inv->vm[inv->n]) && ++inv->n > 0;
}

static bool parse(const char *text, struct inventory *inv, unsigned *lines)
{
    unsigned cap = 0;
    bool ended = false;

    for (const char *line = text; *line != '\0';) {
        const char *end = strchr(line, '\n');

        if (end == NULL || ended) { /* cut, or something behind the end */
            return false;
        }
        if (++*lines > 1) {
            if (!parse_line(inv, &cap, line, end, &ended)) {
                return false;
            }
        } else if (word_is(line, (size_t)(end - line), "libvirt: ok")) {
            inv->reachable = true;
        } else if (!word_is(line, (size_t)(end - line), "libvirt: unreachable")) {
            return false;
        }
        line = end + 1;
    }
    return ended;
}

int shell_inventory_parse(const char *text, struct inventory *out, struct err *err)
{
    unsigned lines = 0;

    memset(out, 0, sizeof *out);
    if (!parse(text, out, &lines)) {
        shell_inventory_fini(out);
        return err_set(err, RC_BAD_INPUT, "the inventory makes no sense at line %u", lines);
    }
    if (out->n > 1) {
        qsort(out->vm, out->n, sizeof *out->vm, vm_cmp);
    }
    for (unsigned i = 1; i < out->n; i++) {
        if (strcmp(out->vm[i - 1].uuid, out->vm[i].uuid) == 0) {
            shell_inventory_fini(out);
            return err_set(err, RC_BAD_INPUT, "the inventory names a VM twice");
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------- looking
 */

/* C3: no decision about this node's VMs before it has said, in this term, what it runs. */
static bool term_unsaid(const struct shell *sh)
{
    const struct node *n = shell_self(sh);

    return n != NULL && (n->state == NODE_JOINING || n->state == NODE_ONLINE) &&
           n->inventory_term != sh->st->term;
}

/* Another look is needed, after a growing pause. */
static void look_again(struct shell *sh, bool again)
{
    uint32_t pause = sh->inv.pause_ms ? sh->inv.pause_ms + PAUSE_MIN_MS : PAUSE_MIN_MS;

    sh->inv.pause_ms = !again ? 0 : pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
    sh->inv.due_ms = again ? sh->now + sh->inv.pause_ms : 0;
}

void inventory_ask(struct shell *sh, bool at_once)
{
    if (at_once || !sh->inv.again) {
        sh->inv.asked_ms = at_once ? 0 : sh->now;
    }
    sh->inv.again = true;
}

void inventory_start(struct shell *sh)
{
    struct run_spec spec = {.agent = "VirtualMachine", .action = "inventory", .timeout_ms = AGENT_LOOK_MS};
    struct run *r = run_new(sh, RUN_INVENTORY);
    struct event param;

    if (r == NULL) {
        return;
    }
    if (quorum_ending(sh)) { /* S2 cannot wait for a libvirt that hangs */
        spec.timeout_ms = quorum_state(sh)->opt.no_quorum_timeout_ms / 10;
    }
    sh->inv.running = true;
    sh->inv.touches = 0;
    sh->inv.again = false;
    sh->inv.index = sh->applied;
    sh->inv.term = sh->st->term;
    sh->inv.last_ms = sh->now;
    event_init(&param, EV_NONE);
    if (run_agent(sh, r, &spec, &param) != 0) {
        run_free(sh, r);
        sh->inv.running = false;
        look_again(sh, true);
    }
}

/* When the next one is wanted: at once for the term's first, soon after shell_look, else at the interval;
 * after one that left something open, after its pause. */
static uint64_t due_ms(const struct shell *sh)
{
    uint64_t regular = sh->inv.last_ms + sh->st->opt.monitor_interval_ms;

    if (sh->inv.again) {
        uint64_t asked = sh->inv.asked_ms + (sh->inv.asked_ms && jobs_busy(sh) ? LOOK_BUSY_MS : 0);
        uint64_t at = sh->inv.last_ms + LOOK_MIN_MS > asked ? sh->inv.last_ms + LOOK_MIN_MS : asked;

        return at < regular ? at : regular;
    }
    if (sh->inv.pause_ms > 0) {
        return sh->inv.due_ms < regular ? sh->inv.due_ms : regular;
    }
    return term_unsaid(sh) ? 0 : regular;
}

static bool may_look(const struct shell *sh)
{
    return !sh->inv.running && !sh->leaving && shell_self(sh) != NULL && shell_current(sh) &&
           !propose_waits(sh, EV_INVENTORY) && !propose_waits(sh, EV_NODE_UP);
}

void inventory_consider(struct shell *sh)
{
    if (may_look(sh) && sh->now >= due_ms(sh)) {
        inventory_start(sh);
    }
}

uint64_t inventory_next_ms(const struct shell *sh)
{
    return may_look(sh) ? due_ms(sh) : NEVER;
}

/* --------------------------------------------------------------------------------------------- reporting */

/* What may be said of one VM. While something of ours is, or was meanwhile, at work on it: nothing (C3). */
static enum obs_state reported(const struct shell *sh, const struct inventory *inv, const struct vm *vm)
{
    if (vm->changed > sh->inv.index || jobs_touch(sh, vm)) {
        return OBS_UNKNOWN;
    }
    return shell_inventory_obs(inv, vm->uuid);
}

/* Adds what is not absent to e. *differs: the state says something else; *open: something is unknown. */
static int gather(struct shell *sh, const struct inventory *inv, struct event *e, bool *differs, bool *open)
{
    for (unsigned i = 0; i < sh->st->vms; i++) {
        const struct vm *vm = sh->st->vm[i];
        const struct claim *c = vm_claim(vm, sh->cfg.self);
        enum obs_state obs = reported(sh, inv, vm);
        int rc = 0;

        if (obs != OBS_ABSENT &&
            (obs != OBS_UNKNOWN || c != NULL || shell_inventory_obs(inv, vm->uuid) != OBS_ABSENT)) {
            rc = event_put(e, vm->uuid, obs_key(obs));
        }
        if (rc != 0) {
            return rc;
        }
        if (vm->changed > sh->inv.index && (vm->unseen & NODE_BIT(sh->cfg.self)) != 0) {
            inventory_ask(sh, true); /* a command came in between, and its start waits for this word (C1) */
        } else if (obs == OBS_UNKNOWN) {
            *open = true;
        } else if (obs != (c != NULL ? c->obs : OBS_ABSENT) || (vm->unseen & NODE_BIT(sh->cfg.self)) != 0) {
            *differs = true;
        }
    }
    return 0;
}

static void report(struct shell *sh, const struct inventory *inv)
{
    struct event e;
    bool differs = false, open = false;

    if (shell_self(sh) == NULL || sh->inv.term != sh->st->term || !shell_current(sh)) {
        look_again(sh, false);
        return;
    }
    if (sh->p.run.fence_orphans(sh->p.run.ctx) && !MUTANT(fence_orphan_forgotten)) {
        look_again(sh, true);
        return;
    }
    event_init(&e, EV_INVENTORY);
    e.node = sh->cfg.self;
    e.index = sh->inv.index;
    e.num = sh->inv.term;
    e.flags = EVF_COMPLETE;
    if (gather(sh, inv, &e, &differs, &open) != 0) {
        shell_log(sh, LOG_L_ERROR, "the inventory is too large");
    } else if (term_unsaid(sh) || differs) {
        propose(sh, &e, 0);
    }
    event_fini(&e);
    look_again(sh, open);
}

void inventory_done(struct shell *sh, const struct run_result *res)
{
    struct inventory inv = {0};
    struct err err = ERR_INIT;
    int rc = RC_FAILED;

    sh->inv.running = false;
    if (res->started && !res->timed_out && res->code == 0) {
        rc = shell_inventory_parse(res->output, &inv, &err);
    } else {
        err_set(&err, rc, "the inventory failed: %s", res->reason);
    }
    if (rc != 0) {
        shell_log(sh, LOG_L_WARNING, "%s", err.msg);
    }
    if (rc != 0 ||
        (!inv.reachable && !MUTANT(unknown_taken_as_absent))) { /* libvirt restarts: unknown, not absent */
        quorum_inventory(sh, NULL);
        look_again(sh, true);
    } else {
        quorum_inventory(sh, &inv);
        report(sh, &inv);
    }
    shell_inventory_fini(&inv);
}
