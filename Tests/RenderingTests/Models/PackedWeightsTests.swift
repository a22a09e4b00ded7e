import ContentHash
import DiffusionModels
import Foundation
import Synchronization
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Renders with weights in a file that workers share: the same pictures as without it.
@Suite struct PackedWeightsRenderTests {
    static let contexts = BackendChoice.arithmetics
    private static let model = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15").path

    private static let small = request {
        $0.prompt = "a red apple"
        ($0.width, $0.height) = (64, 64)
        $0.steps = 2
    }

    /// - Parameter resting: whether the worker rests after each barrier.
    private func image(
        _ source: ModelSource, _ runner: TaskRunner, _ loras: LoRALibrary = .empty, _ request: RenderRequest = small,
        resting: Bool = false
    ) throws -> SHA256Digest {
        var render = try OngoingRender(
            RenderMachine(request: request, model: ModelDescription(source: source), loras: loras))
        while render.image == nil {
            try render.advance(runner)
            if resting { runner.rest() }
        }
        return SHA256Digest(of: try render.finished.rgb)
    }

    private func withPacked(_ body: (_ folder: String, _ packed: () -> PackedWeights) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-packed-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let setting = PackedWeights.Setting(folder: folder.path, limit: 1 << 30)
        try body(folder.path) {
            PackedWeights(setting, threads: 1, smallest: 1) { Issue.record("the file was not used: \($0)") }
        }
    }

    private func files(_ folder: String) -> Int {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).count
    }

    @Test(arguments: contexts) func picturesAreTheSame(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        let source = try ModelSource.folder(Self.model)
        func runner(_ packed: PackedWeights?, threads: Int) throws -> TaskRunner {
            try TaskRunner(models: [source], backend: backend, threads: threads, precision: precision, packed: packed)
        }
        let plain = try image(source, runner(nil, threads: 1))
        try withPacked { folder, packed throws in
            for threads in [1, 3] {
                #expect(try image(source, runner(packed(), threads: threads)) == plain, "\(threads) threads")
            }
            #expect(try image(source, runner(packed(), threads: 2), resting: true) == plain, "with rests")
            // U-Net, decoder and text encoder; nothing needed the encoder.
            #expect(files(folder) == 3)
        }
    }

    /// Text encoders, U-Net and autoencoder are mapped while tasks of their kind run.
    @Test func oneNetworkIsMappedAtATime() throws {
        let source = try ModelSource.folder(Self.model)
        try withPacked { _, packed throws in
            let runner = try TaskRunner(models: [source], backend: .auto, threads: 1, packed: packed())
            let networks = try runner.networks()
            _ = try networks.textEncoder(0)
            #expect(networks.mappedCount == 1)
            let unet = try networks.unet()
            #expect(networks.mappedCount == 1)
            #expect(try networks.unet() === unet)
            _ = try networks.decoder()
            #expect(networks.mappedCount == 1 && !networks.hasBuiltUNet)
            _ = try networks.encoder()
            #expect(networks.mappedCount == 1)
            weak let unmapped = try networks.unet()
            #expect(unmapped != nil)
            runner.rest()
            #expect(networks.mappedCount == 0 && unmapped == nil)
            #expect(runner.idleActivationBytes == 0)
            // A worker that hears of a latent to decode keeps no U-Net for it, even if it gets no tile, unless another job of
            // the model is in its steps.
            _ = try networks.unet()
            let channels = networks.parts.vae.latentChannels
            let latent = Latent(channels: channels, height: 8, width: 8, values: [Float](repeating: 0, count: 64 * channels))
            let job = JobContext(modelIdentity: runner.modelIdentities[0], conditioning: nil)
            let text = networks.parts.texts[0]
            let steps = JobContext(
                modelIdentity: runner.modelIdentities[0],
                conditioning: JobContext.Conditioning(
                    rows: 1, tokens: 77, width: text.hiddenSize, values: [Float](repeating: 0, count: 77 * text.hiddenSize)))
            try runner.open(steps)
            try runner.open(job.with(.latent(latent, tileHeight: 8, tileWidth: 8)))
            #expect(networks.mappedCount == 1 && networks.hasBuiltUNet)
            runner.close(steps.hash)
            try runner.open(job.with(.latent(latent, tileHeight: 4, tileWidth: 8)))
            #expect(networks.mappedCount == 0)
        }
        // Networks in memory stay.
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let networks = try runner.networks()
        let unet = try networks.unet()
        _ = try networks.decoder()
        runner.rest()
        #expect(try networks.unet() === unet && networks.mappedCount == 0)
    }

    /// A network that LoRA files change has a file of its own; the others are the plain model's.
    @Test func loraSetsHaveTheirOwnFiles() throws {
        let lora = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-packed-lora-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: lora, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: lora) }
        for (name, seed) in [("ink", UInt64(1)), ("oil", 2)] {
            try EmbeddedLoRA.write(lora.appendingPathComponent("\(name).safetensors").path, seed: seed, unet: true, text: false)
        }
        // The embedded model's files, from this repository.
        let source = try ModelSource.folder(Fixtures.embeddedModel.path)
        let library = try LoRALibrary(folders: [lora.path])
        func asked(_ loras: [LoRASelection]) -> RenderRequest {
            request {
                $0.prompt = "a red apple"
                ($0.width, $0.height) = (64, 64)
                $0.steps = 2
                $0.loras = loras
            }
        }
        let sets: [[LoRASelection]] = [
            [], [LoRASelection(name: "ink")], [LoRASelection(name: "ink", scale: 0.5)], [LoRASelection(name: "oil")],
        ]
        try withPacked { folder, packed throws in
            var pictures: Set<SHA256Digest> = []
            for (index, loras) in sets.enumerated() {
                let plain = try image(
                    source, TaskRunner(models: [source], loras: library, backend: .auto, threads: 1), library, asked(loras))
                for rests in [false, true] {
                    let runner = try TaskRunner(
                        models: [source], loras: library, backend: .auto, threads: 1, packed: packed())
                    #expect(try image(source, runner, library, asked(loras), resting: rests) == plain)
                    runner.rest()
                    #expect(runner.models.builtUNets(of: runner.modelIdentities[0]) == 0)
                }
                pictures.insert(plain)
                #expect(files(folder) == 3 + index, "\(loras)")
            }
            #expect(pictures.count == sets.count)
        }
    }

    /// The model inside the program needs no files.
    @Test func theEmbeddedModelIsNeverPacked() throws {
        try withPacked { folder, packed throws in
            let runner = try TaskRunner(models: [.embeddedModel], backend: .auto, threads: 1, packed: packed())
            _ = try image(.embeddedModel, runner)
            #expect(files(folder) == 0)
        }
    }

    /// A job with a model that has a faulty decoder is refused at once, although the decoder is built last.
    @Test func faultsOfLaterNetworksAreFoundAtOnce() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("patchloom-packed-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(atPath: Self.model, toPath: folder.path)
        let vae = folder.appendingPathComponent("vae/diffusion_pytorch_model.safetensors")
        let tensors = try SingleFiles.tensors(of: "vae", in: URL(fileURLWithPath: Self.model))
        try Data(FileTensor.file(tensors.filter { $0.name != "decoder.conv_out.weight" })).write(to: vae)
        let source = try ModelSource.folder(folder.path)
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let context = JobContext(modelIdentity: try source.identity(), conditioning: nil)
        let error = #expect(throws: RenderError.self) { try runner.open(context) }
        #expect(error?.code == .badModel)
        #expect(error?.message.contains("decoder.conv_out.weight") == true, "\(error?.message ?? "")")
    }
}
