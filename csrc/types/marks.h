/* marks.h -- the marks of texts, beside their sequences: a mark names two places, and no text is rewritten for it.
 *
 * Litt, Lim, Kleppmann, van Hardenberg: Peritext. A CRDT for Collaborative Rich Text Editing (2022).
 *
 *     cost: adding O(1); reading a text's marks O(its marks)
 */
#ifndef CKV_TYPES_MARKS_H
#define CKV_TYPES_MARKS_H

#include "ds/hmap.h"
#include "ds/vec.h"
#include "types/journal.h"

typedef struct ckv_mark_entry {
    uint32_t item, lv, before; /* before: the next older one of the same text, CKV_NONE */
    uint32_t end;              /* the item it ends behind, CKV_NONE if it ends elsewhere */
    uint32_t name;             /* number in ckv_keys */
} ckv_mark_entry;
CKV_VEC(ckv_mark_entries, ckv_mark_entry);

typedef struct ckv_marks {
    ckv_mark_entries v;
    ckv_hmap ends; /* item -> entry that ends behind it: typing at deleted text goes past those */
} ckv_marks;

ckv_marks ckv_marks_init(ckv_alloc a, uint32_t secret);
void ckv_marks_fini(ckv_marks *x);
CKV_NODISCARD ckv_status ckv_marks_reserve(ckv_marks *x, ckv_journal *j); /* for one mark */
/* newest: the text's newest mark; moved on. text: its container, for the journal. */
void ckv_marks_add(ckv_marks *x, uint32_t text, uint32_t *newest, ckv_mark_entry mark,
                   ckv_journal *j);
/* Takes back the newest mark of all; the text's is then the one returned. */
uint32_t ckv_marks_undo(ckv_marks *x);
static inline bool ckv_marks_end_behind(const ckv_marks *x, uint32_t item)
{
    return x->ends.n && ckv_hmap_get(&x->ends, item) != CKV_HMAP_NONE;
}

#endif
