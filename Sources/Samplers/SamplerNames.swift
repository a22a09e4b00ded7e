/// A sampler's name as a user writes it: a method and perhaps a schedule, as in "DPM++ 2M Karras".
public struct SamplerName: Sendable, Equatable {
    public var method: SamplingMethod
    /// nil if the name has no schedule.
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
            "eulerdiscretescheduler": .euler, "eulerancestraldiscretescheduler": .eulerAncestral,
            "heundiscretescheduler": .heun, "kdpm2discretescheduler": .dpm2, "kdpm2ancestraldiscretescheduler": .dpm2Ancestral,
            "dpmsolversinglestepscheduler": .dpmpp2s, "dpmsolvermultistepscheduler": .dpmpp2m,
            "dpmsolversdescheduler": .dpmppSDE, "lcmscheduler": .lcm, "ddimscheduler": .ddim, "tcdscheduler": .tcd,
            "unipcmultistepscheduler": .unipc, "pndmscheduler": .pndm, "lmsdiscretescheduler": .lms,
            "deismultistepscheduler": .deis, "ddpmscheduler": .ddpm, "edmeulerscheduler": .edmEuler,
            "edmdpmsolvermultistepscheduler": .edmDPMpp2m,
        ]
        for method in SamplingMethod.allCases {
            methods[key(method.rawValue)] = method
            methods[key(method.label)] = method
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

extension SamplingMethod {
    /// The name in A1111's web UI, or a name in its style.
    public var label: String {
        switch self {
        case .euler: "Euler"
        case .eulerAncestral: "Euler a"
        case .heun: "Heun"
        case .dpm2: "DPM2"
        case .dpm2Ancestral: "DPM2 a"
        case .dpmpp2s: "DPM++ 2S"
        case .dpmpp2sAncestral: "DPM++ 2S a"
        case .dpmpp2m: "DPM++ 2M"
        case .dpmpp2mSDE: "DPM++ 2M SDE"
        case .dpmpp3m: "DPM++ 3M"
        case .dpmppSDE: "DPM++ SDE"
        case .lcm: "LCM"
        case .ddim: "DDIM"
        case .tcd: "TCD"
        case .unipc: "UniPC"
        case .pndm: "PLMS"
        case .lms: "LMS"
        case .deis: "DEIS"
        case .ddpm: "DDPM"
        case .edmEuler: "EDM Euler"
        case .edmDPMpp2m: "EDM DPM++ 2M"
        }
    }
}

extension NoiseScheduleKind {
    /// Reads the names of stable-diffusion.cpp, A1111, ComfyUI and diffusers. Case, spaces, `-` and `_` do not matter.
    public init(name text: String) throws(SamplerError) {
        switch SamplerName.key(text) {
        case "automatic", "auto", "default": self = .automatic
        case "discrete", "uniform", "normal": self = .discrete
        case "karras": self = .karras
        case "exponential": self = .exponential
        case "sgmuniform": self = .sgmUniform
        case "trailing": self = .trailing
        case "leading": self = .leading
        case "linspace": self = .linspace
        default:
            let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw SamplerError(.badRequest, "There is no schedule \"\(text.prefix(60))\": choose one of \(known).")
        }
    }

    /// The name in A1111's web UI, or a name in its style.
    public var label: String {
        switch self {
        case .automatic: "Automatic"
        case .discrete: "Uniform"
        case .karras: "Karras"
        case .exponential: "Exponential"
        case .sgmUniform: "SGM Uniform"
        case .trailing: "Trailing"
        case .leading: "Leading"
        case .linspace: "Linspace"
        }
    }
}
