/* From reset to main on any Cortex-M, and the vectors. */
#include <stdint.h>

#include "start.h"

#define VTOR (*(volatile uint32_t *)0xe000ed08u)
#define AIRCR (*(volatile uint32_t *)0xe000ed0cu)
#define CPACR (*(volatile uint32_t *)0xe000ed88u)

enum { AIRCR_RESET = 0x05fa0004, CPACR_FPU = 0xf << 20 };

/* From the linker script. */
extern uint32_t image_stack_top[], image_data_load[], image_data[], image_data_end[], image_bss[], image_bss_end[];

int main(void);

void start(void)
{
    __asm__ volatile("cpsid i"); /* nothing is served by interrupts but the clock's wrap */
    VTOR = (uint32_t)&vectors;
    CPACR |= CPACR_FPU; /* ignored where there is none */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    const volatile uint32_t *from = image_data_load;
    for (volatile uint32_t *to = image_data; to < image_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = image_bss; to < image_bss_end; to++) {
        *to = 0;
    }
    main();
    fault();
}

/* A fault ends in a reset: the host sees that its session is gone, and begins anew or gives up. */
void fault(void)
{
    AIRCR = AIRCR_RESET;
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) const struct vectors vectors = {
    .stack_top = image_stack_top,
    .handlers = {start, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, clock_wrapped},
};
