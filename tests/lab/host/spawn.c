/* lab-spawn: the machine around a host. Makes the host's namespaces, prints the pid of its PID 1 (as the
 * machine sees it), runs the boot script as that PID 1, and when the host is dead removes HOST-DIR/pid. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "lab-spawn: cannot %s: %s\n", what, strerror(errno));
    return 1;
}

/* Under the host's lock, and only if the file still speaks of this PID 1: the host may run again by now. */
static void forget_pid(const char *dir, pid_t pid)
{
    char path[512], text[32] = "";
    int lock, fd;

    snprintf(path, sizeof(path), "%s/lock", dir);
    lock = open(path, O_RDWR | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return;
    snprintf(path, sizeof(path), "%s/pid", dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strtol(text, NULL, 10) == pid)
        unlink(path);
    if (fd >= 0)
        close(fd);
    close(lock);
}

/* Only the host: this process must go on when the host is frozen. */
static int join(const char *cgroup)
{
    char path[512];
    int fd, rc;

    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    rc = fd >= 0 && write(fd, "0", 1) == 1 ? 0 : fail(path);
    if (fd >= 0)
        close(fd);
    return rc;
}

int main(int argc, char **argv)
{
    pid_t child;

    if (argc < 4) {
        fprintf(stderr, "usage: lab-spawn HOST-DIR CGROUP BOOT-SCRIPT ARG...\n");
        return 2;
    }
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID) < 0)
        return fail("make namespaces");
    child = fork();
    if (child < 0)
        return fail("fork");
    if (child == 0) {
        if (join(argv[2]) == 0)
            execv(argv[3], argv + 3);
        _exit(fail(argv[3]));
    }
    printf("%d\n", (int)child);
    fflush(stdout);
    close(STDIN_FILENO); /* both now belong to the host alone */
    close(STDOUT_FILENO);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    forget_pid(argv[1], child);
    return 0;
}
