/* save and restore: the two halves of a quick migration (C6, S7). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/rc.h"
#include "files.h"
#include "imagelock.h"
#include "job.h"
#include "ocf.h"
#include "state.h"
#include "vm.h"

/* Names of one save; filled by prepare(). */
static struct {
    const char *tag;
    char file[PATH_MAX], tmp[PATH_MAX], meta[PATH_MAX];
} f;

static int prepare(void)
{
    const char *file = ocf_get("state_file");
    int rc = vm_identify();

    if (rc == OCF_SUCCESS) {
        rc = ocf_need("state_file");
    }
    if (rc == OCF_SUCCESS) {
        rc = ocf_need("tag");
    }
    if (rc != OCF_SUCCESS) {
        return rc;
    }
    f.tag = ocf_get("tag");
    if (!state_tag_ok(f.tag)) {
        return ocf_fail(OCF_ERR_CONFIGURED,
                        "parameter 'tag' is '%.100s'; give 1 to %d printable characters without spaces",
                        f.tag, STATE_TAG_MAX - 1);
    }
    if (*file != '/' || snprintf(f.file, sizeof f.file, "%s", file) >= PATH_MAX ||
        snprintf(f.tmp, sizeof f.tmp, "%s.tmp", file) >= PATH_MAX ||
        snprintf(f.meta, sizeof f.meta, "%s.meta", file) >= PATH_MAX) {
        return ocf_fail(OCF_ERR_CONFIGURED, "parameter 'state_file' is '%.100s'; give an absolute path",
                        file);
    }
    return OCF_SUCCESS;
}

/* ---- save ---- */

static struct {
    virConnectPtr conn;
    virDomainPtr dom;
    struct domain live; /* its XML as it runs: with the images below each disk */
    struct state state;
    long save_ms, fsync_ms, checksum_ms;
    char why[512];
} s;

static int read_live_xml(struct err *e)
{
    char *xml = virDomainGetXMLDesc(s.dom, 0);
    int rc;

    if (!xml) {
        return err_set(e, RC_FAILED, "cannot read its XML: %s", virt_why());
    }
    rc = domain_parse(xml, strlen(xml), "the running domain's XML", &s.live, e);
    free(xml);
    return rc;
}

static int save_call(void *unused)
{
    int rc = virDomainSaveFlags(s.dom, f.tmp, NULL, 0);

    (void)unused;
    if (rc < 0) {
        (void)snprintf(s.why, sizeof s.why, "%s", virt_why());
    }
    return rc;
}

/* Nothing was lost: libvirt let the VM go on, or we do. */
static int fail_running(enum job_end end)
{
    (void)unlink(f.tmp);
    if (s.state.was_running && virt_state(s.dom) == VIRT_PAUSED) {
        (void)virDomainResume(s.dom);
    }
    return ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot save it: %s; on this host it is now %s", vm.name,
                    end == JOB_TIMED_OUT   ? "it was not done in its time and was aborted"
                    : end == JOB_CANCELLED ? "it was cancelled"
                                           : s.why,
                    virt_state_word(vm_state_at(ocf_get("hypervisor"))));
}

/*
 * QEMU has ended and something after it went wrong: the VM comes back from the file that it has just written,
 * here, under the same lock and claim. This is the one restore of that state; the file is gone afterwards.
 */
static int fail_ended(const struct err *e, const char *file)
{
    int rc = virDomainRestoreFlags(s.conn, file, NULL, 0);

    if (rc < 0) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': cannot save it: %s; and it cannot be brought back: %s; what it had in "
                        "memory is in '%s', which "
                        "may be damaged: start it cold, or look at that file first",
                        vm.name, e->msg, virt_why(), file);
    }
    (void)unlink(file);
    (void)unlink(f.meta);
    return ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot save it: %s; it is %s as before", vm.name, e->msg,
                    s.state.was_running ? "running" : "paused");
}

static int sync_file(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = RC_OK;

    if (fd < 0 || fsync(fd) < 0) {
        rc = err_set(e, RC_IO, "cannot sync '%s': %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static int not_cancelled(struct err *e)
{
    return bounded_cancelled() ? err_set(e, RC_FAILED, "it was cancelled or not done in its time") : RC_OK;
}

/* Everything about the saved file that can be known before it gets its name. */
static int harden(struct err *e)
{
    long t = ocf_now_ms();
    int rc = sync_file(f.tmp, e);

    s.fsync_ms = ocf_now_ms() - t;
    t = ocf_now_ms();
    if (rc == RC_OK) {
        rc = state_checksum(f.tmp, &s.state.bytes, &s.state.checksum, e);
    }
    s.checksum_ms = ocf_now_ms() - t;
    if (rc == RC_OK && qemu_wait_end(vm.uuid, ocf_left_ms()) != 0) {
        rc = err_set(e, RC_FAILED, "its QEMU process has not ended (C4)");
    }
    if (rc == RC_OK) {
        s.state.n_disks = 0;
        rc = state_look_at_disks(&s.live, &s.state, e);
    }
    return rc == RC_OK ? not_cancelled(e) : rc;
}

static int write_meta(struct err *e)
{
    struct buf b = BUF_INIT;
    time_t now = time(NULL);
    struct tm tm;
    int rc;

    (void)strftime(s.state.time, sizeof s.state.time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    (void)snprintf(s.state.tag, sizeof s.state.tag, "%s", f.tag);
    memcpy(s.state.uuid, vm.uuid, sizeof s.state.uuid);
    state_format(&s.state, &b);
    rc = b.failed ? err_set(e, RC_NO_MEMORY, "out of memory") : files_replace(f.meta, b.data, b.len, 0600, e);
    buf_fini(&b);
    return rc;
}

/*
 * First the state gets its name, then the meta file; files_replace() syncs the folder, and with it both
 * names. A crash in between leaves a pair that does not fit, which restore refuses.
 */
static int publish(void)
{
    struct err e = ERR_INIT;
    long t = ocf_now_ms();

    if (harden(&e) != RC_OK) {
        return fail_ended(&e, f.tmp);
    }
    t = ocf_now_ms();
    if (rename(f.tmp, f.file) < 0) {
        (void)err_set(&e, RC_IO, "cannot rename '%s': %s", f.tmp, strerror(errno));
        return fail_ended(&e, f.tmp);
    }
    if (write_meta(&e) != RC_OK) {
        return fail_ended(&e, f.file);
    }
    s.fsync_ms += ocf_now_ms() - t;
    ocf_say("saved: bytes=%llu save_ms=%ld fsync_ms=%ld checksum_ms=%ld", (unsigned long long)s.state.bytes,
            s.save_ms, s.fsync_ms, s.checksum_ms);
    return OCF_SUCCESS;
}

static int save_domain(void)
{
    enum virt_state state = virt_state(s.dom);
    struct err e = ERR_INIT;
    long began = ocf_now_ms();
    long long remaining;
    enum job_end end;

    if (state != VIRT_RUNNING && state != VIRT_PAUSED) {
        return ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot save it: it is %s", vm.name,
                        virt_state_word(state));
    }
    s.state.was_running = state == VIRT_RUNNING;
    /* A disk whose changes could not be told later is found before the VM stops. */
    if (read_live_xml(&e) != RC_OK || state_look_at_disks(&s.live, &s.state, &e) != RC_OK) {
        err_wrap(&e, "VM '%s': cannot save it", vm.name);
        return ocf_fail_err(OCF_ERR_GENERIC, &e);
    }
    (void)unlink(f.tmp); /* left by a save whose host died */
    (void)snprintf(s.why, sizeof s.why, "cannot start a thread");
    end = job_run(s.dom, save_call, NULL, ocf_now_ms() + ocf_left_ms() * 3 / 4, &remaining);
    s.save_ms = ocf_now_ms() - began;
    return end == JOB_DONE ? publish() : fail_running(end);
}

static int do_save(void)
{
    int rc = vm_open(&s.conn), found;

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    found = virt_find(s.conn, vm.uuid, &s.dom);
    if (found > 0) {
        rc = save_domain();
        (void)virDomainFree(s.dom);
        if (rc == OCF_SUCCESS) {
            vm_say_gone(s.conn);
        }
    } else if (found == 0) {
        rc = ocf_fail(OCF_ERR_GENERIC, "VM '%s': cannot save it: it does not run on this host", vm.name);
    } else {
        rc = vm_fail("ask libvirt about it");
    }
    (void)virConnectClose(s.conn);
    domain_fini(&s.live);
    state_fini(&s.state);
    return rc;
}

int save_save(void)
{
    int rc = prepare();

    return rc == OCF_SUCCESS ? vm_change(do_save, NULL) : rc;
}

/* ---- restore ---- */

static int refuse(const char *what)
{
    return ocf_fail(OCF_ERR_GENERIC,
                    "VM '%s': its saved state '%s' is not restored (S7): %s; nothing was started; start the "
                    "VM cold instead",
                    vm.name, f.file, what);
}

static int read_meta(struct state *st, struct err *e)
{
    struct buf b = BUF_INIT;
    int rc = files_read(f.meta, STATE_META_MAX, &b, e);

    if (rc == RC_OK) {
        rc = state_parse((const char *)b.data, b.len, st, e);
        if (rc != RC_OK) {
            err_wrap(e, "'%s' is damaged", f.meta);
        }
    }
    buf_fini(&b);
    return rc;
}

/* All that makes a state this VM's, whole, and fit for the disks as they are: cheapest first. */
static int check(const struct state *st, struct err *e)
{
    struct hash sum;
    uint64_t bytes;
    int rc;

    if (strcmp(st->uuid, vm.uuid) != 0) {
        return err_set(e, RC_REFUSED, "it is of another VM, %s", st->uuid);
    }
    if (strcmp(st->tag, f.tag) != 0) {
        return err_set(e, RC_REFUSED, "its tag is '%s', wanted is '%s'", st->tag, f.tag);
    }
    rc = state_check_disks(st, e);
    if (rc == RC_OK) {
        rc = state_checksum(f.file, &bytes, &sum, e);
    }
    if (rc == RC_OK && (bytes != st->bytes || !hash_eq(sum, st->checksum))) {
        rc = err_set(e, RC_CORRUPT, "the file is damaged: its %s differs from the save's",
                     bytes != st->bytes ? "size" : "checksum");
    }
    return rc;
}

static int absent(virConnectPtr conn)
{
    virDomainPtr dom;
    int found = virt_find(conn, vm.uuid, &dom);

    if (found > 0) {
        (void)virDomainFree(dom);
    }
    if (found < 0) {
        return vm_fail("ask libvirt about it");
    }
    if (found > 0 || qemu_find(vm.uuid) != 0) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': cannot restore it: it exists on this host already; stop it first", vm.name);
    }
    return OCF_SUCCESS;
}

/* S8: QEMU itself would not refuse a second one of a VM that was restored and is paused elsewhere. */
static int nobody_writes(const struct state *st)
{
    for (size_t i = 0; i < st->n_disks; i++) {
        if (imagelock_is_written(st->disks[i].path) == 1) {
            return vm_fail_locked(st->disks[i].path);
        }
    }
    return OCF_SUCCESS;
}

static int restore_in(virConnectPtr conn, long checksum_ms)
{
    long began = ocf_now_ms();
    enum virt_state state = VIRT_UNKNOWN;
    virDomainPtr dom;

    /* Paused: it is resumed only once "consumed" is committed (C6). */
    if (virDomainRestoreFlags(conn, f.file, NULL, VIR_DOMAIN_SAVE_PAUSED) < 0) {
        return vm_fail_start("restore it");
    }
    if (virt_find(conn, vm.uuid, &dom) > 0) {
        state = virt_state(dom);
        if (bounded_cancelled() || state != VIRT_PAUSED) {
            (void)virDomainDestroy(dom);
        }
        (void)virDomainFree(dom);
    }
    ocf_say("state: %s", virt_state_word(state));
    if (bounded_cancelled() || state != VIRT_PAUSED) {
        return ocf_fail(OCF_ERR_GENERIC,
                        "VM '%s': the restore %s and was undone; its state file is as it was", vm.name,
                        state != VIRT_PAUSED ? "did not leave it paused" : "was cancelled");
    }
    ocf_say("restored: checksum_ms=%ld restore_ms=%ld", checksum_ms, ocf_now_ms() - began);
    return OCF_SUCCESS;
}

static int do_restore(void)
{
    struct err e = ERR_INIT;
    long began = ocf_now_ms();
    virConnectPtr conn;
    struct state st;
    int rc = vm_open(&conn);

    if (rc != OCF_SUCCESS) {
        return rc;
    }
    state_init(&st);
    rc = absent(conn);
    if (rc == OCF_SUCCESS) {
        rc = vm_refuse_other_starters(conn);
    }
    if (rc == OCF_SUCCESS &&
        (read_meta(&st, &e) != RC_OK || check(&st, &e) != RC_OK || not_cancelled(&e) != RC_OK)) {
        rc = refuse(e.msg);
    }
    if (rc == OCF_SUCCESS) {
        rc = nobody_writes(&st);
    }
    if (rc == OCF_SUCCESS) {
        rc = restore_in(conn, ocf_now_ms() - began);
    }
    state_fini(&st);
    (void)virConnectClose(conn);
    return rc;
}

int save_restore(void)
{
    int rc = prepare();

    return rc == OCF_SUCCESS ? vm_change(do_restore, NULL) : rc;
}
