/*
 * test_store_io.c - failing writes and fsyncs: what was acknowledged stays, what failed is there whole or not
 * at all, and a failed fsync is told apart (A4).
 */
#include "common/rc.h"
#include "tests/unit/store_kit.h"

#include "adapters/db.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- failing calls: a thin layer over SQLite's own file system, which fails the nth call ---- */

static sqlite3_vfs shim_vfs, *real_vfs;
static int shim_countdown = -1; /* of writes and syncs; 0: this one fails */
static bool shim_sync_only;
static int shim_code;

struct shim_file {
    sqlite3_file file;
    sqlite3_io_methods methods;
    sqlite3_file *real;
};

static bool shim_fails(bool sync)
{
    if (shim_countdown < 0 || (shim_sync_only && !sync) || (shim_code == SQLITE_FULL && sync)) {
        return false;
    }
    return shim_countdown-- == 0;
}

#define REAL(f) (((struct shim_file *)(void *)(f))->real)

static int shim_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    if (shim_fails(false)) {
        (void)REAL(f)->pMethods->xWrite(REAL(f), data, n / 2, at); /* torn */
        return shim_code ? shim_code : SQLITE_IOERR_WRITE;
    }
    return REAL(f)->pMethods->xWrite(REAL(f), data, n, at);
}
static int shim_sync(sqlite3_file *f, int flags)
{
    return shim_fails(true) ? SQLITE_IOERR_FSYNC : REAL(f)->pMethods->xSync(REAL(f), flags);
}
static int shim_close(sqlite3_file *f)
{
    return REAL(f)->pMethods->xClose(REAL(f));
}
static int shim_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    return REAL(f)->pMethods->xRead(REAL(f), data, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return REAL(f)->pMethods->xTruncate(REAL(f), size);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), size);
}
static int shim_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}
static int shim_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}
static int shim_reserved(sqlite3_file *f, int *out)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}
static int shim_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}
static int shim_sector(sqlite3_file *f)
{
    return REAL(f)->pMethods->xSectorSize(REAL(f));
}
static int shim_device(sqlite3_file *f)
{
    return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct shim_file *f = (struct shim_file *)(void *)file;
    int rc;

    (void)vfs;
    f->real = (sqlite3_file *)(void *)(f + 1);
    rc = real_vfs->xOpen(real_vfs, name, f->real, flags, out);
    f->methods = (sqlite3_io_methods){
        .iVersion = 1, /* no shared memory: our connections are exclusive */
        .xClose = shim_close,
        .xRead = shim_read,
        .xWrite = shim_write,
        .xTruncate = shim_truncate,
        .xSync = shim_sync,
        .xFileSize = shim_size,
        .xLock = shim_lock,
        .xUnlock = shim_unlock,
        .xCheckReservedLock = shim_reserved,
        .xFileControl = shim_control,
        .xSectorSize = shim_sector,
        .xDeviceCharacteristics = shim_device,
    };
    file->pMethods = rc == SQLITE_OK ? &f->methods : NULL;
    return rc;
}

static void shim_on(void)
{
    if (!real_vfs) {
        real_vfs = sqlite3_vfs_find(NULL);
        shim_vfs = *real_vfs;
        shim_vfs.zName = "shim";
        shim_vfs.pNext = NULL;
        shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
        shim_vfs.xOpen = shim_open;
    }
    assert_int_equal(sqlite3_vfs_register(&shim_vfs, 1), SQLITE_OK);
    shim_countdown = -1;
}

static void shim_off(void)
{
    shim_countdown = -1;
    assert_int_equal(sqlite3_vfs_unregister(&shim_vfs), SQLITE_OK);
    assert_int_equal(sqlite3_vfs_register(real_vfs, 1), SQLITE_OK);
}

/* Runs a fixed list of transactions while the nth write or sync fails. Answers whether it was reached. */
static bool run_with_failure(int nth, bool sync_only, int code)
{
    struct model *m = model_new(31), *before = NULL;
    struct store_port port;
    struct store *st;
    struct journal_load l;
    struct err err = ERR_INIT;
    bool fsync_failed = false, failed;

    st = start_store(&port);
    shim_sync_only = sync_only;
    shim_code = code;
    shim_countdown = nth;
    failed = persist_until_failure(&port, m, &before, 40, &fsync_failed, &err);
    shim_countdown = -1;
    if (failed) {
        assert_int_equal(err.rc, RC_IO);
        assert_true(err.msg[0] != '\0');
        assert_true(!sync_only || fsync_failed);
        assert_true(code != SQLITE_FULL || (!fsync_failed && err.hint[0] != '\0'));
    }
    load_well(&port, &l);
    assert_string_equal(said, "");
    /* What was acknowledged is there; what failed is there whole or not at all. */
    if (!load_equals(m, &l) && !(failed && (before->p.seq ? load_equals(before, &l) : l.incarnation == 0))) {
        fail_msg("call %d (only syncs: %d, code %d), transaction %llu: neither before nor after; %s", nth,
                 sync_only, code, (unsigned long long)m->p.seq, err.msg);
    }
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
    model_fini(before);
    renew_base();
    return failed;
}

static void every_failed_write_is_clean(void **state)
{
    int n = 0;

    (void)state;
    shim_on();
    while (run_with_failure(n, false, SQLITE_IOERR_WRITE)) {
        n += 1 + n / 16;
    }
    assert_true(n > 40);
    for (n = 0; run_with_failure(n, false, SQLITE_FULL); n += 1 + n / 4) {
    }
    assert_true(n > 20);
    shim_off();
}

static void every_failed_fsync_is_told_apart(void **state)
{
    int n = 0;

    (void)state;
    shim_on();
    while (run_with_failure(n, true, 0)) {
        n++;
    }
    assert_true(n >= 40); /* at least one for each transaction */
    shim_off();
}

static bool fsync_breaks;

/* Instead of libc's: the next one of the reserved log fails. SQLite calls fdatasync. */
int fsync(int fd)
{
    struct stat st;

    if (fsync_breaks && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 4 << 20) {
        fsync_breaks = false;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static bool mark_breaks;

/* The acknowledged mark's, of two blocks; SQLite's own goes through. */
int fdatasync(int fd)
{
    struct stat st;

    if (mark_breaks && fstat(fd, &st) == 0 && st.st_size <= 2 * 4096) {
        mark_breaks = false;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* A10: a promise is in the mark, on the disk, before it is told; when its fsync fails, the store is void
 * (A4). */
static void a_failed_fsync_of_the_mark_is_told(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st = start_store(&port);
    struct err err = ERR_INIT;
    uint8_t *blob;
    bool fsync_failed = false;

    (void)state;
    model_step(m, &blob);
    m->p.mark.term++;
    mark_breaks = true;
    assert_int_equal(port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err), RC_IO);
    assert_false(mark_breaks);
    assert_true(fsync_failed);
    store_free(st);
    model_fini(m);
}

/* A daemon that was killed leaves a log that may not be on the disk yet. When the fsync that finds that out
 * fails, the next start would see the pages as clean, and acknowledge them (A4). */
static void a_failed_fsync_at_the_start_voids_the_store(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st = start_store(&port);
    struct journal_load l;
    uint8_t *blob;
    char path[PATH_MAX];

    (void)state;
    model_step(m, &blob);
    persist_well(&port, m);
    store_free(st);
    sub(path, STORE_DB "-wal");
    assert_int_equal(truncate(path, 512 * 1024), 0); /* as it was before it was reserved */
    st = open_store(&port);
    fsync_breaks = true;
    load_well(&port, &l);
    assert_false(fsync_breaks);
    assert_int_equal(l.incarnation, 0);
    assert_true(l.lost);
    journal_load_fini(&l);
    store_free(st);
    model_fini(m);
}

/* The same while the database is first created: whichever of its fsyncs fails, the file is not used. */
static void a_failed_fsync_of_the_creation_voids_the_store(void **state)
{
    struct store_port port;
    struct store *st;
    struct journal_load l;
    char path[PATH_MAX];
    int n = 0;
    bool reached;

    (void)state;
    shim_on();
    do {
        st = open_store(&port);
        load_well(&port, &l); /* the trail's own files are made here */
        assert_false(l.lost);
        journal_load_fini(&l);
        sub(path, STORE_DB);
        assert_int_equal(unlink(path), 0);
        sub(path, STORE_DB "-wal");
        (void)unlink(path);
        shim_sync_only = true;
        shim_countdown = n++;
        load_well(&port, &l);
        reached = shim_countdown < 0;
        shim_countdown = -1;
        assert_int_equal(l.incarnation, 0);
        assert_int_equal(l.lost, reached);
        journal_load_fini(&l);
        store_free(st);
        renew_base();
    } while (reached);
    assert_true(n > 1);
    shim_off();
}

/* SQLite's own automatic checkpoint would swallow a failed fsync; ours does not. */
static void a_failed_checkpoint_is_told(void **state)
{
    struct model *m = model_new(3);
    struct store_port port;
    struct store *st;
    struct err err = ERR_INIT;
    bool fsync_failed = false, told = false;

    (void)state;
    shim_on();
    st = start_store(&port);
    for (int i = 0; i < 1000 && !told; i++) {
        m->p.first = m->p.last = ++m->last;
        free((void *)(uintptr_t)m->j.e[m->last].payload);
        m->j.e[m->last] =
            (struct journal_entry){.index = m->last, .term = 1, .kind = JOURNAL_DATA, .len = 20000};
        m->j.e[m->last].payload = calloc(1, 20000);
        shim_sync_only = true;
        shim_countdown = 1; /* the first sync, of the log, goes well; a second one is the checkpoint's */
        if (port.persist(port.ctx, &m->j, &m->p, &fsync_failed, &err)) {
            told = fsync_failed;
            break;
        }
    }
    assert_true(told);
    shim_off();
    store_free(st);
    model_fini(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(every_failed_write_is_clean),
        T(every_failed_fsync_is_told_apart),
        T(a_failed_fsync_of_the_mark_is_told),
        T(a_failed_fsync_at_the_start_voids_the_store),
        T(a_failed_fsync_of_the_creation_voids_the_store),
        T(a_failed_checkpoint_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
