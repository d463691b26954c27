/*
 * test_watch.c - changes in libvirt's run directory are seen soon, once for many, and through the folder's
 * own end.
 */
#include "adapters/watch.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned looks;

static void on_look(void *ctx)
{
    (void)ctx;
    looks++;
}

static gboolean nothing(gpointer ctx)
{
    (void)ctx;
    return G_SOURCE_CONTINUE;
}

/* Runs the loop until there were n looks, at most ms. Returns the time that it took. */
static int wait_for(unsigned n, int ms)
{
    gint64 begin = g_get_monotonic_time();
    guint tick = g_timeout_add(5, nothing, NULL);

    while (looks < n && g_get_monotonic_time() - begin < ms * 1000) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    (void)g_source_remove(tick);
    return (int)((g_get_monotonic_time() - begin) / 1000);
}

static void write_file(const char *dir, const char *name)
{
    char *path = g_strdup_printf("%s/%s", dir, name);

    assert_true(g_file_set_contents(path, "x", 1, NULL)); /* by rename, as libvirt does */
    g_free(path);
}

static void remove_file(const char *dir, const char *name)
{
    char *path = g_strdup_printf("%s/%s", dir, name);

    assert_int_equal(unlink(path), 0);
    g_free(path);
}

static void changes_are_seen(void **state)
{
    char dir[] = "/tmp/test_watch.XXXXXX";
    struct watch *w;

    (void)state;
    assert_non_null(mkdtemp(dir));
    write_file(dir, "web1.xml");
    looks = 0;
    w = watch_new(dir, on_look, NULL);
    assert_in_range(wait_for(1, 2000), 0, 1000); /* what happened before the watch began */
    remove_file(dir, "web1.xml");
    assert_in_range(wait_for(2, 2000), 20, 1000);
    for (int i = 0; i < 50; i++) {
        write_file(dir, "web2.xml");
        write_file(dir, "web3.xml");
    }
    (void)wait_for(3, 2000);
    (void)wait_for(99, 300);
    assert_in_range(looks, 3, 5); /* a hundred changes, few looks */
    looks = 0;
    (void)wait_for(1, 400);
    assert_int_equal(looks, 0); /* at rest: nothing */
    /* libvirt's package is removed and installed again. */
    remove_file(dir, "web2.xml");
    remove_file(dir, "web3.xml");
    assert_int_equal(rmdir(dir), 0);
    (void)wait_for(1, 1000);
    assert_int_equal(mkdir(dir, 0700), 0);
    looks = 0;
    (void)wait_for(1, 6000);
    looks = 0;
    write_file(dir, "web4.xml");
    assert_in_range(wait_for(1, 2000), 20, 1000);
    watch_free(w);
    remove_file(dir, "web4.xml");
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
