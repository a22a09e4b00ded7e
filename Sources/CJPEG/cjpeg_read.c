#include "CJPEG.h"

// jpeglib.h needs size_t and FILE declared before it.
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include <jerror.h>

struct cjpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    jpeg_saved_marker_ptr next_app1;
    int marker_count;
    int max_scans;
    bool has_data[MAX_COMPONENTS];  // components with at least one scan
    uint8_t *row;  // one row of CMYK
    cjpeg_problem problem;
    char message[JMSG_LENGTH_MAX];
};

static cjpeg_reader *reader_of(j_common_ptr jpeg) { return jpeg->client_data; }

static void fail(cjpeg_reader *reader, cjpeg_problem problem, const char *text) {
    reader->problem = problem;
    snprintf(reader->message, sizeof(reader->message), "%s", text);
    longjmp(reader->failed, 1);
}

static void fail_precision(cjpeg_reader *reader, int bits) {
    char text[JMSG_LENGTH_MAX];
    snprintf(text, sizeof(text), "its samples have %d bits, not 8", bits);
    fail(reader, CJPEG_UNSUPPORTED, text);
}

/// `marker`: the second byte of the frame's header (ITU-T T.81, table B.1).
static void fail_process(cjpeg_reader *reader, int marker) {
    bool is_lossless = marker == 0xC3 || marker == 0xCB;
    fail(reader, CJPEG_UNSUPPORTED, is_lossless ? "it is lossless" : "it is hierarchical");
}

/// libjpeg's fatal errors.
static void on_error(j_common_ptr jpeg) {
    cjpeg_reader *reader = reader_of(jpeg);
    switch (jpeg->err->msg_code) {
        case JERR_BAD_PRECISION: fail_precision(reader, jpeg->err->msg_parm.i[0]); break;
        case JERR_SOF_UNSUPPORTED: fail_process(reader, jpeg->err->msg_parm.i[0]); break;
        case JERR_CONVERSION_NOTIMPL:
        case JERR_ARITH_NOTIMPL: reader->problem = CJPEG_UNSUPPORTED; break;
        default: reader->problem = CJPEG_DAMAGED;
    }
    jpeg->err->format_message(jpeg, reader->message);
    longjmp(reader->failed, 1);
}

/// The most markers of applications and comments. For each new marker libjpeg walks through all that it keeps. This number of
/// markers of 64 KiB exceeds the largest file, so only a file made to waste time has more.
enum { MARKERS_MAX = 10000 };

static void count_marker(j_common_ptr jpeg) {
    cjpeg_reader *reader = reader_of(jpeg);
    reader->marker_count += 1;
    if (reader->marker_count > MARKERS_MAX) fail(reader, CJPEG_DAMAGED, "it has more than 10000 markers of applications");
}

/// A warning is an error if pixels are missing or guessed. Other warnings report oddities that change no pixel, such as bytes
/// between two markers, which cameras write.
static void on_message(j_common_ptr jpeg, int level) {
    if (jpeg->err->msg_code == JTRC_MISC_MARKER) count_marker(jpeg);
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
        case JWRN_ARITH_BAD_CODE:
        case JWRN_HIT_MARKER:
        case JWRN_HUFF_BAD_CODE:
        case JWRN_JPEG_EOF:
        case JWRN_MUST_RESYNC: on_error(jpeg);
        default: break;
    }
}

static void ignore_output(j_common_ptr jpeg) { (void)jpeg; }

static void start_source(j_decompress_ptr jpeg) { (void)jpeg; }

/// All bytes are there from the beginning. A request for more means that the file was cut.
static boolean fill_source(j_decompress_ptr jpeg) {
    fail(reader_of((j_common_ptr)jpeg), CJPEG_DAMAGED, "the file ends too early");
    return FALSE;
}

static void skip_source(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    if ((size_t)count > jpeg->src->bytes_in_buffer) fill_source(jpeg);
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

/// Records which components have their lowest frequency in the present scan.
static void note_components(cjpeg_reader *reader) {
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (jpeg->progressive_mode && jpeg->Ss != 0) return;
    for (int i = 0; i < jpeg->comps_in_scan; i++) reader->has_data[jpeg->cur_comp_info[i]->component_index] = true;
}

/// Called for each row of blocks of each scan.
static void on_progress(j_common_ptr jpeg) {
    cjpeg_reader *reader = reader_of(jpeg);
    note_components(reader);
    if (reader->jpeg.input_scan_number <= reader->max_scans) return;
    char text[JMSG_LENGTH_MAX];
    snprintf(text, sizeof(text), "more than %d passes over its pixels", reader->max_scans);
    fail(reader, CJPEG_TOO_MANY_SCANS, text);
}

static void connect_managers(cjpeg_reader *reader, const uint8_t *bytes, size_t size) {
    reader->jpeg.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = ignore_output;
    reader->jpeg.client_data = reader;
    reader->source = (struct jpeg_source_mgr){
        .next_input_byte = bytes, .bytes_in_buffer = size, .init_source = start_source, .fill_input_buffer = fill_source,
        .skip_input_data = skip_source, .resync_to_restart = jpeg_resync_to_restart, .term_source = start_source};
    reader->progress.progress_monitor = on_progress;
}

/// Chooses the form of the pixels. Every setting that decides their values is written here.
static void choose_output(cjpeg_reader *reader) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (jpeg->data_precision != 8) fail_precision(reader, jpeg->data_precision);
    switch (jpeg->jpeg_color_space) {
        case JCS_GRAYSCALE:
        case JCS_RGB:
        case JCS_YCbCr: jpeg->out_color_space = JCS_RGB; break;
        case JCS_CMYK:
        case JCS_YCCK: jpeg->out_color_space = JCS_CMYK; break;
        default: fail(reader, CJPEG_UNSUPPORTED, "its number of colours is neither 1, 3 nor 4");
    }
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    jpeg->do_block_smoothing = TRUE;
}

cjpeg_reader *cjpeg_reader_open(const uint8_t *bytes, size_t size) {
    cjpeg_reader *reader = calloc(1, sizeof(cjpeg_reader));
    if (!reader) return NULL;
    connect_managers(reader, bytes, size);
    if (setjmp(reader->failed)) return reader;
    jpeg_create_decompress(&reader->jpeg);
    reader->jpeg.src = &reader->source;
    reader->jpeg.progress = &reader->progress;
    jpeg_save_markers(&reader->jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&reader->jpeg, TRUE);
    choose_output(reader);
    reader->next_app1 = reader->jpeg.marker_list;
    return reader;
}

cjpeg_problem cjpeg_reader_problem(const cjpeg_reader *reader, const char **message) {
    *message = reader ? reader->message : "out of memory";
    return reader ? reader->problem : CJPEG_DAMAGED;
}

uint32_t cjpeg_reader_width(const cjpeg_reader *reader) { return reader->jpeg.image_width; }

uint32_t cjpeg_reader_height(const cjpeg_reader *reader) { return reader->jpeg.image_height; }

int cjpeg_reader_next_app1(cjpeg_reader *reader, const uint8_t **content, size_t *length) {
    jpeg_saved_marker_ptr marker = reader->next_app1;
    if (!marker) return 0;
    *content = marker->data;
    *length = marker->data_length;
    reader->next_app1 = marker->next;
    return 1;
}

/// `a * b / 255`, rounded.
static unsigned share(unsigned a, unsigned b) {
    unsigned product = a * b + 128;
    return ((product >> 8) + product) >> 8;
}

/// CMYK in JPEG files is inverted (255 is no ink). Pillow reads and converts it like this: black leaves a part of the light,
/// and ink takes its share of that part.
static void convert_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t width) {
    for (size_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        for (int channel = 0; channel < 3; channel++) rgb[channel] = cmyk[3] - share(255 - cmyk[channel], cmyk[3]);
    }
}

/// If the first scan does not hold everything, libjpeg has read all scans before the first row is requested.
static void check_components(cjpeg_reader *reader) {
    if (!jpeg_has_multiple_scans(&reader->jpeg)) return;
    for (int i = 0; i < reader->jpeg.num_components; i++) {
        if (!reader->has_data[i]) fail(reader, CJPEG_DAMAGED, "the data of one of its colour components are missing");
    }
}

static void read_rows(cjpeg_reader *reader, uint8_t *rgb) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg_start_decompress(jpeg);
    check_components(reader);
    size_t width = jpeg->output_width;
    if (jpeg->output_components == 4) reader->row = malloc(width * 4);
    if (jpeg->output_components == 4 && !reader->row) fail(reader, CJPEG_DAMAGED, "out of memory");
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *target = rgb + (size_t)jpeg->output_scanline * width * 3;
        JSAMPROW row = reader->row ? reader->row : target;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1) fail(reader, CJPEG_DAMAGED, "the file ends too early");
        if (reader->row) convert_cmyk(reader->row, target, width);
    }
    jpeg_finish_decompress(jpeg);
}

void cjpeg_reader_pixels(cjpeg_reader *reader, uint8_t *rgb, size_t size, int max_scans) {
    reader->max_scans = max_scans;
    if (setjmp(reader->failed)) return;
    if (size != (size_t)reader->jpeg.image_width * reader->jpeg.image_height * 3) {
        fail(reader, CJPEG_DAMAGED, "the pixel buffer has another size than the picture");
    }
    read_rows(reader, rgb);
}

void cjpeg_reader_close(cjpeg_reader *reader) {
    if (!reader) return;
    jpeg_destroy_decompress(&reader->jpeg);
    free(reader->row);
    free(reader);
}
