/* The frame of a bundle: magic, founder, packing, sections, checksum. An input is a bundle whose checksum is made right here. Packed bytes are
 * mutated unpacked, and packed again. Sections that are read and written anew are read as the same.
 */
#include "base/squeeze.h"
#include "mutator.h"

/* Where the packing begins: behind magic, id and founder. 0: nowhere. */
static size_t packing_at(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 46 || data[36] > 1) return 0;
    const size_t at = data[36] ? 85 : 37;
    return n_bytes < at + 10 ? 0 : at;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_bytes, size_t max, unsigned seed)
{
    k_begin();
    t_state = seed;
    const size_t at = packing_at(data, n_bytes);
    if (at == 0 || t_one_in(2)) return LLVMFuzzerMutate(data, n_bytes, max);
    ckv_rd r = ckv_rd_init(data + at, n_bytes - at - 8);
    const bool packed = ckv_rd_u8(&r) == 1;
    const uint64_t len = ckv_rd_varint(&r);
    ckv_buf raw = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    if (packed && ckv_unsqueeze(&raw, r.p, ckv_rd_left(&r), len) != CKV_OK) raw.len = 0;
    if (!packed) ckv_buf_bytes(&raw, r.p, ckv_rd_left(&r));
    CKV_ASSERT(ckv_buf_reserve(&raw, 64));
    raw.len = LLVMFuzzerMutate(raw.ptr, raw.len, raw.len + 64);
    const bool pack = t_one_in(2);
    ckv_buf_u8(&out, pack);
    ckv_buf_varint(&out, raw.len + (t_one_in(8) ? 1 : 0));
    if (!pack || !ckv_squeeze(&out, raw.ptr, raw.len)) ckv_buf_bytes(&out, raw.ptr, raw.len);
    ckv_buf_u64le(&out, 0);
    const bool fits = at + out.len <= max;
    if (fits) memcpy(data + at, out.ptr, out.len);
    const size_t n = at + out.len;
    ckv_buf_fini(&raw);
    ckv_buf_fini(&out);
    return fits ? n : LLVMFuzzerMutate(data, n_bytes, max);
}

static void check_again(const ckv_bundle *b, size_t n_bytes)
{
    ckv_buf sections[CKV_N_SECTIONS], out = ckv_buf_init(ckv_alloc_libc);
    size_t n_payload = 0;
    ckv_bundle again;
    ckv_err err;
    for (uint32_t tag = 0; tag < CKV_N_SECTIONS; tag++) {
        const ckv_rd *r = &b->sections[tag];
        sections[tag] = ckv_buf_init(ckv_alloc_libc);
        ckv_buf_bytes(&sections[tag], r->p, ckv_rd_left(r));
        n_payload += ckv_rd_left(r);
    }
    CKV_ASSERT(n_payload <= CKV_SQUEEZE_RATIO * n_bytes);
    CKV_MUST(ckv_bundle_write(&out, &b->head, sections) == CKV_OK);
    CKV_MUST(ckv_bundle_open(&again, ckv_alloc_libc, out.ptr, out.len, &err) == CKV_OK);
    CKV_ASSERT(ckv_id32_eq(&again.head.doc, &b->head.doc) &&
               again.head.has_founder == b->head.has_founder);
    for (uint32_t tag = 0; tag < CKV_N_SECTIONS; tag++) {
        const ckv_rd *r = &again.sections[tag];
        T_BYTES(r->p, ckv_rd_left(r), sections[tag].ptr, sections[tag].len);
        ckv_buf_fini(&sections[tag]);
    }
    ckv_bundle_fini(&again);
    ckv_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_bundle b;
    ckv_bundle_head head;
    ckv_rd rest;
    ckv_err err;
    if (n_bytes < 12) return 0;
    ckv_buf mended = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&mended, data, n_bytes - 8);
    ckv_buf_u64le(&mended, ckv_hash64(mended.ptr, mended.len));
    const ckv_status peeked = ckv_bundle_peek(mended.ptr, mended.len, &head, &rest, &err),
                     s = ckv_bundle_open(&b, ckv_alloc_libc, mended.ptr, mended.len, &err);
    CKV_ASSERT(s == CKV_OK || (s == CKV_ECORRUPT && err.code == s && err.text));
    CKV_ASSERT(peeked == CKV_OK || s == peeked);
    if (s == CKV_OK) check_again(&b, mended.len);
    ckv_bundle_fini(&b);
    ckv_buf_fini(&mended);
    return 0;
}
