#include "doc/peer.h"

#include "doc/import.h"
#include "doc/state.h"

ckv_peer ckv_peer_init(ckv_doc *doc)
{
    if (++doc->n_peers == 0) doc->n_peers = 1;
    return (ckv_peer){.n = {.a = doc->env.alloc}, .number = doc->n_peers};
}

void ckv_peer_fini(ckv_peer *p, ckv_doc *doc)
{
    if (p->number) ckv_inbox_forget_peer(&doc->inbox, p->number);
    ckv_u32s_fini(&p->n);
    p->number = 0;
}

/* One entry for each branch that is here now. */
static ckv_status widen(ckv_peer *p, const ckv_doc *doc)
{
    const size_t n = doc->graph.lanes.branches.len;
    if (p->n.len >= n) return CKV_OK;
    CKV_TRY(ckv_u32s_reserve(&p->n, n - p->n.len));
    while (p->n.len < n) ckv_u32s_put(&p->n, 0);
    return CKV_OK;
}

ckv_status ckv_peer_raise(ckv_peer *p, const ckv_doc *doc, uint32_t branch, uint32_t seq)
{
    const ckv_lanes *lanes = &doc->graph.lanes;
    CKV_TRY(widen(p, doc));
    for (uint32_t n = seq + 1; branch != CKV_NONE && n > 0;) {
        const ckv_branch *b = ckv_lanes_branch(lanes, branch);
        if (n > b->seq0) {
            if (p->n.ptr[branch] >= n) break;
            p->n.ptr[branch] = n;
        }
        if (n > b->seq0) n = b->seq0;
        branch = b->parent;
    }
    return CKV_OK;
}

ckv_status ckv_peer_raise_change(ckv_peer *p, const ckv_doc *doc, uint32_t change)
{
    uint32_t seq;
    const uint32_t branch = ckv_graph_branch(&doc->graph, change, &seq);
    return ckv_peer_raise(p, doc, branch, seq);
}

ckv_status ckv_peer_raise_all(ckv_peer *p, const ckv_doc *doc, uint32_t n_changes)
{
    const ckv_graph *g = &doc->graph;
    CKV_TRY(widen(p, doc));
    for (uint32_t b = 0; b < g->lanes.branches.len; b++) {
        const ckv_branch *br = ckv_lanes_branch(&g->lanes, b);
        uint32_t lo = br->seq0, hi = br->n_seq; /* numbers ascend along a branch */
        while (lo < hi) {
            const uint32_t mid = lo + (hi - lo) / 2;
            if (ckv_graph_at(g, b, mid) < n_changes)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo > br->seq0 && lo > p->n.ptr[b]) p->n.ptr[b] = lo;
    }
    if (n_changes > p->next) p->next = n_changes;
    return CKV_OK;
}

static bool has_at(const ckv_peer *p, uint32_t branch, uint32_t seq)
{
    return branch < p->n.len && seq < p->n.ptr[branch];
}

bool ckv_peer_has(const ckv_peer *p, const ckv_doc *doc, uint32_t change)
{
    uint32_t seq;
    if (change < p->next) return true;
    const uint32_t branch = ckv_graph_branch(&doc->graph, change, &seq);
    return has_at(p, branch, seq);
}

uint32_t ckv_peer_next(const ckv_peer *p, const ckv_doc *doc, uint32_t c)
{
    const ckv_graph *g = &doc->graph;
    const uint32_t n = ckv_ids_n(&g->ids);
    if (c < p->next) c = p->next;
    if (c >= n) return CKV_NO_CHANGE;
    for (uint32_t i = ckv_graph_segment_of(g, c); i < g->segments.len; i++) {
        const ckv_segment *s = &g->segments.ptr[i];
        const uint32_t end = i + 1 < g->segments.len ? s[1].start : n;
        if (c < s->start) c = s->start;
        const uint32_t had = s->branch < p->n.len ? p->n.ptr[s->branch] : 0;
        if (had <= s->seq0 + (c - s->start)) return c;
        c = had - s->seq0 < end - s->start ? s->start + (had - s->seq0) : end;
        if (c < end) return c;
    }
    return CKV_NO_CHANGE;
}

bool ckv_peer_lacks(ckv_peer *p, const ckv_doc *doc)
{
    const uint32_t c = ckv_peer_next(p, doc, p->next);
    p->next = c == CKV_NO_CHANGE ? ckv_ids_n(&doc->graph.ids) : c;
    return c != CKV_NO_CHANGE;
}

ckv_status ckv_peer_bundle(ckv_peer *p, ckv_doc *doc, size_t max_bytes, ckv_buf *out)
{
    uint32_t end;
    CKV_TRY(widen(p, doc));
    const ckv_past had = {.a = doc->env.alloc, .n = p->n.ptr, .cap = p->n.len}; /* borrowed */
    CKV_TRY(ckv_doc_export_past(doc, &had, NULL, max_bytes, out, &end));
    return ckv_peer_raise_all(p, doc, end);
}

ckv_status ckv_peer_apply(ckv_peer *p, ckv_doc *doc, const uint8_t *data, size_t n_bytes,
                          ckv_report *report, ckv_buf *ids, ckv_err *err)
{
    ckv_import m = ckv_import_init(doc, report, err);
    ckv_status s = ckv_import_read(&m, data, n_bytes);
    if (s == CKV_OK) s = ckv_import_enter(&m, p, ids);
    ckv_import_fini(&m);
    return s;
}

uint64_t ckv_peer_waiting(const ckv_peer *p, const ckv_doc *doc)
{
    return ckv_inbox_of_peer(&doc->inbox, p->number);
}

uint64_t ckv_doc_waiting_bytes(const ckv_doc *doc) { return doc->inbox.bytes; }

void ckv_doc_limit_waiting(ckv_doc *doc, uint64_t n_bytes) { doc->inbox.limit = n_bytes; }

ckv_status ckv_peer_missing(const ckv_peer *p, const ckv_doc *doc, size_t most, ckv_buf *out)
{
    const ckv_inbox *x = &doc->inbox;
    const size_t start = out->len;
    for (size_t i = 0; i < x->letters.len && out->len - start < 32 * most; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state == 1 && !l->later && l->peer == p->number &&
            ckv_inbox_find(x, &l->missing) == CKV_HMAP_NONE)
            ckv_buf_bytes(out, &l->missing, 32);
    }
    return out->status;
}

ckv_status ckv_doc_export_these(ckv_doc *doc, const ckv_id32 *ids, size_t n, ckv_buf *out,
                                bool *found)
{
    ckv_buf these = ckv_buf_init(doc->env.alloc), before = ckv_buf_init(doc->env.alloc);
    ckv_status s = CKV_OK;
    for (size_t i = 0; i < n && s == CKV_OK; i++) {
        uint32_t change;
        ckv_change_info info;
        s = ckv_ids_find(&doc->graph.ids, &ids[i], &change);
        if (s == CKV_OK) {
            ckv_doc_change(doc, change, &info);
            ckv_buf_bytes(&these, info.id, 32);
            if (info.prev) ckv_buf_bytes(&before, info.prev, 32);
            for (uint32_t k = 0; k < info.n_parents; k++)
                ckv_buf_bytes(&before, ckv_ids_at(&doc->graph.ids, info.parents[k]), 32);
        }
        if (s == CKV_ENOENT) s = CKV_OK;
    }
    if (s == CKV_OK) s = these.status != CKV_OK ? these.status : before.status;
    *found = these.len > 0;
    if (s == CKV_OK && *found)
        s = ckv_doc_export(doc, (const ckv_id32 *)(const void *)before.ptr, before.len / 32,
                           (const ckv_id32 *)(const void *)these.ptr, these.len / 32, out);
    ckv_buf_fini(&these);
    ckv_buf_fini(&before);
    return s;
}

/* ---- tips */

uint32_t ckv_doc_n_branches(const ckv_doc *doc) { return (uint32_t)doc->graph.lanes.branches.len; }

ckv_tip_info ckv_doc_tip(const ckv_doc *doc, uint32_t branch)
{
    const ckv_branch *b = ckv_lanes_branch(&doc->graph.lanes, branch);
    return (ckv_tip_info){.lane = &ckv_lanes_lane(&doc->graph.lanes, b->lane)->id,
                          .id = ckv_ids_at(&doc->graph.ids, b->tip),
                          .height = b->n_seq};
}

const ckv_id32 *ckv_doc_on_branch(const ckv_doc *doc, uint32_t branch, uint32_t seq)
{
    const ckv_branch *b = ckv_lanes_branch(&doc->graph.lanes, branch);
    if (seq < b->seq0 || seq >= b->n_seq) return NULL;
    return ckv_ids_at(&doc->graph.ids, ckv_graph_at(&doc->graph, branch, seq));
}

const ckv_id32 *ckv_doc_on_chain(const ckv_doc *doc, uint32_t branch, uint32_t seq, uint32_t *on)
{
    const ckv_lanes *lanes = &doc->graph.lanes;
    CKV_ASSERT(seq < ckv_lanes_branch(lanes, branch)->n_seq);
    while (seq < ckv_lanes_branch(lanes, branch)->seq0)
        branch = ckv_lanes_branch(lanes, branch)->parent;
    *on = branch;
    return ckv_doc_on_branch(doc, branch, seq);
}

void ckv_doc_random(ckv_doc *doc, uint8_t *out, size_t n_bytes)
{
    doc->env.random(doc->env.random_ctx, out, n_bytes);
}

/* ---- later */

bool ckv_doc_is_later(const ckv_doc *doc, const ckv_id32 *id)
{
    const uint32_t i = ckv_inbox_find(&doc->inbox, id);
    if (i == CKV_HMAP_NONE) return false;
    const ckv_letter *l = &doc->inbox.letters.ptr[i];
    return l->later && l->has_signature;
}

uint64_t ckv_doc_later_version(const ckv_doc *doc) { return doc->inbox.later_version; }

ckv_status ckv_doc_later(ckv_doc *doc, ckv_buf *out)
{
    const ckv_inbox *x = &doc->inbox;
    for (size_t i = 0; i < x->letters.len && x->n_later; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state == 1 && l->later && l->has_signature) ckv_buf_bytes(out, &l->id, 32);
    }
    if (out->status == CKV_OK) out->len = 32 * ckv_id32_sort_unique(out->ptr, out->len / 32);
    return out->status;
}
