/* names.c -- from references to items: each by its one name, and only what the author could know. */
#include "doc/encode.h"
#include "doc/judge.h"

static bool on_parent_chain(const ckv_judge *j, uint32_t i, uint32_t lane, uint32_t off,
                            uint32_t item)
{
    const ckv_lanes *lanes = &j->doc->graph.lanes;
    return ckv_lanes_branch(lanes, j->parent_branch[i])->lane == lane && off < j->parent_items[i] &&
           ckv_lanes_item(lanes, j->parent_branch[i], off) == item;
}

static bool on_own_chain(const ckv_judge *j, uint32_t lane, uint32_t off, uint32_t item)
{
    return lane == j->lane && off < j->own_off &&
           ckv_lanes_item(&j->doc->graph.lanes, j->prev_branch, off) == item;
}

/* Items of the chain of `branch` that the past holds. The branch is the deepest of its lane there, so that its first change is in. */
static uint32_t items_in_past(const ckv_judge *j, uint32_t branch)
{
    const ckv_graph *g = &j->doc->graph;
    if (j->view.past->all) return ckv_lanes_branch(&g->lanes, branch)->off_end;
    uint32_t lo = ckv_lanes_branch(&g->lanes, branch)->seq0 + 1,
             hi = ckv_lanes_branch(&g->lanes, branch)->n_seq;
    while (lo < hi) { /* the first of its changes that is not in */
        const uint32_t mid = lo + (hi - lo) / 2;
        if (ckv_past_has(j->view.past, g, ckv_graph_at(g, branch, mid)))
            lo = mid + 1;
        else
            hi = mid;
    }
    return ckv_chain_items(g, ckv_graph_at(g, branch, lo - 1));
}

ckv_status ckv_names_change(ckv_judge *j, uint32_t index, uint32_t *change)
{
    ckv_graph *g = &j->doc->graph;
    ckv_id32 id;
    j->used.ptr[j->body.n_lanes + index] = 1;
    memcpy(&id, j->body.changes + 32 * (size_t)index, 32);
    const ckv_status s = ckv_ids_find(&g->ids, &id, change);
    if (s == CKV_ENOENT || (s == CKV_OK && !ckv_past_has(j->view.past, g, *change)))
        return ckv_wrong(j, "rule 14: names a change outside the causal past");
    return s;
}

ckv_status ckv_names_range(ckv_judge *j, ckv_ref ref, uint32_t skip, uint32_t n, uint32_t made,
                           uint32_t *item, uint32_t *len)
{
    const ckv_graph *g = &j->doc->graph;
    const ckv_lanes *lanes = &g->lanes;
    uint32_t off = 0, end = 0, branch = CKV_NONE;
    if (ref.code == CKV_REF_OWN) {
        const uint64_t next = (uint64_t)j->own_off + made;
        if (ref.value > next) return ckv_wrong(j, "rule 14: names an item before the lane's first");
        const uint64_t at = next - ref.value + skip;
        if (at + n > next) return ckv_wrong(j, "rule 14: names an item that comes later");
        if (at >= j->own_off) {
            *item = j->item0 + (uint32_t)(at - j->own_off);
            *len = n;
            return CKV_OK;
        }
        off = (uint32_t)at;
        branch = j->prev_branch;
        end = j->own_off;
    } else if (ref.code < CKV_REF_PARENT + j->n_parents) {
        const uint32_t i = ref.code - CKV_REF_PARENT;
        branch = j->parent_branch[i];
        end = j->parent_items[i];
        if ((uint64_t)ref.value + skip >= end)
            return ckv_wrong(j, "rule 14: names an item outside the causal past");
        off = ref.value + skip;
        for (uint32_t k = 0; k < i && skip == 0; k++) {
            *item = ckv_lanes_item(lanes, branch, off);
            if (on_parent_chain(j, k, ckv_lanes_branch(lanes, branch)->lane, off, *item))
                return ckv_wrong(j, "body: an item is not named by its one name");
        }
    } else {
        const uint32_t t = ref.code - CKV_REF_PARENT - j->n_parents;
        bool forked;
        uint32_t lane, deepest;
        j->used.ptr[t] = 1;
        if (t < j->body.n_lanes) {
            ckv_id32 id;
            memcpy(&id, j->body.lanes + 32 * (size_t)t, 32);
            lane = ckv_lanes_find(lanes, &id);
            deepest = lane == CKV_NONE ? CKV_NONE : ckv_past_lane(j->view.past, g, lane, &forked);
            if (deepest == CKV_NONE)
                return ckv_wrong(j, "rule 14: names a lane outside the causal past");
            if (forked) return ckv_wrong(j, "body: names a forked lane, not the change");
            branch = deepest;
            end = items_in_past(j, branch);
            if ((uint64_t)ref.value + skip >= end)
                return ckv_wrong(j, "rule 14: names an item outside the causal past");
            off = ref.value + skip;
            *item = ckv_lanes_item(lanes, branch, off);
        } else {
            uint32_t change;
            CKV_TRY(ckv_names_change(j, t - j->body.n_lanes, &change));
            const uint32_t first = ckv_ids_item(&g->ids, change),
                           n_items = ckv_ids_item(&g->ids, change + 1) - first;
            CKV_ASSERT(skip == 0); /* the items of a change are one piece */
            if (ref.value >= n_items || n > n_items - ref.value)
                return ckv_wrong(j, "rule 14: names an item that its change did not make");
            *item = first + ref.value;
            *len = n;
            branch = ckv_lanes_place(lanes, *item, g->ids.n_items, &off, NULL);
            lane = ckv_lanes_branch(lanes, branch)->lane;
            ckv_past_lane(j->view.past, g, lane, &forked);
            if (!forked) return ckv_wrong(j, "body: names a change, not its lane");
        }
        if (skip == 0) {
            if (on_own_chain(j, lane, off, *item))
                return ckv_wrong(j, "body: an item is not named by its one name");
            for (uint32_t k = 0; k < j->n_parents; k++) {
                if (on_parent_chain(j, k, lane, off, *item))
                    return ckv_wrong(j, "body: an item is not named by its one name");
            }
        }
        if (t >= j->body.n_lanes) return CKV_OK;
    }
    if (ref.code != CKV_REF_OWN && n > end - off)
        return ckv_wrong(j, "rule 14: names an item outside the causal past");
    *item = ckv_lanes_stretch(lanes, branch, off, len);
    if (*len > end - off) *len = end - off;
    if (*len > n) *len = n;
    return CKV_OK;
}

ckv_status ckv_names_item(ckv_judge *j, ckv_ref ref, uint32_t made, uint32_t *item)
{
    uint32_t len;
    *item = CKV_NO_ITEM;
    return ref.code == CKV_REF_NONE ? CKV_OK : ckv_names_range(j, ref, 0, 1, made, item, &len);
}

ckv_status ckv_names_container(ckv_judge *j, ckv_ref ref, uint32_t made, ckv_tag kind,
                               uint32_t *container)
{
    const ckv_doc *doc = j->doc;
    uint32_t item;
    CKV_TRY(ckv_names_item(j, ref, made, &item));
    *container = item == CKV_NO_ITEM ? CKV_ROOT : ckv_tree_of(&doc->tree, item);
    if (*container == CKV_NONE || ckv_tree_at(&doc->tree, *container)->kind != (uint32_t)kind)
        return ckv_wrong(j, "rule 14: an operation on what is no container of its kind");
    if (item != CKV_NO_ITEM &&
        item != ckv_container_item(doc, *container, j->view.past, j->item0, UINT32_MAX))
        return ckv_wrong(j, "body: a container is not named by its one name");
    return CKV_OK;
}
