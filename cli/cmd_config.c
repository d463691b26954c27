/* cmd_config.c - the whole configuration as one XML document. */
#include "cli.h"
#include "client.h"
#include "config_diff.h"
#include "config_model.h"
#include "output.h"
#include "query.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- export ---- */

static int write_file(struct cli *c, const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    if (f == NULL || fputs(text, f) < 0 || fflush(f) != 0 || fsync(fd) != 0 || fclose(f) != 0) {
        return cli_refuse(c, RC_IO, NULL, "cannot write '%s': %s", path, strerror(errno));
    }
    return 0;
}

/* Passwords of fence devices are in it. */
static void advise_mode(const struct cli *c)
{
    struct stat st;

    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) != 0) {
        cli_note(c, "hint: it has the passwords of the fence devices, and others may read that file: chmod "
                    "600 it, or use "
                    "--output");
    }
}

static int run_export(struct cli *c)
{
    struct json_object *status, *model = NULL;
    int rc = query_get(c, "quorum", NULL, &status, "export the configuration");
    char *text;

    if (rc == 0) {
        model = config_from_cluster(c, NULL);
        rc = model ? 0 : RC_FAILED;
    }
    if (rc == 0) {
        text = config_to_xml(model, out_text(status, "name"));
        if (cli_value(c, "output") != NULL) {
            rc = write_file(c, cli_value(c, "output"), text);
        } else if (c->json) {
            printf("%s\n",
                   json_object_to_json_string_ext(model, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE));
        } else {
            (void)fputs(text, stdout);
            advise_mode(c);
        }
        free(text);
    }
    json_object_put(model);
    json_object_put(status);
    return rc;
}

static int run_check(struct cli *c)
{
    struct json_object *model = config_from_file(c, c->arg[0]), *document;

    if (model == NULL) {
        return RC_BAD_INPUT;
    }
    document = client_args("valid", c->arg[0], NULL);
    if (!output_document(c, document, NULL)) {
        printf("%s: a right configuration: %d volumes, %d fence devices, %d VMs, %d rules\n", c->arg[0],
               json_object_object_length(out_get(model, "volumes")),
               json_object_object_length(out_get(model, "fences")),
               json_object_object_length(out_get(model, "vms")),
               json_object_object_length(out_get(model, "rules")));
    }
    json_object_put(document);
    json_object_put(model);
    return 0;
}

/* ---- diff ---- */

/* 0 and the difference (diff_fini), or a code with the error printed. */
static int make_diff(struct cli *c, struct changes *d)
{
    struct json_object *wanted = config_from_file(c, c->arg[0]), *states = json_object_new_object(),
                       *now = NULL;
    int rc = wanted ? 0 : RC_BAD_INPUT;

    memset(d, 0, sizeof *d);
    if (rc == 0) {
        now = config_from_cluster(c, states);
        rc = now ? 0 : RC_FAILED;
    }
    if (rc == 0) {
        diff_make(d, now, wanted, states);
    }
    json_object_put(now);
    json_object_put(wanted);
    json_object_put(states);
    return rc;
}

static const char *sign_word(char sign)
{
    return sign == '+' ? "add" : sign == '-' ? "remove" : sign == '~' ? "change" : "run";
}

static void print_change(const struct change *x)
{
    printf("%s%c%s %s %s%s%s\n", sign_word(x->sign)[0] == 'r' && x->sign == '-' ? colour(COLOUR_RED) : "",
           x->sign, x->sign == '-' ? colour(COLOUR_NONE) : "", x->object, x->name, x->text[0] ? ": " : "",
           x->text);
    if (x->refusal[0] != '\0') {
        printf("    cannot be done: %s\n", x->refusal);
    }
}

static struct json_object *changes_document(const struct changes *d)
{
    struct json_object *document = json_object_new_object(), *list = json_object_new_array();

    for (unsigned i = 0; i < d->n; i++) {
        struct json_object *o =
            client_args("change", sign_word(d->v[i].sign), "object", d->v[i].object, "name", d->v[i].name,
                        "text", d->v[i].text, "refused", d->v[i].refusal[0] ? d->v[i].refusal : NULL, NULL);

        (void)json_object_array_add(list, o);
    }
    (void)json_object_object_add(document, "changes", list);
    return document;
}

static void print_diff(const struct cli *c, const struct changes *d)
{
    struct json_object *document = changes_document(d);

    if (!output_document(c, document, NULL)) {
        for (unsigned i = 0; i < d->n; i++) {
            print_change(&d->v[i]);
        }
        if (d->n == 0) {
            printf("no difference\n");
        }
    }
    json_object_put(document);
}

static int run_diff(struct cli *c)
{
    struct changes d;
    int rc = make_diff(c, &d);

    if (rc == 0) {
        print_diff(c, &d);
    }
    diff_fini(&d);
    return rc;
}

/* ---- apply ---- */

/* Before the first change: nothing in it is known to be impossible. */
static int check_possible(struct cli *c, const struct changes *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        const struct change *x = &d->v[i];

        if (x->refusal[0] != '\0') {
            return cli_refuse(c, RC_REFUSED, "nothing was changed", "cannot %s %s '%s': %s",
                              sign_word(x->sign), x->object, x->name, x->refusal);
        }
    }
    return 0;
}

static int confirm_removals(struct cli *c, const struct changes *d)
{
    char what[256] = "";
    size_t len = 0;

    for (unsigned i = 0; i < d->n && len < sizeof what; i++) {
        if (d->v[i].sign == '-') {
            len +=
                (size_t)snprintf(what + len, sizeof what - len, "%s%s %s%s", len ? ", " : "", d->v[i].object,
                                 d->v[i].name, d->v[i].text[0] ? " (and adds it anew)" : "");
        }
    }
    return len == 0 ? 0 : cli_confirm(c, "This removes %s.", what);
}

static int apply(struct cli *c, struct changes *d)
{
    struct batch b;
    unsigned done = 0;
    int rc = 0;

    batch_init(&b, c, "apply");
    for (; done < d->n && rc == 0; done++) {
        struct change *x = &d->v[done];
        char what[128];

        (void)snprintf(what, sizeof what, "%s %s %s", sign_word(x->sign), x->object, x->name);
        rc = batch_send(&b, x->command, what, json_object_get(x->args));
        if (rc == 0 && !c->json && !c->xml) {
            print_change(x);
        }
    }
    if (rc != 0) {
        cli_note(c, "%u of %u changes were made; apply it again to go on", done - 1, d->n);
    }
    rc = batch_finish(&b, true, changes_document(d));
    batch_fini(&b);
    return rc;
}

static int run_apply(struct cli *c)
{
    struct changes d;
    int rc = make_diff(c, &d);

    if (rc == 0 && (cli_flag(c, "dry-run") || d.n == 0)) {
        print_diff(c, &d);
    } else if (rc == 0) {
        rc = check_possible(c, &d);
        rc = rc != 0 ? rc : confirm_removals(c, &d);
        rc = rc != 0 ? rc : apply(c, &d);
    }
    diff_fini(&d);
    return rc;
}

const struct cli_command cmd_config[] = {
    {.name = "config export",
     .summary = "print the whole configuration: options, volumes, fence devices, VMs, rules",
     .details = "Options and settings at their default are left out. It has the passwords of the fence "
                "devices: keep it with "
                "mode 0600 (--output does).",
     .run = run_export,
     .option = {{"output", "FILE", NULL, "write it to FILE, mode 0600", KIND_FILE, false}}},
    {.name = "config check",
     .args = "FILE",
     .summary = "check a configuration without a cluster",
     .details = "Its schema is configuration.rng; after that, known options, disks on volumes of the "
                "document, and names used "
                "once.",
     .min = 1,
     .max = 1,
     .first = KIND_FILE,
     .run = run_check},
    {.name = "config diff",
     .args = "FILE",
     .summary = "show what `config apply FILE` would change",
     .min = 1,
     .max = 1,
     .first = KIND_FILE,
     .run = run_diff},
    {.name = "config apply",
     .args = "FILE",
     .summary = "make the cluster as FILE says",
     .details = "The difference is made by the individual commands, each in the audit trail. It is not "
                "atomic: applied again, it "
                "goes on where it was interrupted. What FILE does not name is removed; that is asked first. "
                "A VM whose domain "
                "XML differs must be off: it is removed and added anew.",
     .min = 1,
     .max = 1,
     .first = KIND_FILE,
     .run = run_apply,
     .option = {{"dry-run", NULL, NULL, "only show the difference", KIND_NONE, false}}},
    {.name = NULL},
};
