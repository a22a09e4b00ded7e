// The differences between the C interfaces of oneDNN 2 and 3. The headers that this is compiled with decide; the rest of the
// shim is the same for both.
#ifndef ONEDNN_VERSIONS_H
#define ONEDNN_VERSIONS_H

#include <oneapi/dnnl/dnnl.h>

// A view of a description of memory. NULL means that there is no such memory. Version 2 holds descriptions by value, version 3
// behind pointers.
#if DNNL_VERSION_MAJOR == 2
typedef const dnnl_memory_desc_t *desc_view;
#elif DNNL_VERSION_MAJOR == 3
typedef const_dnnl_memory_desc_t desc_view;
#else
#error "Patchloom is written for oneDNN 2.x (Debian 12) and 3.x (Debian 13, Ubuntu 24.04); this is another version"
#endif

// The sides of a product or convolution.
typedef struct {
    desc_view x, weights, bias, y;
} sides;

typedef struct {
    dnnl_dims_t strides, dilates, before, after;
} spacing;

// The parts of a memory format. Pointers live as long as the description. is_plain_blocks: 1 if these parts say all.
typedef struct {
    int ndims, blocks, is_plain_blocks;
    dnnl_data_type_t type;
    const dnnl_dim_t *dims, *padded_dims, *strides, *block_sizes, *block_dims;
} format_parts;

#if DNNL_VERSION_MAJOR == 2

static inline desc_view view_of(const dnnl_memory_desc_t *desc) { return desc; }

static inline dnnl_status_t desc_create(
    dnnl_memory_desc_t *desc, int rank, const dnnl_dims_t extents, dnnl_data_type_t type, dnnl_format_tag_t tag
) {
    return dnnl_memory_desc_init_by_tag(desc, rank, extents, type, tag);
}

static inline dnnl_status_t desc_copy(dnnl_memory_desc_t *copy, desc_view source) {
    *copy = *source;
    return dnnl_success;
}

static inline void desc_destroy(dnnl_memory_desc_t *desc) { (void)desc; }

static inline dnnl_status_t append_activation(dnnl_post_ops_t operations, dnnl_alg_kind_t kind, float alpha) {
    return dnnl_post_ops_append_eltwise(operations, 1, kind, alpha, 0);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t operations) { return dnnl_post_ops_append_sum(operations, 1); }

static inline dnnl_status_t describe_linear(
    dnnl_engine_t engine, const sides *s, const_dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *description
) {
    dnnl_matmul_desc_t linear;
    dnnl_status_t status = dnnl_matmul_desc_init(&linear, s->x, s->weights, s->bias, s->y);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(description, &linear, attributes, engine, NULL);
}

static inline dnnl_status_t describe_convolution(
    dnnl_engine_t engine, const sides *s, const spacing *space, const_dnnl_primitive_attr_t attributes,
    dnnl_primitive_desc_t *description
) {
    dnnl_convolution_desc_t convolution;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &convolution, dnnl_forward_inference, dnnl_convolution_direct, s->x, s->weights, s->bias, s->y, space->strides,
        space->dilates, space->before, space->after);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(description, &convolution, attributes, engine, NULL);
}

static inline format_parts parts_of(desc_view desc) {
    const dnnl_blocking_desc_t *blocking = &desc->format_desc.blocking;
    return (format_parts){
        .ndims = desc->ndims, .blocks = blocking->inner_nblks, .type = desc->data_type, .dims = desc->dims,
        .padded_dims = desc->padded_dims, .strides = blocking->strides, .block_sizes = blocking->inner_blks,
        .block_dims = blocking->inner_idxs,
        // Extra flags are for weights that hold more than their numbers, such as sums.
        .is_plain_blocks = desc->format_kind == dnnl_blocked && desc->extra.flags == 0 && desc->offset0 == 0};
}

#else

static inline desc_view view_of(const dnnl_memory_desc_t *desc) { return desc ? *desc : NULL; }

static inline dnnl_status_t desc_create(
    dnnl_memory_desc_t *desc, int rank, const dnnl_dims_t extents, dnnl_data_type_t type, dnnl_format_tag_t tag
) {
    return dnnl_memory_desc_create_with_tag(desc, rank, extents, type, tag);
}

static inline dnnl_status_t desc_copy(dnnl_memory_desc_t *copy, desc_view source) {
    return dnnl_memory_desc_clone(copy, source);
}

static inline void desc_destroy(dnnl_memory_desc_t *desc) {
    if (*desc) dnnl_memory_desc_destroy(*desc);
    *desc = NULL;
}

static inline dnnl_status_t append_activation(dnnl_post_ops_t operations, dnnl_alg_kind_t kind, float alpha) {
    return dnnl_post_ops_append_eltwise(operations, kind, alpha, 0);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t operations) {
    // The sum has the type of the result.
    return dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t describe_linear(
    dnnl_engine_t engine, const sides *s, const_dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *description
) {
    return dnnl_matmul_primitive_desc_create(description, engine, s->x, s->weights, s->bias, s->y, attributes);
}

static inline dnnl_status_t describe_convolution(
    dnnl_engine_t engine, const sides *s, const spacing *space, const_dnnl_primitive_attr_t attributes,
    dnnl_primitive_desc_t *description
) {
    return dnnl_convolution_forward_primitive_desc_create(
        description, engine, dnnl_forward_inference, dnnl_convolution_direct, s->x, s->weights, s->bias, s->y, space->strides,
        space->dilates, space->before, space->after, attributes);
}

static inline format_parts parts_of(desc_view desc) {
    static const dnnl_query_t queries[5] = {
        dnnl_query_dims, dnnl_query_padded_dims, dnnl_query_strides, dnnl_query_inner_blks, dnnl_query_inner_idxs};
    format_parts parts = {0};
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    dnnl_dims_t *dims[5] = {0};
    int32_t ndims = 0, blocks = 0;
    int is_known = dnnl_memory_desc_query(desc, dnnl_query_ndims_s32, &ndims) == dnnl_success &&
                   dnnl_memory_desc_query(desc, dnnl_query_format_kind, &kind) == dnnl_success &&
                   dnnl_memory_desc_query(desc, dnnl_query_data_type, &parts.type) == dnnl_success;
    parts.ndims = ndims;
    if (!is_known || kind != dnnl_blocked) return parts;
    is_known = dnnl_memory_desc_query(desc, dnnl_query_inner_nblks_s32, &blocks) == dnnl_success;
    for (int i = 0; i < 5 && is_known; i++)
        is_known = dnnl_memory_desc_query(desc, queries[i], &dims[i]) == dnnl_success;
    if (!is_known) return parts;
    parts.blocks = blocks;
    parts.dims = *dims[0], parts.padded_dims = *dims[1], parts.strides = *dims[2];
    parts.block_sizes = *dims[3], parts.block_dims = *dims[4];
    parts.is_plain_blocks = 1;
    return parts;
}

#endif

#endif
