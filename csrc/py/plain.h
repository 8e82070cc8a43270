/* plain.h -- Python's dicts, lists and sets as plain bytes, and back. doc/plain.h says what the bytes look like.
 *
 *     in    ckpy_flat_init .. ckpy_flat_add .. ckpy_flat_store .. ckpy_flat_fini
 *     out   ckpy_plain
 *
 * In: everything is read and checked before the document's lock is taken, for anybody's code may run while it is. Containers by name that
 * are new become the handles of what is made of them, at whatever depth; of others the content is copied.
 */
#ifndef CKPY_PLAIN_H
#define CKPY_PLAIN_H

#include "py/handle.h"

/* ---- in */

typedef struct ckpy_keys {  /* numbers of the keys of a stream, by address; the strings are held */
    struct ckpy_key *slots; /* owned, a power of two; NULL: none */
    size_t mask, n;
    uint32_t last; /* number of the newest key of the stream, those that are not in here counted */
} ckpy_keys;

typedef struct ckpy_flat {
    ckpy_state *st;
    ckv_buf bytes;
    ckv_buf fresh;         /* of ckpy_fresh; holds references */
    uint32_t n_containers; /* begun so far */
    uint32_t n_values;     /* top-level ones so far */
    unsigned depth;        /* of the container that will hold the values */
    unsigned max_depth;    /* of containers, */
    size_t max_key;        /* and bytes of a key, where they will be */
    ckpy_keys keys;
    /* where the value is going to stand, for errors: a key (borrowed) or an index, or neither (-1) */
    PyObject *key;
    Py_ssize_t index;
    bool may_split; /* one value is to be stored, and if it is a Text it may be in parts */
    PyObject *
        long_text; /* owned str: content of the one value, which stands in bytes as an empty Text */
    const struct ckpy_frame *frame;
} ckpy_flat;

/* depth: of the container that will hold the values. key NULL and index -1: it has no place yet. */
void ckpy_flat_init(ckpy_flat *f, ckpy_state *st, unsigned depth, PyObject *key, Py_ssize_t index);
/* For a container that is there: its depth, and the limits of its document. */
void ckpy_flat_init_in(ckpy_flat *f, ckpy_doc *d, uint32_t container, PyObject *key,
                       Py_ssize_t index);
/* Appends one value. TypeError, ValueError, OverflowError and LimitError name the path. */
int ckpy_flat_add(ckpy_flat *f, PyObject *value);
void ckpy_flat_fini(ckpy_flat *f);

/* One try of the edit, under the lock; the bytes are f's. */
typedef ckv_status (*ckpy_put)(ckv_doc *core, const ckpy_flat *f, void *ctx, ckv_buf *made);
/* Does it, in one change or (a long Text by itself) several, and attaches the fresh handles. CKV_OK, or what the core said, or
 * *raised with an exception. */
ckv_status ckpy_flat_store(ckpy_flat *f, ckpy_doc *d, ckpy_put put, void *ctx, bool *raised);

/* Makes the fresh handles those of what was made, in order. */
int ckpy_flat_attach(const ckpy_flat *f, ckpy_doc *d, const ckv_buf *made);

/* Can value be stored? For what is kept until it is. -1: an exception. */
int ckpy_flat_check(ckpy_state *st, PyObject *value, PyObject *key);
/* Can all of a dict be stored in this Map of a document? d NULL: in one that is in none. */
int ckpy_flat_check_entries(ckpy_state *st, PyObject *dict, ckpy_doc *d, uint32_t map);

/* ---- out */

typedef struct ckpy_plain {
    ckpy_state *st;
    ckv_rd rd;
    PyObject **keys; /* owned, of the stream so far */
    size_t n_keys, cap;
    bool kinds; /* Texts and Counters as detached ones, else as str and int */
} ckpy_plain;

void ckpy_plain_init(ckpy_plain *p, ckpy_state *st, const uint8_t *bytes, size_t n_bytes,
                     bool kinds);
/* The next value; the outermost container is never a handle. */
PyObject *ckpy_plain_next(ckpy_plain *p);
/* The next key: a new reference to the one str of the stream. */
PyObject *ckpy_plain_key(ckpy_plain *p);
void ckpy_plain_fini(ckpy_plain *p);
/* The one value of a whole stream. */
PyObject *ckpy_plain_one(ckpy_state *st, const ckv_buf *bytes, bool kinds);

#endif
