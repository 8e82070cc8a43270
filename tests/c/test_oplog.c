/* The log in lockstep with a list of single operations; and back. */
#include "t.h"

#include "log/oplog.h"

#define MOST 4000

typedef struct slow_op {
    uint32_t kind, holder, item, a, b;
} slow_op;
static slow_op slow[MOST];
static uint32_t n_slow, n_items;

static void check(const ckv_oplog *x)
{
    const char *why = NULL;
    T_VALID(ckv_oplog_check(x, &why), why);
    T_EQ(x->n_lv, n_slow);
    T_EQ(x->n_items, n_items);
    for (uint32_t lv = 0; lv < n_slow; lv++) {
        const slow_op *s = &slow[lv];
        const size_t i = ckv_oplog_at_lv(x, lv);
        const ckv_op *op = &x->ops.ptr[i];
        const uint32_t k = lv - op->lv;
        T_CHECK(k < ckv_oplog_len(x, i) && op->kind == s->kind && op->holder == s->holder);
        if (s->kind == CKV_OP_INSERT || s->kind == CKV_OP_DELETE) T_EQ(op->item + k, s->item);
        if (s->kind == CKV_OP_INSERT) {
            T_EQ(k ? op->item + k - 1 : op->a, s->a);
            T_EQ(ckv_oplog_right(x, s->item), s->b);
        }
        if (s->kind == CKV_OP_SET) {
            T_EQ(ckv_oplog_at_item(x, s->item), i);
            T_EQ(ckv_oplog_value(x, op->b).i64, s->b);
        }
        if (s->kind == CKV_OP_SET || s->kind == CKV_OP_UNSET) T_EQ(op->a, s->a);
    }
}

static void push_at_random(ckv_oplog *x)
{
    const uint32_t holder = (uint32_t)t_below(3), n = 1 + (uint32_t)t_below(4);
    T_EQ(ckv_oplog_reserve(x, 1), CKV_OK);
    switch (t_below(5)) {
    case 0:
    case 1: {
        const bool goes_on = n_slow && slow[n_slow - 1].kind == CKV_OP_INSERT && t_one_in(2);
        const uint32_t left = goes_on ? n_items - 1 : (uint32_t)t_below(5),
                       right = goes_on ? slow[n_slow - 1].b : CKV_NO_ITEM;
        const uint32_t in = goes_on ? slow[n_slow - 1].holder : holder;
        ckv_oplog_insert(x, in, n, left, right);
        for (uint32_t i = 0; i < n; i++)
            slow[n_slow++] = (slow_op){CKV_OP_INSERT, in, n_items, i ? n_items - 1 : left, right},
            n_items++;
        return;
    }
    case 2: {
        const bool goes_on = n_slow && slow[n_slow - 1].kind == CKV_OP_DELETE && t_one_in(2);
        const uint32_t item = goes_on ? slow[n_slow - 1].item + 1 : (uint32_t)t_below(1000) + 10,
                       in = goes_on ? slow[n_slow - 1].holder : holder;
        ckv_oplog_delete(x, in, item, n, UINT32_MAX); /* each of a change of its own */
        for (uint32_t i = 0; i < n; i++)
            slow[n_slow++] = (slow_op){CKV_OP_DELETE, in, item + i, 0, 0};
        return;
    }
    case 3: {
        const ckv_value v = {.tag = CKV_TAG_INT, .i64 = (int64_t)t_below(100000)};
        const size_t off = x->values.len;
        ckv_value_write(&x->values, &v);
        ckv_oplog_set(x, holder, n, (uint32_t)off);
        slow[n_slow++] = (slow_op){CKV_OP_SET, holder, n_items++, n, (uint32_t)v.i64};
        return;
    }
    default:
        ckv_oplog_unset(x, holder, n);
        slow[n_slow++] = (slow_op){CKV_OP_UNSET, holder, 0, n, 0};
    }
}

static void runs_in_lockstep_and_back(void)
{
    for (uint64_t seed = 1; seed < 10; seed++) {
        t_seed(seed);
        ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
        uint32_t then = 0, items_then = 0;
        n_slow = n_items = 0;
        for (int step = 0; step < 400; step++) {
            push_at_random(&x);
            if (step % 20 == 0) check(&x);
            if (t_one_in(30)) then = n_slow, items_then = n_items;
            if (t_one_in(60)) {
                ckv_oplog_truncate(&x, then, items_then);
                n_slow = then, n_items = items_then;
                check(&x);
            }
        }
        check(&x);
        ckv_oplog_truncate(&x, 0, 0);
        T_CHECK(x.ops.len == 0 && x.makers.len == 0 && x.values.len == 0);
        ckv_oplog_fini(&x);
    }
}

int main(void)
{
    T_RUN(runs_in_lockstep_and_back);
    return t_done();
}
