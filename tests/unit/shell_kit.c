#include "tests/unit/shell_kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int kit_send(void *ctx, const void *data, size_t len)
{
    buf_blob(&((struct kit *)ctx)->sent, data, len);
    return 0;
}

static int kit_persist(void *ctx, const struct journal *j, const struct journal_persist *p, bool *failed,
                       struct err *err)
{
    struct kit *k = ctx;

    (void)j, (void)p;
    if (k->fsync_fails) {
        k->fsync_fails = false;
        *failed = true;
        return err_set(err, RC_IO, "fsync failed");
    }
    return 0;
}

static int kit_snapshot(void *ctx, const struct journal_snapshot *s, const uint8_t *blob, bool *failed,
                        struct err *err)
{
    (void)ctx, (void)s, (void)blob, (void)failed, (void)err;
    return 0;
}

static int kit_snapshot_read(void *ctx, uint64_t index, uint64_t offset, void *out, size_t len)
{
    (void)ctx, (void)index, (void)offset, (void)out, (void)len;
    return RC_NOT_FOUND;
}

static int kit_load(void *ctx, struct journal_load *out, struct err *err)
{
    (void)err;
    memset(out, 0, sizeof *out);
    if (((struct kit *)ctx)->reload != NULL) {
        *out = *((struct kit *)ctx)->reload;
        ((struct kit *)ctx)->reload = NULL;
        return 0;
    }
    out->lost = ((struct kit *)ctx)->set_asides > 0;
    out->fresh.incarnation = 11;
    out->fresh.cluster.lo = 12;
    return 0;
}

static int kit_set_aside(void *ctx, const char *why, struct err *err)
{
    (void)why, (void)err;
    ((struct kit *)ctx)->set_asides++;
    return 0;
}

static int kit_history_add(void *ctx, const struct history_row *row)
{
    (void)row;
    ((struct kit *)ctx)->rows++;
    return 0;
}

static int kit_history_trim(void *ctx, uint32_t days, uint32_t mib, int64_t now)
{
    (void)ctx, (void)days, (void)mib, (void)now;
    return 0;
}

static int kit_run(void *ctx, const struct run_spec *spec)
{
    struct kit *k = ctx;
    struct kit_run *r = k->run;

    while (r < k->run + k->runs && !r->over) { /* a place that is free again */
        r++;
    }
    if (r == k->run + KIT_RUNS_MAX) {
        return RC_BUSY;
    }
    k->runs += r == k->run + k->runs;
    event_fini(&r->param);
    memset(r, 0, sizeof *r);
    r->id = spec->id;
    r->timeout_ms = spec->timeout_ms;
    snprintf(r->agent, sizeof r->agent, "%s", spec->agent);
    snprintf(r->action, sizeof r->action, "%s", spec->action);
    for (unsigned i = 0; i < spec->params; i++) {
        event_put(&r->param, spec->param[i].key, spec->param[i].value);
    }
    return 0;
}

static void kit_cancel(void *ctx, uint64_t id)
{
    struct kit *k = ctx;

    for (unsigned i = 0; i < k->runs; i++) {
        k->run[i].cancelled |= k->run[i].id == id;
    }
}

static bool kit_orphans(void *ctx)
{
    (void)ctx;
    return false;
}

static uint64_t kit_now_ms(void *ctx)
{
    return ((struct kit *)ctx)->now;
}

static int64_t kit_wall_ms(void *ctx)
{
    return (int64_t)((struct kit *)ctx)->now;
}

static uint64_t kit_random(void *ctx)
{
    (void)ctx;
    return 4; /* chosen by fair dice roll: xkcd.com/221 */
}

static void kit_answer(void *ctx, uint64_t request, int rc, const struct err *err, uint64_t op)
{
    struct kit *k = ctx;

    (void)request;
    k->answer_rc = rc;
    k->answer_op = op;
    if (err != NULL) {
        k->answer_err = *err;
    }
}

static void kit_log(void *ctx, enum log_level level, const char *text)
{
    if (((struct kit *)ctx)->verbose) {
        printf("%d %s\n", (int)level, text);
    }
}

int kit_start_as(struct kit *k, unsigned level, struct journal_load *load, struct err *err)
{
    struct shell_config c = {.self = 1,
                             .feature_level = level,
                             .name = "node1",
                             .cluster = "c",
                             .boot = "b",
                             .session = 7,
                             .memory_mib = 4096,
                             .cpus = 1,
                             .configured = {1},
                             .configureds = 1,
                             .hypervisor = "test:///",
                             .migration_uri = "test://%s/",
                             .agent_lock_dir = "/l"};
    struct ports p = {.msg = {k, kit_send},
                      .store = {.ctx = k,
                                .persist = kit_persist,
                                .snapshot = kit_snapshot,
                                .snapshot_read = kit_snapshot_read,
                                .load = kit_load,
                                .set_aside = kit_set_aside,
                                .history_add = kit_history_add,
                                .history_trim = kit_history_trim},
                      .run = {k, kit_run, kit_cancel, kit_orphans},
                      .clock = {k, kit_now_ms, kit_wall_ms, kit_random},
                      .client = {k, kit_answer, kit_log}};
    struct journal_load nothing;

    memset(k, 0, sizeof *k);
    k->now = 1000;
    kit_load(k, &nothing, NULL);
    k->sh = shell_new(&c, &p, load != NULL ? load : &nothing, err);
    if (k->sh == NULL) {
        return err != NULL ? err->rc : RC_FAILED;
    }
    shell_view(k->sh, 1, 1, true, 1);
    return 0;
}

void kit_start(struct kit *k)
{
    if (kit_start_as(k, 0, NULL, NULL) != 0) {
        abort();
    }
}

void kit_open(struct kit *k)
{
    kit_start(k);
    kit_settle(k);
}

void kit_settle(struct kit *k)
{
    kit_pass(k, 1500);
    kit_end(k, kit_find(k, "inventory"), 0, "libvirt: ok\nend 0\n");
    kit_pass(k, 100);
}

void kit_close(struct kit *k)
{
    for (unsigned i = 0; i < k->runs; i++) {
        event_fini(&k->run[i].param);
    }
    shell_free(k->sh);
    buf_fini(&k->sent);
}

static void deliver(struct kit *k)
{
    struct buf sent = k->sent;
    struct rd r;
    size_t len;
    const uint8_t *p;

    buf_init(&k->sent);
    for (rd_init(&r, sent.data, sent.len); rd_left(&r) > 0 && (p = rd_blob(&r, &len)) != NULL;) {
        shell_message(k->sh, 1, p, len);
    }
    buf_fini(&sent);
}

void kit_pass(struct kit *k, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 50) {
        k->now += 50;
        shell_tick(k->sh);
        deliver(k);
    }
}

struct kit_run *kit_find(struct kit *k, const char *action)
{
    struct kit_run *oldest = NULL;

    for (unsigned i = 0; i < k->runs; i++) {
        struct kit_run *r = &k->run[i];

        if (!r->over && strcmp(r->action, action) == 0 && (oldest == NULL || r->id < oldest->id)) {
            oldest = r;
        }
    }
    return oldest;
}

void kit_end(struct kit *k, struct kit_run *r, int code, const char *output)
{
    struct run_result res = {.started = true, .code = code, .output = output};

    if (r == NULL) {
        return;
    }
    r->over = true;
    snprintf(res.reason, sizeof res.reason, "%s", code ? "it failed" : "");
    shell_run_done(k->sh, r->id, &res);
    kit_pass(k, 100);
}

int kit_command(struct kit *k, enum event_kind kind, const char *subject, const char *text, ...)
{
    struct event e;
    const char *key;
    va_list ap;

    event_init(&e, kind);
    snprintf(e.subject, sizeof e.subject, "%s", subject);
    if (text != NULL) {
        event_set_text(&e, text);
    }
    va_start(ap, text);
    while ((key = va_arg(ap, const char *)) != NULL) {
        event_put(&e, key, va_arg(ap, const char *));
    }
    va_end(ap);
    k->answer_rc = 1;
    memset(&k->answer_err, 0, sizeof k->answer_err);
    shell_command(k->sh, 1, &e);
    kit_pass(k, 100);
    return k->answer_rc;
}
