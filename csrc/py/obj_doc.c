/* obj_doc.c -- Doc: life, the doors to it, and the exchange of changes. The root map is in obj_map.c,
 * blocks in obj_block.c, what observers hear in news.c, manners in crdtkv/doc.py.
 *
 * Who waits for whom: the lock is held for the length of one call. A change() block is held by a thread from
 * __enter__ to __exit__ without the lock, in `owner`; edits and closing calls of others wait for its end on `gate`.
 * When a block ends, those who waited go first (`handoff`), so that a thread that opens block after block
 * cannot shut the others out.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/file.h"
#include "py/forge.h"
#include "py/kept.h"
#include "py/show.h"

#include <structmember.h>

#define DOC(op) ((ckpy_doc *)(op))

/* ---- life */

static PyObject *Doc_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"identity", "id", "clock", NULL};
    PyObject *identity = Py_None, *id = Py_None, *clock = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|O$OO:Doc", names, &identity, &id, &clock))
        return NULL;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st) return NULL;
    if (identity != Py_None && !PyObject_TypeCheck(identity, st->Identity)) {
        PyErr_Format(PyExc_TypeError, "identity must be an Identity, not %.100s",
                     Py_TYPE(identity)->tp_name);
        return NULL;
    }
    if (clock != Py_None && !PyCallable_Check(clock)) {
        PyErr_SetString(PyExc_TypeError, "clock must be callable");
        return NULL;
    }
    ckv_id32 doc_id;
    if (id != Py_None && ckpy_id_arg(id, &doc_id) < 0) return NULL;

    ckpy_doc *self = DOC(tp->tp_alloc(tp, 0));
    if (!self) return NULL;
    self->state = st;
    self->room = CKPY_LONE_BYTES;
    self->generation = ckpy_generation;
    self->clock = clock == Py_None ? NULL : Py_NewRef(clock);
    if (!ckpy_lock_init(&self->lock) || !(self->gate = PyThread_allocate_lock())) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    if (identity != Py_None)
        self->identity = Py_NewRef(identity);
    else
        self->identity = ckpy_call(st->FullIdentity ? st->FullIdentity : (PyObject *)st->Identity,
                                   "generate", NULL, NULL);
    if (!self->identity) {
        Py_DECREF(self);
        return NULL;
    }
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const ckv_status s = ckv_doc_new(&self->core, &env, &((ckpy_identity *)self->identity)->core,
                                     id == Py_None ? NULL : &doc_id);
    if (s != CKV_OK) {
        self->core = NULL;
        Py_DECREF(self);
        return ckpy_raise(st, s, "no document could be made");
    }
    return (PyObject *)self;
}

static int Doc_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(DOC(op)->identity);
    Py_VISIT(DOC(op)->clock);
    Py_VISIT(DOC(op)->watchers);
    Py_VISIT(DOC(op)->observers);
    Py_VISIT(DOC(op)->made);
    return 0; /* weak references of ours have no callbacks and hold nothing */
}

static int Doc_clear(PyObject *op)
{
    /* The identity stays: it cannot be part of a cycle, and whoever still holds the document may ask for it. */
    Py_CLEAR(DOC(op)->clock);
    Py_CLEAR(DOC(op)->watchers);
    Py_CLEAR(DOC(op)->observers);
    Py_CLEAR(DOC(op)->made);
    return 0;
}

static void Doc_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_doc *self = DOC(op);
    PyObject_GC_UnTrack(op);
    (void)Doc_clear(op);
    Py_CLEAR(self->identity);
    ckpy_news_free(self->news);
    for (size_t i = 0; i < self->n_handles; i++) Py_XDECREF(self->handles[i]);
    PyMem_Free(self->handles);
    ckpy_doc_let_go(self);
    if (self->core) ckv_doc_free(self->core);
    if (self->gate) {
        if (self->owner) PyThread_release_lock(self->gate);
        PyThread_free_lock(self->gate);
    }
    ckpy_lock_fini(&self->lock);
    tp->tp_free(op);
    Py_DECREF(tp);
}

/* ---- the doors */

int ckpy_doc_now(ckpy_doc *d, int64_t *ms) { return ckpy_now(d->clock, ms); }

ckv_status ckpy_doc_close(ckpy_doc *d, int64_t ms, const char *message, size_t n_bytes,
                          PyObject *origin, uint32_t *change)
{
    ckv_status s;
    if (ckpy_doc_is_forked(d)) return CKV_EFORKED;
    ckpy_doc_check_lane(d);
    if (!d->file && CKPY_LONE_BYTES - d->room < CKPY_LONG) {
        s = ckv_doc_commit(d->core, ms, message, n_bytes, change);
    } else {
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        s = ckv_doc_commit(d->core, ms, message, n_bytes, change);
        if (s == CKV_OK) ckv_doc_consolidate(d->core, false); /* another time, then */
        ckpy_lock_back(&d->lock, ts);
    }
    if (!ckv_doc_is_open(d->core)) { /* done, or dropped */
        d->room = ckpy_doc_limit(d);
        d->n_edits = 0;
        d->attention &= ~CKPY_FULL;
    }
    if (s == CKV_OK && d->watched) ckpy_doc_gather(d, origin);
    return s;
}

int ckpy_doc_await(ckpy_doc *d)
{
    if (d->closed) return ckpy_doc_is_closed(d);
    if (!(d->attention & (CKPY_IN_BLOCK | CKPY_HANDOFF))) return 0;
    const unsigned long me = PyThread_get_thread_ident();
    if (d->owner == me) return 0;
    const unsigned epoch = d->epoch;
    int result = 0;
    d->waiters++;
    /* Those who came before the last block ended (an older epoch) go before those who came after. */
    while (d->owner || (d->handoff && epoch == d->epoch)) {
        PyLockStatus got;
        ckpy_lock_put(&d->lock);
        Py_BEGIN_ALLOW_THREADS got = PyThread_acquire_lock_timed(d->gate, -1, 1);
        if (got == PY_LOCK_ACQUIRED) PyThread_release_lock(d->gate);
        Py_END_ALLOW_THREADS if (got == PY_LOCK_INTR && PyErr_CheckSignals() < 0) result = -1;
        ckpy_lock_get(&d->lock);
        if (result < 0) break;
    }
    d->waiters--;
    if (d->handoff && epoch != d->epoch && --d->handoff == 0) d->attention &= ~CKPY_HANDOFF;
    if (result < 0) ckpy_lock_put(&d->lock);
    return result == 0 && d->closed ? ckpy_doc_is_closed(d) : result;
}

/* Under the lock: closes the open change of lone edits. While a clock of Python's is asked, anything may happen.
 * -1: an exception, the lock is gone. */
static int close_lone(ckpy_doc *d)
{
    int64_t ms;
    if (d->clock) {
        ckpy_lock_put(&d->lock);
        if (ckpy_doc_now(d, &ms) < 0) return -1;
        ckpy_lock_get(&d->lock);
        if (ckpy_doc_await(d) < 0) return -1;
        if (d->owner || !ckv_doc_is_open(d->core)) return 0;
    } else {
        (void)ckpy_now(NULL, &ms);
    }
    uint32_t change;
    const ckv_status s = ckpy_doc_close(d, ms, NULL, 0, NULL, &change);
    if (s == CKV_OK) return 0;
    ckpy_lock_put(&d->lock);
    ckpy_doc_raise(d, s, "the open change could not be closed");
    return -1;
}

/* Must the open change of lone edits be closed before one more? */
static bool is_full(ckpy_doc *d)
{
    if (d->n_edits >= CKPY_KEPT_EDITS && ckv_doc_is_open(d->core)) return true;
    if (!(d->attention & CKPY_FULL)) return false;
    const ptrdiff_t open = (ptrdiff_t)ckv_doc_open_bytes(d->core), most = ckpy_doc_limit(d);
    if (open >= most - 4096) return true;
    d->room = most - open; /* our estimate was high */
    d->attention &= ~CKPY_FULL;
    return false;
}

int ckpy_edit_begin_slow(ckpy_doc *d)
{
    for (;;) {
        if (ckpy_doc_await(d) < 0 || (d->file && ckpy_doc_may_write(d) < 0)) return -1;
        if (d->owner || !is_full(d)) break;
        if (close_lone(d) < 0) return -1;
    }
    if (d->file) d->n_edits++;
    return 0;
}

PyObject *ckpy_doc_raise(ckpy_doc *d, ckv_status s, const char *what)
{
    return d->file && ckpy_is_of_file(s) ? ckpy_file_raise(d->file, s, what)
                                         : ckpy_raise(d->state, s, what);
}

PyObject *ckpy_doc_raise_err(ckpy_doc *d, ckv_status s, const ckv_err *err, const char *what)
{
    return d->file && ckpy_is_of_file(s) ? ckpy_file_raise(d->file, s, what)
                                         : ckpy_raise_err(d->state, s, err, what);
}

int ckpy_doc_is_closed(ckpy_doc *d)
{
    ckpy_lock_put(&d->lock);
    ckpy_raise(d->state, CKV_ESTALE, "the database is closed, or this was deleted from it");
    return -1;
}

int ckpy_edit_make_room(ckpy_doc *d)
{
    if (d->owner || !ckv_doc_is_open(d->core)) return 0;
    return close_lone(d) < 0 ? -1 : 1;
}

int ckpy_doc_settle(ckpy_doc *d, const char *what)
{
    ckpy_lock_get(&d->lock);
    for (;;) {
        if (ckpy_doc_await(d) < 0) return -1;
        if (d->owner) {
            ckpy_lock_put(&d->lock);
            PyErr_Format(PyExc_RuntimeError, "%s is not possible inside a change() block", what);
            return -1;
        }
        if (ckv_doc_is_open(d->core)) {
            if (close_lone(d) < 0) return -1;
            continue;
        }
        if (!(d->attention & CKPY_NEWS) || d->telling) return 0;
        ckpy_lock_put(&d->lock);
        if (ckpy_doc_tell(d) < 0) return -1;
        ckpy_lock_get(&d->lock);
    }
}

/* ---- properties */

static PyObject *Doc_get_id(PyObject *op, void *closure)
{
    (void)closure;
    return ckpy_id(ckv_doc_id(DOC(op)->core)); /* fixed for life */
}

static PyObject *Doc_get_heads(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_doc *self = DOC(op);
    if (ckpy_doc_settle(self, "heads") < 0) return NULL;
    size_t n;
    const uint32_t *heads = ckv_doc_heads(self->core, &n);
    ckv_id32 few[32], *ids = n <= 32 ? few : PyMem_RawMalloc(n * sizeof *ids);
    ckv_change_info info;
    for (size_t i = 0; ids && i < n; i++) {
        ckv_doc_change(self->core, heads[i], &info);
        ids[i] = *info.id;
    }
    ckpy_lock_put(&self->lock);
    PyObject *result = ids ? ckpy_id_tuple(ids, n) : PyErr_NoMemory();
    if (ids != few) PyMem_RawFree(ids);
    return result;
}

static PyObject *Doc_get_root(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_doc *self = DOC(op);
    if (ckpy_doc_settle(self, "root") < 0) return NULL;
    ckv_id32 root;
    const ckv_status s = ckv_doc_root(self->core, &root);
    ckpy_lock_put(&self->lock);
    return s == CKV_OK ? ckpy_id(&root) : ckpy_raise(self->state, s, "no root");
}

static PyObject *ids_of(ckpy_doc *self, ckv_status (*ask)(ckv_doc *, ckv_buf *))
{
    ckv_buf ids = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_look_begin(self) < 0) return NULL;
    const ckv_status s = ask(self->core, &ids);
    ckpy_lock_put(&self->lock);
    PyObject *result = s == CKV_OK ? ckpy_id_buf_tuple(&ids) : ckpy_raise(self->state, s, "no ids");
    ckv_buf_fini(&ids);
    return result;
}

static PyObject *Doc_get_version(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_doc *self = DOC(op);
    if (ckpy_look_begin(self) < 0) return NULL;
    const bool in_block = self->owner != 0;
    const uint64_t n = ckv_doc_n_changes(self->core) + ckv_doc_later_version(self->core);
    const bool is_open = ckv_doc_is_open(self->core);
    ckpy_lock_put(&self->lock);
    if (in_block) Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(2 * n + is_open);
}

static PyObject *Doc_get_waiting(PyObject *op, void *closure)
{
    (void)closure;
    return ids_of(DOC(op), ckv_doc_waiting);
}

static PyObject *Doc_get_missing(PyObject *op, void *closure)
{
    (void)closure;
    return ids_of(DOC(op), ckv_doc_missing);
}

/* ---- changes */

static PyObject *Doc_commit(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    ckpy_doc *self = DOC(op);
    PyObject *message = nargs > 0 ? args[0] : Py_None;
    if (nargs > 1 || kwnames) {
        if (nargs > 1 || PyTuple_GET_SIZE(kwnames) != 1 || nargs != 0 ||
            PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "message") != 0) {
            PyErr_SetString(PyExc_TypeError, "commit() takes one argument, message");
            return NULL;
        }
        message = args[0];
    }
    const char *text = NULL;
    Py_ssize_t n_bytes = 0;
    if (message != Py_None) {
        if (!PyUnicode_Check(message)) {
            PyErr_Format(PyExc_TypeError, "message must be a str or None, not %.100s",
                         Py_TYPE(message)->tp_name);
            return NULL;
        }
        if (!(text = PyUnicode_AsUTF8AndSize(message, &n_bytes))) return NULL;
    }
    int64_t ms = 0;
    bool asked = false;
    ckpy_lock_get(&self->lock);
    for (;;) {
        if (ckpy_doc_await(self) < 0) return NULL;
        if (self->owner) {
            ckpy_lock_put(&self->lock);
            PyErr_SetString(PyExc_RuntimeError, "commit is not possible inside a change() block");
            return NULL;
        }
        if (!ckv_doc_is_open(self->core)) {
            ckpy_lock_put(&self->lock);
            Py_RETURN_NONE;
        }
        if (asked) break;
        if (!self->clock) {
            (void)ckpy_now(NULL, &ms);
            break;
        }
        ckpy_lock_put(&self->lock);
        if (ckpy_doc_now(self, &ms) < 0) return NULL;
        asked = true;
        ckpy_lock_get(&self->lock);
    }
    uint32_t change = CKV_NO_CHANGE;
    const ckv_status s = ckpy_doc_close(self, ms, text, (size_t)n_bytes, NULL, &change);
    ckpy_lock_put(&self->lock);
    if (s != CKV_OK) return ckpy_doc_raise(self, s, "the change could not be closed");
    return ckpy_told(self, change == CKV_NO_CHANGE
                               ? Py_NewRef(Py_None)
                               : ckpy_change_new(self->state, op, CKPY_NO_DAG, 0, change));
}

static PyObject *Doc_change(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"message", "origin", NULL};
    PyObject *message = Py_None, *origin = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|OO:change", names, &message, &origin)) return NULL;
    return ckpy_block_new(DOC(op), message, origin);
}

/* (since=(), until=None) of changes and export. */
typedef struct range {
    ckv_id32 *since, *until; /* owned; until NULL: all */
    size_t n_since, n_until;
} range;

static int range_arg(PyObject *args, PyObject *kw, const char *format, range *r)
{
    static char *names[] = {"since", "until", NULL};
    PyObject *since = NULL, *until = Py_None;
    *r = (range){0};
    if (!PyArg_ParseTupleAndKeywords(args, kw, format, names, &since, &until)) return -1;
    if (since && ckpy_ids_arg(since, &r->since, &r->n_since) < 0) return -1;
    if (until != Py_None && ckpy_ids_arg(until, &r->until, &r->n_until) < 0) {
        PyMem_Free(r->since);
        return -1;
    }
    return 0;
}

static void range_fini(range *r)
{
    PyMem_Free(r->since);
    PyMem_Free(r->until);
}

static PyObject *Doc_changes(PyObject *op, PyObject *args, PyObject *kw)
{
    ckpy_doc *self = DOC(op);
    range r;
    if (range_arg(args, kw, "|OO:changes", &r) < 0) return NULL;
    PyObject *result = NULL;
    if (ckpy_doc_settle(self, "changes") == 0) {
        ckv_buf found = ckv_buf_init(ckv_alloc_libc);
        const ckv_status s =
            ckv_doc_select(self->core, r.since, r.n_since, r.until, r.n_until, &found);
        ckpy_lock_put(&self->lock);
        if (s != CKV_OK) {
            ckpy_raise(self->state, s, "no change of this id is here");
        } else {
            const uint32_t *numbers = (const uint32_t *)(const void *)found.ptr;
            const size_t n = found.len / sizeof *numbers;
            result = PyList_New((Py_ssize_t)n);
            for (size_t i = 0; result && i < n; i++) {
                PyObject *change = ckpy_change_new(self->state, op, CKPY_NO_DAG, 0, numbers[i]);
                if (!change)
                    Py_CLEAR(result);
                else
                    PyList_SET_ITEM(result, (Py_ssize_t)i, change);
            }
        }
        ckv_buf_fini(&found);
    }
    range_fini(&r);
    return result;
}

/* ---- exchange */

/* What `until` (NULL: all) holds and `since` lacks; closes the open change. */
static ckv_status export_range(ckpy_doc *self, const range *r, ckv_buf *out)
{
    PyThreadState *ts = ckpy_lock_away(&self->lock);
    const ckv_status s =
        ckv_doc_export(self->core, r->since, r->n_since, r->until, r->n_until, out);
    ckpy_lock_back(&self->lock, ts);
    return s;
}

static PyObject *export_bytes(ckpy_doc *self, const range *r, const char *what)
{
    if (ckpy_doc_settle(self, what) < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    const ckv_status s = export_range(self, r, &out);
    ckpy_lock_put(&self->lock);
    PyObject *result = s == CKV_OK
                           ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                           : ckpy_raise(self->state, s,
                                        s == CKV_ENOENT ? "no change of this id is here"
                                                        : "the changes could not be exported");
    ckv_buf_fini(&out);
    return result;
}

static PyObject *Doc_export(PyObject *op, PyObject *args, PyObject *kw)
{
    range r;
    if (range_arg(args, kw, "|OO:export", &r) < 0) return NULL;
    PyObject *result = export_bytes(DOC(op), &r, "export");
    range_fini(&r);
    return result;
}

static PyObject *Doc_save(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    const range all = {0};
    return export_bytes(DOC(op), &all, "save");
}

PyObject *ckpy_announced(PyObject *replica, PyObject *result)
{
    PyObject *type, *value, *trace; /* nobody goes without news because another one raised */
    PyErr_Fetch(&type, &value, &trace);
    PyObject *told = ckpy_call(replica, "_announce", NULL, NULL);
    if (!told) Py_CLEAR(result);
    Py_XDECREF(told);
    if (type) PyErr_Restore(type, value, trace);
    return result;
}

PyObject *ckpy_doc_took(ckpy_doc *d, PyObject *result)
{
    result = ckpy_told(d, result);
    return d->watchers ? ckpy_announced((PyObject *)d, result) : result;
}

/* Parses before it closes the open change: what is no bundle closes nothing. */
static PyObject *apply_bytes(ckpy_doc *self, const uint8_t *data, size_t n_bytes, const char *what)
{
    ckv_err err = {0};
    ckv_status s = CKV_OK;
    ckpy_lock_get(&self->lock);
    if (ckpy_doc_await(self) < 0) return NULL;
    if (!self->owner && ckv_doc_is_open(self->core)) {
        PyThreadState *ts = ckpy_lock_away(&self->lock);
        s = ckv_bundle_check(self->core, data, n_bytes, &err);
        ckpy_lock_back(&self->lock, ts);
    }
    ckpy_lock_put(&self->lock);
    if (s != CKV_OK) return ckpy_raise_err(self->state, s, &err, "not a bundle of this document");

    if (ckpy_doc_settle(self, what) < 0) return NULL;
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away(&self->lock);
    s = ckpy_doc_is_forked(self) ? CKV_EFORKED
                                 : ckv_doc_apply(self->core, data, n_bytes, &report, &err);
    if (s == CKV_OK) ckv_doc_consolidate(self->core, false);
    ckpy_lock_back(&self->lock, ts);
    if (self->watched) ckpy_doc_gather(self, NULL);
    ckpy_lock_put(&self->lock);
    PyObject *result = s == CKV_OK
                           ? ckpy_report_new(self->state, &report)
                           : ckpy_doc_raise_err(self, s, &err, "not a bundle of this document");
    ckv_report_fini(&report);
    return ckpy_doc_took(self, result);
}

static PyObject *Doc_apply(PyObject *op, PyObject *arg)
{
    PyObject *data = ckpy_bytes_arg(arg, "a bundle");
    if (!data) return NULL;
    PyObject *result = apply_bytes(DOC(op), (const uint8_t *)PyBytes_AS_STRING(data),
                                   (size_t)PyBytes_GET_SIZE(data), "apply");
    Py_DECREF(data);
    return result;
}

static PyObject *Doc_merge(PyObject *op, PyObject *arg)
{
    ckpy_doc *self = DOC(op);
    if (!PyObject_TypeCheck(arg, self->state->Doc)) {
        PyErr_Format(PyExc_TypeError, "merge() wants a Doc, not %.100s", Py_TYPE(arg)->tp_name);
        return NULL;
    }
    ckpy_doc *other = DOC(arg);
    if (!ckv_id32_eq(ckv_doc_id(self->core), ckv_doc_id(other->core))) /* fixed for life */
        return ckpy_raise_err(self->state, CKV_ECORRUPT, &(ckv_err){0},
                              "a replica of another document: the two were made separately; make "
                              "one from the other with fork(), save() and load(), or Doc(id=...)");
    if (ckpy_doc_settle(self, "merge") < 0) return NULL;
    ckpy_lock_put(&self->lock);
    /* Both at once for a look only. What other gets afterwards is merged, too; what self gets is known. */
    ckv_buf common = ckv_buf_init(ckv_alloc_libc), bundle = ckv_buf_init(ckv_alloc_libc);
    ckpy_lock_get_both(&self->lock, &other->lock);
    ckv_status s = ckv_doc_common(other->core, self->core, &common);
    ckpy_lock_put_both(&self->lock, &other->lock);
    PyObject *result = NULL;
    if (s != CKV_OK) {
        ckpy_raise(self->state, s, "the documents could not be compared");
    } else if (ckpy_doc_settle(other, "merge") == 0) {
        const range r = {.since = (ckv_id32 *)(void *)common.ptr, .n_since = common.len / 32};
        s = export_range(other, &r, &bundle);
        ckpy_lock_put(&other->lock);
        if (s == CKV_OK)
            result = apply_bytes(self, bundle.ptr, bundle.len, "merge");
        else
            ckpy_raise(self->state, s, "the changes could not be exported");
    }
    ckv_buf_fini(&common);
    ckv_buf_fini(&bundle);
    return result;
}

/* For tests and demonstrations: how a liar is made. */
static PyObject *Doc_go_on_with_lane(PyObject *op, PyObject *arg)
{
    ckpy_doc *self = DOC(op);
    ckv_id32 lane;
    if (ckpy_id_arg(arg, &lane) < 0) return NULL;
    if (ckpy_doc_settle(self, "_go_on_with_lane") < 0) return NULL;
    const ckv_status s = ckv_doc_go_on_with_lane(self->core, &lane);
    ckpy_lock_put(&self->lock);
    if (s != CKV_OK) return ckpy_raise(self->state, s, "no lane of this identity");
    Py_RETURN_NONE;
}

/* For simulations: what replays draws nothing from the system. */
static PyObject *Doc_seed(PyObject *op, PyObject *arg)
{
    ckpy_doc *self = DOC(op);
    ckv_id32 seed;
    if (ckpy_id_arg(arg, &seed) < 0) return NULL;
    ckpy_lock_get(&self->lock);
    ckv_doc_seed(self->core, seed.b);
    ckpy_lock_put(&self->lock);
    Py_RETURN_NONE;
}

static PyObject *Doc_equivocations(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_doc *self = DOC(op);
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_look_begin(self) < 0) return NULL;
    const ckv_status s = ckv_doc_equivocations(self->core, &found);
    ckpy_lock_put(&self->lock);
    PyObject *result =
        s == CKV_OK ? ckpy_equivocations(&found) : ckpy_raise(self->state, s, "no equivocations");
    ckv_buf_fini(&found);
    return result;
}

static PyObject *Doc_proof(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_doc *self = DOC(op);
    ckv_equivocation e;
    if (ckpy_equivocation_arg(args, nargs, &e) < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_look_begin(self) < 0) return NULL;
    const ckv_status s = ckv_doc_proof(self->core, &e, &out);
    ckpy_lock_put(&self->lock);
    PyObject *result = s == CKV_OK
                           ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                           : ckpy_raise(self->state, s, "no proof of this is here");
    ckv_buf_fini(&out);
    return result;
}

static PyObject *Doc_at(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 2) {
        PyErr_Format(PyExc_TypeError, "_at expected 1 or 2 arguments, got %zd", nargs);
        return NULL;
    }
    return ckpy_view_new(DOC(op), args[0], nargs > 1 ? args[1] : NULL);
}

static PyObject *Doc_stats(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_doc *self = DOC(op);
    ckv_stats t;
    if (ckpy_look_begin(self) < 0) return NULL;
    const ckv_status s = ckv_doc_stats(self->core, &t);
    ckpy_lock_put(&self->lock);
    if (s != CKV_OK) return ckpy_raise(self->state, s, "no figures");
    const ckpy_figure rows[] = {
        {"changes", t.changes},
        {"ops", t.ops},
        {"open_ops", t.open_ops},
        {"items", t.items},
        {"items_limit", t.items_limit},
        {"spans", t.spans},
        {"lanes", t.lanes},
        {"branches", t.branches},
        {"heads", t.heads},
        {"void", t.voids},
        {"void_bytes", t.void_bytes},
        {"waiting", t.waiting},
        {"later", t.later},
        {"waiting_bytes", t.waiting_bytes},
        {"waiting_limit", t.waiting_limit},
        {"lane_waiting", t.lane_waiting},
        {"lane_waiting_limit", t.lane_waiting_limit},
        {"peer_waiting", t.peer_waiting},
        {"peer_waiting_limit", t.peer_waiting_limit},
        {"evicted", t.evicted},
        {"refused", t.refused},
        {"tips", t.tips},
        {"tips_limit", t.tips_limit},
        {"equivocations", t.equivocations},
        {"verified", t.verified},
        {"signatures", t.signatures},
        {"memory", t.memory},
    };
    return ckpy_figures(self->state, rows, sizeof rows / sizeof *rows);
}

static PyObject *Doc_repr(PyObject *op)
{
    ckpy_doc *self = DOC(op);
    const uint8_t *id = ckv_doc_id(self->core)->b;
    char hex[17];
    PyOS_snprintf(hex, sizeof hex, "%02x%02x%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3],
                  id[4], id[5], id[6], id[7]);
    ckpy_lock_get(&self->lock);
    const size_t keys = ckv_map_len(self->core, CKV_ROOT);
    const uint32_t changes = ckv_doc_n_changes(self->core);
    ckpy_lock_put(&self->lock);
    return PyUnicode_FromFormat("<Doc %s: %zu keys, %lu changes>", hex, keys,
                                (unsigned long)changes);
}

/* ---- spec */

PyDoc_STRVAR(
    commit_doc,
    "commit($self, /, message=None)\n--\n\n"
    "Close the open change, in which lone edits gather. None if there is nothing to close.\n\n"
    "Costs a hash of the change; it is signed when it leaves the process.\n"
    "RuntimeError inside a change() block.\n\n"
    ">>> import crdtkv as ck\n"
    ">>> doc = ck.Doc()\n"
    ">>> doc['a'] = 1\n"
    ">>> doc.commit('first').seq\n"
    "0\n"
    ">>> doc.commit() is None\n"
    "True");
PyDoc_STRVAR(
    change_doc,
    "change($self, /, message=None, origin=None)\n--\n\n"
    "A block whose edits become one change, all or none: an exception undoes them and goes on.\n\n"
    "Inside another block it joins that one, and is undone to its own start. Lone edits from "
    "before\n"
    "are a change of their own. The block belongs to its thread: edits of other threads wait for "
    "its end,\n"
    "reads do not. Beyond 16 MiB: LimitError. `with` gives the document.\n\n"
    ">>> import crdtkv as ck\n"
    ">>> doc = ck.Doc()\n"
    ">>> with doc.change('both or none'):\n"
    "...     doc['from'] = 90\n"
    "...     doc['to'] = 10\n"
    ">>> doc.changes()[-1].n_ops\n"
    "2");
PyDoc_STRVAR(changes_doc,
             "_changes($self, /, since=(), until=None)\n--\n\nThe list behind changes().");
PyDoc_STRVAR(
    export_doc,
    "export($self, /, since=(), until=None)\n--\n\n"
    "A bundle of the changes that `since` (ids, such as the heads of another replica) lacks.\n\n"
    "`until`: only what these ids hold (KeyError if one is not here). Unknown ids in `since` are\n"
    "ignored. Signs what no signature covers yet. Closes the open change; without the GIL.\n\n"
    ">>> import crdtkv as ck\n"
    ">>> a = ck.Doc()\n"
    ">>> b = a.fork()\n"
    ">>> a['x'] = 1\n"
    ">>> b.apply(a.export(b.heads)).applied == a.heads\n"
    "True");
PyDoc_STRVAR(save_doc, "save($self, /)\n--\n\n"
                       "The whole document as bytes, for Doc.load(): the same as export().\n\n"
                       ">>> import crdtkv as ck\n"
                       ">>> doc = ck.Doc()\n"
                       ">>> doc['x'] = 1\n"
                       ">>> ck.Doc.load(doc.save()).to_py()\n"
                       "{'x': 1}");
PyDoc_STRVAR(apply_doc,
             "apply($self, data, /)\n--\n\n"
             "Take in a bundle; say what became of it. Any order, any number of times.\n\n"
             "What lacks ancestors waits. Bad items are skipped and reported, the rest lands. "
             "DecodeError for what\n"
             "is no bundle of this document: then nothing changes. Closes the open change; without "
             "the GIL.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> a = ck.Doc()\n"
             ">>> b = a.fork()\n"
             ">>> a['x'] = 1\n"
             ">>> b.apply(a.export())\n"
             "<Report 1 applied, 0 void, 0 waiting, 0 refused, 0 known>\n"
             ">>> b['x']\n"
             "1");
PyDoc_STRVAR(merge_doc,
             "merge($self, other, /)\n--\n\n"
             "Take in what another replica in this process has; other stays as it is.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> a = ck.Doc()\n"
             ">>> b = a.fork()\n"
             ">>> a['x'] = 1\n"
             ">>> bool(b.merge(a)), b['x']\n"
             "(True, 1)");
PyDoc_STRVAR(stats_doc,
             "stats($self, /)\n--\n\n"
             "Counts and sizes, as a dict of ints. What is bounded stands beside its bound, `x` "
             "beside `x_limit`.\n\n"
             "`waiting` and `later` count changes; `waiting_bytes` are the bytes of both, "
             "`lane_waiting` and\n"
             "`peer_waiting` those of the lane and of the peer that use most. `tips` is of the "
             "lane that has\n"
             "most. `evicted` (from what waits), `refused` and `verified` count since this object "
             "was made.\n"
             "`memory` and `void_bytes` are bytes.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> stats = ck.Doc().stats()\n"
             ">>> stats['changes'], stats['waiting_limit'], stats['tips'], stats['tips_limit']\n"
             "(0, 33554432, 0, 1024)");

PyDoc_STRVAR(
    get_doc,
    "get($self, key, default=None, /)\n--\n\nThe value of a key, `default` if it is not there.");
PyDoc_STRVAR(pop_doc,
             "pop($self, key, /, *default)\n--\n\n"
             "Remove a key and return its content, plain; the default if it is not there.\n\n"
             "KeyError without a default.");
PyDoc_STRVAR(
    setdefault_doc,
    "setdefault($self, key, default=None, /)\n--\n\n"
    "The value of a key, which is set to `default` if it is not there.\n\n"
    "A container that several replicas make so at the same time is one container; what is in\n"
    "`default` are ordinary edits of it, and add up.\n\n"
    ">>> import crdtkv as ck\n"
    ">>> doc = ck.Doc()\n"
    ">>> doc.setdefault('todo', []).append('milk')\n"
    ">>> doc.setdefault('todo', []).to_py()\n"
    "['milk']");
PyDoc_STRVAR(to_py_doc, "to_py($self, /)\n--\n\n"
                        "The content as a plain dict, keys in order of their bytes. Copies all.\n\n"
                        "Maps become dicts, Lists lists, Sets sets, Texts str and Counters int.\n\n"
                        ">>> import crdtkv as ck\n"
                        ">>> doc = ck.Doc()\n"
                        ">>> doc['t'] = ck.Text('hello')\n"
                        ">>> doc['items'] = [{'n': 1}]\n"
                        ">>> doc.to_py()\n"
                        "{'items': [{'n': 1}], 't': 'hello'}");

static PyMethodDef Doc_methods[] = {
    CKPY_LOOK_METHODS(doc),
    {"_some", ckpy_doc_some, METH_O, CKPY_SOME_DOC},
    {"commit", (PyCFunction)(void (*)(void))Doc_commit, METH_FASTCALL | METH_KEYWORDS, commit_doc},
    {"change", (PyCFunction)(void (*)(void))Doc_change, METH_VARARGS | METH_KEYWORDS, change_doc},
    {"_changes", (PyCFunction)(void (*)(void))Doc_changes, METH_VARARGS | METH_KEYWORDS,
     changes_doc},
    {"export", (PyCFunction)(void (*)(void))Doc_export, METH_VARARGS | METH_KEYWORDS, export_doc},
    {"save", Doc_save, METH_NOARGS, save_doc},
    {"apply", Doc_apply, METH_O, apply_doc},
    {"merge", Doc_merge, METH_O, merge_doc},
    {"stats", Doc_stats, METH_NOARGS, stats_doc},
    {"_go_on_with_lane", Doc_go_on_with_lane, METH_O,
     "_go_on_with_lane($self, lane, /)\n--\n\n"
     "The next change goes on with a lane of this identity. If another replica does so, too, it is "
     "lying:\nfor tests and demonstrations."},
    {"_seed", Doc_seed, METH_O,
     "_seed($self, seed, /)\n--\n\n"
     "From now on the nonces of lanes follow from 32 bytes: for simulations, which replay."},
    {"_open_body", ckpy_forge_open_body, METH_VARARGS,
     "_open_body($self, prev, parents, time, /)\n--\n\n"
     "(n_ops, body) that the open change would have behind these ids; parents are 32 bytes each."},
    {"_place_of", ckpy_forge_place_of, METH_O,
     "_place_of($self, change, /)\n--\n\n(lane, seq) of a change, None if it is not here."},
    {"_opening", ckpy_forge_opening, METH_O,
     "_opening($self, lane, /)\n--\n\n(author, nonce) of a lane, None if it is not here."},
    {"_lift_limits", ckpy_forge_lift_limits, METH_NOARGS,
     "_lift_limits($self, /)\n--\n\nFrom now on a lane may have any number of tips here, and "
     "edits may go beyond what others take."},
    {"_take_apart", ckpy_forge_take_apart, METH_O,
     "_take_apart($self, bundle, /)\n--\n\n"
     "(chain, lane, opening, id, header, form, body, signature) of each change, unchecked."},
    {"_bind", (PyCFunction)(void (*)(void))ckpy_doc_bind, METH_VARARGS | METH_KEYWORDS,
     "_bind($self, file, object, salvage=False)\n--\n\nLive in a file from now on; what of it was "
     "lost, a line each."},
    {"_unbind", ckpy_doc_unbind, METH_NOARGS,
     "_unbind($self, /)\n--\n\nThe file is closed: every use raises StaleHandleError. Commits "
     "nothing."},
    {"_refresh", ckpy_doc_refresh, METH_NOARGS,
     "_refresh($self, /)\n--\n\nOf a reader: take in what the file has by now."},
    {"_check", ckpy_doc_check_record, METH_NOARGS,
     "_check($self, /)\n--\n\nRead and verify the whole record again; a line for each finding."},
    {"_compact", ckpy_doc_compact, METH_NOARGS,
     "_compact($self, /)\n--\n\nWrite the record anew, in one piece."},
    {"_equivocations", Doc_equivocations, METH_NOARGS,
     "_equivocations($self, /)\n--\n\n(author, lane, seq, a, b) of each equivocation, sorted."},
    {"_proof", (PyCFunction)(void (*)(void))Doc_proof, METH_FASTCALL,
     "_proof($self, author, lane, seq, a, b, /)\n--\n\nThe proof of an equivocation."},
    {"_at", (PyCFunction)(void (*)(void))Doc_at, METH_FASTCALL,
     "_at($self, heads, without=(), /)\n--\n\nThe view behind at() and without()."},
    {"_diff", (PyCFunction)(void (*)(void))ckpy_doc_diff, METH_FASTCALL,
     "_diff($self, a, b, /)\n--\n\n(path, kind, position, old, new) of each step from view a to "
     "view b."},
    {"_watch", ckpy_doc_watch, METH_O,
     "_watch($self, on, /)\n--\n\nShall changes leave news from now on?"},
    {"_take_news", ckpy_doc_take_news, METH_NOARGS,
     "_take_news($self, /)\n--\n\n(author, is_local, origin, changes, steps) of each event that is "
     "to be told."},
    {"_undo", (PyCFunction)(void (*)(void))ckpy_doc_undo, METH_FASTCALL,
     "_undo($self, changes, scope, dry, /)\n--\n\nTake changes back in a new change; its number, "
     "None without effect."},
    {"_own_changes", ckpy_doc_own_changes, METH_O,
     "_own_changes($self, first, /)\n--\n\n([(number, time)] made here, how many there are in all, "
     "is one open)."},
    {"_path_of", ckpy_doc_path_of, METH_O,
     "_path_of($self, container, /)\n--\n\nWhere a container is now; None: nowhere."},
    {"_conflicts", ckpy_doc_map_conflicts, METH_O,
     "_conflicts($self, key, /)\n--\n\n(change id, index, value) of each, the shown one first."},
    {"_history", ckpy_doc_map_history, METH_O,
     "_history($self, key, /)\n--\n\n(is_set, value, author, change id, time), newest first."},
    {"get", (PyCFunction)(void (*)(void))ckpy_doc_map_get, METH_FASTCALL, get_doc},
    {"pop", (PyCFunction)(void (*)(void))ckpy_doc_map_pop, METH_FASTCALL, pop_doc},
    {"setdefault", (PyCFunction)(void (*)(void))ckpy_doc_map_setdefault, METH_FASTCALL,
     setdefault_doc},
    {"to_py", ckpy_doc_map_to_py, METH_NOARGS, to_py_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Doc_getset[] = {
    {"_is_bound", ckpy_doc_is_bound, NULL, "Does it live in a file?", NULL},
    {"_is_read_only", ckpy_doc_is_read_only, NULL, "Does it live in a file that is read only?",
     NULL},
    {"_version", Doc_get_version, NULL,
     "A number that is another one when there is something to tell others; odd while a change is "
     "open, None inside a block.",
     NULL},
    {"id", Doc_get_id, NULL, "The 32-byte id of the document, the same on all replicas.", NULL},
    {"heads", Doc_get_heads, NULL,
     "The version: a sorted tuple of the ids of the changes that none builds on. Closes the open "
     "change.",
     NULL},
    {"root", Doc_get_root, NULL,
     "A 32-byte digest of the set of changes, to compare out of band. Closes the open change.",
     NULL},
    {"waiting", Doc_get_waiting, NULL,
     "Sorted tuple of the ids of changes whose ancestors are not here.", NULL},
    {"missing", Doc_get_missing, NULL, "Sorted tuple of the ids that the waiting changes wait for.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Doc_members[] = {
    {"identity", T_OBJECT_EX, offsetof(ckpy_doc, identity), READONLY,
     "The Identity that signs this replica's changes."},
    {"_clock", T_OBJECT, offsetof(ckpy_doc, clock), READONLY, "The clock it was given, or None."},
    {"_watchers", T_OBJECT, offsetof(ckpy_doc, watchers), 0,
     "Who is told of equivocations, or None."},
    {"_observers", T_OBJECT, offsetof(ckpy_doc, observers), 0, "Who is told of changes, or None."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Doc_slots[] = {
    {Py_tp_doc, "Doc(identity=None, *, id=None, clock=None)\n--\n\n"
                "One replica of a document, the part in C; crdtkv.Doc has the manners."},
    {Py_tp_new, Doc_new},
    {Py_tp_dealloc, Doc_dealloc},
    {Py_tp_traverse, Doc_traverse},
    {Py_tp_clear, Doc_clear},
    {Py_tp_repr, Doc_repr},
    {Py_tp_iter, ckpy_doc_map_iter},
    {Py_tp_methods, Doc_methods},
    {Py_tp_getset, Doc_getset},
    {Py_tp_members, Doc_members},
    {Py_mp_length, ckpy_doc_map_length},
    {Py_mp_subscript, ckpy_doc_map_subscript},
    {Py_mp_ass_subscript, ckpy_doc_map_ass_subscript},
    {Py_sq_contains, ckpy_doc_map_contains},
    {0, NULL},
};

PyType_Spec ckpy_doc_spec = {
    .name = "crdtkv._core.Doc",
    .basicsize = sizeof(ckpy_doc),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Doc_slots,
};
