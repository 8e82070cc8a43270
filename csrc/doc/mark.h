/* mark.h -- the marks of a text as stretches: what spans and events are made of. */
#ifndef CKV_DOC_MARK_H
#define CKV_DOC_MARK_H

#include "doc/state.h"

typedef struct ckv_stretch { /* visible characters [start, end) have this value under this name */
    uint32_t start, end, name, value_off;
} ckv_stretch;
CKV_VEC(ckv_stretches, ckv_stretch);

/* All stretches of a text, now (at NULL) or at a version, by start, then by the bytes of the name. Those of one name do not overlap and are as long as they can be. */
CKV_NODISCARD ckv_status ckv_text_stretches(ckv_doc *doc, const ckv_past *at, uint32_t text,
                                            ckv_stretches *out);
bool ckv_values_equal(const ckv_oplog *log, uint32_t value_off, uint32_t other_off);

#endif
