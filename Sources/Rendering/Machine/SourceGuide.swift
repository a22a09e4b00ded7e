import ImageConditioning
import PatchGeometry
import Samplers

/// The use of a source picture, decided before the render begins.
struct SourceUse: Sendable, Equatable {
    var mode: ImageMode
    var strength: Double

    /// The pictures for the encoder, in this order: the picture itself, and the picture with grey where it is made anew.
    var encodes: [ImageMode.Draw] {
        // diffusers always draws noise for the masked picture, but only a network with channels for it needs the picture.
        mode.draws(strength: strength).filter { $0 == .image || ($0 == .maskedImage && mode == .inpaintNine) }
    }
}

/// The source picture as latents in the layout of the canvas: whole, or as the patches of the structure phase.
struct SourceGuide: Sendable {
    /// The part to keep, for a network that was not trained for inpainting.
    private var known: KnownRegion?
    /// The planar mask and masked picture of the whole canvas, for a network that was trained for inpainting. It takes them
    /// behind the latent, and only the latent is scaled.
    private(set) var extraChannels: [Float]?

    static let none = SourceGuide()

    private init() {}

    /// - Parameters:
    ///   - image: the picture's latent; empty if the mode does not use it.
    ///   - noise: the noise at the beginning.
    ///   - mask: one channel of the latent's size.
    ///   - masked: the masked picture's latent; empty if the mode does not use it.
    ///   - channels: of the latent.
    ///   - layOut: turns a canvas into the layout of the first phase.
    init(
        _ mode: ImageMode, image: [Float], noise: [Float], mask: [Float], masked: [Float], channels: Int,
        layOut: ([Float]) -> [Float]
    ) {
        switch mode {
        case .textToImage, .imageToImage: break
        case .inpaintKnown:
            let everyChannel = (0..<channels).flatMap { _ in mask }
            known = KnownRegion(image: layOut(image), noise: noise, mask: layOut(everyChannel))
        case .inpaintNine:
            precondition(!mask.isEmpty && masked.count % mask.count == 0, "a masked picture has the mask's points")
            extraChannels = mask + masked
        }
    }

    /// The canvas after `call`, with the kept part restored.
    func impose(on canvas: [Float], after call: Int, sampler: Sampler) -> [Float] {
        known?.impose(on: canvas, after: call, sampler: sampler) ?? canvas
    }

    /// Takes the canvas's relocation.
    mutating func relocate(_ transform: ([Float]) -> [Float]) { known?.mapArrays(transform) }
}
