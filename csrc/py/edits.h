/* edits.h -- the few edits that turn one string into another. No Python in here. */
#ifndef CKPY_EDITS_H
#define CKPY_EDITS_H

#include <stdint.h>

#include "replica/crdtkv.h"

/* old[old_pos, old_pos + n_del) becomes new[new_pos, new_pos + n_ins). */
typedef struct ckpy_edit {
    size_t old_pos, n_del, new_pos, n_ins;
} ckpy_edit;

/* Appends the edits, ascending, apart from each other. Fewest characters, as long as that costs at most about
 * MAX_ROUNDS (edits.c) differences a part; beyond that, good ones. */
CKV_NODISCARD ckv_status ckpy_edits(ckv_alloc a, const uint32_t *old, size_t n_old,
                                    const uint32_t *new, size_t n_new, ckv_buf *out);

#endif
