#include "output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RING 32

/* ---- errors ---- */

static struct json_object *error_document(const struct err *err, const char *msg)
{
    struct json_object *document = json_object_new_object(), *e = json_object_new_object();

    (void)json_object_object_add(e, "code", json_object_new_string(rc_key(err->rc)));
    (void)json_object_object_add(e, "message", json_object_new_string(msg));
    (void)json_object_object_add(e, "hint", err->hint[0] ? json_object_new_string(err->hint) : NULL);
    (void)json_object_object_add(document, "error", e);
    return document;
}

static int fail(struct cli *c, const struct err *err, const char *msg)
{
    if (c->json || c->xml) {
        struct json_object *document = error_document(err, msg);

        (void)output_document(c, document, NULL);
        json_object_put(document);
        return err->rc;
    }
    (void)fflush(stdout);
    (void)fprintf(stderr, "clusterctl: %s\n", out_clean(msg));
    if (err->hint[0] != '\0') {
        (void)fprintf(stderr, "hint: %s\n", out_clean(err->hint));
    }
    return err->rc;
}

/* "cannot remove VM 'web1': VM 'web1' is running" reads better as "…: it is running". */
void cli_reason(char *msg, size_t size, const char *reason)
{
    size_t len = strlen(msg), subject = strcspn(reason, "'");

    if (reason[subject] == '\'') {
        subject += 1 + strcspn(reason + subject + 1, "'") + 1;
    }
    if (len > subject && subject < strlen(reason) && memcmp(msg + len - subject, reason, subject) == 0) {
        (void)snprintf(msg + len, size - len, ": it%s", reason + subject);
    } else {
        (void)snprintf(msg + len, size - len, "%s%s", len ? ": " : "", reason);
    }
}

int cli_fail(struct cli *c, const struct err *err, const char *what, ...)
{
    char msg[1024] = "";
    va_list ap;

    if (what != NULL) {
        va_start(ap, what);
        (void)vsnprintf(msg, sizeof msg, what, ap);
        va_end(ap);
    }
    cli_reason(msg, sizeof msg, err->msg);
    return fail(c, err, msg);
}

int cli_refuse(struct cli *c, int rc, const char *hint, const char *fmt, ...)
{
    struct err err = ERR_INIT;
    va_list ap;

    err.rc = rc;
    va_start(ap, fmt);
    (void)vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    err_hint(&err, "%s", hint ? hint : "");
    return fail(c, &err, err.msg);
}

void cli_note(const struct cli *c, const char *fmt, ...)
{
    va_list ap;

    if (c->json || c->xml) {
        return;
    }
    (void)fflush(stdout);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

int cli_confirm(struct cli *c, const char *fmt, ...)
{
    char question[512], answer[16] = "";
    va_list ap;

    if (c->yes) {
        return 0;
    }
    va_start(ap, fmt);
    (void)vsnprintf(question, sizeof question, fmt, ap);
    va_end(ap);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return cli_refuse(c, RC_REFUSED, "--yes does it without asking",
                          "%s This needs a confirmation, and there is "
                          "no terminal to ask on",
                          question);
    }
    (void)fprintf(stderr, "%s Go on? [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y')) {
        return 0;
    }
    return cli_refuse(c, RC_REFUSED, NULL, "not confirmed, nothing was done");
}

/* ---- members ---- */

struct json_object *out_get(struct json_object *o, const char *key)
{
    struct json_object *value = NULL;

    (void)json_object_object_get_ex(o, key, &value);
    return value;
}

bool out_is_null(struct json_object *o, const char *key)
{
    return out_get(o, key) == NULL;
}

const char *out_text(struct json_object *o, const char *key)
{
    struct json_object *value = out_get(o, key);

    return value ? out_clean(json_object_get_string(value)) : "-";
}

int64_t out_int(struct json_object *o, const char *key)
{
    return json_object_get_int64(out_get(o, key));
}

bool out_bool(struct json_object *o, const char *key)
{
    return json_object_get_boolean(out_get(o, key));
}

size_t out_length(struct json_object *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static char *ring(size_t size)
{
    static char *slot[RING];
    static unsigned next;
    char **s = &slot[next++ % (RING)];

    free(*s);
    *s = calloc(1, size);
    if (*s == NULL) {
        abort();
    }
    return *s;
}

/* Control characters, C1 ones in UTF-8 included, could rewrite what stands on a terminal. */
const char *out_clean(const char *text)
{
    size_t len = strlen(text);
    char *out = ring(len + 1);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            out[i] = '?';
        } else if (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0) {
            out[i] = '?';
            if (i + 1 < len) {
                out[++i] = '?';
            }
        } else {
            out[i] = text[i];
        }
    }
    return out;
}

const char *out_join(struct json_object *list)
{
    size_t n = out_length(list), size = 2;
    char *out;

    for (size_t i = 0; i < n; i++) {
        size += strlen(json_object_get_string(json_object_array_get_idx(list, i))) + 2;
    }
    out = ring(size);
    if (n == 0) {
        return "-";
    }
    for (size_t i = 0, at = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "",
                               json_object_get_string(json_object_array_get_idx(list, i)));
    }
    return out_clean(out);
}

const char *out_bytes(int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    unsigned u = 0;
    char *out = ring(32);

    while (v >= 1024 && u < 5) {
        v /= 1024;
        u++;
    }
    (void)snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return out;
}

/* ---- times ---- */

int64_t out_time_ms(const char *time)
{
    struct tm tm = {0};
    int ms = 0;

    if (sscanf(time, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &ms) < 6) {
        return 0;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t)timegm(&tm) * 1000 + ms;
}

const char *out_when(const char *text)
{
    time_t then = (time_t)(out_time_ms(text) / 1000), now = time(NULL);
    struct tm a, b;
    char *out = ring(32);

    if (then == 0 || localtime_r(&then, &a) == NULL || localtime_r(&now, &b) == NULL) {
        return "-";
    }
    (void)strftime(out, 32,
                   a.tm_yday == b.tm_yday && a.tm_year == b.tm_year ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &a);
    return out;
}

const char *out_lasted(const char *from, const char *to)
{
    struct timespec now;
    int64_t ms;
    char *out = ring(40);

    (void)clock_gettime(CLOCK_REALTIME, &now);
    ms = (to ? out_time_ms(to) : (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000) - out_time_ms(from);
    if (ms < 0 || out_time_ms(from) == 0) {
        return "-";
    }
    if (ms < 60000) {
        (void)snprintf(out, 40, "%.1f s", (double)ms / 1000);
    } else if (ms < 3600000) {
        (void)snprintf(out, 40, "%" PRId64 " min %" PRId64 " s", ms / 60000, ms / 1000 % 60);
    } else {
        (void)snprintf(out, 40, "%" PRId64 " h %" PRId64 " min", ms / 3600000, ms / 60000 % 60);
    }
    return out;
}

/* ---- tables ---- */

struct table {
    unsigned columns, cells, cap;
    char **cell;
};

struct table *table_new(unsigned columns)
{
    struct table *t = calloc(1, sizeof *t);

    if (t == NULL) {
        abort();
    }
    t->columns = columns;
    return t;
}

void table_cell(struct table *t, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    if (t->cells == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->cell = realloc(t->cell, t->cap * sizeof *t->cell);
    }
    va_start(ap, fmt);
    if (t->cell == NULL || vasprintf(&text, fmt, ap) < 0) {
        abort();
    }
    va_end(ap);
    t->cell[t->cells++] = text;
}

/* Columns on the screen, counted by the beginnings of UTF-8 characters. */
static unsigned width(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static void print_row(const struct table *t, unsigned row, const unsigned *wide, unsigned indent)
{
    const char *const *cell = (const char *const *)t->cell + row * t->columns;
    unsigned last = t->columns;

    while (last > 0 && cell[last - 1][0] == '\0') {
        last--; /* no blanks at the end of a line */
    }
    printf("%*s%s", (int)indent, "", row == 0 ? colour(COLOUR_BOLD) : "");
    for (unsigned i = 0; i < last; i++) {
        bool state = strcmp(t->cell[i], "STATE") == 0 || strcmp(t->cell[i], "MODE") == 0;
        enum colour shade = row > 0 && state ? state_colour(cell[i]) : COLOUR_NONE;

        printf("%s%s%s", shade ? colour(shade) : "", cell[i], shade ? colour(COLOUR_NONE) : "");
        if (i + 1 < last) {
            printf("%*s", (int)(wide[i] - width(cell[i]) + 2), "");
        }
    }
    printf("%s\n", row == 0 ? colour(COLOUR_NONE) : "");
}

void table_print(struct table *t, unsigned indent)
{
    unsigned *wide = calloc(t->columns, sizeof *wide);

    if (wide == NULL) {
        abort();
    }
    for (unsigned i = 0; i < t->cells; i++) {
        unsigned w = width(t->cell[i]);

        if (w > wide[i % t->columns]) {
            wide[i % t->columns] = w;
        }
    }
    for (unsigned row = 0; row < t->cells / t->columns; row++) {
        print_row(t, row, wide, indent);
    }
    for (unsigned i = 0; i < t->cells; i++) {
        free(t->cell[i]);
    }
    free(t->cell);
    free(wide);
    free(t);
}

const char *colour(enum colour c)
{
    static const char *const escapes[] = {"\033[0m", "\033[1m", "\033[31m", "\033[32m", "\033[33m"};
    const char *term = getenv("TERM");

    if (!isatty(STDOUT_FILENO) || getenv("NO_COLOR") != NULL || term == NULL || strcmp(term, "dumb") == 0) {
        return "";
    }
    return escapes[c];
}

enum colour state_colour(const char *state)
{
    static const struct {
        const char *state;
        enum colour colour;
    } shades[] = {
        {"online", COLOUR_GREEN},     {"running", COLOUR_GREEN},    {"done", COLOUR_GREEN},
        {"unclean", COLOUR_RED},      {"fencing", COLOUR_RED},      {"failed", COLOUR_RED},
        {"unknown", COLOUR_RED},      {"offline", COLOUR_RED},      {"partial", COLOUR_RED},
        {"timed-out", COLOUR_RED},    {"daemon-lost", COLOUR_RED},  {"joining", COLOUR_YELLOW},
        {"starting", COLOUR_YELLOW},  {"stopping", COLOUR_YELLOW},  {"saving", COLOUR_YELLOW},
        {"restoring", COLOUR_YELLOW}, {"migrating", COLOUR_YELLOW}, {"draining", COLOUR_YELLOW},
        {"drained", COLOUR_YELLOW},   {"paused", COLOUR_YELLOW},    {"queued", COLOUR_YELLOW},
    };

    for (size_t i = 0; i < sizeof shades / sizeof shades[0]; i++) {
        if (strcmp(shades[i].state, state) == 0) {
            return shades[i].colour;
        }
    }
    return COLOUR_NONE;
}

/* ---- documents ---- */

bool output_document(const struct cli *c, struct json_object *document, const char *element)
{
    if (c->json) {
        printf("%s\n",
               json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    } else if (c->xml) {
        output_xml(document, element);
    }
    return c->json || c->xml;
}
