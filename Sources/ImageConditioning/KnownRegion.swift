public import Samplers

/// The part of a picture that stays while an ordinary U-Net makes the rest anew. It is put back after every call, with as
/// much noise as the rest has (diffusers' inpainting pipelines with four-channel models).
///
/// All arrays have the same size and order: that of a canvas, or of a canvas's patches one after the other.
public struct KnownRegion: Sendable, Equatable {
    private var image: [Float]
    private var noise: [Float]
    private var mask: [Float]

    /// - Parameters:
    ///   - image: the picture's latent in the sampler's scale.
    ///   - noise: the unit noise at the start of the run.
    ///   - mask: the mask of one channel at the latent's size (`InpaintMask.latentMask`), for `image` of several channels.
    public init(image: [Float], noise: [Float], mask: [Float]) {
        precondition(image.count == noise.count && !mask.isEmpty && image.count % mask.count == 0)
        self.image = image
        self.noise = noise
        self.mask = image.indices.map { mask[$0 % mask.count] }
    }

    /// Rearranges all arrays as the sample is rearranged. `transform` must only move values.
    public mutating func mapArrays(_ transform: ([Float]) -> [Float]) {
        (image, noise, mask) = (transform(image), transform(noise), transform(mask))
    }

    /// `sample` after `call`, with the known region put back: with noise up to the level at which the next call starts, and
    /// clean after the last call.
    public func impose(on sample: [Float], after call: Int, sampler: Sampler) -> [Float] {
        precondition(sample.count == image.count)
        let known = call + 1 < sampler.calls ? sampler.addNoise(to: image, noise: noise, call: call + 1) : image
        // Both products are computed, so that a NaN stays visible on either side.
        return sample.indices.map { (1 - mask[$0]) * known[$0] + mask[$0] * sample[$0] }
    }
}
