#include "adapters/crashes.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define KEPT 32 /* crashes; a limit beyond it is never reached */

struct record {
    char boot[40];
    bool running;
    unsigned n;
    uint64_t at[KEPT]; /* oldest first */
};

static void add(struct record *r, uint64_t at)
{
    if (r->n == KEPT) {
        memmove(&r->at[0], &r->at[1], (KEPT - 1) * sizeof r->at[0]);
        r->n--;
    }
    r->at[r->n++] = at;
}

static void load(struct record *r, const char *path)
{
    FILE *f = fopen(path, "re");
    char line[80];

    memset(r, 0, sizeof *r);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        uint64_t at;

        if (sscanf(line, "boot %39s", r->boot) == 1) {
            continue;
        }
        if (strcmp(line, "running\n") == 0) {
            r->running = true;
        } else if (sscanf(line, "crash %" SCNu64, &at) == 1) {
            add(r, at);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

/* Not fsynced: a crash of the daemon leaves the page cache alone, and one of the host begins anew. */
static void store(const struct record *r, const char *path)
{
    char temporary[PATH_MAX];
    FILE *f;

    (void)snprintf(temporary, sizeof temporary, "%.4000s.new", path);
    f = fopen(temporary, "we");
    if (f == NULL) {
        return;
    }
    (void)fprintf(f, "boot %s\n%s", r->boot, r->running ? "running\n" : "");
    for (unsigned i = 0; i < r->n; i++) {
        (void)fprintf(f, "crash %" PRIu64 "\n", r->at[i]);
    }
    if (fclose(f) == 0) {
        (void)rename(temporary, path);
    }
}

uint64_t crashes_begin(struct crashes *c, const char *path, const char *boot, uint64_t now_ms)
{
    struct record r;
    uint64_t until = 0;

    load(&r, path);
    if (strcmp(r.boot, boot) != 0) {
        memset(&r, 0, sizeof r);
        (void)snprintf(r.boot, sizeof r.boot, "%s", boot);
    }
    if (r.running) {
        add(&r, now_ms); /* it is begun again at once, so that is when */
    }
    r.running = true;
    store(&r, path);
    c->n = 0;
    for (unsigned i = r.n; i > 0 && now_ms - r.at[i - 1] < c->window_ms; i--) {
        c->n++;
        until = c->n == c->limit ? r.at[i - 1] + c->window_ms : until;
    }
    return until > now_ms ? until - now_ms : 0;
}

void crashes_end(const char *path, int forget)
{
    struct record r;

    load(&r, path);
    r.running = false;
    r.n = forget ? 0 : r.n;
    store(&r, path);
}
