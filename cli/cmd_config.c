#include "cli.h"
const struct cli_command cmd_config[] = {{.name = NULL}};
