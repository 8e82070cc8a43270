#include "doc/view.h"

#include "doc/state.h"

struct ckv_view {
    ckv_doc *doc;  /* borrowed */
    ckv_past past; /* the version */
};

const ckv_past *ckv_view_past(const ckv_view *v) { return v ? &v->past : NULL; }

static ckv_status make(ckv_view **out, ckv_doc *doc)
{
    ckv_view *v = ckv_resize(doc->env.alloc, NULL, 0, sizeof *v);
    if (!v) return CKV_ENOMEM;
    *v = (ckv_view){doc, ckv_past_init(doc->env.alloc)};
    *out = v;
    return CKV_OK;
}

ckv_status ckv_view_new(ckv_view **out, ckv_doc *doc, const ckv_id32 *heads, size_t n_heads,
                        const ckv_id32 *without, size_t n_without)
{
    ckv_view *v;
    CKV_TRY(make(&v, doc));
    ckv_status s = ckv_doc_version(doc, heads, n_heads, true, &v->past);
    if (s == CKV_OK && n_without) s = ckv_past_without(&v->past, &doc->graph, without, n_without);
    if (s != CKV_OK) {
        ckv_view_free(v);
        return s;
    }
    v->past.prefix = !n_without && ckv_past_is_prefix(&v->past, &doc->graph);
    *out = v;
    return CKV_OK;
}

ckv_status ckv_view_first(ckv_view **out, ckv_doc *doc, uint32_t n_changes)
{
    ckv_view *v;
    CKV_TRY(make(&v, doc));
    v->past.prefix = true;
    v->past.allin = n_changes;
    v->past.allin_item = ckv_ids_item(&doc->graph.ids, n_changes);
    *out = v;
    return CKV_OK;
}

void ckv_view_free(ckv_view *v)
{
    if (!v) return;
    const ckv_alloc a = v->doc->env.alloc;
    ckv_past_fini(&v->past);
    ckv_release(a, v, sizeof *v);
}
