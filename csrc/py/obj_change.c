/* obj_change.c -- Change: a document, or a DAG of a datastore, and a number. What it shows is read from there when asked for.
 *
 * One that was pickled has no replica: it is a tuple of what it showed, in the order of `fields`. */
#include "py/convert.h"
#include "py/datastore.h"
#include "py/errors.h"
#include "py/show.h"

#define CHANGE(op) ((ckpy_change *)(op))

PyObject *ckpy_change_new(ckpy_state *st, PyObject *replica, uint32_t dag, uint32_t life,
                          uint32_t number)
{
    ckpy_change *self = PyObject_GC_New(ckpy_change, st->Change);
    if (!self) return NULL;
    self->replica = Py_NewRef(replica);
    self->dag = dag;
    self->number = number;
    self->life = life;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int Change_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(CHANGE(op)->replica);
    return 0;
}

static void Change_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_DECREF(
        CHANGE(op)
            ->replica); /* no tp_clear: a change cannot close a cycle without its replica, which can */
    PyObject_GC_Del(op);
    Py_DECREF(tp);
}

typedef enum field {
    F_id,
    F_author,
    F_lane,
    F_prev,
    F_parents,
    F_seq,
    F_time,
    F_n_ops,
    F_signed,
    F_void,
    F_message,
    F_dag,
    F_has_twin,
    N_FIELDS
} field;

/* What a change without a replica says; NULL, without an exception: it has one. */
static PyObject *told(PyObject *op, field f)
{
    PyObject *fields = CHANGE(op)->replica;
    return PyTuple_CheckExact(fields) ? Py_NewRef(PyTuple_GET_ITEM(fields, f)) : NULL;
}

/* Takes the lock: the hash graph that it is in. NULL: it is there no more, with an exception and without the lock. */
static ckv_doc *enter(ckpy_change *c, ckpy_lock **lock)
{
    if (c->dag == CKPY_NO_DAG) {
        ckpy_doc *d = (ckpy_doc *)c->replica;
        *lock = &d->lock;
        ckpy_lock_get(*lock);
        return d->core;
    }
    ckpy_datastore *d = DATASTORE(c->replica);
    *lock = &d->lock;
    if (ckpy_datastore_begin(d) < 0) return NULL;
    const ckv_dag_info dag = ckv_datastore_dag(d->core, c->dag);
    if (dag.doc && dag.life == c->life) return dag.doc;
    ckpy_lock_put(*lock);
    ckpy_raise(d->state, CKV_ESTALE, "its DAG was purged or repaired since; ask changes() again");
    return NULL;
}

/* The facts, with the ids copied: what the core hands out is good only under the lock. */
typedef struct facts {
    ckv_change_info info;
    ckv_id32 id, author, lane, prev;
} facts;

static int read_facts(ckpy_change *c, facts *f)
{
    ckpy_lock *lock;
    ckv_doc *doc = enter(c, &lock);
    if (!doc) return -1;
    ckv_doc_change(doc, c->number, &f->info);
    f->id = *f->info.id;
    f->author = *f->info.author;
    f->lane = *f->info.lane;
    if (f->info.prev) f->prev = *f->info.prev;
    ckpy_lock_put(lock);
    return 0;
}

#define GETTER(name, expr)                                                                         \
    static PyObject *Change_get_##name(PyObject *op, void *closure)                                \
    {                                                                                              \
        (void)closure;                                                                             \
        facts f;                                                                                   \
        PyObject *said = told(op, F_##name);                                                       \
        return said ? said : read_facts(CHANGE(op), &f) < 0 ? NULL : expr;                         \
    }

GETTER(id, ckpy_id(&f.id))
GETTER(author, ckpy_id(&f.author))
GETTER(lane, ckpy_id(&f.lane))
GETTER(prev, f.info.prev ? ckpy_id(&f.prev) : Py_NewRef(Py_None))
GETTER(seq, PyLong_FromUnsignedLong(f.info.seq))
GETTER(time, PyLong_FromLongLong(f.info.time))
GETTER(n_ops, PyLong_FromUnsignedLong(f.info.n_ops))
GETTER(signed, PyBool_FromLong(f.info.is_signed))
GETTER(void, f.info.void_reason ? PyUnicode_FromString(f.info.void_reason) : Py_NewRef(Py_None))

static PyObject *Change_get_message(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *said = told(op, F_message);
    if (said) return said;
    ckpy_change *self = CHANGE(op);
    ckpy_lock *lock;
    ckv_change_info info;
    ckv_doc *doc = enter(self, &lock);
    if (!doc) return NULL;
    ckv_doc_change(doc, self->number, &info);
    PyObject *message =
        info.message ? PyUnicode_DecodeUTF8(info.message, (Py_ssize_t)info.message_bytes, NULL)
                     : Py_NewRef(Py_None);
    ckpy_lock_put(lock);
    return message;
}

static PyObject *Change_get_parents(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *said = told(op, F_parents);
    if (said) return said;
    ckpy_change *self = CHANGE(op);
    ckpy_lock *lock;
    ckv_change_info info, parent;
    ckv_id32 ids[32];
    ckv_doc *doc = enter(self, &lock);
    if (!doc) return NULL;
    ckv_doc_change(doc, self->number, &info);
    for (uint32_t i = 0; i < info.n_parents; i++) {
        ckv_doc_change(doc, info.parents[i], &parent);
        ids[i] = *parent.id;
    }
    ckpy_lock_put(lock);
    return ckpy_id_tuple(ids, info.n_parents);
}

static PyObject *Change_get_dag(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *said = told(op, F_dag);
    if (said) return said;
    ckpy_change *self = CHANGE(op);
    ckpy_lock *lock;
    if (self->dag == CKPY_NO_DAG) Py_RETURN_NONE;
    if (!enter(self, &lock)) return NULL;
    const ckv_dag_info dag = ckv_datastore_dag(DATASTORE(self->replica)->core, self->dag);
    PyObject *name = PyUnicode_DecodeUTF8(dag.name, (Py_ssize_t)dag.name_bytes, NULL);
    ckpy_lock_put(lock);
    return name;
}

static PyObject *Change_has_twin(PyObject *op, void *closure)
{
    (void)closure;
    PyObject *said = told(op, F_has_twin);
    if (said) return said;
    ckpy_lock *lock;
    ckv_doc *doc = enter(CHANGE(op), &lock);
    if (!doc) return NULL;
    const bool has = ckv_doc_has_twin(doc, CHANGE(op)->number);
    ckpy_lock_put(lock);
    return PyBool_FromLong(has);
}

static PyObject *Change_repr(PyObject *op)
{
    PyObject *id = Change_get_id(op, NULL), *author = id ? Change_get_author(op, NULL) : NULL;
    PyObject *seq = author ? Change_get_seq(op, NULL) : NULL;
    PyObject *n_ops = seq ? Change_get_n_ops(op, NULL) : NULL;
    PyObject *reason = n_ops ? Change_get_void(op, NULL) : NULL;
    PyObject *out = NULL;
    if (reason) {
        char hex[2][9];
        const char *b[] = {PyBytes_AS_STRING(id), PyBytes_AS_STRING(author)};
        for (int i = 0; i < 2; i++)
            PyOS_snprintf(hex[i], sizeof hex[i], "%02x%02x%02x%02x", (uint8_t)b[i][0],
                          (uint8_t)b[i][1], (uint8_t)b[i][2], (uint8_t)b[i][3]);
        out = PyUnicode_FromFormat("<Change %s by %s, seq %S, %S ops%s>", hex[0], hex[1], seq,
                                   n_ops, reason == Py_None ? "" : ", void");
    }
    Py_XDECREF(id);
    Py_XDECREF(author);
    Py_XDECREF(seq);
    Py_XDECREF(n_ops);
    Py_XDECREF(reason);
    return out;
}

static Py_hash_t Change_hash(PyObject *op)
{
    PyObject *id = Change_get_id(op, NULL);
    if (!id) return -1;
    const Py_hash_t h = PyObject_Hash(id);
    Py_DECREF(id);
    return h;
}

static PyObject *Change_richcompare(PyObject *a, PyObject *b, int op)
{
    if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) Py_RETURN_NOTIMPLEMENTED;
    PyObject *one = Change_get_id(a, NULL), *other = one ? Change_get_id(b, NULL) : NULL;
    PyObject *out = other ? PyObject_RichCompare(one, other, op) : NULL;
    Py_XDECREF(one);
    Py_XDECREF(other);
    return out;
}

static PyGetSetDef Change_getset[] = {
    {"id", Change_get_id, NULL, "Its 32-byte id, a hash of all it says.", NULL},
    {"author", Change_get_author, NULL, "The public key of who made it.", NULL},
    {"lane", Change_get_lane, NULL, "The id of the lane that it is on: one writer in one sitting.",
     NULL},
    {"seq", Change_get_seq, NULL, "Its number on the lane, from 0.", NULL},
    {"prev", Change_get_prev, NULL,
     "The id of the change before it on the lane; None for the first.", NULL},
    {"parents", Change_get_parents, NULL, "The ids of the other changes it builds on, sorted.",
     NULL},
    {"time", Change_get_time, NULL, "When its author says it was made, in ms since 1970.", NULL},
    {"message", Change_get_message, NULL, "What commit() or change() was given; None without.",
     NULL},
    {"n_ops", Change_get_n_ops, NULL, "How many single operations it holds; a character is one.",
     NULL},
    {"signed", Change_get_signed, NULL, "Does a signature that is here cover it?", NULL},
    {"void", Change_get_void, NULL, "None, or why it has no effect.", NULL},
    {"dag", Change_get_dag, NULL,
     "The name of the DAG that it is in, of a datastore; None: it is of a document.", NULL},
    {"_has_twin", Change_has_twin, NULL,
     "Is there another change of its lane with the same prev? Its author told two stories.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* The getters in the order of `field`. */
static PyObject *(*const fields[N_FIELDS])(PyObject *, void *) = {
    Change_get_id,      Change_get_author, Change_get_lane,  Change_get_prev,   Change_get_parents,
    Change_get_seq,     Change_get_time,   Change_get_n_ops, Change_get_signed, Change_get_void,
    Change_get_message, Change_get_dag,    Change_has_twin,
};

static PyObject *Change_reduce(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    PyObject *values = PyTuple_New(N_FIELDS);
    for (int i = 0; values && i < N_FIELDS; i++) {
        PyObject *value = fields[i](op, NULL);
        if (!value)
            Py_CLEAR(values);
        else
            PyTuple_SET_ITEM(values, i, value);
    }
    return values ? Py_BuildValue("N(N)", ckpy_attr((PyObject *)Py_TYPE(op), "_told"), values)
                  : NULL;
}

static bool is_id(PyObject *value)
{
    return PyBytes_CheckExact(value) && PyBytes_GET_SIZE(value) == 32;
}

static bool is_what_it_should_be(PyObject *value, field f)
{
    switch (f) {
    case F_id:
    case F_author:
    case F_lane: return is_id(value);
    case F_prev: return value == Py_None || is_id(value);
    case F_parents:
        for (Py_ssize_t i = 0; PyTuple_CheckExact(value) && i < PyTuple_GET_SIZE(value); i++)
            if (!is_id(PyTuple_GET_ITEM(value, i))) return false;
        return PyTuple_CheckExact(value);
    case F_seq:
    case F_time:
    case F_n_ops: return PyLong_CheckExact(value);
    case F_signed:
    case F_has_twin: return PyBool_Check(value);
    case F_void:
    case F_message:
    case F_dag: return value == Py_None || PyUnicode_CheckExact(value);
    case N_FIELDS: break;
    }
    return false;
}

static PyObject *Change_told(PyObject *cls, PyObject *values)
{
    bool is_sound = PyTuple_CheckExact(values) && PyTuple_GET_SIZE(values) == N_FIELDS;
    for (int i = 0; is_sound && i < N_FIELDS; i++)
        is_sound = is_what_it_should_be(PyTuple_GET_ITEM(values, i), (field)i);
    if (!is_sound) {
        PyErr_SetString(PyExc_ValueError, "this was no change");
        return NULL;
    }
    ckpy_change *self = PyObject_GC_New(ckpy_change, (PyTypeObject *)cls);
    if (!self) return NULL;
    self->replica = Py_NewRef(values);
    self->dag = CKPY_NO_DAG;
    self->number = self->life = 0;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

CKPY_SHOWN(Change, "change")

static PyMethodDef Change_methods[] = {
    CKPY_SHOWN_METHOD(Change),
    CKPY_COPY_METHODS,
    {"__reduce__", Change_reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\nPickles as what it says, without its document."},
    {"_told", Change_told, METH_O | METH_CLASS,
     "_told($type, fields, /)\n--\n\nOne that was pickled."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Change_slots[] = {
    {Py_tp_doc, "A change of a document or a datastore: what is hashed, signed and sent as one.\n\n"
                ">>> import crdtkv as ck\n"
                ">>> doc = ck.Doc()\n"
                ">>> doc['title'] = 'Notes'\n"
                ">>> change = doc.commit('first words')\n"
                ">>> change.seq, change.n_ops, change.message\n"
                "(0, 1, 'first words')"},
    {Py_tp_dealloc, Change_dealloc},
    {Py_tp_traverse, Change_traverse},
    {Py_tp_repr, Change_repr},
    {Py_tp_hash, Change_hash},
    {Py_tp_richcompare, Change_richcompare},
    {Py_tp_methods, Change_methods},
    {Py_tp_getset, Change_getset},
    {0, NULL},
};

PyType_Spec ckpy_change_spec = {
    .name = "crdtkv.Change",
    .basicsize = sizeof(ckpy_change),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Change_slots,
};
