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
    /// Sizes at which CutDiffusion makes the picture before its own, as multiples of the native size; those that are near the
    /// picture's or beyond it are left out.
    public var stages: [Double] = []
    public var upscaler = Upscaler.lanczos
    public var blending = ViewBlending.uniform

    /// How much of a stage's enlarged result is given up.
    func denoisingStrength(_ method: RenderMethod) -> Float { 0.7 }

    /// What diffusion models in general are used with; the structure fraction is CutDiffusion's.
    public static let general = RecommendedSettings()

    /// Chosen by eye on pictures of 256 and 512 px of the embedded model: see its card.
    static let embedded: RecommendedSettings = {
        var settings = RecommendedSettings()
        settings.guidanceScale = 5
        settings.structureFraction = StructureFraction("0.4") ?? .half
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
