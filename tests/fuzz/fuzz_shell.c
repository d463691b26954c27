/*
 * fuzz_shell.c - the first byte chooses: the output of the agents' `inventory`, or messages of the group,
 * given to a shell that is the coordinator of a cluster of one.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "clusterd/shell_internal.h"

/* ------------------------------------------------------------------------- a world in which all is well */

struct loopback { /* messages come back to their sender */
    struct buf sent;
    uint64_t now;
};

static int loop_send(void *ctx, const void *data, size_t len)
{
    struct loopback *l = ctx;

    buf_blob(&l->sent, data, len);
    return 0;
}

static int persist(void *ctx, const struct journal *j, const struct journal_persist *p, bool *failed,
                   struct err *err)
{
    (void)ctx, (void)j, (void)p, (void)failed, (void)err;
    return 0;
}

static int snapshot(void *ctx, const struct journal_snapshot *s, const uint8_t *blob, bool *failed,
                    struct err *err)
{
    (void)ctx, (void)s, (void)blob, (void)failed, (void)err;
    return 0;
}

static int snapshot_read(void *ctx, uint64_t index, uint64_t offset, void *out, size_t len)
{
    (void)ctx, (void)index, (void)offset, (void)out, (void)len;
    return RC_NOT_FOUND;
}

static int load(void *ctx, struct journal_load *out, struct err *err)
{
    (void)ctx, (void)err;
    memset(out, 0, sizeof *out);
    out->fresh.incarnation = 11;
    out->fresh.cluster.lo = 12;
    return 0;
}

static int set_aside(void *ctx, const char *why, struct err *err)
{
    (void)ctx, (void)why, (void)err;
    return 0;
}

static int history_add(void *ctx, const struct history_row *row)
{
    (void)ctx, (void)row;
    return 0;
}

static int history_trim(void *ctx, uint32_t days, uint32_t mib, int64_t now)
{
    (void)ctx, (void)days, (void)mib, (void)now;
    return 0;
}

static int run(void *ctx, const struct run_spec *spec)
{
    (void)ctx, (void)spec;
    return 0;
}

static void cancel(void *ctx, uint64_t id)
{
    (void)ctx, (void)id;
}

static bool orphans(void *ctx)
{
    (void)ctx;
    return false;
}

static uint64_t now_ms(void *ctx)
{
    return ((struct loopback *)ctx)->now;
}

static int64_t wall_ms(void *ctx)
{
    return (int64_t)((struct loopback *)ctx)->now;
}

static uint64_t random64(void *ctx)
{
    (void)ctx;
    return 4; /* chosen by fair dice roll; xkcd 221 */
}

static void answer(void *ctx, uint64_t request, int rc, const struct err *err, uint64_t op)
{
    (void)ctx, (void)request, (void)rc, (void)err, (void)op;
}

static void log_line(void *ctx, enum log_level level, const char *text)
{
    (void)ctx, (void)level, (void)text;
}

static void loop_back(struct loopback *l, struct shell *sh)
{
    struct buf sent = l->sent;
    struct rd r;
    size_t len;
    const uint8_t *p;

    buf_init(&l->sent);
    for (rd_init(&r, sent.data, sent.len); rd_left(&r) > 0 && (p = rd_blob(&r, &len)) != NULL;) {
        shell_message(sh, 1, p, len);
    }
    buf_fini(&sent);
}

static void pass(struct loopback *l, struct shell *sh, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 50) {
        l->now += 50;
        shell_tick(sh);
        loop_back(l, sh);
    }
}

static void messages(const uint8_t *data, size_t size)
{
    struct loopback l = {BUF_INIT, 1000};
    struct shell_config c = {.self = 1,
                             .name = "node1",
                             .cluster = "c",
                             .boot = "b",
                             .session = 7,
                             .cpus = 1,
                             .hypervisor = "",
                             .migration_uri = "",
                             .volume_dir = "",
                             .agent_lock_dir = ""};
    struct ports p = {
        {&l, loop_send},
        {&l, persist, snapshot, snapshot_read, load, set_aside, history_add, history_trim, NULL},
        {&l, run, cancel, orphans},
        {&l, now_ms, wall_ms, random64},
        {&l, answer, log_line}};
    struct journal_load stored;
    struct shell *sh;
    const char *wrong;
    struct rd r;

    c.configured[0] = c.configureds = 1;
    load(NULL, &stored, NULL);
    sh = shell_new(&c, &p, &stored, NULL);
    if (sh == NULL) {
        abort();
    }
    shell_view(sh, 1, 1, true, 1);
    pass(&l, sh, 2000);
    rd_init(&r, data, size);
    while (rd_left(&r) > 3) {
        uint8_t from = rd_u8(&r);
        size_t len = rd_u16(&r), n = len < rd_left(&r) ? len : rd_left(&r);

        shell_message(sh, from % 70, r.p, n);
        r.p += n;
        loop_back(&l, sh);
    }
    pass(&l, sh, 500);
    wrong = core_check(sh->st);
    /* Two nodes may claim to run one VM: what they say is not the shell's fault. */
    if (sh->failed || (wrong != NULL && strstr(wrong, "was seen running on two") == NULL)) {
        abort();
    }
    shell_free(sh);
    buf_fini(&l.sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inventory inv;
    char *text;

    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 1) {
        messages(data + 1, size - 1);
        return 0;
    }
    text = malloc(size);
    if (text != NULL) {
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        if (shell_inventory_parse(text, &inv, NULL) == 0) {
            shell_inventory_fini(&inv);
        }
    }
    free(text);
    return 0;
}
