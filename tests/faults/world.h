/*
 * world.h - a small cluster in one process and in no time: three hosts with the production shell, journal,
 * core, commands and SQLite stores; made up are the clock, the network (in order, no loss), libvirt and the
 * agents. A short life is played from a script; a daemon that stops is started again, as systemd would do.
 */
#ifndef TESTS_FAULTS_WORLD_H
#define TESTS_FAULTS_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "adapters/command.h"
#include "adapters/store.h"
#include "shell.h"

#define HOSTS 3

struct host {
    uint32_t id;
    char dir[128], boot[40];
    struct store *store; /* NULL: no daemon */
    struct store_port port;
    struct shell *sh; /* NULL: no daemon */
    struct command_ctx ctx;
    uint64_t start_ms, flush_ms; /* when it starts, when the trail is due; UINT64_MAX: not */
    uint64_t session, off_ms;    /* off_ms: since when it has no power */
    unsigned boots, starts;
    bool powered;
};

extern struct host hosts[HOSTS + 1]; /* by id */
extern uint64_t world_now;           /* ms */
extern bool world_verbose;

/* An empty cluster in the folder, all hosts on, their daemons about to start. */
void world_begin(const char *dir);
/* Ends it; the folder is removed. */
void world_end(void);
/* Lets ms pass; everything due within them happens. */
void world_pass(unsigned ms);
/* The daemon goes as kill -9 takes it; start_ms later (UINT64_MAX: never) it comes again. */
void host_kill(struct host *h, uint64_t start_ms);
void host_power(struct host *h, bool on);
/* The state at a host whose term is open and that has seen most; NULL: none. */
const struct state *world_state(void);
/* Votes that are here, as the coordinator counts them. */
unsigned world_votes(void);
/* Gives a request (JSON) to host id. Its answer: world_answer. */
void world_ask(uint32_t id, const char *request);
#define WORLD_WAITS 1 /* no answer yet */
extern int world_answer;
/* What has gone wrong so far (an invariant that broke), or NULL. */
const char *world_wrong(void);
void world_blame(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How many folders with a store that was set aside there are at a host. */
unsigned host_asides(const struct host *h);
/* The node where a VM's QEMU is; 0: none. */
uint32_t world_guest(const char *name);

#endif
