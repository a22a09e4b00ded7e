public import Samplers

/// The use of a given picture by a run, as in diffusers' pipelines. Arrays are planar latents of one picture.
///
/// The order is the same in every mode: draw the maps of `draws`, encode the picture (and the masked picture), take
/// `startLatent`, and call the network from `firstCall` on. After every call `inpaintKnown` puts the known region back
/// (`KnownRegion`). For `inpaintNine` the network gets more channels behind the latent's: the mask, and the
/// masked picture's latent.
public enum ImageMode: String, Sendable, Equatable, CaseIterable {
    /// No picture.
    case textToImage
    /// The whole picture changes; the more, the greater the strength.
    case imageToImage
    /// An ordinary U-Net makes a part of the picture anew. The rest is put back after every call.
    case inpaintKnown
    /// A U-Net that was trained for it, with nine input channels, makes a part of the picture anew.
    case inpaintNine

    /// The inpainting mode of a U-Net. A U-Net was trained for inpainting if its input has twice the latent's channels and
    /// one more.
    ///
    /// Throws for a U-Net whose input is neither a latent nor a latent with mask and masked picture.
    public init(inpaintingWithInputChannels input: Int, latentChannels: Int) throws(ConditioningError) {
        switch input {
        case latentChannels: self = .inpaintKnown
        case 2 * latentChannels + 1: self = .inpaintNine
        default:
            throw ConditioningError(
                "A U-Net of \(input) input channels cannot inpaint latents of \(latentChannels) channels: "
                    + "choose a model that takes \(latentChannels) or \(2 * latentChannels + 1).")
        }
    }

    /// Whether a part of the picture stays.
    public var isInpainting: Bool { self == .inpaintKnown || self == .inpaintNine }

    /// A map of unit noise of the latent's size.
    public enum Draw: String, Sendable, Equatable {
        /// The map for the picture's latent, because the encoder gives a distribution.
        case image
        /// The noise at the start of the run.
        case noise
        /// The map for the masked picture's latent.
        case maskedImage
    }

    /// The maps to draw from the seed's stream before the first step, in this order. The sampler draws its maps after them.
    ///
    /// `inpaintKnown` does not use the masked picture's latent. But diffusers draws for it, so it is in the list: later noise
    /// must stay the same for a seed.
    ///
    /// - Parameter strength: `0...1`. At 1 `inpaintNine` does not use the unmasked picture, so nothing is drawn for it.
    public func draws(strength: Double) -> [Draw] {
        switch self {
        case .textToImage: [.noise]
        case .imageToImage: [.image, .noise]
        case .inpaintKnown: [.image, .noise, .maskedImage]
        case .inpaintNine: strength < 1 ? [.image, .noise, .maskedImage] : [.noise, .maskedImage]
        }
    }

    /// Whether the run begins with noise alone, without the picture. This is so for inpainting at full strength, but not for
    /// image-to-image.
    public func startsFromNoise(strength: Double) -> Bool {
        self == .textToImage || (isInpainting && strength >= 1)
    }

    /// The first call of the run.
    ///
    /// Throws for a strength outside `0...1`, and for one so small that nothing is left to do.
    public func firstCall(_ sampler: Sampler, strength: Double) throws(ConditioningError) -> Int {
        guard strength >= 0, strength <= 1 else {
            throw ConditioningError("The strength is \(strength) but must be from 0 to 1.")
        }
        guard self != .textToImage else { return 0 }
        let first = sampler.firstCall(strength: strength)
        guard first < sampler.calls else {
            throw ConditioningError(
                "A strength of \(strength) leaves none of the \(sampler.steps) steps to do: raise the strength or the steps.")
        }
        return first
    }

    /// The latent before `call`, the first call of the run: noise at the sampler's own scale if `startsFromNoise`, else the
    /// picture with noise added up to the level at which `call` starts.
    ///
    /// - Parameters:
    ///   - image: the picture's latent in the sampler's scale, of the size of `noise`. It is not used if the run begins with
    ///     noise alone.
    ///   - noise: unit noise.
    public func startLatent(
        image: [Float], noise: [Float], sampler: Sampler, strength: Double, call: Int
    ) -> [Float] {
        guard !startsFromNoise(strength: strength) else { return noise.map { $0 * sampler.initialNoiseScale } }
        return sampler.addNoise(to: image, noise: noise, call: call)
    }
}
