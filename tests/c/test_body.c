/* Bodies: written and read, cut short, one bit off, runs that should be one. */
#include "t.h"

#include <float.h>
#include <math.h>

#include "log/body.h"

static ckv_id32 table[6];

static ckv_ref random_ref(uint32_t n_codes, bool none)
{
    const uint32_t code = (uint32_t)t_below(n_codes - !none) + !none;
    return (ckv_ref){code, code == CKV_REF_NONE ? 0 : (uint32_t)t_below(500) + 1};
}

static ckv_value random_value(ckv_tag last)
{
    static const uint8_t some[] = "some";
    ckv_value v = {.tag = (ckv_tag)t_below((uint64_t)last + 1)};
    if (v.tag > CKV_TAG_BYTES && v.tag < CKV_TAG_MAP) v.tag = CKV_TAG_BYTES;
    if (v.tag > CKV_TAG_TEXT && v.tag < CKV_TAG_DEFAULT_MAP) v.tag = CKV_TAG_DEFAULT_MAP;
    if (v.tag == CKV_TAG_INT) v.i64 = (int64_t)t_rand() >> t_below(64);
    if (v.tag == CKV_TAG_FLOAT) v.f64 = t_one_in(2) ? NAN : 0.5;
    if (v.tag == CKV_TAG_STR || v.tag == CKV_TAG_BYTES) v.ptr = some, v.n_bytes = t_below(5);
    return v;
}

static ckv_body_op random_op(uint32_t n_codes, uint32_t n_changes, ckv_buf *values)
{
    static const char *const words[] = {"a", "hello", "\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac",
                                        "\xf0\x9f\x99\x82"};
    const char *word = words[t_below(5)];
    ckv_body_op op = {.kind = (ckv_op_kind)(1 + t_below(CKV_OP_LAST)), .n = 1};
    if (op.kind == CKV_OP_RESTORE && n_changes == 0) op.kind = CKV_OP_COUNT;
    const bool ends = op.kind == CKV_OP_INSERT || op.kind == CKV_OP_ELEMENTS ||
                      op.kind == CKV_OP_MOVE || op.kind == CKV_OP_MARK;
    op.left = random_ref(n_codes, ends || op.kind == CKV_OP_SET || op.kind == CKV_OP_UNSET);
    if (ends) op.right = random_ref(n_codes, true);
    if (op.kind == CKV_OP_MOVE || (ends && !op.left.code && !op.right.code))
        op.holder = random_ref(n_codes, false);
    if (op.kind == CKV_OP_INSERT || op.kind == CKV_OP_SET || op.kind == CKV_OP_UNSET ||
        op.kind == CKV_OP_MARK)
        op.bytes = (const uint8_t *)word, op.n_bytes = strlen(word);
    if (op.kind == CKV_OP_DELETE || op.kind == CKV_OP_RESTORE) op.n = 1 + (uint32_t)t_below(9);
    if (op.kind == CKV_OP_RESTORE) op.change = (uint32_t)t_below(n_changes);
    if (op.kind == CKV_OP_COUNT) op.amount = (int64_t)t_rand() >> t_below(64);
    if (op.kind == CKV_OP_MARK && op.left.code && t_one_in(2)) op.sides |= CKV_MARK_START_BEHIND;
    if (op.kind == CKV_OP_MARK && op.right.code && t_one_in(2)) op.sides |= CKV_MARK_END_BEHIND;
    ckv_tag last = CKV_TAG_BYTES;
    switch (op.kind) {
    case CKV_OP_SET: last = CKV_TAG_DEFAULT_TEXT; break;
    case CKV_OP_ELEMENTS: op.n = 1 + (uint32_t)t_below(4); /* fall through */
    case CKV_OP_ASSIGN: last = CKV_TAG_TEXT; break;
    case CKV_OP_MARK:
        if (t_one_in(3)) return op; /* takes the name away */
        break;
    case CKV_OP_ADD:
    case CKV_OP_DISCARD: break;
    case CKV_OP_INSERT:
    case CKV_OP_DELETE:
    case CKV_OP_UNSET:
    case CKV_OP_MOVE:
    case CKV_OP_COUNT:
    case CKV_OP_RESTORE: return op;
    }
    const size_t at = values->len;
    for (uint32_t i = 0; i < op.n; i++) {
        op.value = random_value(last);
        ckv_value_write(values, &op.value);
    }
    op.value_bytes = values->ptr + at;
    op.n_value_bytes = values->len - at;
    return op;
}

static bool same_ref(ckv_ref a, ckv_ref b) { return a.code == b.code && a.value == b.value; }

/* What was read is what was written, field by field. */
static void check_same(const ckv_body_op *a, const ckv_body_op *b)
{
    T_EQ(a->kind, b->kind);
    if (a->kind != CKV_OP_INSERT) T_EQ(a->n, b->n);
    T_CHECK(same_ref(a->left, b->left) && same_ref(a->right, b->right) &&
            same_ref(a->holder, b->holder));
    T_BYTES(a->bytes, a->n_bytes, b->bytes, b->n_bytes);
    T_BYTES(a->value_bytes, a->n_value_bytes, b->value_bytes, b->n_value_bytes);
    T_EQ(a->sides, b->sides);
    T_EQ(a->change, b->change);
    T_EQ(a->amount, b->amount);
    if (a->value_bytes && a->kind != CKV_OP_ELEMENTS) T_EQ(a->value.tag, b->value.tag);
    T_EQ(!a->value_bytes, !b->value_bytes);
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
    for (int round = 0; round < 800; round++) {
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
        ckv_body_op ops[6], got;
        const size_t n_ops = t_below(6);
        for (size_t i = 0; i < n_ops; i++) {
            ops[i] =
                random_op(2 + n_parents + head.n_lanes + head.n_changes, head.n_changes, &values);
            ckv_body_put(&p, &ops[i]);
        }
        const ckv_status s = read_all(p.ptr, p.len, n_parents, &out);
        T_CHECK(s == CKV_OK || s == CKV_EVOID); /* by chance two runs touch */
        if (s == CKV_OK) {
            ckv_body b;
            uint32_t n_single = 0, n_items = 0;
            T_BYTES(p.ptr, p.len, out.ptr, out.len);
            T_EQ(ckv_body_open(&b, p.ptr, p.len, n_parents), CKV_OK);
            for (size_t i = 0; i < n_ops; i++) {
                T_CHECK(ckv_body_next(&b, &got));
                check_same(&got, &ops[i]);
                n_single += got.n;
                if (strchr("\1\3\5\6\7\10\13", (int)got.kind)) n_items += got.n;
            }
            T_CHECK(!ckv_body_next(&b, &got));
            T_EQ(b.n_ops, n_single);
            T_EQ(b.n_items, n_items);
        }
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
    T_CHECK(n_good > 600);
    ckv_buf_fini(&values);
    ckv_buf_fini(&p);
    ckv_buf_fini(&out);
}

static ckv_status two(ckv_body_op a, ckv_body_op b)
{
    ckv_buf p = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    for (unsigned i = 0; i < 6; i++) memset(&table[i], (int)i, 32);
    const ckv_body_head head = {.changes = table, .n_changes = 2};
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

static void elements_that_touch_are_one(void)
{
    const ckv_body_op a = {.kind = CKV_OP_ELEMENTS,
                           .left = {2, 5},
                           .right = {1, 3},
                           .value_bytes = (const uint8_t *)"\0\0\0",
                           .n_value_bytes = 4}; /* None, None */
    ckv_body_op b = a;
    b.left = (ckv_ref){1, 1};
    b.right.value = 5; /* two items later the same one is two further back */
    T_EQ(two(a, b), CKV_EVOID);
    b.right.value = 3;
    T_EQ(two(a, b), CKV_OK);
    b.right.value = 5, b.left.value = 2;
    T_EQ(two(a, b), CKV_OK);
    b.left = (ckv_ref){2, 1};
    T_EQ(two(a, b), CKV_OK);
    b = a, b.left = (ckv_ref){1, 1}, b.right = (ckv_ref){1, 5};
    b.kind = CKV_OP_INSERT, b.bytes = (const uint8_t *)"x", b.n_bytes = 1;
    T_EQ(two(a, b), CKV_OK); /* another kind, whatever else is the same */
    b = a, b.kind = CKV_OP_MOVE, b.holder = (ckv_ref){2, 9};
    b.left = (ckv_ref){1, 1}, b.right = (ckv_ref){1, 5};
    T_EQ(two(a, b), CKV_OK);
    T_EQ(two(b, b), CKV_OK); /* moves are never one */
}

static void restores_that_touch_are_told(void)
{
    const ckv_body_op d = {.kind = CKV_OP_RESTORE, .left = {2, 5}, .n = 3, .change = 1};
    ckv_body_op e = d;
    T_EQ(two(d, d), CKV_OK);
    e.left.value = 8;
    T_EQ(two(d, e), CKV_OK);
    T_EQ(two(e, d), CKV_OK);
    e.change = 0;
    T_EQ(two(d, e), CKV_OK);
    T_EQ(two(e, d), CKV_OK);
    e.change = 1, e.left.code = 3;
    T_EQ(two(d, e), CKV_OK);
    e.left.code = 2, e.kind = CKV_OP_DELETE, e.change = 0;
    T_EQ(two(d, e), CKV_OK);
    T_EQ(two(e, d), CKV_OK);
}

/* ---- one operation at a time, as bytes. There are one parent and one change in the table: codes 2 and 3. */

typedef struct one_op {
    uint32_t kind;
    ckv_status verdict;
    const char *payload;
    size_t n;
} one_op;

static void begin(ckv_buf *p)
{
    const ckv_body_head head = {.changes = table, .n_changes = 1};
    ckv_buf_clear(p);
    ckv_body_begin(p, &head);
}

static ckv_status judge(const one_op *o)
{
    ckv_buf p = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    begin(&p);
    ckv_buf_varint(&p, o->kind);
    ckv_buf_blob(&p, o->payload, o->n);
    uint8_t *exact = malloc(p.len);
    T_CHECK(exact);
    memcpy(exact, p.ptr, p.len);
    const ckv_status s = read_all(exact, p.len, 1, &out);
    if (s == CKV_OK) T_BYTES(exact, p.len, out.ptr, out.len);
    free(exact);
    ckv_buf_fini(&p);
    ckv_buf_fini(&out);
    return s;
}

#define OP(kind, verdict, payload) {kind, verdict, payload, sizeof(payload) - 1}
#define GOOD(kind, payload)        OP(CKV_OP_##kind, CKV_OK, payload)
#define VOID(kind, payload)        OP(CKV_OP_##kind, CKV_EVOID, payload)
#define LATER(kind, payload)       OP(CKV_OP_##kind, CKV_ELATER, payload)

static const one_op one_ops[] = {
    GOOD(INSERT, "\2\5\0x"),
    VOID(INSERT, "\2\5\0"),     /* no text */
    VOID(INSERT, "\2\5\0\xff"), /* no UTF-8 */
    VOID(INSERT, "\4\5\0x"),    /* no such parent or entry */
    GOOD(INSERT, "\0\0\2\5x"),
    VOID(INSERT, "\0\0\0x"), /* in nothing */
    GOOD(DELETE, "\2\5\1"),
    VOID(DELETE, "\2\5\0"),
    VOID(DELETE, "\0\1"),
    VOID(DELETE, "\2\5\1x"),
    GOOD(SET, "\0\1k\2\0"),
    GOOD(SET, "\2\5\1k\x10\0"),
    GOOD(SET, "\0\1k\x18\0"),
    GOOD(SET, "\0\0\2\0"), /* the empty key */
    VOID(SET, "\0\1k"),
    VOID(SET, "\0\1k\2\0\2\0"), /* two values */
    VOID(SET, "\0\1\xff\2\0"),
    VOID(SET, "\0\1k\x18\1x"), /* a container of more than nothing */
    LATER(SET, "\0\1k\x15\0"),
    VOID(SET, "\0\1k\x15\0x"), /* does not come apart */
    GOOD(UNSET, "\0\1k"),
    VOID(UNSET, "\0\1k\2\0"),
    VOID(UNSET, "\0\1k\x15\0"), /* has no value: what is behind the key means nothing */
    GOOD(ELEMENTS, "\2\5\0\0\0"),
    GOOD(ELEMENTS, "\2\5\2\6\1\0\2\0\3\1\1"),
    GOOD(ELEMENTS, "\0\0\2\5\x11\0"),
    VOID(ELEMENTS, "\0\0\0\0\0"), /* in nothing */
    VOID(ELEMENTS, "\2\5\0"),
    VOID(ELEMENTS, "\2\5\0\x18\0"),
    VOID(ELEMENTS, "\2\5\0\0\0\x1c\0"),
    VOID(ELEMENTS, "\2\5\0\0\1x"),
    VOID(ELEMENTS, "\2\5\0\0\0\0"), /* half a value behind */
    LATER(ELEMENTS, "\2\5\0\x15\0"),
    LATER(ELEMENTS, "\2\5\0\x15\0\0\0"),
    LATER(ELEMENTS, "\2\5\0\0\0\x1d\1x"),
    LATER(ELEMENTS, "\2\5\0\0\1x\x15\0"), /* whether or not the others make sense */
    LATER(ELEMENTS, "\0\0\0\x15\0"),
    LATER(ELEMENTS, "\x7f\1\0\x15\0"),
    VOID(ELEMENTS, "\2\5\0\x15\2x"),
    VOID(ELEMENTS, "\2\5\0\x15\0\0"),
    VOID(ELEMENTS, "\0\0\2\x15\0"), /* the 21 is the offset of a container: half a value is left */
    GOOD(ASSIGN, "\2\5\0\0"),
    GOOD(ASSIGN, "\2\5\x14\0"),
    VOID(ASSIGN, "\0\0\0"),
    VOID(ASSIGN, "\2\5"),
    VOID(ASSIGN, "\2\5\x18\0"),
    VOID(ASSIGN, "\2\5\0\0\0\0"),
    LATER(ASSIGN, "\2\5\x07\0"),
    LATER(ASSIGN, "\0\x07\0"),
    VOID(ASSIGN, "\2\5\x07\0\0"),
    GOOD(MOVE, "\2\5\2\6\0"),
    GOOD(MOVE, "\1\5\0\0"),
    VOID(MOVE, "\0\2\6\0"),
    VOID(MOVE, "\2\5\2\6"),
    VOID(MOVE, "\2\5\2\6\0\0"),
    VOID(MOVE, "\2\5\2\6\1\0"), /* a distance of 0 */
    GOOD(ADD, "\2\5\3\1\2"),
    VOID(ADD, "\0\3\1\2"),
    VOID(ADD, "\2\5"),
    VOID(ADD, "\2\5\x10\0"),
    VOID(ADD, "\2\5\x1c\0"),
    VOID(ADD, "\2\5\3\1\2\0"),
    VOID(ADD, "\2\5\4\x08\1\0\0\0\0\0\xf8\x7f"), /* another NaN */
    GOOD(ADD, "\2\5\4\x08\0\0\0\0\0\0\xf8\x7f"),
    LATER(ADD, "\2\5\x15\0"),
    GOOD(DISCARD, "\2\5\5\1x"),
    VOID(DISCARD, "\0\5\1x"),
    VOID(DISCARD, "\2\5\5\1\xff"),
    VOID(DISCARD, "\2\5\x14\0"),
    LATER(DISCARD, "\2\5\x15\0"),
    VOID(DISCARD, "\2\5\x15\0\0\0"),
    GOOD(COUNT, "\2\5\1"),
    GOOD(COUNT, "\2\5\0"),
    GOOD(COUNT, "\2\5\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"),
    VOID(COUNT, "\2\5\xff\xff\xff\xff\xff\xff\xff\xff\xff\2"),
    VOID(COUNT, "\0\1"),
    VOID(COUNT, "\2\5"),
    VOID(COUNT, "\2\5\1\1"),
    VOID(COUNT, "\2\5\x80\0"),
    GOOD(MARK, "\3\2\5\2\6\1b\2\0"),
    GOOD(MARK, "\3\2\5\2\6\1b"),
    GOOD(MARK, "\1\2\5\0\1b"),
    GOOD(MARK, "\2\0\2\6\1b"),
    GOOD(MARK, "\0\0\0\2\5\1b"),
    VOID(MARK, "\4\2\5\2\6\1b"),
    VOID(MARK, "\1\0\2\6\1b"),
    VOID(MARK, "\2\2\5\0\1b"),
    VOID(MARK, "\1\0\0\2\5\1b"),
    VOID(MARK, "\2\0\0\2\5\1b"),
    VOID(MARK, "\0\0\0\0\1b"),
    VOID(MARK, "\3\2\5\2\6\0"),
    VOID(MARK, "\3\2\5\2\6\1\xff"),
    VOID(MARK, "\3\2\5\2\6\1b\x14\0"),
    VOID(MARK, "\3\2\5\2\6\1b\x18\0"),
    VOID(MARK, "\3\2\5\2\6\1b\2\0\0"),
    VOID(MARK, "\3\2\5\2\6"),
    VOID(MARK, ""),
    LATER(MARK, "\3\2\5\2\6\1b\x15\0"),
    LATER(MARK, "\x09\0\2\6\1\xff\x15\0"),
    LATER(MARK, "\x80\0\2\6\1b\x15\0"), /* sides are a byte, no varint */
    LATER(MARK, "\0\0\0\0\0\x15\0"),
    VOID(MARK, "\3\2\5\2\6\1b\x15\0\0\0"),
    GOOD(RESTORE, "\0\2\5\1"),
    GOOD(RESTORE, "\0\1\5\x80\1"),
    VOID(RESTORE, "\1\2\5\1"),                   /* there is one change only */
    VOID(RESTORE, "\x80\x80\x80\x80\x10\2\5\1"), /* 2^32 */
    VOID(RESTORE, "\0\0\1"),
    VOID(RESTORE, "\0\2\5\0"),
    VOID(RESTORE, "\0\2\5\x81\x80\x80\x08"), /* 2^24 + 1 */
    VOID(RESTORE, "\0\2\5\1\0"),
    VOID(RESTORE, "\0\2\5"),
    OP(0, CKV_ELATER, ""),
    OP(13, CKV_ELATER, "anything"),
    OP(UINT32_MAX, CKV_ELATER, "anything"),
};

static void every_rule_of_one_operation(void)
{
    for (size_t i = 0; i < sizeof one_ops / sizeof *one_ops; i++) {
        const ckv_status s = judge(&one_ops[i]);
        if (s != one_ops[i].verdict) fprintf(stderr, "one_ops[%zu], kind %u\n", i, one_ops[i].kind);
        T_EQ(s, one_ops[i].verdict);
    }
}

/* Each tag in each place: the ones that are meant for it, the known ones that are not, the unknown. */
static void every_tag_in_every_place(void)
{
    static const struct {
        uint32_t kind;
        const char *before;
        size_t n;
        uint32_t last; /* allowed here */
    } places[] = {{CKV_OP_SET, "\0\1k", 3, CKV_TAG_DEFAULT_TEXT},
                  {CKV_OP_ELEMENTS, "\2\5\0\0\0", 5, CKV_TAG_TEXT},
                  {CKV_OP_ASSIGN, "\2\5", 2, CKV_TAG_TEXT},
                  {CKV_OP_ADD, "\2\5", 2, CKV_TAG_BYTES},
                  {CKV_OP_DISCARD, "\2\5", 2, CKV_TAG_BYTES},
                  {CKV_OP_MARK, "\0\0\2\5\1b", 6, CKV_TAG_BYTES}};
    for (uint32_t tag = 0; tag < 300; tag++) {
        const bool known = tag <= 6 || (tag >= 16 && tag <= 20) || (tag >= 24 && tag <= 28);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            ckv_buf p = ckv_buf_init(ckv_alloc_libc);
            ckv_buf_bytes(&p, places[i].before, places[i].n);
            ckv_buf_varint(&p, tag);
            ckv_buf_blob(&p, "\0\0\0\0\0\0\0", tag == CKV_TAG_FLOAT ? 8 : tag == CKV_TAG_INT);
            const one_op op = {places[i].kind, CKV_OK, (const char *)p.ptr, p.len};
            T_EQ(judge(&op), !known ? CKV_ELATER : tag <= places[i].last ? CKV_OK : CKV_EVOID);
            ckv_buf_fini(&p);
        }
    }
}

static void later_wins_over_void(void)
{
    ckv_buf p = ckv_buf_init(ckv_alloc_libc), out = ckv_buf_init(ckv_alloc_libc);
    begin(&p);
    ckv_buf_bytes(&p, "\2\3\2\5\0", 5); /* a DELETE of nothing */
    ckv_buf_bytes(&p, "\5\5\2\5\0\x15\0", 7);
    T_EQ(read_all(p.ptr, p.len, 1, &out), CKV_ELATER);
    ckv_buf_bytes(&p, "\2\3\2\5\1", 5);
    T_EQ(read_all(p.ptr, p.len, 1, &out), CKV_ELATER);
    ckv_buf_bytes(&p, "\2\3\2\5", 4); /* the framing does not hold up to the end */
    T_EQ(read_all(p.ptr, p.len, 1, &out), CKV_EVOID);
    ckv_buf_fini(&p);
    ckv_buf_fini(&out);
}

static void names_have_a_limit(void)
{
    static uint8_t long_one[CKV_MAX_KEY_BYTES + 1];
    memset(long_one, 'n', sizeof long_one);
    ckv_body_op mark = {.kind = CKV_OP_MARK,
                        .left = {2, 5},
                        .right = {2, 6},
                        .bytes = long_one,
                        .n_bytes = CKV_MAX_KEY_BYTES};
    T_EQ(two(mark, mark), CKV_OK);
    mark.n_bytes++;
    T_EQ(two(mark, mark), CKV_EVOID);
}

/* As many values as a body can hold. Anything but linear time would be seen. */
static void many_elements(void)
{
    const uint32_t n = (CKV_MAX_BODY_BYTES - 100) / 2;
    uint8_t *nones = calloc(n, 2);
    T_CHECK(nones);
    const ckv_body_op op = {.kind = CKV_OP_ELEMENTS,
                            .left = {2, 5},
                            .value_bytes = nones,
                            .n_value_bytes = (size_t)n * 2};
    ckv_buf p = ckv_buf_init(ckv_alloc_libc);
    ckv_body b;
    ckv_body_op got;
    begin(&p);
    ckv_body_put(&p, &op);
    T_CHECK(p.len <= CKV_MAX_BODY_BYTES);
    T_EQ(ckv_body_open(&b, p.ptr, p.len, 1), CKV_OK);
    T_CHECK(ckv_body_next(&b, &got));
    T_EQ(got.n, n);
    T_CHECK(!ckv_body_next(&b, &got));
    T_EQ(b.status, CKV_OK);
    T_EQ(b.n_items, n);
    ckv_buf_fini(&p);
    free(nones);
}

/* ---- members of sets */

#define INT(v)   {.tag = CKV_TAG_INT, .i64 = (v)}
#define FLOAT(v) {.tag = CKV_TAG_FLOAT, .f64 = (v)}
#define STR(s)   {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)(s), .n_bytes = sizeof(s) - 1}
#define BYTES(s) {.tag = CKV_TAG_BYTES, .ptr = (const uint8_t *)(s), .n_bytes = sizeof(s) - 1}

/* In order; what shares a rank is one member. */
static const struct {
    unsigned rank;
    ckv_value v;
} members[] = {
    {0, {.tag = CKV_TAG_NONE}},
    {1, FLOAT(-INFINITY)},
    {2, FLOAT(-1e300)},
    {3, FLOAT(-9223372036854777856.0)}, /* the next below -2^63 */
    {4, FLOAT(-9223372036854775808.0)},
    {4, INT(INT64_MIN)},
    {5, INT(INT64_MIN + 1)},
    {6, INT(-9007199254740993)}, /* -2^53 - 1: no float is that */
    {7, INT(-9007199254740992)},
    {7, FLOAT(-9007199254740992.0)},
    {8, FLOAT(-1.5)},
    {9, INT(-1)},
    {9, FLOAT(-1.0)},
    {10, FLOAT(-0.5)},
    {11, FLOAT(-1e-300)},
    {12, INT(0)},
    {12, FLOAT(0.0)},
    {12, FLOAT(-0.0)},
    {12, {.tag = CKV_TAG_FALSE}},
    {13, FLOAT(5e-324)},
    {14, FLOAT(0.5)},
    {15, INT(1)},
    {15, FLOAT(1.0)},
    {15, {.tag = CKV_TAG_TRUE}},
    {16, FLOAT(1.0000000000000002)},
    {17, INT(2)},
    {18, FLOAT(4503599627370495.5)},
    {19, INT(9007199254740992)},
    {19, FLOAT(9007199254740992.0)},
    {20, INT(9007199254740993)},
    {21, FLOAT(9223372036854774784.0)}, /* the greatest float below 2^63 */
    {21, INT(9223372036854774784)},
    {22, INT(INT64_MAX)},
    {23, FLOAT(9223372036854775808.0)},
    {24, FLOAT(1e300)},
    {25, FLOAT(INFINITY)},
    {26, FLOAT(NAN)},
    {26, FLOAT(-NAN)},
    {27, STR("")},
    {28, STR("1")},
    {29, STR("1\0")},
    {30, STR("\xc3\xa9")},
    {31, BYTES("")},
    {32, BYTES("1")},
};

static int order(const ckv_buf *a, const ckv_buf *b)
{
    const int c = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

static int order_of(const ckv_value *a, const ckv_value *b)
{
    ckv_buf p = ckv_buf_init(ckv_alloc_libc), q = ckv_buf_init(ckv_alloc_libc);
    ckv_value_member(&p, a);
    ckv_value_member(&q, b);
    const int c = order(&p, &q);
    ckv_buf_fini(&p);
    ckv_buf_fini(&q);
    return (c > 0) - (c < 0);
}

static void members_are_what_python_calls_equal(void)
{
    const size_t n = sizeof members / sizeof *members;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            const int want =
                (members[i].rank > members[k].rank) - (members[i].rank < members[k].rank);
            T_EQ(order_of(&members[i].v, &members[k].v), want);
        }
    }
}

static void numbers_compare_exactly(void)
{
    if (LDBL_MANT_DIG < 64) return; /* nothing to compare with that holds both */
    t_seed(1);
    for (int round = 0; round < 20000; round++) {
        ckv_value v[2];
        long double exact[2];
        const int64_t near = (int64_t)t_rand() >> t_below(64);
        for (int i = 0; i < 2; i++) {
            const int64_t x = (int64_t)((uint64_t)near + t_below(3) - 1);
            const double f = (double)x / (t_one_in(3) ? 4 : 1);
            v[i] = t_one_in(2) ? (ckv_value)INT(x) : (ckv_value)FLOAT(f);
            exact[i] = v[i].tag == CKV_TAG_INT ? (long double)x : (long double)f;
        }
        T_EQ(order_of(&v[0], &v[1]), (exact[0] > exact[1]) - (exact[0] < exact[1]));
    }
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
                      beyond = {.kind = CKV_OP_DELETE, .left = {5, 0}, .n = 1};
    T_EQ(two(one, own), CKV_EVOID);
    T_EQ(two(one, beyond), CKV_EVOID);
}

static void what_ended_has_ended(void)
{
    static const uint8_t bad[] = {0, 0, CKV_OP_DELETE, 1, 0, CKV_OP_COUNT, 3, 2, 5, 0};
    ckv_body b;
    ckv_body_op op;
    T_EQ(ckv_body_open(&b, bad, sizeof bad, 1), CKV_OK);
    T_CHECK(!ckv_body_next(&b, &op));
    T_EQ(b.status, CKV_EVOID);
    T_CHECK(!ckv_body_next(&b, &op)); /* what stands behind the bad one is not read */
    T_EQ(b.n_ops, 0);
}

int main(void)
{
    T_RUN(bodies_come_back_and_have_one_form);
    T_RUN(what_touches_is_one);
    T_RUN(elements_that_touch_are_one);
    T_RUN(restores_that_touch_are_told);
    T_RUN(every_rule_of_one_operation);
    T_RUN(every_tag_in_every_place);
    T_RUN(later_wins_over_void);
    T_RUN(names_have_a_limit);
    T_RUN(many_elements);
    T_RUN(members_are_what_python_calls_equal);
    T_RUN(numbers_compare_exactly);
    T_RUN(limits_hold);
    T_RUN(what_ended_has_ended);
    return t_done();
}
