/*
 * ocf.h - what every OCF agent needs: its tables, its parameters, its deadline and its exit reason.
 *
 * An agent is two tables (parameters and actions) and a call of ocf_main(). One process is one action, so the
 * agent, the action and the deadline are this module's only state. OCF 1.1, resource agent API.
 */
#ifndef CLUSTERD_AGENTS_OCF_H
#define CLUSTERD_AGENTS_OCF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum ocf_rc {
    OCF_SUCCESS = 0,
    OCF_ERR_GENERIC = 1,
    OCF_ERR_ARGS = 2,
    OCF_ERR_UNIMPLEMENTED = 3,
    OCF_ERR_PERM = 4,
    OCF_ERR_INSTALLED = 5,
    OCF_ERR_CONFIGURED = 6,
    OCF_NOT_RUNNING = 7,
};

/* Longest value of a parameter, in bytes with its NUL; a longer one is refused. */
#define OCF_VALUE_MAX 4096

enum ocf_type { OCF_STRING, OCF_INTEGER, OCF_BOOLEAN };

struct ocf_param {
    const char *name; /* OCF_RESKEY_name */
    enum ocf_type type;
    const char *def;       /* NULL: none, and an unset parameter reads as "" or 0 */
    bool required, unique; /* advertised; actions that need a parameter ask by ocf_need() */
    const char *shortdesc, *longdesc;
};

struct ocf_action {
    const char *name;
    int timeout_s;  /* advertised, and the time-out when the caller names none */
    int interval_s; /* advertised for monitor; 0 otherwise */
    int (*run)(void);
    const char *vendor; /* NULL for OCF's own; else what it does (OCF's DTD lists no vendor actions) */
};

struct ocf_agent {
    const char *name, *shortdesc, *longdesc;
    const struct ocf_param *params;   /* ends with a NULL name */
    const struct ocf_action *actions; /* ends with a NULL name */
};

/* Runs the action that argv names; what it returns is the process's exit status. */
int ocf_main(const struct ocf_agent *agent, int argc, char **argv);
/* The running action's name. */
const char *ocf_action(void);

/* A parameter's value or its default, never NULL; borrowed from the environment. ocf_main() has checked
 * types. */
const char *ocf_get(const char *name);
/* OCF_SUCCESS, or OCF_ERR_CONFIGURED with its reason when the parameter is not set. */
int ocf_need(const char *name);
long ocf_int(const char *name);
bool ocf_bool(const char *name);
/* OCF's own meta attributes (OCF_RESKEY_CRM_meta_name); "" when unset. */
const char *ocf_meta(const char *name);

/* Milliseconds of CLOCK_MONOTONIC. */
long ocf_now_ms(void);
/* The action's whole time-out (OCF_RESKEY_CRM_meta_timeout, or the table's), in ms. */
long ocf_timeout_ms(void);
/* What is left until the action must have answered: a little before its time-out, so that its reason is
 * heard. */
long ocf_left_ms(void);
void ocf_sleep_ms(long ms);

/* Writes one "ocf-exit-reason:" line (newlines inside become spaces) and returns rc. */
int ocf_fail(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same from an error: its message, then its hint. */
int ocf_fail_err(int rc, const struct err *e);
/* A line on standard output, flushed at once: the daemon reads it while the action runs. */
void ocf_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
