/* edit.c -- what every edit of a container begins with, and what every reader of registers shares. */
#include "doc/apply.h"
#include "doc/map.h"
#include "ds/sort.h"

ckv_status ckv_edit_begin(ckv_doc *doc, uint32_t container, size_t n_ops, size_t n_bytes)
{
    CKV_TRY(ckv_doc_flush(doc));
    if (!ckv_tree_is_live(&doc->tree, &doc->space, &doc->log, container)) return CKV_ESTALE;
    if (doc->open_bytes + n_bytes > doc->limits.body_bytes ||
        doc->log.n_lv - doc->graph.ids.n_lv + n_ops > CKV_MAX_OPS)
        return CKV_ELIMIT;
    if (doc->log.n_items + (uint64_t)n_ops >= CKV_MAX_ITEMS ||
        doc->log.n_lv + (uint64_t)n_ops >= UINT32_MAX / 2)
        return CKV_ELIMIT;
    return CKV_OK;
}

ckv_status ckv_edit_keep(ckv_doc *doc, uint32_t container, const ckv_value *values, size_t n,
                         uint32_t *value_off, uint32_t *n_made)
{
    const uint32_t start = (uint32_t)doc->log.values.len;
    *value_off = start;
    *n_made = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t off;
        ckv_status s = CKV_OK;
        if (!ckv_tag_is_scalar(values[i].tag)) {
            ++*n_made;
            if (ckv_tree_at(&doc->tree, container)->depth >= doc->limits.depth) s = CKV_ELIMIT;
        }
        if (s == CKV_OK) s = ckv_oplog_keep_value(&doc->log, &values[i], &off);
        if (s != CKV_OK) {
            ckv_oplog_unkeep(&doc->log, start);
            return s;
        }
    }
    return CKV_OK;
}

/* ---- reading registers */

static uint32_t first_lv(const ckv_doc *doc, uint32_t reg)
{
    const ckv_register *r = &doc->tree.registers.regs.ptr[reg];
    return ckv_tree_at(&doc->tree, r->holder)->kind == CKV_TAG_LIST
               ? ckv_oplog_lv_of(&doc->log, r->key)
               : CKV_NONE;
}

ckv_status ckv_doc_values(ckv_doc *doc, const ckv_past *at, uint32_t reg, ckv_u32s *out)
{
    ckv_registers *x = &doc->tree.registers;
    const size_t start = out->len;
    if (at) {
        CKV_TRY(ckv_register_values_at(x, &doc->graph, &doc->log, &doc->space.deletes, at,
                                       &doc->scratch, reg, first_lv(doc, reg), out));
    } else {
        size_t n;
        const uint32_t *v = ckv_register_values(x, reg, &n);
        CKV_TRY(ckv_u32s_reserve(out, n));
        for (size_t i = 0; i < n; i++) ckv_u32s_put(out, v[i]);
    }
    for (size_t i = start + 1; i < out->len; i++) { /* the shown one first */
        if (!ckv_lv_before(&doc->graph, out->ptr[start], out->ptr[i])) continue;
        const uint32_t lv = out->ptr[i];
        out->ptr[i] = out->ptr[start];
        out->ptr[start] = lv;
    }
    return CKV_OK;
}

ckv_status ckv_doc_shown(ckv_doc *doc, const ckv_past *at, uint32_t reg, uint32_t *lv)
{
    if (!at) {
        *lv = ckv_register_shown(&doc->tree.registers, &doc->graph, reg);
        return CKV_OK;
    }
    ckv_u32s *values = &doc->values;
    values->len = 0;
    CKV_TRY(ckv_doc_values(doc, at, reg, values));
    *lv = values->len ? values->ptr[0] : CKV_NONE;
    return CKV_OK;
}

ckv_status ckv_doc_shown_value(ckv_doc *doc, const ckv_past *at, uint32_t reg, ckv_value *out,
                               bool *shows)
{
    const uint32_t run = at ? CKV_NONE : ckv_register_run(&doc->tree.registers, reg);
    *shows = true;
    if (run != CKV_NONE) {
        *out = ckv_doc_value_in(doc, run);
        return CKV_OK;
    }
    uint32_t lv;
    CKV_TRY(ckv_doc_shown(doc, at, reg, &lv));
    *shows = lv != CKV_NONE;
    if (*shows) *out = ckv_doc_value_at(doc, lv);
    return CKV_OK;
}

ckv_status ckv_doc_shown_element(ckv_doc *doc, const ckv_past *at, uint32_t list, uint32_t element,
                                 uint32_t *lv)
{
    const uint32_t reg = ckv_tree_at(&doc->tree, list)->first_reg == CKV_NONE
                             ? CKV_NONE
                             : ckv_register_find(&doc->tree.registers, list, element);
    if (reg == CKV_NONE) {
        *lv = ckv_oplog_lv_of(&doc->log, element);
        return CKV_OK;
    }
    return ckv_doc_shown(doc, at, reg, lv);
}

static bool greater(void *ctx, uint32_t a, uint32_t b) { return ckv_lv_before(ctx, b, a); }

ckv_status ckv_doc_conflicts(ckv_doc *doc, const ckv_past *at, uint32_t reg, ckv_buf *out)
{
    ckv_u32s lvs = {.a = doc->env.alloc};
    ckv_status s = ckv_doc_values(doc, at, reg, &lvs);
    if (s == CKV_OK) s = ckv_sort(&lvs, greater, &doc->graph);
    for (size_t i = 0; s == CKV_OK && i < lvs.len; i++) {
        const uint32_t lv = lvs.ptr[i];
        const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_lv(&doc->log, lv)];
        const uint32_t item = op->item + (lv - op->lv),
                       c = ckv_ids_change_of_lv(&doc->graph.ids, lv);
        const ckv_conflict one = {c, item - ckv_ids_item(&doc->graph.ids, c),
                                  ckv_doc_value_at(doc, lv)};
        ckv_buf_bytes(out, &one, sizeof one);
        s = out->status;
    }
    ckv_u32s_fini(&lvs);
    return s;
}
