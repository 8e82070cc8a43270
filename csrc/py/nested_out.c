/* nested_out.c -- keys and values of a store as Python's objects.
 *
 * A table of rows has the same keys in all of them: the last few are kept, hash and all, so that most are neither made nor hashed again.
 */
#include "py/convert.h"
#include "py/nested.h"

#define KEPT     32u /* keys, a power of two */
#define KEPT_MAX 64u /* bytes of one */

typedef struct reader {
    ckv_rd rd;
    unsigned depth;
    bool keeps;           /* in a dict that is not the whole value: its keys may come again */
    PyObject *kept[KEPT]; /* owned str of ASCII, or NULL */
} reader;

static PyObject *next(reader *r);

PyObject *ckpy_key(ckv_store_key key)
{
    const char *p = (const char *)key.ptr;
    return key.is_bytes ? PyBytes_FromStringAndSize(p, (Py_ssize_t)key.n_bytes)
                        : PyUnicode_DecodeUTF8(p, (Py_ssize_t)key.n_bytes, NULL);
}

static PyObject *bad(void)
{
    PyErr_SetString(PyExc_SystemError, "a store holds a value that is none");
    return NULL;
}

static PyObject *next_scalar(ckv_rd *rd)
{
    size_t n;
    const uint8_t tag = ckv_rd_u8(rd), *p = ckv_rd_blob(rd, &n);
    if (rd->status != CKV_OK) return bad();
    ckv_rd in = ckv_rd_init(p, n);
    switch (tag) {
    case CKV_TAG_NONE: Py_RETURN_NONE;
    case CKV_TAG_FALSE: Py_RETURN_FALSE;
    case CKV_TAG_TRUE: Py_RETURN_TRUE;
    case CKV_TAG_INT: return PyLong_FromLongLong(ckv_rd_zigzag(&in));
    case CKV_TAG_FLOAT: {
        const uint64_t bits = ckv_rd_u64le(&in);
        double v;
        memcpy(&v, &bits, sizeof v);
        return PyFloat_FromDouble(v);
    }
    case CKV_TAG_STR: return PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
    case CKV_TAG_BYTES: return PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
    default: return bad();
    }
}

PyObject *ckpy_nested_scalar(const uint8_t *p, size_t n)
{
    ckv_rd rd = ckv_rd_init(p, n);
    return next_scalar(&rd);
}

/* ---- containers */

static PyObject *next_key(reader *r)
{
    size_t n;
    const uint8_t *p = ckv_rd_blob(&r->rd, &n);
    if (r->rd.status != CKV_OK) return bad();
    if (!r->keeps || n == 0 || n > KEPT_MAX)
        return PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
    PyObject **kept = &r->kept[(n * 5 + p[0] + 3u * p[n / 2] + 7u * p[n - 1]) & (KEPT - 1)];
    if (*kept && (size_t)PyUnicode_GET_LENGTH(*kept) == n &&
        memcmp(PyUnicode_DATA(*kept), p, n) == 0)
        return Py_NewRef(*kept);
    PyObject *key = PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)n, NULL);
    if (key && PyUnicode_IS_ASCII(key)) Py_XSETREF(*kept, Py_NewRef(key));
    return key;
}

static PyObject *next_dict(reader *r)
{
    PyObject *dict = PyDict_New();
    while (dict && ckv_rd_left(&r->rd)) {
        PyObject *key = next_key(r), *value = key ? next(r) : NULL;
        if (!value || PyDict_SetItem(dict, key, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *next_list(reader *r)
{
    size_t n = 0;
    for (ckv_rd ahead = r->rd; ckv_rd_left(&ahead); n++) {
        size_t n_bytes;
        (void)ckv_rd_u8(&ahead);
        (void)ckv_rd_blob(&ahead, &n_bytes);
    }
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *value = next(r);
        if (!value)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, value);
    }
    return list;
}

static PyObject *next(reader *r)
{
    const uint8_t tag = ckv_rd_left(&r->rd) ? *r->rd.p : 0;
    if (tag <= CKV_TAG_BYTES) return next_scalar(&r->rd);
    size_t n;
    r->rd.p++;
    const uint8_t *content = ckv_rd_blob(&r->rd, &n), *const end = r->rd.end;
    const bool is_dict = tag == CKV_TAG_NESTED_DICT;
    if (r->rd.status != CKV_OK || r->depth == CKV_MAX_NESTING ||
        !(is_dict || tag == CKV_TAG_NESTED_LIST))
        return bad();
    const bool kept = r->keeps;
    r->rd = ckv_rd_init(content, n);
    r->keeps = r->depth > 0;
    r->depth++;
    PyObject *made = is_dict ? next_dict(r) : next_list(r);
    r->depth--;
    r->keeps = kept;
    r->rd.end = end;
    return made;
}

PyObject *ckpy_nested_read(const uint8_t *p, size_t n)
{
    if (n && ckpy_nested_is_scalar(p)) return ckpy_nested_scalar(p, n);
    reader r = {.rd = ckv_rd_init(p, n)};
#ifdef Py_GIL_DISABLED
    PyObject *value = next(&r);
#else
    /* Nothing that is made here can be garbage yet: looking for it takes a quarter of the time. The GIL stays with us, so nobody else notices. */
    const int collecting = PyGC_Disable();
    PyObject *value = next(&r);
    if (collecting) PyGC_Enable();
#endif
    for (size_t i = 0; i < KEPT; i++) Py_XDECREF(r.kept[i]);
    return value;
}

PyObject *ckpy_held_read(PyObject *bytes)
{
    PyObject *value = ckpy_nested_read((const uint8_t *)PyBytes_AS_STRING(bytes),
                                       (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return value;
}
