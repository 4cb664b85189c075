#include "json/doc.h"

#include "json/reader.h"

#include <cjson/cJSON.h>

/* struct json_node is cJSON's own node, never defined: these two are the only places that say so.
 */
static const cJSON *item_of(const struct json_node *node)
{
    return (const cJSON *)(const void *)node;
}

static const struct json_node *node_of(const cJSON *item)
{
    return (const struct json_node *)(const void *)item;
}

struct json_node *json_doc_parse(struct str text, const char *what, struct err *err)
{
    if (text.n > JSON_DOC_MAX) {
        err_set(err, 400, "54000", "%s is longer than %d bytes", what, JSON_DOC_MAX);
        return NULL;
    }
    if (!json_valid(text, what, err))
        return NULL;
    cJSON *item = cJSON_ParseWithLength(text.p, text.n);
    if (!item)
        err_set(err, 500, "53200", "out of memory while reading %s", what);
    return (struct json_node *)(void *)item;
}

void json_doc_free(struct json_node *root)
{
    cJSON_Delete((cJSON *)(void *)root);
}

enum json_kind json_node_kind(const struct json_node *node)
{
    const cJSON *item = item_of(node);
    if (cJSON_IsBool(item))
        return JSON_IS_BOOL;
    if (cJSON_IsNumber(item))
        return JSON_IS_NUMBER;
    if (cJSON_IsString(item))
        return JSON_IS_STRING;
    if (cJSON_IsArray(item))
        return JSON_IS_ARRAY;
    return cJSON_IsObject(item) ? JSON_IS_OBJECT : JSON_IS_NULL;
}

const struct json_node *json_node_get(const struct json_node *object, const char *key)
{
    return cJSON_IsObject(item_of(object))
               ? node_of(cJSON_GetObjectItemCaseSensitive(item_of(object), key))
               : NULL;
}

const struct json_node *json_node_first(const struct json_node *container)
{
    return container ? node_of(item_of(container)->child) : NULL;
}

const struct json_node *json_node_next(const struct json_node *node)
{
    return node ? node_of(item_of(node)->next) : NULL;
}

struct str json_node_key(const struct json_node *node)
{
    return node ? str_of(item_of(node)->string) : (struct str){0};
}

struct str json_node_string(const struct json_node *node)
{
    return cJSON_IsString(item_of(node)) ? str_of(item_of(node)->valuestring) : (struct str){0};
}

bool json_node_true(const struct json_node *node)
{
    return cJSON_IsTrue(item_of(node));
}

bool json_node_i64(const struct json_node *node, int64_t *out)
{
    const double exact = 9007199254740991.0; /* 2^53 - 1 */
    if (!cJSON_IsNumber(item_of(node)))
        return false;
    double v = item_of(node)->valuedouble;
    if (!(v >= -exact && v <= exact) || v != (double)(int64_t)v)
        return false;
    *out = (int64_t)v;
    return true;
}
