#include "datastore/entry.h"

#define ELSEWHERE 8u

bool ckv_entry_next(ckv_entry_rd *e, ckv_rec *rec)
{
    ckv_rd *r = &e->r;
    if (r->p == r->end) return false;
    const uint8_t *start = r->p;
    const uint8_t head = ckv_rd_u8(r);
    *rec = (ckv_rec){
        .kind = (ckv_rec_kind)(head & 7), .elsewhere = (head & ELSEWHERE) != 0, .start = start};
    rec->dag = (uint32_t)ckv_rd_upto(r, UINT32_MAX);
    rec->change = (uint32_t)ckv_rd_upto(r, UINT32_MAX);
    rec->index = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
    switch (head) {
    case CKV_REC_PUT: rec->value.ptr = ckv_rd_blob(r, &rec->value.n_bytes); break;
    case CKV_REC_PUT | ELSEWHERE:
        rec->off = (uint32_t)ckv_rd_upto(r, CKV_MAX_BODY_BYTES);
        rec->value.n_bytes = (size_t)ckv_rd_upto(r, CKV_MAX_STORED_VALUE);
        break;
    case CKV_REC_DELETE:
    case CKV_REC_NAMES: break;
    case CKV_REC_COUNT: rec->total = ckv_kv_read_total(r); break;
    case CKV_REC_PART:
        rec->by_change = (uint32_t)ckv_rd_upto(r, UINT32_MAX);
        rec->by_index = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
        rec->total = ckv_kv_read_total(r);
        break;
    case CKV_REC_NAME:
        rec->target = ckv_rd_bytes(r, 32);
        rec->target_index = (uint32_t)ckv_rd_upto(r, CKV_MAX_OPS);
        break;
    default: ckv_rd_fail(r, CKV_ECORRUPT);
    }
    rec->end = r->p;
    return r->status == CKV_OK;
}

void ckv_entry_write(ckv_buf *out, const ckv_rec *rec)
{
    ckv_buf_u8(out, (uint8_t)(rec->kind | (rec->elsewhere ? ELSEWHERE : 0)));
    ckv_buf_varint(out, rec->dag);
    ckv_buf_varint(out, rec->change);
    ckv_buf_varint(out, rec->index);
    switch (rec->kind) {
    case CKV_REC_PUT:
        if (rec->elsewhere) {
            ckv_buf_varint(out, rec->off);
            ckv_buf_varint(out, rec->value.n_bytes);
        } else {
            ckv_buf_blob(out, rec->value.ptr, rec->value.n_bytes);
        }
        break;
    case CKV_REC_DELETE:
    case CKV_REC_NAMES: break;
    case CKV_REC_COUNT: ckv_kv_write_total(out, rec->total); break;
    case CKV_REC_PART:
        ckv_buf_varint(out, rec->by_change);
        ckv_buf_varint(out, rec->by_index);
        ckv_kv_write_total(out, rec->total);
        break;
    case CKV_REC_NAME:
        ckv_buf_bytes(out, rec->target, 32);
        ckv_buf_varint(out, rec->target_index);
        break;
    }
}

int ckv_rec_target_order(const ckv_rec *name, const uint8_t *id, uint32_t index)
{
    const int order = memcmp(name->target, id, 32);
    return order ? order : (name->target_index > index) - (name->target_index < index);
}

static int rank(const ckv_rec *rec)
{
    return ckv_rec_is_op(rec) ? 0 : rec->kind == CKV_REC_NAME ? 1 : 2;
}

int ckv_rec_compare(const ckv_rec *a, const ckv_rec *b)
{
    if (rank(a) != rank(b)) return rank(a) < rank(b) ? -1 : 1;
    if (a->kind == CKV_REC_NAME) {
        const int order = ckv_rec_target_order(a, b->target, b->target_index);
        if (order) return order;
    }
    if (a->dag != b->dag) return a->dag < b->dag ? -1 : 1;
    if (a->change != b->change) return a->change < b->change ? -1 : 1;
    if (a->index != b->index) return a->index < b->index ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->by_change != b->by_change) return a->by_change < b->by_change ? -1 : 1;
    return (a->by_index > b->by_index) - (a->by_index < b->by_index);
}

bool ckv_entry_alike(ckv_entry_bytes a, ckv_entry_bytes b)
{
    if (a.n_bytes == b.n_bytes && memcmp(a.ptr, b.ptr, a.n_bytes) == 0) return true;
    ckv_entry_rd x = ckv_entry_rd_init(a), y = ckv_entry_rd_init(b);
    ckv_rec p, q;
    bool more_a, more_b, is_long = false;
    for (;;) {
        more_a = ckv_entry_next(&x, &p), more_b = ckv_entry_next(&y, &q);
        if (!more_a || !more_b || !ckv_rec_is_op(&p) || !ckv_rec_is_op(&q)) break;
        if (ckv_rec_compare(&p, &q) != 0 || p.value.n_bytes != q.value.n_bytes ||
            p.total != q.total)
            return false;
        is_long |= p.off == CKV_UNPLACED || q.off == CKV_UNPLACED;
    }
    if ((more_a && ckv_rec_is_op(&p)) || (more_b && ckv_rec_is_op(&q))) return false;
    for (; more_a; more_a = ckv_entry_next(&x, &p)) is_long |= p.kind == CKV_REC_NAMES;
    for (; more_b; more_b = ckv_entry_next(&y, &q)) is_long |= q.kind == CKV_REC_NAMES;
    return is_long && x.r.status == CKV_OK && y.r.status == CKV_OK;
}
