/* level.c - what is said where a feature level or a format stands in the way (A13). */
#include "core/event.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/rc.h"

int refuse_level(struct err *err, const char *what, unsigned needed, unsigned has)
{
    (void)err_set(err, RC_REFUSED, "'%s' needs feature level %u, and the cluster has %u", what, needed, has);
    err_hint(err, LEVEL_HINT);
    return RC_REFUSED;
}

int refuse_newer(struct err *err, const char *fmt, ...)
{
    char text[sizeof err->msg];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)err_set(err, RC_REFUSED, "%s", text);
    err_hint(err, "install the newer version that the other nodes have");
    return RC_REFUSED;
}
