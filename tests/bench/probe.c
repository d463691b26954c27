/*
 * probe.c - measures, on one host: a cpg round trip, an fsync, and a command that changes a setting, in one
 * connection, in turn, so that all see the same machine. Prints `NAME p50_us p90_us count`.
 *
 *   probe DIR COUNT    DIR is on the disk that clusterd's journal is on
 */
#include <corosync/cpg.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <qb/qbipcc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/ipc.h"

#define COUNT_MAX 10000

#define KINDS 3
/* clusterd writes behind what can wait once it has been idle for 2 ms; nobody is measured against that. */
#define PAUSE_US 6000

static double samples[KINDS][COUNT_MAX];

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *name, double *v, int count)
{
    qsort(v, (size_t)count, sizeof *v, compare);
    printf("%s %.0f %.0f %d\n", name, v[count / 2], v[count * 9 / 10], count);
}

/* ---- cpg ---- */

static int delivered;

static void on_deliver(cpg_handle_t h, const struct cpg_name *group, uint32_t node, uint32_t pid, void *msg,
                       size_t len)
{
    (void)h, (void)group, (void)node, (void)msg, (void)len;
    delivered += (int)pid == getpid();
}

static void on_change(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members,
                      size_t n_members, const struct cpg_address *left, size_t n_left,
                      const struct cpg_address *joined, size_t n_joined)
{
    (void)h, (void)group, (void)members, (void)n_members, (void)left, (void)n_left, (void)joined,
        (void)n_joined;
}

static void cpg_wait(cpg_handle_t h, int fd, int until)
{
    struct pollfd p = {fd, POLLIN, 0};

    while (delivered < until) {
        if (poll(&p, 1, 5000) <= 0) {
            die("no cpg message came back");
        }
        if (cpg_dispatch(h, CS_DISPATCH_ALL) != CS_OK) {
            die("cpg_dispatch");
        }
    }
}

/* ---- what is measured: each takes one sample ---- */

struct probe {
    cpg_handle_t cpg;
    int cpg_fd, file;
    qb_ipcc_connection_t *clusterd;
    int round;
};

static void cpg_round_trip(struct probe *p)
{
    char payload[512] = {0};
    struct iovec iov = {payload, sizeof payload};

    while (cpg_mcast_joined(p->cpg, CPG_TYPE_AGREED, &iov, 1) == CS_ERR_TRY_AGAIN) {
        usleep(100);
    }
    cpg_wait(p->cpg, p->cpg_fd, p->round + 1);
}

static void sync_block(struct probe *p)
{
    char block[4096] = {0};

    if (pwrite(p->file, block, sizeof block, (off_t)p->round * (off_t)sizeof block) != sizeof block ||
        fdatasync(p->file) != 0) {
        die("fsync");
    }
}

static void set_option(struct probe *p)
{
    static char answer[IPC_MESSAGE_MAX];
    struct qb_ipc_request_header header = {.id = IPC_REQUEST_ID};
    const struct qb_ipc_response_header *got = (const void *)answer;
    char json[256];
    struct iovec iov[2] = {{&header, sizeof header}, {json, 0}};
    ssize_t n;

    iov[1].iov_len = (size_t)snprintf(
        json, sizeof json,
        "{\"v\":1,\"command\":\"option set\",\"args\":{\"set\":{\"history_max_days\":\"%d\"}}}",
        60 + p->round % 2);
    header.size = (int32_t)(sizeof header + iov[1].iov_len);
    if (qb_ipcc_sendv(p->clusterd, iov, 2) < 0) {
        die("send");
    }
    n = qb_ipcc_recv(p->clusterd, answer, sizeof answer - 1, 15000);
    if (n < (ssize_t)sizeof *got) {
        die("receive");
    }
    answer[n] = '\0';
    if (strstr(answer + sizeof *got, "\"rc\":0") == NULL &&
        strstr(answer + sizeof *got, "\"rc\": 0") == NULL) {
        fprintf(stderr, "probe: %s\n", answer + sizeof *got);
        exit(1);
    }
}

static const struct {
    const char *name;
    void (*run)(struct probe *p);
} kinds[] = {{"cpg_round_trip", cpg_round_trip}, {"fsync", sync_block}, {"setting", set_option}};

static void begin(struct probe *p, const char *dir)
{
    cpg_callbacks_t callbacks = {.cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_change};
    struct cpg_name group = {.length = 14, .value = "clusterd-bench"};
    char path[4096];

    if (cpg_initialize(&p->cpg, &callbacks) != CS_OK || cpg_join(p->cpg, &group) != CS_OK ||
        cpg_fd_get(p->cpg, &p->cpg_fd) != CS_OK) {
        die("cpg");
    }
    snprintf(path, sizeof path, "%s/probe.tmp", dir);
    p->file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (p->file < 0 || unlink(path) != 0) {
        die(path);
    }
    p->clusterd = qb_ipcc_connect(IPC_NAME, IPC_MESSAGE_MAX);
    if (p->clusterd == NULL) {
        die("clusterd");
    }
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0;
    struct probe p = {0};

    if (count < 1 || count > COUNT_MAX) {
        fprintf(stderr, "usage: probe DIR COUNT\n");
        return 2;
    }
    begin(&p, argv[1]);
    for (p.round = 0; p.round < count; p.round++) {
        for (int k = 0; k < KINDS; k++) {
            double since = now_us();

            kinds[k].run(&p);
            samples[k][p.round] = now_us() - since;
            usleep(PAUSE_US);
        }
    }
    for (int k = 0; k < KINDS; k++) {
        print(kinds[k].name, samples[k], count);
    }
    qb_ipcc_disconnect(p.clusterd);
    cpg_finalize(p.cpg);
    close(p.file);
    return 0;
}
