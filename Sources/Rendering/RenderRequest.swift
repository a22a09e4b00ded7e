public import Acceleration
public import PatchGeometry
public import Samplers

/// What a user asks for. Sizes are in pixels of the picture. What is nil is chosen by the model's recommendation or the method.
public struct RenderRequest: Sendable, Equatable {
    public var prompt = ""
    public var negativePrompt = ""
    /// Multiples of 8.
    public var width = 512
    public var height = 512
    public var steps: Int?
    /// Classifier-free guidance; 1 and less means no negative prompt and half the work.
    public var guidanceScale: Float?
    /// Guidance of views; nil is what suits the model where they refine a stage, else `guidanceScale`.
    public var detailGuidanceScale: Float?
    /// How much of the prompt's own deviation a guided prediction gets back, 0 to 1 (Lin et al. 2023, arXiv 2305.08891).
    public var guidanceRescale: Float = 0
    /// Which hidden layer of the text encoder is read, counted from the last, which is 1; nil is the model's own.
    public var clipSkip: Int?
    /// What SDXL is told about sizes; nil is the picture's size, not cropped.
    public var originalSize: SizeConditioning.Size?
    public var cropTopLeft: SizeConditioning.Corner?
    public var targetSize: SizeConditioning.Size?
    /// Means what it means in diffusers with a CPU generator.
    public var seed: UInt64 = 42
    public var method = RenderMethod.auto
    public var hiDiffusion = HiDiffusionChoice.auto
    /// Which halves of HiDiffusion are on, and its thresholds.
    public var hiDiffusionSettings = HiDiffusionSettings.published
    /// HiDiffusion's recipe; nil is that of the model's kind.
    public var hiDiffusionFamily: HiDiffusionFamily?
    /// Side of a patch; nil is the model's native size.
    public var patch: Int?
    /// Distance of neighbouring views in the detail phase; nil is half a patch.
    public var stride: Int?
    /// How far views are moved at random, at most; nil is not at all where they refine a stage, else a quarter of what
    /// neighbours overlap, as published.
    public var jitter: Int?
    /// How overlapping views share a point; nil is what suits the model.
    public var blending: ViewBlending?
    /// Share of the steps in CutDiffusion's structure phase.
    public var structureFraction: StructureFraction?
    /// What the network sees in CutDiffusion's structure phase; nil is patches, as published.
    public var structure: StructureKind?
    /// Sizes at which the picture is made before its own, as multiples of the model's native size, rising: each later one
    /// begins with the result of the one before. Empty: the picture is made at once. nil is what suits method and size.
    public var stages: [Double]?
    /// How a larger stage begins with a smaller one's result.
    public var refinement = RefinementSettings()
    /// nil is the model's own scheduler.
    public var samplingMethod: SamplingMethod?
    /// How the noise levels are spread; `automatic` is what the model's scheduler says.
    public var noiseSchedule = NoiseScheduleKind.automatic
    /// The share of fresh noise of DDIM, TCD and the ancestral methods, 0 to 1; nil is the method's usual one.
    public var eta: Float?
    /// The picture to start from, of the size asked for; with a mask only a part of it is made anew.
    public var source: SourcePicture?
    /// How much of the source picture is given up, above 0 to 1: the share of the steps that are done. Belongs to `source`.
    public var strength: Float?
    /// LoRA files beside those that the prompt's tags name, in the order of merging.
    public var loras: [LoRASelection] = []
    /// Token merging and downsampling; nil is all tokens.
    public var tokenReduction: TokenReductionRequest?
    /// The prompt of SDXL's second text encoder; nil is the same prompt. Like `negativeSizes` it is there for recordings of
    /// diffusers: neither the command line nor the wire can say it.
    package var secondPrompt: String?
    /// What SDXL's negative half is told about sizes; nil is the same as the prompt's half.
    package var negativeSizes: SizeConditioning?

    public init() {}

    /// What stable-diffusion.cpp and A1111 take when the user says nothing.
    public static let defaultStrength: Float = 0.75

    /// The largest side of a picture, in pixels.
    public static let sideLimit = 16384

    /// Sides are multiples of it: the pixels along the side of a latent's point in all models that are run. Where the model is
    /// known, its `scaleFactor` says the same.
    public static let sideMultiple = 8
    /// The most steps of one picture.
    public static let stepLimit = 1000
    /// The most bytes of a prompt.
    public static let promptLimit = 8192

    /// Checks everything that needs no model. Throws `.invalidRequest`.
    public func validated() throws(RenderError) {
        try check(prompt: prompt, "prompt")
        try check(prompt: negativePrompt, "negative prompt")
        _ = try selectedLoRAs()
        try Self.check(width: width, height: height)
        if let steps, !(1...Self.stepLimit).contains(steps) {
            throw RenderError(.invalidRequest, "\(steps) steps are not possible: choose 1 to \(Self.stepLimit).")
        }
        if let guidanceScale, !(0...50).contains(guidanceScale) {
            throw RenderError(.invalidRequest, "A guidance scale of \(guidanceScale) is not possible: choose 0 to 50.")
        }
        try checkGuidanceAndText()
        try checkSyntax()
        if let eta, !(0...1).contains(eta) {
            throw RenderError(.invalidRequest, "An eta of \(eta) is not possible: choose 0 to 1.")
        }
        try checkSource()
        try checkStages()
        if let jitter { try Self.check(side: jitter, "jitter", 0...Self.sideLimit) }
        try tokenReduction?.validated()
        if let patch { try Self.check(side: patch, "patch", 64...Self.sideLimit) }
        if let stride { try Self.check(side: stride, "stride", Self.sideMultiple...Self.sideLimit) }
        if let patch, let stride, stride > patch {
            throw RenderError(
                .invalidRequest,
                "A stride of \(stride) px would leave gaps between patches of \(patch) px: choose a stride of at most \(patch)."
            )
        }
    }

    /// Throws `.invalidRequest` for sides that no picture has.
    public static func check(width: Int, height: Int) throws(RenderError) {
        try check(side: width, "width", 64...sideLimit)
        try check(side: height, "height", 64...sideLimit)
    }

    /// The most sizes before the last.
    public static let stageLimit = 8

    private func checkStages() throws(RenderError) {
        try refinement.validated()
        if hiDiffusion != .off { try hiDiffusionSettings.validated() }
        guard let stages else { return }
        let isRising = zip(stages, stages.dropFirst()).allSatisfy { $0 < $1 }
        guard stages.count <= Self.stageLimit, isRising, stages.allSatisfy({ $0 >= 1 && $0 <= 256 }) else {
            throw RenderError(
                .invalidRequest,
                "Stages of \(stages.map(\.description).joined(separator: ",")) are not possible: give at most \(Self.stageLimit) rising "
                    + "multiples of the native size from 1 on, such as 1,2.")
        }
    }

    private func checkSource() throws(RenderError) {
        guard let source else {
            guard strength == nil else {
                throw RenderError(
                    .invalidRequest, "A strength belongs to a picture to start from: give one (-i) or leave the strength out.")
            }
            return
        }
        guard source.width == width, source.height == height else {
            throw RenderError(
                .invalidRequest,
                "The picture to start from has \(source.width)×\(source.height) px, but \(width)×\(height) are asked for: the two "
                    + "sizes must be equal.")
        }
        if let strength, !(strength > 0 && strength <= 1) {
            throw RenderError(.invalidRequest, "A strength of \(strength) is not possible: choose one above 0, up to 1.")
        }
    }

    /// The largest layer that can be counted from the last.
    public static let clipSkipLimit = 100

    private func checkGuidanceAndText() throws(RenderError) {
        if let detailGuidanceScale, !(0...50).contains(detailGuidanceScale) {
            throw RenderError(
                .invalidRequest,
                "A guidance scale of \(detailGuidanceScale) in the detail phase is not possible: choose 0 to 50.")
        }
        guard (0...1).contains(guidanceRescale) else {
            throw RenderError(.invalidRequest, "A guidance rescale of \(guidanceRescale) is not possible: choose 0 to 1.")
        }
        if let clipSkip, !(1...Self.clipSkipLimit).contains(clipSkip) {
            throw RenderError(
                .invalidRequest,
                "A clip skip of \(clipSkip) is not possible: choose 1, the last layer, to \(Self.clipSkipLimit).")
        }
        for (name, size) in [("original size", originalSize), ("target size", targetSize)] {
            guard let size else { continue }
            guard [size.width, size.height].allSatisfy({ (1...Self.sideLimit).contains($0) }) else {
                throw RenderError(
                    .invalidRequest,
                    "An \(name) of \(size.width)×\(size.height) px is not possible: choose sides of 1 to \(Self.sideLimit).")
            }
        }
        if let cropTopLeft, ![cropTopLeft.top, cropTopLeft.left].allSatisfy({ (0...Self.sideLimit).contains($0) }) {
            throw RenderError(
                .invalidRequest,
                "A crop at \(cropTopLeft.top),\(cropTopLeft.left) px is not possible: choose 0 to \(Self.sideLimit).")
        }
    }

    private func check(prompt text: String, _ name: String) throws(RenderError) {
        guard text.utf8.count <= Self.promptLimit else {
            throw RenderError(
                .invalidRequest, "The \(name) has \(text.utf8.count) bytes: shorten it to at most \(Self.promptLimit).")
        }
        // The text goes into the picture's metadata, which ends at a NUL and has no room for the others.
        if let control = text.utf8.first(where: { $0 < 0x20 && !"\t\n\r".utf8.contains($0) }) {
            let digits = String(UInt32(control) + 0x10000, radix: 16, uppercase: true).dropFirst()
            throw RenderError(
                .invalidRequest, "The \(name) holds the control character U+\(digits): take it out."
            )
        }
    }

    private static func check(side: Int, _ name: String, _ range: ClosedRange<Int>) throws(RenderError) {
        guard range.contains(side) else {
            throw RenderError(
                .invalidRequest, "A \(name) of \(side) px is not possible: choose \(range.lowerBound) to \(range.upperBound).")
        }
        guard side.isMultiple(of: sideMultiple) else {
            let next = side / sideMultiple * sideMultiple
            throw RenderError(
                .invalidRequest,
                "A \(name) of \(side) px is not a multiple of \(sideMultiple): choose \(max(range.lowerBound, next)) or \(next + sideMultiple)."
            )
        }
    }
}
