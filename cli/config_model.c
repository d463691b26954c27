#include "config_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/c14n.h>
#include <libxml/tree.h>

#include "adapters/xml_read.h"
#include "client.h"
#include "common/json.h"
#include "core/options.h"
#include "output.h"
#include "query.h"

#define X(text)       ((const xmlChar *)(text))
#define RULE_TEXT_MAX 65536 /* 256 VMs and 128 nodes, 64 bytes each */

void config_put(struct json_object *o, const char *key, struct json_object *value)
{
    (void)json_object_object_add(o, key, value);
}

void config_put_text(struct json_object *o, const char *key, const char *value)
{
    config_put(o, key, json_object_new_string(value));
}

struct json_object *config_new(void)
{
    static const char *const parts[] = {"options", "volumes", "fences", "vms", "rules"};
    struct json_object *model = json_object_new_object();

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        config_put(model, parts[i], json_object_new_object());
    }
    return model;
}

static void append_names(char *out, size_t size, const char *before, struct json_object *names)
{
    for (size_t i = 0; i < out_length(names); i++) {
        size_t len = strlen(out);

        (void)snprintf(out + len, size - len, "%s%s", i ? " " : before,
                       json_object_get_string(json_object_array_get_idx(names, i)));
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(json_object_get_string(*(struct json_object *const *)a),
                  json_object_get_string(*(struct json_object *const *)b));
}

/* A rule has no name: what it says is its name, whatever the order of what it names. */
bool config_put_rule(struct json_object *rules, struct json_object *rule)
{
    static const char *const lists[] = {"vms", "possible", "preferred"};
    char *name = malloc(RULE_TEXT_MAX);
    bool is_new;

    if (name == NULL) {
        abort();
    }
    (void)snprintf(name, RULE_TEXT_MAX, "%s", out_text(rule, "kind"));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        json_object_array_sort(out_get(rule, lists[i]), by_text);
        append_names(name, RULE_TEXT_MAX,
                     i == 0   ? " "
                     : i == 1 ? ", possible on "
                              : ", preferably on ",
                     out_get(rule, lists[i]));
    }
    is_new = out_get(rules, name) == NULL;
    if (is_new) {
        config_put(rules, name, rule);
    } else {
        json_object_put(rule);
    }
    free(name);
    return is_new;
}

/* ---- from the cluster ---- */

static struct json_object *ask(struct cli *c, const char *command, struct json_object *args, const char *key)
{
    struct json_object *result, *list;

    if (query_get(c, command, args, &result, "read the cluster's configuration") != 0) {
        return NULL;
    }
    list = json_object_get(key ? out_get(result, key) : result);
    json_object_put(result);
    return list;
}

static bool get_options(struct cli *c, struct json_object *model)
{
    struct json_object *list = ask(c, "option list", NULL, "options");

    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        if (strcmp(out_text(o, "value"), out_text(o, "default")) != 0) {
            config_put_text(out_get(model, "options"), out_text(o, "key"), out_text(o, "value"));
        }
    }
    json_object_put(list);
    return list != NULL;
}

static bool get_volumes(struct cli *c, struct json_object *model)
{
    struct json_object *list = ask(c, "volume list", NULL, "volumes");

    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i), *v = json_object_new_object();

        config_put_text(v, "type", out_text(o, "type"));
        config_put_text(v, "source", out_text(o, "source"));
        config_put(out_get(model, "volumes"), out_text(o, "name"), v);
    }
    json_object_put(list);
    return list != NULL;
}

static bool get_fences(struct cli *c, struct json_object *model)
{
    struct json_object *args = json_object_new_object(), *list;

    config_put(args, "secrets", json_object_new_boolean(true));
    list = ask(c, "fence list", args, "fences");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i), *f = json_object_new_object();

        config_put_text(f, "agent", out_text(o, "agent"));
        config_put_text(f, "level", out_text(o, "level"));
        config_put(f, "nodes", json_object_get(out_get(o, "nodes")));
        config_put(f, "parameters", json_object_get(out_get(o, "parameters")));
        config_put(out_get(model, "fences"), out_text(o, "name"), f);
    }
    json_object_put(list);
    return list != NULL;
}

static bool get_rules(struct cli *c, struct json_object *model)
{
    static const char *const members[] = {"kind", "vms", "possible", "preferred", "id"};
    struct json_object *list = ask(c, "rule list", NULL, "rules");

    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i), *r = json_object_new_object();

        for (size_t m = 0; m < sizeof members / sizeof members[0]; m++) {
            config_put(r, members[m], json_object_get(out_get(o, members[m])));
        }
        (void)config_put_rule(out_get(model, "rules"), r);
    }
    json_object_put(list);
    return list != NULL;
}

/* The settings that differ from their default. */
static struct json_object *changed_settings(struct json_object *all)
{
    struct json_object *changed = json_object_new_object();
    struct vm_settings dflt;
    char text[32];
    unsigned n;
    const struct option_row *rows = vm_setting_rows(&n);

    vm_settings_init(&dflt);
    for (unsigned i = 0; i < n; i++) {
        option_text(&rows[i], &dflt, text, sizeof text);
        if (out_get(all, rows[i].key) != NULL && strcmp(out_text(all, rows[i].key), text) != 0) {
            config_put_text(changed, rows[i].key, out_text(all, rows[i].key));
        }
    }
    return changed;
}

static bool get_vm(struct cli *c, struct json_object *model, const char *name, struct json_object *states)
{
    struct json_object *args = client_args("vm", name, NULL), *vm, *o;

    config_put(args, "xml", json_object_new_boolean(true));
    vm = ask(c, "vm show", args, NULL);
    if (vm == NULL) {
        return false;
    }
    o = json_object_new_object();
    config_put_text(o, "wanted", out_text(vm, "wanted"));
    config_put(o, "settings", changed_settings(out_get(vm, "settings")));
    config_put_text(o, "xml", json_object_get_string(out_get(vm, "xml")));
    config_put(out_get(model, "vms"), name, o);
    if (states != NULL) {
        config_put_text(states, name, out_text(vm, "state"));
    }
    json_object_put(vm);
    return true;
}

static bool get_vms(struct cli *c, struct json_object *model, struct json_object *states)
{
    struct json_object *list = ask(c, "vm list", NULL, "vms");
    bool ok = list != NULL;

    for (size_t i = 0; ok && i < out_length(list); i++) {
        ok = get_vm(c, model, out_text(json_object_array_get_idx(list, i), "name"), states);
    }
    json_object_put(list);
    return ok;
}

struct json_object *config_from_cluster(struct cli *c, struct json_object *states)
{
    struct json_object *model = config_new();

    if (get_options(c, model) && get_volumes(c, model) && get_fences(c, model) && get_vms(c, model, states) &&
        get_rules(c, model)) {
        return model;
    }
    json_object_put(model);
    return NULL;
}

/* ---- to XML ---- */

static xmlNode *add(xmlNode *parent, const char *element, const char *name, const char *value)
{
    xmlNode *n = xmlNewChild(parent, NULL, X(element), NULL);

    if (n == NULL) {
        abort();
    }
    if (name != NULL) {
        (void)xmlNewProp(n, X("name"), X(name));
    }
    if (value != NULL) {
        (void)xmlNewProp(n, X("value"), X(value));
    }
    return n;
}

static void add_pairs(xmlNode *parent, const char *element, struct json_object *pairs)
{
    JSON_EACH(pairs, it)
    {
        (void)add(parent, element, json_object_iter_peek_name(&it),
                  json_object_get_string(json_object_iter_peek_value(&it)));
    }
}

static void add_volumes(xmlNode *root, struct json_object *volumes)
{
    xmlNode *list = add(root, "volumes", NULL, NULL);

    JSON_EACH(volumes, it)
    {
        struct json_object *o = json_object_iter_peek_value(&it);
        xmlNode *n = add(list, "volume", json_object_iter_peek_name(&it), NULL);

        (void)xmlNewProp(n, X("type"), X(out_text(o, "type")));
        (void)xmlNewProp(n, X("source"), X(out_text(o, "source")));
    }
}

static void add_fences(xmlNode *root, struct json_object *fences)
{
    xmlNode *list = add(root, "fences", NULL, NULL);

    JSON_EACH(fences, it)
    {
        struct json_object *o = json_object_iter_peek_value(&it), *nodes = out_get(o, "nodes");
        xmlNode *n = add(list, "fence", json_object_iter_peek_name(&it), NULL);

        (void)xmlNewProp(n, X("agent"), X(out_text(o, "agent")));
        (void)xmlNewProp(n, X("level"), X(out_text(o, "level")));
        for (size_t i = 0; i < out_length(nodes); i++) {
            (void)add(n, "node", json_object_get_string(json_object_array_get_idx(nodes, i)), NULL);
        }
        add_pairs(n, "parameter", out_get(o, "parameters"));
    }
}

/* White space between elements goes, so that the whole document can be indented anew. */
static void strip_blanks(xmlNode *n)
{
    xmlNode *child = n->children, *next;

    for (; child != NULL; child = next) {
        next = child->next;
        if (xmlIsBlankNode(child) && (child->prev != NULL || child->next != NULL)) {
            xmlUnlinkNode(child);
            xmlFreeNode(child);
        } else if (child->type == XML_ELEMENT_NODE) {
            strip_blanks(child);
        }
    }
}

static xmlDoc *read_domain(const char *text)
{
    xmlDoc *doc = xml_read(text, strlen(text), "domain XML", NULL);

    if (doc != NULL) {
        strip_blanks(xmlDocGetRootElement(doc));
    }
    return doc;
}

static void add_vms(xmlNode *root, struct json_object *vms)
{
    xmlNode *list = add(root, "vms", NULL, NULL);

    JSON_EACH(vms, it)
    {
        struct json_object *o = json_object_iter_peek_value(&it);
        xmlNode *n = add(list, "vm", json_object_iter_peek_name(&it), NULL);
        xmlDoc *domain = read_domain(json_object_get_string(out_get(o, "xml")));

        (void)xmlNewProp(n, X("wanted"), X(out_text(o, "wanted")));
        add_pairs(n, "setting", out_get(o, "settings"));
        if (domain != NULL) {
            (void)xmlAddChild(n, xmlDocCopyNode(xmlDocGetRootElement(domain), root->doc, 1));
            xmlFreeDoc(domain);
        }
    }
}

static void add_names(xmlNode *parent, const char *element, struct json_object *names)
{
    for (size_t i = 0; i < out_length(names); i++) {
        (void)add(parent, element, json_object_get_string(json_object_array_get_idx(names, i)), NULL);
    }
}

static void add_rules(xmlNode *root, struct json_object *rules)
{
    xmlNode *list = add(root, "rules", NULL, NULL);

    JSON_EACH(rules, it)
    {
        struct json_object *o = json_object_iter_peek_value(&it);
        xmlNode *n = add(list, "rule", NULL, NULL);

        (void)xmlNewProp(n, X("kind"), X(out_text(o, "kind")));
        add_names(n, "vm", out_get(o, "vms"));
        add_names(n, "possible", out_get(o, "possible"));
        add_names(n, "preferred", out_get(o, "preferred"));
    }
}

char *config_to_xml(struct json_object *model, const char *cluster)
{
    xmlDoc *doc = xmlNewDoc(X("1.0"));
    xmlNode *root = xmlNewNode(NULL, X("configuration"));
    xmlChar *mem = NULL;
    char *text;
    int size = 0;

    if (doc == NULL || root == NULL) {
        abort();
    }
    (void)xmlDocSetRootElement(doc, root);
    (void)xmlNewProp(root, X("version"), X("1"));
    (void)xmlNewProp(root, X("cluster"), X(cluster));
    add_pairs(add(root, "options", NULL, NULL), "option", out_get(model, "options"));
    add_volumes(root, out_get(model, "volumes"));
    add_fences(root, out_get(model, "fences"));
    add_vms(root, out_get(model, "vms"));
    add_rules(root, out_get(model, "rules"));
    xmlDocDumpFormatMemoryEnc(doc, &mem, &size, "UTF-8", 1);
    text = mem ? strdup((const char *)mem) : NULL;
    xmlFree(mem);
    xmlFreeDoc(doc);
    if (text == NULL) {
        abort();
    }
    return text;
}

/* ---- comparing domains ---- */

static xmlNode *find_uuid(xmlDoc *doc)
{
    for (xmlNode *n = xmlDocGetRootElement(doc)->children; n != NULL; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && xmlStrEqual(n->name, X("uuid"))) {
            return n;
        }
    }
    return NULL;
}

static void drop_uuid(xmlDoc *doc)
{
    xmlNode *n = find_uuid(doc);

    if (n != NULL) {
        xmlUnlinkNode(n);
        xmlFreeNode(n);
    }
}

bool config_same_domain(const char *a, const char *b)
{
    xmlDoc *x = read_domain(a), *y = read_domain(b);
    xmlChar *text_x = NULL, *text_y = NULL;
    bool same = false;

    if (x != NULL && y != NULL) {
        if (find_uuid(x) == NULL || find_uuid(y) == NULL) {
            drop_uuid(x);
            drop_uuid(y);
        }
        same = xmlC14NDocDumpMemory(x, NULL, XML_C14N_1_0, NULL, 1, &text_x) >= 0 &&
               xmlC14NDocDumpMemory(y, NULL, XML_C14N_1_0, NULL, 1, &text_y) >= 0 &&
               xmlStrEqual(text_x, text_y);
    }
    xmlFree(text_x);
    xmlFree(text_y);
    xmlFreeDoc(x);
    xmlFreeDoc(y);
    return same;
}
