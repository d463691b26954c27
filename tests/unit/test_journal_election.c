/* A1 to A3, A8: views, terms, votes, deadlines. */
#include "tests/unit/journal_kit.h"

/* ---------------------------------------------------------------------------------------------------- A1 */

static void a1_a_view_without_the_coordinator_is_answered_at_once(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "3");
    kit_follow(&k, 3, 1, &l, 1);
    kit_forget(&k);
    kit_view(&k, true, 2, 1U, 2U);
    assert_int_equal(k.said[JOURNAL_SEARCHING], 1);
    assert_true(kit_sent(&k, JMSG_HELLO, &m));
    assert_int_equal(m.hello.last_index, 1);
    kit_hello(&k, 2, 1, 1, 1);
    assert_true(kit_sent(&k, JMSG_STAND, &m)); /* no time-out was waited for */
    assert_int_equal(m.term, 2);
    jlog_fini(&l);
    kit_end(&k);
}

static void a1_a_coordinator_without_a_majority_in_its_view_resigns(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_view(&k, true, 2, 1U, 2U);
    assert_true(journal_is_coordinator(k.j));
    kit_view(&k, true, 1, 1U); /* whatever corosync says of quorum: the voters count */
    assert_false(journal_is_coordinator(k.j));
    assert_int_equal(k.said[JOURNAL_RESIGNED], 1);
    assert_int_equal(kit_propose(&k, "x"), RC_REFUSED);
    kit_end(&k);
}

/* Found by a fuzzer: taken over, the last term that a message can carry would have left none to stand in. */
static void a1_a_term_out_of_all_reach_is_damage(void **unused)
{
    struct journal_status st;
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_hello(&k, 3, JOURNAL_TERM_MAX - 1, 0, 0);
    journal_status(k.j, &st);
    assert_int_equal(st.term, 0);
    kit_hello(&k, 3, JOURNAL_TERM_STEP_MAX, 0, 0);
    journal_status(k.j, &st);
    assert_int_equal(st.term, JOURNAL_TERM_STEP_MAX);
    kit_end(&k);
}

static void a1_what_an_older_term_sent_is_dropped_and_its_sender_is_told(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_hello(&k, 3, 5, 0, 0); /* term 5 exists */
    kit_forget(&k);
    kit_append(&k, 2, 1, &l, 0, 1, 1);
    assert_int_equal(jlog_last(&k.j->log), 0);
    assert_int_equal(kit_count(&k, JMSG_ACK), 0);
    assert_true(kit_sent(&k, JMSG_HELLO, &m));
    assert_int_equal(m.term, 5);
    assert_int_equal(k.j->dropped_old, 1);
    jlog_fini(&l);
    kit_end(&k);
}

static void a1_a_higher_term_ends_a_coordinator(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_hello(&k, 3, 9, 0, 0);
    assert_false(journal_is_coordinator(k.j));
    assert_int_equal(k.j->promise.term, 9);
    assert_int_equal(k.j->promise.node, 0);
    kit_end(&k);
}

/* ---------------------------------------------------------------------------------------------------- A2 */

static void a2_nothing_is_proposed_before_the_terms_own_entry_is_committed(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, false);
    assert_int_equal(kit_propose(&k, "x"), RC_NO_QUORUM);
    kit_ack(&k, 2, 1, 1);
    assert_true(journal_is_open(k.j));
    assert_int_equal(k.said[JOURNAL_OPENED], 1);
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    assert_int_equal(jlog_last(&k.j->log), 2);
    kit_end(&k);
}

static void a2_corosyncs_quorum_may_stop_us_and_never_allows_us(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_view(&k, false, 3, 1U, 2U, 3U);
    assert_false(journal_is_open(k.j));
    assert_int_equal(kit_propose(&k, "x"), RC_NO_QUORUM);
    kit_view(&k, true, 3, 1U, 2U, 3U);
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    kit_end(&k);

    kit_begin(&k, 1, 3); /* and nobody stands while it has not spoken */
    kit_view(&k, false, 3, 1U, 2U, 3U);
    kit_hello(&k, 2, 0, 0, 0);
    kit_hello(&k, 3, 0, 0, 0);
    kit_wait(&k, 390);
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    kit_end(&k);
}

static void a2_a_member_sees_the_term_open_only_with_its_entry_committed(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_follow(&k, 2, 1, &l, 1);
    assert_true(journal_is_open(k.j));
    kit_write(&l, 2, JOURNAL_OPEN, "3");
    kit_append(&k, 3, 2, &l, 1, 2, 1); /* a new term; what is committed is of the old one */
    assert_false(journal_is_open(k.j));
    kit_append(&k, 3, 2, &l, 2, 2, 2);
    assert_true(journal_is_open(k.j));
    jlog_fini(&l);
    kit_end(&k);
}

/* ---------------------------------------------------------------------------------------------------- A3 */

static void a3_the_best_log_stands_first_and_ties_go_to_the_lowest_id(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(kit_count(&k, JMSG_STAND), 0); /* node 3 is in the view and may be better */
    kit_hello(&k, 3, 0, 0, 0);
    assert_int_equal(kit_count(&k, JMSG_STAND), 1);
    kit_end(&k);

    kit_begin(&k, 2, 3);
    kit_hello(&k, 1, 0, 0, 0);
    kit_hello(&k, 3, 0, 0, 0);
    assert_int_equal(kit_count(&k, JMSG_STAND), 0); /* node 1 goes first */
    kit_hello(&k, 1, 0, 0, 0);
    kit_wait(&k, 200);
    kit_hello(&k, 1, 0, 0, 0);
    kit_hello(&k, 3, 0, 0, 0);
    kit_wait(&k, 200);
    assert_int_equal(kit_count(&k, JMSG_STAND) > 0, 1); /* it did not: the fallback */
    kit_end(&k);

    kit_begin(&k, 1, 3);
    kit_hello(&k, 2, 1, 1, 4); /* better than us, and so is node 3: no majority would take us */
    kit_hello(&k, 3, 1, 1, 3);
    for (int i = 0; i < 20; i++) {
        kit_wait(&k, 100);
        kit_hello(&k, 2, 1, 1, 4);
        kit_hello(&k, 3, 1, 1, 3);
    }
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    kit_end(&k);
}

static void a3_who_has_heard_all_stands_as_soon_as_corosync_has_quorum(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_view(&k, false, 2, 1U, 2U);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    kit_view(&k, true, 2, 1U, 2U);
    assert_int_equal(kit_count(&k, JMSG_STAND), 1);
    kit_end(&k);

    kit_begin(&k, 1, 3); /* but not against one that it has just voted for */
    kit_view(&k, false, 2, 1U, 2U);
    kit_hello(&k, 2, 0, 0, 0);
    m = kit_from(&k, 2, JMSG_STAND, 0, 1);
    kit_hear(&k, &m);
    assert_int_equal(kit_count(&k, JMSG_VOTE), 1);
    kit_view(&k, true, 2, 1U, 2U);
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    kit_end(&k);
}

static void a3_an_amnesiac_in_the_view_delays_nobody(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    m = kit_from(&k, 3, JMSG_HELLO, 0, 0);
    m.cluster = (struct journal_uuid){0, 0};
    m.incarnation = 999;
    kit_hear(&k, &m);
    kit_hello(&k, 2, 0, 0, 0);
    assert_int_equal(kit_count(&k, JMSG_STAND), 1);
    kit_end(&k);
}

static void a3_nobody_stands_while_a_majority_hears_its_coordinator(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    for (int i = 0; i < 20; i++) {
        m = kit_from(&k, 2, JMSG_HELLO, 0, 0);
        m.hello.flags = 0; /* it follows somebody */
        kit_hear(&k, &m);
        kit_wait(&k, 100);
    }
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    assert_int_equal(k.j->promise.term, 0);
    kit_end(&k);
}

static void a3_the_promise_is_on_the_disk_before_it_is_spoken(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 2, 3);
    k.hold = true;
    m = kit_from(&k, 1, JMSG_STAND, 0, 1);
    kit_hear(&k, &m);
    assert_int_equal(kit_count(&k, JMSG_VOTE), 0);
    assert_int_equal(k.persist.promise.term, 1);
    assert_int_equal(k.persist.promise.node, 1);
    assert_int_equal(k.persist.promise.incarnation, 101);
    assert_int_equal(k.persist.mark.term, 1);
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_true(m.vote.granted && m.to == 1 && m.vote.incarnation == 101 && m.incarnation == 102);
    kit_end(&k);

    kit_begin(&k, 1, 3); /* a candidate's own one as well */
    k.hold = true;
    kit_hello(&k, 2, 0, 0, 0);
    kit_hello(&k, 3, 0, 0, 0);
    assert_int_equal(k.j->role, JOURNAL_CANDIDATE);
    assert_int_equal(kit_count(&k, JMSG_STAND), 0);
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_int_equal(kit_count(&k, JMSG_STAND), 1);
    kit_end(&k);
}

static void a3_one_candidate_a_term_also_over_a_restart(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 2, 3);
    m = kit_from(&k, 1, JMSG_STAND, 0, 1);
    kit_hear(&k, &m);
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_STAND, 0, 1);
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_false(m.vote.granted);
    kit_restart(&k);
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_STAND, 0, 1);
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_false(m.vote.granted);
    m = kit_from(&k, 1, JMSG_STAND, 0, 1); /* a repeat is allowed … */
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_true(m.vote.granted && m.to == 1);
    kit_forget(&k);
    m = kit_from(&k, 1, JMSG_STAND, 0, 1); /* … to the same journal of that node only (A10) */
    m.incarnation = 777;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_false(m.vote.granted);
    kit_end(&k);
}

static void a3_no_vote_for_a_log_that_is_behind(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 3, JOURNAL_OPEN, "2");
    kit_follow(&k, 2, 3, &l, 0);
    m = kit_from(&k, 3, JMSG_STAND, 0, 4);
    m.stand.last_term = 2; /* longer, of an older term */
    m.stand.last_index = 9;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_false(m.vote.granted);
    m = kit_from(&k, 3, JMSG_STAND, 0, 5);
    m.stand.last_term = 3; /* as new, shorter */
    m.stand.last_index = 1;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_false(m.vote.granted);
    m = kit_from(&k, 3, JMSG_STAND, 0, 6);
    m.stand.last_term = 3;
    m.stand.last_index = 2;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_VOTE, &m));
    assert_true(m.vote.granted);
    jlog_fini(&l);
    kit_end(&k);
}

static void a3_a_coordinator_that_hangs_in_the_view_is_missed_after_e_ms(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "3");
    kit_follow(&k, 3, 1, &l, 1);
    kit_forget(&k);
    for (int i = 0; i < 10; i++) {
        kit_wait(&k, 300);
        kit_append(&k, 3, 1, &l, 1, 1, 1); /* heartbeats keep it */
    }
    assert_int_equal(k.said[JOURNAL_SEARCHING], 0);
    kit_wait(&k, 390);
    assert_int_equal(k.said[JOURNAL_SEARCHING], 0);
    kit_wait(&k, 20);
    assert_int_equal(k.said[JOURNAL_SEARCHING], 1);
    assert_int_equal(kit_count(&k, JMSG_HELLO), 1);
    jlog_fini(&l);
    kit_end(&k);
}

static void a3_two_coordinators_of_one_term_stop_whoever_sees_them(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_follow(&k, 2, 1, &l, 0);
    kit_append(&k, 3, 1, &l, 0, 1, 0);
    assert_int_equal(k.j->role, JOURNAL_FOLLOWER); /* one message may be damaged: it is dropped */
    assert_int_equal(k.j->coordinator, 2);
    kit_append(&k, 3, 1, &l, 0, 1, 0);
    assert_int_equal(k.said[JOURNAL_ALARM], 1);
    assert_int_equal(k.j->role, JOURNAL_STOPPED);
    jlog_fini(&l);
    kit_end(&k);
}

static void a3_a_resigned_coordinator_is_followed_by_another(void **unused)
{
    struct journal_event ev = {.type = JOURNAL_EV_RESIGN};
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    assert_int_equal(kit_step(&k, &ev), RC_REFUSED);
    kit_elect(&k, true);
    kit_forget(&k);
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    assert_false(journal_is_coordinator(k.j));
    assert_true(kit_sent(&k, JMSG_HELLO, &m));
    assert_int_equal(m.hello.flags, HELLO_SEARCHING); /* and it would not stand itself */
    kit_end(&k);

    kit_begin(&k, 1, 3); /* its members hear that and search at once */
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "3");
    kit_follow(&k, 3, 1, &l, 1);
    m = kit_from(&k, 3, JMSG_HELLO, 0, 1);
    kit_hear(&k, &m);
    assert_int_equal(k.j->role, JOURNAL_SEARCH);
    jlog_fini(&l);
    kit_end(&k);
}

/* ---------------------------------------------------------------------------------------------------- A8 */

static void a8_a_majority_goes_on_without_the_silent(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    for (int i = 0; i < 50; i++) {
        kit_wait(&k, 100);
        assert_int_equal(kit_propose(&k, "x"), RC_OK);
        kit_ack(&k, 2, 1, jlog_last(&k.j->log)); /* node 3 says nothing for five seconds */
        assert_int_equal(k.j->commit, jlog_last(&k.j->log));
        kit_forget(&k);
    }
    assert_true(journal_is_open(k.j));
    kit_end(&k);
}

static void a8_a_coordinator_that_cannot_commit_resigns(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    for (int i = 0; i < 19; i++) {
        kit_wait(&k, 100);
        kit_ack(&k, 2, 1, 1); /* they answer, and store nothing */
        kit_ack(&k, 3, 1, 1);
        kit_forget(&k);
    }
    assert_true(journal_is_coordinator(k.j));
    kit_wait(&k, 110);
    assert_false(journal_is_coordinator(k.j));
    assert_string_equal(k.text, "nothing could be committed in time");
    kit_end(&k);
}

static void a8_a_coordinator_at_rest_that_nobody_answers_resigns(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_forget(&k);
    kit_wait(&k, 1900);
    assert_true(journal_is_coordinator(k.j));
    kit_wait(&k, 200);
    assert_false(journal_is_coordinator(k.j));
    kit_end(&k);
}

static void a_cluster_at_rest_writes_nothing(void **unused)
{
    struct kit k;
    struct jlog l;
    unsigned before;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    before = k.persists;
    for (int i = 0; i < 100; i++) {
        kit_wait(&k, 100);
        kit_ack(&k, 2, 1, 1);
        kit_forget(&k);
    }
    assert_int_equal(k.persists, before);
    kit_end(&k);

    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "3");
    kit_follow(&k, 3, 1, &l, 1);
    before = k.persists;
    for (int i = 0; i < 100; i++) {
        kit_wait(&k, 100);
        kit_append(&k, 3, 1, &l, 1, 1, 1);
        kit_forget(&k);
    }
    assert_int_equal(k.persists, before);
    jlog_fini(&l);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a1_a_view_without_the_coordinator_is_answered_at_once),
        cmocka_unit_test(a1_a_coordinator_without_a_majority_in_its_view_resigns),
        cmocka_unit_test(a1_a_term_out_of_all_reach_is_damage),
        cmocka_unit_test(a1_what_an_older_term_sent_is_dropped_and_its_sender_is_told),
        cmocka_unit_test(a1_a_higher_term_ends_a_coordinator),
        cmocka_unit_test(a2_nothing_is_proposed_before_the_terms_own_entry_is_committed),
        cmocka_unit_test(a2_corosyncs_quorum_may_stop_us_and_never_allows_us),
        cmocka_unit_test(a2_a_member_sees_the_term_open_only_with_its_entry_committed),
        cmocka_unit_test(a3_the_best_log_stands_first_and_ties_go_to_the_lowest_id),
        cmocka_unit_test(a3_who_has_heard_all_stands_as_soon_as_corosync_has_quorum),
        cmocka_unit_test(a3_an_amnesiac_in_the_view_delays_nobody),
        cmocka_unit_test(a3_nobody_stands_while_a_majority_hears_its_coordinator),
        cmocka_unit_test(a3_the_promise_is_on_the_disk_before_it_is_spoken),
        cmocka_unit_test(a3_one_candidate_a_term_also_over_a_restart),
        cmocka_unit_test(a3_no_vote_for_a_log_that_is_behind),
        cmocka_unit_test(a3_a_coordinator_that_hangs_in_the_view_is_missed_after_e_ms),
        cmocka_unit_test(a3_two_coordinators_of_one_term_stop_whoever_sees_them),
        cmocka_unit_test(a3_a_resigned_coordinator_is_followed_by_another),
        cmocka_unit_test(a8_a_majority_goes_on_without_the_silent),
        cmocka_unit_test(a8_a_coordinator_that_cannot_commit_resigns),
        cmocka_unit_test(a8_a_coordinator_at_rest_that_nobody_answers_resigns),
        cmocka_unit_test(a_cluster_at_rest_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
