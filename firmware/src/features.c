/* From the features of convolutions to activations of eight bits. */
#include "internal.h"

void ni_norm_features(const uint16_t *features, int8_t *x, uint32_t count) {
    const uint16_t *const end = features + count;
    uint32_t largest = 0;
    for (const uint16_t *f = features; f < end; f++)
        if (*f > largest) {
            NI_KEEP_BRANCH;
            largest = *f;
        }
    uint32_t shift = 0, half = 0; /* half = (1 << shift) >> 1 */
    for (uint32_t unit = 1; largest > 127; largest >>= 1, shift++, unit <<= 1) half = unit;
    do {
        const uint32_t scaled = (*features++ + half) >> shift;
        *x++ = (int8_t)(scaled > 127 ? 127 : scaled);
    } while (features < end);
}
