/* Weight-walking kernel, format ternary: five trits a byte, 1.6 bits a weight.
 *
 * With trits t = w + 1 the byte is the fraction 0.t0 t1 t2 t3 t4 in base 3, times 256 and rounded up; three
 * times a byte then carries the next trit into bit 8. Rows start on a word; `stride` words each.
 * Example: weights (+1, 0, -1, -1, -1) are trits 2, 1, 0, 0, 0, the fraction 189 / 243, the byte 200. */
#include "internal.h"

NI_RAM void ni_plain_ternary(const ni_layer *layer, const int8_t *x, int32_t *y) {
    const uint8_t *row = (const uint8_t *)layer->weights;
    const int8_t *const end = x + layer->inputs;
    for (uint32_t o = 0; o < layer->outputs; o++) {
        uint32_t sum = 0;
        const uint8_t *next = row;
        for (const int8_t *p = x; p < end;) {
            uint32_t fraction = *next++;
            const int8_t *stop = end - p > 5 ? p + 5 : end;
            for (; p < stop; p++) {
                fraction += fraction << 1;
                const uint32_t v = (uint32_t)(int32_t)*p;
                if (fraction >= 512)
                    sum += v;
                else if (fraction < 256)
                    sum -= v;
                fraction &= 255;
            }
        }
        y[o] = (int32_t)sum;
        row += (uint32_t)layer->stride << 2;
    }
}
