/* obj_session.c -- Session: one end of an exchange with another replica. Bytes in, bytes out; the document's lock guards it. */
#include "py/convert.h"
#include "py/errors.h"

#include <structmember.h>

typedef struct ckpy_session {
    PyObject_HEAD ckpy_doc *doc; /* owned */
    ckv_session *core;           /* owned; guarded by doc's lock */
} ckpy_session;

#define SESSION(op) ((ckpy_session *)(op))

static PyObject *Session_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"doc", "max_bytes", NULL};
    PyObject *doc, *max_bytes = Py_None;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st ||
        !PyArg_ParseTupleAndKeywords(args, kw, "O!|$O:Session", names, st->Doc, &doc, &max_bytes))
        return NULL;
    unsigned long long limit = 0;
    if (max_bytes != Py_None) {
        limit = PyLong_AsUnsignedLongLong(max_bytes);
        if (limit == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
        if (limit == 0) {
            PyErr_SetString(PyExc_ValueError, "max_bytes must be positive, or None");
            return NULL;
        }
    }
    ckpy_session *self = SESSION(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->doc = (ckpy_doc *)Py_NewRef(doc);
    ckpy_lock_get(&self->doc->lock);
    const ckv_status s = ckv_session_new(&self->core, self->doc->core, limit);
    ckpy_lock_put(&self->doc->lock);
    if (s != CKV_OK) {
        self->core = NULL;
        Py_DECREF(self);
        return ckpy_raise(st, s, "no session could be made");
    }
    return (PyObject *)self;
}

static int Session_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(SESSION(op)->doc);
    return 0;
}

static void Session_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_session *self = SESSION(op);
    PyObject_GC_UnTrack(op);
    if (self->core) {
        ckpy_lock_get(&self->doc->lock);
        ckv_session_free(self->core);
        ckpy_lock_put(&self->doc->lock);
    }
    Py_XDECREF(self->doc); /* no tp_clear: no document knows its sessions, so there is no cycle */
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *Session_send(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_session *self = SESSION(op);
    ckpy_doc *d = self->doc;
    if (ckpy_doc_settle(d, "send") < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_session_send(self->core, &out);
    ckpy_lock_back(&d->lock, ts);
    ckpy_lock_put(&d->lock);
    PyObject *result = NULL;
    if (s != CKV_OK)
        ckpy_raise(d->state, s, "the session is over");
    else if (out.len == 0)
        result = Py_NewRef(Py_None);
    else
        result = PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len);
    ckv_buf_fini(&out);
    return result;
}

static PyObject *Session_receive(PyObject *op, PyObject *arg)
{
    ckpy_session *self = SESSION(op);
    ckpy_doc *d = self->doc;
    PyObject *data = ckpy_bytes_arg(arg, "a message");
    if (!data) return NULL;
    if (ckpy_doc_settle(d, "receive") < 0) {
        Py_DECREF(data);
        return NULL;
    }
    ckv_report report;
    ckv_err err = {0};
    ckv_report_init(&report, ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_session_take(self->core, (const uint8_t *)PyBytes_AS_STRING(data),
                                          (size_t)PyBytes_GET_SIZE(data), &report, &err);
    ckpy_lock_back(&d->lock, ts);
    if (d->watched) ckpy_doc_gather(d, NULL);
    ckpy_lock_put(&d->lock);
    PyObject *result = s == CKV_OK ? ckpy_report_new(d->state, &report)
                                   : ckpy_raise_err(d->state, s, &err, "the session is over");
    ckv_report_fini(&report);
    Py_DECREF(data);
    return ckpy_doc_took(d, result);
}

static PyObject *Session_get_done(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_session *self = SESSION(op);
    ckpy_lock_get(&self->doc->lock);
    const bool done = ckv_session_done(self->core);
    ckpy_lock_put(&self->doc->lock);
    return PyBool_FromLong(done);
}

static PyObject *Session_stats(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_session *self = SESSION(op);
    ckpy_lock_get(&self->doc->lock);
    const ckv_session_stats t = ckv_session_figures(self->core);
    ckpy_lock_put(&self->doc->lock);
    return Py_BuildValue("{sKsKsKsKsKsK}", "messages_sent", (unsigned long long)t.messages_out,
                         "messages_received", (unsigned long long)t.messages_in, "bytes_sent",
                         (unsigned long long)t.bytes_out, "bytes_received",
                         (unsigned long long)t.bytes_in, "refused", (unsigned long long)t.refused,
                         "hashes", (unsigned long long)t.hashes);
}

static PyObject *Session_repr(PyObject *op)
{
    ckpy_session *self = SESSION(op);
    ckpy_lock_get(&self->doc->lock);
    const bool over = ckv_session_is_over(self->core), done = ckv_session_done(self->core);
    const ckv_session_stats t = ckv_session_figures(self->core);
    ckpy_lock_put(&self->doc->lock);
    return PyUnicode_FromFormat("<Session %s: %llu messages sent, %llu received>",
                                over   ? "over"
                                : done ? "done"
                                       : "open",
                                (unsigned long long)t.messages_out,
                                (unsigned long long)t.messages_in);
}

PyDoc_STRVAR(send_doc,
             "send($self, /)\n--\n\n"
             "The next message for the other end; None when there is nothing to say now.\n\n"
             "Ask until None, and again after each receive() and each edit. A message is at most "
             "1 MiB + 4 KiB.\n"
             "Closes the open change; RuntimeError inside a change() block.");
PyDoc_STRVAR(receive_doc,
             "receive($self, data, /)\n--\n\n"
             "Take in a message of the other end; a Report of the changes that it brought.\n\n"
             "DecodeError for what is no message, SyncError for one that does not fit: lost, "
             "repeated, out of order, over\n"
             "a limit, or the 64th that brings nothing new. After either the session is over, and "
             "the document keeps what "
             "was\nauthentic. Changes that do not hold are skipped and reported.");
PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\n"
                        "Messages and bytes both ways, changes that did not hold, hashes sent in "
                        "search of forks: a dict of ints.");

static PyMethodDef Session_methods[] = {
    {"send", Session_send, METH_NOARGS, send_doc},
    {"receive", Session_receive, METH_O, receive_doc},
    {"stats", Session_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Session_getset[] = {
    {"done", Session_get_done, NULL,
     "Whether both ends hold the same set of changes, as far as this end has heard.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Session_members[] = {
    {"doc", T_OBJECT_EX, offsetof(ckpy_session, doc), READONLY, "The document at this end."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Session_slots[] = {
    {Py_tp_doc,
     "Session(doc, *, max_bytes=None)\n--\n\n"
     "One end of an exchange with another replica, made by Doc.session(). It does no input or "
     "output of its own:\n"
     "carry what send() gives to the other end's receive(), in order, over whatever there is. Both "
     "ends are alike,\n"
     "either may begin. When `done`, both stay in step: new changes are sent as they come.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> a = ck.Doc()\n"
     ">>> b = a.fork(ck.Identity.generate())\n"
     ">>> a['x'], b['y'] = 1, 2\n"
     ">>> left, right = a.session(), b.session()\n"
     ">>> while not (left.done and right.done):\n"
     "...     for one, other in (left, right), (right, left):\n"
     "...         while message := one.send():\n"
     "...             report = other.receive(message)\n"
     ">>> a == b == {'x': 1, 'y': 2}\n"
     "True"},
    {Py_tp_new, Session_new},
    {Py_tp_dealloc, Session_dealloc},
    {Py_tp_traverse, Session_traverse},
    {Py_tp_repr, Session_repr},
    {Py_tp_methods, Session_methods},
    {Py_tp_getset, Session_getset},
    {Py_tp_members, Session_members},
    {0, NULL},
};

PyType_Spec ckpy_session_spec = {
    .name = "crdtkv.Session",
    .basicsize = sizeof(ckpy_session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Session_slots,
};
