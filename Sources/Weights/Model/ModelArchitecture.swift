package import StrictJSON

/// The facts about a model that the program needs beside the networks' own numbers, from its configuration. An invalid number
/// is 0 here: the networks check their configurations.
public struct ModelArchitecture: Sendable {
    public let family: ModelFamily
    /// The family's kind, by the scheduler.
    public let kind: ModelKind
    /// Channels of the U-Net's input: the latent's, for inpainting also the mask's and the masked picture's.
    public let inputChannels: Int
    public let latentChannels: Int
    /// Native side in points of the latent; nil if the configuration has none.
    public let nativeSide: Int?
    /// Pixels along the side of a latent's point: 8 in Stable Diffusion.
    public let scaleFactor: Int
    /// The prediction type of the U-Net in diffusers' word: `epsilon` if the scheduler's configuration says nothing.
    public let predictionType: String

    /// Reads the contents of the three files. It refuses nothing.
    package init(unet: JSONValue, vae: JSONValue, scheduler: JSONValue) {
        family = ModelFamily(unet: unet)
        kind = family.kind(scheduler: scheduler)
        inputChannels = unet.number("in_channels", or: 4)
        latentChannels = vae.number("latent_channels", or: 4)
        nativeSide = ModelArchitecture.nativeSide(unet: unet)
        scaleFactor = ModelArchitecture.scaleFactor(vae: vae)
        predictionType = ModelArchitecture.predictionType(scheduler: scheduler)
    }

    /// Whether the U-Net takes a mask and a masked picture beside the latent.
    public var isInpainting: Bool {
        (1...1 << 20).contains(latentChannels) && inputChannels == 2 * latentChannels + 1
    }

    /// Native side of a picture in pixels; nil if the configuration has none or an impossible one.
    public var nativeSize: Int? {
        nativeSide.flatMap { (1...1 << 16).contains($0) && scaleFactor < 1 << 15 ? $0 * scaleFactor : nil }
    }

    /// The side of a square; nil for anything else.
    static func nativeSide(unet: JSONValue) -> Int? {
        let value = unet["sample_size"]
        if let side = value?.intValue { return side }
        guard let sides = value?.arrayValue?.map(\.intValue), sides.count == 2, sides[0] == sides[1] else { return nil }
        return sides[0]
    }

    /// Each level of the autoencoder halves the size.
    static func scaleFactor(vae: JSONValue) -> Int { 1 << min(max(0, Checkpoint.vaeLevels(vae) - 1), 15) }

    static func predictionType(scheduler: JSONValue) -> String {
        guard let value = scheduler["prediction_type"], !value.isNull else { return UNetPrediction.epsilon.rawValue }
        return value.stringValue ?? value.kindName
    }
}

extension ModelSource {
    func family() throws(WeightsError) -> ModelFamily { ModelFamily(unet: try json("unet/config.json")) }
}

extension JSONValue {
    /// The number at `key`: `fallback` if there is nothing, 0 for other values.
    func number(_ key: String, or fallback: Int) -> Int { self[key].map { $0.intValue ?? 0 } ?? fallback }
}
