/* The simulator's command line; many seeds, and what they covered. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define FAILURES_MAX 20
#define JOBS_MAX     64

struct sim_options options;

/* ------------------------------------------------------------------------------------------------ many seeds
 */

struct record {
    uint64_t seed;
    bool begins, failed;
    char failure[1024];
    struct stats stats;
    uint64_t applied[EV_COUNT], rejected[EV_COUNT];
};

static void write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n <= 0) {
            _exit(1);
        }
        p += n;
        len -= (size_t)n;
    }
}

static bool read_all(int fd, void *data, size_t len)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = read(fd, p, len);

        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static void worker(int fd, uint64_t first, uint64_t last, unsigned step)
{
    for (uint64_t seed = first; seed <= last; seed += step) {
        struct record r = {.seed = seed, .begins = true};

        write_all(fd, &r, sizeof r);
        run_seed(seed, false);
        r.begins = false;
        r.failed = sim.failed;
        snprintf(r.failure, sizeof r.failure, "%s", sim.failure);
        r.stats = sim.stats;
        memcpy(r.applied, sim.applied, sizeof r.applied);
        memcpy(r.rejected, sim.rejected, sizeof r.rejected);
        write_all(fd, &r, sizeof r);
        if (sim.failed && options.first_only) {
            break;
        }
    }
    _exit(0);
}

static void add(struct record *sum, const struct record *r)
{
#define X(name) sum->stats.name += r->stats.name;
    STATS(X)
#undef X
    for (int k = 0; k < EV_COUNT; k++) {
        sum->applied[k] += r->applied[k];
        sum->rejected[k] += r->rejected[k];
    }
}

static void failed_seed(uint64_t seed, const char *why)
{
    printf("seed %llu FAILED: %s\n    replay: sim --seed %llu --trace\n", (unsigned long long)seed, why,
           (unsigned long long)seed);
    (void)fflush(stdout);
}

/* What was exercised: faults, and the events of the core (applied/rejected). */
static void print_stats(const struct record *r)
{
    const struct stats *s = &r->stats;
    unsigned column = 0;

#define X(name) printf("%-22s %10llu%s", #name, (unsigned long long)s->name, ++column % 3 ? "   " : "\n");
    STATS(X)
#undef X
    for (int k = EV_OPEN; k < EV_COUNT; k++) {
        printf("%-22s %10llu/%-6llu%s", event_key((enum event_kind)k), (unsigned long long)r->applied[k],
               (unsigned long long)r->rejected[k], ++column % 3 ? "   " : "\n");
    }
    printf("%s", column % 3 ? "\n" : "");
}

/* Reads what a worker says; a worker that dies in the middle of a seed has failed it. */
static unsigned collect(const int *fds, unsigned jobs, struct record *sum)
{
    unsigned failures = 0, open = jobs;
    bool done[JOBS_MAX] = {false};
    uint64_t current[JOBS_MAX] = {0};

    while (open > 0) {
        for (unsigned i = 0; i < jobs; i++) {
            struct record r;

            if (done[i]) {
                continue;
            }
            if (!read_all(fds[i], &r, sizeof r)) {
                done[i] = true;
                open--;
                if (current[i] != 0) {
                    failures++;
                    failed_seed(current[i], "the simulator crashed");
                }
                continue;
            }
            current[i] = r.begins ? r.seed : 0;
            if (r.begins) {
                continue;
            }
            add(sum, &r);
            if (r.failed && failures++ < FAILURES_MAX) {
                failed_seed(r.seed, r.failure);
            }
        }
    }
    return failures;
}

static int run_range(uint64_t first, uint64_t last, unsigned jobs)
{
    int fds[JOBS_MAX];
    struct record sum = {0};
    struct timespec begin, end;
    double seconds;
    unsigned failures;

    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < jobs; i++) {
        int p[2];
        pid_t pid;

        if (pipe(p) != 0 || (pid = fork()) < 0) {
            perror("sim");
            return 1;
        }
        if (pid == 0) {
            close(p[0]);
            worker(p[1], first + i, last, jobs);
        }
        close(p[1]);
        fds[i] = p[0];
    }
    failures = collect(fds, jobs, &sum);
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    print_stats(&sum);
    printf("sim: seeds %llu to %llu: %u failed, %.1f seeds/s, %.0f events/s\n", (unsigned long long)first,
           (unsigned long long)last, failures, (double)(last - first + 1) / seconds,
           (double)sum.stats.events / seconds);
    return failures ? 1 : 0;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: sim [--nodes N] [--vms M] --seed N [--trace] | --seeds A..B [--jobs J]\n");
    return 2;
}

#ifdef ENABLE_MUTANTS
static void print_name(const char *name)
{
    (void)puts(name);
}
#endif

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 200;
    unsigned jobs = 2;
    bool one = false, traced = false;
    struct record r = {0};

    for (int i = 1; i < argc; i++) {
        char *end;

        if (strcmp(argv[i], "--trace") == 0) {
            traced = true;
        } else if (strcmp(argv[i], "--first") == 0) {
            options.first_only = true;
#ifdef ENABLE_MUTANTS
        } else if (strcmp(argv[i], "--list-mutants") == 0) {
            mutant_list(print_name);
            return 0;
#endif
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            first = last = strtoull(argv[++i], &end, 10);
            one = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            first = strtoull(argv[++i], &end, 10);
            if (strncmp(end, "..", 2) != 0) {
                return usage();
            }
            last = strtoull(end + 2, &end, 10);
        } else if (strcmp(argv[i], "--nodes") == 0 && i + 1 < argc) {
            options.nodes = (int)strtol(argv[++i], &end, 10);
        } else if (strcmp(argv[i], "--vms") == 0 && i + 1 < argc) {
            options.vms = (int)strtol(argv[++i], &end, 10);
        } else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
            jobs = (unsigned)strtoul(argv[++i], &end, 10);
        } else {
            return usage();
        }
    }
    if (jobs < 1 || jobs > JOBS_MAX || last < first || options.nodes < 0 || options.nodes > HOSTS_MAX ||
        options.vms < 0 || options.vms > VMS_MAX) {
        return usage();
    }
    if (!one) {
        return run_range(first, last, jobs);
    }
    run_seed(first, traced);
    r.stats = sim.stats;
    memcpy(r.applied, sim.applied, sizeof r.applied);
    memcpy(r.rejected, sim.rejected, sizeof r.rejected);
    print_stats(&r);
    if (sim.failed) {
        failed_seed(first, sim.failure);
    }
    return sim.failed ? 1 : 0;
}
