/* warehouse_kit.h -- what the targets of datastores share: two that begin the same each time, and wires that damage what is on them and mend its checksums. */
#ifndef CKV_FUZZ_WAREHOUSE_KIT_H
#define CKV_FUZZ_WAREHOUSE_KIT_H

#include "base/hash64.h"
#include "warehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static inline void wk_begin(void)
{
    s_nonces = 0;
    t_state = 1;
    w_ms = 1700000000000;
}

static inline uint32_t wk_below(ckv_rd *script, uint32_t n) { return ckv_rd_u8(script) % n; }

/* A few edits that two bytes of the script choose, in one or more changes. */
static inline void wk_edit(ckv_datastore *d, ckv_rd *script)
{
    t_state = (uint64_t)ckv_rd_u8(script) << 8;
    t_state |= ckv_rd_u8(script);
    CKV_MUST((t_one_in(2) ? w_batch(d, W_DAGS) : w_edit(d, W_DAGS)) == CKV_OK);
    CKV_MUST(w_commit(d) == CKV_OK);
}

/* Some bytes become others. */
static inline void wk_spoil(uint8_t *p, size_t n, ckv_rd *script)
{
    for (uint32_t k = 1 + wk_below(script, 3); k && n; k--) {
        const size_t at = (size_t)ckv_rd_u8(script) << 8 | ckv_rd_u8(script);
        const uint8_t by = ckv_rd_u8(script);
        p[at % n] = (uint8_t)(by & 1 ? p[at % n] + (by >> 1) : p[at % n] ^ by);
    }
}

/* A bundle of a document, in place: spoilt, its checksum right. */
static inline void wk_spoil_bundle(uint8_t *p, size_t n, ckv_rd *script)
{
    if (n < 9) return;
    wk_spoil(p, n - 8, script);
    const uint64_t check = ckv_hash64(p, n - 8);
    for (int i = 0; i < 8; i++) p[n - 8 + (size_t)i] = (uint8_t)(check >> 8 * i);
}

/* Sound, and a new session over honest wires, or a bundle each way, makes both the same. */
static inline void wk_agree(ckv_datastore *a, ckv_datastore *b)
{
    for (int n = 0; n < 2; n++) {
        CKV_MUST(w_send(a, b, ckv_alloc_libc, NULL) == CKV_OK);
        CKV_MUST(w_send(b, a, ckv_alloc_libc, NULL) == CKV_OK);
    }
    w_same(a, b);
    w_check(a);
    w_check(b);
}

#endif
