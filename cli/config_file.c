#include "config_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/relaxng.h>
#include <libxml/tree.h>

#include "adapters/domain_xml.h"
#include "adapters/xml_read.h"
#include "common/json.h"
#include "configuration_rng.h"
#include "core/options.h"
#include "output.h"
#include "read_file.h"

#define X(text) ((const xmlChar *)(text))

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
        config_put(objects, name, o);
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
    if ((of_vm ? vm_settings_set(&settings, FEATURE_LEVEL, key, value, &err)
               : options_set(&options, FEATURE_LEVEL, key, value, &err)) != 0) {
        fail_at(l, n, "%s", err.msg);
        err_hint(&l->err, "%s", err.hint);
    } else if (out_get(pairs, key) != NULL) {
        fail_at(l, n, "'%s' is given twice", key);
    } else if (strcmp(text, value) != 0) {
        config_put_text(pairs, key, value);
    }
    xmlFree(key);
    xmlFree(value);
}

static void copy_attribute(struct json_object *o, const xmlNode *n, const char *name, const char *otherwise)
{
    char *value = attribute(n, name);

    config_put_text(o, name, value ? value : otherwise);
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
    config_put(o, "nodes", nodes);
    config_put(o, "parameters", parameters);
    for (n = next_element(n->children); n != NULL; n = next_element(n->next)) {
        char *name = attribute(n, "name"), *value = attribute(n, "value");

        if (is_element(n, "node")) {
            (void)json_object_array_add(nodes, json_object_new_string(name));
        } else {
            config_put_text(parameters, name, value);
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
        config_put_text(l->uuids, d->uuid, name);
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
    config_put(o, "settings", settings);
    for (xmlNode *n = next_element(vm->children); n != NULL && l->err.rc == 0; n = next_element(n->next)) {
        if (is_element(n, "setting")) {
            load_option(l, n, settings, true);
        } else {
            char *text = element_text(n);

            if (text == NULL) {
                abort();
            }
            check_domain(l, n, name, text);
            config_put_text(o, "xml", text);
            free(text);
        }
    }
    xmlFree(name);
}

static struct json_object *rule_list(struct json_object *rule, const xmlNode *n)
{
    return out_get(rule, is_element(n, "vm") ? "vms" : (const char *)n->name);
}

static void load_rule(struct loader *l, xmlNode *rule)
{
    struct json_object *o = json_object_new_object();

    copy_attribute(o, rule, "kind", "");
    config_put(o, "vms", json_object_new_array());
    config_put(o, "possible", json_object_new_array());
    config_put(o, "preferred", json_object_new_array());
    for (xmlNode *n = next_element(rule->children); n != NULL; n = next_element(n->next)) {
        char *name = attribute(n, "name");

        if (is_element(n, "vm") && out_get(out_get(l->model, "vms"), name) == NULL && l->err.rc == 0) {
            fail_at(l, n, "there is no VM '%s' in <vms>, which stands before <rules>", name);
        }
        (void)json_object_array_add(rule_list(o, n), json_object_new_string(name));
        xmlFree(name);
    }
    if (!config_put_rule(out_get(l->model, "rules"), o) && l->err.rc == 0) {
        fail_at(l, rule, "that rule is there twice");
    }
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
            } else if (is_element(n, "rule")) {
                load_rule(l, n);
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

/* The schema, compiled at its first use and kept; NULL: it cannot be. */
static xmlRelaxNG *schema(void)
{
    static xmlRelaxNG *compiled;
    xmlRelaxNGParserCtxt *parser;

    if (compiled == NULL) {
        parser = xmlRelaxNGNewMemParserCtxt((const char *)configuration_rng, sizeof configuration_rng);
        compiled = parser ? xmlRelaxNGParse(parser) : NULL;
        xmlRelaxNGFreeParserCtxt(parser);
    }
    return compiled;
}

static void check_schema(xmlDoc *doc, struct err *err)
{
    xmlRelaxNG *rules = schema();
    xmlRelaxNGValidCtxt *valid = rules ? xmlRelaxNGNewValidCtxt(rules) : NULL;
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
    l.model = config_new();
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
