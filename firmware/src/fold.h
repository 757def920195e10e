/* Folding and moving sums for codes of NI_BITS = 1, 2 or 4 bits; used with lanes.h.
 *
 * Lane k of byte-lane word m of a weight word is code k * LANES + m. Sum word r < 2 * LANES of a weight word
 * holds code r in its low half and code r + 2 * LANES in its high half. */
#include "internal.h"
#include "work.h"

/* Widths of codes of which every layer's rows are whole blocks: the code for single words is then left out. */
#ifndef NI_WHOLE_BLOCKS
#define NI_WHOLE_BLOCKS 0
#endif

enum { LANES = 8 / NI_BITS, HALF = 2 * LANES };
#define BLOCK ((uint32_t)NI_BITS)

/* sums = 2^doublings * sums + start + rows of `add` (upwards to a zero) - rows of `subtract` (downwards to a
 * zero), where `start` repeats a byte four times. Rows are treated `words` words at a time, BLOCK or 1, which
 * start at base + entry. counts = doublings + 32 * number of such blocks. For RV32E rows.S has the same. */
#define NI_JOIN(bits, words) ni_rows_##bits##bit_##words
#define NI_ROWS_FUNCTION(bits, words) NI_JOIN(bits, words)
#if defined(NI_ASSEMBLY)
typedef void rows_function(const uint8_t *base, const uint16_t *add, const uint16_t *subtract, uint32_t start,
                           uint32_t *sums, uint32_t counts);
rows_function NI_ROWS_FUNCTION(NI_BITS, NI_BITS), NI_ROWS_FUNCTION(NI_BITS, 1);
#define rows_of_blocks NI_ROWS_FUNCTION(NI_BITS, NI_BITS)
#define rows_of_words NI_ROWS_FUNCTION(NI_BITS, 1)
#else
static inline void add_row(const uint32_t *row, uint32_t count, uint32_t *lanes, uint32_t sign) {
    const uint32_t mask = ~UINT32_C(0) / 255 * ((1 << NI_BITS) - 1);
    for (uint32_t j = 0; j < count; j++)
        for (uint32_t m = 0; m < LANES; m++)
            lanes[j * LANES + m] += (((row[j] >> (m * NI_BITS)) & mask) ^ sign) - sign;
}

static inline void rows(const uint8_t *base, const uint16_t *add, const uint16_t *subtract, uint32_t start,
                        uint32_t *sums, uint32_t counts, uint32_t words) {
    const uint32_t mask = UINT32_C(0x00ff00ff), doublings = counts & 31;
    for (uint32_t blocks = counts >> 5; blocks; blocks--, base += 4 * words, sums += HALF * words) {
        uint32_t lanes[BLOCK * LANES];
        for (uint32_t k = 0; k < words * LANES; k++) lanes[k] = start;
        for (const uint16_t *p = add; *p; p++) add_row((const uint32_t *)(base + *p), words, lanes, 0);
        for (const uint16_t *p = subtract; *p; p--)
            add_row((const uint32_t *)(base + *p), words, lanes, ~UINT32_C(0));
        for (uint32_t k = 0; k < words * LANES; k++) {
            uint32_t *sum = sums + k / LANES * HALF + k % LANES;
            sum[0] = (sum[0] << doublings) + (lanes[k] & mask);
            sum[LANES] = (sum[LANES] << doublings) + ((lanes[k] >> 8) & mask);
        }
    }
}
#define rows_of_blocks(...) rows(__VA_ARGS__, BLOCK)
#define rows_of_words(...) rows(__VA_ARGS__, 1)
#endif

static inline void fold(const ni_layer *layer, uint32_t start, uint32_t doublings) {
    const uint8_t *const base = (const uint8_t *)layer->weights - 4; /* entries are four more than offsets */
    const uint16_t *const add = ni_work.rows, *const subtract = ni_work.rows + NI_LIMIT;
    const uint32_t blocks = layer->stride / BLOCK, done = blocks * BLOCK;
    const uint32_t words = NI_WHOLE_BLOCKS & NI_BITS ? 0 : layer->stride % BLOCK;
    start |= start << 8;
    start |= start << 16;
    if (blocks) rows_of_blocks(base, add, subtract, start, ni_work.sums, doublings + (blocks << 5));
    if (words)
        rows_of_words(base + 4 * done, add, subtract, start, ni_work.sums + HALF * done, doublings + (words << 5));
}

#ifndef NI_NIBBLES
static inline void spill_pair(uint32_t *sum, int32_t *y, uint32_t both, uint32_t shift) {
    const int32_t pair = (int32_t)(*sum - both);
    *sum = 0;
    const int32_t low = (int16_t)pair;
    const int32_t high = (pair - low) >> 16;
    y[0] = (int32_t)((uint32_t)y[0] + ((uint32_t)low << shift));
    y[HALF] = (int32_t)((uint32_t)y[HALF] + ((uint32_t)high << shift));
}

static void spill(const ni_layer *layer, int32_t *y, uint32_t bias, uint32_t shift) {
    uint32_t *sums = ni_work.sums;
    const uint32_t both = bias + (bias << 16);
    for (uint32_t j = layer->stride; j; j--, y += HALF)
        for (uint32_t r = HALF / 2; r; r--, sums += 2, y += 2) {
            spill_pair(sums, y, both, shift);
            spill_pair(sums + 1, y + 1, both, shift);
        }
}
#endif
