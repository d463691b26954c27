/*
 * wait.h - commands that begin operations: sending them, and watching the operations to their end.
 */
#ifndef CLI_WAIT_H
#define CLI_WAIT_H

#include "cli.h"

/* What one command line began, for one or several objects. */
struct batch {
    struct cli *c;
    const char *verb;           /* "migrate VM", for messages: "cannot migrate VM 'web1': …" */
    struct json_object *ops;    /* owned; the operations, at their end once waited for */
    struct json_object *errors; /* owned; of those that could not be begun, or failed */
    struct json_object *names;  /* owned; the object that each operation is about */
    int rc;                     /* the first failure */
};

void batch_init(struct batch *b, struct cli *c, const char *verb);
void batch_fini(struct batch *b);
/* Sends one command about the object `name` (args are taken over). A failure is printed and kept; the others
 * may go on. The answer's other members are dropped. */
int batch_send(struct batch *b, const char *command, const char *name, struct json_object *args);
/* Watches what runs already. */
void batch_add(struct batch *b, const char *name, struct json_object *op);
/* Waits for all (unless --no-wait), and prints the end: text as it goes, JSON or XML at last: {"operation":
 * …}, or {"operations": […], "errors": […]} when `several`. extra (taken over, may be NULL): more members.
 * Returns the first failure's code. */
int batch_finish(struct batch *b, bool several, struct json_object *extra);

#endif
