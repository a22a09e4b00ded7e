#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpng_message.h"

struct cpng_reader {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t size;
    size_t offset;
    uint32_t channels;
    uint8_t *exif;
    size_t exif_length;
    char message[CPNG_MESSAGE_SIZE];  // the last problem; empty if there was none
};

static void supply(png_structp png, png_bytep out, png_size_t count) {
    cpng_reader *reader = png_get_io_ptr(png);
    if (count > reader->size - reader->offset) png_error(png, "the file ends too early");
    memcpy(out, reader->bytes + reader->offset, count);
    reader->offset += count;
}

/// The ancillary chunks that are skipped unread: all that libpng knows, except transparency, EXIF and text.
static const png_byte skipped_chunks[] =
    "bKGD\0cHRM\0gAMA\0hIST\0iCCP\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sTER\0sRGB\0tIME";

static const png_byte exif_chunk[] = "eXIf";

/// A chunk is critical if its name begins with a capital: the picture cannot be shown without it (PNG specification, 5.4).
static void refuse_if_critical(png_structp png, const png_byte *name) {
    if (name[0] & 0x20) return;
    char text[CPNG_MESSAGE_SIZE];
    snprintf(text, sizeof(text), "it needs its chunk '%.4s', which is not known", (const char *)name);
    png_error(png, text);
}

/// libpng calls this with chunks that it does not take apart itself, before or after the pixels. It keeps the first EXIF
/// data. If there is no memory for them, the picture counts as one without EXIF data. Returns 1: the chunk is done, and
/// libpng need not keep it.
static int take_foreign_chunk(png_structp png, png_unknown_chunkp chunk) {
    cpng_reader *reader = png_get_user_chunk_ptr(png);
    refuse_if_critical(png, chunk->name);
    if (memcmp(chunk->name, exif_chunk, 4) != 0 || reader->exif || chunk->size == 0) return 1;
    reader->exif = malloc(chunk->size);
    if (!reader->exif) return 1;
    memcpy(reader->exif, chunk->data, chunk->size);
    reader->exif_length = chunk->size;
    return 1;
}

static void set_limits(cpng_reader *reader, cpng_limits limits) {
    png_structp png = reader->png;
    // The caller checks the size before anything as large as a row is allocated.
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_cache_max(png, limits.max_chunks);
    png_set_chunk_malloc_max(png, limits.max_chunk_memory);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped_chunks, sizeof(skipped_chunks) / 5);
    // libpng's own reader of EXIF gives up the whole file if these data are spoilt. As an unknown chunk they do no harm.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_IF_SAFE, exif_chunk, 1);
    png_set_read_user_chunk_fn(png, reader, take_foreign_chunk);
}

/// The transformations are the same for every file. Each does nothing if it does not apply.
static void set_transformations(png_structp png, png_infop info) {
    png_set_expand(png);       // palette to RGB, 1/2/4-bit grey to 8, tRNS to alpha
    png_set_scale_16(png);     // 16 bits to 8, rounded
    png_set_gray_to_rgb(png);  // 1 or 2 channels to 3 or 4
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

static void read_header(cpng_reader *reader, cpng_limits limits) {
    set_limits(reader, limits);
    png_set_read_fn(reader->png, reader, supply);
    png_read_info(reader->png, reader->info);
    bool has_alpha = (png_get_color_type(reader->png, reader->info) & PNG_COLOR_MASK_ALPHA) != 0;
    bool has_transparency = png_get_valid(reader->png, reader->info, PNG_INFO_tRNS) != 0;
    reader->channels = has_alpha || has_transparency ? 4 : 3;
}

cpng_reader *cpng_reader_open(const uint8_t *bytes, size_t size, cpng_limits limits) {
    cpng_reader *reader = calloc(1, sizeof(cpng_reader));
    if (!reader) return NULL;
    reader->bytes = bytes;
    reader->size = size;
    if (size < 8 || png_sig_cmp(bytes, 0, 8) != 0) {
        cpng_set_message(reader->message, "it does not start as a PNG file does");
        return reader;
    }
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader->message, cpng_fail, cpng_ignore_warning);
    reader->info = reader->png ? png_create_info_struct(reader->png) : NULL;
    if (!reader->info) {
        cpng_set_message(reader->message, "out of memory");
    } else if (!setjmp(png_jmpbuf(reader->png))) {
        read_header(reader, limits);
    }
    return reader;
}

const char *cpng_reader_problem(const cpng_reader *reader) {
    if (!reader) return "out of memory";
    return reader->message[0] ? reader->message : NULL;
}

uint32_t cpng_reader_width(const cpng_reader *reader) { return png_get_image_width(reader->png, reader->info); }

uint32_t cpng_reader_height(const cpng_reader *reader) { return png_get_image_height(reader->png, reader->info); }

uint32_t cpng_reader_channels(const cpng_reader *reader) { return reader->channels; }

static void read_rows(cpng_reader *reader, png_bytepp rows, size_t row_bytes) {
    set_transformations(reader->png, reader->info);
    if (png_get_bit_depth(reader->png, reader->info) != 8 || png_get_rowbytes(reader->png, reader->info) != row_bytes) {
        png_error(reader->png, "its samples cannot be made RGB of 8 bits");
    }
    png_read_image(reader->png, rows);
    png_read_end(reader->png, reader->info);
}

void cpng_reader_pixels(cpng_reader *reader, uint8_t *pixels, size_t size) {
    size_t height = cpng_reader_height(reader);
    size_t row_bytes = (size_t)cpng_reader_width(reader) * cpng_reader_channels(reader);
    if (size / height != row_bytes || size % height != 0) {
        cpng_set_message(reader->message, "the pixel buffer has another size than the picture");
        return;
    }
    // An interlaced picture is read in several passes over all rows, so libpng needs all row pointers at once.
    png_bytepp rows = malloc(height * sizeof(png_bytep));
    if (!rows) {
        cpng_set_message(reader->message, "out of memory");
        return;
    }
    for (size_t row = 0; row < height; row++) rows[row] = pixels + row * row_bytes;
    if (!setjmp(png_jmpbuf(reader->png))) read_rows(reader, rows, row_bytes);
    free(rows);
}

void cpng_reader_exif(const cpng_reader *reader, const uint8_t **exif, size_t *length) {
    *exif = reader->exif;
    *length = reader->exif_length;
}

int cpng_reader_text(const cpng_reader *reader, size_t index, cpng_text *out) {
    int count = 0;
    png_textp texts = NULL;
    png_get_text(reader->png, reader->info, &texts, &count);
    if (count < 0 || index >= (size_t)count) return 0;
    const png_text *text = &texts[index];
    out->keyword = text->key;
    out->value = text->text ? text->text : "";
    out->is_utf8 = text->compression >= PNG_ITXT_COMPRESSION_NONE;
    out->length = out->is_utf8 ? text->itxt_length : text->text_length;
    return 1;
}

void cpng_reader_close(cpng_reader *reader) {
    if (!reader) return;
    if (reader->png) png_destroy_read_struct(&reader->png, reader->info ? &reader->info : NULL, NULL);
    free(reader->exif);
    free(reader);
}
