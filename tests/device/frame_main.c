/* The frame code as a filter, for tests. Each command: 'D' or 'E', a 32-bit count, that many bytes.
 * D: decodes; answers with the size and bytes of each whole frame, then size 0, then the number of damaged ones.
 * E: a body (type, sequence, session, payload) is sealed and put; answers with the count and the bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "frame.h"

static uint8_t line[2 * WIRE_LARGEST_FRAME];
static uint32_t line_size;

static void put(uint8_t byte)
{
    if (line_size == sizeof line) {
        abort();
    }
    line[line_size++] = byte;
}

static uint32_t number(void)
{
    uint8_t bytes[4];
    if (fread(bytes, 1, sizeof bytes, stdin) != sizeof bytes) {
        exit(0);
    }
    return get32(bytes);
}

static void answer(uint32_t value)
{
    uint8_t bytes[4];
    set32(bytes, value);
    fwrite(bytes, 1, sizeof bytes, stdout);
}

static void decode(uint32_t count)
{
    struct frame_reader reader = {0};
    uint32_t damaged = 0;
    for (uint32_t i = 0; i < count; i++) {
        const enum frame_event event = frame_take(&reader, (uint8_t)getchar());
        damaged += event == FRAME_DAMAGED;
        if (event == FRAME_WHOLE) {
            answer(reader.size);
            fwrite(reader.bytes, 1, reader.size, stdout);
        }
    }
    answer(0);
    answer(damaged);
}

static void encode(uint32_t count)
{
    uint8_t bytes[WIRE_LARGEST_FRAME], given[WIRE_LARGEST_FRAME];
    if (count < HEADER_LENGTH || count > HEADER_LENGTH + WIRE_MAX_PAYLOAD ||
        fread(given, 1, count, stdin) != count) {
        abort();
    }
    const uint32_t payload = count - HEADER_LENGTH;
    for (uint32_t i = 0; i < payload; i++) {
        bytes[HEADER_BYTES + i] = given[HEADER_LENGTH + i];
    }
    const uint32_t size = frame_seal(bytes, given[HEADER_TYPE], get16(given + HEADER_SEQUENCE),
                                     get32(given + HEADER_SESSION), payload);
    line_size = 0;
    const uint32_t sent = frame_put(bytes, size, put);
    answer(sent);
    fwrite(line, 1, line_size, stdout);
}

int main(void)
{
    for (;;) {
        const int command = getchar();
        if (command == EOF) {
            return 0;
        }
        const uint32_t count = number();
        if (command == 'D') {
            decode(count);
        } else {
            encode(count);
        }
        fflush(stdout);
    }
}
