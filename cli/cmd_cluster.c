/* cmd_cluster.c - the first creation by an operator's word. */
#include "cli.h"
#include "output.h"
#include "query.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The nodes of corosync's list that are not there, as "node2, node3"; their number. */
static unsigned absent(struct json_object *members, char *out, size_t size)
{
    unsigned n = 0;
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < out_length(members); i++) {
        struct json_object *m = json_object_array_get_idx(members, i);

        if (!out_bool(m, "counted") && at < size) {
            at += (size_t)snprintf(out + at, size - at, "%s%s", n++ > 0 ? ", " : "", out_text(m, "name"));
        }
    }
    return n;
}

static int run_create(struct cli *c)
{
    struct json_object *q = NULL;
    char names[512];
    unsigned n;
    int rc = query_get(c, "quorum", NULL, &q, "create the cluster");

    if (rc != 0) {
        return rc;
    }
    n = absent(out_get(q, "members"), names, sizeof names);
    if (strcmp(out_text(q, "role"), "empty") == 0) {
        rc = n > 0 ? cli_confirm(c,
                                 "An empty cluster is created without %s, which must not hold a cluster that "
                                 "you want to keep.",
                                 names)
                   : cli_confirm(c, "An empty cluster is created.");
    }
    json_object_put(q);
    if (rc == 0) {
        rc = query_get(c, "cluster create", NULL, &q, "create the cluster");
    }
    if (rc != 0) {
        return rc;
    }
    if (!output_document(c, q, NULL)) {
        printf("created, empty, on %" PRId64 " of %zu nodes; the others are taken in when they come\n",
               out_int(q, "votes"), out_length(out_get(q, "members")));
    }
    json_object_put(q);
    return 0;
}

const struct cli_command cmd_cluster[] = {
    {.name = "cluster create",
     .summary = "create the cluster although configured nodes are absent",
     .details = "When all nodes of corosync's node list are there and none has ever belonged to a cluster, "
                "an empty one is "
                "created by itself. This does so with those that are there; corosync must have its quorum. "
                "The others have no "
                "vote until they come, empty, and have been taken in. It is also the way to begin anew where "
                "all journals "
                "were set aside: what they held does not come back by itself then. Asks first.",
     .run = run_create},
    {.name = NULL},
};
