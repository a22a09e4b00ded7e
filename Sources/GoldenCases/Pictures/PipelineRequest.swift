import Acceleration
import Rendering
import Samplers
import StrictJSON

/// A pipeline case as requests to the program: one for each of its prompts, as the program renders one picture at a time.
struct PipelineRequest {
    let run: CaseRun
    /// The case's model with the case's scheduler.
    private(set) var model: ModelDescription
    let prompts: [String]
    private let negative: String?
    /// Sides of the latent.
    let height: Int
    let width: Int
    /// The first picture of the run.
    private(set) var source: SourceImage?
    private var base = RenderRequest()

    /// - Parameters:
    ///   - start: the case's first picture.
    ///   - hiDiffusion: whether HiDiffusion is on, as the reference has it for pictures of any size.
    init(_ run: CaseRun, from start: SourceImage.Kind = .none, hiDiffusion: Bool = false) throws {
        let parameters = run.parameters
        self.run = run
        (height, width) = (try parameters.integer("h", in: 1...4096), try parameters.integer("w", in: 1...4096))
        prompts = try parameters.strings("prompt")
        guard !prompts.isEmpty else { throw GoldenError.failed("\"prompt\" is an empty list") }
        negative = try parameters.optionalString("negative_prompt")
        model = try ModelDescription(source: run.model().source)
        let (steps, eta) = (try parameters.integer("steps", in: 1...10_000), try SchedulerCases.eta(parameters))
        if parameters.has("scheduler_config") {
            let scheduler = try parameters.value("scheduler_config")
            _ = try SchedulerCases.sampler(scheduler, steps: steps, eta: eta)
            model.scheduler = try SchedulerConfiguration(json: scheduler)
        }
        // An empty negative prompt that a case gives is encoded.
        if negative != nil { model.zeroesEmptyPrompt = false }
        (base.method, base.hiDiffusion, base.stages) = (.direct, .off, [])
        (base.width, base.height) = (width * model.scaleFactor, height * model.scaleFactor)
        (base.steps, base.eta) = (steps, eta.map { Float($0) })
        base.guidanceScale = Float(try parameters.number("guidance"))
        base.guidanceRescale = Float(try parameters.number("guidance_rescale", default: 0))
        base.negativePrompt = Self.literal(negative ?? "")
        if parameters.has("clip_skip") {
            base.clipSkip = model.clipSkip + (try parameters.integer("clip_skip", in: 0...1000))
        }
        if parameters.has("seed") { base.seed = try parameters.seed("seed") }
        try setSizes()
        if start != .none {
            source = try SourceImage(run, masked: start == .maskedPicture, width: base.width, height: base.height)
            (base.source, base.strength) = (source?.picture, Float(try parameters.number("strength")))
        }
        if hiDiffusion {
            (base.hiDiffusion, base.hiDiffusionProfile) = (.on, try HiDiffusionCases.profile(parameters))
            // The largest possible limit, so that the program's rules for small models do not apply.
            model.sampleSize = max(1, min(height, width) * 2 / 3)
        }
    }

    /// The request of one of the prompts.
    func request(_ row: Int) throws -> RenderRequest {
        var request = base
        request.prompt = Self.literal(prompts[row])
        guard run.parameters.has("prompt_2") else { return request }
        let second = try run.parameters.strings("prompt_2")
        guard second.count == prompts.count else { throw GoldenError.failed("\"prompt_2\" has another number of prompts") }
        request.secondPrompt = Self.literal(second[row])
        return request
    }

    /// Encodes prompt and negative prompt as diffusers always does: even if the run does not use both, and without leaving out
    /// more layers than the model's own.
    func text(_ row: Int) throws -> PictureRun {
        var (request, model) = (base, model)
        request.prompt = Self.literal(prompts[row])
        (request.guidanceScale, request.clipSkip, model.zeroesEmptyPrompt) = (2, nil, false)
        return try PictureRun(request, model, RenderRandomness(seed: 0), run.model())
    }

    private mutating func setSizes() throws {
        func pair(_ key: String) throws -> (Int, Int)? {
            guard run.parameters.has(key) else { return nil }
            let pair = try run.parameters.integers(key)
            guard pair.count == 2 else { throw GoldenError.failed("\"\(key)\" has two numbers") }
            return (pair[0], pair[1])
        }
        func size(_ key: String) throws -> SizeConditioning.Size? {
            try pair(key).map { SizeConditioning.Size(width: $0.1, height: $0.0) }
        }
        func corner(_ key: String) throws -> SizeConditioning.Corner? {
            try pair(key).map { SizeConditioning.Corner(top: $0.0, left: $0.1) }
        }
        base.originalSize = try size("original_size")
        base.cropTopLeft = try corner("crops_coords_top_left")
        base.targetSize = try size("target_size")
        // The reference takes the negative sizes only when both are given.
        guard let original = try size("negative_original_size"), let target = try size("negative_target_size") else { return }
        base.negativeSizes = SizeConditioning(
            originalSize: original,
            cropTopLeft: try corner("negative_crops_coords_top_left") ?? SizeConditioning.Corner(top: 0, left: 0),
            targetSize: target)
    }

    /// A prompt without weights, as in diffusers.
    private static func literal(_ prompt: String) -> String {
        prompt.reduce(into: "") { text, character in
            if "\\()[]".contains(character) { text.append("\\") }
            text.append(character)
        }
    }
}
