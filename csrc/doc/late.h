/* late.h -- what bodies say that came after their changes: times, messages, and that they break a rule. Gathered while an import runs, then entered in one pass.
 *
 *     cost: O(changes) for each import that brought such a body
 */
#ifndef CKV_DOC_LATE_H
#define CKV_DOC_LATE_H

#include "doc/state.h"

typedef struct ckv_late {
    uint32_t change, n_ops;
    int64_t time;
    const char *message; /* borrowed; NULL: none */
    size_t message_bytes;
    const char *void_reason; /* NULL: none */
} ckv_late;
CKV_VEC(ckv_lates, ckv_late);

typedef struct ckv_late_notes { /* the notes of the document with those */
    ckv_time_runs times;
    ckv_message_ats messages;
    ckv_void_ats voids;
    size_t message_bytes;
} ckv_late_notes;

ckv_late_notes ckv_late_notes_init(ckv_alloc a);
void ckv_late_notes_fini(ckv_late_notes *n);
/* Sorts `late`. Does not show before ckv_late_enter, which cannot fail. */
CKV_NODISCARD ckv_status ckv_late_prepare(ckv_late_notes *out, ckv_doc *doc, ckv_lates *late);
void ckv_late_enter(ckv_doc *doc, ckv_late_notes *n, const ckv_lates *late);

#endif
