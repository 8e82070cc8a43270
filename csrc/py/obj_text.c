/* obj_text.c -- Text: life and edits. Reading is in obj_text_read.c.
 *
 *     detached   holds a str, until it is stored;      edits make a new str
 *     attached   doc and container number;             edits go to the core
 *     frozen     a text of the past, from a view;      edits raise TypeError
 *
 * insert() is the hottest call of the library: no tuple, no copy, the characters go from the str straight to the core.
 */
#include "py/convert.h"
#include "py/cursor.h"
#include "py/edits.h"
#include "py/errors.h"
#include "py/plain.h"
#include "py/show.h"
#include "py/text_read.h"

#define TEXT(op) ((ckpy_text *)(op))

/* ---- life */

static PyObject *Text_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"", NULL};
    PyObject *content = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|O:Text", names, &content)) return NULL;
    PyObject *plain;
    if (!content)
        plain = PyUnicode_New(0, 0);
    else if (PyUnicode_Check(content))
        plain = PyUnicode_FromObject(content); /* exact str */
    else if (Py_IS_TYPE(content, tp))
        plain = ckpy_text_last(TEXT(content));
    else {
        PyErr_Format(PyExc_TypeError, "Text() wants a str, not %.100s", Py_TYPE(content)->tp_name);
        return NULL;
    }
    if (plain && ckpy_check_surrogates(plain) < 0) Py_CLEAR(plain);
    return ckpy_handle_new(tp, CKV_KIND_TEXT, plain);
}

/* ---- content */

PyObject *ckpy_text_read(ckpy_doc *d, uint32_t container, size_t start, size_t n, ckv_status *s)
{
    uint32_t max = 0;
    *s = n ? ckv_text_max_char(d->core, container, start, n, &max) : CKV_OK;
    if (*s != CKV_OK) return NULL;
    PyObject *out = PyUnicode_New((Py_ssize_t)n, max);
    if (!out) {
        *s = CKV_ENOMEM;
        return NULL;
    }
    if (n)
        *s = ckv_text_read(d->core, container, start, n, PyUnicode_DATA(out),
                           (unsigned)PyUnicode_KIND(out));
    if (*s != CKV_OK) Py_CLEAR(out);
    return out;
}

static PyObject *read_all(ckpy_text *t, bool also_stale)
{
    ckpy_doc *d = t->doc;
    if (!d) return ckpy_handle_local(t);
    PyObject *out = NULL;
    ckv_status s = CKV_ESTALE;
    ckpy_lock_get(&d->lock);
    const bool live = ckpy_is_live(t);
    if (live || (also_stale && !t->plain && !d->closed))
        out = ckpy_text_read(d, t->container, 0, ckv_text_len(d->core, t->container), &s);
    ckpy_lock_put(&d->lock);
    if (out) return out;
    if (!live && also_stale && t->plain) return Py_NewRef(t->plain);
    return (live || also_stale) && !d->closed
               ? ckpy_raise(d->state, s, "the text could not be read")
               : ckpy_stale(t);
}

PyObject *ckpy_text_last(ckpy_text *t) { return read_all(t, true); }
PyObject *ckpy_text_str(ckpy_text *t) { return read_all(t, false); }

/* ---- edits */

static PyObject *raise_edit(const ckpy_text *t, ckv_status s)
{
    if (s == CKV_ERANGE) return ckpy_raise(t->doc->state, s, "position out of range");
    return ckpy_handle_raise(t, s);
}

/* At most so many bytes of UTF-8 does a character of s have. */
static size_t bytes_per_char(PyObject *s)
{
    if (PyUnicode_IS_ASCII(s)) return 1;
    return PyUnicode_KIND(s) == PyUnicode_1BYTE_KIND   ? 2
           : PyUnicode_KIND(s) == PyUnicode_2BYTE_KIND ? 3
                                                       : 4;
}

/* So many characters of s fit a change of lone edits. */
static size_t lone_chars(PyObject *s)
{
    return ((size_t)CKPY_LONE_BYTES - 4096) / bytes_per_char(s);
}

bool ckpy_text_splits(PyObject *s) { return (size_t)PyUnicode_GET_LENGTH(s) > lone_chars(s); }

static ckv_status write_some(ckpy_doc *d, uint32_t container, size_t pos, PyObject *s, size_t off,
                             size_t n)
{
    const unsigned width = (unsigned)PyUnicode_KIND(s);
    const char *chars = (const char *)PyUnicode_DATA(s) + off * width;
    if (n < CKPY_LONG) return ckv_text_insert(d->core, container, pos, chars, width, n);
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status status = ckv_text_insert(d->core, container, pos, chars, width, n);
    ckpy_lock_back(&d->lock, ts);
    return status;
}

ckv_status ckpy_text_write(ckpy_doc *d, uint32_t container, size_t pos, PyObject *s, int64_t ms)
{
    const size_t n = (size_t)PyUnicode_GET_LENGTH(s);
    if (n == 0) return CKV_OK;
    if (!ckpy_is_lone(d) || !ckpy_text_splits(s)) return write_some(d, container, pos, s, 0, n);
    const size_t step = lone_chars(s);
    for (size_t off = 0; off < n; off += step) {
        const size_t now = n - off < step ? n - off : step;
        uint32_t change;
        if (ckv_doc_is_open(d->core)) {
            d->room = 0; /* large: off with the GIL */
            CKV_TRY(ckpy_doc_close(d, ms, NULL, 0, NULL, &change));
        }
        CKV_TRY(write_some(d, container, pos + off, s, off, now));
    }
    return CKV_OK;
}

/* [pos, pos + n_del) out of len characters; pos may count from the end. -1: IndexError. */
static int place(size_t len, Py_ssize_t *pos, Py_ssize_t n_del)
{
    if (*pos < 0) *pos += (Py_ssize_t)len;
    return *pos < 0 || (size_t)*pos > len || (size_t)n_del > len - (size_t)*pos ? -1 : 0;
}

/* What str[pos:pos + n_del] = s would give. */
static PyObject *plain_splice(PyObject *plain, Py_ssize_t pos, Py_ssize_t n_del, PyObject *s)
{
    PyObject *head = PyUnicode_Substring(plain, 0, pos), *tail = NULL, *front = NULL, *out = NULL;
    if (head) tail = PyUnicode_Substring(plain, pos + n_del, PyUnicode_GET_LENGTH(plain));
    if (tail) front = PyUnicode_Concat(head, s);
    if (front) out = PyUnicode_Concat(front, tail);
    Py_XDECREF(head);
    Py_XDECREF(tail);
    Py_XDECREF(front);
    return out;
}

static int detached_splice(ckpy_text *t, Py_ssize_t pos, Py_ssize_t n_del, PyObject *s)
{
    if (t->frozen) {
        ckpy_frozen(t);
        return -1;
    }
    if (s && ckpy_check_surrogates(s) < 0) return -1;
    PyObject *nothing = s ? NULL : PyUnicode_New(0, 0), *old = NULL;
    int result = -1;
    if (!s && !nothing) return -1;
    CKPY_BEGIN_CRITICAL((PyObject *)t);
    if (t->doc) {
        PyErr_SetString(PyExc_RuntimeError, "the text was stored by another thread meanwhile");
    } else if (place((size_t)PyUnicode_GET_LENGTH(t->plain), &pos, n_del) < 0) {
        PyErr_SetString(PyExc_IndexError, "position out of range");
    } else {
        PyObject *plain = plain_splice(t->plain, pos, n_del, s ? s : nothing);
        if (plain) {
            old = t->plain;
            t->plain = plain;
            result = 0;
        }
    }
    CKPY_END_CRITICAL();
    Py_XDECREF(old);
    Py_XDECREF(nothing);
    return result;
}

/* A change deletes at most 16 M characters; lone edits take half of that for one. */
#define LONE_DELETED ((size_t)1 << 23)

static int text_splice(ckpy_text *t, Py_ssize_t pos, Py_ssize_t n_del, PyObject *s);

/* A lone deletion so long that it is several changes; leaves what is the last one's in *n_del. */
static int delete_in_parts(ckpy_text *t, Py_ssize_t *pos, Py_ssize_t *n_del)
{
    size_t len;
    if (ckpy_text_len(t, &len) < 0) return -1;
    if (place(len, pos, *n_del) < 0) {
        PyErr_SetString(PyExc_IndexError, "position out of range");
        return -1;
    }
    while ((size_t)*n_del > LONE_DELETED) {
        if (text_splice(t, *pos, (Py_ssize_t)LONE_DELETED, NULL) < 0) return -1;
        *n_del -= (Py_ssize_t)LONE_DELETED;
    }
    return 0;
}

/* The one way in which everything but the fast path of insert() edits. s NULL: nothing to insert. */
static int text_splice(ckpy_text *t, Py_ssize_t pos, Py_ssize_t n_del, PyObject *s)
{
    ckpy_doc *d = t->doc;
    if (!d) return detached_splice(t, pos, n_del, s);
    if (s && ckpy_check_surrogates(s) < 0) return -1;
    if ((size_t)n_del > LONE_DELETED && d->owner != PyThread_get_thread_ident() &&
        delete_in_parts(t, &pos, &n_del) < 0)
        return -1;
    const size_t n = s ? (size_t)PyUnicode_GET_LENGTH(s) : 0;
    const bool splits = n && ckpy_text_splits(s);
    int64_t ms = 0;
    if (splits && ckpy_doc_now(d, &ms) < 0) return -1;
    if (ckpy_edit_begin(d) < 0) return -1;
    ckv_status status;
    int again;
    do {
        again = 0;
        if (!ckpy_is_live(t)) {
            status = CKV_ESTALE;
            break;
        }
        Py_ssize_t at = pos;
        if (place(ckv_text_len(d->core, t->container), &at, n_del) < 0) {
            status = CKV_ERANGE;
            break;
        }
        if (n && n_del) { /* both or none; a splitting paste is none or some of it */
            ckv_savepoint savepoint;
            status = ckv_doc_savepoint(d->core, &savepoint);
            if (status != CKV_OK) break;
            const bool whole = !splits || !ckpy_is_lone(d);
            status = ckv_text_delete(d->core, t->container, (size_t)at, (size_t)n_del);
            if (status == CKV_OK && whole)
                status = ckpy_text_write(d, t->container, (size_t)at, s, ms);
            if (status == CKV_OK)
                ckv_doc_release(d->core, savepoint);
            else
                ckv_doc_rollback(d->core, savepoint);
            if (status == CKV_OK && !whole)
                status = ckpy_text_write(d, t->container, (size_t)at, s, ms);
        } else if (n) {
            status = ckpy_text_write(d, t->container, (size_t)at, s, ms);
        } else if (n_del) {
            status = ckv_text_delete(d->core, t->container, (size_t)at, (size_t)n_del);
        } else {
            status = CKV_OK;
        }
        if (status == CKV_ELIMIT && (again = ckpy_edit_make_room(d)) < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, status == CKV_OK ? 32 + (splits ? 0 : 4 * n) : 0);
    if (status == CKV_OK) return told;
    raise_edit(t, status);
    return -1;
}

static int str_arg(PyObject *op, const char *what)
{
    if (PyUnicode_Check(op)) return 0;
    PyErr_Format(PyExc_TypeError, "%s wants a str, not %.100s", what, Py_TYPE(op)->tp_name);
    return -1;
}

/* What is inserted: a str as it is, a Text as its content; new reference. */
static PyObject *content_arg(ckpy_text *t, PyObject *op, const char *what)
{
    if (PyUnicode_Check(op)) return Py_NewRef(op);
    if (Py_IS_TYPE(op, Py_TYPE(t))) return ckpy_text_last(TEXT(op));
    (void)str_arg(op, what);
    return NULL;
}

static PyObject *Text_insert(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_text *self = TEXT(op);
    ckpy_doc *d = self->doc;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "insert expected 2 arguments, got %zd", nargs);
        return NULL;
    }
    Py_ssize_t pos;
    if (ckpy_index_arg(args[0], &pos) < 0) return NULL;
    PyObject *s = args[1];
    if (d && pos >= 0 && PyUnicode_Check(s) && ckpy_ready(s) == 0) {
        const Py_ssize_t n = PyUnicode_GET_LENGTH(s);
        if (n > 0 && n < 4096) {
            /* The fast path: short, from the start. Nothing is checked twice: the core checks place, life and surrogates. */
            if (ckpy_edit_begin(d) < 0) return NULL;
            const ckv_status status =
                ckv_text_insert(d->core, self->container, (size_t)pos, PyUnicode_DATA(s),
                                (unsigned)PyUnicode_KIND(s), (size_t)n);
            const int told = ckpy_edit_end(d, 16 + 4 * (size_t)n);
            if (status == CKV_OK) return told < 0 ? NULL : Py_NewRef(Py_None);
            if (status != CKV_ELIMIT && status != CKV_ERANGE) return raise_edit(self, status);
        }
    }
    PyObject *content = content_arg(self, s, "insert");
    if (!content) return NULL;
    const int result = text_splice(self, pos, 0, content);
    Py_DECREF(content);
    if (result < 0) return NULL;
    Py_RETURN_NONE;
}

static int count_arg(PyObject *op, Py_ssize_t *n)
{
    if (ckpy_index_arg(op, n) < 0) return -1;
    if (*n >= 0) return 0;
    PyErr_SetString(PyExc_ValueError, "a number of characters cannot be negative");
    return -1;
}

static PyObject *Text_delete(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs < 1 || nargs + n_kw > 2 ||
        (n_kw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "n") != 0)) {
        PyErr_SetString(PyExc_TypeError, "delete() wants a position and, maybe, n");
        return NULL;
    }
    Py_ssize_t pos, n = 1;
    if (ckpy_index_arg(args[0], &pos) < 0 || (nargs + n_kw > 1 && count_arg(args[1], &n) < 0))
        return NULL;
    if (text_splice(TEXT(op), pos, n, NULL) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *Text_splice(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "splice expected 3 arguments, got %zd", nargs);
        return NULL;
    }
    Py_ssize_t pos, n;
    if (ckpy_index_arg(args[0], &pos) < 0 || count_arg(args[1], &n) < 0) return NULL;
    PyObject *content = content_arg(TEXT(op), args[2], "splice");
    if (!content) return NULL;
    const int result = text_splice(TEXT(op), pos, n, content);
    Py_DECREF(content);
    if (result < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- splices */

/* Is it an exact (int, int, str), so that reading it runs no code of anybody's? */
static bool is_plain_splice(PyObject *item)
{
    return PyTuple_CheckExact(item) && PyTuple_GET_SIZE(item) == 3 &&
           PyLong_CheckExact(PyTuple_GET_ITEM(item, 0)) &&
           PyLong_CheckExact(PyTuple_GET_ITEM(item, 1)) &&
           PyUnicode_CheckExact(PyTuple_GET_ITEM(item, 2));
}

/* The item as an exact (int, int, str); new reference. */
static PyObject *plain_item(ckpy_text *t, PyObject *item)
{
    PyObject *three = PySequence_Tuple(item), *s = NULL, *out = NULL;
    if (!three) return NULL;
    Py_ssize_t pos, n;
    if (PyTuple_GET_SIZE(three) != 3) {
        PyErr_SetString(PyExc_ValueError,
                        "a splice is (position, number of deleted characters, str)");
    } else if (ckpy_index_arg(PyTuple_GET_ITEM(three, 0), &pos) == 0 &&
               count_arg(PyTuple_GET_ITEM(three, 1), &n) == 0 &&
               (s = content_arg(t, PyTuple_GET_ITEM(three, 2), "splices"))) {
        PyObject *exact = PyUnicode_FromObject(s);
        if (exact) out = Py_BuildValue("(nnN)", pos, n, exact);
    }
    Py_XDECREF(s);
    Py_DECREF(three);
    return out;
}

/* The items as a tuple of exact (int, int, str), checked for all that needs no text. */
static PyObject *plain_items(ckpy_text *t, PyObject *iterable, size_t *bytes)
{
    PyObject *items = PySequence_Tuple(iterable);
    if (!items) return NULL;
    const Py_ssize_t n = PyTuple_GET_SIZE(items);
    Py_ssize_t i = 0;
    while (i < n && is_plain_splice(PyTuple_GET_ITEM(items, i))) i++;
    if (i < n) { /* some are not: all over again, with patience */
        PyObject *exact = PyTuple_New(n);
        for (i = 0; exact && i < n; i++) {
            PyObject *item = plain_item(t, PyTuple_GET_ITEM(items, i));
            if (!item)
                Py_CLEAR(exact);
            else
                PyTuple_SET_ITEM(exact, i, item);
        }
        Py_SETREF(items, exact);
        if (!items) return NULL;
    }
    *bytes = 0;
    for (i = 0; i < n; i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i), *s = PyTuple_GET_ITEM(item, 2);
        Py_ssize_t pos, n_del;
        if (ckpy_index_arg(PyTuple_GET_ITEM(item, 0), &pos) < 0 ||
            count_arg(PyTuple_GET_ITEM(item, 1), &n_del) < 0 || ckpy_check_surrogates(s) < 0) {
            Py_DECREF(items);
            return NULL;
        }
        *bytes += (size_t)PyUnicode_GET_LENGTH(s) * bytes_per_char(s) + 16;
    }
    return items;
}

static void item_parts(PyObject *item, Py_ssize_t *pos, Py_ssize_t *n_del, PyObject **s)
{
    *pos =
        PyLong_AsSsize_t(PyTuple_GET_ITEM(item, 0)); /* both were read before, and are exact ints */
    *n_del = PyLong_AsSsize_t(PyTuple_GET_ITEM(item, 1));
    *s = PyTuple_GET_ITEM(item, 2);
}

/* Do all fit a text of `len` characters, one after the other? */
static bool all_fit(PyObject *items, size_t len)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
        Py_ssize_t pos, n_del;
        PyObject *s;
        item_parts(PyTuple_GET_ITEM(items, i), &pos, &n_del, &s);
        if (place(len, &pos, n_del) < 0) return false;
        len += (size_t)PyUnicode_GET_LENGTH(s) - (size_t)n_del;
    }
    return true;
}

static ckv_status apply_items(ckpy_text *t, PyObject *items, int64_t ms)
{
    ckpy_doc *d = t->doc;
    const bool lone = ckpy_is_lone(d);
    ckv_savepoint savepoint;
    uint32_t change;
    CKV_TRY(ckv_doc_savepoint(d->core, &savepoint));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
        Py_ssize_t pos, n_del;
        PyObject *s;
        item_parts(PyTuple_GET_ITEM(items, i), &pos, &n_del, &s);
        const size_t n = (size_t)PyUnicode_GET_LENGTH(s), cost = 32 + n * bytes_per_char(s);
        ckv_status status = CKV_OK;
        if (lone && d->room < (ptrdiff_t)cost) {
            d->room = ckpy_doc_limit(d) -
                      (ptrdiff_t)ckv_doc_open_bytes(d->core); /* our estimate is high */
            if (d->room <
                (ptrdiff_t)cost + 4096) { /* as lone edits do: close, and begin the next one */
                ckv_doc_release(d->core, savepoint);
                if (ckv_doc_is_open(d->core))
                    CKV_TRY(ckpy_doc_close(d, ms, NULL, 0, NULL, &change));
                CKV_TRY(ckv_doc_savepoint(d->core, &savepoint));
            }
        }
        if (pos < 0) pos += (Py_ssize_t)ckv_text_len(d->core, t->container);
        if (n_del) status = ckv_text_delete(d->core, t->container, (size_t)pos, (size_t)n_del);
        if (status == CKV_OK && lone && ckpy_text_splits(s)) {
            ckv_doc_release(d->core, savepoint);
            status = ckpy_text_write(d, t->container, (size_t)pos, s, ms);
            if (status != CKV_OK) return status;
            CKV_TRY(ckv_doc_savepoint(d->core, &savepoint));
        } else if (status == CKV_OK && n) {
            status = ckv_text_insert(d->core, t->container, (size_t)pos, PyUnicode_DATA(s),
                                     (unsigned)PyUnicode_KIND(s), n);
        }
        if (status != CKV_OK) {
            ckv_doc_rollback(d->core, savepoint);
            return status;
        }
        d->room -= (ptrdiff_t)cost;
    }
    ckv_doc_release(d->core, savepoint);
    return CKV_OK;
}

static PyObject *Text_splices(PyObject *op, PyObject *iterable)
{
    ckpy_text *self = TEXT(op);
    if (self->frozen) return ckpy_frozen(self);
    size_t bytes;
    PyObject *items = plain_items(self, iterable, &bytes);
    if (!items) return NULL;
    ckpy_doc *d = self->doc;
    PyObject *result = NULL;
    if (!d) {
        PyObject *before = ckpy_handle_local(self), *s;
        Py_ssize_t pos, n_del;
        bool ok = before && (all_fit(items, (size_t)PyUnicode_GET_LENGTH(before)) ||
                             (PyErr_SetString(PyExc_IndexError, "position out of range"), false));
        for (Py_ssize_t i = 0; ok && i < PyTuple_GET_SIZE(items); i++) {
            item_parts(PyTuple_GET_ITEM(items, i), &pos, &n_del, &s);
            ok = detached_splice(self, pos, n_del, s) == 0;
        }
        Py_XDECREF(before);
        if (ok) result = Py_NewRef(Py_None);
    } else {
        int64_t ms = 0;
        if (ckpy_doc_now(d, &ms) == 0 && ckpy_edit_begin(d) == 0) {
            ckv_status s;
            if (!ckpy_is_live(self))
                s = CKV_ESTALE;
            else if (!all_fit(items, ckv_text_len(d->core, self->container)))
                s = CKV_ERANGE;
            else
                s = apply_items(self, items, ms);
            const int told = ckpy_edit_end(d, 0);
            if (s != CKV_OK)
                raise_edit(self, s);
            else if (told == 0)
                result = Py_NewRef(Py_None);
        }
    }
    Py_DECREF(items);
    return result;
}

/* ---- update */

/* So many characters of four bytes fit a change of lone edits. */
#define LONE_WIDE (((size_t)CKPY_LONE_BYTES - 4096) / 4)

/* Closes the open change of lone edits between two parts of an edit. */
static ckv_status next_change(ckpy_doc *d, int64_t ms, ckv_savepoint *savepoint)
{
    ckv_doc *core = d->core;
    uint32_t change;
    ckpy_doc_check_lane(d);
    ckv_doc_release(core, *savepoint);
    const ckv_status closed = ckv_doc_commit(core, ms, NULL, 0, &change);
    if (closed == CKV_OK && d->watched) ckpy_doc_gather(d, NULL);
    CKV_TRY(ckv_doc_savepoint(core, savepoint));
    return closed;
}

/* One edit; what is too much for a change is done in parts, each a change of its own, if the edit is a lone one. */
static ckv_status apply_edit(ckpy_text *t, const ckpy_edit *e, const uint32_t *new, bool lone,
                             int64_t ms, ckv_savepoint *savepoint)
{
    ckv_doc *core = t->doc->core;
    const bool split_del = lone && e->n_del > LONE_DELETED,
               split_ins = lone && e->n_ins > LONE_WIDE;
    for (size_t left = e->n_del; left;) {
        const size_t n = split_del && left > LONE_DELETED ? LONE_DELETED : left;
        if (split_del) CKV_TRY(next_change(t->doc, ms, savepoint));
        CKV_TRY(ckv_text_delete(core, t->container, e->old_pos, n));
        left -= n;
    }
    if (split_del) CKV_TRY(next_change(t->doc, ms, savepoint));
    for (size_t off = 0; off < e->n_ins;) {
        const size_t left = e->n_ins - off, n = split_ins && left > LONE_WIDE ? LONE_WIDE : left;
        if (split_ins) CKV_TRY(next_change(t->doc, ms, savepoint));
        CKV_TRY(
            ckv_text_insert(core, t->container, e->old_pos + off, new + e->new_pos + off, 4, n));
        off += n;
    }
    return CKV_OK;
}

/* Under the lock, without the GIL: what turns the text into new[0, n). */
static ckv_status diff_and_apply(ckpy_text *t, const uint32_t *new, size_t n, int64_t ms)
{
    ckpy_doc *d = t->doc;
    const size_t n_old = ckv_text_len(d->core, t->container);
    const bool lone = ckpy_is_lone(d);
    uint32_t *old = PyMem_RawMalloc((n_old + 1) * sizeof *old);
    if (!old) return CKV_ENOMEM;
    ckv_buf edits = ckv_buf_init(ckv_alloc_libc);
    ckv_savepoint savepoint;
    ckv_status s = n_old ? ckv_text_read(d->core, t->container, 0, n_old, old, 4) : CKV_OK;
    if (s == CKV_OK) s = ckpy_edits(ckv_alloc_libc, old, n_old, new, n, &edits);
    if (s == CKV_OK) s = ckv_doc_savepoint(d->core, &savepoint);
    if (s == CKV_OK) {
        const ckpy_edit *e = (const ckpy_edit *)(const void *)edits.ptr;
        /* From the end, so that what is done does not move what is to do. */
        for (size_t i = edits.len / sizeof *e; s == CKV_OK && i-- > 0;) {
            if (lone && ckv_doc_open_bytes(d->core) > CKPY_LONE_BYTES)
                s = next_change(d, ms, &savepoint);
            if (s == CKV_OK) s = apply_edit(t, &e[i], new, lone, ms, &savepoint);
        }
        if (s == CKV_OK)
            ckv_doc_release(d->core, savepoint);
        else
            ckv_doc_rollback(d->core, savepoint);
    }
    ckv_buf_fini(&edits);
    PyMem_RawFree(old);
    return s;
}

static PyObject *Text_update(PyObject *op, PyObject *arg)
{
    ckpy_text *self = TEXT(op);
    ckpy_doc *d = self->doc;
    if (self->frozen) return ckpy_frozen(self);
    PyObject *content = content_arg(self, arg, "update");
    if (!content) return NULL;
    int result = -1;
    if (ckpy_check_surrogates(content) < 0) {
        /* said */
    } else if (!d) {
        PyObject *now = ckpy_handle_local(self);
        if (now) result = detached_splice(self, 0, PyUnicode_GET_LENGTH(now), content);
        Py_XDECREF(now);
    } else {
        const size_t n = (size_t)PyUnicode_GET_LENGTH(content);
        Py_UCS4 *chars = PyUnicode_AsUCS4Copy(content);
        int64_t ms = 0;
        if (chars && ckpy_doc_now(d, &ms) == 0 && ckpy_edit_begin(d) == 0) {
            ckv_status s = CKV_ESTALE;
            int again;
            do {
                again = 0;
                if (ckpy_is_live(self)) {
                    PyThreadState *ts = ckpy_lock_away(&d->lock);
                    s = diff_and_apply(self, chars, n, ms);
                    ckpy_lock_back(&d->lock, ts);
                }
                if (s == CKV_ELIMIT) again = ckpy_edit_make_room(d);
            } while (again > 0);
            if (again == 0) {
                result = ckpy_edit_end(d, s == CKV_OK ? 32 + 4 * n : 0);
                if (s != CKV_OK) {
                    raise_edit(self, s);
                    result = -1;
                }
            }
        }
        PyMem_Free(chars);
    }
    Py_DECREF(content);
    if (result < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- slices and += */

/* t[start:stop:step] = s (NULL: del), for steps other than 1: one splice for each character. */
static int splice_stepwise(ckpy_text *self, Py_ssize_t start, Py_ssize_t step, Py_ssize_t n,
                           PyObject *s)
{
    if (s && PyUnicode_GET_LENGTH(s) != n) {
        PyErr_Format(PyExc_ValueError, "cannot put %zd characters in an extended slice of %zd",
                     PyUnicode_GET_LENGTH(s), n);
        return -1;
    }
    PyObject *items = PyList_New(n);
    for (Py_ssize_t i = 0; items && i < n; i++) {
        /* From the end, so that what is done does not move what is to do. */
        const Py_ssize_t which = step > 0 ? n - 1 - i : i;
        PyObject *c = s ? PyUnicode_Substring(s, which, which + 1) : PyUnicode_New(0, 0);
        PyObject *item = c ? Py_BuildValue("(niN)", start + which * step, 1, c) : NULL;
        if (!item)
            Py_CLEAR(items);
        else
            PyList_SET_ITEM(items, i, item);
    }
    PyObject *done = items ? Text_splices((PyObject *)self, items) : NULL;
    Py_XDECREF(items);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int set_content(ckpy_text *self, PyObject *key, PyObject *s)
{
    size_t len;
    if (self->frozen) {
        ckpy_frozen(self);
        return -1;
    }
    if (ckpy_text_len(self, &len) < 0) return -1;
    if (PyIndex_Check(key)) {
        Py_ssize_t i;
        if (ckpy_index_arg(key, &i) < 0) return -1;
        return text_splice(self, i, 1, s);
    }
    if (!PySlice_Check(key)) {
        PyErr_Format(PyExc_TypeError, "text indices must be integers or slices, not %.100s",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(key, &start, &stop, &step) < 0) return -1;
    const Py_ssize_t n = PySlice_AdjustIndices((Py_ssize_t)len, &start, &stop, step);
    if (step != 1) return splice_stepwise(self, start, step, n, s);
    return text_splice(self, start, n, s);
}

static int Text_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    PyObject *s = value ? content_arg(TEXT(op), value, "a slice of a Text") : NULL;
    if (value && !s) return -1;
    const int result = set_content(TEXT(op), key, s);
    Py_XDECREF(s);
    return result;
}

static PyObject *Text_inplace_concat(PyObject *op, PyObject *other)
{
    ckpy_text *self = TEXT(op);
    if (!PyUnicode_Check(other) && !Py_IS_TYPE(other, Py_TYPE(op))) Py_RETURN_NOTIMPLEMENTED;
    PyObject *s = content_arg(self, other, "+=");
    if (!s) return NULL;
    size_t len = 0;
    int result = -1;
    for (;;) {
        if (self->frozen) {
            ckpy_frozen(self);
            break;
        }
        if (ckpy_text_len(self, &len) < 0) break;
        result = text_splice(self, (Py_ssize_t)len, 0, s);
        /* Another thread may have shortened the text meanwhile: then its end is elsewhere. */
        if (result == 0 || !PyErr_ExceptionMatches(PyExc_IndexError)) break;
        PyErr_Clear();
    }
    Py_DECREF(s);
    return result < 0 ? NULL : Py_NewRef(op);
}

/* *=: what is there stays, and keeps its authors, marks and cursors; its copies come behind it. */
static PyObject *Text_inplace_repeat(PyObject *op, Py_ssize_t n)
{
    ckpy_text *self = TEXT(op);
    if (self->frozen) return ckpy_frozen(self);
    if (n > 0) {
        PyObject *copies = ckpy_text_repeat(op, n - 1);
        PyObject *result = copies ? Text_inplace_concat(op, copies) : NULL;
        Py_XDECREF(copies);
        return result;
    }
    PyObject *nothing = PyUnicode_New(0, 0);
    PyObject *done = nothing ? Text_update(op, nothing) : NULL;
    Py_XDECREF(nothing);
    if (!done) return NULL;
    Py_DECREF(done);
    return Py_NewRef(op);
}

/* ---- blame */

/* Runs (taken) with the beginning of the text that they are of, for displays. */
static PyObject *with_words(ckpy_text *t, ckpy_doc *d, PyObject *runs)
{
    if (!d->state->Blame) return runs;
    PyObject *words = PySequence_GetSlice((PyObject *)t, 0, CKPY_SHOWN_CHARS);
    PyObject *you = words ? ckpy_attr(d->identity, "public_key") : NULL;
    PyObject *result =
        you ? PyObject_CallFunctionObjArgs(d->state->Blame, runs, words, you, NULL) : NULL;
    Py_DECREF(runs);
    Py_XDECREF(words);
    Py_XDECREF(you);
    return result;
}

static PyObject *Text_blame(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_text *self = TEXT(op);
    ckpy_view *view = (ckpy_view *)self->view;
    ckpy_doc *d = view ? view->doc : self->doc;
    if (!d) {
        PyErr_SetString(PyExc_TypeError, "a text that is not stored in a document has no history");
        return NULL;
    }
    if (ckpy_doc_settle(d, "blame") < 0) return NULL;
    ckv_buf runs = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 *ids = NULL; /* author and change of each run */
    ckv_status s = CKV_ESTALE;
    if (view || ckpy_is_live(self))
        s = ckv_text_blame(d->core, view ? view->core : NULL, self->container, &runs);
    const ckv_blame_run *r = (const ckv_blame_run *)(const void *)runs.ptr;
    const size_t n = runs.len / sizeof *r;
    if (s == CKV_OK && !(ids = PyMem_RawMalloc((2 * n + 1) * sizeof *ids))) s = CKV_ENOMEM;
    for (size_t i = 0; s == CKV_OK && i < n; i++) {
        ckv_change_info info;
        ckv_doc_change(d->core, r[i].change, &info);
        ids[2 * i] = *info.author;
        ids[2 * i + 1] = *info.id;
    }
    ckpy_lock_put(&d->lock);
    PyObject *result =
        s == CKV_OK ? PyList_New((Py_ssize_t)n) : ckpy_edit_raise(d, CKV_KIND_TEXT, s);
    for (size_t i = 0; result && i < n; i++) {
        PyObject *run =
            Py_BuildValue("(nny#y#)", (Py_ssize_t)r[i].start, (Py_ssize_t)r[i].end, ids[2 * i].b,
                          (Py_ssize_t)32, ids[2 * i + 1].b, (Py_ssize_t)32);
        if (!run)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, (Py_ssize_t)i, run);
    }
    PyMem_RawFree(ids);
    ckv_buf_fini(&runs);
    return result ? with_words(self, d, result) : NULL;
}

/* ---- marks */

/* "none" .. "both" as CKV_EXPAND_*. */
static int expand_arg(PyObject *op, unsigned *out)
{
    static const char *const names[] = {"none", "before", "after", "both"};
    for (unsigned i = 0; PyUnicode_Check(op) && i < 4; i++) {
        if (PyUnicode_CompareWithASCIIString(op, names[i]) != 0) continue;
        *out = i;
        return 0;
    }
    PyErr_SetString(PyUnicode_Check(op) ? PyExc_ValueError : PyExc_TypeError,
                    "expand is 'after', 'before', 'both' or 'none'");
    return -1;
}

/* [*start, *end) of len characters, both from the end if negative. */
static ckv_status range_of(const ckpy_text *t, Py_ssize_t *start, Py_ssize_t *end)
{
    if (!ckpy_is_live(t)) return CKV_ESTALE;
    const Py_ssize_t len = (Py_ssize_t)ckv_text_len(t->doc->core, t->container);
    if (*start < 0) *start += len;
    if (*end < 0) *end += len;
    if (*start < 0 || *start > len || *end < 0 || *end > len) return CKV_ERANGE;
    return *start < *end ? CKV_OK : CKV_EVALUE;
}

/* value NULL: takes the name away. */
static int put_mark(ckpy_text *t, PyObject *from, PyObject *to, PyObject *name, unsigned expand,
                    const ckv_value *value)
{
    ckpy_doc *d = t->doc;
    Py_ssize_t i, j, n_bytes;
    if (t->frozen) {
        ckpy_frozen(t);
        return -1;
    }
    if (!d) {
        PyErr_SetString(PyExc_TypeError, "a text has marks once it is stored in a document");
        return -1;
    }
    if (ckpy_index_arg(from, &i) < 0 || ckpy_index_arg(to, &j) < 0 ||
        str_arg(name, "the name of a mark") < 0)
        return -1;
    const char *bytes = PyUnicode_AsUTF8AndSize(name, &n_bytes);
    if (!bytes) return -1;
    if (n_bytes == 0 || (size_t)n_bytes > ckv_doc_limits(d->core)->key_bytes) {
        ckpy_raise(d->state, n_bytes ? CKV_ELIMIT : CKV_EVALUE,
                   "the name of a mark has 1 byte to 4 KiB");
        return -1;
    }
    ckv_status s;
    int again;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        Py_ssize_t start = i, end = j;
        s = range_of(t, &start, &end);
        if (s == CKV_OK)
            s = ckv_text_mark(d->core, t->container, (size_t)start, (size_t)end, expand, bytes,
                              (size_t)n_bytes, value);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const bool sized = value && (value->tag == CKV_TAG_STR || value->tag == CKV_TAG_BYTES);
    const size_t grown = 64 + (size_t)n_bytes + (sized ? value->n_bytes : 16);
    const int told = ckpy_edit_end(d, s == CKV_OK ? grown : 0);
    if (s == CKV_OK) return told;
    if (s == CKV_EVALUE)
        ckpy_raise(d->state, s, "a mark begins before it ends");
    else
        raise_edit(t, s);
    return -1;
}

static PyObject *Text_mark(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"start", "end", "name", "value", "expand", NULL};
    PyObject *start, *end, *name, *value, *how = NULL;
    unsigned expand = CKV_EXPAND_AFTER;
    ckv_value v;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OOOO|O:mark", names, &start, &end, &name, &value,
                                     &how) ||
        (how && expand_arg(how, &expand) < 0))
        return NULL;
    const int scalar = ckpy_value_arg(value, &v);
    if (scalar < 0) return NULL;
    if (!scalar)
        return PyErr_Format(PyExc_TypeError, "cannot store %.100s as the value of a mark",
                            Py_TYPE(value)->tp_name);
    return put_mark(TEXT(op), start, end, name, expand, &v) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Text_unmark(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"start", "end", "name", NULL};
    PyObject *start, *end, *name;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OOO:unmark", names, &start, &end, &name))
        return NULL;
    return put_mark(TEXT(op), start, end, name, CKV_EXPAND_AFTER, NULL) < 0 ? NULL
                                                                            : Py_NewRef(Py_None);
}

/* [[str, dict]] as [(str, dict)] */
static PyObject *as_tuples(PyObject *list)
{
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *tuple = PyList_AsTuple(PyList_GET_ITEM(list, i));
        if (!tuple || PyList_SetItem(list, i, tuple) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *Text_spans(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_text *self = TEXT(op);
    ckpy_view *view = (ckpy_view *)self->view;
    ckpy_doc *d = view ? view->doc : self->doc;
    if (!d) {
        PyObject *plain = ckpy_handle_local(self);
        if (!plain) return NULL;
        if (PyUnicode_GET_LENGTH(plain)) return Py_BuildValue("[(N{})]", plain);
        Py_DECREF(plain);
        return PyList_New(0);
    }
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = CKV_ESTALE;
    ckpy_lock_get(&d->lock);
    if (view ? !d->closed : ckpy_is_live(self))
        s = ckv_text_spans(d->core, view ? view->core : NULL, self->container, &out);
    ckpy_lock_put(&d->lock);
    PyObject *result = s == CKV_OK ? as_tuples(ckpy_plain_one(d->state, &out, false))
                                   : ckpy_edit_raise(d, CKV_KIND_TEXT, s);
    ckv_buf_fini(&out);
    return result;
}

static PyObject *Text_repr(PyObject *op)
{
    enum { SHOWN = 32 };
    ckpy_text *self = TEXT(op);
    ckpy_doc *d = self->doc;
    PyObject *head = NULL, *result;
    size_t len = 0;
    char where[40] = "detached";
    if (d) {
        const uint8_t *id = ckv_doc_id(d->core)->b;
        PyOS_snprintf(where, sizeof where, "%lu of %02x%02x%02x%02x",
                      (unsigned long)self->container, id[0], id[1], id[2], id[3]);
        ckv_status s = CKV_ESTALE;
        ckpy_lock_get(&d->lock);
        if (ckpy_is_live(self)) {
            len = ckv_text_len(d->core, self->container);
            head = ckpy_text_read(d, self->container, 0, len < SHOWN ? len : SHOWN, &s);
        }
        ckpy_lock_put(&d->lock);
        if (!head && s == CKV_ESTALE) return PyUnicode_FromFormat("<Text %s, deleted>", where);
        if (!head) return ckpy_raise(d->state, s, "the text could not be read");
    } else {
        PyObject *plain = ckpy_handle_local(self);
        if (!plain) return NULL;
        if (self->frozen) strcpy(where, "of the past");
        len = (size_t)PyUnicode_GET_LENGTH(plain);
        head = PyUnicode_Substring(plain, 0, SHOWN);
        Py_DECREF(plain);
        if (!head) return NULL;
    }
    result = PyUnicode_FromFormat("<Text %s, %zu characters: %R%s>", where, len, head,
                                  len > SHOWN ? "..." : "");
    Py_DECREF(head);
    return result;
}

/* ---- spec */

#define SETUP                                                                                      \
    "\n\n>>> import crdtkv as ck\n>>> doc = ck.Doc()\n>>> doc['t'] = ck.Text('hello')\n>>> t = "   \
    "doc['t']\n"

PyDoc_STRVAR(
    insert_doc,
    "insert($self, index, text, /)\n--\n\n"
    "Insert before the character at `index`: 0 to len, negative from the end, else IndexError.\n\n"
    "Positions count code points. A lone paste over 1 MiB splits into several changes. O(log "
    "n)." SETUP ">>> t.insert(5, ' world')\n>>> str(t)\n'hello world'");
PyDoc_STRVAR(delete_doc,
             "delete($self, index, /, n=1)\n--\n\n"
             "Delete n characters from `index` on; IndexError if there are not so many." SETUP
             ">>> t.delete(1, 3)\n>>> str(t)\n'ho'");
PyDoc_STRVAR(splice_doc, "splice($self, index, n_deleted, text, /)\n--\n\n"
                         "Put `text` in the place of n_deleted characters from `index` on." SETUP
                         ">>> t.splice(0, 1, 'J')\n>>> str(t)\n'Jello'");
PyDoc_STRVAR(splices_doc,
             "splices($self, splices, /)\n--\n\n"
             "A series of splices, (index, n_deleted, text) each, as fast as C goes: a whole "
             "editing trace.\n\n"
             "Positions are those after the splices before. All are checked first: on IndexError, "
             "ValueError or\n"
             "TypeError nothing is done. Lone ones close a change at each MiB, as edits one by one "
             "would." SETUP ">>> t.splices([(5, 0, '!'), (0, 1, 'J')])\n>>> str(t)\n'Jello!'");
PyDoc_STRVAR(
    update_doc,
    "update($self, text, /)\n--\n\n"
    "Make the text equal to `text` by few edits, so that what others write meanwhile stays.\n\n"
    "Fewest characters for texts that are alike; bounded time for those that are not." SETUP
    ">>> t.update('hello, you')\n>>> str(t)\n'hello, you'");
PyDoc_STRVAR(blame_doc,
             "blame($self, /)\n--\n\n"
             "Who wrote what: (start, end, author, change id) of each run, in order. Closes the "
             "open change." SETUP ">>> start, end, author, change = t.blame()[0]\n"
             ">>> start, end, author == doc.identity.public_key\n(0, 5, True)");

PyDoc_STRVAR(cursor_doc,
             "cursor($self, /, index, side='after')\n--\n\n"
             "A Cursor that stays with the character at `index` ('before': with the one before "
             "it)." SETUP ">>> place = t.cursor(5)\n>>> t.insert(0, 'oh, ')\n>>> place.index\n9");
PyDoc_STRVAR(
    mark_doc,
    "mark($self, /, start, end, name, value, expand='after')\n--\n\n"
    "Give the characters [start, end) a mark, such as 'bold': True; spans() shows it.\n\n"
    "`expand` says where text that is typed at the rim is marked, too: 'after', 'before', 'both', "
    "'none'.\n"
    "ValueError unless start is before end; TypeError for a detached text." SETUP
    ">>> t.mark(0, 2, 'bold', True)\n>>> t.spans()\n[('he', {'bold': True}), ('llo', {})]");
PyDoc_STRVAR(unmark_doc,
             "unmark($self, /, start, end, name)\n--\n\n"
             "Take a mark away from the characters [start, end)." SETUP
             ">>> t.mark(0, 5, 'bold', True)\n>>> t.unmark(1, 5, 'bold')\n>>> t.spans()\n"
             "[('h', {'bold': True}), ('ello', {})]");
PyDoc_STRVAR(spans_doc, "spans($self, /)\n--\n\n"
                        "The text in stretches of equal marks: [(str, dict)]. Copies all." SETUP
                        ">>> t.spans()\n[('hello', {})]");

CKPY_SHOWN(Text, "container")

static PyMethodDef Text_methods[] = {
    CKPY_SHOWN_METHOD(Text),
    {"_look", ckpy_text_look, METH_O,
     "_look($self, n, /)\n--\n\n"
     "Who wrote the first n characters: as blame(), but closes nothing; None, None: an open "
     "change. [] if detached."},
    {"insert", (PyCFunction)(void (*)(void))Text_insert, METH_FASTCALL, insert_doc},
    {"delete", (PyCFunction)(void (*)(void))Text_delete, METH_FASTCALL | METH_KEYWORDS, delete_doc},
    {"splice", (PyCFunction)(void (*)(void))Text_splice, METH_FASTCALL, splice_doc},
    {"splices", Text_splices, METH_O, splices_doc},
    {"update", Text_update, METH_O, update_doc},
    {"blame", Text_blame, METH_NOARGS, blame_doc},
    {"cursor", (PyCFunction)(void (*)(void))ckpy_cursor_method, METH_FASTCALL | METH_KEYWORDS,
     cursor_doc},
    {"mark", (PyCFunction)(void (*)(void))Text_mark, METH_VARARGS | METH_KEYWORDS, mark_doc},
    {"unmark", (PyCFunction)(void (*)(void))Text_unmark, METH_VARARGS | METH_KEYWORDS, unmark_doc},
    {"spans", Text_spans, METH_NOARGS, spans_doc},
    CKPY_TEXT_READ_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Text_slots[] = {
    {Py_tp_doc,
     "Text(text='', /)\n--\n\n"
     "Text that many can edit at once. Reads like a str, edits like a list of characters.\n\n"
     "A new one is detached: it holds a str until it is stored in a document, of whose content it "
     "then is the handle.\n"
     "Positions count code points. str() copies; searching does, too. Not hashable.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> doc = ck.Doc()\n"
     ">>> doc['body'] = ck.Text('hello')\n"
     ">>> doc['body'] += ' world'\n"
     ">>> doc['body'][:5] = 'goodbye'\n"
     ">>> str(doc['body']), len(doc['body']), doc['body'] == 'goodbye world'\n"
     "('goodbye world', 13, True)"},
    {Py_tp_new, Text_new},
    {Py_tp_dealloc, ckpy_handle_dealloc},
    {Py_tp_traverse, ckpy_handle_traverse},
    {Py_tp_clear, ckpy_handle_clear},
    {Py_tp_repr, Text_repr},
    {Py_tp_str, ckpy_text_tp_str},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, ckpy_text_richcompare},
    {Py_tp_iter, ckpy_text_iter},
    {Py_tp_methods, Text_methods},
    {Py_nb_add, ckpy_text_add},
    {Py_nb_inplace_add, Text_inplace_concat},
    {Py_sq_length, ckpy_text_length},
    {Py_sq_repeat, ckpy_text_repeat},
    {Py_sq_inplace_repeat, Text_inplace_repeat},
    {Py_sq_contains, ckpy_text_contains},
    {Py_mp_length, ckpy_text_length},
    {Py_mp_subscript, ckpy_text_subscript},
    {Py_mp_ass_subscript, Text_ass_subscript},
    {0, NULL},
};

PyType_Spec ckpy_text_spec = {
    .name = "crdtkv.Text",
    .basicsize = sizeof(ckpy_text),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Text_slots,
};
