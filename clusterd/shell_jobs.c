#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shell_internal.h"

#define CODE_TIMED_OUT   124 /* as timeout(1) has them */
#define CODE_NOT_STARTED 127

#define LOG_LINES_MAX 20
#define LOG_LINE_MAX  300

/* What of an agent's output goes into the journal; the rest is for people who run it by hand. */
static const char *const result_keys[] = {"size_bytes", "free_bytes", "lock", "conflict"};

struct run *run_new(struct shell *sh, enum run_purpose purpose)
{
    struct run *r = calloc(1, sizeof *r);

    if (r == NULL) {
        shell_fail(sh, "out of memory");
        return NULL;
    }
    r->purpose = purpose;
    event_init(&r->result, EV_JOB_RESULT);
    r->next = sh->runs;
    sh->runs = r;
    return r;
}

void run_free(struct shell *sh, struct run *r)
{
    for (struct run **at = &sh->runs; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
    if (r->uuid[0] != '\0' && sh->inv.running) {
        /* C3: it worked on the VM while the inventory looked; what that saw of it may be older. */
        if (sh->inv.touches < INVENTORY_TOUCHES) {
            snprintf(sh->inv.touched[sh->inv.touches], sizeof sh->inv.touched[0], "%s", r->uuid);
        }
        sh->inv.touches++;
    }
    event_fini(&r->result);
    free(r);
}

void runs_fini(struct shell *sh)
{
    while (sh->runs != NULL) {
        run_free(sh, sh->runs);
    }
}

struct run *run_of_vm(const struct shell *sh, const char *uuid)
{
    for (struct run *r = sh->runs; r != NULL; r = r->next) {
        if (r->uuid[0] != '\0' && strcmp(r->uuid, uuid) == 0) {
            return r;
        }
    }
    return NULL;
}

static bool of_vm(enum job_kind k)
{
    return k >= JOB_START && k <= JOB_PROBE;
}

static bool is_here(const struct shell *sh, const struct job *j)
{
    return of_vm(j->kind) && (j->node == sh->cfg.self || j->to == sh->cfg.self);
}

bool jobs_busy(const struct shell *sh)
{
    for (unsigned i = 0; i < sh->st->jobs; i++) {
        if (is_here(sh, &sh->st->job[i])) {
            return true;
        }
    }
    return false;
}

bool jobs_touch(const struct shell *sh, const struct vm *vm)
{
    for (unsigned i = 0; i < sh->st->jobs; i++) {
        const struct job *j = &sh->st->job[i];

        if (is_here(sh, j) && strcmp(j->subject, vm->name) == 0) {
            return true;
        }
    }
    for (unsigned i = 0; i < sh->inv.touches && i < INVENTORY_TOUCHES; i++) {
        if (strcmp(sh->inv.touched[i], vm->uuid) == 0) {
            return true;
        }
    }
    return sh->inv.touches > INVENTORY_TOUCHES || run_of_vm(sh, vm->uuid) != NULL;
}

/* ------------------------------------------------------------------------------------------------- running
 */

void pair_put(struct shell *sh, struct event *e, const char *key, const char *fmt, ...)
{
    char value[EVENT_VALUE_MAX + 1];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    if (event_put(e, key, value) != 0) {
        shell_fail(sh, "out of memory");
    }
}

/* Gives it to the runner under a new number; param (of which only kv counts) is released. */
static int run_start(struct shell *sh, struct run *r, struct run_spec *spec, struct event *param)
{
    int rc;

    spec->id = r->id = ++sh->run_id;
    pair_put(sh, param, "CRM_meta_timeout", "%u", spec->timeout_ms);
    spec->param = param->kv;
    spec->params = param->kvs;
    rc = sh->failed ? RC_NO_MEMORY : sh->p.run.run(sh->p.run.ctx, spec);
    event_fini(param);
    return rc;
}

int run_agent(struct shell *sh, struct run *r, struct run_spec *spec, struct event *param)
{
    pair_put(sh, param, "hypervisor", "%s", sh->cfg.hypervisor);
    pair_put(sh, param, "lock_dir", "%s", sh->cfg.agent_lock_dir);
    return run_start(sh, r, spec, param);
}

int run_vm_agent(struct shell *sh, struct run *r, const struct vm *vm, const char *action,
                 uint32_t timeout_ms, struct event *param)
{
    struct run_spec spec = {.agent = "VirtualMachine", .action = action, .timeout_ms = timeout_ms};

    spec.serial = vm->uuid;
    spec.xml_uuid = vm->uuid;
    spec.xml = vm->xml;
    snprintf(r->uuid, sizeof r->uuid, "%s", vm->uuid);
    pair_put(sh, param, "uuid", "%s", vm->uuid);
    return run_agent(sh, r, &spec, param);
}

/* What there is of the VM, by C3's own measure: the inventory sees an agent's leftovers too, which hold its
 * lock. */
static int run_look(struct shell *sh, struct run *r, const struct vm *vm)
{
    struct event param;

    r->purpose = RUN_LOOK;
    event_init(&param, EV_NONE);
    return run_vm_agent(sh, r, vm, "inventory", AGENT_LOOK_MS, &param);
}

static const char *node_name(const struct shell *sh, uint32_t id)
{
    const struct node *n = state_node(sh->st, id);

    return n != NULL ? n->name : "";
}

static int start_vm_job(struct shell *sh, struct run *r)
{
    static const char *const actions[JOB_KINDS] = {
        [JOB_START] = "start",       [JOB_STOP] = "stop",     [JOB_SAVE] = "save",
        [JOB_RESTORE] = "restore",   [JOB_RESUME] = "resume", [JOB_RESET] = "reset",
        [JOB_MIGRATE] = "migrate_to"};
    const struct vm *vm = state_vm(sh->st, r->job.subject);
    struct event param;

    if (vm == NULL) {
        return RC_NOT_FOUND;
    }
    if (r->job.kind == JOB_PROBE) {
        return run_look(sh, r, vm);
    }
    event_init(&param, EV_NONE);
    if (r->job.kind == JOB_STOP && (r->job.flags & EVF_FORCE)) {
        pair_put(sh, &param, "force", "1");
    } else if (r->job.kind == JOB_SAVE) {
        pair_put(sh, &param, "state_file", "%s", vm->saved.path);
        pair_put(sh, &param, "tag", "%llu", (unsigned long long)r->job.id);
    } else if (r->job.kind == JOB_RESTORE) {
        pair_put(sh, &param, "state_file", "%s", vm->saved.path);
        pair_put(sh, &param, "tag", "%llu", (unsigned long long)vm->saved.tag);
    } else if (r->job.kind == JOB_RESUME && vm->saved.consumed) {
        pair_put(sh, &param, "state_file", "%s", vm->saved.path); /* spent once it runs */
    } else if (r->job.kind == JOB_MIGRATE) {
        pair_put(sh, &param, "CRM_meta_migrate_source", "%s", sh->cfg.name);
        pair_put(sh, &param, "CRM_meta_migrate_target", "%s", node_name(sh, r->job.to));
        pair_put(sh, &param, "migration_uri", "%s", sh->cfg.migration_uri);
        if (r->job.flags & EVF_PAUSED) {
            pair_put(sh, &param, "migrate_paused", "1");
        } else {
            /* libvirt knows few file systems as shared. The cluster has seen that these are: a lock that one
             * end held was refused at the other (C5). */
            pair_put(sh, &param, "migrate_unsafe", "1");
        }
    }
    return run_vm_agent(sh, r, vm, actions[r->job.kind], r->job.timeout_ms, &param);
}

static int run_fence(struct shell *sh, struct run *r, const char *action)
{
    const struct fence_device *f = state_fence(sh->st, r->job.subject);
    struct run_spec spec = {.fence = true, .action = action, .timeout_ms = r->job.timeout_ms};
    struct event param;

    if (f == NULL) {
        return RC_NOT_FOUND;
    }
    event_init(&param, EV_NONE);
    for (unsigned i = 0; i < f->params; i++) {
        pair_put(sh, &param, f->param[i].key, "%s", f->param[i].value);
    }
    spec.agent = f->agent;
    spec.serial = f->name;
    return run_start(sh, r, &spec, &param);
}

static int start_volume_job(struct shell *sh, struct run *r)
{
    static const char *const actions[JOB_KINDS] = {[JOB_VOLUME_START] = "start",
                                                   [JOB_VOLUME_STOP] = "stop",
                                                   [JOB_LOCK_HOLD] = "lock-hold",
                                                   [JOB_LOCK_TRY] = "lock-try"};
    const struct volume *v = state_volume(sh->st, r->job.subject);
    struct run_spec spec = {.agent = "SharedVolume", .timeout_ms = r->job.timeout_ms};
    struct event param;

    if (v == NULL) {
        return RC_NOT_FOUND;
    }
    event_init(&param, EV_NONE);
    pair_put(sh, &param, "name", "%s", v->name);
    pair_put(sh, &param, "source", "%s", v->source);
    pair_put(sh, &param, "path", "%s", v->path);
    pair_put(sh, &param, "node", "%s", sh->cfg.name);
    if (r->job.kind == JOB_LOCK_HOLD || r->job.kind == JOB_LOCK_TRY) {
        pair_put(sh, &param, "proof", "image-%u", r->job.kind == JOB_LOCK_HOLD ? r->job.node : r->job.to);
        pair_put(sh, &param, "hold_ms", "1500");
        pair_put(sh, &param, "want", "%s",
                 r->job.kind == JOB_LOCK_HOLD ? ""
                 : r->job.flags & EVF_HELD    ? "refused"
                                              : "granted");
    }
    spec.action = actions[r->job.kind];
    spec.serial = v->path;
    return run_start(sh, r, &spec, &param);
}

/* The end of a job: a fact, repeated until it is committed (A1). */
static void finish(struct shell *sh, struct run *r, uint64_t num, enum obs_state obs, const char *reason)
{
    struct event *e = &r->result;

    shell_log(sh, LOG_L_INFO, "job %llu, %s '%s', ended here with %llu", (unsigned long long)r->job.id,
              job_kind_key(r->job.kind), r->job.subject, (unsigned long long)num);
    e->id = r->job.id;
    e->node = sh->cfg.self;
    e->num = num;
    e->obs = obs;
    snprintf(e->subject, sizeof e->subject, "%s", r->job.subject);
    if (event_set_text(e, reason) != 0 || propose(sh, e, 0) != 0) {
        shell_fail(sh, "the result of job %llu cannot be kept", (unsigned long long)r->job.id);
    }
    run_free(sh, r);
}

static void start_job(struct shell *sh, const struct job *job)
{
    struct run *r = run_new(sh, RUN_JOB);
    int rc;

    if (r == NULL) {
        return;
    }
    r->job = *job;
    shell_log(sh, LOG_L_INFO, "job %llu, %s '%s', begins here", (unsigned long long)job->id,
              job_kind_key(job->kind), job->subject);
    if (of_vm(job->kind)) {
        rc = start_vm_job(sh, r);
    } else if (job->kind == JOB_FENCE || job->kind == JOB_FENCE_STATUS) {
        rc = run_fence(sh, r, job->kind == JOB_FENCE ? "off" : "status");
    } else {
        rc = start_volume_job(sh, r);
    }
    if (rc != 0) { /* nothing has been done; what is there is as unknown as before */
        finish(sh, r, CODE_NOT_STARTED, OBS_UNKNOWN,
               rc == RC_NOT_FOUND ? "it is not there any more" : rc_key(rc));
    }
}

/* It is never begun; whoever waits for its end is told. */
static void refuse_job(struct shell *sh, const struct job *job, const char *why)
{
    struct run *r = run_new(sh, RUN_JOB);

    if (r != NULL) {
        r->job = *job;
        finish(sh, r, CODE_NOT_STARTED, OBS_UNKNOWN, why);
    }
}

void jobs_start(struct shell *sh)
{
    if ((!shell_current(sh) && !MUTANT(begin_behind)) ||
        (shell_self(sh) == NULL && !MUTANT(effects_replayed)) || quorum_ending(sh) ||
        (sh->digest.disputed && !MUTANT(begin_in_a_dispute))) {
        return;
    }
    for (unsigned i = 0; i < sh->st->jobs && !sh->failed; i++) {
        const struct job *j = &sh->st->job[i];

        if ((j->id <= sh->job_mark && !MUTANT(start_twice)) || j->node != sh->cfg.self ||
            (j->session != sh->cfg.session && !MUTANT(effects_replayed))) {
            continue;
        }
        if (j->orphan) { /* N1: no fence for a loss that was before this one */
            refuse_job(sh, j, "the node was lost before it began");
        } else if (!sh->leaving || MUTANT(begin_while_leaving)) {
            start_job(sh, j);
        } else if (!of_vm(
                       j->kind)) { /* N2: what is in flight here would keep it from being "empty, leaving" */
            refuse_job(sh, j, "its clusterd is being stopped");
        }
    }
    sh->job_mark = sh->applied > sh->job_mark ? sh->applied : sh->job_mark;
}

/* A migration towards a node that is gone, or that an operator cancels, would wait for its time-out; ended
 * now, the VM goes on at its source (S6). What became of it is looked at afterwards, as ever. */
void jobs_cancel(struct shell *sh)
{
    for (struct run *r = sh->runs; r != NULL; r = r->next) {
        const struct node *to = state_node(sh->st, r->job.to);
        const struct op *o = state_op(sh->st, r->job.op);

        if (r->purpose != RUN_JOB || r->job.kind != JOB_MIGRATE || r->cancelled) {
            continue;
        }
        if ((to != NULL && (to->state == NODE_UNCLEAN || to->state == NODE_OFFLINE)) ||
            (o != NULL && o->cancel)) {
            shell_log(sh, LOG_L_NOTICE, "the migration of VM '%s' towards node '%s' is ended: %s",
                      r->job.subject, to != NULL ? to->name : "?",
                      o != NULL && o->cancel ? "cancelled" : "that node is lost");
            r->cancelled = true;
            sh->p.run.cancel(sh->p.run.ctx, r->id);
        }
    }
}

/* ------------------------------------------------------------------------------------------------- results
 */

/* The next line of an agent's output, its length in *len; NULL at the end. *at begins as the output. */
static const char *output_line(const char **at, size_t *len)
{
    const char *line = *at;

    if (line == NULL || *line == '\0') {
        return NULL;
    }
    *len = strcspn(line, "\n");
    *at = line[*len] != '\0' ? line + *len + 1 : NULL;
    return line;
}

/* The value of the last line `key: value`, copied; false when there is none that fits. */
static bool output_value(const char *output, const char *key, char *out, size_t size)
{
    size_t klen = strlen(key), len;
    const char *line;
    bool found = false;

    while ((line = output_line(&output, &len)) != NULL) {
        if (len > klen + 2 && strncmp(line, key, klen) == 0 && line[klen] == ':' && line[klen + 1] == ' ' &&
            len - klen - 2 < size) {
            memcpy(out, line + klen + 2, len - klen - 2);
            out[len - klen - 2] = '\0';
            found = true;
        }
    }
    return found;
}

static enum obs_state output_state(const struct run_result *res)
{
    char value[32];

    return output_value(res->output, "state", value, sizeof value) ? obs_from_key(value) : OBS_UNKNOWN;
}

static void keep_output(struct shell *sh, struct run *r, const struct run_result *res)
{
    char value[TEXT_SIZE];

    for (size_t i = 0; i < sizeof result_keys / sizeof result_keys[0]; i++) {
        if (output_value(res->output, result_keys[i], value, sizeof value) &&
            !(MUTANT(conflict_kept_back) && strcmp(result_keys[i], "conflict") == 0)) {
            pair_put(sh, &r->result, result_keys[i], "%s", value);
        }
    }
}

/* What the agent said of its work is worth more than its exit code to whoever looks for a reason later. */
static void log_output(struct shell *sh, const struct run *r, const char *output)
{
    const char *line;
    size_t len;

    for (unsigned n = 0; n < LOG_LINES_MAX && (line = output_line(&output, &len)) != NULL; n++) {
        if (strncmp(line, "progress:", 9) != 0 && len > 0) {
            shell_log(sh, LOG_L_INFO, "job %llu says: %.*s", (unsigned long long)r->job.id,
                      (int)(len < LOG_LINE_MAX ? len : LOG_LINE_MAX), line);
        }
    }
}

static void action_done(struct shell *sh, struct run *r, const struct run_result *res)
{
    const struct vm *vm = of_vm(r->job.kind) ? state_vm(sh->st, r->job.subject) : NULL;
    enum obs_state obs = res->started && !res->timed_out && res->code == 0   ? output_state(res)
                         : res->timed_out && MUTANT(timeout_taken_as_absent) ? OBS_ABSENT
                                                                             : OBS_UNKNOWN;

    r->code = !res->started ? CODE_NOT_STARTED : res->timed_out ? CODE_TIMED_OUT : res->code;
    snprintf(r->reason, sizeof r->reason, "%s", res->reason);
    keep_output(sh, r, res);
    log_output(sh, r, res->output);
    if (vm != NULL && obs == OBS_UNKNOWN && run_look(sh, r, vm) == 0) {
        return; /* what became of it? */
    }
    if (r->job.kind == JOB_FENCE && !(MUTANT(off_believed) && r->code == 0)) {
        /* Only its status proves it (S3), and proves it even when `off` itself complained. */
        r->purpose = RUN_STATUS;
        if (run_fence(sh, r, "status") == 0) {
            return;
        }
        r->code = r->code ? r->code : CODE_NOT_STARTED;
    }
    finish(sh, r, (uint64_t)(int64_t)r->code, obs, r->reason);
}

static void status_done(struct shell *sh, struct run *r, const struct run_result *res)
{
    char reason[TEXT_SIZE];

    if (res->started && !res->timed_out &&
        (res->code == 2 || (MUTANT(status_unread_is_off) && res->code != 0))) {
        finish(sh, r, 0, OBS_UNKNOWN, r->reason);
        return;
    }
    if (r->code != 0) {
        finish(sh, r, 1, OBS_UNKNOWN, r->reason);
        return;
    }
    snprintf(reason, sizeof reason, "off was reported done, but status %s: %.180s",
             res->started && !res->timed_out && res->code == 0 ? "says that it is on" : "could not be read",
             res->reason);
    finish(sh, r, 1, OBS_UNKNOWN, reason);
}

static void look_done(struct shell *sh, struct run *r, const struct run_result *res)
{
    enum obs_state obs = OBS_UNKNOWN;
    struct inventory inv;

    if (res->started && !res->timed_out && res->code == 0 &&
        shell_inventory_parse(res->output, &inv, NULL) == 0) {
        obs = inv.reachable ? shell_inventory_obs(&inv, r->uuid) : OBS_UNKNOWN;
        shell_inventory_fini(&inv);
    }
    if (r->job.kind == JOB_PROBE) {
        r->code = obs == OBS_UNKNOWN ? 1 : 0;
        snprintf(r->reason, sizeof r->reason, "%s", obs == OBS_UNKNOWN ? "libvirt cannot tell" : "");
    }
    finish(sh, r, (uint64_t)(int64_t)r->code, obs, r->reason);
}

void run_done(struct shell *sh, struct run *r, const struct run_result *res)
{
    switch (r->purpose) {
    case RUN_JOB:
        action_done(sh, r, res);
        break;
    case RUN_LOOK:
        look_done(sh, r, res);
        break;
    case RUN_STATUS:
        status_done(sh, r, res);
        break;
    case RUN_INVENTORY:
        run_free(sh, r);
        inventory_done(sh, res);
        break;
    case RUN_SELF_STOP:
        run_free(sh, r);
        break;
    }
}
