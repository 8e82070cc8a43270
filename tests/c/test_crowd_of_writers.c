/* Many who write in turns, each with a signature at every change here: a bundle keeps as many as its reader wants. */
#include "t.h"

#include "crypto/digest.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/map.h"

enum { WRITERS = 48, TURNS = 40, AT_ONCE = 25 };

static ckv_doc *new_doc(uint8_t n)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const ckv_id32 id = {{0x2a}};
    const uint8_t seed[32] = {n};
    ckv_identity who;
    ckv_doc *doc = NULL;
    ckv_identity_from_seed(&who, seed);
    T_EQ(ckv_doc_new(&doc, &env, &who, &id), CKV_OK);
    return doc;
}

static void a_bundle_of_many_writers_can_be_read(void)
{
    ckv_doc *hub = new_doc(0), *copy = new_doc(100), *writers[WRITERS];
    ckv_report report;
    ckv_err err = {0};
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_id32 last[WRITERS], root, root_copy;
    ckv_report_init(&report, ckv_alloc_libc);
    for (uint8_t i = 0; i < WRITERS; i++) writers[i] = new_doc((uint8_t)(1 + i));
    for (int turn = 0; turn < TURNS; turn++) {
        for (uint8_t i = 0; i < WRITERS; i++) {
            for (int k = 0; k < AT_ONCE; k++) {
                const ckv_value one = {.tag = CKV_TAG_TRUE};
                ckv_change_info info;
                uint32_t change, made;
                T_EQ(ckv_map_set(writers[i], CKV_ROOT, (const char *)&i, 1, &one, &made), CKV_OK);
                T_EQ(ckv_doc_commit(writers[i], 0, NULL, 0, &change), CKV_OK);
                ckv_buf_clear(&bundle);
                T_EQ(ckv_doc_export(writers[i], &last[i], turn + k > 0, NULL, 0, &bundle), CKV_OK);
                T_EQ(ckv_doc_apply(hub, bundle.ptr, bundle.len, &report, &err), CKV_OK);
                T_EQ(report.applied.len, 32);
                ckv_doc_change(writers[i], change, &info);
                last[i] = *info.id;
            }
        }
    }
    ckv_buf_clear(&bundle);
    T_EQ(ckv_doc_export(hub, NULL, 0, NULL, 0, &bundle), CKV_OK);
    if (getenv("DBG")) printf("%zu\n", bundle.len);
    T_EQ(ckv_doc_apply(copy, bundle.ptr, bundle.len, &report, &err), CKV_OK);
    T_EQ(report.applied.len, 32 * WRITERS * TURNS * AT_ONCE);
    T_EQ(ckv_doc_root(hub, &root), CKV_OK);
    T_EQ(ckv_doc_root(copy, &root_copy), CKV_OK);
    T_BYTES(&root, 32, &root_copy, 32);
    for (size_t i = 0; i < WRITERS; i++) ckv_doc_free(writers[i]);
    ckv_doc_free(hub);
    ckv_doc_free(copy);
    ckv_report_fini(&report);
    ckv_buf_fini(&bundle);
}

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(a_bundle_of_many_writers_can_be_read);
    return t_done();
}
