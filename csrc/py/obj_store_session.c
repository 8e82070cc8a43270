/* obj_store_session.c -- StoreSession: one end of an exchange between two stores. Bytes in, bytes out; the store's lock guards it. */
#include "py/convert.h"
#include "py/errors.h"
#include "py/show.h"
#include "py/store.h"

#include <structmember.h>

typedef struct ckpy_store_session {
    PyObject_HEAD ckpy_store *store; /* owned */
    ckv_store_session *core;         /* owned; guarded by store's lock */
} ckpy_store_session;

#define SESSION(op) ((ckpy_store_session *)(op))

static PyObject *StoreSession_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"store", NULL};
    PyObject *store;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st || !PyArg_ParseTupleAndKeywords(args, kw, "O!:StoreSession", names, st->Store, &store))
        return NULL;
    ckpy_store_session *self = SESSION(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->store = (ckpy_store *)Py_NewRef(store);
    ckv_store_session *core;
    if (ckpy_store_look(self->store) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    const ckv_status s = ckv_store_session_new(&core, self->store->core);
    ckpy_lock_put(&self->store->lock);
    if (s != CKV_OK) {
        Py_DECREF(self);
        return ckpy_raise(st, s, "no session could be made");
    }
    self->core = core;
    return (PyObject *)self;
}

static int StoreSession_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(SESSION(op)->store);
    return 0;
}

static void StoreSession_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_store_session *self = SESSION(op);
    PyObject_GC_UnTrack(op);
    if (self->core) {
        ckpy_lock_get(&self->store->lock);
        ckv_store_session_free(self->core);
        ckpy_lock_put(&self->store->lock);
    }
    Py_XDECREF(self->store); /* no tp_clear: no store knows its sessions, so there is no cycle */
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *StoreSession_send(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store_session *self = SESSION(op);
    ckpy_store *s = self->store;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_write_begin(&s->face) < 0) return NULL;
    ckv_status status = ckpy_store_settle(s);
    PyThreadState *ts = ckpy_away_if(s, ckv_store_len(s->core, false) > CKPY_MANY);
    if (status == CKV_OK) status = ckv_store_session_send(self->core, &out);
    ckpy_back(s, ts);
    ckpy_lock_put(&s->lock);
    PyObject *result = NULL;
    if (status != CKV_OK)
        ckpy_store_raise(s, status, "the session is over");
    else if (out.len == 0)
        result = Py_NewRef(Py_None);
    else
        result = PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len);
    ckv_buf_fini(&out);
    return result;
}

static PyObject *StoreSession_receive(PyObject *op, PyObject *arg)
{
    ckpy_store_session *self = SESSION(op);
    ckpy_store *s = self->store;
    uint64_t latest;
    PyObject *result = NULL, *data = ckpy_bytes_arg(arg, "a message");
    if (!data) return NULL;
    if (ckpy_store_latest(s, &latest) == 0 && ckpy_write_begin(&s->face) == 0) {
        const ckv_bytes message = {(const uint8_t *)PyBytes_AS_STRING(data),
                                   (size_t)PyBytes_GET_SIZE(data)};
        ckv_store_report report;
        ckv_err err = {0};
        ckv_store_report_init(&report, ckv_alloc_libc);
        PyThreadState *ts = ckpy_away_if(s, message.n_bytes > CKPY_LONG);
        const ckv_status status =
            ckv_store_session_take(self->core, message, latest, &report, &err);
        ckpy_back(s, ts);
        const int told = ckpy_write_end(s);
        if (status != CKV_OK)
            ckpy_raise_err(s->state, status, &err, "the session is over");
        else if (told == 0)
            result = ckpy_report_of_store(s->state, &report);
        ckv_store_report_fini(&report);
    }
    Py_DECREF(data);
    return result;
}

static PyObject *StoreSession_get_done(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_store_session *self = SESSION(op);
    if (ckpy_store_look(self->store) < 0) return NULL;
    const bool done = ckv_store_session_done(self->core);
    ckpy_lock_put(&self->store->lock);
    return PyBool_FromLong(done);
}

static PyObject *StoreSession_stats(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store_session *self = SESSION(op);
    ckpy_lock_get(&self->store->lock);
    const ckv_store_session_stats t = ckv_store_session_figures(self->core);
    ckpy_lock_put(&self->store->lock);
    const ckpy_figure rows[] = {{"messages_sent", t.messages_out},
                                {"messages_received", t.messages_in},
                                {"bytes_sent", t.bytes_out},
                                {"bytes_received", t.bytes_in}};
    return ckpy_figures(self->store->state, rows, sizeof rows / sizeof *rows);
}

static PyObject *StoreSession_repr(PyObject *op)
{
    ckpy_store_session *self = SESSION(op);
    ckpy_lock_get(&self->store->lock);
    const bool over = ckv_store_session_is_over(self->core),
               done = ckv_store_session_done(self->core);
    const ckv_store_session_stats t = ckv_store_session_figures(self->core);
    ckpy_lock_put(&self->store->lock);
    return PyUnicode_FromFormat("<StoreSession %s: %llu messages sent, %llu received>",
                                over   ? "over"
                                : done ? "done"
                                       : "open",
                                (unsigned long long)t.messages_out,
                                (unsigned long long)t.messages_in);
}

PyDoc_STRVAR(send_doc,
             "send($self, /)\n--\n\n"
             "The next message for the other end; None when there is nothing to say now.\n\n"
             "Ask until None, and again after each receive() and each write. A message is at most "
             "1 MiB + 4 KiB.\n"
             "RuntimeError while a transaction is open.");
PyDoc_STRVAR(receive_doc,
             "receive($self, data, /)\n--\n\n"
             "Take in a message of the other end; a Report of what it brought.\n\n"
             "DecodeError for what is no message, SyncError for one that does not fit: lost, "
             "repeated, out of order, over\na limit, or the 64th that brings nothing new; "
             "ClockDriftError: of a time too far ahead. After any of these the\nsession is over, "
             "and the store keeps what came before. RuntimeError while a transaction is open.");

CKPY_SHOWN(StoreSession, "session")

static PyMethodDef StoreSession_methods[] = {
    CKPY_SHOWN_METHOD(StoreSession),
    {"send", StoreSession_send, METH_NOARGS, send_doc},
    {"receive", StoreSession_receive, METH_O, receive_doc},
    {"stats", StoreSession_stats, METH_NOARGS,
     "stats($self, /)\n--\n\nMessages and bytes both ways: a dict of ints."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef StoreSession_getset[] = {
    {"done", StoreSession_get_done, NULL,
     "Whether both ends hold the same, as far as this end has heard.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef StoreSession_members[] = {
    {"store", T_OBJECT_EX, offsetof(ckpy_store_session, store), READONLY, "The store at this end."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot StoreSession_slots[] = {
    {Py_tp_doc,
     "StoreSession(store)\n--\n\n"
     "One end of an exchange with another replica of a store, made by Store.session(). It does no "
     "input or output of its\n"
     "own: carry what send() gives to the other end's receive(), in order, over whatever there is. "
     "Both ends are alike,\n"
     "either may begin. When `done`, both stay in step: new writes are sent as they come.\n\n"
     ">>> import crdtkv as ck\n"
     ">>> a, b = ck.Store(), ck.Store()\n"
     ">>> a['x'], b['y'] = 1, 2\n"
     ">>> left, right = a.session(), b.session()\n"
     ">>> while not (left.done and right.done):\n"
     "...     for one, other in (left, right), (right, left):\n"
     "...         while message := one.send():\n"
     "...             report = other.receive(message)\n"
     ">>> a == b == {'x': 1, 'y': 2}\n"
     "True"},
    {Py_tp_new, StoreSession_new},
    {Py_tp_dealloc, StoreSession_dealloc},
    {Py_tp_traverse, StoreSession_traverse},
    {Py_tp_repr, StoreSession_repr},
    {Py_tp_methods, StoreSession_methods},
    {Py_tp_getset, StoreSession_getset},
    {Py_tp_members, StoreSession_members},
    {0, NULL},
};

PyType_Spec ckpy_store_session_spec = {
    .name = "crdtkv.StoreSession",
    .basicsize = sizeof(ckpy_store_session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = StoreSession_slots,
};
