/* lab-power: a host's power supply, as its BMC and `lab crash` see it.
 *
 *   lab-power cut HOST-DIR...     the hosts die at once (with --volumes also what was not synced on the
 * volumes) lab-power chassis HOST-DIR get|set|check power|reset ...   ipmi_sim's chassis_control script
 *
 * A power cut loses what was not synced (SIGKILL alone would keep the page cache): the host's ext4 is shut
 * down without flushing its journal, and the next boot replays what had reached the disk. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXT4_IOC_SHUTDOWN           _IOR('X', 125, uint32_t)
#define EXT4_GOING_FLAGS_NOLOGFLUSH 0x2
#define VOLUMES_MAX                 16
#define HOSTS_MAX                   64
#define DEATH_DEADLINE_MS           10000

struct host {
    const char *dir;
    int lock_fd, pid_fd, disk_fd;
    int volume_fds[VOLUMES_MAX];
};

static int fail(const char *what)
{
    fprintf(stderr, "lab-power: cannot %s: %s\n", what, strerror(errno));
    return -1;
}

/* First line of DIR/NAME into text; false when there is none. */
static bool read_line(const char *dir, const char *name, char *text, size_t size)
{
    char path[512];
    FILE *f;
    bool ok;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "re");
    if (!f)
        return false;
    ok = fgets(text, (int)size, f) != NULL;
    fclose(f);
    text[ok ? strcspn(text, "\n") : 0] = '\0';
    return ok;
}

static int write_power(const char *dir, const char *text)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/power", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return fail(path);
    close(fd);
    return 0;
}

/* The cable goes first, so that the dying host's kernel says goodbye to nobody. Runs in the lab's namespace.
 */
static void link_down(const char *dir)
{
    const char *name = strrchr(dir, '/');
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(request.ifr_name, IFNAMSIZ, "%s", name ? name + 1 : dir);
    if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags &= (short)~IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
    if (fd >= 0)
        close(fd);
}

static int enter_lab_network(const char *dir)
{
    char path[512];
    int fd;

    if (!read_line(dir, "netns", path, sizeof(path)))
        return fail("read the lab's network namespace");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return fail(path);
    close(fd);
    return 0;
}

static void open_volumes(struct host *h, int pid)
{
    char path[64];

    for (int i = 0; i < VOLUMES_MAX; i++) {
        snprintf(path, sizeof(path), "/proc/%d/root/srv/vol%d", pid, i + 1);
        h->volume_fds[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
}

/* Holds the host's lock, its PID 1 (-1: already dead) and its disk. */
static int host_open(struct host *h, const char *dir, bool volumes)
{
    char path[512], text[32];
    int pid;

    *h = (struct host){.dir = dir, .pid_fd = -1, .disk_fd = -1};
    memset(h->volume_fds, 0xff, sizeof(h->volume_fds));
    snprintf(path, sizeof(path), "%s/lock", dir);
    h->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (h->lock_fd < 0 || flock(h->lock_fd, LOCK_EX) < 0)
        return fail(path);
    if (!read_line(dir, "pid", text, sizeof(text)))
        return 0;
    pid = (int)strtol(text, NULL, 10);
    h->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (h->pid_fd < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/root/run/lab/disk", pid);
    h->disk_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (volumes)
        open_volumes(h, pid);
    return 0;
}

static void disk_shutdown(int fd)
{
    uint32_t flags = EXT4_GOING_FLAGS_NOLOGFLUSH;

    if (fd >= 0 && ioctl(fd, EXT4_IOC_SHUTDOWN, &flags) < 0)
        fail("shut the disk down");
}

static void host_kill(struct host *h)
{
    link_down(h->dir);
    if (h->pid_fd >= 0)
        syscall(SYS_pidfd_send_signal, h->pid_fd, SIGKILL, NULL, 0);
    disk_shutdown(h->disk_fd);
    for (int i = 0; i < VOLUMES_MAX; i++)
        disk_shutdown(h->volume_fds[i]);
}

/* PID 1 of a namespace is dead only when all its processes are: then the power is really off. */
static int host_await_death(struct host *h)
{
    struct pollfd fd = {.fd = h->pid_fd, .events = POLLIN};

    if (h->pid_fd < 0 || poll(&fd, 1, DEATH_DEADLINE_MS) == 1)
        return 0;
    fprintf(stderr, "lab-power: %s did not die\n", h->dir);
    return -1;
}

static void host_close(struct host *h)
{
    int fds[] = {h->pid_fd, h->disk_fd, h->lock_fd};

    for (int i = 0; i < VOLUMES_MAX; i++)
        if (h->volume_fds[i] >= 0)
            close(h->volume_fds[i]);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int cut(char **dirs, int n, bool volumes)
{
    static struct host hosts[HOSTS_MAX];
    int rc = 0;

    if (n < 1 || n > HOSTS_MAX || enter_lab_network(dirs[0]) < 0)
        return -1;
    for (int i = 0; i < n; i++)
        if (host_open(&hosts[i], dirs[i], volumes) < 0)
            return -1;
    for (int i = 0; i < n; i++)
        host_kill(&hosts[i]);
    for (int i = 0; i < n; i++) {
        rc |= host_await_death(&hosts[i]);
        host_close(&hosts[i]);
    }
    return rc;
}

static int power_off(const char *dir)
{
    char *dirs[] = {strdup(dir)};
    int rc = cut(dirs, 1, false);

    free(dirs[0]);
    return rc < 0 ? rc : write_power(dir, "off\n");
}

/* Booting takes a second; a real board's "on" returns at once, too. */
static int power_on(const char *dir)
{
    char command[512], log[512], *name = strrchr(dir, '/');

    if (write_power(dir, "on\n") < 0 || !read_line(dir, "lab", command, sizeof(command)) || !name)
        return fail("power on");
    if (fork() != 0)
        return 0;
    setsid();
    close_range(0, ~0U, 0); /* ipmi_sim waits for the end of our output */
    snprintf(log, sizeof(log), "%s/console.log", dir);
    if (open("/dev/null", O_RDWR) != 0 || open(log, O_WRONLY | O_APPEND) != 1 || dup(1) != 2)
        _exit(126);
    execl(command, command, "power-on", name + 1, (char *)NULL);
    _exit(127);
}

/* ARG: get|set|check, then names and, for set, values. ipmi_sim asks for `get power`, `set power 0|1`,
 * `set reset 1`, and `check NAME` whether we know it. */
static int chassis(const char *dir, int n, char **args)
{
    bool set = n > 0 && strcmp(args[0], "set") == 0, get = n > 0 && strcmp(args[0], "get") == 0;
    char text[16];

    for (int i = 1; i < n; i += set ? 2 : 1) {
        const char *value = set && i + 1 < n ? args[i + 1] : "";

        if (get && strcmp(args[i], "power") == 0) {
            printf("power:%d\n", read_line(dir, "power", text, sizeof(text)) && strcmp(text, "on") == 0);
        } else if (set && strcmp(args[i], "power") == 0 && strcmp(value, "0") == 0) {
            if (power_off(dir) < 0)
                return 1;
        } else if (set && strcmp(args[i], "power") == 0) {
            if (read_line(dir, "power", text, sizeof(text)) && strcmp(text, "on") == 0)
                continue;
            if (power_on(dir) < 0)
                return 1;
        } else if (set && strcmp(args[i], "reset") == 0) {
            if (power_off(dir) < 0 || power_on(dir) < 0)
                return 1;
        } else if (!(strcmp(args[0], "check") == 0 &&
                     (strcmp(args[i], "power") == 0 || strcmp(args[i], "reset") == 0))) {
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    bool volumes = argc > 2 && strcmp(argv[2], "--volumes") == 0;

    if (argc >= 3 && strcmp(argv[1], "cut") == 0)
        return cut(argv + 2 + volumes, argc - 2 - volumes, volumes) < 0 ? 1 : 0;
    if (argc >= 4 && strcmp(argv[1], "chassis") == 0)
        return chassis(argv[2], argc - 3, argv + 3);
    fprintf(stderr, "usage: lab-power cut [--volumes] HOST-DIR...\n"
                    "       lab-power chassis HOST-DIR get|set|check ARG...\n");
    return 2;
}
