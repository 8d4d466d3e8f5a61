/* The network as the firmware sees it. model.c is generated. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

struct model_tensor {
    uint8_t *(*bytes)(void);
    uint32_t size; /* in bytes */
};

/* In the order in which the line has them, one behind the other. */
extern const struct model_tensor model_inputs[], model_outputs[];
extern const uint32_t model_input_count, model_output_count;

extern const uint8_t model_sha256[32]; /* of the .tflite */
extern const uint8_t model_layout[];   /* as HELLO states it */
extern const uint32_t model_layout_bytes;

/* Inputs → outputs. Inputs are overwritten. */
extern void (*const model_step)(void);

/* States become zero; null where there are none. */
extern void (*const model_init)(void);

#endif
