/*
 * test_store.c - the journal's store and its mark: what was acknowledged is there again (A4, A6), whatever
 * happens to the process or to the room on its disk.
 */
#include "common/rc.h"
#include "tests/unit/store_kit.h"

#include "adapters/history.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the journal ---- */

static void reload_is_equal(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct model *m = model_new(seed);
        struct store_port port;
        struct store *st = open_store(&port);
        struct journal_load l;

        load_well(&port, &l);
        assert_int_equal(l.incarnation, 0);
        assert_int_equal(l.n_entries, 0);
        assert_false(l.lost);
        assert_int_not_equal(l.fresh.incarnation, 0);
        for (int i = 0; i < 150; i++) {
            uint8_t *blob;

            model_step(m, &blob);
            persist_well(&port, m);
            if (i % 7 == 0) {
                journal_load_fini(&l);
                load_well(&port, &l);
                assert_true(load_equals(m, &l));
                assert_true(mark_equals(&l.mark, &m->p.mark));
            }
        }
        assert_string_equal(said, "");
        journal_load_fini(&l);
        store_free(st);
        model_fini(m);
        renew_base();
    }
}

static void gaps_are_refused(void **state)
{
    struct model *m = model_new(5);
    struct store_port port;
    struct store *st = start_store(&port);
    struct err err = ERR_INIT;
    bool fsync_failed;

    (void)state;
    for (uint64_t i = 1; i < 9; i++) {
        model_entry(m, i, 1);
    }
    m->p.first = 1;
    m->p.last = 3;
    persist_well(&port, m);
    m->p.first = 5;
    m->p.last = 6;
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), RC_IO);
    assert_non_null(strstr(err.msg, "do not follow"));
    m->p.first = 4;
    persist_well(&port, m);
    store_free(st);
    model_fini(m);
}

static void snapshots_are_read_in_pieces(void **state)
{
    struct journal_snapshot s = {.index = 3, .term = 1, .size = 100000};
    struct model *m = model_new(8);
    struct store_port port;
    struct store *st = start_store(&port);
    struct journal_load l;
    struct err err = ERR_INIT;
    uint8_t *blob, piece[1000];
    bool fsync_failed;

    (void)state;
    blob = draw_blob(&s);
    assert_int_equal(port.snapshot_read(port.ctx, 3, 0, piece, 1), RC_NOT_FOUND);
    for (uint64_t i = 1; i < 5; i++) {
        model_entry(m, i, 1);
    }
    m->p.first = 1;
    m->p.last = 4;
    persist_well(&port, m);
    assert_int_equal(port.snapshot(port.ctx, &s, blob, &fsync_failed, &err), 0);
    assert_int_equal(port.snapshot_read(port.ctx, 3, 99000, piece, 1000), 0);
    assert_memory_equal(piece, blob + 99000, 1000);
    assert_int_equal(port.snapshot_read(port.ctx, 3, 99001, piece, 1000), RC_USAGE);
    assert_int_equal(port.snapshot_read(port.ctx, 2, 0, piece, 1), RC_NOT_FOUND);
    load_well(&port, &l);
    assert_int_equal(l.snapshot.index, 3);
    assert_int_equal(l.n_entries, 4); /* the tail stays until the journal trims it */
    assert_memory_equal(l.blob, blob, s.size);
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
    free(blob);
}

static off_t size_of(const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    sub(path, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* A commit stores no new length of a file: it would cost its fsync as much again. Over more than one
 * checkpoint. */
static void the_log_of_commits_does_not_grow(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st = start_store(&port);
    uint8_t *blob;
    off_t before;

    (void)state;
    before = size_of(STORE_DB "-wal");
    assert_true(before > 1000 * 4096);
    for (int i = 0; i < 600; i++) {
        model_step(m, &blob);
        persist_well(&port, m);
    }
    assert_int_equal(size_of(STORE_DB "-wal"), before);
    assert_stored(&port, m);
    store_free(st);
    model_fini(m);
}

/* ---- a full disk ---- */

/* A real disk that is full: a small tmpfs of our own. */
static void fill_disk(void)
{
    struct model *m = model_new(9), *before = NULL;
    struct store_port port;
    struct store *st;
    struct err err = ERR_INIT;
    bool fsync_failed = false;
    char path[PATH_MAX];
    int fd;

    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("none", base, "tmpfs", 0, "size=600k"), 0);
    sub(path, "ballast");
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 200 * 1024), 0);
    (void)close(fd);
    st = start_store(&port);
    assert_true(persist_until_failure(&port, m, &before, 400, &fsync_failed, &err));
    assert_int_equal(err.rc, RC_IO);
    assert_false(fsync_failed);
    assert_non_null(strstr(err.hint, "make room"));
    assert_stored(&port, before);
    /* With room again it goes on. */
    assert_int_equal(unlink(path), 0);
    persist_well(&port, m);
    assert_stored(&port, m);
    store_free(st);
    model_fini(m);
    model_fini(before);
}

static void in_child(void (*fn)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    in_child(fill_disk);
}

/* ---- killed in the middle ---- */

static void write_for_ever(int out, uint64_t seed)
{
    struct model *m = model_new(seed);
    struct store_port port;
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed;

    (void)open_store(&port);
    if (port.load(port.ctx, &l, &err)) {
        _exit(1);
    }
    for (;;) {
        m->p.first = ++m->last;
        m->p.last = m->last = m->p.first + rnd(3);
        for (uint64_t i = m->p.first; i <= m->p.last; i++) {
            model_entry(m, i, 1);
        }
        m->p.mark = (struct journal_mark){m->p.incarnation, m->p.cluster, 1, m->last};
        while (m->last > MODEL_MAX - 10) {
            (void)pause();
        }
        if (port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err) ||
            write(out, &m->last, sizeof m->last) != sizeof m->last) {
            _exit(1);
        }
    }
}

static void a_kill_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct store_port port;
        struct store *st;
        struct journal_load l;
        uint64_t acknowledged = 0, v;
        int fd[2], status;
        pid_t pid;

        assert_int_equal(pipe(fd), 0);
        pid = fork();
        if (pid == 0) {
            write_for_ever(fd[1], seed);
        }
        (void)close(fd[1]);
        rnd_state = seed * 7919;
        (void)usleep((useconds_t)(5000 + rnd(60000)));
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(fd[0], &v, sizeof v) == sizeof v) {
            acknowledged = v;
        }
        (void)close(fd[0]);
        st = open_store(&port);
        load_well(&port, &l);
        assert_string_equal(said, "");
        assert_true(l.n_entries >= acknowledged);
        assert_true(l.n_entries >= l.mark.index);
        assert_true(l.mark.index >= acknowledged);
        journal_load_fini(&l);
        store_free(st);
        renew_base();
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(reload_is_equal),
        T(gaps_are_refused),
        T(snapshots_are_read_in_pieces),
        T(the_log_of_commits_does_not_grow),
        T(a_full_disk_is_told),
        T(a_kill_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
