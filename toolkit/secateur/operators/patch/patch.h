/* Bytes from one place to another, by words where the core loads them from anywhere or both places allow it. */
#ifndef SECATEUR_PATCH_H
#define SECATEUR_PATCH_H

#include <stdint.h>

static inline void secateur_copy(int8_t *target, const int8_t *source, int32_t count)
{
#if defined(__ARM_FEATURE_UNALIGNED) && defined(__GNUC__)
    for (; count >= 4; count -= 4, source += 4, target += 4) {
        uint32_t word;
        __builtin_memcpy(&word, source, 4);
        __builtin_memcpy(target, &word, 4);
    }
#else
    if ((((uintptr_t)source | (uintptr_t)target) & 3u) == 0) {
        for (; count >= 4; count -= 4, source += 4, target += 4) {
            *(uint32_t *)(void *)target = *(const uint32_t *)(const void *)source;
        }
    }
#endif
    for (; count > 0; count--) {
        *target++ = *source++;
    }
}

#endif
