/* obj_datastore_counter.c -- DatastoreCounter: a datastore and the name of a counter in it. Where it is read it is an int (number.h). */
#include "py/datastore.h"
#include "py/number.h"
#include "py/show.h"

#include <structmember.h>

typedef struct ckpy_datastore_counter {
    PyObject_HEAD ckpy_datastore *d; /* owned */
    PyObject *name;                  /* owned str or bytes, of these very types */
} ckpy_datastore_counter;

#define COUNTER(op) ((ckpy_datastore_counter *)(op))

PyObject *ckpy_counter_method(PyObject *op, PyObject *name)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_store_key k;
    if (ckpy_key_arg(d->state, name, &k) < 0) return NULL;
    PyObject *own = ckpy_key(k); /* not a subclass, which could be anything */
    if (!own) return NULL;
    ckpy_datastore_counter *self =
        COUNTER(d->state->DatastoreCounter->tp_alloc(d->state->DatastoreCounter, 0));
    if (!self) {
        Py_DECREF(own);
        return NULL;
    }
    self->d = (ckpy_datastore *)Py_NewRef(op);
    self->name = own;
    return (PyObject *)self;
}

static int Counter_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(COUNTER(op)->d);
    return 0;
}

static void Counter_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(COUNTER(op)->name);
    Py_XDECREF(COUNTER(op)->d); /* no tp_clear: no datastore knows its counters */
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- reading */

static ckv_store_key name_of(const ckpy_datastore_counter *c)
{
    ckv_store_key k = {0};
    if (ckpy_key_arg(c->d->state, c->name, &k) < 0) PyErr_Clear(); /* it was looked at before */
    return k;
}

PyObject *ckpy_datastore_counter_total(PyObject *op)
{
    ckpy_datastore_counter *c = COUNTER(op);
    ckpy_datastore *d = c->d;
    ckv_i128 total = 0;
    if (ckpy_datastore_read_begin(d) < 0) return NULL;
    const ckv_status s = ckv_datastore_total(d->core, name_of(c), &total);
    if (s != CKV_OK) {
        (void)ckpy_datastore_end_slow(d, s, NULL);
        return NULL;
    }
    ckpy_lock_put(&d->lock);
    return ckpy_i128(total);
}

static PyObject *Counter_get_value(PyObject *op, void *closure)
{
    (void)closure;
    return ckpy_datastore_counter_total(op);
}

static PyObject *Counter_by_author(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore_counter *c = COUNTER(op);
    ckpy_datastore *d = c->d;
    ckv_buf parts = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_datastore_read_begin(d) < 0) return NULL;
    const ckv_status s = ckv_datastore_by_author(d->core, name_of(c), &parts);
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0 ? PyDict_New() : NULL;
    const ckv_part_total *p = (const ckv_part_total *)(const void *)parts.ptr;
    for (size_t i = 0; result && i < parts.len / sizeof *p; i++) {
        PyObject *author = ckpy_id(&p[i].author);
        PyObject *total = author ? ckpy_i128(p[i].total) : NULL;
        if (!total || PyDict_SetItem(result, author, total) < 0) Py_CLEAR(result);
        Py_XDECREF(author);
        Py_XDECREF(total);
    }
    ckv_buf_fini(&parts);
    if (!d->state->ByAuthor) return result;
    PyObject *you = result ? ckpy_attr(d->identity, "public_key") : NULL;
    PyObject *dressed =
        you ? PyObject_CallFunctionObjArgs(d->state->ByAuthor, result, you, NULL) : NULL;
    Py_XDECREF(result);
    Py_XDECREF(you);
    return dressed;
}

/* ---- counting */

int ckpy_amount_arg(PyObject *op, bool minus, ckpy_amount *out)
{
    PyObject *amount = PyNumber_Index(op);
    if (!amount) return -1;
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(amount, &overflow);
    Py_DECREF(amount);
    if (overflow) {
        PyErr_SetString(PyExc_OverflowError, "one amount must fit 64 bits");
        return -1;
    }
    if (minus && v == INT64_MIN) /* its negative does not fit */
        *out = (ckpy_amount){.n = INT64_MAX, .more = 1};
    else
        *out = (ckpy_amount){.n = minus ? -v : v};
    return 0;
}

static int change(PyObject *op, PyObject *by, bool minus)
{
    ckpy_datastore_counter *c = COUNTER(op);
    ckpy_datastore *d = c->d;
    ckpy_amount amount;
    int64_t ms;
    if (ckpy_amount_arg(by, minus, &amount) < 0 || ckpy_datastore_now(d, &ms) < 0 ||
        ckpy_datastore_write_begin(d) < 0)
        return -1;
    const ckv_store_key name = name_of(c);
    PyThreadState *ts = ckpy_datastore_away(d);
    ckv_status s = ckv_datastore_count(d->core, name, amount.n, ms);
    if (s == CKV_OK && amount.more) s = ckv_datastore_count(d->core, name, amount.more, ms);
    ckpy_datastore_back(d, ts);
    return ckpy_datastore_end(d, s, NULL);
}

static PyObject *Counter_inplace_add(PyObject *op, PyObject *amount)
{
    /* Not NotImplemented: then Python would put c + amount in the counter's place. */
    return change(op, amount, false) < 0 ? NULL : Py_NewRef(op);
}
static PyObject *Counter_inplace_subtract(PyObject *op, PyObject *amount)
{
    return change(op, amount, true) < 0 ? NULL : Py_NewRef(op);
}

static PyObject *counted(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         bool minus)
{
    PyObject *amount = ckpy_count_arg(args, nargs, kwnames, minus ? "decrement" : "increment");
    const int done = amount ? change(op, amount, minus) : -1;
    Py_XDECREF(amount);
    return done < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Counter_increment(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    return counted(op, args, nargs, kwnames, false);
}

static PyObject *Counter_decrement(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    return counted(op, args, nargs, kwnames, true);
}

static PyObject *Counter_reduce(PyObject *op, PyObject *ignored)
{
    (void)op;
    (void)ignored;
    return PyErr_Format(PyExc_TypeError,
                        "a DatastoreCounter is bound to its datastore; take int() of it");
}

static PyObject *Counter_repr(PyObject *op)
{
    PyObject *v = ckpy_datastore_counter_total(op);
    if (!v) {
        if (!PyErr_ExceptionMatches(COUNTER(op)->d->state->StaleHandleError)) return NULL;
        PyErr_Clear();
        return PyUnicode_FromFormat("<DatastoreCounter %R: closed>", COUNTER(op)->name);
    }
    PyObject *result = PyUnicode_FromFormat("<DatastoreCounter %R: %S>", COUNTER(op)->name, v);
    Py_DECREF(v);
    return result;
}

/* ---- spec */

#define SETUP                                                                                      \
    "\n\n>>> import crdtkv as ck\n>>> kv = ck.Datastore()\n>>> n = kv.counter('n')\n>>> n += 5\n"

CKPY_SHOWN(Counter, "datastore_counter")

static PyMethodDef Counter_methods[] = {
    CKPY_SHOWN_METHOD(Counter),
    {"increment", (PyCFunction)(void (*)(void))Counter_increment, METH_FASTCALL | METH_KEYWORDS,
     "increment($self, /, n=1)\n--\n\n"
     "Count n more. OverflowError: one amount fits 64 bits; totals are exact." SETUP
     ">>> n.increment(3)\n>>> int(n)\n8"},
    {"decrement", (PyCFunction)(void (*)(void))Counter_decrement, METH_FASTCALL | METH_KEYWORDS,
     "decrement($self, /, n=1)\n--\n\nCount n less." SETUP ">>> n.decrement()\n>>> n.value\n4"},
    {"by_author", Counter_by_author, METH_NOARGS,
     "by_author($self, /)\n--\n\n"
     "What each author has counted, by public key. Nobody can change the part of another one." SETUP
     ">>> n.by_author() == {kv.identity.public_key: 5}\nTrue"},
    {"__reduce__", Counter_reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\nTypeError: it is bound to its datastore."},
    CKPY_NUMBER_METHODS,
    {"__trunc__", ckpy_number_whole, METH_NOARGS, "__trunc__($self, /)\n--\n\nThe total."},
    {"__floor__", ckpy_number_whole, METH_NOARGS, "__floor__($self, /)\n--\n\nThe total."},
    {"__ceil__", ckpy_number_whole, METH_NOARGS, "__ceil__($self, /)\n--\n\nThe total."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Counter_getset[] = {
    {"value", Counter_get_value, NULL, "The total, an int of any size.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Counter_members[] = {
    {"name", T_OBJECT_EX, offsetof(ckpy_datastore_counter, name), READONLY, "Its name."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Counter_slots[] = {
    {Py_tp_doc,
     "A counter of a datastore: the exact sum of everybody's increments, of any size. "
     "Datastore.counter() makes it.\n\n"
     "Reads like an int and is changed by += and -=. Each author adds to a part that nobody else "
     "can change. Not hashable.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> kv = ck.Datastore()\n"
     ">>> likes = kv.counter('likes/42')\n"
     ">>> likes += 3\n"
     ">>> likes.decrement()\n"
     ">>> likes == 2, likes + 1, f'{likes:03}', likes\n"
     "(True, 3, '002', <DatastoreCounter 'likes/42': 2>)"},
    {Py_tp_dealloc, Counter_dealloc},
    {Py_tp_traverse, Counter_traverse},
    {Py_tp_repr, Counter_repr},
    {Py_tp_methods, Counter_methods},
    {Py_tp_getset, Counter_getset},
    {Py_tp_members, Counter_members},
    CKPY_NUMBER_SLOTS,
    {Py_nb_inplace_add, Counter_inplace_add},
    {Py_nb_inplace_subtract, Counter_inplace_subtract},
    {0, NULL},
};

PyType_Spec ckpy_datastore_counter_spec = {
    .name = "crdtkv.DatastoreCounter",
    .basicsize = sizeof(ckpy_datastore_counter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Counter_slots,
};
