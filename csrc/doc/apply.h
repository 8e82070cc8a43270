/* apply.h -- what operations do to the log and to what is there now; the same for edits made here and for those of others.
 *
 * Everything is valid by now. Each function makes room before it changes anything, and notes in the journal how to go back.
 */
#ifndef CKV_DOC_APPLY_H
#define CKV_DOC_APPLY_H

#include "doc/state.h"

/* ---- edits */

/* An edit of a container is about to add n_ops operations of about n_bytes: enters what is pending. CKV_ESTALE, CKV_ELIMIT: the open change is full. */
CKV_NODISCARD ckv_status ckv_edit_begin(ckv_doc *doc, uint32_t container, size_t n_ops,
                                        size_t n_bytes);
/* Keeps n values in a row in the log. *n_made: how many make containers; those are not deeper than 256. On failure nothing is kept. */
CKV_NODISCARD ckv_status ckv_edit_keep(ckv_doc *doc, uint32_t container, const ckv_value *values,
                                       size_t n, uint32_t *value_off, uint32_t *n_made);
static inline size_t ckv_value_size(const ckv_value *v)
{
    return 12 + (v->tag == CKV_TAG_STR || v->tag == CKV_TAG_BYTES ? v->n_bytes : 0);
}
/* Own deletes join those of this change that came after the last savepoint. */
static inline uint32_t ckv_edit_since(const ckv_doc *doc)
{
    return doc->joins_since > doc->graph.ids.n_lv ? doc->joins_since : doc->graph.ids.n_lv;
}

/* The gap in which text typed at pos goes: behind the character before it, and behind what was deleted there if a mark ends behind that. */
ckv_gap ckv_text_gap(const ckv_doc *doc, uint32_t text, uint32_t pos);

/* ---- reading */

/* Whoever edits here has seen everything that is here. */
ckv_author_view ckv_doc_own_view(ckv_doc *doc);
/* The register that an operation with a value, or UNSET or DISCARD, is on. */
uint32_t ckv_doc_register_of(const ckv_doc *doc, const ckv_op *op);
/* The value of the operation at lv, as values are read: the tag is a kind or scalar, a container has its number. */
ckv_value ckv_doc_value_at(const ckv_doc *doc, uint32_t lv);
ckv_value ckv_doc_value_of(const ckv_doc *doc, uint32_t item); /* of an item that has one */
ckv_value ckv_doc_value_in(const ckv_doc *doc,
                           uint32_t run); /* of a run of one SET, ASSIGN or ADD */
/* Of an element, by the offset that the log has for it. */
ckv_value ckv_doc_value_read(const ckv_doc *doc, uint32_t item, uint32_t value_off);
/* The element that a slot of a list belongs to. */
uint32_t ckv_doc_element_of(const ckv_doc *doc, uint32_t slot);
/* The operation whose value a register shows, now or at a version; CKV_NONE. */
CKV_NODISCARD ckv_status ckv_doc_shown(ckv_doc *doc, const ckv_past *at, uint32_t reg,
                                       uint32_t *lv);
/* The shown value of a register. False: none. */
CKV_NODISCARD ckv_status ckv_doc_shown_value(ckv_doc *doc, const ckv_past *at, uint32_t reg,
                                             ckv_value *out, bool *shows);
/* The same for an element, which need not have a register yet. */
CKV_NODISCARD ckv_status ckv_doc_shown_element(ckv_doc *doc, const ckv_past *at, uint32_t list,
                                               uint32_t element, uint32_t *lv);
/* The lvs of all values of a register; of an element that has none: the first. The shown one first. */
CKV_NODISCARD ckv_status ckv_doc_values(ckv_doc *doc, const ckv_past *at, uint32_t reg,
                                        ckv_u32s *out);
/* As conflicts (doc/map.h), appended. */
CKV_NODISCARD ckv_status ckv_doc_conflicts(ckv_doc *doc, const ckv_past *at, uint32_t reg,
                                           ckv_buf *out);
/* Is a delete chain hiding at a version (NULL: now)? */
static inline bool ckv_doc_hidden(const ckv_doc *doc, const ckv_past *at, uint32_t del)
{
    if (!at) return ckv_del_open(&doc->space.deletes, del) != 0;
    return ckv_del_hides_at(&doc->space.deletes, del, at, &doc->graph, CKV_NONE);
}

/* ---- operations */

/* SET, ADD: a value on a register, kept in the log at value_off already. ASSIGN: the register is the element's. *made: the container, or CKV_NONE. */
CKV_NODISCARD ckv_status ckv_apply_write(ckv_doc *doc, const ckv_author_view *v, ckv_op_kind kind,
                                         uint32_t reg, uint32_t value_off, ckv_tag tag,
                                         uint32_t *made);
/* UNSET, DISCARD. */
CKV_NODISCARD ckv_status ckv_apply_erase(ckv_doc *doc, const ckv_author_view *v, ckv_op_kind kind,
                                         uint32_t reg, uint32_t value_off);
/* Room for n elements and for the containers that some of them make. */
CKV_NODISCARD ckv_status ckv_apply_reserve_elements(ckv_doc *doc, uint32_t n, uint32_t n_made);
/* Elements [log.n_items, + n) stand in the list by now: enters them into the log, and makes their containers. made (may be NULL): n numbers. */
void ckv_apply_elements(ckv_doc *doc, uint32_t list, uint32_t n, uint32_t left, uint32_t right,
                        uint32_t value_off, uint32_t *made);
/* Room, and then the move of an element to a slot, item log.n_items, that stands in the list by now. */
CKV_NODISCARD ckv_status ckv_apply_reserve_move(ckv_doc *doc);
void ckv_apply_move(ckv_doc *doc, const ckv_author_view *v, uint32_t element, uint32_t left,
                    uint32_t right);
CKV_NODISCARD ckv_status ckv_apply_count(ckv_doc *doc, uint32_t counter, int64_t amount);
CKV_NODISCARD ckv_status ckv_apply_mark(ckv_doc *doc, uint32_t text, uint32_t start, uint32_t end,
                                        ckv_mark_op mark);

/* Deletes items from `item` on, at most n; *done of them, alike in being what they are. In the log too: `since` as in ckv_oplog_delete. */
CKV_NODISCARD ckv_status ckv_apply_delete(ckv_doc *doc, uint32_t change, uint32_t item, uint32_t n,
                                          uint32_t since, uint32_t *done);
/* Takes back that `of` deleted or replaced them. */
CKV_NODISCARD ckv_status ckv_apply_restore(ckv_doc *doc, const ckv_author_view *v, uint32_t change,
                                           uint32_t of, uint32_t item, uint32_t n, uint32_t since,
                                           uint32_t *done);

#endif
