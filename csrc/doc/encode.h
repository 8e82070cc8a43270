/* encode.h -- from numbers to names: the canonical body of a change out of the log, for hashing and for columns. docs/format.md, "Body".
 *
 * A change sees its own chain, the chains of its parents, and what else is in its past. `ckv_namer` knows the one name of every item.
 */
#ifndef CKV_DOC_ENCODE_H
#define CKV_DOC_ENCODE_H

#include "doc/state.h"
#include "log/body.h"

/* An operation, joined and cut as the canonical form wants it. */
typedef struct ckv_canon_op {
    ckv_op_kind kind;
    uint32_t n;
    uint32_t item; /* INSERT, SET: the first made; DELETE: the first deleted */
    uint32_t left,
        right; /* INSERT: items; SET, UNSET: left is the map's item, CKV_NO_ITEM for the root */
    uint32_t holder;         /* INSERT: item of the text */
    uint32_t key, value_off; /* SET, UNSET: slot, offset */
    ckv_ref target;          /* DELETE: the name of its first item */
    uint32_t branch, off;    /* DELETE: its place */
} ckv_canon_op;
CKV_VEC(ckv_canon_ops, ckv_canon_op);

typedef struct ckv_namer { /* big: keep one for many changes */
    ckv_doc *doc;
    uint32_t lane;           /* own */
    uint32_t prev;           /* change, CKV_NONE */
    uint32_t own_branch;     /* the chain behind: branch of prev, CKV_NONE without */
    uint32_t own_off;        /* items on it */
    uint32_t item0;          /* the first own item */
    const uint32_t *parents; /* changes */
    uint32_t n_parents;
    uint32_t parent_branch[CKV_MAX_PARENTS];
    ckv_past *past; /* filled when first needed */
    bool past_ready;
    ckv_buf lanes, changes; /* the table, ids */
    bool sorted;
    ckv_canon_ops deletes; /* scratch of ckv_canon */
    ckv_buf text;          /* scratch */
    size_t run_hint;       /* where the last change asked for ended in the log */
} ckv_namer;

void ckv_namer_init(ckv_namer *n, ckv_doc *doc);
void ckv_namer_fini(ckv_namer *n);
/* Names are from now on those of a change after prev and parents, a closed one or the one that is about to be made. */
void ckv_namer_of(ckv_namer *n, uint32_t lane, uint32_t prev, const uint32_t *parents,
                  uint32_t n_parents, uint32_t item0);
/* The same for the change right behind `prev` in one segment, that is without parents, when names were those of prev, which made n_items. */
void ckv_namer_next(ckv_namer *n, uint32_t branch, uint32_t prev, uint32_t n_items, uint32_t item0);
/* Where the items of the chain that ends in change c end. */
uint32_t ckv_chain_items(const ckv_graph *g, uint32_t change);
uint32_t ckv_chain_items_on(const ckv_graph *g, uint32_t branch,
                            uint32_t change); /* the change is of this branch */

/* Appends the body of operations [lv0, lv1), whose items begin with item0. */
CKV_NODISCARD ckv_status ckv_encode_body(ckv_namer *n, uint32_t lv0, uint32_t lv1,
                                         const ckv_body_head *head, ckv_buf *out);

/* The operations of a change one by one. */
typedef struct ckv_canon {
    ckv_namer *names;
    size_t run;
    uint32_t lv, lv1, made;
    size_t next_delete; /* in names->deletes: DELETEs in a row, joined as far as they touch */
} ckv_canon;

void ckv_canon_init(ckv_canon *c, ckv_namer *names, uint32_t lv0, uint32_t lv1);
/* False at the end, or with *status set. */
bool ckv_canon_next(ckv_canon *c, ckv_canon_op *op, ckv_status *status);
/* The reference to an item when `made` own items were made before. */
CKV_NODISCARD ckv_status ckv_name_item(ckv_namer *n, uint32_t item, uint32_t made, ckv_ref *ref);

#endif
