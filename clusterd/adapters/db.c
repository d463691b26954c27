#include "adapters/db.h"

#include "common/mutant.h"
#include "common/rc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DB_CHECKPOINT_PAGES 1000 /* 4 MiB; SQLite's own default */
#define DB_COMMIT_PAGES     256  /* room for the commit that exceeds it */
#define DB_BUSY_MS          2000 /* somebody looks into the file with another tool */

int db_exec(struct db *db, const char *sql)
{
    return sqlite3_exec(db->h, sql, NULL, NULL, NULL);
}

int db_prepare(struct db *db, sqlite3_stmt **stmt, const char *sql)
{
    if (*stmt) {
        (void)sqlite3_reset(*stmt);
        (void)sqlite3_clear_bindings(*stmt);
        return SQLITE_OK;
    }
    return sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
}

int db_run(sqlite3_stmt *stmt)
{
    int code = sqlite3_step(stmt), reset = sqlite3_reset(stmt);

    return code == SQLITE_DONE ? reset : code;
}

bool db_is_fsync(int code)
{
    return (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC) && !MUTANT(failed_fsync_is_a_write);
}

/* The file's content cannot be had: damaged, or on a bad part of the disk. SQLITE_ERROR as well: our
 * statements are always the same, so what SQLite cannot make of them is that the file's schema is not the one
 * that we made. */
static bool is_corrupt(int code)
{
    return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB ||
           (code & 0xff) == SQLITE_ERROR || code == SQLITE_IOERR_READ || code == SQLITE_IOERR_SHORT_READ ||
           code == SQLITE_IOERR_CORRUPTFS || (code & 0xff) == SQLITE_FORMAT;
}

int db_fail(const struct db *db, int code, const char *what, struct err *err)
{
    int rc = is_corrupt(code) ? RC_CORRUPT : (code & 0xff) == SQLITE_NOMEM ? RC_NO_MEMORY : RC_IO;
    int sys = db->h ? sqlite3_system_errno(db->h) : 0;

    (void)err_set(err, rc, "%s '%s': %s (SQLite code %d%s%s)", what, db->path, sqlite3_errstr(code), code,
                  sys ? ", " : "", sys ? strerror(sys) : "");
    if ((code & 0xff) == SQLITE_FULL || sys == ENOSPC) {
        err_hint(err, "make room on the disk that has %s", db->path);
    }
    return rc;
}

/* The first column of the first row. */
static int get_text(struct db *db, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db->h, sql, -1, &stmt, NULL);

    out[0] = '\0';
    if (code == SQLITE_OK) {
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            const unsigned char *text = sqlite3_column_text(stmt, 0);

            (void)snprintf(out, size, "%s", text ? (const char *)text : "");
            code = SQLITE_OK;
        } else if (code == SQLITE_DONE) {
            code = SQLITE_OK;
        }
    }
    (void)sqlite3_finalize(stmt);
    return code;
}

static int get_number(struct db *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db->h, sql, -1, &stmt, NULL);

    *out = 0;
    if (code == SQLITE_OK) {
        code = sqlite3_step(stmt);
        if (code == SQLITE_ROW) {
            *out = sqlite3_column_int64(stmt, 0);
        }
        code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
    }
    (void)sqlite3_finalize(stmt);
    return code;
}

static int count_wal_pages(void *ctx, sqlite3 *h, const char *name, int pages)
{
    struct db *db = ctx;

    (void)h;
    (void)name;
    db->wal_pages = pages;
    return SQLITE_OK;
}

static int set_pragmas(struct db *db)
{
    /* EXCLUSIVE before the first access: the WAL index is in our memory, and nobody else writes meanwhile. */
    int code =
        db_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;"
                    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");

    if (code == SQLITE_OK) {
        code = db_exec(db, db->kind->durable && !MUTANT(commit_not_synced)
                               ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"
                               : "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    }
    if (code == SQLITE_OK && db->kind->durable) {
        /* SQLite's own checkpoint after a commit would swallow its errors, a failed fsync among them (A4). */
        code = db_exec(db, "PRAGMA wal_autocheckpoint = 0");
        (void)sqlite3_wal_hook(db->h, count_wal_pages, db);
    }
    return code;
}

static int create(struct db *db)
{
    char sql[128];
    int code;

    (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %u; PRAGMA user_version = %d",
                   (unsigned)db->kind->application_id, db->kind->format);
    code = db_exec(db, "BEGIN IMMEDIATE");
    if (code == SQLITE_OK) {
        code = db_exec(db, db->kind->schema);
    }
    if (code == SQLITE_OK) {
        code = db_exec(db, sql);
    }
    if (code == SQLITE_OK) {
        code = db_exec(db, "COMMIT");
    }
    return code;
}

/* A4: after a failed fsync the next look at the file may show as stored what never reached the disk. */
static int open_failed(const struct db *db, int code, const char *what, struct err *err)
{
    int rc = db_fail(db, code, what, err);

    if (db->kind->durable && db_is_fsync(code) && !MUTANT(accept_failed_creation)) {
        rc = err->rc = RC_CORRUPT;
    }
    return rc;
}

/* Whose file it is, and of which format; creates the tables of an empty one. */
static int check_format(struct db *db, struct err *err)
{
    int64_t id = 0, format = 0, tables = 0;
    int code = get_number(db, "PRAGMA application_id", &id);

    if (code == SQLITE_OK) {
        code = get_number(db, "PRAGMA user_version", &format);
    }
    if (code == SQLITE_OK) {
        code = get_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    }
    if (code == SQLITE_OK && id == 0 && format == 0 && tables == 0) {
        code = set_pragmas(db);
        code = code == SQLITE_OK ? create(db) : code;
        return code == SQLITE_OK ? 0 : open_failed(db, code, "creating", err);
    }
    if (code != SQLITE_OK) {
        return db_fail(db, code, "reading", err);
    }
    if ((uint32_t)id != db->kind->application_id) {
        return err_set(err, RC_CORRUPT, "'%s' is not a file of clusterd (application id %lld)", db->path,
                       (long long)id);
    }
    if (format < 0 || format > DB_FORMAT_MAX) {
        return err_set(err, RC_CORRUPT, "'%s' is damaged: no clusterd has written format %lld", db->path,
                       (long long)format);
    }
    if (format > db->kind->format) {
        err_set(err, RC_REFUSED, "'%s' has format %lld; this clusterd knows formats up to %d", db->path,
                (long long)format, db->kind->format);
        err_hint(err, "a newer clusterd wrote it: install that version again");
        return RC_REFUSED;
    }
    code = set_pragmas(db);
    return code == SQLITE_OK ? 0 : open_failed(db, code, "opening", err);
}

static int check_content(struct db *db, struct err *err)
{
    char result[256];
    int code;

    if (!db->kind->durable) {
        return 0; /* the audit trail may be large; what is wrong with it shows when it is used */
    }
    code = get_text(db, "PRAGMA quick_check(1)", result, sizeof result);
    if (code != SQLITE_OK) {
        return db_fail(db, code, "checking", err);
    }
    if (strcmp(result, "ok") != 0) {
        return err_set(err, RC_CORRUPT, "'%s' is damaged: %s", db->path, result);
    }
    return 0;
}

/*
 * Writes the write-ahead log's file to its full length once. From then on SQLite overwrites it from its
 * beginning after each checkpoint, so that a commit's fsync has no new length and no new blocks to store:
 * less than half of the time where several wait for one disk. Zeros behind the last frame are no frames
 * (SQLite, "WAL file format"). A disk that is nearly full is left as it is.
 */
static int reserve_wal(const struct db *db, struct err *err)
{
    static const char zeros[64 * 1024];
    const off_t want = (off_t)(DB_CHECKPOINT_PAGES + DB_COMMIT_PAGES) * (4096 + 24);
    char path[PATH_MAX + 8];
    struct statvfs disk;
    struct stat st;
    int fd, rc = 0;
    off_t at = want;

    (void)snprintf(path, sizeof path, "%s-wal", db->path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || fstatvfs(fd, &disk) < 0) {
        rc = err_set(err, RC_IO, "cannot open '%s': %s", path, strerror(errno));
    } else if (disk.f_bavail >= 16 * (uint64_t)want / disk.f_frsize) {
        at = st.st_size;
    }
    if (at < want) {
        for (ssize_t n = 1; at < want && n > 0; at += n) {
            n = pwrite(fd, zeros, want - at < (off_t)sizeof zeros ? (size_t)(want - at) : sizeof zeros, at);
        }
        if (fsync(fd) < 0) {
            /* A4: what a killed daemon has left here may never reach the disk, and the next look shows it as
             * clean. */
            rc = err_set(err, RC_CORRUPT, "fsync of '%s': %s", path, strerror(errno));
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

int db_open(struct db *db, const struct db_kind *kind, const char *path, struct err *err)
{
    mode_t mask = umask(0077); /* domain XMLs and fence parameters hold passwords */
    int code, rc;

    *db = (struct db){.kind = kind};
    (void)snprintf(db->path, sizeof db->path, "%s", path);
    code =
        sqlite3_open_v2(path, &db->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    (void)umask(mask);
    if (code == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(db->h, 1);
        (void)sqlite3_busy_timeout(db->h, DB_BUSY_MS);
        (void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        code = db_exec(db, "PRAGMA locking_mode = EXCLUSIVE");
    }
    if (code != SQLITE_OK) {
        rc = db_fail(db, code, "opening", err);
    } else {
        rc = check_format(db, err);
    }
    if (rc == 0) {
        rc = check_content(db, err);
    }
    if (rc == 0 && kind->durable) {
        rc = reserve_wal(db, err);
    }
    if (rc) {
        db_close(db);
    }
    return rc;
}

void db_close(struct db *db)
{
    /* Statements that are left over would keep the file open and locked; there are none but by a mistake. */
    (void)sqlite3_close_v2(db->h);
    db->h = NULL;
    db->wal_pages = 0;
}

int db_checkpoint(struct db *db)
{
    int code;

    if (db->wal_pages < DB_CHECKPOINT_PAGES) {
        return SQLITE_OK;
    }
    code = sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (code == SQLITE_OK) {
        db->wal_pages = 0;
    }
    return code;
}

int db_sync_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0 || fsync(fd) < 0) {
        rc = err_set(err, RC_IO, "cannot make the entries of folder '%s' last: %s", dir, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static int make_aside_dir(const char *dir, char where[PATH_MAX], struct err *err)
{
    char base[PATH_MAX], stamp[32];
    time_t now = time(NULL);
    struct tm tm;

    (void)snprintf(base, sizeof base, "%s/aside", dir);
    if (mkdir(base, 0700) < 0 && errno != EEXIST) {
        return err_set(err, RC_IO, "cannot make folder '%s': %s", base, strerror(errno));
    }
    (void)gmtime_r(&now, &tm);
    (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(where, PATH_MAX, i ? "%s/%s-%d" : "%s/%s", base, stamp, i);

        if (n < 0 || n >= PATH_MAX) {
            return err_set(err, RC_IO, "the path of '%s' is too long", base);
        }
        if (mkdir(where, 0700) == 0) {
            return 0;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return err_set(err, RC_IO, "cannot make folder '%s': %s", where, strerror(errno));
}

static int write_reason(const char *where, const char *why, struct err *err)
{
    char path[PATH_MAX];
    size_t len = strlen(why);
    int fd, rc = 0;

    (void)snprintf(path, sizeof path, "%.4000s/reason", where);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, why, len) != (ssize_t)len || write(fd, "\n", 1) != 1 || fsync(fd) < 0) {
        rc = err_set(err, RC_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

int db_set_aside(const char *dir, const char *const *name, size_t names, const char *why,
                 char where[PATH_MAX], struct err *err)
{
    char base[PATH_MAX];
    int rc = make_aside_dir(dir, where, err);

    if (rc) {
        return rc;
    }
    /* First all is moved, then made to last: on a disk whose fsyncs fail, the next start must not find it
     * here (A4). Without the reason (a full disk) the files still move: it is in the log as well. */
    (void)write_reason(where, why, NULL);
    for (size_t i = 0; i < names; i++) {
        char from[PATH_MAX], to[PATH_MAX];

        (void)snprintf(from, sizeof from, "%.4000s/%s", dir, name[i]);
        (void)snprintf(to, sizeof to, "%.4000s/%s", where, name[i]);
        if (rename(from, to) < 0 && errno != ENOENT) {
            return err_set(err, RC_IO, "cannot move '%s' to '%s': %s", from, to, strerror(errno));
        }
    }
    (void)snprintf(base, sizeof base, "%.4000s/aside", dir);
    rc = db_sync_dir(where, err);
    rc = rc ? rc : db_sync_dir(base, err);
    return rc ? rc : db_sync_dir(dir, err);
}
