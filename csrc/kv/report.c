#include "kv/report.h"

#include <string.h>

void ckv_store_report_init(ckv_store_report *r, ckv_alloc a)
{
    *r = (ckv_store_report){
        .applied = ckv_buf_init(a), .waiting = ckv_buf_init(a), .refused = ckv_buf_init(a)};
}

void ckv_store_report_fini(ckv_store_report *r)
{
    ckv_buf_fini(&r->applied);
    ckv_buf_fini(&r->waiting);
    ckv_buf_fini(&r->refused);
}

void ckv_report_open(ckv_store *s) { s->calls++; }

ckv_status ckv_report_applied(ckv_store_report *r, ckv_store_key key)
{
    ckv_buf_u8(&r->applied, key.is_bytes);
    ckv_buf_blob(&r->applied, key.ptr, key.n_bytes);
    return r->applied.status;
}

ckv_status ckv_report_waiting(ckv_store_report *r, ckv_store *s, uint32_t peer)
{
    ckv_incarnation *p = &s->who.all.ptr[peer];
    if (p->told_in == s->calls) return CKV_OK;
    p->told_in = s->calls;
    ckv_buf_blob(&r->waiting, p->id, p->id_bytes);
    return r->waiting.status;
}

ckv_status ckv_report_refused(ckv_store_report *r, ckv_bytes peer, const char *reason,
                              bool is_limit)
{
    ckv_left_out out = {.n_bytes = peer.n_bytes, .reason = reason, .is_limit = is_limit};
    memcpy(out.peer, peer.ptr, peer.n_bytes);
    ckv_buf_bytes(&r->refused, &out, sizeof out);
    return r->refused.status;
}
