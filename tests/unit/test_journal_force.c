/* Forced quorum (A16): who may, what it takes, and what becomes of those that were given up. */
#include "tests/unit/journal_kit.h"

static int force(struct kit *k, unsigned n, const uint32_t *given)
{
    struct journal_event ev = {.type = JOURNAL_EV_FORCE};

    ev.force.given = given;
    ev.force.n = n;
    ev.force.payload = "why";
    ev.force.len = 3;
    return kit_step(k, &ev);
}

static const struct journal_member *member(const struct kit *k, uint32_t node)
{
    return jvoters_find(&k->j->members, node);
}

/* Node 1 of three is alone, and forces. */
static void forced(struct kit *k)
{
    static const uint32_t others[] = {2, 3};

    kit_begin(k, 1, 3);
    kit_view(k, true, 1, 1U);
    assert_int_equal(force(k, 2, others), RC_OK);
    assert_true(journal_is_coordinator(k->j) && journal_is_open(k->j));
}

static void a16_the_last_one_goes_on(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    forced(&k);
    assert_true(k.j->promise.term >= JOURNAL_FORCE_STEP);
    assert_int_equal(k.commit, 3);
    assert_int_equal(journal_entry_at(k.j, 1)->kind, JOURNAL_OPEN);
    assert_int_equal(journal_entry_at(k.j, 2)->kind, JOURNAL_CONFIG);
    assert_memory_equal(journal_entry_at(k.j, 3)->payload, "why", 3);
    assert_int_equal(jvoters_votes(&k.j->members), 1);
    assert_int_equal(member(&k, 2)->incarnation, 0);
    assert_int_equal(k.j->members.forced, k.j->promise.term);
    kit_wait(&k, 200);
    assert_true(kit_sent(&k, JMSG_APPEND, &m) && m.line == k.j->promise.term);
    /* What it is lasts. */
    kit_restart(&k);
    assert_int_equal(jvoters_votes(&k.j->members), 1);
    assert_int_equal(k.j->line, k.j->members.forced);
    kit_end(&k);
}

static void a16_is_refused_where_it_is_not_the_way_out(void **unused)
{
    static const uint32_t one[] = {3}, two[] = {3, 4}, three[] = {3, 4, 5}, self[] = {1, 3, 4, 5};
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 5);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(force(&k, 3, three), RC_REFUSED); /* N3: they are in the view */
    kit_view(&k, false, 1, 1U);
    kit_view(&k, false, 2, 1U, 2U);
    assert_int_equal(force(&k, 3, three), RC_BUSY); /* node 2 has not said what it has */
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(force(&k, 4, self), RC_REFUSED);
    assert_int_equal(force(&k, 0, NULL), RC_BUSY);
    assert_int_equal(force(&k, 1, one), RC_BUSY); /* nodes 4 and 5 are neither here nor given up */
    assert_int_equal(force(&k, 2, two), RC_BUSY);
    kit_hello(&k, 2, 7, 3, 4);
    assert_int_equal(force(&k, 3, three), RC_REFUSED); /* it has the better log: force there */
    kit_end(&k);
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_view(&k, true, 2, 1U, 2U);
    assert_int_equal(force(&k, 1, one), RC_REFUSED); /* there is a coordinator */
    kit_end(&k);
    kit_begin(&k, 1, 3);
    kit_view(&k, true, 2, 1U, 2U);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(force(&k, 1, one), RC_REFUSED); /* two of three are a majority without it */
    kit_end(&k);
}

/* Node 2 has no vote in the log of node 1; by its own it may have one, and then it is heard. */
static void a16_one_without_a_vote_begins_anew(void **unused)
{
    static const uint32_t given[] = {3, 4, 5};
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 5);
    kit_view(&k, true, 2, 1U, 2U);
    k.j->members.v[1].votes = 0;
    m = kit_from(&k, 2, JMSG_HELLO, 0, 3);
    m.hello.last_term = 3;
    m.hello.last_index = 9;
    m.hello.flags = HELLO_SEARCHING | HELLO_WILLING;
    kit_hear(&k, &m);
    assert_int_equal(force(&k, 3, given), RC_REFUSED); /* force there */
    m.hello.flags = HELLO_SEARCHING;
    kit_hear(&k, &m);
    assert_int_equal(force(&k, 3, given), RC_OK);
    assert_true(journal_is_coordinator(k.j));
    assert_int_equal(member(&k, 2)->incarnation, 0);
    kit_end(&k);
}

/* Node 4 is no member by the log of node 1: it may be the other way round, by an entry that is not here. */
static void a16_whoever_is_here_is_asked_what_it_has(void **unused)
{
    static const uint32_t given[] = {2, 3};
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_view(&k, true, 2, 1U, 4U);
    assert_int_equal(force(&k, 2, given), RC_BUSY);
    m = kit_from(&k, 4, JMSG_HELLO, 0, 3);
    m.hello.last_term = 3;
    m.hello.last_index = 9;
    kit_hear(&k, &m);
    assert_int_equal(force(&k, 2, given), RC_REFUSED);
    m.hello.flags = HELLO_SEARCHING; /* nor has it a vote by its own */
    kit_hear(&k, &m);
    assert_int_equal(force(&k, 2, given), RC_OK);
    kit_end(&k);
}

/* Two of five: the other survivor must agree, those given up cannot. */
static void a16_the_survivors_elect(void **unused)
{
    static const uint32_t given[] = {3, 4, 5};
    struct kit k;
    uint64_t term;

    (void)unused;
    kit_begin(&k, 1, 5);
    kit_view(&k, false, 2, 1U, 2U);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(force(&k, 3, given), RC_OK);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    term = k.j->promise.term;
    kit_vote(&k, 3, term, true);
    kit_vote(&k, 4, term, true);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    kit_vote(&k, 2, term, true);
    assert_true(journal_is_coordinator(k.j));
    kit_ack(&k, 3, term, 3);
    kit_ack(&k, 4, term, 3);
    assert_int_equal(k.commit, 0);
    kit_ack(&k, 2, term, 3);
    assert_int_equal(k.commit, 3);
    assert_false(journal_is_open(k.j)); /* A2: corosync has its say */
    kit_view(&k, true, 2, 1U, 2U);
    assert_true(journal_is_open(k.j));
    kit_end(&k);
}

/* All or nothing: the messages were split, and the other survivor has the OPEN, and then the set, alone.
 * Neither is committed, nor is what the old set had not committed: a crash now would leave the old set, or
 * one without its reason. */
static void a16_nothing_is_committed_before_the_set_and_its_reason(void **unused)
{
    static const uint32_t given[] = {3, 4, 5};
    struct kit k;
    struct jmsg m;
    uint64_t term;

    (void)unused;
    kit_begin(&k, 1, 5);
    kit_view(&k, true, 2, 1U, 2U);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(force(&k, 3, given), RC_OK);
    term = k.j->promise.term;
    kit_vote(&k, 2, term, true);
    for (uint64_t index = 1; index <= 2; index++) {
        kit_ack(&k, 2, term, index);
        assert_int_equal(k.commit, 0);
        assert_int_equal(k.j->line, 0);
        assert_false(journal_is_open(k.j)); /* A2, C2: nothing is launched */
        kit_wait(&k, 100);
        assert_true(kit_sent(&k, JMSG_APPEND, &m) && m.append.commit == 0);
    }
    kit_ack(&k, 2, term, 3);
    assert_int_equal(k.commit, 3);
    assert_true(kit_sent(&k, JMSG_APPEND, &m) && m.append.commit == 3 && m.line == term);
    assert_true(journal_is_open(k.j));
    kit_end(&k);
}

/* It comes to nothing: the set is the old one. */
static void a16_without_their_votes_nothing_has_changed(void **unused)
{
    static const uint32_t given[] = {3, 4, 5};
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 5);
    kit_view(&k, false, 2, 1U, 2U);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(force(&k, 3, given), RC_OK);
    kit_wait(&k, 1000);
    assert_int_equal(k.j->role, JOURNAL_SEARCH);
    assert_int_equal(jvoters_votes(&k.j->members), 5);
    assert_int_equal(k.j->members.forced, 0);
    kit_end(&k);
}

/* A10: whoever comes back finds its place empty; its journal is set aside, then it is taken in as a new one.
 */
static void a16_who_was_given_up_comes_back_without_a_vote(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    forced(&k);
    kit_view(&k, true, 2, 1U, 3U);
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_HELLO, 0, k.j->promise.term + 5); /* it has heard of the new term, and gone on */
    m.hello.last_term = 9;
    m.hello.last_index = 9;
    kit_hear(&k, &m);
    assert_true(journal_is_coordinator(k.j)); /* a term of the lower line deposes nobody */
    assert_true(kit_sent(&k, JMSG_RECALL, &m) && m.recall.gone && m.line == k.j->line);
    m = kit_from(&k, 3, JMSG_HELLO, 0, 0);
    m.cluster = (struct journal_uuid){0, 0};
    m.incarnation = 555;
    kit_hear(&k, &m);
    kit_wait(&k, 200);
    assert_int_equal(member(&k, 3)->incarnation, 555);
    assert_int_equal(member(&k, 3)->votes, 0);
    assert_int_equal(k.j->members.forced, k.j->promise.term); /* each later set has it too */
    kit_end(&k);
}

/* A coordinator of `term`, which claims `line`, has another entry 2 than the committed one. */
static void contradicted(uint64_t line, uint64_t term, enum journal_role role, const char *why)
{
    struct kit k;
    struct jlog l, other;
    struct jmsg m;
    struct buf b = BUF_INIT;
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};
    uint64_t ignored;

    kit_begin(&k, 3, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "never seen elsewhere");
    kit_follow(&k, 2, 1, &l, 2);
    assert_int_equal(k.commit, 2);
    kit_log(&k, &other);
    kit_write(&other, 1, JOURNAL_OPEN, "2");
    kit_write(&other, term, JOURNAL_OPEN, "1");
    kit_forget(&k);
    m = kit_from(&k, 1, JMSG_APPEND, 0, term);
    m.line = line;
    m.append.prev_index = 1;
    assert_true(jlog_describe(&other, 1, &m.append.prev_term, &m.append.prev_chain));
    assert_true(jlog_describe(&other, 2, &ignored, &m.append.last_chain));
    m.append.n = 1;
    jmsg_write(&b, &m);
    jmsg_write_entry(&b, jlog_at(&other, 2));
    ev.message.from = 1;
    ev.message.data = b.data;
    ev.message.len = b.len;
    if (line != 0) { /* one message may be damaged */
        assert_int_equal(kit_step(&k, &ev), RC_OK);
        assert_int_equal(k.j->role, JOURNAL_FOLLOWER);
    }
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], role == JOURNAL_WAITING);
    assert_int_equal(k.j->role, role);
    assert_int_equal(jlog_last(&k.j->log), 2);
    assert_int_equal(k.j->matched, 0);
    assert_false(kit_sent(&k, JMSG_ACK, &m));
    assert_true(why == NULL || strstr(k.text, why) != NULL);
    buf_fini(&b);
    jlog_fini(&l);
    jlog_fini(&other);
    kit_end(&k);
}

/* Its own extra entries are no alarm, and are named: the one exception to A7. */
static void a16_a_history_given_up_is_set_aside(void **unused)
{
    (void)unused;
    contradicted(JOURNAL_FORCE_STEP + 1, JOURNAL_FORCE_STEP + 1, JOURNAL_WAITING, "entries 2 to 2");
    contradicted(0, 2, JOURNAL_STOPPED, "A7");
}

/* The forced coordinator has lost its power before its store knew that the set is committed: elected again it
 * does not claim the line yet. Nothing is given up for that, and nothing is alarming. */
static void a16_a_line_that_is_not_claimed_yet_is_awaited(void **unused)
{
    (void)unused;
    contradicted(0, JOURNAL_FORCE_STEP + 1, JOURNAL_FOLLOWER, NULL);
}

/* A later change of the set that is not committed hides nothing of the line. */
static void a16_a_change_on_its_way_hides_no_line(void **unused)
{
    struct kit k;

    (void)unused;
    forced(&k);
    k.j->line = 0;                                 /* as after a start … */
    k.j->members_index = jlog_last(&k.j->log) + 1; /* … with a change that nobody has committed */
    jforce_committed(k.j);
    assert_int_equal(k.j->line, k.j->members.forced);
    kit_end(&k);
}

/* Those given up are a majority by their own word: as soon as they hear of the line, they rule no more. */
static void a16_a_majority_given_up_rules_no_more(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 2, 3);
    kit_elect(&k, true);
    m = kit_from(&k, 1, JMSG_HELLO, 0, 1);
    m.line = 1;
    kit_hear(&k, &m);
    kit_hear(&k, &m);
    assert_int_equal(k.j->dropped_garbage, 2); /* no force's step above any term */
    m.line = JOURNAL_FORCE_STEP;
    kit_hear(&k, &m);
    assert_int_equal(k.j->dropped_garbage, 3); /* nobody has heard of a term that he is below */
    m.term = JOURNAL_FORCE_STEP;
    m.to = 0;
    kit_hear(&k, &m);
    assert_true(journal_is_coordinator(k.j)); /* one message may be damaged */
    assert_int_equal(k.j->above, 0);
    kit_hear(&k, &m);
    assert_int_equal(k.j->role, JOURNAL_SEARCH);
    for (int i = 0; i < 20; i++) {
        kit_hello(&k, 3, k.j->promise.term, 1, 1);
        kit_wait(&k, 300);
        assert_int_equal(k.j->role, JOURNAL_SEARCH);
    }
    kit_end(&k);
}

/* An empty node that is taken in after a forced quorum answers each piece of the snapshot in the new line,
 * else the coordinator would not hear it. */
static void a16_a_snapshot_in_pieces_is_answered_in_its_line(void **unused)
{
    struct kit k, base;
    struct jmsg m;

    (void)unused;
    kit_begin(&base, 1, 3);
    kit_begin_empty(&k, 3, 3);
    m = kit_from(&k, 1, JMSG_SNAPSHOT, 3, JOURNAL_FORCE_STEP);
    m.line = JOURNAL_FORCE_STEP;
    m.snapshot.incarnation = 103;
    m.snapshot.meta = (struct journal_snapshot){.index = 9, .term = 3, .size = 8};
    m.snapshot.meta.members = base.j->snapshot.members;
    m.snapshot.data = (const uint8_t *)"half";
    m.snapshot.len = 4;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_SNAPSHOT_ACK, &m));
    assert_true(m.line == JOURNAL_FORCE_STEP && m.snapshot_ack.offset == 4);
    kit_end(&base);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a16_the_last_one_goes_on),
        cmocka_unit_test(a16_is_refused_where_it_is_not_the_way_out),
        cmocka_unit_test(a16_one_without_a_vote_begins_anew),
        cmocka_unit_test(a16_whoever_is_here_is_asked_what_it_has),
        cmocka_unit_test(a16_the_survivors_elect),
        cmocka_unit_test(a16_nothing_is_committed_before_the_set_and_its_reason),
        cmocka_unit_test(a16_without_their_votes_nothing_has_changed),
        cmocka_unit_test(a16_who_was_given_up_comes_back_without_a_vote),
        cmocka_unit_test(a16_a_history_given_up_is_set_aside),
        cmocka_unit_test(a16_a_line_that_is_not_claimed_yet_is_awaited),
        cmocka_unit_test(a16_a_change_on_its_way_hides_no_line),
        cmocka_unit_test(a16_a_majority_given_up_rules_no_more),
        cmocka_unit_test(a16_a_snapshot_in_pieces_is_answered_in_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
