/* Cursors: places that stay, and bytes that are none. */
#include "by_hand.h"

typedef struct pair {
    ckv_doc *doc;
    uint32_t text, list;
} pair;

static pair open_pair(void)
{
    pair x;
    const ckv_value text = {.tag = CKV_TAG_TEXT}, list = {.tag = CKV_TAG_LIST},
                    one = {.tag = CKV_TAG_TRUE};
    T_EQ(s_new(&x.doc, ckv_alloc_libc, 1), CKV_OK);
    T_EQ(ckv_map_set(x.doc, CKV_ROOT, "t", 1, &text, &x.text), CKV_OK); /* item 0 */
    T_EQ(ckv_map_set(x.doc, CKV_ROOT, "l", 1, &list, &x.list), CKV_OK); /* item 1 */
    T_EQ(ckv_text_insert(x.doc, x.text, 0, "abc", 1, 3), CKV_OK);       /* items 2 to 4 */
    for (int i = 0; i < 3; i++)
        T_EQ(ckv_list_insert(x.doc, x.list, 0, &one, 1, NULL), CKV_OK); /* items 5 to 7 */
    T_EQ(ckv_list_move(x.doc, x.list, 2, 0), CKV_OK);                   /* item 8, a slot */
    T_EQ(s_commit(x.doc), CKV_OK);
    return x;
}

static void a_cursor_comes_back_from_its_bytes(void)
{
    pair x = open_pair();
    const uint32_t of[] = {x.text, x.list};
    for (size_t k = 0; k < 2; k++) {
        for (size_t pos = 0; pos <= 3; pos++) {
            for (int behind = 0; behind < 2; behind++) {
                ckv_cursor c, d;
                size_t index;
                ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
                T_EQ(ckv_cursor_at(x.doc, of[k], pos, behind, &c), CKV_OK);
                T_EQ(ckv_cursor_write(x.doc, &c, &bytes), CKV_OK);
                T_EQ(ckv_cursor_read(x.doc, bytes.ptr, bytes.len, &d), CKV_OK);
                T_EQ(d.container, c.container);
                T_EQ(d.item, c.item);
                T_EQ(d.behind, c.behind);
                T_EQ(ckv_cursor_index(x.doc, &d, &index), CKV_OK);
                T_EQ(index, pos);
                for (bytes.len--; bytes.len; bytes.len--)
                    T_EQ(ckv_cursor_read(x.doc, bytes.ptr, bytes.len, &d), CKV_ECORRUPT);
                ckv_buf_fini(&bytes);
            }
        }
    }
    ckv_doc_free(x.doc);
}

static ckv_status read_one(ckv_doc *doc, const char *magic, uint8_t flags, const ckv_id32 *of,
                           const ckv_id32 *change, uint64_t number)
{
    ckv_buf b = ckv_buf_init(ckv_alloc_libc);
    ckv_cursor c;
    ckv_buf_bytes(&b, magic, 4);
    ckv_buf_u8(&b, flags);
    ckv_buf_bytes(&b, of, 32);
    ckv_buf_bytes(&b, change, 32);
    ckv_buf_varint(&b, number);
    const ckv_status s = ckv_cursor_read(doc, b.ptr, b.len, &c);
    ckv_buf_fini(&b);
    return s;
}

static void bytes_that_name_no_place_are_no_cursor(void)
{
    enum { BEFORE, BEHIND, END };
    pair x = open_pair();
    const ckv_id32 *const id = &x.doc->id, *const change = ckv_ids_at(&x.doc->graph.ids, 0),
                          stranger = {{1}};
    T_EQ(read_one(x.doc, "CKC\1", BEFORE, id, change, 2), CKV_OK);
    T_EQ(read_one(x.doc, "CKC\2", BEFORE, id, change, 2), CKV_ECORRUPT);
    T_EQ(read_one(x.doc, "CKC\1", 4, id, change, 2), CKV_ECORRUPT);
    T_EQ(read_one(x.doc, "CKC\1", BEFORE, &stranger, change, 2), CKV_ECORRUPT);
    T_EQ(read_one(x.doc, "CKC\1", BEFORE, id, &stranger, 2), CKV_ENOENT);
    T_EQ(read_one(x.doc, "CKC\1", BEFORE, id, change, 9), CKV_ECORRUPT); /* no such item */
    T_EQ(read_one(x.doc, "CKC\1", BEHIND, id, change, 0), CKV_ECORRUPT); /* stands in no sequence */
    T_EQ(read_one(x.doc, "CKC\1", BEHIND, id, change, 7), CKV_OK);
    T_EQ(read_one(x.doc, "CKC\1", BEHIND, id, change, 8), CKV_ECORRUPT); /* a slot, no element */
    T_EQ(read_one(x.doc, "CKC\1", END, id, change, 0), CKV_OK);
    T_EQ(read_one(x.doc, "CKC\1", END, id, change, 2), CKV_ECORRUPT); /* made no container */
    const ckv_value map = {.tag = CKV_TAG_MAP};
    uint32_t made;
    T_EQ(ckv_map_set(x.doc, CKV_ROOT, "m", 1, &map, &made), CKV_OK);
    T_EQ(s_commit(x.doc), CKV_OK);
    T_EQ(read_one(x.doc, "CKC\1", END, id, ckv_ids_at(&x.doc->graph.ids, 1), 0), CKV_ECORRUPT);
    ckv_doc_free(x.doc);
}

static void a_cursor_has_a_sequence_that_is_there(void)
{
    pair x = open_pair();
    ckv_cursor c, in_block, at_end;
    size_t index;
    ckv_savepoint savepoint;
    ckv_buf bytes = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_cursor_at(x.doc, CKV_ROOT, 0, false, &c), CKV_EVALUE);
    T_EQ(ckv_cursor_at(x.doc, x.text, 4, false, &c), CKV_ERANGE);
    T_EQ(ckv_doc_savepoint(x.doc, &savepoint), CKV_OK);
    T_EQ(ckv_text_insert(x.doc, x.text, 0, "x", 1, 1), CKV_OK);
    T_EQ(ckv_cursor_at(x.doc, x.text, 0, false, &in_block), CKV_OK);
    T_EQ(ckv_cursor_at(x.doc, x.text, 4, false, &at_end), CKV_OK);
    ckv_doc_rollback(x.doc, savepoint);
    T_EQ(ckv_cursor_index(x.doc, &in_block, &index), CKV_ESTALE);
    T_EQ(ckv_cursor_write(x.doc, &in_block, &bytes), CKV_ESTALE);
    T_EQ(ckv_cursor_index(x.doc, &at_end, &index), CKV_OK);
    T_EQ(index, 3);
    T_EQ(ckv_map_unset(x.doc, CKV_ROOT, "t", 1), CKV_OK);
    T_EQ(ckv_cursor_at(x.doc, x.text, 0, false, &c), CKV_ESTALE);
    T_EQ(ckv_cursor_index(x.doc, &at_end, &index), CKV_ESTALE);
    ckv_buf_fini(&bytes);
    ckv_doc_free(x.doc);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_cursor_comes_back_from_its_bytes);
    T_RUN(bytes_that_name_no_place_are_no_cursor);
    T_RUN(a_cursor_has_a_sequence_that_is_there);
    return t_done();
}
