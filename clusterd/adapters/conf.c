#include "adapters/conf.h"

#include "common/rc.h"
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <syslog.h>

#define CONF_LINES_MAX 10000

enum conf_kind { CONF_TEXT, CONF_PATH, CONF_LEVEL, CONF_NUMBER };

/* One table: parsing, defaults and help are made from it. */
static const struct conf_row {
    const char *key;
    enum conf_kind kind;
    size_t offset;
    uint32_t min, max;
    const char *dflt, *help;
} conf_rows[] = {
#define WORD(field, kind, dflt, help)                                                                        \
    {                                                                                                        \
#field, kind, offsetof(struct conf, field), 0, 0, dflt, help                                         \
    }
#define NUMBER(field, min, max, help)                                                                        \
    {                                                                                                        \
#field, CONF_NUMBER, offsetof(struct conf, field), min, max, "0", help                               \
    }
    WORD(state_dir, CONF_PATH, CLUSTERD_STATE_DIR, "the journal and the shared volumes' mount points"),
    WORD(run_dir, CONF_PATH, CLUSTERD_RUN_DIR, "locks and files of the running daemon"),
    WORD(log_level, CONF_LEVEL, "info", "error, warning, notice, info or debug"),
    WORD(log_file, CONF_TEXT, "", "a file instead of the system's log"),
    WORD(hypervisor, CONF_TEXT, "qemu:///system", "libvirt URI of this host"),
    WORD(migration_uri, CONF_TEXT, "qemu+ssh://%s/system",
         "libvirt URI of a migration's target; %s is its node name"),
    WORD(libvirt_run_dir, CONF_PATH, "/run/libvirt/qemu",
         "where libvirt notes what runs; watched for changes"),
    WORD(corosync_conf, CONF_PATH, "/etc/corosync/corosync.conf",
         "corosync's configuration, whose nodelist is kept in step with the members"),
    WORD(agent_dir, CONF_PATH, CLUSTERD_AGENT_DIR, "clusterd's OCF agents"),
    WORD(fence_dir, CONF_PATH, "/usr/sbin", "fence agents"),
    NUMBER(memory_mib, 64, UINT32_MAX,
           "memory that VMs may use (default: the host's less 2 GiB or an eighth)"),
    NUMBER(election_ms, 100, 60000, "a silent coordinator is replaced after this (0: the journal's default)"),
    NUMBER(heartbeat_ms, 10, 10000, "a coordinator is heard at least this often (0: the journal's default)"),
    NUMBER(commit_ms, 500, 600000, "a coordinator that commits nothing for this long resigns (0: default)"),
    NUMBER(crash_limit, 1, 1000, "after so many crashes within crash_window_ms it only observes (0: 5)"),
    NUMBER(crash_window_ms, 1000, 86400000, "that time (0: 300000)"),
#undef WORD
#undef NUMBER
};
#define CONF_ROWS (sizeof conf_rows / sizeof conf_rows[0])

static const struct {
    const char *key;
    int priority;
} conf_levels[] = {{"error", LOG_ERR},
                   {"warning", LOG_WARNING},
                   {"notice", LOG_NOTICE},
                   {"info", LOG_INFO},
                   {"debug", LOG_DEBUG}};

static int level_priority(const char *key)
{
    for (size_t i = 0; i < sizeof conf_levels / sizeof conf_levels[0]; i++) {
        if (strcmp(conf_levels[i].key, key) == 0) {
            return conf_levels[i].priority;
        }
    }
    return -1;
}

int conf_log_priority(const struct conf *c)
{
    return level_priority(c->log_level);
}

void conf_help(FILE *out)
{
    for (size_t i = 0; i < CONF_ROWS; i++) {
        const struct conf_row *row = &conf_rows[i];

        (void)fprintf(out, "  %-16s %s", row->key, row->help);
        if (row->kind != CONF_NUMBER && row->dflt[0]) {
            (void)fprintf(out, " (%s)", row->dflt);
        }
        (void)fputc('\n', out);
    }
}

static void known_keys(char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < CONF_ROWS && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i ? ", " : "", conf_rows[i].key);

        used += n > 0 ? (size_t)n : 0;
    }
}

static int set_word(struct conf *c, const struct conf_row *row, const char *value, struct err *err)
{
    if (strlen(value) >= CONF_TEXT_SIZE) {
        return err_set(err, RC_BAD_INPUT, "the value of '%s' is longer than %d bytes", row->key,
                       CONF_TEXT_SIZE - 1);
    }
    if (row->kind == CONF_PATH && value[0] != '/') {
        return err_set(err, RC_BAD_INPUT, "'%s' is not a value of '%s': an absolute path", value, row->key);
    }
    if (row->kind == CONF_LEVEL && level_priority(value) < 0) {
        return err_set(err, RC_BAD_INPUT,
                       "'%s' is not a value of '%s': error, warning, notice, info or debug", value, row->key);
    }
    (void)snprintf((char *)c + row->offset, CONF_TEXT_SIZE, "%s", value);
    return 0;
}

static int set_number(struct conf *c, const struct conf_row *row, const char *value, struct err *err)
{
    unsigned long long n;
    uint32_t number;
    char *end = NULL;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end || errno || (n && n < row->min) || n > row->max) {
        return err_set(err, RC_BAD_INPUT, "'%s' is not a value of '%s': a whole number from %u to %u", value,
                       row->key, row->min, row->max);
    }
    number = (uint32_t)n;
    memcpy((char *)c + row->offset, &number, sizeof number);
    return 0;
}

static int set_row(struct conf *c, const struct conf_row *row, const char *value, struct err *err)
{
    return row->kind == CONF_NUMBER ? set_number(c, row, value, err) : set_word(c, row, value, err);
}

static int set_key(struct conf *c, const char *key, const char *value, struct err *err)
{
    char known[400];

    for (size_t i = 0; i < CONF_ROWS; i++) {
        if (strcmp(conf_rows[i].key, key) == 0) {
            return set_row(c, &conf_rows[i], value, err);
        }
    }
    known_keys(known, sizeof known);
    return err_set(err, RC_BAD_INPUT, "unknown key '%s'; known are %s", key, known);
}

static char *trim(char *s)
{
    char *end;

    while (isspace((unsigned char)*s)) {
        s++;
    }
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1])) {
        *--end = '\0';
    }
    return s;
}

static int set_line(struct conf *c, char *line, struct err *err)
{
    char *text, *eq;

    line[strcspn(line, "#")] = '\0';
    text = trim(line);
    if (!*text) {
        return 0;
    }
    eq = strchr(text, '=');
    if (!eq) {
        return err_set(err, RC_BAD_INPUT, "'%.100s' is not of the form key = value", text);
    }
    *eq = '\0';
    return set_key(c, trim(text), trim(eq + 1), err);
}

/* What the host has, less 2 GiB or an eighth, whichever is more; at least half of a small host. */
static uint32_t default_memory_mib(void)
{
    struct sysinfo si;
    uint64_t mib, reserve;

    if (sysinfo(&si) < 0) {
        return 1024;
    }
    mib = (uint64_t)si.totalram * si.mem_unit >> 20;
    reserve = mib / 8 > 2048 ? mib / 8 : 2048;
    mib = reserve < mib / 2 ? mib - reserve : mib / 2;
    return mib > UINT32_MAX ? UINT32_MAX : (uint32_t)(mib ? mib : 1);
}

static int read_lines(struct conf *c, FILE *f, const char *path, struct err *err)
{
    char line[1024];
    unsigned number = 0;
    int rc = 0;

    while (rc == 0 && fgets(line, sizeof line, f)) {
        number++;
        if (!strchr(line, '\n') && !feof(f)) {
            rc = err_set(err, RC_BAD_INPUT, "the line is longer than %zu bytes", sizeof line - 2);
        } else if (number > CONF_LINES_MAX) {
            rc = err_set(err, RC_BAD_INPUT, "more than %d lines", CONF_LINES_MAX);
        } else {
            rc = set_line(c, line, err);
        }
    }
    if (rc) {
        err_wrap(err, "%s, line %u", path, number);
    } else if (ferror(f)) {
        rc = err_set(err, RC_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    return rc;
}

int conf_load(struct conf *c, const char *path, int missing_ok, struct err *err)
{
    FILE *f;
    int rc = 0;

    *c = (struct conf){0};
    for (size_t i = 0; i < CONF_ROWS; i++) {
        (void)set_row(c, &conf_rows[i], conf_rows[i].dflt, NULL);
    }
    f = fopen(path, "re");
    if (!f && !(errno == ENOENT && missing_ok)) {
        return err_set(err, RC_BAD_INPUT, "cannot read '%s': %s", path, strerror(errno));
    }
    if (f) {
        rc = read_lines(c, f, path, err);
        (void)fclose(f);
    }
    if (rc == 0 && !c->memory_mib) {
        c->memory_mib = default_memory_mib();
    }
    return rc;
}
