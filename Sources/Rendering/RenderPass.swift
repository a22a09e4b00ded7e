public import PatchGeometry
import StrictJSON

/// One pass of a render: all calls of the network on a canvas of one size, from its first noise to its result.
public struct RenderPass: Sendable, Equatable {
    /// What the canvas begins as.
    public enum Start: Sendable, Equatable {
        case noise
        /// The request's source picture.
        case source
        /// The result of the pass before, enlarged, of which this share is given up.
        case enlarged(Upscaler, strength: Double)
    }

    /// How CutDiffusion and MultiDiffusion cut the latent. Sides in latents.
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
        /// How far a view may be moved.
        public var jitter: Int
        public var viewsPerStep: Int
        /// Calls of the network in the structure phase, which comes first; the rest belong to the detail phase. 0 for
        /// MultiDiffusion.
        public var structureSteps: Int

        public var patches: Int { gridRows * gridColumns }
    }

    /// Its place among the passes, from 0.
    public let index: Int
    /// Sides of the canvas, in latents.
    public let latentWidth: Int
    public let latentHeight: Int
    public let start: Start
    /// Calls of the network of the whole schedule, and the one with which this pass begins.
    public let calls: Int
    public let firstCall: Int
    /// Sampling steps that are made, of one or two calls each.
    public let executedSteps: Int
    /// nil where the canvas is denoised at once.
    public let cut: Cut?
    public let guidanceScale: Float
    /// Of views.
    public let detailGuidanceScale: Float
    /// How overlapping views share a point.
    public let blending: ViewBlending
    /// Whether HiDiffusion changes the U-Net, by the phase's input size. Equal where there is no cut.
    public let hiDiffusionInStructure: Bool
    public let hiDiffusionInDetail: Bool

    /// Calls that are made.
    public var executedCalls: Int { calls - firstCall }

    /// Calls that this pass makes in the structure phase. The phase is that of high noise: a pass that starts from a picture
    /// at little noise has a short one, or none.
    public var structureCalls: Int { cut.map { max(0, $0.structureSteps - firstCall) } ?? 0 }

    /// The guidance scale of a phase.
    func guidance(_ phase: RenderPhase) -> Float { phase == .detail ? detailGuidanceScale : guidanceScale }

    /// U-Net evaluations of single images: each task with guidance makes two.
    var evaluations: Int {
        tasksPerPhase.reduce(0) { sum, part in
            [.denoise, .structure, .detail].contains(part.phase) ? sum + part.tasks * (guidance(part.phase) > 1 ? 2 : 1) : sum
        }
    }

    /// Tasks of each phase, in order, with those that bring the result of the pass before.
    var tasksPerPhase: [(phase: RenderPhase, tasks: Int)] {
        var phases: [(RenderPhase, Int)] = []
        if case .enlarged(let upscaler, _) = start, upscaler.kernel == nil { phases = [(.decode, 1), (.picture, 1)] }
        guard let cut else { return phases + [(.denoise, executedCalls)] }
        let structure = structureCalls
        let denoising: [(RenderPhase, Int)] = [
            (.structure, structure * cut.patches), (.detail, (executedCalls - structure) * cut.viewsPerStep),
        ]
        return phases + denoising.filter { $0.1 > 0 }
    }

    // MARK: For people

    /// - Parameter count: of all passes.
    func lines(of count: Int, _ method: RenderMethod) -> [String] {
        var head = count == 1 ? "" : "stage \(index + 1) of \(count), \(latentWidth * 8)×\(latentHeight * 8) px, "
        if case .enlarged(let upscaler, let strength) = start {
            head += "enlarged by \(upscaler.rawValue), denoising strength \(strength), "
        }
        guard let cut else { return [head + "\(count == 1 ? "direct: " : "")\(executedCalls) calls of the whole latent"] }
        let views =
            "\(executedCalls - structureCalls) detail calls of \(cut.viewsPerStep) views of "
            + "\(cut.viewWidth * 8)×\(cut.viewHeight * 8) px, stride \(cut.stride * 8) px, jitter \(cut.jitter * 8) px"
        guard structureCalls > 0 else { return [head + "\(count == 1 ? "\(method.rawValue): " : "")\(views)"] }
        let patches =
            cut.patches == 1
            ? "the whole latent"
            : "\(cut.patches) patches (\(cut.gridColumns)×\(cut.gridRows)) of \(cut.patchWidth * 8)×\(cut.patchHeight * 8) px"
        return [head + "\(count == 1 ? "cut: " : "")\(structureCalls) structure calls of \(patches), then \(views)"]
    }

    /// Where HiDiffusion is on: nothing where it is on throughout.
    var hiDiffusionPhases: String {
        switch (hiDiffusionInStructure, hiDiffusionInDetail) {
        case (true, true): ""
        case (true, false): "in the structure phase only"
        case (false, true): "in the detail phase only"
        case (false, false): "off in this stage"
        }
    }

    // MARK: For programs

    var json: JSONValue {
        var object = JSONObject()
        object["latent_width"] = .integer(Int64(latentWidth))
        object["latent_height"] = .integer(Int64(latentHeight))
        object["calls"] = .integer(Int64(calls))
        object["first_call"] = .integer(Int64(firstCall))
        switch start {
        case .noise: object["start"] = "noise"
        case .source: object["start"] = "source"
        case .enlarged(let upscaler, let strength):
            object["start"] = "enlarged"
            object["upscaler"] = .string(upscaler.rawValue)
            object["denoising_strength"] = .number(strength)
        }
        object["detail_cfg_scale"] = cut == nil ? nil : .number(Double(detailGuidanceScale))
        object["blend"] = cut == nil ? nil : .string(blending.rawValue)
        object["cut"] = cut.map { .object($0.json) }
        object["hidiffusion_structure"] = .bool(hiDiffusionInStructure)
        object["hidiffusion_detail"] = .bool(hiDiffusionInDetail)
        return .object(object)
    }
}

extension RenderPass.Cut {
    var json: JSONObject {
        var object = JSONObject()
        let values = [
            ("grid_rows", gridRows), ("grid_columns", gridColumns), ("patch_height", patchHeight), ("patch_width", patchWidth),
            ("view_height", viewHeight), ("view_width", viewWidth), ("stride", stride), ("jitter", jitter),
            ("views_per_step", viewsPerStep),
            ("structure_steps", structureSteps),
        ]
        for (key, value) in values { object[key] = .integer(Int64(value)) }
        return object
    }
}
