/* oplog.h -- what happened, in order of arrival, in runs.
 *
 *     lv   kind    holder  item  a     b
 *     0    SET     root    0     key   value       doc["body"] = Text()
 *     1    INSERT  text 1  1     -     -           items 1..5 behind nothing, before nothing
 *     6    DELETE  text 1  2                       items 2, 3
 *     8    INSERT  text 1  6     5     -
 *
 * A run ends where the next begins. Closed changes cover ranges of lv (graph/ids); runs may reach over several changes: an INSERT
 * that goes on behind its own last item with the same right origin, a DELETE that goes on upwards.
 *
 *     I1  runs ascend in lv; items of INSERT and SET ascend, without gaps: n_items in all
 *     I2  makers lists the runs that make items
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
    uint32_t a,
        b; /* INSERT: left, right item; SET, UNSET: a = key number; SET: b = offset of the value */
    uint32_t kind : 4, holder : 28; /* the container's number */
} ckv_op;
CKV_VEC(ckv_ops, ckv_op);

typedef struct ckv_oplog {
    ckv_ops ops;
    ckv_u32s makers;
    ckv_chars chars;
    ckv_buf values; /* encoded values of SETs */
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
/* Back to how it was with n_lv operations and n_items items. */
void ckv_oplog_truncate(ckv_oplog *x, uint32_t n_lv, uint32_t n_items);

/* The encoded value of a SET: reads it. */
ckv_value ckv_oplog_value(const ckv_oplog *x, uint32_t value_off);
size_t ckv_oplog_value_bytes(const ckv_oplog *x, uint32_t value_off); /* how long it is */
bool ckv_oplog_check(const ckv_oplog *x, const char **why);

#endif
