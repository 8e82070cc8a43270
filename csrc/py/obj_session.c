/* obj_session.c -- Session: one end of an exchange with another replica, of a document or of a datastore. Bytes in, bytes out; the replica's lock guards it. */
#include "py/datastore.h"
#include "py/show.h"

#include <stddef.h>
#include <structmember.h>

typedef struct ckpy_session {
    PyObject_HEAD PyObject *replica; /* owned */
    bool of_datastore;
    ckv_session *
        of_doc; /* owned, NULL: it is of a datastore; guarded by the replica's lock, as is all below */
    ckv_datastore_session *of; /* owned, NULL: it is of a document, or its file was closed */
    ckpy_dependent link;
} ckpy_session;

#define SESSION(op) ((ckpy_session *)(op))

/* ---- which of the two */

static ckpy_state *state_of(const ckpy_session *s)
{
    return s->of_datastore ? DATASTORE(s->replica)->state : ((ckpy_doc *)s->replica)->state;
}

static ckpy_lock *lock_of(const ckpy_session *s)
{
    return s->of_datastore ? &DATASTORE(s->replica)->lock : &((ckpy_doc *)s->replica)->lock;
}

/* 0: the lock is held, no change is open. -1: an exception. */
static int settle(const ckpy_session *s, const char *what)
{
    if (s->of_datastore) return ckpy_datastore_settle(DATASTORE(s->replica));
    return ckpy_doc_settle((ckpy_doc *)s->replica, what);
}

/* 0: the lock is held, to look. -1: an exception: the file was closed. */
static int look(const ckpy_session *s)
{
    if (s->of_datastore) return ckpy_datastore_begin(DATASTORE(s->replica));
    return ckpy_look_begin((ckpy_doc *)s->replica);
}

/* Without the lock: NULL, with what a status stands for. err may be NULL. */
static PyObject *raise_over(const ckpy_session *s, ckv_status status, const ckv_err *err)
{
    static const char what[] = "the session is over";
    if (!s->of_datastore) {
        ckpy_doc *d = (ckpy_doc *)s->replica;
        return err ? ckpy_doc_raise_err(d, status, err, what) : ckpy_doc_raise(d, status, what);
    }
    return err ? ckpy_raise_err(state_of(s), status, err, what)
               : ckpy_raise(state_of(s), status, what);
}

static ckv_status core_send(const ckpy_session *s, ckv_buf *out)
{
    return s->of ? ckv_datastore_session_send(s->of, out) : ckv_session_send(s->of_doc, out);
}

static ckv_status core_take(const ckpy_session *s, const uint8_t *data, size_t n_bytes,
                            ckv_report *report, ckv_err *err)
{
    return s->of ? ckv_datastore_session_take(s->of, data, n_bytes, report, err)
                 : ckv_session_take(s->of_doc, data, n_bytes, report, err);
}

/* Under the lock: the core of one whose file was closed is gone. */
static bool is_over(const ckpy_session *s)
{
    if (s->of_doc) return ckv_session_is_over(s->of_doc);
    return !s->of || ckv_datastore_session_is_over(s->of);
}

static bool is_done(const ckpy_session *s)
{
    if (s->of_doc) return ckv_session_done(s->of_doc);
    return s->of && ckv_datastore_session_done(s->of);
}

static bool is_settled(const ckpy_session *s)
{
    if (s->of_doc) return ckv_session_settled(s->of_doc);
    return s->of && ckv_datastore_session_settled(s->of);
}

static ckv_session_stats figures(const ckpy_session *s)
{
    if (s->of_doc) return ckv_session_figures(s->of_doc);
    return s->of ? ckv_datastore_session_figures(s->of) : (ckv_session_stats){0};
}

/* ---- life */

static void drop(ckpy_dependent *link)
{
    ckpy_session *s = (ckpy_session *)(void *)((char *)link - offsetof(ckpy_session, link));
    ckv_datastore_session_free(s->of);
    s->of = NULL;
}

/* Under the lock. */
static ckv_status fill(ckpy_session *self, uint64_t limit)
{
    if (!self->of_datastore)
        return ckv_session_new(&self->of_doc, ((ckpy_doc *)self->replica)->core, limit);
    ckpy_datastore *d = DATASTORE(self->replica);
    const ckv_status s = ckv_datastore_session_new(&self->of, d->core, limit);
    self->link.drop = drop;
    if (s == CKV_OK) ckpy_datastore_link(d, &self->link);
    return s;
}

static PyObject *Session_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"doc", "max_bytes", NULL};
    PyObject *doc, *max_bytes = Py_None;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st || !PyArg_ParseTupleAndKeywords(args, kw, "O|$O:Session", names, &doc, &max_bytes))
        return NULL;
    const bool of_datastore = PyObject_TypeCheck(doc, st->Datastore);
    if (!of_datastore && !PyObject_TypeCheck(doc, st->Doc))
        return PyErr_Format(PyExc_TypeError, "Session() wants a Doc or a Datastore, not %.100s",
                            Py_TYPE(doc)->tp_name);
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
    self->replica = Py_NewRef(doc);
    self->of_datastore = of_datastore;
    if (look(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    const ckv_status s = fill(self, limit);
    ckpy_lock_put(lock_of(self));
    if (s == CKV_OK) return (PyObject *)self;
    self->of_doc = NULL;
    self->of = NULL;
    Py_DECREF(self);
    return ckpy_raise(st, s, "no session could be made");
}

static int Session_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(SESSION(op)->replica);
    return 0;
}

static void Session_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_session *self = SESSION(op);
    PyObject_GC_UnTrack(op);
    if (self->of_doc || self->of) {
        ckpy_lock_get(lock_of(self));
        if (self->of_doc) ckv_session_free(self->of_doc);
        if (self->of) {
            ckpy_datastore_unlink(&self->link);
            drop(&self->link);
        }
        ckpy_lock_put(lock_of(self));
    }
    Py_XDECREF(
        self->replica); /* no tp_clear: no replica knows its sessions, so there is no cycle */
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- messages */

static PyObject *Session_send(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_session *self = SESSION(op);
    ckpy_lock *lock = lock_of(self);
    if (settle(self, "send") < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away(lock);
    const ckv_status s = core_send(self, &out);
    ckpy_lock_back(lock, ts);
    ckpy_lock_put(lock);
    PyObject *result = NULL;
    const ckv_err why = {CKV_ESYNC, 0, "a DAG was made anew, or admitted: begin another session"};
    if (s != CKV_OK)
        (void)raise_over(self, s, s == CKV_ESYNC ? &why : NULL);
    else if (out.len == 0)
        result = Py_NewRef(Py_None);
    else
        result = PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len);
    ckv_buf_fini(&out);
    return result;
}

/* Before a message is taken: the lock is held, no change is open, and a datastore knows the time. -1: an exception. */
static int begin_receiving(ckpy_session *self)
{
    if (!self->of_datastore) return settle(self, "receive");
    ckpy_datastore *d = DATASTORE(self->replica);
    int64_t now;
    if (ckpy_datastore_now(d, &now) < 0 || ckpy_datastore_settle(d) < 0 ||
        ckpy_datastore_write_slow(d) < 0)
        return -1;
    ckv_datastore_tick(d->core, now);
    return 0;
}

static PyObject *Session_receive(PyObject *op, PyObject *arg)
{
    ckpy_session *self = SESSION(op);
    ckpy_lock *lock = lock_of(self);
    PyObject *data = ckpy_bytes_arg(arg, "a message");
    if (!data) return NULL;
    if (begin_receiving(self) < 0) {
        Py_DECREF(data);
        return NULL;
    }
    ckv_report report;
    ckv_err err = {0};
    ckv_report_init(&report, ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away(lock);
    const ckv_status s = core_take(self, (const uint8_t *)PyBytes_AS_STRING(data),
                                   (size_t)PyBytes_GET_SIZE(data), &report, &err);
    ckpy_doc *d = self->of_datastore ? NULL : (ckpy_doc *)self->replica;
    if (d && s == CKV_OK) ckv_doc_consolidate(d->core, false);
    ckpy_lock_back(lock, ts);
    if (d && d->watched) ckpy_doc_gather(d, NULL);
    ckpy_lock_put(lock);
    PyObject *result =
        s == CKV_OK ? ckpy_report_new(state_of(self), &report) : raise_over(self, s, &err);
    ckv_report_fini(&report);
    Py_DECREF(data);
    return d ? ckpy_doc_took(d, result) : ckpy_datastore_took(DATASTORE(self->replica), result);
}

static PyObject *Session_get_done(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_session *self = SESSION(op);
    if (look(self) < 0) return NULL;
    const bool done = is_done(self);
    ckpy_lock_put(lock_of(self));
    return PyBool_FromLong(done);
}

static PyObject *Session_get_settled(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_session *self = SESSION(op);
    if (look(self) < 0) return NULL;
    const bool settled = is_settled(self);
    ckpy_lock_put(lock_of(self));
    return PyBool_FromLong(settled);
}

static PyObject *Session_stats(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_session *self = SESSION(op);
    ckpy_lock_get(lock_of(self));
    const ckv_session_stats t = figures(self);
    ckpy_lock_put(lock_of(self));
    const ckpy_figure rows[] = {{"messages_sent", t.messages_out},
                                {"messages_received", t.messages_in},
                                {"bytes_sent", t.bytes_out},
                                {"bytes_received", t.bytes_in},
                                {"refused", t.refused},
                                {"hashes", t.hashes}};
    return ckpy_figures(state_of(self), rows, sizeof rows / sizeof *rows);
}

static PyObject *Session_repr(PyObject *op)
{
    ckpy_session *self = SESSION(op);
    ckpy_lock_get(lock_of(self));
    const bool over = is_over(self), done = is_done(self);
    const ckv_session_stats t = figures(self);
    ckpy_lock_put(lock_of(self));
    return PyUnicode_FromFormat("<Session %s: %llu messages sent, %llu received>",
                                over   ? "over"
                                : done ? "done"
                                       : "open",
                                (unsigned long long)t.messages_out,
                                (unsigned long long)t.messages_in);
}

PyDoc_STRVAR(
    send_doc,
    "send($self, /)\n--\n\n"
    "The next message for the other end; None when there is nothing to say now.\n\n"
    "Ask until None, and again after each receive() and each edit. A message is at most "
    "1 MiB + 4 KiB.\n"
    "Closes the open change; RuntimeError inside a change() block. SyncError, once: a DAG of "
    "the datastore was\nadmitted again, or made anew, and the session is over.");
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

CKPY_SHOWN(Session, "session")

static PyMethodDef Session_methods[] = {
    CKPY_SHOWN_METHOD(Session),
    {"send", Session_send, METH_NOARGS, send_doc},
    {"receive", Session_receive, METH_O, receive_doc},
    {"stats", Session_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Session_getset[] = {
    {"done", Session_get_done, NULL,
     "Whether both ends hold the same set of changes, as far as this end has heard.", NULL},
    {"_settled", Session_get_settled, NULL,
     "Whether this end has all that the other one had when they met, and has told all that is "
     "here.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Session_members[] = {
    {"doc", T_OBJECT_EX, offsetof(ckpy_session, replica), READONLY,
     "The document or datastore at this end."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Session_slots[] = {
    {Py_tp_doc,
     "Session(doc, *, max_bytes=None)\n--\n\n"
     "One end of an exchange with another replica, made by session() of a document or a datastore. "
     "It does no input or "
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
