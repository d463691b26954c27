/* shell_members.c - who belongs to the cluster: its creation (A10), nodes that come and go for good (A9). */
#include <stdlib.h>
#include <string.h>

#include "shell_internal.h"

static int create_refused(const struct shell *sh, int rc, struct err *err)
{
    struct journal_status *status = malloc(sizeof *status);

    if (status == NULL) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    journal_status(sh->j, status);
    if (status->role == JOURNAL_WAITING) {
        rc = err_set(err, RC_BUSY, "this node waits for its store");
    } else if (status->role != JOURNAL_EMPTY) {
        rc = err_set(err, RC_REFUSED, "this node belongs to a cluster already");
        err_hint(err, "see `clusterctl status`");
    } else if (rc == RC_NO_QUORUM) {
        (void)err_set(err, rc,
                      "corosync has no quorum: another part of the nodes could create a cluster too");
        err_hint(err, "start corosync on more of the nodes in its node list, or take those that do not exist "
                      "out of corosync.conf");
    } else if (rc == RC_BUSY) {
        (void)err_set(err, rc, "a node has not said yet whether it belongs to a cluster");
        err_hint(err, "try again in a second");
    } else {
        (void)err_set(err, rc, "another node belongs to a cluster already: this one is to be taken in by it");
        err_hint(err, "`clusterctl node add` there; see `clusterctl quorum` on the others");
    }
    free(status);
    return rc;
}

int shell_create(struct shell *sh, struct err *err)
{
    struct journal_event ev = {.type = JOURNAL_EV_CREATE};
    int rc;

    if (!shell_enter(sh)) {
        return err_set(err, RC_FAILED, "this daemon has stopped after a failure: see its log");
    }
    rc = journal_feed(sh, &ev, NULL);
    if (rc != 0) {
        rc = create_refused(sh, rc, err);
    } else {
        shell_log(sh, LOG_L_NOTICE, "the cluster is created by an operator's order");
    }
    shell_settle(sh);
    return rc;
}

/* ---- the journal's members ---- */

#define MEMBERS_RETRY_MS 200

static const struct journal_member *member_find(const struct shell *sh, uint32_t node)
{
    const struct journal_members *m = journal_members(sh->j);

    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].node == node) {
            return &m->v[i];
        }
    }
    return NULL;
}

bool members_has(const struct shell *sh, uint32_t node)
{
    return member_find(sh, node) != NULL;
}

/* Those who are there could not go on without it, now or for as long as the others stay away. */
static void removal_failed(struct shell *sh, const struct op *o)
{
    struct event e;
    uint64_t index;

    event_init(&e, EV_OP_END);
    e.id = o->id;
    e.num = OPS_FAILED;
    e.origin = sh->cfg.self;
    e.session = sh->cfg.session;
    e.time_ms = sh->p.clock.wall_ms(sh->p.clock.ctx);
    if (event_set_text(&e, "A9: the voters that are there now would be no majority without it") == 0) {
        (void)journal_propose(sh, &e, &index);
    }
    event_fini(&e);
}

/* One change at a time: the next follows when this one is committed. */
static void members_drive(struct shell *sh)
{
    for (unsigned i = 0; i < sh->st->ops; i++) {
        const struct op *o = &sh->st->op[i];
        struct journal_event ev = {.type = o->kind == OP_NODE_ADD ? JOURNAL_EV_MEMBER_ADD
                                                                  : JOURNAL_EV_MEMBER_REMOVE};
        bool wanted = o->kind == OP_NODE_ADD;

        if ((o->kind != OP_NODE_ADD && o->kind != OP_NODE_REMOVE) || o->state >= OPS_DONE ||
            state_node(sh->st, o->node) == NULL || members_has(sh, o->node) == wanted) {
            continue;
        }
        ev.member.node = o->node;
        sh->members_ms = sh->now + MEMBERS_RETRY_MS;
        if (journal_feed(sh, &ev, NULL) == RC_REFUSED && !wanted && journal_is_coordinator(sh->j)) {
            removal_failed(sh, o);
        }
        return;
    }
}

/* Everybody keeps corosync's list in step, as soon as it knows that it knows the newest. */
static void members_tell(struct shell *sh)
{
    const struct journal_members *m = journal_members(sh->j);
    struct member_node list[NODES_MAX];
    struct hash h = {0, 0};
    unsigned n = 0;

    if (sh->p.member.ctx == NULL || !members_has(sh, sh->cfg.self)) {
        return;
    }
    for (size_t i = 0; i < m->n && n < NODES_MAX; i++) {
        const struct node *node = state_node(sh->st, m->v[i].node);

        list[n] = (struct member_node){m->v[i].node, node ? node->name : "", node ? node->address : ""};
        h = hash_bytes(h, &list[n].id, sizeof list[n].id);
        h = hash_bytes(h, list[n].name, strlen(list[n].name) + 1);
        h = hash_bytes(h, list[n].address, strlen(list[n].address) + 1);
        n++;
    }
    if (!hash_eq(h, sh->members_told)) {
        sh->members_told = h;
        sh->p.member.members(sh->p.member.ctx, list, n, journal_is_coordinator(sh->j));
    }
}

void members_consider(struct shell *sh)
{
    if (!shell_current(sh) || !journal_members_settled(sh->j)) {
        return;
    }
    members_tell(sh);
    if (shell_leads(sh) && sh->now >= sh->members_ms) {
        members_drive(sh);
    }
}

uint64_t members_next_ms(const struct shell *sh)
{
    return sh->members_ms > sh->now ? sh->members_ms : NEVER;
}
