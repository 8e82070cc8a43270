/* errors.c -- the tree of API errors. MemoryError, IndexError, KeyError, TypeError and OverflowError are Python's own. */
#include "py/errors.h"

#include <errno.h>

static int make(PyObject *module, PyObject **slot, const char *name, const char *doc,
                PyObject *base, PyObject *second, PyObject *dict)
{
    PyObject *bases = second ? PyTuple_Pack(2, base, second) : PyTuple_Pack(1, base);
    if (!bases) return -1;
    *slot = PyErr_NewExceptionWithDoc(name, doc, bases, dict);
    Py_DECREF(bases);
    if (!*slot) return -1;
    return PyModule_AddObjectRef(module, strrchr(name, '.') + 1, *slot);
}

int ckpy_errors_exec(PyObject *m, ckpy_state *st)
{
    if (make(m, &st->Error, "crdtkv.Error",
             "What all errors of crdtkv have in common.\n"
             "\n"
             ">>> import crdtkv as ck\n"
             ">>> try:\n"
             "...     ck.Doc().apply(b'no bundle')\n"
             "... except ck.Error as error:\n"
             "...     print(type(error).__name__, isinstance(error, ValueError))\n"
             "DecodeError True\n",
             PyExc_Exception, NULL, NULL) < 0)
        return -1;
    const struct {
        PyObject **slot;
        const char *name, *doc;
        PyObject *second; /* borrowed */
    } tree[] = {
        {&st->DecodeError, "crdtkv.DecodeError",
         "Bytes that do not parse. `offset` (where known): the byte at which reading stopped.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> ck.Doc().apply(b'no bundle')\n"
         "Traceback (most recent call last):\n"
         "crdtkv.DecodeError: ...\n",
         PyExc_ValueError},
        {&st->SignatureError, "crdtkv.SignatureError",
         "A signature that does not hold.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> ck.verify_equivocation(b'no proof')\n"
         "Traceback (most recent call last):\n"
         "crdtkv.DecodeError: ...\n"
         ">>> issubclass(ck.SignatureError, ck.Error)\n"
         "True\n",
         NULL},
        {&st->UnauthorizedError, "crdtkv.UnauthorizedError",
         "An author who may not do what was tried.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> issubclass(ck.UnauthorizedError, ck.Error)\n"
         "True\n",
         NULL},
        {&st->StaleHandleError, "crdtkv.StaleHandleError",
         "The container that a handle stands for was deleted, overwritten or undone; a "
         "transaction\n"
         "is over.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> doc = ck.Doc()\n"
         ">>> doc['list'] = []\n"
         ">>> handle = doc['list']\n"
         ">>> del doc['list']\n"
         ">>> handle.append(1)\n"
         "Traceback (most recent call last):\n"
         "crdtkv.StaleHandleError: this list was deleted, overwritten or undone\n",
         NULL},
        {&st->ForkError, "crdtkv.ForkError",
         "A lane that forks where it must not. A fork in a bundle is no error: see "
         "Doc.equivocations().\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> issubclass(ck.ForkError, ck.Error)\n"
         "True\n",
         NULL},
        {&st->LimitError, "crdtkv.LimitError",
         "Well formed, but beyond a limit.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> ck.Datastore()['k' * 5000] = 1\n"
         "Traceback (most recent call last):\n"
         "crdtkv.LimitError: a key takes at most 4 KiB, it is longer\n",
         NULL},
        {&st->StoreError, "crdtkv.StoreError",
         "The file below said no. `errno` and `filename` where known; `pid`: the process that has "
         "the\n"
         "file open for writing, None if that is not the reason or not known.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> ck.Database('/no/such/folder/app.db', read_only=True)\n"
         "Traceback (most recent call last):\n"
         "crdtkv.errors.MissingFileError: ...\n",
         PyExc_OSError},
        {&st->ClockDriftError, "crdtkv.ClockDriftError",
         "A time too far in the future.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> ahead, here = ck.Store(clock=lambda: 10**12), ck.Store(clock=lambda: 0)\n"
         ">>> ahead['x'] = 1\n"
         ">>> here.integrate_diff(ahead.build_diff(here.request_diff()))\n"
         "Traceback (most recent call last):\n"
         "crdtkv.ClockDriftError: a dot too far in the future\n",
         NULL},
        {&st->SyncError, "crdtkv.SyncError",
         "A message that does not fit the conversation. The session that raised it is over.\n"
         "\n"
         ">>> import crdtkv as ck\n"
         ">>> doc = ck.Doc()\n"
         ">>> here, there = doc.session(), doc.session()\n"
         ">>> hello = here.send()\n"
         ">>> report = there.receive(hello)\n"
         ">>> there.receive(hello)                       # once more\n"
         "Traceback (most recent call last):\n"
         "crdtkv.SyncError: ...\n",
         NULL},
    };
    PyObject *store_dict = Py_BuildValue("{s:O}", "pid", Py_None);
    if (!store_dict) return -1;
    int bad = 0;
    for (size_t i = 0; i < sizeof tree / sizeof *tree && !bad; i++)
        bad = make(m, tree[i].slot, tree[i].name, tree[i].doc, st->Error, tree[i].second,
                   tree[i].slot == &st->StoreError ? store_dict : NULL);
    Py_DECREF(store_dict);
    return bad;
}

static PyObject *class_of(ckpy_state *st, ckv_status s)
{
    switch (s) {
    case CKV_ECORRUPT: return st->DecodeError;
    case CKV_ELIMIT: return st->LimitError;
    case CKV_ESIGN: return st->SignatureError;
    case CKV_ENOENT: return PyExc_KeyError;
    case CKV_ERANGE: return PyExc_IndexError;
    case CKV_ESTALE: return st->StaleHandleError;
    case CKV_EVALUE: return PyExc_ValueError;
    case CKV_ESYNC: return st->SyncError;
    case CKV_EDRIFT: return st->ClockDriftError;
    case CKV_EDISK:
    case CKV_EFULL:
    case CKV_ELOCKED:
    case CKV_EALIEN:
    case CKV_ENEWER:
    case CKV_EFORKED: return st->StoreError;
    case CKV_EEXIST: return PyExc_FileExistsError;
    case CKV_OK:
    case CKV_ENOMEM:
    case CKV_EVOID:
    case CKV_ELATER: break;
    }
    return st->Error;
}

/* What the operating system calls it; 0: it has no name for it. */
static int errno_of(ckv_status s)
{
    return s == CKV_EDISK     ? EIO
           : s == CKV_EFULL   ? ENOSPC
           : s == CKV_ELOCKED ? EAGAIN
           : s == CKV_EEXIST  ? EEXIST
                              : 0;
}

PyObject *ckpy_raise(ckpy_state *st, ckv_status s, const char *what)
{
    if (s == CKV_ENOMEM) return PyErr_NoMemory();
    const int number = errno_of(s);
    if (number) {
        PyObject *pair = Py_BuildValue("is", number, what);
        if (pair) PyErr_SetObject(class_of(st, s), pair);
        Py_XDECREF(pair);
    } else {
        PyErr_SetString(class_of(st, s), what);
    }
    return NULL;
}

PyObject *ckpy_raise_path(ckpy_state *st, ckv_status s, const char *what, PyObject *path,
                          int64_t pid)
{
    if (s == CKV_ENOMEM) return PyErr_NoMemory();
    PyObject *class = s == CKV_ENOENT     ? PyExc_FileNotFoundError
                      : s == CKV_ECORRUPT ? st->StoreError
                                          : class_of(st, s);
    const int number = s == CKV_ENOENT ? ENOENT : errno_of(s);
    /* Python's way to have errno, strerror and filename; without a number all three are words. */
    PyObject *error =
        number ? PyObject_CallFunction(class, "isO", number, what, path)
        : path == Py_None
            ? PyObject_CallFunction(class, "s", what)
            : PyObject_CallFunction(class, "N", PyUnicode_FromFormat("%s: %R", what, path));
    PyObject *holder = error && pid > 0 ? PyLong_FromLongLong(pid) : NULL;
    if (holder && PyObject_SetAttrString(error, "pid", holder) < 0) Py_CLEAR(error);
    Py_XDECREF(holder);
    if (error) PyErr_SetObject(class, error);
    Py_XDECREF(error);
    return NULL;
}

PyObject *ckpy_raise_err(ckpy_state *st, ckv_status s, const ckv_err *err, const char *what)
{
    if (s == CKV_ENOMEM) return PyErr_NoMemory();
    PyObject *class = class_of(st, s);
    PyObject *error = PyObject_CallFunction(class, "s", err->text ? err->text : what);
    if (!error) return NULL;
    PyObject *offset = PyLong_FromSize_t(err->offset);
    if (offset && PyObject_SetAttrString(error, "offset", offset) == 0)
        PyErr_SetObject(class, error);
    Py_XDECREF(offset);
    Py_DECREF(error);
    return NULL;
}

PyObject *ckpy_refusal_class(ckpy_state *st, ckv_refusal_kind kind)
{
    switch (kind) {
    case CKV_REFUSED_DECODE: return st->DecodeError;
    case CKV_REFUSED_SIGNATURE: return st->SignatureError;
    case CKV_REFUSED_LIMIT: return st->LimitError;
    case CKV_REFUSED_OTHER: break;
    }
    return st->Error;
}
