import StrictJSON
import TensorCore
import Testing

@testable import Rendering

/// A worker whose networks are formulas, so that whole renders can be followed by hand. It sees what a real worker sees:
/// tasks in their wire form.
struct FormulaNetwork {
    /// The prediction of the U-Net stand-in: `(0.3 + t/2000)·x + 0.05·(sum of x in the 3×3 neighbourhood, zeros outside)`.
    static func prediction(_ x: [Float], channels: Int, height: Int, width: Int, timestep: Float) -> [Float] {
        var result = x
        for channel in 0..<channels {
            for row in 0..<height {
                for column in 0..<width {
                    var sum: Float = 0
                    for r in max(0, row - 1)...min(height - 1, row + 1) {
                        for k in max(0, column - 1)...min(width - 1, column + 1) {
                            sum += x[(channel * height + r) * width + k]
                        }
                    }
                    let index = (channel * height + row) * width + column
                    result[index] = (0.3 + timestep / 2000) * x[index] + 0.05 * sum
                }
            }
        }
        return result
    }

    /// The latent that a task carries.
    static func latent(_ task: RenderTask) throws -> Latent {
        let (metadata, payload) = task.encoded()
        let sides = try ["channels", "height", "width"].map { try #require(metadata[$0]?.intValue) }
        let values = payload.withUnsafeBytes { bytes in
            (0..<(payload.count / 4)).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
        return Latent(channels: sides[0], height: sides[1], width: sides[2], values: values)
    }

    /// The result of the encoder stand-in: means that tell picture, channel and place apart, and the same small variance
    /// everywhere.
    static func moments(_ task: RenderTask) throws -> Latent {
        let (metadata, payload) = task.encoded()
        let (width, height) = try (#require(metadata["width"]?.intValue), #require(metadata["height"]?.intValue))
        let isMasked = metadata["masked"] == .bool(true)
        var means: [Float] = []
        for channel in 0..<4 {
            for y in stride(from: 0, to: height, by: 8) {
                for x in stride(from: 0, to: width, by: 8) {
                    let pixel = y * width + x
                    let isGrey = isMasked && payload[width * height * 3 + pixel] == 1
                    means.append(isGrey ? 0 : Float(payload[pixel * 3 + channel % 3]) / 64 - Float(channel))
                }
            }
        }
        return Latent(
            channels: 8, height: height / 8, width: width / 8, values: means + [Float](repeating: -4, count: means.count))
    }

    /// The output of a task.
    static func run(_ task: RenderTask) throws -> TaskOutput {
        let metadata = task.encoded().metadata
        switch task.phase {
        case .encode:
            let rows = try #require(metadata["ids"]?.arrayValue)
            let tokens = try #require(rows.first?.arrayValue).count
            return .embeddings(
                rows: rows.count, tokens: tokens, width: 128, values: [Float](repeating: 0.5, count: rows.count * tokens * 128))
        case .picture: return .moments(try moments(task))
        case .denoise, .structure, .detail:
            let latent = try latent(task)
            let timestep = Float(try #require(metadata["timestep"]?.doubleValue))
            // A network for inpainting takes nine channels and gives four.
            let channels = min(4, latent.channels)
            let shown = Array(latent.values.prefix(channels * latent.height * latent.width))
            return .prediction(
                Latent(
                    channels: channels, height: latent.height, width: latent.width,
                    values: prediction(
                        shown, channels: channels, height: latent.height, width: latent.width, timestep: timestep)))
        case .decode:
            let work = try #require(task.work as? DecodeWork)
            guard work.isLast else {
                return .moments(
                    GroupMoments(
                        count: 1, means: [Double](repeating: 0.5, count: 8), scatters: [Double](repeating: 1, count: 8)))
            }
            let (width, height) = (work.width * 8, work.height * 8)
            return .pixels(width: width, height: height, rgb: [UInt8](repeating: 7, count: width * height * 3))
        }
    }

    /// The outputs of a barrier's tasks. The vectors of prompts are as wide as the machine's model wants them.
    static func outputs(_ barrier: Barrier, _ machine: RenderMachine) throws -> [TaskOutput] {
        if barrier.phase == .decode, machine.expectedOutputs[0].element == .f64 {
            return machine.expectedOutputs.map { TaskOutput($0, doubles: [Double](repeating: 0.5, count: $0.count)) }
        }
        guard barrier.phase == .encode else { return try barrier.tasks.map(run) }
        return machine.expectedOutputs.map { shape in
            let (rows, tokens, width) = (shape["rows"], shape["tokens"], shape["width"])
            return .embeddings(
                rows: rows, tokens: tokens, width: width, values: [Float](repeating: 0.5, count: rows * tokens * width),
                pooled: [Float](repeating: 0.25, count: rows * shape["pooled"]))
        }
    }

    /// Runs a machine to its end and gives every barrier and the picture.
    static func render(
        _ machine: RenderMachine, by compute: (Barrier, RenderMachine) throws -> [TaskOutput] = outputs
    ) throws -> (barriers: [Barrier], image: RenderedImage) {
        var machine = machine
        var barriers = [machine.start()]
        while true {
            switch try machine.complete(compute(barriers[barriers.count - 1], machine)) {
            case .barrier(let next): barriers.append(next)
            case .finished(let image): return (barriers, image)
            }
        }
    }
}

extension RenderRequest {
    /// A request for the embedded model, whose native size is 128. The picture is made at once unless the change says
    /// otherwise.
    static func square(_ side: Int, steps: Int = 5, _ change: (inout RenderRequest) -> Void = { _ in }) -> RenderRequest {
        var request = RenderRequest()
        request.prompt = "a red apple"
        request.stages = []
        (request.width, request.height, request.steps) = (side, side, steps)
        change(&request)
        return request
    }
}

/// The error that `body` throws; nil when it throws none.
func renderError(_ body: () throws -> Void) -> RenderError? {
    do {
        try body()
        return nil
    } catch { return error as? RenderError }
}
