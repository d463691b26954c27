#include "lists.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static void head(struct table *t, const char *const *titles)
{
    for (; *titles != NULL; titles++) {
        table_cell(t, "%s", *titles);
    }
}

void list_nodes(struct json_object *document)
{
    static const char *const titles[] = {"NODE", "STATE", "MODE", "VMS", "MEMORY USED", "CPUS", NULL};
    struct json_object *list = out_get(document, "nodes");
    struct table *t = table_new(6);

    head(t, titles);
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        table_cell(t, "%s", out_text(o, "name"));
        table_cell(t, "%s", out_text(o, "state"));
        table_cell(t, "%s", out_text(o, "mode"));
        table_cell(t, "%" PRId64, out_int(o, "vms"));
        table_cell(t, "%" PRId64 " of %" PRId64 " MiB", out_int(o, "memory_used_mib"),
                   out_int(o, "memory_mib"));
        table_cell(t, "%" PRId64, out_int(o, "cpus"));
    }
    table_print(t, 0);
}

void list_vms(struct json_object *document)
{
    static const char *const titles[] = {"VM",     "STATE",    "NODE",      "OWNER",
                                         "WANTED", "PRIORITY", "OPERATION", NULL};
    struct json_object *list = out_get(document, "vms");
    struct table *t = table_new(7);

    head(t, titles);
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        table_cell(t, "%s", out_text(o, "name"));
        table_cell(t, "%s", out_text(o, "state"));
        table_cell(t, "%s", out_text(o, "node"));
        table_cell(t, "%s", out_text(o, "owner"));
        table_cell(t, "%s", out_text(o, "wanted"));
        table_cell(t, "%s", out_text(o, "priority"));
        table_cell(t, "%s", out_is_null(o, "operation") ? "" : out_text(o, "operation"));
    }
    table_print(t, 0);
}

void list_volumes(struct json_object *document)
{
    static const char *const titles[] = {"VOLUME", "STATE", "TYPE", "FREE", "SIZE", "NODES", "PATH", NULL};
    struct json_object *list = out_get(document, "volumes");
    struct table *t = table_new(7);

    head(t, titles);
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        table_cell(t, "%s", out_text(o, "name"));
        table_cell(t, "%s", out_text(o, "state"));
        table_cell(t, "%s", out_text(o, "type"));
        table_cell(t, "%s", out_bytes(out_int(o, "free_bytes")));
        table_cell(t, "%s", out_bytes(out_int(o, "size_bytes")));
        table_cell(t, "%s", out_join(out_get(o, "nodes")));
        table_cell(t, "%s", out_text(o, "path"));
    }
    table_print(t, 0);
}

/* What an operation is about: a VM, a node, a volume or a fence device. */
static const char *subject(struct json_object *op)
{
    static const char *const keys[] = {"vm", "node", "volume", "fence"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!out_is_null(op, keys[i])) {
            return out_text(op, keys[i]);
        }
    }
    return "-";
}

void list_operations(struct json_object *document)
{
    static const char *const titles[] = {"OPERATION", "KIND",     "OF",    "FROM", "TO",
                                         "STATE",     "PROGRESS", "SINCE", "",     NULL};
    struct json_object *list = out_get(document, "operations");
    struct table *t = table_new(9);

    head(t, titles);
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        table_cell(t, "%s", out_text(o, "id"));
        table_cell(t, "%s", out_text(o, "kind"));
        table_cell(t, "%s", subject(o));
        table_cell(t, "%s", out_text(o, "from"));
        table_cell(t, "%s", out_text(o, "to"));
        table_cell(t, "%s", out_text(o, "state"));
        if (out_is_null(o, "progress")) {
            table_cell(t, "-");
        } else {
            table_cell(t, "%.0f %%", json_object_get_double(out_get(o, "progress")) * 100);
        }
        table_cell(t, "%s", out_when(out_text(o, "started")));
        table_cell(t, "%s", out_is_null(o, "error") ? "" : out_text(o, "error"));
    }
    table_print(t, 0);
}
