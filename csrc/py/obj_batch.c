/* obj_batch.c -- Batch: writes to a datastore that nobody sees before they are written. One that grows beyond max_bytes is written in parts.
 *
 * Filling it touches nothing of the datastore, so it has a lock of its own: who fills a batch waits for nobody. To write takes both.
 * It is over when it has no core: after abort(), or after its `with`. commit() leaves it empty. It may outlive the file under its datastore.
 */
#include "py/datastore.h"
#include "py/show.h"

typedef struct ckpy_batch {
    PyObject_HEAD ckpy_datastore *d; /* owned */
    ckpy_lock lock;
    ckv_batch *core; /* owned, NULL: over; guarded by lock */
    size_t max_bytes;
    PyObject *message; /* owned str, or None */
} ckpy_batch;

#define BATCH(op) ((ckpy_batch *)(op))

/* ---- life */

PyObject *ckpy_batch_method(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"max_bytes", "message", NULL};
    ckpy_datastore *d = DATASTORE(op);
    Py_ssize_t max_bytes = 1 << 20, n_bytes;
    PyObject *message = Py_None;
    const char *text;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|n$O:batch", names, &max_bytes, &message) ||
        ckpy_message_arg(message, &text, &n_bytes) < 0)
        return NULL;
    if (max_bytes <= 0) return PyErr_Format(PyExc_ValueError, "max_bytes must be positive");
    ckpy_batch *self = BATCH(d->state->Batch->tp_alloc(d->state->Batch, 0));
    if (!self) return NULL;
    self->d = (ckpy_datastore *)Py_NewRef(op);
    self->max_bytes = (size_t)max_bytes;
    self->message = Py_NewRef(message);
    if (!ckpy_lock_init(&self->lock)) PyErr_NoMemory();
    if (PyErr_Occurred() || ckpy_datastore_begin(d) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    ckv_batch *core;
    const ckv_status s = ckv_batch_new(&core, d->core);
    if (s == CKV_OK) self->core = core;
    if (ckpy_datastore_end(d, s, NULL) == 0) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static int Batch_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(BATCH(op)->d);
    return 0;
}

/* Under its lock. */
static void finish(ckpy_batch *self)
{
    ckv_batch_free(self->core);
    self->core = NULL;
}

static void Batch_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_batch *self = BATCH(op);
    PyObject_GC_UnTrack(op);
    finish(self);
    ckpy_lock_fini(&self->lock);
    Py_XDECREF(self->message);
    Py_XDECREF(self->d); /* no tp_clear: no datastore knows its batches, so there is no cycle */
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- writing */

static int over(ckpy_batch *self)
{
    ckpy_raise(self->d->state, CKV_ESTALE, "the batch is over");
    return -1;
}

/* 0: its lock is held, and it is not over. -1: an exception. */
static int begin(ckpy_batch *self)
{
    if (atomic_load(&self->d->is_closed)) {
        ckpy_raise(self->d->state, CKV_ESTALE,
                   "the database is closed, or this was deleted from it");
        return -1;
    }
    ckpy_lock_get(&self->lock);
    if (self->core) return 0;
    ckpy_lock_put(&self->lock);
    return over(self);
}

/* Under both locks, which are let go of: writes what is in it. */
static int write_both(ckpy_batch *self, int64_t ms, uint32_t *dag, uint32_t *change)
{
    ckpy_datastore *d = self->d;
    const char *text;
    Py_ssize_t n_bytes;
    (void)ckpy_message_arg(self->message, &text, &n_bytes); /* it was looked at before */
    PyThreadState *ts = ckpy_lock_away_both(&d->lock, &self->lock);
    const ckv_status s = ckv_batch_write(self->core, ms, text, (size_t)n_bytes, dag, change);
    ckpy_lock_back_both(&d->lock, &self->lock, ts);
    ckpy_lock_put(&self->lock);
    return ckpy_datastore_end(d, s, NULL);
}

/* *change CKV_NO_CHANGE: there was nothing to write. -1: an exception. */
static int write_out(ckpy_batch *self, uint32_t *dag, uint32_t *change)
{
    ckpy_datastore *d = self->d;
    int64_t ms;
    *change = CKV_NO_CHANGE;
    if (ckpy_datastore_now(d, &ms) < 0) return -1;
    ckpy_lock_get_both(&d->lock, &self->lock);
    const bool empty = self->core && ckv_batch_len(self->core) == 0;
    const char *why = d->core && self->core && !empty ? ckpy_datastore_why_not(d) : NULL;
    if (d->core && self->core && !empty && !why) return write_both(self, ms, dag, change);
    const bool is_over = !self->core;
    ckpy_lock_put(&self->lock);
    if (!d->core) return ckpy_datastore_gone(d);
    ckpy_lock_put(&d->lock);
    if (is_over) return over(self);
    if (why) PyErr_SetString(d->state->StoreError, why);
    return why ? -1 : 0;
}

/* After an operation, under its lock, which is let go of. */
static int added(ckpy_batch *self, ckv_status s)
{
    uint32_t dag, change;
    const bool full = s == CKV_OK && ckv_batch_bytes(self->core) >= self->max_bytes;
    ckpy_lock_put(&self->lock);
    if (full) return write_out(self, &dag, &change);
    if (s == CKV_OK) return 0;
    ckpy_raise(self->d->state, s, "beyond what a batch may hold");
    return -1;
}

/* As begin, before an operation. What could not be written when the batch was full, because a DAG was purged, say, is written first: it does not grow without end. */
static int begin_adding(ckpy_batch *self)
{
    uint32_t dag, change;
    if (begin(self) < 0) return -1;
    if (ckv_batch_bytes(self->core) < self->max_bytes) return 0;
    ckpy_lock_put(&self->lock);
    return write_out(self, &dag, &change) < 0 ? -1 : begin(self);
}

/* The number of a DAG. Only one with a name has to ask the datastore. */
static int find_dag(ckpy_datastore *d, ckpy_dag_name name, uint32_t *number)
{
    *number = 0;
    if (!name.ptr) return 0;
    if (ckpy_datastore_begin(d) < 0) return -1;
    PyThreadState *ts = ckpy_datastore_away(d);
    const ckv_status s = ckpy_dag_number(d, name, number);
    ckpy_datastore_back(d, ts);
    return ckpy_datastore_end(d, s, NULL);
}

static PyObject *Batch_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ckpy_batch *self = BATCH(op);
    ckpy_datastore *d = self->d;
    ckpy_put_args a;
    ckv_store_key k;
    ckpy_scratch scratch;
    uint32_t dag;
    int result = -1;
    if (ckpy_put_arg("put", args, nargs, kwnames, 2, &a) < 0 ||
        ckpy_key_arg(d->state, a.key, &k) < 0)
        return NULL;
    ckpy_scratch_init(&scratch);
    if (ckpy_nested_write(d->state, &scratch.buf, a.value) == 0 && find_dag(d, a.dag, &dag) == 0 &&
        begin_adding(self) == 0)
        result = added(self, ckv_batch_put(self->core, dag, k, scratch.buf.ptr, scratch.buf.len));
    ckpy_scratch_fini(&scratch);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Batch_delete(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    ckpy_batch *self = BATCH(op);
    ckpy_put_args a;
    ckv_store_key k;
    uint32_t dag;
    if (ckpy_put_arg("delete", args, nargs, kwnames, 1, &a) < 0 ||
        ckpy_key_arg(self->d->state, a.key, &k) < 0 || find_dag(self->d, a.dag, &dag) < 0 ||
        begin_adding(self) < 0)
        return NULL;
    return added(self, ckv_batch_delete(self->core, dag, k)) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *count(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                       bool minus)
{
    ckpy_batch *self = BATCH(op);
    const char *what = minus ? "decrement" : "increment";
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    ckv_store_key k;
    ckpy_amount amount = {.n = minus ? -1 : 1};
    PyObject *name = nargs > 0 ? args[0] : NULL, *n = nargs > 1 ? args[1] : NULL;
    bool bad = nargs > 2;
    for (Py_ssize_t i = 0; !bad && i < n_kw; i++) {
        PyObject *kw = PyTuple_GET_ITEM(kwnames, i);
        PyObject **to = PyUnicode_CompareWithASCIIString(kw, "name") == 0 ? &name
                        : PyUnicode_CompareWithASCIIString(kw, "n") == 0  ? &n
                                                                          : NULL;
        bad = !to || *to;
        if (!bad) *to = args[nargs + i];
    }
    if (bad || !name)
        return PyErr_Format(PyExc_TypeError, "%s() takes name and n, each once", what);
    if (ckpy_key_arg(self->d->state, name, &k) < 0 ||
        (n && ckpy_amount_arg(n, minus, &amount) < 0) || begin_adding(self) < 0)
        return NULL;
    ckv_status s = ckv_batch_count(self->core, k, amount.n);
    if (s == CKV_OK && amount.more) s = ckv_batch_count(self->core, k, amount.more);
    return added(self, s) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Batch_increment(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames)
{
    return count(op, args, nargs, kwnames, false);
}

static PyObject *Batch_decrement(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames)
{
    return count(op, args, nargs, kwnames, true);
}

/* ---- the end */

static PyObject *commit(ckpy_batch *self)
{
    uint32_t dag, change;
    if (begin(self) < 0) return NULL; /* before the clock is asked */
    ckpy_lock_put(&self->lock);
    if (write_out(self, &dag, &change) < 0) return NULL;
    return ckpy_datastore_change(self->d, dag, change);
}

static PyObject *Batch_commit(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return commit(BATCH(op));
}

static PyObject *Batch_abort(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (begin(BATCH(op)) < 0) return NULL;
    finish(BATCH(op));
    ckpy_lock_put(&BATCH(op)->lock);
    Py_RETURN_NONE;
}

static PyObject *Batch_enter(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (begin(BATCH(op)) < 0) return NULL;
    ckpy_lock_put(&BATCH(op)->lock);
    return Py_NewRef(op);
}

static PyObject *Batch_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_batch *self = BATCH(op);
    ckpy_lock_get(&self->lock);
    const bool open = self->core != NULL, drop = nargs > 0 && args[0] != Py_None;
    if (drop) finish(self);
    ckpy_lock_put(&self->lock);
    if (!open || drop) Py_RETURN_FALSE;
    PyObject *done = commit(self);
    ckpy_lock_get(&self->lock);
    finish(self); /* whether or not it could be written; observers raise when it is */
    ckpy_lock_put(&self->lock);
    if (!done) return NULL;
    Py_DECREF(done);
    Py_RETURN_FALSE;
}

static Py_ssize_t Batch_length(PyObject *op)
{
    ckpy_batch *self = BATCH(op);
    if (begin(self) < 0) return -1;
    const size_t n = ckv_batch_len(self->core);
    ckpy_lock_put(&self->lock);
    return (Py_ssize_t)n;
}

static int Batch_bool(PyObject *op)
{
    (void)op;
    return 1; /* `if batch` asks whether there is one */
}

static PyObject *Batch_repr(PyObject *op)
{
    ckpy_batch *self = BATCH(op);
    ckpy_lock_get(&self->lock);
    const bool open = self->core && !atomic_load(&self->d->is_closed);
    const size_t n = open ? ckv_batch_len(self->core) : 0,
                 n_bytes = open ? ckv_batch_bytes(self->core) : 0;
    ckpy_lock_put(&self->lock);
    return open ? PyUnicode_FromFormat("<Batch: open, %zu operations, %zu bytes>", n, n_bytes)
                : PyUnicode_FromFormat("<Batch: over>");
}

/* ---- spec */

#define SETUP   "\n\n>>> import crdtkv as ck\n>>> kv = ck.Datastore()\n>>> b = kv.batch()\n"
#define FAST(f) (PyCFunction)(void (*)(void)) f

CKPY_SHOWN(Batch, "batch")

static PyMethodDef Batch_methods[] = {
    CKPY_SHOWN_METHOD(Batch),
    {"put", FAST(Batch_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, /, key, value, dag='default')\n--\n\n"
     "Set a key. The last operation on a key wins." SETUP
     ">>> b.put('x', 1)\n>>> 'x' in kv, len(b)\n(False, 1)"},
    {"delete", FAST(Batch_delete), METH_FASTCALL | METH_KEYWORDS,
     "delete($self, /, key, dag='default')\n--\n\nRemove a key, whether or not it is there." SETUP
     ">>> b.delete('x')"},
    {"increment", FAST(Batch_increment), METH_FASTCALL | METH_KEYWORDS,
     "increment($self, /, name, n=1)\n--\n\n"
     "Count n more on the counter of that name. OverflowError: one amount fits 64 bits." SETUP
     ">>> b.increment('visits', 10)"},
    {"decrement", FAST(Batch_decrement), METH_FASTCALL | METH_KEYWORDS,
     "decrement($self, /, name, n=1)\n--\n\nCount n less." SETUP ">>> b.decrement('visits')"},
    {"commit", Batch_commit, METH_NOARGS,
     "commit($self, /)\n--\n\n"
     "Write what is in it, as one change for each DAG it touches; the change, None if there was "
     "nothing to write.\n\n"
     "Then it is empty, and may be filled again. StoreError: it could not be written and is "
     "dropped." SETUP ">>> b.put('x', 1)\n>>> b.commit().n_ops, kv['x']\n(1, 1)"},
    {"abort", Batch_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nDrop what is not written, and end it." SETUP
     ">>> b.put('x', 1)\n>>> b.abort()\n>>> len(kv)\n0"},
    {"__enter__", Batch_enter, METH_NOARGS, "__enter__($self, /)\n--\n\nThe batch itself."},
    {"__exit__", FAST(Batch_exit), METH_FASTCALL,
     "__exit__($self, type=None, value=None, traceback=None, /)\n--\n\n"
     "Commit it, or after an exception abort it; nothing if it is over."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Batch_slots[] = {
    {Py_tp_doc,
     "Writes to a datastore that nobody sees before they are written: what Datastore.batch() "
     "returns.\n\n"
     "As a context manager it commits at the end; an exception drops what is not yet written. "
     "After its end every use is\n"
     "a StaleHandleError. Its length is the number of operations in it. May be used from several "
     "threads.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> kv = ck.Datastore()\n"
     ">>> with kv.batch() as b:\n"
     "...     b.put('x', 1)\n"
     "...     b.put('x', 2)\n"
     "...     b.increment('visits')\n"
     "...     len(b), 'x' in kv\n"
     "(3, False)\n"
     ">>> kv['x'], int(kv.counter('visits'))\n"
     "(2, 1)"},
    {Py_tp_dealloc, Batch_dealloc},
    {Py_tp_traverse, Batch_traverse},
    {Py_tp_repr, Batch_repr},
    {Py_tp_methods, Batch_methods},
    {Py_nb_bool, Batch_bool},
    {Py_sq_length, Batch_length},
    {0, NULL},
};

PyType_Spec ckpy_batch_spec = {
    .name = "crdtkv.Batch",
    .basicsize = sizeof(ckpy_batch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Batch_slots,
};
