/*
 * client.h - clusterctl's side of the IPC.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli.h"

/* Sends a command and waits for its answer. args is taken over, NULL for none. 0 and *result (owned by the
 * caller), or a code of rc.h and err. Connects on the first call, and again after the connection broke. */
int client_call(struct cli *c, const char *command, struct json_object *args, struct json_object **result,
                struct err *err);
void client_free(struct client *client);

/* {"key": "value"}; NULL values are left out. The list ends with a NULL key. */
struct json_object *client_args(const char *key, ...) __attribute__((sentinel));

#endif
