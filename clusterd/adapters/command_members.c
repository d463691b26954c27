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

const struct command member_commands[] = {
    {"cluster create", EV_NONE, create, {{0}}},
    {.name = NULL},
};
