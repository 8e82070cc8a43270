/* obj_map.c -- Map, and the root map as Doc shows it: the same code for (document, container). crdtkv/map.py has the manners.
 *
 * Setting a scalar is the hot path: no allocation, the bytes of key and value go from the str straight to the core.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/plain.h"

#define DOC(op)    ((ckpy_doc *)(op))
#define MAX_KEY    4096u
#define IS_ROOT(c) ((c) == CKV_ROOT)

/* ---- keys */

typedef struct name {
    const char *ptr; /* borrowed from the key object */
    size_t n_bytes;
} name;

/* For reading. 1: a key; 0: cannot be one, so nothing is there; -1: an exception, as a dict raises it. */
static int name_to_read(PyObject *key, name *out)
{
    if (!PyUnicode_Check(key)) return PyObject_Hash(key) == -1 ? -1 : 0;
    Py_ssize_t n;
    out->ptr = PyUnicode_AsUTF8AndSize(key, &n);
    if (!out->ptr) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
        PyErr_Clear();
        return 0;
    }
    out->n_bytes = (size_t)n;
    return 1;
}

static int check_key(PyObject *key)
{
    if (PyUnicode_Check(key)) return 0;
    PyErr_Format(PyExc_TypeError, "keys are str, not %.100s", Py_TYPE(key)->tp_name);
    return -1;
}

static int name_to_write(PyObject *key, name *out)
{
    if (check_key(key) < 0) return -1;
    Py_ssize_t n;
    out->ptr = PyUnicode_AsUTF8AndSize(key, &n);
    out->n_bytes = (size_t)n;
    return out->ptr ? 0 : -1;
}

static int raise_edit(ckpy_doc *d, const name *k, ckv_status s)
{
    if (s == CKV_ELIMIT && k->n_bytes > MAX_KEY)
        ckpy_raise(d->state, s, "a key holds at most 4 KiB");
    else
        ckpy_edit_raise(d, CKV_KIND_MAP, s);
    return -1;
}

/* ---- reading (document, container) */

static bool is_live(ckpy_doc *d, uint32_t c)
{
    return !d->closed && (IS_ROOT(c) || ckv_doc_is_live(d->core, c));
}

/* NULL without an exception: not there. */
static PyObject *look_up(ckpy_doc *d, uint32_t c, PyObject *key)
{
    name k;
    const int is_key = name_to_read(key, &k);
    if (is_key < 0) return NULL;
    ckv_value v = {.tag = CKV_TAG_NONE};
    PyObject *scalar = NULL;
    ckv_status s = CKV_ESTALE;
    ckpy_lock_get(&d->lock);
    if (is_live(d, c)) {
        s = is_key ? ckv_map_get(d->core, c, k.ptr, k.n_bytes, &v) : CKV_ENOENT;
        if (s == CKV_OK && ckv_tag_is_scalar(v.tag)) scalar = ckpy_value(&v);
    }
    ckpy_lock_put(&d->lock);
    if (s == CKV_OK) return ckpy_handle_or(d, scalar, &v);
    return s == CKV_ENOENT ? NULL : ckpy_edit_raise(d, CKV_KIND_MAP, s);
}

static PyObject *get_item(ckpy_doc *d, uint32_t c, PyObject *key)
{
    PyObject *value = look_up(d, c, key);
    if (!value && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

static int contains(ckpy_doc *d, uint32_t c, PyObject *key)
{
    name k;
    const int is_key = name_to_read(key, &k);
    if (is_key < 0) return -1;
    ckv_value v;
    ckv_status s = CKV_ESTALE;
    ckpy_lock_get(&d->lock);
    if (is_live(d, c)) s = is_key ? ckv_map_get(d->core, c, k.ptr, k.n_bytes, &v) : CKV_ENOENT;
    ckpy_lock_put(&d->lock);
    if (s == CKV_OK || s == CKV_ENOENT) return s == CKV_OK;
    return raise_edit(d, &k, s);
}

static Py_ssize_t length(ckpy_doc *d, uint32_t c)
{
    Py_ssize_t n = -1;
    ckpy_lock_get(&d->lock);
    if (is_live(d, c)) n = (Py_ssize_t)ckv_map_len(d->core, c);
    ckpy_lock_put(&d->lock);
    if (n < 0) ckpy_edit_raise(d, CKV_KIND_MAP, CKV_ESTALE);
    return n;
}

/* The keys at this moment. */
static PyObject *keys(ckpy_doc *d, uint32_t c)
{
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    PyObject **made = NULL;
    size_t n = 0;
    bool ok = true;
    ckpy_lock_get(&d->lock);
    ckv_status s = is_live(d, c) ? ckv_map_entries(d->core, NULL, c, &found) : CKV_ESTALE;
    const ckv_entry *e = (const ckv_entry *)(const void *)found.ptr;
    if (s == CKV_OK) {
        n = found.len / sizeof *e;
        made = PyMem_RawCalloc(n + 1, sizeof *made);
        if (!made) s = CKV_ENOMEM;
    }
    for (size_t i = 0; s == CKV_OK && ok && i < n; i++)
        ok = (made[i] = PyUnicode_DecodeUTF8(e[i].key, (Py_ssize_t)e[i].key_bytes, NULL)) != NULL;
    ckpy_lock_put(&d->lock);
    ckv_buf_fini(&found);
    PyObject *list = s != CKV_OK ? ckpy_edit_raise(d, CKV_KIND_MAP, s)
                     : ok        ? PyList_New((Py_ssize_t)n)
                                 : NULL;
    for (size_t i = 0; made && i < n; i++) {
        if (list)
            PyList_SET_ITEM(list, (Py_ssize_t)i, made[i]);
        else
            Py_XDECREF(made[i]);
    }
    PyMem_RawFree(made);
    return list;
}

static PyObject *iter_of(PyObject *list)
{
    PyObject *it = list ? PyObject_GetIter(list) : NULL;
    Py_XDECREF(list);
    return it;
}

/* ---- writing */

/* What an entry can add to the open change: key, value, and the op around them. */
static size_t entry_bytes(const name *k, size_t value_bytes)
{
    return k->n_bytes + value_bytes + 64;
}

static int set_scalar(ckpy_doc *d, uint32_t c, const name *k, const ckv_value *v)
{
    ckv_status s;
    int again;
    uint32_t made;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = ckv_map_set(d->core, c, k->ptr, k->n_bytes, v, &made);
        again = s == CKV_ELIMIT && k->n_bytes <= MAX_KEY ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const bool sized = v->tag == CKV_TAG_STR || v->tag == CKV_TAG_BYTES;
    const int told = ckpy_edit_end(d, s == CKV_OK ? entry_bytes(k, sized ? v->n_bytes : 16) : 0);
    return s == CKV_OK ? told : raise_edit(d, k, s);
}

/* Is h the very container that stands at this key? Then storing it there is nothing: doc["t"] += "x". */
static bool stands_at(ckpy_doc *d, uint32_t c, const name *k, const ckpy_handle *h)
{
    if (h->doc != d) return false;
    ckv_value v;
    ckpy_lock_get(&d->lock);
    const bool same = ckv_map_get(d->core, c, k->ptr, k->n_bytes, &v) == CKV_OK &&
                      !ckv_tag_is_scalar(v.tag) && v.container == h->container && is_live(d, c);
    ckpy_lock_put(&d->lock);
    return same;
}

typedef struct slot {
    uint32_t container;
    const name *key;
} slot;

static ckv_status put_value(ckv_doc *core, const ckpy_flat *f, void *ctx, ckv_buf *made)
{
    const slot *at = ctx;
    return ckv_plain_set(core, at->container, at->key->ptr, at->key->n_bytes, f->bytes.ptr,
                         f->bytes.len, made);
}

/* Only if nothing is there. */
static ckv_status put_default(ckv_doc *core, const ckpy_flat *f, void *ctx, ckv_buf *made)
{
    const slot *at = ctx;
    ckv_value v;
    const ckv_status s = ckv_map_get(core, at->container, at->key->ptr, at->key->n_bytes, &v);
    if (s != CKV_ENOENT) return s;
    const bool scalar = ckv_tag_is_scalar((ckv_tag)f->bytes.ptr[0]);
    return (scalar ? ckv_plain_set : ckv_plain_set_default)(
        core, at->container, at->key->ptr, at->key->n_bytes, f->bytes.ptr, f->bytes.len, made);
}

static int store(ckpy_doc *d, uint32_t c, PyObject *key, const name *k, PyObject *value,
                 ckpy_put put)
{
    ckpy_flat f;
    bool raised = false;
    slot at = {c, k};
    ckv_status s = CKV_OK;
    ckpy_flat_init_in(&f, d, c, key, -1);
    f.may_split = put == put_value;
    if (k->n_bytes > f.max_key)
        s = CKV_ELIMIT;
    else if (ckpy_flat_add(&f, value) < 0)
        raised = true;
    else
        s = ckpy_flat_store(&f, d, put, &at, &raised);
    ckpy_flat_fini(&f);
    if (raised) return -1;
    return s == CKV_OK ? 0 : raise_edit(d, k, s);
}

static int set_item(ckpy_doc *d, uint32_t c, PyObject *key, PyObject *value)
{
    name k;
    if (name_to_write(key, &k) < 0) return -1;
    ckv_value v;
    const int scalar = ckpy_value_arg(value, &v);
    if (scalar < 0) return -1;
    if (scalar) return set_scalar(d, c, &k, &v);
    if (ckpy_is_handle(d->state, value) && stands_at(d, c, &k, HANDLE(value))) return 0;
    return store(d, c, key, &k, value, put_value);
}

static int del_item(ckpy_doc *d, uint32_t c, PyObject *key)
{
    name k = {0};
    const int is_key = name_to_read(key, &k);
    if (is_key < 0) return -1;
    ckv_status s = CKV_ENOENT;
    int told = 0;
    if (is_key) {
        int again;
        if (ckpy_edit_begin(d) < 0) return -1;
        do {
            s = is_live(d, c) ? ckv_map_unset(d->core, c, k.ptr, k.n_bytes) : CKV_ESTALE;
            again = s == CKV_ELIMIT && k.n_bytes <= MAX_KEY ? ckpy_edit_make_room(d) : 0;
            if (again < 0) return -1;
        } while (again);
        told = ckpy_edit_end(d, s == CKV_OK ? entry_bytes(&k, 0) : 0);
        if (s == CKV_ELIMIT && k.n_bytes > MAX_KEY) s = CKV_ENOENT;
    }
    if (s == CKV_OK) return told;
    if (s != CKV_ENOENT) return raise_edit(d, &k, s);
    PyErr_SetObject(PyExc_KeyError, key);
    return -1;
}

/* Under the lock: the shown value as a scalar object or in bytes, then away with it. */
static ckv_status take(ckpy_doc *d, uint32_t c, const name *k, PyObject **scalar, ckv_buf *bytes)
{
    ckv_value v;
    if (!is_live(d, c)) return CKV_ESTALE;
    CKV_TRY(ckv_map_get(d->core, c, k->ptr, k->n_bytes, &v));
    Py_CLEAR(*scalar);
    bytes->len = 0;
    if (!ckv_tag_is_scalar(v.tag))
        CKV_TRY(ckv_plain_write(d->core, NULL, v.container, bytes));
    else if (!(*scalar = ckpy_value(&v)))
        return CKV_ENOMEM;
    return ckv_map_unset(d->core, c, k->ptr, k->n_bytes);
}

/* NULL without an exception: not there. */
static PyObject *pop_item(ckpy_doc *d, uint32_t c, PyObject *key)
{
    name k = {0};
    const int is_key = name_to_read(key, &k);
    if (is_key <= 0) return NULL;
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    PyObject *scalar = NULL;
    int again = 0, told = 0;
    ckv_status s = CKV_OK;
    if (ckpy_edit_begin(d) < 0) return NULL;
    do {
        s = take(d, c, &k, &scalar, &bytes);
        again = s == CKV_ELIMIT && k.n_bytes <= MAX_KEY ? ckpy_edit_make_room(d) : 0;
    } while (again > 0);
    if (again == 0) told = ckpy_edit_end(d, s == CKV_OK ? entry_bytes(&k, 0) : 0);
    PyObject *result = NULL;
    if (again == 0 && s == CKV_OK && told == 0)
        result = scalar ? Py_NewRef(scalar) : ckpy_plain_one(d->state, &bytes, false);
    else if (again == 0 && s != CKV_OK && s != CKV_ENOENT && k.n_bytes <= MAX_KEY)
        ckpy_edit_raise(d, CKV_KIND_MAP, s);
    Py_XDECREF(scalar);
    ckv_buf_fini(&bytes);
    return result;
}

static PyObject *set_default(ckpy_doc *d, uint32_t c, PyObject *key, PyObject *value)
{
    name k;
    if (name_to_write(key, &k) < 0) return NULL;
    PyObject *present = look_up(d, c, key);
    if (present || PyErr_Occurred()) return present;
    if (store(d, c, key, &k, value, put_default) < 0) return NULL;
    return get_item(d, c, key);
}

/* ---- conflicts and history: rows that show ids */

typedef struct row {
    ckv_id32 id, author;
    int64_t time;
    uint32_t index;
    bool is_set;
    ckv_value value;
    PyObject *scalar; /* owned */
} row;

/* Under the lock. False: no memory for the scalar. */
static bool fill_row(ckpy_doc *d, row *r, uint32_t change, const ckv_value *v)
{
    ckv_change_info info;
    ckv_doc_change(d->core, change, &info);
    r->id = *info.id;
    r->author = *info.author;
    r->time = info.time;
    r->value = *v;
    return !ckv_tag_is_scalar(v->tag) || (r->scalar = ckpy_value(v));
}

/* Lists of (change id, index, value): what conflicts() of Map and List show. view NULL: now. */
static PyObject *conflict_list(ckpy_doc *d, ckpy_view *view, const row *rows, size_t n)
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        const row *r = &rows[i];
        PyObject *value = Py_XNewRef(r->scalar);
        if (!value) {
            const ckv_kind kind = (ckv_kind)ckv_tag_kind(r->value.tag);
            value = view ? ckpy_handle_past(view, r->value.container, kind)
                         : ckpy_handle_of(d, r->value.container, kind);
        }
        PyObject *one =
            value ? Py_BuildValue("(y#kN)", r->id.b, (Py_ssize_t)32, (unsigned long)r->index, value)
                  : NULL;
        if (!one)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
    }
    return list;
}

static void free_rows(row *rows, size_t n)
{
    for (size_t i = 0; rows && i < n; i++) Py_XDECREF(rows[i].scalar);
    PyMem_RawFree(rows);
}

/* With the lock, which is let go of: the list of what the core found. */
PyObject *ckpy_conflicts(ckpy_doc *d, ckpy_view *view, ckv_kind kind, ckv_status s,
                         const ckv_buf *found)
{
    const ckv_conflict *f = (const ckv_conflict *)(const void *)found->ptr;
    const size_t n = s == CKV_OK ? found->len / sizeof *f : 0;
    row *rows = PyMem_RawCalloc(n + 1, sizeof *rows);
    bool ok = rows != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        rows[i].index = f[i].index;
        ok = fill_row(d, &rows[i], f[i].change, &f[i].value);
    }
    ckpy_lock_put(&d->lock);
    PyObject *list = NULL;
    if (s != CKV_OK && s != CKV_ENOENT)
        ckpy_edit_raise(d, kind, s);
    else
        list = ok ? conflict_list(d, view, rows, n) : PyErr_NoMemory();
    free_rows(rows, n);
    return list;
}

static PyObject *conflicts(ckpy_doc *d, uint32_t c, ckpy_view *view, PyObject *key)
{
    name k = {0};
    const int is_key = name_to_read(key, &k);
    if (is_key < 0 || ckpy_doc_settle(d, "conflicts") < 0) return NULL;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = !view && !is_live(d, c) ? CKV_ESTALE : CKV_ENOENT;
    if (is_key && s == CKV_ENOENT)
        s = ckv_map_conflicts(d->core, view ? view->core : NULL, c, k.ptr, k.n_bytes, &found);
    PyObject *list = ckpy_conflicts(d, view, CKV_KIND_MAP, s, &found);
    ckv_buf_fini(&found);
    return list;
}

/* The content of a container at a version, the last one without; it may be gone. */
static PyObject *last_content(ckpy_doc *d, ckpy_view *view, const ckv_value *v)
{
    const ckv_kind kind = (ckv_kind)ckv_tag_kind(v->tag);
    PyObject *h =
        view ? ckpy_handle_past(view, v->container, kind) : ckpy_handle_of(d, v->container, kind);
    PyObject *content = h ? ckpy_handle_content(HANDLE(h), LAST, false) : NULL;
    Py_XDECREF(h);
    return content;
}

static PyObject *history(ckpy_doc *d, uint32_t c, ckpy_view *view, PyObject *key)
{
    name k = {0};
    const int is_key = name_to_read(key, &k);
    if (is_key < 0 || ckpy_doc_settle(d, "history") < 0) return NULL;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = !view && !is_live(d, c) ? CKV_ESTALE : CKV_ENOENT;
    if (is_key && s == CKV_ENOENT)
        s = ckv_map_history(d->core, view ? view->core : NULL, c, k.ptr, k.n_bytes, &found);
    const ckv_past_write *w = (const ckv_past_write *)(const void *)found.ptr;
    const size_t n = s == CKV_OK ? found.len / sizeof *w : 0;
    row *rows = PyMem_RawCalloc(n + 1, sizeof *rows);
    bool ok = rows != NULL;
    const ckv_value none = {.tag = CKV_TAG_NONE};
    for (size_t i = 0; ok && i < n; i++) {
        rows[i].is_set = w[i].is_set;
        ok = fill_row(d, &rows[i], w[i].change, w[i].is_set ? &w[i].value : &none);
    }
    ckpy_lock_put(&d->lock);
    PyObject *list = NULL;
    if (s != CKV_OK && s != CKV_ENOENT)
        ckpy_edit_raise(d, CKV_KIND_MAP, s);
    else
        list = ok ? PyList_New((Py_ssize_t)n) : PyErr_NoMemory();
    for (size_t i = 0; list && i < n; i++) {
        PyObject *value =
            rows[i].scalar ? Py_NewRef(rows[i].scalar) : last_content(d, view, &rows[i].value);
        PyObject *one = value ? Py_BuildValue("(ONy#y#L)", rows[i].is_set ? Py_True : Py_False,
                                              value, rows[i].author.b, (Py_ssize_t)32, rows[i].id.b,
                                              (Py_ssize_t)32, (long long)rows[i].time)
                              : NULL;
        if (!one)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
    }
    free_rows(rows, n);
    ckv_buf_fini(&found);
    return list;
}

/* ---- one that is not attached */

static int local_set(ckpy_handle *h, PyObject *key, PyObject *value)
{
    ckpy_state *st = ckpy_state_of(Py_TYPE(h));
    PyObject *plain = st ? ckpy_handle_own(h) : NULL;
    int done = -1;
    name k;
    if (plain && !value) {
        done = PyDict_DelItem(plain, key);
    } else if (plain && name_to_write(key, &k) == 0) {
        if (k.n_bytes > MAX_KEY)
            ckpy_raise(st, CKV_ELIMIT, "a key holds at most 4 KiB");
        else if (ckpy_flat_check(st, value, key) == 0)
            done = PyDict_SetItem(plain, key, value);
    }
    Py_XDECREF(plain);
    return done;
}

/* NULL without an exception: not there. */
static PyObject *local_get(ckpy_handle *h, PyObject *key)
{
    PyObject *plain = ckpy_handle_local(h);
    PyObject *value = plain ? Py_XNewRef(PyDict_GetItemWithError(plain, key)) : NULL;
    Py_XDECREF(plain);
    return value;
}

static PyObject *local_keys(ckpy_handle *h)
{
    PyObject *plain = ckpy_handle_local(h), *list = plain ? PyDict_Keys(plain) : NULL;
    Py_XDECREF(plain);
    if (list && PyList_Sort(list) < 0) Py_CLEAR(list); /* code points sort as their UTF-8 does */
    return list;
}

static PyObject *local_pop(ckpy_handle *h, PyObject *key)
{
    if (h->frozen) return ckpy_frozen(h);
    PyObject *value = local_get(h, key);
    if (!value) return NULL;
    if (local_set(h, key, NULL) < 0) {
        Py_DECREF(value);
        return NULL;
    }
    ckpy_state *st = ckpy_state_of(Py_TYPE(h));
    if (st && ckpy_is_handle(st, value))
        Py_SETREF(value, ckpy_handle_content(HANDLE(value), LAST, false));
    return value;
}

/* ---- both faces: Map (a handle) and Doc (the root) */

static int two_args(const char *what, Py_ssize_t nargs)
{
    if (nargs == 1 || nargs == 2) return 0;
    PyErr_Format(PyExc_TypeError, "%s expected 1 or 2 arguments, got %zd", what, nargs);
    return -1;
}

static PyObject *or_default(PyObject *value, PyObject *const *args, Py_ssize_t nargs)
{
    if (value || PyErr_Occurred()) return value;
    return Py_NewRef(nargs == 2 ? args[1] : Py_None);
}

static PyObject *or_key_error(PyObject *value, PyObject *const *args, Py_ssize_t nargs)
{
    if (value || PyErr_Occurred()) return value;
    if (nargs == 2) return Py_NewRef(args[1]);
    PyErr_SetObject(PyExc_KeyError, args[0]);
    return NULL;
}

PyObject *ckpy_doc_map_subscript(PyObject *op, PyObject *key)
{
    return get_item(DOC(op), CKV_ROOT, key);
}
int ckpy_doc_map_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    return value ? set_item(DOC(op), CKV_ROOT, key, value) : del_item(DOC(op), CKV_ROOT, key);
}
Py_ssize_t ckpy_doc_map_length(PyObject *op) { return length(DOC(op), CKV_ROOT); }
int ckpy_doc_map_contains(PyObject *op, PyObject *key) { return contains(DOC(op), CKV_ROOT, key); }
PyObject *ckpy_doc_map_iter(PyObject *op) { return iter_of(keys(DOC(op), CKV_ROOT)); }

PyObject *ckpy_doc_map_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (two_args("get", nargs) < 0) return NULL;
    return or_default(look_up(DOC(op), CKV_ROOT, args[0]), args, nargs);
}

PyObject *ckpy_doc_map_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (two_args("pop", nargs) < 0) return NULL;
    return or_key_error(pop_item(DOC(op), CKV_ROOT, args[0]), args, nargs);
}

PyObject *ckpy_doc_map_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    if (two_args("setdefault", nargs) < 0) return NULL;
    return set_default(DOC(op), CKV_ROOT, args[0], nargs == 2 ? args[1] : Py_None);
}

PyObject *ckpy_doc_map_conflicts(PyObject *op, PyObject *key)
{
    return conflicts(DOC(op), CKV_ROOT, NULL, key);
}
PyObject *ckpy_doc_map_history(PyObject *op, PyObject *key)
{
    return history(DOC(op), CKV_ROOT, NULL, key);
}

PyObject *ckpy_doc_map_to_py(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_doc *d = DOC(op);
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_look_begin(d) < 0) return NULL;
    const ckv_status s = ckpy_write_plain(d, NULL, CKV_ROOT, &bytes);
    ckpy_lock_put(&d->lock);
    PyObject *result =
        s == CKV_OK ? ckpy_plain_one(d->state, &bytes, false) : ckpy_edit_raise(d, CKV_KIND_MAP, s);
    ckv_buf_fini(&bytes);
    return result;
}

static PyObject *Map_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    ckpy_state *st = ckpy_state_of(tp);
    PyObject *plain = NULL;
    if (!st) return NULL;
    if (PyTuple_GET_SIZE(args) == 1 && ckpy_is_handle(st, PyTuple_GET_ITEM(args, 0)) &&
        HANDLE(PyTuple_GET_ITEM(args, 0))->kind == CKV_KIND_MAP) {
        plain = ckpy_handle_content(HANDLE(PyTuple_GET_ITEM(args, 0)), LAST, true);
        if (plain && kw && PyDict_Update(plain, kw) < 0) Py_CLEAR(plain);
    } else {
        plain = PyObject_Call((PyObject *)&PyDict_Type, args, kw);
    }
    if (plain && ckpy_flat_check(st, plain, NULL) < 0) Py_CLEAR(plain);
    return ckpy_handle_new(tp, CKV_KIND_MAP, plain);
}

static PyObject *Map_subscript(PyObject *op, PyObject *key)
{
    ckpy_handle *h = HANDLE(op);
    if (h->doc) return get_item(h->doc, h->container, key);
    PyObject *value = local_get(h, key);
    if (!value && !PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

static int Map_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    ckpy_handle *h = HANDLE(op);
    if (!h->doc) return local_set(h, key, value);
    return value ? set_item(h->doc, h->container, key, value) : del_item(h->doc, h->container, key);
}

static Py_ssize_t Map_length(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    if (h->doc) return length(h->doc, h->container);
    PyObject *plain = ckpy_handle_local(h);
    const Py_ssize_t n = plain ? PyDict_GET_SIZE(plain) : -1;
    Py_XDECREF(plain);
    return n;
}

static int Map_contains(PyObject *op, PyObject *key)
{
    ckpy_handle *h = HANDLE(op);
    if (h->doc) return contains(h->doc, h->container, key);
    PyObject *plain = ckpy_handle_local(h);
    const int found = plain ? PyDict_Contains(plain, key) : -1;
    Py_XDECREF(plain);
    return found;
}

static PyObject *Map_iter(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    return iter_of(h->doc ? keys(h->doc, h->container) : local_keys(h));
}

static PyObject *Map_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_handle *h = HANDLE(op);
    if (two_args("get", nargs) < 0) return NULL;
    return or_default(h->doc ? look_up(h->doc, h->container, args[0]) : local_get(h, args[0]), args,
                      nargs);
}

static PyObject *Map_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_handle *h = HANDLE(op);
    if (two_args("pop", nargs) < 0) return NULL;
    return or_key_error(h->doc ? pop_item(h->doc, h->container, args[0]) : local_pop(h, args[0]),
                        args, nargs);
}

static PyObject *Map_setdefault(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_handle *h = HANDLE(op);
    if (two_args("setdefault", nargs) < 0) return NULL;
    PyObject *value = nargs == 2 ? args[1] : Py_None;
    if (h->doc) return set_default(h->doc, h->container, args[0], value);
    PyObject *present = local_get(h, args[0]);
    if (present || PyErr_Occurred()) return present;
    return local_set(h, args[0], value) < 0 ? NULL : Py_NewRef(value);
}

static PyObject *Map_conflicts(PyObject *op, PyObject *key)
{
    ckpy_handle *h = HANDLE(op);
    ckpy_view *view = (ckpy_view *)h->view;
    if (h->doc || view) return conflicts(h->doc ? h->doc : view->doc, h->container, view, key);
    return PyErr_Format(PyExc_TypeError, "a map that is not stored in a document has no conflicts");
}

static PyObject *Map_history(PyObject *op, PyObject *key)
{
    ckpy_handle *h = HANDLE(op);
    ckpy_view *view = (ckpy_view *)h->view;
    if (h->doc || view) return history(h->doc ? h->doc : view->doc, h->container, view, key);
    return PyErr_Format(PyExc_TypeError, "a map that is not stored in a document has no history");
}

/* ---- spec */

#define SETUP                                                                                      \
    "\n\n>>> import crdtkv as ck\n>>> doc = ck.Doc()\n>>> doc['m'] = {'a': 1, 'b': [2]}\n>>> m = " \
    "doc['m']\n"

static PyMethodDef Map_methods[] = {
    {"get", (PyCFunction)(void (*)(void))Map_get, METH_FASTCALL,
     "get($self, key, default=None, /)\n--\n\n"
     "The value of a key, `default` if it is not there." SETUP
     ">>> m.get('a'), m.get('z'), m.get('z', 7)\n(1, None, 7)"},
    {"pop", (PyCFunction)(void (*)(void))Map_pop, METH_FASTCALL,
     "pop($self, key, /, *default)\n--\n\n"
     "Remove a key and return its content, plain; the default if it is not there.\n\n"
     "KeyError without a default." SETUP ">>> m.pop('b'), m.pop('b', 'gone')\n([2], 'gone')"},
    {"setdefault", (PyCFunction)(void (*)(void))Map_setdefault, METH_FASTCALL,
     "setdefault($self, key, default=None, /)\n--\n\n"
     "The value of a key, which is set to `default` if it is not there.\n\n"
     "A container that several replicas make so at the same time is one container; what is in\n"
     "`default` are ordinary edits of it, and add up." SETUP
     ">>> m.setdefault('todo', []).append('milk')\n>>> m['todo'].to_py()\n['milk']"},
    {"to_py", ckpy_handle_to_py, METH_NOARGS,
     "to_py($self, /)\n--\n\n"
     "The content as a plain dict, keys in order of their bytes. Copies all." SETUP
     ">>> m.to_py()\n{'a': 1, 'b': [2]}"},
    {"_conflicts", Map_conflicts, METH_O,
     "_conflicts($self, key, /)\n--\n\n(change id, index, value) of each, the shown one first."},
    {"_history", Map_history, METH_O,
     "_history($self, key, /)\n--\n\n(is_set, value, author, change id, time), newest first."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Map_slots[] = {
    {Py_tp_doc, "Map(*args, **kwargs)\n--\n\nA map, the part in C; crdtkv.Map has the manners."},
    {Py_tp_new, Map_new},
    {Py_tp_dealloc, ckpy_handle_dealloc},
    {Py_tp_traverse, ckpy_handle_traverse},
    {Py_tp_clear, ckpy_handle_clear},
    {Py_tp_repr, ckpy_handle_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, Map_iter},
    {Py_tp_methods, Map_methods},
    {Py_mp_length, Map_length},
    {Py_mp_subscript, Map_subscript},
    {Py_mp_ass_subscript, Map_ass_subscript},
    {Py_sq_contains, Map_contains},
    {0, NULL},
};

PyType_Spec ckpy_map_spec = {
    .name = "crdtkv._core.Map",
    .basicsize = sizeof(ckpy_handle),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Map_slots,
};
