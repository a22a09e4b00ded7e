public import Rendering
public import Sentences

/// A picture in the words of a user, as a command line or a form has them: a word for each setting that the user said something
/// of, as `RenderRequest.settings` reads it. A setting that may be said several times has several.
public struct RequestWords: Sendable {
    private var words: [Setting: [String]] = [:]
    /// The picture to start from.
    public var picture: PictureInput?
    /// Marks the part of the picture that is made anew.
    public var mask: PictureInput?

    /// A prompt of which nothing else is said.
    public init(prompt: String) { self[.prompt] = prompt }

    /// The last word for a setting; nil where nothing is said. Setting it replaces all there are.
    public subscript(setting: Setting) -> String? {
        get { words[setting]?.last }
        set { words[setting] = newValue.map { [$0] } }
    }

    /// One more word for a setting.
    public mutating func say(_ word: String, for setting: Setting) { words[setting, default: []].append(word) }

    /// The request in the words of `Rendering`, checked as far as it can be without a model. Pictures are read.
    ///
    /// A random seed becomes a number here, once, so that every later part sees the number that is used.
    ///
    /// - Throws: `invalid` for a word or number that is not possible, otherwise what reading a picture throws.
    public func request() throws(RequestError) -> RenderRequest {
        var request = RenderRequest()
        let known = Set(RenderRequest.settings.compactMap(\.setting))
        if let unknown = words.keys.filter({ !known.contains($0) }).min(by: { $0.key < $1.key }) {
            throw RequestError(.invalid, "A request has no setting \(unknown).")
        }
        try TokenGroups(words).check()
        for setting in RenderRequest.settings {
            guard let name = setting.setting else { continue }
            for word in words[name] ?? [] {
                let word = name == .seed ? String(try SeedWord(word).drawn()) : word
                do { try setting.take(word, into: &request) } catch { throw RequestError(error) }
            }
        }
        request.source = try SourceLoading(
            picture: picture, mask: mask, width: self[.width].map { _ in request.width },
            height: self[.height].map { _ in request.height }
        ).load()
        if let source = request.source { (request.width, request.height) = (source.width, source.height) }
        TokenGroups(words).leaveOutEmpty(&request)
        do { try request.validated() } catch { throw RequestError(error) }
        return request
    }
}

/// Settings of fewer tokens mean something only beside the one that says how many.
private struct TokenGroups {
    let words: [Setting: [String]]

    init(_ words: [Setting: [String]]) { self.words = words }

    private func isSaid(_ setting: Setting) -> Bool { words[setting] != nil }

    /// A ratio of later stages that is 0 says nothing.
    private var hasMerging: Bool { isSaid(.tomeRatio) || words[.tomeHiresRatio]?.last.map { Double($0) != 0 } ?? false }
    private var hasDownsampling: Bool { isSaid(.todoFactor) }

    func check() throws(RequestError) {
        if !hasMerging {
            let others = TokenReductionRequest.Merging.settings.compactMap(\.setting).filter { $0 != .tomeHiresRatio }
            if let lone = others.first(where: isSaid) {
                throw RequestError(.invalid, "\(lone) belongs to \(.tomeRatio): give that too.")
            }
        }
        if !hasDownsampling, [.todoMaxDepth, .todoMethod, .todoScope].contains(where: isSaid) {
            throw RequestError(
                .invalid, "\(.todoMaxDepth), \(.todoMethod) and \(.todoScope) belong to \(.todoFactor): give that too.")
        }
        if !hasMerging, !hasDownsampling, [.tokenSteps, .tokenStages].contains(where: isSaid) {
            throw RequestError(
                .invalid, "\(.tokenSteps) and \(.tokenStages) belong to \(.tomeRatio) or \(.todoFactor): give one of them.")
        }
    }

    /// The words of a later ratio of 0 leave a group of which nothing is said.
    func leaveOutEmpty(_ request: inout RenderRequest) {
        if !hasMerging { request.tokenReduction?.merging = nil }
        if !hasMerging, !hasDownsampling { request.tokenReduction = nil }
    }
}
