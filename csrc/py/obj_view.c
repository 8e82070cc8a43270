/* obj_view.c -- View: a version of the past. crdtkv/view.py makes a Mapping of it. */
#include "py/convert.h"
#include "py/errors.h"

#define VIEW(op) ((ckpy_view *)(op))

PyObject *ckpy_view_new(ckpy_doc *d, PyObject *heads)
{
    ckv_id32 *ids;
    size_t n;
    if (ckpy_ids_arg(heads, &ids, &n) < 0) return NULL;
    ckpy_view *self = VIEW(d->state->View->tp_alloc(d->state->View, 0));
    if (!self) {
        PyMem_Free(ids);
        return NULL;
    }
    self->doc = (ckpy_doc *)Py_NewRef((PyObject *)d);
    if (ckpy_doc_settle(d, "at") < 0) {
        Py_CLEAR(self);
    } else {
        const ckv_status s = ckv_view_new(&self->core, d->core, ids, n);
        ckpy_lock_put(&d->lock);
        if (s != CKV_OK) {
            self->core = NULL;
            Py_CLEAR(self);
            ckpy_raise(d->state, s, "no change of this id is here");
        }
    }
    PyMem_Free(ids);
    return (PyObject *)self;
}

static int View_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(VIEW(op)->doc);
    return 0;
}

static void View_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_view *self = VIEW(op);
    PyObject_GC_UnTrack(op);
    if (self->core) {
        ckpy_lock_get(&self->doc->lock);
        ckv_view_free(self->core);
        ckpy_lock_put(&self->doc->lock);
    }
    Py_XDECREF(
        self->doc); /* no tp_clear: a view cannot close a cycle without its document, which can */
    tp->tp_free(op);
    Py_DECREF(tp);
}

PyObject *ckpy_view_text(ckpy_view *self, uint32_t container)
{
    ckv_buf chars = ckv_buf_init(ckv_alloc_libc);
    ckpy_lock_get(&self->doc->lock);
    const ckv_status s = ckv_view_text(self->core, container, &chars);
    ckpy_lock_put(&self->doc->lock);
    PyObject *result = s == CKV_OK
                           ? PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, chars.ptr,
                                                       (Py_ssize_t)(chars.len / 4))
                           : ckpy_raise(self->doc->state, s, "the text is not in this version");
    ckv_buf_fini(&chars);
    return result;
}

static PyObject *View_entries(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_view *self = VIEW(op);
    ckpy_doc *d = self->doc;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    PyObject **made = NULL; /* key, value or NULL for a text */
    size_t n = 0;
    ckpy_lock_get(&d->lock);
    ckv_status s = ckv_view_map(self->core, CKV_ROOT, &found);
    const ckv_entry *e = (const ckv_entry *)(const void *)found.ptr;
    if (s == CKV_OK) {
        n = found.len / sizeof *e;
        made = PyMem_RawCalloc(2 * n + 1, sizeof *made);
        if (!made) s = CKV_ENOMEM;
    }
    /* What the core hands out is good only under the lock, and under the lock nothing is made that the collector tracks. */
    for (size_t i = 0; s == CKV_OK && i < n; i++) {
        made[2 * i] = PyUnicode_DecodeUTF8(e[i].key, (Py_ssize_t)e[i].key_bytes, NULL);
        if (e[i].value.tag != CKV_TAG_TEXT) made[2 * i + 1] = ckpy_value(&e[i].value);
    }
    ckpy_lock_put(&d->lock);

    PyObject *result = NULL;
    if (s != CKV_OK)
        ckpy_raise(d->state, s, "the version could not be read");
    else if (!PyErr_Occurred())
        result = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; result && i < n; i++) {
        if (e[i].value.tag == CKV_TAG_TEXT)
            made[2 * i + 1] = ckpy_text_past(d->state, self, e[i].value.container);
        PyObject *pair = made[2 * i + 1] ? PyTuple_Pack(2, made[2 * i], made[2 * i + 1]) : NULL;
        if (!pair)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, (Py_ssize_t)i, pair);
    }
    for (size_t i = 0; made && i < 2 * n; i++) Py_XDECREF(made[i]);
    PyMem_RawFree(made);
    ckv_buf_fini(&found);
    return result;
}

static PyObject *View_text_diff(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_view *self = VIEW(op);
    ckpy_state *st = self->doc->state;
    if (nargs != 2 || !Py_IS_TYPE(args[0], st->View) || VIEW(args[0])->doc != self->doc) {
        PyErr_SetString(PyExc_TypeError,
                        "_text_diff wants a View of the same document and a container number");
        return NULL;
    }
    const unsigned long container = PyLong_AsUnsignedLong(args[1]);
    if (container == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    ckv_buf patches = ckv_buf_init(ckv_alloc_libc), chars = ckv_buf_init(ckv_alloc_libc);
    ckpy_lock_get(&self->doc->lock);
    const ckv_status s =
        ckv_text_diff(self->core, VIEW(args[0])->core, (uint32_t)container, &patches, &chars);
    ckpy_lock_put(&self->doc->lock);
    PyObject *result =
        s == CKV_OK ? PyList_New(0) : ckpy_raise(st, s, "the texts could not be compared");
    const ckv_text_patch *p = (const ckv_text_patch *)(const void *)patches.ptr;
    const uint32_t *c = (const uint32_t *)(const void *)chars.ptr;
    const size_t n = patches.len / sizeof *p;
    for (size_t i = 0; result && i < n; i++) {
        PyObject *text =
            PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, c + p[i].off, (Py_ssize_t)p[i].n);
        PyObject *one = text ? Py_BuildValue("(OnO)", p[i].insert ? Py_True : Py_False,
                                             (Py_ssize_t)p[i].pos, text)
                             : NULL;
        if (!one || PyList_Append(result, one) < 0) Py_CLEAR(result);
        Py_XDECREF(one);
        Py_XDECREF(text);
    }
    ckv_buf_fini(&patches);
    ckv_buf_fini(&chars);
    return result;
}

static PyMethodDef View_methods[] = {
    {"_entries", View_entries, METH_NOARGS,
     "_entries($self, /)\n--\n\n(key, value) pairs in order of the keys' bytes."},
    {"_text_diff", (PyCFunction)(void (*)(void))View_text_diff, METH_FASTCALL,
     "_text_diff($self, other, container, /)\n--\n\n(is_insert, position, characters), in order of "
     "application."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot View_slots[] = {
    {Py_tp_doc, "A version of the past, the part in C; crdtkv.view.View has the manners."},
    {Py_tp_dealloc, View_dealloc},
    {Py_tp_traverse, View_traverse},
    {Py_tp_methods, View_methods},
    {0, NULL},
};

PyType_Spec ckpy_view_spec = {
    .name = "crdtkv._core.View",
    .basicsize = sizeof(ckpy_view),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = View_slots,
};
