/* Fully connected layer over vectors of int16: int8 weights, exact sums, requantised to int16.
 *
 * stream: the five words of secateur_requantise_16.h, of which the last two are rows | columns << 16 and vectors; four
 * words for each row, see there; then of row after row the weights, four to a word: columns 0, 2, 1, 3, so that two
 * SXTB16 give pairs of neighbours. What is missing of the last word is zero.
 */
#include "secateur_kernels.h"
#include "secateur_requantise_16.h"

/* The last one to three columns: column 1 is the third byte. */
static int32_t rest_of(uint32_t weights, const secateur_int16 *source, int32_t count)
{
    int32_t sum = 0;
    for (int32_t column = 0; column < count; column++) {
        sum += secateur_byte(weights, column == 1 ? 2 : column == 2 ? 1 : column) * source[column];
    }
    return sum;
}

/* Adds the products of two rows with up to SECATEUR_SUMMED columns. */
static void add_products(
    const uint32_t *one, const uint32_t *other, const secateur_int16 *source, int32_t columns, int64_t sums[2])
{
    int32_t first = 0, second = 0;
    for (int32_t quads = columns / 4; quads > 0; quads--, source += 4) {
        const uint32_t a = *one++, b = *other++;
#if defined(__ARM_FEATURE_DSP)
        const uint32_t front = secateur_two(source), back = secateur_two(source + 2);
        first = secateur_dual(secateur_odd(a), back, secateur_dual(secateur_even(a), front, first));
        second = secateur_dual(secateur_odd(b), back, secateur_dual(secateur_even(b), front, second));
#else
        first += secateur_byte(a, 0) * source[0] + secateur_byte(a, 2) * source[1];
        first += secateur_byte(a, 1) * source[2] + secateur_byte(a, 3) * source[3];
        second += secateur_byte(b, 0) * source[0] + secateur_byte(b, 2) * source[1];
        second += secateur_byte(b, 1) * source[2] + secateur_byte(b, 3) * source[3];
#endif
    }
    if ((columns & 3) != 0) {
        first += rest_of(*one, source, columns & 3);
        second += rest_of(*other, source, columns & 3);
    }
    sums[0] += first;
    sums[1] += second;
}

void secateur_fully_connected_16(const uint32_t *stream, const secateur_int16 *source, secateur_int16 *target)
{
    const int32_t rows = (int32_t)(stream[3] & 0xFFFFu), columns = (int32_t)(stream[3] >> 16);
    const int32_t words = (columns + 3) / 4;
    const uint32_t *const weights = stream + 5 + 4 * rows;
    for (uint32_t vectors = stream[4]; vectors > 0; vectors--, source += columns) {
        for (int32_t row = 0; row < rows; row += 2) {
            const uint32_t *const a = stream + 5 + 4 * row, *const b = row + 1 < rows ? a + 4 : a;
            const uint32_t *one = weights + row * words, *other = row + 1 < rows ? one + words : one;
            int64_t sums[2] = {secateur_bias_16(a), secateur_bias_16(b)};
            for (int32_t start = 0; start < columns; start += SECATEUR_SUMMED) {
                const int32_t left = columns - start;
                const int32_t count = left < SECATEUR_SUMMED ? left : SECATEUR_SUMMED;
                add_products(one, other, source + start, count, sums);
                one += SECATEUR_SUMMED / 4;
                other += SECATEUR_SUMMED / 4;
            }
            *target++ = secateur_finish_16(sums[0], stream, a);
            if (row + 1 < rows) {
                *target++ = secateur_finish_16(sums[1], stream, b);
            }
        }
    }
}
