/* SysTick as a counter: every Cortex-M but a few M0 has it. It counts 24 bits of the core's clock down; its exception,
 * which nothing else here uses, counts the wraps. */
#include "board.h"
#include "port.h"
#include "start.h"
#include "wire.h"

#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)
#define ICSR (*(volatile uint32_t *)0xe000ed04u)

enum { RUN = 7 /* core clock, exception, on */, PERIOD = 1 << 24, SYSTICK_PENDING = 1 << 26, SYSTICK_UNPEND = 1 << 25 };

const uint32_t clock_kind = BOARD_CLOCK, clock_hz = BOARD_CLOCK_HZ;

static volatile uint32_t wraps __asm__("clock_wraps");

/* Five instructions, whatever the compiler: an emulator's count is rid of them by the host. */
__attribute__((naked)) void clock_wrapped(void)
{
    __asm__("ldr r0, =clock_wraps\n\tldr r1, [r0]\n\tadds r1, #1\n\tstr r1, [r0]\n\tbx lr\n\t.ltorg");
}

void clock_start(void)
{
    wraps = 0;
    SYST_RVR = PERIOD - 1;
    SYST_CVR = 0;
    __asm__ volatile("cpsie i" ::: "memory");
    SYST_CSR = RUN;
}

uint32_t clock_stop(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
    uint32_t left = SYST_CVR;
    if (ICSR & SYSTICK_PENDING) { /* it wrapped just now */
        left = SYST_CVR;
        wraps++;
    }
    SYST_CSR = 0;
    ICSR = SYSTICK_UNPEND;
    return wraps * (uint32_t)PERIOD + (PERIOD - 1u - left);
}
