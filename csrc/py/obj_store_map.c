/* obj_store_map.c -- StoreMap: what Store and Transaction have in common, a mapping in key order. crdtkv/store.py has the manners.
 *
 * Setting and reading one key is the hot path: nothing is allocated beside the result, a small value is written on the stack.
 */
#include "py/errors.h"
#include "py/store.h"

/* ---- reading */

static ckv_bytes bytes_of(const ckv_buf *b) { return (ckv_bytes){b->ptr, b->len}; }

/* NULL without an exception: not there. */
static PyObject *look_up(ckpy_face *f, PyObject *key)
{
    ckv_store_key k;
    ckv_item item;
    ckpy_held held = {0};
    if (ckpy_key_arg(f->store->state, key, &k) < 0 || ckpy_read_begin(f) < 0) return NULL;
    if (ckv_store_get(f->store->core, f->txn != 0, k, &item)) (void)ckpy_hold(item.value, &held);
    ckpy_lock_put(&f->store->lock);
    return ckpy_held_value(&held);
}

static PyObject *StoreMap_subscript(PyObject *op, PyObject *key)
{
    ckpy_face *f = FACE(op);
    if (PySlice_Check(key)) {
        ckpy_range range;
        if (ckpy_range_of_slice(f->store->state, key, &range) < 0) return NULL;
        return ckpy_scan_dict(f, &range.core);
    }
    PyObject *value = look_up(f, key);
    if (!value && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

static int StoreMap_contains(PyObject *op, PyObject *key)
{
    ckpy_face *f = FACE(op);
    ckv_store_key k;
    ckv_item item;
    if (ckpy_key_arg(f->store->state, key, &k) < 0 || ckpy_read_begin(f) < 0) return -1;
    const bool found = ckv_store_get(f->store->core, f->txn != 0, k, &item);
    ckpy_lock_put(&f->store->lock);
    return found;
}

static Py_ssize_t StoreMap_length(PyObject *op)
{
    ckpy_face *f = FACE(op);
    if (ckpy_read_begin(f) < 0) return -1;
    const size_t n = ckv_store_len(f->store->core, f->txn != 0);
    ckpy_lock_put(&f->store->lock);
    return (Py_ssize_t)n;
}

static PyObject *StoreMap_iter(PyObject *op) { return ckpy_scan(FACE(op), CKPY_KEYS, NULL, false); }

static PyObject *StoreMap_reversed(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_scan(FACE(op), CKPY_KEYS, NULL, true);
}

/* ---- writing one key */

/* Under the lock. */
static ckv_status put_here(ckpy_face *f, ckv_store_key key, ckv_bytes value, uint64_t ms)
{
    ckpy_store *s = f->store;
    if (!f->txn) return ckv_store_put(s->core, key, value, ms, NULL);
    s->pending++;
    return ckv_txn_put(s->core, key, value);
}

static ckv_status remove_here(ckpy_face *f, ckv_store_key key)
{
    ckpy_store *s = f->store;
    if (!f->txn) return ckv_store_remove(s->core, key, NULL);
    s->pending++;
    return ckv_txn_remove(s->core, key);
}

static int set_item(ckpy_face *f, PyObject *key, PyObject *value)
{
    ckpy_store *s = f->store;
    ckv_store_key k;
    ckpy_scratch scratch;
    uint64_t ms = 0;
    int result = -1;
    if (ckpy_key_arg(s->state, key, &k) < 0) return -1;
    ckpy_scratch_init(&scratch);
    if (ckpy_nested_write(s->state, &scratch.buf, value) == 0 &&
        (f->txn || ckpy_store_now(s, &ms) == 0) && ckpy_write_begin(f) == 0) {
        const ckv_status status = put_here(f, k, bytes_of(&scratch.buf), ms);
        result = ckpy_write_end(s);
        if (status != CKV_OK) result = ckpy_write_raise(s, status, key);
    }
    ckpy_scratch_fini(&scratch);
    return result;
}

static int del_item(ckpy_face *f, PyObject *key)
{
    ckpy_store *s = f->store;
    ckv_store_key k;
    if (ckpy_key_arg(s->state, key, &k) < 0 || ckpy_write_begin(f) < 0) return -1;
    const ckv_status status = remove_here(f, k);
    const int told = ckpy_write_end(s);
    return status == CKV_OK ? told : ckpy_write_raise(s, status, key);
}

/* ---- writing many keys: all or none */

/* Under the lock: a transaction of their own for writes to the store itself. */
static ckv_status begin_many(ckpy_face *f)
{
    return f->txn ? CKV_OK : ckv_txn_begin(f->store->core);
}

static ckv_status end_many(ckpy_face *f, ckv_status s, uint64_t ms)
{
    if (f->txn) return s;
    if (s == CKV_OK) s = ckv_txn_commit(f->store->core, ms, NULL);
    if (s != CKV_OK) ckv_txn_abort(f->store->core);
    return s;
}

/* All keys of a range. */
static ckv_status list_keys(ckpy_face *f, const ckv_range *range, ckv_buf *out)
{
    ckv_scan *scan;
    ckv_item item;
    CKV_TRY(ckv_scan_new(&scan, f->store->core, f->txn != 0, range, false));
    ckv_status s;
    while ((s = ckv_scan_next(scan, &item)) == CKV_OK) {
        const ckpy_record r = {.key_bytes = item.key.n_bytes, .is_bytes = item.key.is_bytes};
        ckv_buf_bytes(out, &r, sizeof r);
        ckv_buf_bytes(out, item.key.ptr, item.key.n_bytes);
    }
    ckv_scan_free(scan);
    return s == CKV_ENOENT ? out->status : s;
}

static ckv_status remove_all(ckpy_face *f, const ckv_buf *keys)
{
    ckpy_record r;
    for (size_t at = 0; at < keys->len; at += sizeof r + r.key_bytes) {
        memcpy(&r, keys->ptr + at, sizeof r);
        CKV_TRY(ckv_txn_remove(f->store->core, ckpy_record_key(&r, keys->ptr + at + sizeof r)));
    }
    return CKV_OK;
}

/* range NULL: all. */
static int del_range(ckpy_face *f, const ckv_range *range)
{
    ckpy_store *s = f->store;
    uint64_t ms = 0;
    if (!f->txn && ckpy_store_now(s, &ms) < 0) return -1;
    ckv_buf keys = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_write_begin(f) < 0) return -1;
    const size_t n = ckv_store_len(s->core, f->txn != 0);
    s->pending += f->txn ? n : 0;
    PyThreadState *ts = ckpy_away_if(s, n > CKPY_MANY);
    ckv_status status = list_keys(f, range, &keys);
    if (status == CKV_OK && keys.len > 0 && (status = begin_many(f)) == CKV_OK)
        status = end_many(f, remove_all(f, &keys), ms);
    ckpy_back(s, ts);
    const int told = ckpy_write_end(s);
    ckv_buf_fini(&keys);
    return status == CKV_OK ? told : ckpy_write_raise(s, status, Py_None);
}

static ckv_status put_all(ckpy_face *f, const ckv_buf *items)
{
    ckpy_record r;
    for (size_t at = 0; at < items->len; at += sizeof r + r.key_bytes + r.value_bytes) {
        memcpy(&r, items->ptr + at, sizeof r);
        const uint8_t *key = items->ptr + at + sizeof r;
        const ckv_bytes value = {key + r.key_bytes, r.value_bytes};
        CKV_TRY(ckv_txn_put(f->store->core, ckpy_record_key(&r, key), value));
    }
    return CKV_OK;
}

/* A dict of nobody else's. */
static PyObject *StoreMap_update(PyObject *op, PyObject *dict)
{
    ckpy_face *f = FACE(op);
    ckpy_store *s = f->store;
    if (!PyDict_CheckExact(dict)) {
        PyErr_SetString(PyExc_TypeError, "_update wants a dict");
        return NULL;
    }
    const size_t n = (size_t)PyDict_GET_SIZE(dict);
    uint64_t ms = 0;
    bool ok = false;
    ckv_buf items = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_records_of(s->state, dict, &items) == 0 && (f->txn || ckpy_store_now(s, &ms) == 0) &&
        ckpy_write_begin(f) == 0) {
        s->pending += f->txn ? n : 0;
        PyThreadState *ts = ckpy_away_if(s, n > CKPY_MANY || items.len > CKPY_LONG);
        ckv_status status = begin_many(f);
        if (status == CKV_OK) status = end_many(f, put_all(f, &items), ms);
        ckpy_back(s, ts);
        ok = ckpy_write_end(s) == 0 && status == CKV_OK;
        if (status != CKV_OK) (void)ckpy_write_raise(s, status, Py_None);
    }
    ckv_buf_fini(&items);
    return ok ? Py_NewRef(Py_None) : NULL;
}

static PyObject *StoreMap_clear(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return del_range(FACE(op), NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

static int StoreMap_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    ckpy_face *f = FACE(op);
    if (PySlice_Check(key)) {
        if (value) {
            PyErr_SetString(PyExc_TypeError, "a range of keys cannot be assigned to; use update()");
            return -1;
        }
        ckpy_range range;
        if (ckpy_range_of_slice(f->store->state, key, &range) < 0) return -1;
        return del_range(f, &range.core);
    }
    return value ? set_item(f, key, value) : del_item(f, key);
}

/* ---- a dict's methods */

static int two_args(const char *what, Py_ssize_t nargs)
{
    if (nargs == 1 || nargs == 2) return 0;
    PyErr_Format(PyExc_TypeError, "%s expected 1 or 2 arguments, got %zd", what, nargs);
    return -1;
}

static PyObject *StoreMap_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (two_args("get", nargs) < 0) return NULL;
    PyObject *value = look_up(FACE(op), args[0]);
    if (value || PyErr_Occurred()) return value;
    return Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

static PyObject *StoreMap_to_py(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    return ckpy_scan_dict(FACE(op), NULL);
}

/* After a write that took a value out. NULL: an exception. */
static PyObject *taken(ckpy_store *s, ckv_status status, PyObject *key, ckpy_held *held)
{
    const int told = ckpy_write_end(s);
    if (status == CKV_OK && told == 0) return ckpy_held_value(held);
    if (status != CKV_OK && !PyErr_Occurred()) ckpy_write_raise(s, status, key);
    Py_XDECREF(held->object);
    return NULL;
}

static PyObject *StoreMap_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_face *f = FACE(op);
    ckpy_store *s = f->store;
    ckv_store_key k;
    ckv_item item;
    ckpy_held held = {0};
    if (two_args("pop", nargs) < 0 || ckpy_key_arg(s->state, args[0], &k) < 0 ||
        ckpy_write_begin(f) < 0)
        return NULL;
    ckv_status status = CKV_ENOENT;
    if (ckv_store_get(s->core, f->txn != 0, k, &item))
        status = ckpy_hold(item.value, &held) ? remove_here(f, k) : CKV_ENOMEM;
    if (status == CKV_ENOENT && nargs == 2)
        return ckpy_write_end(s) < 0 ? NULL : Py_NewRef(args[1]);
    return taken(s, status, args[0], &held);
}

/* Under the lock: the last key and its value, then away with them. CKV_ENOENT: there is none. */
static ckv_status take_last(ckpy_face *f, PyObject **key, ckpy_held *held)
{
    ckpy_store *s = f->store;
    ckv_scan *scan;
    ckv_item item;
    uint8_t room[CKV_MAX_KEY];
    CKV_TRY(ckv_scan_new(&scan, s->core, f->txn != 0, NULL, true));
    const ckv_status status = ckv_scan_next(scan, &item);
    ckv_scan_free(scan);
    if (status != CKV_OK) return status;
    if (!(*key = ckpy_key(item.key)) || !ckpy_hold(item.value, held)) return CKV_ENOMEM;
    if (item.key.n_bytes) memcpy(room, item.key.ptr, item.key.n_bytes);
    item.key.ptr = room;
    return remove_here(f, item.key);
}

static PyObject *StoreMap_popitem(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_face *f = FACE(op);
    PyObject *key = NULL, *result = NULL;
    ckpy_held held = {0};
    if (ckpy_write_begin(f) < 0) return NULL;
    const ckv_status status = take_last(f, &key, &held);
    PyObject *value = taken(f->store, status == CKV_ENOENT ? CKV_OK : status, Py_None, &held);
    if (value)
        result = PyTuple_Pack(2, key, value);
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_KeyError, "popitem(): there is no key");
    Py_XDECREF(value);
    Py_XDECREF(key);
    return result;
}

/* Under the lock: puts the value if the key is not there, and holds what is there then. */
static ckv_status put_default(ckpy_face *f, ckv_store_key k, ckv_bytes value, uint64_t ms,
                              ckpy_held *held)
{
    ckpy_store *s = f->store;
    ckv_item item;
    if (!ckv_store_get(s->core, f->txn != 0, k, &item)) {
        item.value = value;
        CKV_TRY(put_here(f, k, value, ms));
    }
    return ckpy_hold(item.value, held) ? CKV_OK : CKV_ENOMEM;
}

static PyObject *StoreMap_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_face *f = FACE(op);
    ckpy_store *s = f->store;
    if (two_args("setdefault", nargs) < 0) return NULL;
    PyObject *found = look_up(f, args[0]);
    if (found || PyErr_Occurred()) return found;
    ckv_store_key k;
    ckpy_held held = {0};
    ckpy_scratch scratch;
    uint64_t ms = 0;
    PyObject *result = NULL;
    ckpy_scratch_init(&scratch);
    if (ckpy_key_arg(s->state, args[0], &k) == 0 &&
        ckpy_nested_write(s->state, &scratch.buf, nargs == 2 ? args[1] : Py_None) == 0 &&
        (f->txn || ckpy_store_now(s, &ms) == 0) && ckpy_write_begin(f) == 0)
        result = taken(s, put_default(f, k, bytes_of(&scratch.buf), ms, &held), args[0], &held);
    ckpy_scratch_fini(&scratch);
    return result;
}

/* ---- spec */

#define SETUP "\n\n>>> import crdtkv as ck\n>>> s = ck.Store()\n>>> s.update(a=1, b=[2])\n"

static PyMethodDef StoreMap_methods[] = {
    {"get", (PyCFunction)(void (*)(void))StoreMap_get, METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\n"
     "The value of a key, `default` if it is not there." SETUP
     ">>> s.get('a'), s.get('z'), s.get('z', 7)\n(1, None, 7)"},
    {"pop", (PyCFunction)(void (*)(void))StoreMap_pop, METH_FASTCALL,
     "pop($self, key, /, *default)\n--\n\n"
     "Remove a key and return its value; the default if it is not there.\n\n"
     "KeyError without a default." SETUP ">>> s.pop('b'), s.pop('b', 'gone')\n([2], 'gone')"},
    {"popitem", StoreMap_popitem, METH_NOARGS,
     "popitem($self, /)\n--\n\n"
     "Remove the last key and return it with its value. KeyError: there is none." SETUP
     ">>> s.popitem()\n('b', [2])"},
    {"setdefault", (PyCFunction)(void (*)(void))StoreMap_setdefault, METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\n"
     "The value of a key, which is set to `default` if it is not there." SETUP
     ">>> s.setdefault('a', 5), s.setdefault('z', 5)\n(1, 5)"},
    {"clear", StoreMap_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nRemove all keys; of a store, in one transaction." SETUP
     ">>> s.clear()\n>>> len(s)\n0"},
    {"to_py", StoreMap_to_py, METH_NOARGS,
     "to_py($self, /)\n--\n\nThe content as a plain dict in key order, at one moment. Copies "
     "all." SETUP ">>> s.to_py()\n{'a': 1, 'b': [2]}"},
    {"__reversed__", StoreMap_reversed, METH_NOARGS,
     "__reversed__($self, /)\n--\n\nThe keys, the last one first."},
    {"_update", StoreMap_update, METH_O,
     "_update($self, items, /)\n--\n\nSet the keys of a dict, all or none."},
    {"_scan", (PyCFunction)(void (*)(void))ckpy_scan_method, METH_FASTCALL,
     "_scan($self, what, prefix, start, stop, reverse, /)\n--\n\n"
     "The keys (0), values (1) or both (2) of a range, one after the other."},
    {"_count", (PyCFunction)(void (*)(void))ckpy_count_method, METH_FASTCALL,
     "_count($self, prefix, start, stop, /)\n--\n\nHow many keys are in a range."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot StoreMap_slots[] = {
    {Py_tp_doc, "What Store and Transaction have in common: a mapping in key order."},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, StoreMap_iter},
    {Py_tp_methods, StoreMap_methods},
    {Py_mp_length, StoreMap_length},
    {Py_mp_subscript, StoreMap_subscript},
    {Py_mp_ass_subscript, StoreMap_ass_subscript},
    {Py_sq_contains, StoreMap_contains},
    {0, NULL},
};

PyType_Spec ckpy_store_map_spec = {
    .name = "crdtkv._core.StoreMap",
    .basicsize = sizeof(ckpy_face),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = StoreMap_slots,
};
