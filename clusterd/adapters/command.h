/*
 * command.h - between a client's JSON and the shell: one table of commands (ARCHITECTURE.md, "IPC between
 * clusterctl and clusterd").
 *
 * Queries are answered at once from this node's applied state (view.h); commands become events (kind C) and
 * go to shell_command. All that a client sends is untrusted and is validated here, once; what passes is
 * within the bounds of event.h.
 */
#ifndef CLUSTERD_ADAPTERS_COMMAND_H
#define CLUSTERD_ADAPTERS_COMMAND_H

#include "common/err.h"
#include "ports/ports.h"
#include "shell.h"

#include <json-c/json.h>

struct command_ctx {
    struct shell *shell;            /* borrowed */
    const struct store_port *store; /* borrowed; the audit trail */
    const char *volume_dir;         /* borrowed; /var/lib/clusterd/volumes */
    char by[NAME_SIZE];             /* who asks; the server sets it before each call ("root@node1") */
};

#define COMMAND_DEFERRED 1

/* The bytes of a request as an object (owned by the caller), or NULL and err: no JSON, not an object, nested
 * too deeply, something behind it. */
struct json_object *command_parse(const void *data, size_t len, struct err *err);

/* Carries a request out. 0: *answer is ready (owned by the caller). COMMAND_DEFERRED: it was handed to the
 * shell, and comes later through client_port.answer under request_id (perhaps before this call returns). */
int command_handle(struct command_ctx *ctx, struct json_object *request, uint64_t request_id,
                   struct json_object **answer);

/* The JSON answer to a deferred command, made from what client_port.answer was told. Owned by the caller. */
struct json_object *command_answer(struct command_ctx *ctx, uint64_t request_id, int rc,
                                   const struct err *err, uint64_t op);

/* {"rc": …, "error": {…}}; owned by the caller. */
struct json_object *command_error(int rc, const struct err *err);

#endif
