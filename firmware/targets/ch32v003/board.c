/* Clock and serial output of the CH32V003; registers from the CH32V003 reference manual. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_CTLR REGISTER(0x40021000)
#define RCC_CFGR0 REGISTER(0x40021004)
#define RCC_APB2PCENR REGISTER(0x40021018)
#define FLASH_ACTLR REGISTER(0x40022000)
#define GPIOD_CFGLR REGISTER(0x40011400)
#define USART1_STATR REGISTER(0x40013800)
#define USART1_DATAR REGISTER(0x40013804)
#define USART1_BRR REGISTER(0x40013808)
#define USART1_CTLR1 REGISTER(0x4001380c)

enum {
    PLL_ON = 1 << 24,
    PLL_READY = 1 << 25,
    CLOCK_FROM_PLL = 2,
    CLOCK_IS_PLL = 2 << 2,
    CLOCK_PORT_D = 1 << 5,
    CLOCK_USART1 = 1 << 14,
    PIN_5_SHIFT = 20,
    PIN_ALTERNATE_PUSH_PULL_50_MHZ = 0xb,
    BAUD_115200_AT_48_MHZ = 417,
    USART_ENABLE = 1 << 13,
    USART_TRANSMIT = 1 << 3,
    USART_EMPTY = 1 << 7
};

void board_start(void) {
    FLASH_ACTLR = 1; /* one wait state, needed above 24 MHz */
    RCC_CTLR |= PLL_ON;
    while (!(RCC_CTLR & PLL_READY)) {}
    RCC_CFGR0 = CLOCK_FROM_PLL; /* and no prescaler */
    while ((RCC_CFGR0 & (3 << 2)) != CLOCK_IS_PLL) {}
    RCC_APB2PCENR |= CLOCK_PORT_D | CLOCK_USART1;
    GPIOD_CFGLR = (GPIOD_CFGLR & ~(UINT32_C(0xf) << PIN_5_SHIFT)) |
                  ((uint32_t)PIN_ALTERNATE_PUSH_PULL_50_MHZ << PIN_5_SHIFT);
    USART1_BRR = BAUD_115200_AT_48_MHZ;
    USART1_CTLR1 = USART_ENABLE | USART_TRANSMIT;
}

static void board_byte(char byte) {
    while (!(USART1_STATR & USART_EMPTY)) {}
    USART1_DATAR = (uint8_t)byte;
}

void board_text(const char *text) {
    while (*text) board_byte(*text++);
}

void board_hex(uint32_t value) {
    for (uint32_t digit = 8; digit; digit--, value <<= 4) {
        const uint32_t nibble = value >> 28;
        board_byte((char)(nibble < 10 ? '0' + nibble : 'a' - 10 + nibble));
    }
}
