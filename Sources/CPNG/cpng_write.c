#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "cpng_message.h"

/// Everything that can longjmp. `encode` calls it after its setjmp.
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

/// Leaves a message if it fails, except when it finds no memory.
static int encode(FILE *file, const uint8_t *rgb, uint32_t width, uint32_t height, png_textp texts, size_t text_count,
                  char *message) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, cpng_fail, cpng_ignore_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        if (png) png_destroy_write_struct(&png, NULL);
        return -1;
    }
    int failed = setjmp(png_jmpbuf(png));
    if (!failed) {
        png_init_io(png, file);
        write_all(png, info, rgb, width, height, texts, text_count);
    }
    // libpng says only that writing failed. A stream in memory fails for one reason.
    if (ferror(file)) cpng_set_message(message, "out of memory");
    png_destroy_write_struct(&png, &info);
    return failed ? -1 : 0;
}

int cpng_encode(const uint8_t *rgb, uint32_t width, uint32_t height, const char *texts, const uint8_t *is_utf8,
                size_t text_count, char **out, size_t *out_size, char message[CPNG_MESSAGE_SIZE]) {
    *out = NULL;
    cpng_set_message(message, "out of memory");
    png_textp chunks = calloc(text_count ? text_count : 1, sizeof(png_text));
    FILE *file = chunks ? open_memstream(out, out_size) : NULL;
    for (size_t i = 0; file && i < text_count; i++) {
        char *keyword = (char *)texts;
        char *value = keyword + strlen(keyword) + 1;
        texts = value + strlen(value) + 1;
        chunks[i] = (png_text){
            .compression = is_utf8[i] ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE,
            .key = keyword, .text = value, .lang = (char *)"", .lang_key = (char *)""};
    }
    int failed = !file || encode(file, rgb, width, height, chunks, text_count, message);
    // The buffer is complete when the stream is closed.
    if (file && fclose(file) != 0) failed = 1;
    free(chunks);
    if (failed) {
        free(*out);
        *out = NULL;
    }
    return failed ? -1 : 0;
}
