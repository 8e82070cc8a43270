/* datastore_upkeep.c -- what keeps a datastore in shape: DAGs that come and go, compaction, repair, checks. Methods of Datastore. */
#include "py/datastore.h"

/* ---- DAGs */

/* Under the lock, the open change closed: the DAG of that name. CKV_ENOENT. */
static ckv_status find_dag(ckpy_datastore *d, ckpy_dag_name name, ckv_dag_info *out)
{
    for (uint32_t i = 0; i < ckv_datastore_n_dags(d->core); i++) {
        *out = ckv_datastore_dag(d->core, i);
        if (name.ptr ? out->name_bytes == (size_t)name.n_bytes &&
                           memcmp(out->name, name.ptr, out->name_bytes) == 0
                     : i == 0)
            return CKV_OK;
    }
    return CKV_ENOENT;
}

/* Steals all; NULL: an exception. */
static int set_stolen(PyObject *dict, PyObject *name, PyObject *value)
{
    const int done = name && value ? PyDict_SetItem(dict, name, value) : -1;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return done;
}

PyObject *ckpy_datastore_dags(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    ckv_buf out = ckv_buf_init(ckv_alloc_libc); /* (name(str) n_heads heads)* */
    if (ckpy_datastore_settle(d) < 0) return NULL;
    for (uint32_t i = 0; i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        size_t n;
        ckv_change_info info;
        if (!dag.doc) continue;
        const uint32_t *heads = ckv_doc_heads(dag.doc, &n);
        ckv_buf_blob(&out, dag.name, dag.name_bytes);
        ckv_buf_varint(&out, n);
        for (size_t k = 0; k < n; k++) {
            ckv_doc_change(dag.doc, heads[k], &info);
            ckv_buf_bytes(&out, info.id, 32);
        }
    }
    PyObject *result = ckpy_datastore_end(d, out.status, NULL) == 0 ? PyDict_New() : NULL;
    ckv_rd rd = ckv_rd_init(out.ptr, out.len);
    while (result && ckv_rd_left(&rd)) {
        size_t n_bytes;
        const char *name = (const char *)ckv_rd_blob(&rd, &n_bytes);
        const size_t n = (size_t)ckv_rd_varint(&rd);
        const ckv_id32 *ids = (const ckv_id32 *)(const void *)ckv_rd_bytes(&rd, 32 * n);
        if (set_stolen(result, PyUnicode_DecodeUTF8(name, (Py_ssize_t)n_bytes, NULL),
                       ckpy_id_tuple(ids, n)) < 0)
            Py_CLEAR(result);
    }
    ckv_buf_fini(&out);
    return result;
}

PyObject *ckpy_datastore_purged(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    ckv_buf names = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_datastore_begin(d) < 0) return NULL;
    for (uint32_t i = 0; i < ckv_datastore_n_dags(d->core); i++) {
        const ckv_dag_info dag = ckv_datastore_dag(d->core, i);
        if (dag.purged) ckv_buf_blob(&names, dag.name, dag.name_bytes);
    }
    PyObject *list = ckpy_datastore_end(d, names.status, NULL) == 0 ? PyList_New(0) : NULL;
    ckv_rd rd = ckv_rd_init(names.ptr, names.len);
    while (list && ckv_rd_left(&rd)) {
        size_t n;
        const char *p = (const char *)ckv_rd_blob(&rd, &n);
        PyObject *name = PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, NULL);
        if (!name || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    ckv_buf_fini(&names);
    return list;
}

/* Purged before anything of it came. */
PyObject *ckpy_datastore_refuse(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    ckpy_dag_name name;
    uint32_t number;
    uint64_t n;
    if (ckpy_dag_arg(arg, &name) < 0 || ckpy_datastore_settle(d) < 0 ||
        ckpy_datastore_write_slow(d) < 0)
        return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    ckv_status s = ckv_datastore_find_dag(d->core, name.ptr ? name.ptr : "default",
                                          name.ptr ? (size_t)name.n_bytes : 7, true, &number);
    if (s == CKV_OK) s = ckv_datastore_purge(d->core, number, &n);
    ckpy_datastore_back(d, ts);
    return ckpy_datastore_end(d, s == CKV_ESTALE ? CKV_OK : s, NULL) < 0 ? NULL
                                                                         : Py_NewRef(Py_None);
}

PyObject *ckpy_datastore_purge(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    ckpy_dag_name name;
    ckv_dag_info dag;
    uint64_t n = 0;
    if (ckpy_dag_arg(arg, &name) < 0 || ckpy_datastore_settle(d) < 0) return NULL;
    ckv_status s = find_dag(d, name, &dag);
    if (s == CKV_OK && !dag.purged) {
        if (ckpy_datastore_write_slow(d) < 0) return NULL;
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        s = ckv_datastore_purge(d->core, dag.number, &n);
        ckpy_datastore_back(d, ts);
    }
    return ckpy_datastore_end(d, s, arg) < 0 ? NULL : PyLong_FromUnsignedLongLong(n);
}

PyObject *ckpy_datastore_admit(PyObject *op, PyObject *arg)
{
    ckpy_datastore *d = DATASTORE(op);
    ckpy_dag_name name;
    ckv_dag_info dag;
    if (ckpy_dag_arg(arg, &name) < 0 || ckpy_datastore_settle(d) < 0) return NULL;
    ckv_status s = find_dag(d, name, &dag);
    if (s == CKV_OK && dag.purged) {
        if (ckpy_datastore_write_slow(d) < 0) return NULL;
        PyThreadState *ts = ckpy_lock_away(&d->lock);
        s = ckv_datastore_admit(d->core, dag.number);
        ckpy_datastore_back(d, ts);
    }
    return ckpy_datastore_end(d, s, arg) < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- compaction, repair, checks */

PyObject *ckpy_datastore_compact(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"rewrite", NULL};
    ckpy_datastore *d = DATASTORE(op);
    ckv_compaction c = {0};
    int64_t ms;
    int rewrite = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|p:compact", names, &rewrite) ||
        ckpy_datastore_now(d, &ms) < 0 || ckpy_datastore_settle(d) < 0 ||
        ckpy_datastore_write_slow(d) < 0)
        return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_compact(d->core, rewrite, ms, &c);
    ckpy_datastore_back(d, ts);
    if (ckpy_datastore_end(d, s, NULL) < 0) return NULL;
    const ckpy_figure rows[] = {
        {"before", c.bytes_before}, {"after", c.bytes_after}, {"dropped", c.dropped}};
    return ckpy_figures(d->state, rows, 3);
}

PyObject *ckpy_datastore_repair(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    if (ckpy_datastore_settle(d) < 0 || ckpy_datastore_write_slow(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_repair(d->core);
    ckpy_datastore_back(d, ts);
    if (ckpy_datastore_end(d, s, NULL) < 0) return NULL;
    ckv_report report;
    ckv_report_init(&report, ckv_alloc_libc);
    PyObject *result = ckpy_report_new(d->state, &report);
    ckv_report_fini(&report);
    return result;
}

static void note_line(void *ctx, const char *line)
{
    ckv_buf *lines = ctx;
    ckv_buf_blob(lines, line, strlen(line));
}

PyObject *ckpy_datastore_check(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    ckv_buf lines = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_datastore_begin(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    ckv_status s = ckv_datastore_check(d->core, note_line, &lines);
    ckpy_datastore_back(d, ts);
    if (s == CKV_OK) s = lines.status;
    PyObject *list = ckpy_datastore_end(d, s, NULL) == 0 ? PyList_New(0) : NULL;
    ckv_rd rd = ckv_rd_init(lines.ptr, lines.len);
    while (list && ckv_rd_left(&rd)) {
        size_t n;
        const char *p = (const char *)ckv_rd_blob(&rd, &n);
        PyObject *line = PyUnicode_DecodeUTF8(p, (Py_ssize_t)n, "replace");
        if (!line || PyList_Append(list, line) < 0) Py_CLEAR(list);
        Py_XDECREF(line);
    }
    ckv_buf_fini(&lines);
    return list;
}

PyObject *ckpy_datastore_limit_authors(PyObject *op, PyObject *args, PyObject *kw)
{
    static char *names[] = {"bytes_per_second", "burst", NULL};
    ckpy_datastore *d = DATASTORE(op);
    PyObject *asked[2] = {NULL, Py_None};
    unsigned long long bytes[2] = {0, 0};
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|O:limit", names, &asked[0], &asked[1]))
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (asked[i] == Py_None) continue;
        PyObject *n = PyNumber_Index(asked[i]);
        if (!n) return NULL;
        bytes[i] = PyLong_AsUnsignedLongLong(n);
        Py_DECREF(n);
        if (bytes[i] == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
        if (bytes[i] == 0)
            return PyErr_Format(PyExc_ValueError, "%s must be positive, or None", names[i]);
    }
    if (asked[1] == Py_None) bytes[1] = bytes[0] > UINT64_MAX / 60 ? UINT64_MAX : 60 * bytes[0];
    if (ckpy_datastore_begin(d) < 0) return NULL;
    ckv_datastore_limit(d->core, bytes[0], bytes[1]);
    ckpy_lock_put(&d->lock);
    Py_RETURN_NONE;
}

/* ---- for Database */

PyObject *ckpy_datastore_lost(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    if (ckpy_datastore_begin(d) < 0) return NULL;
    const ckv_value_bytes lines = ckv_datastore_lost(d->core);
    PyObject *text =
        PyUnicode_DecodeUTF8((const char *)lines.ptr, (Py_ssize_t)lines.n_bytes, "replace");
    ckpy_lock_put(&d->lock);
    PyObject *list = text ? PyUnicode_Splitlines(text, 0) : NULL;
    Py_XDECREF(text);
    return list;
}

PyObject *ckpy_datastore_flush(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    if (ckpy_datastore_settle(d) < 0 || ckpy_datastore_write_slow(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_flush(d->core);
    ckpy_datastore_back(d, ts);
    return ckpy_datastore_end(d, s, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}

PyObject *ckpy_datastore_refresh(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_datastore *d = DATASTORE(op);
    if (ckpy_datastore_begin(d) < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s = ckv_datastore_refresh(d->core);
    ckpy_datastore_back(d, ts);
    return ckpy_datastore_end(d, s, NULL) < 0 ? NULL : Py_NewRef(Py_None);
}
