#include "adapters/xml_read.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libxml/parser.h>

#include "common/rc.h"

void xml_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

/* A DTD can only be an attack or a mistake: the parser is stopped where one begins. */
static void stop_at_dtd(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxt *ctxt = ctx;

    (void)name;
    (void)external;
    (void)system;
    *(bool *)ctxt->_private = true;
    xmlStopParser(ctxt);
}

static void failed(xmlParserCtxt *ctxt, bool dtd, const char *what, struct err *err)
{
    const xmlError *e = xmlCtxtGetLastError(ctxt);
    char msg[160];

    if (dtd) {
        (void)err_set(err, RC_BAD_INPUT, "the %s has a DOCTYPE", what);
        err_hint(err, "remove it; it needs none");
        return;
    }
    (void)snprintf(msg, sizeof msg, "%s", e && e->message ? e->message : "it cannot be read");
    msg[strcspn(msg, "\r\n")] = '\0';
    xml_printable(msg);
    (void)err_set(err, RC_BAD_INPUT, "the %s is malformed: line %d: %s", what, e ? e->line : 0, msg);
    err_hint(err, "`xmllint --noout FILE` shows the place");
}

xmlDoc *xml_read(const char *text, size_t len, const char *what, struct err *err)
{
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES;
    xmlParserCtxt *ctxt;
    xmlDoc *doc;
    bool dtd = false;

    if (len == 0 || len > INT_MAX || memchr(text, '\0', len) != NULL) {
        (void)err_set(err, RC_BAD_INPUT, len == 0 ? "the %s is empty" : "the %s has a NUL inside", what);
        return NULL;
    }
    ctxt = xmlNewParserCtxt();
    if (ctxt == NULL) {
        (void)err_set(err, RC_NO_MEMORY, "out of memory");
        return NULL;
    }
    ctxt->_private = &dtd;
    ctxt->sax->internalSubset = stop_at_dtd;
    doc = xmlCtxtReadMemory(ctxt, text, (int)len, NULL, "UTF-8", options);
    if (doc == NULL || dtd || xmlDocGetRootElement(doc) == NULL) {
        failed(ctxt, dtd, what, err);
        xmlFreeDoc(doc);
        doc = NULL;
    }
    xmlFreeParserCtxt(ctxt);
    return doc;
}
