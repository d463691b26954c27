/* A4 to A7: entries, the store, the match, the commit, snapshots. */
#include "tests/unit/journal_kit.h"

/* ---------------------------------------------------------------------------------------------------- A4 */

static void a4_a_gap_is_refused_and_the_member_says_where_it_stands(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    for (int i = 0; i < 5; i++) {
        kit_write(&l, 1, i ? JOURNAL_DATA : JOURNAL_OPEN, "x");
    }
    kit_append(&k, 2, 1, &l, 0, 2, 1);
    kit_forget(&k);
    kit_append(&k, 2, 1, &l, 3, 5, 1);
    assert_int_equal(jlog_last(&k.j->log), 2);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_false(m.ack.ok);
    assert_int_equal(m.ack.last, 2);
    assert_int_equal(m.ack.commit, 1);
    assert_true(hash_eq(m.ack.last_chain, jlog_at(&l, 2)->chain));
    kit_append(&k, 2, 1, &l, 2, 5, 1);
    assert_int_equal(jlog_last(&k.j->log), 5);
    jlog_fini(&l);
    kit_end(&k);
}

static void a4_entries_that_were_not_chained_by_their_author_are_dropped(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    l.v[l.head].chain.lo ^= 1;
    kit_append(&k, 2, 1, &l, 0, 1, 0);
    assert_int_equal(jlog_last(&k.j->log), 0);
    assert_int_equal(k.j->dropped_garbage, 1);
    jlog_fini(&l);
    kit_end(&k);
}

static void a4_one_full_disk_at_the_coordinator_costs_it_the_role(void **unused)
{
    struct kit k;
    uint64_t term;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    term = k.j->promise.term;
    k.hold = true;
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    kit_forget(&k);
    kit_persisted(&k, JOURNAL_PERSIST_FAILED);
    assert_int_equal(k.said[JOURNAL_RESIGNED], 1);
    assert_int_equal(k.said[JOURNAL_RELOAD], 1);
    assert_false(journal_is_coordinator(k.j));
    kit_ack(&k, 2, term, 2); /* the others have the entry: that is nothing to it any more */
    kit_ack(&k, 3, term, 2);
    assert_int_equal(k.j->commit, 1);
    assert_int_equal(kit_propose(&k, "y"), RC_REFUSED);
    kit_restart(&k); /* what the store had before; it does not go on in that term */
    assert_int_equal(k.j->promise.term, term);
    assert_int_equal(jlog_last(&k.j->log), 1);
    k.hold = false;
    kit_elect(&k, true);
    assert_true(k.j->promise.term > term);
    kit_end(&k);
}

static void a4_a_member_reads_its_store_again_before_it_answers(void **unused)
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
    kit_persisted(&k, JOURNAL_PERSIST_FAILED);
    assert_int_equal(k.said[JOURNAL_RELOAD], 1);
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_STAND, 0, 2);
    m.stand.last_term = 9;
    kit_hear(&k, &m);
    kit_append(&k, 2, 1, &l, 0, 1, 0);
    kit_wait(&k, 1000);
    assert_int_equal(k.n_sent, 0);
    jlog_fini(&l);
    kit_end(&k);
}

static void a4_after_a_failed_fsync_the_store_is_set_aside_the_coordinators_too(void **unused)
{
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    k.hold = true;
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    kit_forget(&k);
    kit_persisted(&k, JOURNAL_FSYNC_FAILED);
    assert_int_equal(k.said[JOURNAL_RESIGNED], 1);
    assert_int_equal(k.said[JOURNAL_SET_ASIDE], 1);
    assert_int_equal(k.said[JOURNAL_RELOAD], 0);
    k.hold = false;
    kit_load_empty(&k, 999);
    assert_true(journal_is_empty(k.j));
    assert_int_equal(k.j->incarnation, 999);
    kit_end(&k);
}

static void a4_a_term_and_index_is_used_once_also_over_a_restart(void **unused)
{
    struct kit k;
    uint64_t term;

    (void)unused;
    kit_begin(&k, 1, 1);
    kit_elect(&k, true);
    term = k.j->promise.term;
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    kit_restart(&k); /* alone, it is elected at once: in a new term */
    assert_true(journal_is_coordinator(k.j));
    assert_true(k.j->promise.term > term);
    kit_end(&k);
}

/* ---------------------------------------------------------------------------------------------------- A5 */

static void a5_what_differs_from_the_winners_log_is_cut_in_memory_and_in_the_store(void **unused)
{
    struct kit k;
    struct jlog a, b;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &a);
    kit_log(&k, &b);
    kit_write(&a, 1, JOURNAL_OPEN, "2");
    kit_write(&b, 1, JOURNAL_OPEN, "2");
    kit_write(&a, 1, JOURNAL_DATA, "lost");
    kit_write(&a, 1, JOURNAL_DATA, "lost too");
    kit_write(&b, 2, JOURNAL_OPEN, "3");
    kit_follow(&k, 2, 1, &a, 1);
    kit_append(&k, 3, 2, &b, 1, 2, 1);
    assert_int_equal(jlog_last(&k.j->log), 2);
    assert_int_equal(jlog_at(&k.j->log, 2)->term, 2);
    assert_int_equal(k.persist.truncate_from, 2);
    assert_int_equal(k.persist.first, 2);
    assert_int_equal(k.persist.last, 2);
    jlog_fini(&a);
    jlog_fini(&b);
    kit_end(&k);
}

static void a5_a_delayed_message_of_the_same_term_cuts_nothing(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_write(&l, 1, JOURNAL_DATA, "b");
    kit_follow(&k, 2, 1, &l, 0);
    kit_append(&k, 2, 1, &l, 0, 1, 0);
    assert_int_equal(jlog_last(&k.j->log), 3);
    jlog_fini(&l);
    kit_end(&k);
}

static void a5_the_coordinator_finds_where_a_members_log_matches(void **unused)
{
    struct kit k;
    struct jmsg m, out;
    struct hash chain;
    uint64_t term;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(kit_propose(&k, "x"), RC_OK);
    }
    kit_ack(&k, 2, 1, 11);
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_ACK, 1, 1);
    m.ack.last = 4; /* it has everything up to here */
    assert_true(jlog_describe(&k.j->log, 4, &term, &m.ack.last_chain));
    m.ack.commit = 2;
    assert_true(jlog_describe(&k.j->log, 2, &term, &m.ack.commit_chain));
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_APPEND, &out));
    assert_int_equal(out.to, 3);
    assert_int_equal(out.append.prev_index, 4);
    assert_int_equal(out.append.n, 7);
    kit_forget(&k);
    kit_wait(&k, 300);
    chain = m.ack.last_chain;
    m.ack.last = 11;
    m.ack.last_chain = (struct hash){1, 1}; /* its tail is another: begin at its commit mark */
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_APPEND, &out));
    assert_int_equal(out.append.prev_index, 2);
    kit_forget(&k);
    kit_wait(&k, 300);
    m.ack.commit_chain = chain; /* what it has committed is not ours: alarm, and it is not fed */
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_ALARM], 1);
    assert_true(journal_is_coordinator(k.j));
    kit_end(&k);
}

/* ---------------------------------------------------------------------------------------------------- A6 */

/* Figure 8 of the paper: an entry of an older term on a majority is not committed by that. */
static void a6_old_terms_commit_only_through_an_entry_of_the_open_term(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 5);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 2, JOURNAL_OPEN, "2");
    kit_follow(&k, 2, 2, &l, 1);
    kit_view(&k, true, 4, 1U, 3U, 4U, 5U);
    kit_elect(&k, false);
    assert_int_equal(jlog_last(&k.j->log), 3);
    kit_ack(&k, 3, k.j->promise.term, 2);
    kit_ack(&k, 4, k.j->promise.term, 2);
    kit_ack(&k, 5, k.j->promise.term, 2); /* entry 2 is on four of five disks */
    assert_int_equal(k.j->commit, 1);
    assert_false(journal_is_open(k.j));
    kit_ack(&k, 3, k.j->promise.term, 3);
    assert_int_equal(k.j->commit, 1);
    kit_ack(&k, 4, k.j->promise.term, 3);
    assert_int_equal(k.j->commit, 3);
    jlog_fini(&l);
    kit_end(&k);
}

static void a6_leftover_entries_are_not_acknowledged_as_the_new_coordinators(void **unused)
{
    struct kit k;
    struct jlog a, b;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &a);
    kit_log(&k, &b);
    kit_write(&a, 1, JOURNAL_OPEN, "2");
    kit_write(&b, 1, JOURNAL_OPEN, "2");
    kit_write(&a, 1, JOURNAL_DATA, "left over");
    kit_write(&a, 1, JOURNAL_DATA, "left over");
    kit_follow(&k, 2, 1, &a, 1);
    kit_forget(&k);
    kit_append(&k, 3, 2, &b, 1, 1, 1); /* a heartbeat of the new one: it matches at 1 */
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_true(m.ack.ok && m.to == 3);
    assert_int_equal(m.ack.index, 1);
    assert_int_equal(k.j->commit, 1);
    kit_append(&k, 3, 2, &b, 1, 1, 3); /* nor are they committed by its mark */
    assert_int_equal(k.j->commit, 1);
    jlog_fini(&a);
    jlog_fini(&b);
    kit_end(&k);
}

static void a6_an_acknowledgement_follows_the_disk(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_write(&l, 1, JOURNAL_DATA, "b");
    kit_append(&k, 2, 1, &l, 0, 1, 0);
    kit_forget(&k);
    k.hold = true;
    kit_append(&k, 2, 1, &l, 1, 2, 0);
    kit_append(&k, 2, 1, &l, 2, 3, 2); /* while the disk is busy */
    assert_int_equal(kit_count(&k, JMSG_ACK), 0);
    assert_int_equal(k.j->commit, 1);  /* nor is applied what is not here for good */
    kit_append(&k, 2, 1, &l, 3, 3, 2); /* a heartbeat is answered, for what is durable */
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_int_equal(m.ack.index, 1);
    assert_int_equal(k.persist.last, 2);
    assert_int_equal(k.persist.mark.index, 2);
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_int_equal(m.ack.index, 2);
    assert_int_equal(k.j->commit, 2);
    assert_int_equal(k.persist.first, 3); /* the next write took what had come meanwhile */
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_int_equal(m.ack.index, 3);
    jlog_fini(&l);
    kit_end(&k);
}

static void a6_the_coordinator_multicasts_before_its_fsync_and_counts_itself_after(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_forget(&k);
    k.hold = true;
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    assert_true(kit_sent(&k, JMSG_APPEND, &m));
    assert_int_equal(m.append.n, 1);
    kit_ack(&k, 2, 1, 2);
    assert_int_equal(k.j->commit, 1); /* one of three, and ourselves not yet */
    kit_forget(&k);
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_int_equal(k.j->commit, 2);
    assert_true(kit_sent(&k, JMSG_APPEND, &m)); /* the mark is announced at once */
    assert_int_equal(m.append.n, 0);
    assert_int_equal(m.append.commit, 2);
    kit_end(&k);
}

static void a6_what_comes_during_a_write_goes_out_together(void **unused)
{
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_forget(&k);
    k.hold = true;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(kit_propose(&k, "x"), RC_OK);
    }
    assert_int_equal(kit_count(&k, JMSG_APPEND), 1);
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_int_equal(kit_count(&k, JMSG_APPEND), 2);
    assert_true(kit_sent(&k, JMSG_APPEND, &m));
    assert_int_equal(m.append.n, 9);
    assert_int_equal(k.persist.first, 3);
    assert_int_equal(k.persist.last, 11);
    kit_end(&k);
}

static void a_coordinator_takes_only_so_much_and_opens_its_term_whatever_waits(void **unused)
{
    struct kit k;
    unsigned n = 0;
    int rc;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    do {
        rc = kit_propose(&k, "x");
        n += rc == RC_OK;
        kit_forget(&k);
    } while (rc == RC_OK);
    assert_int_equal(rc, RC_BUSY);
    assert_int_equal(n, 4096);
    kit_view(&k, true, 1, 1U);
    assert_false(journal_is_coordinator(k.j));
    kit_view(&k, true, 3, 1U, 2U, 3U);
    kit_forget(&k);
    kit_elect(&k, true); /* its OPEN comes after all those, and commits them */
    assert_int_equal(k.j->commit, 1 + 4096 + 1);
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    kit_end(&k);
}

static void a_coordinator_bounds_the_bytes_that_wait(void **unused)
{
    static char big[JOURNAL_PAYLOAD_MAX + 2];
    struct journal_event ev = {.type = JOURNAL_EV_PROPOSE};
    struct kit k;
    unsigned n = 0;

    (void)unused;
    memset(big, 'x', sizeof big - 1);
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    assert_int_equal(kit_propose(&k, big), RC_USAGE); /* one byte too long */
    ev.propose.payload = big;
    ev.propose.len = JOURNAL_PAYLOAD_MAX;
    while (kit_step(&k, &ev) == RC_OK) {
        n++;
        kit_forget(&k);
    }
    assert_in_range(n, 100, 200); /* 8 MiB */
    kit_ack(&k, 2, 1, jlog_last(&k.j->log));
    assert_int_equal(k.j->waiting_bytes, 0);
    assert_int_equal(kit_propose(&k, "x"), RC_OK);
    kit_end(&k);
}

/* ---------------------------------------------------------------------------------------------------- A7 */

static void a7_a_cut_below_the_own_commit_mark_stops_the_node(void **unused)
{
    struct kit k;
    struct jlog a, b;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &a);
    kit_log(&k, &b);
    kit_write(&a, 1, JOURNAL_OPEN, "2");
    kit_write(&a, 1, JOURNAL_DATA, "committed");
    kit_write(&b, 1, JOURNAL_OPEN, "2");
    kit_write(&b, 2, JOURNAL_OPEN, "3");
    kit_follow(&k, 2, 1, &a, 2);
    assert_int_equal(k.j->commit, 2);
    kit_append(&k, 3, 2, &b, 1, 2, 1);
    assert_int_equal(k.said[JOURNAL_ALARM], 1);
    assert_int_equal(k.j->role, JOURNAL_STOPPED);
    assert_int_equal(jlog_at(&k.j->log, 2)->term, 1); /* and has cut nothing */
    kit_forget(&k);
    kit_wait(&k, 3000);
    kit_hello(&k, 2, 5, 5, 5);
    assert_int_equal(k.n_sent, 0); /* and it says no more */
    jlog_fini(&a);
    jlog_fini(&b);
    kit_end(&k);
}

static int take_snapshot(struct kit *k, uint64_t index, const void *blob, size_t len)
{
    static const struct hash zero;
    struct journal_event ev = {.type = JOURNAL_EV_SNAPSHOT_TAKEN};

    ev.taken.index = index;
    ev.taken.size = len;
    ev.taken.digest = hash_bytes(zero, blob, len);
    return kit_step(k, &ev);
}

static void a7_snapshots_hold_committed_entries_and_the_committed_members_only(void **unused)
{
    struct kit k;
    struct journal_snapshot s;
    struct journal_event ev = {.type = JOURNAL_EV_MEMBER_REMOVE};

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    assert_int_equal(kit_propose(&k, "a"), RC_OK);
    kit_ack(&k, 2, 1, 2);
    kit_ack(&k, 3, 1, 2);
    ev.member.node = 3;
    assert_int_equal(kit_step(&k, &ev), RC_OK);
    assert_int_equal(journal_members(k.j)->n, 2); /* in force, not committed */
    assert_false(journal_snapshot_describe(k.j, 3, &s));
    assert_int_equal(take_snapshot(&k, 3, "blob", 4), RC_USAGE);
    assert_true(journal_snapshot_describe(k.j, 2, &s));
    assert_int_equal(s.members.n, 3);
    assert_int_equal(take_snapshot(&k, 2, "blob", 4), RC_OK);
    assert_false(journal_snapshot_describe(k.j, 2, &s)); /* there is one: nothing to take */
    assert_int_equal(journal_members(k.j)->n, 2);
    kit_end(&k);
}

static void give_chunk(struct kit *k, uint32_t from, const struct journal_snapshot *s, const uint8_t *blob,
                       uint64_t offset, size_t len)
{
    struct jmsg m = kit_from(k, from, JMSG_SNAPSHOT, k->config.node, 5);

    m.snapshot.incarnation = k->j->incarnation;
    m.snapshot.meta = *s;
    m.snapshot.offset = offset;
    m.snapshot.data = blob + offset;
    m.snapshot.len = len;
    kit_hear(k, &m);
}

/* All of it, and its description once more, as the coordinator does when it has arrived. */
static void give_all(struct kit *k, uint32_t from, const struct journal_snapshot *s, const uint8_t *blob)
{
    give_chunk(k, from, s, blob, 0, s->size);
    give_chunk(k, from, s, blob, s->size, 0);
}

static void a7_a_snapshot_comes_in_chunks_and_replaces_everything_in_one_write(void **unused)
{
    static const struct hash zero;
    static uint8_t blob[100000];
    struct journal_snapshot s;
    struct kit k;
    struct jmsg m;

    (void)unused;
    memset(blob, 'b', sizeof blob);
    kit_begin(&k, 1, 3);
    s = (struct journal_snapshot){.index = 50, .term = 4, .chain = {4, 4}, .size = sizeof blob};
    s.members = k.j->snapshot.members;
    s.members.v[1].incarnation = 555;
    s.digest = hash_bytes(zero, blob, sizeof blob);
    give_chunk(&k, 2, &s, blob, 0, 40000);
    assert_true(kit_sent(&k, JMSG_SNAPSHOT_ACK, &m));
    assert_int_equal(m.snapshot_ack.offset, 40000);
    give_chunk(&k, 2, &s, blob, 60000, 40000); /* a hole: it asks for what it misses */
    assert_true(kit_sent(&k, JMSG_SNAPSHOT_ACK, &m));
    assert_int_equal(m.snapshot_ack.offset, 40000);
    k.hold = true;
    if (k.pending) {
        kit_persisted(&k, JOURNAL_PERSIST_OK);
    }
    give_chunk(&k, 2, &s, blob, 40000, 30000);
    kit_forget(&k);
    give_chunk(&k, 2, &s, blob, 70000, 30000);
    assert_non_null(k.persist.install);
    assert_int_equal(k.persist.install->index, 50);
    assert_memory_equal(k.persist.blob, blob, sizeof blob);
    assert_int_equal(k.persist.mark.index, 50);
    assert_int_equal(kit_count(&k, JMSG_ACK), 0); /* not before it is on the disk */
    kit_persisted(&k, JOURNAL_PERSIST_OK);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_true(m.ack.ok && m.ack.index == 50);
    assert_int_equal(k.j->commit, 50);
    assert_int_equal(journal_members(k.j)->v[1].incarnation, 555);
    kit_end(&k);
}

/* With n nodes each mark would bring n - 1 answers to all n: the entries had theirs. What is missing is still
 * said. */
static void a6_a_mere_commit_mark_is_not_answered(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_follow(&k, 2, 1, &l, 1);
    kit_forget(&k);
    m = kit_from(&k, 2, JMSG_APPEND, 0, 1);
    m.append.prev_index = 2;
    m.append.prev_chain = m.append.last_chain = jlog_last_chain(&l);
    m.append.prev_term = 1;
    m.append.commit = 2;
    kit_hear(&k, &m);
    assert_int_equal(k.j->commit, 2);
    assert_int_equal(kit_count(&k, JMSG_ACK), 0);
    m.append.prev_index = m.append.commit = 3;
    kit_hear(&k, &m);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_false(m.ack.ok);
    jlog_fini(&l);
    kit_end(&k);
}

/* The answer to a snapshot carries no time that an earlier coordinator had sent: the clocks differ, so the
 * new one would drop the answer as one from its future (for ever), or take it for a newer one than it is
 * (A8). */
static void a8_the_stamp_of_another_coordinator_is_not_given_to_the_next(void **unused)
{
    static const struct hash zero;
    static const uint8_t blob[100];
    struct journal_snapshot s = {.index = 50, .term = 4, .chain = {4, 4}, .size = sizeof blob};
    struct jlog l;
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    s.members = k.j->snapshot.members;
    s.digest = hash_bytes(zero, blob, sizeof blob);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "3");
    kit_follow(&k, 3, 1, &l, 1);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_int_not_equal(m.ack.stamp, 0);
    kit_forget(&k);
    give_all(&k, 2, &s, blob);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_true(m.ack.ok && m.ack.index == 50);
    assert_int_equal(m.ack.stamp, 0);
    jlog_fini(&l);
    kit_end(&k);
}

static void a7_a_snapshot_that_is_not_what_its_digest_says_is_not_installed(void **unused)
{
    static uint8_t blob[100];
    struct journal_snapshot s;
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    s = (struct journal_snapshot){
        .index = 50, .term = 4, .chain = {4, 4}, .size = sizeof blob, .digest = {1, 2}};
    s.members = k.j->snapshot.members;
    give_chunk(&k, 2, &s, blob, 0, sizeof blob);
    assert_int_equal(k.j->log.prev_index, 0);
    assert_true(kit_sent(&k, JMSG_SNAPSHOT_ACK, &m));
    assert_int_equal(m.snapshot_ack.offset, 0); /* once more, from the beginning */
    kit_end(&k);
}

/* The digest covers the blob, not what is said of it: nothing is installed by one message. */
static void a7_a_snapshot_is_described_twice(void **unused)
{
    static const struct hash zero;
    static const uint8_t blob[] = "blob";
    struct journal_snapshot s = {.index = 50, .term = 4, .chain = {4, 4}, .size = 4}, damaged;
    struct kit k;
    struct jmsg m;

    (void)unused;
    for (unsigned i = 0; i < 4; i++) {
        kit_begin(&k, 1, 3);
        s.members = k.j->snapshot.members;
        s.digest = hash_bytes(zero, blob, 4);
        damaged = s;
        damaged.chain.hi += i == 0;
        damaged.term -= i == 1;
        damaged.index += i == 2;
        damaged.members.v[2].incarnation += i == 3;
        give_chunk(&k, 2, &damaged, blob, 0, 4);
        assert_true(kit_sent(&k, JMSG_SNAPSHOT_ACK, &m) && m.snapshot_ack.offset == 4);
        give_chunk(&k, 2, &s, blob, 4, 0);
        assert_true(kit_sent(&k, JMSG_SNAPSHOT_ACK, &m) && m.snapshot_ack.offset == 0);
        assert_int_equal(k.j->log.prev_index, 0);
        give_all(&k, 2, &s, blob);
        assert_int_equal(k.j->commit, 50);
        assert_true(hash_eq(k.j->log.prev_chain, s.chain));
        kit_end(&k);
    }
}

/* Nor does a heartbeat's index prove anything: it contradicts what is committed here, and then it does not.
 */
static void a7_one_damaged_heartbeat_stops_nobody(void **unused)
{
    struct kit k;
    struct jlog l;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_follow(&k, 2, 1, &l, 2);
    m = kit_from(&k, 2, JMSG_APPEND, 0, 1);
    m.append.prev_index = m.append.commit = 1; /* of entry 2 */
    m.append.prev_term = 1;
    m.append.prev_chain = m.append.last_chain = jlog_last_chain(&l);
    kit_hear(&k, &m);
    assert_int_equal(k.j->role, JOURNAL_FOLLOWER);
    kit_forget(&k);
    kit_append(&k, 2, 1, &l, 2, 2, 2);
    assert_true(kit_sent(&k, JMSG_ACK, &m) && m.ack.ok);
    jlog_fini(&l);
    kit_end(&k);
}

static void a7_a_snapshot_of_what_is_committed_here_is_not_installed(void **unused)
{
    static const struct hash zero;
    static const uint8_t blob[] = "blob";
    struct journal_snapshot s = {.index = 50, .term = 4, .chain = {4, 4}, .size = 4};
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    s.members = k.j->snapshot.members;
    s.digest = hash_bytes(zero, blob, 4);
    give_all(&k, 2, &s, blob);
    assert_int_equal(k.j->commit, 50);
    s.index = 40; /* a late one, of before */
    kit_forget(&k);
    give_chunk(&k, 2, &s, blob, 0, 4);
    assert_int_equal(k.j->snapshot.index, 50);
    assert_true(kit_sent(&k, JMSG_ACK, &m));
    assert_int_equal(m.ack.commit, 50); /* that is where we stand */
    s.index = 50;
    s.chain.lo = 5; /* another history up to here: something lied */
    give_chunk(&k, 2, &s, blob, 0, 4);
    assert_int_equal(k.j->role, JOURNAL_FOLLOWER); /* or was damaged on its way: no chain covers it */
    give_chunk(&k, 2, &s, blob, 0, 4);
    assert_int_equal(k.said[JOURNAL_ALARM], 1);
    assert_int_equal(k.j->role, JOURNAL_STOPPED);
    kit_end(&k);
}

static void a7_a_member_that_lags_too_far_is_fed_the_snapshot(void **unused)
{
    struct journal_event data = {.type = JOURNAL_EV_SNAPSHOT_DATA};
    struct kit k;
    struct jmsg m, out;

    (void)unused;
    kit_begin(&k, 1, 3);
    k.j->config.tail_entries = 2;
    kit_elect(&k, true);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(kit_propose(&k, "x"), RC_OK);
    }
    kit_ack(&k, 2, 1, 10);
    assert_int_equal(take_snapshot(&k, 10, "blob", 4), RC_OK);
    assert_null(journal_entry_at(k.j, 8));
    assert_non_null(journal_entry_at(k.j, 9));
    kit_forget(&k);
    m = kit_from(&k, 3, JMSG_ACK, 1, 1);
    m.ack.last_chain = m.ack.commit_chain = k.j->snapshot.chain; /* it has nothing */
    m.ack.last = m.ack.commit = 0;
    m.ack.stamp = k.now;
    kit_hear(&k, &m);
    assert_int_equal(k.said[JOURNAL_READ_SNAPSHOT], 1);
    data.data.index = 10;
    data.data.data = (const uint8_t *)"blob";
    data.data.len = 4;
    (void)kit_step(&k, &data);
    assert_true(kit_sent(&k, JMSG_SNAPSHOT, &out));
    assert_true(out.to == 3 && out.snapshot.meta.index == 10 && out.snapshot.len == 4);
    kit_forget(&k);
    assert_int_equal(kit_propose(&k, "y"), RC_OK);
    kit_ack(&k, 2, 1, 11);
    kit_forget(&k);
    kit_ack(&k, 3, 1, 10); /* it has it: the log goes on from there */
    assert_true(kit_sent(&k, JMSG_APPEND, &out));
    assert_true(out.to == 3 && out.append.prev_index == 10 && out.append.n == 1);
    kit_end(&k);
}

static void a_restart_begins_with_what_the_disk_has(void **unused)
{
    struct kit k;
    struct jlog l;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_log(&k, &l);
    kit_write(&l, 1, JOURNAL_OPEN, "2");
    kit_write(&l, 1, JOURNAL_DATA, "a");
    kit_follow(&k, 2, 1, &l, 2);
    kit_restart(&k);
    assert_int_equal(k.j->role, JOURNAL_SEARCH);
    assert_int_equal(k.commit, 2);
    assert_int_equal(jlog_last(&k.j->log), 2);
    assert_int_equal(k.j->promise.term, 1);
    assert_true(hash_eq(jlog_last_chain(&k.j->log), jlog_last_chain(&l)));
    jlog_fini(&l);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a4_a_gap_is_refused_and_the_member_says_where_it_stands),
        cmocka_unit_test(a4_entries_that_were_not_chained_by_their_author_are_dropped),
        cmocka_unit_test(a4_one_full_disk_at_the_coordinator_costs_it_the_role),
        cmocka_unit_test(a4_a_member_reads_its_store_again_before_it_answers),
        cmocka_unit_test(a4_after_a_failed_fsync_the_store_is_set_aside_the_coordinators_too),
        cmocka_unit_test(a4_a_term_and_index_is_used_once_also_over_a_restart),
        cmocka_unit_test(a5_what_differs_from_the_winners_log_is_cut_in_memory_and_in_the_store),
        cmocka_unit_test(a5_a_delayed_message_of_the_same_term_cuts_nothing),
        cmocka_unit_test(a5_the_coordinator_finds_where_a_members_log_matches),
        cmocka_unit_test(a6_old_terms_commit_only_through_an_entry_of_the_open_term),
        cmocka_unit_test(a6_leftover_entries_are_not_acknowledged_as_the_new_coordinators),
        cmocka_unit_test(a6_an_acknowledgement_follows_the_disk),
        cmocka_unit_test(a6_the_coordinator_multicasts_before_its_fsync_and_counts_itself_after),
        cmocka_unit_test(a6_what_comes_during_a_write_goes_out_together),
        cmocka_unit_test(a_coordinator_takes_only_so_much_and_opens_its_term_whatever_waits),
        cmocka_unit_test(a_coordinator_bounds_the_bytes_that_wait),
        cmocka_unit_test(a7_a_cut_below_the_own_commit_mark_stops_the_node),
        cmocka_unit_test(a7_snapshots_hold_committed_entries_and_the_committed_members_only),
        cmocka_unit_test(a7_a_snapshot_comes_in_chunks_and_replaces_everything_in_one_write),
        cmocka_unit_test(a6_a_mere_commit_mark_is_not_answered),
        cmocka_unit_test(a8_the_stamp_of_another_coordinator_is_not_given_to_the_next),
        cmocka_unit_test(a7_a_snapshot_that_is_not_what_its_digest_says_is_not_installed),
        cmocka_unit_test(a7_a_snapshot_is_described_twice),
        cmocka_unit_test(a7_one_damaged_heartbeat_stops_nobody),
        cmocka_unit_test(a7_a_snapshot_of_what_is_committed_here_is_not_installed),
        cmocka_unit_test(a7_a_member_that_lags_too_far_is_fed_the_snapshot),
        cmocka_unit_test(a_restart_begins_with_what_the_disk_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
