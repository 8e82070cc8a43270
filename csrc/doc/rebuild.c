#include "doc/rebuild.h"

#include "doc/encode.h"

ckv_status ckv_rebuild_change(ckv_doc *doc, uint32_t change, uint8_t *header, size_t *header_bytes,
                              ckv_buf *body)
{
    const ckv_graph *g = &doc->graph;
    ckv_change_info info;
    ckv_id32 parents[CKV_MAX_PARENTS], hash;
    ckv_doc_change(doc, change, &info);
    const ckv_void_at *v = ckv_doc_void(doc, change);
    ckv_buf_clear(body);
    if (v) {
        ckv_buf_bytes(body, doc->void_bodies.ptr + v->off, v->n_bytes);
    } else {
        const ckv_body_head head = {
            .time = info.time, .message = info.message, .message_bytes = info.message_bytes};
        ckv_namer names;
        ckv_namer_init(&names, doc);
        ckv_namer_of(&names, ckv_lanes_find(&g->lanes, info.lane), ckv_graph_prev(g, change),
                     info.parents, info.n_parents, ckv_ids_item(&g->ids, change));
        const ckv_status s = ckv_encode_body(&names, ckv_ids_lv(&g->ids, change),
                                             ckv_ids_lv(&g->ids, change + 1), &head, body);
        ckv_namer_fini(&names);
        CKV_TRY(s);
    }
    if (body->status != CKV_OK) return body->status;
    for (uint32_t i = 0; i < info.n_parents; i++)
        parents[i] = *ckv_ids_at(&g->ids, info.parents[i]);
    ckv_header h = {.seq = info.seq,
                    .n_ops = info.n_ops,
                    .body_len = (uint32_t)body->len,
                    .has_prev = info.prev != NULL,
                    .n_parents = info.n_parents,
                    .parents = parents,
                    .body = body->ptr ? body->ptr : (const uint8_t *)""};
    if (info.prev) h.prev = *info.prev;
    if (body->len > CKV_INLINE_BODY_BYTES) {
        hash = ckv_body_hash(body->ptr, body->len);
        h.body_hash = &hash;
    }
    *header_bytes = ckv_header_write(header, &h);
    ckv_id32 id;
    ckv_digest_change(&id, info.lane, header, *header_bytes);
    CKV_ASSERT(ckv_id32_eq(&id, info.id)); /* there is one way to write a body */
    return CKV_OK;
}
