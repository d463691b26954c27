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
#define PAGE      500 /* rows of one answer, as in command.c */
#define PAGES_MAX 200

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

/* One page; NULL with *rc set and the error printed. */
static struct json_object *ask(struct cli *c, struct json_object *args, const char *key, int64_t index,
                               int *rc)
{
    struct json_object *result, *list = NULL;

    (void)json_object_object_add(args, key, json_object_new_int64(index));
    *rc = query_get(c, "events", json_object_get(args), &result, "read the events");
    if (*rc == 0) {
        list = json_object_get(out_get(result, "events"));
    }
    json_object_put(result);
    json_object_object_del(args, key);
    return list;
}

static int64_t index_at(struct json_object *list, size_t i)
{
    return out_int(json_object_array_get_idx(list, i), "index");
}

/* The newest page, and with `all` the older ones before it, in order. NULL: *rc says why, printed. */
static struct json_object *collect(struct cli *c, struct json_object *args, bool all, int *rc)
{
    struct json_object *page[PAGES_MAX], *list = json_object_new_array();
    unsigned pages = 0;
    int64_t before = 0;
    size_t n;

    do {
        page[pages] = ask(c, args, "before_index", before, rc);
        n = out_length(page[pages]);
        before = n > 0 ? index_at(page[pages], 0) : 0;
    } while (page[pages++] != NULL && all && n == PAGE && before > 1 && pages < PAGES_MAX);
    if (n == PAGE && before > 1) {
        cli_note(c, "older events are left out%s", all ? "" : ": --since T shows more");
    }
    if (page[pages - 1] == NULL) {
        json_object_put(list);
        list = NULL;
    }
    while (pages-- > 0) {
        for (size_t i = 0; list != NULL && i < out_length(page[pages]); i++) {
            (void)json_object_array_add(list, json_object_get(json_object_array_get_idx(page[pages], i)));
        }
        json_object_put(page[pages]);
    }
    return list;
}

static int print_events(struct cli *c, struct json_object *list, int64_t *after)
{
    if (c->xml) {
        struct json_object *document = json_object_new_object();

        (void)json_object_object_add(document, "events", json_object_get(list));
        (void)output_document(c, document, NULL);
        json_object_put(document);
    }
    for (size_t i = 0; i < out_length(list); i++) {
        *after = index_at(list, i) > *after ? index_at(list, i) : *after;
        if (!c->xml) {
            print_event(c, json_object_array_get_idx(list, i));
        }
    }
    return fflush(stdout) == 0 ? 0 : RC_IO;
}

static int follow(struct cli *c, struct json_object *args, int64_t after)
{
    int rc = 0;

    while (rc == 0) {
        struct json_object *list = ask(c, args, "after_index", after, &rc);

        if (list == NULL) {
            return rc;
        }
        rc = print_events(c, list, &after);
        json_object_put(list);
        (void)poll(NULL, 0, FOLLOW_MS);
    }
    return rc;
}

static int run_events(struct cli *c)
{
    struct json_object *args = client_args("vm", cli_value(c, "vm"), "node", cli_value(c, "node"), NULL);
    const char *since = cli_value(c, "since");
    struct json_object *list;
    int64_t ms = 0, after = 0;
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
    list = collect(c, args, since != NULL, &rc);
    rc = list ? print_events(c, list, &after) : rc;
    json_object_put(list);
    if (rc == 0 && cli_flag(c, "follow")) {
        rc = follow(c, args, after);
    }
    json_object_put(args);
    return rc;
}

const struct cli_command cmd_events[] = {
    {.name = "events",
     .summary = "show the audit trail: who asked what, what was decided and why, what came of it",
     .details = "The newest 500 that match; all of them with --since. With --json one object a line.",
     .run = run_events,
     .option = {{"follow", NULL, NULL, "and go on with new ones, until Ctrl-C", KIND_NONE, false},
                {"since", "T", NULL, "those after T: 10m, 2h, 3d (ago), or 2026-01-31, '2026-01-31 14:00'",
                 KIND_NONE, false},
                {"vm", "VM", NULL, "those about this VM", KIND_VM, false},
                {"node", "NODE", NULL, "those about this node", KIND_NODE, false}}},
    {.name = NULL},
};
