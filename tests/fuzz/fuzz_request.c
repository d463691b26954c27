/*
 * Any bytes as a client's request, after another against the same state: each gets an answer or becomes an
 * event that the core takes or refuses, and leaves the state whole (shell_double.c checks that).
 */
#include "tests/fuzz/fuzz.h"

#include "tests/cli/shell_double.h"

#include <assert.h>
#include <string.h>

static void one(const char *data, size_t size)
{
    struct command_ctx ctx = double_ctx();
    struct err err = ERR_INIT;
    struct json_object *request = command_parse(data, size, &err), *answer = NULL, *rc;
    int done;

    if (request == NULL) {
        assert(err.rc != 0 && err.msg[0] != '\0');
        return;
    }
    done = command_handle(&ctx, request, 1, &answer);
    if (done == COMMAND_DEFERRED) {
        assert(answer == NULL && event_who(double_event.kind) == 'C');
        answer = command_answer(&ctx, 1, double_applied.rc, &double_applied.err, double_applied.op);
    }
    assert(json_object_object_get_ex(answer, "rc", &rc));
    (void)json_object_to_json_string(answer);
    json_object_put(answer);
    json_object_put(request);
}

/* Requests are lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;

    double_reset();
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t len = line ? (size_t)(line - at) : (size_t)(end - at);

        one(at, len);
        at += len + 1;
    }
    return 0;
}
