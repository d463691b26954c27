/*
 * log.h - the daemon's log: libqb's, with levels by name. Only the adapters and main log; the core and the
 * shell hand their lines to client_port.log.
 */
#ifndef CLUSTERD_ADAPTERS_LOG_H
#define CLUSTERD_ADAPTERS_LOG_H

#include "common/err.h"
#include "ports/ports.h"

#include <stdbool.h>
#include <syslog.h>

/* Where it goes: file when not empty; else standard error in the foreground, the system's log otherwise.
 * priority: the least important syslog priority that is kept. Also starts the blackbox: the last lines of all
 * levels, in memory, written to a file by log_dump(). */
int log_open(const char *file, bool foreground, int priority, struct err *err);
void log_close(void);
void log_dump(const char *path);
void log_write(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* client_port.log */
void log_line(void *ctx, enum log_level level, const char *text);

#define log_error(...)   log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

#endif
