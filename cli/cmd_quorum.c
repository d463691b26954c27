/* cmd_quorum.c - the votes. */
#include "cli.h"
#include "output.h"
#include "query.h"

#include <inttypes.h>
#include <stdio.h>

static void print_members(struct json_object *list)
{
    struct table *t = table_new(5);

    table_cell(t, "MEMBER");
    table_cell(t, "ID");
    table_cell(t, "VOTES");
    table_cell(t, "PRESENT");
    table_cell(t, "%s", "");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        table_cell(t, "%s", out_text(o, "name"));
        table_cell(t, "%" PRId64, out_int(o, "id"));
        table_cell(t, "%" PRId64, out_int(o, "votes"));
        table_cell(t, "%s", out_bool(o, "present") ? "yes" : "no");
        table_cell(t, "%s", out_bool(o, "catching_up") ? "catching up" : "");
    }
    table_print(t, 0);
}

static void print_quorum(struct json_object *q)
{
    int64_t spare = out_int(q, "can_lose");

    if (out_bool(q, "quorate")) {
        printf("%squorate%s: %" PRId64 " of %" PRId64 " votes are present, %" PRId64 " are needed\n",
               colour(COLOUR_GREEN), colour(COLOUR_NONE), out_int(q, "votes"), out_int(q, "expected_votes"),
               out_int(q, "quorum"));
        printf("%s\n", spare == 0   ? "the loss of one more vote ends the quorum"
                       : spare == 1 ? "one more vote may be lost, not two"
                                    : "several more votes may be lost");
    } else {
        printf("%sNO QUORUM%s: %s\n", colour(COLOUR_RED), colour(COLOUR_NONE), out_text(q, "problem"));
        printf("%" PRId64 " of %" PRId64 " votes are present, %" PRId64 " are needed\n", out_int(q, "votes"),
               out_int(q, "expected_votes"), out_int(q, "quorum"));
    }
    if (!out_is_null(q, "stopped")) {
        printf("%sthe journal of this node has stopped%s: %s\n", colour(COLOUR_RED), colour(COLOUR_NONE),
               out_text(q, "stopped"));
    }
    printf("coordinator %s, term %" PRId64 ", no witness\n\n", out_text(q, "coordinator"),
           out_int(q, "term"));
    print_members(out_get(q, "members"));
}

static int run_quorum(struct cli *c)
{
    return query_print(c, "quorum", NULL, NULL, print_quorum, "show the quorum");
}

const struct cli_command cmd_quorum[] = {
    {.name = "quorum", .summary = "show the votes, and what may be lost next", .run = run_quorum},
    {.name = NULL},
};
