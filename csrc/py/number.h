/* number.h -- what a counter is where it is read: the int of its total. Slots and methods of types whose total number.c knows.
 *
 *     c + 1, 1 + c, c < d, f"{c:,}"    an int, or whatever an int gives
 *     c += 1                           the type's own
 *     c *= 2                           TypeError: Python would put an int in the counter's place
 */
#ifndef CKPY_NUMBER_H
#define CKPY_NUMBER_H

#include "py/state.h"

PyObject *ckpy_counter_total(PyObject *op);           /* obj_counter.c */
PyObject *ckpy_datastore_counter_total(PyObject *op); /* obj_datastore_counter.c */

PyObject *ckpy_number_add(PyObject *a, PyObject *b);
PyObject *ckpy_number_subtract(PyObject *a, PyObject *b);
PyObject *ckpy_number_multiply(PyObject *a, PyObject *b);
PyObject *ckpy_number_true_divide(PyObject *a, PyObject *b);
PyObject *ckpy_number_floor_divide(PyObject *a, PyObject *b);
PyObject *ckpy_number_remainder(PyObject *a, PyObject *b);
PyObject *ckpy_number_divmod(PyObject *a, PyObject *b);
PyObject *ckpy_number_lshift(PyObject *a, PyObject *b);
PyObject *ckpy_number_rshift(PyObject *a, PyObject *b);
PyObject *ckpy_number_and(PyObject *a, PyObject *b);
PyObject *ckpy_number_or(PyObject *a, PyObject *b);
PyObject *ckpy_number_xor(PyObject *a, PyObject *b);
PyObject *ckpy_number_negative(PyObject *op);
PyObject *ckpy_number_positive(PyObject *op);
PyObject *ckpy_number_absolute(PyObject *op);
PyObject *ckpy_number_invert(PyObject *op);
PyObject *ckpy_number_float(PyObject *op);
PyObject *ckpy_number_int(PyObject *op);
PyObject *ckpy_number_power(PyObject *a, PyObject *b, PyObject *modulus);
int ckpy_number_bool(PyObject *op);
PyObject *ckpy_number_richcompare(PyObject *a, PyObject *b, int op);
PyObject *ckpy_number_str(PyObject *op);
PyObject *ckpy_number_format(PyObject *op, PyObject *spec);
PyObject *ckpy_number_round(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
/* math.floor() and the like, whose own way is through float, which is not exact. */
PyObject *ckpy_number_whole(PyObject *op, PyObject *ignored);
PyObject *ckpy_number_refuse(PyObject *op, PyObject *amount);

/* The argument of increment and decrement, n=1; a new reference. */
PyObject *ckpy_count_arg(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         const char *what);

/* clang-format off */
#define CKPY_NUMBER_SLOTS \
    {Py_tp_hash, PyObject_HashNotImplemented}, {Py_tp_richcompare, ckpy_number_richcompare}, \
    {Py_tp_str, ckpy_number_str}, {Py_nb_bool, ckpy_number_bool}, {Py_nb_index, ckpy_number_int}, \
    {Py_nb_negative, ckpy_number_negative}, {Py_nb_positive, ckpy_number_positive}, \
    {Py_nb_absolute, ckpy_number_absolute}, {Py_nb_invert, ckpy_number_invert}, \
    {Py_nb_float, ckpy_number_float}, {Py_nb_int, ckpy_number_int}, \
    {Py_nb_add, ckpy_number_add}, {Py_nb_subtract, ckpy_number_subtract}, \
    {Py_nb_multiply, ckpy_number_multiply}, {Py_nb_true_divide, ckpy_number_true_divide}, \
    {Py_nb_floor_divide, ckpy_number_floor_divide}, {Py_nb_remainder, ckpy_number_remainder}, \
    {Py_nb_divmod, ckpy_number_divmod}, {Py_nb_lshift, ckpy_number_lshift}, \
    {Py_nb_rshift, ckpy_number_rshift}, {Py_nb_and, ckpy_number_and}, \
    {Py_nb_or, ckpy_number_or}, {Py_nb_xor, ckpy_number_xor}, \
    {Py_nb_power, ckpy_number_power}, {Py_nb_inplace_multiply, ckpy_number_refuse}, \
    {Py_nb_inplace_floor_divide, ckpy_number_refuse}, {Py_nb_inplace_true_divide, ckpy_number_refuse}

#define CKPY_NUMBER_METHODS \
    {"__format__", ckpy_number_format, METH_O, \
     "__format__($self, format_spec, /)\n--\n\nAs the int would be."}, \
    {"__round__", (PyCFunction)(void (*)(void))ckpy_number_round, METH_FASTCALL, \
     "__round__($self, ndigits=None, /)\n--\n\nAs the int would be."}
/* clang-format on */

#endif
