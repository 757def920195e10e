/* Clock and serial output of the CH32V003; registers from the CH32V003 reference manual. */
#ifndef NI_BOARD_H
#define NI_BOARD_H

#include <stdint.h>

/* 48 MHz from the internal oscillator, one flash wait state; USART1 on PD5, 115200 baud, 8N1. */
void board_start(void);

void board_text(const char *text);

/* Eight hexadecimal digits. */
void board_hex(uint32_t value);

#endif
