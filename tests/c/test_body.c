/* Bodies: written and read, cut short, one bit off, runs that should be one. */
#include "t.h"

#include "log/body.h"

static ckv_id32 table[6];

static ckv_ref random_ref(uint32_t n_codes, bool none)
{
    const uint32_t code = (uint32_t)t_below(n_codes - !none) + !none;
    return (ckv_ref){code, code == CKV_REF_NONE ? 0 : (uint32_t)t_below(500) + 1};
}

static ckv_body_op random_op(uint32_t n_codes, ckv_buf *values)
{
    static const char *const words[] = {"a", "hello", "\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac",
                                        "\xf0\x9f\x99\x82"};
    const char *word = words[t_below(5)];
    ckv_body_op op = {.kind = (ckv_op_kind)(1 + t_below(4)),
                      .n = 1,
                      .bytes = (const uint8_t *)word,
                      .n_bytes = strlen(word)};
    op.left = random_ref(n_codes, op.kind != CKV_OP_DELETE);
    if (op.kind == CKV_OP_INSERT) {
        op.right = random_ref(n_codes, true);
        if (!op.left.code && !op.right.code) op.holder = random_ref(n_codes, false);
    }
    if (op.kind == CKV_OP_DELETE) op.n = 1 + (uint32_t)t_below(9), op.n_bytes = 0;
    if (op.kind == CKV_OP_SET) {
        ckv_value v = {.tag = CKV_TAG_BYTES, .ptr = op.bytes, .n_bytes = op.n_bytes};
        if (t_one_in(2)) v = (ckv_value){.tag = CKV_TAG_INT, .i64 = (int64_t)t_rand()};
        if (t_one_in(3)) v = (ckv_value){.tag = CKV_TAG_FLOAT, .f64 = 0.5};
        if (t_one_in(4)) v = (ckv_value){.tag = CKV_TAG_TEXT};
        const size_t at = values->len;
        ckv_value_write(values, &v);
        op.value_bytes = values->ptr + at;
        op.n_value_bytes = values->len - at;
    }
    return op;
}

/* Reads to the end; what came is written to out. CKV_OK only if all of it was good. */
static ckv_status read_all(const uint8_t *p, size_t n, uint32_t n_parents, ckv_buf *out)
{
    ckv_body b;
    ckv_body_op op;
    ckv_buf_clear(out);
    const ckv_status s = ckv_body_open(&b, p, n, n_parents);
    if (s != CKV_OK) return s;
    ckv_id32 lanes[8], changes[8];
    T_CHECK(b.n_lanes < 8 && b.n_changes < 8);
    if (b.n_lanes) memcpy(lanes, b.lanes, 32 * b.n_lanes);
    if (b.n_changes) memcpy(changes, b.changes, 32 * b.n_changes);
    const ckv_body_head head = {
        b.time, (const char *)b.message, b.message_bytes, lanes, changes, b.n_lanes, b.n_changes};
    ckv_body_begin(out, &head);
    while (ckv_body_next(&b, &op)) ckv_body_put(out, &op);
    return b.status;
}

static void bodies_come_back_and_have_one_form(void)
{
    ckv_buf values = ckv_buf_init(ckv_alloc_libc), p = ckv_buf_init(ckv_alloc_libc),
            out = ckv_buf_init(ckv_alloc_libc);
    T_CHECK(ckv_buf_reserve(&values, 4096)); /* does not move */
    t_seed(1);
    unsigned n_good = 0;
    for (int round = 0; round < 400; round++) {
        for (unsigned i = 0; i < 6; i++) memset(&table[i], (int)(i * 40 + t_below(40)), 32);
        const uint32_t n_parents = (uint32_t)t_below(4);
        const ckv_body_head head = {.time = (int64_t)t_rand(),
                                    .message = t_one_in(2) ? "why" : NULL,
                                    .message_bytes = 3,
                                    .lanes = table,
                                    .changes = table + 3,
                                    .n_lanes = (uint32_t)t_below(3),
                                    .n_changes = (uint32_t)t_below(3)};
        ckv_buf_clear(&values);
        ckv_buf_clear(&p);
        ckv_body_begin(&p, &head);
        for (uint64_t i = t_below(6); i; i--) {
            const ckv_body_op op =
                random_op(2 + n_parents + head.n_lanes + head.n_changes, &values);
            ckv_body_put(&p, &op);
        }
        const ckv_status s = read_all(p.ptr, p.len, n_parents, &out);
        T_CHECK(s == CKV_OK || s == CKV_EVOID); /* by chance two runs touch */
        if (s == CKV_OK) T_BYTES(p.ptr, p.len, out.ptr, out.len);
        n_good += s == CKV_OK;
        for (size_t n = 0; n < p.len; n++) {
            uint8_t *exact = malloc(n + 1);
            T_CHECK(exact);
            memcpy(exact, p.ptr, n);
            if (read_all(exact, n, n_parents, &out) == CKV_OK) T_BYTES(exact, n, out.ptr, out.len);
            free(exact);
        }
        for (size_t bit = 0; bit < 8 * p.len; bit++) {
            p.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (read_all(p.ptr, p.len, n_parents, &out) == CKV_OK)
                T_BYTES(p.ptr, p.len, out.ptr, out.len);
            p.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    T_CHECK(n_good > 300);
    ckv_buf_fini(&values);
    ckv_buf_fini(&p);
    ckv_buf_fini(&out);
}

static ckv_status two(ckv_body_op a, ckv_body_op b)
{
    ckv_buf p = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    const ckv_body_head head = {.time = 0};
    ckv_body_begin(&p, &head);
    ckv_body_put(&p, &a);
    ckv_body_put(&p, &b);
    const ckv_status s = read_all(p.ptr, p.len, 1, &out);
    ckv_buf_fini(&p);
    ckv_buf_fini(&out);
    return s;
}

static void what_touches_is_one(void)
{
    const ckv_body_op a = {.kind = CKV_OP_INSERT,
                           .left = {2, 5},
                           .right = {2, 6},
                           .bytes = (const uint8_t *)"x",
                           .n_bytes = 1};
    ckv_body_op b = a;
    b.left = (ckv_ref){1, 1};
    T_EQ(two(a, b), CKV_EVOID); /* goes on behind itself, same right origin */
    b.right = (ckv_ref){2, 7};
    T_EQ(two(a, b), CKV_OK);
    b = a, b.left = (ckv_ref){1, 2};
    T_EQ(two(a, b), CKV_OK);
    const ckv_body_op d = {.kind = CKV_OP_DELETE, .left = {2, 5}, .n = 3};
    ckv_body_op e = d;
    e.left.value = 8;
    T_EQ(two(d, e), CKV_EVOID);
    T_EQ(two(e, d), CKV_EVOID);
    e.left.value = 9;
    T_EQ(two(d, e), CKV_OK);
    e.left.code = 1, e.left.value = 8;
    T_EQ(two(d, e), CKV_OK);
}

static void limits_hold(void)
{
    const ckv_body_op most = {.kind = CKV_OP_DELETE, .left = {2, 5}, .n = CKV_MAX_OPS},
                      one = {.kind = CKV_OP_DELETE, .left = {2, 0}, .n = 1};
    ckv_body_op more = most;
    more.n++;
    T_EQ(two(most, one), CKV_EVOID); /* more than 2^24 in all */
    T_EQ(two(one, more), CKV_EVOID);
    const ckv_body_op own = {.kind = CKV_OP_DELETE, .left = {1, 0}, .n = 1},
                      beyond = {.kind = CKV_OP_DELETE, .left = {3, 0}, .n = 1};
    T_EQ(two(one, own), CKV_EVOID);
    T_EQ(two(one, beyond), CKV_EVOID);
}

int main(void)
{
    T_RUN(bodies_come_back_and_have_one_form);
    T_RUN(what_touches_is_one);
    T_RUN(limits_hold);
    return t_done();
}
