/* obj_datastore.c -- Datastore: life, the doors to it, closing changes. What it does as a mapping is in obj_datastore_map.c, queries are in obj_query.c, batches in
 * obj_batch.c, counters in obj_datastore_counter.c, messages in datastore_exchange.c, manners in crdtkv/datastore.py.
 */
#include "py/datastore.h"
#include "py/show.h"

#include <structmember.h>

/* ---- life */

/* A new core, out of its file if there is one. */
static int fill(ckpy_datastore *self, const ckv_id32 *id, int64_t object, bool compliance,
                bool verify, bool salvage)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    char why[256] = "";
    ckv_datastore_options options = {.env = &env,
                                     .identity = &((ckpy_identity *)self->identity)->core,
                                     .object = object,
                                     .id = id,
                                     .compliance = compliance,
                                     .verify = verify,
                                     .salvage = salvage};
    if (self->file && !(options.file = ckpy_file_borrow(self->file))) return -1;
    ckv_datastore *core;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_datastore_open(&core, &options, why);
    Py_END_ALLOW_THREADS if (s == CKV_OK)
    {
        self->core = core;
        self->id = *ckv_datastore_id(core);
        return 0;
    }
    if (self->file) ckpy_file_give_back(self->file);
    if (s == CKV_ECORRUPT)
        PyErr_SetString(self->state->StoreError, why);
    else
        ckpy_raise(self->state, s, *why ? why : "no datastore could be made");
    return -1;
}

static PyObject *Datastore_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"identity", "id",      "file",  "object", "compliance",
                            "verify",   "salvage", "clock", NULL};
    PyObject *identity = Py_None, *id = Py_None, *file = Py_None, *clock = Py_None;
    long long object = 1;
    int compliance = 0, verify = 0, salvage = 0;
    ckv_id32 its_id;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|O$OOLpppO:Datastore", names, &identity, &id, &file,
                                     &object, &compliance, &verify, &salvage, &clock))
        return NULL;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st) return NULL;
    if (identity != Py_None && !PyObject_TypeCheck(identity, st->Identity))
        return PyErr_Format(PyExc_TypeError, "identity must be an Identity, not %.100s",
                            Py_TYPE(identity)->tp_name);
    if (clock != Py_None && !PyCallable_Check(clock))
        return PyErr_Format(PyExc_TypeError, "clock must be callable");
    if (id != Py_None && ckpy_id_arg(id, &its_id) < 0) return NULL;
    ckpy_file *of = NULL;
    if (file != Py_None && !(of = ckpy_file_arg(st, file))) return NULL;

    ckpy_datastore *self = DATASTORE(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->state = st;
    self->generation = ckpy_generation;
    self->clock = clock == Py_None ? NULL : Py_NewRef(clock);
    self->file = of ? (ckpy_file *)Py_NewRef((PyObject *)of) : NULL;
    if (!ckpy_lock_init(&self->lock))
        PyErr_NoMemory();
    else if (identity != Py_None)
        self->identity = Py_NewRef(identity);
    else
        self->identity = ckpy_call(st->FullIdentity ? st->FullIdentity : (PyObject *)st->Identity,
                                   "generate", NULL, NULL);
    if (!self->identity ||
        fill(self, id == Py_None ? NULL : &its_id, object, compliance, verify, salvage) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Under the lock: the core goes, and what hangs on it before. */
static void let_go(ckpy_datastore *self)
{
    while (self->dependents) {
        ckpy_dependent *link = self->dependents;
        ckpy_datastore_unlink(link);
        link->drop(link);
    }
    ckv_datastore *core = self->core;
    self->core = NULL;
    atomic_store(&self->is_closed, true);
    PyThreadState *ts = ckpy_lock_away(&self->lock);
    ckv_datastore_free(core);
    ckpy_datastore_back(self, ts);
    if (self->file) ckpy_file_give_back(self->file);
}

static int Datastore_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(DATASTORE(op)->file);
    Py_VISIT(DATASTORE(op)->identity);
    Py_VISIT(DATASTORE(op)->clock);
    Py_VISIT(DATASTORE(op)->watchers);
    Py_VISIT(DATASTORE(op)->observers);
    return 0;
}

static int Datastore_clear(PyObject *op)
{
    /* Identity and file stay: they cannot be part of a cycle, and whoever still holds the datastore may ask for them. */
    Py_CLEAR(DATASTORE(op)->clock);
    Py_CLEAR(DATASTORE(op)->watchers);
    Py_CLEAR(DATASTORE(op)->observers);
    return 0;
}

static void Datastore_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_datastore *self = DATASTORE(op);
    PyObject_GC_UnTrack(op);
    (void)Datastore_clear(op);
    if (self->core) {
        if (self->file && self->generation == ckpy_generation &&
            ckv_datastore_is_open(self->core)) {
            int64_t ms; /* the file outlives this object, and its user did write to it */
            uint32_t dag, change;
            (void)ckpy_now(NULL, &ms);
            PyThreadState *ts = ckpy_lock_away(&self->lock);
            const ckv_status s = ckv_datastore_commit(self->core, ms, NULL, 0, &dag, &change);
            ckpy_datastore_back(self, ts);
            (void)s; /* nobody is left to hear of it */
        }
        let_go(self);
    }
    Py_CLEAR(self->file);
    Py_CLEAR(self->identity);
    ckpy_lock_fini(&self->lock);
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- the doors */

int ckpy_datastore_gone(ckpy_datastore *d)
{
    ckpy_lock_put(&d->lock);
    ckpy_raise(d->state, CKV_ESTALE, "the database is closed, or this was deleted from it");
    return -1;
}

const char *ckpy_datastore_why_not(ckpy_datastore *d)
{
    if (d->file && ckv_file_is_read_only(d->file->core)) return "the file is open for reading only";
    if (d->generation == ckpy_generation) return NULL;
    if (d->file) return "this process was forked from the one that opened the file";
    ckv_datastore_leave_lanes(d->core); /* the parent goes on with them */
    d->generation = ckpy_generation;
    return NULL;
}

int ckpy_datastore_write_slow(ckpy_datastore *d)
{
    if (!d->core) return ckpy_datastore_gone(d);
    const char *why = ckpy_datastore_why_not(d);
    if (!why) return 0;
    ckpy_lock_put(&d->lock);
    PyErr_SetString(d->state->StoreError, why);
    return -1;
}

int ckpy_datastore_catch_up(ckpy_datastore *d)
{
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_absorb(d->core);
    ckpy_datastore_back(d, ts);
    return s == CKV_OK ? 0 : ckpy_datastore_end(d, s, NULL);
}

void ckpy_datastore_link(ckpy_datastore *d, ckpy_dependent *link)
{
    link->next = d->dependents;
    link->at = &d->dependents;
    if (link->next) link->next->at = &link->next;
    d->dependents = link;
}

void ckpy_datastore_unlink(ckpy_dependent *link)
{
    if (!link->at) return;
    *link->at = link->next;
    if (link->next) link->next->at = link->at;
    link->at = NULL;
}

static void raise_status(ckpy_datastore *d, ckv_status s, const char *why, PyObject *key)
{
    switch (s) {
    case CKV_ENOENT:
        if (key)
            PyErr_SetObject(PyExc_KeyError, key);
        else
            ckpy_raise(d->state, s, "it is not here");
        return;
    case CKV_ESTALE:
        PyErr_SetString(d->state->StaleHandleError, *why ? why : "the DAG was purged");
        return;
    case CKV_ERANGE:
        PyErr_SetString(PyExc_OverflowError, "the total of one author must fit 96 bits");
        return;
    case CKV_ELIMIT:
        ckpy_raise(d->state, s, "beyond what a datastore or a change may hold");
        return;
    case CKV_ECORRUPT: /* of what came from elsewhere the exchange says so itself */
        PyErr_SetString(d->state->StoreError, *why ? why : "the datastore is damaged");
        return;
    case CKV_OK:
    case CKV_ENOMEM:
    case CKV_ESIGN:
    case CKV_EVOID:
    case CKV_ELATER:
    case CKV_ESYNC:
    case CKV_EVALUE:
    case CKV_EDRIFT:
    case CKV_EDISK:
    case CKV_EFULL:
    case CKV_ELOCKED:
    case CKV_EALIEN:
    case CKV_ENEWER:
    case CKV_EFORKED:
    case CKV_EEXIST: break;
    }
    ckpy_raise(d->state, s, *why ? why : "the datastore could not be read or written");
}

/* Under the lock: is there something to tell, and does nobody do it yet? Then it is ours to do. */
static bool begin_telling(ckpy_datastore *d)
{
    if (!d->watched || d->telling || !d->core || !ckv_datastore_has_events(d->core)) return false;
    d->telling = true;
    return true;
}

/* Without the lock, after begin_telling. -1: observers raised. */
static int tell(ckpy_datastore *d)
{
    for (bool more = true; more;) {
        PyObject *told = ckpy_call((PyObject *)d, "_tell", NULL, NULL);
        ckpy_lock_get(&d->lock);
        d->telling = false;
        more = told && begin_telling(d);
        ckpy_lock_put(&d->lock);
        if (!told) return -1;
        Py_DECREF(told);
    }
    return 0;
}

int ckpy_datastore_end_slow(ckpy_datastore *d, ckv_status s, PyObject *key)
{
    char why[256] = "";
    if (s != CKV_OK && d->core) PyOS_snprintf(why, sizeof why, "%s", ckv_datastore_error(d->core));
    const bool ours = begin_telling(d);
    ckpy_lock_put(&d->lock);
    const int told = ours ? tell(d) : 0;
    if (s == CKV_OK) return told;
    if (told < 0) PyErr_Clear(); /* what failed is more urgent */
    raise_status(d, s, why, key);
    return -1;
}

/* Under the lock, which is let go of if it fails: closes the open change. */
static int close_change(ckpy_datastore *d, int64_t ms, const char *message, size_t n_bytes,
                        uint32_t *dag, uint32_t *change)
{
    if (ckpy_datastore_write_slow(d) < 0) return -1;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_commit(d->core, ms, message, n_bytes, dag, change);
    ckpy_datastore_back(d, ts);
    return s == CKV_OK ? 0 : ckpy_datastore_end(d, s, NULL);
}

/* The lock is held, and a change is open: *ms is the time to close it at. 1: none is open, the lock is held. */
static int find_time(ckpy_datastore *d, int64_t *ms)
{
    if (ckpy_datastore_begin(d) < 0) return -1;
    if (!ckv_datastore_is_open(d->core)) return 1;
    if (!d->clock) return ckpy_now(NULL, ms);
    ckpy_lock_put(&d->lock);
    if (ckpy_now(d->clock, ms) < 0 || ckpy_datastore_begin(d) < 0) return -1;
    return !ckv_datastore_is_open(d->core);
}

int ckpy_datastore_settle(ckpy_datastore *d)
{
    int64_t ms;
    uint32_t dag, change;
    const int found = find_time(d, &ms);
    if (found != 0) return found < 0 ? -1 : 0;
    return close_change(d, ms, NULL, 0, &dag, &change);
}

/* ---- arguments */

int ckpy_dag_arg(PyObject *op, ckpy_dag_name *out)
{
    *out = (ckpy_dag_name){0};
    if (!op) return 0;
    if (!PyUnicode_Check(op)) {
        PyErr_Format(PyExc_TypeError, "the name of a DAG is a str, not %.100s",
                     Py_TYPE(op)->tp_name);
        return -1;
    }
    if (ckpy_check_surrogates(op) < 0) return -1;
    out->ptr = PyUnicode_AsUTF8AndSize(op, &out->n_bytes);
    if (!out->ptr) return -1;
    if (out->n_bytes == 7 && memcmp(out->ptr, "default", 7) == 0) *out = (ckpy_dag_name){0};
    return 0;
}

ckv_status ckpy_dag_number(ckpy_datastore *d, ckpy_dag_name name, uint32_t *number)
{
    *number = 0;
    if (!name.ptr) return ckv_datastore_find_dag(d->core, "default", 7, false, number);
    return ckv_datastore_find_dag(d->core, name.ptr, (size_t)name.n_bytes, true, number);
}

int ckpy_message_arg(PyObject *op, const char **text, Py_ssize_t *n_bytes)
{
    *text = NULL;
    *n_bytes = 0;
    if (op == Py_None) return 0;
    if (!PyUnicode_Check(op)) {
        PyErr_Format(PyExc_TypeError, "message must be a str or None, not %.100s",
                     Py_TYPE(op)->tp_name);
        return -1;
    }
    *text = PyUnicode_AsUTF8AndSize(op, n_bytes);
    return *text ? 0 : -1;
}

/* ---- changes */

PyObject *ckpy_datastore_change(ckpy_datastore *d, uint32_t dag, uint32_t change)
{
    if (change == CKV_NO_CHANGE) Py_RETURN_NONE;
    if (ckpy_datastore_begin(d) < 0) return NULL;
    const uint32_t life = ckv_datastore_dag(d->core, dag).life;
    ckpy_lock_put(&d->lock);
    return ckpy_change_new(d->state, (PyObject *)d, dag, life, change);
}

static PyObject *Datastore_commit(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"message", NULL};
    ckpy_datastore *self = DATASTORE(op);
    PyObject *message = Py_None;
    const char *text;
    Py_ssize_t n_bytes;
    int64_t ms;
    uint32_t dag = 0, change = CKV_NO_CHANGE;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|O:commit", names, &message) ||
        ckpy_message_arg(message, &text, &n_bytes) < 0)
        return NULL;
    const int found = find_time(self, &ms);
    if (found < 0) return NULL;
    if (found == 0 && close_change(self, ms, text, (size_t)n_bytes, &dag, &change) < 0) return NULL;
    if (ckpy_datastore_end(self, CKV_OK, NULL) < 0) return NULL;
    return ckpy_datastore_change(self, dag, change);
}

/* For simulations: what replays draws nothing from the system. */
static PyObject *Datastore_seed(PyObject *op, PyObject *arg)
{
    ckpy_datastore *self = DATASTORE(op);
    ckv_id32 seed;
    if (ckpy_id_arg(arg, &seed) < 0 || ckpy_datastore_begin(self) < 0) return NULL;
    ckv_datastore_seed(self->core, seed.b);
    ckpy_lock_put(&self->lock);
    Py_RETURN_NONE;
}

/* For Database: its file is about to be closed. */
static PyObject *Datastore_drop(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *self = DATASTORE(op);
    ckpy_lock_get(&self->lock);
    if (self->core) let_go(self);
    ckpy_lock_put(&self->lock);
    Py_RETURN_NONE;
}

/* The same, and its rows go from the file. */
static PyObject *Datastore_erase(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *self = DATASTORE(op);
    if (ckpy_datastore_begin(self) < 0 || ckpy_datastore_write_slow(self) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&self->lock);
    const ckv_status s = ckv_datastore_erase(self->core);
    ckpy_lock_back(&self->lock, ts);
    if (s != CKV_OK) {
        (void)ckpy_datastore_end_slow(self, s, NULL);
        return NULL;
    }
    let_go(self);
    ckpy_lock_put(&self->lock);
    Py_RETURN_NONE;
}

static PyObject *Datastore_close(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *self = DATASTORE(op);
    ckpy_lock_get(&self->lock);
    const bool closed = !self->core;
    ckpy_lock_put(&self->lock);
    if (closed) Py_RETURN_NONE;
    if (ckpy_datastore_settle(self) < 0) return NULL;
    if (self->file && !ckv_file_is_read_only(self->file->core) &&
        !ckv_file_is_poisoned(self->file->core)) {
        PyThreadState *ts = ckpy_lock_away(&self->lock);
        const ckv_status s = ckv_datastore_flush(self->core);
        ckpy_datastore_back(self, ts);
        (void)s; /* what was not merged is read from the record next time */
    }
    let_go(self);
    ckpy_lock_put(&self->lock);
    Py_RETURN_NONE;
}

/* ---- properties */

static PyObject *Datastore_get_id(PyObject *op, void *closure)
{
    (void)closure;
    return ckpy_id(&DATASTORE(op)->id);
}

static PyObject *Datastore_repr(PyObject *op)
{
    ckpy_datastore *self = DATASTORE(op);
    const uint8_t *id = self->id.b;
    char hex[17];
    PyOS_snprintf(hex, sizeof hex, "%02x%02x%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3],
                  id[4], id[5], id[6], id[7]);
    uint32_t n_dags = 0;
    unsigned long long n = 0;
    ckpy_lock_get(&self->lock);
    const bool closed = !self->core;
    if (!closed) n_dags = ckv_datastore_n_dags(self->core);
    for (uint32_t i = 0; i < n_dags; i++) {
        const ckv_dag_info dag = ckv_datastore_dag(self->core, i);
        if (dag.doc) n += ckv_doc_n_changes(dag.doc);
    }
    ckpy_lock_put(&self->lock);
    if (closed) return PyUnicode_FromFormat("<Datastore %s: closed>", hex);
    return PyUnicode_FromFormat("<Datastore %s: %llu changes in %lu DAGs>", hex, n,
                                (unsigned long)n_dags);
}

/* ---- spec */

#define KV "\n\n>>> import crdtkv as ck\n>>> kv = ck.Datastore()\n"
#define AB                                                                                         \
    "\n\n>>> import crdtkv as ck\n>>> a = ck.Datastore()\n>>> b = "                                \
    "a.fork(ck.Identity.generate())\n"
#define FAST(f) (PyCFunction)(void (*)(void)) f

static PyMethodDef Datastore_methods[] = {
    CKPY_LOOK_METHODS(datastore),
    /* as a mapping */
    {"get", FAST(ckpy_datastore_get), METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\n"
     "The value of a key, `default` if it is not there." KV
     ">>> kv['a'] = 1\n>>> kv.get('a'), kv.get('z'), kv.get('z', 7)\n(1, None, 7)"},
    {"put", FAST(ckpy_datastore_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, /, key, value, dag='default')\n--\n\n"
     "Set a key, in the DAG of that name, which is made if it is not there; `kv[key] = value` is "
     "the same in the default one.\n\n"
     "Also an equal value is a change." KV
     ">>> kv.put('a', [1, {'b': None}])\n>>> kv['a']\n[1, {'b': None}]"},
    {"delete", FAST(ckpy_datastore_delete), METH_FASTCALL | METH_KEYWORDS,
     "delete($self, /, key, dag='default')\n--\n\n"
     "Remove a key; was it there?\n\n"
     "What is removed is what was seen here: a put that somebody made at the same time stays." KV
     ">>> kv['a'] = 1\n>>> kv.delete('a'), kv.delete('a')\n(True, False)"},
    {"size", ckpy_datastore_size, METH_O,
     "size($self, key, /)\n--\n\n"
     "The length of a value: bytes, of a str those of its UTF-8, of others those they are kept "
     "as. KeyError." KV
     ">>> kv['a'], kv['b'] = b'123', 'h\\u00e9'\n>>> kv.size('a'), kv.size('b')\n(3, 3)"},
    {"pop", FAST(ckpy_datastore_pop), METH_FASTCALL,
     "pop($self, key, /, *default)\n--\n\n"
     "Remove a key and return its value; the default if it is not there.\n\n"
     "KeyError without a default." KV
     ">>> kv['b'] = [2]\n>>> kv.pop('b'), kv.pop('b', 'gone')\n([2], 'gone')"},
    {"popitem", ckpy_datastore_popitem, METH_NOARGS,
     "popitem($self, /)\n--\n\n"
     "Remove the last key and return it with its value. KeyError: there is none." KV
     ">>> kv.update(a=1, b=2)\n>>> kv.popitem()\n('b', 2)"},
    {"setdefault", FAST(ckpy_datastore_setdefault), METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\n"
     "The value of a key, which is set to `default` if it is not there." KV
     ">>> kv.setdefault('z', 5), kv.setdefault('z', 6)\n(5, 5)"},
    {"clear", ckpy_datastore_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nRemove all keys, as a batch does. Counters stay." KV
     ">>> kv.update(a=1, b=2)\n>>> kv.clear()\n>>> len(kv)\n0"},
    {"_update", ckpy_datastore_update, METH_O,
     "_update($self, items, /)\n--\n\nSet the keys of a dict, as a batch does."},
    {"__reversed__", ckpy_datastore_reversed, METH_NOARGS,
     "__reversed__($self, /)\n--\n\nThe keys, the last one first."},
    {"query", FAST(ckpy_query_method), METH_FASTCALL | METH_KEYWORDS,
     "query($self, /, prefix=b'', *, keys_only=False, reverse=False, limit=None, offset=0, "
     "after=None, where=None)\n--\n\n"
     "Keys with their values, in key order, one after the other; nothing is read before the first "
     "is asked for.\n\n"
     "First those that begin with `prefix`; of these, those strictly beyond `after`, in the "
     "direction of travel (both match\n"
     "by bytes, keys of both types); of these, those with `where(key, value)`; without the first "
     "`offset`; `limit` of them.\n"
     "Goes on while others write: each key at most once, in order." KV
     ">>> kv.update({f'user/{n}': n for n in 'abcd'})\n"
     ">>> list(kv.query('user/', after='user/a', limit=2))\n"
     "[('user/b', 'b'), ('user/c', 'c')]\n"
     ">>> list(kv.query(keys_only=True, reverse=True, where=lambda key, value: value < 'c'))\n"
     "['user/b', 'user/a']"},
    {"_scan", FAST(ckpy_query_scan), METH_FASTCALL,
     "_scan($self, what, prefix, start, stop, reverse, /)\n--\n\n"
     "The keys (0), values (1) or both (2) of a range, one after the other."},
    {"_count", FAST(ckpy_query_count), METH_FASTCALL,
     "_count($self, prefix, start, stop, /)\n--\n\nHow many keys are in a range."},
    {"_totals", ckpy_query_totals, METH_O,
     "_totals($self, prefix, /)\n--\n\n(name, total) of each counter, by name."},
    {"batch", (PyCFunction)(void (*)(void))ckpy_batch_method, METH_VARARGS | METH_KEYWORDS,
     "batch($self, /, max_bytes=1048576, *, message=None)\n--\n\n"
     "Writes that nobody sees before they are written, as one change; see Batch.\n\n"
     "What comes to `max_bytes` is written before its end, so that a large one is several "
     "changes. Any number may be open." KV
     ">>> with kv.batch() as b:\n...     b.put('a', 1)\n...     b.increment('visits')\n"
     ">>> kv['a'], int(kv.counter('visits')), len(kv.changes())\n(1, 1, 1)"},
    {"counter", ckpy_counter_method, METH_O,
     "counter($self, name, /)\n--\n\n"
     "A counter, 0 if nobody has counted. Its name, a str or bytes, is apart from keys." KV
     ">>> likes = kv.counter('likes/42')\n>>> likes += 2\n>>> int(likes), 'likes/42' in kv\n"
     "(2, False)"},
    /* changes and their exchange */
    {"commit", (PyCFunction)(void (*)(void))Datastore_commit, METH_VARARGS | METH_KEYWORDS,
     "commit($self, /, message=None)\n--\n\n"
     "Close the open change, in which lone writes gather. None if there is nothing to close.\n\n"
     "In a file it is on the disk then. The open change is of one DAG: a write to another one "
     "closes it first." KV
     ">>> kv['a'] = 1\n>>> kv.commit('first').n_ops\n1\n>>> kv.commit() is None\nTrue"},
    {"_changes", FAST(ckpy_datastore_changes), METH_FASTCALL,
     "_changes($self, since, until, /)\n--\n\nThe list behind changes()."},
    {"export", (PyCFunction)(void (*)(void))ckpy_datastore_export, METH_VARARGS | METH_KEYWORDS,
     "export($self, /, since=(), until=None, *, prefix=None)\n--\n\n"
     "A bundle of the changes that `since` (ids, such as the heads of another replica) lacks.\n\n"
     "`until`: only what these ids hold (KeyError if one is not here). Unknown ids in `since` are "
     "ignored. Signs what no\nsignature covers yet. Closes the open change; without the GIL.\n\n"
     "`prefix`: for partial copies. Changes that write to no key or counter that begins with it "
     "come without their content,\n"
     "if that is over 48 bytes: the other one has the same heads and root, shows that part, and "
     "gets the rest in any later\nexchange without a prefix. Keeps nothing secret." AB
     ">>> a['x'] = 1\n>>> b.apply(a.export(b.heads)).applied == a.heads\nTrue"},
    {"save", ckpy_datastore_save, METH_NOARGS,
     "save($self, /)\n--\n\n"
     "The whole datastore as bytes, for Datastore.load(): the same as export()." KV
     ">>> kv['x'] = 1\n>>> dict(ck.Datastore.load(kv.save()))\n{'x': 1}"},
    {"apply", ckpy_datastore_apply, METH_O,
     "apply($self, data, /)\n--\n\n"
     "Take in a bundle; say what became of it. Any order, any number of times.\n\n"
     "What lacks ancestors waits. Bad items are skipped and reported, the rest lands. DecodeError "
     "for what is no bundle of\n"
     "this datastore: then nothing changes. Closes the open change; without the GIL." AB
     ">>> a['x'] = 1\n>>> b.apply(a.export())\n"
     "<Report 1 applied, 0 void, 0 waiting, 0 refused, 0 known>\n>>> b['x']\n1"},
    {"merge", ckpy_datastore_merge, METH_O,
     "merge($self, other, /)\n--\n\n"
     "Take in what another replica in this process has; other stays as it is." AB
     ">>> a['x'] = 1\n>>> bool(b.merge(a)), b['x']\n(True, 1)"},
    {"_equivocations", ckpy_datastore_equivocations, METH_NOARGS,
     "_equivocations($self, /)\n--\n\n(author, lane, seq, a, b) of each equivocation, sorted."},
    {"_proof", FAST(ckpy_datastore_proof), METH_FASTCALL,
     "_proof($self, author, lane, seq, a, b, /)\n--\n\nThe proof of an equivocation."},
    /* looking inside */
    {"_conflicts", ckpy_datastore_conflicts, METH_O,
     "_conflicts($self, key, /)\n--\n\n(change id, index, value) of each, the shown one first."},
    {"_history", ckpy_datastore_history, METH_O,
     "_history($self, key, /)\n--\n\n(is_put, value, author, change id, time), newest first."},
    {"_values_of", ckpy_datastore_values_of, METH_O,
     "_values_of($self, key, /)\n--\n\n(True, value, author, change id, time) of each, the shown "
     "one "
     "first; no id and time while its change is open. Closes nothing."},
    {"_glance", ckpy_datastore_glance, METH_NOARGS,
     "_glance($self, /)\n--\n\nThe figures of stats() but for `keys`, which it counts: soon, "
     "whatever the size."},
    {"stats", ckpy_datastore_stats, METH_NOARGS,
     "stats($self, /)\n--\n\n"
     "Counts and sizes, as a dict of ints. Counts the keys one by one.\n\n"
     "Of the `changes` in all `dags`, the `bodies` are here, of `body_bytes`; the others were "
     "`left_out`: dropped by compact(),\nor by whoever sent them, of which the next session "
     "brings those that matter.\n"
     "`open_edits` are in the open change. `index_runs` and `index_bytes`: where keys are found. "
     "Others as those of a Doc." KV
     ">>> kv['x'] = 1\n>>> kv.stats()['keys'], kv.stats()['dags'], kv.stats()['open_edits']\n"
     "(1, 1, 1)"},
    {"_watch", ckpy_datastore_watch, METH_O,
     "_watch($self, on, /)\n--\n\nShall writes leave news from now on?"},
    {"_take_news", ckpy_datastore_take_news, METH_NOARGS,
     "_take_news($self, /)\n--\n\n(key, old, new, author, is_local) of events that are to be "
     "told; [] when there are no more."},
    /* upkeep */
    {"dags", ckpy_datastore_dags, METH_NOARGS,
     "dags($self, /)\n--\n\n"
     "The DAGs by name, each with its heads. Purged ones are not among them. Closes the open "
     "change." KV ">>> kv.put('a', 1, dag='import')\n>>> [(name, len(heads)) for name, heads in "
     "kv.dags().items()]\n[('default', 0), ('import', 1)]"},
    {"purge", ckpy_datastore_purge, METH_O,
     "purge($self, dag, /)\n--\n\n"
     "Forget a DAG, here only; the number of changes that go. What they had superseded in others "
     "shows again.\n\n"
     "Its changes are refused from now on, until admit(). KeyError: there is none of this "
     "name." KV ">>> kv.put('a', 1, dag='import')\n>>> kv.purge('import'), 'a' in kv\n(1, False)"},
    {"admit", ckpy_datastore_admit, METH_O,
     "admit($self, dag, /)\n--\n\n"
     "Let the changes of a purged DAG come in again. KeyError: there is none of this name." KV
     ">>> kv.put('a', 1, dag='import')\n>>> copy, n = kv.fork(), kv.purge('import')\n"
     ">>> kv.admit('import')\n>>> bool(kv.merge(copy)), kv['a']\n(True, 1)"},
    {"compact", (PyCFunction)(void (*)(void))ckpy_datastore_compact, METH_VARARGS | METH_KEYWORDS,
     "compact($self, /, rewrite=False)\n--\n\n"
     "Drop the bodies of changes all of whose writes are superseded: {'before', 'after', "
     "'dropped'}, bytes and bodies.\n\n"
     "Nothing that is shown changes, nor heads and root; history() of what was dropped ends. With "
     "`compliance` nothing is\n"
     "dropped. `rewrite`: first puts this author's live values and parts of counters out of mostly "
     "dead bodies once more.\nWithout the GIL." KV
     ">>> for n in range(100):\n...     kv['a'] = 'x' * 100\n...     change = kv.commit()\n"
     ">>> kv.compact()['dropped'], kv['a'] == 'x' * 100\n(99, True)"},
    {"limit", (PyCFunction)(void (*)(void))ckpy_datastore_limit_authors,
     METH_VARARGS | METH_KEYWORDS,
     "limit($self, /, bytes_per_second, burst=None)\n--\n\n"
     "How much each other author may write here: so many bytes a second, and `burst` at once "
     "(None: those of a minute).\n\n"
     "What is beyond is refused with a LimitError in the report, and may come again later. A limit "
     "of this object, kept\nnowhere. None: no limit." KV
     ">>> kv.limit(10_000)\n>>> kv.limit(None)"},
    {"repair", ckpy_datastore_repair, METH_NOARGS,
     "repair($self, /)\n--\n\n"
     "Build what can be derived anew, from the changes; a Report, of nothing. Without the GIL." KV
     ">>> kv['a'] = 1\n>>> kv.repair()\n"
     "<Report 0 applied, 0 void, 0 waiting, 0 refused, 0 known>"},
    {"check", ckpy_datastore_check, METH_NOARGS,
     "check($self, /)\n--\n\n"
     "Hash every body, verify every signature, compare the index with the changes: a line for each "
     "finding. Without the GIL." KV ">>> kv['a'] = 1\n>>> kv.check()\n[]"},
    {"_purged", ckpy_datastore_purged, METH_NOARGS,
     "_purged($self, /)\n--\n\nThe names of DAGs that are purged, and not admitted since."},
    {"_refuse", ckpy_datastore_refuse, METH_O,
     "_refuse($self, dag, /)\n--\n\nPurge a DAG, also one of which nothing has come."},
    {"_waiting_bundle", ckpy_datastore_waiting_bundle, METH_NOARGS,
     "_waiting_bundle($self, /)\n--\n\nAll that waits, for a replica that takes its place."},
    {"_lost", ckpy_datastore_lost, METH_NOARGS,
     "_lost($self, /)\n--\n\nLines: what was lost, if it was opened to salvage."},
    {"_flush", ckpy_datastore_flush, METH_NOARGS,
     "_flush($self, /)\n--\n\nMerge what the index has in memory into the file."},
    {"_refresh", ckpy_datastore_refresh, METH_NOARGS,
     "_refresh($self, /)\n--\n\nTake in what another process has written to the file."},
    {"_close", Datastore_close, METH_NOARGS,
     "_close($self, /)\n--\n\n"
     "Close the open change and let go of the file. Later uses raise StaleHandleError."},
    {"_erase", Datastore_erase, METH_NOARGS,
     "_erase($self, /)\n--\n\nDelete it from its file, and let go of that."},
    {"_drop", Datastore_drop, METH_NOARGS,
     "_drop($self, /)\n--\n\nLet go of the file, whatever is open."},
    {"_seed", Datastore_seed, METH_O,
     "_seed($self, seed, /)\n--\n\n"
     "From now on the nonces of lanes follow from 32 bytes: for simulations, which replay."},
    {NULL, NULL, 0, NULL},
};

static PyObject *Datastore_get_version(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_datastore *self = DATASTORE(op);
    if (ckpy_datastore_begin(self) < 0) return NULL;
    const uint32_t n_dags = ckv_datastore_n_dags(self->core);
    uint64_t n = n_dags;
    for (uint32_t i = 0; i < n_dags; i++) {
        const ckv_dag_info dag = ckv_datastore_dag(self->core, i);
        n += dag.life;
        if (dag.doc) n += ckv_doc_n_changes(dag.doc) + ckv_doc_later_version(dag.doc);
    }
    const bool is_open = ckv_datastore_is_open(self->core);
    ckpy_lock_put(&self->lock);
    return PyLong_FromUnsignedLongLong(2 * n + is_open);
}

static PyObject *Datastore_is_read_only(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_datastore *self = DATASTORE(op);
    if (ckpy_datastore_begin(self) < 0) return NULL;
    const bool is_read_only = self->file && ckv_file_is_read_only(self->file->core);
    ckpy_lock_put(&self->lock);
    return PyBool_FromLong(is_read_only);
}

static PyObject *Datastore_get_n_admitted(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_datastore *self = DATASTORE(op);
    if (ckpy_datastore_begin(self) < 0) return NULL;
    const uint64_t n = ckv_datastore_n_admitted(self->core);
    ckpy_lock_put(&self->lock);
    return PyLong_FromUnsignedLongLong(n);
}

static PyGetSetDef Datastore_getset[] = {
    {"_n_admitted", Datastore_get_n_admitted, NULL,
     "How often a DAG that was purged was admitted, since this object was opened.", NULL},
    {"_is_read_only", Datastore_is_read_only, NULL, "Does it live in a file that is read only?",
     NULL},
    {"_version", Datastore_get_version, NULL,
     "A number that is another one when there is something to tell others; odd while a change is "
     "open.",
     NULL},
    {"id", Datastore_get_id, NULL, "The 32-byte id of the datastore, the same on all replicas.",
     NULL},
    {"heads", ckpy_datastore_get_heads, NULL,
     "The version: a sorted tuple of the ids of the changes that none builds on, of all DAGs. "
     "Closes the open change.",
     NULL},
    {"root", ckpy_datastore_get_root, NULL,
     "A 32-byte digest of the set of changes, to compare out of band. Closes the open change.",
     NULL},
    {"waiting", ckpy_datastore_get_waiting, NULL,
     "Sorted tuple of the ids of changes whose ancestors are not here.", NULL},
    {"missing", ckpy_datastore_get_missing, NULL,
     "Sorted tuple of the ids that the waiting changes wait for.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Datastore_members[] = {
    {"identity", T_OBJECT_EX, offsetof(ckpy_datastore, identity), READONLY,
     "The Identity that signs this replica's changes."},
    {"_file", T_OBJECT, offsetof(ckpy_datastore, file), READONLY, "The file it is in, or None."},
    {"_clock", T_OBJECT, offsetof(ckpy_datastore, clock), READONLY,
     "The clock it was given, or None."},
    {"_watchers", T_OBJECT, offsetof(ckpy_datastore, watchers), 0,
     "Who is told of equivocations, or None."},
    {"_observers", T_OBJECT, offsetof(ckpy_datastore, observers), 0,
     "Who is told of keys, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Datastore_slots[] = {
    {Py_tp_doc,
     "Datastore(identity=None, *, id=None, file=None, object=1, compliance=False, verify=False, "
     "clock=None)\n--\n\n"
     "One replica of a datastore, the part in C; crdtkv.Datastore has the manners."},
    {Py_tp_new, Datastore_new},
    {Py_tp_dealloc, Datastore_dealloc},
    {Py_tp_traverse, Datastore_traverse},
    {Py_tp_clear, Datastore_clear},
    {Py_tp_repr, Datastore_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, ckpy_datastore_iter},
    {Py_tp_methods, Datastore_methods},
    {Py_tp_getset, Datastore_getset},
    {Py_tp_members, Datastore_members},
    {Py_nb_bool, ckpy_datastore_bool},
    {Py_mp_length, ckpy_datastore_length},
    {Py_mp_subscript, ckpy_datastore_subscript},
    {Py_mp_ass_subscript, ckpy_datastore_ass_subscript},
    {Py_sq_contains, ckpy_datastore_contains},
    {0, NULL},
};

PyType_Spec ckpy_datastore_spec = {
    .name = "crdtkv._core.Datastore",
    .basicsize = sizeof(ckpy_datastore),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Datastore_slots,
};
