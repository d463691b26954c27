/* The simulator's command line; many seeds, and what they covered. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define FAILURES_MAX 20   /* that are printed */
#define SHRINKS_MAX  3    /* … and of those so many shrunk */
#define COVER_SEEDS  1000 /* from so many on everything has to have been reached */
#define JOBS_MAX     64

struct sim_options options;

/* ------------------------------------------------------------------------------------------------ many seeds
 */

/* What a worker says of one seed. */
struct record {
    uint64_t seed;
    bool failed;
    char failure[1024];
    struct stats stats;
    uint64_t applied[EV_COUNT], rejected[EV_COUNT];
    struct cover cover;
};

struct range {
    uint64_t first, last;
    unsigned jobs, failures, printed;
    uint64_t failed[FAILURES_MAX]; /* seeds */
    double seconds;
    struct record sum;
};

bool write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

bool read_all(int fd, void *data, size_t len)
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

static void take(struct record *r, uint64_t seed)
{
    r->seed = seed;
    r->failed = sim.failed;
    snprintf(r->failure, sizeof r->failure, "%s", sim.failure);
    r->stats = sim.stats;
    memcpy(r->applied, sim.applied, sizeof r->applied);
    memcpy(r->rejected, sim.rejected, sizeof r->rejected);
    r->cover = sim.cover;
}

/* Says each seed before it begins, so that one that kills the worker is known. [next] is shared by all. */
static void worker(int fd, uint64_t *next, uint64_t last)
{
    static struct record r;
    uint64_t seed;

    while ((seed = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED)) <= last) {
        if (!write_all(fd, &seed, sizeof seed)) {
            _exit(1);
        }
        run_seed(seed, false);
        take(&r, seed);
        if (!write_all(fd, &r, sizeof r)) {
            _exit(1);
        }
        if (sim.failed && options.first_only) {
            __atomic_store_n(next, last + 1, __ATOMIC_RELAXED);
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
    cover_add(&sum->cover, &r->cover);
}

/* The options that a replay needs besides the seed. */
void print_options(void)
{
    if (options.nodes > 0) {
        printf(" --nodes %d", options.nodes);
    }
    if (options.vms > 0) {
        printf(" --vms %d", options.vms);
    }
    if (options.events > 0) {
        printf(" --events %llu", (unsigned long long)options.events);
    }
    if (options.chaos_ms > 0) {
        printf(" --chaos %llu", (unsigned long long)options.chaos_ms);
    }
    if (options.keeps) {
        printf(" --keep ");
        print_keep();
    }
}

static void failed_seed(struct range *g, uint64_t seed, const char *why)
{
    if (g->failures < FAILURES_MAX) {
        g->failed[g->failures] = seed;
        printf("seed %llu FAILED: %s\n    replay: sim --seed %llu", (unsigned long long)seed, why,
               (unsigned long long)seed);
        print_options();
        printf(" --trace\n");
        (void)fflush(stdout);
    }
    g->failures++;
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

/* Returns how many faults and kinds of events were never reached. */
static unsigned print_missing(const struct record *r)
{
    const struct stats *s = &r->stats;
    unsigned missing = 0;

#define X(name)                                                                                              \
    if (s->name == 0) {                                                                                      \
        printf("never reached: %s\n", #name);                                                                \
        missing++;                                                                                           \
    }
    FAULTS(X)
#undef X
    for (int k = EV_OPEN; k < EV_COUNT; k++) {
        if (r->applied[k] == 0) {
            printf("never reached: %s\n", event_key((enum event_kind)k));
            missing++;
        }
    }
    return missing;
}

/* Takes what a worker says: its next seed, or how that went; false at its end. One that dies in a seed has
 * failed it. */
static bool collect_one(struct range *g, int fd, bool *busy, uint64_t *seed)
{
    static struct record r;

    *busy = !*busy;
    if (*busy) {
        return read_all(fd, seed, sizeof *seed);
    }
    if (!read_all(fd, &r, sizeof r)) {
        failed_seed(g, *seed, "the simulator crashed");
        return false;
    }
    add(&g->sum, &r);
    if (r.failed) {
        failed_seed(g, *seed, r.failure);
    }
    return true;
}

/* From whoever has something to say: none waits for another's seed. */
static bool collect(struct range *g, struct pollfd *workers)
{
    uint64_t seed[JOBS_MAX];
    bool busy[JOBS_MAX] = {false};

    for (unsigned open = g->jobs; open > 0;) {
        if (poll(workers, g->jobs, -1) < 0 && errno != EINTR) {
            perror("sim");
            return false;
        }
        for (unsigned i = 0; i < g->jobs; i++) {
            if (workers[i].fd >= 0 && workers[i].revents != 0 &&
                !collect_one(g, workers[i].fd, &busy[i], &seed[i])) {
                workers[i].fd = -1; /* poll passes it over */
                open--;
            }
        }
    }
    return true;
}

static bool run_workers(struct range *g)
{
    struct pollfd workers[JOBS_MAX];
    struct timespec begin, end;
    uint64_t *next = mmap(NULL, sizeof *next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool all;

    if (next == MAP_FAILED) {
        perror("sim");
        return false;
    }
    *next = g->first;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < g->jobs; i++) {
        int p[2];
        pid_t pid;

        if (pipe(p) != 0 || (pid = fork()) < 0) {
            perror("sim");
            return false;
        }
        if (pid == 0) {
            close(p[0]);
            worker(p[1], next, g->last);
        }
        close(p[1]);
        workers[i] = (struct pollfd){.fd = p[0], .events = POLLIN};
    }
    all = collect(g, workers);
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    (void)munmap(next, sizeof *next);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    g->seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    return all;
}

/* A row of tests/sim/RECORD. */
static bool record(const struct range *g, const char *path, const char *commit)
{
    FILE *f = fopen(path, "a");

    if (f == NULL) {
        perror(path);
        return false;
    }
    (void)fprintf(f, "| %s | %llu..%llu | %llu | %u failed | ", commit, (unsigned long long)g->first,
                  (unsigned long long)g->last, (unsigned long long)(g->last - g->first + 1), g->failures);
    for (unsigned i = 0; i < g->failures && i < FAILURES_MAX; i++) {
        (void)fprintf(f, "seed %llu: ? ", (unsigned long long)g->failed[i]);
    }
    (void)fprintf(f, "|\n");
    return fclose(f) == 0;
}

static int run_range(struct range *g, const char *record_path, const char *commit)
{
    uint64_t seeds = g->last - g->first + 1;
    bool plain = options.nodes == 0 && options.vms == 0 && options.events == 0 && options.chaos_ms == 0 &&
                 !options.keeps && !options.first_only;
    unsigned missing;

    printf("seeds %llu to %llu", (unsigned long long)g->first, (unsigned long long)g->last);
    print_options();
    printf("\n");
    (void)fflush(stdout);
    if (!run_workers(g)) {
        return 1;
    }
    for (unsigned i = 0; i < g->failures && i < SHRINKS_MAX && !options.first_only; i++) {
        shrink(g->failed[i]);
    }
    missing = cover_print(&g->sum.cover);
    print_stats(&g->sum);
    missing += print_missing(&g->sum);
    if (record_path != NULL && !record(g, record_path, commit)) {
        return 1;
    }
    printf("sim: seeds %llu to %llu: %u failed, %.1f seeds/s, %.0f events/s\n", (unsigned long long)g->first,
           (unsigned long long)g->last, g->failures, (double)seeds / g->seconds,
           (double)g->sum.stats.events / g->seconds);
    if (plain && seeds >= COVER_SEEDS && missing > 0) {
        printf("sim: FAILED: %u things were never reached, or are not in the table\n", missing);
        return 1;
    }
    return g->failures ? 1 : 0;
}

/* --------------------------------------------------------------------------------------------- command line
 */

static int usage(void)
{
    (void)fprintf(
        stderr,
        "usage: sim [OPTIONS] --seed N [--trace | --shrink]\n"
        "       sim [OPTIONS] --seeds A..B [--jobs J] [--first] [--record FILE --commit ID]\n"
        "OPTIONS, instead of what the seed draws (a replay needs the same):\n"
        "  --nodes N, --vms M      how many\n"
        "  --events N, --chaos MS  the faults last for so many events, for so long\n"
        "  --keep LIST             of faults f1, commands c1 and agents' faults a1 only these (or none)\n");
    return 2;
}

#ifdef ENABLE_MUTANTS
static void print_name(const char *name)
{
    (void)puts(name);
}
#endif

struct args {
    struct range range;
    bool one, traced, shrinks;
    const char *record, *commit;
};

static bool number(const char *text, uint64_t *out)
{
    char *end;

    *out = strtoull(text, &end, 10);
    return end != text && *end == '\0';
}

static bool parse_range(const char *text, struct range *g)
{
    char *end;

    g->first = strtoull(text, &end, 10);
    return strncmp(end, "..", 2) == 0 && number(end + 2, &g->last) && g->last >= g->first;
}

/* An option with a value. */
static bool parse_value(struct args *a, const char *name, const char *value)
{
    uint64_t n = 0;
    bool ok = number(value, &n);

    if (strcmp(name, "--seed") == 0) {
        a->one = true;
        a->range.first = a->range.last = n;
    } else if (strcmp(name, "--seeds") == 0) {
        ok = parse_range(value, &a->range);
    } else if (strcmp(name, "--nodes") == 0) {
        ok = ok && n >= 1 && n <= HOSTS_MAX;
        options.nodes = (int)n;
    } else if (strcmp(name, "--vms") == 0) {
        ok = ok && n >= 1 && n <= VMS_MAX;
        options.vms = (int)n;
    } else if (strcmp(name, "--events") == 0) {
        options.events = n;
    } else if (strcmp(name, "--chaos") == 0) {
        options.chaos_ms = n;
    } else if (strcmp(name, "--keep") == 0) {
        ok = parse_keep(value);
    } else if (strcmp(name, "--jobs") == 0) {
        ok = ok && n >= 1 && n <= JOBS_MAX;
        a->range.jobs = (unsigned)n;
    } else if (strcmp(name, "--record") == 0) {
        a->record = value;
        ok = true;
    } else if (strcmp(name, "--commit") == 0) {
        a->commit = value;
        ok = true;
    } else {
        return false;
    }
    return ok;
}

static int run_one(const struct args *a)
{
    static struct record r;
    static struct range g;
    uint64_t seed = a->range.first;

    run_seed(seed, a->traced);
    take(&r, seed);
    if (!a->traced) {
        print_stats(&r);
    }
    if (r.failed) {
        failed_seed(&g, seed, r.failure);
        if (a->shrinks) {
            shrink(seed);
        }
    }
    return r.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct args a = {.range = {.first = 1, .last = 200, .jobs = 2}, .commit = "?"};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            a.traced = true;
        } else if (strcmp(argv[i], "--first") == 0) {
            options.first_only = true;
        } else if (strcmp(argv[i], "--shrink") == 0) {
            a.shrinks = true;
#ifdef ENABLE_MUTANTS
        } else if (strcmp(argv[i], "--list-mutants") == 0) {
            mutant_list(print_name);
            return 0;
#endif
        } else if (i + 1 < argc && parse_value(&a, argv[i], argv[i + 1])) {
            i++;
        } else {
            return usage();
        }
    }
    return a.one ? run_one(&a) : run_range(&a.range, a.record, a.commit);
}
