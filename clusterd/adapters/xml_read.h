/*
 * xml_read.h - an untrusted XML text as a tree: without network, entities, DTDs; bounded by the caller.
 */
#ifndef CLUSTERD_ADAPTERS_XML_READ_H
#define CLUSTERD_ADAPTERS_XML_READ_H

#include "common/err.h"

#include <libxml/tree.h>
#include <stddef.h>

/* The document (owned by the caller), or NULL and err (RC_BAD_INPUT, RC_NO_MEMORY): it is empty, not UTF-8,
 * malformed (with the line), or has a DOCTYPE. what names it: "domain XML". */
xmlDoc *xml_read(const char *text, size_t len, const char *what, struct err *err);

/* Replaces control characters, which would garble a terminal or a log line. */
void xml_printable(char *text);

#endif
