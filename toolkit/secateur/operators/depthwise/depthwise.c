/* Depthwise convolution, a channel of the target for each of the source: int8, requantised to int8.
 *
 * Four channels of a pixel at a time; their places in the source are looked up in a list of offsets, one for
 * each tap of the window, which is made anew only where the window meets an edge. The stream states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, channels,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every four channels; the last four overlap with those before where channels are no multiple:
 *         a bias per channel, less the zero point of the source times the sum of the weights;
 *         for every two taps: the weights of the first two channels, a byte each, for the one tap and for the
 *         other; then those of the other two channels; for an odd last tap its four weights alone;
 *         a multiplier per channel; in bytes the shifts to the right, then those to the left.
 *
 * scratch is room for an offset per tap, and for a pixel of padding if there is any.
 */
#include "secateur_kernels.h"
#include "secateur_requantise.h"

#if defined(__ARM_FEATURE_DSP)

/* The taps in pairs: of both the bytes of two channels are brought together, then made into int16 and
 * multiplied two by two. */
static inline const uint32_t *multiply(const uint32_t *stream, const int8_t *source, const int32_t *taps,
                                       const int32_t *end, int32_t sums[4])
{
    int32_t a = (int32_t)stream[0], b = (int32_t)stream[1], c = (int32_t)stream[2], d = (int32_t)stream[3];
    uint32_t one, two, part, first, second;
    stream += 4;
    const int32_t *const even = taps + ((end - taps) & ~1);
    __asm__ volatile("subs   %[part], %[even], %[taps]\n\t"
                     "beq    3f\n\t"
                     "tst    %[part], #8\n\t"
                     "bne    2f\n\t"
#define PAIR                                          \
    "ldrd   %[first], %[second], [%[taps]], #8\n\t"   \
    "ldr    %[one], [%[source], %[first]]\n\t"        \
    "ldr    %[two], [%[source], %[second]]\n\t"       \
    "ldrd   %[first], %[second], [%[stream]], #8\n\t" \
    "pkhbt  %[part], %[one], %[two], lsl #16\n\t"     \
    "pkhtb  %[two], %[two], %[one], asr #16\n\t"      \
    "sxtb16 %[one], %[part]\n\t"                      \
    "sxtb16 %[part], %[part], ror #8\n\t"             \
    "sxtb16 r8, %[first]\n\t"                         \
    "sxtb16 %[first], %[first], ror #8\n\t"           \
    "smlad  %[a], %[one], r8, %[a]\n\t"               \
    "smlad  %[b], %[part], %[first], %[b]\n\t"        \
    "sxtb16 %[one], %[two]\n\t"                       \
    "sxtb16 %[two], %[two], ror #8\n\t"               \
    "sxtb16 r8, %[second]\n\t"                        \
    "sxtb16 %[second], %[second], ror #8\n\t"         \
    "smlad  %[c], %[one], r8, %[c]\n\t"               \
    "smlad  %[d], %[two], %[second], %[d]\n\t"
                     "1:\n\t" PAIR "2:\n\t" PAIR
                     "cmp    %[taps], %[even]\n\t"
                     "bne    1b\n\t"
                     "3:"
                     : [taps] "+r"(taps), [stream] "+r"(stream), [a] "+r"(a), [b] "+r"(b),
                       [c] "+r"(c), [d] "+r"(d), [one] "=&r"(one), [two] "=&r"(two), [part] "=&r"(part),
                       [first] "=&r"(first), [second] "=&r"(second)
                     : [source] "r"(source), [even] "r"(even)
                     : "r8", "cc", "memory");
    if (taps != end) {
        one = *(const uint32_t *)(const void *)(source + *taps);
        two = *stream++;
        __asm__("sxtb16 %[part], %[one]\n\t"
                "sxtb16 %[first], %[two]\n\t"
                "smlabb %[a], %[part], %[first], %[a]\n\t"
                "smlatt %[c], %[part], %[first], %[c]\n\t"
                "sxtb16 %[part], %[one], ror #8\n\t"
                "sxtb16 %[first], %[two], ror #8\n\t"
                "smlabb %[b], %[part], %[first], %[b]\n\t"
                "smlatt %[d], %[part], %[first], %[d]"
                : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [part] "=&r"(part), [first] "=&r"(first)
                : [one] "r"(one), [two] "r"(two));
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
    return stream;
}

#else

static const uint32_t *multiply(const uint32_t *stream, const int8_t *source, const int32_t *taps,
                                const int32_t *end, int32_t sums[4])
{
    for (int32_t channel = 0; channel < 4; channel++) {
        sums[channel] = (int32_t)*stream++;
    }
    for (; end - taps > 1; taps += 2, stream += 2) {
        for (int32_t channel = 0; channel < 4; channel++) {
            const uint32_t weights = stream[channel / 2];
            const int32_t one = secateur_byte(weights, channel % 2) * source[taps[0] + channel];
            const int32_t two = secateur_byte(weights, channel % 2 + 2) * source[taps[1] + channel];
            sums[channel] = (int32_t)((uint32_t)sums[channel] + (uint32_t)(one + two));
        }
    }
    if (taps != end) {
        for (int32_t channel = 0; channel < 4; channel++) {
            const int32_t product = secateur_byte(*stream, channel) * source[*taps + channel];
            sums[channel] = (int32_t)((uint32_t)sums[channel] + (uint32_t)product);
        }
        stream++;
    }
    return stream;
}

#endif

static __attribute__((noinline)) void pixel(const uint32_t *stream, const int8_t *source, const int32_t *taps,
                                            const int32_t *end, int8_t *target, int32_t channels,
                                            int32_t zero_point)
{
    for (int32_t channel = 0; channel < channels; channel += 4) {
        int32_t sums[4];
        if (channel > channels - 4) {
            channel = channels - 4;
        }
        stream = multiply(stream, source + channel, taps, end, sums);
        const uint32_t right = stream[4], left = stream[5];
        if (left != 0) {
            sums[0] = secateur_shift_left(sums[0], left);
            sums[1] = secateur_shift_left(sums[1], left >> 8);
            sums[2] = secateur_shift_left(sums[2], left >> 16);
            sums[3] = secateur_shift_left(sums[3], left >> 24);
        }
        int8_t *const to = target + channel;
        to[0] = secateur_finish(sums[0], (int32_t)stream[0], right, zero_point);
        to[1] = secateur_finish(sums[1], (int32_t)stream[1], right >> 8, zero_point);
        to[2] = secateur_finish(sums[2], (int32_t)stream[2], right >> 16, zero_point);
        to[3] = secateur_finish(sums[3], (int32_t)stream[3], right >> 24, zero_point);
        stream += 6;
    }
}

void secateur_depthwise(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t source_width = (int32_t)(stream[1] & 0xFFFFu), source_height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t width = (int32_t)(stream[3] & 0xFFu), height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    int32_t *const taps = (int32_t *)(void *)scratch;
    const int32_t *const end = taps + width * height;
    int8_t *const padding = scratch + 4 * width * height;
    int32_t edges = 1;
    const int32_t rest = target_height * step_down - above - step_down + height - source_height;
    if (left > 0 || above > 0 || rest > 0 ||
        target_width * step_right - left - step_right + width > source_width) {
        for (int32_t channel = 0; channel < channels; channel++) {
            padding[channel] = (int8_t)stream[5];
        }
    }
    for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
        for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
            const int32_t origin = (y * source_width + x) * channels;
            const int32_t edge =
                x < 0 || y < 0 || x + width > source_width || y + height > source_height;
            if (edge || edges) {
                int32_t *tap = taps;
                for (int32_t row = 0; row < height; row++) {
                    for (int32_t column = 0; column < width; column++) {
                        *tap++ = y + row >= 0 && y + row < source_height && x + column >= 0 &&
                                         x + column < source_width
                                     ? (row * source_width + column) * channels
                                     : (int32_t)(padding - source) - origin;
                    }
                }
            }
            edges = edge;
            pixel(stream + 7, source + origin, taps, end, target, channels, (int32_t)stream[6]);
            target += channels;
        }
    }
}
