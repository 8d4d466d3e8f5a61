/* Depthwise convolution with a window of any size, a channel of the target for each of the source.
 *
 * Four channels at a time, through the whole image: their weights are spread out to int16 in scratch; for each row of
 * the target the rows of the source below it are spread out too, two by two, a column of them serving every pixel whose
 * window it is in. Of an odd number of rows the last one is taken twice, the second time by weights of zero. The stream
 * states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, channels,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every four channels; the last four overlap with those before where channels are no multiple:
 *         a bias per channel, less the zero point of the source times the sum of the weights;
 *         for every column of the window, for every two rows of it, in bytes: upper and lower row of channels 0 and 1
 *         (0, 1, then 0, 1), of channels 2 and 3;
 *         a multiplier per channel; in bytes the shifts to the right.
 *
 * scratch is room for 52 bytes, for 16 for each two rows of each column of the window, rounded up to four of them, and
 * of each column of the source that a row of the target needs; and for 48 that are read and not used.
 */
#include "secateur_kernels.h"
#include "secateur_requantise.h"

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)

#define PAIR_WORDS 4 /* of four channels: two values of each */

/* Two rows of four channels to be spread out; one beyond the source stays at a word of padding. */
typedef struct {
    int32_t move[2];     /* to the next column, in bytes */
    const int8_t *from[2];
    int32_t column;      /* bytes of a column */
    uint32_t *to, *last;
} spread_t;

/* A row of four channels of the target. */
typedef struct {
    int8_t *target;
    int32_t channels;
    int32_t step;        /* from behind a pixel's columns to those of the next, in bytes */
    const uint32_t *end; /* where columns would start after the last pixel */
    int32_t constants_bytes;
    const uint32_t *weights_end;
    const uint32_t *columns;
    const uint32_t *constants; /* biases, weights column by column, multipliers, shifts, zero point */
} row_t;

void secateur_depthwise_rows_spread(const spread_t *spread);
void secateur_depthwise_rows_pixels(const row_t *row);

/* Pixel by pixel: r0 columns, r1 constants, r2 to r5 sums; four pairs of rows at a time. */
__asm__(
    ".syntax unified\n\t"
    ".section .text.secateur_depthwise_rows_spread,\"ax\",%progbits\n\t"
    ".balign 4\n\t"
    ".type secateur_depthwise_rows_spread, %function\n\t"
    ".global secateur_depthwise_rows_spread\n\t"
    ".thumb_func\n"
    "secateur_depthwise_rows_spread:\n\t"
    "push   {r4-r11, lr}\n\t"
    "ldm    r0, {r0, r6, r9-r12, lr}\n"
    "1:\n\t"
    "ldr    r3, [r9]\n\t"
    "ldr    r4, [r10]\n\t"
    "add    r9, r0\n\t"
    "add    r10, r6\n\t"
    "pkhbt  r2, r3, r4, lsl #16\n\t"
    "pkhtb  r4, r4, r3, asr #16\n\t"
    "sxtb16 r1, r2\n\t"
    "sxtb16 r2, r2, ror #8\n\t"
    "sxtb16 r3, r4\n\t"
    "sxtb16 r4, r4, ror #8\n\t"
    "stm    r12, {r1-r4}\n\t"
    "add    r12, r11\n\t"
    "cmp    r12, lr\n\t"
    "bne    1b\n\t"
    "pop    {r4-r11, pc}\n\t"
    ".size  secateur_depthwise_rows_spread, . - secateur_depthwise_rows_spread\n\t"
    ".section .text.secateur_depthwise_rows_pixels,\"ax\",%progbits\n\t"
    ".balign 4\n\t"
    ".type secateur_depthwise_rows_pixels, %function\n\t"
    ".global secateur_depthwise_rows_pixels\n\t"
    ".thumb_func\n"
    "secateur_depthwise_rows_pixels:\n\t"
    "push   {r4-r11, lr}\n\t"
    "ldm    r0!, {r6-r11}\n\t"
    "push   {r6-r11}\n\t"
    "ldrd   r0, r1, [r0]\n"
    "1:\n\t"
    "ldm    r1!, {r2-r5}\n"
    "2:\n\t"
#define PAIR                             \
    "ldm    r0!, {r6, r7, r12, lr}\n\t"  \
    "ldm    r1!, {r8-r11}\n\t"           \
    "smlad  r2, r6, r8, r2\n\t"          \
    "smlad  r3, r7, r9, r3\n\t"          \
    "smlad  r4, r12, r10, r4\n\t"        \
    "smlad  r5, lr, r11, r5\n\t"
    PAIR PAIR PAIR PAIR
    "ldr    r6, [sp, #20]\n\t"
    "cmp    r1, r6\n\t"
    "bne    2b\n\t"
    "ldm    r1!, {r8-r11}\n\t"
    "smmlar r2, r2, r8, r2\n\t"
    "smmlar r3, r3, r9, r3\n\t"
    "smmlar r4, r4, r10, r4\n\t"
    "smmlar r5, r5, r11, r5\n\t"
    "ldm    r1!, {r8-r12}\n\t"
/* As in secateur_requantise.h, after SMMLAR. */
#define FINISH(sum, shift)                          \
    "adds   " sum ", " sum ", " sum ", asr #31\n\t" \
    "asrs   " sum ", " sum ", " shift "\n\t"        \
    "adc    " sum ", " sum ", r12\n\t"              \
    "ssat   " sum ", #8, " sum "\n\t"
    FINISH("r2", "r8")
    FINISH("r3", "r9")
    FINISH("r4", "r10")
    FINISH("r5", "r11")
    "ldm    sp, {r6-r10}\n\t"
    "strb   r2, [r6]\n\t"
    "strb   r3, [r6, #1]\n\t"
    "strb   r4, [r6, #2]\n\t"
    "strb   r5, [r6, #3]\n\t"
    "add    r6, r7\n\t"
    "str    r6, [sp]\n\t"
    "sub    r1, r10\n\t"
    "add    r0, r8\n\t"
    "cmp    r0, r9\n\t"
    "bne    1b\n\t"
    "add    sp, #24\n\t"
    "pop    {r4-r11, pc}\n\t"
    ".size  secateur_depthwise_rows_pixels, . - secateur_depthwise_rows_pixels\n\t"
    ".text\n");

/* Constants of four channels; weights of zero up to the next four pairs of rows. Behind those of the stream. */
static __attribute__((noinline)) const uint32_t *prepare(uint32_t *to, const uint32_t *stream, int32_t pairs,
                                                         uint32_t zero_point)
{
    for (int32_t channel = 0; channel < 4; channel++) {
        *to++ = *stream++;
    }
    for (int32_t words = 2 * pairs; words > 0; words--, to += 2) {
        const uint32_t word = *stream++;
        to[0] = secateur_even(word);
        to[1] = secateur_odd(word);
    }
    for (; pairs % 4 != 0; pairs++) {
        for (int32_t word = 0; word < PAIR_WORDS; word++) {
            *to++ = 0;
        }
    }
    for (int32_t channel = 0; channel < 4; channel++) {
        to[channel] = *stream++;
        to[4 + channel] = 0;
    }
    for (int32_t channel = 0; channel < 4; channel++) {
        to[4 + channel] = *stream >> (8 * channel);
    }
    to[8] = zero_point;
    return stream + 1;
}

void secateur_depthwise_rows(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t width = (int32_t)(stream[1] & 0xFFFFu), height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t window_width = (int32_t)(stream[3] & 0xFFu), window_height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    const uint32_t zero_point = stream[6];
    const uint32_t padding = (stream[5] & 0xFFu) * 0x01010101u, pair = (stream[5] & 0xFFFFu) * 0x00010001u;
    const int32_t line = width * channels, needed = (target_width - 1) * step_right + window_width;
    const int32_t column_words = (window_height + 1) / 2 * PAIR_WORDS, pairs = window_width * ((window_height + 1) / 2);
    const int32_t weights_words = ((pairs + 3) & ~3) * PAIR_WORDS;
    uint32_t *const constants = (uint32_t *)(void *)scratch, *const columns = constants + weights_words + 13;
    uint32_t *const first = columns + column_words * left;
    const int32_t inside = needed - left < width ? needed - left : width;
    uint32_t *const last = first + column_words * inside, *const end = columns + column_words * needed;
    for (uint32_t *to = columns; to < end; to++) {
        if (to == first) {
            to = last;
        }
        if (to < end) {
            *to = pair;
        }
    }
    row_t row = {target, channels, 4 * (column_words * step_right - weights_words),
                 columns + column_words * target_width * step_right, 4 * (weights_words + 13),
                 constants + 4 + weights_words, columns, constants};
    stream += 7;
    for (int32_t channel = 0; channel < channels; channel += 4) {
        if (channel > channels - 4) {
            channel = channels - 4;
        }
        stream = prepare(constants, stream, pairs, zero_point);
        row.target = target + channel;
        for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
            spread_t spread = {{0, 0}, {0, 0}, 4 * column_words, first, last};
            for (int32_t place = 0; place < window_height; place += 2, spread.to += PAIR_WORDS, spread.last += PAIR_WORDS) {
                for (int32_t lower = 0; lower < 2; lower++) {
                    const int32_t from = y + place + (place + lower < window_height ? lower : 0);
                    const int32_t there = from >= 0 && from < height;
                    spread.move[lower] = there ? channels : 0;
                    spread.from[lower] = there ? source + (from * line + channel) : (const int8_t *)&padding;
                }
                secateur_depthwise_rows_spread(&spread);
            }
            secateur_depthwise_rows_pixels(&row);
            row.target += target_width * channels;
        }
    }
}

#else

void secateur_depthwise_rows(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t width = (int32_t)(stream[1] & 0xFFFFu), height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t window_width = (int32_t)(stream[3] & 0xFFu), window_height = (int32_t)(stream[3] >> 8 & 0xFFu);
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    const int32_t padding = (int32_t)stream[5], zero_point = (int32_t)stream[6];
    const int32_t row_pairs = (window_height + 1) / 2, words = 2 * row_pairs * window_width;
    stream += 7;
    for (int32_t start = 0; start < channels; start += 4, stream += 9 + words) {
        if (start > channels - 4) {
            start = channels - 4;
        }
        for (int32_t channel = 0; channel < 4; channel++) {
            const int8_t *const plane = source + start + channel;
            int8_t *to = target + start + channel;
            int8_t *weight = scratch;
            for (int32_t row = 0; row < window_height; row++) {
                for (int32_t column = 0; column < window_width; column++) {
                    const uint32_t word = stream[4 + 2 * (column * row_pairs + row / 2) + channel / 2];
                    *weight++ = (int8_t)secateur_byte(word, channel % 2 + 2 * (row % 2));
                }
            }
            for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
                for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
                    int32_t sum = (int32_t)stream[channel];
                    weight = scratch;
                    for (int32_t row = y; row < y + window_height; row++) {
                        for (int32_t column = x; column < x + window_width; column++) {
                            const int32_t inside = row >= 0 && row < height && column >= 0 && column < width;
                            const int32_t value = inside ? plane[(row * width + column) * channels] : padding;
                            sum = (int32_t)((uint32_t)sum + (uint32_t)(value * *weight++));
                        }
                    }
                    *to = secateur_finish(sum, (int32_t)stream[4 + words + channel],
                                          stream[8 + words] >> (8 * channel), zero_point);
                    to += channels;
                }
            }
        }
    }
}

#endif
