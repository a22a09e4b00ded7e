import Foundation
import Rendering
import TensorCore
import Testing

@testable import GoldenCases

/// Pictures of the embedded model in both precisions, at the size it was trained for.
@Suite struct PrecisionPictureTests {
    /// Everything the model can draw, each on a background.
    static let prompts = [
        "a dog on a yellow background", "a cat on a blue background", "a fox on a green background",
        "a panda on a pink background", "a penguin on a purple background", "an owl on a white background",
        "a frog on a yellow background", "a butterfly on a blue background", "a tropical fish on a pink background",
        "a lion on a green background", "a turtle on a purple background", "a red apple on a blue background",
        "a strawberry on a white background", "a hamburger on a green background", "a birthday cake on a pink background",
        "a sunflower on a purple background", "a cactus on a yellow background", "a mushroom on a blue background",
        "a rocket on a white background", "a sailboat on a pink background", "a house on a green background",
        "a car on a yellow background", "a robot on a purple background", "a red heart on a white background",
    ]

    /// The pictures of all prompts.
    private static func pictures(_ precision: PrecisionChoice) throws -> [[UInt8]] {
        let bench = ModelBench(try ComputeContext(backend: .onednn, threads: 2, precision: precision))
        let model = try bench.model(at: nil)
        return try prompts.map { prompt in
            var request = RenderRequest()
            (request.prompt, request.width, request.height, request.seed) = (prompt, 128, 128, 3)
            // Enough for whole pictures.
            request.steps = 10
            var picture = try PictureRun(
                request, ModelDescription(source: model.source), RenderRandomness(seed: request.seed), model)
            while picture.image == nil { try picture.merge(picture.outputs()) }
            return try #require(picture.image).pixels.rgb
        }
    }

    /// Another decision, a wrong operation or a lost term would show in some picture.
    @Test func bf16DrawsThePicturesOfF32() throws {
        guard RecordTests.hasBF16 else { return RecordTests.expectRefusal() }
        let (wide, narrow) = (try Self.pictures(.f32), try Self.pictures(.bf16))
        for (prompt, (a, b)) in zip(Self.prompts, zip(wide, narrow)) {
            #expect(Set(a).count > 16, "\(prompt) is nearly one colour")
            let decibels = Comparison.decibels(a.map(Int.init), b.map(Int.init))
            #expect(decibels >= 30 && decibels.isFinite, "\(prompt): \(decibels) dB")
        }
    }
}
