import Acceleration
import PatchGeometry
public import Rendering

/// A way to make a picture that can be compared with others, by words joined with `+`, such as `cut+hidiffusion`.
///
/// Each word changes a request; `MethodWord.all` is the one place where they are defined. A recipe decides everything that its
/// words are about: settings of the request that belong to a method which the recipe does not use are taken out.
public struct MethodRecipe: Sendable {
    /// As the user wrote it.
    public let name: String
    private let words: [MethodWord]

    /// The plain picture at once.
    public static let direct = MethodRecipe(name: "direct", words: [])

    private init(name: String, words: [MethodWord]) { (self.name, self.words) = (name, words) }

    /// Reads a recipe. Throws `.invalidRequest` for unknown words, with the list of those there are, and for words that do not
    /// go together.
    public init(_ name: String) throws(RenderError) {
        var words: [MethodWord] = []
        for part in name.split(separator: "+", omittingEmptySubsequences: false) {
            guard let word = MethodWord.all.first(where: { $0.name == part }) else {
                let known = MethodWord.all.map(\.name).joined(separator: ", ")
                throw RenderError(
                    .invalidRequest,
                    "\"\(part)\" is no method to compare: choose from \(known), or join several by +, such as cut+feather.")
            }
            guard !words.contains(where: { $0.name == word.name }) else {
                throw RenderError(.invalidRequest, "The method \(name) has the word \(word.name) twice: give it once.")
            }
            words.append(word)
        }
        let whole = words.filter(\.isWhole)
        guard whole.count <= 1 else {
            let names = whole.map(\.name).joined(separator: " and ")
            throw RenderError(
                .invalidRequest, "The method \(name) asks for \(names), which exclude each other: choose one of them.")
        }
        // What makes the whole picture comes first, whatever the order of the words: the others change it.
        self.init(name: name, words: whole + words.filter { !$0.isWhole })
    }

    /// Reads recipes with commas between them. Throws `.invalidRequest` as above and for one that is there twice.
    public static func list(_ text: String) throws(RenderError) -> [MethodRecipe] {
        var recipes: [MethodRecipe] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let recipe = try MethodRecipe(String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()))
            if let twin = recipes.first(where: { $0.isSame(as: recipe) }) {
                throw RenderError(.invalidRequest, "The methods \(twin.name) and \(recipe.name) are the same: leave one out.")
            }
            recipes.append(recipe)
        }
        return recipes
    }

    private func isSame(as other: MethodRecipe) -> Bool {
        func essence(_ recipe: MethodRecipe) -> Set<String> { Set(recipe.words.map(\.name)).subtracting(["direct"]) }
        return essence(self) == essence(other)
    }

    /// The request made by this recipe.
    ///
    /// - Parameters:
    ///   - request: of the size that is wanted.
    ///   - native: the model's native side in pixels.
    public func applied(to request: RenderRequest, native: Int) -> RenderRequest {
        var draft = MethodDraft(asked: request, native: native)
        for word in words { word.apply(&draft) }
        return draft.finished
    }
}

/// One word of a recipe.
struct MethodWord: Sendable {
    let name: String
    /// Whether it says how the whole picture is made; of such words a recipe has at most one, and without one it is `direct`.
    let isWhole: Bool
    let apply: @Sendable (inout MethodDraft) -> Void

    /// All words there are.
    static let all = [
        // What `render` does when nothing is said.
        MethodWord(name: "auto", isWhole: true) { draft in
            (draft.request.method, draft.request.hiDiffusion) = (.auto, .auto)
            draft.request.tokenReduction = draft.asked.tokenReduction
        },
        MethodWord(name: "direct", isWhole: true) { $0.request.method = .direct },
        MethodWord(name: "hires", isWhole: true) { $0.request.method = .hires },
        MethodWord(name: "multidiffusion", isWhole: true) { $0.request.method = .multidiffusion },
        MethodWord(name: "cut", isWhole: true) { $0.request.method = .cut },
        // HiDiffusion needs a U-Net input that is larger than the native size.
        MethodWord(name: "hidiffusion", isWhole: false) { draft in
            draft.request.hiDiffusion = .on
            if [.cut, .multidiffusion].contains(draft.request.method) {
                draft.request.patch = draft.request.patch ?? 2 * draft.native
            }
        },
        // One half of HiDiffusion each.
        MethodWord(name: "raunet", isWhole: false) { draft in
            (draft.request.hiDiffusion, draft.request.hiDiffusionSettings.windows) = (.on, false)
        },
        MethodWord(name: "windows", isWhole: false) { draft in
            (draft.request.hiDiffusion, draft.request.hiDiffusionSettings.raunet) = (.on, false)
        },
        // Hires: the later stages in views.
        MethodWord(name: "tiled", isWhole: false) { $0.request.refinement.tiled = true },
        // CutDiffusion at the native size, at twice of it and so on before the picture's own.
        MethodWord(name: "staged", isWhole: false) { draft in
            if draft.request.stages?.isEmpty ?? true { draft.request.stages = draft.doublings }
        },
        // CutDiffusion's structure phase on the whole canvas.
        MethodWord(name: "whole", isWhole: false) { $0.request.structure = .whole },
        MethodWord(name: "feather", isWhole: false) { $0.request.blending = .feather },
        // Views that are not moved from call to call.
        MethodWord(name: "still", isWhole: false) { $0.request.jitter = 0 },
        // Token merging at tomesd's ratio.
        MethodWord(name: "tome", isWhole: false) { draft in
            draft.reduceTokens { $0.merging = $1?.merging ?? TokenReductionRequest.Merging(ratio: 0.5) }
        },
        // Token downsampling by as much as the picture is larger than the native one, as its authors do.
        MethodWord(name: "todo", isWhole: false) { draft in
            let factor = max(2, draft.enlargement.rounded())
            draft.reduceTokens { $0.downsampling = $1?.downsampling ?? TokenReductionRequest.Downsampling(factors: [factor]) }
        },
    ]
}

/// A request on its way through a recipe.
struct MethodDraft {
    /// What the user asked for.
    let asked: RenderRequest
    /// The model's native side in pixels.
    let native: Int
    /// Begins as the picture made directly, with nothing that makes it faster.
    var request: RenderRequest

    init(asked: RenderRequest, native: Int) {
        (self.asked, self.native) = (asked, native)
        request = asked
        (request.method, request.hiDiffusion, request.tokenReduction) = (.direct, .off, nil)
    }

    /// How many times the native side the picture's is, by its area.
    var enlargement: Double { (Double(request.width) * Double(request.height)).squareRoot() / Double(max(1, native)) }

    /// 1, 2, 4 and so on, as long as they are clearly smaller than the picture.
    var doublings: [Double] { RefinementSettings.doublings(towards: enlargement) }

    /// Adds one way to work on fewer tokens; the user's settings of it are in the second argument.
    mutating func reduceTokens(_ change: (inout TokenReductionRequest, TokenReductionRequest?) -> Void) {
        var tokens = request.tokenReduction ?? TokenReductionRequest()
        if let asked = asked.tokenReduction { (tokens.start, tokens.end) = (asked.start, asked.end) }
        change(&tokens, asked.tokenReduction)
        request.tokenReduction = tokens
    }

    /// The request without settings that its method does not have. Where nothing is said, methods are as published and not as
    /// the model's recommendation has them: views uniform, CutDiffusion in one stage.
    var finished: RenderRequest {
        var result = request
        let hasViews = [.cut, .multidiffusion].contains(result.method) || result.refinement.tiled == true
        switch result.method {
        case .auto: return result
        case .direct, .multidiffusion: (result.stages, result.refinement) = (nil, RefinementSettings())
        case .hires: break
        case .cut:
            result.stages = result.stages ?? []
            if result.stages == [] { result.refinement = RefinementSettings() }
        }
        if result.method != .cut { (result.structure, result.structureFraction) = (nil, nil) }
        if hasViews {
            result.blending = result.blending ?? .uniform
        } else {
            (result.patch, result.stride, result.jitter, result.blending) = (nil, nil, nil, nil)
            result.detailGuidanceScale = nil
        }
        return result
    }
}
