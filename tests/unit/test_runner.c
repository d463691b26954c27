/*
 * test_runner.c - agents as they are found in the field: they fail, hang, flood, print garbage, leave
 * children.
 */
#include "adapters/runner.h"
#include "common/rc.h"

#include <errno.h>
#include <glib.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#define RESULTS 300

struct seen {
    bool done;
    struct run_result res;
    char *output;
    gint64 at_us;
    unsigned order;
};

struct fixture {
    char dir[64];
    struct runner *r;
    struct runner_port port;
    struct seen seen[RESULTS];
    unsigned dones;
    char lines[2000];
    gint64 last_us,
        gap_us; /* of a heartbeat: the longest time for which the loop was busy with something else */
};

static void on_done(void *ctx, uint64_t id, const struct run_result *r)
{
    struct fixture *f = ctx;
    struct seen *s = &f->seen[id];

    assert_true(id < RESULTS);
    assert_false(s->done); /* once only */
    s->done = true;
    s->res = *r;
    s->output = g_strdup(r->output);
    s->res.output = s->output;
    s->at_us = g_get_monotonic_time();
    s->order = ++f->dones;
    assert_true(g_utf8_validate(r->output, -1, NULL));
    assert_true(g_utf8_validate(r->reason, -1, NULL));
}

static void on_line(void *ctx, uint64_t id, const char *line)
{
    struct fixture *f = ctx;
    size_t used = strlen(f->lines);

    (void)snprintf(f->lines + used, sizeof f->lines - used, "%u:%s;", (unsigned)id, line);
}

static void script(struct fixture *f, const char *name, const char *text)
{
    char *path = g_strdup_printf("%s/%s", f->dir, name), *all = g_strdup_printf("#!/bin/sh\n%s\n", text);

    assert_true(g_file_set_contents(path, all, -1, NULL));
    assert_int_equal(chmod(path, 0755), 0);
    g_free(path);
    g_free(all);
}

static void new_runner(struct fixture *f, uint64_t session)
{
    struct runner_config c = {.agent_dir = f->dir,
                              .fence_dir = f->dir,
                              .run_dir = f->dir,
                              .session = session,
                              .done = on_done,
                              .line = on_line,
                              .ctx = f};
    struct err err = ERR_INIT;

    f->r = runner_new(&c, &err);
    assert_non_null(f->r);
    runner_port(f->r, &f->port);
}

static int setup(void **state)
{
    struct fixture *f = g_new0(struct fixture, 1);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/test_runner.XXXXXX");
    *state = f;
    if (!mkdtemp(f->dir)) {
        return -1;
    }
    new_runner(f, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, f->dir, NULL};

    runner_free(f->r);
    for (int i = 0; i < RESULTS; i++) {
        g_free(f->seen[i].output);
    }
    assert_true(g_spawn_sync("/", argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    g_free(f);
    return 0;
}

static void run(struct fixture *f, uint64_t id, const char *agent, const char *serial, uint32_t timeout_ms)
{
    struct run_spec spec = {.id = id,
                            .fence = g_str_has_prefix(agent, "fence_"),
                            .agent = agent,
                            .action = "start",
                            .serial = serial,
                            .timeout_ms = timeout_ms};

    assert_int_equal(f->port.run(f->port.ctx, &spec), 0);
    assert_false(f->seen[id].done); /* always later */
}

/* What this thread has computed: what else the machine does is no delay of ours. */
static gint64 busy_us(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (gint64)t.tv_sec * G_USEC_PER_SEC + t.tv_nsec / 1000;
}

static gboolean on_beat(gpointer ctx)
{
    struct fixture *f = ctx;
    gint64 now = busy_us();

    f->gap_us = f->last_us && now - f->last_us > f->gap_us ? now - f->last_us : f->gap_us;
    f->last_us = now;
    return G_SOURCE_CONTINUE;
}

static void wait_for(struct fixture *f, unsigned dones, int seconds)
{
    gint64 end = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    guint beat = g_timeout_add(5, on_beat, f);

    f->last_us = 0;
    while (f->dones < dones && g_get_monotonic_time() < end) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    (void)g_source_remove(beat);
    assert_int_equal(f->dones, dones);
}

/* ---- results ---- */

static void results_come_word_for_word(void **state)
{
    struct fixture *f = *state;

    script(f, "ok", "echo state: running; echo \"config $OCF_RESKEY_config $1 $OCF_RESOURCE_TYPE\"");
    script(f, "bad",
           "echo noise >&2; echo 'ocf-exit-reason:first' >&2\n"
           "echo 'ocf-exit-reason:disk \"/a b/c\" is not there: mount it; ümläut 100%' >&2; echo tail >&2; "
           "exit 5");
    script(f, "mute", "exit 7");
    script(f, "rude",
           "printf 'a: \\033[2Jb\\r\\nc: d\\n'; printf 'ocf-exit-reason:\\033]0;title\\007\\n' >&2; exit 1");
    run(f, 1, "ok", NULL, 5000);
    run(f, 2, "bad", NULL, 5000);
    run(f, 3, "mute", NULL, 5000);
    run(f, 4, "missing", NULL, 5000);
    run(f, 5, "../bin/sh", NULL, 5000);
    run(f, 6, "rude", NULL, 5000);
    wait_for(f, 6, 10);
    assert_true(f->seen[1].res.started);
    assert_int_equal(f->seen[1].res.code, 0);
    assert_string_equal(f->seen[1].output, "state: running\nconfig  start ok\n");
    assert_string_equal(f->seen[1].res.reason, "");
    assert_int_equal(f->seen[2].res.code, 5);
    assert_string_equal(f->seen[2].res.reason, "disk \"/a b/c\" is not there: mount it; ümläut 100%");
    assert_int_equal(f->seen[3].res.code, 7);
    assert_string_equal(f->seen[3].res.reason, "exit status 7, without a reason");
    assert_false(f->seen[4].res.started);
    assert_non_null(strstr(f->seen[4].res.reason, "missing': No such file"));
    assert_false(f->seen[5].res.started);
    assert_string_equal(f->seen[6].output, "a: ?[2Jb?\nc: d\n"); /* no control character leaves the runner */
    assert_string_equal(f->seen[6].res.reason, "?]0;title?");
}

static void parameters_and_xml_arrive(void **state)
{
    struct fixture *f = *state;
    struct kv kv[] = {{(char[]){"hypervisor"}, (char[]){"qemu:///system"}},
                      {(char[]){"x"}, (char[]){"a b'\"$c\nd"}}};
    struct run_spec spec = {.id = 1,
                            .agent = "show",
                            .action = "start",
                            .timeout_ms = 5000,
                            .param = kv,
                            .params = 2,
                            .xml_uuid = "11111111-2222-3333-4444-555555555555",
                            .xml = "<domain>ü</domain>"};

    script(f, "show",
           "echo \"$OCF_RESKEY_hypervisor|$OCF_RESKEY_x|$OCF_ROOT|$HOME|$NOTIFY_SOCKET\"; stat -c %a "
           "\"$OCF_RESKEY_config\"; cat \"$OCF_RESKEY_config\"; ls /proc/self/fd | wc -l; pwd; read x; echo "
           "\"in=$x\"");
    assert_int_equal(setenv("NOTIFY_SOCKET", "/x", 1), 0);
    assert_int_equal(f->port.run(f->port.ctx, &spec), 0);
    spec.id = 2;
    spec.xml_uuid = "../../../../../tmp/evil-xml-aaaaaaaaaa";
    assert_int_equal(f->port.run(f->port.ctx, &spec), 0);
    wait_for(f, 2, 10);
    assert_int_equal(f->seen[1].res.code, 0);
    assert_non_null(strstr(f->seen[1].output, "qemu:///system|a b'\"$c\nd|"));
    assert_non_null(
        strstr(f->seen[1].output, "|/root|\n600\n<domain>ü</domain>4\n/\nin=\n")); /* 0 1 2 and ls's own */
    assert_false(f->seen[2].res.started);
    assert_non_null(strstr(f->seen[2].res.reason, "not a UUID"));
}

static void fence_parameters_go_to_the_input(void **state)
{
    struct fixture *f = *state;
    struct kv kv[] = {{(char[]){"ip"}, (char[]){"10.0.0.1"}},
                      {(char[]){"pcmk_host_list"}, (char[]){"node1"}},
                      {(char[]){"CRM_meta_timeout"}, (char[]){"1"}},
                      {(char[]){"password"}, (char[]){"a=b c"}},
                      {(char[]){"action"}, (char[]){"on"}}};
    struct run_spec spec = {.id = 1,
                            .fence = true,
                            .agent = "fence_show",
                            .action = "off",
                            .timeout_ms = 5000,
                            .param = kv,
                            .params = 5};

    script(f, "fence_show",
           "cat; echo \"args=$#\"; echo Traceback >&2; echo '  /x.py:1 DeprecationWarning' >&2; exit 1");
    assert_int_equal(f->port.run(f->port.ctx, &spec), 0);
    spec.id = 2;
    kv[3].value = (char[]){"a\naction=on"};
    assert_int_equal(f->port.run(f->port.ctx, &spec), 0);
    spec.id = 3;
    spec.agent = "show"; /* no fence agent */
    assert_int_equal(f->port.run(f->port.ctx, &spec), 0);
    wait_for(f, 3, 10);
    assert_string_equal(f->seen[1].output, "action=off\nip=10.0.0.1\npassword=a=b c\nargs=0\n");
    assert_string_equal(f->seen[1].res.reason, "Traceback");
    assert_false(f->seen[2].res.started);
    assert_non_null(strstr(f->seen[2].res.reason, "line break"));
    assert_false(f->seen[3].res.started);
}

/* ---- time ---- */

static void the_deadline_kills_the_whole_group(void **state)
{
    struct fixture *f = *state;
    char *mark = g_strdup_printf("%s/alive", f->dir), *text;
    gint64 begin = g_get_monotonic_time();

    text = g_strdup_printf("trap '' TERM; echo 'ocf-exit-reason:waiting' >&2; (trap '' TERM; sleep 4.2; "
                           "touch %s) & wait; sleep 9",
                           mark);
    script(f, "stubborn", text);
    script(f, "polite", "trap 'echo ocf-exit-reason:aborted >&2; exit 1' TERM; sleep 30 & wait");
    run(f, 1, "stubborn", NULL, 200);
    run(f, 2, "polite", NULL, 200);
    wait_for(f, 2, 10);
    assert_true(f->seen[1].res.timed_out);
    assert_string_equal(f->seen[1].res.reason, "not done in time; waiting");
    assert_in_range(f->seen[1].at_us - begin, 3000000, 4500000);
    assert_true(f->seen[2].res.timed_out);
    assert_string_equal(f->seen[2].res.reason, "not done in time; aborted");
    assert_in_range(f->seen[2].at_us - begin, 190000, 1500000);
    (void)usleep(1500000);
    assert_int_equal(access(mark, F_OK), -1); /* its child died with it */
    g_free(mark);
    g_free(text);
}

static gboolean cancel_one(gpointer ctx)
{
    struct fixture *f = ctx;

    f->port.cancel(f->port.ctx, 1);
    f->port.cancel(f->port.ctx, 2);
    f->port.cancel(f->port.ctx, 99);
    return G_SOURCE_REMOVE;
}

static void cancel_ends_it(void **state)
{
    struct fixture *f = *state;

    script(f, "long", "exec sleep 30");
    run(f, 1, "long", "vm1", 60000);
    run(f, 2, "long", "vm1", 60000);
    (void)g_timeout_add(100, cancel_one, f);
    wait_for(f, 2, 5);
    assert_true(f->seen[1].res.started);
    assert_false(f->seen[1].res.timed_out);
    assert_int_equal(f->seen[1].res.code, -1);
    assert_non_null(strstr(f->seen[1].res.reason, "cancelled"));
    assert_false(f->seen[2].res.started);
    assert_non_null(strstr(f->seen[2].res.reason, "cancelled"));
}

static void progress_is_seen_while_it_runs(void **state)
{
    struct fixture *f = *state;

    script(f, "move",
           "echo progress: 0.10; echo note; printf 'progress: 0.'; sleep 0.1; echo 55; sleep 0.3; echo "
           "state: running");
    run(f, 1, "move", NULL, 5000);
    for (int i = 0; i < 200 && !strstr(f->lines, "0.55"); i++) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    assert_false(f->seen[1].done);
    wait_for(f, 1, 5);
    assert_string_equal(f->lines, "1:progress: 0.10;1:progress: 0.55;");
    assert_string_equal(f->seen[1].output, "note\nstate: running\n");
}

/* ---- garbage ---- */

static void a_flood_costs_nothing(void **state)
{
    struct fixture *f = *state;
    struct rusage before, after;

    script(f, "flood", "yes garbage & exec yes more >&2");
    script(f, "zeros", "exec cat /dev/zero");
    script(f, "binary",
           "head -c 200000 /dev/urandom; printf '\\377\\376ocf' ; printf 'ocf-exit-reason:\\377bad\\n' >&2; "
           "exit 1");
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    run(f, 1, "flood", NULL, 1500);
    run(f, 2, "zeros", NULL, 1500);
    run(f, 3, "binary", NULL, 5000);
    wait_for(f, 3, 10);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(f->seen[1].res.timed_out);
    assert_in_range(strlen(f->seen[1].output), 10000, RUNNER_OUTPUT_MAX);
    assert_true(f->seen[2].res.timed_out);
    assert_int_equal(f->seen[3].res.code, 1);
    assert_string_equal(f->seen[3].res.reason, "\xef\xbf\xbd"
                                               "bad");
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 4096); /* KiB */
    assert_in_range(f->gap_us, 0, 200000);
    assert_in_range((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
                        before.ru_utime.tv_usec,
                    0, 500000);
}

static void a_daemon_left_behind_holds_nobody_up(void **state)
{
    struct fixture *f = *state;
    gint64 begin = g_get_monotonic_time();

    script(f, "leaves", "sleep 3 & echo done");
    run(f, 1, "leaves", NULL, 9000);
    wait_for(f, 1, 5);
    assert_in_range(g_get_monotonic_time() - begin, 0, 2000000);
    assert_string_equal(f->seen[1].output, "done\n");
}

/* ---- the queue ---- */

static void one_after_the_other(void **state)
{
    struct fixture *f = *state;

    script(f, "slow", "sleep 0.3");
    script(f, "quick", "exit 0");
    run(f, 1, "slow", "vm1", 5000);
    run(f, 2, "quick", "vm1", 5000);
    run(f, 3, "quick", "vm2", 5000);
    wait_for(f, 3, 5);
    assert_int_equal(f->seen[3].order, 1);
    assert_int_equal(f->seen[1].order, 2);
    assert_int_equal(f->seen[2].order, 3);
}

static void waiting_has_an_end(void **state)
{
    struct fixture *f = *state;

    script(f, "slow", "sleep 2.5");
    script(f, "quick", "exit 0");
    run(f, 1, "slow", "vm1", 9000);
    run(f, 2, "quick", "vm1", 300);
    wait_for(f, 2, 5);
    assert_int_equal(f->seen[2].order, 1);
    assert_false(f->seen[2].res.started);
    assert_non_null(strstr(f->seen[2].res.reason, "has not ended"));
}

static void a_burst_keeps_the_loop_alive(void **state)
{
    struct fixture *f = *state;

    script(f, "quick", "exit 0");
    script(f, "fence_x", "exit 0");
    for (uint64_t id = 1; id < 200; id++) {
        run(f, id, "quick", NULL, 30000);
    }
    run(f, 200, "fence_x", NULL, 30000);
    wait_for(f, 200, 30);
    for (uint64_t id = 1; id <= 200; id++) {
        assert_int_equal(f->seen[id].res.code, 0);
    }
    assert_in_range(f->seen[200].order, 1, 60); /* fencing does not wait behind the others */
    assert_in_range(f->gap_us, 0, 150000);
}

static bool has_child(void)
{
    char *path = g_strdup_printf("/proc/self/task/%d/children", (int)getpid()), *text = NULL;
    gsize len = 0;

    assert_true(g_file_get_contents(path, &text, &len, NULL));
    g_free(path);
    g_free(text);
    return len > 0;
}

/* What is to be run is there after the next turn of the loop: nothing is waited for. (How long a launch takes
 * is tests/bench/run's to say.) */
static void a_launch_waits_for_nothing(void **state)
{
    struct fixture *f = *state;

    script(f, "quick", "exit 0");
    for (uint64_t id = 1; id <= 20; id++) {
        run(f, id, "quick", NULL, 5000);
        assert_false(has_child());
        (void)g_main_context_iteration(NULL, FALSE);
        assert_true(has_child());
        wait_for(f, (unsigned)id, 5);
    }
}

/* ---- agents of an earlier daemon ---- */

static void orphans_are_seen(void **state)
{
    struct fixture *f = *state;
    char *mark = g_strdup_printf("%s/started", f->dir),
         *text = g_strdup_printf("touch %s; sleep 1; exit 0", mark);
    int status;
    pid_t pid;

    script(f, "fence_slow", text);
    assert_false(f->port.fence_orphans(f->port.ctx));
    pid = fork();
    if (pid == 0) { /* the earlier daemon: begins to fence, and is killed */
        new_runner(f, 77);
        run(f, 1, "fence_slow", NULL, 20000);
        while (access(mark, F_OK) < 0) {
            (void)g_main_context_iteration(NULL, FALSE);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    runner_free(f->r);
    new_runner(f, 2);
    assert_true(f->port.fence_orphans(f->port.ctx));
    run(f, 1, "fence_slow", NULL, 20000); /* our own ones are no orphans */
    (void)usleep(1300000);
    assert_false(f->port.fence_orphans(f->port.ctx));
    wait_for(f, 1, 5);
    g_free(mark);
    g_free(text);
}

/* ---- the nth call fails on the way to a running program (the linker hands these calls over, --wrap) ---- */

static long calls_left = -1; /* negative: nothing fails */

static bool call_fails(void)
{
    return calls_left >= 0 && calls_left-- == 0;
}

#define WRAP(type, name, params, args, failure)                                                              \
    type __real_##name params;                                                                               \
    type __wrap_##name params;                                                                               \
    type __wrap_##name params                                                                                \
    {                                                                                                        \
        return call_fails() ? (failure) : __real_##name args;                                                \
    }
WRAP(int, posix_spawn,
     (pid_t * pid, const char *path, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
      char *const argv[], char *const envp[]),
     (pid, path, files, attr, argv, envp), EAGAIN)
WRAP(int, posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * f, int from, int to), (f, from, to),
     ENOMEM)
WRAP(int, posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * f, int from), (f, from),
     ENOMEM)
WRAP(int, posix_spawn_file_actions_addchdir_np, (posix_spawn_file_actions_t * f, const char *path), (f, path),
     ENOMEM)
WRAP(int, pipe2, (int fd[2], int flags), (fd, flags), (errno = EMFILE, -1))
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), (errno = EMFILE, -1))
WRAP(ssize_t, write, (int fd, const void *data, size_t len), (fd, data, len), (errno = 0, (ssize_t)len / 2))
WRAP(int, flock, (int fd, int op), (fd, op), (errno = ENOLCK, -1))

static unsigned open_files(void)
{
    GDir *d = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(d)) {
        n++;
    }
    g_dir_close(d);
    return n;
}

/* Each in its turn, until one runs: the result says that it was not started and why; nothing is left open. */
static void every_call_may_fail(void **state)
{
    struct fixture *f = *state;
    struct kv param = {(char[]){"a"}, (char[]){"1"}};
    struct run_spec spec = {
        .fence = true, .agent = "fence_x", .action = "off", .timeout_ms = 5000, .param = &param, .params = 1};
    unsigned files = open_files();

    script(f, "fence_x", "cat >/dev/null; exit 0");
    for (spec.id = 1; spec.id < 40; spec.id++) {
        calls_left = (long)spec.id - 1;
        if (f->port.run(f->port.ctx, &spec) == 0) {
            wait_for(f, (unsigned)spec.id, 10);
        }
        if (calls_left >= 0) {
            break;
        }
        assert_true(f->seen[spec.id].done);
        assert_false(f->seen[spec.id].res.started);
        assert_true(strlen(f->seen[spec.id].res.reason) > 10);
        assert_int_equal(open_files(), files);
    }
    calls_left = -1;
    assert_in_range(spec.id, 10, 39);
    assert_true(f->seen[spec.id].res.started);
    assert_int_equal(f->seen[spec.id].res.code, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(results_come_word_for_word),
        T(parameters_and_xml_arrive),
        T(fence_parameters_go_to_the_input),
        T(the_deadline_kills_the_whole_group),
        T(cancel_ends_it),
        T(progress_is_seen_while_it_runs),
        T(a_flood_costs_nothing),
        T(a_daemon_left_behind_holds_nobody_up),
        T(one_after_the_other),
        T(waiting_has_an_end),
        T(a_burst_keeps_the_loop_alive),
        T(a_launch_waits_for_nothing),
        T(orphans_are_seen),
        T(every_call_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
