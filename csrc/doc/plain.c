#include "doc/plain.h"

#include "base/utf8.h"
#include "doc/apply.h"
#include "doc/counter.h"
#include "doc/list.h"
#include "doc/plain_out.h"
#include "doc/set.h"
#include "doc/text.h"
#include "doc/walk.h"
#include "ds/hmap.h"

/* ---- writing */

typedef struct frame { /* a container whose content is being written */
    uint32_t container, kind;
    size_t next, end; /* in the stack of values */
} frame;
CKV_VEC(frames, frame);

typedef struct coming { /* one value; key CKV_NONE: without */
    uint32_t key;
    ckv_value value;
} coming;
CKV_VEC(comings, coming);

struct ckv_plain_out {
    ckv_doc *doc;
    const ckv_past *at;
    ckv_buf *out;
    ckv_u32s key_no; /* of the stream, by number in ckv_keys; 0: new, or in far_no */
    ckv_hmap far_no; /* likewise, of keys that came when the stream had few */
    uint32_t n_keys;
    frames stack;
    comings values;
};

/* The key is the next one of the stream. The table grows with what is written: a short path does not cost as much as all keys that a document has. */
static ckv_status number_key(ckv_plain_out *w, uint32_t key)
{
    if (key / 16 > w->n_keys + w->values.len + 64) {
        CKV_TRY(ckv_hmap_reserve(&w->far_no, 1));
        ckv_hmap_set(&w->far_no, key, ++w->n_keys);
        return CKV_OK;
    }
    while (w->key_no.len <= key) CKV_TRY(ckv_u32s_push(&w->key_no, 0));
    w->key_no.ptr[key] = ++w->n_keys;
    return CKV_OK;
}

static ckv_status put_key(ckv_plain_out *w, uint32_t key)
{
    const uint32_t near = key < w->key_no.len ? w->key_no.ptr[key] : 0,
                   no = near ? near : ckv_hmap_get(&w->far_no, key);
    if (no != CKV_HMAP_NONE) {
        ckv_buf_varint(w->out, no);
        return w->out->status;
    }
    CKV_TRY(number_key(w, key));
    ckv_buf_varint(w->out, 0);
    ckv_buf_blob(w->out, ckv_keys_bytes(&w->doc->tree.keys, key),
                 ckv_keys_len(&w->doc->tree.keys, key));
    return w->out->status;
}

static void put_scalar(ckv_buf *out, const ckv_value *v)
{
    ckv_buf_u8(out, (uint8_t)v->tag);
    switch ((unsigned)v->tag) {
    case CKV_TAG_INT: ckv_buf_zigzag(out, v->i64); return;
    case CKV_TAG_FLOAT: {
        uint64_t bits;
        memcpy(&bits, &v->f64, 8);
        ckv_buf_u64le(out, bits);
        return;
    }
    case CKV_TAG_STR:
    case CKV_TAG_BYTES: ckv_buf_blob(out, v->ptr, v->n_bytes); return;
    default: return;
    }
}

static ckv_status put_text(ckv_plain_out *w, uint32_t text)
{
    ckv_walk walk;
    uint32_t item, n;
    size_t n_bytes = 0;
    for (int pass = 0; pass < 2; pass++) { /* its length goes before it */
        CKV_TRY(ckv_walk_begin(&walk, w->doc, w->at, text, 0, SIZE_MAX));
        if (pass) ckv_buf_varint(w->out, n_bytes);
        while (ckv_walk_next(&walk, &item, &n)) {
            if (pass)
                ckv_chars_utf8(&w->doc->log.chars, item, n, w->out);
            else
                n_bytes += ckv_chars_utf8_bytes(&w->doc->log.chars, item, n);
        }
    }
    return w->out->status;
}

static ckv_status push_register(ckv_plain_out *w, uint32_t reg)
{
    coming c = {.key = w->doc->tree.registers.regs.ptr[reg].key};
    bool shows;
    CKV_TRY(ckv_doc_shown_value(w->doc, w->at, reg, &c.value, &shows));
    return shows ? comings_push(&w->values, c) : CKV_OK;
}

static ckv_status push_registers(ckv_plain_out *w, uint32_t container)
{
    ckv_tree *t = &w->doc->tree;
    const uint32_t *sorted;
    size_t n;
    if (!w->at && ckv_tree_at(t, container)->n_keys > 16) {
        CKV_TRY(ckv_tree_sort(t, container, &sorted, &n));
        for (size_t i = 0; i < n; i++) CKV_TRY(push_register(w, sorted[i]));
        return CKV_OK;
    }
    ckv_u32s *regs = &t->known; /* scratch */
    regs->len = 0;
    for (uint32_t r = ckv_tree_at(t, container)->first_reg; r != CKV_NONE;
         r = t->registers.regs.ptr[r].next) {
        if (w->at || !ckv_register_is_empty(&t->registers, r)) CKV_TRY(ckv_u32s_push(regs, r));
    }
    CKV_TRY(ckv_tree_sort_regs(t, regs));
    for (size_t i = 0; i < regs->len; i++) CKV_TRY(push_register(w, regs->ptr[i]));
    return CKV_OK;
}

static ckv_status push_elements(ckv_plain_out *w, uint32_t list)
{
    ckv_doc *doc = w->doc;
    const bool first_values = ckv_tree_at(&doc->tree, list)->first_reg == CKV_NONE;
    ckv_walk walk;
    CKV_TRY(ckv_walk_begin(&walk, doc, w->at, list, 0, SIZE_MAX));
    for (uint32_t slot, n; ckv_walk_next(&walk, &slot, &n);) {
        CKV_TRY(comings_reserve(&w->values, n));
        if (first_values && doc->moves.slots.len == 0) {
            const uint32_t *offs = ckv_oplog_values_of(&doc->log, slot);
            for (uint32_t i = 0; i < n; i++)
                comings_put(&w->values,
                            (coming){CKV_NONE, ckv_doc_value_read(doc, slot + i, offs[i])});
            continue;
        }
        for (uint32_t i = slot; i < slot + n; i++) {
            const uint32_t element = ckv_doc_element_of(doc, i);
            coming c = {CKV_NONE, {.tag = CKV_TAG_NONE}};
            if (first_values) {
                c.value = ckv_doc_value_of(doc, element);
            } else {
                uint32_t lv;
                CKV_TRY(ckv_doc_shown_element(doc, w->at, list, element, &lv));
                if (lv != CKV_NONE) c.value = ckv_doc_value_at(doc, lv);
            }
            comings_put(&w->values, c);
        }
    }
    return CKV_OK;
}

/* Begins a value; one that holds others goes on the stack. */
static ckv_status begin(ckv_plain_out *w, const ckv_value *v)
{
    if (ckv_tag_is_scalar(v->tag)) {
        put_scalar(w->out, v);
        return w->out->status;
    }
    ckv_buf_u8(w->out, (uint8_t)v->tag);
    if (v->tag == CKV_TAG_TEXT) return put_text(w, v->container);
    if (v->tag == CKV_TAG_COUNTER) {
        const ckv_total total =
            w->at ? ckv_counts_total_at(&w->doc->counts,
                                        ckv_tree_at(&w->doc->tree, v->container)->counted, w->at,
                                        &w->doc->graph)
                  : ckv_counts_total(&w->doc->counts,
                                     ckv_tree_at(&w->doc->tree, v->container)->counted);
        ckv_buf_u64le(w->out, (uint64_t)total);
        ckv_buf_u64le(w->out, (uint64_t)(total >> 64));
        return w->out->status;
    }
    const size_t start = w->values.len;
    CKV_TRY(v->tag == CKV_TAG_LIST ? push_elements(w, v->container)
                                   : push_registers(w, v->container));
    ckv_buf_varint(w->out, w->values.len - start);
    return frames_push(&w->stack, (frame){v->container, v->tag, start, w->values.len});
}

ckv_status ckv_plain_out_value(ckv_plain_out *w, const ckv_value *value)
{
    CKV_TRY(begin(w, value));
    while (w->stack.len) {
        frame *f = &w->stack.ptr[w->stack.len - 1];
        if (f->next == f->end) { /* its values are above those of its holder */
            const size_t n = w->stack.len - 1;
            w->values.len = n ? w->stack.ptr[n - 1].end : 0;
            w->stack.len = n;
            continue;
        }
        const coming c = w->values.ptr[f->next++];
        if (f->kind == CKV_TAG_MAP) CKV_TRY(put_key(w, c.key));
        CKV_TRY(begin(w, &c.value));
    }
    return w->out->status;
}

ckv_status ckv_plain_out_key(ckv_plain_out *w, uint32_t key) { return put_key(w, key); }

ckv_status ckv_plain_out_new(ckv_plain_out **out, ckv_doc *doc, ckv_buf *bytes)
{
    const ckv_alloc a = doc->env.alloc;
    ckv_plain_out *w = ckv_resize(a, NULL, 0, sizeof *w);
    if (!w) return CKV_ENOMEM;
    *w = (ckv_plain_out){.doc = doc,
                         .out = bytes,
                         .key_no = {.a = a},
                         .far_no = ckv_hmap_init(a, doc->tree.keys.by_bytes.secret),
                         .stack = {.a = a},
                         .values = {.a = a}};
    *out = w;
    return CKV_OK;
}

void ckv_plain_out_at(ckv_plain_out *w, const ckv_past *at) { w->at = at; }

void ckv_plain_out_free(ckv_plain_out *w)
{
    if (!w) return;
    const ckv_alloc a = w->doc->env.alloc;
    ckv_u32s_fini(&w->key_no);
    ckv_hmap_fini(&w->far_no);
    frames_fini(&w->stack);
    comings_fini(&w->values);
    ckv_release(a, w, sizeof *w);
}

ckv_status ckv_plain_write(ckv_doc *doc, const ckv_view *at, uint32_t container, ckv_buf *out)
{
    ckv_plain_out *w;
    CKV_TRY(ckv_doc_flush(doc));
    CKV_TRY(ckv_plain_out_new(&w, doc, out));
    w->at = ckv_view_past(at);
    const ckv_value v = {.tag = (ckv_tag)ckv_doc_kind(doc, container), .container = container};
    const ckv_status s = ckv_plain_out_value(w, &v);
    ckv_plain_out_free(w);
    return s;
}

/* ---- reading: a stream becomes containers */

/* A container in the stream, in the order in which they begin. */
typedef struct node {
    const uint8_t *body, *end; /* behind its tag; behind all that is in it */
    uint32_t next;             /* the first node behind what is in it */
} node;
CKV_VEC(nodes, node);

typedef struct filling { /* a container that takes its values */
    uint32_t container, kind;
    uint32_t child;    /* the next container in it */
    uint64_t left;     /* Map, Set: entries; List: containers among its elements */
    const uint8_t *at; /* Map, Set */
    size_t base, made; /* List: where their numbers begin in `rows`, and the next of them */
} filling;
CKV_VEC(fillings, filling);

typedef struct key_at {
    const uint8_t *ptr;
    size_t n_bytes;
} key_at;
CKV_VEC(keys_at, key_at);

CKV_VEC(value_row, ckv_value);

typedef struct reading {
    ckv_doc *doc;
    ckv_rd r;
    nodes nodes;
    keys_at keys;
    fillings stack;
    value_row row; /* elements that enter their list in one go */
    ckv_u32s rows; /* containers made by them, those of an outer list below those of an inner one */
    ckv_buf *made;
} reading;

/* A scalar whole, or a container's tag. */
static ckv_status get_value(ckv_rd *r, ckv_value *v)
{
    *v = (ckv_value){.tag = (ckv_tag)ckv_rd_u8(r)};
    switch ((unsigned)v->tag) {
    case CKV_TAG_NONE:
    case CKV_TAG_FALSE:
    case CKV_TAG_TRUE:
    case CKV_TAG_MAP:
    case CKV_TAG_LIST:
    case CKV_TAG_SET:
    case CKV_TAG_COUNTER:
    case CKV_TAG_TEXT: break;
    case CKV_TAG_INT: v->i64 = ckv_rd_zigzag(r); break;
    case CKV_TAG_FLOAT: {
        const uint64_t bits = ckv_rd_u64le(r);
        memcpy(&v->f64, &bits, 8);
        break;
    }
    case CKV_TAG_STR:
    case CKV_TAG_BYTES: v->ptr = ckv_rd_blob(r, &v->n_bytes); break;
    default: return CKV_ECORRUPT;
    }
    return r->status;
}

static ckv_status get_key(const reading *in, ckv_rd *r, key_at *out)
{
    const uint64_t k = ckv_rd_varint(r);
    if (k == 0) {
        out->ptr = ckv_rd_blob(r, &out->n_bytes);
        return r->status;
    }
    if (r->status != CKV_OK || k > in->keys.len) return CKV_ECORRUPT;
    *out = in->keys.ptr[k - 1];
    return CKV_OK;
}

typedef struct scanning {
    uint32_t node, kind;
    uint64_t left;
} scanning;
CKV_VEC(scannings, scanning);

/* One value of the scan; a container that holds others goes on the stack. */
static ckv_status scan_value(reading *in, scannings *stack)
{
    ckv_rd *r = &in->r;
    ckv_value v;
    size_t skip;
    CKV_TRY(get_value(r, &v));
    if (ckv_tag_is_scalar(v.tag)) return CKV_OK;
    const uint32_t n = (uint32_t)in->nodes.len;
    CKV_TRY(nodes_push(&in->nodes, (node){r->p, NULL, n + 1}));
    if (v.tag == CKV_TAG_TEXT) {
        ckv_rd_blob(r, &skip);
    } else if (v.tag == CKV_TAG_COUNTER) {
        ckv_rd_bytes(r, 16);
    } else {
        const uint64_t left = ckv_rd_varint(r);
        if (r->status != CKV_OK) return r->status;
        return scannings_push(stack, (scanning){n, v.tag, left});
    }
    in->nodes.ptr[n].end = r->p;
    return r->status;
}

/* Finds where containers begin and end, and all keys. */
static ckv_status scan(reading *in)
{
    scannings stack = {.a = in->doc->env.alloc};
    const uint8_t *const start = in->r.p;
    ckv_status s = CKV_OK;
    while (s == CKV_OK && (stack.len || in->r.p < in->r.end)) {
        scanning *top = scannings_last(&stack);
        if (top && top->left == 0) {
            in->nodes.ptr[top->node].end = in->r.p;
            in->nodes.ptr[top->node].next = (uint32_t)in->nodes.len;
            stack.len--;
            continue;
        }
        if (top) {
            top->left--;
            key_at key;
            const uint8_t *p = in->r.p;
            if (top->kind == CKV_TAG_MAP) s = get_key(in, &in->r, &key);
            if (s == CKV_OK && top->kind == CKV_TAG_MAP && *p == 0)
                s = keys_at_push(&in->keys, key);
        }
        if (s == CKV_OK) s = scan_value(in, &stack);
    }
    scannings_fini(&stack);
    in->r.p = start;
    return s;
}

static ckv_status fill_text(reading *in, const node *at, uint32_t text)
{
    ckv_rd r = ckv_rd_init(at->body, (size_t)(at->end - at->body));
    size_t n_bytes, n;
    uint32_t max;
    const uint8_t *p = ckv_rd_blob(&r, &n_bytes);
    if (!p || !ckv_utf8_valid(p, n_bytes, &n, &max)) return CKV_ECORRUPT;
    if (n == n_bytes) return ckv_text_insert(in->doc, text, 0, p, 1, n);
    ckv_buf chars = ckv_buf_init(in->doc->env.alloc);
    ckv_status s = CKV_ENOMEM;
    if (ckv_buf_reserve(&chars, n * 4)) {
        uint32_t *c = (uint32_t *)(void *)chars.ptr;
        for (size_t i = 0; i < n; i++) c[i] = ckv_utf8_next(&p);
        s = ckv_text_insert(in->doc, text, 0, c, 4, n);
    }
    ckv_buf_fini(&chars);
    return s;
}

static ckv_status fill_counter(reading *in, const node *at, uint32_t counter)
{
    ckv_rd r = ckv_rd_init(at->body, 16);
    const uint64_t low = ckv_rd_u64le(&r), high = ckv_rd_u64le(&r);
    ckv_total total = (ckv_total)(((unsigned __int128)high << 64) | low);
    /* More steps than a body has room for: said at once, not after a second. */
    if (total / INT64_MAX > 1 << 21 || total / INT64_MAX < -(1 << 21)) return CKV_ELIMIT;
    while (total) {
        const int64_t step = total > INT64_MAX   ? INT64_MAX
                             : total < INT64_MIN ? INT64_MIN
                                                 : (int64_t)total;
        CKV_TRY(ckv_counter_add(in->doc, counter, step));
        total -= step;
    }
    return CKV_OK;
}

/* n values from r enter a list at pos; `child` is the first container among them. Those are filled next. */
static ckv_status fill_row(reading *in, ckv_rd r, uint32_t list, size_t pos, uint64_t n,
                           uint32_t child)
{
    uint32_t next = child;
    uint64_t n_made = 0;
    in->row.len = 0;
    for (uint64_t i = 0; i < n; i++) {
        ckv_value v;
        CKV_TRY(get_value(&r, &v));
        if (!ckv_tag_is_scalar(v.tag)) {
            r.p = in->nodes.ptr[next].end;
            next = in->nodes.ptr[next].next;
            n_made++;
        }
        CKV_TRY(value_row_push(&in->row, v));
    }
    const size_t base = in->rows.len;
    CKV_TRY(ckv_u32s_reserve(&in->rows, in->row.len + 1)); /* + 1: never NULL */
    uint32_t *made = in->rows.ptr + base;
    CKV_TRY(ckv_list_insert(in->doc, list, pos, in->row.ptr, in->row.len, made));
    for (size_t i = 0; i < in->row.len; i++) {
        if (made[i] != CKV_NONE) in->rows.ptr[in->rows.len++] = made[i];
    }
    return fillings_push(&in->stack, (filling){.container = list,
                                               .kind = CKV_TAG_LIST,
                                               .child = child,
                                               .left = n_made,
                                               .base = base,
                                               .made = base});
}

/* A container that was made empty takes what the stream has for it. */
static ckv_status fill(reading *in, uint32_t n, uint32_t container)
{
    const node at = in->nodes.ptr[n];
    const ckv_kind kind = ckv_doc_kind(in->doc, container);
    ckv_buf_bytes(in->made, &container, sizeof container);
    if (in->made->status != CKV_OK) return in->made->status;
    if (kind == CKV_KIND_TEXT) return fill_text(in, &at, container);
    if (kind == CKV_KIND_COUNTER) return fill_counter(in, &at, container);
    ckv_rd r = ckv_rd_init(at.body, (size_t)(at.end - at.body));
    const uint64_t left = ckv_rd_varint(&r);
    if (kind == CKV_KIND_LIST) return fill_row(in, r, container, 0, left, n + 1);
    return fillings_push(
        &in->stack,
        (filling){.container = container, .kind = kind, .child = n + 1, .left = left, .at = r.p});
}

static ckv_status fill_step(reading *in)
{
    filling *f = &in->stack.ptr[in->stack.len - 1];
    if (f->left == 0) {
        if (f->kind == CKV_TAG_LIST) in->rows.len = f->base;
        in->stack.len--;
        return CKV_OK;
    }
    f->left--;
    const uint32_t container = f->container, child = f->child;
    if (f->kind == CKV_TAG_LIST) {
        const uint32_t made = in->rows.ptr[f->made++];
        f->child = in->nodes.ptr[child].next;
        return fill(in, child, made);
    }
    ckv_rd r = ckv_rd_init(f->at, (size_t)(in->r.end - f->at));
    key_at key = {NULL, 0};
    ckv_value v;
    uint32_t made;
    if (f->kind == CKV_TAG_MAP) CKV_TRY(get_key(in, &r, &key));
    CKV_TRY(get_value(&r, &v));
    const bool scalar = ckv_tag_is_scalar(v.tag);
    f->at = scalar ? r.p : in->nodes.ptr[child].end;
    if (!scalar) f->child = in->nodes.ptr[child].next;
    if (f->kind == CKV_TAG_SET) return scalar ? ckv_set_add(in->doc, container, &v) : CKV_ECORRUPT;
    CKV_TRY(ckv_map_set(in->doc, container, (const char *)key.ptr, key.n_bytes, &v, &made));
    return scalar ? CKV_OK : fill(in, child, made);
}

static ckv_status fill_all(reading *in)
{
    while (in->stack.len) CKV_TRY(fill_step(in));
    return CKV_OK;
}

static ckv_status reading_begin(reading *in, ckv_doc *doc, const uint8_t *plain, size_t n_bytes,
                                ckv_buf *made, ckv_savepoint *savepoint)
{
    const ckv_alloc a = doc->env.alloc;
    *in = (reading){.doc = doc,
                    .r = ckv_rd_init(plain, n_bytes),
                    .nodes = {.a = a},
                    .keys = {.a = a},
                    .stack = {.a = a},
                    .row = {.a = a},
                    .rows = {.a = a},
                    .made = made};
    CKV_TRY(ckv_doc_savepoint(doc, savepoint));
    return CKV_OK;
}

/* Ends it: all of it stands, or nothing. */
static ckv_status settle(reading *in, ckv_savepoint savepoint, ckv_status s)
{
    if (s == CKV_OK)
        ckv_doc_release(in->doc, savepoint);
    else
        ckv_doc_rollback(in->doc, savepoint);
    nodes_fini(&in->nodes);
    keys_at_fini(&in->keys);
    fillings_fini(&in->stack);
    value_row_fini(&in->row);
    ckv_u32s_fini(&in->rows);
    return s;
}

/* The one value that a stream is to hold. */
static ckv_status read_one(reading *in, ckv_value *v)
{
    CKV_TRY(scan(in));
    CKV_TRY(get_value(&in->r, v));
    const uint8_t *end = ckv_tag_is_scalar(v->tag) ? in->r.p : in->nodes.ptr[0].end;
    return end == in->r.end ? CKV_OK : CKV_ECORRUPT;
}

static ckv_status set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                      const uint8_t *plain, size_t n_bytes, bool is_default, ckv_buf *made)
{
    reading in;
    ckv_savepoint savepoint;
    ckv_value v = {0};
    uint32_t container;
    CKV_TRY(reading_begin(&in, doc, plain, n_bytes, made, &savepoint));
    ckv_status s = read_one(&in, &v);
    const bool scalar = ckv_tag_is_scalar(v.tag);
    if (is_default && !scalar) v.tag = (ckv_tag)(v.tag + 8);
    if (s == CKV_OK) s = ckv_map_set(doc, map, key, key_bytes, &v, &container);
    if (s == CKV_OK && !scalar) s = fill(&in, 0, container);
    if (s == CKV_OK) s = fill_all(&in);
    return settle(&in, savepoint, s);
}

ckv_status ckv_plain_set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                         const uint8_t *plain, size_t n_bytes, ckv_buf *made)
{
    return set(doc, map, key, key_bytes, plain, n_bytes, false, made);
}

ckv_status ckv_plain_set_default(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                                 const uint8_t *plain, size_t n_bytes, ckv_buf *made)
{
    return set(doc, map, key, key_bytes, plain, n_bytes, true, made);
}

ckv_status ckv_plain_insert(ckv_doc *doc, uint32_t list, size_t pos, const uint8_t *plain,
                            size_t n_bytes, size_t n, ckv_buf *made)
{
    reading in;
    ckv_savepoint savepoint;
    CKV_TRY(reading_begin(&in, doc, plain, n_bytes, made, &savepoint));
    ckv_status s = scan(&in);
    if (s == CKV_OK) s = fill_row(&in, in.r, list, pos, n, 0);
    if (s == CKV_OK) s = fill_all(&in);
    return settle(&in, savepoint, s);
}

ckv_status ckv_plain_assign(ckv_doc *doc, uint32_t list, size_t pos, const uint8_t *plain,
                            size_t n_bytes, ckv_buf *made)
{
    reading in;
    ckv_savepoint savepoint;
    ckv_value v = {0};
    uint32_t container;
    CKV_TRY(reading_begin(&in, doc, plain, n_bytes, made, &savepoint));
    ckv_status s = read_one(&in, &v);
    const bool scalar = ckv_tag_is_scalar(v.tag);
    if (s == CKV_OK) s = ckv_list_set(doc, list, pos, &v, &container);
    if (s == CKV_OK && !scalar) s = fill(&in, 0, container);
    if (s == CKV_OK) s = fill_all(&in);
    return settle(&in, savepoint, s);
}
