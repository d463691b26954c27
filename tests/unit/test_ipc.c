/*
 * test_ipc.c - the clients' door with real libqb clients, each a process of its own.
 */
#include "adapters/ipc.h"
#include "common/ipc.h"
#include "common/rc.h"

#include <errno.h>
#include <glib.h>
#include <qb/qbipcc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char name[64];
static struct ipc *ipc;
static unsigned handled;

/* Echoes; "later" is answered after 50 ms, "long N" with N bytes, "never" not at all. */
static gboolean answer_later(gpointer data)
{
    uint64_t request = GPOINTER_TO_SIZE(data);

    ipc_answer(ipc, request, "came later");
    ipc_answer(ipc, request, "nobody waits for this");
    ipc_answer(ipc, 123456, "nor for this");
    return G_SOURCE_REMOVE;
}

static void on_request(void *ctx, const char *data, size_t len, uint64_t request)
{
    bool longer = len > 5 && memcmp(data, "long ", 5) == 0;
    size_t n = longer ? (size_t)strtoul(data + 5, NULL, 10) : len;
    char *answer;

    (void)ctx;
    handled++;
    if (len == 5 && memcmp(data, "later", 5) == 0) {
        (void)g_timeout_add(50, answer_later, GSIZE_TO_POINTER(request));
        return;
    }
    if (len == 5 && memcmp(data, "never", 5) == 0) {
        return;
    }
    answer = malloc(n + 1);
    memset(answer, 'x', n);
    if (!longer) {
        memcpy(answer, data, n);
    }
    answer[n] = '\0';
    ipc_answer(ipc, request, answer);
    free(answer);
}

static int setup(void **state)
{
    struct ipc_config c = {.name = name, .handle = on_request};
    struct err err = ERR_INIT;

    (void)state;
    (void)snprintf(name, sizeof name, "clusterd-test-%d", (int)getpid());
    ipc = ipc_new(&c, &err);
    return ipc ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ipc_free(ipc);
    ipc = NULL;
    return 0;
}

/* ---- in the client's process ---- */

static char answer_buf[IPC_MESSAGE_MAX];

static qb_ipcc_connection_t *connect_here(void)
{
    return qb_ipcc_connect(name, IPC_MESSAGE_MAX);
}

static ssize_t send_request(qb_ipcc_connection_t *c, const char *data, size_t len)
{
    struct qb_ipc_request_header head = {.id = IPC_REQUEST_ID, .size = (int32_t)(sizeof head + len)};
    struct iovec iov[2] = {{&head, sizeof head}, {(void *)(uintptr_t)data, len}};

    return qb_ipcc_sendv(c, iov, 2);
}

static const char *ask(qb_ipcc_connection_t *c, const char *data, size_t len, size_t *got)
{
    struct qb_ipc_response_header *head = (struct qb_ipc_response_header *)(void *)answer_buf;
    ssize_t n = send_request(c, data, len);

    if (n >= 0) {
        n = qb_ipcc_recv(c, answer_buf, sizeof answer_buf, 5000);
    }
    if (n < (ssize_t)sizeof *head || head->size != n || head->id != IPC_ANSWER_ID) {
        (void)fprintf(stderr, "client: %zd (%s)\n", n, n < 0 ? strerror((int)-n) : "");
        return NULL;
    }
    *got = (size_t)n - sizeof *head;
    return answer_buf + sizeof *head;
}

static int talk(void)
{
    qb_ipcc_connection_t *c = connect_here();
    const char *a;
    size_t n = 0, big = IPC_MESSAGE_MAX - 64;
    char *data = malloc(big);

    if (!c || !(a = ask(c, "{\"v\": 1}", 8, &n)) || n != 8 || memcmp(a, "{\"v\": 1}", 8) != 0) {
        return 1;
    }
    if (!(a = ask(c, "later", 5, &n)) || n != 10 || memcmp(a, "came later", 10) != 0) {
        return 2;
    }
    memset(data, 'y', big);
    if (!(a = ask(c, data, big, &n)) || n != big || memcmp(a, data, big) != 0) {
        return 3;
    }
    if (!(a = ask(c, "long 1048000", 12, &n)) || n != 1048000) {
        return 4;
    }
    if (!(a = ask(c, "long 3000000", 12, &n)) || n > 300 || memcmp(a, "{\"rc\": -1,", 10) != 0) {
        return 5;
    }
    free(data);
    data = calloc(1, IPC_MESSAGE_MAX + 1);
    if (send_request(c, data, IPC_MESSAGE_MAX) != -EMSGSIZE) {
        return 6;
    }
    free(data);
    qb_ipcc_disconnect(c);
    return 0;
}

static int not_root(void)
{
    if (setgid(65534) < 0 || setuid(65534) < 0) {
        return 1;
    }
    errno = 0;
    return connect_here() == NULL && errno == EACCES ? 0 : 2;
}

static int leaves_early(void)
{
    qb_ipcc_connection_t *c = connect_here();

    if (!c || send_request(c, "later", 5) < 0) {
        return 1;
    }
    _exit(0); /* without a goodbye */
}

static int asks_too_much(void)
{
    qb_ipcc_connection_t *c = connect_here();

    for (int i = 0; c && i < 30; i++) {
        if (send_request(c, "never", 5) < 0) {
            return 0; /* dropped */
        }
        (void)usleep(20000);
    }
    return 1;
}

static int never_fetches(void)
{
    qb_ipcc_connection_t *c = connect_here();

    for (int i = 0; c && i < 12; i++) {
        if (send_request(c, "long 900000", 11) < 0) {
            return 0;
        }
        (void)usleep(5000);
    }
    (void)sleep(1);
    return 0;
}

static int sends_garbage_frames(void)
{
    qb_ipcc_connection_t *c = connect_here();
    struct qb_ipc_request_header head = {.id = 77, .size = sizeof head};

    if (!c || qb_ipcc_send(c, &head, sizeof head) < 0) {
        return 1;
    }
    return qb_ipcc_recv(c, answer_buf, sizeof answer_buf, 2000) < 0 ? 0 : 2;
}

/* Bytes on the abstract socket that are no libqb at all. */
static int sends_noise(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char noise[5000];

    (void)snprintf(sa.sun_path + 1, sizeof sa.sun_path - 1, "%s", name);
    memset(noise, 0xa5, sizeof noise);
    for (size_t len = 1; len < sizeof noise; len = len * 3 + 1) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
            return 1;
        }
        (void)send(fd, noise, len, MSG_NOSIGNAL);
        (void)usleep(10000);
        (void)close(fd);
    }
    return 0;
}

/* ---- here: the server's loop while the client runs ---- */

static pid_t begin(int (*client)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(20);
        _exit(client());
    }
    return pid;
}

static gboolean on_exit_of(GPid pid, gint status, gpointer data)
{
    (void)pid;
    *(gint *)data = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
    return G_SOURCE_REMOVE;
}

static void finish(pid_t pid)
{
    gint code = -1;

    (void)g_child_watch_add(pid, (GChildWatchFunc)(void (*)(void))on_exit_of, &code);
    while (code < 0) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    assert_int_equal(code, 0);
}

static void requests_are_answered(void **state)
{
    (void)state;
    finish(begin(talk));
}

static void only_root_may_connect(void **state)
{
    (void)state;
    finish(begin(not_root));
}

static void who_left_is_nobodys_concern(void **state)
{
    unsigned before = handled;

    (void)state;
    finish(begin(leaves_early));
    for (int i = 0; i < 12; i++) {
        (void)usleep(10000);
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
    assert_int_equal(handled, before + 1);
    finish(begin(talk)); /* the server is as it was */
}

static void bounds_hold(void **state)
{
    (void)state;
    finish(begin(asks_too_much));
    finish(begin(never_fetches));
    finish(begin(sends_garbage_frames));
    finish(begin(sends_noise));
    finish(begin(talk));
}

static void many_at_once(void **state)
{
    pid_t pid[20];

    (void)state;
    for (int i = 0; i < 20; i++) {
        pid[i] = begin(talk);
    }
    for (int i = 0; i < 20; i++) {
        finish(pid[i]);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(requests_are_answered), T(only_root_may_connect), T(who_left_is_nobodys_concern),
        T(bounds_hold),           T(many_at_once),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
