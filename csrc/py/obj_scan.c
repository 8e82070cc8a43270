/* obj_scan.c -- Scan: an iterator over keys, values or both in key order; and what looks at many keys in one go.
 *
 *     for k in s            step by step, under the lock for each step; RuntimeError once keys came or went
 *     s["a":"m"], entries   in one go: objects that no garbage collector tracks under the lock, containers and rows after it
 */
#include "py/errors.h"
#include "py/store.h"

/* ---- ranges */

int ckpy_range_arg(ckpy_state *st, PyObject *prefix, PyObject *start, PyObject *stop,
                   ckpy_range *out)
{
    *out = (ckpy_range){0};
    if (start && start != Py_None) {
        if (ckpy_key_arg(st, start, &out->start) < 0) return -1;
        out->core.start = &out->start;
    }
    if (stop && stop != Py_None) {
        if (ckpy_key_arg(st, stop, &out->stop) < 0) return -1;
        out->core.stop = &out->stop;
    }
    if (prefix && prefix != Py_None) {
        ckv_store_key p;
        if (ckpy_key_arg(st, prefix, &p) < 0) return -1;
        out->prefix = (ckv_bytes){p.ptr, p.n_bytes};
        out->core.prefix = &out->prefix;
    }
    return 0;
}

int ckpy_range_of_slice(ckpy_state *st, PyObject *op, ckpy_range *out)
{
    const PySliceObject *slice = (const PySliceObject *)op;
    if (slice->step != Py_None) {
        PyErr_SetString(PyExc_ValueError, "a range of keys has no step");
        return -1;
    }
    return ckpy_range_arg(st, NULL, slice->start, slice->stop, out);
}

/* ---- the iterator */

typedef struct ckpy_scan_iter {
    PyObject_HEAD ckpy_store *store; /* owned */
    ckv_scan *core;                  /* owned, NULL: at its end; guarded by store's lock */
    uint64_t txn;                    /* of the transaction it reads, 0: none */
    uint8_t what;                    /* ckpy_what */
} ckpy_scan_iter;

#define SCAN(op) ((ckpy_scan_iter *)(op))

static int raise_scan(ckpy_store *s, ckv_status status)
{
    if (status == CKV_ESTALE)
        PyErr_SetString(PyExc_RuntimeError, "keys came or went during iteration");
    else
        ckpy_raise(s->state, status, "the store could not be read");
    return -1;
}

PyObject *ckpy_scan(ckpy_face *f, ckpy_what what, const ckv_range *range, bool reverse)
{
    ckpy_store *s = f->store;
    ckpy_scan_iter *self = SCAN(s->state->Scan->tp_alloc(s->state->Scan, 0));
    if (!self) return NULL;
    self->store = (ckpy_store *)Py_NewRef((PyObject *)s);
    self->txn = f->txn;
    self->what = (uint8_t)what;
    if (ckpy_read_begin(f) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    ckv_scan *core;
    const ckv_status status = ckv_scan_new(&core, s->core, f->txn != 0, range, reverse);
    if (status == CKV_OK) self->core = core;
    ckpy_lock_put(&s->lock);
    if (status == CKV_OK) return (PyObject *)self;
    Py_DECREF(self);
    raise_scan(s, status);
    return NULL;
}

static int Scan_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(SCAN(op)->store);
    return 0;
}

static void Scan_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_scan_iter *self = SCAN(op);
    PyObject_GC_UnTrack(op);
    if (self->core) {
        ckpy_lock_get(&self->store->lock);
        ckv_scan_free(self->core);
        ckpy_lock_put(&self->store->lock);
    }
    Py_XDECREF(self->store); /* no tp_clear: no store knows its scans, so there is no cycle */
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *Scan_next(PyObject *op)
{
    ckpy_scan_iter *self = SCAN(op);
    ckpy_store *s = self->store;
    const bool keys = self->what != CKPY_VALUES, values = self->what != CKPY_KEYS;
    PyObject *key = NULL, *value, *pair;
    ckpy_held held = {0};
    ckv_item item;
    ckv_status status = CKV_ENOENT;
    if (ckpy_store_look(s) < 0) return NULL;
    const bool over = self->txn != 0 && s->open != self->txn;
    if (self->core && !over) status = ckv_scan_next(self->core, &item);
    if (status == CKV_OK) {
        if (keys) key = ckpy_key(item.key);
        if (values && (key || !keys)) (void)ckpy_hold(item.value, &held);
    } else if (status == CKV_ENOENT && self->core && !over) {
        ckv_scan_free(self->core);
        self->core = NULL;
    }
    ckpy_lock_put(&s->lock);
    if (over) return ckpy_raise(s->state, CKV_ESTALE, "the transaction is over");
    if (status != CKV_OK) {
        if (status != CKV_ENOENT) raise_scan(s, status);
        return NULL;
    }
    if (!values) return key;
    value = ckpy_held_value(&held);
    if (!keys || !value) {
        Py_XDECREF(key);
        return value;
    }
    if ((pair = PyTuple_New(2))) {
        PyTuple_SET_ITEM(pair, 0, key);
        PyTuple_SET_ITEM(pair, 1, value);
        return pair;
    }
    Py_DECREF(key);
    Py_DECREF(value);
    return NULL;
}

PyObject *ckpy_scan_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_range range;
    if (nargs != 5) {
        PyErr_Format(PyExc_TypeError, "_scan expected 5 arguments, got %zd", nargs);
        return NULL;
    }
    const long what = PyLong_AsLong(args[0]);
    if (what == -1 && PyErr_Occurred()) return NULL;
    const int reverse = PyObject_IsTrue(args[4]);
    if (reverse < 0 ||
        ckpy_range_arg(FACE(op)->store->state, args[1], args[2], args[3], &range) < 0)
        return NULL;
    return ckpy_scan(FACE(op),
                     what == CKPY_KEYS     ? CKPY_KEYS
                     : what == CKPY_VALUES ? CKPY_VALUES
                                           : CKPY_ITEMS,
                     &range.core, reverse);
}

PyObject *ckpy_count_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_face *f = FACE(op);
    ckpy_store *s = f->store;
    ckpy_range range;
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "_count expected 3 arguments, got %zd", nargs);
        return NULL;
    }
    if (ckpy_range_arg(s->state, args[0], args[1], args[2], &range) < 0 || ckpy_read_begin(f) < 0)
        return NULL;
    ckv_scan *scan;
    ckv_item item;
    size_t n = 0;
    PyThreadState *ts = ckpy_away_if(s, ckv_store_len(s->core, f->txn != 0) > CKPY_MANY);
    ckv_status status = ckv_scan_new(&scan, s->core, f->txn != 0, &range.core, false);
    if (status == CKV_OK) {
        while ((status = ckv_scan_next(scan, &item)) == CKV_OK) n++;
        ckv_scan_free(scan);
    }
    ckpy_back(s, ts);
    ckpy_lock_put(&s->lock);
    if (status == CKV_ENOENT) return PyLong_FromSize_t(n);
    raise_scan(s, status);
    return NULL;
}

/* ---- many at once */

typedef struct row {
    PyObject *key, *peer; /* owned, NULL where not asked for */
    ckpy_held value;
    uint64_t hlc;
} row;

typedef struct rows {
    row *ptr; /* owned */
    size_t n, cap;
} rows;

static void rows_fini(rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        Py_XDECREF(r->ptr[i].key);
        Py_XDECREF(r->ptr[i].peer);
        Py_XDECREF(r->ptr[i].value.object);
    }
    PyMem_RawFree(r->ptr);
}

/* The same object as in the row before, if it is the same peer: most rows of a store are of few. */
static PyObject *peer_of(const rows *r, ckv_bytes peer)
{
    PyObject *last = r->n ? r->ptr[r->n - 1].peer : NULL;
    if (last && (size_t)PyBytes_GET_SIZE(last) == peer.n_bytes &&
        memcmp(PyBytes_AS_STRING(last), peer.ptr, peer.n_bytes) == 0)
        return Py_NewRef(last);
    return PyBytes_FromStringAndSize((const char *)peer.ptr, (Py_ssize_t)peer.n_bytes);
}

/* Under the lock: one more row. False: no memory. */
static bool add_row(rows *r, const ckv_item *item, bool with_key, bool with_dot)
{
    if (r->n == r->cap) {
        const size_t cap = r->cap ? 2 * r->cap : 16;
        row *grown = PyMem_RawRealloc(r->ptr, cap * sizeof *grown);
        if (!grown) return false;
        r->ptr = grown;
        r->cap = cap;
    }
    row new = {.hlc = item->hlc};
    const bool ok = ckpy_hold(item->value, &new.value) &&
                    (!with_key || (new.key = ckpy_key(item->key))) &&
                    (!with_dot || (new.peer = peer_of(r, item->peer)));
    r->ptr[r->n++] = new;
    return ok;
}

/* All rows of a range; then the lock is gone. -1: an exception. */
static int collect(ckpy_face *f, const ckv_range *range, bool with_dots, rows *out)
{
    ckpy_store *s = f->store;
    if (ckpy_read_begin(f) < 0) return -1;
    ckv_scan *scan;
    ckv_item item;
    bool ok = true;
    ckv_status status = ckv_scan_new(&scan, s->core, f->txn != 0, range, false);
    if (status == CKV_OK) {
        while (ok && (status = ckv_scan_next(scan, &item)) == CKV_OK)
            ok = add_row(out, &item, true, with_dots);
        ckv_scan_free(scan);
    }
    ckpy_lock_put(&s->lock);
    if (!ok) {
        PyErr_NoMemory();
        return -1;
    }
    return status == CKV_ENOENT ? 0 : raise_scan(s, status);
}

/* The row's value; the row has it no more. */
static PyObject *value_of(row *r)
{
    PyObject *value = ckpy_held_value(&r->value);
    r->value.object = NULL;
    return value;
}

PyObject *ckpy_scan_dict(ckpy_face *f, const ckv_range *range)
{
    rows r = {0};
    PyObject *dict = collect(f, range, false, &r) == 0 ? PyDict_New() : NULL;
    for (size_t i = 0; dict && i < r.n; i++) {
        PyObject *value = value_of(&r.ptr[i]);
        if (!value || PyDict_SetItem(dict, r.ptr[i].key, value) < 0) Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    rows_fini(&r);
    return dict;
}

PyObject *ckpy_entries_method(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    rows r = {0};
    const int done = collect(FACE(op), NULL, true, &r);
    PyObject *list = done == 0 ? PyList_New((Py_ssize_t)r.n) : NULL;
    for (size_t i = 0; list && i < r.n; i++) {
        PyObject *value = value_of(&r.ptr[i]);
        PyObject *one = value ? Py_BuildValue("(ONOK)", r.ptr[i].key, value, r.ptr[i].peer,
                                              (unsigned long long)r.ptr[i].hlc)
                              : NULL;
        if (!one)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
    }
    rows_fini(&r);
    return list;
}

PyObject *ckpy_conflicts_method(PyObject *op, PyObject *key)
{
    ckpy_store *s = STORE(op);
    rows r = {0};
    ckv_store_key k;
    ckv_item item;
    const void *at = NULL;
    bool ok = true;
    if (ckpy_key_arg(s->state, key, &k) < 0) return NULL;
    if (ckpy_store_look(s) < 0) return NULL;
    while (ok && ckv_store_each(s->core, k, &at, &item)) ok = add_row(&r, &item, false, true);
    ckpy_lock_put(&s->lock);
    PyObject *list = ok ? PyList_New((Py_ssize_t)r.n) : PyErr_NoMemory();
    for (size_t i = 0; list && i < r.n; i++) {
        PyObject *value = value_of(&r.ptr[i]);
        PyObject *one =
            value ? Py_BuildValue("(NOK)", value, r.ptr[i].peer, (unsigned long long)r.ptr[i].hlc)
                  : NULL;
        if (!one)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
    }
    rows_fini(&r);
    return list;
}

/* ---- spec */

static PyType_Slot Scan_slots[] = {
    {Py_tp_doc, "Goes through the keys, values or items of a store, in key order."},
    {Py_tp_dealloc, Scan_dealloc},
    {Py_tp_traverse, Scan_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, Scan_next},
    {0, NULL},
};

PyType_Spec ckpy_scan_spec = {
    .name = "crdtkv._core.Scan",
    .basicsize = sizeof(ckpy_scan_iter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Scan_slots,
};
