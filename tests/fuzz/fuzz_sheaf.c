/* The number of the first change (varint), then a sheaf behind its checksum, which is made right. What is read is written as something that is read as the same; nothing is taken on trust. */
#include "base/check.h"
#include "base/hash64.h"
#include "datastore/sheaf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static bool is_same(const ckv_buf *x, uint32_t at, const ckv_buf *y, uint32_t other, size_t n)
{
    CKV_ASSERT(at + n <= x->len && other + n <= y->len);
    return n == 0 || memcmp(x->ptr + at, y->ptr + other, n) == 0;
}

static void are_same(const ckv_sheaf *x, const ckv_sheaf *y)
{
    CKV_ASSERT(x->items.len == y->items.len && ckv_id32_eq(&x->ids, &y->ids));
    for (size_t i = 0; i < x->items.len; i++) {
        const ckv_sheaf_item *a = &x->items.ptr[i], *b = &y->items.ptr[i];
        CKV_ASSERT(a->number == b->number && a->lane == b->lane && a->prev == b->prev);
        CKV_ASSERT(a->n_ops == b->n_ops && a->body_len == b->body_len && a->state == b->state);
        CKV_ASSERT(a->time == b->time && a->n_parents == b->n_parents);
        CKV_ASSERT(a->is_signed == b->is_signed && a->has_message == b->has_message);
        CKV_ASSERT(a->message_bytes == b->message_bytes);
        CKV_ASSERT(is_same(&x->bytes, a->message, &y->bytes, b->message, a->message_bytes));
        CKV_ASSERT(
            is_same(&x->bytes, a->tail, &y->bytes, b->tail, ckv_sheaf_tail_bytes(a->body_len)));
        if (a->is_signed)
            CKV_ASSERT(
                is_same(&x->bytes, a->signature, &y->bytes, b->signature, CKV_SIGNATURE_BYTES));
        for (uint32_t k = 0; k < a->n_parents; k++)
            CKV_ASSERT(x->parents.ptr[a->parents + k] == y->parents.ptr[b->parents + k]);
    }
}

/* What whoever makes headers of it relies on. */
static void is_sound(const ckv_sheaf *s, uint32_t first)
{
    CKV_ASSERT(s->items.len > 0 && s->items.len <= CKV_SHEAF_CHANGES);
    CKV_ASSERT(s->items.ptr[0].number == first);
    for (size_t i = 0; i < s->items.len; i++) {
        const ckv_sheaf_item *item = &s->items.ptr[i];
        CKV_ASSERT(i == 0 || s->items.ptr[i - 1].number < item->number);
        CKV_ASSERT(item->prev == CKV_NO_CHANGE || item->prev < item->number);
        CKV_ASSERT(item->n_parents <= 32);
        for (uint32_t k = 0; k < item->n_parents; k++)
            CKV_ASSERT(s->parents.ptr[item->parents + k] < item->number);
        CKV_ASSERT((item->body_len <= 48) == (item->state == CKV_BODY_HERE));
        CKV_ASSERT(ckv_sheaf_find(s, item->number) == item);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_rd r = ckv_rd_init(data, n_bytes);
    const uint32_t first = (uint32_t)ckv_rd_upto(&r, UINT32_MAX);
    if (r.status != CKV_OK) return 0;
    ckv_sheaf s = ckv_sheaf_init(ckv_alloc_libc), again = ckv_sheaf_init(ckv_alloc_libc);
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_u64le(&bytes, ckv_hash64(r.p, ckv_rd_left(&r)));
    ckv_buf_bytes(&bytes, r.p, ckv_rd_left(&r));
    const ckv_status status = ckv_sheaf_read(&s, first, bytes.ptr, bytes.len);
    CKV_ASSERT(status == CKV_OK || status == CKV_ECORRUPT || status == CKV_ENOMEM);
    if (status == CKV_OK) {
        is_sound(&s, first);
        ckv_buf_clear(&bytes);
        CKV_MUST(ckv_sheaf_write(&s, &bytes) == CKV_OK);
        CKV_MUST(ckv_sheaf_read(&again, first, bytes.ptr, bytes.len) == CKV_OK);
        are_same(&s, &again);
    }
    ckv_buf_fini(&bytes);
    ckv_sheaf_fini(&s);
    ckv_sheaf_fini(&again);
    return 0;
}
