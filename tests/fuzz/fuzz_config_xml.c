/*
 * Any bytes as the document of `config apply`: refused with a reason, or a model whose own document says the
 * same again.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "cli/config_model.h"
#include "tests/fuzz/fuzz_file.h"

/* What is refused is told to people; a sanitizer and libFuzzer write past stdio. */
static void be_quiet(void)
{
    static FILE *nowhere;

    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "w");
        assert(nowhere != NULL);
        stderr = nowhere;
    }
}

static struct json_object *load(struct cli *c, const void *data, size_t size)
{
    char path[64];
    int fd = fuzz_file(data, size, path);
    struct json_object *model = config_from_file(c, path);

    (void)close(fd);
    return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli c = {.json = false};
    struct json_object *model, *again;
    char *text;

    be_quiet();
    model = load(&c, data, size);
    if (model != NULL) {
        text = config_to_xml(model, "desk");
        assert(text != NULL);
        again = load(&c, text, strlen(text));
        assert(again != NULL);
        for (const char *const *part = (const char *const[]){"options", "volumes", "fences", NULL}; *part;
             part++) {
            struct json_object *a, *b;

            assert(json_object_object_get_ex(model, *part, &a) &&
                   json_object_object_get_ex(again, *part, &b));
            assert(json_object_equal(a, b));
        }
        json_object_put(again);
        free(text);
        json_object_put(model);
    }
    return 0;
}
