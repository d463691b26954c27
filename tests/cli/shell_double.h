/*
 * shell_double.h - stands for the shell where only what goes into it counts: the state is made by core_apply,
 * and an event that command.c sends is kept (and applied, and must leave the state whole).
 */
#ifndef TESTS_CLI_SHELL_DOUBLE_H
#define TESTS_CLI_SHELL_DOUBLE_H

#include "adapters/command.h"

extern struct event double_event; /* the last one that was sent; kind EV_NONE: none */
extern struct applied double_applied;
extern bool double_quorate;

/* Three nodes, a volume, a fence device, VM web1 running on node1; fresh after each call. */
void double_reset(void);
void double_fini(void);
struct state *double_state(void);
/* The context of a client. */
struct command_ctx double_ctx(void);

#endif
