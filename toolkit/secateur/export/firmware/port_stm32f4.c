/* USART2 of an STM32F4, on PA2 and PA3: the ST-LINK's virtual port on a Nucleo-64, the deck's UART2 on a Crazyflie.
 * ST RM0090 and RM0390. Clocks stay as reset leaves them: the 16 MHz oscillator, no wait states. */
#include "board.h"
#include "port.h"

struct usart {
    uint32_t status, data, baud, control1;
};

#define USART2 ((volatile struct usart *)0x40004400u)
#define RCC_AHB1ENR (*(volatile uint32_t *)0x40023830u)
#define RCC_APB1ENR (*(volatile uint32_t *)0x40023840u)
#define GPIOA_MODER (*(volatile uint32_t *)0x40020000u)
#define GPIOA_AFRL (*(volatile uint32_t *)0x40020020u)

enum {
    GPIOA_CLOCK = 1 << 0,
    USART2_CLOCK = 1 << 17,
    PIN2_PIN3_MODE = 0xf << 4,
    PIN2_PIN3_ALTERNATE = 0xa << 4,
    PIN2_PIN3_FUNCTION = 0xff << 8,
    PIN2_PIN3_USART2 = 0x77 << 8,
    RECEIVED = 1 << 5,
    ROOM = 1 << 7,
    RECEIVER_ON = 1 << 2,
    TRANSMITTER_ON = 1 << 3,
    USART_ON = 1 << 13,
};

void port_start(void)
{
    RCC_AHB1ENR |= GPIOA_CLOCK;
    RCC_APB1ENR |= USART2_CLOCK;
    (void)RCC_APB1ENR; /* the clocks need a moment */
    GPIOA_AFRL = (GPIOA_AFRL & ~(uint32_t)PIN2_PIN3_FUNCTION) | PIN2_PIN3_USART2;
    GPIOA_MODER = (GPIOA_MODER & ~(uint32_t)PIN2_PIN3_MODE) | PIN2_PIN3_ALTERNATE;
    USART2->baud = (BOARD_UART_HZ + BOARD_BAUD / 2) / BOARD_BAUD; /* sixteenths of a step of 16 samples */
    USART2->control1 = USART_ON | TRANSMITTER_ON | RECEIVER_ON;
}

uint8_t port_read(void)
{
    while (!(USART2->status & RECEIVED)) {
    }
    return (uint8_t)USART2->data;
}

void port_write(uint8_t byte)
{
    while (!(USART2->status & ROOM)) {
    }
    USART2->data = byte;
}
