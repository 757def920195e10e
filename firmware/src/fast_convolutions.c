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
    OFFSET = 17 << 15, /* 2^15 in both sums, the upper one times 16 */
    FIRST_ROW = 16, SECOND_ROW = 14, THIRD_ROW = 6, /* words of a row of activations */
    SECOND_HALF = 6, LAST_HALF = 4 /* outputs of the runs that are used */
};

/* Sums of NI_RUN windows next to each other, the first at `window`: sums = sum over planes of 2^p * (start bias,
 * plus words at the listed offsets, minus others). The list holds for each plane, highest first, offsets in bytes
 * plus four, a zero, offsets to subtract plus four, a zero. For RV32E windows.S has the same. */
#if defined(__riscv)
void ni_window_sums(const ni_pair *window, const uint8_t *list, uint32_t *sums);
#else
static void ni_window_sums(const ni_pair *window, const uint8_t *list, uint32_t *sums) {
    for (uint32_t k = 0; k < NI_RUN; k++) sums[k] = START + ((uint32_t)START << 16);
    for (uint32_t plane = 0; plane < PLANES; plane++) {
        for (uint32_t k = 0; k < NI_RUN; k++) sums[k] <<= 1;
        for (; *list; list++)
            for (uint32_t k = 0; k < NI_RUN; k++) sums[k] += window[*list / 4 - 1 + k].word;
        for (list++; *list; list++)
            for (uint32_t k = 0; k < NI_RUN; k++) sums[k] -= window[*list / 4 - 1 + k].word;
        list++;
    }
}
#endif

/* Lists of the digits of nine taps; `row` is the distance of two rows in bytes. */
static void list_digits(const int8_t *taps, uint32_t row, ni_fast_work *work) {
    uint32_t digits[NI_TAPS], negative[NI_TAPS];
    for (uint32_t k = 0; k < NI_TAPS; k++) {
        const uint32_t v = (uint32_t)(int32_t)taps[k], triple = v + (v << 1);
        digits[k] = (triple ^ v) << 23; /* digit 7, bit 8 of the difference, in the top bit */
        negative[k] = (v & ~triple) << 23;
    }
    uint8_t *add = work->upper;
    for (uint32_t plane = 0; plane < 2 * PLANES; plane++) {
        if (plane == PLANES) add = work->lower;
        uint8_t subtract[NI_TAPS], *end = subtract;
        const uint32_t *digit = digits, *sign = negative;
        uint32_t offset = 4;
        for (uint32_t i = 3; i; i--, offset += row - 12)
            for (uint32_t j = 3; j; j--, offset += 4, digit++, sign++) {
                if ((int32_t)(*digit << plane) >= 0) continue;
                if ((int32_t)(*sign << plane) < 0)
                    *end++ = (uint8_t)offset;
                else
                    *add++ = (uint8_t)offset;
            }
        *add++ = 0;
        for (const uint8_t *p = subtract; p < end;) *add++ = *p++;
        *add++ = 0;
    }
}

static inline void sums_of(const ni_pair *window, ni_fast_work *work, uint32_t *sums) {
    ni_window_sums(window, work->upper, sums);
    ni_window_sums(window, work->lower, sums + NI_RUN);
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

static inline uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Largest accumulators of 2x2 outputs, of two runs one above the other. */
static inline uint32_t pooled_first(const uint32_t *sums) {
    return larger(larger(first_half(sums), first_half(sums + 1)),
                  larger(first_half(sums + 2 * NI_RUN), first_half(sums + 2 * NI_RUN + 1)));
}
static inline uint32_t pooled_second(const uint32_t *sums) {
    return larger(larger(second_half(sums), second_half(sums + 1)),
                  larger(second_half(sums + 2 * NI_RUN), second_half(sums + 2 * NI_RUN + 1)));
}

/* 6 x 6 from 14 x 14, in place: three times two rows of words, in two runs of which six are used. */
static void second_layer(ni_fast_work *work, uint32_t shift) {
    const ni_pair *window = work->plane;
    ni_pair *out = work->plane;
    for (uint32_t row = 0; row < 3; row++, window += 2 * SECOND_ROW - 12, out += THIRD_ROW) {
        ni_pair pooled[THIRD_ROW], *next = pooled;
        for (uint32_t run = 0; run < 2; run++, window += SECOND_HALF) {
            sums_of(window, work, work->sums);
            sums_of(window + SECOND_ROW, work, work->sums + 2 * NI_RUN);
            for (const uint32_t *sums = work->sums; sums < work->sums + SECOND_HALF; sums += 2, next++) {
                next->half[0] = (uint16_t)activation(pooled_first(sums), shift, NI_CEILING);
                next->half[1] = (uint16_t)activation(pooled_second(sums), shift, NI_CEILING);
            }
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
    for (const uint32_t *sums = work->sums; sums < work->sums + LAST_HALF; sums += 2, features++) {
        features[0] = (uint16_t)activation(pooled_first(sums), shift, 65535);
        features[2] = (uint16_t)activation(pooled_second(sums), shift, 65535);
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
