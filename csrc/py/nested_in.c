/* nested_in.c -- keys and values of Python's as the bytes of a store.
 *
 * Lists, tuples and dicts are read as they lie in memory, of a subclass of dict what its items() gives. The length of a container stands before
 * its content: one byte is kept for it, and what comes out longer than 127 bytes moves up.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/nested.h"
#include "py/path.h"

typedef struct writer {
    ckpy_state *st;
    ckv_buf *out;
    size_t start;         /* in out */
    const ckpy_frame *in; /* NULL: the value is not in a container */
    unsigned depth;
    bool foreign; /* a dict may hold a key twice, for all we know */
} writer;

static int add(writer *w, PyObject *value);

void *ckpy_scratch_grow(void *room, void *old, size_t old_size, size_t new_size)
{
    if (old != room) return ckv_resize(ckv_alloc_libc, old, old_size, new_size);
    void *made = new_size ? ckv_resize(ckv_alloc_libc, NULL, 0, new_size) : NULL;
    if (made) memcpy(made, old, old_size);
    return made;
}

/* ---- errors: where */

/* "what at path"; -1 */
static int refuse(const writer *w, PyObject *class, const char *what)
{
    return ckpy_refuse_at(class, what, PyUnicode_New(0, 0), w->in);
}

static int refuse_type(const writer *w, const char *before, PyObject *op)
{
    char what[160];
    PyOS_snprintf(what, sizeof what, "%s%.100s", before, Py_TYPE(op)->tp_name);
    return refuse(w, PyExc_TypeError, what);
}

static int refuse_size(const writer *w)
{
    return refuse(w, w->st->LimitError, "a value takes at most 1 MiB, it is longer");
}

static int changed(void)
{
    PyErr_SetString(PyExc_RuntimeError, "a container changed while it was stored");
    return -1;
}

/* ---- pieces */

/* Room for n more bytes of the value. */
static inline int room(const writer *w, size_t n)
{
    ckv_buf *out = w->out;
    if (n > CKV_MAX_VALUE || out->len - w->start + n > CKV_MAX_VALUE) return refuse_size(w);
    if (out->cap - out->len >= n || ckv_buf_reserve(out, n)) return 0;
    out->status = CKV_OK;
    PyErr_NoMemory();
    return -1;
}

/* tag, length, content; without a tag for tag < 0. */
static inline int add_blob(const writer *w, int tag, const void *p, size_t n)
{
    if (room(w, n > CKV_MAX_VALUE ? n : n + (tag >= 0) + ckv_varint_size(n)) < 0) return -1;
    uint8_t *at = w->out->ptr + w->out->len;
    if (tag >= 0) *at++ = (uint8_t)tag;
    at += ckv_varint_put(at, n);
    if (n) memcpy(at, p, n);
    w->out->len = (size_t)(at - w->out->ptr) + n;
    return 0;
}

static int utf8(const writer *w, PyObject *s, const char **p, size_t *n)
{
    Py_ssize_t n_bytes;
    if (ckpy_ready(s) < 0) return -1;
    if (PyUnicode_IS_COMPACT_ASCII(s)) { /* its characters are its UTF-8 */
        *p = (const char *)PyUnicode_DATA(s);
        *n = (size_t)PyUnicode_GET_LENGTH(s);
        return 0;
    }
    if (PyUnicode_GET_LENGTH(s) > (Py_ssize_t)CKV_MAX_VALUE) return refuse_size(w);
    *p = PyUnicode_AsUTF8AndSize(s, &n_bytes);
    *n = (size_t)n_bytes;
    if (*p) return 0;
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
    PyErr_Clear();
    return refuse(w, PyExc_ValueError, "lone surrogates cannot be stored");
}

static int add_text(const writer *w, int tag, PyObject *s)
{
    const char *p = NULL;
    size_t n = 0;
    return utf8(w, s, &p, &n) < 0 ? -1 : add_blob(w, tag, p, n);
}

static int add_int(const writer *w, PyObject *op)
{
    int overflow = 0;
    uint8_t folded[10];
    const long long v = PyLong_AsLongLongAndOverflow(op, &overflow);
    if (overflow) return refuse(w, PyExc_OverflowError, "an int must fit 64 bits");
    if (v == -1 && PyErr_Occurred()) return -1;
    return add_blob(w, CKV_TAG_INT, folded, ckv_varint_put(folded, ckv_zigzag(v)));
}

static int add_float(const writer *w, double v)
{
    uint64_t bits;
    uint8_t le[8];
    memcpy(&bits, &v, sizeof bits);
    if (v != v) bits = UINT64_C(0x7ff8000000000000); /* one of them is enough */
    for (size_t i = 0; i < 8; i++) le[i] = (uint8_t)(bits >> 8 * i);
    return add_blob(w, CKV_TAG_FLOAT, le, sizeof le);
}

/* ---- containers */

/* Goes into a container; *at: where its content begins. */
static int enter(writer *w, unsigned tag, size_t *at)
{
    if (w->depth == CKV_MAX_NESTING)
        return refuse(w, w->st->LimitError, "a container more than 64 deep, or in itself,");
    if (add_blob(w, (int)tag, NULL, 0) < 0) return -1;
    w->depth++;
    *at = w->out->len;
    return 0;
}

static int leave(writer *w, size_t at)
{
    ckv_buf *out = w->out;
    const size_t n = out->len - at, more = ckv_varint_size(n) - 1;
    if (room(w, more) < 0) return -1;
    if (more) memmove(out->ptr + at + more, out->ptr + at, n);
    ckv_varint_put(out->ptr + at - 1, n);
    out->len += more;
    w->depth--;
    return 0;
}

static int add_list(writer *w, PyObject *list)
{
    const bool is_list = PyList_Check(list);
    ckpy_frame here = {.up = w->in};
    size_t at;
    if (enter(w, CKV_TAG_NESTED_LIST, &at) < 0) return -1;
    w->in = &here;
    int done = 0;
    CKPY_BEGIN_CRITICAL(list);
    for (; done == 0; here.index++) { /* it may become another while its items are read */
        if (here.index >= (is_list ? PyList_GET_SIZE(list) : PyTuple_GET_SIZE(list))) break;
        PyObject *value = Py_NewRef(is_list ? PyList_GET_ITEM(list, here.index)
                                            : PyTuple_GET_ITEM(list, here.index));
        done = add(w, value);
        Py_DECREF(value);
    }
    CKPY_END_CRITICAL();
    w->in = here.up;
    return done < 0 ? -1 : leave(w, at);
}

static int add_entries(writer *w, PyObject *dict)
{
    const Py_ssize_t n = PyDict_GET_SIZE(dict);
    ckpy_frame here = {.up = w->in};
    Py_ssize_t next = 0, seen = 0;
    PyObject *key, *value;
    size_t at;
    if (enter(w, CKV_TAG_NESTED_DICT, &at) < 0) return -1;
#ifdef Py_GIL_DISABLED
    w->foreign = true; /* others come in between */
#endif
    int done = 0;
    CKPY_BEGIN_CRITICAL(dict);
    while (done == 0 && PyDict_Next(dict, &next, &key, &value)) {
        Py_INCREF(key); /* anybody's code may run further down */
        Py_INCREF(value);
        w->foreign |= !PyUnicode_CheckExact(key); /* equal to others as it likes */
        if (++seen > n)
            done = changed();
        else if (!PyUnicode_Check(key))
            done = refuse_type(w, "keys are str, not ", key);
        else
            done = add_text(w, -1, key);
        here.key = key;
        w->in = &here;
        if (done == 0) done = add(w, value);
        w->in = here.up;
        Py_DECREF(key);
        Py_DECREF(value);
    }
    CKPY_END_CRITICAL();
    if (done == 0 && seen != n) done = changed();
    return done < 0 ? -1 : leave(w, at);
}

/* A subclass keeps its own order, and may be made of anything: what its items() gives, a key once. */
static int add_subclass(writer *w, PyObject *dict)
{
    if (PyDict_GET_SIZE(dict) > (Py_ssize_t)CKV_MAX_VALUE / 3) return refuse_size(w);
    w->foreign = true;
    PyObject *items = PyMapping_Items(dict), *plain = items ? PyDict_New() : NULL;
    int done = plain ? PyDict_MergeFromSeq2(plain, items, 1) : -1;
    Py_XDECREF(items);
    if (done == 0) done = add_entries(w, plain);
    Py_XDECREF(plain);
    return done;
}

/* ---- any value */

static int add(writer *w, PyObject *value)
{
    if (PyBytes_Check(value))
        return add_blob(w, CKV_TAG_BYTES, PyBytes_AS_STRING(value),
                        (size_t)PyBytes_GET_SIZE(value));
    if (PyUnicode_Check(value)) return add_text(w, CKV_TAG_STR, value);
    if (value == Py_None) return add_blob(w, CKV_TAG_NONE, NULL, 0);
    if (PyBool_Check(value))
        return add_blob(w, value == Py_True ? CKV_TAG_TRUE : CKV_TAG_FALSE, NULL, 0);
    if (PyLong_Check(value)) return add_int(w, value);
    if (PyFloat_Check(value)) return add_float(w, PyFloat_AS_DOUBLE(value));
    if (PyDict_CheckExact(value)) return add_entries(w, value);
    if (PyList_Check(value) || PyTuple_Check(value)) return add_list(w, value);
    if (PyDict_Check(value)) return add_subclass(w, value);
    return refuse_type(w, "cannot store ", value);
}

/* A key twice in a dict, as it can come of other code in between. */
static int check(const writer *w)
{
    if (!w->foreign) return 0;
    ckv_rd r = ckv_rd_init(w->out->ptr + w->start, w->out->len - w->start);
    if (ckv_nested_valid(&r, ckv_alloc_libc, CKV_MAX_VALUE)) return 0;
    if (r.status == CKV_ENOMEM)
        PyErr_NoMemory();
    else
        PyErr_SetString(PyExc_ValueError, "a dict with a key twice cannot be stored");
    return -1;
}

int ckpy_nested_write(ckpy_state *st, ckv_buf *out, PyObject *value)
{
    writer w = {.st = st, .out = out, .start = out->len};
    if (add(&w, value) == 0 && check(&w) == 0) return 0;
    out->len = w.start;
    return -1;
}

/* ---- keys */

int ckpy_key_arg_slow(ckpy_state *st, PyObject *key, ckv_store_key *out)
{
    Py_ssize_t n;
    const char *p;
    const bool is_bytes = PyBytes_Check(key);
    if (is_bytes) {
        n = PyBytes_GET_SIZE(key);
        p = PyBytes_AS_STRING(key);
    } else if (PyUnicode_Check(key)) {
        if (ckpy_ready(key) < 0) return -1;
        n = PyUnicode_GET_LENGTH(key);
        p = "";
        if (n <= (Py_ssize_t)CKV_MAX_KEY) p = PyUnicode_AsUTF8AndSize(key, &n);
    } else {
        PyErr_Format(PyExc_TypeError, "a key is str or bytes, not %.100s", Py_TYPE(key)->tp_name);
        return -1;
    }
    if (!p) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
        PyErr_Clear();
        PyErr_SetString(PyExc_ValueError, "a key with a lone surrogate");
        return -1;
    }
    if (n > (Py_ssize_t)CKV_MAX_KEY) {
        PyErr_SetString(st->LimitError, "a key takes at most 4 KiB, it is longer");
        return -1;
    }
    *out = (ckv_store_key){(const uint8_t *)p, (uint32_t)n, is_bytes};
    return 0;
}

/* ---- many */

int ckpy_records_of(ckpy_state *st, PyObject *dict, ckv_buf *out)
{
    PyObject *key, *value;
    Py_ssize_t i = 0;
    while (PyDict_Next(dict, &i, &key, &value)) {
        ckv_store_key k;
        if (ckpy_key_arg(st, key, &k) < 0) return -1;
        ckpy_record r = {.key_bytes = k.n_bytes, .is_bytes = k.is_bytes};
        const size_t at = out->len;
        ckv_buf_bytes(out, &r, sizeof r);
        ckv_buf_bytes(out, k.ptr, k.n_bytes);
        const size_t start = out->len;
        if (out->status == CKV_OK && ckpy_nested_write(st, out, value) < 0) return -1;
        if (out->status != CKV_OK) {
            PyErr_NoMemory();
            return -1;
        }
        r.value_bytes = (uint32_t)(out->len - start);
        memcpy(out->ptr + at, &r, sizeof r);
    }
    return 0;
}
