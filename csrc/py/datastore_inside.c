/* datastore_inside.c -- looking inside a datastore: conflicts, history, figures, and what writes did, for those who look on.
 *
 * The core keeps the news in order; whoever ends a write tells them when the lock is gone, one thread at a time.
 */
#include "py/datastore.h"

#define NEWS 256 /* events in one go, */
#define NEWS_BYTES                                                                                 \
    (4u << 20) /* and bytes of values, but for the last: what is shown may be large */

/* ---- operations on a key */

typedef struct op_row {
    ckv_id32 change, author;
    int64_t time;
    uint32_t index;
    bool is_put, is_open;
    ckpy_held value;
} op_row;

typedef struct op_rows {
    op_row *ptr; /* owned */
    size_t n;
} op_rows;

static void rows_fini(op_rows *r)
{
    for (size_t i = 0; i < r->n; i++) Py_XDECREF(r->ptr[i].value.object);
    PyMem_RawFree(r->ptr);
}

/* Under the lock: what the core found, so that it may go. */
static ckv_status keep_rows(ckpy_datastore *d, const ckv_shown_ops *ops, op_rows *out)
{
    *out = (op_rows){0};
    if (ops->len == 0) return CKV_OK;
    if (!(out->ptr = PyMem_RawCalloc(ops->len, sizeof *out->ptr))) return CKV_ENOMEM;
    for (; out->n < ops->len; out->n++) {
        const ckv_shown_op *o = &ops->ptr[out->n];
        op_row *r = &out->ptr[out->n];
        r->index = o->index;
        r->is_put = o->is_put;
        r->is_open = o->change == CKV_NO_CHANGE;
        if (r->is_open) {
            r->author = ((ckpy_identity *)d->identity)->core.public_key;
        } else {
            ckv_change_info info;
            ckv_doc_change(ckv_datastore_dag(d->core, o->dag).doc, o->change, &info);
            r->change = *info.id;
            r->author = *info.author;
            r->time = info.time;
        }
        if (o->is_put && !ckpy_hold(ckpy_bytes_of(o->value), &r->value)) return CKV_ENOMEM;
    }
    return CKV_OK;
}

/* The value; it is nobody's then. None if nothing was put. */
static PyObject *take_value(op_row *r)
{
    if (!r->value.object) return Py_NewRef(Py_None);
    PyObject *value = ckpy_held_value(&r->value);
    r->value.object = NULL;
    return value;
}

static PyObject *conflict(op_row *r)
{
    PyObject *value = take_value(r);
    PyObject *row =
        value ? Py_BuildValue("(y#kO)", r->change.b, (Py_ssize_t)32, (unsigned long)r->index, value)
              : NULL;
    Py_XDECREF(value);
    return row;
}

static PyObject *written(op_row *r)
{
    PyObject *value = take_value(r);
    PyObject *id = r->is_open ? Py_NewRef(Py_None) : ckpy_id(&r->change);
    PyObject *time = r->is_open ? Py_NewRef(Py_None) : PyLong_FromLongLong(r->time);
    PyObject *row = value && id && time
                        ? Py_BuildValue("(OOy#OO)", r->is_put ? Py_True : Py_False, value,
                                        r->author.b, (Py_ssize_t)32, id, time)
                        : NULL;
    Py_XDECREF(value);
    Py_XDECREF(id);
    Py_XDECREF(time);
    return row;
}

static PyObject *list_of(op_rows *rows, PyObject *(*show)(op_row *))
{
    PyObject *list = PyList_New((Py_ssize_t)rows->n);
    for (size_t i = 0; list && i < rows->n; i++) {
        PyObject *row = show(&rows->ptr[i]);
        if (!row)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, row);
    }
    return list;
}

/* Shows ids, so it closes the open change. */
PyObject *ckpy_datastore_conflicts(PyObject *op, PyObject *key)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_store_key k;
    const ckv_shown_ops *ops;
    op_rows rows = {0};
    if (ckpy_key_arg(d->state, key, &k) < 0 || ckpy_datastore_settle(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock); /* anybody may have put any number of values */
    ckv_status s = ckv_datastore_conflicts(d->core, k, &ops);
    ckpy_datastore_back(d, ts);
    if (s == CKV_OK) s = keep_rows(d, ops, &rows);
    if (s == CKV_ENOENT) s = CKV_OK; /* absent */
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0 ? list_of(&rows, conflict) : NULL;
    rows_fini(&rows);
    return result;
}

/* Rows that say who wrote what; an open write has no id yet. Closes nothing. */
static PyObject *who_wrote(PyObject *op, PyObject *key,
                           ckv_status (*look)(ckv_datastore *, ckv_store_key,
                                              const ckv_shown_ops **))
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_store_key k;
    const ckv_shown_ops *ops;
    op_rows rows = {0};
    if (ckpy_key_arg(d->state, key, &k) < 0 || ckpy_datastore_begin(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    ckv_status s = look(d->core, k, &ops);
    ckpy_datastore_back(d, ts);
    if (s == CKV_OK) s = keep_rows(d, ops, &rows);
    if (s == CKV_ENOENT) s = CKV_OK;
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0 ? list_of(&rows, written) : NULL;
    rows_fini(&rows);
    return result;
}

PyObject *ckpy_datastore_history(PyObject *op, PyObject *key)
{
    return who_wrote(op, key, ckv_datastore_history);
}

PyObject *ckpy_datastore_values_of(PyObject *op, PyObject *key)
{
    return who_wrote(op, key, ckv_datastore_conflicts);
}

/* ---- news */

PyObject *ckpy_datastore_watch(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    const int on = PyObject_IsTrue(arg);
    if (on < 0) return NULL;
    ckpy_lock_get(&d->lock);
    d->watched = on;
    if (d->core) ckv_datastore_watch(d->core, on); /* when closed: a cancel() that comes late */
    ckpy_lock_put(&d->lock);
    Py_RETURN_NONE;
}

typedef struct event {
    PyObject *key; /* owned */
    ckpy_held sides[2];
    bool is_there[2];
    ckv_id32 author;
    bool is_local;
} event;

/* Under the lock. CKV_ENOENT: there is none. */
static ckv_status next_event(ckpy_datastore *d, event *out, size_t *n_bytes)
{
    ckv_kv_event e;
    *out = (event){0};
    CKV_TRY(ckv_datastore_next_event(d->core, &e));
    const ckv_value_bytes sides[2] = {e.old, e.new_};
    *n_bytes += e.old.n_bytes + e.new_.n_bytes;
    bool ok = (out->key = ckpy_key(e.key)) != NULL;
    for (int i = 0; ok && i < 2; i++)
        if ((out->is_there[i] = sides[i].ptr != NULL))
            ok = ckpy_hold(ckpy_bytes_of(sides[i]), &out->sides[i]);
    out->author = e.author;
    out->is_local = e.is_local;
    return ok ? CKV_OK : CKV_ENOMEM;
}

/* (key, old, new, author, is_local); lets go of what the event holds. */
static PyObject *told(ckpy_state *st, event *e)
{
    PyObject *sides[2] = {NULL, NULL}, *row = NULL, *author = ckpy_id(&e->author);
    for (int i = 0; i < 2; i++)
        sides[i] = e->is_there[i] ? ckpy_held_value(&e->sides[i])
                                  : Py_NewRef(st->MISSING ? st->MISSING : Py_None);
    if (e->key && author && sides[0] && sides[1])
        row = PyTuple_Pack(5, e->key, sides[0], sides[1], author, e->is_local ? Py_True : Py_False);
    Py_XDECREF(e->key);
    Py_XDECREF(author);
    Py_XDECREF(sides[0]);
    Py_XDECREF(sides[1]);
    return row;
}

PyObject *ckpy_datastore_take_news(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    event *events = PyMem_RawCalloc(NEWS, sizeof *events);
    size_t n = 0, n_bytes = 0;
    ckv_status s = CKV_OK;
    if (!events) return PyErr_NoMemory();
    ckpy_lock_get(&d->lock);
    while (d->core && n < NEWS && n_bytes < NEWS_BYTES &&
           (s = next_event(d, &events[n], &n_bytes)) == CKV_OK)
        n++;
    n += s != CKV_OK && s != CKV_ENOENT; /* half an event */
    ckpy_lock_put(&d->lock);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; i < n; i++) {
        PyObject *row = told(d->state, &events[i]);
        if (list && (!row || PyList_Append(list, row) < 0)) Py_CLEAR(list);
        Py_XDECREF(row);
    }
    PyMem_RawFree(events);
    if (!list && !PyErr_Occurred()) PyErr_NoMemory(); /* for half an event */
    return list;
}

/* ---- figures */

/* Adds what one DAG has. */
static ckv_status add_figures(ckv_doc *doc, ckv_stats *sum)
{
    ckv_stats t;
    CKV_TRY(ckv_doc_stats(doc, &t));
    sum->lanes += t.lanes;
    sum->branches += t.branches;
    sum->heads += t.heads;
    sum->voids += t.voids;
    sum->void_bytes += t.void_bytes;
    sum->waiting += t.waiting;
    sum->later += t.later;
    sum->waiting_bytes += t.waiting_bytes;
    sum->waiting_limit += t.waiting_limit;
    sum->evicted += t.evicted;
    sum->refused += t.refused;
    sum->equivocations += t.equivocations;
    sum->verified += t.verified;
    sum->signatures += t.signatures;
    return CKV_OK;
}

/* Keys are counted one by one: a display does without. */
static PyObject *stats_of(ckpy_datastore *d, bool count_keys)
{
    ckv_stats sum = {0};
    ckv_datastore_stats t = {0};
    uint64_t n_keys = 0;
    if (ckpy_datastore_begin(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    ckv_status s = ckv_datastore_figures(d->core, &t);
    if (s == CKV_OK && count_keys) s = ckv_datastore_len(d->core, &n_keys);
    for (uint32_t i = 0; s == CKV_OK && i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.doc) s = add_figures(dag.doc, &sum);
    }
    ckpy_datastore_back(d, ts);
    if (ckpy_datastore_end(d, s, NULL) < 0) return NULL;
    const ckpy_figure rows[] = {
        {"keys", n_keys},
        {"dags", t.dags},
        {"changes", t.changes},
        {"ops", t.ops},
        {"bodies", t.bodies},
        {"body_bytes", t.body_bytes},
        {"left_out", t.left_out},
        {"open_edits", t.open_edits},
        {"lanes", sum.lanes},
        {"branches", sum.branches},
        {"heads", sum.heads},
        {"void", sum.voids},
        {"void_bytes", sum.void_bytes},
        {"waiting", sum.waiting},
        {"later", sum.later},
        {"waiting_bytes", sum.waiting_bytes},
        {"waiting_limit", sum.waiting_limit},
        {"evicted", sum.evicted},
        {"refused", sum.refused},
        {"equivocations", sum.equivocations},
        {"verified", sum.verified},
        {"signatures", sum.signatures},
        {"index_runs", t.index_runs},
        {"index_bytes", t.index_bytes},
        {"memory", t.memory},
    };
    const size_t first = count_keys ? 0 : 1;
    return ckpy_figures(d->state, rows + first, sizeof rows / sizeof *rows - first);
}

PyObject *ckpy_datastore_stats(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return stats_of(DATASTORE(op), true);
}

PyObject *ckpy_datastore_glance(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return stats_of(DATASTORE(op), false);
}
