/* keytree.h -- the ordered map of a store: keys to chains of cells, a B+tree.
 *
 *               [ | m | t | ]                 inner nodes own the separators: no cell is looked at on the way down
 *              /      |      \
 *     [a c f k] <-> [m n r] <-> [t x]         leaves: 4 bytes of each key (its *head*) beside the pointer to its first cell
 *
 * A head is taken behind what all keys of the node have in common, so that nearly every comparison is one of integers that lie side by
 * side. Only where heads are equal the keys themselves are read.
 *
 *     I1  left < separator <= right; when made, a separator is as short as it can be
 *     I2  heads ascend, and are the bytes of their keys behind the first `skip` ones, which all of the node share. The first `known` of
 *         these are shared by the separators on both sides of the node: a search that got here need not look at them
 *     I3  all leaves at one depth, chained in order, none empty; an inner node has two children or more
 *     I4  two neighbours under one parent hold more than half a node together: what is removed leaves no holes
 *     cost: O(log n) a call; 13 (ascending) to 27 (descending) bytes a key, 19 in random order
 */
#ifndef CKV_KV_KEYTREE_H
#define CKV_KV_KEYTREE_H

#include "kv/cell.h"

typedef struct ckv_keytree {
    ckv_alloc a;
    void *root;      /* owned; NULL: empty */
    uint32_t height; /* 0: the root is a leaf */
    size_t n;        /* keys */
    uint64_t shape;  /* grows with every key that comes or goes: then places are no longer good */
    size_t n_bytes;  /* of all nodes and separators */
} ckv_keytree;

/* A place: a slot, or the end. Good until the shape changes. */
typedef struct ckv_keyplace {
    void *leaf; /* NULL: the end */
    uint32_t i;
} ckv_keyplace;

ckv_keytree ckv_keytree_init(ckv_alloc a);
void ckv_keytree_fini(ckv_keytree *t); /* the nodes; the cells are the store's */

/* The slot of a key, NULL if there is none. Good until the shape changes; the store may put another first cell of the same key in it. */
ckv_cell **ckv_keytree_find(const ckv_keytree *t, ckv_store_key key);
/* The slot of a key; *is_new if there was none: then it holds NULL, and a cell with this key must go in before any other call.
 * CKV_ENOMEM: nothing happened. */
CKV_NODISCARD ckv_status ckv_keytree_reach(ckv_keytree *t, ckv_store_key key, ckv_cell ***slot,
                                           bool *is_new);
/* Takes out the slot of a key, which is there and holds its cell, or NULL if that is gone already. Needs no memory. */
void ckv_keytree_remove(ckv_keytree *t, ckv_store_key key);

/* The first slot whose key is >= key; all of them for key NULL. */
ckv_keyplace ckv_keytree_from(const ckv_keytree *t, const ckv_store_key *key);
/* The last slot whose key is < key; the very last for NULL. */
ckv_keyplace ckv_keytree_before(const ckv_keytree *t, const ckv_store_key *key);
static inline bool ckv_keyplace_is_end(ckv_keyplace p) { return p.leaf == NULL; }
ckv_cell **ckv_keyplace_slot(ckv_keyplace p); /* not of the end */
ckv_keyplace ckv_keyplace_next(ckv_keyplace p);
ckv_keyplace ckv_keyplace_prev(ckv_keyplace p);

bool ckv_keytree_check(const ckv_keytree *t, const char **why);

#endif
