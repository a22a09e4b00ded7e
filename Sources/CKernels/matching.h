// The best partner of each source token among destination tokens, by the cosine of their vectors, without a score matrix.
// Included once per instruction set after attention.h, whose tiles it shares.
//
// Destinations are made unit vectors and packed into panels like the keys of attention. A block of sources walks over the
// panels with a running maximum and its place. The dot products of a pair run over the vector in order, so that equal tokens
// have equal scores whatever panel they are in. A token of zeros is at a right angle to all: its scores are 0, where a division
// would give NaN.

static size_t NAME(match_packed_floats)(size_t destinations, size_t width) { return ROUND_UP(destinations, PANEL) * width; }
static size_t NAME(match_scratch_floats)(size_t width) { return QUERY_BLOCK * (width + STRIP); }

// What a token's vector is multiplied with to have length 1.
INLINE float NAME(inverse_length)(const float *token, size_t width) {
    double square = 0;
    for (size_t k = 0; k < width; k++) square += (double)token[k] * token[k];
    return square > 0 ? (float)(1 / __builtin_sqrt(square)) : 0;
}

static void NAME(match_pack)(
    const float *tokens, size_t width, const int32_t *destinations, size_t count, size_t first, float *packed
) {
    float *panel = packed + first * width;
    for (size_t t = 0; t < PANEL; t++) {
        const float *token = first + t < count ? tokens + (size_t)destinations[first + t] * width : NULL;
        const float scale = token ? NAME(inverse_length)(token, width) : 0;
        for (size_t k = 0; k < width; k++) panel[k * PANEL + t] = token ? token[k] * scale : 0;
    }
}

static void NAME(match_block)(
    const float *tokens, size_t width, const int32_t *sources, size_t rows, const float *packed, size_t count, float *scores,
    int32_t *best, float *scratch
) {
    const size_t tile_rows = ROUND_UP(rows, MR);
    float *unit = scratch, *tile = scratch + QUERY_BLOCK * width;
    for (size_t r = 0; r < tile_rows; r++) {
        const float *token = r < rows ? tokens + (size_t)sources[r] * width : NULL;
        const float scale = token ? NAME(inverse_length)(token, width) : 0;
        for (size_t k = 0; k < width; k++) unit[r * width + k] = token ? token[k] * scale : 0;
        if (!token) continue;
        scores[r] = -__builtin_inff();
        best[r] = 0;
    }
    for (size_t first = 0; first < count; first += PANEL) {
        const size_t columns = count - first < PANEL ? count - first : PANEL;
        for (size_t r = 0; r < tile_rows; r += MR)
            NAME(score_tile)(unit + r * width, packed + first * width, width, tile + r * STRIP);
        // Destinations come in order and only a larger score replaces one, so of equal ones the first stays.
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                if (tile[r * STRIP + c] > scores[r]) {
                    scores[r] = tile[r * STRIP + c];
                    best[r] = (int32_t)(first + c);
                }
    }
}
