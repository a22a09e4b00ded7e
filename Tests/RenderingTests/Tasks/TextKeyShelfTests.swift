import Acceleration
import ContentHash
import DiffusionModels
import Foundation
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// A worker that keeps the text's keys between tasks gives the bits of one that meets each task for the first time.
@Suite struct TextKeyShelfTests {
    private static func context(
        _ runner: TaskRunner, seed: UInt64, tokens: Int = 77, loras: [JobContext.LoRA] = []
    ) -> JobContext {
        var numbers = TestNumbers(seed: seed)
        return JobContext(
            modelIdentity: runner.modelIdentities[0], loras: loras,
            conditioning: JobContext.Conditioning(
                rows: 2, tokens: tokens, width: 128, values: numbers.floats(2 * tokens * 128)))
    }

    /// A group of tasks of one step.
    private static func group(_ context: JobContext, count: Int, guidance: Float, timestep: Float = 500) -> [RenderTask] {
        (0..<count).map { index in
            var numbers = TestNumbers(seed: UInt64(index) + 40)
            let latent = Latent(channels: 4, height: 8, width: 8, values: numbers.floats(4 * 8 * 8))
            return RenderTask(
                phase: .detail, call: 1, index: index, contextHash: context.hash,
                work: DenoiseWork(latent: latent, timestep: timestep, guidance: guidance, switches: .plain))
        }
    }

    private static func outputs(_ runner: TaskRunner, _ group: [RenderTask]) throws -> [[Float]] {
        try runner.run(together: group).map(\.values)
    }

    private static func shelf(_ runner: TaskRunner) -> TextKeyShelf { runner.models.textKeys }

    private static func bytes(_ runner: TaskRunner, rows: Int, tokens: Int = 77) throws -> Int {
        try runner.networks().unet().textKeyBytes(rows: rows, tokens: tokens)
    }

    /// Two jobs take turns, with guidance and without, in groups of 1 to 4 and at several timesteps.
    @Test(arguments: RunnerGroupTests.arithmetics) func twoJobsTakeTurns(_ arithmetic: RunnerGroupTests.Arithmetic) throws {
        // The second one closes each job after each group, so it keeps no keys.
        let (runner, forgetting) = (try arithmetic.runner(), try arithmetic.runner())
        let jobs = [Self.context(runner, seed: 1), Self.context(runner, seed: 2, tokens: 154)]
        for job in jobs { try runner.open(job) }
        #expect(Self.shelf(runner).bytes == 0, "opening a context costs nothing")
        var seen: Set<[Float]> = []
        for round in 0..<2 {
            for (count, guidance) in [(1, Float(5)), (2, 1), (3, 5), (4, 5), (4, 1)] {
                for job in jobs {
                    let group = Self.group(job, count: count, guidance: guidance, timestep: Float(100 + 300 * round))
                    let before = runner.operations
                    let found = try Self.outputs(runner, group)
                    let operations = runner.operations - before
                    try forgetting.open(job)
                    #expect(Self.shelf(forgetting).bytes == 0)
                    let start = forgetting.operations
                    #expect(try Self.outputs(forgetting, group) == found, "\(count) tasks, guidance \(guidance)")
                    #expect(forgetting.operations - start == operations)
                    forgetting.close(job.hash)
                    seen.formUnion(found)
                }
            }
        }
        #expect(seen.count == 2 * 2 * 2 * 4)
        // Each job keeps the keys of both prompts, and of the prompt alone.
        let all = try [77, 154].reduce(0) { try $0 + Self.bytes(runner, rows: 3, tokens: $1) }
        #expect(Self.shelf(runner).bytes == all)
        runner.close(jobs[1].hash)
        #expect(try Self.shelf(runner).bytes == Self.bytes(runner, rows: 3))
        runner.close(jobs[0].hash)
        #expect(Self.shelf(runner).bytes == 0)
    }

    /// One worker with the plain model and two LoRA sets that change the keys themselves.
    @Test func loraSetsTakeTurns() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-keys-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("keys.safetensors").path
        try EmbeddedLoRA.write(path, seed: 1, unetLayers: ["mid_block.attentions.0.transformer_blocks.0.attn2.to_k"])
        let digest = try LoRALibrary(folders: [folder.path]).file(named: "keys").digest
        func runner() throws -> TaskRunner {
            try TaskRunner(
                models: [.embeddedModel], loras: LoRALibrary(folders: [folder.path]), backend: .auto, threads: 1)
        }
        let keeping = try runner()
        let jobs = [nil, Double(1), 0.5].map { scale in
            Self.context(
                keeping, seed: 1,
                loras: scale.map { [JobContext.LoRA(sha256: digest, scale: LoRAScale($0))] } ?? [])
        }
        for job in jobs { try keeping.open(job) }
        var seen: Set<[Float]> = []
        for turn in [0, 1, 2, 1, 0, 0, 2, 1] {
            let group = Self.group(jobs[turn], count: 1, guidance: 5)
            let fresh = try runner()
            try fresh.open(jobs[turn])
            let found = try Self.outputs(keeping, group)
            #expect(try found == Self.outputs(fresh, group), "job \(turn)")
            seen.formUnion(found)
        }
        #expect(seen.count == 3)
    }

    /// With room for one text, the text used last keeps. With room for none, nothing is kept. The bits are the same.
    @Test func theLimitHolds() throws {
        let runner = try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1)
        let unet = try runner.networks().unet()
        let needed = try Self.bytes(runner, rows: 2)
        func text(_ seed: UInt64, tokens: Int = 77) -> UNetText {
            var numbers = TestNumbers(seed: seed)
            return UNetText(Tensor(numbers.floats(2 * tokens * 128), shape: [2, tokens, 128]))
        }
        let shelf = TextKeyShelf(limit: 2 * needed)
        let texts = [text(1), text(2), text(3)]
        for text in texts[..<2] { shelf.use(text, for: unet) }
        shelf.use(texts[0], for: unet)
        #expect(shelf.bytes == 2 * needed)
        // The second was unused for longest.
        shelf.use(texts[2], for: unet)
        #expect(texts.map(\.keptBytes) == [needed, 0, needed] && shelf.bytes == 2 * needed)
        // A text as large as the limit is alone. A larger one keeps nothing, and the others keep their keys.
        let large = text(4, tokens: 154)
        shelf.use(large, for: unet)
        #expect(texts.map(\.keptBytes) == [0, 0, 0] && large.keptBytes == 2 * needed)
        let larger = text(5, tokens: 155)
        shelf.use(larger, for: unet)
        #expect(larger.keptBytes == 0 && large.keptBytes == 2 * needed)
    }

    /// When a network is given back, the keys that texts keep for it go too.
    @Test func decodingFreesTheKeysOfAMappedNetwork() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-keys-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try ModelSource.folder(Fixtures.embeddedModel.path)
        let packed = PackedWeights(PackedWeights.Setting(folder: folder.path, limit: 1 << 30), threads: 1, smallest: 1) {
            Issue.record("the file was not used: \($0)")
        }
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1, packed: packed)
        let job = Self.context(runner, seed: 1)
        try runner.open(job)
        let group = Self.group(job, count: 2, guidance: 5)
        let first = try Self.outputs(runner, group)
        #expect(try Self.shelf(runner).bytes == Self.bytes(runner, rows: 2))
        let latent = try #require(group[0].work as? DenoiseWork).latent
        _ = try runner.run(runner.decodeTask(latent))
        #expect(Self.shelf(runner).bytes == 0)
        #expect(try Self.outputs(runner, group) == first)
        // A network in memory stays, and so do the keys of its texts.
        let inMemory = try TaskRunner(models: [source], backend: .auto, threads: 1)
        try inMemory.open(job)
        #expect(try Self.outputs(inMemory, group) == first)
        _ = try inMemory.run(inMemory.decodeTask(latent))
        #expect(try Self.shelf(inMemory).bytes == Self.bytes(inMemory, rows: 2))
    }

    /// The published architectures, two rows of 77 tokens, as the README says.
    @Test(arguments: [
        (ModelFamily.stableDiffusion1, 1_921_920), (.stableDiffusion2, 1_921_920), (.stableDiffusionXL, 12_812_800),
    ])
    func publishedArchitecturesByHand(_ family: ModelFamily, _ numbers: Int) throws {
        let unet = try UNet(
            WeightScope(AnyShape()).shapesOnly,
            configuration: UNetConfiguration(json: ModelSource.withoutWeights(family).json("unet/config.json")),
            context: .forShapes())
        #expect(unet.textKeyBytes(rows: 2, tokens: 77) == 2 * numbers * 4)
    }
}

/// Has every tensor, and no values.
private struct AnyShape: WeightSource {
    let name = "any shape"
    func contains(_ path: String) -> Bool { false }
    func shape(of path: String) -> [Int]? { nil }
    func tensor(_ path: String, shape: [Int]) -> Tensor { Tensor(uninitialized: shape) }
    func check(_ path: String, shape: [Int]) {}
    func unusedPaths() -> [String] { [] }
}
