#include "adapters/command_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "adapters/domain_xml.h"
#include "common/json.h"

#define PAIRS_MAX 256 /* KEY=VALUE of one command */

/* ---- arguments: reading what args_validate() let through ---- */

const char *arg_text(const struct call *c, const char *name)
{
    struct json_object *o;

    return json_object_object_get_ex(c->args, name, &o) ? json_object_get_string(o) : NULL;
}

bool arg_flag(const struct call *c, const char *name)
{
    struct json_object *o;

    return json_object_object_get_ex(c->args, name, &o) && json_object_get_boolean(o);
}

uint64_t arg_number(const struct call *c, const char *name, uint64_t dflt)
{
    struct json_object *o;

    return json_object_object_get_ex(c->args, name, &o) ? json_object_get_uint64(o) : dflt;
}

const struct node *arg_node(const struct call *c, const char *name)
{
    const char *text = arg_text(c, name);

    return text ? state_node_by_name(c->view.s, text) : NULL;
}

struct json_object *arg_get(const struct call *c, const char *name)
{
    struct json_object *o = NULL;

    (void)json_object_object_get_ex(c->args, name, &o);
    return o;
}

/* ---- arguments: validating ---- */

static int bad(struct call *c, const char *arg, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(struct call *c, const char *arg, const char *fmt, ...)
{
    char msg[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return err_set(c->err, RC_USAGE, "argument '%s' of '%s' %s", arg, c->command->name, msg);
}

bool arg_is_value(struct json_object *o)
{
    const char *text;
    size_t len;

    if (!json_object_is_type(o, json_type_string)) {
        return false;
    }
    text = json_object_get_string(o);
    len = (size_t)json_object_get_string_len(o);
    if (len > EVENT_VALUE_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static int check_name(struct call *c, const char *arg, struct json_object *o)
{
    if (!arg_is_value(o) || !name_valid(json_object_get_string(o))) {
        (void)bad(c, arg, "is no name");
        err_hint(c->err,
                 "a name has 1 to 63 letters, digits, '.', '_', '-' and begins with a letter or digit");
        return RC_USAGE;
    }
    return 0;
}

static int check_names(struct call *c, const char *arg, struct json_object *o)
{
    size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
    int rc = 0;

    if (n == 0) {
        return bad(c, arg, "is no list of names");
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = check_name(c, arg, json_object_array_get_idx(o, i));
    }
    return rc;
}

static int check_node(struct call *c, const char *arg, struct json_object *o)
{
    const char *name;

    if (!arg_is_value(o)) {
        return bad(c, arg, "is no node's name");
    }
    name = json_object_get_string(o);
    if (state_node_by_name(c->view.s, name) == NULL) {
        (void)err_set(c->err, RC_NOT_FOUND, "there is no node '%.63s'", name);
        err_hint(c->err, "clusterctl node list shows them");
        return RC_NOT_FOUND;
    }
    return 0;
}

static int check_nodes(struct call *c, const char *arg, struct json_object *o)
{
    size_t n = json_object_is_type(o, json_type_array) ? json_object_array_length(o) : 0;
    int rc = 0;

    if (n == 0 || n > NODES_MAX) {
        return bad(c, arg, "is no list of 1 to %d nodes", NODES_MAX);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = check_node(c, arg, json_object_array_get_idx(o, i));
    }
    return rc;
}

static int check_word(struct call *c, const struct arg *a, struct json_object *o)
{
    const char *word = arg_is_value(o) ? json_object_get_string(o) : "";
    size_t len = strlen(word);

    for (const char *choice = a->choices; len > 0 && choice != NULL; choice = strchr(choice, '|')) {
        choice += *choice == '|';
        if (strcspn(choice, "|") == len && strncmp(choice, word, len) == 0) {
            return 0;
        }
    }
    return bad(c, a->name, "is none of %s", a->choices);
}

/* Numbers come as numbers or as digits (an operation's id is a string in JSON). */
static int check_number(struct call *c, const char *arg, struct json_object *o)
{
    const char *text = "";

    if (json_object_is_type(o, json_type_int) && json_object_get_int64(o) >= 0 &&
        json_object_get_int64(o) <= INT64_C(1) << 53) {
        return 0;
    }
    if (json_object_is_type(o, json_type_string)) {
        text = json_object_get_string(o);
    }
    if (*text == '\0' || strlen(text) > 15 || strspn(text, "0123456789") != strlen(text)) {
        return bad(c, arg, "is no whole number from 0 to 2^53");
    }
    return 0;
}

static int check_pairs(struct call *c, const char *arg, struct json_object *o)
{
    int n = json_object_is_type(o, json_type_object) ? json_object_object_length(o) : -1;

    if (n < 0 || n > PAIRS_MAX) {
        return bad(c, arg, "is no object of at most %d pairs", PAIRS_MAX);
    }
    JSON_EACH(o, it)
    {
        const char *key = json_object_iter_peek_name(&it);
        struct json_object *value = json_object_iter_peek_value(&it);

        if (!name_valid(key) || strlen(key) + sizeof "param." > NAME_SIZE) {
            return bad(c, arg, "has a key that is none: 1 to 57 letters, digits, '.', '_', '-'");
        }
        if (!arg_is_value(value)) {
            return bad(c, arg,
                       "has a value of '%s' that is no text of at most %d bytes without control characters",
                       key, EVENT_VALUE_MAX);
        }
    }
    return 0;
}

static int check_text(struct call *c, const char *arg, struct json_object *o)
{
    if (!json_object_is_type(o, json_type_string)) {
        return bad(c, arg, "is no text");
    }
    if (json_object_get_string_len(o) > EVENT_TEXT_MAX) {
        return err_set(c->err, RC_BAD_INPUT, "the domain XML has %d bytes, at most %d are allowed",
                       json_object_get_string_len(o), EVENT_TEXT_MAX);
    }
    return 0;
}

static int check_arg(struct call *c, const struct arg *a, struct json_object *o)
{
    switch (a->type) {
    case ARG_NAME:
        return check_name(c, a->name, o);
    case ARG_NAMES:
        return check_names(c, a->name, o);
    case ARG_NODE:
        return check_node(c, a->name, o);
    case ARG_NODES:
        return check_nodes(c, a->name, o);
    case ARG_WORD:
        return check_word(c, a, o);
    case ARG_FLAG:
        return json_object_is_type(o, json_type_boolean) ? 0 : bad(c, a->name, "is neither true nor false");
    case ARG_NUMBER:
        return check_number(c, a->name, o);
    case ARG_TEXT:
        return check_text(c, a->name, o);
    case ARG_VALUE:
        return arg_is_value(o) ? 0
                               : bad(c, a->name, "is no text of at most %d bytes without control characters",
                                     EVENT_VALUE_MAX);
    case ARG_PAIRS:
        return check_pairs(c, a->name, o);
    case ARG_NONE:
        break;
    }
    return bad(c, a->name, "is none");
}

static const struct arg *find_arg(const struct command *command, const char *name)
{
    for (const struct arg *a = command->arg; a < command->arg + ARGS_MAX && a->name != NULL; a++) {
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

int args_validate(struct call *c)
{
    struct json_object *o;

    JSON_EACH(c->args, it)
    {
        const char *key = json_object_iter_peek_name(&it);
        struct json_object *value = json_object_iter_peek_value(&it);

        const struct arg *a = find_arg(c->command, key);
        int rc;

        if (a == NULL) {
            return err_set(c->err, RC_USAGE, "'%s' has no argument '%.63s'", c->command->name, key);
        }
        rc = check_arg(c, a, value);
        if (rc != 0) {
            return rc;
        }
    }
    for (const struct arg *a = c->command->arg; a < c->command->arg + ARGS_MAX && a->name != NULL; a++) {
        if (a->required && !json_object_object_get_ex(c->args, a->name, &o)) {
            return bad(c, a->name, "is missing");
        }
    }
    return 0;
}
