#include "CWebP.h"

#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

struct cwebp_reader {
    WebPData data;
    WebPDemuxer *demuxer;
    WebPBitstreamFeatures features;
};

static const char *reason(VP8StatusCode status) {
    switch (status) {
        case VP8_STATUS_OUT_OF_MEMORY: return "out of memory";
        case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses a feature that libwebp does not know";
        case VP8_STATUS_NOT_ENOUGH_DATA: return "the file ends too early";
        default: return "its data are spoilt";
    }
}

/// Parses the whole container. So a file that was cut is found, however the decoder would treat it.
static const char *parse(cwebp_reader *reader, const uint8_t *bytes, size_t size) {
    reader->data = (WebPData){bytes, size};
    WebPDemuxState state = WEBP_DEMUX_PARSING_HEADER;
    reader->demuxer = WebPDemuxPartial(&reader->data, &state);
    if (state == WEBP_DEMUX_PARSE_ERROR) return "its structure is spoilt";
    if (!reader->demuxer || state != WEBP_DEMUX_DONE) return "the file ends too early";
    VP8StatusCode status = WebPGetFeatures(bytes, size, &reader->features);
    return status == VP8_STATUS_OK ? NULL : reason(status);
}

const char *cwebp_reader_open(const uint8_t *bytes, size_t size, cwebp_reader **out) {
    cwebp_reader *reader = *out = calloc(1, sizeof(cwebp_reader));
    return reader ? parse(reader, bytes, size) : "out of memory";
}

int cwebp_reader_is_animated(const cwebp_reader *reader) { return reader->features.has_animation; }

uint32_t cwebp_reader_width(const cwebp_reader *reader) { return (uint32_t)reader->features.width; }

uint32_t cwebp_reader_height(const cwebp_reader *reader) { return (uint32_t)reader->features.height; }

uint32_t cwebp_reader_channels(const cwebp_reader *reader) { return reader->features.has_alpha ? 4 : 3; }

void cwebp_reader_chunk(const cwebp_reader *reader, const char kind[4], const uint8_t **content, size_t *length) {
    *content = NULL;
    *length = 0;
    WebPChunkIterator chunk;
    if (!WebPDemuxGetChunk(reader->demuxer, kind, 1, &chunk)) return;
    *content = chunk.chunk.bytes;
    *length = chunk.chunk.size;
    WebPDemuxReleaseChunkIterator(&chunk);
}

const char *cwebp_reader_pixels(const cwebp_reader *reader, uint8_t *pixels, size_t size) {
    size_t stride = (size_t)cwebp_reader_width(reader) * cwebp_reader_channels(reader);
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config) || stride > INT32_MAX || size != stride * cwebp_reader_height(reader)) {
        return "the pixel buffer has another size than the picture";
    }
    config.output.colorspace = reader->features.has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){.rgba = pixels, .stride = (int)stride, .size = size};
    VP8StatusCode status = WebPDecode(reader->data.bytes, reader->data.size, &config);
    WebPFreeDecBuffer(&config.output);
    return status == VP8_STATUS_OK ? NULL : reason(status);
}

void cwebp_reader_close(cwebp_reader *reader) {
    if (!reader) return;
    WebPDemuxDelete(reader->demuxer);
    free(reader);
}
