#include "adapters/mark.h"

#include "adapters/db.h"
#include "common/buf.h"
#include "common/mutant.h"
#include "common/rc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK_MAGIC  0x6b72616d64756c63ULL /* "cludmark" */
#define MARK_FORMAT 1
#define MARK_BLOCK  4096
#define MARK_BYTES  80 /* of a slot: what encode() writes, checksum included */

static void encode(struct buf *b, uint64_t seq, const struct journal_mark *v)
{
    struct hash sum;

    buf_u64(b, MARK_MAGIC);
    buf_u64(b, MARK_FORMAT);
    buf_u64(b, seq);
    buf_u64(b, v->incarnation);
    buf_u64(b, v->cluster.lo);
    buf_u64(b, v->cluster.hi);
    buf_u64(b, v->term);
    buf_u64(b, v->index);
    sum = hash_bytes((struct hash){0, 0}, b->data, b->len);
    buf_u64(b, sum.lo);
    buf_u64(b, sum.hi);
}

/* 1: a good slot; 0: none; RC_REFUSED: of a newer format. */
static int decode(const uint8_t *data, uint64_t *seq, struct journal_mark *v)
{
    struct hash sum, want = hash_bytes((struct hash){0, 0}, data, MARK_BYTES - 16);
    uint64_t magic, format;
    struct rd r;

    rd_init(&r, data, MARK_BYTES);
    magic = rd_u64(&r);
    format = rd_u64(&r);
    *seq = rd_u64(&r);
    v->incarnation = rd_u64(&r);
    v->cluster.lo = rd_u64(&r);
    v->cluster.hi = rd_u64(&r);
    v->term = rd_u64(&r);
    v->index = rd_u64(&r);
    sum.lo = rd_u64(&r);
    sum.hi = rd_u64(&r);
    if (magic == MARK_MAGIC && format > MARK_FORMAT && format <= DB_FORMAT_MAX) {
        return RC_REFUSED;
    }
    return rd_done(&r) && magic == MARK_MAGIC && (hash_eq(sum, want) || MUTANT(mark_sum_ignored));
}

static int read_slots(struct mark *m, struct err *err)
{
    uint8_t block[2 * MARK_BLOCK];
    ssize_t n = pread(m->fd, block, sizeof block, 0);
    int good = 0;

    if (n < 0) {
        return err_set(err, RC_CORRUPT, "cannot read '%s': %s", m->path, strerror(errno));
    }
    if (n == 0) {
        return 0; /* new, or created just before a crash: nothing was acknowledged yet */
    }
    memset(block + n, 0, sizeof block - (size_t)n);
    for (int i = 0; i < 2; i++) {
        struct journal_mark v;
        uint64_t seq;
        int rc = decode(block + i * MARK_BLOCK, &seq, &v);

        if (rc == RC_REFUSED) {
            err_set(err, RC_REFUSED, "'%s' has a newer format than this clusterd knows", m->path);
            err_hint(err, "a newer clusterd wrote it: install that version again");
            return RC_REFUSED;
        }
        if (rc == 1 && (!good || seq > m->seq)) {
            good = 1;
            m->seq = seq;
            m->last = v;
        }
    }
    return good ? 0
                : err_set(err, RC_CORRUPT, "'%s' is damaged: neither of its two slots can be read", m->path);
}

int mark_open(struct mark *m, const char *dir, struct err *err)
{
    int rc;

    *m = (struct mark){.fd = -1};
    (void)snprintf(m->path, sizeof m->path, "%s/" MARK_FILE, dir);
    m->fd = open(m->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (m->fd < 0) {
        return err_set(err, RC_IO, "cannot open '%s': %s", m->path, strerror(errno));
    }
    rc = read_slots(m, err);
    if (rc == 0) {
        rc = db_sync_dir(dir, err);
    }
    if (rc) {
        mark_close(m);
    }
    return rc;
}

void mark_close(struct mark *m)
{
    if (m->fd >= 0) {
        (void)close(m->fd);
    }
    m->fd = -1;
    m->seq = 0;
    m->last = (struct journal_mark){0};
}

static bool same(const struct journal_mark *a, const struct journal_mark *b)
{
    return a->incarnation == b->incarnation && a->cluster.lo == b->cluster.lo &&
           a->cluster.hi == b->cluster.hi && a->term == b->term && a->index == b->index;
}

/* A whole block at once, so that a block device's own sector is never half ours. */
static int write_slot(struct mark *m, uint64_t seq, const struct buf *b, bool *fsync_failed)
{
    uint8_t block[MARK_BLOCK] = {0};
    ssize_t n;

    memcpy(block, b->data, b->len);
    n = pwrite(m->fd, block, sizeof block, (off_t)(seq % 2) * MARK_BLOCK);
    if (n != (ssize_t)sizeof block) {
        if (n >= 0) {
            errno = ENOSPC; /* a short write to a file has no other reason */
        }
        return -1;
    }
    if (!MUTANT(mark_not_synced) && fdatasync(m->fd) < 0) {
        *fsync_failed = true;
        return -1;
    }
    return 0;
}

int mark_write(struct mark *m, const struct journal_mark *v, bool *fsync_failed, struct err *err)
{
    struct buf b = BUF_INIT;
    int rc = 0;

    if (same(v, &m->last)) {
        return 0;
    }
    encode(&b, m->seq + 1, v);
    if (b.failed) {
        rc = err_set(err, RC_NO_MEMORY, "out of memory");
    } else if (write_slot(m, m->seq + 1, &b, fsync_failed) < 0) {
        rc = err_set(err, RC_IO, "%s '%s': %s", *fsync_failed ? "fsync of" : "writing", m->path,
                     strerror(errno));
    } else {
        m->seq++;
        m->last = *v;
    }
    buf_fini(&b);
    return rc;
}
