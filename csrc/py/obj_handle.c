/* obj_handle.c -- Handle: the base of Map, List, Set, Counter and Text. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/handle.h"
#include "py/plain.h"
#include "py/show.h"

#include <structmember.h>

/* ---- life */

PyTypeObject *ckpy_handle_type(ckpy_state *st, ckv_kind kind)
{
    switch (kind) {
    case CKV_KIND_MAP: return st->FullMap ? st->FullMap : st->Map;
    case CKV_KIND_LIST: return st->FullList ? st->FullList : st->List;
    case CKV_KIND_SET: return st->FullSet ? st->FullSet : st->Set;
    case CKV_KIND_COUNTER: return st->FullCounter ? st->FullCounter : st->Counter;
    case CKV_KIND_TEXT: break;
    }
    return st->Text;
}

const char *ckpy_kind_name(ckv_kind kind)
{
    switch (kind) {
    case CKV_KIND_MAP: return "map";
    case CKV_KIND_LIST: return "list";
    case CKV_KIND_SET: return "set";
    case CKV_KIND_COUNTER: return "counter";
    case CKV_KIND_TEXT: break;
    }
    return "text";
}

PyObject *ckpy_handle_new(PyTypeObject *tp, ckv_kind kind, PyObject *plain)
{
    ckpy_handle *self = plain ? HANDLE(tp->tp_alloc(tp, 0)) : NULL;
    if (!self) {
        Py_XDECREF(plain);
        return NULL;
    }
    self->kind = (uint8_t)kind;
    self->plain = plain;
    return (PyObject *)self;
}

int ckpy_handle_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(HANDLE(op)->doc);
    Py_VISIT(HANDLE(op)->view);
    Py_VISIT(HANDLE(op)->plain);
    return 0;
}

int ckpy_handle_clear(PyObject *op)
{
    Py_CLEAR(HANDLE(op)->plain); /* what else closes a cycle can be cleared itself */
    return 0;
}

/* The living handle that a weak reference stands for, or NULL. */
static PyObject *alive(PyObject *ref)
{
    PyObject *op;
    if (!ref) return NULL;
#if PY_VERSION_HEX >= 0x030D0000
    if (PyWeakref_GetRef(ref, &op) < 0) PyErr_Clear();
    return op;
#else
    op = PyWeakref_GetObject(ref);
    return op == Py_None ? NULL : Py_NewRef(op);
#endif
}

/* Its place in the document's table is free again. */
static void leave_place(ckpy_handle *h)
{
    ckpy_doc *d = h->doc;
    PyObject *ref = NULL, *other = NULL;
    CKPY_BEGIN_CRITICAL((PyObject *)d);
    if (h->container < d->n_handles) {
        ref = d->handles[h->container];
        other = alive(ref);
        if (ref && !other)
            d->handles[h->container] = NULL;
        else
            ref = NULL;
    }
    CKPY_END_CRITICAL();
    Py_XDECREF(other);
    Py_XDECREF(ref);
}

void ckpy_handle_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_handle *self = HANDLE(op);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs) PyObject_ClearWeakRefs(op);
    Py_XDECREF(self->plain);
    Py_XDECREF(self->view);
    if (self->doc) {
        leave_place(self);
        Py_DECREF(self->doc);
    }
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- one handle per container */

static bool make_room(ckpy_doc *d, uint32_t container)
{
    if (container < d->n_handles) return true;
    const size_t n = (size_t)container + container / 2 + 8;
    PyObject **grown = PyMem_Realloc(d->handles, n * sizeof *grown);
    if (!grown) return false;
    memset(grown + d->n_handles, 0, (n - d->n_handles) * sizeof *grown);
    d->handles = grown;
    d->n_handles = n;
    return true;
}

/* Makes h the handle unless there is one; returns the one there is. Steals nothing. */
static PyObject *settle_handle(ckpy_doc *d, uint32_t container, PyObject *h)
{
    PyObject *ref = PyWeakref_NewRef(h, NULL), *old = NULL, *handle = NULL;
    if (!ref) return NULL;
    CKPY_BEGIN_CRITICAL((PyObject *)d);
    if (make_room(d, container)) {
        handle = alive(d->handles[container]);
        if (!handle) {
            old = d->handles[container];
            d->handles[container] = Py_NewRef(ref);
            handle = Py_NewRef(h);
        }
    }
    CKPY_END_CRITICAL();
    Py_XDECREF(old);
    Py_DECREF(ref);
    return handle ? handle : PyErr_NoMemory();
}

static PyObject *present_handle(ckpy_doc *d, uint32_t container)
{
    PyObject *handle = NULL;
    CKPY_BEGIN_CRITICAL((PyObject *)d);
    if (container < d->n_handles) handle = alive(d->handles[container]);
    CKPY_END_CRITICAL();
    return handle;
}

PyObject *ckpy_handle_of(ckpy_doc *d, uint32_t container, ckv_kind kind)
{
    PyObject *handle = present_handle(d, container);
    if (handle) return handle;
    PyTypeObject *tp = ckpy_handle_type(d->state, kind);
    ckpy_handle *fresh = HANDLE(tp->tp_alloc(tp, 0));
    if (!fresh) return NULL;
    fresh->kind = (uint8_t)kind;
    fresh->doc = (ckpy_doc *)Py_NewRef((PyObject *)d);
    fresh->container = container;
    handle = settle_handle(d, container, (PyObject *)fresh);
    Py_DECREF(fresh);
    return handle;
}

PyObject *ckpy_handle_or(ckpy_doc *d, PyObject *scalar, const ckv_value *v)
{
    if (ckv_tag_is_scalar(v->tag)) return scalar;
    return ckpy_handle_of(d, v->container, (ckv_kind)ckv_tag_kind(v->tag));
}

int ckpy_handle_attach(ckpy_handle *h, ckpy_doc *d, uint32_t container)
{
    /* A default container may be here already, and have its handle: then h stays what it is. */
    PyObject *handle = present_handle(d, container), *plain = NULL;
    bool mine = false;
    if (handle) {
        Py_DECREF(handle);
        return 0;
    }
    CKPY_BEGIN_CRITICAL((PyObject *)h);
    if (ckpy_is_fresh(h)) {
        h->container = container;
        h->doc = (ckpy_doc *)Py_NewRef((PyObject *)d);
        plain = h->plain;
        h->plain = NULL;
        mine = true;
    }
    CKPY_END_CRITICAL();
    Py_XDECREF(plain);
    if (!mine)
        return 0; /* stored twice, or another thread was faster; its content was copied, as for any attached one */
    handle = settle_handle(d, container, (PyObject *)h);
    if (!handle) return -1;
    Py_DECREF(handle);
    if (d->owner != PyThread_get_thread_ident()) return 0;
    /* A block may be undone: it must know which handles it made. */
    if (!d->made && !(d->made = PyList_New(0))) return -1;
    return PyList_Append(d->made, (PyObject *)h);
}

PyObject *ckpy_handle_past(ckpy_view *view, uint32_t container, ckv_kind kind)
{
    PyTypeObject *tp = ckpy_handle_type(view->doc->state, kind);
    ckpy_handle *self = HANDLE(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->kind = (uint8_t)kind;
    self->frozen = true;
    self->container = container;
    self->view = Py_NewRef((PyObject *)view);
    return (PyObject *)self;
}

/* ---- errors */

PyObject *ckpy_stale(const ckpy_handle *h)
{
    return ckpy_edit_raise(h->doc, (ckv_kind)h->kind, CKV_ESTALE);
}

PyObject *ckpy_frozen(const ckpy_handle *h)
{
    return PyErr_Format(PyExc_TypeError, "a %s of the past is read-only",
                        ckpy_kind_name((ckv_kind)h->kind));
}

PyObject *ckpy_edit_raise(ckpy_doc *d, ckv_kind kind, ckv_status s)
{
    switch (s) {
    case CKV_ERANGE:
        return PyErr_Format(PyExc_IndexError, "%s index out of range", ckpy_kind_name(kind));
    case CKV_ESTALE:
        if (d->closed)
            return ckpy_raise(d->state, s, "the database is closed, or this was deleted from it");
        return PyErr_Format(d->state->StaleHandleError,
                            "this %s was deleted, overwritten or undone", ckpy_kind_name(kind));
    case CKV_ELIMIT: return ckpy_raise(d->state, s, "a change holds at most 16 MiB");
    case CKV_EVALUE: return ckpy_raise(d->state, s, "lone surrogates cannot be stored");
    case CKV_OK:
    case CKV_ENOMEM:
    case CKV_ECORRUPT:
    case CKV_ESIGN:
    case CKV_ENOENT:
    case CKV_EVOID:
    case CKV_ELATER:
    case CKV_EDRIFT:
    case CKV_EDISK:
    case CKV_EFULL:
    case CKV_ELOCKED:
    case CKV_EALIEN:
    case CKV_ENEWER:
    case CKV_EFORKED:
    case CKV_EEXIST:
    case CKV_ESYNC: break;
    }
    return ckpy_raise(d->state, s, "the document could not be read or edited");
}

PyObject *ckpy_handle_raise(const ckpy_handle *h, ckv_status s)
{
    return ckpy_edit_raise(h->doc, (ckv_kind)h->kind, s);
}

/* ---- content of one that is not attached */

static PyObject *empty(ckv_kind kind)
{
    switch (kind) {
    case CKV_KIND_MAP: return PyDict_New();
    case CKV_KIND_LIST: return PyList_New(0);
    case CKV_KIND_SET: return PySet_New(NULL);
    case CKV_KIND_COUNTER: return PyLong_FromLong(0);
    case CKV_KIND_TEXT: break;
    }
    return PyUnicode_New(0, 0);
}

/* What a view's rows say, copied under the lock: keys or NULL, scalars or NULL, values. */
typedef struct rows {
    PyObject **keys, **scalars; /* owned */
    ckv_value *values;
    size_t n;
} rows;

static void rows_free(rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        Py_XDECREF(r->keys[i]);
        Py_XDECREF(r->scalars[i]);
    }
    PyMem_RawFree(r->keys);
    PyMem_RawFree(r->scalars);
    PyMem_RawFree(r->values);
}

static bool rows_alloc(rows *r, size_t n)
{
    r->keys = PyMem_RawCalloc(n + 1, sizeof *r->keys);
    r->scalars = PyMem_RawCalloc(n + 1, sizeof *r->scalars);
    r->values = PyMem_RawCalloc(n + 1, sizeof *r->values);
    return r->keys && r->scalars && r->values;
}

/* Under the lock. */
static bool rows_put(rows *r, const char *key, size_t key_bytes, const ckv_value *v)
{
    const size_t i = r->n++;
    r->values[i] = *v;
    if (key && !(r->keys[i] = PyUnicode_DecodeUTF8(key, (Py_ssize_t)key_bytes, NULL))) return false;
    return !ckv_tag_is_scalar(v->tag) || (r->scalars[i] = ckpy_value(v));
}

static PyObject *rows_build(rows *r, ckpy_view *view, ckv_kind kind)
{
    PyObject *out = empty(kind);
    for (size_t i = 0; out && i < r->n; i++) {
        PyObject *value = Py_XNewRef(r->scalars[i]);
        int failed = -1;
        if (!value)
            value = ckpy_handle_past(view, r->values[i].container,
                                     (ckv_kind)ckv_tag_kind(r->values[i].tag));
        if (value)
            failed = kind == CKV_KIND_MAP    ? PyDict_SetItem(out, r->keys[i], value)
                     : kind == CKV_KIND_LIST ? PyList_Append(out, value)
                                             : PySet_Add(out, value);
        Py_XDECREF(value);
        if (failed) Py_CLEAR(out);
    }
    return out;
}

static PyObject *past_scalar(ckpy_view *view, const ckpy_handle *h)
{
    ckpy_doc *d = view->doc;
    ckv_buf chars = ckv_buf_init(ckv_alloc_libc);
    ckv_i128 total = 0;
    ckv_status s;
    if (ckpy_look_begin(d) < 0) return NULL;
    if (h->kind == CKV_KIND_COUNTER)
        s = ckv_counter_total(d->core, view->core, h->container, &total);
    else
        s = ckv_text_chars(d->core, view->core, h->container, &chars);
    ckpy_lock_put(&d->lock);
    PyObject *result;
    if (s != CKV_OK)
        result = ckpy_edit_raise(d, (ckv_kind)h->kind, s);
    else if (h->kind == CKV_KIND_COUNTER)
        result = ckpy_i128(total);
    else
        result =
            PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, chars.ptr, (Py_ssize_t)(chars.len / 4));
    ckv_buf_fini(&chars);
    return result;
}

static PyObject *past_rows(ckpy_view *view, const ckpy_handle *h)
{
    ckpy_doc *d = view->doc;
    const ckv_kind kind = (ckv_kind)h->kind;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    rows r = {0};
    bool made = true;
    if (ckpy_look_begin(d) < 0) return NULL;
    ckv_status s = kind == CKV_KIND_MAP ? ckv_map_entries(d->core, view->core, h->container, &found)
                   : kind == CKV_KIND_LIST
                       ? ckv_list_values(d->core, view->core, h->container, 0, SIZE_MAX, &found)
                       : ckv_set_members(d->core, view->core, h->container, &found);
    if (s == CKV_OK) {
        const ckv_entry *e = (const ckv_entry *)(const void *)found.ptr;
        const ckv_value *v = (const ckv_value *)(const void *)found.ptr;
        const size_t n = found.len / (kind == CKV_KIND_MAP ? sizeof *e : sizeof *v);
        if (!rows_alloc(&r, n)) s = CKV_ENOMEM;
        for (size_t i = 0; s == CKV_OK && made && i < n; i++)
            made = kind == CKV_KIND_MAP ? rows_put(&r, e[i].key, e[i].key_bytes, &e[i].value)
                                        : rows_put(&r, NULL, 0, &v[i]);
    }
    ckpy_lock_put(&d->lock);
    PyObject *result = s != CKV_OK ? ckpy_edit_raise(d, kind, s)
                       : made      ? rows_build(&r, view, kind)
                                   : NULL;
    rows_free(&r);
    ckv_buf_fini(&found);
    return result;
}

PyObject *ckpy_handle_local(ckpy_handle *h)
{
    PyObject *plain, *first;
    CKPY_BEGIN_CRITICAL((PyObject *)h);
    plain = Py_XNewRef(h->plain);
    CKPY_END_CRITICAL();
    if (plain) return plain;
    if (!h->frozen) return empty((ckv_kind)h->kind);
    ckpy_view *view = (ckpy_view *)h->view;
    plain = h->kind == CKV_KIND_COUNTER || h->kind == CKV_KIND_TEXT ? past_scalar(view, h)
                                                                    : past_rows(view, h);
    if (!plain) return NULL;
    CKPY_BEGIN_CRITICAL((PyObject *)h);
    if (!h->plain) h->plain = Py_NewRef(plain);
    first = Py_NewRef(h->plain); /* another thread may have been faster: one content for all */
    CKPY_END_CRITICAL();
    Py_DECREF(plain);
    return first;
}

PyObject *ckpy_handle_own(ckpy_handle *h)
{
    return h->frozen ? ckpy_frozen(h) : ckpy_handle_local(h);
}

/* ---- all that is in it */

ckv_status ckpy_write_plain(ckpy_doc *d, const ckv_view *at, uint32_t container, ckv_buf *out)
{
    const ckv_kind kind = ckv_doc_kind(d->core, container);
    const size_t n = kind == CKV_KIND_LIST   ? ckv_list_len(d->core, container)
                     : kind == CKV_KIND_MAP  ? ckv_map_len(d->core, container)
                     : kind == CKV_KIND_SET  ? ckv_set_len(d->core, container)
                     : kind == CKV_KIND_TEXT ? ckv_text_len(d->core, container)
                                             : 0;
    /* Small ones are many, and giving the GIL away costs. What is in a root with few keys may be large; then there are many containers. */
    const bool few = n < 64 && container != CKV_ROOT;
    if (n < CKPY_LONG && (few || ckv_doc_n_containers(d->core) < CKPY_LONG / 64))
        return ckv_plain_write(d->core, at, container, out);
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_plain_write(d->core, at, container, out);
    ckpy_lock_back(&d->lock, ts);
    return s;
}

static int local_bytes(ckpy_handle *h, ckv_buf *out)
{
    ckpy_state *st = ckpy_state_of(Py_TYPE(h));
    ckpy_flat f;
    if (!st) return -1;
    ckpy_flat_init(&f, st, 0, NULL, -1);
    const int done = ckpy_flat_add(&f, (PyObject *)h);
    if (done == 0) ckv_buf_bytes(out, f.bytes.ptr, f.bytes.len);
    ckpy_flat_fini(&f);
    if (done == 0 && out->status != CKV_OK) {
        PyErr_NoMemory();
        return -1;
    }
    return done;
}

/* A rolled back one keeps its last words in `plain`, to be flattened as if it were detached. */
static int last_words(ckpy_handle *h, PyObject *plain, ckv_buf *out)
{
    PyObject *copy = ckpy_handle_new(ckpy_handle_type(h->doc->state, (ckv_kind)h->kind),
                                     (ckv_kind)h->kind, Py_NewRef(plain));
    const int done = copy ? local_bytes(HANDLE(copy), out) : -1;
    Py_XDECREF(copy);
    return done;
}

int ckpy_handle_bytes(ckpy_handle *h, ckpy_when when, ckv_buf *out)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    if (h->frozen) {
        ckpy_view *view = (ckpy_view *)h->view;
        if (ckpy_look_begin(view->doc) < 0) return -1;
        s = ckpy_write_plain(view->doc, view->core, h->container, out);
        ckpy_lock_put(&view->doc->lock);
        if (s == CKV_OK) return 0;
        ckpy_edit_raise(view->doc, (ckv_kind)h->kind, s);
        return -1;
    }
    if (!d) return local_bytes(h, out);
    if (ckpy_look_begin(d) < 0) return -1;
    const bool live = ckpy_is_live(h);
    PyObject *plain = live ? NULL : Py_XNewRef(h->plain);
    s = live || (when == LAST && !plain && !ckv_doc_is_gone(d->core, h->container))
            ? ckpy_write_plain(d, NULL, h->container, out)
            : CKV_ESTALE;
    ckpy_lock_put(&d->lock);
    int result = s == CKV_OK ? 0 : -1;
    if (s == CKV_ESTALE && when == LAST) {
        if (!plain) plain = empty((ckv_kind)h->kind);
        result = plain ? last_words(h, plain, out) : -1;
    } else if (s != CKV_OK) {
        ckpy_handle_raise(h, s);
    }
    Py_XDECREF(plain);
    return result;
}

PyObject *ckpy_handle_content(ckpy_handle *h, ckpy_when when, bool kinds)
{
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    PyObject *result = NULL;
    ckpy_state *st = h->doc ? h->doc->state : ckpy_state_of(Py_TYPE(h));
    if (st && ckpy_handle_bytes(h, when, &bytes) == 0) result = ckpy_plain_one(st, &bytes, kinds);
    ckv_buf_fini(&bytes);
    return result;
}

/* ---- rows that types share */

PyObject *ckpy_handle_to_py(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_handle_content(HANDLE(op), LIVE, false);
}

PyObject *ckpy_handle_copy(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_handle *h = HANDLE(op);
    return ckpy_handle_new(Py_TYPE(op), (ckv_kind)h->kind, ckpy_handle_content(h, LAST, true));
}

PyObject *ckpy_handle_reduce(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    PyObject *content = ckpy_handle_content(HANDLE(op), LAST, true);
    return content ? Py_BuildValue("(O(N))", (PyObject *)Py_TYPE(op), content) : NULL;
}

static Py_ssize_t local_size(ckpy_handle *h)
{
    PyObject *plain = ckpy_handle_local(h);
    const Py_ssize_t n = plain ? PyObject_Size(plain) : -1;
    Py_XDECREF(plain);
    return n;
}

/* <Map 5 of 01234567, 3 keys> */
PyObject *ckpy_handle_repr(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    ckpy_doc *d = h->doc;
    const ckv_kind kind = (ckv_kind)h->kind;
    const char *full = Py_TYPE(op)->tp_name, *dot = strrchr(full, '.'),
               *type = dot ? dot + 1 : full;
    const char *units = kind == CKV_KIND_MAP ? "keys" : kind == CKV_KIND_LIST ? "items" : "members";
    Py_ssize_t n = 0;
    char where[40] = "detached";
    if (!d) {
        if (h->frozen) strcpy(where, "of the past");
        if ((n = local_size(h)) < 0) return NULL;
    } else {
        const uint8_t *id = ckv_doc_id(d->core)->b;
        PyOS_snprintf(where, sizeof where, "%lu of %02x%02x%02x%02x", (unsigned long)h->container,
                      id[0], id[1], id[2], id[3]);
        ckpy_lock_get(&d->lock);
        const bool live = ckpy_is_live(h);
        if (live)
            n = (Py_ssize_t)(kind == CKV_KIND_MAP    ? ckv_map_len(d->core, h->container)
                             : kind == CKV_KIND_LIST ? ckv_list_len(d->core, h->container)
                                                     : ckv_set_len(d->core, h->container));
        ckpy_lock_put(&d->lock);
        if (!live) return PyUnicode_FromFormat("<%s %s, deleted>", type, where);
    }
    return PyUnicode_FromFormat("<%s %s, %zd %s>", type, where, n, units);
}

static PyObject *Handle_observe(PyObject *op, PyObject *callback)
{
    ckpy_handle *h = HANDLE(op);
    if (!h->doc)
        return PyErr_Format(PyExc_TypeError,
                            "a %s that is not stored in a document cannot be observed",
                            ckpy_kind_name((ckv_kind)h->kind));
    return ckpy_call((PyObject *)h->doc, "_observe_handle", callback, op);
}

/* ---- spec */

static PyMethodDef Handle_methods[] = {
    {"_some", ckpy_handle_some, METH_O, CKPY_SOME_DOC},
    {"observe", Handle_observe, METH_O,
     "observe($self, callback, /)\n--\n\n"
     "Call back with an Event after each change that does something in here or below.\n\n"
     "It is followed wherever it goes; see Doc.observe().\n\n"
     ">>> import crdtkv as ck\n"
     ">>> doc = ck.Doc()\n"
     ">>> doc['l'] = [1]\n"
     ">>> with doc['l'].observe(lambda event: print(event.path, event.patches[-1].new)):\n"
     "...     doc['l'].append(2)\n"
     "...     change = doc.commit()\n"
     "('l',) [2]"},
    {"__copy__", ckpy_handle_copy, METH_NOARGS,
     "__copy__($self, /)\n--\n\nA detached one with the same content."},
    {"__deepcopy__", ckpy_handle_copy, METH_O,
     "__deepcopy__($self, memo, /)\n--\n\nA detached one with the same content."},
    {"__reduce__", ckpy_handle_reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\nPickles as a detached one."},
    {NULL, NULL, 0, NULL},
};

static PyObject *Handle_get_doc(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *doc = (PyObject *)HANDLE(op)->doc;
    return Py_NewRef(doc ? doc : Py_None);
}

static PyGetSetDef Handle_getset[] = {
    {"_doc", Handle_get_doc, NULL, "The document it is attached to, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Handle_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ckpy_handle, weakrefs), READONLY, NULL},
    {"_container", T_UINT, offsetof(ckpy_handle, container), READONLY,
     "Its number in the document or view."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Handle_slots[] = {
    {Py_tp_doc, "What Map, List, Set, Counter and Text have in common."},
    {Py_tp_dealloc, ckpy_handle_dealloc},
    {Py_tp_traverse, ckpy_handle_traverse},
    {Py_tp_clear, ckpy_handle_clear},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_methods, Handle_methods},
    {Py_tp_getset, Handle_getset},
    {Py_tp_members, Handle_members},
    {0, NULL},
};

PyType_Spec ckpy_handle_spec = {
    .name = "crdtkv._core.Handle",
    .basicsize = sizeof(ckpy_handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Handle_slots,
};
