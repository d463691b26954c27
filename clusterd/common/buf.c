#include "common/buf.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b)
{
    memset(b, 0, sizeof *b);
}

void buf_fini(struct buf *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

static bool buf_grow(struct buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 64;
    uint8_t *data;

    if (b->failed) {
        return false;
    }
    while (cap - b->len < more) {
        if (cap > SIZE_MAX / 2) {
            b->failed = true;
            return false;
        }
        cap *= 2;
    }
    if (cap == b->cap) {
        return true;
    }
    data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_raw(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || !buf_grow(b, len)) {
        return;
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

/* What the codec does most: a few instructions where there is room. */
static inline void buf_int(struct buf *b, uint64_t v, unsigned bytes)
{
    uint64_t le = htole64(v);

    if ((b->failed || b->cap - b->len < bytes) && !buf_grow(b, bytes)) {
        return;
    }
    memcpy(b->data + b->len, &le, bytes);
    b->len += bytes;
}

void buf_u8(struct buf *b, uint8_t v)
{
    buf_int(b, v, 1);
}

void buf_u16(struct buf *b, uint16_t v)
{
    buf_int(b, v, 2);
}

void buf_u32(struct buf *b, uint32_t v)
{
    buf_int(b, v, 4);
}

void buf_u64(struct buf *b, uint64_t v)
{
    buf_int(b, v, 8);
}

void buf_blob(struct buf *b, const void *data, size_t len)
{
    buf_u32(b, (uint32_t)len);
    buf_raw(b, data, len);
}

void buf_str(struct buf *b, const char *s)
{
    buf_blob(b, s, s ? strlen(s) : 0);
}

void buf_put_u32(struct buf *b, size_t at, uint32_t v)
{
    if (b->failed || at + 4 > b->len) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        b->data[at + i] = (uint8_t)(v >> (8 * i));
    }
}

void rd_init(struct rd *r, const void *data, size_t len)
{
    r->p = data;
    r->end = len ? r->p + len : r->p;
    r->bad = false;
}

size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}

void rd_raw(struct rd *r, void *out, size_t len)
{
    if (r->bad || rd_left(r) < len) {
        r->bad = true;
        memset(out, 0, len);
        return;
    }
    if (len > 0) {
        memcpy(out, r->p, len);
        r->p += len;
    }
}

static inline uint64_t rd_int(struct rd *r, unsigned bytes)
{
    uint64_t le = 0;

    if (r->bad || rd_left(r) < bytes) {
        r->bad = true;
        return 0;
    }
    memcpy(&le, r->p, bytes);
    r->p += bytes;
    return le64toh(le);
}

uint8_t rd_u8(struct rd *r)
{
    return (uint8_t)rd_int(r, 1);
}

uint16_t rd_u16(struct rd *r)
{
    return (uint16_t)rd_int(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
    return (uint32_t)rd_int(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
    return rd_int(r, 8);
}

const uint8_t *rd_blob(struct rd *r, size_t *len)
{
    uint32_t n = rd_u32(r);
    const uint8_t *p;

    if (r->bad || rd_left(r) < n) {
        r->bad = true;
        *len = 0;
        return NULL;
    }
    p = r->p;
    r->p += n;
    *len = n;
    return p;
}

void rd_str(struct rd *r, char *out, size_t size)
{
    size_t len;
    const uint8_t *p = rd_blob(r, &len);

    if (p == NULL || len >= size || memchr(p, 0, len) != NULL) {
        r->bad = true;
        out[0] = '\0';
        return;
    }
    memcpy(out, p, len);
    out[len] = '\0';
}

char *rd_strdup(struct rd *r, size_t max)
{
    size_t len;
    const uint8_t *p = rd_blob(r, &len);
    char *s;

    if (p == NULL || len > max || memchr(p, 0, len) != NULL) {
        r->bad = true;
        return NULL;
    }
    s = malloc(len + 1);
    if (s == NULL) {
        r->bad = true;
        return NULL;
    }
    memcpy(s, p, len);
    s[len] = '\0';
    return s;
}

bool rd_done(const struct rd *r)
{
    return !r->bad && r->p == r->end;
}
