/* The obvious convolutions: output after output, tap after tap, activations of 32 bits in place. */
#include "internal.h"
#include "work.h"

/* x * w by the bits of |w|, modulo 2^32. */
static inline uint32_t product(uint32_t x, int32_t w) {
    uint32_t sum = 0, bits = w < 0 ? -(uint32_t)w : (uint32_t)w;
    for (; bits; bits >>= 1, x <<= 1)
        if (bits & 1) sum += x;
    return w < 0 ? -sum : sum;
}

/* Row by row an output lies at or before the first input of its window, so it overwrites nothing still needed. */
NI_CONVOLUTION_RAM void ni_plain_slide(int32_t *plane, uint32_t side, const int8_t *taps) {
    int32_t *out = plane;
    for (uint32_t row = 2; row < side; row++, plane += 2)
        for (uint32_t column = 2; column < side; column++, plane++) {
            const int32_t *in = plane;
            const int8_t *tap = taps;
            uint32_t sum = 0;
            for (uint32_t i = 0; i < 3; i++, in += side - 3)
                for (uint32_t j = 0; j < 3; j++) sum += product((uint32_t)*in++, *tap++);
            *out++ = (int32_t)sum;
        }
}

static void activate(int32_t *plane, uint32_t count, uint32_t shift, int32_t ceiling) {
    for (; count; count--, plane++) {
        const int32_t a = *plane < 0 ? 0 : *plane >> shift;
        *plane = a > ceiling ? ceiling : a;
    }
}

static void pool(int32_t *plane, uint32_t side) {
    int32_t *out = plane;
    for (uint32_t row = 0; row < side; row += 2, plane += side)
        for (uint32_t column = 0; column < side; column += 2, plane += 2) {
            const int32_t *const in[4] = {plane, plane + 1, plane + side, plane + side + 1};
            int32_t largest = *in[0];
            for (uint32_t k = 1; k < 4; k++)
                if (*in[k] > largest) largest = *in[k];
            *out++ = largest;
        }
}

uint16_t *ni_plain_convolutions(const ni_convolutions *convolutions, int8_t *x, void *work) {
    ni_plain_work *const w = work;
    int32_t *const plane = w->plane;
    uint16_t *features = w->features;
    const int8_t *taps = convolutions->weights;
    for (uint32_t channel = 0; channel < convolutions->channels; channel++) {
        for (uint32_t i = 0; i < 16 * 16; i++) plane[i] = x[i];
        ni_plain_slide(plane, 16, taps);
        activate(plane, 14 * 14, convolutions->shifts[0], NI_CEILING);
        ni_plain_slide(plane, 14, taps + NI_TAPS);
        pool(plane, 12);
        activate(plane, 6 * 6, convolutions->shifts[1], NI_CEILING);
        ni_plain_slide(plane, 6, taps + 2 * NI_TAPS);
        pool(plane, 4);
        activate(plane, NI_FEATURES, convolutions->shifts[2], 65535);
        for (uint32_t k = 0; k < NI_FEATURES; k++) *features++ = (uint16_t)plane[k];
        taps += 3 * NI_TAPS;
    }
    return w->features;
}
