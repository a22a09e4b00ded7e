import ArgumentParser
import DiffusionModels
import StrictJSON
import TensorCore

/// `patchloom-bench vae`: one picture through the autoencoder's decoder.
struct VAEBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vae", abstract: "Times the decoder of a Stable Diffusion autoencoder, with random weights.")

    @Option(help: "Architecture: sd15, sd21, sdxl or embedded. The published ones have the same autoencoder.")
    var family = BenchFamily.sd15
    @Option(help: "Side of the square latent; 64 is 512 pixels.") var latent = 64
    @Option(help: "Side of the tiles in latent points; one tile by default.") var tile: Int?
    @Option(help: "Memory for tiles that wait for their next section, in MiB; as much as they need by default.") var kept: Int?
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var reporting: RunOptions
    @OptionGroup var checks: CheckOptions

    func validate() throws {
        try check("latent", latent, 4...512)
        if let tile { try check("tile", tile, 1...512) }
        if let kept { try check("kept", kept, 0...1 << 20) }
        guard tile == nil || !checks.check else {
            throw ValidationError("--check counts the work of one tile: leave --tile out.")
        }
    }

    func run() throws {
        let context = try compute.context(precision)
        let decoder = try family.decoder(context)
        let input = uniform([1, latent, latent, decoder.configuration.latentChannels])
        var report = SuiteReport("vae")
        report.settings = [("family", .string(family.rawValue)), ("latent", .integer(Int64(latent))), ("batch", 1)]
        if let tile { report.settings.append(("tile", .integer(Int64(tile)))) }
        if let kept { report.settings.append(("kept_mib", .integer(Int64(kept)))) }
        report.add(context)
        let side = tile ?? latent
        let grid = TileGrid(height: latent, width: latent, tileHeight: side, tileWidth: side)
        let measured = try MeasuredNetwork(context, runs: reporting.runs) {
            let image = TiledImage(input, grid: grid)
            image.keptLimit = kept.map { $0 << 20 } ?? .max
            try decoder.decode(image) { _, _ in }
        }
        measured.add(to: &report)
        let formula = UInt64(decoder.configuration.decodeOperations(TileGrid(height: latent, width: latent)))
        report.checks = try checks.applied(to: measured.checks("vae", operations: formula))
        try report.finish(json: reporting.json)
    }
}
