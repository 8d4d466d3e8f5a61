/* The vectors of an Armv6-M, Armv7-M or Armv8-M core. */
#ifndef START_H
#define START_H

#include <stdint.h>

struct vectors {
    uint32_t *stack_top;
    void (*handlers[15])(void); /* reset, NMI, faults, calls; SysTick is the last. Interrupts are never taken. */
};

extern const struct vectors vectors;

void start(void);
void fault(void);

/* SysTick's exception. */
void clock_wrapped(void);

#endif
