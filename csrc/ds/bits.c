/* The names of the headers are those of an installed CRoaring >= 3; for the amalgamation native_deps.py makes the same. */
#include "ds/bits.h"

#include <roaring/roaring.h>

static roaring_bitmap_t *inner(ckv_bits *bits) { return (roaring_bitmap_t *)bits; }
static const roaring_bitmap_t *peek(const ckv_bits *bits) { return (const roaring_bitmap_t *)bits; }

ckv_bits *ckv_bits_new(void) { return (ckv_bits *)roaring_bitmap_create(); }

void ckv_bits_free(ckv_bits *bits)
{
    if (bits) roaring_bitmap_free(inner(bits));
}

void ckv_bits_add(ckv_bits *bits, uint32_t start, uint32_t end)
{
    if (start < end) roaring_bitmap_add_range_closed(inner(bits), start, end - 1);
}

bool ckv_bits_has(const ckv_bits *bits, uint32_t value)
{
    return roaring_bitmap_contains(peek(bits), value);
}
uint64_t ckv_bits_count(const ckv_bits *bits) { return roaring_bitmap_get_cardinality(peek(bits)); }
void ckv_bits_minus(ckv_bits *a, const ckv_bits *b)
{
    roaring_bitmap_andnot_inplace(inner(a), peek(b));
}

void ckv_bits_each(const ckv_bits *bits, bool (*f)(uint32_t value, void *ctx), void *ctx)
{
    roaring_iterate(peek(bits), f, ctx);
}

size_t ckv_bits_packed_size(ckv_bits *bits)
{
    roaring_bitmap_run_optimize(inner(bits));
    return roaring_bitmap_portable_size_in_bytes(inner(bits));
}

const char *ckv_bits_version(void) { return ROARING_VERSION; }
