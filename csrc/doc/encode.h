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
    uint32_t item;                /* the first made; DELETE, RESTORE: the first named */
    uint32_t left, right, holder; /* items, by the fields of ckv_body_op */
    uint32_t reg,
        value_off; /* of what has a key or a value; RESTORE: reg is 1 if a DELETE named the items */
    int64_t amount;       /* COUNT */
    uint32_t of;          /* RESTORE: the change */
    ckv_ref target;       /* DELETE, RESTORE: the name of its first item */
    uint32_t branch, off; /* DELETE, RESTORE: its place */
} ckv_canon_op;
CKV_VEC(ckv_canon_ops, ckv_canon_op);

typedef struct ckv_namer { /* big: keep one for many changes */
    ckv_doc *doc;
    uint32_t lane;       /* own */
    uint32_t prev;       /* change, CKV_NONE */
    uint32_t own_branch; /* the chain behind: branch of prev, CKV_NONE without */
    uint32_t own_off;    /* items on it */
    uint32_t item0;      /* the first own item */
    const uint32_t
        *parents;       /* changes; CKV_NONE: one that is not here and names nothing (forged) */
    uint32_t n_parents; /* more than CKV_MAX_PARENTS when forged: those beyond name nothing */
    uint32_t parent_branch[CKV_MAX_PARENTS];
    ckv_past *past; /* filled when first needed */
    bool past_ready;
    ckv_buf lanes, changes; /* the table, ids */
    bool sorted;
    ckv_canon_ops deletes; /* scratch of ckv_canon: DELETEs or RESTOREs */
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
    size_t next_delete; /* in names->deletes: those in a row, joined as far as they touch */
} ckv_canon;

void ckv_canon_init(ckv_canon *c, ckv_namer *names, uint32_t lv0, uint32_t lv1);
/* False at the end, or with *status set. */
bool ckv_canon_next(ckv_canon *c, ckv_canon_op *op, ckv_status *status);
size_t ckv_values_bytes(const ckv_oplog *log, uint32_t value_off, uint32_t n);
/* The item by which a change names a container in its operation at lv. `past` and own items, from own_item on and made before lv, are what it knows. */
uint32_t ckv_container_item(const ckv_doc *doc, uint32_t container, const ckv_past *past,
                            uint32_t own_item, uint32_t lv);
/* The reference to an item when `made` own items were made before. */
CKV_NODISCARD ckv_status ckv_name_item(ckv_namer *n, uint32_t item, uint32_t made, ckv_ref *ref);

#endif
