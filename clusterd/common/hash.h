/*
 * hash.h - a 128-bit hash for chains, digests and checksums of our own records.
 *
 * SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012) under a fixed key: it finds faults, it
 * does not authenticate. corosync's own crypto keeps strangers out.
 */
#ifndef CLUSTERD_COMMON_HASH_H
#define CLUSTERD_COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash {
    uint64_t lo, hi;
};

/* The hash of len bytes, continued from `seed` (all zero at the start of a chain). */
struct hash hash_bytes(struct hash seed, const void *data, size_t len);
/* 1 when equal. */
int hash_eq(struct hash a, struct hash b);
/* Writes 32 hexadecimal digits and a NUL. */
void hash_hex(struct hash h, char out[33]);

#endif
