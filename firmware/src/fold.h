/* Folding and moving sums for codes of NI_BITS = 1, 2 or 4 bits; used with lanes.h.
 *
 * Lane k of byte-lane word m of a weight word is code k * LANES + m. Sum word r < 2 * LANES of a weight word
 * holds in its low half code r' and in its high half code r' + 4 * LANES, where r' = r. */
#include "internal.h"
#include "work.h"

enum { LANES = 8 / NI_BITS, HALF = 2 * LANES, BLOCK = NI_BITS };
#define NI_BIAS 128

/* lanes = 0x80 in every byte, plus the rows listed in ni_work.add, minus those in ni_work.subtract. A row is
 * `count` words of codes at base + listed byte offset. */
static inline void add_rows(const uint8_t *base, uint32_t count, uint32_t *lanes) {
    const uint32_t mask = ~UINT32_C(0) / 255 * ((1 << NI_BITS) - 1);
    for (uint32_t k = 0; k < count * LANES; k++) lanes[k] = UINT32_C(0x80808080);
    for (const uint16_t *row = ni_work.add; *row; row++)
        for (uint32_t j = 0; j < count; j++) {
            const uint32_t word = ((const uint32_t *)(base + *row))[j];
            for (uint32_t m = 0; m < LANES; m++) lanes[j * LANES + m] += (word >> (m * NI_BITS)) & mask;
        }
    for (const uint16_t *row = ni_work.subtract; *row; row++)
        for (uint32_t j = 0; j < count; j++) {
            const uint32_t word = ((const uint32_t *)(base + *row))[j];
            for (uint32_t m = 0; m < LANES; m++) lanes[j * LANES + m] -= (word >> (m * NI_BITS)) & mask;
        }
}

static inline void fold_words(const uint32_t *lanes, uint32_t *sums, uint32_t count, uint32_t doublings) {
    const uint32_t mask = UINT32_C(0x00ff00ff);
    for (uint32_t j = 0; j < count; j++, sums += HALF, lanes += LANES)
        for (uint32_t m = 0; m < LANES; m++) {
            sums[m] = (sums[m] << doublings) + (lanes[m] & mask);
            sums[LANES + m] = (sums[LANES + m] << doublings) + ((lanes[m] >> 8) & mask);
        }
}

static void fold(const ni_layer *layer, uint32_t doublings) {
    /* Listed offsets are four more than the row's, so that none is zero. */
    const uint8_t *base = (const uint8_t *)layer->weights - 4;
    uint32_t *sums = ni_work.sums, left = layer->stride;
    for (; left >= BLOCK; left -= BLOCK, base += 4 * BLOCK, sums += BLOCK * HALF) {
        add_rows(base, BLOCK, ni_work.lanes);
        fold_words(ni_work.lanes, sums, BLOCK, doublings);
    }
    for (; left; left--, base += 4, sums += HALF) {
        add_rows(base, 1, ni_work.lanes);
        fold_words(ni_work.lanes, sums, 1, doublings);
    }
}

#ifndef NI_NIBBLES
static void spill(const ni_layer *layer, int32_t *y, uint32_t bias, uint32_t shift, uint32_t more) {
    const uint32_t *sums = ni_work.sums;
    const uint32_t both = bias + (bias << 16);
    for (uint32_t j = layer->stride; j; j--, y += 2 * HALF)
        for (uint32_t r = 0; r < HALF; r++) {
            const int32_t pair = (int32_t)(*sums++ - both);
            const int32_t low = (int16_t)pair;
            const int32_t high = (pair - low) >> 16;
            y[r] = (int32_t)((uint32_t)y[r] + ((uint32_t)low << shift) + more);
            y[r + HALF] = (int32_t)((uint32_t)y[r + HALF] + ((uint32_t)high << shift) + more);
        }
}
#endif
