/* diff.h -- how the difference of two versions is found: from the changes that lie between them to what those touched, from there to patches.
 *
 *     diff        changes -> registers, stretches of sequences, counters, texts with marks; Maps, Sets, Counters
 *     diff_seq    stretches -> patches of Texts and Lists
 *     diff_marks  marks of a Text at both versions -> patches
 *
 * Version NULL is now, the open change included.
 */
#ifndef CKV_DOC_DIFF_H
#define CKV_DOC_DIFF_H

#include "doc/patch.h"
#include "doc/plain_out.h"
#include "doc/state.h"

typedef struct ckv_touch { /* items of a sequence that were made, deleted or restored in between */
    uint32_t container, item, n;
} ckv_touch;
CKV_VEC(ckv_touches, ckv_touch);

typedef struct
    ckv_flip { /* items that show at one of the versions only, in order of the document */
    uint32_t item, n;
    uint32_t pos; /* items that show at b before them */
    bool old;     /* shows at a, else at b */
} ckv_flip;
CKV_VEC(ckv_flips, ckv_flip);

typedef struct ckv_differ {
    ckv_doc *doc;
    const ckv_past *a, *b;
    ckv_touches touches;
    ckv_u32s regs, counters, marked; /* numbers, in the end sorted and once each */
    ckv_u32s moved;  /* elements that were moved, or went or came and were moved some time */
    ckv_u32s order;  /* scratch */
    ckv_flips flips; /* of the sequence at hand */
    ckv_plain_out *plain;
    ckv_buf *out;
    bool path_written; /* of the container at hand */
    uint32_t container;
} ckv_differ;

static inline bool ckv_in(const ckv_doc *doc, const ckv_past *at, uint32_t change)
{
    return !at || (change < ckv_ids_n(&doc->graph.ids) && ckv_past_has(at, &doc->graph, change));
}
/* The same scalar, to the bit, or the same container. */
bool ckv_same_value(const ckv_value *x, const ckv_value *y);
/* Begins a patch of the container at hand, behind its path if that was not written yet. */
CKV_NODISCARD ckv_status ckv_diff_put(ckv_differ *d, ckv_patch_kind kind);
/* A value as it was at a, or is at b. */
CKV_NODISCARD ckv_status ckv_diff_value(ckv_differ *d, bool old, const ckv_value *value);

/* The touches [first, end) are of one Text or List: finds the pieces. */
CKV_NODISCARD ckv_status ckv_diff_flips(ckv_differ *d, size_t first, size_t end);
CKV_NODISCARD ckv_status ckv_diff_text(ckv_differ *d);
/* regs [first, end): elements that were assigned. */
CKV_NODISCARD ckv_status ckv_diff_list(ckv_differ *d, const uint32_t *regs, size_t n_regs);
CKV_NODISCARD ckv_status ckv_diff_marks(ckv_differ *d);
/* Visible items of a sequence before the one that `gap` stands behind, at a version. */
CKV_NODISCARD ckv_status ckv_diff_position(ckv_differ *d, const ckv_past *at, uint32_t slot,
                                           uint32_t *pos);

#endif
