/* report.h -- filling in what became of a message: keys that changed; incarnations, each once a call. */
#ifndef CKV_KV_REPORT_H
#define CKV_KV_REPORT_H

#include "kv/exchange.h"
#include "kv/state.h"

/* Before the first word of a call. */
void ckv_report_open(ckv_store *s);
CKV_NODISCARD ckv_status ckv_report_applied(ckv_store_report *r, ckv_store_key key);
CKV_NODISCARD ckv_status ckv_report_waiting(ckv_store_report *r, ckv_store *s, uint32_t peer);
CKV_NODISCARD ckv_status ckv_report_refused(ckv_store_report *r, ckv_bytes peer, const char *reason,
                                            bool is_limit);

#endif
