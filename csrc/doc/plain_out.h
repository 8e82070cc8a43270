/* plain_out.h -- writes values as plain, many into one stream: its keys are numbered over all of them. */
#ifndef CKV_DOC_PLAIN_OUT_H
#define CKV_DOC_PLAIN_OUT_H

#include "doc/plain.h"
#include "doc/state.h"

typedef struct ckv_plain_out ckv_plain_out;

CKV_NODISCARD ckv_status ckv_plain_out_new(ckv_plain_out **out, ckv_doc *doc, ckv_buf *bytes);
void ckv_plain_out_free(ckv_plain_out *w);
/* What follows is written as it is now (NULL), or was at a version. */
void ckv_plain_out_at(ckv_plain_out *w, const ckv_past *at);
CKV_NODISCARD ckv_status ckv_plain_out_value(ckv_plain_out *w, const ckv_value *value);
CKV_NODISCARD ckv_status ckv_plain_out_key(ckv_plain_out *w,
                                           uint32_t key); /* by number in ckv_keys */

#endif
