/* register.h -- registers: a key of a Map, a member of a Set, an element of a List. Each keeps all concurrent values and shows the greatest.
 *
 *     registers  {holder, key} -> operations on it, newest first, and the values that are there now
 *     values     items whose operation no later author knew and replaced, and that nobody deleted (docs/format.md, "Registers")
 *
 * An operation (SET, UNSET, ASSIGN, ADD, DISCARD) is known by its lv. Which value an operation replaced is not written down: it is
 * what its author knew as a value. Only where something was restored, which is rare, one has to ask who knew what.
 *
 *     I1  a value's operation is in its register's chain; n_live of a holder counts its registers with a value
 *     cost: O(1) plus the concurrent values
 */
#ifndef CKV_TYPES_REGISTER_H
#define CKV_TYPES_REGISTER_H

#include "log/oplog.h"
#include "types/deletes.h"
#include "types/integrate.h"
#include "types/journal.h"

typedef struct ckv_reg_op {
    uint32_t lv2; /* lv * 2 + 1 if it writes a value */
    uint32_t before;
    uint32_t run; /* in the log */
} ckv_reg_op;
CKV_VEC(ckv_reg_ops, ckv_reg_op);

typedef struct ckv_register {
    uint32_t holder, key; /* key: number in ckv_keys; of a List: the element's item */
    uint32_t last;        /* newest operation; CKV_NONE: none, and the register does not show */
    uint32_t live;        /* lv of its only value, CKV_NONE, or CKV_REG_MANY | index in `several` */
    uint32_t next;        /* of the same holder; CKV_NONE */
} ckv_register;
CKV_VEC(ckv_register_vec, ckv_register);
#define CKV_REG_MANY 0x80000000u

CKV_VEC(ckv_u32s_vec, ckv_u32s);

/* Which closed changes replaced the operation at lv: what is found once stays so, and only later operations have to be asked. */
typedef struct ckv_replacers {
    uint32_t lv, reg;
    uint32_t upto; /* operations on the register with a lower index were asked */
    ckv_u32s by;   /* owned; in order of arrival */
} ckv_replacers;
CKV_VEC(ckv_replacers_vec, ckv_replacers);

typedef struct ckv_registers {
    ckv_register_vec regs;
    ckv_reg_ops ops;
    ckv_u32s_vec several; /* owned */
    ckv_u32s spare;       /* the next of them, so that a second value always finds room */
    ckv_u32s later, replacers, replaced, restored; /* scratch */
    ckv_replacers_vec found; /* a memory, which may be forgotten at any time */
    ckv_hmap found_of;       /* lv -> index in found */
    size_t n_found;          /* changes in all of them */
    uint32_t found_upto;     /* none of them has a greater upto */
    ckv_hmap by_place;       /* fingerprint of (holder, key) -> register */
    uint32_t
        elements; /* every element that has a register is below: after a rollback its number is given to another one */
    uint32_t
        epoch; /* moves when a container's maker may have gone or come back: what is cached about them is wrong */
} ckv_registers;

ckv_registers ckv_registers_init(ckv_alloc a, uint32_t secret);
void ckv_registers_fini(ckv_registers *x);

uint32_t ckv_register_find(const ckv_registers *x, uint32_t holder, uint32_t key); /* CKV_NONE */
/* Finds or makes. One without operations does not show, so making it needs no undo. *is_new: the caller links it to its holder. first_lv: of the
 * operation that gave an element its first value; CKV_NONE for others. */
CKV_NODISCARD ckv_status ckv_register_make(ckv_registers *x, uint32_t holder, uint32_t key,
                                           uint32_t first_lv, uint32_t *reg, bool *is_new);

/* A new element has a number that an older one had, which was rolled back, and its register, if there is one: the operation at lv is its first value. */
void ckv_register_begin_again(ckv_registers *x, uint32_t list, uint32_t element, uint32_t lv);

/* One that find does not know: the caller keeps its number by the key (types/container). */
CKV_NODISCARD ckv_status ckv_register_make_apart(ckv_registers *x, uint32_t holder, uint32_t key,
                                                 uint32_t *reg);

/* The values: operations by lv, in no order; valid until the next change. */
static inline const uint32_t *ckv_register_values(const ckv_registers *x, uint32_t reg, size_t *n)
{
    const ckv_register *r = &x->regs.ptr[reg];
    if (r->live == CKV_NONE || !(r->live & CKV_REG_MANY)) {
        *n = r->live != CKV_NONE;
        return &r->live;
    }
    const ckv_u32s *v = &x->several.ptr[r->live & ~CKV_REG_MANY];
    *n = v->len;
    return v->ptr;
}
/* The run in the log of its only value, if that is the newest operation, as it mostly is; else CKV_NONE. */
static inline uint32_t ckv_register_run(const ckv_registers *x, uint32_t reg)
{
    const ckv_register *r = &x->regs.ptr[reg];
    if (r->last == CKV_NONE || x->ops.ptr[r->last].lv2 != r->live * 2 + 1 || r->live & CKV_REG_MANY)
        return CKV_NONE;
    return x->ops.ptr[r->last].run;
}
bool ckv_register_is_empty(const ckv_registers *x, uint32_t reg);
bool ckv_register_has(const ckv_registers *x, uint32_t reg, uint32_t lv);
/* The lv of the greatest value, or CKV_NONE. */
uint32_t ckv_register_shown(const ckv_registers *x, const ckv_graph *g, uint32_t reg);
/* Total order of two operations; those of the open change come last, by index. */
bool ckv_lv_before(const ckv_graph *g, uint32_t a, uint32_t b);

/* Room for one operation on reg, also in the journal. */
CKV_NODISCARD ckv_status ckv_register_reserve(ckv_registers *x, uint32_t reg, ckv_journal *j);
/* Finds the values that an operation of this author replaces: those that it knew as values. To be called right before apply. */
CKV_NODISCARD ckv_status ckv_register_know(ckv_registers *x, uint32_t reg, const ckv_author_view *v,
                                           const ckv_deletes *deletes, ckv_past *scratch);
/* The operation at lv, the newest in the log: drops what was found; its own value becomes one if `writes`. */
void ckv_register_apply(ckv_registers *x, uint32_t reg, uint32_t lv, bool writes,
                        const ckv_oplog *log, ckv_journal *j);
/* Drops the value at lv, if it is one. Room as above. */
void ckv_register_drop(ckv_registers *x, uint32_t reg, uint32_t lv, ckv_journal *j);
/* Makes the operation at lv a value again. */
void ckv_register_back(ckv_registers *x, uint32_t reg, uint32_t lv, ckv_journal *j);
void ckv_register_undo(ckv_registers *x, const ckv_undo *u);

/* ---- who replaced what: asks the graph about each later operation on the register. del: the item's, types/deletes. own_past: what the open change knows */

/* Did `change` replace the operation at lv: did it write or erase when this was a value to it? */
CKV_NODISCARD ckv_status ckv_register_replaced_by(ckv_registers *x, const ckv_graph *g,
                                                  const ckv_deletes *deletes, uint32_t del,
                                                  const ckv_past *own_past, ckv_past *scratch,
                                                  uint32_t reg, uint32_t lv, uint32_t change,
                                                  bool *out);
/* Is the operation at lv replaced now, by something that nobody took back? */
CKV_NODISCARD ckv_status ckv_register_replaced(ckv_registers *x, const ckv_graph *g,
                                               const ckv_deletes *deletes, uint32_t del,
                                               const ckv_past *own_past, ckv_past *scratch,
                                               uint32_t reg, uint32_t lv, bool *out);
/* The same in a version, in which the open change counts if `own` is its number (else CKV_NONE). */
CKV_NODISCARD ckv_status ckv_register_replaced_for(ckv_registers *x, const ckv_graph *g,
                                                   const ckv_deletes *deletes, uint32_t del,
                                                   const ckv_past *at, uint32_t own,
                                                   ckv_past *scratch, uint32_t reg, uint32_t lv,
                                                   bool *out);
/* The values at a version, lvs appended to out, in no order. first_lv: as in make. scratch is overwritten. */
CKV_NODISCARD ckv_status ckv_register_values_at(ckv_registers *x, const ckv_graph *g,
                                                const ckv_oplog *log, const ckv_deletes *deletes,
                                                const ckv_past *at, ckv_past *scratch, uint32_t reg,
                                                uint32_t first_lv, ckv_u32s *out);

size_t ckv_registers_bytes(const ckv_registers *x);
bool ckv_registers_check(const ckv_registers *x, const char **why);

#endif
