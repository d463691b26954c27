/*
 * config_model.h - a configuration as a JSON object, whether it comes from a file or from the cluster:
 *
 *   {"options": {KEY: VALUE},                                       those that differ from their default
 *    "volumes": {NAME: {"type", "source"}},
 *    "fences":  {NAME: {"agent", "level", "nodes": [NAME…], "parameters": {KEY: VALUE}}},
 *    "rules":   {"KIND VM…": {"kind", "vms": [NAME…], "possible": [NODE…], "preferred": [NODE…]}},
 *    "vms":     {NAME: {"wanted", "settings": {KEY: VALUE}, "uuid", "xml"}}}
 */
#ifndef CLI_CONFIG_MODEL_H
#define CLI_CONFIG_MODEL_H

#include "cli.h"

#define CONFIG_FILE_MAX (64u << 20)
#define VOLUME_DIR      "/var/lib/clusterd/volumes" /* the same on every node */

/* Puts a rule (taken over) into a model's rules; false: it is there already. */
bool config_put_rule(struct json_object *rules, struct json_object *rule);
/* An empty model, and its members. */
struct json_object *config_new(void);
void config_put(struct json_object *o, const char *key, struct json_object *value);
void config_put_text(struct json_object *o, const char *key, const char *value);

/* What a file says (config_file.c); NULL with the error printed: it cannot be read, fails its schema, or
 * makes no sense. */
struct json_object *config_from_file(struct cli *c, const char *path);
/* What the cluster has; NULL with the error printed. states: {VM: state}, for what may be changed (may be
 * NULL). */
struct json_object *config_from_cluster(struct cli *c, struct json_object *states);
/* The document that `config apply` reads, as text (owned by the caller). */
char *config_to_xml(struct json_object *model, const char *cluster);
/* True when two domain XMLs say the same: white space, and a uuid that one of them leaves out, aside. */
bool config_same_domain(const char *a, const char *b);

#endif
