#include "adapters/command_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/domain_xml.h"
#include "common/json.h"

static void name_copy(char out[NAME_SIZE], const char *text)
{
    (void)snprintf(out, NAME_SIZE, "%s", text ? text : "");
}
/* ---- commands: each fills c->event ---- */

static int fill_pairs(struct call *c, const char *arg, const char *prefix)
{
    struct json_object *pairs;

    if (!json_object_object_get_ex(c->args, arg, &pairs)) {
        return 0;
    }
    JSON_EACH(pairs, it)
    {
        const char *key = json_object_iter_peek_name(&it);
        struct json_object *value = json_object_iter_peek_value(&it);

        char full[NAME_SIZE + 8];

        (void)snprintf(full, sizeof full, "%s%s", prefix, key);
        if (event_put(&c->event, full, json_object_get_string(value)) != 0) {
            return err_set(c->err, RC_BAD_INPUT, "'%s' is too much for one command", key);
        }
    }
    return 0;
}

int event_fill_word(struct call *c, const char *arg)
{
    const char *word = arg_text(c, arg);

    return word == NULL ? 0 : event_put(&c->event, arg, word);
}

static int c_subject(struct call *c, struct json_object **result)
{
    (void)result;
    name_copy(c->event.subject, arg_text(c, c->command->arg[0].name));
    return 0;
}

static int c_option_set(struct call *c, struct json_object **result)
{
    (void)result;
    return fill_pairs(c, "set", "");
}

static int c_node(struct call *c, struct json_object **result)
{
    int rc;

    (void)result;
    c->event.node = arg_node(c, "node")->id;
    c->event.flags |= arg_flag(c, "force") ? EVF_FORCE : 0;
    if ((rc = event_fill_word(c, "mode")) != 0 || (rc = event_fill_word(c, "blocked")) != 0) {
        return rc;
    }
    return event_fill_word(c, "failback");
}

/* The lowest id that neither the state nor the journal knows, unless the operator has chosen one. */
static uint32_t free_id(const struct call *c)
{
    uint32_t id = 1;

    while (id < NODES_MAX &&
           (state_node(c->view.s, id) != NULL || (c->view.world.members & NODE_BIT(id)) != 0)) {
        id++;
    }
    return (uint32_t)arg_number(c, "id", id);
}

static int c_node_add(struct call *c, struct json_object **result)
{
    (void)c_subject(c, result);
    c->event.node = free_id(c);
    if (c->event.node < 1 || c->event.node > NODES_MAX) {
        return err_set(c->err, RC_USAGE, "a node's id is 1 to %d", NODES_MAX);
    }
    return event_fill_word(c, "address");
}

static int c_vm_move(struct call *c, struct json_object **result)
{
    const struct node *to = arg_node(c, c->command->kind == EV_CMD_VM_START ? "node" : "to");

    (void)c_subject(c, result);
    c->event.to = to ? to->id : 0;
    return event_fill_word(c, "mode");
}

static int c_vm_stop(struct call *c, struct json_object **result)
{
    if (arg_flag(c, "force") && arg_flag(c, "save")) {
        return err_set(c->err, RC_USAGE, "a VM is stopped by force, or saved, not both");
    }
    c->event.flags = (arg_flag(c, "force") ? EVF_FORCE : 0) | (arg_flag(c, "save") ? EVF_SAVE : 0);
    return c_subject(c, result);
}

static int c_vm_set(struct call *c, struct json_object **result)
{
    (void)c_subject(c, result);
    return fill_pairs(c, "set", "");
}

/* The parts of a domain that the core needs, as the pairs that it reads. */
static int fill_domain(struct call *c, const struct domain *d)
{
    struct event *e = &c->event;
    int rc = event_set_text(e, d->xml);

    name_copy(e->subject, d->name);
    rc = rc != 0 ? rc : event_put(e, "uuid", d->uuid);
    rc = rc != 0 ? rc : event_putf(e, "memory_mib", "%" PRIu64, d->memory_mib);
    rc = rc != 0 ? rc : event_putf(e, "cpus", "%u", d->cpus);
    for (unsigned i = 0; i < d->disks && rc == 0; i++) {
        rc = event_put(e, "disk", d->disk[i].path);
    }
    for (unsigned i = 0; i < d->networks && rc == 0; i++) {
        rc = event_put(e, "network", d->network[i]);
    }
    if (rc == 0 && arg_flag(c, "start")) {
        rc = event_put(e, "start", "1");
    }
    return rc != 0 ? err_set(c->err, rc, "the domain XML of VM '%s' is too much for one command", d->name)
                   : fill_pairs(c, "set", "");
}

/* Only settings may come as pairs of a VM: the event has the domain's own under other keys. */
static int check_settings(struct call *c)
{
    struct vm_settings scratch;
    struct json_object *pairs;
    int rc = 0;

    vm_settings_init(&scratch);
    if (!json_object_object_get_ex(c->args, "set", &pairs)) {
        return 0;
    }
    JSON_EACH(pairs, it)
    {
        rc = vm_settings_set(&scratch, c->view.s->level, json_object_iter_peek_name(&it),
                             json_object_get_string(json_object_iter_peek_value(&it)), c->err);
        if (rc != 0) {
            break;
        }
    }
    return rc;
}

static int check_volumes(struct call *c, const struct domain *d)
{
    const struct state *s = c->view.s;
    const char **names = calloc(s->volumes + 1, sizeof *names);
    int rc;

    if (names == NULL) {
        return err_set(c->err, RC_NO_MEMORY, "out of memory");
    }
    for (unsigned i = 0; i < s->volumes; i++) {
        names[i] = s->volume[i]->name;
    }
    rc = domain_check_volumes(d, c->ctx->volume_dir, names, s->volumes, c->err);
    free(names);
    return rc;
}

/* S8: QEMU's image locks would refuse the second writer, at the worst time. */
static int check_disks(struct call *c, const struct domain *d)
{
    for (unsigned i = 0; i < d->disks; i++) {
        for (unsigned v = 0; d->disk[i].writable && v < c->view.s->vms; v++) {
            const struct vm *vm = c->view.s->vm[v];

            for (unsigned k = 0; strcmp(vm->name, d->name) != 0 && k < vm->disks; k++) {
                if (strcmp(vm->disk[k], d->disk[i].path) == 0) {
                    (void)err_set(c->err, RC_REFUSED, "disk '%s' is a disk of VM '%s' already", vm->disk[k],
                                  vm->name);
                    err_hint(c->err, "two VMs must not write to one image: give it a copy of its own");
                    return RC_REFUSED;
                }
            }
        }
    }
    return 0;
}

static int c_vm_add(struct call *c, struct json_object **result)
{
    struct domain *d = calloc(1, sizeof *d);
    struct json_object *xml;
    int rc;

    (void)result;
    if (d == NULL) {
        return err_set(c->err, RC_NO_MEMORY, "out of memory");
    }
    (void)json_object_object_get_ex(c->args, "xml", &xml);
    rc = domain_parse(d, json_object_get_string(xml), (size_t)json_object_get_string_len(xml),
                      arg_text(c, "name"), c->ctx->volume_dir, c->err);
    if (rc == 0) {
        rc = check_settings(c);
        rc = rc != 0 ? rc : check_volumes(c, d);
        rc = rc != 0 ? rc : check_disks(c, d);
        rc = rc != 0 ? rc : fill_domain(c, d);
        domain_fini(d);
    }
    free(d);
    return rc;
}

/* ".." and "//" would make one directory two volumes, or a volume of the cluster's own files. */
static bool path_clean(const char *path)
{
    size_t len = strlen(path);

    return path[0] == '/' && len > 1 && len < PATH_SIZE && path[len - 1] != '/' &&
           strstr(path, "//") == NULL && strstr(path, "/./") == NULL && strstr(path, "/../") == NULL &&
           (len < 3 || strcmp(path + len - 3, "/..") != 0) && strcmp(path + len - 2, "/.") != 0;
}

static int c_volume_add(struct call *c, struct json_object **result)
{
    const char *source = arg_text(c, "source");
    int rc;

    (void)c_subject(c, result);
    if (!path_clean(source)) {
        (void)err_set(c->err, RC_USAGE,
                      "the source '%.255s' of volume '%s' is no clean absolute path of at most %d "
                      "bytes",
                      source, c->event.subject, PATH_SIZE - 1);
        err_hint(c->err, "it is the directory where each node sees the shared file system, e.g. /srv/vms");
        return RC_USAGE;
    }
    rc = event_fill_word(c, "type");
    rc = rc != 0 ? rc : event_fill_word(c, "source");
    return rc != 0 ? rc : event_putf(&c->event, "path", "%s/%s", c->ctx->volume_dir, c->event.subject);
}

/* The nodes of a list, as the ids that the core reads. */
static int fill_nodes(struct call *c, const char *arg)
{
    struct json_object *nodes = arg_get(c, arg);
    char ids[NODES_MAX * 4] = "";
    size_t len = 0;

    for (size_t i = 0; i < json_object_array_length(nodes) && len < sizeof ids; i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(nodes, i));

        len += (size_t)snprintf(ids + len, sizeof ids - len, "%s%u", i ? "," : "",
                                state_node_by_name(c->view.s, name)->id);
    }
    return event_put(&c->event, arg, ids);
}

static int c_fence_add(struct call *c, struct json_object **result)
{
    const char *agent = arg_text(c, "agent");
    int rc;

    (void)c_subject(c, result);
    if (strncmp(agent, "fence_", 6) != 0 || !name_valid(agent)) {
        (void)err_set(c->err, RC_USAGE, "'%.63s' is no fence agent", agent);
        err_hint(c->err,
                 "their names begin with fence_, e.g. fence_ipmilan; ls /usr/sbin/fence_* shows them");
        return RC_USAGE;
    }
    c->event.num = arg_number(c, "level", 1);
    if (c->event.num < 1 || c->event.num > 9) {
        return err_set(c->err, RC_USAGE, "the level of fence device '%s' is not from 1 to 9",
                       c->event.subject);
    }
    rc = event_put(&c->event, "agent", agent);
    rc = rc != 0 ? rc : fill_nodes(c, "nodes");
    return rc != 0 ? rc : fill_pairs(c, "set", "param.");
}

static int c_disarm(struct call *c, struct json_object **result)
{
    uint64_t ms = arg_number(c, "for_ms", 0);

    (void)result;
    return ms == 0 ? 0 : event_putf(&c->event, "for_ms", "%llu", (unsigned long long)ms);
}

static int c_nothing(struct call *c, struct json_object **result)
{
    (void)c, (void)result;
    return 0;
}

static int c_rule_add(struct call *c, struct json_object **result)
{
    struct json_object *vms = arg_get(c, "vms");
    int rc = event_fill_word(c, "kind");

    (void)result;
    for (size_t i = 0; i < json_object_array_length(vms) && rc == 0; i++) {
        rc = event_put(&c->event, "vm", json_object_get_string(json_object_array_get_idx(vms, i)));
    }
    if (rc == 0 && arg_get(c, "possible") != NULL) {
        rc = fill_nodes(c, "possible");
    }
    if (rc == 0 && arg_get(c, "preferred") != NULL) {
        rc = fill_nodes(c, "preferred");
    }
    return rc == 0 ? 0 : err_set(c->err, rc, "a rule has at most %d VMs", RULE_VMS_MAX);
}

static int c_rule_remove(struct call *c, struct json_object **result)
{
    (void)result;
    c->event.id = arg_number(c, "rule", 0);
    return 0;
}

static int c_ops_cancel(struct call *c, struct json_object **result)
{
    (void)result;
    c->event.id = arg_number(c, "op", 0);
    return 0;
}

const struct command event_commands[] = {
    {"node drain",
     EV_CMD_NODE_DRAIN,
     c_node,
     {NODE("node"), MODE, {"blocked", ARG_WORD, false, "wait|quick|shutdown"}}},
    {"node resume", EV_CMD_NODE_RESUME, c_node, {NODE("node"), {"failback", ARG_WORD, false, "now|no"}}},
    {"node add",
     EV_CMD_NODE_ADD,
     c_node_add,
     {NAME("node"), {"address", ARG_VALUE, true, NULL}, NUMBER("id")}},
    {"node remove", EV_CMD_NODE_REMOVE, c_node, {NODE("node")}},
    {"node fence", EV_CMD_NODE_FENCE, c_node, {NODE("node")}},
    {"node confirm-down", EV_CMD_NODE_CONFIRM_DOWN, c_node, {NODE("node"), FLAG("force")}},
    {"vm add",
     EV_CMD_VM_ADD,
     c_vm_add,
     {{"xml", ARG_TEXT, true, NULL}, {"name", ARG_NAME, false, NULL}, PAIRS, FLAG("start")}},
    {"vm remove", EV_CMD_VM_REMOVE, c_subject, {NAME("vm")}},
    {"vm set", EV_CMD_VM_SET, c_vm_set, {NAME("vm"), PAIRS}},
    {"vm start", EV_CMD_VM_START, c_vm_move, {NAME("vm"), {"node", ARG_NODE, false, NULL}}},
    {"vm stop", EV_CMD_VM_STOP, c_vm_stop, {NAME("vm"), FLAG("force"), FLAG("save")}},
    {"vm reset", EV_CMD_VM_RESET, c_subject, {NAME("vm")}},
    {"vm migrate", EV_CMD_VM_MIGRATE, c_vm_move, {NAME("vm"), {"to", ARG_NODE, false, NULL}, MODE}},
    {"volume add",
     EV_CMD_VOLUME_ADD,
     c_volume_add,
     {NAME("volume"), {"type", ARG_WORD, true, "directory"}, {"source", ARG_VALUE, true, NULL}}},
    {"volume remove", EV_CMD_VOLUME_REMOVE, c_subject, {NAME("volume")}},
    {"fence add",
     EV_CMD_FENCE_ADD,
     c_fence_add,
     {NAME("fence"),
      {"agent", ARG_VALUE, true, NULL},
      {"nodes", ARG_NODES, true, NULL},
      NUMBER("level"),
      PAIRS}},
    {"fence remove", EV_CMD_FENCE_REMOVE, c_subject, {NAME("fence")}},
    {"fence test", EV_CMD_FENCE_TEST, c_subject, {NAME("fence")}},
    {"rule add",
     EV_CMD_RULE_ADD,
     c_rule_add,
     {{"kind", ARG_WORD, true, "apart|together|owners"},
      {"vms", ARG_NAMES, true, NULL},
      {"possible", ARG_NODES, false, NULL},
      {"preferred", ARG_NODES, false, NULL}}},
    {"rule remove", EV_CMD_RULE_REMOVE, c_rule_remove, {{"rule", ARG_NUMBER, true, NULL}}},
    {"option set", EV_CMD_OPTION_SET, c_option_set, {PAIRS}},
    {"disarm", EV_CMD_DISARM, c_disarm, {NUMBER("for_ms")}},
    {"arm", EV_CMD_ARM, c_nothing, {{.name = NULL}}},
    {"ops cancel", EV_CMD_OP_CANCEL, c_ops_cancel, {{"op", ARG_NUMBER, true, NULL}}},
    {.name = NULL},
};
