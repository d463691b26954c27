/*
 * The command line; many seeds, and what they covered.
 *
 *   jsim --seed N [--trace]      one run; the same N is the same run
 *   jsim --seeds A..B [--first]  a range; prints what failed, what was covered, and seeds/s; --first ends it
 *                                with the first that failed
 *   jsim --list-mutants          the bugs on demand that are built in (common/mutant.h)
 */
#include "tests/sim/jsim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mutant.h"

static void add_stats(struct stats *total)
{
#define X(name) total->name += sim.stats.name;
    STATS(X)
#undef X
}

static int run_range(uint64_t first, uint64_t last, bool first_only)
{
    struct stats total = {0};
    struct timespec a, b;
    uint64_t failed = 0;
    double seconds;

    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint64_t seed = first; seed <= last && !(first_only && failed > 0); seed++) {
        bool good = run_seed(seed);

        if (!good) {
            failed++;
            printf("seed %llu: %s\n  replay: jsim --seed %llu --trace\n", (unsigned long long)seed,
                   sim.failure, (unsigned long long)seed);
            (void)fflush(stdout);
        }
        add_stats(&total);
        run_end();
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
#define X(name) printf(" " #name " %llu", (unsigned long long)total.name);
    STATS(X)
#undef X
    printf("\n%llu seeds, %llu failed, %.1f seeds/s, %.2f us an event\n",
           (unsigned long long)(last - first + 1), (unsigned long long)failed,
           (double)(last - first + 1) / seconds, total.events ? seconds * 1e6 / (double)total.events : 0.0);
    return failed > 0;
}

static bool number(const char *text, uint64_t *value, char **rest)
{
    errno = 0;
    *value = strtoull(text, rest, 10);
    return errno == 0 && *rest != text;
}

#ifdef ENABLE_MUTANTS
static void print_name(const char *name)
{
    (void)puts(name);
}
#endif

int main(int argc, char **argv)
{
    uint64_t first = 0, last = 0;
    bool have = false, first_only = false;
    char *rest;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            sim.trace = true;
        } else if (strcmp(argv[i], "--first") == 0) {
            first_only = true;
#ifdef ENABLE_MUTANTS
        } else if (strcmp(argv[i], "--list-mutants") == 0) {
            mutant_list(print_name);
            return 0;
#endif
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc && number(argv[i + 1], &first, &rest)) {
            last = first;
            have = *rest == '\0';
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc && number(argv[i + 1], &first, &rest) &&
                   strncmp(rest, "..", 2) == 0 && number(rest + 2, &last, &rest)) {
            have = *rest == '\0' && first <= last;
            i++;
        } else {
            have = false;
            break;
        }
    }
    if (!have) {
        (void)fprintf(stderr, "usage: jsim --seed N [--trace] | --seeds A..B [--first]\n");
        return 2;
    }
    return run_range(first, last, first_only);
}
