/* state_key.c - what people and programs see of a state: its words. */
#include "core/state.h"

static const char *const mode_keys[] = {"active", "draining", "drained"};
static const char *const wanted_keys[] = {"stopped", "running", "saved", "paused"};
static const char *const priority_keys[] = {"none", "low", "medium", "high"};
static const char *const op_kind_keys[OP_KINDS] = {
    "none",          "start",         "stop",     "save",       "reset", "live-migrate",
    "quick-migrate", "move",          "drain",    "resume",     "fence", "confirm-down",
    "fence-test",    "volume-remove", "node-add", "node-remove"};
static const char *const op_state_keys[OPS_STATES] = {"queued", "running",   "done",
                                                      "failed", "cancelled", "timed-out"};
static const char *const job_kind_keys[JOB_KINDS] = {
    "none",  "start", "stop",         "save",         "restore",     "resume",    "reset",   "migrate",
    "probe", "fence", "fence-status", "volume-start", "volume-stop", "lock-hold", "lock-try"};
static const char *const rule_kind_keys[RULE_KINDS] = {"apart", "together", "owners"};

const char *node_mode_key(enum node_mode m)
{
    return mode_keys[m];
}

const char *vm_wanted_key(enum vm_wanted w)
{
    return wanted_keys[w];
}

const char *priority_key(enum priority p)
{
    return priority_keys[p];
}

const char *op_kind_key(enum op_kind k)
{
    return op_kind_keys[k];
}

const char *op_state_key(enum op_state st)
{
    return op_state_keys[st];
}

const char *job_kind_key(enum job_kind k)
{
    return job_kind_keys[k];
}

const char *rule_kind_key(enum rule_kind k)
{
    return rule_kind_keys[k];
}

const char *node_state_key(const struct state *s, const struct node *n)
{
    static const char *const keys[NODE_STATES] = {"offline", "joining", "online", "daemon-lost", "unclean"};

    if (n->state == NODE_UNCLEAN) {
        for (unsigned i = 0; i < s->jobs; i++) {
            if (s->job[i].kind == JOB_FENCE && s->job[i].to == n->id) {
                return "fencing";
            }
        }
    }
    return keys[n->state];
}

/* While a job is in flight, the VM is what the job makes of it. */
static const char *vm_job_state(const struct state *s, const struct vm *vm)
{
    static const char *const keys[JOB_KINDS] = {[JOB_START] = "starting",
                                                [JOB_STOP] = "stopping",
                                                [JOB_SAVE] = "saving",
                                                [JOB_RESTORE] = "restoring",
                                                [JOB_MIGRATE] = "migrating"};
    const struct job *j = vm->job ? state_job(s, vm->job) : NULL;
    const struct op *o = vm->op ? state_op(s, vm->op) : NULL;

    if (j == NULL) {
        return NULL;
    }
    if (j->kind == JOB_RESUME) {
        return o != NULL && o->kind == OP_LIVE ? "migrating" : "restoring";
    }
    return keys[j->kind];
}

const char *vm_state_key(const struct state *s, const struct vm *vm)
{
    const char *key = vm_job_state(s, vm);
    bool paused = false, unknown = false, running = false;

    if (key != NULL) {
        return key;
    }
    for (unsigned i = 0; i < vm->claims; i++) {
        const struct node *n = state_node(s, vm->claim[i].node);
        bool known = n != NULL && n->state == NODE_ONLINE;

        running |= known && vm->claim[i].obs == OBS_RUNNING;
        paused |= known && (vm->claim[i].obs == OBS_PAUSED || vm->claim[i].obs == OBS_INCOMING);
        unknown |= !known || vm->claim[i].obs == OBS_UNKNOWN;
    }
    if (running) {
        return "running";
    }
    if (unknown) {
        return "unknown";
    }
    if (paused) {
        return "paused";
    }
    if (vm->saved.tag != 0 && !vm->saved.consumed) {
        return "saved";
    }
    return vm->wanted == WANT_RUNNING && vm->error[0] != '\0' && vm->op == 0 ? "failed" : "stopped";
}
