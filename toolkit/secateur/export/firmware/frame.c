/* Frames, see frame.h. */
#include "frame.h"

enum { LONGEST_BLOCK = 254, CRC_BYTES = WIRE_SMALLEST_FRAME - HEADER_BYTES };

/* CRC-32 of IEEE 802.3, reflected, four bits at a time. */
static uint32_t crc32(const uint8_t *bytes, uint32_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu,
    };
    uint32_t crc = 0xffffffffu;
    for (uint32_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

uint32_t get16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

uint32_t get32(const uint8_t *bytes)
{
    return get16(bytes) | get16(bytes + 2) << 16;
}

void set16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

void set32(uint8_t *bytes, uint32_t value)
{
    set16(bytes, value);
    set16(bytes + 2, value >> 16);
}

static int is_frame(const struct frame_reader *reader)
{
    if (reader->damaged || reader->left || reader->size < WIRE_SMALLEST_FRAME) {
        return 0;
    }
    const uint32_t content = reader->size - CRC_BYTES;
    return get16(reader->bytes + HEADER_LENGTH) == content - HEADER_BYTES &&
           get32(reader->bytes + content) == crc32(reader->bytes, content);
}

static void append(struct frame_reader *reader, uint8_t byte)
{
    if (reader->size < WIRE_LARGEST_FRAME) {
        reader->bytes[reader->size++] = byte;
    } else {
        reader->damaged = 1;
    }
}

enum frame_event frame_take(struct frame_reader *reader, uint8_t byte)
{
    if (byte == 0) {
        const enum frame_event event = !reader->begun ? FRAME_NONE : is_frame(reader) ? FRAME_WHOLE : FRAME_DAMAGED;
        reader->begun = 0;
        return event;
    }
    if (!reader->begun) {
        reader->begun = 1;
        reader->size = 0;
        reader->left = reader->zero = reader->damaged = 0;
    }
    if (reader->left) {
        append(reader, byte);
        reader->left--;
        return FRAME_NONE;
    }
    if (reader->zero) {
        append(reader, 0);
    }
    reader->left = (uint8_t)(byte - 1u);
    reader->zero = byte <= LONGEST_BLOCK;
    return FRAME_NONE;
}

uint32_t frame_seal(uint8_t *bytes, uint32_t type, uint32_t sequence, uint32_t session, uint32_t payload_size)
{
    const uint32_t content = HEADER_BYTES + payload_size;
    bytes[HEADER_TYPE] = (uint8_t)type;
    set16(bytes + HEADER_SEQUENCE, sequence);
    set32(bytes + HEADER_SESSION, session);
    set16(bytes + HEADER_LENGTH, payload_size);
    set32(bytes + content, crc32(bytes, content));
    return content + CRC_BYTES;
}

uint32_t frame_put(const uint8_t *bytes, uint32_t size, void (*put)(uint8_t byte))
{
    uint32_t count = 2, start = 0, more = 1;
    put(0);
    while (more) {
        uint32_t length = 0;
        while (length < LONGEST_BLOCK && start + length < size && bytes[start + length] != 0) {
            length++;
        }
        put((uint8_t)(length + 1u));
        for (uint32_t i = 0; i < length; i++) {
            put(bytes[start + i]);
        }
        count += length + 1u;
        start += length;
        if (length < LONGEST_BLOCK) { /* it ended at a zero, which it stands for, or at the end */
            more = start < size;
            start++;
        }
    }
    put(0);
    return count;
}
