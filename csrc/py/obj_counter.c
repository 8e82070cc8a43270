/* obj_counter.c -- Counter: the exact sum of everybody's increments, which behaves as an int where it is read. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/number.h"
#include "py/plain.h"

/* ---- reading */

static PyObject *total(ckpy_handle *h)
{
    ckpy_doc *d = h->doc;
    ckv_i128 v;
    if (!d) return ckpy_handle_local(h);
    ckpy_lock_get(&d->lock);
    const ckv_status s =
        ckpy_is_live(h) ? ckv_counter_total(d->core, NULL, h->container, &v) : CKV_ESTALE;
    ckpy_lock_put(&d->lock);
    return s == CKV_OK ? ckpy_i128(v) : ckpy_handle_raise(h, s);
}

PyObject *ckpy_counter_total(PyObject *op) { return total(HANDLE(op)); }

static PyObject *Counter_get_value(PyObject *op, void *closure)
{
    (void)closure;
    return total(HANDLE(op));
}

static PyObject *Counter_to_py(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return total(HANDLE(op));
}

/* ---- writing */

static int add_amount(ckpy_handle *h, int64_t amount)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = ckpy_is_live(h) ? ckv_counter_add(d->core, h->container, amount) : CKV_ESTALE;
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? 32 : 0);
    if (s == CKV_OK) return told;
    ckpy_handle_raise(h, s);
    return -1;
}

static int local_add(ckpy_handle *h, PyObject *amount, bool minus)
{
    PyObject *old = ckpy_handle_own(h);
    PyObject *new = !old    ? NULL
                    : minus ? PyNumber_Subtract(old, amount)
                            : PyNumber_Add(old, amount);
    ckv_i128 fits;
    Py_XDECREF(old);
    if (new &&ckpy_i128_arg(new, &fits) < 0) Py_CLEAR(new);
    if (!new) return -1;
    CKPY_BEGIN_CRITICAL((PyObject *)h);
    old = h->plain;
    h->plain = new;
    CKPY_END_CRITICAL();
    Py_XDECREF(old);
    return 0;
}

static int change(ckpy_handle *h, PyObject *op, bool minus)
{
    PyObject *amount = PyNumber_Index(op);
    if (!amount) return -1;
    int overflow = 0, done = -1;
    const long long v = PyLong_AsLongLongAndOverflow(amount, &overflow);
    if (!h->doc)
        done = local_add(h, amount, minus);
    else if (overflow)
        PyErr_SetString(PyExc_OverflowError, "one amount must fit 64 bits");
    else if (minus && v == INT64_MIN) /* its negative does not fit */
        done = add_amount(h, INT64_MAX) < 0 ? -1 : add_amount(h, 1);
    else
        done = add_amount(h, minus ? -v : v);
    Py_DECREF(amount);
    return done;
}

static PyObject *in_place(PyObject *op, PyObject *amount, bool minus)
{
    /* Not NotImplemented: then Python would put c + amount in the counter's place. */
    return change(HANDLE(op), amount, minus) < 0 ? NULL : Py_NewRef(op);
}

static PyObject *Counter_inplace_add(PyObject *op, PyObject *amount)
{
    return in_place(op, amount, false);
}
static PyObject *Counter_inplace_subtract(PyObject *op, PyObject *amount)
{
    return in_place(op, amount, true);
}

static PyObject *counted(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         bool minus)
{
    PyObject *amount = ckpy_count_arg(args, nargs, kwnames, minus ? "decrement" : "increment");
    const int done = amount ? change(HANDLE(op), amount, minus) : -1;
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

static PyObject *Counter_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"n", NULL};
    PyObject *n = NULL;
    ckv_i128 fits;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st || !PyArg_ParseTupleAndKeywords(args, kw, "|O:Counter", names, &n)) return NULL;
    PyObject *plain;
    if (!n)
        plain = PyLong_FromLong(0);
    else if (ckpy_is_handle(st, n) && HANDLE(n)->kind == CKV_KIND_COUNTER)
        plain = ckpy_handle_content(HANDLE(n), LAST, false);
    else
        plain = PyNumber_Index(n);
    if (plain && !PyLong_CheckExact(plain)) /* True counts as 1 */
        Py_SETREF(plain, PyNumber_Positive(plain));
    if (plain && ckpy_i128_arg(plain, &fits) < 0) Py_CLEAR(plain);
    return ckpy_handle_new(tp, CKV_KIND_COUNTER, plain);
}

static PyObject *Counter_repr(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    char where[40];
    strcpy(where, h->frozen ? "of the past" : "detached");
    if (h->doc) {
        const uint8_t *id = ckv_doc_id(h->doc->core)->b;
        PyOS_snprintf(where, sizeof where, "%lu of %02x%02x%02x%02x", (unsigned long)h->container,
                      id[0], id[1], id[2], id[3]);
    }
    PyObject *v = total(h);
    if (!v) {
        if (!h->doc || !PyErr_ExceptionMatches(h->doc->state->StaleHandleError)) return NULL;
        PyErr_Clear();
        return PyUnicode_FromFormat("<Counter %s, deleted>", where);
    }
    PyObject *result = PyUnicode_FromFormat("<Counter %s: %S>", where, v);
    Py_DECREF(v);
    return result;
}

/* ---- spec */

#define SETUP                                                                                      \
    "\n\n>>> import crdtkv as ck\n>>> doc = ck.Doc()\n>>> doc['n'] = ck.Counter(5)\n>>> n = "      \
    "doc['n']\n"

static PyMethodDef Counter_methods[] = {
    {"increment", (PyCFunction)(void (*)(void))Counter_increment, METH_FASTCALL | METH_KEYWORDS,
     "increment($self, /, n=1)\n--\n\n"
     "Count n more. OverflowError: one amount fits 64 bits; totals are exact." SETUP
     ">>> n.increment(3)\n>>> int(n)\n8"},
    {"decrement", (PyCFunction)(void (*)(void))Counter_decrement, METH_FASTCALL | METH_KEYWORDS,
     "decrement($self, /, n=1)\n--\n\nCount n less." SETUP ">>> n.decrement()\n>>> n.value\n4"},
    {"to_py", Counter_to_py, METH_NOARGS,
     "to_py($self, /)\n--\n\nThe total, an int." SETUP ">>> n.to_py()\n5"},
    CKPY_NUMBER_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Counter_getset[] = {
    {"value", Counter_get_value, NULL, "The total, an int of any size.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Counter_slots[] = {
    {Py_tp_doc, "Counter(n=0)\n--\n\nA counter, the part in C; crdtkv.Counter has the manners."},
    {Py_tp_new, Counter_new},
    {Py_tp_dealloc, ckpy_handle_dealloc},
    {Py_tp_traverse, ckpy_handle_traverse},
    {Py_tp_clear, ckpy_handle_clear},
    {Py_tp_repr, Counter_repr},
    {Py_tp_methods, Counter_methods},
    {Py_tp_getset, Counter_getset},
    CKPY_NUMBER_SLOTS,
    {Py_nb_inplace_add, Counter_inplace_add},
    {Py_nb_inplace_subtract, Counter_inplace_subtract},
    {0, NULL},
};

PyType_Spec ckpy_counter_spec = {
    .name = "crdtkv._core.Counter",
    .basicsize = sizeof(ckpy_handle),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Counter_slots,
};
