/* Inference of low-bit networks on int8 activations, without multiply, divide, heap or stdio.
 *
 * A layer computes y[o] = sum over i of w[o][i] * x[i] in 32 bits. ni_shift_norm turns the accumulators into
 * the next layer's activations. Sums are formed modulo 2^32, so an intermediate value may wrap; the exporter
 * guarantees that the result fits into int32.
 *
 * Two kernels serve each weight format:
 *   ni_plain_*  walks the weights, output after output;
 *   ni_fast_*   walks the non-zero activations; weights are stored input after input.
 * Each kernel's file states its packing. Words are 32 bits, little end first: code k of a word with b-bit
 * codes is (word >> (k * b)) & (2^b - 1).
 *
 * The kernels share one static workspace: one inference at a time.
 *
 * src/ *.c is all there is to compile, for any processor. For RV32EC there are inner loops in assembly as well:
 * define NI_ASSEMBLY and add src/ *.S. They use every register but sp, gp and tp included, so that interrupts must
 * be off, and lie with the code around them in sections that targets/ch32v003 places in RAM.
 */
#ifndef NONIDEAL_H
#define NONIDEAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ni_layer ni_layer;

/* x: inputs values, -128 .. 127 if row_sums is given, else 0 .. 127.
 * y: room for the outputs rounded up to a multiple of 32; what lies beyond `outputs` is undefined. */
typedef void ni_kernel(const ni_layer *layer, const int8_t *x, int32_t *y);

struct ni_layer {
    ni_kernel *kernel;
    const uint32_t *weights;
    const int32_t *row_sums; /* sum over i of w[o][i], needed by fast kernels for inputs below zero, or NULL */
    uint16_t inputs;
    uint16_t outputs;
    uint16_t stride; /* words from one row to the next */
};

/* Three 3x3 convolutions per channel of a 16x16 image, without padding, before the layers of a CNN:
 *   y1 = w1 * x                                a1 = min(255, max(0, y1) >> shifts[0])                      14x14
 *   y2 = w2 * a1, p2 = largest of each 2x2     a2 = min(255, max(0, p2) >> shifts[1])                        6x6
 *   y3 = w3 * a2, p3 = largest of each 2x2     f = max(0, p3) >> shifts[2], 16 bits                          2x2
 * with * the sliding product. Channels are computed one after the other in the same memory. */
typedef struct ni_convolutions ni_convolutions;

/* x: the image, 256 values -128 .. 127, aligned to words, changed; the fast kernel needs room for the features in
 * it, 8 bytes a channel. work: aligned to words, 1216 bytes for the fast kernel, 1024 and 8 a channel for the
 * plain one. Returns the features [channels][4], in x or in work. */
typedef uint16_t *ni_convolution_kernel(const ni_convolutions *convolutions, int8_t *x, void *work);

enum { NI_TAPS = 9, NI_FEATURES = 4, NI_CEILING = 255 };

struct ni_convolutions {
    ni_convolution_kernel *kernel;
    const int8_t *weights; /* [channels][3][9]: layer, tap row by row */
    uint16_t channels;
    uint8_t shifts[3];
};

ni_convolution_kernel ni_plain_convolutions, ni_fast_convolutions;

/* One layer of the plain kernel, in place: accumulators [side - 2][side - 2] from activations [side][side]. */
void ni_plain_slide(int32_t *plane, uint32_t side, const int8_t *taps);

typedef struct {
    const ni_layer *layers;
    const ni_convolutions *convolutions; /* of a CNN, or NULL */
    uint16_t count;
} ni_network;

ni_kernel ni_plain_binary, ni_plain_ternary, ni_plain_2bitsym, ni_plain_4bitsym, ni_plain_4bit, ni_plain_8bit,
    ni_plain_fp130, ni_plain_nf4;
ni_kernel ni_fast_binary, ni_fast_ternary, ni_fast_2bitsym, ni_fast_4bitsym, ni_fast_4bit, ni_fast_8bit,
    ni_fast_fp130, ni_fast_nf4;

/* Activations from accumulators: with s the bit length of (largest y) >> 7,
 * x[o] = 0 where y[o] < 0, else min(127, (y[o] + ((1 << s) >> 1)) >> s). */
void ni_shift_norm(const int32_t *y, int8_t *x, uint32_t count);

/* The same for features, which are not negative. x may be where the features are. */
void ni_norm_features(const uint16_t *features, int8_t *x, uint32_t count);

/* Index of the largest value; the first maximum wins. */
uint32_t ni_argmax(const int32_t *y, uint32_t count);

/* Run all layers. x: the image, overwritten by activations, NI_MODEL_X bytes (of the network's header), aligned to
 * words. y: logits at the end, room for NI_MODEL_Y words. Returns the class. */
uint32_t ni_infer(const ni_network *network, int8_t *x, int32_t *y);

#ifdef __cplusplus
}
#endif

#endif
