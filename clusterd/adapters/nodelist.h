/*
 * nodelist.h - the section `nodelist` of corosync.conf, as text: kept in step with the journal's members
 * (A9), all else in the file stays as it is. Source: corosync.conf(5).
 */
#ifndef CLUSTERD_ADAPTERS_NODELIST_H
#define CLUSTERD_ADAPTERS_NODELIST_H

#include "common/buf.h"
#include "common/err.h"
#include "ports/ports.h"

/*
 * Appends the file's text with the nodes of `node` in its nodelist: those that are listed keep their lines,
 * others go, and those that are missing come, where name and address are known. RC_BAD_INPUT: there is no
 * nodelist, or its braces do not match; RC_NO_MEMORY.
 */
int nodelist_edit(const char *text, const struct member_node *node, unsigned nodes, struct buf *out,
                  struct err *err);

/* The same with a file, by an atomic rename; *changed: it was not so already. RC_IO when it cannot be read or
 * written. */
int nodelist_update(const char *path, const struct member_node *node, unsigned nodes, bool *changed,
                    struct err *err);

#endif
