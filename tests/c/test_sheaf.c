/* Sheaves: what was put in comes out, tests/golden/sheaf.txt is read as the oracle wrote it, and bytes that are no sheaf are refused. */
#include "t.h"

#include <inttypes.h>

#include "base/hash64.h"
#include "datastore/sheaf.h"

enum { LINE = 1 << 20 };

static void mend(uint8_t *data, size_t n)
{
    const uint64_t check = ckv_hash64(data + 8, n - 8);
    for (int i = 0; i < 8; i++) data[i] = (uint8_t)(check >> 8 * i);
}

/* ---- the golden file */

static size_t from_hex(uint8_t *out, const char *text)
{
    size_t n = 0;
    unsigned v;
    for (; sscanf(text + 2 * n, "%2x", &v) == 1; n++) {
        out[n] = (uint8_t)v;
        if (!text[2 * n + 2] || text[2 * n + 2] == ' ' || text[2 * n + 2] == '\n') return n + 1;
    }
    return n;
}

static void hex(char **to, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) *to += sprintf(*to, "%02x", ((const uint8_t *)bytes)[i]);
}

static void describe(char *to, const ckv_sheaf *s)
{
    hex(&to, &s->ids, sizeof s->ids);
    for (size_t i = 0; i < s->items.len; i++) {
        const ckv_sheaf_item *x = &s->items.ptr[i];
        to += sprintf(to, " %u:%u:%d:", x->number, x->lane, (int)x->state);
        to += x->prev == CKV_NO_CHANGE ? sprintf(to, "-:") : sprintf(to, "%u:", x->prev);
        for (uint32_t k = 0; k < x->n_parents; k++)
            to += sprintf(to, ",%u", s->parents.ptr[x->parents + k]);
        to += sprintf(to, ":%u:%u:", x->n_ops, x->body_len);
        hex(&to, s->bytes.ptr + x->tail, ckv_sheaf_tail_bytes(x->body_len));
        to += sprintf(to, ":%" PRId64 ":%s", x->time, x->has_message ? "=" : "-");
        hex(&to, s->bytes.ptr + x->message, x->message_bytes);
        to += sprintf(to, ":");
        if (x->is_signed) hex(&to, s->bytes.ptr + x->signature, CKV_SIGNATURE_BYTES);
    }
}

static void the_oracle_says_the_same(void)
{
    static char line[LINE], said[LINE];
    static uint8_t data[LINE];
    FILE *file = fopen("tests/golden/sheaf.txt", "r");
    T_VALID(file != NULL, "tests/golden/sheaf.txt: run me from the root of the repository");
    int n_good = 0, n_bad = 0;
    while (fgets(line, sizeof line, file)) {
        char kind[8];
        uint32_t first;
        int at = 0;
        T_EQ(sscanf(line, "%7s %" SCNu32 " %n", kind, &first, &at), 2);
        const size_t n = from_hex(data, line + at);
        uint8_t *exact = malloc(n + !n); /* so that reading past its end is seen */
        memcpy(exact, data, n);
        ckv_sheaf s = ckv_sheaf_init(ckv_alloc_libc);
        const ckv_status status = ckv_sheaf_read(&s, first, exact, n);
        if (strcmp(kind, "bad") == 0) {
            T_EQ(status, CKV_ECORRUPT);
            n_bad++;
        } else {
            T_EQ(status, CKV_OK);
            line[strcspn(line, "\n")] = 0;
            describe(said, &s);
            T_CHECK(strcmp(said, strchr(line + at, ' ') + 1) == 0);
            ckv_buf again = ckv_buf_init(ckv_alloc_libc);
            T_EQ(ckv_sheaf_write(&s, &again), CKV_OK);
            ckv_sheaf other = ckv_sheaf_init(ckv_alloc_libc);
            T_EQ(ckv_sheaf_read(&other, first, again.ptr, again.len), CKV_OK);
            describe(line, &other);
            T_CHECK(strcmp(said, line) == 0);
            ckv_sheaf_fini(&other);
            ckv_buf_fini(&again);
            n_good++;
        }
        ckv_sheaf_fini(&s);
        free(exact);
    }
    T_EQ(fclose(file), 0);
    T_CHECK(n_good >= 16 && n_bad > 20);
}

/* ---- sheaves of one's own */

static ckv_status fill(ckv_sheaf *s, uint32_t first, size_t n)
{
    uint8_t bytes[64];
    uint32_t number = first;
    for (size_t i = 0; i < n && !ckv_sheaf_is_full(s); i++) {
        const uint32_t parents[] = {number / 2, number - 1};
        ckv_signature signature;
        for (size_t k = 0; k < sizeof bytes; k++) bytes[k] = (uint8_t)t_rand();
        memset(&signature, (int)i, sizeof signature);
        const bool small = t_one_in(4);
        const ckv_sheaf_item item = {.number = number,
                                     .lane = (uint32_t)t_below(3),
                                     .prev = t_one_in(5) ? CKV_NO_CHANGE : number - 1,
                                     .n_ops = 1,
                                     .body_len = small ? (uint32_t)t_below(49) : 100,
                                     .state = small         ? CKV_BODY_HERE
                                              : t_one_in(2) ? CKV_BODY_CLAIMED
                                                            : CKV_BODY_DROPPED,
                                     .has_message = t_one_in(3),
                                     .n_parents = (uint32_t)t_below(3),
                                     .time = (int64_t)t_rand()};
        ckv_sheaf_item in = item;
        if (in.has_message) in.message_bytes = 5;
        CKV_TRY(ckv_sheaf_put(s, &in, parents, "hello", bytes, t_one_in(3) ? &signature : NULL));
        number += 1 + (uint32_t)t_below(3);
    }
    return CKV_OK;
}

static void same(const ckv_sheaf *a, const ckv_sheaf *b)
{
    char *x = malloc(4 * LINE), *y = malloc(4 * LINE);
    T_CHECK(x && y);
    describe(x, a);
    describe(y, b);
    T_CHECK(strcmp(x, y) == 0);
    free(x);
    free(y);
}

static void what_was_put_in_comes_out(void)
{
    t_seed(1);
    for (int round = 0; round < 30; round++) {
        ckv_sheaf a = ckv_sheaf_init(ckv_alloc_libc), b = ckv_sheaf_init(ckv_alloc_libc),
                  c = ckv_sheaf_init(ckv_alloc_libc);
        ckv_buf data = ckv_buf_init(ckv_alloc_libc);
        const uint32_t first = 1 + (uint32_t)t_below(1000);
        T_EQ(fill(&a, first, round < 20 ? 1 + t_below(40) : 3000), CKV_OK);
        memset(&a.ids, round, sizeof a.ids);
        T_EQ(ckv_sheaf_write(&a, &data), CKV_OK);
        T_EQ(ckv_sheaf_read(&b, first, data.ptr, data.len), CKV_OK);
        same(&a, &b);
        for (size_t i = 0; i < b.items.len; i++)
            T_EQ(ckv_sheaf_copy(&c, &b, &b.items.ptr[i]), CKV_OK);
        c.ids = b.ids;
        same(&a, &c);
        uint32_t next = 0;
        for (size_t i = 0; i < b.items.len; i++) {
            const uint32_t number = b.items.ptr[i].number;
            for (; next < number; next++) T_CHECK(!ckv_sheaf_find(&b, next));
            T_CHECK(ckv_sheaf_find(&b, next++) == &b.items.ptr[i]);
        }
        T_CHECK(!ckv_sheaf_find(&b, next));
        T_CHECK(b.items.len <= CKV_SHEAF_CHANGES);
        if (round >= 20) T_CHECK(ckv_sheaf_is_full(&a));
        ckv_buf_fini(&data);
        ckv_sheaf_fini(&a);
        ckv_sheaf_fini(&b);
        ckv_sheaf_fini(&c);
    }
}

static void every_flip_is_noticed_and_none_is_believed(void)
{
    t_seed(2);
    ckv_sheaf a = ckv_sheaf_init(ckv_alloc_libc), b = ckv_sheaf_init(ckv_alloc_libc);
    ckv_buf data = ckv_buf_init(ckv_alloc_libc);
    T_EQ(fill(&a, 7, 30), CKV_OK);
    T_EQ(ckv_sheaf_write(&a, &data), CKV_OK);
    for (size_t bit = 0; bit < 8 * data.len; bit++) {
        data.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_EQ(ckv_sheaf_read(&b, 7, data.ptr, data.len), CKV_ECORRUPT);
        if (bit >= 64) { /* and by somebody who mends the checksum */
            mend(data.ptr, data.len);
            const ckv_status s = ckv_sheaf_read(&b, 7, data.ptr, data.len);
            T_CHECK(s == CKV_OK || s == CKV_ECORRUPT);
            data.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            mend(data.ptr, data.len);
            continue;
        }
        data.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < data.len; n++) {
        uint8_t *cut = malloc(n + !n);
        memcpy(cut, data.ptr, n);
        if (n >= 8) mend(cut, n);
        T_EQ(ckv_sheaf_read(&b, 7, cut, n), CKV_ECORRUPT);
        free(cut);
    }
    T_EQ(ckv_sheaf_read(&b, 7, data.ptr, data.len), CKV_OK);
    same(&a, &b);
    ckv_buf_fini(&data);
    ckv_sheaf_fini(&a);
    ckv_sheaf_fini(&b);
}

static ckv_status write_and_read(ckv_alloc alloc)
{
    t_seed(3);
    ckv_sheaf a = ckv_sheaf_init(alloc), b = ckv_sheaf_init(alloc);
    ckv_buf data = ckv_buf_init(alloc);
    ckv_status s = fill(&a, 7, 100);
    if (s == CKV_OK) s = ckv_sheaf_write(&a, &data);
    if (s == CKV_OK) s = ckv_sheaf_read(&b, 7, data.ptr, data.len);
    if (s == CKV_OK) same(&a, &b);
    ckv_buf_fini(&data);
    ckv_sheaf_fini(&a);
    ckv_sheaf_fini(&b);
    return s;
}

static void no_memory_is_said(void) { T_CHECK(t_oom(write_and_read) > 10); }

int main(void)
{
    T_RUN(the_oracle_says_the_same);
    T_RUN(what_was_put_in_comes_out);
    T_RUN(every_flip_is_noticed_and_none_is_believed);
    T_RUN(no_memory_is_said);
    return t_done();
}
