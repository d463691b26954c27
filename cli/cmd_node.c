/* cmd_node.c - nodes: looking at them, maintenance, fencing. */
#include "cli.h"
#include "client.h"
#include "lists.h"
#include "output.h"
#include "plan_text.h"
#include "query.h"
#include "wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int run_list(struct cli *c)
{
    return query_print(c, "node list", NULL, NULL, list_nodes, "list the nodes");
}

static void print_node(struct json_object *n)
{
    printf("node %s (id %" PRId64 ")\n", out_text(n, "name"), out_int(n, "id"));
    printf("  state        %s%s%s, %s\n", colour(state_colour(out_text(n, "state"))), out_text(n, "state"),
           colour(COLOUR_NONE), out_text(n, "mode"));
    printf("  memory       %" PRId64 " of %" PRId64 " MiB used by VMs\n", out_int(n, "memory_used_mib"),
           out_int(n, "memory_mib"));
    printf("  cpus         %" PRId64 "\n", out_int(n, "cpus"));
    printf("  VMs          %s\n", out_join(out_get(n, "vm_names")));
    printf("  fenced by    %s\n", out_join(out_get(n, "fences")));
    if (!out_is_null(n, "operation")) {
        printf("  operation    %s\n", out_text(n, "operation"));
    }
    if (!out_is_null(n, "error")) {
        printf("  last error   %s\n", out_text(n, "error"));
    }
    if (!out_is_null(n, "why")) {
        printf("\n%s", out_text(n, "why"));
    }
}

static int run_show(struct cli *c)
{
    char what[128];

    (void)snprintf(what, sizeof what, "show node '%.64s'", c->arg[0]);
    return query_print(c, "node show", client_args("node", c->arg[0], NULL), "node", print_node, what);
}

static int exclusive(struct cli *c, const char *a, const char *b)
{
    if (cli_flag(c, a) && cli_flag(c, b)) {
        return cli_refuse(c, RC_USAGE, NULL, "--%s and --%s exclude each other", a, b);
    }
    return 0;
}

static const char *mode(const struct cli *c)
{
    return cli_flag(c, "live") ? "live" : cli_flag(c, "quick") ? "quick" : NULL;
}

static int drain_plan(struct cli *c)
{
    struct json_object *args = client_args("mode", mode(c), "blocked", cli_value(c, "blocked"), NULL);

    (void)json_object_object_add(args, "nodes", plan_names(c));
    return plan_print(c, "node drain plan", args, "plan the drain");
}

static int run_drain(struct cli *c)
{
    struct batch b;
    int rc = exclusive(c, "live", "quick");

    if (rc != 0 || cli_flag(c, "dry-run")) {
        return rc != 0 ? rc : drain_plan(c);
    }
    batch_init(&b, c, "drain node");
    for (unsigned i = 0; i < c->args; i++) {
        (void)batch_send(
            &b, "node drain", c->arg[i],
            client_args("node", c->arg[i], "mode", mode(c), "blocked", cli_value(c, "blocked"), NULL));
    }
    rc = batch_finish(&b, c->args > 1, NULL);
    batch_fini(&b);
    return rc;
}

static int run_resume(struct cli *c)
{
    struct batch b;
    int rc;

    batch_init(&b, c, "resume node");
    for (unsigned i = 0; i < c->args; i++) {
        rc = batch_send(&b, "node resume", c->arg[i],
                        client_args("node", c->arg[i], "failback", cli_value(c, "failback"), NULL));
        if (rc == 0 && !c->json && !c->xml) {
            printf("%s: active, takes VMs again\n", c->arg[i]);
        }
    }
    rc = batch_finish(&b, c->args > 1, NULL);
    batch_fini(&b);
    return rc;
}

static int one(struct cli *c, const char *command, const char *verb, struct json_object *args)
{
    struct batch b;
    int rc;

    batch_init(&b, c, verb);
    (void)batch_send(&b, command, c->arg[0], args);
    rc = batch_finish(&b, false, NULL);
    batch_fini(&b);
    return rc;
}

static int run_add(struct cli *c)
{
    struct batch b;
    int rc;

    batch_init(&b, c, "add node");
    (void)batch_send(
        &b, "node add", c->arg[0],
        client_args("node", c->arg[0], "address", cli_value(c, "address"), "id", cli_value(c, "id"), NULL));
    rc = batch_finish(&b, false, NULL);
    batch_fini(&b);
    if (rc == 0) {
        cli_note(c,
                 "%s: copy /etc/corosync/corosync.conf and /etc/corosync/authkey from here to it, then start "
                 "corosync and clusterd there",
                 c->arg[0]);
    }
    return rc;
}

static int run_remove(struct cli *c)
{
    int rc = cli_confirm(c, "Node '%s' leaves the cluster for good.", c->arg[0]);

    return rc != 0 ? rc : one(c, "node remove", "remove node", client_args("node", c->arg[0], NULL));
}

static int run_fence(struct cli *c)
{
    int rc = cli_confirm(c, "Node '%s' is switched off at once; its VMs crash, and start on other nodes.",
                         c->arg[0]);

    return rc != 0 ? rc : one(c, "node fence", "fence node", client_args("node", c->arg[0], NULL));
}

static int run_confirm(struct cli *c)
{
    struct json_object *args = client_args("node", c->arg[0], NULL);
    int rc = cli_confirm(
        c,
        "You confirm that node '%s' is powered off: its VMs start on other nodes. If it still runs, they "
        "run twice and their disks are destroyed.",
        c->arg[0]);

    (void)json_object_object_add(args, "force", json_object_new_boolean(cli_flag(c, "force")));
    if (rc != 0) {
        json_object_put(args);
        return rc;
    }
    return one(c, "node confirm-down", "confirm the loss of node", args);
}

const struct cli_command cmd_node[] = {
    {.name = "node list", .summary = "list the nodes", .run = run_list},
    {.name = "node show",
     .args = "NODE",
     .summary = "show one node",
     .min = 1,
     .max = 1,
     .first = KIND_NODE,
     .run = run_show},
    {.name = "node drain",
     .args = "NODE…",
     .summary = "empty nodes for maintenance",
     .details =
         "Running VMs leave: live by default, quick (saved, handed over, restored) where their priority is "
         "at or below "
         "the option quick_priority or where live cannot; VMs that are off change their owner. The node "
         "takes none "
         "until it is resumed. A VM that cannot leave stays and is named, and the drain ends with 1; asked "
         "again, it tries again.",
     .min = 1,
     .max = CLI_ANY,
     .first = KIND_NODE,
     .rest = KIND_NODE,
     .run = run_drain,
     .option = {{"live", NULL, NULL, "all move live", KIND_NONE, false},
                {"quick", NULL, NULL, "all move by quick migration", KIND_NONE, false},
                {"blocked", "HOW", "wait|quick|shutdown",
                 "what becomes of a VM that cannot go its normal way: it stays and is "
                 "named (wait, the default), goes quick, or is shut down",
                 KIND_WORD, false},
                {"dry-run", NULL, NULL, "only show what would go where", KIND_NONE, false}}},
    {.name = "node resume",
     .args = "NODE…",
     .summary = "let drained nodes take VMs again",
     .min = 1,
     .max = CLI_ANY,
     .first = KIND_NODE,
     .rest = KIND_NODE,
     .run = run_resume,
     .option = {{"failback", "WHEN", "now|no",
                 "whether the VMs that the drain took away come home: now, or no (the default)", KIND_WORD,
                 false}}},
    {.name = "node add",
     .args = "NODE",
     .summary = "make room for one more node",
     .details = "The node becomes a member without a vote, and every node's corosync.conf lists it. Copy "
                "that file and "
                "the authkey to it and start corosync and clusterd there: it is brought up to date, then it "
                "votes. One "
                "node is added or removed at a time.",
     .min = 1,
     .max = 1,
     .run = run_add,
     .option = {{"address", "ADDRESS", NULL,
                 "where corosync reaches it; one for each link, separated by commas", KIND_NONE, true},
                {"id", "N", NULL, "its nodeid, 1 to 64; the lowest free one otherwise", KIND_NONE, false}}},
    {.name = "node remove",
     .args = "NODE",
     .summary = "take a node out of the cluster for good",
     .details = "Refused while a VM may run on it, and while it is online and not drained, or lost and not "
                "fenced. Its vote "
                "is taken away by one committed change, and every node's corosync.conf forgets it; its "
                "journal is set aside. "
                "Fence devices that reach no other node go with it. Asks first.",
     .min = 1,
     .max = 1,
     .first = KIND_NODE,
     .run = run_remove},
    {.name = "node fence",
     .args = "NODE",
     .summary = "switch a node off through its fence device",
     .details = "Its VMs crash and start on other nodes once the device has confirmed that the node is off. "
                "Asks first.",
     .min = 1,
     .max = 1,
     .first = KIND_NODE,
     .run = run_fence},
    {.name = "node confirm-down",
     .args = "NODE",
     .summary = "your own word that a lost node is powered off",
     .details = "For a node that is unclean and cannot be fenced. Look at the machine first: if it still "
                "runs, its VMs run "
                "twice. It is refused while the node is in the cluster's view or its fence device says that "
                "it is on. Asks "
                "first.",
     .min = 1,
     .max = 1,
     .first = KIND_NODE,
     .run = run_confirm,
     .option = {{"force", NULL, NULL, "even if the fence device says that the node is on", KIND_NONE,
                 false}}},
    {.name = NULL},
};
