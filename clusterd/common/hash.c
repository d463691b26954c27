#include "common/hash.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

struct sip {
    uint64_t a, b, c, d;
};

static inline struct sip sip_round(struct sip v)
{
    v.a += v.b;
    v.b = ROTL(v.b, 13) ^ v.a;
    v.a = ROTL(v.a, 32);
    v.c += v.d;
    v.d = ROTL(v.d, 16) ^ v.c;
    v.a += v.d;
    v.d = ROTL(v.d, 21) ^ v.a;
    v.c += v.b;
    v.b = ROTL(v.b, 17) ^ v.c;
    v.c = ROTL(v.c, 32);
    return v;
}

static struct sip sip_word(struct sip v, uint64_t m)
{
    v.d ^= m;
    v = sip_round(sip_round(v));
    v.a ^= m;
    return v;
}

static uint64_t sip_end(struct sip *v)
{
    *v = sip_round(sip_round(sip_round(sip_round(*v))));
    return v->a ^ v->b ^ v->c ^ v->d;
}

/* n: at most 8 */
static uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, p, n);
    return le64toh(v);
}

struct hash hash_bytes(struct hash seed, const void *data, size_t len)
{
    uint64_t k0 = 0x636c757374657264ULL ^ seed.lo, k1 = 0x6a6f75726e616c31ULL ^ seed.hi;
    struct sip v = {0x736f6d6570736575ULL ^ k0, 0x646f72616e646f6dULL ^ k1 ^ 0xee, 0x6c7967656e657261ULL ^ k0,
                    0x7465646279746573ULL ^ k1};
    const uint8_t *p = data;
    struct hash h;
    size_t left = len;

    for (; left >= 8; left -= 8, p += 8) {
        v = sip_word(v, load_le(p, 8));
    }
    v = sip_word(v, ((uint64_t)len << 56) | (left ? load_le(p, left) : 0));
    v.c ^= 0xee;
    h.lo = sip_end(&v);
    v.b ^= 0xdd;
    h.hi = sip_end(&v);
    return h;
}

int hash_eq(struct hash a, struct hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

void hash_hex(struct hash h, char out[33])
{
    (void)snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.hi, (unsigned long long)h.lo);
}
