/* convert.c -- between Python's values and the core's. */
#include "py/convert.h"

#include <stdlib.h>
#include <time.h>

PyObject *ckpy_bytes_arg(PyObject *op, const char *what)
{
    if (PyBytes_CheckExact(op)) return Py_NewRef(op);
    if (!PyObject_CheckBuffer(op)) {
        PyErr_Format(PyExc_TypeError, "%s must be bytes-like, not %.100s", what,
                     Py_TYPE(op)->tp_name);
        return NULL;
    }
    return PyBytes_FromObject(op);
}

int ckpy_id_arg(PyObject *op, ckv_id32 *out)
{
    PyObject *bytes = ckpy_bytes_arg(op, "an id");
    if (!bytes) return -1;
    const bool fits = PyBytes_GET_SIZE(bytes) == 32;
    if (fits)
        memcpy(out, PyBytes_AS_STRING(bytes), 32);
    else
        PyErr_Format(PyExc_ValueError, "an id is 32 bytes long, not %zd", PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return fits ? 0 : -1;
}

int ckpy_ids_arg(PyObject *op, ckv_id32 **ids, size_t *n)
{
    if (PyObject_CheckBuffer(op) || PyUnicode_Check(op)) {
        PyErr_SetString(PyExc_TypeError, "expected an iterable of ids, not a single one");
        return -1;
    }
    PyObject *seq = PySequence_Tuple(op);
    if (!seq) return -1;
    const size_t count = (size_t)PyTuple_GET_SIZE(seq);
    ckv_id32 *out = PyMem_Malloc((count ? count : 1) * sizeof *out);
    if (!out) {
        Py_DECREF(seq);
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (ckpy_id_arg(PyTuple_GET_ITEM(seq, (Py_ssize_t)i), &out[i]) < 0) {
            PyMem_Free(out);
            Py_DECREF(seq);
            return -1;
        }
    }
    Py_DECREF(seq);
    if (count) qsort(out, count, sizeof *out, ckv_id32_order);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !ckv_id32_eq(&out[kept - 1], &out[i])) out[kept++] = out[i];
    *ids = out;
    *n = kept;
    return 0;
}

int ckpy_index_arg(PyObject *op, Py_ssize_t *out)
{
    const Py_ssize_t i =
        PyLong_CheckExact(op) ? PyLong_AsSsize_t(op) : PyNumber_AsSsize_t(op, PyExc_IndexError);
    if (i == -1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_OverflowError))
            PyErr_SetString(PyExc_IndexError, "position out of range");
        return -1;
    }
    *out = i;
    return 0;
}

int ckpy_value_arg(PyObject *op, ckv_value *out)
{
    if (op == Py_None) {
        out->tag = CKV_TAG_NONE;
    } else if (PyBool_Check(op)) {
        out->tag = op == Py_True ? CKV_TAG_TRUE : CKV_TAG_FALSE;
    } else if (PyLong_Check(op)) {
        int overflow = 0;
        const long long v = PyLong_AsLongLongAndOverflow(op, &overflow);
        if (overflow) {
            PyErr_SetString(PyExc_OverflowError, "an int must fit 64 bits");
            return -1;
        }
        if (v == -1 && PyErr_Occurred()) return -1;
        out->tag = CKV_TAG_INT;
        out->i64 = v;
    } else if (PyFloat_Check(op)) {
        out->tag = CKV_TAG_FLOAT;
        out->f64 = PyFloat_AS_DOUBLE(op);
    } else if (PyUnicode_Check(op)) {
        Py_ssize_t n;
        const char *p = PyUnicode_AsUTF8AndSize(op, &n);
        if (!p) return -1; /* UnicodeEncodeError, a ValueError, names the surrogate */
        out->tag = CKV_TAG_STR;
        out->ptr = (const uint8_t *)p;
        out->n_bytes = (size_t)n;
    } else if (PyBytes_Check(op)) {
        out->tag = CKV_TAG_BYTES;
        out->ptr = (const uint8_t *)PyBytes_AS_STRING(op);
        out->n_bytes = (size_t)PyBytes_GET_SIZE(op);
    } else {
        return 0;
    }
    return 1;
}

/* op >> 64 and op & (2^64 - 1), for what does not fit 64 bits. */
static int halves(PyObject *op, int64_t *high, uint64_t *low)
{
    PyObject *bits = PyLong_FromLong(64), *above = bits ? PyNumber_Rshift(op, bits) : NULL;
    int overflow = 0, result = -1;
    if (above) {
        *high = PyLong_AsLongLongAndOverflow(above, &overflow);
        *low = PyLong_AsUnsignedLongLongMask(op);
        if (overflow)
            PyErr_SetString(PyExc_OverflowError, "a count must fit 128 bits");
        else if (!PyErr_Occurred())
            result = 0;
    }
    Py_XDECREF(bits);
    Py_XDECREF(above);
    return result;
}

int ckpy_i128_arg(PyObject *op, ckv_i128 *out)
{
    int overflow = 0;
    int64_t high;
    uint64_t low;
    const long long small = PyLong_AsLongLongAndOverflow(op, &overflow);
    if (small == -1 && PyErr_Occurred()) return -1;
    if (!overflow) {
        *out = small;
        return 0;
    }
    if (halves(op, &high, &low) < 0) return -1;
    *out = (ckv_i128)high * ((ckv_i128)1 << 64) + (ckv_i128)low;
    return 0;
}

PyObject *ckpy_i128(ckv_i128 v)
{
    const long long small = (long long)v;
    if (small == v) return PyLong_FromLongLong(small);
    PyObject *high = PyLong_FromLongLong((long long)(v >> 64)), *bits = PyLong_FromLong(64);
    PyObject *low = PyLong_FromUnsignedLongLong((unsigned long long)v);
    PyObject *above = high && bits ? PyNumber_Lshift(high, bits) : NULL;
    PyObject *result = above && low ? PyNumber_Or(above, low) : NULL;
    Py_XDECREF(high);
    Py_XDECREF(bits);
    Py_XDECREF(low);
    Py_XDECREF(above);
    return result;
}

int ckpy_check_surrogates(PyObject *s)
{
    if (ckpy_ready(s) < 0) return -1;
    const int kind = PyUnicode_KIND(s);
    if (kind == PyUnicode_1BYTE_KIND) return 0;
    const void *data = PyUnicode_DATA(s);
    const Py_ssize_t n = PyUnicode_GET_LENGTH(s);
    for (Py_ssize_t i = 0; i < n; i++) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c >= 0xd800 && c <= 0xdfff) {
            PyErr_Format(PyExc_ValueError, "lone surrogate U+%04X at position %zd", (unsigned)c, i);
            return -1;
        }
    }
    return 0;
}

PyObject *ckpy_attr(PyObject *op, const char *name)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *result = key ? PyObject_GetAttr(op, key) : NULL;
    Py_XDECREF(key);
    return result;
}

PyObject *ckpy_call(PyObject *op, const char *name, PyObject *a, PyObject *b)
{
    PyObject *key = PyUnicode_InternFromString(name);
    PyObject *result = key ? PyObject_CallMethodObjArgs(op, key, a, b, NULL) : NULL;
    Py_XDECREF(key);
    return result;
}

int ckpy_now(PyObject *ask, int64_t *ms)
{
    if (!ask) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        *ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
        return 0;
    }
    PyObject *clock = Py_NewRef(ask), *now = PyObject_CallNoArgs(clock);
    Py_DECREF(clock);
    if (!now) return -1;
    if (!PyLong_Check(now)) {
        PyErr_Format(PyExc_TypeError, "clock() must return an int of milliseconds, not %.100s",
                     Py_TYPE(now)->tp_name);
        Py_DECREF(now);
        return -1;
    }
    const long long v = PyLong_AsLongLong(now);
    Py_DECREF(now);
    if (v == -1 && PyErr_Occurred()) return -1;
    *ms = v;
    return 0;
}

int ckpy_equivocation_arg(PyObject *const *args, Py_ssize_t nargs, ckv_equivocation *e)
{
    if (nargs != 5) {
        PyErr_Format(PyExc_TypeError, "_proof expected 5 arguments, got %zd", nargs);
        return -1;
    }
    if (ckpy_id_arg(args[0], &e->author) < 0 || ckpy_id_arg(args[1], &e->lane) < 0 ||
        ckpy_id_arg(args[3], &e->a) < 0 || ckpy_id_arg(args[4], &e->b) < 0)
        return -1;
    const unsigned long seq = PyLong_AsUnsignedLong(args[2]);
    if (seq == (unsigned long)-1 && PyErr_Occurred()) return -1;
    e->seq = (uint32_t)seq;
    return 0;
}

PyObject *ckpy_itself(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return Py_NewRef(op);
}

PyObject *ckpy_id(const ckv_id32 *id) { return PyBytes_FromStringAndSize((const char *)id->b, 32); }

PyObject *ckpy_id_tuple(const ckv_id32 *ids, size_t n)
{
    PyObject *out = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; out && i < n; i++) {
        PyObject *id = ckpy_id(&ids[i]);
        if (!id)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, (Py_ssize_t)i, id);
    }
    return out;
}

PyObject *ckpy_id_buf_tuple(const ckv_buf *ids)
{
    return ckpy_id_tuple((const ckv_id32 *)(const void *)ids->ptr, ids->len / sizeof(ckv_id32));
}

PyObject *ckpy_value(const ckv_value *v)
{
    switch (v->tag) {
    case CKV_TAG_NONE: Py_RETURN_NONE;
    case CKV_TAG_FALSE: Py_RETURN_FALSE;
    case CKV_TAG_TRUE: Py_RETURN_TRUE;
    case CKV_TAG_INT: return PyLong_FromLongLong(v->i64);
    case CKV_TAG_FLOAT: return PyFloat_FromDouble(v->f64);
    case CKV_TAG_STR:
        return PyUnicode_DecodeUTF8((const char *)v->ptr, (Py_ssize_t)v->n_bytes, NULL);
    case CKV_TAG_BYTES:
        return PyBytes_FromStringAndSize((const char *)v->ptr, (Py_ssize_t)v->n_bytes);
    case CKV_TAG_MAP:
    case CKV_TAG_LIST:
    case CKV_TAG_SET:
    case CKV_TAG_COUNTER:
    case CKV_TAG_TEXT:
    case CKV_TAG_DEFAULT_MAP:
    case CKV_TAG_DEFAULT_LIST:
    case CKV_TAG_DEFAULT_SET:
    case CKV_TAG_DEFAULT_COUNTER:
    case CKV_TAG_DEFAULT_TEXT: break;
    }
    PyErr_Format(PyExc_SystemError, "value tag %d is no scalar", (int)v->tag);
    return NULL;
}

PyObject *ckpy_figures(ckpy_state *st, const ckpy_figure *rows, size_t n)
{
    PyObject *result = PyDict_New();
    for (size_t i = 0; result && i < n; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(rows[i].value);
        if (!value || PyDict_SetItemString(result, rows[i].name, value) < 0) Py_CLEAR(result);
        Py_XDECREF(value);
    }
    if (!st->Stats) return result; /* crdtkv has not handed it in yet */
    PyObject *dressed = result ? PyObject_CallOneArg(st->Stats, result) : NULL;
    Py_XDECREF(result);
    return dressed;
}

PyObject *ckpy_equivocations(const ckv_buf *found)
{
    const ckv_equivocation *e = (const ckv_equivocation *)(const void *)found->ptr;
    const size_t n = found->len / sizeof *e;
    PyObject *result = PyList_New(0);
    for (size_t i = 0; result && i < n; i++) {
        PyObject *one = Py_BuildValue("(y#y#ky#y#)", e[i].author.b, (Py_ssize_t)32, e[i].lane.b,
                                      (Py_ssize_t)32, (unsigned long)e[i].seq, e[i].a.b,
                                      (Py_ssize_t)32, e[i].b.b, (Py_ssize_t)32);
        if (!one || PyList_Append(result, one) < 0) Py_CLEAR(result);
        Py_XDECREF(one);
    }
    return result;
}
