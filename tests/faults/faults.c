/*
 * faults.c - faults by countdown: a small cluster lives a short life (world.h, life.h) in which the nth
 * call of a kind fails, for every n, until the whole life passes without reaching it. However it fails: no
 * crash, no leak (under the sanitizers), no broken invariant, the life goes on to its end, and after a
 * restart of all what was acknowledged is there.
 *
 *   faults [-v] [--sticky] KIND [FROM [TO [STEP]]]   n = FROM, then every STEP-th, up to TO
 *   faults --slice K/N                               of all that --all does every Nth, from the Kth on
 *   faults --all                                     every n to 2,000, then in strides of a fiftieth
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/fault.h"
#include "tests/faults/life.h"
#include "tests/faults/world.h"

#define EVERY 2000 /* every n up to here */

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static char base[64];

/* A store is set aside only for what the kind of fault may do to it: never for want of memory (A10). */
static void check_asides(enum fault_kind kind)
{
    for (int i = 1; i <= HOSTS; i++) {
        if (host_asides(&hosts[i]) > 0 && (kind == FAULT_ALLOC || kind == FAULT_SQLITE_MEMORY ||
                                           kind == FAULT_SPAWN || kind == FAULT_FULL)) {
            world_blame("node%d: its store was set aside", i);
        }
    }
}

/* True when the nth call was reached. */
static bool life(enum fault_kind kind, unsigned long nth, bool sticky)
{
    bool fired;

    life_begin(base);
    fault_arm(kind, nth, sticky);
    life_live(LIFE_BEGUN, LIFE_OLD);
    life_check();
    check_asides(kind);
    fired = fault_fired();
    world_end();
    return fired;
}

static bool try_one(enum fault_kind kind, unsigned long nth, bool sticky, bool *fired)
{
    *fired = life(kind, nth, sticky);
    if (world_wrong() != NULL) {
        (void)printf("FAILED: %s %lu%s: %s\n  again: faults -v %s%s %lu\n", fault_key(kind), nth,
                     sticky ? " and all that follow" : "", world_wrong(), sticky ? "--sticky " : "",
                     fault_key(kind), nth);
        return false;
    }
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0) {
        (void)printf("FAILED: %s %lu%s: a leak\n", fault_key(kind), nth,
                     sticky ? " and all that follow" : "");
        return false;
    }
    return true;
}

static unsigned long next_of(unsigned long n)
{
    return n < EVERY ? n + 1 : n + n / 50;
}

/* All numbers up to the calls of a whole life. */
static bool all_of(enum fault_kind kind, bool sticky, unsigned slice, unsigned slices, unsigned long *seen)
{
    unsigned long calls, lives = 0;
    bool fired = false, good = try_one(kind, ULONG_MAX, false, &fired);

    calls = fault_calls();
    for (unsigned long n = 0; n < calls && good; n = next_of(n)) {
        if ((*seen)++ % slices == slice) {
            good = try_one(kind, n, sticky, &fired);
            lives++;
        }
    }
    (void)printf("%-14s%s %5lu lives, a whole one has %lu calls\n", fault_key(kind),
                 sticky ? "and on" : "once  ", lives, calls);
    (void)fflush(stdout);
    return good;
}

static bool all(unsigned slice, unsigned slices)
{
    unsigned long seen = 0;
    bool good = true;

    for (int kind = 0; kind < FAULT_KINDS && good; kind++) {
        good = all_of((enum fault_kind)kind, false, slice, slices, &seen) &&
               all_of((enum fault_kind)kind, true, slice, slices, &seen);
    }
    return good;
}

static int find_kind(const char *word)
{
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (strcmp(word, fault_key((enum fault_kind)kind)) == 0) {
            return kind;
        }
    }
    return -1;
}

static bool range(int kind, bool sticky, int argc, char **argv)
{
    unsigned long n = argc > 0 ? strtoul(argv[0], NULL, 10) : 0;
    unsigned long to = argc > 1 ? strtoul(argv[1], NULL, 10) : argc > 0 ? n : (unsigned long)-1;
    unsigned long step = argc > 2 ? strtoul(argv[2], NULL, 10) : 1, lives = 0;
    bool good = true, fired = true;

    for (; n <= to && good && fired; n += step ? step : 1) {
        good = try_one((enum fault_kind)kind, n, sticky, &fired);
        lives++;
    }
    (void)printf("%lu lives%s\n", lives, fired ? "" : "; the last one passed whole");
    return good;
}

int main(int argc, char **argv)
{
    bool sticky = false, good;
    int at = 1, kind;
    unsigned slice = 0, slices = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "-v") == 0) {
            world_verbose = true;
        } else if (strcmp(argv[at], "--sticky") == 0) {
            sticky = true;
        } else if (strcmp(argv[at], "--slice") == 0 && at + 1 < argc) {
            if (sscanf(argv[++at], "%u/%u", &slice, &slices) != 2 || slices == 0) {
                return 2;
            }
        } else if (strcmp(argv[at], "--all") != 0) {
            (void)fprintf(stderr,
                          "usage: faults [-v] [--sticky] KIND [FROM [TO [STEP]]] | --slice K/N | --all\n");
            return 2;
        }
    }
    (void)snprintf(base, sizeof base, "%s/faults.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fault_init();
#ifndef __SANITIZE_ADDRESS__
    (void)setrlimit(RLIMIT_AS, &(struct rlimit){1 << 30, 1 << 30}); /* what grows without end ends */
#endif
    if (mkdtemp(base) == NULL) {
        perror(base);
        return 2;
    }
    if (at < argc) {
        kind = find_kind(argv[at]);
        good = kind >= 0 && range(kind, sticky, argc - at - 1, argv + at + 1);
    } else {
        good = all(slice % slices, slices);
    }
    (void)rmdir(base);
    return good ? 0 : 1;
}
