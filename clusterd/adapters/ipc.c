#include "adapters/ipc.h"

#include "adapters/log.h"
#include "common/ipc.h"
#include "common/rc.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <qb/qbipcs.h>
#include <stdlib.h>
#include <string.h>

#define IPC_CLIENTS_MAX 64
#define IPC_FLIGHT_MAX  16 /* requests of one client that wait for their answer */
#define IPC_RETRY_MS    10
#define IPC_RETRIES_MAX 3000 /* then a client that does not fetch its answer is dropped */

struct client {
    struct ipc *ipc;
    qb_ipcs_connection_t *c;
    unsigned flight;
    GQueue out; /* of GBytes: answers that did not fit yet */
    guint retry;
    unsigned retries;
};

struct ipc {
    struct ipc_config c;
    qb_ipcs_service_t *service;
    GHashTable *polls;   /* descriptor -> struct poll_fd */
    GHashTable *pending; /* request -> struct client */
    unsigned clients;
    uint64_t requests;
};

/* ---- libqb's events on the GLib loop; libqb knows no context here, so there is one server in a process ----
 */

static struct ipc *the_ipc;

struct poll_fd {
    guint source;
    qb_ipcs_dispatch_fn_t fn;
    void *data;
};

static gboolean on_poll(gint fd, GIOCondition cond, gpointer data)
{
    struct poll_fd *p = data;

    return p->fn(fd, (int32_t)cond, p->data) == 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static int32_t poll_add(enum qb_loop_priority priority, int32_t fd, int32_t events, void *data,
                        qb_ipcs_dispatch_fn_t fn)
{
    struct poll_fd *p = g_new0(struct poll_fd, 1);

    (void)priority;
    p->fn = fn;
    p->data = data;
    /* The source owns p: the table may forget it while its callback runs. */
    p->source = g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, (GIOCondition)events, on_poll, p, g_free);
    (void)g_hash_table_insert(the_ipc->polls, GINT_TO_POINTER(fd), GUINT_TO_POINTER(p->source));
    return 0;
}

static int32_t poll_del(int32_t fd)
{
    guint source = GPOINTER_TO_UINT(g_hash_table_lookup(the_ipc->polls, GINT_TO_POINTER(fd)));
    GSource *s = source ? g_main_context_find_source_by_id(NULL, source) : NULL;

    (void)g_hash_table_remove(the_ipc->polls, GINT_TO_POINTER(fd));
    if (s) {
        g_source_destroy(s);
    }
    return 0;
}

static int32_t poll_mod(enum qb_loop_priority priority, int32_t fd, int32_t events, void *data,
                        qb_ipcs_dispatch_fn_t fn)
{
    (void)poll_del(fd);
    return poll_add(priority, fd, events, data, fn);
}

struct job {
    qb_loop_job_dispatch_fn fn;
    void *data;
};

static gboolean on_job(gpointer data)
{
    struct job *j = data;

    j->fn(j->data);
    return G_SOURCE_REMOVE;
}

static int32_t poll_job(enum qb_loop_priority priority, void *data, qb_loop_job_dispatch_fn fn)
{
    struct job *j = g_new0(struct job, 1);

    (void)priority;
    j->fn = fn;
    j->data = data;
    (void)g_idle_add_full(G_PRIORITY_DEFAULT, on_job, j, g_free);
    return 0;
}

/* ---- clients ---- */

static int32_t on_accept(qb_ipcs_connection_t *c, uid_t uid, gid_t gid)
{
    (void)c;
    (void)gid;
    if (uid != 0) {
        log_notice("refused a client of user %u", (unsigned)uid);
        return -EACCES;
    }
    return the_ipc->clients < IPC_CLIENTS_MAX ? 0 : -EAGAIN;
}

static void on_created(qb_ipcs_connection_t *c)
{
    struct client *cl = g_new0(struct client, 1);

    cl->ipc = the_ipc;
    cl->c = c;
    g_queue_init(&cl->out);
    cl->ipc->clients++;
    qb_ipcs_context_set(c, cl);
}

static gboolean belongs_to(gpointer key, gpointer value, gpointer cl)
{
    (void)key;
    return value == cl;
}

static int32_t on_closed(qb_ipcs_connection_t *c)
{
    struct client *cl = qb_ipcs_context_get(c);

    if (cl) {
        (void)g_hash_table_foreach_remove(cl->ipc->pending, belongs_to, cl);
        if (cl->retry) {
            (void)g_source_remove(cl->retry);
        }
        g_queue_clear_full(&cl->out, (GDestroyNotify)g_bytes_unref);
        cl->ipc->clients--;
        g_free(cl);
        qb_ipcs_context_set(c, NULL);
    }
    return 0;
}

static void on_destroyed(qb_ipcs_connection_t *c)
{
    (void)c;
}

/* ---- answers ---- */

static bool send_one(struct client *cl, GBytes *b, ssize_t *result)
{
    gsize len;
    const void *data = g_bytes_get_data(b, &len);

    *result = qb_ipcs_response_send(cl->c, data, len);
    return *result >= 0;
}

/* False: the client is gone. */
static bool flush(struct client *cl)
{
    ssize_t n = 0;

    while (!g_queue_is_empty(&cl->out)) {
        if (!send_one(cl, g_queue_peek_head(&cl->out), &n)) {
            break;
        }
        g_bytes_unref(g_queue_pop_head(&cl->out));
        cl->retries = 0;
    }
    if (n == -EAGAIN && ++cl->retries <= IPC_RETRIES_MAX) {
        return true;
    }
    if (n < 0) {
        log_info("a client did not take its answer (%s) and was dropped", strerror((int)-n));
        qb_ipcs_disconnect(cl->c);
        return false;
    }
    return true;
}

static gboolean on_retry(gpointer data)
{
    struct client *cl = data;

    cl->retry = 0;
    if (flush(cl) && !g_queue_is_empty(&cl->out)) {
        cl->retry = g_timeout_add(IPC_RETRY_MS, on_retry, cl);
    }
    return G_SOURCE_REMOVE;
}

static void queue_answer(struct client *cl, const char *text)
{
    static const char too_long[] =
        "{\"rc\": -1, \"error\": {\"code\": \"failed\", \"message\": \"the answer is longer than "
        "1 MiB\", \"hint\": \"ask for less, for instance with --since or one object's show\"}}";
    struct qb_ipc_response_header head = {.id = IPC_ANSWER_ID};
    size_t len = strlen(text);
    GByteArray *a = g_byte_array_new();

    if (len + sizeof head > IPC_MESSAGE_MAX) {
        text = too_long;
        len = sizeof too_long - 1;
    }
    head.size = (int32_t)(sizeof head + len);
    (void)g_byte_array_append(a, (const guint8 *)&head, sizeof head);
    (void)g_byte_array_append(a, (const guint8 *)text, (guint)len);
    g_queue_push_tail(&cl->out, g_byte_array_free_to_bytes(a));
    if (!cl->retry && flush(cl) && !g_queue_is_empty(&cl->out)) {
        cl->retry = g_timeout_add(IPC_RETRY_MS, on_retry, cl);
    }
}

void ipc_answer(struct ipc *ipc, uint64_t request, const char *text)
{
    struct client *cl = g_hash_table_lookup(ipc->pending, &request);

    if (cl) {
        (void)g_hash_table_remove(ipc->pending, &request);
        cl->flight--;
        queue_answer(cl, text);
    }
}

/* ---- requests ---- */

static int32_t on_message(qb_ipcs_connection_t *c, void *data, size_t size)
{
    struct client *cl = qb_ipcs_context_get(c);
    const struct qb_ipc_request_header *head = data;
    struct ipc *ipc = the_ipc;
    uint64_t id, *request;

    if (!cl || size < sizeof *head || head->id != IPC_REQUEST_ID || head->size < (int32_t)sizeof *head ||
        (size_t)head->size > size || cl->flight >= IPC_FLIGHT_MAX) {
        log_info("a client sent what is not a request, or too much at once, and was dropped");
        qb_ipcs_disconnect(c); /* a negative answer would only mean "not now" */
        return 0;
    }
    request = g_new(uint64_t, 1);
    *request = id = ++ipc->requests;
    (void)g_hash_table_insert(ipc->pending, request, cl);
    cl->flight++;
    ipc->c.handle(ipc->c.ctx, (const char *)(head + 1), (size_t)head->size - sizeof *head, id);
    return 0;
}

/* ---- the server ---- */

static struct qb_ipcs_service_handlers handlers = {.connection_accept = on_accept,
                                                   .connection_created = on_created,
                                                   .msg_process = on_message,
                                                   .connection_closed = on_closed,
                                                   .connection_destroyed = on_destroyed};
static struct qb_ipcs_poll_handlers polls = {
    .job_add = poll_job, .dispatch_add = poll_add, .dispatch_mod = poll_mod, .dispatch_del = poll_del};

struct ipc *ipc_new(const struct ipc_config *c, struct err *err)
{
    struct ipc *ipc = g_new0(struct ipc, 1);
    int32_t rc;

    ipc->c = *c;
    ipc->polls = g_hash_table_new(g_direct_hash, g_direct_equal);
    ipc->pending = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    the_ipc = ipc;
    ipc->service = qb_ipcs_create(c->name, 0, QB_IPC_SOCKET, &handlers);
    if (!ipc->service) {
        (void)err_set(err, RC_NO_MEMORY, "out of memory");
        ipc_free(ipc);
        return NULL;
    }
    qb_ipcs_poll_handlers_set(ipc->service, &polls);
    qb_ipcs_enforce_buffer_size(ipc->service, IPC_MESSAGE_MAX);
    rc = qb_ipcs_run(ipc->service);
    if (rc < 0) {
        ipc->service = NULL; /* libqb has let it go */
        (void)err_set(err, RC_FAILED, "cannot serve clients: %s", strerror(-rc));
        ipc_free(ipc);
        return NULL;
    }
    return ipc;
}

void ipc_free(struct ipc *ipc)
{
    if (!ipc) {
        return;
    }
    if (ipc->service) {
        qb_ipcs_destroy(ipc->service);
    }
    g_hash_table_destroy(ipc->pending);
    g_hash_table_destroy(ipc->polls);
    the_ipc = NULL;
    g_free(ipc);
}
