/* plain_out.c -- plain bytes as Python's dicts, lists and sets. Runs without the document's lock.
 *
 * A key is made once for the whole stream, hash and all, so that a table of rows costs one look-up an entry.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/plain.h"

static PyObject *next_value(ckpy_plain *p, unsigned depth);

void ckpy_plain_init(ckpy_plain *p, ckpy_state *st, const uint8_t *bytes, size_t n_bytes,
                     bool kinds)
{
    *p = (ckpy_plain){.st = st, .rd = ckv_rd_init(bytes, n_bytes), .kinds = kinds};
}

void ckpy_plain_fini(ckpy_plain *p)
{
    for (size_t i = 0; i < p->n_keys; i++) Py_DECREF(p->keys[i]);
    PyMem_Free(p->keys);
}

static PyObject *bad(void)
{
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_SystemError, "the core wrote no plain value");
    return NULL;
}

static PyObject *next_str(ckpy_plain *p)
{
    size_t n;
    const uint8_t *s = ckv_rd_blob(&p->rd, &n);
    if (p->rd.status != CKV_OK) return bad();
    return PyUnicode_DecodeUTF8((const char *)s, (Py_ssize_t)n, NULL);
}

/* Borrowed. */
static PyObject *next_key(ckpy_plain *p)
{
    const uint64_t k = ckv_rd_varint(&p->rd);
    if (k) return k <= p->n_keys ? p->keys[k - 1] : bad();
    if (p->n_keys == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 16;
        PyObject **grown = PyMem_Realloc(p->keys, cap * sizeof *grown);
        if (!grown) return PyErr_NoMemory();
        p->keys = grown;
        p->cap = cap;
    }
    PyObject *key = next_str(p);
    if (!key) return NULL;
    p->keys[p->n_keys++] = key;
    return key;
}

PyObject *ckpy_plain_key(ckpy_plain *p) { return Py_XNewRef(next_key(p)); }

static PyObject *next_dict(ckpy_plain *p, unsigned depth)
{
    const uint64_t n = ckv_rd_count(&p->rd, 2);
    PyObject *dict = PyDict_New();
    for (uint64_t i = 0; dict && i < n; i++) {
        PyObject *key = next_key(p), *value = key ? next_value(p, depth + 1) : NULL;
        if (!value || PyDict_SetItem(dict, key, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *next_list(ckpy_plain *p, unsigned depth)
{
    const size_t n = ckv_rd_count(&p->rd, 1);
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *value = next_value(p, depth + 1);
        if (!value)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
    }
    return list;
}

static PyObject *next_set(ckpy_plain *p, unsigned depth)
{
    const size_t n = ckv_rd_count(&p->rd, 1);
    PyObject *set = PySet_New(NULL);
    for (size_t i = 0; set && i < n; i++) {
        PyObject *value = next_value(p, depth + 1);
        if (!value || PySet_Add(set, value) < 0) Py_CLEAR(set);
        Py_XDECREF(value);
    }
    return set;
}

static PyObject *next_total(ckpy_plain *p)
{
    const uint64_t low = ckv_rd_u64le(&p->rd), high = ckv_rd_u64le(&p->rd);
    return ckpy_i128((ckv_i128)(((unsigned __int128)high << 64) | low));
}

static PyObject *next_float(ckpy_plain *p)
{
    const uint64_t bits = ckv_rd_u64le(&p->rd);
    double v;
    memcpy(&v, &bits, sizeof v);
    return PyFloat_FromDouble(v);
}

static PyObject *next_bytes(ckpy_plain *p)
{
    size_t n;
    const uint8_t *s = ckv_rd_blob(&p->rd, &n);
    return p->rd.status == CKV_OK ? PyBytes_FromStringAndSize((const char *)s, (Py_ssize_t)n)
                                  : bad();
}

static PyObject *by_name(ckpy_plain *p, ckv_kind kind, PyObject *content, unsigned depth)
{
    if (!content || !p->kinds || depth == 0) return content;
    return ckpy_handle_new(ckpy_handle_type(p->st, kind), kind, content);
}

static PyObject *next_value(ckpy_plain *p, unsigned depth)
{
    const uint8_t tag = ckv_rd_u8(&p->rd);
    if (p->rd.status != CKV_OK || depth > CKV_MOST_DEPTH + 2) return bad();
    switch (tag) {
    case CKV_TAG_NONE: Py_RETURN_NONE;
    case CKV_TAG_FALSE: Py_RETURN_FALSE;
    case CKV_TAG_TRUE: Py_RETURN_TRUE;
    case CKV_TAG_INT: return PyLong_FromLongLong(ckv_rd_zigzag(&p->rd));
    case CKV_TAG_FLOAT: return next_float(p);
    case CKV_TAG_STR: return next_str(p);
    case CKV_TAG_BYTES: return next_bytes(p);
    case CKV_TAG_MAP: return next_dict(p, depth);
    case CKV_TAG_LIST: return next_list(p, depth);
    case CKV_TAG_SET: return next_set(p, depth);
    case CKV_TAG_COUNTER: return by_name(p, CKV_KIND_COUNTER, next_total(p), depth);
    case CKV_TAG_TEXT: return by_name(p, CKV_KIND_TEXT, next_str(p), depth);
    default: return bad();
    }
}

PyObject *ckpy_plain_next(ckpy_plain *p) { return next_value(p, 0); }

PyObject *ckpy_plain_one(ckpy_state *st, const ckv_buf *bytes, bool kinds)
{
    ckpy_plain p;
    ckpy_plain_init(&p, st, bytes->ptr, bytes->len, kinds);
#ifdef Py_GIL_DISABLED
    PyObject *value = ckpy_plain_next(&p);
#else
    /* Nothing that is made here can be garbage yet: looking for it takes a quarter of the time. The GIL stays with us, so nobody else notices. */
    const int collecting = PyGC_Disable();
    PyObject *value = ckpy_plain_next(&p);
    if (collecting) PyGC_Enable();
#endif
    ckpy_plain_fini(&p);
    return value;
}
