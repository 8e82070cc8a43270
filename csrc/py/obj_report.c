/* obj_report.c -- Report: what apply() did to a document, or integrate_diff() and the like to a store. Immutable; made once from the core's
 * report.
 *
 * `applied` may hold every id of a history that was loaded, or every key of a store, so its tuple is made when somebody looks. Of one
 * that was pickled it is that tuple. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/show.h"
#include "py/store.h"

#include <structmember.h>

typedef struct ckpy_report {
    PyObject_HEAD PyObject
        *applied;  /* owned bytes: the applied ids, one behind the other; or a tuple */
    bool of_store; /* applied are keys: is_bytes(u8) key(blob), some twice */
    PyObject *void_, *waiting, *refused; /* owned tuples */
    unsigned long long known;
} ckpy_report;

#define REPORT(op) ((ckpy_report *)(op))

static PyObject *refusals_of_doc(ckpy_state *st, const ckv_buf *buf)
{
    const ckv_refusal *r = (const ckv_refusal *)(const void *)buf->ptr;
    const size_t n = buf->len / sizeof *r;
    PyObject *out = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; out && i < n; i++) {
        PyObject *id = r[i].has_id ? ckpy_id(&r[i].id) : Py_NewRef(Py_None);
        PyObject *one = NULL;
        if (id)
            one = PyObject_CallFunction(st->Refusal, "OsO", id, r[i].reason,
                                        ckpy_refusal_class(st, r[i].kind));
        Py_XDECREF(id);
        if (!one)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, (Py_ssize_t)i, one);
    }
    return out;
}

static PyObject *new_report(ckpy_state *st, const ckv_buf *applied, PyObject *void_,
                            PyObject *waiting, PyObject *refused)
{
    ckpy_report *self = REPORT(st->Report->tp_alloc(st->Report, 0));
    if (!self) {
        Py_XDECREF(void_);
        Py_XDECREF(waiting);
        Py_XDECREF(refused);
        return NULL;
    }
    self->void_ = void_;
    self->waiting = waiting;
    self->refused = refused;
    self->applied = PyBytes_FromStringAndSize((const char *)applied->ptr, (Py_ssize_t)applied->len);
    if (!self->applied || !void_ || !waiting || !refused) Py_CLEAR(self);
    return (PyObject *)self;
}

PyObject *ckpy_report_new(ckpy_state *st, const ckv_report *report)
{
    PyObject *self =
        new_report(st, &report->applied, ckpy_id_buf_tuple(&report->voided),
                   ckpy_id_buf_tuple(&report->waiting), refusals_of_doc(st, &report->refused));
    if (!self) return NULL;
    REPORT(self)->known = report->known;
    return self;
}

/* Incarnations, which stand as blobs. */
static PyObject *peers(const ckv_buf *blobs)
{
    ckv_rd rd = ckv_rd_init(blobs->ptr, blobs->len);
    PyObject *list = PyList_New(0);
    while (list && ckv_rd_left(&rd)) {
        size_t n;
        const uint8_t *p = ckv_rd_blob(&rd, &n);
        PyObject *peer = PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
        if (!peer || PyList_Append(list, peer) < 0) Py_CLEAR(list);
        Py_XDECREF(peer);
    }
    PyObject *tuple = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple;
}

static PyObject *refusals_of_store(ckpy_state *st, const ckv_buf *buf)
{
    const ckv_left_out *r = (const ckv_left_out *)(const void *)buf->ptr;
    const size_t n = buf->len / sizeof *r;
    PyObject *out = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; out && i < n; i++) {
        PyObject *one = PyObject_CallFunction(st->Refusal, "y#sO", (const char *)r[i].peer,
                                              (Py_ssize_t)r[i].n_bytes, r[i].reason,
                                              r[i].is_limit ? st->LimitError : st->SyncError);
        if (!one)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, (Py_ssize_t)i, one);
    }
    return out;
}

PyObject *ckpy_report_of_store(ckpy_state *st, const ckv_store_report *report)
{
    PyObject *self = new_report(st, &report->applied, PyTuple_New(0), peers(&report->waiting),
                                refusals_of_store(st, &report->refused));
    if (!self) return NULL;
    REPORT(self)->of_store = true;
    return self;
}

static int Report_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(REPORT(op)->applied);
    Py_VISIT(REPORT(op)->void_);
    Py_VISIT(REPORT(op)->waiting);
    Py_VISIT(REPORT(op)->refused);
    return 0;
}

static int Report_clear(PyObject *op)
{
    ckpy_report *self = REPORT(op);
    Py_CLEAR(self->applied);
    Py_CLEAR(self->void_);
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->refused);
    return 0;
}

static void Report_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)Report_clear(op);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static int Report_bool(PyObject *op)
{
    return Py_SIZE(REPORT(op)->applied) > 0 || PyTuple_GET_SIZE(REPORT(op)->void_) > 0;
}

/* Each key once, as a dict. */
static PyObject *applied_keys(const ckpy_report *self)
{
    ckv_rd rd = ckv_rd_init((const uint8_t *)PyBytes_AS_STRING(self->applied),
                            (size_t)PyBytes_GET_SIZE(self->applied));
    PyObject *keys = PyDict_New();
    while (keys && ckv_rd_left(&rd)) {
        PyObject *key = ckpy_next_key(&rd);
        if (!key || PyDict_SetItem(keys, key, Py_None) < 0) Py_CLEAR(keys);
        Py_XDECREF(key);
    }
    return keys;
}

static PyObject *Report_repr(PyObject *op)
{
    const ckpy_report *self = REPORT(op);
    Py_ssize_t n = Py_SIZE(self->applied);
    if (PyBytes_Check(self->applied)) n /= 32;
    if (self->of_store) {
        PyObject *keys = applied_keys(self);
        if (!keys) return NULL;
        n = PyDict_GET_SIZE(keys);
        Py_DECREF(keys);
    }
    return PyUnicode_FromFormat(
        "<Report %zd applied, %zd void, %zd waiting, %zd refused, %llu known>", n,
        PyTuple_GET_SIZE(self->void_), PyTuple_GET_SIZE(self->waiting),
        PyTuple_GET_SIZE(self->refused), self->known);
}

static PyObject *Report_applied(PyObject *op, void *closure)
{
    (void)closure;
    const ckpy_report *self = REPORT(op);
    if (PyTuple_Check(self->applied)) return Py_NewRef(self->applied);
    if (self->of_store) {
        PyObject *keys = applied_keys(self), *tuple = keys ? PySequence_Tuple(keys) : NULL;
        Py_XDECREF(keys);
        return tuple;
    }
    const Py_ssize_t n = PyBytes_GET_SIZE(self->applied) / 32;
    PyObject *out = PyTuple_New(n);
    for (Py_ssize_t i = 0; out && i < n; i++) {
        PyObject *id = PyBytes_FromStringAndSize(PyBytes_AS_STRING(self->applied) + 32 * i, 32);
        if (!id)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, i, id);
    }
    return out;
}

/* All that it says, as arguments of _told(). */
static PyObject *says(PyObject *op)
{
    const ckpy_report *self = REPORT(op);
    PyObject *applied = Report_applied(op, NULL);
    return applied ? Py_BuildValue("(NOOOK)", applied, self->void_, self->waiting, self->refused,
                                   self->known)
                   : NULL;
}

static PyObject *Report_reduce(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    PyObject *all = says(op);
    if (!all) return NULL;
    return Py_BuildValue("NN", ckpy_attr((PyObject *)Py_TYPE(op), "_told"), all);
}

static PyObject *Report_richcompare(PyObject *a, PyObject *b, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) Py_RETURN_NOTIMPLEMENTED;
    PyObject *x = says(a), *y = x ? says(b) : NULL;
    PyObject *result = y ? PyObject_RichCompare(x, y, op) : NULL;
    Py_XDECREF(x);
    Py_XDECREF(y);
    return result;
}

static Py_hash_t Report_hash(PyObject *op)
{
    PyObject *all = says(op);
    const Py_hash_t h = all ? PyObject_Hash(all) : -1;
    Py_XDECREF(all);
    return h;
}

static PyObject *Report_told(PyObject *cls, PyObject *args)
{
    PyObject *parts[4], *count;
    PyTypeObject *t = &PyTuple_Type;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!", t, &parts[0], t, &parts[1], t, &parts[2], t,
                          &parts[3], &PyLong_Type, &count))
        return NULL;
    const unsigned long long known = PyLong_AsUnsignedLongLong(count);
    if (PyErr_Occurred()) return NULL;
    ckpy_report *self = REPORT(((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, 0));
    if (!self) return NULL;
    self->applied = Py_NewRef(parts[0]);
    self->void_ = Py_NewRef(parts[1]);
    self->waiting = Py_NewRef(parts[2]);
    self->refused = Py_NewRef(parts[3]);
    self->known = known;
    return (PyObject *)self;
}

CKPY_SHOWN(Report, "report")

static PyMethodDef Report_methods[] = {
    CKPY_SHOWN_METHOD(Report),
    CKPY_COPY_METHODS,
    {"__reduce__", Report_reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\nPickles as what it says."},
    {"_told", Report_told, METH_VARARGS | METH_CLASS,
     "_told($type, applied, void, waiting, refused, known, /)\n--\n\nOne that was pickled."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     "__class_getitem__($type, item, /)\n--\n\nFor annotations: Report[type of what is applied]."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Report_getset[] = {
    {"applied", Report_applied, NULL,
     "Ids of what this call made applied; of a store, the keys whose entry changed. Makes a new "
     "tuple.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Report_members[] = {
    {"void", T_OBJECT_EX, offsetof(ckpy_report, void_), READONLY,
     "Ids of what is stored without effect."},
    {"waiting", T_OBJECT_EX, offsetof(ckpy_report, waiting), READONLY,
     "Ids of what waits for its ancestors; of a store, the incarnations whose messages wait."},
    {"refused", T_OBJECT_EX, offsetof(ckpy_report, refused), READONLY,
     "A Refusal for each item that was not stored."},
    {"known", T_ULONGLONG, offsetof(ckpy_report, known), READONLY,
     "How many items were already here."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Report_slots[] = {
    {Py_tp_doc, "What apply(), merge() or a store's integrate_diff() and the like did. True if "
                "something was applied or stored as\nvoid.\n\n"
                ">>> import crdtkv as ck\n"
                ">>> a = ck.Doc()\n"
                ">>> b = a.fork()\n"
                ">>> a['x'] = 1\n"
                ">>> report = b.apply(a.export())\n"
                ">>> len(report.applied), report.refused, bool(report)\n"
                "(1, (), True)"},
    {Py_tp_dealloc, Report_dealloc},
    {Py_tp_traverse, Report_traverse},
    {Py_tp_clear, Report_clear},
    {Py_tp_repr, Report_repr},
    {Py_tp_hash, Report_hash},
    {Py_tp_richcompare, Report_richcompare},
    {Py_tp_methods, Report_methods},
    {Py_tp_members, Report_members},
    {Py_tp_getset, Report_getset},
    {Py_nb_bool, Report_bool},
    {0, NULL},
};

PyType_Spec ckpy_report_spec = {
    .name = "crdtkv.Report",
    .basicsize = sizeof(ckpy_report),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Report_slots,
};
