/* judge.h -- one change on trial: how its names are read, and what its operations may do. docs/format.md, "Canonical form" and "Rule 14".
 *
 *     admit    is it a change that fits here?
 *     names    what does each reference mean to its author?
 *     perform  is each operation allowed, and if so what does it do?
 */
#ifndef CKV_DOC_JUDGE_H
#define CKV_DOC_JUDGE_H

#include "doc/admit.h"
#include "log/body.h"
#include "types/integrate.h"

/* The change that is being judged, and how it names things. */
typedef struct ckv_judge {
    ckv_doc *doc;
    const ckv_candidate *c;
    uint32_t lane, prev, prev_branch, own_off, item0;
    uint32_t parents[CKV_MAX_PARENTS], parent_branch[CKV_MAX_PARENTS],
        parent_items[CKV_MAX_PARENTS];
    uint32_t n_parents;
    ckv_body body;
    ckv_buf used; /* one byte for each entry of the table */
    ckv_author_view view;
    bool restored_named; /* what the last RESTORE took back, a DELETE had named */
    const char *why;
} ckv_judge;

/* CKV_EVOID, with a reason. */
static inline ckv_status ckv_wrong(ckv_judge *j, const char *why)
{
    j->why = why;
    return CKV_EVOID;
}

/* A stretch of items by name: *item is the first, *len of them have consecutive numbers, at most n. `made` own items stand before. skip: so many items of the
 * range were read already. */
CKV_NODISCARD ckv_status ckv_names_range(ckv_judge *j, ckv_ref ref, uint32_t skip, uint32_t n,
                                         uint32_t made, uint32_t *item, uint32_t *len);
/* CKV_NO_ITEM for no reference. */
CKV_NODISCARD ckv_status ckv_names_item(ckv_judge *j, ckv_ref ref, uint32_t made, uint32_t *item);
/* The container that a reference names, which must be of this kind. */
CKV_NODISCARD ckv_status ckv_names_container(ckv_judge *j, ckv_ref ref, uint32_t made, ckv_tag kind,
                                             uint32_t *container);
/* A change of the table, by index. */
CKV_NODISCARD ckv_status ckv_names_change(ckv_judge *j, uint32_t index, uint32_t *change);

/* All operations of the body. CKV_EVOID leaves the first of them in the journal. */
CKV_NODISCARD ckv_status ckv_perform(ckv_judge *j);

#endif
