#include "adapters/command_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapters/plan.h"

#define EVENTS_LIMIT 500 /* rows of one answer: within IPC_MESSAGE_MAX */

/* ---- queries ---- */

struct json_object *answer_wrap(const char *key, struct json_object *value)
{
    struct json_object *o = json_object_new_object();

    (void)json_object_object_add(o, key, value);
    return o;
}

static int not_found(struct call *c, const char *what, const char *name)
{
    (void)err_set(c->err, RC_NOT_FOUND, "there is no %s '%s'", what, name);
    err_hint(c->err, "clusterctl %s list shows them", strcmp(what, "VM") == 0 ? "vm" : what);
    return RC_NOT_FOUND;
}

static int q_status(struct call *c, struct json_object **result)
{
    *result = view_status(&c->view);
    return 0;
}

static int q_quorum(struct call *c, struct json_object **result)
{
    *result = view_quorum(&c->view);
    return 0;
}

/* `X list` is the part of status of that name. */
static int part_of_status(struct call *c, const char *key, struct json_object **result)
{
    struct json_object *status = view_status(&c->view), *part = NULL;

    (void)json_object_object_get_ex(status, key, &part);
    *result = answer_wrap(key, json_object_get(part));
    json_object_put(status);
    return 0;
}

static int q_node_list(struct call *c, struct json_object **result)
{
    return part_of_status(c, "nodes", result);
}

static int q_node_show(struct call *c, struct json_object **result)
{
    *result = view_node(&c->view, arg_node(c, "node"), true);
    return 0;
}

static int q_vm_list(struct call *c, struct json_object **result)
{
    return part_of_status(c, "vms", result);
}

static int q_vm_show(struct call *c, struct json_object **result)
{
    const struct vm *vm = state_vm(c->view.s, arg_text(c, "vm"));

    if (vm == NULL) {
        return not_found(c, "VM", arg_text(c, "vm"));
    }
    *result = view_vm(&c->view, vm, true);
    if (arg_flag(c, "xml")) {
        (void)json_object_object_add(*result, "xml", json_object_new_string(vm->xml));
    }
    return 0;
}

static int q_volume_list(struct call *c, struct json_object **result)
{
    return part_of_status(c, "volumes", result);
}

static int q_volume_show(struct call *c, struct json_object **result)
{
    const struct volume *vol = state_volume(c->view.s, arg_text(c, "volume"));

    if (vol == NULL) {
        return not_found(c, "volume", arg_text(c, "volume"));
    }
    *result = view_volume(&c->view, vol, true);
    return 0;
}

static int q_fence_list(struct call *c, struct json_object **result)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < c->view.s->fences; i++) {
        (void)json_object_array_add(list, view_fence(&c->view, c->view.s->fence[i], arg_flag(c, "secrets")));
    }
    *result = answer_wrap("fences", list);
    return 0;
}

static int q_rule_list(struct call *c, struct json_object **result)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < c->view.s->rules; i++) {
        (void)json_object_array_add(list, view_rule(&c->view, c->view.s->rule[i]));
    }
    *result = answer_wrap("rules", list);
    return 0;
}

static int q_option_list(struct call *c, struct json_object **result)
{
    *result = answer_wrap("options", view_options(&c->view));
    return 0;
}

static int q_ops_list(struct call *c, struct json_object **result)
{
    struct json_object *list = json_object_new_array();
    const struct state *s = c->view.s;

    for (unsigned i = 0; i < s->ops; i++) {
        if (arg_flag(c, "all") || s->op[i].state < OPS_DONE) {
            (void)json_object_array_add(list, view_operation(&c->view, &s->op[i], false));
        }
    }
    *result = answer_wrap("operations", list);
    return 0;
}

static int q_ops_show(struct call *c, struct json_object **result)
{
    uint64_t id = arg_number(c, "op", 0);
    const struct op *op = state_op(c->view.s, id);

    if (op == NULL) {
        (void)err_set(c->err, RC_NOT_FOUND, "there is no operation %" PRIu64, id);
        err_hint(c->err, "the last %d ended ones are kept; clusterctl events shows the older ones", OPS_KEPT);
        return RC_NOT_FOUND;
    }
    *result = view_operation(&c->view, op, true);
    return 0;
}

static int explained(struct call *c, const char *key, const char *name, int rc, struct buf *b,
                     struct json_object **result)
{
    if (rc == 0 && b->failed) {
        rc = err_set(c->err, RC_NO_MEMORY, "out of memory");
    }
    if (rc == 0) {
        *result = answer_wrap(key, json_object_new_string(name));
        (void)json_object_object_add(*result, "text",
                                     json_object_new_string_len((const char *)b->data, (int)b->len));
    }
    buf_fini(b);
    return rc;
}

static int q_explain_vm(struct call *c, struct json_object **result)
{
    const char *name = arg_text(c, "vm");
    struct buf b = BUF_INIT;
    int rc = core_explain_vm(c->view.s, &c->view.world, name, &b);

    if (rc == RC_NOT_FOUND) {
        (void)not_found(c, "VM", name);
    }
    return explained(c, "vm", name, rc, &b, result);
}

static int q_explain_node(struct call *c, struct json_object **result)
{
    const char *name = arg_text(c, "node");
    struct buf b = BUF_INIT;

    return explained(c, "node", name, core_explain_node(c->view.s, &c->view.world, name, &b), &b, result);
}

static void add_row(void *list, const struct history_row *row)
{
    (void)json_object_array_add(list, view_event(row));
}

static int q_events(struct call *c, struct json_object **result)
{
    struct json_object *list = json_object_new_array();
    struct history_filter f = {.after_index = arg_number(c, "after_index", 0),
                               .before_index = arg_number(c, "before_index", 0),
                               .since_ms = (int64_t)arg_number(c, "since_ms", 0),
                               .vm = arg_text(c, "vm"),
                               .node = arg_text(c, "node"),
                               .limit = (unsigned)arg_number(c, "limit", EVENTS_LIMIT)};
    int rc;

    if (f.limit == 0 || f.limit > EVENTS_LIMIT) {
        f.limit = EVENTS_LIMIT;
    }
    rc = c->ctx->store->history_read(c->ctx->store->ctx, &f, add_row, list);
    if (rc != 0) {
        json_object_put(list);
        return err_set(c->err, rc, "the audit trail cannot be read on this node");
    }
    *result = answer_wrap("events", list);
    return 0;
}
/* ---- plans: the same commands, on a copy of the state ---- */

static int plan_one(struct call *c, struct plan *p)
{
    int rc = event_fill_word(c, "mode");

    rc = rc != 0 ? rc : event_fill_word(c, "blocked");
    rc = rc != 0 ? rc : plan_command(p, &c->event, c->err);
    event_fini(&c->event);
    return rc;
}

static int q_plan_migrate(struct call *c, struct json_object **result)
{
    const struct node *to = arg_node(c, "to");
    struct json_object *vms;
    struct plan p;
    int rc = plan_init(&p, &c->view, c->err);

    (void)json_object_object_get_ex(c->args, "vms", &vms);
    for (size_t i = 0; rc == 0 && i < json_object_array_length(vms); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(vms, i));

        event_init(&c->event, EV_CMD_VM_MIGRATE);
        (void)snprintf(c->event.subject, sizeof c->event.subject, "%s", name);
        c->event.to = to ? to->id : 0;
        if (plan_one(c, &p) != 0) {
            plan_refused(&p, name, c->err->msg);
        }
    }
    if (rc == 0) {
        *result = answer_wrap("plan", plan_finish(&p, 0));
    }
    plan_fini(&p);
    return rc;
}

static int q_plan_drain(struct call *c, struct json_object **result)
{
    struct json_object *nodes;
    node_set drained = 0;
    struct plan p;
    int rc = plan_init(&p, &c->view, c->err);

    (void)json_object_object_get_ex(c->args, "nodes", &nodes);
    for (size_t i = 0; rc == 0 && i < json_object_array_length(nodes); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(nodes, i));
        uint32_t id = state_node_by_name(c->view.s, name)->id;

        event_init(&c->event, EV_CMD_NODE_DRAIN);
        c->event.node = id;
        drained |= NODE_BIT(id);
        rc = plan_one(c, &p);
    }
    if (rc == 0) {
        *result = answer_wrap("plan", plan_finish(&p, drained));
    }
    plan_fini(&p);
    return rc;
}

const struct command query_commands[] = {
    {"status", EV_NONE, q_status, {{0}}},
    {"quorum", EV_NONE, q_quorum, {{0}}},
    {"node list", EV_NONE, q_node_list, {{0}}},
    {"node show", EV_NONE, q_node_show, {NODE("node")}},
    {"node drain plan",
     EV_NONE,
     q_plan_drain,
     {{"nodes", ARG_NODES, true, NULL}, MODE, {"blocked", ARG_WORD, false, "wait|quick|shutdown"}}},
    {"vm list", EV_NONE, q_vm_list, {{0}}},
    {"vm show", EV_NONE, q_vm_show, {NAME("vm"), FLAG("xml")}},
    {"vm migrate plan",
     EV_NONE,
     q_plan_migrate,
     {{"vms", ARG_NAMES, true, NULL}, {"to", ARG_NODE, false, NULL}, MODE}},
    {"volume list", EV_NONE, q_volume_list, {{0}}},
    {"volume show", EV_NONE, q_volume_show, {NAME("volume")}},
    {"fence list", EV_NONE, q_fence_list, {FLAG("secrets")}},
    {"explain vm", EV_NONE, q_explain_vm, {NAME("vm")}},
    {"explain node", EV_NONE, q_explain_node, {NODE("node")}},
    {"rule list", EV_NONE, q_rule_list, {{0}}},
    {"option list", EV_NONE, q_option_list, {{0}}},
    {"ops list", EV_NONE, q_ops_list, {FLAG("all")}},
    {"ops show", EV_NONE, q_ops_show, {{"op", ARG_NUMBER, true, NULL}}},
    {"events",
     EV_NONE,
     q_events,
     {NUMBER("after_index"),
      NUMBER("before_index"),
      NUMBER("since_ms"),
      {"vm", ARG_NAME, false, NULL},
      {"node", ARG_NODE, false, NULL},
      NUMBER("limit")}},
    {.name = NULL},
};
