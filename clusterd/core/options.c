#include "core/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/rc.h"
#include "core/event.h"

static const struct option_row option_table[] = {
#define X(field, dflt, min, max, level, help)                                                                \
    {#field, NULL, help, dflt, min, max, level, offsetof(struct options, field)},
    OPTION_NUMBERS(X)
#undef X
#define X(field, dflt, choices, level, help)                                                                 \
    {#field, choices, help, dflt, 0, 0, level, offsetof(struct options, field)},
        OPTION_WORDS(X)
#undef X
};

static const struct option_row vm_table[] = {
#define X(field, dflt, min, max, level, help)                                                                \
    {#field, NULL, help, dflt, min, max, level, offsetof(struct vm_settings, field)},
    VM_NUMBERS(X)
#undef X
#define X(field, dflt, choices, level, help)                                                                 \
    {#field, choices, help, dflt, 0, 0, level, offsetof(struct vm_settings, field)},
        VM_WORDS(X)
#undef X
};

#define ROWS(t) (unsigned)(sizeof(t) / sizeof(t)[0])

const struct option_row *option_rows(unsigned *n)
{
    *n = ROWS(option_table);
    return option_table;
}

const struct option_row *vm_setting_rows(unsigned *n)
{
    *n = ROWS(vm_table);
    return vm_table;
}

static uint32_t *field_of(const struct option_row *row, void *base)
{
    return (uint32_t *)(void *)((char *)base + row->offset);
}

static void rows_init(const struct option_row *rows, unsigned n, void *base)
{
    for (unsigned i = 0; i < n; i++) {
        *field_of(&rows[i], base) = rows[i].dflt;
    }
}

void options_init(struct options *o)
{
    rows_init(option_table, ROWS(option_table), o);
}

void vm_settings_init(struct vm_settings *s)
{
    rows_init(vm_table, ROWS(vm_table), s);
}

/* The choice's number in "a|b|c", or -1. */
static int choice_find(const char *choices, const char *word)
{
    size_t len = strlen(word);
    int i = 0;

    for (const char *c = choices;; i++) {
        const char *end = strchr(c, '|');
        size_t n = end ? (size_t)(end - c) : strlen(c);

        if (n == len && memcmp(c, word, n) == 0) {
            return i;
        }
        if (end == NULL) {
            return -1;
        }
        c = end + 1;
    }
}

static int number_parse(const char *text, uint32_t *out)
{
    uint64_t v = 0;

    if (*text == '\0') {
        return -1;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return -1;
        }
        v = v * 10 + (uint64_t)(*text - '0');
        if (v > UINT32_MAX) {
            return -1;
        }
    }
    *out = (uint32_t)v;
    return 0;
}

static int row_set(const struct option_row *row, void *base, const char *value, struct err *err)
{
    uint32_t v = 0;

    if (row->choices != NULL) {
        int c = choice_find(row->choices, value);

        if (c < 0) {
            return err_set(err, RC_USAGE, "'%s' is no value of %s: it is one of %s", value, row->key,
                           row->choices);
        }
        v = (uint32_t)c;
    } else if (number_parse(value, &v) != 0 || v < row->min || v > row->max) {
        return err_set(err, RC_USAGE, "'%s' is no value of %s: it is a whole number from %u to %u", value,
                       row->key, row->min, row->max);
    }
    *field_of(row, base) = v;
    return 0;
}

static int rows_set(const struct option_row *rows, unsigned n, void *base, unsigned level, const char *what,
                    const char *hint, const char *key, const char *value, struct err *err)
{
    char known[256] = "";
    size_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        if (strcmp(rows[i].key, key) == 0 && rows[i].level > level) {
            return refuse_level(err, key, rows[i].level, level);
        }
        if (strcmp(rows[i].key, key) == 0) {
            return row_set(&rows[i], base, value, err);
        }
    }
    for (unsigned i = 0; i < n && len < sizeof known; i++) {
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", rows[i].key);
    }
    (void)err_set(err, RC_USAGE, "'%s' is no %s", key, what);
    err_hint(err, "%s%s", hint != NULL ? hint : "the known ones: ", hint != NULL ? "" : known);
    return RC_USAGE;
}

int options_set(struct options *o, unsigned level, const char *key, const char *value, struct err *err)
{
    return rows_set(option_table, ROWS(option_table), o, level, "option of the cluster",
                    "clusterctl option list shows them", key, value, err);
}

int vm_settings_set(struct vm_settings *s, unsigned level, const char *key, const char *value,
                    struct err *err)
{
    return rows_set(vm_table, ROWS(vm_table), s, level, "setting of a VM", NULL, key, value, err);
}

void option_text(const struct option_row *row, const void *base, char *out, size_t size)
{
    uint32_t v;
    const char *c = row->choices;

    memcpy(&v, (const char *)base + row->offset, sizeof v);
    if (c == NULL) {
        (void)snprintf(out, size, "%u", v);
        return;
    }
    for (; v > 0 && strchr(c, '|') != NULL; v--) {
        c = strchr(c, '|') + 1;
    }
    (void)snprintf(out, size, "%.*s", (int)strcspn(c, "|"), c);
}
