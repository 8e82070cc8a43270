#include "dag/proof.h"

#include "base/hash64.h"
#include "crypto/digest.h"
#include "dag/header.h"

#define MAGIC   "CKP"
#define VERSION 1

static void put_side(ckv_buf *out, const ckv_proof_side *s)
{
    ckv_buf_varint(out, s->n);
    ckv_buf_bytes(out, s->headers.ptr, s->headers.len);
    ckv_buf_bytes(out, s->signature.b, CKV_SIGNATURE_BYTES);
}

ckv_status ckv_proof_write(ckv_buf *out, const ckv_id32 *doc, const ckv_id32 *author,
                           const uint8_t nonce[16], uint32_t seq, const ckv_proof_side *a,
                           const ckv_proof_side *b)
{
    const size_t start = out->len;
    ckv_buf_bytes(out, MAGIC, 3);
    ckv_buf_u8(out, VERSION);
    ckv_buf_bytes(out, doc, 32);
    ckv_buf_bytes(out, author, 32);
    ckv_buf_bytes(out, nonce, 16);
    ckv_buf_varint(out, seq);
    put_side(out, a);
    put_side(out, b);
    if (out->status == CKV_OK) ckv_buf_u64le(out, ckv_hash64(out->ptr + start, out->len - start));
    return out->status;
}

static ckv_status fail(ckv_err *err, ckv_status s, size_t offset, const char *text)
{
    *err = (ckv_err){s, offset, text};
    return s;
}

/* What a side claims. */
typedef struct side {
    ckv_id32 first, prev; /* id of its first change, and what that follows */
    bool has_prev, linked;
    ckv_id32 last;
    uint32_t last_seq;
    ckv_signature signature;
} side;

static bool read_side(ckv_rd *r, const ckv_id32 *lane, uint32_t seq, side *s)
{
    const size_t n = ckv_rd_count(r, 8);
    *s = (side){.linked = true};
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes;
        const uint8_t *bytes = ckv_rd_blob(r, &n_bytes);
        ckv_header h;
        const char *why;
        bool decodes;
        if (!bytes) return false;
        (void)ckv_header_read(&h, bytes, n_bytes, &decodes,
                              &why); /* a header that breaks a rule is a lie all the same */
        if (!decodes) return false;
        if (i == 0) {
            s->has_prev = h.has_prev;
            s->prev = h.prev;
            s->linked = h.seq == seq;
        } else if (!h.has_prev || !ckv_id32_eq(&h.prev, &s->last) || h.seq != s->last_seq + 1) {
            s->linked = false;
        }
        ckv_digest_change(&s->last, lane, bytes, n_bytes);
        s->last_seq = h.seq;
        if (i == 0) s->first = s->last;
    }
    const uint8_t *signature = ckv_rd_bytes(r, CKV_SIGNATURE_BYTES);
    if (!signature || n == 0) return false;
    memcpy(&s->signature, signature, CKV_SIGNATURE_BYTES);
    return true;
}

ckv_status ckv_proof_read(const uint8_t *data, size_t n_bytes, ckv_id32 *author, ckv_err *err)
{
    if (n_bytes < 4 + 32 + 32 + 16 + 1 + 8 || memcmp(data, MAGIC, 3) != 0)
        return fail(err, CKV_ECORRUPT, 0, "not a proof");
    if (data[3] != VERSION) return fail(err, CKV_ECORRUPT, 3, "a proof of another version");
    if (n_bytes > CKV_MAX_PROOF_BYTES) return fail(err, CKV_ECORRUPT, 0, "proof: over 2 MiB");
    ckv_rd tail = ckv_rd_init(data + n_bytes - 8, 8);
    if (ckv_rd_u64le(&tail) != ckv_hash64(data, n_bytes - 8))
        return fail(err, CKV_ECORRUPT, n_bytes - 8, "proof: checksum does not match");
    ckv_rd r = ckv_rd_init(data + 4, n_bytes - 12);
    ckv_id32 doc, key;
    uint8_t nonce[16];
    memcpy(&doc, ckv_rd_bytes(&r, 32), 32);
    memcpy(&key, ckv_rd_bytes(&r, 32), 32);
    memcpy(nonce, ckv_rd_bytes(&r, 16), 16);
    const uint32_t seq = (uint32_t)ckv_rd_upto(&r, CKV_MAX_SEQ);
    const ckv_id32 lane = ckv_lane_id(&doc, &key, nonce);
    side a, b;
    if (!read_side(&r, &lane, seq, &a) || !read_side(&r, &lane, seq, &b) || !ckv_rd_done(&r))
        return fail(err, CKV_ECORRUPT, (size_t)(r.p - data), "proof: does not parse");
    if (!a.linked || !b.linked)
        return fail(err, CKV_ESIGN, 0, "proof: the headers do not form a chain");
    if (a.has_prev != b.has_prev || (a.has_prev && !ckv_id32_eq(&a.prev, &b.prev)))
        return fail(err, CKV_ESIGN, 0, "proof: the two changes do not follow the same one");
    if (ckv_id32_cmp(&a.first, &b.first) >= 0)
        return fail(err, CKV_ESIGN, 0, "proof: the two changes are one, or not in order");
    if (!ckv_key_is_valid(&key))
        return fail(err, CKV_ESIGN, 36, "proof: the key is not a valid point");
    if (!ckv_verify_change(&a.signature, &key, &doc, &lane, a.last_seq, &a.last) ||
        !ckv_verify_change(&b.signature, &key, &doc, &lane, b.last_seq, &b.last)) {
        return fail(err, CKV_ESIGN, 0, "proof: a signature does not hold");
    }
    *author = key;
    return CKV_OK;
}
