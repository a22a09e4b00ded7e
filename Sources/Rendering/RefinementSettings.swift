import Acceleration
import Resampling
import StrictJSON

/// How the result of a stage becomes larger.
public enum Upscaler: String, Sendable, CaseIterable {
    /// The latent, between two neighbours.
    case latent
    /// The latent, by cubics.
    case latentBicubic = "latent-bicubic"
    /// The latent, by its nearest points.
    case latentNearest = "latent-nearest"
    /// The decoded picture, by Lanczos with three lobes, encoded again.
    case lanczos

    /// Reads our names and A1111's, in any case.
    public init?(named name: String) {
        guard
            let known = Self.allCases.first(where: {
                [$0.rawValue, $0.label].contains { $0.lowercased() == name.lowercased() }
            })
        else { return nil }
        self = known
    }

    /// How A1111's web UI calls it.
    var label: String {
        switch self {
        case .latent: "Latent"
        case .latentBicubic: "Latent (bicubic)"
        case .latentNearest: "Latent (nearest-exact)"
        case .lanczos: "Lanczos"
        }
    }

    /// What resizes the latent; nil where the picture is resized.
    var kernel: LatentResizer.Kernel? {
        switch self {
        case .latent: .bilinear
        case .latentBicubic: .bicubic
        case .latentNearest: .nearest
        case .lanczos: nil
        }
    }
}

/// How a larger stage begins with a smaller one's result, as in A1111's hires fix. What is nil is chosen by the method.
public struct RefinementSettings: Sendable, Equatable {
    public var upscaler: Upscaler?
    /// How much of the enlarged result is given up, above 0 to 1: the share of the steps that are done again.
    public var strength: Float?
    /// Steps of the later stages, of which the strength takes its share; nil is as many as the first stage's.
    public var steps: Int?
    /// Hires: whether later stages are done in overlapping views and not at once.
    public var tiled: Bool?

    public init() {}

    /// The stages of a picture that is `enlargement` times as large as the model's native size: each is twice the one before,
    /// and the last is clearly smaller than the picture.
    public static func doublings(towards enlargement: Double) -> [Double] {
        var stages: [Double] = []
        var factor = 1.0
        while factor * factor * 1.25 < enlargement * enlargement, stages.count < RenderRequest.stageLimit {
            stages.append(factor)
            factor *= 2
        }
        return stages
    }

    /// Whether a canvas has the native area, up to a quarter more: then there is nothing to make it larger from.
    static func isNearNative(area: Int, native: Int) -> Bool { area * 4 <= native * native * 5 }

    func validated() throws(RenderError) {
        if let strength, !(strength > 0 && strength <= 1) {
            throw RenderError(
                .invalidRequest, "A denoising strength of \(strength) is not possible: choose one above 0, up to 1.")
        }
        if let steps, !(1...RenderRequest.stepLimit).contains(steps) {
            throw RenderError(
                .invalidRequest, "\(steps) hires steps are not possible: choose 1 to \(RenderRequest.stepLimit).")
        }
    }

    // MARK: JSON

    static let shape = "an object of upscaler, strength, steps and tiled"

    var json: JSONValue {
        var object = JSONObject()
        object["upscaler"] = upscaler.map { .string($0.rawValue) }
        object["strength"] = strength.map { .number(Double($0)) }
        object["steps"] = steps.map { .integer(Int64($0)) }
        object["tiled"] = tiled.map { .bool($0) }
        return .object(object)
    }

    /// nil for anything but what `json` writes.
    init?(json: JSONValue) {
        guard let fields = SettingsObject(json, keys: ["upscaler", "strength", "steps", "tiled"]) else { return nil }
        guard let upscaler = fields.optional("upscaler", { $0.stringValue.flatMap { Upscaler(rawValue: $0) } }),
            let strength = fields.optional("strength", { $0.doubleValue.map { Float($0) } }),
            let steps = fields.optional("steps", \.intValue), let tiled = fields.optional("tiled", \.boolValue)
        else { return nil }
        (self.upscaler, self.strength, self.steps, self.tiled) = (upscaler, strength, steps, tiled)
    }
}

extension HiDiffusionSettings {
    func validated() throws(RenderError) {
        for (name, ratio) in [("T1", t1), ("T2", t2), ("aggressive", aggressive)] {
            guard let ratio, !(0...1).contains(ratio) else { continue }
            throw RenderError(
                .invalidRequest,
                "HiDiffusion's \(name) threshold of \(ratio) is not possible: choose a share of the steps, 0 to 1.")
        }
        guard raunet || windows else {
            throw RenderError(
                .invalidRequest,
                "With RAU-Net and window attention off nothing is left of HiDiffusion: choose --hidiffusion off.")
        }
    }

    /// What is not as published, for people.
    var summary: String {
        var parts: [String] = []
        if !raunet { parts.append("without RAU-Net") }
        if !windows { parts.append("without window attention") }
        for (name, ratio) in [("T1", t1), ("T2", t2), ("aggressive", aggressive)] {
            if let ratio { parts.append("\(name) \(ratio)") }
        }
        return parts.isEmpty ? "" : ", " + parts.joined(separator: ", ")
    }

    // MARK: JSON

    static let shape = "an object of raunet, window_attn, t1, t2 and aggressive"

    var json: JSONValue {
        var object = JSONObject()
        object["raunet"] = .bool(raunet)
        object["window_attn"] = .bool(windows)
        object["t1"] = t1.map { .number($0) }
        object["t2"] = t2.map { .number($0) }
        object["aggressive"] = aggressive.map { .number($0) }
        return .object(object)
    }

    /// nil for anything but what `json` writes.
    init?(json: JSONValue) {
        self.init()
        guard let fields = SettingsObject(json, keys: ["raunet", "window_attn", "t1", "t2", "aggressive"]),
            let raunet = fields.optional("raunet", \.boolValue), let windows = fields.optional("window_attn", \.boolValue),
            let t1 = fields.optional("t1", \.doubleValue), let t2 = fields.optional("t2", \.doubleValue),
            let aggressive = fields.optional("aggressive", \.doubleValue)
        else { return nil }
        (self.raunet, self.windows) = (raunet ?? true, windows ?? true)
        (self.t1, self.t2, self.aggressive) = (t1, t2, aggressive)
    }
}

/// The members of one group of settings.
private struct SettingsObject {
    private let object: JSONObject

    /// nil for anything but an object of such members.
    init?(_ json: JSONValue, keys: Set<String>) {
        guard let object = json.objectValue, object.keys.allSatisfy({ keys.contains($0) }) else { return nil }
        self.object = object
    }

    /// The member as `read` gives it: `.some(nil)` when it is absent, nil when it is of another kind.
    func optional<T>(_ key: String, _ read: (JSONValue) -> T?) -> T?? {
        guard let value = object[key] else { return .some(nil) }
        guard let result = read(value) else { return nil }
        return .some(result)
    }
}
