#include "common/mutant.h"

#ifdef ENABLE_MUTANTS
#include <stdlib.h>
#include <string.h>

/* The linker sets these at the ends of the section; weak, because a program may have no mutant. */
extern const char *const mutants_begin[] __asm__("__start_mutants") __attribute__((weak));
extern const char *const mutants_end[] __asm__("__stop_mutants") __attribute__((weak));

bool mutant_is_on(const char *name)
{
    static const char *wanted;

    if (wanted == NULL) {
        wanted = getenv("MUTANT");
        wanted = wanted ? wanted : "";
    }
    return strcmp(wanted, name) == 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void mutant_list(void (*cb)(const char *name))
{
    size_t n = (size_t)(mutants_end - mutants_begin);
    const char **names = calloc(n + 1, sizeof *names);

    for (size_t i = 0; names != NULL && i < n; i++) {
        names[i] = mutants_begin[i];
    }
    if (names != NULL) {
        qsort(names, n, sizeof *names, compare);
    }
    for (size_t i = 0; names != NULL && i < n; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0) {
            cb(names[i]);
        }
    }
    free(names);
}
#else
/* ISO C wants a translation unit to declare something. */
extern int mutants_are_off;
#endif
