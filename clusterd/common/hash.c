#include "common/hash.h"

#include <stdio.h>

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[0] = ROTL(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[2] = ROTL(v[2], 32);
}

static uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

struct hash hash_bytes(struct hash seed, const void *data, size_t len)
{
    uint64_t k0 = 0x636c757374657264ULL ^ seed.lo, k1 = 0x6a6f75726e616c31ULL ^ seed.hi;
    uint64_t v[4] = {0x736f6d6570736575ULL ^ k0, 0x646f72616e646f6dULL ^ k1 ^ 0xee,
                     0x6c7967656e657261ULL ^ k0, 0x7465646279746573ULL ^ k1};
    const uint8_t *p = data;
    struct hash h;
    size_t left = len;
    uint64_t m;

    for (; left >= 8; left -= 8, p += 8) {
        m = load_le(p, 8);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    m = ((uint64_t)len << 56) | (left ? load_le(p, left) : 0);
    v[3] ^= m;
    sip_round(v);
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xee;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    h.lo = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    h.hi = v[0] ^ v[1] ^ v[2] ^ v[3];
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
