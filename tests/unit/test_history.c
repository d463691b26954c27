/* test_history.c - the audit trail: each entry once, trimmed by age and size, begun anew when it is damaged.
 */
#include "common/rc.h"
#include "tests/unit/store_kit.h"

#include "adapters/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct history_row row(uint64_t index, int64_t time_ms, const char *vm)
{
    struct history_row r = {.time_ms = time_ms, .term = 1, .index = index, .op = index};

    (void)snprintf(r.kind, sizeof r.kind, "vm-start");
    (void)snprintf(r.node, sizeof r.node, "node1");
    (void)snprintf(r.vm, sizeof r.vm, "%s", vm);
    (void)snprintf(r.text, sizeof r.text, "text %llu", (unsigned long long)index);
    return r;
}

struct seen {
    unsigned n;
    uint64_t first, last;
};

static void on_row(void *ctx, const struct history_row *r)
{
    struct seen *s = ctx;

    if (s->n++ == 0) {
        s->first = r->index;
    }
    assert_true(r->index >= s->last);
    s->last = r->index;
}

static struct seen look(const struct store_port *port, const struct history_filter *f)
{
    struct seen s = {0, 0, 0};

    assert_int_equal(port->history_read(port->ctx, f, on_row, &s), 0);
    return s;
}

static void the_trail_is_kept(void **state)
{
    struct store_port port;
    struct store *st = start_store(&port);
    struct seen s;

    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        struct history_row r = row(i, (int64_t)i * 1000, i % 10 ? "" : "web1");

        assert_int_equal(port.history_add(port.ctx, &r), 0);
        if (i % 100 == 0) { /* a replay enters nothing twice */
            assert_int_equal(port.history_add(port.ctx, &r), 0);
        }
    }
    s = look(&port, &(struct history_filter){.limit = 5000});
    assert_int_equal(s.n, 1000);
    s = look(&port, &(struct history_filter){.limit = 10});
    assert_int_equal(s.first, 991);
    s = look(&port, &(struct history_filter){.limit = 5000, .after_index = 990});
    assert_int_equal(s.n, 10);
    s = look(&port, &(struct history_filter){.limit = 5000, .vm = "web1", .since_ms = 500000});
    assert_int_equal(s.n, 51);
    s = look(&port, &(struct history_filter){.limit = 5000, .node = "node2"});
    assert_int_equal(s.n, 0);
    store_free(st);
    st = start_store(&port);
    assert_int_equal(look(&port, &(struct history_filter){.limit = 5000}).n, 1000);
    assert_int_equal(port.history_trim(port.ctx, 1, 256, 86400000 + 600500), 0);
    s = look(&port, &(struct history_filter){.limit = 5000});
    assert_int_equal(s.first, 601);
    store_free(st);
}

static void the_trail_is_trimmed_by_size(void **state)
{
    struct store_port port;
    struct store *st = start_store(&port);
    struct seen s;

    (void)state;
    for (uint64_t i = 1; i <= 15000; i++) {
        struct history_row r = row(i, 1, "web1");

        (void)memset(r.why, 'w', 200);
        assert_int_equal(port.history_add(port.ctx, &r), 0);
    }
    assert_int_equal(port.history_trim(port.ctx, 36500, 2, 2), 0);
    s = look(&port, &(struct history_filter){.limit = 50000});
    assert_in_range(s.n, 1000, 10000);
    assert_int_equal(s.last, 15000);
    store_free(st);
}

static void a_damaged_trail_is_begun_anew(void **state)
{
    struct store_port port;
    struct store *st = start_store(&port);
    struct history_row r = row(1, 1, "web1");
    uint8_t junk[4096];

    (void)state;
    assert_int_equal(port.history_add(port.ctx, &r), 0);
    store_free(st);
    memset(junk, 'x', sizeof junk);
    spill(HISTORY_DB, junk, sizeof junk);
    spill(HISTORY_DB "-wal", junk, 0);
    st = start_store(&port);
    assert_non_null(strstr(said, "trail was set aside"));
    assert_int_equal(port.history_add(port.ctx, &r), 0);
    assert_int_equal(look(&port, &(struct history_filter){.limit = 10}).n, 1);
    store_free(st);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_trail_is_kept),
        T(the_trail_is_trimmed_by_size),
        T(a_damaged_trail_is_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
