public import PatchGeometry
import Places
import StrictJSON

/// One pass of a render: its canvas, its cut and its schedule.
public struct RenderPass: Sendable, Equatable {
    /// The start of the canvas.
    public enum Start: Sendable, Equatable {
        case noise
        /// The request's source picture.
        case source
        /// The enlarged result of the pass before; noise replaces the share `strength` of it.
        case enlarged(Upscaler, strength: Double)

        /// Whether the result of the pass before is enlarged in pixels: it is decoded, and the enlarged picture encoded.
        var enlargesPixels: Bool {
            if case .enlarged(let upscaler, _) = self { upscaler.kernel == nil } else { false }
        }
    }

    /// The cut of the canvas by CutDiffusion and MultiDiffusion. Sides are in latents.
    public struct Cut: Sendable, Equatable {
        let grid: PatchGrid
        let views: ViewGrid
        /// The call of the whole schedule before which the structure phase ends; the detail phase has the rest. 0 for
        /// MultiDiffusion. A pass that starts late makes fewer calls of the structure phase: `RenderPass.structureCalls`.
        public let structureEnd: Int

        /// Rows and columns of patches in the structure phase.
        public var gridRows: Int { grid.rows }
        public var gridColumns: Int { grid.columns }
        /// Sides of one patch in the structure phase: the native size, or near it if the canvas is no multiple (our extension).
        public var patchHeight: Int { grid.patchHeight }
        public var patchWidth: Int { grid.patchWidth }
        /// Sides of one view in the detail phase, and the distance of neighbours.
        public var viewHeight: Int { views.viewHeight }
        public var viewWidth: Int { views.viewWidth }
        public var stride: Int { views.stride }
        /// The largest movement of a view.
        public var jitter: Int { views.jitterRadius }
        public var viewsPerCall: Int { views.count }
        public var patches: Int { grid.count }
    }

    /// Sides of the canvas, in latents.
    public let latentWidth: Int
    public let latentHeight: Int
    public let start: Start
    /// The cut of the canvas; nil if it is not cut.
    public let cut: Cut?
    /// The guidance of views.
    public let detailGuidanceScale: Float
    /// The way in which overlapping views share a point.
    public let blending: ViewBlending
    /// The calls that the pass makes, in order: at least one, up to the last of the sampler.
    public internal(set) var schedule: [PlannedCall]

    var first: PlannedCall { schedule[0] }
    var last: PlannedCall { schedule[schedule.count - 1] }

    /// Its place among the passes, from 0.
    public var index: Int { first.place.stage }
    /// Calls of the sampler's whole schedule, and the first that this pass makes.
    public var calls: Int { last.call + 1 }
    public var firstCall: Int { first.call }
    /// Steps that the pass makes, of one or two calls each.
    public var executedSteps: Int { schedule.count(where: \.beginsStep) }

    /// Calls that this pass makes in the structure phase: few or none if it starts at little noise.
    public var structureCalls: Int { schedule.count { $0.phase == .structure } }

    /// Whether HiDiffusion is on in the first and in the last phase. Without a structure phase they are the same.
    public var hiDiffusionInStructure: Bool { first.usesHiDiffusion }
    public var hiDiffusionInDetail: Bool { last.usesHiDiffusion }

    var evaluations: Int { schedule.reduce(0) { $0 + $1.evaluations } }

    /// Tasks of each phase, in order, with the tasks that enlarge the result of the pass before.
    ///
    /// - Parameter decodes: tasks that decode the result of the pass before.
    func tasksPerPhase(decodes: Int) -> [(phase: RenderPhase, tasks: Int)] {
        var phases: [(phase: RenderPhase, tasks: Int)] = []
        if start.enlargesPixels { phases = [(.decode, decodes), (.picture, 1)] }
        for call in schedule {
            if phases.last?.phase != call.phase { phases.append((call.phase, 0)) }
            phases[phases.count - 1].tasks += call.inputs
        }
        return phases
    }

    // MARK: For people

    /// - Parameter scale: pixels along the side of a latent's point.
    func lines(_ method: RenderMethod, scale: Int) -> [String] {
        let count = first.place.stageCount
        var head = count == 1 ? "" : "\(first.place.stageTitle)\(latentWidth * scale)×\(latentHeight * scale) px, "
        if case .enlarged(let upscaler, let strength) = start {
            head += "enlarged by \(upscaler.rawValue), denoising strength \(strength), "
        }
        guard let cut else { return [head + "\(count == 1 ? "direct: " : "")\(schedule.count) calls of the whole latent"] }
        let views =
            "\(schedule.count - structureCalls) detail calls of \(cut.viewsPerCall) views of "
            + "\(cut.viewWidth * scale)×\(cut.viewHeight * scale) px, stride \(cut.stride * scale) px, jitter \(cut.jitter * scale) px"
        guard structureCalls > 0 else { return [head + "\(count == 1 ? "\(method.rawValue): " : "")\(views)"] }
        let patches =
            cut.patches == 1
            ? "the whole latent"
            : "\(cut.patches) patches (\(cut.gridColumns)×\(cut.gridRows)) of \(cut.patchWidth * scale)×\(cut.patchHeight * scale) px"
        return [head + "\(count == 1 ? "cut: " : "")\(structureCalls) structure calls of \(patches), then \(views)"]
    }

    /// The phases in which HiDiffusion is on, for people; empty if it is on in all.
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
        object["structure_calls"] = cut == nil ? nil : .integer(Int64(structureCalls))
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
            ("views_per_step", viewsPerCall),
            ("structure_steps", structureEnd),
        ]
        for (key, value) in values { object[key] = .integer(Int64(value)) }
        return object
    }
}
