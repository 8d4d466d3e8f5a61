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
#include "secateur_gather.h"
#include "secateur_requantise.h"

#if defined(__ARM_FEATURE_DSP)

/* Per quad one word of weights of each channel, four of the columns: sixteen products. The sums are those of
 * the first channel in both columns, then of the second. */
static inline const uint32_t *multiply_two(const uint32_t *stream, const secateur_pair_t *columns, const secateur_pair_t *end,
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

static inline const uint32_t *multiply_one(const uint32_t *stream, const secateur_pair_t *columns, const secateur_pair_t *end,
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

static const uint32_t *multiply(const uint32_t *stream, const secateur_pair_t *columns, const secateur_pair_t *end, int32_t sums[4],
                                int32_t rows)
{
    for (int32_t row = 0; row < rows; row++) {
        sums[2 * row] = sums[2 * row + 1] = (int32_t)*stream++;
    }
    for (; columns != end; columns += SECATEUR_QUAD_PAIRS) {
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

void secateur_conv_wide(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu);
    const int32_t pixels = target_width * (int32_t)(stream[0] >> 16);
    const int32_t channels = (int32_t)(stream[2] >> 16);
    const secateur_image_t layer = {
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
    secateur_pair_t *const columns = (secateur_pair_t *)(void *)scratch;
    const secateur_pair_t *const end = columns + layer.quads * layer.window_height * SECATEUR_QUAD_PAIRS;
    int32_t right = 0, down = 0;
    for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
        int8_t *one = target + pixel * channels, *two = one;
        secateur_gather(&layer, columns, right, down);
        if (++right == target_width) {
            right = 0;
            down++;
        }
        if (pixel + 1 < pixels) {
            two += channels;
            secateur_gather(&layer, columns + SECATEUR_QUAD_PAIRS / 2, right, down);
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
