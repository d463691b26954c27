#include "domain.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "common/rc.h"
#include "files.h"

#define IS(node, n) ((node)->type == XML_ELEMENT_NODE && strcmp((const char *)(node)->name, n) == 0)

/* The first child element of that name, or NULL. */
static xmlNode *child(const xmlNode *parent, const char *name)
{
    for (xmlNode *c = parent ? parent->children : NULL; c; c = c->next) {
        if (IS(c, name)) {
            return c;
        }
    }
    return NULL;
}

/* Copies libxml2's string into one of ours; NULL becomes "". NULL when out of memory. */
static char *own(xmlChar *s)
{
    char *copy = strdup(s ? (const char *)s : "");

    xmlFree(s);
    return copy;
}

static char *attr(const xmlNode *node, const char *name)
{
    return own(node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL);
}

static char *text(const xmlNode *node)
{
    return own(node ? xmlNodeGetContent(node) : NULL);
}

static bool attr_is(const xmlNode *node, const char *name, const char *value)
{
    xmlChar *s = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
    bool is = s && strcmp((const char *)s, value) == 0;

    xmlFree(s);
    return is;
}

static char *disk_source(const xmlNode *disk)
{
    static const char *const names[] = {"file", "dev", "volume", "name", "dir"};
    const xmlNode *source = child(disk, "source");

    for (size_t i = 0; source && i < sizeof names / sizeof *names; i++) {
        if (xmlHasProp(source, (const xmlChar *)names[i])) {
            return attr(source, names[i]);
        }
    }
    return strdup("");
}

static int add_disk(struct domain *d, const xmlNode *node, const char *target, bool backing)
{
    const xmlNode *disk = node;
    struct domain_disk *k;

    if (d->n_disks == DOMAIN_DISKS_MAX) {
        return RC_BAD_INPUT;
    }
    k = &d->disks[d->n_disks];
    k->target = strdup(target);
    k->source = disk_source(disk);
    k->type = attr(disk, "type");
    k->cache = attr(child(disk, "driver"), "cache");
    k->shareable = child(disk, "shareable") != NULL;
    k->backing = backing;
    k->writable = !backing && !child(disk, "readonly") && !attr_is(disk, "device", "cdrom");
    d->n_disks++;
    return k->target && k->source && k->type && k->cache ? RC_OK : RC_NO_MEMORY;
}

static int add_disks(struct domain *d, const xmlNode *disk)
{
    char *target = attr(child(disk, "target"), "dev");
    int rc = target ? add_disk(d, disk, target, false) : RC_NO_MEMORY;

    /* Images below it, as libvirt's own XML of a running domain lists them. */
    for (disk = child(disk, "backingStore"); rc == RC_OK && disk; disk = child(disk, "backingStore")) {
        if (child(disk, "source")) {
            rc = add_disk(d, disk, target, true);
        }
    }
    free(target);
    return rc;
}

static int add_nic(struct domain *d, const xmlNode *node)
{
    const xmlNode *source = child(node, "source");
    struct domain_nic *n;

    if (d->n_nics == DOMAIN_NICS_MAX) {
        return RC_BAD_INPUT;
    }
    n = &d->nics[d->n_nics++];
    n->type = attr(node, "type");
    n->source = n->type ? attr(source, strcmp(n->type, "direct") == 0 ? "dev" : n->type) : NULL;
    return n->type && n->source ? RC_OK : RC_NO_MEMORY;
}

static int walk_devices(struct domain *d, const xmlNode *devices)
{
    int rc = RC_OK;

    d->disks = calloc(DOMAIN_DISKS_MAX, sizeof *d->disks);
    d->nics = calloc(DOMAIN_NICS_MAX, sizeof *d->nics);
    d->emulator = text(child(devices, "emulator"));
    if (!d->disks || !d->nics || !d->emulator) {
        return RC_NO_MEMORY;
    }
    for (const xmlNode *c = devices ? devices->children : NULL; c && rc == RC_OK; c = c->next) {
        if (IS(c, "disk")) {
            rc = add_disks(d, c);
        } else if (IS(c, "interface")) {
            rc = add_nic(d, c);
        }
    }
    return rc;
}

/* S8: raw QEMU arguments (<qemu:commandline>) could share an image by force or switch its locking off. */
static bool unlocks(const xmlNode *root)
{
    static const char *const words[] = {"force-share", "share-rw", "locking"};

    for (const xmlNode *arg = child(root, "commandline") ? child(root, "commandline")->children : NULL; arg;
         arg = arg->next) {
        char *value = IS(arg, "arg") ? attr(arg, "value") : NULL;
        bool hit = false;

        for (size_t i = 0; value && i < sizeof words / sizeof *words; i++) {
            hit = hit || strstr(value, words[i]) != NULL;
        }
        free(value);
        if (hit) {
            return true;
        }
    }
    return false;
}

/* An element with all that is in it, as text. */
static char *as_text(const xmlNode *node)
{
    xmlBuffer *b = node ? xmlBufferCreate() : NULL;
    char *out = NULL;

    if (!node) {
        return strdup("");
    }
    if (b && xmlNodeDump(b, node->doc, (xmlNode *)(size_t)node, 0, 0) > 0) {
        out = strdup((const char *)xmlBufferContent(b));
    }
    xmlBufferFree(b);
    return out;
}

static int walk(struct domain *d, const xmlNode *root, const char *what, struct err *e)
{
    char *uuid = NULL;
    int rc = RC_OK;

    if (!root || !IS(root, "domain")) {
        return err_set(e, RC_BAD_INPUT, "%s is not a libvirt domain: its root element is not <domain>", what);
    }
    d->name = text(child(root, "name"));
    uuid = text(child(root, "uuid"));
    d->cpu = text(child(child(root, "cpu"), "model"));
    d->cpu_xml = as_text(child(root, "cpu"));
    d->arch = attr(child(child(root, "os"), "type"), "arch");
    d->virttype = attr(root, "type");
    d->unlocked = unlocks(root);
    if (!d->name || !uuid || !d->cpu || !d->cpu_xml || !d->arch || !d->virttype) {
        rc = err_set(e, RC_NO_MEMORY, "out of memory");
    } else if (!*d->name || strlen(d->name) > 200 || strchr(d->name, '/') || strchr(d->name, '\n')) {
        rc = err_set(e, RC_BAD_INPUT, "%s has no usable <name>: give 1 to 200 characters without '/'", what);
    } else if (!qemu_uuid(uuid, d->uuid)) {
        rc = err_set(e, RC_BAD_INPUT, "%s has no usable <uuid>: give one as 8-4-4-4-12 hexadecimal digits",
                     what);
    } else if ((rc = walk_devices(d, child(root, "devices"))) != RC_OK) {
        rc = err_set(e, rc,
                     rc == RC_BAD_INPUT ? "%s has more than %d disks or %d interfaces" : "%s: out of memory",
                     what, DOMAIN_DISKS_MAX, DOMAIN_NICS_MAX);
    }
    free(uuid);
    return rc;
}

/* Entities could make a small text huge or read files; no domain needs a document type. */
static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *id, const xmlChar *uri)
{
    (void)name;
    (void)id;
    (void)uri;
    ((xmlParserCtxt *)ctx)->_private = ctx; /* read below: this is why it stopped */
    xmlStopParser(ctx);
}

static void parse_error(const xmlParserCtxt *ctx, const char *what, struct err *e)
{
    const xmlError *x = xmlCtxtGetLastError((void *)(size_t)ctx);

    if (ctx->_private) {
        (void)err_set(e, RC_BAD_INPUT, "%s has a document type declaration (<!DOCTYPE>)", what);
        err_hint(e, "remove it: a domain needs none");
        return;
    }
    (void)err_set(e, RC_BAD_INPUT, "%s is not well-formed XML: line %d: %.200s", what, x ? x->line : 0,
                  x && x->message ? x->message : "unknown error");
    err_hint(e, "check it with: xmllint --noout FILE");
}

int domain_parse(const char *xml, size_t len, const char *what, struct domain *d, struct err *e)
{
    xmlParserCtxt *ctx = xmlNewParserCtxt();
    xmlDoc *doc = NULL;
    int rc;

    memset(d, 0, sizeof *d);
    if (!ctx || len > DOMAIN_XML_MAX) {
        xmlFreeParserCtxt(ctx);
        return err_set(e, ctx ? RC_BAD_INPUT : RC_NO_MEMORY, "%s is larger than %u bytes", what,
                       DOMAIN_XML_MAX);
    }
    ctx->_private = NULL;
    ctx->sax->internalSubset = on_doctype;
    doc = xmlCtxtReadMemory(ctx, xml, (int)len, NULL, NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (doc && !ctx->_private) {
        rc = walk(d, xmlDocGetRootElement(doc), what, e);
    } else {
        parse_error(ctx, what, e);
        rc = RC_BAD_INPUT;
    }
    xmlFreeDoc(doc);
    xmlFreeParserCtxt(ctx);
    if (rc == RC_OK && !(d->xml = strndup(xml, len))) {
        rc = err_set(e, RC_NO_MEMORY, "out of memory");
    }
    if (rc != RC_OK) {
        domain_fini(d);
    }
    return rc;
}

int domain_read(const char *path, struct domain *d, struct err *e)
{
    struct buf b = BUF_INIT;
    int rc = files_read(path, DOMAIN_XML_MAX, &b, e);
    char what[512];

    memset(d, 0, sizeof *d);
    if (rc == RC_OK) {
        (void)snprintf(what, sizeof what, "'%s'", path);
        rc = domain_parse((const char *)b.data, b.len, what, d, e);
    }
    buf_fini(&b);
    return rc;
}

void domain_fini(struct domain *d)
{
    for (size_t i = 0; i < d->n_disks; i++) {
        free(d->disks[i].target);
        free(d->disks[i].source);
        free(d->disks[i].type);
        free(d->disks[i].cache);
    }
    for (size_t i = 0; i < d->n_nics; i++) {
        free(d->nics[i].type);
        free(d->nics[i].source);
    }
    free(d->disks);
    free(d->nics);
    free(d->name);
    free(d->xml);
    free(d->cpu);
    free(d->cpu_xml);
    free(d->arch);
    free(d->virttype);
    free(d->emulator);
    memset(d, 0, sizeof *d);
}

int domain_safe(const struct domain *d, struct err *e)
{
    if (d->unlocked) {
        (void)err_set(e, RC_REFUSED, "VM '%s': its <qemu:commandline> touches image locking (S8)", d->name);
        err_hint(e, "remove force-share, share-rw and locking from its arguments");
        return RC_REFUSED;
    }
    for (size_t i = 0; i < d->n_disks; i++) {
        const struct domain_disk *k = &d->disks[i];

        if (!k->writable || !*k->source) {
            continue;
        }
        if (k->shareable && !MUTANT(shared_disks_taken)) {
            (void)err_set(e, RC_REFUSED,
                          "VM '%s': disk %s (%s) is <shareable/>: two QEMUs could write it (S8)", d->name,
                          k->target, k->source);
            err_hint(e, "remove <shareable/>");
            return RC_REFUSED;
        }
        if (strcmp(k->cache, "none") != 0 && strcmp(k->cache, "directsync") != 0) {
            (void)err_set(
                e, RC_REFUSED,
                "VM '%s': disk %s (%s) has cache mode '%s': its writes could outlive QEMU in this host (C4)",
                d->name, k->target, k->source, *k->cache ? k->cache : "default");
            err_hint(e, "set cache='none' (or 'directsync') in its <driver>");
            return RC_REFUSED;
        }
    }
    return RC_OK;
}
