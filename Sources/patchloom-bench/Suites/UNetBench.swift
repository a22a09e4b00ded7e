import Acceleration
import ArgumentParser
import DiffusionModels
import StrictJSON
import TensorCore

/// `patchloom-bench unet`: one U-Net forward of a published architecture, with random weights made in memory. The time does
/// not depend on their values.
struct UNetBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unet", abstract: "Times one U-Net forward of a Stable Diffusion architecture, with random weights.")

    @Option(help: "Architecture: sd15, sd21, sdxl or embedded.") var family = BenchFamily.sd15
    @Option(help: "Side of the square latent; 64 is 512 pixels.") var latent = 64
    @Option(help: "Images in one forward.") var batch = 1
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var reporting: RunOptions
    @OptionGroup var checks: CheckOptions

    func validate() throws {
        try check("latent", latent, 8...1024)
        try check("batch", batch, 1...64)
    }

    func run() throws {
        let context = try compute.context(precision)
        let unet = try family.unet(context)
        let input = UNetInput(uniformFor: unet, batch: batch, height: latent, width: latent)
        var report = SuiteReport("unet")
        report.settings = [
            ("family", .string(family.rawValue)), ("latent", .integer(Int64(latent))), ("batch", .integer(Int64(batch))),
        ]
        report.add(context)
        let measured = try MeasuredNetwork(context, runs: reporting.runs) { _ = try unet.forward(input, switches: .plain) }
        measured.add(to: &report)
        let formula = UInt64(
            unet.configuration.operations(height: latent, width: latent, images: batch, tokens: UNetInput.textTokens))
        report.checks = try checks.applied(to: measured.checks("unet", operations: formula))
        try report.finish(json: reporting.json)
    }
}
