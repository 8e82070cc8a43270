#include "dag/header.h"

size_t ckv_header_write(uint8_t *out, const ckv_header *h)
{
    size_t n = 0;
    n += ckv_varint_put(out + n, CKV_HEADER_VERSION);
    n += ckv_varint_put(out + n, h->type ? h->type : CKV_TYPE_DOC);
    n += ckv_varint_put(out + n, h->seq);
    out[n++] = h->has_prev;
    if (h->has_prev) memcpy(out + n, &h->prev, 32), n += 32;
    n += ckv_varint_put(out + n, h->n_parents);
    if (h->n_parents)
        memcpy(out + n, h->parents, 32 * (size_t)h->n_parents), n += 32 * (size_t)h->n_parents;
    n += ckv_varint_put(out + n, h->n_ops);
    out[n++] = 0; /* epoch */
    n += ckv_varint_put(out + n, h->body_len);
    const size_t tail = h->body_len <= CKV_INLINE_BODY_BYTES ? h->body_len : 32;
    if (tail)
        memcpy(out + n, h->body_len <= CKV_INLINE_BODY_BYTES ? h->body : h->body_hash->b, tail);
    return n + tail;
}

bool ckv_header_read(ckv_header *h, const uint8_t *bytes, size_t n_bytes, bool *decodes,
                     const char **why)
{
    ckv_rd r = ckv_rd_init(bytes, n_bytes);
    *h = (ckv_header){0};
    *decodes = false;
    const uint64_t version = ckv_rd_varint(&r), type = ckv_rd_varint(&r), seq = ckv_rd_varint(&r);
    const uint8_t has_prev = ckv_rd_u8(&r);
    const uint8_t *prev = has_prev == 1 ? ckv_rd_bytes(&r, 32) : NULL;
    const size_t n_parents = ckv_rd_count(&r, 32);
    const uint8_t *parents = ckv_rd_bytes(&r, 32 * n_parents);
    const uint64_t n_ops = ckv_rd_varint(&r);
    const uint8_t epoch = ckv_rd_u8(&r);
    if (epoch == 1) ckv_rd_bytes(&r, 32);
    const uint64_t body_len = ckv_rd_varint(&r);
    const uint8_t *tail =
        ckv_rd_bytes(&r, body_len <= CKV_INLINE_BODY_BYTES ? (size_t)body_len : 32);
    *why = "header: does not parse";
    if (!ckv_rd_done(&r) || has_prev > 1 || epoch > 1 || seq > UINT32_MAX) return false;
    *decodes = true;
    h->seq = (uint32_t)seq;
    h->has_prev = has_prev == 1;
    if (prev) memcpy(&h->prev, prev, 32);
    *why = "header: unknown version or type";
    if (version != CKV_HEADER_VERSION || (type != CKV_TYPE_DOC && type != CKV_TYPE_DATASTORE))
        return false;
    h->type = (uint32_t)type;
    *why = "header: seq out of range, or prev and seq disagree";
    if (seq > CKV_MAX_SEQ || (seq > 0) != h->has_prev) return false;
    *why = "header: parents are too many, unsorted or repeated";
    if (n_parents > CKV_MAX_PARENTS) return false;
    for (size_t i = 1; i < n_parents; i++) {
        if (memcmp(parents + 32 * (i - 1), parents + 32 * i, 32) >= 0) return false;
    }
    *why = "header: too many operations or too large a body";
    if (n_ops > 1u << 24 || body_len > 1u << 24) return false;
    *why = "header: key epochs are not supported";
    if (epoch) return false;
    h->n_ops = (uint32_t)n_ops;
    h->body_len = (uint32_t)body_len;
    h->n_parents = (uint32_t)n_parents;
    h->parents = (const ckv_id32 *)(const void *)parents; /* bytes: no alignment is asked for */
    if (body_len <= CKV_INLINE_BODY_BYTES)
        h->body = tail;
    else
        h->body_hash = (const ckv_id32 *)(const void *)tail;
    return true;
}
