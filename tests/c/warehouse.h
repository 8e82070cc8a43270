/* warehouse.h -- datastores for tests: replicas in memory that put, delete and count at random in three DAGs; what each of them shows, as bytes; and an oracle, which makes
 * the same bytes from bodies alone, by the rules of docs/format.md, "Body of a datastore's change", in the slowest way there is.
 */
#ifndef CKV_TEST_WAREHOUSE_H
#define CKV_TEST_WAREHOUSE_H

#include "story.h"

#include "datastore/exchange.h"
#include "datastore/op.h"
#include "datastore/state.h"
#include "log/nested.h"

enum { W_KEYS = 7, W_COUNTERS = 2, W_DAGS = 3 };
static const char *const w_dags[W_DAGS] T_UNUSED = {"default", "blue", "red"};
static int64_t w_ms T_UNUSED = 1700000000000;

static inline ckv_status w_new(ckv_datastore **out, ckv_alloc a, uint8_t who, bool compliance)
{
    const ckv_env env = {.alloc = a, .random = s_count_up, .random_ctx = &s_whos[who]};
    uint8_t seed[32] = {0};
    ckv_id32 id;
    ckv_identity identity;
    char why[256];
    seed[0] = who;
    memset(&id, 0x2a, sizeof id);
    ckv_identity_from_seed(&identity, seed);
    *out = NULL;
    return ckv_datastore_open(
        out,
        &(ckv_datastore_options){
            .env = &env, .identity = &identity, .object = 1, .id = &id, .compliance = compliance},
        why);
}

static inline ckv_datastore *w_made(uint8_t who)
{
    ckv_datastore *d;
    T_EQ(w_new(&d, ckv_alloc_libc, who, false), CKV_OK);
    return d;
}

static inline ckv_store_key w_key(uint64_t n)
{
    static const char *const keys[W_KEYS] = {"", "a", "ab", "b", "ba", "k", "zz"};
    const char *text = keys[n % W_KEYS];
    return (ckv_store_key){(const uint8_t *)text, (uint32_t)strlen(text), n % W_KEYS == 3};
}

static inline ckv_store_key w_counter(uint64_t n)
{
    return n % W_COUNTERS ? w_key(1) : (ckv_store_key){(const uint8_t *)"hits", 4, false};
}

/* The bytes of a str of some length, in a place that lasts till the next call. */
static inline ckv_value_bytes w_value(uint64_t n, size_t n_bytes)
{
    static ckv_buf b;
    static char text[3000];
    if (!b.a.fn) b = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_clear(&b);
    CKV_ASSERT(n_bytes < sizeof text);
    memset(text, 'a' + (int)(n % 26), n_bytes);
    snprintf(text, sizeof text, "%d", (int)n);
    ckv_value_write(&b, &(ckv_value){.tag = CKV_TAG_STR,
                                     .ptr = (const uint8_t *)text,
                                     .n_bytes = n_bytes < strlen(text) ? strlen(text) : n_bytes});
    return (ckv_value_bytes){b.ptr, b.len};
}

static inline ckv_status w_dag(ckv_datastore *d, const char *name, uint32_t *number)
{
    return ckv_datastore_find_dag(d, name, strlen(name), true, number);
}

/* One of the first so many; the default one if that is purged. */
static inline ckv_status w_any_dag(ckv_datastore *d, uint64_t n_dags, uint32_t *number)
{
    const ckv_status s = w_dag(d, w_dags[t_below(n_dags)], number);
    if (s != CKV_ESTALE) return s;
    *number = 0;
    return CKV_OK;
}

static inline ckv_status w_put(ckv_datastore *d, const char *dag, const char *key, uint64_t value)
{
    uint32_t number;
    CKV_TRY(w_dag(d, dag, &number));
    const ckv_value_bytes v = w_value(value, 1);
    return ckv_datastore_put(d, number,
                             (ckv_store_key){(const uint8_t *)key, (uint32_t)strlen(key), false},
                             v.ptr, v.n_bytes, w_ms++);
}

static inline ckv_status w_commit(ckv_datastore *d)
{
    uint32_t dag, change;
    return ckv_datastore_commit(d, w_ms++, NULL, 0, &dag, &change);
}

/* A lone edit. n_dags: it may be in any of the first so many. */
static inline ckv_status w_edit(ckv_datastore *d, uint64_t n_dags)
{
    uint32_t number;
    CKV_TRY(w_any_dag(d, n_dags, &number));
    const ckv_store_key key = w_key(t_below(W_KEYS));
    switch (t_below(8)) {
    case 0: return ckv_datastore_delete(d, number, key, w_ms++);
    case 1:
    case 2:
        return ckv_datastore_count(d, w_counter(t_below(W_COUNTERS)), (int64_t)t_below(100) - 50,
                                   w_ms++);
    default: {
        const ckv_value_bytes v = w_value(t_below(1000), t_one_in(8) ? 2000 : t_below(60));
        return ckv_datastore_put(d, number, key, v.ptr, v.n_bytes, w_ms++);
    }
    }
}

static inline ckv_status w_batch(ckv_datastore *d, uint64_t n_dags)
{
    ckv_batch *b;
    uint32_t number, dag, change;
    CKV_TRY(ckv_batch_new(&b, d));
    ckv_status s = CKV_OK;
    for (uint64_t n = 1 + t_below(12); n && s == CKV_OK; n--) {
        const ckv_store_key key = w_key(t_below(W_KEYS));
        s = w_any_dag(d, n_dags, &number);
        if (s == CKV_OK && t_one_in(5)) {
            s = ckv_batch_delete(b, number, key);
        } else if (s == CKV_OK && t_one_in(4)) {
            s = ckv_batch_count(b, w_counter(t_below(W_COUNTERS)), (int64_t)t_below(9));
        } else if (s == CKV_OK) {
            const ckv_value_bytes v = w_value(t_below(1000), t_below(200));
            s = ckv_batch_put(b, number, key, v.ptr, v.n_bytes);
        }
    }
    if (s == CKV_OK) s = ckv_batch_write(b, w_ms++, t_one_in(3) ? "why" : NULL, 3, &dag, &change);
    ckv_batch_free(b);
    return s;
}

/* What `from` has and `to` lacks. *news: something came. */
static inline ckv_status w_send(ckv_datastore *from, ckv_datastore *to, ckv_alloc a, bool *news)
{
    ckv_buf bundle = ckv_buf_init(a);
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, a);
    ckv_status s = ckv_datastore_export_to(from, to, &bundle);
    if (s == CKV_OK) s = ckv_datastore_apply(to, bundle.ptr, bundle.len, &report, &err);
    if (news) *news = report.applied.len + report.voided.len > 0;
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    return s;
}

/* ---- what it shows: for each key its values, the shown one first, each with DAG, change and index; for each counter its total and whose it is */

static inline void w_put_op(ckv_buf *out, const ckv_datastore *d, uint32_t dag, uint32_t change,
                            uint32_t index, ckv_value_bytes value)
{
    const ckv_dag_info info = ckv_datastore_dag(d, dag);
    ckv_buf_blob(out, info.name, info.name_bytes);
    ckv_buf_bytes(out, ckv_doc_id_of(info.doc, change), 32);
    ckv_buf_varint(out, index);
    ckv_buf_blob(out, value.ptr, value.n_bytes);
}

static inline void w_put_key(ckv_buf *out, ckv_store_key key)
{
    ckv_buf_u8(out, key.is_bytes);
    ckv_buf_blob(out, key.ptr, key.n_bytes);
}

static inline void w_look_key(ckv_datastore *d, ckv_store_key key, ckv_buf *out)
{
    const ckv_shown_ops *ops;
    T_EQ(ckv_datastore_conflicts(d, key, &ops), CKV_OK);
    if (ops->len == 0) return;
    w_put_key(out, key);
    ckv_buf_varint(out, ops->len);
    for (size_t i = 0; i < ops->len; i++) {
        const ckv_shown_op *op = &ops->ptr[i];
        w_put_op(out, d, op->dag, op->change, op->index, op->value);
    }
}

static inline void w_look_counter(ckv_datastore *d, ckv_store_key name, ckv_buf *out)
{
    ckv_i128 total;
    ckv_buf parts = ckv_buf_init(ckv_alloc_libc);
    w_put_key(out, name);
    T_EQ(ckv_datastore_total(d, name, &total), CKV_OK);
    ckv_buf_bytes(out, &total, sizeof total);
    T_EQ(ckv_datastore_by_author(d, name, &parts), CKV_OK);
    for (size_t i = 0; i < parts.len; i += sizeof(ckv_part_total)) {
        ckv_part_total part;
        memcpy(&part, parts.ptr + i, sizeof part);
        if (part.total == 0) continue; /* who counted to and fro */
        ckv_buf_bytes(out, &part.author, 32);
        ckv_buf_bytes(out, &part.total, sizeof part.total);
    }
    ckv_buf_fini(&parts);
}

/* All keys that a query finds, in order, with the values that get finds. */
static inline ckv_buf w_look(ckv_datastore *d)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_query *q;
    uint64_t n = 0, len;
    T_EQ(ckv_query_new(&q, d, NULL, NULL, false), CKV_OK);
    for (;;) {
        ckv_store_key key, last = {NULL, 0, false};
        ckv_value_bytes value, got;
        const ckv_status s = ckv_query_next(q, &key, &value);
        if (s == CKV_ENOENT) break;
        T_EQ(s, CKV_OK);
        uint8_t name[CKV_MAX_KEY];
        ckv_buf copy = ckv_buf_init(ckv_alloc_libc);
        if (key.n_bytes) memcpy(name, key.ptr, key.n_bytes);
        key.ptr = name;
        ckv_buf_bytes(&copy, value.ptr, value.n_bytes);
        T_CHECK(n == 0 || ckv_store_key_compare(last, key) <= 0);
        T_EQ(ckv_datastore_get(d, key, &got), CKV_OK);
        T_BYTES(got.ptr, got.n_bytes, copy.ptr, copy.len);
        ckv_buf_fini(&copy);
        w_look_key(d, key, &out);
        last = key;
        n++;
    }
    ckv_query_free(q);
    T_EQ(ckv_datastore_len(d, &len), CKV_OK);
    T_EQ(n, len);
    for (uint64_t i = 0; i < W_COUNTERS; i++) w_look_counter(d, w_counter(i), &out);
    return out;
}

/* ---- the oracle */

typedef struct w_place { /* in the total order */
    uint64_t clock;
    const ckv_id32 *id;
    uint32_t index;
} w_place;

typedef struct w_op {
    uint32_t dag, change, index;
    w_place at, by;                /* at: of a PART, that of what it restates. by: its own */
    const ckv_id32 *lane, *author; /* of `at` */
    ckv_kv_op op;                  /* in the bytes of its body */
} w_op;
CKV_VEC(w_ops, w_op);

typedef struct w_history { /* of a DAG: who is in whose past */
    uint32_t n;
    uint8_t *past; /* n x n */
    uint64_t *clock;
} w_history;

typedef struct w_world {
    ckv_datastore *d;
    w_history dags[8];
    w_ops ops;
    ckv_buf bodies[8][512]; /* by DAG and change */
} w_world;

static inline w_history w_read_history(ckv_doc *doc)
{
    w_history h = {.n = ckv_doc_n_changes(doc)};
    T_CHECK(h.n <= 512);
    h.past = calloc((size_t)h.n * h.n + 1, 1);
    h.clock = calloc(h.n + 1, sizeof *h.clock);
    for (uint32_t c = 0; c < h.n; c++) {
        ckv_change_info info;
        uint32_t before[33], n = 0;
        ckv_doc_change(doc, c, &info);
        for (; n < info.n_parents; n++) before[n] = info.parents[n];
        if (info.prev) T_EQ(ckv_doc_find(doc, info.prev, &before[n++]), CKV_OK);
        h.past[(size_t)c * h.n + c] = 1;
        for (uint32_t i = 0; i < n; i++) {
            T_CHECK(before[i] < c);
            for (uint32_t k = 0; k < h.n; k++)
                h.past[(size_t)c * h.n + k] |= h.past[(size_t)before[i] * h.n + k];
            if (h.clock[before[i]] > h.clock[c]) h.clock[c] = h.clock[before[i]];
        }
        h.clock[c]++;
    }
    return h;
}

/* What a PART restates, if it has a right to: something of its causal past, of another lane of its author. */
static inline bool w_find_part(const w_world *w, ckv_doc *doc, const ckv_change_info *by, w_op *op)
{
    const w_history *h = &w->dags[op->dag];
    ckv_change_info of;
    ckv_id32 id;
    uint32_t change;
    memcpy(&id, op->op.part_of, 32);
    if (ckv_doc_find(doc, &id, &change) != CKV_OK) return false;
    ckv_doc_change(doc, change, &of);
    if (!h->past[(size_t)op->change * h->n + change] || ckv_id32_eq(of.lane, by->lane) ||
        !ckv_id32_eq(of.author, by->author))
        return false;
    op->at = (w_place){h->clock[change], of.id, op->op.part_index};
    op->lane = of.lane;
    return true;
}

static inline void w_read_change(w_world *w, uint32_t dag, uint32_t change)
{
    const ckv_dag_info info = ckv_datastore_dag(w->d, dag);
    ckv_buf *bytes = &w->bodies[dag][change];
    ckv_change_info c;
    ckv_kv_body body;
    const char *why;
    ckv_doc_change(info.doc, change, &c);
    *bytes = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_dag_body(ckv_ds_dag(w->d, dag), change, bytes), CKV_OK);
    if (c.void_reason) return;
    T_EQ(ckv_kv_body_open(&body, bytes->ptr, bytes->len, &why), CKV_OK);
    w_op op = {.dag = dag, .change = change};
    for (; ckv_kv_body_next(&body, &op.op); op.index++) {
        op.at = op.by =
            (w_place){w->dags[dag].clock[change], ckv_doc_id_of(info.doc, change), op.index};
        op.lane = c.lane;
        op.author = c.author;
        if (op.op.kind != CKV_KV_PART || w_find_part(w, info.doc, &c, &op))
            T_EQ(w_ops_push(&w->ops, op), CKV_OK);
    }
    T_EQ(op.index, c.n_ops);
}

static inline int w_place_order(const w_place *a, const w_place *b)
{
    if (a->clock != b->clock) return a->clock < b->clock ? -1 : 1;
    const int order = memcmp(a->id, b->id, 32);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

static inline int w_order(const w_op *a, const w_op *b)
{
    const int order = w_place_order(&a->at, &b->at);
    if (order) return order;
    if (a->op.kind != b->op.kind) return a->op.kind == CKV_KV_PART ? 1 : -1;
    return w_place_order(&a->by, &b->by);
}

static inline int w_descending(const void *x, const void *y)
{
    return -w_order(*(const w_op *const *)x, *(const w_op *const *)y);
}

static inline bool w_supersedes(const w_world *w, const w_op *a, const w_op *b)
{
    if (a->dag == b->dag) {
        const w_history *h = &w->dags[a->dag];
        if (a->change == b->change) return a->index > b->index;
        return h->past[(size_t)a->change * h->n + b->change];
    }
    ckv_value_bytes names = a->op.names;
    const uint8_t *id;
    uint32_t index;
    while (ckv_kv_next_name(&names, &id, &index)) {
        if (index == b->index && memcmp(id, b->at.id, 32) == 0) return true;
    }
    return false;
}

static inline bool w_is_on(const w_op *op, ckv_store_key key)
{
    return !ckv_kv_is_count(op->op.kind) && ckv_store_key_compare(op->op.key, key) == 0;
}

static inline void w_tell_key(const w_world *w, ckv_store_key key, ckv_buf *out)
{
    const w_op *shown[256];
    size_t n = 0;
    for (size_t i = 0; i < w->ops.len; i++) {
        const w_op *b = &w->ops.ptr[i];
        bool stands = w_is_on(b, key) && b->op.kind == CKV_KV_PUT;
        for (size_t k = 0; k < w->ops.len && stands; k++) {
            const w_op *a = &w->ops.ptr[k];
            stands = a == b || !w_is_on(a, key) || !w_supersedes(w, a, b);
        }
        T_CHECK(n < 256);
        if (stands) shown[n++] = b;
    }
    if (n == 0) return;
    qsort(shown, n, sizeof *shown, w_descending);
    w_put_key(out, key);
    ckv_buf_varint(out, n);
    for (size_t i = 0; i < n; i++)
        w_put_op(out, w->d, shown[i]->dag, shown[i]->change, shown[i]->index, shown[i]->op.value);
}

static inline void w_tell_counter(const w_world *w, ckv_store_key name, ckv_buf *out)
{
    ckv_part_total parts[256];
    size_t n = 0;
    ckv_i128 total = 0;
    for (size_t i = 0; i < w->ops.len; i++) {
        const w_op *b = &w->ops.ptr[i];
        bool counts = ckv_kv_is_count(b->op.kind) && ckv_store_key_compare(b->op.key, name) == 0;
        for (size_t k = 0; k < w->ops.len && counts; k++) {
            const w_op *a = &w->ops.ptr[k];
            counts = !(ckv_kv_is_count(a->op.kind) && ckv_id32_eq(a->lane, b->lane) &&
                       ckv_store_key_compare(a->op.key, name) == 0 && w_order(a, b) > 0);
        }
        if (!counts) continue;
        size_t at = 0;
        while (at < n && memcmp(&parts[at].author, b->author, 32) < 0) at++;
        if (at == n || !ckv_id32_eq(&parts[at].author, b->author)) {
            T_CHECK(n < 256);
            memmove(parts + at + 1, parts + at, (n - at) * sizeof *parts);
            parts[at] = (ckv_part_total){*b->author, 0};
            n++;
        }
        parts[at].total += b->op.total;
        total += b->op.total;
    }
    w_put_key(out, name);
    ckv_buf_bytes(out, &total, sizeof total);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].total == 0) continue;
        ckv_buf_bytes(out, &parts[i].author, 32);
        ckv_buf_bytes(out, &parts[i].total, sizeof parts[i].total);
    }
}

/* What a replica that has all bodies must show. */
static inline ckv_buf w_tell(ckv_datastore *d)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    w_world *w = calloc(1, sizeof *w);
    T_CHECK(w);
    w->d = d;
    w->ops = (w_ops){.a = ckv_alloc_libc};
    for (uint32_t dag = 0; dag < ckv_datastore_n_dags(d); dag++) {
        const ckv_dag_info info = ckv_datastore_dag(d, dag);
        T_CHECK(dag < 8 && !info.purged);
        w->dags[dag] = w_read_history(info.doc);
        for (uint32_t c = 0; c < w->dags[dag].n; c++) w_read_change(w, dag, c);
    }
    for (uint64_t i = 0; i < W_KEYS; i++) w_tell_key(w, w_key(i), &out);
    for (uint64_t i = 0; i < W_COUNTERS; i++) w_tell_counter(w, w_counter(i), &out);
    for (uint32_t dag = 0; dag < ckv_datastore_n_dags(d); dag++) {
        for (uint32_t c = 0; c < w->dags[dag].n; c++) ckv_buf_fini(&w->bodies[dag][c]);
        free(w->dags[dag].past);
        free(w->dags[dag].clock);
    }
    w_ops_fini(&w->ops);
    free(w);
    return out;
}

/* ---- comparing */

static inline ckv_id32 w_root(ckv_datastore *d)
{
    ckv_id32 root;
    T_EQ(ckv_datastore_root(d, &root), CKV_OK);
    return root;
}

static inline void w_same(ckv_datastore *a, ckv_datastore *b)
{
    const ckv_id32 x = w_root(a), y = w_root(b);
    ckv_buf p = ckv_buf_init(ckv_alloc_libc), q = ckv_buf_init(ckv_alloc_libc);
    T_BYTES(&x, 32, &y, 32);
    T_EQ(ckv_datastore_heads(a, &p), CKV_OK);
    T_EQ(ckv_datastore_heads(b, &q), CKV_OK);
    T_BYTES(p.ptr, p.len, q.ptr, q.len);
    ckv_buf_fini(&p);
    ckv_buf_fini(&q);
    p = w_look(a);
    q = w_look(b);
    T_BYTES(p.ptr, p.len, q.ptr, q.len);
    ckv_buf_fini(&p);
    ckv_buf_fini(&q);
}

static inline void w_say(void *ctx, const char *line)
{
    *(int *)ctx += 1;
    fprintf(stderr, "%s\n", line);
}

/* Sound, by its own account. */
static inline void w_check(ckv_datastore *d)
{
    int n = 0;
    T_EQ(ckv_datastore_check(d, w_say, &n), CKV_OK);
    T_EQ(n, 0);
}

#endif
