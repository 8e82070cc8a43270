/* Columns: operations of many changes, joined into runs, come back as the bodies that they were. */
#include "t.h"

#include "log/columns.h"

#define N_LANES 3
#define MOST    200

typedef struct one {
    uint32_t own, n_ops, first, n; /* operations [first, first + n) */
    int64_t off;
} one;

static one changes[MOST];
static ckv_column_op ops[MOST * 3];
static ckv_id32 lane_ids[N_LANES];

static ckv_spot random_spot(uint32_t own, int64_t own_off, bool none)
{
    const uint64_t what = t_below(none ? 3 : 2);
    if (what == 2) return (ckv_spot){CKV_NO_LANE, 0};
    if (what == 0 && own_off) return (ckv_spot){own, (int64_t)t_below((uint64_t)own_off)};
    return (ckv_spot){(own + 1) % N_LANES, (int64_t)t_below(1000) + 10};
}

static ckv_column_op random_op(uint32_t own, int64_t off, const ckv_column_op *last)
{
    static const char *const words[] = {"a", "bc", "\xc3\xa9", "\xf0\x9f\x99\x82x"};
    static const uint32_t lengths[] = {1, 2, 1, 2};
    const uint64_t w = t_below(4);
    const ckv_spot none = {CKV_NO_LANE, 0};
    ckv_column_op op = {
        .kind = (ckv_op_kind)(1 + t_below(4)), .n = 1, .left = none, .right = none, .holder = none};
    if (op.kind == CKV_OP_INSERT) {
        op.bytes = (const uint8_t *)words[w], op.n_bytes = strlen(words[w]), op.n = lengths[w];
        op.left = random_spot(own, off, true);
        op.right = random_spot(own, off, true);
        if (last && last->kind == CKV_OP_INSERT && off && t_one_in(2))
            op.left = (ckv_spot){own, off - 1}, op.right = last->right;
        if (op.left.lane == CKV_NO_LANE && op.right.lane == CKV_NO_LANE)
            op.holder = random_spot(own, off, false);
    } else if (op.kind == CKV_OP_DELETE) {
        op.left = random_spot(own, off, false);
        if (last && last->kind == CKV_OP_DELETE && t_one_in(2))
            op.left = (ckv_spot){last->left.lane,
                                 last->left.off +
                                     (t_one_in(2) || !last->left.off ? (int64_t)last->n : -1)};
        if (op.left.lane == own && op.left.off >= off)
            op.left = (ckv_spot){(own + 1) % N_LANES, 50};
    } else {
        op.bytes = (const uint8_t *)"key", op.n_bytes = 3;
        if (t_one_in(3)) op.left = random_spot(own, off, true);
        if (op.kind == CKV_OP_SET)
            op.value = (const uint8_t *)"\2", op.value_bytes = 2; /* True, empty */
    }
    return op;
}

static ckv_ref name(ckv_spot s, uint32_t own, int64_t off, uint32_t other_code)
{
    if (s.lane == CKV_NO_LANE) return (ckv_ref){0, 0};
    if (s.lane == own) return (ckv_ref){CKV_REF_OWN, (uint32_t)(off - s.off)};
    return (ckv_ref){other_code, (uint32_t)s.off};
}

static void columns_come_back(void)
{
    for (uint64_t seed = 1; seed < 60; seed++) {
        t_seed(seed);
        ckv_buf col[CKV_N_COLUMNS];
        for (size_t i = 0; i < CKV_N_COLUMNS; i++) col[i] = ckv_buf_init(ckv_alloc_libc);
        ckv_columns_out out;
        T_EQ(ckv_columns_out_init(&out, ckv_alloc_libc, col, N_LANES), CKV_OK);
        for (unsigned i = 0; i < N_LANES; i++) memset(&lane_ids[i], (int)i + 1, 32);
        int64_t offs[N_LANES] = {0};
        uint32_t n_ops = 0, last_own = UINT32_MAX, n = 1 + (uint32_t)t_below(MOST - 1), own = 0;
        for (uint32_t c = 0; c < n; c++) {
            if (t_one_in(8)) {
                ckv_columns_end_slice(&out);
                own = (uint32_t)t_below(N_LANES);
            }
            changes[c] = (one){.own = own, .first = n_ops, .off = offs[own]};
            for (uint64_t k = t_below(3); k; k--) {
                ops[n_ops] = random_op(own, offs[own], last_own == own ? &ops[n_ops - 1] : NULL);
                last_own = own;
                ckv_columns_put(&out, own, offs[own], &ops[n_ops], changes[c].n == 0);
                if (ops[n_ops].kind == CKV_OP_INSERT || ops[n_ops].kind == CKV_OP_SET)
                    offs[own] += ops[n_ops].n;
                changes[c].n_ops += ops[n_ops++].n;
                changes[c].n++;
            }
        }
        ckv_columns_end_slice(&out);

        ckv_rd rd[CKV_N_COLUMNS];
        ckv_columns_in in;
        for (size_t i = 0; i < CKV_N_COLUMNS; i++) rd[i] = ckv_rd_init(col[i].ptr, col[i].len);
        T_EQ(ckv_columns_in_init(&in, ckv_alloc_libc, rd, N_LANES), CKV_OK);
        ckv_buf body = ckv_buf_init(ckv_alloc_libc), expected = ckv_buf_init(ckv_alloc_libc);
        int64_t at[N_LANES] = {0};
        for (uint32_t c = 0; c < n;
             c++) { /* the other lane is a parent, so that no table is needed */
            const uint32_t parent = (changes[c].own + 1) % N_LANES;
            const ckv_column_change change = {.own = changes[c].own,
                                              .own_off = &at[changes[c].own],
                                              .parents = &parent,
                                              .n_parents = 1,
                                              .n_ops = changes[c].n_ops,
                                              .head = {.time = 5}};
            ckv_buf_clear(&body);
            ckv_buf_clear(&expected);
            T_EQ(ckv_columns_body(&in, &change, lane_ids, &body), CKV_OK);
            ckv_body_begin(&expected, &change.head);
            int64_t off = changes[c].off;
            bool joined = false;
            for (uint32_t k = changes[c].first; k < changes[c].first + changes[c].n; k++) {
                const ckv_column_op *o = &ops[k];
                const ckv_column_op *before = k > changes[c].first ? o - 1 : NULL;
                joined |=
                    before && before->kind == o->kind &&
                    o->kind ==
                        CKV_OP_INSERT; /* may have become one: then the canonical form is not ours */
                const ckv_body_op op = {.kind = o->kind,
                                        .n = o->n,
                                        .left = name(o->left, changes[c].own, off, 2),
                                        .right = name(o->right, changes[c].own, off, 2),
                                        .holder = name(o->holder, changes[c].own, off, 2),
                                        .bytes = o->bytes,
                                        .n_bytes = o->n_bytes,
                                        .value_bytes = o->value,
                                        .n_value_bytes = o->value_bytes};
                ckv_body_put(&expected, &op);
                if (o->kind == CKV_OP_INSERT || o->kind == CKV_OP_SET) off += o->n;
            }
            T_EQ(at[changes[c].own], off);
            if (!joined) T_BYTES(body.ptr, body.len, expected.ptr, expected.len);
        }
        T_CHECK(ckv_columns_done(&in) && ckv_columns_slice_done(&in));
        ckv_columns_in_fini(&in);

        for (int round = 0; round < 300;
             round++) { /* damaged: an answer, and never a read beyond the end */
            const size_t i = t_below(CKV_N_COLUMNS);
            if (col[i].len == 0) continue;
            uint8_t *p = malloc(col[i].len);
            T_CHECK(p);
            memcpy(p, col[i].ptr, col[i].len);
            p[t_below(col[i].len)] ^= (uint8_t)(1u << t_below(8));
            for (size_t k = 0; k < CKV_N_COLUMNS; k++)
                rd[k] = ckv_rd_init(k == i ? p : col[k].ptr,
                                    k == i ? col[k].len - t_below(2) : col[k].len);
            memset(at, 0, sizeof at);
            ckv_status s = ckv_columns_in_init(&in, ckv_alloc_libc, rd, N_LANES);
            for (uint32_t c = 0; c < n && s == CKV_OK; c++) {
                const uint32_t parent = (changes[c].own + 1) % N_LANES;
                const ckv_column_change change = {.own = changes[c].own,
                                                  .own_off = &at[changes[c].own],
                                                  .parents = &parent,
                                                  .n_parents = 1,
                                                  .n_ops = changes[c].n_ops};
                ckv_buf_clear(&body);
                s = ckv_columns_body(&in, &change, lane_ids, &body);
            }
            T_CHECK(s == CKV_OK || s == CKV_ECORRUPT);
            ckv_columns_in_fini(&in);
            free(p);
        }
        ckv_buf_fini(&body);
        ckv_buf_fini(&expected);
        ckv_columns_out_fini(&out);
        for (size_t i = 0; i < CKV_N_COLUMNS; i++) ckv_buf_fini(&col[i]);
    }
}

int main(void)
{
    T_RUN(columns_come_back);
    return t_done();
}
