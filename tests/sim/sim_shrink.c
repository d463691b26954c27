/*
 * A failing seed made small: fewer VMs, fewer faults, commands and agents' faults, fewer nodes, a shorter
 * time of faults, as long as it fails in the same way. Each try is a process of its own, so that one that
 * crashes or hangs is one more way to fail.
 */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define SHRINK_S 60 /* for all tries together */
#define TRY_S    20
#define KIND_MAX 72 /* of a failure's text this much says what it is */

/* ------------------------------------------------------------------------------------------- what is kept */

static char letter(uint64_t key)
{
    return (key >> 56) == STREAM_FAULT ? 'f' : (key >> 56) == STREAM_COMMAND ? 'c' : 'a';
}

void print_keep(void)
{
    for (size_t i = 0; i < options.n_keep; i++) {
        printf("%s%c%llu", i ? "," : "", letter(options.keep[i]),
               (unsigned long long)(options.keep[i] & ((UINT64_C(1) << 56) - 1)));
    }
    printf("%s", options.n_keep ? "" : "none");
}

static int key_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void keep_set(const uint64_t *v, size_t n)
{
    uint64_t *copy = malloc(n ? n * sizeof *v : 1);

    if (n > 0) {
        memcpy(copy, v, n * sizeof *v);
        qsort(copy, n, sizeof *copy, key_cmp);
    }
    free(options.keep);
    options.keep = copy;
    options.n_keep = n;
    options.keeps = true;
}

bool parse_keep(const char *text)
{
    uint64_t *v = malloc((strlen(text) + 1) * sizeof *v);
    size_t n = 0;
    bool ok = true;

    while (ok && strcmp(text, "none") != 0 && *text != '\0') {
        char *end;
        enum stream what = *text == 'f' ? STREAM_FAULT : *text == 'c' ? STREAM_COMMAND : STREAM_AGENT;

        ok = strchr("fca", *text) != NULL;
        v[n++] = (uint64_t)what << 56 | strtoull(text + 1, &end, 10);
        ok = ok && end != text + 1 && (*end == ',' || *end == '\0');
        text = *end == ',' ? end + 1 : end;
    }
    if (ok) {
        keep_set(v, n);
    }
    free(v);
    return ok;
}

/* ---------------------------------------------------------------------------------------------------- tries
 */

struct outcome {
    bool failed;
    char failure[1024];
    uint64_t lines, now_ms;
    int n, vms;
    size_t n_happened;
    uint64_t *happened; /* owned */
};

static void child(int fd, uint64_t seed)
{
    struct outcome o = {0};

    (void)alarm(TRY_S);
    run_seed(seed, false);
    o.failed = sim.failed;
    snprintf(o.failure, sizeof o.failure, "%s", sim.failure);
    o.lines = sim.lines;
    o.now_ms = sim.now / MS;
    o.n = sim.n0;
    o.vms = sim.vms;
    o.n_happened = sim.n_happened;
    if (!write_all(fd, &o, sizeof o) || !write_all(fd, sim.happened, o.n_happened * sizeof *sim.happened)) {
        _exit(1);
    }
    _exit(0);
}

static struct outcome try(uint64_t seed)
{
    struct outcome o = {0};
    int p[2], status = 0;
    pid_t pid;

    (void)fflush(stdout);
    if (pipe(p) != 0 || (pid = fork()) < 0) {
        perror("sim");
        return o;
    }
    if (pid == 0) {
        close(p[0]);
        child(p[1], seed);
    }
    close(p[1]);
    if (read_all(p[0], &o, sizeof o)) {
        o.happened = malloc(o.n_happened ? o.n_happened * sizeof *o.happened : 1);
        if (!read_all(p[0], o.happened, o.n_happened * sizeof *o.happened)) {
            o.n_happened = 0;
        }
    } else {
        memset(&o, 0, sizeof o);
        o.failed = true;
        snprintf(o.failure, sizeof o.failure, "the simulator crashed or hung");
    }
    close(p[0]);
    (void)waitpid(pid, &status, 0);
    return o;
}

/* What a failure is, without who and when. */
static void kind_of(const char *text, char kind[KIND_MAX])
{
    size_t n = 0;

    for (; *text != '\0' && n + 1 < KIND_MAX; text++) {
        if (!isdigit((unsigned char)*text)) {
            kind[n++] = *text;
        }
    }
    kind[n] = '\0';
}

struct shrinking {
    uint64_t seed;
    char kind[KIND_MAX];
    struct outcome best;
    time_t end;
    unsigned tries;
};

/* With the options as they are now: does it fail in the same way? Then this is the best so far. */
static bool fails(struct shrinking *s)
{
    struct outcome o;
    char kind[KIND_MAX];

    if (time(NULL) >= s->end) {
        return false;
    }
    s->tries++;
    o = try(s->seed);
    kind_of(o.failure, kind);
    if (!o.failed || strcmp(kind, s->kind) != 0) {
        free(o.happened);
        return false;
    }
    free(s->best.happened);
    s->best = o;
    return true;
}

static void fewer(struct shrinking *s, int *option, int now, int least)
{
    for (int n = least; n < now; n = n < 4 ? n + 1 : 2 * n) {
        int before = *option;

        *option = n;
        if (fails(s)) {
            return;
        }
        *option = before;
    }
}

/* Leaves out a part of what is kept, ever smaller ones. */
static void leave_out(struct shrinking *s)
{
    for (size_t part = (s->best.n_happened + 1) / 2; part > 0;) {
        bool some = false;

        for (size_t from = 0; from < s->best.n_happened && time(NULL) < s->end;) {
            size_t n = s->best.n_happened, drop = n - from < part ? n - from : part;
            uint64_t *rest = malloc(n * sizeof *rest);

            memcpy(rest, s->best.happened, from * sizeof *rest);
            memcpy(rest + from, s->best.happened + from + drop, (n - from - drop) * sizeof *rest);
            keep_set(rest, n - drop);
            free(rest);
            if (fails(s)) {
                some = true;
            } else {
                from += drop;
            }
        }
        if (part == 1 && !some) {
            break;
        }
        part = part > 1 ? part / 2 : part;
        if (time(NULL) >= s->end) {
            break;
        }
    }
    keep_set(s->best.happened, s->best.n_happened);
}

static void shorten(struct shrinking *s)
{
    for (uint64_t ms = 500; ms < s->best.now_ms; ms *= 2) {
        uint64_t before = options.chaos_ms;

        options.chaos_ms = ms;
        if (fails(s)) {
            return;
        }
        options.chaos_ms = before;
    }
}

void shrink(uint64_t seed)
{
    struct sim_options before = options;
    struct shrinking s = {.seed = seed, .end = time(NULL) + SHRINK_S};
    size_t n;
    uint64_t lines;

    options.keep = NULL;
    if (before.keeps) {
        keep_set(before.keep, before.n_keep);
    }
    s.best = try(seed);
    kind_of(s.best.failure, s.kind);
    n = s.best.n_happened;
    lines = s.best.lines;
    if (s.best.failed) {
        fewer(&s, &options.vms, s.best.vms, 1);
        leave_out(&s);
        fewer(&s, &options.nodes, s.best.n, 2);
        shorten(&s);
        leave_out(&s);
        printf("seed %llu shrunk in %u tries: %zu of %zu faults and commands, %llu of %llu lines: %s\n"
               "    replay: sim --seed %llu",
               (unsigned long long)seed, s.tries, options.n_keep, n, (unsigned long long)s.best.lines,
               (unsigned long long)lines, s.best.failure, (unsigned long long)seed);
        print_options();
        printf(" --trace\n");
    }
    free(s.best.happened);
    free(options.keep);
    options = before;
}
