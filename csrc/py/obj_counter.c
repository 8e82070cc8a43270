/* obj_counter.c -- Counter: the exact sum of everybody's increments, which behaves as an int where it is read. */
#include "py/convert.h"
#include "py/errors.h"
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

static PyObject *Counter_int(PyObject *op) { return total(HANDLE(op)); }

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

static PyObject *Counter_format(PyObject *op, PyObject *spec)
{
    PyObject *v = total(HANDLE(op)), *result = v ? PyObject_Format(v, spec) : NULL;
    Py_XDECREF(v);
    return result;
}

static PyObject *Counter_round(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *few[2] = {total(HANDLE(op)), nargs > 0 ? args[0] : NULL};
    PyObject *name = few[0] ? PyUnicode_InternFromString("__round__") : NULL;
    PyObject *result =
        name ? PyObject_VectorcallMethod(name, few, (size_t)(nargs > 0 ? 2 : 1), NULL) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(few[0]);
    return result;
}

static PyObject *Counter_str(PyObject *op)
{
    PyObject *v = total(HANDLE(op)), *result = v ? PyObject_Str(v) : NULL;
    Py_XDECREF(v);
    return result;
}

/* ---- arithmetic: that of the totals */

/* A Counter as its total, anything else as it is; new reference. */
static PyObject *number(PyObject *op)
{
    if (PyLong_CheckExact(op) || PyFloat_CheckExact(op) || op == Py_None) return Py_NewRef(op);
    ckpy_state *st = NULL;
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(op), &ckpy_def);
    if (module)
        st = PyModule_GetState(module);
    else
        PyErr_Clear();
    const bool counter = st && ckpy_is_handle(st, op) && HANDLE(op)->kind == CKV_KIND_COUNTER;
    return counter ? total(HANDLE(op)) : Py_NewRef(op);
}

static PyObject *both(PyObject *a, PyObject *b, binaryfunc f)
{
    PyObject *x = number(a), *y = x ? number(b) : NULL, *result = y ? f(x, y) : NULL;
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

static PyObject *one(PyObject *a, unaryfunc f)
{
    PyObject *x = number(a), *result = x ? f(x) : NULL;
    Py_XDECREF(x);
    return result;
}

#define BINARY(name, f)                                                                            \
    static PyObject *Counter_##name(PyObject *a, PyObject *b) { return both(a, b, f); }
#define UNARY(name, f)                                                                             \
    static PyObject *Counter_##name(PyObject *a) { return one(a, f); }

BINARY(add, PyNumber_Add)
BINARY(subtract, PyNumber_Subtract)
BINARY(multiply, PyNumber_Multiply)
BINARY(true_divide, PyNumber_TrueDivide)
BINARY(floor_divide, PyNumber_FloorDivide)
BINARY(remainder, PyNumber_Remainder)
BINARY(divmod, PyNumber_Divmod)
BINARY(lshift, PyNumber_Lshift)
BINARY(rshift, PyNumber_Rshift)
BINARY(and, PyNumber_And)
BINARY(or, PyNumber_Or)
BINARY(xor, PyNumber_Xor)
UNARY(negative, PyNumber_Negative)
UNARY(positive, PyNumber_Positive)
UNARY(absolute, PyNumber_Absolute)
UNARY(invert, PyNumber_Invert)
UNARY(float, PyNumber_Float)

static PyObject *Counter_power(PyObject *a, PyObject *b, PyObject *modulus)
{
    PyObject *x = number(a), *y = x ? number(b) : NULL, *m = y ? number(modulus) : NULL;
    PyObject *result = m ? PyNumber_Power(x, y, m) : NULL;
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(m);
    return result;
}

static int Counter_bool(PyObject *op)
{
    PyObject *v = total(HANDLE(op));
    const int result = v ? PyObject_IsTrue(v) : -1;
    Py_XDECREF(v);
    return result;
}

static PyObject *Counter_richcompare(PyObject *a, PyObject *b, int op)
{
    PyObject *x = number(a), *y = x ? number(b) : NULL, *result = NULL;
    if (y && (PyLong_Check(y) || PyFloat_Check(y)))
        result = PyObject_RichCompare(x, y, op);
    else if (y)
        result = Py_NewRef(Py_NotImplemented);
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
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

static PyObject *refuse_in_place(PyObject *op, PyObject *amount)
{
    (void)amount;
    return PyErr_Format(PyExc_TypeError, "a %s takes += and -= only",
                        ckpy_kind_name((ckv_kind)HANDLE(op)->kind));
}

static PyObject *counted(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         bool minus)
{
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs + n_kw > 1 ||
        (n_kw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "n") != 0)) {
        PyErr_Format(PyExc_TypeError, "%s() takes one argument, n",
                     minus ? "decrement" : "increment");
        return NULL;
    }
    PyObject *amount = nargs + n_kw ? Py_NewRef(args[0]) : PyLong_FromLong(1);
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
    {"__format__", Counter_format, METH_O,
     "__format__($self, format_spec, /)\n--\n\nAs the int would be."},
    {"__round__", (PyCFunction)(void (*)(void))Counter_round, METH_FASTCALL,
     "__round__($self, ndigits=None, /)\n--\n\nAs the int would be."},
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
    {Py_tp_str, Counter_str},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_richcompare, Counter_richcompare},
    {Py_tp_methods, Counter_methods},
    {Py_tp_getset, Counter_getset},
    {Py_nb_int, Counter_int},
    {Py_nb_index, Counter_int},
    {Py_nb_float, Counter_float},
    {Py_nb_bool, Counter_bool},
    {Py_nb_add, Counter_add},
    {Py_nb_subtract, Counter_subtract},
    {Py_nb_multiply, Counter_multiply},
    {Py_nb_true_divide, Counter_true_divide},
    {Py_nb_floor_divide, Counter_floor_divide},
    {Py_nb_remainder, Counter_remainder},
    {Py_nb_divmod, Counter_divmod},
    {Py_nb_power, Counter_power},
    {Py_nb_lshift, Counter_lshift},
    {Py_nb_rshift, Counter_rshift},
    {Py_nb_and, Counter_and},
    {Py_nb_or, Counter_or},
    {Py_nb_xor, Counter_xor},
    {Py_nb_negative, Counter_negative},
    {Py_nb_positive, Counter_positive},
    {Py_nb_absolute, Counter_absolute},
    {Py_nb_invert, Counter_invert},
    {Py_nb_inplace_add, Counter_inplace_add},
    {Py_nb_inplace_subtract, Counter_inplace_subtract},
    {Py_nb_inplace_multiply, refuse_in_place}, /* else c *= 2 would put an int in its place */
    {Py_nb_inplace_floor_divide, refuse_in_place},
    {Py_nb_inplace_true_divide, refuse_in_place},
    {0, NULL},
};

PyType_Spec ckpy_counter_spec = {
    .name = "crdtkv._core.Counter",
    .basicsize = sizeof(ckpy_handle),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Counter_slots,
};
