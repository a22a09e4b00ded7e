import Acceleration
import PatchGeometry
import Rendering

/// One word of a recipe.
struct MethodWord: Sendable {
    /// Words of one group exclude each other.
    enum Group {
        /// The method of the whole picture; a recipe without one is `direct`.
        case whole
        case hiDiffusion
    }

    let name: String
    let group: Group?
    /// The recipe must have one of these words, or this word would change nothing. Empty if it always changes something.
    let needs: [String]
    /// `auto` decides about these itself.
    let isOfAuto: Bool
    let apply: @Sendable (inout MethodDraft) -> Void

    init(
        _ name: String, group: Group? = nil, needs: [String] = [], isOfAuto: Bool = false,
        apply: @escaping @Sendable (inout MethodDraft) -> Void
    ) {
        (self.name, self.group, self.needs, self.isOfAuto, self.apply) = (name, group, needs, isOfAuto, apply)
    }

    func excludes(_ other: MethodWord) -> Bool {
        if let group, group == other.group { return true }
        return (isOfAuto && other.name == "auto") || (name == "auto" && other.isOfAuto)
    }

    /// `a`, `a or b`, `a, b or c`.
    static func alternatives(_ names: [String]) -> String {
        guard let last = names.last, names.count > 1 else { return names.first ?? "" }
        return names.dropLast().joined(separator: ", ") + " or " + last
    }

    private static let views = ["cut", "multidiffusion", "tiled"]

    /// All words, in the order in which they change a request.
    static let all = [
        // The method that `render` chooses by itself. Settings that would change the method, or belong to one that it does
        // not choose, are left to the other words.
        MethodWord("auto", group: .whole) { draft in
            (draft.request.method, draft.request.hiDiffusion) = (.auto, .auto)
            (draft.request.structure, draft.request.structureFraction) = (nil, nil)
            draft.request.refinement.tiled = nil
            // Its views are native, too small for HiDiffusion, unless the user changes them.
            if draft.request.patch == nil { draft.request.hiDiffusionSettings = .published }
            draft.request.tokenReduction = draft.asked.tokenReduction
        },
        MethodWord("direct", group: .whole) { $0.request.method = .direct },
        MethodWord("hires", group: .whole) { $0.request.method = .hires },
        MethodWord("multidiffusion", group: .whole) { $0.request.method = .multidiffusion },
        // CutDiffusion in one stage, as published.
        MethodWord("cut", group: .whole) { ($0.request.method, $0.request.stages) = (.cut, []) },
        // Hires: the later stages in views.
        MethodWord("tiled", needs: ["hires"]) { $0.request.refinement.tiled = true },
        // CutDiffusion at the native size, at twice of it and so on before the picture's own. The request is refused later if
        // the picture is too small for an earlier stage: it would be plain CutDiffusion.
        MethodWord("staged", needs: ["cut"]) { draft in
            let asked = draft.asked.stages ?? []
            // Refining changes too little for a structure phase, unless the user sets more.
            if draft.asked.refinement.strength == nil {
                (draft.request.structure, draft.request.structureFraction) = (nil, nil)
            }
            draft.request.stages = asked.isEmpty ? (draft.doublings.isEmpty ? [1] : draft.doublings) : asked
        },
        // CutDiffusion's structure phase on the whole canvas.
        MethodWord("whole", needs: ["cut"]) { $0.request.structure = .whole },
        MethodWord("feather", needs: views) { $0.request.blending = .feather },
        // Views that do not move.
        MethodWord("still", needs: views) { $0.request.jitter = 0 },
        MethodWord("hidiffusion", group: .hiDiffusion, isOfAuto: true) { $0.useHiDiffusion() },
        // One half of HiDiffusion each.
        MethodWord("raunet", group: .hiDiffusion, isOfAuto: true) { draft in
            draft.useHiDiffusion()
            (draft.request.hiDiffusionSettings.raunet, draft.request.hiDiffusionSettings.windows) = (true, false)
        },
        MethodWord("windows", group: .hiDiffusion, isOfAuto: true) { draft in
            draft.useHiDiffusion()
            (draft.request.hiDiffusionSettings.raunet, draft.request.hiDiffusionSettings.windows) = (false, true)
        },
        // The autoencoder's tiles as other programs have them.
        MethodWord("vae-blend") { $0.request.vaeTiling = .blend },
        // Token merging at tomesd's ratio, at the first level with blocks unless the user names levels: tomesd's own level is
        // 1, where SDXL has nothing to merge.
        MethodWord("tome") { draft in
            let level = draft.firstTokenLevel
            draft.reduceTokens { tokens, asked in
                var merging = asked?.merging ?? TokenReductionRequest.Merging(ratio: 0.5)
                if merging.levels == nil, merging.maximumDownsample == nil, level > 1 { merging.maximumDownsample = level }
                tokens.merging = merging
            }
        },
        // Token downsampling by the ratio of the picture to the native one, as its authors do.
        MethodWord("todo") { draft in
            let factor = max(2, draft.enlargement.rounded())
            draft.reduceTokens { $0.downsampling = $1?.downsampling ?? TokenReductionRequest.Downsampling(factors: [factor]) }
        },
    ]
}
