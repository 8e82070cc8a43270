/* Plain, the stream in which nested values come from a binding. The input is a byte that chooses the edit, a byte for the place, and the stream.
 *
 * All of it is entered or nothing. What was entered is shown as the same again, after a stop in another document, too. Streams whose strings are
 * not UTF-8 are rolled back here: a binding checks that, and no other document would take them.
 */
#include "base/utf8.h"
#include "kit.h"

static bool is_utf8(const uint8_t *p, size_t n)
{
    size_t n_chars;
    uint32_t max;
    return ckv_utf8_valid(p, n, &n_chars, &max);
}

/* Are all keys and strings that a document shows UTF-8? Streams are as flat as lists: one pass over tags. */
static bool is_clean(ckv_rd *r)
{
    uint64_t depth = 1;
    uint64_t left[CKV_MAX_DEPTH + 2];
    uint8_t kinds[CKV_MAX_DEPTH + 2];
    left[0] = 1;
    kinds[0] = CKV_TAG_LIST;
    while (depth && r->status == CKV_OK) {
        size_t n;
        if (left[depth - 1] == 0) {
            depth--;
            continue;
        }
        left[depth - 1]--;
        if (kinds[depth - 1] == CKV_TAG_MAP && ckv_rd_varint(r) == 0) {
            const uint8_t *key = ckv_rd_blob(r, &n);
            if (!key || !is_utf8(key, n)) return false;
        }
        const uint8_t tag = ckv_rd_u8(r);
        switch (tag) {
        case CKV_TAG_INT: (void)ckv_rd_varint(r); break;
        case CKV_TAG_FLOAT: (void)ckv_rd_bytes(r, 8); break;
        case CKV_TAG_COUNTER: (void)ckv_rd_bytes(r, 16); break;
        case CKV_TAG_STR:
        case CKV_TAG_TEXT:
        case CKV_TAG_BYTES: {
            const uint8_t *p = ckv_rd_blob(r, &n);
            if (!p || (tag != CKV_TAG_BYTES && !is_utf8(p, n))) return false;
            break;
        }
        case CKV_TAG_MAP:
        case CKV_TAG_LIST:
        case CKV_TAG_SET:
            if (depth > CKV_MAX_DEPTH) return false;
            left[depth] = ckv_rd_varint(r);
            kinds[depth++] = tag;
            break;
        default: break;
        }
    }
    return r->status == CKV_OK;
}

static ckv_status enter(ckv_doc *doc, uint8_t how, uint8_t place, const uint8_t *p, size_t n,
                        ckv_buf *made)
{
    static const char *const keys[] = {"", "a", "list", "a rather long key that is not inline"};
    const char *key = keys[place % 4];
    ckv_value v;
    uint32_t list;
    switch (how % 4) {
    case 0: return ckv_plain_set(doc, CKV_ROOT, key, strlen(key), p, n, made);
    case 1:
        if (ckv_map_get(doc, CKV_ROOT, key, strlen(key), &v) == CKV_OK) return CKV_ENOENT;
        return ckv_plain_set_default(doc, CKV_ROOT, key, strlen(key), p, n, made);
    default:
        CKV_MUST(ckv_map_get(doc, CKV_ROOT, "l", 1, &v) == CKV_OK);
        list = v.container;
        return how % 4 == 2 ? ckv_plain_insert(doc, list, place % 4, p, n, 1, made)
                            : ckv_plain_assign(doc, list, place % 3, p, n, made);
    }
}

static ckv_doc *begin(void)
{
    ckv_doc *doc = k_new(1);
    uint32_t list, made[3];
    ckv_value v = {.tag = CKV_TAG_LIST};
    const ckv_value row[3] = {{.tag = CKV_TAG_NONE}, {.tag = CKV_TAG_MAP}, {.tag = CKV_TAG_TRUE}};
    CKV_MUST(ckv_map_set(doc, CKV_ROOT, "l", 1, &v, &list) == CKV_OK);
    CKV_MUST(ckv_list_insert(doc, list, 0, row, 3, made) == CKV_OK);
    CKV_MUST(s_commit(doc) == CKV_OK);
    return doc;
}

static void show(ckv_doc *doc, ckv_buf *out)
{
    out->len = 0;
    CKV_MUST(ckv_plain_write(doc, NULL, CKV_ROOT, out) == CKV_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 2) return 0;
    k_begin();
    ckv_doc *doc = begin(), *other = k_new(2);
    ckv_buf before = ckv_buf_init(ckv_alloc_libc), after = before, made = before;
    ckv_savepoint start;
    show(doc, &before);
    CKV_MUST(ckv_doc_savepoint(doc, &start) == CKV_OK);
    const ckv_status s = enter(doc, data[0], data[1], data + 2, n_bytes - 2, &made);
    CKV_ASSERT(s == CKV_OK || s == CKV_ECORRUPT || s == CKV_ELIMIT || s == CKV_ENOENT);
    show(doc, &after);
    if (s != CKV_OK) T_BYTES(before.ptr, before.len, after.ptr, after.len);
    ckv_rd shown = ckv_rd_init(after.ptr, after.len), given = ckv_rd_init(data + 2, n_bytes - 2);
    if (s == CKV_OK && is_clean(&given) && is_clean(&shown)) {
        ckv_doc_release(doc, start);
        CKV_MUST(s_commit(doc) == CKV_OK);
        CKV_MUST(s_send(doc, other, ckv_alloc_libc) == CKV_OK);
        k_same(doc, other);
        s_check(other);
        /* What is shown is plain, and makes the same once more. */
        CKV_MUST(ckv_plain_set(other, CKV_ROOT, "copy", 4, after.ptr, after.len, &made) == CKV_OK ||
                 ckv_rd_left(&shown) == 0);
    } else {
        ckv_doc_rollback(doc, start);
        show(doc, &after);
        T_BYTES(before.ptr, before.len, after.ptr, after.len);
    }
    s_check(doc);
    ckv_buf_fini(&before);
    ckv_buf_fini(&after);
    ckv_buf_fini(&made);
    ckv_doc_free(doc);
    ckv_doc_free(other);
    return 0;
}
