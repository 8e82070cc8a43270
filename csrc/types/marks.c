#include "types/marks.h"

ckv_marks ckv_marks_init(ckv_alloc a, uint32_t secret)
{
    return (ckv_marks){.v = {.a = a}, .ends = ckv_hmap_init(a, secret)};
}

void ckv_marks_fini(ckv_marks *x)
{
    ckv_mark_entries_fini(&x->v);
    ckv_hmap_fini(&x->ends);
}

ckv_status ckv_marks_reserve(ckv_marks *x, ckv_journal *j)
{
    CKV_TRY(ckv_mark_entries_reserve(&x->v, 1));
    CKV_TRY(ckv_hmap_reserve(&x->ends, 1));
    return ckv_journal_reserve(j, 1);
}

void ckv_marks_add(ckv_marks *x, uint32_t text, uint32_t *newest, ckv_mark_entry mark,
                   ckv_journal *j)
{
    mark.before = *newest;
    *newest = (uint32_t)x->v.len;
    if (mark.end != CKV_HMAP_NONE) ckv_hmap_add(&x->ends, mark.end, *newest);
    ckv_mark_entries_put(&x->v, mark);
    ckv_journal_put(j, CKV_UNDO_MARK, text, 0, 0, 0);
}

uint32_t ckv_marks_undo(ckv_marks *x)
{
    const ckv_mark_entry mark = x->v.ptr[--x->v.len];
    if (mark.end != CKV_HMAP_NONE) ckv_hmap_remove(&x->ends, mark.end, (uint32_t)x->v.len);
    return mark.before;
}
