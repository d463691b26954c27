#include "plan_text.h"

#include <stdio.h>

#include "output.h"
#include "query.h"

struct json_object *plan_names(const struct cli *c)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < c->args; i++) {
        (void)json_object_array_add(list, json_object_new_string(c->arg[i]));
    }
    return list;
}

static void print_moves(struct json_object *plan)
{
    struct table *t = table_new(5);

    table_cell(t, "VM");
    table_cell(t, "FROM");
    table_cell(t, "TO");
    table_cell(t, "HOW");
    table_cell(t, "WHY");
    for (size_t i = 0; i < out_length(plan); i++) {
        struct json_object *o = json_object_array_get_idx(plan, i);

        table_cell(t, "%s", out_text(o, "vm"));
        table_cell(t, "%s", out_text(o, "from"));
        table_cell(t, "%s", out_text(o, "to"));
        table_cell(t, "%s", out_bool(o, "refused") ? "cannot" : out_text(o, "how"));
        table_cell(t, "%s", out_text(o, "why"));
    }
    table_print(t, 0);
}

int plan_print(struct cli *c, const char *command, struct json_object *args, const char *what)
{
    struct json_object *result, *plan;
    int rc = query_get(c, command, args, &result, what);

    if (rc != 0) {
        return rc;
    }
    plan = out_get(result, "plan");
    for (size_t i = 0; i < out_length(plan); i++) {
        if (out_bool(json_object_array_get_idx(plan, i), "refused")) {
            rc = RC_REFUSED;
        }
    }
    if (!output_document(c, result, NULL)) {
        if (out_length(plan) == 0) {
            printf("nothing would move\n");
        } else {
            print_moves(plan);
        }
    }
    json_object_put(result);
    return rc;
}
