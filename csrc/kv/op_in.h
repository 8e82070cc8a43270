/* op_in.h -- an op on its way in: does it fit, and what does it do? */
#ifndef CKV_KV_OP_IN_H
#define CKV_KV_OP_IN_H

#include "kv/intake.h"
#include "kv/op.h"

/* Does it, or says what it waits for. */
CKV_NODISCARD ckv_status ckv_op_apply(ckv_store *s, const ckv_op *op, ckv_store_report *report,
                                      ckv_need *need);

#endif
