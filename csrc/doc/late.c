#include "doc/late.h"

#include <stdlib.h>

ckv_late_notes ckv_late_notes_init(ckv_alloc a)
{
    return (ckv_late_notes){.times = {.a = a}, .messages = {.a = a}, .voids = {.a = a}};
}

void ckv_late_notes_fini(ckv_late_notes *n)
{
    ckv_time_runs_fini(&n->times);
    ckv_message_ats_fini(&n->messages);
    ckv_void_ats_fini(&n->voids);
}

static int by_change(const void *x, const void *y)
{
    const ckv_late *a = x, *b = y;
    return a->change < b->change ? -1 : a->change > b->change;
}

static void put_time(ckv_time_runs *out, uint32_t change, int64_t time)
{
    if (out->len == 0 || out->ptr[out->len - 1].time != time)
        ckv_time_runs_put(out, (ckv_time_run){change, time});
}

static void merge_times(ckv_time_runs *out, const ckv_doc *doc, const ckv_lates *late)
{
    size_t k = 0;
    for (size_t i = 0; i < doc->times.len; i++) {
        const ckv_time_run *r = &doc->times.ptr[i];
        const uint32_t end = i + 1 < doc->times.len ? r[1].change : ckv_ids_n(&doc->graph.ids);
        uint32_t at = r->change;
        for (; k < late->len && late->ptr[k].change < end; k++) {
            if (late->ptr[k].change > at) put_time(out, at, r->time);
            put_time(out, late->ptr[k].change, late->ptr[k].time);
            at = late->ptr[k].change + 1;
        }
        if (at < end) put_time(out, at, r->time);
    }
}

static void merge_messages(ckv_message_ats *out, const ckv_doc *doc, const ckv_lates *late)
{
    size_t off = doc->message_bytes.len, i = 0;
    for (size_t k = 0; k < late->len; k++) {
        const ckv_late *l = &late->ptr[k];
        if (!l->message) continue;
        while (i < doc->messages.len && doc->messages.ptr[i].change < l->change)
            ckv_message_ats_put(out, doc->messages.ptr[i++]);
        ckv_message_ats_put(out,
                            (ckv_message_at){l->change, (uint32_t)off, (uint32_t)l->message_bytes});
        off += l->message_bytes;
    }
    while (i < doc->messages.len) ckv_message_ats_put(out, doc->messages.ptr[i++]);
}

static void merge_voids(ckv_void_ats *out, const ckv_doc *doc, const ckv_lates *late)
{
    size_t i = 0;
    for (size_t k = 0; k < late->len; k++) {
        const ckv_late *l = &late->ptr[k];
        if (!l->void_reason) continue;
        while (i < doc->voids.len && doc->voids.ptr[i].change < l->change)
            ckv_void_ats_put(out, doc->voids.ptr[i++]);
        ckv_void_ats_put(
            out, (ckv_void_at){l->change, l->n_ops, doc->void_bodies.len, 0, l->void_reason});
    }
    while (i < doc->voids.len) ckv_void_ats_put(out, doc->voids.ptr[i++]);
}

ckv_status ckv_late_prepare(ckv_late_notes *out, ckv_doc *doc, ckv_lates *late)
{
    if (late->len == 0) return CKV_OK;
    qsort(late->ptr, late->len, sizeof *late->ptr, by_change);
    for (size_t k = 0; k < late->len; k++) out->message_bytes += late->ptr[k].message_bytes;
    CKV_TRY(ckv_time_runs_reserve(&out->times, doc->times.len + 2 * late->len));
    CKV_TRY(ckv_message_ats_reserve(&out->messages, doc->messages.len + late->len));
    CKV_TRY(ckv_void_ats_reserve(&out->voids, doc->voids.len + late->len));
    if (!ckv_buf_reserve(&doc->message_bytes, out->message_bytes + 1)) {
        const ckv_status s = doc->message_bytes.status;
        doc->message_bytes.status = CKV_OK;
        return s;
    }
    if (doc->message_bytes.len + out->message_bytes > UINT32_MAX) return CKV_ELIMIT;
    merge_times(&out->times, doc, late);
    merge_messages(&out->messages, doc, late);
    merge_voids(&out->voids, doc, late);
    return CKV_OK;
}

void ckv_late_enter(ckv_doc *doc, ckv_late_notes *n, const ckv_lates *late)
{
    if (late->len == 0) return;
    for (size_t k = 0; k < late->len; k++)
        ckv_buf_bytes(&doc->message_bytes, late->ptr[k].message, late->ptr[k].message_bytes);
    const ckv_late_notes old = {
        .times = doc->times, .messages = doc->messages, .voids = doc->voids};
    doc->times = n->times;
    doc->messages = n->messages;
    doc->voids = n->voids;
    *n = old;
}
