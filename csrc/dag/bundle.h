/* bundle.h -- the frame of a bundle: magic, document, sections, compression, checksum. docs/format.md, "Bundle".
 * What the sections mean is told by doc/import and doc/export.
 */
#ifndef CKV_DAG_BUNDLE_H
#define CKV_DAG_BUNDLE_H

#include "base/buf.h"
#include "base/id32.h"

enum {
    CKV_SEC_LANES = 1,
    CKV_SEC_CHAINS = 2,
    CKV_SEC_SLICES = 3,
    CKV_SEC_OUTSIDE = 4,
    CKV_SEC_N_OPS = 5,
    CKV_SEC_PARENTS = 6,
    CKV_SEC_TIMES = 7,
    CKV_SEC_MESSAGES = 8,
    CKV_SEC_SIGNATURES = 9,
    CKV_SEC_RAW = 10,
    CKV_SEC_KINDS = 11, /* 11 to 19: operations in columns, log/columns */
    CKV_SEC_TEXT = 18,
    CKV_SEC_MAPS = 19,
    CKV_N_SECTIONS = 20,
};

typedef struct ckv_bundle_head {
    ckv_id32 doc;
    bool has_founder;
    ckv_id32 founder;
    uint8_t nonce[16];
} ckv_bundle_head;

/* Head and payload of a bundle; sections point into `payload` (or into the input when it was not packed). */
typedef struct ckv_bundle {
    ckv_bundle_head head;
    ckv_buf payload;
    ckv_rd sections[CKV_N_SECTIONS];
} ckv_bundle;

/* Appends a bundle of these sections. */
CKV_NODISCARD ckv_status ckv_bundle_write(ckv_buf *out, const ckv_bundle_head *head,
                                          const ckv_buf sections[CKV_N_SECTIONS]);
/* Checks the checksum first. After any result, fini. */
CKV_NODISCARD ckv_status ckv_bundle_open(ckv_bundle *b, ckv_alloc a, const uint8_t *data,
                                         size_t n_bytes, ckv_err *err);
void ckv_bundle_fini(ckv_bundle *b);
/* Reads the head alone, without unpacking. *rest: what follows it, up to the checksum, which holds. */
CKV_NODISCARD ckv_status ckv_bundle_peek(const uint8_t *data, size_t n_bytes, ckv_bundle_head *head,
                                         ckv_rd *rest, ckv_err *err);

#endif
