/*
 * members.h - corosync is kept in step with the journal's members (A9): its configuration file on this node,
 * its node list at run time (libcfg), and the votes that it expects (libvotequorum, A16).
 */
#ifndef CLUSTERD_ADAPTERS_MEMBERS_H
#define CLUSTERD_ADAPTERS_MEMBERS_H

#include "ports/ports.h"

struct members;

/* path: corosync.conf. */
struct members *members_new(const char *path);
/* NULL is legal. */
void members_free(struct members *m);
void members_port(struct members *m, struct member_port *out);

#endif
