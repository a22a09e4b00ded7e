#include "COneDNN.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR != 2
#error "Patchloom is written for oneDNN 2.x, as Debian 12 has it (libdnnl-dev); version 3 has another C API"
#endif

struct conednn_engine {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct conednn_format {
    dnnl_memory_desc_t desc;
};

enum { ARGUMENTS = 5 };

struct conednn_operation {
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    conednn_format weight_format;
    // x, weights, bias, residual, y. The memory of an argument that the operation does not have is NULL.
    dnnl_exec_arg_t arguments[ARGUMENTS];
    const char *implementation;
};

int conednn_engine_create(conednn_engine **out) {
    conednn_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_engine_create(&engine->engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = dnnl_stream_create(&engine->stream, engine->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        conednn_engine_destroy(engine);
        return status;
    }
    *out = engine;
    return 0;
}

void conednn_engine_destroy(conednn_engine *engine) {
    if (!engine) return;
    if (engine->stream) dnnl_stream_destroy(engine->stream);
    if (engine->engine) dnnl_engine_destroy(engine->engine);
    free(engine);
}

void conednn_version(int *major, int *minor, int *patch) {
    const dnnl_version_t *version = dnnl_version();
    *major = version->major;
    *minor = version->minor;
    *patch = version->patch;
}

const char *conednn_instruction_set(void) {
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "other";
    }
}

const char *conednn_status_text(int status) {
    switch (status) {
    case dnnl_out_of_memory: return "out of memory";
    case dnnl_invalid_arguments: return "invalid arguments";
    case dnnl_unimplemented: return "not implemented";
    default: return dnnl_status2str(status);
    }
}

static dnnl_data_type_t data_type(int type) { return type == conednn_bf16 ? dnnl_bf16 : dnnl_f32; }

// Post-operations: an activation, then the residual, which is a tensor or lies in the result.
static dnnl_status_t make_attributes(
    int activation, const dnnl_memory_desc_t *residual, int adds_to_result, dnnl_primitive_attr_t *attributes
) {
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success) status = dnnl_post_ops_create(&operations);
    if (status == dnnl_success && activation == conednn_silu)
        status = dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_swish, 1, 0);
    if (status == dnnl_success && activation == conednn_gelu)
        status = dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_gelu_erf, 0, 0);
    if (status == dnnl_success && activation == conednn_quick_gelu)
        status = dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_swish, 1.702f, 0);
    if (status == dnnl_success && residual) status = dnnl_post_ops_append_binary(operations, dnnl_binary_add, residual);
    if (status == dnnl_success && adds_to_result) status = dnnl_post_ops_append_sum(operations, 1);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (operations) dnnl_post_ops_destroy(operations);
    return status;
}

// Builds a description's primitive and the memory objects of its arguments. bias and residual are NULL if there is none.
static int make_operation(
    conednn_engine *engine, const_dnnl_op_desc_t description, int activation, const dnnl_memory_desc_t *x,
    const dnnl_memory_desc_t *bias, const dnnl_memory_desc_t *residual, int adds_to_result, const dnnl_memory_desc_t *y,
    conednn_operation **out
) {
    conednn_operation *operation = calloc(1, sizeof *operation);
    if (!operation) return dnnl_out_of_memory;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = make_attributes(activation, residual, adds_to_result, &attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&operation->description, description, attributes, engine->engine, NULL);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    if (status == dnnl_success) {
        operation->weight_format.desc = *dnnl_primitive_desc_query_md(operation->description, dnnl_query_weights_md, 0);
        dnnl_primitive_desc_query(operation->description, dnnl_query_impl_info_str, 0, &operation->implementation);
        status = dnnl_primitive_create(&operation->primitive, operation->description);
    }
    const int residual_name = DNNL_ARG_ATTR_MULTIPLE_POST_OP(activation != conednn_none) | DNNL_ARG_SRC_1;
    const int names[ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, residual_name, DNNL_ARG_DST};
    const dnnl_memory_desc_t *formats[ARGUMENTS] = {x, &operation->weight_format.desc, bias, residual, y};
    for (int i = 0; i < ARGUMENTS && status == dnnl_success; i++) {
        operation->arguments[i].arg = names[i];
        if (formats[i])
            status = dnnl_memory_create(&operation->arguments[i].memory, formats[i], engine->engine, DNNL_MEMORY_NONE);
    }
    if (status != dnnl_success) {
        conednn_operation_destroy(operation);
        return status;
    }
    *out = operation;
    return dnnl_success;
}

int conednn_linear_create(conednn_engine *engine, const conednn_linear_shape *shape, conednn_operation **operation) {
    dnnl_dims_t x_dims = {shape->rows, shape->in}, weight_dims = {shape->in, shape->out}, bias_dims = {1, shape->out};
    dnnl_dims_t y_dims = {shape->rows, shape->out};
    dnnl_memory_desc_t x, weights, bias, y;
    dnnl_memory_desc_init_by_tag(&x, 2, x_dims, data_type(shape->type), dnnl_ab);
    dnnl_memory_desc_init_by_tag(&weights, 2, weight_dims, data_type(shape->type), dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&bias, 2, bias_dims, dnnl_f32, dnnl_ab);
    dnnl_memory_desc_init_by_tag(&y, 2, y_dims, data_type(shape->result_type), dnnl_ab);
    const dnnl_memory_desc_t *with_bias = shape->has_bias ? &bias : NULL, *residual = shape->has_residual ? &y : NULL;
    dnnl_matmul_desc_t description;
    dnnl_status_t status = dnnl_matmul_desc_init(&description, &x, &weights, with_bias, &y);
    if (status != dnnl_success) return status;
    return make_operation(engine, &description, shape->activation, &x, with_bias, residual, 0, &y, operation);
}

int conednn_convolution_create(conednn_engine *engine, const conednn_convolution_shape *s, conednn_operation **operation) {
    dnnl_dims_t x_dims = {s->n, s->in, s->h, s->w}, weight_dims = {s->out, s->in, s->kernel_h, s->kernel_w};
    dnnl_dims_t bias_dims = {s->out}, y_dims = {s->n, s->out, s->out_h, s->out_w};
    dnnl_dims_t strides = {s->stride, s->stride}, dilates = {s->dilation - 1, s->dilation - 1};
    dnnl_dims_t before = {s->pad_top, s->pad_left}, after = {s->pad_bottom, s->pad_right};
    dnnl_memory_desc_t x, weights, bias, y;
    dnnl_memory_desc_init_by_tag(&x, 4, x_dims, data_type(s->type), dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(&weights, 4, weight_dims, data_type(s->type), dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a);
    dnnl_memory_desc_init_by_tag(&y, 4, y_dims, data_type(s->result_type), dnnl_nhwc);
    const dnnl_memory_desc_t *with_bias = s->has_bias ? &bias : NULL;
    dnnl_convolution_desc_t description;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &description, dnnl_forward_inference, dnnl_convolution_direct, &x, &weights, with_bias, &y, strides, dilates, before,
        after);
    if (status != dnnl_success) return status;
    return make_operation(engine, &description, s->activation, &x, with_bias, NULL, s->has_residual, &y, operation);
}

void conednn_operation_destroy(conednn_operation *operation) {
    if (!operation) return;
    for (int i = 0; i < ARGUMENTS; i++)
        if (operation->arguments[i].memory) dnnl_memory_destroy(operation->arguments[i].memory);
    if (operation->primitive) dnnl_primitive_destroy(operation->primitive);
    if (operation->description) dnnl_primitive_desc_destroy(operation->description);
    free(operation);
}

const char *conednn_operation_implementation(const conednn_operation *operation) { return operation->implementation; }

const conednn_format *conednn_operation_format(const conednn_operation *operation) { return &operation->weight_format; }

size_t conednn_format_bytes(const conednn_format *format) { return dnnl_memory_desc_get_size(&format->desc); }

int conednn_format_equal(const conednn_format *a, const conednn_format *b) {
    return dnnl_memory_desc_equal(&a->desc, &b->desc);
}

conednn_format *conednn_format_copy(const conednn_format *format) {
    conednn_format *copy = malloc(sizeof *copy);
    if (copy) memcpy(copy, format, sizeof *copy);
    return copy;
}

void conednn_format_destroy(conednn_format *format) { free(format); }

int conednn_format_plain(int rank, const int64_t *extents, int type, conednn_format **format) {
    // A linear operation multiplies by (in, out), which is the transposed matrix.
    dnnl_dims_t matrix = {extents[1], extents[0]};
    conednn_format *plain = calloc(1, sizeof *plain);
    if (!plain) return dnnl_out_of_memory;
    *format = plain;
    return rank == 2 ? dnnl_memory_desc_init_by_tag(&plain->desc, 2, matrix, data_type(type), dnnl_ba)
                     : dnnl_memory_desc_init_by_tag(&plain->desc, 4, extents, data_type(type), dnnl_abcd);
}

int conednn_repack(
    conednn_engine *engine, const conednn_format *from, const void *source, const conednn_format *to, void *destination
) {
    dnnl_memory_t in = NULL, out = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&description, &from->desc, engine->engine, &to->desc, engine->engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, description);
    if (status == dnnl_success) status = dnnl_memory_create(&in, &from->desc, engine->engine, (void *)source);
    if (status == dnnl_success) status = dnnl_memory_create(&out, &to->desc, engine->engine, destination);
    if (status == dnnl_success) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}};
        status = dnnl_primitive_execute(reorder, engine->stream, 2, arguments);
    }
    if (status == dnnl_success) status = dnnl_stream_wait(engine->stream);
    if (in) dnnl_memory_destroy(in);
    if (out) dnnl_memory_destroy(out);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (description) dnnl_primitive_desc_destroy(description);
    return status;
}

int conednn_execute(
    conednn_engine *engine, conednn_operation *operation, const void *x, const void *weights, const float *bias,
    const void *residual, void *y
) {
    const void *data[ARGUMENTS] = {x, weights, bias, residual, y};
    dnnl_exec_arg_t arguments[ARGUMENTS];
    int count = 0;
    for (int i = 0; i < ARGUMENTS; i++) {
        if (!operation->arguments[i].memory) continue;
        dnnl_memory_set_data_handle(operation->arguments[i].memory, (void *)data[i]);
        arguments[count++] = operation->arguments[i];
    }
    dnnl_status_t status = dnnl_primitive_execute(operation->primitive, engine->stream, count, arguments);
    return status == dnnl_success ? dnnl_stream_wait(engine->stream) : status;
}
