import PatchGeometry
import Synchronization
import TestSupport
import Testing

@testable import Rendering

/// Views that come one by one, and latents that are made late.
@Suite struct ViewMergingTests {
    private func predictions(_ views: [CanvasView]) -> [[Float]] {
        var numbers = TestNumbers(seed: 4)
        return views.map { numbers.floats(3 * $0.height * $0.width) }
    }

    @Test(arguments: [ViewBlending.uniform, .feather])
    func theOrderDoesNotShow(_ blending: ViewBlending) throws {
        let grid = try ViewGrid(height: 20, width: 26, view: 8, stride: 4)
        let views = grid.jitteredViews(seed: 5, call: 0)
        let predictions = predictions(views)
        let expected = grid.average(predictions, channels: 3, views: views, blending: blending)
        var generator = TestNumbers(seed: 9)
        for order in [Array(views.indices), views.indices.reversed(), views.indices.shuffled(using: &generator)] {
            var merging = ViewMerging(views, of: grid, channels: 3, blending: blending)
            for index in order {
                #expect(merging.finish() == nil)
                merging.take(predictions[index], of: index)
                // The first one counts.
                merging.take(predictions[index].map { $0 + 1 }, of: index)
            }
            #expect(merging.finish() == expected)
            // The machine ends the sums before it knows whether the step succeeds.
            #expect(merging.finish() == expected)
            var restarted = merging.restarted
            #expect(restarted.finish() == nil)
        }
    }

    @Test func aLatentIsMadeWhenItIsNeeded() {
        let made = Counter()
        let late = Latent(channels: 1, height: 2, width: 2) {
            made.count.withLock { $0 += 1 }
            return [1, 2, 3, 4]
        }
        #expect(made.count.withLock { $0 } == 0)
        #expect(late == Latent(channels: 1, height: 2, width: 2, values: [1, 2, 3, 4]))
        #expect(late != Latent(channels: 1, height: 2, width: 2, values: [1, 2, 3, 5]))
        #expect(late != Latent(channels: 1, height: 4, width: 1, values: [1, 2, 3, 4]))
        #expect(made.count.withLock { $0 } == 2)
    }

    private final class Counter: Sendable { let count = Mutex(0) }

    /// Outputs one by one give the picture that they give together, and an error changes nothing.
    @Test func oneByOneIsTheSameAsTogether() throws {
        let render = try LocalRender()
        var request = RenderRequest()
        (request.width, request.height, request.steps, request.method) = (256, 192, 2, .multidiffusion)
        let machine = try RenderMachine(request: request, model: render.model)
        let expected = try render.image(machine)
        var alone = machine
        var current = alone.start()
        var taken = 0
        while true {
            let context = current.context.encoded()
            try render.runner.open(JobContext(metadata: context.metadata, payload: context.payload))
            let outputs = try current.tasks.map { try render.runner.run($0) }
            if current.takesEach {
                taken += 1
                #expect(throws: RenderError.self) { try alone.complete([]) }
                #expect(throws: RenderError.self) {
                    try alone.take(.pixels(width: 8, height: 8, rgb: [UInt8](repeating: 0, count: 192)), of: 0)
                }
                #expect(throws: RenderError.self) { try alone.take(outputs[0], of: outputs.count) }
                for index in outputs.indices.reversed() { try alone.take(outputs[index], of: index) }
            } else {
                #expect(throws: RenderError.self) { try alone.take(outputs[0], of: 0) }
            }
            switch try alone.complete(current.takesEach ? [] : outputs) {
            case .barrier(let next): current = next
            case .finished(let image):
                #expect(image == expected)
                // Each step's views, and the pixels.
                #expect(taken == 3)
                return
            }
        }
    }
}
