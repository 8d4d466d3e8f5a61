/* Fully connected layer: int8 weights and activations, int32 sums, requantised to int8.
 *
 * The weights come as one stream of words, laid out ahead of time in the order in which they are used:
 *
 *     rows | quads << 16, zero point of the target,
 *     then for every block of four rows, and for each single row of the one to three that are left:
 *         a bias per row, less the zero point of the source times the sum of the row's weights;
 *         for every quad of columns, a word of four weights per row;
 *         a multiplier per row, 2 m - 2^32 with m in [2^30, 2^31);
 *         a right shift per row as a byte (left shifts are negative), padded to a word.
 *
 * Columns are padded with zero weights to whole quads. The source is read by whole quads too: its buffer
 * must be as long as that, whatever the last bytes hold.
 */
#include "secateur_kernels.h"

#define BLOCK_ROWS 4

#if defined(__ARM_FEATURE_DSP)

/* One word of four weights feeds two SXTB16 and two SMLAD; one word of four activations serves four rows. */
static inline const uint32_t *multiply_block(const uint32_t *stream, const int8_t *source, const int8_t *end,
                                             int32_t sum[BLOCK_ROWS])
{
    int32_t sum0 = sum[0], sum1 = sum[1], sum2 = sum[2], sum3 = sum[3];
    int32_t even, odd, first, second, part;
    __asm__ volatile(
        "1:\n\t"
        "ldr    %[odd], [%[source]], #4\n\t"
        "ldrd   %[first], %[second], [%[stream]], #8\n\t"
        "sxtb16 %[even], %[odd]\n\t"
        "sxtb16 %[odd], %[odd], ror #8\n\t"
        "sxtb16 %[part], %[first]\n\t"
        "sxtb16 %[first], %[first], ror #8\n\t"
        "smlad  %[sum0], %[part], %[even], %[sum0]\n\t"
        "smlad  %[sum0], %[first], %[odd], %[sum0]\n\t"
        "sxtb16 %[part], %[second]\n\t"
        "sxtb16 %[second], %[second], ror #8\n\t"
        "smlad  %[sum1], %[part], %[even], %[sum1]\n\t"
        "smlad  %[sum1], %[second], %[odd], %[sum1]\n\t"
        "ldrd   %[first], %[second], [%[stream]], #8\n\t"
        "sxtb16 %[part], %[first]\n\t"
        "sxtb16 %[first], %[first], ror #8\n\t"
        "smlad  %[sum2], %[part], %[even], %[sum2]\n\t"
        "smlad  %[sum2], %[first], %[odd], %[sum2]\n\t"
        "sxtb16 %[part], %[second]\n\t"
        "sxtb16 %[second], %[second], ror #8\n\t"
        "smlad  %[sum3], %[part], %[even], %[sum3]\n\t"
        "smlad  %[sum3], %[second], %[odd], %[sum3]\n\t"
        "cmp    %[source], %[end]\n\t"
        "bne    1b"
        : [source] "+r"(source), [stream] "+r"(stream), [sum0] "+r"(sum0), [sum1] "+r"(sum1), [sum2] "+r"(sum2),
          [sum3] "+r"(sum3), [even] "=&r"(even), [odd] "=&r"(odd), [first] "=&r"(first), [second] "=&r"(second),
          [part] "=&r"(part)
        : [end] "r"(end)
        : "cc", "memory");
    sum[0] = sum0;
    sum[1] = sum1;
    sum[2] = sum2;
    sum[3] = sum3;
    return stream;
}

static inline const uint32_t *multiply_row(const uint32_t *stream, const int8_t *source, const int8_t *end,
                                           int32_t sum[1])
{
    int32_t sum0 = sum[0];
    int32_t even, odd, weights, part;
    __asm__ volatile(
        "1:\n\t"
        "ldr    %[odd], [%[source]], #4\n\t"
        "ldr    %[weights], [%[stream]], #4\n\t"
        "sxtb16 %[even], %[odd]\n\t"
        "sxtb16 %[odd], %[odd], ror #8\n\t"
        "sxtb16 %[part], %[weights]\n\t"
        "sxtb16 %[weights], %[weights], ror #8\n\t"
        "smlad  %[sum0], %[part], %[even], %[sum0]\n\t"
        "smlad  %[sum0], %[weights], %[odd], %[sum0]\n\t"
        "cmp    %[source], %[end]\n\t"
        "bne    1b"
        : [source] "+r"(source), [stream] "+r"(stream), [sum0] "+r"(sum0), [even] "=&r"(even), [odd] "=&r"(odd),
          [weights] "=&r"(weights), [part] "=&r"(part)
        : [end] "r"(end)
        : "cc", "memory");
    sum[0] = sum0;
    return stream;
}

/* SMMLAR is round(sum * m / 2^31). Subtracting one from a negative product leaves its sign in the carry, ASRS
 * leaves there the last bit shifted out, or the carry as it was when it shifts by nothing; ADC then rounds half
 * away from zero and adds the zero point. */
static inline int32_t requantise(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero_point)
{
    int32_t right, result;
    __asm__("usat   %[right], #5, %[shift]\n\t"
            "sub    %[result], %[right], %[shift]\n\t"
            "lsl    %[sum], %[sum], %[result]\n\t"
            "smmlar %[result], %[sum], %[multiplier], %[sum]\n\t"
            "adds   %[result], %[result], %[result], asr #31\n\t"
            "asrs   %[result], %[result], %[right]\n\t"
            "adc    %[result], %[result], %[zero_point]\n\t"
            "ssat   %[result], #8, %[result]"
            : [right] "=&r"(right), [result] "=&r"(result), [sum] "+r"(sum)
            : [multiplier] "r"(multiplier), [shift] "r"(shift), [zero_point] "r"(zero_point)
            : "cc");
    return result;
}

#else

static int32_t byte_of(uint32_t word, int32_t index)
{
    return (int32_t)((word >> (8 * index) & 0xFFu) ^ 0x80u) - 0x80;
}

static const uint32_t *multiply(const uint32_t *stream, const int8_t *source, const int8_t *end, int32_t *sum,
                                int32_t rows)
{
    for (; source != end; source += 4) {
        for (int32_t row = 0; row < rows; row++, stream++) {
            uint32_t total = (uint32_t)sum[row];
            for (int32_t column = 0; column < 4; column++) {
                total += (uint32_t)(byte_of(*stream, column) * source[column]);
            }
            sum[row] = (int32_t)total;
        }
    }
    return stream;
}

#define multiply_block(stream, source, end, sum) multiply(stream, source, end, sum, BLOCK_ROWS)
#define multiply_row(stream, source, end, sum) multiply(stream, source, end, sum, 1)

static int32_t requantise(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero_point)
{
    const int32_t right = shift > 0 ? shift : 0;
    const int32_t value = (int32_t)((uint32_t)sum << (right - shift));
    const int64_t product = (int64_t)value * ((int64_t)multiplier + ((int64_t)1 << 32)) / 2;
    int64_t result = (product + ((int64_t)1 << 30)) >> 31;
    if (right > 0) {
        result = (result - (result < 0) + ((int64_t)1 << (right - 1))) >> right;
    }
    result += zero_point;
    return result < -128 ? -128 : result > 127 ? 127 : (int32_t)result;
}

#endif

void secateur_fully_connected(const uint32_t *stream, const int8_t *source, int8_t *target)
{
    const int8_t *const end = source + 4 * (*stream >> 16);
    int32_t rows = (int32_t)(*stream++ & 0xFFFFu);
    const int32_t zero_point = (int32_t)*stream++;
    while (rows > 0) {
        int32_t sum[BLOCK_ROWS];
        int32_t count = 1;
        sum[0] = (int32_t)*stream++;
        if (rows >= BLOCK_ROWS) {
            count = BLOCK_ROWS;
            sum[1] = (int32_t)*stream++;
            sum[2] = (int32_t)*stream++;
            sum[3] = (int32_t)*stream++;
            stream = multiply_block(stream, source, end, sum);
        } else {
            stream = multiply_row(stream, source, end, sum);
        }
        rows -= count;
        const int8_t *shift = (const int8_t *)(stream + count);
        for (int32_t row = 0; row < count; row++) {
            *target++ = (int8_t)requantise(sum[row], (int32_t)*stream++, *shift++, zero_point);
        }
        stream++;
    }
}
