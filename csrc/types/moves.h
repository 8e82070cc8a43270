/* moves.h -- elements that were moved in their list: one place each, that of the last move.
 *
 *     element 7:  slot 7 (where it was inserted) <- slot 19 (moved by ada) <- slot 23 (moved by ben, later in the total order: shown)
 *
 * A slot is an item of the list's sequence. Slots that do not show are away (CKV_DEL_AWAY); deletes, values and cursors name the element.
 * Kleppmann: Moving Elements in List CRDTs (2020).
 *
 *     cost: O(1) now; at a version O(moves of the element)
 */
#ifndef CKV_TYPES_MOVES_H
#define CKV_TYPES_MOVES_H

#include "types/register.h"

typedef struct ckv_slot {
    uint32_t item, lv, before;
} ckv_slot;
CKV_VEC(ckv_slots, ckv_slot);

typedef struct ckv_moved {
    uint32_t element, last; /* newest slot, CKV_NONE */
    uint32_t shown;         /* item of the slot that it shows at unless deleted */
    uint32_t by; /* lv of the move there; CKV_NONE: none, it shows where it was inserted */
    struct {
        uint32_t round, slot;
    } asked[2]; /* where it showed at the version of that round */
} ckv_moved;
CKV_VEC(ckv_moved_vec, ckv_moved);

typedef struct ckv_moves {
    ckv_moved_vec v;
    ckv_slots slots;
    ckv_hmap by_element;
    uint32_t rounds; /* of asking for many elements at one version */
} ckv_moves;

ckv_moves ckv_moves_init(ckv_alloc a, uint32_t secret);
void ckv_moves_fini(ckv_moves *x);
CKV_NODISCARD ckv_status ckv_moves_reserve(ckv_moves *x, ckv_journal *j); /* for one move */
/* The slot an element shows at. */
uint32_t ckv_moves_slot(const ckv_moves *x, uint32_t element);
uint32_t ckv_moves_slot_at(const ckv_moves *x, const ckv_graph *g, const ckv_past *at,
                           uint32_t element);
/* A round of asking at one version, in which nothing moves; `which`, 0 or 1, keeps two at once from forgetting each other's answers. */
typedef struct ckv_moves_round {
    uint32_t number, which;
} ckv_moves_round;
static inline ckv_moves_round ckv_moves_begin(ckv_moves *x, uint32_t which)
{
    return (ckv_moves_round){++x->rounds, which};
}
uint32_t ckv_moves_slot_in(const ckv_moves *x, ckv_moves_round round, const ckv_graph *g,
                           const ckv_past *at, uint32_t element);
/* A move by the operation at lv to a new slot. True: it is the last one now, and shows. */
bool ckv_moves_add(ckv_moves *x, uint32_t element, uint32_t slot, uint32_t lv,
                   const ckv_author_view *v, ckv_journal *j);
uint32_t ckv_moves_undo(ckv_moves *x, const ckv_undo *u); /* the slot that is no more */
size_t ckv_moves_bytes(const ckv_moves *x);

#endif
