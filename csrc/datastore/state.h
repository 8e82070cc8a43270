/* state.h -- what a datastore is made of. Only datastore/ looks in here.
 *
 *     dags      one hash graph for each name, with what is known of each change's body
 *     staged    changes that are in the graph, maybe in the file, and not in the indexes yet, in order of arrival
 *     open      lone edits that no change holds yet, of one DAG at a time
 *     keys, counters     the indexes: what stands of each name
 *
 *     change -> take (staged) -> settle (rows, COMMIT: stored) -> absorb (into the indexes, events) -> flush (runs; dag.indexed)
 *
 *     I1  staged changes of a DAG are its newest ones, or were attached late
 *     I2  a body that is `here` is staged, inline in its header, or in the file
 */
#ifndef CKV_DATASTORE_STATE_H
#define CKV_DATASTORE_STATE_H

#include "dag/header.h"
#include "datastore/datastore.h"
#include "datastore/edits.h"
#include "datastore/entry.h"
#include "datastore/rate.h"
#include "datastore/sheaf.h"
#include "datastore/shown.h"
#include "datastore/totals.h"
#include "doc/content.h"
#include "ds/vec.h"

#define CKV_LAG_BYTES (16u << 20) /* of record that is in no run yet */

#define CKV_NOTE_STATE  3u /* ckv_body_state */
#define CKV_NOTE_VOID   4u
#define CKV_NOTE_INLINE 8u
#define CKV_NOTE_LATE   16u /* attached late, and in no run yet */
#define CKV_NOTE_DEAD   32u /* known to be dead: for ever */
#define CKV_NOTE_PACKED                                                                            \
    64u /* stands in a sheaf; in a row, too, if its body came late: then that counts */
/* While they are packed: */
#define CKV_NOTE_GOING   128u /* into a sheaf */
#define CKV_NOTE_COVERED 256u /* without its signature: the next one of its lane is there, too */

typedef struct ckv_note { /* of each change */
    uint32_t n_ops, body_len;
    uint32_t flags;
} ckv_note;
CKV_VEC(ckv_notes, ckv_note);

typedef struct ckv_dag {
    ckv_datastore *of;
    uint32_t number; /* its place in `dags` */
    int64_t row;     /* in the file */
    char *name;      /* owned */
    size_t name_bytes;
    bool purged;
    uint32_t life;
    ckv_doc *doc; /* owned; NULL if purged */
    ckv_content content;
    ckv_notes notes;
    uint32_t n_lanes_stored;
    size_t covers_stored; /* ckv_doc_cover_mark of what is in the file */
    ckv_id32 root;        /* when the runs were last written; zero: they did not know all */
    uint32_t n_late;      /* attached late, and in no run yet */
    uint32_t n_absorbed;  /* changes below are in the indexes */
    uint32_t n_indexed;   /* and below here in runs */
    uint64_t
        later_stored; /* ckv_doc_later_version that is in the file; CKV_READING_LATER while that is read */
    uint64_t absent; /* version of the set of absent bodies */
    uint32_t sound;  /* after CKV_ECORRUPT: changes below this number can be believed */
} ckv_dag;
CKV_VEC(ckv_dags, ckv_dag *);

#define CKV_READING_LATER (UINT64_MAX - 1)

typedef struct ckv_staged {
    uint32_t dag, change, n_ops;
    uint8_t *bytes; /* owned: header, then body */
    size_t header_bytes, body_bytes;
    bool has_body, is_void, is_local, attached, stored;
    bool was_open;     /* its edits have told their events already */
    uint32_t absorbed; /* operations that are in the indexes */
} ckv_staged;
CKV_VEC(ckv_staged_vec, ckv_staged);

typedef struct ckv_held_event {
    size_t key_at, old_at, new_at; /* in event_bytes; events of one key share what is the same */
    uint32_t key_bytes, old_bytes, new_bytes;
    uint32_t before; /* the event of the same key before this one, CKV_HMAP_NONE: none */
    bool is_bytes, has_old, has_new, is_local;
    bool is_void; /* nothing has changed after all, or its change is not through yet */
    ckv_id32 author;
} ckv_held_event;
CKV_VEC(ckv_held_events, ckv_held_event);

CKV_VEC(ckv_rec_vec, ckv_rec);

typedef struct ckv_datastore_sql { /* prepared statements */
    ckv_stmt *add_change, *add_lane, *attach, *body, *header, *drop, *indexed, *settle_late,
        *drop_later, *add_later, *add_cover, *sheaf, *add_sheaf, *drop_sheaf, *row, *unrow, *claim;
} ckv_datastore_sql;

struct ckv_datastore {
    ckv_env env;
    ckv_identity identity;
    ckv_id32 id;
    bool has_founder;
    uint8_t nonce[16];
    ckv_file *file;
    bool owns_file, compliance, salvage;
    ckv_buf lost; /* lines */
    int64_t object;
    ckv_datastore_sql sql;
    ckv_index *keys, *counters;
    ckv_dags dags; /* never fewer; purged ones stay */
    ckv_staged_vec staged;
    size_t staged_bytes;
    uint32_t n_writing;    /* settle leaves the COMMIT to others */
    bool opening_was_open; /* the change that is being written holds the open edits */
    uint8_t secret[16];
    ckv_edits open;
    uint32_t open_dag;
    bool unsound; /* the indexes are being made anew, or that was cut short */
    bool repairing;
    bool unloaded; /* a refresh was cut short: whoever looks next begins it again */
    ckv_rate rate;
    ckv_totals totals;
    ckv_shown_keys shown_keys;
    const ckv_value_bytes *
        only; /* bodies that touch no such key are left out: of a bundle that is being made; NULL: all are in */
    bool watched;
    ckv_held_events events;
    ckv_buf event_bytes;
    ckv_hmap told;  /* keys of the change at hand -> their events */
    size_t n_taken; /* events that were handed out */
    bool is_seeded; /* documents of DAGs draw from what follows */
    uint32_t n_seeded;
    uint8_t seed[32];
    uint64_t version;                     /* grows with whatever a reader might see */
    uint64_t n_admitted;                  /* DAGs, since it was opened */
    uint64_t compacted;                   /* 1 + the version behind the last compaction */
    ckv_sheaf sheaf;                      /* the one that was asked for last */
    int64_t sheaf_row;                    /* 0: none */
    uint8_t header[CKV_HEADER_MAX_BYTES]; /* the one that was made whole last */
    ckv_buf entry, value, scratch, joined;
    ckv_rec_vec recs;
    size_t n_ops; /* of the records: names follow */
    ckv_shown_ops shown;
    ckv_buf shown_bytes;
    char why[256];
    bool said; /* `why` is of an error that nobody has asked for yet */
};

#define CKV_ROW(dag, change) ((int64_t)((uint64_t)(dag)->row << 32 | (change)))

static inline ckv_alloc ckv_ds_alloc(const ckv_datastore *d) { return d->env.alloc; }
static inline ckv_dag *ckv_ds_dag(const ckv_datastore *d, uint32_t number)
{
    return d->dags.ptr[number];
}

/* dag.c: what a DAG's document asks of us, and its rows */
CKV_NODISCARD ckv_status ckv_dag_new(ckv_datastore *d, int64_t row, const char *name,
                                     size_t name_bytes, bool purged, ckv_dag **out);
void ckv_dag_free(ckv_dag *dag);
/* Makes its document, empty. */
CKV_NODISCARD ckv_status ckv_dag_start(ckv_dag *dag);
/* Back to before that: its changes are no longer known. */
void ckv_dag_stop(ckv_dag *dag);
ckv_id32 ckv_dag_doc_id(const ckv_datastore *d, const char *name, size_t n_bytes);
/* Reads rows of changes that are not here yet, up to number `end`. */
CKV_NODISCARD ckv_status ckv_dag_load(ckv_dag *dag, uint32_t end, bool verify);
/* Changes from this number on, and those that were attached late, are to be absorbed (again). */
CKV_NODISCARD ckv_status ckv_dag_stage_from(ckv_dag *dag, uint32_t from);
/* The body of a change: out gets it appended. CKV_ENOENT: it is not here. */
CKV_NODISCARD ckv_status ckv_dag_body(ckv_dag *dag, uint32_t change, ckv_buf *out);
/* Is this the header of the change, byte for byte? */
bool ckv_dag_is_header(const ckv_dag *dag, uint32_t change, const uint8_t *bytes, size_t n_bytes);
/* Is this a body that can be absorbed? CKV_ECORRUPT: no. */
CKV_NODISCARD ckv_status ckv_dag_is_body(const ckv_dag *dag, const uint8_t *body, size_t n_bytes,
                                         uint32_t n_ops);
/* May this be the message of one? NULL: it has none. */
bool ckv_dag_is_message(const uint8_t *text, size_t n_bytes);
/* Rows of what is staged, inside a transaction; and when that was committed. */
CKV_NODISCARD ckv_status ckv_dag_store(ckv_dag *dag);
void ckv_dag_stored(ckv_dag *dag);

/* sheaves.c: changes that have no row of their own. A walk goes over those of a DAG, in order, from a number on. */
typedef struct ckv_sheaf_walk {
    ckv_dag *dag;
    ckv_stmt *rows; /* owned */
    ckv_sheaf sheaf;
    size_t at;       /* the item that comes next */
    int64_t row;     /* of the sheaf */
    uint32_t number; /* of the change that comes next; CKV_NO_CHANGE: none */
    bool is_damaged; /* and it cannot be read, nor can the rest of its sheaf */
} ckv_sheaf_walk;
CKV_NODISCARD ckv_status ckv_sheaf_walk_begin(ckv_sheaf_walk *w, ckv_dag *dag, uint32_t from);
/* Past the change that came next, which is in the graph by now. CKV_ECORRUPT: it ends a sheaf that was made of others. */
CKV_NODISCARD ckv_status ckv_sheaf_walk_on(ckv_sheaf_walk *w);
void ckv_sheaf_walk_end(ckv_sheaf_walk *w);
/* The header of the item, whose ancestors are in the graph; at most CKV_HEADER_MAX_BYTES. */
size_t ckv_sheaf_header(const ckv_dag *dag, const ckv_sheaf *s, const ckv_sheaf_item *item,
                        uint8_t *out);
/* The header of a change that is packed: in d->header. */
CKV_NODISCARD ckv_status ckv_dag_packed_header(ckv_dag *dag, uint32_t change, size_t *n_bytes);
/* Those that are marked GOING, out of their rows, inside a transaction; and when that was committed. What is not needed any more of their signatures goes. */
CKV_NODISCARD ckv_status ckv_dag_pack(ckv_dag *dag);
void ckv_dag_packed(ckv_dag *dag);
/* Takes the marks back, if it was not. */
void ckv_dag_unmark(ckv_dag *dag);
/* Bodies that were dropped as dead may be alive after all: they are claimed from then on, and asked for. Inside a transaction; and when that was committed. */
CKV_NODISCARD ckv_status ckv_dag_claim(ckv_dag *dag);
void ckv_dag_claimed(ckv_dag *dag);
/* Inside a transaction: changes from this number on stand in no sheaf. The others are in the graph, or there are none. */
CKV_NODISCARD ckv_status ckv_dag_cut_sheaves(ckv_dag *dag, uint32_t from);
/* Says of each sheaf that is not sound which row it is. */
CKV_NODISCARD ckv_status ckv_dag_check_sheaves(ckv_dag *dag,
                                               void (*say)(void *ctx, const char *line), void *ctx);

/* join.c */
CKV_NODISCARD ckv_status ckv_ds_join(void *d, ckv_entry_bytes a, ckv_entry_bytes b, ckv_buf *out);
/* Records of an entry in d->recs; CKV_ECORRUPT. */
CKV_NODISCARD ckv_status ckv_ds_recs(ckv_datastore *d, ckv_entry_bytes entry);
/* Appends the value of a PUT, out of its body. CKV_ENOENT: it is not there. */
CKV_NODISCARD ckv_status ckv_ds_value_of_op(ckv_datastore *d, const ckv_rec *rec, ckv_buf *out);
/* Does a name among d->recs supersede this one? */
bool ckv_ds_is_named(const ckv_datastore *d, const ckv_rec *rec);
/* < 0: a comes before b in the total order (clock, id, index), of any two DAGs. */
int ckv_ds_order(const ckv_datastore *d, const ckv_rec *a, const ckv_rec *b);
/* The shown record of d->recs, NULL: absent. */
const ckv_rec *ckv_ds_winner(const ckv_datastore *d);

/* absorb.c */
/* Appends the records of one operation, none if it has no effect; value_at: where in the body its value begins. */
CKV_NODISCARD ckv_status ckv_ds_write_recs(ckv_datastore *d, ckv_buf *out, uint32_t dag,
                                           uint32_t change, uint32_t index, const ckv_kv_op *op,
                                           size_t value_at);
void ckv_ds_seed(ckv_datastore *d, ckv_doc *doc); /* when it is seeded: in dag.c */
CKV_NODISCARD ckv_status ckv_ds_absorb(ckv_datastore *d);
/* Room for one event of so many bytes of key, old and new value; then telling it cannot fail. Nothing is told if old and new are equal. None of them lies in event_bytes. */
CKV_NODISCARD ckv_status ckv_ds_tell_room(ckv_datastore *d, size_t n_bytes);
void ckv_ds_tell(ckv_datastore *d, ckv_store_key key, ckv_value_bytes old, ckv_value_bytes now,
                 const ckv_id32 *author, bool is_local);
CKV_NODISCARD ckv_status ckv_ds_flush(ckv_datastore *d);
/* Before a flush or rewrite: what the runs stand for from then on. */
CKV_NODISCARD ckv_status ckv_ds_stand_for(ckv_datastore *d);
CKV_NODISCARD ckv_status ckv_ds_stamp(const ckv_datastore *d, ckv_id32 *out);
/* Inside a transaction: how far the runs reach; and when it was committed. */
CKV_NODISCARD ckv_status ckv_ds_note_indexed(ckv_datastore *d);
void ckv_ds_indexed(ckv_datastore *d);

/* read.c */
/* The value of a PUT, in d->value if it is elsewhere. */
CKV_NODISCARD ckv_status ckv_ds_value(ckv_datastore *d, const ckv_rec *rec, ckv_value_bytes *out);
/* What the indexes show of a key, without the open change. CKV_ENOENT. */
CKV_NODISCARD ckv_status ckv_ds_shown(ckv_datastore *d, ckv_store_key key, ckv_value_bytes *out);

/* write.c */
/* Restates the operation `index` of a change of another lane of ours on a counter, in a batch. */
CKV_NODISCARD ckv_status ckv_ds_batch_part(ckv_batch *b, uint32_t dag, ckv_store_key name,
                                           const ckv_id32 *change, uint32_t index, ckv_i128 total);

/* count.c */
/* An operation on a counter was added to the index, of a change of this DAG: what is kept of its total goes, or goes along. */
void ckv_ds_counted(ckv_datastore *d, const ckv_dag *dag, uint32_t change, bool is_local,
                    const ckv_kv_op *op);
/* The sum over lanes of the counter whose records are in d->recs. */
CKV_NODISCARD ckv_status ckv_ds_sum(ckv_datastore *d, ckv_i128 *total);
/* The lane's running total of a counter in the DAG, as it is in the index. */
CKV_NODISCARD ckv_status ckv_ds_lane_total(ckv_datastore *d, ckv_dag *dag, uint32_t lane,
                                           ckv_store_key name, ckv_i128 *total);

/* salvage.c */
CKV_NODISCARD ckv_status ckv_ds_drop_rest(ckv_datastore *d, ckv_dag *dag);
CKV_NODISCARD ckv_status ckv_ds_drop_bodies(ckv_datastore *d, ckv_dag *dag, bool *any);
CKV_NODISCARD ckv_status ckv_ds_doubt(ckv_datastore *d);

/* upkeep.c */
CKV_NODISCARD ckv_status ckv_ds_resume_repair(ckv_datastore *d);

/* datastore.c: notes what went wrong where, and returns CKV_ECORRUPT */
CKV_NODISCARD ckv_status ckv_ds_damaged(ckv_datastore *d, const char *table, int64_t row,
                                        const char *what);
/* Notes that nothing goes into this DAG any more; CKV_ESTALE. */
CKV_NODISCARD ckv_status ckv_ds_purged(ckv_datastore *d, const ckv_dag *dag);
/* A status of the file: remembers its words. */
CKV_NODISCARD ckv_status ckv_ds_file(ckv_datastore *d, ckv_status s);

#endif
