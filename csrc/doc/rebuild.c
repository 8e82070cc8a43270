#include "doc/rebuild.h"

#include "doc/encode.h"

/* The header that has this body or, NULL, this hash. */
static size_t write_header(const ckv_doc *doc, const ckv_change_info *info, const ckv_buf *body,
                           const ckv_id32 *hash, uint32_t body_len, uint8_t *header)
{
    ckv_id32 parents[CKV_MAX_PARENTS];
    for (uint32_t i = 0; i < info->n_parents; i++)
        parents[i] = *ckv_ids_at(&doc->graph.ids, info->parents[i]);
    const ckv_header h = {.type = ckv_doc_type(doc),
                          .seq = info->seq,
                          .n_ops = info->n_ops,
                          .body_len = body_len,
                          .has_prev = info->prev != NULL,
                          .prev = info->prev ? *info->prev : (ckv_id32){{0}},
                          .n_parents = info->n_parents,
                          .parents = parents,
                          .body = body->ptr ? body->ptr : (const uint8_t *)"",
                          .body_hash = hash};
    return ckv_header_write(header, &h);
}

/* From what the content keeps, which may be damaged: that shows in the id. */
static ckv_status rebuild_content(ckv_doc *doc, uint32_t change, bool with_body, uint8_t *header,
                                  size_t *header_bytes, ckv_buf *body)
{
    ckv_change_info info;
    ckv_body_info b = {0};
    ckv_id32 id;
    const ckv_content *x = &doc->content;
    ckv_doc_change_here(doc, change, &info);
    ckv_buf_clear(body);
    ckv_status s = x->body(x->ctx, change, &b, with_body ? body : NULL);
    if (s == CKV_OK && !with_body && b.body_len <= CKV_INLINE_BODY_BYTES)
        s = x->body(x->ctx, change, &b, body);
    if (s != CKV_OK && s != CKV_ENOENT) return s;
    if (body->status != CKV_OK) return body->status;
    const bool is_inline = b.body_len <= CKV_INLINE_BODY_BYTES,
               is_here = s == CKV_OK && (with_body || is_inline);
    if ((is_inline && s != CKV_OK) || (is_here && body->len != b.body_len)) return CKV_ECORRUPT;
    if (is_here && !is_inline) b.hash = ckv_body_hash(body->ptr, body->len);
    info.n_ops = b.n_ops;
    *header_bytes = write_header(doc, &info, body, &b.hash, b.body_len, header);
    ckv_digest_change(&id, info.lane, header, *header_bytes);
    if (!ckv_id32_eq(&id, info.id)) return CKV_ECORRUPT;
    return with_body ? s : CKV_OK;
}

ckv_status ckv_rebuild_change(ckv_doc *doc, uint32_t change, uint8_t *header, size_t *header_bytes,
                              ckv_buf *body)
{
    if (doc->has_content) return rebuild_content(doc, change, true, header, header_bytes, body);
    const ckv_graph *g = &doc->graph;
    ckv_change_info info;
    ckv_id32 hash, id;
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
    if (body->len > CKV_INLINE_BODY_BYTES) hash = ckv_body_hash(body->ptr, body->len);
    *header_bytes = write_header(doc, &info, body, &hash, (uint32_t)body->len, header);
    ckv_digest_change(&id, info.lane, header, *header_bytes);
    CKV_ASSERT(ckv_id32_eq(&id, info.id)); /* there is one way to write a body */
    return CKV_OK;
}

ckv_status ckv_rebuild_header(ckv_doc *doc, uint32_t change, uint8_t *header, size_t *header_bytes,
                              ckv_buf *body)
{
    return doc->has_content ? rebuild_content(doc, change, false, header, header_bytes, body)
                            : ckv_rebuild_change(doc, change, header, header_bytes, body);
}
