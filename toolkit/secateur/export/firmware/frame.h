/* Frames: bytes from the line become whole, checked frames; frames become bytes for the line.
 * The frame is described in wire.py; wire.h holds its constants. */
#ifndef FRAME_H
#define FRAME_H

#include <stdint.h>

#include "wire.h"

enum frame_event { FRAME_NONE, FRAME_WHOLE, FRAME_DAMAGED };

/* What came since the last zero. All zero is its first state. */
struct frame_reader {
    uint8_t bytes[WIRE_LARGEST_FRAME]; /* header, payload, CRC-32 */
    uint32_t size;
    uint8_t begun;   /* a block has begun since the last zero */
    uint8_t left;    /* bytes that the block still has */
    uint8_t zero;    /* a zero follows the block if another block does */
    uint8_t damaged; /* too long: not a frame, whatever comes */
};

/* Takes one byte off the line. After FRAME_WHOLE, reader->bytes hold the frame and reader->size its size, until the
 * next byte is taken. */
enum frame_event frame_take(struct frame_reader *reader, uint8_t byte);

/* Fills in header and CRC-32 around a payload that lies at bytes + HEADER_BYTES. Gives the size of the whole. */
uint32_t frame_seal(uint8_t *bytes, uint32_t type, uint32_t sequence, uint32_t session, uint32_t payload_size);

/* Stuffs a sealed frame and puts it on the line, zeros around it. Gives the number of bytes put. */
uint32_t frame_put(const uint8_t *bytes, uint32_t size, void (*put)(uint8_t byte));

/* Little-endian numbers at any address. */
uint32_t get16(const uint8_t *bytes);
uint32_t get32(const uint8_t *bytes);
void set16(uint8_t *bytes, uint32_t value);
void set32(uint8_t *bytes, uint32_t value);

#endif
