#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int rc, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL) {
        return rc;
    }
    e->rc = rc;
    e->hint[0] = '\0';
    va_start(ap, fmt);
    (void)vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return rc;
}

void err_hint(struct err *e, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(e->hint, sizeof e->hint, fmt, ap);
    va_end(ap);
}

void err_wrap(struct err *e, const char *fmt, ...)
{
    char old[sizeof e->msg];
    va_list ap;
    int n;

    if (e == NULL) {
        return;
    }
    memcpy(old, e->msg, sizeof old);
    va_start(ap, fmt);
    n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n + 3 < sizeof e->msg) {
        size_t room = sizeof e->msg - (size_t)n - 3, len = strlen(old);

        memcpy(e->msg + n, ": ", 2);
        memcpy(e->msg + n + 2, old, len < room ? len : room);
        e->msg[(size_t)n + 2 + (len < room ? len : room)] = '\0';
    }
}
