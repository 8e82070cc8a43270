/* obj_datastore_map.c -- what a Datastore does as a mapping in key order. crdtkv/datastore.py has the manners.
 *
 * Setting and reading one key is the hot path: nothing is allocated beside the result, a small value is written on the stack.
 */
#include "py/datastore.h"

/* ---- arguments */

int ckpy_put_arg(const char *what, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                 Py_ssize_t n_args, ckpy_put_args *out)
{
    static const char *const names[] = {"key", "value", "dag"};
    PyObject *found[3] = {NULL, NULL, NULL};
    const Py_ssize_t n_kw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    for (Py_ssize_t i = 0; i < nargs + n_kw; i++) {
        Py_ssize_t at = i < n_args ? i : i == n_args ? 2 : 3;
        if (i >= nargs) {
            PyObject *name = PyTuple_GET_ITEM(kwnames, i - nargs);
            for (at = 0; at < 3; at++)
                if ((at != 1 || n_args == 2) &&
                    PyUnicode_CompareWithASCIIString(name, names[at]) == 0)
                    break;
        }
        if (at == 3 || found[at]) {
            PyErr_Format(PyExc_TypeError, "%s() takes %s and dag, each once", what,
                         n_args == 2 ? "key, value" : "key");
            return -1;
        }
        found[at] = args[i];
    }
    if (!found[0] || (n_args == 2 && !found[1])) {
        PyErr_Format(PyExc_TypeError, "%s() misses %s", what, found[0] ? "value" : "key");
        return -1;
    }
    out->key = found[0];
    out->value = found[1];
    return ckpy_dag_arg(found[2], &out->dag);
}

static int two_args(const char *what, Py_ssize_t nargs)
{
    if (nargs == 1 || nargs == 2) return 0;
    PyErr_Format(PyExc_TypeError, "%s expected 1 or 2 arguments, got %zd", what, nargs);
    return -1;
}

/* ---- reading one key */

/* Under the lock: CKV_OK holds the value, CKV_ENOENT does not. */
static ckv_status hold_value(ckpy_datastore *d, ckv_store_key k, ckpy_held *held)
{
    ckv_value_bytes value;
    const ckv_status s = ckv_datastore_get(d->core, k, &value);
    if (s != CKV_OK) return s;
    return ckpy_hold(ckpy_bytes_of(value), held) ? CKV_OK : CKV_ENOMEM;
}

/* NULL without an exception: not there. */
static PyObject *look_up(ckpy_datastore *d, PyObject *key)
{
    ckv_store_key k;
    ckpy_held held = {0};
    if (ckpy_key_arg(d->state, key, &k) < 0 || ckpy_datastore_read_begin(d) < 0) return NULL;
    const ckv_status s = hold_value(d, k, &held);
    if (s != CKV_OK && s != CKV_ENOENT) {
        (void)ckpy_datastore_end_slow(d, s, key);
        return NULL;
    }
    ckpy_lock_put(&d->lock);
    return ckpy_held_value(&held);
}

PyObject *ckpy_datastore_subscript(PyObject *op, PyObject *key)
{
    PyObject *value = look_up(DATASTORE(op), key);
    if (!value && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

PyObject *ckpy_datastore_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (two_args("get", nargs) < 0) return NULL;
    PyObject *value = look_up(DATASTORE(op), args[0]);
    if (value || PyErr_Occurred()) return value;
    return Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

/* Under the lock, which is let go of unless it is CKV_OK or CKV_ENOENT: is the key there, and where is its value? */
static int find(ckpy_datastore *d, ckv_store_key k, ckv_value_bytes *value)
{
    const ckv_status s = ckv_datastore_get(d->core, k, value);
    if (s == CKV_OK || s == CKV_ENOENT) return s == CKV_OK;
    return ckpy_datastore_end_slow(d, s, NULL);
}

int ckpy_datastore_contains(PyObject *op, PyObject *key)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_store_key k;
    ckv_value_bytes value;
    if (ckpy_key_arg(d->state, key, &k) < 0 || ckpy_datastore_read_begin(d) < 0) return -1;
    const int found = find(d, k, &value);
    if (found >= 0) ckpy_lock_put(&d->lock);
    return found;
}

PyObject *ckpy_datastore_size(PyObject *op, PyObject *key)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_store_key k;
    ckv_value_bytes value;
    size_t n_bytes = 0;
    if (ckpy_key_arg(d->state, key, &k) < 0 || ckpy_datastore_read_begin(d) < 0) return NULL;
    const int found = find(d, k, &value);
    if (found > 0) {
        n_bytes = value.n_bytes;
        if (value.ptr[0] == CKV_TAG_STR || value.ptr[0] == CKV_TAG_BYTES) {
            ckv_rd rd = ckv_rd_init(value.ptr + 1, value.n_bytes - 1);
            (void)ckv_rd_blob(&rd, &n_bytes);
        }
    }
    if (found >= 0) ckpy_lock_put(&d->lock);
    if (found == 0) PyErr_SetObject(PyExc_KeyError, key);
    return found > 0 ? PyLong_FromSize_t(n_bytes) : NULL;
}

/* ---- how many */

Py_ssize_t ckpy_datastore_length(PyObject *op)
{
    ckpy_datastore *d = DATASTORE(op);
    uint64_t n = 0;
    if (ckpy_datastore_read_begin(d) < 0) return -1;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_len(d->core, &n);
    ckpy_datastore_back(d, ts);
    if (s != CKV_OK) return ckpy_datastore_end_slow(d, s, NULL);
    ckpy_lock_put(&d->lock);
    return (Py_ssize_t)n;
}

/* Under the lock: the first or last key, and its value; the query must go. CKV_ENOENT: there is none. */
static ckv_status look_at_end(ckpy_datastore *d, bool last, ckv_query **q, ckv_store_key *key,
                              ckv_value_bytes *value)
{
    CKV_TRY(ckv_query_new(q, d->core, NULL, NULL, last));
    const ckv_status s = ckv_query_next(*q, key, value);
    if (s != CKV_OK) ckv_query_free(*q);
    return s;
}

int ckpy_datastore_bool(PyObject *op)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_query *q;
    ckv_store_key key;
    ckv_value_bytes value;
    if (ckpy_datastore_read_begin(d) < 0) return -1;
    const ckv_status s = look_at_end(d, false, &q, &key, &value);
    if (s == CKV_OK) ckv_query_free(q);
    if (s != CKV_OK && s != CKV_ENOENT) return ckpy_datastore_end_slow(d, s, NULL);
    ckpy_lock_put(&d->lock);
    return s == CKV_OK;
}

PyObject *ckpy_datastore_iter(PyObject *op)
{
    return ckpy_query_all(DATASTORE(op), CKPY_ROW_KEYS, false);
}

PyObject *ckpy_datastore_reversed(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_query_all(DATASTORE(op), CKPY_ROW_KEYS, true);
}

/* ---- writing one key */

/* Under the lock. */
static ckv_status put_here(ckpy_datastore *d, ckpy_dag_name dag, ckv_store_key k,
                           const ckv_buf *value, int64_t ms)
{
    uint32_t number;
    PyThreadState *ts = ckpy_datastore_away(d);
    ckv_status s = ckpy_dag_number(d, dag, &number);
    if (s == CKV_OK) s = ckv_datastore_put(d->core, number, k, value->ptr, value->len, ms);
    ckpy_datastore_back(d, ts);
    return s;
}

static ckv_status delete_here(ckpy_datastore *d, ckpy_dag_name dag, ckv_store_key k, int64_t ms)
{
    uint32_t number;
    PyThreadState *ts = ckpy_datastore_away(d);
    ckv_status s = ckpy_dag_number(d, dag, &number);
    if (s == CKV_OK) s = ckv_datastore_delete(d->core, number, k, ms);
    ckpy_datastore_back(d, ts);
    return s;
}

static int put_item(ckpy_datastore *d, PyObject *key, PyObject *value, ckpy_dag_name dag)
{
    ckv_store_key k;
    ckpy_scratch scratch;
    int64_t ms;
    int result = -1;
    if (ckpy_key_arg(d->state, key, &k) < 0) return -1;
    ckpy_scratch_init(&scratch);
    if (ckpy_nested_write(d->state, &scratch.buf, value) == 0 && ckpy_datastore_now(d, &ms) == 0 &&
        ckpy_datastore_write_begin(d) == 0)
        result = ckpy_datastore_end(d, put_here(d, dag, k, &scratch.buf, ms), key);
    ckpy_scratch_fini(&scratch);
    return result;
}

/* 1: it was there. 0: it was not, and nothing was written. */
static int delete_item(ckpy_datastore *d, PyObject *key, ckpy_dag_name dag)
{
    ckv_store_key k;
    ckv_value_bytes value;
    int64_t ms;
    if (ckpy_key_arg(d->state, key, &k) < 0 || ckpy_datastore_now(d, &ms) < 0 ||
        ckpy_datastore_write_begin(d) < 0)
        return -1;
    const int found = find(d, k, &value);
    if (found < 0) return -1;
    const ckv_status s = found ? delete_here(d, dag, k, ms) : CKV_OK;
    return ckpy_datastore_end(d, s, key) < 0 ? -1 : found;
}

int ckpy_datastore_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    const ckpy_dag_name dag = {0};
    if (value) return put_item(DATASTORE(op), key, value, dag);
    const int found = delete_item(DATASTORE(op), key, dag);
    if (found == 0) PyErr_SetObject(PyExc_KeyError, key);
    return found > 0 ? 0 : -1;
}

PyObject *ckpy_datastore_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    ckpy_put_args a;
    if (ckpy_put_arg("put", args, nargs, kwnames, 2, &a) < 0 ||
        put_item(DATASTORE(op), a.key, a.value, a.dag) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *ckpy_datastore_delete(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    ckpy_put_args a;
    if (ckpy_put_arg("delete", args, nargs, kwnames, 1, &a) < 0) return NULL;
    const int found = delete_item(DATASTORE(op), a.key, a.dag);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

/* After a write that took a value out or put one in. NULL: an exception. */
static PyObject *taken(ckpy_datastore *d, ckv_status s, PyObject *key, ckpy_held *held)
{
    if (ckpy_datastore_end(d, s, key) == 0) return ckpy_held_value(held);
    Py_XDECREF(held->object);
    return NULL;
}

PyObject *ckpy_datastore_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_store_key k;
    ckpy_held held = {0};
    int64_t ms;
    if (two_args("pop", nargs) < 0 || ckpy_key_arg(d->state, args[0], &k) < 0 ||
        ckpy_datastore_now(d, &ms) < 0 || ckpy_datastore_write_begin(d) < 0)
        return NULL;
    ckv_status s = hold_value(d, k, &held);
    if (s == CKV_ENOENT && nargs == 2)
        return ckpy_datastore_end(d, CKV_OK, NULL) < 0 ? NULL : Py_NewRef(args[1]);
    if (s == CKV_OK) s = delete_here(d, (ckpy_dag_name){0}, k, ms);
    return taken(d, s, args[0], &held);
}

/* Under the lock: the last key and its value, then away with them. CKV_ENOENT: there is none. */
static ckv_status take_last(ckpy_datastore *d, int64_t ms, PyObject **key, ckpy_held *held)
{
    ckv_query *q;
    ckv_store_key k;
    ckv_value_bytes value;
    uint8_t room[CKV_MAX_KEY];
    const ckv_status s = look_at_end(d, true, &q, &k, &value);
    if (s != CKV_OK) return s;
    const bool held_it = (*key = ckpy_key(k)) && ckpy_hold(ckpy_bytes_of(value), held);
    if (k.n_bytes) memcpy(room, k.ptr, k.n_bytes);
    k.ptr = room;
    ckv_query_free(q);
    return held_it ? delete_here(d, (ckpy_dag_name){0}, k, ms) : CKV_ENOMEM;
}

PyObject *ckpy_datastore_popitem(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    PyObject *key = NULL, *result = NULL;
    ckpy_held held = {0};
    int64_t ms;
    if (ckpy_datastore_now(d, &ms) < 0 || ckpy_datastore_write_begin(d) < 0) return NULL;
    const ckv_status s = take_last(d, ms, &key, &held);
    PyObject *value = taken(d, s == CKV_ENOENT ? CKV_OK : s, Py_None, &held);
    if (value)
        result = PyTuple_Pack(2, key, value);
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_KeyError, "popitem(): there is no key");
    Py_XDECREF(value);
    Py_XDECREF(key);
    return result;
}

/* Under the lock: puts the value if the key is not there, and holds what is there then. */
static ckv_status put_default(ckpy_datastore *d, ckv_store_key k, const ckv_buf *value, int64_t ms,
                              ckpy_held *held)
{
    const ckv_status s = hold_value(d, k, held);
    if (s != CKV_ENOENT) return s;
    CKV_TRY(put_here(d, (ckpy_dag_name){0}, k, value, ms));
    return ckpy_hold((ckv_bytes){value->ptr, value->len}, held) ? CKV_OK : CKV_ENOMEM;
}

PyObject *ckpy_datastore_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_datastore *d = DATASTORE(op);
    if (two_args("setdefault", nargs) < 0) return NULL;
    PyObject *result = look_up(d, args[0]);
    if (result || PyErr_Occurred()) return result;
    ckv_store_key k;
    ckpy_held held = {0};
    ckpy_scratch scratch;
    int64_t ms;
    ckpy_scratch_init(&scratch);
    if (ckpy_key_arg(d->state, args[0], &k) == 0 &&
        ckpy_nested_write(d->state, &scratch.buf, nargs == 2 ? args[1] : Py_None) == 0 &&
        ckpy_datastore_now(d, &ms) == 0 && ckpy_datastore_write_begin(d) == 0)
        result = taken(d, put_default(d, k, &scratch.buf, ms, &held), args[0], &held);
    ckpy_scratch_fini(&scratch);
    return result;
}

/* ---- writing many keys: a batch, which splits when it is large */

#define SPLIT ((size_t)1 << 20)

/* Maybe without the GIL. */
static ckv_status written(ckv_batch *b, int64_t ms, bool all)
{
    uint32_t dag, change;
    if (ckv_batch_len(b) == 0 || (!all && ckv_batch_bytes(b) < SPLIT)) return CKV_OK;
    return ckv_batch_write(b, ms, NULL, 0, &dag, &change);
}

static ckv_status put_all(ckv_batch *b, const ckv_buf *items, int64_t ms)
{
    ckpy_record r;
    for (size_t at = 0; at < items->len; at += sizeof r + r.key_bytes + r.value_bytes) {
        memcpy(&r, items->ptr + at, sizeof r);
        const uint8_t *key = items->ptr + at + sizeof r;
        CKV_TRY(ckv_batch_put(b, 0, ckpy_record_key(&r, key), key + r.key_bytes, r.value_bytes));
        CKV_TRY(written(b, ms, false));
    }
    return written(b, ms, true);
}

static ckv_status delete_all(ckpy_datastore *d, ckv_batch *b, int64_t ms)
{
    ckv_query *q;
    ckv_store_key key;
    ckv_value_bytes value;
    CKV_TRY(ckv_query_new(&q, d->core, NULL, NULL, false));
    ckv_status s;
    while ((s = ckv_query_next(q, &key, &value)) == CKV_OK) {
        if ((s = ckv_batch_delete(b, 0, key)) != CKV_OK) break;
        if ((s = written(b, ms, false)) != CKV_OK) break;
    }
    ckv_query_free(q);
    return s == CKV_ENOENT ? written(b, ms, true) : s;
}

/* items NULL: delete all. */
static PyObject *write_many(ckpy_datastore *d, const ckv_buf *items)
{
    int64_t ms;
    ckv_batch *b;
    uint32_t dag;
    if (ckpy_datastore_now(d, &ms) < 0 || ckpy_datastore_write_begin(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    ckv_status s = ckv_batch_new(&b, d->core);
    if (s == CKV_OK) {
        s = ckpy_dag_number(d, (ckpy_dag_name){0}, &dag);
        if (s == CKV_OK) s = items ? put_all(b, items, ms) : delete_all(d, b, ms);
        ckv_batch_free(b);
    }
    ckpy_datastore_back(d, ts);
    if (ckpy_datastore_end(d, s, NULL) < 0) return NULL;
    Py_RETURN_NONE;
}

/* A dict of nobody else's. */
PyObject *ckpy_datastore_update(PyObject *op, PyObject *dict)
{
    ckpy_datastore *d = DATASTORE(op);
    if (!PyDict_CheckExact(dict)) {
        PyErr_SetString(PyExc_TypeError, "_update wants a dict");
        return NULL;
    }
    ckv_buf items = ckv_buf_init(ckv_alloc_libc);
    PyObject *result = ckpy_records_of(d->state, dict, &items) == 0 ? write_many(d, &items) : NULL;
    ckv_buf_fini(&items);
    return result;
}

PyObject *ckpy_datastore_clear(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return write_many(DATASTORE(op), NULL);
}
