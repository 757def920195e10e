/* Before the sums: the image's background and the terms that do not depend on single inputs. */
#include "internal.h"

int32_t ni_background(const int8_t *x, uint32_t count) {
    int32_t least = x[0];
    for (uint32_t i = 1; i < count; i++)
        if (x[i] < least) least = x[i];
    return least;
}

void ni_start(const ni_layer *layer, int32_t ground, int32_t offset, int32_t *y) {
    const uint32_t count = layer->outputs;
    for (uint32_t o = 0; o < count; o++) y[o] = offset;
    if (!layer->row_sums) return;
    const uint32_t sign = ground < 0 ? ~UINT32_C(0) : 0; /* (v ^ sign) - sign is v or -v */
    uint32_t rest = ((uint32_t)ground ^ sign) - sign;
    for (uint32_t shift = 0; rest; shift++, rest >>= 1) {
        if (!(rest & 1)) continue;
        for (uint32_t o = 0; o < count; o++) {
            uint32_t term = (uint32_t)layer->row_sums[o] << shift;
            y[o] = (int32_t)((uint32_t)y[o] + ((term ^ sign) - sign));
        }
    }
}
