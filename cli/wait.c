#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "common/json.h"
#include "output.h"

#define POLL_MIN_MS 5
#define POLL_MAX_MS 150
#define LOST_MAX_MS 60000 /* a daemon that restarts is given this long to come back */
#define BAR_WIDTH   30
#define WAITS_MS    1500 /* a wait that lasts so long is said */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

void batch_init(struct batch *b, struct cli *c, const char *verb)
{
    memset(b, 0, sizeof *b);
    b->c = c;
    b->verb = verb;
    b->ops = json_object_new_array();
    b->errors = json_object_new_array();
    b->names = json_object_new_array();
}

void batch_fini(struct batch *b)
{
    json_object_put(b->ops);
    json_object_put(b->errors);
    json_object_put(b->names);
}

static bool quiet(const struct batch *b)
{
    return b->c->json || b->c->xml;
}

/* Prints (for people) or keeps (for programs) what went wrong with one object. */
static void batch_error(struct batch *b, const char *name, const struct err *err)
{
    struct json_object *e;
    char msg[768];

    if (b->rc == 0) {
        b->rc = err->rc;
    }
    (void)snprintf(msg, sizeof msg, "cannot %s%s%s%s", b->verb, name ? " '" : "", name ? name : "",
                   name ? "'" : "");
    cli_reason(msg, sizeof msg, err->msg);
    if (!quiet(b)) {
        (void)cli_fail(b->c, err, "cannot %s%s%s%s", b->verb, name ? " '" : "", name ? name : "",
                       name ? "'" : "");
        return;
    }
    e = json_object_new_object();
    (void)json_object_object_add(e, "name", name ? json_object_new_string(name) : NULL);
    (void)json_object_object_add(e, "code", json_object_new_string(rc_key(err->rc)));
    (void)json_object_object_add(e, "message", json_object_new_string(msg));
    (void)json_object_object_add(e, "hint", err->hint[0] ? json_object_new_string(err->hint) : NULL);
    (void)json_object_array_add(b->errors, e);
}

void batch_add(struct batch *b, const char *name, struct json_object *op)
{
    (void)json_object_array_add(b->ops, json_object_get(op));
    (void)json_object_array_add(b->names, name ? json_object_new_string(name) : NULL);
}

int batch_send(struct batch *b, const char *command, const char *name, struct json_object *args)
{
    struct json_object *result = NULL;
    struct err err = ERR_INIT;
    int rc = client_call(b->c, command, args, &result, &err);

    if (rc != 0) {
        batch_error(b, name, &err);
    } else if (!out_is_null(result, "operation")) {
        batch_add(b, name, out_get(result, "operation"));
    }
    json_object_put(result);
    return rc;
}

/* ---- one operation in words ---- */

static bool ended(struct json_object *op)
{
    return !out_is_null(op, "ended");
}

/* "web1: live-migrate node1 -> node2" */
static void describe(struct json_object *op, char *out, size_t size)
{
    const char *about = out_text(op, "vm");
    size_t n;

    if (out_is_null(op, "vm")) {
        about = !out_is_null(op, "node")     ? out_text(op, "node")
                : !out_is_null(op, "volume") ? out_text(op, "volume")
                                             : out_text(op, "fence");
    }
    n = (size_t)snprintf(out, size, "%s: %s", about, out_text(op, "kind"));
    if (n < size && !out_is_null(op, "from") && !out_is_null(op, "to")) {
        (void)snprintf(out + n, size - n, " %s -> %s", out_text(op, "from"), out_text(op, "to"));
    } else if (n < size && !out_is_null(op, "to")) {
        (void)snprintf(out + n, size - n, " on %s", out_text(op, "to"));
    }
}

/* The reason of a failure stands in the error that follows; that of a part of a drain only here. */
static void say_end(struct json_object *op, const char *indent)
{
    const char *state = out_text(op, "state");
    char what[256];

    describe(op, what, sizeof what);
    printf("%s%s: %s%s%s after %s", indent, what, colour(state_colour(state)), state, colour(COLOUR_NONE),
           out_lasted(out_text(op, "started"), out_text(op, "ended")));
    if (indent[0] != '\0' && !out_is_null(op, "error")) {
        printf(": %s", out_text(op, "error"));
    }
    printf("\n");
}

/* ---- the watch ---- */

struct watch {
    struct batch *b;
    bool bar;                 /* a terminal: one line is redrawn */
    bool drawn;               /* that line stands on the screen */
    struct json_object *said; /* owned; ids whose end was said -> true; ids whose start was said -> false */
    int64_t begin_ms, deadline_ms, lost_ms;
};

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wipe(struct watch *w)
{
    if (w->drawn) {
        (void)fprintf(stderr, "\r\033[K");
        w->drawn = false;
    }
}

static void draw(struct watch *w, struct json_object *op)
{
    char what[256], bar[BAR_WIDTH + 1];
    double p = json_object_get_double(out_get(op, "progress"));
    int full = (int)(p * BAR_WIDTH);

    describe(op, what, sizeof what);
    for (int i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    (void)fflush(stdout);
    if (out_is_null(op, "progress")) {
        (void)fprintf(stderr, "\r\033[K%.60s  %s  %s", what, out_text(op, "state"),
                      out_lasted(out_text(op, "started"), NULL));
    } else {
        (void)fprintf(stderr, "\r\033[K%.60s  [%s] %3.0f %%  %s", what, bar, p * 100,
                      out_lasted(out_text(op, "started"), NULL));
    }
    w->drawn = true;
}

/* Says what is new about an operation: that it runs (where there is no bar), and its end. */
static void say(struct watch *w, struct json_object *op, const char *indent)
{
    const char *id = out_text(op, "id");
    struct json_object *said = out_get(w->said, id);
    char what[256];

    if (quiet(w->b) || (said != NULL && json_object_get_boolean(said))) {
        return;
    }
    if (ended(op)) {
        wipe(w);
        say_end(op, indent);
        (void)json_object_object_add(w->said, id, json_object_new_boolean(true));
    } else if (!w->bar && said == NULL && strcmp(out_text(op, "state"), "running") == 0) {
        describe(op, what, sizeof what);
        printf("%s%s: running (operation %s)\n", indent, what, id);
        (void)json_object_object_add(w->said, id, json_object_new_boolean(false));
    }
    (void)fflush(stdout);
}

/* What somebody waits for is said once, and only when it does not pass by itself at once. */
static void say_waits(struct watch *w, const char *indent, const char *who, const char *why)
{
    struct json_object *since;
    char key[600];

    (void)snprintf(key, sizeof key, "%.64s waits: %.500s", who, why);
    since = out_get(w->said, key);
    if (since == NULL) {
        (void)json_object_object_add(w->said, key, json_object_new_int64(now_ms()));
    } else if (!quiet(w->b) && json_object_get_int64(since) >= 0 &&
               now_ms() - json_object_get_int64(since) >= WAITS_MS) {
        wipe(w);
        printf("%s%s: %swaits%s: %s\n", indent, who, colour(COLOUR_YELLOW), colour(COLOUR_NONE), why);
        (void)json_object_object_add(w->said, key, json_object_new_int64(-1));
    }
}

static void say_blocked(struct watch *w, struct json_object *op)
{
    struct json_object *list = out_get(op, "blocked");

    for (size_t i = 0; i < out_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);

        say_waits(w, "  ", out_text(o, "vm"), out_text(o, "why"));
    }
    if (!out_is_null(op, "waits")) {
        say_waits(w, "", out_text(op, "vm"), out_text(op, "waits"));
    }
}

static void say_parts(struct watch *w, struct json_object *op)
{
    struct json_object *parts = out_get(op, "operations");

    if (!ended(op)) {
        say(w, op, "");
    }
    for (size_t i = 0; i < out_length(parts); i++) {
        say(w, json_object_array_get_idx(parts, i), "  ");
    }
    say_blocked(w, op);
    say(w, op, "");
}

/* The operation to draw: the first part that runs, else itself. */
static struct json_object *to_draw(struct json_object *op)
{
    struct json_object *parts = out_get(op, "operations");

    for (size_t i = 0; i < out_length(parts); i++) {
        struct json_object *part = json_object_array_get_idx(parts, i);

        if (!ended(part) && strcmp(out_text(part, "state"), "running") == 0) {
            return part;
        }
    }
    return op;
}

/* Reads operation i anew. RC_UNREACHABLE is forgiven for a while: the daemon may be restarting. */
static int refresh(struct watch *w, size_t i, struct err *err)
{
    struct batch *b = w->b;
    struct json_object *op = json_object_array_get_idx(b->ops, i), *result = NULL;
    int rc;

    if (ended(op)) {
        return 0;
    }
    rc = client_call(b->c, "ops show", client_args("op", out_text(op, "id"), NULL), &result, err);
    if (rc == RC_UNREACHABLE || rc == RC_TIMED_OUT) {
        w->lost_ms = w->lost_ms ? w->lost_ms : now_ms();
        return now_ms() - w->lost_ms < LOST_MAX_MS ? 0 : rc;
    }
    w->lost_ms = 0;
    if (rc == 0) {
        (void)json_object_array_put_idx(b->ops, i, json_object_get(result));
    }
    json_object_put(result);
    return rc;
}

/* One look at all; *running says how many go on. */
static int look(struct watch *w, unsigned *running, struct err *err)
{
    struct json_object *show = NULL;
    size_t n = json_object_array_length(w->b->ops);

    *running = 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *op;
        int rc = refresh(w, i, err);

        if (rc != 0) {
            return rc;
        }
        op = json_object_array_get_idx(w->b->ops, i);
        say_parts(w, op);
        if (!ended(op)) {
            (*running)++;
            show = show ? show : to_draw(op);
        }
    }
    if (w->bar && show != NULL) {
        draw(w, show);
    }
    return 0;
}

/* What still runs, as "911 912". */
static void running_ids(struct batch *b, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < json_object_array_length(b->ops) && len < size; i++) {
        struct json_object *op = json_object_array_get_idx(b->ops, i);

        if (!ended(op)) {
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " " : "", out_text(op, "id"));
        }
    }
}

static int detached(struct watch *w, const char *why)
{
    char ids[256];
    struct err err = ERR_INIT;

    running_ids(w->b, ids, sizeof ids);
    (void)err_set(&err, RC_TIMED_OUT, "%s; what was begun goes on", why);
    err_hint(&err, "clusterctl ops wait %s", ids);
    if (quiet(w->b)) {
        batch_error(w->b, NULL, &err);
    } else {
        (void)cli_fail(w->b->c, &err, NULL);
        w->b->rc = RC_TIMED_OUT;
    }
    return RC_TIMED_OUT;
}

/* A short operation is not made much longer by waiting for it: the end is seen at most a fortieth too late.
 */
static int pause_ms(const struct watch *w)
{
    int64_t ms = (now_ms() - w->begin_ms) / 40;

    return (int)(ms < POLL_MIN_MS ? POLL_MIN_MS : ms > POLL_MAX_MS ? POLL_MAX_MS : ms);
}

static int watch(struct watch *w)
{
    struct err err = ERR_INIT;
    unsigned running = 0;
    int rc;

    for (;;) {
        rc = look(w, &running, &err);
        if (rc != 0) {
            wipe(w);
            batch_error(w->b, NULL, &err);
            return rc;
        }
        if (running == 0) {
            wipe(w);
            return 0;
        }
        if (interrupted || (w->deadline_ms >= 0 && now_ms() >= w->deadline_ms)) {
            wipe(w);
            return detached(w, interrupted ? "interrupted" : "the time is over");
        }
        (void)poll(NULL, 0, pause_ms(w));
    }
}

/* The failures among what ended. */
static void judge(struct batch *b)
{
    for (size_t i = 0; i < json_object_array_length(b->ops); i++) {
        struct json_object *op = json_object_array_get_idx(b->ops, i);
        struct json_object *name = json_object_array_get_idx(b->names, i);
        struct err err = ERR_INIT;

        if (!ended(op) || strcmp(out_text(op, "state"), "done") == 0) {
            continue;
        }
        (void)err_set(&err, RC_FAILED, "%s",
                      out_is_null(op, "error") ? out_text(op, "state") : out_text(op, "error"));
        if (!out_is_null(op, "vm")) {
            err_hint(&err, "clusterctl explain vm %s", out_text(op, "vm"));
        } else if (!out_is_null(op, "node")) {
            err_hint(&err, "clusterctl explain node %s", out_text(op, "node"));
        }
        batch_error(b, name ? json_object_get_string(name) : NULL, &err);
    }
}

static void print_document(struct batch *b, bool several, struct json_object *extra)
{
    struct json_object *document = extra ? extra : json_object_new_object();
    size_t n = json_object_array_length(b->ops);

    if (several) {
        (void)json_object_object_add(document, "operations", json_object_get(b->ops));
        (void)json_object_object_add(document, "errors", json_object_get(b->errors));
    } else if (n > 0) {
        (void)json_object_object_add(document, "operation",
                                     json_object_get(json_object_array_get_idx(b->ops, 0)));
    }
    if (!several && json_object_array_length(b->errors) > 0) {
        struct json_object *e = json_object_array_get_idx(b->errors, 0);

        json_object_object_del(e, "name");
        (void)json_object_object_add(document, "error", json_object_get(e));
    }
    (void)output_document(b->c, document, NULL);
    json_object_put(document);
}

int batch_finish(struct batch *b, bool several, struct json_object *extra)
{
    struct watch w = {
        .b = b, .begin_ms = now_ms(), .deadline_ms = b->c->timeout_ms < 0 ? -1 : now_ms() + b->c->timeout_ms};
    /* The second Ctrl-C ends the program, whatever it is in. */
    const struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    struct sigaction old;

    if (b->c->no_wait) {
        for (size_t i = 0; i < json_object_array_length(b->ops) && !quiet(b); i++) {
            char what[256];

            describe(json_object_array_get_idx(b->ops, i), what, sizeof what);
            printf("%s: begun (operation %s)\n", what, out_text(json_object_array_get_idx(b->ops, i), "id"));
        }
    } else if (json_object_array_length(b->ops) > 0) {
        w.bar = !quiet(b) && isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
        w.said = json_object_new_object();
        (void)sigaction(SIGINT, &act, &old);
        (void)watch(&w);
        (void)sigaction(SIGINT, &old, NULL);
        json_object_put(w.said);
        judge(b);
    }
    if (quiet(b)) {
        print_document(b, several, extra);
    } else {
        json_object_put(extra);
    }
    return b->rc;
}
