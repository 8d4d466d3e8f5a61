/* The UART of Arm's Cortex-M System Design Kit, as Arm's MPS2 and MPS3 boards have it. Arm DDI 0479: APB UART. */
#include "board.h"
#include "port.h"

struct uart {
    uint32_t data, state, control, interrupt, baud_divisor;
};

#define UART ((volatile struct uart *)BOARD_UART)
#define NVIC_ENABLE ((volatile uint32_t *)0xe000e100u)
#define NVIC_DISABLE ((volatile uint32_t *)0xe000e180u)
#define NVIC_UNPEND ((volatile uint32_t *)0xe000e280u)

enum {
    TX_FULL = 1,
    RX_FULL = 2,
    TX_ON = 1,
    RX_ON = 2,
    RX_INTERRUPT_ON = 8,
    WORD = BOARD_UART_IRQ / 32,
};

static const uint32_t irqs = 3u << BOARD_UART_IRQ % 32; /* of receiving and of sending, next to each other */

void port_start(void)
{
    UART->baud_divisor = BOARD_UART_HZ / BOARD_BAUD;
    UART->control = TX_ON | RX_ON | RX_INTERRUPT_ON;
}

/* Sleeps until the UART asks for an interrupt. They are masked: it wakes the core and is never taken. */
static void sleep(void)
{
    NVIC_ENABLE[WORD] = irqs;
    if (!(UART->state & RX_FULL)) {
        __asm__ volatile("dsb\n\twfi" ::: "memory");
    }
    NVIC_DISABLE[WORD] = irqs;
}

uint8_t port_read(void)
{
    while (!(UART->state & RX_FULL)) {
        sleep();
    }
    const uint8_t byte = (uint8_t)UART->data;
    UART->interrupt = RX_FULL; /* writing a one clears it */
    NVIC_UNPEND[WORD] = irqs;
    return byte;
}

void port_write(uint8_t byte)
{
    while (UART->state & TX_FULL) {
    }
    UART->data = byte;
}
