import Acceleration
import ArgumentParser
import DiffusionModels
import Rendering
import StrictJSON
import TensorCore
import Weights

/// `patchloom-bench start`: the work of a worker before its first task, step by step, and the time of the real process.
struct StartBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Times the start of a worker: library, headers, identity, networks, ready.",
        discussion: """
            The printed time is that of a real worker process, from its start until it says that it is ready for tasks. The \
            parts are measured in this process. Networks are built when the first task of their kind arrives, after that. Both \
            use the user's remembered hashes and packed weights as a worker does, so the run that is not counted makes what is \
            missing; \(PackedWeights.limitVariable)=off measures without packed weights.
            """)

    @Option(help: "The program; by default 'patchloom' beside this one.") var program: String?
    @Option(help: "A model's folder or single file; the embedded one by default.") var model: String?
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.auto
    @Option(help: "The most seconds until a worker is ready.") var patience = 600
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var reporting: RunOptions

    func validate() throws { try check("patience", patience, 1...86_400) }

    func run() throws {
        let packing = try packing()
        let context = try compute.context(precision)
        var report = SuiteReport("start")
        report.settings = [("model", .string(model ?? "embedded")), ("packed_weights", .bool(packing != nil))]
        report.add(context)
        var steps: [(name: String, seconds: [Double])] = []
        // The first time is not counted: it fills the caches of files.
        for run in 0...reporting.runs {
            let digests = DigestMemory.standard.reopened()
            let line = try timeLine(digests, packing)
            if run == 0 { continue }
            report.counts = [
                ("hashed_bytes", digests.tally.hashedBytes), ("remembered_bytes", digests.tally.rememberedBytes),
            ]
            if steps.isEmpty { steps = line.map { ($0.name, []) } }
            for index in steps.indices { steps[index].seconds.append(line[index].seconds) }
        }
        report.timing = Timing(Array(try (0...reporting.runs).map { _ in try readiness() }.dropFirst()))
        report.parts = steps.map { SuiteReport.Part(name: $0.name, timing: Timing($0.seconds)) }
        try report.finish(json: reporting.json)
    }

    /// The place where a worker without options keeps packed weights; nil if it keeps weights in its own memory.
    private func packing() throws -> PackedWeights.Setting? {
        guard let limit = PackedWeights.limit(PackedWeights.limitWord) else {
            throw ValidationError("\(PackedWeights.limitVariable) must be a size such as 500M or 40G, or off.")
        }
        guard limit > 0, let folder = PackedWeights.standardFolder else { return nil }
        return PackedWeights.Setting(folder: folder, limit: limit)
    }

    private func opened(_ digests: DigestMemory) throws -> ModelSource {
        guard let model else { return .embeddedModel }
        var choice = ModelChoice(path: model)
        choice.digests = digests
        return try .open(choice)
    }

    /// The steps in this process. Each uses the results of the steps before it.
    private func timeLine(
        _ digests: DigestMemory, _ packing: PackedWeights.Setting?
    ) throws -> [(name: String, seconds: Double)] {
        var line: [(name: String, seconds: Double)] = []
        let clock = ContinuousClock()
        func step<Value>(_ name: String, _ body: () throws -> Value) rethrows -> Value {
            let start = clock.now
            let result = try body()
            line.append((name, (clock.now - start) / .seconds(1)))
            return result
        }
        let context = try step("library") { try compute.context(precision) }
        let source = try step("headers") { try opened(digests) }
        _ = try step("identity") { try source.identity() }
        let packed = packing.map { PackedWeights($0, threads: compute.threads) { printError($0) } }
        let runner = try step("configurations") { try TaskRunner(models: [source], context: context, packed: packed) }
        let networks = try runner.networks()
        try step("text encoders") {
            for index in networks.parts.architecture.family.textEncoders.indices { _ = try networks.textEncoder(index) }
        }
        let unet = try step("U-Net") { try networks.unet() }
        _ = try step("decoder") { try networks.decoder() }
        // The first call makes the library's operations.
        let side = 8
        let input = UNetInput(uniformFor: unet, batch: 1, height: side, width: side)
        _ = try step("first U-Net call at \(side)×\(side)") { try unet.forward(input, switches: .plain) }
        return line
    }

    /// Seconds until a worker process is ready. It finds no coordinator, which it does not need for that.
    private func readiness() throws -> Double {
        var arguments = [
            "worker", "--connect", "tcp://127.0.0.1:9", "--threads", "\(compute.threads)", "--backend",
            compute.backend.rawValue, "--precision", precision.rawValue,
        ]
        if let model { arguments += ["-m", model] }
        return try OwnProcess(program, arguments, keepsErrors: true)
            .seconds(untilLine: "ready: ", patience: patience)
    }
}
