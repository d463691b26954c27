/* help.c - help, usage, completion and the manual's command section, all out of the tables. */
#include "cli.h"
#include "client.h"
#include "core/options.h"
#include "output.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define INDENT 26 /* of the explanations */

static const char *const exit_codes[] = {
    "0 done",
    "1 the operation failed",
    "2 usage",
    "3 no such object",
    "4 refused",
    "5 no quorum",
    "6 clusterd cannot be reached",
    "7 permission denied",
    "8 timed out, still going on",
};

/* ---- usage ---- */

static void append(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void append(char *out, size_t size, const char *fmt, ...)
{
    size_t len = strlen(out);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(out + len, size - len, fmt, ap);
    va_end(ap);
}

void help_usage(const struct cli_command *m, char *out, size_t size)
{
    out[0] = '\0';
    append(out, size, "clusterctl %s", m->name);
    if (m->args != NULL) {
        append(out, size, " %s", m->args);
    }
    for (unsigned i = 0; i < CLI_OPTIONS_MAX && m->option[i].name != NULL; i++) {
        const struct cli_option *o = &m->option[i];

        const char *value = o->choices ? o->choices : o->value;
        char shown[64];

        (void)snprintf(shown, sizeof shown, "--%s", o->name);
        if (m->args != NULL && strstr(m->args, shown) != NULL) {
            continue; /* an alternative to an argument */
        }
        append(out, size, " %s--%s%s%s%s", o->required ? "" : "[", o->name, value ? " " : "",
               value ? value : "", o->required ? "" : "]");
    }
}

/* Fills lines up to column 80, from `column` on, later lines indented. */
static void wrap(const char *text, size_t indent, size_t column)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " \n"), shown = 0;

        for (size_t i = 0; i < word; i++) {
            shown += ((unsigned char)text[i] & 0xc0) != 0x80;
        }
        if (column > indent && column + 1 + shown > 79) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        }
        printf("%s%.*s", column > indent ? " " : "", (int)word, text);
        column += shown + (column > indent);
        text += word;
        if (*text == '\n') {
            printf("\n%*s", (int)indent, "");
            column = indent;
            text++;
        }
        text += *text == ' ';
    }
    printf("\n");
}

static void entry(const char *what, const char *text)
{
    int shown = 0;

    for (const char *p = what; *p != '\0'; p++) {
        shown += ((unsigned char)*p & 0xc0) != 0x80;
    }
    printf("  %s%*s", what, shown < INDENT - 3 ? INDENT - 2 - shown : 0, "");
    if (shown >= INDENT - 3) {
        printf("\n%*s", INDENT, "");
    }
    wrap(text, INDENT, INDENT);
}

static void option_entry(const struct cli_option *o)
{
    char what[128];

    (void)snprintf(what, sizeof what, o->value ? "--%s %s" : "--%s", o->name,
                   o->choices ? o->choices : o->value);
    entry(what, o->help);
}

/* "2; 1 to 64" or "stop|pause": a row's default and what else it may be. */
static void row_values(const struct option_row *row, bool of_vm, char *out, size_t size)
{
    struct options options;
    struct vm_settings settings;
    char text[32];

    options_init(&options);
    vm_settings_init(&settings);
    option_text(row, of_vm ? (const void *)&settings : &options, text, sizeof text);
    if (row->choices != NULL) {
        (void)snprintf(out, size, "%s: %s; default %s", row->help, row->choices, text);
    } else {
        (void)snprintf(out, size, "%s: %u to %u; default %s", row->help, row->min, row->max, text);
    }
}

static void keys(const struct cli_command *m)
{
    bool of_vm = m->rest == KIND_SETTING;
    unsigned n;
    const struct option_row *rows = of_vm ? vm_setting_rows(&n) : option_rows(&n);
    char text[256];

    if (m->rest != KIND_SETTING && m->rest != KIND_OPTION) {
        return;
    }
    printf("\nkeys:\n");
    for (unsigned i = 0; i < n; i++) {
        row_values(&rows[i], of_vm, text, sizeof text);
        entry(rows[i].key, text);
    }
}

void help_main(void)
{
    printf("usage: clusterctl [OPTION…] COMMAND …\n\n");
    for (const struct cli_group *g = cli_groups; g->commands != NULL; g++) {
        for (const struct cli_command *m = g->commands; m->name != NULL; m++) {
            entry(m->name, m->summary);
        }
    }
    printf("\noptions of all commands:\n");
    for (unsigned i = 0; cli_global_options[i].name != NULL; i++) {
        option_entry(&cli_global_options[i]);
    }
    printf("\n`clusterctl COMMAND --help` explains a command.\n");
}

void help_group(const struct cli_group *g)
{
    printf("%s: %s\n\n", g->name, g->summary);
    for (const struct cli_command *m = g->commands; m->name != NULL; m++) {
        entry(m->name, m->summary);
    }
    printf("\n`clusterctl %s COMMAND --help` explains a command.\n", g->name);
}

void help_command(const struct cli_command *m)
{
    char line[512];

    help_usage(m, line, sizeof line);
    printf("usage: ");
    wrap(line, 7 + 4, 7);
    printf("\n%c%s.\n", toupper((unsigned char)m->summary[0]), m->summary + 1);
    if (m->details != NULL) {
        printf("\n");
        wrap(m->details, 0, 0);
    }
    keys(m);
    if (m->option[0].name != NULL) {
        printf("\noptions:\n");
    }
    for (unsigned i = 0; i < CLI_OPTIONS_MAX && m->option[i].name != NULL; i++) {
        option_entry(&m->option[i]);
    }
    printf("\nexit status:");
    for (size_t i = 0, col = 13; i < sizeof exit_codes / sizeof exit_codes[0]; i++) {
        col += strlen(exit_codes[i]) + 2;
        if (col > 80) {
            printf("\n            ");
            col = 13 + strlen(exit_codes[i]) + 2;
        }
        printf(" ");
        printf("%s%s", exit_codes[i], i + 1 < sizeof exit_codes / sizeof exit_codes[0] ? ";" : "\n");
    }
}

/* ---- the manual's section ---- */

/* Text for troff: dashes and backslashes escaped, no line begins with a dot or quote. */
static void man_text(const char *text)
{
    bool start = true;

    for (; *text != '\0'; text++) {
        if (start && (*text == '.' || *text == '\'')) {
            printf("\\&");
        }
        if (*text == '-') {
            printf("\\-");
        } else if (*text == '\\') {
            printf("\\e");
        } else if (strncmp(text, "…", strlen("…")) == 0) {
            printf("...");
            text += strlen("…") - 1;
        } else {
            putchar(*text);
        }
        start = *text == '\n';
    }
}

static void man_line(const char *text)
{
    man_text(text);
    printf("\n");
}

static void man_details(const char *text)
{
    while (text != NULL && *text != '\0') {
        char line[1024];
        size_t n = strcspn(text, "\n");

        (void)snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (n > 0) {
            man_line(line);
        } else {
            printf(".IP\n");
        }
        text += n + (text[n] == '\n');
    }
}

static void man_option(const struct cli_option *o)
{
    printf(".RS\n.TP\n\\fB\\-\\-");
    man_text(o->name);
    printf("\\fR");
    if (o->value != NULL) {
        printf(" \\fI");
        man_text(o->choices ? o->choices : o->value);
        printf("\\fR");
    }
    printf("\n");
    man_line(o->help);
    printf(".RE\n");
}

static void man_keys(const struct cli_command *m)
{
    bool of_vm = m->rest == KIND_SETTING;
    unsigned n;
    const struct option_row *rows = of_vm ? vm_setting_rows(&n) : option_rows(&n);
    char text[256];

    for (unsigned i = 0; (of_vm || m->rest == KIND_OPTION) && i < n; i++) {
        row_values(&rows[i], of_vm, text, sizeof text);
        printf(".RS\n.TP\n\\fB");
        man_text(rows[i].key);
        printf("\\fR\n");
        man_line(text);
        printf(".RE\n");
    }
}

void help_man(void)
{
    printf(".SS options of all commands\n");
    for (unsigned i = 0; cli_global_options[i].name != NULL; i++) {
        man_option(&cli_global_options[i]);
    }
    for (const struct cli_group *g = cli_groups; g->commands != NULL; g++) {
        printf(".SS ");
        man_line(g->summary);
        for (const struct cli_command *m = g->commands; m->name != NULL; m++) {
            char usage[512];

            help_usage(m, usage, sizeof usage);
            printf(".TP\n.B ");
            man_line(usage + strlen("clusterctl "));
            printf("%c", toupper((unsigned char)m->summary[0]));
            man_line(m->summary + 1);
            if (m->details != NULL) {
                printf(".IP\n");
                man_details(m->details);
            }
            man_keys(m);
            for (unsigned i = 0; i < CLI_OPTIONS_MAX && m->option[i].name != NULL; i++) {
                man_option(&m->option[i]);
            }
        }
    }
}

/* ---- typos ---- */

/* Edits (insert, drop, change, swap neighbours) between two short words. */
static unsigned distance(const char *a, const char *b)
{
    unsigned d[34][34];
    unsigned n = (unsigned)strlen(a), m = (unsigned)strlen(b);

    if (n > 32 || m > 32) {
        return 99;
    }
    for (unsigned i = 0; i <= n; i++) {
        for (unsigned j = 0; j <= m; j++) {
            unsigned best;

            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best) {
                best = d[i - 2][j - 2] + 1;
            }
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *help_nearest(const char *word, const char *const *known, unsigned n)
{
    const char *near = NULL;
    unsigned best = strlen(word) < 4 ? 2 : 3; /* fewer edits than this */

    for (unsigned i = 0; i < n; i++) {
        unsigned d = strncmp(known[i], word, strlen(word)) == 0 && word[0] ? 1 : distance(word, known[i]);

        if (d < best) {
            best = d;
            near = known[i];
        }
    }
    return near;
}

/* ---- completion ---- */

static void candidate(const char *word, const char *prefix, const char *dashes)
{
    char full[128];

    (void)snprintf(full, sizeof full, "%s%s", dashes, word);
    if (strncmp(full, prefix, strlen(prefix)) == 0) {
        printf("%s\n", full);
    }
}

/* Names of objects come from the daemon; silence when it is not there. */
static void complete_names(struct cli *c, const char *query, const char *list, const char *member,
                           const char *prefix)
{
    struct json_object *result = NULL, *items;
    struct err err = ERR_INIT;

    if (client_call(c, query, NULL, &result, &err) != 0) {
        return;
    }
    items = out_get(result, list);
    for (size_t i = 0; i < out_length(items); i++) {
        candidate(out_text(json_object_array_get_idx(items, i), member), prefix, "");
    }
    json_object_put(result);
}

static void complete_rows(bool of_vm, const char *prefix)
{
    unsigned n;
    const struct option_row *rows = of_vm ? vm_setting_rows(&n) : option_rows(&n);

    for (unsigned i = 0; i < n; i++) {
        candidate(rows[i].key, prefix, "");
    }
}

static void complete_kind(struct cli *c, enum cli_kind kind, const char *prefix)
{
    switch (kind) {
    case KIND_NODE:
        complete_names(c, "node list", "nodes", "name", prefix);
        break;
    case KIND_VM:
        complete_names(c, "vm list", "vms", "name", prefix);
        break;
    case KIND_VOLUME:
        complete_names(c, "volume list", "volumes", "name", prefix);
        break;
    case KIND_FENCE:
        complete_names(c, "fence list", "fences", "name", prefix);
        break;
    case KIND_OP:
        complete_names(c, "ops list", "operations", "id", prefix);
        break;
    case KIND_RULE:
        complete_names(c, "rule list", "rules", "id", prefix);
        break;
    case KIND_OPTION:
        complete_rows(false, prefix);
        break;
    case KIND_SETTING:
        complete_rows(true, prefix);
        break;
    case KIND_NONE:
    case KIND_FILE:
    case KIND_WORD:
        break;
    }
}

static void complete_choices(const char *choices, const char *prefix)
{
    char word[32];

    for (const char *p = choices; p != NULL; p = strchr(p, '|')) {
        p += *p == '|';
        (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(p, "|"), p);
        candidate(word, prefix, "");
    }
}

static void complete_command(struct cli *c, const struct cli_command *m, char **word, unsigned n)
{
    const char *prefix = word[n - 1];
    const struct cli_option *o = NULL;
    unsigned args = 0;

    for (unsigned i = 0; i + 1 < n; i++) {
        o = NULL;
        for (unsigned k = 0; k < CLI_OPTIONS_MAX && m->option[k].name != NULL; k++) {
            if (strncmp(word[i], "--", 2) == 0 && strcmp(word[i] + 2, m->option[k].name) == 0 &&
                m->option[k].value) {
                o = &m->option[k];
            }
        }
        args += strncmp(word[i], "--", 2) != 0;
    }
    if (o != NULL) {
        o->choices ? complete_choices(o->choices, prefix) : complete_kind(c, o->kind, prefix);
        return;
    }
    if (strncmp(prefix, "--", 2) == 0) {
        for (unsigned k = 0; k < CLI_OPTIONS_MAX && m->option[k].name != NULL; k++) {
            candidate(m->option[k].name, prefix, "--");
        }
        for (unsigned k = 0; cli_global_options[k].name != NULL; k++) {
            candidate(cli_global_options[k].name, prefix, "--");
        }
        return;
    }
    complete_kind(c, args == 0 ? m->first : m->rest, prefix);
}

int help_complete(struct cli *c, char **word, unsigned n)
{
    while (n > 1 && strncmp(word[0], "--", 2) == 0) {
        word++;
        n--;
    }
    for (const struct cli_group *g = cli_groups; n > 0 && g->commands != NULL; g++) {
        size_t group = g->name ? strlen(g->name) + 1 : 0;

        if (n == 1 && g->name != NULL) {
            candidate(g->name, word[0], "");
        } else if (n > 1 && g->name != NULL && strcmp(g->name, word[0]) != 0) {
            continue;
        }
        for (const struct cli_command *m = g->commands; m->name != NULL; m++) {
            unsigned words = g->name ? 2 : 1;

            if (n == words) {
                candidate(m->name + group, word[n - 1], "");
            } else if (n > words && strcmp(m->name + group, word[words - 1]) == 0) {
                complete_command(c, m, word + words, n - words);
            }
        }
    }
    return 0;
}
