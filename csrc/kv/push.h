/* push.h -- ops and op sets on their way in: done at once, or kept until they fit. */
#ifndef CKV_KV_PUSH_H
#define CKV_KV_PUSH_H

#include "kv/exchange.h"
#include "kv/state.h"

/* After a bookmark moved: tries what waits for it, until nothing more fits. What fails with CKV_ENOMEM goes on waiting. */
CKV_NODISCARD ckv_status ckv_push_settle(ckv_store *s, ckv_store_report *report);
/* Does a message, or keeps it. It was read before, so it is sound. */
CKV_NODISCARD ckv_status ckv_push_take(ckv_store *s, ckv_bytes message, ckv_store_report *report);
/* Reads an op or an op set: is it sound, and not of a dot later than `latest`? */
CKV_NODISCARD ckv_status ckv_push_check(ckv_bytes message, uint8_t kind, ckv_alloc a,
                                        uint64_t latest, ckv_err *err);

#endif
