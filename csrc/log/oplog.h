/* oplog.h -- what happened, in order of arrival, in runs.
 *
 *     lv   kind    holder  item  a     b
 *     0    SET     root    0     key   value       doc["body"] = Text()
 *     1    INSERT  text 1  1     -     -           items 1..5 behind nothing, before nothing
 *     6    DELETE  text 1  2                       items 2, 3
 *     8    INSERT  text 1  6     5     -
 *     9    ELEMENTS list 2 7     6     -                       two elements; their values in `elements`
 *
 * A run ends where the next begins. Closed changes cover ranges of lv (graph/ids); runs may reach over several changes: an INSERT
 * that goes on behind its own last item with the same right origin, a DELETE that goes on upwards.
 *
 *     I1  runs ascend in lv; items of those that make some ascend, without gaps: n_items in all
 *     I2  makers lists the runs that make items
 *     I3  elements, marks: one entry for each element and each MARK, in order of their items
 *     cost: push O(1) amortised; finding a run O(log runs)
 */
#ifndef CKV_LOG_OPLOG_H
#define CKV_LOG_OPLOG_H

#include "ds/vec.h"
#include "log/body.h"
#include "log/chars.h"

#define CKV_NO_ITEM UINT32_MAX

typedef struct ckv_op {
    uint32_t lv, item;
    uint32_t a, b; /* INSERT, ELEMENTS, MOVE: left, right item
                      SET, UNSET, ADD, DISCARD: a = the register; ASSIGN: a = the element; all but UNSET: b = offset of the value
                      COUNT: a, b = low and high half of the amount
                      MARK: a, b = items of start and end, CKV_NO_ITEM: start, end of the text
                      RESTORE: a = the change whose deletes are taken back */
    uint32_t kind : 4,
        holder : 28; /* the container's number; MOVE: index in `moved`; DELETE: of no meaning; RESTORE: 1 if a
                                       DELETE named the items */
} ckv_op;
CKV_VEC(ckv_ops, ckv_op);

typedef struct
    ckv_elements { /* values of a run of elements: `at` is the first one's index in value_at */
    uint32_t item, at;
} ckv_elements;
CKV_VEC(ckv_elements_runs, ckv_elements);

typedef struct ckv_mark_op {
    uint32_t item, sides;
    uint32_t name_off, name_bytes; /* in `values` */
    uint32_t value_off;            /* CKV_NO_VALUE: the name is taken away */
} ckv_mark_op;
CKV_VEC(ckv_mark_ops, ckv_mark_op);
#define CKV_NO_VALUE UINT32_MAX

typedef struct ckv_oplog {
    ckv_ops ops;
    ckv_u32s makers;
    ckv_chars chars;
    ckv_buf values; /* encoded values, names of marks */
    ckv_elements_runs elements;
    ckv_u32s value_at; /* offset of the value of each element */
    ckv_u32s moved;    /* the element of each MOVE */
    ckv_mark_ops marks;
    uint32_t n_lv, n_items;
} ckv_oplog;

ckv_oplog ckv_oplog_init(ckv_alloc a);
void ckv_oplog_fini(ckv_oplog *x);

static inline uint32_t ckv_oplog_len(const ckv_oplog *x, size_t i) /* single operations of run i */
{
    return (i + 1 < x->ops.len ? x->ops.ptr[i + 1].lv : x->n_lv) - x->ops.ptr[i].lv;
}
size_t ckv_oplog_at_lv(const ckv_oplog *x, uint32_t lv);     /* the run that holds lv */
size_t ckv_oplog_at_item(const ckv_oplog *x, uint32_t item); /* the run that made item */
/* The origins of an item of an INSERT run. */
uint32_t ckv_oplog_right(const ckv_oplog *x, uint32_t item);

/* Each needs ckv_oplog_reserve (and for text ckv_chars_reserve, for values room in `values`) before. They return nothing that can fail. */
CKV_NODISCARD ckv_status ckv_oplog_reserve(ckv_oplog *x, size_t n_runs);
void ckv_oplog_insert(ckv_oplog *x, uint32_t holder, uint32_t n, uint32_t left, uint32_t right);
/* A range below the last one joins it too, if that began at or after operation `since`, the first of this change or block. */
void ckv_oplog_delete(ckv_oplog *x, uint32_t holder, uint32_t item, uint32_t n, uint32_t since);
void ckv_oplog_set(ckv_oplog *x, uint32_t holder, uint32_t key, uint32_t value_off);
void ckv_oplog_unset(ckv_oplog *x, uint32_t holder, uint32_t key);
/* n elements whose encoded values stand in a row in `values` from value_off on. Room for n in value_at was reserved. */
void ckv_oplog_elements(ckv_oplog *x, uint32_t holder, uint32_t n, uint32_t left, uint32_t right,
                        uint32_t value_off);
void ckv_oplog_assign(ckv_oplog *x, uint32_t holder, uint32_t element, uint32_t value_off);
void ckv_oplog_move(ckv_oplog *x, uint32_t element, uint32_t left, uint32_t right);
void ckv_oplog_member(ckv_oplog *x, uint32_t holder, bool add, uint32_t slot,
                      uint32_t value_off); /* ADD, DISCARD */
void ckv_oplog_count(ckv_oplog *x, uint32_t holder, int64_t amount);
void ckv_oplog_mark(ckv_oplog *x, uint32_t holder, uint32_t start, uint32_t end,
                    ckv_mark_op mark); /* .item is filled in */
/* named: a DELETE of `change` names them; then it joins the RESTORE before it, as deletes do. */
void ckv_oplog_restore(ckv_oplog *x, uint32_t item, uint32_t n, uint32_t change, bool named,
                       uint32_t since);
/* Back to how it was with n_lv operations and n_items items. */
void ckv_oplog_truncate(ckv_oplog *x, uint32_t n_lv, uint32_t n_items);

/* Appends bytes to `values`: room that ckv_oplog_truncate takes back with the operation that owns it. *off: where. CKV_ELIMIT: over 4 GiB. */
CKV_NODISCARD ckv_status ckv_oplog_keep(ckv_oplog *x, const void *bytes, size_t n, uint32_t *off);
CKV_NODISCARD ckv_status ckv_oplog_keep_value(ckv_oplog *x, const ckv_value *v, uint32_t *off);
/* Forgets what was kept from `off` on, when no operation came of it. */
static inline void ckv_oplog_unkeep(ckv_oplog *x, uint32_t off) { x->values.len = off; }

static inline int64_t ckv_oplog_amount(const ckv_op *op)
{
    return (int64_t)((uint64_t)op->b << 32 | op->a);
}
/* Where the value of an item is that has one: element, SET, ASSIGN, ADD. */
uint32_t ckv_oplog_value_of(const ckv_oplog *x, uint32_t item);
/* The offsets of an element's value and of those that follow it, as far as items with consecutive numbers are elements. */
const uint32_t *ckv_oplog_values_of(const ckv_oplog *x, uint32_t element);
const ckv_mark_op *ckv_oplog_mark_of(const ckv_oplog *x, uint32_t item);
uint32_t ckv_oplog_lv_of(const ckv_oplog *x, uint32_t item); /* of the operation that made it */

/* The encoded value at an offset: reads it. */
ckv_value ckv_oplog_value(const ckv_oplog *x, uint32_t value_off);
size_t ckv_oplog_value_bytes(const ckv_oplog *x, uint32_t value_off); /* how long it is */
bool ckv_oplog_check(const ckv_oplog *x, const char **why);

#endif
