/* show.h -- what displays in notebooks ask of the objects in C. The displays are in crdtkv/notebook. */
#ifndef CKPY_SHOW_H
#define CKPY_SHOW_H

#include "py/state.h"

#define CKPY_SHOWN_CHARS 16384 /* of a text; more does not fit a display */

/* The HTML that crdtkv.notebook.<name>(op) makes. */
PyObject *ckpy_show(PyObject *op, const char *name);

/* A method _repr_html_ for a type without a Python class. */
#define CKPY_SHOWN(type, name)                                                                     \
    static PyObject *type##_repr_html(PyObject *op, PyObject *ignored)                             \
    {                                                                                              \
        (void)ignored;                                                                             \
        return ckpy_show(op, name);                                                                \
    }
#define CKPY_SHOWN_METHOD(type)                                                                    \
    {"_repr_html_", type##_repr_html, METH_NOARGS,                                                 \
     "_repr_html_($self, /)\n--\n\nAs a notebook shows it: bounded, escaped HTML."}

/* Looks that close no change, read no more than they are asked for, and may be taken inside a block. */
PyObject *ckpy_doc_newest(PyObject *op, PyObject *n);
PyObject *ckpy_doc_change_of(PyObject *op, PyObject *id);
PyObject *ckpy_doc_letters(PyObject *op, PyObject *n);
PyObject *ckpy_datastore_newest(PyObject *op, PyObject *n);
PyObject *ckpy_datastore_change_of(PyObject *op, PyObject *id);
PyObject *ckpy_datastore_letters(PyObject *op, PyObject *n);
PyObject *ckpy_text_look(PyObject *op, PyObject *n);

PyObject *ckpy_doc_some(PyObject *op, PyObject *n);
PyObject *ckpy_handle_some(PyObject *op, PyObject *n);

#define CKPY_SOME_DOC                                                                              \
    "_some($self, n, /)\n--\n\n[(key, value)] of n at most, in order; all of the first ones if "   \
    "there "                                                                                       \
    "are not very many. The key of a member or item is None."

#define CKPY_LOOK_METHODS(kind)                                                                    \
    {"_newest", ckpy_##kind##_newest, METH_O,                                                      \
     "_newest($self, n, /)\n--\n\nThe newest n changes, parents before children. Closes "          \
     "nothing."},                                                                                  \
        {"_change", ckpy_##kind##_change_of, METH_O,                                               \
         "_change($self, id, /)\n--\n\nThe change of this id, None if it is not here."},           \
    {                                                                                              \
        "_letters", ckpy_##kind##_letters, METH_O,                                                 \
            "_letters($self, n, /)\n--\n\n(id, author, lane, seq, prev, parents, later) of what "  \
            "waits, n at most."                                                                    \
    }

#endif
