import Acceleration
import PatchGeometry
import Rendering

/// How a picture beyond the native size is made, in the words of a user.
public struct MethodWords: Sendable {
    public var method = "auto"
    /// `auto`, `on` or `off`.
    public var hidiffusion = "auto"
    /// HiDiffusion's recipe, or `auto`.
    public var hidiffusionFamily = "auto"
    /// `on` or `off`.
    public var hidiffusionRaunet: String?
    /// `on` or `off`.
    public var hidiffusionWindowAttn: String?
    /// Shares of the steps, 0 to 1.
    public var hidiffusionT1: Double?, hidiffusionT2: Double?, hidiffusionAggressive: Double?
    /// In pixels.
    public var patch: Int?, stride: Int?, jitter: Int?
    public var blend: String?
    /// A decimal between 0 and 1, kept as text because its digits count.
    public var structureFraction: String?
    public var structure: String?
    /// Multiples of the native size such as `1,2`, or `none`.
    public var stages: String?
    /// Of later stages.
    public var denoisingStrength: Float?
    public var hiresUpscaler: String?
    public var hiresSteps: Int?
    public var hiresTiled = false

    /// Nothing said.
    public init() {}

    func apply(to request: inout RenderRequest) throws(RequestError) {
        request.method = try Words.choice(method, .method)
        request.hiDiffusion = try Words.choice(hidiffusion, .hidiffusion)
        request.hiDiffusionFamily = try family()
        request.hiDiffusionSettings = try hiDiffusionSettings()
        (request.patch, request.stride, request.jitter) = (patch, stride, jitter)
        request.blending = try blend.map { word throws(RequestError) in try Words.choice(word, .blend) }
        request.structure = try structure.map { word throws(RequestError) in try Words.choice(word, .structure) }
        if let structureFraction {
            guard let fraction = StructureFraction(structureFraction) else {
                throw RequestError(
                    .invalid,
                    "\(.structureFraction) must be a decimal between 0 and 1, such as 0.4, not '\(structureFraction)'.")
            }
            request.structureFraction = fraction
        }
        request.stages = try stages.map { text throws(RequestError) in try Self.factors(text) }
        request.refinement.upscaler = try hiresUpscaler.map { word throws(RequestError) in
            if let upscaler = Upscaler(named: word) { return upscaler }
            return try Words.choice(word, .hiresUpscaler)
        }
        request.refinement.strength = denoisingStrength
        request.refinement.steps = hiresSteps
        if hiresTiled { request.refinement.tiled = true }
    }

    private func family() throws(RequestError) -> HiDiffusionFamily? {
        if hidiffusionFamily == "auto" { return nil }
        guard let family = HiDiffusionFamily(rawValue: hidiffusionFamily) else {
            let words = HiDiffusionFamily.allCases.map(\.rawValue).joined(separator: ", ")
            throw RequestError(.invalid, "\(.hidiffusionFamily) must be one of auto, \(words), not '\(hidiffusionFamily)'.")
        }
        return family
    }

    private func hiDiffusionSettings() throws(RequestError) -> HiDiffusionSettings {
        var settings = HiDiffusionSettings.published
        settings.raunet = try Words.isOn(hidiffusionRaunet, .hidiffusionRaunet) ?? true
        settings.windows = try Words.isOn(hidiffusionWindowAttn, .hidiffusionWindowAttn) ?? true
        (settings.t1, settings.t2, settings.aggressive) = (hidiffusionT1, hidiffusionT2, hidiffusionAggressive)
        return settings
    }

    private static func factors(_ text: String) throws(RequestError) -> [Double] {
        if text == "none" { return [] }
        let parts = Words.list(text)
        let factors = parts.compactMap { Double($0) }.filter(\.isFinite)
        guard factors.count == parts.count else {
            throw RequestError(
                .invalid, "\(.stages) must be multiples of the native size, such as 1,2, or none, not '\(text)'.")
        }
        return factors
    }
}
