/*
 * json.h - walking over json-c's objects without its macro, which needs a GNU extension.
 *
 *     JSON_EACH(object, it) { json_object_iter_peek_name(&it), json_object_iter_peek_value(&it) }
 */
#ifndef CLUSTERD_COMMON_JSON_H
#define CLUSTERD_COMMON_JSON_H

#include <json-c/json.h>

#define JSON_EACH(object, it)                                                                                \
    for (struct json_object_iterator it = json_object_iter_begin(object),                                    \
                                     it##_end = json_object_iter_end(object);                                \
         !json_object_iter_equal(&it, &it##_end); json_object_iter_next(&it))

#endif
