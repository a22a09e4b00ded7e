import ImageConditioning
import PatchGeometry
import Places
import RandomStreams
import Rendering
import Samplers
import Sentences
import StrictJSON
import TestSupport
import Testing
import Weights

/// Renders that start from a picture, against the plain loop.
@Suite("The machine with a source picture")
struct SourceMachineTests {
    static let model = try? ModelDescription(source: .embeddedModel)

    static func picture(_ width: Int, _ height: Int, masked: Bool) throws -> SourcePicture {
        let rgb = (0..<(width * height * 3)).map { (i: Int) in UInt8(truncatingIfNeeded: i * 37 + i / 700) }
        let mask = (0..<(width * height)).map { UInt8(($0 % width) * 3 > width ? 1 : 0) }
        return try SourcePicture(width: width, height: height, rgb: rgb, mask: masked ? mask : nil)
    }

    static func request(
        _ width: Int, _ height: Int, masked: Bool, strength: Float, _ change: (inout RenderRequest) -> Void = { _ in }
    ) throws -> RenderRequest {
        var request = RenderRequest.square(width, steps: 8)
        (request.height, request.seed, request.strength) = (height, 11, strength)
        request.source = try picture(width, height, masked: masked)
        change(&request)
        return request
    }

    static func machine(_ request: RenderRequest) throws -> RenderMachine {
        try RenderMachine(request: request, model: try #require(model))
    }

    static func sampler(_ request: RenderRequest) throws -> Sampler {
        let json = try ModelSource.embeddedModel.json("scheduler/scheduler_config.json")
        return try Sampler(
            SchedulerConfiguration(json: json), method: request.samplingMethod, steps: try #require(request.steps),
            eta: request.eta.map { Double($0) })
    }

    /// The picture's latent as the machine must take it: mean and noise of the stand-in, at the model's scale.
    static func latent(_ barrier: Barrier, _ noise: [Float]) throws -> [Float] {
        let moments = try FormulaNetwork.moments(try #require(barrier.tasks.first))
        let means = moments.values.prefix(moments.values.count / 2)
        let deviation = LatentDistribution(mean: [0], logVariance: [-4]).sample(noise: [1])[0]
        let factor = try #require(ModelSource.embeddedModel.json("vae/config.json")["scaling_factor"]?.doubleValue)
        return zip(means, noise).map { ($0 + deviation * $1) * Float(factor) }
    }

    /// 1 for each latent point that is made anew, else 0.
    static func latentMask(_ request: RenderRequest) throws -> [Float] {
        let mask = try #require(request.source?.mask)
        return stride(from: 0, to: request.height, by: 8).flatMap { y in
            stride(from: 0, to: request.width, by: 8).map { x in Float(mask[y * request.width + x]) }
        }
    }

    @Test("image-to-image at native size", arguments: [Float(0.5), 1])
    func direct(_ strength: Float) throws {
        let request = try Self.request(96, 64, masked: false, strength: strength)
        let (barriers, _) = try FormulaNetwork.render(try Self.machine(request))
        let sampler = try Self.sampler(request)
        let first = strength == 1 ? 0 : 4
        #expect(
            barriers.map(\.phase)
                == [.encode, .picture] + [RenderPhase](repeating: .denoise, count: sampler.calls - first) + [.decode])
        var plain = PlainRender(sampler: sampler, seed: request.seed)
        let image = try Self.latent(barriers[1], plain.noise(4 * 8 * 12))
        let latent = try plain.pass(height: 8, width: 12, from: image, first: first)
        #expect(barriers.dropFirst(2).map { $0.latents.map { $0?.values } } == plain.shown + [[latent]])
    }

    @Test(
        "inpainting leaves what is black in the mask as it was", arguments: [(128, 96), (256, 256), (200, 328)],
        [Float(0.6), 1])
    func known(_ size: (Int, Int), _ strength: Float) throws {
        let request = try Self.request(size.0, size.1, masked: true, strength: strength) { $0.method = .auto }
        let (barriers, _) = try FormulaNetwork.render(try Self.machine(request))
        let final = try #require(barriers.last?.decoded)
        var generator = TorchCPUGenerator(seed: request.seed)
        let image = try Self.latent(barriers[1], generator.normals(count: final.values.count))
        let mask = try Self.latentMask(request)
        let kept = final.values.indices.filter { mask[$0 % mask.count] == 0 }
        #expect(!kept.isEmpty && kept.allSatisfy { final.values[$0] == image[$0] })
        let changed = final.values.indices.filter { mask[$0 % mask.count] == 1 }
        #expect(!changed.isEmpty && changed.allSatisfy { final.values[$0] != image[$0] })
    }

    /// The structure phase is that of high noise: a run with a small strength starts behind it.
    @Test("the phases of CutDiffusion with a source", arguments: [(Float(1), 3, 5), (0.75, 1, 5), (0.5, 0, 4)])
    func phases(_ strength: Float, _ structure: Int, _ detail: Int) throws {
        let request = try Self.request(256, 256, masked: false, strength: strength) {
            $0.structureFraction = StructureFraction("0.375")
        }
        let machine = try Self.machine(request)
        let (barriers, _) = try FormulaNetwork.render(machine)
        #expect(barriers.count { $0.phase == .structure } == structure)
        #expect(barriers.count { $0.phase == .detail } == detail)
        #expect(machine.plan.totalTasks == barriers.reduce(0) { $0 + $1.tasks.count })
        for barrier in barriers where barrier.phase == .structure || barrier.phase == .detail {
            #expect((0..<barrier.place.stepCount).contains(barrier.place.step))
            #expect(barrier.place.stepCount == (barrier.phase == .structure ? structure : detail))
        }
    }

    /// Every patch of the structure phase starts from the points of the picture that it stands for.
    @Test("the source follows the dilated grid")
    func dilated() throws {
        let request = try Self.request(256, 256, masked: false, strength: 1)
        let (barriers, _) = try FormulaNetwork.render(try Self.machine(request))
        let sampler = try Self.sampler(request)
        let grid = try PatchGrid(height: 32, width: 32, patch: 16)
        var generator = TorchCPUGenerator(seed: request.seed)
        let image = try Self.latent(barriers[1], generator.normals(count: 4 * 32 * 32))
        let patches = grid.deal(image, channels: 4).map { patch in
            sampler.addNoise(to: patch, noise: generator.normals(count: patch.count), call: 0)
        }
        let interaction = PixelInteraction(
            patchCount: grid.count, positionCount: patches[0].count, seed: request.seed, call: 0)
        let shown = interaction.shuffle(patches).map { sampler.scaleInput($0, call: 0) }
        #expect(try barriers[2].tasks.map { try FormulaNetwork.latent($0).values } == shown)
    }

    @Test("a request with a picture travels whole")
    func wire() throws {
        for masked in [false, true] {
            let request = try Self.request(64, 72, masked: masked, strength: 0.3)
            let (metadata, payload) = request.encoded()
            #expect(payload.count == 64 * 72 * (masked ? 4 : 3))
            #expect(try RenderRequest(metadata: metadata, payload: payload) == request)
            var other = payload
            other[0] ^= 1
            #expect(renderError { _ = try RenderRequest(metadata: metadata, payload: other) }?.code == .invalidRequest)
            #expect(renderError { _ = try RenderRequest(metadata: metadata, payload: []) }?.code == .invalidRequest)
            #expect(
                renderError { _ = try RenderRequest(metadata: metadata, payload: payload + [0]) }?.code == .invalidRequest)
        }
    }

    @Test("what cannot be done with a picture is refused")
    func refusals() throws {
        var request = try Self.request(64, 64, masked: false, strength: 0.5)
        request.width = 128
        #expect(renderError { try request.validated() }?.code == .invalidRequest)
        request = try Self.request(64, 64, masked: false, strength: 0.5)
        for strength: Float in [0, -0.5, 1.5, .nan] {
            request.strength = strength
            #expect(renderError { try request.validated() }?.code == .invalidRequest)
        }
        request = .square(64) { $0.strength = 0.5 }
        #expect(renderError { try request.validated() }?.message.contains("(-i)") == true)
        // One of eight steps is the least.
        request = try Self.request(64, 64, masked: false, strength: 0.1)
        let little = renderError { _ = try Self.machine(request) }
        #expect(little?.faults.map(\.setting) == [.steps, .strength], "\(little as Any)")
        #expect(little?.message.contains("0.1") == true, "\(little as Any)")
        // The white line is so thin that no latent point is white.
        var line = [UInt8](repeating: 0, count: 64 * 64)
        line[33 * 64 + 33] = 1
        request = try Self.request(64, 64, masked: false, strength: 1)
        request.source = try SourcePicture(width: 64, height: 64, rgb: request.source?.rgb ?? [], mask: line)
        #expect(renderError { _ = try Self.machine(request) }?.message.contains("mark a larger part") == true)
        let black = [UInt8](repeating: 0, count: 64 * 64)
        let error = renderError {
            _ = try SourcePicture(width: 64, height: 64, rgb: [UInt8](repeating: 0, count: 64 * 64 * 3), mask: black)
        }
        #expect(error?.message.contains("marks no pixel") == true)
    }

    /// The object that names the pixels is read strictly, and the sentence says what is wrong.
    @Test(
        arguments: [
            ("width", nil, "no width, which must be a whole number"), ("width", 0, "width 0, which is not a whole number"),
            ("height", 1.5, "height 1.5, which is not"), ("masked", 1, "masked 1, which is not true or false"),
            ("masked", nil, "no masked, which must be true or false"), ("sha256", "AB", #"sha256 "AB", which is not 64"#),
            ("depth", 3, #"no setting "depth""#),
        ] as [(String, JSONValue?, String)])
    func theSourceIsReadStrictly(_ key: String, _ value: JSONValue?, _ words: String) throws {
        let (metadata, payload) = try Self.request(96, 64, masked: true, strength: 1).encoded()
        _ = try RenderRequest(metadata: metadata, payload: payload)
        var object = try #require(metadata.objectValue)
        var source = try #require(object["source"]?.objectValue)
        source[key] = value
        object["source"] = .object(source)
        let error = renderError { _ = try RenderRequest(metadata: .object(object), payload: payload) }
        #expect(error?.code == .invalidRequest && error?.message.contains(words) == true, "\(error as Any)")
    }
}
