/* Cursors, from bytes to a place and back, in a document with all kinds of containers, moved and deleted elements, and a change that is void.
 * An input is a byte that says how much is put right (magic, document, which change), then the bytes of a cursor; or a script that makes some.
 */
#include "kit.h"

enum { CHANGES = 40 };

static ckv_doc *the_doc(void)
{
    static ckv_doc *doc;
    if (doc) return doc;
    k_begin();
    doc = k_new(1);
    for (t_state = 5; ckv_doc_n_changes(doc) < CHANGES;) {
        const ckv_status s = s_edit(doc);
        CKV_ASSERT(s == CKV_OK || s == CKV_ELIMIT);
        if (t_one_in(3)) CKV_MUST(s_commit(doc) == CKV_OK);
    }
    CKV_MUST(s_commit(doc) == CKV_OK);
    return doc;
}

/* What is read points into its container, and is written as the same bytes. */
static void check(ckv_doc *doc, const uint8_t *bytes, size_t n_bytes)
{
    ckv_cursor c;
    size_t index;
    ckv_buf again = ckv_buf_init(ckv_alloc_libc);
    const ckv_status s = ckv_cursor_read(doc, bytes, n_bytes, &c);
    CKV_ASSERT(s == CKV_OK || s == CKV_ECORRUPT || s == CKV_ENOENT);
    if (s == CKV_OK) {
        const ckv_status found = ckv_cursor_index(doc, &c, &index);
        const ckv_kind kind = ckv_doc_kind(doc, c.container);
        CKV_ASSERT(kind == CKV_KIND_TEXT || kind == CKV_KIND_LIST);
        CKV_ASSERT(found == CKV_OK || (found == CKV_ESTALE && !ckv_doc_is_live(doc, c.container)));
        CKV_ASSERT(found != CKV_OK ||
                   index <= (kind == CKV_KIND_TEXT ? ckv_text_len(doc, c.container)
                                                   : ckv_list_len(doc, c.container)));
        CKV_MUST(ckv_cursor_write(doc, &c, &again) == CKV_OK);
        T_BYTES(again.ptr, again.len, bytes, n_bytes);
    }
    ckv_buf_fini(&again);
}

static void mend(ckv_doc *doc, uint8_t *bytes, size_t n_bytes, uint8_t how)
{
    ckv_change_info info;
    if (n_bytes < 70) return;
    memcpy(bytes, "CKC\1", 4);
    const ckv_id32 id = k_doc_id();
    memcpy(bytes + 5, &id, 32);
    if (how & 1) return;
    ckv_doc_change(doc, bytes[37] % ckv_doc_n_changes(doc), &info);
    memcpy(bytes + 37, info.id, 32);
}

/* One that is made here comes back to its place. */
static void make(ckv_doc *doc, ckv_rd *script)
{
    ckv_cursor c, read;
    size_t a, b;
    const uint32_t container = k_below(script, ckv_doc_n_containers(doc));
    const size_t pos = ckv_rd_u8(script);
    const bool behind = ckv_rd_u8(script) & 1;
    if (ckv_cursor_at(doc, container, pos, behind, &c) != CKV_OK) return;
    ckv_buf out = ckv_buf_init(ckv_alloc_libc);
    CKV_MUST(ckv_cursor_write(doc, &c, &out) == CKV_OK);
    check(doc, out.ptr, out.len);
    CKV_MUST(ckv_cursor_read(doc, out.ptr, out.len, &read) == CKV_OK);
    CKV_MUST(ckv_cursor_index(doc, &c, &a) == CKV_OK && ckv_cursor_index(doc, &read, &b) == CKV_OK);
    CKV_ASSERT(a == b && a == pos);
    while (out.len && ckv_rd_left(script)) { /* and damaged */
        out.ptr[ckv_rd_u8(script) % out.len] ^= ckv_rd_u8(script);
        check(doc, out.ptr, out.len);
    }
    ckv_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 1) return 0;
    ckv_doc *doc = the_doc();
    ckv_rd script = ckv_rd_init(data + 1, n_bytes - 1);
    if (data[0] >= 128) {
        make(doc, &script);
        return 0;
    }
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    ckv_buf_bytes(&bytes, data + 1, n_bytes - 1);
    if (data[0] & 2) mend(doc, bytes.ptr, bytes.len, data[0]);
    check(doc, bytes.ptr, bytes.len);
    ckv_buf_fini(&bytes);
    return 0;
}
