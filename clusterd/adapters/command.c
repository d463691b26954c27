#include "adapters/command_impl.h"

#include <stdio.h>
#include <string.h>

#include "common/ipc.h"

#define DEPTH_MAX 8 /* of nested JSON; ours needs 4 */

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
    struct json_object *o = answer_wrap("rc", json_object_new_int(0));

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
    return succeeded(o ? answer_wrap("operation", view_operation(&view, o, true)) : NULL);
}

static const struct command *find_row(const struct command *rows, const char *name)
{
    for (; rows->name != NULL; rows++) {
        if (strcmp(rows->name, name) == 0) {
            return rows;
        }
    }
    return NULL;
}

static const struct command *find_command(struct json_object *request, struct err *err)
{
    const struct command *command;
    struct json_object *v, *name;

    if (!json_object_object_get_ex(request, "v", &v) || !json_object_is_type(v, json_type_int) ||
        json_object_get_int(v) != IPC_VERSION) {
        (void)err_set(err, RC_USAGE, "the request's version is not %d", IPC_VERSION);
        err_hint(err, "clusterctl and clusterd must be of one release");
        return NULL;
    }
    if (!json_object_object_get_ex(request, "command", &name) || !arg_is_value(name)) {
        (void)err_set(err, RC_USAGE, "the request names no command");
        return NULL;
    }
    command = find_row(query_commands, json_object_get_string(name));
    command = command ? command : find_row(event_commands, json_object_get_string(name));
    command = command ? command : find_row(member_commands, json_object_get_string(name));
    if (command != NULL) {
        return command;
    }
    (void)err_set(err, RC_USAGE, "this clusterd knows no command '%.63s'", json_object_get_string(name));
    return NULL;
}

/* The event leaves for the shell, which takes it over. */
static int send_event(struct call *c, uint64_t request_id)
{
    struct buf b = BUF_INIT;
    size_t len;

    (void)snprintf(c->event.by, sizeof c->event.by, "%s", c->ctx->by);
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
    rc = args_validate(c);
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
