/*
 * damage.c - a small cluster (world.h, life.h) in which one host's files are damaged, while its daemon is
 * down or while it runs. However: the others go on, what was acknowledged is there, nothing else is ever
 * taken for it (S5 at each index), and the host heals from the others; what cannot be used was set aside, not
 * deleted.
 *
 *   damage [-v] [KIND [PLACE]]   one kind, one place (0 to 99 of the file); else all, or with --slice K/N
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/fault.h"
#include "tests/faults/life.h"
#include "tests/faults/world.h"

#define PLACES 100
#define PAGE   4096
#define DB     "clusterd.db"
#define WAL    "clusterd.db-wal"
#define MARK   "clusterd.mark"

static char base[64];
static uint8_t *older[3]; /* the files as they were some time before */
static size_t older_len[3];
static const char *const files[3] = {DB, WAL, MARK};

/* ---- files ---- */

static void path_of(char out[200], const struct host *h, const char *file)
{
    (void)snprintf(out, 200, "%s/%s", h->dir, file);
}

static uint8_t *slurp(const struct host *h, const char *file, size_t *len)
{
    char path[200];
    struct stat st;
    uint8_t *data;
    int fd;

    path_of(path, h, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        *len = 0;
        return NULL;
    }
    data = fault_calloc(1, (size_t)st.st_size + 1);
    if (read(fd, data, (size_t)st.st_size) != st.st_size) {
        abort();
    }
    (void)close(fd);
    *len = (size_t)st.st_size;
    return data;
}

static void spill(const struct host *h, const char *file, const void *data, size_t len)
{
    char path[200];
    int fd;

    path_of(path, h, file);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len || ftruncate(fd, (off_t)len) < 0) {
        abort();
    }
    (void)close(fd);
}

/* Without the zeros at the end of the log that was reserved. */
static size_t used(const uint8_t *data, size_t len)
{
    while (len > 0 && data[len - 1] == 0) {
        len--;
    }
    return len;
}

static void forget(void)
{
    for (int i = 0; i < 3; i++) {
        free(older[i]);
        older[i] = NULL;
    }
}

static void remember(const struct host *h)
{
    forget();
    for (int i = 0; i < 3; i++) {
        older[i] = slurp(h, files[i], &older_len[i]);
    }
}

/* ---- kinds of damage; place: how far into the file, in hundredths ---- */

static void flip(const struct host *h, const char *file, unsigned place)
{
    size_t len, at;
    uint8_t *data = slurp(h, file, &len);

    if (data != NULL && (len = used(data, len)) > 0) {
        at = len * place / PLACES;
        data[at] ^= (uint8_t)(1u << place % 8);
        spill(h, file, data, len);
    }
    free(data);
}

static void cut(const struct host *h, const char *file, unsigned place)
{
    size_t len;
    uint8_t *data = slurp(h, file, &len);

    if (data != NULL) {
        spill(h, file, data, used(data, len) * place / PLACES);
    }
    free(data);
}

/* The second half of one page was never written: zeros, or what was there before. */
static void tear(const struct host *h, unsigned place, bool zeros)
{
    size_t len, at;
    uint8_t *data = slurp(h, DB, &len);

    at = len * place / PLACES / PAGE * PAGE + PAGE / 2;
    if (data != NULL && at + PAGE / 2 <= len) {
        if (zeros || older[0] == NULL || at + PAGE / 2 > older_len[0]) {
            memset(data + at, 0, PAGE / 2);
        } else {
            memcpy(data + at, older[0] + at, PAGE / 2);
        }
        spill(h, DB, data, len);
    }
    free(data);
}

static void lose(const struct host *h, const char *file)
{
    char path[200];

    path_of(path, h, file);
    (void)unlink(path);
}

/* All of the log into the file, so that damage to the file is damage to what counts. */
static void fold(const struct host *h)
{
    char path[200];
    sqlite3 *db = NULL;

    path_of(path, h, DB);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, "SELECT count(*) FROM entry; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) !=
            SQLITE_OK) {
        abort();
    }
    (void)sqlite3_close(db);
}

static void old_mark(const struct host *h, unsigned place)
{
    (void)place;
    if (older[2] != NULL) {
        spill(h, MARK, older[2], older_len[2]);
    }
}
static void flip_db(const struct host *h, unsigned place)
{
    fold(h);
    flip(h, DB, place);
}
static void flip_log(const struct host *h, unsigned place)
{
    flip(h, WAL, place);
}
static void flip_mark(const struct host *h, unsigned place)
{
    flip(h, MARK, place);
}
static void cut_db(const struct host *h, unsigned place)
{
    fold(h);
    cut(h, DB, place);
}
/* With an odd place its mark lags too, as after a kill: then only the others know what it had (A10). */
static void cut_log(const struct host *h, unsigned place)
{
    cut(h, WAL, place);
    if (place % 2 != 0) {
        old_mark(h, place);
    }
}
static void cut_mark(const struct host *h, unsigned place)
{
    cut(h, MARK, place);
}
static void tear_zeros(const struct host *h, unsigned place)
{
    fold(h);
    tear(h, place, true);
}
static void tear_old(const struct host *h, unsigned place)
{
    fold(h);
    tear(h, place, false);
}
static void lose_db(const struct host *h, unsigned place)
{
    (void)place;
    lose(h, DB);
}
static void lose_log(const struct host *h, unsigned place)
{
    (void)place;
    lose(h, WAL);
}
static void lose_mark(const struct host *h, unsigned place)
{
    (void)place;
    lose(h, MARK);
}
static void lose_all(const struct host *h, unsigned place)
{
    (void)place;
    for (int i = 0; i < 3; i++) {
        lose(h, files[i]);
    }
}
static void old_store(const struct host *h, unsigned place)
{
    (void)place;
    for (int i = 0; i < 2; i++) {
        if (older[i] != NULL) {
            spill(h, files[i], older[i], older_len[i]);
        }
    }
}
static void old_disk(const struct host *h, unsigned place)
{
    old_store(h, place);
    old_mark(h, place);
}

static void set_format(const struct host *h, int format)
{
    char path[200], sql[40];
    sqlite3 *db = NULL;

    path_of(path, h, DB);
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", format);
    if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        abort();
    }
    (void)sqlite3_close(db);
}

/* Another version's file is no damage: the daemon waits, untouched, for that version, as long as it takes. */
static void newer(const struct host *h, unsigned place)
{
    (void)place;
    fold(h);
    set_format(h, 2);
    world_pass(10000);
    if (h->sh != NULL || host_asides(h) != 0) {
        world_blame("node%u began with a newer version's file, or set it aside", h->id);
    }
    set_format(h, 1);
}

/* One byte of what SQLite has in use; it does not look at the log's checksums again while it runs. */
static void flip_running(const struct host *h, unsigned place)
{
    char path[200];
    size_t len, at;
    uint8_t *data = slurp(h, WAL, &len);
    int fd;

    path_of(path, h, WAL);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (data == NULL || fd < 0 || (len = used(data, len)) == 0) {
        abort();
    }
    at = len * place / PLACES;
    data[at] ^= (uint8_t)(1u << place % 8);
    if (pwrite(fd, data + at, 1, (off_t)at) != 1) {
        abort();
    }
    (void)close(fd);
    free(data);
}

static const struct damage {
    const char *name;
    void (*make)(const struct host *h, unsigned place);
    bool runs;     /* while the daemon runs */
    unsigned step; /* between places; 0: there is but one */
} damages[] = {
    {"flip-db", flip_db, false, 1},          {"flip-log", flip_log, false, 1},
    {"flip-mark", flip_mark, false, 7},      {"cut-db", cut_db, false, 3},
    {"cut-log", cut_log, false, 3},          {"cut-mark", cut_mark, false, 25},
    {"tear-zeros", tear_zeros, false, 4},    {"tear-old", tear_old, false, 4},
    {"lose-db", lose_db, false, 0},          {"lose-log", lose_log, false, 0},
    {"lose-mark", lose_mark, false, 0},      {"lose-all", lose_all, false, 0},
    {"old-mark", old_mark, false, 0},        {"old-store", old_store, false, 0},
    {"old-disk", old_disk, false, 0},        {"newer", newer, false, 33},
    {"flip-running", flip_running, true, 1},
};
#define DAMAGES (sizeof damages / sizeof damages[0])

/* ---- one life ---- */

static struct host *coordinator(void)
{
    const struct state *s = world_state();

    return s != NULL && s->coordinator != 0 ? &hosts[s->coordinator] : &hosts[1];
}

/* Another host lost its disk, and has to be brought up to date from the one whose disk lies. */
static void need_snapshot(const struct host *lies)
{
    struct host *empty = &hosts[lies->id % HOSTS + 1];

    host_kill(empty, 100);
    lose_all(empty, 0);
}

static bool live(const struct damage *d, unsigned place, unsigned *asides)
{
    struct host *h = &hosts[place % HOSTS + 1];

    *asides = 0;
    fault_no_cache = d->runs;
    life_begin(base);
    life_live(LIFE_BEGUN, LIFE_BEGUN);
    for (int i = 1; i <= HOSTS; i++) {
        store_flush(hosts[i].store); /* the mark that is remembered is one that is there */
    }
    remember(h);
    life_live(LIFE_YOUNG, LIFE_YOUNG);
    if (d->runs) {
        h = coordinator();
        d->make(h, place);
        need_snapshot(h);
    } else {
        host_kill(h, 100);
        d->make(h, place);
    }
    life_live(LIFE_OLD, LIFE_OLD);
    life_check();
    for (int i = 1; i <= HOSTS; i++) {
        *asides += host_asides(&hosts[i]);
    }
    world_end();
    forget();
    if (world_wrong() != NULL) {
        (void)printf("FAILED: %s %u: %s\n  again: damage -v %s %u\n", d->name, place, world_wrong(), d->name,
                     place);
    }
    return world_wrong() == NULL;
}

static bool all_of(const struct damage *d, unsigned slice, unsigned slices, unsigned *seen)
{
    unsigned lives = 0, noticed = 0, asides;
    bool good = true;

    for (unsigned place = 0; place < PLACES && good; place += d->step ? d->step : PLACES) {
        if ((*seen)++ % slices == slice) {
            good = live(d, place, &asides);
            lives++;
            noticed += asides > 0;
        }
    }
    (void)printf("%-12s %3u lives, a store was set aside in %3u\n", d->name, lives, noticed);
    (void)fflush(stdout);
    return good;
}

int main(int argc, char **argv)
{
    unsigned slice = 0, slices = 1, seen = 0, asides;
    const char *kind = NULL;
    bool good = true;
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "-v") == 0) {
            world_verbose = true;
        } else if (strcmp(argv[at], "--slice") != 0 || ++at == argc ||
                   sscanf(argv[at], "%u/%u", &slice, &slices) != 2 || slices == 0) {
            (void)fprintf(stderr, "usage: damage [-v] [--slice K/N | KIND [PLACE]]\n");
            return 2;
        }
    }
    kind = at < argc ? argv[at++] : NULL;
    (void)snprintf(base, sizeof base, "%s/damage.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fault_init();
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 2;
    }
    for (size_t i = 0; i < DAMAGES && good; i++) {
        if (kind != NULL && strcmp(kind, damages[i].name) != 0) {
            continue;
        }
        good = at < argc ? live(&damages[i], (unsigned)strtoul(argv[at], NULL, 10), &asides)
                         : all_of(&damages[i], slice % slices, slices, &seen);
    }
    (void)rmdir(base);
    return good ? 0 : 1;
}
