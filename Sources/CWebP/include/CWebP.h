// Reads whole WebP files of one picture through libwebp and libwebpdemux.
#ifndef CWEBP_H
#define CWEBP_H

#include <stddef.h>
#include <stdint.h>

typedef struct cwebp_reader cwebp_reader;

/// Reads the structure of the WebP in `bytes` (not copied: they must outlive the reader). It takes no memory for pixels.
/// Returns NULL, or the reason if the file is broken or cut short. Then `*reader` can only be closed.
const char *cwebp_reader_open(const uint8_t *bytes, size_t size, cwebp_reader **reader);

/// Whether the file is an animation. cwebp_reader_pixels does not read an animation's frames.
int cwebp_reader_is_animated(const cwebp_reader *reader);

uint32_t cwebp_reader_width(const cwebp_reader *reader);
uint32_t cwebp_reader_height(const cwebp_reader *reader);

/// The channels that cwebp_reader_pixels writes, 3 (RGB) or 4 (RGBA, not premultiplied).
uint32_t cwebp_reader_channels(const cwebp_reader *reader);

/// The content of the file's first chunk of a kind, "EXIF" or "XMP ". `*length` is 0 if there is none. The pointer points
/// into the file's bytes.
void cwebp_reader_chunk(const cwebp_reader *reader, const char kind[4], const uint8_t **content, size_t *length);

/// Decodes all rows into `pixels`, which has exactly height * width * channels bytes. Returns NULL, or the reason if it cannot.
const char *cwebp_reader_pixels(const cwebp_reader *reader, uint8_t *pixels, size_t size);

void cwebp_reader_close(cwebp_reader *reader);

#endif
