/*
 * qemu.h - the QEMU processes of this host as /proc shows them: the half of C3 that does not need libvirt.
 *
 * A QEMU of a VM is a process (or what is left of one: see qemu.c) whose arguments have "-uuid UUID".
 */
#ifndef CLUSTERD_AGENTS_QEMU_H
#define CLUSTERD_AGENTS_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define QEMU_UUID_SIZE 37

struct qemu {
    pid_t pid;
    char uuid[QEMU_UUID_SIZE]; /* lower case */
    char name[256];            /* of -name guest=…; "" when there is none */
};

/* All QEMUs with a UUID. *out is the caller's to free. Returns their number, or RC_IO, RC_NO_MEMORY. */
int qemu_scan(struct qemu **out);
/* The pid of the QEMU of that VM, 0 when there is none, or RC_IO, RC_NO_MEMORY. */
int qemu_find(const char *uuid);
/* The QEMU of this host that has the file open: 1 and *out, 0: none, or RC_IO, RC_NO_MEMORY. */
int qemu_with_file(const char *path, struct qemu *out);
/* Waits until no QEMU of that VM is left, at most `ms`. Returns 0, the pid that is still there, or a negative
 * code. */
int qemu_wait_end(const char *uuid, long ms);
/* Sends a signal to the QEMU of that VM if there is one; never to a process that only got its number. */
void qemu_signal(const char *uuid, int sig);

/* True for 36 characters of a UUID; copies it in lower case. */
bool qemu_uuid(const char *s, char out[QEMU_UUID_SIZE]);
/* Parses the arguments (as in /proc/PID/cmdline). True when they are a QEMU's of some VM; fills uuid and
 * name. */
bool qemu_parse(const char *args, size_t len, struct qemu *q);

#endif
