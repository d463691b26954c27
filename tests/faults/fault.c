#include "tests/faults/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

unsigned fault_host;
bool fault_no_cache;

static struct {
    bool on, paused, sticky, fired, stuck;
    enum fault_kind kind;
    unsigned long left, nth;
    unsigned host;
} fault;

void fault_arm(enum fault_kind kind, unsigned long nth, bool sticky)
{
    memset(&fault, 0, sizeof fault);
    fault.on = true;
    fault.kind = kind;
    fault.left = fault.nth = nth;
    fault.sticky = sticky;
}

void fault_off(void)
{
    fault.on = false;
}

void fault_pause(bool pause)
{
    fault.paused = pause;
}

void fault_clear(void)
{
    fault.stuck = false;
}

unsigned long fault_calls(void)
{
    return fault.nth - fault.left;
}

bool fault_fired(void)
{
    return fault.fired;
}

bool fault_hits(enum fault_kind kind)
{
    if (!fault.on || fault.paused || kind != fault.kind) {
        return false;
    }
    if (fault.fired) {
        return fault.stuck && fault.host == fault_host;
    }
    if (fault.left-- > 0) {
        return false;
    }
    fault.fired = true;
    fault.stuck = fault.sticky;
    fault.host = fault_host;
    return true;
}

const char *fault_key(enum fault_kind kind)
{
    static const char *const keys[FAULT_KINDS] = {[FAULT_ALLOC] = "alloc",
                                                  [FAULT_SQLITE_MEMORY] = "sqlite-memory",
                                                  [FAULT_SQLITE_CALL] = "sqlite-call",
                                                  [FAULT_WRITE] = "write",
                                                  [FAULT_FULL] = "full",
                                                  [FAULT_READ] = "read",
                                                  [FAULT_FSYNC] = "fsync",
                                                  [FAULT_FILE] = "file",
                                                  [FAULT_SPAWN] = "spawn"};

    return kind < FAULT_KINDS ? keys[kind] : "?";
}

/* ---- our allocations ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *fault_calloc(size_t n, size_t size)
{
    void *p = __real_calloc(n, size);

    if (p == NULL) {
        abort();
    }
    return p;
}

static bool no_memory(void)
{
    if (fault_hits(FAULT_ALLOC)) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

void *__wrap_malloc(size_t size)
{
    return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return no_memory() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return no_memory() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
    return no_memory() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return no_memory() ? NULL : __real_strndup(s, n);
}

/* ---- SQLite's allocations ---- */

static sqlite3_mem_methods real_mem;

static void *mem_malloc(int n)
{
    return fault_hits(FAULT_SQLITE_MEMORY) ? NULL : real_mem.xMalloc(n);
}

static void *mem_realloc(void *p, int n)
{
    return fault_hits(FAULT_SQLITE_MEMORY) ? NULL : real_mem.xRealloc(p, n);
}

void fault_init(void)
{
    sqlite3_mem_methods ours;

    (void)sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_mem);
    ours = real_mem;
    ours.xMalloc = mem_malloc;
    ours.xRealloc = mem_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) != SQLITE_OK) {
        abort();
    }
}

/* ---- our calls of SQLite: each may answer anything that its manual names ---- */

static bool call_fails(int *code)
{
    static const int codes[] = {SQLITE_IOERR_WRITE, SQLITE_FULL, SQLITE_NOMEM, SQLITE_BUSY};

    if (!fault_hits(FAULT_SQLITE_CALL)) {
        return false;
    }
    *code = codes[fault.nth % (sizeof codes / sizeof codes[0])];
    return true;
}

#define CALL(name, params, args)                                                                             \
    int __real_##name params;                                                                                \
    int __wrap_##name params;                                                                                \
    int __wrap_##name params                                                                                 \
    {                                                                                                        \
        int code;                                                                                            \
                                                                                                             \
        return call_fails(&code) ? code : __real_##name args;                                                \
    }

/* One that makes something: a failed call leaves NULL in *out. */
#define CALL_OUT(name, params, args)                                                                         \
    int __real_##name params;                                                                                \
    int __wrap_##name params;                                                                                \
    int __wrap_##name params                                                                                 \
    {                                                                                                        \
        int code;                                                                                            \
                                                                                                             \
        if (call_fails(&code)) {                                                                             \
            *out = NULL;                                                                                     \
            return code;                                                                                     \
        }                                                                                                    \
        return __real_##name args;                                                                           \
    }

CALL(sqlite3_step, (sqlite3_stmt * s), (s))
CALL(sqlite3_wal_checkpoint_v2, (sqlite3 * h, const char *db, int mode, int *log, int *ckpt),
     (h, db, mode, log, ckpt))
CALL(sqlite3_blob_read, (sqlite3_blob * b, void *data, int n, int at), (b, data, n, at))

int __real_sqlite3_exec(sqlite3 *h, const char *sql, int (*cb)(void *, int, char **, char **), void *ctx,
                        char **err);
int __wrap_sqlite3_exec(sqlite3 *h, const char *sql, int (*cb)(void *, int, char **, char **), void *ctx,
                        char **err);
int __wrap_sqlite3_exec(sqlite3 *h, const char *sql, int (*cb)(void *, int, char **, char **), void *ctx,
                        char **err)
{
    int code;

    if (call_fails(&code)) {
        return code;
    }
    code = __real_sqlite3_exec(h, sql, cb, ctx, err);
    if (fault_no_cache && strstr(sql, "cache_size") != NULL) {
        (void)__real_sqlite3_exec(h, "PRAGMA cache_size = 1", NULL, NULL, NULL);
    }
    return code;
}

int __real_sqlite3_open_v2(const char *name, sqlite3 **h, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *name, sqlite3 **h, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *name, sqlite3 **h, int flags, const char *vfs)
{
    int code, rc = __real_sqlite3_open_v2(name, h, flags, vfs); /* a failed one leaves a handle as well */

    return call_fails(&code) ? code : rc;
}

CALL_OUT(sqlite3_prepare_v2, (sqlite3 * h, const char *sql, int n, sqlite3_stmt **out, const char **tail),
         (h, sql, n, out, tail))
CALL_OUT(sqlite3_prepare_v3,
         (sqlite3 * h, const char *sql, int n, unsigned flags, sqlite3_stmt **out, const char **tail),
         (h, sql, n, flags, out, tail))
CALL_OUT(sqlite3_blob_open,
         (sqlite3 * h, const char *db, const char *table, const char *column, sqlite3_int64 row, int flags,
          sqlite3_blob **out),
         (h, db, table, column, row, flags, out))

const void *__real_sqlite3_column_blob(sqlite3_stmt *s, int column);
const void *__wrap_sqlite3_column_blob(sqlite3_stmt *s, int column);
const void *__wrap_sqlite3_column_blob(sqlite3_stmt *s, int column)
{
    int code;

    /* Out of memory: no bytes, and no length either ("Result Values From A Query"). */
    return call_fails(&code) ? NULL : __real_sqlite3_column_blob(s, column);
}

/* ---- the disk, in libc's place: for our code and for SQLite's ---- */

static ssize_t disk_write(int fd, const void *data, size_t len, int64_t at)
{
    if (fault_hits(FAULT_WRITE) || fault_hits(FAULT_FULL)) {
        (void)syscall(SYS_pwrite64, fd, data, len / 2, at); /* torn */
        errno = fault.kind == FAULT_FULL ? ENOSPC : EIO;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return disk_write(fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return disk_write(fd, data, len, at);
}

static ssize_t disk_read(int fd, void *data, size_t len, int64_t at)
{
    if (fault_hits(FAULT_READ)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, data, len, at);
}

ssize_t pread(int fd, void *data, size_t len, off_t at)
{
    return disk_read(fd, data, len, at);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t at)
{
    return disk_read(fd, data, len, at);
}

static int disk_sync(long call, int fd)
{
    if (fault_hits(FAULT_FSYNC)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, fd);
}

int fsync(int fd)
{
    return disk_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return disk_sync(SYS_fdatasync, fd);
}

static bool no_file(void)
{
    if (fault_hits(FAULT_FILE)) {
        errno = ENOSPC;
        return true;
    }
    return false;
}

/* ap: the mode, where the flags say that there is one. */
static int disk_open(const char *path, int flags, va_list ap)
{
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;

    return no_file() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                                                                           \
    int name(const char *path, int flags, ...)                                                               \
    {                                                                                                        \
        va_list ap;                                                                                          \
        int fd;                                                                                              \
                                                                                                             \
        va_start(ap, flags);                                                                                 \
        fd = disk_open(path, flags, ap);                                                                     \
        va_end(ap);                                                                                          \
        return fd;                                                                                           \
    }

OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode)
{
    return no_file() ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

int rename(const char *from, const char *to)
{
    return no_file() ? -1 : (int)syscall(SYS_rename, from, to);
}

int ftruncate64(int fd, off64_t size)
{
    return no_file() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}
