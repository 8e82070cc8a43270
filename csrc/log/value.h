/* value.h -- what a map's key can hold: a scalar, or a container made by the op that set it. docs/format.md, "value". */
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
    CKV_TAG_TEXT = 20,
} ckv_tag;

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

#endif
