public import PatchGeometry
import Weights

/// Settings that suit a model better than the general defaults.
public struct RecommendedSettings: Sendable, Equatable {
    public var steps = 25
    public var guidanceScale: Float = 7.5
    public var structureFraction = StructureFraction.half
    /// Beyond the native size.
    public var method = RenderMethod.cut
    /// Whether the picture is made at smaller sizes first, each twice the one before.
    public var isStaged = true
    public var upscaler = Upscaler.lanczos
    /// Of views that refine an enlarged result.
    public var refiningBlending = ViewBlending.feather
    /// How far such views are moved, in pixels. What lies beyond the picture's border is zeros to a view, and little noise is
    /// left to make something better of it.
    public var refiningJitter = 0
    /// Guidance of such views; nil is the guidance of all else.
    public var refiningGuidance: Float?

    /// How much of a stage's enlarged result is given up. A picture that is refined in views knows what it is to be; at once
    /// it may be changed more.
    func denoisingStrength(_ method: RenderMethod) -> Float { method == .hires ? 0.5 : 0.35 }

    /// What diffusion models in general are used with; the structure fraction is CutDiffusion's.
    public static let general = RecommendedSettings()

    /// Chosen by eye on pictures of 256 and 512 px of the embedded model: see its card.
    static let embedded: RecommendedSettings = {
        var settings = RecommendedSettings()
        settings.guidanceScale = 5
        settings.structureFraction = StructureFraction("0.4") ?? .half
        settings.refiningGuidance = 1
        return settings
    }()

    private init() {}

    /// As the models' cards and the common programs have it: distilled models take few steps and no guidance.
    init(_ kind: ModelKind) {
        steps = kind.steps ?? steps
        guidanceScale = kind.guidanceScale ?? guidanceScale
    }
}
