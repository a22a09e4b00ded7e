import DiffusionModels
import ImageConditioning
import PatchGeometry
import TensorCore
import Testing

@testable import Rendering

/// A network of nine channels through the machine and the worker's side, for properties that no golden case shows.
@Suite("Models for inpainting") struct InpaintModelTests {
    /// A picture of 80×64 px and a mask that is white from the twenty-fourth column on.
    private static func request(_ strength: Float) throws -> RenderRequest {
        let (width, height) = (80, 64)
        let rgb = (0..<(width * height * 3)).map { (i: Int) in UInt8(truncatingIfNeeded: i * 29 + i / 300) }
        let mask = (0..<(width * height)).map { (i: Int) in UInt8(i % width >= 24 ? 1 : 0) }
        var request = RenderRequest()
        (request.prompt, request.width, request.height, request.steps, request.seed) = ("a door", width, height, 4, 3)
        (request.strength, request.method, request.hiDiffusion) = (strength, .direct, .off)
        request.source = try SourcePicture(width: width, height: height, rgb: rgb, mask: mask)
        return request
    }

    /// The picture is encoded unless the run begins with noise alone. The encoder sees the bytes of the task, with grey where
    /// the mask is.
    @Test(arguments: [(Float(0.5), 2), (1, 1)]) func theMaskedPictureIsEncoded(_ strength: Float, _ count: Int) throws {
        let source = try GoldenModels.source("tiny-sd15-inpaint")
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        var machine = try RenderMachine(request: Self.request(strength), model: try ModelDescription(source: source))
        let prompts = machine.start()
        try runner.open(prompts.context)
        guard case .barrier(let barrier) = try machine.complete(prompts.tasks.map { try runner.run($0) }),
            let work = try #require(barrier.tasks.last).work as? PictureWork
        else { throw RenderError(.malformed, "Pictures are encoded after the prompts.") }
        #expect(barrier.phase == .picture && barrier.tasks.count == count)
        try runner.open(barrier.context)
        let output = try runner.run(barrier.tasks[count - 1])
        let mask = try InpaintMask(#require(work.mask).map { Float($0) }, height: 64, width: 80)
        let planes = mask.maskedImage(PicturePixels.planes(rgb: work.rgb))
        let moments = try runner.networks().encoder().encode(Tensor(planar: planes, n: 1, c: 3, h: 64, w: 80))
        let values = moments.mean.planarArray + moments.logVariance.planarArray
        #expect(output == .moments(Latent(channels: 8, height: 8, width: 10, values: values)))
    }

    /// Through CutDiffusion too, mask and masked picture dealt out and cropped with the canvas.
    @Test func cutShowsEachPatchItsPartOfTheMask() throws {
        let source = try GoldenModels.source("tiny-sd15-inpaint")
        let model = try ModelDescription(source: source)
        var request = try Self.request(1)
        (request.method, request.patch, request.structureFraction) = (.cut, 64, .half)
        let (width, height) = (128, 128)
        let rgb = [UInt8](repeating: 90, count: width * height * 3)
        let mask = (0..<(width * height)).map { (i: Int) in UInt8(i % width >= 64 ? 1 : 0) }
        (request.width, request.height) = (width, height)
        request.source = try SourcePicture(width: width, height: height, rgb: rgb, mask: mask)
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let (barriers, image) = try FormulaNetwork.render(RenderMachine(request: request, model: model)) { barrier, _ in
            try runner.open(barrier.context)
            return try barrier.tasks.map { try runner.run($0) }
        }
        #expect(image.width == 128 && Set(image.rgb).count > 3)
        for barrier in barriers where barrier.phase == .structure || barrier.phase == .detail {
            for task in barrier.tasks {
                let latent = try #require(task.latent)
                #expect(latent.channels == 9)
                let plane = latent.height * latent.width
                let shownMask = latent.values[(4 * plane)..<(5 * plane)]
                #expect(shownMask.allSatisfy { $0 == 0 || $0 == 1 })
                guard barrier.phase == .structure else { continue }
                // Every patch sees the whole canvas coarsely: its right half is made anew.
                #expect(shownMask.enumerated().allSatisfy { $0.element == ($0.offset % latent.width >= 4 ? 1 : 0) })
            }
        }
    }
}
