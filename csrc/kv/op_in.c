#include "kv/op_in.h"

#include "base/hash64.h"

static uint64_t bookmark_of(const ckv_store *s, uint32_t peer)
{
    return peer == CKV_NOBODY ? 0 : s->who.all.ptr[peer].bookmark;
}

/* Is there something that must come first? Of several dots the one of the peer whose id has the greatest hash, whatever order they come in: so
 * an op that names n peers is looked at ln n times on the way, not n times. */
static ckv_status look(ckv_store *s, const ckv_op *op, ckv_need *need)
{
    *need =
        (ckv_need){ckv_incarnations_find(&s->who, op->author.ptr, op->author.n_bytes), op->prev};
    if (bookmark_of(s, need->peer) < op->prev)
        return ckv_incarnations_reach(&s->who, op->author.ptr, op->author.n_bytes, &need->peer);
    ckv_bytes missing = {NULL, 0}, last = {NULL, 0};
    uint64_t greatest = 0;
    ckv_rd r = op->dead;
    while (ckv_rd_left(&r)) {
        const ckv_bytes id = ckv_message_id(&r, &last);
        ckv_runs_in set = ckv_runs_in_init(&r, 1, CKV_HLC_END - 1);
        ckv_run run = {0, 1};
        while (ckv_runs_in_next(&set, &run)) continue;
        const uint32_t peer = ckv_incarnations_find(&s->who, id.ptr, id.n_bytes);
        const uint64_t hash = ckv_hash64(id.ptr, id.n_bytes);
        if (bookmark_of(s, peer) >= run.end - 1 || (missing.ptr && hash < greatest)) continue;
        missing = id;
        greatest = hash;
        need->until = run.end - 1;
    }
    need->peer = CKV_NOBODY;
    if (!missing.ptr) return CKV_OK;
    uint32_t author; /* it waits, so its author has a share */
    CKV_TRY(ckv_incarnations_reach(&s->who, op->author.ptr, op->author.n_bytes, &author));
    return ckv_incarnations_reach(&s->who, missing.ptr, missing.n_bytes, &need->peer);
}

static ckv_status stage(ckv_intake *in, const ckv_op *op)
{
    ckv_store *s = in->store;
    if (op->is_put) {
        uint32_t author;
        CKV_TRY(ckv_incarnations_reach(&s->who, op->author.ptr, op->author.n_bytes, &author));
        if (op->row.hlc > bookmark_of(s, author)) {
            CKV_TRY(ckv_intake_row(in, author, &op->row));
            CKV_TRY(ckv_intake_bookmark(in, author, op->row.hlc));
        }
    }
    ckv_rd r = op->dead;
    ckv_bytes last = {NULL, 0};
    while (ckv_rd_left(&r)) {
        const ckv_bytes id = ckv_message_id(&r, &last);
        const uint32_t peer = ckv_incarnations_find(&s->who, id.ptr, id.n_bytes);
        ckv_runs_in set = ckv_runs_in_init(&r, 1, CKV_HLC_END - 1);
        for (ckv_run run; ckv_runs_in_next(&set, &run);)
            CKV_TRY(ckv_intake_dead(in, peer, run.start, run.end));
    }
    return CKV_OK;
}

ckv_status ckv_op_apply(ckv_store *s, const ckv_op *op, ckv_store_report *report, ckv_need *need)
{
    CKV_TRY(look(s, op, need));
    if (need->peer != CKV_NOBODY) return CKV_OK;
    ckv_intake in = ckv_intake_begin(s);
    const ckv_status status = stage(&in, op);
    if (status == CKV_OK) return ckv_intake_commit(&in, report);
    ckv_intake_abort(&in);
    return status;
}
