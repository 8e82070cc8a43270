/* nested.h -- keys and values of a store: Python's objects as bytes (log/nested.h, kv/key.h), and back.
 *
 *     in     ckpy_scratch s; ckpy_scratch_init(&s); ckpy_nested_write(st, &s.buf, value) .. ckpy_scratch_fini(&s)
 *     out    under the lock:  ckpy_nested_is_scalar(p) ? ckpy_nested_scalar(p, n) : copy the bytes
 *            without it:      ckpy_nested_read(copy, n)
 *
 * In: before the store's lock is taken, for anybody's code may run in a subclass of dict. Out: of bytes that were checked when they came in.
 */
#ifndef CKPY_NESTED_H
#define CKPY_NESTED_H

#include "py/state.h"

/* ---- keys */

int ckpy_key_arg_slow(ckpy_state *st, PyObject *key, ckv_store_key *out);

/* Points into key, so hold it. TypeError if it is neither str nor bytes, ValueError for lone surrogates, LimitError. */
static inline int ckpy_key_arg(ckpy_state *st, PyObject *key, ckv_store_key *out)
{
    if (PyBytes_CheckExact(key) && PyBytes_GET_SIZE(key) <= CKV_MAX_KEY) {
        *out = (ckv_store_key){(const uint8_t *)PyBytes_AS_STRING(key),
                               (uint32_t)PyBytes_GET_SIZE(key), true};
        return 0;
    }
    if (PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key) &&
        PyUnicode_GET_LENGTH(key) <= CKV_MAX_KEY) {
        *out = (ckv_store_key){(const uint8_t *)PyUnicode_DATA(key),
                               (uint32_t)PyUnicode_GET_LENGTH(key), false};
        return 0;
    }
    return ckpy_key_arg_slow(st, key, out);
}

/* A new str or bytes; not tracked, so it may be made under the lock. */
PyObject *ckpy_key(ckv_store_key key);

/* ---- in */

typedef struct ckpy_scratch { /* a buffer whose first bytes lie on the stack; do not move it */
    ckv_buf buf;
    uint8_t room[512];
} ckpy_scratch;

void *ckpy_scratch_grow(void *room, void *old, size_t old_size, size_t new_size);

static inline void ckpy_scratch_init(ckpy_scratch *s)
{
    s->buf = (ckv_buf){.a = {ckpy_scratch_grow, s->room}, .ptr = s->room, .cap = sizeof s->room};
}
static inline void ckpy_scratch_fini(ckpy_scratch *s)
{
    if (s->buf.ptr != s->room) ckv_buf_fini(&s->buf);
}

/* Appends the value; what is appended is at most CKV_MAX_VALUE bytes. TypeError, ValueError, OverflowError and LimitError name the path inside
 * the value; then `out` is as it was. */
int ckpy_nested_write(ckpy_state *st, ckv_buf *out, PyObject *value);

typedef struct ckpy_record { /* stands before its key and value in a buffer */
    uint32_t key_bytes, value_bytes;
    bool is_bytes;
} ckpy_record;

static inline ckv_store_key ckpy_record_key(const ckpy_record *r, const uint8_t *at)
{
    return (ckv_store_key){at, r->key_bytes, r->is_bytes};
}

/* Appends the keys and values of a dict as records. Its values are anybody's, it is ours. */
int ckpy_records_of(ckpy_state *st, PyObject *dict, ckv_buf *out);

/* ---- out */

static inline bool ckpy_nested_is_scalar(const uint8_t *p) { return p[0] <= CKV_TAG_BYTES; }
/* None, bool, int, float, str or bytes; not tracked, so it may be made under the lock. */
PyObject *ckpy_nested_scalar(const uint8_t *p, size_t n);
/* Any value, fresh. Without the lock. */
PyObject *ckpy_nested_read(const uint8_t *p, size_t n);

/* A value between the lock and the light: taken under it, whole after it. */
typedef struct ckpy_held {
    PyObject *object; /* owned: the value, or if it is `deep` its bytes */
    bool deep;
} ckpy_held;

/* Under the lock. False: no memory, with an exception. */
static inline bool ckpy_hold(ckv_bytes value, ckpy_held *out)
{
    out->deep = !ckpy_nested_is_scalar(value.ptr);
    out->object =
        out->deep ? PyBytes_FromStringAndSize((const char *)value.ptr, (Py_ssize_t)value.n_bytes)
                  : ckpy_nested_scalar(value.ptr, value.n_bytes);
    return out->object != NULL;
}

PyObject *ckpy_held_read(PyObject *bytes); /* steals */

/* Without the lock: the value. NULL if nothing is held. */
static inline PyObject *ckpy_held_value(const ckpy_held *h)
{
    return h->deep && h->object ? ckpy_held_read(h->object) : h->object;
}

#endif
