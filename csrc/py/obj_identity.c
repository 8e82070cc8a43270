/* obj_identity.c -- Identity: a key pair. Files and manners are in crdtkv/identity.py.
 *
 * The secret key leaves this object only sealed into the bytes of a key file, and is wiped with it.
 */
#include "py/convert.h"
#include "py/errors.h"
#include "py/forge.h"

#define IDENTITY(op) ((ckpy_identity *)(op))

static PyObject *Identity_new(PyTypeObject *tp, PyObject *args, PyObject *kw)
{
    (void)args, (void)kw;
    PyErr_Format(PyExc_TypeError, "%.100s is made by generate(), from_seed() or load()",
                 tp->tp_name);
    return NULL;
}

static PyObject *alloc(PyObject *cls)
{
    return ((PyTypeObject *)cls)->tp_alloc((PyTypeObject *)cls, 0);
}

static void Identity_dealloc(PyObject *op)
{
    PyTypeObject *tp = Py_TYPE(op);
    ckv_identity_wipe(&IDENTITY(op)->core);
    tp->tp_free(op);
    Py_DECREF(tp);
}

static PyObject *Identity_generate(PyObject *cls, PyObject *ignored)
{
    (void)ignored;
    PyObject *self = alloc(cls);
    if (self) ckv_identity_random(&IDENTITY(self)->core);
    return self;
}

static PyObject *Identity_from_seed(PyObject *cls, PyObject *seed)
{
    PyObject *bytes = ckpy_bytes_arg(seed, "a seed");
    if (!bytes) return NULL;
    PyObject *self = NULL;
    if (PyBytes_GET_SIZE(bytes) != 32)
        PyErr_Format(PyExc_ValueError, "a seed is 32 bytes long, not %zd", PyBytes_GET_SIZE(bytes));
    else if ((self = alloc(cls)))
        ckv_identity_from_seed(&IDENTITY(self)->core, (const uint8_t *)PyBytes_AS_STRING(bytes));
    Py_DECREF(bytes);
    return self;
}

/* None, or a str or bytes-like as bytes: new reference in *out, which is NULL for None. */
static int password_arg(PyObject *op, PyObject **out)
{
    *out = NULL;
    if (op == Py_None) return 0;
    *out = PyUnicode_Check(op) ? PyUnicode_AsUTF8String(op) : ckpy_bytes_arg(op, "a password");
    return *out ? 0 : -1;
}

static PyObject *Identity_seal(PyObject *op, PyObject *password)
{
    PyObject *pw;
    if (password_arg(password, &pw) < 0) return NULL;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    ckv_status s;
    Py_BEGIN_ALLOW_THREADS s =
        ckv_identity_save(&IDENTITY(op)->core, pw ? PyBytes_AS_STRING(pw) : NULL,
                          pw ? (size_t)PyBytes_GET_SIZE(pw) : 0, &out);
    Py_END_ALLOW_THREADS PyObject *result = NULL;
    if (s != CKV_OK)
        ckpy_raise(ckpy_state_of(Py_TYPE(op)), s, "the key could not be sealed");
    else
        result = PyByteArray_FromStringAndSize((const char *)out.ptr, (Py_ssize_t)out.len);
    if (out.ptr) memset(out.ptr, 0, out.cap);
    ckv_buf_fini(&out);
    Py_XDECREF(pw);
    return result;
}

static PyObject *Identity_unseal(PyObject *cls, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "_unseal expected 2 arguments, got %zd", nargs);
        return NULL;
    }
    PyObject *pw, *data = ckpy_bytes_arg(args[0], "a key file");
    if (!data) return NULL;
    if (password_arg(args[1], &pw) < 0) {
        Py_DECREF(data);
        return NULL;
    }
    ckpy_state *st = ckpy_state_of((PyTypeObject *)cls);
    PyObject *self = st ? alloc(cls) : NULL;
    if (self) {
        ckv_identity core;
        ckv_err err = {0};
        ckv_status s;
        Py_BEGIN_ALLOW_THREADS s = ckv_identity_load(
            &core, (const uint8_t *)PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data),
            pw ? PyBytes_AS_STRING(pw) : NULL, pw ? (size_t)PyBytes_GET_SIZE(pw) : 0, &err);
        Py_END_ALLOW_THREADS if (s == CKV_OK)
        {
            IDENTITY(self)->core = core;
            ckv_identity_wipe(&core);
        }
        else
        {
            Py_CLEAR(self);
            /* To whoever reads the file, a wrong password is a file that does not parse. */
            if (s == CKV_ESIGN) s = CKV_ECORRUPT;
            ckpy_raise_err(st, s, &err, "not a key file, or the wrong password");
        }
    }
    Py_XDECREF(pw);
    Py_DECREF(data);
    return self;
}

static PyObject *Identity_get_public_key(PyObject *op, void *closure)
{
    (void)closure;
    return ckpy_id(&IDENTITY(op)->core.public_key);
}

static PyObject *Identity_repr(PyObject *op)
{
    const uint8_t *k = IDENTITY(op)->core.public_key.b;
    char hex[17];
    PyOS_snprintf(hex, sizeof hex, "%02x%02x%02x%02x%02x%02x%02x%02x", k[0], k[1], k[2], k[3], k[4],
                  k[5], k[6], k[7]);
    return PyUnicode_FromFormat("<Identity %s>", hex);
}

static Py_hash_t Identity_hash(PyObject *op)
{
    PyObject *key = ckpy_id(&IDENTITY(op)->core.public_key);
    if (!key) return -1;
    const Py_hash_t h = PyObject_Hash(key);
    Py_DECREF(key);
    return h;
}

static PyObject *Identity_richcompare(PyObject *a, PyObject *b, int op)
{
    ckpy_state *st = ckpy_state_of(Py_TYPE(a));
    if (!st) return NULL;
    if ((op != Py_EQ && op != Py_NE) || !PyObject_TypeCheck(b, st->Identity))
        Py_RETURN_NOTIMPLEMENTED;
    const bool eq = ckv_id32_eq(&IDENTITY(a)->core.public_key, &IDENTITY(b)->core.public_key);
    return PyBool_FromLong(eq == (op == Py_EQ));
}

static PyObject *Identity_reduce(PyObject *op, PyObject *ignored)
{
    (void)op, (void)ignored;
    PyErr_SetString(PyExc_TypeError,
                    "an Identity cannot be pickled: its secret key would travel; use save()");
    return NULL;
}

static PyObject *Identity_verifies(PyObject *ignored, PyObject *args)
{
    (void)ignored;
    PyObject *signature;
    Py_buffer key, message;
    if (!PyArg_ParseTuple(args, "y*y*S:_verifies", &key, &message, &signature)) return NULL;
    bool holds = false;
    ckv_id32 author;
    if (key.len == 32 && PyBytes_GET_SIZE(signature) == CKV_SIGNATURE_BYTES) {
        memcpy(author.b, key.buf, 32);
        holds = ckv_verify_bytes((const uint8_t *)PyBytes_AS_STRING(signature), &author,
                                 message.buf, (size_t)message.len);
    }
    PyBuffer_Release(&key);
    PyBuffer_Release(&message);
    return PyBool_FromLong(holds);
}

PyDoc_STRVAR(generate_doc, "generate($type, /)\n--\n\n"
                           "A new random identity.\n\n"
                           ">>> import crdtkv as ck\n"
                           ">>> len(ck.Identity.generate().public_key)\n"
                           "32");
PyDoc_STRVAR(from_seed_doc,
             "from_seed($type, seed, /)\n--\n\n"
             "The identity of a seed of 32 secret bytes: the same key every time.\n\n"
             ">>> import crdtkv as ck\n"
             ">>> ck.Identity.from_seed(bytes(32)) == ck.Identity.from_seed(bytes(32))\n"
             "True");

static PyMethodDef Identity_methods[] = {
    {"generate", Identity_generate, METH_NOARGS | METH_CLASS, generate_doc},
    {"from_seed", Identity_from_seed, METH_O | METH_CLASS, from_seed_doc},
    {"_seal", Identity_seal, METH_O,
     "_seal($self, password, /)\n--\n\nThe content of a key file, as a bytearray that the caller "
     "wipes."},
    {"_unseal", (PyCFunction)(void (*)(void))Identity_unseal, METH_FASTCALL | METH_CLASS,
     "_unseal($type, data, password, /)\n--\n\nThe identity in the content of a key file."},
    {"_sign", ckpy_forge_sign, METH_O,
     "_sign($self, message, /)\n--\n\nThe signature of any bytes. Whoever calls puts a prefix "
     "before them that no change has."},
    {"_verifies", Identity_verifies, METH_VARARGS | METH_STATIC,
     "_verifies(key, message, signature, /)\n--\n\nWhether somebody with this key signed these "
     "bytes."},
    {"__reduce__", Identity_reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\nRefuses: a pickle would hold the secret."},
    CKPY_COPY_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Identity_getset[] = {
    {"public_key", Identity_get_public_key, NULL, "The 32 bytes by which others know this author.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Identity_slots[] = {
    {Py_tp_doc, "The key pair of an author."},
    {Py_tp_new, Identity_new},
    {Py_tp_dealloc, Identity_dealloc},
    {Py_tp_repr, Identity_repr},
    {Py_tp_hash, Identity_hash},
    {Py_tp_richcompare, Identity_richcompare},
    {Py_tp_methods, Identity_methods},
    {Py_tp_getset, Identity_getset},
    {0, NULL},
};

PyType_Spec ckpy_identity_spec = {
    .name = "crdtkv._core.Identity",
    .basicsize = sizeof(ckpy_identity),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Identity_slots,
};
