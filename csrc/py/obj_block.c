/* obj_block.c -- Block: what doc.change() returns. A savepoint in the document, held by one thread from __enter__ to __exit__. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/handle.h"

typedef enum phase { FRESH, OPEN, OVER } phase;

typedef struct ckpy_block {
    PyObject_HEAD ckpy_doc *doc; /* owned */
    PyObject *message, *origin;  /* owned */
    ckv_savepoint savepoint;
    Py_ssize_t n_made; /* handles in doc->made when it began */
    unsigned depth;    /* of this block: 1 is the outermost */
    phase phase;
} ckpy_block;

#define BLOCK(op) ((ckpy_block *)(op))

PyObject *ckpy_block_new(ckpy_doc *d, PyObject *message, PyObject *origin)
{
    if (message != Py_None) {
        if (!PyUnicode_Check(message)) {
            PyErr_Format(PyExc_TypeError, "message must be a str or None, not %.100s",
                         Py_TYPE(message)->tp_name);
            return NULL;
        }
        if (!PyUnicode_AsUTF8(message)) return NULL;
    }
    ckpy_block *self = BLOCK(d->state->Block->tp_alloc(d->state->Block, 0));
    if (!self) return NULL;
    self->doc = (ckpy_doc *)Py_NewRef((PyObject *)d);
    self->message = Py_NewRef(message);
    self->origin = Py_NewRef(origin);
    return (PyObject *)self;
}

static int Block_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(BLOCK(op)->doc);
    Py_VISIT(BLOCK(op)->origin);
    return 0;
}

static int Block_clear(PyObject *op)
{
    Py_CLEAR(BLOCK(op)->origin);
    return 0;
}

static void Block_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)Block_clear(op);
    Py_XDECREF(BLOCK(op)->message);
    Py_XDECREF(BLOCK(op)->doc);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *Block_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_block *self = BLOCK(op);
    ckpy_doc *d = self->doc;
    if (self->phase != FRESH) {
        PyErr_SetString(PyExc_RuntimeError, "a change() block can be entered once");
        return NULL;
    }
    const unsigned long me = PyThread_get_thread_ident();
    if (ckpy_look_begin(d) < 0) return NULL;
    if (d->owner != me) {
        ckpy_lock_put(&d->lock);
        if (ckpy_doc_settle(d, "change") < 0)
            return NULL; /* lone edits from before are a change of their own */
    }
    const ckv_status s = ckv_doc_savepoint(d->core, &self->savepoint);
    if (s == CKV_OK) {
        if (d->owner != me) {
            PyThread_acquire_lock(
                d->gate,
                WAIT_LOCK); /* at most a waiter has it, for a moment and without our lock */
            d->owner = me;
            d->attention |= CKPY_IN_BLOCK;
        }
        self->depth = ++d->depth;
        self->phase = OPEN;
    }
    ckpy_lock_put(&d->lock);
    if (s != CKV_OK) return ckpy_raise(d->state, s, "no block could be opened");
    self->n_made = d->made ? PyList_GET_SIZE(d->made) : 0;
    return Py_NewRef((PyObject *)d);
}

/* Handles that were attached in what is undone now keep what they hold, so that they can be stored again. */
static int keep_contents(ckpy_block *self)
{
    PyObject *made = self->doc->made;
    for (Py_ssize_t i = self->n_made; made && i < PyList_GET_SIZE(made); i++) {
        ckpy_handle *h = HANDLE(PyList_GET_ITEM(made, i)); /* the list is our thread's own */
        PyObject *content = ckpy_handle_content(h, LAST, true);
        if (!content) return -1;
        Py_XSETREF(h->plain, content);
    }
    return made ? PyList_SetSlice(made, self->n_made, PyList_GET_SIZE(made), NULL) : 0;
}

/* Under the lock: the block is over. Whoever waited for that goes first. */
static void end(ckpy_block *self)
{
    ckpy_doc *d = self->doc;
    self->phase = OVER;
    if (--d->depth > 0) return;
    d->owner = 0;
    d->attention &= ~CKPY_IN_BLOCK;
    if ((d->handoff = d->waiters) > 0) {
        d->epoch++;
        d->attention |= CKPY_HANDOFF;
    }
    PyThread_release_lock(d->gate);
}

/* The exception that is set, kept aside. */
#if PY_VERSION_HEX >= 0x030C0000
typedef PyObject *pending;
static pending take_error(void) { return PyErr_GetRaisedException(); }
static bool put_error(pending e)
{
    PyErr_SetRaisedException(e);
    return e != NULL;
}
#else
typedef struct pending {
    PyObject *type, *value, *trace;
} pending;
static pending take_error(void)
{
    pending e;
    PyErr_Fetch(&e.type, &e.value, &e.trace);
    return e;
}
static bool put_error(pending e)
{
    PyErr_Restore(e.type, e.value, e.trace);
    return e.type != NULL;
}
#endif

static PyObject *Block_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_block *self = BLOCK(op);
    ckpy_doc *d = self->doc;
    ckpy_lock_get(&d->lock);
    const bool mine =
        self->phase == OPEN && d->owner == PyThread_get_thread_ident() && d->depth == self->depth;
    ckpy_lock_put(&d->lock);
    if (!mine) {
        PyErr_SetString(PyExc_RuntimeError, "a change() block ends in the thread it began in, "
                                            "once, and after the blocks inside it");
        return NULL;
    }
    const bool outermost = self->depth == 1, closed = d->closed;
    bool undo = closed || (nargs > 0 && args[0] != Py_None);
    int64_t ms = 0;
    const char *message = NULL;
    Py_ssize_t n_bytes = 0;
    if (!undo && outermost) {
        if (self->message != Py_None) message = PyUnicode_AsUTF8AndSize(self->message, &n_bytes);
        /* Whatever fails from here on undoes the block, too. */
        if ((self->message != Py_None && !message) ||
            (ckv_doc_is_open(d->core) && ckpy_doc_now(d, &ms) < 0))
            undo = true;
    }
    pending error = take_error();
    if (undo && !closed && keep_contents(self) < 0)
        PyErr_Clear(); /* out of memory: those handles end up empty */

    ckv_status s = CKV_OK;
    uint32_t change;
    ckpy_lock_get(&d->lock);
    if (!undo && outermost) {
        s = ckpy_doc_close(d, ms, message, (size_t)n_bytes, self->origin, &change);
        if (s != CKV_OK) ckv_doc_rollback(d->core, self->savepoint);
    } else if (undo) {
        ckv_doc_rollback(d->core, self->savepoint);
    }
    if (s == CKV_OK && !undo) ckv_doc_release(d->core, self->savepoint);
    end(self);
    ckpy_lock_put(&d->lock);
    if (outermost) Py_CLEAR(d->made);
    if (put_error(error)) return NULL;
    if (closed)
        return ckpy_raise(d->state, CKV_ESTALE,
                          "the database is closed, or this was deleted from it");
    if (s != CKV_OK) return ckpy_doc_raise(d, s, "the change could not be closed, and was undone");
    return ckpy_told(d, Py_NewRef(Py_False));
}

static PyObject *Block_repr(PyObject *op)
{
    static const char *const names[] = {"not entered", "open", "over"};
    return PyUnicode_FromFormat("<change block of %R, %s>", (PyObject *)BLOCK(op)->doc,
                                names[BLOCK(op)->phase]);
}

static PyMethodDef Block_methods[] = {
    {"__enter__", Block_enter, METH_NOARGS,
     "__enter__($self, /)\n--\n\nBegin; gives the document."},
    {"__exit__", (PyCFunction)(void (*)(void))Block_exit, METH_FASTCALL,
     "__exit__($self, type=None, value=None, traceback=None, /)\n--\n\nKeep the edits as a change, "
     "or undo them."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Block_slots[] = {
    {Py_tp_doc, "An atomic change of a document in the making; see Doc.change()."},
    {Py_tp_dealloc, Block_dealloc},
    {Py_tp_traverse, Block_traverse},
    {Py_tp_clear, Block_clear},
    {Py_tp_repr, Block_repr},
    {Py_tp_methods, Block_methods},
    {0, NULL},
};

PyType_Spec ckpy_block_spec = {
    .name = "crdtkv._core.Block",
    .basicsize = sizeof(ckpy_block),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Block_slots,
};
