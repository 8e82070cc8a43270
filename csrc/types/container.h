/* container.h -- the tree of containers: what made each, what holds it, whether it can be reached from the root.
 *
 *     root Map 0 -- "todo" --> List 1 -- element 7 --> Map 2 -- "done" --> True
 *                   register           item            register
 *
 * A container is made by the item whose value it is, and known by that item ever after; a default container by several (docs/format.md,
 * "Default containers"). Numbers are local, dense, and never reused.
 *
 *     I1  n_keys of a Map or Set counts its registers with a value; regs of a holder are linked from first_reg
 *     I2  depth is the holder's + 1, at most CKV_TREE_DEPTH; by_item knows every item that makes a container that was not rolled back
 */
#ifndef CKV_TYPES_CONTAINER_H
#define CKV_TYPES_CONTAINER_H

#include "types/counter.h"
#include "types/keys.h"
#include "types/marks.h"
#include "types/register.h"
#include "types/seq.h"

#define CKV_TREE_DEPTH                                                                             \
    1024u /* what the tree bears; how deep a container may be made is not for it to say */

typedef struct ckv_container {
    uint32_t kind;    /* CKV_TAG_MAP .. CKV_TAG_TEXT */
    uint32_t item;    /* the first that made it; CKV_NO_ITEM: the root */
    uint32_t holder;  /* container; the root: itself */
    uint32_t reg;     /* where its makers are; CKV_NONE: an element's first value */
    uint32_t element; /* in a List: the element; else CKV_NO_ITEM */
    uint32_t nth;     /* a default container: its index among those of reg; else CKV_NONE */
    uint32_t depth;
    uint32_t n_keys, first_reg; /* Map, Set, List (assigned elements) */
    uint32_t live_epoch;        /* live was right when ckv_tree.epoch was this */
    bool live, gone;            /* gone: its making was rolled back */
    union {
        ckv_seq seq;      /* Text, List */
        uint32_t counted; /* Counter: newest entry, CKV_NONE */
    };
    uint32_t marked; /* Text: newest mark, CKV_NONE */
} ckv_container;
CKV_VEC(ckv_container_vec, ckv_container);

/* A default container: which earlier ones of its register those who asked for it knew: the first `prefix` of them, and `rest`, stretches
 * [start, end) that do not touch: who asks again and again knows one long stretch. */
typedef struct ckv_default {
    uint32_t container;
    uint32_t tag, prefix;
    ckv_u32s rest, makers; /* owned; start, end, start, end, ... ascending; items */
} ckv_default;
CKV_VEC(ckv_default_vec, ckv_default);
typedef struct ckv_defaults { /* of one register, in order of arrival */
    ckv_default_vec v;
    uint32_t asker; /* this change, which is open, asked last and knew these; CKV_NONE: nobody */
    uint32_t prefix;
    ckv_u32s rest; /* owned */
} ckv_defaults;
CKV_VEC(ckv_defaults_vec, ckv_defaults);

typedef struct ckv_tree {
    ckv_container_vec v;
    ckv_hmap by_item;
    ckv_registers registers;
    ckv_keys keys;
    ckv_defaults_vec defaults;
    ckv_hmap defaults_of; /* register -> index in defaults */
    ckv_u32s known;       /* scratch */
    uint32_t epoch;       /* moves when an element goes or comes; registers have their own */
    ckv_u32s sorted;      /* registers with a value of the Map or Set sorted_of, by key */
    uint32_t sorted_of, keys_epoch, sorted_epoch;
} ckv_tree;

CKV_NODISCARD ckv_status ckv_tree_init(ckv_tree *t, ckv_alloc a, const uint8_t secret[16]);
void ckv_tree_fini(ckv_tree *t);

static inline ckv_container *ckv_tree_at(const ckv_tree *t, uint32_t container)
{
    return &t->v.ptr[container];
}
/* The container that an item made; CKV_NONE. */
static inline uint32_t ckv_tree_of(const ckv_tree *t, uint32_t item)
{
    return ckv_hmap_get(&t->by_item, item);
}
/* All items that make a container, if several do; else NULL. */
const ckv_u32s *ckv_tree_makers(const ckv_tree *t, uint32_t container);
/* Can it be reached from the root by values of registers, shown or not? */
bool ckv_tree_is_live(ckv_tree *t, const ckv_space *space, const ckv_oplog *log,
                      uint32_t container);

/* The register of a key, member or element; CKV_NONE. */
uint32_t ckv_tree_find(const ckv_tree *t, uint32_t holder, uint32_t key);
/* The same, made if need be. */
CKV_NODISCARD ckv_status ckv_tree_register(ckv_tree *t, const ckv_oplog *log, uint32_t holder,
                                           uint32_t key, uint32_t *reg);
/* Registers of a Map or Set that have a value, by the bytes of their keys; valid until the next change. */
CKV_NODISCARD ckv_status ckv_tree_sort(ckv_tree *t, uint32_t container, const uint32_t **regs,
                                       size_t *n);
/* The same for any list of registers, in place. */
CKV_NODISCARD ckv_status ckv_tree_sort_regs(const ckv_tree *t, ckv_u32s *regs);

/* ---- change; room was reserved with ckv_register_reserve */
/* After ckv_register_know. */
void ckv_tree_apply(ckv_tree *t, uint32_t reg, uint32_t lv, bool writes, const ckv_oplog *log,
                    ckv_journal *j);
void ckv_tree_drop(ckv_tree *t, uint32_t reg, uint32_t lv, ckv_journal *j);
void ckv_tree_back(ckv_tree *t, uint32_t reg, uint32_t lv, ckv_journal *j);

/* Room for n containers. */
CKV_NODISCARD ckv_status ckv_tree_reserve(ckv_tree *t, ckv_journal *j, size_t n);
/* A container made by an item: the value of a register (element CKV_NO_ITEM for keys), or an element's first (reg CKV_NONE). */
uint32_t ckv_tree_make(ckv_tree *t, uint32_t kind, uint32_t item, uint32_t holder, uint32_t reg,
                       uint32_t element, ckv_journal *j);
/* The default container that an item makes by a SET with this tag on reg: one that is here, or a new one. Room as for make. */
CKV_NODISCARD ckv_status ckv_tree_default(ckv_tree *t, ckv_tag tag, uint32_t item, uint32_t holder,
                                          uint32_t reg, const ckv_author_view *v, ckv_journal *j,
                                          uint32_t *container);
void ckv_tree_undo(ckv_tree *t, const ckv_undo *u);

size_t ckv_tree_bytes(const ckv_tree *t);
bool ckv_tree_check(const ckv_tree *t, const char **why);

#endif
