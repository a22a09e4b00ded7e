public import Acceleration
import ImageConditioning
import PatchGeometry
public import Samplers
public import StrictJSON

/// Every decision of a render, made once from the request and the model: what will be computed, in which sizes, how often.
public struct RenderPlan: Sendable, Equatable {
    /// How CutDiffusion cuts the latent. Sides in latents.
    public struct Cut: Sendable, Equatable {
        /// Rows and columns of patches in the structure phase.
        public var gridRows: Int
        public var gridColumns: Int
        /// Sides of one patch in the structure phase: the native patch, or near it where the size is no multiple (our
        /// extension).
        public var patchHeight: Int
        public var patchWidth: Int
        /// Sides of one view in the detail phase, and the distance of neighbours.
        public var viewHeight: Int
        public var viewWidth: Int
        public var stride: Int
        public var viewsPerStep: Int
        /// Calls of the network in the structure phase, which comes first; the rest belong to the detail phase.
        public var structureSteps: Int

        public var patches: Int { gridRows * gridColumns }
    }

    /// Sides of the picture in pixels.
    public let width: Int
    public let height: Int
    /// Sides of its latent.
    public let latentWidth: Int
    public let latentHeight: Int
    public let latentChannels: Int
    /// The sampler's steps, as asked for.
    public let steps: Int
    /// Calls of the network, one barrier each: as many as steps, or more with samplers of second order.
    public let calls: Int
    /// The call with which the run begins: 0, or later where it starts from a picture.
    public let firstCall: Int
    /// What is done with a source picture; nil without one.
    let source: SourcePlan?
    public let guidanceScale: Float
    /// Of CutDiffusion's detail phase.
    public let detailGuidanceScale: Float
    public let guidanceRescale: Float
    /// Which hidden layer of the text encoders is read, counted from the last, which is 1.
    public let clipSkip: Int
    /// Chunks of the longer prompt, each a task.
    public let promptChunks: Int
    /// nil for models that know nothing of sizes.
    public let sizes: SizeConditioning?
    public let seed: UInt64
    public let eta: Float
    /// Resolved: never `auto`.
    public let method: RenderMethod
    public let samplingMethod: SamplingMethod
    /// As asked for: `automatic` is what the model's scheduler says.
    public let noiseSchedule: NoiseScheduleKind
    /// nil for `direct`.
    public let cut: Cut?
    /// Whether HiDiffusion changes the U-Net, by the phase's input size.
    public let hiDiffusionInStructure: Bool
    public let hiDiffusionInDetail: Bool
    /// HiDiffusion's recipe; nil when it is off throughout.
    public let hiDiffusionFamily: HiDiffusionFamily?
    /// What the user should know: a stand-in scheduler, an extension of the method.
    public let notes: [String]
    /// LoRA files that are merged into the model, in order.
    public let loras: [AppliedLoRA]
    /// nil when all tokens stay.
    public let tokenReduction: TokenReductionPlan?

    /// Tasks of each phase, in order.
    public var tasksPerPhase: [(phase: RenderPhase, tasks: Int)] {
        let prelude: [(RenderPhase, Int)] =
            [(.encode, promptChunks)] + (source.map { [(.picture, $0.encodes.count)] } ?? [])
        let structure = structureCalls
        let denoising: [(RenderPhase, Int)] =
            cut.map {
                [
                    (.structure, structure * $0.patches),
                    (.detail, (calls - firstCall - structure) * $0.viewsPerStep),
                ]
            } ?? [(.denoise, calls - firstCall)]
        return prelude + denoising.filter { $0.1 > 0 } + [(.decode, 1)]
    }

    /// Calls that this run makes in the structure phase. The phase is that of high noise: a run that starts from a picture at
    /// little noise has a short one, or none.
    var structureCalls: Int { cut.map { max(0, $0.structureSteps - firstCall) } ?? 0 }

    public var totalTasks: Int { tasksPerPhase.reduce(0) { $0 + $1.tasks } }

    /// U-Net evaluations of single images: each task with guidance makes two.
    public var evaluations: Int {
        let denoising: Set<RenderPhase> = [.denoise, .structure, .detail]
        return tasksPerPhase.reduce(0) { sum, part in
            denoising.contains(part.phase) ? sum + part.tasks * (guidance(part.phase) > 1 ? 2 : 1) : sum
        }
    }

    /// The guidance scale of a phase.
    func guidance(_ phase: RenderPhase) -> Float { phase == .detail ? detailGuidanceScale : guidanceScale }

    /// The plan in lines for people.
    public var summaryLines: [String] {
        var lines = [
            "\(width)×\(height) px, latent \(latentWidth)×\(latentHeight), \(steps) steps of \(samplingMethod.rawValue)"
                + (noiseSchedule == .automatic ? "" : ", schedule \(noiseSchedule.rawValue)")
        ]
        if calls != steps { lines.append("\(calls) calls of the network") }
        let call = calls == steps ? "steps" : "calls"
        if let cut {
            lines.append(
                "cut: \(structureCalls) structure \(call) of \(cut.patches) patches (\(cut.gridColumns)×\(cut.gridRows)) of "
                    + "\(cut.patchWidth * 8)×\(cut.patchHeight * 8) px, then \(calls - firstCall - structureCalls) detail \(call) of "
                    + "\(cut.viewsPerStep) views of \(cut.viewWidth * 8)×\(cut.viewHeight * 8) px, stride \(cut.stride * 8) px")
        } else {
            lines.append("direct: \(calls - firstCall) \(call) of the whole latent")
        }
        lines.append(guidanceLine)
        if promptChunks > 1 { lines.append("the prompt in \(promptChunks) chunks") }
        if let source { lines.append(source.line(calls: calls)) }
        lines.append(hiDiffusionLine)
        lines += tokenReduction?.summaryLines(calls: calls - firstCall) ?? []
        lines += loras.map(\.summary)
        lines.append("\(totalTasks) tasks, \(evaluations) U-Net evaluations")
        return lines + notes
    }

    private var guidanceLine: String {
        func named(_ scale: Float) -> String { scale > 1 ? "guidance \(scale)" : "no guidance" }
        var line = named(guidanceScale)
        if cut != nil, detailGuidanceScale != guidanceScale { line += ", in the detail phase \(named(detailGuidanceScale))" }
        if guidanceRescale > 0 { line += ", rescaled by \(guidanceRescale)" }
        return line + ", clip skip \(clipSkip)"
    }

    private var hiDiffusionLine: String {
        let recipe = hiDiffusionFamily.map { " (\($0.rawValue))" } ?? ""
        return switch (hiDiffusionInStructure, hiDiffusionInDetail) {
        case (false, false): "HiDiffusion off"
        case (true, true): "HiDiffusion on\(recipe)"
        case (true, false): "HiDiffusion on\(recipe) in the structure phase, off in the detail phase"
        case (false, true): "HiDiffusion off in the structure phase, on\(recipe) in the detail phase"
        }
    }

    /// The plan for programs.
    public var json: JSONValue {
        var object = JSONObject()
        object["width"] = .integer(Int64(width))
        object["height"] = .integer(Int64(height))
        object["latent_width"] = .integer(Int64(latentWidth))
        object["latent_height"] = .integer(Int64(latentHeight))
        object["steps"] = .integer(Int64(steps))
        object["calls"] = .integer(Int64(calls))
        if let source {
            object["mode"] = .string(source.mode == .imageToImage ? "img2img" : "inpaint")
            object["strength"] = .number(source.strength)
            object["first_call"] = .integer(Int64(firstCall))
        }
        object["cfg_scale"] = .number(Double(guidanceScale))
        object["detail_cfg_scale"] = .number(Double(detailGuidanceScale))
        object["guidance_rescale"] = .number(Double(guidanceRescale))
        object["clip_skip"] = .integer(Int64(clipSkip))
        object["prompt_chunks"] = .integer(Int64(promptChunks))
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
        object["hidiffusion_family"] = hiDiffusionFamily.map { .string($0.rawValue) }
        object["tasks"] = .integer(Int64(totalTasks))
        object["unet_evaluations"] = .integer(Int64(evaluations))
        object["cut"] = cut.map { .object($0.json) }
        object["token_reduction"] = tokenReduction?.json(calls: calls - firstCall)
        if !loras.isEmpty { object["loras"] = .array(loras.map(\.json)) }
        object["notes"] = .array(notes.map { .string($0) })
        return .object(object)
    }
}

extension RenderPlan.Cut {
    var json: JSONObject {
        var object = JSONObject()
        let values = [
            ("grid_rows", gridRows), ("grid_columns", gridColumns), ("patch_height", patchHeight), ("patch_width", patchWidth),
            ("view_height", viewHeight), ("view_width", viewWidth), ("stride", stride), ("views_per_step", viewsPerStep),
            ("structure_steps", structureSteps),
        ]
        for (key, value) in values { object[key] = .integer(Int64(value)) }
        return object
    }
}

extension SourcePlan {
    /// For people.
    func line(calls: Int) -> String {
        let what: String =
            switch mode {
            case .textToImage: "no picture"
            case .imageToImage: "from a picture"
            case .inpaintKnown: "a part of a picture, what stays is put back after every call"
            case .inpaintNine: "a part of a picture, by a model for inpainting"
            }
        return "\(what): strength \(strength), calls \(firstCall + 1) to \(calls) are made"
    }
}
