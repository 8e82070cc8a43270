/* obj_query.c -- Query: an iterator over keys, values or both, or over counters, in key order. Nothing is read before the first step.
 *
 *     prefix, after | start, stop      bounds, before anything is read
 *     where(key, value)                without the lock, for anybody's code runs there
 *     offset, limit                    of what is left
 */
#include "py/datastore.h"

#include <stddef.h>

typedef struct ckpy_query {
    PyObject_HEAD ckpy_datastore *d; /* owned */
    ckpy_dependent link;
    ckv_query *core; /* owned, NULL: not begun, or over; guarded by d's lock, as is all below */
    PyObject *where; /* owned callable, NULL: any */
    uint8_t *bounds; /* owned: what lo and hi point to */
    ckv_store_key lo, hi;
    bool has_lo, has_hi, reverse, begun, over;
    uint8_t what;           /* ckpy_rows */
    uint64_t offset, limit; /* left to go */
} ckpy_query;

#define QUERY(op) ((ckpy_query *)(op))

/* ---- bounds */

typedef struct bound {
    ckv_store_key key;
    bool is_set;
    uint8_t room[CKV_MAX_KEY + 1];
} bound;

static void set_bound(bound *b, const uint8_t *ptr, size_t n_bytes, bool is_bytes)
{
    if (n_bytes && ptr != b->room) memcpy(b->room, ptr, n_bytes);
    b->key = (ckv_store_key){b->room, (uint32_t)n_bytes, is_bytes};
    b->is_set = true;
}

/* The tighter of two. */
static void raise_lo(bound *lo, const bound *to)
{
    if (to->is_set && (!lo->is_set || ckv_store_key_compare(to->key, lo->key) > 0))
        set_bound(lo, to->key.ptr, to->key.n_bytes, to->key.is_bytes);
}
static void lower_hi(bound *hi, const bound *to)
{
    if (to->is_set && (!hi->is_set || ckv_store_key_compare(to->key, hi->key) < 0))
        set_bound(hi, to->key.ptr, to->key.n_bytes, to->key.is_bytes);
}

/* The first key, by bytes, beyond all that begin with these; not set: there is none. */
static void beyond(ckv_store_key prefix, bound *out)
{
    size_t n = prefix.n_bytes;
    *out = (bound){0};
    while (n && prefix.ptr[n - 1] == 0xff) n--;
    if (n == 0) return;
    set_bound(out, prefix.ptr, n, false);
    out->room[n - 1]++;
}

typedef struct range_args {
    PyObject *prefix, *after, *start, *stop; /* borrowed; NULL or None: no such bound */
} range_args;

static int key_of(ckpy_state *st, PyObject *op, ckv_store_key *key)
{
    if (!op || op == Py_None) return 0;
    return ckpy_key_arg(st, op, key) < 0 ? -1 : 1;
}

static int find_bounds(ckpy_state *st, const range_args *a, bool reverse, bound *lo, bound *hi)
{
    ckv_store_key k;
    bound b = {0};
    int is_there;
    if ((is_there = key_of(st, a->prefix, &k)) < 0) return -1;
    if (is_there && k.n_bytes) {
        set_bound(&b, k.ptr, k.n_bytes, false);
        raise_lo(lo, &b);
        beyond(k, &b);
        lower_hi(hi, &b);
    }
    if ((is_there = key_of(st, a->after, &k)) < 0) return -1;
    if (is_there && reverse) {
        set_bound(&b, k.ptr, k.n_bytes, false);
        lower_hi(hi, &b);
    } else if (is_there) {
        set_bound(&b, k.ptr, k.n_bytes, false);
        b.room[k.n_bytes] = 0; /* what comes next, longer than any key if this is the longest */
        b.key.n_bytes++;
        raise_lo(lo, &b);
    }
    if ((is_there = key_of(st, a->start, &k)) < 0) return -1;
    if (is_there) {
        set_bound(&b, k.ptr, k.n_bytes, k.is_bytes);
        raise_lo(lo, &b);
    }
    if ((is_there = key_of(st, a->stop, &k)) < 0) return -1;
    if (is_there) {
        set_bound(&b, k.ptr, k.n_bytes, k.is_bytes);
        lower_hi(hi, &b);
    }
    return 0;
}

/* ---- life */

static void drop(ckpy_dependent *link)
{
    ckpy_query *q = (ckpy_query *)(void *)((char *)link - offsetof(ckpy_query, link));
    ckv_query_free(q->core);
    q->core = NULL;
    q->over = true;
}

static PyObject *make(ckpy_datastore *d, ckpy_rows what, const range_args *a, bool reverse)
{
    bound lo, hi;
    lo.is_set = hi.is_set = false;
    if (a && find_bounds(d->state, a, reverse, &lo, &hi) < 0) return NULL;
    ckpy_query *self = QUERY(d->state->Query->tp_alloc(d->state->Query, 0));
    if (!self) return NULL;
    self->d = (ckpy_datastore *)Py_NewRef((PyObject *)d);
    self->link.drop = drop;
    self->what = (uint8_t)what;
    self->reverse = reverse;
    self->limit = UINT64_MAX;
    self->has_lo = lo.is_set;
    self->has_hi = hi.is_set;
    if (!lo.is_set && !hi.is_set) return (PyObject *)self;
    if (!lo.is_set) lo.key.n_bytes = 0;
    if (!hi.is_set) hi.key.n_bytes = 0;
    self->over = lo.is_set && hi.is_set && ckv_store_key_compare(lo.key, hi.key) >= 0;
    self->bounds = PyMem_RawMalloc((size_t)lo.key.n_bytes + hi.key.n_bytes + 1);
    if (!self->bounds) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    if (lo.is_set) {
        memcpy(self->bounds, lo.room, lo.key.n_bytes);
        self->lo = (ckv_store_key){self->bounds, lo.key.n_bytes, lo.key.is_bytes};
    }
    if (hi.is_set) {
        memcpy(self->bounds + lo.key.n_bytes, hi.room, hi.key.n_bytes);
        self->hi = (ckv_store_key){self->bounds + lo.key.n_bytes, hi.key.n_bytes, hi.key.is_bytes};
    }
    return (PyObject *)self;
}

static int Query_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(QUERY(op)->d);
    Py_VISIT(QUERY(op)->where);
    return 0;
}

static int Query_clear(PyObject *op)
{
    Py_CLEAR(QUERY(op)->where); /* the datastore stays: it is needed to let go of the core */
    return 0;
}

/* Under the lock. */
static void finish(ckpy_query *self)
{
    self->over = true;
    if (!self->core) return;
    ckpy_datastore_unlink(&self->link);
    ckv_query_free(self->core);
    self->core = NULL;
}

static void Query_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_query *self = QUERY(op);
    PyObject_GC_UnTrack(op);
    (void)Query_clear(op);
    if (self->core) {
        ckpy_lock_get(&self->d->lock);
        finish(self);
        ckpy_lock_put(&self->d->lock);
    }
    PyMem_RawFree(self->bounds);
    Py_XDECREF(self->d);
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- steps */

/* Under the lock, maybe without the GIL: the first step makes the core's query, and goes over what nobody asks to see. */
static ckv_status begin(ckpy_query *self)
{
    ckv_store_key key;
    ckv_value_bytes value;
    const ckv_store_key *lo = self->has_lo ? &self->lo : NULL,
                        *hi = self->has_hi ? &self->hi : NULL;
    ckv_datastore *d = self->d->core;
    ckv_query *core;
    CKV_TRY(self->what == CKPY_ROW_TOTALS ? ckv_counters_new(&core, d, lo, hi, self->reverse)
                                          : ckv_query_new(&core, d, lo, hi, self->reverse));
    self->core = core;
    self->begun = true;
    ckpy_datastore_link(self->d, &self->link);
    for (; !self->where && self->offset; self->offset--)
        CKV_TRY(ckv_query_next(core, &key, &value));
    return CKV_OK;
}

static ckv_status step(ckpy_query *self, ckv_store_key *key, ckv_value_bytes *value)
{
    const bool is_long = !self->begun && !self->where && self->offset;
    PyThreadState *ts = is_long ? ckpy_lock_away(&self->d->lock) : NULL;
    ckv_status s = self->begun ? CKV_OK : begin(self);
    if (s == CKV_OK) s = ckv_query_next(self->core, key, value);
    ckpy_datastore_back(self->d, ts);
    return s;
}

typedef struct row {
    PyObject *key; /* owned, NULL if nobody wants it */
    ckpy_held value;
    ckv_i128 total;
} row;

/* 1: a row. 0: the end. -1: an exception. */
static int next_row(ckpy_query *self, row *out)
{
    const bool keys = self->what != CKPY_ROW_VALUES || self->where;
    const bool values =
        self->what == CKPY_ROW_VALUES || self->what == CKPY_ROW_ITEMS || self->where;
    ckv_store_key key;
    ckv_value_bytes value;
    *out = (row){0};
    if (ckpy_datastore_read_begin(self->d) < 0) return -1;
    if (!self->over && self->limit == 0) finish(self);
    ckv_status s = self->over ? CKV_ENOENT : step(self, &key, &value);
    if (s == CKV_OK) {
        if (keys && !(out->key = ckpy_key(key))) s = CKV_ENOMEM;
        if (self->what == CKPY_ROW_TOTALS)
            memcpy(&out->total, value.ptr, sizeof out->total);
        else if (s == CKV_OK && values && !ckpy_hold(ckpy_bytes_of(value), &out->value))
            s = CKV_ENOMEM;
        if (s == CKV_OK && !self->where && --self->limit == 0) finish(self);
    } else if (s == CKV_ENOENT) {
        finish(self);
    }
    if (s == CKV_OK || s == CKV_ENOENT) {
        ckpy_lock_put(&self->d->lock);
        return s == CKV_OK;
    }
    (void)ckpy_datastore_end_slow(self->d, s, NULL);
    Py_CLEAR(out->key);
    return -1;
}

/* Is it a row that where() and offset let through? Without the lock. */
static int is_wanted(ckpy_query *self, PyObject *key, PyObject *value)
{
    PyObject *both[2] = {key, value}, *where = Py_NewRef(self->where);
    PyObject *answer = PyObject_Vectorcall(where, both, 2, NULL);
    int wanted = answer ? PyObject_IsTrue(answer) : -1;
    Py_DECREF(where);
    Py_XDECREF(answer);
    if (wanted <= 0) return wanted;
    ckpy_lock_get(&self->d->lock);
    wanted = self->offset == 0;
    if (!wanted)
        self->offset--;
    else if (--self->limit == 0)
        finish(self);
    ckpy_lock_put(&self->d->lock);
    return wanted;
}

static PyObject *pair_of(PyObject *key, PyObject *value)
{
    PyObject *pair = key && value ? PyTuple_New(2) : NULL;
    if (!pair) {
        Py_XDECREF(key);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, key);
    PyTuple_SET_ITEM(pair, 1, value);
    return pair;
}

static PyObject *Query_next(PyObject *op)
{
    ckpy_query *self = QUERY(op);
    row r;
    for (;;) {
        if (next_row(self, &r) <= 0) return NULL;
        if (self->what == CKPY_ROW_TOTALS) return pair_of(r.key, ckpy_i128(r.total));
        if (self->what == CKPY_ROW_KEYS && !r.value.object) return r.key;
        PyObject *value = ckpy_held_value(&r.value);
        if (!value || !self->where) return r.key || !value ? pair_of(r.key, value) : value;
        const int wanted = is_wanted(self, r.key, value);
        if (wanted > 0 && self->what == CKPY_ROW_ITEMS) return pair_of(r.key, value);
        Py_DECREF(value);
        if (wanted > 0) return r.key;
        Py_DECREF(r.key);
        if (wanted < 0) return NULL;
    }
}

/* ---- methods of Datastore */

static int count_arg(PyObject *op, const char *what, uint64_t *out)
{
    Py_ssize_t n;
    if (!op || op == Py_None) return 0;
    if (ckpy_index_arg(op, &n) < 0) return -1;
    if (n < 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative", what);
        return -1;
    }
    *out = (uint64_t)n;
    return 0;
}

PyObject *ckpy_query_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    static const char *const names[] = {"prefix", "keys_only", "reverse", "limit",
                                        "offset", "after",     "where"};
    PyObject *found[7] = {NULL};
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs > 1)
        return PyErr_Format(PyExc_TypeError, "query() takes one argument by position, prefix");
    if (nargs == 1) found[0] = args[0];
    for (Py_ssize_t i = 0; i < n_kw; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        size_t at = 0;
        while (at < 7 && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) at++;
        if (at == 7 || found[at])
            return PyErr_Format(PyExc_TypeError, "query() does not take %R%s", name,
                                at == 7 ? "" : " twice");
        found[at] = args[nargs + i];
    }
    const int keys_only = found[1] ? PyObject_IsTrue(found[1]) : 0;
    const int reverse = keys_only < 0 ? -1 : found[2] ? PyObject_IsTrue(found[2]) : 0;
    if (reverse < 0) return NULL;
    PyObject *where = found[6] == Py_None ? NULL : found[6];
    if (where && !PyCallable_Check(where))
        return PyErr_Format(PyExc_TypeError, "where must be callable");
    uint64_t limit = UINT64_MAX, offset = 0;
    if (count_arg(found[3], "limit", &limit) < 0 || count_arg(found[4], "offset", &offset) < 0)
        return NULL;
    const range_args a = {.prefix = found[0], .after = found[5]};
    PyObject *q = make(DATASTORE(op), keys_only ? CKPY_ROW_KEYS : CKPY_ROW_ITEMS, &a, reverse);
    if (!q) return NULL;
    QUERY(q)->where = Py_XNewRef(where);
    QUERY(q)->limit = limit;
    QUERY(q)->offset = offset;
    return q;
}

PyObject *ckpy_query_all(ckpy_datastore *d, ckpy_rows what, bool reverse)
{
    return make(d, what, NULL, reverse);
}

PyObject *ckpy_query_scan(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 5)
        return PyErr_Format(PyExc_TypeError, "_scan expected 5 arguments, got %zd", nargs);
    const long what = PyLong_AsLong(args[0]);
    if (what == -1 && PyErr_Occurred()) return NULL;
    const int reverse = PyObject_IsTrue(args[4]);
    if (reverse < 0) return NULL;
    const range_args a = {.prefix = args[1], .start = args[2], .stop = args[3]};
    return make(DATASTORE(op),
                what == CKPY_ROW_KEYS     ? CKPY_ROW_KEYS
                : what == CKPY_ROW_VALUES ? CKPY_ROW_VALUES
                                          : CKPY_ROW_ITEMS,
                &a, reverse);
}

PyObject *ckpy_query_totals(PyObject *op, PyObject *prefix)
{
    const range_args a = {.prefix = prefix};
    return make(DATASTORE(op), CKPY_ROW_TOTALS, &a, false);
}

PyObject *ckpy_query_count(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_datastore *d = DATASTORE(op);
    if (nargs != 3)
        return PyErr_Format(PyExc_TypeError, "_count expected 3 arguments, got %zd", nargs);
    const range_args a = {.prefix = args[0], .start = args[1], .stop = args[2]};
    PyObject *q = make(d, CKPY_ROW_KEYS, &a, false);
    if (!q) return NULL;
    unsigned long long n = 0;
    ckv_store_key key;
    ckv_value_bytes value;
    if (ckpy_datastore_begin(d) < 0) {
        Py_DECREF(q);
        return NULL;
    }
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    ckv_status s = QUERY(q)->over ? CKV_ENOENT : begin(QUERY(q));
    while (s == CKV_OK && (s = ckv_query_next(QUERY(q)->core, &key, &value)) == CKV_OK) n++;
    ckpy_datastore_back(d, ts);
    if (s == CKV_ENOENT)
        ckpy_lock_put(&d->lock);
    else
        (void)ckpy_datastore_end_slow(d, s, NULL);
    Py_DECREF(q);
    return s == CKV_ENOENT ? PyLong_FromUnsignedLongLong(n) : NULL;
}

/* ---- spec */

static PyType_Slot Query_slots[] = {
    {Py_tp_doc, "An iterator over a part of a datastore in key order; see Datastore.query()."},
    {Py_tp_dealloc, Query_dealloc},
    {Py_tp_traverse, Query_traverse},
    {Py_tp_clear, Query_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, Query_next},
    {0, NULL},
};

PyType_Spec ckpy_query_spec = {
    .name = "crdtkv._core.Query",
    .basicsize = sizeof(ckpy_query),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Query_slots,
};
