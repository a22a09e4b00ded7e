import PatchGeometry
import Testing
import Weights

@testable import Rendering

/// The places of patches and views that SDXL is told, for a picture of 1024×2048 px (vector G9 of the specification).
@Suite struct ViewCornerTests {
    @Test func cornersAreThoseOfThePaddedCanvas() throws {
        let model = try ModelDescription(source: .withoutWeights(.stableDiffusionXL))
        let asked = request {
            ($0.width, $0.height, $0.stride, $0.steps, $0.seed) = (1024, 2048, 512, 2, 6)
            ($0.method, $0.hiDiffusion, $0.structureFraction) = (.cut, .off, .half)
        }
        var corners: [RenderPhase: [[Float]]] = [:]
        for barrier in try FormulaNetwork.render(RenderMachine(request: asked, model: model)).barriers {
            corners[barrier.phase] = barrier.tasks.compactMap { $0.denoiseWork?.timeIDs }
        }
        // A patch of the structure phase stands for the whole picture.
        #expect(corners[.structure] == [[Float]](repeating: [2048, 1024, 0, 0, 2048, 1024], count: 2))
        let views = try ViewGrid(height: 256, width: 128, view: 128, stride: 64)
        let moved = views.jitteredViews(seed: 6, call: 1)
        #expect(corners[.detail] == moved.map { [2048, 1024, Float($0.top * 8), Float($0.left * 8), 2048, 1024] })
        // The jitter of 16 latents shifts every corner by 128 px, and a view in the middle by as much to either side.
        let ids = try #require(corners[.detail])
        #expect(ids.map { $0[3] } == [128, 128, 128])
        for (id, range) in zip(ids, [Float(0)...128, 512...768, 1152...1280]) { #expect(range.contains(id[2]), "\(id)") }
    }
}
