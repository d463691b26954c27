/* cmd_quorum.c - the votes. */
#include "cli.h"
#include "output.h"
#include "query.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* ---- the way out (A16) ---- */

#define FORCE_WAIT_MS 20000
#define FORCE_POLL_MS 200

/* The operator's word for one node: its name typed, or --yes for all. */
static int confirm_down(struct cli *c, const char *name)
{
    char answer[128] = "";

    if (c->yes) {
        return 0;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return cli_refuse(
            c, RC_REFUSED, "--yes confirms that all of them are powered off",
            "the vote of '%s' is given up: this needs your word that it is powered off, and there "
            "is no terminal to ask on",
            name);
    }
    (void)fprintf(stderr, "Node '%s' is given up. If it is powered off, type its name: ", name);
    if (fgets(answer, sizeof answer, stdin) == NULL || strcspn(answer, "\n") != strlen(name) ||
        strncmp(answer, name, strlen(name)) != 0) {
        return cli_refuse(c, RC_REFUSED, NULL, "not confirmed, nothing was done");
    }
    return 0;
}

/* The voters that are not there, each confirmed to be down. */
static struct json_object *given_up(struct cli *c, struct json_object *q, int *rc)
{
    struct json_object *names = json_object_new_array(), *list = out_get(q, "members");

    for (size_t i = 0; i < out_length(list) && *rc == 0; i++) {
        struct json_object *m = json_object_array_get_idx(list, i);

        if (out_int(m, "votes") > 0 && !out_bool(m, "present")) {
            *rc = confirm_down(c, out_text(m, "name"));
            (void)json_object_array_add(names, json_object_new_string(out_text(m, "name")));
        }
    }
    if (*rc == 0 && json_object_array_length(names) == 0) {
        *rc = cli_refuse(c, RC_REFUSED, "clusterctl quorum shows the votes",
                         "no voter is missing: nothing has to be forced");
    }
    return names;
}

static int wait_quorate(struct cli *c, struct json_object **q)
{
    const struct timespec pause = {0, FORCE_POLL_MS * 1000000L};
    int rc = 0;

    for (int ms = 0; rc == 0 && ms < FORCE_WAIT_MS; ms += FORCE_POLL_MS) {
        if (out_bool(*q, "quorate")) {
            return 0;
        }
        (void)nanosleep(&pause, NULL);
        json_object_put(*q);
        *q = NULL;
        rc = query_get(c, "quorum", NULL, q, "force the quorum");
    }
    return rc != 0 ? rc
                   : cli_refuse(c, RC_TIMED_OUT, "see `clusterctl quorum`; try again",
                                "the survivors have no quorum yet: %s", out_text(*q, "problem"));
}

/* What is lost, and what must not come back, said before it is done. */
static void say_what(struct cli *c, struct json_object *q, struct json_object *names)
{
    cli_note(c,
             "this node knows the journal up to entry %" PRId64 " of term %" PRId64
             " (%s); what the others committed after that is lost",
             out_int(q, "index"), out_int(q, "term"), out_when(out_text(q, "time")));
    cli_note(
        c,
        "given up: %s. They must stay powered off, or lose their journals, until they have joined again: "
        "together they could be a majority by their own word",
        out_join(names));
}

static int run_force(struct cli *c)
{
    struct json_object *q = NULL, *args, *names;
    int rc = query_get(c, "quorum", NULL, &q, "force the quorum");

    if (rc != 0) {
        return rc;
    }
    if (out_bool(q, "quorate")) {
        json_object_put(q);
        return cli_refuse(c, RC_REFUSED, NULL, "the cluster is quorate: nothing has to be forced");
    }
    names = given_up(c, q, &rc);
    if (rc == 0) {
        say_what(c, q, names);
        args = json_object_new_object();
        (void)json_object_object_add(args, "nodes", json_object_get(names));
        json_object_put(q);
        q = NULL;
        rc = query_get(c, "quorum force", args, &q, "force the quorum");
    }
    json_object_put(names);
    rc = rc == 0 ? wait_quorate(c, &q) : rc;
    if (rc == 0 && !output_document(c, q, NULL)) {
        print_quorum(q);
    }
    json_object_put(q);
    return rc;
}

const struct cli_command cmd_force[] = {
    {.name = "quorum force",
     .summary = "go on without a majority that is gone for good",
     .details =
         "On a survivor: the voters that are not there are given up, and those that are there go on as the "
         "only "
         "voters, in a term far above all that was heard. Each one that is given up must be powered off: you "
         "confirm it by its name (or all with --yes). A fence device that reaches one switches it off as "
         "well. What they did last is not known: no VM is started before each of them is proven off, or "
         "counts as "
         "off by your word where no device reaches it, and the survivors have said what they run. They "
         "must stay off, or lose their journals, until they have joined again: together they could be a "
         "majority by "
         "their own word. What they committed and no survivor has is lost; a node that comes back sets its "
         "journal "
         "aside, takes the survivors' state and has no vote until it is up to date. It is written into the "
         "audit "
         "trail.",
     .run = run_force},
    {.name = NULL},
};

const struct cli_command cmd_quorum[] = {
    {.name = "quorum", .summary = "show the votes, and what may be lost next", .run = run_quorum},
    {.name = NULL},
};
