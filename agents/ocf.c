#include "ocf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"

static const struct ocf_agent *agent;
static const struct ocf_action *action;
static long started_ms, timeout_ms;

const char *ocf_action(void)
{
    return action ? action->name : "";
}

static const struct ocf_param *find_param(const char *name)
{
    const struct ocf_param *p = agent->params;

    while (p->name && strcmp(p->name, name) != 0) {
        p++;
    }
    return p->name ? p : NULL;
}

static const char *raw(const char *prefix, const char *name)
{
    char key[128];

    (void)snprintf(key, sizeof key, "OCF_RESKEY_%s%s", prefix, name);
    return getenv(key);
}

const char *ocf_meta(const char *name)
{
    const char *v = raw("CRM_meta_", name);

    return v ? v : "";
}

const char *ocf_get(const char *name)
{
    const struct ocf_param *p = find_param(name);
    const char *v = raw("", name);

    if (v && *v) {
        return v;
    }
    return p && p->def ? p->def : "";
}

/* A whole number in [0, 10^9], or -1. */
static long number(const char *s)
{
    char *end;
    long v;

    errno = 0;
    v = strtol(s, &end, 10);
    return errno || end == s || *end || v < 0 || v > 1000000000L ? -1 : v;
}

long ocf_int(const char *name)
{
    long v = number(ocf_get(name));

    return v < 0 ? 0 : v;
}

/* OCF's words for a boolean; -1 for any other. */
static int boolean(const char *s)
{
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no", "off",
                                                                                ""};

    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcmp(s, yes[i]) == 0) {
            return 1;
        }
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        if (strcmp(s, no[i]) == 0) {
            return 0;
        }
    }
    return -1;
}

bool ocf_bool(const char *name)
{
    return boolean(ocf_get(name)) == 1;
}

long ocf_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

long ocf_timeout_ms(void)
{
    return timeout_ms;
}

long ocf_left_ms(void)
{
    long margin = timeout_ms / 8;

    margin = margin < 200 ? 200 : margin > 1000 ? 1000 : margin;
    return started_ms + timeout_ms - margin - ocf_now_ms();
}

void ocf_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

static void flatten(char *s)
{
    size_t n;

    for (char *c = s; *c; c++) {
        if ((unsigned char)*c < ' ') {
            *c = ' ';
        }
    }
    for (n = strlen(s); n && s[n - 1] == ' '; n--) {
        s[n - 1] = '\0';
    }
}

int ocf_fail(int rc, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    flatten(text);
    (void)fprintf(stderr, "ocf-exit-reason:%s\n", text);
    (void)fflush(stderr);
    return rc;
}

int ocf_fail_err(int rc, const struct err *e)
{
    return ocf_fail(rc, "%s%s%s", e->msg, e->hint[0] ? "; " : "", e->hint);
}

int ocf_need(const char *name)
{
    const struct ocf_param *p = find_param(name);

    if (*ocf_get(name)) {
        return OCF_SUCCESS;
    }
    return ocf_fail(OCF_ERR_CONFIGURED, "parameter '%s' is not set; give the %s", name,
                    p ? p->shortdesc : "value");
}

void ocf_say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static int check_value(const struct ocf_param *p)
{
    const char *v = ocf_get(p->name);

    if (strlen(v) >= OCF_VALUE_MAX) {
        return ocf_fail(OCF_ERR_CONFIGURED, "parameter '%s' is longer than %d bytes", p->name,
                        OCF_VALUE_MAX - 1);
    }
    if (*v && ((p->type == OCF_INTEGER && number(v) < 0) || (p->type == OCF_BOOLEAN && boolean(v) < 0))) {
        return ocf_fail(OCF_ERR_CONFIGURED, "parameter '%s' is '%.100s'; give %s", p->name, v,
                        p->type == OCF_INTEGER ? "a whole number, 0 or more" : "0 or 1");
    }
    return OCF_SUCCESS;
}

static int check_values(void)
{
    const char *t = ocf_meta("timeout");

    timeout_ms = *t ? number(t) : action->timeout_s * 1000L;
    if (timeout_ms <= 0) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "the action's time-out is '%.100s'; give milliseconds, more than 0", t);
    }
    for (const struct ocf_param *p = agent->params; p->name; p++) {
        int rc = check_value(p);

        if (rc != OCF_SUCCESS) {
            return rc;
        }
    }
    return OCF_SUCCESS;
}

static void put_escaped(const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '<':
            (void)fputs("&lt;", stdout);
            break;
        case '&':
            (void)fputs("&amp;", stdout);
            break;
        case '"':
            (void)fputs("&quot;", stdout);
            break;
        default:
            (void)putchar(*s);
        }
    }
}

static void put_desc(const char *element, const char *text)
{
    printf("<%s lang=\"en\">", element);
    put_escaped(text);
    printf("</%s>\n", element);
}

static void put_param(const struct ocf_param *p)
{
    static const char *const type[] = {"string", "integer", "boolean"};

    printf("<parameter name=\"%s\" required=\"%d\" unique=\"%d\">\n", p->name, p->required, p->unique);
    put_desc("longdesc", p->longdesc);
    put_desc("shortdesc", p->shortdesc);
    printf("<content type=\"%s\"", type[p->type]);
    if (p->def) {
        printf(" default=\"");
        put_escaped(p->def);
        printf("\"");
    }
    printf("/>\n</parameter>\n");
}

static void put_actions(void)
{
    for (const struct ocf_action *a = agent->actions; a->name; a++) {
        if (!a->vendor) {
            printf("<action name=\"%s\" timeout=\"%ds\"", a->name, a->timeout_s);
            if (a->interval_s) {
                printf(" interval=\"%ds\" depth=\"0\"", a->interval_s);
            }
            printf("/>\n");
        }
    }
    printf("<action name=\"meta-data\" timeout=\"5s\"/>\n");
}

static int meta_data(void)
{
    printf("<?xml version=\"1.0\"?>\n<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">\n"
           "<resource-agent name=\"%s\" version=\"%s\">\n<version>1.1</version>\n",
           agent->name, PACKAGE_VERSION);
    printf("<longdesc lang=\"en\">\n");
    put_escaped(agent->longdesc);
    printf("\n");
    for (const struct ocf_action *a = agent->actions; a->name; a++) {
        if (a->vendor) {
            printf("Vendor action %s: ", a->name);
            put_escaped(a->vendor);
            printf("\n");
        }
    }
    printf("</longdesc>\n");
    put_desc("shortdesc", agent->shortdesc);
    printf("<parameters>\n");
    for (const struct ocf_param *p = agent->params; p->name; p++) {
        put_param(p);
    }
    printf("</parameters>\n<actions>\n");
    put_actions();
    printf("</actions>\n</resource-agent>\n");
    return fflush(stdout) == 0 ? OCF_SUCCESS : OCF_ERR_GENERIC;
}

static int usage(FILE *out, int rc)
{
    (void)fprintf(out, "usage: %s ", agent->name);
    for (const struct ocf_action *a = agent->actions; a->name; a++) {
        (void)fprintf(out, "%s|", a->name);
    }
    (void)fprintf(
        out, "meta-data\nParameters come as OCF_RESKEY_name in the environment; meta-data describes them.\n");
    return rc;
}

int ocf_main(const struct ocf_agent *self, int argc, char **argv)
{
    int rc;

    agent = self;
    started_ms = ocf_now_ms();
    if (argc != 2) {
        return usage(stderr, OCF_ERR_ARGS);
    }
    if (strcmp(argv[1], "meta-data") == 0) {
        return meta_data();
    }
    if (strcmp(argv[1], "usage") == 0 || strcmp(argv[1], "--help") == 0) {
        return usage(stdout, OCF_SUCCESS);
    }
    for (action = agent->actions; action->name && strcmp(action->name, argv[1]) != 0;) {
        action++;
    }
    if (!action->name) {
        action = NULL;
        return ocf_fail(OCF_ERR_UNIMPLEMENTED, "%s has no action '%.100s'", agent->name, argv[1]);
    }
    rc = check_values();
    return rc == OCF_SUCCESS ? action->run() : rc;
}
