/* Convolutions two rows at a time, without products.
 *
 * Two activations share a word, x + 2^16 x': the upper half of a plane beside the lower half, so that one addition
 * serves two outputs. Weights are written in signed digits, w = sum of d_p * 2^p with d_p in -1, 0, 1 and no two
 * neighbours both non-zero (the non-adjacent form, as in lanes.h). For a run of outputs in registers, the digit
 * planes are summed from the highest to the lowest, the sums being doubled from plane to plane.
 *
 * Halves of a word must not overflow: planes 7 .. 4 and 3 .. 0 are summed apart, which gives sums of at most
 * 9 * 10 * 255 = 22950, below 2^15, as activations are at most 255 and the digits of four planes at most 10. Halves
 * start at 2^15, so that they end above zero. An accumulator is 16 times the upper sum plus the lower one.
 *
 * Memory: the image packed once (rows 7 .. 15 beside 0 .. 8), and the activations of one channel, first 14 x 14
 * (rows 6 .. 13 beside 0 .. 7), then 6 x 6 in the same place (rows 2 .. 5 beside 0 .. 3). Features overwrite the
 * image that was packed. */
#include "internal.h"
#include "work.h"

enum {
    PLANES = 4, /* of each of the two sums */
    START = 1 << (15 - PLANES),
    FIRST_ROW = 16, SECOND_ROW = 14, THIRD_ROW = 6, /* words of a row of activations */
    SECOND_USED = 6 /* outputs of a run */
};
#define OFFSET (UINT32_C(17) << 15) /* 2^15 in both sums, the upper one times 16 */
#define FEATURE_LARGEST UINT32_C(65535)

/* Sums of NI_RUN windows next to each other, the first at `window`: for each of four planes the sums are doubled,
 * words at the listed offsets added and others subtracted. `add` goes upwards and `subtract` downwards; both hold for
 * each plane, highest first, offsets in bytes plus four, and a zero. For RV32E windows.S has the same. */
#if defined(NI_ASSEMBLY)
void ni_window_sums(const ni_pair *window, const uint8_t *add, const uint8_t *subtract, uint32_t *sums);
#else
static void ni_window_sums(const ni_pair *window, const uint8_t *add, const uint8_t *subtract, uint32_t *sums) {
    for (uint32_t k = 0; k < NI_RUN; k++) sums[k] = START + ((uint32_t)START << 16);
    for (uint32_t plane = 0; plane < PLANES; plane++, add++, subtract--) {
        for (uint32_t k = 0; k < NI_RUN; k++) sums[k] <<= 1;
        for (; *add; add++)
            for (uint32_t k = 0; k < NI_RUN; k++) sums[k] += window[*add / 4 - 1 + k].word;
        for (; *subtract; subtract--)
            for (uint32_t k = 0; k < NI_RUN; k++) sums[k] -= window[*subtract / 4 - 1 + k].word;
    }
}
#endif

/* Lists of the digits of nine taps; `row` is the distance of two rows in bytes. Uses the memory of the sums. */
static void list_digits(const int8_t *taps, uint32_t row, ni_fast_work *work) {
    /* A tap, from the top bit: digits 7 .. 0 not zero, digits 7 .. 0 negative, 8 bits zero, offset plus four. */
    uint32_t *const end = work->sums + NI_TAPS;
    uint32_t offset = 4, column = 0;
    for (uint32_t *tap = work->sums; tap < end; tap++) {
        const uint32_t v = (uint32_t)(int32_t)*taps++, triple = v + (v << 1); /* without carries, see lanes.h */
        *tap = (triple ^ v) << 23 | ((v & ~triple) << 15 & 0xff0000) | offset;
        offset += 4;
        if (++column == 3) {
            column = 0;
            offset += row - 12;
        }
    }
    uint8_t *add = work->upper, *subtract = work->upper + NI_LIST_BYTES - 1;
    for (uint32_t plane = 0;; plane++) {
        if (plane == PLANES) {
            add = work->lower;
            subtract = work->lower + NI_LIST_BYTES - 1;
        }
        if (plane == 2 * PLANES) return;
        for (const uint32_t *tap = work->sums; tap < end; tap++) {
            const uint32_t digit = *tap << plane;
            if ((int32_t)digit >= 0) continue;
            if (digit & UINT32_C(1) << 23)
                *subtract-- = (uint8_t)*tap;
            else
                *add++ = (uint8_t)*tap;
        }
        *add++ = 0;
        *subtract-- = 0;
    }
}

static void sums_of(const ni_pair *window, const ni_fast_work *work, uint32_t *sums) {
    ni_window_sums(window, work->upper, work->upper + NI_LIST_BYTES - 1, sums);
    ni_window_sums(window, work->lower, work->lower + NI_LIST_BYTES - 1, sums + NI_RUN);
}

/* Accumulators plus OFFSET of one output of a run, first and second half. */
static inline uint32_t first_half(const uint32_t *sums) {
    return ((sums[0] & 0xffff) << 4) + (sums[NI_RUN] & 0xffff);
}
static inline uint32_t second_half(const uint32_t *sums) { return ((sums[0] >> 16) << 4) + (sums[NI_RUN] >> 16); }

static inline uint32_t activation(uint32_t accumulator, uint32_t shift, uint32_t ceiling) {
    if (accumulator <= OFFSET) return 0;
    const uint32_t a = (accumulator - OFFSET) >> shift;
    if (a > ceiling) {
        NI_KEEP_BRANCH;
        return ceiling;
    }
    return a;
}

/* 14 x 14 from the image: seven rows of words, in two runs of seven. */
static void first_layer(ni_fast_work *work, uint32_t shift) {
    const ni_pair *window = work->image;
    ni_pair *out = work->plane;
    for (uint32_t row = 0; row < 7; row++, window += FIRST_ROW - 14)
        for (uint32_t run = 0; run < 2; run++, window += NI_RUN) {
            sums_of(window, work, work->sums);
            for (const uint32_t *sums = work->sums; sums < work->sums + NI_RUN; sums++, out++) {
                out->half[0] = (uint16_t)activation(first_half(sums), shift, NI_CEILING);
                out[SECOND_ROW].half[1] = (uint16_t)activation(second_half(sums), shift, NI_CEILING);
            }
        }
    /* Row 6 of the plane also opens the second half, row 7 also ends the first. */
    out = work->plane;
    for (uint32_t column = 0; column < SECOND_ROW; column++, out++) {
        out[0].half[1] = out[6 * SECOND_ROW].half[0];
        out[7 * SECOND_ROW].half[0] = out[SECOND_ROW].half[1];
    }
}

/* Activations of the largest accumulators of 2x2 outputs, in two runs one above the other. */
static void pool(const uint32_t *sums, uint32_t count, uint32_t shift, uint32_t ceiling, ni_pair *out) {
    for (; count; count--, sums += 2, out++) {
        uint32_t first = 0, second = 0;
        const uint32_t *next = sums;
        for (uint32_t k = 4; k; k--, next++) {
            const uint32_t a = first_half(next), b = second_half(next);
            if (a > first) {
                NI_KEEP_BRANCH;
                first = a;
            }
            if (b > second) {
                NI_KEEP_BRANCH;
                second = b;
            }
            if (k == 3) next += 2 * NI_RUN - 2;
        }
        out->half[0] = (uint16_t)activation(first, shift, ceiling);
        out->half[1] = (uint16_t)activation(second, shift, ceiling);
    }
}

/* 6 x 6 from 14 x 14, in place: three times two rows of words, in two runs of which six are used. The seventh sum
 * of the very last run reads the word after the plane, pooled[0], and is not used. */
static void second_layer(ni_fast_work *work, uint32_t shift) {
    const ni_pair *window = work->plane;
    ni_pair *out = work->plane;
    for (uint32_t row = 0; row < 3; row++, window += 2 * SECOND_ROW - 2 * SECOND_USED, out += THIRD_ROW) {
        ni_pair *const pooled = work->pooled, *next = pooled;
        for (uint32_t run = 0; run < 2; run++, window += SECOND_USED, next += SECOND_USED / 2) {
            sums_of(window, work, work->sums);
            sums_of(window + SECOND_ROW, work, work->sums + 2 * NI_RUN);
            pool(work->sums, SECOND_USED / 2, shift, NI_CEILING, next);
        }
        /* The result is rows `row` and `row` + 3: in the first half 0 .. 3, in the second half 2 .. 5. */
        for (uint32_t column = 0; column < THIRD_ROW; column++) {
            out[column].half[0] = pooled[column].half[0];
            out[THIRD_ROW + column].half[1] = pooled[column].half[1];
            if (row == 0) work->plane[3 * THIRD_ROW + column].half[0] = pooled[column].half[1];
            if (row == 2) work->plane[column].half[1] = pooled[column].half[0];
        }
    }
}

/* 2 x 2 from 6 x 6: two rows of words, of whose runs four are used. */
static void third_layer(ni_fast_work *work, uint32_t shift, uint16_t *features) {
    sums_of(work->plane, work, work->sums);
    sums_of(work->plane + THIRD_ROW, work, work->sums + 2 * NI_RUN);
    pool(work->sums, 2, shift, FEATURE_LARGEST, work->plane);
    for (uint32_t k = 0; k < 2; k++) {
        features[k] = work->plane[k].half[0];
        features[2 + k] = work->plane[k].half[1];
    }
}

uint16_t *ni_fast_convolutions(const ni_convolutions *convolutions, int8_t *x, void *work) {
    ni_fast_work *const w = work;
    const int8_t *pixel = x, *taps = convolutions->weights;
    for (ni_pair *pair = w->image; pair < w->image + NI_IMAGE_WORDS; pair++, pixel++)
        pair->word = (uint32_t)(int32_t)pixel[0] + ((uint32_t)(int32_t)pixel[7 * 16] << 16);
    uint16_t *const features = (uint16_t *)(void *)x, *next = features;
    for (uint32_t channel = convolutions->channels; channel; channel--, taps += 3 * NI_TAPS, next += NI_FEATURES) {
        list_digits(taps, 4 * FIRST_ROW, w);
        first_layer(w, convolutions->shifts[0]);
        list_digits(taps + NI_TAPS, 4 * SECOND_ROW, w);
        second_layer(w, convolutions->shifts[1]);
        list_digits(taps + 2 * NI_TAPS, 4 * THIRD_ROW, w);
        third_layer(w, convolutions->shifts[2], next);
    }
    return features;
}
