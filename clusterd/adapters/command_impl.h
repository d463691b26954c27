/*
 * command_impl.h - shared by the files that carry requests out: command.c (requests, answers), command_args.c
 * (what a client may say), command_query.c and command_event.c (what becomes of it: one row for each
 * command).
 */
#ifndef CLUSTERD_ADAPTERS_COMMAND_IMPL_H
#define CLUSTERD_ADAPTERS_COMMAND_IMPL_H

#include "adapters/command.h"
#include "adapters/view.h"
#include "common/rc.h"

#define ARGS_MAX 6 /* of one command */

enum arg_type {
    ARG_NONE,
    ARG_NAME,   /* of a VM, volume, … */
    ARG_NAMES,  /* several, at least one */
    ARG_NODE,   /* the name of a node that the cluster knows */
    ARG_NODES,  /* several, at least one */
    ARG_WORD,   /* one of `choices` */
    ARG_FLAG,   /* true or false */
    ARG_NUMBER, /* whole, up to 2^53; as a number or as digits */
    ARG_TEXT,   /* up to EVENT_TEXT_MAX bytes */
    ARG_VALUE,  /* up to EVENT_VALUE_MAX bytes, without control characters */
    ARG_PAIRS,  /* an object of such values */
};

struct arg {
    const char *name;
    enum arg_type type;
    bool required;
    const char *choices; /* "a|b" */
};

/* One request on its way through. */
struct call {
    struct command_ctx *ctx;
    const struct command *command;
    struct json_object *args; /* validated */
    struct view view;
    struct event event; /* of a command; what a handler fills goes to the shell */
    struct err *err;
};

struct command {
    const char *name;
    enum event_kind kind; /* EV_NONE: a query */
    /* A query: *result is the answer. A command (kind): fills c->event. 0, or err set. */
    int (*run)(struct call *c, struct json_object **result);
    struct arg arg[ARGS_MAX];
};

/* command_args.c: checks c->args against the command's row; 0, or err set. */
int args_validate(struct call *c);
/* What it let through; NULL, false, dflt where it was not given. */
const char *arg_text(const struct call *c, const char *name);
bool arg_flag(const struct call *c, const char *name);
uint64_t arg_number(const struct call *c, const char *name, uint64_t dflt);
const struct node *arg_node(const struct call *c, const char *name);
struct json_object *arg_get(const struct call *c, const char *name);
/* A text of at most EVENT_VALUE_MAX bytes without control characters. */
bool arg_is_value(struct json_object *o);

/* command_query.c, command_event.c, command_members.c: the rows; each ends with a NULL name. */
extern const struct command query_commands[], event_commands[], member_commands[];
/* Adds an argument of that name, where it was given, to the event as a pair. */
int event_fill_word(struct call *c, const char *arg);
/* {"key": value} */
struct json_object *answer_wrap(const char *key, struct json_object *value);

#define NAME(n)                                                                                              \
    {                                                                                                        \
        n, ARG_NAME, true, NULL                                                                              \
    }
#define NODE(n)                                                                                              \
    {                                                                                                        \
        n, ARG_NODE, true, NULL                                                                              \
    }
#define PAIRS                                                                                                \
    {                                                                                                        \
        "set", ARG_PAIRS, false, NULL                                                                        \
    }
#define FLAG(n)                                                                                              \
    {                                                                                                        \
        n, ARG_FLAG, false, NULL                                                                             \
    }
#define NUMBER(n)                                                                                            \
    {                                                                                                        \
        n, ARG_NUMBER, false, NULL                                                                           \
    }
#define MODE                                                                                                 \
    {                                                                                                        \
        "mode", ARG_WORD, false, "live|quick"                                                                \
    }

#endif
