#include "doc/cursor.h"

#include "doc/apply.h"

#define MAGIC "CKC\1"

static bool is_sequence(const ckv_doc *doc, uint32_t container)
{
    const ckv_kind kind = ckv_doc_kind(doc, container);
    return kind == CKV_KIND_TEXT || kind == CKV_KIND_LIST;
}

ckv_status ckv_cursor_at(ckv_doc *doc, uint32_t container, size_t pos, bool behind, ckv_cursor *out)
{
    CKV_TRY(ckv_doc_flush(doc));
    if (!is_sequence(doc, container)) return CKV_EVALUE;
    if (!ckv_doc_is_live(doc, container)) return CKV_ESTALE;
    const ckv_seq *s = &ckv_tree_at(&doc->tree, container)->seq;
    if (pos > s->visible) return CKV_ERANGE;
    *out = (ckv_cursor){container, CKV_NO_ITEM, doc->rollbacks, behind};
    if (behind ? pos == 0 : pos == s->visible) return CKV_OK;
    const ckv_gap gap = ckv_seq_gap(&doc->space, s, (uint32_t)pos + !behind);
    const uint32_t item = ckv_space_span(&doc->space, gap.leaf, gap.slot)->item + gap.off - 1;
    out->item = ckv_doc_element_of(doc, item);
    return CKV_OK;
}

/* Was its item rolled back? Its number may be that of another one now. */
static bool is_gone(const ckv_doc *doc, const ckv_cursor *c)
{
    return c->item != CKV_NO_ITEM && ckv_doc_taken_back(doc, c->item, c->since);
}

ckv_status ckv_cursor_index(ckv_doc *doc, const ckv_cursor *c, size_t *out)
{
    CKV_TRY(ckv_doc_flush(doc));
    if (!ckv_doc_is_live(doc, c->container) || is_gone(doc, c)) return CKV_ESTALE;
    if (c->item == CKV_NO_ITEM) {
        *out = c->behind ? 0 : ckv_tree_at(&doc->tree, c->container)->seq.visible;
        return CKV_OK;
    }
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&doc->space, ckv_moves_slot(&doc->moves, c->item), &gap));
    const ckv_span *s = ckv_space_span(&doc->space, gap.leaf, gap.slot);
    const uint32_t pos = ckv_seq_pos(&doc->space, gap); /* the item included, if it shows */
    *out = pos - (!c->behind && ckv_span_visible(&doc->space, s));
    return CKV_OK;
}

/* The text or list an item stands in; CKV_NONE. */
static uint32_t holder_of(const ckv_doc *doc, uint32_t item)
{
    ckv_gap gap;
    return ckv_space_locate(&doc->space, item, &gap) ? doc->space.leaves.ptr[gap.leaf].seq
                                                     : CKV_NONE;
}

ckv_status ckv_cursor_write(ckv_doc *doc, const ckv_cursor *c, ckv_buf *out)
{
    /* An end is named by the container, that is by the item that made it. */
    const bool at_end = c->item == CKV_NO_ITEM;
    if (is_gone(doc, c)) return CKV_ESTALE;
    const uint32_t item = at_end ? ckv_tree_at(&doc->tree, c->container)->item : c->item;
    const uint32_t change = ckv_ids_change_of_item(&doc->graph.ids, item);
    ckv_buf_bytes(out, MAGIC, 4);
    ckv_buf_u8(out, (uint8_t)(c->behind | at_end << 1));
    ckv_buf_bytes(out, &doc->id, 32);
    ckv_buf_bytes(out, ckv_ids_at(&doc->graph.ids, change), 32);
    ckv_buf_varint(out, item - ckv_ids_item(&doc->graph.ids, change));
    return out->status;
}

ckv_status ckv_cursor_read(ckv_doc *doc, const uint8_t *bytes, size_t n_bytes, ckv_cursor *out)
{
    ckv_rd r = ckv_rd_init(bytes, n_bytes);
    const uint8_t *magic = ckv_rd_bytes(&r, 4);
    const uint8_t flags = ckv_rd_u8(&r);
    const uint8_t *doc_id = ckv_rd_bytes(&r, 32), *id = ckv_rd_bytes(&r, 32);
    const uint64_t number = ckv_rd_varint(&r);
    if (!ckv_rd_done(&r) || memcmp(magic, MAGIC, 4) != 0 || flags > 3 ||
        memcmp(doc_id, &doc->id, 32) != 0)
        return CKV_ECORRUPT;
    ckv_id32 change_id;
    uint32_t change;
    memcpy(&change_id, id, 32);
    CKV_TRY(ckv_ids_find(&doc->graph.ids, &change_id, &change));
    const uint32_t first = ckv_ids_item(&doc->graph.ids, change),
                   n = ckv_ids_item(&doc->graph.ids, change + 1) - first;
    if (number >= n) return CKV_ECORRUPT;
    const uint32_t item = first + (uint32_t)number;
    *out = (ckv_cursor){
        .item = flags & 2 ? CKV_NO_ITEM : item, .since = doc->rollbacks, .behind = flags & 1};
    out->container = flags & 2 ? ckv_tree_of(&doc->tree, item) : holder_of(doc, item);
    if (out->container == CKV_NONE || !is_sequence(doc, out->container)) return CKV_ECORRUPT;
    if (!(flags & 2) && ckv_doc_element_of(doc, item) != item) return CKV_ECORRUPT;
    return CKV_OK;
}
