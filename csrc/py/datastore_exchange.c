/* datastore_exchange.c -- what datastores tell each other: heads, changes, bundles, proofs. Methods of Datastore; those of a session are in obj_session.c. */
#include "py/datastore.h"

/* ---- versions */

/* Under the lock, which is let go of. */
static PyObject *ids_out(ckpy_datastore *d, ckv_status s, ckv_buf *ids)
{
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0 ? ckpy_id_buf_tuple(ids) : NULL;
    ckv_buf_fini(ids);
    return result;
}

PyObject *ckpy_datastore_get_heads(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_datastore *d = DATASTORE(op);
    ckv_buf ids = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_datastore_settle(d) < 0) return NULL;
    return ids_out(d, ckv_datastore_heads(d->core, &ids), &ids);
}

PyObject *ckpy_datastore_get_root(PyObject *op, void *closure)
{
    (void)closure;
    ckpy_datastore *d = DATASTORE(op);
    ckv_id32 root;
    if (ckpy_datastore_settle(d) < 0) return NULL;
    const ckv_status s = ckv_datastore_root(d->core, &root);
    return ckpy_datastore_end(d, s, NULL) < 0 ? NULL : ckpy_id(&root);
}

static int compare_ids(const void *a, const void *b) { return memcmp(a, b, sizeof(ckv_id32)); }

/* Ids of all DAGs, sorted. */
static PyObject *gather(ckpy_datastore *d, ckv_status (*ask)(ckv_doc *, ckv_buf *))
{
    ckv_buf ids = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = CKV_OK;
    if (ckpy_datastore_begin(d) < 0) return NULL;
    for (uint32_t i = 0; s == CKV_OK && i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.doc) s = ask(dag.doc, &ids);
    }
    if (s == CKV_OK && ids.len) qsort(ids.ptr, ids.len / 32, 32, compare_ids);
    return ids_out(d, s, &ids);
}

PyObject *ckpy_datastore_get_waiting(PyObject *op, void *closure)
{
    (void)closure;
    return gather(DATASTORE(op), ckv_doc_waiting);
}

PyObject *ckpy_datastore_get_missing(PyObject *op, void *closure)
{
    (void)closure;
    return gather(DATASTORE(op), ckv_doc_missing);
}

/* ---- changes */

typedef struct ids {         /* of `since` and `until` */
    ckv_id32 *since, *until; /* owned; until NULL: all */
    size_t n_since, n_until;
} ids;

static int ids_arg(PyObject *since, PyObject *until, ids *out)
{
    *out = (ids){0};
    if (since && ckpy_ids_arg(since, &out->since, &out->n_since) < 0) return -1;
    if (until && until != Py_None && ckpy_ids_arg(until, &out->until, &out->n_until) < 0) {
        PyMem_Free(out->since);
        return -1;
    }
    return 0;
}

static void ids_fini(ids *r)
{
    PyMem_Free(r->since);
    PyMem_Free(r->until);
}

typedef struct place { /* of a change */
    uint32_t dag, life, number;
} place;

/* Those of the ids that are in this DAG. */
static ckv_status of_dag(ckv_doc *doc, const ids *r, ckv_buf *out)
{
    uint32_t number;
    for (size_t i = 0; i < r->n_until; i++) {
        const ckv_status s = ckv_doc_find(doc, &r->until[i], &number);
        if (s == CKV_OK)
            ckv_buf_bytes(out, &r->until[i], sizeof r->until[i]);
        else if (s != CKV_ENOENT)
            return s;
    }
    return out->status;
}

/* Appends the places of what is selected in one DAG; *n_found: how many of `until` are in it. */
static ckv_status select_in(const ckv_dag_info *dag, const ids *r, size_t *n_found, ckv_buf *out)
{
    ckv_doc *doc = dag->doc;
    ckv_buf until = ckv_buf_init(ckv_alloc_libc), numbers = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = r->until ? of_dag(doc, r, &until) : CKV_OK;
    *n_found = until.len / 32;
    if (s == CKV_OK && (!r->until || *n_found > 0))
        s = ckv_doc_select(doc, r->since, r->n_since,
                           r->until ? (const ckv_id32 *)(const void *)until.ptr : NULL, *n_found,
                           &numbers);
    const uint32_t *n = (const uint32_t *)(const void *)numbers.ptr;
    for (size_t i = 0; s == CKV_OK && i < numbers.len / sizeof *n; i++) {
        const place p = {dag->number, dag->life, n[i]};
        ckv_buf_bytes(out, &p, sizeof p);
    }
    ckv_buf_fini(&until);
    ckv_buf_fini(&numbers);
    return s == CKV_OK ? out->status : s;
}

PyObject *ckpy_datastore_changes(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_datastore *d = DATASTORE(op);
    ids r;
    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "_changes expected 2 arguments, got %zd", nargs);
    if (ids_arg(args[0], args[1], &r) < 0) return NULL;
    PyObject *result = NULL;
    if (ckpy_datastore_settle(d) == 0) {
        ckv_buf found = ckv_buf_init(ckv_alloc_libc);
        ckv_status s = CKV_OK;
        size_t n_until = 0, n_found = 0;
        for (uint32_t i = 0; s == CKV_OK && i < ckv_datastore_n_dags(d->core); i++) {
            const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
            if (!dag.doc) continue;
            s = select_in(&dag, &r, &n_found, &found);
            n_until += n_found;
        }
        if (s == CKV_OK && n_until < r.n_until) s = CKV_ENOENT;
        const place *p = (const place *)(const void *)found.ptr;
        const size_t n = found.len / sizeof *p;
        if (ckpy_datastore_end(d, s, NULL) == 0) result = PyList_New((Py_ssize_t)n);
        for (size_t i = 0; result && i < n; i++) {
            PyObject *change = ckpy_change_new(d->state, op, p[i].dag, p[i].life, p[i].number);
            if (!change)
                Py_CLEAR(result);
            else
                PyList_SET_ITEM(result, (Py_ssize_t)i, change);
        }
        ckv_buf_fini(&found);
    }
    ids_fini(&r);
    return result;
}

/* ---- bundles */

/* After settle: what `until` (NULL: all) holds and `since` lacks; bodies without anything of the prefix (NULL: all) are left out. */
static PyObject *exported(ckpy_datastore *d, const ids *r, const ckv_value_bytes *prefix)
{
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    if (prefix) ckv_datastore_only(d->core, prefix);
    const ckv_status s =
        ckv_datastore_export(d->core, r->since, r->n_since, r->until, r->n_until, &out);
    if (prefix) ckv_datastore_only(d->core, NULL);
    ckpy_datastore_back(d, ts);
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0
                           ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                           : NULL;
    ckv_buf_fini(&out);
    return result;
}

PyObject *ckpy_datastore_export(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"since", "until", "prefix", NULL};
    ckpy_datastore *d = DATASTORE(op);
    PyObject *since = NULL, *until = NULL, *prefix = Py_None;
    ckv_store_key k = {0};
    ids r;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|OO$O:export", names, &since, &until, &prefix) ||
        (prefix != Py_None && ckpy_key_arg(d->state, prefix, &k) < 0) ||
        ids_arg(since, until, &r) < 0)
        return NULL;
    const ckv_value_bytes only = {k.ptr, k.n_bytes};
    PyObject *result =
        ckpy_datastore_settle(d) == 0 ? exported(d, &r, prefix == Py_None ? NULL : &only) : NULL;
    ids_fini(&r);
    return result;
}

PyObject *ckpy_datastore_save(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    const ids all = {0};
    return ckpy_datastore_settle(DATASTORE(op)) == 0 ? exported(DATASTORE(op), &all, NULL) : NULL;
}

PyObject *ckpy_datastore_waiting_bundle(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_datastore_settle(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_export_waiting(d->core, &out);
    ckpy_datastore_back(d, ts);
    PyObject *result = NULL;
    if (ckpy_datastore_end(d, s, NULL) == 0)
        result = PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len);
    ckv_buf_fini(&out);
    return result;
}

PyObject *ckpy_datastore_took(ckpy_datastore *d, PyObject *result)
{
    PyObject *type = NULL, *value = NULL, *trace = NULL; /* of what went wrong before */
    if (!result) PyErr_Fetch(&type, &value, &trace);
    if (ckpy_datastore_read_begin(d) < 0 || ckpy_datastore_end(d, CKV_OK, NULL) < 0)
        Py_CLEAR(result);
    if (type) {
        PyErr_Clear();
        PyErr_Restore(type, value, trace);
    }
    return d->watchers ? ckpy_announced((PyObject *)d, result) : result;
}

/* Parses before it closes the open change: what is no bundle closes nothing. */
static PyObject *apply_bytes(ckpy_datastore *d, const uint8_t *data, size_t n_bytes)
{
    static const char none[] = "not a bundle of this datastore";
    ckv_err err = {0};
    ckv_status s = CKV_OK;
    int64_t now;
    if (ckpy_datastore_now(d, &now) < 0 || ckpy_datastore_begin(d) < 0) return NULL;
    if (ckv_datastore_is_open(d->core)) {
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        s = ckv_datastore_bundle_check(d->core, data, n_bytes, &err);
        ckpy_datastore_back(d, ts);
    }
    ckpy_lock_put(&d->lock);
    if (s != CKV_OK) return ckpy_raise_err(d->state, s, &err, none);
    if (ckpy_datastore_settle(d) < 0 || ckpy_datastore_write_slow(d) < 0) return NULL;
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    ckv_datastore_tick(d->core, now);
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    s = ckv_datastore_apply(d->core, data, n_bytes, &report, &err);
    ckpy_datastore_back(d, ts);
    if (s != CKV_OK && !err.text) { /* the disk's affair: which table, which row */
        (void)ckpy_datastore_end_slow(d, s, NULL);
        ckv_report_fini(&report);
        return ckpy_datastore_took(d, NULL);
    }
    ckpy_lock_put(&d->lock);
    PyObject *result =
        s == CKV_OK ? ckpy_report_new(d->state, &report) : ckpy_raise_err(d->state, s, &err, none);
    ckv_report_fini(&report);
    return ckpy_datastore_took(d, result);
}

PyObject *ckpy_datastore_apply(PyObject *op, PyObject *arg)
{
    PyObject *data = ckpy_bytes_arg(arg, "a bundle");
    if (!data) return NULL;
    PyObject *result = apply_bytes(DATASTORE(op), (const uint8_t *)PyBytes_AS_STRING(data),
                                   (size_t)PyBytes_GET_SIZE(data));
    Py_DECREF(data);
    return result;
}

/* Under both locks, without the GIL: what self lacks. Closes other's open change here, for others may go on writing to it. */
static ckv_status export_to(ckpy_datastore *self, ckpy_datastore *other, int64_t ms, ckv_buf *out)
{
    uint32_t dag, change;
    if (ckv_datastore_is_open(other->core))
        CKV_TRY(ckv_datastore_commit(other->core, ms, NULL, 0, &dag, &change));
    return ckv_datastore_export_to(other->core, self->core, out);
}

/* Takes both locks. -1: an exception. */
static int begin_both(ckpy_datastore *self, ckpy_datastore *other)
{
    const char *why = NULL;
    ckpy_lock_get_both(&self->lock, &other->lock);
    const bool here = self->core && other->core;
    if (here && ckv_datastore_is_open(other->core)) why = ckpy_datastore_why_not(other);
    if (here && !why) return 0;
    ckpy_lock_put_both(&self->lock, &other->lock);
    if (why)
        PyErr_SetString(self->state->StoreError, why);
    else
        ckpy_raise(self->state, CKV_ESTALE, "the file of a datastore is closed");
    return -1;
}

PyObject *ckpy_datastore_merge(PyObject *op, PyObject *arg)
{
    ckpy_datastore *self = DATASTORE(op);
    if (!PyObject_TypeCheck(arg, self->state->Datastore))
        return PyErr_Format(PyExc_TypeError, "merge() wants a Datastore, not %.100s",
                            Py_TYPE(arg)->tp_name);
    ckpy_datastore *other = DATASTORE(arg);
    if (!ckv_id32_eq(&self->id, &other->id)) /* fixed for life */
        return ckpy_raise_err(self->state, CKV_ECORRUPT, &(ckv_err){0},
                              "a replica of another datastore: the two were made separately; make "
                              "one from the other with fork(), save() and load(), or "
                              "Datastore(id=...)");
    int64_t ms;
    if (ckpy_datastore_now(other, &ms) < 0 || begin_both(self, other) < 0) return NULL;
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    PyThreadState *ts = ckpy_lock_away_both(&self->lock, &other->lock);
    const ckv_status s = export_to(self, other, ms, &bundle);
    ckpy_lock_back_both(&self->lock, &other->lock, ts);
    if (self != other) ckpy_lock_put(&self->lock);
    PyObject *result = NULL;
    if (ckpy_datastore_end(other, s, NULL) == 0) result = apply_bytes(self, bundle.ptr, bundle.len);
    ckv_buf_fini(&bundle);
    return result;
}

PyObject *ckpy_datastore_id_of(PyObject *module, PyObject *bundle)
{
    ckpy_state *st = PyModule_GetState(module);
    PyObject *data = ckpy_bytes_arg(bundle, "a bundle");
    if (!data) return NULL;
    ckv_id32 id;
    ckv_err err = {0};
    const ckv_status s = ckv_datastore_bundle_id((const uint8_t *)PyBytes_AS_STRING(data),
                                                 (size_t)PyBytes_GET_SIZE(data), &id, &err);
    Py_DECREF(data);
    return s == CKV_OK ? ckpy_id(&id) : ckpy_raise_err(st, s, &err, "not a bundle of a datastore");
}

/* ---- evidence */

static int compare_places(const void *a, const void *b)
{
    const ckv_equivocation *x = a, *y = b;
    const int author = memcmp(&x->author, &y->author, 32), lane = memcmp(&x->lane, &y->lane, 32);
    if (author) return author;
    if (lane) return lane;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

PyObject *ckpy_datastore_equivocations(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    ckv_buf found = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = CKV_OK;
    if (ckpy_datastore_begin(d) < 0) return NULL;
    const uint32_t n_dags = ckv_datastore_n_dags(d->core);
    for (uint32_t i = 0; s == CKV_OK && i < n_dags; i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.doc) s = ckv_doc_equivocations(dag.doc, &found);
    }
    if (s == CKV_OK && n_dags > 1 && found.len)
        qsort(found.ptr, found.len / sizeof(ckv_equivocation), sizeof(ckv_equivocation),
              compare_places);
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0 ? ckpy_equivocations(&found) : NULL;
    ckv_buf_fini(&found);
    return result;
}

PyObject *ckpy_datastore_proof(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_datastore *d = DATASTORE(op);
    ckv_equivocation e;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_status s = CKV_ENOENT;
    if (ckpy_equivocation_arg(args, nargs, &e) < 0 || ckpy_datastore_begin(d) < 0) return NULL;
    for (uint32_t i = 0; s == CKV_ENOENT && i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.doc) s = ckv_doc_proof(dag.doc, &e, &out);
    }
    PyObject *result = ckpy_datastore_end(d, s, NULL) == 0
                           ? PyBytes_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len)
                           : NULL;
    ckv_buf_fini(&out);
    return result;
}
