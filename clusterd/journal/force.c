/*
 * force.c - forced quorum (A16): the way out of a majority that is gone for good.
 *
 * An operator names the voters that are given up. The one of the others with the best log stands in a term
 * far above all that it has heard of, elected by those others alone; its first entries are OPEN, the set of
 * members in which those given up have no vote and no journal, and what the shell has to say of it.
 *
 * Raft's safety ends here: a majority by the old set, and another by the new one. What is left of it:
 * - The new set's *line* (the term in which it was forced, part of each later set) stands in every message,
 *   once it is committed. Whoever hears a higher line than its set's neither stands nor counts as coordinator
 *   any more, and what comes from a lower line is not acted upon, nor is its term. So the two cannot rule
 * side by side where they hear each other.
 * - Where they do not, only the power switch helps: the command says so, and N3 is asked of each.
 * - Who comes back with the old journal finds its place empty (RECALL), or a history that contradicts what it
 *   has committed: then, and then only, that is no alarm of A7 but the end of its journal, which is set
 * aside.
 */
#include "common/mutant.h"
#include "journal/internal.h"

#include <string.h>

uint64_t jforce_line(const struct journal *j)
{
    return j->line > j->above ? j->line : j->above;
}

/* The line of the committed set, whatever change of it is on its way. */
void jforce_committed(struct journal *j)
{
    struct journal_members before;
    uint64_t forced = j->members.forced;

    if (forced <= j->line) {
        return;
    }
    if (!journal_members_settled(j)) {
        (void)jvoters_at(j, j->commit, &before);
        forced = before.forced;
    }
    if (forced > j->line) {
        j->line = forced;
    }
}

bool jforce_superseded(const struct journal *j)
{
    return j->above > j->members.forced;
}

/*
 * A line that deposes this node is believed when two messages claim it, or more: taken over from one that was
 * damaged it would depose this node, and by its own words all others, until every daemon was started anew.
 * True when this message's line is not above what is believed now.
 */
static bool believe_line(struct journal *j, uint64_t line)
{
    uint64_t other = j->claimed != 0 && j->now_ms - j->claimed_ms <= journal_doubt_ms(j) ? j->claimed : 0;
    uint64_t both = other < line ? other : line;

    if (line > other) {
        jelect_hello(j); /* whoever means it answers with it */
    }
    j->claimed = other > line ? other : line;
    j->claimed_ms = j->now_ms;
    if (line <= j->members.forced || MUTANT(believe_any_line)) {
        both = line; /* it is ours, and was not known to be committed */
    }
    if (both > jforce_line(j)) {
        j->above = both;
    }
    return line <= jforce_line(j);
}

bool jforce_hear(struct journal *j, const struct jmsg *m)
{
    if (m->line > jforce_line(j)) {
        bool believed = believe_line(j, m->line);

        if (jforce_superseded(j) && j->role == JOURNAL_LEADER) {
            jrepl_resign(j, true, "the quorum was forced without this node");
        } else if (jforce_superseded(j) && (j->role == JOURNAL_CANDIDATE || j->role == JOURNAL_FOLLOWER)) {
            jelect_search(j, "the quorum was forced elsewhere");
        }
        if (j->above > j->promise.term) {
            jelect_adopt(j, j->above); /* as all who claim it: ours is in each message, too */
        }
        if (!believed) {
            jrepl_mark(j, m); /* C2: rather one that is not there than one that is forgotten */
            return false;
        }
    }
    if (m->line >= jforce_line(j) || MUTANT(hear_a_lower_line)) {
        return true;
    }
    if (m->type != JMSG_HELLO) {
        (void)jelect_recall(j, m);
        if (j->line_ms <= j->now_ms) { /* it shall hear of ours */
            j->line_ms = j->now_ms + j->config.heartbeat_ms;
            jelect_hello(j);
        }
    }
    return false;
}

bool jforce_lost(struct journal *j, const struct jmsg *m, uint64_t index, uint64_t term)
{
    struct hash chain;
    uint64_t own = 0;

    if (m->line <= j->line) {
        /* No cluster elects so often: a forced coordinator that has lost its commit mark with its power, and
         * does not claim its line before that is committed again. Until then nothing is known. */
        (void)jlog_describe(&j->log, index, &own, &chain);
        return term > own && term - own >= JOURNAL_FORCE_STEP / 2;
    }
    if (MUTANT(forced_out_and_stays)) {
        return false;
    }
    j->role = JOURNAL_WAITING;
    journal_say(
        j, JOURNAL_SET_ASIDE,
        "the quorum was forced without this node: its entries %llu to %llu (term %llu) are not among what "
        "node %u has; they are kept aside",
        (unsigned long long)index, (unsigned long long)jlog_last(&j->log),
        (unsigned long long)jlog_last_term(&j->log), (unsigned)m->from);
    return true;
}

static bool is_given(const struct journal_event *event, uint32_t node)
{
    for (size_t i = 0; i < event->force.n; i++) {
        if (event->force.given[i] == node) {
            return true;
        }
    }
    return false;
}

/* "The best log among those present", whatever this node's set says of them: a node that was removed, or
 * whose place was given to a newer journal, may not know yet, and would force a past that the others have
 * left behind. */
static int check_present(const struct journal *j)
{
    for (size_t i = 0; i < j->n_view; i++) {
        const struct jpeer *p = journal_peer_find(j, j->view[i]);

        if (j->view[i] == j->config.node) {
            continue;
        }
        if (!jelect_heard(j, p)) {
            return RC_BUSY;
        }
        if (!p->empty && p->willing && jelect_compare(j, p) > 0 && !MUTANT(force_with_a_worse_log)) {
            return RC_REFUSED;
        }
    }
    return RC_OK;
}

/* The survivors are here, and none of them has a better log; those given up are not. */
static int check_members(const struct journal *j, const struct journal_event *event,
                         struct journal_members *next)
{
    unsigned given = 0, votes = 0;

    *next = j->members;
    for (size_t i = 0; i < next->n; i++) {
        struct journal_member *m = &next->v[i];
        const struct jpeer *p = journal_peer_find(j, m->node);
        bool here;

        if (is_given(event, m->node)) {
            if (m->node == j->config.node || journal_in_view(j, m->node)) {
                return RC_REFUSED; /* N3 */
            }
            given += m->votes;
            *m = (struct journal_member){m->node, 0, 0, m->kind};
            continue;
        }
        votes += m->votes;
        if (m->node == j->config.node) {
            continue;
        }
        here = jelect_heard(j, p) && !p->empty;
        if (m->votes > 0 && (!here || p->incarnation != m->incarnation)) {
            return RC_BUSY;
        }
        /* One without a vote may have got it by an entry that is not here. */
        if (here && (m->votes > 0 || p->willing) && jelect_compare(j, p) > 0 &&
            !MUTANT(force_with_a_worse_log)) {
            return RC_REFUSED;
        }
        if (m->votes == 0) { /* it may know what none of those who elect does: it begins anew */
            *m = (struct journal_member){m->node, 0, 0, m->kind};
        }
    }
    return given == 0 || votes == 0 || votes >= jvoters_majority(&j->members) ? RC_REFUSED : RC_OK;
}

int jforce_begin(struct journal *j, const struct journal_event *event)
{
    struct journal_members next;
    int rc;

    if ((j->role != JOURNAL_SEARCH && j->role != JOURNAL_CANDIDATE) || !jvoters_self(j) ||
        jforce_superseded(j) || event->force.len > JOURNAL_PAYLOAD_MAX ||
        j->promise.term >= JOURNAL_TERM_MAX / 2) {
        return RC_REFUSED;
    }
    rc = check_members(j, event, &next);
    rc = rc == RC_OK ? check_present(j) : rc;
    if (rc != RC_OK) {
        return rc;
    }
    buf_reset(&j->force.payload);
    buf_raw(&j->force.payload, event->force.payload, event->force.len);
    if (j->force.payload.failed) {
        j->oom = true;
        return RC_NO_MEMORY;
    }
    j->force.members = next;
    j->force.under_way = true;
    jelect_stand(j, j->promise.term + (MUTANT(force_in_the_next_term) ? 1 : JOURNAL_FORCE_STEP));
    j->force.members.forced = j->promise.term;
    return RC_OK;
}

void jforce_lead(struct journal *j)
{
    struct buf b = BUF_INIT;

    j->force.last = 0;
    if (!j->force.under_way) {
        return;
    }
    j->force.under_way = false;
    jvoters_encode(&b, &j->force.members);
    j->oom = j->oom || b.failed;
    if (!j->oom) {
        (void)jrepl_append(j, JOURNAL_CONFIG, b.data, b.len);
    }
    if (!j->oom && j->force.payload.len > 0) {
        (void)jrepl_append(j, JOURNAL_DATA, j->force.payload.data, j->force.payload.len);
    }
    j->force.last = jlog_last(&j->log);
    buf_fini(&b);
    buf_fini(&j->force.payload);
}

const struct journal_members *jforce_voters(const struct journal *j)
{
    return j->force.under_way ? &j->force.members : &j->members;
}
