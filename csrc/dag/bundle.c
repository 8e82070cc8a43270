#include "dag/bundle.h"

#include "base/hash64.h"
#include "base/squeeze.h"
#include "crypto/digest.h"

#define MAGIC   "CKB"
#define VERSION 1
#define SMALL   256 /* payloads below are not worth a frame of Zstandard */

ckv_status ckv_bundle_write(ckv_buf *out, const ckv_bundle_head *head,
                            const ckv_buf sections[CKV_N_SECTIONS])
{
    const size_t start = out->len;
    ckv_buf payload = ckv_buf_init(out->a);
    for (uint32_t tag = 1; tag < CKV_N_SECTIONS; tag++) {
        if (sections[tag].status != CKV_OK && payload.status == CKV_OK)
            payload.status = sections[tag].status;
        if (sections[tag].len == 0) continue;
        ckv_buf_varint(&payload, tag);
        ckv_buf_blob(&payload, sections[tag].ptr, sections[tag].len);
    }
    ckv_buf_bytes(out, MAGIC, 3);
    ckv_buf_u8(out, VERSION);
    ckv_buf_bytes(out, &head->doc, 32);
    ckv_buf_u8(out, head->has_founder);
    if (head->has_founder) {
        ckv_buf_bytes(out, &head->founder, 32);
        ckv_buf_bytes(out, head->nonce, 16);
    }
    ckv_buf packed = ckv_buf_init(out->a);
    if (payload.status == CKV_OK && payload.len >= SMALL &&
        ckv_squeeze(&packed, payload.ptr, payload.len)) {
        ckv_buf_u8(out, 1);
        ckv_buf_varint(out, payload.len);
        ckv_buf_bytes(out, packed.ptr, packed.len);
    } else {
        ckv_buf_u8(out, 0);
        ckv_buf_varint(out, payload.len);
        ckv_buf_bytes(out, payload.ptr, payload.len);
    }
    const ckv_status s = payload.status != CKV_OK  ? payload.status
                         : packed.status != CKV_OK ? packed.status
                                                   : out->status;
    ckv_buf_fini(&payload);
    ckv_buf_fini(&packed);
    if (s == CKV_OK) ckv_buf_u64le(out, ckv_hash64(out->ptr + start, out->len - start));
    return s == CKV_OK ? out->status : s;
}

static ckv_status fail(ckv_err *err, size_t offset, const char *text)
{
    *err = (ckv_err){CKV_ECORRUPT, offset, text};
    return CKV_ECORRUPT;
}

ckv_status ckv_bundle_peek(const uint8_t *data, size_t n_bytes, ckv_bundle_head *head, ckv_rd *rest,
                           ckv_err *err)
{
    *head = (ckv_bundle_head){.has_founder = false};
    if (n_bytes < 4 || memcmp(data, MAGIC, 3) != 0) return fail(err, 0, "not a bundle");
    if (data[3] != VERSION) return fail(err, 3, "a bundle of another version");
    if (n_bytes < 4 + 32 + 1 + 1 + 1 + 8) return fail(err, n_bytes, "bundle: cut short");
    const size_t body = n_bytes - 8;
    ckv_rd tail = ckv_rd_init(data + body, 8);
    if (ckv_rd_u64le(&tail) != ckv_hash64(data, body))
        return fail(err, body, "bundle: checksum does not match");
    ckv_rd r = ckv_rd_init(data + 4, body - 4);
    memcpy(&head->doc, ckv_rd_bytes(&r, 32), 32);
    const uint8_t founder = ckv_rd_u8(&r);
    if (founder > 1) return fail(err, 36, "bundle: founder");
    if (founder) {
        const uint8_t *key = ckv_rd_bytes(&r, 32), *nonce = ckv_rd_bytes(&r, 16);
        if (!nonce) return fail(err, 37, "bundle: founder");
        head->has_founder = true;
        memcpy(&head->founder, key, 32);
        memcpy(head->nonce, nonce, 16);
        const ckv_id32 id = ckv_founded_doc_id(&head->founder, nonce);
        if (!ckv_id32_eq(&id, &head->doc))
            return fail(err, 37, "bundle: the document id is not the founder's");
    }
    *rest = r;
    return CKV_OK;
}

ckv_status ckv_bundle_open(ckv_bundle *b, ckv_alloc a, const uint8_t *data, size_t n_bytes,
                           ckv_err *err)
{
    ckv_rd r = {0};
    *b = (ckv_bundle){.payload = ckv_buf_init(a)};
    CKV_TRY(ckv_bundle_peek(data, n_bytes, &b->head, &r, err));
    const uint8_t codec = ckv_rd_u8(&r);
    const uint64_t raw_len = ckv_rd_varint(&r);
    if (r.status != CKV_OK || codec > 1) return fail(err, (size_t)(r.p - data), "bundle: packing");
    ckv_rd p = r;
    if (codec == 1) {
        const ckv_status s = ckv_unsqueeze(&b->payload, r.p, ckv_rd_left(&r), raw_len);
        if (s == CKV_ENOMEM) return s;
        if (s != CKV_OK)
            return fail(err, (size_t)(r.p - data),
                        s == CKV_ELIMIT ? "bundle: would unpack to more than 64 times its size"
                                        : "bundle: does not unpack");
        p = ckv_rd_init(b->payload.ptr, b->payload.len);
    } else if (raw_len != ckv_rd_left(&r)) {
        return fail(err, (size_t)(r.p - data), "bundle: length of the payload");
    }
    const uint8_t *const begin = p.p;
    uint64_t last = 0;
    while (p.p < p.end) {
        const uint64_t tag = ckv_rd_varint(&p);
        size_t n;
        const uint8_t *bytes = ckv_rd_blob(&p, &n);
        if (p.status != CKV_OK || tag <= last)
            return fail(err, (size_t)(p.p - begin), "bundle: sections");
        last = tag;
        if (tag < CKV_N_SECTIONS) b->sections[tag] = ckv_rd_init(bytes, n);
    }
    return CKV_OK;
}

void ckv_bundle_fini(ckv_bundle *b) { ckv_buf_fini(&b->payload); }
