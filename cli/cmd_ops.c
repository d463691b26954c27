/* cmd_ops.c - operations in flight. */
#include "cli.h"
#include "client.h"
#include "lists.h"
#include "output.h"
#include "query.h"
#include "wait.h"

#include <stdio.h>

static void print_list(struct json_object *document)
{
    if (out_length(out_get(document, "operations")) == 0) {
        printf("no operations\n");
        return;
    }
    list_operations(document);
}

static int run_list(struct cli *c)
{
    struct json_object *args = json_object_new_object();

    (void)json_object_object_add(args, "all", json_object_new_boolean(cli_flag(c, "all")));
    return query_print(c, "ops list", args, NULL, print_list, "list the operations");
}

static int run_wait(struct cli *c)
{
    struct batch b;
    int rc = 0;

    batch_init(&b, c, "wait for operation");
    for (unsigned i = 0; i < c->args && rc == 0; i++) {
        struct json_object *op = NULL;
        char what[128];

        (void)snprintf(what, sizeof what, "wait for operation '%.32s'", c->arg[i]);
        rc = query_get(c, "ops show", client_args("op", c->arg[i], NULL), &op, what);
        if (rc == 0) {
            batch_add(&b, c->arg[i], op);
        }
        json_object_put(op);
    }
    if (rc == 0) {
        b.verb = "finish operation";
        rc = batch_finish(&b, c->args > 1, NULL);
    }
    batch_fini(&b);
    return rc;
}

static int run_cancel(struct cli *c)
{
    struct json_object *result;
    char what[128];
    int rc;

    (void)snprintf(what, sizeof what, "cancel operation '%.32s'", c->arg[0]);
    rc = query_get(c, "ops cancel", client_args("op", c->arg[0], NULL), &result, what);
    if (rc == 0 && !output_document(c, result, NULL)) {
        printf("operation %s: it ends as soon as that is safe (clusterctl ops wait %s)\n", c->arg[0],
               c->arg[0]);
    }
    json_object_put(result);
    return rc;
}

const struct cli_command cmd_ops[] = {
    {.name = "ops list",
     .summary = "list the operations in flight",
     .run = run_list,
     .option = {{"all", NULL, NULL, "the last ended ones too", KIND_NONE, false}}},
    {.name = "ops wait",
     .args = "ID…",
     .summary = "watch operations to their end",
     .details = "Its exit status is the operation's, as if it had been waited for from its beginning.",
     .min = 1,
     .max = CLI_ANY,
     .first = KIND_OP,
     .rest = KIND_OP,
     .run = run_wait},
    {.name = "ops cancel",
     .args = "ID",
     .summary = "end an operation as soon as that is safe",
     .details =
         "A drain stops where it is. A VM that is on its way arrives, or stays, before its operation ends.",
     .min = 1,
     .max = 1,
     .first = KIND_OP,
     .run = run_cancel},
    {.name = NULL},
};
