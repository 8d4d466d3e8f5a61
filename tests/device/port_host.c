/* The firmware's port on the host: the line is standard input and output, and there is no counter. */
#include <stdio.h>
#include <stdlib.h>

#include "port.h"
#include "wire.h"

const uint32_t clock_kind = WIRE_CLOCK_NONE, clock_hz = 0;

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
    return 0;
}
