/* Depthwise convolution with a window of 3 x 3, a channel of the target for each of the source.
 *
 * Four channels at a time, through the whole image: their weights are spread out to int16 in scratch; for each row of
 * the target the three rows of the source below it are spread out too, a column of them serving up to three pixels.
 * The stream states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, channels,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every four channels; the last four overlap with those before where channels are no multiple:
 *         a bias per channel, less the zero point of the source times the sum of the weights;
 *         for every column of the window, in bytes: upper and middle row of channels 0 and 1 (0, 1, then 0, 1), of
 *         channels 2 and 3, lower row of all four;
 *         a multiplier per channel; in bytes the shifts to the right.
 *
 * scratch is room for 124 bytes and 24 for each column of the source that a row of the target needs.
 */
#include "secateur_kernels.h"
#include "secateur_requantise.h"

#define COLUMN_WORDS 6
#define COLUMN_WEIGHTS 3
#define BLOCK_WORDS 18

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)

/* A row of four channels. */
typedef struct {
    int8_t *target;
    int32_t channels;
    int32_t step;        /* from behind a pixel's columns to those of the next, in bytes */
    const uint32_t *end; /* where columns would start after the last pixel */
    const int8_t *from;  /* the upper of three rows to be spread out; NULL: they are */
    int32_t line, two_lines;
    uint32_t *first, *last; /* columns that are no padding */
    const uint32_t *columns;
    const uint32_t *constants; /* biases, weights column by column, multipliers, shifts, zero point */
} row_t;

void secateur_depthwise_3x3_row(const row_t *row);

/* Spreading out: first pairs of the upper and the middle row, channel by channel, then the lower row of channels 0 and
 * 2 and of 1 and 3. Then, pixel by pixel: r0 columns, r1 constants, r2 to r5 sums. */
__asm__(
    ".syntax unified\n\t"
    ".section .text.secateur_depthwise_3x3_row,\"ax\",%progbits\n\t"
    ".balign 4\n\t"
    ".type secateur_depthwise_3x3_row, %function\n\t"
    ".global secateur_depthwise_3x3_row\n\t"
    ".thumb_func\n"
    "secateur_depthwise_3x3_row:\n\t"
    "push   {r4-r11, lr}\n\t"
    "ldm    r0!, {r6-r9}\n\t"
    "push   {r6-r9}\n\t"
    "ldm    r0, {r9-r12, lr}\n\t"
    "cmp    r9, #0\n\t"
    "beq    2f\n\t"
    "sub    r1, lr, r12\n\t"
    "tst    r1, #8\n\t" /* an odd number of columns */
    "bne    5f\n"
#define LOAD                    \
    "ldr    r3, [r9]\n\t"       \
    "ldr    r4, [r9, r10]\n\t"  \
    "ldr    r8, [r9, r11]\n\t"  \
    "add    r9, r7\n\t"
#define SPREAD                          \
    "pkhbt  r2, r3, r4, lsl #16\n\t"    \
    "pkhtb  r4, r4, r3, asr #16\n\t"    \
    "sxtb16 r1, r2\n\t"                 \
    "sxtb16 r2, r2, ror #8\n\t"         \
    "sxtb16 r3, r4\n\t"                 \
    "sxtb16 r4, r4, ror #8\n\t"         \
    "sxtb16 r5, r8\n\t"                 \
    "sxtb16 r8, r8, ror #8\n\t"         \
    "stm    r12!, {r1-r5, r8}\n"
    "1:\n\t" LOAD SPREAD "5:\n\t" LOAD SPREAD
    "\tcmp  r12, lr\n\t"
    "bne    1b\n"
    "2:\n\t"
    "ldrd   r0, r1, [r0, #20]\n"
    "3:\n\t"
    "ldm    r1!, {r2-r5}\n\t"
#define COLUMN                           \
    "ldm    r0!, {r6, r7, r12, lr}\n\t"  \
    "ldm    r1!, {r8-r11}\n\t"           \
    "smlad  r2, r6, r8, r2\n\t"          \
    "smlad  r3, r7, r9, r3\n\t"          \
    "smlad  r4, r12, r10, r4\n\t"        \
    "smlad  r5, lr, r11, r5\n\t"         \
    "ldm    r0!, {r6, r7}\n\t"           \
    "ldm    r1!, {r8, r9}\n\t"           \
    "smlabb r2, r6, r8, r2\n\t"          \
    "smlabb r3, r7, r9, r3\n\t"          \
    "smlatt r4, r6, r8, r4\n\t"          \
    "smlatt r5, r7, r9, r5\n\t"
    COLUMN COLUMN COLUMN
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
    "ldm    sp, {r6-r9}\n\t"
    "strb   r2, [r6]\n\t"
    "strb   r3, [r6, #1]\n\t"
    "strb   r4, [r6, #2]\n\t"
    "strb   r5, [r6, #3]\n\t"
    "add    r6, r7\n\t"
    "str    r6, [sp]\n\t"
    "sub    r1, #124\n\t"
    "add    r0, r8\n\t"
    "cmp    r0, r9\n\t"
    "bne    3b\n\t"
    "add    sp, #16\n\t"
    "pop    {r4-r11, pc}\n\t"
    ".size  secateur_depthwise_3x3_row, . - secateur_depthwise_3x3_row\n\t"
    ".text\n");

/* Three rows to be spread out, some of which may lie beyond the source: those stay at a word of padding. */
typedef struct {
    int32_t move[3]; /* to the next column, in bytes */
    const int8_t *from[3];
    uint32_t *first, *last;
} edge_t;

void secateur_depthwise_3x3_edge(const edge_t *edge);

__asm__(
    ".syntax unified\n\t"
    ".section .text.secateur_depthwise_3x3_edge,\"ax\",%progbits\n\t"
    ".balign 4\n\t"
    ".type secateur_depthwise_3x3_edge, %function\n\t"
    ".global secateur_depthwise_3x3_edge\n\t"
    ".thumb_func\n"
    "secateur_depthwise_3x3_edge:\n\t"
    "push   {r4-r11, lr}\n\t"
    "ldm    r0, {r0, r6, r7, r9-r12, lr}\n"
    "1:\n\t"
    "ldr    r3, [r9]\n\t"
    "ldr    r4, [r10]\n\t"
    "ldr    r8, [r11]\n\t"
    "add    r9, r0\n\t"
    "add    r10, r6\n\t"
    "add    r11, r7\n\t"
    SPREAD
    "\tcmp  r12, lr\n\t"
    "bne    1b\n\t"
    "pop    {r4-r11, pc}\n\t"
    ".size  secateur_depthwise_3x3_edge, . - secateur_depthwise_3x3_edge\n\t"
    ".text\n");

static __attribute__((noinline)) void spread_edge(const row_t *row, const int8_t *from, int32_t y, int32_t height,
                                                  const uint32_t *padding)
{
    edge_t edge = {{0, 0, 0}, {(const int8_t *)padding, (const int8_t *)padding, (const int8_t *)padding},
                   row->first, row->last};
    for (int32_t place = 0; place < 3; place++, y++, from += row->line) {
        if (y >= 0 && y < height) {
            edge.move[place] = row->channels;
            edge.from[place] = from;
        }
    }
    secateur_depthwise_3x3_edge(&edge);
}

/* Constants of four channels: biases, weights as int16, multipliers, shifts, zero point. */
static inline void prepare(uint32_t *constants, const uint32_t *stream, uint32_t zero_point)
{
    __asm__ volatile("ldm    %[from]!, {r1-r4}\n\t"
                     "stm    %[to]!, {r1-r4}\n\t"
#define WEIGHTS                            \
    "ldm    %[from]!, {r1, r3, r5}\n\t"    \
    "sxtb16 r2, r1, ror #8\n\t"            \
    "sxtb16 r1, r1\n\t"                    \
    "sxtb16 r4, r3, ror #8\n\t"            \
    "sxtb16 r3, r3\n\t"                    \
    "sxtb16 r8, r5, ror #8\n\t"            \
    "sxtb16 r5, r5\n\t"                    \
    "stm    %[to]!, {r1-r5, r8}\n\t"
                     WEIGHTS WEIGHTS WEIGHTS
                     "ldm    %[from]!, {r1-r5}\n\t"
                     "stm    %[to]!, {r1-r4}\n\t"
                     "lsr    r2, r5, #8\n\t"
                     "lsr    r3, r5, #16\n\t"
                     "lsr    r4, r5, #24\n\t"
                     "str    r5, [%[to]], #4\n\t"
                     "stm    %[to]!, {r2-r4}\n\t"
                     "str    %[zero_point], [%[to]]"
                     : [to] "+r"(constants), [from] "+r"(stream)
                     : [zero_point] "r"(zero_point)
                     : "r1", "r2", "r3", "r4", "r5", "r8", "memory");
}

void secateur_depthwise_3x3(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t width = (int32_t)(stream[1] & 0xFFFFu), height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    const uint32_t zero_point = stream[6];
    const int32_t line = width * channels, needed = (target_width - 1) * step_right + 3;
    const uint32_t padding = (stream[5] & 0xFFu) * 0x01010101u, pair = (stream[5] & 0xFFFFu) * 0x00010001u;
    uint32_t *const constants = (uint32_t *)(void *)scratch, *const columns = constants + 31;
    uint32_t *const first = columns + COLUMN_WORDS * left;
    const int32_t inside = needed - left < width ? needed - left : width;
    uint32_t *const last = first + COLUMN_WORDS * inside, *const end = columns + COLUMN_WORDS * needed;
    for (uint32_t *to = columns; to < end; to++) {
        if (to == first) {
            to = last;
        }
        if (to < end) {
            *to = pair;
        }
    }
    row_t row = {target, channels, 4 * COLUMN_WORDS * (step_right - 3),
                 columns + COLUMN_WORDS * target_width * step_right, source, line, 2 * line, first, last, columns,
                 constants};
    stream += 7;
    for (int32_t channel = 0; channel < channels; channel += 4, stream += BLOCK_WORDS) {
        if (channel > channels - 4) {
            channel = channels - 4;
        }
        prepare(constants, stream, zero_point);
        row.target = target + channel;
        const int8_t *from = source + (channel - above * line);
        for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down, from += step_down * line) {
            row.from = from;
            if (y < 0 || y > height - 3) {
                spread_edge(&row, from, y, height, &padding);
                row.from = 0;
            }
            secateur_depthwise_3x3_row(&row);
            row.target += target_width * channels;
        }
    }
}

#else

void secateur_depthwise_3x3(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu), target_height = (int32_t)(stream[0] >> 16);
    const int32_t width = (int32_t)(stream[1] & 0xFFFFu), height = (int32_t)(stream[1] >> 16);
    const int32_t channels = (int32_t)stream[2];
    const int32_t step_right = (int32_t)(stream[3] >> 16 & 0xFFu), step_down = (int32_t)(stream[3] >> 24);
    const int32_t left = (int32_t)(stream[4] & 0xFFFFu), above = (int32_t)(stream[4] >> 16);
    const int32_t padding = (int32_t)stream[5], zero_point = (int32_t)stream[6];
    stream += 7;
    for (int32_t start = 0; start < channels; start += 4, stream += BLOCK_WORDS) {
        if (start > channels - 4) {
            start = channels - 4;
        }
        for (int32_t channel = 0; channel < 4; channel++) {
            const int8_t *const plane = source + start + channel;
            int8_t *to = target + start + channel;
            for (int32_t row = 0; row < 3; row++) {
                for (int32_t column = 0; column < 3; column++) {
                    const uint32_t word = stream[4 + COLUMN_WEIGHTS * column + (row == 2 ? 2 : channel / 2)];
                    const int32_t place = row == 2 ? channel : channel % 2 + 2 * row;
                    scratch[3 * row + column] = (int8_t)secateur_byte(word, place);
                }
            }
            for (int32_t down = 0, y = -above; down < target_height; down++, y += step_down) {
                for (int32_t right = 0, x = -left; right < target_width; right++, x += step_right) {
                    int32_t sum = (int32_t)stream[channel];
                    for (int32_t row = 0; row < 3; row++) {
                        for (int32_t column = 0; column < 3; column++) {
                            const int32_t inside =
                                y + row >= 0 && y + row < height && x + column >= 0 && x + column < width;
                            const int32_t value =
                                inside ? plane[((y + row) * width + x + column) * channels] : padding;
                            sum = (int32_t)((uint32_t)sum + (uint32_t)(value * scratch[3 * row + column]));
                        }
                    }
                    *to = secateur_finish(sum, (int32_t)stream[13 + channel], stream[17] >> (8 * channel),
                                          zero_point);
                    to += channels;
                }
            }
        }
    }
}

#endif
