/*
 * state.h - the small text file beside a saved memory state (STATE.meta) that ties the state to its VM, its
 * save and the disks as they were: C6, S7.
 */
#ifndef CLUSTERD_AGENTS_STATE_H
#define CLUSTERD_AGENTS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"
#include "domain.h"

#define STATE_META_MAX (256u << 10)
#define STATE_TAG_MAX  256 /* with its NUL */

/* A disk image as it was when its last writer had ended. */
struct state_disk {
    char path[1024];
    uint64_t size, inode;
    int64_t mtime_ns;
};

struct state {
    char uuid[QEMU_UUID_SIZE];
    char tag[STATE_TAG_MAX];
    char time[32];    /* of the save, UTC, for people */
    bool was_running; /* false: it was paused already */
    uint64_t bytes;   /* of the state file */
    struct hash checksum;
    struct state_disk *disks; /* owned */
    size_t n_disks;
};

void state_init(struct state *s);
void state_fini(struct state *s);
/* Writes s as text into out. */
void state_format(const struct state *s, struct buf *out);
/*
 * Reads such a text; whatever the bytes are, the result is a valid state or RC_CORRUPT with what is wrong. On
 * error s is empty.
 */
int state_parse(const char *text, size_t len, struct state *s, struct err *e);

/* 1 to STATE_TAG_MAX - 1 printable ASCII characters without spaces. */
bool state_tag_ok(const char *tag);
/*
 * Fills s->disks from the domain's disks and the images below them; CD-ROMs and read-only disks are left out.
 * RC_REFUSED for a disk that has no file whose times could tell a write.
 */
int state_look_at_disks(const struct domain *d, struct state *s, struct err *e);
/* S7: RC_OK when every disk still is as s says; RC_REFUSED naming the first that is not; RC_IO. */
int state_check_disks(const struct state *s, struct err *e);

/*
 * The checksum of a whole file: XXH3, which reads as fast as the page cache gives (the hash of common/ would
 * take half a second of a quick migration's stop for each GiB). It finds faults, it does not authenticate.
 * RC_OK, RC_IO or RC_NO_MEMORY.
 */
int state_checksum(const char *path, uint64_t *bytes, struct hash *sum, struct err *e);

#endif
