/* cmd_vm.c - virtual machines. */
#include "cli.h"
#include "client.h"
#include "config_model.h"
#include "lists.h"
#include "output.h"
#include "plan_text.h"
#include "query.h"
#include "read_file.h"
#include "wait.h"

#include "adapters/domain_xml.h"
#include "common/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_list(struct cli *c)
{
    return query_print(c, "vm list", NULL, NULL, list_vms, "list the VMs");
}

static void print_pairs(const char *title, struct json_object *pairs)
{
    printf("  %s\n", title);
    JSON_EACH(pairs, it)
    {
        printf("    %-22s %s\n", json_object_iter_peek_name(&it),
               out_clean(json_object_get_string(json_object_iter_peek_value(&it))));
    }
}

static void print_vm(struct json_object *vm)
{
    printf("VM %s\n", out_text(vm, "name"));
    printf("  state        %s%s%s, wanted %s\n", colour(state_colour(out_text(vm, "state"))),
           out_text(vm, "state"), colour(COLOUR_NONE), out_text(vm, "wanted"));
    printf("  node         %s (owner %s%s%s)\n", out_text(vm, "node"), out_text(vm, "owner"),
           out_is_null(vm, "home") ? "" : ", home ", out_is_null(vm, "home") ? "" : out_text(vm, "home"));
    printf("  uuid         %s\n", out_text(vm, "uuid"));
    printf("  size         %" PRId64 " MiB, %" PRId64 " cpus\n", out_int(vm, "memory_mib"),
           out_int(vm, "cpus"));
    printf("  disks        %s\n", out_join(out_get(vm, "disks")));
    printf("  networks     %s\n", out_join(out_get(vm, "networks")));
    if (!out_is_null(vm, "saved_state")) {
        printf("  saved state  %s\n", out_text(vm, "saved_state"));
    }
    if (!out_is_null(vm, "operation")) {
        printf("  operation    %s\n", out_text(vm, "operation"));
    }
    if (!out_is_null(vm, "error")) {
        printf("  last error   %s\n", out_text(vm, "error"));
    }
    print_pairs("settings", out_get(vm, "settings"));
    if (!out_is_null(vm, "why")) {
        printf("\n%s", out_text(vm, "why"));
    }
}

static int run_show(struct cli *c)
{
    struct json_object *args = client_args("vm", c->arg[0], NULL);
    char what[128];

    (void)snprintf(what, sizeof what, "show VM '%.64s'", c->arg[0]);
    if (cli_flag(c, "domain")) {
        struct json_object *vm;
        int rc;

        (void)json_object_object_add(args, "xml", json_object_new_boolean(true));
        rc = query_get(c, "vm show", args, &vm, what);
        if (rc == 0 && !output_document(c, vm, "vm")) {
            printf("%s", json_object_get_string(out_get(vm, "xml")));
        }
        json_object_put(vm);
        return rc;
    }
    return query_print(c, "vm show", args, "vm", print_vm, what);
}

/* ---- adding, changing, removing ---- */

/* The VM as `vm show` has it, for programs, after a command that began no operation. */
static int print_changed(struct cli *c, const char *name)
{
    struct json_object *vm, *document;
    int rc;

    if (!c->json && !c->xml) {
        return 0;
    }
    rc = query_get(c, "vm show", client_args("vm", name, NULL), &vm, "show the VM");
    if (rc == 0) {
        document = json_object_new_object();
        (void)json_object_object_add(document, "vm", vm);
        (void)output_document(c, document, NULL);
        json_object_put(document);
    }
    return rc;
}

/* The daemon reads the XML again: it trusts nobody. Here the same code finds the name, and what is wrong,
 * sooner. */
static int read_domain(struct cli *c, const char *file, struct domain *d)
{
    struct err err = ERR_INIT;
    size_t len;
    char *xml = read_file(c, file, EVENT_TEXT_MAX, "a domain XML", &len);
    int rc;

    if (xml == NULL) {
        return RC_BAD_INPUT;
    }
    rc = domain_parse(d, xml, len, cli_value(c, "name"), VOLUME_DIR, &err);
    free(xml);
    return rc == 0 ? 0 : cli_fail(c, &err, "cannot add the VM of '%s'", file);
}

static int add(struct cli *c, const struct domain *d)
{
    struct json_object *args = client_args("xml", d->xml, NULL), *vm = NULL,
                       *extra = json_object_new_object();
    struct err err = ERR_INIT;
    struct batch b;
    int rc;

    (void)json_object_object_add(args, "set", client_args("priority", cli_value(c, "priority"), NULL));
    (void)json_object_object_add(args, "start", json_object_new_boolean(cli_flag(c, "start")));
    batch_init(&b, c, "add VM");
    rc = batch_send(&b, "vm add", d->name, args);
    if (rc == 0 && !c->json && !c->xml) {
        printf("%s: added\n", d->name);
    }
    if (rc == 0 && client_call(c, "vm show", client_args("vm", d->name, NULL), &vm, &err) == 0) {
        (void)json_object_object_add(extra, "vm", vm);
    }
    b.verb = "start VM";
    rc = batch_finish(&b, false, extra);
    batch_fini(&b);
    return rc;
}

static int run_add(struct cli *c)
{
    struct domain *d = calloc(1, sizeof *d);
    int rc = d ? read_domain(c, c->arg[0], d) : RC_NO_MEMORY;

    if (rc == 0) {
        rc = add(c, d);
        domain_fini(d);
    }
    free(d);
    return rc;
}

/* A command about one object that begins no operation. */
static int plain(struct cli *c, const char *command, struct json_object *args, const char *verb)
{
    struct json_object *result;
    char what[128];
    int rc;

    (void)snprintf(what, sizeof what, "%s VM '%.64s'", verb, c->arg[0]);
    rc = query_get(c, command, args, &result, what);
    json_object_put(result);
    return rc;
}

static int run_remove(struct cli *c)
{
    int rc = cli_confirm(c, "VM '%s' leaves the cluster, with its domain XML and settings; its disks stay.",
                         c->arg[0]);

    rc = rc != 0 ? rc : plain(c, "vm remove", client_args("vm", c->arg[0], NULL), "remove");
    if (rc == 0) {
        struct json_object *document = client_args("removed", c->arg[0], NULL);

        if (!output_document(c, document, NULL)) {
            printf("%s: removed from the cluster; its disks are where they were\n", c->arg[0]);
        }
        json_object_put(document);
    }
    return rc;
}

static int run_set(struct cli *c)
{
    struct json_object *pairs = query_pairs(c, 1), *args;
    int rc;

    if (pairs == NULL) {
        return RC_USAGE;
    }
    args = client_args("vm", c->arg[0], NULL);
    (void)json_object_object_add(args, "set", pairs);
    rc = plain(c, "vm set", args, "change");
    for (unsigned i = 1; rc == 0 && !c->json && !c->xml && i < c->args; i++) {
        printf("%s: %s\n", c->arg[0], c->arg[i]);
    }
    return rc != 0 ? rc : print_changed(c, c->arg[0]);
}

/* ---- moving ---- */

/* Whether `--all` means a VM in that state. */
typedef bool (*wants_fn)(struct json_object *vm);

static bool to_start(struct json_object *vm)
{
    const char *state = out_text(vm, "state");

    return strcmp(state, "stopped") == 0 || strcmp(state, "saved") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "paused") == 0;
}

static bool to_stop(struct json_object *vm)
{
    const char *state = out_text(vm, "state");

    return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 || strcmp(state, "starting") == 0;
}

/* The names that a command is about: its arguments, or with --all those that it applies to. NULL: printed. */
static struct json_object *targets(struct cli *c, wants_fn wants)
{
    struct json_object *names, *result, *list;

    if (cli_flag(c, "all") == (c->args > 0)) {
        (void)cli_refuse(c, RC_USAGE, NULL,
                         c->args > 0 ? "'%s' takes VMs or --all, not both" : "'%s' needs a VM, or --all",
                         c->command->name);
        return NULL;
    }
    if (c->args > 0) {
        return plan_names(c);
    }
    if (query_get(c, "vm list", NULL, &result, "list the VMs") != 0) {
        return NULL;
    }
    names = json_object_new_array();
    list = out_get(result, "vms");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *vm = json_object_array_get_idx(list, i);

        if (wants(vm) && out_is_null(vm, "operation")) {
            (void)json_object_array_add(names, json_object_get(out_get(vm, "name")));
        }
    }
    json_object_put(result);
    return names;
}

/* One command for each name; options that are NULL are left out. */
static int for_each(struct cli *c, const char *command, const char *verb, struct json_object *names,
                    struct json_object *options)
{
    size_t n = out_length(names);
    struct batch b;
    int rc;

    batch_init(&b, c, verb);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(names, i));
        struct json_object *args = client_args("vm", name, NULL);

        JSON_EACH(options, it)
        {
            (void)json_object_object_add(args, json_object_iter_peek_name(&it),
                                         json_object_get(json_object_iter_peek_value(&it)));
        }
        (void)batch_send(&b, command, name, args);
    }
    if (n == 0) {
        cli_note(c, "there is no VM to do that with");
    }
    rc = batch_finish(&b, cli_flag(c, "all") || n != 1, NULL);
    batch_fini(&b);
    json_object_put(names);
    json_object_put(options);
    return rc;
}

static int run_start(struct cli *c)
{
    struct json_object *names = targets(c, to_start);

    return names == NULL
               ? RC_USAGE
               : for_each(c, "vm start", "start VM", names, client_args("node", cli_value(c, "node"), NULL));
}

static int run_stop(struct cli *c)
{
    struct json_object *names, *options;
    bool force = cli_flag(c, "force"), save = cli_flag(c, "save");

    if (force && save) {
        return cli_refuse(c, RC_USAGE, NULL, "--force and --save exclude each other");
    }
    names = targets(c, to_stop);
    if (names == NULL) {
        return RC_USAGE;
    }
    if (force &&
        cli_confirm(c,
                    "%s %s switched off at once, like a machine whose cord is pulled; a saved state is "
                    "discarded.",
                    out_join(names), out_length(names) == 1 ? "is" : "are") != 0) {
        json_object_put(names);
        return RC_REFUSED;
    }
    options = json_object_new_object();
    (void)json_object_object_add(options, "force", json_object_new_boolean(force));
    (void)json_object_object_add(options, "save", json_object_new_boolean(save));
    return for_each(c, "vm stop", save ? "save VM" : "stop VM", names, options);
}

static int run_reset(struct cli *c)
{
    int rc = cli_confirm(c, "VM '%s' is reset, like a machine whose reset button is pressed.", c->arg[0]);

    return rc != 0 ? rc : for_each(c, "vm reset", "reset VM", plan_names(c), json_object_new_object());
}

static int run_migrate(struct cli *c)
{
    const char *mode = cli_flag(c, "live") ? "live" : cli_flag(c, "quick") ? "quick" : NULL;
    struct json_object *options;

    if (cli_flag(c, "live") && cli_flag(c, "quick")) {
        return cli_refuse(c, RC_USAGE, NULL, "--live and --quick exclude each other");
    }
    options = client_args("to", cli_value(c, "to"), "mode", mode, NULL);
    if (cli_flag(c, "dry-run")) {
        (void)json_object_object_add(options, "vms", plan_names(c));
        return plan_print(c, "vm migrate plan", options, "plan the migration");
    }
    return for_each(c, "vm migrate", "migrate VM", plan_names(c), options);
}

const struct cli_command cmd_vm[] = {
    {.name = "vm list", .summary = "list the VMs", .run = run_list},
    {.name = "vm show",
     .args = "VM",
     .summary = "show one VM, with its settings and why it is where it is",
     .min = 1,
     .max = 1,
     .first = KIND_VM,
     .run = run_show,
     .option = {{"domain", NULL, NULL, "print its domain XML instead (with --json and --xml: as well)",
                 KIND_NONE, false}}},
    {.name = "vm add",
     .args = "FILE",
     .summary = "make a VM highly available: FILE is its libvirt domain XML",
     .details = "`virsh dumpxml --inactive VM` prints such a file; '-' reads it from standard input. Its "
                "disks must lie on "
                "shared volumes, with cache='none' or 'directsync'. Stop the VM first where libvirt runs it "
                "now, and remove it "
                "there (virsh undefine VM): from then on the cluster alone starts it.",
     .min = 1,
     .max = 1,
     .first = KIND_FILE,
     .run = run_add,
     .option = {{"name", "NAME", NULL, "another name than the file's", KIND_NONE, false},
                {"priority", "P", "high|medium|low|none",
                 "the order of restarts and moves (medium); none: never restarted by "
                 "itself",
                 KIND_WORD, false},
                {"start", NULL, NULL, "start it at once", KIND_NONE, false}}},
    {.name = "vm remove",
     .args = "VM",
     .summary = "take a VM that is off out of the cluster",
     .details = "Its domain XML and settings are forgotten (keep them: clusterctl vm show --domain VM); its "
                "disks are never "
                "touched. Asks first.",
     .min = 1,
     .max = 1,
     .first = KIND_VM,
     .run = run_remove},
    {.name = "vm set",
     .args = "VM KEY=VALUE…",
     .summary = "change settings of a VM",
     .details = "All or none of them are changed; `clusterctl vm show VM` shows their values.",
     .min = 2,
     .max = CLI_ANY,
     .first = KIND_VM,
     .rest = KIND_SETTING,
     .run = run_set},
    {.name = "vm start",
     .args = "VM…|--all",
     .summary = "start VMs; a saved one goes on from where it was",
     .max = CLI_ANY,
     .first = KIND_VM,
     .rest = KIND_VM,
     .run = run_start,
     .option = {{"all", NULL, NULL, "all that are off", KIND_NONE, false},
                {"node", "NODE", NULL, "on this node (default: the best one)", KIND_NODE, false}}},
    {.name = "vm stop",
     .args = "VM…|--all",
     .summary = "shut VMs down",
     .details = "The guest is asked to shut down, and switched off when it has not within the setting "
                "stop_timeout_ms.",
     .max = CLI_ANY,
     .first = KIND_VM,
     .rest = KIND_VM,
     .run = run_stop,
     .option = {{"all", NULL, NULL, "all that run", KIND_NONE, false},
                {"force", NULL, NULL, "switch off at once; also discards a saved state. Asks first",
                 KIND_NONE, false},
                {"save", NULL, NULL,
                 "save the memory to the shared volume; the next start goes on from there", KIND_NONE,
                 false}}},
    {.name = "vm reset",
     .args = "VM",
     .summary = "press a VM's reset button",
     .details = "The guest loses what it has not written. Asks first.",
     .min = 1,
     .max = 1,
     .first = KIND_VM,
     .run = run_reset},
    {.name = "vm migrate",
     .args = "VM…",
     .summary = "move VMs to another node",
     .details = "A running VM moves live, without an interruption that its clients would notice; where its "
                "setting says quick, "
                "it is saved, handed over and restored. A VM that is off only changes its owner.",
     .min = 1,
     .max = CLI_ANY,
     .first = KIND_VM,
     .rest = KIND_VM,
     .run = run_migrate,
     .option = {{"to", "NODE", NULL, "to this node (default: the best one)", KIND_NODE, false},
                {"live", NULL, NULL, "live or not at all", KIND_NONE, false},
                {"quick", NULL, NULL, "save, hand over, restore", KIND_NONE, false},
                {"dry-run", NULL, NULL, "only show what would go where", KIND_NONE, false}}},
    {.name = NULL},
};
