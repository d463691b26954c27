#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/tree.h>

#include "common/json.h"

#define X(text) ((const xmlChar *)(text))

/* The element that an item of a list stands in. */
static const char *item_name(const char *list)
{
    static const char *const names[][2] = {
        {"nodes", "node"},     {"vms", "vm"},         {"volumes", "volume"}, {"operations", "operation"},
        {"fences", "fence"},   {"options", "option"}, {"events", "event"},   {"problems", "problem"},
        {"members", "member"}, {"claims", "claim"},   {"plan", "move"},      {"errors", "error"},
        {"changes", "change"}, {"rules", "rule"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i][0], list) == 0) {
            return names[i][1];
        }
    }
    return "item";
}

static void xml_add(xmlNode *parent, const char *key, struct json_object *value);

static void xml_members(xmlNode *node, struct json_object *o)
{
    JSON_EACH(o, it)
    {
        xml_add(node, json_object_iter_peek_name(&it), json_object_iter_peek_value(&it));
    }
}

/* An object whose keys are data (settings, parameters): they cannot be names of XML. */
static void xml_pairs(xmlNode *parent, const char *key, struct json_object *pairs)
{
    xmlNode *list = xmlNewChild(parent, NULL, X(key), NULL);

    JSON_EACH(pairs, it)
    {
        xmlNode *item = xmlNewChild(list, NULL, X("item"), NULL);

        (void)xmlNewProp(item, X("name"), X(json_object_iter_peek_name(&it)));
        (void)xmlNewProp(item, X("value"), X(json_object_get_string(json_object_iter_peek_value(&it))));
    }
}

static void xml_list(xmlNode *parent, const char *key, struct json_object *value)
{
    xmlNode *list = xmlNewChild(parent, NULL, X(key), NULL);

    for (size_t i = 0; i < json_object_array_length(value); i++) {
        struct json_object *item = json_object_array_get_idx(value, i);

        if (json_object_is_type(item, json_type_object)) {
            xml_members(xmlNewChild(list, NULL, X(item_name(key)), NULL), item);
        } else {
            (void)xmlNewTextChild(list, NULL, X("item"), X(json_object_get_string(item)));
        }
    }
}

/* A member: short texts and numbers are attributes, texts of several lines and what has parts are elements;
 * null is left out. */
static void xml_add(xmlNode *parent, const char *key, struct json_object *value)
{
    const char *text;

    if (value == NULL) {
        return;
    }
    if (json_object_is_type(value, json_type_array)) {
        xml_list(parent, key, value);
    } else if (strcmp(key, "settings") == 0 || strcmp(key, "parameters") == 0) {
        xml_pairs(parent, key, value);
    } else if (json_object_is_type(value, json_type_object)) {
        xml_members(xmlNewChild(parent, NULL, X(key), NULL), value);
    } else {
        text = json_object_get_string(value);
        if (strchr(text, '\n') != NULL) {
            (void)xmlNewTextChild(parent, NULL, X(key), X(out_clean(text)));
        } else {
            (void)xmlNewProp(parent, X(key), X(out_clean(text)));
        }
    }
}

void output_xml(struct json_object *document, const char *element)
{
    xmlDoc *doc = xmlNewDoc(X("1.0"));
    xmlNode *root = xmlNewNode(NULL, X("clusterctl"));
    xmlChar *mem = NULL;
    int size = 0;

    if (doc == NULL || root == NULL) {
        abort();
    }
    (void)xmlDocSetRootElement(doc, root);
    xml_members(element ? xmlNewChild(root, NULL, X(element), NULL) : root, document);
    xmlDocDumpFormatMemoryEnc(doc, &mem, &size, "UTF-8", 1);
    (void)fwrite(mem, 1, (size_t)size, stdout);
    xmlFree(mem);
    xmlFreeDoc(doc);
}
