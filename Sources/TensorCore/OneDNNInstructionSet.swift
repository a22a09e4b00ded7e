/// The decisions that follow from oneDNN's instruction set. The names are those of `conednn_instruction_set`.
struct OneDNNInstructionSet {
    private let name: String

    init(_ name: String) { self.name = name }

    /// Whether oneDNN multiplies with AMX.
    var hasTiles: Bool { name.hasPrefix("avx512_core_amx") }

    /// Whether it multiplies bf16 with AVX512-BF16, which the sets with fp16 include.
    var hasBF16Dot: Bool { name == "avx512_core_bf16" || name.hasPrefix("avx512_core_fp16") }

    /// Whether bf16 is emulated by AVX-512.
    var emulatesBF16: Bool { name == "avx512_core" || name == "avx512_core_vnni" }

    /// The element types whose 3×3 convolutions are computed by Winograd's algorithm.
    ///
    /// With AVX512-BF16 that takes two fifths off a decoder's time (Zen 5). AMX multiplies bf16 so fast that the transforms
    /// would cost about what their products save; this is by count, not by measurement. Where bf16 is emulated, its products
    /// are convolutions, whose orders of weights may depend on the number of pixels.
    var winogradTypes: Set<ElementType> { hasBF16Dot && !hasTiles ? [.f32, .bf16] : [.f32] }

    /// Whether the bits of its f32 products depend neither on threads nor on the number of rows.
    ///
    /// With AVX-512 each sum runs in one order (measured with 2.6.3, `ProductBitsTests`). Without AVX-512 its matrix product is
    /// a general one that divides rows, columns and sums by their numbers and the threads.
    var hasStableProducts: Bool { name.hasPrefix("avx512") }
}
