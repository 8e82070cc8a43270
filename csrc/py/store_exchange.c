/* store_exchange.c -- what stores tell each other, bytes in and bytes out: ops, diffs, op sets, saves. Methods of Store.
 *
 * What is long runs without the GIL, under the store's lock: by the bytes that come in, or the keys that are here.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/kept.h"
#include "py/store.h"

/* ---- out */

/* Steals the bytes. */
static PyObject *told_bytes(ckpy_store *s, ckv_status status, ckv_buf *out, const char *what)
{
    PyObject *result = status == CKV_OK
                           ? PyBytes_FromStringAndSize((const char *)out->ptr, (Py_ssize_t)out->len)
                           : ckpy_store_raise(s, status, what);
    ckv_buf_fini(out);
    return result;
}

static bool is_large(const ckpy_store *s) { return ckv_store_len(s->core, false) > CKPY_MANY; }

static PyObject *written(ckpy_store *s, ckv_status (*write)(const ckv_store *, ckv_buf *))
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_store_look(s) < 0) return NULL;
    ckv_status status = ckpy_store_settle(s);
    PyThreadState *ts = ckpy_away_if(s, is_large(s));
    if (status == CKV_OK) status = write(s->core, &out);
    ckpy_back(s, ts);
    ckpy_lock_put(&s->lock);
    return told_bytes(s, status, &out, "the message could not be written");
}

PyObject *ckpy_store_request_diff(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return written(STORE(op), ckv_store_request);
}

PyObject *ckpy_store_save(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return written(STORE(op), ckv_store_save);
}

PyObject *ckpy_store_opset(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *s = STORE(op);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_write_begin(&s->face) < 0) return NULL;
    ckv_status status = ckpy_store_settle(s);
    PyThreadState *ts = ckpy_away_if(s, is_large(s));
    if (status == CKV_OK) status = ckv_store_opset(s->core, &out);
    ckpy_back(s, ts);
    ckpy_lock_put(&s->lock);
    return told_bytes(s, status, &out, "the op set could not be written");
}

PyObject *ckpy_store_index_size(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *s = STORE(op);
    uint64_t n_bytes;
    if (ckpy_store_look(s) < 0) return NULL;
    const ckv_status status = ckv_store_index_size(s->core, &n_bytes);
    ckpy_lock_put(&s->lock);
    if (status != CKV_OK) return ckpy_raise(s->state, status, "the index could not be measured");
    return PyLong_FromUnsignedLongLong(n_bytes);
}

PyObject *ckpy_store_insert_with_op(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_store *s = STORE(op);
    ckv_store_key k;
    ckpy_scratch scratch;
    uint64_t ms;
    PyObject *result = NULL;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "insert_with_op expected 2 arguments, got %zd", nargs);
        return NULL;
    }
    if (ckpy_key_arg(s->state, args[0], &k) < 0) return NULL;
    ckpy_scratch_init(&scratch);
    if (ckpy_nested_write(s->state, &scratch.buf, args[1]) == 0 && ckpy_store_now(s, &ms) == 0 &&
        ckpy_write_begin(&s->face) == 0) {
        ckv_buf out = ckv_buf_init(ckv_alloc_libc);
        const ckv_bytes value = {scratch.buf.ptr, scratch.buf.len};
        ckv_status status = ckv_store_put(s->core, k, value, ms, &out);
        if (status == CKV_OK) status = ckpy_store_settle(s);
        const int told = ckpy_write_end(s);
        if (status != CKV_OK) ckpy_write_raise(s, status, args[0]);
        if (status == CKV_OK && told == 0)
            result = told_bytes(s, status, &out, NULL);
        else
            ckv_buf_fini(&out);
    }
    ckpy_scratch_fini(&scratch);
    return result;
}

PyObject *ckpy_store_remove_with_op(PyObject *op, PyObject *key)
{
    ckpy_store *s = STORE(op);
    ckv_store_key k;
    if (ckpy_key_arg(s->state, key, &k) < 0 || ckpy_write_begin(&s->face) < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_status status = ckv_store_remove(s->core, k, &out);
    if (status == CKV_OK) status = ckpy_store_settle(s);
    const int told = ckpy_write_end(s);
    if (status != CKV_OK) ckpy_write_raise(s, status, key);
    if (status == CKV_OK && told == 0) return told_bytes(s, status, &out, NULL);
    ckv_buf_fini(&out);
    return NULL;
}

/* ---- a request and its answer */

static ckv_bytes borrow(PyObject *bytes)
{
    return (ckv_bytes){(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

PyObject *ckpy_store_build_diff(PyObject *op, PyObject *arg)
{
    ckpy_store *s = STORE(op);
    PyObject *request = ckpy_bytes_arg(arg, "a request");
    if (!request) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_err err = {0};
    bool more;
    if (ckpy_store_look(s) < 0) {
        Py_DECREF(request);
        return NULL;
    }
    ckv_status status = ckpy_store_settle(s);
    PyThreadState *ts = ckpy_away_if(s, is_large(s) || PyBytes_GET_SIZE(request) > CKPY_LONG);
    if (status == CKV_OK) status = ckv_store_diff(s->core, borrow(request), 0, &out, &more, &err);
    ckpy_back(s, ts);
    ckpy_lock_put(&s->lock);
    PyObject *result;
    if (status == CKV_OK) {
        result = told_bytes(s, status, &out, NULL);
    } else {
        result = ckpy_is_of_file(status)
                     ? ckpy_store_raise(s, status, "the diff could not be written")
                     : ckpy_raise_err(s->state, status, &err, "not a request");
        ckv_buf_fini(&out);
    }
    Py_DECREF(request);
    return result;
}

/* Messages as bytes objects, and as the core wants them. */
typedef struct messages {
    PyObject *held; /* owned tuple of bytes */
    ckv_bytes *ptr; /* owned */
    size_t n, n_bytes;
} messages;

static void messages_fini(messages *m)
{
    Py_XDECREF(m->held);
    PyMem_Free(m->ptr);
}

/* From n objects; `what` they are. -1: an exception. */
static int messages_init(messages *m, PyObject *const *args, Py_ssize_t n, const char *what)
{
    *m = (messages){.held = PyTuple_New(n),
                    .ptr = PyMem_Malloc((size_t)(n ? n : 1) * sizeof(ckv_bytes))};
    if (!m->ptr) PyErr_NoMemory();
    bool ok = m->held && m->ptr;
    for (Py_ssize_t i = 0; ok && i < n; i++) {
        PyObject *one = ckpy_bytes_arg(args[i], what);
        if (!one) {
            ok = false;
            break;
        }
        PyTuple_SET_ITEM(m->held, i, one);
        m->ptr[m->n++] = borrow(one);
        m->n_bytes += (size_t)PyBytes_GET_SIZE(one);
    }
    if (ok) return 0;
    messages_fini(m);
    return -1;
}

/* Calls a function without the GIL if the messages are long. For what belongs to no store. */
typedef ckv_status (*join)(const messages *m, ckv_buf *out, ckv_err *err);

static PyObject *joined(PyObject *type, const messages *m, join f, const char *what)
{
    ckpy_state *st = ckpy_state_of((PyTypeObject *)type);
    if (!st) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_err err = {0};
    PyThreadState *ts = m->n_bytes > CKPY_LONG ? PyEval_SaveThread() : NULL;
    const ckv_status status = f(m, &out, &err);
    if (ts) PyEval_RestoreThread(ts);
    PyObject *result = status == CKV_OK
                           ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                           : ckpy_raise_err(st, status, &err, what);
    ckv_buf_fini(&out);
    return result;
}

static ckv_status merge_opsets(const messages *m, ckv_buf *out, ckv_err *err)
{
    return ckv_opset_merge(m->ptr, m->n, out, err);
}

PyObject *ckpy_store_merge_opsets(PyObject *type, PyObject *const *args, Py_ssize_t nargs)
{
    messages m;
    if (messages_init(&m, args, nargs, "an op set") < 0) return NULL;
    PyObject *result = joined(type, &m, merge_opsets, "not an op set");
    messages_fini(&m);
    return result;
}

static ckv_status request_after(const messages *m, ckv_buf *out, ckv_err *err)
{
    return ckv_request_after(m->ptr[0], m->ptr[1], out, err);
}

PyObject *ckpy_store_advance_request(PyObject *type, PyObject *const *args, Py_ssize_t nargs)
{
    messages m;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "advance_request expected 2 arguments, got %zd", nargs);
        return NULL;
    }
    if (messages_init(&m, args, nargs, "a request or diff") < 0) return NULL;
    PyObject *result = joined(type, &m, request_after, "not a request and a diff");
    messages_fini(&m);
    return result;
}

/* ---- in */

int ckpy_store_latest(ckpy_store *s, uint64_t *latest)
{
    uint64_t ms;
    *latest = CKV_NO_DRIFT;
    if (s->drift == CKV_NO_DRIFT) return 0;
    if (ckpy_store_now(s, &ms) < 0) return -1;
    if (s->drift <= CKV_MAX_MS - ms) *latest = (ms + s->drift) << 16 | 0xffff;
    return 0;
}

typedef ckv_status (*take)(ckv_store *core, const messages *m, uint64_t latest,
                           ckv_store_report *report, ckv_err *err);

static ckv_status take_diff(ckv_store *core, const messages *m, uint64_t latest,
                            ckv_store_report *report, ckv_err *err)
{
    return ckv_store_integrate(core, m->ptr[0], latest, report, err);
}

static ckv_status take_ops(ckv_store *core, const messages *m, uint64_t latest,
                           ckv_store_report *report, ckv_err *err)
{
    return ckv_store_take_ops(core, m->ptr, m->n, latest, report, err);
}

static ckv_status take_opset(ckv_store *core, const messages *m, uint64_t latest,
                             ckv_store_report *report, ckv_err *err)
{
    return ckv_store_take_opset(core, m->ptr[0], latest, report, err);
}

/* The Report of what was taken in. */
static PyObject *integrate(ckpy_store *s, PyObject *const *args, Py_ssize_t n, take f,
                           const char *what, const char *not_it)
{
    messages m;
    uint64_t latest;
    PyObject *result = NULL;
    if (messages_init(&m, args, n, what) < 0) return NULL;
    if (ckpy_store_latest(s, &latest) == 0 && ckpy_write_begin(&s->face) == 0) {
        ckv_store_report report;
        ckv_err err = {0};
        ckv_store_report_init(&report, ckv_alloc_libc);
        PyThreadState *ts = ckpy_away_if(s, m.n_bytes > CKPY_LONG);
        const ckv_status status = f(s->core, &m, latest, &report, &err);
        ckpy_back(s, ts);
        const int told = ckpy_write_end(s);
        if (status != CKV_OK)
            ckpy_raise_err(s->state, status, &err, not_it);
        else if (told == 0)
            result = ckpy_report_of_store(s->state, &report);
        ckv_store_report_fini(&report);
    }
    messages_fini(&m);
    return result;
}

PyObject *ckpy_store_integrate_diff(PyObject *op, PyObject *diff)
{
    return integrate(STORE(op), &diff, 1, take_diff, "a diff", "not a diff");
}

PyObject *ckpy_store_integrate_op(PyObject *op, PyObject *message)
{
    return integrate(STORE(op), &message, 1, take_ops, "an op", "not an op");
}

PyObject *ckpy_store_integrate_ops(PyObject *op, PyObject *arg)
{
    PyObject *list = PySequence_Tuple(arg);
    if (!list) return NULL;
    PyObject *result = integrate(STORE(op), &PyTuple_GET_ITEM(list, 0), PyTuple_GET_SIZE(list),
                                 take_ops, "an op", "not an op");
    Py_DECREF(list);
    return result;
}

PyObject *ckpy_store_integrate_opset(PyObject *op, PyObject *opset)
{
    return integrate(STORE(op), &opset, 1, take_opset, "an op set", "not an op set");
}
