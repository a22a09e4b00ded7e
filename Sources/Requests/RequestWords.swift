public import Rendering
import Samplers

/// A picture in the words of a user, as a command line or a form has them: numbers where numbers are asked for, text for
/// everything that has words of its own. nil is what the user did not say.
public struct RequestWords: Sendable {
    public var prompt: String
    public var negativePrompt = ""
    /// The picture to start from.
    public var picture: PictureInput?
    /// Marks the part of the picture that is made anew.
    public var mask: PictureInput?
    /// In pixels.
    public var width: Int?
    /// In pixels.
    public var height: Int?
    /// Of the picture to start from, the share that is given up.
    public var strength: Float?
    public var steps: Int?
    public var guidanceScale: Float?
    public var seed = SeedWord.number(42)
    public var method = MethodWords()
    /// One name may hold the schedule too, as in `DPM++ 2M Karras`.
    public var samplingMethod: String?
    /// How the noise levels are spread.
    public var scheduler: String?
    public var eta: Float?
    /// Each as `LoRAWord` reads it.
    public var loras: [String] = []
    public var conditioning = ConditioningWords()
    public var tokens = TokenWords()

    /// A prompt of which nothing else is said.
    public init(prompt: String) { self.prompt = prompt }

    /// The request in the words of `Rendering`, checked as far as it can be without a model. Pictures are read.
    ///
    /// A random seed becomes a number here, once, so that every later part sees the number that is used.
    ///
    /// - Throws: `invalid` for a word or number that is not possible, otherwise what reading a picture throws.
    public func request() throws(RequestError) -> RenderRequest {
        var request = RenderRequest()
        request.prompt = prompt
        request.negativePrompt = negativePrompt
        request.source = try SourceLoading(picture: picture, mask: mask, width: width, height: height).load()
        request.width = request.source?.width ?? width ?? request.width
        request.height = request.source?.height ?? height ?? request.height
        request.strength = strength
        request.steps = steps
        request.guidanceScale = guidanceScale
        request.seed = seed.drawn()
        try method.apply(to: &request)
        try setSampler(of: &request)
        request.eta = eta
        request.loras = loras.map { LoRAWord($0).selection }
        try conditioning.apply(to: &request)
        try tokens.apply(to: &request)
        do { try request.validated() } catch { throw RequestError(error) }
        return request
    }

    private func setSampler(of request: inout RenderRequest) throws(RequestError) {
        let name: SamplerName?
        let kind: NoiseScheduleKind?
        do throws(SamplerError) {
            name = try samplingMethod.map { text throws(SamplerError) in try SamplerName(text) }
            kind = try scheduler.map { text throws(SamplerError) in try NoiseScheduleKind(name: text) }
        } catch {
            throw RequestError(.invalid, "\(error.message)")
        }
        if let named = name?.schedule, let kind, named != kind {
            throw RequestError(
                .invalid,
                "The sampler's name asks for the schedule \(named.rawValue) and \(.scheduler) for \(kind.rawValue): leave one out."
            )
        }
        request.samplingMethod = name?.method
        request.noiseSchedule = kind ?? name?.schedule ?? .automatic
    }
}
