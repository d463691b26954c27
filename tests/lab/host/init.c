/* lab-init: PID 1 of a simulated host. Reaps orphans, runs the host's services as systemd would (readiness by
 * sd_notify, order, restart 200 ms after a death) and obeys one-line commands on a socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVICES_MAX     8
#define ARGS_MAX         16
#define RESTART_DELAY_MS 200
#define STOP_DEADLINE_MS 60000
#define RUN_DIR          "/run/lab"

enum state { STOPPED, WAITING, STARTING, READY, STOPPING };
static const char *const state_names[] = {"stopped", "waiting", "starting", "ready", "stopping"};

struct service {
    char *name;
    char *after;   /* comma-separated names that must be ready first, or "-" */
    bool restart;  /* restarted after a death that nobody asked for */
    bool notifies; /* says READY=1; otherwise it counts as ready once it runs */
    char *argv[ARGS_MAX + 1];
    int notify_fd;
    enum state state;
    pid_t pid;
    unsigned starts;
    long long due_ms; /* WAITING: not before; STOPPING: SIGKILL then */
};

static struct service services[SERVICES_MAX];
static size_t n_services;
static int control_fd, signal_fd;
static bool shutting_down;

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    struct timespec t;
    va_list args;

    clock_gettime(CLOCK_REALTIME, &t);
    fprintf(stderr, "%lld.%03ld lab-init: ", (long long)t.tv_sec, t.tv_nsec / 1000000);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void die(const char *what)
{
    say("cannot %s: %s", what, strerror(errno));
    exit(1);
}

static struct service *find(const char *name)
{
    for (size_t i = 0; i < n_services; i++)
        if (strcmp(services[i].name, name) == 0)
            return &services[i];
    return NULL;
}

static int unix_socket(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die(path);
    return fd;
}

/* One line of the services file: NAME RESTART(yes|no) NOTIFIES(yes|no) AFTER(a,b|-) COMMAND ARG... */
static void add_service(char *line)
{
    struct service *s = &services[n_services];
    char *words[4 + ARGS_MAX + 1] = {NULL};
    char path[64], *save = NULL;
    size_t n = 0;

    for (char *w = strtok_r(line, " \n", &save); w && n < 4 + ARGS_MAX; w = strtok_r(NULL, " \n", &save))
        words[n++] = strdup(w);
    if (n < 5 || n_services == SERVICES_MAX) {
        say("bad services file");
        exit(1);
    }
    s->name = words[0];
    s->restart = strcmp(words[1], "yes") == 0;
    s->notifies = strcmp(words[2], "yes") == 0;
    s->after = words[3];
    memcpy(s->argv, words + 4, (n - 4) * sizeof(words[0]));
    snprintf(path, sizeof(path), RUN_DIR "/notify.%s", s->name);
    s->notify_fd = unix_socket(path, SOCK_DGRAM);
    s->state = WAITING;
    n_services++;
}

static void read_services(const char *path)
{
    char line[1024];
    FILE *f = fopen(path, "re");

    if (!f)
        die(path);
    while (fgets(line, sizeof(line), f))
        add_service(line);
    fclose(f);
}

static void run_child(const struct service *s)
{
    char text[64];
    sigset_t none;
    int fd;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    snprintf(text, sizeof(text), RUN_DIR "/notify.%s", s->name);
    setenv("NOTIFY_SOCKET", text, 1);
    snprintf(text, sizeof(text), "/var/log/%s.log", s->name);
    fd = open(text, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        close(fd);
    }
    execv(s->argv[0], s->argv);
    say("cannot run %s: %s", s->argv[0], strerror(errno));
    _exit(127);
}

static void start(struct service *s)
{
    s->pid = fork();
    if (s->pid == 0)
        run_child(s);
    if (s->pid < 0)
        die("fork");
    s->starts++;
    s->state = s->notifies ? STARTING : READY;
    say("%s %s, pid %d", s->name, state_names[s->state], (int)s->pid);
}

static bool may_start(const struct service *s)
{
    char names[128], *save = NULL;

    if (s->state != WAITING || now_ms() < s->due_ms)
        return false;
    snprintf(names, sizeof(names), "%s", s->after);
    for (char *n = strtok_r(names, ",", &save); n; n = strtok_r(NULL, ",", &save)) {
        struct service *other = find(n);

        if (other && other->state != READY)
            return false;
    }
    return true;
}

static void ended(struct service *s, int status)
{
    say("%s ended (%s %d)", s->name, WIFSIGNALED(status) ? "signal" : "exit",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    s->pid = 0;
    if (s->state == STOPPING || !s->restart) {
        s->state = STOPPED;
    } else {
        s->state = WAITING;
        s->due_ms = now_ms() + RESTART_DELAY_MS;
    }
}

/* Every child that ended: our services, and the orphans that any host's PID 1 inherits. */
static void reap(void)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
        if (info.ssi_signo == SIGTERM) {
            say("orderly shutdown");
            shutting_down = true;
        }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < n_services; i++)
            if (services[i].pid == pid)
                ended(&services[i], status);
}

static void stop(struct service *s, int sig)
{
    if (s->pid) {
        s->state = STOPPING;
        s->due_ms = now_ms() + STOP_DEADLINE_MS;
        kill(s->pid, sig);
    } else {
        s->state = STOPPED;
    }
}

static void notified(struct service *s)
{
    char text[512];
    ssize_t n = recv(s->notify_fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return;
    text[n] = '\0';
    if (s->state == STARTING && strstr(text, "READY=1")) {
        s->state = READY;
        say("%s ready", s->name);
    }
}

static void answer_status(int fd)
{
    for (size_t i = 0; i < n_services; i++)
        dprintf(fd, "%s %s %d %u\n", services[i].name, state_names[services[i].state], (int)services[i].pid,
                services[i].starts);
}

/* status | start NAME | stop NAME | kill NAME. Answers at once; who wants the end of it asks for the status.
 */
static void obey(int fd)
{
    char line[128] = "", verb[16] = "", name[64] = "";
    struct service *s;

    if (read(fd, line, sizeof(line) - 1) <= 0 || sscanf(line, "%15s %63s", verb, name) < 1)
        return;
    if (strcmp(verb, "status") == 0) {
        answer_status(fd);
        return;
    }
    s = find(name);
    if (!s) {
        dprintf(fd, "no service %s\n", name);
    } else if (strcmp(verb, "start") == 0 && s->state == STOPPED) {
        s->state = WAITING;
        s->due_ms = 0;
    } else if (strcmp(verb, "stop") == 0) {
        stop(s, SIGTERM);
    } else if (strcmp(verb, "kill") == 0) {
        stop(s, SIGKILL);
    } else {
        dprintf(fd, "cannot %s %s: it is %s\n", verb, name, state_names[s->state]);
    }
}

static void accept_command(void)
{
    int fd = accept4(control_fd, NULL, NULL, SOCK_CLOEXEC);
    struct timeval limit = {.tv_sec = 1};

    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    obey(fd);
    close(fd);
}

/* Services stop one after the other, last first; then everything else goes, and with PID 1 the host. */
static void shut_down_step(void)
{
    for (size_t i = n_services; i-- > 0;) {
        if (services[i].pid && services[i].state != STOPPING)
            stop(&services[i], SIGTERM);
        if (services[i].pid)
            return;
        services[i].state = STOPPED;
    }
    kill(-1, SIGTERM);
    usleep(200000);
    kill(-1, SIGKILL);
    sync();
    exit(0);
}

static int next_wait_ms(void)
{
    long long wait = 60000;

    for (size_t i = 0; i < n_services; i++)
        if (services[i].due_ms > now_ms() && services[i].due_ms - now_ms() < wait)
            wait = services[i].due_ms - now_ms() + 1;
    return (int)wait;
}

static void turn(struct pollfd *fds)
{
    for (size_t i = 0; i < n_services; i++)
        if (services[i].state == STOPPING && now_ms() >= services[i].due_ms)
            kill(services[i].pid, SIGKILL);
    if (shutting_down)
        shut_down_step();
    for (size_t i = 0; i < n_services && !shutting_down; i++)
        if (may_start(&services[i]))
            start(&services[i]);
    if (poll(fds, 2 + n_services, next_wait_ms()) <= 0)
        return;
    for (size_t i = 0; i < n_services; i++)
        if (fds[2 + i].revents)
            notified(&services[i]);
    if (fds[0].revents)
        reap();
    if (fds[1].revents)
        accept_command();
}

int main(int argc, char **argv)
{
    struct pollfd fds[2 + SERVICES_MAX];
    sigset_t mask;

    if (argc != 2) {
        fprintf(stderr, "usage: lab-init SERVICES-FILE\n");
        return 2;
    }
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    read_services(argv[1]);
    control_fd = unix_socket(RUN_DIR "/init.sock", SOCK_STREAM);
    if (signal_fd < 0 || listen(control_fd, 8) < 0)
        die("set up");
    fds[0] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = control_fd, .events = POLLIN};
    for (size_t i = 0; i < n_services; i++)
        fds[2 + i] = (struct pollfd){.fd = services[i].notify_fd, .events = POLLIN};
    for (;;)
        turn(fds);
}
