/* news.c -- what changes did, for those who look on: events, differences, and taking back one's own work.
 *
 *     a change closes or comes in    the core's events move to doc->news, under the lock           ckpy_doc_gather
 *     the lock is gone               one thread at a time tells them, oldest first, until there    ckpy_doc_tell
 *                                    are none: what callbacks change is told after what they heard
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/plain.h"

#define DOC(op) ((ckpy_doc *)(op))

struct ckpy_news {
    struct ckpy_news *next;
    ckv_buf events, patches; /* as ckv_doc_take_events gave them */
    PyObject *origin;        /* owned, NULL: None */
};

void ckpy_news_free(struct ckpy_news *n)
{
    while (n) {
        struct ckpy_news *next = n->next;
        ckv_buf_fini(&n->events);
        ckv_buf_fini(&n->patches);
        Py_XDECREF(n->origin);
        PyMem_RawFree(n);
        n = next;
    }
}

/* ---- in */

void ckpy_doc_gather(ckpy_doc *d, PyObject *origin)
{
    ckv_buf events = ckv_buf_init(ckv_alloc_libc), patches = ckv_buf_init(ckv_alloc_libc);
    ckv_doc_take_events(d->core, &events, &patches);
    struct ckpy_news *n = events.len ? PyMem_RawMalloc(sizeof *n) : NULL;
    if (!n) { /* nothing happened, or no memory: who observes misses something */
        ckv_buf_fini(&events);
        ckv_buf_fini(&patches);
        return;
    }
    *n = (struct ckpy_news){.events = events, .patches = patches, .origin = Py_XNewRef(origin)};
    struct ckpy_news **end = &d->news;
    while (*end) end = &(*end)->next;
    *end = n;
    d->attention |= CKPY_NEWS;
}

int ckpy_doc_tell(ckpy_doc *d)
{
    for (;;) {
        ckpy_lock_get(&d->lock);
        const bool go = (d->attention & CKPY_NEWS) && !d->telling && d->owner == 0;
        if (go) d->telling = true;
        ckpy_lock_put(&d->lock);
        if (!go) return 0;
        PyObject *told = ckpy_call((PyObject *)d, "_tell", NULL, NULL);
        ckpy_lock_get(&d->lock);
        d->telling = false;
        ckpy_lock_put(&d->lock);
        if (!told) return -1;
        Py_DECREF(told);
    }
}

PyObject *ckpy_told(ckpy_doc *d, PyObject *result)
{
    if (!result || !(d->attention & CKPY_NEWS) || ckpy_doc_tell(d) == 0) return result;
    Py_DECREF(result);
    return NULL;
}

PyObject *ckpy_doc_watch(PyObject *op, PyObject *arg)
{
    ckpy_doc *d = DOC(op);
    const int on = PyObject_IsTrue(arg);
    if (on < 0) return NULL;
    if (ckpy_look_begin(d) < 0) return NULL;
    d->watched = on;
    ckv_doc_watch(d->core, on);
    ckpy_lock_put(&d->lock);
    Py_RETURN_NONE;
}

/* ---- patches out of their stream */

static const char *const kind_names[] = {
    [CKV_PATCH_MAP_SET] = "set",         [CKV_PATCH_MAP_REMOVE] = "remove",
    [CKV_PATCH_LIST_INSERT] = "insert",  [CKV_PATCH_LIST_REMOVE] = "remove",
    [CKV_PATCH_LIST_SET] = "set",        [CKV_PATCH_LIST_MOVE] = "move",
    [CKV_PATCH_TEXT_INSERT] = "insert",  [CKV_PATCH_TEXT_REMOVE] = "remove",
    [CKV_PATCH_TEXT_MARK] = "mark",      [CKV_PATCH_SET_ADD] = "add",
    [CKV_PATCH_SET_DISCARD] = "discard", [CKV_PATCH_COUNT] = "count",
};

static PyObject *next_str(ckv_rd *rd)
{
    size_t n;
    const uint8_t *s = ckv_rd_blob(rd, &n);
    return PyUnicode_DecodeUTF8((const char *)s, (Py_ssize_t)n, NULL);
}

static PyObject *next_path(ckpy_plain *p)
{
    ckv_rd *rd = &p->rd;
    const size_t n = ckv_rd_count(rd, 2);
    PyObject *path = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; path && i < n; i++) {
        PyObject *step =
            ckv_rd_u8(rd) == 0 ? ckpy_plain_key(p) : PyLong_FromUnsignedLongLong(ckv_rd_varint(rd));
        if (!step)
            Py_CLEAR(path);
        else
            PyTuple_SET_ITEM(path, (Py_ssize_t)i, step);
    }
    return path;
}

static PyObject *next_position(ckv_rd *rd, ckv_patch_kind kind)
{
    switch (kind) {
    case CKV_PATCH_MAP_SET:
    case CKV_PATCH_MAP_REMOVE: return next_str(rd);
    case CKV_PATCH_LIST_INSERT:
    case CKV_PATCH_LIST_REMOVE:
    case CKV_PATCH_LIST_SET:
    case CKV_PATCH_LIST_MOVE:
    case CKV_PATCH_TEXT_INSERT:
    case CKV_PATCH_TEXT_REMOVE: return PyLong_FromUnsignedLongLong(ckv_rd_varint(rd));
    case CKV_PATCH_TEXT_MARK: {
        const unsigned long long start = ckv_rd_varint(rd), end = ckv_rd_varint(rd);
        return Py_BuildValue("(KK)", start, end);
    }
    case CKV_PATCH_PATH:
    case CKV_PATCH_SET_ADD:
    case CKV_PATCH_SET_DISCARD:
    case CKV_PATCH_COUNT: break;
    }
    Py_RETURN_NONE;
}

static PyObject *next_side(ckpy_plain *p)
{
    if (p->rd.p < p->rd.end && *p->rd.p == CKV_PATCH_NOTHING) {
        p->rd.p++;
        return Py_XNewRef(p->st->MISSING ? p->st->MISSING : Py_None);
    }
    return ckpy_plain_next(p);
}

/* [(path, kind, position, old, new)] */
static PyObject *steps_of(ckpy_state *st, const uint8_t *bytes, size_t n_bytes)
{
    ckpy_plain p;
    ckpy_plain_init(&p, st, bytes, n_bytes, false);
    PyObject *steps = PyList_New(0), *path = PyTuple_New(0);
    while (steps && path && ckv_rd_left(&p.rd)) {
        const uint8_t kind = ckv_rd_u8(&p.rd);
        if (kind == CKV_PATCH_PATH) {
            Py_SETREF(path, next_path(&p));
            continue;
        }
        if (kind > CKV_PATCH_COUNT || p.rd.status != CKV_OK) {
            PyErr_SetString(PyExc_SystemError, "the core wrote no patch");
            Py_CLEAR(steps);
            break;
        }
        PyObject *position = next_position(&p.rd, (ckv_patch_kind)kind);
        PyObject *old = position ? next_side(&p) : NULL, *new = old ? next_side(&p) : NULL;
        PyObject *step =
            new ? Py_BuildValue("(OsOOO)", path, kind_names[kind], position, old, new) : NULL;
        if (!step || PyList_Append(steps, step) < 0) Py_CLEAR(steps);
        Py_XDECREF(step);
        Py_XDECREF(new);
        Py_XDECREF(old);
        Py_XDECREF(position);
    }
    if (!path) Py_CLEAR(steps);
    Py_XDECREF(path);
    ckpy_plain_fini(&p);
    return steps;
}

/* ---- events out */

/* (author, is_local, origin, change ids, steps) */
static PyObject *event_of(ckpy_doc *d, const struct ckpy_news *n, const ckv_event *e)
{
    const size_t count = e->end - e->first;
    ckv_id32 author, *ids = PyMem_RawMalloc((count + 1) * sizeof *ids);
    if (!ids) return PyErr_NoMemory();
    ckpy_lock_get(&d->lock);
    for (size_t i = 0; i < count; i++) {
        ckv_change_info info;
        ckv_doc_change(d->core, e->first + (uint32_t)i, &info);
        ids[i] = *info.id;
        author = *info.author;
    }
    ckpy_lock_put(&d->lock);
    PyObject *changes = ckpy_id_tuple(ids, count);
    PyMem_RawFree(ids);
    PyObject *steps = changes ? steps_of(d->state, n->patches.ptr + e->off, e->n_bytes) : NULL;
    PyObject *event = steps ? Py_BuildValue("(y#OOOO)", author.b, (Py_ssize_t)32,
                                            e->is_local ? Py_True : Py_False,
                                            n->origin ? n->origin : Py_None, changes, steps)
                            : NULL;
    Py_XDECREF(changes);
    Py_XDECREF(steps);
    return event;
}

PyObject *ckpy_doc_take_news(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_doc *d = DOC(op);
    ckpy_lock_get(&d->lock);
    struct ckpy_news *news = d->news;
    d->news = NULL;
    d->attention &= ~CKPY_NEWS;
    ckpy_lock_put(&d->lock);
    PyObject *out = PyList_New(0);
    for (const struct ckpy_news *n = news; out && n; n = n->next) {
        const ckv_event *e = (const ckv_event *)(const void *)n->events.ptr;
        for (size_t i = 0; out && i < n->events.len / sizeof *e; i++) {
            PyObject *event = event_of(d, n, &e[i]);
            if (!event || PyList_Append(out, event) < 0) Py_CLEAR(out);
            Py_XDECREF(event);
        }
    }
    ckpy_news_free(news);
    return out;
}

PyObject *ckpy_doc_diff(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_doc *d = DOC(op);
    for (Py_ssize_t i = 0; i < 2; i++) {
        if (nargs == 2 && Py_IS_TYPE(args[i], d->state->View) && ((ckpy_view *)args[i])->doc == d)
            continue;
        PyErr_SetString(PyExc_TypeError, "_diff wants two Views of the document");
        return NULL;
    }
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_doc_settle(d, "diff") < 0) return NULL;
    PyThreadState *ts = ckpy_lock_away(&d->lock);
    const ckv_status s =
        ckv_doc_diff(d->core, ((ckpy_view *)args[0])->core, ((ckpy_view *)args[1])->core, &out);
    ckpy_lock_back(&d->lock, ts);
    ckpy_lock_put(&d->lock);
    PyObject *steps = s == CKV_OK ? steps_of(d->state, out.ptr, out.len)
                                  : ckpy_raise(d->state, s, "the versions could not be compared");
    ckv_buf_fini(&out);
    return steps;
}

PyObject *ckpy_doc_path_of(PyObject *op, PyObject *arg)
{
    ckpy_doc *d = DOC(op);
    const unsigned long container = PyLong_AsUnsignedLong(arg);
    if (container == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    ckv_buf steps = ckv_buf_init(ckv_alloc_libc);
    PyObject *made[CKV_MOST_DEPTH] = {NULL};
    size_t n = 0;
    ckpy_lock_get(&d->lock);
    ckv_status s = CKV_ESTALE;
    if (container < ckv_doc_n_containers(d->core) && ckv_doc_is_live(d->core, (uint32_t)container))
        s = ckv_doc_path(d->core, (uint32_t)container, &steps);
    const ckv_step *at = (const ckv_step *)(const void *)steps.ptr;
    if (s == CKV_OK) n = steps.len / sizeof *at;
    for (size_t i = 0; i < n && i < CKV_MOST_DEPTH; i++) /* the keys are the document's */
        made[i] = at[i].key ? PyUnicode_DecodeUTF8(at[i].key, (Py_ssize_t)at[i].key_bytes, NULL)
                            : PyLong_FromSize_t(at[i].index);
    ckpy_lock_put(&d->lock);
    ckv_buf_fini(&steps);
    PyObject *path = NULL;
    if (s == CKV_ESTALE)
        path = Py_NewRef(Py_None);
    else if (s != CKV_OK)
        ckpy_raise(d->state, s, "no path");
    else if (!PyErr_Occurred())
        path = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; i < n; i++) {
        if (path)
            PyTuple_SET_ITEM(path, (Py_ssize_t)i, made[i]);
        else
            Py_XDECREF(made[i]);
    }
    return path;
}

/* ---- one's own work */

PyObject *ckpy_doc_own_changes(PyObject *op, PyObject *arg)
{
    ckpy_doc *d = DOC(op);
    const unsigned long first = PyLong_AsUnsignedLong(arg);
    if (first == (unsigned long)-1 && PyErr_Occurred()) return NULL;
    typedef struct row {
        uint32_t number;
        int64_t time;
    } row;
    ckv_buf rows = ckv_buf_init(ckv_alloc_libc);
    if (ckpy_look_begin(d) < 0) return NULL;
    const uint32_t n = ckv_doc_n_changes(d->core);
    for (unsigned long i = first; i < n; i++) {
        ckv_change_info info;
        ckv_doc_change(d->core, (uint32_t)i, &info);
        if (!info.is_local || info.n_ops == 0) continue;
        const row own = {(uint32_t)i, info.time};
        ckv_buf_bytes(&rows, &own, sizeof own);
    }
    const bool open = ckv_doc_is_open(d->core);
    ckpy_lock_put(&d->lock);
    PyObject *list = rows.status == CKV_OK ? PyList_New(0) : PyErr_NoMemory();
    const row *r = (const row *)(const void *)rows.ptr;
    for (size_t i = 0; list && i < rows.len / sizeof *r; i++) {
        PyObject *one = Py_BuildValue("(kL)", (unsigned long)r[i].number, (long long)r[i].time);
        if (!one || PyList_Append(list, one) < 0) Py_CLEAR(list);
        Py_XDECREF(one);
    }
    ckv_buf_fini(&rows);
    return list ? Py_BuildValue("(NkO)", list, (unsigned long)n, open ? Py_True : Py_False) : NULL;
}

/* An iterable of ints as uint32_t. */
static int numbers_arg(PyObject *op, ckv_buf *out)
{
    PyObject *seq = PySequence_Tuple(op);
    if (!seq) return -1;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(seq); i++) {
        const unsigned long v = PyLong_AsUnsignedLong(PyTuple_GET_ITEM(seq, i));
        const uint32_t number = (uint32_t)v;
        if (v == (unsigned long)-1 && PyErr_Occurred()) break;
        ckv_buf_bytes(out, &number, sizeof number);
    }
    Py_DECREF(seq);
    if (!PyErr_Occurred() && out->status != CKV_OK) PyErr_NoMemory();
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *ckpy_doc_undo(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    ckpy_doc *d = DOC(op);
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError, "_undo expected 3 arguments, got %zd", nargs);
        return NULL;
    }
    ckv_buf changes = ckv_buf_init(ckv_alloc_libc), scope = ckv_buf_init(ckv_alloc_libc);
    const int dry = PyObject_IsTrue(args[2]);
    int64_t ms = 0;
    uint32_t change = CKV_NO_CHANGE;
    bool did = false;
    PyObject *result = NULL;
    if (dry < 0 || numbers_arg(args[0], &changes) < 0 || numbers_arg(args[1], &scope) < 0 ||
        (!dry && ckpy_doc_now(d, &ms) < 0) || ckpy_doc_settle(d, "undo") < 0)
        goto done;
    ckv_savepoint savepoint;
    ckv_status s = ckv_doc_savepoint(d->core, &savepoint);
    if (s == CKV_OK) {
        s = ckv_doc_undo(d->core, (const uint32_t *)(const void *)changes.ptr, changes.len / 4,
                         (const uint32_t *)(const void *)scope.ptr, scope.len / 4, &did);
        if (s == CKV_OK && did && !dry)
            ckv_doc_release(d->core, savepoint);
        else
            ckv_doc_rollback(d->core, savepoint);
    }
    if (s == CKV_OK && did && !dry) s = ckpy_doc_close(d, ms, NULL, 0, NULL, &change);
    ckpy_lock_put(&d->lock);
    if (s == CKV_ELIMIT)
        ckpy_raise(d->state, s, "what is to be undone is more than a change holds");
    else if (s != CKV_OK)
        ckpy_doc_raise(d, s, "the changes could not be undone");
    else
        result = did ? PyLong_FromUnsignedLong(dry ? 0 : change) : Py_NewRef(Py_None);
    result = ckpy_told(d, result);
done:
    ckv_buf_fini(&changes);
    ckv_buf_fini(&scope);
    return result;
}
