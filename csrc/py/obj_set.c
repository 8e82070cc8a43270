/* obj_set.c -- Set: what is asked for often. crdtkv/set.py has the rest of set's manners. Members are scalars. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/plain.h"

static int raise_edit(ckpy_doc *d, ckv_status s)
{
    ckpy_edit_raise(d, CKV_KIND_SET, s);
    return -1;
}

/* An int that does not fit is a member if a float of the same value is. */
static int wide_int(PyObject *op, ckv_value *out)
{
    const double v = PyLong_AsDouble(op);
    if (v == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    PyObject *same = PyFloat_FromDouble(v);
    const int equal = same ? PyObject_RichCompareBool(same, op, Py_EQ) : -1;
    Py_XDECREF(same);
    out->tag = CKV_TAG_FLOAT;
    out->f64 = v;
    return equal;
}

/* For asking. 1: could be a member; 0: cannot be one; -1: an exception, as a set raises it. */
static int member_to_ask(PyObject *op, ckv_value *out)
{
    const int scalar = ckpy_value_arg(op, out);
    if (scalar > 0) return 1;
    if (scalar == 0) return PyObject_Hash(op) == -1 ? -1 : 0;
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        return wide_int(op, out);
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
    PyErr_Clear();
    return 0;
}

static int member_to_add(PyObject *op, ckv_value *out)
{
    const int scalar = ckpy_value_arg(op, out);
    if (scalar) return scalar < 0 ? -1 : 0;
    PyErr_Format(PyExc_TypeError, "cannot store %.100s as a member of a set", Py_TYPE(op)->tp_name);
    return -1;
}

static size_t member_bytes(const ckv_value *v)
{
    return v->tag == CKV_TAG_STR || v->tag == CKV_TAG_BYTES ? v->n_bytes + 64 : 64;
}

/* ---- reading */

static Py_ssize_t Set_length(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    Py_ssize_t n = -1;
    if (!h->doc) {
        PyObject *plain = ckpy_handle_local(h);
        if (plain) n = PySet_GET_SIZE(plain);
        Py_XDECREF(plain);
        return n;
    }
    ckpy_lock_get(&h->doc->lock);
    if (ckpy_is_live(h)) n = (Py_ssize_t)ckv_set_len(h->doc->core, h->container);
    ckpy_lock_put(&h->doc->lock);
    if (n < 0) ckpy_stale(h);
    return n;
}

static int Set_contains(PyObject *op, PyObject *member)
{
    ckpy_handle *h = HANDLE(op);
    ckpy_doc *d = h->doc;
    if (!d) {
        PyObject *plain = ckpy_handle_local(h);
        const int found = plain ? PySet_Contains(plain, member) : -1;
        Py_XDECREF(plain);
        return found;
    }
    ckv_value v;
    const int can = member_to_ask(member, &v);
    if (can < 0) return -1;
    ckpy_lock_get(&d->lock);
    const bool live = ckpy_is_live(h), has = live && can && ckv_set_has(d->core, h->container, &v);
    ckpy_lock_put(&d->lock);
    if (!live) ckpy_stale(h);
    return live ? has : -1;
}

/* The members at this moment, in the order of their bytes. */
static PyObject *members(ckpy_handle *h)
{
    ckpy_doc *d = h->doc;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    PyObject **made = NULL;
    size_t n = 0;
    bool ok = true;
    ckpy_lock_get(&d->lock);
    ckv_status s =
        ckpy_is_live(h) ? ckv_set_members(d->core, NULL, h->container, &found) : CKV_ESTALE;
    const ckv_value *v = (const ckv_value *)(const void *)found.ptr;
    if (s == CKV_OK) {
        n = found.len / sizeof *v;
        if (!(made = PyMem_RawCalloc(n + 1, sizeof *made))) s = CKV_ENOMEM;
    }
    for (size_t i = 0; s == CKV_OK && ok && i < n; i++) ok = (made[i] = ckpy_value(&v[i])) != NULL;
    ckpy_lock_put(&d->lock);
    ckv_buf_fini(&found);
    PyObject *list = s != CKV_OK ? ckpy_handle_raise(h, s) : ok ? PyList_New((Py_ssize_t)n) : NULL;
    for (size_t i = 0; made && i < n; i++) {
        if (list)
            PyList_SET_ITEM(list, (Py_ssize_t)i, made[i]);
        else
            Py_XDECREF(made[i]);
    }
    PyMem_RawFree(made);
    return list;
}

static PyObject *Set_iter(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    PyObject *all = h->doc ? members(h) : ckpy_handle_local(h);
    PyObject *it = all ? PyObject_GetIter(all) : NULL;
    Py_XDECREF(all);
    return it;
}

/* ---- writing */

typedef ckv_status (*edit)(ckv_doc *core, uint32_t set, const ckv_value *member);

/* All of them or none. CKV_ENOENT from one is no error if `lax`. */
static ckv_status edit_all(ckpy_handle *h, edit do_one, const ckv_value *v, size_t n, bool lax)
{
    ckv_doc *core = h->doc->core;
    if (!ckpy_is_live(h)) return CKV_ESTALE;
    if (n == 1) return do_one(core, h->container, v);
    ckv_savepoint savepoint;
    CKV_TRY(ckv_doc_savepoint(core, &savepoint));
    ckv_status s = CKV_OK;
    for (size_t i = 0; s == CKV_OK && i < n; i++) {
        s = do_one(core, h->container, &v[i]);
        if (s == CKV_ENOENT && lax) s = CKV_OK;
    }
    if (s == CKV_OK)
        ckv_doc_release(core, savepoint);
    else
        ckv_doc_rollback(core, savepoint);
    return s;
}

/* 0, 1: CKV_ENOENT, -1: an exception. */
static int run(ckpy_handle *h, edit do_one, const ckv_value *v, size_t n)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += member_bytes(&v[i]);
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = edit_all(h, do_one, v, n, true);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? bytes : 0);
    if (s == CKV_OK) return told;
    return s == CKV_ENOENT ? 1 : raise_edit(d, s);
}

static PyObject *Set_add(PyObject *op, PyObject *member)
{
    ckpy_handle *h = HANDLE(op);
    ckv_value v;
    if (member_to_add(member, &v) < 0) return NULL;
    if (!h->doc) {
        PyObject *plain = ckpy_handle_own(h);
        const int done = plain ? PySet_Add(plain, member) : -1;
        Py_XDECREF(plain);
        return done < 0 ? NULL : Py_NewRef(Py_None);
    }
    return run(h, ckv_set_add, &v, 1) < 0 ? NULL : Py_NewRef(Py_None);
}

/* 0: gone, 1: it was not there, -1: an exception. */
static int discard(ckpy_handle *h, PyObject *member)
{
    ckv_value v;
    if (!h->doc) {
        PyObject *plain = ckpy_handle_own(h);
        const int done = plain ? PySet_Discard(plain, member) : -1;
        Py_XDECREF(plain);
        return done < 0 ? -1 : !done;
    }
    const int can = member_to_ask(member, &v);
    if (can > 0) return run(h, ckv_set_discard, &v, 1);
    if (can < 0) return -1;
    return Set_length((PyObject *)h) < 0 ? -1 : 1; /* for the error of a stale one */
}

static PyObject *Set_discard(PyObject *op, PyObject *member)
{
    return discard(HANDLE(op), member) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Set_remove(PyObject *op, PyObject *member)
{
    const int absent = discard(HANDLE(op), member);
    if (absent < 0) return NULL;
    if (absent) {
        PyErr_SetObject(PyExc_KeyError, member);
        return NULL;
    }
    Py_RETURN_NONE;
}

static int local_all(ckpy_handle *h, PyObject *seq, bool add)
{
    PyObject *plain = ckpy_handle_own(h);
    int done = plain ? 0 : -1;
    for (Py_ssize_t i = 0; done >= 0 && i < PyTuple_GET_SIZE(seq); i++)
        done = add ? PySet_Add(plain, PyTuple_GET_ITEM(seq, i))
                   : PySet_Discard(plain, PyTuple_GET_ITEM(seq, i));
    Py_XDECREF(plain);
    return done < 0 ? -1 : 0;
}

static int by_content(const void *a, const void *b)
{
    const ckv_value *x = a, *y = b;
    if (x->tag != y->tag) return x->tag < y->tag ? -1 : 1;
    if (x->tag == CKV_TAG_INT ||
        x->tag == CKV_TAG_FLOAT) /* of a float its bits: NaN has no order */
        return (x->i64 > y->i64) - (x->i64 < y->i64);
    if (x->tag != CKV_TAG_STR && x->tag != CKV_TAG_BYTES) return 0;
    const int order = memcmp(x->ptr, y->ptr, x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes);
    return order ? order : (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* In order of type and content, since a set gives its members in one that depends on the process. */
static PyObject *all(PyObject *op, PyObject *iterable, bool add)
{
    ckpy_handle *h = HANDLE(op);
    PyObject *seq = PySequence_Tuple(iterable); /* keeps what the values point into */
    if (!seq) return NULL;
    const Py_ssize_t n = PyTuple_GET_SIZE(seq);
    ckv_value *v = PyMem_Malloc(((size_t)n + 1) * sizeof *v);
    size_t used = 0;
    int done = v ? 0 : -1;
    if (!v) PyErr_NoMemory();
    for (Py_ssize_t i = 0; done == 0 && i < n; i++) {
        PyObject *one = PyTuple_GET_ITEM(seq, i);
        if (add) {
            done = member_to_add(one, &v[used++]);
        } else {
            const int can = member_to_ask(one, &v[used]);
            if (can < 0) done = -1;
            if (can > 0) used++;
        }
    }
    if (done == 0 && !h->doc)
        done = local_all(h, seq, add);
    else if (done == 0 && used) {
        qsort(v, used, sizeof *v, by_content);
        done = run(h, add ? ckv_set_add : ckv_set_discard, v, used) < 0 ? -1 : 0;
    } else if (done == 0)
        done = Set_length(op) < 0 ? -1 : 0;
    PyMem_Free(v);
    Py_DECREF(seq);
    return done < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *Set_add_all(PyObject *op, PyObject *members_) { return all(op, members_, true); }
static PyObject *Set_discard_all(PyObject *op, PyObject *members_)
{
    return all(op, members_, false);
}

static PyObject *Set_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"", NULL};
    PyObject *iterable = NULL;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st || !PyArg_ParseTupleAndKeywords(args, kw, "|O:Set", names, &iterable)) return NULL;
    PyObject *plain =
        iterable && ckpy_is_handle(st, iterable) && HANDLE(iterable)->kind == CKV_KIND_SET
            ? ckpy_handle_content(HANDLE(iterable), LAST, true)
            : PySet_New(iterable);
    if (plain && ckpy_flat_check(st, plain, NULL) < 0) Py_CLEAR(plain);
    return ckpy_handle_new(tp, CKV_KIND_SET, plain);
}

/* ---- spec */

#define SETUP                                                                                      \
    "\n\n>>> import crdtkv as ck\n>>> doc = ck.Doc()\n>>> doc['s'] = {'a', 'b'}\n>>> s = "         \
    "doc['s']\n"

static PyMethodDef Set_methods[] = {
    {"add", Set_add, METH_O,
     "add($self, member, /)\n--\n\n"
     "Add a member: None, bool, int, float, str or bytes.\n\n"
     "An operation even if it is there: it then survives a discard of others at the same "
     "time." SETUP ">>> s.add('c')\n>>> sorted(s)\n['a', 'b', 'c']"},
    {"discard", Set_discard, METH_O,
     "discard($self, member, /)\n--\n\nRemove a member if it is there." SETUP
     ">>> s.discard('a'), s.discard('z')\n(None, None)"},
    {"remove", Set_remove, METH_O,
     "remove($self, member, /)\n--\n\nRemove a member; KeyError if it is not there." SETUP
     ">>> s.remove('a')\n>>> s.to_py()\n{'b'}"},
    {"to_py", ckpy_handle_to_py, METH_NOARGS,
     "to_py($self, /)\n--\n\nThe members as a plain set. Copies all." SETUP
     ">>> s.to_py() == {'a', 'b'}\nTrue"},
    {"_add_all", Set_add_all, METH_O,
     "_add_all($self, members, /)\n--\n\nadd() each, all or none."},
    {"_discard_all", Set_discard_all, METH_O,
     "_discard_all($self, members, /)\n--\n\ndiscard() each, all or none."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Set_slots[] = {
    {Py_tp_doc, "Set(members=(), /)\n--\n\nA set, the part in C; crdtkv.Set has the manners."},
    {Py_tp_new, Set_new},
    {Py_tp_dealloc, ckpy_handle_dealloc},
    {Py_tp_traverse, ckpy_handle_traverse},
    {Py_tp_clear, ckpy_handle_clear},
    {Py_tp_repr, ckpy_handle_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, Set_iter},
    {Py_tp_methods, Set_methods},
    {Py_sq_length, Set_length},
    {Py_sq_contains, Set_contains},
    {0, NULL},
};

PyType_Spec ckpy_set_spec = {
    .name = "crdtkv._core.Set",
    .basicsize = sizeof(ckpy_handle),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Set_slots,
};
