/* lab-guest: what runs in a test guest. Its evidence goes by UDP to the collector outside the hosts, because
 * a guest's own clock does not see that it was stopped:
 *   - a tick every 10 ms, from a counter in memory (it goes on after a move, begins anew after a boot);
 *   - ten times a second a counter is written to the disk and fsynced; only then is it sent: from then on it
 * must never be missing again. The last SLOTS writes are all on the disk; at boot each of them is checked.
 * The power button ends the guest.
 *
 * lab-guest NAME COLLECTOR PORT DIRTY-MIB-PER-SECOND */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/input.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DISK       "/dev/vda"
#define BLOCK      4096
#define SLOTS      1024 /* after the head block; the writes of the last 100 s */
#define TICK_NS    10000000L
#define WRITE_NS   100000000L
#define INPUTS_MAX 8
#define MAGIC      0x4742414cu /* "LABG" */

/* As the collector reads it: little-endian, no padding. */
struct report {
    uint32_t magic;
    uint32_t kind; /* 'T': a tick, 'W': a write that is on the disk */
    uint64_t life; /* one boot of one QEMU */
    uint32_t boots;
    uint32_t missing; /* acknowledged writes that were not on the disk at boot */
    uint64_t found;   /* the highest that was */
    uint64_t counter;
    char name[32];
};

/* A block of the disk; CHECK covers what stands before it. */
struct block {
    uint32_t magic;
    uint32_t boots;
    uint64_t life;
    uint64_t counter; /* of the write; in the head block 0 */
    uint32_t check;
};

static struct report base; /* what all reports have in common */
static int sock, disk;

static uint32_t crc32(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffffffffu;

    while (size-- > 0) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void die(const char *what)
{
    fprintf(stderr, "lab-guest: cannot %s: %s\n", what, strerror(errno));
    sync();
    reboot(RB_POWER_OFF);
    _exit(1);
}

static void report(uint32_t kind, uint64_t counter)
{
    struct report r = base;

    r.kind = kind;
    r.counter = counter;
    (void)!send(sock, &r, sizeof(r), MSG_DONTWAIT); /* lost reports are the collector's to judge */
}

static void write_block(size_t number, uint64_t counter)
{
    static _Thread_local uint8_t bytes[BLOCK];
    struct block b = {.magic = MAGIC, .boots = base.boots, .life = base.life, .counter = counter};

    b.check = crc32(&b, offsetof(struct block, check));
    memcpy(bytes, &b, sizeof(b));
    if (pwrite(disk, bytes, BLOCK, (off_t)number * BLOCK) != BLOCK || fsync(disk) < 0)
        die("write");
}

static bool read_block(size_t number, struct block *b)
{
    uint8_t bytes[BLOCK];

    if (pread(disk, bytes, BLOCK, (off_t)number * BLOCK) != BLOCK)
        die("read");
    memcpy(b, bytes, sizeof(*b));
    return b->magic == MAGIC && b->check == crc32(b, offsetof(struct block, check));
}

/* What the lives before this one have left on the disk. */
static void look_at_disk(void)
{
    static uint64_t counters[SLOTS];
    struct block b;

    for (size_t i = 0; i < SLOTS; i++) {
        counters[i] = read_block(1 + i, &b) ? b.counter : 0;
        if (counters[i] > base.found)
            base.found = counters[i];
    }
    /* The slot after the highest may be torn: that write was never acknowledged. */
    for (uint64_t c = base.found; c > 0 && c + SLOTS - 1 > base.found; c--)
        if (counters[c % SLOTS] != c)
            base.missing++;
    base.boots = read_block(0, &b) ? b.boots + 1 : 1;
    write_block(0, 0);
}

static int timer(long ns)
{
    struct itimerspec period = {.it_interval = {.tv_nsec = ns}, .it_value = {.tv_nsec = ns}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    if (fd < 0 || timerfd_settime(fd, 0, &period, NULL) < 0)
        die("make a timer");
    return fd;
}

static void *writer(void *unused)
{
    int fd = timer(WRITE_NS);
    uint64_t expired, counter = base.found;

    (void)unused;
    do {
        counter++;
        write_block(1 + counter % SLOTS, counter);
        report('W', counter);
    } while (read(fd, &expired, sizeof(expired)) > 0);
    return NULL;
}

/* Touches RATE MiB of pages a second, round and round through half of the free memory. */
static void *dirtier(void *rate)
{
    size_t pages_per_tick = (size_t)(uintptr_t)rate * 256 / 100, n_pages, next = 0;
    struct sysinfo info;
    uint64_t expired;
    uint8_t *memory;
    int fd = timer(TICK_NS);

    sysinfo(&info);
    n_pages = info.freeram * info.mem_unit / 2 / BLOCK;
    memory = mmap(NULL, n_pages * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("get memory");
    while (read(fd, &expired, sizeof(expired)) > 0)
        for (size_t i = 0; i < pages_per_tick; i++, next = (next + 1) % n_pages)
            memory[next * BLOCK]++;
    return NULL;
}

static void start_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, function, argument) != 0)
        die("start a thread");
}

static void power_button(int fd)
{
    struct input_event event;

    if (read(fd, &event, sizeof(event)) == sizeof(event) && event.type == EV_KEY && event.code == KEY_POWER) {
        fprintf(stderr, "lab-guest: power button\n");
        sync();
        reboot(RB_POWER_OFF);
    }
}

static void tick_for_ever(void)
{
    struct pollfd fds[1 + INPUTS_MAX] = {{.fd = timer(TICK_NS), .events = POLLIN}};
    uint64_t expired, ticks = 0;
    glob_t inputs = {0};
    nfds_t n = 1;

    glob("/dev/input/event*", 0, NULL, &inputs);
    for (size_t i = 0; i < inputs.gl_pathc && n <= INPUTS_MAX; i++)
        fds[n++] = (struct pollfd){.fd = open(inputs.gl_pathv[i], O_RDONLY | O_CLOEXEC), .events = POLLIN};
    for (;;) {
        if (poll(fds, n, -1) < 0)
            continue;
        for (nfds_t i = 1; i < n; i++)
            if (fds[i].revents)
                power_button(fds[i].fd);
        if (fds[0].revents && read(fds[0].fd, &expired, sizeof(expired)) > 0)
            report('T', ++ticks);
    }
}

/* No two lives may share it, not even two QEMUs that start from one disk at one time. */
static uint64_t new_life(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) ^ (__builtin_ia32_rdtsc() << 16);
}

int main(int argc, char **argv)
{
    struct sockaddr_in collector = {.sin_family = AF_INET};
    unsigned long rate;

    if (argc != 5 || inet_pton(AF_INET, argv[2], &collector.sin_addr) != 1)
        die("understand the arguments");
    collector.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
    rate = strtoul(argv[4], NULL, 10);
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&collector, sizeof(collector)) < 0)
        die("reach the collector");
    disk = open(DISK, O_RDWR | O_CLOEXEC);
    if (disk < 0)
        die("open " DISK);
    base.magic = MAGIC;
    base.life = new_life();
    snprintf(base.name, sizeof(base.name), "%s", argv[1]);
    look_at_disk();
    start_thread(writer, NULL);
    if (rate > 0)
        start_thread(dirtier, (void *)(uintptr_t)rate);
    tick_for_ever();
}
