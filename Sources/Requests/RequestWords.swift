public import Rendering
public import Sentences

/// A picture in a user's words, from a command line or a form. A setting has one word, or several if it takes several values;
/// `RenderRequest.settings` reads them.
public struct RequestWords: Sendable {
    private var words: [Setting: [String]] = [:]
    /// The picture to start from.
    public var picture: PictureInput?
    /// Marks the part of the picture to make anew.
    public var mask: PictureInput?

    /// A prompt without other words.
    public init(prompt: String) { self[.prompt] = prompt }

    /// The last word for a setting; nil if there is none. A new value replaces all its words.
    public subscript(setting: Setting) -> String? {
        get { words[setting]?.last }
        set { words[setting] = newValue.map { [$0] } }
    }

    /// One more word for a setting.
    public mutating func say(_ word: String, for setting: Setting) { words[setting, default: []].append(word) }

    /// Reads the words and the pictures, and checks the request as far as possible without a model. A random seed becomes a
    /// number here, so that all later parts see the same number.
    ///
    /// - Throws: `invalid` for an impossible word, and the errors of reading a picture.
    public func request() throws(RequestError) -> RenderRequest {
        var request = RenderRequest()
        let known = Set(RenderRequest.settings.compactMap(\.setting))
        if let unknown = words.keys.filter({ !known.contains($0) }).min(by: { $0.key < $1.key }) {
            throw .invalid("A request has no setting \(unknown).", about: unknown)
        }
        try checkTokenGroups()
        for setting in RenderRequest.settings {
            guard let name = setting.setting else { continue }
            for word in words[name] ?? [] {
                let word = name == .seed ? try seed(word) : word
                do { try setting.take(word, &request) } catch { throw RequestError(error) }
            }
        }
        request.source = try SourceLoading(
            picture: picture, mask: mask, width: self[.width].map { _ in request.width },
            height: self[.height].map { _ in request.height }
        ).load()
        if let source = request.source { (request.width, request.height) = (source.width, source.height) }
        // A ratio of 0 for later stages makes a group without an effect.
        if !hasMerging { request.tokenReduction?.merging = nil }
        if !hasMerging, !hasDownsampling { request.tokenReduction = nil }
        do { try request.validated() } catch { throw RequestError(error) }
        return request
    }
}

extension RequestWords {
    /// The seed of a word. The word for a random seed gives another number at each call.
    private func seed(_ word: String) throws(RequestError) -> String {
        do throws(RequestError) { return String(try SeedWord(word).drawn()) } catch { throw error.about(.seed, word) }
    }

    private func isSaid(_ setting: Setting) -> Bool { words[setting] != nil }

    /// A ratio of 0 for later stages has no effect.
    private var hasMerging: Bool { isSaid(.tomeRatio) || self[.tomeHiresRatio].map { Double($0) != 0 } ?? false }
    private var hasDownsampling: Bool { isSaid(.todoFactor) }

    /// Settings of token reduction need the setting that turns it on.
    private func checkTokenGroups() throws(RequestError) {
        if !hasMerging {
            let others = TokenReductionRequest.Merging.settings.compactMap(\.setting).filter { $0 != .tomeHiresRatio }
            if let lone = others.first(where: isSaid) {
                throw .invalid("\(lone) belongs to \(.tomeRatio): give that too.", about: lone)
            }
        }
        if !hasDownsampling {
            let others = TokenReductionRequest.Downsampling.settings.compactMap(\.setting).filter { $0 != .todoFactor }
            try refuse(others, "\(Sentence.list(others)) belong to \(.todoFactor): give that too.")
        }
        if !hasMerging, !hasDownsampling {
            try refuse(
                [.tokenSteps, .tokenStages],
                "\(.tokenSteps) and \(.tokenStages) belong to \(.tomeRatio) or \(.todoFactor): give one of them.")
        }
    }

    /// Throws `invalid` if one of the settings has a word.
    private func refuse(_ settings: [Setting], _ sentence: Sentence) throws(RequestError) {
        let said = settings.filter(isSaid)
        if !said.isEmpty { throw RequestError.invalid(sentence).about(said.map { SettingFault($0) }) }
    }
}
