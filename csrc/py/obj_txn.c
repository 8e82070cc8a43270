/* obj_txn.c -- Transaction: writes to a store that nobody sees before commit(). As a mapping it is a StoreMap, obj_store_map.c.
 *
 * It is open while its number is the store's `open`; so whatever ends it, others that hold it see that.
 */
#include "py/errors.h"
#include "py/store.h"

static PyObject *Txn_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"store", NULL};
    PyObject *store;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st || !PyArg_ParseTupleAndKeywords(args, kw, "O!:Transaction", names, st->Store, &store))
        return NULL;
    ckpy_store *s = STORE(store);
    ckpy_face *self = FACE(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->store = (ckpy_store *)Py_NewRef(store);
    ckv_status status = CKV_OK;
    bool ok = ckpy_write_begin(&s->face) == 0;
    if (ok) {
        status = ckpy_store_settle(s); /* what came before is not part of it */
        if (status == CKV_OK) status = ckv_txn_begin(s->core);
        if (status == CKV_OK) {
            self->txn = s->open = ++s->last;
            s->pending = 0;
        }
        ckpy_lock_put(&s->lock);
    }
    if (status != CKV_OK) ok = ckpy_write_raise(s, status, Py_None) == 0;
    if (ok) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int Txn_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(FACE(op)->store);
    return 0;
}

/* Under the lock: takes back what it wrote. */
static void drop(ckpy_face *self)
{
    ckpy_store *s = self->store;
    PyThreadState *ts = ckpy_away_if(s, s->pending > CKPY_MANY);
    ckv_txn_abort(s->core);
    ckpy_back(s, ts);
    s->open = 0;
}

/* If it is open still. */
static void abort_open(ckpy_face *self)
{
    ckpy_lock_get(&self->store->lock);
    if (self->txn != 0 && self->store->open == self->txn) drop(self);
    ckpy_lock_put(&self->store->lock);
}

static void Txn_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_face *self = FACE(op);
    PyObject_GC_UnTrack(op);
    if (self->store) abort_open(self);
    Py_XDECREF(self->store); /* no tp_clear: no store knows its transaction, so there is no cycle */
    tp->tp_free(op);
    Py_DECREF(tp);
}

static bool is_open(ckpy_face *self)
{
    ckpy_lock_get(&self->store->lock);
    const bool open = self->store->open == self->txn;
    ckpy_lock_put(&self->store->lock);
    return open;
}

/* ops NULL: nobody wants them. -1: an exception; it is still open, or observers raised. */
static int commit(ckpy_face *self, ckv_buf *ops)
{
    ckpy_store *s = self->store;
    uint64_t ms;
    if (ckpy_read_begin(self) < 0) return -1; /* before the clock is asked */
    ckpy_lock_put(&s->lock);
    if (ckpy_store_now(s, &ms) < 0 || ckpy_write_begin(self) < 0) return -1;
    PyThreadState *ts = ckpy_away_if(s, s->pending > CKPY_MANY);
    ckv_status status = ckv_txn_commit(s->core, ms, ops);
    ckpy_back(s, ts);
    if (status == CKV_OK) {
        s->open = 0;
        status = ckpy_store_settle(s);
    }
    const int told = ckpy_write_end(s);
    return status == CKV_OK ? told : ckpy_write_raise(s, status, Py_None);
}

static PyObject *Txn_commit(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return commit(FACE(op), NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Txn_commit_with_ops(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckv_buf ops = ckv_buf_init(ckv_alloc_libc);
    PyObject *list = commit(FACE(op), &ops) == 0 ? PyList_New(0) : NULL;
    ckv_rd rd = ckv_rd_init(ops.ptr, ops.len);
    while (list && ckv_rd_left(&rd)) {
        size_t n;
        const uint8_t *p = ckv_rd_blob(&rd, &n);
        PyObject *one = PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
        if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    ckv_buf_fini(&ops);
    return list;
}

static PyObject *Txn_abort(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (ckpy_write_begin(FACE(op)) < 0) return NULL;
    drop(FACE(op));
    ckpy_lock_put(&FACE(op)->store->lock);
    Py_RETURN_NONE;
}

static PyObject *Txn_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (ckpy_read_begin(FACE(op)) < 0) return NULL;
    ckpy_lock_put(&FACE(op)->store->lock);
    return Py_NewRef(op);
}

static PyObject *Txn_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_face *self = FACE(op);
    if (nargs > 0 && args[0] != Py_None) {
        abort_open(self);
    } else if (is_open(self) && commit(self, NULL) < 0) {
        abort_open(self); /* if it could not be committed; observers raise when it is */
        return NULL;
    }
    Py_RETURN_FALSE;
}

static PyObject *Txn_repr(PyObject *op)
{
    ckpy_face *self = FACE(op);
    ckpy_store *s = self->store;
    ckpy_lock_get(&s->lock);
    const bool open = s->open == self->txn;
    const size_t n = open ? ckv_store_len(s->core, true) : 0;
    ckpy_lock_put(&s->lock);
    PyObject *name = ckpy_key(ckv_store_name(s->core)), *result = NULL;
    if (name)
        result = open ? PyUnicode_FromFormat("<Transaction of %R: open, %zu keys>", name, n)
                      : PyUnicode_FromFormat("<Transaction of %R: over>", name);
    Py_XDECREF(name);
    return result;
}

/* ---- spec */

#define SETUP "\n\n>>> import crdtkv as ck\n>>> s = ck.Store()\n>>> t = s.begin()\n>>> t['x'] = 1\n"

PyDoc_STRVAR(
    commit_doc,
    "commit($self, /)\n--\n\n"
    "Make all of it part of the store, at once. Puts get consecutive times in the order of "
    "last writes.\n\n"
    "If the clock raises, or memory ends, it stays open." SETUP
    ">>> 'x' in s\nFalse\n>>> t.commit()\n>>> s['x']\n1");
PyDoc_STRVAR(commit_with_ops_doc,
             "commit_with_ops($self, /)\n--\n\n"
             "commit(), and return the messages that tell other replicas, for "
             "integrate_ops()." SETUP ">>> other = ck.Store()\n"
             ">>> bool(other.integrate_ops(t.commit_with_ops())), other['x']\n(True, 1)");
PyDoc_STRVAR(abort_doc,
             "abort($self, /)\n--\n\nTake everything back." SETUP ">>> t.abort()\n>>> len(s)\n0");

static PyMethodDef Txn_methods[] = {
    {"commit", Txn_commit, METH_NOARGS, commit_doc},
    {"commit_with_ops", Txn_commit_with_ops, METH_NOARGS, commit_with_ops_doc},
    {"abort", Txn_abort, METH_NOARGS, abort_doc},
    {"__enter__", Txn_enter, METH_NOARGS, "__enter__($self, /)\n--\n\nThe transaction itself."},
    {"__exit__", (PyCFunction)(void (*)(void))Txn_exit, METH_FASTCALL,
     "__exit__($self, type=None, value=None, traceback=None, /)\n--\n\n"
     "Commit it, or after an exception abort it; nothing if it is over."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Txn_slots[] = {
    {Py_tp_doc, "Transaction(store)\n--\n\n"
                "Writes that nobody sees before commit(), the part in C; crdtkv.Transaction has "
                "the manners."},
    {Py_tp_new, Txn_new},
    {Py_tp_dealloc, Txn_dealloc},
    {Py_tp_traverse, Txn_traverse},
    {Py_tp_repr, Txn_repr},
    {Py_tp_methods, Txn_methods},
    {0, NULL},
};

PyType_Spec ckpy_txn_spec = {
    .name = "crdtkv._core.Transaction",
    .basicsize = sizeof(ckpy_face),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Txn_slots,
};
