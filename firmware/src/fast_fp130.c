/* Activation-walking kernel, format fp130: bit 3 is the sign, bits 2..0 the exponent; 8 codes a word, a row for
 * each input. A product is the activation shifted; the sums of the eight outputs of a word stay in registers
 * while all active inputs pass. Example: weights (-128, +1, +2) are codes 15, 0, 1, the word 0x10f. */
#include "internal.h"
#include "work.h" /* NI_ACTIVE */

#if NI_ACTIVE < 1
#error "no RAM is left for a list of active inputs"
#endif

typedef struct {
    const uint32_t *row; /* NULL ends the list */
    uint32_t value;
} active_row;

static active_row active[NI_ACTIVE + 1];

/* sums[0 .. 8 * words - 1] += values of `list` times weights of their rows. */
#if defined(NI_ASSEMBLY)
void ni_rows_fp130(const active_row *list, uint32_t words, uint32_t *sums);
#else
static void ni_rows_fp130(const active_row *list, uint32_t words, uint32_t *sums) {
    for (uint32_t j = 0; j < words; j++, sums += 8)
        for (const active_row *in = list; in->row; in++) {
            const uint32_t word = in->row[j];
            for (uint32_t k = 0; k < 8; k++) {
                const uint32_t term = in->value << ((word >> (4 * k)) & 7);
                sums[k] += (word >> (4 * k)) & 8 ? -term : term;
            }
        }
}
#endif

NI_RAM void ni_fast_fp130(const ni_layer *layer, const int8_t *x, int32_t *y) {
    const int32_t ground = layer->row_sums ? *x : 0; /* as in lanes.h */
    ni_start(layer, ground, 0, y);
    const uint32_t *row = layer->weights;
    const int8_t *const end = x + layer->inputs;
    while (x < end) {
        active_row *next = active;
        for (; x < end && next < active + NI_ACTIVE; row += layer->stride) {
            const uint32_t value = (uint32_t)(*x++ - ground);
            if (!value) continue;
            next->row = row;
            next++->value = value;
        }
        next->row = 0;
        if (next > active) ni_rows_fp130(active, layer->stride, (uint32_t *)y);
    }
}
