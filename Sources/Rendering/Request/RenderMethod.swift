/// The way to make a picture beyond the model's native size.
public enum RenderMethod: String, Sendable, CaseIterable {
    /// `direct` up to the native size, and the model's recommended method beyond it.
    case auto
    /// The whole latent at once.
    case direct
    /// CutDiffusion: patches that share their pixels, then overlapping views (arXiv 2404.15141).
    case cut
    /// First a picture of about the native size, which is then enlarged and denoised again: the "hires fix" of A1111's web UI.
    case hires
    /// Overlapping views from the first step on (MultiDiffusion, arXiv 2302.08113).
    case multidiffusion

    /// Whether `auto` makes a picture directly: up to about the native area, unless it is a long strip.
    ///
    /// - Parameter native: the model's native side, in the unit of width and height.
    public static func autoIsDirect(width: Int, height: Int, native: Int) -> Bool {
        RefinementSettings.isNearNative(area: width * height, native: native) && max(width, height) <= 2 * native
    }
}

/// Whether HiDiffusion changes the U-Net (arXiv 2311.17528).
public enum HiDiffusionChoice: String, Sendable, CaseIterable {
    /// On where the U-Net's input, a whole latent or a large patch, is large enough.
    case auto
    case on
    case off
}

/// The way to decode a latent in tiles.
public enum VAETiling: String, Sendable, CaseIterable {
    /// With the norms and the attention of the whole latent: tiles do not show.
    case exact
    /// Each tile by itself, with fading borders, as other programs do it. It is for comparison.
    case blend
}

/// The network's input in CutDiffusion's structure phase.
public enum StructureKind: String, Sendable, CaseIterable {
    /// Patches of native size that share their pixels, as published.
    case patches
    /// The whole canvas at once, which HiDiffusion makes possible. This is our extension; it needs no relocation.
    case whole
}
