/* cmd_rule.c - rules of placement: which VMs stay apart or together, and which nodes may have a VM. */
#include "cli.h"
#include "client.h"
#include "output.h"
#include "query.h"

#include <stdio.h>
#include <string.h>

static void print_list(struct json_object *document)
{
    struct json_object *list = out_get(document, "rules");
    struct table *t = table_new(5);

    table_cell(t, "RULE");
    table_cell(t, "KIND");
    table_cell(t, "VMS");
    table_cell(t, "POSSIBLE ON");
    table_cell(t, "PREFERABLY ON");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        struct json_object *possible = out_get(o, "possible"), *preferred = out_get(o, "preferred");

        table_cell(t, "%s", out_text(o, "id"));
        table_cell(t, "%s", out_text(o, "kind"));
        table_cell(t, "%s", out_join(out_get(o, "vms")));
        table_cell(t, "%s", out_length(possible) ? out_join(possible) : "");
        table_cell(t, "%s", out_length(preferred) ? out_join(preferred) : "");
    }
    table_print(t, 0);
}

static int run_list(struct cli *c)
{
    return query_print(c, "rule list", NULL, NULL, print_list, "list the rules");
}

/* The newest rule of that kind, as `rule list` has it; owned by the caller. */
static struct json_object *newest(struct cli *c, const char *kind)
{
    struct json_object *document, *list, *rule = NULL;

    if (query_get(c, "rule list", NULL, &document, "list the rules") != 0) {
        return NULL;
    }
    list = out_get(document, "rules");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        rule = strcmp(out_text(o, "kind"), kind) == 0 ? o : rule;
    }
    rule = json_object_get(rule);
    json_object_put(document);
    return rule;
}

static int run_add(struct cli *c)
{
    struct json_object *args = client_args("kind", c->arg[0], NULL), *vms = json_object_new_array();
    struct json_object *result, *rule;
    const char *possible = cli_value(c, "possible"), *preferred = cli_value(c, "preferred");
    int rc;

    for (unsigned i = 1; i < c->args; i++) {
        (void)json_object_array_add(vms, json_object_new_string(c->arg[i]));
    }
    (void)json_object_object_add(args, "vms", vms);
    if (possible != NULL) {
        (void)json_object_object_add(args, "possible", query_split(possible));
    }
    if (preferred != NULL) {
        (void)json_object_object_add(args, "preferred", query_split(preferred));
    }
    rc = query_get(c, "rule add", args, &result, "add the rule");
    json_object_put(result);
    rule = rc == 0 ? newest(c, c->arg[0]) : NULL;
    if (rule != NULL) {
        struct json_object *document = json_object_new_object();

        (void)json_object_object_add(document, "rule", json_object_get(rule));
        if (!output_document(c, document, NULL)) {
            printf("rule %s: added\n", out_text(rule, "id"));
        }
        json_object_put(document);
    }
    json_object_put(rule);
    return rc;
}

static int run_remove(struct cli *c)
{
    struct json_object *result, *document;
    char what[128];
    int rc;

    (void)snprintf(what, sizeof what, "remove rule '%.64s'", c->arg[0]);
    rc = query_get(c, "rule remove", client_args("rule", c->arg[0], NULL), &result, what);
    json_object_put(result);
    if (rc == 0) {
        document = client_args("removed", c->arg[0], NULL);
        if (!output_document(c, document, NULL)) {
            printf("rule %s: removed\n", c->arg[0]);
        }
        json_object_put(document);
    }
    return rc;
}

const struct cli_command cmd_rule[] = {
    {.name = "rule list", .summary = "list the rules of placement", .run = run_list},
    {.name = "rule add",
     .args = "apart VM VM…|together VM VM…|owners VM",
     .summary = "add a rule of placement",
     .details =
         "apart: no two of these VMs on one node. together: all of them on one. owners: the nodes that may "
         "have the VM (--possible), and those that are taken first (--preferred). Apart, together and "
         "possible owners bind the cluster and operators alike, preferred owners are a wish. A VM that runs "
         "against a new rule is left where it is; explain vm says so. A rule that contradicts another is "
         "refused.",
     .min = 2,
     .max = CLI_ANY,
     .rest = KIND_VM,
     .run = run_add,
     .option = {{"possible", "NODE,…", NULL, "the only nodes that may have the VM", KIND_NODE, false},
                {"preferred", "NODE,…", NULL, "the nodes that are taken first", KIND_NODE, false}}},
    {.name = "rule remove",
     .args = "RULE",
     .summary = "forget a rule",
     .min = 1,
     .max = 1,
     .first = KIND_RULE,
     .run = run_remove},
    {.name = NULL},
};
