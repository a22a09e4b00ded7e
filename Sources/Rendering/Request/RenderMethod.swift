/// How a picture beyond the model's native size is made.
public enum RenderMethod: String, Sendable, CaseIterable {
    /// `direct` up to the native size, beyond it what suits the model.
    case auto
    /// The whole latent at once.
    case direct
    /// CutDiffusion: patches that share their pixels, then overlapping views (arXiv 2404.15141).
    case cut
    /// At about the native size first, then enlarged and denoised once more: the "hires fix" of A1111's web UI.
    case hires
    /// Overlapping views from the first step on (MultiDiffusion, arXiv 2302.08113).
    case multidiffusion
}

/// Whether HiDiffusion changes the U-Net (arXiv 2311.17528).
public enum HiDiffusionChoice: String, Sendable, CaseIterable {
    /// Where a whole latent or a large patch gives the U-Net an input that is large enough for it.
    case auto
    case on
    case off
}

/// What the network sees in CutDiffusion's structure phase.
public enum StructureKind: String, Sendable, CaseIterable {
    /// Native patches that share their pixels, as published.
    case patches
    /// The whole canvas at once, which HiDiffusion makes valid. Not published; needs no relocation.
    case whole
}
