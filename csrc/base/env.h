/* env.h -- what the core needs from the world: memory and randomness. Time comes as an argument.
 * Handed in, so that any run replays from its seed.
 */
#ifndef CKV_BASE_ENV_H
#define CKV_BASE_ENV_H

#include "base/alloc.h"

typedef struct ckv_env {
    ckv_alloc alloc;
    void (*random)(void *ctx, uint8_t *out, size_t n_bytes); /* NULL: the system's */
    void *random_ctx;
} ckv_env;

#endif
