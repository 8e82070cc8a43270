/* plain.h -- nested values as bytes: the door between containers and a binding's own dicts and lists.
 *
 *     plain := tag(u8) ...
 *        0 None   1 False   2 True   3 int: zigzag   4 float: 8 bytes, little end first
 *        5 str: varint n, UTF-8      6 bytes: varint n, bytes
 *       16 Map: varint n, n times (key plain)       17 List: varint n, plain x n      18 Set: varint n, plain x n (scalars)
 *       19 Counter: 16 bytes, two's complement, little end first                      20 Text: varint n, UTF-8
 *     key := 0 varint n, UTF-8, the next key of this stream | k, the k-th key of this stream (from 1)
 *
 * Never stored, never sent.
 */
#ifndef CKV_DOC_PLAIN_H
#define CKV_DOC_PLAIN_H

#include "doc/map.h"

/* Appends a container with everything in it, now (at NULL) or at a version, whether it is there or was deleted. One call is one stream. */
CKV_NODISCARD ckv_status ckv_plain_write(ckv_doc *doc, const ckv_view *at, uint32_t container,
                                         ckv_buf *out);

/* Each makes containers as it needs, and all of it or nothing. made: the numbers of all containers made, in the order in which they begin in the
 * stream. CKV_ELIMIT: the open change is full, deeper than 256, a key over 4 KiB. CKV_ECORRUPT: not plain. */
CKV_NODISCARD ckv_status ckv_plain_set(ckv_doc *doc, uint32_t map, const char *key,
                                       size_t key_bytes, const uint8_t *plain, size_t n_bytes,
                                       ckv_buf *made /* of uint32_t */);
/* The same with a default container: to be called when the key is absent. What is in it are ordinary operations. */
CKV_NODISCARD ckv_status ckv_plain_set_default(ckv_doc *doc, uint32_t map, const char *key,
                                               size_t key_bytes, const uint8_t *plain,
                                               size_t n_bytes, ckv_buf *made);
/* plain: n values in a row. */
CKV_NODISCARD ckv_status ckv_plain_insert(ckv_doc *doc, uint32_t list, size_t pos,
                                          const uint8_t *plain, size_t n_bytes, size_t n,
                                          ckv_buf *made);
CKV_NODISCARD ckv_status ckv_plain_assign(ckv_doc *doc, uint32_t list, size_t pos,
                                          const uint8_t *plain, size_t n_bytes, ckv_buf *made);

#endif
