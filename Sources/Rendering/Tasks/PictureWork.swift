import DiffusionModels
import ImageConditioning
import Sentences
package import StrictJSON
import TensorCore

/// A picture for the autoencoder's encoder.
package struct PictureWork: TaskWork {
    var width: Int
    var height: Int
    /// Row by row, three bytes a pixel.
    var rgb: [UInt8]
    /// Row by row, 1 where mid-grey replaces the pixel. nil leaves the picture as it is.
    package var mask: [UInt8]?

    package static var isLarge: Bool { true }

    package var cost: Double { Double(height * width) / 64 * 2 }

    package var payloadBytes: Int { rgb.count + (mask?.count ?? 0) }

    package func output(of model: ModelDescription) -> OutputShape {
        Self.output(of: model, height: height / model.scaleFactor, width: width / model.scaleFactor)
    }

    /// - Parameters: the sides of the latent.
    static func output(of model: ModelDescription, height: Int, width: Int) -> OutputShape {
        OutputShape("moments", channels: 2 * model.latentChannels, height: height, width: width)
    }

    /// The distribution of a picture's latent. The encoder sees the masked part as grey, as in diffusers' inpainting.
    package func run(on model: ModelNetworks, in context: OpenedContext) throws -> TaskOutput {
        let encoder = try model.encoder()
        let mask = try mask.map { try InpaintMask($0.map { Float($0) }, height: height, width: width) }
        let picture = ImageRows(height: height, width: width) { rows in
            var planes = PicturePixels.planes(rgb: Array(rgb[rows.lowerBound * width * 3..<rows.upperBound * width * 3]))
            if let mask { planes = mask.maskedImage(planes, rows: rows) }
            return Tensor(planar: planes, n: 1, c: 3, h: rows.count, w: width)
        }
        let moments = try encoder.encode(picture, memoryBytes: context.imageBytes)
        let (mean, variance) = (moments.mean, moments.logVariance)
        return .moments(
            Latent(
                channels: mean.shape[3] * 2, height: mean.shape[1], width: mean.shape[2],
                values: mean.planarArray + variance.planarArray))
    }
}

// MARK: Output

extension TaskOutput {
    /// A picture's latent from the encoder: the means of all channels, then the logarithms of their variances.
    public static func moments(_ latent: Latent) -> TaskOutput { TaskOutput("moments", latent) }
}

// MARK: On the wire

extension PictureWork {
    package static var keys: [String] { ["width", "height", "masked"] }

    package func write(to metadata: inout JSONObject) -> [UInt8] {
        metadata["width"] = .integer(Int64(width))
        metadata["height"] = .integer(Int64(height))
        metadata["masked"] = .bool(mask != nil)
        return rgb + (mask ?? [])
    }

    package init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError) {
        width = try metadata.integer("width", 1...RenderRequest.sideLimit)
        height = try metadata.integer("height", 1...RenderRequest.sideLimit)
        let isMasked = try metadata.flag("masked")
        let pixels = width * height
        guard payload.count == pixels * (isMasked ? 4 : 3) else {
            throw .malformed("A picture to encode has \(payload.count) bytes, no \(width)×\(height) pixels.")
        }
        rgb = Array(payload[..<(pixels * 3)])
        mask = isMasked ? Array(payload[(pixels * 3)...]) : nil
        guard mask?.allSatisfy({ $0 <= 1 }) ?? true else {
            throw .malformed("A picture to encode has a mask that is not of 0 and 1.")
        }
    }
}
