package import Acceleration
import DiffusionModels
package import StrictJSON
import TensorCore

/// One U-Net evaluation with guidance.
package struct DenoiseWork: TaskWork {
    /// The latent in the sampler's scale.
    package var latent: Latent
    package var timestep: Float
    /// The factor in u + guidance · (c − u). With 1 or less the network computes only the prompt's half.
    var guidance: Float
    /// φ of `Guidance`.
    var rescale: Float = 0
    /// SDXL's six numbers in pixels: original height and width, crop top and left, target height and width. They hold for all
    /// rows. Twelve numbers are six for the negative prompt and six for the prompt.
    package var timeIDs: [Float]?
    package var switches: UNetSwitches

    static let timeIDCount = 6

    package var cost: Double { Double(latent.height * latent.width) * (guidance > 1 ? 2 : 1) }

    package var payloadBytes: Int { latent.channels * latent.height * latent.width * 4 }

    /// A network for inpainting takes more channels than it gives.
    package func output(of model: ModelDescription) -> OutputShape {
        OutputShape("prediction", channels: model.latentChannels, height: latent.height, width: latent.width)
    }

    /// Latents, the strength of guidance and SDXL's numbers may differ: each image of a call has its own.
    package func sharesCall(with other: DenoiseWork) -> Bool {
        timestep == other.timestep && (guidance > 1) == (other.guidance > 1) && (timeIDs == nil) == (other.timeIDs == nil)
            && (latent.channels, latent.height, latent.width)
                == (other.latent.channels, other.latent.height, other.latent.width)
            && switches.forSharing == other.switches.forSharing
    }

    package func run(on model: ModelNetworks, in context: OpenedContext) throws -> TaskOutput {
        try Self.run([self], on: model, in: context)[0]
    }

    package static func run(
        _ works: [DenoiseWork], on model: ModelNetworks, in context: OpenedContext
    ) throws -> [TaskOutput] {
        let first = works[0]
        let (guided, latent) = (first.guidance > 1, first.latent)
        let prompts = try context.rows(guided: guided)
        let rows = prompts.text.vectors.shape[0]
        let sample = Tensor(
            planarImages: works.map(\.latent.values), c: latent.channels, h: latent.height, w: latent.width)
        let timeIDs = try works.flatMap { work in try work.timeIDs(rows: rows) }
        let unet = try model.unet()
        model.textKeys.use(prompts.text, for: unet)
        let output = try unet.forward(
            UNetInput(
                sample: sample, timesteps: [first.timestep], text: prompts.text, textEmbeds: prompts.pooled,
                timeIDs: timeIDs.isEmpty ? nil : Tensor(timeIDs, shape: [works.count * rows, timeIDCount]),
                meetsEveryText: true),
            switches: first.switches)
        // Guidance of no values gives none.
        guard !model.context.rehearses else { return works.map { TaskOutput.prediction($0.latent) } }
        return try works.enumerated().map { index, work in
            try work.guided(output.planarArray(ofImages: (index * rows)..<((index + 1) * rows)), output.shape)
        }
    }

    /// SDXL's numbers, six for each row of text; empty if there are none.
    private func timeIDs(rows: Int) throws(ModelError) -> [Float] {
        guard let timeIDs else { return [] }
        if timeIDs.count == rows * Self.timeIDCount { return timeIDs }
        guard timeIDs.count == Self.timeIDCount else {
            throw ModelError(.input, "size conditioning of two rows needs guidance.")
        }
        return (0..<rows).flatMap { _ in timeIDs }
    }

    /// - Parameter prediction: of the network, the negative prompt's half first, if there is guidance.
    private func guided(_ prediction: [Float], _ shape: [Int]) throws(ModelError) -> TaskOutput {
        let values = guidance > 1 ? Guidance(scale: guidance, rescale: rescale).combined(prediction) : prediction
        guard values.allSatisfy(\.isFinite) else { throw ModelError(.nonFinite, "guidance left the range of numbers.") }
        return .prediction(Latent(channels: shape[3], height: shape[1], width: shape[2], values: values))
    }
}

extension UNetSwitches {
    /// The same without the place on the canvas, if it makes no difference to the network: only hashed destinations use it.
    fileprivate var forSharing: UNetSwitches {
        let usesPlace = tokens.reductions.values.contains { reduction in
            if case .merging(let method) = reduction { method.destinations == .random } else { false }
        }
        guard !usesPlace else { return self }
        var switches = self
        (switches.tokens.originRow, switches.tokens.originColumn) = (0, 0)
        return switches
    }
}

// MARK: Output

extension TaskOutput {
    /// The U-Net's prediction after guidance.
    public static func prediction(_ latent: Latent) -> TaskOutput { TaskOutput("prediction", latent) }
}

// MARK: On the wire

extension DenoiseWork {
    package static var callTitle: String? { "call" }

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
