/* Many samples in one call, for the shared library on a host. */
#include "nonideal.h"

/* Accumulators y [count][y_stride] of one layer for inputs x [count][layer->inputs]. */
void ni_batch_layer(const ni_layer *layer, const int8_t *x, int32_t *y, uint32_t count, uint32_t y_stride) {
    for (; count; count--, x += layer->inputs, y += y_stride) layer->kernel(layer, x, y);
}

/* Activations x [count][width] of accumulators y [count][width]. */
void ni_batch_norm(const int32_t *y, int8_t *x, uint32_t count, uint32_t width) {
    for (; count; count--, x += width, y += width) ni_shift_norm(y, x, width);
}

/* Logits y [count][y_stride] and classes of images x [count][x_stride], which are overwritten. */
void ni_batch_infer(const ni_network *network, int8_t *x, int32_t *y, uint32_t *classes, uint32_t count,
                    uint32_t x_stride, uint32_t y_stride) {
    for (; count; count--, x += x_stride, y += y_stride) *classes++ = ni_infer(network, x, y);
}

/* Features f [count][4 * channels] of images x [count][x_stride], which are changed. */
void ni_batch_features(const ni_convolutions *convolutions, int8_t *x, uint16_t *f, void *work, uint32_t count,
                       uint32_t x_stride) {
    for (; count; count--, x += x_stride) {
        const uint16_t *features = convolutions->kernel(convolutions, x, work);
        for (uint32_t k = 0; k < (uint32_t)convolutions->channels << 2; k++) *f++ = *features++;
    }
}

/* One layer of the plain convolutions in each plane [count][side][side]. */
void ni_batch_slide(int32_t *planes, uint32_t side, const int8_t *taps, uint32_t count) {
    for (; count; count--, planes += side * side) ni_plain_slide(planes, side, taps);
}
