/* A9, A10: who may vote; incarnations; first creation. */
#include "tests/unit/journal_kit.h"

static int change(struct kit *k, enum journal_event_type type, uint32_t node)
{
    struct journal_event ev = {.type = type};

    ev.member.node = node;
    return kit_step(k, &ev);
}

static const struct journal_member *member(const struct kit *k, uint32_t node)
{
    return jvoters_find(journal_members(k->j), node);
}

static void hello_empty(struct kit *k, uint32_t from, uint64_t incarnation)
{
    struct jmsg m = kit_from(k, from, JMSG_HELLO, 0, 0);

    m.cluster = (struct journal_uuid){0, 0};
    m.incarnation = incarnation;
    m.hello.flags = 0;
    kit_hear(k, &m);
}

/* ---------------------------------------------------------------------------------------------------- A9 */

static void a9_a_set_is_in_force_when_appended_and_undone_when_cut(void **unused)
{
    struct kit k;
    struct jlog a, b;
    struct journal_members two;

    (void)unused;
    kit_begin(&k, 1, 3);
    two = *journal_members(k.j);
    two.n = 2;
    kit_log(&k, &a);
    kit_log(&k, &b);
    kit_write(&a, 1, JOURNAL_OPEN, "2");
    kit_write(&b, 1, JOURNAL_OPEN, "2");
    kit_write_members(&a, 1, &two);
    kit_write(&b, 2, JOURNAL_OPEN, "3");
    kit_follow(&k, 2, 1, &a, 1);
    assert_int_equal(journal_members(k.j)->n, 2);
    kit_append(&k, 3, 2, &b, 1, 2, 1);
    assert_int_equal(journal_members(k.j)->n, 3);
    jlog_fini(&a);
    jlog_fini(&b);
    kit_end(&k);
}

static void a9_one_change_at_a_time_and_only_in_an_open_term(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 5);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 5), RC_REFUSED); /* no coordinator */
    kit_elect(&k, false);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 5), RC_NO_QUORUM);
    kit_ack(&k, 2, 1, 1);
    kit_ack(&k, 3, 1, 1);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 9), RC_NOT_FOUND);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 5), RC_OK);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 4), RC_BUSY);
    assert_null(member(&k, 5));
    kit_ack(&k, 2, 1, 2);
    assert_int_equal(k.j->commit, 1); /* the new set's majority of four is three */
    kit_ack(&k, 3, 1, 2);
    assert_int_equal(k.j->commit, 2);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 4), RC_OK);
    kit_end(&k);
}

static void a9_a_removal_that_could_not_go_on_is_refused(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, false);
    kit_ack(&k, 2, 1, 1); /* node 3 is silent: {1, 3} could commit nothing */
    kit_wait(&k, 100);
    kit_ack(&k, 2, 1, 1);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 2), RC_REFUSED);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 3), RC_OK);
    kit_end(&k);
}

static void a9_the_logs_set_decides_an_election(void **unused)
{
    struct kit k;
    struct jlog l;
    struct journal_members two;

    (void)unused;
    kit_begin(&k, 1, 4);
    two = *journal_members(k.j);
    two.n = 2; /* nodes 1 and 2; corosync.conf still has four */
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write_members(&l, 1, &two);
    kit_follow(&k, 2, 1, &l, 2);
    kit_view(&k, true, 3, 1U, 3U, 4U); /* node 2 is gone; three of corosync's four are here */
    for (int i = 0; i < 10; i++) {
        kit_hello(&k, 3, 1, 0, 0);
        kit_hello(&k, 4, 1, 0, 0);
        kit_wait(&k, 100);
    }
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    jlog_fini(&l);
    kit_end(&k);
}

static void a9_a_coordinator_that_was_removed_resigns_after_the_commit(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 1), RC_OK);
    kit_ack(&k, 2, 1, 2);
    assert_int_equal(k.j->commit, 1); /* it does not count itself */
    assert_true(journal_is_coordinator(k.j));
    kit_ack(&k, 3, 1, 2);
    assert_int_equal(k.j->commit, 2);
    assert_false(journal_is_coordinator(k.j));
    kit_end(&k);
}

static void a9_who_removed_itself_may_stand_until_that_is_committed(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 4);
    kit_elect(&k, true);
    assert_int_equal(change(&k, JOURNAL_EV_MEMBER_REMOVE, 1), RC_OK);
    kit_view(&k, true, 1, 1U); /* it resigns; nobody else has the entry */
    assert_false(journal_is_coordinator(k.j));
    assert_false(jvoters_self(k.j));
    kit_view(&k, true, 3, 1U, 2U, 3U); /* node 4 is lost: without our log 2 and 3 cannot win */
    kit_wait(&k, 1300);
    kit_hello(&k, 2, 1, 1, 1);
    kit_hello(&k, 3, 1, 1, 1);
    kit_wait(&k, 400);
    assert_int_equal(kit_count(&k, JMSG_STAND) > 0, 1);
    kit_end(&k);
}

/* --------------------------------------------------------------------------------------------------- A10 */

static void a10_the_vote_of_another_incarnation_does_not_count(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_hello(&k, 2, 0, 0, 0);
    kit_hello(&k, 3, 0, 0, 0);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    m = kit_from(&k, 2, JMSG_VOTE, 1, 1);
    m.vote.granted = true;
    m.vote.incarnation = 101;
    m.incarnation = 4242; /* node 2 has lost its journal, and its memory */
    kit_hear(&k, &m);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    m.incarnation = 102;
    m.vote.incarnation = 4242; /* a vote for an older journal of ours */
    kit_hear(&k, &m);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    kit_vote(&k, 2, 1, true);
    assert_int_equal(k.j->role, JOURNAL_LEADER);
    m = kit_from(&k, 3, JMSG_ACK, 1, 1);
    m.incarnation = 4243;
    m.ack.ok = true;
    m.ack.index = m.ack.last = 1;
    m.ack.stamp = k.now;
    kit_hear(&k, &m); /* nor does its acknowledgement */
    assert_int_equal(k.j->commit, 0);
    kit_end(&k);
}

static void a10_an_amnesiac_goes_out_by_one_change_and_in_by_another(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_ack(&k, 2, 1, 1);
    hello_empty(&k, 3, 555);
    assert_int_equal(member(&k, 3)->incarnation, 555);
    assert_int_equal(member(&k, 3)->votes, 0);
    assert_int_equal(jvoters_majority(journal_members(k.j)), 2);
    assert_int_equal(jlog_last(&k.j->log), 2);
    kit_ack(&k, 2, 1, 2);
    assert_int_equal(k.j->commit, 2);
    kit_forget(&k);
    hello_empty(&k, 3, 555); /* now it is fed: first the base */
    assert_true(kit_sent(&k, JMSG_SNAPSHOT, &m));
    assert_true(m.to == 3 && m.snapshot.incarnation == 555);
    m = kit_from(&k, 3, JMSG_ACK, 1, 1);
    m.incarnation = 555;
    m.ack.ok = true;
    m.ack.index = m.ack.last = 1;
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    kit_wait(&k, 100);
    assert_int_equal(member(&k, 3)->votes, 0); /* it has not caught up */
    m.ack.index = m.ack.last = 2;
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    assert_int_equal(member(&k, 3)->votes, 1);
    assert_int_equal(member(&k, 3)->incarnation, 555);
    kit_end(&k);
}

static void a10_a_lost_journal_is_not_replaced_when_the_rest_could_not_go_on(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 4);
    kit_elect(&k, true);
    kit_wait(&k, 500);
    kit_ack(&k, 2, 1, 1);
    hello_empty(&k, 3, 555); /* {1, 2, 4} needs two: fine */
    assert_int_equal(member(&k, 3)->votes, 0);
    kit_ack(&k, 2, 1, 2);
    kit_wait(&k, 500);
    hello_empty(&k, 4, 556); /* {1, 2} needs both, and node 2 was not heard for E ms */
    assert_int_equal(member(&k, 4)->votes, 1);
    kit_end(&k);
}

static void a10_a_shortened_store_is_set_aside(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_follow(&k, 2, 1, &l, 2);
    kit_forget(&k);
    kit_restart_shortened(&k, 1, 1); /* an acknowledged entry is missing */
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 1);
    assert_int_equal(k.n_sent, 0); /* it has not said a word */
    kit_load_empty(&k, 999);
    assert_int_equal(k.j->role, JOURNAL_EMPTY);
    kit_end(&k);

    kit_begin(&k, 1, 3);
    kit_follow(&k, 2, 1, &l, 2);
    kit_hello(&k, 3, 7, 0, 0);       /* term 7 was promised … */
    kit_restart_shortened(&k, 2, 3); /* … and is forgotten */
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 1);
    jlog_fini(&l);
    kit_end(&k);
}

static void a10_a_store_without_its_mark_is_set_aside(void **unused)
{
    struct kit k;
    struct jlog l;
    struct journal_load load = {0};
    struct journal_event ev = {.type = JOURNAL_EV_START};

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    load.cluster = k.j->cluster;
    load.incarnation = 101;
    load.promise.term = 3;
    load.snapshot = k.j->snapshot;
    load.prev.chain = k.j->log.prev_chain;
    load.fresh.incarnation = 5;
    load.fresh.cluster.lo = 5;
    assert_int_equal(journal_load(k.j, &load), RC_OK);
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 1);
    jlog_fini(&l);
    kit_end(&k);
}

static void a10_peers_remember_what_was_acknowledged(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_follow(&k, 2, 1, &l, 1);
    m = kit_from(&k, 3, JMSG_ACK, 2, 1);
    m.ack.ok = true;
    m.ack.index = m.ack.last = 1;
    kit_hear(&k, &m); /* overheard */
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_HELLO, 0, 1); /* a new session of the same journal, with less */
    m.session = 2003;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_RECALL, &m));
    assert_true(m.to == 3 && m.recall.incarnation == 103 && m.recall.term == 1 && m.recall.index == 1);
    kit_restart(&k);
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_RECALL, 1, 1); /* and the one who is told judges by its own store */
    m.recall.incarnation = 101;
    m.recall.session = k.config.session;
    m.recall.term = 1;
    m.recall.index = 1;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 0);
    m.recall.index = 2;
    m.recall.incarnation = 999;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 0);
    m.recall.incarnation = 101;
    m.recall.session--; /* it may be about what this session has acknowledged, after that HELLO */
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 0);
    m.recall.session++;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 0); /* one message may be damaged: it comes again */
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 1);
    jlog_fini(&l);
    kit_end(&k);
}

/*
 * An old image of node 3's disk was put back, mark and all, so only the peers know. Meanwhile the term has
 * moved on: node 3 hears of the new one with the RECALL, or before it. It is judged by what its store held
 * when it began, else node 2, which lacks the committed entry 2, would win with its vote.
 */
static void recalled_in_a_later_term(bool heard_before)
{
    struct kit two, three;
    struct jlog l;
    struct jmsg m, recall;

    kit_begin(&two, 2, 3);
    kit_begin(&three, 3, 3);
    kit_log(&three, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "1");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_follow(&three, 1, 1, &l, 2); /* committed by nodes 1 and 3 */
    assert_true(kit_sent(&three, JMSG_ACK, &m) && m.ack.ok && m.ack.index == 2);
    kit_append(&two, 1, 1, &l, 0, 1, 1);
    kit_hear(&two, &m);
    kit_hello(&two, 1, 2, 1, 2); /* node 1 has gone on to term 2 */
    kit_restart_older(&three, 1, 1);
    assert_int_equal(three.said[JOURNAL_SET_ASIDE], 0);
    assert_true(kit_sent(&three, JMSG_HELLO, &m));
    kit_forget(&two);
    kit_hear(&two, &m);
    assert_true(kit_sent(&two, JMSG_RECALL, &recall) && recall.term == 2 && recall.recall.term == 1);
    if (heard_before) {
        kit_hello(&three, 1, 2, 1, 2);
    }
    kit_hear(&three, &recall);
    kit_hear(&three, &recall); /* it comes again */
    m = kit_from(&three, 2, JMSG_STAND, 0, 3);
    m.stand.last_term = m.stand.last_index = 1;
    kit_hear(&three, &m);
    assert_false(kit_sent(&three, JMSG_VOTE, &m) && m.vote.granted);
    assert_int_equal(three.said[JOURNAL_SET_ASIDE], 1);
    jlog_fini(&l);
    kit_end(&two);
    kit_end(&three);
}

static void a10_a_recall_counts_in_a_later_term_too(void **unused)
{
    (void)unused;
    recalled_in_a_later_term(false);
    recalled_in_a_later_term(true);
}

/*
 * A whole disk was put back and the HELLOs of the new session are lost, so the term that they carried is past
 * when somebody hears of it. What the store held then stands in every message of the session.
 */
static void a10_any_message_tells_what_the_store_held(void **unused)
{
    static const enum jmsg_type types[] = {JMSG_HELLO, JMSG_STAND, JMSG_VOTE, JMSG_ACK};
    struct kit k;
    struct jmsg m;

    (void)unused;
    for (size_t i = 0; i < 2 * (sizeof types / sizeof types[0]); i++) {
        bool voted = i % 2; /* it had promised a term, and acknowledged nothing in it */
        uint64_t term;

        kit_begin(&k, 1, 3);
        kit_elect(&k, true);
        term = k.j->promise.term;
        if (voted) {
            term++;
            m = kit_from(&k, 3, JMSG_VOTE, 2, term);
            m.vote.incarnation = 102;
            m.vote.granted = true;
            kit_hear(&k, &m);
        }
        kit_forget(&k);
        m = kit_from(&k, 3, types[i / 2], 1, term + 1);
        m.session = 2003;
        m.held_term = term;
        m.held_index = voted ? 0 : 1;
        m.vote.incarnation = types[i / 2] == JMSG_VOTE ? 101 : m.vote.incarnation;
        kit_hear(&k, &m);
        assert_false(kit_sent(&k, JMSG_RECALL, &m)); /* it has all of it */
        m = kit_from(&k, 3, types[i / 2], 1, term + 2);
        m.session = 3003;
        m.held_term = voted ? term - 1 : term;
        m.held_index = 0;
        kit_wait(&k, 200);
        kit_hear(&k, &m);
        assert_true(kit_sent(&k, JMSG_RECALL, &m));
        assert_true(m.recall.session == 3003 && m.recall.incarnation == 103 && !m.recall.gone);
        kit_end(&k);
    }
}

/* The candidate misses the HELLOs too: the amnesiac's vote does not make it coordinator, nor an ACK commit.
 */
static void a10_the_vote_and_the_word_of_an_amnesiac_do_not_count(void **unused)
{
    struct kit k;
    struct jmsg m;
    uint64_t term;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_propose(&k, "a");
    kit_ack(&k, 3, 1, 2);
    assert_int_equal(k.commit, 2);
    kit_propose(&k, "b");
    m = kit_from(&k, 3, JMSG_ACK, 1, 1);
    m.session = 2003;
    m.held_term = 1;
    m.held_index = 1;
    m.ack.ok = true;
    m.ack.index = m.ack.last = 3;
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    assert_int_equal(k.commit, 2);
    kit_view(&k, true, 1, 1);
    kit_view(&k, true, 3, 1, 2, 3);
    kit_hello(&k, 2, 1, 1, 1);
    kit_wait(&k, 1000);
    if (k.j->role == JOURNAL_SEARCH) {
        kit_hello(&k, 2, k.j->promise.term, 1, 1);
        kit_wait(&k, 300);
    }
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    term = k.j->promise.term;
    m = kit_from(&k, 3, JMSG_VOTE, 1, term);
    m.session = 2003;
    m.held_term = 1;
    m.held_index = 1;
    m.vote.incarnation = 101;
    m.vote.granted = true;
    kit_hear(&k, &m);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    kit_vote(&k, 2, term, true);
    assert_true(journal_is_coordinator(k.j));
    kit_end(&k);
}

static void a10_a_write_that_ends_after_the_store_was_given_up_starts_nothing(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    k.hold = true;
    kit_append(&k, 2, 1, &l, 0, 1, 0);
    m = kit_from(&k, 3, JMSG_RECALL, 1, 1);
    m.recall.incarnation = 101;
    m.recall.session = k.config.session;
    m.recall.term = 9;
    m.recall.index = 9;
    kit_hear(&k, &m);
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 1);
    kit_forget(&k);
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_int_equal(k.j->role, JOURNAL_WAITING);
    assert_int_equal(k.n_sent, 0);
    jlog_fini(&l);
    kit_end(&k);
}

static void a10_a_journal_whose_place_was_taken_is_set_aside(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_ack(&k, 2, 1, 1);
    hello_empty(&k, 3, 555);
    kit_ack(&k, 2, 1, 2);
    kit_wait(&k, 200);
    kit_forget(&k);
    kit_hello(&k, 3, 1, 1, 1); /* its old disk is back */
    assert_true(kit_sent(&k, JMSG_RECALL, &m));
    assert_true(m.recall.gone && m.recall.incarnation == 103);
    kit_end(&k);
}

/* A9: whoever was removed is told so and sets its journal aside; added anew, it comes as a new one. */
static void a9_a_removed_node_is_told(void **unused)
{
    struct journal_event ev = {.type = JOURNAL_EV_MEMBER_REMOVE};
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_ack(&k, 2, 1, 1);
    kit_ack(&k, 3, 1, 1);
    ev.member.node = 3;
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    assert_false(journal_members_settled(k.j));
    kit_forget(&k);
    kit_hello(&k, 3, 1, 1, 1);
    assert_false(kit_sent(&k, JMSG_RECALL, &m)); /* not yet committed: it may still be undone */
    kit_ack(&k, 2, 1, 2);
    assert_true(journal_members_settled(k.j));
    assert_null(member(&k, 3));
    kit_hello(&k, 3, 1, 1, 1);
    assert_true(kit_sent(&k, JMSG_RECALL, &m));
    assert_true(m.recall.gone && m.recall.incarnation == 103);
    kit_forget(&k);
    ev.type = JOURNAL_EV_MEMBER_ADD;
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    kit_ack(&k, 2, 1, 3);
    hello_empty(&k, 3, 555); /* it has set its journal aside */
    kit_ack(&k, 2, 1, 4);
    assert_int_equal(member(&k, 3)->incarnation, 555);
    assert_int_equal(member(&k, 3)->votes, 0);
    kit_end(&k);
}

static void a10_journals_of_different_clusters_never_merge(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    for (int i = 0; i < 3; i++) {
        m = kit_from(&k, 3, JMSG_HELLO, 0, 99);
        m.cluster.lo = 8;
        kit_hear(&k, &m);
    }
    assert_int_equal(k.said[JOURNAL_ALARM], 1);
    assert_int_equal(k.j->dropped_foreign, 3);
    assert_int_equal(k.j->promise.term, 0);
    kit_end(&k);
}

/* -------------------------------------------------------------------------------------- first creation */

static void creation_needs_all_configured_nodes_present_and_empty(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin_empty(&k, 1, 3);
    hello_empty(&k, 2, 102);
    kit_wait(&k, 300);
    assert_int_equal(k.said[JOURNAL_CREATED], 0);
    hello_empty(&k, 2, 102);
    k.hold = true;
    hello_empty(&k, 3, 103);
    assert_non_null(k.persist.install);
    assert_int_equal(kit_count(&k, JMSG_BOOTSTRAP), 0); /* first the own disk */
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_true(kit_sent(&k, JMSG_BOOTSTRAP, &m));
    assert_int_equal(m.bootstrap.n, 3);
    assert_int_equal(m.bootstrap.v[2].incarnation, 103);
    assert_int_equal(m.bootstrap.v[2].votes, 1);
    k.hold = false;
    kit_restart(&k); /* it repeats it, out of its store */
    kit_forget(&k);
    hello_empty(&k, 3, 103);
    assert_true(kit_sent(&k, JMSG_BOOTSTRAP, &m));
    assert_int_equal(m.to, 3);
    kit_end(&k);

    kit_begin_empty(&k, 1, 3); /* one that is not empty stops it: there is a cluster */
    hello_empty(&k, 2, 102);
    kit_hello(&k, 3, 4, 4, 4);
    hello_empty(&k, 2, 102);
    kit_wait(&k, 300);
    assert_int_equal(k.said[JOURNAL_CREATED], 0);
    kit_end(&k);

    kit_begin_empty(&k, 2, 3); /* and only the lowest does it */
    hello_empty(&k, 1, 101);
    hello_empty(&k, 3, 103);
    kit_wait(&k, 300);
    assert_int_equal(k.said[JOURNAL_CREATED], 0);
    kit_end(&k);
}

static void an_empty_node_takes_the_base_that_lists_its_very_journal(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin_empty(&k, 2, 3);
    m = kit_from(&k, 1, JMSG_BOOTSTRAP, 0, 0);
    m.bootstrap.n = 3;
    for (uint32_t i = 0; i < 3; i++) {
        m.bootstrap.v[i] = (struct journal_member){i + 1, 101 + i, 1, JOURNAL_NODE};
    }
    m.bootstrap.v[1].incarnation = 4711;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_CREATED], 0);
    m.bootstrap.v[1].incarnation = 102;
    m.bootstrap.v[2].incarnation = 1; /* damaged: no log would ever continue this base */
    kit_hear(&k, &m);
    m.bootstrap.v[2].incarnation = 103;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_CREATED], 0);
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_CREATED], 1);
    assert_true(jvoters_self(k.j));
    assert_true(journal_uuid_eq(k.j->cluster, m.cluster));
    kit_end(&k);
}

static void an_empty_node_never_votes(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin_empty(&k, 2, 3);
    kit_forget(&k);
    m = kit_from(&k, 1, JMSG_STAND, 0, 1);
    kit_hear(&k, &m);
    assert_int_equal(k.n_sent, 0);
    kit_end(&k);
}

static void nothing_is_said_before_the_incarnation_is_on_the_disk(void **unused)
{
    struct journal_config c = {.node = 1, .session = 5};
    struct journal_load load = {.fresh = {77, {1, 1}}};
    struct journal_event start = {.type = JOURNAL_EV_START, .now_ms = 1};
    struct journal_event tick = {.type = JOURNAL_EV_TICK, .now_ms = 5000};
    struct journal_event done = {.type = JOURNAL_EV_PERSISTED, .now_ms = 5000};
    struct journal *j = journal_new(&c);
    struct journal_actions out;

    (void)unused;
    assert_int_equal(journal_step(j, &start, &out), RC_USAGE); /* nothing loaded */
    assert_int_equal(journal_load(j, &load), RC_OK);
    assert_int_equal(journal_step(j, &start, &out), RC_OK);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.v[0].type, JOURNAL_PERSIST);
    assert_int_equal(out.v[0].persist.incarnation, 77);
    assert_int_equal(out.v[0].persist.mark.incarnation, 77);
    done.persisted.seq = out.v[0].persist.seq;
    assert_int_equal(journal_step(j, &tick, &out), RC_OK);
    assert_int_equal(out.n, 0);
    assert_int_equal(journal_step(j, &done, &out), RC_OK);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.v[0].type, JOURNAL_SEND);
    journal_free(j);
}

static void an_operator_may_create_with_fewer(void **unused)
{
    struct journal_event ev = {.type = JOURNAL_EV_CREATE};
    struct kit k;

    (void)unused;
    kit_begin_empty(&k, 1, 3);
    kit_view(&k, false, 2, 1U, 2U);
    hello_empty(&k, 2, 102);
    assert_int_equal(kit_step(&k, &ev), RC_NO_QUORUM); /* another part could do the same */
    kit_view(&k, true, 1, 1U);
    kit_view(&k, true, 2, 1U, 2U);
    assert_int_equal(kit_step(&k, &ev), RC_BUSY); /* node 2 has not said what it has */
    hello_empty(&k, 2, 102);
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    assert_int_equal(member(&k, 2)->votes, 1);
    assert_int_equal(member(&k, 3)->votes, 0);
    assert_int_equal(member(&k, 3)->incarnation, 0);
    assert_int_equal(kit_step(&k, &ev), RC_REFUSED);
    kit_end(&k);

    kit_begin_empty(&k, 1, 3);
    kit_hello(&k, 2, 4, 4, 4);
    kit_hello(&k, 3, 4, 4, 4);
    assert_int_equal(kit_step(&k, &ev), RC_REFUSED); /* there is a cluster */
    kit_end(&k);
}

/* It was empty when it said so last; since then it has been taken in, and acknowledges entries to others. */
static void a10_whoever_names_a_cluster_is_not_empty(void **unused)
{
    struct journal_event ev = {.type = JOURNAL_EV_CREATE};
    struct kit k;
    struct jmsg m;

    (void)unused;
    for (unsigned told = 0; told < 2; told++) {
        kit_begin_empty(&k, 1, 3);
        hello_empty(&k, 2, 102);
        m = kit_from(&k, 2, JMSG_ACK, 3, 1);
        m.ack.ok = true;
        m.ack.index = m.ack.last = 1;
        if (told) {
            kit_hear(&k, &m);
        }
        hello_empty(&k, 3, 103);
        assert_int_equal(k.said[JOURNAL_CREATED], !told);
        assert_int_equal(kit_step(&k, &ev), RC_REFUSED);
        kit_end(&k);
    }
}

static void the_status_says_who_is_missing(void **unused)
{
    struct journal_status s;
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_view(&k, true, 1, 1U);
    journal_status(k.j, &s);
    assert_false(s.open);
    assert_string_equal(s.why, "2 of 3 votes needed, have 1: missing node 2, 3");
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a9_a_set_is_in_force_when_appended_and_undone_when_cut),
        cmocka_unit_test(a9_one_change_at_a_time_and_only_in_an_open_term),
        cmocka_unit_test(a9_a_removal_that_could_not_go_on_is_refused),
        cmocka_unit_test(a9_the_logs_set_decides_an_election),
        cmocka_unit_test(a9_a_coordinator_that_was_removed_resigns_after_the_commit),
        cmocka_unit_test(a9_who_removed_itself_may_stand_until_that_is_committed),
        cmocka_unit_test(a10_the_vote_of_another_incarnation_does_not_count),
        cmocka_unit_test(a10_an_amnesiac_goes_out_by_one_change_and_in_by_another),
        cmocka_unit_test(a10_a_lost_journal_is_not_replaced_when_the_rest_could_not_go_on),
        cmocka_unit_test(a10_a_shortened_store_is_set_aside),
        cmocka_unit_test(a10_a_store_without_its_mark_is_set_aside),
        cmocka_unit_test(a10_peers_remember_what_was_acknowledged),
        cmocka_unit_test(a10_a_recall_counts_in_a_later_term_too),
        cmocka_unit_test(a10_any_message_tells_what_the_store_held),
        cmocka_unit_test(a10_the_vote_and_the_word_of_an_amnesiac_do_not_count),
        cmocka_unit_test(a10_a_write_that_ends_after_the_store_was_given_up_starts_nothing),
        cmocka_unit_test(a10_a_journal_whose_place_was_taken_is_set_aside),
        cmocka_unit_test(a9_a_removed_node_is_told),
        cmocka_unit_test(a10_journals_of_different_clusters_never_merge),
        cmocka_unit_test(creation_needs_all_configured_nodes_present_and_empty),
        cmocka_unit_test(an_empty_node_takes_the_base_that_lists_its_very_journal),
        cmocka_unit_test(an_empty_node_never_votes),
        cmocka_unit_test(nothing_is_said_before_the_incarnation_is_on_the_disk),
        cmocka_unit_test(an_operator_may_create_with_fewer),
        cmocka_unit_test(a10_whoever_names_a_cluster_is_not_empty),
        cmocka_unit_test(the_status_says_who_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
