/* bits.h -- a set of u32, run-length friendly, behind the only door to CRoaring. Bytes from outside never reach it. */
#ifndef CKV_DS_BITS_H
#define CKV_DS_BITS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ckv_bits ckv_bits;

ckv_bits *ckv_bits_new(void); /* NULL: out of memory */
void ckv_bits_free(ckv_bits *bits);
void ckv_bits_add(ckv_bits *bits, uint32_t start, uint32_t end); /* [start, end) */
bool ckv_bits_has(const ckv_bits *bits, uint32_t value);
uint64_t ckv_bits_count(const ckv_bits *bits);
/* a -= b */
void ckv_bits_minus(ckv_bits *a, const ckv_bits *b);
/* Calls f for each value in ascending order until it returns false. */
void ckv_bits_each(const ckv_bits *bits, bool (*f)(uint32_t value, void *ctx), void *ctx);
/* Bytes of its portable form, at its smallest: what other sets of numbers are measured by. */
size_t ckv_bits_packed_size(ckv_bits *bits);
const char *ckv_bits_version(void);

#endif
