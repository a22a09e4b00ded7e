public import Samplers

/// What a given picture does to a run, as diffusers' pipelines have it. Arrays are planar latents of one picture.
///
/// The order of things is the same in every mode: draw the maps of `draws`, encode the picture (and the masked picture),
/// take `startLatent`, and call the network from `firstCall` on. After every call `inpaintKnown` puts the known region back
/// (`KnownRegion`); for `inpaintNine` the network is shown five more channels (`InpaintingChannels`).
public enum ImageMode: String, Sendable, Equatable, CaseIterable {
    /// No picture.
    case textToImage
    /// The whole picture is changed, more so the greater the strength.
    case imageToImage
    /// A part of the picture is made anew by an ordinary U-Net: what must stay is put back after every step.
    case inpaintKnown
    /// A part of the picture is made anew by a U-Net trained for it, with nine input channels.
    case inpaintNine

    /// The way in which a U-Net inpaints: with twice its latent's channels and one more as input, it was trained for it.
    ///
    /// Throws for a U-Net that takes neither a latent nor a latent with mask and masked picture.
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
        /// For the picture's latent, which the encoder gives as a distribution.
        case image
        /// The noise that the run begins with.
        case noise
        /// For the masked picture's latent.
        case maskedImage
    }

    /// The maps that are drawn from the seed's stream before the first step, in this order; the sampler's own come after them.
    ///
    /// `inpaintKnown` has no use for the masked picture's latent, but diffusers draws for it, so it is in the list: a seed must
    /// mean the same noise later on.
    ///
    /// - Parameter strength: `0...1`; at 1 `inpaintNine` has no use for the unmasked picture, and nothing is drawn for it.
    public func draws(strength: Double) -> [Draw] {
        switch self {
        case .textToImage: [.noise]
        case .imageToImage: [.image, .noise]
        case .inpaintKnown: [.image, .noise, .maskedImage]
        case .inpaintNine: strength < 1 ? [.image, .noise, .maskedImage] : [.noise, .maskedImage]
        }
    }

    /// Whether the run begins with noise alone, whatever the picture: inpainting at full strength does, image-to-image does
    /// not.
    public func startsFromNoise(strength: Double) -> Bool {
        self == .textToImage || (isInpainting && strength >= 1)
    }

    /// The call of the network with which the run begins.
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

    /// The latent before `call`, which is the run's first: noise at the sampler's own scale where `startsFromNoise` says so,
    /// else the picture noised to the level at which `call` starts.
    ///
    /// - Parameters:
    ///   - image: the picture's latent in the sampler's scale; it has the size of `noise`, and is not looked at where the run
    ///     begins with noise alone.
    ///   - noise: unit noise.
    public func startLatent(
        image: [Float], noise: [Float], sampler: Sampler, strength: Double, call: Int
    ) -> [Float] {
        guard !startsFromNoise(strength: strength) else { return noise.map { $0 * sampler.initialNoiseScale } }
        return sampler.addNoise(to: image, noise: noise, call: call)
    }
}
