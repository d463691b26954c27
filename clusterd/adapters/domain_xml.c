#include "adapters/domain_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include <libxml/tree.h>

#include "adapters/xml_read.h"
#include "common/rc.h"

#define MEMORY_MIB_MAX (UINT64_C(64) << 20) /* 64 TiB; beyond it is a slip of the pen */
#define CPUS_MAX       4096
#define X(text)        ((const xmlChar *)(text))

/* What one parse carries around. */
struct reader {
    struct domain *d;
    const char *volume_dir;
    struct err *err;
    bool rewritten; /* the tree differs from the text */
};

bool name_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= NAME_SIZE || strchr("._-", name[0]) != NULL) {
        return false;
    }
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* ---- small helpers on the tree ---- */

static xmlNode *child(const xmlNode *parent, const char *name)
{
    for (xmlNode *n = parent ? parent->children : NULL; n != NULL; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && n->ns == NULL && xmlStrEqual(n->name, X(name))) {
            return n;
        }
    }
    return NULL;
}

static xmlNode *next_named(const xmlNode *n, const char *name)
{
    for (n = n->next; n != NULL; n = n->next) {
        if (n->type == XML_ELEMENT_NODE && n->ns == NULL && xmlStrEqual(n->name, X(name))) {
            return (xmlNode *)(uintptr_t)n;
        }
    }
    return NULL;
}

/* Copies text without the blanks around it. False when it does not fit. */
static bool take(xmlChar *text, char *out, size_t size)
{
    const char *from = text ? (const char *)text : "";
    size_t len;
    bool fits;

    from += strspn(from, " \t\r\n");
    len = strlen(from);
    while (len > 0 && strchr(" \t\r\n", from[len - 1]) != NULL) {
        len--;
    }
    fits = len < size;
    if (!fits) {
        len = size - 1;
    }
    memcpy(out, from, len);
    out[len] = '\0';
    xmlFree(text);
    return fits;
}

static bool content(const xmlNode *n, char *out, size_t size)
{
    return take(n ? xmlNodeGetContent(n) : NULL, out, size);
}

static bool attribute(const xmlNode *n, const char *name, char *out, size_t size)
{
    return take(n ? xmlGetNoNsProp(n, X(name)) : NULL, out, size);
}

static int refuse(struct reader *r, int rc, const xmlNode *where, const char *msg)
{
    return err_set(r->err, rc, "line %ld of the domain XML: %s", xmlGetLineNo(where), msg);
}

/* ---- memory and processors ---- */

static const struct {
    const char *unit;
    uint64_t bytes;
} units[] = {
    {"", 1024},
    {"b", 1},
    {"bytes", 1},
    {"KB", 1000},
    {"k", 1024},
    {"KiB", 1024},
    {"MB", 1000000},
    {"M", UINT64_C(1) << 20},
    {"MiB", UINT64_C(1) << 20},
    {"GB", 1000000000},
    {"G", UINT64_C(1) << 30},
    {"GiB", UINT64_C(1) << 30},
    {"TB", UINT64_C(1000000000000)},
    {"T", UINT64_C(1) << 40},
    {"TiB", UINT64_C(1) << 40},
};

/* A whole number up to max, or false. */
static bool number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9' || v > (max - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

/* libvirt: <memory> is what the guest has at most, <currentMemory> what it has now (its balloon). */
static int read_memory(struct reader *r, const xmlNode *root)
{
    const xmlNode *n = child(root, "memory");
    char text[32], unit[16];
    uint64_t v, scale = 0;

    if (n == NULL) {
        n = child(root, "currentMemory");
    }
    if (n == NULL) {
        (void)err_set(r->err, RC_BAD_INPUT, "the domain XML says nothing of the VM's memory");
        err_hint(r->err, "add for instance <memory unit='MiB'>1024</memory>");
        return RC_BAD_INPUT;
    }
    (void)attribute(n, "unit", unit, sizeof unit);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(units[i].unit, unit) == 0) {
            scale = units[i].bytes;
        }
    }
    if (scale == 0) {
        (void)refuse(r, RC_BAD_INPUT, n, "an unknown unit of memory");
        err_hint(r->err, "the units are b, KB, KiB, MB, MiB, GB, GiB, TB, TiB");
        return RC_BAD_INPUT;
    }
    if (!content(n, text, sizeof text) || !number(text, (MEMORY_MIB_MAX << 20) / scale, &v) || v == 0) {
        return refuse(r, RC_BAD_INPUT, n, "the memory is no whole number from 1 to 64 TiB");
    }
    r->d->memory_mib = (v * scale + (1 << 20) - 1) >> 20;
    return 0;
}

static int read_cpus(struct reader *r, const xmlNode *root)
{
    const xmlNode *n = child(root, "vcpu");
    char text[32];
    uint64_t v = 1;

    if (n != NULL && (!content(n, text, sizeof text) || !number(text, CPUS_MAX, &v) || v == 0)) {
        return refuse(r, RC_BAD_INPUT, n, "<vcpu> is no whole number from 1 to 4096");
    }
    r->d->cpus = (uint32_t)v;
    (void)content(child(child(root, "cpu"), "model"), r->d->cpu_model, sizeof r->d->cpu_model);
    xml_printable(r->d->cpu_model);
    return 0;
}

/* ---- name and uuid ---- */

/* Puts text into the element `name` of the root; where there is none it is made, behind the VM's name. */
static int put_element(struct reader *r, xmlNode *root, const char *name, const char *text)
{
    xmlNode *n = child(root, name), *before = child(root, "name");

    r->rewritten = true;
    if (n != NULL) {
        xmlNodeSetContent(n, X(text));
        return 0;
    }
    n = xmlNewDocNode(root->doc, NULL, X(name), X(text));
    if (n == NULL) {
        return err_set(r->err, RC_NO_MEMORY, "out of memory");
    }
    if (before != NULL) {
        (void)xmlAddNextSibling(before, n);
    } else if (root->children != NULL) {
        (void)xmlAddPrevSibling(root->children, n);
    } else {
        (void)xmlAddChild(root, n);
    }
    return 0;
}

static int read_name(struct reader *r, xmlNode *root, const char *name)
{
    const xmlNode *n = child(root, "name");
    char text[NAME_SIZE];
    bool fits = content(n, text, sizeof text);

    if (name == NULL && text[0] == '\0') {
        (void)err_set(r->err, RC_BAD_INPUT, "the domain XML has no <name>");
        err_hint(r->err, "add <name>…</name>, or give the name with --name");
        return RC_BAD_INPUT;
    }
    if (name != NULL ? !name_valid(name) : (!fits || !name_valid(text))) {
        (void)err_set(r->err, RC_BAD_INPUT, "the VM's name is none that the cluster can use");
        err_hint(r->err,
                 "a name has 1 to 63 letters, digits, '.', '_', '-' and begins with a letter or digit; "
                 "--name gives the VM another one than the file");
        return RC_BAD_INPUT;
    }
    memcpy(r->d->name, name != NULL ? name : text, strlen(name != NULL ? name : text) + 1);
    return strcmp(text, r->d->name) == 0 ? 0 : put_element(r, root, "name", r->d->name);
}

/* As libvirt reads them: 32 hexadecimal digits, with dashes anywhere. */
static bool uuid_canonical(const char *text, char out[40])
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        char c = *text;

        if (c == '-' || c == ' ') {
            continue;
        }
        if (c >= 'A' && c <= 'F') {
            c = (char)(c - 'A' + 'a');
        }
        if (strchr("0123456789abcdef", c) == NULL || n >= 36) {
            return false;
        }
        if (n == 8 || n == 13 || n == 18 || n == 23) {
            out[n++] = '-';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return n == 36;
}

static int uuid_random(struct reader *r, char out[40])
{
    unsigned char b[16];
    char hex[33];

    if (getrandom(b, sizeof b, 0) != sizeof b) {
        return err_set(r->err, RC_IO, "no random numbers for a uuid");
    }
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122: version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", b[i]);
    }
    (void)uuid_canonical(hex, out);
    return 0;
}

static int read_uuid(struct reader *r, xmlNode *root)
{
    const xmlNode *n = child(root, "uuid");
    char text[64];
    int rc;

    if (!content(n, text, sizeof text) || (text[0] != '\0' && !uuid_canonical(text, r->d->uuid))) {
        (void)refuse(r, RC_BAD_INPUT, n, "<uuid> is no UUID");
        err_hint(r->err, "write 32 hexadecimal digits, or leave the element out: then the VM gets a new one");
        return RC_BAD_INPUT;
    }
    if (text[0] != '\0') {
        return 0;
    }
    rc = uuid_random(r, r->d->uuid);
    return rc != 0 ? rc : put_element(r, root, "uuid", r->d->uuid);
}

/* ---- disks ---- */

/* The volume's name when path is a clean path below volume_dir/NAME/, else false. */
static bool volume_of(const char *path, const char *volume_dir, char name[NAME_SIZE])
{
    size_t dir = strlen(volume_dir), len;

    if (strncmp(path, volume_dir, dir) != 0 || path[dir] != '/') {
        return false;
    }
    path += dir + 1;
    len = strcspn(path, "/");
    if (len == 0 || len >= NAME_SIZE || path[len] == '\0') {
        return false;
    }
    memcpy(name, path, len);
    name[len] = '\0';
    while (path[len] != '\0') { /* at a slash */
        const char *part = path + len + 1;
        size_t n = strcspn(part, "/");

        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        len += 1 + n;
    }
    return name_valid(name);
}

static int add_path(struct reader *r, const xmlNode *where, const char *what, char *path, bool fits,
                    bool writable)
{
    struct domain_disk *disk;
    char volume[NAME_SIZE];

    if (!fits) {
        return refuse(r, RC_REFUSED, where, "the disk's path is longer than 255 bytes");
    }
    if (!volume_of(path, r->volume_dir, volume)) {
        xml_printable(path);
        (void)err_set(r->err, RC_REFUSED, "line %ld of the domain XML: %s '%s' is on no shared volume",
                      xmlGetLineNo(where), what, path);
        err_hint(r->err,
                 "other nodes could not reach it: put it below %s/VOLUME/ (see `clusterctl volume list`)",
                 r->volume_dir);
        return RC_REFUSED;
    }
    if (r->d->disks >= DISKS_MAX) {
        return refuse(r, RC_REFUSED, where, "more than 64 disks");
    }
    disk = &r->d->disk[r->d->disks++];
    memcpy(disk->path, path, strlen(path) + 1);
    disk->writable = writable;
    for (char *c = disk->path; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return refuse(r, RC_REFUSED, where, "a disk's path with control characters");
        }
    }
    return 0;
}

/* The images below a disk's own (its backing chain, where the XML spells it out). */
static int read_backing(struct reader *r, const xmlNode *disk)
{
    int rc = 0;

    for (const xmlNode *n = child(disk, "backingStore"); n != NULL && rc == 0; n = child(n, "backingStore")) {
        const xmlNode *source = child(n, "source");
        char path[PATH_SIZE];
        bool fits = attribute(source, "file", path, sizeof path);

        if (path[0] == '\0' && fits) {
            fits = attribute(source, "dev", path, sizeof path);
        }
        if (path[0] != '\0') {
            rc = add_path(r, n, "the backing image", path, fits, false);
        } else if (source != NULL) {
            rc = refuse(r, RC_REFUSED, n, "a backing image that is no file");
        }
    }
    return rc;
}

/* C4: a VM has ended when its writes are on the volume. In the page cache of a host that dies they are not,
 * and with a file shared by two hosts that cache is stale after a migration. */
static int check_cache(struct reader *r, const xmlNode *disk, const char *path)
{
    char cache[32];

    (void)attribute(child(disk, "driver"), "cache", cache, sizeof cache);
    if (child(disk, "shareable") != NULL) {
        (void)err_set(r->err, RC_REFUSED, "line %ld of the domain XML: disk '%s' is <shareable/>",
                      xmlGetLineNo(disk), path);
        err_hint(r->err, "that turns QEMU's image lock off, which keeps two VMs from writing to one image: "
                         "remove the element");
        return RC_REFUSED;
    }
    if (strcmp(cache, "none") == 0 || strcmp(cache, "directsync") == 0) {
        return 0;
    }
    xml_printable(cache);
    (void)err_set(r->err, RC_REFUSED, "line %ld of the domain XML: disk '%s' has cache mode '%s'",
                  xmlGetLineNo(disk), path, cache[0] != '\0' ? cache : "default");
    err_hint(r->err,
             "its writes would be lost with the host: give it <driver name='qemu' type='…' cache='none'/> "
             "(or 'directsync')");
    return RC_REFUSED;
}

static int read_disk(struct reader *r, const xmlNode *disk)
{
    const xmlNode *source = child(disk, "source");
    char type[16], device[16], path[PATH_SIZE];
    bool removable, writable, fits;
    int rc;

    (void)attribute(disk, "type", type, sizeof type);
    (void)attribute(disk, "device", device, sizeof device);
    removable = strcmp(device, "cdrom") == 0 || strcmp(device, "floppy") == 0;
    writable = child(disk, "readonly") == NULL && strcmp(device, "cdrom") != 0;
    fits = attribute(source, strcmp(type, "block") == 0 ? "dev" : "file", path, sizeof path);
    if (removable && path[0] == '\0' && (source == NULL || source->properties == NULL)) {
        return 0; /* an empty drive */
    }
    if (strcmp(type, "file") != 0 && strcmp(type, "block") != 0) {
        (void)refuse(r, RC_REFUSED, disk, "a disk that is neither a file nor a block device");
        err_hint(r->err,
                 "the cluster runs VMs whose disks are files on a shared volume (<disk type='file'>)");
        return RC_REFUSED;
    }
    if (path[0] == '\0') {
        return refuse(r, RC_BAD_INPUT, disk, "a disk without a <source>");
    }
    rc = add_path(r, disk, "disk", path, fits, writable);
    if (rc == 0 && writable) {
        rc = check_cache(r, disk, path);
    }
    return rc != 0 ? rc : read_backing(r, disk);
}

/* UEFI keeps its variables in a file that the guest writes: it has to go where the VM goes. */
static int read_nvram(struct reader *r, const xmlNode *root)
{
    const xmlNode *os = child(root, "os");
    const xmlNode *loader = child(os, "loader"), *nvram = child(os, "nvram");
    char firmware[16], type[16], stateless[8], path[PATH_SIZE];
    bool fits;

    (void)attribute(os, "firmware", firmware, sizeof firmware);
    (void)attribute(loader, "type", type, sizeof type);
    (void)attribute(loader, "stateless", stateless, sizeof stateless);
    if (nvram == NULL &&
        ((strcmp(firmware, "efi") != 0 && strcmp(type, "pflash") != 0) || strcmp(stateless, "yes") == 0)) {
        return 0;
    }
    fits = attribute(child(nvram, "source"), "file", path, sizeof path);
    if (path[0] == '\0' && fits) {
        fits = content(nvram, path, sizeof path);
    }
    if (path[0] == '\0') {
        (void)refuse(r, RC_REFUSED, os, "UEFI without a place for its variables");
        err_hint(r->err, "add <nvram>%s/VOLUME/NAME.fd</nvram>, so that they go where the VM goes",
                 r->volume_dir);
        return RC_REFUSED;
    }
    return add_path(r, nvram, "the file of UEFI variables", path, fits, true);
}

/* ---- networks ---- */

static int add_network(struct reader *r, const xmlNode *where, const char *kind, const char *name)
{
    char full[NAME_SIZE];
    int n = snprintf(full, sizeof full, "%s:%s", kind, name);

    if (n < 0 || (size_t)n >= sizeof full || name[0] == '\0') {
        return refuse(r, RC_BAD_INPUT, where, "an interface whose network has no name, or too long a one");
    }
    xml_printable(full);
    for (unsigned i = 0; i < r->d->networks; i++) {
        if (strcmp(r->d->network[i], full) == 0) {
            return 0;
        }
    }
    if (r->d->networks >= NETWORKS_MAX) {
        return refuse(r, RC_REFUSED, where, "more than 32 networks");
    }
    memcpy(r->d->network[r->d->networks++], full, sizeof full);
    return 0;
}

static int read_interface(struct reader *r, const xmlNode *interface)
{
    char type[16], name[NAME_SIZE + 1];

    (void)attribute(interface, "type", type, sizeof type);
    if (strcmp(type, "network") != 0 && strcmp(type, "bridge") != 0) {
        return 0; /* nothing of the host is named */
    }
    (void)attribute(child(interface, "source"), type, name, sizeof name);
    return add_network(r, interface, type, name);
}

/* ---- the whole ---- */

static int read_domain(struct reader *r, xmlNode *root, const char *name)
{
    const xmlNode *devices = child(root, "devices");
    char type[16];
    int rc;

    (void)attribute(root, "type", type, sizeof type);
    if (!xmlStrEqual(root->name, X("domain"))) {
        (void)refuse(r, RC_BAD_INPUT, root, "the root element is not <domain>");
        err_hint(r->err, "`virsh dumpxml --inactive VM` prints one");
        return RC_BAD_INPUT;
    }
    if (strcmp(type, "kvm") != 0 && strcmp(type, "qemu") != 0) {
        return refuse(r, RC_REFUSED, root, "the domain's type is neither 'kvm' nor 'qemu'");
    }
    if ((rc = read_name(r, root, name)) != 0 || (rc = read_uuid(r, root)) != 0 ||
        (rc = read_memory(r, root)) != 0 || (rc = read_cpus(r, root)) != 0 ||
        (rc = read_nvram(r, root)) != 0) {
        return rc;
    }
    for (const xmlNode *n = child(devices, "disk"); n != NULL && rc == 0; n = next_named(n, "disk")) {
        rc = read_disk(r, n);
    }
    for (const xmlNode *n = child(devices, "interface"); n != NULL && rc == 0;
         n = next_named(n, "interface")) {
        rc = read_interface(r, n);
    }
    return rc;
}

static xmlDoc *parse(const char *xml, size_t len, struct err *err)
{
    if (len > EVENT_TEXT_MAX) {
        (void)err_set(err, RC_BAD_INPUT, "the domain XML has %zu bytes, at most %d are allowed", len,
                      EVENT_TEXT_MAX);
        err_hint(err, "take out its comments and metadata");
        return NULL;
    }
    return xml_read(xml, len, "domain XML", err);
}

/* The text that is kept: the operator's own, or the tree's where something was put in. */
static int keep_text(struct reader *r, xmlDoc *doc, const char *xml, size_t len)
{
    xmlChar *mem = NULL;
    int size = (int)len;

    if (r->rewritten) {
        xmlDocDumpMemoryEnc(doc, &mem, &size, "UTF-8");
        if (mem == NULL) {
            return err_set(r->err, RC_NO_MEMORY, "out of memory");
        }
        if (size > EVENT_TEXT_MAX) {
            xmlFree(mem);
            return err_set(r->err, RC_BAD_INPUT,
                           "with its name and uuid the domain XML has %d bytes, at most %d are "
                           "allowed",
                           size, EVENT_TEXT_MAX);
        }
    }
    r->d->xml = strndup(mem != NULL ? (const char *)mem : xml, (size_t)size);
    xmlFree(mem);
    return r->d->xml != NULL ? 0 : err_set(r->err, RC_NO_MEMORY, "out of memory");
}

int domain_parse(struct domain *d, const char *xml, size_t len, const char *name, const char *volume_dir,
                 struct err *err)
{
    struct err unheard = ERR_INIT;
    struct reader r = {d, volume_dir, err != NULL ? err : &unheard, false};
    xmlDoc *doc;
    int rc;

    memset(d, 0, sizeof *d);
    doc = parse(xml, len, r.err);
    if (doc == NULL) {
        return r.err->rc;
    }
    rc = read_domain(&r, xmlDocGetRootElement(doc), name);
    if (rc == 0) {
        rc = keep_text(&r, doc, xml, len);
    }
    xmlFreeDoc(doc);
    return rc;
}

void domain_fini(struct domain *d)
{
    free(d->xml);
    d->xml = NULL;
}

int domain_check_volumes(const struct domain *d, const char *volume_dir, const char *const *volume,
                         unsigned n, struct err *err)
{
    for (unsigned i = 0; i < d->disks; i++) {
        char name[NAME_SIZE] = "";
        bool found = false;

        (void)volume_of(d->disk[i].path, volume_dir, name);
        for (unsigned v = 0; v < n && !found; v++) {
            found = strcmp(volume[v], name) == 0;
        }
        if (!found) {
            (void)err_set(err, RC_REFUSED, "disk '%s' is on no shared volume: there is none of the name '%s'",
                          d->disk[i].path, name);
            err_hint(err, "`clusterctl volume list` shows the volumes, `clusterctl volume add` makes one");
            return RC_REFUSED;
        }
    }
    return 0;
}
