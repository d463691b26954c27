/* command_members.c - what changes the votes themselves: it cannot wait for a quorum, so it is no event. */
#include "adapters/command_impl.h"

static int create(struct call *c, struct json_object **result)
{
    int rc = shell_create(c->ctx->shell, c->err);

    if (rc == 0) {
        view_init(&c->view, c->ctx->shell);
        *result = view_quorum(&c->view);
    }
    return rc;
}

/* A16. It is begun; that it is done shows in `quorum`. */
static int force(struct call *c, struct json_object **result)
{
    struct json_object *names = arg_get(c, "nodes");
    node_set down = 0;
    int rc;

    for (size_t i = 0; i < json_object_array_length(names); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(names, i));

        down |= NODE_BIT(state_node_by_name(c->view.s, name)->id);
    }
    rc = shell_force(c->ctx->shell, down, c->ctx->by, c->err);
    if (rc == 0) {
        view_init(&c->view, c->ctx->shell);
        *result = view_quorum(&c->view);
    }
    return rc;
}

const struct command member_commands[] = {
    {"cluster create", EV_NONE, create, {{0}}},
    {"quorum force", EV_NONE, force, {{"nodes", ARG_NODES, true, NULL}}},
    {.name = NULL},
};
