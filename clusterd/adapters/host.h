/*
 * host.h - what the daemon needs of the host it runs on: folders, the lock that forbids a second daemon, the
 * boot's identity, clocks and random numbers, and a word to systemd.
 */
#ifndef CLUSTERD_ADAPTERS_HOST_H
#define CLUSTERD_ADAPTERS_HOST_H

#include "common/err.h"
#include "ports/ports.h"

/* Makes a folder and those above it. mode is the last one's, set in any case. */
int host_make_dir(const char *path, unsigned mode, struct err *err);
/* Takes the lock (A2) for as long as this process lives. RC_REFUSED names the process that has it. */
int host_lock(const char *path, struct err *err);
int host_boot_id(char out[40], struct err *err);
/* Not 0. */
uint64_t host_random(void);
void host_clock_port(struct clock_port *out);

#endif
