/* plain_in.c -- values of Python's as plain bytes.
 *
 * dict, list, tuple, set, frozenset, str, int and float are read as they lie in memory; nothing else is fast, and need not be.
 * Keys are numbered by the address of the str: a table of rows has the same few objects as keys in all of them. A str that is equal but
 * another object is a new key of the stream, which costs bytes only.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/path.h"
#include "py/plain.h"

#include <math.h>

#define MAX_KEY 4096u

typedef struct ckpy_fresh {
    ckpy_handle *handle; /* owned */
    uint32_t ordinal;    /* among the containers of the stream */
} ckpy_fresh;

typedef struct ckpy_key {
    PyObject *str; /* owned, NULL: free */
    uint32_t number;
} ckpy_key;

static int add(ckpy_flat *f, PyObject *value, unsigned depth);

/* ---- life */

void ckpy_flat_init(ckpy_flat *f, ckpy_state *st, unsigned depth, PyObject *key, Py_ssize_t index)
{
    *f = (ckpy_flat){.st = st,
                     .bytes = ckv_buf_init(ckv_alloc_libc),
                     .fresh = ckv_buf_init(ckv_alloc_libc),
                     .depth = depth,
                     .max_depth = CKV_MAX_DEPTH,
                     .max_key = MAX_KEY,
                     .key = key,
                     .index = index};
}

void ckpy_flat_init_in(ckpy_flat *f, ckpy_doc *d, uint32_t container, PyObject *key,
                       Py_ssize_t index)
{
    ckpy_lock_get(&d->lock);
    ckpy_flat_init(f, d->state, ckv_doc_depth(d->core, container), key, index);
    f->max_depth = ckv_doc_limits(d->core)->depth;
    f->max_key = ckv_doc_limits(d->core)->key_bytes;
    ckpy_lock_put(&d->lock);
}

void ckpy_flat_fini(ckpy_flat *f)
{
    ckpy_fresh *fresh = (ckpy_fresh *)(void *)f->fresh.ptr;
    for (size_t i = 0; i < f->fresh.len / sizeof *fresh; i++) Py_DECREF(fresh[i].handle);
    for (size_t i = 0; f->keys.slots && i <= f->keys.mask; i++) Py_XDECREF(f->keys.slots[i].str);
    PyMem_Free(f->keys.slots);
    ckv_buf_fini(&f->fresh);
    ckv_buf_fini(&f->bytes);
    Py_XDECREF(f->long_text);
}

/* ---- errors: where */

/* "what at path"; -1 */
static int refuse(const ckpy_flat *f, PyObject *class, const char *what)
{
    PyObject *place = f->key          ? PyUnicode_FromFormat("[%.200R]", f->key)
                      : f->index >= 0 ? PyUnicode_FromFormat("[%zd]", f->index)
                                      : PyUnicode_New(0, 0);
    return ckpy_refuse_at(class, what, place, f->frame);
}

static int refuse_type(const ckpy_flat *f, const char *before, PyObject *op, const char *after)
{
    char what[240];
    PyOS_snprintf(what, sizeof what, "%s%.100s%s", before, Py_TYPE(op)->tp_name, after);
    return refuse(f, PyExc_TypeError, what);
}

static int refuse_text(const ckpy_flat *f)
{
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
    PyErr_Clear();
    return refuse(f, PyExc_ValueError, "lone surrogates cannot be stored");
}

/* ---- scalars */

static int add_text(ckpy_flat *f, uint8_t tag, PyObject *s)
{
    Py_ssize_t n;
    const char *p;
    if (PyUnicode_IS_COMPACT_ASCII(s)) { /* its characters are its UTF-8 */
        p = (const char *)PyUnicode_DATA(s);
        n = PyUnicode_GET_LENGTH(s);
    } else if (!(p = PyUnicode_AsUTF8AndSize(s, &n))) {
        return refuse_text(f);
    }
    if (!ckv_buf_reserve(&f->bytes, (size_t)n + 11)) return 0; /* its status says so in the end */
    uint8_t *out = f->bytes.ptr + f->bytes.len;
    *out++ = tag;
    out += ckv_varint_put(out, (uint64_t)n);
    memcpy(out, p, (size_t)n);
    f->bytes.len = (size_t)(out - f->bytes.ptr) + (size_t)n;
    return 0;
}

static int add_int(ckpy_flat *f, PyObject *op)
{
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(op, &overflow);
    if (overflow) return refuse(f, PyExc_OverflowError, "an int must fit 64 bits");
    if (v == -1 && PyErr_Occurred()) return -1;
    ckv_buf_u8(&f->bytes, CKV_TAG_INT);
    ckv_buf_zigzag(&f->bytes, v);
    return 0;
}

static int add_float(ckpy_flat *f, double v)
{
    uint64_t bits;
    if (v != v) v = (double)NAN; /* one of them is enough */
    memcpy(&bits, &v, sizeof bits);
    if (v != v) bits = UINT64_C(0x7ff8000000000000);
    ckv_buf_u8(&f->bytes, CKV_TAG_FLOAT);
    ckv_buf_u64le(&f->bytes, bits);
    return 0;
}

/* 1: done, 0: no scalar, -1: an exception. */
static int add_scalar(ckpy_flat *f, PyObject *op)
{
    int done;
    if (op == Py_None) {
        ckv_buf_u8(&f->bytes, CKV_TAG_NONE);
        return 1;
    }
    if (PyBool_Check(op)) {
        ckv_buf_u8(&f->bytes, op == Py_True ? CKV_TAG_TRUE : CKV_TAG_FALSE);
        return 1;
    }
    if (PyLong_Check(op)) {
        done = add_int(f, op);
    } else if (PyFloat_Check(op)) {
        done = add_float(f, PyFloat_AS_DOUBLE(op));
    } else if (PyUnicode_Check(op)) {
        done = ckpy_ready(op) < 0 ? -1 : add_text(f, CKV_TAG_STR, op);
    } else if (PyBytes_Check(op)) {
        ckv_buf_u8(&f->bytes, CKV_TAG_BYTES);
        ckv_buf_blob(&f->bytes, PyBytes_AS_STRING(op), (size_t)PyBytes_GET_SIZE(op));
        done = 0;
    } else {
        return 0;
    }
    return done < 0 ? -1 : 1;
}

/* ---- keys */

static bool keys_grow(ckpy_keys *k)
{
    const size_t n = k->slots ? 2 * (k->mask + 1) : 64;
    ckpy_key *grown = PyMem_Calloc(n, sizeof *grown);
    if (!grown) return false;
    for (size_t i = 0; k->slots && i <= k->mask; i++) {
        if (!k->slots[i].str) continue;
        size_t at = ((uintptr_t)k->slots[i].str >> 4) & (n - 1);
        while (grown[at].str) at = (at + 1) & (n - 1);
        grown[at] = k->slots[i];
    }
    PyMem_Free(k->slots);
    k->slots = grown;
    k->mask = n - 1;
    return true;
}

static int new_key(ckpy_flat *f, PyObject *key)
{
    if (!PyUnicode_Check(key)) return refuse_type(f, "keys are str, not ", key, "");
    if (ckpy_ready(key) < 0) return -1;
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(key, &n);
    if (!p) return refuse_text(f);
    if ((size_t)n > f->max_key)
        return refuse(f, f->st->LimitError, "a key holds at most 4 KiB, one is longer");
    ckv_buf_u8(&f->bytes, 0);
    ckv_buf_blob(&f->bytes, p, (size_t)n);
    f->keys.last++;
    return 0;
}

static int add_key(ckpy_flat *f, PyObject *key)
{
    ckpy_keys *k = &f->keys;
    if (2 * k->n >= k->mask && !keys_grow(k)) {
        PyErr_NoMemory();
        return -1;
    }
    size_t at = ((uintptr_t)key >> 4) & k->mask;
    for (; k->slots[at].str; at = (at + 1) & k->mask) {
        if (k->slots[at].str == key) {
            ckv_buf_varint(&f->bytes, k->slots[at].number);
            return 0;
        }
    }
    if (new_key(f, key) < 0) return -1;
    k->slots[at] = (ckpy_key){Py_NewRef(key), k->last};
    k->n++;
    return 0;
}

/* ---- containers of Python's */

static int begin(ckpy_flat *f, uint8_t tag, unsigned depth)
{
    if (depth > f->max_depth)
        return refuse(f, f->st->LimitError, "a container more than 256 deep, or in itself,");
    f->n_containers++;
    ckv_buf_u8(&f->bytes, tag);
    return 0;
}

static int changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "a container changed while it was stored");
    return -1;
}

static int add_entry(ckpy_flat *f, PyObject *key, PyObject *value, unsigned depth)
{
    if (add_key(f, key) < 0) return -1;
    const ckpy_frame frame = {f->frame, key, 0};
    f->frame = &frame;
    const int done = add(f, value, depth + 1);
    f->frame = frame.up;
    return done;
}

static int add_dict(ckpy_flat *f, PyObject *dict, unsigned depth)
{
    const Py_ssize_t n = PyDict_GET_SIZE(dict);
    Py_ssize_t at = 0, seen = 0;
    PyObject *key, *value;
    int done = begin(f, CKV_TAG_MAP, depth);
    if (done < 0) return -1;
    ckv_buf_varint(&f->bytes, (uint64_t)n);
    CKPY_BEGIN_CRITICAL(dict);
    while (done == 0 && PyDict_Next(dict, &at, &key, &value)) {
        Py_INCREF(key); /* anybody's code may run further down */
        Py_INCREF(value);
        done = ++seen > n ? changed() : add_entry(f, key, value, depth);
        Py_DECREF(key);
        Py_DECREF(value);
    }
    CKPY_END_CRITICAL();
    if (done == 0 && seen != n) done = changed();
    return done;
}

static int add_item(ckpy_flat *f, PyObject *value, Py_ssize_t i, unsigned depth)
{
    const int scalar = add_scalar(f, value);
    if (scalar > 0) return 0;
    const ckpy_frame frame = {f->frame, NULL, i};
    f->frame = &frame;
    if (scalar < 0) PyErr_Clear(); /* again, now that it has a path */
    const int done = add(f, value, depth + 1);
    f->frame = frame.up;
    return done;
}

static int add_list(ckpy_flat *f, PyObject *list, unsigned depth)
{
    const bool is_list = PyList_Check(list);
    const Py_ssize_t n = is_list ? PyList_GET_SIZE(list) : PyTuple_GET_SIZE(list);
    int done = begin(f, CKV_TAG_LIST, depth);
    if (done < 0) return -1;
    ckv_buf_varint(&f->bytes, (uint64_t)n);
    CKPY_BEGIN_CRITICAL(list);
    for (Py_ssize_t i = 0; done == 0 && i < n; i++) {
        if (is_list && i >= PyList_GET_SIZE(list)) {
            done = changed();
            break;
        }
        PyObject *value = Py_NewRef(is_list ? PyList_GET_ITEM(list, i) : PyTuple_GET_ITEM(list, i));
        done = add_item(f, value, i, depth);
        Py_DECREF(value);
    }
    CKPY_END_CRITICAL();
    return done;
}

typedef struct stretch {
    const uint8_t *ptr;
    size_t n_bytes;
} stretch;

static int by_bytes(const void *a, const void *b)
{
    const stretch *x = a, *y = b;
    const size_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    const int order = memcmp(x->ptr, y->ptr, n);
    return order ? order : (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* The order in which a set gives its members depends on the process; what is written must not. ends: n ends of members, behind `start`. */
static int sort_members(ckv_buf *bytes, size_t start, const size_t *ends, size_t n)
{
    stretch *members = PyMem_Malloc(n * sizeof *members);
    uint8_t *sorted = PyMem_Malloc(bytes->len - start), *out = sorted;
    const bool room = members && sorted;
    if (room) {
        for (size_t i = 0; i < n; i++) {
            const size_t at = i ? ends[i - 1] : start;
            members[i] = (stretch){bytes->ptr + at, ends[i] - at};
        }
        qsort(members, n, sizeof *members, by_bytes);
        for (size_t i = 0; i < n; i++) {
            memcpy(out, members[i].ptr, members[i].n_bytes);
            out += members[i].n_bytes;
        }
        memcpy(bytes->ptr + start, sorted, bytes->len - start);
    } else {
        PyErr_NoMemory();
    }
    PyMem_Free(members);
    PyMem_Free(sorted);
    return room ? 0 : -1;
}

static int add_set(ckpy_flat *f, PyObject *set, unsigned depth)
{
    if (begin(f, CKV_TAG_SET, depth) < 0) return -1;
    PyObject *members = PySequence_Tuple(set);
    if (!members) return -1;
    const Py_ssize_t n = PyTuple_GET_SIZE(members);
    size_t *ends = PyMem_Malloc(((size_t)n + 1) * sizeof *ends);
    int done = ends ? 0 : -1;
    if (!ends) PyErr_NoMemory();
    ckv_buf_varint(&f->bytes, (uint64_t)n);
    const size_t start = f->bytes.len;
    for (Py_ssize_t i = 0; done >= 0 && i < n; i++) {
        PyObject *member = PyTuple_GET_ITEM(members, i);
        done = add_scalar(f, member);
        if (done == 0) done = refuse_type(f, "cannot store ", member, " as a member of a set");
        ends[i] = f->bytes.len;
    }
    if (done >= 0 && n > 1 && f->bytes.status == CKV_OK)
        done = sort_members(&f->bytes, start, ends, (size_t)n);
    PyMem_Free(ends);
    Py_DECREF(members);
    return done < 0 ? -1 : 0;
}

/* A Mapping that is no dict: its items, as anybody's code gives them. */
static int add_mapping(ckpy_flat *f, PyObject *mapping, unsigned depth)
{
    if (begin(f, CKV_TAG_MAP, depth) < 0) return -1;
    PyObject *items = PyMapping_Items(mapping);
    PyObject *dict = items ? PyDict_New() : NULL;
    int done = dict ? PyDict_MergeFromSeq2(dict, items, 1) : -1; /* a key once */
    Py_XDECREF(items);
    if (done == 0) ckv_buf_varint(&f->bytes, (uint64_t)PyDict_GET_SIZE(dict));
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (done == 0 && PyDict_Next(dict, &at, &key, &value)) /* nobody else knows this dict */
        done = add_entry(f, key, value, depth);
    Py_XDECREF(dict);
    return done;
}

/* ---- handles */

static int add_counter(ckpy_flat *f, PyObject *total, unsigned depth)
{
    ckv_i128 v;
    uint8_t out[16];
    if (begin(f, CKV_TAG_COUNTER, depth) < 0 || ckpy_i128_arg(total, &v) < 0) return -1;
    for (size_t i = 0; i < 16; i++) out[i] = (uint8_t)((unsigned __int128)v >> (8 * i));
    ckv_buf_bytes(&f->bytes, out, sizeof out);
    return 0;
}

static int add_local_text(ckpy_flat *f, PyObject *s, unsigned depth)
{
    if (begin(f, CKV_TAG_TEXT, depth) < 0) return -1;
    f->bytes.len--; /* the tag comes with the characters */
    if (f->may_split && f->n_values == 0 && !f->frame && ckpy_text_splits(s)) {
        f->long_text = Py_NewRef(s);
        ckv_buf_u8(&f->bytes, CKV_TAG_TEXT);
        ckv_buf_varint(&f->bytes, 0);
        return 0;
    }
    return add_text(f, CKV_TAG_TEXT, s);
}

static int add_local(ckpy_flat *f, ckpy_handle *h, PyObject *plain, unsigned depth)
{
    switch ((ckv_kind)h->kind) {
    case CKV_KIND_MAP: return add_dict(f, plain, depth);
    case CKV_KIND_LIST: return add_list(f, plain, depth);
    case CKV_KIND_SET: return add_set(f, plain, depth);
    case CKV_KIND_COUNTER: return add_counter(f, plain, depth);
    case CKV_KIND_TEXT: break;
    }
    return add_local_text(f, plain, depth);
}

/* Copies one value of another stream, whose keys have other numbers. */
typedef struct foreign {
    ckv_rd rd;
    ckv_buf numbers; /* of uint32_t: its k-th key is this one of ours */
} foreign;

static int copy_value(ckpy_flat *f, foreign *from, unsigned depth);

static int copy_key(ckpy_flat *f, foreign *from)
{
    const uint64_t k = ckv_rd_varint(&from->rd);
    if (k) {
        if (k > from->numbers.len / 4) return -1;
        ckv_buf_varint(&f->bytes, ((const uint32_t *)(const void *)from->numbers.ptr)[k - 1]);
        return 0;
    }
    size_t n;
    const uint8_t *p = ckv_rd_blob(&from->rd, &n);
    if (from->rd.status != CKV_OK) return -1;
    ckv_buf_u8(&f->bytes, 0);
    ckv_buf_blob(&f->bytes, p, n);
    f->keys.last++;
    ckv_buf_bytes(&from->numbers, &f->keys.last, sizeof f->keys.last);
    return from->numbers.status == CKV_OK ? 0 : -1;
}

static int copy_bytes(ckpy_flat *f, foreign *from, size_t n)
{
    const uint8_t *p = ckv_rd_bytes(&from->rd, n);
    if (n && !p) return -1;
    ckv_buf_bytes(&f->bytes, p, n);
    return 0;
}

static int copy_blob(ckpy_flat *f, foreign *from)
{
    size_t n;
    const uint8_t *p = ckv_rd_blob(&from->rd, &n);
    if (from->rd.status != CKV_OK) return -1;
    ckv_buf_blob(&f->bytes, p, n);
    return 0;
}

static int copy_members(ckpy_flat *f, foreign *from, bool keyed, unsigned depth)
{
    const uint64_t n = ckv_rd_varint(&from->rd);
    ckv_buf_varint(&f->bytes, n);
    for (uint64_t i = 0; i < n; i++) {
        if (keyed && copy_key(f, from) < 0) return -1;
        if (copy_value(f, from, depth + 1) < 0) return -1;
    }
    return 0;
}

static int copy_value(ckpy_flat *f, foreign *from, unsigned depth)
{
    const uint8_t tag = ckv_rd_u8(&from->rd);
    if (from->rd.status != CKV_OK) return -1;
    if (tag > CKV_TAG_BYTES) {
        if (begin(f, tag, depth) < 0) return -1;
    } else {
        ckv_buf_u8(&f->bytes, tag);
    }
    switch (tag) {
    case CKV_TAG_INT: ckv_buf_varint(&f->bytes, ckv_rd_varint(&from->rd)); return 0;
    case CKV_TAG_FLOAT: return copy_bytes(f, from, 8);
    case CKV_TAG_COUNTER: return copy_bytes(f, from, 16);
    case CKV_TAG_STR:
    case CKV_TAG_BYTES:
    case CKV_TAG_TEXT: return copy_blob(f, from);
    case CKV_TAG_MAP: return copy_members(f, from, true, depth);
    case CKV_TAG_LIST:
    case CKV_TAG_SET: return copy_members(f, from, false, depth);
    default: return 0;
    }
}

/* The content of one that is attached, of the past, or gone. */
static int add_content(ckpy_flat *f, ckpy_handle *h, unsigned depth)
{
    if (h->kind == CKV_KIND_TEXT && f->may_split && !f->frame) {
        PyObject *s = ckpy_handle_content(h, LAST, false);
        const int done = s ? add_local_text(f, s, depth) : -1;
        Py_XDECREF(s);
        return done;
    }
    foreign from = {.numbers = ckv_buf_init(ckv_alloc_libc)};
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    int done = ckpy_handle_bytes(h, LAST, &bytes);
    if (done == 0) {
        from.rd = ckv_rd_init(bytes.ptr, bytes.len);
        done = copy_value(f, &from, depth);
        if (done < 0 && !PyErr_Occurred()) ckpy_raise(f->st, CKV_ENOMEM, "");
    }
    ckv_buf_fini(&bytes);
    ckv_buf_fini(&from.numbers);
    return done;
}

static int add_handle(ckpy_flat *f, ckpy_handle *h, unsigned depth)
{
    if (!ckpy_is_fresh(h)) return add_content(f, h, depth);
    const ckpy_fresh fresh = {h, f->n_containers};
    ckv_buf_bytes(&f->fresh, &fresh, sizeof fresh);
    if (f->fresh.status != CKV_OK) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(h);
    PyObject *plain = ckpy_handle_local(h);
    const int done = plain ? add_local(f, h, plain, depth) : -1;
    Py_XDECREF(plain);
    return done;
}

/* ---- any value */

static int add(ckpy_flat *f, PyObject *value, unsigned depth)
{
    const int scalar = add_scalar(f, value);
    if (scalar) return scalar < 0 ? -1 : 0;
    if (PyDict_CheckExact(value)) return add_dict(f, value, depth);
    if (PyList_Check(value) || PyTuple_Check(value)) return add_list(f, value, depth);
    if (PyAnySet_Check(value)) return add_set(f, value, depth);
    if (ckpy_is_handle(f->st, value)) return add_handle(f, HANDLE(value), depth);
    const int mapping = PyDict_Check(value) ? 1
                        : f->st->Mapping && !PyType_Check(value)
                            ? PyObject_IsInstance(value, f->st->Mapping)
                            : 0;
    if (mapping < 0) return -1;
    if (mapping) return add_mapping(f, value, depth);
    return refuse_type(f, "cannot store ", value, "");
}

int ckpy_flat_add(ckpy_flat *f, PyObject *value)
{
    f->frame = NULL;
    const int done = add(f, value, f->depth + 1);
    f->frame = NULL;
    f->n_values++;
    if (done < 0) return -1;
    if (f->bytes.status == CKV_OK) return 0;
    PyErr_NoMemory();
    return -1;
}

int ckpy_flat_check(ckpy_state *st, PyObject *value, PyObject *key)
{
    ckpy_flat f;
    ckpy_flat_init(&f, st, 0, key, -1);
    const int done = ckpy_flat_add(&f, value);
    ckpy_flat_fini(&f);
    return done;
}

int ckpy_flat_check_entries(ckpy_state *st, PyObject *dict, ckpy_doc *d, uint32_t map)
{
    if (!d) return ckpy_flat_check(st, dict, NULL);
    ckpy_flat f;
    ckpy_flat_init_in(&f, d, map, NULL, -1);
    f.depth--; /* the dict stands for the Map itself */
    const int done = ckpy_flat_add(&f, dict);
    ckpy_flat_fini(&f);
    return done;
}

/* ---- into the document */

int ckpy_flat_attach(const ckpy_flat *f, ckpy_doc *d, const ckv_buf *made)
{
    const ckpy_fresh *fresh = (const ckpy_fresh *)(const void *)f->fresh.ptr;
    const uint32_t *numbers = (const uint32_t *)(const void *)made->ptr;
    const size_t n = made->len / sizeof *numbers;
    for (size_t i = 0; i < f->fresh.len / sizeof *fresh; i++)
        if (fresh[i].ordinal < n &&
            ckpy_handle_attach(fresh[i].handle, d, numbers[fresh[i].ordinal]) < 0)
            return -1;
    return 0;
}

/* One try: the container, and what a long Text holds if that is the same change. */
static ckv_status try_once(ckpy_flat *f, ckpy_doc *d, ckpy_put put, void *ctx, int64_t ms,
                           ckv_buf *made)
{
    made->len = 0;
    if (!f->long_text) {
        if (f->bytes.len < CKPY_LONG) return put(d->core, f, ctx, made);
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        const ckv_status s = put(d->core, f, ctx, made);
        ckpy_lock_back(&d->lock, ts);
        return s;
    }
    const bool whole = !ckpy_is_lone(d);
    ckv_savepoint savepoint;
    CKV_TRY(ckv_doc_savepoint(d->core, &savepoint));
    ckv_status s = put(d->core, f, ctx, made);
    const uint32_t text = made->len ? *(const uint32_t *)(const void *)made->ptr : 0;
    if (s == CKV_OK && whole) s = ckpy_text_write(d, text, 0, f->long_text, ms);
    if (s == CKV_OK)
        ckv_doc_release(d->core, savepoint);
    else
        ckv_doc_rollback(d->core, savepoint);
    if (s == CKV_OK && !whole) s = ckpy_text_write(d, text, 0, f->long_text, ms);
    return s;
}

ckv_status ckpy_flat_store(ckpy_flat *f, ckpy_doc *d, ckpy_put put, void *ctx, bool *raised)
{
    int64_t ms = 0;
    int again;
    ckv_status s;
    *raised = true;
    if ((f->long_text && ckpy_doc_now(d, &ms) < 0) || ckpy_edit_begin(d) < 0) return CKV_EVALUE;
    ckv_buf made = ckv_buf_init(ckv_alloc_libc);
    do {
        s = try_once(f, d, put, ctx, ms, &made);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) {
            ckv_buf_fini(&made);
            return CKV_EVALUE;
        }
    } while (again);
    const size_t grown = f->bytes.len + 64 * (size_t)f->n_containers + MAX_KEY + 64;
    const bool told = ckpy_edit_end(d, s == CKV_OK ? grown : 0) == 0;
    *raised = (s == CKV_OK && ckpy_flat_attach(f, d, &made) < 0) || !told;
    ckv_buf_fini(&made);
    return *raised ? CKV_EVALUE : s;
}
