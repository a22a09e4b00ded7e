public import Samplers

/// The part of a picture that must stay while an ordinary U-Net makes the rest anew: put back after every call, noised as much
/// as the rest is (diffusers' inpainting pipelines with four-channel models).
///
/// All arrays have one size and order, whatever it is: a canvas, or the patches of a canvas one after the other.
public struct KnownRegion: Sendable, Equatable {
    private var image: [Float]
    private var noise: [Float]
    private var mask: [Float]

    /// - Parameters:
    ///   - image: the picture's latent in the sampler's scale.
    ///   - noise: the unit noise that the run began with.
    ///   - mask: the mask of one channel at the latent's size (`InpaintMask.latentMask`), for `image` of several channels.
    public init(image: [Float], noise: [Float], mask: [Float]) {
        precondition(image.count == noise.count && !mask.isEmpty && image.count % mask.count == 0)
        self.image = image
        self.noise = noise
        self.mask = image.indices.map { mask[$0 % mask.count] }
    }

    /// Rearranges all that it holds as the sample is rearranged. `transform` must move values only.
    public mutating func mapArrays(_ transform: ([Float]) -> [Float]) {
        (image, noise, mask) = (transform(image), transform(noise), transform(mask))
    }

    /// `sample` as the sampler left it after `call`, with the known region put back: noised to the level at which the next call
    /// starts, and clean after the last.
    public func impose(on sample: [Float], after call: Int, sampler: Sampler) -> [Float] {
        precondition(sample.count == image.count)
        let known = call + 1 < sampler.calls ? sampler.addNoise(to: image, noise: noise, call: call + 1) : image
        // Both products are taken, so that a NaN is seen wherever it stands.
        return sample.indices.map { (1 - mask[$0]) * known[$0] + mask[$0] * sample[$0] }
    }
}

/// What a U-Net that was trained for inpainting is shown beside the latent: the mask and the latent of the masked picture.
public struct InpaintingChannels: Sendable, Equatable {
    /// One channel at the latent's size, 1 where the picture is made anew.
    public var mask: [Float]
    /// Planar, in the sampler's scale.
    public var maskedImage: [Float]

    /// From the mask and the masked picture's latent, of one size and any number of channels.
    public init(mask: [Float], maskedImage: [Float]) {
        precondition(!mask.isEmpty && maskedImage.count % mask.count == 0)
        self.mask = mask
        self.maskedImage = maskedImage
    }

    /// The network's input, planar: the latent as `Sampler.scaleInput` gives it, the mask, the masked picture's latent. The
    /// last two are never scaled.
    public func input(_ scaled: [Float]) -> [Float] {
        precondition(scaled.count == maskedImage.count)
        return scaled + channels
    }

    /// What stands behind the latent in `input`.
    public var channels: [Float] { mask + maskedImage }
}
