#include "doc/map.h"

#include "doc/apply.h"

static uint32_t find(const ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes)
{
    const uint32_t k = ckv_keys_find(&doc->tree.keys, key, key_bytes);
    return k == CKV_NONE ? CKV_NONE : ckv_tree_find(&doc->tree, map, k);
}

/* ---- reading */

ckv_status ckv_map_get(const ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                       ckv_value *out)
{
    const uint32_t reg = find(doc, map, key, key_bytes);
    if (reg == CKV_NONE) return CKV_ENOENT;
    const uint32_t run = ckv_register_run(&doc->tree.registers, reg);
    if (run != CKV_NONE) {
        *out = ckv_doc_value_in(doc, run);
        return CKV_OK;
    }
    const uint32_t lv = ckv_register_shown(&doc->tree.registers, &doc->graph, reg);
    if (lv == CKV_NONE) return CKV_ENOENT;
    *out = ckv_doc_value_at(doc, lv);
    return CKV_OK;
}

size_t ckv_map_len(const ckv_doc *doc, uint32_t map)
{
    return ckv_tree_at(&doc->tree, map)->n_keys;
}

ckv_status ckv_map_get_at(ckv_doc *doc, const ckv_view *at, uint32_t map, const char *key,
                          size_t key_bytes, ckv_value *out)
{
    uint32_t lv;
    const uint32_t reg = find(doc, map, key, key_bytes);
    if (reg == CKV_NONE) return CKV_ENOENT;
    CKV_TRY(ckv_doc_shown(doc, ckv_view_past(at), reg, &lv));
    if (lv == CKV_NONE) return CKV_ENOENT;
    *out = ckv_doc_value_at(doc, lv);
    return CKV_OK;
}

static ckv_status put_entry(ckv_doc *doc, const ckv_past *at, uint32_t reg, ckv_buf *out)
{
    bool shows;
    const uint32_t key = doc->tree.registers.regs.ptr[reg].key;
    ckv_entry e = {.key = (const char *)ckv_keys_bytes(&doc->tree.keys, key),
                   .key_bytes = ckv_keys_len(&doc->tree.keys, key)};
    CKV_TRY(ckv_doc_shown_value(doc, at, reg, &e.value, &shows));
    if (!shows) return CKV_OK;
    ckv_buf_bytes(out, &e, sizeof e);
    return out->status;
}

ckv_status ckv_map_entries(ckv_doc *doc, const ckv_view *at, uint32_t map, ckv_buf *out)
{
    const ckv_past *past = ckv_view_past(at);
    if (!past) {
        const uint32_t *regs;
        size_t n;
        CKV_TRY(ckv_tree_sort(&doc->tree, map, &regs, &n));
        for (size_t i = 0; i < n; i++) CKV_TRY(put_entry(doc, NULL, regs[i], out));
        return CKV_OK;
    }
    ckv_u32s regs = {.a = doc->env.alloc};
    ckv_status s = CKV_OK;
    for (uint32_t r = ckv_tree_at(&doc->tree, map)->first_reg; r != CKV_NONE && s == CKV_OK;
         r = doc->tree.registers.regs.ptr[r].next)
        s = ckv_u32s_push(&regs, r);
    if (s == CKV_OK) s = ckv_tree_sort_regs(&doc->tree, &regs);
    for (size_t i = 0; s == CKV_OK && i < regs.len; i++) s = put_entry(doc, past, regs.ptr[i], out);
    ckv_u32s_fini(&regs);
    return s;
}

#define SOME_SEEN  4096u  /* registers that show something: so many are put in order */
#define SOME_ASKED 16384u /* registers that are looked at */

ckv_status ckv_map_some(ckv_doc *doc, const ckv_view *at, uint32_t map, size_t most, ckv_buf *out)
{
    const ckv_past *past = ckv_view_past(at);
    ckv_u32s regs = {.a = doc->env.alloc};
    ckv_status s = CKV_OK;
    uint32_t r = ckv_tree_at(&doc->tree, map)->first_reg;
    for (uint32_t n = 0; r != CKV_NONE && s == CKV_OK && n < SOME_ASKED && regs.len < SOME_SEEN;
         r = doc->tree.registers.regs.ptr[r].next, n++) {
        ckv_value value;
        bool shows;
        s = ckv_doc_shown_value(doc, past, r, &value, &shows);
        if (s == CKV_OK && shows) s = ckv_u32s_push(&regs, r);
    }
    if (s == CKV_OK) s = ckv_tree_sort_regs(&doc->tree, &regs);
    for (size_t i = 0; s == CKV_OK && i < regs.len && i < most; i++)
        s = put_entry(doc, past, regs.ptr[i], out);
    ckv_u32s_fini(&regs);
    return s;
}

ckv_status ckv_map_conflicts(ckv_doc *doc, const ckv_view *at, uint32_t map, const char *key,
                             size_t key_bytes, ckv_buf *out)
{
    const uint32_t reg = find(doc, map, key, key_bytes);
    return reg == CKV_NONE ? CKV_OK : ckv_doc_conflicts(doc, ckv_view_past(at), reg, out);
}

ckv_status ckv_map_history(ckv_doc *doc, const ckv_view *at, uint32_t map, const char *key,
                           size_t key_bytes, ckv_buf *out)
{
    const ckv_past *past = ckv_view_past(at);
    const ckv_registers *x = &doc->tree.registers;
    const uint32_t reg = find(doc, map, key, key_bytes);
    if (reg == CKV_NONE) return CKV_OK;
    for (uint32_t i = x->regs.ptr[reg].last; i != CKV_NONE; i = x->ops.ptr[i].before) {
        const uint32_t lv = x->ops.ptr[i].lv2 / 2;
        ckv_past_write w = {.change = ckv_ids_change_of_lv(&doc->graph.ids, lv),
                            .is_set = x->ops.ptr[i].lv2 & 1};
        if (past && !ckv_past_has(past, &doc->graph, w.change)) continue;
        if (w.is_set) w.value = ckv_doc_value_at(doc, lv);
        ckv_buf_bytes(out, &w, sizeof w);
    }
    return out->status;
}

/* ---- editing */

ckv_status ckv_map_set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                       const ckv_value *value, uint32_t *made)
{
    uint32_t k, reg, value_off, n_made;
    if (key_bytes > doc->limits.key_bytes) return CKV_ELIMIT;
    const size_t n_bytes = key_bytes + ckv_value_size(value) + 24;
    CKV_TRY(ckv_edit_begin(doc, map, 1, n_bytes));
    CKV_TRY(ckv_keys_make(&doc->tree.keys, key, key_bytes, &k));
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, map, k, &reg));
    CKV_TRY(ckv_edit_keep(doc, map, value, 1, &value_off, &n_made));
    const ckv_author_view v = ckv_doc_own_view(doc);
    const ckv_status s = ckv_apply_write(doc, &v, CKV_OP_SET, reg, value_off, value->tag, made);
    if (s != CKV_OK) {
        ckv_oplog_unkeep(&doc->log, value_off);
        return s;
    }
    doc->open_bytes += n_bytes;
    return CKV_OK;
}

ckv_status ckv_map_unset(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes)
{
    CKV_TRY(ckv_edit_begin(doc, map, 1, key_bytes + 24));
    const uint32_t reg = find(doc, map, key, key_bytes);
    if (reg == CKV_NONE || ckv_register_is_empty(&doc->tree.registers, reg)) return CKV_ENOENT;
    const ckv_author_view v = ckv_doc_own_view(doc);
    CKV_TRY(ckv_apply_erase(doc, &v, CKV_OP_UNSET, reg, 0));
    doc->open_bytes += key_bytes + 24;
    return CKV_OK;
}
