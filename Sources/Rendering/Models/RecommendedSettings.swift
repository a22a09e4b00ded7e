public import PatchGeometry
import Weights

/// The settings that suit a model. The defaults suit diffusion models in general; the structure fraction is CutDiffusion's.
public struct RecommendedSettings: Sendable, Equatable {
    public var steps = 25
    public var guidanceScale: Float = 7.5
    public var structureFraction = StructureFraction.half
    /// The method for pictures beyond the native size.
    public var method = RenderMethod.cut
    /// Whether smaller stages come first, each twice the one before.
    public var isStaged = true
    public var upscaler = Upscaler.lanczos
    /// The blending of views that refine an enlarged result.
    public var refiningBlending = ViewBlending.feather
    /// The largest move of such views, in pixels. A moved view sees zeros beyond the picture's border, and with little noise it
    /// cannot repair them.
    public var refiningJitter = 0
    /// Guidance of such views; nil is the guidance of all other calls.
    public var refiningGuidance: Float?

    /// The share of a stage's enlarged result to give up. The result shows its subject already, and refinement in views should
    /// keep it. Refinement at once may change more.
    public static func denoisingStrength(_ method: RenderMethod) -> Float { method == .hires ? 0.5 : 0.35 }

    /// The settings for the embedded model. They were chosen by eye on pictures of 256 and 512 px: see its card.
    static let embedded = RecommendedSettings(
        guidanceScale: 5, structureFraction: StructureFraction("0.4") ?? .half, refiningGuidance: 1)
}

extension RecommendedSettings {
    /// Models' cards and common programs use distilled models with few steps and no guidance.
    init(_ kind: ModelKind) {
        self.init()
        steps = kind.steps ?? steps
        guidanceScale = kind.guidanceScale ?? guidanceScale
    }
}
