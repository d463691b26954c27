/*
 * test_crashes.c - what counts as a crash loop, and what ends it (A15).
 */
#include "adapters/crashes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/test_crashes.XXXXXX";
static struct crashes c;

static int setup(void **state)
{
    (void)state;
    (void)unlink(path);
    c = (struct crashes){.limit = 3, .window_ms = 10000};
    return 0;
}

/* A daemon begins at this time. */
static uint64_t begin(const char *boot, uint64_t now_ms)
{
    return crashes_begin(&c, path, boot, now_ms);
}

static void a_crash_loop_ends_in_observing(void **state)
{
    (void)state;
    assert_int_equal(begin("b1", 1000), 0);
    assert_int_equal(begin("b1", 2000), 0); /* the first crash */
    assert_int_equal(begin("b1", 3000), 0);
    assert_int_equal(begin("b1", 4000), 8000); /* the third: until the first is 10 s ago */
    assert_int_equal(c.n, 3);
    /* It observes, then takes part; the next crash is the third within the window again. */
    assert_int_equal(begin("b1", 12500), 500);
    assert_int_equal(begin("b1", 30000), 0);
}

static void an_orderly_end_is_no_crash(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(begin("b1", 1000 + i), 0);
        crashes_end(path, 0);
    }
    assert_int_equal(c.n, 0);
}

static void another_boot_begins_anew(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        char boot[16];

        (void)snprintf(boot, sizeof boot, "b%u", (unsigned)i);
        assert_int_equal(begin(boot, 1000), 0); /* power cuts */
    }
}

static void an_operator_ends_it(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        (void)begin("b1", 1000 + i);
    }
    assert_true(begin("b1", 1010) > 0);
    crashes_end(path, 0); /* stopped, but nobody has seen to it */
    assert_true(begin("b1", 1020) > 0);
    crashes_end(path, 1);
    assert_int_equal(begin("b1", 1030), 0);
}

static void a_damaged_file_counts_as_none(void **state)
{
    FILE *f = fopen(path, "we");

    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) {
        (void)fprintf(f, "crash x\ncrash 99999999999999999999999\nboot %0500d\n", i);
    }
    (void)fclose(f);
    assert_int_equal(begin("b1", 1000), 0);
    assert_int_equal(begin("b1", 1001), 0);
    assert_int_equal(c.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_crash_loop_ends_in_observing, setup),
        cmocka_unit_test_setup(an_orderly_end_is_no_crash, setup),
        cmocka_unit_test_setup(another_boot_begins_anew, setup),
        cmocka_unit_test_setup(an_operator_ends_it, setup),
        cmocka_unit_test_setup(a_damaged_file_counts_as_none, setup),
    };
    int fd = mkstemp(path), rc;

    if (fd < 0) {
        return 1;
    }
    (void)close(fd);
    rc = cmocka_run_group_tests_name("crashes", tests, NULL, NULL);
    (void)unlink(path);
    return rc;
}
