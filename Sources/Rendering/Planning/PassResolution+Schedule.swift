import Acceleration
import Places
import Samplers

// The calls of a pass.

extension PassResolution {
    /// The network's inputs in one phase.
    private struct Input {
        var size: Size
        var count: Int
        var guidanceScale: Float
        var usesHiDiffusion: Bool
    }

    /// - Parameters:
    ///   - pass: without its schedule.
    ///   - range: the sampler's calls that the pass makes.
    ///   - earlier: the passes before.
    ///   - passCount: of all passes.
    func schedule(
        of pass: RenderPass, _ range: Range<Int>, _ sampler: Sampler, after earlier: [RenderPass], of passCount: Int
    ) -> [PlannedCall] {
        let (cut, size) = (pass.cut, (height: pass.latentHeight, width: pass.latentWidth))
        let first = input(
            cut.map { ($0.patchHeight, $0.patchWidth) } ?? size, cut?.patches ?? 1, resolution.guidance)
        let views = input(
            cut.map { ($0.viewHeight, $0.viewWidth) } ?? size, cut?.viewsPerCall ?? 1, pass.detailGuidanceScale)
        let boundary = cut.map { min(max($0.structureEnd, range.lowerBound), range.upperBound) } ?? range.upperBound
        // No two passes draw the same.
        let callsBefore = earlier.reduce(0) { $0 + $1.schedule.count }
        let drawsBefore = earlier.reduce(0) { $0 + $1.calls }
        let sizes = resolution.sizes(of: size)
        return range.map { call in
            let isDetail = call >= boundary
            let input = isDetail ? views : first
            let own = isDetail ? boundary..<range.upperBound : range.lowerBound..<boundary
            let position = call - range.lowerBound
            return PlannedCall(
                place: Place(
                    stage: earlier.count, stageCount: passCount,
                    phase: cut == nil ? .denoise : isDetail ? .detail : .structure,
                    step: call - own.lowerBound, stepCount: own.count),
                call: call, beginsStep: sampler.isStepStart(call: call), position: position, count: range.count,
                number: callsBefore + position, draw: drawsBefore + call, height: input.size.height, width: input.size.width,
                inputs: input.count, guidanceScale: input.guidanceScale, usesHiDiffusion: input.usesHiDiffusion,
                windowBlocks: input.usesHiDiffusion && request.hiDiffusionSettings.windows
                    ? resolution.model.hiDiffusionLayout?.windowBlockCount : nil,
                rauNet: input.usesHiDiffusion
                    ? resolution.rauNet(of: input.size, position, of: range.count, request.hiDiffusionSettings) : .plain,
                sizes: sizes)
        }
    }

    /// The size of the input decides whether HiDiffusion is on.
    private func input(_ size: Size, _ count: Int, _ guidance: Float) -> Input {
        let isPlain = method == .hires && request.hiDiffusion != .on
        let isOn =
            !isPlain && request.hiDiffusion != .off && resolution.hiDiffusionProfile != nil
            && HiDiffusionGuard.allows(height: size.height, width: size.width, native: resolution.native)
        return Input(size: size, count: count, guidanceScale: guidance, usesHiDiffusion: isOn)
    }
}
