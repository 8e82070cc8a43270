/* columns.h -- operations of many changes in columns, as they travel in a bundle. docs/format.md, "Bundle", tags 11 to 19.
 *
 * References are (lane of the bundle, offset). The writer joins what goes on over changes into runs; the reader cuts runs back into
 * changes and writes their canonical bodies, which are then hashed and judged like any others. It knows nothing of the graph.
 * MARK and RESTORE have no column form: their changes travel raw.
 */
#ifndef CKV_LOG_COLUMNS_H
#define CKV_LOG_COLUMNS_H

#include "ds/vec.h"
#include "log/body.h"

#define CKV_NO_LANE   UINT32_MAX
#define CKV_N_COLUMNS 9 /* kinds counts lanes left right targets holders text maps */

typedef struct ckv_spot { /* an item, by name */
    uint32_t lane;        /* of the bundle; CKV_NO_LANE: none */
    int64_t off;
} ckv_spot;

/* left: INSERT, ELEMENTS, MOVE; of the others the target: a DELETE's first item, the map, element, set or counter.
 * holder: INSERT, ELEMENTS without left and right: the text or list; MOVE: the element. */
typedef struct ckv_column_op {
    ckv_op_kind kind;
    uint32_t n;
    ckv_spot left, right, holder;
    const uint8_t *bytes; /* text, key */
    size_t n_bytes;
    const uint8_t *value; /* SET, ASSIGN, ADD, DISCARD: encoded; ELEMENTS: n of them in a row */
    size_t value_bytes;
    int64_t amount; /* COUNT */
} ckv_column_op;
CKV_VEC(ckv_column_ops, ckv_column_op);

typedef struct ckv_i64s_item { /* of each lane */
    int64_t v;
    uint32_t table,
        named; /* reading: the last table that has it; the one in which it stands at `index` */
    uint32_t index;
} ckv_i64s_item;
CKV_VEC(ckv_i64s, ckv_i64s_item);

/* ---- writing */

typedef struct ckv_columns_out {
    ckv_buf *col; /* borrowed: CKV_N_COLUMNS buffers */
    ckv_i64s cur;
    ckv_column_op run; /* n == 0: none is open */
    bool rev;
    uint32_t own;    /* lane of the open run */
    int64_t own_end; /* offset behind the last item it made */
} ckv_columns_out;

CKV_NODISCARD ckv_status ckv_columns_out_init(ckv_columns_out *c, ckv_alloc a, ckv_buf *columns,
                                              size_t n_lanes);
void ckv_columns_out_fini(ckv_columns_out *c);
/* No MARK, no RESTORE. own_off: the offset of the next item of lane `own` before this operation. first: it begins its change. */
void ckv_columns_put(ckv_columns_out *c, uint32_t own, int64_t own_off, const ckv_column_op *op,
                     bool first);
void ckv_columns_end_slice(
    ckv_columns_out *c); /* runs do not cross slices; also ends the last one */

/* ---- reading */

typedef struct ckv_columns_in {
    ckv_rd col[CKV_N_COLUMNS];
    ckv_i64s cur;
    ckv_buf table; /* ids */
    uint32_t n_tables;
    bool ascii;
    /* the run that is being cut */
    ckv_column_op run;
    uint32_t left_in_run;
    bool rev;
} ckv_columns_in;

/* What the reader must know of a change besides its operations. */
typedef struct ckv_column_change {
    uint32_t own;
    int64_t *own_off;        /* in and out: the offset of the lane's next item */
    const uint32_t *parents; /* lanes of the parents, in order of the parents' ids */
    uint32_t n_parents, n_ops;
    ckv_body_head head; /* time and message */
} ckv_column_change;

/* CKV_ECORRUPT: the text is not UTF-8. */
CKV_NODISCARD ckv_status ckv_columns_in_init(ckv_columns_in *c, ckv_alloc a, const ckv_rd *columns,
                                             size_t n_lanes);
void ckv_columns_in_fini(ckv_columns_in *c);
/* Appends the canonical body of the next change. CKV_ECORRUPT: the columns do not fit. */
CKV_NODISCARD ckv_status ckv_columns_body(ckv_columns_in *c, const ckv_column_change *change,
                                          const ckv_id32 *lanes, ckv_buf *out);
size_t ckv_columns_left(const ckv_columns_in *c);     /* bytes that were not read yet */
bool ckv_columns_slice_done(const ckv_columns_in *c); /* no run is open */
bool ckv_columns_done(const ckv_columns_in *c);       /* everything was read */

#endif
