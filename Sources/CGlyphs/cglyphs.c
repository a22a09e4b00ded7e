#include "CGlyphs.h"

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include <stdio.h>
#include <stdlib.h>

struct cglyphs_font {
    FT_Library library;
    FT_Face face;
};

static void set_message(char message[CGLYPHS_MESSAGE_SIZE], const char *text) {
    snprintf(message, CGLYPHS_MESSAGE_SIZE, "%s", text);
}

/// The pattern of the nearest font; NULL if there is none.
static FcPattern *match(FcConfig *config, const char *family) {
    FcPattern *wanted = FcPatternCreate();
    if (!wanted) return NULL;
    FcPatternAddString(wanted, FC_FAMILY, (const FcChar8 *)family);
    FcPatternAddBool(wanted, FC_OUTLINE, FcTrue);
    FcPatternAddBool(wanted, FC_SCALABLE, FcTrue);
    FcConfigSubstitute(config, wanted, FcMatchPattern);
    FcDefaultSubstitute(wanted);
    FcResult result = FcResultNoMatch;
    FcPattern *found = FcFontMatch(config, wanted, &result);
    FcPatternDestroy(wanted);
    return found;
}

/// Opens the file of a pattern.
static int open_face(cglyphs_font *font, FcPattern *pattern, char message[CGLYPHS_MESSAGE_SIZE]) {
    FcChar8 *path = NULL;
    int index = 0;
    if (FcPatternGetString(pattern, FC_FILE, 0, &path) != FcResultMatch) return cglyphs_no_font;
    if (FcPatternGetInteger(pattern, FC_INDEX, 0, &index) != FcResultMatch) index = 0;
    set_message(message, (const char *)path);
    if (FT_New_Face(font->library, (const char *)path, index, &font->face) != 0) return cglyphs_bad_font;
    // The nearest match may be a font with pictures of one size only.
    return FT_IS_SCALABLE(font->face) ? cglyphs_ok : cglyphs_no_font;
}

int cglyphs_open(const char *family, cglyphs_font **out, char message[CGLYPHS_MESSAGE_SIZE]) {
    *out = NULL;
    message[0] = 0;
    cglyphs_font *font = calloc(1, sizeof *font);
    if (!font) return cglyphs_no_memory;
    if (FT_Init_FreeType(&font->library) != 0) {
        free(font);
        return cglyphs_no_memory;
    }
    FcConfig *config = FcInitLoadConfigAndFonts();
    FcPattern *pattern = config ? match(config, family) : NULL;
    int status = pattern ? open_face(font, pattern, message) : cglyphs_no_font;
    if (pattern) FcPatternDestroy(pattern);
    if (config) FcConfigDestroy(config);
    if (status == cglyphs_ok) {
        *out = font;
    } else {
        cglyphs_close(font);
    }
    return status;
}

void cglyphs_close(cglyphs_font *font) {
    if (font->face) FT_Done_Face(font->face);
    FT_Done_FreeType(font->library);
    free(font);
}

int cglyphs_set_size(cglyphs_font *font, unsigned pixels, int *above, int *below) {
    if (FT_Set_Pixel_Sizes(font->face, 0, pixels) != 0) return cglyphs_bad_font;
    const FT_Size_Metrics *metrics = &font->face->size->metrics;
    *above = (int)((metrics->ascender + 63) >> 6);
    *below = (int)((63 - metrics->descender) >> 6);
    return cglyphs_ok;
}

int cglyphs_draw(cglyphs_font *font, uint32_t character, cglyphs_glyph *glyph) {
    if (FT_Load_Char(font->face, character, FT_LOAD_RENDER | FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP) != 0) {
        return cglyphs_bad_font;
    }
    FT_GlyphSlot slot = font->face->glyph;
    // Rendering an outline gives grey coverage in rows from the top.
    if (slot->bitmap.pixel_mode != FT_PIXEL_MODE_GRAY || slot->bitmap.pitch < 0) return cglyphs_bad_font;
    glyph->coverage = slot->bitmap.buffer;
    glyph->width = (int)slot->bitmap.width;
    glyph->height = (int)slot->bitmap.rows;
    glyph->pitch = slot->bitmap.pitch;
    glyph->left = slot->bitmap_left;
    glyph->top = slot->bitmap_top;
    glyph->advance = (int)slot->advance.x;
    return cglyphs_ok;
}
