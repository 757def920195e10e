/* Inference of dense spiking networks on integers, on the layer kernels of nonideal.h.
 *
 * Leaky integrate-and-fire neurons with beta = 1/4, V_reset = 0 and hard reset. At each step, with X the
 * layer's weighted sum of inputs shifted left by `shift`:
 *
 *     H = V + floor((X - V) / 4);   spike = H >= threshold;   V = spike ? 0 : H
 *
 * V is 0 before the first step. The spikes of a layer are the next layer's inputs at the same step. The exporter
 * guarantees that X and the threshold stay below 2^30 in magnitude, so that no difference overflows.
 */
#ifndef NONIDEAL_SNN_H
#define NONIDEAL_SNN_H

#include "nonideal.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    ni_layer synapses; /* a ni_plain_* kernel; row_sums given: the input is a constant current, 0 .. 255 */
    int32_t threshold;
    uint8_t shift;
} ni_snn_layer;

typedef struct {
    const ni_snn_layer *layers; /* only the first may take a current */
    uint16_t count;
    uint16_t steps;
} ni_snn_network;

/* Memory of an inference; n is the number of all neurons. */
typedef struct {
    int32_t *states; /* [n] */
    int32_t *drive;  /* [outputs of the first layer, rounded up to a multiple of 32] */
    int32_t *sums;   /* [outputs of the widest layer, rounded up to a multiple of 32] */
    int8_t *signals; /* [inputs + n]: inputs of the first layer, then the spikes of all layers */
} ni_snn_work;

/* Weights of 16 bits in two's complement, two a word. */
ni_kernel ni_plain_16bit;

/* One step of `count` neurons: states V and drives X in, states and spikes (0 or 1) out. */
void ni_snn_step(const int32_t *drive, int32_t threshold, int32_t *states, int8_t *spikes, uint32_t count);

/* Run all steps. input: grey levels [inputs] if the first layer takes a current, else spikes [steps][inputs].
 * counts: spikes of each output. trace: spikes [steps][n] of all layers, or NULL. Returns the class: the output
 * with most spikes, the first of equals. */
uint32_t ni_snn_infer(const ni_snn_network *network, const uint8_t *input, const ni_snn_work *work,
                      int32_t *counts, int8_t *trace);

#ifdef __cplusplus
}
#endif

#endif
