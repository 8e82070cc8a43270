/* Messages of stores, sound and sealed, of 1 MiB that nobody honest would write: what each costs in memory and time (-v prints it). */
#include "gauge.h"
#include "shop.h"

#include <time.h>

#include "base/hash64.h"
#include "kv/message.h"
#include "sync/store_session.h"

#define BOMB_BYTES ((size_t)1 << 20)
#define MOST_BYTES ((size_t)256 << 20)
/* Under sanitizers, on a slow machine: what grows with the square takes minutes. */
#define MOST_MS 10000

static bool is_loud;

/* ---- what it costs */

static long ms_now(void) /* of this process */
{
    return (long)((double)clock() * 1000 / CLOCKS_PER_SEC);
}

static void report_cost(const char *what, long ms, const gauge *g)
{
    if (is_loud) printf("%-40s %6ld ms %8zu KiB\n", what, ms, g->peak >> 10);
    T_CHECK(ms < MOST_MS);
    T_CHECK(g->peak < MOST_BYTES);
}

/* ---- bombs */

/* The id of an incarnation of "a": they ascend with n. */
static void put_id(ckv_buf *out, uint32_t n)
{
    const uint8_t id[10] = {
        'a',       '/', 0, 0, 0, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
        (uint8_t)n};
    ckv_buf_blob(out, id, sizeof id);
}

/* A row of key "" and value None: 4 bytes for a gap of 0. */
static void put_row(ckv_buf *out, uint64_t gap)
{
    ckv_buf_varint(out, gap);
    ckv_buf_bytes(out, "\0\0", 3);
}

/* A part of a diff: all of (from, from + n_rows] is alive. */
static void put_part(ckv_buf *out, uint32_t peer, uint64_t from, uint64_t n_rows)
{
    put_id(out, peer);
    ckv_buf_varint(out, from);
    ckv_buf_varint(out, n_rows);
    ckv_buf_u8(out, 0);
    ckv_buf_varint(out, n_rows);
    for (uint64_t i = 0; i < n_rows; i++) put_row(out, 0);
}

/* The first (from, to] of an incarnation are all dead. */
static void put_deaths(ckv_buf *out, uint32_t peer, uint64_t to)
{
    put_id(out, peer);
    ckv_buf_varint(out, 0);
    ckv_buf_varint(out, to);
    ckv_buf_bytes(out, "\0\0", 2);
}

static void integrate(ckv_store *s, const ckv_buf *diff)
{
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_store_allocator(s));
    T_EQ(ckv_store_integrate(s, shop_bytes(diff), CKV_NO_DRIFT, &report, NULL), CKV_OK);
    ckv_store_report_fini(&report);
}

/* ---- many values of one key */

#define N_CHAIN                                                                                    \
    ((uint32_t)(BOMB_BYTES / 4 / 2)) /* of each of two incarnations, one below the other */

static void fill_chain(ckv_store *s)
{
    ckv_buf diff = ckv_buf_init(ckv_alloc_libc);
    size_t begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
    put_deaths(&diff, 1, N_CHAIN);
    ckv_message_end(&diff, begin);
    integrate(s, &diff);
    ckv_buf_clear(&diff);
    begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
    put_part(&diff, 1, N_CHAIN, N_CHAIN);
    put_part(&diff, 2, 0, N_CHAIN);
    ckv_message_end(&diff, begin);
    integrate(s, &diff);
    ckv_buf_fini(&diff);
}

static void many_values_come(void)
{
    gauge g = {0};
    ckv_store *s;
    T_EQ(shop_new(&s, (ckv_alloc){gauge_fn, &g}, "x"), CKV_OK);
    const long start = ms_now();
    fill_chain(s);
    report_cost("many values of a key come", ms_now() - start, &g);
    T_EQ(ckv_store_stats_of(s).n_values, 2 * N_CHAIN);
    T_EQ(ckv_store_len(s, false), 1);
    shop_check(s);
    ckv_store_free(s);
    T_EQ(g.live, 0);
}

static void many_values_go(void)
{
    gauge g = {0};
    ckv_store *s;
    T_EQ(shop_new(&s, (ckv_alloc){gauge_fn, &g}, "x"), CKV_OK);
    fill_chain(s);
    ckv_buf diff = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
    put_deaths(&diff, 1, 2 * N_CHAIN - 1);
    put_deaths(&diff, 2, N_CHAIN);
    ckv_message_end(&diff, begin);
    const long start = ms_now();
    integrate(s, &diff);
    report_cost("they go", ms_now() - start, &g);
    T_EQ(ckv_store_stats_of(s).n_values, 1);
    shop_check(s);
    ckv_buf_fini(&diff);
    ckv_store_free(s);
}

static void many_values_are_superseded_by_an_own_put(void)
{
    gauge g = {0};
    ckv_store *s;
    T_EQ(shop_new(&s, (ckv_alloc){gauge_fn, &g}, "x"), CKV_OK);
    fill_chain(s);
    ckv_buf op = ckv_buf_init(ckv_alloc_libc);
    const long start = ms_now();
    T_EQ(ckv_store_put(s, shop_key(""), shop_int(1), shop_ms, &op), CKV_OK);
    report_cost("an own put supersedes them", ms_now() - start, &g);
    T_EQ(ckv_store_stats_of(s).n_values, 1);
    T_CHECK(op.len < 100);
    shop_check(s);
    ckv_buf_fini(&op);
    ckv_store_free(s);
}

/* Long chains that get out of order, and memory that fails then: all is as it was. */
static ckv_status take_long_chain(ckv_alloc a)
{
    ckv_store *s;
    CKV_TRY(shop_new(&s, a, "x"));
    ckv_buf diff = ckv_buf_init(ckv_alloc_libc);
    ckv_store_report report;
    ckv_store_report_init(&report, a);
    for (uint32_t peer = 9; peer > 6; peer--) { /* each one below those before */
        ckv_buf_clear(&diff);
        const size_t begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
        put_part(&diff, peer, 0, 50);
        ckv_message_end(&diff, begin);
        const uint64_t n_before = ckv_store_stats_of(s).n_values;
        const ckv_status status =
            ckv_store_integrate(s, shop_bytes(&diff), CKV_NO_DRIFT, &report, NULL);
        shop_check(s);
        T_EQ(ckv_store_stats_of(s).n_values, n_before + (status == CKV_OK ? 50 : 0));
        if (status == CKV_OK) continue;
        ckv_buf_fini(&diff);
        ckv_store_report_fini(&report);
        ckv_store_free(s);
        return status;
    }
    ckv_buf_fini(&diff);
    ckv_store_report_fini(&report);
    ckv_store_free(s);
    return CKV_OK;
}

static void long_chains_are_taken_back(void) { T_CHECK(t_oom(take_long_chain) > 100); }

/* ---- many who wrote */

static void many_incarnations(void)
{
    const uint32_t n = (uint32_t)(BOMB_BYTES / 24);
    gauge g = {0};
    ckv_store *s;
    T_EQ(shop_new(&s, (ckv_alloc){gauge_fn, &g}, "x"), CKV_OK);
    const long start = ms_now();
    for (uint32_t half = 2; half-- > 0;) { /* the second half before the first */
        ckv_buf diff = ckv_buf_init(ckv_alloc_libc);
        const size_t begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
        for (uint32_t i = 0; i < n; i++) { /* each one's only dot is below all before it */
            const uint64_t hlc = 2 * n - half * n - i;
            put_id(&diff, half * n + i);
            ckv_buf_u8(&diff, 0);
            ckv_buf_varint(&diff, hlc);
            ckv_buf_bytes(&diff, "\0\1", 2);
            put_row(&diff, hlc - 1);
        }
        ckv_message_end(&diff, begin);
        integrate(s, &diff);
        ckv_buf_fini(&diff);
    }
    report_cost("many incarnations, twice", ms_now() - start, &g);
    T_EQ(ckv_store_stats_of(s).n_values, 2 * n);
    shop_check(s);
    ckv_store_free(s);
}

/* ---- many that wait */

/* An op of somebody nobody knows, which builds on another that nobody has. */
static ckv_buf waiting_op(uint32_t peer, uint64_t prev)
{
    ckv_buf op = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&op, CKV_MESSAGE_OP);
    ckv_buf_u8(&op, 1);
    put_id(&op, peer);
    ckv_buf_varint(&op, prev);
    put_row(&op, 0);
    ckv_message_end(&op, begin);
    return op;
}

static void many_ops_wait(void)
{
    const uint32_t n = 40000;
    gauge g = {0};
    ckv_store *s;
    T_EQ(shop_new(&s, (ckv_alloc){gauge_fn, &g}, "x"), CKV_OK);
    ckv_buf *ops = calloc(n, sizeof *ops);
    ckv_bytes *messages = calloc(n, sizeof *messages);
    for (uint32_t i = 0; i < n; i++) {
        ops[i] = waiting_op(i / 500, 1 + i % 500);
        messages[i] = shop_bytes(&ops[i]);
    }
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    long start = ms_now();
    T_EQ(ckv_store_take_ops(s, messages, n, CKV_NO_DRIFT, &report, NULL), CKV_OK);
    report_cost("many ops wait", ms_now() - start, &g);
    ckv_store_report_fini(&report);
    ckv_buf diff = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
    for (uint32_t i = 0; i < n / 500; i++) put_part(&diff, i, 0, 1);
    ckv_message_end(&diff, begin);
    start = ms_now();
    integrate(s, &diff);
    report_cost("they are settled", ms_now() - start, &g);
    T_EQ(ckv_store_stats_of(s).n_waiting, 0);
    shop_check(s);
    for (uint32_t i = 0; i < n; i++) ckv_buf_fini(&ops[i]);
    free(ops);
    free(messages);
    ckv_buf_fini(&diff);
    ckv_store_free(s);
}

/* ---- many op sets into one */

static void many_opsets_are_merged(void)
{
    const uint32_t n = 10000;
    ckv_buf *sets = calloc(n, sizeof *sets);
    ckv_bytes *messages = calloc(n, sizeof *messages);
    for (uint32_t i = 0; i < n; i++) {
        sets[i] = ckv_buf_init(ckv_alloc_libc);
        const size_t begin = ckv_message_begin(&sets[i], 'S');
        put_id(&sets[i], 1);
        ckv_buf_u8(&sets[i], 0);
        ckv_runs_out w = ckv_runs_out_init(&sets[i]);
        for (uint32_t k = 0; k < 10; k++)
            ckv_runs_out_add(&w, 1 + 2 * (10 * (uint64_t)i + k), 2 + 2 * (10 * (uint64_t)i + k));
        ckv_runs_out_end(&w);
        ckv_buf_u8(&sets[i], 0);
        ckv_message_end(&sets[i], begin);
        messages[i] = shop_bytes(&sets[i]);
    }
    gauge g = {0};
    ckv_buf out = ckv_buf_init((ckv_alloc){gauge_fn, &g});
    const long start = ms_now();
    T_EQ(ckv_opset_merge(messages, n, &out, NULL), CKV_OK);
    report_cost("many op sets are merged", ms_now() - start, &g);
    ckv_buf_fini(&out);
    for (uint32_t i = 0; i < n; i++) ckv_buf_fini(&sets[i]);
    free(sets);
    free(messages);
}

static ckv_buf scattered(uint64_t first, uint64_t n)
{
    ckv_buf set = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&set, CKV_MESSAGE_OPSET);
    put_id(&set, 1);
    ckv_buf_u8(&set, 0);
    ckv_runs_out w = ckv_runs_out_init(&set);
    for (uint64_t k = 0; k < n; k++) ckv_runs_out_add(&w, first + 3 * k, first + 1 + 3 * k);
    ckv_runs_out_end(&w);
    ckv_buf_u8(&set, 0);
    ckv_message_end(&set, begin);
    return set;
}

static ckv_status merge_two(ckv_alloc a)
{
    ckv_buf sets[2] = {scattered(1, 200), scattered(2, 100)}, out = ckv_buf_init(a);
    const ckv_bytes both[2] = {shop_bytes(&sets[0]), shop_bytes(&sets[1])};
    const ckv_status status = ckv_opset_merge(both, 2, &out, NULL);
    for (size_t i = 0; i < 2; i++) ckv_buf_fini(&sets[i]);
    ckv_buf_fini(&out);
    return status;
}

static void a_merge_without_memory_leaks_nothing(void) { T_CHECK(t_oom(merge_two) > 5); }

/* A set of every second number: a bit each. */
static void a_merge_of_bitmaps(void)
{
    ckv_buf set = ckv_buf_init(ckv_alloc_libc);
    const size_t begin = ckv_message_begin(&set, 'S');
    put_id(&set, 1);
    ckv_buf_u8(&set, 0);
    ckv_runs_out w = ckv_runs_out_init(&set);
    for (uint64_t k = 0; k < 4 * BOMB_BYTES; k++) ckv_runs_out_add(&w, 1 + 2 * k, 2 + 2 * k);
    ckv_runs_out_end(&w);
    ckv_buf_u8(&set, 0);
    ckv_message_end(&set, begin);
    const ckv_bytes both[2] = {shop_bytes(&set), shop_bytes(&set)};
    gauge g = {0};
    ckv_buf out = ckv_buf_init((ckv_alloc){gauge_fn, &g});
    const long start = ms_now();
    T_EQ(ckv_opset_merge(both, 2, &out, NULL), CKV_OK);
    report_cost("op sets of bitmaps are merged", ms_now() - start, &g);
    ckv_buf_fini(&out);
    ckv_buf_fini(&set);
}

/* ---- many pieces in a message of a session */

static void many_diffs_in_a_message(void)
{
    gauge g = {0};
    ckv_store *s;
    T_EQ(shop_new(&s, (ckv_alloc){gauge_fn, &g}, "x"), CKV_OK);
    ckv_buf request = ckv_buf_init(ckv_alloc_libc), diff = ckv_buf_init(ckv_alloc_libc);
    size_t begin = ckv_message_begin(&request, CKV_MESSAGE_REQUEST);
    put_id(&request, 1);
    ckv_buf_varint(&request, 8 * BOMB_BYTES);
    ckv_runs_out w = ckv_runs_out_init(&request);
    for (uint64_t k = 0; k < BOMB_BYTES; k++) ckv_runs_out_add(&w, 1 + 2 * k, 2 + 2 * k);
    ckv_runs_out_end(&w);
    ckv_message_end(&request, begin);
    begin = ckv_message_begin(&diff, CKV_MESSAGE_DIFF);
    put_part(&diff, 2, 0, 1);
    ckv_message_end(&diff, begin);
    ckv_buf message = ckv_buf_init(ckv_alloc_libc);
    begin = ckv_message_begin(&message, 'T');
    ckv_buf_bytes(&message, "\0\1", 3); /* flags, number, heard */
    for (int i = 0; i < 16; i++) ckv_buf_u8(&message, 7);
    ckv_buf_bytes(&message, "\1\1", 2);
    ckv_buf_blob(&message, request.ptr, request.len);
    while (message.len < BOMB_BYTES - 64) {
        ckv_buf_bytes(&message, "\2\1", 2);
        ckv_buf_blob(&message, diff.ptr, diff.len);
    }
    ckv_message_end(&message, begin);
    ckv_store_session *session;
    ckv_store_report report;
    ckv_store_report_init(&report, ckv_alloc_libc);
    T_EQ(ckv_store_session_new(&session, s), CKV_OK);
    const long start = ms_now();
    T_EQ(ckv_store_session_take(session, shop_bytes(&message), CKV_NO_DRIFT, &report, NULL),
         CKV_ESYNC);
    report_cost("many diffs in a message", ms_now() - start, &g);
    ckv_store_session_free(session);
    ckv_store_report_fini(&report);
    ckv_buf_fini(&message);
    ckv_buf_fini(&diff);
    ckv_buf_fini(&request);
    ckv_store_free(s);
}

int main(int argc, char **argv)
{
    setbuf(stdout, NULL);
    is_loud = argc > 1 && strcmp(argv[1], "-v") == 0;
    T_RUN(many_values_come);
    T_RUN(many_values_go);
    T_RUN(many_values_are_superseded_by_an_own_put);
    T_RUN(long_chains_are_taken_back);
    T_RUN(many_incarnations);
    T_RUN(many_ops_wait);
    T_RUN(many_opsets_are_merged);
    T_RUN(a_merge_without_memory_leaks_nothing);
    T_RUN(a_merge_of_bitmaps);
    T_RUN(many_diffs_in_a_message);
    return t_done();
}
