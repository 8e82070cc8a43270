/* obj_doc_map.c -- the root map of a document, as a mapping. */
#include "py/convert.h"
#include "py/errors.h"

#define DOC(op) ((ckpy_doc *)(op))

/* ---- keys */

typedef struct name {
    const char *ptr; /* borrowed from the key object */
    size_t n_bytes;
} name;

/* For reading. 1: a key; 0: cannot be one, so nothing is there; -1: an exception, as a dict raises it. */
static int name_to_read(PyObject *key, name *out)
{
    if (!PyUnicode_Check(key)) return PyObject_Hash(key) == -1 ? -1 : 0;
    Py_ssize_t n;
    out->ptr = PyUnicode_AsUTF8AndSize(key, &n);
    if (!out->ptr) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    out->n_bytes = (size_t)n;
    return 1;
}

static int name_to_write(PyObject *key, name *out)
{
    if (!PyUnicode_Check(key)) {
        PyErr_Format(PyExc_TypeError, "keys are str, not %.100s", Py_TYPE(key)->tp_name);
        return -1;
    }
    Py_ssize_t n;
    out->ptr = PyUnicode_AsUTF8AndSize(key, &n);
    out->n_bytes = (size_t)n;
    return out->ptr ? 0 : -1;
}

/* ---- reading */

/* NULL without an exception: not there. */
static PyObject *look_up(ckpy_doc *d, PyObject *key)
{
    name k;
    const int is_key = name_to_read(key, &k);
    if (is_key <= 0) return NULL;
    ckv_value v;
    PyObject *scalar = NULL;
    ckpy_lock_get(&d->lock);
    const ckv_status s = ckv_map_get(d->core, CKV_ROOT, k.ptr, k.n_bytes, &v);
    const bool is_text = s == CKV_OK && v.tag == CKV_TAG_TEXT;
    if (s == CKV_OK && !is_text) scalar = ckpy_value(&v);
    ckpy_lock_put(&d->lock);
    if (is_text) return ckpy_text_handle(d, v.container);
    if (s != CKV_OK && s != CKV_ENOENT) return ckpy_raise(d->state, s, "the key could not be read");
    return scalar;
}

PyObject *ckpy_doc_map_subscript(PyObject *op, PyObject *key)
{
    PyObject *value = look_up(DOC(op), key);
    if (!value && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

PyObject *ckpy_doc_map_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 2) {
        PyErr_Format(PyExc_TypeError, "get expected 1 or 2 arguments, got %zd", nargs);
        return NULL;
    }
    PyObject *value = look_up(DOC(op), args[0]);
    if (value || PyErr_Occurred()) return value;
    return Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

int ckpy_doc_map_contains(PyObject *op, PyObject *key)
{
    ckpy_doc *d = DOC(op);
    name k;
    const int is_key = name_to_read(key, &k);
    if (is_key <= 0) return is_key;
    ckv_value v;
    ckpy_lock_get(&d->lock);
    const ckv_status s = ckv_map_get(d->core, CKV_ROOT, k.ptr, k.n_bytes, &v);
    ckpy_lock_put(&d->lock);
    return s == CKV_OK;
}

Py_ssize_t ckpy_doc_map_length(PyObject *op)
{
    ckpy_lock_get(&DOC(op)->lock);
    const size_t n = ckv_map_len(DOC(op)->core, CKV_ROOT);
    ckpy_lock_put(&DOC(op)->lock);
    return (Py_ssize_t)n;
}

/* The entries at one moment: keys, then (if asked for) values, all plain. Owned by the caller; free with rows_free. */
typedef struct rows {
    PyObject **items; /* owned, 2 * n: key, value */
    size_t n;
} rows;

static void rows_free(rows *r)
{
    for (size_t i = 0; i < 2 * r->n; i++) Py_XDECREF(r->items[i]);
    PyMem_RawFree(r->items);
}

static int rows_read(ckpy_doc *d, bool with_values, rows *out)
{
    rows r = {0};
    ckv_status s = CKV_OK;
    bool made = true; /* false: Python could not make an object, and said why */
    ckpy_lock_get(&d->lock);
    const size_t n = ckv_map_len(d->core, CKV_ROOT);
    r.items = PyMem_RawCalloc(2 * n + 1, sizeof *r.items);
    if (!r.items) s = CKV_ENOMEM;
    for (size_t i = 0; s == CKV_OK && made && i < n; i++) {
        const char *key;
        size_t key_bytes;
        ckv_value v;
        s = ckv_map_at(d->core, CKV_ROOT, i, &key, &key_bytes, &v);
        if (s != CKV_OK) break;
        PyObject *value = NULL;
        PyObject *k = PyUnicode_DecodeUTF8(key, (Py_ssize_t)key_bytes, NULL);
        if (with_values && v.tag == CKV_TAG_TEXT)
            value = ckpy_text_read(d, v.container, 0, ckv_text_len(d->core, v.container), &s);
        else if (with_values)
            value = ckpy_value(&v);
        made = k && (value || !with_values);
        r.items[2 * i] = k;
        r.items[2 * i + 1] = value;
        r.n = i + 1;
    }
    ckpy_lock_put(&d->lock);
    if (s == CKV_OK && made) {
        *out = r;
        return 0;
    }
    rows_free(&r);
    if (s != CKV_OK && !PyErr_Occurred()) ckpy_raise(d->state, s, "the map could not be read");
    return -1;
}

PyObject *ckpy_doc_map_iter(PyObject *op)
{
    rows r;
    if (rows_read(DOC(op), false, &r) < 0) return NULL;
    PyObject *keys = PyList_New((Py_ssize_t)r.n);
    for (size_t i = 0; keys && i < r.n; i++) {
        PyList_SET_ITEM(keys, (Py_ssize_t)i, r.items[2 * i]);
        r.items[2 * i] = NULL;
    }
    rows_free(&r);
    PyObject *it = keys ? PyObject_GetIter(keys) : NULL;
    Py_XDECREF(keys);
    return it;
}

PyObject *ckpy_doc_map_to_py(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    rows r;
    if (rows_read(DOC(op), true, &r) < 0) return NULL;
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < r.n; i++)
        if (PyDict_SetItem(dict, r.items[2 * i], r.items[2 * i + 1]) < 0) Py_CLEAR(dict);
    rows_free(&r);
    return dict;
}

/* ---- writing */

/* What an entry can add to the open change: key, value, and the op around them. */
static size_t entry_bytes(const name *k, size_t value_bytes)
{
    return k->n_bytes + value_bytes + 64;
}

static int raise_set(ckpy_doc *d, const name *k, ckv_status s)
{
    if (s == CKV_ELIMIT && k->n_bytes > 4096)
        ckpy_raise(d->state, s, "a key holds at most 4 KiB");
    else if (s == CKV_ELIMIT)
        ckpy_raise(d->state, s, "a change holds at most 16 MiB");
    else
        ckpy_raise(d->state, s, "the key could not be set");
    return -1;
}

static int set_scalar(ckpy_doc *d, const name *k, const ckv_value *v)
{
    ckv_status s;
    int again;
    uint32_t made;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = ckv_map_set(d->core, CKV_ROOT, k->ptr, k->n_bytes, v, &made);
        again = s == CKV_ELIMIT && k->n_bytes <= 4096 ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const bool sized = v->tag == CKV_TAG_STR || v->tag == CKV_TAG_BYTES;
    ckpy_edit_end(d, s == CKV_OK ? entry_bytes(k, sized ? v->n_bytes : 16) : 0);
    return s == CKV_OK ? 0 : raise_set(d, k, s);
}

/* Is t the very text that stands at this key? */
static bool stands_at(ckpy_doc *d, const name *k, const ckpy_text *t)
{
    if (t->doc != d) return false;
    ckv_value v;
    ckpy_lock_get(&d->lock);
    const ckv_status s = ckv_map_get(d->core, CKV_ROOT, k->ptr, k->n_bytes, &v);
    ckpy_lock_put(&d->lock);
    return s == CKV_OK && v.tag == CKV_TAG_TEXT && v.container == t->container;
}

/* A fresh text becomes the handle; the content of any other is copied. */
static int set_text(ckpy_doc *d, const name *k, ckpy_text *t)
{
    if (stands_at(d, k, t)) return 0; /* doc["t"] += "x" */
    const bool fresh = !t->doc && !t->frozen;
    PyObject *content = ckpy_text_last(t);
    if (!content) return -1;
    const ckv_value v = {.tag = CKV_TAG_TEXT};
    const bool splits = ckpy_text_splits(content);
    int64_t ms = 0;
    int again;
    ckv_status s;
    uint32_t made = 0;
    if ((splits && ckpy_doc_now(d, &ms) < 0) || ckpy_edit_begin(d) < 0) {
        Py_DECREF(content);
        return -1;
    }
    do {
        ckv_mark mark;
        s = ckv_doc_mark(d->core, &mark);
        if (s != CKV_OK) break;
        const bool whole = !splits || !ckpy_is_lone(d); /* key and content are one change */
        s = ckv_map_set(d->core, CKV_ROOT, k->ptr, k->n_bytes, &v, &made);
        if (s == CKV_OK && whole) s = ckpy_text_write(d, made, 0, content, ms);
        if (s == CKV_OK)
            ckv_doc_unmark(d->core, mark);
        else
            ckv_doc_rollback(d->core, mark);
        if (s == CKV_OK && !whole) s = ckpy_text_write(d, made, 0, content, ms);
        again = s == CKV_ELIMIT && k->n_bytes <= 4096 ? ckpy_edit_make_room(d) : 0;
        if (again < 0) {
            Py_DECREF(content);
            return -1;
        }
    } while (again);
    ckpy_edit_end(d, s == CKV_OK ? entry_bytes(k, 4 * (size_t)PyUnicode_GET_LENGTH(content)) : 0);
    Py_DECREF(content);
    if (s != CKV_OK) return raise_set(d, k, s);
    return fresh ? ckpy_text_attach(t, d, made) : 0;
}

static int set(ckpy_doc *d, PyObject *key, PyObject *value)
{
    name k;
    if (name_to_write(key, &k) < 0) return -1;
    ckv_value v;
    const int scalar = ckpy_value_arg(value, &v);
    if (scalar < 0) return -1;
    if (scalar) return set_scalar(d, &k, &v);
    if (Py_IS_TYPE(value, d->state->Text)) return set_text(d, &k, (ckpy_text *)value);
    PyErr_Format(PyExc_TypeError,
                 "cannot store %.100s: values are None, bool, int, float, str, bytes and Text",
                 Py_TYPE(value)->tp_name);
    return -1;
}

static int unset(ckpy_doc *d, PyObject *key)
{
    name k;
    const int is_key = name_to_read(key, &k);
    if (is_key < 0) return -1;
    ckv_status s = CKV_ENOENT;
    if (is_key) {
        int again;
        if (ckpy_edit_begin(d) < 0) return -1;
        do {
            s = ckv_map_unset(d->core, CKV_ROOT, k.ptr, k.n_bytes);
            again = s == CKV_ELIMIT && k.n_bytes <= 4096 ? ckpy_edit_make_room(d) : 0;
            if (again < 0) return -1;
        } while (again);
        ckpy_edit_end(d, s == CKV_OK ? entry_bytes(&k, 0) : 0);
        if (s == CKV_ELIMIT && k.n_bytes > 4096) s = CKV_ENOENT;
    }
    if (s == CKV_OK) return 0;
    if (s == CKV_ENOENT)
        PyErr_SetObject(PyExc_KeyError, key);
    else
        raise_set(d, &k, s);
    return -1;
}

int ckpy_doc_map_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    return value ? set(DOC(op), key, value) : unset(DOC(op), key);
}
