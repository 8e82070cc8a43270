/* obj_file.c -- File: one SQLite file. SQL, transactions, errors; which tables there are and what is in them is known to crdtkv/openfile.py.
 *
 *     f.begin(); f.run("INSERT ...", 1, b"x"); f.commit()        writing: between begin and commit, of one thread
 *     f.run("SELECT ...")                                        reading: any time
 *
 * Statements are prepared once and kept (CKPY_STATEMENTS of them). A call takes its statement out of the keep while it runs, so that no
 * two threads have the same.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/file.h"

#include <string.h>

#define FILE_(op) ((ckpy_file *)(op))

/* ---- who is inside */

static bool is_forked(const ckpy_file *f) { return f->generation != ckpy_generation; }

static ckv_file *take(ckpy_file *f, size_t *count)
{
    if (is_forked(f)) { /* a thread that is not here may hold the mutex for ever */
        ckpy_file_raise(f, CKV_EFORKED, "");
        return NULL;
    }
    pthread_mutex_lock(&f->mutex);
    ckv_file *core = f->core;
    if (core) ++*count;
    pthread_mutex_unlock(&f->mutex);
    if (!core) PyErr_SetString(f->state->StaleHandleError, "the database is closed");
    return core;
}

static void put(ckpy_file *f, size_t *count)
{
    if (is_forked(f)) return;
    pthread_mutex_lock(&f->mutex);
    if (--*count == 0) pthread_cond_broadcast(&f->idle);
    pthread_mutex_unlock(&f->mutex);
}

ckv_file *ckpy_file_enter(ckpy_file *f) { return take(f, &f->n_calls); }
void ckpy_file_leave(ckpy_file *f) { put(f, &f->n_calls); }
ckv_file *ckpy_file_borrow(ckpy_file *f) { return take(f, &f->n_borrowed); }
void ckpy_file_give_back(ckpy_file *f) { put(f, &f->n_borrowed); }

ckpy_file *ckpy_file_arg(ckpy_state *st, PyObject *op)
{
    if (PyObject_TypeCheck(op, st->File)) return FILE_(op);
    PyErr_Format(PyExc_TypeError, "file must be a File, not %.100s", Py_TYPE(op)->tp_name);
    return NULL;
}

PyObject *ckpy_file_raise(ckpy_file *f, ckv_status s, const char *what)
{
    if (s == CKV_EFORKED) {
        return ckpy_raise_path(f->state, s,
                               "this process was forked from the one that opened the database; "
                               "open it again here",
                               f->path, 0);
    }
    if (s == CKV_ERANGE) {
        PyErr_SetString(PyExc_RuntimeError, what);
        return NULL;
    }
    const bool of_file = s == CKV_EDISK || s == CKV_EFULL || s == CKV_ECORRUPT;
    const char *words = f->core && of_file ? ckv_file_error(f->core) : "";
    if (s == CKV_EDISK && f->core && ckv_file_is_read_only(f->core))
        what = "the database is open for reading only";
    return ckpy_raise_path(f->state, s, *words ? words : what, f->path, 0);
}

/* ---- life */

static int sync_arg(const char *name, ckv_sync *out)
{
    *out = strcmp(name, "normal") == 0 ? CKV_SYNC_NORMAL : CKV_SYNC_FULL;
    if (*out == CKV_SYNC_NORMAL || strcmp(name, "full") == 0) return 0;
    PyErr_Format(PyExc_ValueError, "durability must be 'full' or 'normal', not '%.100s'", name);
    return -1;
}

static PyObject *File_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"path", "read_only", "durability", "vfs", NULL};
    PyObject *path, *encoded = NULL;
    int read_only = 0;
    const char *durability = "full", *vfs = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|$psz:File", names, &path, &read_only, &durability,
                                     &vfs))
        return NULL;
    ckv_sync sync;
    if (sync_arg(durability, &sync) < 0) return NULL;
    if (path != Py_None && !PyUnicode_FSConverter(path, &encoded)) return NULL;
    ckpy_file *self = FILE_(tp->tp_alloc(tp, 0));
    if (!self) {
        Py_XDECREF(encoded);
        return NULL;
    }
    self->path = encoded ? PyOS_FSPath(path) : Py_NewRef(Py_None);
    self->state = ckpy_state_of(tp);
    self->generation = ckpy_generation;
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->idle, NULL);
    if (!self->path || !self->state) goto fail;
    const ckv_file_options options = {
        .path = encoded ? PyBytes_AS_STRING(encoded) : NULL,
        .mode = read_only ? CKV_FILE_READ : CKV_FILE_WRITE,
        .sync = sync,
        .vfs = vfs,
    };
    char why[256] = "";
    int64_t holder = 0;
    ckv_file *core = NULL;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_file_open(&core, ckv_alloc_libc, &options, why, &holder);
    Py_END_ALLOW_THREADS if (s != CKV_OK)
    {
        ckpy_raise_path(self->state, s, *why ? why : "the file cannot be opened", self->path,
                        holder);
        goto fail;
    }
    self->core = core;
    Py_XDECREF(encoded);
    return (PyObject *)self;
fail:
    Py_XDECREF(encoded);
    Py_DECREF(self);
    return NULL;
}

static int File_traverse(PyObject *op, visitproc visit, void *arg)
{
    (void)visit, (void)arg;
    Py_VISIT(Py_TYPE(op));
    return 0;
}

/* Nobody is inside any more, and nobody comes in. */
static void forget_statements(ckpy_file *f)
{
    for (size_t i = 0; i < CKPY_STATEMENTS; i++) {
        if (f->prepared[i].core) ckv_stmt_free(f->prepared[i].core);
        f->prepared[i].core = NULL;
        Py_CLEAR(f->prepared[i].sql);
    }
}

static void File_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckpy_file *self = FILE_(op);
    PyObject_GC_UnTrack(op);
    forget_statements(self);
    ckv_file *core = self->core;
    self->core = NULL;
    if (core) {
        Py_BEGIN_ALLOW_THREADS ckv_file_close(core);
        Py_END_ALLOW_THREADS
    }
    if (!is_forked(self)) {
        pthread_cond_destroy(&self->idle);
        pthread_mutex_destroy(&self->mutex);
    }
    Py_XDECREF(self->path);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *File_close(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_file *f = FILE_(op);
    ckv_file *core = NULL;
    size_t n_borrowed = 0;
    if (is_forked(f)) Py_RETURN_NONE; /* it is not ours to close */
    pthread_mutex_lock(&f->mutex);
    if (f->n_borrowed) {
        n_borrowed = f->n_borrowed;
    } else {
        core = f->closing = f->core;
        f->core = NULL; /* nobody comes in from here on, but to end a transaction */
    }
    pthread_mutex_unlock(&f->mutex);
    if (n_borrowed) {
        PyErr_Format(PyExc_RuntimeError, "%zu objects of the file are still bound", n_borrowed);
        return NULL;
    }
    if (!core) Py_RETURN_NONE;
    Py_BEGIN_ALLOW_THREADS ckv_file_rollback(core); /* of this thread, for which others may wait */
    pthread_mutex_lock(&f->mutex);
    while (f->n_calls) pthread_cond_wait(&f->idle, &f->mutex);
    f->closing = NULL;
    pthread_mutex_unlock(&f->mutex);
    Py_END_ALLOW_THREADS forget_statements(f);
    Py_BEGIN_ALLOW_THREADS ckv_file_close(core);
    Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* ---- statements */

/* The kept statement of this text, or a new one. */
static ckv_stmt *checkout(ckpy_file *f, ckv_file *core, PyObject *sql)
{
    ckv_stmt *found = NULL;
    CKPY_BEGIN_CRITICAL(f);
    for (size_t i = 0; i < CKPY_STATEMENTS && !found; i++) {
        ckpy_prepared *p = &f->prepared[i];
        if (!p->core || (p->sql != sql && PyUnicode_Compare(p->sql, sql) != 0)) continue;
        found = p->core;
        p->core = NULL;
        Py_CLEAR(p->sql);
    }
    CKPY_END_CRITICAL();
    if (found) return found;
    const char *text = PyUnicode_AsUTF8(sql);
    if (!text) return NULL;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_stmt_new(&found, core, text);
    Py_END_ALLOW_THREADS if (s == CKV_OK) return found;
    ckpy_file_raise(f, s, "a statement could not be prepared");
    return NULL;
}

/* Puts it in a free place, or in the place of another. */
static void checkin(ckpy_file *f, PyObject *sql, ckv_stmt *stmt)
{
    CKPY_BEGIN_CRITICAL(f);
    size_t place = f->next++ % CKPY_STATEMENTS;
    for (size_t i = 0; i < CKPY_STATEMENTS; i++)
        if (!f->prepared[i].core) {
            place = i;
            break;
        }
    ckpy_prepared *p = &f->prepared[place];
    if (p->core) ckv_stmt_free(p->core);
    p->core = stmt;
    Py_XSETREF(p->sql, Py_NewRef(sql));
    CKPY_END_CRITICAL();
}

/* ints, str, bytes and None; they live as long as args, so the statement forgets them before that. */
static int bind(ckv_stmt *stmt, PyObject *const *args, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *arg = args[i];
        const int at = (int)i + 1;
        if (arg == Py_None) {
            ckv_stmt_bind_blob(stmt, at, NULL, 0);
        } else if (PyLong_Check(arg)) {
            const long long v = PyLong_AsLongLong(arg);
            if (v == -1 && PyErr_Occurred()) return -1;
            ckv_stmt_bind_int(stmt, at, v);
        } else if (PyUnicode_Check(arg)) {
            Py_ssize_t n_bytes;
            const char *text = PyUnicode_AsUTF8AndSize(arg, &n_bytes);
            if (!text) return -1;
            ckv_stmt_bind_text(stmt, at, text, (size_t)n_bytes);
        } else if (PyBytes_Check(arg)) {
            ckv_stmt_bind_blob(stmt, at, PyBytes_AS_STRING(arg), (size_t)PyBytes_GET_SIZE(arg));
        } else {
            PyErr_Format(PyExc_TypeError,
                         "parameter %d must be int, str, bytes or None, not %.100s", at,
                         Py_TYPE(arg)->tp_name);
            return -1;
        }
    }
    return 0;
}

static PyObject *column(ckv_stmt *stmt, int i)
{
    size_t n;
    switch (ckv_stmt_kind(stmt, i)) {
    case CKV_NULL_COLUMN: return Py_NewRef(Py_None);
    case CKV_INT_COLUMN: return PyLong_FromLongLong(ckv_stmt_int(stmt, i));
    case CKV_BLOB_COLUMN: {
        const uint8_t *ptr = ckv_stmt_blob(stmt, i, &n);
        return PyBytes_FromStringAndSize((const char *)ptr, (Py_ssize_t)n);
    }
    case CKV_TEXT_COLUMN: { /* of a damaged file it may be anything */
        const uint8_t *ptr = ckv_stmt_blob(stmt, i, &n);
        return PyUnicode_DecodeUTF8((const char *)ptr, (Py_ssize_t)n, "backslashreplace");
    }
    case CKV_OTHER_COLUMN: break;
    }
    PyErr_SetString(PyExc_TypeError, "a column that is neither int, text, blob nor NULL");
    return NULL;
}

static PyObject *row(ckv_stmt *stmt)
{
    const int n = ckv_stmt_columns(stmt);
    PyObject *tuple = PyTuple_New(n);
    for (int i = 0; tuple && i < n; i++) {
        PyObject *item = column(stmt, i);
        if (item)
            PyTuple_SET_ITEM(tuple, i, item);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *File_run(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_file *f = FILE_(op);
    if (nargs < 1 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "run wants SQL as str, then its parameters");
        return NULL;
    }
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    PyObject *rows = NULL;
    ckv_stmt *stmt = checkout(f, core, args[0]);
    if (!stmt) goto leave;
    if (bind(stmt, args + 1, nargs - 1) < 0 || !(rows = PyList_New(0))) goto done;
    for (;;) {
        ckv_status s;
        Py_BEGIN_ALLOW_THREADS s = ckv_stmt_step(stmt);
        Py_END_ALLOW_THREADS if (s == CKV_ENOENT) break;
        PyObject *tuple = NULL;
        if (s != CKV_OK)
            ckpy_file_raise(f, s,
                            s == CKV_ERANGE ? "the file is written between begin() and commit()"
                                            : "the file could not be read or written");
        else
            tuple = row(stmt);
        const int bad = tuple ? PyList_Append(rows, tuple) : -1;
        Py_XDECREF(tuple);
        if (bad) {
            Py_CLEAR(rows);
            break;
        }
    }
done:
    ckv_stmt_reset(stmt);
    for (Py_ssize_t i = 1; i < nargs; i++) ckv_stmt_bind_blob(stmt, (int)i, NULL, 0);
    ckv_stmt_reset(stmt);
    checkin(f, args[0], stmt);
leave:
    ckpy_file_leave(f);
    return rows;
}

/* ---- transactions and the rest */

typedef ckv_status (*action)(ckv_file *);

static PyObject *act(PyObject *op, action what, const char *words)
{
    ckpy_file *f = FILE_(op);
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = what(core);
    Py_END_ALLOW_THREADS if (s != CKV_OK) ckpy_file_raise(f, s, words);
    ckpy_file_leave(f);
    return s == CKV_OK ? Py_NewRef(Py_None) : NULL;
}

static PyObject *File_begin(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return act(op, ckv_file_begin, "a transaction could not be begun");
}

static ckv_status rollback(ckv_file *core)
{
    ckv_file_rollback(core);
    return CKV_OK;
}

/* While close() waits: a transaction of this thread is forgotten, for others may wait for their turn, and close() for them. */
static void end_while_closing(ckpy_file *f)
{
    if (is_forked(f)) return;
    pthread_mutex_lock(&f->mutex);
    ckv_file *core = f->closing;
    if (core) f->n_calls++;
    pthread_mutex_unlock(&f->mutex);
    if (!core) return;
    Py_BEGIN_ALLOW_THREADS ckv_file_rollback(core);
    Py_END_ALLOW_THREADS ckpy_file_leave(f);
}

static PyObject *File_commit(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    end_while_closing(FILE_(op));
    return act(op, ckv_file_commit, "the transaction could not be written");
}

static PyObject *File_rollback(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    end_while_closing(FILE_(op));
    return act(op, rollback, "");
}

static PyObject *File_refresh(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return act(op, ckv_file_refresh, "the file could not be read again");
}

static PyObject *File_version(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_file *f = FILE_(op);
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    int64_t version = 0;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_file_version(core, &version);
    Py_END_ALLOW_THREADS if (s != CKV_OK) ckpy_file_raise(f, s, "the file could not be read");
    ckpy_file_leave(f);
    return s == CKV_OK ? PyLong_FromLongLong(version) : NULL;
}

static PyObject *File_size(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_file *f = FILE_(op);
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    uint64_t bytes = 0;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_file_bytes(core, &bytes);
    Py_END_ALLOW_THREADS if (s != CKV_OK) ckpy_file_raise(f, s, "the file could not be read");
    ckpy_file_leave(f);
    return s == CKV_OK ? PyLong_FromUnsignedLongLong(bytes) : NULL;
}

static PyObject *File_shrink(PyObject *op, PyObject *max_pages)
{
    ckpy_file *f = FILE_(op);
    const unsigned long pages = PyLong_AsUnsignedLong(max_pages);
    if (pages == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s =
        ckv_file_shrink(core, pages > UINT32_MAX ? UINT32_MAX : (uint32_t)pages);
    Py_END_ALLOW_THREADS if (s != CKV_OK) ckpy_file_raise(
        f, s, s == CKV_ERANGE ? "a transaction is open" : "the file could not be shrunk");
    ckpy_file_leave(f);
    return s == CKV_OK ? Py_NewRef(Py_None) : NULL;
}

static PyObject *File_pack(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return act(op, ckv_file_pack, "the file could not be written anew");
}

static PyObject *File_backup(PyObject *op, PyObject *path)
{
    ckpy_file *f = FILE_(op);
    PyObject *encoded;
    if (!PyUnicode_FSConverter(path, &encoded)) return NULL;
    ckv_file *core = ckpy_file_enter(f);
    if (!core) {
        Py_DECREF(encoded);
        return NULL;
    }
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_file_backup(core, PyBytes_AS_STRING(encoded));
    Py_END_ALLOW_THREADS Py_DECREF(encoded);
    if (s == CKV_EEXIST)
        ckpy_raise_path(f->state, s, "there is something at the backup's path", path, 0);
    else if (s != CKV_OK)
        ckpy_file_raise(f, s, "the backup could not be written");
    ckpy_file_leave(f);
    return s == CKV_OK ? Py_NewRef(Py_None) : NULL;
}

static void say(void *ctx, const char *line)
{
    ckv_buf *lines = ctx; /* sticky: what does not fit is noticed at the end */
    ckv_buf_bytes(lines, line, strlen(line) + 1);
}

static PyObject *File_check(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_file *f = FILE_(op);
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    ckv_buf lines = ckv_buf_init(ckv_alloc_libc);
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s = ckv_file_check(core, say, &lines);
    Py_END_ALLOW_THREADS if (s == CKV_OK) s = lines.status;
    PyObject *list = NULL;
    if (s != CKV_OK)
        ckpy_file_raise(f, s, "the file could not be checked");
    else
        list = PyList_New(0);
    for (size_t at = 0; list && at < lines.len;) {
        const char *line = (const char *)lines.ptr + at;
        PyObject *text = PyUnicode_DecodeUTF8(line, (Py_ssize_t)strlen(line), "backslashreplace");
        if (!text || PyList_Append(list, text) < 0) Py_CLEAR(list);
        Py_XDECREF(text);
        at += strlen(line) + 1;
    }
    ckv_buf_fini(&lines);
    ckpy_file_leave(f);
    return list;
}

/* The seed is the first half of the secret key; its hash seals what this file derives from its own record. */
static PyObject *File_set_key(PyObject *op, PyObject *identity)
{
    ckpy_file *f = FILE_(op);
    if (!PyObject_TypeCheck(identity, f->state->Identity)) {
        PyErr_Format(PyExc_TypeError, "set_key wants an Identity, not %.100s",
                     Py_TYPE(identity)->tp_name);
        return NULL;
    }
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    ckv_id32 key;
    ckv_identity_file_key(&((ckpy_identity *)identity)->core, &key);
    ckv_file_set_key(core, &key);
    ckv_wipe(&key, sizeof key);
    ckpy_file_leave(f);
    Py_RETURN_NONE;
}

static PyObject *File_get_closed(PyObject *op, void *closure)
{
    (void)closure;
    return PyBool_FromLong(!FILE_(op)->core);
}

static PyObject *ask(PyObject *op, bool (*question)(const ckv_file *))
{
    ckpy_file *f = FILE_(op);
    ckv_file *core = ckpy_file_enter(f);
    if (!core) return NULL;
    const bool answer = question(core);
    ckpy_file_leave(f);
    return PyBool_FromLong(answer);
}

static PyObject *File_get_read_only(PyObject *op, void *closure)
{
    (void)closure;
    return ask(op, ckv_file_is_read_only);
}

static PyObject *File_get_poisoned(PyObject *op, void *closure)
{
    (void)closure;
    return ask(op, ckv_file_is_poisoned);
}

static PyMethodDef File_methods[] = {
    {"run", (PyCFunction)(void (*)(void))File_run, METH_FASTCALL,
     "run($self, sql, /, *params)\n--\n\n"
     "The rows of a statement, as tuples. Parameters are int, str, bytes and None."},
    {"begin", File_begin, METH_NOARGS,
     "begin($self, /)\n--\n\nBegins a transaction of this thread; waits for those of others."},
    {"commit", File_commit, METH_NOARGS,
     "commit($self, /)\n--\n\nWrites the transaction; StoreError: it is rolled back."},
    {"rollback", File_rollback, METH_NOARGS,
     "rollback($self, /)\n--\n\nForgets the transaction, if there is one."},
    {"refresh", File_refresh, METH_NOARGS,
     "refresh($self, /)\n--\n\nA reader moves on to the newest commit."},
    {"version", File_version, METH_NOARGS,
     "version($self, /)\n--\n\nA number that grows with every commit of any process."},
    {"size", File_size, METH_NOARGS, "size($self, /)\n--\n\nBytes of the file."},
    {"shrink", File_shrink, METH_O,
     "shrink($self, max_pages, /)\n--\n\nGives so many free pages (0: all) back to the system."},
    {"pack", File_pack, METH_NOARGS,
     "pack($self, /)\n--\n\nWrites all tables anew, without air in their pages."},
    {"backup", File_backup, METH_O,
     "backup($self, path, /)\n--\n\nA consistent copy; FileExistsError."},
    {"check", File_check, METH_NOARGS,
     "check($self, /)\n--\n\nWhat SQLite finds wrong, a line each."},
    {"set_key", File_set_key, METH_O,
     "set_key($self, identity, /)\n--\n\nDerived state is sealed under a key that this identity "
     "alone has."},
    {"close", File_close, METH_NOARGS,
     "close($self, /)\n--\n\nPuts all into the one file and lets it go. Again: nothing."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef File_getset[] = {
    {"closed", File_get_closed, NULL, "Whether close() was called.", NULL},
    {"read_only", File_get_read_only, NULL, "Whether it was opened for reading.", NULL},
    {"poisoned", File_get_poisoned, NULL, "Whether the device failed: no more writing.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot File_slots[] = {
    {Py_tp_doc, "File(path, *, read_only=False, durability='full', vfs=None)\n--\n\n"
                "One SQLite file; path None: in memory. See crdtkv.Database."},
    {Py_tp_new, File_new},
    {Py_tp_dealloc, File_dealloc},
    {Py_tp_traverse, File_traverse},
    {Py_tp_methods, File_methods},
    {Py_tp_getset, File_getset},
    {0, NULL},
};

PyType_Spec ckpy_file_spec = {
    .name = "crdtkv._core.File",
    .basicsize = sizeof(ckpy_file),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = File_slots,
};
