/*
 * ipc.h - clusterctl's door: a libqb IPC server on the GLib loop. It moves bytes; what they mean is
 * command.c's.
 *
 * Only root may connect. Everything is bounded: clients, requests in flight and answers that a client does
 * not fetch (then it is dropped). Answers may come later; a client that went away meanwhile is nobody's
 * concern.
 */
#ifndef CLUSTERD_ADAPTERS_IPC_H
#define CLUSTERD_ADAPTERS_IPC_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct ipc;

struct ipc_config {
    const char *name; /* of the service: IPC_NAME, or a test's own */
    /* A request (not terminated). Its answer comes by ipc_answer(), from inside this call or later. */
    void (*handle)(void *ctx, const char *data, size_t len, uint64_t request);
    void *ctx;
};

struct ipc *ipc_new(const struct ipc_config *c, struct err *err);
void ipc_free(struct ipc *ipc);
/* Answers a request; one that nobody waits for any more is ignored. text is borrowed. */
void ipc_answer(struct ipc *ipc, uint64_t request, const char *text);

#endif
