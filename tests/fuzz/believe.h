/* believe.h -- doc/import.c, doc/unpack.c and doc/live.c once more, under other names, with a verifier that believes every signature that does not begin
 * with 0xee: ids change with each mutation, and honest signatures would keep everything out. Include it before anything else of doc/.
 */
#ifndef CKV_FUZZ_BELIEVE_H
#define CKV_FUZZ_BELIEVE_H

#include "crypto/sign.h"
#include "dag/bundle.h"
#include "doc/admit.h"
#include "doc/exchange.h"
#include "doc/live.h"
#include "doc/state.h"

static uint32_t n_believed; /* since it was set to 0 */

/* One that begins with 0xee may be honest: of a lane of this document's own identity, signed on export. */
static bool believes(const ckv_signature *s, const ckv_id32 *author, const ckv_id32 *doc,
                     const ckv_id32 *lane, uint32_t seq, const ckv_id32 *id)
{
    const bool good = s->b[0] != 0xee || ckv_verify_change(s, author, doc, lane, seq, id);
    n_believed += good;
    return good;
}

#define ckv_verify_change    believes
#define ckv_doc_apply        fuzz_apply
#define ckv_import_enter     fuzz_enter
#define ckv_report_init      fuzz_report_init
#define ckv_report_fini      fuzz_report_fini
#define ckv_live_write       fuzz_live_write
#define ckv_live_apply       fuzz_live_apply
#define ckv_import_init      fuzz_import_init
#define ckv_import_fini      fuzz_import_fini
#define ckv_import_read      fuzz_import_read
#define ckv_import_verify    fuzz_import_verify
#define ckv_import_signature fuzz_import_signature
#define ckv_import_header    fuzz_import_header
#define ckv_bundle_check     fuzz_bundle_check
#define ckv_bundle_doc_id    fuzz_bundle_doc_id
#include "doc/import.c"
#include "doc/live.c"
#include "doc/unpack.c"
#undef ckv_import_init
#undef ckv_import_fini
#undef ckv_import_read
#undef ckv_import_verify
#undef ckv_import_signature
#undef ckv_import_header
#undef ckv_bundle_check
#undef ckv_bundle_doc_id
#undef ckv_verify_change
#undef ckv_doc_apply
#undef ckv_import_enter
#undef ckv_report_init
#undef ckv_report_fini
#undef ckv_live_write
#undef ckv_live_apply

#endif
