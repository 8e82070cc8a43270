#include "doc/set.h"

#include "doc/apply.h"
#include "doc/map.h"

/* ---- sets: registers whose keys are the members */

/* The bytes under which a member is known, in doc->body, which is free between changes. */
static ckv_status member_key(ckv_doc *doc, const ckv_value *member)
{
    if (!ckv_tag_is_scalar(member->tag)) return CKV_EVALUE;
    ckv_buf_clear(&doc->body);
    ckv_value_member(&doc->body, member);
    return doc->body.status;
}

size_t ckv_set_len(const ckv_doc *doc, uint32_t set)
{
    return ckv_tree_at(&doc->tree, set)->n_keys;
}

static uint32_t find(ckv_doc *doc, uint32_t set, const ckv_value *member)
{
    if (member_key(doc, member) != CKV_OK) return CKV_NONE;
    const uint32_t k = ckv_keys_find(&doc->tree.keys, doc->body.ptr, doc->body.len);
    return k == CKV_NONE ? CKV_NONE : ckv_tree_find(&doc->tree, set, k);
}

bool ckv_set_has(ckv_doc *doc, uint32_t set, const ckv_value *member)
{
    const uint32_t reg = find(doc, set, member);
    return reg != CKV_NONE && !ckv_register_is_empty(&doc->tree.registers, reg);
}

static ckv_status write(ckv_doc *doc, uint32_t set, const ckv_value *member, bool add)
{
    uint32_t k, reg, value_off, n_made;
    const size_t n_bytes = ckv_value_size(member) + 24;
    CKV_TRY(ckv_edit_begin(doc, set, 1, n_bytes));
    CKV_TRY(member_key(doc, member));
    CKV_TRY(ckv_keys_make(&doc->tree.keys, doc->body.ptr, doc->body.len, &k));
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, set, k, &reg));
    if (!add && ckv_register_is_empty(&doc->tree.registers, reg)) return CKV_ENOENT;
    CKV_TRY(ckv_edit_keep(doc, set, member, 1, &value_off, &n_made));
    const ckv_author_view v = ckv_doc_own_view(doc);
    const ckv_status s =
        add ? ckv_apply_write(doc, &v, CKV_OP_ADD, reg, value_off, member->tag, &n_made)
            : ckv_apply_erase(doc, &v, CKV_OP_DISCARD, reg, value_off);
    if (s != CKV_OK) {
        ckv_oplog_unkeep(&doc->log, value_off);
        return s;
    }
    doc->open_bytes += n_bytes;
    return CKV_OK;
}

ckv_status ckv_set_add(ckv_doc *doc, uint32_t set, const ckv_value *member)
{
    return write(doc, set, member, true);
}

ckv_status ckv_set_discard(ckv_doc *doc, uint32_t set, const ckv_value *member)
{
    return write(doc, set, member, false);
}

ckv_status ckv_set_members(ckv_doc *doc, const ckv_view *at, uint32_t set, ckv_buf *out)
{
    const size_t start = out->len;
    CKV_TRY(ckv_map_entries(doc, at, set, out)); /* the same registers; keep the values only */
    size_t n = (out->len - start) / sizeof(ckv_entry);
    for (size_t i = 0; i < n; i++) {
        ckv_entry e;
        memcpy(&e, out->ptr + start + i * sizeof e, sizeof e);
        memcpy(out->ptr + start + i * sizeof e.value, &e.value, sizeof e.value);
    }
    out->len = start + n * sizeof(ckv_value);
    return CKV_OK;
}
