/*
 * config_diff.h - from one configuration to another: the individual commands that make up the difference.
 */
#ifndef CLI_CONFIG_DIFF_H
#define CLI_CONFIG_DIFF_H

#include "cli.h"

struct change {
    char sign;       /* '+' added, '-' removed, '~' changed, '>' started, stopped or saved */
    char object[16]; /* "VM", "volume", … */
    char name[64];
    char text[256];           /* what is new; may be empty */
    const char *command;      /* of the IPC; NULL: nothing can make this change (refusal says why) */
    struct json_object *args; /* owned */
    char refusal[160];
};

struct changes {
    struct change *v;
    unsigned n, cap;
};

/* Appends what leads from `now` to `wanted` in an order that works. states: {VM: state}, of now. */
void diff_make(struct changes *d, struct json_object *now, struct json_object *wanted,
               struct json_object *states);
void diff_fini(struct changes *d);

#endif
