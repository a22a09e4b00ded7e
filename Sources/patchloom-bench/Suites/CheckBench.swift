import Acceleration
import ArgumentParser
import DiffusionModels
import Rendering
import StrictJSON
import TensorCore

/// `patchloom-bench check`: the counts that no machine changes, on the embedded model, in a few seconds. Tests run it.
struct CheckBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Holds the counts that no machine changes against what they must be.",
        discussion: """
            Arithmetic of each network against its formula, and the formulas against the published architectures; requests for \
            memory, reorders of weights and preparations of operations in later calls of a network and in later steps of a \
            render; bytes of a patch on the wire. It ends with code 1 if one differs. The embedded model computes.
            """)

    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print one JSON line instead of text.") var json = false
    @OptionGroup var expectations: ExpectOptions

    func run() throws {
        let context = try compute.context(precision)
        var report = SuiteReport("check")
        report.add(context)
        let found = try networks(context) + Self.formulas() + render() + WirePatch(.embedded).checks()
        report.checks = try expectations.applied(to: found)
        try report.finish(json: json)
    }

    private func networks(_ context: ComputeContext) throws -> [CountCheck] {
        let family = BenchFamily.embedded
        let unet = try family.unet(context)
        let (height, width, batch) = (16, 24, 2)
        let input = UNetInput(uniformFor: unet, batch: batch, height: height, width: width)
        let forward = try MeasuredNetwork(context, runs: 2) { _ = try unet.forward(input, switches: .plain) }
        var checks = forward.checks(
            "unet",
            operations: UInt64(
                unet.configuration.operations(height: height, width: width, images: batch, tokens: UNetInput.textTokens)))
        let decoder = try family.decoder(context)
        let latent = uniform([1, height, width, decoder.configuration.latentChannels])
        let decoding = try MeasuredNetwork(context, runs: 2) { _ = try decoder.decode(latent) }
        checks += decoding.checks(
            "vae", operations: UInt64(decoder.configuration.decodeOperations(TileGrid(height: height, width: width))))
        for encoder in family.textEncoders { checks += try TextBench.measure(encoder, family, context, runs: 2).1 }
        return checks
    }

    /// Multiplications and additions of one call, as PyTorch's FlopCounterMode counts them on diffusers' networks.
    private static let unets: [(family: BenchFamily, latent: Int, operations: Int)] = [
        (.sd15, 64, 803_273_441_280), (.sd15, 128, 4_674_006_220_800), (.sd21, 64, 804_257_464_320),
        (.sd21, 128, 4_674_990_243_840), (.sdxl, 64, 1_588_778_762_240), (.sdxl, 128, 6_761_236_398_080),
    ]
    /// The side of a latent, and the operations of its decoder, which is the same in all families.
    private static let decoders = [(64, 2_514_518_933_504), (128, 10_470_392_594_432)]

    /// The formulas on the published architectures.
    private static func formulas() throws -> [CountCheck] {
        let unets = try unets.map { family, latent, expected in
            let operations = try family.unetConfiguration().operations(
                height: latent, width: latent, images: 1, tokens: UNetInput.textTokens)
            return CountCheck(
                name: "formula.unet_\(family.rawValue)_\(latent)", counted: Int(operations), .exactly(expected))
        }
        return try unets
            + decoders.map { latent, expected in
                let operations = try BenchFamily.sd15.vaeConfiguration().decodeOperations(
                    TileGrid(height: latent, width: latent))
                return CountCheck(name: "formula.vae_\(latent)", counted: Int(operations), .exactly(expected))
            }
    }

    /// A small picture by two methods in this process: its last denoising barrier of each phase does without everything that
    /// the first ones needed.
    private func render() throws -> [CountCheck] {
        var request = RenderRequest()
        request.prompt = "a red apple"
        (request.width, request.height, request.steps, request.method) = (256, 128, 6, .cut)
        var counts = ComputeCounts()
        var render = try LocalRender(request, compute.context(precision))
        for (phase, cost) in try render.lastBarriers() {
            guard phase == .structure || phase == .detail else { continue }
            counts.allocations += cost.allocations
            counts.reorders += cost.reorders
            counts.preparations += cost.preparations
        }
        return [
            CountCheck(name: "step.allocations", counted: counts.allocations, .exactly(0)),
            CountCheck(name: "step.reorders", counted: counts.reorders, .exactly(0)),
            CountCheck(name: "step.preparations", counted: counts.preparations, .exactly(0)),
        ]
    }
}

/// A render in this process, without workers.
private struct LocalRender {
    private var machine: RenderMachine
    private let runner: TaskRunner
    private let context: ComputeContext

    init(_ request: RenderRequest, _ context: ComputeContext) throws {
        self.context = context
        machine = try RenderMachine(request: request, model: ModelDescription(source: .embeddedModel))
        runner = try TaskRunner(models: [.embeddedModel], context: context)
    }

    /// The counted costs of the last barrier of each phase.
    mutating func lastBarriers() throws -> [RenderPhase: ComputeCounts] {
        var costs: [RenderPhase: ComputeCounts] = [:]
        var barrier = machine.start()
        while true {
            try runner.open(barrier.context)
            let before = context.counts
            let outputs = try barrier.tasks.map { try runner.run($0) }
            costs[barrier.phase] = context.counts - before
            guard case .barrier(let next) = try machine.complete(outputs) else { return costs }
            barrier = next
        }
    }
}
