/* main.c - reads the command line against the tables, and runs the one command that it names. */
#include "config.h"

#include "cli.h"
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cli_group cli_groups[] = {
    {NULL, "the cluster at a glance", cmd_status},
    {"cluster", "the first creation", cmd_cluster},
    {"node", "nodes: maintenance, fencing", cmd_node},
    {"vm", "virtual machines", cmd_vm},
    {"explain", "why a thing is as it is", cmd_explain},
    {"rule", "rules of placement", cmd_rule},
    {"volume", "shared volumes", cmd_volume},
    {"fence", "fence devices", cmd_fence},
    {"quorum", "the way out of a majority that is gone for good", cmd_force},
    {NULL, "votes", cmd_quorum},
    {NULL, "high availability", cmd_arm},
    {"ops", "operations in flight", cmd_ops},
    {NULL, "the audit trail", cmd_events},
    {"option", "settings of the whole cluster", cmd_option},
    {"config", "the whole configuration as one XML document", cmd_config},
    {NULL, NULL, NULL},
};

const struct cli_option cli_global_options[] = {
    {"json", NULL, NULL, "print JSON, for programs", KIND_NONE, false},
    {"xml", NULL, NULL, "print XML (status.rng describes it)", KIND_NONE, false},
    {"no-wait", NULL, NULL, "do not wait for the end of what was begun", KIND_NONE, false},
    {"timeout", "S", NULL, "wait at most S seconds, then end with 8; what was begun goes on", KIND_NONE,
     false},
    {"yes", NULL, NULL, "do not ask before something is destroyed", KIND_NONE, false},
    {"help", NULL, NULL, "explain the command", KIND_NONE, false},
    {"version", NULL, NULL, "print the version", KIND_NONE, false},
    {NULL, NULL, NULL, NULL, KIND_NONE, false},
};

const char *cli_value(const struct cli *c, const char *name)
{
    for (unsigned i = 0; i < CLI_OPTIONS_MAX && c->command->option[i].name != NULL; i++) {
        if (strcmp(c->command->option[i].name, name) == 0) {
            return c->value[i];
        }
    }
    return NULL;
}

/* ---- finding the command ---- */

/* The words after the group's, with one blank. */
static const char *word_of(const struct cli_group *g, const struct cli_command *command)
{
    return g->name ? command->name + strlen(g->name) + 1 : command->name;
}

static int unknown(struct cli *c, const char *group, const char *word, const char *const *known, unsigned n)
{
    const char *near = help_nearest(word, known, n);
    char hint[160];

    if (near != NULL) {
        (void)snprintf(hint, sizeof hint, "did you mean '%s'?", near);
    } else {
        (void)snprintf(hint, sizeof hint, "clusterctl %s%s--help lists the commands", group ? group : "",
                       group ? " " : "");
    }
    return cli_refuse(c, RC_USAGE, hint, "'%s' is no command%s%s", word, group ? " of " : "",
                      group ? group : "");
}

static int unknown_word(struct cli *c, const struct cli_group *group, const char *word)
{
    const char *known[64];
    unsigned n = 0;

    for (const struct cli_group *g = cli_groups; g->commands != NULL; g++) {
        if (group == NULL && g->name != NULL) {
            known[n++] = g->name;
        }
        for (const struct cli_command *m = g->commands; m->name != NULL && n < 63; m++) {
            if (group == g || (group == NULL && g->name == NULL)) {
                known[n++] = word_of(g, m);
            }
        }
    }
    return unknown(c, group ? group->name : NULL, word, known, n);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* `quorum` is a command, and `quorum force` another. */
static bool is_command_itself(const char *word)
{
    for (const struct cli_group *g = cli_groups; g->commands != NULL; g++) {
        for (const struct cli_command *m = g->commands; g->name == NULL && m->name != NULL; m++) {
            if (strcmp(m->name, word) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Sets c->command and returns how many words named it; 0 when there is none, with *rc of what was printed
 * instead. */
static unsigned find_command(struct cli *c, char **word, unsigned n, bool help, int *rc)
{
    *rc = RC_USAGE;
    for (const struct cli_group *g = cli_groups; g->commands != NULL; g++) {
        unsigned words = g->name ? 2 : 1;

        if (g->name != NULL &&
            (strcmp(g->name, word[0]) != 0 || ((n < 2 || word[1][0] == '-') && is_command_itself(word[0])))) {
            continue;
        }
        if (g->name != NULL && (n > 1 ? is_help(word[1]) : help)) {
            help_group(g);
            *rc = 0;
            return 0;
        }
        if (n < words) {
            char hint[96];

            (void)snprintf(hint, sizeof hint, "clusterctl %s --help lists them", g->name);
            *rc = cli_refuse(c, RC_USAGE, hint, "'%s' needs one of its commands", g->name);
            return 0;
        }
        for (const struct cli_command *m = g->commands; m->name != NULL; m++) {
            if (strcmp(word_of(g, m), word[words - 1]) == 0) {
                c->command = m;
                return words;
            }
        }
        if (g->name != NULL) {
            *rc = unknown_word(c, g, word[1]);
            return 0;
        }
    }
    *rc = unknown_word(c, NULL, word[0]);
    return 0;
}

/* ---- options ---- */

struct words {
    char **v;
    unsigned n;
    bool help, version;
};

static int usage(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int usage(struct cli *c, const char *fmt, ...)
{
    char hint[256] = "clusterctl --help", msg[400];
    va_list ap;

    if (c->command != NULL) {
        (void)snprintf(hint, sizeof hint, "usage: ");
        help_usage(c->command, hint + 7, sizeof hint - 7);
    }
    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return cli_refuse(c, RC_USAGE, hint, "%s", msg);
}

static const struct cli_option *find_option(const struct cli_option *o, unsigned max, const char *name,
                                            size_t len, unsigned *at)
{
    for (*at = 0; *at < max && o[*at].name != NULL; (*at)++) {
        if (strlen(o[*at].name) == len && memcmp(o[*at].name, name, len) == 0) {
            return &o[*at];
        }
    }
    return NULL;
}

static int set_global(struct cli *c, struct words *w, const char *name, const char *value)
{
    char *end = NULL;

    if (strcmp(name, "json") == 0) {
        c->json = true;
    } else if (strcmp(name, "xml") == 0) {
        c->xml = true;
    } else if (strcmp(name, "no-wait") == 0) {
        c->no_wait = true;
    } else if (strcmp(name, "yes") == 0) {
        c->yes = true;
    } else if (strcmp(name, "help") == 0) {
        w->help = true;
    } else if (strcmp(name, "version") == 0) {
        w->version = true;
    } else {
        double s = strtod(value, &end);

        if (*end != '\0' || end == value || !(s >= 0) || s > 1e6) {
            return usage(c, "'%s' is no number of seconds for --%s", value, name);
        }
        c->timeout_ms = (long)(s * 1000);
    }
    return 0;
}

/* A word of a choice like "live|quick". */
static bool is_choice(const char *choices, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = choices; p != NULL; p = strchr(p, '|')) {
        p += *p == '|';
        if (strcspn(p, "|") == len && strncmp(p, word, len) == 0) {
            return true;
        }
    }
    return false;
}

static int unknown_option(struct cli *c, const char *name)
{
    const char *known[2 * CLI_OPTIONS_MAX + 8];
    unsigned n = 0;
    const char *near;
    char hint[400];

    for (unsigned i = 0; c->command != NULL && i < CLI_OPTIONS_MAX && c->command->option[i].name != NULL;
         i++) {
        known[n++] = c->command->option[i].name;
    }
    for (unsigned i = 0; cli_global_options[i].name != NULL; i++) {
        known[n++] = cli_global_options[i].name;
    }
    near = help_nearest(name, known, n);
    if (near == NULL) {
        return usage(c, "there is no option --%s", name);
    }
    (void)snprintf(hint, sizeof hint, "did you mean --%s?", near);
    return cli_refuse(c, RC_USAGE, hint, "there is no option --%s", name);
}

/* One option at word[0]; *used says how many words it took. Options of the command are read only in the
 * second pass, when it is known; the first one (c->command NULL) reads the global ones and leaves the others.
 */
static int read_option(struct cli *c, struct words *w, char **word, unsigned n, unsigned *used)
{
    const char *name = word[0] + 2, *value = strchr(name, '=');
    size_t len = value ? (size_t)(value - name) : strlen(name);
    const struct cli_option *o = NULL;
    unsigned at = 0;
    bool global = false;

    if (c->command != NULL) {
        o = find_option(c->command->option, CLI_OPTIONS_MAX, name, len, &at);
    }
    if (o == NULL) {
        o = find_option(cli_global_options, 99, name, len, &at);
        global = true;
    }
    if (o == NULL) {
        char bare[64];

        (void)snprintf(bare, sizeof bare, "%.*s", (int)(len < 63 ? len : 63), name);
        return unknown_option(c, bare);
    }
    *used = 1;
    if (o->value == NULL && value != NULL) {
        return usage(c, "option --%s takes no value", o->name);
    }
    if (o->value != NULL && value == NULL) {
        if (n < 2) {
            return usage(c, "option --%s needs a value: %s", o->name, o->value);
        }
        value = word[1];
        *used = 2;
    } else {
        value = value ? value + 1 : "";
    }
    if (o->choices != NULL && !is_choice(o->choices, value)) {
        return usage(c, "'%s' is none of %s", value, o->choices);
    }
    if (global) {
        return set_global(c, w, o->name, value);
    }
    c->value[at] = value;
    return 0;
}

/* The command's words stand before its options, so global options are read on the way to it. */
static int read_words(struct cli *c, char **word, unsigned n, struct words *w)
{
    unsigned i = 0;

    while (i < n && strncmp(word[i], "--", 2) == 0) {
        unsigned used = 1;
        int rc = read_option(c, w, word + i, n - i, &used);

        if (rc != 0) {
            return rc;
        }
        i += used;
    }
    if (i == n || w->version) {
        return 0;
    }
    w->v = word + i;
    w->n = n - i;
    if (strcmp(w->v[0], "help") == 0 && w->n > 1) {
        w->v++;
        w->n--;
        w->help = true;
    }
    return 0;
}

/* The rest of the line: options anywhere, the others are arguments. */
static int read_rest(struct cli *c, struct words *w, unsigned from)
{
    unsigned kept = 0, i = from;
    bool only_arguments = false;

    while (i < w->n) {
        unsigned used = 1;
        int rc = 0;

        if (!only_arguments && strcmp(w->v[i], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && is_help(w->v[i])) {
            w->help = true;
        } else if (!only_arguments && strncmp(w->v[i], "--", 2) == 0) {
            rc = read_option(c, w, w->v + i, w->n - i, &used);
        } else if (!only_arguments && w->v[i][0] == '-' && w->v[i][1] != '\0') {
            rc = usage(c, "there is no option %s", w->v[i]);
        } else {
            w->v[kept++] = w->v[i];
        }
        if (rc != 0) {
            return rc;
        }
        i += used;
    }
    c->arg = w->v;
    c->args = kept;
    return 0;
}

static int check_line(struct cli *c)
{
    if (c->args < c->command->min) {
        return usage(c, "'%s' needs %s", c->command->name, c->command->args);
    }
    if (c->args > c->command->max) {
        return usage(c, "'%s' has no place for '%s'", c->command->name, c->arg[c->command->max]);
    }
    for (unsigned i = 0; i < CLI_OPTIONS_MAX && c->command->option[i].name != NULL; i++) {
        if (c->command->option[i].required && c->value[i] == NULL) {
            return usage(c, "'%s' needs --%s", c->command->name, c->command->option[i].name);
        }
    }
    return 0;
}

static int run(struct cli *c, char **word, unsigned n)
{
    struct words w = {0};
    unsigned words;
    int rc = read_words(c, word, n, &w);

    if (rc != 0) {
        return rc;
    }
    if (w.version) {
        printf("clusterctl %s\n", PACKAGE_VERSION);
        return 0;
    }
    if (w.n == 0 && !w.help) {
        help_main();
        return RC_USAGE;
    }
    if (w.n == 0 || strcmp(w.v[0], "help") == 0 || is_help(w.v[0])) {
        help_main();
        return 0;
    }
    if (strcmp(w.v[0], "_man") == 0) {
        help_man();
        return 0;
    }
    if (strcmp(w.v[0], "_complete") == 0) {
        return help_complete(c, w.v + 1, w.n - 1);
    }
    words = find_command(c, w.v, w.n, w.help, &rc);
    if (words == 0) {
        return rc;
    }
    rc = read_rest(c, &w, words);
    if (rc == 0 && w.help) {
        help_command(c->command);
        return 0;
    }
    if (rc == 0 && c->json && c->xml) {
        rc = usage(c, "--json and --xml exclude each other");
    }
    rc = rc != 0 ? rc : check_line(c);
    return rc != 0 ? rc : c->command->run(c);
}

int main(int argc, char **argv)
{
    struct cli c = {.timeout_ms = -1};
    int rc;

    /* Known before anything is wrong, so that the error comes in the form that was asked for. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        c.json |= strcmp(argv[i], "--json") == 0;
        c.xml |= strcmp(argv[i], "--xml") == 0;
    }
    rc = run(&c, argv + 1, (unsigned)argc - 1);

    client_free(c.client);
    if (fflush(stdout) != 0 && rc == 0) {
        rc = RC_IO;
    }
    return rc_exit_status(rc);
}
