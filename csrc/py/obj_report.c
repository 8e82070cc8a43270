/* obj_report.c -- Report: what apply() did. Immutable; made once from the core's report.
 *
 * `applied` may hold every id of a history that was loaded, so its tuple is made when somebody looks. */
#include "py/convert.h"
#include "py/errors.h"

#include <structmember.h>

typedef struct ckpy_report {
    PyObject_HEAD PyObject *ids;         /* owned bytes: the applied ids, one behind the other */
    PyObject *void_, *waiting, *refused; /* owned tuples */
    unsigned long long known;
} ckpy_report;

#define REPORT(op) ((ckpy_report *)(op))

static PyObject *refusals(ckpy_state *st, const ckv_buf *buf)
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

PyObject *ckpy_report_new(ckpy_state *st, const ckv_report *report)
{
    ckpy_report *self = REPORT(st->Report->tp_alloc(st->Report, 0));
    if (!self) return NULL;
    self->known = report->known;
    if (!(self->ids = PyBytes_FromStringAndSize((const char *)report->applied.ptr,
                                                (Py_ssize_t)report->applied.len)) ||
        !(self->void_ = ckpy_id_buf_tuple(&report->voided)) ||
        !(self->waiting = ckpy_id_buf_tuple(&report->waiting)) ||
        !(self->refused = refusals(st, &report->refused)))
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int Report_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(REPORT(op)->refused); /* the others hold bytes only */
    return 0;
}

static int Report_clear(PyObject *op)
{
    ckpy_report *self = REPORT(op);
    Py_CLEAR(self->ids);
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
    return PyBytes_GET_SIZE(REPORT(op)->ids) > 0 || PyTuple_GET_SIZE(REPORT(op)->void_) > 0;
}

static PyObject *Report_repr(PyObject *op)
{
    const ckpy_report *self = REPORT(op);
    return PyUnicode_FromFormat(
        "<Report %zd applied, %zd void, %zd waiting, %zd refused, %llu known>",
        PyBytes_GET_SIZE(self->ids) / 32, PyTuple_GET_SIZE(self->void_),
        PyTuple_GET_SIZE(self->waiting), PyTuple_GET_SIZE(self->refused), self->known);
}

static PyObject *Report_applied(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *ids = REPORT(op)->ids;
    const Py_ssize_t n = PyBytes_GET_SIZE(ids) / 32;
    PyObject *out = PyTuple_New(n);
    for (Py_ssize_t i = 0; out && i < n; i++) {
        PyObject *id = PyBytes_FromStringAndSize(PyBytes_AS_STRING(ids) + 32 * i, 32);
        if (!id)
            Py_CLEAR(out);
        else
            PyTuple_SET_ITEM(out, i, id);
    }
    return out;
}

static PyGetSetDef Report_getset[] = {
    {"applied", Report_applied, NULL, "Ids of what this call made applied. Makes a new tuple.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Report_members[] = {
    {"void", T_OBJECT_EX, offsetof(ckpy_report, void_), READONLY,
     "Ids of what is stored without effect."},
    {"waiting", T_OBJECT_EX, offsetof(ckpy_report, waiting), READONLY,
     "Ids of what waits for its ancestors."},
    {"refused", T_OBJECT_EX, offsetof(ckpy_report, refused), READONLY,
     "A Refusal for each item that was not stored."},
    {"known", T_ULONGLONG, offsetof(ckpy_report, known), READONLY,
     "How many items were already here."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Report_slots[] = {
    {Py_tp_doc, "What apply() or merge() did. True if something was applied or stored as void.\n\n"
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
