/*
 * read_file.h - a bounded look into a file.
 */
#ifndef CLI_READ_FILE_H
#define CLI_READ_FILE_H

#include "cli.h"

/* The bytes of a file ('-': standard input), with a NUL behind them (owned by the caller); NULL with the
 * error printed: it cannot be read, or has more than max bytes (then it is not read). what: "a domain XML".
 */
char *read_file(struct cli *c, const char *path, size_t max, const char *what, size_t *len);

#endif
