/* number.c -- what a counter is where it is read: the int of its total. Of a document's Counter and a datastore's DatastoreCounter. */
#include "py/number.h"

/* ---- arithmetic: that of the totals */

/* A counter as its total, anything else as it is; new reference. */
static PyObject *number(PyObject *op)
{
    if (PyLong_CheckExact(op) || PyFloat_CheckExact(op) || op == Py_None) return Py_NewRef(op);
    ckpy_state *st = NULL;
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(op), &ckpy_def);
    if (module)
        st = PyModule_GetState(module);
    else
        PyErr_Clear();
    if (st && PyObject_TypeCheck(op, st->Counter)) return ckpy_counter_total(op);
    if (st && PyObject_TypeCheck(op, st->DatastoreCounter)) return ckpy_datastore_counter_total(op);
    return Py_NewRef(op);
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
    PyObject *ckpy_number_##name(PyObject *a, PyObject *b) { return both(a, b, f); }
#define UNARY(name, f)                                                                             \
    PyObject *ckpy_number_##name(PyObject *a) { return one(a, f); }

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

PyObject *ckpy_number_power(PyObject *a, PyObject *b, PyObject *modulus)
{
    PyObject *x = number(a), *y = x ? number(b) : NULL, *m = y ? number(modulus) : NULL;
    PyObject *result = m ? PyNumber_Power(x, y, m) : NULL;
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(m);
    return result;
}

int ckpy_number_bool(PyObject *op)
{
    PyObject *v = number(op);
    const int result = v ? PyObject_IsTrue(v) : -1;
    Py_XDECREF(v);
    return result;
}

PyObject *ckpy_number_richcompare(PyObject *a, PyObject *b, int op)
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

PyObject *ckpy_number_int(PyObject *op) { return number(op); }

PyObject *ckpy_number_whole(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return number(op);
}

/* ---- words */

PyObject *ckpy_number_format(PyObject *op, PyObject *spec)
{
    PyObject *v = number(op), *result = v ? PyObject_Format(v, spec) : NULL;
    Py_XDECREF(v);
    return result;
}

PyObject *ckpy_number_round(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *few[2] = {number(op), nargs > 0 ? args[0] : NULL};
    PyObject *name = few[0] ? PyUnicode_InternFromString("__round__") : NULL;
    PyObject *result =
        name ? PyObject_VectorcallMethod(name, few, (size_t)(nargs > 0 ? 2 : 1), NULL) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(few[0]);
    return result;
}

PyObject *ckpy_number_str(PyObject *op)
{
    PyObject *v = number(op), *result = v ? PyObject_Str(v) : NULL;
    Py_XDECREF(v);
    return result;
}

/* ---- in place */

PyObject *ckpy_number_refuse(PyObject *op, PyObject *amount)
{
    (void)amount;
    return PyErr_Format(PyExc_TypeError, "a %.100s takes += and -= only", Py_TYPE(op)->tp_name);
}

PyObject *ckpy_count_arg(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         const char *what)
{
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs + n_kw > 1 ||
        (n_kw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "n") != 0))
        return PyErr_Format(PyExc_TypeError, "%s() takes one argument, n", what);
    return nargs + n_kw ? Py_NewRef(args[0]) : PyLong_FromLong(1);
}
