#include "adapters/corosync.h"

#include "adapters/log.h"
#include "common/rc.h"

#include <corosync/cmap.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <ctype.h>
#include <glib-unix.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_MAX          256 /* messages that flow control holds back */
#define QUEUE_RETRY_MS     2
#define DISPATCH_MAX       64 /* events in one loop turn */
#define RECONNECT_FIRST_MS 250
#define RECONNECT_MAX_MS   4000
#define RING_NONE          UINT64_MAX

struct corosync {
    struct corosync_config c;
    cpg_handle_t cpg;
    quorum_handle_t quorum;
    bool have_cpg, have_quorum, connected;
    guint cpg_source, quorum_source, reconnect, retry;
    unsigned reconnect_ms;
    bool lost; /* a call said that the connection is gone: end it from the loop */
    /* the view */
    node_set present, ring;
    struct cpg_ring_id ring_id;
    bool ring_known;
    struct quorum_ring_id quorum_ring_id;
    bool quorum_known, quorate;
    bool joined;  /* cpg has said who is in the group */
    bool changed; /* since the shell was told */
    uint64_t view;
    GQueue queue; /* of GBytes */
};

/* ---- corosync's configuration ---- */

static bool get_u32(cmap_handle_t h, const char *key, uint32_t *out)
{
    return cmap_get_uint32(h, key, out) == CS_OK;
}

static bool get_text(cmap_handle_t h, const char *key, char *out, size_t size)
{
    char *text = NULL;
    bool ok = cmap_get_string(h, key, &text) == CS_OK && text[0] && strlen(text) < size;

    if (ok) {
        (void)snprintf(out, size, "%s", text);
    }
    free(text);
    return ok;
}

static bool name_is_plain(const char *s)
{
    return isalnum((unsigned char)s[0]) &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

/* A1, A11: these make quorum out of nothing, or of votes that remember nothing. */
static int refuse_settings(cmap_handle_t h, struct err *err)
{
    static const char *const keys[] = {"quorum.last_man_standing", "quorum.auto_tie_breaker",
                                       "quorum.allow_downscale", "quorum.two_node"};
    char device[64];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint8_t v = 0;

        if (cmap_get_uint8(h, keys[i], &v) == CS_OK && v) {
            (void)err_set(err, RC_REFUSED, "corosync.conf sets '%s': clusterd cannot be safe with it",
                          keys[i]);
            err_hint(err, "take it out of corosync.conf on every node and restart corosync");
            return RC_REFUSED;
        }
    }
    if (get_text(h, "quorum.device.model", device, sizeof device)) {
        (void)err_set(
            err, RC_REFUSED,
            "corosync.conf has a quorum device ('quorum.device.model: %s'): its vote remembers nothing",
            device);
        err_hint(err, "take the section 'device' out of corosync.conf on every node and restart corosync");
        return RC_REFUSED;
    }
    return 0;
}

static int read_node(cmap_handle_t h, const char *key, unsigned position, struct corosync_info *out,
                     struct err *err)
{
    uint32_t id = 0;

    if (!get_u32(h, key, &id)) {
        return err_set(err, RC_REFUSED, "corosync's '%s' cannot be read", key);
    }
    if (id < 1 || id > NODES_MAX) {
        (void)err_set(err, RC_REFUSED, "corosync.conf gives node %u of its nodelist the nodeid %u", position,
                      id);
        err_hint(err, "clusterd needs node ids from 1 to %d", NODES_MAX);
        return RC_REFUSED;
    }
    if (out->nodes >= NODES_MAX) {
        return err_set(err, RC_REFUSED, "corosync.conf lists more than %d nodes", NODES_MAX);
    }
    out->node[out->nodes++] = id;
    return 0;
}

static int read_nodes(cmap_handle_t h, struct corosync_info *out, struct err *err)
{
    char key[CMAP_KEYNAME_MAXLEN + 1];
    cmap_iter_handle_t iter;
    unsigned position;
    int rc = 0;

    if (cmap_iter_init(h, "nodelist.node.", &iter) != CS_OK) {
        return err_set(err, RC_UNREACHABLE, "corosync does not tell its nodes");
    }
    while (rc == 0 && cmap_iter_next(h, iter, key, NULL, NULL) == CS_OK) {
        char what[CMAP_KEYNAME_MAXLEN + 1];

        if (sscanf(key, "nodelist.node.%u.%255s", &position, what) == 2 && strcmp(what, "nodeid") == 0) {
            rc = read_node(h, key, position, out, err);
        }
    }
    (void)cmap_iter_finalize(h, iter);
    if (rc == 0 && out->nodes == 0) {
        (void)err_set(err, RC_REFUSED, "corosync.conf has no nodelist with node ids");
        err_hint(err, "give each node a nodeid from 1 to %d in its nodelist", NODES_MAX);
        rc = RC_REFUSED;
    }
    return rc;
}

/* ring0_addr to ring7_addr, as far as they are there. Source: corosync.conf(5). */
static void read_address(cmap_handle_t h, unsigned position, char out[ADDRESS_SIZE])
{
    char key[CMAP_KEYNAME_MAXLEN + 1], one[ADDRESS_SIZE];
    size_t at = 0;

    for (unsigned link = 0; link < 8; link++) {
        (void)snprintf(key, sizeof key, "nodelist.node.%u.ring%u_addr", position, link);
        if (get_text(h, key, one, sizeof one) && at + strlen(one) + 1 < ADDRESS_SIZE) {
            at += (size_t)snprintf(out + at, ADDRESS_SIZE - at, "%s%s", at > 0 ? "," : "", one);
        }
    }
}

static int read_self(cmap_handle_t h, struct corosync_info *out, struct err *err)
{
    uint32_t position;
    char key[CMAP_KEYNAME_MAXLEN + 1];

    if (!get_u32(h, "nodelist.local_node_pos", &position)) {
        return err_set(err, RC_REFUSED, "corosync.conf's nodelist does not name this host");
    }
    (void)snprintf(key, sizeof key, "nodelist.node.%u.nodeid", position);
    if (!get_u32(h, key, &out->self)) {
        return err_set(err, RC_REFUSED, "corosync.conf gives this host no nodeid");
    }
    read_address(h, position, out->address);
    (void)snprintf(key, sizeof key, "nodelist.node.%u.name", position);
    if (!get_text(h, key, out->name, sizeof out->name) && gethostname(out->name, sizeof out->name) < 0) {
        return err_set(err, RC_REFUSED, "this host's name is longer than %d bytes", NAME_SIZE - 1);
    }
    out->name[sizeof out->name - 1] = '\0';
    if (!name_is_plain(out->name)) {
        return err_set(err, RC_REFUSED,
                       "'%s' cannot be a node's name: letters, digits, '.', '_' and '-' only", out->name);
    }
    return 0;
}

int corosync_read_info(struct corosync_info *out, struct err *err)
{
    cmap_handle_t h;
    int rc;

    *out = (struct corosync_info){0};
    if (cmap_initialize(&h) != CS_OK) {
        (void)err_set(err, RC_UNREACHABLE, "corosync does not run on this host");
        err_hint(err, "systemctl start corosync");
        return RC_UNREACHABLE;
    }
    rc = refuse_settings(h, err);
    if (rc == 0 && !get_text(h, "totem.cluster_name", out->cluster, sizeof out->cluster)) {
        (void)err_set(err, RC_REFUSED, "corosync.conf has no totem.cluster_name of at most %d bytes",
                      NAME_SIZE - 1);
        err_hint(err, "name the cluster there, alike on every node");
        rc = RC_REFUSED;
    }
    if (rc == 0) {
        rc = read_nodes(h, out, err);
    }
    if (rc == 0) {
        rc = read_self(h, out, err);
    }
    (void)cmap_finalize(h);
    return rc;
}

/* ---- views ---- */

static node_set bit_of(uint32_t id)
{
    if (id < 1 || id > NODES_MAX) {
        log_warning("node id %u is outside 1 to %d and not counted", id, NODES_MAX);
        return 0;
    }
    return NODE_BIT(id);
}

static bool same_ring(const struct corosync *cs)
{
    return cs->ring_known && cs->quorum_known && cs->ring_id.nodeid == cs->quorum_ring_id.nodeid &&
           cs->ring_id.seq == cs->quorum_ring_id.seq;
}

static void tell_view(struct corosync *cs)
{
    bool quorate = same_ring(cs) && cs->quorate;

    if (!cs->changed || (cs->connected && !cs->joined)) {
        return;
    }
    cs->changed = false;
    cs->view++;
    log_info("view %" PRIu64 ": clusterd on %#" PRIx64 ", corosync on %#" PRIx64 ", ring %x.%" PRIx64 ", %s",
             cs->view, cs->present, cs->ring, cs->ring_id.nodeid, cs->ring_id.seq,
             quorate         ? "quorate"
             : same_ring(cs) ? "not quorate"
                             : "quorum not known yet");
    cs->c.view(cs->c.ctx, cs->present, cs->ring, quorate, cs->view);
}

static void on_confchg(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *member,
                       size_t members, const struct cpg_address *left, size_t lefts,
                       const struct cpg_address *joined, size_t joineds)
{
    struct corosync *cs = NULL;

    (void)group;
    (void)left;
    (void)lefts;
    (void)joined;
    (void)joineds;
    if (cpg_context_get(h, (void **)&cs) != CS_OK || !cs) {
        return;
    }
    cs->present = 0;
    for (size_t i = 0; i < members; i++) {
        cs->present |= bit_of(member[i].nodeid);
    }
    cs->joined = true;
    cs->changed = true;
}

static void on_totem(cpg_handle_t h, struct cpg_ring_id ring, uint32_t members, const uint32_t *member)
{
    struct corosync *cs = NULL;

    if (cpg_context_get(h, (void **)&cs) != CS_OK || !cs) {
        return;
    }
    cs->ring_id = ring;
    cs->ring_known = true;
    cs->ring = 0;
    for (uint32_t i = 0; i < members; i++) {
        cs->ring |= bit_of(member[i]);
    }
    cs->changed = true;
}

static void on_deliver(cpg_handle_t h, const struct cpg_name *group, uint32_t from, uint32_t pid, void *data,
                       size_t len)
{
    struct corosync *cs = NULL;

    (void)group;
    (void)pid;
    if (cpg_context_get(h, (void **)&cs) != CS_OK || !cs) {
        return;
    }
    tell_view(cs); /* the view before what was said in it */
    if (bit_of(from)) {
        cs->c.message(cs->c.ctx, from, data, len);
    }
}

static void on_quorum(quorum_handle_t h, uint32_t quorate, struct quorum_ring_id ring, uint32_t members,
                      const uint32_t *member)
{
    const void *ctx = NULL;
    struct corosync *cs;

    (void)members;
    (void)member;
    if (quorum_context_get(h, &ctx) != CS_OK || !ctx) {
        return;
    }
    cs = (struct corosync *)(uintptr_t)ctx;
    cs->quorum_ring_id = ring;
    cs->quorum_known = true;
    cs->quorate = quorate != 0;
    cs->changed = true;
}

static void on_nodelist(quorum_handle_t h, struct quorum_ring_id ring, uint32_t members,
                        const uint32_t *member, uint32_t joineds, const uint32_t *joined, uint32_t lefts,
                        const uint32_t *left)
{
    (void)h; /* totem's own change says the same, in cpg's order */
    (void)ring;
    (void)members;
    (void)member;
    (void)joineds;
    (void)joined;
    (void)lefts;
    (void)left;
}

/* ---- sending ---- */

static void drop_queue(struct corosync *cs)
{
    g_queue_clear_full(&cs->queue, (GDestroyNotify)g_bytes_unref);
    if (cs->retry) {
        (void)g_source_remove(cs->retry);
        cs->retry = 0;
    }
}

static void connection_lost(struct corosync *cs, const char *where, cs_error_t code);

static cs_error_t multicast(struct corosync *cs, const void *data, size_t len)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    return cpg_mcast_joined(cs->cpg, CPG_TYPE_AGREED, &iov, 1);
}

static gboolean on_retry(gpointer ctx)
{
    struct corosync *cs = ctx;

    while (!g_queue_is_empty(&cs->queue)) {
        size_t len;
        const void *data = g_bytes_get_data(g_queue_peek_head(&cs->queue), &len);
        cs_error_t code = multicast(cs, data, len);

        if (code == CS_ERR_TRY_AGAIN) {
            return G_SOURCE_CONTINUE;
        }
        if (code != CS_OK) {
            cs->retry = 0;
            connection_lost(cs, "sending", code);
            return G_SOURCE_REMOVE;
        }
        g_bytes_unref(g_queue_pop_head(&cs->queue));
    }
    cs->retry = 0;
    return G_SOURCE_REMOVE;
}

static int corosync_send(void *ctx, const void *data, size_t len)
{
    struct corosync *cs = ctx;
    cs_error_t code = CS_ERR_TRY_AGAIN;

    if (!cs->connected || cs->lost) {
        return RC_UNREACHABLE;
    }
    if (g_queue_is_empty(&cs->queue)) {
        code = multicast(cs, data, len);
    }
    if (code == CS_OK) {
        return 0;
    }
    if (code != CS_ERR_TRY_AGAIN) {
        connection_lost(cs, "sending", code);
        return RC_UNREACHABLE;
    }
    if (g_queue_get_length(&cs->queue) >= QUEUE_MAX) {
        return RC_BUSY;
    }
    g_queue_push_tail(&cs->queue, g_bytes_new(data, len));
    if (!cs->retry) {
        cs->retry = g_timeout_add(QUEUE_RETRY_MS, on_retry, cs);
    }
    return 0;
}

/* ---- the connection ---- */

static gboolean on_reconnect(gpointer ctx);

static void disconnect(struct corosync *cs)
{
    if (cs->cpg_source) {
        (void)g_source_remove(cs->cpg_source);
    }
    if (cs->quorum_source) {
        (void)g_source_remove(cs->quorum_source);
    }
    cs->cpg_source = cs->quorum_source = 0;
    drop_queue(cs);
    if (cs->have_cpg) {
        (void)cpg_finalize(cs->cpg);
    }
    if (cs->have_quorum) {
        (void)quorum_finalize(cs->quorum);
    }
    cs->have_cpg = cs->have_quorum = cs->connected = cs->lost = false;
    cs->joined = cs->ring_known = cs->quorum_known = cs->quorate = false;
    cs->present = cs->ring = 0;
    cs->ring_id = (struct cpg_ring_id){0};
}

static void schedule(struct corosync *cs, unsigned ms)
{
    if (!cs->reconnect) {
        cs->reconnect = g_timeout_add(ms, on_reconnect, cs);
    }
}

/* Only notes it: this may be called from deep within a callback of the library. */
static void connection_lost(struct corosync *cs, const char *where, cs_error_t code)
{
    if (!cs->lost) {
        log_error("the connection to corosync is gone (%s: %s)", where, cs_strerror(code));
        cs->lost = true;
        schedule(cs, 0);
    }
}

/* True for answers that say that nothing is wrong. */
static bool dispatched(cs_error_t code)
{
    return code == CS_OK || code == CS_ERR_TRY_AGAIN;
}

static gboolean on_cpg(gint fd, GIOCondition cond, gpointer ctx)
{
    struct corosync *cs = ctx;
    cs_error_t code = CS_OK;

    (void)fd;
    (void)cond;
    for (int i = 0; i < DISPATCH_MAX && code == CS_OK && !cs->lost; i++) {
        code = cpg_dispatch(cs->cpg, CS_DISPATCH_ONE_NONBLOCKING);
    }
    if (!dispatched(code)) {
        connection_lost(cs, "cpg", code);
        cs->cpg_source = 0;
        return G_SOURCE_REMOVE;
    }
    tell_view(cs);
    return G_SOURCE_CONTINUE;
}

static gboolean on_quorum_ready(gint fd, GIOCondition cond, gpointer ctx)
{
    struct corosync *cs = ctx;
    cs_error_t code = CS_OK;

    (void)fd;
    (void)cond;
    for (int i = 0; i < DISPATCH_MAX && code == CS_OK; i++) {
        code = quorum_dispatch(cs->quorum, CS_DISPATCH_ONE_NONBLOCKING);
    }
    if (!dispatched(code)) {
        connection_lost(cs, "quorum", code);
        cs->quorum_source = 0;
        return G_SOURCE_REMOVE;
    }
    tell_view(cs);
    return G_SOURCE_CONTINUE;
}

static cs_error_t open_quorum(struct corosync *cs, int *fd)
{
    quorum_model_v1_data_t model = {
        .model = QUORUM_MODEL_V1, .quorum_notify_fn = on_quorum, .nodelist_notify_fn = on_nodelist};
    uint32_t type = QUORUM_FREE;
    cs_error_t code = quorum_model_initialize(&cs->quorum, QUORUM_MODEL_V1,
                                              (quorum_model_data_t *)(void *)&model, &type, cs);

    cs->have_quorum = code == CS_OK;
    if (code == CS_OK && type != QUORUM_SET) {
        log_error(
            "corosync has no quorum provider: set 'provider: corosync_votequorum' in corosync.conf's quorum");
        code = CS_ERR_NOT_SUPPORTED;
    }
    if (code == CS_OK) {
        code = quorum_fd_get(cs->quorum, fd);
    }
    return code == CS_OK ? quorum_trackstart(cs->quorum, CS_TRACK_CURRENT | CS_TRACK_CHANGES) : code;
}

static cs_error_t open_cpg(struct corosync *cs, int *fd)
{
    cpg_model_v1_data_t model = {.model = CPG_MODEL_V1,
                                 .cpg_deliver_fn = on_deliver,
                                 .cpg_confchg_fn = on_confchg,
                                 .cpg_totem_confchg_fn = on_totem,
                                 .flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF};
    struct cpg_name group = {.length = sizeof COROSYNC_GROUP - 1, .value = COROSYNC_GROUP};
    unsigned int self = 0;
    cs_error_t code = cpg_model_initialize(&cs->cpg, CPG_MODEL_V1, (cpg_model_data_t *)(void *)&model, cs);

    cs->have_cpg = code == CS_OK;
    if (code == CS_OK) {
        code = cpg_local_get(cs->cpg, &self);
    }
    if (code == CS_OK && self != cs->c.self) {
        log_error("corosync says that this is node %u, no longer node %u: restart clusterd", self,
                  cs->c.self);
        code = CS_ERR_NOT_SUPPORTED;
    }
    if (code == CS_OK) {
        code = cpg_fd_get(cs->cpg, fd);
    }
    return code == CS_OK ? cpg_join(cs->cpg, &group) : code;
}

/* GLib takes a source that may not recurse out of the poll and puts it back, with a wake-up, for each
 * message. Ours cannot recurse: nobody runs the loop from within. */
static guint watch_fd(int fd, GUnixFDSourceFunc fn, struct corosync *cs)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    guint id;

    g_source_set_callback(source, (GSourceFunc)(void (*)(void))fn, cs, NULL);
    g_source_set_can_recurse(source, TRUE);
    id = g_source_attach(source, NULL);
    g_source_unref(source);
    return id;
}

static bool connect_all(struct corosync *cs)
{
    int quorum_fd = -1, cpg_fd = -1;
    cs_error_t code = open_quorum(cs, &quorum_fd);

    if (code == CS_OK) {
        code = open_cpg(cs, &cpg_fd);
    }
    if (code != CS_OK) {
        if (cs->reconnect_ms == RECONNECT_FIRST_MS) {
            log_notice("waiting for corosync (%s)", cs_strerror(code));
        }
        disconnect(cs);
        return false;
    }
    cs->quorum_source = watch_fd(quorum_fd, on_quorum_ready, cs);
    cs->cpg_source = watch_fd(cpg_fd, on_cpg, cs);
    cs->connected = true;
    cs->reconnect_ms = RECONNECT_FIRST_MS;
    log_notice("joined corosync's group '%s' as node %u", COROSYNC_GROUP, cs->c.self);
    return true;
}

static gboolean on_reconnect(gpointer ctx)
{
    struct corosync *cs = ctx;

    cs->reconnect = 0;
    if (cs->lost) {
        disconnect(cs);
        cs->changed = true;
        tell_view(cs); /* N2: nobody is there, and there is no quorum */
    }
    if (!connect_all(cs)) {
        schedule(cs, cs->reconnect_ms);
        cs->reconnect_ms = cs->reconnect_ms * 2 < RECONNECT_MAX_MS ? cs->reconnect_ms * 2 : RECONNECT_MAX_MS;
    }
    return G_SOURCE_REMOVE;
}

struct corosync *corosync_new(const struct corosync_config *c)
{
    struct corosync *cs = g_new0(struct corosync, 1);

    cs->c = *c;
    cs->reconnect_ms = RECONNECT_FIRST_MS;
    g_queue_init(&cs->queue);
    return cs;
}

void corosync_start(struct corosync *cs)
{
    schedule(cs, 0);
}

void corosync_free(struct corosync *cs)
{
    if (!cs) {
        return;
    }
    if (cs->reconnect) {
        (void)g_source_remove(cs->reconnect);
    }
    disconnect(cs);
    g_free(cs);
}

void corosync_port(struct corosync *cs, struct message_port *out)
{
    *out = (struct message_port){.ctx = cs, .send = corosync_send};
}
