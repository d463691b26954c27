#include "config_model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/c14n.h>
#include <libxml/relaxng.h>
#include <libxml/tree.h>

#include "adapters/domain_xml.h"
#include "adapters/xml_read.h"
#include "client.h"
#include "common/json.h"
#include "configuration_rng.h"
#include "core/options.h"
#include "output.h"
#include "query.h"
#include "read_file.h"

#define X(text) ((const xmlChar *)(text))

static void put(struct json_object *o, const char *key, struct json_object *value)
{
    (void)json_object_object_add(o, key, value);
}

static void put_text(struct json_object *o, const char *key, const char *value)
{
    put(o, key, json_object_new_string(value));
}

static struct json_object *new_model(void)
{
    static const char *const parts[] = {"options", "volumes", "fences", "vms"};
    struct json_object *model = json_object_new_object();

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        put(model, parts[i], json_object_new_object());
    }
    return model;
}

/* ---- from a file ---- */

struct loader {
    struct cli *c;
    const char *path;
    struct json_object *model, *uuids;
    struct err err; /* set: it failed */
};

static xmlNode *next_element(xmlNode *n)
{
    while (n != NULL && n->type != XML_ELEMENT_NODE) {
        n = n->next;
    }
    return n;
}

static bool is_element(const xmlNode *n, const char *name)
{
    return xmlStrEqual(n->name, X(name));
}

/* An attribute (owned by the caller, xmlFree); the schema has it that it is there. */
static char *attribute(const xmlNode *n, const char *name)
{
    return (char *)xmlGetNoNsProp(n, X(name));
}

static void fail_at(struct loader *l, const xmlNode *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fail_at(struct loader *l, const xmlNode *n, const char *fmt, ...)
{
    char msg[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    (void)err_set(&l->err, RC_BAD_INPUT, "line %ld: %s", xmlGetLineNo(n), msg);
}

/* A new member of one part of the model, under the element's name. NULL: it is there already. */
static struct json_object *new_object(struct loader *l, const xmlNode *n, const char *part)
{
    struct json_object *objects = out_get(l->model, part), *o = NULL;
    char *name = attribute(n, "name");

    if (out_get(objects, name) != NULL) {
        fail_at(l, n, "there are two of the name '%s' in <%s>", name, part);
    } else {
        o = json_object_new_object();
        put(objects, name, o);
    }
    xmlFree(name);
    return o;
}

/* A pair that options.h knows; what is at its default is left out. */
static void load_option(struct loader *l, const xmlNode *n, struct json_object *pairs, bool of_vm)
{
    char *key = attribute(n, "name"), *value = attribute(n, "value");
    struct options options;
    struct vm_settings settings;
    struct err err = ERR_INIT;
    char text[32] = "";
    unsigned rows;
    const struct option_row *row = of_vm ? vm_setting_rows(&rows) : option_rows(&rows);

    options_init(&options);
    vm_settings_init(&settings);
    for (unsigned i = 0; i < rows; i++) {
        if (strcmp(row[i].key, key) == 0) {
            option_text(&row[i], of_vm ? (const void *)&settings : &options, text, sizeof text);
        }
    }
    if ((of_vm ? vm_settings_set(&settings, key, value, &err) : options_set(&options, key, value, &err)) !=
        0) {
        fail_at(l, n, "%s", err.msg);
        err_hint(&l->err, "%s", err.hint);
    } else if (out_get(pairs, key) != NULL) {
        fail_at(l, n, "'%s' is given twice", key);
    } else if (strcmp(text, value) != 0) {
        put_text(pairs, key, value);
    }
    xmlFree(key);
    xmlFree(value);
}

static void copy_attribute(struct json_object *o, const xmlNode *n, const char *name, const char *otherwise)
{
    char *value = attribute(n, name);

    put_text(o, name, value ? value : otherwise);
    xmlFree(value);
}

static void load_volume(struct loader *l, xmlNode *n)
{
    struct json_object *o = new_object(l, n, "volumes");

    if (o != NULL) {
        copy_attribute(o, n, "type", "directory");
        copy_attribute(o, n, "source", "");
    }
}

static void load_fence(struct loader *l, xmlNode *n)
{
    struct json_object *o = new_object(l, n, "fences"), *nodes, *parameters;

    if (o == NULL) {
        return;
    }
    nodes = json_object_new_array();
    parameters = json_object_new_object();
    copy_attribute(o, n, "agent", "");
    copy_attribute(o, n, "level", "1");
    put(o, "nodes", nodes);
    put(o, "parameters", parameters);
    for (n = next_element(n->children); n != NULL; n = next_element(n->next)) {
        char *name = attribute(n, "name"), *value = attribute(n, "value");

        if (is_element(n, "node")) {
            (void)json_object_array_add(nodes, json_object_new_string(name));
        } else {
            put_text(parameters, name, value);
        }
        xmlFree(name);
        xmlFree(value);
    }
}

/* The text of one element, as a document of its own (owned by the caller). */
static char *element_text(xmlNode *n)
{
    xmlDoc *doc = xmlNewDoc(X("1.0"));
    xmlChar *mem = NULL;
    int size = 0;
    char *text = NULL;

    if (doc == NULL) {
        abort();
    }
    (void)xmlDocSetRootElement(doc, xmlDocCopyNode(n, doc, 1));
    xmlDocDumpMemoryEnc(doc, &mem, &size, "UTF-8");
    if (mem != NULL) {
        text = strdup((const char *)mem);
    }
    xmlFree(mem);
    xmlFreeDoc(doc);
    return text;
}

/* The domain as `vm add` would take it; its text is kept as the file has it (without a uuid, if it has none).
 */
static void check_domain(struct loader *l, const xmlNode *n, const char *name, const char *text)
{
    struct json_object *volumes = out_get(l->model, "volumes");
    int count = json_object_object_length(volumes);
    const char **names = calloc((size_t)count + 1, sizeof *names);
    struct domain *d = calloc(1, sizeof *d);
    struct err err = ERR_INIT;
    unsigned i = 0;
    int rc;

    if (names == NULL || d == NULL) {
        abort();
    }
    JSON_EACH(volumes, it)
    {
        names[i++] = json_object_iter_peek_name(&it);
    }
    rc = domain_parse(d, text, strlen(text), NULL, VOLUME_DIR, &err);
    if (rc == 0) {
        rc = domain_check_volumes(d, VOLUME_DIR, names, i, &err);
        if (rc == 0 && strcmp(d->name, name) != 0) {
            rc = err_set(&err, RC_BAD_INPUT, "the domain's own name is '%s'", d->name);
        }
        if (rc == 0 && out_get(l->uuids, d->uuid) != NULL) {
            rc = err_set(&err, RC_BAD_INPUT, "its UUID is that of VM '%s'", out_text(l->uuids, d->uuid));
        }
        put_text(l->uuids, d->uuid, name);
        domain_fini(d);
    }
    if (rc != 0) {
        fail_at(l, n, "VM '%s': %s", name, err.msg);
        err_hint(&l->err, "%s", err.hint);
    }
    free(names);
    free(d);
}

static void load_vm(struct loader *l, xmlNode *vm)
{
    struct json_object *o = new_object(l, vm, "vms"), *settings = json_object_new_object();
    char *name = attribute(vm, "name");

    if (o == NULL) {
        json_object_put(settings);
        xmlFree(name);
        return;
    }
    copy_attribute(o, vm, "wanted", "stopped");
    put(o, "settings", settings);
    for (xmlNode *n = next_element(vm->children); n != NULL && l->err.rc == 0; n = next_element(n->next)) {
        if (is_element(n, "setting")) {
            load_option(l, n, settings, true);
        } else {
            char *text = element_text(n);

            if (text == NULL) {
                abort();
            }
            check_domain(l, n, name, text);
            put_text(o, "xml", text);
            free(text);
        }
    }
    xmlFree(name);
}

static void load(struct loader *l, xmlNode *root)
{
    for (xmlNode *part = next_element(root->children); part != NULL; part = next_element(part->next)) {
        for (xmlNode *n = next_element(part->children); n != NULL && l->err.rc == 0;
             n = next_element(n->next)) {
            if (is_element(n, "option")) {
                load_option(l, n, out_get(l->model, "options"), false);
            } else if (is_element(n, "volume")) {
                load_volume(l, n);
            } else if (is_element(n, "fence")) {
                load_fence(l, n);
            } else {
                load_vm(l, n);
            }
        }
    }
}

/* libxml2 goes on after the first error; the first is the one that tells most. */
static void first_error(void *ctx, const xmlError *e)
{
    struct err *err = ctx;
    char msg[300];

    if (err->rc != 0 || e->message == NULL) {
        return;
    }
    (void)snprintf(msg, sizeof msg, "%s", e->message);
    msg[strcspn(msg, "\n")] = '\0';
    (void)err_set(err, RC_BAD_INPUT, "line %ld: %s", e->node ? xmlGetLineNo(e->node) : (long)e->line, msg);
    err_hint(err, "configuration.rng describes the document; `clusterctl config export` prints a right one");
}

static void on_error(void *ctx, xmlErrorPtr e)
{
    first_error(ctx, e);
}

static void check_schema(xmlDoc *doc, struct err *err)
{
    xmlRelaxNGParserCtxt *parser =
        xmlRelaxNGNewMemParserCtxt((const char *)configuration_rng, sizeof configuration_rng);
    xmlRelaxNG *schema = parser ? xmlRelaxNGParse(parser) : NULL;
    xmlRelaxNGValidCtxt *valid = schema ? xmlRelaxNGNewValidCtxt(schema) : NULL;
    int rc;

    if (valid == NULL) {
        (void)err_set(err, RC_FAILED, "the schema cannot be loaded");
    } else {
        xmlRelaxNGSetValidStructuredErrors(valid, on_error, err);
        rc = xmlRelaxNGValidateDoc(valid, doc);
        if (rc != 0 && err->rc == 0) {
            (void)err_set(err, RC_BAD_INPUT, "it does not match configuration.rng");
        }
    }
    xmlRelaxNGFreeValidCtxt(valid);
    xmlRelaxNGFree(schema);
    xmlRelaxNGFreeParserCtxt(parser);
}

struct json_object *config_from_file(struct cli *c, const char *path)
{
    struct loader l = {.c = c, .path = path};
    size_t len;
    char *text = read_file(c, path, CONFIG_FILE_MAX, "a configuration", &len);
    xmlDoc *doc;

    if (text == NULL) {
        return NULL;
    }
    doc = xml_read(text, len, "configuration", &l.err);
    free(text);
    if (doc != NULL) {
        check_schema(doc, &l.err);
    }
    l.model = new_model();
    l.uuids = json_object_new_object();
    if (l.err.rc == 0) {
        load(&l, xmlDocGetRootElement(doc));
    }
    xmlFreeDoc(doc);
    json_object_put(l.uuids);
    if (l.err.rc != 0) {
        (void)cli_fail(c, &l.err, "'%s' is no configuration", path);
        json_object_put(l.model);
        return NULL;
    }
    return l.model;
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
            put_text(out_get(model, "options"), out_text(o, "key"), out_text(o, "value"));
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

        put_text(v, "type", out_text(o, "type"));
        put_text(v, "source", out_text(o, "source"));
        put(out_get(model, "volumes"), out_text(o, "name"), v);
    }
    json_object_put(list);
    return list != NULL;
}

static bool get_fences(struct cli *c, struct json_object *model)
{
    struct json_object *args = json_object_new_object(), *list;

    put(args, "secrets", json_object_new_boolean(true));
    list = ask(c, "fence list", args, "fences");
    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i), *f = json_object_new_object();

        put_text(f, "agent", out_text(o, "agent"));
        put_text(f, "level", out_text(o, "level"));
        put(f, "nodes", json_object_get(out_get(o, "nodes")));
        put(f, "parameters", json_object_get(out_get(o, "parameters")));
        put(out_get(model, "fences"), out_text(o, "name"), f);
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
            put_text(changed, rows[i].key, out_text(all, rows[i].key));
        }
    }
    return changed;
}

static bool get_vm(struct cli *c, struct json_object *model, const char *name, struct json_object *states)
{
    struct json_object *args = client_args("vm", name, NULL), *vm, *o;

    put(args, "xml", json_object_new_boolean(true));
    vm = ask(c, "vm show", args, NULL);
    if (vm == NULL) {
        return false;
    }
    o = json_object_new_object();
    put_text(o, "wanted", out_text(vm, "wanted"));
    put(o, "settings", changed_settings(out_get(vm, "settings")));
    put_text(o, "xml", json_object_get_string(out_get(vm, "xml")));
    put(out_get(model, "vms"), name, o);
    if (states != NULL) {
        put_text(states, name, out_text(vm, "state"));
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
    struct json_object *model = new_model();

    if (get_options(c, model) && get_volumes(c, model) && get_fences(c, model) && get_vms(c, model, states)) {
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
        if (n->type == XML_ELEMENT_NODE && is_element(n, "uuid")) {
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
