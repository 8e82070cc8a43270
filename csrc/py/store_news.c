/* store_news.c -- what writes to a store did, for those who look on. The core keeps the news in order; whoever ends a write tells them
 * when the lock is gone (ckpy_store_tell), one thread at a time.
 */
#include "py/errors.h"
#include "py/store.h"

PyObject *ckpy_store_watch(PyObject *op, PyObject *arg)
{
    ckpy_store *s = STORE(op);
    const int on = PyObject_IsTrue(arg);
    if (on < 0) return NULL;
    if (ckpy_store_look(s) < 0) return NULL;
    s->watched = on;
    ckv_store_watch(s->core, on);
    if (!on)
        ckv_store_clear_news(
            s->core); /* nobody is left to hear them, and who comes later must not */
    ckpy_lock_put(&s->lock);
    Py_RETURN_NONE;
}

static PyObject *next_side(ckpy_state *st, ckv_rd *rd)
{
    size_t n;
    if (ckv_rd_u8(rd) == 0) return Py_NewRef(st->MISSING ? st->MISSING : Py_None);
    const uint8_t *p = ckv_rd_blob(rd, &n);
    return ckpy_nested_read(p, n);
}

static PyObject *next_author(ckv_rd *rd)
{
    size_t n;
    const uint8_t *p = ckv_rd_blob(rd, &n);
    return n ? PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n) : Py_NewRef(Py_None);
}

/* (key, old, new, author, is_local) */
static PyObject *next_event(ckpy_state *st, ckv_rd *rd)
{
    PyObject *key = ckpy_next_key(rd), *old = key ? next_side(st, rd) : NULL;
    PyObject *new = old ? next_side(st, rd) : NULL, *author = new ? next_author(rd) : NULL;
    PyObject *event =
        author ? PyTuple_Pack(5, key, old, new, author, ckv_rd_u8(rd) ? Py_True : Py_False) : NULL;
    Py_XDECREF(key);
    Py_XDECREF(old);
    Py_XDECREF(new);
    Py_XDECREF(author);
    return event;
}

PyObject *ckpy_store_take_news(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_store *s = STORE(op);
    ckv_buf news = ckv_buf_init(ckv_alloc_libc);
    ckpy_lock_get(&s->lock);
    const ckv_buf *here = ckv_store_news(s->core);
    ckv_buf_bytes(&news, here->ptr, here->len);
    if (news.status == CKV_OK) ckv_store_clear_news(s->core);
    ckpy_lock_put(&s->lock);
    ckv_rd rd = ckv_rd_init(news.ptr, news.len);
    PyObject *list = news.status == CKV_OK ? PyList_New(0) : PyErr_NoMemory();
    while (list && ckv_rd_left(&rd)) {
        PyObject *event = next_event(s->state, &rd);
        if (!event || PyList_Append(list, event) < 0) Py_CLEAR(list);
        Py_XDECREF(event);
    }
    ckv_buf_fini(&news);
    return list;
}
