/* cmd_status.c - the whole cluster at a glance: what is wrong stands first. */
#include "cli.h"
#include "client.h"
#include "lists.h"
#include "output.h"
#include "query.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WATCH_MS 1000

static void print_cluster(struct json_object *cluster)
{
    bool quorate = out_bool(cluster, "quorate");

    printf("%scluster %s%s: %s%s%s, %" PRId64 " of %" PRId64 " votes (%" PRId64
           " needed), coordinator %s, term %" PRId64 ", index %" PRId64 "\n",
           colour(COLOUR_BOLD), out_text(cluster, "name"), colour(COLOUR_NONE),
           colour(quorate ? COLOUR_GREEN : COLOUR_RED), quorate ? "quorate" : "NO QUORUM",
           colour(COLOUR_NONE), out_int(cluster, "votes"), out_int(cluster, "expected_votes"),
           out_int(cluster, "quorum"), out_text(cluster, "coordinator"), out_int(cluster, "term"),
           out_int(cluster, "index"));
}

static void print_problems(struct json_object *problems)
{
    if (out_length(problems) > 0) {
        printf("\n%sproblems%s\n", colour(COLOUR_BOLD), colour(COLOUR_NONE));
    }
    for (size_t i = 0; i < out_length(problems); i++) {
        struct json_object *p = json_object_array_get_idx(problems, i);

        printf("  %s!%s %s\n", colour(COLOUR_RED), colour(COLOUR_NONE), out_text(p, "text"));
        if (!out_is_null(p, "hint")) {
            printf("      hint: %s\n", out_text(p, "hint"));
        }
    }
}

static void print_status(struct json_object *status)
{
    print_cluster(out_get(status, "cluster"));
    print_problems(out_get(status, "problems"));
    printf("\n");
    list_nodes(status);
    if (out_length(out_get(status, "vms")) > 0) {
        printf("\n");
        list_vms(status);
    }
    if (out_length(out_get(status, "volumes")) > 0) {
        printf("\n");
        list_volumes(status);
    }
    if (out_length(out_get(status, "operations")) > 0) {
        printf("\n");
        list_operations(status);
    }
}

/* Until Ctrl-C. A daemon that goes away is said and waited for. */
static int watch(struct cli *c)
{
    bool tty = isatty(STDOUT_FILENO);

    for (;;) {
        struct json_object *result = NULL;
        struct err err = ERR_INIT;
        int rc = client_call(c, "status", NULL, &result, &err);

        if (rc != 0 && rc != RC_UNREACHABLE) {
            return cli_fail(c, &err, "cannot show the status");
        }
        if (tty && !c->json && !c->xml) {
            printf("\033[H\033[2J");
        }
        if (rc != 0) {
            printf("%s\n", err.msg);
        } else if (!output_document(c, result, NULL)) {
            print_status(result);
            printf("%s", tty ? "" : "\n");
        }
        json_object_put(result);
        if (fflush(stdout) != 0) {
            return RC_IO;
        }
        (void)poll(NULL, 0, WATCH_MS);
    }
}

static int run_status(struct cli *c)
{
    if (cli_flag(c, "watch")) {
        return watch(c);
    }
    return query_print(c, "status", NULL, NULL, print_status, "show the status");
}

const struct cli_command cmd_status[] = {
    {.name = "status",
     .summary = "show the whole cluster: problems first, then nodes, VMs, volumes, operations",
     .details = "It works on any node and answers alike. On a node without quorum it shows what this node "
                "last knew, and "
                "says so.",
     .run = run_status,
     .option = {{"watch", NULL, NULL, "show it again each second, until Ctrl-C", KIND_NONE, false}}},
    {.name = NULL},
};
