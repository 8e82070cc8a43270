/* obj_store.c -- Store: life, the doors to it, the clock, figures. What it does as a mapping is in obj_store_map.c, scans are in obj_scan.c,
 * transactions in obj_txn.c, messages in store_exchange.c, what observers hear in store_news.c, manners in crdtkv/store.py.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/file.h"
#include "py/kept.h"
#include "py/store.h"

#include <structmember.h>
#include <time.h>

/* ---- life */

/* The whole id, or its 8 random bytes alone. */
static int incarnate(ckpy_store *self, PyObject *arg)
{
    uint8_t id[CKV_MAX_PEER_NAME + CKV_INCARNATION];
    PyObject *data = ckpy_bytes_arg(arg, "incarnation");
    if (!data) return -1;
    const char *ptr = PyBytes_AS_STRING(data);
    const size_t n = (size_t)PyBytes_GET_SIZE(data);
    const ckv_store_key name = ckv_store_name(self->core);
    ckv_status s;
    if (n == CKV_INCARNATION - 1) {
        if (name.n_bytes) memcpy(id, name.ptr, name.n_bytes);
        id[name.n_bytes] = '/';
        memcpy(id + name.n_bytes + 1, ptr, n);
        s = ckv_store_incarnate(self->core, id, name.n_bytes + CKV_INCARNATION);
    } else {
        s = ckv_store_incarnate(self->core, ptr, n);
    }
    Py_DECREF(data);
    if (s == CKV_OK) return 0;
    ckpy_raise(self->state, s, "incarnation must be the peer's name, b'/' and 8 bytes, or those 8");
    return -1;
}

/* A new core, out of a save if there is one. */
static int fill(ckpy_store *self, PyObject *peer_id, PyObject *save)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    ckv_store_key name;
    if (peer_id != Py_None) {
        if (!PyUnicode_Check(peer_id) && !PyBytes_Check(peer_id)) {
            PyErr_Format(PyExc_TypeError, "peer_id must be str or bytes, not %.100s",
                         Py_TYPE(peer_id)->tp_name);
            return -1;
        }
        if (ckpy_key_arg(self->state, peer_id, &name) < 0) return -1;
        if (name.n_bytes > CKV_MAX_PEER_NAME) {
            ckpy_raise(self->state, CKV_ELIMIT, "peer_id is at most 255 bytes long");
            return -1;
        }
    }
    if (save == Py_None) {
        const ckv_status s = ckv_store_new(&self->core, &env, name);
        if (s == CKV_OK) return 0;
        self->core = NULL;
        ckpy_raise(self->state, s, "no store could be made");
        return -1;
    }
    PyObject *data = ckpy_bytes_arg(save, "a save");
    if (!data) return -1;
    const ckv_bytes bytes = {(const uint8_t *)PyBytes_AS_STRING(data),
                             (size_t)PyBytes_GET_SIZE(data)};
    ckv_err err = {0};
    ckv_status s;
    ckv_store *core;
    Py_BEGIN_ALLOW_THREADS s =
        ckv_store_load(&core, &env, bytes, peer_id == Py_None ? NULL : &name, &err);
    Py_END_ALLOW_THREADS Py_DECREF(data);
    if (s != CKV_OK) {
        ckpy_raise_err(self->state, s, &err, "not the save of a store");
        return -1;
    }
    self->core = core;
    return 0;
}

static PyObject *Store_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    PyObject *peer_id, *clock, *drift, *incarnation, *save = Py_None;
    if (kw && PyDict_GET_SIZE(kw) > 0) {
        PyErr_SetString(PyExc_TypeError, "_core.Store takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOOO|O:Store", &peer_id, &clock, &drift, &incarnation, &save))
        return NULL;
    if (peer_id == Py_None && save == Py_None) {
        PyErr_SetString(PyExc_TypeError, "peer_id must be str or bytes, not NoneType");
        return NULL;
    }
    ckpy_state *st = ckpy_state_of(tp);
    if (!st) return NULL;
    if (clock != Py_None && !PyCallable_Check(clock)) {
        PyErr_SetString(PyExc_TypeError, "clock must be callable");
        return NULL;
    }
    unsigned long long ms = CKV_NO_DRIFT;
    if (drift != Py_None) {
        ms = PyLong_AsUnsignedLongLong(drift);
        if (ms == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    }
    ckpy_store *self = STORE(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->face.store = self;
    self->state = st;
    self->generation = ckpy_generation;
    self->drift = ms;
    self->clock = clock == Py_None ? NULL : Py_NewRef(clock);
    if (!ckpy_lock_init(&self->lock)) PyErr_NoMemory();
    if (PyErr_Occurred() || fill(self, peer_id, save) < 0 ||
        (incarnation != Py_None && incarnate(self, incarnation) < 0)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int Store_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(STORE(op)->clock);
    Py_VISIT(STORE(op)->observers);
    return 0;
}

static int Store_clear(PyObject *op)
{
    Py_CLEAR(STORE(op)->clock);
    Py_CLEAR(STORE(op)->observers);
    return 0;
}

static void Store_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_store *self = STORE(op);
    PyObject_GC_UnTrack(op);
    (void)Store_clear(op);
    ckpy_store_let_go(self);
    if (self->core) ckv_store_free(self->core);
    ckpy_lock_fini(&self->lock);
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- the doors */

int ckpy_begin_slow(ckpy_face *f, bool to_write)
{
    ckpy_store *s = f->store;
    if (s->closed) {
        ckpy_lock_put(&s->lock);
        ckpy_raise(s->state, CKV_ESTALE, "the database is closed, or this was deleted from it");
        return -1;
    }
    if (to_write && s->file && s->open == f->txn && ckpy_store_may_write(s) < 0) return -1;
    if (to_write && s->generation != ckpy_generation) { /* the parent keeps the incarnation */
        ckv_store_renew(s->core);
        s->generation = ckpy_generation;
    }
    if (s->open == f->txn) return 0;
    ckpy_lock_put(&s->lock);
    if (f->txn)
        ckpy_raise(s->state, CKV_ESTALE, "the transaction is over");
    else
        PyErr_SetString(PyExc_RuntimeError,
                        "not possible while a transaction of this store is open");
    return -1;
}

int ckpy_write_raise(ckpy_store *s, ckv_status status, PyObject *key)
{
    if (status == CKV_ENOENT)
        PyErr_SetObject(PyExc_KeyError, key);
    else
        ckpy_store_raise(s, status,
                         status == CKV_ELIMIT ? "the clock is at its end"
                                              : "the store could not write");
    return -1;
}

int ckpy_store_tell(ckpy_store *s)
{
    for (;;) {
        ckpy_lock_get(&s->lock);
        const bool go = s->watched && !s->telling && ckv_store_news(s->core)->len > 0;
        if (go) s->telling = true;
        ckpy_lock_put(&s->lock);
        if (!go) return 0;
        PyObject *told = ckpy_call((PyObject *)s, "_tell", NULL, NULL);
        ckpy_lock_get(&s->lock);
        s->telling = false;
        ckpy_lock_put(&s->lock);
        if (!told) return -1;
        Py_DECREF(told);
    }
}

/* ---- the clock */

static uint64_t system_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int ask_clock(ckpy_store *s, uint64_t *ms)
{
    PyObject *clock = Py_NewRef(s->clock), *now = PyObject_CallNoArgs(clock);
    Py_DECREF(clock);
    if (!now) return -1;
    int overflow = 0, result = -1;
    if (!PyLong_Check(now)) {
        PyErr_Format(PyExc_TypeError, "clock() must return an int of milliseconds, not %.100s",
                     Py_TYPE(now)->tp_name);
    } else {
        const long long v = PyLong_AsLongLongAndOverflow(now, &overflow);
        if (overflow || v < 0 || (uint64_t)v > CKV_MAX_MS) {
            PyErr_Format(PyExc_ValueError, "clock() must return 0 to 2**48 - 2, not %R", now);
        } else {
            *ms = (uint64_t)v;
            result = 0;
        }
    }
    Py_DECREF(now);
    return result;
}

int ckpy_store_now(ckpy_store *s, uint64_t *ms)
{
    if (s->clock) return ask_clock(s, ms);
    *ms = system_ms();
    return 0;
}

static PyObject *Store_next_hlc(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *self = STORE(op);
    uint64_t ms;
    if (ckpy_store_now(self, &ms) < 0) return NULL;
    if (ckpy_store_look(self) < 0) return NULL;
    const uint64_t hlc = ckv_store_next_hlc(self->core, ms);
    ckpy_lock_put(&self->lock);
    if (hlc == 0) return ckpy_raise(self->state, CKV_ELIMIT, "the clock is at its end");
    return PyLong_FromUnsignedLongLong(hlc);
}

static PyObject *Store_get_last_hlc(PyObject *op, void *closure)
{
    (void)closure;
    if (ckpy_store_look(STORE(op)) < 0) return NULL;
    const uint64_t hlc = ckv_store_clock(STORE(op)->core);
    ckpy_lock_put(&STORE(op)->lock);
    return PyLong_FromUnsignedLongLong(hlc);
}

/* ---- properties */

static PyObject *Store_get_peer_id(PyObject *op, void *closure)
{
    (void)closure;
    return ckpy_key(ckv_store_name(STORE(op)->core)); /* fixed for life */
}

static PyObject *Store_get_incarnation(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_store *self = STORE(op);
    if (ckpy_store_look(self) < 0) return NULL;
    const ckv_bytes id = ckv_store_incarnation(self->core);
    const bool is_ours = id.ptr && self->generation == ckpy_generation;
    PyObject *result =
        is_ours ? PyBytes_FromStringAndSize((const char *)id.ptr, (Py_ssize_t)id.n_bytes) : NULL;
    ckpy_lock_put(&self->lock);
    return is_ours ? result : Py_NewRef(Py_None);
}

static PyObject *Store_get_drift(PyObject *op, void *closure)
{
    (void)closure;
    const uint64_t drift = STORE(op)->drift;
    return drift == CKV_NO_DRIFT ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(drift);
}

static PyObject *Store_stats(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *self = STORE(op);
    if (ckpy_store_look(self) < 0) return NULL;
    const ckv_store_stats t = ckv_store_stats_of(self->core);
    ckpy_lock_put(&self->lock);
    const ckpy_figure rows[] = {
        {"keys", t.n_keys},
        {"values", t.n_values},
        {"hidden", t.n_hidden},
        {"peers", t.n_peers},
        {"runs", t.n_runs},
        {"waiting", t.n_waiting},
        {"waiting_bytes", t.waiting_bytes},
        {"key_bytes", t.key_bytes},
        {"value_bytes", t.value_bytes},
        {"tree_bytes", t.tree_bytes},
        {"index_bytes", t.index_bytes},
        {"cell_bytes", t.cell_bytes},
        {"memory", t.tree_bytes + t.index_bytes + t.cell_bytes + t.waiting_bytes},
    };
    return ckpy_figures(self->state, rows, sizeof rows / sizeof *rows);
}

static PyObject *Store_repr(PyObject *op)
{
    ckpy_store *self = STORE(op);
    ckpy_lock_get(&self->lock);
    const size_t n = ckv_store_len(self->core, false);
    ckpy_lock_put(&self->lock);
    PyObject *name = Store_get_peer_id(op, NULL);
    PyObject *result = name ? PyUnicode_FromFormat("<Store %R: %zu keys>", name, n) : NULL;
    Py_XDECREF(name);
    return result;
}

/* ---- spec */

#define PAIR "\n\n>>> import crdtkv as ck\n>>> a, b = ck.Store('phone'), ck.Store('laptop')\n"

PyDoc_STRVAR(insert_doc, "insert_with_op($self, key, value, /)\n--\n\n"
                         "Set a key and return the message that tells other replicas." PAIR
                         ">>> op = a.insert_with_op('x', 1)\n"
                         ">>> bool(b.integrate_op(op)), b['x']\n(True, 1)");
PyDoc_STRVAR(remove_doc, "remove_with_op($self, key, /)\n--\n\n"
                         "Remove a key and return the message that tells other replicas. KeyError: "
                         "it is not there." PAIR ">>> for op in a.insert_with_op('x', 1), "
                         "a.remove_with_op('x'):\n"
                         "...     report = b.integrate_op(op)\n"
                         ">>> len(b)\n0");
PyDoc_STRVAR(request_doc,
             "request_diff($self, /)\n--\n\n"
             "What this replica has, in short, so that another one can build what it lacks.\n\n"
             "Some bytes for each run of writes without a gap, whatever the number of keys." PAIR
             ">>> a['x'] = 1\n"
             ">>> diff = a.build_diff(b.request_diff())\n"
             ">>> bool(b.integrate_diff(diff)), b == a\n(True, True)");
PyDoc_STRVAR(build_doc, "build_diff($self, request, /)\n--\n\n"
                        "What the maker of a request lacks. DecodeError for what is no request.");
PyDoc_STRVAR(
    integrate_diff_doc,
    "integrate_diff($self, diff, /)\n--\n\n"
    "Take in what another replica built. Any order, any number of times.\n\n"
    "A part that does not fit what is here is left out and named in the report's `refused`: ask "
    "again. DecodeError:\nno diff; ClockDriftError: of a time too far ahead; then nothing "
    "changes.");
PyDoc_STRVAR(integrate_op_doc,
             "integrate_op($self, op, /)\n--\n\n"
             "Take in what insert_with_op(), remove_with_op() or commit_with_ops() returned.\n\n"
             "It waits if something from before is not here yet; a diff settles that. DecodeError, "
             "LimitError or\nClockDriftError: nothing changes.");
PyDoc_STRVAR(integrate_ops_doc,
             "integrate_ops($self, ops, /)\n--\n\n"
             "Take in many ops, in any order. If one is bad, none is taken." PAIR
             ">>> ops = [a.insert_with_op(n, n) for n in 'xyz']\n"
             ">>> bool(b.integrate_ops(reversed(ops))), list(b)\n(True, ['x', 'y', 'z'])");
PyDoc_STRVAR(
    opset_doc,
    "opset($self, /)\n--\n\n"
    "What this replica itself changed since the last opset(), as one message that can be merged "
    "with others." PAIR ">>> a['x'] = 1\n"
    ">>> first = a.opset()\n"
    ">>> a['y'] = 2\n"
    ">>> bool(b.integrate_opset(ck.Store.merge_opsets(first, a.opset()))), b == a\n(True, True)");
PyDoc_STRVAR(
    merge_doc,
    "merge_opsets($type, /, *opsets)\n--\n\n"
    "Op sets of any replicas as one. Order, grouping and repetition make no difference.\n\n"
    ">>> import crdtkv as ck\n"
    ">>> a, b = ck.Store(), ck.Store()\n"
    ">>> a['x'], b['y'] = 1, 2\n"
    ">>> x, y = a.opset(), b.opset()\n"
    ">>> ck.Store.merge_opsets(x, y) == ck.Store.merge_opsets(y, x, y)\nTrue");
PyDoc_STRVAR(integrate_opset_doc,
             "integrate_opset($self, opset, /)\n--\n\n"
             "Take in an op set: what follows on what is here; the rest waits. DecodeError, "
             "LimitError or ClockDriftError:\nnothing changes.");
PyDoc_STRVAR(
    advance_doc,
    "advance_request($type, request, diff, /)\n--\n\n"
    "The request that its maker would send after taking the diff in.\n\n"
    "Who keeps the last request of a known peer can go on sending it diffs without being asked, "
    "if none is lost." PAIR ">>> request = b.request_diff()\n"
    ">>> for n in range(3):\n"
    "...     a[str(n)] = n\n"
    "...     diff = a.build_diff(request)\n"
    "...     report = b.integrate_diff(diff)\n"
    "...     request = ck.Store.advance_request(request, diff)\n"
    ">>> a == b, request == b.request_diff()\n(True, True)");
PyDoc_STRVAR(index_size_doc, "index_size($self, /)\n--\n\n"
                             "How many bytes request_diff() takes.\n\n"
                             ">>> import crdtkv as ck\n"
                             ">>> s = ck.Store('me')\n"
                             ">>> s.update((str(n), n) for n in range(1000))\n"
                             ">>> s.index_size() == len(s.request_diff()) < 100\nTrue");
PyDoc_STRVAR(save_doc,
             "save($self, /)\n--\n\n"
             "The whole store as bytes, for Store.load(); without an open transaction.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> s = ck.Store()\n"
             ">>> s['x'] = [1, {'y': None}]\n"
             ">>> ck.Store.load(s.save()) == s\nTrue");
PyDoc_STRVAR(stats_doc,
             "stats($self, /)\n--\n\n"
             "Counts and sizes, as a dict of ints.\n\n"
             "`values` counts shown and `hidden` ones; `runs`: of writes without a gap, over all "
             "`peers`; `waiting`: messages\nthat came before what they follow on. Of the `memory`, "
             "`tree_bytes` are the ordered map, `index_bytes` what\nrequests are made of, "
             "`cell_bytes` the keys and values themselves.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> s = ck.Store()\n"
             ">>> s['x'] = 1\n"
             ">>> s.stats()['keys'], s.stats()['hidden']\n(1, 0)");

PyDoc_STRVAR(
    commit_doc,
    "commit($self, /)\n--\n\n"
    "Of a store in a Database: when this returns, what was written is on disk.\n\n"
    "Lone writes gather until then, until a transaction ends, a message goes out "
    "(request, diff, op, op set,\nsave, session) or the database is closed; 1,000 of them or "
    "256 KiB commit by themselves. StoreError: what was\nwritten since the last commit is "
    "gone. In memory: nothing to do.\n\n"
    ">>> import crdtkv as ck\n"
    ">>> with ck.Database(':memory:') as db:\n"
    "...     s = db.store('settings')\n"
    "...     s['x'] = 1\n"
    "...     s.commit()");

static PyMethodDef Store_methods[] = {
    {"insert_with_op", (PyCFunction)(void (*)(void))ckpy_store_insert_with_op, METH_FASTCALL,
     insert_doc},
    {"remove_with_op", ckpy_store_remove_with_op, METH_O, remove_doc},
    {"request_diff", ckpy_store_request_diff, METH_NOARGS, request_doc},
    {"build_diff", ckpy_store_build_diff, METH_O, build_doc},
    {"integrate_diff", ckpy_store_integrate_diff, METH_O, integrate_diff_doc},
    {"integrate_op", ckpy_store_integrate_op, METH_O, integrate_op_doc},
    {"integrate_ops", ckpy_store_integrate_ops, METH_O, integrate_ops_doc},
    {"opset", ckpy_store_opset, METH_NOARGS, opset_doc},
    {"merge_opsets", (PyCFunction)(void (*)(void))ckpy_store_merge_opsets,
     METH_CLASS | METH_FASTCALL, merge_doc},
    {"integrate_opset", ckpy_store_integrate_opset, METH_O, integrate_opset_doc},
    {"advance_request", (PyCFunction)(void (*)(void))ckpy_store_advance_request,
     METH_CLASS | METH_FASTCALL, advance_doc},
    {"index_size", ckpy_store_index_size, METH_NOARGS, index_size_doc},
    {"save", ckpy_store_save, METH_NOARGS, save_doc},
    {"stats", Store_stats, METH_NOARGS, stats_doc},
    {"commit", ckpy_store_commit, METH_NOARGS, commit_doc},
    {"_bind", (PyCFunction)(void (*)(void))ckpy_store_bind, METH_VARARGS | METH_KEYWORDS,
     "_bind($self, file, object, salvage=False)\n--\n\nLive in a file from now on; what of it was "
     "lost, a line each."},
    {"_unbind", ckpy_store_unbind, METH_NOARGS,
     "_unbind($self, /)\n--\n\nThe file is closed: every use raises StaleHandleError. Commits "
     "nothing."},
    {"_refresh", ckpy_store_refresh, METH_NOARGS,
     "_refresh($self, /)\n--\n\nOf a reader: take in what the file has by now."},
    {"_check", ckpy_store_check_record, METH_NOARGS,
     "_check($self, /)\n--\n\nRead the whole record again; a line for each finding."},
    {"_compact", ckpy_store_compact, METH_NOARGS,
     "_compact($self, /)\n--\n\nWrite the record anew, in one piece."},
    {"_next_hlc", Store_next_hlc, METH_NOARGS,
     "_next_hlc($self, /)\n--\n\nWhat the next put would get."},
    {"_conflicts", ckpy_conflicts_method, METH_O,
     "_conflicts($self, key, /)\n--\n\n(value, peer, hlc) of each, the shown one first."},
    {"_entries", ckpy_entries_method, METH_NOARGS,
     "_entries($self, /)\n--\n\n(key, value, peer, hlc) of each key, in order."},
    {"_watch", ckpy_store_watch, METH_O,
     "_watch($self, on, /)\n--\n\nShall writes leave news from now on?"},
    {"_take_news", ckpy_store_take_news, METH_NOARGS,
     "_take_news($self, /)\n--\n\n(key, old, new, author, is_local) of each event that is to be "
     "told."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Store_getset[] = {
    {"_is_bound", ckpy_store_is_bound, NULL, "Does it live in a file?", NULL},
    {"peer_id", Store_get_peer_id, NULL, "The name of this replica, for people.", NULL},
    {"incarnation", Store_get_incarnation, NULL,
     "Whom writes of now belong to: the name, b'/' and 8 random bytes. None before the first "
     "write.",
     NULL},
    {"_last_hlc", Store_get_last_hlc, NULL, "The greatest hlc issued or seen, 0: none.", NULL},
    {"_drift", Store_get_drift, NULL, "By how many ms others may be ahead; None: any.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Store_members[] = {
    {"_clock", T_OBJECT, offsetof(ckpy_store, clock), READONLY, "The clock it was given, or None."},
    {"_observers", T_OBJECT, offsetof(ckpy_store, observers), 0,
     "Who is told of changes, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Store_slots[] = {
    {Py_tp_doc, "Store(peer_id, clock, max_drift, incarnation, save=None, /)\n--\n\n"
                "A key-value store, the part in C; crdtkv.Store has the manners."},
    {Py_tp_new, Store_new},
    {Py_tp_dealloc, Store_dealloc},
    {Py_tp_traverse, Store_traverse},
    {Py_tp_clear, Store_clear},
    {Py_tp_repr, Store_repr},
    {Py_tp_methods, Store_methods},
    {Py_tp_getset, Store_getset},
    {Py_tp_members, Store_members},
    {0, NULL},
};

PyType_Spec ckpy_store_spec = {
    .name = "crdtkv._core.Store",
    .basicsize = sizeof(ckpy_store),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Store_slots,
};
