// Reads and writes PNG through libpng's low-level interface, with error codes instead of longjmp.
//
// libpng reports errors by longjmp, which must not cross Swift frames. So every call into libpng is inside a function of this
// module that holds the setjmp. The simplified interface (png_image_*) is not used.
#ifndef CPNG_H
#define CPNG_H

#include <stddef.h>
#include <stdint.h>

/// Room for libpng's message, with the terminating zero.
#define CPNG_MESSAGE_SIZE 160

typedef struct cpng_writer cpng_writer;

/// Begins a PNG of 8-bit RGB. The same input gives the same bytes: no time chunk, fixed filters and compression. `texts` holds
/// a keyword (Latin-1, 1 to 79 bytes) and a value for each text chunk, one after the other, each with a terminating zero.
/// `is_utf8` says for each chunk whether it is an iTXt chunk with a value in UTF-8, or a tEXt chunk in Latin-1. Ask
/// cpng_writer_problem after each call.
cpng_writer *cpng_writer_open(uint32_t width, uint32_t height, const char *texts, const uint8_t *is_utf8,
                              size_t text_count);

/// Why a call failed, which ends the file; NULL if none did. The writer may be NULL: there was no memory for it.
const char *cpng_writer_problem(const cpng_writer *writer);

/// Writes the next rows, width * 3 bytes each. At most as many as the picture has.
void cpng_writer_rows(cpng_writer *writer, const uint8_t *rgb, size_t count);

/// Writes the end of the file, after all rows.
void cpng_writer_end(cpng_writer *writer);

/// The bytes of the file since the last call, until the next call of any function.
const uint8_t *cpng_writer_take(cpng_writer *writer, size_t *size);

void cpng_writer_close(cpng_writer *writer);

typedef struct cpng_reader cpng_reader;

/// The limits of a file. Beyond them it is refused.
typedef struct {
    uint32_t max_chunks;      // ancillary chunks kept in memory
    size_t max_chunk_memory;  // bytes of one ancillary chunk, also after decompression
} cpng_limits;

/// Reads the header of the PNG in `bytes` (not copied: they must outlive the reader). It takes no memory for pixels, so that
/// the caller can check the size first. Ask cpng_reader_problem before anything else: the file may be no PNG, be broken, have
/// chunks beyond the limits, or a critical chunk that libpng does not know.
cpng_reader *cpng_reader_open(const uint8_t *bytes, size_t size, cpng_limits limits);

/// Why the last call could not read the file; NULL if it could. The reader may be NULL: there was no memory for it.
const char *cpng_reader_problem(const cpng_reader *reader);

uint32_t cpng_reader_width(const cpng_reader *reader);
uint32_t cpng_reader_height(const cpng_reader *reader);

/// The channels that cpng_reader_pixels writes, 3 (RGB) or 4 (RGBA), whatever the file's own colour type is.
uint32_t cpng_reader_channels(const cpng_reader *reader);

/// Decodes all rows into `pixels`, which has exactly height * width * channels bytes, and reads the file to its end, or leaves
/// a problem. Call it once.
void cpng_reader_pixels(cpng_reader *reader, uint8_t *pixels, size_t size);

/// The content of the file's eXIf chunk, complete after cpng_reader_pixels. `*length` is 0 if there is none. The pointer
/// lives as long as the reader.
void cpng_reader_exif(const cpng_reader *reader, const uint8_t **exif, size_t *length);

/// One text chunk. The pointers live as long as the reader.
typedef struct {
    const char *keyword;  // Latin-1, with a terminating zero
    const char *value;
    size_t length;  // bytes of the value
    int is_utf8;    // whether the value is UTF-8 or Latin-1
} cpng_text;

/// The text chunk `index`, complete after cpng_reader_pixels. Returns 0 if there is no such chunk.
int cpng_reader_text(const cpng_reader *reader, size_t index, cpng_text *text);

void cpng_reader_close(cpng_reader *reader);

#endif
