public import Acceleration
import Resampling
import Sentences

/// The way to enlarge the result of a stage.
public enum Upscaler: String, Sendable, CaseIterable {
    /// The latent, linearly between neighbours.
    case latent
    /// The latent, by cubics.
    case latentBicubic = "latent-bicubic"
    /// The latent, by its nearest points.
    case latentNearest = "latent-nearest"
    /// The decoded picture, by Lanczos with three lobes; the result is encoded again.
    case lanczos

    /// Reads our names and A1111's, in any case.
    public init?(named name: String) {
        let known = Self.allCases.first { [$0.rawValue, $0.label].contains { $0.lowercased() == name.lowercased() } }
        guard let known else { return nil }
        self = known
    }

    /// Its name in A1111's web UI.
    var label: String {
        switch self {
        case .latent: "Latent"
        case .latentBicubic: "Latent (bicubic)"
        case .latentNearest: "Latent (nearest-exact)"
        case .lanczos: "Lanczos"
        }
    }

    /// The kernel for the latent; nil if the picture is resized.
    var kernel: LatentResizer.Kernel? {
        switch self {
        case .latent: .bilinear
        case .latentBicubic: .bicubic
        case .latentNearest: .nearest
        case .lanczos: nil
        }
    }
}

/// The way in which a larger stage begins with the result of a smaller one, as in A1111's hires fix. If a setting is nil,
/// the method chooses it.
public struct RefinementSettings: SettingGroup {
    public var upscaler: Upscaler?
    /// The share of the enlarged result to give up, above 0, at most 1. The same share of the steps is made again.
    public var strength: Float?
    /// Steps of the later stages, before the strength takes its share; nil is the first stage's number.
    public var steps: Int?
    /// For `hires`: whether later stages work in overlapping views.
    public var tiled: Bool?

    public init() {}

    /// The stages of a picture of `enlargement` times the model's native size. Each is twice the one before, and the last is
    /// clearly smaller than the picture.
    public static func doublings(towards enlargement: Double) -> [Double] {
        var stages: [Double] = []
        var factor = 1.0
        while factor * factor * 1.25 < enlargement * enlargement, stages.count < RenderRequest.stageLimit {
            stages.append(factor)
            factor *= 2
        }
        return stages
    }

    /// Whether a canvas has at most a quarter more than the native area. Such a canvas needs no smaller stage.
    static func isNearNative(area: Int, native: Int) -> Bool { area * 4 <= native * native * 5 }

    public static let settings: [RequestSetting<RefinementSettings>] = [
        RequestSetting(
            .denoisingStrength, member: "strength", \.strength, .float,
            SettingRange(0...1, isOpen: true) { "A denoising strength of \($0) is" }
        )
        .used(.refinement),
        RequestSetting(.hiresUpscaler, member: "upscaler", \.upscaler, .choice)
            .used(.refinement)
            .said { word, refinement throws(RenderError) in
                // A1111's names too.
                let known = Upscaler(named: word)
                refinement.upscaler = try SettingKind.choice.value(known?.rawValue ?? word, of: .hiresUpscaler)
            },
        RequestSetting(
            .hiresSteps, member: "steps", \.steps, .whole, SettingRange(1...RenderRequest.stepLimit) { "\($0) hires steps are" }
        )
        .used(.refinement),
        RequestSetting(.hiresTiled, member: "tiled", \.tiled, .flag).used(.tiles),
    ]
}

extension HiDiffusionSettings: SettingGroup {
    public static let settings: [RequestSetting<HiDiffusionSettings>] = [
        RequestSetting(.hidiffusionRaunet, member: "raunet", \.raunet, .onOrOff).used(.hiDiffusion),
        RequestSetting(.hidiffusionWindowAttn, member: "window_attn", \.windows, .onOrOff).used(.hiDiffusion),
        RequestSetting(.hidiffusionT1, member: "t1", \.t1, .number, share("T1")).used(.hiDiffusion),
        RequestSetting(.hidiffusionT2, member: "t2", \.t2, .number, share("T2")).used(.hiDiffusion),
        RequestSetting(.hidiffusionAggressive, member: "aggressive", \.aggressive, .number, share("aggressive")).used(
            .hiDiffusion),
    ]

    private static func share(_ name: String) -> SettingRange<Double> {
        SettingRange(0...1, choose: "a share of the steps, 0 to 1") { "HiDiffusion's \(name) threshold of \($0) is" }
    }

    /// At least one half must be on. Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        guard raunet || windows else {
            throw .invalidRequest(
                "With RAU-Net and window attention off nothing is left of HiDiffusion: choose \(.hidiffusion) off.",
                about: .hidiffusionRaunet, .hidiffusionWindowAttn)
        }
    }

    /// The differences from the published settings, for people.
    var summary: String {
        var parts: [String] = []
        if !raunet { parts.append("without RAU-Net") }
        if !windows { parts.append("without window attention") }
        for (name, ratio) in [("T1", t1), ("T2", t2), ("aggressive", aggressive)] {
            if let ratio { parts.append("\(name) \(ratio)") }
        }
        return parts.isEmpty ? "" : ", " + parts.joined(separator: ", ")
    }
}
