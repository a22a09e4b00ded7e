// Letters as pictures. fontconfig finds a system font, and FreeType draws its glyphs. Neither library's types appear here.
//
// Only one thread may use a font.
#ifndef CGLYPHS_H
#define CGLYPHS_H

#include <stdint.h>

/// Room for a path or a reason, with the terminating zero.
#define CGLYPHS_MESSAGE_SIZE 256

enum {
    cglyphs_ok = 0,
    /// No scalable font is installed.
    cglyphs_no_font = 1,
    /// A font exists but cannot be used. The message names it.
    cglyphs_bad_font = 2,
    cglyphs_no_memory = 3,
};

typedef struct cglyphs_font cglyphs_font;

/// One glyph in whole pixels. `coverage` has `height` rows of `width` bytes, `pitch` apart. A byte is 255 where the glyph
/// covers the pixel wholly. The memory lives until the next call with the font.
typedef struct {
    const uint8_t *coverage;
    int width, height, pitch;
    /// The distances from the pen to the left edge, and from the baseline up to the top edge.
    int left, top;
    /// The distance to the next pen position, in 64ths of a pixel.
    int advance;
} cglyphs_glyph;

/// Opens the installed font that is most like the family. Returns one of the codes above. The font is valid only with
/// cglyphs_ok.
int cglyphs_open(const char *family, cglyphs_font **font, char message[CGLYPHS_MESSAGE_SIZE]);
void cglyphs_close(cglyphs_font *font);

/// Sets the size of the next glyphs, in pixels an em, and gives the font's extent above and below the baseline. Returns one
/// of the codes above.
int cglyphs_set_size(cglyphs_font *font, unsigned pixels, int *above, int *below);

/// Draws one character. If the font lacks it, this draws the font's sign for a missing character. Glyphs are not hinted, so
/// that all sizes have the same shapes. Returns one of the codes above.
int cglyphs_draw(cglyphs_font *font, uint32_t character, cglyphs_glyph *glyph);

#endif
