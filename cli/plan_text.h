/*
 * plan_text.h - what a --dry-run prints.
 */
#ifndef CLI_PLAN_TEXT_H
#define CLI_PLAN_TEXT_H

#include "cli.h"

/* The command's arguments as an array (owned by the caller). */
struct json_object *plan_names(const struct cli *c);
/* Asks for a plan and prints it. RC_REFUSED when something in it cannot be done. */
int plan_print(struct cli *c, const char *command, struct json_object *args, const char *what);

#endif
