#include "adapters/log.h"

#include "common/rc.h"

#include <errno.h>
#include <glob.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LOG_NAME          "clusterd"
#define LOG_LINE_MAX      1024
#define LOG_BLACKBOX_SIZE (128 * 1024)

/* Our own lines down to `priority`, the libraries' only when something is wrong. */
static void enable(int32_t target, int priority)
{
    (void)qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, LOG_NAME, (uint8_t)priority);
    (void)qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_ERR);
    (void)qb_log_ctl(target, QB_LOG_CONF_MAX_LINE_LEN, LOG_LINE_MAX);
    (void)qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
}

static int open_target(const char *file, bool foreground, int priority, struct err *err)
{
    int32_t target;

    if (file[0]) {
        target = qb_log_file_open(file);
        if (target < 0) {
            return err_set(err, RC_IO, "cannot open the log file '%s': %s", file, strerror(-target));
        }
        qb_log_format_set(target, "%T [%p] %b");
    } else if (foreground && !getenv("JOURNAL_STREAM")) {
        target = QB_LOG_STDERR;
        qb_log_format_set(target, "%T [%p] %b");
    } else {
        target = QB_LOG_SYSLOG; /* systemd's journal keeps the levels of what comes this way */
        qb_log_format_set(target, "%b");
    }
    (void)qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, target == QB_LOG_SYSLOG);
    enable(target, priority);
    return 0;
}

/* A daemon that was killed leaves its blackbox in memory; there is only one of us on a host (host_lock). */
static void remove_old_blackboxes(void)
{
    glob_t g = {0};

    if (glob("/dev/shm/qb-" LOG_NAME "-*-blackbox-*", GLOB_NOSORT, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++) {
            (void)unlink(g.gl_pathv[i]);
        }
    }
    globfree(&g);
}

int log_open(const char *file, bool foreground, int priority, struct err *err)
{
    int rc;

    qb_log_init(LOG_NAME, LOG_DAEMON, LOG_ERR);
    (void)qb_log_filter_ctl(QB_LOG_SYSLOG, QB_LOG_FILTER_CLEAR_ALL, QB_LOG_FILTER_FILE, "*", LOG_TRACE);
    rc = open_target(file, foreground, priority, err);
    if (rc) {
        qb_log_fini();
        return rc;
    }
    remove_old_blackboxes();
    (void)qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, LOG_NAME, LOG_DEBUG);
    (void)qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_INFO);
    (void)qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, LOG_BLACKBOX_SIZE);
    (void)qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE);
    return 0;
}

void log_close(void)
{
    qb_log_fini();
}

void log_dump(const char *path)
{
    ssize_t n = qb_log_blackbox_write_to_file(path);

    if (n < 0) {
        log_error("cannot write the blackbox to '%s': %s", path, strerror((int)-n));
    } else {
        log_notice("wrote the blackbox to '%s': read it with qb-blackbox", path);
    }
}

void log_write(int priority, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* One call site for each level, as far as libqb can tell: filters look at the file's name. */
    qb_log_from_external_source("log_write", LOG_NAME, "%s", (uint8_t)priority, (uint32_t)priority, 0, text);
}

void log_line(void *ctx, enum log_level level, const char *text)
{
    static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

    (void)ctx;
    log_write(priority[level], "%s", text);
}
