#include "CWebP.h"

#include <stdio.h>
#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

struct cwebp_reader {
    const uint8_t *bytes;
    size_t size;
    WebPDemuxer *demuxer;
    WebPBitstreamFeatures features;
};

static void set_message(char *message, const char *text) { snprintf(message, CWEBP_MESSAGE_SIZE, "%s", text); }

static const char *reason(VP8StatusCode status) {
    switch (status) {
        case VP8_STATUS_OUT_OF_MEMORY: return "out of memory";
        case VP8_STATUS_UNSUPPORTED_FEATURE: return "it uses a feature that libwebp does not know";
        case VP8_STATUS_NOT_ENOUGH_DATA: return "the file ends too early";
        default: return "its data are spoilt";
    }
}

/// Parses the whole container. So a file that was cut is found, however the decoder would treat it.
static const char *open_problem(cwebp_reader *reader) {
    WebPData data = {reader->bytes, reader->size};
    WebPDemuxState state = WEBP_DEMUX_PARSING_HEADER;
    reader->demuxer = WebPDemuxPartial(&data, &state);
    if (state == WEBP_DEMUX_PARSE_ERROR) return "its structure is spoilt";
    if (!reader->demuxer || state != WEBP_DEMUX_DONE) return "the file ends too early";
    VP8StatusCode status = WebPGetFeatures(reader->bytes, reader->size, &reader->features);
    return status == VP8_STATUS_OK ? NULL : reason(status);
}

cwebp_reader *cwebp_reader_open(const uint8_t *bytes, size_t size, char message[CWEBP_MESSAGE_SIZE]) {
    message[0] = 0;
    cwebp_reader *reader = calloc(1, sizeof(cwebp_reader));
    if (!reader) {
        set_message(message, "out of memory");
        return NULL;
    }
    reader->bytes = bytes;
    reader->size = size;
    const char *problem = open_problem(reader);
    if (problem) {
        set_message(message, problem);
        cwebp_reader_close(reader);
        return NULL;
    }
    return reader;
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

int cwebp_reader_pixels(const cwebp_reader *reader, uint8_t *pixels, size_t size, char message[CWEBP_MESSAGE_SIZE]) {
    message[0] = 0;
    size_t stride = (size_t)cwebp_reader_width(reader) * cwebp_reader_channels(reader);
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config) || stride > INT32_MAX || size != stride * cwebp_reader_height(reader)) {
        set_message(message, "the pixel buffer has another size than the picture");
        return -1;
    }
    config.output.colorspace = reader->features.has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){.rgba = pixels, .stride = (int)stride, .size = size};
    VP8StatusCode status = WebPDecode(reader->bytes, reader->size, &config);
    WebPFreeDecBuffer(&config.output);
    if (status == VP8_STATUS_OK) return 0;
    set_message(message, reason(status));
    return -1;
}

void cwebp_reader_close(cwebp_reader *reader) {
    if (!reader) return;
    WebPDemuxDelete(reader->demuxer);
    free(reader);
}
