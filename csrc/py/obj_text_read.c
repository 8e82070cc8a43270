/* obj_text_read.c -- Text, read like a str. Whatever looks at more than one place does so on a copy: str(text). */
#include "py/convert.h"
#include "py/errors.h"
#include "py/text_read.h"

#define TEXT(op) ((ckpy_text *)(op))

int ckpy_text_len(ckpy_text *t, size_t *len)
{
    ckpy_doc *d = t->doc;
    if (!d) {
        PyObject *plain = ckpy_handle_local(t);
        if (!plain) return -1;
        *len = (size_t)PyUnicode_GET_LENGTH(plain);
        Py_DECREF(plain);
        return 0;
    }
    ckpy_lock_get(&d->lock);
    const bool live = ckpy_is_live(t);
    if (live) *len = ckv_text_len(d->core, t->container);
    ckpy_lock_put(&d->lock);
    if (!live) ckpy_stale(t);
    return live ? 0 : -1;
}

Py_ssize_t ckpy_text_length(PyObject *op)
{
    size_t len;
    return ckpy_text_len(TEXT(op), &len) < 0 ? -1 : (Py_ssize_t)len;
}

PyObject *ckpy_text_tp_str(PyObject *op) { return ckpy_text_str(TEXT(op)); }

PyObject *ckpy_text_to_py(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_text_str(TEXT(op));
}

/* ---- one place */

/* t[start:start + n], or the one character at `start`, counted from the end if negative. */
typedef enum shape { CHARACTER, SLICE } shape;

static PyObject *read_slice(ckpy_text *t, PyObject *key, shape what)
{
    Py_ssize_t start = 0, stop = 0, step = 1;
    if (what == CHARACTER ? ckpy_index_arg(key, &start) < 0
                          : PySlice_Unpack(key, &start, &stop, &step) < 0)
        return NULL;
    ckpy_doc *d = t->doc;
    if (!d || step != 1) {
        PyObject *all = ckpy_text_str(t);
        PyObject *part = all ? PyObject_GetItem(all, key) : NULL;
        Py_XDECREF(all);
        return part;
    }
    ckv_status s = CKV_ESTALE;
    PyObject *part = NULL;
    ckpy_lock_get(&d->lock);
    if (ckpy_is_live(t)) {
        const Py_ssize_t len = (Py_ssize_t)ckv_text_len(d->core, t->container);
        Py_ssize_t n = 1;
        if (what == SLICE)
            n = PySlice_AdjustIndices(len, &start, &stop, step);
        else if (start < 0)
            start += len;
        s = CKV_ERANGE;
        if (what == SLICE || (start >= 0 && start < len))
            part = ckpy_text_read(d, t->container, (size_t)start, (size_t)n, &s);
    }
    ckpy_lock_put(&d->lock);
    if (part) return part;
    return s == CKV_ESTALE ? ckpy_stale(t) : ckpy_raise(d->state, s, "text index out of range");
}

PyObject *ckpy_text_subscript(PyObject *op, PyObject *key)
{
    if (PyIndex_Check(key)) return read_slice(TEXT(op), key, CHARACTER);
    if (PySlice_Check(key)) return read_slice(TEXT(op), key, SLICE);
    PyErr_Format(PyExc_TypeError, "text indices must be integers or slices, not %.100s",
                 Py_TYPE(key)->tp_name);
    return NULL;
}

/* ---- the whole */

PyObject *ckpy_text_iter(PyObject *op)
{
    PyObject *all = ckpy_text_str(TEXT(op));
    PyObject *it = all ? PyObject_GetIter(all) : NULL;
    Py_XDECREF(all);
    return it;
}

PyObject *ckpy_text_reversed(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    PyObject *all = ckpy_text_str(TEXT(op));
    PyObject *it = all ? PyObject_CallOneArg((PyObject *)&PyReversed_Type, all) : NULL;
    Py_XDECREF(all);
    return it;
}

PyObject *ckpy_text_format(PyObject *op, PyObject *spec)
{
    PyObject *all = ckpy_text_str(TEXT(op));
    PyObject *result = all ? PyObject_Format(all, spec) : NULL;
    Py_XDECREF(all);
    return result;
}

/* str and Text as a str; NULL without an exception: neither. */
static PyObject *as_str(PyObject *op, PyTypeObject *text_type)
{
    if (PyUnicode_Check(op)) return Py_NewRef(op);
    return Py_IS_TYPE(op, text_type) ? ckpy_text_str(TEXT(op)) : NULL;
}

PyObject *ckpy_text_richcompare(PyObject *a, PyObject *b, int op)
{
    PyObject *y = as_str(b, Py_TYPE(a));
    if (!y) {
        if (PyErr_Occurred()) return NULL;
        Py_RETURN_NOTIMPLEMENTED;
    }
    PyObject *x = ckpy_text_str(TEXT(a));
    PyObject *result = x ? PyObject_RichCompare(x, y, op) : NULL;
    Py_XDECREF(x);
    Py_DECREF(y);
    return result;
}

int ckpy_text_contains(PyObject *op, PyObject *sub)
{
    PyObject *part = as_str(sub, Py_TYPE(op));
    if (!part) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "'in <Text>' requires a str, not %.100s",
                         Py_TYPE(sub)->tp_name);
        return -1;
    }
    PyObject *all = ckpy_text_str(TEXT(op));
    const int found = all ? PyUnicode_Contains(all, part) : -1;
    Py_XDECREF(all);
    Py_DECREF(part);
    return found;
}

PyObject *ckpy_text_add(PyObject *a, PyObject *b)
{
    PyTypeObject *type = PyUnicode_Check(a) ? Py_TYPE(b) : Py_TYPE(a);
    PyObject *x = as_str(a, type);
    PyObject *y = x ? as_str(b, type) : NULL;
    PyObject *result = NULL;
    if (x && y)
        result = PyUnicode_Concat(x, y);
    else if (!PyErr_Occurred())
        result = Py_NewRef(Py_NotImplemented);
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

PyObject *ckpy_text_repeat(PyObject *op, Py_ssize_t n)
{
    PyObject *all = ckpy_text_str(TEXT(op));
    PyObject *result = all ? PySequence_Repeat(all, n) : NULL;
    Py_XDECREF(all);
    return result;
}

/* str(op).name(*args, **kwargs), with each Text among the arguments as its str. */
static PyObject *ask_str(PyObject *op, const char *name, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    const Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject *few[8] = {NULL}, *result = NULL, *method = NULL;
    if (n >= 8) {
        PyErr_Format(PyExc_TypeError, "%s takes fewer arguments", name);
        return NULL;
    }
    if (!(few[0] = ckpy_text_str(TEXT(op)))) return NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        few[i + 1] =
            Py_IS_TYPE(args[i], Py_TYPE(op)) ? ckpy_text_str(TEXT(args[i])) : Py_NewRef(args[i]);
        if (!few[i + 1]) goto done;
    }
    method = PyUnicode_InternFromString(name);
    if (method) result = PyObject_VectorcallMethod(method, few, (size_t)nargs + 1, kwnames);
done:
    Py_XDECREF(method);
    for (Py_ssize_t i = 0; i <= n; i++) Py_XDECREF(few[i]);
    return result;
}

#define ASK_STR(name, doc)                                                                         \
    PyObject *ckpy_text_##name(PyObject *op, PyObject *const *args, Py_ssize_t nargs,              \
                               PyObject *kwnames)                                                  \
    {                                                                                              \
        return ask_str(op, #name, args, nargs, kwnames);                                           \
    }
CKPY_STR_METHODS(ASK_STR)
