/* value.h -- what a register can hold: a scalar, or a container made by the op that set it. docs/format.md, "value". */
#ifndef CKV_LOG_VALUE_H
#define CKV_LOG_VALUE_H

#include "base/buf.h"

typedef enum ckv_tag {
    CKV_TAG_NONE = 0,
    CKV_TAG_FALSE = 1,
    CKV_TAG_TRUE = 2,
    CKV_TAG_INT = 3,
    CKV_TAG_FLOAT = 4,
    CKV_TAG_STR = 5,
    CKV_TAG_BYTES = 6,
    CKV_TAG_MAP = 16,
    CKV_TAG_LIST = 17,
    CKV_TAG_SET = 18,
    CKV_TAG_COUNTER = 19,
    CKV_TAG_TEXT = 20,
    CKV_TAG_DEFAULT_MAP =
        24, /* one container for all who set it at the same time: Map.setdefault */
    CKV_TAG_DEFAULT_LIST = 25,
    CKV_TAG_DEFAULT_SET = 26,
    CKV_TAG_DEFAULT_COUNTER = 27,
    CKV_TAG_DEFAULT_TEXT = 28,
} ckv_tag;

static inline bool ckv_tag_is_scalar(ckv_tag tag) { return tag <= CKV_TAG_BYTES; }
static inline bool ckv_tag_is_default(ckv_tag tag) { return tag >= CKV_TAG_DEFAULT_MAP; }
/* The kind of container that a value with this tag makes: CKV_TAG_MAP .. CKV_TAG_TEXT. Not for scalars. */
static inline ckv_tag ckv_tag_kind(ckv_tag tag)
{
    return ckv_tag_is_default(tag) ? (ckv_tag)(tag - 8) : tag;
}

typedef struct ckv_value {
    ckv_tag tag;
    union {
        int64_t i64;
        double f64;
        struct {
            const uint8_t *ptr; /* borrowed */
            size_t n_bytes;
        };
        uint32_t container; /* on reading; ignored on writing */
    };
} ckv_value;

/* Appends tag and payload. */
void ckv_value_write(ckv_buf *out, const ckv_value *v);
/* Reads one. CKV_ELATER in r->status: a tag of a later version, skipped whole. STR and BYTES point into the input. */
void ckv_value_read(ckv_rd *r, ckv_value *out);
/* Appends the bytes under which a set knows a scalar: equal for what Python calls equal (1, 1.0 and True; 0.0 and -0.0; one NaN). They begin with a
 * letter for the type, so that members of one type stand together: None, numbers, str, bytes. */
void ckv_value_member(ckv_buf *out, const ckv_value *v);

#endif
