/*
 * mutant.h - bugs on demand, to prove that the simulator finds them.
 *
 *     if (index > j->commit && !MUTANT(apply_before_commit)) {
 *
 * MUTANT(name) is constant false, unless configured with --enable-mutants: then MUTANT=name in the
 * environment switches the one of that name on. A mutant is this one line in the production source; `sim
 * --list-mutants` names all that were linked, and `make check-mutants` shows that each is found.
 */
#ifndef CLUSTERD_COMMON_MUTANT_H
#define CLUSTERD_COMMON_MUTANT_H

#ifdef ENABLE_MUTANTS
#include <stdbool.h>

/* The section's entries are what mutant_list() walks; several places may bear one name. */
#define MUTANT(name)                                                                                         \
    (__extension__({                                                                                         \
        static const char *const mutant_name __attribute__((section("mutants"), used)) = #name;              \
        mutant_is_on(mutant_name);                                                                           \
    }))

bool mutant_is_on(const char *name);
/* Calls cb for each name that was linked into this program, sorted, each once. */
void mutant_list(void (*cb)(const char *name));
#else
#define MUTANT(name) 0
#endif

#endif
