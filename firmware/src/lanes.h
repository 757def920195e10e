/* Skeleton of the fast kernels for linear codes, w = slope * u - offset with u = 0 .. 2^bits - 1.
 *
 * With g the ground, the first input (0 where inputs cannot be negative), and v = x - g, |v| <= 255,
 *
 *     y = slope * sum(u * v) - offset * sum(v) + g * sum(w).
 *
 * That holds for any g; if most pixels have the value of the first one, most v are zero, and zeros are skipped.
 * The others are written in signed digits, v = sum of d_p * 2^p with d_p in -1, 0, 1 and no two neighbours both
 * non-zero (the non-adjacent form: on average a third of the digits are not zero). For each digit plane p, the
 * rows of u whose digit is +1 are added and those whose digit is -1 subtracted in packed lanes of 8 bits,
 * which are folded into packed 16-bit sums before they can overflow. From plane to plane the sums are doubled.
 *
 * A lane starts at the largest code times the number of rows to subtract, so it ends between zero and the
 * largest code times the number of rows; the sums then hold a bias that is known and taken off at the end.
 * Arithmetic is modulo 2^32, so a sum that overflows on the way does no harm if its final value fits:
 * planes 8 .. 4 of 128 inputs sum up to 128 * 16 * 15 = 30720, planes 3 .. 0 to 128 * 10 * 15 = 19200, both
 * below 2^15. The sums are moved to y after each of the two groups of planes, or once if the values are so small
 * that all planes together fit, and after each NI_ACTIVE inputs. They are zero between calls of a kernel.
 *
 * A kernel defines NI_NAME, NI_LIMIT (rows before folding), NI_LARGEST(n) (largest code times n),
 * NI_OFFSET(t) (offset * t), NI_SLOPE (log2 of the slope), and
 *   static void fold(const ni_layer *, uint32_t start, uint32_t doublings):
 *       sums = 2^doublings * sums + start + the listed rows;
 *   static void spill(const ni_layer *, int32_t *y, uint32_t bias, uint32_t shift):
 *       y += (sums - bias) << shift for every output; sums = 0.
 */
#include "internal.h"
#include "work.h"

#if NI_ACTIVE > 128 || NI_LIMIT > NI_ROWS
#error "lanes would overflow"
#endif
#if NI_ACTIVE < 1
#error "no RAM is left for a list of active inputs"
#endif

/* An active input, from the top bit: 9 bits |d_8| .. |d_0|, 9 bits d_8 < 0 .. d_0 < 0, 14 bits row + 1. */
enum { DIGITS_AT = 23, SIGNS_AT = 14, ROW_BITS = 14, PLANES = 9, UPPER_PLANES = 5 };

/* List the rows of active inputs whose digit in plane PLANES - 1 - up is not zero, until the list is full or the
 * inputs are exhausted; returns where to go on, or NULL. `subtract` is the last cell of the list; the number of
 * rows to subtract goes into the cell behind it. `end` is the sentinel, whose digits are all set. */
#if defined(NI_ASSEMBLY)
const uint32_t *ni_list_rows(const uint32_t *next, const uint32_t *end, uint32_t up, uint16_t *add,
                             uint16_t *subtract);
#else
static const uint32_t *ni_list_rows(const uint32_t *next, const uint32_t *end, uint32_t up, uint16_t *add,
                                    uint16_t *subtract) {
    uint16_t *const last = subtract;
    do {
        uint32_t entry;
        do entry = *next++;
        while ((int32_t)(entry << up) >= 0);
        if (next > end) {
            next = 0;
            break;
        }
        const uint16_t row = (uint16_t)((entry & ((1 << ROW_BITS) - 1)) << 2);
        if ((entry << up) & (UINT32_C(1) << (SIGNS_AT + PLANES - 1)))
            *subtract-- = row;
        else
            *add++ = row;
    } while (add != subtract);
    *add = 0;
    *subtract = 0;
    last[1] = (uint16_t)(last - subtract);
    return next;
}
#endif

/* Inputs not yet treated, and the active ones among those that are. rows.S knows this layout. */
typedef struct {
    const int8_t *x, *end;
    int32_t ground;
    uint32_t row;    /* row + 1 of *x, less the stride */
    uint32_t stride;
    uint32_t *entry; /* where the next active input goes */
    uint32_t *limit; /* last place there is, kept for the sentinel */
    uint32_t total;  /* sum of the active values */
    uint32_t digits; /* all digits of all entries */
} ni_inputs;

/* Append inputs that differ from the ground to the active ones, until they or the places are exhausted. */
#if defined(NI_ASSEMBLY)
void ni_activate(ni_inputs *in);
#else
static void ni_activate(ni_inputs *in) {
    while (in->x < in->end && in->entry < in->limit) {
        const uint32_t v = (uint32_t)(*in->x++ - in->ground); /* modulo 2^32, as all of the following */
        in->row += in->stride;
        if (!v) continue;
        /* Non-adjacent form: the digits of (3v - v) / 2 without carries. Bit 0 of both differences is zero. */
        const uint32_t triple = v + (v << 1);
        *in->entry = (triple ^ v) << (DIGITS_AT - 1) | (v & ~triple) << (SIGNS_AT - 1) | in->row;
        in->digits |= *in->entry++;
        in->total += v;
    }
}
#endif

static inline void activate(ni_inputs *in) {
    in->entry = ni_work.active;
    in->total = in->digits = 0;
    ni_activate(in);
    *in->entry = ~UINT32_C(0);
}

/* Sums of digit planes PLANES - 1 - up for up = first .. last - 1, added to y. */
static inline void planes(const ni_layer *layer, const ni_inputs *in, uint32_t first, uint32_t last, int32_t *y) {
    uint32_t bias = 0, doublings = 0;
    uint16_t *const add = ni_work.rows, *const subtract = add + NI_LIMIT;
    for (uint32_t up = first; up < last; up++, doublings++) {
        if ((int32_t)(in->digits << up) >= 0) continue;
        const uint32_t *next = ni_work.active;
        do {
            next = ni_list_rows(next, in->entry, up, add, subtract);
            if (!(*add | *subtract)) continue;
            const uint32_t start = NI_LARGEST((uint32_t)subtract[1]);
            fold(layer, start, doublings);
            bias = (bias << doublings) + start;
            doublings = 0;
        } while (next);
    }
    spill(layer, y, bias, doublings - 1 + (PLANES - last) + NI_SLOPE);
}

void NI_NAME(const ni_layer *layer, const int8_t *x, int32_t *y) {
    ni_inputs in;
    in.x = x;
    in.end = x + layer->inputs;
    in.ground = layer->row_sums ? *x : 0;
    in.stride = layer->stride;
    in.row = 1 - in.stride;
    in.limit = ni_work.active + NI_ACTIVE;
    activate(&in);
    ni_start(layer, in.ground, -NI_OFFSET(in.total), y);
    for (;;) {
        /* With values of one sign, the magnitude of a sum is at most the largest code times their total. */
        const uint32_t narrow = !layer->row_sums && NI_LARGEST(in.total) < 32768;
        for (uint32_t first = 0, last = narrow ? PLANES : UPPER_PLANES; first < PLANES; first = last, last = PLANES)
            planes(layer, &in, first, last, y);
        if (in.x == in.end) return;
        activate(&in);
        const uint32_t offset = NI_OFFSET(in.total);
        for (uint32_t o = 0; o < layer->outputs; o++) y[o] = (int32_t)((uint32_t)y[o] - offset);
    }
}
