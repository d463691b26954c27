/*
 * crashes.h - how often the daemon has died lately on this boot, in a small text file beside the store (A15).
 *
 * A crash is an end that crashes_end() did not announce: a signal, an assertion, an alarm that stopped the
 * daemon. What happened before the host's last boot does not count: a power cut is no crash of ours.
 */
#ifndef CLUSTERD_ADAPTERS_CRASHES_H
#define CLUSTERD_ADAPTERS_CRASHES_H

#include <stdint.h>

#define CRASHES_FILE      "crashes"
#define CRASHES_LIMIT     5
#define CRASHES_WINDOW_MS 300000

struct crashes {
    unsigned limit;     /* after so many … */
    uint32_t window_ms; /* … within this time the daemon only observes */
    unsigned n;         /* how many there were within it; set by crashes_begin() */
};

/* A daemon begins, at now_ms of CLOCK_BOOTTIME: notes that it runs. Returns for how many milliseconds it is
 * to observe only; 0: it takes part. A file that cannot be read or written counts as none. */
uint64_t crashes_begin(struct crashes *c, const char *path, const char *boot, uint64_t now_ms);
/* It ends as it was asked to; forget: an operator has seen to it, the crashes before count no more. */
void crashes_end(const char *path, int forget);

#endif
