// Reads JPEG through libjpeg-turbo's jpeg_* interface, with error codes instead of longjmp.
//
// libjpeg reports errors by longjmp, which must not cross Swift frames. So every call into libjpeg is inside a function of
// this module that holds the setjmp.
#ifndef CJPEG_H
#define CJPEG_H

#include <stddef.h>
#include <stdint.h>

typedef struct cjpeg_reader cjpeg_reader;

/// Why a file cannot be read.
typedef enum {
    CJPEG_NONE = 0,
    CJPEG_DAMAGED = 1,      // broken or cut short
    CJPEG_UNSUPPORTED = 2,  // a kind of JPEG that is not read
    CJPEG_TOO_MANY_SCANS = 3
} cjpeg_problem;

/// Reads the header of the JPEG in `bytes` (not copied: they must outlive the reader). It takes no memory for pixels. Ask
/// cjpeg_reader_problem before anything else.
cjpeg_reader *cjpeg_reader_open(const uint8_t *bytes, size_t size);

/// Why the last call could not read the file, with a message that lives as long as the reader; CJPEG_NONE if it could. The
/// reader may be NULL: there was no memory for it.
cjpeg_problem cjpeg_reader_problem(const cjpeg_reader *reader, const char **message);

uint32_t cjpeg_reader_width(const cjpeg_reader *reader);
uint32_t cjpeg_reader_height(const cjpeg_reader *reader);

/// The content of the next APP1 marker. EXIF data and XMP packets are in such markers. Returns 0 if there is none left. Call
/// it before cjpeg_reader_pixels, which frees libjpeg's memory. Until then the pointer is valid.
int cjpeg_reader_next_app1(cjpeg_reader *reader, const uint8_t **content, size_t *length);

/// Decodes all rows as RGB into `rgb`, which has exactly height * width * 3 bytes, and reads the picture to its end. A
/// picture in more than `max_scans` passes is refused: a small file can hold very many, and each pass goes over all pixels.
/// Missing or spoilt data are an error (libjpeg would continue with grey), and so is a component without any data.
/// Progressive files need not hold every bit of a component (ITU-T T.81, G.1.1.1.1), but must hold its lowest frequency. If it
/// fails, it leaves a problem. Call it once.
void cjpeg_reader_pixels(cjpeg_reader *reader, uint8_t *rgb, size_t size, int max_scans);

void cjpeg_reader_close(cjpeg_reader *reader);

#endif
