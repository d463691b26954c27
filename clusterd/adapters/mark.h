/*
 * mark.h - the second file of A10: the highest promised and acknowledged mark, beside the store.
 *
 * Two slots in blocks of their own, written in turn and fsynced, each with a checksum: a torn write leaves
 * the other one. A store that holds less than its mark was shortened.
 */
#ifndef CLUSTERD_ADAPTERS_MARK_H
#define CLUSTERD_ADAPTERS_MARK_H

#include "common/err.h"
#include "journal/journal.h"

#include <limits.h>
#include <stdbool.h>

#define MARK_FILE "clusterd.mark"

struct mark {
    int fd; /* negative: closed */
    uint64_t seq;
    struct journal_mark last; /* as stored; zeros when there is none */
    char path[PATH_MAX];
};

/* Opens or creates dir/clusterd.mark and reads it. RC_CORRUPT: neither slot can be read; RC_REFUSED: a newer
 * format; RC_IO. */
int mark_open(struct mark *m, const char *dir, struct err *err);
void mark_close(struct mark *m);
/* Stores it; nothing is written when it is stored already. RC_IO: *fsync_failed as for store_port.persist. */
int mark_write(struct mark *m, const struct journal_mark *v, bool *fsync_failed, struct err *err);

#endif
