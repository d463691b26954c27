/*
 * corosync.h - who is there, who has quorum, and the ordered multicast: libcpg, libquorum (model V1) and
 * libcmap on the GLib loop.
 *
 * The order of events within one change is cpg's configuration, totem's ring, quorum's node list, quorate,
 * first message; but they come on separate descriptors, and a busy client gets a new view's message before
 * the quorum notification. So: on a totem change to ring R quorum is unknown, until a V1 notification that
 * names R.
 *
 * corosync gone or restarted: the shell sees an empty view (N2: lost quorum), and the adapter connects again,
 * with a growing pause.
 */
#ifndef CLUSTERD_ADAPTERS_COROSYNC_H
#define CLUSTERD_ADAPTERS_COROSYNC_H

#include "common/err.h"
#include "core/state.h"
#include "ports/ports.h"

#define COROSYNC_GROUP "clusterd"

/* What corosync.conf says. */
struct corosync_info {
    char cluster[NAME_SIZE];
    uint32_t self;
    char name[NAME_SIZE];       /* of this node: its nodelist entry's, else the host's own */
    char address[ADDRESS_SIZE]; /* of this node: one for each link, with commas */
    uint32_t node[NODES_MAX];
    unsigned nodes;
};

/* RC_UNREACHABLE: corosync is not up (yet). RC_REFUSED: its configuration is one that we cannot run on. */
int corosync_read_info(struct corosync_info *out, struct err *err);

struct corosync;

struct corosync_config {
    uint32_t self; /* our node id: a corosync that comes back with another is refused */
    /* shell_view and shell_message */
    void (*view)(void *ctx, node_set present, node_set ring, bool quorate, uint64_t view);
    void (*message)(void *ctx, uint32_t from, const void *data, size_t len);
    void *ctx;
};

struct corosync *corosync_new(const struct corosync_config *c);
/* Joins the group as soon as it can; the first view comes from the main loop. */
void corosync_start(struct corosync *cs);
/* Leaves the group. NULL is legal. */
void corosync_free(struct corosync *cs);
void corosync_port(struct corosync *cs, struct message_port *out);

#endif
