#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "cpng_message.h"

typedef struct {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} growing_buffer;

static void append(png_structp png, png_bytep data, png_size_t count) {
    growing_buffer *buffer = png_get_io_ptr(png);
    if (count > SIZE_MAX / 2 - buffer->size) png_error(png, "the file would be larger than memory");
    if (buffer->size + count > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64 * 1024;
        while (capacity < buffer->size + count) capacity *= 2;
        uint8_t *grown = realloc(buffer->bytes, capacity);
        if (!grown) png_error(png, "out of memory");
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->size, data, count);
    buffer->size += count;
}

static void flush(png_structp png) { (void)png; }

/// Everything that can longjmp. cpng_encode calls it after its setjmp.
static void write_all(png_structp png, png_infop info, const uint8_t *rgb, uint32_t width, uint32_t height, png_textp texts,
                      size_t text_count) {
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    // Both are libpng's defaults today. They are written here so that a new version cannot change the bytes of a picture.
    png_set_compression_level(png, 6);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
    if (text_count > 0) png_set_text(png, info, texts, (int)text_count);
    png_write_info(png, info);
    for (uint32_t row = 0; row < height; row++) png_write_row(png, rgb + (size_t)row * width * 3);
    png_write_end(png, info);
}

int cpng_encode(const uint8_t *rgb, uint32_t width, uint32_t height, const cpng_text *texts, size_t text_count, uint8_t **out,
                size_t *out_size, char message[CPNG_MESSAGE_SIZE]) {
    *out = NULL;
    *out_size = 0;
    message[0] = 0;
    // A longjmp does not restore the buffer's struct and this array, so they can hold pointers that are read after it.
    growing_buffer buffer = {0};
    png_textp chunks = calloc(text_count ? text_count : 1, sizeof(png_text));
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, cpng_fail, cpng_ignore_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!chunks || !info) {
        cpng_set_message(message, "out of memory");
        free(chunks);
        if (png) png_destroy_write_struct(&png, NULL);
        return -1;
    }
    for (size_t i = 0; i < text_count; i++) {
        chunks[i].compression = texts[i].is_utf8 ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
        chunks[i].key = (png_charp)texts[i].keyword;
        chunks[i].text = (png_charp)texts[i].value;
        chunks[i].lang = (png_charp)"";
        chunks[i].lang_key = (png_charp)"";
    }
    int failed = setjmp(png_jmpbuf(png));
    if (!failed) {
        png_set_write_fn(png, &buffer, append, flush);
        write_all(png, info, rgb, width, height, chunks, text_count);
    }
    png_destroy_write_struct(&png, &info);
    free(chunks);
    if (failed) {
        free(buffer.bytes);
        return -1;
    }
    *out = buffer.bytes;
    *out_size = buffer.size;
    return 0;
}

void cpng_free(void *memory) { free(memory); }
