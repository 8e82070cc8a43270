/* Bundles of a document whose id is 32 times 0x2a. An input is a bundle, or only the payload of one (what does not begin with CKB):
 * frame and checksum are made here, so that mutations get past them. doc/import.c and doc/unpack.c stand here once more, with a verifier that believes
 * every signature that does not begin with 0xee: ids change with each mutation, and honest signatures would keep everything out.
 *
 * What went in must pass ckv_doc_check, be known when it comes again, and come out as a bundle from which a second replica gets the same.
 */
#include "base/hash64.h"
#include "crypto/sign.h"
#include "dag/bundle.h"
#include "doc/admit.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/plain.h"
#include "doc/state.h"
#include "doc/text.h"
#include "log/columns.h"

/* One that begins with 0xee may be honest: of a lane of this document's own identity, signed on export. */
static bool believes(const ckv_signature *s, const ckv_id32 *author, const ckv_id32 *doc,
                     const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id)
{
    return s->b[0] != 0xee || ckv_verify_change(s, author, doc, lane, seq, id);
}

#define ckv_verify_change    believes
#define ckv_doc_apply        fuzz_apply
#define ckv_report_init      fuzz_report_init
#define ckv_report_fini      fuzz_report_fini
#define ckv_import_init      fuzz_import_init
#define ckv_import_fini      fuzz_import_fini
#define ckv_import_read      fuzz_import_read
#define ckv_import_verify    fuzz_import_verify
#define ckv_import_signature fuzz_import_signature
#define ckv_bundle_check     fuzz_bundle_check
#define ckv_bundle_doc_id    fuzz_bundle_doc_id
#include "doc/import.c"
#include "doc/unpack.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static ckv_id32 the_id(void)
{
    ckv_id32 id;
    memset(&id, 0x2a, sizeof id);
    return id;
}

static ckv_doc *new_doc(void)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const uint8_t seed[32] = {1};
    const ckv_id32 id = the_id();
    ckv_identity identity;
    ckv_doc *doc = NULL;
    ckv_identity_from_seed(&identity, seed);
    CKV_MUST(ckv_doc_new(&doc, &env, &identity, &id) == CKV_OK);
    return doc;
}

/* The bundle that an input stands for, with its checksum made right. */
static void mend(ckv_buf *out, const uint8_t *data, size_t n_bytes)
{
    if (n_bytes >= 12 && memcmp(data, "CKB", 3) == 0) {
        ckv_buf_bytes(out, data, n_bytes - 8);
    } else {
        const ckv_id32 id = the_id();
        ckv_buf_bytes(out, "CKB\1", 4);
        ckv_buf_bytes(out, &id, 32);
        ckv_buf_bytes(out, "\0\0", 2);
        ckv_buf_varint(out, n_bytes);
        ckv_buf_bytes(out, data, n_bytes);
    }
    ckv_buf_u64le(out, ckv_hash64(out->ptr, out->len));
}

static void check(ckv_doc *doc)
{
    const char *why = "";
    if (ckv_doc_check(doc, &why)) return;
    fprintf(stderr, "broken: %s\n", why);
    abort();
}

static ckv_id32 root_of(ckv_doc *doc)
{
    ckv_id32 root;
    CKV_MUST(ckv_doc_root(doc, &root) == CKV_OK);
    return root;
}

/* What the keys of the root show, one after the other. */
static void show(ckv_doc *doc, ckv_buf *out)
{
    CKV_MUST(ckv_plain_write(doc, NULL, CKV_ROOT, out) == CKV_OK);
}

/* The same changes, sent on, make the same document. */
static void send_on(ckv_doc *a, ckv_report *report)
{
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc), shown_a = ckv_buf_init(ckv_alloc_libc),
            shown_b = ckv_buf_init(ckv_alloc_libc);
    ckv_err err;
    ckv_doc *b = new_doc();
    CKV_MUST(ckv_doc_export(a, NULL, 0, NULL, 0, &bundle) == CKV_OK);
    CKV_MUST(fuzz_apply(b, bundle.ptr, bundle.len, report, &err) == CKV_OK);
    check(b);
    const ckv_id32 ra = root_of(a), rb = root_of(b);
    CKV_ASSERT(ckv_id32_eq(&ra, &rb));
    show(a, &shown_a);
    show(b, &shown_b);
    CKV_ASSERT(shown_a.len == shown_b.len &&
               (shown_a.len == 0 || memcmp(shown_a.ptr, shown_b.ptr, shown_a.len) == 0));
    ckv_doc_free(b);
    ckv_buf_fini(&bundle);
    ckv_buf_fini(&shown_a);
    ckv_buf_fini(&shown_b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    ckv_doc *doc = new_doc();
    ckv_buf bundle = ckv_buf_init(ckv_alloc_libc);
    ckv_report report;
    ckv_err err;
    mend(&bundle, data, n_bytes);
    fuzz_report_init(&report, ckv_alloc_libc);
    const ckv_status checked = ckv_bundle_check(doc, bundle.ptr, bundle.len, &err);
    ckv_status s = fuzz_apply(doc, bundle.ptr, bundle.len, &report, &err);
    CKV_ASSERT((checked == CKV_OK) == (s == CKV_OK) || s == CKV_ELIMIT);
    CKV_ASSERT(s == CKV_OK || (report.applied.len == 0 && ckv_doc_n_changes(doc) == 0));
    check(doc);
    if (s == CKV_OK) {
        const ckv_id32 root = root_of(doc);
        s = fuzz_apply(doc, bundle.ptr, bundle.len, &report, &err);
        const ckv_id32 again = root_of(doc);
        CKV_ASSERT(s == CKV_OK && report.applied.len == 0 && report.voided.len == 0 &&
                   ckv_id32_eq(&root, &again));
        check(doc);
        send_on(doc, &report);
    }
    fuzz_report_fini(&report);
    ckv_buf_fini(&bundle);
    ckv_doc_free(doc);
    return 0;
}
