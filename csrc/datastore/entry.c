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
    case CKV_REC_DELETE: break;
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
    case CKV_REC_DELETE: break;
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

int ckv_rec_compare(const ckv_rec *a, const ckv_rec *b)
{
    if (a->dag != b->dag) return a->dag < b->dag ? -1 : 1;
    if (a->change != b->change) return a->change < b->change ? -1 : 1;
    if (a->index != b->index) return a->index < b->index ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->kind == CKV_REC_PART) {
        if (a->by_change != b->by_change) return a->by_change < b->by_change ? -1 : 1;
        return a->by_index < b->by_index ? -1 : a->by_index > b->by_index;
    }
    if (a->kind != CKV_REC_NAME) return 0;
    const int order = memcmp(a->target, b->target, 32);
    if (order) return order;
    return a->target_index < b->target_index ? -1 : a->target_index > b->target_index;
}
