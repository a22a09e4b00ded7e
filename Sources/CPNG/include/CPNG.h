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

/// One text chunk to write. Strings end with a zero byte.
typedef struct {
    const char *keyword;  // Latin-1, 1 to 79 bytes
    const char *value;    // Latin-1 for tEXt, UTF-8 for iTXt
    int is_utf8;          // 0 writes tEXt, 1 writes iTXt, both uncompressed
} cpng_text;

/// Encodes 8-bit RGB pixels (height rows of width * 3 bytes) into memory. The same input gives the same bytes: no time chunk,
/// fixed filters and compression. Returns 0 and hands over `*out` (free it with cpng_free), or -1 with a message.
int cpng_encode(const uint8_t *rgb, uint32_t width, uint32_t height, const cpng_text *texts, size_t text_count, uint8_t **out,
                size_t *out_size, char message[CPNG_MESSAGE_SIZE]);

void cpng_free(void *memory);

typedef struct cpng_reader cpng_reader;

/// The limits of a file. Beyond them it is refused.
typedef struct {
    uint32_t max_chunks;      // ancillary chunks kept in memory
    size_t max_chunk_memory;  // bytes of one ancillary chunk, also after decompression
} cpng_limits;

/// Reads the header of the PNG in `bytes` (not copied: they must outlive the reader). It takes no memory for pixels, so that
/// the caller can check the size first. Returns NULL with a message if the file is no PNG, is broken, has chunks beyond the
/// limits, or has a critical chunk that libpng does not know.
cpng_reader *cpng_reader_open(const uint8_t *bytes, size_t size, cpng_limits limits, char message[CPNG_MESSAGE_SIZE]);

uint32_t cpng_reader_width(const cpng_reader *reader);
uint32_t cpng_reader_height(const cpng_reader *reader);

/// The channels that cpng_reader_pixels writes, 3 (RGB) or 4 (RGBA), whatever the file's own colour type is.
uint32_t cpng_reader_channels(const cpng_reader *reader);

/// Decodes all rows into `pixels`, which has exactly height * width * channels bytes, and reads the file to its end. Returns
/// 0, or -1 with a message. Call it once.
int cpng_reader_pixels(cpng_reader *reader, uint8_t *pixels, size_t size, char message[CPNG_MESSAGE_SIZE]);

/// The content of the file's eXIf chunk, complete after cpng_reader_pixels. `*length` is 0 if there is none. The pointer
/// lives as long as the reader.
void cpng_reader_exif(const cpng_reader *reader, const uint8_t **exif, size_t *length);

/// The number of text chunks, complete after cpng_reader_pixels.
size_t cpng_reader_text_count(const cpng_reader *reader);

/// One text chunk. The pointers live as long as the reader. `length` counts the value's bytes.
void cpng_reader_text(const cpng_reader *reader, size_t index, const char **keyword, const char **value, size_t *length,
                      int *is_utf8);

void cpng_reader_close(cpng_reader *reader);

#endif
