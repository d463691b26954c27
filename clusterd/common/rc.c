#include "common/rc.h"

#include <string.h>

static const struct {
    int rc;
    const char *key;
    int status;
} codes[] = {
#define X(name, value, key, status) {name, key, status},
    RC_LIST(X)
#undef X
};

const char *rc_key(int rc)
{
    for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].rc == rc) {
            return codes[i].key;
        }
    }
    return "unknown";
}

int rc_exit_status(int rc)
{
    for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i].rc == rc) {
            return codes[i].status;
        }
    }
    return 1;
}

int rc_from_key(const char *key)
{
    for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(codes[i].key, key) == 0) {
            return codes[i].rc;
        }
    }
    return RC_FAILED;
}
