// The embedded model's files. They are compiled into the program, so that the program always has them.
#ifndef CEMBEDDEDMODEL_H
#define CEMBEDDEDMODEL_H

#include <stddef.h>

typedef struct {
    const char *path;  // relative to the model's folder, '/' between names
    const unsigned char *bytes;  // 64-byte aligned, lives as long as the program
    size_t count;
} cembedded_file;

// The table of files. *count receives its length.
const cembedded_file *cembedded_model_files(size_t *count);

// The merges of CLIP's byte-pair vocabulary: merges.txt of the published models. *count receives its length.
const unsigned char *cembedded_clip_merges(size_t *count);

#endif
