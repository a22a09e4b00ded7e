import Acceleration
import ArgumentParser
import DiffusionModels
import MethodComparison
import StrictJSON
import TensorCore

/// `patchloom-bench ops`: every operation of a network at its real shapes, alone and back to back, beside the whole network and
/// the machine's peak in the same minute.
struct OperationsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ops", abstract: "Times every operation of a network alone, and compares their sum with the whole.",
        discussion: """
            The operations are recorded from one forward, so they have its shapes. Each runs as often as the network has it, \
            with weights of its own for each occurrence. The printed time is the sum over all operations. The network itself \
            is timed before and after; `whole_to_sum` is the ratio of the medians. `peak` is the rate of the fastest large \
            convolution or matrix product in the same minute.
            """)

    enum Network: String, ExpressibleByArgument, CaseIterable { case unet, vae }

    @Option(help: "unet or vae (its decoder).") var network = Network.unet
    @Option(help: "Architecture: sd15, sd21, sdxl or embedded.") var family = BenchFamily.sd15
    @Option(help: "Side of the square latent; 64 is 512 pixels.") var latent = 64
    @Option(help: "Images in one forward of the U-Net.") var batch = 1
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @Flag(inversion: .prefixedNo, help: "Measure the machine's peak too, which takes some seconds.") var peak = true
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var reporting: RunOptions

    func validate() throws {
        try check("latent", latent, 8...1024)
        try check("batch", batch, 1...64)
        guard network == .unet || batch == 1 else {
            throw ValidationError("--batch \(batch) is not possible: the decoder takes one picture at a time.")
        }
    }

    func run() throws {
        let context = try compute.context(precision)
        var report = SuiteReport("ops")
        report.settings = [
            ("network", .string(network.rawValue)), ("family", .string(family.rawValue)), ("latent", .integer(Int64(latent))),
            ("batch", .integer(Int64(batch))),
        ]
        report.add(context)
        let forward = try forward(context)
        // The first call makes the text's keys and values, which later calls of a picture find.
        try forward()
        let traced = try context.tracing(forward)
        let before = context.counts
        var whole = try Timing(runs: reporting.runs, warmUp: false, forward)
        let operations = (context.counts - before).operations / UInt64(reporting.runs)
        let peaks = try peaks()
        report.parts = try parts(traced, context)
        whole.append(try Timing(runs: reporting.runs, warmUp: false, forward))
        let sums = (0..<reporting.runs).map { index in
            report.parts.reduce(0) { $0 + $1.timing.seconds[index] * Double($1.count) }
        }
        let sum = Timing(sums)
        report.timing = sum
        report.figures = [
            ("whole_best", whole.best), ("whole_median", whole.median), ("whole_to_sum", whole.median / sum.median),
            ("gflop_per_second", Double(operations) / whole.median * 1e-9),
        ]
        for (type, rate) in peaks { report.figures.append(("peak_\(type)_gflop_per_second", rate)) }
        if let peak = peaks.first(where: { $0.type == context.precision })?.rate {
            report.figures.append(("share_of_peak", Double(operations) / whole.median * 1e-9 / peak))
        }
        report.counts = [("operations", Int(operations)), ("kinds", report.parts.count), ("calls", traced.count)]
        try report.finish(json: reporting.json)
    }

    private func forward(_ context: ComputeContext) throws -> () throws -> Void {
        switch network {
        case .unet:
            let unet = try family.unet(context)
            let input = UNetInput(uniformFor: unet, batch: batch, height: latent, width: latent)
            return { _ = try unet.forward(input, switches: .plain) }
        case .vae:
            let decoder = try family.decoder(context)
            let input = uniform([1, latent, latent, decoder.configuration.latentChannels])
            return { _ = try decoder.decode(input) }
        }
    }

    /// The machine's best rates in the precisions that it has; empty with `--no-peak`.
    private func peaks() throws -> [(type: ElementType, rate: Double)] {
        guard peak else { return [] }
        return try [PrecisionChoice.f32, .bf16].compactMap { choice in
            guard let type = try? choice.resolved(compute.backend) else { return nil }
            return (type, try Peak.measure(compute.context(choice)))
        }
    }

    /// Equal operations are one part, in the order of their first occurrence.
    private func parts(_ traced: [TracedOperation], _ context: ComputeContext) throws -> [SuiteReport.Part] {
        var (order, counts) = ([TracedOperation](), [TracedOperation: Int]())
        for operation in traced {
            if counts[operation, default: 0] == 0 { order.append(operation) }
            counts[operation, default: 0] += 1
        }
        return try order.map { operation in
            let lone = try LoneOperation(operation, count: counts[operation] ?? 1, context)
            try lone.runAll()
            let before = context.counts
            let timing = try Timing(runs: reporting.runs, warmUp: false, lone.runAll)
            let operations = (context.counts - before).operations / UInt64(reporting.runs * lone.count)
            return SuiteReport.Part(
                name: operation.title, count: lone.count, timing: timing.divided(by: lone.count), operations: operations)
        }
    }
}
