#include <string.h>

#include "shell_internal.h"

/*
 * S2: a node that does not hear an open term ends its VMs within no_quorum_timeout_ms of the last moment at
 * which it did. From one half of that time on they are asked to shut down, at 0.85 of it they are killed. The
 * agents run for the shell here, not for a job: nothing can be decided, nothing is journalled; a later
 * inventory tells what was done.
 */
#define BEGIN_PERCENT 50
#define FORCE_PERCENT 85

const struct state *quorum_state(const struct shell *sh)
{
    return sh->quorum.known != NULL ? sh->quorum.known : sh->st;
}

void quorum_keep(struct shell *sh, struct state *old, const struct state *fresh)
{
    if (sh->quorum.known == NULL && old->index > fresh->index) {
        sh->quorum.known = old;
    } else {
        state_free(old);
    }
}

/* The state knows as much again, or a majority says what is true now. */
static void forget(struct shell *sh)
{
    if (sh->quorum.known != NULL && (journal_is_open(sh->j) || sh->st->index >= sh->quorum.known->index)) {
        state_free(sh->quorum.known);
        sh->quorum.known = NULL;
    }
}

static uint64_t after(const struct shell *sh, unsigned percent)
{
    return sh->quorum.heard_ms + (uint64_t)quorum_state(sh)->opt.no_quorum_timeout_ms * percent / 100;
}

bool quorum_ending(const struct shell *sh)
{
    return !journal_is_open(sh->j) && sh->now >= after(sh, BEGIN_PERCENT) && !MUTANT(run_on_without_quorum);
}

static uint32_t left_ms(const struct shell *sh, unsigned percent, uint32_t least)
{
    uint64_t end = after(sh, percent);

    return end > sh->now + least ? (uint32_t)(end - sh->now) : least;
}

static void stop(struct shell *sh, const struct vm *vm)
{
    struct run *r = run_new(sh, RUN_SELF_STOP);
    struct event param;
    uint32_t timeout = sh->quorum.forced ? left_ms(sh, 100, 1000) : left_ms(sh, FORCE_PERCENT, 100);

    if (r == NULL) {
        return;
    }
    event_init(&param, EV_NONE);
    r->force = sh->quorum.forced;
    if (r->force) {
        pair_put(sh, &param, "force", "1");
    }
    shell_log(sh, LOG_L_WARNING, "no quorum: VM '%s' is %s", vm->name, r->force ? "killed" : "shut down");
    if (run_vm_agent(sh, r, vm, "stop", timeout, &param) != 0) {
        run_free(sh, r);
    }
}

/* Something of ours is at work on it already; in the last stage only what is as forceful counts. */
static bool is_ending(const struct shell *sh, const struct vm *vm)
{
    for (const struct run *r = sh->runs; r != NULL; r = r->next) {
        if (strcmp(r->uuid, vm->uuid) == 0 && (r->force || !sh->quorum.forced)) {
            return true;
        }
    }
    return false;
}

void quorum_inventory(struct shell *sh, const struct inventory *inv)
{
    const struct state *st = quorum_state(sh);
    uint32_t pause = st->opt.no_quorum_timeout_ms / 40;
    bool any = inv == NULL;

    if (!quorum_ending(sh)) {
        return;
    }
    for (unsigned i = 0; i < st->vms; i++) {
        const struct vm *vm = st->vm[i];

        /* Where nothing could be learnt, what the state says is here is killed in the end, blindly. */
        if (inv != NULL ? shell_inventory_obs(inv, vm->uuid) == OBS_ABSENT ||
                              (MUTANT(self_stop_by_claim) && (vm_claim(vm, sh->cfg.self) == NULL ||
                                                              vm_claim(vm, sh->cfg.self)->obs != OBS_RUNNING))
                        : !sh->quorum.forced || vm_claim(vm, sh->cfg.self) == NULL) {
            continue;
        }
        any = true;
        if (!is_ending(sh, vm)) {
            stop(sh, vm);
        }
    }
    pause = pause < 1000 ? pause : 1000;
    sh->quorum.look_ms = sh->now + (any || sh->runs != NULL ? pause : st->opt.monitor_interval_ms);
}

/* Whatever still goes on about a VM here, a slow shutdown or a start, has had its time. */
static void force(struct shell *sh)
{
    sh->quorum.forced = true;
    for (struct run *r = sh->runs; r != NULL; r = r->next) {
        if ((r->uuid[0] != '\0' && !MUTANT(agents_not_cancelled)) || r->purpose == RUN_INVENTORY) {
            sh->p.run.cancel(sh->p.run.ctx, r->id);
        }
    }
    quorum_inventory(sh, NULL); /* waits for nobody's word */
    sh->quorum.look_ms = sh->now;
}

void quorum_consider(struct shell *sh)
{
    forget(sh);
    if (journal_is_open(sh->j)) {
        uint64_t heard = MUTANT(heard_is_now) ? sh->now : journal_heard_ms(sh->j);

        sh->quorum.heard_ms = heard > sh->quorum.heard_ms ? heard : sh->quorum.heard_ms;
        if (sh->quorum.begun) {
            shell_log(sh, LOG_L_NOTICE, "quorum is back: no more VMs are ended");
            sh->quorum.begun = sh->quorum.forced = false;
            inventory_ask(sh, true);
        }
        return;
    }
    if (!quorum_ending(sh)) {
        return;
    }
    if (!sh->quorum.begun) {
        sh->quorum.begun = true;
        sh->quorum.look_ms = sh->now;
        shell_log(sh, LOG_L_WARNING, "no quorum for %llu ms: this node's VMs end (no_quorum_timeout_ms %u)",
                  (unsigned long long)(sh->now - sh->quorum.heard_ms),
                  quorum_state(sh)->opt.no_quorum_timeout_ms);
    }
    if (!sh->quorum.forced && sh->now >= after(sh, FORCE_PERCENT) && !MUTANT(ask_the_guest_for_ever)) {
        force(sh);
    }
    if (!sh->inv.running && sh->now >= sh->quorum.look_ms) {
        inventory_start(sh);
    }
}

uint64_t quorum_next_ms(const struct shell *sh)
{
    uint64_t next;

    if (journal_is_open(sh->j)) {
        return NEVER;
    }
    if (!sh->quorum.begun) {
        return after(sh, BEGIN_PERCENT);
    }
    next = sh->inv.running ? NEVER : sh->quorum.look_ms;
    if (!sh->quorum.forced && after(sh, FORCE_PERCENT) < next) {
        next = after(sh, FORCE_PERCENT);
    }
    return next;
}
