#include "doc/diff.h"

#include "doc/apply.h"
#include "doc/walk.h"
#include "ds/sort.h"

/* ---- what was touched */

static ckv_status touch(ckv_differ *d, uint32_t container, uint32_t item, uint32_t n)
{
    ckv_touch *last = ckv_touches_last(&d->touches);
    if (last && last->container == container && last->item + last->n == item) {
        last->n += n;
        return CKV_OK;
    }
    return ckv_touches_push(&d->touches, (ckv_touch){container, item, n});
}

/* Items that were deleted or restored, of whatever kind. */
static ckv_status touch_named(ckv_differ *d, uint32_t item, uint32_t n)
{
    const ckv_doc *doc = d->doc;
    while (n) {
        const size_t run = ckv_oplog_at_item(&doc->log, item);
        const ckv_op *op = &doc->log.ops.ptr[run];
        const uint32_t left = ckv_oplog_len(&doc->log, run) - (item - op->item),
                       m = left < n ? left : n;
        switch ((unsigned)op->kind) {
        case CKV_OP_INSERT:
        case CKV_OP_ELEMENTS:
            CKV_TRY(touch(d, op->holder, item, m));
            for (uint32_t i = item; op->kind == CKV_OP_ELEMENTS && i < item + m; i++) {
                if (doc->moves.v.len && ckv_hmap_get(&doc->moves.by_element, i) != CKV_HMAP_NONE)
                    CKV_TRY(ckv_u32s_push(&d->moved, i));
                const uint32_t reg = ckv_register_find(&doc->tree.registers, op->holder, i);
                if (reg != CKV_NONE) CKV_TRY(ckv_u32s_push(&d->regs, reg));
            }
            break;
        case CKV_OP_MARK: CKV_TRY(ckv_u32s_push(&d->marked, op->holder)); break;
        default: CKV_TRY(ckv_u32s_push(&d->regs, ckv_doc_register_of(doc, op)));
        }
        item += m;
        n -= m;
    }
    return CKV_OK;
}

static ckv_status touch_op(ckv_differ *d, const ckv_op *op, uint32_t k, uint32_t n)
{
    const ckv_doc *doc = d->doc;
    switch ((ckv_op_kind)op->kind) {
    case CKV_OP_INSERT:
    case CKV_OP_ELEMENTS: return touch(d, op->holder, op->item + k, n);
    case CKV_OP_DELETE:
    case CKV_OP_RESTORE: return touch_named(d, op->item + k, n);
    case CKV_OP_SET:
    case CKV_OP_UNSET:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD:
    case CKV_OP_ASSIGN: return ckv_u32s_push(&d->regs, ckv_doc_register_of(doc, op));
    case CKV_OP_MOVE: return ckv_u32s_push(&d->moved, doc->log.moved.ptr[op->holder]);
    case CKV_OP_COUNT: return ckv_u32s_push(&d->counters, op->holder);
    case CKV_OP_MARK: return ckv_u32s_push(&d->marked, op->holder);
    }
    return CKV_OK;
}

/* All operations [lv, lv1). */
static ckv_status touch_range(ckv_differ *d, uint32_t lv, uint32_t lv1)
{
    const ckv_oplog *log = &d->doc->log;
    if (lv >= lv1) return CKV_OK;
    for (size_t run = ckv_oplog_at_lv(log, lv); lv < lv1; run++) {
        const ckv_op *op = &log->ops.ptr[run];
        const uint32_t end = op->lv + ckv_oplog_len(log, run), to = end < lv1 ? end : lv1;
        CKV_TRY(touch_op(d, op, lv - op->lv, to - lv));
        lv = to;
    }
    return CKV_OK;
}

static ckv_status touch_all(ckv_differ *d)
{
    const ckv_graph *g = &d->doc->graph;
    for (uint32_t i = 0; i < g->segments.len; i++) {
        const uint32_t start = g->segments.ptr[i].start, end = i + 1 < g->segments.len
                                                                   ? g->segments.ptr[i + 1].start
                                                                   : ckv_ids_n(&g->ids);
        const uint32_t in_a = d->a ? ckv_past_in_segment(d->a, g, i) : end,
                       in_b = d->b ? ckv_past_in_segment(d->b, g, i) : end;
        const uint32_t from = in_a < in_b ? in_a : in_b, to = in_a < in_b ? in_b : in_a;
        (void)start;
        if (from < to) CKV_TRY(touch_range(d, ckv_ids_lv(&g->ids, from), ckv_ids_lv(&g->ids, to)));
    }
    if (!d->a != !d->b)
        CKV_TRY(touch_range(d, g->ids.n_lv, d->doc->log.n_lv)); /* the open change */
    return CKV_OK;
}

static bool number_before(void *ctx, uint32_t a, uint32_t b)
{
    (void)ctx;
    return a < b;
}

static ckv_status sort_once(ckv_u32s *v)
{
    size_t n = 0;
    CKV_TRY(ckv_sort(v, number_before, NULL));
    for (size_t i = 0; i < v->len; i++) {
        if (n == 0 || v->ptr[n - 1] != v->ptr[i]) v->ptr[n++] = v->ptr[i];
    }
    v->len = n;
    return CKV_OK;
}

static bool reg_before(void *ctx, uint32_t a, uint32_t b) /* by holder, then in order of keys */
{
    const ckv_tree *t = ctx;
    const ckv_register *x = &t->registers.regs.ptr[a], *y = &t->registers.regs.ptr[b];
    if (x->holder != y->holder) return x->holder < y->holder;
    if (ckv_tree_at(t, x->holder)->kind == CKV_TAG_LIST) return x->key < y->key;
    return ckv_keys_order(&t->keys, x->key, y->key) < 0;
}

/* An element that was moved shows at other slots than its own. */
static ckv_status touch_slots(ckv_differ *d, uint32_t element)
{
    const ckv_doc *doc = d->doc;
    const uint32_t list = doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, element)].holder;
    CKV_TRY(touch(d, list, element, 1));
    const ckv_past *const versions[2] = {d->a, d->b};
    for (int i = 0; i < 2; i++) {
        const uint32_t slot =
            versions[i] ? ckv_moves_slot_at(&doc->moves, &doc->graph, versions[i], element)
                        : ckv_moves_slot(&doc->moves, element);
        CKV_TRY(touch(d, list, slot, 1));
    }
    return CKV_OK;
}

static bool touch_before(void *ctx, uint32_t a, uint32_t b)
{
    const ckv_touches *v = ctx;
    const ckv_touch *x = &v->ptr[a], *y = &v->ptr[b];
    return x->container != y->container ? x->container < y->container : x->item < y->item;
}

/* Touches by container and item, none twice. */
static ckv_status sort_touches(ckv_differ *d)
{
    ckv_touches sorted = {.a = d->doc->env.alloc};
    ckv_status s = ckv_touches_reserve(&sorted, d->touches.len);
    d->order.len = 0;
    for (uint32_t i = 0; i < d->touches.len && s == CKV_OK; i++) s = ckv_u32s_push(&d->order, i);
    if (s == CKV_OK) s = ckv_sort(&d->order, touch_before, &d->touches);
    for (size_t i = 0; i < d->order.len && s == CKV_OK; i++) {
        ckv_touch t = d->touches.ptr[d->order.ptr[i]], *last = ckv_touches_last(&sorted);
        if (last && last->container == t.container && last->item + last->n > t.item) {
            const uint32_t end = t.item + t.n;
            if (end > last->item + last->n) last->n = end - last->item;
            continue;
        }
        ckv_touches_put(&sorted, t);
    }
    if (s == CKV_OK) {
        ckv_touches_fini(&d->touches);
        d->touches = sorted;
    } else {
        ckv_touches_fini(&sorted);
    }
    return s;
}

/* ---- places */

/* Is what a register (of an element: at its place) shows at a version this container? */
static ckv_status shows_it(ckv_differ *d, const ckv_past *at, uint32_t container, bool *out)
{
    ckv_doc *doc = d->doc;
    const ckv_container *c = ckv_tree_at(&doc->tree, container);
    uint32_t lv;
    *out = false;
    if (c->gone) return CKV_OK;
    if (c->element != CKV_NO_ITEM) {
        bool in;
        ckv_gap gap;
        if (!ckv_space_locate(&doc->space, c->element, &gap)) return CKV_OK;
        ckv_items_alike(doc, at, c->element, 1, &in);
        if (!in || ckv_doc_hidden(doc, at, ckv_space_span(&doc->space, gap.leaf, gap.slot)->del))
            return CKV_OK;
        CKV_TRY(ckv_doc_shown_element(doc, at, c->holder, c->element, &lv));
    } else {
        CKV_TRY(ckv_doc_shown(doc, at, c->reg, &lv));
    }
    if (lv == CKV_NONE) return CKV_OK;
    const ckv_value v = ckv_doc_value_at(doc, lv);
    *out = !ckv_tag_is_scalar(v.tag) && v.container == container;
    return CKV_OK;
}

/* Is a container shown at both versions, from the root down? Then its patches are its own; else they are in what stands around it. */
static ckv_status is_shown(ckv_differ *d, uint32_t container, bool *out)
{
    *out = true;
    for (uint32_t c = container; c != CKV_ROOT && *out; c = ckv_tree_at(&d->doc->tree, c)->holder) {
        CKV_TRY(shows_it(d, d->a, c, out));
        if (*out) CKV_TRY(shows_it(d, d->b, c, out));
    }
    return CKV_OK;
}

ckv_status ckv_diff_position(ckv_differ *d, const ckv_past *at, uint32_t slot, uint32_t *pos)
{
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&d->doc->space, slot, &gap));
    if (!at) {
        const ckv_span *s = ckv_space_span(&d->doc->space, gap.leaf, gap.slot);
        *pos = ckv_seq_pos(&d->doc->space, gap) - ckv_span_visible(&d->doc->space, s);
        return CKV_OK;
    }
    ckv_walk w;
    *pos = 0;
    CKV_TRY(ckv_walk_begin(&w, d->doc, at, d->doc->space.leaves.ptr[gap.leaf].seq, 0, SIZE_MAX));
    for (uint32_t item, n; ckv_walk_next(&w, &item, &n); *pos += n) {
        if (slot < item || slot >= item + n) continue;
        *pos += slot - item;
        return CKV_OK;
    }
    return CKV_OK;
}

/* The path at b: containers further up have their patches already. */
static ckv_status put_path(ckv_differ *d, uint32_t container)
{
    ckv_doc *doc = d->doc;
    uint32_t way[CKV_TREE_DEPTH], n = 0;
    for (uint32_t c = container; c != CKV_ROOT; c = ckv_tree_at(&doc->tree, c)->holder)
        way[n++] = c;
    ckv_buf_u8(d->out, CKV_PATCH_PATH);
    ckv_buf_varint(d->out, n);
    while (n) {
        const ckv_container *c = ckv_tree_at(&doc->tree, way[--n]);
        if (c->element != CKV_NO_ITEM) {
            uint32_t pos;
            const uint32_t slot =
                d->b ? ckv_moves_slot_at(&doc->moves, &doc->graph, d->b, c->element)
                     : ckv_moves_slot(&doc->moves, c->element);
            CKV_TRY(ckv_diff_position(d, d->b, slot, &pos));
            ckv_buf_u8(d->out, 1);
            ckv_buf_varint(d->out, pos);
        } else {
            ckv_buf_u8(d->out, 0);
            CKV_TRY(ckv_plain_out_key(d->plain, doc->tree.registers.regs.ptr[c->reg].key));
        }
    }
    return d->out->status;
}

ckv_status ckv_diff_put(ckv_differ *d, ckv_patch_kind kind)
{
    if (!d->path_written) CKV_TRY(put_path(d, d->container));
    d->path_written = true;
    ckv_buf_u8(d->out, (uint8_t)kind);
    return d->out->status;
}

ckv_status ckv_diff_value(ckv_differ *d, bool old, const ckv_value *value)
{
    ckv_plain_out_at(d->plain, old ? d->a : d->b);
    return ckv_plain_out_value(d->plain, value);
}

/* ---- Maps, Sets, Counters */

bool ckv_same_value(const ckv_value *x, const ckv_value *y)
{
    if (x->tag != y->tag) return false;
    switch ((unsigned)x->tag) {
    case CKV_TAG_NONE:
    case CKV_TAG_FALSE:
    case CKV_TAG_TRUE: return true;
    case CKV_TAG_INT: return x->i64 == y->i64;
    case CKV_TAG_FLOAT: return memcmp(&x->f64, &y->f64, 8) == 0;
    case CKV_TAG_STR:
    case CKV_TAG_BYTES: return x->n_bytes == y->n_bytes && memcmp(x->ptr, y->ptr, x->n_bytes) == 0;
    default: return x->container == y->container;
    }
}

static ckv_status diff_register(ckv_differ *d, uint32_t reg, bool is_set)
{
    ckv_doc *doc = d->doc;
    uint32_t lv[2];
    ckv_value v[2] = {{0}, {0}};
    CKV_TRY(ckv_doc_shown(doc, d->a, reg, &lv[0]));
    CKV_TRY(ckv_doc_shown(doc, d->b, reg, &lv[1]));
    if (lv[0] == lv[1]) return CKV_OK;
    for (int i = 0; i < 2; i++) {
        if (lv[i] != CKV_NONE) v[i] = ckv_doc_value_at(doc, lv[i]);
    }
    const bool both = lv[0] != CKV_NONE && lv[1] != CKV_NONE;
    if (both && ckv_same_value(&v[0], &v[1])) return CKV_OK;
    if (is_set) { /* an equal member of another type takes the place of the one before */
        for (int i = 0; i < 2; i++) {
            if (lv[i] == CKV_NONE) continue;
            CKV_TRY(ckv_diff_put(d, i ? CKV_PATCH_SET_ADD : CKV_PATCH_SET_DISCARD));
            if (i) ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
            CKV_TRY(ckv_diff_value(d, i == 0, &v[i]));
            if (!i) ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
        }
        return d->out->status;
    }
    CKV_TRY(ckv_diff_put(d, lv[1] != CKV_NONE ? CKV_PATCH_MAP_SET : CKV_PATCH_MAP_REMOVE));
    const uint32_t key = doc->tree.registers.regs.ptr[reg].key;
    ckv_buf_blob(d->out, ckv_keys_bytes(&doc->tree.keys, key), ckv_keys_len(&doc->tree.keys, key));
    for (int i = 0; i < 2; i++) {
        if (lv[i] == CKV_NONE)
            ckv_buf_u8(d->out, CKV_PATCH_NOTHING);
        else
            CKV_TRY(ckv_diff_value(d, i == 0, &v[i]));
    }
    return d->out->status;
}

static ckv_status diff_counter(ckv_differ *d)
{
    const ckv_doc *doc = d->doc;
    const uint32_t last = ckv_tree_at(&doc->tree, d->container)->counted;
    ckv_total t[2];
    for (int i = 0; i < 2; i++) {
        const ckv_past *at = i ? d->b : d->a;
        t[i] = at ? ckv_counts_total_at(&doc->counts, last, at, &doc->graph)
                  : ckv_counts_total(&doc->counts, last);
    }
    if (t[0] == t[1]) return CKV_OK;
    CKV_TRY(ckv_diff_put(d, CKV_PATCH_COUNT));
    for (int i = 0; i < 2; i++) {
        ckv_buf_u8(d->out, CKV_TAG_COUNTER);
        ckv_buf_u64le(d->out, (uint64_t)t[i]);
        ckv_buf_u64le(d->out, (uint64_t)(t[i] >> 64));
    }
    return d->out->status;
}

/* ---- all of it */

static bool depth_before(void *ctx, uint32_t a, uint32_t b)
{
    const ckv_tree *t = ctx;
    const uint32_t x = ckv_tree_at(t, a)->depth, y = ckv_tree_at(t, b)->depth;
    return x != y ? x < y : a < b;
}

/* Everything that was touched in one container; `reg` and `seq` move on behind it. */
static ckv_status diff_container(ckv_differ *d, uint32_t container)
{
    const ckv_tree *t = &d->doc->tree;
    size_t lo = 0, hi = d->regs.len; /* its registers */
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (t->registers.regs.ptr[d->regs.ptr[mid]].holder < container)
            lo = mid + 1;
        else
            hi = mid;
    }
    const size_t regs = lo;
    while (lo < d->regs.len && t->registers.regs.ptr[d->regs.ptr[lo]].holder == container) lo++;
    const size_t n_regs = lo - regs;
    for (lo = 0, hi = d->touches.len; lo < hi;) {
        const size_t mid = (lo + hi) / 2;
        if (d->touches.ptr[mid].container < container)
            lo = mid + 1;
        else
            hi = mid;
    }
    const size_t first = lo;
    while (lo < d->touches.len && d->touches.ptr[lo].container == container) lo++;
    d->container = container;
    d->path_written = false;
    switch ((unsigned)ckv_tree_at(t, container)->kind) {
    case CKV_TAG_MAP:
    case CKV_TAG_SET:
        for (size_t i = 0; i < n_regs; i++)
            CKV_TRY(diff_register(d, d->regs.ptr[regs + i],
                                  ckv_tree_at(t, container)->kind == CKV_TAG_SET));
        return CKV_OK;
    case CKV_TAG_COUNTER: return diff_counter(d);
    case CKV_TAG_LIST:
        CKV_TRY(ckv_diff_flips(d, first, lo));
        return ckv_diff_list(d, d->regs.ptr + regs, n_regs);
    default:
        CKV_TRY(ckv_diff_flips(d, first, lo));
        CKV_TRY(ckv_diff_text(d));
        return ckv_tree_at(t, container)->marked == CKV_NONE ? CKV_OK : ckv_diff_marks(d);
    }
}

static ckv_status diff_all(ckv_differ *d)
{
    ckv_tree *t = &d->doc->tree;
    ckv_u32s where = {.a = d->doc->env.alloc};
    CKV_TRY(touch_all(d));
    CKV_TRY(sort_once(&d->moved));
    for (size_t i = 0; i < d->moved.len; i++) CKV_TRY(touch_slots(d, d->moved.ptr[i]));
    CKV_TRY(sort_once(&d->regs));
    CKV_TRY(ckv_sort(&d->regs, reg_before, t));
    CKV_TRY(sort_touches(d));
    ckv_status s = CKV_OK;
    for (size_t i = 0; i < d->regs.len && s == CKV_OK; i++)
        s = ckv_u32s_push(&where, t->registers.regs.ptr[d->regs.ptr[i]].holder);
    for (size_t i = 0; i < d->touches.len && s == CKV_OK; i++)
        s = ckv_u32s_push(&where, d->touches.ptr[i].container);
    for (size_t i = 0; i < d->counters.len && s == CKV_OK; i++)
        s = ckv_u32s_push(&where, d->counters.ptr[i]);
    for (size_t i = 0; i < d->marked.len && s == CKV_OK; i++)
        s = ckv_u32s_push(&where, d->marked.ptr[i]);
    if (s == CKV_OK) s = sort_once(&where);
    if (s == CKV_OK) s = ckv_sort(&where, depth_before, t);
    for (size_t i = 0; i < where.len && s == CKV_OK; i++) {
        bool shown;
        s = is_shown(d, where.ptr[i], &shown);
        if (s == CKV_OK && shown) s = diff_container(d, where.ptr[i]);
    }
    ckv_u32s_fini(&where);
    return s;
}

static ckv_status diff(ckv_doc *doc, const ckv_past *a, const ckv_past *b, ckv_buf *out)
{
    const ckv_alloc al = doc->env.alloc;
    ckv_differ d = {.doc = doc,
                    .a = a,
                    .b = b,
                    .touches = {.a = al},
                    .regs = {.a = al},
                    .counters = {.a = al},
                    .marked = {.a = al},
                    .moved = {.a = al},
                    .order = {.a = al},
                    .flips = {.a = al},
                    .out = out};
    CKV_TRY(ckv_plain_out_new(&d.plain, doc, out));
    const ckv_status s = diff_all(&d);
    ckv_plain_out_free(d.plain);
    ckv_touches_fini(&d.touches);
    ckv_u32s_fini(&d.regs);
    ckv_u32s_fini(&d.counters);
    ckv_u32s_fini(&d.marked);
    ckv_u32s_fini(&d.moved);
    ckv_u32s_fini(&d.order);
    ckv_flips_fini(&d.flips);
    return s;
}

/* Everything that is here is NULL: that is faster. */
static const ckv_past *or_now(const ckv_doc *doc, const ckv_past *p)
{
    return !p || p->all || p->allin >= ckv_ids_n(&doc->graph.ids) ? NULL : p;
}

ckv_status ckv_doc_diff(ckv_doc *doc, const ckv_view *a, const ckv_view *b, ckv_buf *out)
{
    const ckv_past *pa = or_now(doc, ckv_view_past(a)), *pb = or_now(doc, ckv_view_past(b));
    return pa == pb ? CKV_OK : diff(doc, pa, pb, out);
}

/* ---- events */

void ckv_doc_watch(ckv_doc *doc, bool on)
{
    doc->watched = on;
    doc->told = ckv_ids_n(&doc->graph.ids);
}

void ckv_doc_take_events(ckv_doc *doc, ckv_buf *events, ckv_buf *patches)
{
    *events = doc->events;
    *patches = doc->patches;
    doc->events = ckv_buf_init(doc->env.alloc);
    doc->patches = ckv_buf_init(doc->env.alloc);
}

ckv_status ckv_doc_tell(ckv_doc *doc, uint32_t end, bool is_local)
{
    if (!doc->watched || doc->told >= end) return CKV_OK;
    const ckv_past before = {.a = doc->env.alloc,
                             .prefix = true,
                             .allin = doc->told,
                             .allin_item = ckv_ids_item(&doc->graph.ids, doc->told)};
    ckv_event e = {.first = doc->told,
                   .end = end,
                   .is_local = is_local,
                   .off = doc->patches.len,
                   .n_bytes = 0};
    const size_t n_events = doc->events.len;
    ckv_status s = diff(doc, &before, NULL, &doc->patches);
    e.n_bytes = doc->patches.len - e.off;
    if (s == CKV_OK && e.n_bytes) {
        ckv_buf_bytes(&doc->events, &e, sizeof e);
        s = doc->events.status;
    }
    if (s != CKV_OK) {
        ckv_doc_untell(doc, n_events, e.off, e.first);
        return s;
    }
    doc->told = end;
    return CKV_OK;
}

void ckv_doc_untell(ckv_doc *doc, size_t events, size_t patches, uint32_t told)
{
    doc->events.len = events;
    doc->patches.len = patches;
    doc->events.status = doc->patches.status = CKV_OK;
    doc->told = told;
}
