/* tests/golden: every bundle that was ever written means what it meant. Runs from the root of the repository. */
#include "t.h"

#include "base/hash64.h"
#include "base/utf8.h"
#include "crypto/digest.h"
#include "doc/doc.h"
#include "doc/exchange.h"
#include "doc/map.h"
#include "doc/plain.h"
#include "doc/state.h"
#include "doc/text.h"

typedef struct golden {
    char name[64], root[80], content[80], text[4096];
    unsigned n_changes, n_voids;
    uint8_t *data;
    size_t n_bytes;
} golden;

static ckv_doc *new_doc(void)
{
    const ckv_env env = {.alloc = ckv_alloc_libc};
    const uint8_t seed[32] = {9};
    ckv_identity identity;
    ckv_id32 id;
    ckv_doc *doc = NULL;
    memset(&id, 0x2a, sizeof id);
    ckv_identity_from_seed(&identity, seed);
    T_EQ(ckv_doc_new(&doc, &env, &identity, &id), CKV_OK);
    return doc;
}

static void hex(const uint8_t *p, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) sprintf(out + 2 * i, "%02x", p[i]);
    out[2 * n] = 0;
}

/* All that it says, and how its texts are formatted, as doc/plain.h has it. */
static void digest_of_content(ckv_doc *doc, const ckv_entry *entries, size_t n, ckv_id32 *out)
{
    ckv_buf plain = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_plain_write(doc, NULL, CKV_ROOT, &plain), CKV_OK);
    for (size_t i = 0; i < n; i++) {
        if (entries[i].value.tag == CKV_TAG_TEXT)
            T_EQ(ckv_text_spans(doc, NULL, entries[i].value.container, &plain), CKV_OK);
    }
    ckv_digest(out, "crdtkv-golden", plain.ptr, plain.len);
    ckv_buf_fini(&plain);
}

/* Root, content and texts are those that the oracle found. */
static void means_what_it_meant(ckv_doc *doc, const golden *g)
{
    ckv_id32 root;
    char found[4096];
    const char *why = NULL;
    ckv_buf text = ckv_buf_init(ckv_alloc_libc);
    T_VALID(ckv_doc_check(doc, &why), why);
    T_EQ(ckv_doc_root(doc, &root), CKV_OK);
    hex(root.b, 32, found);
    T_CHECK(strcmp(found, g->root) == 0);
    T_EQ(ckv_doc_n_changes(doc), g->n_changes);
    T_EQ(doc->voids.len, g->n_voids);
    ckv_buf entries = ckv_buf_init(ckv_alloc_libc);
    T_EQ(ckv_map_entries(doc, NULL, CKV_ROOT, &entries), CKV_OK);
    digest_of_content(doc, (const void *)entries.ptr, ckv_map_len(doc, CKV_ROOT), &root);
    hex(root.b, 32, found);
    T_CHECK(strcmp(found, g->content) == 0);
    for (size_t i = 0; i < ckv_map_len(doc, CKV_ROOT); i++) {
        const ckv_value v = ((const ckv_entry *)(const void *)entries.ptr)[i].value;
        if (v.tag != CKV_TAG_TEXT) continue;
        for (size_t k = 0; k < ckv_text_len(doc, v.container); k++) {
            uint32_t c;
            T_EQ(ckv_text_read(doc, v.container, k, 1, &c, 4), CKV_OK);
            ckv_utf8_put(&text, c);
        }
    }
    ckv_buf_fini(&entries);
    T_CHECK(text.len * 2 < sizeof found);
    hex(text.ptr, text.len, found);
    T_CHECK(strcmp(text.len ? found : "-", g->text) == 0);
    ckv_buf_fini(&text);
}

static void load(const golden *g)
{
    ckv_report report;
    ckv_err err;
    ckv_doc *doc = new_doc(), *copy = new_doc();
    ckv_buf again = ckv_buf_init(ckv_alloc_libc);
    ckv_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_doc_apply(doc, g->data, g->n_bytes, &report, &err), CKV_OK);
    T_CHECK(report.refused.len == 0 && report.waiting.len == 0);
    means_what_it_meant(doc, g);
    T_EQ(ckv_doc_apply(doc, g->data, g->n_bytes, &report, &err), CKV_OK);
    T_EQ(report.known, g->n_changes);
    T_EQ(ckv_doc_export(doc, NULL, 0, NULL, 0, &again), CKV_OK);
    T_EQ(ckv_doc_apply(copy, again.ptr, again.len, &report, &err), CKV_OK);
    means_what_it_meant(copy, g);
    ckv_report_fini(&report);
    ckv_buf_fini(&again);
    ckv_doc_free(doc);
    ckv_doc_free(copy);
}

/* Cut short or damaged: refused, with a document that is as before. */
static void damage(const golden *g)
{
    ckv_report report;
    ckv_err err;
    ckv_doc *doc = new_doc();
    ckv_report_init(&report, ckv_alloc_libc);
    for (size_t n = 0; n < g->n_bytes; n++) {
        uint8_t *exact = malloc(n + 1);
        T_CHECK(exact);
        memcpy(exact, g->data, n);
        T_EQ(ckv_doc_apply(doc, exact, n, &report, &err), CKV_ECORRUPT);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * g->n_bytes; bit++) {
        g->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_EQ(ckv_doc_apply(doc, g->data, g->n_bytes, &report, &err), CKV_ECORRUPT);
        g->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    T_EQ(ckv_doc_n_changes(doc), 0);
    ckv_report_fini(&report);
    ckv_doc_free(doc);
}

/* Damaged, with the checksum made right: whatever is taken, the document holds together and shows nothing that was not signed. */
static void forge(const golden *g)
{
    t_seed(g->n_bytes);
    for (size_t bit = 8 * 36; bit < 8 * (g->n_bytes - 8);
         bit += 1 + t_below(9)) { /* a fifth of them */
        ckv_report report;
        ckv_err err;
        ckv_doc *doc = new_doc();
        const char *why = NULL;
        uint8_t check[8];
        memcpy(check, g->data + g->n_bytes - 8, 8);
        g->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const uint64_t sum = ckv_hash64(g->data, g->n_bytes - 8);
        for (int i = 0; i < 8; i++) g->data[g->n_bytes - 8 + (size_t)i] = (uint8_t)(sum >> (8 * i));
        ckv_report_init(&report, ckv_alloc_libc);
        const ckv_status s = ckv_doc_apply(doc, g->data, g->n_bytes, &report, &err);
        T_CHECK(s == CKV_OK || s == CKV_ECORRUPT);
        T_VALID(ckv_doc_check(doc, &why), why);
        T_CHECK(ckv_doc_n_changes(doc) <= g->n_changes);
        if (ckv_doc_n_changes(doc) == g->n_changes)
            means_what_it_meant(doc, g); /* only a bit that says nothing was changed */
        ckv_report_fini(&report);
        ckv_doc_free(doc);
        g->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memcpy(g->data + g->n_bytes - 8, check, 8);
    }
}

static void each(void (*what)(const golden *g))
{
    FILE *list = fopen("tests/golden/expected.txt", "r");
    if (!list)
        t_fail(__FILE__, __LINE__,
               "tests/golden/expected.txt: run me from the root of the repository");
    golden g;
    size_t n = 0;
    while (fscanf(list, "%63s %79s %u %u %79s %4095s", g.name, g.root, &g.n_changes, &g.n_voids,
                  g.content, g.text) == 6) {
        char path[128];
        snprintf(path, sizeof path, "tests/golden/%s.ckb", g.name);
        FILE *file = fopen(path, "rb");
        T_CHECK(file && fseek(file, 0, SEEK_END) == 0);
        g.n_bytes = (size_t)ftell(file);
        rewind(file);
        g.data = malloc(g.n_bytes);
        T_CHECK(g.data && fread(g.data, 1, g.n_bytes, file) == g.n_bytes);
        fclose(file);
        what(&g);
        free(g.data);
        n++;
    }
    fclose(list);
    T_CHECK(n >= 12);
}

static void golden_bundles_mean_what_they_meant(void) { each(load); }
static void golden_bundles_are_refused_when_damaged(void) { each(damage); }
static void forged_bits_bring_in_nothing_new(void) { each(forge); }

int main(void)
{
    T_CHECK(ckv_crypto_init());
    T_RUN(golden_bundles_mean_what_they_meant);
    T_RUN(golden_bundles_are_refused_when_damaged);
    T_RUN(forged_bits_bring_in_nothing_new);
    return t_done();
}
