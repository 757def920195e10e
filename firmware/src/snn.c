/* Spiking networks: neurons, and the loop over steps and layers. */
#include "nonideal_snn.h"
#include "internal.h"

#define NI_SNN_LEAK 2 /* beta = 2^-2 */
#define NI_SNN_GREY 128 /* kernels take int8: a current is counted from here */

/* floor(x / 2^NI_SNN_LEAK) without shifting a negative number. */
static int32_t leak(int32_t x) { return x >= 0 ? x >> NI_SNN_LEAK : ~(~x >> NI_SNN_LEAK); }

void ni_snn_step(const int32_t *drive, int32_t threshold, int32_t *states, int8_t *spikes, uint32_t count) {
    for (uint32_t j = 0; j < count; j++) {
        const int32_t charged = states[j] + leak(drive[j] - states[j]);
        const int8_t spike = charged >= threshold;
        states[j] = spike ? 0 : charged;
        spikes[j] = spike;
    }
}

/* Drives of one layer. A current c is NI_SNN_GREY + x with x in int8; the first part is the same for all inputs. */
static void charge(const ni_snn_layer *layer, const int8_t *x, int32_t *drive) {
    const ni_layer *synapses = &layer->synapses;
    synapses->kernel(synapses, x, drive);
    for (uint32_t j = 0; j < synapses->outputs; j++) {
        uint32_t sum = (uint32_t)drive[j];
        if (synapses->row_sums) sum += (uint32_t)synapses->row_sums[j] << 7;
        drive[j] = (int32_t)(sum << layer->shift);
    }
}

uint32_t ni_snn_infer(const ni_snn_network *network, const uint8_t *input, const ni_snn_work *work,
                      int32_t *counts, int8_t *trace) {
    const ni_snn_layer *const first = network->layers, *const last = first + network->count - 1;
    const uint32_t inputs = first->synapses.inputs, classes = last->synapses.outputs;
    const int constant = first->synapses.row_sums != 0;
    uint32_t neurons = 0;
    for (const ni_snn_layer *layer = first; layer <= last; layer++) neurons += layer->synapses.outputs;
    for (uint32_t j = 0; j < neurons; j++) work->states[j] = 0;
    for (uint32_t j = 0; j < classes; j++) counts[j] = 0;
    for (uint32_t t = 0; t < network->steps; t++) {
        const int8_t *x = work->signals;
        int8_t *spikes = work->signals + inputs;
        int32_t *states = work->states;
        if (t == 0 || !constant) {
            for (uint32_t i = 0; i < inputs; i++)
                work->signals[i] = (int8_t)(constant ? (int)*input++ - NI_SNN_GREY : *input++);
            charge(first, x, work->drive);
        }
        for (const ni_snn_layer *layer = first; layer <= last; layer++) {
            const uint32_t outputs = layer->synapses.outputs;
            const int32_t *drive = work->drive;
            if (layer != first) {
                charge(layer, x, work->sums);
                drive = work->sums;
            }
            ni_snn_step(drive, layer->threshold, states, spikes, outputs);
            x = spikes;
            spikes += outputs;
            states += outputs;
        }
        for (uint32_t j = 0; j < classes; j++) counts[j] += x[j];
        if (trace)
            for (const int8_t *p = work->signals + inputs; p < spikes; p++) *trace++ = *p;
    }
    return ni_argmax(counts, classes);
}
