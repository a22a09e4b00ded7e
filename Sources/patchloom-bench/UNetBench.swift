import Acceleration
import ArgumentParser
import DiffusionModels
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

    enum Precision: String, ExpressibleByArgument, CaseIterable { case f32 }

    @Option(help: "Architecture: sd15, sd21 or sdxl.") var family = UNetFamily.sd15
    @Option(help: "Side of the square latent; 64 is 512 pixels.") var latent = 64
    @Option(help: "Images in one forward.") var batch = 1
    @Option(help: "Number format of weights and activations: f32.") var precision = Precision.f32
    @Option(help: "Threads that compute.") var threads = 2
    @Option(help: "Timed forwards, after one that is not counted.") var runs = 3
    @Option(help: "Compute library: auto, onednn or openblas.") var backend = BackendChoice.auto
    @Flag(help: "Print one JSON line.") var json = false

    func validate() throws {
        guard (8...1024).contains(latent) else {
            throw ValidationError("--latent \(latent) is not possible: choose 8 to 1024.")
        }
        guard (1...64).contains(batch) else { throw ValidationError("--batch \(batch) is not possible: choose 1 to 64.") }
        guard (1...1000).contains(runs) else { throw ValidationError("--runs \(runs) is not possible: choose 1 to 1000.") }
    }

    func run() throws {
        let context = try ComputeContext(backend: backend, threads: threads)
        let unet = try family.unet(context)
        let input = UNetInput(uniformFor: unet.configuration, batch: batch, height: latent, width: latent)
        let clock = ContinuousClock()
        var seconds: [Double] = []
        for run in 0...runs {
            let elapsed = try clock.measure { _ = try unet.forward(input, switches: .plain) }
            if run > 0 { seconds.append(Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18) }
        }
        seconds.sort()
        report(best: seconds[0], median: median(seconds), context)
    }

    private func report(best: Double, median: Double, _ context: ComputeContext) {
        if json {
            var line = JSONObject()
            line["peer"] = "patchloom"
            line["family"] = .string(family.rawValue)
            line["latent"] = .integer(Int64(latent))
            line["batch"] = .integer(Int64(batch))
            line["precision"] = .string(precision.rawValue)
            line["threads"] = .integer(Int64(threads))
            line["runs"] = .integer(Int64(runs))
            line["best"] = .number(best)
            line["median"] = .number(median)
            line["numerics_class"] = .string(context.numericsClass)
            line["peak_activation_bytes"] = .integer(Int64(context.peakActivationBytes))
            print(String(decoding: JSONValue.object(line).canonicalBytes(), as: UTF8.self))
        } else {
            print("\(family.rawValue) U-Net, latent \(latent), batch \(batch), \(threads) threads, \(context.numericsClass)")
            print(
                "best \(decimal(best, 3)) s, median \(decimal(median, 3)) s, activations \(context.peakActivationBytes >> 20) MiB"
            )
        }
    }

    private func median(_ sorted: [Double]) -> Double {
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
