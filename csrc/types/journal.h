/* journal.h -- how to take back what was just done, undone backwards. A savepoint is its length.
 *
 * It serves three times: a block that raises, a remote change found void at its k-th operation, an allocation that fails. Cuts of spans
 * are not written down: a cut changes nothing that can be seen.
 */
#ifndef CKV_TYPES_JOURNAL_H
#define CKV_TYPES_JOURNAL_H

#include "ds/vec.h"

typedef enum ckv_undo_kind {
    CKV_UNDO_INSERT,  /* who: sequence; a: item, b: n */
    CKV_UNDO_HI,      /* who: sequence; a: first item of the span, b: old hi */
    CKV_UNDO_LO,      /* who: sequence; a: last item of the span (CKV_NONE: the start), b: old lo */
    CKV_UNDO_DELETE,  /* who: sequence; a: item, b: n, c: old del */
    CKV_UNDO_REG_ADD, /* who: register; a: 1 if the newest operation on it became a value */
    CKV_UNDO_REG_DROP,  /* who: register; a: lv that stopped being a value */
    CKV_UNDO_REG_BACK,  /* who: register; a: lv that became a value again */
    CKV_UNDO_ITEM_DEL,  /* who: item that stands in no sequence; a: old del */
    CKV_UNDO_CONTAINER, /* who: container that was made */
    CKV_UNDO_MAKER,     /* who: container that one more item, a, makes */
    CKV_UNDO_MOVE, /* who: moved element; a: the slot it showed at before, b: lv of the move there */
    CKV_UNDO_COUNT, /* who: counter */
    CKV_UNDO_MARK,  /* who: text */
} ckv_undo_kind;

typedef struct ckv_undo {
    ckv_undo_kind kind;
    uint32_t who, a, b, c;
} ckv_undo;
CKV_VEC(ckv_undos, ckv_undo);

typedef struct ckv_journal {
    ckv_undos log;
    uint32_t on; /* how many want it; 0: nothing is written down */
} ckv_journal;

/* Room was reserved, if it is on. */
static inline void ckv_journal_put(ckv_journal *j, ckv_undo_kind kind, uint32_t who, uint32_t a,
                                   uint32_t b, uint32_t c)
{
    if (j->on) ckv_undos_put(&j->log, (ckv_undo){kind, who, a, b, c});
}

CKV_NODISCARD static inline ckv_status ckv_journal_reserve(ckv_journal *j, size_t n)
{
    return j->on ? ckv_undos_reserve(&j->log, n) : CKV_OK;
}

#endif
