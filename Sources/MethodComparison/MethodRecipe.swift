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
                    "\"\(part)\" is no method to compare: choose from \(known), or join several by +, such as cut+hidiffusion.")
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
    /// - Parameter native: the model's native side in pixels.
    public func applied(to request: RenderRequest, native: Int) -> RenderRequest {
        var result = request
        (result.method, result.hiDiffusion) = (.direct, .off)
        for word in words { word.apply(&result, native) }
        if result.method == .direct { result.clearCutSettings() }
        return result
    }
}

/// One word of a recipe.
struct MethodWord: Sendable {
    let name: String
    /// Whether it says how the whole picture is made; of such words a recipe has at most one, and without one it is `direct`.
    let isWhole: Bool
    /// Changes a request that would make the picture directly, without HiDiffusion, for a model of this native side in pixels.
    let apply: @Sendable (_ request: inout RenderRequest, _ native: Int) -> Void

    /// All words there are.
    static let all = [
        // What `render` does when nothing is said.
        MethodWord(name: "auto", isWhole: true) { request, _ in (request.method, request.hiDiffusion) = (.auto, .auto) },
        MethodWord(name: "direct", isWhole: true) { request, _ in request.method = .direct },
        MethodWord(name: "cut", isWhole: true) { request, _ in request.method = .cut },
        // HiDiffusion needs a U-Net input that is larger than the native size.
        MethodWord(name: "hidiffusion", isWhole: false) { request, native in
            request.hiDiffusion = .on
            if request.method == .cut { request.patch = request.patch ?? 2 * native }
        },
    ]
}

extension RenderRequest {
    /// Settings that only CutDiffusion has.
    fileprivate mutating func clearCutSettings() {
        (patch, stride, structureFraction, detailGuidanceScale) = (nil, nil, nil, nil)
    }
}
