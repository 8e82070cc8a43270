/* state.h -- what a document is made of. Only doc/ looks in here.
 *
 *     graph   who came before whom           log    what happened          space, tree, moves, counts, marks   what is there now
 *     inbox   what waits                     journal  how to go back
 *
 * The open change is what log holds beyond graph: operations [graph.ids.n_lv, log.n_lv). Typing is gathered in `pending` first and
 * enters log and space when something else happens.
 *
 *     I1  log.n_lv >= graph.ids.n_lv, likewise items; equal, with nothing pending, when no change is open
 *     I2  the root's container has number CKV_ROOT
 */
#ifndef CKV_DOC_STATE_H
#define CKV_DOC_STATE_H

#include "crypto/digest.h"
#include "crypto/sign.h"
#include "dag/header.h"
#include "dag/inbox.h"
#include "doc/content.h"
#include "doc/view.h"
#include "graph/graph.h"
#include "log/oplog.h"
#include "types/container.h"
#include "types/counter.h"
#include "types/marks.h"
#include "types/moves.h"

typedef struct ckv_time_run { /* changes from `change` on were made at `time` */
    uint32_t change;
    int64_t time;
} ckv_time_run;
CKV_VEC(ckv_time_runs, ckv_time_run);

typedef struct ckv_message_at {
    uint32_t change, off, n_bytes;
} ckv_message_at;
CKV_VEC(ckv_message_ats, ckv_message_at);

typedef struct ckv_void_at { /* its body as it came, in ckv_doc.void_bodies */
    uint32_t change, n_ops;
    size_t off, n_bytes;
    const char *reason;
} ckv_void_at;
CKV_VEC(ckv_void_ats, ckv_void_at);

/* What proves a change whose signed successor is not here: refused, waiting, for a later version, or beyond the heads of a fork. */
typedef struct ckv_cover {
    uint32_t branch, seq; /* of the last change that is here */
    uint32_t n;           /* headers that follow it, up to a signed one */
    size_t off, n_bytes;  /* in ckv_doc.cover_headers: blobs */
    ckv_signature signature;
} ckv_cover;
CKV_VEC(ckv_covers, ckv_cover);

typedef struct ckv_pending {
    uint32_t kind; /* 0, CKV_OP_INSERT or CKV_OP_DELETE */
    uint32_t text, pos, n;
    uint32_t
        room; /* INSERT: so many more ASCII characters fit without looking at limits and memory again */
} ckv_pending;

typedef struct ckv_own_lane { /* changes of it from `since` on were made here */
    uint32_t lane, since;
} ckv_own_lane;
CKV_VEC(ckv_own_lanes, ckv_own_lane);

typedef struct
    ckv_floor { /* the rollback with this number took back all items from `item` on, which other ones may be now */
    uint32_t number, item;
} ckv_floor;
CKV_VEC(ckv_floors, ckv_floor);

struct ckv_doc {
    ckv_env env;
    ckv_stream stream; /* where env.random draws from once ckv_doc_seed was called */
    ckv_identity identity;
    ckv_id32 id;
    bool
        has_content; /* its bodies are read and kept by `content`; log, space and tree stay empty */
    ckv_content content;
    bool has_founder;
    ckv_id32 founder;
    uint8_t founder_nonce[16];

    ckv_graph graph;
    ckv_oplog log;
    ckv_space space;
    ckv_tree tree;
    ckv_moves moves;
    ckv_counts counts;
    ckv_marks marks;
    ckv_journal journal;
    ckv_past past, scratch;
    ckv_u32s values; /* scratch */
    ckv_hmap
        stands_for; /* slot that undoing a move made -> the slot in whose place it is; what undo knows, and nobody else */
    ckv_inbox inbox;

    struct ckv_namer *names; /* owned: names of the change that is being made */
    ckv_buf body;            /* its bytes; scratch */

    ckv_time_runs times;
    ckv_message_ats messages;
    ckv_buf message_bytes;
    ckv_void_ats voids;
    ckv_buf void_bodies;
    ckv_covers covers; /* by branch and seq */
    ckv_buf cover_headers;

    ckv_past
        asked; /* that of change `asked_of` and itself, CKV_NONE: none; who asks about one asks again */
    uint32_t asked_of;
    uint32_t restored_lane; /* of the change that was restored last */
    ckv_id32 absent_digest; /* doc/absent: as of this version and so many branches, if valid */
    uint64_t absent_version;
    size_t absent_branches;
    bool absent_valid, absent_any;

    uint32_t own_lane; /* CKV_NONE: the next change opens one */
    ckv_pending pending;
    size_t open_bytes; /* about the size of the open body */
    uint32_t
        joins_since; /* runs that began before this lv are of an earlier change, or before a savepoint */
    uint32_t rollbacks; /* that took items back */
    ckv_floors floors;  /* of those: ascending in both, without those that a later one went below */
    uint32_t unsigned_changes; /* of the own lane since its last signature */
    size_t unsigned_bytes;
    uint64_t n_verified;
    uint32_t n_peers;   /* numbers that were given to peers */
    uint64_t n_refused; /* reported by applies that went through */
    ckv_id32 root;
    bool root_valid;
    ckv_limits limits;

    struct ckv_keep *keep;   /* owned: the file it lives in (doc/keep.h); NULL: memory */
    ckv_own_lanes own_lanes; /* those that this object opened or went on with */
    bool watched;            /* changes leave events */
    uint32_t told;           /* changes below have left theirs */
    ckv_buf events, patches;
};

/* The type of its headers. */
static inline uint32_t ckv_doc_type(const ckv_doc *doc)
{
    return doc->has_content ? doc->content.type : CKV_TYPE_DOC;
}
/* Enters what is pending into log and space. On failure it stays pending. */
CKV_NODISCARD ckv_status ckv_doc_flush(ckv_doc *doc);
/* ckv_doc_change without what only the content knows: n_ops. */
void ckv_doc_change_here(const ckv_doc *doc, uint32_t change, ckv_change_info *out);
/* What the content was given becomes durable: the last step of whatever gave it. */
CKV_NODISCARD static inline ckv_status ckv_doc_settle(ckv_doc *doc)
{
    return doc->has_content ? doc->content.settle(doc->content.ctx) : CKV_OK;
}
/* The number that the open change will have: knots may come before it. */
uint32_t ckv_doc_open_change(const ckv_doc *doc);
/* Was this item taken back by a rollback since there were `since` of them? */
bool ckv_doc_taken_back(const ckv_doc *doc, uint32_t item, uint32_t since);
void ckv_doc_undo_to(ckv_doc *doc, size_t journal); /* what is there now, not the log */
/* Room for one change's time, message and void entry. */
CKV_NODISCARD ckv_status ckv_doc_reserve_notes(ckv_doc *doc, size_t message_bytes);
void ckv_doc_note(ckv_doc *doc, uint32_t change, int64_t time, const void *message,
                  size_t message_bytes);
bool ckv_doc_is_own(const ckv_doc *doc, uint32_t change); /* made by this object */
const ckv_void_at *ckv_doc_void(const ckv_doc *doc, uint32_t change);
const ckv_message_at *ckv_doc_message(const ckv_doc *doc, uint32_t change);
/* The first cover at or after (branch, seq) on that very branch, or NULL. */
const ckv_cover *ckv_doc_cover(const ckv_doc *doc, uint32_t branch, uint32_t seq);
/* Keeps one: n headers, blobs, that follow `change`. */
CKV_NODISCARD ckv_status ckv_doc_add_cover(ckv_doc *doc, uint32_t change, uint32_t n,
                                           const uint8_t *headers, size_t n_bytes,
                                           const ckv_signature *signature);
int64_t ckv_doc_time(const ckv_doc *doc, uint32_t change);
/* The past of these ids, themselves included. Unknown ones: CKV_ENOENT if strict, else left out. */
CKV_NODISCARD ckv_status ckv_doc_version(ckv_doc *doc, const ckv_id32 *ids, size_t n, bool strict,
                                         ckv_past *out);
/* A bundle of what `until` (NULL: all) holds and `since` lacks. max_bytes: stop soon behind so many (0: never), before change *end. */
CKV_NODISCARD ckv_status ckv_doc_export_past(ckv_doc *doc, const ckv_past *since,
                                             const ckv_past *until, size_t max_bytes, ckv_buf *out,
                                             uint32_t *end);
/* Leaves an event for changes [told, end), which are all that has happened since (the open change included), if somebody watches. */
CKV_NODISCARD ckv_status ckv_doc_tell(ckv_doc *doc, uint32_t end, bool is_local);
void ckv_doc_untell(ckv_doc *doc, size_t events, size_t patches, uint32_t told);
const ckv_past *ckv_view_past(const ckv_view *view); /* NULL for NULL: now */
bool ckv_doc_check(ckv_doc *doc, const char **why);

#endif
