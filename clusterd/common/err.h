/*
 * err.h - what went wrong, where, and what to do about it.
 *
 * A struct err is the last argument of a function that can fail in ways a person must read. It is set once,
 * where the failure is seen, and may gain context on its way up. NULL is legal and means "not interested".
 */
#ifndef CLUSTERD_COMMON_ERR_H
#define CLUSTERD_COMMON_ERR_H

struct err {
    int rc;         /* one of rc.h */
    char msg[512];  /* what and where */
    char hint[256]; /* what to do; may be empty */
};

#define ERR_INIT                                                                                             \
    {                                                                                                        \
        0, "", ""                                                                                            \
    }

/* Sets the code and the message; clears the hint. Returns rc, so that `return err_set(e, RC_X, …)` reads
 * well. */
int err_set(struct err *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Adds what the reader can do. */
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts context before the message: "reading 'x.xml': …". */
void err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
