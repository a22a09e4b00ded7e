import DiffusionModels
package import StrictJSON
import TensorCore

/// A latent for the autoencoder's decoder.
package struct DecodeWork: TaskWork {
    /// In the U-Net's scale.
    package var latent: Latent

    package static var isLarge: Bool { true }

    package var cost: Double { Double(latent.height * latent.width) * 4 }

    package func output(of model: ModelDescription) -> OutputShape {
        .pixels(width: latent.width * model.scaleFactor, height: latent.height * model.scaleFactor)
    }

    package func run(on model: ModelNetworks, in _: OpenedContext) throws -> TaskOutput {
        let decoder = try model.decoder()
        guard latent.channels == decoder.configuration.latentChannels else {
            throw ModelError(
                .input,
                "the autoencoder takes latents of \(decoder.configuration.latentChannels) channels, not \(latent.channels).")
        }
        let input = decoder.configuration.decoderInput(latent.values, height: latent.height, width: latent.width)
        let image = try decoder.decode(
            Tensor(planar: input, n: 1, c: latent.channels, h: latent.height, w: latent.width))
        return .pixels(width: image.shape[2], height: image.shape[1], rgb: image.array.map(Self.byte))
    }

    /// −1…1 to 0…255, as in diffusers: halve and shift, clamp, scale, round half to even.
    private static func byte(_ value: Float) -> UInt8 {
        UInt8((min(1, max(0, value / 2 + 0.5)) * 255).rounded(.toNearestOrEven))
    }
}

// MARK: Output

extension OutputShape {
    static func pixels(width: Int, height: Int) -> OutputShape {
        OutputShape("pixels", of: .u8, ["width": width, "height": height], count: width * height * 3)
    }
}

extension TaskOutput {
    /// - Parameter rgb: row by row, three bytes a pixel.
    public static func pixels(width: Int, height: Int, rgb: [UInt8]) -> TaskOutput {
        TaskOutput(.pixels(width: width, height: height), rgb: rgb)
    }
}

// MARK: On the wire

extension DecodeWork {
    package static var keys: [String] { Latent.keys }

    package func write(to metadata: inout JSONObject) -> [UInt8] { latent.write(to: &metadata) }

    package init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError) { latent = try Latent(metadata, payload) }
}
