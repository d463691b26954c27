/*
 * probe.c - measures, on one host: a cpg round trip, an fsync, and a command that changes a setting, in one
 * connection. Prints medians as `NAME p50_us p90_us count`.
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

static double samples[COUNT_MAX];

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

static void print(const char *name, int count)
{
    qsort(samples, (size_t)count, sizeof samples[0], compare);
    printf("%s %.0f %.0f %d\n", name, samples[count / 2], samples[count * 9 / 10], count);
}

/* ---- cpg ---- */

static int delivered;

static void on_deliver(cpg_handle_t h, const struct cpg_name *group, uint32_t node, uint32_t pid, void *msg, size_t len)
{
    (void)h, (void)group, (void)node, (void)msg, (void)len;
    delivered += (int)pid == getpid();
}

static void on_change(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members, size_t n_members,
                      const struct cpg_address *left, size_t n_left, const struct cpg_address *joined, size_t n_joined)
{
    (void)h, (void)group, (void)members, (void)n_members, (void)left, (void)n_left, (void)joined, (void)n_joined;
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

static void bench_cpg(int count)
{
    cpg_callbacks_t callbacks = {.cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_change};
    struct cpg_name group = {.length = 14, .value = "clusterd-bench"};
    char payload[512] = {0};
    struct iovec iov = {payload, sizeof payload};
    cpg_handle_t h;
    int fd;

    if (cpg_initialize(&h, &callbacks) != CS_OK || cpg_join(h, &group) != CS_OK || cpg_fd_get(h, &fd) != CS_OK) {
        die("cpg");
    }
    for (int i = 0; i < count; i++) {
        double begin = now_us();

        while (cpg_mcast_joined(h, CPG_TYPE_AGREED, &iov, 1) == CS_ERR_TRY_AGAIN) {
            usleep(100);
        }
        cpg_wait(h, fd, i + 1);
        samples[i] = now_us() - begin;
        usleep(2000);
    }
    cpg_finalize(h);
    print("cpg_round_trip", count);
}

/* ---- fsync ---- */

static void bench_fsync(const char *dir, int count)
{
    char path[4096], block[4096] = {0};
    int fd;

    snprintf(path, sizeof path, "%s/probe.tmp", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        die(path);
    }
    for (int i = 0; i < count; i++) {
        double begin = now_us();

        if (pwrite(fd, block, sizeof block, (off_t)i * (off_t)sizeof block) != sizeof block || fdatasync(fd) != 0) {
            die("fsync");
        }
        samples[i] = now_us() - begin;
        usleep(2000);
    }
    close(fd);
    unlink(path);
    print("fsync", count);
}

/* ---- a command ---- */

static void request(qb_ipcc_connection_t *c, const char *json)
{
    static char answer[IPC_MESSAGE_MAX];
    struct qb_ipc_request_header header = {.id = IPC_REQUEST_ID};
    const struct qb_ipc_response_header *got = (const void *)answer;
    struct iovec iov[2] = {{&header, sizeof header}, {(void *)(size_t)json, strlen(json)}};
    ssize_t n;

    header.size = (int32_t)(sizeof header + strlen(json));
    if (qb_ipcc_sendv(c, iov, 2) < 0) {
        die("send");
    }
    n = qb_ipcc_recv(c, answer, sizeof answer - 1, 15000);
    if (n < (ssize_t)sizeof *got) {
        die("receive");
    }
    answer[n] = '\0';
    if (strstr(answer + sizeof *got, "\"rc\":0") == NULL && strstr(answer + sizeof *got, "\"rc\": 0") == NULL) {
        fprintf(stderr, "probe: %s\n", answer + sizeof *got);
        exit(1);
    }
}

static void bench_setting(int count)
{
    qb_ipcc_connection_t *c = qb_ipcc_connect(IPC_NAME, IPC_MESSAGE_MAX);
    char json[256];

    if (c == NULL) {
        die("clusterd");
    }
    for (int i = 0; i < count; i++) {
        double begin;

        snprintf(json, sizeof json,
                 "{\"v\":1,\"command\":\"option set\",\"args\":{\"set\":{\"history_max_days\":\"%d\"}}}",
                 60 + i % 2);
        begin = now_us();
        request(c, json);
        samples[i] = now_us() - begin;
        usleep(2000);
    }
    qb_ipcc_disconnect(c);
    print("setting", count);
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0;

    if (count < 1 || count > COUNT_MAX) {
        fprintf(stderr, "usage: probe DIR COUNT\n");
        return 2;
    }
    bench_cpg(count);
    bench_fsync(argv[1], count);
    bench_setting(count);
    return 0;
}
