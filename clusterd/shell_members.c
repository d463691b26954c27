/* shell_members.c - who belongs to the cluster: its creation (A10), nodes that come and go for good (A9). */
#include <stdio.h>
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

static void members_wait(struct shell *sh);

/* ---- the journal's members ---- */

#define MEMBERS_RETRY_MS 200
#define WAITS_MS         2000
#define EXPECT_MS        1500 /* corosync's word for a new ring may come a little later */

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

/* Those who are there could not go on without it, now or for as long as the others stay away. It is not tried
 * again in this term: its end is in the log, and a removal behind that would be nobody's. */
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
        sh->removal_failed = journal_propose(sh, &e, &index) == 0 ? o->id : 0;
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
            state_node(sh->st, o->node) == NULL || members_has(sh, o->node) == wanted ||
            (o->id == sh->removal_failed && !MUTANT(removal_tried_again))) {
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

    if (sh->p.member.ctx == NULL || !members_has(sh, sh->cfg.self) || sh->applied == sh->members_seen) {
        return;
    }
    sh->members_seen = sh->applied;
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

/* After a forced quorum the log's set counts, not corosync's list (A9): corosync shall expect its votes only.
 */
static bool expects_too_much(const struct shell *sh)
{
    const struct journal_members *m = journal_members(sh->j);
    unsigned votes = 0, present = 0;

    for (size_t i = 0; i < m->n; i++) {
        bool here = m->v[i].node <= NODES_MAX && (sh->world.present & NODE_BIT(m->v[i].node)) != 0;

        votes += m->v[i].votes;
        present += here ? m->v[i].votes : 0;
    }
    return m->forced != 0 && !sh->ring_quorate && sh->p.member.ctx != NULL && 2 * present > votes;
}

static void members_expect(struct shell *sh)
{
    const struct journal_members *m = journal_members(sh->j);
    unsigned votes = 0;

    if (!expects_too_much(sh)) {
        sh->expect_ms = sh->now + EXPECT_MS;
    } else if (sh->now >= sh->expect_ms) {
        sh->expect_ms = sh->now + 2 * EXPECT_MS;
        for (size_t i = 0; i < m->n; i++) {
            votes += m->v[i].votes;
        }
        sh->p.member.expect(sh->p.member.ctx, votes);
    }
}

void members_consider(struct shell *sh)
{
    members_wait(sh);
    members_expect(sh);
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
    if (!journal_is_open(sh->j)) { /* otherwise it waits for whatever comes next */
        return expects_too_much(sh) && sh->expect_ms < sh->waits_ms ? sh->expect_ms : sh->waits_ms;
    }
    return sh->members_ms > sh->now ? sh->members_ms : NEVER;
}

/* ---- who is waited for ---- */

static const char *name_of(const struct shell *sh, uint32_t id, char out[NAME_SIZE])
{
    const struct node *n = state_node(sh->st, id);

    if (n != NULL) {
        return n->name;
    }
    (void)snprintf(out, NAME_SIZE, "node %u", id);
    return out;
}

void members_why(const struct shell *sh, const struct journal_status *s, char *why, size_t size)
{
    const char *between = ": waits for ";
    char name[NAME_SIZE];
    size_t at;

    if (!s->missing || s->stopped[0] != '\0') {
        (void)snprintf(why, size, "%s", s->stopped[0] ? s->stopped : s->why);
        return;
    }
    at = (size_t)snprintf(why, size, "%u of %u votes needed, have %u", s->quorum, s->votes, s->counted_votes);
    for (size_t i = 0; i < s->n_peers && at < size; i++) {
        if (s->peers[i].member.votes > 0 && !s->peers[i].counted) {
            at += (size_t)snprintf(why + at, size - at, "%s%s", between,
                                   name_of(sh, s->peers[i].member.node, name));
            between = ", ";
        }
    }
}

/* A minority that waits says for whom, once for each answer. */
static void members_wait(struct shell *sh)
{
    char why[JOURNAL_TEXT_MAX];

    if (sh->now < sh->waits_ms) {
        return;
    }
    sh->waits_ms = sh->now + WAITS_MS;
    if (shell_quorate(sh, why, sizeof why)) {
        sh->waits[0] = '\0';
    } else if (strcmp(why, sh->waits) != 0) {
        memcpy(sh->waits, why, sizeof why);
        shell_log(sh, LOG_L_NOTICE, "no quorum: %s", why);
    }
}

/* ---- forced quorum (A16) ---- */

/* A13: what is said of a forced quorum can be read by those who go on. */
static int force_level(const struct shell *sh, uint32_t id, struct err *err)
{
    unsigned needed = event_level(EV_QUORUM_FORCED);
    const struct node *n = state_node(sh->st, id);
    unsigned known = id == sh->cfg.self ? sh->cfg.feature_level : n != NULL ? n->feature_level : needed;
    char name[NAME_SIZE];

    if (known >= needed) {
        return 0;
    }
    (void)err_set(err, RC_REFUSED, "%s knows feature level %u, and a forced quorum needs %u (A13)",
                  name_of(sh, id, name), known, needed);
    err_hint(err, "install a newer version there, or switch it off and give it up, too");
    return RC_REFUSED;
}

/* The voters that are not here; why it cannot be, in err. */
static int force_check(const struct shell *sh, const struct journal_status *s, node_set down, node_set *given,
                       struct err *err)
{
    char name[NAME_SIZE];

    if (s->open || s->role == JOURNAL_LEADER || s->role == JOURNAL_FOLLOWER) {
        return err_set(err, RC_REFUSED, "there is a coordinator: nothing has to be forced");
    }
    if (s->role == JOURNAL_EMPTY || !s->voter) {
        (void)err_set(err, RC_REFUSED, "this node has no vote: its journal is not one to go on with");
        err_hint(err, "run it on a node whose vote counts; see `clusterctl quorum`");
        return RC_REFUSED;
    }
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct journal_peer_status *p = &s->peers[i];
        uint32_t id = p->member.node;
        node_set bit = NODE_BIT(id);

        if (p->member.votes == 0) {
            continue;
        }
        if (!p->present && (sh->world.ring & bit) != 0) {
            (void)err_set(err, RC_REFUSED, "N3: corosync of %s is here, so it is not down",
                          name_of(sh, id, name));
            err_hint(err, "start its clusterd, or switch it off");
            return RC_REFUSED;
        }
        if (!p->present) {
            if ((down & bit) == 0) {
                (void)err_set(err, RC_REFUSED, "%s has a vote, is not here, and was not confirmed to be down",
                              name_of(sh, id, name));
                err_hint(err, "name each one that is given up");
                return RC_REFUSED;
            }
            *given |= bit;
        } else if ((down & bit) != 0) {
            return err_set(err, RC_REFUSED, "N3: %s is here, so it is not down", name_of(sh, id, name));
        } else if (!p->counted) {
            return err_set(err, RC_BUSY, "%s has not said yet what it has: try again", name_of(sh, id, name));
        } else if (p->ahead) {
            (void)err_set(err, RC_REFUSED, "%s has a newer journal than this node", name_of(sh, id, name));
            err_hint(err, "run it there");
            return RC_REFUSED;
        } else if (force_level(sh, id, err) != 0) {
            return RC_REFUSED;
        }
    }
    return *given != 0 ? 0 : err_set(err, RC_REFUSED, "no voter is missing: nothing has to be forced");
}

static int force_now(struct shell *sh, const struct journal_status *s, node_set given, const char *by,
                     struct err *err)
{
    struct journal_event ev = {.type = JOURNAL_EV_FORCE};
    uint32_t nodes[NODES_MAX];
    struct buf b = BUF_INIT;
    struct event e;
    int rc;

    event_init(&e, EV_QUORUM_FORCED);
    e.id = given;
    e.index = s->last;
    e.num = sh->st->term;
    e.origin = sh->cfg.self;
    e.session = sh->cfg.session;
    e.time_ms = sh->p.clock.wall_ms(sh->p.clock.ctx);
    (void)snprintf(e.by, sizeof e.by, "%s", by);
    (void)snprintf(e.why, sizeof e.why,
                   "A16: the majority is gone for good; this node knew up to entry %llu, %lld ms",
                   (unsigned long long)s->last, (long long)sh->st->time_ms);
    event_encode(&e, &b);
    event_fini(&e);
    for (uint32_t id = 1; id <= NODES_MAX; id++) {
        if ((given & NODE_BIT(id)) != 0) {
            nodes[ev.force.n++] = id;
        }
    }
    ev.force.given = nodes;
    ev.force.payload = b.data;
    ev.force.len = b.len;
    rc = b.failed ? RC_NO_MEMORY : journal_feed(sh, &ev, NULL);
    buf_fini(&b);
    if (rc != 0) {
        return err_set(
            err, rc,
            rc == RC_BUSY
                ? "a survivor has not said yet what it has: try again"
                : "the votes that are here cannot be forced to a quorum, or a node that is here has a "
                  "newer journal: run it there");
    }
    sh->expect_ms = sh->now; /* corosync need not be given time to say that it is not quorate */
    shell_log(sh, LOG_L_WARNING, "alarm: the quorum is forced by %s", by);
    return 0;
}

int shell_force(struct shell *sh, node_set down, const char *by, struct err *err)
{
    struct journal_status *status = malloc(sizeof *status);
    node_set given = 0;
    int rc;

    if (status == NULL) {
        return err_set(err, RC_NO_MEMORY, "out of memory");
    }
    if (!shell_enter(sh)) {
        free(status);
        return err_set(err, RC_FAILED, "this daemon has stopped after a failure: see its log");
    }
    journal_status(sh->j, status);
    rc = force_check(sh, status, down, &given, err);
    if (rc == 0) {
        rc = force_now(sh, status, given, by, err);
    }
    free(status);
    shell_settle(sh);
    return rc;
}
