#include "adapters/view_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void view_time(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char day[24] = "";

    if (gmtime_r(&seconds, &tm) == NULL || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        day[0] = '\0';
    }
    (void)snprintf(out, 32, "%s.%03dZ", day, (int)(ms % 1000 + 1000) % 1000);
}

void view_put(struct json_object *o, const char *key, struct json_object *value)
{
    (void)json_object_object_add(o, key, value);
}

void view_put_int(struct json_object *o, const char *key, uint64_t value)
{
    view_put(o, key, json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void view_put_bool(struct json_object *o, const char *key, bool value)
{
    view_put(o, key, json_object_new_boolean(value));
}

/* Bytes of the UTF-8 character at p; 0 when there is none. */
static size_t utf8_length(const unsigned char *p)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;

    if (p[0] >= 0xf5 || (p[0] >= 0x80 && p[0] < 0xc2) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* An agent may print anything, and cut it anywhere; JSON and terminals want clean UTF-8. */
struct json_object *view_text(const char *text, size_t len)
{
    unsigned char *copy = malloc(len + 4);
    struct json_object *o;

    if (copy == NULL) {
        return json_object_new_string("(out of memory)");
    }
    memcpy(copy, text, len);
    memset(copy + len, 0, 4);
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_length(copy + i);
        if (n == 0 || i + n > len || (copy[i] < 0x20 && copy[i] != '\n' && copy[i] != '\t') ||
            copy[i] == 0x7f) {
            n = 1;
            copy[i] = '?';
        }
    }
    o = json_object_new_string_len((const char *)copy, (int)len);
    free(copy);
    return o;
}

/* An empty text is null. */
void view_put_text(struct json_object *o, const char *key, const char *value)
{
    view_put(o, key, value && *value ? view_text(value, strlen(value)) : NULL);
}

/* 0 is null. Ids are strings, for they are names to everybody but the core. */
void view_put_id(struct json_object *o, const char *key, uint64_t id)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, id);
    view_put_text(o, key, id ? text : NULL);
}

void view_put_time(struct json_object *o, const char *key, int64_t ms)
{
    char text[32];

    view_time(ms, text);
    view_put_text(o, key, ms ? text : NULL);
}

/* A node's name; its number when the state does not know it (yet); null for 0. */
struct json_object *view_node_name(const struct view *v, uint32_t id)
{
    const struct node *n = state_node(v->s, id);
    char text[24];

    if (id == 0) {
        return NULL;
    }
    (void)snprintf(text, sizeof text, "node %u", id); /* it has never come */
    return json_object_new_string(n ? n->name : text);
}

struct json_object *view_node_names(const struct view *v, node_set set)
{
    struct json_object *names = json_object_new_array();

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if ((set & NODE_BIT(id)) != 0) {
            (void)json_object_array_add(names, view_node_name(v, id));
        }
    }
    return names;
}
unsigned view_vms_on(const struct state *s, uint32_t node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->vms; i++) {
        n += vm_claim(s->vm[i], node) != NULL;
    }
    return n;
}

node_set view_nodes_online(const struct state *s)
{
    node_set set = 0;

    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        const struct node *n = state_node(s, id);

        if (n != NULL && n->state == NODE_ONLINE) {
            set |= NODE_BIT(id);
        }
    }
    return set;
}
