#include "COneDNN.h"

#include <oneapi/dnnl/dnnl_debug.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "onednn_versions.h"

struct conednn_engine {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint64_t reorders;
    // Working memory of operations. oneDNN's own may be shared by the whole process, and then two contexts at once would spoil
    // each other's numbers.
    void *scratch;
    size_t scratch_bytes;
};

struct conednn_format {
    dnnl_memory_desc_t desc;
};

enum { ARGUMENTS = 6 };

struct conednn_operation {
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    conednn_format weight_format;
    // x, weights, bias, residual, y, working memory. The memory of an argument that the operation does not have is NULL.
    dnnl_exec_arg_t arguments[ARGUMENTS];
    size_t scratch_bytes;
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
    free(engine->scratch);
    free(engine);
}

void conednn_version(int *major, int *minor, int *patch) {
    const dnnl_version_t *version = dnnl_version();
    *major = version->major;
    *minor = version->minor;
    *patch = version->patch;
}

const char *conednn_instruction_set(void) {
    const unsigned set = (unsigned)dnnl_get_effective_cpu_isa();
    switch (set) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
#if DNNL_VERSION_MAJOR >= 3
    case dnnl_cpu_isa_avx2_vnni_2: return "avx2_vnni_2";
    case dnnl_cpu_isa_avx512_core_fp16: return "avx512_core_fp16";
    case dnnl_cpu_isa_avx512_core_amx_fp16: return "avx512_core_amx_fp16";
#endif
    default: break;
    }
#if DNNL_VERSION_MAJOR >= 3
    // A set of a later version has the bits of every set that it includes.
    if ((set & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx) return "avx512_core_amx_and_more";
    if ((set & dnnl_cpu_isa_avx512_core_fp16) == dnnl_cpu_isa_avx512_core_fp16) return "avx512_core_fp16_and_more";
#endif
    return "other";
}

int conednn_uses(int set) {
    // A set has the bits of every set that it includes.
    static const unsigned sets[] = {
        dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx512_core, dnnl_cpu_isa_avx512_core_bf16, dnnl_cpu_isa_avx512_core_amx,
    };
    return ((unsigned)dnnl_get_effective_cpu_isa() & sets[set]) == sets[set];
}

const char *conednn_status_text(int status) {
    switch (status) {
    case dnnl_out_of_memory: return "out of memory";
    case dnnl_invalid_arguments: return "invalid arguments";
    case dnnl_unimplemented: return "not implemented";
    default: return dnnl_status2str(status);
    }
}

static dnnl_data_type_t data_type(int type) {
    switch (type) {
    case conednn_f32: return dnnl_f32;
    case conednn_bf16: return dnnl_bf16;
    default: return dnnl_data_type_undef;
    }
}

// Post-operations: an activation, then the residual, which is a tensor or lies in the result.
static dnnl_status_t make_attributes(
    int activation, desc_view residual, int adds_to_result, dnnl_primitive_attr_t *attributes
) {
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = dnnl_post_ops_create(&operations);
    if (status == dnnl_success && activation == conednn_silu) status = append_activation(operations, dnnl_eltwise_swish, 1);
    if (status == dnnl_success && activation == conednn_gelu) status = append_activation(operations, dnnl_eltwise_gelu_erf, 0);
    if (status == dnnl_success && activation == conednn_quick_gelu)
        status = append_activation(operations, dnnl_eltwise_swish, 1.702f);
    if (status == dnnl_success && residual) status = dnnl_post_ops_append_binary(operations, dnnl_binary_add, residual);
    if (status == dnnl_success && adds_to_result) status = append_sum(operations);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (operations) dnnl_post_ops_destroy(operations);
    return status;
}

// Builds a description's primitive and the memory objects of its arguments. It takes the description over.
static int make_operation(
    conednn_engine *engine, dnnl_primitive_desc_t description, int activation, const sides *s, desc_view residual,
    int describes_only, conednn_operation **out
) {
    conednn_operation *operation = calloc(1, sizeof *operation);
    if (!operation) {
        dnnl_primitive_desc_destroy(description);
        return dnnl_out_of_memory;
    }
    operation->description = description;
    dnnl_status_t status = desc_copy(
        &operation->weight_format.desc, dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0));
    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &operation->implementation);
    if (status == dnnl_success && !describes_only) status = dnnl_primitive_create(&operation->primitive, description);
    const int residual_name = DNNL_ARG_ATTR_MULTIPLE_POST_OP(activation != conednn_none) | DNNL_ARG_SRC_1;
    const desc_view scratch = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    operation->scratch_bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    const int names[ARGUMENTS] = {
        DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, residual_name, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD,
    };
    const desc_view formats[ARGUMENTS] = {
        s->x, view_of(&operation->weight_format.desc), s->bias, residual, s->y, operation->scratch_bytes ? scratch : NULL,
    };
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

static int linear_create(
    conednn_engine *engine, const conednn_linear_shape *shape, const conednn_format *given, conednn_operation **operation
) {
    dnnl_dims_t x_dims = {shape->rows, shape->in}, weight_dims = {shape->in, shape->out}, bias_dims = {1, shape->out};
    dnnl_dims_t y_dims = {shape->rows, shape->out};
    dnnl_memory_desc_t x = {0}, weights = {0}, bias = {0}, y = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = desc_create(&x, 2, x_dims, data_type(shape->type), dnnl_ab);
    if (status == dnnl_success)
        status = given ? desc_copy(&weights, view_of(&given->desc))
                       : desc_create(&weights, 2, weight_dims, data_type(shape->type), dnnl_format_tag_any);
    if (status == dnnl_success) status = desc_create(&bias, 2, bias_dims, dnnl_f32, dnnl_ab);
    if (status == dnnl_success) status = desc_create(&y, 2, y_dims, data_type(shape->result_type), dnnl_ab);
    const sides s = {view_of(&x), view_of(&weights), shape->has_bias ? view_of(&bias) : NULL, view_of(&y)};
    const desc_view residual = shape->has_residual ? s.y : NULL;
    if (status == dnnl_success) status = make_attributes(shape->activation, residual, 0, &attributes);
    if (status == dnnl_success) status = describe_linear(engine->engine, &s, attributes, &description);
    if (status == dnnl_success)
        status = make_operation(engine, description, shape->activation, &s, residual, shape->describes_only, operation);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    desc_destroy(&x), desc_destroy(&weights), desc_destroy(&bias), desc_destroy(&y);
    return status;
}

// With oneDNN 2.6, two threads made convolutions in f32 and in bf16 at the same time, and got convolutions that read with the
// other's strides. Convolutions that are made one at a time are right. Static variables of its planning are the likely cause.
static pthread_mutex_t creation = PTHREAD_MUTEX_INITIALIZER;

int conednn_linear_create(
    conednn_engine *engine, const conednn_linear_shape *shape, const conednn_format *weights, conednn_operation **operation
) {
    pthread_mutex_lock(&creation);
    int status = linear_create(engine, shape, weights, operation);
    if (status == dnnl_unimplemented && weights) status = linear_create(engine, shape, NULL, operation);
    pthread_mutex_unlock(&creation);
    return status;
}

static int convolution_create(
    conednn_engine *engine, const conednn_convolution_shape *shape, conednn_operation **operation
) {
    dnnl_dims_t x_dims = {shape->n, shape->in, shape->h, shape->w};
    dnnl_dims_t weight_dims = {shape->out, shape->in, shape->kernel_h, shape->kernel_w}, bias_dims = {shape->out};
    dnnl_dims_t y_dims = {shape->n, shape->out, shape->out_h, shape->out_w};
    const spacing space = {
        .strides = {shape->stride, shape->stride},
        .dilates = {shape->dilation - 1, shape->dilation - 1},
        .before = {shape->pad_top, shape->pad_left},
        .after = {shape->pad_bottom, shape->pad_right},
    };
    dnnl_memory_desc_t x = {0}, weights = {0}, bias = {0}, y = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = desc_create(&x, 4, x_dims, data_type(shape->type), dnnl_nhwc);
    if (status == dnnl_success)
        status = desc_create(&weights, 4, weight_dims, data_type(shape->type), dnnl_format_tag_any);
    if (status == dnnl_success) status = desc_create(&bias, 1, bias_dims, dnnl_f32, dnnl_a);
    if (status == dnnl_success) status = desc_create(&y, 4, y_dims, data_type(shape->result_type), dnnl_nhwc);
    const sides s = {view_of(&x), view_of(&weights), shape->has_bias ? view_of(&bias) : NULL, view_of(&y)};
    if (status == dnnl_success) status = make_attributes(shape->activation, NULL, shape->has_residual, &attributes);
    if (status == dnnl_success) status = describe_convolution(engine->engine, &s, &space, attributes, &description);
    if (status == dnnl_success)
        status = make_operation(engine, description, shape->activation, &s, NULL, shape->describes_only, operation);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    desc_destroy(&x), desc_destroy(&weights), desc_destroy(&bias), desc_destroy(&y);
    return status;
}

int conednn_convolution_create(conednn_engine *engine, const conednn_convolution_shape *shape, conednn_operation **operation) {
    pthread_mutex_lock(&creation);
    const int status = convolution_create(engine, shape, operation);
    pthread_mutex_unlock(&creation);
    return status;
}

void conednn_operation_destroy(conednn_operation *operation) {
    if (!operation) return;
    for (int i = 0; i < ARGUMENTS; i++)
        if (operation->arguments[i].memory) dnnl_memory_destroy(operation->arguments[i].memory);
    if (operation->primitive) dnnl_primitive_destroy(operation->primitive);
    if (operation->description) dnnl_primitive_desc_destroy(operation->description);
    desc_destroy(&operation->weight_format.desc);
    free(operation);
}

const char *conednn_operation_implementation(const conednn_operation *operation) { return operation->implementation; }

const conednn_format *conednn_operation_format(const conednn_operation *operation) { return &operation->weight_format; }

size_t conednn_format_bytes(const conednn_format *format) { return dnnl_memory_desc_get_size(view_of(&format->desc)); }

int conednn_format_equal(const conednn_format *a, const conednn_format *b) {
    return dnnl_memory_desc_equal(view_of(&a->desc), view_of(&b->desc));
}

conednn_format *conednn_format_copy(const conednn_format *format) {
    conednn_format *copy = calloc(1, sizeof *copy);
    if (copy && desc_copy(&copy->desc, view_of(&format->desc)) != dnnl_success) {
        free(copy);
        copy = NULL;
    }
    return copy;
}

void conednn_format_destroy(conednn_format *format) {
    if (!format) return;
    desc_destroy(&format->desc);
    free(format);
}

int conednn_format_rank(const conednn_format *format) { return parts_of(view_of(&format->desc)).ndims; }

// Adds words at `*length`. Returns 0 if there is no room.
__attribute__((format(printf, 4, 5))) static int add(char *text, size_t size, size_t *length, const char *words, ...) {
    va_list values;
    va_start(values, words);
    const int count = vsnprintf(text + *length, size - *length, words, values);
    va_end(values);
    if (count < 0 || (size_t)count >= size - *length) return 0;
    *length += (size_t)count;
    return 1;
}

size_t conednn_format_text(const conednn_format *format, char *text, size_t size) {
    const format_parts parts = parts_of(view_of(&format->desc));
    size_t length = 0;
    if (!parts.is_plain_blocks || size == 0) return 0;
    if (parts.type != dnnl_f32 && parts.type != dnnl_bf16) return 0;
    if (!add(text, size, &length, "%s", parts.type == dnnl_bf16 ? "bf16" : "f32")) return 0;
    for (int i = 0; i < parts.ndims; i++) {
        const long long extent = parts.dims[i], padded = parts.padded_dims[i], stride = parts.strides[i];
        if (!add(text, size, &length, " %lld/%lld@%lld", extent, padded, stride)) return 0;
    }
    for (int i = 0; i < parts.blocks; i++) {
        const long long block = parts.block_sizes[i];
        if (!add(text, size, &length, " %lld%c", block, (char)('a' + parts.block_dims[i]))) return 0;
    }
    return length;
}

int conednn_format_plain(int rank, const int64_t *extents, int type, conednn_format **format) {
    // A linear operation multiplies by (in, out), which is the transposed matrix.
    dnnl_dims_t matrix = {extents[1], extents[0]};
    conednn_format *plain = calloc(1, sizeof *plain);
    if (!plain) return dnnl_out_of_memory;
    dnnl_status_t status = rank == 2 ? desc_create(&plain->desc, 2, matrix, data_type(type), dnnl_ba)
                                     : desc_create(&plain->desc, 4, extents, data_type(type), dnnl_abcd);
    if (status != dnnl_success) {
        free(plain);
        return status;
    }
    *format = plain;
    return dnnl_success;
}

// Makes room for working memory. Returns 0 if there is none.
static int reserve(conednn_engine *engine, size_t bytes) {
    if (bytes <= engine->scratch_bytes) return 1;
    free(engine->scratch);
    engine->scratch = NULL;
    engine->scratch_bytes = 0;
    if (posix_memalign(&engine->scratch, 4096, bytes) != 0) return 0;
    engine->scratch_bytes = bytes;
    return 1;
}

int conednn_repack(
    conednn_engine *engine, const conednn_format *from, const void *source, const conednn_format *to, void *destination
) {
    dnnl_memory_t in = NULL, out = NULL, work = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t reorder = NULL;
    const desc_view packed_from = view_of(&from->desc), packed_to = view_of(&to->desc);
    dnnl_status_t status = make_attributes(conednn_none, NULL, 0, &attributes);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(
            &description, packed_from, engine->engine, packed_to, engine->engine, attributes);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, description);
    if (status == dnnl_success) status = dnnl_memory_create(&in, packed_from, engine->engine, (void *)source);
    if (status == dnnl_success) status = dnnl_memory_create(&out, packed_to, engine->engine, destination);
    const desc_view scratch =
        status == dnnl_success ? dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0) : NULL;
    const size_t scratch_bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    if (scratch_bytes)
        status = reserve(engine, scratch_bytes) ? dnnl_memory_create(&work, scratch, engine->engine, engine->scratch)
                                                : dnnl_out_of_memory;
    if (status == dnnl_success) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}, {DNNL_ARG_SCRATCHPAD, work}};
        status = dnnl_primitive_execute(reorder, engine->stream, work ? 3 : 2, arguments);
    }
    if (status == dnnl_success) status = dnnl_stream_wait(engine->stream);
    engine->reorders++;
    if (in) dnnl_memory_destroy(in);
    if (out) dnnl_memory_destroy(out);
    if (work) dnnl_memory_destroy(work);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (description) dnnl_primitive_desc_destroy(description);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return status;
}

uint64_t conednn_reorder_count(const conednn_engine *engine) { return engine->reorders; }

int conednn_execute(
    conednn_engine *engine, conednn_operation *operation, const void *x, const void *weights, const float *bias,
    const void *residual, void *y
) {
    if (!reserve(engine, operation->scratch_bytes)) return dnnl_out_of_memory;
    const void *data[ARGUMENTS] = {x, weights, bias, residual, y, engine->scratch};
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
