/* cmd_events.c - the audit trail. */
#include "cli.h"
#include "client.h"
#include "output.h"
#include "query.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOLLOW_MS 500

/* "10m", "2h", "3d", "90s": so long ago; "2026-01-31", "2026-01-31 14:00", "…T14:00:00Z": that time (local
 * without Z). */
static bool since_ms(const char *text, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                          "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    for (size_t i = 0; i < 4; i++) {
        if (end != text && end[0] == units[i].unit && end[1] == '\0' && n < 1000000 && text[0] != '-') {
            *ms = (int64_t)time(NULL) * 1000 - (int64_t)n * units[i].ms;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm tm = {.tm_isdst = -1};

        end = strptime(text, formats[i], &tm);
        if (end != NULL && *end == '.') {
            end += 1 + strspn(end + 1, "0123456789");
        }
        if (end != NULL && (*end == '\0' || strcmp(end, "Z") == 0)) {
            *ms = (int64_t)(*end == 'Z' ? timegm(&tm) : mktime(&tm)) * 1000;
            return *ms >= 0;
        }
    }
    return false;
}

static void print_event(const struct cli *c, struct json_object *e)
{
    if (c->json) {
        printf("%s\n",
               json_object_to_json_string_ext(e, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
        return;
    }
    printf("%-8s  %6" PRId64 "  %-20s  %s\n", out_when(out_text(e, "time")), out_int(e, "index"),
           out_text(e, "kind"), out_is_null(e, "text") ? "" : out_text(e, "text"));
    if (!out_is_null(e, "why") && strstr(out_text(e, "text"), out_text(e, "why")) == NULL) {
        printf("%40swhy: %s\n", "", out_text(e, "why"));
    }
}

/* One page behind `after`; returns its length and moves *after on. */
static int page(struct cli *c, struct json_object *args, int64_t *after, size_t *n)
{
    struct json_object *result, *list;
    int rc;

    (void)json_object_object_add(args, "after_index", json_object_new_int64(*after));
    rc = query_get(c, "events", json_object_get(args), &result, "read the events");
    *n = 0;
    if (rc != 0) {
        return rc;
    }
    list = out_get(result, "events");
    *n = out_length(list);
    if (c->xml) {
        (void)output_document(c, result, NULL);
    }
    for (size_t i = 0; i < *n; i++) {
        struct json_object *e = json_object_array_get_idx(list, i);

        *after = out_int(e, "index") > *after ? out_int(e, "index") : *after;
        if (!c->xml) {
            print_event(c, e);
        }
    }
    json_object_put(result);
    return fflush(stdout) == 0 ? 0 : RC_IO;
}

static int run_events(struct cli *c)
{
    struct json_object *args = client_args("vm", cli_value(c, "vm"), "node", cli_value(c, "node"), NULL);
    const char *since = cli_value(c, "since");
    int64_t ms = 0, after = 0;
    size_t n;
    int rc;

    if (since != NULL && !since_ms(since, &ms)) {
        json_object_put(args);
        return cli_refuse(c, RC_USAGE,
                          "10m, 2h, 3d (ago), or 2026-01-31, '2026-01-31 14:00', 2026-01-31T14:00:00Z",
                          "'%s' is no time", since);
    }
    if (c->xml && cli_flag(c, "follow")) {
        json_object_put(args);
        return cli_refuse(c, RC_USAGE, "--json prints one object a line",
                          "--xml and --follow exclude each other");
    }
    (void)json_object_object_add(args, "since_ms", json_object_new_int64(ms));
    do {
        rc = page(c, args, &after, &n);
        if (cli_flag(c, "follow") && n == 0) {
            (void)poll(NULL, 0, FOLLOW_MS);
        }
    } while (rc == 0 && cli_flag(c, "follow"));
    json_object_put(args);
    return rc;
}

const struct cli_command cmd_events[] = {
    {.name = "events",
     .summary = "show the audit trail: who asked what, what was decided and why, what came of it",
     .details = "The newest thousand that match. With --json one object a line.",
     .run = run_events,
     .option = {{"follow", NULL, NULL, "and go on with new ones, until Ctrl-C", KIND_NONE, false},
                {"since", "T", NULL, "those after T: 10m, 2h, 3d (ago), or 2026-01-31, '2026-01-31 14:00'",
                 KIND_NONE, false},
                {"vm", "VM", NULL, "those about this VM", KIND_VM, false},
                {"node", "NODE", NULL, "those about this node", KIND_NODE, false}}},
    {.name = NULL},
};
