#include "adapters/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/domain_xml.h"
#include "adapters/plan.h"
#include "adapters/view.h"
#include "common/ipc.h"
#include "common/json.h"
#include "common/rc.h"

#define DEPTH_MAX    8   /* of nested JSON; ours needs 4 */
#define ARGS_MAX     6   /* of one command */
#define PAIRS_MAX    256 /* KEY=VALUE of one command */
#define EVENTS_LIMIT 500 /* rows of one answer: within IPC_MESSAGE_MAX */

enum arg_type {
    ARG_NONE,
    ARG_NAME,   /* of a VM, volume, … */
    ARG_NAMES,  /* several, at least one */
    ARG_NODE,   /* the name of a node that the cluster knows */
    ARG_NODES,  /* several, at least one */
    ARG_WORD,   /* one of `choices` */
    ARG_FLAG,   /* true or false */
    ARG_NUMBER, /* whole, up to 2^53; as a number or as digits */
    ARG_TEXT,   /* up to EVENT_TEXT_MAX bytes */
    ARG_VALUE,  /* up to EVENT_VALUE_MAX bytes, without control characters */
    ARG_PAIRS,  /* an object of such values */
};

struct arg {
    const char *name;
    enum arg_type type;
    bool required;
    const char *choices; /* "a|b" */
};

/* One request on its way through. */
struct call {
    struct command_ctx *ctx;
    const struct command *command;
    struct json_object *args; /* validated */
    struct view view;
    struct event event; /* of a command; what a handler fills goes to the shell */
    struct err *err;
};

struct command {
    const char *name;
    enum event_kind kind; /* EV_NONE: a query */
    /* A query: *result is the answer. A command (kind): fills c->event. 0, or err set. */
    int (*run)(struct call *c, struct json_object **result);
    struct arg arg[ARGS_MAX];
};

/* ---- arguments: reading what validate() let through ---- */

static const char *text_arg(const struct call *c, const char *name)
{
    struct json_object *o;

    return json_object_object_get_ex(c->args, name, &o) ? json_object_get_string(o) : NULL;
}

static bool flag_arg(const struct call *c, const char *name)
{
    struct json_object *o;

    return json_object_object_get_ex(c->args, name, &o) && json_object_get_boolean(o);
}

static uint64_t number_arg(const struct call *c, const char *name, uint64_t dflt)
{
    struct json_object *o;

    return json_object_object_get_ex(c->args, name, &o) ? json_object_get_uint64(o) : dflt;
}

static const struct node *node_arg(const struct call *c, const char *name)
{
    const char *text = text_arg(c, name);

    return text ? state_node_by_name(c->view.s, text) : NULL;
}

static void name_copy(char out[NAME_SIZE], const char *text)
{
    (void)snprintf(out, NAME_SIZE, "%s", text ? text : "");
}

/* ---- arguments: validating ---- */

static int bad(struct call *c, const char *arg, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(struct call *c, const char *arg, const char *fmt, ...)
{
    char msg[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_set(c->err, RC_USAGE, "argument '%s' of '%s' %s", arg, c->command->name, msg);
}

static bool is_value(struct json_object *o)
{
    const char *text;
    size_t len;

    if (!json_object_is_type(o, json_type_string)) {
        return false;
    }
    text = json_object_get_string(o);
    len = (size_t)json_object_get_string_len(o);
    if (len > EVENT_VALUE_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static int check_name(struct call *c, const char *arg, struct json_object *o)
{
    if (!is_value(o) || !name_valid(json_object_get_string(o))) {
        (void)bad(c, arg, "is no name");
        err_hint(c->err,
                 "a name has 1 to 63 letters, digits, '.', '_', '-' and begins with a letter or digit");
        return RC_USAGE;
    }
    return 0;
}

static int check_names(struct call *c, const char *arg, struct json_object *o)
{
    size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
    int rc = 0;

    if (n == 0) {
        return bad(c, arg, "is no list of names");
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = check_name(c, arg, json_object_array_get_idx(o, i));
    }
    return rc;
}

static int check_node(struct call *c, const char *arg, struct json_object *o)
{
    const char *name;

    if (!is_value(o)) {
        return bad(c, arg, "is no node's name");
    }
    name = json_object_get_string(o);
    if (state_node_by_name(c->view.s, name) == NULL) {
        (void)err_set(c->err, RC_NOT_FOUND, "there is no node '%.63s'", name);
        err_hint(c->err, "clusterctl node list shows them");
        return RC_NOT_FOUND;
    }
    return 0;
}

static int check_nodes(struct call *c, const char *arg, struct json_object *o)
{
    size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
    int rc = 0;

    if (n == 0 || n > NODES_MAX) {
        return bad(c, arg, "is no list of 1 to %d nodes", NODES_MAX);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = check_node(c, arg, json_object_array_get_idx(o, i));
    }
    return rc;
}

static int check_word(struct call *c, const struct arg *a, struct json_object *o)
{
    const char *word = is_value(o) ? json_object_get_string(o) : "";
    size_t len = strlen(word);

    for (const char *choice = a->choices; len > 0 && choice != NULL; choice = strchr(choice, '|')) {
        choice += *choice == '|';
        if (strcspn(choice, "|") == len && strncmp(choice, word, len) == 0) {
            return 0;
        }
    }
    return bad(c, a->name, "is none of %s", a->choices);
}

/* Numbers come as numbers or as digits (an operation's id is a string in JSON). */
static int check_number(struct call *c, const char *arg, struct json_object *o)
{
    const char *text = "";

    if (json_object_is_type(o, json_type_int) && json_object_get_int64(o) >= 0 &&
        json_object_get_int64(o) <= INT64_C(1) << 53) {
        return 0;
    }
    if (json_object_is_type(o, json_type_string)) {
        text = json_object_get_string(o);
    }
    if (*text == '\0' || strlen(text) > 15 || strspn(text, "0123456789") != strlen(text)) {
        return bad(c, arg, "is no whole number from 0 to 2^53");
    }
    return 0;
}

static int check_pairs(struct call *c, const char *arg, struct json_object *o)
{
    int n = json_object_is_type(o, json_type_object) ? json_object_object_length(o) : -1;

    if (n < 0 || n > PAIRS_MAX) {
        return bad(c, arg, "is no object of at most %d pairs", PAIRS_MAX);
    }
    JSON_EACH(o, it)
    {
        const char *key = json_object_iter_peek_name(&it);
        struct json_object *value = json_object_iter_peek_value(&it);

        if (!name_valid(key) || strlen(key) + sizeof "param." > NAME_SIZE) {
            return bad(c, arg, "has a key that is none: 1 to 57 letters, digits, '.', '_', '-'");
        }
        if (!is_value(value)) {
            return bad(c, arg,
                       "has a value of '%s' that is no text of at most %d bytes without control characters",
                       key, EVENT_VALUE_MAX);
        }
    }
    return 0;
}

static int check_text(struct call *c, const char *arg, struct json_object *o)
{
    if (!json_object_is_type(o, json_type_string)) {
        return bad(c, arg, "is no text");
    }
    if (json_object_get_string_len(o) > EVENT_TEXT_MAX) {
        return err_set(c->err, RC_BAD_INPUT, "the domain XML has %d bytes, at most %d are allowed",
                       json_object_get_string_len(o), EVENT_TEXT_MAX);
    }
    return 0;
}

static int check_arg(struct call *c, const struct arg *a, struct json_object *o)
{
    switch (a->type) {
    case ARG_NAME:
        return check_name(c, a->name, o);
    case ARG_NAMES:
        return check_names(c, a->name, o);
    case ARG_NODE:
        return check_node(c, a->name, o);
    case ARG_NODES:
        return check_nodes(c, a->name, o);
    case ARG_WORD:
        return check_word(c, a, o);
    case ARG_FLAG:
        return json_object_is_type(o, json_type_boolean) ? 0 : bad(c, a->name, "is neither true nor false");
    case ARG_NUMBER:
        return check_number(c, a->name, o);
    case ARG_TEXT:
        return check_text(c, a->name, o);
    case ARG_VALUE:
        return is_value(o) ? 0
                           : bad(c, a->name, "is no text of at most %d bytes without control characters",
                                 EVENT_VALUE_MAX);
    case ARG_PAIRS:
        return check_pairs(c, a->name, o);
    case ARG_NONE:
        break;
    }
    return bad(c, a->name, "is none");
}

static const struct arg *find_arg(const struct command *command, const char *name)
{
    for (const struct arg *a = command->arg; a < command->arg + ARGS_MAX && a->name != NULL; a++) {
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

static int validate(struct call *c)
{
    struct json_object *o;

    JSON_EACH(c->args, it)
    {
        const char *key = json_object_iter_peek_name(&it);
        struct json_object *value = json_object_iter_peek_value(&it);

        const struct arg *a = find_arg(c->command, key);
        int rc;

        if (a == NULL) {
            return err_set(c->err, RC_USAGE, "'%s' has no argument '%.63s'", c->command->name, key);
        }
        rc = check_arg(c, a, value);
        if (rc != 0) {
            return rc;
        }
    }
    for (const struct arg *a = c->command->arg; a < c->command->arg + ARGS_MAX && a->name != NULL; a++) {
        if (a->required && !json_object_object_get_ex(c->args, a->name, &o)) {
            return bad(c, a->name, "is missing");
        }
    }
    return 0;
}

/* ---- queries ---- */

static struct json_object *wrap(const char *key, struct json_object *value)
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
    *result = wrap(key, json_object_get(part));
    json_object_put(status);
    return 0;
}

static int q_node_list(struct call *c, struct json_object **result)
{
    return part_of_status(c, "nodes", result);
}

static int q_node_show(struct call *c, struct json_object **result)
{
    *result = view_node(&c->view, node_arg(c, "node"), true);
    return 0;
}

static int q_vm_list(struct call *c, struct json_object **result)
{
    return part_of_status(c, "vms", result);
}

static int q_vm_show(struct call *c, struct json_object **result)
{
    const struct vm *vm = state_vm(c->view.s, text_arg(c, "vm"));

    if (vm == NULL) {
        return not_found(c, "VM", text_arg(c, "vm"));
    }
    *result = view_vm(&c->view, vm, true);
    if (flag_arg(c, "xml")) {
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
    const struct volume *vol = state_volume(c->view.s, text_arg(c, "volume"));

    if (vol == NULL) {
        return not_found(c, "volume", text_arg(c, "volume"));
    }
    *result = view_volume(&c->view, vol, true);
    return 0;
}

static int q_fence_list(struct call *c, struct json_object **result)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < c->view.s->fences; i++) {
        (void)json_object_array_add(list, view_fence(&c->view, c->view.s->fence[i], flag_arg(c, "secrets")));
    }
    *result = wrap("fences", list);
    return 0;
}

static int q_option_list(struct call *c, struct json_object **result)
{
    *result = wrap("options", view_options(&c->view));
    return 0;
}

static int q_ops_list(struct call *c, struct json_object **result)
{
    struct json_object *list = json_object_new_array();
    const struct state *s = c->view.s;

    for (unsigned i = 0; i < s->ops; i++) {
        if (flag_arg(c, "all") || s->op[i].state < OPS_DONE) {
            (void)json_object_array_add(list, view_operation(&c->view, &s->op[i], false));
        }
    }
    *result = wrap("operations", list);
    return 0;
}

static int q_ops_show(struct call *c, struct json_object **result)
{
    uint64_t id = number_arg(c, "op", 0);
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
        *result = wrap(key, json_object_new_string(name));
        (void)json_object_object_add(*result, "text",
                                     json_object_new_string_len((const char *)b->data, (int)b->len));
    }
    buf_fini(b);
    return rc;
}

static int q_explain_vm(struct call *c, struct json_object **result)
{
    const char *name = text_arg(c, "vm");
    struct buf b = BUF_INIT;
    int rc = core_explain_vm(c->view.s, &c->view.world, name, &b);

    if (rc == RC_NOT_FOUND) {
        (void)not_found(c, "VM", name);
    }
    return explained(c, "vm", name, rc, &b, result);
}

static int q_explain_node(struct call *c, struct json_object **result)
{
    const char *name = text_arg(c, "node");
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
    struct history_filter f = {.after_index = number_arg(c, "after_index", 0),
                               .before_index = number_arg(c, "before_index", 0),
                               .since_ms = (int64_t)number_arg(c, "since_ms", 0),
                               .vm = text_arg(c, "vm"),
                               .node = text_arg(c, "node"),
                               .limit = (unsigned)number_arg(c, "limit", EVENTS_LIMIT)};
    int rc;

    if (f.limit == 0 || f.limit > EVENTS_LIMIT) {
        f.limit = EVENTS_LIMIT;
    }
    rc = c->ctx->store->history_read(c->ctx->store->ctx, &f, add_row, list);
    if (rc != 0) {
        json_object_put(list);
        return err_set(c->err, rc, "the audit trail cannot be read on this node");
    }
    *result = wrap("events", list);
    return 0;
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

static int fill_word(struct call *c, const char *arg)
{
    const char *word = text_arg(c, arg);

    return word == NULL ? 0 : event_put(&c->event, arg, word);
}

static int c_subject(struct call *c, struct json_object **result)
{
    (void)result;
    name_copy(c->event.subject, text_arg(c, c->command->arg[0].name));
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
    c->event.node = node_arg(c, "node")->id;
    c->event.flags |= flag_arg(c, "force") ? EVF_FORCE : 0;
    if ((rc = fill_word(c, "mode")) != 0 || (rc = fill_word(c, "blocked")) != 0) {
        return rc;
    }
    return fill_word(c, "failback");
}

static int c_vm_move(struct call *c, struct json_object **result)
{
    const struct node *to = node_arg(c, c->command->kind == EV_CMD_VM_START ? "node" : "to");

    (void)c_subject(c, result);
    c->event.to = to ? to->id : 0;
    return fill_word(c, "mode");
}

static int c_vm_stop(struct call *c, struct json_object **result)
{
    if (flag_arg(c, "force") && flag_arg(c, "save")) {
        return err_set(c->err, RC_USAGE, "a VM is stopped by force, or saved, not both");
    }
    c->event.flags = (flag_arg(c, "force") ? EVF_FORCE : 0) | (flag_arg(c, "save") ? EVF_SAVE : 0);
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
    if (rc == 0 && flag_arg(c, "start")) {
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
        rc = vm_settings_set(&scratch, json_object_iter_peek_name(&it),
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
                      text_arg(c, "name"), c->ctx->volume_dir, c->err);
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
    const char *source = text_arg(c, "source");
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
    rc = fill_word(c, "type");
    rc = rc != 0 ? rc : fill_word(c, "source");
    return rc != 0 ? rc : event_putf(&c->event, "path", "%s/%s", c->ctx->volume_dir, c->event.subject);
}

static int c_fence_add(struct call *c, struct json_object **result)
{
    const char *agent = text_arg(c, "agent");
    struct json_object *nodes;
    char ids[NODES_MAX * 4] = "";
    size_t len = 0;
    int rc;

    (void)c_subject(c, result);
    if (strncmp(agent, "fence_", 6) != 0 || !name_valid(agent)) {
        (void)err_set(c->err, RC_USAGE, "'%.63s' is no fence agent", agent);
        err_hint(c->err,
                 "their names begin with fence_, e.g. fence_ipmilan; ls /usr/sbin/fence_* shows them");
        return RC_USAGE;
    }
    (void)json_object_object_get_ex(c->args, "nodes", &nodes);
    for (size_t i = 0; i < json_object_array_length(nodes) && len < sizeof ids; i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(nodes, i));

        len += (size_t)snprintf(ids + len, sizeof ids - len, "%s%u", i ? "," : "",
                                state_node_by_name(c->view.s, name)->id);
    }
    c->event.num = number_arg(c, "level", 1);
    if (c->event.num < 1 || c->event.num > 9) {
        return err_set(c->err, RC_USAGE, "the level of fence device '%s' is not from 1 to 9",
                       c->event.subject);
    }
    rc = event_put(&c->event, "agent", agent);
    rc = rc != 0 ? rc : event_put(&c->event, "nodes", ids);
    return rc != 0 ? rc : fill_pairs(c, "set", "param.");
}

static int c_ops_cancel(struct call *c, struct json_object **result)
{
    (void)result;
    c->event.id = number_arg(c, "op", 0);
    return 0;
}

/* ---- plans: the same commands, on a copy of the state ---- */

static int plan_one(struct call *c, struct plan *p)
{
    int rc = fill_word(c, "mode");

    rc = rc != 0 ? rc : fill_word(c, "blocked");
    rc = rc != 0 ? rc : plan_command(p, &c->event, c->err);
    event_fini(&c->event);
    return rc;
}

static int q_plan_migrate(struct call *c, struct json_object **result)
{
    const struct node *to = node_arg(c, "to");
    struct json_object *vms;
    struct plan p;
    int rc = plan_init(&p, &c->view, c->err);

    (void)json_object_object_get_ex(c->args, "vms", &vms);
    for (size_t i = 0; rc == 0 && i < json_object_array_length(vms); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(vms, i));

        event_init(&c->event, EV_CMD_VM_MIGRATE);
        name_copy(c->event.subject, name);
        c->event.to = to ? to->id : 0;
        if (plan_one(c, &p) != 0) {
            plan_refused(&p, name, c->err->msg);
        }
    }
    if (rc == 0) {
        *result = wrap("plan", plan_finish(&p, 0));
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
        *result = wrap("plan", plan_finish(&p, drained));
    }
    plan_fini(&p);
    return rc;
}

/* ---- the table ---- */

#define NAME(n)                                                                                              \
    {                                                                                                        \
        n, ARG_NAME, true, NULL                                                                              \
    }
#define NODE(n)                                                                                              \
    {                                                                                                        \
        n, ARG_NODE, true, NULL                                                                              \
    }
#define PAIRS                                                                                                \
    {                                                                                                        \
        "set", ARG_PAIRS, false, NULL                                                                        \
    }
#define FLAG(n)                                                                                              \
    {                                                                                                        \
        n, ARG_FLAG, false, NULL                                                                             \
    }
#define NUMBER(n)                                                                                            \
    {                                                                                                        \
        n, ARG_NUMBER, false, NULL                                                                           \
    }
#define MODE                                                                                                 \
    {                                                                                                        \
        "mode", ARG_WORD, false, "live|quick"                                                                \
    }

static const struct command commands[] = {
    {"status", EV_NONE, q_status, {{0}}},
    {"quorum", EV_NONE, q_quorum, {{0}}},
    {"node list", EV_NONE, q_node_list, {{0}}},
    {"node show", EV_NONE, q_node_show, {NODE("node")}},
    {"node drain",
     EV_CMD_NODE_DRAIN,
     c_node,
     {NODE("node"), MODE, {"blocked", ARG_WORD, false, "wait|quick|shutdown"}}},
    {"node drain plan",
     EV_NONE,
     q_plan_drain,
     {{"nodes", ARG_NODES, true, NULL}, MODE, {"blocked", ARG_WORD, false, "wait|quick|shutdown"}}},
    {"node resume", EV_CMD_NODE_RESUME, c_node, {NODE("node"), {"failback", ARG_WORD, false, "now|no"}}},
    {"node fence", EV_CMD_NODE_FENCE, c_node, {NODE("node")}},
    {"node confirm-down", EV_CMD_NODE_CONFIRM_DOWN, c_node, {NODE("node"), FLAG("force")}},
    {"vm list", EV_NONE, q_vm_list, {{0}}},
    {"vm show", EV_NONE, q_vm_show, {NAME("vm"), FLAG("xml")}},
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
    {"vm migrate plan",
     EV_NONE,
     q_plan_migrate,
     {{"vms", ARG_NAMES, true, NULL}, {"to", ARG_NODE, false, NULL}, MODE}},
    {"volume list", EV_NONE, q_volume_list, {{0}}},
    {"volume show", EV_NONE, q_volume_show, {NAME("volume")}},
    {"volume add",
     EV_CMD_VOLUME_ADD,
     c_volume_add,
     {NAME("volume"), {"type", ARG_WORD, true, "directory"}, {"source", ARG_VALUE, true, NULL}}},
    {"volume remove", EV_CMD_VOLUME_REMOVE, c_subject, {NAME("volume")}},
    {"fence list", EV_NONE, q_fence_list, {FLAG("secrets")}},
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
    {"explain vm", EV_NONE, q_explain_vm, {NAME("vm")}},
    {"explain node", EV_NONE, q_explain_node, {NODE("node")}},
    {"option list", EV_NONE, q_option_list, {{0}}},
    {"option set", EV_CMD_OPTION_SET, c_option_set, {PAIRS}},
    {"ops list", EV_NONE, q_ops_list, {FLAG("all")}},
    {"ops show", EV_NONE, q_ops_show, {{"op", ARG_NUMBER, true, NULL}}},
    {"ops cancel", EV_CMD_OP_CANCEL, c_ops_cancel, {{"op", ARG_NUMBER, true, NULL}}},
    {"events",
     EV_NONE,
     q_events,
     {NUMBER("after_index"),
      NUMBER("before_index"),
      NUMBER("since_ms"),
      {"vm", ARG_NAME, false, NULL},
      {"node", ARG_NODE, false, NULL},
      NUMBER("limit")}},
};

/* ---- requests and answers ---- */

struct json_object *command_parse(const void *data, size_t len, struct err *err)
{
    struct json_tokener *tok;
    struct json_object *o = NULL;

    if (len == 0 || len > IPC_MESSAGE_MAX) {
        (void)err_set(err, RC_BAD_INPUT, "a request of %zu bytes: 1 to %d are allowed", len, IPC_MESSAGE_MAX);
        return NULL;
    }
    tok = json_tokener_new_ex(DEPTH_MAX);
    if (tok == NULL) {
        (void)err_set(err, RC_NO_MEMORY, "out of memory");
        return NULL;
    }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    o = json_tokener_parse_ex(tok, data, (int)len);
    if (o == NULL || json_tokener_get_parse_end(tok) != len || !json_object_is_type(o, json_type_object)) {
        (void)err_set(err, RC_BAD_INPUT, "the request is no JSON object: %s at byte %zu",
                      o ? "not an object" : json_tokener_error_desc(json_tokener_get_error(tok)),
                      json_tokener_get_parse_end(tok));
        json_object_put(o);
        o = NULL;
    }
    json_tokener_free(tok);
    return o;
}

struct json_object *command_error(int rc, const struct err *err)
{
    struct json_object *o = json_object_new_object(), *e = json_object_new_object();
    const char *msg = err != NULL && err->msg[0] != '\0' ? err->msg : "it failed, and nobody said why";

    (void)json_object_object_add(o, "rc", json_object_new_int(rc));
    (void)json_object_object_add(e, "code", json_object_new_string(rc_key(rc)));
    (void)json_object_object_add(e, "message", json_object_new_string(msg));
    (void)json_object_object_add(
        e, "hint", err != NULL && err->hint[0] != '\0' ? json_object_new_string(err->hint) : NULL);
    (void)json_object_object_add(o, "error", e);
    return o;
}

static struct json_object *succeeded(struct json_object *result)
{
    struct json_object *o = wrap("rc", json_object_new_int(0));

    (void)json_object_object_add(o, "result", result ? result : json_object_new_object());
    return o;
}

struct json_object *command_answer(struct command_ctx *ctx, uint64_t request_id, int rc,
                                   const struct err *err, uint64_t op)
{
    struct view view;
    const struct op *o;

    (void)request_id;
    view_init(&view, ctx->shell);
    if (rc == RC_NO_QUORUM && !view.quorate) {
        struct err e = ERR_INIT;

        (void)err_set(&e, rc, "no quorum: %s", view.problem);
        err_hint(&e, "clusterctl quorum shows the votes");
        return command_error(rc, &e);
    }
    if (rc != 0) {
        return command_error(rc, err);
    }
    o = op ? state_op(view.s, op) : NULL;
    return succeeded(o ? wrap("operation", view_operation(&view, o, true)) : NULL);
}

static const struct command *find_command(struct json_object *request, struct err *err)
{
    struct json_object *v, *name;

    if (!json_object_object_get_ex(request, "v", &v) || !json_object_is_type(v, json_type_int) ||
        json_object_get_int(v) != IPC_VERSION) {
        (void)err_set(err, RC_USAGE, "the request's version is not %d", IPC_VERSION);
        err_hint(err, "clusterctl and clusterd must be of one release");
        return NULL;
    }
    if (!json_object_object_get_ex(request, "command", &name) || !is_value(name)) {
        (void)err_set(err, RC_USAGE, "the request names no command");
        return NULL;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, json_object_get_string(name)) == 0) {
            return &commands[i];
        }
    }
    (void)err_set(err, RC_USAGE, "this clusterd knows no command '%.63s'", json_object_get_string(name));
    return NULL;
}

/* The event leaves for the shell, which takes it over. */
static int send_event(struct call *c, uint64_t request_id)
{
    struct buf b = BUF_INIT;
    size_t len;

    name_copy(c->event.by, c->ctx->by);
    event_encode(&c->event, &b);
    len = b.failed ? SIZE_MAX : b.len;
    buf_fini(&b);
    if (len > JOURNAL_PAYLOAD_MAX) {
        return err_set(c->err, RC_BAD_INPUT, "'%s' is too much for one command: at most %d bytes are allowed",
                       c->command->name, JOURNAL_PAYLOAD_MAX);
    }
    shell_command(c->ctx->shell, request_id, &c->event);
    event_init(&c->event, EV_NONE);
    return 0;
}

static int carry_out(struct call *c, struct json_object *request, uint64_t request_id,
                     struct json_object **result)
{
    struct json_object *args = NULL;
    int rc;

    c->command = find_command(request, c->err);
    if (c->command == NULL) {
        return c->err->rc;
    }
    if (json_object_object_get_ex(request, "args", &args) && !json_object_is_type(args, json_type_object)) {
        return err_set(c->err, RC_USAGE, "'args' of '%s' is no object", c->command->name);
    }
    c->args = args ? json_object_get(args) : json_object_new_object();
    rc = validate(c);
    if (rc != 0) {
        return rc;
    }
    event_init(&c->event, c->command->kind);
    rc = c->command->run(c, result);
    if (rc == 0 && c->command->kind != EV_NONE) {
        rc = send_event(c, request_id);
        rc = rc != 0 ? rc : COMMAND_DEFERRED;
    }
    return rc;
}

int command_handle(struct command_ctx *ctx, struct json_object *request, uint64_t request_id,
                   struct json_object **answer)
{
    struct err err = ERR_INIT;
    struct call c = {.ctx = ctx, .err = &err};
    struct json_object *result = NULL;
    int rc;

    *answer = NULL;
    view_init(&c.view, ctx->shell);
    event_init(&c.event, EV_NONE);
    rc = carry_out(&c, request, request_id, &result);
    event_fini(&c.event);
    json_object_put(c.args);
    if (rc == COMMAND_DEFERRED) {
        return COMMAND_DEFERRED;
    }
    *answer = rc == 0 ? succeeded(result) : command_error(rc, &err);
    return 0;
}
