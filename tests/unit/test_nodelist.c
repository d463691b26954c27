/* The nodelist of corosync.conf: kept in step with the members, all else as it was (A9). */
#include "adapters/nodelist.h"
#include "common/rc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] = "# written by hand\n"
                           "totem {\n\tversion: 2\n\tinterface {\n\t\tlinknumber: 0\n\t}\n}\n"
                           "nodelist {\n  # the first\n"
                           "  node {\n    nodeid: 1\n    name: node1\n    ring0_addr: 10.0.0.1\n  }\n";
static const char second[] = "  node {\n    ring0_addr: 10.0.0.2\n    quorum_votes: 1\n    nodeid: 2\n  }\n";
static const char third[] = "  node {\n    nodeid: 3\n    name: node3\n    ring0_addr: 10.0.0.3\n"
                            "    ring1_addr: fd00::3\n  }\n";
static const char tail[] = "}\nquorum {\n  provider: corosync_votequorum\n}\n";

static const struct member_node members[] = {
    {1, "node1", "10.9.9.9"}, {2, "", ""}, {3, "node3", "10.0.0.3,fd00::3"}, {4, "", "10.0.0.4"}};

static char *join(const char *a, const char *b, const char *c, const char *d)
{
    static char text[4][4096];
    static int turn;

    turn = (turn + 1) % 4;
    (void)snprintf(text[turn], sizeof text[turn], "%s%s%s%s", a, b, c, d);
    return text[turn];
}

static void becomes(const char *before, const struct member_node *node, unsigned n, const char *after)
{
    struct buf b = BUF_INIT;
    struct err err = ERR_INIT;

    assert_int_equal(nodelist_edit(before, node, n, &b, &err), 0);
    buf_u8(&b, 0);
    assert_string_equal((const char *)b.data, after);
    buf_fini(&b);
}

static void nodes_come_and_go(void **state)
{
    (void)state;
    becomes(join(head, second, "", tail), members, 2, join(head, second, "", tail));
    becomes(join(head, second, "", tail), members, 3, join(head, second, third, tail));
    becomes(join(head, second, third, tail), members, 1, join(head, "", "", tail));
    becomes(join(head, second, "", tail), members, 4, join(head, second, third, tail)); /* no name: not yet */
    becomes("nodelist {\n}\n", &members[2], 1, join("nodelist {\n", third, "", "}\n"));
}

static void what_cannot_be_read_is_left_alone(void **state)
{
    static const char *const bad[] = {"", "totem {\n}\n", "nodelist {\n node {\n }\n", "}\n",
                                      "# nodelist {\n"};
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b = BUF_INIT;

        assert_int_equal(nodelist_edit(bad[i], members, 3, &b, &err), RC_BAD_INPUT);
        buf_fini(&b);
    }
}

static void the_file_is_replaced_as_a_whole(void **state)
{
    char dir[] = "/tmp/nodelist.XXXXXX", path[64], text[4096] = "";
    struct err err = ERR_INIT;
    struct stat st;
    bool changed;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/corosync.conf", dir);
    assert_int_equal(nodelist_update(path, members, 3, &changed, &err), RC_IO);
    f = fopen(path, "w");
    assert_true(f != NULL && fputs(join(head, second, "", tail), f) >= 0 && fclose(f) == 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(nodelist_update(path, members, 3, &changed, &err), 0);
    assert_true(changed);
    f = fopen(path, "r");
    assert_true(f != NULL && fread(text, 1, sizeof text - 1, f) > 0 && fclose(f) == 0);
    assert_string_equal(text, join(head, second, third, tail));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(nodelist_update(path, members, 3, &changed, &err), 0);
    assert_false(changed);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_and_go),
        cmocka_unit_test(what_cannot_be_read_is_left_alone),
        cmocka_unit_test(the_file_is_replaced_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
