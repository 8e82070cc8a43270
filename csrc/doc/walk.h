/* walk.h -- the visible items of a Text or List in order, now or at a version, in pieces of consecutive numbers.
 *
 *     ckv_walk p;
 *     CKV_TRY(ckv_walk_begin(&p, doc, at, text, start, n));
 *     while (ckv_walk_next(&p, &item, &n)) ...
 *
 * History is a filter: an item shows at a version if its insert is in it, and its deletes, unless restored, are not (docs/adr/0003).
 * Cost now: O(log n) and what is returned. At a version: the spans from the start on.
 */
#ifndef CKV_DOC_WALK_H
#define CKV_DOC_WALK_H

#include "doc/state.h"

typedef struct ckv_walk {
    const ckv_doc *doc;
    const ckv_past *at; /* NULL: now */
    uint32_t leaf, slot, off;
    size_t skip, left;
    ckv_moves_round round;
    bool moves; /* a list in which elements were moved */
} ckv_walk;

/* Visible items [start, start + n), fewer at the end. Enters what is pending. */
CKV_NODISCARD ckv_status ckv_walk_begin(ckv_walk *p, ckv_doc *doc, const ckv_past *at,
                                        uint32_t container, size_t start, size_t n);
/* The items of a list are slots. */
bool ckv_walk_next(ckv_walk *p, uint32_t *item, uint32_t *n);

/* How many items from `item` on, at most n, are alike in being of the version or not (whether they show or not): *in tells which. */
uint32_t ckv_items_alike(const ckv_doc *doc, const ckv_past *at, uint32_t item, uint32_t n,
                         bool *in);
/* Does this item of a sequence, whose span has this del, show at a version (NULL: now) of which it is? Where elements were moved, it stands for itself alone. */
bool ckv_item_shows(const ckv_doc *doc, const ckv_past *at, uint32_t item, uint32_t del, bool moves,
                    ckv_moves_round round);
static inline bool ckv_has_moves(const ckv_doc *doc, uint32_t container)
{
    return doc->moves.slots.len && ckv_tree_at(&doc->tree, container)->kind == CKV_TAG_LIST;
}

#endif
