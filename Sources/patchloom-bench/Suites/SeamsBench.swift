import ArgumentParser
import DiffusionModels
import MethodComparison
import Rendering
import StrictJSON
import TensorCore
import Weights

/// `patchloom-bench seams`: exact and blended tiles of an autoencoder, beside the whole decode.
struct SeamsBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seams",
        abstract: "Compares exact and blended tiles of a decoder with the whole decode.",
        discussion: """
            Decodes a flat latent and a sloping one: at once, in exact tiles, and in blended tiles, as other programs have \
            them. Levels are those of an 8-bit channel. `seam` is the largest step between two neighbouring pixels at the \
            end of an exact tile, or at the beginning or the end of a fading, beyond the step of the whole decode there. \
            `level` is the largest difference from the whole decode anywhere, `tone` the largest difference of a tile's mean.
            """)

    @Option(help: "A model, as for 'patchloom render'; the embedded one by default.") var model: String?
    @Option(help: "Side of the square latent.") var latent = 48
    @Option(help: "Side of the tiles in latent points; the model's native size by default.") var tile: Int?
    @Option(help: "Number format of weights and activations: auto, f32 or bf16.") var precision = PrecisionChoice.f32
    @OptionGroup var compute: ComputeOptions
    @Flag(help: "Print one JSON line.") var json = false

    func validate() throws {
        try check("latent", latent, 8...512)
        if let tile { try check("tile", tile, 4...latent - 1) }
    }

    func run() throws {
        let context = try compute.context(precision)
        let source = try model.map { try ModelSource.open(ModelChoice(path: $0)) } ?? .embeddedModel
        let native = try ModelDescription(source: source).sampleSize
        guard let tiles = BlendedTiles(height: latent, width: latent, side: tile ?? native) else {
            throw ValidationError("A latent of \(latent) is one tile of \(tile ?? native): choose a larger --latent.")
        }
        let runner = try TaskRunner(models: [source], context: context)
        var report = SuiteReport("seams")
        report.settings = [
            ("model", .string(source.name)), ("latent", .integer(Int64(latent))), ("tile", .integer(Int64(tiles.side))),
        ]
        report.add(context)
        for seams in try TileSeams.all(of: runner, tiles) {
            for (name, figures) in [("exact", seams.exact), ("blend", seams.blended)] {
                report.figures += [
                    ("\(seams.latent)_\(name)_seam", figures.seam), ("\(seams.latent)_\(name)_level", figures.level),
                    ("\(seams.latent)_\(name)_tone", figures.tone),
                ]
            }
        }
        try report.finish(json: json)
    }
}
