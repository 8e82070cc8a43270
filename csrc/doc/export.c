/* export.c -- a bundle goes out: the changes that one version has and another lacks, in columns wherever they can be rebuilt from them.
 *
 * A change travels raw when its document has a content, when it is void, when its time is absurd, or when a lane that it names has forked: its names then depend on
 * more than the bundle shows.
 * Every branch ends with a signature. Own lanes are signed here; behind a foreign change whose signature lies further on, the headers up
 * to it go along without bodies.
 */
#include "dag/bundle.h"
#include "doc/content.h"
#include "doc/encode.h"
#include "doc/peer.h"
#include "doc/rebuild.h"
#include "log/columns.h"

#include <stdlib.h>

#define CHUNK                                                                                      \
    65536u /* changes in one bundle of several: its reader needs about 100 bytes for each */

/* A time further off travels raw: the difference of two in columns must fit 64 bits, whatever a liar writes. */
#define MAX_TIME ((int64_t)1 << 61)

typedef struct chain_out {   /* one branch */
    uint32_t branch, number; /* number: of the chain, CKV_NONE until its first change */
    uint32_t seq_a, seq_b;   /* exported: [seq_a, seq_b) */
    uint32_t n;              /* changes written */
    bool first_raw, last_raw, is_covered;
    uint32_t n_cover; /* headers behind seq_b that lead to a signature */
    uint32_t
        open_seq; /* while credit is reckoned: the first change that no signature covers yet, */
    uint64_t open, bytes;  /* what they cost, and the bodies before them */
    const ckv_cover *kept; /* and behind those, headers of changes that are not here; NULL: none */
} chain_out;
CKV_VEC(chains_out, chain_out);

typedef struct export
{
    ckv_doc *doc;
    ckv_buf sections[CKV_N_SECTIONS];
    ckv_buf lanes;        /* of the lanes section, without the count */
    ckv_u32s lane_of;     /* lane -> index in the bundle, CKV_NONE */
    ckv_u32s has_changes; /* lane -> 1 */
    uint32_t n_lanes, n_outside, n_chains;
    ckv_buf outside;
    ckv_hmap
        outside_at; /* change -> its index in `outside`: each is named once, readers hold the bytes against their number */
    chains_out chains;    /* by branch */
    ckv_u32s by_number;   /* number of a chain -> branch */
    ckv_u32s ordinal;     /* segment -> ordinal of its first exported change */
    ckv_u32s first;       /* segment -> its first exported change */
    uint32_t run_changes; /* signatures are as near to each other as this if they are here */
    ckv_columns_out columns;
    ckv_column_ops ops;
    ckv_buf text;
    ckv_namer names;
    size_t piece;  /* hint for extents */
    uint32_t last; /* the change whose names `names` has, CKV_NONE */
    ckv_extent last_extent;
    /* pairs of value and repeat that are still growing */
    uint64_t n_ops, n_ops_times, n_parents, n_parents_times, skip;
    ckv_buf parent_refs;
    int64_t time, delta;
    uint64_t delta_times;
    /* the slice that is still growing */
    uint32_t slice_chain, slice_form, slice_n;
    int64_t slice_base;
    size_t max_bytes;   /* stop soon behind so many, or CHUNK changes; 0: write all */
    uint32_t n_items;   /* in slices so far: changes, and headers that lead to signatures */
    uint32_t n_written; /* changes */
    uint32_t end;       /* the number behind the last one that was written */
}
export;

static void repeat(ckv_buf *column, uint64_t *value, uint64_t *times, uint64_t next)
{
    if (*times && *value == next) {
        ++*times;
        return;
    }
    if (*times) {
        ckv_buf_varint(column, *value);
        ckv_buf_varint(column, *times);
    }
    *value = next;
    *times = 1;
}

static void end_repeat(ckv_buf *column, uint64_t value, uint64_t times)
{
    if (!times) return;
    ckv_buf_varint(column, value);
    ckv_buf_varint(column, times);
}

static uint32_t lane_index(export *e, uint32_t lane)
{
    uint32_t *i = &e->lane_of.ptr[lane];
    if (*i != CKV_NONE) return *i;
    const ckv_lane *l = ckv_lanes_lane(&e->doc->graph.lanes, lane);
    *i = e->n_lanes++;
    if (e->has_changes.ptr[lane]) {
        ckv_buf_u8(&e->lanes, 1);
        ckv_buf_bytes(&e->lanes, &l->author, 32);
        ckv_buf_bytes(&e->lanes, l->nonce, 16);
    } else {
        ckv_buf_u8(&e->lanes, 0);
        ckv_buf_bytes(&e->lanes, &l->id, 32);
    }
    return *i;
}

static void end_slice(export *e)
{
    if (e->slice_n == 0) return;
    ckv_columns_end_slice(&e->columns);
    ckv_buf *s = &e->sections[CKV_SEC_SLICES];
    ckv_buf_varint(s, e->slice_chain);
    ckv_buf_u8(s, (uint8_t)e->slice_form);
    ckv_buf_varint(s, e->slice_n);
    if (e->slice_form == 2) ckv_buf_varint(s, (uint64_t)e->slice_base);
    e->slice_n = 0;
}

/* Counts one more change of a chain in the open slice, or opens one. */
static void in_slice(export *e, chain_out *chain, bool raw, int64_t base)
{
    const bool goes_on =
        e->slice_n && e->slice_chain == chain->number && (e->slice_form == 1) == raw;
    if (!goes_on) {
        end_slice(e);
        e->slice_chain = chain->number;
        e->slice_form = raw ? 1 : chain->n && chain->last_raw ? 2 : 0;
        e->slice_base = base;
    }
    if (chain->n++ == 0) chain->first_raw = raw;
    chain->last_raw = raw;
    e->slice_n++;
    e->n_items++;
}

/* ---- one change */

/* The place of an item as columns name it. False: they cannot, the change must travel raw. */
static bool spot(export *e, const ckv_namer *n, uint32_t item, ckv_spot *s)
{
    const ckv_graph *g = &e->doc->graph;
    *s = (ckv_spot){CKV_NO_LANE, 0};
    if (item == CKV_NO_ITEM) return true;
    if (item >= n->item0) {
        *s = (ckv_spot){e->lane_of.ptr[n->lane], (int64_t)n->own_off + (item - n->item0)};
        return true;
    }
    uint32_t off;
    const uint32_t branch = ckv_lanes_place(&g->lanes, item, g->ids.n_items, &off, NULL);
    const uint32_t lane = ckv_lanes_branch(&g->lanes, branch)->lane;
    if (ckv_lanes_lane(&g->lanes, lane)->n_branches > 1) return false;
    if (lane == n->lane && off >= n->own_off) return false;
    for (uint32_t i = 0; i < n->n_parents && lane != n->lane;
         i++) { /* the reader takes the first parent of the lane */
        if (ckv_lanes_branch(&g->lanes, n->parent_branch[i])->lane != lane) continue;
        if (off >= ckv_chain_items(g, n->parents[i])) return false;
        break;
    }
    *s = (ckv_spot){lane_index(e, lane), off};
    return true;
}

/* Collects the operations of a change as columns want them. CKV_EVOID: it must travel raw. */
static ckv_status collect(export *e, ckv_namer *n, uint32_t lv0, uint32_t lv1)
{
    ckv_doc *doc = e->doc;
    ckv_canon c;
    ckv_canon_op o;
    ckv_status s;
    e->ops.len = 0;
    ckv_buf_clear(&e->text);
    ckv_canon_init(&c, n, lv0, lv1);
    while (ckv_canon_next(&c, &o, &s)) {
        ckv_column_op op = {.kind = o.kind,
                            .n = o.n,
                            .left = {CKV_NO_LANE, 0},
                            .right = {CKV_NO_LANE, 0},
                            .holder = {CKV_NO_LANE, 0}};
        bool ok = true;
        switch ((unsigned)o.kind) {
        case CKV_OP_MARK:
        case CKV_OP_RESTORE: return CKV_EVOID;
        case CKV_OP_DELETE: ok = spot(e, n, o.item, &op.left); break;
        default:
            ok = spot(e, n, o.left, &op.left) && spot(e, n, o.right, &op.right) &&
                 spot(e, n, o.holder, &op.holder);
        }
        switch ((unsigned)o.kind) {
        case CKV_OP_INSERT: {
            const size_t before = e->text.len;
            ckv_chars_utf8(&doc->log.chars, o.item, o.n, &e->text);
            op.n_bytes = e->text.len - before; /* where they are is known when all are there */
            break;
        }
        case CKV_OP_SET:
        case CKV_OP_UNSET: {
            const uint32_t key = doc->tree.registers.regs.ptr[o.reg].key;
            op.bytes = ckv_keys_bytes(&doc->tree.keys, key);
            op.n_bytes = ckv_keys_len(&doc->tree.keys, key);
            if (o.kind == CKV_OP_UNSET) break;
        } /* fall through */
        case CKV_OP_ELEMENTS:
        case CKV_OP_ASSIGN:
        case CKV_OP_ADD:
        case CKV_OP_DISCARD:
            op.value = doc->log.values.ptr + o.value_off;
            op.value_bytes = ckv_values_bytes(&doc->log, o.value_off, o.n);
            break;
        case CKV_OP_COUNT: op.amount = o.amount; break;
        default: break;
        }
        if (!ok) return e->text.status == CKV_OK ? CKV_EVOID : e->text.status;
        CKV_TRY(ckv_column_ops_push(&e->ops, op));
    }
    return s != CKV_OK ? s : e->text.status;
}

/* The number of a parent that is not in this bundle. Without memory for the map it is named once more, and the sticky error of `outside` says so. */
static uint32_t outside_index(export *e, uint32_t parent, uint32_t branch)
{
    const ckv_graph *g = &e->doc->graph;
    const uint32_t known = ckv_hmap_get(&e->outside_at, parent);
    if (known != CKV_HMAP_NONE) return known;
    ckv_buf_varint(&e->outside, lane_index(e, ckv_lanes_branch(&g->lanes, branch)->lane));
    ckv_buf_bytes(&e->outside, ckv_ids_at(&g->ids, parent), 32);
    if (ckv_hmap_reserve(&e->outside_at, 1) == CKV_OK)
        ckv_hmap_set(&e->outside_at, parent, e->n_outside);
    else
        e->outside.status = CKV_ENOMEM;
    return e->n_outside++;
}

static void put_columns(export *e, chain_out *chain, const ckv_namer *n, uint32_t segment,
                        uint32_t c, uint32_t n_ops, int64_t time)
{
    ckv_doc *doc = e->doc;
    const ckv_graph *g = &doc->graph;
    in_slice(e, chain, false, n->own_off);
    repeat(&e->sections[CKV_SEC_N_OPS], &e->n_ops, &e->n_ops_times, n_ops);
    repeat(&e->sections[CKV_SEC_PARENTS], &e->n_parents, &e->n_parents_times, n->n_parents);
    const uint32_t ordinal = e->ordinal.ptr[segment] + (c - e->first.ptr[segment]);
    for (uint32_t i = 0; i < n->n_parents; i++) {
        const uint32_t parent = n->parents[i], s = ckv_graph_segment_of(g, parent);
        if (e->first.ptr[s] != CKV_NONE && parent >= e->first.ptr[s]) {
            const uint32_t p = e->ordinal.ptr[s] + (parent - e->first.ptr[s]);
            ckv_buf_varint(&e->parent_refs, (uint64_t)(ordinal - p) << 1 | 1);
        } else {
            ckv_buf_varint(&e->parent_refs, (uint64_t)outside_index(e, parent, n->parent_branch[i])
                                                << 1);
        }
    }
    const int64_t delta = time - e->time;
    uint64_t z = ckv_zigzag(e->delta);
    repeat(&e->sections[CKV_SEC_TIMES], &z, &e->delta_times, ckv_zigzag(delta));
    e->delta = ckv_unzigzag(z);
    e->time = time;
    const ckv_message_at *m = ckv_doc_message(doc, c);
    if (m) {
        ckv_buf_varint(&e->sections[CKV_SEC_MESSAGES], e->skip);
        ckv_buf_blob(&e->sections[CKV_SEC_MESSAGES], doc->message_bytes.ptr + m->off, m->n_bytes);
        e->skip = 0;
    } else {
        e->skip++;
    }
    int64_t off = n->own_off;
    size_t text = 0;
    for (size_t i = 0; i < e->ops.len; i++) {
        ckv_column_op *op = &e->ops.ptr[i];
        if (op->kind == CKV_OP_INSERT) op->bytes = e->text.ptr + text, text += op->n_bytes;
        ckv_columns_put(&e->columns, e->lane_of.ptr[n->lane], off, op, i == 0);
        if (ckv_op_makes_items(op->kind)) off += op->n;
    }
}

static ckv_status put_raw(export *e, chain_out *chain, uint32_t c, bool with_body)
{
    uint8_t header[CKV_HEADER_MAX_BYTES];
    size_t header_bytes = 0;
    ckv_buf body = ckv_buf_init(e->doc->env.alloc), *r = &e->sections[CKV_SEC_RAW];
    ckv_status s = with_body ? ckv_rebuild_change(e->doc, c, header, &header_bytes, &body)
                             : ckv_rebuild_header(e->doc, c, header, &header_bytes, &body);
    const bool left_out = s == CKV_ENOENT;
    if (s == CKV_OK || left_out) {
        s = CKV_OK;
        in_slice(e, chain, true, 0);
        ckv_buf_blob(r, header, header_bytes);
        if (!with_body) {
            ckv_buf_u8(r, 2);
        } else if (left_out) {
            ckv_buf_u8(r, 3);
        } else if (body.len <= CKV_INLINE_BODY_BYTES) {
            ckv_buf_u8(r, 0);
        } else {
            ckv_buf_u8(r, 1);
            ckv_buf_blob(r, body.ptr, body.len);
        }
    }
    ckv_buf_fini(&body);
    return s;
}

/* Points `names` at a change; in a segment the names of the change before only move on. */
static void name_change(export *e, uint32_t branch, uint32_t segment, uint32_t c)
{
    const ckv_graph *g = &e->doc->graph;
    const ckv_segment *s = &g->segments.ptr[segment];
    const ckv_extent extent = ckv_ids_extent(&g->ids, c, &e->piece);
    if (e->last != CKV_NONE && e->last + 1 == c && c > s->start) {
        ckv_namer_next(&e->names, branch, e->last, e->last_extent.n_items, extent.item);
    } else {
        ckv_namer_of(&e->names, ckv_lanes_branch(&g->lanes, branch)->lane,
                     c > s->start ? c - 1 : s->prev, g->parents.ptr + s->parents,
                     c > s->start ? 0 : s->n_parents, extent.item);
    }
    e->last = c;
    e->last_extent = extent;
}

static ckv_status put_change(export *e, chain_out *chain, uint32_t segment, uint32_t c)
{
    const ckv_graph *g = &e->doc->graph;
    if (e->doc->has_content) return put_raw(e, chain, c, true); /* nothing else can read it */
    if (e->doc->voids.len && ckv_doc_void(e->doc, c)) return put_raw(e, chain, c, true);
    const int64_t time = ckv_doc_time(e->doc, c);
    if (time < -MAX_TIME || time > MAX_TIME) return put_raw(e, chain, c, true);
    name_change(e, chain->branch, segment, c);
    const ckv_namer *n = &e->names;
    bool columns = true;
    for (uint32_t i = 0; i < n->n_parents; i++)
        columns &= ckv_lanes_of_branch(&g->lanes, n->parent_branch[i])->n_branches == 1;
    const uint32_t lv0 = e->last_extent.lv, n_ops = e->last_extent.n_ops;
    const ckv_status s = columns ? collect(e, &e->names, lv0, lv0 + n_ops) : CKV_EVOID;
    if (s == CKV_EVOID) return put_raw(e, chain, c, true);
    CKV_TRY(s);
    put_columns(e, chain, n, segment, c, n_ops, time);
    return CKV_OK;
}

/* ---- signatures */

/* Makes sure that the last exported change of a branch is signed, or that headers behind it lead to a signature. */
static ckv_status cover(export *e, chain_out *chain)
{
    ckv_doc *doc = e->doc;
    ckv_lanes *lanes = &doc->graph.lanes;
    const uint32_t seq = chain->seq_b - 1;
    const ckv_signed_at *at = ckv_lanes_signature(lanes, chain->branch, seq);
    if (at && at->seq == seq) return CKV_OK;
    const ckv_lane *l = ckv_lanes_of_branch(lanes, chain->branch);
    const uint32_t tip = ckv_graph_at(&doc->graph, chain->branch, seq);
    if (ckv_id32_eq(&l->author, &doc->identity.public_key)) {
        ckv_signature s;
        ckv_sign_change(&s, &doc->identity, &doc->id, &l->id, seq,
                        ckv_ids_at(&doc->graph.ids, tip));
        return ckv_lanes_sign(lanes, chain->branch, seq, &s);
    }
    if (at) {
        chain->n_cover = at->seq - seq;
        return CKV_OK;
    }
    chain->kept = ckv_doc_cover(doc, chain->branch, seq);
    if (chain->kept) chain->n_cover = chain->kept->seq - seq;
    return CKV_OK;
}

/* The next signature that a bundle needs: the last one that keeps the run from `seq` on within its limits and run_changes, or the very next. Each costs its
 * reader 50 us, and it covers all those before it. Where a lane forked all are kept, so that proofs stay short. */
static const ckv_signed_at *needed(const export *e, const ckv_signed_at *s,
                                   const ckv_signed_at *stop, uint32_t end, uint32_t seq,
                                   uint64_t bytes, bool forked)
{
    const ckv_signed_at *best = s;
    for (; s < stop && s->seq < end && !forked; s++) {
        if (s->seq - seq >= e->run_changes) break;
        if (s->before != UINT64_MAX && s->before - bytes <= CKV_RUN_BYTES) best = s;
    }
    return best;
}

/* What a reader keeps of a change, and of each parent, until a signature covers it (doc/import.h), and how much of that we ask of him: less
 * than he gives, since bodies may be longer than their columns. */
#define CHANGE_BYTES 128u
#define PARENT_BYTES 32u
#define OPEN_BYTES   (UINT64_C(3) << 20)

/* The next signature that a chain brings from open_seq on; NULL: none. */
static const ckv_signed_at *next_signature(const export *e, const chain_out *chain)
{
    const ckv_lanes *lanes = &e->doc->graph.lanes;
    const ckv_signed_ats *all = &ckv_lanes_branch(lanes, chain->branch)->signatures;
    const ckv_signed_at *s = ckv_lanes_signature(lanes, chain->branch, chain->open_seq);
    const uint32_t end = chain->seq_b + chain->n_cover;
    if (!s || s->seq >= end) return NULL;
    return needed(e, s, all->ptr + all->len, end, chain->open_seq, chain->bytes,
                  ckv_lanes_of_branch(lanes, chain->branch)->n_branches > 1);
}

/* The most that is uncovered at once, if run_changes is what it is. Of authors who wrote in turns all are, until their next signatures. */
static uint64_t most_open(export *e, const ckv_past *until)
{
    const ckv_graph *g = &e->doc->graph;
    uint64_t open = 0, most = 0;
    for (size_t b = 0; b < e->chains.len; b++) {
        e->chains.ptr[b].open_seq = e->chains.ptr[b].seq_a;
        e->chains.ptr[b].open = e->chains.ptr[b].bytes = 0;
    }
    for (uint32_t i = 0; i < g->segments.len; i++) {
        const ckv_segment *seg = &g->segments.ptr[i];
        const uint32_t first = e->first.ptr[i];
        if (first == CKV_NONE || first >= e->end) continue;
        uint32_t stop = until                     ? ckv_past_in_segment(until, g, i)
                        : i + 1 < g->segments.len ? seg[1].start
                                                  : ckv_ids_n(&g->ids);
        if (stop > e->end) stop = e->end;
        const uint32_t end = seg->seq0 + (stop - seg->start);
        chain_out *chain = &e->chains.ptr[seg->branch];
        uint64_t cost = (uint64_t)seg->n_parents * PARENT_BYTES;
        uint32_t seq = seg->seq0 + (first - seg->start);
        for (;;) { /* up to each signature in turn: a segment may have many */
            const ckv_signed_at *s = next_signature(e, chain);
            const bool pays = s && s->seq < end;
            const uint32_t to = pays ? s->seq + 1 : end;
            if (to > seq) cost += (uint64_t)(to - seq) * CHANGE_BYTES;
            chain->open += cost;
            open += cost;
            most = open > most ? open : most;
            if (!pays) break;
            open -= chain->open;
            chain->open = cost = 0;
            chain->open_seq = s->seq + 1;
            seq = to > seq ? to : seq;
            if (s->after != UINT64_MAX) chain->bytes = s->after;
        }
    }
    return most;
}

static ckv_status put_signatures(export *e, const chain_out *chain, ckv_buf *out)
{
    const ckv_lanes *lanes = &e->doc->graph.lanes;
    const ckv_signed_ats *all = &ckv_lanes_branch(lanes, chain->branch)->signatures;
    const ckv_signed_at *const stop = all->len ? all->ptr + all->len : NULL,
                               *s = ckv_lanes_signature(lanes, chain->branch, chain->seq_a);
    const bool forked = ckv_lanes_of_branch(lanes, chain->branch)->n_branches > 1;
    const uint32_t end = chain->seq_b + chain->n_cover;
    uint64_t bytes = s && s > all->ptr && s[-1].after != UINT64_MAX
                         ? s[-1].after
                         : 0;            /* of bodies before seq_a, at most */
    uint32_t n = 0, next = chain->seq_a; /* next: behind the signature before */
    ckv_buf gaps = ckv_buf_init(out->a);
    while (s && s < stop && s->seq < end) {
        s = needed(e, s, stop, end, next, bytes, forked);
        ckv_buf_varint(&gaps, s->seq - next);
        ckv_buf_bytes(&e->sections[CKV_SEC_SIGNATURES], s->signature.b, CKV_SIGNATURE_BYTES);
        next = s->seq + 1;
        if (s->after != UINT64_MAX) bytes = s->after;
        s++, n++;
    }
    if (chain->kept) {
        ckv_buf_varint(&gaps, end + chain->kept->n - 1 - next);
        ckv_buf_bytes(&e->sections[CKV_SEC_SIGNATURES], chain->kept->signature.b,
                      CKV_SIGNATURE_BYTES);
        n++;
    }
    ckv_buf_varint(out, n);
    ckv_buf_bytes(out, gaps.ptr, gaps.len);
    const ckv_status status = gaps.status != CKV_OK ? gaps.status : out->status;
    ckv_buf_fini(&gaps);
    return status;
}

/* Headers of changes that are not here, which lead to a signature. */
static void put_kept(export *e, chain_out *chain)
{
    ckv_rd r = ckv_rd_init(e->doc->cover_headers.ptr + chain->kept->off, chain->kept->n_bytes);
    for (uint32_t k = 0; k < chain->kept->n; k++) {
        size_t n;
        const uint8_t *header = ckv_rd_blob(&r, &n);
        in_slice(e, chain, true, 0);
        ckv_buf_blob(&e->sections[CKV_SEC_RAW], header, n);
        ckv_buf_u8(&e->sections[CKV_SEC_RAW], 2);
    }
}

/* Letters of a later version, but for those `known`, go along: raw chains of their own. How many. */
static size_t put_later(export *e, ckv_buf *chains, const ckv_id32 *known, size_t n_known)
{
    const ckv_inbox *x = &e->doc->inbox;
    size_t n = 0;
    for (size_t i = 0; i < x->letters.len && x->n_later; i++) {
        const ckv_letter *l = &x->letters.ptr[i];
        if (l->state != 1 || !l->later || !l->has_signature) continue;
        if (n_known && bsearch(&l->id, known, n_known, 32, ckv_id32_order)) continue;
        n++;
        end_slice(e);
        const uint32_t lane = e->n_lanes++;
        ckv_buf_u8(&e->lanes, 1);
        ckv_buf_bytes(&e->lanes, &l->author, 32);
        ckv_buf_bytes(&e->lanes, l->nonce, 16);
        ckv_buf_varint(chains, lane);
        ckv_buf_u8(chains, 0);
        ckv_buf_varint(chains, 1);
        ckv_buf_varint(chains, 0);
        ckv_buf_bytes(&e->sections[CKV_SEC_SIGNATURES], l->signature.b, CKV_SIGNATURE_BYTES);
        ckv_buf_varint(&e->sections[CKV_SEC_SLICES], e->n_chains++);
        ckv_buf_u8(&e->sections[CKV_SEC_SLICES], 1);
        ckv_buf_varint(&e->sections[CKV_SEC_SLICES], 1);
        ckv_buf *r = &e->sections[CKV_SEC_RAW];
        ckv_buf_blob(r, l->bytes, l->header_bytes);
        ckv_buf_u8(r, l->body_bytes > CKV_INLINE_BODY_BYTES);
        if (l->body_bytes > CKV_INLINE_BODY_BYTES)
            ckv_buf_blob(r, l->bytes + l->header_bytes, l->body_bytes);
    }
    return n;
}

/* ---- the whole */

static ckv_status select_changes(export *e, const ckv_past *until, const ckv_past *since)
{
    const ckv_graph *g = &e->doc->graph;
    CKV_TRY(ckv_u32s_reserve(&e->ordinal, g->segments.len));
    CKV_TRY(ckv_u32s_reserve(&e->first, g->segments.len));
    CKV_TRY(chains_out_reserve(&e->chains, g->lanes.branches.len));
    CKV_TRY(ckv_u32s_reserve(&e->by_number, g->lanes.branches.len));
    CKV_TRY(ckv_u32s_reserve(&e->lane_of, g->lanes.lanes.len));
    CKV_TRY(ckv_u32s_reserve(&e->has_changes, g->lanes.lanes.len));
    for (size_t i = 0; i < g->lanes.lanes.len; i++)
        ckv_u32s_put(&e->lane_of, CKV_NONE), ckv_u32s_put(&e->has_changes, 0);
    for (uint32_t i = 0; i < g->lanes.branches.len; i++)
        chains_out_put(&e->chains, (chain_out){.branch = i, .number = CKV_NONE});
    for (uint32_t i = 0; i < g->segments.len; i++) {
        const ckv_segment *s = &g->segments.ptr[i];
        const uint32_t end = i + 1 < g->segments.len ? s[1].start : ckv_ids_n(&g->ids);
        const uint32_t out = since ? ckv_past_in_segment(since, g, i) : s->start,
                       in = until ? ckv_past_in_segment(until, g, i) : end;
        ckv_u32s_put(&e->ordinal, 0);
        ckv_u32s_put(&e->first, out < in ? out : CKV_NONE);
        if (out >= in) continue;
        chain_out *c = &e->chains.ptr[s->branch];
        if (c->seq_b == 0) c->seq_a = s->seq0 + (out - s->start);
        c->seq_b = s->seq0 + (in - s->start);
        e->has_changes.ptr[ckv_lanes_branch(&g->lanes, s->branch)->lane] = 1;
    }
    return CKV_OK;
}

/* Is it time to stop behind change c of this chain? Where it is signed, so that no headers must lead from here to a signature, or soon. */
static bool is_enough(const export *e, const chain_out *chain, uint32_t c)
{
    if (e->max_bytes == 0) return false;
    const size_t n = e->sections[CKV_SEC_TEXT].len + e->sections[CKV_SEC_MAPS].len +
                     e->sections[CKV_SEC_RAW].len + e->sections[CKV_SEC_PARENTS].len +
                     e->sections[CKV_SEC_KINDS].len + e->outside.len + e->lanes.len +
                     e->sections[CKV_SEC_MESSAGES].len;
    if (n < e->max_bytes && e->n_written < CHUNK) return false;
    uint32_t seq;
    ckv_graph_branch(&e->doc->graph, c, &seq);
    const ckv_signed_at *at = ckv_lanes_signature(&e->doc->graph.lanes, chain->branch, seq);
    return (at && at->seq == seq) || n >= 2 * e->max_bytes || e->n_written >= 2 * CHUNK;
}

/* What proves the last change of a chain: a signature on it, or headers that lead to one. They follow at once, so that a reader need not
 * believe for long. */
static ckv_status put_cover(export *e, chain_out *chain)
{
    chain->is_covered = true;
    CKV_TRY(cover(e, chain));
    for (uint32_t k = 0; k < chain->n_cover; k++)
        CKV_TRY(put_raw(e, chain, ckv_graph_at(&e->doc->graph, chain->branch, chain->seq_b + k),
                        false));
    if (chain->kept) put_kept(e, chain);
    return CKV_OK;
}

/* The changes of all segments, as far as there is room. */
static ckv_status put_changes(export *e, const ckv_past *until)
{
    const ckv_graph *g = &e->doc->graph;
    for (uint32_t i = 0; i < g->segments.len; i++) {
        if (e->first.ptr[i] == CKV_NONE) continue;
        const ckv_segment *seg = &g->segments.ptr[i];
        const uint32_t end = until                     ? ckv_past_in_segment(until, g, i)
                             : i + 1 < g->segments.len ? seg[1].start
                                                       : ckv_ids_n(&g->ids);
        chain_out *chain = &e->chains.ptr[seg->branch];
        for (uint32_t c = e->first.ptr[i]; c < end; c++) {
            if (chain->number == CKV_NONE) {
                chain->number = e->n_chains++;
                ckv_u32s_put(&e->by_number, seg->branch); /* room for all branches */
                lane_index(e, ckv_lanes_branch(&g->lanes, seg->branch)->lane);
            }
            if (c == e->first.ptr[i]) e->ordinal.ptr[i] = e->n_items;
            CKV_TRY(put_change(e, chain, i, c));
            e->n_written++;
            if (chain->seq_a + chain->n == chain->seq_b) CKV_TRY(put_cover(e, chain));
            if (is_enough(e, chain, c)) {
                e->end = c + 1;
                return CKV_OK;
            }
        }
    }
    e->end = ckv_ids_n(&g->ids);
    return CKV_OK;
}

/* The same for chains that were cut short. */
static ckv_status put_late_covers(export *e)
{
    for (size_t b = 0; b < e->chains.len; b++) {
        chain_out *chain = &e->chains.ptr[b];
        if (chain->number == CKV_NONE || chain->is_covered) continue;
        chain->seq_b = chain->seq_a + chain->n;
        CKV_TRY(put_cover(e, chain));
    }
    return CKV_OK;
}

static ckv_status put_all(export *e, const ckv_past *until)
{
    const ckv_graph *g = &e->doc->graph;
    ckv_buf chains = ckv_buf_init(e->doc->env.alloc);
    CKV_TRY(ckv_columns_out_init(&e->columns, e->doc->env.alloc, e->sections + CKV_SEC_KINDS,
                                 g->lanes.lanes.len));
    ckv_status s = put_changes(e, until);
    if (s == CKV_OK) s = put_late_covers(e);
    end_slice(e);
    while (most_open(e, until) > OPEN_BYTES && e->run_changes > 1) e->run_changes /= 4;
    /* Chains in order of their numbers. */
    for (uint32_t number = 0, n = e->n_chains; number < n && s == CKV_OK; number++) {
        const chain_out *c = &e->chains.ptr[e->by_number.ptr[number]];
        const ckv_branch *br = ckv_lanes_branch(&g->lanes, c->branch);
        ckv_buf_varint(&chains, e->lane_of.ptr[br->lane]);
        const uint32_t first = ckv_graph_at(g, c->branch, c->seq_a),
                       prev = ckv_graph_prev(g, first);
        if (c->first_raw) {
            ckv_buf_u8(&chains, 0);
        } else {
            ckv_buf_u8(&chains, 1);
            ckv_buf_varint(&chains, c->seq_a);
            ckv_buf_varint(&chains, prev == CKV_NONE ? 0 : ckv_chain_items(g, prev));
            if (c->seq_a) ckv_buf_bytes(&chains, ckv_ids_at(&g->ids, prev), 32);
        }
        s = put_signatures(e, c, &chains);
    }
    if (s == CKV_OK && !until && !e->max_bytes) put_later(e, &chains, NULL, 0);
    if (e->n_chains) ckv_buf_varint(&e->sections[CKV_SEC_CHAINS], e->n_chains);
    ckv_buf_bytes(&e->sections[CKV_SEC_CHAINS], chains.ptr, chains.len);
    if (s == CKV_OK) s = chains.status;
    ckv_buf_fini(&chains);
    return s;
}

static ckv_status finish(export *e, ckv_buf *out)
{
    const ckv_doc *doc = e->doc;
    end_repeat(&e->sections[CKV_SEC_N_OPS], e->n_ops, e->n_ops_times);
    end_repeat(&e->sections[CKV_SEC_PARENTS], e->n_parents, e->n_parents_times);
    end_repeat(&e->sections[CKV_SEC_TIMES], ckv_zigzag(e->delta), e->delta_times);
    ckv_buf_bytes(&e->sections[CKV_SEC_PARENTS], e->parent_refs.ptr, e->parent_refs.len);
    if (e->n_lanes) ckv_buf_varint(&e->sections[CKV_SEC_LANES], e->n_lanes);
    ckv_buf_bytes(&e->sections[CKV_SEC_LANES], e->lanes.ptr, e->lanes.len);
    if (e->n_outside) ckv_buf_varint(&e->sections[CKV_SEC_OUTSIDE], e->n_outside);
    ckv_buf_bytes(&e->sections[CKV_SEC_OUTSIDE], e->outside.ptr, e->outside.len);
    if (e->lanes.status != CKV_OK) return e->lanes.status;
    if (e->outside.status != CKV_OK) return e->outside.status;
    if (e->parent_refs.status != CKV_OK) return e->parent_refs.status;
    ckv_bundle_head head = {
        .doc = doc->id, .has_founder = doc->has_founder, .founder = doc->founder};
    memcpy(head.nonce, doc->founder_nonce, 16);
    return ckv_bundle_write(out, &head, e->sections);
}

ckv_status ckv_doc_version(ckv_doc *doc, const ckv_id32 *ids, size_t n, bool strict, ckv_past *out)
{
    ckv_past_reset(out);
    for (size_t i = 0; i < n; i++) {
        uint32_t c;
        const ckv_status s = ckv_ids_find(&doc->graph.ids, &ids[i], &c);
        if (s == CKV_ENOENT && !strict) continue;
        CKV_TRY(s);
        CKV_TRY(ckv_past_add(out, &doc->graph, c));
    }
    ckv_past_close(out, &doc->graph);
    return CKV_OK;
}

static bool put_number(uint32_t change, void *out)
{
    ckv_buf_bytes(out, &change, sizeof change);
    return true;
}

ckv_status ckv_doc_select(ckv_doc *doc, const ckv_id32 *since, size_t n_since,
                          const ckv_id32 *until, size_t n_until, ckv_buf *out)
{
    ckv_past a = ckv_past_init(doc->env.alloc), b = ckv_past_init(doc->env.alloc);
    ckv_status s = until ? ckv_doc_version(doc, until, n_until, true, &a) : CKV_OK;
    if (s == CKV_OK) s = ckv_doc_version(doc, since, n_since, false, &b);
    if (s == CKV_OK) {
        ckv_bits *bits = ckv_past_minus(until ? &a : NULL, &b, &doc->graph);
        if (bits)
            ckv_bits_each(bits, put_number, out);
        else
            s = CKV_ENOMEM;
        ckv_bits_free(bits);
    }
    ckv_past_fini(&a);
    ckv_past_fini(&b);
    return s == CKV_OK ? out->status : s;
}

/* Whether peer has the change at (branch, seq). */
static ckv_status peer_has(const ckv_doc *doc, ckv_doc *peer, uint32_t branch, uint32_t seq,
                           bool *has)
{
    uint32_t c;
    const ckv_status s = ckv_ids_find(
        &peer->graph.ids, ckv_ids_at(&doc->graph.ids, ckv_graph_at(&doc->graph, branch, seq)), &c);
    *has = s == CKV_OK;
    return s == CKV_ENOENT ? CKV_OK : s;
}

ckv_status ckv_doc_common(ckv_doc *doc, ckv_doc *peer, ckv_buf *out)
{
    const ckv_lanes *lanes = &doc->graph.lanes;
    for (uint32_t b = 0; b < lanes->branches.len; b++) {
        const ckv_branch *br = ckv_lanes_branch(lanes, b);
        uint32_t
            lo = br->seq0,
            hi = br->n_seq; /* what peer has of a branch is a prefix of it: it has all ancestors */
        bool has;
        CKV_TRY(peer_has(doc, peer, b, hi - 1, &has));
        if (has) lo = hi;
        while (lo < hi) {
            const uint32_t mid = lo + (hi - lo) / 2;
            CKV_TRY(peer_has(doc, peer, b, mid, &has));
            if (has)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo > br->seq0)
            ckv_buf_bytes(out, ckv_ids_at(&doc->graph.ids, ckv_graph_at(&doc->graph, b, lo - 1)),
                          32);
    }
    return out->status;
}

/* ---- from outside */

static void export_init(export *e, ckv_doc *doc)
{
    const ckv_alloc a = doc->env.alloc;
    *e = (export){.doc = doc,
                  .lanes = ckv_buf_init(a),
                  .lane_of = {.a = a},
                  .has_changes = {.a = a},
                  .outside = ckv_buf_init(a),
                  .outside_at = ckv_hmap_init(a, (uint32_t)doc->graph.ids.secret),
                  .chains = {.a = a},
                  .by_number = {.a = a},
                  .ordinal = {.a = a},
                  .first = {.a = a},
                  .ops = {.a = a},
                  .text = ckv_buf_init(a),
                  .parent_refs = ckv_buf_init(a),
                  .run_changes = CKV_RUN_CHANGES,
                  .last = CKV_NONE};
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) e->sections[i] = ckv_buf_init(a);
    e->columns.cur.a = a;
    ckv_namer_init(&e->names, doc);
}

static void export_fini(export *e)
{
    for (size_t i = 0; i < CKV_N_SECTIONS; i++) ckv_buf_fini(&e->sections[i]);
    ckv_buf_fini(&e->lanes);
    ckv_u32s_fini(&e->lane_of);
    ckv_u32s_fini(&e->has_changes);
    ckv_buf_fini(&e->outside);
    ckv_hmap_fini(&e->outside_at);
    chains_out_fini(&e->chains);
    ckv_u32s_fini(&e->by_number);
    ckv_u32s_fini(&e->ordinal);
    ckv_u32s_fini(&e->first);
    ckv_columns_out_fini(&e->columns);
    ckv_column_ops_fini(&e->ops);
    ckv_buf_fini(&e->text);
    ckv_namer_fini(&e->names);
    ckv_buf_fini(&e->parent_refs);
}

ckv_status ckv_doc_export_past(ckv_doc *doc, const ckv_past *since, const ckv_past *until,
                               size_t max_bytes, ckv_buf *out, uint32_t *end)
{
    export e;
    export_init(&e, doc);
    e.max_bytes = max_bytes;
    ckv_status s = select_changes(&e, until, since);
    if (s == CKV_OK) s = put_all(&e, until);
    if (s == CKV_OK) s = finish(&e, out);
    *end = e.end;
    export_fini(&e);
    return s;
}

ckv_status ckv_doc_export(ckv_doc *doc, const ckv_id32 *since, size_t n_since,
                          const ckv_id32 *until, size_t n_until, ckv_buf *out)
{
    ckv_past from = ckv_past_init(doc->env.alloc), to = ckv_past_init(doc->env.alloc);
    uint32_t end;
    ckv_status s = until ? ckv_doc_version(doc, until, n_until, true, &to) : CKV_OK;
    if (s == CKV_OK) s = ckv_doc_version(doc, since, n_since, false, &from);
    if (s == CKV_OK) s = ckv_doc_export_past(doc, &from, until ? &to : NULL, 0, out, &end);
    ckv_past_fini(&from);
    ckv_past_fini(&to);
    return s;
}

ckv_status ckv_doc_export_later(ckv_doc *doc, const ckv_id32 *known, size_t n_known, ckv_buf *out,
                                size_t *n)
{
    export e;
    ckv_buf chains = ckv_buf_init(doc->env.alloc);
    export_init(&e, doc);
    *n = put_later(&e, &chains, known, n_known);
    ckv_buf_varint(&e.sections[CKV_SEC_CHAINS], e.n_chains);
    ckv_buf_bytes(&e.sections[CKV_SEC_CHAINS], chains.ptr, chains.len);
    ckv_status s = chains.status;
    if (s == CKV_OK) s = finish(&e, out);
    ckv_buf_fini(&chains);
    export_fini(&e);
    return s;
}

/* ---- bodies alone */

/* One change as a chain of its own, or behind the one before it. *skipped: its body is not here, or stands in its header. */
static ckv_status put_body(export *e, ckv_buf *chains, uint32_t c, uint32_t *branch, uint32_t *seq,
                           bool *skipped)
{
    const ckv_graph *g = &e->doc->graph;
    uint8_t header[CKV_HEADER_MAX_BYTES];
    size_t header_bytes;
    uint32_t at;
    ckv_buf body = ckv_buf_init(e->doc->env.alloc), *r = &e->sections[CKV_SEC_RAW];
    const ckv_status s = ckv_rebuild_change(e->doc, c, header, &header_bytes, &body);
    *skipped = s == CKV_ENOENT || (s == CKV_OK && body.len <= CKV_INLINE_BODY_BYTES);
    if (s == CKV_OK && !*skipped) {
        const uint32_t b = ckv_graph_branch(g, c, &at);
        if (e->slice_n && b == *branch && at == *seq + 1) {
            e->slice_n++;
        } else {
            end_slice(e);
            const uint32_t lane = ckv_lanes_branch(&g->lanes, b)->lane;
            e->has_changes.ptr[lane] = 1;
            ckv_buf_varint(chains, lane_index(e, lane));
            ckv_buf_u8(chains, 0);
            ckv_buf_varint(chains, 0);
            e->slice_chain = e->n_chains++;
            e->slice_form = 1;
            e->slice_n = 1;
        }
        *branch = b;
        *seq = at;
        ckv_buf_blob(r, header, header_bytes);
        ckv_buf_u8(r, 1);
        ckv_buf_blob(r, body.ptr, body.len);
    }
    ckv_buf_fini(&body);
    return s == CKV_ENOENT ? CKV_OK : s;
}

ckv_status ckv_doc_export_bodies(ckv_doc *doc, const uint32_t *changes, size_t n, size_t max_bytes,
                                 ckv_buf *out, size_t *n_done)
{
    export e;
    ckv_buf chains = ckv_buf_init(doc->env.alloc);
    const size_t n_lanes = doc->graph.lanes.lanes.len;
    uint32_t branch = CKV_NONE, seq = 0;
    export_init(&e, doc);
    ckv_status s = ckv_u32s_reserve(&e.lane_of, n_lanes);
    if (s == CKV_OK) s = ckv_u32s_reserve(&e.has_changes, n_lanes);
    for (size_t i = 0; i < n_lanes && s == CKV_OK; i++)
        ckv_u32s_put(&e.lane_of, CKV_NONE), ckv_u32s_put(&e.has_changes, 0);
    *n_done = 0;
    for (size_t i = 0; i < n && s == CKV_OK; i++) {
        bool skipped;
        s = put_body(&e, &chains, changes[i], &branch, &seq, &skipped);
        *n_done = i + 1;
        if (max_bytes && e.sections[CKV_SEC_RAW].len >= max_bytes) break;
    }
    end_slice(&e);
    if (e.n_chains) ckv_buf_varint(&e.sections[CKV_SEC_CHAINS], e.n_chains);
    ckv_buf_bytes(&e.sections[CKV_SEC_CHAINS], chains.ptr, chains.len);
    if (s == CKV_OK) s = chains.status;
    if (s == CKV_OK) s = finish(&e, out);
    ckv_buf_fini(&chains);
    export_fini(&e);
    return s;
}
