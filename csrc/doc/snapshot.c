#include "doc/snapshot.h"

ckv_status ckv_snapshot_take(ckv_snapshot *at, const ckv_doc *doc)
{
    *at = (ckv_snapshot){.n_changes = ckv_ids_n(&doc->graph.ids),
                         .n_lanes = (uint32_t)doc->graph.lanes.lanes.len,
                         .journal = doc->journal.log.len,
                         .message_bytes = doc->message_bytes.len,
                         .void_bytes = doc->void_bodies.len,
                         .cover_bytes = doc->cover_headers.len,
                         .events = doc->events.len,
                         .patches = doc->patches.len,
                         .told = doc->told,
                         .heads = {.a = doc->env.alloc}};
    CKV_TRY(ckv_u32s_reserve(&at->heads, doc->graph.heads.len));
    for (size_t i = 0; i < doc->graph.heads.len; i++)
        ckv_u32s_put(&at->heads, doc->graph.heads.ptr[i]);
    return CKV_OK;
}

void ckv_snapshot_fini(ckv_snapshot *at) { ckv_u32s_fini(&at->heads); }

void ckv_snapshot_back(ckv_doc *doc, const ckv_snapshot *at)
{
    ckv_doc_undo_to(doc, at->journal);
    ckv_crowds_forget(
        &doc->space.crowds); /* siblings that a walk found are gone, too, and not in the journal */
    ckv_graph_truncate(&doc->graph, at->n_changes, at->n_lanes, at->heads.ptr, at->heads.len);
    ckv_oplog_truncate(&doc->log, doc->graph.ids.n_lv, doc->graph.ids.n_items);
    while (doc->times.len && doc->times.ptr[doc->times.len - 1].change >= at->n_changes)
        doc->times.len--;
    while (doc->messages.len && doc->messages.ptr[doc->messages.len - 1].change >= at->n_changes)
        doc->messages.len--;
    doc->message_bytes.len = at->message_bytes;
    while (doc->voids.len && doc->voids.ptr[doc->voids.len - 1].change >= at->n_changes)
        doc->voids.len--;
    doc->void_bodies.len = at->void_bytes;
    size_t kept = 0; /* covers stand in order of their places, new ones among old */
    for (size_t i = 0; i < doc->covers.len; i++) {
        if (doc->covers.ptr[i].off < at->cover_bytes) doc->covers.ptr[kept++] = doc->covers.ptr[i];
    }
    doc->covers.len = kept;
    doc->cover_headers.len = at->cover_bytes;
    ckv_inbox_revert(&doc->inbox);
    ckv_doc_untell(doc, at->events, at->patches, at->told);
    doc->root_valid = doc->absent_valid = false;
    doc->asked_of = CKV_NONE;
    if (doc->restored_lane != CKV_NONE && doc->restored_lane >= at->n_lanes)
        doc->restored_lane = CKV_NONE;
    if (doc->has_content) doc->content.forget(doc->content.ctx, at->n_changes);
}
