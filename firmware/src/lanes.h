/* Skeleton of the fast kernels for linear codes, w = slope * u - offset with u = 0 .. 2^bits - 1.
 *
 * With g the smallest input (0 where inputs cannot be negative) and v = x - g, 0 <= v <= 255,
 *
 *     y = slope * sum(u * v) - offset * sum(v) + g * sum(w).
 *
 * Zero v are skipped. The others are written in signed digits, v = sum of d_p * 2^p with d_p in -1, 0, 1 and no
 * two neighbours both non-zero (the non-adjacent form: on average a third of the digits are not zero). For each
 * digit plane p, the rows of u whose digit is +1 are added and those whose digit is -1 subtracted in packed
 * 8-bit lanes, which are folded into packed 16-bit sums before they can overflow. From plane to plane the sums
 * are doubled.
 *
 * Lanes hold BIAS + sum, and so do the folded sums with a bias that is known and taken off at the end.
 * Arithmetic is modulo 2^32, so a lane that overflows on the way does no harm if its final value fits:
 * planes 8 .. 4 of 128 inputs sum up to 128 * 16 * 15 = 30720, planes 3 .. 0 to 128 * 10 * 15 = 19200, both
 * below 2^15. The sums are moved to y after each of the two groups of planes, and after each NI_ACTIVE inputs.
 *
 * A kernel defines NI_NAME, NI_LIMIT (rows that may be added, and as many subtracted, before folding), NI_BIAS,
 * NI_OFFSET(t) (offset * t), NI_SLOPE (log2 of the slope), and
 *   static void fold(const ni_layer *, uint32_t doublings): 2^doublings * sums + lanes of the listed rows;
 *   static void spill(const ni_layer *, int32_t *y, uint32_t bias, uint32_t shift, uint32_t more):
 *       y += ((sums - bias) << shift) + more, for every output.
 */
#include "internal.h"
#include "work.h"

#if NI_ACTIVE > 128 || NI_LIMIT > NI_ROWS
#error "lanes would overflow"
#endif

/* An active input, from the top bit: 9 bits |d_8| .. |d_0|, 9 bits d_8 < 0 .. d_0 < 0, 14 bits row + 1. */
enum { DIGITS_AT = 23, SIGNS_AT = 14, ROW_BITS = 14, PLANES = 9, UPPER_PLANES = 5 };

/* Rows of active inputs whose digit in plane PLANES - 1 - up is not zero: list them until a list is full or the
 * inputs are exhausted; returns where to go on, or NULL. */
static inline const uint32_t *list_rows(const uint32_t *next, const uint32_t *end, uint32_t up) {
    uint16_t *add = ni_work.add, *subtract = ni_work.subtract;
    for (;;) {
        uint32_t entry;
        do entry = *next++;
        while ((int32_t)(entry << up) >= 0);
        if (next > end) { /* the sentinel, whose digits are all set */
            next = 0;
            break;
        }
        const uint16_t row = (uint16_t)((entry & ((1 << ROW_BITS) - 1)) << 2);
        if ((entry << up) & (1 << (SIGNS_AT + PLANES - 1))) {
            *subtract++ = row;
            if (subtract == ni_work.subtract + NI_LIMIT) break;
        } else {
            *add++ = row;
            if (add == ni_work.add + NI_LIMIT) break;
        }
    }
    *add = 0;
    *subtract = 0;
    return next;
}

/* Fills ni_work.active from inputs i .. ; returns the sum of their values. */
typedef struct {
    const int8_t *x, *end;
    uint32_t row;
    uint32_t *last;
} inputs;

static uint32_t activate(inputs *in, int32_t ground, uint32_t stride) {
    uint32_t *entry = ni_work.active, total = 0, row = in->row;
    const int8_t *x = in->x;
    for (; x < in->end; x++, row += stride) {
        const uint32_t v = (uint32_t)(*x - ground);
        if (!v) continue;
        if (entry == ni_work.active + NI_ACTIVE) break;
        const uint32_t triple = v + (v << 1);
        /* Non-adjacent form: the digits of (3v - v) / 2 without carries. */
        *entry++ = ((triple ^ v) >> 1) << DIGITS_AT | ((v & ~triple) >> 1) << SIGNS_AT | row;
        total += v;
    }
    *entry = ~UINT32_C(0);
    in->last = entry;
    in->x = x;
    in->row = row;
    return total;
}

/* Sums of digit planes PLANES - 1 - up for up = first .. last - 1, moved to y. */
static inline void planes(const ni_layer *layer, const uint32_t *end, uint32_t first, uint32_t last,
                          int32_t *y, uint32_t more) {
    uint32_t bias = 0, doublings = 0;
    for (uint32_t k = 0; k < NI_SUM_WORDS; k++) ni_work.sums[k] = 0;
    for (uint32_t up = first; up < last; up++, doublings++) {
        const uint32_t *next = ni_work.active;
        do {
            next = list_rows(next, end, up);
            if (!(ni_work.add[0] | ni_work.subtract[0])) continue;
            fold(layer, doublings);
            bias = (bias << doublings) + NI_BIAS;
            doublings = 0;
        } while (next);
    }
    if (bias | more) spill(layer, y, bias, doublings - 1 + (PLANES - last) + NI_SLOPE, more);
}

NI_RAM void NI_NAME(const ni_layer *layer, const int8_t *x, int32_t *y) {
    const int32_t ground = layer->row_sums ? ni_background(x, layer->inputs) : 0;
    ni_start(layer, ground, 0, y);
    inputs in = {x, x + layer->inputs, 1, 0};
    do {
        const uint32_t total = activate(&in, ground, layer->stride);
        planes(layer, in.last, 0, UPPER_PLANES, y, 0);
        planes(layer, in.last, UPPER_PLANES, PLANES, y, -NI_OFFSET(total));
    } while (in.x < in.end);
}
