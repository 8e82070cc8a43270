/* perform.c -- the operations of a change that somebody else made: allowed by rule 14, then done. docs/format.md. */
#include "doc/apply.h"
#include "doc/encode.h"
#include "doc/judge.h"

/* The container whose sequence holds an item, CKV_NONE if none does. */
static uint32_t holder_of(const ckv_judge *j, uint32_t item, ckv_gap *gap)
{
    return ckv_space_locate(&j->doc->space, item, gap) ? j->doc->space.leaves.ptr[gap->leaf].seq
                                                       : CKV_NONE;
}

/* Is something deleted for the author of this change? */
static bool deleted_for(const ckv_judge *j, uint32_t del)
{
    const ckv_graph *g = &j->doc->graph;
    return ckv_del_hides_at(&j->doc->space.deletes, del, j->view.past, g, ckv_ids_n(&g->ids));
}

/* ---- places */

typedef struct place {
    uint32_t left, right, holder;
    ckv_gap gap;
} place;

/* Where an INSERT, ELEMENTS or MOVE goes. holder: the container, if CKV_NONE it is to be found. */
static ckv_status read_place(ckv_judge *j, const ckv_body_op *op, ckv_tag kind, uint32_t made,
                             place *p)
{
    ckv_gap gap;
    const bool is_move = op->kind == CKV_OP_MOVE;
    p->gap = CKV_GAP_START;
    CKV_TRY(ckv_names_item(j, op->left, made, &p->left));
    CKV_TRY(ckv_names_item(j, op->right, made, &p->right));
    uint32_t found = p->holder;
    if (p->left != CKV_NO_ITEM)
        found = holder_of(j, p->left, &p->gap);
    else if (p->right != CKV_NO_ITEM)
        found = holder_of(j, p->right, &gap);
    else if (!is_move)
        CKV_TRY(ckv_names_container(j, op->holder, made, kind, &found));
    if (found == CKV_NONE || ckv_tree_at(&j->doc->tree, found)->kind != (uint32_t)kind ||
        (is_move && found != p->holder))
        return ckv_wrong(j, "rule 14: an insert's place is in no sequence of its kind");
    p->holder = found;
    return CKV_OK;
}

static ckv_status put_in_place(ckv_judge *j, const place *p, uint32_t n)
{
    ckv_doc *doc = j->doc;
    return ckv_integrate(&doc->space, &ckv_tree_at(&doc->tree, p->holder)->seq, doc->log.n_items, n,
                         p->gap, p->right, &j->view, &doc->journal, &j->why);
}

static ckv_status do_insert(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    place p = {.holder = CKV_NONE};
    CKV_TRY(read_place(j, op, CKV_TAG_TEXT, made, &p));
    CKV_TRY(ckv_chars_reserve(&doc->log.chars, doc->log.n_items, op->n, op->max_char));
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items + op->n, 1));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, 3));
    const uint32_t item = doc->log.n_items;
    CKV_TRY(put_in_place(j, &p, op->n));
    ckv_chars_write_utf8(&doc->log.chars, item, op->n, op->bytes, op->n_bytes);
    ckv_oplog_insert(&doc->log, p.holder, op->n, p.left, p.right);
    return CKV_OK;
}

/* How many of n encoded values make containers. */
static uint32_t count_made(const uint8_t *bytes, size_t n_bytes, uint32_t n)
{
    ckv_rd r = ckv_rd_init(bytes, n_bytes);
    uint32_t made = 0;
    while (n--) {
        size_t skip;
        made += !ckv_tag_is_scalar((ckv_tag)ckv_rd_varint(&r));
        ckv_rd_blob(&r, &skip);
    }
    return made;
}

static ckv_status check_depth(ckv_judge *j, uint32_t holder)
{
    return ckv_tree_at(&j->doc->tree, holder)->depth >= CKV_MAX_DEPTH
               ? ckv_wrong(j, "rule 14: a container is more than 256 deep")
               : CKV_OK;
}

static ckv_status do_elements(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    place p = {.holder = CKV_NONE};
    uint32_t value_off;
    CKV_TRY(read_place(j, op, CKV_TAG_LIST, made, &p));
    const uint32_t n_made = count_made(op->value_bytes, op->n_value_bytes, op->n);
    if (n_made) CKV_TRY(check_depth(j, p.holder));
    CKV_TRY(ckv_apply_reserve_elements(doc, op->n, n_made));
    CKV_TRY(ckv_oplog_keep(&doc->log, op->value_bytes, op->n_value_bytes, &value_off));
    const ckv_status s = put_in_place(j, &p, op->n);
    if (s != CKV_OK) {
        ckv_oplog_unkeep(&doc->log, value_off);
        return s;
    }
    ckv_apply_elements(doc, p.holder, op->n, p.left, p.right, value_off, NULL);
    return CKV_OK;
}

/* The element that a reference names, alive for the author, and its list. */
static ckv_status read_element(ckv_judge *j, ckv_ref ref, uint32_t made, uint32_t *element,
                               uint32_t *list)
{
    const ckv_oplog *log = &j->doc->log;
    ckv_gap gap;
    CKV_TRY(ckv_names_item(j, ref, made, element));
    CKV_ASSERT(*element != CKV_NO_ITEM); /* log/body refuses a reference to nothing here */
    if (log->ops.ptr[ckv_oplog_at_item(log, *element)].kind != CKV_OP_ELEMENTS)
        return ckv_wrong(j, "rule 14: names what is no element");
    *list = holder_of(j, *element, &gap);
    if (deleted_for(j, ckv_space_span(&j->doc->space, gap.leaf, gap.slot)->del))
        return ckv_wrong(j, "rule 14: names an element that was deleted in its causal past");
    return CKV_OK;
}

static ckv_status do_move(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    place p;
    uint32_t element;
    CKV_TRY(read_element(j, op->holder, made, &element, &p.holder));
    CKV_TRY(read_place(j, op, CKV_TAG_LIST, made, &p));
    CKV_TRY(ckv_apply_reserve_move(doc));
    CKV_TRY(put_in_place(j, &p, 1));
    ckv_apply_move(doc, &j->view, element, p.left, p.right);
    return CKV_OK;
}

/* ---- registers */

/* A value or an erasure on a register that is found. */
static ckv_status do_write(ckv_judge *j, const ckv_body_op *op, uint32_t reg)
{
    ckv_doc *doc = j->doc;
    uint32_t value_off = (uint32_t)doc->log.values.len, container;
    const bool erases = op->kind == CKV_OP_UNSET || op->kind == CKV_OP_DISCARD;
    ckv_status s;
    if (!erases && !ckv_tag_is_scalar(op->value.tag))
        CKV_TRY(check_depth(j, doc->tree.registers.regs.ptr[reg].holder));
    if (op->n_value_bytes)
        CKV_TRY(ckv_oplog_keep(&doc->log, op->value_bytes, op->n_value_bytes, &value_off));
    if (erases)
        s = ckv_apply_erase(doc, &j->view, op->kind, reg, value_off);
    else
        s = ckv_apply_write(doc, &j->view, op->kind, reg, value_off, op->value.tag, &container);
    if (s != CKV_OK) ckv_oplog_unkeep(&doc->log, value_off);
    return s;
}

static ckv_status do_key(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    uint32_t map, key, reg;
    CKV_TRY(ckv_names_container(j, op->left, made, CKV_TAG_MAP, &map));
    CKV_TRY(ckv_keys_make(&doc->tree.keys, op->bytes, op->n_bytes, &key));
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, map, key, &reg));
    return do_write(j, op, reg);
}

static ckv_status do_member(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    uint32_t set, key, reg;
    CKV_TRY(ckv_names_container(j, op->left, made, CKV_TAG_SET, &set)); /* the root is no Set */
    ckv_buf_clear(&doc->body);
    ckv_value_member(&doc->body, &op->value);
    if (doc->body.status != CKV_OK) return doc->body.status;
    CKV_TRY(ckv_keys_make(&doc->tree.keys, doc->body.ptr, doc->body.len, &key));
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, set, key, &reg));
    return do_write(j, op, reg);
}

static ckv_status do_assign(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    uint32_t list, element, reg;
    CKV_TRY(read_element(j, op->left, made, &element, &list));
    CKV_TRY(ckv_tree_register(&doc->tree, &doc->log, list, element, &reg));
    return do_write(j, op, reg);
}

/* ---- counters, marks */

static ckv_status do_count(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    uint32_t counter;
    CKV_TRY(ckv_names_container(j, op->left, made, CKV_TAG_COUNTER, &counter));
    return ckv_apply_count(j->doc, counter, op->amount);
}

static ckv_status do_mark(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    uint32_t start, end, text = CKV_NONE, other = CKV_NONE;
    ckv_gap a = CKV_GAP_START, b = CKV_GAP_START;
    CKV_TRY(ckv_names_item(j, op->left, made, &start));
    CKV_TRY(ckv_names_item(j, op->right, made, &end));
    if (start != CKV_NO_ITEM) text = holder_of(j, start, &a);
    if (end != CKV_NO_ITEM) other = holder_of(j, end, &b);
    if (start == CKV_NO_ITEM && end == CKV_NO_ITEM)
        CKV_TRY(ckv_names_container(j, op->holder, made, CKV_TAG_TEXT, &text));
    else if (start == CKV_NO_ITEM)
        text = other;
    if (text == CKV_NONE || ckv_tree_at(&doc->tree, text)->kind != CKV_TAG_TEXT ||
        (end != CKV_NO_ITEM && other != text))
        return ckv_wrong(j, "rule 14: a mark's places are not in one text");
    if (start != CKV_NO_ITEM && end != CKV_NO_ITEM) {
        const int order = ckv_seq_compare(&doc->space, a, b);
        const bool behind = (op->sides & CKV_MARK_START_BEHIND) != 0,
                   to_behind = (op->sides & CKV_MARK_END_BEHIND) != 0;
        if (order > 0 || (order == 0 && !(!behind && to_behind)))
            return ckv_wrong(j, "rule 14: a mark ends before it starts");
    }
    ckv_mark_op mark = {
        .sides = op->sides, .name_bytes = (uint32_t)op->n_bytes, .value_off = CKV_NO_VALUE};
    CKV_TRY(ckv_oplog_keep(&doc->log, op->bytes, op->n_bytes, &mark.name_off));
    ckv_status s = CKV_OK;
    if (op->value_bytes)
        s = ckv_oplog_keep(&doc->log, op->value_bytes, op->n_value_bytes, &mark.value_off);
    if (s == CKV_OK) s = ckv_apply_mark(doc, text, start, end, mark);
    if (s != CKV_OK) ckv_oplog_unkeep(&doc->log, mark.name_off);
    return s;
}

/* ---- deletes and restores */

/* The next items of a range that are alike: one that stands alone, or a stretch of one span. *del: who deleted them. *in_seq: a stretch. */
static ckv_status next_items(ckv_judge *j, uint32_t item, uint32_t *n, uint32_t *del, bool *in_seq)
{
    const ckv_oplog *log = &j->doc->log;
    const size_t run = ckv_oplog_at_item(log, item);
    const ckv_op *op = &log->ops.ptr[run];
    *in_seq = op->kind == CKV_OP_INSERT || op->kind == CKV_OP_ELEMENTS;
    if (op->kind == CKV_OP_MOVE) return ckv_wrong(j, "rule 14: names a slot, not its element");
    if (!*in_seq) {
        *n = 1;
        *del = ckv_del_of(&j->doc->space.deletes, item);
        return CKV_OK;
    }
    ckv_gap gap;
    CKV_MUST(ckv_space_locate(&j->doc->space, item, &gap));
    const ckv_span *s = ckv_space_span(&j->doc->space, gap.leaf, gap.slot);
    const uint32_t in_span = s->len - (gap.off - 1),
                   in_run = ckv_oplog_len(log, run) - (item - op->item);
    if (*n > in_span) *n = in_span;
    if (*n > in_run) *n = in_run;
    *del = s->del;
    return CKV_OK;
}

/* Is a value that stands alone replaced for the author? */
static ckv_status replaced_for(ckv_judge *j, uint32_t item, uint32_t del, bool *out)
{
    ckv_doc *doc = j->doc;
    const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, item)];
    *out = false;
    if (op->kind == CKV_OP_MARK) return CKV_OK;
    return ckv_register_replaced_for(&doc->tree.registers, &doc->graph, &doc->space.deletes, del,
                                     j->view.past, ckv_ids_n(&doc->graph.ids), &doc->scratch,
                                     ckv_doc_register_of(doc, op), op->lv, out);
}

/* Characters of a text, which is what deletes mostly name, are all that they seem: at most n from the one before `gap` on. */
static ckv_status delete_characters(ckv_judge *j, ckv_seq *text, ckv_gap gap, uint32_t item,
                                    uint32_t n, uint32_t *done)
{
    ckv_doc *doc = j->doc;
    if (deleted_for(j, ckv_space_span(&doc->space, gap.leaf, gap.slot)->del))
        return ckv_wrong(j, "rule 14: a delete names what was deleted in its causal past");
    CKV_TRY(ckv_space_reserve(&doc->space, doc->log.n_items, 1));
    CKV_TRY(ckv_oplog_reserve(&doc->log, 1));
    CKV_TRY(ckv_journal_reserve(&doc->journal, 1));
    *done = ckv_seq_delete(&doc->space, text, gap, n, ckv_ids_n(&doc->graph.ids), &doc->journal);
    ckv_oplog_delete(&doc->log, text->number, item, *done, UINT32_MAX);
    return CKV_OK;
}

static ckv_status delete_some(ckv_judge *j, uint32_t item, uint32_t n, uint32_t *done)
{
    ckv_gap gap;
    uint32_t del;
    bool in_seq, replaced = false;
    const uint32_t holder = holder_of(j, item, &gap);
    if (holder != CKV_NONE && ckv_tree_at(&j->doc->tree, holder)->kind == CKV_TAG_TEXT)
        return delete_characters(j, &ckv_tree_at(&j->doc->tree, holder)->seq, gap, item, n, done);
    CKV_TRY(next_items(j, item, &n, &del, &in_seq));
    if (!in_seq) CKV_TRY(replaced_for(j, item, del, &replaced));
    if (replaced || deleted_for(j, del))
        return ckv_wrong(j, "rule 14: a delete names what was deleted in its causal past");
    /* in the order in which they are signed: pieces of one chain ascend */
    return ckv_apply_delete(j->doc, ckv_ids_n(&j->doc->graph.ids), item, n, UINT32_MAX, done);
}

static ckv_status do_delete(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    for (uint32_t read = 0; read < op->n;) {
        uint32_t item, len, done;
        CKV_TRY(ckv_names_range(j, op->left, read, op->n - read, made, &item, &len));
        for (read += len; len; item += done, len -= done) CKV_TRY(delete_some(j, item, len, &done));
    }
    return CKV_OK;
}

/* Did `of`, which the author knows, delete or replace this, and has nobody that it knows taken that back? */
static ckv_status may_restore(ckv_judge *j, uint32_t of, uint32_t item, uint32_t del, bool in_seq,
                              bool alone)
{
    ckv_doc *doc = j->doc;
    const ckv_op *op = &doc->log.ops.ptr[ckv_oplog_at_item(&doc->log, item)];
    const ckv_deletes *deletes = &doc->space.deletes;
    const uint32_t own = ckv_ids_n(&doc->graph.ids);
    bool did = ckv_del_by(deletes, del, of);
    if (!did && !alone) return ckv_wrong(j, "rule 14: restores what the change did not delete");
    if (ckv_del_restored_at(deletes, del, of, j->view.past, &doc->graph, own))
        return ckv_wrong(j, "rule 14: restores what was restored in its causal past");
    uint32_t reg = CKV_NONE, lv = op->lv;
    if (op->kind == CKV_OP_ELEMENTS) {
        reg = ckv_register_find(&doc->tree.registers, op->holder, item);
        lv = op->lv + (item - op->item);
    } else if (!in_seq && op->kind != CKV_OP_MARK) {
        reg = ckv_doc_register_of(doc, op);
    }
    if (in_seq && reg != CKV_NONE &&
        ckv_del_restored_at(deletes, ckv_del_of(deletes, item), of, j->view.past, &doc->graph, own))
        return ckv_wrong(j, "rule 14: restores what was restored in its causal past");
    if (!did && reg != CKV_NONE)
        CKV_TRY(ckv_register_replaced_by(&doc->tree.registers, &doc->graph, deletes,
                                         ckv_del_of(deletes, item), j->view.past, &doc->scratch,
                                         reg, lv, of, &did));
    return did ? CKV_OK : ckv_wrong(j, "rule 14: restores what the change did not delete");
}

static ckv_status do_restore(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    ckv_doc *doc = j->doc;
    const uint32_t change = ckv_ids_n(&doc->graph.ids);
    uint32_t of;
    bool named = false;
    CKV_TRY(ckv_names_change(j, op->change, &of));
    for (uint32_t read = 0; read < op->n;) {
        uint32_t item, len;
        CKV_TRY(ckv_names_range(j, op->left, read, op->n - read, made, &item, &len));
        read += len;
        while (len) {
            uint32_t n = len, del, done;
            bool in_seq;
            CKV_TRY(next_items(j, item, &n, &del, &in_seq));
            CKV_TRY(may_restore(j, of, item, del, in_seq, op->n == 1));
            named = ckv_del_by(&doc->space.deletes, del, of);
            if (op->touches && named && j->restored_named)
                return ckv_wrong(j, "body: RESTOREs that would be one");
            CKV_TRY(ckv_apply_restore(doc, &j->view, change, of, item, n, UINT32_MAX, &done));
            item += done;
            len -= done;
        }
    }
    j->restored_named = named;
    return CKV_OK;
}

/* ---- all of them */

static ckv_status do_op(ckv_judge *j, const ckv_body_op *op, uint32_t made)
{
    const ckv_oplog *log = &j->doc->log;
    if (log->n_items + (uint64_t)op->n >= CKV_MAX_ITEMS ||
        log->n_lv + (uint64_t)op->n >= UINT32_MAX / 2)
        return CKV_ELIMIT;
    switch (op->kind) {
    case CKV_OP_INSERT: return do_insert(j, op, made);
    case CKV_OP_DELETE: return do_delete(j, op, made);
    case CKV_OP_SET:
    case CKV_OP_UNSET: return do_key(j, op, made);
    case CKV_OP_ELEMENTS: return do_elements(j, op, made);
    case CKV_OP_ASSIGN: return do_assign(j, op, made);
    case CKV_OP_MOVE: return do_move(j, op, made);
    case CKV_OP_ADD:
    case CKV_OP_DISCARD: return do_member(j, op, made);
    case CKV_OP_COUNT: return do_count(j, op, made);
    case CKV_OP_MARK: return do_mark(j, op, made);
    case CKV_OP_RESTORE: return do_restore(j, op, made);
    }
    return CKV_EVOID;
}

ckv_status ckv_perform(ckv_judge *j)
{
    ckv_body *b = &j->body;
    ckv_body_op op;
    for (uint32_t made = 0; ckv_body_next(b, &op); made = b->n_items) CKV_TRY(do_op(j, &op, made));
    if (b->status != CKV_OK) return ckv_wrong(j, b->why);
    if (b->n_ops != j->c->header.n_ops) return ckv_wrong(j, "n_ops is not that of the body");
    for (size_t i = 0; i < j->used.len; i++) {
        if (!j->used.ptr[i]) return ckv_wrong(j, "body: an entry of the table is not used");
    }
    return CKV_OK;
}
