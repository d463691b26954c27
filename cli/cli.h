/*
 * cli.h - clusterctl: a tree of commands as data.
 *
 * Each file cmd_*.c owns one group of commands and its table; help, usage, errors, completion and the manual
 * page's command section are made from these tables (help.c). A command's run() gets its arguments checked
 * against the table, talks to clusterd through client.h, and answers with an exit status (rc.h).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "common/err.h"
#include "common/rc.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#define CLI_OPTIONS_MAX 8
#define CLI_ANY         100000u /* as a greatest number of arguments */

/* What an argument or an option's value is; for completion, and named so in the help. */
enum cli_kind {
    KIND_NONE,
    KIND_NODE,
    KIND_VM,
    KIND_VOLUME,
    KIND_FENCE,
    KIND_OP,
    KIND_RULE,
    KIND_FILE,
    KIND_OPTION,  /* KEY=VALUE, an option of the cluster */
    KIND_SETTING, /* KEY=VALUE, a setting of a VM */
    KIND_WORD,    /* one of `choices` */
};

struct cli_option {
    const char *name;    /* without its dashes */
    const char *value;   /* what its value is called, NULL for a flag */
    const char *choices; /* "a|b": the value is one of them */
    const char *help;
    enum cli_kind kind;
    bool required;
};

struct cli;

struct cli_command {
    const char *name;    /* "vm start" */
    const char *args;    /* as shown in its usage: "VM…|--all" */
    const char *summary; /* one line */
    const char *details; /* paragraphs, without a final newline; may be NULL */
    unsigned min, max;   /* arguments */
    enum cli_kind first, rest;
    int (*run)(struct cli *c); /* returns 0 or a code of rc.h, printed already */
    struct cli_option option[CLI_OPTIONS_MAX];
};

struct cli_group {
    const char *name; /* "vm"; NULL: commands of one word */
    const char *summary;
    const struct cli_command *commands; /* ends with a NULL name */
};
extern const struct cli_group cli_groups[]; /* ends with NULL commands */
extern const struct cli_option cli_global_options[];

struct client;

struct cli {
    const struct cli_command *command;
    char **arg; /* the arguments after the command's name; borrowed */
    unsigned args;
    const char *value[CLI_OPTIONS_MAX]; /* of the command's options; "" for a flag that was given */
    bool json, xml, no_wait, yes;
    long timeout_ms; /* of waiting; -1: none */
    struct client *client;
};

/* The value of an option of the command ("" for a flag), or NULL when it was not given. */
const char *cli_value(const struct cli *c, const char *name);
static inline bool cli_flag(const struct cli *c, const char *name)
{
    return cli_value(c, name) != NULL;
}

/* ---- errors (output.c) ---- */

/* Prints "clusterctl: WHAT: MESSAGE" and its hint (in JSON or XML where asked for). what may be NULL.
 * Returns err->rc. */
int cli_fail(struct cli *c, const struct err *err, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends ": REASON" to "cannot VERB OBJECT 'NAME'". */
void cli_reason(char *msg, size_t size, const char *reason);
/* The same for an error made here. */
int cli_refuse(struct cli *c, int rc, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A remark for people: standard error, not with --json or --xml. */
void cli_note(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Asks before something is destroyed. 0, or RC_REFUSED with the error printed. */
int cli_confirm(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- help (help.c) ---- */

void help_main(void);
void help_command(const struct cli_command *command);
void help_group(const struct cli_group *group);
/* The usage line of a command, without "usage: ". */
void help_usage(const struct cli_command *command, char *out, size_t size);
/* The section COMMANDS of the manual page, in troff. */
void help_man(void);
/* Candidates for the last of n words, one a line. */
int help_complete(struct cli *c, char **word, unsigned n);
/* The known word nearest to `word`, or NULL when none is near. */
const char *help_nearest(const char *word, const char *const *known, unsigned n);

/* ---- the groups ---- */

extern const struct cli_command cmd_status[], cmd_node[], cmd_vm[], cmd_volume[], cmd_fence[], cmd_quorum[],
    cmd_explain[], cmd_ops[], cmd_events[], cmd_option[], cmd_config[], cmd_cluster[], cmd_force[],
    cmd_arm[], cmd_rule[];

#endif
