/* The board's side of the protocol, see wire.py. One request at a time, each carried out once. */
#include "serve.h"

#include "frame.h"
#include "model.h"
#include "port.h"

static struct frame_reader reader;
static uint8_t answer[WIRE_LARGEST_FRAME];
static uint32_t answer_size; /* of the last answer, kept to be sent again */
static uint32_t session;     /* 0: none since the reset */
static uint32_t sequence;    /* of the last request */
static uint32_t input_bytes, output_bytes;
static uint32_t filled; /* bytes of the inputs that were written since the last step */
static uint32_t fresh;  /* the outputs are of the last step, nothing was written over them */
static uint32_t clock_overhead;
static uint32_t counters[COUNTERS];

static uint32_t total(const struct model_tensor *tensors, uint32_t count)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += tensors[i].size;
    }
    return size;
}

/* The byte at an offset into tensors that follow each other; offset is below their total. */
static uint8_t *at(const struct model_tensor *tensors, uint32_t offset)
{
    while (offset >= tensors->size) {
        offset -= tensors->size;
        tensors++;
    }
    return tensors->bytes() + offset;
}

static void nothing(void)
{
}

/* Ticks of a call. Through a volatile pointer, so that every call is made in the same way. */
static uint32_t timed(void (*call)(void))
{
    void (*volatile pointer)(void) = call;
    call = pointer;
    clock_start();
    call();
    return clock_stop();
}

static void put(uint8_t byte)
{
    counters[COUNT_SENT_BYTES]++;
    port_write(byte);
}

static void send(const uint8_t *frame, uint32_t size)
{
    frame_put(frame, size, put);
    counters[COUNT_SENT_FRAMES]++;
}

static void reply(uint32_t type, uint32_t of_session, uint32_t of_sequence, uint32_t payload_size)
{
    answer_size = frame_seal(answer, type | WIRE_REPLY, of_sequence, of_session, payload_size);
    send(answer, answer_size);
}

static void refuse(uint32_t why, uint32_t of_session, uint32_t of_sequence)
{
    answer[HEADER_BYTES] = (uint8_t)why;
    reply(WIRE_REFUSED, of_session, of_sequence, 1);
}

/* Tells the host at once, so that it need not wait for its time-out. The last answer stays as it is. */
static void complain(void)
{
    uint8_t notice[WIRE_SMALLEST_FRAME + 1];
    notice[HEADER_BYTES] = WIRE_DAMAGED;
    send(notice, frame_seal(notice, WIRE_REFUSED | WIRE_REPLY, 0, 0, 1));
}

static uint32_t hello(uint8_t *out)
{
    filled = fresh = 0;
    if (model_init) {
        model_init();
    }
    set16(out + HELLO_VERSION, WIRE_VERSION);
    out[HELLO_CLOCK] = (uint8_t)clock_kind;
    set32(out + HELLO_CLOCK_HZ, clock_hz);
    set32(out + HELLO_CLOCK_OVERHEAD_TICKS, clock_overhead);
    set32(out + HELLO_INPUT_BYTES, input_bytes);
    set32(out + HELLO_OUTPUT_BYTES, output_bytes);
    for (uint32_t i = 0; i < sizeof model_sha256; i++) {
        out[HELLO_MODEL_SHA256 + i] = model_sha256[i];
    }
    for (uint32_t i = 0; i < model_layout_bytes; i++) {
        out[HELLO_BYTES + i] = model_layout[i];
    }
    return HELLO_BYTES + model_layout_bytes;
}

/* Takes the next bytes of the inputs: from their start, or from where the last ones ended. */
static int fill(uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    if ((offset != 0 && offset != filled) || offset > input_bytes || size > input_bytes - offset) {
        return 0;
    }
    fresh = 0;
    for (uint32_t i = 0; i < size; i++) {
        *at(model_inputs, offset + i) = bytes[i];
    }
    filled = offset + size;
    return 1;
}

/* As many bytes of the outputs as there are and fit. */
static uint32_t drain(uint32_t offset, uint8_t *out, uint32_t room)
{
    uint32_t size = 0;
    while (size < room && offset + size < output_bytes) {
        out[size] = *at(model_outputs, offset + size);
        size++;
    }
    return size;
}

static uint32_t step(uint8_t *out)
{
    set32(out + STEPPED_TICKS, timed(model_step));
    filled = 0;
    fresh = 1;
    counters[COUNT_STEPS]++;
    return STEPPED_BYTES + drain(0, out + STEPPED_BYTES, WIRE_MAX_PAYLOAD - STEPPED_BYTES);
}

static uint32_t status(uint8_t *out)
{
    for (uint32_t i = 0; i < COUNTERS; i++) {
        set32(out + 4 * i, counters[i]);
    }
    return 4 * COUNTERS;
}

/* Carries out a request that was not seen before. */
static void carry_out(uint32_t type, const uint8_t *payload, uint32_t size)
{
    uint8_t *const out = answer + HEADER_BYTES;
    const int placed = size >= PLACE_BYTES;
    const uint32_t offset = placed ? get32(payload + PLACE_OFFSET) : 0;
    const uint8_t *const rest = payload + PLACE_BYTES;
    uint32_t refusal = WIRE_WRONG_PLACE, answered = 0;
    switch (type) {
    case WIRE_HELLO:
        answered = hello(out);
        refusal = 0;
        break;
    case WIRE_WRITE:
        if (placed && fill(offset, rest, size - PLACE_BYTES)) {
            refusal = 0;
        }
        break;
    case WIRE_STEP:
        if (placed && fill(offset, rest, size - PLACE_BYTES) && filled == input_bytes) {
            answered = step(out);
            refusal = 0;
        }
        break;
    case WIRE_READ:
        if (placed && fresh && offset < output_bytes) {
            answered = drain(offset, out, WIRE_MAX_PAYLOAD);
            refusal = 0;
        }
        break;
    case WIRE_STATUS:
        answered = status(out);
        refusal = 0;
        break;
    default:
        refusal = WIRE_UNKNOWN_TYPE;
    }
    if (refusal) {
        refuse(refusal, session, sequence);
    } else {
        reply(type, session, sequence, answered);
    }
}

static void take(const uint8_t *frame, uint32_t size)
{
    const uint32_t type = frame[HEADER_TYPE];
    const uint32_t of_session = get32(frame + HEADER_SESSION), of_sequence = get16(frame + HEADER_SEQUENCE);
    if (type & WIRE_REPLY) { /* ours, come back: a line that echoes */
        counters[COUNT_DROPPED_FRAMES]++;
        return;
    }
    if (of_session != session || session == 0) {
        if (type != WIRE_HELLO || of_session == 0) {
            refuse(WIRE_NO_SESSION, of_session, of_sequence);
            return;
        }
        session = of_session;
    } else if (of_sequence == sequence) {
        counters[COUNT_REPEATED_FRAMES]++;
        send(answer, answer_size);
        return;
    } else if (of_sequence != ((sequence + 1u) & 0xffffu) || type == WIRE_HELLO) {
        counters[COUNT_DROPPED_FRAMES]++;
        return;
    }
    sequence = of_sequence;
    carry_out(type, frame + HEADER_BYTES, size - WIRE_SMALLEST_FRAME);
}

void serve_start(void)
{
    input_bytes = total(model_inputs, model_input_count);
    output_bytes = total(model_outputs, model_output_count);
    clock_overhead = timed(nothing);
}

void serve_byte(uint8_t byte)
{
    counters[COUNT_RECEIVED_BYTES]++;
    const enum frame_event event = frame_take(&reader, byte);
    if (event == FRAME_WHOLE) {
        counters[COUNT_RECEIVED_FRAMES]++;
        take(reader.bytes, reader.size);
    } else if (event == FRAME_DAMAGED) {
        counters[COUNT_DAMAGED_FRAMES]++;
        complain();
    }
}
