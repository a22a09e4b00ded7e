import Acceleration
import ImageConditioning
import PatchGeometry
import Samplers
import Sentences
import StrictJSON

/// Makes a request's passes: size, cut and schedule of each.
struct PassResolution {
    let resolution: PlanResolution
    /// The resolved method, never `auto`.
    let method: RenderMethod
    /// The sampler of the first pass.
    let sampler: Sampler
    let source: SourceUse?

    var request: RenderRequest { resolution.request }
    private var model: ModelDescription { resolution.model }
    private var scale: Int { model.scaleFactor }
    private var native: Int { resolution.native }

    /// The passes in order, and the sampler of each.
    func passes() throws(RenderError) -> (passes: [RenderPass], samplers: [Sampler]) {
        let sizes = try stageSizes()
        let later = try laterSampler(stages: sizes.count)
        let samplers = sizes.indices.map { $0 == 0 ? sampler : later }
        var passes: [RenderPass] = []
        for (size, sampler) in zip(sizes, samplers) {
            passes.append(try pass(size, sampler, after: passes, of: sizes.count))
        }
        try checkStructureIsUsed(passes)
        return (passes, samplers)
    }

    /// Refuses settings of a structure phase that no pass has.
    private func checkStructureIsUsed(_ passes: [RenderPass]) throws(RenderError) {
        // With a source picture the fraction belongs to the whole schedule, and the strength keeps only its end.
        guard request.structure != nil || request.structureFraction != nil && source == nil,
            passes.allSatisfy({ $0.structureCalls == 0 })
        else { return }
        throw .invalidRequest(
            "At this strength no step has enough noise for the structure phase: raise the strength, or leave structure and "
                + "structure fraction out.", aboutAll: request.set(among: [.structure, .structureFraction]))
    }

    /// Sides of a canvas in latents.
    typealias Size = (height: Int, width: Int)

    // MARK: Stages

    /// Side of a square with the picture's area, in native sides.
    private var enlargement: Double {
        (Double(resolution.latentWidth * resolution.latentHeight)).squareRoot() / Double(native)
    }

    /// The canvases, the picture's own last.
    private func stageSizes() throws(RenderError) -> [Size] {
        let factors = try stageFactors()
        let full = (height: resolution.latentHeight, width: resolution.latentWidth)
        return factors.map { factor in
            func side(_ length: Int) -> Int { max(1, Int((Double(length) * factor / enlargement).rounded())) }
            return (side(full.height), side(full.width))
        } + [full]
    }

    /// The least side of a canvas, in latents: the networks halve a side three times.
    private static let leastSide = 8

    private func stageFactors() throws(RenderError) -> [Double] {
        switch method {
        case .auto, .direct, .multidiffusion: return []
        case .hires:
            guard source == nil else { throw noSource("The method hires") }
            let factors = request.stages ?? [1]
            guard !factors.isEmpty else {
                throw .invalidRequest(
                    "The method hires needs a smaller stage: give one by \(.stages), or choose the method direct.",
                    about: .stages)
            }
            try check(factors)
            return factors
        case .cut:
            let factors = request.stages ?? (choosesStages ? chosenStages : [])
            guard source == nil || factors.isEmpty else { throw noSource("A picture in stages") }
            try check(factors)
            if factors.isEmpty, request.refinement != RefinementSettings() {
                throw .invalidRequest(
                    "Upscaler, denoising strength and hires steps need more than one stage: "
                        + (source == nil
                            ? "give a stage, such as \(.stages) 1" : "leave them out; a picture to start from has \(.strength)")
                        + ".", aboutAll: request.set(among: [.denoisingStrength, .hiresUpscaler, .hiresSteps, .hiresTiled]))
            }
            return factors
        }
    }

    /// `auto` uses stages. A request for the method cut or for a structure phase gets CutDiffusion as published.
    private var choosesStages: Bool {
        request.method == .auto && model.recommended.isStaged && source == nil && request.structureFraction == nil
            && request.structure == nil
    }

    private var chosenStages: [Double] {
        RefinementSettings.doublings(towards: enlargement).filter { shorterSide(of: $0) >= Double(Self.leastSide) }
    }

    /// The shorter side, in latent points, of a stage of `factor` times the native size.
    private func shorterSide(of factor: Double) -> Double {
        Double(min(resolution.latentHeight, resolution.latentWidth)) * factor / enlargement
    }

    /// Each stage must be larger than the one before by at least a sixteenth, and large enough for the networks.
    private func check(_ factors: [Double]) throws(RenderError) {
        if let first = factors.first, shorterSide(of: first) < Double(Self.leastSide) {
            throw .invalidRequest(
                "A stage of \(first) times the native size would be narrower than \(Self.leastSide * scale) px: choose larger "
                    + "stages, or none.", about: .stages)
        }
        guard zip(factors, factors.dropFirst() + [enlargement]).contains(where: { $0 * 1.0625 > $1 }) else { return }
        let last = factors.last ?? 1
        throw .invalidRequest(
            "Each stage must be clearly larger than the one before, up to the picture of \(request.width)×\(request.height) "
                + "px, which has \((enlargement * 100).rounded() / 100) times the native size of \(model.nativeSize) px; these "
                + "end at \(last) times: choose rising stages, the last clearly smaller than the picture, or another method.",
            about: .stages)
    }

    private func noSource(_ what: String) -> RenderError {
        .invalidRequest(
            "\(what) cannot start from a picture: "
                + (model.isInpainting ? "" : "leave out the picture to start from (\(.initImg)), or ")
                + "choose the method direct, or cut without stages.", about: .initImg)
    }

    private func laterSampler(stages: Int) throws(RenderError) -> Sampler {
        guard stages > 1 else { return sampler }
        if let steps = request.refinement.steps { return try resolution.sampler(steps: steps, of: .hiresSteps) }
        // With so few steps the strength would leave none. So this takes the number of steps of which one is left.
        guard request.refinement.strength == nil, Int(Double(sampler.steps) * strength) == 0 else { return sampler }
        return try resolution.sampler(steps: Int((1 / strength).rounded(.up)))
    }

    // MARK: One pass

    private func pass(
        _ size: Size, _ sampler: Sampler, after earlier: [RenderPass], of count: Int
    ) throws(RenderError) -> RenderPass {
        let isLater = !earlier.isEmpty
        let start =
            isLater ? RenderPass.Start.enlarged(upscaler(to: size), strength: strength) : source == nil ? .noise : .source
        let first = try firstCall(sampler, isLater: isLater)
        let jitter = request.jitter ?? (isLater ? model.recommended.refiningJitter : nil)
        let isLast = earlier.count == count - 1
        let cut = isCut(size, isLast: isLast) ? try cut(size, sampler, jitter: jitter) : nil
        var pass = RenderPass(
            latentWidth: size.width, latentHeight: size.height, start: start, cut: cut,
            detailGuidanceScale: request.detailGuidanceScale ?? (isLater ? model.recommended.refiningGuidance : nil)
                ?? resolution.guidance,
            blending: request.blending ?? (isLater ? model.recommended.refiningBlending : .uniform), schedule: [])
        pass.schedule = schedule(of: pass, first..<sampler.calls, sampler, after: earlier, of: count)
        return pass
    }

    /// A stage before the last is not cut if it is about as large as a patch.
    private func isCut(_ size: Size, isLast: Bool) -> Bool {
        let patch = request.patch.map { $0 / scale } ?? native
        let isSmall = !isLast && RefinementSettings.isNearNative(area: size.height * size.width, native: patch)
        return switch method {
        case .auto, .direct: false
        case .hires: request.refinement.tiled == true && !isSmall
        case .cut: !isSmall
        case .multidiffusion: true
        }
    }

    /// A picture that is too large for the encoder is enlarged as a latent, unless the user chose otherwise.
    private func upscaler(to size: Size) -> Upscaler {
        if let chosen = request.refinement.upscaler { return chosen }
        let usual = model.recommended.upscaler
        return usual.kernel == nil && !TaskLimits.canEncode(size.height * size.width * scale * scale) ? .latentBicubic : usual
    }

    /// The decimal number as written: 0.7 of 10 steps are 7.
    private var strength: Double {
        Double((request.refinement.strength ?? RecommendedSettings.denoisingStrength(method)).description) ?? 1
    }

    /// The first call that a pass makes; 0 if it starts from noise.
    private func firstCall(_ sampler: Sampler, isLater: Bool) throws(RenderError) -> Int {
        do {
            if isLater { return try ImageMode.imageToImage.firstCall(sampler, strength: strength) }
            guard let source else { return 0 }
            return try source.mode.firstCall(sampler, strength: source.strength)
        } catch {
            throw .invalidRequest(
                Sentence(error.message),
                about: isLater && request.refinement.steps != nil ? .hiresSteps : .steps,
                isLater ? .denoisingStrength : .strength)
        }
    }

    // MARK: Cutting

    private func cut(_ size: Size, _ sampler: Sampler, jitter: Int?) throws(RenderError) -> RenderPass.Cut {
        let patch = (request.patch ?? native * scale) / scale
        let stride = request.stride.map { $0 / scale } ?? max(1, patch / 2)
        guard patch <= max(size.width, size.height) else {
            throw .invalidRequest(
                "A patch of \(patch * scale) px is larger than the picture of \(size.width * scale)×\(size.height * scale): "
                    + "choose a smaller patch, a larger picture or the method direct.",
                fault(.patch, patch * scale, 64...max(size.width, size.height) * scale))
        }
        guard stride <= patch else {
            throw RenderRequest.strideLeavesGaps(stride * scale, patch: patch * scale)
        }
        if let jitter, jitter / scale > (patch - stride) / 2 {
            throw .invalidRequest(
                "A jitter of \(jitter) px would leave gaps between patches of \(patch * scale) px at a stride of "
                    + "\(stride * scale): choose at most \((patch - stride) / 2 * scale).",
                fault(.jitter, jitter, 0...(patch - stride) / 2 * scale))
        }
        let cut: RenderPass.Cut
        let structureCalls = try structureCalls(sampler)
        do throws(GeometryError) {
            let side = request.structure == .whole ? max(size.height, size.width) : patch
            let grid = try PatchGrid(height: size.height, width: size.width, patch: side)
            let views = try ViewGrid(
                height: size.height, width: size.width, view: patch, stride: stride, jitter: jitter.map { $0 / scale })
            cut = RenderPass.Cut(grid: grid, views: views, structureEnd: structureCalls)
        } catch {
            throw .invalidRequest(Sentence(error.message), about: .patch, .stride)
        }
        try checkCounts(cut.grid, cut.views)
        return cut
    }

    /// The fault of a length in pixels, whose possible ones are in a range.
    private func fault(_ setting: Setting, _ pixels: Int, _ range: ClosedRange<Int>) -> SettingFault {
        let possible = PossibleValues.numbers(Double(range.lowerBound)...Double(range.upperBound), multiple: scale)
        return SettingFault(setting, value: .integer(Int64(pixels)), possible: possible)
    }

    private func structureCalls(_ sampler: Sampler) throws(RenderError) -> Int {
        guard method == .cut else { return 0 }
        let fraction = request.structureFraction ?? model.recommended.structureFraction
        do throws(GeometryError) {
            return try fraction.structureCalls(of: sampler.calls, mayRelocate: sampler.isStepStart(call:))
        } catch {
            throw .invalidRequest(Sentence(error.message), about: .steps, .structureFraction)
        }
    }

    /// The most patches or views of one step.
    private static let patchLimit = 1 << 17

    private func checkCounts(_ grid: PatchGrid, _ views: ViewGrid) throws(RenderError) {
        let count = max(grid.count, views.count)
        guard count <= Self.patchLimit else {
            throw .invalidRequest(
                "The picture would be cut into \(count) patches: choose a larger patch or stride for at most "
                    + "\(Self.patchLimit).", about: .patch, .stride)
        }
    }
}
