/// A sampler's name as a user writes it: a method and perhaps a schedule, as in "DPM++ 2M Karras".
public struct SamplerName: Sendable, Equatable {
    public var method: SamplingMethod
    /// The schedule in the name; nil if it has none.
    public var noiseSchedule: NoiseScheduleKind?

    /// Reads the names of stable-diffusion.cpp, A1111, ComfyUI and diffusers' classes. Case, spaces, `-` and `_` do not matter.
    public init(_ text: String) throws(SamplerError) {
        let key = Self.key(text)
        if let method = Self.methods[key] {
            (self.method, noiseSchedule) = (method, nil)
            return
        }
        for (ending, kind) in Self.endings where key.hasSuffix(ending) {
            if let method = Self.methods[String(key.dropLast(ending.count))] {
                (self.method, noiseSchedule) = (method, kind)
                return
            }
        }
        if let reason = Self.refused[key] {
            throw SamplerError(.unsupported, "The sampler \(text.prefix(60)) is not implemented: \(reason).")
        }
        let known = SamplingMethod.allCases.map(\.rawValue).joined(separator: ", ")
        throw SamplerError(.badRequest, "There is no sampler \"\(text.prefix(60))\": choose one of \(known).")
    }

    /// The significant part of a name.
    static func key(_ text: String) -> String {
        var key = text.lowercased().filter { !" -_".contains($0) }
        if key.hasPrefix("dpmpp") { key = "dpm++" + key.dropFirst(5) }
        return key
    }

    private static let endings: [(String, NoiseScheduleKind)] = [
        ("karras", .karras), ("exponential", .exponential), ("sgmuniform", .sgmUniform), ("trailing", .trailing),
    ]

    private static let methods: [String: SamplingMethod] = {
        var methods: [String: SamplingMethod] = [
            "eulerancestral": .eulerAncestral, "dpm2ancestral": .dpm2Ancestral, "dpm++2sancestral": .dpmpp2sAncestral,
            "plms": .pndm, "dpm++3": .dpmpp3m, "unipcbh2": .unipc, "edmdpm++": .edmDPMpp2m,
        ]
        for method in SamplingMethod.allCases {
            let traits = method.traits
            let names = [method.rawValue, traits.label, traits.className].compactMap { $0 }
            for name in names { methods[key(name)] = method }
        }
        return methods
    }()

    /// Samplers of other programs that this program does not have, with the replacement.
    private static let refused = [
        "dpm++2mv2": "choose dpm++2m", "dpmfast": "choose dpm++2s",
        "dpmadaptive": "its steps cannot be planned, choose dpm++2s",
        "restart": "choose euler_a", "ipndm": "choose lms", "ipndmv": "choose lms", "dpm++2msdeheun": "choose dpm++2m_sde",
        "dpm++3msde": "choose dpm++2m_sde or dpm++3m", "heunpp2": "choose heun",
    ]
}

extension NoiseScheduleKind {
    /// Reads the names of stable-diffusion.cpp, A1111, ComfyUI and diffusers. Case, spaces, `-` and `_` do not matter.
    public init(name text: String) throws(SamplerError) {
        let key = SamplerName.key(text)
        let others: [String: Self] = ["auto": .automatic, "default": .automatic, "normal": .discrete]
        let kind = Self.allCases.first { [$0.rawValue, $0.label].map(SamplerName.key).contains(key) }
        guard let kind = kind ?? others[key] else {
            let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw SamplerError(.badRequest, "There is no schedule \"\(text.prefix(60))\": choose one of \(known).")
        }
        self = kind
    }

    /// The name in A1111's web UI, or a name in its style.
    public var label: String {
        switch self {
        case .discrete: "Uniform"
        case .sgmUniform: "SGM Uniform"
        default: rawValue.prefix(1).uppercased() + rawValue.dropFirst()
        }
    }
}
