/* What a run of seeds has exercised: the rows of the transition tables, by what the audit trail says. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static const struct cover_rule {
    const char *key; /* a last * stands for anything */
    bool rare;       /* 1,000 seeds need not reach it */
} rules[] = {
#include "sim_rules.inc"
};
#define OTHER_SEEDS 10
#define RULES       (sizeof rules / sizeof rules[0])
_Static_assert(RULES <= COVER_RULES, "more rules than a record holds");

/* Appends text without what differs from case to case: names in quotes become _, numbers #. */
static void plain(char *out, size_t size, const char *text, const char *end)
{
    size_t n = strlen(out);

    for (const char *p = text; *p != '\0' && p != end && n + 1 < size; p++) {
        if (*p == '\'' && strchr(p + 1, '\'') != NULL) {
            p = strchr(p + 1, '\'');
            out[n++] = '_';
        } else if (!isdigit((unsigned char)*p)) {
            out[n++] = *p;
        } else if (n == 0 || out[n - 1] != '#') {
            out[n++] = '#';
        }
    }
    out[n] = '\0';
}

static void note_other(struct cover *c, const char *key)
{
    unsigned i = 0;

    while (i < c->others && strcmp(c->other[i], key) != 0) {
        i++;
    }
    if (i == COVER_OTHERS) {
        return;
    }
    if (i == c->others) {
        snprintf(c->other[c->others++], COVER_KEY, "%s", key);
    }
    c->seeds[i]++;
}

static void note(const char *key)
{
    struct cover *c = &sim.cover;

    for (size_t i = 0; i < RULES; i++) {
        size_t len = strlen(rules[i].key);

        if (rules[i].key[len - 1] == '*' ? strncmp(key, rules[i].key, len - 1) == 0
                                         : strcmp(key, rules[i].key) == 0) {
            c->reached[i]++;
            return;
        }
    }
    note_other(c, key);
}

void cover_row(const struct history_row *row)
{
    static const char marker[] = " - rejected: ";
    const char *rejected = strstr(row->text, marker);
    char key[COVER_KEY];

    for (int k = EV_OPEN; k < EV_COUNT; k++) {
        if (strcmp(event_key((enum event_kind)k), row->kind) == 0) {
            *(rejected == NULL ? &sim.applied[k] : &sim.rejected[k]) += 1;
        }
    }
    snprintf(key, sizeof key, "%s", row->kind);
    if (rejected != NULL) {
        effect_rejected(row->index);
        snprintf(key, sizeof key, "%s rejected: ", row->kind);
        plain(key, sizeof key, rejected + strlen(marker), NULL);
    } else if (strcmp(row->kind, "job-result") == 0 || strcmp(row->kind, "deadline") == 0) {
        snprintf(key, sizeof key, "%s: ", row->kind);
        plain(key, sizeof key, row->text, strchr(row->text, ':'));
    } else if (row->why[0] != '\0') {
        size_t word = strcspn(row->text, " ");

        snprintf(key, sizeof key, "%s %.*s: ", row->kind, (int)word, row->text);
        plain(key, sizeof key, row->why, NULL);
    } else {
        return;
    }
    note(key);
}

void cover_add(struct cover *sum, const struct cover *c)
{
    for (size_t i = 0; i < RULES; i++) {
        sum->reached[i] += c->reached[i];
    }
    for (unsigned i = 0; i < c->others; i++) {
        note_other(sum, c->other[i]);
    }
}

/* Prints what was reached how often. Returns how many that have to be reached were not; what the table does
 * not know counts too, unless it is a rarity. */
unsigned cover_print(const struct cover *c)
{
    unsigned missing = 0;

    for (size_t i = 0; i < RULES; i++) {
        printf("%10llu  %s\n", (unsigned long long)c->reached[i], rules[i].key);
        missing += c->reached[i] == 0 && !rules[i].rare;
    }
    for (size_t i = 0; i < RULES; i++) {
        if (c->reached[i] == 0 && !rules[i].rare) {
            printf("never reached: %s\n", rules[i].key);
        }
    }
    for (unsigned i = 0; i < c->others; i++) {
        printf("not in sim_rules.inc, in %u seeds: %s\n", c->seeds[i], c->other[i]);
        missing += c->seeds[i] >= OTHER_SEEDS;
    }
    return missing;
}
