import Acceleration
import PatchGeometry

/// What the U-Net is given in the calls of one phase of one pass: what settings that may reach nothing are held against.
struct PhaseInput {
    /// The pass's place among all.
    let pass: Int
    /// In latent points.
    let height: Int
    let width: Int
    let usesHiDiffusion: Bool
    /// Counted from the first call that the pass makes, and how many it makes in all its phases.
    let calls: Range<Int>
    let callsOfPass: Int

    /// RAU-Net's stage at each of `calls`.
    func stages(_ family: HiDiffusionFamily, _ settings: HiDiffusionSettings, native: Int) -> [HiDiffusionStage] {
        calls.map { call in
            guard usesHiDiffusion else { return .plain }
            return HiDiffusionStage(
                family: family, height: height, width: width, steps: callsOfPass, step: call, settings: settings,
                native: native)
        }
    }
}

extension ResolvedPass {
    /// Those that the network is called with.
    var phaseInputs: [PhaseInput] {
        func input(_ height: Int, _ width: Int, _ usesHiDiffusion: Bool, _ calls: Range<Int>) -> PhaseInput {
            PhaseInput(
                pass: pass.index, height: height, width: width, usesHiDiffusion: usesHiDiffusion, calls: calls,
                callsOfPass: pass.executedCalls)
        }
        guard let cut else {
            return [input(pass.latentHeight, pass.latentWidth, pass.hiDiffusionInDetail, 0..<pass.executedCalls)]
        }
        let structure = pass.structureCalls
        let all = [
            input(cut.grid.patchHeight, cut.grid.patchWidth, pass.hiDiffusionInStructure, 0..<structure),
            input(cut.views.windowHeight, cut.views.windowWidth, pass.hiDiffusionInDetail, structure..<pass.executedCalls),
        ]
        return all.filter { !$0.calls.isEmpty }
    }
}
