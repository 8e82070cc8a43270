/* status.h -- how functions say that something went wrong.
 *
 * Three wrongs, three answers: bytes from outside -> CKV_ECORRUPT and its neighbours; a machine out of room ->
 * CKV_ENOMEM or CKV_ELIMIT; our own bug -> CKV_ASSERT, which aborts.
 * Whoever returns an error leaves the object as it was.
 */
#ifndef CKV_BASE_STATUS_H
#define CKV_BASE_STATUS_H

#include <stddef.h>

typedef enum ckv_status {
    CKV_OK = 0,
    CKV_ENOMEM = -1,   /* the allocator said no */
    CKV_ECORRUPT = -2, /* bytes from outside do not parse */
    CKV_ELIMIT = -3,   /* well formed, beyond a limit */
    CKV_ESIGN = -4,    /* a signature does not hold */
    CKV_ENOENT = -5,   /* no such key, id or name */
    CKV_ERANGE = -6,   /* a position outside the sequence */
    CKV_ESTALE = -7,   /* the container was deleted */
    CKV_EVOID = -8,    /* the body of a change breaks a rule */
    CKV_ELATER = -9,   /* written by a later version */
    CKV_ESYNC = -11,   /* a message that does not fit into its session */
    CKV_EVALUE = -10,  /* a value that cannot be stored, such as a lone surrogate */
    CKV_EDRIFT = -12,  /* a time too far in the future */
    CKV_EDISK = -13,   /* the device failed; the file is read-only until it is opened again */
    CKV_EFULL = -14,   /* no room on the disk; later there may be some */
    CKV_ELOCKED = -15, /* another writer has the file */
    CKV_EALIEN = -16,  /* a file that is not one of ours */
    CKV_ENEWER = -17,  /* a file that a later version wrote */
    CKV_EFORKED = -18, /* this process was forked from the one that opened the file */
    CKV_EEXIST = -19,  /* something is there already */
} ckv_status;

#define CKV_NODISCARD __attribute__((warn_unused_result))

/* Words for humans, owned by the caller. `text` is static. */
typedef struct ckv_err {
    ckv_status code;
    size_t offset; /* byte of the input at which reading stopped */
    const char *text;
} ckv_err;

/* Leave the function with the status of `expr` unless it is CKV_OK. */
#define CKV_TRY(expr)                                                                              \
    do {                                                                                           \
        const ckv_status try_status_ = (expr);                                                     \
        if (try_status_ != CKV_OK) return try_status_;                                             \
    } while (0)

#endif
