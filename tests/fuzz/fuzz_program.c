/*
 * The bytes that an agent or a fence agent prints, in pieces: the first byte of each says which stream and
 * how long it is. Progress, reason and output come within their bounds and as valid UTF-8. The source itself
 * is included: what reads the streams is its own affair.
 */
#include "clusterd/adapters/program.c"

#include <assert.h>

#include "tests/fuzz/fuzz.h"

static void on_line(void *ctx, const char *line)
{
    (void)ctx;
    assert(strlen(line) < TEXT_SIZE && g_utf8_validate(line, -1, NULL));
}

static void on_end(void *ctx, const struct run_result *res, bool gone)
{
    (void)ctx;
    (void)gone;
    assert(strlen(res->output) <= 3 * RUNNER_OUTPUT_MAX && g_utf8_validate(res->output, -1, NULL));
    assert(g_utf8_validate(res->reason, -1, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program p = {.line = on_line, .end = on_end, .output = g_string_new(NULL)};

    p.out = (struct stream){.p = &p, .fd = -1, .take = take_out};
    p.err = (struct stream){.p = &p, .fd = -1, .take = take_err};
    while (size > 1) {
        struct stream *s = data[0] & 1 ? &p.err : &p.out;
        size_t len = (size_t)(data[0] >> 1) * 16;

        data++, size--;
        len = len < size ? len : size;
        feed(s, (const char *)data, len);
        data += len, size -= len;
    }
    end_line(&p.out);
    end_line(&p.err);
    give_result(&p, size ? data[0] << 8 : 0, true);
    give_result(&p, 9, true);
    (void)g_string_free(p.output, TRUE);
    return 0;
}
