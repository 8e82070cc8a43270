/* kit.h -- what several targets share. Documents are those of tests/c/story.h: id 32 times 0x2a, randomness counted, the same each time.
 *
 * A target whose input is a script reads it with ckv_rd, which gives zeros when it is at its end.
 */
#ifndef CKV_FUZZ_KIT_H
#define CKV_FUZZ_KIT_H

#include "base/check.h"
#include "base/hash64.h"
#include "story.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Every run begins the same, whatever ran before it in this process. */
static inline void k_begin(void)
{
    s_nonces = 0;
    t_state = 1;
}

static inline ckv_doc *k_new(uint8_t who)
{
    ckv_doc *doc;
    CKV_MUST(s_new(&doc, ckv_alloc_libc, who) == CKV_OK);
    return doc;
}

static inline ckv_id32 k_doc_id(void)
{
    ckv_id32 id;
    memset(&id, 0x2a, sizeof id);
    return id;
}

static inline uint32_t k_below(ckv_rd *script, uint32_t n) { return n ? ckv_rd_u8(script) % n : 0; }

/* A few random edits in one change, which the script chooses by a number of two bytes. */
static inline void k_edit(ckv_doc *doc, ckv_rd *script)
{
    t_state = (uint64_t)ckv_rd_u8(script) << 8;
    t_state |= ckv_rd_u8(script);
    for (uint64_t n = 1 + t_below(3); n; n--) {
        const ckv_status s = s_edit(doc);
        CKV_ASSERT(s == CKV_OK || s == CKV_ELIMIT); /* too deep */
    }
    CKV_MUST(s_commit(doc) == CKV_OK);
}

static inline ckv_id32 k_root(ckv_doc *doc)
{
    ckv_id32 root;
    CKV_MUST(ckv_doc_root(doc, &root) == CKV_OK);
    return root;
}

/* Do both show the same, now or at a version? */
static inline void k_shows(ckv_doc *a, const ckv_view *a_at, ckv_doc *b, const ckv_view *b_at)
{
    ckv_buf x = ckv_buf_init(ckv_alloc_libc), y = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_plain_write(a, a_at, CKV_ROOT, &x) == CKV_OK);
    CKV_MUST(ckv_plain_write(b, b_at, CKV_ROOT, &y) == CKV_OK);
    T_BYTES(x.ptr, x.len, y.ptr, y.len);
    ckv_buf_fini(&x);
    ckv_buf_fini(&y);
}

/* The same changes, the same content. */
static inline void k_same(ckv_doc *a, ckv_doc *b)
{
    const ckv_id32 x = k_root(a), y = k_root(b);
    CKV_ASSERT(ckv_doc_n_changes(a) == ckv_doc_n_changes(b) && ckv_id32_eq(&x, &y));
    k_shows(a, NULL, b, NULL);
}

/* Does b have every change that a has? */
static inline bool k_within(const ckv_doc *a, ckv_doc *b)
{
    for (uint32_t c = 0; c < ckv_doc_n_changes(a); c++) {
        ckv_change_info info;
        uint32_t found;
        ckv_doc_change(a, c, &info);
        if (ckv_doc_find(b, info.id, &found) != CKV_OK) return false;
    }
    return true;
}

#endif
