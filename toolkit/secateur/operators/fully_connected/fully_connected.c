/* Fully connected layer: int8 weights and activations, int32 sums, requantised to int8.
 *
 * The weights come as one stream of words, laid out ahead of time in the order in which they are used:
 *
 *     rows | quads << 16, zero point of the target,
 *     then for every block of four rows a, c, b, d:
 *         biases of c, d, a, b, less the zero point of the source times the sum of the row's weights;
 *         for every quad of columns four words of weights: of a and c for columns 0 and 2, then for 1 and 3;
 *         of b and d in the same way. Half a word is 256 times the weight of a, plus that of c;
 *         a multiplier per row, 2 m - 2^32 with m in [2^30, 2^31);
 *         a right shift per row as a byte (left shifts are negative);
 *     then for each single row of the one to three that are left:
 *         a bias; for every quad of columns a word of four weights; a multiplier; a right shift.
 *
 * Columns are padded with zero weights to whole quads. The source is read by whole quads too: its buffer
 * must be as long as that, whatever the last bytes hold. Weights are not -128.
 *
 * Two rows in one number: SMLAD over the halves sums up S = 256 A + C modulo 2^32. C is summed up beside it from
 * the low bytes, so A is (S - C) / 256 as long as it fits 24 bits. It does for 512 columns (512 * 127 * 128 < 2^23),
 * after which it is put aside and S starts again from C.
 */
#include "secateur_kernels.h"

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)

/* r0 stream, r1 source, r2 end of the segment, r3 and r4 S and C of the rows a and c, r5 and r6 of b and d,
 * r7 to r12 passing values, lr end of the source. On the stack: source, end of the first segment, zero point,
 * target, its end of blocks, single rows, what was put aside of a and of b. */
__asm__(
    ".syntax unified\n\t"
    ".section .text.secateur_fully_connected,\"ax\",%progbits\n\t"
    ".balign 4\n\t"
    ".global secateur_fully_connected\n\t"
    ".type secateur_fully_connected, %function\n\t"
    ".thumb_func\n"
    "secateur_fully_connected:\n\t"
    "push   {r4-r11, lr}\n\t"
    "sub    sp, #32\n\t"
    "mov    r4, r2\n\t"
    "ldrd   r8, r3, [r0], #8\n\t"
    "lsr    r2, r8, #16\n\t"
    "add    lr, r1, r2, lsl #2\n\t"
    "cmp    r2, #128\n\t"
    "it     hi\n\t"
    "movhi  r2, #128\n\t"
    "add    r2, r1, r2, lsl #2\n\t"
    "uxth   r8, r8\n\t"
    "and    r6, r8, #3\n\t"
    "sub    r5, r8, r6\n\t"
    "add    r5, r4\n\t"
    "stm    sp, {r1-r6}\n\t"
    "cmp    r4, r5\n\t"
    "beq    10f\n"

    "1:\n\t" /* a block of four rows */
    "ldm    r0!, {r4, r6, r8, r9}\n\t"
    "ldrd   r1, r2, [sp]\n\t"
    "strd   r8, r9, [sp, #24]\n\t"
    "mov    r3, r4\n\t"
    "mov    r5, r6\n"
    "2:\n\t" /* a segment */
    "sub    r7, r2, r1\n\t"
    "tst    r7, #4\n\t"
    "bne    4f\n"
#define QUAD                        \
    "ldr    r12, [r1], #4\n\t"      \
    "ldm    r0!, {r8-r11}\n\t"      \
    "sxtb16 r7, r12\n\t"            \
    "sxtb16 r12, r12, ror #8\n\t"   \
    "smlad  r3, r8, r7, r3\n\t"     \
    "sxtb16 r8, r8\n\t"             \
    "smlad  r4, r8, r7, r4\n\t"     \
    "smlad  r3, r9, r12, r3\n\t"    \
    "sxtb16 r9, r9\n\t"             \
    "smlad  r4, r9, r12, r4\n\t"    \
    "smlad  r5, r10, r7, r5\n\t"    \
    "sxtb16 r10, r10\n\t"           \
    "smlad  r6, r10, r7, r6\n\t"    \
    "smlad  r5, r11, r12, r5\n\t"   \
    "sxtb16 r11, r11\n\t"           \
    "smlad  r6, r11, r12, r6\n"
    "3:\n\t" QUAD "4:\n\t" QUAD
    "\tcmp  r1, r2\n\t"
    "bne    3b\n\t"
    "cmp    r1, lr\n\t"
    "bne    8f\n\t"
    "ldrd   r8, r9, [sp, #24]\n\t"
    "sub    r3, r3, r4\n\t"
    "sub    r5, r5, r6\n\t"
    "add    r3, r8, r3, asr #8\n\t"
    "add    r5, r9, r5, asr #8\n\t"
    "ldm    r0!, {r8-r12}\n\t"
    "tst    r12, #0x80808080\n\t"
    "bne    9f\n"
    "5:\n\t"
    "ldrd   r1, r2, [sp, #8]\n\t"
/* SMMLAR is round(sum * m / 2^31). Subtracting one from a negative product leaves its sign in the carry, ASRS leaves
 * there the last bit shifted out, or the carry as it was when it shifts by nothing; ADC then rounds half away from
 * zero and adds the zero point. */
#define FINISH(sum, multiplier, shift, zero_point, target)                \
    "smmlar " sum ", " sum ", " multiplier ", " sum "\n\t"                \
    "adds   " sum ", " sum ", " sum ", asr #31\n\t"                       \
    "asrs   " sum ", " sum ", " shift "\n\t"                              \
    "adc    " sum ", " sum ", " zero_point "\n\t"                         \
    "ssat   " sum ", #8, " sum "\n\t"                                     \
    "strb   " sum ", [" target "], #1\n\t"
    FINISH("r3", "r8", "r12", "r1", "r2")
    "lsr    r12, r12, #8\n\t"
    FINISH("r4", "r9", "r12", "r1", "r2")
    "lsr    r12, r12, #8\n\t"
    FINISH("r5", "r10", "r12", "r1", "r2")
    "lsr    r12, r12, #8\n\t"
    FINISH("r6", "r11", "r12", "r1", "r2")
    "ldr    r7, [sp, #16]\n\t"
    "str    r2, [sp, #12]\n\t"
    "cmp    r2, r7\n\t"
    "bne    1b\n\t"
    "b      10f\n"

    "8:\n\t" /* put aside what has been summed up of a and b */
    "ldrd   r8, r9, [sp, #24]\n\t"
    "sub    r3, r3, r4\n\t"
    "sub    r5, r5, r6\n\t"
    "add    r8, r8, r3, asr #8\n\t"
    "add    r9, r9, r5, asr #8\n\t"
    "strd   r8, r9, [sp, #24]\n\t"
    "mov    r3, r4\n\t"
    "mov    r5, r6\n\t"
    "add    r2, r1, #512\n\t"
    "cmp    r2, lr\n\t"
    "it     hi\n\t"
    "movhi  r2, lr\n\t"
    "b      2b\n"

    "9:\n\t" /* shifts to the left, then none to the right in those rows */
    "mov    r1, #0\n\t"
    "ssub8  r7, r1, r12\n\t" /* and where it is not negative */
    "sel    r7, r7, r1\n\t"
    "sel    r12, r1, r12\n\t"
    "lsl    r3, r3, r7\n\t"
    "lsr    r7, r7, #8\n\t"
    "lsl    r4, r4, r7\n\t"
    "lsr    r7, r7, #8\n\t"
    "lsl    r5, r5, r7\n\t"
    "lsr    r7, r7, #8\n\t"
    "lsl    r6, r6, r7\n\t"
    "b      5b\n"

    "10:\n\t"
    "ldr    r6, [sp, #20]\n\t"
    "cbz    r6, 13f\n\t"
    "ldrd   r5, r4, [sp, #8]\n"
    "11:\n\t" /* a single row */
    "ldr    r3, [r0], #4\n\t"
    "ldr    r1, [sp]\n"
    "12:\n\t"
    "ldr    r12, [r1], #4\n\t"
    "ldr    r9, [r0], #4\n\t"
    "sxtb16 r7, r12\n\t"
    "sxtb16 r12, r12, ror #8\n\t"
    "sxtb16 r8, r9\n\t"
    "sxtb16 r9, r9, ror #8\n\t"
    "smlad  r3, r8, r7, r3\n\t"
    "smlad  r3, r9, r12, r3\n\t"
    "cmp    r1, lr\n\t"
    "bne    12b\n\t"
    "ldrd   r8, r12, [r0], #8\n\t"
    "sxtb   r12, r12\n\t"
    "usat   r7, #5, r12\n\t"
    "sub    r12, r7, r12\n\t"
    "lsl    r3, r3, r12\n\t"
    FINISH("r3", "r8", "r7", "r5", "r4")
    "subs   r6, #1\n\t"
    "bne    11b\n"
    "13:\n\t"
    "add    sp, #32\n\t"
    "pop    {r4-r11, pc}\n\t"
    ".size  secateur_fully_connected, . - secateur_fully_connected\n\t"
    ".text\n");

#else

#include "secateur_requantise.h"

static int8_t finish(int32_t sum, uint32_t multiplier, int32_t shift, int32_t zero_point)
{
    const uint32_t right = shift > 0 ? (uint32_t)shift : 0, left = shift < 0 ? (uint32_t)-shift : 0;
    return secateur_finish(secateur_shift_left(sum, left), (int32_t)multiplier, right, zero_point);
}

/* Adds the products of a pair of rows a, c with two columns. */
static void add_products(int32_t sums[2], uint32_t weights, int32_t first, int32_t second)
{
    const int32_t c0 = (int8_t)(weights & 0xFFu), c1 = (int8_t)(weights >> 16 & 0xFFu);
    const int32_t a0 = ((int16_t)(weights & 0xFFFFu) - c0) >> 8, a1 = ((int16_t)(weights >> 16) - c1) >> 8;
    sums[0] = (int32_t)((uint32_t)sums[0] + (uint32_t)(a0 * first + a1 * second));
    sums[1] = (int32_t)((uint32_t)sums[1] + (uint32_t)(c0 * first + c1 * second));
}

void secateur_fully_connected(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    const int8_t *const end = source + 4 * (*stream >> 16);
    const int32_t rows = (int32_t)(*stream++ & 0xFFFFu);
    const int32_t zero_point = (int32_t)*stream++;
    int32_t row = 0;
    for (; row < rows - 3; row += 4) {
        int32_t sums[4] = {(int32_t)stream[2], (int32_t)stream[0], (int32_t)stream[3], (int32_t)stream[1]};
        stream += 4;
        for (const int8_t *from = source; from != end; from += 4, stream += 4) {
            add_products(sums, stream[0], from[0], from[2]);
            add_products(sums, stream[1], from[1], from[3]);
            add_products(sums + 2, stream[2], from[0], from[2]);
            add_products(sums + 2, stream[3], from[1], from[3]);
        }
        for (int32_t index = 0; index < 4; index++) {
            target[row + index] = finish(sums[index], stream[index], secateur_byte(stream[4], index), zero_point);
        }
        stream += 5;
    }
    for (; row < rows; row++) {
        int32_t sum = (int32_t)*stream++;
        for (const int8_t *from = source; from != end; from += 4, stream++) {
            int32_t products = 0;
            for (int32_t column = 0; column < 4; column++) {
                products += secateur_byte(*stream, column) * from[column];
            }
            sum = (int32_t)((uint32_t)sum + (uint32_t)products);
        }
        target[row] = finish(sum, stream[0], secateur_byte(stream[1], 0), zero_point);
        stream += 2;
    }
}

#endif
