/* Float32 to int8 or int16, and back.
 *
 * stream: 0 for float32 to integers, 1 for integers to float32; bytes of an integer; scale; zero point.
 */
#include "secateur_kernels.h"
#include "secateur_float.h"

/* To the nearest integer, halves away from zero; beyond 24 bits all saturate. NaN becomes zero. */
static int32_t rounded(float value)
{
    const float limit = 16777216.0f;
    if (!(value > -limit && value < limit)) {
        return value > 0.0f ? 1 << 24 : value < 0.0f ? -(1 << 24) : 0;
    }
    const int32_t whole = (int32_t)value;
    const float rest = value - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

void secateur_convert_float(const uint32_t *stream, const void *source, void *target, int32_t count)
{
    const secateur_float *const reals = source;
    const secateur_int16 *const halves = source;
    const int8_t *const bytes = source;
    secateur_float *const out_reals = target;
    secateur_int16 *const out_halves = target;
    int8_t *const out_bytes = target;
    const float scale = secateur_real(stream[2]);
    const int32_t zero_point = (int32_t)stream[3], wide = stream[1] == 2;
    const int32_t low = wide ? INT16_MIN : INT8_MIN, high = wide ? INT16_MAX : INT8_MAX;
    for (int32_t index = 0; index < count; index++) {
        if (stream[0] != 0) {
            out_reals[index] = scale * (float)((wide ? halves[index] : bytes[index]) - zero_point);
            continue;
        }
        int32_t value = rounded(reals[index] / scale) + zero_point;
        value = value < low ? low : value > high ? high : value;
        if (wide) {
            out_halves[index] = (int16_t)value;
        } else {
            out_bytes[index] = (int8_t)value;
        }
    }
}
