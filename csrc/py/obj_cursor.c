/* obj_cursor.c -- Cursor: a place in a Text or List that stays with its character or item. */
#include "py/convert.h"
#include "py/cursor.h"
#include "py/errors.h"
#include "py/show.h"

typedef struct ckpy_cursor {
    PyObject_HEAD ckpy_doc *doc; /* owned */
    ckv_cursor core;
} ckpy_cursor;

#define CURSOR(op) ((ckpy_cursor *)(op))

static PyObject *cursor_new(ckpy_doc *d, const ckv_cursor *core)
{
    ckpy_cursor *self = PyObject_GC_New(ckpy_cursor, d->state->Cursor);
    if (!self) return NULL;
    self->doc = (ckpy_doc *)Py_NewRef((PyObject *)d);
    self->core = *core;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int side_arg(PyObject *op, bool *behind)
{
    if (PyUnicode_Check(op)) {
        *behind = PyUnicode_CompareWithASCIIString(op, "before") == 0;
        if (*behind || PyUnicode_CompareWithASCIIString(op, "after") == 0) return 0;
    }
    PyErr_SetString(PyUnicode_Check(op) ? PyExc_ValueError : PyExc_TypeError,
                    "side is 'after' or 'before'");
    return -1;
}

/* cursor(index, side="after") */
static int cursor_args(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Py_ssize_t *i,
                       bool *behind)
{
    PyObject *index = nargs > 0 ? args[0] : NULL, *side = nargs > 1 ? args[1] : NULL;
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    bool ok = nargs <= 2;
    for (Py_ssize_t k = 0; ok && k < n_kw; k++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, k), **slot = NULL;
        if (PyUnicode_CompareWithASCIIString(name, "index") == 0) slot = &index;
        if (PyUnicode_CompareWithASCIIString(name, "side") == 0) slot = &side;
        ok = slot && !*slot;
        if (ok) *slot = args[nargs + k];
    }
    if (!ok || !index) {
        PyErr_SetString(PyExc_TypeError, "cursor() wants an index and, maybe, a side");
        return -1;
    }
    *behind = false;
    if (ckpy_index_arg(index, i) < 0) return -1;
    return side ? side_arg(side, behind) : 0;
}

PyObject *ckpy_cursor_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    ckpy_handle *h = HANDLE(op);
    ckpy_doc *d = h->doc;
    Py_ssize_t i;
    bool behind;
    if (cursor_args(args, nargs, kwnames, &i, &behind) < 0) return NULL;
    if (!d)
        return PyErr_Format(PyExc_TypeError, "a %s that is not stored in a document has no cursors",
                            ckpy_kind_name((ckv_kind)h->kind));
    ckv_cursor core;
    ckpy_lock_get(&d->lock);
    ckv_status s = CKV_ESTALE;
    if (ckpy_is_live(h)) {
        const size_t len = h->kind == CKV_KIND_TEXT ? ckv_text_len(d->core, h->container)
                                                    : ckv_list_len(d->core, h->container);
        if (i < 0) i += (Py_ssize_t)len;
        s = i < 0 || (size_t)i > len
                ? CKV_ERANGE
                : ckv_cursor_at(d->core, h->container, (size_t)i, behind, &core);
    }
    ckpy_lock_put(&d->lock);
    return s == CKV_OK ? cursor_new(d, &core) : ckpy_handle_raise(h, s);
}

static PyObject *Cursor_decode(PyObject *cls, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_state *st = ckpy_state_of((PyTypeObject *)cls);
    if (!st) return NULL;
    if (nargs != 2 || !PyObject_TypeCheck(args[1], st->Doc)) {
        PyErr_SetString(PyExc_TypeError, "decode() wants bytes and a Doc");
        return NULL;
    }
    PyObject *data = ckpy_bytes_arg(args[0], "a cursor");
    if (!data) return NULL;
    ckpy_doc *d = (ckpy_doc *)args[1];
    ckv_cursor core;
    if (ckpy_look_begin(d) < 0) {
        Py_DECREF(data);
        return NULL;
    }
    const ckv_status s = ckv_cursor_read(d->core, (const uint8_t *)PyBytes_AS_STRING(data),
                                         (size_t)PyBytes_GET_SIZE(data), &core);
    ckpy_lock_put(&d->lock);
    Py_DECREF(data);
    if (s == CKV_OK) return cursor_new(d, &core);
    return ckpy_raise(st, s,
                      s == CKV_ENOENT ? "the change that the cursor points into is not here"
                                      : "not a cursor of this document");
}

static PyObject *Cursor_encode(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_cursor *self = CURSOR(op);
    ckpy_doc *d = self->doc;
    if (ckpy_doc_settle(d, "Cursor.encode") < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    const ckv_status s = ckv_doc_is_gone(d->core, self->core.container)
                             ? CKV_ESTALE
                             : ckv_cursor_write(d->core, &self->core, &out);
    ckpy_lock_put(&d->lock);
    PyObject *result = s == CKV_OK
                           ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                           : ckpy_raise(d->state, s, "the cursor points to what was undone");
    ckv_buf_fini(&out);
    return result;
}

static PyObject *Cursor_get_index(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_cursor *self = CURSOR(op);
    ckpy_doc *d = self->doc;
    size_t index;
    if (ckpy_look_begin(d) < 0) return NULL;
    const ckv_status s = ckv_cursor_index(d->core, &self->core, &index);
    ckpy_lock_put(&d->lock);
    return s == CKV_OK ? PyLong_FromSize_t(index)
                       : ckpy_raise(d->state, s, "what the cursor points into is gone");
}

static PyObject *Cursor_get_container(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_cursor *self = CURSOR(op);
    if (ckpy_look_begin(self->doc) < 0) return NULL;
    const ckv_kind kind = ckv_doc_kind(self->doc->core, self->core.container);
    ckpy_lock_put(&self->doc->lock);
    return ckpy_handle_of(self->doc, self->core.container, kind);
}

static bool same(const ckpy_cursor *a, const ckpy_cursor *b)
{
    return a->doc == b->doc && a->core.container == b->core.container &&
           a->core.item == b->core.item && a->core.behind == b->core.behind;
}

static PyObject *Cursor_richcompare(PyObject *a, PyObject *b, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) Py_RETURN_NOTIMPLEMENTED;
    return PyBool_FromLong(same(CURSOR(a), CURSOR(b)) == (op == Py_EQ));
}

static Py_hash_t Cursor_hash(PyObject *op)
{
    const ckpy_cursor *self = CURSOR(op);
    const Py_uhash_t h = ((Py_uhash_t)(uintptr_t)self->doc >> 4) ^
                         ((Py_uhash_t)self->core.container * 1000003u) ^
                         ((Py_uhash_t)self->core.item * 2654435761u) ^ self->core.behind;
    return h == (Py_uhash_t)-1 ? -2 : (Py_hash_t)h;
}

static PyObject *Cursor_repr(PyObject *op)
{
    PyObject *index = Cursor_get_index(op, NULL);
    if (!index) {
        if (!PyErr_ExceptionMatches(CURSOR(op)->doc->state->StaleHandleError)) return NULL;
        PyErr_Clear();
        return PyUnicode_FromString("<Cursor, deleted>");
    }
    PyObject *result = PyUnicode_FromFormat("<Cursor at %R>", index);
    Py_DECREF(index);
    return result;
}

static int Cursor_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(CURSOR(op)->doc);
    return 0;
}

static void Cursor_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_DECREF(CURSOR(op)->doc); /* no tp_clear: the document can be cleared itself */
    PyObject_GC_Del(op);
    Py_DECREF(tp);
}

CKPY_SHOWN(Cursor, "cursor")

static PyMethodDef Cursor_methods[] = {
    CKPY_SHOWN_METHOD(Cursor),
    CKPY_COPY_METHODS,
    {"encode", Cursor_encode, METH_NOARGS,
     "encode($self, /)\n--\n\n"
     "The cursor as bytes, good on every replica that has the change. Closes the open change.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> doc = ck.Doc()\n"
     ">>> doc['t'] = ck.Text('hello')\n"
     ">>> data = doc['t'].cursor(2).encode()\n"
     ">>> ck.Cursor.decode(data, doc).index\n"
     "2"},
    {"decode", (PyCFunction)(void (*)(void))Cursor_decode, METH_FASTCALL | METH_CLASS,
     "decode($type, data, doc, /)\n--\n\n"
     "The cursor that encode() wrote, in this replica.\n\n"
     "DecodeError: no cursor, or of another document. KeyError: its change is not here.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> ck.Cursor.decode(b'nonsense', ck.Doc())\n"
     "Traceback (most recent call last):\n"
     "    ...\n"
     "crdtkv.DecodeError: ..."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Cursor_getset[] = {
    {"index", Cursor_get_index, NULL,
     "Where it is now; the place of what was deleted is where it would be. StaleHandleError.",
     NULL},
    {"container", Cursor_get_container, NULL, "The Text or List that it is in.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Cursor_slots[] = {
    {Py_tp_doc,
     "A place in a Text or List that stays with its character or item, whoever edits.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> doc = ck.Doc()\n"
     ">>> doc['t'] = ck.Text('hello')\n"
     ">>> place = doc['t'].cursor(5)\n"
     ">>> doc['t'].insert(0, 'oh, ')\n"
     ">>> place.index\n"
     "9"},
    {Py_tp_dealloc, Cursor_dealloc},
    {Py_tp_traverse, Cursor_traverse},
    {Py_tp_repr, Cursor_repr},
    {Py_tp_hash, Cursor_hash},
    {Py_tp_richcompare, Cursor_richcompare},
    {Py_tp_methods, Cursor_methods},
    {Py_tp_getset, Cursor_getset},
    {0, NULL},
};

PyType_Spec ckpy_cursor_spec = {
    .name = "crdtkv.Cursor",
    .basicsize = sizeof(ckpy_cursor),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Cursor_slots,
};
