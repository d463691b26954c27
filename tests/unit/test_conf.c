/*
 * test_conf.c - the local settings: what is wrong is named with its place and a way out.
 */
#include "adapters/conf.h"
#include "common/rc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

static int load(const char *text, size_t len, struct conf *c, struct err *err)
{
    char path[] = "/tmp/test_conf.XXXXXX";
    int fd = mkstemp(path), rc;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    (void)close(fd);
    *err = (struct err)ERR_INIT;
    rc = conf_load(c, path, 0, err);
    (void)unlink(path);
    return rc;
}

static void refused(const char *text, const char *line, const char *what)
{
    struct conf c;
    struct err err;

    assert_int_equal(load(text, strlen(text), &c, &err), RC_BAD_INPUT);
    if (!strstr(err.msg, line) || !strstr(err.msg, what)) {
        fail_msg("'%s' says neither '%s' nor '%s'", err.msg, line, what);
    }
}

static void defaults_hold(void **state)
{
    struct conf c;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(conf_load(&c, "/tmp/no-such-file", 1, &err), 0);
    assert_int_equal(conf_log_priority(&c), LOG_INFO);
    assert_string_equal(c.hypervisor, "qemu:///system");
    assert_int_equal(c.election_ms, 0);
    assert_true(c.memory_mib > 0);
    assert_int_equal(conf_load(&c, "/tmp/no-such-file", 0, &err), RC_BAD_INPUT);
    assert_non_null(strstr(err.msg, "/tmp/no-such-file"));
}

static void settings_are_taken(void **state)
{
    static const char text[] = "# a comment\n\n  memory_mib=4096   # why\nlog_level = debug\n"
                               "state_dir=/a b/c\nelection_ms = 0\nheartbeat_ms = 10";
    struct conf c;
    struct err err;

    (void)state;
    assert_int_equal(load(text, sizeof text - 1, &c, &err), 0);
    assert_int_equal(c.memory_mib, 4096);
    assert_int_equal(conf_log_priority(&c), LOG_DEBUG);
    assert_string_equal(c.state_dir, "/a b/c");
    assert_int_equal(c.heartbeat_ms, 10);
}

static void mistakes_are_named(void **state)
{
    char text[2100];

    (void)state;
    refused("memory_mib = 4096\nfoo = 1\n", "line 2", "known are state_dir");
    refused("memory_mib 4096\n", "line 1", "key = value");
    refused("memory_mib = many\n", "line 1", "from 64 to");
    refused("memory_mib = 1\n", "line 1", "from 64 to");
    refused("memory_mib = -5\n", "line 1", "from 64 to");
    refused("memory_mib = 99999999999999999999\n", "line 1", "from 64 to");
    refused("log_level = loud\n", "line 1", "error, warning");
    refused("run_dir = run\n", "line 1", "absolute");
    memset(text, 'x', sizeof text);
    text[0] = '\n';
    text[sizeof text - 1] = '\0';
    refused(text, "line 2", "longer than");
    (void)snprintf(text, sizeof text, "hypervisor = %0300d\n", 1);
    refused(text, "line 1", "longer than");
}

static void garbage_is_no_setting(void **state)
{
    char text[5000];
    struct conf c;
    struct err err;

    (void)state;
    srand(1);
    for (int i = 0; i < 300; i++) {
        for (size_t n = 0; n < sizeof text; n++) {
            text[n] = (char)rand();
        }
        assert_int_equal(load(text, sizeof text, &c, &err), RC_BAD_INPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold),
        cmocka_unit_test(settings_are_taken),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(garbage_is_no_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
