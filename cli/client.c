#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <qb/qbipcc.h>

#include "common/ipc.h"

#define CONNECT_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS  30000 /* clusterd itself gives up on a commit long before */

struct client {
    qb_ipcc_connection_t *connection; /* NULL: not connected */
    char *answer;                     /* IPC_MESSAGE_MAX bytes */
};

static int unreachable(struct err *err, int error)
{
    if (error == EACCES || error == EPERM) {
        (void)err_set(err, RC_DENIED, "permission denied by clusterd");
        err_hint(err, "only root may use it: sudo clusterctl …");
        return RC_DENIED;
    }
    (void)err_set(err, RC_UNREACHABLE, "clusterd cannot be reached on this host: %s", strerror(error));
    err_hint(err, "is it running? systemctl status clusterd");
    return RC_UNREACHABLE;
}

static void client_disconnect(struct client *client)
{
    if (client->connection != NULL) {
        qb_ipcc_disconnect(client->connection);
        client->connection = NULL;
    }
}

void client_free(struct client *client)
{
    if (client != NULL) {
        client_disconnect(client);
        free(client->answer);
        free(client);
    }
}

/* qb_ipcc_connect() would wait for ever for a daemon that hangs; its two halves let us wait in between. */
static int client_connect(struct client *client, struct err *err)
{
    struct pollfd p = {.events = POLLIN};
    int rc;

    client->connection = qb_ipcc_connect_async(IPC_NAME, IPC_MESSAGE_MAX, &p.fd);
    if (client->connection == NULL) {
        return unreachable(err, errno);
    }
    do {
        rc = poll(&p, 1, CONNECT_TIMEOUT_MS);
    } while (rc < 0 && errno == EINTR);
    if (rc <= 0) {
        client_disconnect(client);
        return unreachable(err, rc == 0 ? ETIMEDOUT : errno);
    }
    rc = qb_ipcc_connect_continue(client->connection);
    if (rc != 0) {
        client->connection = NULL; /* freed by the failed call */
        return unreachable(err, -rc);
    }
    return 0;
}

static struct client *client_of(struct cli *c, struct err *err)
{
    if (c->client == NULL) {
        c->client = calloc(1, sizeof *c->client);
        if (c->client != NULL) {
            c->client->answer = malloc(IPC_MESSAGE_MAX);
        }
    }
    if (c->client == NULL || c->client->answer == NULL) {
        (void)err_set(err, RC_NO_MEMORY, "out of memory");
        return NULL;
    }
    if (c->client->connection == NULL && client_connect(c->client, err) != 0) {
        return NULL;
    }
    return c->client;
}

static int exchange(struct client *client, const char *text, size_t len, size_t *answer_len, struct err *err)
{
    struct qb_ipc_request_header head = {.id = IPC_REQUEST_ID, .size = (int32_t)(sizeof head + len)};
    struct qb_ipc_response_header *answer = (struct qb_ipc_response_header *)(void *)client->answer;
    const struct iovec iov[2] = {{&head, sizeof head}, {(void *)(uintptr_t)text, len}};
    ssize_t n;

    if (sizeof head + len > IPC_MESSAGE_MAX) {
        return err_set(err, RC_BAD_INPUT, "the request has %zu bytes, at most %d are allowed", len,
                       IPC_MESSAGE_MAX);
    }
    n = qb_ipcc_sendv_recv(client->connection, iov, 2, answer, IPC_MESSAGE_MAX, ANSWER_TIMEOUT_MS);
    if (n == -ETIMEDOUT || n == -EAGAIN) {
        client_disconnect(client);
        (void)err_set(err, RC_TIMED_OUT, "clusterd has not answered within %d s", ANSWER_TIMEOUT_MS / 1000);
        err_hint(err, "what was asked may still happen: clusterctl ops list");
        return RC_TIMED_OUT;
    }
    if (n < (ssize_t)sizeof *answer || answer->size < (int32_t)sizeof *answer || answer->size > n) {
        client_disconnect(client);
        return unreachable(err, n < 0 ? (int)-n : EPROTO);
    }
    *answer_len = (size_t)answer->size - sizeof *answer;
    return 0;
}

static const char *text_of(struct json_object *o, const char *key)
{
    struct json_object *value;

    return json_object_object_get_ex(o, key, &value) && value != NULL ? json_object_get_string(value) : "";
}

static int read_answer(const char *text, size_t len, struct json_object **result, struct err *err)
{
    struct json_tokener *tok = json_tokener_new();
    struct json_object *answer = tok ? json_tokener_parse_ex(tok, text, (int)len) : NULL;
    struct json_object *rc = NULL, *value = NULL;
    int code = RC_FAILED;

    json_tokener_free(tok);
    if (!json_object_is_type(answer, json_type_object) || !json_object_object_get_ex(answer, "rc", &rc)) {
        (void)err_set(err, RC_FAILED, "clusterd's answer cannot be read");
        err_hint(err, "clusterctl and clusterd must be of one release");
    } else if (json_object_get_int(rc) != 0) {
        (void)json_object_object_get_ex(answer, "error", &value);
        code = err_set(err, json_object_get_int(rc), "%s", text_of(value, "message"));
        err_hint(err, "%s", text_of(value, "hint"));
    } else {
        code = 0;
        (void)json_object_object_get_ex(answer, "result", &value);
        *result = value ? json_object_get(value) : json_object_new_object();
    }
    json_object_put(answer);
    return code;
}

int client_call(struct cli *c, const char *command, struct json_object *args, struct json_object **result,
                struct err *err)
{
    struct json_object *request = json_object_new_object();
    struct client *client = client_of(c, err);
    const char *text;
    size_t len = 0;
    int rc;

    *result = NULL;
    (void)json_object_object_add(request, "v", json_object_new_int(IPC_VERSION));
    (void)json_object_object_add(request, "command", json_object_new_string(command));
    (void)json_object_object_add(request, "args", args ? args : json_object_new_object());
    if (client == NULL) {
        json_object_put(request);
        return err->rc;
    }
    text = json_object_to_json_string_length(request, JSON_C_TO_STRING_PLAIN, &len);
    rc = exchange(client, text, len, &len, err);
    json_object_put(request);
    return rc != 0 ? rc
                   : read_answer(client->answer + sizeof(struct qb_ipc_response_header), len, result, err);
}

struct json_object *client_args(const char *key, ...)
{
    struct json_object *o = json_object_new_object();
    va_list ap;

    va_start(ap, key);
    for (; key != NULL; key = va_arg(ap, const char *)) {
        const char *value = va_arg(ap, const char *);

        if (value != NULL) {
            (void)json_object_object_add(o, key, json_object_new_string(value));
        }
    }
    va_end(ap);
    return o;
}
