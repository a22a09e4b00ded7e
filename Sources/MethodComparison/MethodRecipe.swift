import Acceleration
import Foundation
import PatchGeometry
public import Rendering

/// A way to make a picture: words joined with `+`, such as `cut+hidiffusion`.
///
/// Each word changes a request; `MethodWord.all` defines them. A word that would change nothing is refused. The request loses
/// settings of methods that the recipe does not use.
public struct MethodRecipe: Sendable {
    /// The user's spelling.
    public let name: String
    private let words: [MethodWord]

    /// The plain picture at once.
    public static let direct = MethodRecipe(name: "direct", words: [])

    private init(name: String, words: [MethodWord]) { (self.name, self.words) = (name, words) }

    /// Reads a recipe.
    ///
    /// - Throws: `.invalidRequest` for unknown words, with the list of known words, and for words that exclude each other.
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
        try Self.check(words, of: name)
        // In the order of the list, not the user's: later words build on earlier ones.
        self.init(name: name, words: MethodWord.all.filter { known in words.contains { $0.name == known.name } })
    }

    private static func check(_ words: [MethodWord], of name: String) throws(RenderError) {
        for (index, word) in words.enumerated() {
            if let other = words[..<index].first(where: { word.excludes($0) }) {
                throw RenderError(
                    .invalidRequest,
                    "The method \(name) asks for \(other.name) and \(word.name), which exclude each other: choose one of them.")
            }
            guard word.needs.isEmpty || words.contains(where: { word.needs.contains($0.name) }) else {
                let needed = MethodWord.alternatives(word.needs)
                throw RenderError(
                    .invalidRequest,
                    "The method \(name) has the word \(word.name), which changes nothing without \(needed): add that or leave "
                        + "\(word.name) out.")
            }
        }
    }

    /// The words of recipes, for people.
    public static var help: String {
        let whole = MethodWord.all.filter { $0.group == .whole }.map(\.name)
        let others = MethodWord.all.filter { $0.group != .whole }.map { word in
            word.needs.isEmpty ? word.name : "\(word.name) (with \(MethodWord.alternatives(word.needs)))"
        }
        return "Methods with commas between them: \(MethodWord.alternatives(whole)), each alone or joined by + with "
            + "\(others.joined(separator: ", ")), such as direct,hidiffusion,hires,cut,cut+feather."
    }

    /// Reads recipes with commas between them.
    ///
    /// - Throws: `.invalidRequest` as for one recipe, and for a repeated recipe.
    public static func list(_ text: String) throws(RenderError) -> [MethodRecipe] {
        var recipes: [MethodRecipe] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let recipe = try MethodRecipe(part.trimmingCharacters(in: CharacterSet(charactersIn: " ")))
            if let twin = recipes.first(where: { $0.isSame(as: recipe) }) {
                throw RenderError(.invalidRequest, "The methods \(twin.name) and \(recipe.name) are the same: leave one out.")
            }
            recipes.append(recipe)
        }
        return recipes
    }

    /// A recipe that gives settings of a use an effect; nil if every recipe does.
    public static func adding(_ use: SettingUse) -> String? {
        switch use {
        case .always: nil
        case .structure, .views: "cut"
        case .stages: "cut+staged"
        case .refinement, .tiles: "hires"
        case .hiDiffusion, .hiDiffusionProfile: "hidiffusion"
        }
    }

    private func isSame(as other: MethodRecipe) -> Bool {
        func essence(_ recipe: MethodRecipe) -> Set<String> { Set(recipe.words.map(\.name)).subtracting(["direct"]) }
        return essence(self) == essence(other)
    }

    /// The request, changed by this recipe.
    ///
    /// - Parameter request: has the picture's size.
    public func applied(to request: RenderRequest, model: ModelDescription) -> RenderRequest {
        var draft = MethodDraft(
            asked: request, native: model.nativeSize, multiple: model.scaleFactor,
            firstTokenLevel: model.transformerBlocks.keys.min() ?? 1)
        for word in words { word.apply(&draft) }
        return draft.finished
    }
}

/// A request on its way through a recipe.
struct MethodDraft {
    /// The user's request.
    let asked: RenderRequest
    /// The model's native side in pixels.
    let native: Int
    /// The model's sides are multiples of this.
    let multiple: Int
    /// The first level at which the model has transformer blocks.
    let firstTokenLevel: Int
    /// Begins as the direct picture, without any acceleration.
    var request: RenderRequest

    init(asked: RenderRequest, native: Int, multiple: Int, firstTokenLevel: Int) {
        (self.asked, self.native, self.multiple, self.firstTokenLevel) = (asked, native, multiple, firstTokenLevel)
        request = asked
        (request.method, request.hiDiffusion, request.tokenReduction) = (.direct, .off, nil)
    }

    /// The ratio of the picture to the native size, as a side, by area.
    var enlargement: Double { (Double(request.width) * Double(request.height)).squareRoot() / Double(max(1, native)) }

    /// 1, 2, 4 and so on, while clearly smaller than the picture.
    var doublings: [Double] { RefinementSettings.doublings(towards: enlargement) }

    /// Turns HiDiffusion on. It needs a U-Net input beyond the native size: the whole canvas of a structure phase, or views
    /// that become as large as the picture allows.
    mutating func useHiDiffusion() {
        request.hiDiffusion = .on
        guard SettingUse.views.isMet(by: request), request.patch == nil,
            !(request.method == .cut && request.structure == .whole)
        else { return }
        request.patch = min(2 * native, max(request.width, request.height) / multiple * multiple)
    }

    /// Adds one way to work on fewer tokens; the second argument holds the user's settings of it.
    mutating func reduceTokens(_ change: (inout TokenReductionRequest, TokenReductionRequest?) -> Void) {
        var tokens = request.tokenReduction ?? TokenReductionRequest()
        if let asked = asked.tokenReduction {
            (tokens.start, tokens.end, tokens.stages) = (asked.start, asked.end, asked.stages)
        }
        change(&tokens, asked.tokenReduction)
        request.tokenReduction = tokens
    }

    /// The request without settings that its method does not have. Settings of views that are left open become uniform, as
    /// published, and not the choice of `auto`.
    var finished: RenderRequest {
        var resolved = request
        if request.method == .auto {
            guard RenderMethod.autoIsDirect(width: request.width, height: request.height, native: native) else {
                return request
            }
            resolved.method = .direct
        }
        var result = request
        for setting in RenderRequest.settings where !setting.use.isMet(by: resolved) { setting.clear(&result) }
        let isInStages = result.method == .hires || result.stages?.isEmpty == false
        if !isInStages { result.tokenReduction = result.tokenReduction?.ofOneStage }
        if SettingUse.views.isMet(by: resolved) { result.blending = result.blending ?? .uniform }
        return result
    }
}
