import Acceleration
import ArgumentParser
import DiffusionModels
import MethodComparison
import StrictJSON
import TensorCore
import Weights

/// `patchloom-bench unet`: one U-Net forward of a published architecture, with random weights made in memory. The time does
/// not depend on their values.
struct UNetBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unet",
        abstract: "Times one U-Net forward of a published Stable Diffusion architecture, with random weights.",
        discussion: "With --json one JSON line: best and median in seconds, and what was measured.")

    @Option(help: "Architecture: sd15, sd21 or sdxl.") var family = UNetFamily.sd15
    @Option(help: "Side of the square latent; 64 is 512 pixels.") var latent = 64
    @Option(help: "Images in one forward.") var batch = 1
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @Option(help: "Threads that compute.") var threads = 2
    @Option(help: "Timed forwards, after one that is not counted.") var runs = 3
    @Option(help: "Compute library: auto, onednn or openblas.") var backend = BackendChoice.auto
    @Flag(help: "Print one JSON line.") var json = false

    func validate() throws {
        try check("latent", latent, 8...1024)
        try check("batch", batch, 1...64)
        try check("runs", runs, 1...1000)
    }

    func run() throws {
        let context = try ComputeContext(backend: backend, threads: threads, precision: precision)
        let unet = try family.unet(context)
        let input = UNetInput(uniformFor: unet.configuration, batch: batch, height: latent, width: latent)
        let clock = ContinuousClock()
        var seconds: [Double] = []
        for run in 0...runs {
            let elapsed = try clock.measure { _ = try unet.forward(input, switches: .plain) }
            if run > 0 { seconds.append(elapsed / .seconds(1)) }
        }
        seconds.sort()
        report(best: seconds[0], median: Statistics.median(seconds) ?? seconds[0], context)
    }

    private func report(best: Double, median: Double, _ context: ComputeContext) {
        if json {
            let line: JSONValue = [
                "peer": "patchloom", "family": .string(family.rawValue), "latent": .integer(Int64(latent)),
                "batch": .integer(Int64(batch)), "precision": .string("\(context.precision)"),
                "threads": .integer(Int64(threads)), "runs": .integer(Int64(runs)), "best": .number(best),
                "median": .number(median), "numerics_class": .string(context.numericsClass),
                "peak_activation_bytes": .integer(Int64(context.peakActivationBytes)),
            ]
            print(line.canonicalText)
        } else {
            let activations = context.peakActivationBytes >> 20
            print("\(family.rawValue) U-Net, latent \(latent), batch \(batch), \(threads) threads, \(context.numericsClass)")
            print(
                "best \(Decimal.fixed(best, digits: 3)) s, median \(Decimal.fixed(median, digits: 3)) s, activations \(activations) MiB"
            )
        }
    }
}
