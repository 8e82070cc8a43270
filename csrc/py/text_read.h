/* text_read.h -- what obj_text_read.c gives to the type in obj_text.c. */
#ifndef CKPY_TEXT_READ_H
#define CKPY_TEXT_READ_H

#include "py/handle.h"

/* The content as a str, of a stale one too. */
PyObject *ckpy_text_last(ckpy_text *t);
/* The content as a str; StaleHandleError. */
PyObject *ckpy_text_str(ckpy_text *t);
int ckpy_text_len(ckpy_text *t, size_t *len);

PyObject *ckpy_text_tp_str(PyObject *op);
PyObject *ckpy_text_richcompare(PyObject *a, PyObject *b, int op);
PyObject *ckpy_text_iter(PyObject *op);
PyObject *ckpy_text_add(PyObject *a, PyObject *b);
PyObject *ckpy_text_repeat(PyObject *op, Py_ssize_t n);
Py_ssize_t ckpy_text_length(PyObject *op);
int ckpy_text_contains(PyObject *op, PyObject *sub);
PyObject *ckpy_text_subscript(PyObject *op, PyObject *key);

/* The methods of str that read: name, signature, words. */
#define CKPY_STR_METHODS(X)                                                                        \
    X(find, "find($self, sub, start=0, end=None, /)\n--\n\nWhere `sub` first occurs, -1 if "       \
            "nowhere; as str.find().")                                                             \
    X(rfind, "rfind($self, sub, start=0, end=None, /)\n--\n\nWhere `sub` last occurs, -1 if "      \
             "nowhere; as str.rfind().")                                                           \
    X(index, "index($self, sub, start=0, end=None, /)\n--\n\nWhere `sub` first occurs; "           \
             "ValueError if nowhere.")                                                             \
    X(rindex, "rindex($self, sub, start=0, end=None, /)\n--\n\nWhere `sub` last occurs; "          \
              "ValueError if nowhere.")                                                            \
    X(count,                                                                                       \
      "count($self, sub, start=0, end=None, /)\n--\n\nHow often `sub` occurs, without overlaps.")  \
    X(startswith, "startswith($self, prefix, start=0, end=None, /)\n--\n\nDoes the text begin "    \
                  "with `prefix`, or with one of a tuple?")                                        \
    X(endswith, "endswith($self, suffix, start=0, end=None, /)\n--\n\nDoes the text end with "     \
                "`suffix`, or with one of a tuple?")                                               \
    X(split, "split($self, /, sep=None, maxsplit=-1)\n--\n\nA list of str, as str.split().")       \
    X(rsplit, "rsplit($self, /, sep=None, maxsplit=-1)\n--\n\nA list of str, as str.rsplit().")    \
    X(splitlines,                                                                                  \
      "splitlines($self, /, keepends=False)\n--\n\nA list of lines, as str.splitlines().")         \
    X(partition, "partition($self, sep, /)\n--\n\nThree str, as str.partition().")                 \
    X(rpartition, "rpartition($self, sep, /)\n--\n\nThree str, as str.rpartition().")              \
    X(strip, "strip($self, chars=None, /)\n--\n\nA str, as str.strip().")                          \
    X(lstrip, "lstrip($self, chars=None, /)\n--\n\nA str, as str.lstrip().")                       \
    X(rstrip, "rstrip($self, chars=None, /)\n--\n\nA str, as str.rstrip().")                       \
    X(removeprefix, "removeprefix($self, prefix, /)\n--\n\nA str, as str.removeprefix().")         \
    X(removesuffix, "removesuffix($self, suffix, /)\n--\n\nA str, as str.removesuffix().")         \
    X(replace, "replace($self, old, new, count=-1, /)\n--\n\nA str, as str.replace(); the text "   \
               "stays as it is.")                                                                  \
    X(center, "center($self, width, fillchar=' ', /)\n--\n\nA str, as str.center().")              \
    X(ljust, "ljust($self, width, fillchar=' ', /)\n--\n\nA str, as str.ljust().")                 \
    X(rjust, "rjust($self, width, fillchar=' ', /)\n--\n\nA str, as str.rjust().")                 \
    X(zfill, "zfill($self, width, /)\n--\n\nA str, as str.zfill().")                               \
    X(expandtabs, "expandtabs($self, /, tabsize=8)\n--\n\nA str, as str.expandtabs().")            \
    X(translate, "translate($self, table, /)\n--\n\nA str, as str.translate().")                   \
    X(join, "join($self, iterable, /)\n--\n\nA str, as str.join(): the text between the items.")   \
    X(lower, "lower($self, /)\n--\n\nA str, as str.lower().")                                      \
    X(upper, "upper($self, /)\n--\n\nA str, as str.upper().")                                      \
    X(casefold, "casefold($self, /)\n--\n\nA str, as str.casefold().")                             \
    X(capitalize, "capitalize($self, /)\n--\n\nA str, as str.capitalize().")                       \
    X(title, "title($self, /)\n--\n\nA str, as str.title().")                                      \
    X(swapcase, "swapcase($self, /)\n--\n\nA str, as str.swapcase().")                             \
    X(isalnum, "isalnum($self, /)\n--\n\nAs str.isalnum().")                                       \
    X(isalpha, "isalpha($self, /)\n--\n\nAs str.isalpha().")                                       \
    X(isascii, "isascii($self, /)\n--\n\nAs str.isascii().")                                       \
    X(isdecimal, "isdecimal($self, /)\n--\n\nAs str.isdecimal().")                                 \
    X(isdigit, "isdigit($self, /)\n--\n\nAs str.isdigit().")                                       \
    X(islower, "islower($self, /)\n--\n\nAs str.islower().")                                       \
    X(isnumeric, "isnumeric($self, /)\n--\n\nAs str.isnumeric().")                                 \
    X(isprintable, "isprintable($self, /)\n--\n\nAs str.isprintable().")                           \
    X(istitle, "istitle($self, /)\n--\n\nAs str.istitle().")                                       \
    X(isupper, "isupper($self, /)\n--\n\nAs str.isupper().")                                       \
    X(isidentifier, "isidentifier($self, /)\n--\n\nAs str.isidentifier().")                        \
    X(isspace, "isspace($self, /)\n--\n\nIs the text nothing but white space, and not empty?")     \
    X(encode, "encode($self, /, encoding='utf-8', errors='strict')\n--\n\nThe text as bytes, as "  \
              "str.encode().")

#define CKPY_STR_DECLARE(name, doc)                                                                \
    PyObject *ckpy_text_##name(PyObject *op, PyObject *const *args, Py_ssize_t nargs,              \
                               PyObject *kwnames);
CKPY_STR_METHODS(CKPY_STR_DECLARE)

PyObject *ckpy_text_to_py(PyObject *op, PyObject *ignored);
PyObject *ckpy_text_reversed(PyObject *op, PyObject *ignored);
PyObject *ckpy_text_format(PyObject *op, PyObject *spec);

#define CKPY_STR_ROW(name, doc)                                                                    \
    {#name, (PyCFunction)(void (*)(void))ckpy_text_##name, METH_FASTCALL | METH_KEYWORDS, doc},

/* Rows of a PyMethodDef table. */
#define CKPY_TEXT_READ_METHODS                                                                     \
    CKPY_STR_METHODS(CKPY_STR_ROW){"to_py", ckpy_text_to_py, METH_NOARGS,                          \
                                   "to_py($self, /)\n--\n\nThe content as a str."},                \
        {"__reversed__", ckpy_text_reversed, METH_NOARGS,                                          \
         "__reversed__($self, /)\n--\n\nThe characters from the last to the first."},              \
    {                                                                                              \
        "__format__", ckpy_text_format, METH_O,                                                    \
            "__format__($self, format_spec, /)\n--\n\nAs the str would be."                        \
    }

#endif
