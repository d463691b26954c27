/* cmd_explain.c - why a VM or a node is as it is. */
#include "cli.h"
#include "client.h"
#include "output.h"
#include "query.h"

#include <stdio.h>

static void print_text(struct json_object *document)
{
    printf("%s", out_text(document, "text"));
}

static int run_vm(struct cli *c)
{
    char what[128];

    (void)snprintf(what, sizeof what, "explain VM '%.64s'", c->arg[0]);
    return query_print(c, "explain vm", client_args("vm", c->arg[0], NULL), NULL, print_text, what);
}

static int run_node(struct cli *c)
{
    char what[128];

    (void)snprintf(what, sizeof what, "explain node '%.64s'", c->arg[0]);
    return query_print(c, "explain node", client_args("node", c->arg[0], NULL), NULL, print_text, what);
}

const struct cli_command cmd_explain[] = {
    {.name = "explain vm",
     .args = "VM",
     .summary = "why a VM is where it is, why it is not elsewhere, what it waits for",
     .min = 1,
     .max = 1,
     .first = KIND_VM,
     .run = run_vm},
    {.name = "explain node",
     .args = "NODE",
     .summary = "what a node does, waits for, and holds up",
     .min = 1,
     .max = 1,
     .first = KIND_NODE,
     .run = run_node},
    {.name = NULL},
};
