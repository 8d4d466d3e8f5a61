/* The firmware's port on the host: the line is standard input and output, and there is no counter. With CYCLES_HZ there
   is one that counts 1,000 cycles more for each call than for the last, up to 64,000 and again from 0. */
#include <stdio.h>
#include <stdlib.h>

#include "port.h"
#include "wire.h"

#ifdef CYCLES_HZ
const uint32_t clock_kind = WIRE_CLOCK_CYCLES, clock_hz = CYCLES_HZ;
#else
const uint32_t clock_kind = WIRE_CLOCK_NONE, clock_hz = 0;
#endif

void port_start(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
}

uint8_t port_read(void)
{
    const int byte = getchar();
    if (byte == EOF) {
        exit(0);
    }
    return (uint8_t)byte;
}

void port_write(uint8_t byte)
{
    putchar(byte);
}

void clock_start(void)
{
}

uint32_t clock_stop(void)
{
#ifdef CYCLES_HZ
    static uint32_t calls;

    return 1000u * (calls++ % 65u);
#else
    return 0;
#endif
}
