/* record.h -- the record of one object: its rows in table `record`, of which a document or a store consists, in order.
 *
 *     id  object  kind          data
 *     7   3       2 checkpoint  seal | a bundle of everything up to here
 *     8   3       5 head        so many rows, the sum of what they are
 *     9   3       1 bundle      seal | a bundle of what came then
 *
 *     ckv_record_begin .. ckv_record_put ... ckv_record_end        one transaction with the head
 *
 * Whoever makes an object gives it a head of 16 zero bytes in the same transaction; a record without a head has lost it.
 *
 * A row proves itself: a bundle and a save have checksums, changes have signatures. What a row cannot prove is that no other one is missing, and so
 * the head counts them. The seal says that somebody with the file's key wrote the row, so that signatures need not be verified again.
 * docs/file.md says what the rows hold.
 *
 * Inside somebody else's transaction begin and end only write: its owner commits, and if that fails must forget the object.
 *
 *     I1  between transactions the head is that of the rows that are there
 */
#ifndef CKV_DISK_RECORD_H
#define CKV_DISK_RECORD_H

#include "base/buf.h"
#include "crypto/digest.h"
#include "disk/file.h"

typedef enum ckv_record_kind {
    CKV_RECORD_BUNDLE = 1,
    CKV_RECORD_CHECKPOINT = 2, /* replaces all rows before it */
    CKV_RECORD_SAVE = 3,       /* likewise */
    CKV_RECORD_DIFF = 4,
    CKV_RECORD_HEAD = 5,
} ckv_record_kind;

typedef struct
    ckv_record_sum { /* what the head says, and how long the rows behind the last checkpoint or save are */
    int64_t head, last; /* ids of the head and of the newest row; 0: none */
    uint64_t n_rows, sum;
    uint64_t base_bytes, tail_rows, tail_bytes;
} ckv_record_sum;

typedef struct ckv_record {
    ckv_file *file; /* borrowed */
    int64_t object;
    ckv_stmt *insert, *update, *clear; /* owned; NULL in a file that is only read */
    ckv_record_sum now, before;        /* before: the running transaction */
    bool ours;                         /* the running transaction is */
    bool distrusts;                    /* seals are not looked at */
} ckv_record;

/* Nothing is read yet. On failure there is nothing to close. */
CKV_NODISCARD ckv_status ckv_record_open(ckv_record *r, ckv_file *f, int64_t object);
void ckv_record_close(ckv_record *r);

typedef struct ckv_record_row {
    int64_t id;
    ckv_record_kind kind;
    const uint8_t *data; /* behind the seal */
    size_t n_bytes;
    bool is_sealed; /* the seal holds */
} ckv_record_row;

/* Takes a row in. An error that the row is to blame for: CKV_ECORRUPT, and words in `why`. */
typedef ckv_status ckv_record_take(void *ctx, const ckv_record_row *row, const char **why);

typedef struct ckv_record_damage {
    ckv_alloc a;
    bool salvage;  /* bad rows are skipped */
    ckv_buf lines; /* blobs: what is wrong, a line each */
} ckv_record_damage;

/* Every row, in order, from the first, or behind the last one that was read. CKV_ECORRUPT: a row is damaged or missing; without salvage that ends it. */
CKV_NODISCARD ckv_status ckv_record_read(ckv_record *r, ckv_record_take *take, void *ctx,
                                         ckv_record_damage *damage);

/* A line about damage, of a row or (0) of all; CKV_ECORRUPT unless it is to go on. */
CKV_NODISCARD ckv_status ckv_record_say(const ckv_record *r, ckv_record_damage *damage, int64_t id,
                                        const char *why);
/* Of a new object: CKV_EEXIST if there is more than the head. */
CKV_NODISCARD ckv_status ckv_record_is_empty(ckv_record *r);

CKV_NODISCARD ckv_status ckv_record_begin(ckv_record *r);
/* data: its first CKV_SEAL_BYTES are room for the seal. A checkpoint or save deletes what was there before. */
CKV_NODISCARD ckv_status ckv_record_put(ckv_record *r, ckv_record_kind kind, ckv_buf *data);
/* s: how it went; CKV_OK commits. Returns s, or why the commit failed. */
CKV_NODISCARD ckv_status ckv_record_end(ckv_record *r, ckv_status s);

/* Is it time for a checkpoint? at_close: rather sooner. */
bool ckv_record_is_long(const ckv_record *r, bool at_close);

#endif
