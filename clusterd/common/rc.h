/*
 * rc.h - the one list of result codes.
 *
 * Functions return 0 or one of these, negative. The text of a failure travels in a struct err (err.h).
 */
#ifndef CLUSTERD_COMMON_RC_H
#define CLUSTERD_COMMON_RC_H

/* X(name, value, key as JSON's error.code, exit status of clusterctl as in clusterctl(8)) */
#define RC_LIST(X)                                                                                           \
    X(RC_OK, 0, "ok", 0)                                                                                     \
    X(RC_FAILED, -1, "failed", 1)                                                                            \
    X(RC_USAGE, -2, "usage", 2)                                                                              \
    X(RC_NOT_FOUND, -3, "not-found", 3)                                                                      \
    X(RC_REFUSED, -4, "refused", 4)                                                                          \
    X(RC_NO_QUORUM, -5, "no-quorum", 5)                                                                      \
    X(RC_UNREACHABLE, -6, "unreachable", 6)                                                                  \
    X(RC_DENIED, -7, "denied", 7)                                                                            \
    X(RC_TIMED_OUT, -8, "timed-out", 8)                                                                      \
    X(RC_BAD_INPUT, -9, "bad-input", 2)                                                                      \
    X(RC_NO_MEMORY, -10, "no-memory", 1)                                                                     \
    X(RC_IO, -11, "io-error", 1)                                                                             \
    X(RC_CORRUPT, -12, "corrupt", 1)                                                                         \
    X(RC_BUSY, -13, "busy", 1)

enum rc {
#define X(name, value, key, status) name = value,
    RC_LIST(X)
#undef X
};

/* The code's key ("refused"), static storage; "unknown" for a number outside the list. */
const char *rc_key(int rc);
/* The exit status that clusterctl ends with; 1 for a number outside the list. */
int rc_exit_status(int rc);
/* The code for a key, or RC_FAILED when there is none. */
int rc_from_key(const char *key);

#endif
