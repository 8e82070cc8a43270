/* forge.c -- what crdtkv.testing asks of the core: bodies under forged headers, bundles in pieces, bare signatures. */
#include "py/forge.h"

#include "py/convert.h"
#include "py/errors.h"

#define DOC(op) ((ckpy_doc *)(op))

PyObject *ckpy_forge_open_body(PyObject *op, PyObject *args)
{
    ckpy_doc *self = DOC(op);
    PyObject *prev, *parents;
    long long ms;
    if (!PyArg_ParseTuple(args, "OSL:_open_body", &prev, &parents, &ms)) return NULL;
    ckv_id32 id;
    if (prev != Py_None && ckpy_id_arg(prev, &id) < 0) return NULL;
    ckv_buf body = ckv_buf_init(ckv_alloc_libc);
    uint32_t n_ops = 0;
    if (ckpy_edit_begin(self) < 0) return NULL;
    const ckv_status s = ckv_forge_body(self->core, prev == Py_None ? NULL : &id,
                                        (const uint8_t *)PyBytes_AS_STRING(parents),
                                        (size_t)PyBytes_GET_SIZE(parents) / 32, ms, &n_ops, &body);
    PyObject *result = NULL;
    if (ckpy_edit_end(self, 0) == 0)
        result = s == CKV_OK
                     ? Py_BuildValue("(ky#)", (unsigned long)n_ops, body.ptr, (Py_ssize_t)body.len)
                     : ckpy_raise(self->state, s, "no body could be written");
    ckv_buf_fini(&body);
    return result;
}

PyObject *ckpy_forge_place_of(PyObject *op, PyObject *change)
{
    ckpy_doc *self = DOC(op);
    ckv_id32 id;
    if (ckpy_id_arg(change, &id) < 0) return NULL;
    uint32_t number;
    ckv_change_info info = {0};
    ckpy_lock_get(&self->lock);
    const ckv_status s = ckv_doc_find(self->core, &id, &number);
    if (s == CKV_OK) {
        ckv_doc_change(self->core, number, &info);
        id = *info.lane;
    }
    ckpy_lock_put(&self->lock);
    if (s == CKV_ENOENT) Py_RETURN_NONE;
    if (s != CKV_OK) return ckpy_raise(self->state, s, "the change could not be looked up");
    return Py_BuildValue("(y#k)", id.b, (Py_ssize_t)32, (unsigned long)info.seq);
}

PyObject *ckpy_forge_opening(PyObject *op, PyObject *lane)
{
    ckpy_doc *self = DOC(op);
    ckv_id32 id, author;
    uint8_t nonce[16];
    if (ckpy_id_arg(lane, &id) < 0) return NULL;
    ckpy_lock_get(&self->lock);
    const ckv_status s = ckv_forge_opening(self->core, &id, &author, nonce);
    ckpy_lock_put(&self->lock);
    if (s != CKV_OK) Py_RETURN_NONE;
    return Py_BuildValue("(y#y#)", author.b, (Py_ssize_t)32, nonce, (Py_ssize_t)16);
}

PyObject *ckpy_forge_lift_limits(PyObject *op, PyObject *ignored)
{
    (void)ignored;
    ckpy_lock_get(&DOC(op)->lock);
    ckv_forge_lift_limits(DOC(op)->core);
    ckpy_lock_put(&DOC(op)->lock);
    Py_RETURN_NONE;
}

/* (chain, lane, opening, id, header, form, body, signature) */
static PyObject *part_tuple(const ckv_part *p, const uint8_t *bytes)
{
    PyObject *opening = p->has_opening ? Py_BuildValue("(y#y#)", p->author.b, (Py_ssize_t)32,
                                                       p->nonce, (Py_ssize_t)16)
                                       : Py_NewRef(Py_None);
    if (!opening) return NULL;
    return Py_BuildValue(
        "(ky#Ny#y#iy#y#)", (unsigned long)p->chain, p->lane.b, (Py_ssize_t)32, opening, p->id.b,
        (Py_ssize_t)32, p->header_bytes ? (const char *)bytes + p->header : "",
        (Py_ssize_t)p->header_bytes, (int)p->form,
        p->body_bytes ? (const char *)bytes + p->body : "", (Py_ssize_t)p->body_bytes, p->signature,
        (Py_ssize_t)(p->has_signature ? 64 : 0));
}

PyObject *ckpy_forge_take_apart(PyObject *op, PyObject *bundle)
{
    ckpy_doc *self = DOC(op);
    PyObject *data = ckpy_bytes_arg(bundle, "a bundle");
    if (!data) return NULL;
    ckv_buf parts = ckv_buf_init(ckv_alloc_libc), bytes = ckv_buf_init(ckv_alloc_libc);
    ckv_err err = {0};
    ckpy_lock_get(&self->lock);
    const ckv_status s = ckv_forge_take_apart(self->core, (const uint8_t *)PyBytes_AS_STRING(data),
                                              (size_t)PyBytes_GET_SIZE(data), &parts, &bytes, &err);
    ckpy_lock_put(&self->lock);
    Py_DECREF(data);
    const size_t n = parts.len / sizeof(ckv_part);
    PyObject *result = s == CKV_OK
                           ? PyList_New((Py_ssize_t)n)
                           : ckpy_raise_err(self->state, s, &err, "not a bundle of this document");
    for (size_t i = 0; result && i < n; i++) {
        ckv_part p;
        memcpy(&p, parts.ptr + i * sizeof p, sizeof p);
        PyObject *one = part_tuple(&p, bytes.ptr);
        if (!one)
            Py_CLEAR(result);
        else
            PyList_SET_ITEM(result, (Py_ssize_t)i, one);
    }
    ckv_buf_fini(&parts);
    ckv_buf_fini(&bytes);
    return result;
}

PyObject *ckpy_forge_sign(PyObject *op, PyObject *message)
{
    PyObject *data = ckpy_bytes_arg(message, "a message");
    if (!data) return NULL;
    uint8_t signature[64];
    ckv_forge_sign(signature, &((ckpy_identity *)op)->core, PyBytes_AS_STRING(data),
                   (size_t)PyBytes_GET_SIZE(data));
    Py_DECREF(data);
    return PyBytes_FromStringAndSize((const char *)signature, sizeof signature);
}

PyObject *ckpy_forge_checksum(PyObject *module, PyObject *bytes)
{
    (void)module;
    PyObject *data = ckpy_bytes_arg(bytes, "what is summed");
    if (!data) return NULL;
    const uint64_t sum = ckv_forge_checksum((const uint8_t *)PyBytes_AS_STRING(data),
                                            (size_t)PyBytes_GET_SIZE(data));
    Py_DECREF(data);
    return PyLong_FromUnsignedLongLong(sum);
}

PyObject *ckpy_forge_n_ops(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *body;
    unsigned int n_parents;
    if (!PyArg_ParseTuple(args, "SI:_n_ops", &body, &n_parents)) return NULL;
    return PyLong_FromUnsignedLong(ckv_forge_n_ops((const uint8_t *)PyBytes_AS_STRING(body),
                                                   (size_t)PyBytes_GET_SIZE(body), n_parents));
}
