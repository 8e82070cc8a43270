/* obj_view.c -- View: a version of the past. crdtkv/view.py makes a Mapping of it. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/handle.h"

#define VIEW(op) ((ckpy_view *)(op))

PyObject *ckpy_view_new(ckpy_doc *d, PyObject *heads, PyObject *without)
{
    ckv_id32 *ids, *authors = NULL;
    size_t n, n_authors = 0;
    if (ckpy_ids_arg(heads, &ids, &n) < 0) return NULL;
    if (without && ckpy_ids_arg(without, &authors, &n_authors) < 0) {
        PyMem_Free(ids);
        return NULL;
    }
    ckpy_view *self = VIEW(d->state->View->tp_alloc(d->state->View, 0));
    if (!self) {
        PyMem_Free(ids);
        PyMem_Free(authors);
        return NULL;
    }
    self->doc = (ckpy_doc *)Py_NewRef((PyObject *)d);
    if (ckpy_doc_settle(d, "at") < 0) {
        Py_CLEAR(self);
    } else {
        const ckv_status s = ckv_view_new(&self->core, d->core, ids, n, authors, n_authors);
        ckpy_lock_put(&d->lock);
        if (s != CKV_OK) {
            self->core = NULL;
            Py_CLEAR(self);
            ckpy_raise(d->state, s, "no change of this id is here");
        }
    }
    PyMem_Free(ids);
    PyMem_Free(authors);
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

static PyObject *View_root(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_handle_past(VIEW(op), CKV_ROOT, CKV_KIND_MAP);
}

static PyMethodDef View_methods[] = {
    {"_root", View_root, METH_NOARGS, "_root($self, /)\n--\n\nThe root map of the past."},
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
