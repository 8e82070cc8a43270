/* map.h -- keys of maps, each a multi-value register, and the containers that values make.
 *
 * A slot is one key of one map. It lists all SETs and UNSETs on it, in order of arrival, and which SETs are live: those that no other
 * SET or UNSET has in its causal past. The greatest live one in the total order is shown.
 *
 *     I1  live values of a slot are SETs on it; n_keys counts the slots of a map with a live value
 *     I2  a container is live iff the SET that made it is
 *     cost: O(1) plus the concurrent values of the key
 */
#ifndef CKV_TYPES_MAP_H
#define CKV_TYPES_MAP_H

#include "log/oplog.h"
#include "types/integrate.h"

typedef struct ckv_slot {
    uint32_t map;                /* container */
    uint32_t key_off, key_bytes; /* in ckv_maps.keys */
    ckv_u32s ops;  /* lv * 2 + 1 of each SET, lv * 2 of each UNSET, in order of arrival */
    ckv_u32s live; /* lv of live SETs */
} ckv_slot;
CKV_VEC(ckv_slots, ckv_slot);

typedef struct ckv_container {
    uint32_t tag;  /* CKV_KIND_, doc/doc.h */
    uint32_t item; /* of the SET that made it; CKV_NO_ITEM: the root */
    uint32_t lv, slot;
    bool gone;       /* its making was rolled back */
    uint32_t n_keys; /* a map's keys with a live value */
    ckv_seq seq;     /* a text's */
} ckv_container;
CKV_VEC(ckv_containers, ckv_container);

typedef struct ckv_maps {
    ckv_slots slots;
    ckv_buf keys;
    ckv_hmap by_key;  /* fingerprint of (map, key) -> slot */
    ckv_hmap by_item; /* item -> container that it made */
    ckv_containers containers;
    ckv_u32s sorted; /* live slots of the map `sorted_of`, by key */
    uint32_t sorted_of;
    bool sorted_valid;
    uint8_t secret[16];
} ckv_maps;

CKV_NODISCARD ckv_status ckv_maps_init(ckv_maps *m, ckv_alloc a, const uint8_t secret[16],
                                       uint32_t root_tag);
void ckv_maps_fini(ckv_maps *m);

uint32_t ckv_maps_slot(const ckv_maps *m, uint32_t map, const void *key,
                       size_t key_bytes); /* CKV_NONE */
/* Finds or makes; a slot without ops is invisible, so making one needs no undo. */
CKV_NODISCARD ckv_status ckv_maps_slot_make(ckv_maps *m, uint32_t map, const void *key,
                                            size_t key_bytes, uint32_t *slot);
static inline const char *ckv_maps_key(const ckv_maps *m, const ckv_slot *s)
{
    return (const char *)m->keys.ptr + s->key_off;
}
/* The lv of the shown SET, or CKV_NONE. */
uint32_t ckv_maps_shown(const ckv_maps *m, const ckv_graph *g, uint32_t slot);
/* The same at a version. O(k log n) for a key with k operations. scratch is overwritten. */
CKV_NODISCARD ckv_status ckv_maps_shown_at(const ckv_maps *m, ckv_graph *g, const ckv_past *at,
                                           ckv_past *scratch, uint32_t slot, uint32_t *lv);
bool ckv_maps_is_live(const ckv_maps *m, uint32_t container);
/* The container that an item made; CKV_NONE. */
static inline uint32_t ckv_maps_container_of(const ckv_maps *m, uint32_t item)
{
    return ckv_hmap_get(&m->by_item, item);
}

/* Room for one SET or UNSET on slot. */
CKV_NODISCARD ckv_status ckv_maps_reserve(ckv_maps *m, uint32_t slot);
/* An operation at lv: drops the live values that the author knows; a SET becomes live. Room was reserved, also in the journal: live + 1. */
void ckv_maps_apply(ckv_maps *m, uint32_t slot, uint32_t lv, bool is_set, const ckv_author_view *v,
                    ckv_journal *j);
/* A new container made by the SET at lv. Room in containers, by_item (and the space) was reserved. */
uint32_t ckv_maps_new_container(ckv_maps *m, uint32_t tag, uint32_t item, uint32_t lv,
                                uint32_t slot, ckv_journal *j);
void ckv_maps_undo(ckv_maps *m, const ckv_undo *u);
CKV_NODISCARD ckv_status ckv_maps_sort(ckv_maps *m, uint32_t map);
size_t ckv_maps_bytes(const ckv_maps *m);
bool ckv_maps_check(const ckv_maps *m, const char **why);

#endif
