/* show.c -- what displays in notebooks ask of the objects in C: a door to crdtkv/notebook, and looks that change nothing.
 *
 * A display must neither close the open change, as heads and changes() do, nor read all of a large object.
 */
#include "py/show.h"

#include "py/datastore.h"
#include "py/text_read.h"

PyObject *ckpy_show(PyObject *op, const char *name)
{
    PyObject *module = PyImport_ImportModule("crdtkv.notebook");
    PyObject *html = module ? ckpy_call(module, name, op, NULL) : NULL;
    Py_XDECREF(module);
    return html;
}

static int count_arg(PyObject *op, size_t *n)
{
    Py_ssize_t count;
    if (ckpy_index_arg(op, &count) < 0) return -1;
    if (count < 0) {
        PyErr_SetString(PyExc_ValueError, "a count must not be negative");
        return -1;
    }
    *n = (size_t)count;
    return 0;
}

/* ---- changes */

typedef struct place { /* of a change */
    uint32_t dag, life, number;
} place;

static PyObject *change_list(ckpy_state *st, PyObject *op, const ckv_buf *places)
{
    const place *p = (const place *)(const void *)places->ptr;
    const size_t n = places->len / sizeof *p;
    PyObject *result = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; result && i < n; i++) {
        PyObject *change = ckpy_change_new(st, op, p[i].dag, p[i].life, p[i].number);
        if (!change)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, (Py_ssize_t)i, change);
    }
    return result;
}

/* The last n of total. */
static void push_newest(ckv_buf *out, uint32_t dag, uint32_t life, uint32_t total, size_t n)
{
    for (uint32_t c = n < total ? total - (uint32_t)n : 0; c < total; c++) {
        const place p = {dag, life, c};
        ckv_buf_bytes(out, &p, sizeof p);
    }
}

PyObject *ckpy_doc_newest(PyObject *op, PyObject *arg)
{
    ckpy_doc *d = (ckpy_doc *)op;
    size_t n;
    if (count_arg(arg, &n) < 0 || ckpy_look_begin(d) < 0) return NULL;
    ckv_buf places = ckv_buf_init(ckv_alloc_libc);
    push_newest(&places, CKPY_NO_DAG, 0, ckv_doc_n_changes(d->core), n);
    const ckv_status s = places.status;
    ckpy_lock_put(&d->lock);
    PyObject *result =
        s == CKV_OK ? change_list(d->state, op, &places) : ckpy_raise(d->state, s, "no changes");
    ckv_buf_fini(&places);
    return result;
}

/* How many changes each DAG may show, so that all together show about n: none is crowded out by another. */
static size_t share_of(ckv_datastore *d, size_t n)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t share = low + (high - low + 1) / 2;
        size_t sum = 0;
        for (uint32_t i = 0; i < ckv_datastore_n_dags(d); i++) {
            const ckv_dag_info dag = ckv_datastore_dag(d, i);
            const size_t has = dag.doc ? ckv_doc_n_changes(dag.doc) : 0;
            sum += has < share ? has : share;
        }
        if (sum <= n)
            low = share;
        else
            high = share - 1;
    }
    return low;
}

PyObject *ckpy_datastore_newest(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    size_t n;
    if (count_arg(arg, &n) < 0 || ckpy_datastore_begin(d) < 0) return NULL;
    ckv_buf places = ckv_buf_init(ckv_alloc_libc);
    const size_t share = share_of(d->core, n);
    for (uint32_t i = 0; i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.doc) push_newest(&places, dag.number, dag.life, ckv_doc_n_changes(dag.doc), share);
    }
    const ckv_status s = places.status;
    ckpy_lock_put(&d->lock);
    PyObject *result =
        s == CKV_OK ? change_list(d->state, op, &places) : ckpy_raise(d->state, s, "no changes");
    ckv_buf_fini(&places);
    return result;
}

PyObject *ckpy_doc_change_of(PyObject *op, PyObject *arg)
{
    ckpy_doc *d = (ckpy_doc *)op;
    ckv_id32 id;
    uint32_t number;
    if (ckpy_id_arg(arg, &id) < 0 || ckpy_look_begin(d) < 0) return NULL;
    const ckv_status s = ckv_doc_find(d->core, &id, &number);
    ckpy_lock_put(&d->lock);
    if (s == CKV_ENOENT) Py_RETURN_NONE;
    return s == CKV_OK ? ckpy_change_new(d->state, op, CKPY_NO_DAG, 0, number)
                       : ckpy_raise(d->state, s, "no change");
}

PyObject *ckpy_datastore_change_of(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_id32 id;
    place p = {0};
    if (ckpy_id_arg(arg, &id) < 0 || ckpy_datastore_begin(d) < 0) return NULL;
    ckv_status s = CKV_ENOENT;
    for (uint32_t i = 0; s == CKV_ENOENT && i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        p = (place){.dag = dag.number, .life = dag.life};
        if (dag.doc) s = ckv_doc_find(dag.doc, &id, &p.number);
    }
    ckpy_lock_put(&d->lock);
    if (s == CKV_ENOENT) Py_RETURN_NONE;
    return s == CKV_OK ? ckpy_change_new(d->state, op, p.dag, p.life, p.number)
                       : ckpy_raise(d->state, s, "no change");
}

/* ---- what waits */

static PyObject *letter_row(const ckv_letter_info *l)
{
    PyObject *parents = ckpy_id_tuple(l->parents, l->n_parents);
    PyObject *prev = l->has_prev ? ckpy_id(&l->prev) : Py_NewRef(Py_None);
    if (!parents || !prev) {
        Py_XDECREF(parents);
        Py_XDECREF(prev);
        return NULL;
    }
    return Py_BuildValue("(y#y#y#kNNN)", l->id.b, (Py_ssize_t)32, l->author.b, (Py_ssize_t)32,
                         l->lane.b, (Py_ssize_t)32, (unsigned long)l->seq, prev, parents,
                         PyBool_FromLong(l->later));
}

static PyObject *letter_list(ckpy_state *st, ckv_status s, ckv_buf *found)
{
    const ckv_letter_info *l = (const ckv_letter_info *)(const void *)found->ptr;
    const size_t n = found->len / sizeof *l;
    PyObject *result =
        s == CKV_OK ? PyList_New((Py_ssize_t)n) : ckpy_raise(st, s, "nothing of what waits");
    for (size_t i = 0; result && i < n; i++) {
        PyObject *row = letter_row(&l[i]);
        if (!row)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, (Py_ssize_t)i, row);
    }
    ckv_buf_fini(found);
    return result;
}

PyObject *ckpy_doc_letters(PyObject *op, PyObject *arg)
{
    ckpy_doc *d = (ckpy_doc *)op;
    size_t n;
    if (count_arg(arg, &n) < 0 || ckpy_look_begin(d) < 0) return NULL;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    const ckv_status s = ckv_doc_letters(d->core, n, &found);
    ckpy_lock_put(&d->lock);
    return letter_list(d->state, s, &found);
}

PyObject *ckpy_datastore_letters(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    size_t n;
    if (count_arg(arg, &n) < 0 || ckpy_datastore_begin(d) < 0) return NULL;
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = CKV_OK;
    for (uint32_t i = 0; s == CKV_OK && i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.doc) s = ckv_doc_letters(dag.doc, n - found.len / sizeof(ckv_letter_info), &found);
    }
    ckpy_lock_put(&d->lock);
    return letter_list(d->state, s, &found);
}

/* ---- what is in a container */

typedef struct some_row {
    PyObject *key, *scalar; /* owned; scalar NULL: `value` is a container */
    ckv_value value;
} some_row;

/* Under the lock: what is in container c, at a version or now. */
static ckv_status some_entries(ckv_doc *core, const ckv_view *at, uint32_t c, ckv_kind kind,
                               size_t n, ckv_buf *out)
{
    if (kind != CKV_KIND_LIST) return ckv_map_some(core, at, c, n, out);
    ckv_buf values = ckv_buf_init(ckv_alloc_libc);
    const ckv_status s = ckv_list_values(core, at, c, 0, n, &values);
    const ckv_value *v = (const ckv_value *)(const void *)values.ptr;
    for (size_t i = 0; s == CKV_OK && i < values.len / sizeof *v; i++) {
        const ckv_entry e = {.value = v[i]};
        ckv_buf_bytes(out, &e, sizeof e);
    }
    ckv_buf_fini(&values);
    return s == CKV_OK ? out->status : s;
}

/* Under the lock: objects for keys and scalars. */
static bool some_put(some_row *r, const ckv_entry *e, ckv_kind kind)
{
    r->key = kind == CKV_KIND_MAP ? PyUnicode_DecodeUTF8(e->key, (Py_ssize_t)e->key_bytes, NULL)
                                  : Py_NewRef(Py_None);
    r->value = e->value;
    if (ckv_tag_is_scalar(e->value.tag)) r->scalar = ckpy_value(&e->value);
    return r->key && (r->scalar || !ckv_tag_is_scalar(e->value.tag));
}

/* Without the lock: (key, value); takes what the row has. */
static PyObject *some_take(some_row *r, ckpy_doc *d, ckpy_view *view)
{
    PyObject *value = r->scalar;
    if (!value) {
        const ckv_kind kind = (ckv_kind)ckv_tag_kind(r->value.tag);
        value = view ? ckpy_handle_past(view, r->value.container, kind)
                     : ckpy_handle_of(d, r->value.container, kind);
    }
    PyObject *key = r->key;
    r->key = r->scalar = NULL;
    if (value) return Py_BuildValue("(NN)", key, value);
    Py_DECREF(key);
    return NULL;
}

static PyObject *some(ckpy_doc *d, ckpy_view *view, uint32_t c, ckv_kind kind, size_t n)
{
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    some_row *rows = NULL;
    size_t n_rows = 0;
    bool made = true;
    if (ckpy_look_begin(d) < 0) return NULL;
    ckv_status s = CKV_ESTALE;
    if (view || c == CKV_ROOT || ckv_doc_is_live(d->core, c))
        s = some_entries(d->core, view ? view->core : NULL, c, kind, n, &found);
    const ckv_entry *e = (const ckv_entry *)(const void *)found.ptr;
    if (s == CKV_OK) {
        n_rows = found.len / sizeof *e;
        if (!(rows = PyMem_RawCalloc(n_rows + 1, sizeof *rows))) s = CKV_ENOMEM;
    }
    for (size_t i = 0; s == CKV_OK && made && i < n_rows; i++)
        made = some_put(&rows[i], &e[i], kind);
    ckpy_lock_put(&d->lock);
    PyObject *result = s != CKV_OK ? ckpy_raise(d->state, s, "it cannot be read")
                       : made      ? PyList_New((Py_ssize_t)n_rows)
                                   : NULL;
    for (size_t i = 0; rows && i < n_rows; i++) {
        PyObject *row = result ? some_take(&rows[i], d, view) : NULL;
        if (row)
            PyList_SET_ITEM(result, (Py_ssize_t)i, row);
        else
            Py_CLEAR(result);
        Py_XDECREF(rows[i].key);
        Py_XDECREF(rows[i].scalar);
    }
    PyMem_RawFree(rows);
    ckv_buf_fini(&found);
    return result;
}

PyObject *ckpy_doc_some(PyObject *op, PyObject *arg)
{
    size_t n;
    return count_arg(arg, &n) < 0 ? NULL : some((ckpy_doc *)op, NULL, CKV_ROOT, CKV_KIND_MAP, n);
}

PyObject *ckpy_handle_some(PyObject *op, PyObject *arg)
{
    ckpy_handle *h = (ckpy_handle *)op;
    ckpy_view *view = (ckpy_view *)h->view;
    ckpy_doc *d = view ? view->doc : h->doc;
    const ckv_kind kind = (ckv_kind)h->kind;
    size_t n;
    if (count_arg(arg, &n) < 0) return NULL;
    if (d && kind != CKV_KIND_TEXT && kind != CKV_KIND_COUNTER)
        return some(d, view, h->container, kind, n);
    PyErr_SetString(PyExc_TypeError, "only what a document holds is read in part");
    return NULL;
}

/* ---- text */

static PyObject *run_row(const ckv_blame_run *r, const ckv_id32 *ids)
{
    const Py_ssize_t n = 32;
    if (r->change == CKV_NO_CHANGE)
        return Py_BuildValue("(nnOO)", (Py_ssize_t)r->start, (Py_ssize_t)r->end, Py_None, Py_None);
    return Py_BuildValue("(nny#y#)", (Py_ssize_t)r->start, (Py_ssize_t)r->end, ids[0].b, n,
                         ids[1].b, n);
}

PyObject *ckpy_text_look(PyObject *op, PyObject *arg)
{
    ckpy_text *t = (ckpy_text *)op;
    ckpy_view *view = (ckpy_view *)t->view;
    ckpy_doc *d = view ? view->doc : t->doc;
    size_t n_chars;
    if (count_arg(arg, &n_chars) < 0) return NULL;
    if (!d) return PyList_New(0);
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 *ids = NULL; /* author and change of each run */
    if (ckpy_look_begin(d) < 0) return NULL;
    ckv_status s = CKV_ESTALE;
    if (view || ckpy_is_live(t))
        s = ckv_text_runs(d->core, view ? view->core : NULL, t->container, n_chars, &found);
    const ckv_blame_run *r = (const ckv_blame_run *)(const void *)found.ptr;
    const size_t n = found.len / sizeof *r;
    if (s == CKV_OK && !(ids = PyMem_RawMalloc((2 * n + 1) * sizeof *ids))) s = CKV_ENOMEM;
    for (size_t i = 0; s == CKV_OK && i < n; i++) {
        ckv_change_info info;
        if (r[i].change == CKV_NO_CHANGE) continue;
        ckv_doc_change(d->core, r[i].change, &info);
        ids[2 * i] = *info.author;
        ids[2 * i + 1] = *info.id;
    }
    ckpy_lock_put(&d->lock);
    PyObject *result = s == CKV_OK ? PyList_New((Py_ssize_t)n) : ckpy_handle_raise(t, s);
    for (size_t i = 0; result && i < n; i++) {
        PyObject *row = run_row(&r[i], &ids[2 * i]);
        if (!row)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, (Py_ssize_t)i, row);
    }
    PyMem_RawFree(ids);
    ckv_buf_fini(&found);
    return result;
}
