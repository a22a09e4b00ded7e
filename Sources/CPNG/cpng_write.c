#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "cpng_message.h"

struct cpng_writer {
    png_structp png;
    png_infop info;
    size_t row_bytes;
    uint8_t *bytes;  // what libpng wrote since the caller last took it
    size_t size;
    size_t capacity;
    char message[CPNG_MESSAGE_SIZE];  // the last problem; empty if there was none
};

static void append(png_structp png, png_bytep bytes, png_size_t count) {
    cpng_writer *writer = png_get_io_ptr(png);
    if (count > writer->capacity - writer->size) {
        size_t capacity = 2 * writer->capacity + count;
        uint8_t *larger = realloc(writer->bytes, capacity);
        if (!larger) png_error(png, "out of memory");
        writer->bytes = larger;
        writer->capacity = capacity;
    }
    memcpy(writer->bytes + writer->size, bytes, count);
    writer->size += count;
}

static void flush_nothing(png_structp png) { (void)png; }

/// Everything at the head of the file that can longjmp.
static void write_head(cpng_writer *writer, uint32_t width, uint32_t height, png_textp texts, size_t text_count) {
    png_structp png = writer->png;
    png_set_write_fn(png, writer, append, flush_nothing);
    png_set_IHDR(png, writer->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    // Both are libpng's defaults today. They are written here so that a new version cannot change the bytes of a picture.
    png_set_compression_level(png, 6);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
    if (text_count > 0) png_set_text(png, writer->info, texts, (int)text_count);
    png_write_info(png, writer->info);
}

static void begin(cpng_writer *writer, uint32_t width, uint32_t height, png_textp texts, size_t text_count) {
    writer->row_bytes = (size_t)width * 3;
    writer->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, writer->message, cpng_fail, cpng_ignore_warning);
    writer->info = writer->png ? png_create_info_struct(writer->png) : NULL;
    if (!writer->info) {
        cpng_set_message(writer->message, "out of memory");
    } else if (!setjmp(png_jmpbuf(writer->png))) {
        write_head(writer, width, height, texts, text_count);
    }
}

cpng_writer *cpng_writer_open(uint32_t width, uint32_t height, const char *texts, const uint8_t *is_utf8,
                              size_t text_count) {
    cpng_writer *writer = calloc(1, sizeof(cpng_writer));
    png_textp chunks = calloc(text_count ? text_count : 1, sizeof(png_text));
    if (!writer || !chunks) {
        free(writer);
        free(chunks);
        return NULL;
    }
    for (size_t i = 0; i < text_count; i++) {
        char *keyword = (char *)texts;
        char *value = keyword + strlen(keyword) + 1;
        texts = value + strlen(value) + 1;
        chunks[i] = (png_text){
            .compression = is_utf8[i] ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE,
            .key = keyword, .text = value, .lang = (char *)"", .lang_key = (char *)""};
    }
    begin(writer, width, height, chunks, text_count);
    free(chunks);
    return writer;
}

const char *cpng_writer_problem(const cpng_writer *writer) {
    if (!writer) return "out of memory";
    return writer->message[0] ? writer->message : NULL;
}

void cpng_writer_rows(cpng_writer *writer, const uint8_t *rgb, size_t count) {
    if (setjmp(png_jmpbuf(writer->png))) return;
    for (size_t row = 0; row < count; row++) png_write_row(writer->png, rgb + row * writer->row_bytes);
}

void cpng_writer_end(cpng_writer *writer) {
    if (setjmp(png_jmpbuf(writer->png))) return;
    png_write_end(writer->png, writer->info);
}

const uint8_t *cpng_writer_take(cpng_writer *writer, size_t *size) {
    *size = writer->size;
    writer->size = 0;
    return writer->bytes;
}

void cpng_writer_close(cpng_writer *writer) {
    if (!writer) return;
    if (writer->png) png_destroy_write_struct(&writer->png, &writer->info);
    free(writer->bytes);
    free(writer);
}
