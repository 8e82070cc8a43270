/* sort.h -- merge sort of numbers by an order that has to ask somebody. Stable. */
#ifndef CKV_DS_SORT_H
#define CKV_DS_SORT_H

#include "ds/vec.h"

typedef bool ckv_before(void *ctx, uint32_t a, uint32_t b); /* strictly */
/* Sorts v in place; makes room behind its end. */
CKV_NODISCARD ckv_status ckv_sort(ckv_u32s *v, ckv_before *before, void *ctx);

#endif
