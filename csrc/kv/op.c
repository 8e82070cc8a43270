#include "kv/op.h"

#include "base/check.h"
#include "ds/sort.h"

/* ---- out */

typedef struct dead { /* cells, and their numbers by incarnation, then ascending dots */
    const ckv_store *store;
    ckv_cells cells;
    ckv_u32s order;
} dead;

static bool before(void *ctx, uint32_t a, uint32_t b)
{
    const dead *d = ctx;
    const ckv_cell *x = d->cells.ptr[a], *y = d->cells.ptr[b];
    return ckv_incarnations_compare(&d->store->who, x->peer, y->peer) < 0;
}

/* Dots descend on a chain; from its end on they ascend, and the sort leaves those of one incarnation as they are. */
static ckv_status list_dead(dead *d, const ckv_cell *chain)
{
    for (const ckv_cell *c = chain; c; c = c->next)
        CKV_TRY(ckv_cells_push(&d->cells, (ckv_cell *)(uintptr_t)c));
    CKV_TRY(ckv_u32s_reserve(&d->order, d->cells.len));
    for (size_t i = d->cells.len; i-- > 0;) ckv_u32s_put(&d->order, (uint32_t)i);
    return ckv_sort(&d->order, before, d);
}

static void write_dead(ckv_buf *out, const dead *d)
{
    const uint32_t *order = d->order.ptr;
    for (size_t i = 0; i < d->order.len;) {
        const uint32_t peer = d->cells.ptr[order[i]]->peer;
        const ckv_bytes id = ckv_incarnation_id(&d->store->who.all.ptr[peer]);
        ckv_buf_blob(out, id.ptr, id.n_bytes);
        ckv_runs_out w = ckv_runs_out_init(out);
        for (; i < d->order.len && d->cells.ptr[order[i]]->peer == peer; i++)
            ckv_runs_out_add(&w, d->cells.ptr[order[i]]->hlc, d->cells.ptr[order[i]]->hlc + 1);
        ckv_runs_out_end(&w);
    }
}

ckv_status ckv_op_write(const ckv_store *s, ckv_buf *out, const ckv_cell *cell, uint64_t prev,
                        uint64_t hlc, const ckv_cell *chain)
{
    const ckv_alloc a = ckv_store_alloc(s);
    dead d = {.store = s, .cells = {.a = a}, .order = {.a = a}};
    const ckv_status status = list_dead(&d, chain);
    if (status == CKV_OK) {
        const size_t begin = ckv_message_begin(out, CKV_MESSAGE_OP);
        const ckv_bytes own = ckv_incarnation_id(&s->who.all.ptr[s->own]);
        ckv_buf_u8(out, cell != NULL);
        ckv_buf_blob(out, own.ptr, own.n_bytes);
        ckv_buf_varint(out, prev);
        if (cell) ckv_row_write(out, prev, hlc, cell);
        write_dead(out, &d);
        ckv_message_end(out, begin);
    }
    ckv_cells_fini(&d.cells);
    ckv_u32s_fini(&d.order);
    return status == CKV_OK ? out->status : status;
}

/* ---- in */

static void read_dead(ckv_rd r, ckv_op *op, ckv_rd *checked)
{
    ckv_bytes last = {NULL, 0};
    while (ckv_rd_left(&r)) {
        const ckv_bytes id = ckv_message_id(&r, &last);
        const bool is_own =
            id.n_bytes == op->author.n_bytes && memcmp(id.ptr, op->author.ptr, id.n_bytes) == 0;
        ckv_runs_in set = ckv_runs_in_init(&r, 1, is_own ? op->prev : CKV_HLC_END - 1);
        ckv_run run;
        bool has_one = false;
        for (; ckv_runs_in_next(&set, &run); has_one = true)
            if (op->last < run.end - 1) op->last = run.end - 1;
        if (!has_one) ckv_rd_fail(&r, CKV_ECORRUPT);
    }
    *checked = r;
}

ckv_status ckv_op_read(ckv_bytes message, ckv_alloc a, ckv_op *out, ckv_err *err)
{
    ckv_rd r;
    CKV_TRY(ckv_message_open(message, CKV_MESSAGE_OP, &r, err));
    ckv_op op = {0};
    const uint8_t flag = ckv_rd_u8(&r);
    if (flag > 1) ckv_rd_fail(&r, CKV_ECORRUPT);
    op.is_put = flag;
    op.author = ckv_message_id(&r, &(ckv_bytes){NULL, 0});
    op.prev = op.last = ckv_rd_upto(&r, CKV_HLC_END - 1);
    if (op.is_put && r.status == CKV_OK && ckv_row_read(&r, a, op.prev, &op.row))
        op.last = op.row.hlc;
    op.dead = r;
    if (!op.is_put && r.status == CKV_OK && ckv_rd_left(&r) == 0) ckv_rd_fail(&r, CKV_ECORRUPT);
    if (r.status == CKV_OK) read_dead(r, &op, &r);
    if (r.status != CKV_OK) return ckv_message_fail(message, &r, r.status, "not an op", err);
    *out = op;
    return CKV_OK;
}
