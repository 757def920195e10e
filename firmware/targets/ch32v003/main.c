/* Program for the CH32V003.
 *
 * Without NI_BOARD it waits for an emulator: run from ni_ready to ni_done classifies the image in ni_image.
 * With NI_BOARD it classifies the model's golden images and prints logits and verdicts on USART1, once after reset. */
#include "nonideal.h"

#include "model.h"
#include "../../src/work.h"

/* The image lies in RAM; activations overwrite it, and the features of a CNN do. */
uint16_t ni_image[NI_MODEL_X / 2] __attribute__((aligned(4)));
uint32_t ni_class;

#ifdef NI_SHARED_MEMORY
int32_t ni_logits[NI_MODEL_OUTPUTS];
static uint32_t infer(void) {
    const uint32_t found = ni_infer(&ni_model, (int8_t *)ni_image, ni_memory.layers.y);
    for (uint32_t o = 0; o < NI_MODEL_OUTPUTS; o++) ni_logits[o] = ni_memory.layers.y[o];
    return found;
}
#else
int32_t ni_logits[NI_MAX_WIDTH];
static uint32_t infer(void) { return ni_infer(&ni_model, (int8_t *)ni_image, ni_logits); }
#endif

#ifdef NI_BOARD

#include "board.h"

static void print_logits(uint32_t image) {
    board_text("image ");
    board_hex(image);
    board_text(" class ");
    board_hex(ni_class);
    board_text(" logits");
    for (uint32_t o = 0; o < NI_MODEL_OUTPUTS; o++) {
        board_text(" ");
        board_hex((uint32_t)ni_logits[o]);
    }
}

int main(void) {
    board_start();
    for (uint32_t image = 0; image < NI_GOLDEN; image++) {
        for (uint32_t i = 0; i < NI_MODEL_INPUTS; i++) ((int8_t *)ni_image)[i] = ni_golden_images[image][i];
        ni_class = infer();
        print_logits(image);
        uint32_t wrong = 0;
        for (uint32_t o = 0; o < NI_MODEL_OUTPUTS; o++) wrong |= ni_logits[o] != ni_golden_logits[image][o];
        board_text(wrong ? " DIFFERENT\r\n" : " ok\r\n");
    }
    for (;;) {}
}

#else

/* Labels for the emulator; the loop makes the compiler keep both. */
int main(void) {
    for (;;) {
        __asm__ volatile(".globl ni_ready\nni_ready:" ::: "memory");
        ni_class = infer();
        __asm__ volatile(".globl ni_done\nni_done:" ::: "memory");
    }
}

#endif
