/* Messages: what is not exactly one of ours is dropped and counted, and nothing else happens. */
#include "tests/unit/journal_kit.h"

static struct journal_members members(unsigned n)
{
    struct journal_members m = {.n = n};

    for (unsigned i = 0; i < n; i++) {
        m.v[i] = (struct journal_member){i + 1, 101 + i, i % 2, JOURNAL_NODE};
    }
    return m;
}

/* One of each type, every field set. */
static void sample(const struct kit *k, enum jmsg_type type, struct buf *b)
{
    struct jmsg m = kit_from(k, 2, type, 1, 9);

    switch (type) {
    case JMSG_HELLO:
        m.hello.last_term = 3;
        m.hello.last_index = 4;
        break;
    case JMSG_STAND:
        m.stand.last_term = 3;
        m.stand.last_index = 4;
        break;
    case JMSG_VOTE:
        m.vote.incarnation = 5;
        m.vote.granted = true;
        break;
    case JMSG_APPEND:
        m.append.prev_index = 6;
        m.append.prev_term = 3;
        m.append.prev_chain = (struct hash){7, 8};
        m.append.last_chain = (struct hash){9, 10};
        m.append.commit = 7;
        m.append.stamp = 12;
        m.append.n = 1;
        break;
    case JMSG_ACK:
        m.ack.ok = true;
        m.ack.index = m.ack.last = 13;
        m.ack.stamp = 14;
        break;
    case JMSG_BOOTSTRAP:
        m.bootstrap = members(3);
        break;
    case JMSG_SNAPSHOT:
        m.snapshot.incarnation = 15;
        m.snapshot.meta =
            (struct journal_snapshot){.index = 16, .term = 2, .size = 17, .members = members(4)};
        m.snapshot.offset = 1;
        m.snapshot.data = (const uint8_t *)"abc";
        m.snapshot.len = 3;
        break;
    case JMSG_SNAPSHOT_ACK:
        m.snapshot_ack.index = 18;
        m.snapshot_ack.offset = 19;
        break;
    case JMSG_RECALL:
        m.recall.incarnation = 20;
        m.recall.session = 23;
        m.recall.gone = true;
        break;
    }
    jmsg_write(b, &m);
    if (type == JMSG_APPEND) {
        struct journal_entry e = {.term = 4,
                                  .format = JOURNAL_FORMAT,
                                  .kind = JOURNAL_DATA,
                                  .len = 3,
                                  .payload = (const uint8_t *)"abc"};

        jmsg_write_entry(b, &e);
    }
}

static void each_type_survives_the_round_trip(void **unused)
{
    struct buf b = BUF_INIT, again = BUF_INIT;
    struct kit k;
    struct jmsg m;

    (void)unused;
    kit_begin(&k, 1, 3);
    for (enum jmsg_type type = JMSG_HELLO; type <= JMSG_RECALL; type++) {
        struct journal_entry e;

        buf_reset(&b);
        buf_reset(&again);
        sample(&k, type, &b);
        assert_true(journal_message_peek(b.data, b.len));
        assert_true(jmsg_parse(&m, b.data, b.len));
        assert_int_equal(m.type, type);
        jmsg_write(&again, &m);
        if (type == JMSG_APPEND) {
            assert_int_equal(again.len, JMSG_APPEND_SIZE);
            jmsg_entry(&m.append.entries, &e);
            assert_int_equal(jmsg_entry_size(&e), b.len - again.len);
            jmsg_write_entry(&again, &e);
        }
        assert_int_equal(b.len, again.len);
        assert_memory_equal(b.data, again.data, b.len);
    }
    buf_fini(&b);
    buf_fini(&again);
    kit_end(&k);
}

static void refused(struct kit *k, const uint8_t *data, size_t len)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};
    uint64_t before = k->j->dropped_garbage;
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, data, len);
    ev.message.from = 2;
    ev.message.data = copy;
    ev.message.len = len;
    assert_int_equal(kit_step(k, &ev), RC_OK);
    assert_int_equal(k->j->dropped_garbage, before + 1);
    free(copy);
}

static void what_is_cut_short_or_too_long_or_of_another_format_is_dropped(void **unused)
{
    struct buf b = BUF_INIT;
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_forget(&k);
    for (enum jmsg_type type = JMSG_HELLO; type <= JMSG_RECALL; type++) {
        buf_reset(&b);
        sample(&k, type, &b);
        for (size_t len = 0; len < b.len; len++) {
            refused(&k, b.data, len);
        }
        buf_u8(&b, 0); /* something behind its end */
        refused(&k, b.data, b.len);
        b.data[1] = JOURNAL_FORMAT - 1;
        refused(&k, b.data, b.len - 1);
        b.data[1] = JOURNAL_FORMAT;
        b.data[0] = JMSG_RECALL + 1;
        refused(&k, b.data, b.len - 1);
    }
    assert_int_equal(k.n_sent, 0);
    assert_int_equal(k.j->promise.term, 0);
    buf_fini(&b);
    kit_end(&k);
}

/* A13: refused and said, once; not taken for garbage. */
static void what_a_newer_version_wrote_is_no_garbage(void **unused)
{
    struct journal_event ev = {.type = JOURNAL_EV_MESSAGE};
    struct journal_status status;
    struct buf b = BUF_INIT;
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    for (int i = 0; i < 2; i++) {
        buf_reset(&b);
        sample(&k, i ? JMSG_APPEND : JMSG_HELLO, &b);
        b.data[i ? b.len - 9 : 1] = JOURNAL_FORMAT + 1; /* of an entry; of the message */
        ev.message.from = 2;
        ev.message.data = b.data;
        ev.message.len = b.len;
        assert_int_equal(kit_step(&k, &ev), RC_OK);
        assert_int_equal(k.j->dropped_newer, i + 1);
        assert_int_equal(k.j->dropped_garbage, 0);
        assert_int_equal(k.said[JOURNAL_ALARM], 1);
        assert_int_equal(k.j->promise.term, 0);
    }
    journal_status(k.j, &status);
    assert_non_null(strstr(status.why, "newer"));
    buf_fini(&b);
    kit_end(&k);
}

static void fields_out_of_range_are_garbage(void **unused)
{
    struct buf b = BUF_INIT;
    struct journal_members m = members(3);
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    sample(&k, JMSG_HELLO, &b);
    memset(b.data + 42, 0xff, 8); /* a term that would be the last one */
    refused(&k, b.data, b.len);
    buf_reset(&b);
    sample(&k, JMSG_HELLO, &b);
    memset(b.data + 26, 0, 8); /* no incarnation */
    refused(&k, b.data, b.len);
    buf_reset(&b);
    sample(&k, JMSG_APPEND, &b);
    b.data[b.len - 8] = 77; /* an unknown kind of entry */
    refused(&k, b.data, b.len);
    buf_reset(&b);
    sample(&k, JMSG_VOTE, &b);
    b.data[2] = 3; /* it says that it is of another node than cpg says */
    refused(&k, b.data, b.len);

    buf_reset(&b);
    jvoters_encode(&b, &m);
    assert_true(journal_members_decode(&m, b.data, b.len));
    m.v[1].node = 1; /* twice the same node */
    buf_reset(&b);
    jvoters_encode(&b, &m);
    assert_false(journal_members_decode(&m, b.data, b.len));
    m = members(1); /* nobody has a vote */
    buf_reset(&b);
    jvoters_encode(&b, &m);
    assert_false(journal_members_decode(&m, b.data, b.len));
    buf_fini(&b);
    kit_end(&k);
}

static void the_shells_messages_are_not_ours(void **unused)
{
    static const uint8_t shell[] = {64, 1, 2}, ours[] = {63};

    (void)unused;
    assert_false(journal_message_peek(shell, sizeof shell));
    assert_false(journal_message_peek(shell, 0));
    assert_true(journal_message_peek(ours, sizeof ours));
}

static void a_message_never_exceeds_its_bound(void **unused)
{
    static char big[JOURNAL_PAYLOAD_MAX];
    struct journal_event ev = {.type = JOURNAL_EV_PROPOSE};
    struct kit k;

    (void)unused;
    kit_begin(&k, 1, 3);
    kit_elect(&k, true);
    kit_forget(&k);
    k.hold = true;
    for (int i = 0; i < 20; i++) {
        ev.propose.payload = big;
        ev.propose.len = i % 3 ? sizeof big : 100;
        assert_int_equal(kit_step(&k, &ev), RC_OK);
    }
    kit_persisted(&k, JOURNAL_PERSIST_OK); /* all the others at once; the kit looks at each one's length */
    assert_true(kit_count(&k, JMSG_APPEND) > 10);
    kit_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_survives_the_round_trip),
        cmocka_unit_test(what_is_cut_short_or_too_long_or_of_another_format_is_dropped),
        cmocka_unit_test(what_a_newer_version_wrote_is_no_garbage),
        cmocka_unit_test(fields_out_of_range_are_garbage),
        cmocka_unit_test(the_shells_messages_are_not_ours),
        cmocka_unit_test(a_message_never_exceeds_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
