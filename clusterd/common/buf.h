/*
 * buf.h - a growable byte buffer and the codec of everything that we store or send.
 *
 * Integers are little-endian and of fixed width; strings and blobs carry a 32-bit length before them. The
 * writer remembers that an allocation failed (`failed`), so callers check once, at the end. The reader never
 * runs past its end: it answers zeros and remembers (`bad`), so a parser checks once, at the end, as well.
 */
#ifndef CLUSTERD_COMMON_BUF_H
#define CLUSTERD_COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* owned */
    size_t len, cap;
    bool failed; /* an allocation failed; what was written since is missing */
};

#define BUF_INIT                                                                                             \
    {                                                                                                        \
        NULL, 0, 0, false                                                                                    \
    }

void buf_init(struct buf *b);
/* Releases the bytes; the buffer is empty and may be used again. */
void buf_fini(struct buf *b);
/* Empties the buffer, keeps its memory. */
void buf_reset(struct buf *b);
void buf_raw(struct buf *b, const void *data, size_t len);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16(struct buf *b, uint16_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
/* A blob: length, then bytes. */
void buf_blob(struct buf *b, const void *data, size_t len);
/* A string as a blob, without its NUL; NULL is written as "". */
void buf_str(struct buf *b, const char *s);
/* Overwrites the 32-bit integer at offset `at` (for lengths known only afterwards). */
void buf_put_u32(struct buf *b, size_t at, uint32_t v);

struct rd {
    const uint8_t *p, *end; /* borrowed */
    bool bad;               /* it ended too early, or a field was out of range */
};

void rd_init(struct rd *r, const void *data, size_t len);
size_t rd_left(const struct rd *r);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* Copies len bytes to out; zeros when there are not that many. */
void rd_raw(struct rd *r, void *out, size_t len);
/* A blob: a pointer into the input and its length; NULL and 0 when bad. */
const uint8_t *rd_blob(struct rd *r, size_t *len);
/* A string of fewer than `size` bytes without NULs inside, copied and terminated; anything else is bad. */
void rd_str(struct rd *r, char *out, size_t size);
/* A string, freshly allocated (owned by the caller); NULL when bad, longer than max, or out of memory. */
char *rd_strdup(struct rd *r, size_t max);
/* True when all was read and nothing was bad. */
bool rd_done(const struct rd *r);

#endif
