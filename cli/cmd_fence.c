/* cmd_fence.c - fence devices: how a lost node is switched off. */
#include "cli.h"
#include "client.h"
#include "output.h"
#include "query.h"
#include "wait.h"

#include "common/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *parameters(struct json_object *pairs, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    JSON_EACH(pairs, it)
    {
        len += (size_t)snprintf(out + len, size - len, "%s%s=%s", len ? " " : "",
                                json_object_iter_peek_name(&it),
                                json_object_get_string(json_object_iter_peek_value(&it)));
        if (len >= size) {
            break;
        }
    }
    return out_clean(out);
}

static void print_list(struct json_object *document)
{
    struct json_object *list = out_get(document, "fences");
    struct table *t = table_new(5);
    char text[512];

    table_cell(t, "FENCE DEVICE");
    table_cell(t, "AGENT");
    table_cell(t, "NODES");
    table_cell(t, "LEVEL");
    table_cell(t, "PARAMETERS");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        table_cell(t, "%s", out_text(o, "name"));
        table_cell(t, "%s", out_text(o, "agent"));
        table_cell(t, "%s", out_join(out_get(o, "nodes")));
        table_cell(t, "%" PRId64, out_int(o, "level"));
        table_cell(t, "%s", parameters(out_get(o, "parameters"), text, sizeof text));
    }
    table_print(t, 0);
}

static int run_list(struct cli *c)
{
    return query_print(c, "fence list", NULL, NULL, print_list, "list the fence devices");
}

static int run_add(struct cli *c)
{
    struct json_object *pairs = query_pairs(c, 1), *args, *result;
    char what[128];
    int rc;

    if (pairs == NULL) {
        return RC_USAGE;
    }
    args =
        client_args("fence", c->arg[0], "agent", cli_value(c, "agent"), "level", cli_value(c, "level"), NULL);
    (void)json_object_object_add(args, "nodes", query_split(cli_value(c, "nodes")));
    (void)json_object_object_add(args, "set", pairs);
    (void)snprintf(what, sizeof what, "add fence device '%.64s'", c->arg[0]);
    rc = query_get(c, "fence add", args, &result, what);
    json_object_put(result);
    if (rc == 0) {
        struct json_object *document = client_args("fence", c->arg[0], NULL);

        if (!output_document(c, document, NULL)) {
            printf("%s: added; try it: clusterctl fence test %s\n", c->arg[0], c->arg[0]);
        }
        json_object_put(document);
    }
    return rc;
}

static int run_test(struct cli *c)
{
    struct batch b;
    int rc;

    batch_init(&b, c, "test fence device");
    (void)batch_send(&b, "fence test", c->arg[0], client_args("fence", c->arg[0], NULL));
    rc = batch_finish(&b, false, NULL);
    batch_fini(&b);
    return rc;
}

static int run_remove(struct cli *c)
{
    int rc = cli_confirm(
        c, "Fence device '%s' and its parameters are forgotten; a node without one cannot be fenced.",
        c->arg[0]);
    struct json_object *result, *document;
    char what[128];

    if (rc != 0) {
        return rc;
    }
    (void)snprintf(what, sizeof what, "remove fence device '%.64s'", c->arg[0]);
    rc = query_get(c, "fence remove", client_args("fence", c->arg[0], NULL), &result, what);
    json_object_put(result);
    if (rc == 0) {
        document = client_args("removed", c->arg[0], NULL);
        if (!output_document(c, document, NULL)) {
            printf("%s: removed\n", c->arg[0]);
        }
        json_object_put(document);
    }
    return rc;
}

const struct cli_command cmd_fence[] = {
    {.name = "fence list",
     .summary = "list the fence devices",
     .details = "Passwords are shown as stars; `clusterctl config export` has them.",
     .run = run_list},
    {.name = "fence add",
     .args = "NAME [KEY=VALUE…]",
     .summary = "add a device that can switch nodes off",
     .details = "AGENT is a program of the package fence-agents; `AGENT -o metadata` or its manual lists its "
                "parameters "
                "(KEY=VALUE).\n\nclusterctl fence add ipmi1 --agent fence_ipmilan --nodes node1 ip=10.0.0.1 "
                "username=admin password=secret lanplus=1 power_wait=0\n\nFor fence_ipmilan power_wait=0 "
                "saves two seconds; the agent asks for the power "
                "state anyway.",
     .min = 1,
     .max = CLI_ANY,
     .run = run_add,
     .option = {{"agent", "AGENT", NULL, "the agent, e.g. fence_ipmilan", KIND_NONE, true},
                {"nodes", "NODE,…", NULL, "the nodes that it can switch off", KIND_NODE, true},
                {"level", "L", NULL, "1 to 9 (1): devices of lower levels are tried first", KIND_NONE,
                 false}}},
    {.name = "fence test",
     .args = "NAME",
     .summary = "ask a fence device for its nodes' power state; switches nothing",
     .min = 1,
     .max = 1,
     .first = KIND_FENCE,
     .run = run_test},
    {.name = "fence remove",
     .args = "NAME",
     .summary = "forget a fence device",
     .details = "Asks first.",
     .min = 1,
     .max = 1,
     .first = KIND_FENCE,
     .run = run_remove},
    {.name = NULL},
};
