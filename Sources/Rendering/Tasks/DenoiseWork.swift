package import Acceleration
import DiffusionModels
package import StrictJSON
import TensorCore

/// One U-Net evaluation with guidance.
package struct DenoiseWork: TaskWork {
    /// In the sampler's scale.
    package var latent: Latent
    package var timestep: Float
    /// u + guidance · (c − u). With 1 or less the network computes only the prompt's half.
    var guidance: Float
    /// φ of `Guidance`.
    var rescale: Float = 0
    /// SDXL's six numbers in pixels: original height and width, crop top and left, target height and width. They hold for all
    /// rows. Twelve numbers are six for the negative prompt and six for the prompt.
    package var timeIDs: [Float]?
    package var switches: UNetSwitches

    static let timeIDCount = 6

    package var cost: Double { Double(latent.height * latent.width) * (guidance > 1 ? 2 : 1) }

    /// A network for inpainting takes more channels than it gives.
    package func output(of model: ModelDescription) -> OutputShape {
        OutputShape("prediction", channels: model.latentChannels, height: latent.height, width: latent.width)
    }

    package func run(on model: ModelNetworks, in context: OpenedContext) throws -> TaskOutput {
        let guided = guidance > 1
        let text = try context.rows(guided: guided)
        let rows = text.vectors.shape[0]
        let sample = Tensor(
            planar: (0..<rows).flatMap { _ in latent.values }, n: rows, c: latent.channels, h: latent.height, w: latent.width)
        let timeIDs = try timeIDs.map { numbers in
            let width = Self.timeIDCount
            guard numbers.count == width || numbers.count == rows * width else {
                throw ModelError(.input, "size conditioning of two rows needs guidance.")
            }
            return Tensor(numbers.count == width ? (0..<rows).flatMap { _ in numbers } : numbers, shape: [rows, width])
        }
        let output = try model.unet().forward(
            UNetInput(sample: sample, timesteps: [timestep], text: text.vectors, textEmbeds: text.pooled, timeIDs: timeIDs),
            switches: switches)
        var values = output.planarArray
        if guided { values = Guidance(scale: guidance, rescale: rescale).combined(values) }
        guard values.allSatisfy(\.isFinite) else { throw ModelError(.nonFinite, "guidance left the range of numbers.") }
        return .prediction(
            Latent(channels: output.shape[3], height: output.shape[1], width: output.shape[2], values: values))
    }
}

// MARK: Output

extension TaskOutput {
    /// The U-Net's prediction after guidance.
    public static func prediction(_ latent: Latent) -> TaskOutput { TaskOutput("prediction", latent) }
}

// MARK: On the wire

extension DenoiseWork {
    package static var keys: [String] {
        Latent.keys + ["timestep", "guidance", "rescale", "time_ids", "rad", "pool", "shifts", "tokens"]
    }

    package func write(to metadata: inout JSONObject) -> [UInt8] {
        metadata["timestep"] = .number(Double(timestep))
        metadata["guidance"] = .number(Double(guidance))
        metadata["rescale"] = .number(Double(rescale))
        metadata["time_ids"] = timeIDs.map { .array($0.map { .number(Double($0)) }) }
        metadata["rad"] = .bool(switches.rad)
        metadata["pool"] = .bool(switches.pool)
        metadata["shifts"] = switches.windowShifts.map { .array($0.map { .integer(Int64($0)) }) }
        metadata["tokens"] = switches.tokens.json
        return latent.write(to: &metadata)
    }

    package init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError) {
        let shifts = try metadata.optional("shifts", .list(of: .integer(0...3), count: 0...1024))
        latent = try Latent(metadata, payload)
        timestep = try metadata.number("timestep")
        guidance = try metadata.number("guidance")
        rescale = try metadata.number("rescale")
        timeIDs = try metadata.numbers("time_ids", counts: [Self.timeIDCount, 2 * Self.timeIDCount])
        switches = UNetSwitches(
            rad: try metadata.flag("rad"), pool: try metadata.flag("pool"),
            windowShifts: shifts.map { $0.map { UInt8($0) } }, tokens: try TokenSwitches(json: metadata["tokens"]))
    }
}
