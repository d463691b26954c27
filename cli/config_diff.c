#include "config_diff.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "common/json.h"
#include "config_model.h"
#include "core/options.h"
#include "output.h"

static struct change *change_new(struct changes *d, char sign, const char *object, const char *name,
                                 const char *command, struct json_object *args)
{
    struct change *c;

    if (d->n == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 16;
        d->v = realloc(d->v, d->cap * sizeof *d->v);
        if (d->v == NULL) {
            abort();
        }
    }
    c = &d->v[d->n++];
    memset(c, 0, sizeof *c);
    c->sign = sign;
    (void)snprintf(c->object, sizeof c->object, "%s", object);
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    c->command = command;
    c->args = args;
    return c;
}

void diff_fini(struct changes *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        json_object_put(d->v[i].args);
    }
    free(d->v);
    memset(d, 0, sizeof *d);
}

static void say(struct change *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct change *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
}

static struct json_object *with_pair(struct json_object *args, const char *key, const char *value)
{
    (void)json_object_object_add(args, "set", client_args(key, value, NULL));
    return args;
}

/* ---- options and settings ---- */

/* Each row's value in both; a key that a model does not have is at its default. vm NULL: options. */
static void diff_pairs(struct changes *d, const char *vm, struct json_object *now, struct json_object *wanted)
{
    struct options options;
    struct vm_settings settings;
    unsigned n;
    const struct option_row *rows = vm ? vm_setting_rows(&n) : option_rows(&n);
    char dflt[32];

    options_init(&options);
    vm_settings_init(&settings);
    for (unsigned i = 0; i < n; i++) {
        const char *key = rows[i].key, *a, *b;
        struct change *c;

        option_text(&rows[i], vm ? (const void *)&settings : &options, dflt, sizeof dflt);
        a = out_get(now, key) ? out_text(now, key) : dflt;
        b = out_get(wanted, key) ? out_text(wanted, key) : dflt;
        if (strcmp(a, b) == 0) {
            continue;
        }
        if (vm != NULL) {
            c = change_new(d, '~', "VM", vm, "vm set", with_pair(client_args("vm", vm, NULL), key, b));
        } else {
            c = change_new(d, '~', "option", key, "option set", with_pair(json_object_new_object(), key, b));
        }
        say(c, vm ? "%s: %s -> %s" : "%.0s%s -> %s", key, a, b);
    }
}

/* ---- volumes and fence devices ---- */

static void volume_add(struct changes *d, const char *name, struct json_object *v)
{
    struct change *c = change_new(d, '+', "volume", name, "volume add",
                                  client_args("volume", name, "type", out_text(v, "type"), "source",
                                              json_object_get_string(out_get(v, "source")), NULL));

    say(c, "%s %s", out_text(v, "type"), out_text(v, "source"));
}

static void diff_volumes(struct changes *d, struct json_object *now, struct json_object *wanted)
{
    JSON_EACH(wanted, it)
    {
        const char *name = json_object_iter_peek_name(&it);
        struct json_object *w = json_object_iter_peek_value(&it), *n = out_get(now, name);

        if (n == NULL) {
            volume_add(d, name, w);
        } else if (!json_object_equal(n, w)) {
            struct change *c = change_new(d, '~', "volume", name, NULL, NULL);

            say(c, "source %s -> %s", out_text(n, "source"), out_text(w, "source"));
            (void)snprintf(c->refusal, sizeof c->refusal,
                           "the source of a volume cannot be changed: add another volume and move the disks");
        }
    }
}

static void fence_add(struct changes *d, const char *name, struct json_object *f)
{
    struct json_object *args =
        client_args("fence", name, "agent", out_text(f, "agent"), "level", out_text(f, "level"), NULL);
    struct change *c;

    (void)json_object_object_add(args, "nodes", json_object_get(out_get(f, "nodes")));
    (void)json_object_object_add(args, "set", json_object_get(out_get(f, "parameters")));
    c = change_new(d, '+', "fence device", name, "fence add", args);
    say(c, "%s for %s", out_text(f, "agent"), out_join(out_get(f, "nodes")));
}

static void fence_remove(struct changes *d, const char *name)
{
    (void)change_new(d, '-', "fence device", name, "fence remove", client_args("fence", name, NULL));
}

static void diff_fences(struct changes *d, struct json_object *now, struct json_object *wanted)
{
    JSON_EACH(wanted, it)
    {
        const char *name = json_object_iter_peek_name(&it);
        struct json_object *w = json_object_iter_peek_value(&it), *n = out_get(now, name);

        if (n != NULL && json_object_equal(n, w)) {
            continue;
        }
        if (n != NULL) {
            fence_remove(d, name);
            say(&d->v[d->n - 1], "it differs: it is removed and added anew");
        }
        fence_add(d, name, w);
    }
}

/* ---- VMs ---- */

static bool is_off(struct json_object *states, const char *name)
{
    const char *state = out_text(states, name);

    return strcmp(state, "stopped") == 0 || strcmp(state, "failed") == 0;
}

static void vm_remove(struct changes *d, const char *name, struct json_object *states, const char *what)
{
    struct change *c = change_new(d, '-', "VM", name, "vm remove", client_args("vm", name, NULL));

    if (!is_off(states, name)) {
        (void)snprintf(c->refusal, sizeof c->refusal,
                       "it is %s, and can be %s only when it is off: clusterctl vm stop %s",
                       out_text(states, name), what, name);
    }
}

static void vm_add(struct changes *d, const char *name, struct json_object *vm)
{
    struct json_object *args = client_args("xml", json_object_get_string(out_get(vm, "xml")), NULL);
    struct change *c;

    (void)json_object_object_add(args, "set", json_object_get(out_get(vm, "settings")));
    c = change_new(d, '+', "VM", name, "vm add", args);
    say(c, "wanted %s", out_text(vm, "wanted"));
}

/* What makes a VM as it is wanted. A saved state cannot be made of a VM that is off. */
static void diff_wanted(struct changes *d, const char *name, const char *now, const char *wanted)
{
    struct json_object *args = client_args("vm", name, NULL);

    if (strcmp(now, wanted) == 0 || (strcmp(wanted, "saved") == 0 && strcmp(now, "running") != 0)) {
        json_object_put(args);
    } else if (strcmp(wanted, "running") == 0) {
        say(change_new(d, '>', "VM", name, "vm start", args), "start");
    } else if (strcmp(wanted, "saved") == 0) {
        (void)json_object_object_add(args, "save", json_object_new_boolean(true));
        say(change_new(d, '>', "VM", name, "vm stop", args), "save");
    } else if (strcmp(now, "running") == 0) {
        say(change_new(d, '>', "VM", name, "vm stop", args), "stop");
    } else {
        struct change *c = change_new(d, '>', "VM", name, NULL, args);

        say(c, "%s -> %s", now, wanted);
        (void)snprintf(c->refusal, sizeof c->refusal,
                       "it has a saved state: start it, or discard that with clusterctl vm stop --force %s",
                       name);
    }
}

static bool same_domain(struct json_object *now, struct json_object *wanted)
{
    return now != NULL && config_same_domain(json_object_get_string(out_get(now, "xml")),
                                             json_object_get_string(out_get(wanted, "xml")));
}

static void diff_vms(struct changes *d, struct json_object *now, struct json_object *wanted,
                     struct json_object *states)
{
    JSON_EACH(wanted, it)
    {
        const char *name = json_object_iter_peek_name(&it);
        struct json_object *w = json_object_iter_peek_value(&it), *n = out_get(now, name);

        if (same_domain(n, w)) {
            diff_pairs(d, name, out_get(n, "settings"), out_get(w, "settings"));
            continue;
        }
        if (n != NULL) {
            vm_remove(d, name, states, "given another domain XML");
            say(&d->v[d->n - 1], "its domain XML differs: it is removed and added anew");
        }
        vm_add(d, name, w);
    }
}

static void diff_vms_wanted(struct changes *d, struct json_object *now, struct json_object *wanted)
{
    JSON_EACH(wanted, it)
    {
        const char *name = json_object_iter_peek_name(&it);
        struct json_object *w = json_object_iter_peek_value(&it), *n = out_get(now, name);

        diff_wanted(d, name, same_domain(n, w) ? out_text(n, "wanted") : "stopped", out_text(w, "wanted"));
    }
}

/* ---- rules ---- */

/* A rule that is in both, but leaves with a VM that is removed and added anew. */
static bool rule_leaves(struct json_object *rule, struct json_object *now, struct json_object *wanted)
{
    struct json_object *vms = out_get(rule, "vms");

    for (size_t i = 0; i < out_length(vms); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(vms, i));
        struct json_object *n = out_get(out_get(now, "vms"), name),
                           *w = out_get(out_get(wanted, "vms"), name);

        if (n == NULL || w == NULL || !same_domain(n, w)) {
            return true;
        }
    }
    return false;
}

/* Before the VMs, with which rules leave by themselves. */
static void diff_rules_removed(struct changes *d, struct json_object *now, struct json_object *wanted)
{
    JSON_EACH(out_get(now, "rules"), it)
    {
        const char *text = json_object_iter_peek_name(&it);
        struct json_object *r = json_object_iter_peek_value(&it);

        if (out_get(out_get(wanted, "rules"), text) == NULL || rule_leaves(r, now, wanted)) {
            say(change_new(d, '-', "rule", out_text(r, "id"), "rule remove",
                           client_args("rule", out_text(r, "id"), NULL)),
                "%s", text);
        }
    }
}

/* After the VMs are there, and before they start. */
static void diff_rules_added(struct changes *d, struct json_object *now, struct json_object *wanted)
{
    static const char *const lists[] = {"vms", "possible", "preferred"};

    JSON_EACH(out_get(wanted, "rules"), it)
    {
        const char *text = json_object_iter_peek_name(&it);
        struct json_object *r = json_object_iter_peek_value(&it), *args;

        if (out_get(out_get(now, "rules"), text) != NULL && !rule_leaves(r, now, wanted)) {
            continue;
        }
        args = client_args("kind", out_text(r, "kind"), NULL);
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
            if (out_length(out_get(r, lists[i])) > 0) {
                (void)json_object_object_add(args, lists[i], json_object_get(out_get(r, lists[i])));
            }
        }
        say(change_new(d, '+', "rule", out_text(r, "kind"), "rule add", args), "%s",
            text + strlen(out_text(r, "kind")) + 1);
    }
}

/* VMs leave before the volumes that they are on. */
static void diff_removals(struct changes *d, struct json_object *now, struct json_object *wanted,
                          struct json_object *states)
{
    JSON_EACH(out_get(now, "vms"), it)
    {
        if (out_get(out_get(wanted, "vms"), json_object_iter_peek_name(&it)) == NULL) {
            vm_remove(d, json_object_iter_peek_name(&it), states, "removed");
        }
    }
    JSON_EACH(out_get(now, "fences"), it)
    {
        if (out_get(out_get(wanted, "fences"), json_object_iter_peek_name(&it)) == NULL) {
            fence_remove(d, json_object_iter_peek_name(&it));
        }
    }
    JSON_EACH(out_get(now, "volumes"), it)
    {
        const char *name = json_object_iter_peek_name(&it);

        if (out_get(out_get(wanted, "volumes"), name) == NULL) {
            (void)change_new(d, '-', "volume", name, "volume remove", client_args("volume", name, NULL));
        }
    }
}

void diff_make(struct changes *d, struct json_object *now, struct json_object *wanted,
               struct json_object *states)
{
    memset(d, 0, sizeof *d);
    diff_pairs(d, NULL, out_get(now, "options"), out_get(wanted, "options"));
    diff_volumes(d, out_get(now, "volumes"), out_get(wanted, "volumes"));
    diff_fences(d, out_get(now, "fences"), out_get(wanted, "fences"));
    diff_rules_removed(d, now, wanted);
    diff_vms(d, out_get(now, "vms"), out_get(wanted, "vms"), states);
    diff_rules_added(d, now, wanted);
    diff_vms_wanted(d, out_get(now, "vms"), out_get(wanted, "vms"));
    diff_removals(d, now, wanted, states);
}
