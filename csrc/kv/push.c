#include "kv/push.h"

#include "base/check.h"
#include "kv/op_in.h"
#include "kv/opset.h"
#include "kv/report.h"

/* ---- keeping */

static ckv_status keep(ckv_store *s, const ckv_held_message *m, ckv_store_report *report)
{
    uint32_t gone;
    CKV_TRY(ckv_held_keep(&s->held, m, &gone));
    return gone == CKV_NOBODY
               ? CKV_OK
               : ckv_report_refused(report, ckv_incarnation_id(&s->who.all.ptr[gone]),
                                    "more waits than there is room for", true);
}

/* An op counts against its author, wherever what it lacks is from. */
static ckv_held_message held_op(const ckv_store *s, ckv_bytes message, const ckv_op *op,
                                ckv_need need)
{
    const uint32_t author = ckv_incarnations_find(&s->who, op->author.ptr, op->author.n_bytes);
    return (ckv_held_message){.bytes = (uint8_t *)(uintptr_t)message.ptr,
                              .n_bytes = message.n_bytes,
                              .hlc = op->is_put ? op->row.hlc : op->prev,
                              .until = need.until,
                              .needs = need.peer,
                              .share = author};
}

/* A part of an op set that does not fit is kept as an op set of its own; `hlc`: what it waits for. */
static ckv_status keep_part(ckv_store *s, ckv_bytes part, ckv_need need, ckv_store_report *report)
{
    ckv_buf one = ckv_buf_init(ckv_store_alloc(s));
    ckv_status status = ckv_opset_one(&one, part);
    if (status == CKV_OK)
        status = keep(s,
                      &(ckv_held_message){.bytes = one.ptr,
                                          .n_bytes = one.len,
                                          .hlc = need.until,
                                          .until = need.until,
                                          .needs = need.peer,
                                          .share = need.peer},
                      report);
    ckv_buf_fini(&one);
    return status;
}

/* ---- taking */

static ckv_status take_op(ckv_store *s, ckv_bytes message, ckv_store_report *report)
{
    ckv_op op;
    ckv_need need;
    CKV_TRY(ckv_op_read(message, ckv_store_alloc(s), &op, NULL));
    CKV_TRY(ckv_op_apply(s, &op, report, &need));
    ckv_store_learn(s, op.last);
    if (need.peer == CKV_NOBODY) return CKV_OK;
    const ckv_held_message m = held_op(s, message, &op, need);
    return keep(s, &m, report);
}

static ckv_status take_opset(ckv_store *s, ckv_bytes message, ckv_store_report *report)
{
    ckv_rd parts;
    uint64_t last;
    CKV_TRY(ckv_opset_open(message, ckv_store_alloc(s), &parts, &last, NULL));
    CKV_TRY(ckv_opset_apply(s, parts, report));
    ckv_store_learn(s, last);
    ckv_bytes last_id = {NULL, 0};
    while (ckv_rd_left(&parts)) {
        ckv_opset_part p;
        const ckv_bytes bytes = ckv_opset_skip(&parts, &last_id, &p);
        const ckv_need need = ckv_opset_need(s, p);
        if (need.peer != CKV_NOBODY) CKV_TRY(keep_part(s, bytes, need, report));
    }
    return CKV_OK;
}

ckv_status ckv_push_take(ckv_store *s, ckv_bytes message, ckv_store_report *report)
{
    return message.ptr[0] == CKV_MESSAGE_OP ? take_op(s, message, report)
                                            : take_opset(s, message, report);
}

/* ---- trying again */

/* Does what fits of a message that waited; what is still missing, if anything. */
static ckv_status retry(ckv_store *s, ckv_bytes message, ckv_store_report *report, ckv_need *need)
{
    if (message.ptr[0] == CKV_MESSAGE_OP) {
        ckv_op op;
        CKV_TRY(ckv_op_read(message, ckv_store_alloc(s), &op, NULL));
        return ckv_op_apply(s, &op, report, need);
    }
    ckv_rd parts;
    uint64_t last;
    CKV_TRY(ckv_opset_open(message, ckv_store_alloc(s), &parts, &last, NULL));
    CKV_TRY(ckv_opset_apply(s, parts, report));
    ckv_bytes last_id = {NULL, 0};
    *need = ckv_opset_need(s, ckv_opset_next(&parts, &last_id));
    return CKV_OK;
}

/* Looks at each message once, and takes out those that are done. */
static ckv_status settle_once(ckv_store *s, ckv_store_report *report, bool *moved)
{
    ckv_status status = CKV_OK;
    for (size_t i = 0; i < s->held.all.len && status == CKV_OK; i++) {
        ckv_held_message *m = &s->held.all.ptr[i];
        if (s->who.all.ptr[m->needs].bookmark < m->until) continue;
        ckv_need need;
        status = retry(s, (ckv_bytes){m->bytes, m->n_bytes}, report, &need);
        if (status != CKV_OK) break;
        *moved = true;
        report->n_settled++;
        m->needs = need.peer;
        m->until = need.until;
        if (m->bytes[0] == CKV_MESSAGE_OPSET) m->hlc = need.until; /* as if it came now */
    }
    if (*moved) ckv_held_tidy(&s->held);
    return status;
}

ckv_status ckv_push_settle(ckv_store *s, ckv_store_report *report)
{
    for (bool moved = true; moved;) {
        moved = false;
        CKV_TRY(settle_once(s, report, &moved));
    }
    return CKV_OK;
}

/* ---- from outside */

static ckv_status refuse_late(ckv_bytes message, ckv_err *err)
{
    const ckv_rd at_start = ckv_rd_init(message.ptr, message.n_bytes);
    return ckv_message_fail(message, &at_start, CKV_EDRIFT, "a dot too far in the future", err);
}

ckv_status ckv_push_check(ckv_bytes message, uint8_t kind, ckv_alloc a, uint64_t latest,
                          ckv_err *err)
{
    uint64_t last;
    if (kind == CKV_MESSAGE_OP) {
        ckv_op op;
        CKV_TRY(ckv_op_read(message, a, &op, err));
        last = op.last;
    } else {
        ckv_rd parts;
        CKV_TRY(ckv_opset_open(message, a, &parts, &last, err));
    }
    return last > latest ? refuse_late(message, err) : CKV_OK;
}

ckv_status ckv_store_take_ops(ckv_store *s, const ckv_bytes *ops, size_t n, uint64_t latest,
                              ckv_store_report *report, ckv_err *err)
{
    for (size_t i = 0; i < n; i++)
        CKV_TRY(ckv_push_check(ops[i], CKV_MESSAGE_OP, ckv_store_alloc(s), latest, err));
    ckv_report_open(s);
    for (size_t i = 0; i < n; i++) {
        const uint64_t version = s->version;
        CKV_TRY(ckv_push_take(s, ops[i], report));
        if (s->version != version || i + 1 == n) CKV_TRY(ckv_push_settle(s, report));
    }
    for (size_t i = 0; i < n && s->held.all.len; i++) { /* which of them wait in the end? */
        ckv_op op;
        CKV_TRY(ckv_op_read(ops[i], ckv_store_alloc(s), &op, NULL));
        const ckv_held_message m = held_op(s, ops[i], &op, (ckv_need){CKV_NOBODY, 0});
        const ckv_held_message *held = ckv_held_find(&s->held, &m);
        if (held) CKV_TRY(ckv_report_waiting(report, s, held->share));
    }
    return CKV_OK;
}

ckv_status ckv_store_take_opset(ckv_store *s, ckv_bytes opset, uint64_t latest,
                                ckv_store_report *report, ckv_err *err)
{
    CKV_TRY(ckv_push_check(opset, CKV_MESSAGE_OPSET, ckv_store_alloc(s), latest, err));
    ckv_report_open(s);
    CKV_TRY(ckv_push_take(s, opset, report));
    CKV_TRY(ckv_push_settle(s, report));
    ckv_rd parts;
    uint64_t last;
    CKV_TRY(ckv_opset_open(opset, ckv_store_alloc(s), &parts, &last, NULL));
    ckv_bytes last_id = {NULL, 0};
    while (ckv_rd_left(&parts)) { /* which of them wait in the end? */
        ckv_opset_part p;
        ckv_opset_skip(&parts, &last_id, &p);
        const ckv_need need = ckv_opset_need(s, p);
        if (need.peer != CKV_NOBODY) CKV_TRY(ckv_report_waiting(report, s, need.peer));
    }
    return CKV_OK;
}
