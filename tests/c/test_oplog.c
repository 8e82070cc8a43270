/* The log in lockstep with a list of single operations; and back. */
#include "t.h"

#include "log/oplog.h"

#define MOST 4000

typedef struct slow_op {
    uint32_t kind, holder, item, a, b;
    int64_t number;   /* its value, an int; COUNT: the amount */
    uint32_t element; /* MOVE */
    uint32_t sides;   /* MARK */
    size_t kept;      /* bytes in `values` up to it */
} slow_op;
static slow_op slow[MOST];
static uint32_t n_slow, n_items;

static int64_t int_at(const ckv_oplog *x, uint32_t off)
{
    const ckv_value v = ckv_oplog_value(x, off);
    T_EQ(v.tag, CKV_TAG_INT);
    return v.i64;
}

static void check_mark(const ckv_oplog *x, const slow_op *s)
{
    const ckv_mark_op *m = ckv_oplog_mark_of(x, s->item);
    T_EQ(m->item, s->item);
    T_EQ(m->sides, s->sides);
    T_BYTES(x->values.ptr + m->name_off, m->name_bytes, "name", 4);
    if (s->number)
        T_EQ(int_at(x, m->value_off), s->number);
    else
        T_EQ(m->value_off, CKV_NO_VALUE);
}

static void check(const ckv_oplog *x)
{
    const char *why = NULL;
    T_VALID(ckv_oplog_check(x, &why), why);
    T_EQ(x->n_lv, n_slow);
    T_EQ(x->n_items, n_items);
    T_EQ(x->values.len, n_slow ? slow[n_slow - 1].kept : 0);
    for (uint32_t lv = 0; lv < n_slow; lv++) {
        const slow_op *s = &slow[lv];
        const size_t i = ckv_oplog_at_lv(x, lv);
        const ckv_op *op = &x->ops.ptr[i];
        const uint32_t k = lv - op->lv;
        T_CHECK(k < ckv_oplog_len(x, i) && op->kind == s->kind);
        if (ckv_op_makes_items((ckv_op_kind)s->kind)) {
            T_EQ(ckv_oplog_at_item(x, s->item), i);
            T_EQ(ckv_oplog_lv_of(x, s->item), lv);
        }
        if (s->kind != CKV_OP_MOVE && s->kind != CKV_OP_RESTORE) T_EQ(op->holder, s->holder);
        switch ((ckv_op_kind)s->kind) {
        case CKV_OP_INSERT:
        case CKV_OP_ELEMENTS:
            T_EQ(op->item + k, s->item);
            T_EQ(k ? op->item + k - 1 : op->a, s->a);
            T_EQ(ckv_oplog_right(x, s->item), s->b);
            if (s->kind == CKV_OP_ELEMENTS)
                T_EQ(int_at(x, ckv_oplog_value_of(x, s->item)), s->number);
            break;
        case CKV_OP_RESTORE: T_EQ(op->a, s->a); /* fall through */
        case CKV_OP_DELETE: T_EQ(op->item + k, s->item); break;
        case CKV_OP_SET:
        case CKV_OP_ASSIGN:
        case CKV_OP_ADD: T_EQ(ckv_oplog_value_of(x, s->item), op->b); /* fall through */
        case CKV_OP_DISCARD: T_EQ(int_at(x, op->b), s->number);       /* fall through */
        case CKV_OP_UNSET: T_EQ(op->a, s->a); break;
        case CKV_OP_MOVE:
            T_EQ(x->moved.ptr[op->holder], s->element);
            T_EQ(op->a, s->a);
            T_EQ(op->b, s->b);
            break;
        case CKV_OP_COUNT: T_EQ(ckv_oplog_amount(op), s->number); break;
        case CKV_OP_MARK:
            T_EQ(op->a, s->a);
            T_EQ(op->b, s->b);
            check_mark(x, s);
            break;
        }
    }
}

/* A run of n that begins with s; each keeps `kept` bytes. */
static void remember(slow_op s, uint32_t n, size_t kept)
{
    T_CHECK(n_slow + n < MOST);
    for (; n; n--) {
        const bool makes = ckv_op_makes_items((ckv_op_kind)s.kind);
        s.kept = kept + (n_slow ? slow[n_slow - 1].kept : 0);
        if (makes) s.item = n_items++;
        slow[n_slow++] = s;
        if (makes)
            s.a = s.item;
        else
            s.item++;
    }
}

static size_t keep_int(ckv_oplog *x, int64_t i, uint32_t *off)
{
    const size_t before = x->values.len;
    const ckv_value v = {.tag = CKV_TAG_INT, .i64 = i};
    T_EQ(ckv_oplog_keep_value(x, &v, off), CKV_OK);
    T_EQ(*off, before);
    T_EQ(ckv_oplog_value_bytes(x, *off), x->values.len - before);
    return x->values.len - before;
}

static void push_elements(ckv_oplog *x, uint32_t holder, uint32_t n, uint32_t left, uint32_t right)
{
    uint32_t first = 0, off;
    size_t kept[4];
    int64_t numbers[4];
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = (int64_t)t_rand() >> t_below(64);
        kept[i] = keep_int(x, numbers[i], &off);
        if (i == 0) first = off;
    }
    T_EQ(ckv_u32s_reserve(&x->value_at, n), CKV_OK);
    ckv_oplog_elements(x, holder, n, left, right, first);
    for (uint32_t i = 0; i < n; i++)
        remember((slow_op){.kind = CKV_OP_ELEMENTS,
                           .holder = holder,
                           .a = i ? n_items - 1 : left,
                           .b = right,
                           .number = numbers[i]},
                 1, kept[i]);
}

static void push_mark(ckv_oplog *x, uint32_t holder, uint32_t start, uint32_t end)
{
    ckv_mark_op m = {.sides = (uint32_t)t_below(4), .name_bytes = 4, .value_off = CKV_NO_VALUE};
    const int64_t number = t_one_in(3) ? 0 : 1 + (int64_t)t_below(1000);
    const size_t before = x->values.len;
    const bool name_first = t_one_in(2);
    if (name_first) T_EQ(ckv_oplog_keep(x, "name", 4, &m.name_off), CKV_OK);
    if (number) keep_int(x, number, &m.value_off);
    if (!name_first) T_EQ(ckv_oplog_keep(x, "name", 4, &m.name_off), CKV_OK);
    const size_t kept = x->values.len - before;
    ckv_oplog_mark(x, holder, start, end, m);
    remember((slow_op){.kind = CKV_OP_MARK,
                       .holder = holder,
                       .a = start,
                       .b = end,
                       .number = number,
                       .sides = m.sides},
             1, kept);
}

static void push_at_random(ckv_oplog *x)
{
    const uint32_t n = 1 + (uint32_t)t_below(4);
    const slow_op last = n_slow ? slow[n_slow - 1] : (slow_op){.kind = 0};
    slow_op s = {.kind = 1 + (uint32_t)t_below(12), .holder = (uint32_t)t_below(3)};
    const bool goes_on = t_one_in(2) && last.kind;
    if (goes_on) s.kind = last.kind;
    T_EQ(ckv_oplog_reserve(x, 1), CKV_OK);
    uint32_t off;
    size_t kept = 0;
    switch ((ckv_op_kind)s.kind) {
    case CKV_OP_INSERT:
    case CKV_OP_ELEMENTS:
        s.a = goes_on ? n_items - 1 : (uint32_t)t_below(5);
        s.b = goes_on ? last.b : CKV_NO_ITEM;
        if (goes_on && !t_one_in(4)) s.holder = last.holder;
        if (s.kind == CKV_OP_ELEMENTS) {
            push_elements(x, s.holder, n, s.a, s.b);
            return;
        }
        ckv_oplog_insert(x, s.holder, n, s.a, s.b);
        remember(s, n, 0);
        return;
    case CKV_OP_DELETE:
    case CKV_OP_RESTORE:
        s.item = goes_on ? last.item + 1 : (uint32_t)t_below(1000) + 10;
        s.a = (uint32_t)t_below(2);
        if (s.kind == CKV_OP_DELETE)
            ckv_oplog_delete(x, s.holder, s.item, n, UINT32_MAX); /* each of a change of its own */
        else
            ckv_oplog_restore(x, s.item, n, s.a, true, UINT32_MAX);
        remember(s, n, 0);
        return;
    case CKV_OP_SET:
    case CKV_OP_ASSIGN:
    case CKV_OP_ADD:
    case CKV_OP_DISCARD:
        s.number = (int64_t)t_rand() >> t_below(64);
        s.a = n;
        kept = keep_int(x, s.number, &off);
        if (s.kind == CKV_OP_SET)
            ckv_oplog_set(x, s.holder, n, off);
        else if (s.kind == CKV_OP_ASSIGN)
            ckv_oplog_assign(x, s.holder, n, off);
        else
            ckv_oplog_member(x, s.holder, s.kind == CKV_OP_ADD, n, off);
        break;
    case CKV_OP_UNSET:
        s.a = n;
        ckv_oplog_unset(x, s.holder, n);
        break;
    case CKV_OP_MOVE:
        s.element = (uint32_t)t_below(1000);
        s.a = (uint32_t)t_below(5), s.b = n;
        ckv_oplog_move(x, s.element, s.a, s.b);
        break;
    case CKV_OP_COUNT:
        s.number = (int64_t)t_rand() >> t_below(64);
        ckv_oplog_count(x, s.holder, s.number);
        break;
    case CKV_OP_MARK: push_mark(x, s.holder, n, t_one_in(2) ? CKV_NO_ITEM : n + 1); return;
    }
    remember(s, 1, kept);
}

/* How many items the first n_lv operations made. */
static uint32_t items_before(uint32_t n_lv)
{
    uint32_t n = 0;
    for (uint32_t lv = 0; lv < n_lv; lv++) n += ckv_op_makes_items((ckv_op_kind)slow[lv].kind);
    return n;
}

static void cut(ckv_oplog *x, uint32_t n_lv)
{
    n_items = items_before(n_lv);
    n_slow = n_lv;
    ckv_oplog_truncate(x, n_lv, n_items);
}

static void check_empty(const ckv_oplog *x)
{
    T_CHECK(x->ops.len == 0 && x->makers.len == 0 && x->values.len == 0 && x->elements.len == 0);
    T_CHECK(x->value_at.len == 0 && x->moved.len == 0 && x->marks.len == 0);
}

static void runs_in_lockstep_and_back(void)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        t_seed(seed);
        ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
        uint32_t then = 0;
        n_slow = n_items = 0;
        for (int step = 0; step < 400; step++) {
            push_at_random(&x);
            if (step % 20 == 0) check(&x);
            if (t_one_in(30)) then = n_slow;
            if (t_one_in(60)) {
                cut(&x, then);
                check(&x);
            }
        }
        check(&x);
        T_CHECK(x.elements.len < x.value_at.len); /* some were joined, or came in runs */
        cut(&x, 0);
        check_empty(&x);
        ckv_oplog_fini(&x);
    }
}

static void truncation_stops_anywhere(void)
{
    for (uint64_t seed = 1; seed < 12; seed++) {
        for (uint32_t n_lv = 0, most = 1; n_lv < most; n_lv++) {
            ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
            t_seed(seed);
            n_slow = n_items = 0;
            for (int step = 0; step < 60; step++) push_at_random(&x);
            most = n_slow + 1;
            cut(&x, n_lv);
            check(&x);
            for (int step = 0; step < 5; step++) push_at_random(&x); /* it goes on from there */
            check(&x);
            ckv_oplog_fini(&x);
        }
    }
}

static void ranges_join_downwards_within_a_change(void)
{
    ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
    T_EQ(ckv_oplog_reserve(&x, 9), CKV_OK);
    ckv_oplog_restore(&x, 10, 2, 7, true, 0);
    ckv_oplog_restore(&x, 8, 2, 7, true, 0);
    T_EQ(x.ops.len, 1);
    T_EQ(x.ops.ptr[0].item, 8);
    ckv_oplog_restore(&x, 6, 2, 7, true, 4); /* of the next change */
    T_EQ(x.ops.len, 2);
    ckv_oplog_restore(&x, 8, 1, 7, true, 4);
    T_EQ(x.ops.len, 2);
    ckv_oplog_restore(&x, 9, 1, 6, true, 4); /* takes back another change's deletes */
    T_EQ(x.ops.len, 3);
    ckv_oplog_delete(&x, 0, 10, 1, 4); /* takes nothing back */
    T_EQ(x.ops.len, 4);
    T_EQ(x.n_lv, 9);
    T_EQ(x.n_items, 0);
    ckv_oplog_fini(&x);
}

static void elements_join_where_they_go_on(void)
{
    ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
    T_EQ(ckv_oplog_reserve(&x, 9), CKV_OK);
    n_slow = n_items = 0;
    push_elements(&x, 1, 2, CKV_NO_ITEM, CKV_NO_ITEM);
    push_elements(&x, 1, 2, 1, CKV_NO_ITEM);
    T_EQ(x.ops.len, 1);
    T_EQ(x.elements.len, 1);
    push_elements(&x, 1, 1, 3, 0); /* another right origin */
    push_elements(&x, 1, 1, 3, 0); /* not behind the last one */
    push_elements(&x, 2, 1, 5, 0); /* another list */
    T_EQ(x.ops.len, 4);
    T_EQ(x.elements.len, 4);
    ckv_oplog_insert(&x, 2, 1, 6, 0); /* another kind */
    T_EQ(x.ops.len, 5);
    remember((slow_op){.kind = CKV_OP_INSERT, .holder = 2, .a = 6, .b = 0}, 1, 0);
    check(&x);
    ckv_oplog_fini(&x);
}

/* Damages one number of a good log: the check must see it. */
#define SEEN(place, change, reason)                                                                \
    do {                                                                                           \
        const uint32_t was_ = (uint32_t)(place);                                                   \
        (place) change;                                                                            \
        T_CHECK(!ckv_oplog_check(&x, &why));                                                       \
        T_CHECK(strcmp(why, reason) == 0);                                                         \
        (place) = was_;                                                                            \
        T_CHECK(ckv_oplog_check(&x, &why));                                                        \
    } while (0)

static void the_check_sees_damage(void)
{
    const char *why;
    ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
    T_EQ(ckv_oplog_reserve(&x, 9), CKV_OK);
    n_slow = n_items = 0;
    t_seed(1);
    uint32_t off;
    push_elements(&x, 1, 3, CKV_NO_ITEM, CKV_NO_ITEM);
    keep_int(&x, 5, &off);
    ckv_oplog_assign(&x, 1, 0, off);
    ckv_oplog_move(&x, 1, 0, CKV_NO_ITEM);
    push_mark(&x, 2, 0, 1);
    push_elements(&x, 1, 2, 0, CKV_NO_ITEM);
    T_CHECK(ckv_oplog_check(&x, &why));
    SEEN(x.elements.ptr[1].item, += 1, "oplog I3");
    SEEN(x.elements.ptr[1].at, -= 1, "oplog I3");
    SEEN(x.elements.len, -= 1, "oplog I3");
    SEEN(x.value_at.len, -= 1, "oplog I3");
    SEEN(x.value_at.len, += 1, "oplog I3");
    SEEN(x.value_at.ptr[3], = x.value_at.ptr[2], "oplog I3");
    SEEN(x.moved.len, += 1, "oplog I3");
    SEEN(x.moved.len, -= 1, "oplog I3");
    SEEN(x.marks.len, -= 1, "oplog I3");
    SEEN(x.marks.ptr[0].item, -= 1, "oplog I3");
    SEEN(x.marks.ptr[0].name_off, = 0, "oplog I3");
    SEEN(x.ops.ptr[1].b, -= 1, "oplog I3");
    SEEN(x.values.len, -= 1, "oplog I3");
    SEEN(x.ops.ptr[2].item, += 1, "oplog I1");
    SEEN(x.n_items, += 1, "oplog I1");
    SEEN(x.makers.ptr[2], += 1, "oplog I2");
    SEEN(x.makers.len, -= 1, "oplog I2");
    ckv_oplog_fini(&x);
}

static ckv_status keeps_and_reserves(ckv_alloc a)
{
    ckv_oplog x = ckv_oplog_init(a);
    uint32_t off = 0;
    const ckv_value v = {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)"hello", .n_bytes = 5};
    ckv_status s = ckv_oplog_reserve(&x, 100);
    if (s == CKV_OK) s = ckv_oplog_keep(&x, "name", 4, &off);
    if (s == CKV_OK) s = ckv_oplog_keep_value(&x, &v, &off);
    for (int i = 0; i < 50 && s == CKV_OK; i++) {
        const size_t before = x.values.len;
        s = ckv_oplog_keep_value(&x, &v, &off);
        T_CHECK(s == CKV_OK || x.values.len == before);
    }
    T_EQ(x.values.status, CKV_OK); /* it can be tried again */
    ckv_oplog_fini(&x);
    return s;
}

static void failed_allocations_change_nothing(void) { T_CHECK(t_oom(keeps_and_reserves) > 5); }

static void values_have_a_limit(void)
{
    ckv_oplog x = ckv_oplog_init(ckv_alloc_libc);
    uint32_t off;
    T_EQ(ckv_oplog_keep(&x, "abc", 3, &off), CKV_OK);
    T_EQ(ckv_oplog_keep(&x, NULL, UINT32_MAX - 3, &off), CKV_ELIMIT);
    T_EQ(ckv_oplog_keep(&x, NULL, SIZE_MAX, &off), CKV_ELIMIT);
    const ckv_value v = {.tag = CKV_TAG_BYTES, .n_bytes = SIZE_MAX - 8};
    T_EQ(ckv_oplog_keep_value(&x, &v, &off), CKV_ELIMIT);
    T_EQ(x.values.len, 3);
    ckv_oplog_unkeep(&x, 0);
    T_EQ(x.values.len, 0);
    ckv_oplog_fini(&x);
}

int main(void)
{
    T_RUN(runs_in_lockstep_and_back);
    T_RUN(truncation_stops_anywhere);
    T_RUN(ranges_join_downwards_within_a_change);
    T_RUN(elements_join_where_they_go_on);
    T_RUN(the_check_sees_damage);
    T_RUN(failed_allocations_change_nothing);
    T_RUN(values_have_a_limit);
    return t_done();
}
