/* The agents' parts that need neither libvirt nor root: parsers, the C3 table, locks, files, checksums. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agents/domain.h"
#include "agents/files.h"
#include "agents/imagelock.h"
#include "agents/inventory.h"
#include "agents/lock.h"
#include "agents/mounts.h"
#include "agents/qemu.h"
#include "agents/state.h"
#include "common/rc.h"

#define UUID "0f0e0d0c-0b0a-0908-0706-050403020100"

static char dir[] = "/tmp/test_agents.XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[4][256];
    static int i;

    i = (i + 1) % 4;
    (void)snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
    return path[i];
}

/* ---- C3 ---- */

static void what_is_not_known_is_never_absent(void **unused)
{
    static const struct {
        struct inventory_seen seen;
        enum virt_state state;
    } table[] = {
        {{true, VIRT_ABSENT, 0, false}, VIRT_ABSENT},
        {{true, VIRT_ABSENT, 0, true}, VIRT_UNKNOWN},   /* an agent may be about to start it */
        {{true, VIRT_ABSENT, 17, false}, VIRT_UNKNOWN}, /* a QEMU that libvirt does not know */
        {{true, VIRT_ABSENT, -1, false}, VIRT_UNKNOWN}, /* /proc cannot be read */
        {{false, VIRT_ABSENT, 0, false}, VIRT_UNKNOWN},
        {{false, VIRT_RUNNING, 17, false}, VIRT_UNKNOWN},
        {{true, VIRT_RUNNING, 17, false}, VIRT_RUNNING},
        {{true, VIRT_RUNNING, 17, true}, VIRT_RUNNING},
        {{true, VIRT_RUNNING, 0, false}, VIRT_UNKNOWN},
        {{true, VIRT_INCOMING, 17, false}, VIRT_INCOMING},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(inventory_settle(&table[i].seen), table[i].state);
    }
}

static void print_to(const struct inventory *inv, char *out, size_t size)
{
    FILE *f = tmpfile();
    size_t n;

    assert_non_null(f);
    inventory_print(inv, f);
    rewind(f);
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    (void)fclose(f);
}

static void inventory_lines(void **unused)
{
    static const char answer[] = UUID " running web 1%\n"
                                      "11111111-1111-1111-1111-111111111111 incoming db\n"
                                      "22222222-2222-2222-2222-222222222222 paused gone\n";
    struct qemu q = {42, UUID, "other"}, stray = {43, "33333333-3333-3333-3333-333333333333", ""},
                in = {44, "11111111-1111-1111-1111-111111111111", "db"};
    struct inventory inv;
    char text[1024];

    (void)unused;
    inventory_init(&inv);
    inv.answered = true;
    assert_int_equal(inventory_add_lock(&inv, UUID), 0);
    assert_int_equal(inventory_add_answer(&inv, answer, sizeof answer - 1), 0);
    assert_int_equal(inventory_add_qemu(&inv, &q), 0);
    assert_int_equal(inventory_add_qemu(&inv, &stray), 0);
    assert_int_equal(inventory_add_qemu(&inv, &in), 0);
    assert_true(inventory_doubts(&inv));
    print_to(&inv, text, sizeof text);
    assert_string_equal(text, "libvirt: ok\n"
                              "vm " UUID " running web%201%25 pid=42 lock=held\n"
                              "vm 11111111-1111-1111-1111-111111111111 incoming db pid=44 lock=free\n"
                              "vm 22222222-2222-2222-2222-222222222222 unknown gone pid=0 lock=free\n"
                              "vm 33333333-3333-3333-3333-333333333333 unknown - pid=43 lock=free\n"
                              "end 4\n");
    inventory_fini(&inv);
    inventory_init(&inv);
    print_to(&inv, text, sizeof text);
    assert_string_equal(text, "libvirt: unreachable\nend 0\n");
    assert_int_equal(inventory_add_answer(&inv, "rubbish\n", 8), RC_IO);
    assert_int_equal(inventory_add_answer(&inv, answer, 40), RC_IO);
    inventory_fini(&inv);
}

/* ---- QEMU's arguments ---- */

static void arguments_name_the_vm(void **unused)
{
    static const char args[] = "/usr/bin/qemu-system-x86_64\0-name\0guest=a,,b,debug-threads=on\0-uuid\0"
                               "0F0E0D0C-0b0a-0908-0706-050403020100\0-S";
    static const char grep[] = "grep\0" UUID, cut[] = "qemu\0-uuid\0" UUID;
    struct qemu q;

    (void)unused;
    assert_true(qemu_parse(args, sizeof args, &q));
    assert_string_equal(q.uuid, UUID);
    assert_string_equal(q.name, "a,b");
    assert_false(qemu_parse(grep, sizeof grep, &q));
    assert_false(qemu_parse(cut, sizeof cut - 1, &q)); /* its last argument does not end */
    assert_false(qemu_parse("", 0, &q));
}

/* Another run of this test, here or in another checkout, has other processes. */
static const char *own_uuid(char kind)
{
    static char uuid[37];

    (void)snprintf(uuid, sizeof uuid, "%08x-0000-0000-0000-%011d%c", (unsigned)getpid(), 0, kind);
    return uuid;
}

/* This program again as a process whose arguments look like a QEMU's. */
static pid_t spawn(const char *how, const char *uuid)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        (void)execl("/proc/self/exe", "qemu", how, "-uuid", uuid, (char *)NULL);
        _exit(1);
    }
    return pid;
}

static void wait_found(const char *uuid, pid_t pid)
{
    for (int i = 0; i < 200 && qemu_find(uuid) != pid; i++) {
        (void)usleep(5000);
    }
    assert_int_equal(qemu_find(uuid), pid);
}

static void processes_are_found_and_their_end_awaited(void **unused)
{
    char path[] = "/tmp/clusterd-image-XXXXXX";
    int fd = mkstemp(path); /* its image: it inherits the descriptor */
    const char *uuid = own_uuid('a');
    pid_t pid = spawn("sleep", uuid);
    struct qemu q;

    (void)unused;
    wait_found(uuid, pid);
    assert_int_equal(qemu_with_file(path, &q), 1);
    assert_int_equal(q.pid, pid);
    assert_int_equal(qemu_with_file("/proc/self/exe", &q), 0);
    assert_int_equal(close(fd) | unlink(path), 0);
    assert_int_equal(qemu_wait_end(uuid, 20), pid);
    qemu_signal(uuid, SIGKILL);
    assert_int_equal(qemu_wait_end(uuid, 2000), 0); /* not reaped by us yet: but it can write no more */
    assert_int_equal(qemu_find(uuid), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* C4: the first thread has gone, another lives on, as one that hangs in a write does after a SIGKILL. */
static void half_dead_processes_count(void **unused)
{
    const char *uuid = own_uuid('b');
    pid_t pid = spawn("half", uuid);
    char path[64], text[8];
    int fd;

    (void)unused;
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    for (int i = 0; i < 200; i++) { /* until its first thread is a zombie without arguments */
        fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        if (read(fd, text, sizeof text) == 0) {
            i = 200;
        }
        (void)close(fd);
        (void)usleep(5000);
    }
    assert_int_equal(qemu_find(uuid), pid);
    assert_int_equal(qemu_wait_end(uuid, 20), pid);
    qemu_signal(uuid, SIGKILL);
    assert_int_equal(qemu_wait_end(uuid, 2000), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- domain XML ---- */

#define HEAD "<domain type='qemu'><name>web1</name><uuid>0F0E0D0C-0B0A-0908-0706-050403020100</uuid>"
#define DISK                                                                                                 \
    "<disk type='file' device='disk'><driver cache='none'/><source file='/v/a.img'/><target dev='vda'/>"

static int parse(const char *xml, struct domain *d, struct err *e)
{
    *e = (struct err)ERR_INIT;
    return domain_parse(xml, strlen(xml), "it", d, e);
}

static void a_domain_is_read(void **unused)
{
    static const char xml[] =
        HEAD "<os><type arch='x86_64'>hvm</type></os><cpu><model>Nehalem</model></cpu><devices>" DISK
             "<backingStore type='file'><source file='/v/base.img'/><backingStore/></backingStore></disk>"
             "<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/><readonly/></disk>"
             "<interface type='bridge'><source bridge='br0'/></interface>"
             "<interface type='network'><source network='lan'/></interface></devices></domain>";
    struct domain d;
    struct err e;

    (void)unused;
    assert_int_equal(parse(xml, &d, &e), RC_OK);
    assert_string_equal(d.name, "web1");
    assert_string_equal(d.uuid, UUID);
    assert_string_equal(d.cpu, "Nehalem");
    assert_string_equal(d.cpu_xml, "<cpu><model>Nehalem</model></cpu>");
    assert_string_equal(d.arch, "x86_64");
    assert_int_equal(d.n_disks, 3);
    assert_true(d.disks[0].writable && !d.disks[0].backing);
    assert_string_equal(d.disks[1].source, "/v/base.img");
    assert_true(d.disks[1].backing && !d.disks[1].writable);
    assert_false(d.disks[2].writable);
    assert_int_equal(d.n_nics, 2);
    assert_string_equal(d.nics[0].source, "br0");
    assert_string_equal(d.nics[1].source, "lan");
    assert_int_equal(domain_safe(&d, &e), RC_OK);
    domain_fini(&d);
}

static void bad_domains_are_refused_with_the_reason(void **unused)
{
    static const struct {
        const char *xml, *says;
    } table[] = {
        {"", "not well-formed"},
        {"<domain><name>", "not well-formed XML: line 1"},
        {"<network/>", "not a libvirt domain"},
        {"<domain/>", "no usable <name>"},
        {"<domain><name>a/b</name></domain>", "no usable <name>"},
        {"<domain><name>a</name><uuid>1</uuid></domain>", "no usable <uuid>"},
        {"<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
         "document type"},
        {"<!DOCTYPE d SYSTEM 'http://127.0.0.1/d.dtd'><domain/>", "document type"},
    };
    struct domain d;
    struct err e;

    (void)unused;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(parse(table[i].xml, &d, &e), RC_BAD_INPUT);
        assert_non_null(strstr(e.msg, table[i].says));
    }
    assert_int_equal(domain_read("/nonexistent", &d, &e), RC_NOT_FOUND);
    assert_int_equal(domain_read("/tmp", &d, &e), RC_BAD_INPUT);
}

static void huge_domains_are_refused_unread(void **unused)
{
    const char *path = in_dir("huge.xml");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    struct domain d;
    struct err e = ERR_INIT;

    (void)unused;
    assert_int_equal(ftruncate(fd, 100L << 20), 0);
    (void)close(fd);
    assert_int_equal(domain_read(path, &d, &e), RC_BAD_INPUT);
    assert_non_null(strstr(e.msg, "104857600 bytes"));
}

static void unsafe_domains_are_refused(void **unused)
{
    static const struct {
        const char *xml, *says;
    } table[] = {
        {HEAD "<devices><disk type='file'><source file='/v/a'/><target dev='vdb'/></disk></devices></domain>",
         "C4"},
        {HEAD "<devices><disk type='file'><driver cache='writeback'/><source file='/v/a'/><target "
              "dev='vdb'/></disk>"
              "</devices></domain>",
         "'writeback'"},
        {HEAD "<devices>" DISK "<shareable/></disk></devices></domain>", "S8"},
        {"<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name><uuid>" UUID "</uuid>"
         "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg "
         "value='file=x,force-share=on'/></qemu:commandline></domain>",
         "S8"},
    };
    struct domain d;
    struct err e;

    (void)unused;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(parse(table[i].xml, &d, &e), RC_OK);
        assert_int_equal(domain_safe(&d, &e), RC_REFUSED);
        assert_non_null(strstr(e.msg, table[i].says));
        assert_true(strlen(e.hint) > 0);
        domain_fini(&d);
    }
}

/* ---- saved states ---- */

static void fill(struct state *s, struct state_disk *disk)
{
    state_init(s);
    memcpy(s->uuid, UUID, sizeof UUID);
    (void)snprintf(s->tag, sizeof s->tag, "op-17");
    (void)snprintf(s->time, sizeof s->time, "2026-01-02T03:04:05Z");
    s->was_running = true;
    s->bytes = UINT64_MAX;
    s->checksum = (struct hash){0x0123456789abcdef, 0xfedcba9876543210};
    s->disks = disk;
    s->n_disks = 1;
    *disk = (struct state_disk){"/v/a disk.img", 1, UINT64_MAX, -5};
}

static void a_state_reads_as_it_was_written(void **unused)
{
    struct state_disk disk;
    struct buf b = BUF_INIT;
    struct state s, r;
    struct err e;

    (void)unused;
    fill(&s, &disk);
    state_format(&s, &b);
    assert_false(b.failed);
    assert_int_equal(state_parse((const char *)b.data, b.len, &r, &e), RC_OK);
    assert_string_equal(r.uuid, s.uuid);
    assert_string_equal(r.tag, s.tag);
    assert_string_equal(r.time, s.time);
    assert_true(r.was_running && r.bytes == s.bytes && hash_eq(r.checksum, s.checksum));
    assert_int_equal(r.n_disks, 1);
    assert_memory_equal(r.disks, &disk, sizeof disk);
    state_fini(&r);
    for (size_t i = 0; i < b.len; i++) { /* no cut and no flipped bit goes unseen */
        assert_int_equal(state_parse((const char *)b.data, i, &r, &e), RC_CORRUPT);
        b.data[i] ^= 4;
        assert_int_equal(state_parse((const char *)b.data, b.len, &r, &e), RC_CORRUPT);
        b.data[i] ^= 4;
    }
    buf_fini(&b);
}

static void tags_are_words(void **unused)
{
    (void)unused;
    assert_true(state_tag_ok("a-B:17"));
    assert_false(state_tag_ok(""));
    assert_false(state_tag_ok("a b"));
    assert_false(state_tag_ok("a\nb"));
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

static void set_time(const char *path, time_t t)
{
    struct timespec both[2] = {{t, 0}, {t, 0}};

    assert_int_equal(utimensat(AT_FDCWD, path, both, 0), 0);
}

/* S7: written, resized, replaced: each is seen. */
static void changed_disks_are_seen(void **unused)
{
    const char *path = in_dir("disk.img"), *other = in_dir("other.img");
    struct domain_disk k = {(char *)(size_t) "vda",
                            (char *)(size_t)path,
                            (char *)(size_t) "file",
                            (char *)(size_t) "none",
                            true,
                            false,
                            false};
    struct domain d = {.disks = &k, .n_disks = 1};
    struct err e = ERR_INIT;
    struct state s;

    (void)unused;
    state_init(&s);
    write_file(path, "data");
    set_time(path, 1000);
    assert_int_equal(state_look_at_disks(&d, &s, &e), RC_OK);
    assert_int_equal(state_check_disks(&s, &e), RC_OK);
    set_time(path, 1001);
    assert_int_equal(state_check_disks(&s, &e), RC_REFUSED);
    assert_non_null(strstr(e.msg, "it was written"));
    write_file(path, "data2");
    set_time(path, 1000);
    assert_int_equal(state_check_disks(&s, &e), RC_REFUSED);
    assert_non_null(strstr(e.msg, "size"));
    write_file(other, "data");
    set_time(other, 1000);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(state_check_disks(&s, &e), RC_REFUSED);
    assert_non_null(strstr(e.msg, "another file"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(state_check_disks(&s, &e), RC_IO);
    k.source = (char *)(size_t) "/dev/null";
    assert_int_equal(state_look_at_disks(&d, &s, &e), RC_REFUSED);
    state_fini(&s);
}

static void a_checksum_covers_each_byte(void **unused)
{
    const char *path = in_dir("state");
    struct err e = ERR_INIT;
    struct hash a, b;
    uint64_t bytes;
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    (void)unused;
    assert_int_equal(state_checksum(path, &bytes, &a, &e), RC_OK);
    assert_true(bytes == 0);
    assert_int_equal(ftruncate(fd, (5 << 20) + 3), 0);
    assert_int_equal(state_checksum(path, &bytes, &a, &e), RC_OK);
    assert_true(bytes == (5 << 20) + 3);
    for (off_t at = 0; at < (off_t)bytes; at += (1 << 20) + (at % 2 ? 0 : 1)) {
        assert_int_equal(pwrite(fd, "x", 1, at), 1);
        assert_int_equal(state_checksum(path, &bytes, &b, &e), RC_OK);
        assert_false(hash_eq(a, b));
        a = b;
    }
    (void)close(fd);
    assert_int_equal(state_checksum(in_dir("missing"), &bytes, &a, &e), RC_IO);
}

/* ---- locks and files ---- */

static void a_lock_is_seen_without_being_taken(void **unused)
{
    const char *locks = in_dir("locks/deep");
    struct err e = ERR_INIT;
    int fd;

    (void)unused;
    assert_int_equal(lock_held(locks, "x"), 0);
    fd = lock_take(locks, "x", 0, &e);
    assert_true(fd >= 0);
    lock_note(fd, "start");
    assert_int_equal(lock_held(locks, "x"), 1);
    assert_int_equal(lock_held(locks, "x"), 1);
    assert_int_equal(lock_take(locks, "x", 30, &e), RC_BUSY);
    assert_non_null(strstr(e.msg, "(start)"));
    (void)close(fd);
    assert_int_equal(lock_held(locks, "x"), 0);
}

static void children_inherit_a_lock(void **unused)
{
    const char *locks = in_dir("locks");
    struct err e = ERR_INIT;
    int fd = lock_take(locks, "y", 0, &e), pipes[2];
    pid_t pid;
    char c;

    (void)unused;
    assert_true(fd >= 0);
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        (void)close(pipes[1]);
        _exit(read(pipes[0], &c, 1) == 0 ? 0 : 1); /* until the other end closes */
    }
    (void)close(fd);
    assert_int_equal(lock_held(locks, "y"), 1);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(lock_held(locks, "y"), 0);
}

static void writers_exclude_each_other(void **unused)
{
    int a = open(in_dir("image"), O_RDWR | O_CREAT, 0600), b = open(in_dir("image"), O_RDWR);

    (void)unused;
    assert_int_equal(imagelock_take(a), 1);
    assert_int_equal(imagelock_take(b), 0);
    assert_int_equal(imagelock_drop(a), 0);
    assert_int_equal(imagelock_take(b), 1);
    assert_int_equal(imagelock_take(a), 0);
    (void)close(a);
    (void)close(b);
}

static void a_file_is_replaced_whole(void **unused)
{
    const char *path = in_dir("small");
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;

    (void)unused;
    assert_int_equal(files_replace(path, "one", 3, 0600, &e), RC_OK);
    assert_int_equal(files_replace(path, "three", 5, 0600, &e), RC_OK);
    assert_int_equal(files_read(path, 5, &b, &e), RC_OK);
    assert_string_equal((const char *)b.data, "three");
    assert_int_equal(files_read(path, 4, &b, &e), RC_BAD_INPUT);
    assert_int_equal(access(in_dir("small.tmp"), F_OK), -1);
    assert_int_equal(files_replace(in_dir("no/such"), "x", 1, 0600, &e), RC_IO);
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(files_read(in_dir("fifo"), 4, &b, &e), RC_BAD_INPUT); /* and does not hang */
    buf_fini(&b);
}

static void mount_points_are_found(void **unused)
{
    static const char info[] = "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
                               "30 22 7:0 / /srv/a\\040b rw - ext4 /dev/loop0 rw\n"
                               "31 22 7:0 /x /srv/vol1 rw - ext4 /dev/loop0 rw\n";
    char who[256];

    (void)unused;
    assert_true(mounts_find(info, "/srv/a b"));
    assert_true(mounts_find(info, "/srv/vol1"));
    assert_false(mounts_find(info, "/srv/vol"));
    assert_false(mounts_find(info, "/x"));
    assert_false(mounts_find("", "/"));
    assert_false(mounts_find("1 2 3", "/"));
    assert_int_equal(mounts_at("/"), 1);
    assert_int_equal(mounts_at(dir), 0);
    assert_int_equal(chdir(dir), 0);
    assert_true(mounts_users(dir, who, sizeof who) > 0);
    assert_non_null(strstr(who, "test_agents"));
    assert_int_equal(chdir("/"), 0);
}

static void *forever(void *unused)
{
    for (;;) {
        (void)pause();
    }
    return unused;
}

/* What spawn() runs. */
static int play(const char *how)
{
    pthread_t thread;

    (void)alarm(60); /* a test that fails does not get as far as to end it */
    if (strcmp(how, "half") == 0) {
        if (pthread_create(&thread, NULL, forever, NULL) != 0) {
            return 1;
        }
        pthread_exit(NULL);
    }
    (void)forever(NULL);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_never_absent),
        cmocka_unit_test(inventory_lines),
        cmocka_unit_test(arguments_name_the_vm),
        cmocka_unit_test(processes_are_found_and_their_end_awaited),
        cmocka_unit_test(half_dead_processes_count),
        cmocka_unit_test(a_domain_is_read),
        cmocka_unit_test(bad_domains_are_refused_with_the_reason),
        cmocka_unit_test(huge_domains_are_refused_unread),
        cmocka_unit_test(unsafe_domains_are_refused),
        cmocka_unit_test(a_state_reads_as_it_was_written),
        cmocka_unit_test(tags_are_words),
        cmocka_unit_test(changed_disks_are_seen),
        cmocka_unit_test(a_checksum_covers_each_byte),
        cmocka_unit_test(a_lock_is_seen_without_being_taken),
        cmocka_unit_test(children_inherit_a_lock),
        cmocka_unit_test(writers_exclude_each_other),
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(mount_points_are_found),
    };
    int failed;

    if (argc > 1) {
        return play(argv[1]);
    }
    if (!mkdtemp(dir)) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (chdir("/") == 0 && fork() == 0) {
        (void)execlp("rm", "rm", "-rf", dir, (char *)NULL);
        _exit(1);
    }
    (void)wait(NULL);
    return failed;
}
