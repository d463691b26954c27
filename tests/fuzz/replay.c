/*
 * replay.c - runs a fuzzer's entry over files, folders of files and, with -n N, over N mutations of each,
 * from a fixed seed. So every fuzzer is a test as well, with any compiler.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1 << 20)

static unsigned long mutations, inputs;
static uint64_t seed = 88172645463325252ULL;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13; /* xorshift64 */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* A few changes at random places: a bit, a byte, a piece copied over another, a cut. */
static size_t mutate(uint8_t *data, size_t len)
{
    for (uint64_t n = 1 + draw(4); n > 0 && len > 1; n--) {
        size_t at = draw(len), other = draw(len), span = draw(len < 64 ? len : 64);

        switch (draw(4)) {
        case 0:
            data[at] ^= (uint8_t)(1u << draw(8));
            break;
        case 1:
            data[at] = (uint8_t)draw(256);
            break;
        case 2:
            if (at + span <= len && other + span <= len) {
                memmove(data + at, data + other, span);
            }
            break;
        default:
            if (draw(8) == 0) {
                len = at + 1;
            }
            break;
        }
    }
    return len;
}

/* The entry gets a copy of exactly the input's size, so that a sanitizer sees a read behind it. */
static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    inputs++;
}

static int replay_file(const char *path)
{
    static uint8_t data[INPUT_MAX], changed[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    size_t len;

    if (f == NULL) {
        perror(path);
        return 1;
    }
    len = fread(data, 1, sizeof data, f);
    (void)fclose(f);
    run(data, len);
    for (unsigned long i = 0; i < mutations; i++) {
        memcpy(changed, data, len);
        run(changed, mutate(changed, len));
    }
    return 0;
}

static int replay(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    int failed = 0;

    if (dir == NULL) {
        return replay_file(path);
    }
    while ((e = readdir(dir)) != NULL) {
        char file[4096];

        if (e->d_name[0] != '.' &&
            (size_t)snprintf(file, sizeof file, "%s/%s", path, e->d_name) < sizeof file) {
            failed |= replay_file(file);
        }
    }
    (void)closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            mutations = strtoul(argv[++i], NULL, 10);
        } else {
            failed |= replay(argv[i]);
        }
    }
    printf("%lu inputs\n", inputs);
    return failed || inputs == 0;
}
