/* counter.h -- Counters: the exact sum of everybody's increments. */
#ifndef CKV_DOC_COUNTER_H
#define CKV_DOC_COUNTER_H

#include "doc/view.h"

__extension__ typedef __int128 ckv_i128;

CKV_NODISCARD ckv_status ckv_counter_add(ckv_doc *doc, uint32_t counter, int64_t amount);
/* The total, now (at NULL) or at a version. */
CKV_NODISCARD ckv_status ckv_counter_total(ckv_doc *doc, const ckv_view *at, uint32_t counter,
                                           ckv_i128 *out);

#endif
