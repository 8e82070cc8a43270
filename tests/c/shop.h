/* shop.h -- stores for tests: short keys, values that are ints, a clock that one turns by hand. */
#ifndef CKV_TEST_SHOP_H
#define CKV_TEST_SHOP_H

#include "t.h"

#include "kv/exchange.h"
#include "kv/message.h"
#include "log/value.h"

static uint64_t shop_ms T_UNUSED = 1000;

static inline void shop_random(void *ctx, uint8_t *out, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)t_rand();
}

static inline ckv_store_key shop_key(const char *text)
{
    return (ckv_store_key){(const uint8_t *)text, (uint32_t)strlen(text), false};
}

static inline ckv_status shop_new(ckv_store **out, ckv_alloc a, const char *name)
{
    const ckv_env env = {a, shop_random, NULL};
    return ckv_store_new(out, &env, shop_key(name));
}

/* The bytes of an int, in a place that lasts till the next call. */
static inline ckv_bytes shop_int(int64_t value)
{
    static uint8_t room[16];
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    ckv_value_write(&b, &(ckv_value){.tag = CKV_TAG_INT, .i64 = value});
    memcpy(room, b.ptr, b.len);
    const ckv_bytes out = {room, b.len};
    ckv_buf_fini(&b);
    return out;
}

static inline int64_t shop_int_of(ckv_bytes value)
{
    ckv_rd r = ckv_rd_init(value.ptr, value.n_bytes);
    ckv_value v;
    ckv_value_read(&r, &v);
    T_CHECK(ckv_rd_done(&r) && v.tag == CKV_TAG_INT);
    return v.i64;
}

static inline ckv_status shop_put(ckv_store *s, const char *key, int64_t value)
{
    return ckv_store_put(s, shop_key(key), shop_int(value), shop_ms, NULL);
}

/* -1: absent */
static inline int64_t shop_get(const ckv_store *s, const char *key)
{
    ckv_item item;
    return ckv_store_get(s, false, shop_key(key), &item) ? shop_int_of(item.value) : -1;
}

static inline ckv_bytes shop_bytes(const ckv_buf *b) { return (ckv_bytes){b->ptr, b->len}; }

static inline void shop_check(const ckv_store *s)
{
    const char *why;
    T_VALID(ckv_store_check(s, &why), why);
}

/* a asks b once. */
static inline ckv_status shop_pull(ckv_store *a, const ckv_store *b, ckv_alloc al)
{
    ckv_buf request = ckv_buf_init(al), diff = ckv_buf_init(al);
    ckv_store_report report;
    ckv_store_report_init(&report, al);
    bool more;
    ckv_status s = ckv_store_request(a, &request);
    if (s == CKV_OK) s = ckv_store_diff(b, shop_bytes(&request), 0, &diff, &more, NULL);
    if (s == CKV_OK) s = ckv_store_integrate(a, shop_bytes(&diff), CKV_NO_DRIFT, &report, NULL);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&diff);
    ckv_buf_fini(&request);
    return s;
}

/* ---- stores of which one knows the incarnation: "a/00000000" */

static inline ckv_bytes shop_id(const char *name)
{
    static char room[2][64]; /* good until the next but one */
    static unsigned n;
    char *id = room[n++ & 1];
    const int len = snprintf(id, sizeof room[0], "%s/00000000", name);
    return (ckv_bytes){(const uint8_t *)id, (size_t)len};
}

static inline ckv_status shop_open(ckv_store **out, ckv_alloc a, const char *name)
{
    *out = NULL;
    ckv_status s = shop_new(out, a, name);
    const ckv_bytes id = shop_id(name);
    if (s == CKV_OK) s = ckv_store_incarnate(*out, id.ptr, id.n_bytes);
    return s;
}

/* ---- what they say, for tests where memory does not run out */

static inline ckv_buf shop_save(const ckv_store *s)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_save(s, &out), CKV_OK);
    return out;
}

static inline ckv_buf shop_request(const ckv_store *s)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_request(s, &out), CKV_OK);
    return out;
}

static inline ckv_buf shop_opset(ckv_store *s)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_opset(s, &out), CKV_OK);
    return out;
}

static inline ckv_buf shop_put_op(ckv_store *s, const char *key, int64_t value)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_put(s, shop_key(key), shop_int(value), shop_ms, &out), CKV_OK);
    return out;
}

static inline ckv_buf shop_remove_op(ckv_store *s, const char *key)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_store_remove(s, shop_key(key), &out), CKV_OK);
    return out;
}

/* Both are done with. */
static inline void shop_equal(ckv_buf a, ckv_buf b)
{
    T_BYTES(a.ptr, a.len, b.ptr, b.len);
    ckv_buf_fini(&a);
    ckv_buf_fini(&b);
}

/* Do both show the same, and ask for the same? */
static inline void shop_agree(const ckv_store *a, const ckv_store *b)
{
    shop_equal(shop_request(a), shop_request(b));
    T_EQ(ckv_store_len(a, false), ckv_store_len(b, false));
    T_EQ(ckv_store_stats_of(a).value_bytes, ckv_store_stats_of(b).value_bytes);
}

/* Takes a message of any kind in; the store is sound afterwards, and the same if it was refused. */
static inline ckv_status shop_take(ckv_store *s, ckv_bytes m, ckv_store_report *report)
{
    ckv_buf before = shop_save(s);
    ckv_err err = {CKV_OK, 0, NULL};
    ckv_status status = CKV_ENOENT;
    if (m.ptr[0] == CKV_MESSAGE_OP)
        status = ckv_store_take_ops(s, &m, 1, CKV_NO_DRIFT, report, &err);
    if (m.ptr[0] == CKV_MESSAGE_OPSET)
        status = ckv_store_take_opset(s, m, CKV_NO_DRIFT, report, &err);
    if (m.ptr[0] == CKV_MESSAGE_DIFF)
        status = ckv_store_integrate(s, m, CKV_NO_DRIFT, report, &err);
    shop_check(s);
    if (status == CKV_OK) {
        ckv_buf_fini(&before);
    } else {
        T_EQ(err.code, status);
        T_CHECK(err.text && err.offset <= m.n_bytes);
        shop_equal(shop_save(s), before);
    }
    return status;
}

/* The same where only the store counts; the message is done with. */
static inline void shop_give(ckv_store *s, ckv_buf m)
{
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(shop_take(s, shop_bytes(&m), &report), CKV_OK);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&m);
}

/* ---- messages made by hand */

static inline void shop_say_id(ckv_buf *out, const char *name)
{
    const ckv_bytes id = shop_id(name);
    ckv_buf_blob(out, id.ptr, id.n_bytes);
}

/* The runs [start, end) of a text: "3-6 9-10". */
static inline void shop_say_set(ckv_buf *out, const char *runs)
{
    ckv_runs_out w = ckv_runs_out_init(out);
    while (*runs) {
        char *next;
        const uint64_t start = strtoull(runs, &next, 10), end = strtoull(next + 1, &next, 10);
        ckv_runs_out_add(&w, start, end);
        runs = *next ? next + 1 : next;
    }
    ckv_runs_out_end(&w);
}

static inline void shop_say_row(ckv_buf *out, uint64_t gap, const char *key, int64_t value)
{
    const ckv_bytes v = shop_int(value);
    ckv_buf_varint(out, gap);
    ckv_buf_varint(out, strlen(key) << 1);
    ckv_buf_bytes(out, key, strlen(key));
    ckv_buf_bytes(out, v.ptr, v.n_bytes);
}

/* ---- a few of them */

enum { SHOP_N = 3 };
static const char *const shop_names[SHOP_N] T_UNUSED = {"a", "b", "c"};

static inline void shop_open_all(ckv_store *s[SHOP_N])
{
    for (size_t i = 0; i < SHOP_N; i++)
        T_EQ(shop_open(&s[i], ckv_alloc_libc, shop_names[i]), CKV_OK);
}

static inline void shop_free_all(ckv_store *s[SHOP_N])
{
    for (size_t i = 0; i < SHOP_N; i++) ckv_store_free(s[i]);
}

#endif
