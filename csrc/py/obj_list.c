/* obj_list.c -- List: what is asked for often. crdtkv/list.py has the rest of list's manners.
 *
 * Positions are looked at under the lock, at the moment of the edit: a place counted from the end is the end of that moment.
 * One that is not attached asks the list that it holds.
 */
#include "py/convert.h"
#include "py/cursor.h"
#include "py/errors.h"
#include "py/plain.h"

/* What a scalar can add to the open change. */
static size_t value_bytes(const ckv_value *v)
{
    return v->tag == CKV_TAG_STR || v->tag == CKV_TAG_BYTES ? v->n_bytes + 32 : 32;
}

static int raise_edit(ckpy_doc *d, ckv_status s)
{
    ckpy_edit_raise(d, CKV_KIND_LIST, s);
    return -1;
}

/* Under the lock: an index, from the end if negative. CKV_ERANGE. */
static ckv_status place(const ckpy_handle *h, Py_ssize_t i, size_t *pos)
{
    if (!ckpy_is_live(h)) return CKV_ESTALE;
    const Py_ssize_t n = (Py_ssize_t)ckv_list_len(h->doc->core, h->container);
    if (i < 0) i += n;
    *pos = (size_t)i;
    return i < 0 || i >= n ? CKV_ERANGE : CKV_OK;
}

/* As list.insert() takes it: clamped. n: elements that there are. */
static size_t clamp(Py_ssize_t i, size_t n)
{
    if (i < 0) i += (Py_ssize_t)n;
    if (i < 0) return 0;
    return (size_t)i > n ? n : (size_t)i;
}

/* As ckpy_index_arg, but what is beyond all is clamped, as in list.insert(). */
static int clamped_arg(PyObject *op, Py_ssize_t *out)
{
    *out = PyNumber_AsSsize_t(op, NULL);
    return *out == -1 && PyErr_Occurred() ? -1 : 0;
}

/* ---- reading */

static PyObject *get_item(ckpy_handle *h, Py_ssize_t i)
{
    ckpy_doc *d = h->doc;
    ckv_value v = {.tag = CKV_TAG_NONE};
    PyObject *scalar = NULL;
    size_t pos;
    ckpy_lock_get(&d->lock);
    ckv_status s = place(h, i, &pos);
    if (s == CKV_OK) s = ckv_list_get(d->core, h->container, pos, &v);
    if (s == CKV_OK && ckv_tag_is_scalar(v.tag)) scalar = ckpy_value(&v);
    ckpy_lock_put(&d->lock);
    return s == CKV_OK ? ckpy_handle_or(d, scalar, &v) : ckpy_handle_raise(h, s);
}

static PyObject *get_slice(ckpy_handle *h, PyObject *slice)
{
    ckpy_doc *d = h->doc;
    Py_ssize_t start, stop, step, n = 0;
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0) return NULL;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    PyObject **scalars = NULL;
    bool ok = true;
    size_t low = 0;
    ckpy_lock_get(&d->lock);
    ckv_status s = ckpy_is_live(h) ? CKV_OK : CKV_ESTALE;
    if (s == CKV_OK) {
        n = PySlice_AdjustIndices((Py_ssize_t)ckv_list_len(d->core, h->container), &start, &stop,
                                  step);
        const Py_ssize_t last = start + (n - 1) * step;
        low = (size_t)(step > 0 ? start : last);
        if (n) /* all between the first and the last */
            s = ckv_list_values(d->core, NULL, h->container, low,
                                (size_t)(step > 0 ? last - start : start - last) + 1, &found);
        if (!(scalars = PyMem_RawCalloc((size_t)n + 1, sizeof *scalars))) s = CKV_ENOMEM;
    }
    ckv_value *v = (ckv_value *)(void *)found.ptr;
    for (Py_ssize_t i = 0; s == CKV_OK && ok && i < n; i++) {
        const ckv_value *one = &v[(size_t)(start + i * step) - low];
        if (ckv_tag_is_scalar(one->tag)) ok = (scalars[i] = ckpy_value(one)) != NULL;
    }
    ckpy_lock_put(&d->lock);
    PyObject *list = s != CKV_OK ? ckpy_handle_raise(h, s) : ok ? PyList_New(n) : NULL;
    for (Py_ssize_t i = 0; scalars && i < n; i++) {
        PyObject *value = scalars[i];
        if (list && !value) value = ckpy_handle_or(d, NULL, &v[(size_t)(start + i * step) - low]);
        if (list && value) {
            PyList_SET_ITEM(list, i, value);
        } else {
            Py_XDECREF(value);
            Py_CLEAR(list);
        }
    }
    PyMem_RawFree(scalars);
    ckv_buf_fini(&found);
    return list;
}

static PyObject *List_subscript(PyObject *op, PyObject *key)
{
    ckpy_handle *h = HANDLE(op);
    Py_ssize_t i;
    if (!h->doc) {
        PyObject *plain = ckpy_handle_local(h),
                 *value = plain ? PyObject_GetItem(plain, key) : NULL;
        Py_XDECREF(plain);
        return value;
    }
    if (PyIndex_Check(key)) return ckpy_index_arg(key, &i) < 0 ? NULL : get_item(h, i);
    if (PySlice_Check(key)) return get_slice(h, key);
    return PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %.100s",
                        Py_TYPE(key)->tp_name);
}

static Py_ssize_t List_length(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    Py_ssize_t n = -1;
    if (!h->doc) {
        PyObject *plain = ckpy_handle_local(h);
        if (plain) n = PyList_GET_SIZE(plain);
        Py_XDECREF(plain);
        return n;
    }
    ckpy_lock_get(&h->doc->lock);
    if (ckpy_is_live(h)) n = (Py_ssize_t)ckv_list_len(h->doc->core, h->container);
    ckpy_lock_put(&h->doc->lock);
    if (n < 0) ckpy_stale(h);
    return n;
}

/* ---- writing values */

typedef enum mode { INSERT, ASSIGN, END, SPLICE } mode;

typedef struct spot {
    const ckpy_handle *h;
    mode how;
    Py_ssize_t i, stop; /* SPLICE: [i, stop) goes */
} spot;

static ckv_status splice(ckv_doc *core, uint32_t c, size_t start, size_t n_del, const ckpy_flat *f,
                         ckv_buf *made)
{
    ckv_savepoint savepoint;
    if (n_del == 0 && f->n_values == 0) return CKV_OK;
    CKV_TRY(ckv_doc_savepoint(core, &savepoint));
    ckv_status s = n_del ? ckv_list_delete(core, c, start, n_del) : CKV_OK;
    if (s == CKV_OK && f->n_values)
        s = ckv_plain_insert(core, c, start, f->bytes.ptr, f->bytes.len, f->n_values, made);
    if (s == CKV_OK)
        ckv_doc_release(core, savepoint);
    else
        ckv_doc_rollback(core, savepoint);
    return s;
}

static ckv_status put(ckv_doc *core, const ckpy_flat *f, void *ctx, ckv_buf *made)
{
    const spot *at = ctx;
    const uint32_t c = at->h->container;
    size_t pos = 0;
    if (!ckpy_is_live(at->h)) return CKV_ESTALE;
    const size_t n = ckv_list_len(core, c);
    if (at->how == ASSIGN) {
        CKV_TRY(place(at->h, at->i, &pos));
        return ckv_plain_assign(core, c, pos, f->bytes.ptr, f->bytes.len, made);
    }
    if (at->how == SPLICE) {
        Py_ssize_t start = at->i, stop = at->stop;
        const Py_ssize_t n_del = PySlice_AdjustIndices((Py_ssize_t)n, &start, &stop, 1);
        return splice(core, c, (size_t)start, (size_t)n_del, f, made);
    }
    pos = at->how == END ? n : clamp(at->i, n);
    if (f->n_values == 0) return CKV_OK;
    return ckv_plain_insert(core, c, pos, f->bytes.ptr, f->bytes.len, f->n_values, made);
}

static void flat_init(ckpy_flat *f, const ckpy_handle *h, Py_ssize_t index)
{
    ckpy_flat_init_in(f, h->doc, h->container, NULL, index);
}

static int flat_put(ckpy_flat *f, ckpy_handle *h, spot at)
{
    bool raised = false;
    const ckv_status s = ckpy_flat_store(f, h->doc, put, &at, &raised);
    if (raised) return -1;
    return s == CKV_OK ? 0 : raise_edit(h->doc, s);
}

/* One value that is no scalar. */
static int put_one(ckpy_handle *h, mode how, Py_ssize_t i, PyObject *value)
{
    ckpy_flat f;
    flat_init(&f, h, how == ASSIGN ? i : -1);
    f.may_split = true;
    const int done = ckpy_flat_add(&f, value) < 0 ? -1 : flat_put(&f, h, (spot){h, how, i, 0});
    ckpy_flat_fini(&f);
    return done;
}

/* All of a tuple or list that nobody else has. */
static int put_all(ckpy_handle *h, spot at, PyObject *values)
{
    ckpy_flat f;
    int done = 0;
    flat_init(&f, h, -1);
    for (Py_ssize_t i = 0; done == 0 && i < PyTuple_GET_SIZE(values); i++) {
        f.index = i;
        done = ckpy_flat_add(&f, PyTuple_GET_ITEM(values, i));
    }
    if (done == 0) done = flat_put(&f, h, at);
    ckpy_flat_fini(&f);
    return done;
}

/* The hot path of append() and insert(): a scalar. */
static int insert_scalar(ckpy_handle *h, mode how, Py_ssize_t i, const ckv_value *v)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        const size_t n = ckv_list_len(d->core, h->container);
        s = ckv_list_insert(d->core, h->container, how == END ? n : clamp(i, n), v, 1, NULL);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? value_bytes(v) : 0);
    return s == CKV_OK ? told : raise_edit(d, s);
}

static int insert(ckpy_handle *h, mode how, Py_ssize_t i, PyObject *value)
{
    ckv_value v;
    const int scalar = ckpy_value_arg(value, &v);
    if (scalar) return scalar < 0 ? -1 : insert_scalar(h, how, i, &v);
    return put_one(h, how, i, value);
}

static int set_scalar(ckpy_handle *h, Py_ssize_t i, const ckv_value *v)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    size_t pos;
    uint32_t made;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = place(h, i, &pos);
        if (s == CKV_OK) s = ckv_list_set(d->core, h->container, pos, v, &made);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? value_bytes(v) : 0);
    return s == CKV_OK ? told : raise_edit(d, s);
}

/* Is x the very container that stands at i? Then storing it there is nothing: l[0] += 1. */
static bool stands_at(ckpy_handle *h, Py_ssize_t i, const ckpy_handle *x)
{
    ckpy_doc *d = h->doc;
    ckv_value v;
    size_t pos;
    if (x->doc != d) return false;
    ckpy_lock_get(&d->lock);
    const bool same = place(h, i, &pos) == CKV_OK &&
                      ckv_list_get(d->core, h->container, pos, &v) == CKV_OK &&
                      !ckv_tag_is_scalar(v.tag) && v.container == x->container;
    ckpy_lock_put(&d->lock);
    return same;
}

static int set_item(ckpy_handle *h, Py_ssize_t i, PyObject *value)
{
    ckv_value v;
    const int scalar = ckpy_value_arg(value, &v);
    if (scalar) return scalar < 0 ? -1 : set_scalar(h, i, &v);
    if (ckpy_is_handle(h->doc->state, value) && stands_at(h, i, HANDLE(value))) return 0;
    return put_one(h, ASSIGN, i, value);
}

/* ---- extended slices: one assignment or deletion for each step, all or none */

typedef struct steps {
    Py_ssize_t start, stop, step;
    ckpy_flat *flats; /* NULL: delete */
    Py_ssize_t n;     /* flats */
    Py_ssize_t found; /* elements, when they are not as many as flats */
    ckv_buf *made;
} steps;

static ckv_status do_steps(ckpy_handle *h, steps *w)
{
    ckv_doc *core = h->doc->core;
    Py_ssize_t start = w->start, stop = w->stop;
    if (!ckpy_is_live(h)) return CKV_ESTALE;
    const Py_ssize_t n =
        PySlice_AdjustIndices((Py_ssize_t)ckv_list_len(core, h->container), &start, &stop, w->step);
    w->found = n;
    if (w->flats && n != w->n) return CKV_EVALUE;
    ckv_savepoint savepoint;
    CKV_TRY(ckv_doc_savepoint(core, &savepoint));
    ckv_status s = CKV_OK;
    for (Py_ssize_t k = 0; s == CKV_OK && k < n; k++) {
        const Py_ssize_t which = w->flats || w->step < 0 ? k : n - 1 - k; /* delete from the end */
        const size_t pos = (size_t)(start + which * w->step);
        if (w->flats) {
            w->made[k].len = 0;
            s = ckv_plain_assign(core, h->container, pos, w->flats[k].bytes.ptr,
                                 w->flats[k].bytes.len, &w->made[k]);
        } else {
            s = ckv_list_delete(core, h->container, pos, 1);
        }
    }
    if (s == CKV_OK)
        ckv_doc_release(core, savepoint);
    else
        ckv_doc_rollback(core, savepoint);
    return s;
}

static int run_steps(ckpy_handle *h, steps *w, size_t bytes)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = do_steps(h, w);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? bytes + 32 * (size_t)w->found : 0);
    if (s == CKV_OK) return told;
    if (s != CKV_EVALUE) return raise_edit(d, s);
    PyErr_Format(PyExc_ValueError,
                 "attempt to assign sequence of size %zd to extended slice of size %zd", w->n,
                 w->found);
    return -1;
}

static int assign_steps(ckpy_handle *h, steps w, PyObject *values)
{
    size_t bytes = 0;
    int done = 0;
    w.n = PyTuple_GET_SIZE(values);
    w.flats = PyMem_Calloc((size_t)w.n + 1, sizeof *w.flats);
    w.made = PyMem_Calloc((size_t)w.n + 1, sizeof *w.made);
    if (!w.flats || !w.made) {
        PyErr_NoMemory();
        done = -1;
    }
    for (Py_ssize_t i = 0; w.flats && w.made && i < w.n; i++) {
        flat_init(&w.flats[i], h, i);
        w.made[i] = ckv_buf_init(ckv_alloc_libc);
        if (done == 0) done = ckpy_flat_add(&w.flats[i], PyTuple_GET_ITEM(values, i));
        bytes += w.flats[i].bytes.len + 64;
    }
    if (done == 0) done = run_steps(h, &w, bytes);
    for (Py_ssize_t i = 0; w.flats && w.made && i < w.n; i++) {
        if (done == 0) done = ckpy_flat_attach(&w.flats[i], h->doc, &w.made[i]);
        ckpy_flat_fini(&w.flats[i]);
        ckv_buf_fini(&w.made[i]);
    }
    PyMem_Free(w.flats);
    PyMem_Free(w.made);
    return done;
}

static int set_slice(ckpy_handle *h, PyObject *slice, PyObject *value)
{
    steps w = {0};
    if (PySlice_Unpack(slice, &w.start, &w.stop, &w.step) < 0) return -1;
    PyObject *values = value ? PySequence_Tuple(value) : PyTuple_New(0);
    if (!values) return -1;
    int done;
    if (w.step == 1)
        done = put_all(h, (spot){h, SPLICE, w.start, w.stop}, values);
    else if (value)
        done = assign_steps(h, w, values);
    else
        done = run_steps(h, &w, 0);
    Py_DECREF(values);
    return done;
}

/* ---- deleting */

/* Under the lock: the element as a scalar object or in bytes (unless NULL), then away with it. */
static ckv_status take(ckpy_handle *h, Py_ssize_t i, PyObject **scalar, ckv_buf *bytes)
{
    ckv_doc *core = h->doc->core;
    size_t pos;
    ckv_value v;
    CKV_TRY(place(h, i, &pos));
    if (scalar) {
        Py_CLEAR(*scalar);
        bytes->len = 0;
        CKV_TRY(ckv_list_get(core, h->container, pos, &v));
        if (!ckv_tag_is_scalar(v.tag))
            CKV_TRY(ckv_plain_write(core, NULL, v.container, bytes));
        else if (!(*scalar = ckpy_value(&v)))
            return CKV_ENOMEM;
    }
    return ckv_list_delete(core, h->container, pos, 1);
}

static int take_item(ckpy_handle *h, Py_ssize_t i, PyObject **scalar, ckv_buf *bytes)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    if (ckpy_edit_begin(d) < 0) return -1;
    do {
        s = take(h, i, scalar, bytes);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return -1;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? 32 : 0);
    return s == CKV_OK ? told : raise_edit(d, s);
}

/* ---- one that is not attached */

static int local_set(ckpy_handle *h, PyObject *key, PyObject *value)
{
    ckpy_state *st = ckpy_state_of(Py_TYPE(h));
    PyObject *plain = st ? ckpy_handle_own(h) : NULL, *values = NULL;
    int done = -1;
    if (!plain) return -1;
    if (!value) {
        done = PyObject_DelItem(plain, key);
    } else if (!PySlice_Check(key)) {
        if (ckpy_flat_check(st, value, NULL) == 0) done = PyObject_SetItem(plain, key, value);
    } else if ((values = PySequence_List(value)) && ckpy_flat_check(st, values, NULL) == 0) {
        done = PyObject_SetItem(plain, key, values);
    }
    Py_XDECREF(values);
    Py_DECREF(plain);
    return done;
}

static int local_insert(ckpy_handle *h, mode how, Py_ssize_t i, PyObject *value)
{
    ckpy_state *st = ckpy_state_of(Py_TYPE(h));
    PyObject *plain = st ? ckpy_handle_own(h) : NULL;
    int done = -1;
    if (plain && ckpy_flat_check(st, value, NULL) == 0)
        done = how == END ? PyList_Append(plain, value) : PyList_Insert(plain, i, value);
    Py_XDECREF(plain);
    return done;
}

static PyObject *pop(PyObject *plain, Py_ssize_t i)
{
    PyObject *index = PyLong_FromSsize_t(i);
    PyObject *value = index ? ckpy_call(plain, "pop", index, NULL) : NULL;
    Py_XDECREF(index);
    return value;
}

static PyObject *local_pop(ckpy_handle *h, Py_ssize_t i)
{
    ckpy_state *st = ckpy_state_of(Py_TYPE(h));
    PyObject *plain = st ? ckpy_handle_own(h) : NULL;
    PyObject *value = plain ? pop(plain, i) : NULL;
    Py_XDECREF(plain);
    if (value && ckpy_is_handle(st, value))
        Py_SETREF(value, ckpy_handle_content(HANDLE(value), LAST, false));
    return value;
}

/* ---- methods */

static int List_ass_subscript(PyObject *op, PyObject *key, PyObject *value)
{
    ckpy_handle *h = HANDLE(op);
    Py_ssize_t i;
    if (!h->doc) return local_set(h, key, value);
    if (PyIndex_Check(key)) {
        if (ckpy_index_arg(key, &i) < 0) return -1;
        return value ? set_item(h, i, value) : take_item(h, i, NULL, NULL);
    }
    if (PySlice_Check(key)) return set_slice(h, key, value);
    PyErr_Format(PyExc_TypeError, "list indices must be integers or slices, not %.100s",
                 Py_TYPE(key)->tp_name);
    return -1;
}

static PyObject *List_append(PyObject *op, PyObject *value)
{
    ckpy_handle *h = HANDLE(op);
    if ((h->doc ? insert(h, END, 0, value) : local_insert(h, END, 0, value)) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *List_insert(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_handle *h = HANDLE(op);
    Py_ssize_t i;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "insert expected 2 arguments, got %zd", nargs);
        return NULL;
    }
    if (clamped_arg(args[0], &i) < 0) return NULL;
    if ((h->doc ? insert(h, INSERT, i, args[1]) : local_insert(h, INSERT, i, args[1])) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *List_pop(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_handle *h = HANDLE(op);
    Py_ssize_t i = -1;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "pop expected at most 1 argument, got %zd", nargs);
        return NULL;
    }
    if (nargs == 1 && ckpy_index_arg(args[0], &i) < 0) return NULL;
    if (!h->doc) return local_pop(h, i);
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    PyObject *scalar = NULL, *result = NULL;
    if (take_item(h, i, &scalar, &bytes) == 0)
        result = scalar ? Py_NewRef(scalar) : ckpy_plain_one(h->doc->state, &bytes, false);
    Py_XDECREF(scalar);
    ckv_buf_fini(&bytes);
    return result;
}

static int extend(PyObject *op, PyObject *iterable)
{
    ckpy_handle *h = HANDLE(op);
    if (!h->doc) {
        const Py_ssize_t n = List_length(op);
        PyObject *from = n < 0 ? NULL : PyLong_FromSsize_t(n);
        PyObject *slice = from ? PySlice_New(from, NULL, NULL) : NULL;
        const int done = slice ? local_set(h, slice, iterable) : -1;
        Py_XDECREF(from);
        Py_XDECREF(slice);
        return done;
    }
    PyObject *values = PySequence_Tuple(iterable);
    const int done = values ? put_all(h, (spot){h, END, 0, 0}, values) : -1;
    Py_XDECREF(values);
    return done;
}

static PyObject *List_extend(PyObject *op, PyObject *iterable)
{
    if (extend(op, iterable) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *List_inplace_concat(PyObject *op, PyObject *iterable)
{
    return extend(op, iterable) < 0 ? NULL : Py_NewRef(op);
}

/* ---- moves */

/* Under the lock. */
static ckv_status move(ckpy_handle *h, Py_ssize_t i, Py_ssize_t j)
{
    size_t from;
    CKV_TRY(place(h, i, &from));
    const size_t n = ckv_list_len(h->doc->core, h->container);
    return ckv_list_move(h->doc->core, h->container, from, clamp(j, n - 1));
}

static ckv_status move_all(ckpy_handle *h, const Py_ssize_t *pairs, size_t n)
{
    ckv_savepoint savepoint;
    if (!ckpy_is_live(h)) return CKV_ESTALE;
    if (n == 1) return move(h, pairs[0], pairs[1]);
    CKV_TRY(ckv_doc_savepoint(h->doc->core, &savepoint));
    ckv_status s = CKV_OK;
    for (size_t k = 0; s == CKV_OK && k < n; k++) s = move(h, pairs[2 * k], pairs[2 * k + 1]);
    if (s == CKV_OK)
        ckv_doc_release(h->doc->core, savepoint);
    else
        ckv_doc_rollback(h->doc->core, savepoint);
    return s;
}

static int local_moves(ckpy_handle *h, const Py_ssize_t *pairs, size_t n)
{
    PyObject *plain = ckpy_handle_own(h);
    int done = plain ? 0 : -1;
    for (size_t k = 0; done == 0 && k < n; k++) {
        PyObject *value = pop(plain, pairs[2 * k]);
        done = value ? PyList_Insert(plain, pairs[2 * k + 1], value) : -1;
        Py_XDECREF(value);
    }
    Py_XDECREF(plain);
    return done;
}

static PyObject *do_moves(ckpy_handle *h, const Py_ssize_t *pairs, size_t n)
{
    ckpy_doc *d = h->doc;
    ckv_status s;
    int again;
    if (!d) return local_moves(h, pairs, n) < 0 ? NULL : Py_NewRef(Py_None);
    if (ckpy_edit_begin(d) < 0) return NULL;
    do {
        s = move_all(h, pairs, n);
        again = s == CKV_ELIMIT ? ckpy_edit_make_room(d) : 0;
        if (again < 0) return NULL;
    } while (again);
    const int told = ckpy_edit_end(d, s == CKV_OK ? 48 * n : 0);
    if (s != CKV_OK) return ckpy_handle_raise(h, s);
    return told < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *List_move(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    Py_ssize_t pair[2];
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "move expected 2 arguments, got %zd", nargs);
        return NULL;
    }
    if (ckpy_index_arg(args[0], &pair[0]) < 0 || clamped_arg(args[1], &pair[1]) < 0) return NULL;
    return do_moves(HANDLE(op), pair, 1);
}

static PyObject *List_moves(PyObject *op, PyObject *arg)
{
    PyObject *seq = PySequence_Tuple(arg), *result = NULL;
    if (!seq) return NULL;
    const Py_ssize_t n = PyTuple_GET_SIZE(seq);
    Py_ssize_t *pairs = PyMem_Calloc((size_t)n + 1, 2 * sizeof *pairs);
    bool ok = pairs != NULL;
    if (!ok) PyErr_NoMemory();
    for (Py_ssize_t k = 0; ok && k < n; k++)
        ok = PyArg_ParseTuple(PyTuple_GET_ITEM(seq, k), "nn", &pairs[2 * k], &pairs[2 * k + 1]);
    if (ok) result = n ? do_moves(HANDLE(op), pairs, (size_t)n) : Py_NewRef(Py_None);
    PyMem_Free(pairs);
    Py_DECREF(seq);
    return result;
}

static PyObject *List_conflicts(PyObject *op, PyObject *arg)
{
    ckpy_handle *h = HANDLE(op);
    ckpy_view *view = (ckpy_view *)h->view;
    ckpy_doc *d = h->doc ? h->doc : view ? view->doc : NULL;
    Py_ssize_t i;
    size_t pos = 0;
    if (!d)
        return PyErr_Format(PyExc_TypeError,
                            "a list that is not stored in a document has no conflicts");
    if (ckpy_index_arg(arg, &i) < 0) return NULL;
    if (view) {
        const Py_ssize_t n = List_length(op);
        if (n < 0) return NULL;
        if (i < 0) i += n;
        if (i < 0 || i >= n) return ckpy_edit_raise(d, CKV_KIND_LIST, CKV_ERANGE);
        pos = (size_t)i;
    }
    if (ckpy_doc_settle(d, "conflicts") < 0) return NULL;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = view ? CKV_OK : place(h, i, &pos);
    if (s == CKV_OK)
        s = ckv_list_conflicts(d->core, view ? view->core : NULL, h->container, pos, &found);
    PyObject *list = ckpy_conflicts(d, view, CKV_KIND_LIST, s, &found);
    ckv_buf_fini(&found);
    return list;
}

static PyObject *List_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    static char *names[] = {"", NULL};
    PyObject *iterable = NULL, *plain;
    ckpy_state *st = ckpy_state_of(tp);
    if (!st || !PyArg_ParseTupleAndKeywords(args, kw, "|O:List", names, &iterable)) return NULL;
    if (!iterable)
        plain = PyList_New(0);
    else if (ckpy_is_handle(st, iterable) && HANDLE(iterable)->kind == CKV_KIND_LIST)
        plain = ckpy_handle_content(HANDLE(iterable), LAST, true);
    else
        plain = PySequence_List(iterable);
    if (plain && ckpy_flat_check(st, plain, NULL) < 0) Py_CLEAR(plain);
    return ckpy_handle_new(tp, CKV_KIND_LIST, plain);
}

/* ---- iteration: by position, so that it sees what changes meanwhile, as a list's does */

typedef struct list_iter {
    PyObject_HEAD PyObject *list; /* owned, NULL: at the end */
    Py_ssize_t next;
} list_iter;

#define ITER(op) ((list_iter *)(op))

static PyObject *List_iter(PyObject *op)
{
    ckpy_handle *h = HANDLE(op);
    if (!h->doc) {
        PyObject *plain = ckpy_handle_local(h), *it = plain ? PyObject_GetIter(plain) : NULL;
        Py_XDECREF(plain);
        return it;
    }
    if (List_length(op) < 0) return NULL; /* stale: now, not at the first step */
    list_iter *it = PyObject_GC_New(list_iter, h->doc->state->ListIter);
    if (!it) return NULL;
    it->list = Py_NewRef(op);
    it->next = 0;
    PyObject_GC_Track(it);
    return (PyObject *)it;
}

static PyObject *Iter_next(PyObject *op)
{
    list_iter *it = ITER(op);
    if (!it->list) return NULL;
    PyObject *value = get_item(HANDLE(it->list), it->next);
    if (value) {
        it->next++;
    } else if (PyErr_ExceptionMatches(PyExc_IndexError)) {
        PyErr_Clear();
        Py_CLEAR(it->list);
    }
    return value;
}

static int Iter_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(ITER(op)->list);
    return 0;
}

static void Iter_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(ITER(op)->list);
    PyObject_GC_Del(op);
    Py_DECREF(tp);
}

static PyType_Slot Iter_slots[] = {
    {Py_tp_doc, "The elements of a List, one by one."},
    {Py_tp_dealloc, Iter_dealloc},
    {Py_tp_traverse, Iter_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, Iter_next},
    {0, NULL},
};

PyType_Spec ckpy_list_iter_spec = {
    .name = "crdtkv._core.ListIter",
    .basicsize = sizeof(list_iter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Iter_slots,
};

/* ---- spec */

#define SETUP                                                                                      \
    "\n\n>>> import crdtkv as ck\n>>> doc = ck.Doc()\n>>> doc['l'] = ['a', 'b', 'c']\n>>> l = "    \
    "doc['l']\n"

static PyMethodDef List_methods[] = {
    {"append", List_append, METH_O,
     "append($self, value, /)\n--\n\nAdd a value at the end." SETUP
     ">>> l.append('d')\n>>> len(l)\n4"},
    {"insert", (PyCFunction)(void (*)(void))List_insert, METH_FASTCALL,
     "insert($self, index, value, /)\n--\n\n"
     "Add a value before the item at `index`, which is clamped as list.insert() does. O(log "
     "n)." SETUP ">>> l.insert(1, 'x')\n>>> l.to_py()\n['a', 'x', 'b', 'c']"},
    {"pop", (PyCFunction)(void (*)(void))List_pop, METH_FASTCALL,
     "pop($self, index=-1, /)\n--\n\n"
     "Remove an item and return its content, plain. IndexError if it is not there." SETUP
     ">>> l.pop(0), l.pop()\n('a', 'c')"},
    {"extend", List_extend, METH_O,
     "extend($self, values, /)\n--\n\nAdd values at the end, all or none." SETUP
     ">>> l.extend([{'n': 1}, 2])\n>>> l[3]['n']\n1"},
    {"move", (PyCFunction)(void (*)(void))List_move, METH_FASTCALL,
     "move($self, i, j, /)\n--\n\n"
     "Move the item at i to j: insert(j, pop(i)) for one and the same item.\n\n"
     "Its handle stays, and if others move it at the same time it is still there once." SETUP
     ">>> l.move(0, 2)\n>>> l.to_py()\n['b', 'c', 'a']"},
    {"cursor", (PyCFunction)(void (*)(void))ckpy_cursor_method, METH_FASTCALL | METH_KEYWORDS,
     "cursor($self, /, index, side='after')\n--\n\n"
     "A Cursor that stays with the item at `index` ('before': with the one before it)." SETUP
     ">>> place = l.cursor(1)\n>>> l.insert(0, 'x')\n>>> place.index\n2"},
    {"to_py", ckpy_handle_to_py, METH_NOARGS,
     "to_py($self, /)\n--\n\nThe content as a plain list. Copies all." SETUP
     ">>> l.to_py()\n['a', 'b', 'c']"},
    {"_moves", List_moves, METH_O,
     "_moves($self, pairs, /)\n--\n\nmove() each pair (i, j), all or none."},
    {"_conflicts", List_conflicts, METH_O,
     "_conflicts($self, index, /)\n--\n\n(change id, index, value) of each, the shown one first."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot List_slots[] = {
    {Py_tp_doc, "List(values=(), /)\n--\n\nA list, the part in C; crdtkv.List has the manners."},
    {Py_tp_new, List_new},
    {Py_tp_dealloc, ckpy_handle_dealloc},
    {Py_tp_traverse, ckpy_handle_traverse},
    {Py_tp_clear, ckpy_handle_clear},
    {Py_tp_repr, ckpy_handle_repr},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_tp_iter, List_iter},
    {Py_tp_methods, List_methods},
    {Py_nb_inplace_add, List_inplace_concat},
    {Py_mp_length, List_length},
    {Py_mp_subscript, List_subscript},
    {Py_mp_ass_subscript, List_ass_subscript},
    {0, NULL},
};

PyType_Spec ckpy_list_spec = {
    .name = "crdtkv._core.List",
    .basicsize = sizeof(ckpy_handle),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = List_slots,
};
