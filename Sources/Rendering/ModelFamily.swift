import Acceleration
import DiffusionModels
public import PatchGeometry
import Samplers

/// The kinds of models that are told apart, by their configurations and never by a name.
public enum ModelFamily: String, Sendable, CaseIterable {
    /// Stable Diffusion 1.x and its fine-tunes.
    case sd1
    /// Stable Diffusion 2.x, base and 768-v.
    case sd2
    /// SD-Turbo, distilled from 2.1.
    case sd2Turbo = "sd2_turbo"
    /// SDXL and its fine-tunes, Playground v2 among them.
    case sdxl
    /// SDXL-Turbo.
    case sdxlTurbo = "sdxl_turbo"
    /// Playground v2.5: SDXL with an EDM scheduler.
    case playground

    /// How people call it.
    public var title: String {
        switch self {
        case .sd1: "Stable Diffusion 1.x"
        case .sd2: "Stable Diffusion 2.x"
        case .sd2Turbo: "SD-Turbo"
        case .sdxl: "SDXL"
        case .sdxlTurbo: "SDXL-Turbo"
        case .playground: "Playground v2.5"
        }
    }

    /// Whether it has two text encoders, a pooled vector and size conditioning.
    public var isXL: Bool { [.sdxl, .sdxlTurbo, .playground].contains(self) }

    /// Distilled models are known by their schedulers: they predict noise on trailing timesteps, SDXL-Turbo with ancestral
    /// Euler. Version 2 stores the transformers' projections as matrices.
    init(_ parts: ModelParts, _ scheduler: SchedulerConfiguration) {
        let isTrailing = scheduler.timestepSpacing == .trailing && scheduler.predictionType == .epsilon
        let isAncestral = scheduler.className == "EulerAncestralDiscreteScheduler"
        if parts.isXL {
            self = scheduler.className.hasPrefix("EDM") ? .playground : isTrailing && isAncestral ? .sdxlTurbo : .sdxl
        } else if parts.unet.usesLinearProjection {
            self = isTrailing && (isAncestral || scheduler.className == "EulerDiscreteScheduler") ? .sd2Turbo : .sd2
        } else {
            self = .sd1
        }
    }

    /// HiDiffusion's recipe. Playground v2 looks like any SDXL, so its own recipe has to be asked for.
    func hiDiffusionFamily(isInpainting: Bool) -> HiDiffusionFamily? {
        switch self {
        case .sd1, .sd2, .sd2Turbo: .sd15
        case .sdxlTurbo: .sdxlTurbo
        case .playground: .sdxlPlayground
        case .sdxl: isInpainting ? .sdxlInpainting : .sdxl
        }
    }
}

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
    init(_ family: ModelFamily) {
        switch family {
        case .sd1, .sd2: break
        case .sd2Turbo, .sdxlTurbo: (steps, guidanceScale) = (4, 1)
        case .sdxl: guidanceScale = 7
        case .playground: guidanceScale = 3
        }
    }
}
