#include "types/register.h"

#include <stdlib.h>

ckv_registers ckv_registers_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_registers){.regs = {.a = a},
                           .ops = {.a = a},
                           .several = {.a = a},
                           .spare = {.a = a},
                           .later = {.a = a},
                           .replacers = {.a = a},
                           .replaced = {.a = a},
                           .restored = {.a = a},
                           .found = {.a = a},
                           .found_of = ckv_hmap_init(a, secret),
                           .by_place = ckv_hmap_init(a, secret)};
}

static void forget_found(ckv_registers *x)
{
    for (size_t i = 0; i < x->found.len; i++) ckv_u32s_fini(&x->found.ptr[i].by);
    ckv_replacers_vec_fini(&x->found);
    ckv_hmap_fini(&x->found_of);
    x->n_found = 0;
    x->found_upto = 0;
}

void ckv_registers_fini(ckv_registers *x)
{
    for (size_t i = 0; i < x->several.len; i++) ckv_u32s_fini(&x->several.ptr[i]);
    ckv_u32s_vec_fini(&x->several);
    ckv_u32s_fini(&x->spare);
    ckv_u32s_fini(&x->later);
    ckv_u32s_fini(&x->replacers);
    ckv_u32s_fini(&x->replaced);
    ckv_u32s_fini(&x->restored);
    forget_found(x);
    ckv_register_vec_fini(&x->regs);
    ckv_reg_ops_fini(&x->ops);
    ckv_hmap_fini(&x->by_place);
}

static uint32_t place(uint32_t holder, uint32_t key) { return key ^ (holder * 0x9e3779b1u); }

uint32_t ckv_register_find(const ckv_registers *x, uint32_t holder, uint32_t key)
{
    size_t at = SIZE_MAX;
    if (x->by_place.n == 0) return CKV_NONE;
    for (uint32_t i;
         (i = ckv_hmap_probe(&x->by_place, place(holder, key), &at)) != CKV_HMAP_NONE;) {
        if (x->regs.ptr[i].holder == holder && x->regs.ptr[i].key == key) return i;
    }
    return CKV_NONE;
}

ckv_status ckv_register_make(ckv_registers *x, uint32_t holder, uint32_t key, uint32_t first_lv,
                             uint32_t *reg, bool *is_new)
{
    *reg = ckv_register_find(x, holder, key);
    *is_new = *reg == CKV_NONE;
    if (!*is_new) return CKV_OK;
    if (x->regs.len >= CKV_REG_MANY) return CKV_ELIMIT;
    CKV_TRY(ckv_hmap_reserve(&x->by_place, 1));
    CKV_TRY(ckv_register_vec_reserve(&x->regs, 1));
    *reg = (uint32_t)x->regs.len;
    ckv_register_vec_put(&x->regs, (ckv_register){holder, key, CKV_NONE, first_lv, CKV_NONE});
    ckv_hmap_add(&x->by_place, place(holder, key), *reg);
    return CKV_OK;
}

ckv_status ckv_register_make_apart(ckv_registers *x, uint32_t holder, uint32_t key, uint32_t *reg)
{
    if (x->regs.len >= CKV_REG_MANY) return CKV_ELIMIT;
    *reg = (uint32_t)x->regs.len;
    return ckv_register_vec_push(&x->regs,
                                 (ckv_register){holder, key, CKV_NONE, CKV_NONE, CKV_NONE});
}

void ckv_register_begin_again(ckv_registers *x, uint32_t list, uint32_t element, uint32_t lv)
{
    const uint32_t reg = ckv_register_find(x, list, element);
    if (reg == CKV_NONE) return;
    ckv_register *r = &x->regs.ptr[reg];
    CKV_ASSERT(r->last == CKV_NONE);
    if (r->live != CKV_NONE && r->live & CKV_REG_MANY) {
        ckv_u32s *v = &x->several.ptr[r->live & ~CKV_REG_MANY];
        v->ptr[0] = lv;
        v->len = 1;
    } else {
        r->live = lv;
    }
}

bool ckv_register_is_empty(const ckv_registers *x, uint32_t reg)
{
    size_t n;
    ckv_register_values(x, reg, &n);
    return n == 0;
}

bool ckv_register_has(const ckv_registers *x, uint32_t reg, uint32_t lv)
{
    size_t n;
    const uint32_t *v = ckv_register_values(x, reg, &n);
    for (size_t i = 0; i < n; i++) {
        if (v[i] == lv) return true;
    }
    return false;
}

bool ckv_lv_before(const ckv_graph *g, uint32_t a, uint32_t b)
{
    const uint32_t closed = g->ids.n_lv;
    if (a >= closed || b >= closed) return a < b;
    return ckv_graph_order(g, ckv_ids_change_of_lv(&g->ids, a), a, ckv_ids_change_of_lv(&g->ids, b),
                           b) < 0;
}

uint32_t ckv_register_shown(const ckv_registers *x, const ckv_graph *g, uint32_t reg)
{
    size_t n;
    const uint32_t *v = ckv_register_values(x, reg, &n);
    uint32_t best = CKV_NONE;
    for (size_t i = 0; i < n; i++) {
        if (best == CKV_NONE || ckv_lv_before(g, best, v[i])) best = v[i];
    }
    return best;
}

/* ---- change */

ckv_status ckv_register_reserve(ckv_registers *x, uint32_t reg, ckv_journal *j)
{
    ckv_register *r = &x->regs.ptr[reg];
    size_t n = r->live != CKV_NONE;
    if (r->live != CKV_NONE && r->live & CKV_REG_MANY) {
        ckv_u32s *v = &x->several.ptr[r->live & ~CKV_REG_MANY];
        CKV_TRY(ckv_u32s_reserve(v, 1));
        n = v->len;
    } else if (n) {
        CKV_TRY(ckv_u32s_reserve(&x->spare, 2));
        CKV_TRY(ckv_u32s_vec_reserve(&x->several, 1));
    }
    CKV_TRY(ckv_reg_ops_reserve(&x->ops, 1));
    return ckv_journal_reserve(j, n + 2);
}

static void take(ckv_registers *x, ckv_register *r, uint32_t lv)
{
    if (!(r->live & CKV_REG_MANY)) { /* CKV_NONE would have the bit, but holds no value to take */
        CKV_ASSERT(r->live == lv);
        r->live = CKV_NONE;
        return;
    }
    ckv_u32s *v = &x->several.ptr[r->live & ~CKV_REG_MANY];
    size_t i = 0;
    while (v->ptr[i] != lv) i++;
    v->ptr[i] = v->ptr[--v->len];
}

/* Room was reserved; or, when undoing, was there before. */
static void give(ckv_registers *x, ckv_register *r, uint32_t lv)
{
    if (r->live == CKV_NONE) {
        r->live = lv;
        return;
    }
    if (!(r->live & CKV_REG_MANY)) {
        ckv_u32s_put(&x->spare, r->live);
        r->live = CKV_REG_MANY | (uint32_t)x->several.len;
        ckv_u32s_vec_put(&x->several, x->spare);
        x->spare = (ckv_u32s){.a = x->spare.a};
    }
    ckv_u32s_put(&x->several.ptr[r->live & ~CKV_REG_MANY], lv);
}

void ckv_register_drop(ckv_registers *x, uint32_t reg, uint32_t lv, ckv_journal *j)
{
    if (!ckv_register_has(x, reg, lv)) return;
    ckv_journal_put(j, CKV_UNDO_REG_DROP, reg, lv, 0, 0);
    x->epoch++;
    take(x, &x->regs.ptr[reg], lv);
}

void ckv_register_back(ckv_registers *x, uint32_t reg, uint32_t lv, ckv_journal *j)
{
    if (ckv_register_has(x, reg, lv)) return;
    ckv_journal_put(j, CKV_UNDO_REG_BACK, reg, lv, 0, 0);
    x->epoch++;
    give(x, &x->regs.ptr[reg], lv);
}

/* ---- who replaced what */

/* What asking takes: pasts of operations, the last one kept. */
typedef struct asking {
    const ckv_graph *g;
    const ckv_deletes *deletes;
    const ckv_past *own_past; /* of the open change */
    ckv_past *scratch;
    uint32_t scratch_of;
} asking;

/* Is change a in the past of change b? b may be the open one. */
static ckv_status is_before(asking *q, uint32_t a, uint32_t b, bool *out)
{
    const ckv_graph *g = q->g;
    *out = a < b;
    if (a >= b) return CKV_OK;
    if (b >= ckv_ids_n(&g->ids)) {
        *out = ckv_past_has(q->own_past, g, a);
        return CKV_OK;
    }
    const ckv_stand sa = ckv_graph_stand(g, a), sb = ckv_graph_stand(g, b);
    if (sa.branch == sb.branch) return CKV_OK; /* numbers ascend along a branch */
    if (sa.clock >= sb.clock) {
        *out = false;
        return CKV_OK;
    }
    if (q->scratch_of != b) {
        q->scratch_of = CKV_NONE;
        ckv_past_reset(q->scratch);
        CKV_TRY(ckv_past_add(q->scratch, g, b));
        ckv_past_close(q->scratch, g);
        q->scratch_of = b;
    }
    *out = ckv_past_has(q->scratch, g, a);
    return CKV_OK;
}

/* ---- what was taken back: changes, sorted */

static int number_order(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool is_restored(const ckv_registers *x, uint32_t change)
{
    return x->restored.len &&
           bsearch(&change, x->restored.ptr, x->restored.len, sizeof change, number_order);
}

static void sort_restored(ckv_registers *x)
{
    if (x->restored.len > 1)
        qsort(x->restored.ptr, x->restored.len, sizeof *x->restored.ptr, number_order);
}

/* Finds of which changes somebody whom `by` knew had taken back what they did to the item with this del. */
static ckv_status find_restored_before(ckv_registers *x, asking *q, uint32_t del, uint32_t by)
{
    x->restored.len = 0;
    for (ckv_del_step s; ckv_del_next(q->deletes, &del, &s);) {
        bool known;
        if (s.of == CKV_NONE) continue;
        CKV_TRY(is_before(q, s.change, by, &known));
        if (known) CKV_TRY(ckv_u32s_push(&x->restored, s.of));
    }
    sort_restored(x);
    return CKV_OK;
}

/* Was the item hidden to the author of change `by`, by a DELETE or by one of the changes that replaced it? */
static ckv_status hidden_before(ckv_registers *x, asking *q, uint32_t del,
                                const ckv_u32s *replacers, uint32_t by, bool *out)
{
    bool known;
    *out = false;
    CKV_TRY(find_restored_before(x, q, del, by));
    for (size_t i = 0; i < replacers->len; i++) {
        if (is_restored(x, replacers->ptr[i])) continue;
        CKV_TRY(is_before(q, replacers->ptr[i], by, &known));
        if ((*out = known)) return CKV_OK;
    }
    for (ckv_del_step s; ckv_del_next(q->deletes, &del, &s);) {
        if (s.of != CKV_NONE || is_restored(x, s.change)) continue;
        CKV_TRY(is_before(q, s.change, by, &known));
        if ((*out = known)) return CKV_OK;
    }
    return CKV_OK;
}

/* ---- what was found about closed changes */

static ckv_replacers *found_for(const ckv_registers *x, uint32_t reg, uint32_t lv)
{
    const uint32_t i = x->found.len ? ckv_hmap_get(&x->found_of, lv) : CKV_HMAP_NONE;
    if (i == CKV_HMAP_NONE || x->found.ptr[i].reg != reg) return NULL;
    return &x->found.ptr[i];
}

/* The first n of x->replacers are closed changes, and what was asked is below upto. Without memory it is found again next time. */
static void remember(ckv_registers *x, uint32_t reg, uint32_t lv, uint32_t upto, size_t n)
{
    if (x->n_found > (1u << 16) + x->ops.len) forget_found(x); /* what is remembered stays linear */
    ckv_replacers *e = found_for(x, reg, lv);
    if (!e) {
        if (ckv_hmap_reserve(&x->found_of, 1) != CKV_OK ||
            ckv_replacers_vec_reserve(&x->found, 1) != CKV_OK)
            return;
        ckv_hmap_set(&x->found_of, lv, (uint32_t)x->found.len);
        ckv_replacers_vec_put(&x->found,
                              (ckv_replacers){.lv = lv, .reg = reg, .by = {.a = x->regs.a}});
        e = ckv_replacers_vec_last(&x->found);
        x->n_found++;
    }
    if (ckv_u32s_reserve(&e->by, n - e->by.len) != CKV_OK) return;
    x->n_found += n - e->by.len;
    for (size_t i = e->by.len; i < n; i++) ckv_u32s_put(&e->by, x->replacers.ptr[i]);
    e->upto = upto;
    if (upto > x->found_upto) x->found_upto = upto;
}

/* The changes that replaced the operation at lv: those whose authors knew it as a value, in order of arrival. What a change restores counts
 * for those that build on it, not for its own operations. */
static ckv_status find_replacers(ckv_registers *x, asking *q, uint32_t del, uint32_t reg,
                                 uint32_t lv)
{
    const ckv_ids *ids = &q->g->ids;
    ckv_u32s *later = &x->later, *out = &x->replacers;
    const ckv_replacers *e = found_for(x, reg, lv);
    uint32_t upto = e ? e->upto : 0;
    later->len = out->len = 0;
    for (size_t i = 0; e && i < e->by.len; i++) CKV_TRY(ckv_u32s_push(out, e->by.ptr[i]));
    for (uint32_t i = x->regs.ptr[reg].last;
         i != CKV_NONE && i >= upto && x->ops.ptr[i].lv2 / 2 > lv; i = x->ops.ptr[i].before)
        CKV_TRY(ckv_u32s_push(later, i));
    const uint32_t made = lv < ids->n_lv ? ckv_ids_change_of_lv(ids, lv) : ckv_ids_n(ids);
    size_t n_closed = out->len;
    bool news = false;
    for (size_t i = later->len; i-- > 0;) {
        const uint32_t by_lv = x->ops.ptr[later->ptr[i]].lv2 / 2,
                       by = by_lv < ids->n_lv ? ckv_ids_change_of_lv(ids, by_lv) : ckv_ids_n(ids);
        bool known = made == by, hidden;
        if (!out->len || out->ptr[out->len - 1] != by) {
            if (!known) CKV_TRY(is_before(q, made, by, &known));
            if (known) {
                CKV_TRY(hidden_before(x, q, del, out, by, &hidden));
                if (!hidden) CKV_TRY(ckv_u32s_push(out, by));
            }
        }
        if (by_lv < ids->n_lv) {
            n_closed = out->len;
            upto = later->ptr[i] + 1;
            news = true;
        }
    }
    if (news) remember(x, reg, lv, upto, n_closed);
    return CKV_OK;
}

static asking asking_of(const ckv_graph *g, const ckv_deletes *deletes, const ckv_past *own_past,
                        ckv_past *scratch)
{
    return (asking){g, deletes, own_past, scratch, CKV_NONE};
}

ckv_status ckv_register_replaced_by(ckv_registers *x, const ckv_graph *g,
                                    const ckv_deletes *deletes, uint32_t del,
                                    const ckv_past *own_past, ckv_past *scratch, uint32_t reg,
                                    uint32_t lv, uint32_t change, bool *out)
{
    asking q = asking_of(g, deletes, own_past, scratch);
    CKV_TRY(find_replacers(x, &q, del, reg, lv));
    *out = false;
    for (size_t i = 0; i < x->replacers.len; i++) *out |= x->replacers.ptr[i] == change;
    return CKV_OK;
}

ckv_status ckv_register_replaced(ckv_registers *x, const ckv_graph *g, const ckv_deletes *deletes,
                                 uint32_t del, const ckv_past *own_past, ckv_past *scratch,
                                 uint32_t reg, uint32_t lv, bool *out)
{
    asking q = asking_of(g, deletes, own_past, scratch);
    CKV_TRY(find_replacers(x, &q, del, reg, lv));
    *out = false;
    x->restored.len = 0;
    for (ckv_del_step s; ckv_del_next(deletes, &del, &s);) {
        if (s.of != CKV_NONE) CKV_TRY(ckv_u32s_push(&x->restored, s.of));
    }
    sort_restored(x);
    for (size_t i = 0; i < x->replacers.len; i++) *out |= !is_restored(x, x->replacers.ptr[i]);
    return CKV_OK;
}

ckv_status ckv_register_replaced_for(ckv_registers *x, const ckv_graph *g,
                                     const ckv_deletes *deletes, uint32_t del, const ckv_past *at,
                                     uint32_t own, ckv_past *scratch, uint32_t reg, uint32_t lv,
                                     bool *out)
{
    const uint32_t n = ckv_ids_n(&g->ids);
    asking q = asking_of(g, deletes, at, scratch);
    CKV_TRY(find_replacers(x, &q, del, reg, lv));
    *out = false;
    x->restored.len = 0;
    for (ckv_del_step s; ckv_del_next(deletes, &del, &s);) {
        if (s.of != CKV_NONE &&
            (s.change == own || (s.change < n && ckv_past_has(at, g, s.change))))
            CKV_TRY(ckv_u32s_push(&x->restored, s.of));
    }
    sort_restored(x);
    for (size_t i = 0; i < x->replacers.len; i++) {
        const uint32_t c = x->replacers.ptr[i];
        *out |= (c >= n ? own != CKV_NONE : ckv_past_has(at, g, c)) && !is_restored(x, c);
    }
    return CKV_OK;
}

/* ---- operations */

/* Is its value surely no container? */
static bool is_scalar(const ckv_registers *x, const ckv_oplog *log, uint32_t reg)
{
    const uint32_t run = ckv_register_run(x, reg);
    return run != CKV_NONE && ckv_tag_is_scalar((ckv_tag)log->values.ptr[log->ops.ptr[run].b]);
}

/* Does the operation that comes now replace the value at lv? It does if its author knew it as a value. */
static ckv_status replaces(ckv_registers *x, const ckv_author_view *v, const ckv_deletes *deletes,
                           ckv_past *scratch, uint32_t reg, uint32_t lv, bool *out)
{
    const ckv_graph *g = v->graph;
    *out = lv >= g->ids.n_lv || ckv_past_has(v->past, g, ckv_ids_change_of_lv(&g->ids, lv));
    if (!*out || deletes->by_item.n == 0) return CKV_OK;
    const ckv_op *op = &v->oplog->ops.ptr[ckv_oplog_at_lv(v->oplog, lv)];
    const uint32_t del = ckv_del_of(deletes, op->item + (lv - op->lv));
    if (del == 0) return CKV_OK; /* nobody has ever hidden it */
    bool hidden;
    asking q = asking_of(g, deletes, v->past, scratch);
    CKV_TRY(find_replacers(x, &q, del, reg, lv));
    CKV_TRY(hidden_before(x, &q, del, &x->replacers, ckv_ids_n(&g->ids), &hidden));
    *out = !hidden;
    return CKV_OK;
}

ckv_status ckv_register_know(ckv_registers *x, uint32_t reg, const ckv_author_view *v,
                             const ckv_deletes *deletes, ckv_past *scratch)
{
    size_t n;
    const uint32_t *values = ckv_register_values(x, reg, &n);
    x->replaced.len = 0;
    for (size_t i = 0; i < n; i++) {
        bool known;
        CKV_TRY(replaces(x, v, deletes, scratch, reg, values[i], &known));
        if (known) CKV_TRY(ckv_u32s_push(&x->replaced, values[i]));
    }
    return CKV_OK;
}

void ckv_register_apply(ckv_registers *x, uint32_t reg, uint32_t lv, bool writes,
                        const ckv_oplog *log, ckv_journal *j)
{
    ckv_register *r = &x->regs.ptr[reg];
    for (size_t i = 0; i < x->replaced.len; i++) {
        const uint32_t old = x->replaced.ptr[i];
        ckv_journal_put(j, CKV_UNDO_REG_DROP, reg, old, 0, 0);
        if (!is_scalar(x, log, reg)) x->epoch++;
        take(x, r, old);
    }
    ckv_reg_ops_put(&x->ops, (ckv_reg_op){lv * 2 + writes, r->last, (uint32_t)(log->ops.len - 1)});
    r->last = (uint32_t)(x->ops.len - 1);
    if (writes) give(x, r, lv);
    ckv_journal_put(j, CKV_UNDO_REG_ADD, reg, writes, 0, 0);
}

void ckv_register_undo(ckv_registers *x, const ckv_undo *u)
{
    ckv_register *r = &x->regs.ptr[u->who];
    x->epoch++;
    switch ((unsigned)u->kind) {
    case CKV_UNDO_REG_ADD: {
        const ckv_reg_op op = x->ops.ptr[--x->ops.len];
        CKV_ASSERT(r->last == x->ops.len);
        if (x->ops.len < x->found_upto) forget_found(x); /* closed changes are taken back, too */
        if (u->a) take(x, r, op.lv2 / 2);
        r->last = op.before;
        return;
    }
    case CKV_UNDO_REG_DROP: give(x, r, u->a); return;
    case CKV_UNDO_REG_BACK: take(x, r, u->a); return;
    default: return; /* not a register's */
    }
}

/* ---- versions */

/* One candidate at a version: a value unless deleted. `covered`: something newer in the version knew it. */
static ckv_status consider(ckv_registers *x, const ckv_graph *g, const ckv_oplog *log,
                           const ckv_deletes *deletes, const ckv_past *at, ckv_past *scratch,
                           uint32_t reg, uint32_t lv, bool covered, bool is_element, ckv_u32s *out)
{
    const ckv_op *op = &log->ops.ptr[ckv_oplog_at_lv(log, lv)];
    const uint32_t item = op->item + (lv - op->lv), del = ckv_del_of(deletes, item);
    if (!is_element && ckv_del_hides_at(deletes, del, at, g, CKV_NONE)) return CKV_OK;
    if (covered) {
        bool replaced = true;
        if (del)
            CKV_TRY(ckv_register_replaced_for(x, g, deletes, del, at, CKV_NONE, scratch, reg, lv,
                                              &replaced));
        if (replaced) return CKV_OK;
    }
    return ckv_u32s_push(out, lv);
}

ckv_status ckv_register_values_at(ckv_registers *x, const ckv_graph *g, const ckv_oplog *log,
                                  const ckv_deletes *deletes, const ckv_past *at, ckv_past *scratch,
                                  uint32_t reg, uint32_t first_lv, ckv_u32s *out)
{
    ckv_u32s covered = {.a = out->a};
    ckv_status s = CKV_OK;
    ckv_past_reset(scratch);
    /* From the newest back: scratch is the past of all that was seen, and what is in it was replaced. */
    for (uint32_t i = x->regs.ptr[reg].last; i != CKV_NONE && s == CKV_OK;
         i = x->ops.ptr[i].before) {
        const uint32_t lv = x->ops.ptr[i].lv2 / 2;
        if (lv >= g->ids.n_lv) continue;
        const uint32_t c = ckv_ids_change_of_lv(&g->ids, lv);
        if (!ckv_past_has(at, g, c)) continue;
        const bool writes = x->ops.ptr[i].lv2 & 1, seen = ckv_past_has(scratch, g, c);
        if (writes && seen && deletes->by_item.n) s = ckv_u32s_push(&covered, lv);
        if (seen) continue;
        if (writes) s = consider(x, g, log, deletes, at, scratch, reg, lv, false, false, out);
        if (s == CKV_OK) s = ckv_past_add(scratch, g, c);
    }
    if (s == CKV_OK && first_lv != CKV_NONE && first_lv < g->ids.n_lv) {
        const uint32_t c = ckv_ids_change_of_lv(&g->ids, first_lv);
        if (ckv_past_has(at, g, c))
            s = consider(x, g, log, deletes, at, scratch, reg, first_lv,
                         ckv_past_has(scratch, g, c), true, out);
    }
    for (size_t i = 0; i < covered.len && s == CKV_OK; i++)
        s = consider(x, g, log, deletes, at, scratch, reg, covered.ptr[i], true, false, out);
    ckv_u32s_fini(&covered);
    return s;
}

size_t ckv_registers_bytes(const ckv_registers *x)
{
    size_t n = x->regs.cap * sizeof(ckv_register) + x->ops.cap * sizeof(ckv_reg_op) +
               x->by_place.cap * sizeof(ckv_hslot) + x->several.cap * sizeof(ckv_u32s) +
               x->found.cap * sizeof(ckv_replacers) + x->found_of.cap * sizeof(ckv_hslot) +
               x->n_found * 4;
    for (size_t i = 0; i < x->several.len; i++) n += x->several.ptr[i].cap * 4;
    return n;
}

bool ckv_registers_check(const ckv_registers *x, const char **why)
{
    *why = "register I1";
    for (uint32_t r = 0; r < x->regs.len; r++) {
        size_t n;
        const uint32_t *v = ckv_register_values(x, r, &n);
        for (size_t i = 0; i < n; i++) {
            uint32_t o = x->regs.ptr[r].last;
            while (o != CKV_NONE && x->ops.ptr[o].lv2 != v[i] * 2 + 1) o = x->ops.ptr[o].before;
            if (o == CKV_NONE && x->regs.ptr[r].last != CKV_NONE && n == 1 &&
                v[i] > x->ops.ptr[x->regs.ptr[r].last].lv2 / 2)
                return false; /* only an element's first value is outside of the chain, and it is the oldest */
        }
        const uint32_t found = ckv_register_find(x, x->regs.ptr[r].holder, x->regs.ptr[r].key);
        if (found != r && found != CKV_NONE) return false;
    }
    return ckv_hmap_check(&x->by_place, why);
}
