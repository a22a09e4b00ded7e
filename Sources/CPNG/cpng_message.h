// libpng's error and warning hooks, shared by the reader and the writer.
#ifndef CPNG_MESSAGE_H
#define CPNG_MESSAGE_H

#include <png.h>
#include <stdio.h>

#include "CPNG.h"

static inline void cpng_set_message(char *message, const char *text) { snprintf(message, CPNG_MESSAGE_SIZE, "%s", text); }

/// The error pointer of every png_struct here is a message buffer.
static inline void cpng_fail(png_structp png, png_const_charp text) {
    cpng_set_message(png_get_error_ptr(png), text);
    png_longjmp(png, 1);
}

/// Warnings concern only chunks that are not used here.
static inline void cpng_ignore_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

#endif
