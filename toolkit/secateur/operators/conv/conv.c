/* Convolution: int8 weights and activations, int32 sums, requantised to int8.
 *
 * Two pixels of the target at a time: their windows are gathered as two columns of int16, places beyond the
 * edges as the zero point; then all channels of the target read them, two by two. The stream states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, source's channels | target's << 16,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every two channels, and for the one that may be left:
 *         a bias per channel, less the zero point of the source times the sum of the weights;
 *         for every quad of the window, a word of four weights per channel;
 *         a multiplier per channel; in bytes the shifts to the right, then those to the left.
 *
 * A quad is four values that follow each other in a row of the window; rows are padded with zero weights to
 * whole quads. columns is room for 16 bytes per quad.
 */
#include "secateur_kernels.h"
#include "secateur_requantise.h"

typedef struct {
    const int8_t *source;
    int32_t width, height, channels;
    int32_t window_width, window_height, step_right, step_down, pad_left, pad_above;
    int32_t zero_point, quads;
} layer_t;

#if defined(__ARM_FEATURE_DSP)

typedef uint32_t pair_t; /* two int16 */
#define QUAD_PAIRS 4     /* per quad of both columns: even and odd values of the one, then of the other */

static inline pair_t *put_bytes(pair_t *to, uint32_t bytes)
{
    to[0] = secateur_even(bytes);
    to[1] = secateur_odd(bytes);
    return to + QUAD_PAIRS;
}

static inline pair_t *put_words(pair_t *to, const int8_t *from, const int8_t *end)
{
    uint32_t even, odd;
    __asm__ volatile("1:\n\t"
                     "ldr    %[odd], [%[from]], #4\n\t"
                     "cmp    %[from], %[end]\n\t"
                     "sxtb16 %[even], %[odd]\n\t"
                     "sxtb16 %[odd], %[odd], ror #8\n\t"
                     "strd   %[even], %[odd], [%[to]], #16\n\t"
                     "bne    1b"
                     : [to] "+r"(to), [from] "+r"(from), [even] "=&r"(even), [odd] "=&r"(odd)
                     : [end] "r"(end)
                     : "cc", "memory");
    return to;
}

/* Per quad one word of weights of each channel, four of the columns: sixteen products. The sums are those of
 * the first channel in both columns, then of the second. */
static inline const uint32_t *multiply_two(const uint32_t *stream, const pair_t *columns, const pair_t *end,
                                           int32_t sums[4])
{
    int32_t a, b, c, d;
    uint32_t first, second, part;
    __asm__ volatile("ldrd   %[a], %[c], [%[stream]], #8\n\t"
                     "sub    %[part], %[end], %[columns]\n\t"
                     "mov    %[b], %[a]\n\t"
                     "mov    %[d], %[c]\n\t"
                     "tst    %[part], #16\n\t"
                     "bne    2f\n\t"
#define QUAD                                          \
    "ldm    %[columns]!, {r8, r9, r10, r11}\n\t"      \
    "ldrd   %[first], %[second], [%[stream]], #8\n\t" \
    "sxtb16 %[part], %[first]\n\t"                    \
    "sxtb16 %[first], %[first], ror #8\n\t"           \
    "smlad  %[a], %[part], r8, %[a]\n\t"              \
    "smlad  %[b], %[part], r10, %[b]\n\t"             \
    "sxtb16 %[part], %[second]\n\t"                   \
    "smlad  %[a], %[first], r9, %[a]\n\t"             \
    "smlad  %[b], %[first], r11, %[b]\n\t"            \
    "sxtb16 %[second], %[second], ror #8\n\t"         \
    "smlad  %[c], %[part], r8, %[c]\n\t"              \
    "smlad  %[d], %[part], r10, %[d]\n\t"             \
    "smlad  %[c], %[second], r9, %[c]\n\t"            \
    "smlad  %[d], %[second], r11, %[d]\n\t"
                     "1:\n\t" QUAD "2:\n\t" QUAD
                     "cmp    %[columns], %[end]\n\t"
                     "bne    1b"
                     : [columns] "+r"(columns), [stream] "+r"(stream), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
                       [d] "=&r"(d), [first] "=&r"(first), [second] "=&r"(second), [part] "=&r"(part)
                     : [end] "r"(end)
                     : "r8", "r9", "r10", "r11", "cc", "memory");
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
    return stream;
}

static inline const uint32_t *multiply_one(const uint32_t *stream, const pair_t *columns, const pair_t *end,
                                           int32_t sums[4])
{
    int32_t a, b;
    uint32_t weights, part;
    __asm__ volatile("ldr    %[a], [%[stream]], #4\n\t"
                     "mov    %[b], %[a]\n\t"
                     "1:\n\t"
                     "ldm    %[columns]!, {r8, r9, r10, r11}\n\t"
                     "ldr    %[weights], [%[stream]], #4\n\t"
                     "sxtb16 %[part], %[weights]\n\t"
                     "sxtb16 %[weights], %[weights], ror #8\n\t"
                     "smlad  %[a], %[part], r8, %[a]\n\t"
                     "smlad  %[b], %[part], r10, %[b]\n\t"
                     "smlad  %[a], %[weights], r9, %[a]\n\t"
                     "smlad  %[b], %[weights], r11, %[b]\n\t"
                     "cmp    %[columns], %[end]\n\t"
                     "bne    1b"
                     : [columns] "+r"(columns), [stream] "+r"(stream), [a] "=&r"(a), [b] "=&r"(b),
                       [weights] "=&r"(weights), [part] "=&r"(part)
                     : [end] "r"(end)
                     : "r8", "r9", "r10", "r11", "cc", "memory");
    sums[0] = a;
    sums[1] = b;
    return stream;
}

#else

typedef int16_t pair_t;
#define QUAD_PAIRS 8 /* per quad: four values of the one column, four of the other */

static pair_t *put_bytes(pair_t *to, uint32_t bytes)
{
    for (int32_t index = 0; index < 4; index++) {
        to[index] = (int16_t)secateur_byte(bytes, index);
    }
    return to + QUAD_PAIRS;
}

static pair_t *put_words(pair_t *to, const int8_t *from, const int8_t *end)
{
    for (; from != end; from += 4, to += QUAD_PAIRS) {
        for (int32_t index = 0; index < 4; index++) {
            to[index] = from[index];
        }
    }
    return to;
}

static const uint32_t *multiply(const uint32_t *stream, const pair_t *columns, const pair_t *end, int32_t sums[4],
                                int32_t rows)
{
    for (int32_t row = 0; row < rows; row++) {
        sums[2 * row] = sums[2 * row + 1] = (int32_t)*stream++;
    }
    for (; columns != end; columns += QUAD_PAIRS) {
        for (int32_t row = 0; row < rows; row++, stream++) {
            for (int32_t index = 0; index < 4; index++) {
                const int32_t weight = secateur_byte(*stream, index);
                sums[2 * row] = (int32_t)((uint32_t)sums[2 * row] + (uint32_t)(weight * columns[index]));
                sums[2 * row + 1] =
                    (int32_t)((uint32_t)sums[2 * row + 1] + (uint32_t)(weight * columns[4 + index]));
            }
        }
    }
    return stream;
}

#define multiply_two(stream, columns, end, sums) multiply(stream, columns, end, sums, 2)
#define multiply_one(stream, columns, end, sums) multiply(stream, columns, end, sums, 1)

#endif

/* A row of a window: bytes first to last of it lie in the source, the others are padding. */
static pair_t *gather_row(const layer_t *layer, pair_t *to, int32_t offset, int32_t first, int32_t last)
{
    const uint32_t fill = (uint32_t)(layer->zero_point & 0xFF) * 0x01010101u;
    int32_t place = 0;
    const int32_t end = 4 * layer->quads;
    while (place < end) {
        if (place >= first && place + 4 <= last) {
            const int32_t bytes = (last - place) & ~3;
            const int8_t *const from = layer->source + (offset + place);
            to = put_words(to, from, from + bytes);
            place += bytes;
            continue;
        }
        uint32_t word = fill;
        if (place + 4 > first && place < last) {
            for (int32_t index = 3; index >= 0; index--) {
                const int32_t byte = place + index;
                const int32_t value =
                    byte >= first && byte < last ? layer->source[offset + byte] : layer->zero_point;
                word = word << 8 | (uint32_t)(value & 0xFF);
            }
        }
        to = put_bytes(to, word);
        place += 4;
    }
    return to;
}

static __attribute__((noinline)) void gather(const layer_t *layer, pair_t *to, int32_t right, int32_t down)
{
    const int32_t x = right * layer->step_right - layer->pad_left;
    int32_t y = down * layer->step_down - layer->pad_above;
    const int32_t over = x + layer->window_width - layer->width;
    const int32_t first = x < 0 ? -x * layer->channels : 0;
    const int32_t last = (layer->window_width - (over > 0 ? over : 0)) * layer->channels;
    for (int32_t row = 0; row < layer->window_height; row++, y++) {
        const int32_t inside = y >= 0 && y < layer->height;
        to = gather_row(layer, to, (y * layer->width + x) * layer->channels, first, inside ? last : 0);
    }
}

void secateur_conv(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu);
    const int32_t pixels = target_width * (int32_t)(stream[0] >> 16);
    const int32_t channels = (int32_t)(stream[2] >> 16);
    const layer_t layer = {
        source,
        (int32_t)(stream[1] & 0xFFFFu),
        (int32_t)(stream[1] >> 16),
        (int32_t)(stream[2] & 0xFFFFu),
        (int32_t)(stream[3] & 0xFFu),
        (int32_t)(stream[3] >> 8 & 0xFFu),
        (int32_t)(stream[3] >> 16 & 0xFFu),
        (int32_t)(stream[3] >> 24),
        (int32_t)(stream[4] & 0xFFFFu),
        (int32_t)(stream[4] >> 16),
        (int32_t)stream[5],
        ((int32_t)(stream[3] & 0xFFu) * (int32_t)(stream[2] & 0xFFFFu) + 3) / 4,
    };
    const int32_t zero_point = (int32_t)stream[6];
    pair_t *const columns = (pair_t *)(void *)scratch;
    const pair_t *const end = columns + layer.quads * layer.window_height * QUAD_PAIRS;
    int32_t right = 0, down = 0;
    for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
        int8_t *one = target + pixel * channels, *two = one;
        gather(&layer, columns, right, down);
        if (++right == target_width) {
            right = 0;
            down++;
        }
        if (pixel + 1 < pixels) {
            two += channels;
            gather(&layer, columns + QUAD_PAIRS / 2, right, down);
            if (++right == target_width) {
                right = 0;
                down++;
            }
        }
        const uint32_t *part = stream + 7; /* a last pixel alone has nothing in the other column, and is written last */
        int32_t sums[4];
        for (int32_t left = channels; left > 1; left -= 2) {
            part = multiply_two(part, columns, end, sums);
            const int32_t first = (int32_t)part[0], second = (int32_t)part[1];
            const uint32_t shifts = part[2];
            if (shifts >> 16 != 0) {
                sums[0] = secateur_shift_left(sums[0], shifts >> 16);
                sums[1] = secateur_shift_left(sums[1], shifts >> 16);
                sums[2] = secateur_shift_left(sums[2], shifts >> 24);
                sums[3] = secateur_shift_left(sums[3], shifts >> 24);
            }
            *two++ = secateur_finish(sums[1], first, shifts, zero_point);
            *one++ = secateur_finish(sums[0], first, shifts, zero_point);
            *two++ = secateur_finish(sums[3], second, shifts >> 8, zero_point);
            *one++ = secateur_finish(sums[2], second, shifts >> 8, zero_point);
            part += 3;
        }
        if (channels % 2 != 0) {
            part = multiply_one(part, columns, end, sums);
            sums[0] = secateur_shift_left(sums[0], part[1] >> 16);
            sums[1] = secateur_shift_left(sums[1], part[1] >> 16);
            *two = secateur_finish(sums[1], (int32_t)part[0], part[1], zero_point);
            *one = secateur_finish(sums[0], (int32_t)part[0], part[1], zero_point);
        }
    }
}
