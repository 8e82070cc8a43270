/* story.h -- what stories about documents share: replicas that edit at random and exchange bundles, and a mirror of nested values that
 * knows nothing of documents: it reads plain (doc/plain.h), follows patches (doc/patch.h), and can be compared.
 */
#ifndef CKV_TEST_STORY_H
#define CKV_TEST_STORY_H

#include "t.h"

#include "doc/counter.h"
#include "doc/cursor.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/list.h"
#include "doc/map.h"
#include "doc/patch.h"
#include "doc/plain.h"
#include "doc/set.h"
#include "doc/state.h"
#include "doc/text.h"
#include "doc/undo.h"
#include "doc/view.h"

/* ---- replicas */

static uint64_t s_nonces T_UNUSED; /* counted, so that a story is the same each time */

static uint8_t s_whos[256];           /* each is its own number's place */
static bool s_one_lane_each T_UNUSED; /* then the same nonce again for the same replica */

static inline void s_count_up(void *ctx, uint8_t *out, size_t n)
{
    memset(out, 0, n);
    if (s_one_lane_each) {
        out[0] = (uint8_t)((uint8_t *)ctx - s_whos);
        return;
    }
    s_nonces++;
    memcpy(out, &s_nonces, n < 8 ? n : 8);
}

static inline ckv_status s_new(ckv_doc **doc, ckv_alloc a, uint8_t who)
{
    const ckv_env env = {.alloc = a, .random = s_count_up, .random_ctx = &s_whos[who]};
    uint8_t seed[32] = {0};
    ckv_id32 id;
    ckv_identity identity;
    seed[0] = who;
    memset(&id, 0x2a, sizeof id);
    ckv_identity_from_seed(&identity, seed);
    *doc = NULL;
    return ckv_doc_new(doc, &env, &identity, &id);
}

static inline void s_check(ckv_doc *doc)
{
    const char *why = NULL;
    if (doc) T_VALID(ckv_doc_check(doc, &why), why);
}

static inline ckv_status s_commit(ckv_doc *doc)
{
    uint32_t change;
    return ckv_doc_commit(doc, 1700000000000 + (int64_t)ckv_doc_n_changes(doc), NULL, 0, &change);
}

static inline void s_heads(ckv_doc *doc, ckv_buf *out)
{
    size_t n;
    const uint32_t *heads = ckv_doc_heads(doc, &n);
    for (size_t i = 0; i < n; i++) ckv_buf_bytes(out, ckv_ids_at(&doc->graph.ids, heads[i]), 32);
}

/* What `from` has and `to` lacks. Both are closed. */
static inline ckv_status s_send(ckv_doc *from, ckv_doc *to, ckv_alloc a)
{
    ckv_buf bundle = ckv_buf_init(a), since = ckv_buf_init(a);
    ckv_report report;
    ckv_err err;
    ckv_report_init(&report, a);
    s_heads(to, &since);
    ckv_status s = since.status;
    if (s == CKV_OK)
        s = ckv_doc_export(from, (const ckv_id32 *)(const void *)since.ptr, since.len / 32, NULL, 0,
                           &bundle);
    if (s == CKV_OK) {
        s = ckv_doc_apply(to, bundle.ptr, bundle.len, &report, &err);
        if (s == CKV_ECORRUPT) fprintf(stderr, "corrupt at byte %zu: %s\n", err.offset, err.text);
    }
    if (s == CKV_OK) {
        for (size_t i = 0; i < report.refused.len; i += sizeof(ckv_refusal)) {
            ckv_refusal r;
            memcpy(&r, report.refused.ptr + i, sizeof r);
            fprintf(stderr, "refused: %s\n", r.reason);
        }
        for (size_t i = 0; i < report.voided.len; i += 32) {
            ckv_id32 id;
            uint32_t c;
            ckv_change_info info;
            memcpy(&id, report.voided.ptr + i, 32);
            T_EQ(ckv_doc_find(to, &id, &c), CKV_OK);
            ckv_doc_change(to, c, &info);
            fprintf(stderr, "void: %s\n", info.void_reason);
        }
        T_CHECK(report.refused.len == 0 && report.waiting.len == 0 && report.voided.len == 0);
    }
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&since);
    return s;
}

static inline void s_both_ways(ckv_doc *a, ckv_doc *b)
{
    T_EQ(s_commit(a), CKV_OK);
    T_EQ(s_commit(b), CKV_OK);
    T_EQ(s_send(a, b, ckv_alloc_libc), CKV_OK);
    T_EQ(s_send(b, a, ckv_alloc_libc), CKV_OK);
}

/* ---- the mirror */

typedef struct s_node s_node;
typedef struct s_named { /* an entry of a map, or a mark */
    uint8_t *key;
    size_t n_key;
    s_node *value;
} s_named;
typedef struct s_names {
    s_named *v;
    size_t n;
} s_names;
typedef struct s_char {
    uint32_t c;
    s_names marks;
} s_char;
struct s_node {
    uint8_t tag;
    uint8_t *raw; /* scalar: its plain; Counter: its 16 bytes */
    size_t n_raw;
    s_names map;
    s_node **kids; /* List, Set */
    size_t n_kids;
    s_char *chars;
    size_t n_chars;
    bool marks_known;
};

/* Everything a mirror allocates; freed in one go. */
typedef struct s_arena {
    void **v;
    size_t n, cap;
} s_arena;

static inline void *s_take(s_arena *a, size_t n)
{
    if (a->n == a->cap) {
        a->cap = a->cap ? 2 * a->cap : 64;
        a->v = realloc(a->v, a->cap * sizeof *a->v);
        T_CHECK(a->v);
    }
    void *p = calloc(1, n ? n : 1);
    T_CHECK(p);
    return a->v[a->n++] = p;
}

static inline void s_arena_free(s_arena *a)
{
    for (size_t i = 0; i < a->n; i++) free(a->v[i]);
    free(a->v);
    *a = (s_arena){0};
}

static inline uint8_t *s_copy(s_arena *a, const void *p, size_t n)
{
    uint8_t *out = s_take(a, n);
    if (n) memcpy(out, p, n);
    return out;
}

static inline s_node *s_names_get(const s_names *v, const uint8_t *key, size_t n)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->v[i].n_key == n && (n == 0 || memcmp(v->v[i].key, key, n) == 0))
            return v->v[i].value;
    }
    return NULL;
}

/* value NULL: takes it away. */
static inline void s_names_set(s_arena *a, s_names *v, const uint8_t *key, size_t n, s_node *value)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->v[i].n_key != n || (n && memcmp(v->v[i].key, key, n) != 0)) continue;
        if (value)
            v->v[i].value = value;
        else
            v->v[i] = v->v[--v->n];
        return;
    }
    T_CHECK(value);
    s_named *grown = s_take(a, (v->n + 1) * sizeof *grown);
    if (v->n) memcpy(grown, v->v, v->n * sizeof *grown);
    grown[v->n++] = (s_named){s_copy(a, key, n), n, value};
    v->v = grown;
}

typedef struct s_key {
    const uint8_t *p;
    size_t n;
} s_key;
typedef struct s_stream { /* of plain: keys are numbered over all of it */
    s_arena *a;
    ckv_rd r;
    s_key *keys;
    size_t n_keys;
} s_stream;

static inline s_stream s_open(s_arena *a, const uint8_t *p, size_t n)
{
    return (s_stream){.a = a, .r = ckv_rd_init(p, n)};
}

static inline s_key s_read_key(s_stream *s)
{
    const uint64_t k = ckv_rd_varint(&s->r);
    if (k) {
        T_CHECK(k <= s->n_keys);
        return s->keys[k - 1];
    }
    s_key key;
    key.n = (size_t)ckv_rd_varint(&s->r);
    key.p = ckv_rd_bytes(&s->r, key.n);
    T_CHECK(s->r.status == CKV_OK);
    if (s->n_keys % 64 == 0) {
        s_key *grown = s_take(s->a, (s->n_keys + 64) * sizeof *grown);
        if (s->n_keys) memcpy(grown, s->keys, s->n_keys * sizeof *grown);
        s->keys = grown;
    }
    return s->keys[s->n_keys++] = key;
}

static inline uint32_t s_next_char(const uint8_t **p)
{
    const uint8_t *s = *p;
    const unsigned n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) c = c << 6 | (s[i] & 0x3f);
    *p += n;
    return c;
}

static inline void s_read_chars(s_arena *a, const uint8_t *p, size_t n_bytes, s_node *out)
{
    const uint8_t *end = p + n_bytes;
    out->chars = s_take(a, n_bytes * sizeof *out->chars);
    while (p < end) out->chars[out->n_chars++].c = s_next_char(&p);
    T_CHECK(p == end);
}

static inline s_node *s_read(s_stream *s)
{
    s_node *x = s_take(s->a, sizeof *x);
    const uint8_t *start = s->r.p;
    x->tag = ckv_rd_u8(&s->r);
    switch (x->tag) {
    case CKV_TAG_NONE:
    case CKV_TAG_FALSE:
    case CKV_TAG_TRUE: break;
    case CKV_TAG_INT: ckv_rd_varint(&s->r); break;
    case CKV_TAG_FLOAT: ckv_rd_bytes(&s->r, 8); break;
    case CKV_TAG_STR:
    case CKV_TAG_BYTES: ckv_rd_bytes(&s->r, (size_t)ckv_rd_varint(&s->r)); break;
    case CKV_TAG_COUNTER: ckv_rd_bytes(&s->r, 16); break;
    case CKV_TAG_MAP: {
        const uint64_t n = ckv_rd_varint(&s->r);
        T_CHECK(s->r.status == CKV_OK);
        for (uint64_t i = 0; i < n; i++) {
            const s_key key = s_read_key(s);
            T_CHECK(!s_names_get(&x->map, key.p, key.n));
            s_names_set(s->a, &x->map, key.p, key.n, s_read(s));
        }
        return x;
    }
    case CKV_TAG_LIST:
    case CKV_TAG_SET: {
        x->n_kids = (size_t)ckv_rd_varint(&s->r);
        T_CHECK(s->r.status == CKV_OK);
        x->kids = s_take(s->a, x->n_kids * sizeof *x->kids);
        for (size_t i = 0; i < x->n_kids; i++) x->kids[i] = s_read(s);
        return x;
    }
    case CKV_TAG_TEXT: {
        const size_t n = (size_t)ckv_rd_varint(&s->r);
        const uint8_t *p = ckv_rd_bytes(&s->r, n);
        T_CHECK(s->r.status == CKV_OK);
        s_read_chars(s->a, p, n, x);
        return x;
    }
    default: t_fail(__FILE__, __LINE__, "not plain");
    }
    T_CHECK(s->r.status == CKV_OK);
    x->n_raw = (size_t)(s->r.p - start);
    x->raw = s_copy(s->a, start, x->n_raw);
    return x;
}

static inline int s_order_names(const void *x, const void *y)
{
    const s_named *a = x, *b = y;
    const int c = memcmp(a->key, b->key, a->n_key < b->n_key ? a->n_key : b->n_key);
    return c ? c : a->n_key < b->n_key ? -1 : a->n_key > b->n_key;
}

static inline bool s_same(const s_node *a, const s_node *b);

static inline bool s_same_names(const s_names *a, const s_names *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const s_node *other = s_names_get(b, a->v[i].key, a->v[i].n_key);
        if (!other || !s_same(a->v[i].value, other)) return false;
    }
    return true;
}

/* Under what a Set knows a member. */
static inline bool s_same_member(const s_node *a, const s_node *b)
{
    ckv_buf x = ckv_buf_init(ckv_alloc_libc), y = ckv_buf_init(ckv_alloc_libc);
    const s_node *const v[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        ckv_rd r = ckv_rd_init(v[i]->raw, v[i]->n_raw);
        ckv_value value = {.tag = (ckv_tag)ckv_rd_u8(&r)};
        if (value.tag == CKV_TAG_INT) {
            value.i64 = ckv_unzigzag(ckv_rd_varint(&r));
        } else if (value.tag == CKV_TAG_FLOAT) {
            memcpy(&value.f64, ckv_rd_bytes(&r, 8), 8);
        } else if (value.tag >= CKV_TAG_STR) {
            value.n_bytes = (size_t)ckv_rd_varint(&r);
            value.ptr = ckv_rd_bytes(&r, value.n_bytes);
        }
        ckv_value_member(i ? &y : &x, &value);
    }
    const bool same = x.len == y.len && memcmp(x.ptr, y.ptr, x.len) == 0;
    ckv_buf_fini(&x);
    ckv_buf_fini(&y);
    return same;
}

/* Marks count where both know them. */
static inline bool s_same(const s_node *a, const s_node *b)
{
    if (a->tag != b->tag || a->n_raw != b->n_raw || a->n_kids != b->n_kids ||
        a->n_chars != b->n_chars || (a->n_raw && memcmp(a->raw, b->raw, a->n_raw) != 0))
        return false;
    if (a->tag == CKV_TAG_SET) {
        for (size_t i = 0; i < a->n_kids; i++) {
            bool found = false;
            for (size_t k = 0; k < b->n_kids; k++) found |= s_same_member(a->kids[i], b->kids[k]);
            if (!found) return false;
        }
        return true;
    }
    for (size_t i = 0; i < a->n_kids; i++) {
        if (!s_same(a->kids[i], b->kids[i])) return false;
    }
    for (size_t i = 0; i < a->n_chars; i++) {
        if (a->chars[i].c != b->chars[i].c) return false;
        if (a->marks_known && b->marks_known &&
            !s_same_names(&a->chars[i].marks, &b->chars[i].marks))
            return false;
    }
    return s_same_names(&a->map, &b->map);
}

static inline void s_print(const s_node *x)
{
    switch (x->tag) {
    case CKV_TAG_MAP:
        fprintf(stderr, "{");
        for (size_t i = 0; i < x->map.n; i++) {
            fprintf(stderr, "%.*s: ", (int)x->map.v[i].n_key, (const char *)x->map.v[i].key);
            s_print(x->map.v[i].value);
            fprintf(stderr, ", ");
        }
        fprintf(stderr, "}");
        break;
    case CKV_TAG_LIST:
    case CKV_TAG_SET:
        fprintf(stderr, x->tag == CKV_TAG_SET ? "set[" : "[");
        for (size_t i = 0; i < x->n_kids; i++) {
            s_print(x->kids[i]);
            fprintf(stderr, ", ");
        }
        fprintf(stderr, "]");
        break;
    case CKV_TAG_TEXT:
        fprintf(stderr, "\"");
        for (size_t i = 0; i < x->n_chars; i++) {
            if (x->chars[i].marks.n) {
                fprintf(stderr, "<");
                for (size_t k = 0; k < x->chars[i].marks.n; k++) {
                    fprintf(stderr, "%.*s=", (int)x->chars[i].marks.v[k].n_key,
                            (const char *)x->chars[i].marks.v[k].key);
                    s_print(x->chars[i].marks.v[k].value);
                }
                fprintf(stderr, ">");
            }
            fprintf(stderr, x->chars[i].c < 127 ? "%c" : "\\u%x", x->chars[i].c);
        }
        fprintf(stderr, x->marks_known ? "\"" : "\"?");
        break;
    default:
        fprintf(stderr, "%d", x->tag);
        for (size_t i = 1; i < x->n_raw && i < 10; i++) fprintf(stderr, ".%02x", x->raw[i]);
    }
}

#define S_SAME(a, b)                                                                               \
    do {                                                                                           \
        const s_node *s_a_ = (a), *s_b_ = (b);                                                     \
        if (!s_same(s_a_, s_b_)) {                                                                 \
            s_print(s_a_);                                                                         \
            fprintf(stderr, "\n");                                                                 \
            s_print(s_b_);                                                                         \
            fprintf(stderr, "\n");                                                                 \
            t_fail(__FILE__, __LINE__, "values differ: " #a ", " #b);                              \
        }                                                                                          \
    } while (0)

/* ---- a document in the mirror: plain, and the same by the other ways of reading */

static inline s_node *s_of_value(s_arena *a, const ckv_value *v)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_u8(&b, (uint8_t)v->tag);
    switch ((unsigned)v->tag) {
    case CKV_TAG_INT: ckv_buf_zigzag(&b, v->i64); break;
    case CKV_TAG_FLOAT: ckv_buf_bytes(&b, &v->f64, 8); break;
    case CKV_TAG_STR:
    case CKV_TAG_BYTES: ckv_buf_blob(&b, v->ptr, v->n_bytes); break;
    default: break;
    }
    s_stream s = s_open(a, b.ptr, b.len);
    s_node *x = s_read(&s);
    ckv_buf_fini(&b);
    return x;
}

static inline void s_agree(s_arena *a, ckv_doc *doc, const ckv_view *at, uint32_t container,
                           s_node *x);

static inline void s_agree_value(s_arena *a, ckv_doc *doc, const ckv_view *at, const ckv_value *v,
                                 s_node *x)
{
    T_EQ(x->tag, v->tag);
    if (ckv_tag_is_scalar(v->tag))
        S_SAME(x, s_of_value(a, v));
    else
        s_agree(a, doc, at, v->container, x);
}

static inline void s_agree_spans(s_arena *a, ckv_doc *doc, const ckv_view *at, uint32_t text,
                                 s_node *x)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_text_chars(doc, at, text, &b), CKV_OK);
    T_EQ(b.len / 4, x->n_chars);
    for (size_t i = 0; i < x->n_chars; i++) {
        uint32_t c;
        memcpy(&c, b.ptr + 4 * i, 4);
        T_EQ(c, x->chars[i].c);
    }
    ckv_buf_clear(&b);
    T_EQ(ckv_text_spans(doc, at, text, &b), CKV_OK);
    s_stream s = s_open(a, b.ptr, b.len);
    const s_node *spans = s_read(&s), *last = NULL;
    T_CHECK(ckv_rd_done(&s.r) && spans->tag == CKV_TAG_LIST);
    size_t done = 0;
    for (size_t i = 0; i < spans->n_kids; i++) {
        const s_node *span = spans->kids[i];
        T_CHECK(span->tag == CKV_TAG_LIST && span->n_kids == 2 &&
                span->kids[0]->tag == CKV_TAG_STR);
        T_CHECK(!last || !s_same(last, span->kids[1])); /* as long as they can be */
        last = span->kids[1];
        ckv_rd r = ckv_rd_init(span->kids[0]->raw + 1, span->kids[0]->n_raw - 1);
        const size_t n = (size_t)ckv_rd_varint(&r);
        s_node piece = {0};
        s_read_chars(a, ckv_rd_bytes(&r, n), n, &piece);
        T_CHECK(piece.n_chars > 0);
        for (size_t k = 0; k < piece.n_chars; k++, done++) {
            T_CHECK(done < x->n_chars);
            T_EQ(x->chars[done].c, piece.chars[k].c);
            for (size_t m = 0; m < last->map.n; m++)
                s_names_set(a, &x->chars[done].marks, last->map.v[m].key, last->map.v[m].n_key,
                            last->map.v[m].value);
        }
    }
    T_EQ(done, x->n_chars);
    x->marks_known = true;
    ckv_buf_fini(&b);
}

/* Checks that maps, lists, texts and sets read one by one say what plain says, and learns the marks. */
static inline void s_agree(s_arena *a, ckv_doc *doc, const ckv_view *at, uint32_t container,
                           s_node *x)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_doc_kind(doc, container), x->tag);
    switch ((unsigned)x->tag) {
    case CKV_TAG_MAP:
        T_EQ(ckv_map_entries(doc, at, container, &b), CKV_OK);
        T_EQ(b.len / sizeof(ckv_entry), x->map.n);
        if (!at) T_EQ(ckv_map_len(doc, container), x->map.n);
        for (size_t i = 0; i < x->map.n; i++) {
            ckv_entry e;
            ckv_value v;
            memcpy(&e, b.ptr + i * sizeof e, sizeof e);
            T_BYTES(e.key, e.key_bytes, x->map.v[i].key, x->map.v[i].n_key);
            T_CHECK(i == 0 || s_order_names(&x->map.v[i - 1], &x->map.v[i]) < 0);
            T_EQ(ckv_map_get_at(doc, at, container, e.key, e.key_bytes, &v), CKV_OK);
            T_EQ(v.tag, e.value.tag);
            s_agree_value(a, doc, at, &e.value, x->map.v[i].value);
            if (ckv_doc_is_open(doc)) continue;
            ckv_buf conflicts = ckv_buf_init(ckv_alloc_libc);
            T_EQ(ckv_map_conflicts(doc, at, container, e.key, e.key_bytes, &conflicts), CKV_OK);
            T_CHECK(conflicts.len > 0);
            ckv_conflict first;
            memcpy(&first, conflicts.ptr, sizeof first);
            T_EQ(first.value.tag, e.value.tag);
            ckv_buf_fini(&conflicts);
        }
        break;
    case CKV_TAG_LIST:
        T_EQ(ckv_list_values(doc, at, container, 0, SIZE_MAX, &b), CKV_OK);
        T_EQ(b.len / sizeof(ckv_value), x->n_kids);
        if (!at) T_EQ(ckv_list_len(doc, container), x->n_kids);
        for (size_t i = 0; i < x->n_kids; i++) {
            ckv_value v;
            memcpy(&v, b.ptr + i * sizeof v, sizeof v);
            s_agree_value(a, doc, at, &v, x->kids[i]);
            ckv_buf conflicts = ckv_buf_init(ckv_alloc_libc);
            if (!ckv_doc_is_open(doc) && t_one_in(8))
                T_EQ(ckv_list_conflicts(doc, at, container, i, &conflicts), CKV_OK);
            ckv_buf_fini(&conflicts);
        }
        break;
    case CKV_TAG_SET:
        T_EQ(ckv_set_members(doc, at, container, &b), CKV_OK);
        T_EQ(b.len / sizeof(ckv_value), x->n_kids);
        if (!at) T_EQ(ckv_set_len(doc, container), x->n_kids);
        for (size_t i = 0; i < x->n_kids; i++) {
            ckv_value v;
            memcpy(&v, b.ptr + i * sizeof v, sizeof v);
            S_SAME(s_of_value(a, &v), x->kids[i]);
            if (!at) T_CHECK(ckv_set_has(doc, container, &v));
        }
        break;
    case CKV_TAG_COUNTER: {
        ckv_i128 total;
        T_EQ(ckv_counter_total(doc, at, container, &total), CKV_OK);
        T_CHECK(memcmp(&total, x->raw + 1, 16) == 0);
        break;
    }
    default: s_agree_spans(a, doc, at, container, x);
    }
    ckv_buf_fini(&b);
}

static inline s_node *s_parse(s_arena *a, const ckv_buf *b)
{
    s_stream s = s_open(a, b->ptr, b->len);
    s_node *x = s_read(&s);
    T_CHECK(ckv_rd_done(&s.r));
    return x;
}

/* The document, now or at a version. */
static inline s_node *s_load(s_arena *a, ckv_doc *doc, const ckv_view *at)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_plain_write(doc, at, CKV_ROOT, &b), CKV_OK);
    s_node *x = s_parse(a, &b);
    s_agree(a, doc, at, CKV_ROOT, x);
    ckv_buf_fini(&b);
    return x;
}

/* ---- patches */

static inline s_node *s_read_side(s_stream *s)
{
    T_CHECK(s->r.p < s->r.end);
    if (*s->r.p == CKV_PATCH_NOTHING) {
        ckv_rd_u8(&s->r);
        return NULL;
    }
    return s_read(s);
}

static inline s_node *s_walk_path(s_stream *s, s_node *root)
{
    s_node *x = root;
    const uint64_t n = ckv_rd_varint(&s->r);
    for (uint64_t i = 0; i < n; i++) {
        if (ckv_rd_u8(&s->r)) {
            const uint64_t at = ckv_rd_varint(&s->r);
            T_CHECK(x->tag == CKV_TAG_LIST && at < x->n_kids);
            x = x->kids[at];
        } else {
            const s_key key = s_read_key(s);
            T_CHECK(x->tag == CKV_TAG_MAP);
            x = s_names_get(&x->map, key.p, key.n);
            T_CHECK(x);
        }
    }
    return x;
}

static inline void s_splice_kids(s_arena *a, s_node *x, size_t at, size_t gone, s_node **in,
                                 size_t n)
{
    T_CHECK(at + gone <= x->n_kids);
    s_node **v = s_take(a, (x->n_kids - gone + n) * sizeof *v);
    if (at) memcpy(v, x->kids, at * sizeof *v);
    if (n) memcpy(v + at, in, n * sizeof *v);
    if (x->n_kids - at - gone)
        memcpy(v + at + n, x->kids + at + gone, (x->n_kids - at - gone) * sizeof *v);
    x->kids = v;
    x->n_kids += n - gone;
}

static inline void s_splice_chars(s_arena *a, s_node *x, size_t at, size_t gone, const s_char *in,
                                  size_t n)
{
    T_CHECK(at + gone <= x->n_chars);
    s_char *v = s_take(a, (x->n_chars - gone + n) * sizeof *v);
    if (at) memcpy(v, x->chars, at * sizeof *v);
    if (n) memcpy(v + at, in, n * sizeof *v);
    if (x->n_chars - at - gone)
        memcpy(v + at + n, x->chars + at + gone, (x->n_chars - at - gone) * sizeof *v);
    x->chars = v;
    x->n_chars += n - gone;
}

static inline s_node s_chars_of(s_arena *a, const s_node *str)
{
    s_node out = {0};
    T_CHECK(str && str->tag == CKV_TAG_STR);
    ckv_rd r = ckv_rd_init(str->raw + 1, str->n_raw - 1);
    const size_t n = (size_t)ckv_rd_varint(&r);
    s_read_chars(a, ckv_rd_bytes(&r, n), n, &out);
    T_CHECK(out.n_chars);
    return out;
}

static inline void s_patch_map(s_arena *a, s_node *x, bool set, const uint8_t *key, size_t n_key,
                               s_node *old, s_node *new)
{
    T_CHECK(x->tag == CKV_TAG_MAP && set == (new != NULL));
    const s_node *was = s_names_get(&x->map, key, n_key);
    T_CHECK(!was == !old);
    if (old) S_SAME(was, old);
    s_names_set(a, &x->map, key, n_key, new);
}

static inline void s_patch_set(s_arena *a, s_node *x, s_node *old, s_node *new)
{
    T_CHECK(x->tag == CKV_TAG_SET);
    for (size_t i = 0; i < x->n_kids; i++) {
        if (new) T_CHECK(!s_same_member(x->kids[i], new));
        if (!old || !s_same_member(x->kids[i], old)) continue;
        s_splice_kids(a, x, i, 1, NULL, 0);
        old = NULL;
    }
    T_CHECK(!old);
    if (new) s_splice_kids(a, x, x->n_kids, 0, &new, 1);
}

static inline void s_patch_marks(s_arena *a, s_node *x, size_t start, size_t end, const s_node *old,
                                 const s_node *new)
{
    T_CHECK(x->tag == CKV_TAG_TEXT && start < end && end <= x->n_chars);
    T_CHECK(old && new && old->tag == CKV_TAG_MAP &&new->tag == CKV_TAG_MAP);
    for (size_t i = start; i < end && x->marks_known; i++) {
        s_names *marks = &x->chars[i].marks;
        /* chars share their marks when copied: an own copy first */
        s_named *own = s_take(a, (marks->n + 1) * sizeof *own);
        if (marks->n) memcpy(own, marks->v, marks->n * sizeof *own);
        marks->v = own;
        for (size_t k = 0; k < old->map.n; k++) {
            const s_named *m = &old->map.v[k];
            const s_node *was = s_names_get(marks, m->key, m->n_key);
            T_CHECK(was && s_same(was, m->value));
            s_names_set(a, marks, m->key, m->n_key, NULL);
        }
        for (size_t k = 0; k < new->map.n; k++) {
            const s_named *m = &new->map.v[k];
            T_CHECK(!s_names_get(marks, m->key, m->n_key));
            s_names_set(a, marks, m->key, m->n_key, m->value);
        }
    }
}

static inline void s_follow(s_arena *a, s_node *root, const uint8_t *p, size_t n)
{
    s_stream s = s_open(a, p, n);
    s_node *x = NULL;
    while (s.r.p < s.r.end) {
        const uint8_t kind = ckv_rd_u8(&s.r);
        if (kind == CKV_PATCH_PATH) {
            x = s_walk_path(&s, root);
            continue;
        }
        const uint8_t *key = NULL;
        size_t pos = 0, end = 0;
        if (kind == CKV_PATCH_MAP_SET || kind == CKV_PATCH_MAP_REMOVE) {
            pos = (size_t)ckv_rd_varint(&s.r);
            key = ckv_rd_bytes(&s.r, pos);
        } else if (kind <= CKV_PATCH_TEXT_MARK) {
            pos = (size_t)ckv_rd_varint(&s.r);
            if (kind == CKV_PATCH_TEXT_MARK) end = (size_t)ckv_rd_varint(&s.r);
        }
        s_node *old = s_read_side(&s), *new = s_read_side(&s);
        T_CHECK(x);
        switch (kind) {
        case CKV_PATCH_MAP_SET: s_patch_map(a, x, true, key, pos, old, new); break;
        case CKV_PATCH_MAP_REMOVE: s_patch_map(a, x, false, key, pos, old, new); break;
        case CKV_PATCH_LIST_INSERT:
            T_CHECK(x->tag == CKV_TAG_LIST && !old && new &&new->tag == CKV_TAG_LIST);
            s_splice_kids(a, x, pos, 0, new->kids, new->n_kids);
            break;
        case CKV_PATCH_LIST_REMOVE:
            T_CHECK(x->tag == CKV_TAG_LIST && !new &&old && old->tag == CKV_TAG_LIST);
            T_CHECK(pos + old->n_kids <= x->n_kids);
            for (size_t i = 0; i < old->n_kids; i++) S_SAME(x->kids[pos + i], old->kids[i]);
            s_splice_kids(a, x, pos, old->n_kids, NULL, 0);
            break;
        case CKV_PATCH_LIST_SET:
            T_CHECK(x->tag == CKV_TAG_LIST && old && new &&pos < x->n_kids);
            S_SAME(x->kids[pos], old);
            x->kids[pos] = new;
            break;
        case CKV_PATCH_LIST_MOVE: {
            T_CHECK(x->tag == CKV_TAG_LIST && !old && new &&new->tag == CKV_TAG_INT);
            ckv_rd r = ckv_rd_init(new->raw + 1, new->n_raw - 1);
            const size_t to = (size_t)ckv_unzigzag(ckv_rd_varint(&r));
            T_CHECK(pos < x->n_kids && to != pos);
            s_node *moved = x->kids[pos];
            s_splice_kids(a, x, pos, 1, NULL, 0);
            s_splice_kids(a, x, to, 0, &moved, 1);
            break;
        }
        case CKV_PATCH_TEXT_INSERT: {
            T_CHECK(x->tag == CKV_TAG_TEXT && !old);
            const s_node in = s_chars_of(a, new);
            s_splice_chars(a, x, pos, 0, in.chars, in.n_chars);
            break;
        }
        case CKV_PATCH_TEXT_REMOVE: {
            T_CHECK(x->tag == CKV_TAG_TEXT && !new);
            const s_node out = s_chars_of(a, old);
            T_CHECK(pos + out.n_chars <= x->n_chars);
            for (size_t i = 0; i < out.n_chars; i++) T_EQ(x->chars[pos + i].c, out.chars[i].c);
            s_splice_chars(a, x, pos, out.n_chars, NULL, 0);
            break;
        }
        case CKV_PATCH_TEXT_MARK: s_patch_marks(a, x, pos, end, old, new); break;
        case CKV_PATCH_SET_ADD:
            T_CHECK(new);
            s_patch_set(a, x, old, new);
            break;
        case CKV_PATCH_SET_DISCARD:
            T_CHECK(old && !new);
            s_patch_set(a, x, old, NULL);
            break;
        case CKV_PATCH_COUNT:
            T_CHECK(x->tag == CKV_TAG_COUNTER && old && new);
            S_SAME(x, old);
            x->raw = new->raw;
            break;
        default: t_fail(__FILE__, __LINE__, "no such patch");
        }
    }
    T_CHECK(ckv_rd_done(&s.r));
}

/* ---- random edits */

static const ckv_value *s_scalar(void)
{
    static const ckv_value pool[] = {
        {.tag = CKV_TAG_NONE},
        {.tag = CKV_TAG_FALSE},
        {.tag = CKV_TAG_TRUE},
        {.tag = CKV_TAG_INT, .i64 = 1},
        {.tag = CKV_TAG_INT, .i64 = 0},
        {.tag = CKV_TAG_INT, .i64 = INT64_MIN},
        {.tag = CKV_TAG_INT, .i64 = 77},
        {.tag = CKV_TAG_FLOAT, .f64 = 1.0},
        {.tag = CKV_TAG_FLOAT, .f64 = -0.0},
        {.tag = CKV_TAG_FLOAT, .f64 = 2.5},
        {.tag = CKV_TAG_FLOAT, .f64 = __builtin_nan("")},
        {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)"", .n_bytes = 0},
        {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)"abc", .n_bytes = 3},
        {.tag = CKV_TAG_STR, .ptr = (const uint8_t *)"a longer string, \xc3\xa9", .n_bytes = 19},
        {.tag = CKV_TAG_BYTES, .ptr = (const uint8_t *)"abc", .n_bytes = 3},
        {.tag = CKV_TAG_BYTES, .ptr = (const uint8_t *)"\0\xff", .n_bytes = 2},
    };
    return &pool[t_below(sizeof pool / sizeof *pool)];
}

static inline ckv_value s_value(ckv_doc *doc, uint32_t holder)
{
    if (t_one_in(3) && ckv_doc_depth(doc, holder) < 4)
        return (ckv_value){.tag = (ckv_tag)(CKV_TAG_MAP + t_below(5))};
    return *s_scalar();
}

static const char *const s_keys[] = {"", "a", "b", "key", "z"};
#define S_N_KEYS 5

/* Random nested values as plain; *n_keys: of the stream so far. */
static inline void s_plain(ckv_buf *out, unsigned depth, uint64_t *n_keys)
{
    const unsigned kind = depth < 3 ? (unsigned)t_below(7) : 6;
    if (kind >= 5) {
        const ckv_value *v = s_scalar();
        ckv_buf_u8(out, (uint8_t)v->tag);
        if (v->tag == CKV_TAG_INT) ckv_buf_zigzag(out, v->i64);
        if (v->tag == CKV_TAG_FLOAT) ckv_buf_bytes(out, &v->f64, 8);
        if (v->tag >= CKV_TAG_STR) ckv_buf_blob(out, v->ptr, v->n_bytes);
        return;
    }
    const uint8_t tag = (uint8_t)(CKV_TAG_MAP + kind);
    const uint64_t n = t_below(4);
    ckv_buf_u8(out, tag);
    switch (tag) {
    case CKV_TAG_MAP:
        ckv_buf_varint(out, n);
        for (uint64_t i = 0; i < n;
             i++) { /* i-th key of those that this stream knows, or a new one */
            if (i < *n_keys && t_one_in(2)) {
                ckv_buf_varint(out, i + 1);
            } else {
                char key[16];
                const int len = snprintf(key, sizeof key, "n%llu", (unsigned long long)*n_keys);
                ckv_buf_varint(out, 0);
                ckv_buf_blob(out, key, (size_t)len);
                ++*n_keys;
            }
            s_plain(out, depth + 1, n_keys);
        }
        break;
    case CKV_TAG_LIST:
        ckv_buf_varint(out, n);
        for (uint64_t i = 0; i < n; i++) s_plain(out, depth + 1, n_keys);
        break;
    case CKV_TAG_SET:
        ckv_buf_varint(out, n);
        for (uint64_t i = 0; i < n; i++) {
            ckv_buf_u8(out, CKV_TAG_INT);
            ckv_buf_zigzag(out, (int64_t)i);
        }
        break;
    case CKV_TAG_COUNTER: {
        const ckv_i128 total = (int64_t)t_below(1000) - 500;
        ckv_buf_bytes(out, &total, 16);
        break;
    }
    default: ckv_buf_blob(out, "some text", (size_t)t_below(10)); break;
    }
}

/* A key that plain wrote twice in one map makes no map: these are. */
static inline ckv_status s_edit_plain(ckv_doc *doc, uint32_t c)
{
    ckv_buf plain = ckv_buf_init(ckv_alloc_libc), made = ckv_buf_init(doc->env.alloc);
    uint64_t n_keys = 0;
    ckv_status s;
    const char *key = s_keys[t_below(S_N_KEYS)];
    if (ckv_doc_kind(doc, c) == CKV_KIND_MAP) {
        ckv_value v;
        s_plain(&plain, 0, &n_keys);
        if (plain.ptr[0] >= CKV_TAG_MAP && t_one_in(2) &&
            ckv_map_get(doc, c, key, strlen(key), &v) == CKV_ENOENT)
            s = ckv_plain_set_default(doc, c, key, strlen(key), plain.ptr, plain.len, &made);
        else
            s = ckv_plain_set(doc, c, key, strlen(key), plain.ptr, plain.len, &made);
    } else {
        const size_t len = ckv_list_len(doc, c), n = 1 + t_below(3);
        if (len && t_one_in(2)) {
            s_plain(&plain, 0, &n_keys);
            s = ckv_plain_assign(doc, c, t_below(len), plain.ptr, plain.len, &made);
        } else {
            for (size_t i = 0; i < n; i++) s_plain(&plain, 0, &n_keys);
            s = ckv_plain_insert(doc, c, t_below(len + 1), plain.ptr, plain.len, n, &made);
        }
    }
    ckv_buf_fini(&plain);
    ckv_buf_fini(&made);
    return s;
}

static inline ckv_status s_edit_map(ckv_doc *doc, uint32_t c)
{
    uint32_t made;
    const char *key = s_keys[t_below(S_N_KEYS)];
    ckv_value v;
    switch (t_below(6)) {
    case 0: {
        const ckv_status s = ckv_map_unset(doc, c, key, strlen(key));
        return s == CKV_ENOENT ? CKV_OK : s;
    }
    case 1: return ckv_doc_depth(doc, c) < 4 ? s_edit_plain(doc, c) : CKV_OK;
    case 2:
    case 3:
        if (ckv_map_get(doc, c, key, strlen(key), &v) == CKV_OK && !t_one_in(4)) return CKV_OK;
        if (ckv_doc_depth(doc, c) >= 4) return CKV_OK;
        v = (ckv_value){.tag = (ckv_tag)(CKV_TAG_DEFAULT_MAP + t_below(5))};
        return ckv_map_set(doc, c, key, strlen(key), &v, &made);
    default: v = s_value(doc, c); return ckv_map_set(doc, c, key, strlen(key), &v, &made);
    }
}

static inline ckv_status s_edit_list(ckv_doc *doc, uint32_t c)
{
    const size_t len = ckv_list_len(doc, c);
    uint32_t made[4];
    ckv_value v[4];
    const size_t n = 1 + t_below(4), at = len ? t_below(len) : 0;
    switch (len ? t_below(8) : 0) {
    case 0:
    case 1:
        for (size_t i = 0; i < n; i++) v[i] = s_value(doc, c);
        return ckv_list_insert(doc, c, t_below(len + 1), v, n, made);
    case 2: v[0] = s_value(doc, c); return ckv_list_set(doc, c, at, v, made);
    case 3: return ckv_list_delete(doc, c, at, 1 + t_below(len - at < 3 ? len - at : 3));
    case 4: return ckv_doc_depth(doc, c) < 4 ? s_edit_plain(doc, c) : CKV_OK;
    default: return ckv_list_move(doc, c, at, t_below(len));
    }
}

static inline ckv_status s_edit_text(ckv_doc *doc, uint32_t c)
{
    static const char *const names[] = {"bold", "em", "link"};
    const size_t len = ckv_text_len(doc, c), at = t_below(len + 1);
    const uint32_t wide[] = {0x1f642, 0x65e5, 0xe9};
    switch (t_below(8)) {
    case 0: return ckv_text_insert(doc, c, at, wide, 4, 1 + t_below(3));
    case 1:
    case 2: return ckv_text_insert(doc, c, at, "lorem ipsum", 1, 1 + t_below(11));
    case 3: return ckv_text_insert(doc, c, len, "x", 1, 1);
    case 4:
    case 5: return ckv_text_delete(doc, c, at, t_below((len - at < 6 ? len - at : 6) + 1));
    default: {
        if (at == len) return CKV_OK;
        const char *name = names[t_below(3)];
        return ckv_text_mark(doc, c, at, at + 1 + t_below(len - at), (unsigned)t_below(4), name,
                             strlen(name), t_one_in(3) ? NULL : s_scalar());
    }
    }
}

/* A random container that is there, by its rank among them: how many were made and rolled back makes no difference. */
static inline uint32_t s_any(ckv_doc *doc)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < ckv_doc_n_containers(doc); c++) n += ckv_doc_is_live(doc, c);
    uint32_t rank = t_one_in(8) ? 0 : (uint32_t)t_below(n);
    for (uint32_t c = 0;; c++) {
        if (ckv_doc_is_live(doc, c) && rank-- == 0) return c;
    }
}

/* One edit of a random container. */
static inline ckv_status s_edit(ckv_doc *doc)
{
    const uint32_t c = s_any(doc);
    switch (ckv_doc_kind(doc, c)) {
    case CKV_KIND_MAP: return s_edit_map(doc, c);
    case CKV_KIND_LIST: return s_edit_list(doc, c);
    case CKV_KIND_SET: {
        const ckv_value *v = s_scalar();
        const ckv_status s = t_one_in(3) ? ckv_set_discard(doc, c, v) : ckv_set_add(doc, c, v);
        return s == CKV_ENOENT ? CKV_OK : s;
    }
    case CKV_KIND_COUNTER: return ckv_counter_add(doc, c, (int64_t)t_below(100) - 50);
    case CKV_KIND_TEXT: return s_edit_text(doc, c);
    }
    return CKV_OK;
}

#endif
