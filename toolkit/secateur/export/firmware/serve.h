/* The board's side of the protocol: bytes of requests in, bytes of answers out. */
#ifndef SERVE_H
#define SERVE_H

#include <stdint.h>

void serve_start(void);
void serve_byte(uint8_t byte);

#endif
