/* cmd_volume.c - shared volumes. */
#include "cli.h"
#include "client.h"
#include "lists.h"
#include "output.h"
#include "query.h"
#include "wait.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define ONLINE_POLL_MS 300
#define ONLINE_MAX_MS  30000

static int run_list(struct cli *c)
{
    return query_print(c, "volume list", NULL, NULL, list_volumes, "list the volumes");
}

static void print_volume(struct json_object *v)
{
    printf("volume %s (%s)\n", out_text(v, "name"), out_text(v, "type"));
    printf("  state        %s%s%s\n", colour(state_colour(out_text(v, "state"))), out_text(v, "state"),
           colour(COLOUR_NONE));
    printf("  source       %s\n", out_text(v, "source"));
    printf("  path         %s\n", out_text(v, "path"));
    printf("  free         %s of %s\n", out_bytes(out_int(v, "free_bytes")),
           out_bytes(out_int(v, "size_bytes")));
    printf("  online on    %s\n", out_join(out_get(v, "nodes")));
    printf("  missing on   %s\n", out_join(out_get(v, "missing_on")));
    printf("  image locks  %s\n",
           out_bool(v, "locks_proven")
               ? "proven to hold between its nodes"
               : "not proven: live migration arrives paused, and fencing alone protects");
    printf("  VMs          %s\n", out_join(out_get(v, "vm_names")));
    if (!out_is_null(v, "error")) {
        printf("  last error   %s\n", out_text(v, "error"));
    }
}

static int run_show(struct cli *c)
{
    char what[128];

    (void)snprintf(what, sizeof what, "show volume '%.64s'", c->arg[0]);
    return query_print(c, "volume show", client_args("volume", c->arg[0], NULL), "volume", print_volume,
                       what);
}

/* Each node mounts the volume by itself; waits until all have, or one says why it cannot. */
static int wait_online(struct cli *c, const char *name, struct json_object **volume)
{
    long max = c->timeout_ms >= 0 ? c->timeout_ms : ONLINE_MAX_MS;

    for (long waited = 0;; waited += ONLINE_POLL_MS) {
        int rc = query_get(c, "volume show", client_args("volume", name, NULL), volume, "show the volume");

        if (rc != 0 || c->no_wait || strcmp(out_text(*volume, "state"), "online") == 0) {
            return rc;
        }
        if (!out_is_null(*volume, "error")) {
            return cli_refuse(c, RC_FAILED,
                              "clusterctl volume show says on which nodes it is; they go on trying",
                              "volume '%s' was added, but is not on %s: %s", name,
                              out_join(out_get(*volume, "missing_on")), out_text(*volume, "error"));
        }
        if (waited >= max) {
            return cli_refuse(c, RC_TIMED_OUT, "clusterctl volume show says when it is",
                              "volume '%s' was added, and is "
                              "not yet on %s",
                              name, out_join(out_get(*volume, "missing_on")));
        }
        json_object_put(*volume);
        (void)poll(NULL, 0, ONLINE_POLL_MS);
    }
}

static int run_add(struct cli *c)
{
    const char *type = cli_value(c, "type"), *source = cli_value(c, "source");
    struct json_object *volume = NULL, *result, *document;
    char what[128];
    int rc;

    (void)snprintf(what, sizeof what, "add volume '%.64s'", c->arg[0]);
    rc =
        query_get(c, "volume add",
                  client_args("volume", c->arg[0], "type", type ? type : "directory", "source", source, NULL),
                  &result, what);
    json_object_put(result);
    rc = rc != 0 ? rc : wait_online(c, c->arg[0], &volume);
    if (rc == 0) {
        document = json_object_new_object();
        (void)json_object_object_add(document, "volume", json_object_get(volume));
        if (!output_document(c, document, NULL)) {
            printf("%s: added, online on %s, path %s\n", c->arg[0], out_join(out_get(volume, "nodes")),
                   out_text(volume, "path"));
        }
        json_object_put(document);
    }
    json_object_put(volume);
    return rc;
}

static int run_remove(struct cli *c)
{
    int rc = cli_confirm(c, "Volume '%s' is unmounted on all nodes and leaves the cluster; its files stay.",
                         c->arg[0]);
    struct batch b;

    if (rc != 0) {
        return rc;
    }
    batch_init(&b, c, "remove volume");
    rc = batch_send(&b, "volume remove", c->arg[0], client_args("volume", c->arg[0], NULL));
    if (rc == 0 && out_length(b.ops) == 0 && !c->json && !c->xml) {
        printf("%s: removed\n", c->arg[0]);
    }
    rc = batch_finish(&b, false, client_args("removed", rc == 0 ? c->arg[0] : NULL, NULL));
    batch_fini(&b);
    return rc;
}

const struct cli_command cmd_volume[] = {
    {.name = "volume list", .summary = "list the shared volumes", .run = run_list},
    {.name = "volume show",
     .args = "VOLUME",
     .summary = "show one volume: where it is online, what lies on it",
     .min = 1,
     .max = 1,
     .first = KIND_VOLUME,
     .run = run_show},
    {.name = "volume add",
     .args = "NAME",
     .summary = "add a shared volume",
     .details = "Each node mounts PATH, where it sees the shared file system, at "
                "/var/lib/clusterd/volumes/NAME, and writes a "
                "stamp to it; then whether its image locks hold between the nodes is tried out.",
     .min = 1,
     .max = 1,
     .run = run_add,
     .option = {{"type", "TYPE", "directory", "what PATH is (directory)", KIND_WORD, false},
                {"source", "PATH", NULL, "a directory, the same on every node", KIND_FILE, true}}},
    {.name = "volume remove",
     .args = "VOLUME",
     .summary = "unmount a volume everywhere and forget it; its files stay",
     .details = "Refused while a VM has a disk on it. Asks first.",
     .min = 1,
     .max = 1,
     .first = KIND_VOLUME,
     .run = run_remove},
    {.name = NULL},
};
