import ImageConditioning
import PatchGeometry
import Samplers

/// What a source picture asks of a run, decided before the run begins.
struct SourceUse: Sendable, Equatable {
    var mode: ImageMode
    var strength: Double

    /// Which pictures go through the encoder, in this order: the picture itself, the picture with grey where it is made anew.
    var encodes: [ImageMode.Draw] {
        // diffusers draws noise for the masked picture in every case, but only a network with channels for it looks at it.
        mode.draws(strength: strength).filter { $0 == .image || ($0 == .maskedImage && mode == .inpaintNine) }
    }
}

/// The source picture as latents, in the order in which the canvas lies: whole, or as the patches of the structure phase.
struct SourceGuide: Sendable {
    /// What must stay, for a network that was not trained to leave it alone.
    private var known: KnownRegion?
    /// Mask and masked picture of the whole canvas, planar, for a network that was trained for inpainting. It takes them
    /// behind the latent, and only the latent is scaled.
    private(set) var extraChannels: [Float]?

    static let none = SourceGuide()

    private init() {}

    /// - Parameters:
    ///   - image: the picture's latent; empty where the run does not look at it.
    ///   - noise: the noise that the run begins with.
    ///   - mask: one channel of the latent's size.
    ///   - masked: the masked picture's latent; empty where the run does not look at it.
    ///   - channels: of the latent.
    ///   - layOut: from the canvas to the order of the run's first phase.
    init(
        _ mode: ImageMode, image: [Float], noise: [Float], mask: [Float], masked: [Float], channels: Int,
        layOut: ([Float]) -> [Float]
    ) {
        switch mode {
        case .textToImage, .imageToImage: break
        case .inpaintKnown:
            let everyChannel = (0..<channels).flatMap { _ in mask }
            known = KnownRegion(image: layOut(image), noise: noise, mask: layOut(everyChannel))
        case .inpaintNine: extraChannels = mask + masked
        }
    }

    /// The canvas after `call`, with what must stay put back.
    func impose(on canvas: [Float], after call: Int, sampler: Sampler) -> [Float] {
        known?.impose(on: canvas, after: call, sampler: sampler) ?? canvas
    }

    /// Follows the canvas through relocation.
    mutating func relocate(_ transform: ([Float]) -> [Float]) { known?.mapArrays(transform) }
}
