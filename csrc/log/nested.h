/* nested.h -- the values of a store: None, bool, int, float, str, bytes, and lists and dicts of values. docs/format.md, "Nested value".
 *
 *     {"a": [1, b"x"]}    21 0b  01 'a'  20 07  03 01 02  06 01 'x'  ...      tag, length, content
 *
 * Scalars are those of log/value.h, byte for byte. A dict keeps its own order. Whoever lets bytes in from outside checks them here, once.
 */
#ifndef CKV_LOG_NESTED_H
#define CKV_LOG_NESTED_H

#include "log/value.h"

#define CKV_TAG_NESTED_LIST 32u
#define CKV_TAG_NESTED_DICT 33u

#define CKV_MAX_NESTING 64u /* containers around a scalar */

/* Reads one value, at most max_bytes (< 2^32) of r, and checks all of it; false if r->status is not CKV_OK then. CKV_ECORRUPT: not written like
 * that, a key twice in a dict, an unknown tag; CKV_ELIMIT: too long, or too deep; CKV_ENOMEM. Of memory it takes at most 32 bytes for each key
 * of the largest dict, and none for dicts of up to 16 keys. */
bool ckv_nested_valid(ckv_rd *r, ckv_alloc a, size_t max_bytes);
/* Is that one value of a later version: one that comes apart to its end into tags and lengths, some tag of which is unknown here? */
bool ckv_nested_is_later(const uint8_t *p, size_t n_bytes);

#endif
