#include "doc/forge.h"

#include "base/hash64.h"
#include "doc/encode.h"
#include "doc/import.h"

/* The number of a change, CKV_NONE if it is not here. */
static ckv_status number_of(ckv_doc *doc, const ckv_id32 *id, uint32_t *change)
{
    const ckv_status s = ckv_ids_find(&doc->graph.ids, id, change);
    if (s == CKV_OK) return CKV_OK;
    *change = CKV_NONE;
    return s == CKV_ENOENT ? CKV_OK : s;
}

static ckv_status encode_open(ckv_doc *doc, uint32_t prev, const ckv_u32s *parents, int64_t time_ms,
                              ckv_buf *body)
{
    const ckv_graph *g = &doc->graph;
    const ckv_body_head head = {.time = time_ms};
    uint32_t lane = CKV_NONE, seq;
    ckv_namer names;
    if (prev != CKV_NONE) lane = ckv_lanes_branch(&g->lanes, ckv_graph_branch(g, prev, &seq))->lane;
    ckv_namer_init(&names, doc);
    ckv_namer_of(&names, lane, prev, parents->ptr, (uint32_t)parents->len, g->ids.n_items);
    const ckv_status s = ckv_encode_body(&names, g->ids.n_lv, doc->log.n_lv, &head, body);
    ckv_namer_fini(&names);
    return s;
}

ckv_status ckv_forge_body(ckv_doc *doc, const ckv_id32 *prev, const uint8_t *parents,
                          size_t n_parents, int64_t time_ms, uint32_t *n_ops, ckv_buf *body)
{
    ckv_u32s numbers = {.a = doc->env.alloc};
    uint32_t before = CKV_NONE;
    CKV_TRY(ckv_doc_flush(doc));
    if (prev) CKV_TRY(number_of(doc, prev, &before));
    ckv_status s = ckv_u32s_reserve(&numbers, n_parents);
    for (size_t i = 0; i < n_parents && s == CKV_OK; i++) {
        ckv_id32 id;
        uint32_t number;
        memcpy(&id, parents + 32 * i, 32);
        s = number_of(doc, &id, &number);
        if (s == CKV_OK) ckv_u32s_put(&numbers, number);
    }
    if (s == CKV_OK) s = encode_open(doc, before, &numbers, time_ms, body);
    if (s == CKV_OK) *n_ops = doc->log.n_lv - doc->graph.ids.n_lv;
    ckv_u32s_fini(&numbers);
    return s;
}

uint32_t ckv_forge_n_ops(const uint8_t *body, size_t n_bytes, uint32_t n_parents)
{
    ckv_body b;
    ckv_body_op op;
    if (ckv_body_open(&b, body, n_bytes, n_parents) != CKV_OK) return 0;
    while (ckv_body_next(&b, &op)) {
    }
    return b.n_ops;
}

ckv_status ckv_forge_opening(const ckv_doc *doc, const ckv_id32 *lane, ckv_id32 *author,
                             uint8_t nonce[16])
{
    const uint32_t number = ckv_lanes_find(&doc->graph.lanes, lane);
    if (number == CKV_NONE) return CKV_ENOENT;
    const ckv_lane *l = ckv_lanes_lane(&doc->graph.lanes, number);
    *author = l->author;
    memcpy(nonce, l->nonce, 16);
    return CKV_OK;
}

void ckv_forge_lift_limits(ckv_doc *doc)
{
    doc->limits = (ckv_limits){.depth = CKV_MOST_DEPTH,
                               .tips = UINT32_MAX,
                               .key_bytes = 4 * CKV_MAX_KEY_BYTES,
                               .body_bytes = 4 * CKV_MAX_BODY_BYTES};
}

uint64_t ckv_forge_checksum(const uint8_t *data, size_t n_bytes)
{
    return ckv_hash64(data, n_bytes);
}

void ckv_forge_sign(uint8_t signature[64], const ckv_identity *who, const void *message,
                    size_t n_bytes)
{
    ckv_sign_bytes(signature, who, message, n_bytes);
}

/* ---- bundles in pieces */

/* Notes in each change of a bundle which signature stands at it. */
static void place_signatures(ckv_import *m)
{
    for (size_t k = 0; k < m->chains.len; k++) {
        const ckv_chain_in *c = &m->chains.ptr[k];
        uint32_t at = 0, sig = 0;
        for (uint32_t i = c->first; i != CKV_NONE && sig < c->n_sigs; i = m->items.ptr[i].next) {
            if (m->sig_at.ptr[c->sigs + sig] == at++) m->items.ptr[i].signature = c->sigs + sig++;
        }
    }
}

/* Raw changes are copied as they came, rules broken or not: `raw` stands before the next one. */
static void put_raw(ckv_part *p, ckv_rd *raw, ckv_buf *bytes)
{
    const uint8_t *header = ckv_rd_blob(raw, &p->header_bytes), *body = NULL;
    ckv_buf_bytes(bytes, header, p->header_bytes);
    p->form = ckv_rd_u8(raw);
    p->body = bytes->len;
    if (p->form == 1) body = ckv_rd_blob(raw, &p->body_bytes);
    ckv_buf_bytes(bytes, body, p->body_bytes);
}

static void put_columns(ckv_part *p, const ckv_import *m, const ckv_item_in *item, ckv_buf *bytes)
{
    uint8_t header[CKV_HEADER_MAX_BYTES];
    p->header_bytes = ckv_import_header(header, m, item);
    ckv_buf_bytes(bytes, header, p->header_bytes);
    p->form = item->body_len > CKV_INLINE_BODY_BYTES;
    p->body = bytes->len;
    p->body_bytes = p->form ? item->body_len : 0;
    ckv_buf_bytes(bytes, m->bodies.ptr + item->body, p->body_bytes);
}

static void put_parts(ckv_import *m, ckv_rd *raw, ckv_buf *parts, ckv_buf *bytes)
{
    place_signatures(m);
    for (size_t i = 0; i < m->items.len; i++) {
        const ckv_item_in *item = &m->items.ptr[i];
        const ckv_lane_in *lane = &m->lanes.ptr[m->chains.ptr[item->chain].lane];
        ckv_part p = {.id = item->id,
                      .lane = lane->id,
                      .author = lane->author,
                      .has_opening = lane->has_opening,
                      .has_signature = item->signature != CKV_NONE,
                      .chain = item->chain,
                      .header = bytes->len};
        memcpy(p.nonce, lane->nonce, 16);
        if (p.has_signature)
            memcpy(p.signature,
                   m->bundle.sections[CKV_SEC_SIGNATURES].p + (size_t)item->signature * 64, 64);
        if (item->raw)
            put_raw(&p, raw, bytes);
        else
            put_columns(&p, m, item, bytes);
        ckv_buf_bytes(parts, &p, sizeof p);
    }
}

ckv_status ckv_forge_take_apart(ckv_doc *doc, const uint8_t *data, size_t n_bytes, ckv_buf *parts,
                                ckv_buf *bytes, ckv_err *err)
{
    ckv_import m = ckv_import_init(doc, NULL, err);
    m.any_form = true;
    ckv_bundle again = {.payload = ckv_buf_init(doc->env.alloc)}; /* reading uses a bundle up */
    ckv_status s = ckv_import_read(&m, data, n_bytes);
    if (s == CKV_OK) s = ckv_bundle_open(&again, doc->env.alloc, data, n_bytes, err);
    if (s == CKV_OK) put_parts(&m, &again.sections[CKV_SEC_RAW], parts, bytes);
    if (s == CKV_OK) s = parts->status != CKV_OK ? parts->status : bytes->status;
    ckv_bundle_fini(&again);
    ckv_import_fini(&m);
    return s;
}
