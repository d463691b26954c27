/* Any bytes as clusterd.conf: refused with a line and a reason, or settings within their bounds. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "adapters/conf.h"
#include "tests/fuzz/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct conf c;
    char path[64];
    int fd = fuzz_file(data, size, path);

    if (conf_load(&c, path, 0, &err) == 0) {
        assert(c.state_dir[0] == '/' && c.run_dir[0] == '/' && c.memory_mib > 0);
        assert(memchr(c.hypervisor, 0, sizeof c.hypervisor) != NULL);
        (void)conf_log_priority(&c);
    } else {
        assert(err.rc != 0 && err.msg[0] != '\0');
    }
    (void)close(fd);
    return 0;
}
