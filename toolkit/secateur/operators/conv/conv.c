/* Convolution: int8 weights and activations, int32 sums, requantised to int8.
 *
 * Two pixels of the target at a time: their windows are gathered as two columns of int16, places beyond the
 * edges as the zero point; then all channels of the target read them, two by two. The stream states the layer:
 *
 *     target's width | height << 16, source's width | height << 16, source's channels | target's << 16,
 *     window's width | height << 8 | step to the right << 16 | step down << 24,
 *     padding to the left | above << 16, source's zero point, target's zero point,
 *     then for every two channels a and c:
 *         for every quad of the window two words of weights: of values 0 and 2, of values 1 and 3. Half a word is
 *         256 times the weight of a, plus that of c;
 *         a bias for each, less the zero point of the source times the sum of the weights;
 *         a multiplier for each; in bytes their shifts to the right;
 *     then for the one channel that may be left:
 *         its bias, for every quad a word of four weights, its multiplier, its shift.
 *
 * A quad is four values that follow each other in a row of the window; rows are padded with zero weights to
 * whole quads, and the window to an even number of them. columns is room for 16 bytes per quad.
 *
 * Two channels in one number: SMLAD over the halves sums up S = 256 A + C modulo 2^32, C is summed up beside it from
 * the low bytes, so A is (S - C) / 256 as long as it fits 24 bits. That is so for windows of at most 512 values and
 * weights other than -128, for which this kernel is chosen, where no sum is scaled up.
 */
#include "secateur_kernels.h"
#include "secateur_gather.h"
#include "secateur_requantise.h"

/* Two pixels, and how to go on to the next two where their windows are single pixels. */
typedef struct {
    const secateur_pair_t *columns, *end;
    int32_t zero_point;
    int8_t *one, *two, *one_end; /* the end of the channels that go by twos */
    int32_t odd;                 /* channels that do not */
    const uint32_t *stream;
    const int8_t *from; /* values to be gathered, of the other pixel so many behind it; NULL: columns are filled */
    int32_t apart;
    int32_t left; /* pixels, these two included */
    int32_t channels, even_channels;
} pixels_t;

/* All channels of both pixels, and of those that follow if there are more left. Channels are two or more. */
void secateur_conv_channels(pixels_t *pixels);

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)

/* r0 stream, r1 columns, r2 their end, r3 and r4 S of the one pixel and of the other, r5 and r6 C, lr pixels. */
__asm__(
    ".syntax unified\n\t"
    ".section .text.secateur_conv_channels,\"ax\",%progbits\n\t"
    ".balign 4\n\t"
    ".type secateur_conv_channels, %function\n\t"
    ".global secateur_conv_channels\n\t"
    ".thumb_func\n"
    "secateur_conv_channels:\n\t"
    "push   {r4-r11, lr}\n\t"
    "mov    lr, r0\n"
    "1:\n\t" /* two pixels: gather their values, two quads of each at a time */
    "ldrd   r1, r2, [lr]\n\t"
    "ldrd   r3, r7, [lr, #32]\n\t"
    "cbz    r3, 3f\n\t"
    "add    r4, r3, r7\n"
    "2:\n\t"
#define POINT                      \
    "ldr    r7, [r3], #4\n\t"      \
    "ldr    r12, [r4], #4\n\t"     \
    "sxtb16 r8, r7\n\t"            \
    "sxtb16 r9, r7, ror #8\n\t"    \
    "sxtb16 r10, r12\n\t"          \
    "sxtb16 r11, r12, ror #8\n\t"  \
    "stm    r1!, {r8-r11}\n\t"
    POINT POINT
    "cmp    r1, r2\n\t"
    "bne    2b\n\t"
    "str    r4, [lr, #32]\n\t"
    "ldr    r1, [lr]\n"
    "3:\n\t"
    "ldr    r0, [lr, #28]\n"
    "4:\n\t" /* two channels */
    "ldm    r1!, {r8-r11}\n\t"
    "ldrd   r7, r12, [r0], #8\n\t"
    "smuad  r3, r7, r8\n\t"
    "smuad  r4, r7, r10\n\t"
    "sxtb16 r7, r7\n\t"
    "smuad  r5, r7, r8\n\t"
    "smuad  r6, r7, r10\n\t"
    "smlad  r3, r12, r9, r3\n\t"
    "smlad  r4, r12, r11, r4\n\t"
    "sxtb16 r12, r12\n\t"
    "smlad  r5, r12, r9, r5\n\t"
    "smlad  r6, r12, r11, r6\n\t"
    "b      6f\n"
#define QUAD                       \
    "ldm    r1!, {r8-r11}\n\t"     \
    "ldrd   r7, r12, [r0], #8\n\t" \
    "smlad  r3, r7, r8, r3\n\t"    \
    "smlad  r4, r7, r10, r4\n\t"   \
    "sxtb16 r7, r7\n\t"            \
    "smlad  r5, r7, r8, r5\n\t"    \
    "smlad  r6, r7, r10, r6\n\t"   \
    "smlad  r3, r12, r9, r3\n\t"   \
    "smlad  r4, r12, r11, r4\n\t"  \
    "sxtb16 r12, r12\n\t"          \
    "smlad  r5, r12, r9, r5\n\t"   \
    "smlad  r6, r12, r11, r6\n"
    "5:\n\t" QUAD "6:\n\t" QUAD
    "\tcmp  r1, r2\n\t"
    "bne    5b\n\t"
    "ldm    r0!, {r7-r11}\n\t"
    "sub    r3, r3, r5\n\t"
    "sub    r4, r4, r6\n\t"
    "add    r3, r7, r3, asr #8\n\t"
    "add    r4, r7, r4, asr #8\n\t"
    "add    r5, r8\n\t"
    "add    r6, r8\n\t"
    "smmlar r3, r3, r9, r3\n\t"
    "smmlar r4, r4, r9, r4\n\t"
    "smmlar r5, r5, r10, r5\n\t"
    "smmlar r6, r6, r10, r6\n\t"
    "lsr    r12, r11, #8\n\t"
    "ldm    lr, {r1, r2, r7, r8, r9, r10}\n\t"
/* As in secateur_requantise.h, after SMMLAR. */
#define FINISH(sum, shift, target)                  \
    "adds   " sum ", " sum ", " sum ", asr #31\n\t" \
    "asrs   " sum ", " sum ", " shift "\n\t"        \
    "adc    " sum ", " sum ", r7\n\t"               \
    "ssat   " sum ", #8, " sum "\n\t"               \
    "strb   " sum ", [" target "], #1\n\t"
    FINISH("r4", "r11", "r9")
    FINISH("r6", "r12", "r9")
    FINISH("r3", "r11", "r8")
    FINISH("r5", "r12", "r8")
    "strd   r8, r9, [lr, #12]\n\t"
    "cmp    r8, r10\n\t"
    "bne    4b\n\t"
    "ldr    r7, [lr, #24]\n\t"
    "cbz    r7, 8f\n\t"
    "ldr    r3, [r0], #4\n\t"
    "mov    r4, r3\n"
    "7:\n\t" /* the channel that is left */
    "ldm    r1!, {r8-r11}\n\t"
    "ldr    r7, [r0], #4\n\t"
    "sxtb16 r12, r7\n\t"
    "sxtb16 r7, r7, ror #8\n\t"
    "smlad  r3, r12, r8, r3\n\t"
    "smlad  r4, r12, r10, r4\n\t"
    "smlad  r3, r7, r9, r3\n\t"
    "smlad  r4, r7, r11, r4\n\t"
    "cmp    r1, r2\n\t"
    "bne    7b\n\t"
    "ldrd   r10, r11, [r0]\n\t"
    "ldrd   r7, r8, [lr, #8]\n\t"
    "ldr    r9, [lr, #16]\n\t"
    "smmlar r3, r3, r10, r3\n\t"
    "smmlar r4, r4, r10, r4\n\t"
    FINISH("r4", "r11", "r9")
    FINISH("r3", "r11", "r8")
    "\n"
    "8:\n\t"
    "ldr    r7, [lr, #40]\n\t"
    "subs   r7, #2\n\t"
    "ble    9f\n\t"
    "str    r7, [lr, #40]\n\t"
    "ldrd   r10, r11, [lr, #44]\n\t"
    "add    r10, r9\n\t"
    "add    r11, r9\n\t"
    "strd   r9, r10, [lr, #12]\n\t"
    "str    r11, [lr, #20]\n\t"
    "b      1b\n"
    "9:\n\t"
    "pop    {r4-r11, pc}\n\t"
    ".size  secateur_conv_channels, . - secateur_conv_channels\n\t"
    ".text\n");

#else

/* Adds the products of half a word of weights, of channels a and c, with a value of each pixel. */
static void add_products(int32_t sums[4], uint32_t half, int32_t one, int32_t two)
{
    const int32_t c = (int8_t)(half & 0xFFu), a = ((int16_t)(half & 0xFFFFu) - c) >> 8;
    sums[0] = (int32_t)((uint32_t)sums[0] + (uint32_t)(a * one));
    sums[1] = (int32_t)((uint32_t)sums[1] + (uint32_t)(a * two));
    sums[2] = (int32_t)((uint32_t)sums[2] + (uint32_t)(c * one));
    sums[3] = (int32_t)((uint32_t)sums[3] + (uint32_t)(c * two));
}

static void channels_of_two(const pixels_t *pixels)
{
    const uint32_t *stream = pixels->stream;
    int8_t *one = pixels->one, *two = pixels->two;
    while (one != pixels->one_end) {
        int32_t sums[4] = {0, 0, 0, 0};
        for (const secateur_pair_t *from = pixels->columns; from != pixels->end; from += SECATEUR_QUAD_PAIRS) {
            for (int32_t index = 0; index < 4; index++) {
                const uint32_t half = stream[index % 2] >> (index < 2 ? 0 : 16);
                add_products(sums, half, from[index], from[4 + index]);
            }
            stream += 2;
        }
        for (int32_t row = 0; row < 2; row++) {
            for (int32_t pixel = 1; pixel >= 0; pixel--) {
                const int32_t sum = (int32_t)((uint32_t)sums[2 * row + pixel] + stream[row]);
                *(pixel ? two : one) = secateur_finish(sum, (int32_t)stream[2 + row], stream[4] >> (8 * row),
                                                       pixels->zero_point);
            }
            one++;
            two++;
        }
        stream += 5;
    }
    if (pixels->odd) {
        int32_t sums[2] = {(int32_t)*stream, (int32_t)*stream};
        stream++;
        for (const secateur_pair_t *from = pixels->columns; from != pixels->end; from += SECATEUR_QUAD_PAIRS) {
            for (int32_t index = 0; index < 4; index++) {
                const int32_t weight = secateur_byte(*stream, index);
                sums[0] = (int32_t)((uint32_t)sums[0] + (uint32_t)(weight * from[index]));
                sums[1] = (int32_t)((uint32_t)sums[1] + (uint32_t)(weight * from[4 + index]));
            }
            stream++;
        }
        *two = secateur_finish(sums[1], (int32_t)stream[0], stream[1], pixels->zero_point);
        *one = secateur_finish(sums[0], (int32_t)stream[0], stream[1], pixels->zero_point);
    }
}

void secateur_conv_channels(pixels_t *pixels)
{
    do {
        if (pixels->from != 0) {
            secateur_pair_t *to = (secateur_pair_t *)pixels->columns;
            for (; to != pixels->end; to += SECATEUR_QUAD_PAIRS, pixels->from += 4) {
                for (int32_t index = 0; index < 4; index++) {
                    to[index] = pixels->from[index];
                    to[4 + index] = pixels->from[pixels->apart + index];
                }
            }
            pixels->from += pixels->apart;
        }
        channels_of_two(pixels);
        pixels->one = pixels->two + pixels->channels;
        pixels->two = pixels->one + pixels->channels;
        pixels->one_end = pixels->one + pixels->even_channels;
        pixels->left -= 2;
    } while (pixels->left > 0);
}

#endif

void secateur_conv(const uint32_t *stream, const int8_t *source, int8_t *target, int8_t *scratch)
{
    const int32_t target_width = (int32_t)(stream[0] & 0xFFFFu);
    const int32_t count = target_width * (int32_t)(stream[0] >> 16);
    const int32_t channels = (int32_t)(stream[2] >> 16);
    const secateur_image_t image = {
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
    /* a window of one pixel, by steps of one, as many pixels as in the source, quads with nothing behind them */
    const int32_t points =
        stream[3] == 0x01010101u && stream[4] == 0 && stream[0] == stream[1] && image.channels % 8 == 0;
    secateur_pair_t *const columns = (secateur_pair_t *)(void *)scratch;
    const int32_t quads = (image.quads * image.window_height + 1) & ~1;
    const int32_t together = points ? count & ~1 : 2; /* pixels of one call, but for a last one alone */
    pixels_t pixels = {columns,
                       columns + quads * SECATEUR_QUAD_PAIRS,
                       (int32_t)stream[6],
                       target,
                       target,
                       target,
                       channels & 1,
                       stream + 7,
                       0,
                       image.channels,
                       together,
                       channels,
                       channels & ~1};
    int32_t right = 0, down = 0;
    for (int32_t pixel = 0; pixel < count; pixel += pixel == 0 && count > 1 ? together : 2) {
        pixels.one = target + pixel * channels;
        pixels.two = pixels.one + channels;
        pixels.one_end = pixels.one + pixels.even_channels;
        pixels.left = together;
        if (pixel + 1 == count) { /* alone: the other column is whatever, and written first */
            pixels.two = pixels.one;
            pixels.apart = 0;
            pixels.left = 1;
        }
        if (points) {
            pixels.from = source + pixel * image.channels;
        } else {
            for (int32_t other = 0; other < pixels.left; other++) {
                secateur_gather(&image, columns + other * (SECATEUR_QUAD_PAIRS / 2), right, down);
                if (++right == target_width) {
                    right = 0;
                    down++;
                }
            }
        }
        secateur_conv_channels(&pixels);
    }
}
