#include "adapters/members.h"

#include "adapters/corosync.h"
#include "adapters/log.h"
#include "adapters/nodelist.h"
#include "common/rc.h"

#include <corosync/cfg.h>
#include <corosync/votequorum.h>
#include <glib.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A reload makes every corosync of the ring read its own file: the coordinator asks when the others have
 * written theirs, as a rule; whoever still sees an old list later asks again. */
#define LEAD_MS   500
#define FOLLOW_MS 2500
#define TRIES_MAX 20

struct members {
    char path[PATH_MAX];
    node_set wanted;
    unsigned tries;
    guint timer;
};

/* The ids that corosync works with now. */
static bool running_list(node_set *out)
{
    struct corosync_info info;
    struct err err = ERR_INIT;

    *out = 0;
    if (corosync_read_info(&info, &err) != 0) {
        return false;
    }
    for (unsigned i = 0; i < info.nodes; i++) {
        *out |= NODE_BIT(info.node[i]);
    }
    return true;
}

static void reload(void)
{
    corosync_cfg_handle_t h;
    corosync_cfg_callbacks_t none = {NULL};
    cs_error_t code = corosync_cfg_initialize(&h, &none);

    if (code == CS_OK) {
        code = corosync_cfg_reload_config(h);
        (void)corosync_cfg_finalize(h);
    }
    if (code == CS_OK) {
        log_notice("corosync was asked to read its node list again");
    } else {
        log_error("corosync does not read its configuration again: %s", cs_strerror(code));
    }
}

static gboolean on_timer(gpointer ctx)
{
    struct members *m = ctx;
    node_set now;

    m->timer = 0;
    if (!running_list(&now) || now == m->wanted) {
        return G_SOURCE_REMOVE;
    }
    if (m->tries++ >= TRIES_MAX) {
        log_error("corosync's node list is not the members': see '%s' on all nodes", m->path);
        return G_SOURCE_REMOVE;
    }
    reload();
    m->timer = g_timeout_add(FOLLOW_MS, on_timer, m);
    return G_SOURCE_REMOVE;
}

static void on_members(void *ctx, const struct member_node *node, unsigned nodes, bool lead)
{
    struct members *m = ctx;
    struct err err = ERR_INIT;
    bool changed;

    m->wanted = 0;
    for (unsigned i = 0; i < nodes; i++) {
        m->wanted |= NODE_BIT(node[i].id);
    }
    if (nodelist_update(m->path, node, nodes, &changed, &err) != 0) {
        log_error("%s", err.msg);
        return;
    }
    if (changed) {
        log_notice("'%s' has the members in its nodelist now", m->path);
    }
    m->tries = 0;
    if (m->timer) {
        (void)g_source_remove(m->timer);
    }
    m->timer = g_timeout_add(lead ? LEAD_MS : FOLLOW_MS, on_timer, m);
}

static void on_expect(void *ctx, unsigned votes)
{
    votequorum_callbacks_t none = {0};
    votequorum_handle_t h;
    cs_error_t code = votequorum_initialize(&h, &none);

    (void)ctx;
    if (code == CS_OK) {
        code = votequorum_setexpected(h, votes);
        (void)votequorum_finalize(h);
    }
    if (code == CS_OK) {
        log_notice("A16: corosync was told to expect %u votes", votes);
    } else {
        log_error("A16: corosync does not take %u as the votes to expect: %s", votes, cs_strerror(code));
    }
}

struct members *members_new(const char *path)
{
    struct members *m = g_new0(struct members, 1);

    (void)snprintf(m->path, sizeof m->path, "%s", path);
    return m;
}

void members_free(struct members *m)
{
    if (m != NULL && m->timer) {
        (void)g_source_remove(m->timer);
    }
    g_free(m);
}

void members_port(struct members *m, struct member_port *out)
{
    *out = (struct member_port){.ctx = m, .members = on_members, .expect = on_expect};
}
