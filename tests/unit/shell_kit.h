/*
 * shell_kit.h - a shell that leads a cluster of one, in a world in which all is well until a test says
 * otherwise: messages come back to their sender, the store holds, programs wait for the test to end them.
 */
#ifndef TESTS_UNIT_SHELL_KIT_H
#define TESTS_UNIT_SHELL_KIT_H

#include "clusterd/shell_internal.h"

#define KIT_RUNS_MAX 32

struct kit_run { /* a program that the shell asked for */
    uint64_t id;
    char agent[NAME_SIZE], action[NAME_SIZE];
    uint32_t timeout_ms;
    struct event param; /* its kv */
    bool cancelled, over;
};

struct kit {
    struct shell *sh;
    struct buf sent; /* blobs */
    uint64_t now;
    struct kit_run run[KIT_RUNS_MAX];
    unsigned runs;
    int answer_rc; /* 1: none yet */
    uint64_t answer_op;
    struct err answer_err;
    bool fsync_fails;
    const struct journal_load *reload; /* what the next load finds; what it owns is taken over */
    unsigned set_asides, rows;
    bool verbose;
};

/* Starts it, and brings it to an open term with its session known and its first inventory answered: nothing
 * runs here. */
void kit_open(struct kit *k);
void kit_start(struct kit *k); /* only starts it */
/* The same as a build that knows this feature level (0: this one's), from what is stored (taken over; NULL:
 * nothing is). 0, or shell_new's error. */
int kit_start_as(struct kit *k, unsigned level, struct journal_load *load, struct err *err);
void kit_settle(struct kit *k); /* what kit_open does after the start */
void kit_close(struct kit *k);
/* Time passes; what was sent is delivered. */
void kit_pass(struct kit *k, unsigned ms);
/* The oldest program that runs with this action, or NULL. */
struct kit_run *kit_find(struct kit *k, const char *action);
/* Ends it with this code and output. */
void kit_end(struct kit *k, struct kit_run *r, int code, const char *output);
/* Gives a command, whose kv are the pairs of strings up to NULL, and lets it be answered. */
int kit_command(struct kit *k, enum event_kind kind, const char *subject, const char *text, ...)
    __attribute__((sentinel));

#endif
