#include "py/kept.h"

#include "py/errors.h"
#include "py/file.h"

#define DOC(op) ((ckpy_doc *)(op))

bool ckpy_is_of_file(ckv_status s)
{
    return s == CKV_EDISK || s == CKV_EFULL || s == CKV_ELOCKED || s == CKV_EFORKED ||
           s == CKV_EALIEN || s == CKV_ENEWER;
}

/* ---- what both have in common */

/* The File and number of an object, and whether to salvage. Borrows the file; NULL: an exception. */
static ckpy_file *bind_args(ckpy_state *st, PyObject *args, PyObject *kw, long long *object,
                            int *salvage)
{
    static char *names[] = {"file", "object", "salvage", NULL};
    PyObject *file;
    *salvage = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "OL|p:_bind", names, &file, object, salvage))
        return NULL;
    ckpy_file *f = ckpy_file_arg(st, file);
    if (!f || !ckpy_file_borrow(f)) return NULL;
    Py_INCREF(file);
    return f;
}

static void give_back(ckpy_file *f)
{
    ckpy_file_give_back(f);
    Py_DECREF((PyObject *)f);
}

/* What is wrong with a record, as a list of str. */
static PyObject *lines(const ckv_record_damage *d)
{
    PyObject *list = PyList_New(0);
    ckv_rd r = ckv_rd_init(d->lines.ptr, d->lines.len);
    while (list && ckv_rd_left(&r)) {
        size_t n;
        const char *line = (const char *)ckv_rd_blob(&r, &n);
        PyObject *one = PyUnicode_DecodeUTF8(line, (Py_ssize_t)n, "replace");
        if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}

static PyObject *raise(ckpy_state *st, ckpy_file *f, ckv_status s, const ckv_record_damage *d)
{
    if (s == CKV_EEXIST) {
        PyErr_SetString(PyExc_ValueError, "the file has something under this number already");
        return NULL;
    }
    if (s != CKV_ECORRUPT || d->lines.len == 0)
        return ckpy_file_raise(f, s, "the record could not be read or written");
    PyObject *list = lines(d), *first = list ? PyList_GetItem(list, 0) : NULL;
    if (first) PyErr_SetObject(st->DecodeError, first);
    Py_XDECREF(list);
    return NULL;
}

/* Instead of a list. Steals it. */
static PyObject *nothing(PyObject *list)
{
    if (!list) return NULL;
    Py_DECREF(list);
    Py_RETURN_NONE;
}

/* ---- documents */

bool ckpy_doc_is_forked(const ckpy_doc *d)
{
    return d->file && d->file->path != Py_None && d->file->generation != ckpy_generation;
}

int ckpy_doc_may_write(ckpy_doc *d)
{
    const bool forked = ckpy_doc_is_forked(d);
    if (!forked && !ckv_file_is_read_only(d->file->core) && !ckv_file_is_poisoned(d->file->core))
        return 0;
    ckpy_lock_put(&d->lock);
    ckpy_file_raise(d->file, forked ? CKV_EFORKED : CKV_EDISK,
                    "the database is open for reading only");
    return -1;
}

void ckpy_doc_let_go(ckpy_doc *d)
{
    ckpy_file *f = d->file;
    if (!f) return;
    ckv_doc_unkeep(d->core);
    d->file = NULL;
    give_back(f);
}

PyObject *ckpy_doc_is_bound(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(DOC(op)->file != NULL);
}

PyObject *ckpy_doc_is_read_only(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_doc *d = DOC(op);
    ckpy_lock_get(&d->lock);
    const bool is_read_only = d->file && ckv_file_is_read_only(d->file->core);
    ckpy_lock_put(&d->lock);
    return PyBool_FromLong(is_read_only);
}

PyObject *ckpy_doc_bind(PyObject *op, PyObject *args, PyObject *kw)
{
    ckpy_doc *d = DOC(op);
    long long object;
    int salvage;
    ckpy_file *f = bind_args(d->state, args, kw, &object, &salvage);
    if (!f) return NULL;
    ckv_record_damage damage = {.salvage = salvage, .lines = ckv_buf_init(ckv_alloc_libc)};
    PyObject *result = NULL;
    bool bound = false;
    if (ckpy_doc_settle(d, "_bind") == 0) {
        ckv_status s = CKV_ERANGE;
        if (!d->file) {
            PyThreadState *ts = ckpy_lock_away(&d->lock);
            s = ckv_doc_keep(d->core, f->core, object, &damage);
            ckpy_lock_back(&d->lock, ts);
        }
        bound = s == CKV_OK;
        if (bound) {
            d->file = f;
            d->room = ckpy_doc_limit(d);
            d->attention |= CKPY_KEPT;
        }
        ckpy_lock_put(&d->lock);
        if (s == CKV_ERANGE)
            PyErr_SetString(PyExc_ValueError, "it lives in a file already");
        else
            result = bound ? lines(&damage) : raise(d->state, f, s, &damage);
    }
    if (!bound) give_back(f);
    ckv_buf_fini(&damage.lines);
    return result;
}

PyObject *ckpy_doc_unbind(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_doc *d = DOC(op);
    ckpy_lock_get(&d->lock);
    ckpy_file *f = d->file;
    if (f) {
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        if (!ckpy_doc_is_forked(d)) ckv_doc_consolidate(d->core, true);
        ckv_doc_unkeep(d->core);
        ckpy_lock_back(&d->lock, ts);
        d->file = NULL;
        d->closed = true;
    }
    ckpy_lock_put(&d->lock);
    if (f) give_back(f);
    Py_RETURN_NONE;
}

/* Under the lock, of one that is bound: a look at its record, without the GIL. Lets go of the lock. */
static PyObject *look(ckpy_doc *d, ckv_status (*f)(ckv_doc *, ckv_record_damage *), bool salvage)
{
    ckv_record_damage damage = {.salvage = salvage, .lines = ckv_buf_init(ckv_alloc_libc)};
    ckpy_file *const file = (ckpy_file *)Py_XNewRef((PyObject *)d->file);
    ckv_status s = CKV_OK;
    if (file) {
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        s = f(d->core, &damage);
        ckpy_lock_back(&d->lock, ts);
    }
    if (d->watched) ckpy_doc_gather(d, NULL);
    ckpy_lock_put(&d->lock);
    PyObject *result = s == CKV_OK ? lines(&damage) : raise(d->state, file, s, &damage);
    Py_XDECREF((PyObject *)file);
    ckv_buf_fini(&damage.lines);
    return result;
}

PyObject *ckpy_doc_refresh(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (ckpy_look_begin(DOC(op)) < 0) return NULL;
    return ckpy_doc_took(DOC(op), look(DOC(op), ckv_doc_refresh, false));
}

PyObject *ckpy_doc_check_record(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_doc_settle(DOC(op), "check") < 0 ? NULL : look(DOC(op), ckv_doc_check_record, true);
}

static ckv_status compact(ckv_doc *doc, ckv_record_damage *damage)
{
    (void)damage;
    return ckv_doc_rewrite(doc);
}

PyObject *ckpy_doc_compact(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_doc_settle(DOC(op), "compact") < 0 ? NULL : nothing(look(DOC(op), compact, false));
}

/* ---- stores */

static bool is_forked(const ckpy_store *s)
{
    return s->file && s->file->path != Py_None && s->file->generation != ckpy_generation;
}

PyObject *ckpy_store_raise(ckpy_store *s, ckv_status status, const char *what)
{
    return s->file && ckpy_is_of_file(status) ? ckpy_file_raise(s->file, status, what)
                                              : ckpy_raise(s->state, status, what);
}

ckv_status ckpy_store_settle(ckpy_store *s)
{
    if (!s->file || is_forked(s)) return CKV_OK; /* a child could not have written */
    PyThreadState *ts = ckpy_lock_away(&s->lock);
    const ckv_status status = ckv_store_commit(s->core);
    if (status == CKV_OK) ckv_store_consolidate(s->core, false);
    ckpy_lock_back(&s->lock, ts);
    s->n_edits = 0;
    return status;
}

int ckpy_store_may_write(ckpy_store *s)
{
    const bool forked = is_forked(s);
    ckv_status status = CKV_OK;
    if (forked)
        status = CKV_EFORKED;
    else if (ckv_file_is_read_only(s->file->core) || ckv_file_is_poisoned(s->file->core))
        status = CKV_EDISK;
    else if (s->open == 0 && (s->n_edits++ >= CKPY_KEPT_EDITS ||
                              ckv_store_backlog(s->core) >= (uint64_t)CKPY_KEPT_BYTES))
        status = ckpy_store_settle(s);
    if (status == CKV_OK) return 0;
    ckpy_lock_put(&s->lock);
    ckpy_store_raise(s, status, "the database is open for reading only");
    return -1;
}

void ckpy_store_let_go(ckpy_store *s)
{
    ckpy_file *f = s->file;
    if (!f) return;
    ckv_store_unkeep(s->core);
    s->file = NULL;
    give_back(f);
}

PyObject *ckpy_store_is_bound(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(STORE(op)->file != NULL);
}

PyObject *ckpy_store_bind(PyObject *op, PyObject *args, PyObject *kw)
{
    ckpy_store *s = STORE(op);
    long long object;
    int salvage;
    ckpy_file *f = bind_args(s->state, args, kw, &object, &salvage);
    if (!f) return NULL;
    ckv_record_damage damage = {.salvage = salvage, .lines = ckv_buf_init(ckv_alloc_libc)};
    PyObject *result = NULL;
    bool bound = false;
    if (ckpy_write_begin(&s->face) == 0) {
        ckv_status status = CKV_ERANGE;
        if (!s->file) {
            PyThreadState *ts = ckpy_lock_away(&s->lock);
            status = ckv_store_bind(s->core, f->core, object, &damage);
            ckpy_lock_back(&s->lock, ts);
        }
        bound = status == CKV_OK;
        if (bound) {
            s->file = f;
            s->is_kept = true;
            s->n_edits = 0;
        }
        ckpy_lock_put(&s->lock);
        if (status == CKV_ERANGE)
            PyErr_SetString(PyExc_ValueError, "it lives in a file already");
        else
            result = bound ? lines(&damage) : raise(s->state, f, status, &damage);
    }
    if (!bound) give_back(f);
    ckv_buf_fini(&damage.lines);
    return result;
}

PyObject *ckpy_store_unbind(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *s = STORE(op);
    ckpy_lock_get(&s->lock);
    ckpy_file *f = s->file;
    if (f) {
        PyThreadState *ts = ckpy_lock_away(&s->lock);
        if (s->open) ckv_txn_abort(s->core);
        if (!is_forked(s)) ckv_store_consolidate(s->core, true);
        ckv_store_unkeep(s->core);
        ckpy_lock_back(&s->lock, ts);
        s->open = 0;
        s->file = NULL;
        s->closed = true;
    }
    ckpy_lock_put(&s->lock);
    if (f) give_back(f);
    Py_RETURN_NONE;
}

/* Under the lock, as with documents. */
static PyObject *look_at_store(ckpy_store *s, ckv_status (*f)(ckv_store *, ckv_record_damage *),
                               bool salvage)
{
    ckv_record_damage damage = {.salvage = salvage, .lines = ckv_buf_init(ckv_alloc_libc)};
    ckpy_file *const file = (ckpy_file *)Py_XNewRef((PyObject *)s->file);
    ckv_status status = ckpy_store_settle(s);
    if (file && status == CKV_OK) {
        PyThreadState *ts = ckpy_lock_away(&s->lock);
        status = f(s->core, &damage);
        ckpy_lock_back(&s->lock, ts);
    }
    const int told = ckpy_write_end(s);
    PyObject *result = status == CKV_OK ? lines(&damage) : raise(s->state, file, status, &damage);
    if (told < 0) Py_CLEAR(result);
    Py_XDECREF((PyObject *)file);
    ckv_buf_fini(&damage.lines);
    return result;
}

PyObject *ckpy_store_refresh(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (ckpy_store_look(STORE(op)) < 0) return NULL;
    return look_at_store(STORE(op), ckv_store_refresh, false);
}

PyObject *ckpy_store_check_record(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (ckpy_store_look(STORE(op)) < 0) return NULL;
    return look_at_store(STORE(op), ckv_store_check_record, true);
}

static ckv_status compact_store(ckv_store *s, ckv_record_damage *damage)
{
    (void)damage;
    return ckv_store_rewrite(s);
}

static ckv_status commit_store(ckv_store *s, ckv_record_damage *damage)
{
    (void)s;
    (void)damage;
    return CKV_OK; /* done before */
}

PyObject *ckpy_store_compact(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    if (ckpy_write_begin(&STORE(op)->face) < 0) return NULL;
    return nothing(look_at_store(STORE(op), compact_store, false));
}

PyObject *ckpy_store_commit(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *s = STORE(op);
    if (ckpy_store_look(s) < 0) return NULL;
    if (s->open) { /* says why not */
        (void)ckpy_begin_slow(&s->face, true);
        return NULL;
    }
    return nothing(look_at_store(s, commit_store, false));
}
