/* Activation-walking kernel, format ternary: w = u - 1; five trits a byte, a row of bytes for each input.
 * The packing of a byte is that of plain_ternary.c; rows follow each other without filling, `stride` bytes each.
 * A table turns a byte into five lanes of six bits. */
#include "ternary.h"

#define NI_NAME ni_fast_ternary
#define NI_SLOPE 0
#define NI_OFFSET(t) (t)
/* Lanes hold w + 1 of up to 15 rows added and as many subtracted: 32 - 30 .. 32 + 30 of 0 .. 63. */
#define NI_LIMIT 15
#define NI_BIAS 32
#include "internal.h"
#include "work.h"

enum { LANES = 7, FIELDS = 5, FIELD = 6 };

/* lanes = 32 in every field, plus the rows listed in ni_work.add, minus those in ni_work.subtract; `base` is the
 * first byte of the rows less four, see fold.h. */
static inline void add_rows(const uint8_t *base, uint32_t count, uint32_t *lanes) {
    for (uint32_t k = 0; k < count; k++) lanes[k] = UINT32_C(0x20820820);
    for (const uint16_t *row = ni_work.add; *row; row++)
        for (uint32_t k = 0; k < count; k++) lanes[k] += ni_trits[base[(*row >> 2) + k]];
    for (const uint16_t *row = ni_work.subtract; *row; row++)
        for (uint32_t k = 0; k < count; k++) lanes[k] -= ni_trits[base[(*row >> 2) + k]];
}

static void fold(const ni_layer *layer, uint32_t doublings) {
    const uint8_t *base = (const uint8_t *)layer->weights - 1;
    uint16_t *sums = (uint16_t *)ni_work.sums;
    for (uint32_t left = layer->stride, count; left; left -= count, base += count) {
        count = left < LANES ? left : LANES;
        if (count == LANES)
            add_rows(base, LANES, ni_work.lanes);
        else
            add_rows(base, count, ni_work.lanes);
        for (uint32_t k = 0; k < count; k++)
            for (uint32_t field = 0, lanes = ni_work.lanes[k]; field < FIELDS; field++, lanes >>= FIELD, sums++)
                *sums = (uint16_t)((*sums << doublings) + (lanes & 63));
    }
}

static void spill(const ni_layer *layer, int32_t *y, uint32_t bias, uint32_t shift, uint32_t more) {
    const uint16_t *sums = (const uint16_t *)ni_work.sums;
    for (uint32_t o = 0; o < layer->outputs; o++) {
        const uint32_t sum = (uint32_t)(int32_t)(int16_t)(sums[o] - bias);
        y[o] = (int32_t)((uint32_t)y[o] + (sum << shift) + more);
    }
}

#include "lanes.h"
