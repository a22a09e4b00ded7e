// oneDNN behind a few calls, so that the differences of its versions stay in one C file. Only one thread may use an engine
// and its operations. It must set its OpenMP thread count before it creates them and before it executes them.
//
// Functions return 0 or a oneDNN status. Sizes are in elements unless the name says bytes. x, weights and residual have the
// type of the shape, y has its result type, and a bias is f32. Sums are f32.
#ifndef CONEDNN_H
#define CONEDNN_H

#include <stddef.h>
#include <stdint.h>

typedef struct conednn_engine conednn_engine;
typedef struct conednn_operation conednn_operation;
// A memory format of weights. conednn_format_equal compares two by value.
typedef struct conednn_format conednn_format;

enum { conednn_f32 = 0, conednn_bf16 = 2 };
enum { conednn_none = 0, conednn_silu = 1, conednn_gelu = 2, conednn_quick_gelu = 3 };

typedef struct {
    int64_t rows, in, out;
    int has_bias, has_residual, activation;
    int type, result_type;
    int describes_only;
} conednn_linear_shape;

typedef struct {
    int64_t n, h, w, in, out, kernel_h, kernel_w, out_h, out_w;
    int64_t stride, dilation, pad_top, pad_left, pad_bottom, pad_right;
    int has_bias, has_residual, activation;
    int type, result_type;
    int describes_only;
} conednn_convolution_shape;

int conednn_engine_create(conednn_engine **engine);
void conednn_engine_destroy(conednn_engine *engine);
void conednn_version(int *major, int *minor, int *patch);
// The instruction set that oneDNN uses on this CPU, in a word.
const char *conednn_instruction_set(void);
// Whether oneDNN uses an instruction set here: the CPU has it, and the environment variable ONEDNN_MAX_CPU_ISA allows it.
enum { conednn_avx2, conednn_avx512, conednn_avx512_bf16, conednn_amx_bf16 };
int conednn_uses(int set);
const char *conednn_status_text(int status);

// An operation that only describes tells its weight format and cannot be executed. It is made some twenty times faster.

// y(rows, out) = activation(x(rows, in) * W + bias) [+ residual]. The weights have the given format, if oneDNN takes it, and
// one of its choice if `weights` is NULL.
int conednn_linear_create(
    conednn_engine *engine, const conednn_linear_shape *shape, const conednn_format *weights, conednn_operation **operation);
// y(n, out_h, out_w, out) = activation(convolution of x(n, h, w, in) [+ bias]) [+ residual]. The residual must lie in y when
// the operation is executed: as a tensor of its own it would take most shapes to a slower implementation.
int conednn_convolution_create(conednn_engine *engine, const conednn_convolution_shape *shape, conednn_operation **operation);
void conednn_operation_destroy(conednn_operation *operation);
// The implementation that oneDNN chose, for diagnosis. It lives as long as the operation.
const char *conednn_operation_implementation(const conednn_operation *operation);

// The weight format that the operation needs. It lives as long as the operation.
const conednn_format *conednn_operation_format(const conednn_operation *operation);
size_t conednn_format_bytes(const conednn_format *format);
int conednn_format_equal(const conednn_format *a, const conednn_format *b);
conednn_format *conednn_format_copy(const conednn_format *format);
void conednn_format_destroy(conednn_format *format);
// The number of dimensions.
int conednn_format_rank(const conednn_format *format);
// Writes the whole format in words, which are the same for equal formats only, and ends them with a NUL. Returns their length;
// 0 if there are no words for the format, or not enough room.
size_t conednn_format_text(const conednn_format *format, char *text, size_t size);
// The plain format of weights: row-major, (out, in) if the rank is 2, (out, in, kh, kw) if it is 4.
int conednn_format_plain(int rank, const int64_t *extents, int type, conednn_format **format);
// Copies weights from one format to another.
int conednn_repack(
    conednn_engine *engine, const conednn_format *from, const void *source, const conednn_format *to, void *destination);
// The number of times that conednn_repack ran.
uint64_t conednn_reorder_count(const conednn_engine *engine);

// The bias is ignored if the shape has none, and so is the residual. A convolution never takes a residual. Waits until the
// result is there.
int conednn_execute(
    conednn_engine *engine, conednn_operation *operation, const void *x, const void *weights, const float *bias,
    const void *residual, void *y);

#endif
