#include "doc/absent.h"

#include "doc/state.h"
#include "ds/runs.h"

#include <stdlib.h>

#define ENTRY_RUNS 512u /* at most: an entry is to fit into what a message has left */
#define RUN_BYTES  12u  /* of a run on its way, at most */

static ckv_body_state state_of(const ckv_doc *doc, uint32_t change)
{
    return doc->content.body_state(doc->content.ctx, change);
}

static uint32_t segment_end(const ckv_graph *g, uint32_t i)
{
    return i + 1 < g->segments.len ? g->segments.ptr[i + 1].start : ckv_ids_n(&g->ids);
}

/* ---- digest */

typedef struct placed { /* a change of a lane that forked */
    uint32_t seq;
    ckv_id32 id;
} placed;
CKV_VEC(places, placed);

static int by_place(const void *x, const void *y)
{
    const placed *a = x, *b = y;
    return a->seq != b->seq ? (a->seq < b->seq ? -1 : 1) : ckv_id32_cmp(&a->id, &b->id);
}

typedef struct lane_order {
    ckv_id32 id;
    uint32_t lane;
} lane_order;
CKV_VEC(lane_orders, lane_order);

static int by_lane_id(const void *x, const void *y)
{
    return ckv_id32_cmp(&((const lane_order *)x)->id, &((const lane_order *)y)->id);
}

/* The absent ones of a branch, as runs, or by their ids. */
static ckv_status collect(const ckv_doc *doc, uint32_t branch, ckv_runs *runs, places *ids)
{
    const ckv_graph *g = &doc->graph;
    const ckv_branch *b = ckv_lanes_branch(&g->lanes, branch);
    for (size_t k = 0; k < b->segments.len; k++) {
        const uint32_t i = b->segments.ptr[k], end = segment_end(g, i);
        const ckv_segment *s = &g->segments.ptr[i];
        for (uint32_t c = s->start; c < end; c++) {
            if (state_of(doc, c) == CKV_BODY_HERE) continue;
            const uint32_t seq = s->seq0 + (c - s->start);
            CKV_TRY(ids ? places_push(ids, (placed){seq, *ckv_ids_at(&g->ids, c)})
                        : ckv_runs_append(runs, seq, (uint64_t)seq + 1));
        }
    }
    return CKV_OK;
}

/* Appends what is absent of a lane. Which branch is whose child depends on arrival where it forked, ids do not. */
static ckv_status put_lane(const ckv_doc *doc, uint32_t lane, ckv_buf *out)
{
    const ckv_lane *l = ckv_lanes_lane(&doc->graph.lanes, lane);
    const bool forked = l->n_branches > 1;
    const ckv_alloc a = doc->env.alloc;
    ckv_runs runs = {.a = a};
    places ids = {.a = a};
    ckv_status s = CKV_OK;
    for (uint32_t b = l->first_branch; b != CKV_NONE && s == CKV_OK;
         b = ckv_lanes_branch(&doc->graph.lanes, b)->next)
        s = collect(doc, b, &runs, forked ? &ids : NULL);
    if (s == CKV_OK && runs.len + ids.len) {
        ckv_buf_bytes(out, &l->id, 32);
        ckv_buf_varint(out, ids.len);
        if (ids.len) qsort(ids.ptr, ids.len, sizeof *ids.ptr, by_place);
        for (size_t i = 0; i < ids.len; i++) ckv_buf_bytes(out, &ids.ptr[i].id, 32);
        if (!forked) {
            ckv_runs_walk walk = ckv_runs_walk_init(&runs);
            ckv_runs_out w = ckv_runs_out_init(out);
            ckv_runs_out_all(&w, ckv_runs_walk_stream(&walk));
            ckv_runs_out_end(&w);
        }
    }
    ckv_runs_fini(&runs);
    places_fini(&ids);
    return s == CKV_OK ? out->status : s;
}

ckv_status ckv_absent_digest(ckv_doc *doc, ckv_id32 *out, bool *any)
{
    const ckv_lanes *lanes = &doc->graph.lanes;
    const uint64_t version = doc->content.absent_version(doc->content.ctx);
    if (!doc->absent_valid || doc->absent_version != version ||
        doc->absent_branches != lanes->branches.len) {
        ckv_buf all = ckv_buf_init(doc->env.alloc);
        lane_orders order = {.a = doc->env.alloc};
        ckv_status s = lane_orders_reserve(&order, lanes->lanes.len);
        for (uint32_t i = 0; i < lanes->lanes.len && s == CKV_OK; i++)
            lane_orders_put(&order, (lane_order){lanes->lanes.ptr[i].id, i});
        if (order.len) qsort(order.ptr, order.len, sizeof *order.ptr, by_lane_id);
        for (size_t i = 0; i < order.len && s == CKV_OK; i++)
            s = put_lane(doc, order.ptr[i].lane, &all);
        if (s == CKV_OK) {
            ckv_digest(&doc->absent_digest, "crdtkv-absent-v1", all.ptr, all.len);
            doc->absent_any = all.len > 0;
            doc->absent_version = version;
            doc->absent_branches = lanes->branches.len;
            doc->absent_valid = true;
        }
        lane_orders_fini(&order);
        ckv_buf_fini(&all);
        CKV_TRY(s);
    }
    *out = doc->absent_digest;
    *any = doc->absent_any;
    return CKV_OK;
}

/* ---- question */

/* The next change of the walk's branch. CKV_NO_CHANGE: none. */
static uint32_t next_claimed(const ckv_doc *doc, const ckv_absent_walk *w)
{
    const ckv_graph *g = &doc->graph;
    const ckv_branch *b = ckv_lanes_branch(&g->lanes, w->branch);
    if (w->seq >= b->n_seq) return CKV_NO_CHANGE;
    size_t k = 0;
    CKV_SEEK(&k, b->segments.len, g->segments.ptr[b->segments.ptr[i]].seq0, w->seq);
    for (; k < b->segments.len; k++) {
        const uint32_t i = b->segments.ptr[k], end = segment_end(g, i);
        const ckv_segment *s = &g->segments.ptr[i];
        for (uint32_t c = s->start + (w->seq > s->seq0 ? w->seq - s->seq0 : 0); c < end; c++) {
            if (c >= w->below) return CKV_NO_CHANGE; /* numbers ascend along a branch */
            if (state_of(doc, c) == CKV_BODY_CLAIMED) return c;
        }
    }
    return CKV_NO_CHANGE;
}

ckv_status ckv_absent_ask(const ckv_doc *doc, ckv_absent_walk *w, size_t room, ckv_buf *out,
                          bool *more)
{
    const ckv_graph *g = &doc->graph;
    const size_t start = out->len;
    ckv_runs runs = {.a = doc->env.alloc};
    ckv_status s = CKV_OK;
    *more = true;
    while (s == CKV_OK && w->branch < g->lanes.branches.len) {
        const size_t left = room - (out->len - start);
        if (room < out->len - start + CKV_ABSENT_ENTRY_BYTES) break;
        size_t most = (left - 48) / RUN_BYTES;
        if (most > ENTRY_RUNS) most = ENTRY_RUNS;
        uint32_t last = CKV_NO_CHANGE;
        runs.len = 0;
        for (uint32_t c; s == CKV_OK && (c = next_claimed(doc, w)) != CKV_NO_CHANGE;) {
            uint32_t seq;
            ckv_graph_branch(g, c, &seq);
            if (runs.len == most && runs.ptr[runs.len - 1].end != seq) break;
            s = ckv_runs_append(&runs, seq, (uint64_t)seq + 1);
            w->seq = seq + 1;
            last = c;
        }
        if (s == CKV_OK && last != CKV_NO_CHANGE) {
            ckv_runs_walk walk = ckv_runs_walk_init(&runs);
            ckv_buf_bytes(out, ckv_ids_at(&g->ids, last), 32);
            ckv_runs_out set = ckv_runs_out_init(out);
            ckv_runs_out_all(&set, ckv_runs_walk_stream(&walk));
            ckv_runs_out_end(&set);
            s = out->status;
        } else {
            w->branch++;
            w->seq = 0;
        }
    }
    *more = w->branch < g->lanes.branches.len;
    ckv_runs_fini(&runs);
    return s;
}

ckv_status ckv_absent_read(ckv_doc *doc, ckv_rd r, uint64_t *credit, ckv_u32s *out)
{
    const ckv_graph *g = &doc->graph;
    while (ckv_rd_left(&r)) {
        uint32_t last, top = CKV_MAX_SEQ, branch = CKV_NONE;
        ckv_id32 id;
        const uint8_t *bytes = ckv_rd_bytes(&r, 32);
        if (!bytes) return CKV_ECORRUPT;
        memcpy(&id, bytes, 32);
        const ckv_status s = ckv_ids_find(&doc->graph.ids, &id, &last);
        if (s != CKV_OK && s != CKV_ENOENT) return s;
        if (s == CKV_OK) branch = ckv_graph_branch(g, last, &top);
        ckv_runs_in set = ckv_runs_in_init(&r, 0, top);
        if (r.status != CKV_OK) return CKV_ECORRUPT;
        for (ckv_run run; ckv_runs_in_next(&set, &run);) {
            const uint64_t n = branch == CKV_NONE ? 1 : run.end - run.start;
            if (n > *credit) return CKV_ELIMIT;
            *credit -= n;
            for (uint64_t seq = run.start; branch != CKV_NONE && seq < run.end; seq++) {
                const uint32_t c = ckv_graph_at(g, branch, (uint32_t)seq);
                if (state_of(doc, c) == CKV_BODY_HERE) CKV_TRY(ckv_u32s_push(out, c));
            }
        }
    }
    return CKV_OK;
}
