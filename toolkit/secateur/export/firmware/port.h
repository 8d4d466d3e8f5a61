/* What a board is asked for: a serial line, and a counter if it has one. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

void port_start(void);

/* The next byte off the line; waits for it. */
uint8_t port_read(void);

/* Puts a byte on the line; waits for room. */
void port_write(uint8_t byte);

/* One of WIRE_CLOCK_*, and ticks per second. */
extern const uint32_t clock_kind, clock_hz;

/* Starts counting from zero. */
void clock_start(void);

/* Ends counting; gives the ticks since clock_start. */
uint32_t clock_stop(void);

#endif
