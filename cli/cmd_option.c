/* cmd_option.c - settings of the whole cluster. */
#include "cli.h"
#include "client.h"
#include "output.h"
#include "query.h"

#include <stdio.h>
#include <string.h>

static void print_list(struct json_object *document)
{
    struct json_object *list = out_get(document, "options");
    struct table *t = table_new(4);

    table_cell(t, "OPTION");
    table_cell(t, "VALUE");
    table_cell(t, "DEFAULT");
    table_cell(t, "MEANING");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        bool same = strcmp(out_text(o, "value"), out_text(o, "default")) == 0;

        table_cell(t, "%s", out_text(o, "key"));
        table_cell(t, "%s", out_text(o, "value"));
        table_cell(t, "%s", same ? "" : out_text(o, "default"));
        if (out_is_null(o, "choices")) {
            table_cell(t, "%s", out_text(o, "help"));
        } else {
            table_cell(t, "%s (%s)", out_text(o, "help"), out_text(o, "choices"));
        }
    }
    table_print(t, 0);
}

static int run_list(struct cli *c)
{
    return query_print(c, "option list", NULL, NULL, print_list, "list the options");
}

static int run_set(struct cli *c)
{
    struct json_object *pairs = query_pairs(c, 0), *args, *result;
    int rc;

    if (pairs == NULL) {
        return RC_USAGE;
    }
    args = json_object_new_object();
    (void)json_object_object_add(args, "set", pairs);
    rc = query_get(c, "option set", args, &result, "change the options");
    json_object_put(result);
    if (rc != 0) {
        return rc;
    }
    if (c->json || c->xml) {
        return run_list(c);
    }
    for (unsigned i = 0; i < c->args; i++) {
        printf("%s\n", c->arg[i]);
    }
    return 0;
}

const struct cli_command cmd_option[] = {
    {.name = "option list",
     .summary = "list the options of the cluster, their values and meaning",
     .run = run_list},
    {.name = "option set",
     .args = "KEY=VALUE…",
     .summary = "change options of the cluster",
     .details = "All or none of them are changed.",
     .min = 1,
     .max = CLI_ANY,
     .first = KIND_OPTION,
     .rest = KIND_OPTION,
     .run = run_set},
    {.name = NULL},
};
