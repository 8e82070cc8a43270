/* snapshot.h -- where a document stands, to come back to when an import or a write fails: no trace is left. */
#ifndef CKV_DOC_SNAPSHOT_H
#define CKV_DOC_SNAPSHOT_H

#include "doc/state.h"

typedef struct ckv_snapshot {
    uint32_t n_changes, n_lanes;
    size_t journal, message_bytes, void_bytes, cover_bytes, events, patches;
    uint32_t told;
    ckv_u32s heads;
} ckv_snapshot;

CKV_NODISCARD ckv_status ckv_snapshot_take(ckv_snapshot *at, const ckv_doc *doc);
/* All that came since is taken back, from the content too. */
void ckv_snapshot_back(ckv_doc *doc, const ckv_snapshot *at);
void ckv_snapshot_fini(ckv_snapshot *at);

#endif
