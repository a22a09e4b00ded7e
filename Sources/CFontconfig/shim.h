// fontconfig and FreeType, whose headers fontconfig's pkg-config names too. For CGlyphs only.
#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H
