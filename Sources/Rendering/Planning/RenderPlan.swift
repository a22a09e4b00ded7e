public import Acceleration
import ImageConditioning
public import PatchGeometry
public import Samplers
public import StrictJSON
public import TensorCore

/// Every decision of a render, made once from the request and the model.
public struct RenderPlan: Sendable, Equatable {
    /// Sides of the picture in pixels.
    public let width: Int
    public let height: Int
    /// Sides of its latent.
    public let latentWidth: Int
    public let latentHeight: Int
    public let latentChannels: Int
    /// Pixels along one side of a latent point.
    public var latentScale: Int { width / latentWidth }
    /// The sampler's steps, as requested.
    public let steps: Int
    /// The passes in order; the last has the picture's size.
    public let passes: [RenderPass]
    /// The use of the source picture; nil without one.
    let source: SourceUse?
    public let guidanceScale: Float
    public let guidanceRescale: Float
    /// The layer of the text encoders that is read; 1 is the last.
    public let clipSkip: Int
    /// Chunks of the longer prompt, each a task.
    public let promptChunks: Int
    public let seed: UInt64
    public let eta: Float
    /// The resolved method, never `auto`.
    public let method: RenderMethod
    public let samplingMethod: SamplingMethod
    /// The requested noise schedule; `automatic` is the one of the model's scheduler.
    public let noiseSchedule: NoiseScheduleKind
    /// HiDiffusion's profile; nil if HiDiffusion is off in all calls.
    public let hiDiffusionProfile: HiDiffusionProfile?
    /// HiDiffusion's switches and thresholds.
    public let hiDiffusionSettings: HiDiffusionSettings
    /// Notes for the user: a sentence each, without a full stop.
    public let notes: [String]
    /// LoRA files merged into the model, in order.
    public let loras: [AppliedLoRA]
    /// The reduction of tokens; nil if all tokens stay.
    public let tokenReduction: ResolvedTokenReduction?
    /// The arithmetic of the networks, for all workers that take part. `auto` takes the first worker's.
    public let precision: PrecisionChoice
    let decoding: DecodePlan

    /// SDXL's sizes in the last pass; nil for other models.
    public var sizes: SizeConditioning? { lastPass.last.sizes }

    private var lastPass: RenderPass { passes[passes.count - 1] }
    /// Calls in the whole schedule of the last pass; more than steps with samplers of second order.
    public var calls: Int { lastPass.calls }
    /// The first call that the last pass makes; above 0 if it starts from a picture.
    public var firstCall: Int { lastPass.firstCall }
    /// The cut of the last pass's canvas; nil if it is not cut.
    public var cut: RenderPass.Cut? { lastPass.cut }
    /// Guidance and blending of views in the last pass.
    public var detailGuidanceScale: Float { lastPass.detailGuidanceScale }
    public var blending: ViewBlending { lastPass.blending }
    /// Whether HiDiffusion is on in the two phases of the last pass.
    public var hiDiffusionInStructure: Bool { lastPass.hiDiffusionInStructure }
    public var hiDiffusionInDetail: Bool { lastPass.hiDiffusionInDetail }

    /// Tasks of each phase, in order.
    public var tasksPerPhase: [(phase: RenderPhase, tasks: Int)] {
        let prelude: [(RenderPhase, Int)] =
            [(.encode, promptChunks)] + (source.map { [(.picture, $0.encodes.count)] } ?? [])
        let decodes = passes.map { decoding.layout(height: $0.latentHeight, width: $0.latentWidth).taskCount }
        return prelude + passes.indices.flatMap { passes[$0].tasksPerPhase(decodes: decodes[max(0, $0 - 1)]) }
            + [(.decode, decodes[decodes.count - 1])]
    }

    public var totalTasks: Int { tasksPerPhase.reduce(0) { $0 + $1.tasks } }

    /// U-Net evaluations; a task with guidance makes two.
    public var evaluations: Int { passes.reduce(0) { $0 + $1.evaluations } }

    /// The plan in lines for people.
    public var summaryLines: [String] {
        var lines = [
            "\(width)×\(height) px, latent \(latentWidth)×\(latentHeight), \(steps) steps of \(samplingMethod.rawValue)"
                + (noiseSchedule == .automatic ? "" : ", schedule \(noiseSchedule.rawValue)")
        ]
        for pass in passes { lines += pass.lines(method, scale: latentScale) }
        lines.append(guidanceLine)
        if blending != .uniform, passes.contains(where: { $0.cut != nil }) {
            lines.append("views blended by \(blending.rawValue)")
        }
        if promptChunks > 1 { lines.append("the prompt in \(promptChunks) chunks") }
        if let source { lines.append(source.line(passes[0])) }
        lines.append(hiDiffusionLine)
        lines += tokenReduction?.summaryLines(passes) ?? []
        lines += loras.map(\.summary)
        if precision != .auto { lines.append("networks in \(precision.rawValue)") }
        lines.append("\(totalTasks) tasks, \(evaluations) U-Net evaluations")
        return lines + notes
    }

    private var guidanceLine: String {
        func named(_ scale: Float) -> String { scale > 1 ? "guidance \(scale)" : "no guidance" }
        var line = named(guidanceScale)
        if cut != nil, detailGuidanceScale != guidanceScale { line += ", in views \(named(detailGuidanceScale))" }
        if guidanceRescale > 0 { line += ", rescaled by \(guidanceRescale)" }
        return line + ", clip skip \(clipSkip)"
    }

    private var hiDiffusionLine: String {
        guard let profile = hiDiffusionProfile else { return "HiDiffusion off" }
        let phases = passes.map(\.hiDiffusionPhases)
        let everywhere = phases.allSatisfy { $0 == phases[0] } ? phases[0] : "in some stages"
        return "HiDiffusion on (\(profile.rawValue))" + hiDiffusionSettings.summary
            + (everywhere.isEmpty ? "" : ", \(everywhere)")
    }

    /// The plan for programs.
    public var json: JSONValue {
        let numbers = [
            ("width", width), ("height", height), ("latent_width", latentWidth), ("latent_height", latentHeight),
            ("steps", steps), ("calls", calls), ("clip_skip", clipSkip), ("prompt_chunks", promptChunks), ("tasks", totalTasks),
            ("unet_evaluations", evaluations),
        ]
        var object = JSONObject()
        for (key, value) in numbers { object[key] = .integer(Int64(value)) }
        if let source {
            object["mode"] = .string(source.mode == .imageToImage ? "img2img" : "inpaint")
            object["strength"] = .number(source.strength)
            object["first_call"] = .integer(Int64(firstCall))
        }
        object["cfg_scale"] = .number(Double(guidanceScale))
        object["detail_cfg_scale"] = .number(Double(detailGuidanceScale))
        object["guidance_rescale"] = .number(Double(guidanceRescale))
        object["original_size"] = sizes?.originalSize.json
        object["crop_top_left"] = sizes?.cropTopLeft.json
        object["target_size"] = sizes?.targetSize.json
        object["seed"] = .string(String(seed))
        object["method"] = .string(method.rawValue)
        object["sampling_method"] = .string(samplingMethod.rawValue)
        object["scheduler"] = .string(noiseSchedule.rawValue)
        object["eta"] = .number(Double(eta))
        object["hidiffusion_structure"] = .bool(hiDiffusionInStructure)
        object["hidiffusion_detail"] = .bool(hiDiffusionInDetail)
        object["hidiffusion_family"] = hiDiffusionProfile.map { .string($0.rawValue) }
        object["precision"] = .string(precision.rawValue)
        object["blend"] = .string(blending.rawValue)
        object["hidiffusion_settings"] = hiDiffusionProfile == nil ? nil : hiDiffusionSettings.json
        object["cut"] = cut.map { .object($0.json) }
        object["passes"] = .array(passes.map(\.json))
        object["token_reduction"] = tokenReduction?.json
        if !loras.isEmpty { object["loras"] = .array(loras.map(\.json)) }
        object["notes"] = .array(notes.map { .string($0) })
        return .object(object)
    }
}

extension SourceUse {
    /// The line of a pass for people.
    func line(_ pass: RenderPass) -> String {
        let what: String =
            switch mode {
            case .textToImage: "no picture"
            case .imageToImage: "from a picture"
            case .inpaintKnown: "part of a picture, and the rest is restored after each call"
            case .inpaintNine: "part of a picture, by an inpainting model"
            }
        return "\(what): strength \(strength), calls \(pass.firstCall + 1) to \(pass.calls) are made"
    }
}
