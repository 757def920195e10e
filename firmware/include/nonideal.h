/* Inference of low-bit fully connected networks on int8 activations, without multiply, divide, heap or stdio.
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
 */
#ifndef NONIDEAL_H
#define NONIDEAL_H

#include <stdint.h>

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

typedef struct {
    const ni_layer *layers;
    uint16_t count;
} ni_network;

ni_kernel ni_plain_binary, ni_plain_ternary, ni_plain_2bitsym, ni_plain_4bitsym, ni_plain_4bit, ni_plain_8bit,
    ni_plain_fp130, ni_plain_nf4;
ni_kernel ni_fast_binary, ni_fast_ternary, ni_fast_2bitsym, ni_fast_4bitsym, ni_fast_4bit, ni_fast_8bit,
    ni_fast_fp130, ni_fast_nf4;

/* Activations from accumulators: with s the bit length of (largest y) >> 7,
 * x[o] = 0 where y[o] < 0, else min(127, (y[o] + ((1 << s) >> 1)) >> s). */
void ni_shift_norm(const int32_t *y, int8_t *x, uint32_t count);

/* Index of the largest value; the first maximum wins. */
uint32_t ni_argmax(const int32_t *y, uint32_t count);

/* Run all layers. x: the image, overwritten by activations, room for the widest layer. y: logits at the end,
 * room for the widest layer rounded up to a multiple of 32. Returns the class. */
uint32_t ni_infer(const ni_network *network, int8_t *x, int32_t *y);

#endif
