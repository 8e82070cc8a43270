/* exchange.h -- what stores tell each other: requests and diffs, ops, op sets, saves. docs/format.md, "Store".
 *
 *     pull      a: request -> b: diff -> a: integrate           state, from whatever a has to whatever b has
 *     push      a: put with op -> b: take ops                   small and often; what does not fit yet waits
 *     op sets   a: opset -> (merge with others) -> b: take      what changed between two looks
 *
 * All in bytes. Nothing is ever lost by them: a bookmark never moves over a gap. What is malformed is CKV_ECORRUPT, beyond a limit
 * CKV_ELIMIT, of a dot later than `latest` CKV_EDRIFT; then nothing changed.
 */
#ifndef CKV_KV_EXCHANGE_H
#define CKV_KV_EXCHANGE_H

#include "kv/store.h"

#define CKV_NO_DRIFT UINT64_MAX /* as `latest`: any dot that can be */

#define CKV_MAX_HELD       1024u /* ops that wait, a peer */
#define CKV_MAX_HELD_BYTES (UINT64_C(4) << 20)

typedef struct ckv_store_report {
    uint64_t n_put, n_superseded; /* dots that came, and that went */
    uint64_t n_settled;           /* messages that waited, and of which this call did something */
    ckv_buf
        applied; /* is_bytes(u8) key(blob) of keys that show another dot, maybe more than once */
    ckv_buf waiting; /* blobs: incarnations for which messages of this call wait */
    ckv_buf refused; /* ckv_left_out */
} ckv_store_report;

typedef struct ckv_left_out {
    uint8_t peer[CKV_MAX_PEER_NAME + CKV_INCARNATION];
    size_t n_bytes;
    const char *reason; /* static */
    bool is_limit;      /* a limit; else a gap */
} ckv_left_out;

void ckv_store_report_init(ckv_store_report *r, ckv_alloc a);
void ckv_store_report_fini(ckv_store_report *r);

/* ---- pull */

CKV_NODISCARD ckv_status ckv_store_request(const ckv_store *s, ckv_buf *out);
/* Bytes of a request. */
CKV_NODISCARD ckv_status ckv_store_index_size(const ckv_store *s, uint64_t *n_bytes);
/* Is it a sound request? */
CKV_NODISCARD ckv_status ckv_request_check(ckv_bytes request, ckv_err *err);
/* What a store lacks that made the request. max_bytes > 0: no more than about that, and *more if that was not all; a part of what is above
 * a bookmark comes in ascending order, so that what was sent can be taken in. */
CKV_NODISCARD ckv_status ckv_store_diff(const ckv_store *s, ckv_bytes request, size_t max_bytes,
                                        ckv_buf *out, bool *more, ckv_err *err);
CKV_NODISCARD ckv_status ckv_store_integrate(ckv_store *s, ckv_bytes diff, uint64_t latest,
                                             ckv_store_report *report, ckv_err *err);
/* The request that its maker would make after taking the diff in: who knows a peer's last request need not ask again. */
CKV_NODISCARD ckv_status ckv_request_after(ckv_bytes request, ckv_bytes diff, ckv_buf *out,
                                           ckv_err *err);

/* ---- push */

/* One bad op refuses all. */
CKV_NODISCARD ckv_status ckv_store_take_ops(ckv_store *s, const ckv_bytes *ops, size_t n,
                                            uint64_t latest, ckv_store_report *report,
                                            ckv_err *err);

/* ---- op sets */

/* What this store itself changed since it was last asked, also before it was saved and loaded. */
CKV_NODISCARD ckv_status ckv_store_opset(ckv_store *s, ckv_buf *out);
CKV_NODISCARD ckv_status ckv_opset_merge(const ckv_bytes *opsets, size_t n, ckv_buf *out,
                                         ckv_err *err);
CKV_NODISCARD ckv_status ckv_store_take_opset(ckv_store *s, ckv_bytes opset, uint64_t latest,
                                              ckv_store_report *report, ckv_err *err);

/* ---- saves */

CKV_NODISCARD ckv_status ckv_store_save(const ckv_store *s, ckv_buf *out);
/* `name` NULL: the one in the save. */
CKV_NODISCARD ckv_status ckv_store_load(ckv_store **out, const ckv_env *env, ckv_bytes save,
                                        const ckv_store_key *name, ckv_err *err);

#endif
