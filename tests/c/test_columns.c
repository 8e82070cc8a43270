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
    static const uint8_t values[] = {2, 0, 3, 1, 9, 5, 2, 'x', 'y', 16, 0, 6, 0}; /* five of them */
    static const uint8_t ends[] = {0, 2, 5, 9, 11, 13};
    ckv_column_op op = {.kind = (ckv_op_kind)(1 + t_below(CKV_OP_COUNT)),
                        .n = 1,
                        .left = none,
                        .right = none,
                        .holder = none};
    if (last && t_one_in(3)) op.kind = last->kind; /* what goes on is a run */
    if (op.kind == CKV_OP_INSERT || op.kind == CKV_OP_ELEMENTS) {
        if (op.kind == CKV_OP_INSERT) {
            op.bytes = (const uint8_t *)words[w], op.n_bytes = strlen(words[w]), op.n = lengths[w];
        } else {
            const uint64_t from = t_below(5);
            op.n = 1 + (uint32_t)t_below(5 - from);
            op.value = values + ends[from],
            op.value_bytes = (size_t)(ends[from + op.n] - ends[from]);
        }
        op.left = random_spot(own, off, true);
        op.right = random_spot(own, off, true);
        if (last && last->kind == op.kind && off && !t_one_in(3))
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
    } else if (op.kind == CKV_OP_MOVE) {
        op.left = random_spot(own, off, true);
        op.right = random_spot(own, off, true);
        op.holder = random_spot(own, off, false);
    } else if (op.kind > CKV_OP_ELEMENTS) {
        op.left = random_spot(own, off, false);
        if (op.kind == CKV_OP_COUNT)
            op.amount = (int64_t)t_rand() >> t_below(64);
        else
            op.value = values + 2, op.value_bytes = 3;
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
    for (uint64_t seed = 1; seed < 150; seed++) {
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
                if (ckv_op_makes_items(ops[n_ops].kind)) offs[own] += ops[n_ops].n;
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
                    (o->kind == CKV_OP_INSERT ||
                     o->kind ==
                         CKV_OP_ELEMENTS); /* may have become one: then the canonical form is not ours */
                const ckv_body_op op = {.kind = o->kind,
                                        .n = o->n,
                                        .left = name(o->left, changes[c].own, off, 2),
                                        .right = name(o->right, changes[c].own, off, 2),
                                        .holder = name(o->holder, changes[c].own, off, 2),
                                        .bytes = o->bytes,
                                        .n_bytes = o->n_bytes,
                                        .value_bytes = o->value,
                                        .n_value_bytes = o->value_bytes,
                                        .amount = o->amount};
                ckv_body_put(&expected, &op);
                if (ckv_op_makes_items(o->kind)) off += o->n;
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

/* ---- columns by hand. Three lanes; the changes are of lane 0, whose next item is 10, and have a parent of lane 1. */

typedef struct by_hand {
    ckv_status verdict;
    const char *col[CKV_N_COLUMNS];
    size_t n[CKV_N_COLUMNS];
} by_hand;

/* Reads changes with so many single operations, up to a 0; what comes is appended to out. CKV_ELIMIT: something is left. */
static ckv_status read_by_hand(const by_hand *h, const uint32_t *n_ops, ckv_buf *out)
{
    ckv_rd rd[CKV_N_COLUMNS];
    uint8_t *exact[CKV_N_COLUMNS];
    ckv_columns_in in;
    int64_t off = 10;
    const uint32_t parent = 1;
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) {
        exact[i] = malloc(h->n[i] + 1);
        T_CHECK(exact[i]);
        memcpy(exact[i], h->col[i], h->n[i]);
        rd[i] = ckv_rd_init(exact[i], h->n[i]);
    }
    ckv_status s = ckv_columns_in_init(&in, ckv_alloc_libc, rd, N_LANES);
    for (; *n_ops && s == CKV_OK; n_ops++) {
        const ckv_column_change change = {
            .own = 0, .own_off = &off, .parents = &parent, .n_parents = 1, .n_ops = *n_ops};
        s = ckv_columns_body(&in, &change, lane_ids, out);
    }
    if (s == CKV_OK && !ckv_columns_done(&in)) s = CKV_ELIMIT;
    ckv_columns_in_fini(&in);
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) free(exact[i]);
    return s;
}

#define COL(s) (const uint8_t *)("" s), sizeof(s) - 1

static void columns_are_those_of_the_format(void)
{
    const ckv_spot none = {CKV_NO_LANE, 0};
    const ckv_column_op ops_of[] = {
        {.kind = CKV_OP_ELEMENTS, .n = 2, .left = {0, 9}, .right = none, .holder = none},
        {.kind = CKV_OP_ELEMENTS, .n = 1, .left = {0, 11}, .right = none, .holder = none},
        {.kind = CKV_OP_MOVE, .n = 1, .left = {1, 7}, .right = {1, 9}, .holder = {0, 4}},
        {.kind = CKV_OP_ASSIGN, .n = 1, .left = {0, 5}, .right = none, .holder = none},
        {.kind = CKV_OP_COUNT, .n = 1, .left = {1, 3}, .right = none, .holder = none, .amount = -2},
        {.kind = CKV_OP_ADD, .n = 1, .left = {1, 1}, .right = none, .holder = none},
        {.kind = CKV_OP_DISCARD, .n = 1, .left = {0, 15}, .right = none, .holder = none},
        {.kind = CKV_OP_ELEMENTS, .n = 1, .left = none, .right = none, .holder = {1, 3}},
        {.kind = CKV_OP_MOVE, .n = 1, .left = none, .right = {0, 14}, .holder = {1, 4}},
    };
    static const char *const values[] = {"\0\0\2", "\0", "", "\1", "", "\6", "\6", "\1", ""};
    static const size_t value_bytes[] = {4, 2, 0, 2, 0, 2, 2, 2, 0};
    static const struct {
        const uint8_t *p;
        size_t n;
    } expected[CKV_N_COLUMNS] = {
        {COL("\x0d\x57\x08\x10\x10\x08\x05\x27")},
        {COL("\3\1\1\1\1\1\1\1")},
        {COL("\1\1\1\1")},         /* left and right of the MOVE, the counter, the set */
        {COL("\x12\x0e")},         /* 9 - 0; 7 - 0 */
        {COL("\4\3")},             /* behind the left one; 14 - 16 */
        {COL("\x0f\6\2\0")},       /* 5 - 13; 3; 1; 15 - 15 */
        {COL("\0\x0f\2\6\2\x08")}, /* own: 4 - 12; lane 1: 3, 4 */
        {COL("")},
        {COL("\0\0\2\0\0\0\6\1\0\12\3\10\6\0\11\6\0\1\0")},
    };
    static const uint32_t as_made[] = {2, 1, 1, 1, 1, 1, 1, 1, 1, 0},
                          otherwise[] = {1, 2, 3, 4, 0}; /* the run of three is cut elsewhere */
    ckv_buf col[CKV_N_COLUMNS];
    ckv_columns_out out;
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) col[i] = ckv_buf_init(ckv_alloc_libc);
    for (unsigned i = 0; i < N_LANES; i++) memset(&lane_ids[i], (int)i + 1, 32);
    T_EQ(ckv_columns_out_init(&out, ckv_alloc_libc, col, N_LANES), CKV_OK);
    int64_t off = 10;
    for (size_t i = 0; i < sizeof ops_of / sizeof *ops_of; i++) {
        ckv_column_op op = ops_of[i];
        op.value = (const uint8_t *)values[i], op.value_bytes = value_bytes[i];
        ckv_columns_put(&out, 0, off, &op, true);
        if (ckv_op_makes_items(op.kind)) off += op.n;
    }
    ckv_columns_end_slice(&out);
    by_hand h = {.verdict = CKV_OK};
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) {
        T_BYTES(col[i].ptr, col[i].len, expected[i].p, expected[i].n);
        h.col[i] = (const char *)col[i].ptr, h.n[i] = col[i].len;
        if (!h.col[i]) h.col[i] = "";
    }
    ckv_buf bodies = ckv_buf_init(ckv_alloc_libc);
    T_EQ(read_by_hand(&h, as_made, &bodies), CKV_OK);
    ckv_buf_clear(&bodies);
    T_EQ(read_by_hand(&h, otherwise, &bodies), CKV_OK);
    ckv_buf_fini(&bodies);
    ckv_columns_out_fini(&out);
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) ckv_buf_fini(&col[i]);
}

/* In three changes; values of many sizes stay with their elements, and only the first change names the list. */
static void elements_are_cut_by_n_ops(void)
{
    static const char values[] = "\0\0\5\3abc\20\0\3\1\2\6\0", *const pieces[] = {
                                                                   values, values + 7, values + 9};
    static const size_t piece_bytes[] = {7, 2, 5};
    static const uint32_t n_ops[] = {2, 1, 2, 0};
    const by_hand h = {
        CKV_OK, {"\x05", "\5", "", "", "", "", "\3\6", "", values}, {1, 1, 0, 0, 0, 0, 2, 0, 14}};
    ckv_buf bodies = ckv_buf_init(ckv_alloc_libc), expected = ckv_buf_init(ckv_alloc_libc);
    for (unsigned i = 0; i < N_LANES; i++) memset(&lane_ids[i], (int)i + 1, 32);
    for (int i = 0; i < 3; i++) {
        const ckv_body_op op = {.kind = CKV_OP_ELEMENTS,
                                .left = {i ? CKV_REF_OWN : CKV_REF_NONE, (uint32_t)(i > 0)},
                                .holder = {3, 3}, /* the table behind the one parent */
                                .value_bytes = (const uint8_t *)pieces[i],
                                .n_value_bytes = piece_bytes[i]};
        const ckv_body_head head = {.lanes = &lane_ids[2], .n_lanes = i == 0};
        ckv_body_begin(&expected, &head);
        ckv_body_put(&expected, &op);
    }
    T_EQ(read_by_hand(&h, n_ops, &bodies), CKV_OK);
    T_BYTES(bodies.ptr, bodies.len, expected.ptr, expected.len);
    ckv_buf_fini(&bodies);
    ckv_buf_fini(&expected);
}

#define HAND(verdict, kinds, counts, lanes, left, right, targets, holders, maps)                   \
    {                                                                                              \
        verdict, {kinds, counts, lanes, left, right, targets, holders, "", maps},                  \
        {                                                                                          \
            sizeof(kinds) - 1, sizeof(counts) - 1, sizeof(lanes) - 1, sizeof(left) - 1,            \
                sizeof(right) - 1, sizeof(targets) - 1, sizeof(holders) - 1, 0, sizeof(maps) - 1   \
        }                                                                                          \
    }
#define GOOD(...) HAND(CKV_OK, __VA_ARGS__)
#define BAD(...)  HAND(CKV_ECORRUPT, __VA_ARGS__)
#define LEFT(...) HAND(CKV_ELIMIT, __VA_ARGS__)

/* One change of two single operations. */
static const by_hand hands[] = {
    /* kinds counts lanes left right targets holders maps */
    GOOD("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0\0"),
    LEFT("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0\0\0"),
    LEFT("\x08\x08", "\1\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0\0"),
    LEFT("\x08\x08", "\1\1", "", "", "", "\2\1\2", "", "\6\0\0\6\0\0"),
    BAD("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0"),
    BAD("\x08\x08", "\1\1", "", "", "", "\2", "", "\6\0\0\6\0\0"),
    BAD("\x08", "\1", "", "", "", "\2", "", "\6\0\0"),
    BAD("\x08", "\2", "", "", "", "\2", "", "\6\0\0"),                  /* count */
    BAD("\x08\0", "\1\1", "", "", "", "\2", "", "\6\0\0\6\0\0"),        /* class 0 */
    BAD("\x08\x18", "\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0\0"),    /* class 3 */
    BAD("\x08\x0e", "\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0\0"),    /* code 6 */
    BAD("\x08\x0e", "\1\1", "", "", "", "\2\1", "", "\6\0\0\1k\0\0"),   /* code 6 */
    BAD("\x08\x28", "\1\1", "", "", "\2", "\2\1", "", "\6\0\0\6\0\0"),  /* a right class */
    BAD("\x08\x88", "\1\1", "", "", "", "\2\1", "", "\6\0\0\6\0\0"),    /* rev */
    BAD("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\0\0\0"),    /* no such kind */
    BAD("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\7\0\0"),    /* has a code */
    BAD("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\13\0\0"),   /* travels raw */
    BAD("\x08\x08", "\1\1", "", "", "", "\2\1", "", "\6\0\0\14\0\0"),   /* travels raw */
    GOOD("\x08\x08", "\1\1", "", "", "", "\x12\0", "", "\12\1\10\0\0"), /* items 9 and 0 */
    BAD("\x08\x08", "\1\1", "", "", "", "\x14\2", "", "\12\1\10\0\0"),  /* item 10 */
    BAD("\x08\x08", "\1\1", "", "", "", "\x12\1", "", "\12\1\10\0\0"),  /* item -1 */
    GOOD("\x08\x08", "\1\1", "", "", "", "\2\2", "", "\11\0\0\12\x7f"),
    BAD("\x08\x08", "\1\1", "", "", "", "\2\2", "", "\11\0\0\12"),
    BAD("\x08\x08", "\1\1", "", "", "", "\2\2", "", "\11\0\0\12\x80\0"),
    GOOD("\x10\x08", "\1\1", "\2", "", "", "\2\1", "", "\6\0\0\6\0\0"),
    BAD("\x10\x08", "\1\1", "\3", "", "", "\2\1", "", "\6\0\0\6\0\0"), /* no such lane */
    BAD("\x10\x08", "\1\1", "\0", "", "", "\2\1", "", "\6\0\0\6\0\0"), /* own as another */
    GOOD("\x05", "\2", "", "", "", "", "\0\2", "\0\0\0\0"),
    BAD("\x05", "\2", "", "", "", "", "\0\2", "\0\0\0"),
    BAD("\x05", "\2", "", "", "", "", "\0\2", "\0\0\0\1"),
    BAD("\x05", "\2", "", "", "", "", "\0\2", ""),
    BAD("\x05", "\2", "", "", "", "", "\0", "\0\0\0\0"),
    BAD("\x05", "\2", "", "", "", "", "\1\2", "\0\0\0\0"),   /* own as another */
    BAD("\x05", "\2", "", "", "", "", "\4\2", "\0\0\0\0"),   /* no such lane */
    BAD("\x05", "\2", "", "", "", "", "\0\x14", "\0\0\0\0"), /* item 10 */
    BAD("\x85", "\2", "", "", "", "", "\0\2", "\0\0\0\0"),   /* rev */
    BAD("\x05", "\0", "", "", "", "", "\0\2", "\0\0\0\0"),
    LEFT("\x05", "\3", "", "", "", "", "\0\2", "\0\0\0\0"), /* over the end of its slice */
    GOOD("\x2d", "\2", "", "\2", "\2", "", "", "\0\0\0\0"),
    GOOD("\x0f\x27", "\1\1", "", "\2", "\1", "", "\0\2\2\2", ""),
    LEFT("\x0f\x27", "\1\1", "", "\2", "\1", "", "\0\2\2\2\2", ""),
    BAD("\x0f\x27", "\1\1", "", "\2", "\1", "", "\0\2\2", ""),
    BAD("\x0f", "\2", "", "\2", "", "", "\0\2", ""),               /* count */
    BAD("\x0f\xa7", "\1\1", "", "\2", "\1", "", "\0\2\2\2", ""),   /* rev */
    BAD("\x0f\x27", "\1\1", "", "\2", "\1", "", "\0\x14\2\2", ""), /* item 10 */
    BAD("\x0f\x27", "\1\1", "", "\2", "\1", "", "\0\1\2\2", ""),   /* item -1 */
    BAD("\x0f\x27", "\1\1", "", "\2", "\1", "", "\1\2\2\2", ""),   /* own as another */
    BAD("\x0f\x27", "\1\1", "", "\2", "\1", "", "\4\2\2\2", ""),   /* no such lane */
    GOOD("\x03\x04", "\1\1", "", "", "", "", "", "\1k\2\0\1k"),
    BAD("\x23\x04", "\1\1", "", "", "\2", "", "", "\1k\2\0\1k"), /* a right class */
    BAD("\x03\x04", "\1\1", "", "", "", "", "", "\1\xff\2\0\1k"),
    /* the first one needs a table, and what is looked at ahead for it is wrong */
    BAD("\x12\x01", "\1\1", "\2", "", "", "\2", "\4\2", ""),
    BAD("\x12\x12", "\1\1", "\2\3", "", "", "\2\2", "", ""),
    BAD("\x12\x12", "\1\0", "\2\2", "", "", "\2\2", "", ""),
};

static void malformed_columns_are_seen(void)
{
    static const uint32_t two[] = {2, 0};
    for (size_t i = 0; i < sizeof hands / sizeof *hands; i++) {
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        const ckv_status s = read_by_hand(&hands[i], two, &out);
        if (s != hands[i].verdict) fprintf(stderr, "hands[%zu]\n", i);
        T_EQ(s, hands[i].verdict);
        ckv_buf_fini(&out);
    }
}

/* Single elements in a million changes: cutting passes by each value once. */
static void cutting_is_linear(void)
{
    const uint32_t n = 1000000;
    uint8_t *values = calloc(n, 2);
    T_CHECK(values);
    ckv_rd rd[CKV_N_COLUMNS] = {0};
    ckv_buf count = ckv_buf_init(ckv_alloc_libc), body = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_varint(&count, n);
    rd[0] = ckv_rd_init((const uint8_t *)"\x05", 1);
    rd[1] = ckv_rd_init(count.ptr, count.len);
    rd[6] = ckv_rd_init((const uint8_t *)"\2\6", 2);
    rd[8] = ckv_rd_init(values, 2 * (size_t)n);
    ckv_columns_in in;
    T_EQ(ckv_columns_in_init(&in, ckv_alloc_libc, rd, N_LANES), CKV_OK);
    int64_t off = 0;
    const uint32_t parent = 1;
    const ckv_column_change change = {
        .own = 0, .own_off = &off, .parents = &parent, .n_parents = 1, .n_ops = 1};
    for (uint32_t i = 0; i < n; i++) {
        ckv_buf_clear(&body);
        T_EQ(ckv_columns_body(&in, &change, lane_ids, &body), CKV_OK);
    }
    T_CHECK(ckv_columns_done(&in));
    T_EQ(off, n);
    ckv_columns_in_fini(&in);
    ckv_buf_fini(&count);
    ckv_buf_fini(&body);
    free(values);
}

/* References at the ends of what an offset may be. */
static void offsets_have_ends(void)
{
    static const uint32_t two[] = {2, 0};
#define TWICE(off) off off /* two deletes of the other lane */
    static const by_hand ends[] = {
        /* 2^33 is one too much, down as well as up */
        BAD("\x12\x12", "\1\1", "\1\1", "", "", TWICE("\x82\x80\x80\x80\x40"), "", ""),
        BAD("\x12\x12", "\1\1", "\1\1", "", "", TWICE("\x81\x80\x80\x80\x40"), "", ""),
        BAD("\x12\x12", "\1\1", "\1\1", "", "", TWICE("\x80\x80\x80\x80\x40"), "", ""),
        /* 2^32 - 2 can be named, 2^32 - 1 cannot */
        GOOD("\x10\x08", "\1\1", "\1", "", "", "\xfc\xff\xff\xff\x1f\2", "", "\12\0\12\0"),
        BAD("\x10\x08", "\1\1", "\1", "", "", "\xfe\xff\xff\xff\x1f\2", "", "\12\0\12\0"),
    };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        const ckv_status s = read_by_hand(&ends[i], two, &out);
        if (s != ends[i].verdict) fprintf(stderr, "ends[%zu]\n", i);
        T_EQ(s, ends[i].verdict);
        ckv_buf_fini(&out);
    }
    for (int64_t off = UINT32_MAX - 1; off <= UINT32_MAX;
         off++) { /* of the own lane, from far away */
        ckv_rd rd[CKV_N_COLUMNS] = {0};
        ckv_columns_in in;
        int64_t next = off;
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        const ckv_column_change change = {.own = 0, .own_off = &next, .n_ops = 1};
        rd[0] = ckv_rd_init((const uint8_t *)"\x08", 1); /* COUNT on item 0 */
        rd[1] = ckv_rd_init((const uint8_t *)"\1", 1);
        rd[5] = ckv_rd_init((const uint8_t *)"\0", 1);
        rd[8] = ckv_rd_init((const uint8_t *)"\12\0", 2);
        T_EQ(ckv_columns_in_init(&in, ckv_alloc_libc, rd, N_LANES), CKV_OK);
        T_EQ(ckv_columns_body(&in, &change, lane_ids, &out),
             off < UINT32_MAX ? CKV_OK : CKV_ECORRUPT);
        ckv_columns_in_fini(&in);
        ckv_buf_fini(&out);
    }
}

static size_t count_runs(const ckv_column_op *first, uint32_t own, int64_t own_off,
                         const ckv_column_op *second)
{
    ckv_buf col[CKV_N_COLUMNS];
    ckv_columns_out out;
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) col[i] = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_columns_out_init(&out, ckv_alloc_libc, col, N_LANES), CKV_OK);
    ckv_columns_put(&out, 0, 10, first, true);
    ckv_columns_put(&out, own, own_off, second, true);
    ckv_columns_end_slice(&out);
    const size_t n = col[0].len;
    ckv_columns_out_fini(&out);
    for (size_t i = 0; i < CKV_N_COLUMNS; i++) ckv_buf_fini(&col[i]);
    return n;
}

static void only_what_goes_on_is_one_run(void)
{
    const ckv_spot none = {CKV_NO_LANE, 0};
    ckv_column_op a = {.kind = CKV_OP_INSERT,
                       .n = 1,
                       .left = {0, 9},
                       .right = none,
                       .holder = none},
                  b = a;
    a.bytes = b.bytes = (const uint8_t *)"a", a.n_bytes = b.n_bytes = 1;
    b.left.off = 10;
    T_EQ(count_runs(&a, 0, 11, &b), 1);
    T_EQ(count_runs(&a, 1, 11, &b), 2); /* of another lane */
    b.left.off = 11;
    T_EQ(count_runs(&a, 0, 12, &b), 2); /* something else was made between them */
    a = (ckv_column_op){
        .kind = CKV_OP_DELETE, .n = 1, .left = {1, 5}, .right = none, .holder = none};
    b = a;
    b.left.off = 6;
    T_EQ(count_runs(&a, 0, 10, &b), 1);
    a.n = UINT32_MAX - 1;
    b.left.off = 5 + (int64_t)a.n;
    T_EQ(count_runs(&a, 0, 10, &b), 1);
    b.n = 2; /* a count has 32 bits */
    T_EQ(count_runs(&a, 0, 10, &b), 2);
}

/* Many SETs in maps of two lanes that must be named in the table, so that every buffer grows at every place. */
static ckv_status read_with_table(ckv_alloc a)
{
    enum { N = 40 };
    ckv_rd rd[CKV_N_COLUMNS] = {0};
    uint8_t kinds[N], counts[N], lanes[N], targets[N], maps[4 * N];
    for (size_t i = 0; i < N; i++) {
        kinds[i] = CKV_OP_SET | 2 << 3, counts[i] = 1, lanes[i] = (uint8_t)(1 + i % 2);
        targets[i] = 2;
        memcpy(maps + 4 * i, "\1k\2\0", 4);
    }
    rd[0] = ckv_rd_init(kinds, N);
    rd[1] = ckv_rd_init(counts, N);
    rd[2] = ckv_rd_init(lanes, N);
    rd[5] = ckv_rd_init(targets, N);
    rd[8] = ckv_rd_init(maps, 4 * N);
    ckv_columns_in in;
    ckv_buf out = ckv_buf_init(a);
    ckv_status s = ckv_columns_in_init(&in, a, rd, N_LANES);
    for (size_t n = 0; s == CKV_OK && n < 8;
         n++) { /* bodies of many sizes: the head is moved with and without room */
        int64_t off = 10;
        const char message[64] = {0};
        const ckv_column_change change = {.own = 0,
                                          .own_off = &off,
                                          .n_ops = N / 8,
                                          .head = {.message = message, .message_bytes = 9 * n}};
        s = ckv_columns_body(&in, &change, lane_ids, &out);
    }
    if (s == CKV_OK) T_CHECK(ckv_columns_done(&in));
    ckv_columns_in_fini(&in);
    ckv_buf_fini(&out);
    return s;
}

static void a_table_survives_every_failure(void)
{
    for (unsigned i = 0; i < N_LANES; i++) memset(&lane_ids[i], (int)i + 1, 32);
    T_CHECK(t_oom(read_with_table) >= 4);
}

int main(void)
{
    T_RUN(columns_come_back);
    T_RUN(columns_are_those_of_the_format);
    T_RUN(elements_are_cut_by_n_ops);
    T_RUN(malformed_columns_are_seen);
    T_RUN(cutting_is_linear);
    T_RUN(offsets_have_ends);
    T_RUN(only_what_goes_on_is_one_run);
    T_RUN(a_table_survives_every_failure);
    return t_done();
}
