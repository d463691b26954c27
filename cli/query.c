#include "query.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "output.h"

int query_get(struct cli *c, const char *command, struct json_object *args, struct json_object **result,
              const char *what)
{
    struct err err = ERR_INIT;
    int rc = client_call(c, command, args, result, &err);

    return rc == 0 ? 0 : cli_fail(c, &err, "cannot %s", what);
}

int query_print(struct cli *c, const char *command, struct json_object *args, const char *element,
                void (*text)(struct json_object *document), const char *what)
{
    struct json_object *result;
    int rc = query_get(c, command, args, &result, what);

    if (rc == 0 && !output_document(c, result, element)) {
        text(result);
    }
    json_object_put(result);
    return rc;
}

struct json_object *query_pairs(struct cli *c, unsigned from)
{
    struct json_object *pairs = json_object_new_object();

    for (unsigned i = from; i < c->args; i++) {
        const char *value = strchr(c->arg[i], '=');
        char key[128];

        if (value == NULL || value == c->arg[i] || (size_t)(value - c->arg[i]) >= sizeof key) {
            json_object_put(pairs);
            (void)cli_refuse(c, RC_USAGE, "write it as KEY=VALUE", "'%.100s' is no KEY=VALUE", c->arg[i]);
            return NULL;
        }
        (void)snprintf(key, sizeof key, "%.*s", (int)(value - c->arg[i]), c->arg[i]);
        (void)json_object_object_add(pairs, key, json_object_new_string(value + 1));
    }
    return pairs;
}

struct json_object *query_split(const char *text)
{
    struct json_object *list = json_object_new_array();

    while (*text != '\0') {
        size_t n = strcspn(text, ",");

        (void)json_object_array_add(list, json_object_new_string_len(text, (int)n));
        text += n + (text[n] == ',');
    }
    return list;
}
