/* map.h -- Maps: keys, each a multi-value register. The root is one. */
#ifndef CKV_DOC_MAP_H
#define CKV_DOC_MAP_H

#include "doc/view.h"

/* The value that is shown now. CKV_ENOENT: none. It points into the document and lives until its next change. */
CKV_NODISCARD ckv_status ckv_map_get(const ckv_doc *doc, uint32_t map, const char *key,
                                     size_t key_bytes, ckv_value *out);
/* A value with a container's tag makes an empty one; its number is then in *made. One with a default tag makes the same container as everybody who
 * sets it at the same time; *made may then be one that is here already. CKV_ELIMIT: key over 4 KiB, open change full, too deep. CKV_ESTALE. */
CKV_NODISCARD ckv_status ckv_map_set(ckv_doc *doc, uint32_t map, const char *key, size_t key_bytes,
                                     const ckv_value *value, uint32_t *made);
CKV_NODISCARD ckv_status ckv_map_unset(ckv_doc *doc, uint32_t map, const char *key,
                                       size_t key_bytes); /* CKV_ENOENT */
size_t ckv_map_len(const ckv_doc *doc, uint32_t map);

/* ---- now (at NULL) or at a version */

typedef struct ckv_entry {
    const char *key;
    size_t key_bytes;
    ckv_value value;
} ckv_entry;
/* All entries in order of the keys' bytes. */
CKV_NODISCARD ckv_status ckv_map_entries(ckv_doc *doc, const ckv_view *at, uint32_t map,
                                         ckv_buf *out /* of ckv_entry */);
/* At most `most` of them, in order; the first ones unless the map is large. For a look: its cost is bounded, whatever the size. */
CKV_NODISCARD ckv_status ckv_map_some(ckv_doc *doc, const ckv_view *at, uint32_t map, size_t most,
                                      ckv_buf *out /* of ckv_entry */);
CKV_NODISCARD ckv_status ckv_map_get_at(ckv_doc *doc, const ckv_view *at, uint32_t map,
                                        const char *key, size_t key_bytes,
                                        ckv_value *out); /* CKV_ENOENT */

typedef struct ckv_conflict { /* one of a register's values, by the operation that wrote it */
    uint32_t change, index;   /* index: number of the item among those of its change */
    ckv_value value;
} ckv_conflict;
/* The values of a key, the greatest operation (the shown one) first. Wants the change closed. */
CKV_NODISCARD ckv_status ckv_map_conflicts(ckv_doc *doc, const ckv_view *at, uint32_t map,
                                           const char *key, size_t key_bytes,
                                           ckv_buf *out /* of ckv_conflict */);

typedef struct ckv_past_write { /* what a change did to a key */
    uint32_t change;
    bool is_set; /* else it was removed */
    ckv_value value;
} ckv_past_write;
/* Everything that was ever written to a key until then, newest first. Wants the change closed. */
CKV_NODISCARD ckv_status ckv_map_history(ckv_doc *doc, const ckv_view *at, uint32_t map,
                                         const char *key, size_t key_bytes,
                                         ckv_buf *out /* of ckv_past_write */);

#endif
